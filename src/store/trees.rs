//! What a database's tables and indexes take.

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
