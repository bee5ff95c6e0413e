//! Passive DNS: intervals that others recorded, beside a zone's own history.
//!
//! They stand in `past_record` under the zone's view `passive`, each from the version of its first sight
//! to a version one second after its last, so that an interval of one sight is there at that second. The
//! versions are times and nothing else: they have no list of changes and no link in a chain, and nobody
//! is judged by them. Intervals of one record that touch are one.

use std::collections::HashMap;

use crate::dns::{Name, Rdata};
use crate::store::door::{Value, params};
use crate::store::error::StoreError;
use crate::store::keys::{AFTER_LAST, SourceId};
use crate::store::ledger::Ledger;
use crate::store::zones::watched::ZoneState;
use crate::time::Timestamp;

/// A record and when others saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The owner.
    pub owner: Name,
    /// The data.
    pub rdata: Rdata,
    /// When it was first seen.
    pub first_at: Timestamp,
    /// When it was last seen.
    pub last_at: Timestamp,
}

/// An interval of a record: when it begins and ends, the version that ends it, and whether it is stored.
#[derive(Clone, Copy)]
struct Interval {
    begins: i64,
    ends: i64,
    removed_id: i64,
    bucket: i64,
}

impl Ledger<'_> {
    /// Stores what others saw of a zone's names, in one transaction. Returns how many sightings told
    /// something new.
    pub fn add_sightings(
        &self,
        zone: &ZoneState,
        source: SourceId,
        sightings: &[Sighting],
    ) -> Result<u64, StoreError> {
        let tx = self.store.begin_batch()?;
        let mut by_owner: HashMap<&Name, Vec<&Sighting>> = HashMap::new();
        for sighting in sightings {
            by_owner.entry(&sighting.owner).or_default().push(sighting);
        }
        let mut versions = HashMap::new();
        let mut new = 0;
        for (owner, sightings) in by_owner {
            new += self.add_of_owner(zone, source, owner, &sightings, &mut versions)?;
        }
        self.store.run(|db| {
            let sql = "update zone
                          set version_id = (select id
                                              from version where zone_id = ?1
                                             order by observed_at desc, id desc limit 1)
                        where id = ?1";
            db.execute(sql, [zone.id.0])
        })?;
        tx.commit()?;
        Ok(new)
    }

    /// [`Ledger::add_sightings`] of one owner.
    fn add_of_owner(
        &self,
        zone: &ZoneState,
        source: SourceId,
        owner: &Name,
        sightings: &[&Sighting],
        versions: &mut HashMap<i64, i64>,
    ) -> Result<u64, StoreError> {
        let owner_id = self.owner_id(zone.id, &zone.apex, owner)?;
        let mut known = self.intervals_by_rdata(zone, owner_id)?;
        let mut new = 0;
        for sighting in sightings {
            let code = sighting.rdata.rtype().code();
            let value = self.rdata_value(&sighting.rdata)?;
            let intervals = known.entry((code, sighting.rdata.clone())).or_default();
            let (first, end) = (
                sighting.first_at.unix(),
                (sighting.last_at + AFTER_LAST).unix(),
            );
            if intervals
                .iter()
                .any(|it| it.begins <= first && end <= it.ends)
            {
                continue;
            }
            new += 1;
            let (mut begins, mut ends) = (first, end);
            let touches = |it: &Interval| it.begins <= end && first <= it.ends;
            for old in intervals.extract_if(.., |it| touches(it)) {
                begins = begins.min(old.begins);
                ends = ends.max(old.ends);
                self.store.run(|db| {
                    let sql = "delete from past_record
                                where bucket = ? and owner_id = ? and removed_id = ? and rrtype = ?
                                      and rdata = ?";
                    db.execute(
                        sql,
                        params![old.bucket, owner_id, old.removed_id, code, value],
                    )
                })?;
            }
            let added_id = self.time_version(zone, source, begins, versions)?;
            let removed_id = self.time_version(zone, source, ends, versions)?;
            let bucket = Timestamp::from_unix(ends).month_bucket();
            self.store.run(|db| {
                let sql = "insert into past_record (bucket, owner_id, removed_id, rrtype, rdata,
                                                    ttl, added_id, baseline)
                           values (?, ?, ?, ?, ?, 0, ?, 0)";
                db.execute(
                    sql,
                    params![bucket, owner_id, removed_id, code, value, added_id],
                )
            })?;
            intervals.push(Interval {
                begins,
                ends,
                removed_id,
                bucket,
            });
        }
        Ok(new)
    }

    /// Returns what is stored of an owner, by type and data.
    fn intervals_by_rdata(
        &self,
        zone: &ZoneState,
        owner_id: i64,
    ) -> Result<HashMap<(u16, Rdata), Vec<Interval>>, StoreError> {
        let mut known: HashMap<(u16, Rdata), Vec<Interval>> = HashMap::new();
        for bucket in self.store.zones().buckets_since(zone.id, None)? {
            let rows: Vec<(u16, Value, Interval)> = self.store.run(|db| {
                let sql = "select p.rrtype, p.rdata, a.observed_at as added_at,
                                  d.observed_at as removed_at, p.removed_id
                             from past_record p join version a on a.id = p.added_id
                                  join version d on d.id = p.removed_id
                            where p.bucket = ?1 and p.owner_id = ?2";
                db.query(sql, [bucket, owner_id], |row| {
                    let interval = Interval {
                        begins: row.get("added_at")?,
                        ends: row.get("removed_at")?,
                        removed_id: row.get("removed_id")?,
                        bucket,
                    };
                    Ok((row.get("rrtype")?, row.get("rdata")?, interval))
                })
            })?;
            for (code, value, interval) in rows {
                let rdata = self.read_rdata(code, &value)?;
                known.entry((code, rdata)).or_default().push(interval);
            }
        }
        Ok(known)
    }

    /// Returns the version of a zone at a time, made if it is not there.
    fn time_version(
        &self,
        zone: &ZoneState,
        source: SourceId,
        at: i64,
        versions: &mut HashMap<i64, i64>,
    ) -> Result<i64, StoreError> {
        if let Some(id) = versions.get(&at) {
            return Ok(*id);
        }
        let known = self.store.run(|db| {
            db.first_value(
                "select id from version where zone_id = ? and observed_at = ? limit 1",
                [zone.id.0, at],
            )
        })?;
        let id = match known {
            Some(id) => id,
            None => self.store.run(|db| {
                let sql = "insert into version (zone_id, source_id, kind, observed_at)
                           values (?, ?, 'passive', ?)
                           returning id";
                db.write_returning_one(sql, params![zone.id, source, at], |row| row.get("id"))
            })?,
        };
        versions.insert(at, id);
        Ok(id)
    }
}
