//! What programs ask for: metrics, history, changes of a feed, the desk.

pub(in crate::web) mod changes;
pub(in crate::web) mod desk;
pub(in crate::web) mod document;
pub(in crate::web) mod enter;
pub(in crate::web) mod history;
pub(in crate::web) mod metrics;
