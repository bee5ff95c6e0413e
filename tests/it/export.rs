//! History for other engines, read back by one of them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::harness::{Bench, both};
use crate::support::lookups::{bench_of_two_zones, python_with};

/// Reads the three forms, and prints the rows of each, sorted, as JSON lists.
const READER: &str = r#"
import duckdb, json, sys
folder = sys.argv[1]
columns = "epoch(changed_at)::bigint, version, zone, view, rrname, rrtype, rdata, ttl, op, serial, source, bulk, drift, day::varchar"
def rows(reader):
    return sorted(map(list, duckdb.sql(f"select {columns} from {reader}").fetchall()), key=str)
parquet = rows(f"read_parquet('{folder}/parquet/*/*.parquet', hive_partitioning=true)")
ndjson = rows(f"read_ndjson('{folder}/ndjson/*/*.ndjson.zst', hive_partitioning=true)")
csv = rows(f"read_csv('{folder}/csv/*/*.csv.zst', hive_partitioning=true)")
assert parquet == ndjson and parquet == csv, (parquet[:3], ndjson[:3], csv[:3])
print(json.dumps(parquet))
"#;

/// Exports in a form and returns what stderr says.
fn export(bench: &Bench, format: &str, more: &[&str]) -> String {
    let folder = bench.path().join(format);
    let mut all = vec!["export", "--format", format, "--to"];
    all.push(folder.to_str().expect("UTF-8"));
    all.extend(more);
    bench.run_stderr(0, &all)
}

#[test]
fn every_form_holds_the_same_changes_and_they_are_those_of_history() {
    let bench = bench_of_two_zones();
    for format in ["parquet", "ndjson", "csv"] {
        let told = export(&bench, format, &[]);
        assert!(told.contains("rows in 5 days"), "{told}");
    }
    let script = bench.write("read.py", READER);
    let output = Command::new(python_with("duckdb==1.4.2"))
        .arg(script)
        .arg(bench.path())
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", both(&output));
    let rows: Vec<Vec<serde_json::Value>> = serde_json::from_slice(&output.stdout).expect("JSON");

    // What came and did not go is what is there.
    let mut there = BTreeSet::new();
    let mut ordered = rows.clone();
    ordered.sort_by_key(|row| (row[0].as_i64(), row[1].as_i64()));
    for row in &ordered {
        let key = format!("{} {} {} {}", row[2], row[4], row[5], row[6]);
        match row[8].as_str() {
            Some("removed") => assert!(there.remove(&key), "{key}"),
            _ => assert!(there.insert(key), "{row:?}"),
        }
    }
    let (mut present, mut changed) = (BTreeSet::new(), 0);
    for zone in ["*.example.", "*.shop.example."] {
        let history = bench.json(&["history", zone, "--format", "json"]);
        for record in history["records"].as_array().expect("a list") {
            if record["removed_at"].is_null() {
                present.insert(format!(
                    "{} {} {} {}",
                    record["zone"], record["rrname"], record["rrtype"], record["rdata"]
                ));
            }
        }
        if zone == "*.example." {
            for change in history["changes"].as_array().expect("a list") {
                for list in ["added", "removed"] {
                    changed += change[list].as_array().expect("a list").len();
                }
            }
        }
    }
    assert_eq!(there, present);
    let moves = rows.iter().filter(|row| row[8] != "there").count();
    assert_eq!(moves, changed);
    for row in &rows {
        let at = fluxwatch::time::Timestamp::from_unix(row[0].as_i64().expect("seconds"));
        assert_eq!(row[13], at.to_date().as_str());
    }
}

#[test]
fn days_and_zones_are_chosen_whole_and_written_anew() {
    let bench = bench_of_two_zones();
    let told = export(
        &bench,
        "csv",
        &["--since", "2026-03-05T23:00:00Z", "--until", "2026-03-09"],
    );
    assert!(told.contains("in 2 days"), "{told}");
    let days = |bench: &Bench| {
        let folder = fs::read_dir(bench.path().join("csv")).expect("a folder");
        folder
            .map(|entry| {
                entry
                    .expect("read")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        days(&bench),
        ["day=2026-03-05", "day=2026-03-09"]
            .map(str::to_owned)
            .into()
    );
    let file = bench.path().join("csv/day=2026-03-05/changes.csv.zst");
    let before = fs::read(&file).expect("written");
    fs::write(&file, "half").expect("written");
    export(&bench, "csv", &["--zone", "example"]);
    assert_eq!(fs::read(&file).expect("written"), before);
    assert_eq!(days(&bench).len(), 4, "the other zone's day is not there");
    let below_a_file = bench.path().join("f.ndjson/x");
    let below_a_file = below_a_file.to_str().expect("UTF-8");
    let none = ["export", "--format", "csv", "--to", below_a_file];
    assert!(bench.run_stderr(1, &none).contains(below_a_file));
    let unknown = [
        "export",
        "--format",
        "csv",
        "--to",
        "x",
        "--zone",
        "else.test",
    ];
    assert!(
        bench
            .run_stderr(1, &unknown)
            .contains("no history of zone else.test\n")
    );
    bench.run_stderr(2, &["export", "--format", "csv"]);
    bench.run_stderr(2, &["export"]);
}
