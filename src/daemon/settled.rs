//! The wall clock as the workers see it: one that is set is followed only once what waits by it was moved.
//!
//! Between the moment at which somebody sets the clock and the one at which the service has moved the times that are
//! stored, a message that waits would be due by days too early, and be given up for having waited so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::time::{Clock, Moment};

/// A clock that goes on as the steady clock does, from where the wall clock was when it was last settled.
pub(super) struct SettledClock {
    clock: Arc<dyn Clock>,
    /// By how much the wall clock is ahead of the steady one, in milliseconds.
    ahead_ms: AtomicI64,
}

impl SettledClock {
    /// Returns a clock that shows what `clock` does.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let settled = Self {
            clock,
            ahead_ms: AtomicI64::new(0),
        };
        settled.settle();
        settled
    }

    /// Returns the clock behind it, which anybody may set.
    pub fn wall(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Shows what the wall clock does.
    pub fn settle(&self) {
        let reading = self.clock.reading();
        let ahead_ms = reading.unix_ms.saturating_sub(reading.moment.as_ms());
        self.ahead_ms.store(ahead_ms, Ordering::SeqCst);
    }
}

impl Clock for SettledClock {
    fn unix_ms(&self) -> i64 {
        let ahead_ms = self.ahead_ms.load(Ordering::SeqCst);
        self.clock.moment().as_ms().saturating_add(ahead_ms)
    }

    fn moment(&self) -> Moment {
        self.clock.moment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{SetClock, Span, Timestamp};

    #[test]
    fn clock_that_is_set_is_followed_when_it_is_settled() {
        let start = Timestamp::from_unix(1_790_000_000);
        let wall = Arc::new(SetClock::new(start));
        let settled = SettledClock::new(wall.clone());
        wall.set(start + Span::seconds(5));
        assert_eq!(settled.now(), start + Span::seconds(5));
        wall.step(start + Span::days(3));
        assert_eq!(settled.now(), start + Span::seconds(5));
        assert_eq!(settled.wall().now(), start + Span::days(3));
        settled.settle();
        assert_eq!(settled.now(), start + Span::days(3));
        wall.step(start);
        settled.settle();
        assert_eq!(settled.now(), start);
    }
}
