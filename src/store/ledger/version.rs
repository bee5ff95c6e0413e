//! Writes one zone version: begin, apply, commit.
//!
//! All of a version is one transaction: its row, the closed and opened intervals, the index of
//! changes, the zone's serial and counts. A version that is dropped leaves no trace.
//!
//! Owners come in sets: those of a set are read together, what is new of them is worked out in memory, and each recorder
//! writes its tables with a few statements, however many owners there are.

use std::collections::{HashMap, HashSet};

use crate::dns::{Name, Rdata, Record, RecordType, Serial};
use crate::evidence::Hash;
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::handle::StoreTx;
use crate::store::ledger::Ledger;
use crate::store::ledger::digests::{FirstSlots, Newest};
use crate::store::ledger::draft::{Committed, Comparison, ReadFile, VersionDraft, VersionKind};
use crate::store::ledger::open_row::OpenRow;
use crate::store::ledger::recorders::changes::Changes;
use crate::store::ledger::recorders::intervals::Intervals;
use crate::store::ledger::recorders::leaves::Leaves;
use crate::store::ledger::recorders::registrations::{Registration, Registrations};
use crate::store::ledger::recorders::users::Users;
use crate::store::ledger::recorders::way::Way;
use crate::store::ledger::states::OwnerState;
use crate::store::ledger::writing::{OwnerEdit, Told, Writing, hosts_elsewhere};
use crate::store::zones::enclosing::{SEEN_AT, is_looked_at_between};
use crate::store::zones::watched::{TTLS_KEY, ZoneState};
use crate::zone::{
    BulkMeasure, Candidate, Missed, OwnerChange, Slot, StepOwner, breaks_cname, diff,
    missed_between,
};

/// How many owners are read and written together: each with its records and its change in memory.
const OWNERS_AT_ONCE: usize = 10_000;

/// A version being written: the list of its recorders.
pub struct VersionTx<'a> {
    /// `None` for a version that is part of the caller's transaction.
    tx: Option<StoreTx<'a>>,
    pub(in crate::store) writing: Writing<'a>,
    pub(in crate::store) intervals: Intervals,
    pub(in crate::store) changes: Changes,
    pub(in crate::store) leaves: Leaves,
    pub(in crate::store) users: Users,
    registrations: Registrations,
    way: Way,
    is_kept: bool,
    /// New digests: hash, and the slot or `None` for an owner that is gone.
    digests: Vec<(u64, Option<Slot>)>,
    /// The digests of a first version.
    pub(in crate::store) slots: Option<FirstSlots>,
}

/// What a feed or a probe says of one owner.
#[derive(Debug, Clone)]
pub struct SourceChange {
    /// The owner.
    pub owner: Name,
    /// What became of some of its records.
    pub change: OwnerChange,
    /// Whether the new ones were there before watching began.
    pub baseline: bool,
}

impl SourceChange {
    /// Returns that nothing became of an owner.
    pub fn none(owner: &Name) -> Self {
        Self {
            owner: owner.clone(),
            change: OwnerChange::default(),
            baseline: false,
        }
    }
}

