//! Time: whole UTC seconds, spans, and the clock that is given, never taken.
//!
//! Everything the detector sees is event time, a [`Timestamp`] that came with the data. The wall
//! clock is read in one place, [`WallClock`], and handed down as a [`Clock`]; only TSIG, TLS and
//! mail dates need it to be the real one. What waits goes by [`Moment`]s, which no one can set. This room alone
//! knows the calendar crate.

mod cron;
mod moment;
mod step;
mod zone;

pub use cron::{CronError, CronLine};
pub use moment::{Moment, Reading};
pub use step::{STEP_MIN, Step, StepWatch};
pub use zone::TimeZone;

use std::fmt::{self, Write as _};
use std::ops::{Add, Sub};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds.
///
/// Range: the years 0 to 9999, so that every value has an RFC 3339 form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The last second that has an RFC 3339 form with a four-digit year.
const UNIX_MAX: i64 = 253_402_300_799;
/// The first second of the year 0.
const UNIX_MIN: i64 = -62_167_219_200;

/// Why a time, a span or a pattern was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// The text is no time in any accepted form.
    #[error(
        "{0:?} is not a time: use RFC 3339, YYYY-MM-DD[ HH:MM[:SS]], Unix seconds, or a span back from now such as 36h"
    )]
    Timestamp(String),
    /// The text is no span such as `5m` or `1h30m`.
    #[error(
        "{0:?} is not a span: use a number above 0 and s, m, h, d or w, such as 90s, 5m, 36h, 7d"
    )]
    Span(String),
    /// A file name does not carry the time that the pattern asks for.
    #[error("file name {name:?} does not match time_pattern {pattern:?}")]
    Pattern {
        /// The file's name, without its folder.
        name: String,
        /// The pattern as configured.
        pattern: String,
    },
}

impl Timestamp {
    /// Returns the timestamp of `seconds` since the epoch, clamped to the years 0 to 9999.
    pub fn from_unix(seconds: i64) -> Self {
        Self(seconds.clamp(UNIX_MIN, UNIX_MAX))
    }

    /// Returns the seconds since the epoch.
    pub fn unix(self) -> i64 {
        self.0
    }

