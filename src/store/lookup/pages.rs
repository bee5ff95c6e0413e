//! A lookup of names that is read page by page.
//!
//! Who prints history may be kept waiting for hours (`| less`), and a state of the database that is read for hours
//! keeps the write-ahead log from being moved. So each page is read into memory, in a transaction that ends with it.

use crate::dns::Name;
use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::lookup::Lookup;
use crate::store::lookup::answer::History;
use crate::store::lookup::question::{HistoryScope, Wanted};

/// A page that has so many rows ends, however few names it has.
const ROWS_A_PAGE_MAX: usize = if cfg!(test) { 5 } else { 50_000 };

/// Of how many names a server is asked at once.
const NAMES_ASKED_AHEAD: usize = 50;

/// The history of the names that a lookup covers, a page at a time.
///
/// All records and changes are those of the state of the first page: what versions did later is left out. As of their
/// page are: when records were last seen, gaps and how many versions did not arrive, what retention took meanwhile
/// (it is gone), and what is written into rows that are there (passive DNS, a feed that adds to a version).
pub struct HistoryPages<'a> {
    store: &'a Store,
    name: Name,
    scope: HistoryScope,
    wanted: Wanted,
    cursor: Option<String>,
    /// The newest version of the state that is told; `None` on the first page.
    newest: Option<i64>,
    is_done: bool,
}

impl<'a> Lookup<'a> {
    /// Begins a lookup of names after the one that `cursor` was made for. By zones, the nearest first, and within a
    /// zone in the order of their keys.
    pub fn history_pages(
        self,
        name: &Name,
        scope: HistoryScope,
        wanted: &Wanted,
        cursor: Option<&str>,
    ) -> HistoryPages<'a> {
        HistoryPages {
            store: self.store,
            name: name.clone(),
            scope,
            wanted: wanted.clone(),
            cursor: cursor.map(str::to_owned),
            newest: None,
            is_done: false,
        }
    }
}

