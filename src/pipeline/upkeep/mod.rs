//! What is done beside the flow: metrics, figures of the process, retention, clocks that were set.

pub(in crate::pipeline) mod clock;
pub(in crate::pipeline) mod figures;
pub(in crate::pipeline) mod metrics;
pub(in crate::pipeline) mod retention;
