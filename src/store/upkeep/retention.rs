//! Retention: what is long gone is forgotten, in short transactions beside a poller.
//!
//! A cut is the beginning of a month. Before anything is removed, the zone's state at the cut is hashed
//! and appended to its chain as a *start*, and the cut is noted in the zone's row. Then records that
//! were removed before the cut go, month by month, some owners at a time. Versions and their hashes
//! stay: what is still there refers to them, and the chain goes through them. A prune that is killed
//! goes on where it was when it is run again.

use rusqlite::{OptionalExtension, params};

use crate::store::error::StoreError;
use crate::store::keys::{View, ZoneId};
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
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn past_by_month(&self) -> Result<Vec<(ZoneId, i64, u64)>, StoreError> {
        self.store.run(|connection| {
            let sql = "select o.zone_id, p.bucket, count(*) from past_record p join owner o on o.id = p.owner_id group by o.zone_id, p.bucket";
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([], |row| {
                Ok((ZoneId(row.get(0)?), row.get(1)?, row.get::<_, i64>(2)? as u64))
            })?;
            rows.collect()
        })
    }

    /// Counts what a cut would take of a zone besides its past records.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn count_prunable(
        &self,
        zone: &ZoneState,
        cut: Timestamp,
    ) -> Result<PruneCount, StoreError> {
        self.store.run(|connection| {
            let number = |sql: &str| -> rusqlite::Result<u64> {
                connection
                    .prepare_cached(sql)?
                    .query_row(params![zone.id.0, cut.unix()], |row| row.get::<_, i64>(0))
                    .map(|count| count as u64)
            };
            Ok(PruneCount {
                past_records: 0,
                change_lists: number("select count(*) from version v join change c on c.version_id = v.id where v.zone_id = ?1 and v.observed_at < ?2")?,
                gaps: number("select count(*) from gap where zone_id = ?1 and to_at < ?2")?,
            })
        })
    }

    /// Cuts a zone: the state at the cut becomes where its chain can be computed anew from, and what was
    /// removed before it is free to be taken by [`Upkeep::prune_some`]. Takes the lists and gaps of versions
    /// before the cut; versions that the detector has yet to judge keep their lists.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn cut_zone(&self, zone: &ZoneState, cut: Timestamp) -> Result<(), StoreError> {
        let first: Option<i64> = self.store.run(|connection| {
            connection
                .prepare_cached("select min(observed_at) from version where zone_id = ?")?
                .query_row([zone.id.0], |row| row.get(0))
        })?;
        let is_cut = zone.kept_since.is_some_and(|known| known >= cut);
        if is_cut || first.is_none_or(|first| first >= cut.unix()) {
            return Ok(());
        }
        if zone.view == View::Passive {
            // It has no chain that could begin anew.
            return self
                .store
                .run(|connection| {
                    connection
                        .prepare_cached("update zone set kept_since_at = ?2 where id = ?1")?
                        .execute(params![zone.id.0, cut.unix()])
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
        let versions = "(select id from version where zone_id = ?1 and observed_at < ?2 and id <= (select detected_version_id from zone where id = ?1))";
        self.store.run(|connection| {
            let change = |sql: &str| -> rusqlite::Result<()> {
                connection
                    .prepare_cached(sql)?
                    .execute(params![zone.id.0, cut.unix()])
                    .map(|_| ())
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
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn prune_some(&self, step: PruneStep) -> Result<(u64, Option<PruneStep>), StoreError> {
        // The next owner that has anything in the month, of whatever zone, and the last of the portion.
        let (last_cut, bounds): (Option<i64>, Option<(i64, i64, i64)>) = self.store.run(|connection| {
            let last_cut = connection
                .prepare_cached("select max(kept_since_at) from zone")?
                .query_row([], |row| row.get(0))?;
            let sql = "select bucket, min(owner_id), max(owner_id) from
                         (select bucket, owner_id from past_record where bucket = (select min(bucket) from past_record where (bucket, owner_id) > (?1, ?2))
                             and owner_id > iif(bucket = ?1, ?2, 0) order by owner_id limit ?3)";
            let bounds = connection
                .prepare_cached(sql)?
                .query_row(params![step.bucket, step.owner_id, ROWS_AT_A_TIME], |row| {
                    let bucket: Option<i64> = row.get(0)?;
                    Ok(bucket.zip(row.get::<_, Option<i64>>(1)?.zip(row.get(2)?)))
                })?
                .map(|(bucket, (first, last))| (bucket, first, last));
            Ok((last_cut, bounds))
        })?;
        let Some((bucket, first, last)) = bounds else {
            return Ok((0, None));
        };
        let month_end = Timestamp::month_start(bucket + 1).unix();
        if last_cut.is_none_or(|cut| cut < month_end) {
            return Ok((0, None));
        }
        let tx = self.store.begin_batch()?;
        let removed = self.store.run(|connection| {
            let sql = "delete from past_record where bucket = ?1 and owner_id between ?2 and ?3
                          and (select z.kept_since_at from owner o join zone z on z.id = o.zone_id where o.id = owner_id) >= ?4";
            connection
                .prepare_cached(sql)?
                .execute(params![bucket, first, last, month_end])
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
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn pruned_at(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store
            .run(|connection| {
                connection
                    .prepare_cached("select value from meta where key = 'pruned_at'")?
                    .query_row([], |row| row.get(0))
                    .optional()
            })
            .map(|at| at.map(Timestamp::from_unix))
    }

    /// Notes that the program began to prune by itself.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn set_pruned_at(&self, at: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|connection| {
                connection
                    .prepare_cached(
                        "insert or replace into meta (key, value) values ('pruned_at', ?)",
                    )?
                    .execute([at.unix()])
            })
            .map(|_| ())
    }

    /// Gives some free pages back to the file system. False when there are none left.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn give_back_some(&self) -> Result<bool, StoreError> {
        let free = |store: &Self| -> Result<i64, StoreError> {
            store.store.run(|connection| {
                connection.query_row("pragma freelist_count", [], |row| row.get(0))
            })
        };
        if free(self)? == 0 {
            return Ok(false);
        }
        self.store.run(|connection| {
            let mut statement =
                connection.prepare(&format!("pragma incremental_vacuum({PAGES_AT_A_TIME})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        })?;
        self.checkpoint()?;
        Ok(free(self)? > 0)
    }

    /// Returns how many octets the database uses, free pages not counted.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn used_octets(&self) -> Result<u64, StoreError> {
        let pragma = |name: &str| -> Result<i64, StoreError> {
            self.store.run(|connection| {
                connection.query_row(&format!("pragma {name}"), [], |row| row.get(0))
            })
        };
        let pages = pragma("page_count")? - pragma("freelist_count")?;
        Ok((pages * pragma("page_size")?) as u64)
    }

    /// Returns every zone, each view of a name for itself.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn every_view(&self) -> Result<Vec<ZoneState>, StoreError> {
        let names: Vec<(String, String)> = self.store.run(|connection| {
            let mut statement = connection.prepare("select name, view from zone order by id")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
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
