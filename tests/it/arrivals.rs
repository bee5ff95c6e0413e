//! Real primaries: every version between two polls, signatures of every strength, TLS, NOTIFY, catalogs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Bench, Running};
use crate::servers::{
    Bind, DYNAMIC_PREFIX, Extras, Knot, Nsd, PowerDns, Primary, TLS_NAME, TSIG_OTHERS, free_port,
};
use crate::support::rows::sql;
use crate::support::sources::{source, zone};
use crate::support::stores::server;

/// The zone at a serial, with one delegation's second name server.
fn zone_using(serial: u32, host: &str) -> String {
    zone(serial, 30).replace("d7 IN NS ns2.infra.test.", &format!("d7 IN NS {host}."))
}

/// Returns `serial:added` of each change of a name, in order.
fn changes(bench: &Bench, name: &str) -> Vec<String> {
    let history = bench.json(&["history", name, "--format", "json"]);
    let changes = history["changes"].as_array().expect("a list").iter();
    changes
        .map(|change| {
            format!(
                "{}:{}",
                change["serial"],
                change["added"][0].as_str().unwrap_or("-")
            )
        })
        .collect()
}

/// Three versions between two polls, the last but one as the first: all are in history.
fn check_steps(primary: &Primary) {
    primary.replace_zone("example.", &zone_using(1, "ns-a.test"));
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}{}",
        bench.key_section(),
        source("example.", &[primary.address()], true)
    ));
    bench.run(0, &["poll"]);
    for (serial, host) in [(2, "ns-b.test"), (3, "ns-a.test"), (4, "ns-c.test")] {
        primary.replace_zone("example.", &zone_using(serial, host));
    }
    assert!(
        bench.run(0, &["poll"]).contains("3 versions"),
        "{}",
        primary.log_tail()
    );
    let steps = ["2:ns-b.test.", "3:ns-a.test.", "4:ns-c.test."];
    assert_eq!(changes(&bench, "d7.example"), steps);
    // What the steps made is what the whole zone is.
    assert!(
        bench
            .run(0, &["poll", "--full"])
            .contains("no change (serial 4)")
    );
    let row = bench.status("example.");
    assert_eq!(row["records"].as_u64(), Some(121), "{row}");
}

/// Every algorithm verifies; a key that signs with another one does not.
fn check_algorithms(primary: &Primary) {
    for (name, algorithm) in TSIG_OTHERS {
        let bench = Bench::new("");
        bench.key_section();
        let key = format!(
            "[[key]]\nname = \"{name}\"\nalgorithm = \"{algorithm}\"\nsecret_file = \"transfer.key\"\n"
        );
        let source = source("example.", &[primary.address()], true).replace("transfer.test.", name);
        bench.configure(&format!("{key}{source}"));
        bench.run(0, &["poll"]);
        let wrong = key.replace(algorithm, "hmac-sha256");
        bench.configure(&format!("{wrong}{source}"));
        bench.run(3, &["poll", "--full"]);
        // NSD answers NOTAUTH without a signature of its own.
        let reason = bench.status("example.")["refused_reason"].clone();
        assert!(
            ["tsig", "rcode"].contains(&reason.as_str().unwrap_or_default()),
            "{reason}"
        );
    }
}

#[test]
fn every_version_between_two_polls_of_knot_is_in_history() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let knot = Knot::start(folder.path(), &[("example.", &zone(1, 30))]);
    check_steps(&knot);
    check_algorithms(&knot);
}

#[test]
fn every_version_between_two_polls_of_nsd_is_in_history() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nsd = Nsd::start(folder.path(), &[("example.", &zone(1, 30))]);
    check_steps(&nsd);
    check_algorithms(&nsd);
}

#[test]
fn every_version_between_two_polls_of_bind_is_in_history() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bind = Bind::start(folder.path(), &[("example.", &zone(1, 30))]);
    check_steps(&bind);
    check_algorithms(&bind);
}

