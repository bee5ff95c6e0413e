//! kill -9 at random moments of a migration, a prune and a backup: the database is sound each time, and
//! what was to be kept is kept.
//!
//! `FLUXWATCH_KILLS` sets how many times; a quarter of it each. `benches/full` sets 200.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Bench, python};
use crate::numbers::Numbers;
use crate::support::kills::{INTEGRITY, kills};
use crate::support::rows::{keep, put_back};
use crate::support::stores::{has_no_file, server};

/// Domains of the histories that are interrupted.
const DOMAINS: u32 = 400;
/// Changes of each.
const CHANGES: u32 = 30;

/// Fills a database of the first schema: each domain moves once a day, and twice to the same place.
const FIRST_SCHEMA: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.executescript(open(sys.argv[2]).read())
db.executescript(open(sys.argv[3]).read())
domains, days, start, day = 400, 30, 1790100000, 86400
for host in range(10): db.execute('insert into host (id, name) values (?, ?)', (100 + host, f'test.h{host}.ns'))
for n in range(domains): db.execute('insert into owner (id, zone_id, name) values (?, 1, ?)', (100 + n, f'd{n}'))
import datetime
last = 2
for d in range(days):
    at = start + d * day; version = 100 + d
    db.execute('insert into version (id, zone_id, source_id, kind, serial, observed_at, previous_id, changed_name_count, bulk) values (?, 1, 1, ?, ?, ?, ?, ?, 0)',
        (version, 'snapshot', 100 + d, at, last, domains)); last = version
    month = datetime.datetime.fromtimestamp(at, datetime.timezone.utc); bucket = month.year * 12 + month.month - 1
    for n in range(domains):
        if d > 0: db.execute('insert into past_record (bucket, owner_id, removed_id, rrtype, rdata, ttl, added_id, baseline) values (?, ?, ?, 2, ?, 60, ?, 0)',
            (bucket, 100 + n, version, 100 + (n + d - 1) % 10, version - 1))
        db.execute('insert into change values (?, ?, 1, ?, 0, 0, 0, 0)', (version, 100 + n, int(d > 0)))
for n in range(domains): db.execute('insert into record values (?, 2, ?, 60, ?, 0)', (100 + n, 100 + (n + days - 1) % 10, last))
db.execute('update zone set version_id = ?, serial = ?, detected_version_id = ?, kept_count = ?, name_count = ?, delegation_count = ? where id = 1',
    (last, 100 + days - 1, last, domains + 1, domains + 1, domains + 1))
db.execute('pragma application_id = ' + sys.argv[4]); db.execute('pragma user_version = 1'); db.commit(); db.close()
";

/// Runs the command and kills it after a while; returns whether it had ended by itself.
fn kill_after(bench: &Bench, command: &[&str], wait: Duration) -> bool {
    let mut child = bench
        .command(command)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program can be started");
    sleep(wait);
    let has_ended = child.try_wait().expect("it is ours").is_some();
    child.kill().expect("it is ours to kill");
    child.wait().expect("it ends");
    has_ended
}

/// Returns how long the command takes when nobody kills it.
fn time_of(bench: &Bench, command: &[&str]) -> Duration {
    let started = Instant::now();
    bench.run(0, command);
    started.elapsed()
}

/// Returns the whole history, as it is listed.
fn everything(bench: &Bench) -> Value {
    bench.json(&[
        "history",
        "*.example.",
        "--limit",
        "100000",
        "--format",
        "json",
    ])
}

/// Copies the database of a bench into another.
fn copy_database(from: &Bench, to: &Bench) {
    for end in ["", "-wal", "-shm", "-journal"] {
        let name = format!("fluxwatch.db{end}");
        let _ = fs::remove_file(to.path().join(&name));
        if from.path().join(&name).exists() {
            fs::copy(from.path().join(&name), to.path().join(&name)).expect("copied");
        }
    }
    let _ = fs::remove_dir_all(to.path().join("fluxwatch.db.digests"));
}

/// Expects SQLite to find nothing wrong with the database, where it is a file.
fn expect_whole(bench: &Bench) {
    if server().is_some() {
        return;
    }
    let database = bench.path().join("fluxwatch.db");
    assert_eq!(python(INTEGRITY, &[&database]).trim(), "ok 0");
}

