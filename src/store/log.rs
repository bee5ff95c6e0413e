//! The write-ahead log: how it is moved into the database, and how far it may grow.

use crate::store::open::with_suffix;
use crate::store::{Store, StoreError, turn};

/// A log that has grown to this is moved into the database by the commit that filled it. Measured in docs/design.md,
/// "The write-ahead log".
pub(super) const WAL_OCTETS_WANTED: u64 = 16 << 20;
/// A log that one version made longer than this is cut back when it is begun anew.
pub(super) const WAL_OCTETS_MAX: u64 = 64 << 20;

impl Store {
    /// Moves the write-ahead log into the database, as far as nobody reads an older state; cuts it back when it has
    /// grown long. Waits for nobody.
    ///
    /// # Errors
    ///
    /// [`StoreError::Sqlite`].
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let move_log = |mode: &str| {
            let sql = format!("pragma wal_checkpoint({mode})");
            self.run(|connection| connection.query_row(&sql, [], |_| Ok(())))
        };
        move_log("passive")?;
        if self.wal_octets() <= WAL_OCTETS_MAX {
            return Ok(());
        }
        // With the time limit of a writer, each look at a log that somebody reads would wait for him.
        turn::without_waiting(|| move_log("truncate"))
    }

    /// Returns octets of the write-ahead log; 0 if there is none.
    pub fn wal_octets(&self) -> u64 {
        let wal = with_suffix(&self.path, "-wal").metadata();
        wal.map_or(0, |meta| meta.len())
    }
}
