//! What the detector reads: intervals of an owner, who changed, who depends on a name server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::LazyLock;

use crate::detector::{Moment, Stay};
use crate::dns::{Name, Rdata};
use crate::store::caches::Moments;
use crate::store::door::{Fault, Numbers, Row, Value, params};
use crate::store::error::StoreError;
use crate::store::keys::{EntityKey, View, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::sqlite::dialect::{IN_ORDER, rows_of};
use crate::store::zones::enclosing::EnclosingZone;
use crate::store::zones::watched::ZoneState;
use crate::time::Timestamp;

/// One record of an owner and when it was there.
pub type Interval = Stay<Rdata>;

/// A version that is stored and not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingVersion {
    /// Its zone.
    pub apex: Name,
    /// Who tells of the zone.
    pub view: View,
    /// Its row.
    pub version_id: i64,
    /// Its time.
    pub at: Timestamp,
}

/// What changed of an owner in a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerChanges {
    /// The owner.
    pub key: EntityKey,
    /// Whether NS records changed.
    pub nameservers: bool,
    /// Whether addresses changed.
    pub addresses: bool,
    /// Whether other records changed: an alias, or what signs a delegation.
    pub others: bool,
}

/// Who uses a name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostUsers {
    /// How many owners.
    pub count: usize,
    /// Their names, each once; fewer where there are more than were asked for.
    pub names: BTreeSet<Name>,
}

/// Open intervals of an owner.
const OPEN: &str =
    "select rrtype, rdata, baseline, added_id, null as removed_id from record where owner_id = ?1";
/// The newest closed intervals of an owner that ended in one month.
const NEWEST: &str = "
    select rrtype, rdata, baseline, added_id, removed_id from past_record
     where bucket = ?2 and owner_id = ?1 and removed_id >= ?3 order by removed_id desc";
/// Versions, and whether names made the same move in them.
static MOMENTS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "
    select v.id, v.observed_at, v.serial, v.bulk, v.drift,
           exists (select 1 from shared_change where version_id = v.id) as is_shared
      from {list} w {IN_ORDER} version v on v.id = w.value",
        list = rows_of("?")
    )
});
/// So many intervals are read before their versions are: one statement for all instead of one for each.
const ROWS_AT_A_TIME: usize = 64;
/// The values of intervals that ended in one month by a version, newest first; of so many intervals.
const VALUES: &str = "
    select distinct rrtype, rdata
      from (select rrtype, rdata
              from past_record
             where bucket = ?2 and owner_id = ?1 and removed_id <= ?3
             order by removed_id desc limit ?4)";
/// The newest records of an owner in one month among which its kind is looked for: who changed more often since is no
/// longer judged by what it was. Chosen by hand.
const KIND_ROWS_MAX: usize = 1024;
/// So many intervals in a row that ended before the time that is asked for end the reading: versions that arrived late
/// are few.
const OLD_ROWS_MAX: usize = 256;
/// Whether an owner has name servers, or had any lately in one of two months.
const HAD_NS: &str = "
    select exists (select 1 from record where owner_id = ?1 and rrtype = 2)
        or exists (select 1
                     from (select rrtype
                             from past_record
                            where bucket = ?2 and owner_id = ?1
                            order by removed_id desc limit ?4)
                    where rrtype = 2)
        or exists (select 1
                     from (select rrtype
                             from past_record
                            where bucket = ?3 and owner_id = ?1
                            order by removed_id desc limit ?4)
                    where rrtype = 2)";
/// How many owners' names are read with one statement.
const NAMES_AT_ONCE: usize = 10_000;
/// How many versions are looked through for those of a zone that are to be judged. Chosen by hand.
const NEW_VERSIONS_MAX: i64 = 1000;
/// How many intervals that are not replayed tell what was seen before.
const SEEN_ROWS_MAX: usize = 8_192;

/// Which intervals of an owner are read.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// Those that were open at or after this time...
    pub since: Timestamp,
    /// ...and began by this one.
    pub until: Timestamp,
    /// The most closed ones; the newest are read.
    pub limit: usize,
    /// More than these are read until they are of so many instants: a change of a large set pushes no other out.
    pub instants_min: usize,
}

/// The most versions of which [`Moments`] are kept.
const MOMENTS_MAX: usize = 200_000;

/// An interval as it is stored: type, data, whether it was there when watching began, the versions at its ends.
type RawInterval = (u16, Value, bool, i64, Option<i64>);

/// How much was read of an owner.
#[derive(Default)]
struct Taken {
    rows: usize,
    instants: usize,
    /// The version of the last row.
    last_id: i64,
}

impl Taken {
    /// Takes a row that ended in a version; false if there is no room for it.
    fn take(&mut self, removed_id: i64, extent: &Extent) -> bool {
        if self.rows >= extent.limit && self.instants >= extent.instants_min {
            return false;
        }
        self.instants += usize::from(removed_id != self.last_id);
        self.rows += 1;
        self.last_id = removed_id;
        true
    }
}

