//! When a source is due.

use std::str::FromStr;

use cron::Schedule as CronSchedule;

use crate::config::{Config, Schedule};
use crate::time::{Span, Timestamp};

/// A cron line that is none.
#[derive(Debug, thiserror::Error)]
#[error("{place}: cron {line:?}: {fault}; six fields, seconds first, such as \"0 */5 * * * *\"")]
pub struct ScheduleError {
    /// The source, or the key.
    place: String,
    /// The line.
    line: String,
    /// The parser's words.
    fault: String,
}

/// A schedule that can tell the next time.
#[derive(Debug)]
pub enum Timetable {
    /// A span after the last time.
    Every(Span),
    /// As the zone's SOA says.
    Soa,
    /// A cron line, UTC.
    Cron(Box<CronSchedule>),
}

/// The wait of a source that goes by its zone's SOA, before that is known.
const SOA_UNKNOWN: Span = Span::seconds(3600);
/// What a SOA's timers are held to: some zones ask for a look each second, some for one a month.
const SOA_MIN: Span = Span::seconds(30);
/// See [`SOA_MIN`].
const SOA_MAX: Span = Span::days(1);

impl Timetable {
    /// Parses a source's schedule.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`].
    pub fn new(source_name: &str, schedule: &Schedule) -> Result<Self, ScheduleError> {
        match schedule {
            Schedule::Every(span) => Ok(Self::Every(*span)),
            Schedule::Soa => Ok(Self::Soa),
            Schedule::Cron(line) => {
                let parsed = CronSchedule::from_str(line).map_err(|fault| ScheduleError {
                    place: format!("source {source_name:?}"),
                    line: line.clone(),
                    fault: fault.to_string(),
                })?;
                Ok(Self::Cron(Box::new(parsed)))
            }
        }
    }

    /// Returns when the source is due first: at once, or when the cron line says.
    pub fn first(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Every(_) | Self::Soa => now,
            Self::Cron(_) => self.after(now, None),
        }
    }

    /// Returns when the source is due after a pass that began at `now`; `soa_wait` is what the zone's
    /// SOA says, if it is known.
    pub fn after(&self, now: Timestamp, soa_wait: Option<Span>) -> Timestamp {
        match self {
            Self::Every(span) => now + *span,
            Self::Soa => now + soa_wait.unwrap_or(SOA_UNKNOWN).clamp(SOA_MIN, SOA_MAX),
            // A cron line with a year in the past is never due again; look once a day whether the
            // clock has been put right.
            Self::Cron(schedule) => schedule
                .after(&now.calendar())
                .next()
                .map_or(now + Span::days(1), Timestamp::from_calendar),
        }
    }
}

/// Returns whether a digest is due at `now`, the last one having been made at `last`.
///
/// # Errors
///
/// [`ScheduleError`].
pub fn is_digest_due(
    config: &Config,
    last: Timestamp,
    now: Timestamp,
) -> Result<bool, ScheduleError> {
    let line = config.mail.as_ref().and_then(|mail| mail.digest.as_ref());
    let Some(line) = line else {
        return Ok(false);
    };
    let place = |fault: ScheduleError| ScheduleError {
        place: "[report] digest (\"off\" for never)".to_owned(),
        ..fault
    };
    let timetable = Timetable::new("", &Schedule::Cron(line.clone())).map_err(place)?;
    Ok(timetable.after(last, None) <= now)
}

/// Checks the schedules of a configuration.
///
/// # Errors
///
/// [`ScheduleError`], the first that is found.
pub fn check_schedules(config: &Config) -> Result<(), ScheduleError> {
    let start = Timestamp::from_unix(0);
    is_digest_due(config, start, start)?;
    config
        .sources
        .iter()
        .try_for_each(|source| Timetable::new(&source.name, &source.schedule).map(|_| ()))
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
    fn cron_lines_are_utc_and_begin_with_seconds() {
        let now = Timestamp::parse_rfc3339("2026-11-22T10:01:30Z").expect("valid");
        let table =
            Timetable::new("a", &Schedule::Cron("0 */5 * * * *".to_owned())).expect("valid");
        assert_eq!(table.first(now).to_string(), "2026-11-22T10:05:00Z");
        assert_eq!(
            Timetable::new("a", &Schedule::Every(Span::seconds(60)))
                .expect("valid")
                .first(now),
            now
        );
        let error = Timetable::new("a", &Schedule::Cron("* * *".to_owned()))
            .expect_err("too short")
            .to_string();
        assert!(
            error.contains("\"a\"") && error.contains("six fields"),
            "{error}"
        );
    }
}