    /// Returns the span from `earlier` to `self`; negative if `earlier` is later.
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0 - earlier.0)
    }

    /// Returns the month as `year * 12 + month - 1`, UTC: the bucket of closed intervals.
    pub fn month_bucket(self) -> i64 {
        let date = self.calendar();
        i64::from(date.year()) * 12 + i64::from(date.month0())
    }

    /// Returns the first second of the month that [`Timestamp::month_bucket`] gives this number for.
    pub fn month_start(bucket: i64) -> Self {
        let (year, month) = (bucket.div_euclid(12), bucket.rem_euclid(12) as u32 + 1);
        let year = i32::try_from(year).unwrap_or(i32::MAX);
        let date = NaiveDate::from_ymd_opt(year, month, 1).unwrap_or(NaiveDate::MAX);
        let midnight = date.and_hms_opt(0, 0, 0).expect("midnight exists in UTC");
        Self::from_unix(midnight.and_utc().timestamp())
    }

    /// Returns the first second of the month that this lies in.
    pub fn start_of_month(self) -> Self {
        Self::month_start(self.month_bucket())
    }

    /// Returns the first second of the hour that this lies in, UTC.
    pub fn start_of_hour(self) -> Self {
        Self::from_unix(self.0.saturating_sub(self.0.rem_euclid(3600)))
    }

    /// Returns the first second of the day that this lies in, UTC.
    pub fn start_of_day(self) -> Self {
        Self::from_unix(self.0 - self.0.rem_euclid(86_400))
    }

    /// Returns `2026-11-22`.
    pub fn to_date(self) -> String {
        self.calendar().format("%Y-%m-%d").to_string()
    }

    /// Returns the calendar form.
    fn calendar(self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.0, 0).expect("the constructor clamps to the calendar's range")
    }

    /// Returns `2026-11-22 10:00:00`, the form of tables and of dnsdbq.
    pub fn to_table(self) -> String {
        self.calendar().format("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// Returns `2026-11-22 10:00`, for narrow columns.
    pub fn to_minute(self) -> String {
        self.calendar().format("%Y-%m-%d %H:%M").to_string()
    }

    /// Parses RFC 3339 with any offset. Fractions of a second are dropped.
    ///
    /// # Errors
    ///
    /// [`TimeError::Timestamp`] with the text.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        DateTime::parse_from_rfc3339(text)
            .map(|time| Self::from_unix(time.timestamp()))
            .map_err(|_| TimeError::Timestamp(text.to_owned()))
    }

    /// Parses what a person may type: RFC 3339, `YYYY-MM-DD[ HH:MM[:SS]]` in UTC, Unix seconds,
    /// or a [`Span`] back from `now`.
    ///
    /// # Errors
    ///
    /// [`TimeError::Timestamp`] with the text.
    pub fn parse_argument(text: &str, now: Self) -> Result<Self, TimeError> {
        let text = text.trim();
        Self::parse_absolute(text).or_else(|fault| match Span::parse(text) {
            Ok(span) => Ok(now - span),
            Err(_) => Err(fault),
        })
    }

    /// [`Timestamp::parse_argument`] without spans.
    ///
    /// # Errors
    ///
    /// [`TimeError::Timestamp`] with the text.
    pub fn parse_absolute(text: &str) -> Result<Self, TimeError> {
        let text = text.trim();
        if let Ok(time) = Self::parse_rfc3339(text) {
            return Ok(time);
        }
        if let Ok(seconds) = text.parse::<i64>() {
            return Ok(Self::from_unix(seconds));
        }
        let spaced = text.replace('T', " ");
        for format in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"] {
            if let Ok(time) = NaiveDateTime::parse_from_str(&spaced, format) {
                return Ok(Self::from_unix(time.and_utc().timestamp()));
            }
        }
        if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            let midnight = date.and_hms_opt(0, 0, 0).expect("midnight exists in UTC");
            return Ok(Self::from_unix(midnight.and_utc().timestamp()));
        }
        Err(TimeError::Timestamp(text.to_owned()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Written digit by digit: a listing has millions of them, and a pattern would be read anew for each.
        let at = self.calendar();
        let parts = [
            (at.year() as u32, 0..4),
            (at.month(), 5..7),
            (at.day(), 8..10),
            (at.hour(), 11..13),
            (at.minute(), 14..16),
            (at.second(), 17..19),
        ];
        let mut text = *b"0000-00-00T00:00:00Z";
        for (mut number, places) in parts {
            for place in places.rev() {
                text[place] += (number % 10) as u8;
                number /= 10;
            }
        }
        f.write_str(str::from_utf8(&text).expect("digits are ASCII"))
    }
}

impl Add<Span> for Timestamp {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self::from_unix(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Timestamp {
    type Output = Self;
    fn sub(self, span: Span) -> Self {
        Self::from_unix(self.0.saturating_sub(span.0))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A time in a feed: text or Unix seconds.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Seconds(i64),
            Text(String),
        }
        let fault = |what: &dyn fmt::Display| {
            serde::de::Error::custom(format_args!("{what} is neither RFC 3339 nor Unix seconds"))
        };
        match Form::deserialize(deserializer) {
            // Milliseconds, say, would be a time in the far future: better no time than a wrong one.
            Ok(Form::Seconds(seconds)) if !(UNIX_MIN..=UNIX_MAX).contains(&seconds) => {
                Err(fault(&seconds))
            }
            Ok(Form::Seconds(seconds)) => Ok(Self(seconds)),
            Ok(Form::Text(text)) => {
                Self::parse_rfc3339(&text).map_err(|_| fault(&format!("{text:?}")))
            }
            Err(_) => Err(fault(&"the time")),
        }
    }
}

/// A length of time in whole seconds; may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(i64);

impl Span {
    /// Returns one of so many equal parts of this span, in whole seconds. `parts` is not 0.
    pub const fn divided_by(self, parts: i64) -> Self {
        Self(self.0 / parts)
    }

    /// Returns a span of `seconds`.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Returns a span of `hours`.
    pub const fn hours(hours: i64) -> Self {
        Self(hours * 3600)
    }

    /// Returns a span of `days` of 24 hours.
    pub const fn days(days: i64) -> Self {
        Self(days * 86_400)
    }

    /// Returns the length in seconds.
    pub const fn as_seconds(self) -> i64 {
        self.0
    }

    /// Returns the length in hours, with its fraction.
    pub fn as_hours(self) -> f64 {
        self.0 as f64 / 3600.0
    }

