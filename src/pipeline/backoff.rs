//! Which primaries are asked: one that fails rests for a while, longer each time.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::time::{Span, Timestamp};

/// How long a primary rests after its first failure; twice as long after each further one.
const REST_FIRST: Span = Span::seconds(30);
/// The longest rest.
const REST_MAX: Span = Span::seconds(1800);

/// What is known of primaries that failed lately.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    rests: HashMap<SocketAddr, Rest>,
    /// Primaries that know no incremental transfers, and until when that is believed.
    stepless: HashMap<SocketAddr, Timestamp>,
    /// Primaries that are away, and since when.
    away: HashMap<SocketAddr, Timestamp>,
}

/// How long it is believed that a primary knows no incremental transfers.
const STEPLESS_FOR: Span = Span::days(1);

/// A primary's rest.
#[derive(Debug, Clone, Copy)]
struct Rest {
    failures: u32,
    until: Timestamp,
}

impl Backoff {
    /// Returns those of `primaries` that are asked, in order, and how many rest. If all do, all are
    /// asked: the schedule has the last word.
    pub fn choose(&self, primaries: &[SocketAddr], now: Timestamp) -> (Vec<SocketAddr>, usize) {
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
    pub fn stepless(&self, primaries: &[SocketAddr], now: Timestamp) -> Vec<SocketAddr> {
        let is_stepless = |primary: &&SocketAddr| {
            let until = self.stepless.get(primary);
            until.is_some_and(|until| *until > now)
        };
        primaries.iter().filter(is_stepless).copied().collect()
    }

    /// Notes primaries that said that they know no incremental transfers.
    pub fn note_stepless(&mut self, primaries: &[SocketAddr], now: Timestamp) {
        let until = now + STEPLESS_FOR;
        self.stepless
            .extend(primaries.iter().map(|primary| (*primary, until)));
    }

    /// Notes that a primary cannot be reached. Returns whether that is new.
    pub fn note_away(&mut self, primary: SocketAddr, now: Timestamp) -> bool {
        let is_new = !self.away.contains_key(&primary);
        self.away.entry(primary).or_insert(now);
        is_new
    }

    /// Notes that a primary was reached. Returns since when it could not be, if so.
    pub fn note_back(&mut self, primary: SocketAddr) -> Option<Timestamp> {
        self.away.remove(&primary)
    }

    /// Returns whether none of `primaries` can be reached.
    pub fn are_away(&self, primaries: &[SocketAddr]) -> bool {
        primaries
            .iter()
            .all(|primary| self.away.contains_key(primary))
    }

    /// Notes how primaries did. One that is in both lists failed.
    pub fn note(&mut self, answered: &[SocketAddr], failed: &[SocketAddr], now: Timestamp) {
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
        let at = Timestamp::from_unix;
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
}
