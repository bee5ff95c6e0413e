//! What is due when.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use crate::daemon::schedule::{Due, Timetable};
use crate::dns::Name;
use crate::time::{Moment, Reading, Span};

/// How long after a NOTIFY that brought nothing new a zone is looked at again. PowerDNS sends a NOTIFY while
/// its own answers may still be old: it keeps them for 20 seconds (`cache-ttl`, `query-cache-ttl`).
const LOOK_AGAIN_AFTER: Span = Span::seconds(30);
/// The most zones that wait to be looked at again; of more the schedule takes care.
const LOOKS_AGAIN_MAX: usize = 10_000;

/// The longest that NOTIFY after NOTIFY puts a second look off.
const PUT_OFF_MAX: Span = Span::seconds(120);

/// Zones that a NOTIFY had looked at, and those of them to be looked at once more.
///
/// There is one second look at a time for a zone. Each NOTIFY that brings nothing new puts it off, since what that
/// NOTIFY tells of may take as long to be seen; but never beyond [`PUT_OFF_MAX`] after the first. A second look that
/// finds nothing new plans no third, unless a NOTIFY came shortly before it.
#[derive(Debug, Default)]
pub(super) struct SecondRefreshes {
    notified: HashSet<Name>,
    planned: HashMap<Name, Planned>,
    /// When each planned look is due, in order.
    due: BTreeSet<(Moment, Name)>,
}

/// A second look that is planned.
#[derive(Debug, Clone, Copy)]
struct Planned {
    /// The first NOTIFY that brought nothing.
    first: Moment,
    /// The last one.
    last: Moment,
    /// When the zone is looked at.
    at: Moment,
}

impl SecondRefreshes {
    /// Notes that a NOTIFY has a zone looked at.
    pub fn record_notify(&mut self, zone: &Name) {
        self.notified.insert(zone.clone());
    }

    /// Notes that a zone was looked at, and whether it was as known.
    pub fn record_refresh(&mut self, zone: &Name, is_old: bool, now: Moment) {
        let was_notified = self.notified.remove(zone);
        if !is_old {
            self.forget(zone);
        } else if was_notified {
            let known = self.forget(zone);
            self.plan(zone, known.map_or(now, |it| it.first), now);
        }
    }

    /// Plans a second look after NOTIFY from `first` to `last`.
    fn plan(&mut self, zone: &Name, first: Moment, last: Moment) {
        // Without one the schedule comes around all the same.
        if self.planned.len() >= LOOKS_AGAIN_MAX {
            return;
        }
        let at = (last + LOOK_AGAIN_AFTER).min(first + PUT_OFF_MAX);
        self.planned
            .insert(zone.clone(), Planned { first, last, at });
        self.due.insert((at, zone.clone()));
    }

    /// Gives up a second look.
    fn forget(&mut self, zone: &Name) -> Option<Planned> {
        let known = self.planned.remove(zone)?;
        self.due.remove(&(known.at, zone.clone()));
        Some(known)
    }

    /// Takes the zones whose second look is due by `now`.
    pub fn take_due(&mut self, now: Moment) -> Vec<Name> {
        let mut zones = Vec::new();
        while let Some((_, zone)) = self.due.first().filter(|(at, _)| *at <= now).cloned() {
            let known = self.forget(&zone);
            // The last NOTIFY is too fresh for this look to be its second one.
            if let Some(known) = known.filter(|it| it.last + LOOK_AGAIN_AFTER > now) {
                self.plan(&zone, known.last, known.last);
            }
            zones.push(zone);
        }
        zones
    }

    /// Returns when the next second look is due.
    pub fn next_at(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }
}

/// Sources by their next time, each at most once.
///
/// What is due at a time of the wall clock (a cron line) has a moment too: the one at which the clock will show that
/// time. It is aimed anew when the clock has drifted ([`Agenda::follow`]) or was set ([`Agenda::replan`]).
#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: BTreeSet<(Moment, usize)>,
    planned: HashMap<usize, PlannedSource>,
}

