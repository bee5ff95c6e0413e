//! What is computed from history: windows, findings, the canary. Nothing here writes.

pub(in crate::pipeline) mod beside;
pub(in crate::pipeline) mod canary;
pub(in crate::pipeline) mod crowd;
pub(in crate::pipeline) mod find;
pub(in crate::pipeline) mod windows;
