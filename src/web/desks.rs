//! The desk as pages and the API reach it: pipelines that only look, and one that acts at a time.
//!
//! Opening a database takes longer than a page, so what was opened is kept for the next one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::desk::DeskError;
use crate::pipeline::{Pipeline, Setup};
use crate::place::StoreUrl;
use crate::store::{Store, StoreError, StoreOptions};
use crate::time::Clock;

/// The most pages that are read at a time; who comes then waits. As many pipelines are kept: opening one more takes longer
/// than a page, and what it read stays with the allocator when it is closed.
const LOOKS_MAX: usize = 4;
/// How much of the database each of them keeps in memory; the system keeps the rest. With 50 people, 64 MiB each made
/// 200 MiB of it, and no page was quicker. Unit: KiB.
const CACHE_KIB: u32 = 2048;
/// How long a page waits for its turn.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Too many at a time, for too long.
#[derive(Debug)]
pub(in crate::web) struct Busy;

/// The desk, shared by all requests.
#[derive(Clone)]
pub struct Desks(Arc<Shared>);

/// What is shared.
struct Shared {
    at: StoreUrl,
    setup: Setup,
    clock: Arc<dyn Clock>,
    /// Called after a step that may have put a message into the outbox.
    ring: Box<dyn Fn() + Send + Sync>,
    looks: Arc<Semaphore>,
    acts: Arc<Semaphore>,
    looking: Mutex<Vec<Pipeline>>,
    /// Those that look history up, perhaps at a standby.
    looking_up: Mutex<Vec<Pipeline>>,
    acting: Mutex<Vec<Pipeline>>,
}

impl Desks {
    /// Opens nothing yet.
    pub fn new(
        setup: Setup,
        clock: Arc<dyn Clock>,
        ring: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            at: setup.config.store_url.clone(),
            setup,
            clock,
            ring: Box::new(ring),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
            acts: Arc::new(Semaphore::new(1)),
            looking: Mutex::default(),
            looking_up: Mutex::default(),
            acting: Mutex::default(),
        }))
    }

    /// Runs what only reads, over one state of the database.
    ///
    /// # Errors
    ///
    /// [`Busy`] if it would wait too long; else those of `work`.
    pub(in crate::web) async fn look<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Pipeline) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<Result<T, DeskError>, Busy> {
        let shared = self.0.clone();
        let looked = move || shared.look(&shared.looking, || shared.open_to_look(), work);
        run_in(&self.0.looks, looked).await
    }

    /// [`Desks::look`] for what looks history up: it may be read at a standby.
    ///
    /// # Errors
    ///
    /// As [`Desks::look`].
    pub(in crate::web) async fn look_up<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Pipeline) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<Result<T, DeskError>, Busy> {
        let shared = self.0.clone();
        let looked = move || shared.look(&shared.looking_up, || shared.open_to_look_up(), work);
        run_in(&self.0.looks, looked).await
    }

    /// Runs what writes. What is in `work` opens its own transaction.
    ///
    /// # Errors
    ///
    /// As [`Desks::look`].
    pub(in crate::web) async fn act<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Pipeline) -> Result<T, DeskError> + Send + 'static,
    ) -> Result<Result<T, DeskError>, Busy> {
        let shared = self.0.clone();
        let acted = move || {
            let pipeline = match shared.take(&shared.acting) {
                Some(kept) => kept,
                None => shared.open(shared.open_to_write()?),
            };
            let done = work(&pipeline);
            keep(&shared.acting, pipeline, 1);
            (shared.ring)();
            done
        };
        run_in(&self.0.acts, acted).await
    }
}

impl Desks {
    /// Notes something that is no step of the desk, such as a session.
    ///
    /// # Errors
    ///
    /// As [`Desks::look`].
    pub(in crate::web) async fn note<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Result<T, StoreError>, Busy> {
        let shared = self.0.clone();
        let noted = move || {
            let pipeline = match shared.take(&shared.acting) {
                Some(kept) => kept,
                None => shared.open(shared.open_to_write()?),
            };
            let done = work(pipeline.store());
            keep(&shared.acting, pipeline, 1);
            done
        };
        run_in(&self.0.acts, noted).await
    }
}

