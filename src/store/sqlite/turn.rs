//! Whose turn it is to write: SQLite lets one connection write at a time, and the others wait here.
//!
//! The workers of one process write through connections of their own, and desk commands through theirs. SQLite
//! itself has no queue: who asks at the right moment is next. So who has just written and wants to write again
//! lets others go first if any waits.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::store::sqlite::connection::BUSY_TIMEOUT;

/// How often who waits asks again.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// How long who wrote last holds back while others wait: time for each of them to ask.
const HOLD_BACK: Duration = Duration::from_millis(8);

/// Whether the process ends, so that nobody waits any more.
static ENDS: AtomicBool = AtomicBool::new(false);
/// When somebody in this process last waited, in milliseconds after [`BEGAN`]; 0 for never.
static WAITED_AT: AtomicU64 = AtomicU64::new(0);
/// The zero of these times.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

thread_local! {
    /// When this thread began to wait.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    /// Whether this thread waits at all.
    static WAITS: Cell<bool> = const { Cell::new(true) };
}

/// Lets nobody in this process wait for the database any more, since it ends: what waits fails as it would after
/// the longest wait.
pub fn end_waits() {
    ENDS.store(true, Ordering::Relaxed);
}

/// Has a connection wait for other writers, up to [`BUSY_TIMEOUT`].
pub(super) fn wait_for_writers(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(wait))
}

/// Waits a moment; `tries` is how often this wait has asked. Returns whether to ask again.
fn wait(tries: i32) -> bool {
    let now = Instant::now();
    if tries == 0 {
        SINCE.set(Some(now));
    }
    let since = SINCE.get().unwrap_or(now);
    if !WAITS.get() || ENDS.load(Ordering::Relaxed) || now.duration_since(since) >= BUSY_TIMEOUT {
        return false;
    }
    // Whoever begins to write next sees that somebody waits, and lets him go first.
    WAITED_AT.store(millis(now), Ordering::Relaxed);
    std::thread::sleep(ASK_EVERY);
    true
}

/// Does something that fails at once where another connection is in the way.
pub(in crate::store) fn without_waiting<T>(work: impl FnOnce() -> T) -> T {
    let before = WAITS.replace(false);
    let done = work();
    WAITS.set(before);
    done
}

/// Lets those who wait go first. For who begins a transaction, since it may have ended one a moment ago.
pub(in crate::store) fn give_way() {
    let waited_at = WAITED_AT.load(Ordering::Relaxed);
    let lately = 2 * ASK_EVERY.as_millis() as u64;
    if waited_at > 0 && millis(Instant::now()).saturating_sub(waited_at) <= lately {
        std::thread::sleep(HOLD_BACK);
    }
}

/// Returns milliseconds after [`BEGAN`], at least 1.
fn millis(at: Instant) -> u64 {
    1 + at.saturating_duration_since(*BEGAN).as_millis() as u64
}
