//! Retention: what is long gone is forgotten, in short transactions beside a poller.
//!
//! A cut is the beginning of a month. Before anything is removed, the zone's state at the cut is hashed
//! and appended to its chain as a *start*, and the cut is noted in the zone's row. Then records that
//! were removed before the cut go, month by month, some owners at a time. Versions and their hashes
//! stay: what is still there refers to them, and the chain goes through them. A prune that is killed
//! goes on where it was when it is run again.

use crate::store::door::{Fault, params};
use crate::store::error::StoreError;
use crate::store::keys::{View, ZoneId};
use crate::store::sqlite::pages::{count_free, give_back};
use crate::store::upkeep::Upkeep;
use crate::store::zones::watched::ZoneState;
use crate::time::Timestamp;

/// About how many rows one transaction looks at.
const ROWS_AT_A_TIME: i64 = 20_000;
/// How many free pages are given back to the file system at a time.
const PAGES_AT_A_TIME: i64 = 2000;

/// How much a prune takes, or would take, of a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PruneCount {
    /// Records that were removed before the cut.
    pub past_records: u64,
    /// Lists of changes of versions before the cut.
    pub change_lists: u64,
    /// Gaps that ended before the cut.
    pub gaps: u64,
}

impl PruneCount {
    /// Returns whether nothing is taken.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a prune is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PruneStep {
    bucket: i64,
    owner_id: i64,
}

