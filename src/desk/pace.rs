//! How often the records of a case's domain changed lately.

use std::collections::BTreeSet;

use crate::desk::error::DeskError;
use crate::store::{CaseRow, HistoryScope, Store, Wanted};
use crate::time::{Span, Timestamp};

/// The most names of a domain whose changes are counted for a list.
const NAMES_MAX: usize = 16;

/// Returns at how many instants something at or below a case's domain changed in the 24 hours and in the 7 days before
/// it was last judged. Of a domain with many names the first ones count.
pub fn change_counts(store: &Store, row: &CaseRow) -> Result<[usize; 2], DeskError> {
    let until = row.case.evaluated_at;
    let wanted = Wanted {
        since: Some(until - Span::days(7)),
        until: Some(until),
        ..Wanted::default()
    };
    let lookup = store.lookup();
    let scope = HistoryScope::AtOrBelow;
    let mut instants: BTreeSet<Timestamp> = BTreeSet::new();
    for name in lookup.covered_names(&row.case.domain, scope, None, NAMES_MAX)? {
        let history = lookup.history_of(&name, &wanted)?;
        instants.extend(
            history
                .changes
                .iter()
                .filter(|it| !it.drift)
                .map(|it| it.at),
        );
    }
    let day = instants.range(until - Span::days(1)..).count();
    Ok([day, instants.len()])
}
