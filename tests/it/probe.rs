//! The probe, against a real tree of zones: Knot serves the root and a TLD on 127.0.0.1, another Knot the
//! domain on ::1, at the same port.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use fluxwatch::time::{Clock, SetClock, Span, Timestamp, WallClock};

use crate::harness::{Bench, REPORT, deliver, poll};
use crate::servers::{Bind, Extras, Knot};

/// The root zone, which delegates test.
const ROOT: &str = "$ORIGIN .\n$TTL 3600\n@ SOA a.root-servers.test. h.test. 1 1 1 1 1\n@ NS a.root-servers.test.\na.root-servers.test. A 127.0.0.1\ntest. NS a.root-servers.test.\n";

/// A domain's zone at a serial, with addresses of www.
fn child(serial: u32, hosts: &[&str], addresses: &[String]) -> String {
    let mut text = format!("$ORIGIN bad.test.\n$TTL 60\n@ SOA ns1 h {serial} 1 1 1 1\n");
    for host in hosts {
        writeln!(text, "@ NS {host}").expect("text grows");
    }
    text += "ns1 AAAA ::1\nns2 AAAA ::1\nns3 AAAA ::1\n";
    for address in addresses {
        writeln!(text, "www A {address}").expect("text grows");
    }
    text
}

/// The TLD at a serial, with the domain's name servers.
fn tld(serial: u32, hosts: &[&str]) -> String {
    let mut text = format!(
        "$ORIGIN test.\n$TTL 3600\n@ SOA a.root-servers h {serial} 1 1 1 1\n@ NS a.root-servers\na.root-servers A 127.0.0.1\nlame NS ns.nowhere\nns.nowhere A 127.0.0.1\n"
    );
    for host in hosts {
        writeln!(text, "bad NS {host}.bad\n{host}.bad AAAA ::1").expect("text grows");
    }
    text
}

/// The two servers.
fn start(folder: &Path) -> (Knot, Knot) {
    let above = Knot::start_with(
        &folder.join("a"),
        &[(".", ROOT), ("test.", &tld(1, &["ns1", "ns2"]))],
        &Extras {
            v4_only: true,
            ..Extras::default()
        },
    );
    let below = Knot::start_with(
        &folder.join("b"),
        &[(
            "bad.test.",
            &child(1, &["ns1", "ns2"], &["192.0.2.1".to_owned()]),
        )],
        &Extras {
            more_v6_port: Some(above.port()),
            ..Extras::default()
        },
    );
    (above, below)
}

/// A bench that probes, from the root or through a resolver, which answers at its own port.
fn bench_of(way: &str, way_port: u16, port: u16) -> Bench {
    let bench = Bench::new(&format!(
        "[[source]]\nname = \"portfolio\"\nkind = \"probe\"\ndomains = \"domains.txt\"\n{way} = [\"127.0.0.1:{way_port}\"]\nport = {port}\nserver_rate = 1000\ntimeout = \"2s\"\n{REPORT}[smtp]\nurl = \"maildir://desk\"\n"
    ));
    bench.write("domains.txt", "# ours\nbad.test www.bad.test\nlame.test\n");
    bench
}

/// Returns the changes of a name as `type:added:removed`, each in order.
fn changes(bench: &Bench, name: &str) -> Vec<String> {
    let history = bench.json(&["history", name, "--exact", "--format", "json"]);
    let list = |value: &serde_json::Value| {
        let list = value.as_array().expect("a list").iter();
        list.map(|it| it.as_str().expect("text").to_owned())
            .collect::<Vec<_>>()
            .join(",")
    };
    let changes = history["changes"].as_array().expect("a list").iter();
    changes
        .map(|it| {
            format!(
                "{}:{}:{}",
                it["rrtype"].as_str().expect("text"),
                list(&it["added"]),
                list(&it["removed"])
            )
        })
        .collect()
}

#[test]
fn domain_is_seen_at_its_parent_and_at_its_own_servers_from_the_root_down() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (above, _below) = start(folder.path());
    check_seen(&bench_of("roots", above.port(), above.port()));
}

#[test]
fn domain_is_seen_at_its_parent_and_at_its_own_servers_through_a_resolver() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (above, _below) = start(folder.path());
    let extras = Extras {
        resolves_through: Some(above.port()),
        ..Extras::default()
    };
    let other = [(
        "other.",
        "@ 60 SOA a.other. h.other. 1 1 1 1 1\n@ 60 NS a.other.\na 60 A 127.0.0.1\n",
    )];
    let bind = Bind::start_with(&folder.path().join("c"), &other, &extras);
    check_seen(&bench_of("resolvers", bind.port(), above.port()));
}

