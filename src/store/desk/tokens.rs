//! Tokens of machines, by their hashes; and what steps over HTTP were answered with.

use crate::people::Role;
use crate::store::desk::Desk;
use crate::store::door::{Fault, Row, params};
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// A token, without what enters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its number.
    pub id: i64,
    /// The name that the log keeps.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends; `None` for never.
    pub ends_at: Option<Timestamp>,
    /// When somebody took it back, and who.
    pub revoked: Option<(Timestamp, String)>,
    /// When it was used last, an hour more or less.
    pub used_at: Option<Timestamp>,
}

impl TokenRow {
    /// Returns whether it lets anybody in at a time.
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.ends_at.is_none_or(|end| now < end)
    }
}

/// What a step over HTTP was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// A hash of the request: another one under the same key is no repetition.
    pub request_hash: [u8; 32],
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
    /// The ETag of the case after the step; `None` if a version before kept the answer.
    pub etag: Option<String>,
}

/// The columns of a token, as [`read`] names them.
const COLUMNS: &str =
    "id, name, role, created_at, created_by, ends_at, revoked_at, revoked_by, used_at";

impl Desk<'_> {
    /// Adds a token. Returns its number.
    pub fn add_token(&self, token_hash: &[u8; 32], token: &TokenRow) -> Result<i64, StoreError> {
        self.store.run(|db| {
            let sql =
                "insert into api_token (name, token_hash, role, created_at, created_by, ends_at)
                       values (?, ?, ?, ?, ?, ?)
                       returning id";
            let bound = params![
                token.name,
                token_hash,
                token.role.word(),
                token.created_at,
                token.created_by,
                token.ends_at
            ];
            db.write_returning_one(sql, bound, |row| row.get("id"))
        })
    }

    /// Returns the token that a hash is of.
    pub fn token(&self, token_hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        let sql = format!("select {COLUMNS} from api_token where token_hash = ?");
        let row = self
            .store
            .run(|db| db.query_first(&sql, [token_hash], read))?;
        row.map(|row| row.ok_or_else(|| self.store.damaged("token role")))
            .transpose()
    }

    /// Returns all tokens, ended ones too, in the order of their numbers.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let sql = format!("select {COLUMNS} from api_token order by id");
        let rows = self.store.run(|db| db.query(&sql, (), read))?;
        rows.into_iter()
            .map(|row| row.ok_or_else(|| self.store.damaged("token role")))
            .collect()
    }

    /// Takes a token back. Returns whether one with that number was in force.
    pub fn revoke_token(&self, id: i64, by: &str, now: Timestamp) -> Result<bool, StoreError> {
        self.store
            .run(|db| {
                let sql = "update api_token
                              set revoked_at = ?2, revoked_by = ?3
                            where id = ?1 and revoked_at is null";
                db.execute(sql, params![id, now, by])
            })
            .map(|count| count > 0)
    }

    /// Notes that a token was used.
    pub fn note_token_used(&self, id: i64, now: Timestamp) -> Result<(), StoreError> {
        let sql = "update api_token set used_at = ?2 where id = ?1";
        self.store
            .run(|db| db.execute(sql, params![id, now]))
            .map(|_| ())
    }

    /// Returns what a step was answered with under a key.
    pub fn kept_answer(&self, sender: &str, key: &str) -> Result<Option<KeptAnswer>, StoreError> {
        self.store.run(|db| {
            let sql = "select request_hash, status, body, etag
                         from api_answer where sender = ? and key = ?";
            db.query_first(sql, [sender, key], |row| {
                Ok(KeptAnswer {
                    request_hash: row.get("request_hash")?,
                    status: row.get("status")?,
                    body: row.get("body")?,
                    etag: row.get("etag")?,
                })
            })
        })
    }

    /// Keeps what a step was answered with, and forgets the answers of before a time. Returns whether it is kept: not
    /// if there is an answer under this key.
    pub fn keep_answer(
        &self,
        (sender, key): (&str, &str),
        answer: &KeptAnswer,
        [now, forget_before]: [Timestamp; 2],
    ) -> Result<bool, StoreError> {
        self.store
            .run(|db| {
                db.execute("delete from api_answer where at < ?", [forget_before])?;
                let sql =
                    "insert into api_answer (sender, key, request_hash, at, status, body, etag)
                           values (?, ?, ?, ?, ?, ?, ?)
                           on conflict do nothing";
                let KeptAnswer {
                    request_hash,
                    status,
                    body,
                    etag,
                } = answer;
                let bound = params![sender, key, request_hash, now, status, body, etag];
                db.execute(sql, bound)
            })
            .map(|count| count > 0)
    }
}

/// Reads the columns of [`COLUMNS`]; `None` for a role that this program does not write.
fn read(row: &Row<'_>) -> Result<Option<TokenRow>, Fault> {
    let Some(role) = Role::parse(&row.get::<String>("role")?) else {
        return Ok(None);
    };
    let revoked_at: Option<Timestamp> = row.get("revoked_at")?;
    let revoked_by: Option<String> = row.get("revoked_by")?;
    Ok(Some(TokenRow {
        id: row.get("id")?,
        name: row.get("name")?,
        role,
        created_at: row.get("created_at")?,
        created_by: row.get("created_by")?,
        ends_at: row.get("ends_at")?,
        revoked: revoked_at.map(|at| (at, revoked_by.unwrap_or_default())),
        used_at: row.get("used_at")?,
    }))
}
