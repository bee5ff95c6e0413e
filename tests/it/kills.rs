//! kill -9 at random moments of `poll` and `run`: what was committed stays, nothing is there twice.
//!
//! `FLUXWATCH_KILLS` sets how many times (20 by default); `benches/full` sets 100.

use crate::generator::{Options, generate};
use crate::harness::{Bench, REPORT, deliver, poll, python};
use crate::numbers::Numbers;
use crate::servers::Postfix;
use crate::support::kills::{INTEGRITY, kills};
use crate::support::stores::server;
use fluxwatch::time::{Clock, SetClock, Span, WallClock};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

/// A bench with the whole sample, mailing to a port.
fn sample_bench(port: u16) -> Bench {
    let sample = generate(Options {
        seed: 20_261_101,
        names_seed: 7,
        shift_s: 0,
    });
    let sources = "[[source]]\nname = \"registry\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"registry/*.gz\"\ntime_pattern = \"example-%Y%m%d%H%M.zone.gz\"\nevery = \"1s\"\n\
        [[source]]\nname = \"hosted\"\nkind = \"zonefile\"\nzone = \"paper-cycles.test.\"\npath = \"hosted/*.gz\"\ntime_pattern = \"hosted-%Y%m%d%H%M.zone.gz\"\n\
        [[source]]\nname = \"customers\"\nkind = \"feed\"\npath = \"customers.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n";
    let bench = Bench::new(&format!(
        "{sources}{REPORT}[smtp]\nurl = \"smtp://127.0.0.1:{port}\"\n"
    ));
    for (name, octets) in &sample.files {
        bench.write(name, octets);
    }
    bench
}

/// Returns the histories of the names that change, and the cases.
fn outcome(bench: &Bench) -> (BTreeMap<String, Value>, Vec<Value>) {
    let cases = bench.cases();
    let domains = cases
        .iter()
        .map(|case| case["domain"].as_str().expect("text").to_owned());
    let histories = domains.map(|domain| {
        (
            domain.clone(),
            bench.json(&["history", &domain, "--format", "json"]),
        )
    });
    (histories.collect(), cases.iter().map(without_id).collect())
}

/// Returns a case without its number, which depends on the order of sources, and without the time of its
/// mail, which is the machine's.
fn without_id(case: &Value) -> Value {
    let mut case = case.clone();
    let object = case.as_object_mut().expect("an object");
    object.remove("id");
    object.remove("told_at");
    case
}

/// Kills the command at random moments until `kills` are done, each database until it is complete.
fn check_kills(command: &[&str], kills: u32, seed: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postfix = Postfix::start(folder.path());
    let reference = sample_bench(postfix.port());
    // Twice: a pass that reads nothing new has judged what was left as well, as one after a kill may have.
    reference.run(0, &["poll"]);
    reference.run(0, &["poll"]);
    let expected = outcome(&reference);
    let mut numbers = Numbers(seed);
    let (mut done, mut rounds) = (0, 1);
    while done < kills {
        let bench = sample_bench(postfix.port());
        rounds += 1;
        for _ in 0..4.min(kills - done) {
            let mut child = bench
                .command(command)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the program can be started");
            sleep(Duration::from_millis(20 + numbers.below(900)));
            child.kill().expect("it is ours to kill");
            child.wait().expect("it ends");
            done += 1;
            check_state(&bench, &expected.0);
        }
        // The next poll goes on. The clock is an hour ahead, so that a message that was in somebody's
        // hands when the kill came is free again.
        let clock = Arc::new(SetClock::new(WallClock.now() + Span::hours(1)));
        let pipeline = bench.pipeline(clock);
        poll(&pipeline);
        poll(&pipeline);
        deliver(&pipeline);
        drop(pipeline);
        assert_eq!(outcome(&bench), expected, "after kills of {command:?}");
        assert!(
            bench
                .json(&["outbox", "list", "--format", "json"])
                .as_array()
                .is_some_and(Vec::is_empty),
            "a report was not sent"
        );
    }
    check_mails(&postfix, rounds);
}

/// The database is sound, and what it holds is a beginning of what it will hold.
fn check_state(bench: &Bench, expected: &BTreeMap<String, Value>) {
    let database = bench.path().join("fluxwatch.db");
    let is_file = server().is_none();
    if is_file && !database.exists()
        || bench
            .command(&["status"])
            .output()
            .is_ok_and(|output| !output.status.success())
    {
        return;
    }
    if is_file {
        assert_eq!(python(INTEGRITY, &[&database]).trim(), "ok 0");
    }
    assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
    for (domain, whole) in expected {
        let history = bench.json(&["history", domain, "--format", "json"]);
        let (now, later) = (
            history["changes"].as_array().expect("a list"),
            whole["changes"].as_array().expect("a list"),
        );
        assert!(later.starts_with(now), "{domain}: {now:?}");
    }
}

/// Three cases a database were reported, each under one Message-ID however often it came.
fn check_mails(postfix: &Postfix, rounds: usize) {
    let mails = postfix.wait_for_mails(3 * rounds, 30);
    let program = "import email, sys\nfor p in sys.argv[1:]:\n    m = email.message_from_binary_file(open(p, 'rb'))\n    print(m['Message-ID'], m['X-Fluxwatch-Case'])\n";
    let paths: Vec<&std::path::Path> = mails.iter().map(|path| path.as_path()).collect();
    let printed = python(program, &paths);
    let mut reports: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for line in printed.lines() {
        let (id, case) = line.split_once(' ').expect("two words");
        let database = id.split('.').nth(1).expect("the database's id").to_owned();
        reports
            .entry((database, case.to_owned()))
            .or_default()
            .insert(id.to_owned());
    }
    assert_eq!(reports.len(), 3 * rounds, "{printed}");
    assert!(reports.values().all(|ids| ids.len() == 1), "{reports:?}");
}

#[test]
fn killed_polls_lose_nothing_and_repeat_nothing() {
    check_kills(&["poll"], kills().div_ceil(2), 1);
}

#[test]
fn killed_services_lose_nothing_and_repeat_nothing() {
    check_kills(&["run"], kills() / 2, 2);
}

#[test]
fn service_stops_cleanly_on_sigterm_and_holds_the_lock_until_then() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postfix = Postfix::start(folder.path());
    let bench = sample_bench(postfix.port());
    let mut child = bench
        .command(&["run"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    postfix.wait_for_mails(3, 60);
    let said = bench.run_stderr(0, &["poll"]);
    // On a server it also says which.
    assert!(
        said.contains("another fluxwatch") && said.contains(" polls"),
        "{said}"
    );
    let killed = std::process::Command::new("kill")
        .arg("-TERM")
        .arg(child.id().to_string())
        .status()
        .expect("kill is there");
    assert!(killed.success());
    assert!(child.wait().expect("it ends").success());
    bench.run(0, &["poll"]);
}
