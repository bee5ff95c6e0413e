//! Empties the outbox: lease, send, note. And reads what came back.
//!
//! Attempts run beside each other, a lane each; the database is read and written between them, by one task, and
//! nothing waits for the network meanwhile.
//!
//! The lease is committed before the attempt and the result after it. A crash in between leaves a
//! message that is sent again, with the same octets and the same Message-ID, when the lease has run out.

use crate::pipeline::notify::Notify;
use std::fs;
use std::future::{Future, pending};
use std::mem;
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

use crate::config::SendingLimits;
use crate::count::counted;
use crate::file;
use crate::mailer::{Verdict, read_bounce};
use crate::outbox::{Attempt, GIVE_UP, LEASE, Next, Tried, after_attempt, plain_reply};
use crate::pipeline::error::PipelineError;
use crate::pipeline::figures::{Stage, record_stage};
use crate::pipeline::notify::lanes::Pass;
use crate::pipeline::notify::passage::Lease;
use crate::pipeline::outcome::DeliverySummary;
use crate::store::{Fate, MailKind, MessageRow, NewMessage, SendingCaps, Way};
use crate::time::Span;

/// The most notifications that are read at a time.
// Anybody can write to the address that bounces come to; the next pass reads on.
const BOUNCES_AT_ONCE: usize = 1000;
/// The most octets of a notification that are read.
// RFC 6522 §3: a notification may carry the whole message that it is about.
const BOUNCE_OCTETS_MAX: u64 = 10 << 20;
/// The most characters of what a notification says that are kept.
// The other server decides how much it says.
const REPLY_MAX: usize = 500;
/// How long attempts in hand may go on after a service is asked to stop: shorter than the 5 s within which it ends.
// systemd waits longer; a mail server answers the end of the message within it, and then nothing is sent twice.
pub const STOP_GRACE: Duration = Duration::from_secs(3);
/// How often a pass looks for what was queued, approved or came back since it began.
// A pass lasts as long as its slowest server; an approved notice must not wait for that.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long to wait before an attempt is noted that the database could not note.
const NOTE_AGAIN: Duration = Duration::from_millis(500);
/// For how long that is tried: after its lease somebody else has the message.
const NOTED_WITHIN: Duration = Duration::from_secs(LEASE.as_seconds() as u64);
/// For how long a command tries it, whose user waits.
const NOTED_WITHIN_OF_COMMAND: Duration = Duration::from_secs(2);
/// The span that the caps are for.
const CAP_SPAN: Span = Span::hours(1);
/// The limits where no mail is configured, and only webhooks are told.
const LIMITS: SendingLimits = SendingLimits {
    give_up: GIVE_UP,
    per_run_max: 500,
    per_hour_max: 1000,
    per_recipient_hour_max: 1000,
};

