//! Empties the outbox: lease, send, note. And reads what came back.
//!
//! The lease is committed before the attempt and the result after it. A crash in between leaves a
//! message that is sent again, with the same octets and the same Message-ID, when the lease has run out.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::config::SendingLimits;
use crate::file;
use crate::mailer::{Verdict, read_bounce};
use crate::outbox::{Attempt, GIVE_UP, Next, Tried, after_attempt, plain_reply};
use crate::pipeline::{Pipeline, PipelineError};
use crate::store::{Fate, MailKind, MessageRow};
use crate::time::Span;

/// The most notifications that are read at a time.
const BOUNCES_AT_ONCE: usize = 1000;
/// The most octets of a notification that are read.
const BOUNCE_OCTETS_MAX: u64 = 10 << 20;
/// The most characters of what a notification says that are kept.
const REPLY_MAX: usize = 500;
/// The span that the caps are for.
const CAP_SPAN: Span = Span::hours(1);
/// The limits where no mail is configured, and only webhooks are told.
const LIMITS: SendingLimits = SendingLimits {
    give_up: GIVE_UP,
    per_run_max: 500,
    per_hour_max: 1000,
    per_recipient_hour_max: 1000,
};

/// What a pass over the outbox did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliverySummary {
    /// Messages that were taken.
    pub sent: u64,
    /// Messages that were tried and wait for another attempt.
    pub waiting: u64,
    /// Messages that were due and not tried, for the server did not answer.
    pub untried: u64,
    /// Messages that were given up or refused, or could not be composed since the last pass.
    pub dead: u64,
}

