//! Writes one zone version: begin, apply, commit.
//!
//! All of a version is one transaction: its row, the closed and opened intervals, the index of
//! changes, the zone's serial and counts. A version that is dropped leaves no trace.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet, hash_map};

use crate::dns::{Name, Rdata, Record, RecordType};
use crate::evidence::{ChainHead, Entry, Merkle, Op, leaf};
use crate::store::door::{Value, ValueRef, params};
use crate::store::error::StoreError;
use crate::store::ledger::Ledger;
use crate::store::ledger::changes::{ChangeCounts, pack};
use crate::store::ledger::draft::{Committed, Comparison, VersionDraft, VersionKind};
use crate::store::ledger::intervals::insert_first;
use crate::store::ledger::moves::{BulkKind, BulkMove};
use crate::store::ledger::open_row::{OpenRow, is_ns};
use crate::store::ledger::tally::Tally;
use crate::store::ledger::writing::{Move, Totals, VersionTx};
use crate::store::zones::enclosing::SEEN_AT;
use crate::store::zones::watched::ZoneState;
use crate::time::Timestamp;
use crate::zone::{
    Batch, BulkMeasure, Candidate, Missed, OwnerChange, Slot, StepOwner, breaks_cname, diff,
    missed_between, transition_signature, widest_grown,
};

/// How many names must make the same move for an alert to the administrator.
const MOVED_NAMES_MIN: usize = 10;
/// How many of them the note names.
const MOVED_NAMES_KEPT: usize = 10;

impl<'a> Ledger<'a> {
    /// Begins a version of `zone`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn begin(self, zone: &ZoneState, draft: VersionDraft) -> Result<VersionTx<'a>, StoreError> {
        if draft.kind == VersionKind::Feed || draft.joins.is_some() {
            // What is told of single RRsets does not go through the digests.
            self.drop_digests(zone);
        }
        let tx = self.store.begin_batch()?;
        self.check_newest(zone)?;
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
    /// [`StoreError`].
    pub fn begin_part(
        self,
        zone: &ZoneState,
        draft: VersionDraft,
    ) -> Result<VersionTx<'a>, StoreError> {
        let id = match draft.joins {
            Some(id) => id,
            None => self.store.run(|db| {
                let sql = "insert into version (zone_id, source_id, kind, serial, observed_at,
                                                previous_id)
                           values (?1, ?2, ?3, ?4, ?5,
                                   (select id
                                      from version where zone_id = ?1 and observed_at <= ?5
                                     order by observed_at desc, id desc limit 1))
                           returning id";
                db.value(
                    sql,
                    params![
                        zone.id,
                        draft.source,
                        draft.kind.word(),
                        draft.serial,
                        draft.observed_at
                    ],
                )
            })?,
        };
        Ok(VersionTx {
            store: self.store,
            tx: None,
            zone: zone.clone(),
            draft,
            id,
            changes: HashMap::new(),
            leaves: HashMap::new(),
            first: (Merkle::default(), 0),
            first_ttl: None,
            moves: HashMap::new(),
            totals: Totals::default(),
            tally: Tally::default(),
            users: Vec::new(),
            weeks: HashMap::new(),
            has_registration: false,
            is_kept: false,
            retimed_name_count: 0,
            breaks_cname: false,
            is_step: false,
            compared: None,
            widest: None,
            digests: Vec::new(),
        })
    }
}

