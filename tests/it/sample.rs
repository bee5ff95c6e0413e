//! The sample that the README's first command polls.

use crate::generator::{Options, Sample, generate};
use crate::support::rows::digest;
use crate::support::sample::{COMMITTED, bench_with};
use crate::support::stores::server;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Returns verdict, level and peak level of every case by the role of its domain.
fn verdicts(sample: &Sample, cases: &[Value]) -> BTreeMap<String, String> {
    let role = |domain: &str| {
        sample
            .roles
            .iter()
            .find(|(_, name)| *name == domain)
            .map_or(domain, |(role, _)| role)
            .to_owned()
    };
    let text = |case: &Value, key: &str| case[key].as_str().expect("text").to_owned();
    cases
        .iter()
        .map(|case| {
            (
                role(&text(case, "domain")),
                [
                    text(case, "verdict"),
                    text(case, "level"),
                    text(case, "peak_level"),
                ]
                .join(" "),
            )
        })
        .collect()
}

#[test]
fn sample_reports_exactly_the_three_flux_domains_once() {
    let sample = generate(COMMITTED);
    let bench = bench_with(&sample);
    bench.run(0, &["poll"]);
    let found = verdicts(&sample, &bench.cases());
    for role in ["double-flux", "ns-flux", "single-flux"] {
        assert_eq!(found[role], format!("{role} report report"), "{found:?}");
    }
    let others: Vec<_> = found
        .iter()
        .filter(|(role, words)| {
            !["double-flux", "ns-flux", "single-flux"].contains(&role.as_str())
                && !words.ends_with("watch watch")
        })
        .collect();
    assert!(
        others.is_empty(),
        "a look-alike rose above watch: {others:?}"
    );
    assert_eq!(bench.maildir().len(), 3);

    let again = bench.run(0, &["poll"]);
    assert_eq!(again.matches("no change").count(), 3, "{again}");
    assert_eq!(bench.maildir().len(), 3);
    assert_eq!(verdicts(&sample, &bench.cases()), found);
}

#[test]
fn committed_sample_is_what_the_generator_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample");
    for (name, octets) in generate(COMMITTED).files {
        assert!(
            std::fs::read(folder.join(&name)).is_ok_and(|found| found == octets),
            "{name} differs: run `cargo run --example make_sample`"
        );
    }
}

#[test]
fn renamed_and_shifted_samples_are_judged_alike() {
    let sample = generate(COMMITTED);
    let bench = bench_with(&sample);
    bench.run(0, &["poll"]);
    let expected = verdicts(&sample, &bench.cases());
    // Over the end of a month and of a year, and back.
    for (names_seed, shift_h) in [(1, -2 * 24 + 7), (2, -305 * 24 + 13), (3, -400 * 24)] {
        let sample = generate(Options {
            names_seed,
            shift_s: shift_h * 3600,
            ..COMMITTED
        });
        let bench = bench_with(&sample);
        bench.run(0, &["poll"]);
        assert_eq!(
            verdicts(&sample, &bench.cases()),
            expected,
            "names {names_seed}, shift {shift_h} h"
        );
    }
}

#[test]
fn dry_run_finds_the_same_and_leaves_nothing() {
    let sample = generate(COMMITTED);
    let bench = bench_with(&sample);
    let output = bench
        .command(&["poll", "--dry-run"])
        .output()
        .expect("the program can be started");
    assert!(output.status.success());
    assert!(
        String::from_utf8_lossy(&output.stdout)
            .contains(sample.roles["ns-flux"].trim_end_matches('.'))
    );
    match server() {
        // The tables are made, and nothing is in them.
        Some(_) => assert!(bench.run(0, &["status"]).contains("never polled")),
        None => assert!(bench.run_stderr(1, &["status"]).contains("no database")),
    }
    assert!(bench.maildir().is_empty());
    bench.run(0, &["poll"]);
    let before = digest(&bench);
    bench.run(0, &["poll", "--full", "--dry-run"]);
    assert_eq!(digest(&bench), before, "a dry run wrote into the database");
}
