//! Judges again what nothing new was seen of: what was found may have come to rest.
//!
//! A case is looked at again a whole number of hours after its last judgement, whenever somebody asks: so a history
//! that is imported at once is reviewed and reported at the same times as one that was followed.

use crate::pipeline::judge::Judge;
use crate::pipeline::judge::detect::REEVALUATE_AFTER;
use std::collections::HashSet;

use crate::case::Case;
use crate::detector::{DetectPolicy, Level};
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::judge::detect::Judged;
use crate::pipeline::outcome::PollOptions;
use crate::store::CaseRow;
use crate::time::{Span, Timestamp};

/// How many looks a day has.
const REEVALUATIONS_A_DAY: i64 = 24;

impl Judge<'_> {
    /// Judges the open cases of a zone up to `now`, or notes that they are to be.
    pub(in crate::pipeline) fn reevaluate(
        &self,
        apex: &Name,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        if let Some(docket) = &self.docket {
            docket.note_again(apex, now);
            return Ok(());
        }
        self.reevaluate_due(Some(apex), |_| true, now, options)
    }

    /// Judges the open cases of some zones of a source up to `now`, or notes that they are to be.
    pub(in crate::pipeline) fn reevaluate_swept(
        &self,
        source: &str,
        zones: &[Name],
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        let zones: HashSet<&Name> = zones.iter().collect();
        match &self.docket {
            Some(docket) => {
                // Few of many zones have an open case.
                let cases = self
                    .store
                    .desk()
                    .cases_to_judge(None, now - REEVALUATE_AFTER)?;
                let due = cases.into_iter().map(|row| row.case.zone);
                docket.note_sweep(source, due.filter(|it| zones.contains(it)).collect(), now);
                Ok(())
            }
            None => self.reevaluate_among(|zone| zones.contains(zone), now, options),
        }
    }

    /// Judges the open cases of some zones up to `now`.
    pub(in crate::pipeline) fn reevaluate_among(
        &self,
        is_among: impl Fn(&Name) -> bool,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        self.reevaluate_due(None, is_among, now, options)
    }

    /// Judges the open cases of a zone as they were looked at before a version of it came.
    pub(in crate::pipeline) fn reevaluate_before(
        &self,
        apex: &Name,
        version_at: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        self.reevaluate_due(Some(apex), |_| true, version_at - Span::seconds(1), options)
    }

    /// Judges the open cases of some zones at each look that was due by `now`.
    fn reevaluate_due(
        &self,
        apex: Option<&Name>,
        is_among: impl Fn(&Name) -> bool,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        if self.parts.is_waiting() {
            return Ok(());
        }
        loop {
            let cases = self
                .store
                .desk()
                .cases_to_judge(apex, now - REEVALUATE_AFTER)?;
            let among = cases.into_iter().filter(|row| is_among(&row.case.zone));
            if !self.reevaluate_case(among, now, options)? {
                return Ok(());
            }
        }
    }

    /// Judges cases at the look that is next for each. Returns whether there was any.
    fn reevaluate_case(
        &self,
        cases: impl Iterator<Item = CaseRow>,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<bool, PipelineError> {
        let mut cases = cases.peekable();
        let is_any = cases.peek().is_some();
        while cases.peek().is_some() {
            let mut judged = Judged::default();
            let reading = self.store.begin_reading()?;
            while let Some(row) = cases.next_if(|_| !judged.is_full()) {
                let at = next_reevaluation(&row.case, &self.config.detect, now);
                let judgement = self.judge_whole(&row.case.domain, at)?;
                let standing = self.standing(&row.case.domain, at)?;
                judged.add(row.case.domain, judgement, standing);
            }
            drop(reading);
            let tx = self.store.begin_batch()?;
            self.move_cases(judged, options)?;
            tx.commit()?;
        }
        Ok(is_any)
    }
}

/// Returns when a case that is due by `now` is judged next, a whole number of hours after the last time.
///
/// One whose report is held is judged every hour. Any other is judged at the last look by `now`, and once a day before
/// that: time alone closes it, and only changes make it worse. Of one of which nothing was found, or that was at level
/// report, time brings only the end of having stood still for long.
pub(in crate::pipeline) fn next_reevaluation(
    case: &Case,
    policy: &DetectPolicy,
    now: Timestamp,
) -> Timestamp {
    let hour = REEVALUATE_AFTER.as_seconds();
    let looks_until = |at: Timestamp| at.since(case.evaluated_at).as_seconds().div_euclid(hour);
    let is_quiet = case.level == Level::Watch && case.score <= 0.0;
    let looks = if case.pending_since.is_some() {
        1
    } else if is_quiet || case.peak_level == Level::Report {
        let settled_at = case.last_change_at + policy.settled_after;
        // The first look at which it has settled.
        looks_until(settled_at - Span::seconds(1)) + 1
    } else {
        REEVALUATIONS_A_DAY
    };
    let looks = looks.max(1).min(looks_until(now));
    case.evaluated_at + Span::seconds(looks.max(1) * hour)
}
