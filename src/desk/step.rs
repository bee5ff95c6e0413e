//! Steps with cases: acknowledge, dismiss, close, reopen, assign, note.

use crate::case::{
    Case, CaseEvent, CaseState, DeskStep, DismissReason, HoldReason, StepRefused, StopReason,
    TextUnfit, check_texts, take_step,
};
use crate::desk::error::DeskError;
use crate::pipeline::{Ending, Pipeline, Unsent, Withdrawal};
use crate::report::case_reference;
use crate::store::{CaseRow, Store};
use crate::time::Timestamp;

/// A step that somebody takes.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What is done.
    pub step: &'a DeskStep,
    /// What he says of it.
    pub note: Option<&'a str>,
    /// Who does it.
    pub who: &'a str,
    /// The mark of the case as he saw it; `None` if he takes it as it is.
    pub seen: Option<&'a str>,
}

/// Returns what tells a case as it stands from what it was before anything of it changed that its page shows: the last
/// line of its log, where it stands, and the last change.
pub fn mark_of(store: &Store, row: &CaseRow) -> Result<String, DeskError> {
    let (id, case) = (row.id, &row.case);
    let event = store.desk().last_event_of(id)?;
    let (state, level, revision) = (case.state.word(), case.level.word(), case.revision);
    let changed = case.last_change_at.unix();
    Ok(format!("{id}-{event}-{state}-{level}-{revision}-{changed}"))
}

/// Refuses what was decided on a page that is older than the case.
pub fn check_seen(store: &Store, row: &CaseRow, seen: Option<&str>) -> Result<(), DeskError> {
    match seen {
        Some(seen) if seen != mark_of(store, row)? => Err(DeskError::Stale(case_reference(row.id))),
        _ => Ok(()),
    }
}

/// Returns a case as it is now.
///
/// # Errors
///
/// [`DeskError::NotFound`] if it was taken away.
pub(super) fn find_by_id(store: &Store, id: i64) -> Result<CaseRow, DeskError> {
    let row = store.desk().case_by_id(id)?;
    row.ok_or_else(|| DeskError::not_found(format!("case {} was taken away", case_reference(id))))
}

/// Returns the error for a text that cannot be kept.
pub(super) fn invalid_text(fault: &TextUnfit) -> DeskError {
    DeskError::invalid(fault.to_string())
}

/// A step that was taken, or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The case as it is then.
    pub case: Case,
    /// What the log says of it.
    pub note: String,
    /// What is told of its end; `None` where nobody was told of the case, and where it goes on.
    pub ending: Option<Ending>,
    /// What waited to leave and does not any more.
    pub unsent: Unsent,
}

