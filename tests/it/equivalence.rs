//! One month of a zone, three ways in: the same history and the same cases.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use fluxwatch::time::{SetClock, Span, Timestamp};
use serde_json::Value;

use crate::harness::{Bench, at, poll};
use crate::servers::Knot;
use crate::support::rows::as_file;

/// Owner and type of an RRset, and its data.
type Zone = BTreeMap<(String, &'static str), Vec<String>>;

/// A version of the month.
struct Version {
    at: Timestamp,
    serial: u32,
    zone: Zone,
}

/// A month of a small registry: names that stand still, a provider migration, a domain whose name
/// servers flux for some days, one that moves step by step, a deletion and a new registration.
fn month() -> Vec<Version> {
    let start = at("2026-09-30T18:00:00Z");
    let mut versions = Vec::new();
    for step in 0..120_i64 {
        let mut zone = Zone::new();
        let mut set = |owner: &str, rrtype: &'static str, data: &[String]| {
            zone.insert((owner.to_owned(), rrtype), data.to_vec());
        };
        set("@", "NS", &["ns1.infra.test.".to_owned()]);
        for n in 0..60 {
            let provider = if n < 15 && step >= 40 { "b" } else { "a" };
            set(
                &format!("d{n}"),
                "NS",
                &[
                    format!("ns1.{provider}.test."),
                    format!("ns2.{provider}.test."),
                ],
            );
        }
        let fluxes = (50..90).contains(&step);
        let turn = if fluxes {
            step - 49
        } else if step >= 90 {
            40
        } else {
            0
        };
        set(
            "bad",
            "NS",
            &[
                "ns1.bad.example.".to_owned(),
                format!("ns{}.bad.example.", 2 + turn / 10),
            ],
        );
        set("ns1.bad", "A", &[format!("10.{}.0.1", 1 + turn)]);
        set(
            &format!("ns{}.bad", 2 + turn / 10),
            "A",
            &[format!("10.200.{turn}.1")],
        );
        set("ns1.bad", "AAAA", &[format!("2001:db8:{turn:x}::1")]);
        let steps: [&[&str]; 4] = [
            &["ns1.a.test.", "ns2.a.test."],
            &["ns1.a.test.", "ns2.a.test.", "ns1.c.test."],
            &["ns2.a.test.", "ns1.c.test."],
            &["ns1.c.test.", "ns2.c.test."],
        ];
        set(
            "slow",
            "NS",
            &steps[(step / 30) as usize]
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        );
        set(
            "slow",
            "DS",
            &[format!("{} 13 2 {:064x}", 1000 + step / 60, 7 + step / 60)],
        );
        if !(70..100).contains(&step) {
            set("gone", "NS", &["ns1.a.test.".to_owned()]);
        }
        set(
            "alias.gone-not",
            "CNAME",
            &[format!("target{}.test.", step / 100)],
        );
        versions.push(Version {
            at: start + Span::hours(6 * step),
            serial: 4_294_967_200_u32.wrapping_add(step as u32),
            zone,
        });
    }
    versions
}

/// Writes a version as a master file.
fn master_file(version: &Version) -> String {
    let mut text = format!(
        "$ORIGIN example.\n$TTL 3600\n@ IN SOA ns1.infra.test. host.infra.test. {} 3600 600 86400 300\n",
        version.serial
    );
    for ((owner, rrtype), data) in &version.zone {
        data.iter()
            .for_each(|rdata| writeln!(text, "{owner} IN {rrtype} {rdata}").expect("text grows"));
    }
    text
}