/// When a source is planned for.
#[derive(Debug, Clone, Copy)]
struct PlannedSource {
    due: Due,
    /// How much later than that it is looked at.
    late: Duration,
    /// Its place in the order.
    at: Moment,
}

impl Agenda {
    /// Puts a source at a time, and `late` after it, instead of where it was.
    pub fn put(&mut self, source: usize, due: Due, late: Duration) {
        self.remove(source);
        let at = due.moment + late;
        self.due.insert((at, source));
        self.planned.insert(source, PlannedSource { due, late, at });
    }

    /// Moves a source to an earlier moment; one that is earlier already, or not there, stays as it is.
    pub fn hurry(&mut self, source: usize, at: Moment) {
        let known = self.planned.get(&source);
        // Never later: NOTIFY after NOTIFY must not put off what is due.
        if known.is_some_and(|known| known.at > at) {
            self.put(source, Due::at(at), Duration::ZERO);
        }
    }

    /// Takes the next source that is due.
    pub fn take_due(&mut self, reading: Reading) -> Option<usize> {
        loop {
            let (at, source) = *self.due.first()?;
            if at > reading.moment {
                return None;
            }
            let planned = self.remove(source)?;
            if planned.due.is_reached(reading) {
                return Some(source);
            }
            // The wall clock goes slower than the steady one, or was put back: the time is still to come.
            self.put(source, planned.due.aimed(reading), planned.late);
        }
    }

    /// Aims what waits for a time of the wall clock at the moment when it will show that time, the clock having
    /// drifted since.
    pub fn follow(&mut self, reading: Reading) {
        let waiting: Vec<(usize, PlannedSource)> = self
            .planned
            .iter()
            // What counts a span on the steady clock is not moved by the other one.
            .filter(|(_, planned)| planned.due.wall.is_some())
            .map(|(source, planned)| (*source, *planned))
            .collect();
        for (source, planned) in waiting {
            self.put(source, planned.due.aimed(reading), planned.late);
        }
    }

    /// Plans what waits for a time of the wall clock anew, the clock having been set. What is due already, by the new
    /// time, is due once; the times in between are not made up for.
    pub fn replan(&mut self, reading: Reading, timetables: &[Timetable]) {
        for (source, timetable) in timetables.iter().enumerate() {
            let planned = self.planned.get(&source).copied();
            let Some(planned) = planned.filter(|it| it.due.wall.is_some()) else {
                continue;
            };
            let due = if planned.due.is_reached(reading) {
                planned.due.aimed(reading)
            } else {
                timetable.first(reading)
            };
            self.put(source, due, planned.late);
        }
    }

