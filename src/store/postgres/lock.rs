//! The lock of the one poller: a lock of a session, which the server frees when the session ends.
//!
//! A thread of the holder speaks in that session every few seconds, and the server ends it after [`SILENCE`] without a
//! word: so the lock of a poller that is stopped, or whose way to the server is cut, is free again. A second poller that
//! waits for it takes over then. A poller whose session was lost takes the lock again, or hears that another has it. The
//! lock saves work and nothing else: a version is only stored on top of the one that it was compared with, whoever
//! stores it. Where a pooler gives each transaction another session it is a lock of a transaction that stays open.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::place::ServerUrl;
use crate::store::postgres::db::{Db, lock_key};
use crate::store::postgres::session::this_process;
use crate::store::value::Fault;
use crate::time::Timestamp;

/// The number of the pollers' lock.
const POLLERS: i32 = 0x666c_7502;
/// After how long without a word the server ends the session that holds the lock.
const SILENCE: &str = "25s";
/// How often the session that holds the lock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often who waits for the lock asks for it.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long the server may take to end a session that it was told to end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Who polls into a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poller {
    /// The name of its host.
    pub host: String,
    /// The number of its process there.
    pub process: u32,
    /// Since when, by the server's clock; `None` while it begins.
    pub since: Option<Timestamp>,
}

impl fmt::Display for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)?;
        match self.since {
            Some(since) => write!(f, ", since {since}"),
            None => Ok(()),
        }
    }
}

/// A session that holds the lock, and a thread that looks after it.
pub(in crate::store) struct PollerSession {
    state: Arc<State>,
}

/// What the thread and the holder tell each other.
#[derive(Default)]
struct State {
    /// Another poller has the lock now.
    is_lost: AtomicBool,
    /// The lock is not of this session alone: something gives it to others too.
    is_shared: AtomicBool,
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
        // Tells this holder's sessions from those of another one with the same names of host and process.
        let token = draw_token(server)?;
        let db = loop {
            match lock(server, &token)? {
                Some(db) => break db,
                None if wait => thread::sleep(ASK_EVERY),
                None => return Ok(None),
            }
        };
        let state = Arc::new(State::default());
        let (kept, server) = (Arc::clone(&state), server.clone());
        let keep = move || keep(db, &server, &token, &kept);
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

