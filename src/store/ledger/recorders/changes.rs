//! Counts what a version changes: of each owner, of the zone, and which owners moved alike.

use std::collections::{BTreeMap, HashMap};

use crate::dns::{Name, Rdata, Record, RecordType};
use crate::store::door::{Db, params};
use crate::store::error::StoreError;
use crate::store::ledger::changes::{ChangeCounts, pack};
use crate::store::ledger::moves::{BulkKind, BulkMove};
use crate::store::ledger::open_row::is_ns;
use crate::store::ledger::shared::SharedCounts;
use crate::store::ledger::writing::{OwnerEdit, Writing};
use crate::zone::{BulkMeasure, FirstRecord, OwnerChange, transition_signature, widest_grown};

/// How many names must make the same move for an alert to the administrator.
const MOVED_NAMES_MIN: usize = 10;
/// How many of them the alert names.
const MOVED_NAMES_KEPT: usize = 10;

/// How the zone's totals move.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Totals {
    pub kept: i64,
    pub names: i64,
    pub delegations: i64,
}

/// The same move of the name servers of some owners.
struct Move {
    owners: Vec<i64>,
    before: String,
    after: String,
    /// The first owners, up to [`MOVED_NAMES_KEPT`].
    names: Vec<String>,
}

/// Counts what a version changes.
#[derive(Default)]
pub(in crate::store) struct Changes {
    pub totals: Totals,
    /// Owners of which TTLs alone are new.
    pub retimed_name_count: u64,
    /// The largest RRset that the version adds to: owner, type, records.
    pub widest: Option<(Name, RecordType, u64)>,
    by_owner: HashMap<i64, ChangeCounts>,
    moves: HashMap<u64, Move>,
}

impl Changes {
    /// Counts an edit.
    pub fn note(&mut self, edit: &OwnerEdit) {
        let mut records = edit.rows.len() as i64;
        let mut ns = edit.rows.iter().filter(|row| row.is_ns()).count() as i64;
        for told in &edit.changes {
            self.note_widest(edit, &told.change);
            let (removed, added) = (&told.change.removed, &told.change.added);
            let records_after = records - removed.len() as i64 + added.len() as i64;
            let ns_after = ns - count_ns(removed) + count_ns(added);
            self.totals.kept += records_after - records;
            self.totals.names += i64::from(records_after > 0) - i64::from(records > 0);
            self.totals.delegations += i64::from(ns_after > 0) - i64::from(ns > 0);
            (records, ns) = (records_after, ns_after);
            if !told.change.is_change() {
                self.retimed_name_count += u64::from(!told.change.retimed.is_empty());
            } else if !told.baseline {
                self.count(edit, &told.change);
            }
        }
    }

