//! Zone transfers from real primaries, with TSIG: what arrives, and what must not.

use crate::harness::{Bench, REPORT};
use crate::servers::{Bind, Extras, Knot, Nsd, Primary, free_port};
use crate::support::sources::{source, zone};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Polls a zone from a real primary over both address families and follows its changes.
fn check_primary(primary: &Primary) {
    for address in [primary.address(), primary.address_v6()] {
        primary.replace_zone("example.", &zone(1, 400));
        let bench = Bench::new("");
        bench.configure(&format!(
            "{}{}",
            bench.key_section(),
            source("example.", &[address], true)
        ));
        bench.run(0, &["poll"]);
        let status = bench.status("example.");
        assert_eq!(
            (status["serial"].as_u64(), status["records"].as_u64()),
            (Some(1), Some(1601)),
            "{status}"
        );
        assert!(bench.run(0, &["poll"]).contains("no change (serial 1)"));

        let changed = zone(2, 400)
            .replace("d7 IN NS ns2.infra.test.", "d7 IN NS ns9.infra.test.")
            .replace("ns1.d8 IN A 192.0.2.9", "ns1.d8 IN A 192.0.2.99");
        primary.replace_zone("example.", &changed);
        assert!(bench.run(0, &["poll"]).contains("2 names changed"));
        let history = bench.json(&["history", "d7.example", "--format", "json"]);
        let change = &history["changes"][0];
        assert_eq!(
            (
                change["serial"].as_u64(),
                &change["added"][0],
                &change["removed"][0]
            ),
            (
                Some(2),
                &"ns9.infra.test.".into(),
                &"ns2.infra.test.".into()
            ),
            "{history}"
        );
        assert_eq!(
            history["records"]
                .as_array()
                .expect("a list")
                .iter()
                .filter(|record| record["baseline"] == true)
                .count(),
            4
        );
        let glue = bench.json(&["history", "D8.example.", "--format", "json"]);
        assert_eq!(
            (&glue["changes"][0]["rrname"], &glue["changes"][0]["rrtype"]),
            (&"ns1.d8.example.".into(), &"A".into())
        );
    }
}

#[test]
fn knot_transfers_go_into_history() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    check_primary(&Knot::start(folder.path(), &[("example.", &zone(1, 400))]));
}

#[test]
fn nsd_transfers_go_into_history() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    check_primary(&Nsd::start(folder.path(), &[("example.", &zone(1, 400))]));
}

#[test]
fn bind_transfers_go_into_history() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    check_primary(&Bind::start(folder.path(), &[("example.", &zone(1, 400))]));
}

/// Expects an error to say whose side has to do what.
fn assert_says_what_to_do(status: &serde_json::Value) {
    let error = status["last_error"].as_str().unwrap_or_default();
    let cures = match status["refused_reason"].as_str() {
        Some("unreachable") => {
            &["nothing listens there; check address and port in `primaries`"][..]
        }
        Some("tsig") => &["secret", "at both sides"],
        Some("ended-early") => &["the next poll asks again. If it fails again, look into"],
        _ => &[
            "allow its address or its key there",
            "the zone's name at both sides",
        ],
    };
    assert!(cures.iter().any(|cure| error.contains(cure)), "{status}");
}

/// Expects a poll to fail with a reason while history stays as it was.
fn expect_refusal(bench: &Bench, zone: &str, before: &serde_json::Value, reasons: &[&str]) {
    bench.run(3, &["poll"]);
    let status = bench.status(zone);
    let reason = status["refused_reason"].as_str().unwrap_or_default();
    assert!(reasons.contains(&reason), "{status}");
    assert!(status["last_attempt_at"].is_string(), "{status}");
    assert_says_what_to_do(&status);
    for key in ["serial", "records", "last_success_at"] {
        assert_eq!(status[key], before[key], "{key}: {status}");
    }
}

