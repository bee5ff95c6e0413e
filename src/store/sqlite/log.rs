//! The write-ahead log: how it is moved into the database, how far it may grow, and who keeps it from being moved.
//!
//! SQLite appends what is written to the log (`-wal`) and moves it into the database (a checkpoint) as far as nobody
//! reads a state from before. A reader that stays keeps it growing. Three things bound it:
//!
//! - A move waits for nobody. What one cannot move, the next one does.
//! - A reading connection of this program ends what it reads when that alone let the log grow by [`Log::growth_max`].
//! - Readers that are not ours cannot be ended from here. From [`Log::octets_max`] on no transaction is begun, as if
//!   the disk were full: the error, the log and `status` name the process that has to be ended.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use rustix::fs::OFlags;
use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use crate::file::folder_of;
use crate::store::error::StoreError;
use crate::store::sqlite::connection::WAL_OCTETS_MAX;
use crate::store::sqlite::db::Db;
use crate::store::sqlite::faults::code_of;
use crate::store::sqlite::file::{FileId, with_suffix};
use crate::store::sqlite::turn;
use crate::store::value::Fault;

/// The log may take one part in so many of what would be free without it, unless the configuration says more.
const FREE_SHARE: u64 = 4;
/// It may always grow to this: two versions of the largest zones that are usual.
const DEFAULT_OCTETS_LEAST: u64 = 256 << 20;
/// It never grows beyond this by itself: longer logs make every lookup slow. Chosen by hand.
const DEFAULT_OCTETS_MOST: u64 = 4 << 30;
/// A log that has grown to this, or to half of what it may, is told of by `status`.
const OCTETS_NOTABLE: u64 = 256 << 20;
/// How many steps of SQLite's machine lie between two looks at what a reading lets grow: about a millisecond.
const STEPS_A_LOOK: i32 = 10_000;
/// How long at least lies between two looks at the size of the log.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// The bytes of the log's index (`-shm`) that readers lock, one for each state that is read
/// (sqlite.org/walformat.html, "WAL Locks").
const READ_LOCKS: std::ops::Range<u64> = 123..128;

/// What is known in this process of the logs of the databases that it has open, by their files.
static LOGS: Mutex<BTreeMap<FileId, Weak<Log>>> = Mutex::new(BTreeMap::new());

/// What the connections of one process know together of one database's log.
pub(in crate::store) struct Log {
    path: PathBuf,
    /// Octets from which on nothing is begun; 0 for a part of the free space.
    octets_max: AtomicU64,
    state: Mutex<LogState>,
}

/// What the last move came to.
#[derive(Default)]
struct LogState {
    /// Set while something could not be moved.
    held: Option<Held>,
    /// How long the log was when that was last said; 0 if it need not be.
    told_octets: u64,
    /// The log's index, opened to ask who locks it. Closing any descriptor of a file drops the process's locks on it,
    /// SQLite's too (POSIX), so it is never closed.
    index: Option<(FileId, &'static File)>,
}

/// A log that could not be moved whole.
#[derive(Debug, Clone, Copy)]
struct Held {
    moved: Moved,
    /// Since when no more of it could be moved.
    since: Instant,
}

/// What SQLite says of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moved {
    /// Frames in the log.
    frames: i64,
    /// Those of them that are in the database.
    moved: i64,
}

impl Moved {
    /// Returns whether somebody still reads what was there before it, as the same reader kept `earlier` from being
    /// moved: no more was moved since, and the log was not begun anew.
    fn is_stuck_since(self, earlier: Self) -> bool {
        self.moved == earlier.moved && self.frames >= earlier.frames
    }
}

/// A process that reads the database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogReader {
    /// Its number; `None` if it cannot be seen from here, as in another container.
    pub pid: Option<i32>,
    /// The name of its program, if this user may see it.
    pub program: Option<String>,
}

impl fmt::Display for LogReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.program) {
            (None, _) => f.write_str("a process that cannot be seen from here"),
            (Some(pid), None) => write!(f, "process {pid}"),
            (Some(pid), Some(program)) => write!(f, "process {pid} ({program})"),
        }
    }
}

/// How the log stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStanding {
    /// Its octets.
    pub octets: u64,
    /// Octets from which on nothing more is written.
    pub octets_max: u64,
    /// For how long, at least, a reader has kept it from being moved, as this process knows; zero if nobody does.
    pub held_for: Duration,
    /// Who reads; only looked up where the log is notable.
    pub readers: Vec<LogReader>,
}

impl LogStanding {
    /// Returns whether a person has to know of it.
    pub fn is_notable(&self) -> bool {
        self.octets > (self.octets_max / 2).min(OCTETS_NOTABLE)
    }

