//! Sets of rows: where they go.

/// Where a set of rows goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub name: &'static str,
    pub columns: &'static [&'static str],
    /// What becomes of a row whose key is there: `on conflict …`, or nothing for a fault.
    pub on_conflict: &'static str,
}

/// Where counts are kept: a table of keys and how many of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub table: &'static str,
    /// The columns of its key.
    pub key: [&'static str; 2],
    pub count: &'static str,
}
