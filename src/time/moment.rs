//! The clock that nobody sets: how long something waits.

use std::ops::Add;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::time::{Span, Timestamp};

/// The clock behind [`Moment`]. On Linux it counts while the machine is suspended, as the wall clock does;
/// otherwise a suspended machine would look like one whose wall clock was put forward.
#[cfg(target_os = "linux")]
const STEADY: ClockId = ClockId::Boottime;
/// See above.
#[cfg(not(target_os = "linux"))]
const STEADY: ClockId = ClockId::Monotonic;

/// Milliseconds since a start that means nothing, such as that of the machine.
///
/// A moment only tells how far it is from another one of the same program. It goes on when the wall clock is put
/// forward or back, so everything that waits is planned in moments. It never comes from data, is never stored and
/// has no relation to a [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(i64);

/// What both clocks show at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock, in milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: i64,
    /// The steady clock.
    pub moment: Moment,
}

impl Moment {
    /// Returns the moment so many milliseconds after the start.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Returns the moment so many seconds after the start.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Returns the milliseconds since the start.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Returns the present moment of the machine.
    pub(super) fn read() -> Self {
        let at = clock_gettime(STEADY);
        Self(at.tv_sec * 1000 + at.tv_nsec / 1_000_000)
    }

    /// Returns how long `earlier` is ago; nothing if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// Returns how long `earlier` is ago, in whole seconds; nothing if it is later.
    pub fn span_since(self, earlier: Self) -> Span {
        Span::seconds(self.since(earlier).as_secs() as i64)
    }
}

impl Reading {
    /// Returns the second that the wall clock shows.
    pub fn now(self) -> Timestamp {
        Timestamp::from_unix(self.unix_ms.div_euclid(1000))
    }

    /// Returns the moment at which the wall clock will show `at`, if nobody sets it; the present one if that is
    /// past.
    pub fn moment_of(self, at: Timestamp) -> Moment {
        let wait_ms = at.unix().saturating_mul(1000).saturating_sub(self.unix_ms);
        Moment(self.moment.0.saturating_add(wait_ms.max(0)))
    }
}

impl Add<Span> for Moment {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(
            self.0
                .saturating_add(span.as_seconds().saturating_mul(1000)),
        )
    }
}

impl Add<Duration> for Moment {
    type Output = Self;
    fn add(self, wait: Duration) -> Self {
        let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_moments_go_on() {
        let first = Moment::read();
        std::thread::sleep(Duration::from_millis(3));
        assert!(Moment::read().since(first) >= Duration::from_millis(2));
        assert_eq!(first.since(Moment::read()), Duration::ZERO);
    }

    #[test]
    fn a_wait_for_a_time_is_as_fine_as_the_wall_clock() {
        let reading = Reading {
            unix_ms: 59_750,
            moment: Moment::from_ms(7),
        };
        let minute = Timestamp::from_unix(60);
        assert_eq!(reading.moment_of(minute), Moment::from_ms(257));
        assert_eq!(reading.moment_of(reading.now()), reading.moment);
    }
}
