//! Notices: approved or rejected by somebody, then queued as they were approved.

use crate::case::{SendReason, StopReason};
use crate::mailer::is_same_address;
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::Notify;
use crate::pipeline::notify::compose::ACTOR;
use crate::pipeline::notify::compose::{Addressee, CaseMail};
use crate::pipeline::notify::reports::notice_basis;
use crate::store::{CaseRow, MailKind, NewMessage, NoticeRow, NoticeState};

/// What became of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// It stands, and the notice is queued with the next pass over the outbox.
    Approved(Box<NoticeRow>),
    /// The case changed since it was drafted: there is a new draft to be looked at.
    Redrafted,
    /// The case changed, and there is no new draft: nothing is to be told any more, or the mail cannot be made.
    Void,
    /// The notice may not leave, whatever it says, and its draft is void.
    Stopped(StopReason),
    /// Nothing waits for this recipient.
    NoDraft,
    /// Who decides wrote into the draft or into one that it replaces, and another has to approve it.
    OwnEdit,
}

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// The notice of this number is the new draft.
    Drafted(i64),
    /// The draft is another than the one that was seen. Nothing was changed.
    Another,
    /// A draft with this paragraph cannot be made. Nothing was changed.
    Unmade,
}

/// A decision on the draft for a recipient.
#[derive(Debug, Clone, Copy)]
pub struct Deciding<'a> {
    /// To whom it is.
    pub recipient: &'a str,
    /// Who decides.
    pub by: &'a str,
    /// What he says of it.
    pub note: Option<&'a str>,
    /// The SHA-256 of the octets that he saw; `None` if he takes it as it is.
    pub seen: Option<&'a str>,
}