    /// Says who reads, and how that is ended.
    pub fn in_words(&self) -> String {
        if self.readers.is_empty() {
            "Nobody is seen to read it: the next pass cuts it back".to_owned()
        } else {
            format!(
                "Reading: {}; {}",
                in_words(&self.readers),
                cure(&self.readers)
            )
        }
    }
}

/// Says how a log is freed that some processes keep.
fn cure(readers: &[LogReader]) -> String {
    let pids: Vec<String> = readers
        .iter()
        .filter_map(|reader| Some(reader.pid?.to_string()))
        .collect();
    if pids.is_empty() {
        "end the program that still reads the database: `fuser -v DATABASE-shm` as root names it"
            .to_owned()
    } else {
        format!(
            "end what still reads: `kill {}` (nothing that is stored is lost)",
            pids.join(" ")
        )
    }
}

/// Names some processes in a sentence.
fn in_words(readers: &[LogReader]) -> String {
    let names: Vec<String> = readers.iter().map(LogReader::to_string).collect();
    if names.is_empty() {
        "a lookup of this process, or a process that cannot be seen from here,".to_owned()
    } else {
        names.join(" and ")
    }
}

/// Returns a lock's content; what a thread left that panicked is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Returns what this process knows of the log of the database at `path`.
    pub(in crate::store) fn of(file: FileId, path: &Path) -> Arc<Self> {
        let mut logs = lock(&LOGS);
        logs.retain(|_, log| log.strong_count() > 0);
        if let Some(log) = logs.get(&file).and_then(Weak::upgrade) {
            return log;
        }
        let log = Arc::new(Self {
            // SQLite puts the log beside the file itself, not beside a link to it.
            path: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            octets_max: AtomicU64::new(0),
            state: Mutex::default(),
        });
        logs.insert(file, Arc::downgrade(&log));
        log
    }

    /// Returns the octets of the log; 0 if there is none.
    pub(in crate::store) fn octets(&self) -> u64 {
        let wal = with_suffix(&self.path, "-wal").metadata();
        wal.map_or(0, |meta| meta.len())
    }

    /// Returns the octets from which on nothing is begun.
    fn octets_max(&self) -> u64 {
        match self.octets_max.load(Ordering::Relaxed) {
            0 => {
                let free = rustix::fs::statvfs(folder_of(&self.path))
                    .map_or(0, |it| it.f_bavail.saturating_mul(it.f_frsize));
                default_octets_max(free, self.octets())
            }
            octets => octets,
        }
    }

    /// Returns by how many octets one reading may let the log grow.
    fn growth_max(&self) -> u64 {
        self.octets_max() / 2
    }

    /// Notes what a move came to; `None` if somebody else was moving. Says so when the log has doubled.
    fn note(&self, moved: Option<Moved>) {
        let octets = self.octets();
        let mut state = lock(&self.state);
        if let Some(moved) = moved {
            state.held = match state.held {
                _ if moved.moved >= moved.frames => None,
                // The same reader still: the time since which it reads goes on.
                Some(held) if moved.is_stuck_since(held.moved) => Some(Held { moved, ..held }),
                _ => Some(Held {
                    moved,
                    since: Instant::now(),
                }),
            };
        }
        match state.held {
            // A line for each doubling, or a reader of an hour would fill the log of the service.
            Some(held) if octets >= (2 * state.told_octets).max(WAL_OCTETS_MAX) => {
                state.told_octets = octets;
                let readers = readers(&mut state.index, &self.path);
                let (path, held_s) = (self.path.display(), held.since.elapsed().as_secs());
                tracing::warn!(
                    wal_bytes = octets,
                    wal_bytes_max = self.octets_max(),
                    held_s,
                    "database {path}: the write-ahead log has {} MiB, since {} reads an old state; {}",
                    octets >> 20,
                    in_words(&readers),
                    cure(&readers)
                );
            }
            None if state.told_octets > 0 => {
                state.told_octets = 0;
                tracing::info!(
                    wal_bytes = octets,
                    "database {}: the write-ahead log is moved into the database again",
                    self.path.display()
                );
            }
            _ => {}
        }
    }

    /// Returns the size from which on the log is looked at before more is written.
    fn check_from_octets(&self) -> u64 {
        let told = lock(&self.state).told_octets;
        let octets_max = match (told, self.octets_max.load(Ordering::Relaxed)) {
            // A part of the free space is never less than what is looked at first.
            (0, 0) => u64::MAX,
            _ => self.octets_max(),
        };
        (2 * told).max(WAL_OCTETS_MAX).min(octets_max)
    }
}

