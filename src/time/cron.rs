//! Cron lines, as crontab(5) means them, with a field for seconds in front.
//!
//! Read here rather than by a crate: `cron` 0.17 counts Sunday as 1 and asks for the day of the month *and*
//! the day of the week; `croner` 4.0.3 replaces names in every field (`0 0 7 Mon * *` becomes the first of
//! the month) and takes `*/2` for a restricted field. Either would run at another time than the line says.

use std::fmt;
use std::ops::RangeInclusive;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime};

use crate::time::{Span, TimeZone, Timestamp};

/// How many days ahead a time is looked for. A 29 February may be 8 years away; a weekday on it, 40.
const DAYS_MAX: u64 = 41 * 366;
/// How far before a time the search begins, so that a clock put back is seen.
const FOLD_HOURS_MAX: i64 = 25;
/// The names of months.
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
/// The names of weekdays.
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The short forms of crontab(5).
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
    ("@monthly", "0 0 0 1 * *"),
    ("@weekly", "0 0 0 * * 0"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@hourly", "0 0 * * * *"),
];

/// Why a cron line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct CronError {
    /// What is wrong, with the field.
    pub what: String,
    /// What to write instead.
    pub cure: String,
}

/// A cron line: `second minute hour day month weekday [year]`, or the five fields of crontab(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronLine {
    text: String,
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Sorted; empty for every year.
    years: Vec<i32>,
    /// Whether the fields of days begin with `*`: then both must match, else either is enough.
    days_are_starred: bool,
    /// Whether the field of hours begins with `*`: then an hour that a clock shows twice counts twice.
    hours_are_starred: bool,
    /// What is sound and hardly meant.
    notes: Vec<String>,
}

/// What one field may hold.
struct Field {
    name: &'static str,
    range: RangeInclusive<u32>,
    names: &'static [&'static str],
}

/// Returns the fields of seconds, minutes, hours, days, months and weekdays.
fn fields() -> [Field; 6] {
    let field = |name, range, names| Field { name, range, names };
    [
        field("second", 0..=59, &[]),
        field("minute", 0..=59, &[]),
        field("hour", 0..=23, &[]),
        field("day of the month", 1..=31, &[]),
        field("month", 1..=12, &MONTHS),
        field("day of the week", 0..=7, &WEEKDAYS),
    ]
}

