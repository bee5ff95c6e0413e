//! Where what does not fit into memory waits.

use std::io::{Read, Seek, Write};

/// Where groups wait for the exact comparison, or to be sorted.
pub trait Spool: Read + Write + Seek + Send {}
impl<T: Read + Write + Seek + Send> Spool for T {}
