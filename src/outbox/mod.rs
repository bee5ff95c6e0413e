//! When a message is tried again, and when it is given up. Pure; the rows live in the store.

use crate::time::{Span, Timestamp};

/// Waits after the first, second, ... failed attempt; the last repeats.
const BACKOFF: [Span; 5] = [
    Span::seconds(60),
    Span::seconds(300),
    Span::seconds(900),
    Span::hours(1),
    Span::hours(4),
];
/// The longest wait of [`BACKOFF`]. A message that waits for longer was planned by a clock that was wrong.
pub const WAIT_MAX: Span = BACKOFF[BACKOFF.len() - 1];
/// How long a message that passing faults keep from leaving is tried, unless the configuration says so.
pub const GIVE_UP: Span = Span::days(14);
/// How much of a wait is left to chance, in per cent: messages that waited for one server do not all come
/// back at once.
const JITTER_PERCENT: i64 = 20;
/// How long a message may be in the hands of one process before another may try it.
pub const LEASE: Span = Span::seconds(600);

/// Begins what is noted of a message that a server may have: it was handed over and not answered, or the attempt was
/// broken off. It stays, whatever later attempts end in.
pub const PERHAPS_SENT: &str = "perhaps sent; ";

/// What a log says of a message that somebody named to have it tried again...
pub const ASKED_BY_NUMBER: &str = "asked for by its number, to be tried again";
/// ...and of one that is tried again with all others.
pub const TRIED_AGAIN: &str = "to be tried again";

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The server took it.
    Delivered(String),
    /// The server said that it may pass.
    Passing(String),
    /// The server was not reached, or did not answer.
    Unreachable(String),
    /// The server refused it for good.
    Refused(String),
}

impl Attempt {
    /// Returns it as that of a message that was handed over, where nobody said whether it was taken.
    pub fn perhaps_sent(self) -> Self {
        match self {
            Self::Passing(reply) => Self::Passing(format!("{PERHAPS_SENT}{reply}")),
            Self::Unreachable(reply) => Self::Unreachable(format!("{PERHAPS_SENT}{reply}")),
            answered => answered,
        }
    }
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Done.
    Sent,
    /// Tried again at this time.
    RetryAt(Timestamp),
    /// Kept, shown, and tried again only when somebody asks.
    Dead,
}

/// What is known of a message when an attempt has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// How many attempts there were, from 1.
    pub attempt_count: u32,
    /// Since when it is tried: when it was queued, or somebody last asked for it.
    pub since: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// How long it is tried.
    pub give_up: Span,
    /// A number that differs between messages; the jitter is made of it.
    pub seed: u64,
}

/// Decides what becomes of a message after an attempt.
pub fn after_attempt(attempt: &Attempt, tried: &Tried) -> Next {
    match attempt {
        Attempt::Delivered(_) => Next::Sent,
        Attempt::Refused(_) => Next::Dead,
        Attempt::Passing(_) | Attempt::Unreachable(_)
            if tried.now.since(tried.since) >= tried.give_up =>
        {
            Next::Dead
        }
        Attempt::Passing(_) | Attempt::Unreachable(_) => {
            let step = (tried.attempt_count.max(1) as usize - 1).min(BACKOFF.len() - 1);
            let wait = BACKOFF[step].as_seconds();
            // Never longer than the step: 4 hours are a promise.
            let spread = (wait * JITTER_PERCENT / 100).max(1);
            let mixed = tried
                .seed
                .wrapping_add(u64::from(tried.attempt_count))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let early = ((mixed >> 33) as i64) % spread;
            Next::RetryAt(tried.now + Span::seconds(wait - early))
        }
    }
}

/// Returns what a server said without what could write to a terminal or turn the direction of text: such
/// characters become `?`.
pub fn plain_reply(reply: &str) -> String {
    let is_mark = |it: char| matches!(it, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = |it: char| {
        if it.is_control() || is_mark(it) {
            '?'
        } else {
            it
        }
    };
    reply.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_lose_what_writes_to_a_terminal() {
        assert_eq!(
            plain_reply("550 \u{1b}[2Jno\u{7}\u{9b}1m\r\n\u{202e}ö"),
            "550 ?[2Jno??1m???ö"
        );
    }

    #[test]
    fn passing_faults_are_retried_for_two_weeks_and_refusals_never() {
        let start = Timestamp::from_unix(0);
        let passing = Attempt::Passing("451 later".to_owned());
        let tried = |attempt_count, now, seed| Tried {
            attempt_count,
            since: start,
            now,
            give_up: GIVE_UP,
            seed,
        };
        for seed in 0..100 {
            for (attempt_count, wait) in [(1, 60), (2, 300), (5, 14_400), (40, 14_400)] {
                let Next::RetryAt(at) = after_attempt(&passing, &tried(attempt_count, start, seed))
                else {
                    panic!("retried");
                };
                let waited = at.since(start).as_seconds();
                assert!(
                    waited <= wait && waited > wait * 79 / 100,
                    "{waited} of {wait}"
                );
            }
        }
        assert_ne!(
            after_attempt(&passing, &tried(5, start, 1)),
            after_attempt(&passing, &tried(5, start, 2))
        );
        assert_eq!(
            after_attempt(&passing, &tried(40, start + GIVE_UP, 1)),
            Next::Dead
        );
        assert_eq!(
            after_attempt(&Attempt::Refused("550 no".to_owned()), &tried(1, start, 1)),
            Next::Dead
        );
    }
}