/// Returns the pin of the key in a certificate, as openssl computes it.
fn pin_of(certificate: &Path) -> String {
    let script = "openssl x509 -in \"$0\" -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | openssl base64";
    let output = Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(certificate)
        .output()
        .expect("a shell");
    String::from_utf8(output.stdout)
        .expect("text")
        .trim()
        .to_owned()
}

/// Transfers over TLS: trusted by an authority and by a pin, and not otherwise.
fn check_tls(primary: &Primary, tls_port: u16, negotiates_alpn: bool) {
    let address: SocketAddr = format!("127.0.0.1:{tls_port}").parse().expect("an address");
    let authority = primary.tls_authority();
    let ca_file = format!("ca_file = \"{}\"", authority.display());
    let pin = format!("pins = [\"{}\"]", pin_of(&authority));
    let poll = |status: i32, tls: &str| {
        let bench = Bench::new("");
        bench.configure(&format!(
            "{}{}tls = {{ {tls} }}\n",
            bench.key_section(),
            source("example.", &[address], true)
        ));
        bench.run(status, &["poll"]);
        let row = bench.status("example.");
        if status == 0 {
            assert_eq!(row["records"].as_u64(), Some(121), "{tls}: {row}");
        } else {
            assert_eq!(row["refused_reason"], "tls", "{tls}: {row}");
        }
    };
    let name = |name: &str| format!("server_name = \"{name}\"");
    poll(0, &format!("{}, {ca_file}", name(TLS_NAME)));
    poll(0, &format!("{}, {pin}", name(TLS_NAME)));
    poll(3, &format!("{}, {ca_file}", name("another.test")));
    poll(3, &name(TLS_NAME));
    poll(
        3,
        &format!(
            "{}, pins = [\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"]",
            name(TLS_NAME)
        ),
    );
    let strict = format!("{}, {ca_file}, strict_alpn = true", name(TLS_NAME));
    poll(if negotiates_alpn { 0 } else { 3 }, &strict);
}

#[test]
fn nsd_and_bind_transfer_over_tls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let extras = Extras {
        tls_port: Some(free_port()),
        ..Extras::default()
    };
    let nsd = Nsd::start_with(folder.path(), &[("example.", &zone(1, 30))], &extras);
    check_tls(&nsd, extras.tls_port.expect("set"), false);
    drop(nsd);
    let extras = Extras {
        tls_port: Some(free_port()),
        ..Extras::default()
    };
    let bind = Bind::start_with(folder.path(), &[("example.", &zone(1, 30))], &extras);
    check_tls(&bind, extras.tls_port.expect("set"), true);
}

/// Waits until a condition holds and returns how long that took.
fn until(what: &str, holds: impl Fn() -> bool) -> Duration {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "{what} did not come"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    started.elapsed()
}

/// Changes that a primary tells of while `run` runs, whose schedule would come in an hour.
fn check_notify(
    apex: &str,
    primary: &Primary,
    notify_port: u16,
    mut change: impl FnMut(u32, &str),
) {
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}{}every = \"1h\"\n[notify]\nlisten = [\"127.0.0.1:{notify_port}\"]\nsigned = true\n",
        bench.key_section(),
        source(apex, &[primary.address()], true)
    ));
    bench.run(0, &["poll"]);
    let running = Running::start(&bench, &["-vv", "run"]);
    until("the first poll", || running.log().contains("watching"));
    std::thread::sleep(Duration::from_millis(500));
    let name = format!("d7.{apex}");
    let start = primary.serial(apex);
    let mut wanted = Vec::new();
    for (step, host) in [(1, "ns-b.test"), (2, "ns2.infra.test"), (3, "ns-c.test")] {
        change(start + step, host);
        wanted.push(format!("{}:{host}.", start + step));
    }
    let took = until(&format!("the NOTIFY: {}", running.log()), || {
        changes(&bench, &name).len() == 3
    });
    assert_eq!(changes(&bench, &name), wanted, "{}", running.log());
    eprintln!(
        "{apex}: in history {} ms after the last change",
        took.as_millis()
    );
    running.stop();
}

