//! The intervals of one owner, as lookups read them.
//!
//! A name's records share few versions, sources and name servers: each is read once for a lookup, instead of
//! being joined to every record.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, LazyLock};

use crate::dns::{Rdata, RecordType};
use crate::store::caches::{End, KnownVersions, SharedOf, VersionRow};
use crate::store::door::{Fault, Numbers, Row, Value, params};
use crate::store::error::StoreError;
use crate::store::keys::ZoneId;
use crate::store::lookup::Lookup;
use crate::store::lookup::question::{CoveredName, Wanted};
use crate::store::sqlite::dialect::{IN_ORDER, data_version, rows_of};
use crate::store::zones::enclosing::{SEEN_AT, SPAN};
use crate::store::zones::status::GAPS;
use crate::time::Timestamp;

/// Open intervals of one owner.
const OPEN: &str = "
    select rrtype, rdata, ttl, baseline, added_id, null as removed_id
      from record where owner_id = ?1";
/// Closed intervals of one owner in some months. A cross join keeps the order of the loops.
static CLOSED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    select p.rrtype, p.rdata, p.ttl, p.baseline, p.added_id, p.removed_id
      from {list} m {IN_ORDER} past_record p on p.bucket = m.value and p.owner_id = ?1",
        list = rows_of("?2")
    )
});
/// Some versions, and when the zone was last looked at as they and those before them left it.
static VERSIONS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    select v.id, v.observed_at, v.serial, v.bulk, v.source_id,
           coalesce(b.seen_until_at, b.observed_at) as before, v.previous_id, v.seen_until_at,
           v.drift, v.missed_max
      from {list} w {IN_ORDER} version v on v.id = w.value
           left join version b on b.id = v.previous_id",
        list = rows_of("?1")
    )
});

/// What the histories of a zone's owners share; the source of most of them is the one that the zone has now.
static ZONE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    select usual_ttl, version_id, {SEEN_AT} as seen_at, missed_count, missed_unknown_count,
           source_id, (select s.name from source s where s.id = z.source_id) as source_name
      from zone z where id = ?"
    )
});

/// The most versions that are kept from one lookup to the next.
const VERSIONS_KEPT_MAX: usize = 50_000;

/// A record's interval.
pub(in crate::store) struct Stay {
    pub rdata: Rdata,
    pub ttl: u32,
    pub added: End,
    pub removed: Option<End>,
    /// When the zone was last looked at while the record was there.
    pub looked_at: Option<Timestamp>,
    /// The source of the version that added it.
    pub source: Arc<str>,
    pub baseline: bool,
}

/// An interval as it is stored.
struct RawStay {
    code: u16,
    value: Value,
    ttl: Option<u32>,
    baseline: bool,
    added_id: i64,
    removed_id: Option<i64>,
}

impl RawStay {
    /// Returns the row of the name server, if the record names one.
    fn host(&self) -> Option<i64> {
        match self.value {
            Value::Integer(host) => Some(host),
            _ => None,
        }
    }

    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        Ok(Self {
            code: row.get("rrtype")?,
            value: row.get("rdata")?,
            ttl: row.get("ttl")?,
            baseline: row.get("baseline")?,
            added_id: row.get("added_id")?,
            removed_id: row.get("removed_id")?,
        })
    }
}