#[test]
fn killed_migrations_go_on_and_lose_nothing() {
    if has_no_file() {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let old = Bench::new("");
    let script = old.write("fill.py", FIRST_SCHEMA);
    let output = std::process::Command::new("python3")
        .arg(script)
        .arg(old.path().join("fluxwatch.db"))
        .arg(root.join("src/store/sqlite/migrations/0001_history.sql"))
        .arg(root.join("tests/fixtures/migrations/0001.sql"))
        .arg(fluxwatch::store::Store::APPLICATION_ID.to_string())
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", crate::harness::both(&output));

    let whole = Bench::new("");
    copy_database(&old, &whole);
    let time = time_of(&whole, &["poll"]);
    assert!(whole.run(0, &["db", "verify"]).starts_with("sound"));
    let expected = everything(&whole);
    let changes = expected["changes"].as_array().map(Vec::len);
    assert_eq!(changes, Some((DOMAINS * CHANGES) as usize + 1));

    let mut numbers = Numbers(3);
    let bench = Bench::new("");
    for _ in 0..kills().div_ceil(4) {
        copy_database(&old, &bench);
        // Again and again until it is done, as a service that is restarted would.
        for _ in 0..3 {
            let wait = Duration::from_micros(numbers.below(time.as_micros() as u64));
            let has_ended = kill_after(&bench, &["poll"], wait);
            expect_whole(&bench);
            if has_ended {
                break;
            }
        }
        bench.run(0, &["poll"]);
        assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
        assert_eq!(everything(&bench), expected);
    }
}

/// The source of [`bench_of_months`].
const FEED: &str =
    "[[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"f.ndjson\"\n";

/// A bench with months of changes, kept for ever.
fn bench_of_months() -> Bench {
    let bench = Bench::new(FEED);
    let mut feed = String::new();
    for change in 0..CHANGES {
        let at = 1_761_955_200 + u64::from(change) * 12 * 86_400;
        for domain in 0..DOMAINS {
            let host = (domain + change) % 10;
            writeln!(
                feed,
                "{{\"at\":{at},\"rrname\":\"d{domain}.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"rdata\":[\"ns.h{host}.test.\",\"ns.always.test.\"],\"serial\":{}}}",
                change + 1
            )
            .expect("text grows");
        }
    }
    bench.write("f.ndjson", feed);
    bench.run(0, &["poll"]);
    bench
}

#[test]
fn killed_prunes_go_on_and_keep_what_is_to_be_kept() {
    let bench = bench_of_months();
    let (before, all) = (keep(&bench), everything(&bench));
    bench.configure(&format!("{FEED}[retention]\nkeep = \"100d\"\n"));
    let time = time_of(&bench, &["db", "prune"]);
    assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
    let expected = everything(&bench);
    let count = |history: &Value| history["records"].as_array().map_or(0, Vec::len);
    assert!(count(&expected) < count(&all), "nothing was pruned");
    let kept = |history: &Value| -> Vec<String> {
        let records = history["records"].as_array().expect("a list").iter();
        records.map(ToString::to_string).collect()
    };
    let to_be_kept = kept(&expected);

    let mut numbers = Numbers(4);
    for _ in 0..kills().div_ceil(4) {
        put_back(&bench, &before);
        for _ in 0..3 {
            let wait = Duration::from_micros(numbers.below(time.as_micros() as u64));
            let has_ended = kill_after(&bench, &["db", "prune"], wait);
            expect_whole(&bench);
            assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
            let now: std::collections::HashSet<String> =
                kept(&everything(&bench)).into_iter().collect();
            assert!(to_be_kept.iter().all(|record| now.contains(record)));
            if has_ended {
                break;
            }
        }
        bench.run(0, &["db", "prune"]);
        assert_eq!(everything(&bench), expected);
        assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
    }
}

#[test]
fn killed_backups_leave_nothing_that_looks_like_one() {
    if has_no_file() {
        return;
    }
    let bench = bench_of_months();
    let expected = everything(&bench);
    let target = bench.path().join("backup.db");
    let path = target.to_str().expect("UTF-8");
    let time = time_of(&bench, &["db", "backup", path]);
    fs::remove_file(&target).expect("it was written");
    let copy = Bench::new("");
    let mut numbers = Numbers(5);
    for _ in 0..kills().div_ceil(4) {
        let wait = Duration::from_micros(numbers.below(time.as_micros() as u64));
        kill_after(&bench, &["db", "backup", path], wait);
        expect_whole(&bench);
        if target.exists() {
            // It was done just before.
            fs::rename(&target, copy.path().join("fluxwatch.db")).expect("moved");
            assert!(copy.run(0, &["db", "verify"]).starts_with("sound"));
            assert_eq!(everything(&copy)["records"], expected["records"]);
        }
    }
    bench.run(0, &["db", "backup", path]);
    fs::rename(&target, copy.path().join("fluxwatch.db")).expect("moved");
    assert!(copy.run(0, &["db", "verify"]).starts_with("sound"));
    assert_eq!(everything(&copy)["records"], expected["records"]);
    assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
}
