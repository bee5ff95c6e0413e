//! What programs ask for: metrics, history, changes of a feed.

pub(in crate::web) mod changes;
pub(in crate::web) mod history;
pub(in crate::web) mod metrics;
