//! Notices that somebody set the wall clock.

use std::fmt;

use crate::time::{Moment, Reading, Span, Timestamp};

/// By how much the wall clock must have moved against the steady one to have been set. Less is what daemons that
/// keep the time do slowly, or a leap second. Chosen by hand.
pub const STEP_MIN: Span = Span::seconds(2);
/// One part in so many is the fastest that a clock is slewed: chrony's `maxslewrate` is 83,333 parts in a million
/// unless set, other daemons stay below 500.
const SLEW_PART: i64 = 10;

/// How often both clocks are looked at. What is slewed in this time is less than [`STEP_MIN`] by far.
const LOOK_EVERY_MS: i64 = 1000;

/// Compares the wall clock with the steady one from look to look.
#[derive(Debug, Clone, Copy)]
pub struct StepWatch {
    before: Reading,
}

/// That the wall clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// By how much, in milliseconds; negative if it was put back.
    pub by_ms: i64,
    /// What the clock would show now if nobody had set it.
    pub unset: Timestamp,
    /// What it shows.
    pub now: Timestamp,
}

impl StepWatch {
    /// Begins to watch.
    pub fn new(reading: Reading) -> Self {
        Self { before: reading }
    }

    /// Looks at both clocks. Returns a step if the wall clock was set since the last look.
    ///
    /// A clock that goes faster or slower is none, however far it gets in time: each look counts from the one before.
    pub fn look(&mut self, reading: Reading) -> Option<Step> {
        let elapsed_ms = ahead_of(reading.moment, self.before.moment);
        let unset_ms = self.before.unix_ms.saturating_add(elapsed_ms);
        let by_ms = reading.unix_ms.saturating_sub(unset_ms);
        self.before = reading;
        let slewed_max_ms = (elapsed_ms - LOOK_EVERY_MS).max(0) / SLEW_PART;
        let is_step = by_ms.saturating_abs() >= STEP_MIN.as_seconds() * 1000 + slewed_max_ms;
        is_step.then_some(Step {
            by_ms,
            unset: Timestamp::from_unix(unset_ms.div_euclid(1000)),
            now: reading.now(),
        })
    }
}

/// Returns the milliseconds from `earlier` to `later`.
fn ahead_of(later: Moment, earlier: Moment) -> i64 {
    i64::try_from(later.since(earlier).as_millis()).unwrap_or(i64::MAX)
}

impl Step {
    /// Returns how far the clock was moved, in whole seconds; negative if it was put back.
    pub fn by(self) -> Span {
        let half = if self.by_ms < 0 { -500 } else { 500 };
        Span::seconds(self.by_ms.saturating_add(half) / 1000)
    }
}

impl fmt::Display for Step {
    /// Writes `was put back by 1d: 2026-11-28T10:00:00Z became 2026-11-27T10:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.by_ms < 0 { "back" } else { "forward" };
        let far = Span::seconds(self.by().as_seconds().abs());
        let (unset, now) = (self.unset, self.now);
        write!(f, "was put {way} by {far}: {unset} became {now}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second at clocks, the wall clock being ahead by what `ahead_ms` says of each second.
    fn watch(seconds: i64, ahead_ms: impl Fn(i64) -> i64) -> Vec<(i64, Step)> {
        let reading = |second: i64| Reading {
            unix_ms: 1_790_000_000_000 + second * 1000 + ahead_ms(second),
            moment: Moment::from_seconds(second),
        };
        let mut watch = StepWatch::new(reading(0));
        let looks = (1..seconds).map(|second| (second, watch.look(reading(second))));
        looks
            .filter_map(|(second, step)| Some((second, step?)))
            .collect()
    }

    #[test]
    fn a_clock_that_is_set_either_way_is_a_step_at_the_next_look_and_only_there() {
        let day = 86_400_000;
        for by in [-day, 3 * day, -2000, 2000] {
            let steps = watch(60, |second| if second >= 30 { by } else { 0 });
            let at: Vec<(i64, i64)> = steps
                .iter()
                .map(|(second, step)| (*second, step.by_ms))
                .collect();
            assert_eq!(at, [(30, by)]);
        }
        let steps = watch(60, |second| if second >= 30 { -day } else { 0 });
        assert_eq!(
            steps[0].1.to_string(),
            "was put back by 1d: 2026-09-21T14:13:50Z became 2026-09-20T14:13:50Z"
        );
    }

    #[test]
    fn slewing_and_leap_seconds_are_no_steps() {
        // As fast as chrony slews unless told otherwise, for an hour: five minutes in all.
        assert_eq!(watch(3600, |second| second * 83), []);
        assert_eq!(watch(3600, |second| -second * 83), []);
        for leap in [-1000, 1000] {
            let steps = watch(60, |second| if second >= 30 { leap } else { 0 });
            assert_eq!(steps, []);
        }
    }

    #[test]
    fn a_look_that_comes_late_takes_no_slewing_for_a_step() {
        let reading = |second: i64, ahead_ms: i64| Reading {
            unix_ms: second * 1000 + ahead_ms,
            moment: Moment::from_seconds(second),
        };
        let mut watch = StepWatch::new(reading(0, 0));
        assert_eq!(watch.look(reading(60, 5000)), None);
        assert!(watch.look(reading(120, 5000 + 86_400_000)).is_some());
    }
}
