//! When the whole zone is transferred although steps would do: what they lead to is compared with it.

use crate::config::FullEvery;
use crate::pipeline::error::PipelineError;
use crate::pipeline::ingest::Ingest;
use crate::store::ZoneState;
use crate::time::{Span, Timestamp};

/// From so many records on a zone is large. A whole transfer of so many takes seconds, of a hundredth of them
/// nobody notices it. Chosen by hand.
const LARGE_RECORDS_MIN: u64 = 1_000_000;
/// How often the whole of a zone that is not large is transferred.
const SMALL_EVERY: Span = Span::days(1);
/// How often the whole of a large zone is transferred.
const LARGE_EVERY: Span = Span::days(7);
/// A whole transfer comes later by up to this part of the time between two, so that zones that joined together
/// are not all due together.
const JITTER_PART: i64 = 4;
/// How long after a failure a whole transfer is tried again, at the latest.
const RETRY_MAX: Span = Span::hours(1);
/// The most members of a catalog whose whole transfer one pass begins because it is due.
pub(in crate::pipeline) const DUE_OF_CATALOG_MAX: usize = 500;

/// A zone that drifted so often within [`DRIFTS_WITHIN`] is transferred whole instead of by steps: else a primary
/// whose steps never fit would have every change excused. Chosen by hand.
// A version with drift accuses nobody; where that goes on, a name could hide in it.
const DRIFTS_MAX: u32 = 3;
/// See [`DRIFTS_MAX`].
const DRIFTS_WITHIN: Span = Span::days(7);

impl Ingest<'_> {
    /// Returns whether the steps of a zone's primaries can be relied upon.
    pub(in crate::pipeline) fn are_steps_sound(
        &self,
        zone: &ZoneState,
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        let count = self
            .store
            .lookup()
            .drift_count(zone.id, now - DRIFTS_WITHIN)?;
        Ok(count < DRIFTS_MAX)
    }
}

/// Returns how often the whole zone is transferred at the most; `None` for never.
pub(in crate::pipeline) fn shortest_every(every: FullEvery) -> Option<Span> {
    match every {
        FullEvery::Off => None,
        FullEvery::Span(span) => Some(span),
        FullEvery::Auto => Some(SMALL_EVERY),
    }
}

/// Returns how long after a failure a whole transfer is tried again.
pub(in crate::pipeline) fn retry_of(every: Option<Span>) -> Span {
    every.map_or(RETRY_MAX, |every| {
        Span::seconds(every.as_seconds().min(RETRY_MAX.as_seconds()))
    })
}

/// Returns whether the whole zone is to be transferred and compared at `now`. False before the first version,
/// which is whole anyway.
pub(in crate::pipeline) fn is_full_due(every: FullEvery, zone: &ZoneState, now: Timestamp) -> bool {
    if zone.version_id.is_none() {
        return false;
    }
    // What is held is looked at again each time, or nobody would see for how long.
    if zone.held && zone.whole_tried_at.is_some() && every != FullEvery::Off {
        return true;
    }
    let every = match every {
        FullEvery::Off => None,
        FullEvery::Span(span) => Some(span),
        FullEvery::Auto if zone.kept_count >= LARGE_RECORDS_MIN => Some(LARGE_EVERY),
        FullEvery::Auto => Some(SMALL_EVERY),
    };
    let retry = retry_of(every);
    // A clock that was set back does not put it off for ever.
    if zone
        .whole_tried_at
        .is_some_and(|at| at <= now && now < at + retry)
    {
        return false;
    }
    // The comparison that its steps called for did not come.
    if zone.is_suspect {
        return true;
    }
    let Some(every) = every else {
        return false;
    };
    zone.whole_at
        // A comparison of the future is none: the clock was ahead when it was noted.
        .is_none_or(|at| now < at || now >= at + every + jitter_of(zone, at, every))
}

/// Returns how much later than planned, different for each zone and time.
fn jitter_of(zone: &ZoneState, at: Timestamp, every: Span) -> Span {
    let width = every.as_seconds() / JITTER_PART;
    if width <= 0 {
        return Span::seconds(0);
    }
    // FNV-1a: spreading is all that is asked of it.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for octet in zone
        .apex
        .as_wire()
        .iter()
        .copied()
        .chain(at.unix().to_le_bytes())
    {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    }
    Span::seconds((hash >> 11) as i64 % width)
}
