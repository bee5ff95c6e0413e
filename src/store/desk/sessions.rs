//! Who is logged in at the console: sessions by the hash of what the browser holds.

use crate::store::desk::Desk;
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::time::Timestamp;

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Whose it is.
    pub user: String,
    /// A hash of his line in the file of users when it began: where that is another now, the session is over.
    pub mark: [u8; 32],
    /// When it began.
    pub begun_at: Timestamp,
    /// When it was used last, a minute more or less.
    pub seen_at: Timestamp,
}

impl Desk<'_> {
    /// Begins a session, and forgets those that began or were used before the two times.
    pub fn begin_session(
        &self,
        token_hash: &[u8; 32],
        session: &SessionRow,
        [begun_before, seen_before]: [Timestamp; 2],
    ) -> Result<(), StoreError> {
        self.store
            .run(|db| {
                let sql = "delete from web_session where begun_at < ? or seen_at < ?";
                db.execute(sql, [begun_before, seen_before])?;
                let sql =
                    "insert into web_session (token_hash, user_name, user_mark, begun_at, seen_at)
                           values (?, ?, ?, ?, ?)";
                let SessionRow {
                    user,
                    mark,
                    begun_at,
                    seen_at,
                } = session;
                db.execute(sql, params![token_hash, user, mark, begun_at, seen_at])
            })
            .map(|_| ())
    }

    /// Returns the session of what a browser holds.
    pub fn session(&self, token_hash: &[u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        self.store.run(|db| {
            let sql = "select user_name, user_mark, begun_at, seen_at
                         from web_session
                        where token_hash = ?";
            db.query_first(sql, [token_hash], |row| {
                Ok(SessionRow {
                    user: row.get("user_name")?,
                    mark: row.get("user_mark")?,
                    begun_at: row.get("begun_at")?,
                    seen_at: row.get("seen_at")?,
                })
            })
        })
    }

    /// Notes that a session was used.
    pub fn note_session_seen(
        &self,
        token_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "update web_session set seen_at = ?2 where token_hash = ?1";
        self.store
            .run(|db| db.execute(sql, params![token_hash, now]))
            .map(|_| ())
    }

    /// Ends a session.
    pub fn end_session(&self, token_hash: &[u8; 32]) -> Result<(), StoreError> {
        let sql = "delete from web_session where token_hash = ?";
        self.store
            .run(|db| db.execute(sql, [token_hash]))
            .map(|_| ())
    }

    /// Ends every session of a user. Returns how many there were.
    pub fn end_sessions_of(&self, user: &str) -> Result<usize, StoreError> {
        let sql = "delete from web_session where user_name = ?";
        self.store.run(|db| db.execute(sql, [user]))
    }
}
