//! Notices: approved or rejected by somebody, then queued as they were approved.

use crate::case::SendReason;
use crate::mailer::is_same_address;
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::Notify;
use crate::pipeline::notify::compose::ACTOR;
use crate::pipeline::notify::compose::CaseMail;
use crate::pipeline::notify::reports::notice_basis;
use crate::store::{CaseRow, MailKind, NoticeRow, NoticeState};

/// What became of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// It stands, and the notice is queued with the next pass over the outbox.
    Approved(Box<NoticeRow>),
    /// The case changed since it was drafted: there is a new draft to be looked at.
    Redrafted,
    /// The case changed, and there is nothing to be told any more.
    Void,
    /// Nothing waits for this recipient.
    NoDraft,
}

impl Notify<'_> {
    /// Approves the draft for a recipient: what is approved is what will be sent.
    ///
    /// # Errors
    ///
    /// [`PipelineError`].
    pub fn approve_notice(
        &self,
        row: &CaseRow,
        recipient: &str,
        by: &str,
        note: Option<&str>,
    ) -> Result<Approval, PipelineError> {
        let now = self.clock.now();
        let tx = self.store.begin_batch()?;
        let Some(notice) = self.draft_for(row.id, recipient)? else {
            return Ok(Approval::NoDraft);
        };
        if notice.basis != notice_basis(&row.case) {
            self.store
                .desk()
                .move_notice(notice.id, NoticeState::Void, None)?;
            let drafted = self.draft_anew(row, recipient)?;
            tx.commit()?;
            return Ok(if drafted {
                Approval::Redrafted
            } else {
                Approval::Void
            });
        }
        self.store
            .desk()
            .move_notice(notice.id, NoticeState::Approved, Some((by, now, note)))?;
        let line = format!("notice to {recipient} approved, sha256 {}", notice.sha256);
        self.store
            .desk()
            .append_case_event(row.id, now, row.case.state, by, &line)?;
        tx.commit()?;
        Ok(Approval::Approved(Box::new(notice)))
    }

    /// Rejects the draft for a recipient. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`PipelineError`].
    pub fn reject_notice(
        &self,
        row: &CaseRow,
        recipient: &str,
        by: &str,
        note: Option<&str>,
    ) -> Result<bool, PipelineError> {
        let now = self.clock.now();
        let tx = self.store.begin_batch()?;
        let Some(notice) = self.draft_for(row.id, recipient)? else {
            return Ok(false);
        };
        self.store
            .desk()
            .move_notice(notice.id, NoticeState::Rejected, Some((by, now, note)))?;
        let line = match note {
            Some(note) => format!("notice to {recipient} rejected: {note}"),
            None => format!("notice to {recipient} rejected"),
        };
        self.store
            .desk()
            .append_case_event(row.id, now, row.case.state, by, &line)?;
        tx.commit()?;
        Ok(true)
    }

    /// Queues the notices that are approved; one whose case changed meanwhile is void instead.
    pub(in crate::pipeline) fn queue_approved_notices(&self) -> Result<(), PipelineError> {
        for notice in self.store.desk().approved_notices()? {
            let Some(id) = notice.message.case_id else {
                continue;
            };
            let Some(row) = self.store.desk().case_by_id(id)? else {
                continue;
            };
            let now = self.clock.now();
            let recipient = &notice.message.recipient;
            let tx = self.store.begin_batch()?;
            let line = if notice.basis == notice_basis(&row.case) {
                self.store.desk().queue_message(&notice.message, now)?;
                self.store
                    .desk()
                    .move_notice(notice.id, NoticeState::Queued, None)?;
                format!("notice to {recipient} queued")
            } else {
                self.store
                    .desk()
                    .move_notice(notice.id, NoticeState::Void, None)?;
                self.draft_anew(&row, recipient)?;
                format!("the approval of the notice to {recipient} is void: the case changed")
            };
            tracing::info!(case = id, "case {id}: {line}");
            self.store
                .desk()
                .append_case_event(id, now, row.case.state, ACTOR, &line)?;
            tx.commit()?;
        }
        Ok(())
    }

    /// Returns the draft that waits for a recipient.
    fn draft_for(&self, case_id: i64, recipient: &str) -> Result<Option<NoticeRow>, PipelineError> {
        let notices = self.store.desk().notices_of_case(case_id)?.into_iter();
        let mut drafts = notices.filter(|it| {
            it.state == NoticeState::Drafted && is_same_address(&it.message.recipient, recipient)
        });
        Ok(drafts.next_back())
    }

    /// Drafts a notice anew for a case that changed. Returns whether there is anything to tell.
    fn draft_anew(&self, row: &CaseRow, recipient: &str) -> Result<bool, PipelineError> {
        let found = self
            .findings
            .find(&row.case.domain, row.case.evaluated_at)?;
        let is_told = row.case.reported && row.case.level == crate::detector::Level::Report;
        let Some(finding) = found.finding.filter(|_| is_told) else {
            return Ok(false);
        };
        let now = self.clock.now();
        let mail = CaseMail {
            case_id: row.id,
            case: &row.case,
            finding: Some(&finding),
            kind: MailKind::Notice,
            reason: SendReason::Asked,
            now,
        };
        let mut addressees = self.notice_addressees(&finding).into_iter();
        let to = addressees.find(|to| is_same_address(&to.address, recipient));
        let Some(to) = to else {
            return Ok(false);
        };
        self.draft_for_addressee(&mail, &to)?;
        Ok(true)
    }
}
