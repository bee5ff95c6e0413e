//! A disk that fails at each write, each sync and each open of a pass: the state is that before or that after, never
//! between, and the next pass ends where a pass that was left alone ends.
//!
//! `FLUXWATCH_FAULTS` sets at how many calls of each sort, in each way, the disk fails (15 by default, spread over the
//! first 200); `benches/full` sets 200.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fluxwatch::time::{Clock, SetClock, Span, WallClock};
use serde_json::Value;

use crate::harness::{Bench, REPORT, both, deliver, poll};
use crate::support::desk::Feed;
use crate::support::scripted::{IXFR, ns, primary, soa, zone_of};
use crate::support::sources::source;
use crate::support::stores::has_no_file;

/// How many calls of a pass are looked at.
const CALLS_MAX: usize = 200;

/// In which ways a call fails: which calls, as what, and whether all is well after the first.
const WAYS: [(&str, &str, bool); 10] = [
    ("write", "EIO", true),
    ("write", "EIO", false),
    ("write", "ENOSPC", true),
    ("write", "ENOSPC", false),
    ("write", "short", false),
    ("sync", "EIO", true),
    ("sync", "EIO", false),
    ("name", "EIO", true),
    ("name", "EIO", false),
    ("name", "ENOSPC", false),
];

/// The zones, each with one version more after the pass.
const ZONES: [&str; 3] = ["files.test", "flux.test", "example"];

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
struct State {
    /// Histories of [`ZONES`].
    histories: Vec<Value>,
    cases: Vec<Value>,
}

/// A pass over a zone file, a feed and a transfer, to be run on a disk that fails.
struct Pass {
    /// As it is before the pass.
    bench: Bench,
    library: PathBuf,
    _folder: tempfile::TempDir,
    before: State,
    after: State,
    /// After another pass, an hour later, which judges open cases again.
    end: State,
    /// Cases and subjects of the mails after the pass.
    mails: Vec<String>,
}

/// A zone file of some names, one of which moves.
fn zone_file(version: u32) -> String {
    let names: String = (0..40)
        .map(|n| format!("n{n} NS ns{}.files.net.\n", n % 3))
        .collect();
    format!(
        "$ORIGIN files.test.\n$TTL 300\n@ SOA ns1 host {version} 3600 600 86400 300\n@ NS ns1.files.net.\n{names}moved NS ns{version}.files.net.\n"
    )
}

/// The feed up to so many hours: a domain that rotates; the last of its moves is the pass's.
fn feed(hours: i64) -> String {
    let mut feed = Feed::default();
    feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
    feed.flux("bad.example.", 6, 60);
    feed.text(hours).replace("example.", "flux.test.")
}

/// The configuration, with the primary of the time.
fn configuration(primary: std::net::SocketAddr) -> String {
    format!(
        "[[source]]\nname = \"files\"\nkind = \"zonefile\"\nzone = \"files.test.\"\npath = \"zones/*.zone\"\ntime_pattern = \"%Y%m%d.zone\"\n\
         [[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"flux.test.\"\npath = \"f.ndjson\"\ncomplete = true\n{}\
         {REPORT}digest = \"off\"\n[smtp]\nurl = \"maildir://desk\"\n[events]\npath = \"events.ndjson\"\n",
        source("example.", &[primary], false)
    )
}

/// Removes what differs between two runs: numbers of rows, and times of the machine's clock.
fn without_chance(value: &mut Value, is_live: bool) {
    match value {
        Value::Object(fields) => {
            // A gap tells that a look failed, and when.
            for key in ["id", "told_at", "gaps"] {
                fields.remove(key);
            }
            if is_live {
                for key in ["at", "added_at", "removed_at"] {
                    fields.remove(key);
                }
            }
            fields
                .values_mut()
                .for_each(|it| without_chance(it, is_live));
        }
        Value::Array(items) => items.iter_mut().for_each(|it| without_chance(it, is_live)),
        _ => {}
    }
}

