//! Passive DNS brought in beside a zone's own history.

use serde_json::Value;

use crate::harness::Bench;
use crate::support::lookups::{bench_of_two_zones, records, set};

/// A line of the common output format.
fn line(name: &str, rtype: &str, rdata: &str, first: u32, last: u32) -> String {
    format!(
        "{{\"rrname\":\"{name}\",\"rrtype\":\"{rtype}\",\"rdata\":{rdata},\"time_first\":{first},\"time_last\":{last},\"count\":7}}\n"
    )
}

/// 2025-01-01T00:00:00Z; before anything else in these histories.
const EARLY: u32 = 1_735_689_600;
/// A day.
const DAY: u32 = 86_400;

/// Returns the passive DNS lines of a name.
fn told(bench: &Bench, name: &str) -> Vec<(String, i64, i64)> {
    let text = bench.run(0, &["history", name, "--format", "cof"]);
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut told: Vec<_> = lines
        .filter(|it| it.get("zone_time_first").is_none())
        .map(|it| {
            let time = |key: &str| it[key].as_i64().expect("a number");
            (
                it["rdata"].as_str().expect("text").to_owned(),
                time("time_first"),
                time("time_last"),
            )
        })
        .collect();
    told.sort();
    told
}

#[test]
fn passive_dns_stands_beside_history_and_accuses_nobody() {
    let bench = bench_of_two_zones();
    let changes = bench.json(&["history", "bad.example", "--format", "json"])["changes"].clone();
    let cases = bench.cases();
    let text = [
        line(
            "bad.example.",
            "NS",
            "[\"ns.early.test\",\"NS.older.test.\"]",
            EARLY,
            EARLY + DAY,
        ),
        line("www.bad.example", "A", "\"198.51.100.7\"", EARLY, EARLY),
        line("bad.example.", "TXT", "\"not kept\"", EARLY, EARLY),
        line(
            "bad.example.",
            "A",
            "[\"198.51.100.8\"]",
            EARLY,
            EARLY + 2 * DAY,
        ),
    ]
    .concat();
    bench.write("pdns.ndjson", &text);
    let path = bench.path().join("pdns.ndjson");
    let path = path.to_str().expect("UTF-8");
    let first = bench.run(0, &["import", "pdns", path]);
    assert!(first.contains("4 records, 4 of them new"), "{first}");
    let again = bench.run(0, &["import", "pdns", path]);
    assert!(again.contains("4 records, 0 of them new"), "{again}");

    let day = i64::from(DAY);
    let early = i64::from(EARLY);
    assert_eq!(
        told(&bench, "bad.example"),
        [
            ("198.51.100.7".to_owned(), early, early),
            ("198.51.100.8".to_owned(), early, early + 2 * day),
            ("ns.early.test.".to_owned(), early, early + day),
            ("ns.older.test.".to_owned(), early, early + day),
        ]
    );
    // The last second counts, the next does not.
    let at = |time: &str| records(&bench, &["bad.example", "--at", time]);
    assert_eq!(at("2025-01-02T00:00:00Z").len(), 3);
    assert_eq!(
        at("2025-01-02T00:00:01Z"),
        set(&["bad.example. A 198.51.100.8"])
    );
    let used = bench.run(
        0,
        &[
            "history",
            "--address",
            "198.51.100.0/24",
            "--format",
            "ndjson",
        ],
    );
    assert_eq!(used.matches("\"view\":\"passive\"").count(), 2, "{used}");
    // Nobody changed anything by being seen.
    let after = bench.json(&["history", "bad.example", "--format", "json"]);
    assert_eq!(after["changes"], changes);
    assert_eq!(bench.cases(), cases);
    let table = bench.run(0, &["history", "bad.example"]);
    assert!(table.contains("Passive DNS has 4 more"), "{table}");
    bench.run(0, &["db", "verify"]);
    bench.run(0, &["poll", "--full"]);
    assert_eq!(bench.cases(), cases);
}

