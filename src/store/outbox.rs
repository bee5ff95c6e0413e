//! Rows of the outbox.

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use crate::outbox::{LEASE, Next};
use crate::store::{Store, StoreError};
use crate::time::Timestamp;

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// Waits for its time.
    Queued,
    /// In the hands of a process.
    Sending,
    /// Taken by the server.
    Sent,
    /// Given up or refused; kept.
    Dead,
}

impl MessageState {
    /// Returns the word in listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Dead => "dead",
        }
    }

    /// Returns the state that [`MessageState::word`] gave `word` for.
    fn parse(word: &str) -> Option<Self> {
        [Self::Queued, Self::Sending, Self::Sent, Self::Dead]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

/// A message to be queued: its octets and its Message-ID are fixed from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// The case.
    pub case_id: i64,
    /// The report's revision.
    pub revision: u32,
    /// The one recipient.
    pub recipient: String,
    /// The envelope's sender.
    pub sender: String,
    /// With its angle brackets.
    pub message_id: String,
    /// For listings.
    pub subject: String,
    /// The mail, headers and all.
    pub octets: Vec<u8>,
}

/// A message of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageRow {
    /// Its number.
    pub id: i64,
    /// What was queued.
    pub message: NewMessage,
    /// Where it stands.
    pub state: MessageState,
    /// How often it was tried.
    pub attempt_count: u32,
    /// When it was queued.
    pub queued_at: Timestamp,
    /// When it is tried next.
    pub next_attempt_at: Timestamp,
    /// When it was taken.
    pub sent_at: Option<Timestamp>,
    /// What the server, or the way to it, last said.
    pub last_reply: Option<String>,
}

/// The columns of a message, in the order that [`read_message`] expects.
const COLUMNS: &str = "id, case_id, revision, recipient, sender, message_id, subject, octets, state, attempt_count, queued_at, next_attempt_at, sent_at, last_reply";

impl Store {
    /// Queues a message. The same case, revision and recipient are queued once only.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn queue_message(&self, message: &NewMessage, now: Timestamp) -> Result<(), StoreError> {
        self.run(|connection| {
            connection
                .prepare_cached(
                    "insert into message (case_id, revision, kind, recipient, sender, message_id, subject, octets, state, queued_at, next_attempt_at)
                     values (?, ?, 'report', ?, ?, ?, ?, ?, 'queued', ?, ?) on conflict (case_id, revision, kind, recipient) do nothing",
                )?
                .execute(params![message.case_id, message.revision, message.recipient, message.sender, message.message_id, message.subject, message.octets, now.unix(), now.unix()])
        })
        .map(|_| ())
    }

    /// Takes the next due message for delivery; nobody else takes it for the length of the lease.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn lease_message(&self, now: Timestamp) -> Result<Option<MessageRow>, StoreError> {
        let sql = format!(
            "update message set state = 'sending', attempt_count = attempt_count + 1, next_attempt_at = ?2
             where id = (select id from message where state in ('queued', 'sending') and next_attempt_at <= ?1 order by next_attempt_at, id limit 1)
             returning {COLUMNS}"
        );
        self.run(|connection| {
            connection
                .prepare_cached(&sql)?
                .query_row(params![now.unix(), (now + LEASE).unix()], read_message)
                .optional()
        })?
        .map(|row| row.ok_or_else(|| self.damaged("message state")))
        .transpose()
    }

    /// Notes how an attempt ended.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn finish_attempt(
        &self,
        id: i64,
        next: &Next,
        reply: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (state, next_attempt_at, sent_at) = match next {
            Next::Sent => (MessageState::Sent, None, Some(now.unix())),
            Next::RetryAt(at) => (MessageState::Queued, Some(at.unix()), None),
            Next::Dead => (MessageState::Dead, None, None),
        };
        self.run(|connection| {
            connection
                .prepare_cached("update message set state = ?2, next_attempt_at = coalesce(?3, next_attempt_at), sent_at = ?4, last_reply = ?5 where id = ?1")?
                .execute(params![id, state.word(), next_attempt_at, sent_at, reply])
        })
        .map(|_| ())
    }

    /// Makes messages that wait or were given up due now: all of them, or the one with a number.
    /// Returns how many.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn retry_messages(&self, id: Option<i64>, now: Timestamp) -> Result<usize, StoreError> {
        self.run(|connection| {
            connection
                .prepare_cached("update message set state = 'queued', next_attempt_at = ?2 where state in ('queued', 'dead') and (?1 is null or id = ?1)")?
                .execute(params![id, now.unix()])
        })
    }

    /// Returns the messages of the outbox, oldest first: all, or those not yet sent.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn messages(&self, unsent_only: bool) -> Result<Vec<MessageRow>, StoreError> {
        self.select_messages("?1 = 0 or state <> 'sent'", i64::from(unsent_only))
    }

    /// Returns the messages of a case, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn messages_of_case(&self, case_id: i64) -> Result<Vec<MessageRow>, StoreError> {
        self.select_messages("case_id = ?1", case_id)
    }

    /// Returns the messages that a condition names.
    fn select_messages(&self, condition: &str, value: i64) -> Result<Vec<MessageRow>, StoreError> {
        let sql = format!("select {COLUMNS} from message where {condition} order by id");
        let rows = self.run(|connection| {
            connection
                .prepare_cached(&sql)?
                .query_map([value], read_message)?
                .collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter()
            .map(|row| row.ok_or_else(|| self.damaged("message state")))
            .collect()
    }
}

/// Reads the columns of [`COLUMNS`]; `None` for a state that this program does not write.
fn read_message(row: &Row<'_>) -> rusqlite::Result<Option<MessageRow>> {
    let Some(state) = MessageState::parse(&row.get::<_, String>(8)?) else {
        return Ok(None);
    };
    Ok(Some(MessageRow {
        id: row.get(0)?,
        message: NewMessage {
            case_id: row.get(1)?,
            revision: row.get(2)?,
            recipient: row.get(3)?,
            sender: row.get(4)?,
            message_id: row.get(5)?,
            subject: row.get(6)?,
            octets: row.get(7)?,
        },
        state,
        attempt_count: row.get(9)?,
        queued_at: Timestamp::from_unix(row.get(10)?),
        next_attempt_at: Timestamp::from_unix(row.get(11)?),
        sent_at: row.get::<_, Option<i64>>(12)?.map(Timestamp::from_unix),
        last_reply: row.get(13)?,
    }))
}
