//! Files that a pass refuses beside one that it takes.

use crate::harness::Bench;

/// A folder of dated zone files.
const FILES: &str = "[[source]]\nname = \"files\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z-*.zone\"\ntime_pattern = \"z-%Y%m%d.zone\"\n";

/// Writes the zone file of a day of January.
fn write_day(bench: &Bench, day: u32) {
    let text = format!(
        "$ORIGIN example.\n$TTL 300\n@ SOA ns.example. host.example. {day} 3600 600 86400 300\n@ NS ns.example.\nd NS ns{day}.test.\n"
    );
    bench.write(&format!("z-202601{day:02}.zone"), text);
}

#[test]
fn files_refused_beside_a_good_one_are_one_line_and_stand_in_status() {
    let bench = Bench::new(FILES);
    write_day(&bench, 5);
    bench.run(0, &["poll"]);
    for day in [1, 2, 3, 6] {
        write_day(&bench, day);
    }
    let text = bench.run(3, &["poll"]);
    assert_eq!(text.matches("too-old").count(), 1, "{text}");
    assert!(text.contains("2 more files refused as well"), "{text}");
    let row = bench.status("example.");
    assert_eq!(
        (row["refused_reason"].as_str(), row["serial"].as_u64()),
        (Some("too-old"), Some(6)),
        "{row}"
    );
    let failed = bench.run(1, &["status", "--failed"]);
    assert!(failed.contains("example"), "{failed}");
    // Nobody missed anything of the zone between the two.
    bench.run(0, &["poll"]);
    assert_eq!(
        bench.status("example.")["refused_reason"],
        serde_json::Value::Null
    );
    let history = bench.json(&["history", "d.example", "--format", "json"]);
    assert_eq!(
        history["gaps"].as_array().map(Vec::len),
        Some(0),
        "{history}"
    );
}
