//! Judging what a docket holds, a matter at a time, beside those who add lines to a version.

use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::judge::Judge;
use crate::pipeline::judge::docket::{Docket, Matter, Subject, ZoneMatter};
use crate::pipeline::outcome::PollOptions;
use crate::store::View;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Judges versions as long as what it is given says so. Returns whether none is left.
type Work<'a> = dyn Fn(&dyn Fn() -> bool) -> Result<bool, PipelineError> + 'a;

impl Judge<'_> {
    /// Returns the same, that leaves the judging to whoever empties a docket.
    pub(in crate::pipeline) fn later<'d>(&'d self, docket: &'d Docket) -> Judge<'d> {
        Judge {
            docket: Some(docket),
            ..*self
        }
    }

    /// Judges all that a docket holds, or leaves it to whoever judges here.
    pub(in crate::pipeline) fn take_over(
        &self,
        held: &Docket,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        for matter in held.take_all() {
            match (self.docket, matter.0) {
                (Some(docket), subject) => docket.put_back(Matter(subject)),
                (None, Subject::Zone(apex, zone)) => {
                    for view in zone.views {
                        self.judge_versions(&apex, view, options)?;
                    }
                    if let Some(look) = zone.again {
                        self.reevaluate(&apex, look, options)?;
                    }
                }
                (None, Subject::Sweep(_, sweep)) => {
                    self.reevaluate_among(|zone| sweep.zones.contains(zone), sweep.at, options)?;
                }
                // Who judges at once leaves nothing that is stored and not judged.
                (None, Subject::Stored) => {}
            }
        }
        Ok(self.store.lookup().write_judged()?)
    }

    /// Judges all that a pass over several sources stored, in the order of its times: what one of them tells of a time may
    /// stand in the next. Where one was not read to its end, what is of later times than it told of waits for the next
    /// pass, and so do the cases.
    pub(in crate::pipeline) fn take_over_in_order(
        &self,
        held: &Docket,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        match held.cut_at() {
            Some(None) => {
                tracing::warn!(
                    "a spool was not read to its end: nothing is judged before a pass that does; more time (limits.file) or smaller files help"
                );
                return Ok(());
            }
            until @ Some(Some(_)) => return self.judge_stored_until(until.flatten(), options),
            None => {}
        }
        if !held.is_empty() {
            self.judge_stored(options)?;
        }
        self.take_over(held, options)?;
        self.judge_seen_again(options)
    }

    /// Judges a matter of a docket, until it is done, `until` has come or `goes_on` says no. Returns what is left of
    /// it.
    ///
    /// # Errors
    ///
    /// [`PipelineError`]; what was judged before the fault stays judged.
    pub fn judge_matter(
        &self,
        docket: &Docket,
        matter: &Matter,
        until: Instant,
        options: &PollOptions,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Matter>, PipelineError> {
        let in_time = || goes_on() && Instant::now() < until;
        match &matter.0 {
            Subject::Zone(apex, zone) => {
                let goes_on = in_time;
                for (done, view) in zone.views.iter().enumerate() {
                    if !self.judge_view(docket, apex, *view, options, &goes_on)? {
                        let left = ZoneMatter {
                            views: zone.views[done..].to_vec(),
                            again: zone.again,
                        };
                        return Ok(Some(Matter(Subject::Zone(apex.clone(), left))));
                    }
                }
                if let Some(look) = zone.again {
                    self.reevaluate(apex, look, options)?;
                }
            }
            Subject::Sweep(_, sweep) => {
                self.reevaluate_among(|zone| sweep.zones.contains(zone), sweep.at, options)?;
            }
            Subject::Stored => {
                let count = |joined: &HashMap<Name, u64>| joined.values().sum();
                let judge = |goes_on: &dyn Fn() -> bool| self.judge_oldest(None, options, goes_on);
                if !self.judge_unjoined(docket, &count, &in_time, &judge)? {
                    return Ok(Some(Matter(Subject::Stored)));
                }
            }
        }
        // Once for all zones that are seen again, since what moved is looked for in all the others.
        if docket.is_empty() {
            self.judge_seen_again(options)?;
        }
        Ok(None)
    }

    /// Judges versions of a view as long as `goes_on` says so, and no lines are added to a version of its zone that may
    /// be judged. Returns whether none is left.
    fn judge_view(
        &self,
        docket: &Docket,
        apex: &Name,
        view: View,
        options: &PollOptions,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool, PipelineError> {
        let count = |joined: &HashMap<Name, u64>| joined.get(apex).copied().unwrap_or(0);
        let judge = |goes_on: &dyn Fn() -> bool| self.detect_some(apex, view, options, goes_on);
        self.judge_unjoined(docket, &count, goes_on, &judge)
    }

    /// Has `judge` judge versions as long as `goes_on` says so, and no lines are added to a version that may be judged:
    /// `count_of` says how often that was so. Returns whether none is left.
    ///
    /// What was judged is written before anybody may add lines to it: the commit that adds them takes that back.
    fn judge_unjoined(
        &self,
        docket: &Docket,
        count_of: &dyn Fn(&HashMap<Name, u64>) -> u64,
        goes_on: &dyn Fn() -> bool,
        judge: &Work<'_>,
    ) -> Result<bool, PipelineError> {
        let held = RefCell::new(Some(docket.joined()));
        let count = || held.borrow().as_deref().map(count_of);
        let (at_start, fault) = (count(), RefCell::new(None));
        let goes_on = || {
            if docket.joiner_count.load(Ordering::SeqCst) > 0 {
                if let Err(error) = self.store.lookup().write_judged() {
                    fault.replace(Some(error));
                    return false;
                }
                held.replace(None);
                docket.let_join();
                held.replace(Some(docket.joined()));
            }
            count() == at_start && goes_on()
        };
        let is_done = judge(&goes_on);
        if let Some(error) = fault.take() {
            self.store.lookup().forget_judged();
            return Err(error.into());
        }
        if is_done.is_err() {
            // Judged once more, to the same end.
            self.store.lookup().forget_judged();
        } else {
            self.store.lookup().write_judged()?;
        }
        Ok(is_done? && count() == at_start)
    }
}