    /// Parses `90s`, `5m`, `36h`, `7d`, `2w` or a row of them, such as `1h30m`.
    ///
    /// # Errors
    ///
    /// [`TimeError::Span`] with the text; also for an empty text, a zero and an overflow.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let fault = || TimeError::Span(text.to_owned());
        let mut total = 0_i64;
        let mut digits = String::new();
        for character in text.trim().chars() {
            if character.is_ascii_digit() {
                digits.push(character);
                continue;
            }
            let unit = match character {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                'd' => 86_400,
                'w' => 604_800,
                _ => return Err(fault()),
            };
            let count: i64 = digits.parse().map_err(|_| fault())?;
            digits.clear();
            let part = count.checked_mul(unit).ok_or_else(fault)?;
            total = total.checked_add(part).ok_or_else(fault)?;
        }
        if !digits.is_empty() || total == 0 {
            return Err(fault());
        }
        Ok(Self(total))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut shown = 0;
        for (unit, letter) in [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')] {
            let count = rest / unit;
            rest %= unit;
            if count > 0 && shown < 2 {
                write!(f, "{count}{letter}")?;
                shown += 1;
            } else if shown > 0 {
                break;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unit = [(604_800, 'w'), (86_400, 'd'), (3600, 'h'), (60, 'm')]
            .into_iter()
            .find(|(seconds, _)| self.0 != 0 && self.0 % seconds == 0)
            .unwrap_or((1, 's'));
        serializer.collect_str(&format_args!("{}{}", self.0 / unit.0, unit.1))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Tells the time. Given to whatever needs "now", so that a test can compress it.
pub trait Clock: Send + Sync {
    /// Returns what the wall clock shows, in milliseconds since 1970-01-01T00:00:00Z.
    fn unix_ms(&self) -> i64;

    /// Returns the present moment, which goes on when the wall clock is set.
    fn moment(&self) -> Moment;

    /// Returns what both clocks show.
    fn reading(&self) -> Reading {
        Reading {
            unix_ms: self.unix_ms(),
            moment: self.moment(),
        }
    }

    /// Returns the present second.
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.unix_ms().div_euclid(1000))
    }
}

/// How long reading two clocks, one after the other, takes at most if nothing stops the program between them.
const READ_LONGEST: Duration = Duration::from_millis(50);
/// How often both are read anew when that took longer.
const READS_MAX: usize = 10;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    fn unix_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    }

    fn moment(&self) -> Moment {
        Moment::read()
    }

    fn reading(&self) -> Reading {
        let mut moment = self.moment();
        for _ in 0..READS_MAX {
            let unix_ms = self.unix_ms();
            let after = self.moment();
            // Not stopped in between: a stopped program would take the pause for a clock that was set.
            if after.since(moment) < READ_LONGEST {
                return Reading { unix_ms, moment };
            }
            moment = after;
        }
        Reading {
            unix_ms: self.unix_ms(),
            moment,
        }
    }
}

/// A clock that stands until it is set: for tests and for judging the past.
#[derive(Debug, Default)]
pub struct SetClock {
    /// Unix seconds.
    wall: AtomicI64,
    /// Seconds since the start.
    steady: AtomicI64,
}

