//! Real root-zone history (benign) replayed as a feed, and real broken snapshots.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::harness::{Bench, gunzip, shared_data};

/// Converts a series to a feed: the initial state as `set` one second before the first change, then
/// `-` and `+` as `remove` and `add`, grouped by epoch and serial.
fn to_feed(initial: &str, changes: &str) -> String {
    let rows = |text: &str| {
        text.lines()
            .skip(1)
            .map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let changes = rows(changes);
    let first: i64 = changes[0][0].parse().expect("an epoch");
    let mut rrsets: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for row in rows(initial) {
        let (owner, rrtype, value) = (&row[0], &row[row.len() - 2], &row[row.len() - 1]);
        rrsets
            .entry((owner.clone(), rrtype.clone()))
            .or_default()
            .push(value.clone());
    }
    let mut feed = String::new();
    for ((owner, rrtype), values) in rrsets {
        let line = serde_json::json!({"at": first - 1, "rrname": owner, "rrtype": rrtype, "op": "set", "rdata": values});
        writeln!(feed, "{line}").expect("text grows");
    }
    let mut groups: BTreeMap<(i64, u32, String, String, String), Vec<String>> = BTreeMap::new();
    for row in &changes {
        let op = if row[2] == "+" { "add" } else { "remove" };
        let key = (
            row[0].parse().expect("an epoch"),
            row[1].parse().expect("a serial"),
            op.to_owned(),
            row[3].clone(),
            row[4].clone(),
        );
        groups.entry(key).or_default().push(row[5].clone());
    }
    // Within an instant, removals first: a value may be removed in one form and added in another.
    let mut ordered: Vec<_> = groups.into_iter().collect();
    ordered.sort_by_key(|((at, serial, op, ..), _)| (*at, *serial, op != "remove"));
    for ((at, serial, op, owner, rrtype), values) in ordered {
        let line = serde_json::json!({"at": at, "serial": serial, "rrname": owner, "rrtype": rrtype, "op": op, "rdata": values});
        writeln!(feed, "{line}").expect("text grows");
    }
    feed
}

/// The source that such a feed is of.
pub const ROOT: &str = "[[source]]\nname = \"root\"\nkind = \"feed\"\nzone = \".\"\npath = \"root.ndjson\"\ncomplete = true\n";

/// Returns a series as a feed; `None` if the data is not there.
pub fn feed_of(name: &str) -> Option<String> {
    let folder = shared_data("rootzone")?;
    Some(to_feed(
        &gunzip(&folder.join(format!("{name}.initial.tsv.gz"))),
        &gunzip(&folder.join(format!("{name}.raw-changes.tsv.gz"))),
    ))
}

/// Replays a series and expects nobody to be suspected.
fn check_series(name: &str) {
    let Some(feed) = feed_of(name) else {
        return;
    };
    let bench = Bench::new(ROOT);
    bench.write("root.ndjson", feed);
    bench.run(0, &["poll"]);
    let cases = bench.cases();
    let above: Vec<_> = cases
        .iter()
        .filter(|case| case["peak_level"] != "watch")
        .collect();
    assert!(above.is_empty(), "{name}: {above:?}");
    eprintln!("{name}: {} watched, nobody suspected", cases.len());
}

#[test]
fn root_zone_of_2018_accuses_nobody() {
    check_series("rootzone-2018");
}

#[test]
fn root_zone_of_2019_and_2020_accuses_nobody() {
    check_series("ris-2019");
}

#[test]
fn seventeen_months_of_a_government_zone_review_nobody() {
    let Some(folder) = shared_data("gov") else {
        return;
    };
    let bench = Bench::new("");
    let feed = gunzip(&folder.join("gov-2023-12_2025-04.ndjson.gz"));
    let file = bench.write("gov.ndjson", feed);
    bench.run(
        0,
        &[
            "import",
            "feed",
            "--zone",
            "gov.",
            "--complete",
            &file.to_string_lossy(),
        ],
    );
    let above: Vec<_> = bench
        .cases()
        .into_iter()
        .filter(|case| case["peak_level"] != "watch")
        .collect();
    assert!(above.is_empty(), "{above:?}");
}

#[test]
fn cut_snapshots_are_refused_or_held_and_the_state_stays() {
    let Some(folder) = shared_data("traps") else {
        return;
    };
    let bench = Bench::new("");
    let import = |status: i32, at: &str, file: &str| {
        let path = folder.join(file);
        bench.run(
            status,
            &[
                "import",
                "zonefile",
                "--zone",
                ".",
                "--no-soa",
                "--at",
                at,
                &path.to_string_lossy(),
            ],
        )
    };
    import(0, "1592505004", "ris-1592505004-6fe6230.zone.gz");
    let before = bench.status(".");
    assert!(import(3, "1592609473", "ris-1592609473-68ea8f55.zone.gz").contains("shrank"));
    let held = bench.status(".");
    assert_eq!(
        (&held["held"], &held["refused_reason"], &held["records"]),
        (&true.into(), &"shrank".into(), &before["records"])
    );
    assert!(import(0, "1592613045", "ris-1592613045-bdf81d6c.zone.gz").contains("no change"));
    assert!(import(3, "1592703030", "ris-1592703030-2d023816.zone.gz").contains("refused"));
    let after = bench.status(".");
    assert_eq!(
        (&after["records"], &after["held"]),
        (&before["records"], &false.into())
    );
    assert!(bench.cases().is_empty());
}

#[test]
fn another_textual_form_of_a_zone_is_no_change() {
    let Some(folder) = shared_data("traps") else {
        return;
    };
    let bench = Bench::new("");
    let import = |at: &str, file: &str| {
        bench.run(
            0,
            &[
                "import",
                "zonefile",
                "--zone",
                ".",
                "--at",
                at,
                &folder.join(file).to_string_lossy(),
            ],
        )
    };
    assert!(import("1517292065", "rootzone-1517292065-47b7000.zone.gz").contains("baseline"));
    // Signatures gone, U-labels, another form of IPv6; then A-labels again.
    assert!(import("1517312852", "rootzone-1517312852-bce0a53b.zone.gz").contains("no change"));
    assert!(import("1517313662", "rootzone-1517313662-0304f8e9.zone.gz").contains("no change"));
}