impl Lookup<'_> {
    /// Returns the wanted intervals of an owner, as the versions up to `until_id` made them; all of them without.
    pub(in crate::store) fn stays(
        &self,
        owner_id: i64,
        zone: ZoneId,
        wanted: &Wanted,
        until_id: Option<i64>,
    ) -> Result<Vec<Stay>, StoreError> {
        let shared = self.shared_of(zone)?;
        let (usual_ttl, newest_id, seen_at) = (shared.usual_ttl, shared.newest_id, shared.seen_at);
        // The bucket 0 stands for what is open.
        let mut months = self.store.zones().buckets_since(zone, wanted.since)?;
        months.remove(0);
        self.ask_ahead_of_stays(owner_id, &months)?;
        let mut rows = self
            .store
            .run(|db| db.query(OPEN, [owner_id], RawStay::read))?;
        rows.append(&mut self.past_stays(owner_id, months.into_iter())?);
        rows.retain(|row| {
            RecordType::from_code(row.code).is_none_or(|rtype| wanted.has_type(rtype))
                && until_id.is_none_or(|until| row.added_id <= until)
        });
        let ends = rows
            .iter()
            .flat_map(|row| [Some(row.added_id), row.removed_id]);
        let mut ends: Vec<i64> = ends.chain([newest_id]).flatten().collect();
        ends.sort_unstable();
        ends.dedup();
        let ledger = self.store.ledger();
        ledger.ask_ahead_of_hosts(rows.iter().filter_map(RawStay::host))?;
        let versions = self.versions(ends)?;
        let version = |id: i64| {
            versions
                .binary_search_by_key(&id, |row| row.end.version_id)
                .map(|at| &versions[at])
                .map_err(|_| self.lost_version(id))
        };
        let newest = newest_id.map(version).transpose()?;
        ledger.know_hosts(rows.iter().filter_map(RawStay::host))?;
        let mut sources: HashMap<i64, Arc<str>> = HashMap::new();
        sources.extend(shared.source.clone());
        let mut stays = Vec::with_capacity(rows.len());
        for row in rows {
            let added = version(row.added_id)?;
            let (removed, looked_at) = match row.removed_id.map(version).transpose()? {
                Some(removed) => match (removed.before, removed.previous_id) {
                    (None, Some(previous)) => return Err(self.lost_version(previous)),
                    // It was there until a later version than those that count.
                    (before, _) if until_id.is_some_and(|it| removed.end.version_id > it) => {
                        (None, before)
                    }
                    (before, _) => (Some(removed.end), before),
                },
                None => (
                    None,
                    newest.and_then(|it| it.seen_until.max(seen_at).max(Some(it.end.at))),
                ),
            };
            if !wanted.has_stay(added.end.at, removed.as_ref().map(|end| end.at)) {
                continue;
            }
            let source: &Arc<str> = match sources.entry(added.source_id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => {
                    unknown.insert(self.store.zones().source_name(added.source_id)?.into())
                }
            };
            stays.push(Stay {
                rdata: ledger.read_rdata(row.code, &row.value)?,
                ttl: row.ttl.or(usual_ttl).unwrap_or_default(),
                added: added.end,
                removed,
                looked_at,
                source: Arc::clone(source),
                baseline: row.baseline,
            });
        }
        Ok(stays)
    }

    /// Returns what the histories of a zone's owners share. Read once while one state of the database is read.
    pub(in crate::store) fn shared_of(&self, zone: ZoneId) -> Result<Arc<SharedOf>, StoreError> {
        let spans = self.store.spans.borrow();
        let known = spans.as_ref().and_then(|it| it.shared.get(&zone).cloned());
        drop(spans);
        if let Some(known) = known {
            return Ok(known);
        }
        let mut shared = self
            .store
            .run(|db| db.query_one(&ZONE, [zone.0], SharedOf::read))?;
        let gaps = self.store.zones().gaps(zone)?.into_iter();
        shared.gaps = gaps.map(|it| (it.from, it.to, it.reason)).collect();
        let shared = Arc::new(shared);
        if let Some(known) = &mut *self.store.spans.borrow_mut() {
            known.shared.insert(zone, Arc::clone(&shared));
        }
        Ok(shared)
    }

    /// Tells a server that the histories of a zone's owners are asked for next.
    pub(in crate::store) fn ask_ahead_of_zone(&self, zone: ZoneId) -> Result<(), StoreError> {
        self.store.run(|db| {
            db.ask_ahead(&ZONE, [zone.0])?;
            db.ask_ahead(GAPS, [zone.0])?;
            db.ask_ahead(SPAN, [zone])
        })
    }

    /// Tells a server that an owner's intervals of some months are asked for next.
    pub(in crate::store) fn ask_ahead_of_stays(
        &self,
        owner_id: i64,
        months: &[i64],
    ) -> Result<(), StoreError> {
        if !self.store.db.asks_ahead() {
            return Ok(());
        }
        let months: Numbers = months.iter().copied().collect();
        self.store.run(|db| {
            db.ask_ahead(OPEN, [owner_id])?;
            db.ask_ahead(&CLOSED, params![owner_id, months])
        })
    }

    /// Tells a server that what is wanted of the histories of some names is asked for next.
    pub fn ask_ahead_of<'n>(
        &self,
        names: impl Iterator<Item = &'n CoveredName>,
        wanted: &Wanted,
    ) -> Result<(), StoreError> {
        if !self.store.db.asks_ahead() {
            return Ok(());
        }
        for name in names {
            let mut months = self
                .store
                .zones()
                .buckets_since(name.zone.id, wanted.since)?;
            months.remove(0);
            self.ask_ahead_of_stays(name.owner_id(), &months)?;
        }
        Ok(())
    }

    /// Returns the statements that a history is read by, for a server to prepare.
    pub(in crate::store) fn texts_of_a_history() -> [&'static str; 6] {
        [&ZONE, GAPS, SPAN, OPEN, &CLOSED, &VERSIONS]
    }

    /// Returns an owner's intervals that ended in some months, as they are stored.
    fn past_stays(
        &self,
        owner_id: i64,
        months: impl Iterator<Item = i64>,
    ) -> Result<Vec<RawStay>, StoreError> {
        self.store.run(|db| {
            db.query(
                &CLOSED,
                params![owner_id, Numbers::from_iter(months)],
                RawStay::read,
            )
        })
    }

    /// Forgets the versions that were read of another state of the database than the one that is read now.
    pub(in crate::store) fn forget_old_versions(&self) -> Result<(), StoreError> {
        let Some(known) = &self.store.known_versions else {
            return Ok(());
        };
        let (state, is_told) = match self.store.db.sqlite() {
            Some(db) => (
                data_version(db).map_err(|fault| self.store.engine(fault))?,
                true,
            ),
            // A server does not tell whether somebody has committed.
            None => (None, false),
        };
        if !is_told || known.borrow().state != state {
            known.replace(KnownVersions {
                state,
                rows: HashMap::new(),
            });
        }
        Ok(())
    }

    /// Returns versions in the order of their numbers, in which they are asked for; those that are not there are
    /// left out.
    pub(in crate::store) fn versions(
        &self,
        mut ids: Vec<i64>,
    ) -> Result<Vec<VersionRow>, StoreError> {
        // Outside of a transaction every statement may read another state.
        let known = self.store.known_versions.as_ref();
        let mut known = known
            .filter(|_| self.store.db.is_in_transaction())
            .map(RefCell::borrow_mut);
        let mut versions = Vec::with_capacity(ids.len());
        if let Some(known) = &known {
            ids.retain(|id| match known.rows.get(id) {
                Some(row) => {
                    versions.push(*row);
                    false
                }
                None => true,
            });
        }
        if !ids.is_empty() {
            let read = self
                .store
                .run(|db| db.query(&VERSIONS, [Numbers::from_iter(ids)], VersionRow::read))?;
            if let Some(known) = &mut known {
                if known.rows.len() + read.len() > VERSIONS_KEPT_MAX {
                    known.rows.clear();
                }
                let room = VERSIONS_KEPT_MAX - known.rows.len();
                let rows = read.iter().take(room);
                known
                    .rows
                    .extend(rows.map(|row| (row.end.version_id, *row)));
            }
            versions.extend(read);
            versions.sort_unstable_by_key(|row| row.end.version_id);
        }
        Ok(versions)
    }

    /// Returns the fault of a version that something refers to and that is not there.
    pub(in crate::store) fn lost_version(&self, id: i64) -> StoreError {
        self.store.damaged(format!(
            "history refers to version {id}, which is not there"
        ))
    }
}

