//! The write-ahead log: moved into the database, bounded, told of.

use crate::store::error::StoreError;
use crate::store::handle::Store;
use crate::store::sqlite::log::LogStanding;
use crate::time::Timestamp;

/// The name under which a trial is kept.
const TRIED_AT: &str = "service.tried_at";

impl Store {
    /// Moves the write-ahead log into the database, as far as nobody reads an older state; cuts it back when it has
    /// grown long. Waits for nobody, and says so in the log of the program when somebody keeps it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.log.checkpoint(&self.connection)
    }

    /// Returns octets of the write-ahead log; 0 if there is none.
    pub fn wal_octets(&self) -> u64 {
        self.log.octets()
    }

    /// Sets how far the log may grow while somebody reads an old state, for all connections of this process to the
    /// database; `None` for a part of the free space.
    pub fn limit_log(&self, octets_max: Option<u64>) {
        self.log.limit(octets_max);
    }

    /// Returns how the log stands.
    pub fn log_standing(&self) -> LogStanding {
        self.log.standing()
    }

    /// Writes something of no importance: whether it can be written again.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as any other write.
    pub fn try_write(&self, now: Timestamp) -> Result<(), StoreError> {
        self.is_still_there()?;
        self.note_number(TRIED_AT, now.unix())
    }
}
