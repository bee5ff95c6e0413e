//! Judging that waits: a table of `[enrich]` cannot be used, and the zones are watched meanwhile.
//!
//! A version that is not judged stays marked in its zone's row. When the table is right, everything that was stored
//! meanwhile is judged, in the order of its time, as it would have been.

use crate::pipeline::judge::Judge;
use std::collections::HashMap;

use crate::pipeline::error::PipelineError;
use crate::pipeline::outcome::PollOptions;
use crate::pipeline::parts::WAITS_KEY;
use crate::store::{Store, StoreError, ZoneState};
use crate::time::Timestamp;

/// How many stored versions are judged before it is asked anew which is the oldest.
const VERSIONS_AT_A_TIME: usize = 1000;

/// Returns whether the poller last found that a table cannot be used, so that nothing is judged.
pub fn judging_waits(store: &Store) -> Result<bool, StoreError> {
    Ok(store.desk().saved_number(WAITS_KEY)?.unwrap_or(0) > 0)
}

impl Judge<'_> {
    /// Judges every version of every zone that was stored while judging waited, or by a program that was killed
    /// before it judged, in the order of their times. Does nothing while judging waits.
    pub fn judge_stored(&self, options: &PollOptions) -> Result<(), PipelineError> {
        self.judge_stored_until(None, options)
    }

    /// [`Judge::judge_stored`] of what is of a time or an earlier one, if one is given.
    pub(in crate::pipeline) fn judge_stored_until(
        &self,
        until: Option<Timestamp>,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        while !self.parts.is_waiting() && !self.judge_oldest(until, options, &|| true)? {}
        Ok(self.store.lookup().write_judged()?)
    }

    /// Judges the oldest versions that are stored and not judged, of whatever zone, as long as `goes_on` says so, and those of
    /// times after `until` not, if that is given. Returns whether none is left. What was imported is left to whoever
    /// imported it.
    ///
    /// A version's turn is never before that of one of its zone that was stored before it: the zone's row says up to
    /// which one it is judged.
    pub(in crate::pipeline) fn judge_oldest(
        &self,
        until: Option<Timestamp>,
        options: &PollOptions,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool, PipelineError> {
        self.store.lookup().write_judged()?;
        let versions = self.store.lookup().oldest_to_judge(VERSIONS_AT_A_TIME)?;
        let count = versions.len();
        if count > 0 {
            tracing::info!(
                count,
                "judging {count} versions that were stored and not judged"
            );
        }
        let mut zones: HashMap<_, Option<ZoneState>> = HashMap::new();
        for waiting in versions {
            if !goes_on() {
                return Ok(false);
            }
            if until.is_some_and(|until| waiting.at > until) {
                // Those that follow are no older, or were stored after it in its zone.
                return Ok(true);
            }
            let key = (waiting.apex, waiting.view);
            if !zones.contains_key(&key) {
                let zone = self.store.zones().find_view(&key.0, key.1)?;
                zones.insert(key.clone(), zone);
            }
            if let Some(Some(zone)) = zones.get(&key) {
                self.detect_version(zone, waiting.version_id, waiting.at, options)?;
            }
        }
        Ok(count < VERSIONS_AT_A_TIME)
    }
}
