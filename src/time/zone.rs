//! Time zones by their names in the IANA database, which is compiled in.

use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone as _};
use chrono_tz::Tz;

use crate::time::{Span, Timestamp};

/// How far a civil time is moved to find the end of a gap. The longest gap, a day, was made at the date line.
const GAP_MINUTES_MAX: i64 = 2 * 24 * 60;

/// A time zone. Schedules go by it; data and mails are UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeZone(Tz);

/// The instants of one civil time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instants {
    /// The first. Of a civil time that a clock put forward skips, the end of the gap.
    pub first: Timestamp,
    /// The second, where a clock put back shows it twice.
    pub second: Option<Timestamp>,
}

impl Default for TimeZone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

impl TimeZone {
    /// Returns the zone of a name such as `Europe/Berlin`; `None` if the database has none. Case matters.
    pub fn parse(name: &str) -> Option<Self> {
        Tz::from_str(name).ok().map(Self)
    }

    /// Returns the zone's name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Returns every name that is known.
    pub fn names() -> impl Iterator<Item = &'static str> {
        chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())
    }

    /// Returns `Mon 2026-11-30 07:00:00 CET`.
    pub fn to_text(self, at: Timestamp) -> String {
        self.calendar(at)
            .format("%a %Y-%m-%d %H:%M:%S %Z")
            .to_string()
    }

    /// Returns what a clock on the wall shows.
    pub(super) fn civil(self, at: Timestamp) -> NaiveDateTime {
        self.calendar(at).naive_local()
    }

    /// Returns the instants at which a clock on the wall shows `civil`; `None` beyond the calendar.
    pub(super) fn instants(self, civil: NaiveDateTime) -> Option<Instants> {
        let found = self.0.offset_from_local_datetime(&civil);
        let instant = |offset: chrono::FixedOffset| {
            let seconds = civil.and_utc().timestamp() - i64::from(offset.local_minus_utc());
            Timestamp::from_unix(seconds)
        };
        let (earliest, latest) = (found.earliest(), found.latest());
        match (earliest, latest) {
            (Some(earliest), Some(latest)) => {
                let (first, second) = (instant(earliest.fix()), instant(latest.fix()));
                Some(Instants {
                    first,
                    second: (second != first).then_some(second),
                })
            }
            _ => self.end_of_gap(civil),
        }
    }

    /// Returns the instant at which the gap ends that `civil` lies in.
    fn end_of_gap(self, civil: NaiveDateTime) -> Option<Instants> {
        let whole = civil.and_utc().timestamp().div_euclid(60) * 60;
        (1..=GAP_MINUTES_MAX).find_map(|minutes| {
            let later = DateTime::from_timestamp(whole + minutes * 60, 0)?.naive_utc();
            let offset = self.0.offset_from_local_datetime(&later).earliest()?;
            let offset = Span::seconds(i64::from(offset.fix().local_minus_utc()));
            Some(Instants {
                first: Timestamp::from_unix(later.and_utc().timestamp()) - offset,
                second: None,
            })
        })
    }

    /// Returns the calendar form of a time in this zone.
    fn calendar(self, at: Timestamp) -> DateTime<Tz> {
        at.calendar().with_timezone(&self.0)
    }
}