#[cfg(test)]
mod tests {
    use crate::dns::{Name, Rdata, Record, Serial};
    use crate::store::error::StoreError;
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::keys::{SourceId, SourceKind};
    use crate::store::ledger::draft::{VersionDraft, VersionKind};
    use crate::store::lookup::question::{HistoryScope, Wanted};
    use crate::store::lookup::reverse::Used;
    use crate::time::Timestamp;
    use crate::zone::OwnerChange;

    /// Returns a version to be, of the zone `example.`.
    fn draft(source: SourceId, kind: VersionKind, serial: u32, at: i64) -> VersionDraft {
        VersionDraft {
            source,
            kind,
            serial: Some(Serial(serial)),
            observed_at: Timestamp::from_unix(at),
            joins: None,
            drift: false,
        }
    }

    /// Writes a version in which a name gets or loses its address, if one is named.
    fn write(store: &Store, draft: VersionDraft, moved: Option<(&str, bool)>, bulk: bool) {
        let apex = Name::parse("example").expect("sound");
        let zone = store
            .zones()
            .ensure_zone(&apex, draft.source)
            .expect("made");
        let mut tx = store.ledger().begin(&zone, draft).expect("begun");
        if let Some((name, is_there)) = moved {
            let record = Record {
                rdata: Rdata::A([192, 0, 2, 1].into()),
                ttl: 60,
            };
            let mut change = OwnerChange::default();
            if is_there {
                change.added.push(record)
            } else {
                change.removed.push(record)
            }
            let name = Name::parse(name).expect("sound");
            tx.apply_changes(vec![crate::store::SourceChange {
                owner: name.clone(),
                change,
                baseline: false,
            }])
            .expect("applied");
        }
        tx.commit(bulk).expect("committed");
    }

