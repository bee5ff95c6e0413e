//! From a case to mail, and what is told to whoever runs this.

pub(in crate::pipeline) mod compose;
pub(in crate::pipeline) mod deliver;
pub(in crate::pipeline) mod lanes;
pub(in crate::pipeline) mod notices;
pub(in crate::pipeline) mod operator;
pub(in crate::pipeline) mod reports;
