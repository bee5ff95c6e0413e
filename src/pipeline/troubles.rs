//! What holds workers of the service up, and since when.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::file;
use crate::pipeline::upkeep::metrics::Page;
use crate::time::Timestamp;

/// How long a worker waits after its first fault; twice as long after each further one.
// A database that is locked is free again soon; a full disk is not, hence the doubling.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How often the same fault of a worker is logged in a row; after that, only each [`LOGGED_EACH`]th time.
const LOGGED_FIRST: u32 = 4;
/// See [`LOGGED_FIRST`]: once in ten minutes, at the longest pause.
const LOGGED_EACH: u32 = 10;

/// The workers that are held up now, each with its fault.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<BTreeMap<String, Trouble>>);

/// What holds a worker up.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    /// Since when.
    since: Timestamp,
    /// How often it was tried.
    tries: u32,
    /// The fault.
    fault: String,
    /// What helps.
    cure: Option<String>,
}

impl Trouble {
    /// Returns the fault with its cure.
    fn sentence(&self) -> String {
        match &self.cure {
            Some(cure) => format!("{}; {cure}", self.fault),
            None => self.fault.clone(),
        }
    }
}

impl Troubles {
    /// Notes that a worker is held up by a fault, and logs it unless that was just said. Returns how long the worker
    /// waits before it tries again.
    pub fn note(
        &self,
        worker: &str,
        fault: String,
        cure: Option<&str>,
        now: Timestamp,
    ) -> Duration {
        let mut known = self.known();
        let trouble = known.entry(worker.to_owned()).or_insert(Trouble {
            since: now,
            tries: 0,
            fault: String::new(),
            cure: None,
        });
        let is_new = trouble.fault != fault;
        trouble.tries += 1;
        (trouble.fault, trouble.cure) = (fault, cure.map(str::to_owned));
        let (tries, doubled) = (trouble.tries, trouble.tries.saturating_sub(1).min(6));
        let pause = PAUSE_MAX.min(PAUSE_FIRST * 2_u32.pow(doubled));
        let sentence = trouble.sentence();
        if is_new || tries <= LOGGED_FIRST || tries % LOGGED_EACH == 0 {
            let seconds = pause.as_secs();
            tracing::error!(
                worker,
                tries,
                "{worker}: held up: {sentence}; tried again in {seconds} s"
            );
        }
        pause
    }

    /// Notes that a worker goes on, and logs it if it was held up.
    pub fn clear(&self, worker: &str, now: Timestamp) {
        if let Some(trouble) = self.known().remove(worker) {
            let (after, tries, fault) = (now.since(trouble.since), trouble.tries, trouble.fault);
            tracing::info!(
                worker,
                tries,
                "{worker}: goes on; it was held up for {after}: {fault}"
            );
        }
    }

    /// Forgets workers whose names begin so: what they were at is not done any more.
    pub fn forget(&self, start: &str) {
        self.known().retain(|worker, _| !worker.starts_with(start));
    }

    /// Returns the metrics of what holds workers up now.
    fn page(&self, now: Timestamp) -> Page {
        let (name, mut page) = ("fluxwatch_held_up_seconds", Page::default());
        let help =
            "How long a worker of the service has been held up by a fault; absent if it is not.";
        page.family(name, "gauge", help);
        for (worker, trouble) in &*self.known() {
            let seconds = now.since(trouble.since).as_seconds().max(0);
            page.value(name, &[("worker", worker)], seconds);
        }
        page
    }

    /// Returns the metrics of what holds workers up now.
    pub fn metrics(&self, now: Timestamp) -> String {
        self.page(now).into_text()
    }

    /// Returns them in one line; `None` if nobody is held up.
    pub fn line(&self) -> Option<String> {
        let known = self.known();
        let of_one = |(worker, trouble): (&String, &Trouble)| {
            let (since, sentence) = (trouble.since, trouble.sentence());
            format!("{worker} held up since {since}: {sentence}")
        };
        let all: Vec<String> = known.iter().map(of_one).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Locks what is known. Nothing panics while it is locked.
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most octets of what a service says of itself.
const HELD_OCTETS_MAX: u64 = 64 << 10;

/// Writes beside a database what holds its service up, for `status`; with `None`, removes that. On a full disk it may
/// not be written: the log, the metrics and systemd have it too.
pub fn write_held(beside: &Path, line: Option<&str>) {
    let path = held_path(beside);
    let done = match line {
        Some(line) => write_whole(&path, &format!("{}\n{line}\n", std::process::id())),
        None if path.exists() => fs::remove_file(&path),
        None => Ok(()),
    };
    if let Err(error) = done {
        tracing::debug!(%error, "{} was not written: {error}", path.display());
    }
}

/// Replaces a file by a text, whole or not at all.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

/// Returns what holds the service of a database up, as it said itself; `None` if it is not, or does not run.
pub fn read_held(beside: &Path) -> Option<String> {
    let text = file::read_text(&held_path(beside), HELD_OCTETS_MAX).ok()?;
    let (process, line) = text.split_once('\n')?;
    let process: u32 = process.parse().ok()?;
    // One that was killed left it there.
    let runs = Path::new("/proc").join(process.to_string()).exists();
    runs.then(|| line.trim_end().to_owned())
}

/// Returns where a service says what holds it up.
fn held_path(beside: &Path) -> PathBuf {
    let mut path = beside.as_os_str().to_owned();
    path.push(".held");
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_begin_anew_after_the_fault_is_over() {
        let troubles = Troubles::default();
        let at = Timestamp::from_unix;
        let note = |second| {
            troubles
                .note(
                    "mail",
                    "disk full".to_owned(),
                    Some("make room"),
                    at(second),
                )
                .as_secs()
        };
        let pauses: Vec<u64> = (0..9).map(note).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let line = troubles.line().expect("held up");
        assert_eq!(
            line,
            "mail held up since 1970-01-01T00:00:00Z: disk full; make room"
        );
        let page = troubles.metrics(at(10));
        assert!(
            page.ends_with("fluxwatch_held_up_seconds{worker=\"mail\"} 10\n"),
            "{page}"
        );
        troubles.clear("mail", at(10));
        assert_eq!(troubles.line(), None);
        assert_eq!(note(11), 1);
    }
}
