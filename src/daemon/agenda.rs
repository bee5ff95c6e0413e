//! What is due when.

use std::collections::BTreeSet;

use crate::time::{Span, Timestamp};

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
    fn jitter_stays_below_its_width_and_spreads() {
        let at = Timestamp::from_unix(1_800_000_000);
        let all: BTreeSet<i64> = (0..100)
            .map(|n| jitter_of(&format!("s{n}"), at, Span::seconds(60)).as_seconds())
            .collect();
        assert!(all.len() > 20 && all.iter().all(|late| (0..60).contains(late)));
        assert_eq!(jitter_of("s", at, Span::seconds(0)), Span::seconds(0));
    }
}
