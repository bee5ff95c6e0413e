//! From history to cases.

pub(in crate::pipeline) mod again;
pub(in crate::pipeline) mod anew;
pub(in crate::pipeline) mod backtest;
pub(in crate::pipeline) mod detect;
pub(in crate::pipeline) mod docket;
pub(in crate::pipeline) mod waiting;
