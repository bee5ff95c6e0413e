//! When a source is due.

use crate::config::{Config, Schedule};
use crate::time::{CronLine, Span, TimeZone, Timestamp};

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
    pub fn first(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Every(_) | Self::Soa => now,
            Self::Cron(..) => self.after(now, None),
        }
    }

    /// Returns when the source is due after a pass that began at `now`; `soa_wait` is what the zone's
    /// SOA says, if it is known.
    pub fn after(&self, now: Timestamp, soa_wait: Option<Span>) -> Timestamp {
        match self {
            Self::Every(span) => now + *span,
            Self::Soa => now + soa_wait.unwrap_or(SOA_UNKNOWN).clamp(SOA_MIN, SOA_MAX),
            // A cron line whose year has gone by since the start is never due again; look once a day whether
            // the clock has been put right.
            Self::Cron(line, zone) => line.next_after(now, *zone).unwrap_or(now + Span::days(1)),
        }
    }
}

/// Returns whether a digest is due at `now`, the last one having been made at `last`.
pub fn is_digest_due(config: &Config, last: Timestamp, now: Timestamp) -> bool {
    let line = config.mail.as_ref().and_then(|mail| mail.digest.as_ref());
    let next = line.and_then(|line| line.next_after(last, config.zone));
    next.is_some_and(|next| next <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soas_timers_are_held_to_sane_limits() {
        let (now, table) = (Timestamp::from_unix(0), Timetable::Soa);
        for (wait, seconds) in [
            (None, 3600),
            (Some(1), 30),
            (Some(7200), 7200),
            (Some(2_592_000), 86_400),
        ] {
            let next = table.after(now, wait.map(Span::seconds));
            assert_eq!(next.unix(), seconds);
        }
    }

    #[test]
    fn cron_lines_wait_for_their_time_and_spans_begin_at_once() {
        let now = Timestamp::parse_rfc3339("2026-11-22T10:01:30Z").expect("valid");
        let line = CronLine::parse("0 */5 * * * *").expect("a cron line");
        let table = Timetable::new(&Schedule::Cron(line, TimeZone::default()));
        assert_eq!(table.first(now).to_string(), "2026-11-22T10:05:00Z");
        let every = Timetable::new(&Schedule::Every(Span::seconds(60)));
        assert_eq!(every.first(now), now);
    }
}