/// Returns how far a log of `octets` may grow by itself where `free` octets are free beside it.
fn default_octets_max(free: u64, octets: u64) -> u64 {
    (free.saturating_add(octets) / FREE_SHARE).clamp(DEFAULT_OCTETS_LEAST, DEFAULT_OCTETS_MOST)
}

/// Returns the other processes that read the database at `path`, each once.
fn readers(index: &mut Option<(FileId, &'static File)>, path: &Path) -> Vec<LogReader> {
    let shm = with_suffix(path, "-shm");
    let Ok(Some(now)) = FileId::of(&shm) else {
        return Vec::new();
    };
    if index.is_none_or(|(known, _)| known != now) {
        let mut options = OpenOptions::new();
        options
            .read(true)
            // Whoever may write into the folder could put a link to another file there.
            .custom_flags(OFlags::NOFOLLOW.bits() as i32);
        let Ok(file) = options.open(&shm) else {
            return Vec::new();
        };
        // Leaked on purpose, see the field. At most one for each time that the log's index was made anew.
        *index = Some((now, Box::leak(Box::new(file))));
    }
    let Some((_, file)) = index else {
        return Vec::new();
    };
    let mut readers: Vec<LogReader> = READ_LOCKS
        .filter_map(|byte| {
            let wanted = Flock {
                start: byte,
                length: 1,
                pid: None,
                typ: FlockType::WriteLock,
                offset_type: FlockOffsetType::Set,
            };
            // Asks and locks nothing. Locks of this process do not show: they are its own.
            fcntl_getlk(*file, &wanted).ok().flatten()
        })
        .map(|lock| {
            let pid = lock.pid.map(|pid| pid.as_raw_nonzero().get());
            let program = pid.and_then(|pid| {
                let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
                Some(name.trim().to_owned())
            });
            LogReader { pid, program }
        })
        .collect();
    readers.sort_unstable();
    readers.dedup();
    readers
}

/// Ends what a connection reads when that lets the log grow too far.
pub(in crate::store) struct Growth {
    log: Arc<Log>,
    /// Octets of the log when the reading began; `u64::MAX` if it has yet to be looked at.
    begun_octets: AtomicU64,
    /// Whether the reading was ended.
    is_ended: AtomicBool,
}

impl Growth {
    /// Watches what a connection reads from now on.
    pub(in crate::store) fn watch(db: &mut Db, log: Arc<Log>) -> Result<Arc<Self>, Fault> {
        let growth = Arc::new(Self {
            log,
            begun_octets: AtomicU64::new(u64::MAX),
            is_ended: AtomicBool::new(false),
        });
        let watching = Arc::clone(&growth);
        let mut looked_at = Instant::now();
        let look = move || {
            // SQLite calls this thousands of times a second; asking the file system each time would cost more than
            // the query.
            let is_soon = looked_at.elapsed() < LOOK_PAUSE;
            if !is_soon {
                looked_at = Instant::now();
            }
            !is_soon && watching.is_over()
        };
        db.connection_mut()
            .progress_handler(STEPS_A_LOOK, Some(look))?;
        Ok(growth)
    }

    /// Counts from now on: a transaction begins that reads one state.
    pub(in crate::store) fn begin(&self) {
        self.begun_octets
            .store(self.log.octets(), Ordering::Relaxed);
    }

    /// Counts from the first look on: a statement begins that is a transaction by itself, and most are short.
    pub(in crate::store) fn begin_later(&self) {
        self.begun_octets.store(u64::MAX, Ordering::Relaxed);
    }

    /// Returns whether what is read has let the log grow too far.
    fn is_over(&self) -> bool {
        let octets = self.log.octets();
        let begun = self.begun_octets.load(Ordering::Relaxed);
        if begun == u64::MAX {
            self.begun_octets.store(octets, Ordering::Relaxed);
            return false;
        }
        let is_over = octets.saturating_sub(begun) > self.log.growth_max();
        self.is_ended.fetch_or(is_over, Ordering::Relaxed);
        is_over
    }

    /// Returns the error for a fault of SQLite if this is what ended the reading.
    pub(in crate::store) fn explain(&self, fault: &Fault) -> Option<StoreError> {
        let is_ended = code_of(fault) == Some(ErrorCode::OperationInterrupted)
            && self.is_ended.swap(false, Ordering::Relaxed);
        is_ended.then(|| StoreError::ReadTooLong {
            path: self.log.path.clone(),
            grown_mib: self.log.growth_max() >> 20,
        })
    }
}

impl Log {
    /// Moves the log into the database, as far as nobody reads an older state; cuts it back when it has grown long.
    /// Waits for nobody, and says so in the log of the program when somebody keeps it.
    pub(in crate::store) fn checkpoint(&self, db: &Db) -> Result<(), StoreError> {
        // With the time limit of a writer, each look at a log that somebody reads would wait for him.
        let moved = turn::without_waiting(|| self.move_by_need(db));
        self.note(moved?);
        Ok(())
    }

    /// Moves the log, and cuts it back if nobody at all reads it. Returns what came of it; `None` if somebody else is
    /// moving it.
    fn move_by_need(&self, db: &Db) -> Result<Option<Moved>, StoreError> {
        let moved = self.move_by(db, "passive")?;
        if self.octets() > WAL_OCTETS_MAX {
            self.move_by(db, "truncate")
        } else {
            Ok(moved)
        }
    }

    /// Moves the log in one of SQLite's ways.
    fn move_by(&self, db: &Db, way: &str) -> Result<Option<Moved>, StoreError> {
        let sql = format!("pragma wal_checkpoint({way})");
        let said = db.connection().query_row(&sql, [], |row| {
            Ok(Moved {
                frames: row.get("log")?,
                moved: row.get("checkpointed")?,
            })
        });
        match said.map_err(Fault::from) {
            // Both are -1 if somebody else is moving it.
            Ok(moved) => Ok((moved.frames >= 0).then_some(moved)),
            Err(fault)
                if matches!(
                    code_of(&fault),
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                ) =>
            {
                Ok(None)
            }
            Err(fault) => Err(StoreError::Engine {
                path: self.path.clone(),
                fault,
            }),
        }
    }

    /// Moves what can be moved, for whoever ends: says nothing of it.
    pub(in crate::store) fn move_quietly(&self, db: &Db) -> Result<(), Fault> {
        db.value("pragma wal_checkpoint(passive)").map(|_: i64| ())
    }

    /// Checks that more may be written, before a transaction begins. As long as the log is short this is one look at
    /// its size.
    ///
    /// # Errors
    ///
    /// [`StoreError::LogFull`] if the log has grown as far as it may, and a reader keeps it from being moved.
    pub(in crate::store) fn require_room(&self, db: &Db) -> Result<(), StoreError> {
        if self.octets() < self.check_from_octets() {
            return Ok(());
        }
        self.checkpoint(db)?;
        let (octets, octets_max) = (self.octets(), self.octets_max());
        let mut state = lock(&self.state);
        // A log that is long and moved whole is begun anew by who writes next.
        if octets < octets_max || state.held.is_none() {
            return Ok(());
        }
        let readers = readers(&mut state.index, &self.path);
        Err(StoreError::LogFull {
            path: self.path.clone(),
            octets_mib: octets >> 20,
            readers: in_words(&readers),
            cure: cure(&readers),
        })
    }

    /// Sets how far the log may grow while somebody reads an old state; `None` for a part of the free space.
    pub(in crate::store) fn limit(&self, octets_max: Option<u64>) {
        let octets_max = octets_max.map_or(0, |octets| octets.max(1));
        self.octets_max.store(octets_max, Ordering::Relaxed);
    }

    /// Returns how the log stands.
    pub(in crate::store) fn standing(&self) -> LogStanding {
        let mut standing = LogStanding {
            octets: self.octets(),
            octets_max: self.octets_max(),
            held_for: Duration::ZERO,
            readers: Vec::new(),
        };
        let mut state = lock(&self.state);
        if let Some(held) = state.held {
            standing.held_for = held.since.elapsed();
        }
        if standing.is_notable() {
            standing.readers = readers(&mut state.index, &self.path);
        }
        standing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_takes_a_part_of_what_is_free_within_its_ends() {
        let (mib, gib) = (1 << 20, 1 << 30);
        assert_eq!(default_octets_max(0, 0), 256 * mib, "never less");
        assert_eq!(default_octets_max(8 * gib, 0), 2 * gib);
        // What the log has taken already does not make it smaller.
        assert_eq!(default_octets_max(7 * gib, gib), 2 * gib);
        assert_eq!(default_octets_max(u64::MAX, 5), 4 * gib, "never more");
    }

    #[test]
    fn reader_is_as_old_as_what_could_not_be_moved_since() {
        let moved = |frames, moved| Moved { frames, moved };
        assert!(moved(20, 5).is_stuck_since(moved(10, 5)), "one that stays");
        assert!(!moved(20, 6).is_stuck_since(moved(10, 5)), "another one");
        assert!(!moved(8, 5).is_stuck_since(moved(10, 5)), "begun anew");
    }
}
