//! Intervals of owners that change often, kept from one reading to the next.
//!
//! A name that fluxes is judged again and again, each time by months of its intervals. What a version did to an owner
//! changes only by more lines of that version, or where history is pruned, and each of these is a link of its zone's chain.
//! So what was read stays right as long as no link came for a version that was there already: of later versions only
//! what they did is read.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::detector::{Moment, Stay};
use crate::dns::Rdata;
use crate::store::caches::{KeptOwner, Moments, RawInterval, ZoneMark};
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::keys::{EntityKey, ZoneId};
use crate::store::lookup::Lookup;
use crate::store::lookup::window::{
    Extent, Interval, NewestIntervals, Taken, leave_out, version_ids,
};
use crate::time::Timestamp;

/// Of an owner with fewer closed intervals nothing is kept: it costs little to be read anew.
const OWNER_ROWS_MIN: usize = 64;
/// The most closed intervals of an owner that are read to be kept: as many as are judged, and most of those before that tell
/// what was seen.
const OWNER_ROWS_READ: usize = 8_192;
/// The most closed intervals of an owner that are kept as they become more.
const OWNER_ROWS_MAX: usize = 12_288;

/// Returns the newest intervals of an owner whose ends have at least the row `first`, as they are read from the database;
/// `None` if not all of them are here.
fn newest_of(owner: &KeptOwner, extent: &Extent, first: i64) -> Option<NewestIntervals<Rdata>> {
    let mut taken = Taken::default();
    let mut stays: Vec<&Interval> = owner.open.iter().collect();
    let (mut cut, mut has_old) = (None, false);
    for stay in &owner.closed {
        let end = stay.removed?;
        if end.version_id < first || stay.added.at > extent.until {
            continue;
        }
        if end.at < extent.since {
            has_old = true;
            continue;
        }
        // Versions that came late, at the edge of what is read: how many are too old in a row ends the reading.
        if has_old {
            return None;
        }
        if !taken.take(end.version_id, extent) {
            cut = Some(end);
            break;
        }
        stays.push(stay);
    }
    if let (None, Some(rest)) = (cut, owner.rest)
        && rest.at >= extent.since
    {
        // It may fit in now, or may have begun later, and is not here.
        let fits = rest.version_id >= first && taken.take(rest.version_id, extent);
        if fits || rest.at > extent.until {
            return None;
        }
        cut = Some(rest).filter(|rest| rest.version_id >= first);
    }
    let there = stays.into_iter().filter(|it| it.added.at <= extent.until);
    Some(leave_out(there.cloned(), cut))
}

/// Returns intervals of an owner that ended by a version in some months, of each the newest so many, as they are read from
/// the database; `None` if not all of them are here.
fn newest_of_months<'k>(
    owner: &'k KeptOwner,
    by: i64,
    months: &RangeInclusive<i64>,
    share: usize,
) -> Option<Vec<&'k Interval>> {
    if months.is_empty() {
        return Some(Vec::new());
    }
    if owner.since > Timestamp::month_start(*months.start()) {
        return None;
    }
    let mut found = Vec::new();
    // The month of the interval before, its first second and that of the next, and how many of it there were.
    let (mut month, mut begins, mut ends, mut count) = (i64::MIN, i64::MAX, i64::MAX, 0);
    for stay in &owner.closed {
        let end = stay.removed?;
        if end.version_id > by {
            continue;
        }
        if !(begins..ends).contains(&end.at.unix()) {
            month = end.at.month_bucket();
            (begins, ends) = (
                Timestamp::month_start(month).unix(),
                Timestamp::month_start(month + 1).unix(),
            );
            count = 0;
        }
        count += 1;
        if count <= share && months.contains(&month) {
            found.push(stay);
        }
    }
    // What there was no room for ended before all that is here.
    let rest = owner.rest.map(|rest| rest.at.month_bucket());
    let is_whole = rest.is_none_or(|rest| {
        rest < *months.start() || rest == *months.start() && month == rest && count >= share
    });
    is_whole.then_some(found)
}

/// Returns how many intervals of an owner ended in a month and those after it; `None` if not all of them are here.
fn count_since(owner: &KeptOwner, month: i64) -> Option<usize> {
    let is_of_month = |end: &Moment| end.at.month_bucket() >= month;
    if owner.since > Timestamp::month_start(month) || owner.rest.as_ref().is_some_and(is_of_month) {
        return None;
    }
    // In the order of their months, the last first.
    Some(
        owner
            .closed
            .partition_point(|stay| stay.removed.as_ref().is_some_and(is_of_month)),
    )
}

