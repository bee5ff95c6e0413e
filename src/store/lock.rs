//! The lock of the one poller.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::store::StoreError;
use crate::store::open::{create_private, give_to_owner_of_folder, with_suffix};

/// Held by the one process that polls into a database. Freed by the system when it ends.
#[derive(Debug)]
pub struct PollerLock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl PollerLock {
    /// Takes the lock of the database at `path`; `None` if another process has it.
    ///
    /// With `wait`, returns only when the lock is free.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`] if the lock file cannot be made.
    pub fn take(path: &Path, wait: bool) -> Result<Option<Self>, StoreError> {
        let lock_path = with_suffix(path, ".lock");
        let fault = |fault| StoreError::File {
            path: lock_path.clone(),
            fault,
        };
        let file = match create_private(&lock_path) {
            Ok(file) => {
                give_to_owner_of_folder(&file, &lock_path);
                file
            }
            // A link is not followed: who may write the folder must not choose what root opens.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => OpenOptions::new()
                .write(true)
                .custom_flags(OFlags::NOFOLLOW.bits() as i32)
                .open(&lock_path)
                .map_err(fault)?,
            Err(error) => return Err(fault(error)),
        };
        if wait {
            file.lock().map_err(fault)?;
            return Ok(Some(Self(file)));
        }
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(fault(error)),
        }
    }
}