/// Wrong key, no key, refused zone, dead primary: each leaves the state and says why.
fn check_refusals(primary: &Primary) {
    let bench = Bench::new("");
    let sound = format!(
        "{}{}",
        bench.key_section(),
        source("example.", &[primary.address()], true)
    );
    bench.configure(&sound);
    bench.run(0, &["poll"]);
    let before = bench.status("example.");
    primary.replace_zone("example.", &zone(5, 300));

    let wrong = bench.key_section_with("d3JvbmcgZm9yIHN1cmUsIHdyb25nIGZvciBzdXJlISE=");
    bench.configure(&format!(
        "{wrong}{}",
        source("example.", &[primary.address()], true)
    ));
    expect_refusal(&bench, "example.", &before, &["tsig", "rcode"]);
    bench.configure(&source("example.", &[primary.address()], false));
    expect_refusal(&bench, "example.", &before, &["rcode"]);
    let dead: SocketAddr = format!("127.0.0.1:{}", free_port())
        .parse()
        .expect("an address");
    bench.configure(&format!(
        "{}{}",
        bench.key_section(),
        source("example.", &[dead], true)
    ));
    expect_refusal(&bench, "example.", &before, &["unreachable"]);

    // The next sound poll goes on; a dead first primary does not matter.
    bench.configure(&format!(
        "{}{}",
        bench.key_section(),
        source("example.", &[dead, primary.address()], true)
    ));
    bench.run(0, &["poll"]);
    let after = bench.status("example.");
    assert_eq!(
        (after["serial"].as_u64(), &after["last_error"]),
        (Some(5), &serde_json::Value::Null),
        "{after}"
    );

    bench.configure(&format!(
        "{}{}",
        bench.key_section(),
        source("refused.example.", &[primary.address()], true)
    ));
    bench.run(3, &["poll"]);
    let refused = bench.status("refused.example.");
    assert!(
        ["rcode", "tsig"].contains(&refused["refused_reason"].as_str().unwrap_or_default()),
        "{refused}"
    );
    assert_says_what_to_do(&refused);
    assert_eq!(refused["serial"], serde_json::Value::Null);
}

/// The two zones of the refusal tests.
fn with_refused_zone() -> [(&'static str, String); 2] {
    [
        ("example.", zone(1, 300)),
        (
            "refused.example.",
            zone(1, 3).replace("example.", "refused.example."),
        ),
    ]
}

#[test]
fn refusals_by_knot_leave_the_state_and_say_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let zones = with_refused_zone();
    check_refusals(&Knot::start(
        folder.path(),
        &[(zones[0].0, &zones[0].1), (zones[1].0, &zones[1].1)],
    ));
}

#[test]
fn refusals_by_nsd_leave_the_state_and_say_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let zones = with_refused_zone();
    check_refusals(&Nsd::start(
        folder.path(),
        &[(zones[0].0, &zones[0].1), (zones[1].0, &zones[1].1)],
    ));
}

#[test]
fn refusals_by_bind_leave_the_state_and_say_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let zones = with_refused_zone();
    check_refusals(&Bind::start(
        folder.path(),
        &[(zones[0].0, &zones[0].1), (zones[1].0, &zones[1].1)],
    ));
}

/// Passes a query on, and `octets` octets of the answer.
fn pass_on(mut client: TcpStream, mut server: TcpStream, octets: usize) {
    let mut up_from = client.try_clone().expect("cloned");
    let mut up_to = server.try_clone().expect("cloned");
    thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
    let mut left = octets;
    let mut buffer = [0; 4096];
    while left > 0 {
        let Ok(read @ 1..) = server.read(&mut buffer) else {
            break;
        };
        let passed = read.min(left);
        if client.write_all(&buffer[..passed]).is_err() {
            break;
        }
        left -= passed;
    }
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = server.shutdown(std::net::Shutdown::Both);
}

/// Passes connections on to `target` and cuts each after `octets` octets of answer.
fn cutting_proxy(target: SocketAddr, octets: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(target)) else {
                return;
            };
            thread::spawn(move || pass_on(client, server, octets));
        }
    });
    address
}

