//! The lock of the one poller, whichever engine the database is of.

use crate::place::StoreUrl;
use crate::store::error::StoreError;
use crate::store::postgres::lock::Poller;
use crate::store::{postgres, sqlite};

/// Held by the one process that polls into a database. Freed when it is dropped, and by the system or the server when
/// the process ends.
#[derive(Debug)]
pub struct PollerLock {
    held: Held,
}

/// What holds it.
#[derive(Debug)]
enum Held {
    #[expect(dead_code, reason = "held, not read")]
    File(sqlite::lock::PollerLock),
    Session(Box<postgres::lock::PollerSession>),
}

impl PollerLock {
    /// Takes the lock of a database; `None` if another process has it. Makes an empty file if there is none, which
    /// [`crate::store::Store::open`] makes a database of.
    ///
    /// With `wait`, returns only when the lock is free. To be called before this process opens the database: what
    /// is not locked is closed.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`] or [`StoreError::Access`] if the file cannot be made, opened or locked;
    /// [`StoreError::Engine`] if the server cannot be reached.
    pub fn take(at: impl Into<StoreUrl>, wait: bool) -> Result<Option<Self>, StoreError> {
        let held = match at.into() {
            StoreUrl::File(path) => sqlite::lock::PollerLock::take(&path, wait)?.map(Held::File),
            StoreUrl::Server(server) => postgres::lock::PollerSession::take(&server, wait)
                .map_err(|fault| StoreError::Engine {
                    path: server.to_string().into(),
                    fault,
                })?
                .map(|session| Held::Session(Box::new(session))),
        };
        Ok(held.map(|held| Self { held }))
    }

    /// Returns who has the lock of a server's database, as far as that can be found out.
    pub fn holder(at: &StoreUrl) -> Option<Poller> {
        match at {
            StoreUrl::File(_) => None,
            StoreUrl::Server(server) => postgres::lock::holder(server).ok().flatten(),
        }
    }

    /// Returns whether it is not this process' alone: what stands before the server gives its session to others too.
    pub fn is_shared(&self) -> bool {
        match &self.held {
            Held::File(_) => false,
            Held::Session(session) => session.is_shared(),
        }
    }

    /// Returns whether another poller has it now: this one's session with the server was lost, and the other was faster.
    pub fn is_lost(&self) -> bool {
        match &self.held {
            Held::File(_) => false,
            Held::Session(session) => session.is_lost(),
        }
    }
}
