//! What is due when.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::dns::Name;
use crate::time::{Span, Timestamp};

/// How long after a NOTIFY that brought nothing new a zone is looked at again. PowerDNS sends a NOTIFY while
/// its own answers may still be old: it keeps them for 20 seconds (`cache-ttl`, `query-cache-ttl`).
const LOOK_AGAIN_AFTER: Span = Span::seconds(30);
/// The most zones that wait to be looked at again; of more the schedule takes care.
const LOOKS_AGAIN_MAX: usize = 10_000;

/// Zones that a NOTIFY had looked at, and those of them to be looked at once more.
///
/// There is one second look at a time for a zone, however many NOTIFY come, and one that finds nothing new
/// plans no third.
#[derive(Debug, Default)]
pub(super) struct SecondLooks {
    notified: HashSet<Name>,
    due: BTreeMap<Name, Timestamp>,
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
            self.due.remove(zone);
        } else if was_notified && self.due.len() < LOOKS_AGAIN_MAX {
            let at = now + LOOK_AGAIN_AFTER;
            self.due.entry(zone.clone()).or_insert(at);
        }
    }

    /// Takes the zones whose second look is due by `now`.
    pub fn take_due(&mut self, now: Timestamp) -> Vec<Name> {
        let due = self.due.iter().filter(|(_, at)| **at <= now);
        let due: Vec<Name> = due.map(|(zone, _)| zone.clone()).collect();
        for zone in &due {
            self.due.remove(zone);
        }
        due
    }

    /// Returns when the next second look is due.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.due.values().min().copied()
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
        // Many NOTIFY: one second look, which does not move away.
        for second in 0..20 {
            looks.note_notify(&zone);
            looks.note_look(&zone, true, at(second));
        }
        assert_eq!(looks.next_at(), Some(at(30)));
        assert_eq!(looks.take_due(at(29)), Vec::<Name>::new());
        assert_eq!(looks.take_due(at(30)), vec![zone.clone()]);
        // The second look itself plans none, and news end what is planned.
        looks.note_look(&zone, true, at(30));
        assert_eq!(looks.next_at(), None);
        looks.note_notify(&zone);
        looks.note_look(&zone, true, at(31));
        looks.note_look(&zone, false, at(32));
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
