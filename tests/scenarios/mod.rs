//! Made histories of domains, malicious and benign, and what the detector makes of them.

pub mod aliases;
pub mod internet;
pub mod networks;
pub mod others;
pub mod stories;
pub mod trial;
