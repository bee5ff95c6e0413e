//! A digest that waits, and names a domain that was dismissed or exempted meanwhile, is written anew without it.
//!
//! Digests follow each other without a hole, so that all that wait are dropped together: what is written in their place
//! begins where the oldest of them began, and tells what they told, as it is now.

use crate::pipeline::notify::Notify;
use crate::pipeline::notify::alerts::{DIGEST_EVENT, MOVES_MAX};
use std::collections::BTreeSet;

use crate::case::StopReason;
use crate::mailer::is_same_address;
use crate::pipeline::error::PipelineError;
use crate::pipeline::notify::told::{TOLD_IN_DIGEST, not_in_digest};
use crate::store::{CaseRow, MailKind, MessageRow};
use crate::templates::Words;
use crate::time::Timestamp;

/// Where it is kept from when on the oldest digest tells that waits...
const WAITING_AT: &str = "digest_waiting_at";
/// ...and after which line of the cases' logs.
const WAITING_EVENT: &str = "digest_waiting_event_id";
/// How many lines of the cases' logs are read at a time.
const EVENTS_AT_ONCE: usize = 1000;

impl Notify<'_> {
    /// Notes where a digest begins that is about to be written, unless an earlier one waits.
    pub(in crate::pipeline) fn note_digest(&self, from: Timestamp) -> Result<(), PipelineError> {
        let desk = self.store.desk();
        if desk.waiting_digests()?.is_empty() {
            let event = desk.saved_number(DIGEST_EVENT)?.unwrap_or(0);
            desk.save_number(WAITING_AT, from.unix())?;
            desk.save_number(WAITING_EVENT, event)?;
        }
        Ok(())
    }

    /// Returns whether a digest may name a domain that was dismissed or exempted after it was queued.
    pub(in crate::pipeline) fn is_outdated(&self, row: &MessageRow) -> Result<bool, PipelineError> {
        let desk = self.store.desk();
        let begun_after = match row.message.kind {
            MailKind::Digest => desk.saved_number(WAITING_EVENT)?,
            _ => None,
        };
        let Some(begun_after) = begun_after else {
            return Ok(false);
        };
        let (now, queued_at) = (self.clock.now(), row.queued_at);
        let mut exemptions = desk.exemptions()?.into_iter();
        // By a clock that was ahead somebody is exempted after what is written now, and would be for ever.
        let is_between = |at: Timestamp| at > queued_at && at <= now;
        let is_later = exemptions.any(|it| it.is_in_force(now) && is_between(it.created_at));
        Ok(is_later || desk.was_dismissed_between(begun_after, [queued_at, now])?)
    }

    /// Returns whether somebody of the desk has no digest of the time of one: an address that is configured in the place of
    /// another.
    pub(in crate::pipeline) fn has_desk_without_digest(
        &self,
        row: &MessageRow,
    ) -> Result<bool, PipelineError> {
        let desk = self.mail().map_or(&[][..], |mail| &mail.desk);
        let written = self.store.desk().digests_of(row.queued_at)?;
        Ok(desk.iter().any(|address| {
            let is_his = |it: &MessageRow| is_same_address(&it.message.recipient, address);
            !written.iter().any(is_his)
        }))
    }

    /// Writes one digest in place of one that was just dropped and of all others that wait. Part of the transaction that
    /// dropped it.
    pub(in crate::pipeline) fn write_digest_anew(
        &self,
        dropped: &MessageRow,
    ) -> Result<(), PipelineError> {
        let (desk, now) = (self.store.desk(), self.clock.now());
        let begun = (
            desk.saved_number(WAITING_AT)?,
            desk.saved_number(WAITING_EVENT)?,
        );
        let (Some(mail), (Some(from), Some(event))) = (self.mail(), begun) else {
            return Ok(());
        };
        let mut times = BTreeSet::from([dropped.queued_at]);
        let note = format!("dropped: {}", StopReason::NamesWithdrawn);
        for waiting in desk.waiting_digests()? {
            times.insert(waiting.queued_at);
            desk.drop_message(waiting.id, &note)?;
        }
        for at in &times {
            desk.forget_bulk_alerts(*at)?;
        }
        let mut still = Vec::new();
        for row in self.cases_told_after(event)? {
            match self.stop_of_digest(&row.case)? {
                Some(reason) => self.forget_digest(&row, reason, now)?,
                None => still.push(row),
            }
        }
        let moves = desk.untold_bulk_moves(0, MOVES_MAX)?;
        desk.save_number(DIGEST_EVENT, event)?;
        let from = Timestamp::from_unix(from);
        let (report, last_event) = self.digest(mail, (&still, &moves), from, now)?;
        let words = Words::Digest(&report);
        self.queue_for(mail, &mail.desk, MailKind::Digest, words, now)?;
        for it in &moves {
            desk.record_bulk_alert(it.id, now)?;
        }
        desk.save_number(DIGEST_EVENT, last_event)?;
        tracing::info!("digest written anew, without what was dismissed or exempted since");
        Ok(())
    }

    /// Returns the cases whose first report was a digest after a line of the logs, in the order in which they were told. One
    /// that was sent meanwhile is among them: better told twice than never.
    fn cases_told_after(&self, mut after: i64) -> Result<Vec<CaseRow>, PipelineError> {
        let desk = self.store.desk();
        let (mut rows, mut seen) = (Vec::new(), BTreeSet::new());
        loop {
            let events = desk.case_events_after(after, EVENTS_AT_ONCE)?;
            let Some((last, ..)) = events.last() else {
                return Ok(rows);
            };
            after = *last;
            for (_, case, line) in events {
                if line.event.note == TOLD_IN_DIGEST && seen.insert(case) {
                    rows.extend(desk.case_by_id(case)?);
                }
            }
        }
    }

    /// Notes of a case that the digest which was its first report does not leave: who is told of it later is told as if for
    /// the first time.
    fn forget_digest(
        &self,
        row: &CaseRow,
        reason: StopReason,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let line = not_in_digest(reason);
        self.note_of_case(Some(row.id), &line, now)?;
        self.forget_told(row.id, &[])
    }
}