impl Notify<'_> {
    /// Approves the draft for a recipient: what is approved is what will be sent.
    pub fn approve_notice(
        &self,
        id: i64,
        deciding: &Deciding<'_>,
    ) -> Result<Approval, PipelineError> {
        let (now, recipient, by) = (self.clock.now(), deciding.recipient, deciding.by);
        let tx = self.store.begin_batch()?;
        // Both are read in the transaction: a poller may have moved the case meanwhile.
        let row = self.store.desk().case_by_id(id)?;
        let Some((row, notice)) = row.zip(self.draft_for(id, recipient)?) else {
            return Ok(Approval::NoDraft);
        };
        if let Some(reason) = self.stop_of_notice(&row.case, recipient)? {
            self.void_notice(&row, &notice, reason)?;
            tx.commit()?;
            return Ok(Approval::Stopped(reason));
        }
        if notice.basis != notice_basis(&row.case) {
            let step = (notice.state, NoticeState::Void);
            self.store.desk().move_notice(notice.id, step, None)?;
            let drafted = self.draft_anew(&row, recipient, None)?.is_some();
            tx.commit()?;
            return Ok(if drafted {
                Approval::Redrafted
            } else {
                Approval::Void
            });
        }
        if is_another(&notice, deciding) {
            return Ok(Approval::Redrafted);
        }
        let web = self.config.web.as_ref();
        let is_own = notice.edited.as_ref().is_some_and(|edit| edit.is_by(by));
        if is_own && web.is_some_and(|web| web.approve_by_other) {
            return Ok(Approval::OwnEdit);
        }
        let decided = Some((by, now, deciding.note));
        let step = (notice.state, NoticeState::Approved);
        self.store.desk().move_notice(notice.id, step, decided)?;
        let line = format!("notice to {recipient} approved, sha256 {}", notice.sha256);
        self.store
            .desk()
            .append_case_event(id, now, row.case.state, by, &line)?;
        tx.commit()?;
        Ok(Approval::Approved(Box::new(notice)))
    }

    /// Rejects the draft for a recipient. Returns whether there was one.
    pub fn reject_notice(&self, id: i64, deciding: &Deciding<'_>) -> Result<bool, PipelineError> {
        let (now, recipient, by) = (self.clock.now(), deciding.recipient, deciding.by);
        let tx = self.store.begin_batch()?;
        let row = self.store.desk().case_by_id(id)?;
        let Some((row, notice)) = row.zip(self.draft_for(id, recipient)?) else {
            return Ok(false);
        };
        if is_another(&notice, deciding) {
            return Ok(false);
        }
        let decided = Some((by, now, deciding.note));
        let step = (notice.state, NoticeState::Rejected);
        self.store.desk().move_notice(notice.id, step, decided)?;
        let line = match deciding.note {
            Some(note) => format!("notice to {recipient} rejected: {note}"),
            None => format!("notice to {recipient} rejected"),
        };
        self.store
            .desk()
            .append_case_event(id, now, row.case.state, by, &line)?;
        tx.commit()?;
        Ok(true)
    }

    /// Writes a paragraph into the draft for a recipient, in the place of the one that was there: a new draft, with the
    /// octets that would be sent. It waits for approval whoever its recipient is, since a person wrote it.
    pub fn edit_notice(
        &self,
        id: i64,
        deciding: &Deciding<'_>,
        paragraph: &str,
    ) -> Result<Edit, PipelineError> {
        let (recipient, by) = (deciding.recipient, deciding.by);
        let tx = self.store.begin_batch()?;
        let row = self.store.desk().case_by_id(id)?;
        let Some((row, notice)) = row.zip(self.draft_for(id, recipient)?) else {
            return Ok(Edit::Another);
        };
        // What the case says now goes into the new draft, also if it changed since this one was made.
        if is_another(&notice, deciding) {
            return Ok(Edit::Another);
        }
        // Without a new draft nothing is committed: the one of before stands as it was.
        let Some(drafted) = self.draft_anew(&row, recipient, Some(paragraph))? else {
            return Ok(Edit::Unmade);
        };
        let recipient = &notice.message.recipient;
        let edit = notice.edited.unwrap_or_default();
        let edit = edit.followed_by(paragraph, by);
        self.store.desk().note_edit(drafted, &edit)?;
        let line = format!("draft of the notice to {recipient} edited");
        self.store
            .desk()
            .append_case_event(id, self.clock.now(), row.case.state, by, &line)?;
        tx.commit()?;
        Ok(Edit::Drafted(drafted))
    }

    /// Queues what a draft says to somebody of the desk: a test, of which its recipient gets nothing. Returns whether
    /// there is a draft.
    pub fn test_notice(
        &self,
        id: i64,
        deciding: &Deciding<'_>,
        mail_of_desk: &str,
    ) -> Result<bool, PipelineError> {
        let now = self.clock.now();
        let tx = self.store.begin_batch()?;
        let row = self.store.desk().case_by_id(id)?;
        let Some((row, notice)) = row.zip(self.draft_for(id, deciding.recipient)?) else {
            return Ok(false);
        };
        let found = self
            .findings
            .find(&row.case.domain, row.case.evaluated_at)?;
        let to = found.finding.as_ref().and_then(|finding| {
            let mut addressees = self.notice_addressees(finding).into_iter();
            addressees.find(|to| is_same_address(&to.address, deciding.recipient))
        });
        let Some((finding, to)) = found.finding.as_ref().zip(to) else {
            return Ok(false);
        };
        let mail = CaseMail {
            case_id: row.id,
            case: &row.case,
            finding: Some(finding),
            kind: MailKind::Notice,
            reason: SendReason::Asked,
            now,
            paragraph: notice
                .edited
                .as_ref()
                .map(|edit| edit.paragraph.as_str())
                .filter(|it| !it.is_empty()),
        };
        let to = Addressee {
            address: mail_of_desk.to_owned(),
            ..to
        };
        let token = self.store.draw_token()?;
        let message = NewMessage {
            // It is no mail of the case: nobody was told by it.
            case_id: None,
            ..self.compose_case_mail(&mail, &to, &token)?.message
        };
        self.store.desk().queue_message(&message, now)?;
        let line = format!(
            "test of the notice to {} queued to {mail_of_desk}",
            deciding.recipient
        );
        self.store
            .desk()
            .append_case_event(id, now, row.case.state, deciding.by, &line)?;
        tx.commit()?;
        Ok(true)
    }

    /// Queues the notices that are approved; one that may not leave any more, or whose case changed meanwhile, is void
    /// instead. Does nothing while a table cannot be used: to whom a notice goes and who is exempt stand in tables.
    pub(in crate::pipeline) fn queue_approved_notices(&self) -> Result<(), PipelineError> {
        if self.parts.is_waiting() {
            return Ok(());
        }
        for notice in self.store.desk().approved_notices()? {
            let tx = self.store.begin_batch()?;
            // Both are read again in the transaction: the desk may have ended the case meanwhile, or another process may
            // have queued the notice.
            let notice = self.store.desk().notice(notice.id)?;
            let Some(notice) = notice.filter(|it| it.state == NoticeState::Approved) else {
                continue;
            };
            let row = match notice.message.case_id {
                Some(id) => self.store.desk().case_by_id(id)?,
                None => None,
            };
            let Some(row) = row else {
                continue;
            };
            self.queue_approved(&row, &notice)?;
            tx.commit()?;
        }
        Ok(())
    }

    /// Queues one approved notice, or voids it. Part of a transaction in which both were read.
    fn queue_approved(&self, row: &CaseRow, notice: &NoticeRow) -> Result<(), PipelineError> {
        let (id, now) = (row.id, self.clock.now());
        let recipient = &notice.message.recipient;
        if let Some(reason) = self.stop_of_notice(&row.case, recipient)? {
            return self.void_notice(row, notice, reason);
        }
        // What was approved rests on the case as it was then: if that changed, a person has to read it again.
        let line = if notice.basis == notice_basis(&row.case) {
            self.store.desk().queue_message(&notice.message, now)?;
            let step = (notice.state, NoticeState::Queued);
            self.store.desk().move_notice(notice.id, step, None)?;
            format!("notice to {recipient} queued")
        } else {
            let step = (notice.state, NoticeState::Void);
            self.store.desk().move_notice(notice.id, step, None)?;
            self.draft_anew(row, recipient, None)?;
            format!("the approval of the notice to {recipient} is void: the case changed")
        };
        tracing::info!(case = id, "case {id}: {line}");
        Ok(self
            .store
            .desk()
            .append_case_event(id, now, row.case.state, ACTOR, &line)?)
    }

    /// Voids a notice that may not leave, with a line of its case's log.
    fn void_notice(
        &self,
        row: &CaseRow,
        notice: &NoticeRow,
        reason: StopReason,
    ) -> Result<(), PipelineError> {
        let step = (notice.state, NoticeState::Void);
        self.store.desk().move_notice(notice.id, step, None)?;
        let (id, now) = (row.id, self.clock.now());
        let line = format!("notice to {} void: {reason}", notice.message.recipient);
        tracing::info!(case = id, "case {id}: {line}");
        Ok(self
            .store
            .desk()
            .append_case_event(id, now, row.case.state, ACTOR, &line)?)
    }

    /// Returns the draft that waits for a recipient.
    fn draft_for(&self, case_id: i64, recipient: &str) -> Result<Option<NoticeRow>, PipelineError> {
        let notices = self.store.desk().notices_of_case(case_id)?.into_iter();
        let mut drafts = notices.filter(|it| {
            it.state == NoticeState::Drafted && is_same_address(&it.message.recipient, recipient)
        });
        // The newest: an edit leaves the draft before it behind.
        Ok(drafts.next_back())
    }

    /// Drafts a notice anew: for a case that changed, or with the paragraph that a person gave it, which may be empty.
    /// What a person gave waits for approval, also where the recipient needs none. Returns the number of the new
    /// notice; `None` if there is nothing to tell any more or it cannot be made.
    fn draft_anew(
        &self,
        row: &CaseRow,
        recipient: &str,
        given: Option<&str>,
    ) -> Result<Option<i64>, PipelineError> {
        let found = self
            .findings
            .find(&row.case.domain, row.case.evaluated_at)?;
        let Some(finding) = found.finding.filter(|_| row.case.reported) else {
            return Ok(None);
        };
        if self.stop_of_notices(&row.case, Some(&finding))?.is_some() {
            return Ok(None);
        }
        let now = self.clock.now();
        let mail = CaseMail {
            case_id: row.id,
            case: &row.case,
            finding: Some(&finding),
            kind: MailKind::Notice,
            reason: SendReason::Asked,
            now,
            paragraph: given.filter(|it| !it.is_empty()),
        };
        let mut addressees = self.notice_addressees(&finding).into_iter();
        let to = addressees.find(|to| is_same_address(&to.address, recipient));
        let Some(to) = to else {
            return Ok(None);
        };
        let to = Addressee {
            approval: to.approval || given.is_some(),
            ..to
        };
        self.draft_for_addressee(&mail, &to)
    }
}

/// Returns whether a draft is another one than that which somebody saw.
fn is_another(notice: &NoticeRow, deciding: &Deciding<'_>) -> bool {
    deciding
        .seen
        .is_some_and(|seen| seen != notice.sha256.to_string())
}
