//! When the cases of a zone are looked at again.

use crate::time::Timestamp;

/// How the open cases of a zone are looked at at the end of a pass over its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) struct Look {
    /// The time of the source.
    pub(in crate::pipeline) now: Timestamp,
    /// By when every change is known; `now` or later.
    pub(in crate::pipeline) known_until: Timestamp,
    /// By when it is known of a delegation that it did not come back; `now` or later, and never after `known_until`.
    pub(in crate::pipeline) gone_until: Timestamp,
}

impl Look {
    /// That of a source whose time is the wall clock's.
    pub(in crate::pipeline) fn live(now: Timestamp) -> Self {
        Self {
            now,
            known_until: now,
            gone_until: now,
        }
    }

    /// Returns the later of two.
    pub(in crate::pipeline) fn or_later(self, other: Self) -> Self {
        Self {
            now: self.now.max(other.now),
            known_until: self.known_until.max(other.known_until),
            gone_until: self.gone_until.max(other.gone_until),
        }
    }
}
