//! Lookups: by time, by type, by what was used, over HTTP; evidence that is checked elsewhere.

use crate::harness::{Bench, Running, both};
use crate::support::lookups::{FEED, bench_of_two_zones, line, python_with, records, set};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

#[test]
fn state_at_a_time_is_what_was_there_then() {
    let bench = bench_of_two_zones();
    let first = set(&[
        "bad.example. NS ns1.bad.example.",
        "bad.example. NS ns.host.test.",
        "ns1.bad.example. A 192.0.2.1",
    ]);
    assert_eq!(
        records(&bench, &["bad.example", "--at", "2026-03-01T12:00:00Z"]),
        first
    );
    assert_eq!(
        records(&bench, &["BAD[.]example.", "--at", "2026-03-05 11:59:59"]),
        first
    );
    assert_eq!(
        records(&bench, &["bad.example", "--at", "2026-03-01 11:59"]),
        set(&[])
    );
    let later = set(&[
        "bad.example. NS ns1.bad.example.",
        "bad.example. NS ns2.other.test.",
    ]);
    assert_eq!(
        records(
            &bench,
            &["bad.example", "--at", "2026-03-09 12:00", "--exact"]
        ),
        later
    );
    assert_eq!(
        records(&bench, &["good.example", "--at", "2026-03-12 12:00"]),
        set(&[])
    );
    assert_eq!(
        records(&bench, &["bücher.example"]),
        set(&["xn--bcher-kva.example. NS ns.host.test."])
    );
    assert_eq!(
        records(
            &bench,
            &["bad.example", "--type", "a,aaaa", "--since", "2026-03-06"]
        ),
        set(&[
            "ns1.bad.example. A 192.0.2.7",
            "ns1.bad.example. AAAA 2001:db8::7"
        ])
    );
    assert_eq!(
        records(&bench, &["bad.example", "-t", "a", "--until", "2026-03-04"]),
        set(&["ns1.bad.example. A 192.0.2.1"])
    );
    let history = bench.json(&[
        "history",
        "bad.example",
        "--since",
        "2026-03-06",
        "--format",
        "json",
    ]);
    assert_eq!(
        history["changes"].as_array().map(Vec::len),
        Some(1),
        "{history}"
    );
    let text = bench.run_stderr(2, &["history", "bad.example", "--type", "TXT"]);
    assert!(text.contains("none of A, NS, CNAME, AAAA, DS"), "{text}");
    assert!(
        bench
            .run_stderr(2, &["history"])
            .contains("nothing to look up")
    );
    assert!(
        bench
            .run_stderr(
                2,
                &["history", "a.example", "--since", "1d", "--until", "2d"]
            )
            .contains("after")
    );
}

#[test]
fn difference_names_what_went_and_what_came() {
    let bench = bench_of_two_zones();
    let diff = bench.json(&[
        "diff",
        "bad.example",
        "2026-03-02",
        "2026-03-10",
        "--format",
        "json",
    ]);
    let data = |side: &str| -> BTreeSet<String> {
        let side = diff[side].as_array().expect("a list").iter();
        side.map(|it| it["rdata"].as_str().expect("text").to_owned())
            .collect()
    };
    assert_eq!(data("removed"), set(&["192.0.2.1", "ns.host.test."]));
    assert_eq!(
        data("added"),
        set(&["192.0.2.7", "2001:db8::7", "ns2.other.test."])
    );
    assert_eq!(data("unchanged"), set(&["ns1.bad.example."]));
    let text = bench.run(0, &["diff", "bad.example", "2026-03-02", "2026-03-10"]);
    assert!(
        text.contains("- ns.host.test.") && text.contains("+ ns2.other.test."),
        "{text}"
    );
    let text = bench.run(0, &["diff", "bad.example", "2026-03-10", "2026-03-11"]);
    assert!(text.starts_with("no difference: 4 records"), "{text}");
}

#[test]
fn names_below_are_found_in_every_zone_and_page_by_page() {
    let bench = bench_of_two_zones();
    let all = records(&bench, &["*.example"]);
    assert_eq!(all.len(), 9, "{all:?}");
    assert!(all.contains("www.shop.example. A 192.0.2.200"));
    let mut paged = BTreeSet::new();
    let mut after: Option<String> = None;
    for page in 0.. {
        assert!(page < 10, "pages do not end");
        let mut arguments = vec!["history", "*.example", "--format", "json", "--limit", "2"];
        if let Some(after) = &after {
            arguments.extend(["--after", after]);
        }
        let json = bench.json(&arguments);
        for it in json["records"].as_array().expect("a list") {
            let word = |key: &str| it[key].as_str().expect("text");
            let text = format!("{} {} {}", word("rrname"), word("rrtype"), word("rdata"));
            assert!(paged.insert(text.clone()), "{text} twice");
        }
        match json.get("next") {
            Some(next) => after = next.as_str().map(str::to_owned),
            None => break,
        }
    }
    assert_eq!(paged, all);
    let said = bench.run_stderr(0, &["history", "*.example", "--limit", "2"]);
    assert!(said.contains("this is not all of it"), "{said}");
}

