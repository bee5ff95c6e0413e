//! A database's tables and indexes: what they take, and which are there as configured.

/// How many pages are in the file, and how many octets a page has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pages {
    pub all: i64,
    pub free: i64,
    pub octets_each: i64,
}

/// A table or an index.
pub(super) struct Tree {
    pub name: String,
    pub octets: i64,
    pub is_table: bool,
}

/// The indexes from RDATA to owners: name, table, type. A query that is to use one repeats its
/// "rrtype = N" literally. The last that is made is [`LAST_REVERSE_INDEX`].
pub(super) const REVERSE_INDEXES: [(&str, &str, u16); 6] = [
    ("record_by_host", "record", 2),
    ("record_by_a", "record", 1),
    ("record_by_aaaa", "record", 28),
    ("past_by_a", "past_record", 1),
    ("past_by_aaaa", "past_record", 28),
    (LAST_REVERSE_INDEX, "past_record", 2),
];

/// The index that tells whether all are there.
pub(super) const LAST_REVERSE_INDEX: &str = "past_by_host";
