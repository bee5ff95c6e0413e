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
/// How long a message that passing faults keep from leaving is tried.
pub const GIVE_UP: Span = Span::days(14);
/// How long a message may be in the hands of one process before another may try it.
pub const LEASE: Span = Span::seconds(600);

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

/// Decides what becomes of a message after its `attempt_count`-th attempt (from 1).
pub fn after_attempt(
    attempt: &Attempt,
    attempt_count: u32,
    queued_at: Timestamp,
    now: Timestamp,
) -> Next {
    match attempt {
        Attempt::Delivered(_) => Next::Sent,
        Attempt::Refused(_) => Next::Dead,
        Attempt::Passing(_) | Attempt::Unreachable(_) if now.since(queued_at) >= GIVE_UP => {
            Next::Dead
        }
        Attempt::Passing(_) | Attempt::Unreachable(_) => {
            let step = (attempt_count.max(1) as usize - 1).min(BACKOFF.len() - 1);
            Next::RetryAt(now + BACKOFF[step])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_faults_are_retried_for_two_weeks_and_refusals_never() {
        let start = Timestamp::from_unix(0);
        let passing = Attempt::Passing("451 later".to_owned());
        assert_eq!(
            after_attempt(&passing, 1, start, start),
            Next::RetryAt(start + Span::seconds(60))
        );
        assert_eq!(
            after_attempt(&passing, 40, start, start),
            Next::RetryAt(start + Span::hours(4))
        );
        assert_eq!(
            after_attempt(&passing, 40, start, start + GIVE_UP),
            Next::Dead
        );
        assert_eq!(
            after_attempt(&Attempt::Refused("550 no".to_owned()), 1, start, start),
            Next::Dead
        );
    }
}
