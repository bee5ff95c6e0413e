//! First versions of a large zone and of many small ones: kill -9 leaves each of them whole or not there.
//!
//! `FLUXWATCH_KILLS` sets how often (20 by default, half of them each).

use crate::harness::{Bench, python};
use crate::numbers::Numbers;
use crate::servers::Knot;
use crate::support::kills::{INTEGRITY, kills};
use crate::support::stores::{forget_everything, server};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Returns how many records each zone has that has a version.
fn records(bench: &Bench) -> BTreeMap<String, u64> {
    let rows = bench.json(&["status", "--format", "json"]);
    let rows = rows.as_array().expect("a list");
    let with_version = rows.iter().filter(|row| !row["serial"].is_null());
    let row = |row: &serde_json::Value| {
        let zone = row["zone"].as_str().expect("text").to_owned();
        (zone, row["records"].as_u64().expect("a number"))
    };
    with_version.map(row).collect()
}

/// Kills `poll` at random moments of the time that it takes, each time on a database of its own; `whole` are the zones
/// that there are in the end.
fn check_kills(bench: &Bench, seed: u64, whole: &BTreeMap<String, u64>, takes: Duration) {
    let mut numbers = Numbers(seed);
    for _ in 0..kills().div_ceil(2) {
        forget_everything(bench.path());
        let mut child = bench
            .command(&["poll"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let at = 20 + numbers.below(takes.as_millis() as u64);
        sleep(Duration::from_millis(at));
        child.kill().expect("it is ours to kill");
        child.wait().expect("it ends");
        let there = bench.command(&["status"]).output().expect("it runs");
        if !there.status.success() {
            continue;
        }
        let database = bench.path().join("fluxwatch.db");
        if server().is_none() {
            assert_eq!(python(INTEGRITY, &[&database]).trim(), "ok 0");
        }
        assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
        let found = records(bench);
        let is_whole = |(zone, records): (&String, &u64)| whole.get(zone) == Some(records);
        assert!(found.iter().all(is_whole), "after {at} ms: {found:?}");
        bench.run(0, &["poll"]);
        assert_eq!(records(bench), *whole, "killed after {at} ms");
    }
}

/// Polls once and returns what there is then, and how long that took.
fn poll_whole(bench: &Bench) -> (BTreeMap<String, u64>, Duration) {
    let began = Instant::now();
    bench.run(0, &["poll"]);
    (records(bench), began.elapsed())
}

#[test]
fn killed_first_version_of_a_large_zone_is_whole_or_not_there() {
    let mut text = String::from(
        "$TTL 3600\n@ SOA ns.big.test. host.big.test. 1 3600 600 86400 300\n@ NS ns.other.test.\n",
    );
    for n in 0..20_000_u32 {
        let label = n.wrapping_mul(2_654_435_761);
        let _ = write!(
            text,
            "x{label} NS ns{}.op.test.\nx{label} NS ns.x{label}\nns.x{label} A 192.0.2.1\n",
            n % 700
        );
    }
    let bench = Bench::new(
        "[[source]]\nname = \"big\"\nkind = \"zonefile\"\nzone = \"big.test.\"\npath = \"big.zone\"\n",
    );
    bench.write("big.zone", text);
    let (whole, takes) = poll_whole(&bench);
    assert_eq!(whole.get("big.test."), Some(&60_001));
    check_kills(&bench, 3, &whole, takes);
}

#[test]
fn killed_first_versions_of_many_zones_are_each_whole_or_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let zones: Vec<(String, String)> = (0..300)
        .map(|n| {
            let apex = format!("z{n}.example.");
            let hosts: String = (0..=n % 5)
                .map(|host| format!("h{host} IN A 192.0.2.{host}\n"))
                .collect();
            let text = format!("$ORIGIN {apex}\n$TTL 60\n@ IN SOA a.test. b.test. 1 60 60 600 0\n@ IN NS ns{}.infra.test.\n{hosts}", n % 3);
            (apex, text)
        })
        .collect();
    let mut catalog = String::from(
        "$ORIGIN cat.test.\n$TTL 0\n@ IN SOA invalid. invalid. 1 60 60 600 0\n@ IN NS invalid.\nversion IN TXT \"2\"\n",
    );
    for n in 0..zones.len() {
        let _ = writeln!(catalog, "m{n}.zones IN PTR z{n}.example.");
    }
    let served = zones
        .iter()
        .map(|(apex, text)| (apex.as_str(), text.as_str()));
    let served: Vec<(&str, &str)> = served.chain([("cat.test.", catalog.as_str())]).collect();
    let knot = Knot::start(folder.path(), &served);
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}[[source]]\nname = \"cat\"\nkind = \"catalog\"\nzone = \"cat.test.\"\nprimaries = [\"{}\"]\nkey = \"transfer.test.\"\nscope = [\"example.\"]\n",
        bench.key_section(),
        knot.address()
    ));
    let (whole, takes) = poll_whole(&bench);
    let members = whole
        .keys()
        .filter(|zone| zone.ends_with(".example."))
        .count();
    assert_eq!(members, zones.len());
    check_kills(&bench, 4, &whole, takes);
}