    /// Counts an owner of a zone's first version, which has these records.
    pub fn note_first(&mut self, owner: &[u8], records: &[FirstRecord<'_>]) {
        let is_ns = |rr: &FirstRecord<'_>| rr.rtype == RecordType::Ns;
        self.totals.kept += records.len() as i64;
        self.totals.names += 1;
        self.totals.delegations += i64::from(records.iter().any(is_ns));
        let known = self.widest.as_ref().map_or(0, |(_, _, records)| *records);
        if records.len() as u64 <= known {
            return;
        }
        for rtype in RecordType::ALL {
            let count = records.iter().filter(|rr| rr.rtype == rtype).count() as u64;
            let known = self.widest.as_ref().map_or(0, |(_, _, records)| *records);
            if count > known
                && let Ok(owner) = Name::from_wire(owner)
            {
                self.widest = Some((owner, rtype, count));
            }
        }
    }

    /// Returns whether nothing was counted but TTLs.
    pub fn is_empty(&self) -> bool {
        self.by_owner.is_empty() && self.totals == Totals::default()
    }

    /// Returns how many owners changed.
    pub fn name_count(&self) -> u64 {
        self.by_owner.len() as u64
    }

    /// Returns how much of the zone the version changes so far.
    pub fn measure(&self, writing: &Writing<'_>) -> BulkMeasure {
        let counts = self.by_owner.values();
        BulkMeasure {
            names_before: writing.zone.name_count,
            delegations_before: writing.zone.delegation_count,
            names_changed: self.name_count(),
            delegations_changed: counts.filter(|counts| counts.ns != [0, 0]).count() as u64,
        }
    }

    /// Writes which owners changed, those that an earlier part of the version lists included. `hashed` are the owners
    /// that the version's tree has leaves of: what was there before watching began is listed without a count. Returns how
    /// many changed.
    pub fn write(
        &self,
        writing: &Writing<'_>,
        hashed: impl Iterator<Item = i64>,
    ) -> Result<usize, StoreError> {
        let mut owners: BTreeMap<i64, ChangeCounts> = BTreeMap::new();
        if writing.is_more() {
            owners.extend(writing.store.ledger().changes_of(writing.id)?);
        }
        for (owner_id, counts) in &self.by_owner {
            owners.entry(*owner_id).or_default().add(counts);
        }
        if !writing.is_baseline() {
            for owner_id in hashed {
                owners.entry(owner_id).or_default();
            }
        }
        let changed = owners.values().filter(|counts| !counts.is_zero()).count();
        let octets = pack(owners.iter().map(|(owner_id, counts)| (*owner_id, counts)));
        if !octets.is_empty() {
            let sql = "insert into change (version_id, octets) values (?, ?)
                       on conflict (version_id) do update set octets = excluded.octets";
            let written = |db: &Db| db.write(sql, params![writing.id, octets]);
            writing.store.run(written)?;
        }
        let (ledger, is_more) = (writing.store.ledger(), writing.is_more());
        ledger.add_shared(writing.id, is_more, self.shared_counts())?;
        Ok(changed)
    }

    /// Returns the owners that made a move which others made, and how many made it.
    fn shared_counts(&self) -> SharedCounts {
        let mut shared = SharedCounts::new();
        for moved in self.moves.values().filter(|it| it.owners.len() > 1) {
            for owner_id in &moved.owners {
                let count = shared.entry(*owner_id).or_default();
                *count = moved.owners.len().max(*count as usize) as u32;
            }
        }
        shared
    }

    /// Records what the administrator is alerted to: the same move of many names, and a mass change as a whole.
    pub fn write_moves(&self, writing: &Writing<'_>, bulk: bool) -> Result<(), StoreError> {
        let moved = |kind, name_count: usize| BulkMove {
            id: 0,
            version_id: writing.id,
            zone: writing.zone.apex.clone(),
            at: writing.draft.observed_at,
            kind,
            name_count: name_count as u32,
            before: String::new(),
            after: String::new(),
            names: String::new(),
        };
        let mut moves: Vec<BulkMove> = self
            .moves
            .values()
            .filter(|it| !bulk && !writing.draft.drift && it.owners.len() >= MOVED_NAMES_MIN)
            .map(|it| BulkMove {
                before: it.before.clone(),
                after: it.after.clone(),
                names: it.names.join(","),
                ..moved(BulkKind::Nameservers, it.owners.len())
            })
            .collect();
        if bulk {
            moves.push(moved(BulkKind::Version, self.by_owner.len()));
        }
        let ledger = writing.store.ledger();
        ledger.note_bulk_moves(writing.zone.id, moves)
    }

    /// Counts the records of a change, and its move of name servers.
    fn count(&mut self, edit: &OwnerEdit, change: &OwnerChange) {
        let counts = self.by_owner.entry(edit.id).or_default();
        for (side, records) in [&change.added, &change.removed].into_iter().enumerate() {
            for rr in records {
                match rr.rdata.rtype() {
                    RecordType::Ns => counts.ns[side] += 1,
                    RecordType::A | RecordType::Aaaa => counts.address[side] += 1,
                    RecordType::Cname | RecordType::Ds => counts.other += 1,
                }
            }
        }
        if let Some(signature) = transition_signature(&edit.owner, change) {
            let moved = self.moves.entry(signature);
            let moved = moved.or_insert_with(|| Move::of(change));
            moved.owners.push(edit.id);
            if moved.names.len() < MOVED_NAMES_KEPT {
                moved.names.push(edit.owner.to_string());
            }
        }
    }

    /// Keeps the largest RRset that the version adds to.
    fn note_widest(&mut self, edit: &OwnerEdit, change: &OwnerChange) {
        let known = self.widest.as_ref().map_or(0, |(_, _, records)| *records);
        if change.added.is_empty() || (edit.rows.len() + change.added.len()) as u64 <= known {
            return;
        }
        let before = edit.rows.iter().map(|row| &row.record);
        if let Some((rtype, records)) = widest_grown(before, change)
            && records > known
        {
            self.widest = Some((edit.owner.clone(), rtype, records));
        }
    }
}

impl Move {
    /// Returns the move of one owner.
    fn of(change: &OwnerChange) -> Self {
        let hosts = |records: &[Record]| {
            let hosts = records.iter().filter_map(|it| match &it.rdata {
                Rdata::Ns(host) => Some(host.to_string()),
                _ => None,
            });
            hosts.collect::<Vec<_>>().join(",")
        };
        Self {
            owners: Vec::new(),
            before: hosts(&change.removed),
            after: hosts(&change.added),
            names: Vec::new(),
        }
    }
}

/// Returns how many name servers are among records.
fn count_ns(records: &[Record]) -> i64 {
    records.iter().filter(|rr| is_ns(rr)).count() as i64
}
