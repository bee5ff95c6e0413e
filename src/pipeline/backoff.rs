//! Which primaries are asked: one that fails rests for a while, longer each time.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use crate::dns::Name;
use crate::time::{Moment, Span};

/// How long a primary rests after its first failure; twice as long after each further one.
// A primary that was restarted is back by then.
const REST_FIRST: Span = Span::seconds(30);
/// The longest rest.
const REST_MAX: Span = Span::seconds(1800);

/// What is known of primaries that failed lately.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    rests: HashMap<SocketAddr, Rest>,
    /// Primaries that know no incremental transfers, and until when that is believed.
    stepless: HashMap<SocketAddr, Moment>,
    /// Primaries that are away, and since when.
    away: HashMap<SocketAddr, Moment>,
    /// Zones of which a primary has said nothing since its last answer; at most as many as make it away.
    silent: HashMap<SocketAddr, BTreeSet<Name>>,
}

/// What primaries were asked about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked<'a> {
    /// One zone.
    One(&'a Name),
    /// The serials of many.
    Many,
}

/// A primary that did not answer.
pub(super) struct Silence<'a> {
    /// The primary.
    pub primary: SocketAddr,
    /// What it was asked about.
    pub asked: Asked<'a>,
    /// Of how many zones it must say nothing in a row before it is away.
    pub enough: usize,
}

/// How long it is believed that a primary knows no incremental transfers.
// Asking for steps costs a connection each time; a primary is upgraded seldom.
const STEPLESS_FOR: Span = Span::days(1);

/// A primary's rest.
#[derive(Debug, Clone, Copy)]
struct Rest {
    failures: u32,
    until: Moment,
}

impl Backoff {
    /// Returns those of `primaries` that are asked, in order, and how many rest. If all do, all are
    /// asked: the schedule has the last word.
    pub fn choose(&self, primaries: &[SocketAddr], now: Moment) -> (Vec<SocketAddr>, usize) {
        let rests =
            |primary: &SocketAddr| self.rests.get(primary).is_some_and(|rest| rest.until > now);
        let awake: Vec<SocketAddr> = primaries
            .iter()
            .copied()
            .filter(|primary| !rests(primary))
            .collect();
        if awake.is_empty() {
            return (primaries.to_vec(), 0);
        }
        let resting = primaries.len() - awake.len();
        (awake, resting)
    }

    /// Returns those of `primaries` that know no incremental transfers.
    pub fn stepless(&self, primaries: &[SocketAddr], now: Moment) -> Vec<SocketAddr> {
        let is_stepless = |primary: &&SocketAddr| {
            let until = self.stepless.get(primary);
            until.is_some_and(|until| *until > now)
        };
        primaries.iter().filter(is_stepless).copied().collect()
    }

    /// Notes primaries that said that they know no incremental transfers.
    pub fn record_stepless(&mut self, primaries: &[SocketAddr], now: Moment) {
        let until = now + STEPLESS_FOR;
        self.stepless
            .extend(primaries.iter().map(|primary| (*primary, until)));
    }

    /// Notes that a primary did not answer. Returns whether it is away since now.
    pub fn record_unreached(&mut self, silence: &Silence<'_>, now: Moment) -> bool {
        let primary = silence.primary;
        let silent = self.silent.entry(primary).or_default();
        if let Asked::One(zone) = silence.asked
            // No more names than decide anything are kept, however many zones the primary has.
            && silent.len() < silence.enough
        {
            silent.insert(zone.clone());
        }
        let is_away = matches!(silence.asked, Asked::Many) || silent.len() >= silence.enough;
        if !is_away || self.away.contains_key(&primary) {
            return false;
        }
        self.away.insert(primary, now);
        true
    }

    /// Notes that a primary was reached. Returns since when it could not be, if so.
    pub fn record_reached(&mut self, primary: SocketAddr) -> Option<Moment> {
        self.silent.remove(&primary);
        self.away.remove(&primary)
    }

    /// Returns whether none of `primaries` can be reached.
    pub fn are_away(&self, primaries: &[SocketAddr]) -> bool {
        primaries
            .iter()
            .all(|primary| self.away.contains_key(primary))
    }

    /// Notes how primaries did. One that is in both lists failed.
    pub fn note(&mut self, answered: &[SocketAddr], failed: &[SocketAddr], now: Moment) {
        for primary in answered {
            if !failed.contains(primary) {
                self.rests.remove(primary);
            }
        }
        for primary in failed {
            let rest = self.rests.entry(*primary).or_insert(Rest {
                failures: 0,
                until: now,
            });
            // Many zones of one primary fail at once; they are one failure.
            if rest.until <= now {
                // Bounded before the shift: after 63 failures it would overflow.
                let seconds = REST_FIRST.as_seconds() << rest.failures.min(10);
                rest.until = now + Span::seconds(seconds.min(REST_MAX.as_seconds()));
                rest.failures += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_primary_rests_longer_each_time_and_never_all_of_them() {
        let [a, b]: [SocketAddr; 2] =
            ["192.0.2.1:53", "192.0.2.2:53"].map(|text| text.parse().expect("an address"));
        let at = Moment::from_seconds;
        let mut backoff = Backoff::default();
        backoff.note(&[b], &[a], at(0));
        assert_eq!(backoff.choose(&[a, b], at(29)), (vec![b], 1));
        assert_eq!(backoff.choose(&[a], at(29)), (vec![a], 0));
        assert_eq!(backoff.choose(&[a, b], at(30)), (vec![a, b], 0));
        backoff.note(&[b], &[a], at(30));
        assert_eq!(backoff.choose(&[a, b], at(89)), (vec![b], 1));
        backoff.note(&[a, b], &[], at(90));
        assert_eq!(backoff.choose(&[a, b], at(90)), (vec![a, b], 0));
    }

    #[test]
    fn a_primary_is_away_when_several_zones_in_a_row_are_not_answered() {
        let primary: SocketAddr = "192.0.2.1:53".parse().expect("an address");
        let names = ["a.example", "b.example", "c.example"];
        let names = names.map(|text| Name::parse(text).expect("a name"));
        let at = Moment::from_seconds;
        let mut backoff = Backoff::default();
        let silence = |asked| Silence {
            primary,
            asked,
            enough: 3,
        };
        // One zone that it never answers, between others that it does.
        for turn in 0..5 {
            assert!(!backoff.record_unreached(&silence(Asked::One(&names[0])), at(turn)));
            assert_eq!(backoff.record_reached(primary), None);
        }
        let away = names
            .each_ref()
            .map(|name| backoff.record_unreached(&silence(Asked::One(name)), at(10)));
        assert_eq!(away, [false, false, true]);
        assert!(
            !backoff.record_unreached(&silence(Asked::Many), at(11)),
            "that is known"
        );
        assert_eq!(backoff.record_reached(primary), Some(at(10)));
        assert!(backoff.record_unreached(&silence(Asked::Many), at(12)));
    }
}
