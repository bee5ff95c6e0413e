//! Notices to third parties, and a case's mail asked for once more.

use crate::case::{Exemption, StopReason, check_note, exemption_of};
use crate::desk::error::DeskError;
use crate::desk::step::{check_seen, find_by_id, invalid_text};
use crate::mailer::is_same_address;
use crate::pipeline::{Approval, Deciding, Edit, Pipeline};
use crate::report::case_reference;
use crate::store::{CaseRow, NoticeRow, NoticeState, Store};
use crate::time::Timestamp;

/// The most characters that a person may add to a notice.
const PARAGRAPH_LENGTH_MAX: usize = 2000;

/// A decision on the draft for a recipient.
#[derive(Debug, Clone, Copy)]
pub struct NoticeDecision<'a> {
    /// To whom the notice is.
    pub recipient: &'a str,
    /// Who decides.
    pub who: &'a str,
    /// What he says of it.
    pub note: Option<&'a str>,
    /// The SHA-256 of the octets that he saw; `None` if he takes it as it is.
    pub seen: Option<&'a str>,
}

impl NoticeDecision<'_> {
    /// Returns it as the pipeline takes it.
    fn deciding(&self) -> Deciding<'_> {
        Deciding {
            recipient: self.recipient,
            by: self.who,
            note: self.note,
            seen: self.seen,
        }
    }

    /// Approves the draft, in one transaction with its log line: what is approved is what will be sent.
    ///
    /// # Errors
    ///
    /// [`DeskError::Refused`] if the case changed since it was drafted; [`DeskError::NotFound`] if nothing waits;
    /// [`DeskError::Invalid`] for a note that is too long.
    pub fn approve(&self, pipeline: &Pipeline, row: &CaseRow) -> Result<NoticeRow, DeskError> {
        self.check_note()?;
        check_tables(pipeline)?;
        match pipeline.notify().approve_notice(row.id, &self.deciding())? {
            Approval::Approved(notice) => Ok(*notice),
            Approval::Redrafted => Err(DeskError::refused(
                "the case changed since that was drafted; there is a new draft",
            )
            .with_hint("look at it: fluxwatch report preview CASE --to ADDRESS")),
            Approval::Void => Err(DeskError::refused(
                "the case changed since that was drafted, and there is no new draft; the log of the case says why if one cannot be made",
            )),
            Approval::Stopped(reason) => Err(DeskError::refused(format!(
                "{reason}: nothing is sent, and the draft is void"
            ))),
            Approval::NoDraft => Err(no_draft(row, self.recipient)),
            Approval::OwnEdit => Err(DeskError::refused(
                "you wrote into this draft, or into one that it replaces: another person has to approve it",
            )
            .with_hint("[web] approve_by_other asks for it")),
        }
    }

    /// Writes a paragraph into the draft, in one transaction with its log line: the draft after it has the octets that
    /// would be sent.
    ///
    /// # Errors
    ///
    /// [`DeskError::Invalid`] for a paragraph that is too long; [`DeskError::Stale`] if the draft is another one now;
    /// [`DeskError::Refused`] if no draft with this paragraph can be made.
    pub fn edit(
        &self,
        pipeline: &Pipeline,
        row: &CaseRow,
        paragraph: &str,
    ) -> Result<(), DeskError> {
        check_tables(pipeline)?;
        let paragraph = paragraph.replace("\r\n", "\n");
        let paragraph = paragraph.trim();
        if paragraph.chars().count() > PARAGRAPH_LENGTH_MAX {
            let what = format!("a paragraph has at most {PARAGRAPH_LENGTH_MAX} characters");
            return Err(DeskError::invalid(what));
        }
        match pipeline
            .notify()
            .edit_notice(row.id, &self.deciding(), paragraph)?
        {
            Edit::Drafted(_) => Ok(()),
            Edit::Another => Err(DeskError::Stale(case_reference(row.id))),
            // The page shows the sentence alone, so the cure stands in it.
            Edit::Unmade => Err(DeskError::refused(format!(
                "no new draft to {} can be made, so the draft of before stands; see the log of fluxwatch, the templates and [[recipient]]",
                self.recipient
            ))),
        }
    }

    /// Queues what the draft says to an address of the desk, in one transaction with its log line.
    ///
    /// # Errors
    ///
    /// [`DeskError::NotFound`] if nothing waits.
    pub fn test(&self, pipeline: &Pipeline, row: &CaseRow, to: &str) -> Result<(), DeskError> {
        check_tables(pipeline)?;
        match pipeline
            .notify()
            .test_notice(row.id, &self.deciding(), to)?
        {
            true => Ok(()),
            false => Err(no_draft(row, self.recipient)),
        }
    }

    /// Rejects the draft, in one transaction with its log line.
    ///
    /// # Errors
    ///
    /// [`DeskError::NotFound`] if nothing waits; [`DeskError::Invalid`] for a note that is too long.
    pub fn reject(&self, pipeline: &Pipeline, row: &CaseRow) -> Result<(), DeskError> {
        self.check_note()?;
        if pipeline.notify().reject_notice(row.id, &self.deciding())? {
            Ok(())
        } else {
            Err(no_draft(row, self.recipient))
        }
    }

    /// Refuses a note that is too long.
    fn check_note(&self) -> Result<(), DeskError> {
        check_note(self.note).map_err(|fault| invalid_text(&fault))
    }

    /// Returns why the draft would not be sent though it were approved; `None` if it would.
    pub fn stop_of(
        &self,
        pipeline: &Pipeline,
        row: &CaseRow,
    ) -> Result<Option<StopReason>, DeskError> {
        let notify = pipeline.notify();
        Ok(notify.stop_of_notice(&row.case, self.recipient)?)
    }

    /// Returns the draft that would be decided on.
    ///
    /// # Errors
    ///
    /// [`DeskError::NotFound`] if nothing waits.
    pub fn find_draft(&self, pipeline: &Pipeline, row: &CaseRow) -> Result<NoticeRow, DeskError> {
        let notices = pipeline.store().desk().notices_of_case(row.id)?;
        let draft = notices.into_iter().rfind(|it| {
            it.state == NoticeState::Drafted
                && is_same_address(&it.message.recipient, self.recipient)
        });
        draft.ok_or_else(|| no_draft(row, self.recipient))
    }
}

