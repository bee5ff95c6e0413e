//! Benches with two zones, and readers that are not ours.

use crate::harness::{Bench, both};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// A configuration with one feed of all zones.
pub const FEED: &str =
    "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n";

/// Returns a line of the feed.
pub fn line(at: &str, zone: &str, name: &str, rtype: &str, rdata: &[&str]) -> String {
    let rdata = serde_json::to_string(rdata).expect("text");
    format!(
        r#"{{"at":"{at}","zone":"{zone}","rrname":"{name}","rrtype":"{rtype}","op":"set","ttl":300,"rdata":{rdata}}}"#
    ) + "\n"
}

/// A bench with two zones: one delegates, one is hosted.
pub fn bench_of_two_zones() -> Bench {
    let day = |day: u32| format!("2026-03-{day:02}T12:00:00Z");
    let mut feed = String::new();
    for (at, name, rtype, rdata) in [
        (
            1,
            "bad.example.",
            "NS",
            vec!["ns1.bad.example.", "ns.host.test."],
        ),
        (1, "ns1.bad.example.", "A", vec!["192.0.2.1"]),
        (1, "good.example.", "NS", vec!["ns.host.test."]),
        (1, "xn--bcher-kva.example.", "NS", vec!["ns.host.test."]),
        (5, "ns1.bad.example.", "A", vec!["192.0.2.7", "2001:db8::7"]),
        (
            9,
            "bad.example.",
            "NS",
            vec!["ns1.bad.example.", "ns2.other.test."],
        ),
        (12, "good.example.", "NS", vec![]),
    ] {
        let rdata: Vec<&str> = rdata.into_iter().filter(|it| !it.contains(':')).collect();
        feed += &line(&day(at), "example.", name, rtype, &rdata);
    }
    feed += &line(
        &day(5),
        "example.",
        "ns1.bad.example.",
        "AAAA",
        &["2001:db8::7"],
    );
    feed += &line(
        &day(2),
        "shop.example.",
        "www.shop.example.",
        "A",
        &["192.0.2.200"],
    );
    let bench = Bench::new(FEED);
    bench.write("f.ndjson", feed);
    bench.run(0, &["poll"]);
    bench
}

/// Returns what is listed, as `name type data`.
pub fn records(bench: &Bench, arguments: &[&str]) -> BTreeSet<String> {
    let mut all = vec!["history"];
    all.extend(arguments);
    all.extend(["--format", "ndjson"]);
    let text = bench.run(0, &all);
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let records = lines.filter(|it| it.get("rdata").is_some());
    let word = |it: &Value, key: &str| it[key].as_str().expect("text").to_owned();
    records
        .map(|it| {
            format!(
                "{} {} {}",
                word(&it, "rrname"),
                word(&it, "rrtype"),
                word(&it, "rdata")
            )
        })
        .collect()
}

/// Returns a set of texts.
pub fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Makes Python packages usable, installed once for each place of the build.
pub fn python_with(package: &str) -> std::path::PathBuf {
    python_with_module(package, package.split("==").next().expect("a name"))
}

/// [`python_with`], where the module has another name than the package.
pub fn python_with_module(package: &str, module: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = folder.join("bin/python3");
    let run = |command: &mut Command| {
        let output = command.output().expect("python3 is installed");
        assert!(output.status.success(), "{}", both(&output));
    };
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    }
    let is_there = Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .output();
    if !is_there.is_ok_and(|output| output.status.success()) {
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", package]));
    }
    python
}
