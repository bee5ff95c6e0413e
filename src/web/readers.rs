//! The databases that lookups over HTTP read: opened once and kept, since opening one takes longer than a lookup.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::place::StoreUrl;
use crate::store::{Store, StoreError};

/// The most lookups at a time; more are told to come again.
const LOOKUPS_MAX: usize = 8;
/// How many databases are kept open for the next lookups. Each may hold 64 MB of pages.
const KEPT_MAX: usize = 2;

/// Who reads, and what is kept for who reads next.
#[derive(Clone)]
pub struct Readers {
    at: Arc<StoreUrl>,
    /// Where it is read rather, if that can be used.
    rather: Option<Arc<StoreUrl>>,
    places: Arc<Semaphore>,
    kept: Arc<Mutex<Vec<Store>>>,
}

impl Readers {
    /// Keeps nothing yet.
    pub fn new(at: StoreUrl) -> Self {
        Self {
            at: Arc::new(at),
            rather: None,
            places: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            kept: Arc::default(),
        }
    }

    /// Has it be read elsewhere, as long as that can be used.
    #[must_use]
    pub fn rather_at(mut self, rather: Option<StoreUrl>) -> Self {
        self.rather = rather.map(Arc::new);
        self
    }

    /// Returns a place for a lookup; `None` if there are too many at a time.
    pub fn enter(&self) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        Some(Place {
            readers: self.clone(),
            _permit: permit,
        })
    }

    /// Takes a database that is kept and is still the one at its path, with the same tables.
    fn take(&self) -> Option<Store> {
        let kept = || {
            self.kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop()
        };
        std::iter::from_fn(kept).find(|store| store.is_current().unwrap_or(false))
    }
}

/// Lets one lookup in.
pub struct Place {
    readers: Readers,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Gives a database to read. Blocks.
    ///
    /// # Errors
    ///
    /// As [`Store::open_read_only`].
    pub fn open(self) -> Result<Reader, StoreError> {
        let store = match self.readers.take() {
            Some(kept) => kept,
            None => Store::open_for_lookups(self.readers.rather.as_deref(), &self.readers.at)?.0,
        };
        Ok(Reader {
            store: Some(store),
            place: self,
        })
    }
}

/// A database that a lookup reads. When it is dropped the next lookup may have it.
pub struct Reader {
    /// Always there, but while it is dropped.
    store: Option<Store>,
    place: Place,
}

impl Deref for Reader {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.store
            .as_ref()
            .expect("it is there until it is dropped")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut kept = self
            .place
            .readers
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = self.store.take()
            && kept.len() < KEPT_MAX
            && !std::thread::panicking()
        {
            kept.push(store);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreOptions;

    /// Makes a database with or without the index of name servers.
    fn make(path: &std::path::Path, reverse_index: bool) {
        let options = StoreOptions {
            reverse_index,
            create: true,
        };
        Store::open(path, options).expect("made");
    }

    #[test]
    fn database_is_kept_until_it_is_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f.db");
        make(&path, false);
        let readers = Readers::new(path.clone().into());
        let open = || {
            readers
                .enter()
                .expect("there is room")
                .open()
                .expect("a database")
        };
        let kept = || readers.kept.lock().expect("nobody panicked").len();
        let id = open().database_id();
        assert_eq!(kept(), 1);
        {
            let (_one, _two, _three) = (open(), open(), open());
            assert_eq!(kept(), 0);
        }
        assert_eq!(kept(), KEPT_MAX);
        // An index that was made meanwhile is seen.
        assert!(!open().has_reverse_index());
        make(&path, true);
        assert!(open().has_reverse_index());
        // A file that took its place is read.
        let other = folder.path().join("other.db");
        make(&other, false);
        std::fs::rename(&other, &path).expect("renamed");
        let _ = std::fs::remove_file(folder.path().join("f.db-wal"));
        assert_ne!(open().database_id(), id);
        std::fs::remove_file(&path).expect("removed");
        let gone = readers.enter().expect("there is room").open();
        assert!(matches!(gone, Err(StoreError::Missing(_))));
    }

    #[test]
    fn lookups_at_a_time_are_limited() {
        let readers = Readers::new(std::path::Path::new("nowhere.db").into());
        let places: Vec<Place> = std::iter::from_fn(|| readers.enter()).take(100).collect();
        assert_eq!(places.len(), LOOKUPS_MAX);
        drop(places);
        assert!(readers.enter().is_some());
    }
}