impl HistoryPages<'_> {
    /// Returns the histories of the next names, at most `names_max`; fewer where they are long. No transaction is
    /// open when this returns.
    pub fn next_page(&mut self, names_max: usize) -> Result<Vec<History>, StoreError> {
        let mut found = Vec::new();
        if self.is_done {
            return Ok(found);
        }
        let _reading = self.store.begin_reading()?;
        let cursor = self.cursor.as_deref();
        let names = self
            .store
            .lookup()
            .covered_names(&self.name, self.scope, cursor, names_max)?;
        let mut rows_count = 0;
        for (place, name) in names.iter().enumerate() {
            if place % NAMES_ASKED_AHEAD == 0 {
                let next = names.iter().skip(place).take(NAMES_ASKED_AHEAD);
                self.store.lookup().ask_ahead_of(next, &self.wanted)?;
            }
            let history = self
                .store
                .lookup()
                .history_until(name, &self.wanted, self.newest)?;
            rows_count += history.records.len() + history.changes.len();
            found.push(history);
            self.cursor = Some(name.cursor());
            if rows_count >= ROWS_A_PAGE_MAX {
                break;
            }
        }
        self.is_done = found.len() == names.len() && names.len() < names_max;
        if !self.is_done && self.newest.is_none() {
            self.newest = Some(self.store.lookup().newest_version()?);
        }
        Ok(found)
    }

    /// Returns whether every name was told.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Returns where a later lookup of the same names goes on; `None` if that is the beginning.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use crate::dns::{Rdata, Record, Serial};
    use crate::store::handle::StoreOptions;
    use crate::store::keys::{SourceId, SourceKind, View};
    use crate::store::ledger::draft::{VersionDraft, VersionKind};
    use crate::store::lookup::answer::RecordRow;
    use crate::store::lookup::reverse::Used;
    use crate::store::upkeep::retention::PruneStep;
    use crate::time::Timestamp;
    use crate::zone::OwnerChange;

    use super::*;

    /// Names of two zones, one below the other.
    const NAMES: [(&str, &str); 5] = [
        ("example", "a.example"),
        ("example", "b.example"),
        ("example", "c.example"),
        ("sub.example", "a.sub.example"),
        ("sub.example", "b.sub.example"),
    ];

    /// A database, and what is there in it.
    struct Made {
        store: Store,
        source: SourceId,
        there: BTreeSet<(usize, u8)>,
        versions: u32,
        _folder: tempfile::TempDir,
    }

    /// Returns a name.
    fn parse(name: &str) -> Name {
        Name::parse(name).expect("valid")
    }

    /// Returns one of three records.
    fn record(value: u8) -> Record {
        let rdata = match value {
            0 => Rdata::Ns(parse("ns.host.test")),
            value => Rdata::A([192, 0, 2, value].into()),
        };
        Record { rdata, ttl: 60 }
    }

    impl Made {
        /// Makes a database of the two zones, with nothing in them.
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let options = StoreOptions {
                reverse_index: true,
                create: true,
            };
            let store = Store::open(folder.path().join("f.db"), options).expect("made");
            let source = store.zones().ensure_source("made", SourceKind::Transfer);
            let mut made = Self {
                source: source.expect("made"),
                store,
                there: BTreeSet::new(),
                versions: 0,
                _folder: folder,
            };
            for apex in ["example", "sub.example"] {
                made.write(apex, VersionKind::Baseline, None);
            }
            made
        }

        /// Stores the next version of a zone.
        fn write(&mut self, apex: &str, kind: VersionKind, change: Option<(Name, OwnerChange)>) {
            self.versions += 1;
            let zone = self.store.zones().ensure_zone(&parse(apex), self.source);
            let draft = VersionDraft {
                source: self.source,
                kind,
                serial: Some(Serial(self.versions)),
                // Some of them in another month.
                observed_at: Timestamp::from_unix(
                    1_790_000_000 + 500_000 * i64::from(self.versions),
                ),
                joins: None,
                drift: false,
            };
            let mut tx = self
                .store
                .ledger()
                .begin(&zone.expect("made"), draft)
                .expect("begun");
            if let Some((name, change)) = change {
                tx.apply_changes(vec![crate::store::SourceChange {
                    owner: name.clone(),
                    change,
                    baseline: false,
                }])
                .expect("applied");
            }
            tx.commit(false).expect("committed");
        }

        /// Adds a record if it is not there, else removes it.
        fn turn(&mut self, name: usize, value: u8) {
            let mut change = OwnerChange::default();
            if self.there.insert((name, value)) {
                change.added.push(record(value))
            } else {
                self.there.remove(&(name, value));
                change.removed.push(record(value));
            }
            let (apex, name) = NAMES[name];
            self.write(apex, VersionKind::Snapshot, Some((parse(name), change)));
        }

        /// Returns who uses the name server, while `between` is done after each record.
        fn users(&mut self, mut between: impl FnMut(&mut Self)) -> Vec<RecordRow> {
            let reader = Store::open_read_only(&self.store.path).expect("opened");
            let used = Used::Host(parse("ns.host.test"));
            let mut users = Vec::new();
            let told = reader
                .lookup()
                .users_of(&used, &Wanted::default(), None, |record, _| {
                    users.push(record);
                    assert!(!reader.db.is_in_transaction(), "a state is kept");
                    between(self);
                    Ok::<_, StoreError>(true)
                });
            told.expect("read");
            users.sort_by_key(|row| (row.owner.to_string(), row.added_at));
            without_looks(users)
        }
    }

    /// Leaves out when records were last seen.
    fn without_looks(mut records: Vec<RecordRow>) -> Vec<RecordRow> {
        for record in &mut records {
            record.last_seen_at = record.added_at;
        }
        records
    }

    /// Does some of what is yet to be done.
    fn turn_some(made: &mut Made, later: &mut impl Iterator<Item = (usize, u8)>) {
        for (name, value) in later.take(2) {
            made.turn(name, value);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn pages_tell_the_state_of_the_first_whatever_is_written_meanwhile(
            before in prop::collection::vec((0..5_usize, 0..3_u8), 1..30),
            later in prop::collection::vec((0..5_usize, 0..3_u8), 0..24),
            names_max in 1..7_usize,
        ) {
            let mut made = Made::new();
            for (name, value) in before {
                made.turn(name, value);
            }
            let (apex, scope) = (parse("example"), HistoryScope::AtOrBelow);
            let whole = made.store.lookup().history(&apex, scope).expect("read");
            let mut later = later.into_iter();

            let reader = Store::open_read_only(&made.store.path).expect("opened");
            let mut pages = reader.lookup().history_pages(&apex, scope, &Wanted::default(), None);
            let mut paged = History::default();
            while !pages.is_done() {
                let page = pages.next_page(names_max).expect("read");
                prop_assert!(page.len() <= names_max);
                prop_assert!(!reader.db.is_in_transaction(), "a state is kept");
                page.into_iter().for_each(|history| paged.add(history));
                turn_some(&mut made, &mut later);
            }
            paged.sort();
            prop_assert_eq!(without_looks(paged.records), without_looks(whole.records));
            prop_assert_eq!(paged.changes, whole.changes);

            let users = made.users(|_| {});
            let told = made.users(|made| turn_some(made, &mut later));
            prop_assert_eq!(told, users);
        }
    }

    #[test]
    fn retention_beside_a_reader_takes_what_is_past_and_nothing_else() {
        let mut made = Made::new();
        for name in 0..5 {
            made.turn(name, 1);
            made.turn(name, 1);
            made.turn(name, 2);
        }
        made.turn(0, 0);
        let (apex, scope) = (parse("example"), HistoryScope::AtOrBelow);
        let reader = Store::open_read_only(&made.store.path).expect("opened");
        let mut pages = reader
            .lookup()
            .history_pages(&apex, scope, &Wanted::default(), None);
        let mut records = pages.next_page(1).expect("read").remove(0).records;
        assert_eq!(records.len(), 3, "before anything was taken: {records:?}");
        for zone in ["example", "sub.example"] {
            let zone = made.store.zones().find_view(&parse(zone), View::Zone);
            let zone = zone.expect("read").expect("there");
            let cut = Timestamp::from_unix(1_890_000_000);
            made.store.upkeep().cut_zone(&zone, cut).expect("cut");
        }
        let mut step = Some(PruneStep::default());
        while let Some(next) = step {
            step = made.store.upkeep().prune_some(next).expect("pruned").1;
        }
        while !pages.is_done() {
            let page = pages.next_page(1).expect("read on");
            records.extend(page.into_iter().flat_map(|it| it.records));
        }
        let open = records.iter().filter(|it| it.removed_at.is_none()).count();
        assert_eq!(open, 6, "{records:?}");
        assert_eq!(records.len(), 7, "the others' past is gone: {records:?}");
    }
}
