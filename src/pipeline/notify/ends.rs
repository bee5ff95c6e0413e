//! The ends of cases beside those that are decided when a case is judged or stepped: what was held and is not any more,
//! what webhooks hear at once, and what goes to an address in the place of another.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::{Case, CaseState, Letter, SendReason};
use crate::count::counted;
use crate::mailer::is_same_address;
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::Notify;
use crate::pipeline::notify::compose::{ACTOR, CaseMail};
use crate::pipeline::notify::letters::letter_of;
use crate::pipeline::notify::told::{Heads, Heard, When};
use crate::store::{CaseRow, MailKind, MessageRow};
use crate::time::Timestamp;

/// Where it is kept that an end was held because nothing is configured by which it could be told.
const ENDS_HELD: &str = "ends_held";

/// Where it is kept until when the ends of exemptions were looked at.
const EXEMPTIONS_AT: &str = "exemption_ends_at";

/// A case whose closure is queued, and the addresses to which it is.
pub type ToldEnd = (i64, Vec<String>);

/// Returns why the end of a case is told; `None` if it goes on.
pub(in crate::pipeline) fn end_reason(state: CaseState) -> Option<SendReason> {
    match state {
        CaseState::Open | CaseState::Acknowledged => None,
        CaseState::Mitigated => Some(SendReason::Mitigated),
        CaseState::Closed => Some(SendReason::Closed),
        CaseState::Dismissed => Some(SendReason::Withdrawn),
    }
}

