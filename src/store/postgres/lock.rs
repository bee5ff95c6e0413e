//! The lock of the one poller: a lock of a session, which the server frees when the session ends.
//!
//! A second poller that waits for it takes over when the first ends, or when the server has given up the first one's
//! session. A poller whose session was lost takes the lock again, or hears that another has it. The lock saves work and
//! nothing else: a version is only stored on top of the one that it was compared with, whoever stores it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::place::ServerUrl;
use crate::store::postgres::db::{Db, lock_key};
use crate::store::value::{Fault, ValueRef};

/// The number of the pollers' lock.
const POLLERS: i32 = 0x666c_7502;
/// How often the session that holds the lock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often who waits for the lock asks for it.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// After how long the server gives up a session whose host is gone: seconds until the first probe, between probes, and
/// how many.
const SILENCE: &str =
    "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3";

/// A session that holds the lock, and a thread that looks after it.
pub(in crate::store) struct PollerSession {
    state: Arc<State>,
}

/// What the thread and the holder tell each other.
#[derive(Default)]
struct State {
    /// Another poller has the lock now.
    is_lost: AtomicBool,
    /// The holder is done with it.
    ends: Mutex<bool>,
    wake: Condvar,
}

impl fmt::Debug for PollerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PollerSession")
    }
}

impl PollerSession {
    /// Takes the lock; `None` if another session has it. With `wait`, returns only when it is free.
    pub(in crate::store) fn take(server: &ServerUrl, wait: bool) -> Result<Option<Self>, Fault> {
        let db = loop {
            match lock(server)? {
                Some(db) => break db,
                None if wait => thread::sleep(ASK_EVERY),
                None => return Ok(None),
            }
        };
        let state = Arc::new(State::default());
        let (kept, server) = (Arc::clone(&state), server.clone());
        let keep = move || keep(db, &server, &kept);
        thread::Builder::new()
            .name("poller-lock".to_owned())
            .spawn(keep)
            .map_err(|fault| Fault::other(fault.to_string()))?;
        Ok(Some(Self { state }))
    }

    /// Returns whether another poller has taken the lock, while this one's session was lost.
    pub(in crate::store) fn is_lost(&self) -> bool {
        self.state.is_lost.load(Ordering::Relaxed)
    }
}

impl Drop for PollerSession {
    fn drop(&mut self) {
        *self
            .state
            .ends
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.state.wake.notify_all();
    }
}

/// Opens a session and has it take the lock.
fn lock(server: &ServerUrl) -> Result<Option<Db>, Fault> {
    let db = Db::open_once(server)?;
    db.run(SILENCE)?;
    db.require_schema()?;
    let key = lock_key(POLLERS);
    let is_taken = {
        let mut statement = db.prepare(&format!("select pg_try_advisory_lock({key})"))?;
        let mut rows = statement.rows(())?;
        let row = rows.next()?.ok_or_else(Fault::no_row)?;
        row.value_at(0)? == ValueRef::Integer(1)
    };
    Ok(is_taken.then_some(db))
}

/// Looks after a session that holds the lock, until the holder is done.
fn keep(db: Db, server: &ServerUrl, state: &State) {
    let mut held = Some(db);
    loop {
        let ends = state.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let (ends, _) = state
            .wake
            .wait_timeout_while(ends, LOOK_EVERY, |ends| !*ends)
            .unwrap_or_else(PoisonError::into_inner);
        if *ends {
            return;
        }
        drop(ends);
        if held.as_ref().is_some_and(|db| db.run("select 1").is_ok()) {
            continue;
        }
        held = None;
        // A server that is away is waited for; the workers tell of it.
        match lock(server) {
            Ok(Some(db)) => held = Some(db),
            Ok(None) => return state.is_lost.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
    }
}
