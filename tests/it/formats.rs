//! Listings, read by readers that are not ours.

use std::fmt::Write as _;

use crate::harness::{Bench, python};

/// A feed in which one domain changes `count` times, one record at a time.
fn feed(count: i64) -> String {
    let mut text = String::new();
    for n in 0..=count {
        let address = format!("10.{}.{}.1", n / 250, n % 250);
        writeln!(text, r#"{{"at":{},"rrname":"www.busy.test.","rrtype":"A","op":"set","ttl":60,"rdata":["{address}"]}}"#, 1_790_000_000 + n * 3600).expect("text grows");
    }
    text
}

#[test]
fn history_of_a_thousand_changes_parses_in_every_format() {
    let bench = Bench::new(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"busy.test.\"\npath = \"f.ndjson\"\n",
    );
    bench.write("f.ndjson", feed(1000));
    bench.run(0, &["poll"]);
    for format in ["json", "ndjson", "csv", "cof", "table"] {
        let text = bench.run(0, &["history", "www.busy.test", "--format", format]);
        bench.write(&format!("history.{format}"), text);
    }
    let program = r#"
import csv, json, sys
folder = sys.argv[1]
whole = json.load(open(folder + "/history.json"))
assert whole["name"] == "www.busy.test."
assert len(whole["records"]) == 1001 and len(whole["changes"]) == 1000, (len(whole["records"]), len(whole["changes"]))
first = whole["records"][0]
assert first["baseline"] is True and first["rdata"] == "10.0.0.1" and first["added_at"].endswith("Z"), first
assert set(first) == {"rrname", "rrtype", "rdata", "ttl", "zone", "added_at", "added_serial", "removed_at", "removed_serial", "source", "baseline"}, first
assert [c["at"] for c in whole["changes"]] == sorted(c["at"] for c in whole["changes"])
assert all(len(c["added"]) == 1 and len(c["removed"]) == 1 for c in whole["changes"])
lines = [json.loads(line) for line in open(folder + "/history.ndjson")]
assert lines == whole["records"] + whole["changes"]
rows = list(csv.DictReader(open(folder + "/history.csv", newline="")))
assert list(rows[0]) == "time_first,time_last,zone_first,zone_last,count,bailiwick,rrname,rrtype,rdata".split(",")
assert [r["rdata"] for r in rows] == [r["rdata"] for r in whole["records"]]
cof = [json.loads(line) for line in open(folder + "/history.cof")]
assert len(cof) == 1001 and all({"rrname", "rrtype", "rdata", "time_first", "time_last", "zone_time_first", "zone_time_last"} <= set(c) for c in cof)
assert all(c["zone_time_first"] <= c["zone_time_last"] for c in cof)
table = open(folder + "/history.table").read()
assert table.count("\n") > 1000
print("ok")
"#;
    assert_eq!(python(program, &[bench.path()]).trim(), "ok");
}

#[test]
fn lists_parse_in_every_format() {
    let bench = Bench::new(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"busy.test.\"\npath = \"f.ndjson\"\n",
    );
    bench.write("f.ndjson", feed(12));
    bench.run(0, &["poll"]);
    for (name, arguments) in [
        ("cases", ["cases", "list", "--state", "all"].as_slice()),
        ("status", &["status"]),
        ("outbox", &["outbox", "list", "--all"]),
    ] {
        for format in ["json", "ndjson", "csv", "table"] {
            let text = bench.run(0, &[arguments, &["--format", format]].concat());
            bench.write(&format!("{name}.{format}"), text);
        }
    }
    let program = r#"
import csv, json, sys
folder = sys.argv[1]
for name in ["cases", "status", "outbox"]:
    whole = json.load(open(f"{folder}/{name}.json"))
    # A lag grows while two listings are made.
    still = lambda rows: [{k: v for k, v in row.items() if k != "lag_s"} for row in rows]
    assert still([json.loads(line) for line in open(f"{folder}/{name}.ndjson")]) == still(whole)
    assert len(list(csv.DictReader(open(f"{folder}/{name}.csv", newline="")))) == len(whole)
case = json.load(open(f"{folder}/cases.json"))[0]
assert {"id", "domain", "zone", "verdict", "level", "peak_level", "state", "score", "first_detected_at", "last_change_at", "campaign", "attack"} <= set(case), case
assert case["attack"] == ["T1568.001"] and case["level"] == "watch" and case["verdict"] == "single-flux", case
status = json.load(open(f"{folder}/status.json"))[0]
assert {"zone", "source", "source_kind", "serial", "last_success_at", "last_attempt_at", "lag_s", "last_error", "refused_reason", "records", "held"} <= set(status), status
print("ok")
"#;
    assert_eq!(python(program, &[bench.path()]).trim(), "ok");
}