impl<'a> Ledger<'a> {
    /// Begins a version of `zone`.
    pub fn begin(self, zone: &ZoneState, draft: VersionDraft) -> Result<VersionTx<'a>, StoreError> {
        if draft.kind == VersionKind::Feed || draft.joins.is_some() {
            // What is told of single RRsets does not go through the digests.
            self.drop_digests(zone);
        }
        let tx = self.store.begin_batch()?;
        if draft.joins.is_some() {
            self.check_newest(zone)?;
        }
        let part = self.begin_part(zone, draft)?;
        Ok(VersionTx {
            tx: Some(tx),
            ..part
        })
    }

    /// Checks that a zone is still as it was read: what comes next is compared with that.
    ///
    /// # Errors
    ///
    /// [`StoreError::Overtaken`] if it has got a version since.
    pub fn check_newest(&self, zone: &ZoneState) -> Result<(), StoreError> {
        let newest: Option<Option<i64>> = self
            .store
            .run(|db| db.first_value("select version_id from zone where id = ?", [zone.id.0]))?;
        if newest == Some(zone.version_id) {
            Ok(())
        } else {
            Err(StoreError::Overtaken(zone.apex.clone()))
        }
    }

    /// Begins a version of `zone` that is part of a transaction: [`VersionTx::commit`] then ends the
    /// version, and the transaction makes it durable.
    ///
    /// # Errors
    ///
    /// [`StoreError::Overtaken`] if it is a version of its own and the zone has got one since it was read.
    pub fn begin_part(
        self,
        zone: &ZoneState,
        draft: VersionDraft,
    ) -> Result<VersionTx<'a>, StoreError> {
        let (id, chain_before) = match draft.joins {
            Some(id) => (id, None),
            None => self.make_version(zone, &draft)?,
        };
        let writing = Writing {
            store: self.store,
            zone: zone.clone(),
            draft,
            id,
            chain_before,
        };
        Ok(VersionTx {
            tx: None,
            writing,
            intervals: Intervals::default(),
            changes: Changes::default(),
            leaves: Leaves::default(),
            users: Users::default(),
            registrations: Registrations::default(),
            way: Way::default(),
            is_kept: false,
            digests: Vec::new(),
            slots: None,
        })
    }

    /// Makes the row of a version, if the zone is still as it was read: what comes next is compared with that. Returns
    /// the row, and the newest hash of the zone's chain.
    fn make_version(
        self,
        zone: &ZoneState,
        draft: &VersionDraft,
    ) -> Result<(i64, Option<Hash>), StoreError> {
        let made = self.store.run(|db| {
            let sql =
                "insert into version (zone_id, source_id, kind, serial, observed_at, previous_id)
                       select z.id, cast(?2 as bigint), ?3, cast(?4 as bigint), cast(?5 as bigint),
                              (select id
                                 from version where zone_id = ?1 and observed_at <= ?5
                                order by observed_at desc, id desc limit 1)
                         from zone z where z.id = ?1 and z.version_id is not distinct from ?6
                       returning id, (select hash
                                        from chain where zone_id = ?1
                                       order by id desc limit 1) as chain_before";
            let values = params![
                zone.id,
                draft.source,
                draft.kind.word(),
                draft.serial,
                draft.observed_at,
                zone.version_id
            ];
            db.write_returning(sql, values, |row| {
                let before: Option<[u8; 32]> = row.get("chain_before")?;
                Ok((row.get("id")?, Some(before.map(Hash).unwrap_or_default())))
            })
        })?;
        made.ok_or_else(|| StoreError::Overtaken(zone.apex.clone()))
    }
}