#[test]
fn flux_that_only_others_saw_accuses_nobody() {
    let bench = bench_of_two_zones();
    // Up to the newest change, so that it lies in the windows that are judged.
    let newest = 1_773_316_800;
    let mut text = String::new();
    for turn in 0..60 {
        let (from, to) = (newest - (turn + 1) * 7200, newest - turn * 7200);
        let address = format!("\"10.{turn}.0.7\"");
        text += &line("bad.example.", "A", &address, from, to);
        text += &line("ns1.bad.example.", "A", &address, from, to);
        text += &line(
            "bad.example.",
            "NS",
            &format!("\"ns.x{turn}.test.\""),
            from,
            to,
        );
    }
    bench.write("pdns.ndjson", &text);
    let path = bench.path().join("pdns.ndjson");
    bench.run(0, &["import", "pdns", path.to_str().expect("UTF-8")]);
    let before = bench.run(0, &["explain", "bad.example", "--format", "json"]);
    assert!(before.contains("\"level\": null"), "{before}");
    bench.run(0, &["poll", "--full"]);
    assert_eq!(bench.cases(), Vec::<Value>::new());
}

#[test]
fn intervals_that_touch_are_one_whatever_the_order() {
    let lines = [
        line("bad.example.", "A", "\"192.0.2.77\"", EARLY, EARLY + DAY),
        line(
            "bad.example.",
            "A",
            "\"192.0.2.77\"",
            EARLY + DAY,
            EARLY + 40 * DAY,
        ),
        line(
            "bad.example.",
            "A",
            "\"192.0.2.77\"",
            EARLY + 80 * DAY,
            EARLY + 80 * DAY,
        ),
        line(
            "bad.example.",
            "A",
            "\"192.0.2.77\"",
            EARLY + 20 * DAY,
            EARLY + 30 * DAY,
        ),
        line(
            "bad.example.",
            "A",
            "\"192.0.2.77\"",
            EARLY + 80 * DAY + 1,
            EARLY + 81 * DAY,
        ),
    ];
    let (early, day) = (i64::from(EARLY), i64::from(DAY));
    let wanted = [
        ("192.0.2.77".to_owned(), early, early + 40 * day),
        ("192.0.2.77".to_owned(), early + 80 * day, early + 81 * day),
    ];
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
        let bench = bench_of_two_zones();
        for at in order {
            bench.write("one.ndjson", &lines[at]);
            let path = bench.path().join("one.ndjson");
            bench.run(0, &["import", "pdns", path.to_str().expect("UTF-8")]);
        }
        assert_eq!(told(&bench, "bad.example"), wanted, "{order:?}");
        bench.run(0, &["db", "verify"]);
    }
}

#[test]
fn lines_that_cannot_be_placed_are_set_aside() {
    let bench = bench_of_two_zones();
    let text = [
        line("bad.example.", "A", "\"192.0.2.77\"", EARLY, EARLY),
        line("elsewhere.test.", "A", "\"192.0.2.77\"", EARLY, EARLY),
        "{}\n".to_owned(),
    ]
    .concat();
    bench.write("pdns.ndjson", &text);
    let path = bench.path().join("pdns.ndjson");
    let path = path.to_str().expect("UTF-8");
    let told = bench.run(3, &["import", "pdns", path]);
    assert!(
        told.contains("1 record, 1 of them new") && told.contains("2 lines set aside"),
        "{told}"
    );
    let dry = bench.run(
        3,
        &[
            "import",
            "pdns",
            "--zone",
            "elsewhere.test",
            "--dry-run",
            path,
        ],
    );
    assert!(dry.contains("elsewhere.test"), "{dry}");
    let refused = bench.run_stderr(2, &["import", "pdns", "--source", "feed", path]);
    assert!(refused.contains("--source feed"), "{refused}");
}