/// Polls, and looks at what was seen.
fn check_seen(bench: &Bench) {
    let output = bench.run(3, &["poll"]);
    assert!(output.contains("lame.test."), "{output}");
    let history = bench.json(&["history", "bad.test", "--format", "json"]);
    let mut seen: Vec<String> = history["records"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| {
            format!(
                "{} {} {} {} {}",
                it["view"].as_str().expect("a view"),
                it["rrname"].as_str().expect("text"),
                it["rrtype"].as_str().expect("text"),
                it["rdata"].as_str().expect("text"),
                it["ttl"]
            )
        })
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            "child bad.test. NS ns1.bad.test. 60",
            "child bad.test. NS ns2.bad.test. 60",
            "child www.bad.test. A 192.0.2.1 60",
            "parent bad.test. NS ns1.bad.test. 3600",
            "parent bad.test. NS ns2.bad.test. 3600",
            "parent ns1.bad.test. AAAA ::1 3600",
            "parent ns2.bad.test. AAAA ::1 3600",
        ]
    );
    let row = bench.status("lame.test.");
    assert!(row["last_error"].is_string(), "{row}");
    assert_eq!(row["source_kind"], "probe");
    bench.run(0, &["db", "verify"]);
    // Again: nothing new, and nothing is written for it.
    bench.run(3, &["poll"]);
    let again = bench.json(&["history", "bad.test", "--format", "json"]);
    assert_eq!(again["changes"].as_array().map(Vec::len), Some(0));
}

#[test]
fn pool_that_rotates_is_no_change_and_flux_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (above, below) = start(folder.path());
    // The server of the root knows every delegation: as a resolver's answer its own will do.
    let bench = bench_of("roots", above.port(), above.port());
    bench.write("domains.txt", "bad.test www.bad.test\n");
    let clock = Arc::new(SetClock::new(WallClock.now()));
    let pipeline = bench.pipeline(clock.clone());
    let mut serial = 1;
    let mut look = |hosts: &[&str], addresses: &[String]| {
        serial += 1;
        below.replace_zone("bad.test.", &child(serial, hosts, addresses));
        poll(&pipeline);
        clock.set(clock.now() + Span::seconds(1800));
    };
    // A pool of eight, of which four are shown at a time, in turn: for three days.
    let pool: Vec<String> = (0..8).map(|n| format!("192.0.{n}.1")).collect();
    for turn in 0..30_usize {
        let shown: Vec<String> = (0..4).map(|n| pool[(turn + n) % 8].clone()).collect();
        look(&["ns1", "ns2"], &shown);
    }
    assert_eq!(changes(&bench, "www.bad.test"), Vec::<String>::new());
    assert_eq!(bench.cases(), Vec::<serde_json::Value>::new());
    // An address that is gone for good is gone once it has been missing for long, and never before.
    for _ in 0..11 {
        look(&["ns1", "ns2"], &pool[1..]);
    }
    assert_eq!(changes(&bench, "www.bad.test"), Vec::<String>::new());
    for _ in 0..3 {
        look(&["ns1", "ns2"], &pool[1..]);
    }
    assert_eq!(changes(&bench, "www.bad.test"), ["A::192.0.0.1"]);
    // Flux: new addresses of new networks at every look.
    for turn in 0..60_u32 {
        let fresh: Vec<String> = (0..3)
            .map(|n| format!("10.{}.{}.7", 1 + turn * 3 % 250 + n, turn))
            .collect();
        look(&["ns1", "ns2"], &fresh);
    }
    assert!(changes(&bench, "www.bad.test").len() > 50);
    let cases = bench.cases();
    assert_eq!(cases.len(), 1, "{cases:?}");
    assert_eq!(
        (cases[0]["domain"].as_str(), cases[0]["verdict"].as_str()),
        (Some("bad.test."), Some("single-flux"))
    );
    assert_eq!(cases[0]["level"], "report", "{cases:?}");
    deliver(&pipeline);
    assert_eq!(bench.maildir().len(), 1);
    bench.run(0, &["db", "verify"]);
}