impl CronLine {
    /// Parses a line of five, six or seven fields, or a short form such as `@daily`.
    ///
    /// # Errors
    ///
    /// [`CronError`]; also for what other programs read differently. [`CronLine::next_after`] tells a line
    /// that never comes due.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let line = text.trim();
        let lower = line.to_ascii_lowercase();
        let nickname = NICKNAMES.iter().find(|(name, _)| *name == lower);
        if let (true, None) = (lower.starts_with('@'), nickname) {
            return Err(error(
                format!("{line:?} is no short form of crontab(5) that a schedule can have"),
                "use @hourly, @daily, @weekly, @monthly, @yearly or six fields",
            ));
        }
        let written = nickname.map_or(line, |(_, fields)| fields);
        let mut words: Vec<&str> = written.split_whitespace().collect();
        // crontab(5) has five fields and no seconds.
        if words.len() == 5 {
            words.insert(0, "0");
        }
        if !(6..=7).contains(&words.len()) {
            return Err(error(
                format!("{line:?} has {}", counted_fields(words.len())),
                "six fields, seconds first, such as \"0 */5 * * * *\", or the five of crontab(5)",
            ));
        }
        let mut notes = Vec::new();
        let mut masks = [0; 6];
        for ((mask, field), word) in masks.iter_mut().zip(fields()).zip(&words) {
            *mask = field.parse(word, &mut notes)?;
        }
        let [seconds, minutes, hours, days, months, weekdays] = masks;
        Ok(Self {
            text: line.to_owned(),
            seconds,
            minutes,
            hours,
            days,
            months,
            // crontab(5): 0 and 7 are Sunday.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            years: words
                .get(6)
                .map_or(Ok(Vec::new()), |word| parse_years(word))?,
            days_are_starred: [words[3], words[5]]
                .iter()
                .any(|word| word.starts_with(['*', '?'])),
            hours_are_starred: words[2].starts_with('*'),
            notes,
        })
    }

    /// Returns what is sound and hardly meant, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the first time after `after` that the line means in a zone; `None` if there is none in 40 years.
    ///
    /// A civil time that a clock put forward skips comes at the end of the gap, once. One that a clock put
    /// back shows twice comes at the first of both, unless the hour is `*`: then every hour counts.
    pub fn next_after(&self, after: Timestamp, zone: TimeZone) -> Option<Timestamp> {
        // Earlier than asked: a civil day may begin before `after` and show one of its hours again after it.
        let start = zone.civil(after - Span::hours(FOLD_HOURS_MAX));
        let mut date = start.date();
        for _ in 0..DAYS_MAX {
            if self.is_on(date)
                && let Some(found) = self.next_on(date, after, zone)
            {
                return Some(found);
            }
            date = date.checked_add_days(Days::new(1))?;
            let last = self.years.last().copied();
            if last.is_some_and(|year| date.year() > year) {
                return None;
            }
        }
        None
    }

    /// Returns whether the line comes due on a day.
    fn is_on(&self, date: NaiveDate) -> bool {
        let has = |mask: u64, value: u32| mask >> value & 1 == 1;
        let is_day = has(self.days, date.day());
        let is_weekday = has(self.weekdays, date.weekday().num_days_from_sunday());
        // crontab(5): if neither field starts with *, the command is run when either field matches.
        let is_due = if self.days_are_starred {
            is_day && is_weekday
        } else {
            is_day || is_weekday
        };
        let is_year = self.years.is_empty() || self.years.contains(&date.year());
        is_due && is_year && has(self.months, date.month())
    }

    /// Returns the first time after `after` whose civil date is `date`.
    fn next_on(&self, date: NaiveDate, after: Timestamp, zone: TimeZone) -> Option<Timestamp> {
        let mut best: Option<Timestamp> = None;
        for minute in (0..24 * 60).filter(|minute| {
            self.hours >> (minute / 60) & 1 == 1 && self.minutes >> (minute % 60) & 1 == 1
        }) {
            let civil =
                NaiveDateTime::new(date, NaiveTime::from_hms_opt(minute / 60, minute % 60, 0)?);
            let instants = zone.instants(civil)?;
            if best.is_some_and(|best| best <= instants.first) {
                break;
            }
            // A clock put forward does not show it: the instant is where the gap ends.
            let is_skipped = zone.civil(instants.first) != civil;
            let second = instants.second.filter(|_| self.hours_are_starred);
            for start in [Some(instants.first), second].into_iter().flatten() {
                let found = if is_skipped {
                    Some(start).filter(|start| *start > after)
                } else {
                    self.next_in_minute(start, after)
                };
                best = [best, found].into_iter().flatten().min();
            }
        }
        best
    }

    /// Returns the first time after `after` in the minute that begins at `start`.
    fn next_in_minute(&self, start: Timestamp, after: Timestamp) -> Option<Timestamp> {
        (0..60)
            .filter(|second| self.seconds >> second & 1 == 1)
            .map(|second| start + Span::seconds(second))
            .find(|at| *at > after)
    }
}

impl fmt::Display for CronLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Field {
    /// Returns the values that a word means, a bit each.
    fn parse(&self, word: &str, notes: &mut Vec<String>) -> Result<u64, CronError> {
        let mut mask = 0;
        for part in word.split(',') {
            mask |= self.parse_part(part, notes)?;
        }
        Ok(mask)
    }

