//! Empties the outbox: lease, send, note.
//!
//! The lease is committed before the attempt and the result after it. A crash in between leaves a
//! message that is sent again, with the same octets and the same Message-ID, when the lease has run out.

use crate::outbox::{Attempt, Next, after_attempt};
use crate::pipeline::{Pipeline, PipelineError};

/// What a pass over the outbox did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliverySummary {
    /// Messages that were taken.
    pub sent: u64,
    /// Messages that wait for another attempt.
    pub waiting: u64,
    /// Messages that were given up or refused.
    pub dead: u64,
}

impl Pipeline {
    /// Tries every message that is due, until one finds the server unreachable. Safe to drop: what was
    /// in hand is tried again when its lease has run out.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`]. What a server says is no error; it is in the summary and the rows.
    pub async fn deliver(&self) -> Result<DeliverySummary, PipelineError> {
        let mut summary = DeliverySummary::default();
        let Some(mailer) = &self.mailer else {
            return Ok(summary);
        };
        while let Some(row) = self.store.lease_message(self.clock.now())? {
            let message = &row.message;
            let attempt = mailer
                .deliver(
                    &message.sender,
                    &message.recipient,
                    &message.message_id,
                    &message.octets,
                )
                .await;
            let now = self.clock.now();
            let next = after_attempt(&attempt, row.attempt_count, row.queued_at, now);
            let (Attempt::Delivered(reply)
            | Attempt::Passing(reply)
            | Attempt::Unreachable(reply)
            | Attempt::Refused(reply)) = &attempt;
            self.store.finish_attempt(row.id, &next, reply, now)?;
            let is_down = matches!(attempt, Attempt::Unreachable(_));
            match next {
                Next::Sent => {
                    summary.sent += 1;
                    tracing::info!(
                        message = row.id,
                        recipient = message.recipient,
                        "message {} to {} sent: {reply}",
                        row.id,
                        message.recipient
                    );
                }
                Next::RetryAt(at) => {
                    summary.waiting += 1;
                    tracing::warn!(
                        message = row.id,
                        recipient = message.recipient,
                        "message {} to {} waits until {at}: {reply}",
                        row.id,
                        message.recipient
                    );
                }
                Next::Dead => {
                    summary.dead += 1;
                    tracing::error!(
                        message = row.id,
                        recipient = message.recipient,
                        "message {} to {} is dead: {reply}",
                        row.id,
                        message.recipient
                    );
                }
            }
            if is_down {
                // The others would fare no better: they stay due and are tried at the next pass.
                break;
            }
        }
        Ok(summary)
    }
}