/// Returns what history and the list of cases say.
fn state(bench: &Bench) -> State {
    let of_zone = |zone: &&str| {
        let mut history = bench.json(&["history", &format!("*.{zone}"), "--format", "json"]);
        without_chance(&mut history, *zone == "example");
        // Their order is of time, and a transfer's is the machine's.
        for list in ["records", "changes"] {
            if let Some(rows) = history[list].as_array_mut() {
                rows.sort_by_cached_key(|row| row.to_string());
            }
        }
        history
    };
    let mut cases = bench.cases();
    cases
        .iter_mut()
        .for_each(|case| without_chance(case, false));
    State {
        histories: ZONES.iter().map(of_zone).collect(),
        cases,
    }
}

/// Returns the first place at which two states differ, with what stands there.
fn difference(one: &State, other: &State) -> Option<String> {
    let as_json = |state: &State| serde_json::json!([state.histories, state.cases]);
    difference_at(String::new(), &as_json(one), &as_json(other))
}

/// [`difference`] below a path.
fn difference_at(path: String, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(fields), Value::Object(others)) if fields.len() == others.len() => {
            fields.iter().find_map(|(key, value)| {
                difference_at(
                    format!("{path}.{key}"),
                    value,
                    others.get(key).unwrap_or(&Value::Null),
                )
            })
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => items
            .iter()
            .zip(others)
            .enumerate()
            .find_map(|(i, (one, other))| difference_at(format!("{path}.{i}"), one, other)),
        _ if one == other => None,
        _ => Some(format!("{path}: {one}, not {other}")),
    }
}

/// Returns case and subject of each mail, sorted.
fn mails(bench: &Bench) -> Vec<String> {
    let line = |text: &str, name: &str| {
        let found = text.lines().find(|line| line.starts_with(name));
        found.unwrap_or_default().to_owned()
    };
    let mut mails: Vec<String> = bench
        .maildir()
        .iter()
        .map(|path| fs::read_to_string(path).expect("a mail is text"))
        .map(|text| line(&text, "X-Fluxwatch-Case:") + &line(&text, "Subject:"))
        .collect();
    mails.sort();
    mails
}

/// Returns a copy of a bench, with the times of its files.
fn copy(bench: &Bench) -> Bench {
    let copy = Bench::new("");
    let copied = Command::new("cp")
        .args(["-a", "-T"])
        .args([bench.path(), copy.path()])
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "not copied");
    // A feed is known by its file's number, and this one is only read.
    let feed = copy.path().join("f.ndjson");
    fs::remove_file(&feed).expect("it was copied");
    fs::hard_link(bench.path().join("f.ndjson"), feed).expect("linked");
    copy
}

/// Goes on with a healthy disk, an hour later, when a message that was in somebody's hands is free again.
fn go_on(bench: &Bench) {
    let clock = Arc::new(SetClock::new(WallClock.now() + Span::hours(1)));
    let pipeline = bench.pipeline(clock);
    poll(&pipeline);
    deliver(&pipeline);
}

/// Builds the library that makes calls fail.
pub fn build_library(folder: &Path) -> PathBuf {
    let library = folder.join("failing_disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/failing_disk.c");
    // Whoever builds this has a C compiler: SQLite is built with it.
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .args(["-ldl"])
        .output()
        .expect("cc runs");
    assert!(built.status.success(), "{}", both(&built));
    library
}

impl Pass {
    /// Makes what is there before the pass, and finds out what is there after it.
    fn prepare() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let library = build_library(folder.path());
        let old = primary(1, |asked| asked.send(&zone_of(1, "ns1.old.test")));
        let new = primary(2, |asked| match asked.rtype {
            IXFR => asked.send(&[
                soa(2),
                soa(1),
                ns("d0", "ns1.old.test"),
                soa(2),
                ns("d0", "ns1.new.test"),
                soa(2),
            ]),
            _ => asked.send(&zone_of(2, "ns1.new.test")),
        });
        let bench = Bench::new(&configuration(old));
        fs::create_dir(bench.path().join("tmp")).expect("made");
        bench.write("zones/20261101.zone", zone_file(1));
        bench.write("f.ndjson", feed(24));
        bench.run(0, &["poll"]);
        let before = state(&bench);
        assert!(mails(&bench).is_empty(), "reported before the pass");
        bench.configure(&configuration(new));
        bench.write("zones/20261102.zone", zone_file(2));
        bench.write("f.ndjson", feed(30));