#[test]
fn changes_that_knot_tells_of_are_in_history_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let notify_port = free_port();
    let extras = Extras {
        notify_port: Some(notify_port),
        ..Extras::default()
    };
    let knot = Knot::start_with(folder.path(), &[("example.", &zone(1, 30))], &extras);
    let mut before = "ns2.infra.test".to_owned();
    check_notify("example.", &knot, notify_port, |_, host| {
        knot.update(
            "example.",
            &format!("delete d7.example. NS {before}.\nadd d7.example. 3600 NS {host}."),
        );
        host.clone_into(&mut before);
    });
}

#[test]
fn changes_that_nsd_tells_of_are_in_history_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let notify_port = free_port();
    let extras = Extras {
        notify_port: Some(notify_port),
        ..Extras::default()
    };
    let nsd = Nsd::start_with(folder.path(), &[("example.", &zone(1, 30))], &extras);
    check_notify("example.", &nsd, notify_port, |serial, host| {
        nsd.replace_zone("example.", &zone_using(serial, host));
    });
}

#[test]
fn changes_that_bind_tells_of_are_in_history_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let notify_port = free_port();
    let apex = format!("{DYNAMIC_PREFIX}example.");
    let text = zone(1, 30).replace("example.", &apex);
    let extras = Extras {
        notify_port: Some(notify_port),
        ..Extras::default()
    };
    let bind = Bind::start_with(folder.path(), &[(&apex, &text)], &extras);
    let mut before = "ns2.infra.test".to_owned();
    check_notify(&apex, &bind, notify_port, |_, host| {
        bind.update(
            &apex,
            &format!("delete d7.{apex} NS {before}.\nadd d7.{apex} 3600 NS {host}."),
        );
        host.clone_into(&mut before);
    });
}

/// A catalog zone with these lines.
fn catalog(serial: u32, lines: &str) -> String {
    format!(
        "$ORIGIN cat.test.\n$TTL 0\n@ IN SOA invalid. invalid. {serial} 60 60 600 0\n@ IN NS invalid.\nversion IN TXT \"2\"\n{lines}"
    )
}

/// A source that follows a catalog.
fn catalog_source(name: &str, apex: &str, address: SocketAddr) -> String {
    format!(
        "[[source]]\nname = \"{name}\"\nkind = \"catalog\"\nzone = \"{apex}\"\nprimaries = [\"{address}\"]\nkey = \"transfer.test.\"\nscope = [\"example.\"]\n"
    )
}