impl SetClock {
    /// Returns a clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            wall: AtomicI64::new(now.unix()),
            steady: AtomicI64::new(0),
        }
    }

    /// Lets the time go on to `now`, or puts the clock back. The moment goes on with it and never back.
    pub fn set(&self, now: Timestamp) {
        let before = self.wall.swap(now.unix(), Ordering::SeqCst);
        self.steady
            .fetch_add((now.unix() - before).max(0), Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as who sets a machine's clock does: no time passes.
    pub fn step(&self, now: Timestamp) {
        self.wall.store(now.unix(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn unix_ms(&self) -> i64 {
        self.wall.load(Ordering::SeqCst).saturating_mul(1000)
    }

    fn moment(&self) -> Moment {
        Moment::from_seconds(self.steady.load(Ordering::SeqCst))
    }
}

/// Returns the modification time of a file in whole seconds, from what the system reports.
pub fn timestamp_of(time: SystemTime) -> Timestamp {
    let seconds = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    };
    Timestamp::from_unix(seconds)
}

/// A time that is written in a file's name, as `strftime` would write it, UTC.
///
/// `example-%Y%m%d%H%M.zone` reads `example-202611221000.zone`. A pattern without `%H` is
/// midnight; `%s` is Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimePattern(String);

impl TimePattern {
    /// Returns the pattern `text`.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns the name that a file of `at` has, or what is wrong with the pattern: it cannot be read, or does
    /// not give the day back.
    ///
    /// # Errors
    ///
    /// [`TimeError::Pattern`] with a name that was made by the pattern.
    pub fn name_of(&self, at: Timestamp) -> Result<String, TimeError> {
        let mut name = String::new();
        let is_written = write!(name, "{}", at.calendar().format(&self.0)).is_ok();
        let is_date = is_written
            && !name.contains('/')
            && self.read(Path::new(&name))?.to_date() == at.to_date();
        if is_date {
            return Ok(name);
        }
        Err(TimeError::Pattern {
            name,
            pattern: self.0.clone(),
        })
    }

    /// Reads the time out of the last component of `path`.
    ///
    /// # Errors
    ///
    /// [`TimeError::Pattern`] if the name does not match or the pattern gives no full date.
    pub fn read(&self, path: &Path) -> Result<Timestamp, TimeError> {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if let Ok(time) = NaiveDateTime::parse_from_str(&name, &self.0) {
            return Ok(Timestamp::from_unix(time.and_utc().timestamp()));
        }
        // chrono makes no date-time of a pattern without minutes or hours: give it midnight.
        for (missing, format) in [("00", "%M"), ("00:00", "%H:%M")] {
            let (text, pattern) = (format!("{name} {missing}"), format!("{} {format}", self.0));
            if let Ok(time) = NaiveDateTime::parse_from_str(&text, &pattern) {
                return Ok(Timestamp::from_unix(time.and_utc().timestamp()));
            }
        }
        Err(TimeError::Pattern {
            name,
            pattern: self.0.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).expect("the test's time is valid")
    }

    #[test]
    fn arguments_in_every_accepted_form_mean_the_same_second() {
        let now = at("2026-11-22T10:00:00Z");
        for text in [
            "2026-11-21T10:00:00Z",
            "2026-11-21T11:00:00+01:00",
            "2026-11-21 10:00",
            "2026-11-21 10:00:00",
            "1795255200",
            "24h",
            "1d",
        ] {
            assert_eq!(
                Timestamp::parse_argument(text, now),
                Ok(at("2026-11-21T10:00:00Z")),
                "{text}"
            );
        }
        assert_eq!(
            Timestamp::parse_argument("2026-11-21", now),
            Ok(at("2026-11-21T00:00:00Z"))
        );
        assert!(Timestamp::parse_argument("yesterday", now).is_err());
    }

    #[test]
    fn spans_reject_bare_numbers_and_overflow() {
        assert_eq!(Span::parse("1h30m"), Ok(Span::seconds(5400)));
        for text in ["", "5", "5x", "0s", "99999999999999999w"] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn file_names_carry_dates_with_and_without_hours() {
        let pattern = TimePattern::new("example-%Y%m%d%H%M.zone");
        assert_eq!(
            pattern.read(Path::new("/x/example-202611221005.zone")),
            Ok(at("2026-11-22T10:05:00Z"))
        );
        assert!(pattern.read(Path::new("example-20261122.zone")).is_err());
        assert_eq!(
            TimePattern::new("z-%Y%m%d").read(Path::new("z-20261122")),
            Ok(at("2026-11-22T00:00:00Z"))
        );
        assert_eq!(
            TimePattern::new("z-%Y%m%d-%H.gz").read(Path::new("z-20261122-07.gz")),
            Ok(at("2026-11-22T07:00:00Z"))
        );
    }

    #[test]
    fn month_begins_where_the_one_before_ends() {
        let start = Timestamp::month_start(at("2026-11-25T09:00:00Z").month_bucket());
        assert_eq!(start, at("2026-11-01T00:00:00Z"));
        let before = Timestamp::from_unix(start.unix() - 1);
        assert_eq!(before.month_bucket() + 1, start.month_bucket());
    }

    #[test]
    fn month_buckets_are_consecutive_over_new_year() {
        assert_eq!(
            at("2027-01-01T00:00:00Z").month_bucket(),
            at("2026-12-31T23:59:59Z").month_bucket() + 1
        );
    }
}
