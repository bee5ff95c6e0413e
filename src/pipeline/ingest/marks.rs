//! Zone files are known again by what they are, however their path is written: relative, absolute, through a linked
//! folder. The mark of a file stands under the real path of its folder and its own name. A link that is a file's
//! name is not followed: one such as `latest.zone` leads to another file each day, and is one file all the same.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::store::{FileMark, SourceId, Store, StoreError};

/// What tells two files of one name apart.
type Shape = (OsString, i64, i64, i64);

/// The marks of the files of one source, for one pass.
pub(in crate::pipeline) struct FileMarks<'a> {
    store: &'a Store,
    source: SourceId,
    /// Real paths by the folders as they are written.
    folders: HashMap<PathBuf, PathBuf>,
    /// The paths that marks stand under, by what the files were like; read when a file has no mark.
    spellings: Option<HashMap<Shape, Vec<PathBuf>>>,
}

impl<'a> FileMarks<'a> {
    /// Reads nothing yet.
    pub fn new(store: &'a Store, source: SourceId) -> Self {
        Self {
            store,
            source,
            folders: HashMap::new(),
            spellings: None,
        }
    }

    /// Returns the mark of the file at `path`, which is now as `found` says. A mark under another spelling of the
    /// path is moved.
    pub fn find(&mut self, path: &Path, found: &FileMark) -> Result<Option<FileMark>, StoreError> {
        let real = self.real_path(path);
        if let Some(known) = self.store.zones().file_mark(self.source, &real)? {
            return Ok(Some(known));
        }
        for spelling in self.spelled_otherwise(&real, found)? {
            // Another file that is there too, and was copied with its times, keeps its mark.
            if spelling.exists() && self.real_path(&spelling) != real {
                continue;
            }
            self.store
                .zones()
                .move_file_mark(self.source, &spelling, &real)?;
            return self.store.zones().file_mark(self.source, &real);
        }
        Ok(None)
    }

    /// Notes what a file was like when it was read.
    pub fn note(&mut self, path: &Path, mark: &FileMark) -> Result<(), StoreError> {
        let real = self.real_path(path);
        self.store.zones().set_file_mark(self.source, &real, mark)
    }

    /// Returns the paths of marks of files of the same name, time and size.
    fn spelled_otherwise(
        &mut self,
        real: &Path,
        found: &FileMark,
    ) -> Result<Vec<PathBuf>, StoreError> {
        if self.spellings.is_none() {
            let mut spellings: HashMap<Shape, Vec<PathBuf>> = HashMap::new();
            for (path, mark) in self.store.zones().file_marks(self.source)? {
                if let Some(shape) = shape(&path, &mark) {
                    spellings.entry(shape).or_default().push(path);
                }
            }
            self.spellings = Some(spellings);
        }
        let spellings = self.spellings.as_ref().zip(shape(real, found));
        let paths = spellings.and_then(|(all, shape)| all.get(&shape));
        Ok(paths.cloned().unwrap_or_default())
    }

    /// Returns a file's path through the real path of its folder; as it is written, if that is not there.
    fn real_path(&mut self, path: &Path) -> PathBuf {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return path.to_owned();
        };
        if let Some(real) = self.folders.get(folder) {
            return real.join(name);
        }
        let here = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        match here.canonicalize() {
            Ok(real) => {
                let path = real.join(name);
                self.folders.insert(folder.to_owned(), real);
                path
            }
            Err(_) => path.to_owned(),
        }
    }
}

/// Returns the name, time and size of a file, and the time of its version.
fn shape(path: &Path, mark: &FileMark) -> Option<Shape> {
    let name = path.file_name()?.to_owned();
    Some((
        name,
        mark.modified_at_ns,
        mark.size_bytes,
        mark.version_at.unix(),
    ))
}
