//! Notices to third parties, and a case's mail asked for once more.

use crate::case::{Exemption, exemption_of};
use crate::desk::error::DeskError;
use crate::mailer::is_same_address;
use crate::pipeline::{Approval, Pipeline};
use crate::report::case_reference;
use crate::store::{CaseRow, NoticeRow, NoticeState, Store};
use crate::time::Timestamp;

/// A decision on the draft for a recipient.
#[derive(Debug, Clone, Copy)]
pub struct NoticeDecision<'a> {
    /// To whom the notice is.
    pub recipient: &'a str,
    /// Who decides.
    pub who: &'a str,
    /// What he says of it.
    pub note: Option<&'a str>,
}

impl NoticeDecision<'_> {
    /// Approves the draft, in one transaction with its log line: what is approved is what will be sent.
    ///
    /// # Errors
    ///
    /// [`DeskError::Refused`] if the case changed since it was drafted; [`DeskError::NotFound`] if nothing waits.
    pub fn approve(&self, pipeline: &Pipeline, row: &CaseRow) -> Result<NoticeRow, DeskError> {
        match pipeline
            .notify()
            .approve_notice(row, self.recipient, self.who, self.note)?
        {
            Approval::Approved(notice) => Ok(*notice),
            Approval::Redrafted => Err(DeskError::refused(
                "the case changed since that was drafted; there is a new draft",
            )
            .with_hint("look at it: fluxwatch report preview CASE --to ADDRESS")),
            Approval::Void => Err(DeskError::refused(
                "the case changed since that was drafted, and there is nothing to tell any more",
            )),
            Approval::NoDraft => Err(no_draft(row, self.recipient)),
        }
    }

    /// Rejects the draft, in one transaction with its log line.
    ///
    /// # Errors
    ///
    /// [`DeskError::NotFound`] if nothing waits.
    pub fn reject(&self, pipeline: &Pipeline, row: &CaseRow) -> Result<(), DeskError> {
        if pipeline
            .notify()
            .reject_notice(row, self.recipient, self.who, self.note)?
        {
            Ok(())
        } else {
            Err(no_draft(row, self.recipient))
        }
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

/// Returns the error where nothing waits for a recipient.
fn no_draft(row: &CaseRow, recipient: &str) -> DeskError {
    let case = case_reference(row.id);
    DeskError::not_found(format!(
        "no notice of case {case} to {recipient} waits for approval"
    ))
    .with_hint("fluxwatch cases show CASE lists its notices")
}

/// Returns the notices that wait for approval, by recipient.
///
/// # Errors
///
/// [`DeskError::Store`].
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
///
/// # Errors
///
/// [`DeskError::Pipeline`].
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
/// [`DeskError::Pipeline`].
pub fn send_again(pipeline: &Pipeline, row: &CaseRow, who: &str) -> Result<usize, DeskError> {
    Ok(pipeline.notify().send_again(row.id, who)?)
}