/// Refuses what is decided of a notice while a table cannot be used: to whom it goes and who is exempt stand in tables.
fn check_tables(pipeline: &Pipeline) -> Result<(), DeskError> {
    match pipeline.waiting_for().first() {
        None => Ok(()),
        Some(fault) => {
            let fault = fault.in_one_line();
            Err(DeskError::refused(format!(
                "nothing was changed, for a table cannot be used: {fault}"
            ))
            .with_hint("try again once it is right; the draft waits"))
        }
    }
}

/// Returns the error where nothing waits for a recipient.
fn no_draft(row: &CaseRow, recipient: &str) -> DeskError {
    let case = case_reference(row.id);
    DeskError::not_found(format!(
        "no notice of case {case} to {recipient} waits for approval"
    ))
    .with_hint("fluxwatch cases show CASE lists its notices")
}

/// Returns the notices that wait for approval, by recipient.
pub fn waiting_notices(store: &Store) -> Result<Vec<NoticeRow>, DeskError> {
    let mut rows = store.desk().drafted_notices()?;
    rows.sort_by_cached_key(|row| {
        let message = &row.message;
        let recipient = message.recipient.to_lowercase();
        (recipient, row.drafted_at, message.case_id)
    });
    Ok(rows)
}

/// Returns the exemption that a case is held by: who asks for its mail gets it all the same.
pub fn exemption_of_case(
    pipeline: &Pipeline,
    row: &CaseRow,
    now: Timestamp,
) -> Result<Option<Exemption>, DeskError> {
    let found = pipeline
        .findings()
        .find(&row.case.domain, row.case.evaluated_at)?;
    let live = pipeline.store().desk().exemptions_in_force(now)?;
    let registration = pipeline.notify().registration_of(&row.case.domain);
    let account = registration.and_then(|it| it.account);
    Ok(found
        .finding
        .and_then(|finding| exemption_of(&live, &finding, account.as_deref(), now).cloned()))
}

/// Queues a case's mail to the desk once more, in one transaction with its log line. Returns how many messages.
///
/// # Errors
///
/// [`DeskError::Stale`] if the case is another than the one that was seen; [`DeskError::NotFound`] if it was taken away
/// meanwhile; [`DeskError::Pipeline`].
pub fn send_again(
    pipeline: &Pipeline,
    row: &CaseRow,
    who: &str,
    seen: Option<&str>,
) -> Result<usize, DeskError> {
    let store = pipeline.store();
    let tx = store.begin_batch()?;
    // Read in the transaction: a poller may have moved it since `row` was read.
    let row = find_by_id(store, row.id)?;
    check_seen(store, &row, seen)?;
    let count = pipeline.notify().send_again(&row, who)?;
    tx.commit()?;
    Ok(count)
}
