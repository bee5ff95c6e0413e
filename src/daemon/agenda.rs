//! What is due when.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::dns::Name;
use crate::time::{Span, Timestamp};

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
pub(super) struct SecondLooks {
    notified: HashSet<Name>,
    planned: HashMap<Name, Planned>,
    /// When each planned look is due, in order.
    due: BTreeSet<(Timestamp, Name)>,
}

/// A second look that is planned.
#[derive(Debug, Clone, Copy)]
struct Planned {
    /// The first NOTIFY that brought nothing.
    first: Timestamp,
    /// The last one.
    last: Timestamp,
    /// When the zone is looked at.
    at: Timestamp,
}

impl SecondLooks {
    /// Notes that a NOTIFY has a zone looked at.
    pub fn note_notify(&mut self, zone: &Name) {
        self.notified.insert(zone.clone());
    }

    /// Notes that a zone was looked at, and whether it was as known.
    pub fn note_look(&mut self, zone: &Name, is_old: bool, now: Timestamp) {
        let was_notified = self.notified.remove(zone);
        if !is_old {
            self.forget(zone);
        } else if was_notified {
            let known = self.forget(zone);
            self.plan(zone, known.map_or(now, |it| it.first), now);
        }
    }

    /// Plans a second look after NOTIFY from `first` to `last`.
    fn plan(&mut self, zone: &Name, first: Timestamp, last: Timestamp) {
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
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Name> {
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
    pub fn next_at(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }
}

/// Sources by their next time.
#[derive(Debug, Default)]
pub(super) struct Agenda(BTreeSet<(Timestamp, usize)>);

impl Agenda {
    /// Puts a source at a time.
    pub fn put(&mut self, source: usize, at: Timestamp) {
        self.0.insert((at, source));
    }

    /// Moves a source to an earlier time; one that is earlier already, or not there, stays as it is.
    pub fn hurry(&mut self, source: usize, at: Timestamp) {
        let known = self.0.iter().find(|(_, known)| *known == source).copied();
        if let Some(entry) = known.filter(|(due, _)| *due > at) {
            self.0.remove(&entry);
            self.0.insert((at, source));
        }
    }

    /// Takes the next source that is due by `now`.
    pub fn take_due(&mut self, now: Timestamp) -> Option<usize> {
        let (at, source) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some(source)
    }

    /// Returns when the next source is due.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }
}

/// Returns how much later than planned a source is looked at: less than `jitter`, different for each
/// source and time, so that not all primaries are asked in one second.
pub(super) fn jitter_of(name: &str, at: Timestamp, jitter: Span) -> Span {
    let width = jitter.as_seconds();
    if width <= 0 {
        return Span::seconds(0);
    }
    // FNV-1a: spreading is all that is asked of it.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for octet in name.bytes().chain(at.unix().to_le_bytes()) {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    }
    Span::seconds((hash >> 11) as i64 % width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_in_the_order_of_their_times() {
        let at = Timestamp::from_unix;
        let mut agenda = Agenda::default();
        agenda.put(0, at(20));
        agenda.put(1, at(10));
        assert_eq!(agenda.take_due(at(9)), None);
        assert_eq!(agenda.take_due(at(30)), Some(1));
        agenda.hurry(0, at(5));
        assert_eq!(agenda.next_at(), Some(at(5)));
        agenda.hurry(0, at(7));
        assert_eq!(agenda.next_at(), Some(at(5)));
    }

    #[test]
    fn notify_that_brings_nothing_plans_one_second_look() {
        let at = Timestamp::from_unix;
        let zone = Name::parse("example").expect("valid");
        let mut looks = SecondLooks::default();
        // A look that nobody was notified of plans none.
        looks.note_look(&zone, true, at(0));
        assert_eq!(looks.next_at(), None);
        // Many NOTIFY: one second look, half a minute after the last of them.
        for second in [0, 5, 25] {
            looks.note_notify(&zone);
            looks.note_look(&zone, true, at(second));
        }
        assert_eq!(looks.next_at(), Some(at(55)));
        assert_eq!(looks.take_due(at(54)), Vec::<Name>::new());
        assert_eq!(looks.take_due(at(55)), vec![zone.clone()]);
        // The second look itself plans none, and news end what is planned.
        looks.note_look(&zone, true, at(55));
        assert_eq!(looks.next_at(), None);
        looks.note_notify(&zone);
        looks.note_look(&zone, true, at(61));
        looks.note_look(&zone, false, at(62));
        assert_eq!(looks.next_at(), None);
        assert!(looks.planned.is_empty() && looks.due.is_empty());
    }

    #[test]
    fn endless_notify_neither_puts_a_second_look_off_for_ever_nor_takes_the_last_one_its_own() {
        let at = Timestamp::from_unix;
        let zone = Name::parse("example").expect("a name");
        let mut looks = SecondLooks::default();
        for second in (0..=110).step_by(10) {
            looks.note_notify(&zone);
            looks.note_look(&zone, true, at(second));
        }
        assert_eq!(looks.take_due(at(119)), Vec::<Name>::new());
        assert_eq!(looks.take_due(at(120)), vec![zone.clone()]);
        looks.note_look(&zone, true, at(120));
        // The NOTIFY of second 110.
        assert_eq!(looks.next_at(), Some(at(140)));
        assert_eq!(looks.take_due(at(140)), vec![zone]);
        assert_eq!(looks.next_at(), None);
    }

    #[test]
    fn jitter_stays_below_its_width_and_spreads() {
        let at = Timestamp::from_unix(1_800_000_000);
        let all: BTreeSet<i64> = (0..100)
            .map(|n| jitter_of(&format!("s{n}"), at, Span::seconds(60)).as_seconds())
            .collect();
        assert!(all.len() > 20 && all.iter().all(|late| (0..60).contains(late)));
        assert_eq!(jitter_of("s", at, Span::seconds(0)), Span::seconds(0));
    }
}
