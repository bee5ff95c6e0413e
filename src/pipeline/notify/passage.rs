//! What may leave: gathers what [`stop_reason`] asks, and takes out of the outbox what may not.
//!
//! Asked in the transaction in which a notice is drafted, approved or queued, a digest is written, a message is handed to
//! a server, a case is dismissed or an exemption is added.

use crate::case::{
    Case, CaseEvent, CaseState, Circumstances, Exempt, Exemption, HoldReason, Letter, StopReason,
    exemption_of, exemption_of_domain, stop_reason,
};
use crate::config::Party;
use crate::count::counted;
use crate::detector::Finding;
use crate::mailer::is_same_address;
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::Notify;
use crate::pipeline::notify::anew::Anew;
use crate::pipeline::notify::compose::ACTOR;
use crate::pipeline::notify::letters::{is_report, letter_of};
use crate::pipeline::notify::told::{Heads, Heard, When, not_in_digest, stranded_note};
use crate::store::{
    CaseRow, ExemptionRow, MailKind, MessageRow, MessageState, NoticeRow, NoticeState, SendingCaps,
};
use crate::time::{Span, Timestamp};

/// How long a message waits before it is asked again whether its table can be used.
const TABLE_AGAIN: Span = Span::seconds(60);

/// How much of what waits about a case is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withdrawal {
    /// Reports, updates, what webhooks hear of them, and notices: the case is dismissed or exempt.
    Everything,
    /// Notices alone: the case is over.
    Notices,
}

/// What waits about a case and is taken back, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsent {
    /// Messages that are queued or were given up, oldest first.
    pub messages: Vec<MessageRow>,
    /// Notices that are drafted or approved, oldest first.
    pub notices: Vec<NoticeRow>,
}

impl Unsent {
    /// Returns it in words, `1 message not sent yet and 2 drafts`; `None` if there is nothing.
    pub fn words(&self) -> Option<String> {
        let messages = (!self.messages.is_empty()).then(|| {
            let count = counted(self.messages.len() as u64, "message");
            format!("{count} not sent yet")
        });
        let notices = self.notices.len() as u64;
        let notices = (notices > 0).then(|| counted(notices, "draft"));
        let parts: Vec<String> = messages.into_iter().chain(notices).collect();
        (!parts.is_empty()).then(|| parts.join(" and "))
    }

    /// Returns what becomes of it in words, `2 drafts are dropped`; `verb` is `is`, `will be` or `would be`.
    pub fn dropped_words(&self, verb: &str) -> Option<String> {
        let is_one = self.messages.len() + self.notices.len() == 1;
        let verb = if verb == "is" && !is_one { "are" } else { verb };
        Some(format!("{} {verb} dropped", self.words()?))
    }
}

/// What became of a message that was to be handed to a server.
pub(in crate::pipeline) enum Lease {
    /// It is in hand.
    Taken(Box<MessageRow>),
    /// It was dropped, or waits behind an earlier one: another may be the oldest now.
    Moved,
    /// It waits for a table by which it may be exempt: another may be the oldest now.
    Waits,
    /// It is dead: its address is not configured any more.
    Dead,
    /// Somebody has it, or a cap is reached.
    Busy,
}

/// Returns whether a message waits: it can be taken out before it is sent.
fn is_unsent(row: &MessageRow) -> bool {
    matches!(row.state, MessageState::Queued | MessageState::Dead)
}