impl Notify<'_> {
    /// Tries every message that is due, as many as the caps allow; see [`Notify::deliver_until`].
    pub async fn deliver(&self) -> Result<DeliverySummary, PipelineError> {
        self.deliver_in(pending(), NOTED_WITHIN_OF_COMMAND).await
    }

    /// Queues the notices that are approved, reads what came back, and tries every message that is due, as
    /// many as the caps allow, until nothing more is due.
    ///
    /// Messages are tried beside each other, one at a time to a destination and there the oldest first. What comes
    /// in meanwhile is tried too. A mail server that is not reached ends the attempts of mail for this pass, a URL
    /// that is not reached its own.
    ///
    /// After `stop` no attempt begins; those in hand have [`STOP_GRACE`], so that what a server has just taken is
    /// noted as sent. Safe to drop at any moment: what was in hand is tried again when its lease has run out.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`]. While attempts are in hand or ended and not noted, a fault of the database is waited
    /// for, as long as a lease. What a server says is no error; it is in the summary and the rows.
    pub async fn deliver_until(
        &self,
        stop: impl Future<Output = ()>,
    ) -> Result<DeliverySummary, PipelineError> {
        self.deliver_in(stop, NOTED_WITHIN).await
    }

    /// [`Notify::deliver_until`] that tries for so long to note what was done.
    async fn deliver_in(
        &self,
        stop: impl Future<Output = ()>,
        noted_within: Duration,
    ) -> Result<DeliverySummary, PipelineError> {
        let mut pass = Pass::default();
        pass.noted_within = noted_within;
        let mut stop = pin!(stop);
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                () = &mut stop => {
                    self.end_in_grace(&mut pass).await;
                    return Ok(pass.summary);
                }
                () = pass.next() => {}
                () = sleep(wait) => {}
            }
            wait = match self.go_on(&mut pass) {
                Ok(()) if pass.is_idle() => break,
                Ok(()) => LOOK_EVERY,
                Err(fault) => self.bear(&mut pass, fault)?,
            };
        }
        let now = self.clock.now();
        let mut summary = pass.summary;
        for (way, lane) in pass.left_alone() {
            summary.untried += self.store.desk().due_count(way, lane, now)?;
        }
        Ok(summary)
    }

    /// Notes what ended, takes what came in, and begins what is due.
    fn go_on(&self, pass: &mut Pass) -> Result<(), PipelineError> {
        self.record_ended(pass)?;
        if pass.look_at.is_none_or(|at| at <= Instant::now()) {
            self.queue_approved_notices()?;
            self.read_bounces()?;
            pass.look_at = Some(Instant::now() + LOOK_EVERY);
        }
        pass.summary.dead += self.unmade_count.swap(0, Ordering::Relaxed);
        if self.parts.mailer.is_some() {
            self.begin_due(Way::Mail, pass)?;
        }
        self.begin_due(Way::Webhook, pass)?;
        pass.trouble_since = None;
        Ok(())
    }

    /// Returns how long to wait after a fault of the database, if there is something that has to be noted.
    fn bear(&self, pass: &mut Pass, fault: PipelineError) -> Result<Duration, PipelineError> {
        let is_new = pass.trouble_since.is_none();
        let since = *pass.trouble_since.get_or_insert_with(Instant::now);
        let is_done = pass.is_idle() && pass.ended.is_empty();
        // Longer than a lease is no use: by then another attempt at the message may have begun.
        if is_done || !fault.can_heal() || since.elapsed() >= pass.noted_within {
            return Err(fault);
        }
        if is_new {
            let count = pass.in_hand_count() + pass.ended.len();
            let attempts = counted(count as u64, "attempt");
            tracing::warn!(
                "{attempts} in hand cannot be recorded yet; fluxwatch tries again: {fault}"
            );
        }
        Ok(NOTE_AGAIN)
    }

    /// Lets attempts in hand end within [`STOP_GRACE`], and notes them.
    async fn end_in_grace(&self, pass: &mut Pass) {
        let end = tokio::time::Instant::now() + STOP_GRACE;
        let mut noted = self.record_ended(pass);
        while !pass.is_idle() || noted.is_err() {
            tokio::select! {
                () = pass.next() => {}
                () = sleep(NOTE_AGAIN), if noted.is_err() => {}
                () = sleep_until(end) => break,
            }
            noted = self.record_ended(pass);
        }
        if let Err(fault) = noted {
            tracing::error!(
                "cannot record an attempt; fluxwatch tries its message again when the lease is over: {fault}"
            );
        }
        let count = pass.in_hand_count();
        if count > 0 {
            let attempts = counted(count as u64, "attempt");
            tracing::info!(
                attempts = count,
                "{attempts} broken off; tried again when the lease is over"
            );
        }
    }

    /// Notes the attempts that ended.
    fn record_ended(&self, pass: &mut Pass) -> Result<(), PipelineError> {
        while let Some(ended) = pass.ended.front() {
            // Taken from the queue only once it is written: what a server has taken must not be sent again for a
            // fault of the database.
            self.finish(&ended.row, &ended.attempt, &mut pass.summary)?;
            pass.ended.pop_front();
        }
        Ok(())
    }

    /// Returns how much may be sent.
    fn sending_limits(&self) -> SendingLimits {
        self.mail().map_or(LIMITS, |mail| mail.sending)
    }

    /// Begins what is due and has a place.
    fn begin_due(&self, way: Way, pass: &mut Pass) -> Result<(), PipelineError> {
        // Whoever stood behind a message that was stopped, or that waits for an earlier one, may be due as well.
        while self.begin_oldest(way, pass)? {}
        Ok(())
    }

    /// Begins the oldest message of each recipient that is due and has a place. Returns whether one of them was stopped or
    /// put behind another.
    fn begin_oldest(&self, way: Way, pass: &mut Pass) -> Result<bool, PipelineError> {
        let limits = self.sending_limits();
        let mut has_moved = false;
        if !pass.has_place(way, limits.per_run_max) {
            return Ok(has_moved);
        }
        let now = self.clock.now();
        let caps = SendingCaps {
            since: now - CAP_SPAN,
            per_recipient_max: limits.per_recipient_hour_max,
            in_all_max: limits.per_hour_max,
        };
        for due in self.store.desk().oldest_due(way, now)? {
            let sent_count = self.store.desk().sent_since(caps.since, now)?;
            // What is in hand counts as sent, or attempts beside each other would pass the cap together.
            if sent_count + self.store.desk().in_hand_count(now)? >= limits.per_hour_max {
                if sent_count >= limits.per_hour_max && !pass.is_cap_told {
                    tracing::warn!(
                        "fluxwatch has sent {sent_count} messages within an hour, the most that it may (smtp.per_hour_max); the others wait"
                    );
                    pass.is_cap_told = true;
                }
                break;
            }
            if !pass.has_place(way, limits.per_run_max) {
                break;
            }
            if !pass.is_free(&due.lane) {
                continue;
            }
            // The lease is taken in the database: another process may look at the same queue.
            match self.lease(due.id, &caps, now)? {
                Lease::Taken(mut row) => {
                    let attempt = self.attempt(&mut row.message);
                    pass.start(way, due, *row, attempt);
                }
                Lease::Moved => has_moved = true,
                Lease::Waits => {
                    pass.summary.waiting += 1;
                    has_moved = true;
                }
                Lease::Dead => {
                    pass.summary.dead += 1;
                    has_moved = true;
                }
                Lease::Busy => {}
            }
        }
        Ok(has_moved)
    }

    /// Returns the attempt at a message, whose octets it takes. It stands alone: it knows nothing of the store.
    fn attempt(&self, message: &mut NewMessage) -> impl Future<Output = Attempt> + Send + 'static {
        let octets = mem::take(&mut message.octets);
        let message = message.clone();
        let hook = self
            .parts
            .webhooks
            .iter()
            .find(|it| it.is_at(&message.recipient))
            .cloned();
        let mailer = self.parts.mailer.clone();
        async move {
            let NewMessage {
                sender,
                recipient,
                message_id,
                ..
            } = &message;
            // Such as those that could not be composed, and those of cases from which persons were taken out.
            if octets.is_empty() {
                let advice = "the message is empty; `fluxwatch report send CASE` composes it again";
                return Attempt::Refused(advice.to_owned());
            }
            let began = Instant::now();
            let attempt = match (message.kind, hook, mailer) {
                (MailKind::Webhook, Some(hook), _) => hook.deliver(message_id, &octets).await,
                (MailKind::Webhook, None, _) => Attempt::Refused(
                    "no [[webhook]] has this URL any more; add it again, or drop the message"
                        .to_owned(),
                ),
                (_, _, Some(mailer)) => {
                    mailer.deliver(sender, recipient, message_id, &octets).await
                }
                (_, _, None) => Attempt::Unreachable(
                    "the configuration has no [smtp] to send mail through".to_owned(),
                ),
            };
            record_stage(Stage::Send, began.elapsed());
            attempt
        }
    }

    /// Notes how an attempt ended.
    fn finish(
        &self,
        row: &MessageRow,
        attempt: &Attempt,
        summary: &mut DeliverySummary,
    ) -> Result<(), PipelineError> {
        let message = &row.message;
        let now = self.clock.now();
        let give_up = self.sending_limits().give_up;
        let begun_anew_at = match now.since(row.queued_at) >= give_up {
            true => self.store.desk().begun_anew_at(row)?,
            false => None,
        };
        let tried = Tried {
            attempt_count: row.attempt_count,
            since: begun_anew_at.map_or(row.queued_at, |at| at.max(row.queued_at)),
            now,
            give_up,
            // The wait is spread by the message: all that failed together would else come back together.
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
        let is_noted =
            self.store
                .desk()
                .finish_attempt(row.id, row.attempt_count, &next, &reply, now)?;
        let (id, to) = (row.id, row.shown_recipient());
        if !is_noted {
            tracing::warn!(
                outbox = id,
                recipient = to,
                "message {id} to {to}: an attempt took longer than its lease, and a later one has replaced it: {reply}"
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
            if let Err(fault) = file::make_folders(&folder.join("cur"), 0o700)
                .and_then(|()| fs::rename(&path, moved))
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
        // A notification comes to the sender of the message in its envelope, which is one of its own (VERP).
        for to in &bounce.to {
            let to = to.trim_matches(['<', '>', ' ']);
            message_id = message_id.or(self.store.desk().message_by_sender(to)?);
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
        if self
            .store
            .desk()
            .record_fate(&message_id, fate, &reply, now)?
        {
            tracing::warn!("{message_id} {reply}");
        }
        Ok(true)
    }
}
