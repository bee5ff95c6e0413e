//! Reading: the history of a name, of a name server, the window that the detector judges.

pub(in crate::store) mod aliases;
pub(in crate::store) mod answer;
pub(in crate::store) mod bundle;
pub(in crate::store) mod export;
pub(in crate::store) mod history;
pub(in crate::store) mod pages;
pub(in crate::store) mod question;
pub(in crate::store) mod replay;
pub(in crate::store) mod reverse;
pub(in crate::store) mod spans;
pub(in crate::store) mod window;
