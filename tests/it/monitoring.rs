//! What comes with the program for Prometheus and Grafana asks for nothing that the program does not tell.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::harness::Bench;
use crate::support::stores::has_no_file;

/// The folder of what comes with the program.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/monitoring");
/// The recording and alert rules.
const RULES: &str = include_str!("../../data/monitoring/fluxwatch.rules.yml");
/// The dashboard.
const DASHBOARD: &str = include_str!("../../data/monitoring/fluxwatch.dashboard.json");
/// Told only while a worker of the service is held up; the unit tests of the pipeline's troubles show it.
const ONLY_IN_TROUBLE: &str = "fluxwatch_held_up_seconds";

/// Told only of a database on a server; `engines::standing` shows them.
pub const ONLY_OF_A_SERVER: [&str; 7] = [
    "fluxwatch_poller_since_timestamp_seconds",
    "fluxwatch_database_clock_ahead_seconds",
    "fluxwatch_database_commits_wait",
    "fluxwatch_database_synchronous_standbys",
    "fluxwatch_database_standbys",
    "fluxwatch_database_standby_lag_bytes",
    "fluxwatch_database_standby_lag_seconds",
];

/// Runs promtool, which tests/install-servers installs.
fn promtool(arguments: &[&str]) -> String {
    let output = Command::new("promtool")
        .args(arguments)
        .current_dir(FOLDER)
        .output()
        .expect("promtool is installed");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}");
    text.into_owned()
}

/// Returns the names of the program's series in a text, without those that rules record.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_' && it != ':')
        .filter(|word| word.starts_with("fluxwatch_") || word.starts_with("process_"))
        .collect()
}

/// Returns the names of the series that the rules record.
fn recorded() -> BTreeSet<&'static str> {
    RULES
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- record: "))
        .collect()
}

/// Returns the expressions of the dashboard's panels.
fn expressions() -> Vec<String> {
    let board: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = board["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().expect("targets"));
    targets
        .map(|target| target["expr"].as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn the_rules_raise_what_they_should_and_nothing_of_a_healthy_service() {
    promtool(&["check", "rules", "fluxwatch.rules.yml"]);
    promtool(&["test", "rules", "fluxwatch.rules.test.yml"]);
}

#[test]
fn every_series_that_rules_and_dashboard_ask_for_is_told_by_the_program() {
    if has_no_file() {
        return;
    }
    let bench = Bench::new(
        "[metrics]\ntextfile = \"fluxwatch.prom\"\n[canary]\ndomain = \"canary.example.\"\nevery = \"1d\"\n\
         [[source]]\nname = \"epp\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"changes.ndjson\"\n",
    );
    bench.write("changes.ndjson", "");
    // The canary was never seen: that is told too, with exit status 3.
    bench.run(3, &["poll"]);
    let page = std::fs::read_to_string(bench.path().join("fluxwatch.prom")).expect("metrics");
    let told: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    assert!(told.len() > 25, "{told:?}");
    let asked = DASHBOARD.to_owned() + RULES;
    let missing: Vec<&str> = names(&asked)
        .into_iter()
        .filter(|name| !told.contains(name) && *name != ONLY_IN_TROUBLE)
        .filter(|name| !ONLY_OF_A_SERVER.contains(name))
        .collect();
    assert!(missing.is_empty(), "no metric of the program: {missing:?}");
}

#[test]
fn the_dashboard_asks_in_expressions_that_prometheus_understands() {
    let recorded = recorded();
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    for (i, expression) in expressions().iter().enumerate() {
        let words =
            expression.split(|it: char| !it.is_ascii_alphanumeric() && it != '_' && it != ':');
        for word in words.filter(|word| word.starts_with("fluxwatch:")) {
            assert!(recorded.contains(word), "{word} is not recorded");
        }
        let expression = expression.replace("$source", ".*").replace('\'', "''");
        rules += &format!("      - record: panel:{i}\n        expr: '{expression}'\n");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("panels.yml");
    std::fs::write(&file, rules).expect("written");
    promtool(&["check", "rules", file.to_str().expect("text")]);
}
