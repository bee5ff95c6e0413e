//! Zone files are known again by what they are, however their path is written: relative, absolute, through a linked
//! folder. The mark of a file stands under the real path of its folder and its own name. A link that is a file's
//! name is not followed: one such as `latest.zone` leads to another file each day, and is one file all the same.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::store::{FileMark, ReadFile, SourceId, Store, StoreError, ZoneId};

/// What tells two files of one name apart.
type Shape = (OsString, i64, i64, i64);

/// The marks of the files of one source, for one pass.
pub(in crate::pipeline) struct FileMarks<'a> {
    store: &'a Store,
    source: SourceId,
    /// Real paths by the folders as they are written.
    folders: HashMap<PathBuf, PathBuf>,
    /// The marks of the files of the pass, by their real paths as texts.
    known: HashMap<String, FileMark>,
    /// Whether the last file ended with its SOA, once that was asked for.
    ended_with_soa: Option<bool>,
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
            known: HashMap::new(),
            ended_with_soa: None,
            spellings: None,
        }
    }

    /// Reads the marks of the files of the pass.
    pub fn read<'p>(&mut self, paths: impl Iterator<Item = &'p Path>) -> Result<(), StoreError> {
        let real: Vec<PathBuf> = paths.map(|path| self.real_path(path)).collect();
        self.known = self.store.zones().file_marks_of(self.source, &real)?;
        Ok(())
    }

    /// Returns the mark of the file at `path`, which is now as `found` says. A mark under another spelling of the
    /// path is moved.
    pub fn find(&mut self, path: &Path, found: &FileMark) -> Result<Option<FileMark>, StoreError> {
        let real = self.real_path(path);
        if let Some(known) = self.known.get(real.to_string_lossy().as_ref()) {
            return Ok(Some(known.clone()));
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

    /// Notes what a file was like when it was refused.
    pub fn note(&mut self, path: &Path, mark: &FileMark) -> Result<(), StoreError> {
        let real = self.real_path(path);
        self.store.zones().set_file_mark(self.source, &real, mark)?;
        let text = real.to_string_lossy().into_owned();
        self.known.insert(text, mark.clone());
        Ok(())
    }

    /// Returns by what a file is known again, to be noted with its version.
    pub fn read_file(
        &mut self,
        zone: ZoneId,
        path: &Path,
        mark: &FileMark,
        ends_with_soa: bool,
    ) -> Result<ReadFile, StoreError> {
        let is_new = self.ended_with_soa(zone)? != ends_with_soa;
        Ok(ReadFile {
            path: self.real_path(path),
            mark: mark.clone(),
            new_ending: is_new.then_some(ends_with_soa),
        })
    }

    /// Learns that a file was noted with its version.
    pub fn was_taken(&mut self, path: &Path, mark: &FileMark, ends_with_soa: bool) {
        let real = self.real_path(path);
        let text = real.to_string_lossy().into_owned();
        self.known.insert(text, mark.clone());
        self.ended_with_soa = Some(ends_with_soa);
    }

    /// Returns whether the last file that the source brought of the zone ended with its SOA.
    pub fn ended_with_soa(&mut self, zone: ZoneId) -> Result<bool, StoreError> {
        if let Some(known) = self.ended_with_soa {
            return Ok(known);
        }
        let ended = self.store.zones().ended_with_soa(self.source, zone)?;
        self.ended_with_soa = Some(ended);
        Ok(ended)
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
