//! Where what does not fit into memory waits.

use std::io::{Read, Seek, Write};

use crate::dns::RecordType;

/// Where groups wait for the exact comparison, or to be sorted.
pub trait Spool: Read + Write + Seek + Send {}
impl<T: Read + Write + Seek + Send> Spool for T {}

/// Octets of what stands before a record's data in a group.
pub(super) const RECORD_HEAD_OCTETS: usize = 8;

/// Returns what stands before a record's data in a group: type, TTL, length.
pub(super) fn record_head(rtype: RecordType, ttl: u32, length: u16) -> [u8; RECORD_HEAD_OCTETS] {
    let mut head = [0; RECORD_HEAD_OCTETS];
    head[..2].copy_from_slice(&rtype.code().to_be_bytes());
    head[2..6].copy_from_slice(&ttl.to_be_bytes());
    head[6..].copy_from_slice(&length.to_be_bytes());
    head
}