    /// Returns whether the lock is not of this session alone.
    pub(in crate::store) fn is_shared(&self) -> bool {
        self.state.is_shared.load(Ordering::Relaxed)
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

/// Draws what tells a holder from others.
fn draw_token(server: &ServerUrl) -> Result<String, Fault> {
    let db = Db::open_once(server)?;
    db.require_schema()?;
    if !db.is_pooled() {
        refuse_pooler(&db, server)?;
    }
    let drawn = db.ask_quickly("select left(gen_random_uuid()::text, 4)")?;
    drawn.ok_or_else(Fault::no_row)
}

/// Refuses what stands before the server and gives two sessions of this program one of the server's: a lock would be
/// anybody's then.
fn refuse_pooler(first: &Db, server: &ServerUrl) -> Result<(), Fault> {
    let second = Db::open_once(server)?;
    let which =
        "select pid || ' ' || backend_start from pg_stat_activity where pid = pg_backend_pid()";
    if first.ask_quickly(which)? != second.ask_quickly(which)? {
        return Ok(());
    }
    let text = "a pooler stands before the server that gives each transaction another session";
    // SQLSTATE of a statement that was prepared and is gone, as it would be.
    Err(Fault::of_server("26000", text.to_owned()))
}

/// Opens a session and has it take the lock.
fn lock(server: &ServerUrl, token: &str) -> Result<Option<Db>, Fault> {
    let db = Db::open_once(server)?;
    let key = lock_key(POLLERS);
    let take = match db.is_pooled() {
        false => format!(
            "set idle_session_timeout = '{SILENCE}'; select pg_try_advisory_lock({key})::integer"
        ),
        // A transaction that stays open has its session for itself. It holds nothing back: it has no number, and between
        // two of its statements it sees no state.
        true => format!(
            "rollback; begin{}; set local idle_in_transaction_session_timeout = '{SILENCE}';
             select pg_try_advisory_xact_lock({key})::integer",
            db.after_begin()
        ),
    };
    let until = Instant::now() + END_WITHIN;
    while db.ask_quickly(&take)?.as_deref() != Some("1") {
        // A session of this holder's that was lost, and of which the server does not know that yet.
        let own = format!(
            "select count(pg_terminate_backend(l.pid)) from pg_locks l join pg_stat_activity a on a.pid = l.pid
              where {} and a.application_name like 'fluxwatch % {token}'",
            is_the_lock("l")
        );
        if Instant::now() >= until || db.ask_quickly(&own)?.as_deref() == Some("0") {
            if db.is_pooled() {
                // A pooler ends the session of whoever leaves in a transaction, and would open one for each attempt.
                db.ask_quickly("rollback")?;
            }
            return Ok(None);
        }
        thread::sleep(ASK_EVERY / 10);
    }
    if db.is_pooled() {
        // What is asked from here on takes the transaction as it is, with how long it may be silent.
        db.begin_unsent();
    }
    let name = this_process().replace('\'', "?");
    let named = format!(
        "select set_config('application_name',
                'fluxwatch {name} ' || extract(epoch from clock_timestamp())::bigint || ' {token}', {})",
        db.is_pooled()
    );
    db.ask_quickly(&named)?;
    Ok(Some(db))
}

/// Returns a condition on a row of `pg_locks`: it is the pollers' lock, and somebody has it.
fn is_the_lock(row: &str) -> String {
    format!(
        "{row}.locktype = 'advisory' and {row}.granted and {row}.objsubid = 2
           and {row}.database = (select oid from pg_database where datname = current_database())
           and {row}.classid = {POLLERS}
           and {row}.objid = (hashtext(current_schema())::bigint & 4294967295)::oid"
    )
}

/// Looks after a session that holds the lock, until the holder is done.
fn keep(db: Db, server: &ServerUrl, token: &str, state: &State) {
    let mut held = Some(db);
    let holds = format!(
        "select count(*) from pg_locks l where {} and l.pid = pg_backend_pid()",
        is_the_lock("l")
    );
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
        match held.as_ref().map(|db| db.ask_quickly(&holds)) {
            Some(Ok(Some(count))) if count == "1" => continue,
            Some(Ok(_)) => return state.is_shared.store(true, Ordering::Relaxed),
            Some(Err(_)) | None => held = None,
        }
        // A server that is away is waited for; the workers tell of it.
        match lock(server, token) {
            Ok(Some(db)) => held = Some(db),
            Ok(None) => return state.is_lost.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
    }
}

/// Returns who has the lock.
pub(in crate::store) fn holder(server: &ServerUrl) -> Result<Option<Poller>, Fault> {
    Db::open_once(server)?.poller()
}

impl Db {
    /// Returns who polls, if anybody does.
    pub(in crate::store) fn poller(&self) -> Result<Option<Poller>, Fault> {
        let sql = format!(
            "select a.application_name from pg_locks l join pg_stat_activity a on a.pid = l.pid where {}",
            is_the_lock("l")
        );
        Ok(self.ask_quickly(&sql)?.map(|name| read_poller(&name)))
    }
}

/// Reads who polls from the name of the session that holds the lock.
fn read_poller(name: &str) -> Poller {
    let mut words = name.split(' ').skip(1);
    Poller {
        host: words.next().unwrap_or("?").to_owned(),
        process: words.next().and_then(|it| it.parse().ok()).unwrap_or(0),
        since: words
            .next()
            .and_then(|it| it.parse().ok())
            .map(Timestamp::from_unix),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_session_tells_who_polls() {
        let read = read_poller("fluxwatch db-a 4711 1795996800 a1b2");
        assert_eq!((read.host.as_str(), read.process), ("db-a", 4711));
        assert_eq!(read.since, Some(Timestamp::from_unix(1_795_996_800)));
        // One that has just taken the lock and has no name yet.
        let read = read_poller("fluxwatch db-a 4711");
        assert_eq!((read.process, read.since), (4711, None));
    }
}