#[test]
fn stream_cut_in_the_middle_leaves_the_state() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let primaries = folder.path();
    let text = zone(1, 3000);
    let [knot, nsd, bind] = [0, 1, 2].map(|i| primaries.join(i.to_string()));
    let (knot, nsd, bind) = (
        Knot::start(&knot, &[("example.", &text)]),
        Nsd::start(&nsd, &[("example.", &text)]),
        Bind::start(&bind, &[("example.", &text)]),
    );
    for primary in [&*knot, &*nsd, &*bind] {
        let bench = Bench::new("");
        bench.configure(&format!(
            "{}{}",
            bench.key_section(),
            source("example.", &[primary.address()], true)
        ));
        bench.run(0, &["poll"]);
        let before = bench.status("example.");
        primary.replace_zone("example.", &zone(2, 2900));
        // In the SOA's answer, in the first message, in a later one, and just before the end.
        for octets in [20, 3_000, 60_000, 90_000] {
            let proxy = cutting_proxy(primary.address(), octets);
            // Incremental transfers of other lengths; they fall back to what is tested here.
            bench.configure(&format!(
                "{}{}ixfr = false\n",
                bench.key_section(),
                source("example.", &[proxy], true)
            ));
            expect_refusal(&bench, "example.", &before, &["ended-early"]);
        }
    }
}

#[test]
fn mass_change_is_fetched_again_and_accuses_nobody() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let knot = Knot::start(folder.path(), &[("example.", &zone(1, 300))]);
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}{}",
        bench.key_section(),
        source("example.", &[knot.address()], true)
    ));
    bench.run(0, &["poll"]);
    for round in 2..7_u32 {
        // Every delegation's second name server moves, five times.
        knot.replace_zone(
            "example.",
            &zone(round, 300).replace("ns2.infra.test.", &format!("ns2.infra{round}.test.")),
        );
        let output = bench
            .command(&["-v", "poll"])
            .output()
            .expect("the program can be started");
        assert!(
            String::from_utf8_lossy(&output.stdout).contains(", no domain is suspected for it")
        );
        assert!(String::from_utf8_lossy(&output.stderr).contains("fetching once more"));
    }
    assert_eq!(bench.cases().len(), 0);
    let history = bench.json(&["history", "d7.example", "--format", "json"]);
    assert_eq!(
        history["changes"].as_array().expect("a list").len(),
        5,
        "what happened is in history all the same"
    );
    assert!(
        history["changes"]
            .as_array()
            .expect("a list")
            .iter()
            .all(|change| change["bulk"] == true)
    );
}

#[test]
fn serial_that_went_backwards_is_stored_and_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let knot = Knot::start(folder.path(), &[("example.", &zone(900, 20))]);
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}{}{REPORT}[smtp]\nurl = \"maildir://desk\"\n",
        bench.key_section(),
        source("example.", &[knot.address()], true)
    ));
    bench.run(0, &["poll"]);
    knot.replace_zone("example.", &zone(100, 21));
    assert!(
        bench
            .run(0, &["poll"])
            .contains("the serial went backwards")
    );
    assert_eq!(bench.status("example.")["serial"].as_u64(), Some(100));
    // The operator is told once.
    bench.run(0, &["poll"]);
    let mails = bench.maildir();
    assert_eq!(mails.len(), 1);
    let mail = std::fs::read_to_string(&mails[0]).expect("readable");
    // It is watched on: nothing says that it is not.
    assert!(!mail.contains("cannot be watched"), "{mail}");
    assert!(
        mail.contains("Zone example went back to an older serial"),
        "{mail}"
    );
    assert!(mail.contains("went back from 900 to 100"), "{mail}");
}

/// A zone of many types: names in RDATA, in upper case, and compressible.
const TYPES: &str = "$ORIGIN example.
$TTL 3600
@ IN SOA NS1.Infra.test. host.infra.test. 1 3600 600 86400 300
@ IN NS NS1.infra.test.
@ IN MX 10 Mail.example.
@ IN TXT \"one\" \"two\"
@ IN CAA 0 issue \"ca.test\"
mail IN A 192.0.2.25
Mail IN AAAA 2001:db8::25
_sip._tcp IN SRV 0 0 5060 Mail.example.
naptr IN NAPTR 100 10 \"S\" \"SIP+D2T\" \"\" _SIP._tcp.example.
rp IN RP Admin.example. Text.example.
loc IN TYPE65280 \\# 4 0A000001
alias IN CNAME Mail.example.
tree IN DNAME Other.example.
d1 IN NS ns1.D1.example.
d1 IN DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118
ns1.d1 IN A 192.0.2.1
\\000\\001x IN A 192.0.2.2
*.wild IN A 192.0.2.3
";