impl VersionTx<'_> {
    /// Applies owners whose records may differ from the state.
    pub fn apply_candidates(&mut self, candidates: Vec<Candidate>) -> Result<(), StoreError> {
        let is_first = self.writing.zone.version_id.is_none();
        let baseline = self.writing.is_baseline();
        for candidates in sets(candidates, |it| &it.owner) {
            let states = self.states(candidates.iter().map(|it| &it.owner))?;
            let mut edits = Vec::with_capacity(candidates.len());
            for (candidate, state) in candidates.into_iter().zip(states) {
                let (id, before) = (state.id, records_of(&state.rows));
                let mut after = candidate.records;
                if candidate.extends_last {
                    after.extend(before.iter().cloned());
                }
                let change = diff(&before, &after);
                let slot = if is_first {
                    self.slot(&candidate.owner, id, &change.added)
                } else {
                    self.slot(&candidate.owner, id, &crate::zone::apply(&before, &change))
                };
                self.digests.push((slot.hash, Some(slot)));
                let changes = vec![Told { change, baseline }];
                edits.push(OwnerEdit::new(candidate.owner, state, changes));
            }
            self.write(&edits)?;
        }
        Ok(())
    }

    /// Applies the end of owners that the version does not mention: their rows and hashes.
    pub fn apply_vanished(&mut self, owners: &[(i64, u64)]) -> Result<(), StoreError> {
        let (ledger, apex) = (self.writing.store.ledger(), self.writing.zone.apex.clone());
        for owners in owners.chunks(OWNERS_AT_ONCE) {
            let ids: Vec<i64> = owners.iter().map(|(id, _)| *id).collect();
            let mut states = ledger.states_of(&ids, &apex)?;
            let mut edits = Vec::with_capacity(owners.len());
            for id in ids {
                let missing = || self.writing.store.damaged(format!("no owner {id}"));
                let (owner, state) = states.remove(&id).ok_or_else(missing)?;
                let change = OwnerChange {
                    removed: records_of(&state.rows),
                    ..OwnerChange::default()
                };
                let baseline = false;
                let changes = vec![Told { change, baseline }];
                edits.push(OwnerEdit::new(owner, state, changes));
            }
            self.write(&edits)?;
            self.digests
                .extend(owners.iter().map(|(_, hash)| (*hash, None)));
        }
        Ok(())
    }

    /// Applies what a step of an incremental transfer does to owners. A sentence, if the step does
    /// not fit the state: the transaction is then to be dropped.
    pub fn apply_step(
        &mut self,
        owners: Vec<(Name, StepOwner)>,
    ) -> Result<Result<(), String>, StoreError> {
        for owners in sets(owners, |(owner, _)| owner) {
            let states = self.states(owners.iter().map(|(owner, _)| owner))?;
            let mut edits = Vec::with_capacity(owners.len());
            for ((owner, step), state) in owners.into_iter().zip(states) {
                let before = records_of(&state.rows);
                let change = match step.change(&before) {
                    Ok(change) => change,
                    Err(what) => return Ok(Err(format!("{owner}: {what}"))),
                };
                let after = crate::zone::apply(&before, &change);
                self.way.breaks_cname |= !breaks_cname(&before) && breaks_cname(&after);
                let slot = self.slot(&owner, state.id, &after);
                self.digests
                    .push((slot.hash, (!after.is_empty()).then_some(slot)));
                let baseline = false;
                let changes = vec![Told { change, baseline }];
                edits.push(OwnerEdit::new(owner, state, changes));
            }
            self.write(&edits)?;
        }
        Ok(Ok(()))
    }

    /// Returns RRsets as they stand, with what this version did to them. Each is sorted and may be empty.
    pub fn rrsets(&self, keys: &[(&Name, RecordType)]) -> Result<Vec<Vec<Record>>, StoreError> {
        let ledger = self.writing.store.ledger();
        let mut owners: Vec<&Name> = keys.iter().map(|(owner, _)| *owner).collect();
        owners.sort_unstable();
        owners.dedup();
        let ids = ledger.find_owners(&self.writing.zone, &owners)?;
        let there: Vec<i64> = ids.iter().copied().flatten().collect();
        let rows = ledger.open_rows_of(&there)?;
        let rrset = |(owner, rtype): &(&Name, RecordType)| {
            let place = owners.binary_search(owner).ok()?;
            let rows = rows.get(&ids[place]?)?.iter().map(|row| &row.record);
            let of_type = rows.filter(|rr| rr.rdata.rtype() == *rtype);
            let mut records: Vec<Record> = of_type.cloned().collect();
            records.sort();
            Some(records)
        };
        Ok(keys
            .iter()
            .map(|key| rrset(key).unwrap_or_default())
            .collect())
    }

    /// Applies changes that a feed or a probe told: no record is in two of them.
    pub fn apply_changes(&mut self, told: Vec<SourceChange>) -> Result<(), StoreError> {
        // The changes of an owner stand together: in the order of the first.
        let mut by_owner: Vec<(Name, Vec<Told>)> = Vec::new();
        let mut places: HashMap<Name, usize> = HashMap::new();
        for SourceChange {
            owner,
            change,
            baseline,
        } in told
        {
            let place = *places.entry(owner).or_insert_with_key(|owner| {
                by_owner.push((owner.clone(), Vec::new()));
                by_owner.len() - 1
            });
            by_owner[place].1.push(Told { change, baseline });
        }
        for owners in sets(by_owner, |(owner, _)| owner) {
            let states = self.states(owners.iter().map(|(owner, _)| owner))?;
            let edits = owners.into_iter().zip(states);
            let edits =
                edits.map(|((owner, changes), state)| OwnerEdit::new(owner, state, changes));
            self.write(&edits.collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// Keeps new registrations of names, as of this version, where the registry's id or the date of
    /// creation is not the one known. The first one known of a name is none.
    pub fn record_registrations(&mut self, told: &[Registration<'_>]) -> Result<(), StoreError> {
        self.registrations.note(&self.writing, told)
    }

    /// Returns how many owners more than before have records, so far.
    pub fn new_name_count(&self) -> i64 {
        self.changes.totals.names
    }

    /// Returns the largest RRset that the version adds to so far: owner, type, records.
    pub fn widest_rrset(&self) -> Option<&(Name, RecordType, u64)> {
        self.changes.widest.as_ref()
    }

    /// Says that the primary itself told the step from the version before to this one.
    pub fn came_as_step(&mut self) {
        self.way.is_step = true;
    }

    /// Says that the version is a whole zone from a primary, with which the state is compared: the zone's row
    /// says so as soon as history holds what differed.
    pub fn came_whole(&mut self, comparison: Comparison) {
        self.way.compared = Some(comparison);
    }

    /// Says that the version is a zone file, which is known again from now on.
    pub fn came_as_file(&mut self, file: ReadFile) {
        self.way.file = Some(file);
    }

    /// Keeps the version's row although it may say nothing new.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Returns how much of the zone the version changes so far.
    pub fn measure(&self) -> BulkMeasure {
        self.changes.measure(&self.writing)
    }

    /// Makes the version durable. A `bulk` version accuses nobody.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the version then leaves no trace.
    pub fn commit(mut self, bulk: bool) -> Result<Committed, StoreError> {
        let is_news = self.is_news();
        let missed = self.missed()?;
        let zone = &self.writing.zone;
        let (mut state, mut hash) = ((zone.kept_count, zone.serial), None);
        let ttls = match is_news || self.changes.retimed_name_count == 0 {
            true => zone.ttls,
            false => self.note_ttls()?,
        };
        if is_news {
            let changed = self.changes.write(&self.writing, self.leaves.owners())?;
            state = self.write_rows(changed, bulk, missed)?;
            self.changes.write_moves(&self.writing, bulk)?;
            // After the rows: the months that are looked into reach to the zone's newest version.
            hash = Some(self.leaves.write(&self.writing)?);
            self.users.write(&self.writing)?;
        } else if !self.writing.is_more() {
            self.take_back()?;
        }
        let changed_name_count = self.changes.name_count();
        let retimed_name_count = self.changes.retimed_name_count;
        let name_count = changed_name_count + retimed_name_count;
        self.way.write(&self.writing, name_count, is_news)?;
        if let Some(tx) = self.tx {
            tx.commit()?;
            // After the commit: digests of a version that is not in history would hide its changes from the next
            // comparison.
            let is_durable = !self.writing.store.is_grouped.get();
            if let Some(slots) = self.slots.filter(|_| is_durable) {
                let version_id = self.writing.id;
                let newest = Newest {
                    version_id,
                    hash,
                    ttls,
                };
                slots.publish(&self.writing.zone.apex, newest);
            }
        }
        Ok(Committed {
            version_id: is_news.then_some(self.writing.id),
            changed_name_count,
            retimed_name_count,
            missed: missed.filter(|_| is_news),
            breaks_cname: self.way.breaks_cname,
            record_count: state.0,
            serial: state.1,
            hash,
            ttls,
            digests: self.digests,
        })
    }

    /// Notes that TTLs alone are new, which makes no version: what any host keeps of the zone as it was no longer tells
    /// what is there.
    fn note_ttls(&self) -> Result<i64, StoreError> {
        let (zone, at) = (&self.writing.zone, self.writing.draft.observed_at);
        let count = self.changes.retimed_name_count as i64;
        let mut told = Vec::with_capacity(4 * 8 + self.digests.len() * 8);
        for number in [zone.ttls, self.writing.id, at.unix(), count] {
            told.extend_from_slice(&number.to_le_bytes());
        }
        for slot in self.digests.iter().filter_map(|(_, slot)| slot.as_ref()) {
            told.extend_from_slice(&slot.digest.to_le_bytes());
        }
        let ttls = self.writing.store.key.checksum(&told) as i64;
        let key = format!("{TTLS_KEY}{}", zone.id.0);
        self.writing.store.desk().save_number(&key, ttls)?;
        Ok(ttls)
    }

    /// Returns whether the version says anything new.
    fn is_news(&self) -> bool {
        let (zone, draft) = (&self.writing.zone, &self.writing.draft);
        let is_new_serial = draft.serial != zone.serial || zone.version_id.is_none();
        // An older serial that changes nothing was told before: lines of a feed that are read once more.
        let is_late = zone
            .version_at
            .is_some_and(|newest| draft.observed_at < newest);
        !self.changes.is_empty()
            || !self.leaves.is_empty()
            || self.registrations.is_told
            || self.is_kept
            || (is_new_serial && !is_late && !self.writing.is_more())
    }

    /// Takes the version's row back. New TTLs may have been written; the version itself says nothing but that the zone is
    /// as it was.
    fn take_back(&self) -> Result<(), StoreError> {
        let (zone, draft) = (&self.writing.zone, &self.writing.draft);
        self.writing.store.run(|db| {
            if draft.kind == VersionKind::Snapshot {
                let sql = "update version
                              set seen_until_at = case when coalesce(seen_until_at, observed_at) > ?2
                                                   then coalesce(seen_until_at, observed_at)
                                                   else ?2 end
                            where id = ?1";
                db.write(sql, params![zone.version_id, draft.observed_at])?;
            }
            db.write("delete from version where id = ?", [self.writing.id])
        })
    }

    /// Returns what did not arrive between the zone's newest version and this one, if this is a version
    /// after it.
    fn missed(&self) -> Result<Option<Missed>, StoreError> {
        let is_next = self.writing.draft.kind == VersionKind::Snapshot
            && self.writing.draft.joins.is_none()
            && self.writing.zone.newest_is_whole;
        let serials = self.writing.zone.serial.zip(self.writing.draft.serial);
        let Some((before, serial)) = serials.filter(|_| is_next) else {
            return Ok(None);
        };
        let missed = missed_between(before, serial, self.writing.draft.observed_at);
        match missed {
            // Of a step the primary itself says where it began; what its serials do not tell is not lost.
            Some(Missed::Unknown) if self.way.is_step => Ok(None),
            // Serials that are always raised by ten leave out nothing; a step that is longer than the one before
            // may be several that the primary joined (Knot's journal).
            Some(Missed::AtMost(count))
                if self.way.is_step && self.step_before()? == Some(count + 1) =>
            {
                Ok(None)
            }
            missed => Ok(missed),
        }
    }

    /// Returns by how much the serial of the zone's newest version is greater than that of the one before;
    /// `None` if there is none, or one has no serial. Reads two rows by `version_by_zone`.
    fn step_before(&self) -> Result<Option<u32>, StoreError> {
        let serials: Vec<Option<u32>> = self.writing.store.run(|db| {
            let sql = "select serial
                         from version where zone_id = ? and id <> ?
                        order by observed_at desc, id desc limit 2";
            db.values(sql, params![self.writing.zone.id, self.writing.id])
        })?;
        Ok(match serials[..] {
            [Some(newest), Some(before)] => Some(newest.wrapping_sub(before)),
            _ => None,
        })
    }

    /// Moves the rows of the version, which changed so many names, of the zone and of the source. Returns how many records
    /// the zone has now, and its serial.
    fn write_rows(
        &self,
        changed: usize,
        bulk: bool,
        missed: Option<Missed>,
    ) -> Result<(u64, Option<Serial>), StoreError> {
        let joins = self.writing.draft.joins.is_some();
        // What was there before watching began is no change: there is nothing to judge.
        let is_first = self.slots.is_some() && !joins && self.writing.zone.version_id.is_none();
        let is_newest = self
            .writing
            .zone
            .version_at
            .is_none_or(|newest| newest <= self.writing.draft.observed_at);
        self.writing.store.run(|db| {
            let sql = "update version
                          set bulk = case when ?2 > bulk then ?2 else bulk end,
                              drift = case when ?3 > drift then ?3 else drift end,
                              missed_max = coalesce(?4, missed_max), changed_name_count = ?5
                        where id = ?1";
            db.write(
                sql,
                params![
                    self.writing.id,
                    bulk,
                    self.writing.draft.drift,
                    missed.map(Missed::stored),
                    changed as i64
                ],
            )?;
            if is_newest && !joins && is_looked_at_between(self.writing.zone.source_kind) {
                // What was looked at in between, and found unchanged, stood in the zone's row until now.
                let sql = format!(
                    "update version as v
                        set seen_until_at = n.at
                       from (select version_id, {SEEN_AT} as at from zone z where id = ?1) n
                      where v.id = n.version_id and n.at > coalesce(v.seen_until_at, v.observed_at)
                            and n.at < ?2"
                );
                db.write(&sql, params![self.writing.zone.id, self.writing.draft.observed_at])?;
            }
            let sql = "update zone
                          set version_id = case when ?7 then ?2 else version_id end,
                              serial = case when ?7 then coalesce(?3, serial) else serial end,
                              kept_count = kept_count + ?4, name_count = name_count + ?5,
                              delegation_count = delegation_count + ?6,
                              detected_version_id = case when ?13 then ?2
                                                         when detected_version_id > ?2 - 1 then ?2 - 1
                                                         else detected_version_id end,
                              version_count = version_count + ?8, change_count = change_count + ?9,
                              usual_ttl = coalesce(usual_ttl, ?10),
                              missed_count = missed_count + ?11,
                              missed_unknown_count = missed_unknown_count + ?12
                        where id = ?1
                       returning kept_count, serial";
            let state = db.write_returning_one(
                sql,
                params![
                    self.writing.zone.id,
                    self.writing.id,
                    self.writing.draft.serial,
                    self.changes.totals.kept,
                    self.changes.totals.names,
                    self.changes.totals.delegations,
                    is_newest,
                    !joins,
                    self.changes.name_count() as i64,
                    self.intervals.first_ttl,
                    missed.map_or(0, Missed::stored),
                    missed == Some(Missed::Unknown),
                    is_first
                ],
                |row| Ok((row.get::<i64>("kept_count")? as u64, row.get("serial")?)),
            )?;
            let sql = "update source
                          set last_event_at = case when last_event_at > ?2 then last_event_at else ?2 end
                        where id = ?1";
            db.write(sql, params![self.writing.draft.source, self.writing.draft.observed_at])?;
            Ok(state)
        })
    }

    /// Returns owners as they stand.
    fn states<'n>(
        &self,
        owners: impl Iterator<Item = &'n Name>,
    ) -> Result<Vec<OwnerState>, StoreError> {
        let ledger = self.writing.store.ledger();
        ledger.owner_states(&self.writing.zone, &owners.collect::<Vec<_>>())
    }

    /// Has every recorder take what changes of owners.
    fn write(&mut self, edits: &[OwnerEdit]) -> Result<(), StoreError> {
        self.make_hosts(edits)?;
        self.intervals.note(&self.writing, edits)?;
        for edit in edits {
            self.changes.note(edit);
            self.leaves.note(edit);
        }
        self.users.note(&self.writing, edits)
    }

    /// Makes the rows of the name servers that edits are about to write or to count.
    fn make_hosts(&self, edits: &[OwnerEdit]) -> Result<(), StoreError> {
        let after: Vec<Vec<OpenRow>> = edits
            .iter()
            .map(|edit| edit.name_servers_after(self.writing.id))
            .collect();
        let mut wanted = Vec::new();
        for (edit, after) in edits.iter().zip(&after).filter(|(edit, _)| edit.moves_ns()) {
            let added = edit.added().filter_map(|rr| match &rr.rdata {
                Rdata::Ns(host) => Some(host),
                _ => None,
            });
            wanted.extend(added.map(|host| (host, false)));
            let counted = hosts_elsewhere(&edit.owner, &edit.rows);
            let counted = counted.chain(hosts_elsewhere(&edit.owner, after));
            wanted.extend(counted.map(|host| (host, true)));
        }
        self.writing.store.ledger().make_hosts(&wanted)
    }

    /// Returns the digest of an owner's new state, for the table that the next version is compared with.
    fn slot(&self, owner: &Name, id: i64, state: &[Record]) -> Slot {
        let key = &self.writing.store.key;
        Slot {
            hash: key.hash_owner(owner.as_wire()),
            digest: key.digest_owner(state),
            id,
        }
    }
}

/// Returns the records of rows.
fn records_of(rows: &[OpenRow]) -> Vec<Record> {
    rows.iter().map(|row| row.record.clone()).collect()
}

/// Cuts what comes by owners into sets of a bounded size in each of which every owner is there once.
fn sets<T>(items: Vec<T>, owner: impl Fn(&T) -> &Name) -> Vec<Vec<T>> {
    let mut sets: Vec<Vec<T>> = Vec::new();
    let mut owners: HashSet<Name> = HashSet::new();
    for item in items {
        let is_new = owners.insert(owner(&item).clone());
        match sets.last_mut() {
            Some(set) if is_new && set.len() < OWNERS_AT_ONCE => set.push(item),
            _ => {
                owners = HashSet::from([owner(&item).clone()]);
                sets.push(vec![item]);
            }
        }
    }
    sets
}
