//! What a pass over the outbox has in hand: at most one attempt in a lane, and so many lanes at a time.
//!
//! A lane is a destination: a URL, or the domain of mail addresses, for behind one relay a domain whose server is
//! slow to answer must not hold up the others. Mail and webhooks have places of their own.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::task::{Id, JoinSet};

use crate::outbox::Attempt;
use crate::pipeline::outcome::DeliverySummary;
use crate::store::{DueMessage, MessageRow, Way};

/// The most mails that are tried at a time. Chosen by hand: few servers mind so many sessions of one client, and so
/// many slow domains at a time are rare.
// One slow mail server must not hold up the mail to the others.
const MAIL_LANES_MAX: usize = 8;
/// The most webhooks that are tried at a time.
const WEBHOOK_LANES_MAX: usize = 8;
/// A lane where an attempt failed after so long is left alone for the rest of the pass, as one whose server was not
/// reached: its next message would hold a place as long.
const SLOW: Duration = Duration::from_secs(20);

/// A message that is tried.
struct InHand {
    row: MessageRow,
    lane: String,
    way: Way,
    since: Instant,
}

/// An attempt that ended.
pub(in crate::pipeline) struct Ended {
    /// The message, without its octets.
    pub(in crate::pipeline) row: MessageRow,
    /// How it ended.
    pub(in crate::pipeline) attempt: Attempt,
}

/// How long what was left alone stays so in a pass that goes on for others: as long as passes are apart.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(30);

/// Returns whether what was left alone at a time still is.
fn is_closed(at: Option<&Instant>) -> bool {
    at.is_some_and(|at| at.elapsed() < LEFT_ALONE_FOR)
}

/// A pass over the outbox.
#[derive(Default)]
pub(in crate::pipeline) struct Pass {
    /// What it did.
    pub(in crate::pipeline) summary: DeliverySummary,
    /// Attempts that ended and are not noted yet, the first to be noted first. Bounded by the lanes.
    pub(in crate::pipeline) ended: VecDeque<Ended>,
    /// When to look next for what came in beside the outbox; `None` at the beginning.
    pub(in crate::pipeline) look_at: Option<Instant>,
    /// Since when the database cannot be written.
    pub(in crate::pipeline) trouble_since: Option<Instant>,
    /// For how long that is borne while something is to be noted.
    pub(in crate::pipeline) noted_within: Duration,
    /// Whether it was said that the hourly number is reached.
    pub(in crate::pipeline) is_cap_told: bool,
    attempts: JoinSet<Attempt>,
    in_hand: HashMap<Id, InHand>,
    /// Lanes that are left alone, and since when.
    closed: BTreeMap<String, Instant>,
    /// Since when mail is left alone, for there is no other server.
    mail_closed_at: Option<Instant>,
    mail_count: u32,
    webhook_count: u32,
}

impl Pass {
    /// Returns whether nothing is tried.
    pub(in crate::pipeline) fn is_idle(&self) -> bool {
        self.in_hand.is_empty()
    }

    /// Returns how many attempts are in hand.
    pub(in crate::pipeline) fn in_hand_count(&self) -> usize {
        self.in_hand.len()
    }

    /// Returns whether another lane of a way may be begun, of which a pass tries so many messages.
    pub(in crate::pipeline) fn has_place(&self, way: Way, per_run_max: u32) -> bool {
        let busy = self.in_hand.values().filter(|it| it.way == way).count();
        match way {
            Way::Mail => {
                !is_closed(self.mail_closed_at.as_ref())
                    && busy < MAIL_LANES_MAX
                    && self.mail_count < per_run_max
            }
            Way::Webhook => busy < WEBHOOK_LANES_MAX && self.webhook_count < per_run_max,
        }
    }

    /// Returns whether a lane is neither busy nor left alone.
    pub(in crate::pipeline) fn is_free(&self, lane: &str) -> bool {
        !is_closed(self.closed.get(lane)) && self.in_hand.values().all(|it| it.lane != lane)
    }

    /// Begins an attempt.
    pub(in crate::pipeline) fn start(
        &mut self,
        way: Way,
        due: DueMessage,
        row: MessageRow,
        attempt: impl Future<Output = Attempt> + Send + 'static,
    ) {
        match way {
            Way::Mail => self.mail_count += 1,
            Way::Webhook => self.webhook_count += 1,
        }
        let id = self.attempts.spawn(attempt).id();
        let message = InHand {
            row,
            lane: due.lane,
            way,
            since: Instant::now(),
        };
        self.in_hand.insert(id, message);
    }

    /// Waits until an attempt ends and takes it among the ended ones; for ever, if there is none. Safe to drop.
    pub(in crate::pipeline) async fn next(&mut self) {
        let (id, attempt) = match self.attempts.join_next_with_id().await {
            Some(Ok((id, attempt))) => (id, attempt),
            // An attempt that panicked may have sent its message or not: it is tried again like one that broke off.
            Some(Err(fault)) => {
                let attempt = Attempt::Passing(fault.to_string());
                (fault.id(), attempt.perhaps_sent())
            }
            None => std::future::pending().await,
        };
        let Some(message) = self.in_hand.remove(&id) else {
            return;
        };
        match (&attempt, message.way) {
            (Attempt::Delivered(_), _) => {}
            // The others would fare no better; they stay due.
            (Attempt::Unreachable(_), Way::Mail) => self.mail_closed_at = Some(Instant::now()),
            (Attempt::Unreachable(_), Way::Webhook) => {
                self.closed.insert(message.lane, Instant::now());
            }
            _ if message.since.elapsed() >= SLOW => {
                self.closed.insert(message.lane, Instant::now());
            }
            _ => {}
        }
        self.ended.push_back(Ended {
            row: message.row,
            attempt,
        });
    }

    /// Returns what was left alone: whole ways and single lanes.
    pub(in crate::pipeline) fn left_alone(&self) -> Vec<(Way, Option<&str>)> {
        let way = |lane: &str| {
            if lane.starts_with("webhook ") {
                Way::Webhook
            } else {
                Way::Mail
            }
        };
        let lanes = self
            .closed
            .keys()
            .map(|lane| (way(lane), Some(lane.as_str())));
        if self.mail_closed_at.is_some() {
            lanes
                .filter(|(way, _)| *way == Way::Webhook)
                .chain([(Way::Mail, None)])
                .collect()
        } else {
            lanes.collect()
        }
    }
}