impl VersionTx<'_> {
    /// Applies an owner whose records may differ from the state.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn apply_candidate(&mut self, candidate: Candidate) -> Result<(), StoreError> {
        let is_first = self.zone.version_id.is_none();
        let (owner_id, rows) = self.owner_rows(&candidate.owner)?;
        let before: Vec<Record> = rows.iter().map(|row| row.record.clone()).collect();
        let mut after = candidate.records;
        if candidate.extends_last {
            after.extend(before.iter().cloned());
        }
        let change = diff(&before, &after);
        let is_baseline = self.draft.kind == VersionKind::Baseline;
        self.write(owner_id, &candidate.owner, rows, &change, is_baseline)?;
        let hash = self.store.key.hash_owner(candidate.owner.as_wire());
        let state = if is_first {
            change.added
        } else {
            crate::zone::apply(&before, &change)
        };
        let digest = self.store.key.digest_owner(&state);
        self.digests.push((
            hash,
            Some(Slot {
                hash,
                digest,
                id: owner_id,
            }),
        ));
        Ok(())
    }

    /// Applies owners of a zone's first version, before which nothing is known. Returns their rows with
    /// their digests.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn apply_first(&mut self, batch: &Batch) -> Result<Vec<Slot>, StoreError> {
        let mut owners = Vec::new();
        for (wire, octets) in batch.groups() {
            let owner = Name::from_wire(wire);
            let owner = owner.map_err(|fault| self.store.damaged(fault.to_string()))?;
            let key = owner.relative_key(&self.zone.apex);
            let key =
                key.ok_or_else(|| self.store.damaged(format!("{owner} is not in the zone")))?;
            owners.push((key, wire, octets));
        }
        // The order of the index of owners: rows that are written after each other lie beside each other.
        owners.sort_unstable_by(|left, right| left.0.cmp(&right.0));
        let first_id: i64 = self
            .store
            .run(|db| db.value("select coalesce(max(id), 0) + 1 from owner", ()))?;
        let mut slots = Vec::with_capacity(owners.len());
        let mut rows = Vec::new();
        let mut records = Vec::new();
        self.users.clear();
        for (id, (_, wire, octets)) in (first_id..).zip(&owners) {
            Batch::records_of(octets, &mut records);
            let mut digest = 0_u64;
            let mut has_ns = false;
            let mut entries = Vec::with_capacity(records.len());
            for rr in &records {
                let code = rr.rtype.code();
                self.first_ttl.get_or_insert(rr.ttl);
                entries.push(Entry {
                    op: Op::There,
                    code,
                    rdata: Cow::Borrowed(rr.rdata),
                });
                digest = digest.wrapping_add(self.store.key.digest_record(code, rr.ttl, rr.rdata));
                let value = if rr.rtype == RecordType::Ns {
                    has_ns = true;
                    ValueRef::Integer(self.host_of_first(wire, rr.rdata)?)
                } else {
                    ValueRef::Octets(rr.rdata)
                };
                rows.push((id, code, value, rr.ttl));
            }
            self.totals.kept += records.len() as i64;
            self.totals.names += 1;
            self.totals.delegations += i64::from(has_ns);
            self.count_first()?;
            self.first.0.push(leaf(wire, &mut entries));
            self.first.1 = id;
            let hash = self.store.key.hash_owner(wire);
            slots.push(Slot { hash, digest, id });
        }
        self.store.run(|db| {
            let mut insert_owner =
                db.prepare("insert into owner (id, zone_id, name) values (?, ?, ?)")?;
            for (id, (key, _, _)) in (first_id..).zip(&owners) {
                insert_owner.execute(params![id, self.zone.id, key])?;
            }
            insert_first(db, self.id, &rows)
        })?;
        Ok(slots)
    }

    /// Applies the end of an owner that the version does not mention.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn apply_vanished(&mut self, owner_id: i64, hash: u64) -> Result<(), StoreError> {
        let owner = self.store.ledger().owner_name(owner_id, &self.zone.apex)?;
        let rows = self.open_rows(owner_id)?;
        let change = OwnerChange {
            removed: rows.iter().map(|row| row.record.clone()).collect(),
            ..OwnerChange::default()
        };
        self.write(owner_id, &owner, rows, &change, false)?;
        self.digests.push((hash, None));
        Ok(())
    }

    /// Applies what a step of an incremental transfer does to an owner. A sentence, if the step does
    /// not fit the state: the transaction is then to be dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn apply_step(
        &mut self,
        owner: &Name,
        step: &StepOwner,
    ) -> Result<Result<(), String>, StoreError> {
        let (owner_id, rows) = self.owner_rows(owner)?;
        let before: Vec<Record> = rows.iter().map(|row| row.record.clone()).collect();
        let change = match step.change(&before) {
            Ok(change) => change,
            Err(what) => return Ok(Err(format!("{owner}: {what}"))),
        };
        self.write(owner_id, owner, rows, &change, false)?;
        let hash = self.store.key.hash_owner(owner.as_wire());
        let state = crate::zone::apply(&before, &change);
        self.breaks_cname |= !breaks_cname(&before) && breaks_cname(&state);
        let digest = self.store.key.digest_owner(&state);
        let slot = Slot {
            hash,
            digest,
            id: owner_id,
        };
        self.digests
            .push((hash, (!state.is_empty()).then_some(slot)));
        Ok(Ok(()))
    }

    /// Returns an RRset as it stands, with what this version did to it. Sorted; may be empty.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn rrset(&self, owner: &Name, rtype: RecordType) -> Result<Vec<Record>, StoreError> {
        let Some(owner_id) =
            self.store
                .ledger()
                .find_owner(self.zone.id, &self.zone.apex, owner)?
        else {
            return Ok(Vec::new());
        };
        let mut records: Vec<Record> = self
            .open_rows(owner_id)?
            .into_iter()
            .map(|row| row.record)
            .filter(|rr| rr.rdata.rtype() == rtype)
            .collect();
        records.sort();
        Ok(records)
    }

    /// Applies a change that a feed told; `baseline` for records that were there before it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn apply_change(
        &mut self,
        owner: &Name,
        change: &OwnerChange,
        baseline: bool,
    ) -> Result<(), StoreError> {
        let (owner_id, rows) = self.owner_rows(owner)?;
        self.write(owner_id, owner, rows, change, baseline)
    }

    /// Notes a new registration of a name, as of this version, if the registry's id or the date of
    /// creation is not the one known. The first one known of a name is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_registration(
        &mut self,
        owner: &Name,
        object: Option<&str>,
        created: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        if object.is_none() && created.is_none() {
            return Ok(());
        }
        let owner_id = self
            .store
            .ledger()
            .owner_id(self.zone.id, &self.zone.apex, owner)?;
        let (id, at) = (self.id, self.draft.observed_at.unix());
        let is_new = self.store.run(|db| {
            let sql = "select r.object, r.created_at
                         from registration r join version v on v.id = r.version_id
                        where r.owner_id = ? and v.observed_at <= ?
                        order by v.observed_at desc, v.id desc limit 1";
            let known: Option<(Option<String>, Option<i64>)> =
                db.query_first(sql, params![owner_id, at], |row| {
                    Ok((row.get("object")?, row.get("created_at")?))
                })?;
            let (known_object, known_created) = known.unwrap_or_default();
            let object = object.map(str::to_owned).or(known_object.clone());
            let created = created.map(Timestamp::unix).or(known_created);
            if (object.clone(), created) == (known_object, known_created) {
                return Ok(false);
            }
            let sql = "insert into registration (owner_id, version_id, object, created_at)
                       values (?, ?, ?, ?)
                       on conflict (owner_id, version_id)
                         do update set object = excluded.object, created_at = excluded.created_at";
            db.execute(sql, params![owner_id, id, object, created])
                .map(|_| true)
        })?;
        self.has_registration |= is_new;
        Ok(())
    }

    /// Returns the largest RRset that the version adds to so far: owner, type, records. Of a first version,
    /// only owners whose records do not follow each other are counted.
    pub fn widest_rrset(&self) -> Option<&(Name, RecordType, u64)> {
        self.widest.as_ref()
    }

    /// Says that the primary itself told the step from the version before to this one.
    pub fn note_step(&mut self) {
        self.is_step = true;
    }

    /// Says that the version is a whole zone from a primary, with which the state is compared: the zone's row
    /// says so as soon as history holds what differed.
    pub fn note_comparison(&mut self, comparison: Comparison) {
        self.compared = Some(comparison);
    }

    /// Keeps the version's row although it may say nothing new.
    pub fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Returns how much of the zone the version changes so far.
    pub fn measure(&self) -> BulkMeasure {
        BulkMeasure {
            names_before: self.zone.name_count,
            delegations_before: self.zone.delegation_count,
            names_changed: self.changes.len() as u64,
            delegations_changed: self
                .changes
                .values()
                .filter(|counts| counts.ns != [0, 0])
                .count() as u64,
        }
    }

    /// Makes the version durable. A `bulk` version accuses nobody.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the version then leaves no trace.
    pub fn commit(mut self, bulk: bool) -> Result<Committed, StoreError> {
        let joins = self.draft.joins.is_some();
        let is_new_serial = self.draft.serial != self.zone.serial || self.zone.version_id.is_none();
        let is_news = !self.changes.is_empty()
            || !self.leaves.is_empty()
            || self.totals != Totals::default()
            || self.has_registration
            || self.is_kept
            || (is_new_serial && !joins);
        let missed = self.missed()?;
        if is_news {
            self.write_changes()?;
            self.write_rows(bulk, missed)?;
            self.write_moves(bulk)?;
            // After the rows: the months that are looked into reach to the zone's newest version.
            self.write_link()?;
            self.write_tally()?;
        } else if !joins {
            // New TTLs may have been written; the version itself says nothing but that the zone is as it was.
            self.store.run(|db| {
                if self.draft.kind == VersionKind::Snapshot {
                    let sql = "update version
                                  set seen_until_at = max(coalesce(seen_until_at, observed_at), ?2)
                                where id = ?1";
                    db.execute(sql, params![self.zone.version_id, self.draft.observed_at])?;
                }
                db.execute("delete from version where id = ?", [self.id])
            })?;
        }
        self.write_way()?;
        if let Some(tx) = self.tx {
            tx.commit()?;
        }
        Ok(Committed {
            version_id: is_news.then_some(self.id),
            changed_name_count: self.changes.len() as u64,
            retimed_name_count: self.retimed_name_count,
            missed: missed.filter(|_| is_news),
            breaks_cname: self.breaks_cname,
            digests: self.digests,
        })
    }

    /// Writes how the zone came to its state: by steps, or whole, and what drift that showed.
    fn write_way(&self) -> Result<(), StoreError> {
        let id = self.zone.id.0;
        self.store.run(|db| {
            if self.is_step {
                let stepped = if self.breaks_cname { 2 } else { 1 };
                db.execute(
                    "update zone set stepped = ?2 where id = ?1 and stepped < ?2",
                    params![id, stepped],
                )?;
            }
            let Some(Comparison { at, primary }) = self.compared else {
                return Ok(());
            };
            db.execute(
                "update zone
                    set whole_at = ?2, whole_tried_at = null, stepped = 0
                  where id = ?1",
                params![id, at],
            )?;
            let names = self.changes.len() as u64 + self.retimed_name_count;
            if self.draft.drift && names > 0 {
                let sql = "update zone
                              set drift_at = ?2, drift_primary = ?3, drift_count = drift_count + 1,
                                  drift_name_count = drift_name_count + ?4
                            where id = ?1";
                db.execute(sql, params![id, at, primary.to_string(), names as i64])?;
            }
            Ok(())
        })
    }

    /// Returns what did not arrive between the zone's newest version and this one, if this is a version
    /// after it.
    fn missed(&self) -> Result<Option<Missed>, StoreError> {
        let is_next = self.draft.kind == VersionKind::Snapshot
            && self.draft.joins.is_none()
            && self.zone.newest_is_whole;
        let serials = self.zone.serial.zip(self.draft.serial);
        let Some((before, serial)) = serials.filter(|_| is_next) else {
            return Ok(None);
        };
        let missed = missed_between(before, serial, self.draft.observed_at);
        match missed {
            // Of a step the primary itself says where it began; what its serials do not tell is not lost.
            Some(Missed::Unknown) if self.is_step => Ok(None),
            // Serials that are always raised by ten leave out nothing; a step that is longer than the one before
            // may be several that the primary joined (Knot's journal).
            Some(Missed::AtMost(count))
                if self.is_step && self.step_before()? == Some(count + 1) =>
            {
                Ok(None)
            }
            missed => Ok(missed),
        }
    }

    /// Returns by how much the serial of the zone's newest version is greater than that of the one before;
    /// `None` if there is none, or one has no serial. Reads two rows by `version_by_zone`.
    fn step_before(&self) -> Result<Option<u32>, StoreError> {
        let serials: Vec<Option<u32>> = self.store.run(|db| {
            let sql = "select serial
                         from version where zone_id = ? and id <> ?
                        order by observed_at desc, id desc limit 2";
            db.values(sql, params![self.zone.id, self.id])
        })?;
        Ok(match serials[..] {
            [Some(newest), Some(before)] => Some(newest.wrapping_sub(before)),
            _ => None,
        })
    }

    /// Writes which owners changed, those that an earlier part of the version lists included.
    fn write_changes(&self) -> Result<(), StoreError> {
        let is_baseline = self.draft.kind == VersionKind::Baseline;
        let mut owners: BTreeMap<i64, ChangeCounts> = BTreeMap::new();
        if self.draft.joins.is_some() {
            owners.extend(self.store.ledger().changes_of(self.id)?);
        }
        for (owner_id, counts) in &self.changes {
            owners.entry(*owner_id).or_default().add(counts);
        }
        if !is_baseline {
            for owner_id in self.leaves.keys() {
                owners.entry(*owner_id).or_default();
            }
        }
        let changed = owners.values().filter(|counts| !counts.is_zero()).count();
        let octets = pack(owners.iter().map(|(owner_id, counts)| (*owner_id, counts)));
        self.store.run(|db| {
            if !octets.is_empty() {
                let sql = "insert into change (version_id, octets) values (?, ?)
                           on conflict (version_id) do update set octets = excluded.octets";
                db.execute(sql, params![self.id, octets])?;
            }
            let sql = "insert into shared_change (version_id, owner_id, shared_count)
                       values (?, ?, ?)
                       on conflict (version_id, owner_id)
                         do update set shared_count = excluded.shared_count";
            let mut share = db.prepare(sql)?;
            for moved in self.moves.values().filter(|it| it.owners.len() > 1) {
                for owner_id in &moved.owners {
                    share.execute(params![self.id, owner_id, moved.owners.len() as i64])?;
                }
            }
            db.execute(
                "update version set changed_name_count = ?2 where id = ?1",
                params![self.id, changed as i64],
            )
            .map(|_| ())
        })
    }

    /// Records what the administrator is alerted to: the same move of many names, and a mass change as a whole.
    fn write_moves(&self, bulk: bool) -> Result<(), StoreError> {
        let mut notes: Vec<BulkMove> = self
            .moves
            .values()
            .filter(|it| !bulk && !self.draft.drift && it.owners.len() >= MOVED_NAMES_MIN)
            .map(|it| BulkMove {
                id: 0,
                version_id: self.id,
                zone: self.zone.apex.clone(),
                at: self.draft.observed_at,
                kind: BulkKind::Nameservers,
                name_count: it.owners.len() as u32,
                before: it.before.clone(),
                after: it.after.clone(),
                names: it.names.join(","),
            })
            .collect();
        if bulk {
            notes.push(BulkMove {
                id: 0,
                version_id: self.id,
                zone: self.zone.apex.clone(),
                at: self.draft.observed_at,
                kind: BulkKind::Version,
                name_count: self.changes.len() as u32,
                before: String::new(),
                after: String::new(),
                names: String::new(),
            });
        }
        // In an order of their own: a map has none.
        notes.sort_by(|one, other| (&one.before, &one.after).cmp(&(&other.before, &other.after)));
        notes
            .iter()
            .try_for_each(|note| self.store.ledger().note_bulk_move(self.zone.id, note))
    }

    /// Moves the rows of the version, the zone and the source.
    fn write_rows(&self, bulk: bool, missed: Option<Missed>) -> Result<(), StoreError> {
        let joins = self.draft.joins.is_some();
        let is_newest = self
            .zone
            .version_at
            .is_none_or(|newest| newest <= self.draft.observed_at);
        self.store.run(|db| {
            let sql = "update version
                          set bulk = max(bulk, ?2), drift = max(drift, ?3),
                              missed_max = coalesce(?4, missed_max)
                        where id = ?1";
            db.execute(
                sql,
                params![self.id, bulk, self.draft.drift, missed.map(Missed::stored)],
            )?;
            if is_newest && !joins {
                // What was looked at in between, and found unchanged, stood in the zone's row until now.
                let sql = format!(
                    "update version as v
                        set seen_until_at = n.at
                       from (select version_id, {SEEN_AT} as at from zone z where id = ?1) n
                      where v.id = n.version_id and n.at > coalesce(v.seen_until_at, v.observed_at)
                            and n.at < ?2"
                );
                db.execute(&sql, params![self.zone.id, self.draft.observed_at])?;
            }
            let sql = "update zone
                          set version_id = case when ?7 then ?2 else version_id end,
                              serial = case when ?7 then coalesce(?3, serial) else serial end,
                              kept_count = kept_count + ?4, name_count = name_count + ?5,
                              delegation_count = delegation_count + ?6,
                              detected_version_id = min(detected_version_id, ?2 - 1),
                              version_count = version_count + ?8, change_count = change_count + ?9,
                              usual_ttl = coalesce(usual_ttl, ?10),
                              missed_count = missed_count + ?11,
                              missed_unknown_count = missed_unknown_count + ?12
                        where id = ?1";
            db.execute(
                sql,
                params![
                    self.zone.id,
                    self.id,
                    self.draft.serial,
                    self.totals.kept,
                    self.totals.names,
                    self.totals.delegations,
                    is_newest,
                    !joins,
                    self.changes.len() as i64,
                    self.first_ttl,
                    missed.map_or(0, Missed::stored),
                    missed == Some(Missed::Unknown)
                ],
            )?;
            let sql = "update source
                          set last_event_at = max(coalesce(last_event_at, ?2), ?2)
                        where id = ?1";
            db.execute(sql, params![self.draft.source, self.draft.observed_at])
                .map(|_| ())
        })
    }

    /// Appends the version to the zone's chain of hashes, as it is now.
    fn write_link(&self) -> Result<(), StoreError> {
        let (store, zone, apex) = (self.store, self.zone.id, &self.zone.apex);
        let version = store.ledger().version_key(self.id)?;
        if self.draft.joins.is_some() {
            // Only a version that was there before is part of a state that was hashed already.
            if let Some(start) = store.ledger().last_start(zone)?
                && start.holds(version.id, version.at)
            {
                let root = store
                    .ledger()
                    .state_root(zone, apex, start.at, start.newest_id)?;
                return store
                    .ledger()
                    .append_start(zone, apex, start.at, (root, start.newest_id));
            }
        }
        let is_first = self.draft.kind == VersionKind::Baseline;
        let root = if self.draft.joins.is_some() || (is_first && self.is_out_of_order()) {
            store.ledger().root_of(zone, apex, version)?
        } else {
            let mut tree = self.first.0.clone();
            let months = store.zones().buckets_since(zone, Some(version.at))?;
            let leaves: BTreeMap<_, _> = self.leaves.iter().collect();
            for (owner_id, hash) in leaves {
                let hash = match hash {
                    Some(hash) => Some(*hash),
                    None => {
                        let owner = store.ledger().owner_name(*owner_id, apex)?;
                        store
                            .ledger()
                            .leaf_of(&months, &owner, *owner_id, version)?
                    }
                };
                hash.into_iter().for_each(|hash| tree.push(hash));
            }
            tree.root()
        };
        let head = ChainHead {
            is_start: false,
            at: version.at,
            serial: version.serial,
        };
        store.ledger().append_link(zone, apex, head, self.id, root)
    }

    /// Returns whether an owner of a first version came late whose row lies before others.
    fn is_out_of_order(&self) -> bool {
        self.leaves.keys().any(|owner_id| *owner_id <= self.first.1)
    }

    /// Notes the largest RRset that the version adds to.
    fn note_widest(&mut self, owner: &Name, rows: &[OpenRow], change: &OwnerChange) {
        let known = self.widest.as_ref().map_or(0, |(_, _, records)| *records);
        if change.added.is_empty() || (rows.len() + change.added.len()) as u64 <= known {
            return;
        }
        let before = rows.iter().map(|row| &row.record);
        if let Some((rtype, records)) = widest_grown(before, change)
            && records > known
        {
            self.widest = Some((owner.clone(), rtype, records));
        }
    }

    /// Closes and opens the intervals of one owner and counts what changed.
    fn write(
        &mut self,
        owner_id: i64,
        owner: &Name,
        rows: Vec<OpenRow>,
        change: &OwnerChange,
        baseline: bool,
    ) -> Result<(), StoreError> {
        self.note_widest(owner, &rows, change);
        let is_cut = change.removed.iter().any(is_ns);
        let moves_ns = is_cut || change.added.iter().any(is_ns);
        let cut_week = if moves_ns {
            self.uncount(owner_id, owner, &rows)?
        } else {
            0
        };
        self.write_intervals(owner_id, &rows, change, baseline)?;
        self.count(owner_id, owner, &rows, change, baseline);
        if change.is_change() {
            self.hash(owner_id, owner, change, baseline);
        }
        if !moves_ns {
            return Ok(());
        }
        let standing = match self.draft.joins {
            // What an earlier part of the version took away goes on as it was.
            Some(_) => self.open_rows(owner_id)?,
            None => self.standing(rows, change, baseline),
        };
        self.count_again(owner_id, owner, &standing, cut_week, is_cut)
    }

    /// Returns the name servers that an owner has after a change.
    fn standing(
        &self,
        mut rows: Vec<OpenRow>,
        change: &OwnerChange,
        baseline: bool,
    ) -> Vec<OpenRow> {
        let gone: HashSet<&Rdata> = change.removed.iter().map(|rr| &rr.rdata).collect();
        rows.retain(|row| row.is_ns() && !gone.contains(&row.record.rdata));
        let added = change.added.iter().filter(|rr| is_ns(rr));
        rows.extend(added.map(|rr| OpenRow {
            record: rr.clone(),
            value: Value::Null,
            added_id: self.id,
            baseline,
        }));
        rows
    }

    /// Hashes what the version does to an owner. What it does in parts is read from the records when it is
    /// committed.
    fn hash(&mut self, owner_id: i64, owner: &Name, change: &OwnerChange, baseline: bool) {
        let known = self.leaves.entry(owner_id);
        if let hash_map::Entry::Occupied(mut known) = known {
            known.insert(None);
            return;
        }
        let op = if baseline { Op::There } else { Op::Added };
        let added = change.added.iter().map(|rr| Entry::new(op, &rr.rdata));
        let removed = change
            .removed
            .iter()
            .map(|rr| Entry::new(Op::Removed, &rr.rdata));
        let mut entries: Vec<Entry<'_>> = added.chain(removed).collect();
        known.or_insert(Some(leaf(owner.as_wire(), &mut entries)));
    }

    /// Counts what a change does to the owner and to the zone.
    fn count(
        &mut self,
        owner_id: i64,
        owner: &Name,
        rows: &[OpenRow],
        change: &OwnerChange,
        baseline: bool,
    ) {
        let ns_before = rows.iter().filter(|row| row.is_ns()).count() as i64;
        let ns_moved = |records: &[Record]| records.iter().filter(|rr| is_ns(rr)).count() as i64;
        let ns_after = ns_before - ns_moved(&change.removed) + ns_moved(&change.added);
        let before = rows.len() as i64;
        let after = before - change.removed.len() as i64 + change.added.len() as i64;
        self.totals.kept += after - before;
        self.totals.names += i64::from(after > 0) - i64::from(before > 0);
        self.totals.delegations += i64::from(ns_after > 0) - i64::from(ns_before > 0);
        if !change.is_change() {
            self.retimed_name_count += u64::from(!change.retimed.is_empty());
        }
        if !change.is_change() || baseline {
            return;
        }
        let counts = self.changes.entry(owner_id).or_default();
        for (side, records) in [&change.added, &change.removed].into_iter().enumerate() {
            for rr in records {
                match rr.rdata.rtype() {
                    RecordType::Ns => counts.ns[side] += 1,
                    RecordType::A | RecordType::Aaaa => counts.address[side] += 1,
                    RecordType::Cname | RecordType::Ds => counts.other += 1,
                }
            }
        }
        if let Some(signature) = transition_signature(owner, change) {
            let moved = self
                .moves
                .entry(signature)
                .or_insert_with(|| Move::of(change));
            moved.owners.push(owner_id);
            if moved.names.len() < MOVED_NAMES_KEPT {
                moved.names.push(owner.to_string());
            }
        }
    }
}