/// The newest intervals of an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewestIntervals<T> {
    /// In no order. What began before a part that is left out ended is a baseline.
    pub stays: Vec<Stay<T>>,
    /// The end of the part that is left out, if any is.
    pub cut: Option<Moment>,
}

impl Lookup<'_> {
    /// Returns every interval of an owner that was open at or after `since`, in no order; empty for
    /// an owner that history does not know.
    ///
    /// Reads what ended since, not what there is.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn window(&self, key: &EntityKey, since: Timestamp) -> Result<Vec<Interval>, StoreError> {
        // Exact, however late versions arrived: no earlier row has a time of `since` or later.
        let first: Option<i64> = self.store.run(|db| {
            let sql = "select min(id) from version where zone_id = ? and observed_at >= ?";
            db.value(sql, params![key.zone, since])
        })?;
        let all = Extent {
            since,
            until: Timestamp::from_unix(i64::MAX),
            limit: usize::MAX,
            instants_min: 0,
        };
        let read = self.read_newest(key, &all, first.unwrap_or(i64::MAX))?;
        Ok(read.stays)
    }

    /// Returns the newest intervals of an owner, those that are open among them.
    ///
    /// However long the history is, no more than the limit and [`OLD_ROWS_MAX`] closed intervals are read of what
    /// had begun by `until`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn newest_intervals(
        &self,
        key: &EntityKey,
        extent: &Extent,
    ) -> Result<NewestIntervals<Rdata>, StoreError> {
        self.read_newest(key, extent, i64::MIN)
    }

    /// Returns how many intervals of an owner ended in the months since `since`; counts no further than `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn closed_count(
        &self,
        key: &EntityKey,
        since: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let Some(owner_id) = self
            .store
            .ledger()
            .find_owner(key.zone, &key.apex, &key.owner)?
        else {
            return Ok(0);
        };
        let mut count = 0;
        let months = self.store.zones().buckets_since(key.zone, Some(since))?;
        for month in months.into_iter().skip(1).rev() {
            let room = limit.saturating_sub(count);
            let more: i64 = self.store.run(|db| {
                let sql = "select count(*)
                             from (select 1
                                     from past_record where bucket = ? and owner_id = ? limit ?)";
                db.value(sql, params![month, owner_id, room as i64])
            })?;
            count += more as usize;
        }
        Ok(count)
    }

    /// Returns how many intervals were read through this connection: what the work of the detector grows with.
    pub fn rows_read(&self) -> u64 {
        self.store.rows_read.get()
    }

    /// Counts intervals that were read.
    fn note_rows_read(&self, count: usize) {
        self.store
            .rows_read
            .set(self.store.rows_read.get() + count as u64);
    }

    /// Reads the newest intervals of an owner whose ends have at least the row `first`.
    fn read_newest(
        &self,
        key: &EntityKey,
        extent: &Extent,
        first: i64,
    ) -> Result<NewestIntervals<Rdata>, StoreError> {
        let mut newest = NewestIntervals {
            stays: Vec::new(),
            cut: None,
        };
        let Some(owner_id) = self
            .store
            .ledger()
            .find_owner(key.zone, &key.apex, &key.owner)?
        else {
            return Ok(newest);
        };
        // Outside of a transaction every statement may read another state.
        let mut moments = self.store.moments.take();
        let mut known = Moments::default();
        let read = self.read_rows(
            key,
            (owner_id, first),
            extent,
            moments.as_mut().unwrap_or(&mut known),
            &mut newest,
        );
        self.store.moments.replace(moments);
        read.map(|()| newest)
    }

    /// Reads the intervals of the row of an owner whose ends have at least the row `first`.
    fn read_rows(
        &self,
        key: &EntityKey,
        (owner_id, first): (i64, i64),
        extent: &Extent,
        moments: &mut Moments,
        newest: &mut NewestIntervals<Rdata>,
    ) -> Result<(), StoreError> {
        let open = self
            .store
            .run(|db| db.query(OPEN, [owner_id], read_interval))?;
        self.learn_moments(version_ids(&open), moments)?;
        let mut rows = Vec::new();
        for raw in open {
            let row = self.with_moments(raw, owner_id, moments)?;
            if row.2.added.at <= extent.until {
                rows.push(row);
            }
        }
        let mut taken = Taken::default();
        // The bucket 0 stands for what is open.
        let months = self
            .store
            .zones()
            .buckets_since(key.zone, Some(extent.since))?;
        for month in months.into_iter().skip(1).rev() {
            let place = [owner_id, month, first];
            newest.cut = self.read_month(place, extent, &mut taken, moments, &mut rows)?;
            if newest.cut.is_some() {
                break;
            }
        }
        self.note_rows_read(rows.len());
        for (code, value, mut stay) in rows {
            // One instant is replayed whole or not at all.
            if stay.removed.is_some_and(|it| is_left_out(&it, newest.cut)) {
                continue;
            }
            stay.baseline |= is_left_out(&stay.added, newest.cut);
            newest.stays.push(Stay {
                value: self.store.ledger().read_rdata(code, &value)?,
                added: stay.added,
                removed: stay.removed,
                baseline: stay.baseline,
            });
        }
        Ok(())
    }

    /// Reads the versions at the ends of an interval, if they are not known.
    fn with_moments(
        &self,
        (code, value, baseline, added_id, removed_id): RawInterval,
        owner_id: i64,
        moments: &mut Moments,
    ) -> Result<(u16, Value, Stay<()>), StoreError> {
        let mut moment = |id: i64| self.moment(id, owner_id, moments);
        let stay = Stay {
            value: (),
            added: moment(added_id)?,
            removed: removed_id.map(moment).transpose()?,
            baseline,
        };
        Ok((code, value, stay))
    }

    /// Returns a version as the end of an owner's interval.
    fn moment(
        &self,
        version_id: i64,
        owner_id: i64,
        moments: &mut Moments,
    ) -> Result<Moment, StoreError> {
        self.learn_moments([version_id].into(), moments)?;
        let known = moments.by_id.get(&version_id).copied();
        let (moment, has_shared) = known.ok_or_else(|| self.lost_version(version_id))?;
        if !has_shared {
            return Ok(moment);
        }
        let shared_count: Option<u32> = self.store.run(|db| {
            let sql =
                "select shared_count from shared_change where version_id = ? and owner_id = ?";
            db.first_value(sql, [version_id, owner_id])
        })?;
        Ok(Moment {
            shared_count: shared_count.unwrap_or(0),
            ..moment
        })
    }

    /// Reads the newest intervals of an owner that ended in a month: `[owner, month, first row of an end]`. Returns
    /// the end of the first for which there is no room.
    fn read_month(
        &self,
        key: [i64; 3],
        extent: &Extent,
        taken: &mut Taken,
        moments: &mut Moments,
        into: &mut Vec<(u16, Value, Stay<()>)>,
    ) -> Result<Option<Moment>, StoreError> {
        let engine = |fault| self.store.engine(fault);
        let mut statement = self.store.db.prepare(NEWEST).map_err(engine)?;
        let mut rows = statement.rows(key).map_err(engine)?;
        let (mut old, mut part) = (0, Vec::with_capacity(ROWS_AT_A_TIME));
        loop {
            while part.len() < ROWS_AT_A_TIME
                && let Some(row) = rows.next().map_err(engine)?
            {
                part.push(read_interval(&row).map_err(engine)?);
            }
            if part.is_empty() {
                return Ok(None);
            }
            self.learn_moments(version_ids(&part), moments)?;
            for raw in part.drain(..) {
                let (code, value, stay) = self.with_moments(raw, key[0], moments)?;
                if stay.added.at > extent.until {
                    continue;
                }
                if stay.removed.is_some_and(|end| end.at < extent.since) {
                    old += 1;
                    if old > OLD_ROWS_MAX && key[2] == i64::MIN {
                        return Ok(None);
                    }
                    continue;
                }
                old = 0;
                let removed_id = stay.removed.map_or(0, |end| end.version_id);
                if !taken.take(removed_id, extent) {
                    return Ok(stay.removed);
                }
                into.push((code, value, stay));
            }
        }
    }

    /// Reads those of some versions that are not known, together.
    fn learn_moments(
        &self,
        mut ids: BTreeSet<i64>,
        moments: &mut Moments,
    ) -> Result<(), StoreError> {
        ids.retain(|id| !moments.by_id.contains_key(id));
        if ids.is_empty() {
            return Ok(());
        }
        let read = self
            .store
            .run(|db| db.query(&MOMENTS, [Numbers::from_iter(ids)], read_moment))?;
        if moments.by_id.len() + read.len() > MOMENTS_MAX {
            moments.by_id.clear();
        }
        let read = read.into_iter().map(|it| (it.0.version_id, it));
        moments.by_id.extend(read);
        Ok(())
    }

    /// Returns the values of an owner's intervals that ended by `cut` in the months since `since`, without
    /// duplicates; of the newest [`SEEN_ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn values_before(
        &self,
        key: &EntityKey,
        cut: &Moment,
        since: Timestamp,
    ) -> Result<Vec<Rdata>, StoreError> {
        let Some(owner_id) = self
            .store
            .ledger()
            .find_owner(key.zone, &key.apex, &key.owner)?
        else {
            return Ok(Vec::new());
        };
        let (mut values, last) = (Vec::new(), cut.at.month_bucket());
        let months = self.store.zones().buckets_since(key.zone, Some(since))?;
        let months = months.into_iter().skip(1).filter(|month| *month <= last);
        let share = SEEN_ROWS_MAX / months.clone().count().max(1);
        for month in months.rev() {
            let rows = self.store.run(|db| {
                db.query(
                    VALUES,
                    params![owner_id, month, cut.version_id, share as i64],
                    |row| Ok((row.get("rrtype")?, row.get("rdata")?)),
                )
            })?;
            for (code, value) in rows {
                values.push(self.store.ledger().read_rdata(code, &value)?);
            }
        }
        Ok(values)
    }

    /// Returns the newest intervals of the addresses that `host` had in any zone. The same address may stand as
    /// glue in the parent and as data in the child: one presence that lasts as long as either.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn host_addresses(
        &self,
        host: &Name,
        extent: &Extent,
    ) -> Result<NewestIntervals<IpAddr>, StoreError> {
        let mut merged: BTreeMap<IpAddr, Vec<Stay<IpAddr>>> = BTreeMap::new();
        let mut cut: Option<Moment> = None;
        for key in self.places_of_host(host)? {
            let read = self.newest_intervals(&key, extent)?;
            let later = read
                .cut
                .filter(|new| cut.is_none_or(|old| old.at <= new.at));
            cut = later.or(cut);
            for interval in read.stays {
                if let Some(address) = interval.value.address() {
                    let stay = Stay {
                        value: address,
                        added: interval.added,
                        removed: interval.removed,
                        baseline: interval.baseline,
                    };
                    merged.entry(address).or_default().push(stay);
                }
            }
        }
        let stays = merged.into_values().flat_map(merge_stays).collect();
        Ok(NewestIntervals { stays, cut })
    }

    /// Returns where the addresses of a name server may stand: in every zone that encloses it and is judged.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn places_of_host(&self, host: &Name) -> Result<Vec<EntityKey>, StoreError> {
        let zones = self.store.zones().zones_enclosing(host)?.into_iter();
        let zones = zones.filter(|zone| zone.view != View::Passive);
        let places = zones.map(|zone| EntityKey {
            zone: zone.id,
            apex: zone.apex,
            owner: host.clone(),
        });
        Ok(places.collect())
    }

    /// Returns the owners that changed in a version, in order of their rows.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn counts(
        &self,
        zone: &ZoneState,
        version_id: i64,
    ) -> Result<Vec<OwnerChanges>, StoreError> {
        let ledger = self.store.ledger();
        let mut changed = ledger.changes_of(version_id)?;
        changed.retain(|(_, counts)| !counts.is_zero());
        let mut changes = Vec::with_capacity(changed.len());
        for part in changed.chunks(NAMES_AT_ONCE) {
            let ids: Vec<i64> = part.iter().map(|(id, _)| *id).collect();
            let mut names = ledger.owner_names(&ids, &zone.apex)?;
            for (id, counts) in part {
                let owner = names.remove(id);
                let lost = || self.store.damaged(format!("no owner {id}"));
                changes.push(OwnerChanges {
                    key: EntityKey {
                        zone: zone.id,
                        apex: zone.apex.clone(),
                        owner: owner.ok_or_else(lost)?,
                    },
                    nameservers: counts.ns != [0; 2],
                    addresses: counts.address != [0; 2],
                    others: counts.other != 0,
                });
            }
        }
        Ok(changes)
    }

    /// Returns the versions of a zone that the detector has not judged yet, oldest first: row and time.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn versions_to_judge(&self, zone: &ZoneState) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let noted = self.store.judged.borrow().get(&zone.id).copied();
        let judged = zone.detected_version_id;
        self.versions_after(zone.id, noted.map_or(judged, |noted| noted.max(judged)))
    }

    /// Returns the versions of a zone after `after`, oldest first: row and time.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn versions_after(
        &self,
        zone: ZoneId,
        after: i64,
    ) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        self.store.run(|db| {
            let newest: Option<i64> = db.value("select max(id) from version", ())?;
            // By their numbers where few versions came after, of whatever zone; else by the zone's index, which has
            // all of its versions.
            let zone_id = if newest.unwrap_or(0) - after <= NEW_VERSIONS_MAX {
                "+zone_id"
            } else {
                "zone_id"
            };
            let sql = format!(
                "select id, observed_at from version where {zone_id} = ? and id > ? order by id"
            );
            db.query(&sql, params![zone, after], |row| {
                Ok((row.get("id")?, row.get("observed_at")?))
            })
        })
    }

    /// Returns versions that the detector has not judged, of whatever zone, in the order in which they are to be
    /// judged, `limit` at most: by time, and never one before another that was stored before it in its zone. Leaves out
    /// what was imported, and what passive DNS tells, which nobody judges.
    ///
    /// Looks at every zone's row, and by `version_by_zone` at the versions of those that wait.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn oldest_to_judge(&self, limit: usize) -> Result<Vec<WaitingVersion>, StoreError> {
        let rows: Vec<(String, String, i64, i64)> = self.store.run(|db| {
            let sql = "select name, view, id, observed_at
                         from (select z.name, z.view, v.id, v.observed_at,
                                      max(v.observed_at) over (partition by v.zone_id order by v.id) as turn
                                 from zone z join source s on s.id = z.source_id
                                      join version v on v.zone_id = z.id
                                           and v.id > z.detected_version_id
                                where z.version_id > z.detected_version_id and z.view <> 'passive'
                                      and s.kind <> 'import')
                        order by turn, id limit ?";
            let mut statement = db.prepare(sql)?;
            let read = |row: &Row<'_>| {
                Ok((row.get("name")?, row.get("view")?, row.get("id")?, row.get("observed_at")?))
            };
            statement.query([limit as i64], read)
        })?;
        let read = |(name, view, version_id, at): (String, String, i64, i64)| {
            let view = View::parse(&view)
                .ok_or_else(|| self.store.damaged(format!("view {view:?} of zone {name}")))?;
            Ok(WaitingVersion {
                apex: self.store.read_name(&name)?,
                view,
                version_id,
                at: Timestamp::from_unix(at),
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Returns addresses that stand in the zones now, found among so many records.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn sample_addresses(&self, records_max: usize) -> Result<BTreeSet<IpAddr>, StoreError> {
        let rows: Vec<(u16, Value)> = self.store.run(|db| {
            let sql = "select rrtype, rdata
                         from (select rrtype, rdata from record limit ?)
                        where rrtype in (1, 28)";
            db.query(sql, [records_max as i64], |row| {
                Ok((row.get("rrtype")?, row.get("rdata")?))
            })
        })?;
        let mut addresses = BTreeSet::new();
        for (code, value) in rows {
            addresses.extend(self.store.ledger().read_rdata(code, &value)?.address());
        }
        Ok(addresses)
    }

    /// Returns whether a zone has one version and no more.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn has_one_version(&self, zone: ZoneId) -> Result<bool, StoreError> {
        self.store.run(|db| {
            let sql = "select count(*) = 1 from (select 1 from version where zone_id = ? limit 2)";
            db.value(sql, [zone.0])
        })
    }

    /// Returns whether a version changed too much to accuse anybody, or is drift.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn is_bulk_version(&self, version_id: i64) -> Result<bool, StoreError> {
        self.store.run(|db| {
            db.value(
                "select bulk or drift from version where id = ?",
                [version_id],
            )
        })
    }

    /// Returns how many versions of a zone after `since` and up to `until` are mass changes.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn bulk_count(
        &self,
        zone: ZoneId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<u32, StoreError> {
        self.store.run(|db| {
            let sql = "select count(*)
                         from version
                        where zone_id = ? and observed_at > ? and observed_at <= ? and bulk = 1";
            let bounds = params![zone, since, until];
            db.value(sql, bounds)
        })
    }

    /// Returns how many versions of a zone since a time are drift. Relies on `version_drift`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn drift_count(&self, zone: ZoneId, since: Timestamp) -> Result<u32, StoreError> {
        self.store.run(|db| {
            let sql =
                "select count(*) from version where zone_id = ? and observed_at > ? and drift = 1";
            db.value(sql, params![zone, since])
        })
    }

    /// Notes that the detector has judged a version of which there is nothing else to write. The zone's row says so
    /// from the next transaction on: a transaction of its own would cost as much as that of the version. What is
    /// noted and not written when the process ends is judged once more, to the same end.
    pub fn note_judged(&self, zone: ZoneId, version_id: i64) {
        self.store.judged.borrow_mut().insert(zone, version_id);
    }

    /// Writes what was noted by [`Lookup::note_judged`].
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn write_judged(&self) -> Result<(), StoreError> {
        if self.store.judged.borrow().is_empty() {
            return Ok(());
        }
        self.store.begin_batch()?.commit()
    }

    /// Forgets what was noted by [`Lookup::note_judged`] and is not written: it is judged once more.
    pub fn forget_judged(&self) {
        self.store.judged.borrow_mut().clear();
    }

    /// Writes what was noted, as part of a transaction.
    pub(in crate::store) fn write_noted(&self) -> Result<(), StoreError> {
        let noted = self.store.judged.borrow();
        noted
            .iter()
            .try_for_each(|(zone, version_id)| self.set_detected(*zone, *version_id))
    }

    /// Writes that the detector has judged a version.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn set_detected(&self, zone: ZoneId, version_id: i64) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                db.execute(
                    "update zone set detected_version_id = ?2 where id = ?1",
                    params![zone, version_id],
                )
            })
            .map(|_| ())
    }

    /// Returns when a zone was first seen.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn watched_since(&self, zone: ZoneId) -> Result<Option<Timestamp>, StoreError> {
        self.store
            .run(|db| {
                db.value::<Option<i64>>(
                    "select min(observed_at) from version where zone_id = ?",
                    [zone.0],
                )
            })
            .map(|at| at.map(Timestamp::from_unix))
    }

    /// Returns the owners whose NS records name any of `hosts` now, in any zone; without duplicates.
    ///
    /// One look in the reverse index for each; where there is none, one pass over all records, unless only
    /// names above them use them.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn delegations_using(&self, hosts: &BTreeSet<Name>) -> Result<BTreeSet<Name>, StoreError> {
        let used = self.delegations_by_host(hosts)?;
        Ok(used.into_values().flatten().collect())
    }

    /// [`Lookup::delegations_using`], for each host.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn delegations_by_host(
        &self,
        hosts: &BTreeSet<Name>,
    ) -> Result<BTreeMap<Name, BTreeSet<Name>>, StoreError> {
        let users = self.users_by_host(hosts, usize::MAX)?.into_iter();
        Ok(users.map(|(host, users)| (host, users.names)).collect())
    }

    /// Returns who uses each of some name servers, `limit` users in all by name: first of those name servers that
    /// fewest use.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn users_by_host(
        &self,
        hosts: &BTreeSet<Name>,
        limit: usize,
    ) -> Result<BTreeMap<Name, HostUsers>, StoreError> {
        let mut owners: Vec<_> = self.owners_by_host(hosts)?.into_values().collect();
        owners.sort_by_key(|(_, owners)| owners.len());
        let (mut users, mut room) = (BTreeMap::new(), limit);
        for (host, owners) in owners {
            let named = owners.iter().take(room);
            let names: BTreeSet<Name> = named
                .map(|id| self.absolute_owner(*id))
                .collect::<Result<_, _>>()?;
            room -= names.len().min(room);
            let count = owners.len();
            users.insert(host, HostUsers { count, names });
        }
        Ok(users)
    }

    /// Returns the rows of the owners that use each of some name servers, by its row.
    fn owners_by_host(
        &self,
        hosts: &BTreeSet<Name>,
    ) -> Result<BTreeMap<i64, (Name, BTreeSet<i64>)>, StoreError> {
        let mut by_id: BTreeMap<i64, (Name, BTreeSet<i64>)> = BTreeMap::new();
        for host in hosts {
            if let Some(id) = self.store.ledger().find_host(host)? {
                by_id.insert(id, (host.clone(), BTreeSet::new()));
            }
        }
        if self.store.has_reverse_index {
            for (id, (_, owners)) in &mut by_id {
                // "rrtype = 2" stands literally, so that the partial index serves.
                owners.extend(self.store.run(|db| {
                    let sql = "select owner_id from record where rrtype = 2 and rdata = ?";
                    db.values::<i64>(sql, [id])
                })?);
            }
        } else {
            // Only one that a name outside it uses can be used anywhere.
            let mut elsewhere: BTreeMap<i64, &mut BTreeSet<i64>> = BTreeMap::new();
            for (id, (host, owners)) in &mut by_id {
                if self.store.ledger().is_used_elsewhere(*id)? {
                    elsewhere.insert(*id, owners);
                } else {
                    *owners = self.users_above(host, *id)?;
                }
            }
            self.find_users(elsewhere)?;
        }
        Ok(by_id)
    }

    /// Finds the users of some name servers in one pass over all records.
    fn find_users(&self, mut users: BTreeMap<i64, &mut BTreeSet<i64>>) -> Result<(), StoreError> {
        if users.is_empty() {
            return Ok(());
        }
        self.store.run(|db| {
            let sql = "select owner_id, rdata from record where rrtype = 2";
            let mut statement = db.prepare(sql)?;
            let mut rows = statement.rows(())?;
            while let Some(row) = rows.next()? {
                // By place: every delegation there is passes here.
                if let Some(owners) = users.get_mut(&row.at::<i64>(1)?) {
                    owners.insert(row.at(0)?);
                }
            }
            Ok(())
        })
    }

    /// Returns the owners at or above a name server that use it, in any zone.
    fn users_above(&self, host: &Name, host_id: i64) -> Result<BTreeSet<i64>, StoreError> {
        let mut owners = BTreeSet::new();
        for zone in self.store.zones().zones_enclosing(host)? {
            let mut name = Some(host.clone());
            while let Some(owner) = name.filter(|name| name.is_at_or_below(&zone.apex)) {
                owners.extend(self.store.run(|db| {
                    let sql = "select o.id
                                 from owner o
                                      join record r on r.owner_id = o.id and r.rrtype = 2
                                           and r.rdata = ?3
                                where o.zone_id = ?1 and o.name = ?2";
                    db.first_value::<i64>(
                        sql,
                        params![zone.id, owner.relative_key(&zone.apex), host_id],
                    )
                })?);
                name = owner.parent();
            }
        }
        Ok(owners)
    }

    /// Returns the absolute name of an owner in whatever zone it is.
    fn absolute_owner(&self, owner_id: i64) -> Result<Name, StoreError> {
        let (apex, key): (String, String) = self.store.run(|db| {
            let sql = "select z.name as zone_name, o.name as owner_name
                         from owner o join zone z on z.id = o.zone_id where o.id = ?";
            db.query_one(sql, [owner_id], |row| {
                Ok((row.get("zone_name")?, row.get("owner_name")?))
            })
        })?;
        Name::from_relative_key(&key, &self.store.read_name(&apex)?)
            .map_err(|fault| self.store.damaged(fault.to_string()))
    }

    /// Returns whether an owner, or a name between it and the apex, is or was lately a delegation: what
    /// lies there is glue, not the zone's own data.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn is_at_or_below_cut(&self, key: &EntityKey) -> Result<bool, StoreError> {
        // A delegation that was taken away lately leaves glue behind, not data of the zone.
        let last_bucket = self
            .store
            .zones()
            .buckets_since(key.zone, None)?
            .last()
            .copied()
            .unwrap_or(0);
        let mut name = Some(key.owner.clone());
        while let Some(candidate) = name.filter(|name| name.is_below(&key.apex)) {
            if let Some(owner_id) = self
                .store
                .ledger()
                .find_owner(key.zone, &key.apex, &candidate)?
            {
                let bound = [owner_id, last_bucket - 1, last_bucket, KIND_ROWS_MAX as i64];
                let has_ns: bool = self.store.run(|db| db.value(HAD_NS, bound))?;
                if has_ns {
                    return Ok(true);
                }
            }
            name = candidate.parent();
        }
        Ok(false)
    }

    /// Returns whether an owner had name servers that are gone.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn had_nameservers(&self, key: &EntityKey) -> Result<bool, StoreError> {
        let Some(owner_id) = self
            .store
            .ledger()
            .find_owner(key.zone, &key.apex, &key.owner)?
        else {
            return Ok(false);
        };
        for bucket in self
            .store
            .zones()
            .buckets_since(key.zone, None)?
            .into_iter()
            .skip(1)
        {
            let has_ns: bool = self.store.run(|db| {
                let sql = "select exists (select 1
                             from (select rrtype
                                     from past_record
                                    where bucket = ? and owner_id = ?
                                    order by removed_id desc limit ?)
                            where rrtype = 2)";
                db.value(sql, [bucket, owner_id, KIND_ROWS_MAX as i64])
            })?;
            if has_ns {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether history knows more than `limit` names at or below `domain` in a zone.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn has_more_names(
        &self,
        zone: &EnclosingZone,
        domain: &Name,
        limit: usize,
    ) -> Result<bool, StoreError> {
        let Some(key) = domain.relative_key(&zone.apex) else {
            return Ok(false);
        };
        let range = if key.is_empty() {
            "?2 = ''"
        } else {
            "name >= ?2 || '.' and name < ?2 || '/'"
        };
        let sql = format!(
            "select exists (select 1 from owner where zone_id = ?1 and {range} limit 1 offset ?3)"
        );
        self.store
            .run(|db| db.value(&sql, params![zone.id, key, limit as i64]))
    }

    /// Returns the names at or below `domain` in a zone whose addresses or aliases changed since `since`, those
    /// that changed most first; at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn owners_with_new_addresses(
        &self,
        zone: ZoneId,
        apex: &Name,
        domain: &Name,
        since: Timestamp,
        limit: usize,
    ) -> Result<Vec<EntityKey>, StoreError> {
        let Some(key) = domain.relative_key(apex) else {
            return Ok(Vec::new());
        };
        let range = if key.is_empty() {
            "?2 = ''"
        } else {
            "(o.name = ?2 or o.name >= ?2 || '.' and o.name < ?2 || '/')"
        };
        let buckets = self.store.zones().buckets_since(zone, Some(since))?;
        let (first, last) = (
            buckets.get(1).copied().unwrap_or(0),
            buckets.last().copied().unwrap_or(0),
        );
        let sql = format!(
            "with recursive month (bucket) as (select ?4
                                               union all
                                               select bucket + 1
                                                 from month
                                                where bucket < ?5)
             select o.name
               from owner o
              where o.zone_id = ?1 and {range}
                    and (exists (select 1
                                   from record r join version v on v.id = r.added_id
                                  where r.owner_id = o.id and r.rrtype in (1, 5, 28)
                                        and r.baseline = 0 and v.observed_at > ?3)
                         or exists (select 1
                                      from month {IN_ORDER} past_record p on p.bucket = month.bucket
                                     where p.owner_id = o.id and p.rrtype in (1, 5, 28)))
              order by (select count(*)
                          from (select 1
                                  from month {IN_ORDER} past_record p on p.bucket = month.bucket
                                 where p.owner_id = o.id limit {KIND_ROWS_MAX})) desc,
                       o.name limit ?6"
        );
        let names = self.store.run(|db| {
            db.values::<String>(&sql, params![zone, key, since, first, last, limit as i64])
        })?;
        let entity = |key: String| {
            let owner = Name::from_relative_key(&key, apex)
                .map_err(|fault| self.store.damaged(fault.to_string()))?;
            Ok(EntityKey {
                zone,
                apex: apex.clone(),
                owner,
            })
        };
        names.into_iter().map(entity).collect()
    }

    /// Returns the times of an owner's new registrations up to `until`, in order. The first that a feed
    /// told of is none: it says when the domain was registered, not that it was registered anew.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn registered_anew(
        &self,
        key: &EntityKey,
        until: Timestamp,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let Some(owner_id) = self
            .store
            .ledger()
            .find_owner(key.zone, &key.apex, &key.owner)?
        else {
            return Ok(Vec::new());
        };
        let times = self.store.run(|db| {
            let sql =
                "select v.observed_at from registration r join version v on v.id = r.version_id
                  where r.owner_id = ? and v.observed_at <= ? order by v.observed_at, v.id";
            db.values(sql, params![owner_id, until])
        })?;
        let later = times.get(1..).unwrap_or_default();
        Ok(later.iter().map(|at| Timestamp::from_unix(*at)).collect())
    }

    /// Returns whether a name server at or below `domain` is used by a name that it is not below.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn has_host_used_elsewhere(&self, domain: &Name) -> Result<bool, StoreError> {
        let key = domain
            .relative_key(&Name::root())
            .expect("every name is below the root");
        self.store.run(|db| {
            let sql = "
                select exists (
                    select 1 from host h
                     where (h.name = ?1 or h.name >= ?1 || '.' and h.name < ?1 || '/')
                       and exists (select 1 from popularity p where p.user_of = h.id))";
            db.value(sql, [key])
        })
    }

    /// Returns the rows of a name server, or of every name server at or below an operator's domain.
    pub(in crate::store) fn hosts_of(
        &self,
        host: &Name,
        whole_operator: bool,
    ) -> Result<Vec<i64>, StoreError> {
        let key = host
            .relative_key(&Name::root())
            .expect("every name is below the root");
        let below = " union all select id from host where name >= ?1 || '.' and name < ?1 || '/'";
        let sql = format!(
            "select id from host where name = ?1{}",
            if whole_operator { below } else { "" }
        );
        self.store.run(|db| db.values(&sql, [key]))
    }
}