    /// Returns the values of `*`, `N`, `N-M`, each with `/STEP`.
    fn parse_part(&self, part: &str, notes: &mut Vec<String>) -> Result<u64, CronError> {
        let (span, step) = match part.split_once('/') {
            Some((span, step)) => (span, Some(step)),
            None => (part, None),
        };
        let (low, high) = (*self.range.start(), *self.range.end());
        let is_day = self.name.starts_with("day");
        let (first, last) = match span.split_once('-') {
            _ if span == "*" || (span == "?" && is_day) => {
                (low, high.min(last_of_week(self, high)))
            }
            Some((first, last)) => (self.value(first)?, self.range_end(last)?),
            None if step.is_some() => {
                return Err(self.error(
                    part,
                    &format!(
                        "a step needs a range: write {span}-{high}/{}",
                        step.unwrap_or("N")
                    ),
                ));
            }
            None => {
                let value = self.value(span)?;
                (value, value)
            }
        };
        if first > last {
            let cure = format!("a range runs upwards: write {first}-{high},{low}-{last}");
            return Err(self.error(part, &cure));
        }
        let step = step.map_or(Ok(1), |step| self.step(part, step, first, last, notes))?;
        Ok((first..=last)
            .step_by(step as usize)
            .fold(0, |mask, value| mask | 1 << value))
    }

    /// Returns a step. One that meets only the first value, or does not divide an hour or a day, is told.
    fn step(
        &self,
        part: &str,
        step: &str,
        first: u32,
        last: u32,
        notes: &mut Vec<String>,
    ) -> Result<u32, CronError> {
        let count = last - first + 1;
        let step: u32 = step
            .parse()
            .ok()
            .filter(|step| *step > 0)
            .ok_or_else(|| self.error(part, "a step is a number of 1 or more"))?;
        if step >= count && step > 1 {
            let cure =
                format!("a step of {step} meets {first} alone: write {first}, or use `every`");
            return Err(self.error(part, &cure));
        }
        let is_clock = ["second", "minute", "hour"].contains(&self.name);
        if is_clock && part.starts_with('*') && !count.is_multiple_of(step) {
            let (name, rest) = (self.name, count % step);
            notes.push(format!(
                "{part} in the field {name} begins anew at 0: the last wait is {rest}, not {step}; `every` has equal waits"
            ));
        }
        Ok(step)
    }

    /// Returns a number or a name.
    fn value(&self, word: &str) -> Result<u32, CronError> {
        let named = self.names.iter();
        let at = named
            .copied()
            .position(|name| name.eq_ignore_ascii_case(word));
        if let Some(at) = at {
            return Ok(at as u32 + *self.range.start());
        }
        // The parser of numbers takes a sign as well.
        let is_number = !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_digit());
        let value = word.parse().ok().filter(|_| is_number);
        let value = value.filter(|value| self.range.contains(value));
        value.ok_or_else(|| {
            let (low, high) = (self.range.start(), self.range.end());
            let named = match self.names {
                [] => String::new(),
                [first, .., last] => format!(" or {first} to {last}"),
                [one] => format!(" or {one}"),
            };
            let sunday = if *high == 7 {
                ", where 0 and 7 are Sunday"
            } else {
                ""
            };
            self.error(word, &format!("use {low} to {high}{named}{sunday}"))
        })
    }

    /// Returns the end of a range. `sun` ends a week as well as it begins one.
    fn range_end(&self, word: &str) -> Result<u32, CronError> {
        match self.value(word)? {
            0 if word.eq_ignore_ascii_case("sun") => Ok(7),
            value => Ok(value),
        }
    }

    /// Returns an error about a part of the field.
    fn error(&self, part: &str, cure: &str) -> CronError {
        let name = self.name;
        error(format!("{part:?} is no {name}"), cure)
    }
}

/// Returns a count of fields in words.
fn counted_fields(count: usize) -> String {
    match count {
        1 => "1 field".to_owned(),
        _ => format!("{count} fields"),
    }
}

/// Returns the last value that `*` means: of weekdays Saturday, since 7 is Sunday again.
fn last_of_week(field: &Field, high: u32) -> u32 {
    match field.names.len() {
        7 => 6,
        _ => high,
    }
}