impl Upkeep<'_> {
    /// Returns how many records of each zone were removed in each month: zone, month, count.
    pub fn past_by_month(&self) -> Result<Vec<(ZoneId, i64, u64)>, StoreError> {
        self.store.run(|db| {
            let sql = "select o.zone_id, p.bucket, count(*) as row_count
                         from past_record p join owner o on o.id = p.owner_id
                        group by o.zone_id, p.bucket";
            db.query(sql, (), |row| {
                Ok((
                    row.get("zone_id")?,
                    row.get("bucket")?,
                    row.get::<i64>("row_count")? as u64,
                ))
            })
        })
    }

    /// Counts what a cut would take of a zone besides its past records.
    pub fn count_prunable(
        &self,
        zone: &ZoneState,
        cut: Timestamp,
    ) -> Result<PruneCount, StoreError> {
        self.store.run(|db| {
            let number = |sql: &str| -> Result<u64, Fault> {
                db.value::<i64>(sql, params![zone.id, cut])
                    .map(|count| count as u64)
            };
            Ok(PruneCount {
                past_records: 0,
                change_lists: number(
                    "select count(*)
                       from version v join change c on c.version_id = v.id
                      where v.zone_id = ?1 and v.observed_at < ?2",
                )?,
                gaps: number("select count(*) from gap where zone_id = ?1 and to_at < ?2")?,
            })
        })
    }

    /// Cuts a zone: the state at the cut becomes where its chain can be computed anew from, and what was
    /// removed before it is free to be taken by [`Upkeep::prune_some`]. Takes the lists and gaps of versions
    /// before the cut; versions that the detector has yet to judge keep their lists.
    pub fn cut_zone(&self, zone: &ZoneState, cut: Timestamp) -> Result<(), StoreError> {
        let first: Option<i64> = self.store.run(|db| {
            db.value(
                "select min(observed_at) from version where zone_id = ?",
                [zone.id.0],
            )
        })?;
        // A cut never moves back: what lay before it is gone.
        let is_cut = zone.kept_since.is_some_and(|known| known >= cut);
        if is_cut || first.is_none_or(|first| first >= cut.unix()) {
            return Ok(());
        }
        if zone.view == View::Passive {
            // It has no chain that could begin anew.
            return self
                .store
                .run(|db| {
                    db.execute(
                        "update zone set kept_since_at = ?2 where id = ?1",
                        params![zone.id, cut],
                    )
                })
                .map(|_| ());
        }
        // All records are read for it, outside of the transaction: a poll meanwhile makes no difference.
        let start = {
            let _reading = self.store.begin_reading()?;
            self.store
                .ledger()
                .compute_start(zone.id, &zone.apex, cut)?
        };
        let tx = self.store.begin_batch()?;
        self.store
            .ledger()
            .append_start(zone.id, &zone.apex, cut, start)?;
        // Those that are judged only: the detector finds what changed in a version by its list.
        let versions = "(select id
                           from version
                          where zone_id = ?1 and observed_at < ?2
                                and id <= (select detected_version_id from zone where id = ?1))";
        self.store.run(|db| {
            let change = |sql: &str| -> Result<(), Fault> {
                db.execute(sql, params![zone.id, cut]).map(|_| ())
            };
            change("update zone set kept_since_at = ?2 where id = ?1")?;
            change(&format!(
                "delete from change where version_id in {versions}"
            ))?;
            change(&format!(
                "delete from shared_change where version_id in {versions}"
            ))?;
            change("delete from gap where zone_id = ?1 and to_at < ?2")
        })?;
        tx.commit()
    }

    /// Removes some of the past records that cuts have freed, in one short transaction. Returns how many,
    /// and where to go on; `None` when all are gone. Begin with the default step.
    pub fn prune_some(&self, step: PruneStep) -> Result<(u64, Option<PruneStep>), StoreError> {
        // The next owner that has anything in the month, of whatever zone, and the last of the portion.
        let (last_cut, bounds): (Option<i64>, Option<(i64, i64, i64)>) = self.store.run(|db| {
            let last_cut = db.value("select max(kept_since_at) from zone", ())?;
            let sql = "select min(bucket) as bucket, min(owner_id) as first_owner, max(owner_id) as last_owner
                         from (select bucket, owner_id
                                 from past_record
                                where bucket = (select min(bucket)
                                                  from past_record
                                                 where (bucket, owner_id) > (?1, ?2))
                                      and owner_id > case when bucket = ?1 then ?2 else 0 end
                                order by owner_id limit ?3) found";
            let bounds = db
                .query_one(
                    sql,
                    params![step.bucket, step.owner_id, ROWS_AT_A_TIME],
                    |row| {
                        let bucket: Option<i64> = row.get("bucket")?;
                        Ok(bucket.zip(
                            row.get::<Option<i64>>("first_owner")?
                                .zip(row.get("last_owner")?),
                        ))
                    },
                )?
                .map(|(bucket, (first, last))| (bucket, first, last));
            Ok((last_cut, bounds))
        })?;
        let Some((bucket, first, last)) = bounds else {
            return Ok((0, None));
        };
        let month_end = Timestamp::month_start(bucket + 1).unix();
        // Months are removed whole: the table is ordered by them, and a month that is not over for any zone is
        // left.
        if last_cut.is_none_or(|cut| cut < month_end) {
            return Ok((0, None));
        }
        let tx = self.store.begin_batch()?;
        let removed = self.store.run(|db| {
            let sql = "delete from past_record
                        where bucket = ?1 and owner_id between ?2 and ?3
                              and (select z.kept_since_at
                                     from owner o join zone z on z.id = o.zone_id
                                    where o.id = owner_id) >= ?4";
            db.execute(sql, params![bucket, first, last, month_end])
        })?;
        tx.commit()?;
        self.checkpoint()?;
        let next = PruneStep {
            bucket,
            owner_id: last,
        };
        Ok((removed as u64, Some(next)))
    }

    /// Returns when the program last began to prune by itself.
    pub fn pruned_at(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store
            .run(|db| db.first_value("select value from meta where key = 'pruned_at'", ()))
            .map(|at| at.map(Timestamp::from_unix))
    }

    /// Notes that the program began to prune by itself.
    pub fn set_pruned_at(&self, at: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                db.execute(
                    "insert into meta (key, value) values ('pruned_at', ?)
                     on conflict (key) do update set value = excluded.value",
                    [at.unix()],
                )
            })
            .map(|_| ())
    }

    /// Gives some free pages back to the file system. False when there are none left.
    pub fn give_back_some(&self) -> Result<bool, StoreError> {
        // A server gives back by itself.
        let Some(db) = self.store.db.sqlite() else {
            return Ok(false);
        };
        let engine = |fault| self.store.engine(fault);
        if count_free(db).map_err(engine)? == 0 {
            return Ok(false);
        }
        give_back(db, PAGES_AT_A_TIME).map_err(engine)?;
        self.checkpoint()?;
        Ok(count_free(db).map_err(engine)? > 0)
    }

    /// Returns how many octets the database uses, free pages not counted.
    pub fn used_octets(&self) -> Result<u64, StoreError> {
        let pages = self.pages()?;
        Ok(((pages.all - pages.free) * pages.octets_each) as u64)
    }

    /// Returns every zone, each view of a name for itself.
    pub fn every_view(&self) -> Result<Vec<ZoneState>, StoreError> {
        let names: Vec<(String, String)> = self.store.run(|db| {
            db.query("select name, view from zone order by id", (), |row| {
                Ok((row.get("name")?, row.get("view")?))
            })
        })?;
        let mut zones = Vec::with_capacity(names.len());
        for (name, view) in names {
            let view = View::parse(&view)
                .ok_or_else(|| self.store.damaged(format!("view {view:?} of zone {name}")))?;
            zones.extend(
                self.store
                    .zones()
                    .find_view(&self.store.read_name(&name)?, view)?,
            );
        }
        Ok(zones)
    }
}
