//! A record that is there, as its row has it.

use crate::dns::{Record, RecordType};
use crate::store::door::{Fault, Row, Value};

/// An open record as it stands in the database.
#[derive(Debug, Clone)]
pub(in crate::store) struct OpenRow {
    pub record: Record,
    pub value: Value,
    pub added_id: i64,
    pub baseline: bool,
}

impl OpenRow {
    /// Returns whether it is a name server.
    pub(in crate::store) fn is_ns(&self) -> bool {
        is_ns(&self.record)
    }
}

/// Returns whether a record is a name server.
pub(in crate::store) fn is_ns(record: &Record) -> bool {
    record.rdata.rtype() == RecordType::Ns
}

/// An open record as it is read: type, data, TTL, version that added it, whether it was there before.
pub(in crate::store) type RawRow = (u16, Value, u32, i64, bool);

/// Reads an open record: by place, for every record of a version that is stored passes here.
pub(in crate::store) fn read_row(row: &Row<'_>) -> Result<RawRow, Fault> {
    Ok((row.at(0)?, row.at(1)?, row.at(2)?, row.at(3)?, row.at(4)?))
}