impl Taken {
    /// Returns what becomes of the case's mail, in words that follow on what was done; `verb` is `is` or `would be`.
    pub fn mail_words(&self, verb: &str) -> Option<String> {
        let ending = self.ending.as_ref().map(|it| ending_words(it, verb));
        let unsent = self.unsent.dropped_words(verb);
        let parts: Vec<String> = unsent.into_iter().chain(ending).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Returns how much of what waits about a case a step takes back, by what the case was and is.
fn withdrawal_of(before: &Case, after: &Case) -> Option<Withdrawal> {
    match after.state {
        state if state == before.state => None,
        CaseState::Open | CaseState::Acknowledged => None,
        CaseState::Dismissed => Some(Withdrawal::Everything),
        CaseState::Mitigated | CaseState::Closed => Some(Withdrawal::Notices),
    }
}

/// Returns what is told of a case's end, in words; `verb` is `is` or `would be`.
pub fn ending_words(ending: &Ending, verb: &str) -> String {
    match ending {
        Ending::Mailed(to) if to.is_empty() => format!("its end {verb} sent to the webhooks"),
        Ending::Mailed(to) => format!("a closure {verb} mailed to {}", to.join(", ")),
        // Whoever is the last of a thread: its lead's closure tells the end of all.
        Ending::Held(HoldReason::CampaignGoesOn) => {
            format!("a closure {verb} mailed once the others of its campaign are over")
        }
        Ending::Held(HoldReason::Campaign(lead)) => format!(
            "its end {verb} told in the closure of {}, once all that were told in its mails are over",
            case_reference(*lead)
        ),
        Ending::Held(reason) => format!("no closure {verb} mailed: {reason}"),
    }
}

/// Checks that a step says what it has to say.
///
/// # Errors
///
/// [`DeskError::Invalid`] for a note without text, and for another reason that nobody gives.
pub fn check_note(step: &DeskStep, note: Option<&str>) -> Result<(), DeskError> {
    let says_nothing = note.is_none_or(|note| note.trim().is_empty());
    match step {
        DeskStep::Note if says_nothing => {
            Err(DeskError::invalid("a note says something: --note TEXT"))
        }
        DeskStep::Dismiss(DismissReason::Other) if says_nothing => Err(DeskError::invalid(
            "--reason other needs a --note that says which",
        )),
        _ => Ok(()),
    }
}

impl Step<'_> {
    /// Takes it with one case, in one transaction with its log line and with what is told of it. Returns what was done,
    /// or why it cannot be.
    ///
    /// # Errors
    ///
    /// [`DeskError::NotFound`] if the case was taken away meanwhile; [`DeskError::Stale`] if it is another than the one
    /// that was seen; [`DeskError::Invalid`] for a note or an assignee that is too long.
    pub fn take(
        &self,
        pipeline: &Pipeline,
        id: i64,
        now: Timestamp,
    ) -> Result<Result<Taken, StepRefused>, DeskError> {
        self.take_with(pipeline, id, now, |_| Ok(()))
    }

    /// [`Step::take`], with what else is written in its transaction.
    ///
    /// # Errors
    ///
    /// As that, and those of `also`: then nothing is done.
    pub fn take_with(
        &self,
        pipeline: &Pipeline,
        id: i64,
        now: Timestamp,
        also: impl FnOnce(&Taken) -> Result<(), DeskError>,
    ) -> Result<Result<Taken, StepRefused>, DeskError> {
        let store = pipeline.store();
        let tx = store.begin_batch()?;
        let (before, case, event) = match self.decide(pipeline, id, now)? {
            Ok(taken) => taken,
            Err(fault) => return Ok(Err(fault)),
        };
        let events = std::slice::from_ref(&event);
        store.desk().save_case(&case)?;
        store.desk().append_case_events(id, events, self.who, now)?;
        let row = CaseRow {
            case,
            ..before.clone()
        };
        // Before the drop: of a case whose only mail is dropped, the answer says that no closure follows.
        let ending = pipeline.notify().ending_of_case(&row)?;
        let unsent = match withdrawal_of(&before.case, &row.case) {
            Some(what) => {
                let over = StopReason::Over(row.case.state);
                pipeline.notify().withdraw(&row, what, over)?
            }
            None => Unsent::default(),
        };
        let taken = Taken {
            case: row.case,
            note: event.note,
            ending,
            unsent,
        };
        pipeline.notify().notify_after_step(id)?;
        also(&taken)?;
        tx.commit()?;
        Ok(Ok(taken))
    }

    /// [`Step::take`], without doing it.
    ///
    /// # Errors
    ///
    /// As those.
    pub fn preview(
        &self,
        pipeline: &Pipeline,
        id: i64,
        now: Timestamp,
    ) -> Result<Result<Taken, StepRefused>, DeskError> {
        let (before, case, event) = match self.decide(pipeline, id, now)? {
            Ok(decided) => decided,
            Err(refused) => return Ok(Err(refused)),
        };
        let unsent = match withdrawal_of(&before.case, &case) {
            Some(what) => pipeline.notify().unsent_of(id, what)?,
            None => Unsent::default(),
        };
        let row = CaseRow { case, ..before };
        Ok(Ok(Taken {
            ending: pipeline.notify().ending_of_case(&row)?,
            case: row.case,
            note: event.note,
            unsent,
        }))
    }

    /// Returns the case as it is, what it would be, and its log line.
    fn decide(
        &self,
        pipeline: &Pipeline,
        id: i64,
        now: Timestamp,
    ) -> Result<Result<(CaseRow, Case, CaseEvent), StepRefused>, DeskError> {
        check_texts(self.step, self.note).map_err(|fault| invalid_text(&fault))?;
        // Read in the transaction: a poller may have moved it meanwhile.
        let row = find_by_id(pipeline.store(), id)?;
        check_seen(pipeline.store(), &row, self.seen)?;
        let taken = take_step(&row.case, self.step, self.note, now);
        Ok(taken.map(|(case, event)| (row, case, event)))
    }
}