/// The zone of RFC 8976 Appendix A.1, whose digest was made by others.
const DIGESTED: &str = "$ORIGIN example.
@ 86400 IN SOA ns1 admin 2018031900 1800 900 604800 86400
@ 86400 IN NS ns1
@ 86400 IN NS ns2
@ 86400 IN ZONEMD 2018031900 1 1 c68090d90a7aed716bc459f9340e3d7c1370d4d24b7e2fc3a1ddc0b9a87153b9a9713b3c9ae5cc27777f98b8e730044c
ns1 3600 IN A 203.0.113.63
ns2 3600 IN AAAA 2001:db8::63
";

/// Polls once and returns the exit status and what is told of the digest.
fn poll_with_digest(primary: &Primary, more: &str) -> (Option<i32>, String) {
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}{}{more}",
        bench.key_section(),
        source("example.", &[primary.address()], true)
    ));
    let output = bench
        .command(&["-v", "poll"])
        .output()
        .expect("the program can be started");
    let told = String::from_utf8_lossy(&output.stderr);
    let word = told.split("digest ").nth(1).unwrap_or("none");
    let word = word
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned();
    let refused = bench.status("example.")["refused_reason"].clone();
    (
        output.status.code(),
        refused.as_str().map_or(word, str::to_owned),
    )
}

#[test]
fn the_digest_of_a_zone_is_verified() {
    let require = "zonemd = \"require\"\n";
    for algorithm in ["zonemd-sha384", "zonemd-sha512"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let extras = Extras {
            zonemd: Some(algorithm),
            ..Extras::default()
        };
        let knot = Knot::start_with(folder.path(), &[("example.", TYPES)], &extras);
        for more in ["", require] {
            let verified = (Some(0), "verified".to_owned());
            assert_eq!(
                poll_with_digest(&knot, more),
                verified,
                "{algorithm} {more}"
            );
        }
    }
    let wrong = DIGESTED.replace("203.0.113.63", "203.0.113.64");
    let (knot, nsd, bind) = (
        tempfile::tempdir().expect("a temporary folder"),
        tempfile::tempdir().expect("a temporary folder"),
        tempfile::tempdir().expect("a temporary folder"),
    );
    let (knot, nsd, bind) = (
        Knot::start(knot.path(), &[("example.", DIGESTED)]),
        Nsd::start(nsd.path(), &[("example.", DIGESTED)]),
        Bind::start(bind.path(), &[("example.", DIGESTED)]),
    );
    for (primary, name) in [(&*knot, "knot"), (&*nsd, "nsd"), (&*bind, "bind")] {
        let verified = (Some(0), "verified".to_owned());
        assert_eq!(poll_with_digest(primary, ""), verified, "{name}");
        // The primary serves what it has; only the records tell that it is not what was digested.
        primary.replace_zone("example.", &wrong.replace("2018031900", "2018031901"));
        let refused = (Some(3), "zonemd".to_owned());
        assert_eq!(poll_with_digest(primary, ""), refused, "{name}");
        let taken = (Some(0), "none".to_owned());
        assert_eq!(
            poll_with_digest(primary, "zonemd = \"ignore\"\n"),
            taken,
            "{name}"
        );
    }
    let plain = tempfile::tempdir().expect("a temporary folder");
    let plain = Knot::start(plain.path(), &[("example.", &zone(1, 3))]);
    assert_eq!(poll_with_digest(&plain, ""), (Some(0), "none".to_owned()));
    assert_eq!(
        poll_with_digest(&plain, require),
        (Some(3), "zonemd".to_owned())
    );
}
