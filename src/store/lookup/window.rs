//! The intervals of an owner, and of the addresses of a name server: what the detector replays.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::LazyLock;

use crate::detector::{Moment, Stay};
use crate::dns::{Name, Rdata};
use crate::store::caches::{Moments, RawInterval};
use crate::store::door::{Fault, Numbers, Row, Value, params};
use crate::store::error::StoreError;
use crate::store::keys::{EntityKey, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::sqlite::dialect::{IN_ORDER, rows_of};
use crate::time::Timestamp;

/// One record of an owner and when it was there.
pub type Interval = Stay<Rdata>;

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
             order by removed_id desc limit ?4) found";
/// So many intervals in a row that ended before the time that is asked for end the reading: versions that arrived late
/// are few.
const OLD_ROWS_MAX: usize = 256;
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
    /// Whether they are not asked for again soon: nothing of them is kept for then.
    pub is_once: bool,
}

/// The most versions of which [`Moments`] are kept.
const MOMENTS_MAX: usize = 200_000;

/// How much was read of an owner.
#[derive(Default)]
pub(in crate::store) struct Taken {
    rows: usize,
    instants: usize,
    /// The version of the last row.
    last_id: i64,
    /// How many rows in a row ended before the time that is asked for.
    old: usize,
    /// Whether one that is not too old came after one that is.
    pub is_mixed: bool,
    /// What was taken, open intervals first.
    pub intervals: Vec<(u16, Value, Stay<()>)>,
}

