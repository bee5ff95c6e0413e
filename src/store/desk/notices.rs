//! Rows of notices: onward reports that wait for approval.

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;

use crate::evidence::{Hash, hash_octets};
use crate::store::desk::Desk;
use crate::store::desk::outbox::NewMessage;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// Where a notice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeState {
    /// Waits for somebody's approval.
    Drafted,
    /// Approved, and not in the outbox yet.
    Approved,
    /// In the outbox.
    Queued,
    /// Somebody does not want it sent.
    Rejected,
    /// The case changed before it was queued.
    Void,
}

impl NoticeState {
    /// Returns the word in listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::Approved => "approved",
            Self::Queued => "queued",
            Self::Rejected => "rejected",
            Self::Void => "void",
        }
    }

    /// Returns the state that [`NoticeState::word`] gave `word` for.
    fn parse(word: &str) -> Option<Self> {
        let all = [
            Self::Drafted,
            Self::Approved,
            Self::Queued,
            Self::Rejected,
            Self::Void,
        ];
        all.into_iter().find(|state| state.word() == word)
    }
}

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeRow {
    /// Its number.
    pub id: i64,
    /// What would be sent.
    pub message: NewMessage,
    /// Whom it concerns.
    pub party: String,
    /// Where it stands.
    pub state: NoticeState,
    /// What the case said when it was drafted.
    pub basis: String,
    /// SHA-256 of the octets.
    pub sha256: Hash,
    /// When it was drafted.
    pub drafted_at: Timestamp,
    /// When somebody decided, and who.
    pub decided: Option<(Timestamp, String)>,
}

/// The columns of a notice, in the order that [`read`] expects.
const COLUMNS: &str = "id, case_id, revision, recipient, sender, message_id, subject, octets, party, state, basis, sha256, drafted_at, decided_at, decided_by";

impl Desk<'_> {
    /// Keeps a notice that waits for approval. What was drafted for the same recipient and nobody has
    /// decided on is void.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn draft_notice(
        &self,
        message: &NewMessage,
        party: &str,
        basis: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.store.run(|connection| {
            connection
                .prepare_cached("update notice set state = 'void' where case_id = ? and recipient = ? and state in ('drafted', 'approved')")?
                .execute(params![message.case_id, message.recipient])?;
            let sql = "insert or ignore into notice (case_id, recipient, party, state, basis, revision, sender, message_id, subject, octets, sha256, drafted_at)
                       values (?, ?, ?, 'drafted', ?, ?, ?, ?, ?, ?, ?, ?)";
            connection.prepare_cached(sql)?.execute(params![
                message.case_id,
                message.recipient,
                party,
                basis,
                message.revision,
                message.sender,
                message.message_id,
                message.subject,
                message.octets,
                hash_octets(&message.octets).0,
                now.unix()
            ])
        })
        .map(|_| ())
    }

    /// Notes a decision, or that a notice was queued or is void; `by` only for a person's.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn move_notice(
        &self,
        id: i64,
        state: NoticeState,
        by: Option<(&str, Timestamp, Option<&str>)>,
    ) -> Result<(), StoreError> {
        self.store.run(|connection| {
            let sql = "update notice set state = ?2, decided_by = coalesce(?3, decided_by), decided_at = coalesce(?4, decided_at), note = coalesce(?5, note) where id = ?1";
            let (who, at, note) = match by {
                Some((who, at, note)) => (Some(who), Some(at.unix()), note),
                None => (None, None, None),
            };
            connection
                .prepare_cached(sql)?
                .execute(params![id, state.word(), who, at, note])
        })
        .map(|_| ())
    }

    /// Returns the notices of a case, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn notices_of_case(&self, case_id: i64) -> Result<Vec<NoticeRow>, StoreError> {
        self.notice_rows("case_id = ? order by id", case_id)
    }

    /// Returns the notices that are approved and not queued, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn approved_notices(&self) -> Result<Vec<NoticeRow>, StoreError> {
        self.notice_rows("state = 'approved' and ? = 0 order by id", 0)
    }

    /// Returns the notices that wait for approval, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn drafted_notices(&self) -> Result<Vec<NoticeRow>, StoreError> {
        self.notice_rows("state = 'drafted' and ? = 0 order by id", 0)
    }

    /// Returns how many notices wait for approval.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn drafted_notice_count(&self) -> Result<u32, StoreError> {
        self.store
            .run(|connection| {
                connection
                    .prepare_cached("select count(*) from notice where state = 'drafted'")?
                    .query_row([], |row| row.get(0))
                    .optional()
            })
            .map(Option::unwrap_or_default)
    }

    /// Returns the notices that a condition on a number names.
    fn notice_rows(&self, condition: &str, value: i64) -> Result<Vec<NoticeRow>, StoreError> {
        let sql = format!("select {COLUMNS} from notice where {condition}");
        let rows = self.store.run(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            let rows = statement.query_map([value], read)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter()
            .map(|row| row.ok_or_else(|| self.store.damaged("notice state")))
            .collect()
    }
}

/// Reads the columns of [`COLUMNS`]; `None` for a state that this program does not write.
fn read(row: &Row<'_>) -> rusqlite::Result<Option<NoticeRow>> {
    let Some(state) = NoticeState::parse(&row.get::<_, String>(9)?) else {
        return Ok(None);
    };
    let decided_at: Option<i64> = row.get(13)?;
    let decided_by: Option<String> = row.get(14)?;
    Ok(Some(NoticeRow {
        id: row.get(0)?,
        message: NewMessage {
            case_id: Some(row.get(1)?),
            kind: crate::store::MailKind::Notice,
            revision: row.get(2)?,
            recipient: row.get(3)?,
            sender: row.get(4)?,
            message_id: row.get(5)?,
            subject: row.get(6)?,
            octets: row.get(7)?,
        },
        party: row.get(8)?,
        state,
        basis: row.get(10)?,
        sha256: Hash(row.get(11)?),
        drafted_at: Timestamp::from_unix(row.get(12)?),
        decided: decided_at.map(|at| (Timestamp::from_unix(at), decided_by.unwrap_or_default())),
    }))
}