/// Returns the years that a word means, sorted; empty for every year.
fn parse_years(word: &str) -> Result<Vec<i32>, CronError> {
    if word == "*" {
        return Ok(Vec::new());
    }
    let year = |text: &str| {
        let year: Option<i32> = text.parse().ok();
        year.filter(|year| (1970..=9999).contains(year))
            .ok_or_else(|| {
                error(
                    format!("{text:?} is no year"),
                    "use 1970 to 9999, leave the field out, or write *",
                )
            })
    };
    let mut years = Vec::new();
    for part in word.split(',') {
        match part.split_once('-') {
            Some((first, last)) => years.extend(year(first)?..=year(last)?),
            None => years.push(year(part)?),
        }
    }
    years.sort_unstable();
    years.dedup();
    if years.is_empty() {
        return Err(error(
            format!("{word:?} is no year"),
            "a range runs upwards",
        ));
    }
    Ok(years)
}

/// Returns an error.
fn error(what: String, cure: &str) -> CronError {
    CronError {
        what,
        cure: cure.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the times that follow a civil UTC time, in a zone.
    fn next(line: &str, after: &str, zone: &str, count: usize) -> Vec<String> {
        let line = CronLine::parse(line).expect("a cron line");
        let zone = TimeZone::parse(zone).expect("a time zone");
        let mut at = Timestamp::parse_rfc3339(after).expect("a time");
        let mut times = Vec::new();
        while let (true, Some(next)) = (times.len() < count, line.next_after(at, zone)) {
            times.push(zone.to_text(next));
            at = next;
        }
        times
    }

    #[test]
    fn weekdays_are_those_of_crontab() {
        // 2026-11-28 is a Saturday.
        let saturday = "2026-11-28T00:00:00Z";
        for (weekdays, days) in [
            ("1-5", ["Mon 2026-11-30", "Tue 2026-12-01"]),
            ("Mon-Fri", ["Mon 2026-11-30", "Tue 2026-12-01"]),
            ("0", ["Sun 2026-11-29", "Sun 2026-12-06"]),
            ("7", ["Sun 2026-11-29", "Sun 2026-12-06"]),
            ("sat-sun", ["Sat 2026-11-28", "Sun 2026-11-29"]),
            ("5-7", ["Sat 2026-11-28", "Sun 2026-11-29"]),
            ("*", ["Sat 2026-11-28", "Sun 2026-11-29"]),
            ("*/2", ["Sat 2026-11-28", "Sun 2026-11-29"]),
        ] {
            let times = next(&format!("0 0 7 * * {weekdays}"), saturday, "UTC", 2);
            assert_eq!(
                times,
                days.map(|day| format!("{day} 07:00:00 UTC")),
                "{weekdays}"
            );
        }
    }

    #[test]
    fn day_or_weekday_is_enough_where_both_are_restricted() {
        let start = "2026-11-01T00:00:00Z";
        let either = [
            "Sun 2026-11-01",
            "Fri 2026-11-06",
            "Fri 2026-11-13",
            "Sun 2026-11-15",
        ];
        let times = next("0 0 7 1,15 * Fri", start, "UTC", 4);
        assert_eq!(times, either.map(|day| format!("{day} 07:00:00 UTC")));
        // crontab(5): a field that begins with * is not restricted.
        let both = ["Fri 2026-11-13", "Fri 2026-11-27"];
        let times = next("0 0 7 */2 * Fri", start, "UTC", 2);
        assert_eq!(times, both.map(|day| format!("{day} 07:00:00 UTC")));
    }

    #[test]
    fn five_fields_are_those_of_crontab_and_seven_have_a_year() {
        let start = "2026-11-28T00:00:00Z";
        assert_eq!(
            next("30 7 * * 1", start, "UTC", 1),
            ["Mon 2026-11-30 07:30:00 UTC"]
        );
        assert_eq!(
            next("@weekly", start, "UTC", 1),
            ["Sun 2026-11-29 00:00:00 UTC"]
        );
        assert_eq!(
            next("5 0 0 1 Jan ? 2028-2029", start, "UTC", 3),
            ["Sat 2028-01-01 00:00:05 UTC", "Mon 2029-01-01 00:00:05 UTC"]
        );
        assert_eq!(
            next("0 0 0 29 2 *", start, "UTC", 1),
            ["Tue 2028-02-29 00:00:00 UTC"]
        );
    }

    #[test]
    fn a_skipped_hour_runs_once_at_the_end_of_the_gap() {
        // Berlin, 2027-03-28: 02:00 CET is 03:00 CEST.
        let before = "2027-03-27T02:00:00Z";
        assert_eq!(
            next("0 30 2 * * *", before, "Europe/Berlin", 3),
            [
                "Sun 2027-03-28 03:00:00 CEST",
                "Mon 2027-03-29 02:30:00 CEST",
                "Tue 2027-03-30 02:30:00 CEST"
            ]
        );
        assert_eq!(
            next("0 */30 * * * *", "2027-03-28T00:00:00Z", "Europe/Berlin", 3),
            [
                "Sun 2027-03-28 01:30:00 CET",
                "Sun 2027-03-28 03:00:00 CEST",
                "Sun 2027-03-28 03:30:00 CEST"
            ]
        );
    }

    #[test]
    fn a_doubled_hour_runs_once_unless_every_hour_is_meant() {
        // Berlin, 2026-10-25: 03:00 CEST is 02:00 CET.
        assert_eq!(
            next("0 30 2 * * *", "2026-10-24T12:00:00Z", "Europe/Berlin", 2),
            [
                "Sun 2026-10-25 02:30:00 CEST",
                "Mon 2026-10-26 02:30:00 CET"
            ]
        );
        assert_eq!(
            next("0 30 * * * *", "2026-10-25T00:00:00Z", "Europe/Berlin", 3),
            [
                "Sun 2026-10-25 02:30:00 CEST",
                "Sun 2026-10-25 02:30:00 CET",
                "Sun 2026-10-25 03:30:00 CET"
            ]
        );
    }

    #[test]
    fn midnight_that_does_not_exist_runs_at_the_first_minute_of_the_day() {
        // Beirut puts the clock forward at midnight.
        assert_eq!(
            next("0 0 0 * * *", "2027-03-27T12:00:00Z", "Asia/Beirut", 2),
            [
                "Sun 2027-03-28 01:00:00 EEST",
                "Mon 2027-03-29 00:00:00 EEST"
            ]
        );
    }

    #[test]
    fn lines_that_never_come_due_say_so() {
        for line in ["0 0 0 30 2 *", "0 0 0 1 1 * 1999", "0 0 0 31 4,6,9,11 *"] {
            assert_eq!(
                next(line, "2026-11-28T00:00:00Z", "UTC", 1),
                Vec::<String>::new(),
                "{line}"
            );
        }
    }

    #[test]
    fn what_others_read_differently_is_refused_with_the_cure() {
        for (line, what, cure) in [
            ("* * *", "3 fields", "six fields"),
            ("0 60 * * * *", "\"60\" is no minute", "0 to 59"),
            ("0 0 24 * * *", "\"24\" is no hour", "0 to 23"),
            ("0 0 7 Mon * *", "\"Mon\" is no day of the month", "1 to 31"),
            ("0 0 7 * * 8", "\"8\"", "0 and 7 are Sunday"),
            ("0 0 7 * * Fri-Mon", "Fri-Mon", "5-7,0-1"),
            ("0 0 7 * * 5L", "\"5L\"", "0 to 7"),
            ("0 0 7 L * *", "\"L\"", "1 to 31"),
            ("0 0 7 * * 1#2", "\"1#2\"", "0 to 7"),
            ("0 5/10 * * * *", "5/10", "5-59/10"),
            ("0 */90 * * * *", "*/90", "`every`"),
            ("0 */0 * * * *", "*/0", "1 or more"),
            ("@reboot", "@reboot", "@daily"),
            ("0 0 7 * * * soon", "\"soon\" is no year", "1970"),
            ("", "0 fields", "six fields"),
        ] {
            let fault = CronLine::parse(line).expect_err(line);
            assert!(
                fault.what.contains(what) && fault.cure.contains(cure),
                "{line}: {fault:?}"
            );
        }
    }

    #[test]
    fn a_step_that_does_not_divide_its_hour_is_told() {
        let notes = |line: &str| CronLine::parse(line).expect("a cron line").notes().len();
        assert_eq!([notes("0 */7 * * * *"), notes("0 */5 * * * *")], [1, 0]);
    }
}
