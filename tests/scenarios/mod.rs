//! Made histories of domains, malicious and benign, and what the detector makes of them.

#![allow(
    clippy::too_many_lines,
    reason = "a table of stories is read from top to bottom"
)]

pub mod aliases;
pub mod internet;
pub mod networks;
pub mod others;
pub mod stories;
pub mod trial;