impl Notify<'_> {
    /// Returns the exemption by which nobody is told of a case. Where `finding` is `None` and an exemption in force asks
    /// what was found, that is computed as of the case's last judgement.
    pub(in crate::pipeline) fn exemption_among(
        &self,
        exemptions: &[Exemption],
        case: &Case,
        finding: Option<&Finding>,
        now: Timestamp,
    ) -> Result<Option<i64>, PipelineError> {
        if exemptions.is_empty() {
            return Ok(None);
        }
        let account = self.registration_of(&case.domain).and_then(|it| it.account);
        let account = account.as_deref();
        let of_domain = exemption_of_domain(exemptions, &case.domain, account, now);
        if let Some(exemption) = of_domain {
            return Ok(Some(exemption.id));
        }
        // Without its tables the detector finds something else; whoever has to know waits for them.
        if self.parts.is_waiting() || exemptions.iter().all(|it| it.covers.is_of_domain()) {
            return Ok(None);
        }
        let held_by = |finding: &Finding| {
            let covering = exemption_of(exemptions, finding, account, now);
            covering.map(|it| it.id)
        };
        if let Some(finding) = finding {
            return Ok(held_by(finding));
        }
        if let Some(known) = self.held_by.borrow_mut().of(exemptions, case) {
            return Ok(known);
        }
        let found = self.findings.find(&case.domain, case.evaluated_at)?;
        let held_by = found.finding.as_ref().and_then(held_by);
        self.held_by.borrow_mut().note(case, held_by);
        Ok(held_by)
    }

    /// Returns whether an exemption, added to those in force, holds every mail about a case that none holds yet.
    pub fn would_exempt(&self, row: &CaseRow, added: &Exemption) -> Result<bool, PipelineError> {
        let now = self.clock.now();
        let mut exemptions = self.store.desk().exemptions_in_force(now)?;
        if (self.exemption_among(&exemptions, &row.case, None, now)?).is_some() {
            return Ok(false);
        }
        if added.covers.is_of_domain() {
            let added = std::slice::from_ref(added);
            let held_by = self.exemption_among(added, &row.case, None, now)?;
            return Ok(held_by.is_some());
        }
        if self.parts.is_waiting() {
            // Without its tables the detector finds something else; the mail waits for them: see `table_waited_for`.
            return Ok(false);
        }
        let found = self
            .findings
            .find(&row.case.domain, row.case.evaluated_at)?;
        let Some(finding) = found.finding else {
            return Ok(false);
        };
        exemptions.push(added.clone());
        let held_by = self.exemption_among(&exemptions, &row.case, Some(&finding), now)?;
        Ok(held_by.is_some())
    }

    /// Has the next digest not tell of a case, with a line of its log that says why.
    pub fn leave_out_of_digest(
        &self,
        case_id: i64,
        reason: StopReason,
    ) -> Result<(), PipelineError> {
        let row = self.store.desk().case_by_id(case_id)?;
        let Some(row) = row.filter(|row| row.case.told.digest_due) else {
            return Ok(());
        };
        let mut case = row.case;
        case.told.digest_due = false;
        case.told.held = match reason {
            StopReason::Exempt(id) => Some(HoldReason::Exempt(id).to_string()),
            _ => None,
        };
        self.store.desk().save_case(&case)?;
        let line = not_in_digest(reason);
        self.note_of_case(Some(case_id), &line, self.clock.now())
    }

    /// Returns why nobody beside the desk may be told of a case; `None` if they may.
    pub(in crate::pipeline) fn stop_of_notices(
        &self,
        case: &Case,
        finding: Option<&Finding>,
    ) -> Result<Option<StopReason>, PipelineError> {
        self.stop_of(case, Letter::Notice, finding, true)
    }

    /// Returns why a notice of a case may not leave to a recipient; `None` if it may.
    pub fn stop_of_notice(
        &self,
        case: &Case,
        recipient: &str,
    ) -> Result<Option<StopReason>, PipelineError> {
        let found = self.findings.find(&case.domain, case.evaluated_at)?.finding;
        let concerns = |finding: Option<&Finding>| match finding {
            Some(finding) => {
                let to = self.notice_addressees(finding);
                to.iter().any(|it| is_same_address(&it.address, recipient))
            }
            None => self.is_notice_recipient(recipient),
        };
        let mut is_addressee = concerns(found.as_ref());
        // A mail may rest on a version that is newer than the last judgement: see check_before_mail.
        let newest = self.newest_version_at(&case.domain)?;
        if let Some(at) = newest.filter(|at| !is_addressee && *at > case.evaluated_at) {
            let looked = self.findings.find(&case.domain, at)?.finding;
            is_addressee = looked.is_some() && concerns(looked.as_ref());
        }
        self.stop_of(case, Letter::Notice, found.as_ref(), is_addressee)
    }

    /// Returns why a digest may not be the first report of a case; `None` if it may.
    pub(in crate::pipeline) fn stop_of_digest(
        &self,
        case: &Case,
    ) -> Result<Option<StopReason>, PipelineError> {
        self.stop_of(case, Letter::Digest, None, true)
    }

    /// Asks [`stop_reason`] about what nobody asked for.
    fn stop_of(
        &self,
        case: &Case,
        letter: Letter,
        finding: Option<&Finding>,
        is_addressee: bool,
    ) -> Result<Option<StopReason>, PipelineError> {
        let now = self.clock.now();
        let exemptions = self.store.desk().exemptions_in_force(now)?;
        let circumstances = Circumstances {
            exemption: self.exemption_among(&exemptions, case, finding, now)?,
            is_addressee,
            is_asked: false,
            has_beginning: true,
        };
        Ok(stop_reason(case, letter, &circumstances))
    }

    /// Returns why a message of the outbox may not leave; `None` if it may. What is about no single case needs an address
    /// that is configured for it; and a digest, that nobody was dismissed or exempted after it was written.
    pub fn stop_of_message(&self, row: &MessageRow) -> Result<Option<StopReason>, PipelineError> {
        let case = match row.message.case_id {
            Some(id) => self.store.desk().case_by_id(id)?,
            None => None,
        };
        let Some((case, letter)) = case.zip(letter_of(row)) else {
            if !self.is_addressee_of_desk(row) {
                return Ok(Some(StopReason::NoAddressee));
            }
            // While a table cannot be used it waits, and is asked again.
            let is_outdated = !self.parts.is_waiting() && self.is_outdated(row)?;
            return Ok(is_outdated.then_some(StopReason::Overtaken));
        };
        let now = self.clock.now();
        let exemption = match letter {
            Letter::Closure => None,
            _ => {
                let exemptions = self.store.desk().exemptions_in_force(now)?;
                self.exemption_among(&exemptions, &case.case, None, now)?
            }
        };
        let has_beginning = letter != Letter::Closure || {
            let hearing = self.hearing(&case, When::Before(row.id), &Heads::default())?;
            let heard = match row.message.kind {
                MailKind::Webhook => hearing.of_url(&row.message.recipient),
                _ => hearing.of_address(&row.message.recipient),
            };
            !matches!(heard, Heard::Nothing { .. })
        };
        let circumstances = Circumstances {
            exemption,
            is_addressee: self.is_addressee(&case.case, row),
            is_asked: self.is_asked(&case, row, exemption)?,
            has_beginning,
        };
        Ok(stop_reason(&case.case, letter, &circumstances))
    }

    /// Returns when somebody last wanted a message as it is: it was written, or asked for by its number.
    fn wanted_at(&self, row: &MessageRow) -> Result<Timestamp, PipelineError> {
        let asked_at = self.store.desk().asked_by_number_at(row)?;
        Ok(asked_at.map_or(row.queued_at, |at| at.max(row.queued_at)))
    }

    /// Returns whether a message was wanted after its case was dismissed and exempted: somebody asked for it.
    fn is_asked(
        &self,
        case: &CaseRow,
        row: &MessageRow,
        exemption: Option<i64>,
    ) -> Result<bool, PipelineError> {
        let exempt_at = match exemption {
            Some(id) => self.store.desk().exemption(id)?.map(|it| it.created_at),
            None => None,
        };
        let dismissed_at = match case.case.state {
            CaseState::Dismissed => {
                let log = self.store.desk().case_events(case.id)?.into_iter();
                let is_end =
                    |it: &CaseEvent| it.to == CaseState::Dismissed && it.from != Some(it.to);
                log.filter(|line| is_end(&line.event))
                    .map(|line| line.event.at)
                    .next_back()
            }
            _ => None,
        };
        match exempt_at.max(dismissed_at) {
            Some(stopped_at) => Ok(self.wanted_at(row)? >= stopped_at),
            None => Ok(false),
        }
    }

    /// Returns whether the configuration names the recipient of a message for its case. A webhook without a section is
    /// told by the attempt.
    fn is_addressee(&self, case: &Case, row: &MessageRow) -> bool {
        let recipient = &row.message.recipient;
        match row.message.kind {
            _ if self.mail().is_none() => true,
            MailKind::Webhook => true,
            MailKind::Notice => self.is_notice_recipient(recipient),
            _ => {
                let to = self.desk_addressees(case);
                to.iter().any(|it| is_same_address(&it.address, recipient))
            }
        }
    }

    /// Returns whether the configuration names the recipient of a mail about no single case: the desk reads digests, the
    /// operator of fluxwatch the rest.
    fn is_addressee_of_desk(&self, row: &MessageRow) -> bool {
        let Some(mail) = self.mail() else {
            return true;
        };
        let to = match row.message.kind {
            MailKind::Digest => &mail.desk,
            MailKind::Bulk | MailKind::Blindness => &mail.operator,
            _ => return true,
        };
        to.iter()
            .any(|it| is_same_address(it, &row.message.recipient))
    }

    /// Returns whether the configuration has an address as that of a registrar, an operator or a network.
    fn is_notice_recipient(&self, address: &str) -> bool {
        let recipients = self.mail().into_iter().flat_map(|mail| &mail.recipients);
        let mut others = recipients.filter(|it| !matches!(it.party, Party::Zone(_)));
        others.any(|it| is_same_address(&it.address, address))
    }

    /// Computes what was found of the case of a message, if an exemption asks for it: in the transaction that follows nobody
    /// else can write, and there it is known unless the case was judged meanwhile.
    fn look_at_exemption(&self, message: i64, now: Timestamp) -> Result<(), PipelineError> {
        let desk = self.store.desk();
        let exemptions = desk.exemptions_in_force(now)?;
        if exemptions.iter().all(|it| it.covers.is_of_domain()) {
            return Ok(());
        }
        let case_id = desk
            .message_head(message)?
            .filter(|row| matches!(letter_of(row), Some(Letter::Report | Letter::Notice)));
        let Some(case_id) = case_id.and_then(|row| row.message.case_id) else {
            return Ok(());
        };
        if let Some(row) = desk.case_by_id(case_id)? {
            self.exemption_among(&exemptions, &row.case, None, now)?;
        }
        Ok(())
    }

    /// Takes a message for delivery, if it may still leave and none before it waits; in one transaction.
    pub(in crate::pipeline) fn lease(
        &self,
        id: i64,
        caps: &SendingCaps,
        now: Timestamp,
    ) -> Result<Lease, PipelineError> {
        let desk = self.store.desk();
        self.look_at_exemption(id, now)?;
        let tx = self.store.begin_batch()?;
        let Some(row) = desk.lease_message(id, caps, now)? else {
            return Ok(Lease::Busy);
        };
        if let Some(reason) = self.stop_of_message(&row)? {
            let state = self.stop(&row, reason, now)?;
            if row.message.kind == MailKind::Digest {
                self.write_digest_anew(&row, state)?;
            }
            tx.commit()?;
            return Ok(match state {
                MessageState::Dead => Lease::Dead,
                _ => Lease::Moved,
            });
        }
        if let Some(note) = self.table_waited_for(&row, now)? {
            desk.defer_message(id, now + TABLE_AGAIN, Some(&note))?;
            tx.commit()?;
            return Ok(Lease::Waits);
        }
        // A recipient reads of a case in the order in which it was told, also where the first attempt failed.
        if let Some(at) = desk.earlier_unsent_at(&row)? {
            desk.defer_message(id, at, None)?;
            tx.commit()?;
            return Ok(Lease::Moved);
        }
        let lease = self.without_withdrawn(row, now)?;
        tx.commit()?;
        Ok(lease)
    }

    /// Takes a message that may leave, written anew where it names a case that it may not name any more. What told of
    /// nothing else does not leave.
    fn without_withdrawn(&self, row: MessageRow, now: Timestamp) -> Result<Lease, PipelineError> {
        let desk = self.store.desk();
        let (id, head) = (row.id, row.head());
        match self.write_anew(row) {
            Ok(Anew::Same(row) | Anew::Written(row)) => Ok(Lease::Taken(row)),
            Ok(Anew::Waits(note)) => {
                desk.defer_message(id, now + TABLE_AGAIN, Some(&note))?;
                Ok(Lease::Waits)
            }
            Ok(Anew::Nothing) => {
                self.stop(&head, StopReason::NamesWithdrawn, now)?;
                Ok(Lease::Moved)
            }
            Err(fault) if fault.is_of_one_mail() => {
                let note = format!(
                    "cannot be made without a case that is dismissed or exempt by now: {fault}"
                );
                desk.stop_message(id, MessageState::Dead, &note)?;
                self.note_stop(&head, &note, now)?;
                Ok(Lease::Dead)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Says which table a message waits for: one that cannot be used, where an exemption is in force that asks for it and
    /// would stop the message. A notice accuses before others than the desk, and waits in any case. `None` if it waits for
    /// none.
    fn table_waited_for(
        &self,
        row: &MessageRow,
        now: Timestamp,
    ) -> Result<Option<String>, PipelineError> {
        let Some(fault) = self.parts.waiting_for.first() else {
            return Ok(None);
        };
        let (letter, wanted_at) = (letter_of(row), self.wanted_at(row)?);
        // What was queued after the exemption was asked for, or nobody was exempt by it then.
        let stops = |it: &ExemptionRow| letter == Some(Letter::Report) && it.created_at > wanted_at;
        let mut exemptions = self.store.desk().exemptions()?.into_iter();
        let asks = exemptions.any(|it| {
            let is_by_name = matches!(it.exemption.covers, Exempt::Domain(_) | Exempt::Subtree(_));
            it.is_in_force(now) && !is_by_name && stops(&it)
        });
        let waits = asks || letter == Some(Letter::Notice) || self.is_outdated(row)?;
        Ok(waits.then(|| {
            let fault = fault.in_one_line();
            format!("waits: whether its case is exempt is not known without a table: {fault}")
        }))
    }

    /// Takes a message that may not leave out of the outbox. Mail of the desk to an address that is no longer configured
    /// is dead and not dropped: the desk is to hear of it. Returns where it stands then.
    fn stop(
        &self,
        row: &MessageRow,
        reason: StopReason,
        now: Timestamp,
    ) -> Result<MessageState, PipelineError> {
        let is_of_desk = row.message.kind != MailKind::Notice;
        let state = match reason {
            StopReason::NoAddressee if is_of_desk => MessageState::Dead,
            _ => MessageState::Dropped,
        };
        let note = match state {
            // A report is told anew to an address that is added again; a closure is not.
            MessageState::Dead if letter_of(row) == Some(Letter::Closure) => {
                let (note, id) = (stranded_note(), row.id);
                format!(
                    "{note}; add the address again and run fluxwatch outbox retry {id}, or drop the message"
                )
            }
            MessageState::Dead => {
                format!(
                    "{}; add the address again, or drop the message",
                    stranded_note()
                )
            }
            _ => format!("dropped: {reason}"),
        };
        let desk = self.store.desk();
        desk.stop_message(row.id, state, &note)?;
        self.note_stop(row, &note, now)?;
        // What was in hand when its case was dismissed or exempted is not among what was dropped then. And an address that
        // is configured in place of another is to hear what that one did not.
        if is_report(row)
            && let Some(id) = row.message.case_id
        {
            self.forget_told(id, std::slice::from_ref(row))?;
        }
        if reason == StopReason::NoAddressee {
            self.queue_for_stand_ins(row, now)?;
        }
        Ok(state)
    }

    /// Notes in the log of its case that a message does not leave.
    fn note_stop(&self, row: &MessageRow, note: &str, now: Timestamp) -> Result<(), PipelineError> {
        let (id, kind, to) = (row.id, row.message.kind.word(), row.shown_recipient());
        let line = format!("message {id} ({kind}) to {to} {note}");
        self.note_of_case(row.message.case_id, &line, now)
    }

    /// Writes a line of the program into a case's log, and says it.
    pub(in crate::pipeline) fn note_of_case(
        &self,
        case_id: Option<i64>,
        line: &str,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let Some(id) = case_id else {
            return Ok(());
        };
        if let Some(row) = self.store.desk().case_by_id(id)? {
            tracing::info!(case = id, "case {id}: {line}");
            let state = row.case.state;
            self.store
                .desk()
                .append_case_event(id, now, state, ACTOR, line)?;
        }
        Ok(())
    }

    /// Returns what waits about a case.
    pub fn unsent_of(&self, case_id: i64, what: Withdrawal) -> Result<Unsent, PipelineError> {
        let desk = self.store.desk();
        let is_taken = |row: &MessageRow| match letter_of(row) {
            Some(Letter::Notice) => true,
            Some(Letter::Report) => what == Withdrawal::Everything,
            _ => false,
        };
        let mut messages = desk.message_heads(case_id)?;
        messages.retain(|row| is_unsent(row) && is_taken(row));
        let mut notices = desk.notices_of_case(case_id)?;
        notices.retain(|it| matches!(it.state, NoticeState::Drafted | NoticeState::Approved));
        Ok(Unsent { messages, notices })
    }

    /// Takes back what waits about a case, with a line of its log for each. Part of the transaction that dismisses it,
    /// ends it or exempts it. Who was to hear of it by what is taken back gets no closure, and is told later: see
    /// [`Notify::forget_told`].
    pub fn withdraw(
        &self,
        row: &CaseRow,
        what: Withdrawal,
        reason: StopReason,
    ) -> Result<Unsent, PipelineError> {
        let now = self.clock.now();
        let desk = self.store.desk();
        let unsent = self.unsent_of(row.id, what)?;
        for message in &unsent.messages {
            let note = format!("dropped: {reason}");
            if desk.drop_message(message.id, &note)? > 0 {
                self.note_stop(message, &note, now)?;
            }
        }
        for notice in &unsent.notices {
            if desk.move_notice(notice.id, (notice.state, NoticeState::Void), None)? {
                let line = format!("notice to {} void: {reason}", notice.message.recipient);
                self.note_of_case(Some(row.id), &line, now)?;
            }
        }
        if unsent.messages.iter().any(is_report) {
            self.forget_told(row.id, &unsent.messages)?;
        }
        Ok(unsent)
    }
}