#[test]
fn members_of_a_catalog_appear_move_reset_and_disappear_without_losing_history() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let member = |apex: &str, serial: u32, host: &str| {
        format!(
            "$ORIGIN {apex}\n$TTL 60\n@ IN SOA a.test. b.test. {serial} 60 60 600 0\n@ IN NS ns1.infra.test.\nwww IN NS {host}.\n"
        )
    };
    let both = "m1.zones IN PTR one.example.\nm2.zones IN PTR two.example.\nm3.zones IN PTR elsewhere.test.\n";
    let other = "$ORIGIN other.test.\n$TTL 0\n@ IN SOA invalid. invalid. 1 60 60 600 0\n@ IN NS invalid.\nversion IN TXT \"2\"\n";
    let knot = Knot::start(
        folder.path(),
        &[
            ("cat.test.", &catalog(1, both)),
            ("other.test.", other),
            ("one.example.", &member("one.example.", 1, "ns-a.test")),
            ("two.example.", &member("two.example.", 1, "ns-a.test")),
        ],
    );
    let bench = Bench::new("");
    bench.configure(&format!(
        "[metrics]\ntextfile = \"m.prom\"\n{}{}{}",
        bench.key_section(),
        catalog_source("cat", "cat.test.", knot.address()),
        catalog_source("other", "other.test.", knot.address())
    ));
    let first = bench.run(0, &["poll"]);
    assert!(
        first.contains("2 members, 2 joined, 0 left, 1 refused"),
        "{first}"
    );
    assert_eq!(bench.status("two.example.")["source_kind"], "catalog");
    // Nothing new: one sweep over both, no transfer.
    let again = bench.run(0, &["poll"]);
    assert!(again.contains("no change in 2 zones"), "{again}");
    // A member changes.
    knot.replace_zone("two.example.", &member("two.example.", 2, "ns-b.test"));
    bench.run(0, &["poll"]);
    assert_eq!(changes(&bench, "www.two.example"), ["2:ns-b.test."]);
    // A new label: the zone begins anew, its history stays.
    let reset = "m1.zones IN PTR one.example.\nm9.zones IN PTR two.example.\n";
    knot.replace_zone("cat.test.", &catalog(2, reset));
    let output = bench.run(0, &["poll"]);
    assert!(output.contains("0 joined, 0 left, 1 reset"), "{output}");
    assert_eq!(changes(&bench, "www.two.example"), ["2:ns-b.test."]);
    // Both list it: it stays where it is until its catalog names the other (RFC 9432, coo).
    knot.replace_zone(
        "other.test.",
        &other
            .replace(" 1 60", " 2 60")
            .replace("\"2\"\n", "\"2\"\nx1.zones IN PTR two.example.\n"),
    );
    assert!(
        bench
            .run(0, &["poll"])
            .contains("0 joined, 0 left, 1 refused")
    );
    let moving = format!("{reset}coo.m9.zones IN PTR other.test.\n");
    knot.replace_zone("cat.test.", &catalog(3, &moving));
    bench.run(0, &["poll"]);
    knot.replace_zone(
        "other.test.",
        &other
            .replace(" 1 60", " 3 60")
            .replace("\"2\"\n", "\"2\"\nx1.zones IN PTR two.example.\n"),
    );
    bench.run(0, &["poll"]);
    assert_eq!(bench.status("two.example.")["source"], "other");
    // The catalog that it left drops it; it is watched all the same.
    knot.replace_zone("cat.test.", &catalog(4, "m1.zones IN PTR one.example.\n"));
    bench.run(0, &["poll"]);
    knot.replace_zone("two.example.", &member("two.example.", 3, "ns-c.test"));
    bench.run(0, &["poll"]);
    assert_eq!(
        changes(&bench, "www.two.example"),
        ["2:ns-b.test.", "3:ns-c.test."]
    );
    // A zone that was refused is taken as soon as it is free, though the catalog itself does not change.
    knot.replace_zone(
        "other.test.",
        &other.replace(" 1 60", " 4 60").replace(
            "\"2\"\n",
            "\"2\"\nx1.zones IN PTR two.example.\nx2.zones IN PTR one.example.\n",
        ),
    );
    assert!(bench.run(0, &["poll"]).contains("1 refused"));
    knot.replace_zone("cat.test.", &catalog(5, ""));
    bench.run(0, &["poll"]);
    bench.run(0, &["poll"]);
    assert_eq!(bench.status("one.example.")["source"], "other");
    // It disappears from every catalog: history stays, and status says that it is not watched.
    knot.replace_zone("other.test.", &other.replace(" 1 60", " 5 60"));
    bench.run(0, &["poll"]);
    let row = bench.status("two.example.");
    assert_eq!(row["refused_reason"], "left-catalog", "{row}");
    // That is as the catalog's owner wants it: no monitoring wakes anybody.
    bench.run(0, &["status", "--failed", "two.example."]);
    let page = fs::read_to_string(bench.path().join("m.prom")).expect("written");
    for line in [
        "fluxwatch_source_ended_zones{source=\"other\"} 2",
        "fluxwatch_source_zones{source=\"other\"} 1",
    ] {
        assert!(page.contains(&format!("{line}\n")), "{line}\n{page}");
    }
    assert!(!page.contains("fluxwatch_source_refused_zones{"), "{page}");
    assert_eq!(changes(&bench, "www.two.example").len(), 2);
    // Fluxwatch before schema 17 could lose the mark: what the catalog said last gives it back, and takes none that it lists.
    let listed = "\"2\"\nx2.zones IN PTR one.example.\n";
    knot.replace_zone(
        "other.test.",
        &(other.replace(" 1 60", " 6 60")).replace("\"2\"\n", listed),
    );
    bench.run(0, &["poll"]);
    assert!(bench.status("one.example.")["refused_reason"].is_null());
    let before = match server() {
        Some(_) => "update meta set value = number_as_data(17) where key = 'schema'",
        None => "pragma user_version = 17",
    };
    let undone = "alter table zone drop column failed_at; drop index gap_to_judge;
                  alter table gap drop column known_at; alter table gap drop column judged;";
    sql(
        &bench,
        &format!("update zone set ended = null; {undone} {before}"),
    );
    bench.run(0, &["poll"]);
    for (zone, reason) in [
        ("one.example.", json!(null)),
        ("two.example.", json!("left-catalog")),
        ("other.test.", json!(null)),
    ] {
        assert_eq!(bench.status(zone)["refused_reason"], reason, "{zone}");
    }
}