    #[test]
    fn mass_changes_count_up_to_a_time_and_later_ones_do_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(folder.path().join("f.db"), options).expect("made");
        let source = store
            .zones()
            .ensure_source("feed", SourceKind::Feed)
            .expect("noted");
        for day in 1..=5_u32 {
            let at = i64::from(day) * 86_400;
            let moved = format!("d{day}.example");
            let draft = draft(source, VersionKind::Snapshot, day, at);
            write(&store, draft, Some((&moved, true)), day != 2);
        }
        let apex = Name::parse("example").expect("sound");
        let zone = store
            .zones()
            .find_zone(&apex)
            .expect("read")
            .expect("there")
            .id;
        let count = |since: i64, until: i64| {
            let day = |day: i64| Timestamp::from_unix(day * 86_400);
            store
                .lookup()
                .bulk_count(zone, day(since), day(until))
                .expect("read")
        };
        assert_eq!([count(0, 3), count(0, 9), count(1, 4)], [2, 4, 2]);
    }

    #[test]
    fn version_that_was_read_is_read_again_when_something_joined_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.db");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let writer = Store::open(&path, options).expect("made");
        let source = writer
            .zones()
            .ensure_source("made", SourceKind::Feed)
            .expect("made");
        let draft = draft(source, VersionKind::Feed, 1, 1_790_000_000);
        write(&writer, draft, Some(("a.example", true)), false);
        let apex = Name::parse("example").expect("sound");
        let zone = writer
            .zones()
            .find_zone(&apex)
            .expect("read")
            .expect("there");
        let name = Name::parse("a.example").expect("sound");
        let reader = Store::open_read_only(&path).expect("opened");
        let is_bulk = || {
            let history = reader
                .lookup()
                .history(&name, HistoryScope::Name)
                .expect("read");
            history.changes[0].bulk
        };
        let kept = || {
            let known = reader.known_versions.as_ref().expect("it reads only");
            known.borrow().rows.len()
        };
        assert_eq!((is_bulk(), kept()), (false, 1));
        assert_eq!((is_bulk(), kept()), (false, 1));
        let joined = VersionDraft {
            joins: zone.version_id,
            drift: false,
            ..draft
        };
        write(&writer, joined, Some(("b.example", true)), true);
        assert_eq!((is_bulk(), kept()), (true, 1));
    }

    #[test]
    fn record_was_last_seen_when_the_zone_was_last_found_as_it_was() {
        for (kind, looks_count) in [(SourceKind::Transfer, true), (SourceKind::Zonefile, false)] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let options = StoreOptions {
                reverse_index: true,
                create: true,
            };
            let store = Store::open(folder.path().join("f.db"), options).expect("made");
            let apex = Name::parse("example").expect("sound");
            let source = store.zones().ensure_source("made", kind).expect("made");
            let snapshot = |serial: u32, at: i64, moved| {
                write(
                    &store,
                    draft(source, VersionKind::Snapshot, serial, at),
                    moved,
                    false,
                );
            };
            let look = |at: i64| {
                let apex = std::slice::from_ref(&apex);
                let zone = store
                    .zones()
                    .find_zone(&apex[0])
                    .expect("read")
                    .expect("there")
                    .id;
                let mark = || store.zones().state_mark(Some(&[zone])).expect("read");
                let (before, any_before) = (mark(), store.zones().state_mark(None).expect("read"));
                let at = Timestamp::from_unix(at);
                store.zones().record_zones_seen(apex, at).expect("noted");
                assert_ne!(before, mark(), "who has the answer must ask again");
                assert_ne!(any_before, store.zones().state_mark(None).expect("read"));
            };
            // When each name's record was last seen, by its history and by that of its address.
            let seen = || {
                let history = store
                    .lookup()
                    .history(&apex, HistoryScope::Below)
                    .expect("read");
                let names = history.records.iter();
                let mut names: Vec<_> = names
                    .map(|row| (row.owner.to_string(), row.last_seen_at.unix()))
                    .collect();
                names.sort();
                let mut users = Vec::new();
                let all = Used::Addresses(
                    "192.0.2.1".parse().expect("one"),
                    "192.0.2.1".parse().expect("one"),
                );
                store
                    .lookup()
                    .users_of(&all, &Wanted::default(), None, |row, _| {
                        users.push((row.owner.to_string(), row.last_seen_at.unix()));
                        Ok::<_, StoreError>(true)
                    })
                    .expect("read");
                users.sort();
                assert_eq!(names, users);
                names.into_iter().map(|(_, at)| at).collect::<Vec<_>>()
            };
            let either = |looks: i64, versions: i64| if looks_count { looks } else { versions };
            snapshot(1, 1000, Some(("a.example", true)));
            snapshot(2, 2000, Some(("b.example", true)));
            look(2000);
            assert_eq!(seen(), [2000, 2000]);
            // Nothing changed; of a file this says nothing that is newer than the file.
            look(3000);
            assert_eq!(seen(), [either(3000, 2000); 2]);
            // A newer file, or a whole transfer, without a change.
            snapshot(2, 3500, None);
            assert_eq!(seen(), [3500, 3500]);
            look(4000);
            snapshot(3, 5000, Some(("a.example", false)));
            assert_eq!(seen(), [either(4000, 3500), 5000]);
            look(5000);
            look(6000);
            assert_eq!(seen(), [either(4000, 3500), either(6000, 5000)]);
        }
    }
}
