//! The first pass over each source after a start or a pause: nothing is judged before it.
//!
//! After a standstill a feed tells of days of which another says who had left by then. One that is judged before the other
//! is read accuses who is long gone.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long judging waits at most while nothing comes of any source that it waits for: one that hangs holds up no other for
/// longer. Chosen by hand.
const WAITED_FOR_MAX: Duration = Duration::from_secs(60);
/// How long judging waits at most in all: a feed that is written as fast as it is read has no end. Chosen by hand.
const HELD_MAX: Duration = Duration::from_secs(6 * 3600);

/// Which sources are still read for the first time.
pub(super) struct FirstReading {
    waiting: Mutex<Waiting>,
}

/// What is waited for.
struct Waiting {
    begun: Instant,
    /// When something came last.
    moved: Instant,
    /// What the docket had counted then.
    progress: u64,
    /// The names of sources; `None` before the first watch has put them to work.
    unread: Option<HashSet<String>>,
}

impl FirstReading {
    /// Returns that of a service that starts.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            waiting: Mutex::new(Waiting {
                begun: now,
                moved: now,
                progress: 0,
                unread: None,
            }),
        }
    }

    /// Begins to wait for these sources.
    pub fn begin(&self, sources: impl Iterator<Item = String>) {
        let mut waiting = self.waiting();
        let now = Instant::now();
        (waiting.begun, waiting.moved) = (now, now);
        waiting.unread = Some(sources.collect());
    }

    /// Goes on to wait for those of the sources that another configuration has, too.
    pub fn keep(&self, sources: impl Iterator<Item = String>) {
        let known: HashSet<String> = sources.collect();
        if let Some(unread) = &mut self.waiting().unread {
            unread.retain(|name| known.contains(name));
        }
    }

    /// Notes that a source was read to its end, or that it cannot be.
    pub fn end(&self, source: &str) {
        let mut waiting = self.waiting();
        let unread = waiting.unread.as_mut();
        if unread.is_some_and(|unread| unread.remove(source)) {
            waiting.moved = Instant::now();
        }
    }

    /// Returns whether a source is waited for.
    pub fn waits_for(&self, source: &str) -> bool {
        let waiting = self.waiting();
        waiting
            .unread
            .as_ref()
            .is_some_and(|unread| unread.contains(source))
    }

    /// Returns whether judging may begin. `progress` moves on with all that is read.
    pub fn is_over(&self, progress: u64) -> bool {
        let mut waiting = self.waiting();
        if waiting.progress != progress {
            (waiting.progress, waiting.moved) = (progress, Instant::now());
        }
        let is_long =
            waiting.moved.elapsed() >= WAITED_FOR_MAX || waiting.begun.elapsed() >= HELD_MAX;
        if is_long && let Some(unread) = &mut waiting.unread {
            // What comes later does not hold judging up once more.
            unread.clear();
        }
        is_long || waiting.unread.as_ref().is_some_and(HashSet::is_empty)
    }

    /// Locks what is waited for. Nothing panics while it is locked.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns names.
    fn names(names: &[&str]) -> impl Iterator<Item = String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.into_iter()
    }

    #[test]
    fn judging_begins_once_each_source_was_read_and_waits_for_none_later() {
        let reading = FirstReading::new();
        reading.end("b");
        assert!(!reading.is_over(0), "no watch began");
        reading.begin(names(&["a", "c"]));
        assert!(reading.waits_for("a") && !reading.waits_for("b"));
        reading.end("c");
        assert!(!reading.is_over(0));
        reading.end("a");
        assert!(reading.is_over(0));
        reading.keep(names(&["a", "b"]));
        assert!(reading.is_over(0), "another configuration");
        reading.begin(names(&["a"]));
        assert!(!reading.is_over(0), "after a pause");
    }

    #[test]
    fn a_reload_goes_on_to_wait_for_the_sources_that_are_still_there() {
        let reading = FirstReading::new();
        reading.begin(names(&["a", "b"]));
        reading.keep(names(&["c", "b"]));
        assert!(!reading.is_over(0));
        assert!(reading.waits_for("b") && !reading.waits_for("a") && !reading.waits_for("c"));
        reading.end("b");
        assert!(reading.is_over(0));
    }

    #[test]
    fn what_hangs_is_waited_for_no_longer_than_a_minute_and_what_reads_is() {
        let reading = FirstReading::new();
        let Some(long_ago) = Instant::now().checked_sub(WAITED_FOR_MAX) else {
            return;
        };
        reading.begin(names(&["a"]));
        reading.waiting().moved = long_ago;
        assert!(!reading.is_over(1), "a line was read since");
        reading.waiting().moved = long_ago;
        assert!(reading.is_over(1), "none was");
        assert!(reading.is_over(2), "and it stays so");
    }
}