impl fmt::Display for DeliverySummary {
    /// Writes what became of the messages, each clause only if it has any: `3 sent, 1 given up`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} sent", self.sent)?;
        for (count, what) in [
            (self.waiting, "tried again later"),
            (self.untried, "not tried because the server does not answer"),
            (self.dead, "given up"),
        ] {
            if count > 0 {
                write!(formatter, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

impl Pipeline {
    /// Queues the notices that are approved, reads what came back, and tries every message that is due, as
    /// many as the caps allow, until one finds the server unreachable. Safe to drop: what was in hand is
    /// tried again when its lease has run out.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`]. What a server says is no error; it is in the summary and the rows.
    pub async fn deliver(&self) -> Result<DeliverySummary, PipelineError> {
        self.queue_approved_notices()?;
        self.read_bounces()?;
        let mut summary = DeliverySummary {
            dead: self.unmade_count.swap(0, Ordering::Relaxed),
            ..DeliverySummary::default()
        };
        if self.parts.mailer.is_some() {
            self.deliver_some(false, &mut summary).await?;
        }
        self.deliver_some(true, &mut summary).await?;
        Ok(summary)
    }

    /// Tries the messages that are due, of mail or of webhooks.
    async fn deliver_some(
        &self,
        to_webhooks: bool,
        summary: &mut DeliverySummary,
    ) -> Result<(), PipelineError> {
        let limits = self.mail().map_or(LIMITS, |mail| mail.sending);
        for _ in 0..limits.per_run_max {
            let now = self.clock.now();
            let since = now - CAP_SPAN;
            if self.store.sent_since(since)? >= limits.per_hour_max {
                tracing::warn!("the hourly number of messages is reached; the others wait");
                break;
            }
            let leased =
                self.store
                    .lease_message(now, since, limits.per_recipient_hour_max, to_webhooks)?;
            let Some(row) = leased else {
                break;
            };
            let attempt = self.attempt(&row).await;
            let is_down = matches!(attempt, Attempt::Unreachable(_));
            self.finish(&row, &attempt, &limits, summary)?;
            if is_down && !to_webhooks {
                // The others would fare no better: they stay due and are tried at the next pass. Webhooks
                // are servers of their own.
                summary.untried += self.store.due_mail_count(now)?;
                break;
            }
        }
        Ok(())
    }

    /// Tries one message.
    async fn attempt(&self, row: &MessageRow) -> Attempt {
        let message = &row.message;
        if message.octets.is_empty() {
            let advice =
                "there are no octets to send; `fluxwatch report send CASE` makes the mail anew";
            return Attempt::Refused(advice.to_owned());
        }
        if message.kind == MailKind::Webhook {
            let hook = self
                .parts
                .webhooks
                .iter()
                .find(|it| it.is_at(&message.recipient));
            return match hook {
                Some(hook) => hook.deliver(&message.message_id, &message.octets).await,
                None => Attempt::Refused("no [[webhook]] has this url any more".to_owned()),
            };
        }
        match &self.parts.mailer {
            Some(mailer) => {
                mailer
                    .deliver(
                        &message.sender,
                        &message.recipient,
                        &message.message_id,
                        &message.octets,
                    )
                    .await
            }
            None => Attempt::Unreachable("no mail is configured".to_owned()),
        }
    }

    /// Notes how an attempt ended.
    fn finish(
        &self,
        row: &MessageRow,
        attempt: &Attempt,
        limits: &SendingLimits,
        summary: &mut DeliverySummary,
    ) -> Result<(), PipelineError> {
        let message = &row.message;
        let now = self.clock.now();
        let tried = Tried {
            attempt_count: row.attempt_count,
            queued_at: row.queued_at,
            now,
            give_up: limits.give_up,
            seed: self
                .store
                .digest_key()
                .checksum(message.message_id.as_bytes()),
        };
        let next = after_attempt(attempt, &tried);
        let (Attempt::Delivered(reply)
        | Attempt::Passing(reply)
        | Attempt::Unreachable(reply)
        | Attempt::Refused(reply)) = attempt;
        let reply = plain_reply(reply);
        let is_noted = self
            .store
            .finish_attempt(row.id, row.attempt_count, &next, &reply, now)?;
        let (id, to) = (row.id, row.shown_recipient());
        if !is_noted {
            tracing::warn!(
                outbox = id,
                recipient = to,
                "message {id} to {to}: an attempt took longer than its lease, and a later one has its place: {reply}"
            );
            return Ok(());
        }
        match next {
            Next::Sent => {
                summary.sent += 1;
                tracing::info!(
                    outbox = id,
                    recipient = to,
                    "message {id} to {to} sent: {reply}"
                );
            }
            Next::RetryAt(at) => {
                summary.waiting += 1;
                tracing::warn!(
                    outbox = id,
                    recipient = to,
                    "message {id} to {to} waits until {at}: {reply}"
                );
            }
            Next::Dead => {
                summary.dead += 1;
                tracing::error!(
                    outbox = id,
                    recipient = to,
                    "message {id} to {to} is dead: {reply}"
                );
            }
        }
        Ok(())
    }

    /// Reads the notifications of mail that came back, and notes what became of it. Nothing is ever answered.
    fn read_bounces(&self) -> Result<(), PipelineError> {
        let Some(folder) = self.mail().and_then(|mail| mail.bounces.as_deref()) else {
            return Ok(());
        };
        let new = folder.join("new");
        // No mail has come back yet.
        let Ok(entries) = fs::read_dir(&new) else {
            return Ok(());
        };
        for entry in entries.flatten().take(BOUNCES_AT_ONCE) {
            let path = entry.path();
            let known = self.read_bounce_file(&path)?;
            // Read ones are marked as seen; others are left for a person.
            let flags = if known { ":2,S" } else { ":2," };
            let name = entry.file_name();
            let moved = folder
                .join("cur")
                .join(format!("{}{flags}", name.to_string_lossy()));
            if let Err(fault) =
                fs::create_dir_all(folder.join("cur")).and_then(|()| fs::rename(&path, moved))
            {
                tracing::error!("{}: {fault}", path.display());
            }
        }
        Ok(())
    }

    /// Reads one notification. Returns whether it was about a message of ours.
    fn read_bounce_file(&self, path: &Path) -> Result<bool, PipelineError> {
        let octets = file::read(path, BOUNCE_OCTETS_MAX).ok();
        let Some(bounce) = octets.as_deref().and_then(read_bounce) else {
            return Ok(false);
        };
        let mut message_id = None;
        for to in &bounce.to {
            let to = to.trim_matches(['<', '>', ' ']);
            message_id = message_id.or(self.store.message_by_sender(to)?);
        }
        let Some(message_id) = message_id else {
            return Ok(false);
        };
        let (fate, verb) = match bounce.verdict {
            Verdict::Delayed => (Fate::Delayed, "delayed"),
            Verdict::Undelivered => (Fate::Undelivered, "came back"),
            Verdict::Bounced => (Fate::Bounced, "came back"),
        };
        let words = format!("{verb}: {} {}", bounce.status, bounce.diagnostic);
        let reply: String = plain_reply(&words).chars().take(REPLY_MAX).collect();
        let now = self.clock.now();
        if self.store.note_fate(&message_id, fate, &reply, now)? {
            tracing::warn!("{message_id} {reply}");
        }
        Ok(true)
    }
}