impl Notify<'_> {
    /// Tells the ends that are not told and that nothing holds any more. Returns the cases whose closure is queued, and to
    /// whom: none where it goes to webhooks alone. Part of a transaction.
    pub fn tell_held_ends(&self) -> Result<Vec<ToldEnd>, PipelineError> {
        let desk = self.store.desk();
        let rows = desk.cases_with_untold_end()?;
        let ids: BTreeSet<i64> = rows.iter().map(|row| row.id).collect();
        let findings = BTreeMap::new();
        self.tell_of(&ids, &self.notifying(&findings)?)?;
        let mut told = Vec::new();
        for row in &rows {
            let mut closures = desk.message_heads(row.id)?;
            closures.retain(|it| {
                it.message.revision > row.case.revision && letter_of(it) == Some(Letter::Closure)
            });
            if !closures.is_empty() {
                let mails = closures.into_iter();
                let mails = mails.filter(|it| it.message.kind != MailKind::Webhook);
                told.push((row.id, mails.map(|it| it.message.recipient).collect()));
            }
        }
        Ok(told)
    }

    /// Notes that an end is held for want of a way to tell it.
    pub(in crate::pipeline) fn note_held_end(&self) -> Result<(), PipelineError> {
        Ok(self.store.desk().save_number(ENDS_HELD, 1)?)
    }

    /// Notes that ends may be held by an exemption that is over by now: its time came.
    fn note_ended_exemptions(&self) -> Result<(), PipelineError> {
        let (desk, now) = (self.store.desk(), self.clock.now());
        let looked_at = desk.saved_number(EXEMPTIONS_AT)?;
        let looked_at = looked_at.map(Timestamp::from_unix);
        let is_over = |until: Timestamp| until <= now && looked_at.is_none_or(|at| until > at);
        let mut exemptions = desk.exemptions()?.into_iter();
        if exemptions.any(|it| it.removed.is_none() && it.exemption.until.is_some_and(is_over)) {
            desk.save_number(EXEMPTIONS_AT, now.unix())?;
            self.note_held_end()?;
        }
        Ok(())
    }

    /// Tells the ends that an exemption held which a person ended. Part of the transaction that ends it; those that a table
    /// keeps from being decided are told by a later pass.
    pub fn tell_released_ends(&self) -> Result<Vec<ToldEnd>, PipelineError> {
        match self.parts.is_waiting() {
            true => self.note_held_end().map(|()| Vec::new()),
            false => self.tell_held_ends(),
        }
    }

    /// Tells the ends that were held while nothing was configured by which they could be told, once something is.
    /// Tells too those that an exemption held whose time is over.
    pub(in crate::pipeline) fn tell_ends_again(&self) -> Result<(), PipelineError> {
        let desk = self.store.desk();
        self.note_ended_exemptions()?;
        let is_held = desk.saved_number(ENDS_HELD)? == Some(1);
        if !is_held || !self.has_way() || self.parts.is_waiting() {
            return Ok(());
        }
        let tx = self.store.begin_batch()?;
        desk.save_number(ENDS_HELD, 0)?;
        self.tell_held_ends()?;
        Ok(tx.commit()?)
    }

    /// Tells webhooks the end of a case whose closure waits for others of its campaign: a post is about one case.
    pub(in crate::pipeline) fn post_end(
        &self,
        id: i64,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let desk = self.store.desk();
        let row = match self.config.webhooks.is_empty() {
            true => None,
            false => desk.case_by_id(id)?,
        };
        let row = row.filter(|row| row.case.reported);
        let Some((row, reason)) =
            row.and_then(|row| end_reason(row.case.state).map(|it| (row, it)))
        else {
            return Ok(());
        };
        let hearing = self.hearing(&row, When::Now, &Heads::default())?;
        let mut case = row.case.clone();
        case.revision += 1;
        let mail = CaseMail {
            case_id: id,
            case: &case,
            finding: None,
            kind: MailKind::Closure,
            reason,
            now,
            paragraph: None,
        };
        let mut count = 0_usize;
        for hook in &self.config.webhooks {
            let is_due = !hearing.has_end(&hook.url)
                && !matches!(hearing.of_url(&hook.url), Heard::Nothing { .. });
            if is_due {
                self.queue_post(&row, &mail, &hook.url)?;
                count += 1;
            }
        }
        if count == 0 {
            return Ok(());
        }
        desk.save_case(&case)?;
        let note = format!(
            "its end is posted to {}: {reason}",
            counted(count, "webhook")
        );
        tracing::info!(case = id, "case {id}: {note}");
        Ok(desk.append_case_event(id, now, case.state, ACTOR, &note)?)
    }

    /// Tells webhooks that a case is open again whose end was posted to them and mailed to nobody: it waited for others of
    /// its campaign. One whose closure was mailed is told of like any other when it is judged.
    pub(in crate::pipeline) fn post_reopening(
        &self,
        row: &CaseRow,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let is_told = row.case.reported && row.case.state.is_working();
        if !is_told || self.config.webhooks.is_empty() {
            return Ok(());
        }
        let desk = self.store.desk();
        let exemptions = desk.exemptions_in_force(now)?;
        if (self.exemption_among(&exemptions, &row.case, None, now)?).is_some() {
            return Ok(());
        }
        let hearing = self.hearing(row, When::Now, &Heads::default())?;
        let urls = self.config.webhooks.iter().map(|it| it.url.as_str());
        let urls: Vec<&str> = urls.filter(|url| hearing.has_end(url)).collect();
        if urls.is_empty() {
            return Ok(());
        }
        let mut case = row.case.clone();
        case.revision += 1;
        let mail = CaseMail {
            case_id: row.id,
            case: &case,
            finding: None,
            kind: MailKind::Report,
            reason: SendReason::Again,
            now,
            paragraph: None,
        };
        for url in &urls {
            self.queue_post(row, &mail, url)?;
        }
        desk.save_case(&case)?;
        let note = format!(
            "that it is open again is posted to {}",
            counted(urls.len(), "webhook")
        );
        tracing::info!(case = row.id, "case {}: {note}", row.id);
        Ok(desk.append_case_event(row.id, now, case.state, ACTOR, &note)?)
    }

    /// Queues a closure that does not leave, because its address is not configured any more, to those who are in the place
    /// of that address.
    pub(in crate::pipeline) fn queue_for_stand_ins(
        &self,
        row: &MessageRow,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let is_closure = letter_of(row) == Some(Letter::Closure);
        let is_mail = row.message.kind != MailKind::Webhook;
        let case = match row.message.case_id {
            Some(id) if is_closure && is_mail => self.store.desk().case_by_id(id)?,
            _ => None,
        };
        // One that is open again is told of otherwise.
        let Some((case, reason)) =
            case.and_then(|case| end_reason(case.case.state).map(|it| (case, it)))
        else {
            return Ok(());
        };
        let heads = Heads::default();
        let hearing = self.hearing(&case, When::Now, &heads)?;
        let closed = Case {
            revision: row.message.revision,
            ..case.case.clone()
        };
        let mail = CaseMail {
            case_id: case.id,
            case: &closed,
            finding: None,
            kind: MailKind::Closure,
            reason,
            now,
            paragraph: None,
        };
        for to in self.desk_addressees(&case.case) {
            let is_own = self.has_mail_to(&case, &to.address)?;
            let heard = hearing.of_address(&to.address);
            if !is_own && !matches!(heard, Heard::Nothing { .. }) {
                self.queue_case_mail(&mail, &to)?;
            }
        }
        Ok(())
    }

    /// Returns whether the outbox has mail of a case to an address of the desk.
    fn has_mail_to(&self, row: &CaseRow, address: &str) -> Result<bool, PipelineError> {
        let messages = self.store.desk().message_heads(row.id)?;
        Ok(messages.iter().any(|it| {
            !matches!(it.message.kind, MailKind::Webhook | MailKind::Notice)
                && is_same_address(&it.message.recipient, address)
        }))
    }
}
