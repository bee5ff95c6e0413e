//! Tables of autonomous systems: the built-in one, none, one that lacks a family, and one that cannot be used.

use std::fmt::Write as _;
use std::fs::File;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use fluxwatch::enrich::{AsnTable, BuiltInTable};
use fluxwatch::store::Store;
use fluxwatch::time::{Clock as _, WallClock};

use crate::harness::{Bench, Running, both, networks};
use crate::support::lookups::python_with;
use crate::support::stores::server;
use crate::support::wait::until;

/// A feed that is looked at every second.
const FEED: &str = "[[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"f.ndjson\"\ncomplete = true\nevery = \"1s\"\n";
/// When the flux begins.
const BEGINS_AT: i64 = 1_790_000_000;

/// Returns a feed in which the only name server of bad.example changes its address every two hours.
fn flux(rrtype: &str, address: impl Fn(i64) -> String) -> String {
    let mut feed = String::new();
    let mut line = |at: i64, name: &str, rrtype: &str, value: &str| {
        let line = serde_json::json!({"at": at, "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 300, "rdata": [value]});
        writeln!(feed, "{line}").expect("text grows");
    };
    line(
        BEGINS_AT - 30 * 86_400,
        "bad.example.",
        "NS",
        "ns1.bad.example.",
    );
    for turn in 0..25 {
        let since = if turn == 0 { -30 * 86_400 } else { turn * 7200 };
        line(
            BEGINS_AT + since,
            "ns1.bad.example.",
            rrtype,
            &address(turn),
        );
    }
    feed
}

/// Polls a flux with a section `[enrich]`; returns the peak of its case and what `explain` says.
fn judged(enrich: &str, feed: &str) -> (Option<String>, String) {
    let bench = Bench::new("");
    bench.configure_bare(&format!("{FEED}{enrich}"));
    bench.write("networks.csv", networks());
    bench.write("f.ndjson", feed);
    bench.run(0, &["poll"]);
    let peak = peak(&bench);
    (peak, bench.run(0, &["explain", "bad.example"]))
}

/// Returns the peak of the one case.
fn peak(bench: &Bench) -> Option<String> {
    let cases = bench.cases();
    let case = cases.first()?;
    Some(case["peak_level"].as_str().expect("a level").to_owned())
}

#[test]
fn the_built_in_table_knows_servers_that_everybody_knows() {
    let table = BuiltInTable::open();
    let asn = |text: &str| table.lookup(text.parse::<IpAddr>().expect("an address"));
    for (address, number) in [
        ("8.8.8.8", 15169),
        ("1.1.1.1", 13335),
        ("9.9.9.9", 19281),
        ("193.0.14.129", 25152),
        ("192.5.5.241", 3557),
        ("2001:4860:4860::8888", 15169),
        ("2606:4700:4700::1111", 13335),
        ("2001:7fd::1", 25152),
    ] {
        assert_eq!(asn(address), Some(number), "{address}");
    }
    for address in [
        "10.0.0.1",
        "192.0.2.1",
        "255.255.255.255",
        "::1",
        "2001:db8::1",
        "fd00::1",
    ] {
        assert_eq!(asn(address), None, "{address}");
    }
    let name = table.name(15169).expect("named");
    assert!(name.contains("Google"), "{name}");
    assert!(table.summary().rows > 500_000, "{:?}", table.summary());
}

#[test]
fn without_a_key_the_built_in_table_is_used_and_everybody_is_told_which_it_is() {
    let bench = Bench::new("");
    bench.configure_bare(FEED);
    // One address in each of ten networks that are large and old.
    let first = ["3", "4", "12", "15", "17", "19", "38", "53", "73", "126"];
    let address = |turn: i64| format!("{}.9.{turn}.7", first[turn as usize % 10]);
    bench.write("f.ndjson", flux("A", address));
    let checked = bench.run(0, &["config", "check"]);
    assert!(
        checked.contains("table enrich.asn: (built in): 515"),
        "{checked}"
    );
    bench.run(0, &["poll"]);
    assert_eq!(peak(&bench).as_deref(), Some("report"));
    let status = bench.run_stderr(0, &["status"]);
    assert!(
        status.contains("2026-06-17 (built in; from RouteViews"),
        "{status}"
    );
    let told = bench.run(0, &["explain", "bad.example"]);
    assert!(
        told.contains("2026-06-17 (built in; from RouteViews"),
        "{told}"
    );
    assert!(told.contains("autonomous systems"), "{told}");
}

#[test]
fn without_a_table_nothing_is_suspected_beyond_review_and_everybody_is_told_why() {
    let feed = flux("A", |turn| format!("10.{turn}.0.9"));
    let (peak, _) = judged("[enrich]\nasn = \"networks.csv\"\n", &feed);
    assert_eq!(
        peak.as_deref(),
        Some("report"),
        "the same flux with a table"
    );
    let (peak, told) = judged("[enrich]\nasn = \"none\"\n", &feed);
    assert_eq!(peak.as_deref(), Some("review"), "{told}");
    assert!(
        told.contains("table of autonomous systems: none is in use"),
        "{told}"
    );
    assert!(told.contains("review at most"), "{told}");
    let bench = Bench::new("");
    bench.configure_bare(&format!("{FEED}[enrich]\nasn = \"none\"\n"));
    bench.write("f.ndjson", "");
    let checked = bench.run_stderr(0, &["config", "check"]);
    assert!(
        checked.contains("line 11: enrich.asn: no table of autonomous systems"),
        "{checked}"
    );
    bench.run(0, &["poll"]);
    let status = bench.run_stderr(0, &["status"]);
    assert!(
        status.contains("warning: ") && status.contains("no table of autonomous systems"),
        "{status}"
    );
}

#[test]
fn flux_of_a_family_that_the_table_lacks_is_reviewed() {
    // The table of tests has IPv4 alone.
    let feed = flux("AAAA", |turn| format!("2a0{}:{turn:x}::9", turn % 7));
    let (peak, told) = judged("[enrich]\nasn = \"networks.csv\"\n", &feed);
    assert_eq!(peak.as_deref(), Some("review"), "{told}");
    assert!(told.contains("does not answer for addresses in"), "{told}");
    let bench = Bench::new("");
    let checked = bench.run_stderr(0, &["config", "check"]);
    assert!(checked.contains("no range of IPv6"), "{checked}");
}

#[test]
fn a_table_that_cannot_be_used_stops_judging_and_not_watching() {
    let feed = flux("A", |turn| format!("10.{turn}.0.9"));
    let bench = Bench::new("");
    bench.configure(FEED);
    bench.write("f.ndjson", &feed);
    bench.run(0, &["poll"]);
    let not_held_up = bench.cases();
    for (key, cure) in [
        ("asn", networks()),
        ("hosting_asns", "64500\n".to_owned()),
        ("registrations", "other.example,2020-01-01\n".to_owned()),
    ] {
        let bench = Bench::new("");
        let file = format!("{key}.txt");
        let asn = if key == "asn" {
            ""
        } else {
            "asn = \"networks.csv\"\n"
        };
        bench.configure_bare(&format!("{FEED}[enrich]\n{asn}{key} = \"{file}\"\n"));
        bench.write("networks.csv", networks());
        bench.write(&file, "# nothing today\n");
        bench.write("f.ndjson", &feed);
        let told = bench.run_stderr(3, &["poll"]);
        assert!(
            told.contains("nothing is judged") && told.contains(&format!("enrich.{key}: ")),
            "{told}"
        );
        assert!(
            bench
                .run(0, &["history", "bad.example"])
                .contains("10.24.0.9")
        );
        assert_eq!(bench.cases().len(), 0);
        let status = bench.run_stderr(1, &["status", "--failed"]);
        assert!(
            status.contains("nothing is judged") && status.contains("is empty"),
            "{status}"
        );
        bench.run_stderr(2, &["explain", "bad.example"]);
        // Nothing new came since; what waited is judged at its own time.
        bench.write(&file, &cure);
        bench.run(0, &["poll"]);
        assert_eq!(bench.cases()[0]["peak_level"], "report", "{key}");
        assert_eq!(bench.cases(), not_held_up, "{key}");
        let status = bench.run_stderr(0, &["status", "--failed"]);
        assert!(!status.contains("nothing is judged"), "{status}");
    }
}

/// Waits until history has the last address of the flux.
fn until_stored(bench: &Bench) {
    until("history", || {
        let looked = |bench: &Bench| bench.command(&["history", "bad.example"]).output();
        let is_there = server().is_some() || bench.path().join("fluxwatch.db").exists();
        is_there && both(&looked(bench).expect("runs")).contains("10.24.0.9")
    });
}

/// Returns the configuration of a service with metrics and a table.
fn service_config() -> String {
    format!("{FEED}[metrics]\ntextfile = \"metrics.prom\"\n[enrich]\nasn = \"asn.csv\"\n")
}

#[test]
fn a_service_judges_what_waited_as_soon_as_its_table_is_right() {
    let bench = Bench::new("");
    bench.configure_bare(&service_config());
    bench.write("asn.csv", "start,end,asn\n");
    bench.write("f.ndjson", flux("A", |turn| format!("10.{turn}.0.9")));
    let page = || std::fs::read_to_string(bench.path().join("metrics.prom")).unwrap_or_default();
    let running = Running::start(&bench, &["run"]);
    until_stored(&bench);
    until("the service's words", || {
        let told = both(
            &bench
                .command(&["status", "--failed"])
                .output()
                .expect("runs"),
        );
        told.contains("the service: judging held up since")
            && told.contains("nothing is judged: ")
            && told.contains("put the table right")
    });
    let log = running.log();
    assert!(log.contains("nothing is judged"), "{log}");
    until("metrics", || page().contains("fluxwatch_judging_waits 1"));
    assert_eq!(bench.cases().len(), 0);
    running.stop();
    // What the first one noted, the second one finds in the zone's row.
    let running = Running::start(&bench, &["run"]);
    until("the second start", || {
        running.log().contains("nothing is judged")
    });
    bench.write("asn.csv", networks());
    until("the report", || peak(&bench).as_deref() == Some("report"));
    until("good words", || {
        let status = bench.command(&["status", "--failed"]).output();
        status.expect("runs").status.success()
    });
    let log = running.log();
    assert!(log.contains("judging: goes on"), "{log}");
    running.stop();
}

#[test]
fn a_reload_with_a_table_that_cannot_be_used_leaves_the_old_one_judging() {
    let bench = Bench::new("");
    bench.configure_bare(&service_config());
    bench.write("asn.csv", networks());
    bench.write("f.ndjson", "");
    let running = Running::start(&bench, &["run"]);
    until("the start", || running.log().contains("watching 1 source"));
    bench.write("asn.csv", "start,end,asn\n");
    running.signal("HUP");
    until("the refusal", || {
        running
            .log()
            .contains("configuration not taken, going on with the old one: ")
    });
    bench.write("f.ndjson", flux("A", |turn| format!("10.{turn}.0.9")));
    until("the report", || peak(&bench).as_deref() == Some("report"));
    running.stop();
}

#[test]
fn what_waited_is_judged_in_the_order_of_time_whatever_its_zone() {
    let bench = Bench::new("");
    let feed = |zone: &str| {
        format!(
            "[[source]]\nname = \"{zone}\"\nkind = \"feed\"\nzone = \"{zone}.\"\npath = \"{zone}.ndjson\"\n"
        )
    };
    let (first, second) = (feed("alpha"), feed("beta"));
    bench.configure_bare(&format!("{first}{second}[enrich]\nasn = \"asn.csv\"\n"));
    bench.write("asn.csv", "start,end,asn\n");
    for (zone, offset) in [("alpha", 0), ("beta", 30)] {
        let mut lines = String::new();
        for turn in 0..4 {
            let at = BEGINS_AT + turn * 60 + offset;
            writeln!(lines, r#"{{"at":{at},"rrname":"w.{zone}.","rrtype":"A","op":"set","ttl":60,"rdata":["10.{turn}.0.1"]}}"#).expect("text grows");
        }
        bench.write(&format!("{zone}.ndjson"), lines);
    }
    bench.run(3, &["poll"]);
    let store = Store::open_read_only(bench.store_url()).expect("readable");
    let waiting = store.lookup().oldest_to_judge(7).expect("readable");
    let order: Vec<(String, i64)> = waiting
        .iter()
        .map(|it| (it.apex.to_string(), it.at.unix() - BEGINS_AT))
        .collect();
    let expected = ["alpha.", "beta."]
        .into_iter()
        .cycle()
        .zip((0..7).map(|n| n * 30));
    let expected: Vec<_> = expected.map(|(zone, at)| (zone.to_owned(), at)).collect();
    assert_eq!(order, expected);
    bench.write("asn.csv", networks());
    bench.run(0, &["poll"]);
    assert_eq!(store.lookup().oldest_to_judge(7).expect("readable"), []);
}

#[test]
fn a_table_older_than_180_days_is_warned_of_and_one_older_than_730_reports_nobody() {
    let feed = flux("A", |turn| format!("10.{turn}.0.9"));
    let day = 86_400;
    let ends_at = BEGINS_AT + 24 * 7200;
    for (days, level) in [(729, "report"), (732, "review")] {
        let bench = Bench::new("");
        bench.configure_bare(&format!("{FEED}[enrich]\nasn = \"asn.csv\"\n"));
        let path = bench.write("asn.csv", networks());
        set_written(&path, ends_at - days * day);
        bench.write("f.ndjson", &feed);
        bench.run(0, &["poll"]);
        let told = bench.run(0, &["explain", "bad.example", "--at", &ends_at.to_string()]);
        assert_eq!(peak(&bench).as_deref(), Some(level), "{told}");
        assert_eq!(told.contains("too old to accuse by"), days > 730, "{told}");
    }
    for (days, is_old) in [(179, false), (182, true)] {
        let bench = Bench::new("");
        bench.configure_bare(&format!("{FEED}[enrich]\nasn = \"asn.csv\"\n"));
        let path = bench.write("asn.csv", networks());
        set_written(&path, WallClock.now().unix() - days * day);
        bench.write("f.ndjson", "");
        let checked = bench.run_stderr(0, &["config", "check"]);
        assert_eq!(checked.contains("days old"), is_old, "{checked}");
        bench.run(0, &["poll"]);
        let status = bench.run_stderr(0, &["status"]);
        assert_eq!(status.contains("days old"), is_old, "{status}");
    }
}

/// Sets when a file was written.
fn set_written(path: &Path, unix: i64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(unix as u64);
    let file = File::options().write(true).open(path).expect("writable");
    file.set_modified(at).expect("settable");
}

#[test]
fn a_table_that_answers_nothing_is_no_table() {
    let bench = Bench::new("");
    bench.configure_bare(&format!("{FEED}[enrich]\nasn = \"asn.csv\"\n"));
    bench.write("asn.csv", "192.0.2.0,192.0.2.255,64500\n");
    let mut feed = String::new();
    for n in 1..=60 {
        writeln!(feed, r#"{{"at":{BEGINS_AT},"rrname":"w{n}.example.","rrtype":"A","op":"set","ttl":60,"rdata":["20.{n}.0.1"]}}"#).expect("text grows");
    }
    bench.write("f.ndjson", feed);
    bench.run(0, &["poll"]);
    let told = bench.run_stderr(3, &["poll"]);
    assert!(
        told.contains("answers nothing: it knows none of 60 public addresses"),
        "{told}"
    );
    assert!(told.contains("line 11: enrich.asn"), "{told}");
    for (exit, command) in [(1, ["status", "--failed"]), (2, ["config", "check"])] {
        let told = bench.run_stderr(exit, &command);
        assert!(told.contains("answers nothing"), "{told}");
        assert!(told.contains("use the built-in one"), "{told}");
    }
    bench.write("asn.csv", networks());
    bench.run(0, &["poll"]);
}

/// Writes a database for each width of integers, and one as IPinfo's older ones are.
const WRITER: &str = r#"
import sys
from mmdb_writer import MMDBWriter
from netaddr import IPSet
for width in ["u16", "u32", "u64", "u128", "i32"]:
    writer = MMDBWriter(ip_version=4, database_type="Test-" + width, int_type=width)
    writer.insert_network(IPSet(["192.0.2.0/24"]), {"autonomous_system_number": 64500})
    writer.to_db_file(sys.argv[1] + "/" + width + ".mmdb")
ipinfo = MMDBWriter(ip_version=4, database_type="ipinfo standard_asn")
ipinfo.insert_network(IPSet(["192.0.2.0/24"]), {"asn": "AS64500", "name": "Net One", "domain": "one.test", "route": "192.0.2.0/24", "type": "isp", "country": "XX"})
ipinfo.to_db_file(sys.argv[1] + "/ipinfo.mmdb")
mixed = MMDBWriter(ip_version=4, database_type="Test-Mixed")
mixed.insert_network(IPSet(["192.0.2.0/24"]), {"asn": 64500, "name": {"en": "Net One"}, "organization": "Net One"})
mixed.to_db_file(sys.argv[1] + "/mixed.mmdb")
"#;

#[test]
fn databases_with_numbers_of_any_width_are_read() {
    let bench = Bench::new("");
    let script = bench.write("write.py", WRITER);
    let output = Command::new(python_with("mmdb_writer==0.2.6"))
        .arg(&script)
        .arg(bench.path())
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", both(&output));
    for name in ["u16", "u32", "u64", "u128", "i32", "ipinfo", "mixed"] {
        let table = AsnTable::load(&bench.path().join(format!("{name}.mmdb"))).expect(name);
        let address = "192.0.2.7".parse().expect("an address");
        assert_eq!(table.lookup(address), Some(64500), "{name}");
        let named = matches!(name, "ipinfo" | "mixed").then_some("Net One");
        assert_eq!(table.name(64500), named, "{name}");
    }
    let lite = "network,country,country_code,continent,continent_code,asn,as_name,as_domain\n192.0.2.0/24,Nowhere,XX,None,XX,AS64500,\"Net, One\",one.test\n";
    let path = bench.write("lite.csv", lite);
    let table = AsnTable::load(&path).expect("IPinfo's CSV");
    assert_eq!(table.name(64500), Some("Net, One"));
}