/// Writes the month as a feed: the first version whole, then every RRset that changed.
fn feed(versions: &[Version]) -> String {
    let mut text = String::new();
    let mut last = Zone::new();
    for version in versions {
        let gone = last
            .keys()
            .filter(|key| !version.zone.contains_key(*key))
            .map(|key| (key, Vec::new()));
        let changed = version
            .zone
            .iter()
            .filter(|(key, data)| last.get(*key) != Some(*data))
            .map(|(key, data)| (key, data.clone()));
        for ((owner, rrtype), data) in gone.chain(changed) {
            let name = if owner == "@" {
                "example.".to_owned()
            } else {
                format!("{owner}.example.")
            };
            let line = serde_json::json!({"at": version.at.to_string(), "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 3600, "rdata": data, "serial": version.serial});
            writeln!(text, "{line}").expect("text grows");
        }
        // Serials without a change are kept too.
        let soa = serde_json::json!({"at": version.at.unix(), "rrname": "example.", "rrtype": "SOA", "op": "set", "serial": version.serial});
        writeln!(text, "{soa}").expect("text grows");
        last.clone_from(&version.zone);
    }
    text
}

/// The histories of a zone's names and its cases, without the source's name.
fn outcome(bench: &Bench) -> (Vec<Value>, Vec<Value>) {
    let names = [
        "example",
        "bad.example",
        "ns1.bad.example",
        "slow.example",
        "gone.example",
        "d3.example",
        "d40.example",
        "alias.gone-not.example",
    ];
    let histories = names.iter().map(|name| {
        let mut history = bench.json(&["history", name, "--format", "json"]);
        for record in history["records"].as_array_mut().expect("a list") {
            assert!(
                record
                    .as_object_mut()
                    .expect("an object")
                    .remove("source")
                    .is_some()
            );
        }
        history
    });
    let histories = histories.collect();
    (histories, bench.cases())
}

#[test]
fn files_feed_and_transfers_give_the_same_history_and_cases() {
    let versions = month();
    let files = Bench::new(
        "[[source]]\nname = \"files\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"zones/*.zone\"\ntime_pattern = \"%Y-%m-%dT%H%M%S.zone\"\n",
    );
    for version in &versions {
        files.write(
            &format!(
                "zones/{}.zone",
                version.at.to_string().replace([':', 'Z'], "")
            ),
            master_file(version),
        );
    }
    files.run(0, &["poll"]);

    let fed = Bench::new(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"changes.ndjson\"\ncomplete = true\n",
    );
    fed.write("changes.ndjson", feed(&versions));
    fed.run(0, &["poll"]);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let knot = Knot::start(folder.path(), &[("example.", &master_file(&versions[0]))]);
    let transferred = Bench::new("");
    transferred.configure(&format!("{}[[source]]\nname = \"knot\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"{}\"]\nkey = \"transfer.test.\"\n", transferred.key_section(), knot.address()));
    let clock = Arc::new(SetClock::new(versions[0].at));
    let pipeline = transferred.pipeline(clock.clone());
    for version in &versions {
        if version.serial != versions[0].serial {
            knot.replace_zone("example.", &master_file(version));
        }
        clock.set(version.at);
        poll(&pipeline);
    }

    let (histories, cases) = outcome(&files);
    assert!(
        cases
            .iter()
            .any(|case| case["domain"] == "bad.example." && case["peak_level"] == "report"),
        "{cases:?}"
    );
    assert!(
        histories[1]["changes"]
            .as_array()
            .is_some_and(|changes| changes.len() > 80)
    );
    for (way, other) in [
        ("feed", outcome(&fed)),
        ("transfers", outcome(&transferred)),
    ] {
        for (ours, theirs) in histories.iter().zip(&other.0) {
            assert_eq!(ours, theirs, "{way}, {}", ours["name"]);
        }
        assert_eq!(cases, other.1, "{way}");
    }

    // Reading the same feed again, from its start, changes nothing.
    let before = outcome(&fed);
    fed.run(0, &["poll", "--full"]);
    fed.run(
        0,
        &[
            "import",
            "feed",
            "--zone",
            "example.",
            "--complete",
            "--source",
            "feed",
            &fed.path().join("changes.ndjson").to_string_lossy(),
        ],
    );
    assert_eq!(outcome(&fed), before);
}

#[test]
fn one_feed_in_two_runs_is_judged_as_in_one() {
    let versions = month();
    let text = feed(&versions);
    let config = "[[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"changes.ndjson\"\ncomplete = true\n";
    let whole = Bench::new(config);
    whole.write("changes.ndjson", &text);
    whole.run(0, &["poll"]);
    let split = Bench::new(config);
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    // In the first version, inside an instant, between two, and in the middle of a line.
    for end in [30, 90, 91, 200, lines.len()] {
        let mut part: String = lines[..end].concat();
        if let Some(next) = lines.get(end) {
            part.push_str(&next[..next.len() / 2]);
        }
        split.write("changes.ndjson", part);
        split.run(0, &["poll"]);
    }
    assert_eq!(outcome(&split), outcome(&whole));
}

/// Returns the rows of every table that history and cases are in, in order: without what is drawn at random, and when
/// somebody looked.
fn rows(database: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(database).expect("opened");
    let tables = [
        "select * from version",
        "select * from owner",
        "select * from host",
        "select * from record",
        "select * from past_record",
        "select * from change",
        "select * from shared_change",
        "select * from popularity",
        "select * from chain",
        "select * from abuse_case",
        "select * from case_trait",
        "select case_id, actor, from_state, to_state, note from case_event",
        "select * from bulk_move",
        "select line_number, kind, reason, octets from rejected_line",
        "select name, version_id, detected_version_id, serial, kept_count, name_count,
                delegation_count, version_count, change_count
           from zone",
    ];
    let mut all = Vec::new();
    for sql in tables {
        let mut statement = connection.prepare(sql).expect("sound");
        let width = statement.column_count();
        let mut found = statement.query(()).expect("run");
        let mut lines = Vec::new();
        while let Some(row) = found.next().expect("read") {
            let value = |at| format!("{:?}", row.get_ref(at).expect("there"));
            let values: Vec<String> = (0..width).map(value).collect();
            lines.push(format!("{sql}: {}", values.join("|")));
        }
        lines.sort();
        all.extend(lines);
    }
    all
}

#[test]
fn instants_committed_together_leave_the_rows_of_instants_committed_one_by_one() {
    let mut text = feed(&month());
    // A line that is set aside, and one that comes late and says otherwise.
    text.push_str("{\"at\":\"2026-10-30T00:00:00Z\",\"rrname\":\"bad.example.\"}\n");
    text.push_str("{\"at\":\"2026-10-20T00:00:00Z\",\"rrname\":\"bad.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"rdata\":[\"ns9.late.test.\"]}\n");
    let import = ["import", "feed", "--zone", "example.", "--complete"];
    let together = Bench::new("");
    let path = together.write("changes.ndjson", &text);
    together.run(3, &[&import[..], &[&path.to_string_lossy()]].concat());
    // Of standard input nobody knows when the next line comes.
    let alone = Bench::new("");
    let mut command = alone.command(&[&import[..], &["-"]].concat());
    command.stdin(File::open(&path).expect("written"));
    let output = command.output().expect("run");
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let databases = [&together, &alone].map(|bench| rows(&as_file(bench)));
    assert!(databases[0].len() > 500, "{}", databases[0].len());
    assert_eq!(databases[0], databases[1]);
}