impl Taken {
    /// Takes a row that ended in a version; false if there is no room for it.
    pub fn take(&mut self, removed_id: i64, extent: &Extent) -> bool {
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
    pub fn window(&self, key: &EntityKey, since: Timestamp) -> Result<Vec<Interval>, StoreError> {
        let first = self.no_version_before(key.zone, since)?;
        let all = Extent {
            since,
            until: Timestamp::from_unix(i64::MAX),
            limit: usize::MAX,
            instants_min: 0,
            is_once: true,
        };
        let read = self.read_newest(key, &all, first)?;
        Ok(read.stays)
    }

    /// Returns the newest intervals of an owner, those that are open among them.
    ///
    /// However long the history is, no more than the limit and [`OLD_ROWS_MAX`] closed intervals are read of what
    /// had begun by `until`.
    pub fn newest_intervals(
        &self,
        key: &EntityKey,
        extent: &Extent,
    ) -> Result<NewestIntervals<Rdata>, StoreError> {
        self.read_newest(key, extent, i64::MIN)
    }

    /// Returns how many intervals of an owner ended in the months since `since`; counts no further than `limit`.
    pub fn closed_count(
        &self,
        key: &EntityKey,
        since: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let Some(owner_id) = self.owner_row(key)? else {
            return Ok(0);
        };
        let months = self.store.zones().buckets_since(key.zone, Some(since))?;
        if let Some(first) = months.get(1)
            && let Some(count) = self.count_kept(key.zone, owner_id, *first)?
        {
            return Ok(count.min(limit));
        }
        let mut count = 0;
        for month in months.into_iter().skip(1).rev() {
            let room = limit.saturating_sub(count);
            let more: i64 = self.store.run(|db| {
                let sql = "select count(*)
                             from (select 1
                                     from past_record where bucket = ? and owner_id = ? limit ?) found";
                db.value(sql, params![month, owner_id, room as i64])
            })?;
            count += more as usize;
        }
        Ok(count)
    }

    /// Returns how many intervals were read through this connection, or kept and asked for again: what the work of the detector grows with.
    pub fn rows_read(&self) -> u64 {
        self.store.rows_read.get()
    }

    /// Counts intervals that were read, or kept and asked for again.
    pub(in crate::store) fn note_rows_read(&self, count: usize) {
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
        let Some(owner_id) = self.owner_row(key)? else {
            return Ok(NewestIntervals {
                stays: Vec::new(),
                cut: None,
            });
        };
        if let Some(kept) = self.newest_kept(key, owner_id, extent, first)? {
            return Ok(kept);
        }
        let (taken, cut) = self.read_extent(key, (owner_id, first), extent)?;
        self.note_rows_read(taken.intervals.len());
        let read = self.read_values(taken.intervals)?;
        if first == i64::MIN && !extent.is_once {
            self.keep(key, owner_id, extent, &read)?;
        }
        Ok(leave_out(read.into_iter(), cut))
    }

    /// [`Lookup::read_rows`] with the versions that are known of the state that is read.
    pub(in crate::store) fn read_extent(
        &self,
        key: &EntityKey,
        owner: (i64, i64),
        extent: &Extent,
    ) -> Result<(Taken, Option<Moment>), StoreError> {
        // Outside of a transaction every statement may read another state.
        let mut moments = self.store.moments.take();
        let mut known = Moments::default();
        let moments_known = moments.as_mut().unwrap_or(&mut known);
        let read = self.read_rows(key, owner, extent, moments_known);
        self.store.moments.replace(moments);
        read
    }

    /// Reads the intervals of the row of an owner whose ends have at least the row `first`. Returns the end of the first
    /// that there is no room for, too.
    fn read_rows(
        &self,
        key: &EntityKey,
        (owner_id, first): (i64, i64),
        extent: &Extent,
        moments: &mut Moments,
    ) -> Result<(Taken, Option<Moment>), StoreError> {
        let seen = self.seen_intervals(owner_id);
        let open = match &seen {
            Some(seen) => seen.open.clone(),
            None => self.read_open(owner_id)?,
        };
        self.learn_moments(version_ids(&open), moments)?;
        let mut taken = Taken::default();
        for raw in open {
            let row = self.with_moments(raw, owner_id, moments)?;
            if row.2.added.at <= extent.until {
                taken.intervals.push(row);
            }
        }
        // The bucket 0 stands for what is open.
        let months = self
            .store
            .zones()
            .buckets_since(key.zone, Some(extent.since))?;
        for month in months.into_iter().skip(1).rev() {
            let place = [owner_id, month, first];
            let seen = seen.as_ref().and_then(|seen| seen.closed.get(&month));
            let cut = match seen {
                Some(seen) => self.take_month(place, seen, extent, &mut taken, moments)?,
                None => self.read_month(place, extent, &mut taken, moments)?,
            };
            if cut.is_some() {
                return Ok((taken, cut));
            }
        }
        Ok((taken, None))
    }

    /// Reads the open intervals of an owner.
    pub(in crate::store) fn read_open(
        &self,
        owner_id: i64,
    ) -> Result<Vec<RawInterval>, StoreError> {
        self.store
            .run(|db| db.query(OPEN, [owner_id], read_interval))
    }

    /// Reads the intervals of an owner that ended in a month by a version or later ones, the last first.
    pub(in crate::store) fn read_ended(
        &self,
        owner_id: i64,
        month: i64,
        first: i64,
    ) -> Result<Vec<RawInterval>, StoreError> {
        self.store
            .run(|db| db.query(NEWEST, [owner_id, month, first], read_interval))
    }

    /// Reads the data of intervals.
    pub(in crate::store) fn read_values(
        &self,
        rows: Vec<(u16, Value, Stay<()>)>,
    ) -> Result<Vec<Interval>, StoreError> {
        let ledger = self.store.ledger();
        ledger.know_hosts(rows.iter().filter_map(|(_, value, _)| match value {
            Value::Integer(host) => Some(*host),
            _ => None,
        }))?;
        let read = |(code, value, stay): (u16, Value, Stay<()>)| {
            Ok(Stay {
                value: ledger.read_rdata(code, &value)?,
                added: stay.added,
                removed: stay.removed,
                baseline: stay.baseline,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Reads the versions at the ends of an interval, if they are not known.
    pub(in crate::store) fn with_moments(
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
        let shared_count = match self.seen_shared_count(version_id, owner_id) {
            Some(known) => known,
            None => self.store.ledger().shared_count(version_id, owner_id)?,
        };
        Ok(Moment {
            shared_count,
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
    ) -> Result<Option<Moment>, StoreError> {
        taken.old = 0;
        let engine = |fault| self.store.engine(fault);
        let mut statement = self.store.db.prepare(NEWEST).map_err(engine)?;
        let mut rows = statement.rows(key).map_err(engine)?;
        let mut part = Vec::with_capacity(ROWS_AT_A_TIME);
        loop {
            while part.len() < ROWS_AT_A_TIME
                && let Some(row) = rows.next().map_err(engine)?
            {
                part.push(read_interval(&row).map_err(engine)?);
            }
            if part.is_empty() {
                return Ok(None);
            }
            let part = std::mem::replace(&mut part, Vec::with_capacity(ROWS_AT_A_TIME));
            if let ControlFlow::Break(cut) = self.take_part(key, part, extent, taken, moments)? {
                return Ok(cut);
            }
        }
    }

    /// [`Lookup::read_month`] of intervals that were read before: all that ended in the month.
    fn take_month(
        &self,
        key: [i64; 3],
        seen: &[RawInterval],
        extent: &Extent,
        taken: &mut Taken,
        moments: &mut Moments,
    ) -> Result<Option<Moment>, StoreError> {
        taken.old = 0;
        let late = |(.., removed_id): &&RawInterval| removed_id.is_some_and(|id| id >= key[2]);
        let part = seen.iter().filter(late).cloned().collect();
        match self.take_part(key, part, extent, taken, moments)? {
            ControlFlow::Break(cut) => Ok(cut),
            ControlFlow::Continue(()) => Ok(None),
        }
    }

    /// Takes intervals of an owner that ended in a month, as [`Lookup::read_month`] reads them. Ends with what there is no
    /// room for, or without anything if the rest is too old.
    fn take_part(
        &self,
        [owner_id, _, first]: [i64; 3],
        part: Vec<RawInterval>,
        extent: &Extent,
        taken: &mut Taken,
        moments: &mut Moments,
    ) -> Result<ControlFlow<Option<Moment>>, StoreError> {
        self.learn_moments(version_ids(&part), moments)?;
        for raw in part {
            let (code, value, stay) = self.with_moments(raw, owner_id, moments)?;
            if stay.added.at > extent.until {
                continue;
            }
            if stay.removed.is_some_and(|end| end.at < extent.since) {
                taken.old += 1;
                if taken.old > OLD_ROWS_MAX && first == i64::MIN {
                    return Ok(ControlFlow::Break(None));
                }
                continue;
            }
            taken.is_mixed |= taken.old > 0;
            taken.old = 0;
            let removed_id = stay.removed.map_or(0, |end| end.version_id);
            if !taken.take(removed_id, extent) {
                return Ok(ControlFlow::Break(stay.removed));
            }
            taken.intervals.push((code, value, stay));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads those of some versions that are not known, together.
    pub(in crate::store) fn learn_moments(
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

    /// Returns the values of an owner's intervals that ended by `cut` in the months since `since`; of the newest
    /// [`SEEN_ROWS_MAX`], in no order. One may be there more than once.
    pub fn values_before(
        &self,
        key: &EntityKey,
        cut: &Moment,
        since: Timestamp,
    ) -> Result<Vec<Rdata>, StoreError> {
        let Some(owner_id) = self.owner_row(key)? else {
            return Ok(Vec::new());
        };
        let months = self.store.zones().buckets_since(key.zone, Some(since))?;
        let first = months.get(1).copied().unwrap_or(i64::MAX);
        let last = months.last().copied().unwrap_or(0);
        let months = first..=last.min(cut.at.month_bucket());
        let share = SEEN_ROWS_MAX / months.clone().count().max(1);
        self.values_of(key.zone, owner_id, cut, (&months, share))
    }

    /// Returns the values of an owner's intervals that ended by `cut` in some months, of each the newest so many.
    pub(in crate::store) fn values_of(
        &self,
        zone: ZoneId,
        owner_id: i64,
        cut: &Moment,
        (months, share): (&RangeInclusive<i64>, usize),
    ) -> Result<Vec<Rdata>, StoreError> {
        if let Some(kept) = self.values_kept(zone, owner_id, cut, (months, share))? {
            return Ok(kept);
        }
        let mut values = Vec::new();
        for month in months.clone().rev() {
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
    pub fn host_addresses(
        &self,
        host: &Name,
        extent: &Extent,
    ) -> Result<NewestIntervals<IpAddr>, StoreError> {
        let mut found: Vec<(ZoneId, Stay<IpAddr>)> = Vec::new();
        let mut cut: Option<Moment> = None;
        for key in self.places_of_host(host, extent.until)? {
            let read = self.newest_intervals(&key, extent)?;
            let later = read
                .cut
                .filter(|new| cut.is_none_or(|old| old.at <= new.at));
            cut = later.or(cut);
            found.reserve(read.stays.len());
            for interval in read.stays {
                if let Some(address) = interval.value.address() {
                    let stay = Stay {
                        value: address,
                        added: interval.added,
                        removed: interval.removed,
                        baseline: interval.baseline,
                    };
                    found.push((key.zone, stay));
                }
            }
        }
        let stays = merge_stays(found);
        Ok(NewestIntervals { stays, cut })
    }

    /// Returns where the addresses of a name server may stand: in every zone that encloses it and is judged at a time.
    pub fn places_of_host(&self, host: &Name, at: Timestamp) -> Result<Vec<EntityKey>, StoreError> {
        let zones = self.store.zones().zones_enclosing(host)?.into_iter();
        let zones = zones.filter(|zone| zone.is_judged_at(at));
        let places = zones.map(|zone| EntityKey {
            zone: zone.id,
            apex: zone.apex,
            owner: host.clone(),
        });
        Ok(places.collect())
    }
}

/// Returns the versions at the ends of some intervals.
pub(in crate::store) fn version_ids(intervals: &[RawInterval]) -> BTreeSet<i64> {
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

/// Returns intervals without the part that is left out: one instant is replayed whole or not at all.
pub(in crate::store) fn leave_out(
    stays: impl Iterator<Item = Interval>,
    cut: Option<Moment>,
) -> NewestIntervals<Rdata> {
    let count = stays.size_hint().1.unwrap_or_default();
    let stays = stays.filter(|stay| !stay.removed.is_some_and(|end| is_left_out(&end, cut)));
    // Nearly all stay: the list does not grow step by step.
    let mut left = Vec::with_capacity(count);
    left.extend(stays.map(|stay| Stay {
        baseline: stay.baseline || is_left_out(&stay.added, cut),
        ..stay
    }));
    NewestIntervals { stays: left, cut }
}

/// Returns whether a moment lies in the part that is left out.
fn is_left_out(moment: &Moment, cut: Option<Moment>) -> bool {
    cut.is_some_and(|cut| (moment.at, moment.version_id) <= (cut.at, cut.version_id))
}

/// Joins the stays of each value in several zones into stays that last as long as any of them: those that overlap, and
/// those of which one zone takes over where another ends, in the same second. Within one zone, what left and came back
/// in one second was gone. Returns them in the order of their values and times.
fn merge_stays(mut stays: Vec<(ZoneId, Stay<IpAddr>)>) -> Vec<Stay<IpAddr>> {
    stays.sort_by_key(|(_, stay)| (stay.value, stay.added.at, stay.added.version_id));
    let mut merged: Vec<(ZoneId, Stay<IpAddr>)> = Vec::with_capacity(stays.len());
    for (zone, stay) in stays {
        let same = merged
            .last_mut()
            .filter(|(_, last)| last.value == stay.value);
        let last = same.filter(|(last_zone, last)| {
            last.removed.is_none_or(|end| match *last_zone == zone {
                true => end.at > stay.added.at,
                false => end.at >= stay.added.at,
            })
        });
        match last {
            Some(last) => {
                let is_longer = last.1.removed.is_some_and(|end| {
                    let other = stay.removed.map(|other| other.at);
                    other.is_none_or(|other| other > end.at)
                });
                if is_longer {
                    *last = (
                        zone,
                        Stay {
                            removed: stay.removed,
                            ..last.1.clone()
                        },
                    );
                }
            }
            None => merged.push((zone, stay)),
        }
    }
    merged.into_iter().map(|(_, stay)| stay).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a version of a second.
    fn moment(version_id: i64, second: i64) -> Moment {
        Moment {
            version_id,
            at: Timestamp::from_unix(second),
            serial: None,
            bulk: false,
            drift: false,
            shared_count: 0,
        }
    }

    /// Returns a stay in a zone, each end as version and second.
    fn stay(zone: i64, added: (i64, i64), removed: Option<(i64, i64)>) -> (ZoneId, Stay<IpAddr>) {
        let stay = Stay {
            value: IpAddr::from([192, 0, 2, 1]),
            added: moment(added.0, added.1),
            removed: removed.map(|(version, second)| moment(version, second)),
            baseline: false,
        };
        (ZoneId(zone), stay)
    }

    /// Returns the seconds at which merged stays begin and end.
    fn seconds(stays: Vec<(ZoneId, Stay<IpAddr>)>) -> Vec<(i64, Option<i64>)> {
        let merged = merge_stays(stays).into_iter();
        let ends = |stay: Stay<IpAddr>| (stay.added.at.unix(), stay.removed.map(|it| it.at.unix()));
        merged.map(ends).collect()
    }

    #[test]
    fn address_that_another_zone_takes_over_in_the_same_second_never_left() {
        for (gone, came) in [(3, 4), (4, 3)] {
            let parent = stay(1, (1, 10), Some((gone, 20)));
            let child = stay(2, (came, 20), Some((7, 30)));
            let again = stay(1, (6, 30), None);
            for stays in [
                vec![parent.clone(), child.clone(), again.clone()],
                vec![again, child, parent],
            ] {
                assert_eq!(seconds(stays), [(10, None)], "{gone} {came}");
            }
        }
    }

    #[test]
    fn address_that_left_its_zone_and_came_back_or_came_later_was_gone() {
        let twice = [stay(1, (1, 10), Some((2, 20))), stay(1, (3, 20), None)];
        assert_eq!(seconds(twice.to_vec()), [(10, Some(20)), (20, None)]);
        let later = [stay(1, (1, 10), Some((2, 20))), stay(2, (3, 21), None)];
        assert_eq!(seconds(later.to_vec()), [(10, Some(20)), (21, None)]);
    }

    #[test]
    fn stays_of_different_values_are_not_joined_and_come_in_order() {
        let other = |(zone, stay): (ZoneId, Stay<IpAddr>)| {
            let value = IpAddr::from([192, 0, 2, 0]);
            (zone, Stay { value, ..stay })
        };
        let stays = vec![
            stay(1, (1, 10), Some((4, 40))),
            other(stay(2, (2, 20), Some((3, 30)))),
            stay(2, (4, 40), None),
        ];
        assert_eq!(seconds(stays), [(20, Some(30)), (10, None)]);
    }

    #[test]
    fn stays_that_overlap_last_as_long_as_the_longest() {
        let inner = [
            stay(1, (1, 10), Some((4, 40))),
            stay(2, (2, 20), Some((3, 30))),
        ];
        assert_eq!(seconds(inner.to_vec()), [(10, Some(40))]);
        let open = [stay(1, (1, 10), None), stay(2, (2, 20), Some((3, 30)))];
        assert_eq!(seconds(open.to_vec()), [(10, None)]);
    }
}
