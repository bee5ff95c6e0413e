//! What is done beside the flow: metrics, retention, clocks that were set.

pub(in crate::pipeline) mod clock;
pub(in crate::pipeline) mod metrics;
pub(in crate::pipeline) mod retention;