#[test]
fn users_of_name_servers_and_addresses_are_found_now_and_then() {
    let bench = bench_of_two_zones();
    let users = set(&[
        "bad.example. NS ns.host.test.",
        "good.example. NS ns.host.test.",
        "xn--bcher-kva.example. NS ns.host.test.",
    ]);
    assert_eq!(records(&bench, &["--ns", "ns.host.test"]), users);
    assert_eq!(
        records(&bench, &["--ns", "NS[.]host.test.", "--at", "2026-03-20"]),
        set(&["xn--bcher-kva.example. NS ns.host.test."])
    );
    assert_eq!(records(&bench, &["--ns", "*.test"]).len(), 4);
    assert_eq!(records(&bench, &["--ns", "nobody.test"]), set(&[]));
    let addresses = set(&[
        "ns1.bad.example. A 192.0.2.1",
        "ns1.bad.example. A 192.0.2.7",
        "www.shop.example. A 192.0.2.200",
    ]);
    assert_eq!(records(&bench, &["--address", "192.0.2.0/24"]), addresses);
    assert_eq!(records(&bench, &["192.0.2.77/28"]), set(&[]));
    assert_eq!(
        records(&bench, &["192.0.2.7"]),
        set(&["ns1.bad.example. A 192.0.2.7"])
    );
    assert_eq!(
        records(&bench, &["192[.]0[.]2[.]0/29", "--until", "2026-03-04"]),
        set(&["ns1.bad.example. A 192.0.2.1"])
    );
    assert_eq!(
        records(&bench, &["--address", "2001:db8::/32"]),
        set(&["ns1.bad.example. AAAA 2001:db8::7"])
    );
    assert_eq!(records(&bench, &["0.0.0.0/0"]), addresses);
    // Pages hold every record once, whatever their size.
    for limit in ["1", "2", "3"] {
        let (mut paged, mut after) = (Vec::new(), None::<String>);
        for page in 0.. {
            assert!(page < 9, "pages do not end");
            let mut arguments = vec![
                "history", "--ns", "*.test", "--format", "json", "--limit", limit,
            ];
            if let Some(after) = &after {
                arguments.extend(["--after", after]);
            }
            let json = bench.json(&arguments);
            paged.extend(json["records"].as_array().expect("a list").clone());
            match json.get("next") {
                Some(next) => after = next.as_str().map(str::to_owned),
                None => break,
            }
        }
        assert_eq!(paged.len(), 4, "{paged:?}");
    }
    assert!(
        bench
            .run_stderr(2, &["history", "--ns", "a.test", "--after", "x"])
            .contains("not what an earlier page ended with")
    );
    let text = fs::read_to_string(bench.config()).expect("readable");
    let text = text.replacen("[store]\n", "[store]\nreverse_index = false\n", 1);
    fs::write(bench.config(), text).expect("written");
    bench.run(0, &["poll"]);
    let text = bench.run_stderr(2, &["history", "--ns", "ns.host.test"]);
    assert!(text.contains("store.reverse_index = true"), "{text}");
    assert!(
        bench
            .run_stderr(2, &["history", "192.0.2.1"])
            .contains("store.reverse_index")
    );
    assert_eq!(records(&bench, &["good.example"]).len(), 1);
}

