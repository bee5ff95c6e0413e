//! From a source to history.

pub(in crate::pipeline) mod apply;
pub(in crate::pipeline) mod aside;
pub(in crate::pipeline) mod catalog;
pub(in crate::pipeline) mod feed;
pub(in crate::pipeline) mod files;
pub(in crate::pipeline) mod full;
pub(in crate::pipeline) mod marks;
pub(in crate::pipeline) mod passive;
pub(in crate::pipeline) mod poll;
pub(in crate::pipeline) mod primaries;
pub(in crate::pipeline) mod probe;
pub(in crate::pipeline) mod transfer;
