//! How a version changes how many names use a name server.

use std::collections::HashMap;

use crate::store::door::{Counts, Db, Fault, ValueRef};
use crate::time::Timestamp;

/// Differences that are kept in memory before they are written: some 50 octets each.
pub(in crate::store) const DIFFERENCES_MAX: usize = 200_000;

/// Users by name server or operator, and week.
pub(in crate::store) const POPULARITY: Counts = Counts {
    table: "popularity",
    key: ["user_of", "week"],
    count: "count",
};

/// The week of users that have not changed since watching began.
pub(in crate::store) const SINCE_WATCHING: i64 = 0;

/// The rows of a name server that is counted and of its operator's domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct HostKey {
    pub id: i64,
    pub operator_id: i64,
}

/// Differences that are yet to be written, by user and week.
#[derive(Default)]
pub(in crate::store) struct Tally {
    pub(in crate::store) differences: HashMap<(i64, i64), i64>,
    pub(in crate::store) operators: Vec<i64>,
}

impl Tally {
    /// Adds, or with `by` -1 takes, what an owner with these name servers counts for.
    pub(in crate::store) fn count(&mut self, hosts: &[HostKey], week: i64, by: i64) {
        self.operators.clear();
        self.operators
            .extend(hosts.iter().map(|host| -host.operator_id));
        self.operators.sort_unstable();
        self.operators.dedup();
        let hosts = hosts.iter().map(|host| host.id);
        for user_of in hosts.chain(self.operators.iter().copied()) {
            *self.differences.entry((user_of, week)).or_default() += by;
        }
    }

    /// Writes the differences and forgets them, if there are many or it is the end.
    pub(in crate::store) fn write(&mut self, db: &Db, is_end: bool) -> Result<(), Fault> {
        if self.differences.len() < DIFFERENCES_MAX && !is_end {
            return Ok(());
        }
        let mut rows: Vec<((i64, i64), i64)> = self.differences.drain().collect();
        rows.retain(|(_, by)| *by != 0);
        // The order of the table: rows that are written after each other lie beside each other.
        rows.sort_unstable();
        let number = ValueRef::Integer;
        let values: Vec<ValueRef<'_>> = rows
            .iter()
            .flat_map(|((user_of, week), by)| [number(*user_of), number(*week), number(*by)])
            .collect();
        db.add_counts(&POPULARITY, &values)
    }
}

/// Returns the week of a time, in weeks since 1970-01-01; what was before counts as the first.
pub(in crate::store) fn week_of(at: Timestamp) -> i64 {
    at.unix().div_euclid(7 * 86_400).max(1)
}
