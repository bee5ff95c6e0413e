//! Judges open cases anew that an earlier policy opened, once, before anything else is judged.
//!
//! The life of each case is replayed under this policy. A case that it would not have opened is closed, one that it
//! would not have raised so high is lowered, and the desk is told of all of them in one digest.

use crate::case::{Case, CaseEvent, CaseState, JUDGED_ANEW};
use crate::detector::{Level, POLICY_NUMBER, POLICY_VERSION};
use crate::pipeline::error::PipelineError;
use crate::pipeline::judge::Judge;
use crate::pipeline::notify::compose::ACTOR;
use crate::store::CaseRow;
use crate::time::{Span, Timestamp};

/// Where it is kept under which policy the open cases were judged.
const POLICY_JUDGED: &str = "policy_judged";
/// How long before its last change the life of a case is replayed: as far back as any window looks.
const REPLAYED_SPAN: Span = Span::days(7);

impl Judge<'_> {
    /// Judges the open cases anew, unless this policy has judged them. Does nothing while judging waits, and nothing
    /// more once `goes_on` says no: what was not done is done at the next start.
    pub fn judge_anew(&self, goes_on: &dyn Fn() -> bool) -> Result<(), PipelineError> {
        if self.parts.is_waiting()
            || self.store.desk().saved_number(POLICY_JUDGED)? == Some(POLICY_NUMBER)
        {
            return Ok(());
        }
        let cases = self
            .store
            .desk()
            .cases(&[CaseState::Open, CaseState::Acknowledged])?;
        let mut fallen = Vec::new();
        for row in cases {
            if !goes_on() {
                return Ok(());
            }
            let reading = self.store.begin_reading()?;
            let until = row.case.evaluated_at.max(row.case.last_change_at);
            if self.has_ended(&row.case, until)? {
                continue;
            }
            let peak = self.replay_case(&row.case)?;
            drop(reading);
            if peak < Some(row.case.peak_level) {
                fallen.push((row, peak));
            }
        }
        let tx = self.store.begin_batch()?;
        let is_reportable = fallen
            .iter()
            .any(|(row, _)| row.case.peak_level >= Level::Review);
        if is_reportable {
            self.notify.begin_digest_here()?;
        }
        let now = self.clock.now();
        for (row, peak) in fallen {
            self.lower_case(&row, peak, now)?;
        }
        if is_reportable {
            self.notify.write_digest()?;
        }
        self.store
            .desk()
            .save_number(POLICY_JUDGED, POLICY_NUMBER)?;
        Ok(tx.commit()?)
    }

    /// Returns the highest level that a case reaches under this policy; `None` if it is not even opened.
    fn replay_case(&self, case: &Case) -> Result<Option<Level>, PipelineError> {
        let until = case.evaluated_at.max(case.last_change_at);
        let since = (case.last_change_at - REPLAYED_SPAN).max(case.first_detected_at);
        let policy = &self.config.detect;
        self.replay_until(&case.domain, policy, [since, until], case.peak_level)
    }

    /// Lowers a case to the level that it reaches, or closes it where it reaches none.
    fn lower_case(
        &self,
        row: &CaseRow,
        peak: Option<Level>,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let (case, event) = lowered(&row.case, peak, now);
        let desk = self.store.desk();
        desk.save_case(&case)?;
        desk.append_case_events(row.id, std::slice::from_ref(&event), ACTOR, now)?;
        tracing::info!(domain = %case.domain, case = row.id, level = case.level.word(), "case {}, {}: {}", row.id, case.domain, event.note);
        Ok(())
    }
}

/// Returns what a case becomes whose highest level is `peak`, and what its log says.
fn lowered(case: &Case, peak: Option<Level>, now: Timestamp) -> (Case, CaseEvent) {
    let before = case.peak_level.word();
    let told = match (case.reported, case.told.at) {
        (true, Some(at)) => format!("; last reported at {at}"),
        _ => String::new(),
    };
    let (state, note) = match peak {
        None => (
            CaseState::Closed,
            format!(
                "closed: {JUDGED_ANEW} by policy {POLICY_VERSION}, which does not suspect it (level {before} before){told}"
            ),
        ),
        Some(peak) => (
            case.state,
            format!(
                "{JUDGED_ANEW} by policy {POLICY_VERSION}: level {} instead of {before}{told}",
                peak.word()
            ),
        ),
    };
    let mut after = Case {
        state,
        // Nobody is to be told that it ended: the digest tells.
        reported: false,
        pending_since: None,
        ..case.clone()
    };
    after.told.digest_due = false;
    match peak {
        None => (after.level, after.score) = (Level::Watch, 0.0),
        Some(peak) => (after.level, after.peak_level) = (case.level.min(peak), peak),
    }
    let event = CaseEvent {
        at: now,
        from: Some(case.state),
        to: state,
        note,
    };
    (after, event)
}
