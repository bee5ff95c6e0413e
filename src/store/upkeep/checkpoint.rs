//! The write-ahead log: moved into the database, bounded, told of.

use crate::store::error::StoreError;
use crate::store::sqlite::log::LogStanding;
use crate::store::sqlite::pages::limit_cache;
use crate::store::upkeep::Upkeep;
use crate::time::Timestamp;

/// The name under which a trial is kept.
const TRIED_AT: &str = "service.tried_at";

impl Upkeep<'_> {
    /// Moves the write-ahead log into the database, as far as nobody reads an older state; cuts it back when it has
    /// grown long. Waits for nobody, and says so in the log of the program when somebody keeps it.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        match (&self.store.file, self.store.db.sqlite()) {
            (Some(file), Some(db)) => file.log.checkpoint(db),
            _ => Ok(()),
        }
    }

    /// Returns octets of the write-ahead log; 0 if there is none.
    pub fn wal_octets(&self) -> u64 {
        let file = self.store.file.as_ref();
        file.map_or(0, |file| file.log.octets())
    }

    /// Sets how far the log may grow while somebody reads an old state, for all connections of this process to the
    /// database; `None` for a part of the free space.
    pub fn limit_log(&self, octets_max: Option<u64>) {
        if let Some(file) = &self.store.file {
            file.log.limit(octets_max);
        }
    }

    /// Sets how many KiB of the database this handle keeps in memory, for one of several that are open all the time; a
    /// server keeps its own.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as any other read.
    pub fn limit_cache(&self, kib: u32) -> Result<(), StoreError> {
        match self.store.db.sqlite() {
            Some(db) => limit_cache(db, kib).map_err(|fault| self.store.engine(fault)),
            None => Ok(()),
        }
    }

    /// Returns how the log stands; `None` where the database is a server's.
    pub fn log_standing(&self) -> Option<LogStanding> {
        let file = self.store.file.as_ref()?;
        Some(file.log.standing())
    }

    /// Writes something of no importance: whether it can be written again.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as any other write.
    pub fn try_write(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store.is_still_there()?;
        self.store.desk().save_number(TRIED_AT, now.unix())
    }
}