    /// Returns when the next source is due.
    pub fn next_at(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes a source out.
    fn remove(&mut self, source: usize) -> Option<PlannedSource> {
        let planned = self.planned.remove(&source)?;
        self.due.remove(&(planned.at, source));
        Some(planned)
    }
}

/// Returns how much later than planned a source is looked at: less than `jitter`, different for each
/// source and time, so that not all primaries are asked in one moment.
pub(super) fn jitter_of(name: &str, at: Moment, jitter: Span) -> Duration {
    let width_ms = jitter.as_seconds().saturating_mul(1000);
    if width_ms <= 0 {
        return Duration::ZERO;
    }
    // FNV-1a: spreading is all that is asked of it.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for octet in name.bytes().chain(at.as_ms().to_le_bytes()) {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    }
    Duration::from_millis((hash >> 11) % width_ms as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{CronLine, TimeZone, Timestamp};

    /// Returns what both clocks show so many seconds after the start, the wall clock being `ahead` of it.
    fn reading(seconds: i64, ahead: Span) -> Reading {
        Reading {
            unix_ms: (seconds + ahead.as_seconds()) * 1000,
            moment: Moment::from_seconds(seconds),
        }
    }

    /// Returns the timetable of a cron line.
    fn cron(line: &str) -> Timetable {
        let line = CronLine::parse(line).expect("a cron line");
        Timetable::Cron(line, TimeZone::default())
    }

    #[test]
    fn sources_come_in_the_order_of_their_times() {
        let at = Moment::from_seconds;
        let taken =
            |agenda: &mut Agenda, second| agenda.take_due(reading(second, Span::days(9_000)));
        let mut agenda = Agenda::default();
        agenda.put(0, Due::at(at(20)), Duration::ZERO);
        agenda.put(1, Due::at(at(9)), Duration::from_millis(500));
        assert_eq!(taken(&mut agenda, 9), None);
        assert_eq!(taken(&mut agenda, 19), Some(1));
        agenda.hurry(0, at(5));
        assert_eq!(agenda.next_at(), Some(at(5)));
        agenda.hurry(0, at(7));
        assert_eq!(agenda.next_at(), Some(at(5)));
    }

    #[test]
    fn a_cron_line_runs_once_though_the_wall_clock_goes_slower_than_the_steady_one() {
        let (day, table) = (Span::days(20_000), cron("0 * * * * *"));
        let slower = |seconds: i64, behind_ms: i64| Reading {
            unix_ms: (seconds + day.as_seconds()) * 1000 - behind_ms,
            moment: Moment::from_seconds(seconds),
        };
        let mut agenda = Agenda::default();
        agenda.put(0, table.first(slower(0, 1)), Duration::ZERO);
        assert_eq!(
            agenda.take_due(slower(0, 0)),
            None,
            "its time was aimed at 1 ms after"
        );
        agenda.put(0, table.first(slower(1, 0)), Duration::ZERO);
        assert_eq!(agenda.take_due(slower(60, 30)), None);
        assert_eq!(agenda.next_at(), Some(Moment::from_ms(60_030)));
        let reached = Reading {
            unix_ms: (60 + day.as_seconds()) * 1000,
            moment: Moment::from_ms(60_030),
        };
        assert_eq!(agenda.take_due(reached), Some(0));
        assert_eq!(
            table.after(reached, reached, None).moment,
            Moment::from_ms(120_030)
        );
    }

    #[test]
    fn a_wall_clock_that_is_set_moves_cron_lines_and_nothing_else() {
        let (tables, now) = (
            [cron("0 */5 * * * *"), Timetable::Every(Span::seconds(60))],
            Span::days(20_000),
        );
        let plan = || {
            let mut agenda = Agenda::default();
            for (i, table) in tables.iter().enumerate() {
                let began = reading(10, now);
                agenda.put(i, table.after(began, began, None), Duration::ZERO);
            }
            agenda
        };
        // A day back: the next fifth minute of that day.
        let mut agenda = plan();
        let back = reading(20, Span::seconds(now.as_seconds() + 30 - 86_400));
        agenda.replan(back, &tables);
        let at: Vec<i64> = agenda.due.iter().map(|(at, _)| at.as_ms()).collect();
        assert_eq!(at, [70_000, 270_000]);
        // Three days forward: due, once.
        let mut agenda = plan();
        let forward = reading(20, Span::seconds(now.as_seconds() + 30 + 3 * 86_400));
        agenda.replan(forward, &tables);
        assert_eq!(agenda.take_due(forward), Some(0));
        assert_eq!(agenda.take_due(forward), None);
    }

    /// Returns when a cron line is taken, in seconds of the steady clock, by looks every 500 ms at a wall clock that is
    /// `ahead_ms` of it.
    fn taken_times(table: &Timetable, seconds: i64, ahead_ms: impl Fn(i64) -> i64) -> Vec<i64> {
        let read = |ms: i64| Reading {
            unix_ms: ms + ahead_ms(ms),
            moment: Moment::from_ms(ms),
        };
        let (mut agenda, mut taken) = (Agenda::default(), Vec::new());
        agenda.put(0, table.first(read(0)), Duration::ZERO);
        for ms in (0..seconds * 1000).step_by(500) {
            let now = read(ms);
            agenda.follow(now);
            if agenda.take_due(now).is_some() {
                taken.push(ms / 1000);
                agenda.put(0, table.after(now, now, None), Duration::ZERO);
            }
        }
        taken
    }

    #[test]
    fn neither_summer_time_nor_a_leap_second_nor_slewing_lets_a_cron_line_miss_its_time() {
        let zone = TimeZone::parse("Europe/Berlin").expect("a zone");
        let line = CronLine::parse("0 */5 * * * *").expect("a cron line");
        let table = Timetable::Cron(line, zone);
        for (start, leap_ms, slew) in [
            ("2027-03-28T00:30:30Z", 0, 0),
            ("2027-10-31T00:30:30Z", 0, 0),
            ("2027-01-01T00:00:30Z", -1000, 0),
            ("2027-01-01T00:00:30Z", 1000, 0),
            ("2027-01-01T00:00:30Z", 0, 12),
            ("2027-01-01T00:00:30Z", 0, -12),
        ] {
            let start = Timestamp::parse_rfc3339(start).expect("a time").unix() * 1000;
            let ahead = |ms: i64| {
                let leapt = if ms >= 1_000_000 { leap_ms } else { 0 };
                start + leapt + if slew == 0 { 0 } else { ms / slew }
            };
            let taken = taken_times(&table, 7200, ahead);
            let waits: Vec<i64> = taken.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(taken.len() >= 22 && taken[0] <= 300, "{taken:?}");
            assert!(
                waits.iter().all(|wait| (270..=330).contains(wait)),
                "{waits:?}"
            );
        }
    }

    #[test]
    fn notify_that_brings_nothing_plans_one_second_look() {
        let at = Moment::from_seconds;
        let zone = Name::parse("example").expect("valid");
        let mut looks = SecondRefreshes::default();
        // A look that nobody was notified of plans none.
        looks.record_refresh(&zone, true, at(0));
        assert_eq!(looks.next_at(), None);
        // Many NOTIFY: one second look, half a minute after the last of them.
        for second in [0, 5, 25] {
            looks.record_notify(&zone);
            looks.record_refresh(&zone, true, at(second));
        }
        assert_eq!(looks.next_at(), Some(at(55)));
        assert_eq!(looks.take_due(at(54)), Vec::<Name>::new());
        assert_eq!(looks.take_due(at(55)), vec![zone.clone()]);
        // The second look itself plans none, and news end what is planned.
        looks.record_refresh(&zone, true, at(55));
        assert_eq!(looks.next_at(), None);
        looks.record_notify(&zone);
        looks.record_refresh(&zone, true, at(61));
        looks.record_refresh(&zone, false, at(62));
        assert_eq!(looks.next_at(), None);
        assert!(looks.planned.is_empty() && looks.due.is_empty());
    }

    #[test]
    fn endless_notify_neither_puts_a_second_look_off_for_ever_nor_takes_the_last_one_its_own() {
        let at = Moment::from_seconds;
        let zone = Name::parse("example").expect("a name");
        let mut looks = SecondRefreshes::default();
        for second in (0..=110).step_by(10) {
            looks.record_notify(&zone);
            looks.record_refresh(&zone, true, at(second));
        }
        assert_eq!(looks.take_due(at(119)), Vec::<Name>::new());
        assert_eq!(looks.take_due(at(120)), vec![zone.clone()]);
        looks.record_refresh(&zone, true, at(120));
        // The NOTIFY of second 110.
        assert_eq!(looks.next_at(), Some(at(140)));
        assert_eq!(looks.take_due(at(140)), vec![zone]);
        assert_eq!(looks.next_at(), None);
    }

    #[test]
    fn jitter_stays_below_its_width_and_spreads() {
        let at = Moment::from_seconds(1_800_000);
        let all: BTreeSet<Duration> = (0..100)
            .map(|n| jitter_of(&format!("s{n}"), at, Span::seconds(1)))
            .collect();
        assert!(all.len() > 50 && all.iter().all(|late| *late < Duration::from_secs(1)));
        assert_eq!(jitter_of("s", at, Span::seconds(0)), Duration::ZERO);
    }
}