#[test]
fn thousands_of_users_are_told_once_and_in_the_same_order_in_every_format() {
    let bench = Bench::new(FEED);
    let names: Vec<String> = (0..2_300).map(|n| format!("d{n}.example.")).collect();
    let set_to = |at: &str, names: &[String], host: &str| -> String {
        let lines = names.iter();
        let lines = lines.map(|name| line(at, "example.", name, "NS", &[host]));
        lines.collect()
    };
    let first = set_to("2026-03-01T12:00:00Z", &names, "ns.host.test.");
    let moved = set_to("2026-03-30T12:00:00Z", &names[..1_250], "ns.other.test.");
    bench.write("f.ndjson", first + &moved);
    bench.run(0, &["poll"]);
    let ask = |format: &'static str, more: &[&'static str]| {
        let words = ["history", "--ns", "ns.host.test", "--format", format];
        words.iter().chain(more).copied().collect::<Vec<_>>()
    };
    let owners_of = |lines: &str| -> Vec<String> {
        let owner = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).expect("an object");
            row["rrname"].as_str().expect("a name").to_owned()
        };
        lines.lines().map(owner).collect()
    };
    let whole = bench.run(0, &ask("ndjson", &[]));
    let owners = owners_of(&whole);
    assert_eq!(owners.len(), names.len(), "each once");
    let each: BTreeSet<&String> = owners.iter().collect();
    assert_eq!(each, names.iter().collect());
    let is_there = |line: &str| line.contains("\"removed_at\":null");
    let there = whole.lines().take_while(|line| is_there(line)).count();
    assert_eq!(there, 1_050, "those that are there come first");
    assert!(!whole.lines().skip(there).any(is_there));
    let trimmed = |name: &str| name.trim_end_matches('.').to_owned();
    let owners: Vec<String> = owners.iter().map(|name| trimmed(name)).collect();
    let cof = owners_of(&bench.run(0, &ask("cof", &[])));
    let cof: Vec<String> = cof.iter().map(|name| trimmed(name)).collect();
    assert_eq!(cof, owners);
    let csv = bench.run(0, &ask("csv", &[]));
    let csv = csv.lines().skip(1).map(|line| line.split(',').nth(6));
    let csv: Vec<String> = csv.map(|it| trimmed(it.expect("a name"))).collect();
    assert_eq!(csv, owners);
    let text = bench.run(0, &ask("text", &[]));
    let text = text.lines().filter_map(|line| line.split_once("  NS  "));
    let text: Vec<String> = text.map(|(name, _)| trimmed(name)).collect();
    assert_eq!(text, owners);
    // Where a page ends, the next goes on.
    let page = ["--limit", "1101"];
    let some = bench.run(0, &ask("ndjson", &page));
    let said = bench.run_stderr(0, &ask("ndjson", &page));
    let after = said.trim().rsplit(' ').next().expect("a place");
    let mut words = ask("ndjson", &[]);
    words.extend(["--after", after]);
    assert_eq!(some.lines().count(), 1_101);
    assert_eq!(some + &bench.run(0, &words), whole);
}

/// Returns a port of 127.0.0.1 that nobody uses.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("bound").port()
}

#[test]
fn passive_dns_client_reads_every_value_once_over_http() {
    let port = free_port();
    let web = format!("[web]\nlisten = \"127.0.0.1:{port}\"\nusers_file = \"users\"\n");
    let limits = "[limits]\nrrset_records = 10000\n";
    let bench = Bench::new(&format!("{FEED}{web}{limits}"));
    let mut feed = String::new();
    // Ten thousand values at once, and one name that changes.
    let values: Vec<String> = (0..10_000)
        .map(|n| format!("10.7.{}.{}", n / 250, n % 250))
        .collect();
    for part in values.chunks(500) {
        let part: Vec<&str> = part.iter().map(String::as_str).collect();
        feed += &line(
            "2026-03-01T12:00:00Z",
            "busy.test.",
            "pool.busy.test.",
            "A",
            &part,
        )
        .replace("\"set\"", "\"add\"");
    }
    for day in 1..20 {
        feed += &line(
            &format!("2026-03-{day:02}T13:00:00Z"),
            "busy.test.",
            "www.busy.test.",
            "A",
            &[&format!("192.0.2.{day}")],
        );
    }
    bench.write("f.ndjson", feed);
    bench.write_users(&[
        ("reader", "viewer", "secret-of-a-reader"),
        ("other", "viewer", "word-of-another"),
    ]);
    bench.run(0, &["poll"]);
    let running = Running::start(&bench, &["run"]);
    let script = r#"
import json, sys, time, urllib.request, urllib.error, base64
from pypdns import PyPDNS
from pypdns.errors import UnauthorizedError
url = "http://127.0.0.1:" + sys.argv[1] + "/pdns/query"
for attempt in range(100):
    try:
        urllib.request.urlopen(url + "/a"); break
    except urllib.error.HTTPError: break
    except OSError: time.sleep(0.1)
def fetch(path, headers={}):
    request = urllib.request.Request("http://127.0.0.1:" + sys.argv[1] + path, headers={"Authorization": "Basic " + base64.b64encode(b"other:word-of-another").decode(), **headers})
    try:
        answer = urllib.request.urlopen(request); return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error: return error.code, error.headers, error.read()
client = PyPDNS(url=url, basic_auth=("reader", "secret-of-a-reader"))
values = [record.rdata for record in client.iter_query("pool.busy.test")]
assert len(values) == 10000 and len(set(values)) == 10000, len(values)
one = client.rfc_query("www.busy.test")
assert sorted(record.rdata for record in one) == sorted("192.0.2.%d" % day for day in range(1, 20)), one
assert all(record.zone_time_first and record.bailiwick == "busy.test." for record in one)
assert list(client.iter_query("unknown.test")) == [] and client.rfc_query("192.0.2.7")[0].rrname == "www.busy.test."
assert [r.rdata for r in client.iter_query("www.busy.test", filter_rrtype="AAAA")] == []
try:
    PyPDNS(url=url, basic_auth=("reader", "wrong")).rfc_query("a.test"); assert False
except UnauthorizedError: pass
status, headers, body = fetch("/pdns/query/pool.busy.test")
assert status == 200 and headers["content-type"] == "application/x-ndjson" and len(body.splitlines()) == 10000
def knows(path):
    return fetch(path, {"If-None-Match": fetch(path)[1]["etag"]})[0] == 304
# The service may look at the zone in between.
assert any(knows("/pdns/query/pool.busy.test") for _ in range(5))
assert any(knows("/api/v1/domains/www.busy.test") for _ in range(5))
assert fetch("/pdns/query/192.0.2.0/30")[2].count(b"\n") == 3
assert fetch("/pdns/query/*.busy.test")[2].count(b"\n") == 10019
status, headers, body = fetch("/pdns/query/a..b")
assert status == 400 and headers["content-type"] == "application/problem+json" and json.loads(body)["status"] == 400
status, headers, body = fetch("/api/v1/domains/www.busy.test?at=2026-03-05T14:00:00Z")
assert status == 200 and [it["rdata"] for it in json.loads(body)["records"]] == ["192.0.2.5"] and json.loads(body)["cases"] == [], body
assert fetch("/api/v1/domains/www.busy.test?type=TXT")[0] == 400
print("ok")
"#;
    let script = bench.write("client.py", script);
    let output = Command::new(python_with("pypdns==2.3.2"))
        .arg(script)
        .arg(port.to_string())
        .output()
        .expect("python runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "ok",
        "{}",
        both(&output)
    );
    running.stop();
}

