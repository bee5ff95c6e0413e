//! The first pass over each zone file and feed after a start: nothing is judged before it.
//!
//! After a standstill a feed tells of days of which another says who had left by then. One that is judged before the other
//! is read accuses who is long gone.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long judging waits for it at most: a source that hangs holds up no other for longer. Chosen by hand.
const WAITED_FOR_MAX: Duration = Duration::from_secs(60);

/// Which sources are still read for the first time.
pub(super) struct FirstReading {
    begun: Instant,
    /// The numbers of sources; `None` before the first watch has put them to work.
    unread: Mutex<Option<HashSet<usize>>>,
}

impl FirstReading {
    /// Returns that of a service that starts.
    pub fn new() -> Self {
        Self {
            begun: Instant::now(),
            unread: Mutex::default(),
        }
    }

    /// Notes which sources were put to work at the start. A single one is judged as it is read.
    pub fn begin(&self, sources: impl ExactSizeIterator<Item = usize>) {
        let is_waited_for = sources.len() > 1;
        let mut unread = self.unread();
        if unread.is_none() {
            *unread = Some(sources.filter(|_| is_waited_for).collect());
        }
    }

    /// Notes that a source was read.
    pub fn end(&self, source: usize) {
        if let Some(unread) = &mut *self.unread() {
            unread.remove(&source);
        }
    }

    /// Waits for no source any more: another configuration is in force, in which they have other numbers.
    pub fn finish(&self) {
        *self.unread() = Some(HashSet::new());
    }

    /// Returns whether judging may begin.
    pub fn is_over(&self) -> bool {
        self.unread().as_ref().is_some_and(HashSet::is_empty)
            || self.begun.elapsed() >= WAITED_FOR_MAX
    }

    /// Locks what is unread. Nothing panics while it is locked.
    fn unread(&self) -> MutexGuard<'_, Option<HashSet<usize>>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judging_begins_once_each_source_was_read_and_waits_for_none_later() {
        let reading = FirstReading::new();
        reading.end(1);
        assert!(!reading.is_over(), "no watch began");
        reading.begin([0, 2].into_iter());
        reading.end(2);
        assert!(!reading.is_over());
        reading.end(0);
        assert!(reading.is_over());
        reading.begin([0, 1].into_iter());
        assert!(reading.is_over(), "a later watch");
        let alone = FirstReading::new();
        alone.begin([3].into_iter());
        assert!(alone.is_over());
        let reloaded = FirstReading::new();
        reloaded.begin([0, 1].into_iter());
        reloaded.finish();
        assert!(reloaded.is_over());
    }
}
