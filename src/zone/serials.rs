//! What two serials say of the versions between them.

use crate::dns::Serial;
use crate::time::{Span, Timestamp};

/// The most versions between two serials that are counted. A greater jump is more likely another way of
/// counting than so many versions. Chosen by hand.
const COUNTED_MAX: u32 = 10_000;
/// How near to its own time a serial is that is a Unix time.
const UNIX_TIME_WITHIN: Span = Span::days(3650);

/// Versions that lie between two that arrived and did not arrive themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// At most so many; at least one. A primary may leave numbers out.
    AtMost(u32),
    /// Serials are dates or times and do not count versions: perhaps none.
    Unknown,
}

impl Missed {
    /// Returns the number in the database.
    pub fn stored(self) -> u32 {
        match self {
            Self::AtMost(count) => count,
            Self::Unknown => 0,
        }
    }

    /// Returns what [`Missed::stored`] gave `count` for.
    pub fn read(count: u32) -> Self {
        match count {
            0 => Self::Unknown,
            count => Self::AtMost(count),
        }
    }

    /// Says it in words, as in "up to 9 versions".
    pub fn in_words(self) -> String {
        match self {
            Self::AtMost(1) => "up to 1 version".to_owned(),
            Self::AtMost(count) => format!("up to {count} versions"),
            Self::Unknown => "an unknown number of versions".to_owned(),
        }
    }
}

/// Returns what did not arrive between two versions of a zone, the later one seen at `at`; `None` if nothing
/// is missed, or the serial did not move forward.
///
/// Serials that count (1, 2, 3, or 2026112801, 2026112802 within a day) tell how many there are at most. So do
/// the first serials of two days (2026112801, 2026112901): of a zone that is published once a day. Other serials that
/// are dates, or Unix times, jump by design.
pub fn missed_between(before: Serial, after: Serial, at: Timestamp) -> Option<Missed> {
    if !after.is_newer_than(before) {
        return None;
    }
    let moved = after.0.wrapping_sub(before.0);
    if let Some(days) = days_between_firsts(before, after) {
        return match days {
            1 => None,
            days => Some(Missed::AtMost(days - 1)),
        };
    }
    let counts = match (day_of(before), day_of(after)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => !is_unix_time(before, at) && !is_unix_time(after, at),
        _ => false,
    };
    match moved {
        1 => None,
        _ if counts && moved - 1 <= COUNTED_MAX => Some(Missed::AtMost(moved - 1)),
        _ => Some(Missed::Unknown),
    }
}

/// Returns the day of a serial of the form YYYYMMDDnn (RFC 1912 §2.2).
fn day_of(serial: Serial) -> Option<u32> {
    let day = serial.0 / 100;
    let is_date = (1990..=2099).contains(&(day / 10_000))
        && (1..=12).contains(&(day / 100 % 100))
        && (1..=31).contains(&(day % 100));
    is_date.then_some(day)
}

/// Returns how many days lie between two serials that are each the first of its day; `None` for others, or where
/// they are of one day.
fn days_between_firsts(before: Serial, after: Serial) -> Option<u32> {
    let date_of_first = |serial: Serial| {
        let day = day_of(serial).filter(|_| serial.0 % 100 <= 1)?;
        let (year, month, day) = (day / 10_000, day / 100 % 100, day % 100);
        Timestamp::parse_rfc3339(&format!("{year:04}-{month:02}-{day:02}T00:00:00Z")).ok()
    };
    let span = date_of_first(after)?.since(date_of_first(before)?);
    let days = u32::try_from(span.as_seconds() / Span::days(1).as_seconds()).ok()?;
    (days > 0).then_some(days)
}

/// Returns whether a serial is near `at` as a Unix time.
fn is_unix_time(serial: Serial, at: Timestamp) -> bool {
    (i64::from(serial.0) - at.unix()).abs() < UNIX_TIME_WITHIN.as_seconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_that_count_tell_how_many_and_others_do_not() {
        let at = Timestamp::from_unix(1_795_860_000);
        let missed = |before, after| missed_between(Serial(before), Serial(after), at);
        assert_eq!(missed(1, 2), None);
        assert_eq!(missed(1, 11), Some(Missed::AtMost(9)));
        assert_eq!(missed(u32::MAX, 2), Some(Missed::AtMost(2)));
        assert_eq!(missed(1, 1_000_000), Some(Missed::Unknown));
        assert_eq!(missed(11, 1), None);
        assert_eq!(
            missed(2_026_112_801, 2_026_112_804),
            Some(Missed::AtMost(2))
        );
        assert_eq!(missed(2_026_112_802, 2_026_112_901), Some(Missed::Unknown));
        assert_eq!(missed(2_026_112_801, 2_026_112_903), Some(Missed::Unknown));
        // Published once a day.
        assert_eq!(missed(2_026_113_001, 2_026_120_101), None);
        assert_eq!(
            missed(2_026_112_800, 2_026_120_101),
            Some(Missed::AtMost(2))
        );
        assert_eq!(missed(1_795_850_000, 1_795_850_060), Some(Missed::Unknown));
        assert_eq!(missed(7, 2_026_112_801), Some(Missed::Unknown));
        assert_eq!(missed(2_026_112_899, 2_026_112_900), None);
    }
}