#[test]
fn bundle_holds_elsewhere_and_one_octet_more_or_less_does_not() {
    let bench = bench_of_two_zones();
    let path = bench.path().join("bundle.json");
    let file = path.to_str().expect("text").to_owned();
    bench.run(0, &["export", "--domain", "bad.example", "--output", &file]);
    assert!(
        bench
            .run_stderr(1, &["export", "--domain", "bad.example", "-o", &file])
            .contains("exists")
    );
    assert!(
        bench
            .run_stderr(1, &["export", "--domain", "none.example"])
            .contains("no history")
    );
    // Elsewhere: no configuration, no database.
    let verify = |file: &str| {
        Command::new(env!("CARGO_BIN_EXE_fluxwatch"))
            .args(["verify-evidence", file])
            .current_dir("/")
            .output()
            .expect("it runs")
    };
    let output = verify(&file);
    assert!(output.status.success(), "{}", both(&output));
    assert!(
        both(&output).contains("holds: bad.example, 8 changes"),
        "{}",
        both(&output)
    );
    let sound = fs::read(&path).expect("readable");
    // Every octet in turn would take minutes; every 41st meets each kind of line.
    for at in (0..sound.len()).step_by(41) {
        let mut changed = sound.clone();
        changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
        let broken = bench.write("changed.json", &changed);
        let output = verify(broken.to_str().expect("text"));
        assert_eq!(
            output.status.code(),
            Some(1),
            "octet {at}: {}",
            both(&output)
        );
        let text = both(&output);
        let places = ["line ", "link ", "bundle: ", "zone ", "report "];
        assert!(
            places.iter().any(|place| text.contains(place)),
            "octet {at}: {text}"
        );
    }
    let text = String::from_utf8(sound).expect("text");
    let moved = bench.write("moved.json", text.replacen("192.0.2.7", "192.0.2.9", 1));
    let output = verify(moved.to_str().expect("text"));
    assert!(
        both(&output).contains(
            "of 2026-03-05T12:00:00Z: the changes of ns1.bad.example. do not lead to its root"
        ),
        "{}",
        both(&output)
    );
}

#[test]
fn views_fit_eighty_columns() {
    let bench = bench_of_two_zones();
    for arguments in [
        vec!["history", "bad.example"],
        vec![
            "history",
            "bad.example",
            "--view",
            "records",
            "--with-cases",
        ],
        vec!["history", "bad.example", "--view", "timeline"],
        vec!["history", "--ns", "ns.host.test"],
        vec!["diff", "bad.example", "2026-03-02", "2026-03-10"],
    ] {
        let output = bench
            .command(&arguments)
            .env("COLUMNS", "80")
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && !text.is_empty(),
            "{arguments:?}: {}",
            both(&output)
        );
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{arguments:?}: {text}"
        );
    }
    let text = bench.run(0, &["history", "bad.example", "--format", "text"]);
    assert!(
        text.contains(";; bailiwick: example.\nbad.example.  NS  ns.host.test.\n"),
        "{text}"
    );
}
