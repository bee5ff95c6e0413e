//! When a source is due.

use crate::config::Schedule;
use crate::time::{CronLine, Moment, Reading, Span, TimeZone, Timestamp};

/// A schedule that can tell the next time.
#[derive(Debug)]
pub enum Timetable {
    /// A span after the last time.
    Every(Span),
    /// As the zone's SOA says.
    Soa,
    /// A cron line, in a time zone.
    Cron(CronLine, TimeZone),
}

/// When something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The moment.
    pub moment: Moment,
    /// The time that the wall clock must show then: for cron lines.
    pub wall: Option<Timestamp>,
}

/// The wait of a source that goes by its zone's SOA, before that is known.
const SOA_UNKNOWN: Span = Span::seconds(3600);
/// What a SOA's timers are held to: some zones ask for a look each second, some for one a month.
const SOA_MIN: Span = Span::seconds(30);
/// See [`SOA_MIN`].
const SOA_MAX: Span = Span::days(1);

impl Timetable {
    /// Returns the timetable of a source's schedule.
    pub fn new(schedule: &Schedule) -> Self {
        match schedule {
            Schedule::Every(span) => Self::Every(*span),
            Schedule::Soa => Self::Soa,
            Schedule::Cron(line, zone) => Self::Cron(line.clone(), *zone),
        }
    }

    /// Returns when the source is due first: at once, or when the cron line says.
    pub fn first(&self, reading: Reading) -> Due {
        match self {
            Self::Every(_) | Self::Soa => Due::at(reading.moment),
            Self::Cron(..) => self.after(reading, reading, None),
        }
    }

    /// Returns when the source is due after a pass; `soa_wait` is what the zone's SOA says, if it is known.
    ///
    /// The wait counts from the pass's start, unless the pass took as long: then from its end. So a source that is
    /// slower than its schedule leaves room for the others, and no time that was missed is made up for.
    pub fn after(&self, began: Reading, ended: Reading, soa_wait: Option<Span>) -> Due {
        let later = |wait: Span| {
            let next = began.moment + wait;
            if next > ended.moment {
                Due::at(next)
            } else {
                Due::at(ended.moment + wait)
            }
        };
        match self {
            Self::Every(span) => later(*span),
            Self::Soa => later(soa_wait.unwrap_or(SOA_UNKNOWN).clamp(SOA_MIN, SOA_MAX)),
            // From the end of the pass: the times that went by during it are not made up for.
            Self::Cron(line, zone) => match line.next_after(ended.now(), *zone) {
                Some(wall) => Due {
                    moment: ended.moment_of(wall),
                    wall: Some(wall),
                },
                // A cron line whose year has gone by since the start is never due again, unless the clock is put
                // right; then it is planned anew.
                None => Due {
                    moment: ended.moment + Span::days(1),
                    wall: Some(ended.now() + Span::days(1)),
                },
            },
        }
    }
}

impl Due {
    /// Returns what is due at a moment, whatever the wall clock shows then.
    pub fn at(moment: Moment) -> Self {
        Self { moment, wall: None }
    }

    /// Returns whether this is due by now.
    pub fn is_reached(self, reading: Reading) -> bool {
        match self.wall {
            Some(wall) => reading.unix_ms >= wall.unix().saturating_mul(1000),
            None => self.moment <= reading.moment,
        }
    }

    /// Returns this with the moment at which the wall clock will show its time, as the clock goes now.
    pub fn aimed(self, reading: Reading) -> Self {
        match self.wall {
            Some(wall) => Self {
                moment: reading.moment_of(wall),
                wall: self.wall,
            },
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what both clocks show `seconds` after 2026-11-22T10:01:30Z.
    fn reading(seconds: i64) -> Reading {
        let start = Timestamp::parse_rfc3339("2026-11-22T10:01:30Z").expect("valid");
        Reading {
            unix_ms: (start.unix() + seconds) * 1000 + 250,
            moment: Moment::from_seconds(seconds),
        }
    }

    #[test]
    fn the_soas_timers_are_held_to_sane_limits() {
        let (now, table) = (reading(0), Timetable::Soa);
        for (wait, seconds) in [
            (None, 3600),
            (Some(1), 30),
            (Some(7200), 7200),
            (Some(2_592_000), 86_400),
        ] {
            let next = table.after(now, now, wait.map(Span::seconds));
            assert_eq!(next, Due::at(Moment::from_seconds(seconds)));
        }
    }

    #[test]
    fn cron_lines_wait_for_their_time_and_spans_begin_at_once() {
        let line = CronLine::parse("0 */5 * * * *").expect("a cron line");
        let table = Timetable::new(&Schedule::Cron(line, TimeZone::default()));
        let first = table.first(reading(0));
        assert_eq!(
            first.wall.expect("a time").to_string(),
            "2026-11-22T10:05:00Z"
        );
        // To the millisecond: the start was a quarter of a second after its second.
        assert_eq!(first.moment, Moment::from_ms(209_750));
        let every = Timetable::new(&Schedule::Every(Span::seconds(60)));
        assert_eq!(every.first(reading(0)), Due::at(reading(0).moment));
    }

    #[test]
    fn a_pass_longer_than_its_schedule_is_followed_by_a_whole_wait() {
        let table = Timetable::Every(Span::seconds(10));
        let next = |ended| table.after(reading(100), reading(ended), None).moment;
        assert_eq!(next(100), Moment::from_seconds(110));
        assert_eq!(next(109), Moment::from_seconds(110));
        assert_eq!(next(110), Moment::from_seconds(120));
        // Seven that were missed are not made up for.
        assert_eq!(next(175), Moment::from_seconds(185));
        let line = CronLine::parse("0 * * * * *").expect("a cron line");
        let table = Timetable::Cron(line, TimeZone::default());
        let due = table.after(reading(0), reading(200), None);
        assert_eq!(
            due.wall.expect("a time").to_string(),
            "2026-11-22T10:05:00Z"
        );
    }
}
