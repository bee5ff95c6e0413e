//! What the administrator is alerted to: mass moves and zones that cannot be seen. And when it was last mailed.

use crate::store::desk::Desk;
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::ledger::moves::{BulkKind, BulkMove};
use crate::time::Timestamp;

/// The beginning of why a zone is to be looked at that is watched all the same.
pub const SERIAL_WENT_BACK: &str = "its serial went back from ";

/// A zone that cannot be seen, or not be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blindness {
    /// Its number.
    pub id: i64,
    /// The zone or source.
    pub zone: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When the administrator was mailed.
    pub told_at: Option<Timestamp>,
    /// When it ended.
    pub over_at: Option<Timestamp>,
}

impl Blindness {
    /// Returns whether the zone is watched all the same: its serial went back, and it is to be looked at.
    pub fn is_watched(&self) -> bool {
        self.reason.starts_with(SERIAL_WENT_BACK)
    }
}

impl Desk<'_> {
    /// Returns the mass moves of at least so many names that nobody was told of, oldest first, and of these
    /// the first `limit`.
    pub fn untold_bulk_moves(
        &self,
        names_min: u32,
        limit: usize,
    ) -> Result<Vec<BulkMove>, StoreError> {
        let untold = "b.told_at is null and b.name_count >= ?1";
        self.bulk_moves(untold, i64::from(names_min), limit)
    }

    /// Returns the mass moves that were told at a time, oldest first.
    pub fn bulk_moves_told_at(&self, at: Timestamp) -> Result<Vec<BulkMove>, StoreError> {
        self.bulk_moves("b.told_at = ?1", at.unix(), i32::MAX as usize)
    }

    /// Returns the mass moves that a condition on a number names, oldest first, and of these the first `limit`.
    fn bulk_moves(
        &self,
        condition: &str,
        value: i64,
        limit: usize,
    ) -> Result<Vec<BulkMove>, StoreError> {
        let rows = self.store.run(|db| {
            let sql = format!(
                "select b.id, b.version_id, z.name, b.at, b.kind, b.name_count, b.before,
                        b.after, b.names
                   from bulk_move b join zone z on z.id = b.zone_id
                  where {condition}
                  order by b.id limit ?2"
            );
            db.query(&sql, params![value, limit as i64], |row| {
                let texts: [String; 5] = [
                    row.get("name")?,
                    row.get("kind")?,
                    row.get("before")?,
                    row.get("after")?,
                    row.get("names")?,
                ];
                let numbers: (i64, i64, i64, u32) = (
                    row.get("id")?,
                    row.get("version_id")?,
                    row.get("at")?,
                    row.get("name_count")?,
                );
                Ok((texts, numbers))
            })
        })?;
        let finish = |(texts, numbers): ([String; 5], (i64, i64, i64, u32))| {
            let [zone, kind, before, after, names] = texts;
            let (id, version_id, at, name_count) = numbers;
            Ok(BulkMove {
                id,
                version_id,
                zone: self.store.read_name(&zone)?,
                at: Timestamp::from_unix(at),
                kind: BulkKind::parse(&kind)
                    .ok_or_else(|| self.store.damaged(format!("bulk kind {kind:?}")))?,
                name_count,
                before,
                after,
                names,
            })
        };
        rows.into_iter().map(finish).collect()
    }

    /// Returns how many mass moves nobody was told of.
    pub fn untold_bulk_count(&self) -> Result<u32, StoreError> {
        self.store
            .run(|db| db.value("select count(*) from bulk_move where told_at is null", ()))
    }

    /// Notes that a mass move was told.
    pub fn record_bulk_alert(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                db.execute(
                    "update bulk_move set told_at = ?2 where id = ?1",
                    [id, now.unix()],
                )
            })
            .map(|_| ())
    }

    /// Notes that a zone cannot be seen for a reason; one that is known keeps its beginning. Returns
    /// whether it is new.
    pub fn record_blindness(
        &self,
        zone: &str,
        reason: &str,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        self.store.run(|db| {
            let known: Option<String> = db.first_value(
                "select reason
                   from blindness
                  where zone = ? and over_at is null",
                [zone],
            )?;
            if known.is_some() {
                let sql = "update blindness
                              set reason = ?2
                            where zone = ?1 and over_at is null and reason <> ?2";
                db.execute(sql, [zone, reason])?;
                return Ok(false);
            }
            db.execute(
                "insert into blindness (zone, reason, since_at) values (?, ?, ?)",
                params![zone, reason, since],
            )?;
            Ok(true)
        })
    }

    /// Notes that a zone is seen again.
    pub fn end_blindness(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                db.execute(
                    "update blindness set over_at = ?2 where id = ?1",
                    [id, now.unix()],
                )
            })
            .map(|_| ())
    }

    /// Records that the administrator was mailed about a blind zone.
    pub fn record_blindness_alert(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                db.execute(
                    "update blindness set told_at = ?2 where id = ?1",
                    [id, now.unix()],
                )
            })
            .map(|_| ())
    }

    /// Returns the zones that are blind, and those that were and saw again since `since`, oldest first.
    pub fn blindness_since(&self, since: Timestamp) -> Result<Vec<Blindness>, StoreError> {
        self.blindness_rows("(over_at is null or over_at >= ?)", since.unix())
    }

    /// Returns the rows that a condition on a number names.
    fn blindness_rows(&self, condition: &str, value: i64) -> Result<Vec<Blindness>, StoreError> {
        let sql = format!(
            "select id, zone, reason, since_at, told_at, over_at
               from blindness where {condition} order by id"
        );
        self.store.run(|db| {
            db.query(&sql, [value], |row| {
                Ok(Blindness {
                    id: row.get("id")?,
                    zone: row.get("zone")?,
                    reason: row.get("reason")?,
                    since: row.get("since_at")?,
                    told_at: row.get("told_at")?,
                    over_at: row.get("over_at")?,
                })
            })
        })
    }

    /// Returns the zones that are or were blind and nobody was told of, oldest first.
    pub fn untold_blindness(&self) -> Result<Vec<Blindness>, StoreError> {
        self.blindness_rows("told_at is null and id > ?", 0)
    }

    /// Returns a number that was kept under a name, such as when the last digest was made.
    pub fn saved_number(&self, name: &str) -> Result<Option<i64>, StoreError> {
        self.store
            .run(|db| db.first_value("select value from meta where key = ?", [name]))
    }

    /// Keeps a number under a name.
    pub fn save_number(&self, name: &str, value: i64) -> Result<(), StoreError> {
        self.store.run(|db| {
            let sql = "insert into meta (key, value) values (?1, ?2)
                           on conflict (key) do update set value = excluded.value";
            db.write(sql, params![name, value])
        })
    }

    /// Forgets the numbers that are kept under names from one on, before another.
    pub fn forget_numbers_between(&self, first: &str, end: &str) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql = "delete from meta where key >= ?1 and key < ?2";
                db.execute(sql, params![first, end])
            })
            .map(|_| ())
    }
}