impl Shared {
    /// Runs what only reads, over one state of a database that is kept or opened.
    fn look<T>(
        &self,
        kept: &Mutex<Vec<Pipeline>>,
        open: impl FnOnce() -> Result<Store, StoreError>,
        work: impl FnOnce(&Pipeline) -> Result<T, DeskError>,
    ) -> Result<T, DeskError> {
        let pipeline = match self.take(kept) {
            Some(kept) => kept,
            None => self.open(open()?),
        };
        let reading = pipeline.store().begin_reading()?;
        let found = work(&pipeline);
        drop(reading);
        keep(kept, pipeline, LOOKS_MAX);
        found
    }

    /// Takes a pipeline that is kept and whose database is still the one at its path.
    fn take(&self, kept: &Mutex<Vec<Pipeline>>) -> Option<Pipeline> {
        let next = || kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        std::iter::from_fn(next).find(|it| it.store().is_current().unwrap_or(false))
    }

    /// Returns a pipeline over an open store.
    fn open(&self, store: Store) -> Pipeline {
        Pipeline::over(store, self.setup.clone(), self.clock.clone())
    }

    /// Opens the database for reading.
    fn open_to_look(&self) -> Result<Store, StoreError> {
        let store = Store::open_read_only(&self.at)?;
        store.upkeep().limit_cache(CACHE_KIB)?;
        Ok(store)
    }

    /// Opens the database for lookups of history.
    fn open_to_look_up(&self) -> Result<Store, StoreError> {
        let rather = self.setup.config.read_url.as_ref();
        let (store, _) = Store::open_for_lookups(rather, &self.at)?;
        store.upkeep().limit_cache(CACHE_KIB)?;
        Ok(store)
    }

    /// Opens the database for writing; makes nothing.
    fn open_to_write(&self) -> Result<Store, StoreError> {
        let options = StoreOptions {
            reverse_index: self.setup.config.reverse_index,
            create: false,
        };
        let store = Store::open(&self.at, options)?;
        store.upkeep().limit_log(self.setup.config.wal_bytes_max);
        store.upkeep().limit_cache(CACHE_KIB)?;
        Ok(store)
    }
}

/// Runs work that blocks in one of the places, as soon as one is free.
///
/// The work holds the place, not whoever waits for it: a client that hangs up ends its request, but not the work.
///
/// # Errors
///
/// [`Busy`] after [`WAIT_MAX`], and if the work panics.
async fn run_in<T: Send + 'static>(
    places: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Busy> {
    let Ok(Ok(place)) = timeout(WAIT_MAX, places.clone().acquire_owned()).await else {
        return Err(Busy);
    };
    let held = move || {
        let _place = place;
        work()
    };
    tokio::task::spawn_blocking(held).await.map_err(|_| Busy)
}

/// Keeps a pipeline for the next one.
fn keep(kept: &Mutex<Vec<Pipeline>>, pipeline: Pipeline, count_max: usize) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() < count_max {
        kept.push(pipeline);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_keeps_its_place_when_nobody_waits_for_it() {
        let places = Arc::new(Semaphore::new(1));
        let (begin, begun) = tokio::sync::oneshot::channel();
        let (end, ended) = mpsc::channel::<()>();
        let request = tokio::spawn({
            let places = places.clone();
            async move {
                let work = move || {
                    begin.send(()).expect("the test waits");
                    ended.recv().expect("the test says when");
                };
                let _ = run_in(&places, work).await;
            }
        });
        begun.await.expect("the work begins");
        request.abort();
        assert!(request.await.is_err(), "the client hung up");
        assert_eq!(places.available_permits(), 0);
        end.send(()).expect("the work still waits");
        assert_eq!(run_in(&places, || 7).await.ok(), Some(7));
    }
}