        let whole = copy(&bench);
        whole.run(0, &["poll"]);
        let after = state(&whole);
        for (before, after) in before.histories.iter().zip(&after.histories) {
            assert_ne!(before, after, "the pass brings nothing");
        }
        go_on(&whole);
        let end = state(&whole);
        let mails = mails(&whole);
        assert_eq!(mails.len(), 1, "{mails:?}");
        Self {
            bench,
            library,
            _folder: folder,
            before,
            after,
            end,
            mails,
        }
    }

    /// Returns the pass on a disk that fails.
    fn command(&self, bench: &Bench, calls: &str, at: usize) -> Command {
        let mut command = bench.command(&["poll"]);
        command
            .env("LD_PRELOAD", &self.library)
            .env("TMPDIR", bench.path().join("tmp"))
            .env("FAIL_UNDER", bench.path())
            .env("FAIL_CALLS", calls)
            .env("FAIL_AT", at.to_string());
        command
    }

    /// Returns how many such calls the pass makes.
    fn count(&self, calls: &str) -> usize {
        let (bench, told) = (copy(&self.bench), tempfile::NamedTempFile::new());
        let told = told.expect("a temporary file");
        let mut command = self.command(&bench, calls, 0);
        let output = command.env("FAIL_COUNT", told.path()).output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", both(&output));
        let text = fs::read_to_string(told.path()).expect("it was told");
        text.trim().parse().expect("a number")
    }

    /// Runs the pass on a disk whose call `at` fails, and goes on. Returns whether the fault ended the pass.
    fn check(
        &self,
        (calls, fault, is_once): (&str, &str, bool),
        at: usize,
    ) -> Result<bool, String> {
        let bench = copy(&self.bench);
        let mut command = self.command(&bench, calls, at);
        command.env("FAIL_AS", fault);
        if is_once {
            command.env("FAIL_ONCE", "1");
        }
        let output = command.output().expect("it runs");
        check_ending(&bench, &output)?;
        let verified = bench.command(&["db", "verify"]).output().expect("it runs");
        if !verified.status.success() {
            return Err(format!("after the fault: {}", both(&verified)));
        }
        let state_then = state(&bench);
        let is_whole = |zone: &usize| {
            let then = &state_then.histories[*zone];
            *then == self.before.histories[*zone] || *then == self.after.histories[*zone]
        };
        if let Some(between) = (0..ZONES.len()).find(|zone| !is_whole(zone)) {
            return Err(format!("{} is between", ZONES[between]));
        }
        if output.status.success() && state_then != self.after {
            return Err("the pass said that all was done, and it was not".to_owned());
        }
        let mails_then = mails(&bench);
        if !mails_then.iter().all(|mail| self.mails.contains(mail)) {
            return Err(format!("mailed after the fault: {mails_then:?}"));
        }
        go_on(&bench);
        let (state, mails) = (state(&bench), mails(&bench));
        if let Some(place) = difference(&state, &self.end) {
            return Err(format!("the next pass ended elsewhere: {place}"));
        }
        if mails != self.mails {
            return Err(format!("mailed in the end: {mails:?}"));
        }
        let verified = bench.run(0, &["db", "verify"]);
        if verified.starts_with("sound") {
            Ok(output.status.code() == Some(4))
        } else {
            Err(verified)
        }
    }
}

/// A pass that met a fault ends well if it needed nothing of it, with 3 if a source or a message was left for the next
/// one, and with 4 and one sentence, which names the file, and the cure.
fn check_ending(bench: &Bench, output: &std::process::Output) -> Result<(), String> {
    let text = both(output);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    let names_file = |text: &str| text.contains(&*bench.path().to_string_lossy());
    match output.status.code() {
        Some(0) => Ok(()),
        Some(3) if names_file(&text) => Ok(()),
        // A message waits; the pass says where its reason stands.
        Some(3) if text.contains("outbox list") => {
            let listed = bench.run(0, &["outbox", "list"]);
            if names_file(&listed) {
                Ok(())
            } else {
                Err(format!("{text}{listed}"))
            }
        }
        // The configuration, and what it names, cannot be read.
        Some(2) if names_file(&stderr) => Ok(()),
        Some(4) if errors.len() == 1 && names_file(errors[0]) && stderr.contains("\nhint: ") => {
            Ok(())
        }
        _ => Err(format!("{:?}: {text}", output.status)),
    }
}