/// A member of a catalog in which one name has a name server.
fn member(apex: &str, serial: u32, host: &str) -> String {
    format!(
        "$ORIGIN {apex}\n$TTL 60\n@ IN SOA a.test. b.test. {serial} 60 60 600 0\n@ IN NS ns1.infra.test.\nwww IN NS {host}.\n"
    )
}

#[test]
fn member_that_another_view_or_another_source_has_too_is_transferred_once_a_pass() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let both = "m1.zones IN PTR one.example.\nm2.zones IN PTR two.example.\n";
    let knot = Knot::start(
        folder.path(),
        &[
            ("cat.test.", &catalog(1, both)),
            ("one.example.", &member("one.example.", 1, "ns-a.test")),
            ("two.example.", &member("two.example.", 1, "ns-a.test")),
        ],
    );
    let bench = Bench::new("");
    let sources = format!(
        "{}{}",
        bench.key_section(),
        catalog_source("cat", "cat.test.", knot.address())
    );
    bench.configure(&sources);
    bench.run(0, &["poll"]);
    let seen = r#"{"rrname":"www.one.example.","rrtype":"A","rdata":"192.0.2.99","time_first":1700000000,"time_last":1700000100}"#;
    let path = bench.write("seen.ndjson", seen);
    bench.run(
        0,
        &["import", "pdns", path.to_str().expect("the path is UTF-8")],
    );
    let change_both = |serial: u32, host: &str| {
        for apex in ["one.example.", "two.example."] {
            knot.replace_zone(apex, &member(apex, serial, host));
        }
    };
    change_both(2, "ns-b.test");
    bench.run(0, &["poll"]);
    let history = |name: &str| changes(&bench, name);
    assert_eq!(history("www.two.example"), ["2:ns-b.test."]);
    assert!(history("www.one.example").contains(&"2:ns-b.test.".to_owned()));
    // It gets a source of its own, while the catalog is as it was.
    let own = format!(
        "{sources}[[source]]\nname = \"own\"\nkind = \"transfer\"\nzone = \"one.example.\"\nprimaries = [\"{}\"]\nkey = \"transfer.test.\"\n",
        knot.address()
    );
    bench.configure(&own);
    bench.run(0, &["poll"]);
    for (serial, host) in [(3, "ns-c.test"), (4, "ns-d.test")] {
        change_both(serial, host);
        bench.run(0, &["poll"]);
        assert_eq!(bench.status("one.example.")["source"], "own");
    }
    assert_eq!(history("www.two.example").len(), 3);
    for step in ["2:ns-b.test.", "3:ns-c.test.", "4:ns-d.test."] {
        let steps = history("www.one.example");
        let times = steps.iter().filter(|it| *it == step).count();
        assert_eq!(times, 1, "{steps:?}");
    }
    // The catalog drops it: it is watched all the same.
    knot.replace_zone("cat.test.", &catalog(2, "m2.zones IN PTR two.example.\n"));
    bench.run(0, &["poll"]);
    let row = bench.status("one.example.");
    assert_eq!(row["refused_reason"], serde_json::Value::Null, "{row}");
}

