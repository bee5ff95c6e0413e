//! What the operator is told of: mass moves and zones that cannot be seen. And when it was last told.

use rusqlite::{OptionalExtension, params};

use crate::store::desk::Desk;
use crate::store::error::StoreError;
use crate::store::ledger::moves::{BulkKind, BulkMove};
use crate::time::Timestamp;

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
    /// When the operator was told.
    pub told_at: Option<Timestamp>,
    /// When it ended.
    pub over_at: Option<Timestamp>,
}

impl Desk<'_> {
    /// Returns the mass moves of at least so many names that nobody was told of, oldest first, and of these
    /// the first `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn untold_bulk_moves(
        &self,
        names_min: u32,
        limit: usize,
    ) -> Result<Vec<BulkMove>, StoreError> {
        let rows = self.store.run(|connection| {
            let sql = "select b.id, b.version_id, z.name, b.at, b.kind, b.name_count, b.before, b.after, b.names
                         from bulk_move b join zone z on z.id = b.zone_id where b.told_at is null and b.name_count >= ? order by b.id limit ?";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![names_min, limit as i64], |row| {
                let texts: [String; 5] = [row.get(2)?, row.get(4)?, row.get(6)?, row.get(7)?, row.get(8)?];
                let numbers: (i64, i64, i64, u32) = (row.get(0)?, row.get(1)?, row.get(3)?, row.get(5)?);
                Ok((texts, numbers))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
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

    /// Notes that every mass move so far was told.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_all_bulk_told(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|connection| {
                connection
                    .prepare_cached("update bulk_move set told_at = ? where told_at is null")?
                    .execute([now.unix()])
            })
            .map(|_| ())
    }

    /// Notes that a mass move was told.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_bulk_told(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|connection| {
                connection
                    .prepare_cached("update bulk_move set told_at = ?2 where id = ?1")?
                    .execute([id, now.unix()])
            })
            .map(|_| ())
    }

    /// Notes that a zone cannot be seen for a reason; one that is known keeps its beginning. Returns
    /// whether it is new.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_blind(
        &self,
        zone: &str,
        reason: &str,
        since: Timestamp,
    ) -> Result<bool, StoreError> {
        self.store.run(|connection| {
            let known: Option<String> = connection
                .prepare_cached("select reason from blindness where zone = ? and over_at is null")?
                .query_row([zone], |row| row.get(0))
                .optional()?;
            if known.is_some() {
                connection
                    .prepare_cached("update blindness set reason = ?2 where zone = ?1 and over_at is null and reason <> ?2")?
                    .execute([zone, reason])?;
                return Ok(false);
            }
            connection
                .prepare_cached("insert into blindness (zone, reason, since_at) values (?, ?, ?)")?
                .execute(params![zone, reason, since.unix()])?;
            Ok(true)
        })
    }

    /// Notes that a zone is seen again.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_sight(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|connection| {
                connection
                    .prepare_cached("update blindness set over_at = ?2 where id = ?1")?
                    .execute([id, now.unix()])
            })
            .map(|_| ())
    }

    /// Notes that the operator was told of a blind zone.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_blind_told(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        self.store
            .run(|connection| {
                connection
                    .prepare_cached("update blindness set told_at = ?2 where id = ?1")?
                    .execute([id, now.unix()])
            })
            .map(|_| ())
    }

    /// Returns the zones that are blind, and those that were and saw again since `since`, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn blindness_since(&self, since: Timestamp) -> Result<Vec<Blindness>, StoreError> {
        self.blindness_rows("(over_at is null or over_at >= ?)", since.unix())
    }

    /// Returns the rows that a condition on a number names.
    fn blindness_rows(&self, condition: &str, value: i64) -> Result<Vec<Blindness>, StoreError> {
        let sql = format!(
            "select id, zone, reason, since_at, told_at, over_at from blindness where {condition} order by id"
        );
        self.store.run(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([value], |row| {
                Ok(Blindness {
                    id: row.get(0)?,
                    zone: row.get(1)?,
                    reason: row.get(2)?,
                    since: Timestamp::from_unix(row.get(3)?),
                    told_at: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_unix),
                    over_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_unix),
                })
            })?;
            rows.collect()
        })
    }

    /// Returns the zones that are or were blind and nobody was told of, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn untold_blindness(&self) -> Result<Vec<Blindness>, StoreError> {
        self.blindness_rows("told_at is null and id > ?", 0)
    }

    /// Returns a number that was kept under a name, such as when the last digest was made.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn noted_number(&self, name: &str) -> Result<Option<i64>, StoreError> {
        self.store.run(|connection| {
            connection
                .prepare_cached("select value from meta where key = ?")?
                .query_row([name], |row| row.get(0))
                .optional()
        })
    }

    /// Keeps a number under a name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn note_number(&self, name: &str, value: i64) -> Result<(), StoreError> {
        self.store.run(|connection| {
            connection
                .prepare_cached("insert into meta (key, value) values (?1, ?2) on conflict (key) do update set value = excluded.value")?
                .execute(params![name, value])
        })
        .map(|_| ())
    }
}