/// Returns how many calls of each sort are tried in each way.
fn tries() -> usize {
    std::env::var("FLUXWATCH_FAULTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(15)
}

/// Returns every case: spread over the calls, each way beginning at another one.
fn cases(pass: &Pass) -> Vec<((&'static str, &'static str, bool), usize)> {
    let mut cases = Vec::new();
    for (number, way) in WAYS.into_iter().enumerate() {
        let count = pass.count(way.0).min(CALLS_MAX);
        let step = count.div_ceil(tries()).max(1);
        cases.extend(
            (1 + number % step..=count)
                .step_by(step)
                .map(|at| (way, at)),
        );
    }
    cases
}

#[test]
fn pass_on_a_disk_that_fails_anywhere_leaves_the_state_before_or_after() {
    if has_no_file() {
        return;
    }
    let pass = Pass::prepare();
    let cases = cases(&pass);
    let (next, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let check = || {
        let mut faults = Vec::new();
        while let Some((way, at)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            match pass.check(*way, *at) {
                Ok(is_ended) => _ = ended.fetch_add(is_ended.into(), Ordering::Relaxed),
                Err(fault) => faults.push(format!("{way:?} at {at}: {fault}")),
            }
        }
        faults
    };
    let faults: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(check)).collect();
        let done = threads.into_iter().map(|it| it.join().expect("it ends"));
        done.flatten().collect()
    });
    assert!(
        faults.is_empty(),
        "{} of {}:\n{}",
        faults.len(),
        cases.len(),
        faults.join("\n")
    );
    let ended = ended.into_inner();
    assert!(
        ended > cases.len() / 2,
        "the fault ended only {ended} passes"
    );
}

#[test]
fn full_disk_under_what_a_command_prints_or_copies_is_named_with_its_cure() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = build_library(folder.path());
    let bench = Bench::new("");
    bench.run(0, &["poll"]);
    let full = fs::File::options().write(true).open("/dev/full");
    let printed = bench
        .command(&["db", "verify"])
        .stdout(full.expect("Linux has it"))
        .output()
        .expect("it runs");
    let text = both(&printed);
    assert_eq!(printed.status.code(), Some(4), "{text}");
    assert!(text.contains("error: standard output: No space"), "{text}");
    assert!(text.contains("\nhint: make room"), "{text}");
    // The database is well; the copy is not.
    let copy = folder.path().join("copy.db");
    let copied = bench
        .command(&["db", "backup", copy.to_str().expect("UTF-8")])
        .env("LD_PRELOAD", &library)
        .env("FAIL_UNDER", folder.path())
        .env("FAIL_CALLS", "write")
        .env("FAIL_AT", "1")
        .env("FAIL_AS", "ENOSPC")
        .output()
        .expect("it runs");
    let text = both(&copied);
    assert_eq!(copied.status.code(), Some(4), "{text}");
    assert!(
        text.contains(&format!("error: database {}", copy.display())),
        "{text}"
    );
    assert!(text.contains("\nhint: make room"), "{text}");
    assert!(!copy.exists());
}

#[test]
fn step_of_the_desk_that_a_full_disk_does_not_take_is_not_said_to_be_done() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = build_library(folder.path());
    let mut refused = 0;
    for at in 1..=40 {
        let bench = Bench::new("");
        bench.run(0, &["poll"]);
        let added = bench
            .command(&[
                "exempt",
                "add",
                "domain",
                "example.test",
                "--reason",
                "ours",
                "--by",
                "desk",
            ])
            .env("LD_PRELOAD", &library)
            .env("FAIL_UNDER", bench.path())
            .env("FAIL_CALLS", "write")
            .env("FAIL_AT", at.to_string())
            .env("FAIL_AS", "ENOSPC")
            .output()
            .expect("it runs");
        let list = bench.run(0, &["exempt", "list"]);
        let is_there = list.contains("example.test");
        let text = both(&added);
        assert_eq!(
            added.status.success(),
            is_there,
            "write {at}: {text}\n{list}"
        );
        if added.status.success() && at > 1 {
            // No write is left that could fail.
            break;
        }
        refused += 1;
    }
    assert!(refused > 1, "the disk failed {refused} times");
}
