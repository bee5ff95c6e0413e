//! The files of a database: which one a path leads to, and how one is made.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::file;
use crate::store::error::{StoreError, unusable};

/// The mode of a file that only its owner reads.
pub(in crate::store) const PRIVATE: u32 = 0o600;

/// Device and number of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct FileId(u64, u64);

impl From<&Metadata> for FileId {
    fn from(meta: &Metadata) -> Self {
        Self(meta.dev(), meta.ino())
    }
}

impl FileId {
    /// Returns that of the file at `path`; `None` if there is none. A pipe, a device or a folder is refused.
    pub(in crate::store) fn of(path: &Path) -> Result<Option<Self>, StoreError> {
        match path.metadata() {
            Ok(meta) => match file::require_file(&meta) {
                Ok(()) => Ok(Some(Self::from(&meta))),
                Err(fault) => Err(unusable(path, fault)),
            },
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(unusable(path, fault)),
        }
    }
}

/// Returns the file that a path leads to, if its last part is a symbolic link; else the path itself. SQLite does so
/// too: the log stands beside the file, not beside the link.
pub(in crate::store) fn follow_link(path: &Path) -> PathBuf {
    if path.is_symlink() {
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    } else {
        path.to_owned()
    }
}

/// Returns `path` with `suffix` after its file name.
pub(in crate::store) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
