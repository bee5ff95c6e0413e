//! Rows of notices: onward reports that wait for approval.

use serde::Serialize;

use crate::evidence::{Hash, hash_octets};
use crate::store::desk::Desk;
use crate::store::desk::outbox::NewMessage;
use crate::store::door::{Fault, Row, params};
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
    /// What people wrote into it.
    pub edited: Option<NoticeEdit>,
}

/// What people wrote into a draft.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoticeEdit {
    /// The paragraph as it is now; empty if it was taken out again.
    pub paragraph: String,
    /// Who edited this draft and those that it replaces, in the order of their first edits, each once. As many as there
    /// are people of the desk, at most.
    pub editors: Vec<String>,
}

impl NoticeEdit {
    /// Returns the edit that follows this one: the paragraph is replaced, and those who edited before stay editors.
    pub fn followed_by(mut self, paragraph: &str, editor: &str) -> Self {
        if !self.is_by(editor) {
            self.editors.push(editor.to_owned());
        }
        self.paragraph = paragraph.to_owned();
        self
    }

    /// Returns whether somebody is among the editors. Names that differ in the case of ASCII letters are one person's.
    pub fn is_by(&self, name: &str) -> bool {
        self.editors.iter().any(|it| it.eq_ignore_ascii_case(name))
    }

    /// Returns the editors in one line, for pages.
    pub fn editors_line(&self) -> String {
        self.editors.join(", ")
    }
}

/// Between the editors of a draft in their column. No name has one: `people::check_name`.
const EDITOR_SEPARATOR: char = ',';

/// The columns of a notice, in the order that [`read`] expects.
const COLUMNS: &str = "id, case_id, revision, recipient, sender, message_id, subject, octets, party, state, basis, sha256, drafted_at, decided_at, decided_by, paragraph, edited_by";

impl Desk<'_> {
    /// Keeps a notice that waits for approval. What was drafted for the same recipient and nobody has
    /// decided on is void. Returns its number; `None` if a notice with its message ID was kept before.
    pub fn draft_notice(
        &self,
        message: &NewMessage,
        party: &str,
        basis: &str,
        now: Timestamp,
    ) -> Result<Option<i64>, StoreError> {
        self.store
            .run(|db| {
                let sql = "update notice
                              set state = 'void'
                            where case_id = ? and recipient = ? and state in ('drafted', 'approved')";
                db.execute(sql, params![message.case_id, message.recipient])?;
                let sql = "insert into notice (case_id, recipient, party, state, basis,
                                                         revision, sender, message_id, subject,
                                                         octets, sha256, drafted_at)
                           values (?, ?, ?, 'drafted', ?, ?, ?, ?, ?, ?, ?, ?)
                           on conflict do nothing
                           returning id";
                db.write_returning(
                    sql,
                    params![
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
                        now
                    ],
                    |row| row.get("id"),
                )
            })
    }

    /// Notes what people wrote into a notice.
    pub fn note_edit(&self, id: i64, edit: &NoticeEdit) -> Result<(), StoreError> {
        let editors = edit.editors.join(&EDITOR_SEPARATOR.to_string());
        self.store
            .run(|db| {
                let sql = "update notice set paragraph = ?2, edited_by = ?3 where id = ?1";
                db.execute(sql, params![id, edit.paragraph, editors])
            })
            .map(|_| ())
    }

    /// Notes a decision, or that a notice was queued or is void; `by` only for a person's. Returns whether the notice
    /// stood where it was expected to: else nothing is written.
    pub fn move_notice(
        &self,
        id: i64,
        (from, to): (NoticeState, NoticeState),
        by: Option<(&str, Timestamp, Option<&str>)>,
    ) -> Result<bool, StoreError> {
        self.store
            .run(|db| {
                let sql = "update notice
                              set state = ?2, decided_by = coalesce(?3, decided_by),
                                  decided_at = coalesce(?4, decided_at), note = coalesce(?5, note)
                            where id = ?1 and state = ?6";
                let (who, at, note) = match by {
                    Some((who, at, note)) => (Some(who), Some(at.unix()), note),
                    None => (None, None, None),
                };
                db.execute(sql, params![id, to.word(), who, at, note, from.word()])
            })
            .map(|count| count > 0)
    }

    /// Returns the notice with a number.
    pub fn notice(&self, id: i64) -> Result<Option<NoticeRow>, StoreError> {
        Ok(self.notice_rows("id = ?", id)?.pop())
    }

    /// Returns the notices of a case, oldest first.
    pub fn notices_of_case(&self, case_id: i64) -> Result<Vec<NoticeRow>, StoreError> {
        self.notice_rows("case_id = ? order by id", case_id)
    }

    /// Returns the notices that are approved and not queued, oldest first.
    pub fn approved_notices(&self) -> Result<Vec<NoticeRow>, StoreError> {
        self.notice_rows("state = 'approved' and ? = 0 order by id", 0)
    }

    /// Returns the notices that wait for approval, oldest first.
    pub fn drafted_notices(&self) -> Result<Vec<NoticeRow>, StoreError> {
        self.notice_rows("state = 'drafted' and ? = 0 order by id", 0)
    }

    /// Returns how many notices wait for approval.
    pub fn drafted_notice_count(&self) -> Result<u32, StoreError> {
        self.store
            .run(|db| db.first_value("select count(*) from notice where state = 'drafted'", ()))
            .map(Option::unwrap_or_default)
    }

    /// Returns the notices that a condition on a number names.
    fn notice_rows(&self, condition: &str, value: i64) -> Result<Vec<NoticeRow>, StoreError> {
        let sql = format!("select {COLUMNS} from notice where {condition}");
        let rows = self.store.run(|db| db.query(&sql, [value], read))?;
        rows.into_iter()
            .map(|row| row.ok_or_else(|| self.store.damaged("notice state")))
            .collect()
    }
}

/// Reads the columns of [`COLUMNS`]; `None` for a state that this program does not write.
fn read(row: &Row<'_>) -> Result<Option<NoticeRow>, Fault> {
    let Some(state) = NoticeState::parse(&row.get::<String>("state")?) else {
        return Ok(None);
    };
    let decided_at: Option<i64> = row.get("decided_at")?;
    let decided_by: Option<String> = row.get("decided_by")?;
    let (paragraph, edited_by): (Option<String>, Option<String>) =
        (row.get("paragraph")?, row.get("edited_by")?);
    Ok(Some(NoticeRow {
        id: row.get("id")?,
        message: NewMessage {
            case_id: Some(row.get("case_id")?),
            kind: crate::store::MailKind::Notice,
            revision: row.get("revision")?,
            recipient: row.get("recipient")?,
            sender: row.get("sender")?,
            message_id: row.get("message_id")?,
            subject: row.get("subject")?,
            octets: row.get("octets")?,
        },
        party: row.get("party")?,
        state,
        basis: row.get("basis")?,
        sha256: row.get("sha256")?,
        drafted_at: row.get("drafted_at")?,
        decided: decided_at.map(|at| (Timestamp::from_unix(at), decided_by.unwrap_or_default())),
        edited: edited_by.map(|by| NoticeEdit {
            paragraph: paragraph.unwrap_or_default(),
            editors: by.split(EDITOR_SEPARATOR).map(str::to_owned).collect(),
        }),
    }))
}
