//! Intervals of owners that change often, kept from one reading to the next.
//!
//! A name that fluxes is judged again and again, each time by months of its intervals. What a version did to an owner
//! changes only by more lines of that version, or where history is pruned, and each of these is a link of its zone's chain.
//! So what was read stays right as long as no link came for a version that was there already: of later versions only
//! what they did is read.

use crate::detector::Stay;
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
/// The most closed intervals of an owner that are read to be kept: twice as many as are judged.
const OWNER_ROWS_READ: usize = 4_096;
/// The most closed intervals of an owner that are kept as they become more.
const OWNER_ROWS_MAX: usize = 8_192;

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

/// Adds what later versions did to an owner, whose intervals come in no order.
fn add(owner: &mut KeptOwner, open: Vec<Interval>, closed: Vec<Interval>, version: i64) {
    owner.open = open;
    owner.version = version;
    owner.closed.splice(0..0, closed);
    owner
        .closed
        .sort_by_key(|stay| std::cmp::Reverse(order(stay)));
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
        // Outside of a reading every statement may read another state.
        if self.store.moments.borrow().is_none() || !self.keeps(owner_id) {
            return Ok(None);
        }
        let mark = self.check_zone(key.zone)?;
        let Some(mut owner) = self.store.kept.borrow_mut().take(owner_id) else {
            return Ok(None);
        };
        let is_early = extent.since < owner.since;
        if is_early || mark.pruned_until.is_some_and(|cut| extent.since < cut) {
            return Ok(None);
        }
        if mark.version > owner.version {
            let (open, closed) = self.read_after(key, owner_id, &owner)?;
            add(&mut owner, open, closed, mark.version);
            if owner.closed.len() > OWNER_ROWS_MAX {
                return Ok(None);
            }
        }
        let newest = newest_of(&owner, extent, first);
        if let Some(newest) = &newest {
            // They are replayed, whether they were read or kept.
            self.note_rows_read(newest.stays.len());
            self.store.kept.borrow_mut().put(owner_id, owner);
        }
        Ok(newest)
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
        let whole = Extent {
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
            since: extent.since,
            version: 0,
            open: Vec::new(),
            closed: Vec::new(),
            rest,
        };
        let read = self.read_values(taken.intervals)?.into_iter();
        let (open, closed) = read.partition(|stay| stay.removed.is_none());
        add(&mut owner, open, closed, mark.version);
        self.store.kept.borrow_mut().put(owner_id, owner);
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
        key: &EntityKey,
        owner_id: i64,
        owner: &KeptOwner,
    ) -> Result<(Vec<Interval>, Vec<Interval>), StoreError> {
        let zones = self.store.zones();
        let months = zones.buckets_since(key.zone, Some(owner.since))?;
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
    use crate::dns::Name;
    use crate::store::handle::{Store, StoreOptions};
    use crate::store::keys::SourceKind;
    use crate::store::lookup::sieve::tests::{HOUR, START, name, tell, tell_more};

    use super::*;

    /// Returns what is read of owners at a time, in order: for each limit what is read newest, and what is there.
    fn read(store: &Store, owners: &[Name], at: i64) -> Vec<String> {
        let reading = store.begin_reading().expect("begun");
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
                };
                let read = store
                    .lookup()
                    .newest_intervals(&key, &extent)
                    .expect("read");
                let mut stays: Vec<String> =
                    read.stays.iter().map(|stay| format!("{stay:?}")).collect();
                stays.sort();
                answers.push(format!("{limit}: {stays:?} {:?}", read.cut));
            }
            let now = Timestamp::from_unix(at);
            let window = store.lookup().window(&key, now).expect("read");
            let mut there: Vec<String> = window.iter().map(|stay| format!("{stay:?}")).collect();
            there.sort();
            answers.push(format!("{there:?}"));
        }
        drop(reading);
        answers
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
        let mut numbers = 7_u64;
        let mut draw = |below: u64| {
            numbers = numbers
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (numbers >> 33) % below
        };
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
                read(&store, &owners, judged_at),
                read(&careful, &owners, judged_at)
            );
            kept += store.kept.borrow().owners.len();
        }
        assert!(kept > 40, "{kept}");
    }
}