/// Adds what later versions did to an owner, whose intervals come in no order.
fn add(owner: &mut KeptOwner, open: Vec<Interval>, mut closed: Vec<Interval>, version: i64) {
    owner.open = open;
    owner.version = version;
    // Those of one version stay in the order in which they are read.
    closed.reverse();
    closed.sort_by_key(order);
    let newest = owner.closed.front().map(order);
    let is_later = closed
        .first()
        .is_none_or(|first| newest <= Some(order(first)));
    for stay in closed {
        owner.closed.push_front(stay);
    }
    if !is_later {
        // A version came late, and stands among those of its month.
        let closed = owner.closed.make_contiguous();
        closed.sort_by_key(|stay| Reverse(order(stay)));
    }
}

/// Returns the order in which ended intervals are read: by months, then by versions.
fn order(stay: &Interval) -> Option<(i64, i64)> {
    stay.removed
        .map(|end| (end.at.month_bucket(), end.version_id))
}

impl Lookup<'_> {
    /// Returns the newest intervals of an owner from what is kept of it; `None` if that is not enough.
    pub(in crate::store) fn newest_kept(
        &self,
        key: &EntityKey,
        owner_id: i64,
        extent: &Extent,
        first: i64,
    ) -> Result<Option<NewestIntervals<Rdata>>, StoreError> {
        if !self.refresh(key.zone, owner_id)? {
            return Ok(None);
        }
        let pruned_until = self.check_zone(key.zone)?.pruned_until;
        let mut kept = self.store.kept.borrow_mut();
        let newest = kept.owners.get(&owner_id).and_then(|owner| {
            let is_early =
                extent.since < owner.since || pruned_until.is_some_and(|cut| extent.since < cut);
            match is_early {
                true => None,
                false => newest_of(owner, extent, first),
            }
        });
        match &newest {
            // They are replayed, whether they were read or kept.
            Some(newest) => self.note_rows_read(newest.stays.len()),
            None => drop(kept.take(owner_id)),
        }
        Ok(newest)
    }

    /// Brings what is kept of an owner to the state that is read. Returns whether anything is.
    fn refresh(&self, zone: ZoneId, owner_id: i64) -> Result<bool, StoreError> {
        // Outside of a reading every statement may read another state.
        if self.store.moments.borrow().is_none() || !self.keeps(owner_id) {
            return Ok(false);
        }
        let mark = self.check_zone(zone)?;
        let Some(mut owner) = self.store.kept.borrow_mut().take(owner_id) else {
            return Ok(false);
        };
        if mark.version > owner.version {
            let (open, closed) = self.read_after(zone, owner_id, &owner)?;
            add(&mut owner, open, closed, mark.version);
            if owner.closed.len() > OWNER_ROWS_MAX {
                return Ok(false);
            }
        }
        self.store.kept.borrow_mut().put(owner_id, owner);
        Ok(true)
    }

    /// Returns the values of an owner's intervals that ended by `cut` in some months, of each the newest so many, from what is
    /// kept of it; `None` if that is not enough. One may be there more than once.
    pub(in crate::store) fn values_kept(
        &self,
        zone: ZoneId,
        owner_id: i64,
        cut: &Moment,
        (months, share): (&RangeInclusive<i64>, usize),
    ) -> Result<Option<Vec<Rdata>>, StoreError> {
        if !self.refresh(zone, owner_id)? {
            return Ok(None);
        }
        let kept = self.store.kept.borrow();
        let owner = kept.owners.get(&owner_id);
        let found = owner.and_then(|it| newest_of_months(it, cut.version_id, months, share));
        Ok(found.map(|found| found.into_iter().map(|it| it.value.clone()).collect()))
    }

    /// Returns whether an owner has name servers, or had any among the newest so many intervals that ended in each of some
    /// months, from what is kept of it; `None` if that is not enough.
    pub(in crate::store) fn had_ns_kept(
        &self,
        zone: ZoneId,
        owner_id: i64,
        (months, share): (&RangeInclusive<i64>, usize),
    ) -> Result<Option<bool>, StoreError> {
        if !self.refresh(zone, owner_id)? {
            return Ok(None);
        }
        let kept = self.store.kept.borrow();
        Ok(kept.owners.get(&owner_id).and_then(|owner| {
            let closed = newest_of_months(owner, i64::MAX, months, share)?;
            let mut all = owner.open.iter().chain(closed);
            Some(all.any(|stay| matches!(stay.value, Rdata::Ns(_))))
        }))
    }

    /// Returns how many intervals of an owner ended in a month and those after it, from what is kept of it; `None` if that
    /// is not enough.
    pub(in crate::store) fn count_kept(
        &self,
        zone: ZoneId,
        owner_id: i64,
        month: i64,
    ) -> Result<Option<usize>, StoreError> {
        if !self.refresh(zone, owner_id)? {
            return Ok(None);
        }
        let kept = self.store.kept.borrow();
        Ok(kept
            .owners
            .get(&owner_id)
            .and_then(|owner| count_since(owner, month)))
    }

    /// Returns whether anything is kept of an owner.
    fn keeps(&self, owner_id: i64) -> bool {
        self.store.kept.borrow().owners.contains_key(&owner_id)
    }

    /// Keeps what there is of an owner of which some was just read, if it is worth that: all that ended since a time, or
    /// the newest of it.
    pub(in crate::store) fn keep(
        &self,
        key: &EntityKey,
        owner_id: i64,
        extent: &Extent,
        read: &[Interval],
    ) -> Result<(), StoreError> {
        let closed = read.iter().filter(|stay| stay.removed.is_some());
        if self.store.moments.borrow().is_none() || closed.count() < OWNER_ROWS_MIN {
            return Ok(());
        }
        // From the beginning of a month on: what was seen before is asked for by months.
        let since = extent.since.start_of_month();
        let whole = Extent {
            since,
            until: Timestamp::from_unix(i64::MAX),
            limit: OWNER_ROWS_READ,
            ..*extent
        };
        let mark = self.check_zone(key.zone)?;
        let (taken, rest) = self.read_extent(key, (owner_id, i64::MIN), &whole)?;
        let is_pruned = mark.pruned_until.is_some_and(|cut| extent.since < cut);
        if is_pruned || taken.is_mixed {
            return Ok(());
        }
        let mut owner = KeptOwner {
            since,
            version: 0,
            open: Vec::new(),
            closed: VecDeque::new(),
            rest,
        };
        let read = self.read_values(taken.intervals)?.into_iter();
        let (open, closed) = read.partition(|stay| stay.removed.is_none());
        add(&mut owner, open, closed, mark.version);
        let mut kept = self.store.kept.borrow_mut();
        kept.take(owner_id);
        kept.put(owner_id, owner);
        Ok(())
    }

    /// Looks at what came to a zone's chain since it was looked at last, once while one state of the database is read.
    /// Where a version that was there got more lines, or history was pruned, everything that is kept is forgotten.
    fn check_zone(&self, zone: ZoneId) -> Result<ZoneMark, StoreError> {
        let known = self.store.kept.borrow().zones.get(&zone).copied();
        if let Some(mark) = known.filter(|mark| mark.is_checked) {
            return Ok(mark);
        }
        let mut mark = match known {
            Some(mark) => mark,
            None => self.store.run(|db| {
                let sql = "select coalesce(max(id), 0) as link,
                                  coalesce(max(version_id), 0) as version,
                                  max(case when kind = 'start' then at end) as pruned_until
                             from chain where zone_id = ?";
                db.query_one(sql, [zone], |row| {
                    Ok(ZoneMark {
                        link: row.get("link")?,
                        version: row.get("version")?,
                        pruned_until: row.get("pruned_until")?,
                        is_checked: false,
                    })
                })
            })?,
        };
        let links: Vec<(i64, i64, Option<Timestamp>)> = self.store.run(|db| {
            let sql = "select id, version_id, case when kind = 'start' then at end as cut
                         from chain where zone_id = ? and id > ? order by id";
            db.query(sql, params![zone, mark.link], |row| {
                Ok((row.get("id")?, row.get("version_id")?, row.get("cut")?))
            })
        })?;
        let mut kept = self.store.kept.borrow_mut();
        for (link, version, cut) in links {
            if cut.is_some() || version <= mark.version {
                kept.clear();
            }
            mark.link = link;
            mark.version = mark.version.max(version);
            mark.pruned_until = mark.pruned_until.max(cut);
        }
        mark.is_checked = true;
        kept.zones.insert(zone, mark);
        Ok(mark)
    }

    /// Reads what is there of an owner, and what versions after those that are kept ended.
    fn read_after(
        &self,
        zone: ZoneId,
        owner_id: i64,
        owner: &KeptOwner,
    ) -> Result<(Vec<Interval>, Vec<Interval>), StoreError> {
        let zones = self.store.zones();
        let months = zones.buckets_since(zone, Some(owner.since))?;
        let mut raw = self.read_open(owner_id)?;
        for month in months.into_iter().skip(1) {
            raw.extend(self.read_ended(owner_id, month, owner.version + 1)?);
        }
        let mut moments = self.store.moments.take();
        let mut known = Moments::default();
        let read = self.finish_all(raw, owner_id, moments.as_mut().unwrap_or(&mut known));
        self.store.moments.replace(moments);
        Ok(read?.into_iter().partition(|stay| stay.removed.is_none()))
    }

    /// Reads the versions and the data of intervals.
    fn finish_all(
        &self,
        raw: Vec<RawInterval>,
        owner_id: i64,
        moments: &mut Moments,
    ) -> Result<Vec<Interval>, StoreError> {
        self.learn_moments(version_ids(&raw), moments)?;
        let mut stays: Vec<(u16, _, Stay<()>)> = Vec::with_capacity(raw.len());
        for raw in raw {
            stays.push(self.with_moments(raw, owner_id, moments)?);
        }
        self.read_values(stays)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::dns::Name;
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::keys::SourceKind;
    use crate::store::lookup::sieve::tests::{HOUR, START, name, tell, tell_more};

    use super::*;

    /// Returns what is read of owners at a time, in order: for each limit what is read newest and what was seen before it,
    /// and what is there. One that `forgets` answers each question from the database.
    fn read(store: &Store, owners: &[Name], at: i64, forgets: bool) -> Vec<String> {
        let reading = store.begin_reading().expect("begun");
        let forget = || {
            if forgets {
                store.kept.borrow_mut().clear();
            }
        };
        let zones = store.zones().zones_enclosing(&owners[0]).expect("read");
        let zone = zones.first().expect("a zone");
        let mut answers = Vec::new();
        for owner in owners {
            let key = EntityKey {
                zone: zone.id,
                apex: zone.apex.clone(),
                owner: owner.clone(),
            };
            for limit in [1000, 90, 30] {
                let extent = Extent {
                    since: Timestamp::from_unix(at - 40 * 24 * HOUR),
                    until: Timestamp::from_unix(at),
                    limit,
                    instants_min: 5,
                    is_once: false,
                };
                forget();
                let read = store
                    .lookup()
                    .newest_intervals(&key, &extent)
                    .expect("read");
                let mut stays: Vec<String> =
                    read.stays.iter().map(|stay| format!("{stay:?}")).collect();
                stays.sort();
                answers.push(format!("{limit}: {stays:?} {:?}", read.cut));
                let Some(cut) = read.cut else { continue };
                let since = extent.since.month_bucket();
                let owner_id = store.lookup().owner_row(&key).expect("read");
                let owner_id = owner_id.expect("it has intervals");
                for share in [3, 40, 1000] {
                    let months = (&(since..=cut.at.month_bucket()), share);
                    forget();
                    let values = store.lookup().values_of(key.zone, owner_id, &cut, months);
                    let values = values.expect("read").into_iter();
                    let values: BTreeSet<String> = values.map(|it| format!("{it:?}")).collect();
                    answers.push(format!("{share}: {values:?}"));
                }
            }
            for (days, limit) in [(40, 1000), (10, 1000), (40, 20)] {
                forget();
                let since = Timestamp::from_unix(at - days * 24 * HOUR);
                let count = store.lookup().closed_count(&key, since, limit);
                answers.push(format!("{days} {limit}: {count:?}"));
            }
            forget();
            let (now, names) = (Timestamp::from_unix(at), [owner.clone()].into());
            let since = Timestamp::from_unix(at - 5 * 24 * HOUR);
            let used = store.lookup().nameservers_between(zone, &names, since, now);
            let mut used = used.expect("read").remove(owner).unwrap_or_default();
            used.sort_by_key(|it| format!("{it:?}"));
            answers.push(format!("{used:?}"));
            let window = store.lookup().window(&key, now).expect("read");
            let mut there: Vec<String> = window.iter().map(|stay| format!("{stay:?}")).collect();
            there.sort();
            answers.push(format!("{there:?}"));
        }
        drop(reading);
        answers
    }

    /// Draws numbers below those that are asked for, the same each time.
    fn numbers() -> impl FnMut(u64) -> u64 {
        let mut last = 7_u64;
        move |below: u64| {
            last = last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (last >> 33) % below
        }
    }

    #[test]
    fn newest_of_some_months_are_those_of_all_or_it_is_said_that_some_are_not_here() {
        let mut draw = numbers();
        let first_month = Timestamp::from_unix(START).month_bucket();
        let (mut answered, mut unanswered) = (0, 0);
        for _ in 0..2_000 {
            let (mut all, mut at) = (VecDeque::new(), START);
            for version_id in 1..=draw(40) as i64 {
                at += draw(9) as i64 * 24 * HOUR;
                let end = Moment {
                    version_id,
                    at: Timestamp::from_unix(at),
                    serial: None,
                    bulk: false,
                    drift: false,
                    shared_count: 0,
                };
                all.push_front(Stay {
                    value: Rdata::A([10, 0, 0, version_id as u8].into()),
                    added: end,
                    removed: Some(end),
                    baseline: false,
                });
            }
            let room = draw(45) as usize;
            let owner = KeptOwner {
                since: Timestamp::month_start(first_month),
                version: 40,
                open: Vec::new(),
                closed: all.iter().take(room).cloned().collect(),
                rest: all.get(room).and_then(|stay| stay.removed),
            };
            let from = first_month + draw(4) as i64;
            let months = from..=from + draw(4) as i64;
            let (share, by) = (1 + draw(9) as usize, draw(42) as i64);
            let of_month = |month: i64| {
                let ended = all.iter().filter(move |stay| {
                    let end = stay.removed.expect("it ended");
                    end.at.month_bucket() == month && end.version_id <= by
                });
                ended.take(share)
            };
            let wanted: Vec<&Interval> = months.clone().rev().flat_map(of_month).collect();
            match newest_of_months(&owner, by, &months, share) {
                Some(found) => {
                    assert_eq!(found, wanted);
                    answered += 1;
                }
                None => {
                    assert!(room < all.len());
                    unanswered += 1;
                }
            }
        }
        assert!(
            answered > 500 && unanswered > 100,
            "{answered} {unanswered}"
        );
    }

    #[test]
    fn what_is_kept_of_a_flux_is_what_is_read_anew_whatever_comes_between() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("f.db");
        let options = StoreOptions {
            reverse_index: false,
            create: true,
        };
        let store = Store::open(&path, options).expect("opened");
        let owners = [name("bad.example"), name("ns.bad.example")];
        let ns = |n: i64| Rdata::Ns(name(&format!("ns{}.op.net", n % 17)));
        let address = |n: i64| Rdata::A([10, 0, (n / 250) as u8, (n % 250) as u8].into());
        tell(&store, START, "calm.example", &[ns(0)]);
        let mut draw = numbers();
        let mut kept = 0;
        for step in 1..80_i64 {
            // Sometimes days pass, sometimes a version comes late, and sometimes lines come to one that is there.
            let at = START + step * 14 * HOUR;
            let told_at = if draw(9) == 0 { at - 20 * HOUR } else { at };
            tell(
                &store,
                told_at,
                "bad.example",
                &[ns(step), ns(step + 1), ns(step * step)],
            );
            tell(
                &store,
                told_at,
                "ns.bad.example",
                &[address(step), address(step + 1)],
            );
            if draw(12) == 0 {
                let source = store.zones().ensure_source("feed", SourceKind::Feed);
                let source = source.expect("made");
                let zone = store
                    .zones()
                    .ensure_zone(&name("example"), source)
                    .expect("made");
                let versions = store.lookup().versions_after(zone.id, 0).expect("read");
                let (version, at) = versions[versions.len() - 1 - draw(3) as usize];
                tell_more(
                    &store,
                    (version, at),
                    "ns.bad.example",
                    &[address(900 + step)],
                );
            }
            // A careful reader that keeps nothing.
            let careful = Store::open(&path, options).expect("opened");
            let judged_at = if draw(7) == 0 { at - 50 * HOUR } else { at };
            assert_eq!(
                read(&store, &owners, judged_at, false),
                read(&careful, &owners, judged_at, true)
            );
            kept += store.kept.borrow().owners.len();
        }
        assert!(kept > 40, "{kept}");
    }
}