/// Returns the versions at the ends of some intervals.
fn version_ids(intervals: &[RawInterval]) -> BTreeSet<i64> {
    let ends = intervals
        .iter()
        .flat_map(|(.., added_id, removed_id)| [Some(*added_id), *removed_id]);
    ends.flatten().collect()
}

/// Reads a row of [`MOMENTS`].
fn read_moment(row: &Row<'_>) -> Result<(Moment, bool), Fault> {
    let moment = Moment {
        version_id: row.get("id")?,
        at: row.get("observed_at")?,
        serial: row.get("serial")?,
        bulk: row.get("bulk")?,
        drift: row.get("drift")?,
        shared_count: 0,
    };
    Ok((moment, row.get("is_shared")?))
}

/// Reads an interval; its data and the versions at its ends are read by the caller.
fn read_interval(row: &Row<'_>) -> Result<RawInterval, Fault> {
    Ok((
        row.get("rrtype")?,
        row.get("rdata")?,
        row.get("baseline")?,
        row.get("added_id")?,
        row.get("removed_id")?,
    ))
}

/// Returns whether a moment lies in the part that is left out.
fn is_left_out(moment: &Moment, cut: Option<Moment>) -> bool {
    cut.is_some_and(|cut| (moment.at, moment.version_id) <= (cut.at, cut.version_id))
}

/// Joins overlapping stays of one value into one that lasts as long as any of them.
fn merge_stays(mut stays: Vec<Stay<IpAddr>>) -> Vec<Stay<IpAddr>> {
    stays.sort_by_key(|stay| (stay.added.at, stay.added.version_id));
    let mut merged: Vec<Stay<IpAddr>> = Vec::new();
    for stay in stays {
        match merged.last_mut() {
            Some(last)
                if last
                    .removed
                    .is_none_or(|removed| removed.at > stay.added.at) =>
            {
                last.removed = match (last.removed, stay.removed) {
                    (Some(one), Some(other)) => Some(if one.at >= other.at { one } else { other }),
                    _ => None,
                };
            }
            _ => merged.push(stay),
        }
    }
    merged
}