#[test]
fn failures_are_gaps_and_end_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (above, below) = start(folder.path());
    let bench = bench_of("roots", above.port(), above.port());
    bench.write("domains.txt", "bad.test www.bad.test\n");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(WallClock.now().unix())));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    below.stop();
    for _ in 0..30 {
        clock.set(clock.now() + Span::seconds(3600));
        poll(&pipeline);
    }
    let history = bench.json(&["history", "www.bad.test", "--format", "json"]);
    assert!(history["records"][0]["removed_at"].is_null(), "{history}");
    let rows = bench.json(&["status", "--format", "json"]);
    let reasons: Vec<&str> = rows
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|row| row["refused_reason"].as_str())
        .collect();
    assert_eq!(reasons, ["unreachable"], "{rows}");
    below.restart();
    clock.set(clock.now() + Span::seconds(3600));
    poll(&pipeline);
    let history = bench.json(&["history", "www.bad.test", "--format", "json"]);
    assert_eq!(
        history["gaps"].as_array().map(Vec::len),
        Some(1),
        "{history}"
    );
    assert!(history["records"][0]["removed_at"].is_null(), "{history}");
}

#[test]
fn a_suspects_own_servers_confirm_double_flux_and_are_asked_a_bounded_number_of_times() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (above, below) = start(folder.path());
    let port = above.port();
    let sources = "[[source]]\nname = \"tld\"\nkind = \"feed\"\nzone = \"test.\"\npath = \"f.ndjson\"\n[enrich]\nasn = \"asn.csv\"\n";
    let confirm = format!(
        "[detect.confirm]\nroots = [\"127.0.0.1:{port}\"]\nport = {port}\nserver_rate = 1000\ntimes = 40\ntimeout = \"2s\"\n"
    );
    let bench = Bench::new(&format!(
        "{sources}{confirm}{REPORT}update_after = \"1h\"\ndigest = \"off\"\n[smtp]\nurl = \"maildir://desk\"\n"
    ));
    let table: String = (0..256)
        .map(|n| format!("10.{n}.0.0,10.{n}.255.255,{}\n", 64_512 + n))
        .collect();
    bench.write("asn.csv", table);
    // The registry's feed shows the name servers only: none of them has glue.
    let now = WallClock.now().unix();
    let mut feed = String::new();
    for turn in 0..12_i64 {
        let at = now - (12 - turn) * 6 * 3600;
        let hosts = [0, 1].map(|n| format!("ns.throw{}x.away.", turn * 2 + n));
        for (name, hosts) in [
            ("bad.test.", hosts.to_vec()),
            ("calm.test.", vec!["ns.calm.away.".to_owned()]),
        ] {
            let line = serde_json::json!({"at": at, "rrname": name, "rrtype": "NS", "op": "set", "rdata": hosts});
            feed += &format!("{line}\n");
        }
    }
    bench.write("f.ndjson", feed);
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(now)));
    let pipeline = bench.pipeline(clock.clone());
    let verdict = |bench: &Bench| {
        bench.cases()[0]["verdict"]
            .as_str()
            .expect("text")
            .to_owned()
    };
    let asked = |reports: &[fluxwatch::pipeline::ZoneReport]| {
        let of_confirm = |it: &&fluxwatch::pipeline::ZoneReport| it.source == "detect.confirm";
        reports.iter().filter(of_confirm).count()
    };
    let mut rounds = asked(&poll(&pipeline));
    assert_eq!((verdict(&bench).as_str(), rounds), ("ns-flux", 1));
    let mut found = None;
    // Another address every quarter of an hour, each in a network of its own.
    for serial in 2..60_u32 {
        let addresses = [0, 1].map(|n| format!("10.{}.0.7", (serial * 2 + n) % 250 + 1));
        below.replace_zone("bad.test.", &child(serial, &["ns1", "ns2"], &addresses));
        clock.set(clock.now() + Span::seconds(900));
        let count = asked(&poll(&pipeline));
        assert!(count <= 1, "nobody else is asked about");
        rounds += count;
        if verdict(&bench) == "double-flux" {
            found.get_or_insert(serial);
        }
    }
    assert!(found.is_some(), "{:?}", bench.cases());
    assert_eq!(rounds, 40, "no more than was configured");
    let history = bench.json(&["history", "www.bad.test", "--format", "json"]);
    assert_eq!(history["records"][0]["source"], "detect.confirm");
    // What was asked is a view of its own: the registry's delegation stands.
    let last = bench.json(&[
        "history", "bad.test", "--exact", "--type", "NS", "--format", "json",
    ]);
    let stands = last["records"]
        .as_array()
        .expect("a list")
        .iter()
        .any(|it| {
            it["source"] == "tld"
                && it["rdata"] == "ns.throw22x.away."
                && it["removed_at"].is_null()
        });
    assert!(stands, "{last}");
    deliver(&pipeline);
    let mails: String = bench
        .maildir()
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("readable"))
        .collect();
    assert!(
        mails.contains("(double-flux)"),
        "the desk is told of the other kind"
    );
}