#[test]
fn zone_that_its_catalog_dropped_may_be_taken_over_by_a_feed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let knot = Knot::start(
        folder.path(),
        &[
            ("cat.test.", &catalog(1, "m1.zones IN PTR one.example.\n")),
            ("one.example.", &member("one.example.", 1, "ns-a.test")),
        ],
    );
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}{}[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\n",
        bench.key_section(),
        catalog_source("cat", "cat.test.", knot.address())
    ));
    let line = |seconds: i64, host: &str| {
        let at = fluxwatch::time::Clock::now(&fluxwatch::time::WallClock).unix() + seconds;
        format!(
            r#"{{"at":{at},"zone":"one.example.","rrname":"www.one.example.","rrtype":"NS","op":"set","ttl":60,"rdata":["{host}."]}}"#
        ) + "\n"
    };
    bench.write("f.ndjson", "");
    bench.run(0, &["poll"]);
    let early = line(0, "ns-b.test");
    bench.write("f.ndjson", &early);
    let told = bench.run(3, &["poll"]);
    assert!(told.contains("1 line set aside"), "{told}");
    assert!(changes(&bench, "www.one.example").is_empty());
    knot.replace_zone("cat.test.", &catalog(2, ""));
    bench.run(0, &["poll"]);
    bench.write("f.ndjson", early + &line(1, "ns-c.test"));
    bench.run(0, &["poll"]);
    let steps = changes(&bench, "www.one.example");
    assert!(
        steps.iter().any(|it| it.ends_with("ns-c.test.")),
        "{steps:?}"
    );
}

#[test]
fn catalog_that_knot_generates_is_understood_and_a_broken_one_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let extras = Extras {
        catalog: Some("cat.test.".to_owned()),
        ..Extras::default()
    };
    let texts: Vec<(String, String)> = (0..30)
        .map(|n| {
            (
                format!("z{n}.example."),
                zone(1, 2).replace("example.", &format!("z{n}.example.")),
            )
        })
        .collect();
    let zones: Vec<(&str, &str)> = texts
        .iter()
        .map(|(apex, text)| (apex.as_str(), text.as_str()))
        .collect();
    let knot = Knot::start_with(folder.path(), &zones, &extras);
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}{}",
        bench.key_section(),
        catalog_source("cat", "cat.test.", knot.address())
    ));
    assert!(bench.run(0, &["poll"]).contains("30 members, 30 joined"));
    assert!(bench.run(0, &["poll"]).contains("no change in 30 zones"));
    knot.stop();
    bench.run(3, &["poll"]);
    assert_eq!(bench.status("z3.example.")["refused_reason"], "unreachable");
    // A catalog of another version: refused whole, every member stays.
    let broken = Knot::start(
        &folder.path().join("b"),
        &[(
            "cat.test.",
            &catalog(9, "m1.zones IN PTR one.example.\n").replace("\"2\"", "\"7\""),
        )],
    );
    bench.configure(&format!(
        "{}{}",
        bench.key_section(),
        catalog_source("cat", "cat.test.", broken.address())
    ));
    bench.run(3, &["poll"]);
    assert_eq!(bench.status("cat.test.")["refused_reason"], "malformed");
    assert_ne!(
        bench.status("z3.example.")["refused_reason"],
        "left-catalog"
    );
}

#[test]
fn powerdns_that_answers_ixfr_with_the_whole_zone_is_followed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = PowerDns::start(folder.path(), "example.", &zone_using(1, "ns-a.test"));
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}{}",
        bench.key_section(),
        source("example.", &[server.address()], true)
    ));
    bench.run(0, &["poll"]);
    assert_eq!(bench.status("example.")["records"].as_u64(), Some(121));
    server.replace_zone("example.", &zone_using(2, "ns-b.test"));
    bench.run(0, &["poll"]);
    assert_eq!(changes(&bench, "d7.example"), ["2:ns-b.test."]);
    bench.configure(&source("example.", &[server.address()], false));
    bench.run(3, &["poll", "--full"]);
    assert_eq!(bench.status("example.")["serial"].as_u64(), Some(2));
}
