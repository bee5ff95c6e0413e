//! A policy over stored history: what would have been reported, without a trace.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Bench, at};
use crate::support::rows::{digest, sql};
use crate::support::sample::sample_bench;

/// Returns the reports of a backtest by domain, with their times.
fn reports(told: &Value) -> BTreeMap<String, String> {
    let all = told["domains"].as_array().expect("a list").iter();
    let reported = all.filter(|it| it["reported_at"].is_string());
    let word = |it: &Value, key: &str| it[key].as_str().expect("text").to_owned();
    reported
        .map(|it| (word(it, "domain"), word(it, "reported_at")))
        .collect()
}

/// Runs a backtest over all of the sample.
fn backtest(bench: &Bench, more: &[&str]) -> Value {
    let mut all = vec![
        "backtest",
        "--since",
        "2026-10-01",
        "--until",
        "2026-11-20",
        "--format",
        "json",
    ];
    all.extend(more);
    bench.json(&all)
}

/// Asks when each case rose to report.
const ROSE: &str = "
select c.domain, min(e.at) from case_event e join abuse_case c on c.id = e.case_id
 where e.note like 'level rose%to report%' or e.note like 'opened%level report' group by 1 order by 1";

#[test]
fn replay_reports_what_was_reported_when_it_was_and_leaves_no_trace() {
    let bench = sample_bench();
    bench.run(0, &["poll"]);
    let before = digest(&bench);
    let told = backtest(&bench, &[]);
    let found = reports(&told);
    let rose = sql(&bench, ROSE);
    let rose: BTreeMap<&str, i64> = rose
        .lines()
        .map(|line| {
            let (domain, at) = line.split_once('|').expect("two values");
            (domain, at.parse().expect("a time"))
        })
        .collect();
    assert_eq!(found.len(), 3, "{told}");
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        rose.keys().collect::<Vec<_>>()
    );
    for (domain, reported_at) in &found {
        // What is held is judged again after an hour; files of every two hours tell later.
        let later = rose[domain.as_str()] - at(reported_at).unix();
        assert!((0..=3600).contains(&later), "{domain}: {later} s");
    }
    assert_eq!(digest(&bench), before, "something was written");
    assert!(
        told["precision"]
            .as_array()
            .is_some_and(|lines| !lines.is_empty())
    );
}

#[test]
fn policies_are_compared_and_faulty_ones_refused() {
    let bench = sample_bench();
    bench.run(0, &["poll"]);
    let write = |name: &str, text: &str| {
        let path = bench.write(name, text);
        path.to_str().expect("UTF-8").to_owned()
    };
    let slow = write(
        "slow.toml",
        "confirm_after = \"6h\"\ncertain_score_min = 100.0\n",
    );
    let strict = write(
        "strict.toml",
        "[nameservers]\nfresh_min = 1000\n[addresses]\naddresses_min = 1000\n",
    );
    let normal = reports(&backtest(&bench, &[]));
    let later = reports(&backtest(&bench, &["--policy", &slow]));
    assert_eq!(normal.len(), later.len());
    assert!(
        normal.iter().all(|(domain, time)| later[domain] > *time),
        "{normal:?} {later:?}"
    );
    assert!(reports(&backtest(&bench, &["--policy", &strict])).is_empty());
    let range = [
        "backtest",
        "--since",
        "2026-10-01",
        "--until",
        "2026-11-20",
        "--compare",
        &slow,
    ];
    let table = bench.run(0, &range);
    assert!(
        table.contains("first: 3 domains reported") && table.contains("second: 3 domains reported"),
        "{table}"
    );
    // Before anything happened nothing is found.
    let early = ["backtest", "--since", "2026-01-01", "--until", "2026-02-01"];
    assert!(bench.run(0, &early).contains("0 domains reported"));
    let faulty = write("faulty.toml", "score = 3\n");
    let refused = bench.run_stderr(
        2,
        &["backtest", "--since", "2026-10-01", "--policy", &faulty],
    );
    assert!(refused.contains("faulty.toml"), "{refused}");
    bench.run_stderr(
        2,
        &["backtest", "--since", "2026-10-01", "--until", "2026-09-01"],
    );
}
