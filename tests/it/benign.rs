//! Look-alikes that must not be reported, and faults that once lost or bent history.

use std::fmt::Write as _;
use std::sync::Arc;

use fluxwatch::time::{SetClock, Span, Timestamp};

use crate::harness::{Bench, poll};
use crate::servers::Knot;
use crate::support::rows::sql;
use crate::support::stores::has_no_file;

/// A change feed, line by line.
#[derive(Default)]
pub(crate) struct Feed(pub(crate) String);

impl Feed {
    /// Adds a whole RRset, `hours` after the beginning.
    pub(crate) fn set(
        &mut self,
        hours: f64,
        zone: &str,
        name: &str,
        rrtype: &str,
        rdata: &[String],
    ) {
        let at = 1_790_000_000 + (hours * 3600.0) as i64;
        let line = serde_json::json!({"at": at, "zone": zone, "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 300, "rdata": rdata});
        writeln!(self.0, "{line}").expect("text grows");
    }
}

/// A source that follows `f.ndjson`, and an address table in which 10.N.0.0/16 is a network of its own.
pub(crate) fn bench(feed: &str) -> Bench {
    let bench = Bench::new(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n",
    );
    bench.write("f.ndjson", feed);
    let table: String = (0..256)
        .map(|n| format!("10.{n}.0.0,10.{n}.255.255,{}\n", 64_512 + n))
        .collect();
    bench.write("asn.csv", table);
    bench
}

/// Polls a feed and returns the domains whose case ever reached review or report.
fn accused_by(feed: &Feed) -> Vec<String> {
    let bench = bench(&feed.0);
    bench.run(0, &["poll"]);
    accused(&bench)
}

/// Returns the domains whose case ever reached review or report.
pub(crate) fn accused(bench: &Bench) -> Vec<String> {
    let above = |case: &serde_json::Value| case["peak_level"] != "watch";
    bench
        .cases()
        .iter()
        .filter(|case| above(case))
        .map(|case| case["domain"].as_str().expect("text").to_owned())
        .collect()
}

/// A hub with 40 customers whose one name server changes address `turns` times, every 3 hours.
fn hub(turns: i32) -> Feed {
    hub_behind(turns, "ns1.hoster.example.")
}

/// A [`hub`] that has another name server itself.
fn hub_behind(turns: i32, own_server: &str) -> Feed {
    let mut feed = Feed::default();
    let owned = |text: &str| vec![text.to_owned()];
    for n in 0..40 {
        feed.set(
            0.0,
            "example.",
            &format!("d{n}.example."),
            "NS",
            &[owned("ns1.hoster.example."), owned("ns2.hoster.example.")].concat(),
        );
    }
    feed.set(0.0, "example.", "hoster.example.", "NS", &owned(own_server));
    for turn in 0..=turns {
        let address = [format!("10.{turn}.0.1")];
        feed.set(
            f64::from(turn) * 3.0,
            "example.",
            "ns1.hoster.example.",
            "A",
            &address,
        );
    }
    feed
}

#[test]
fn hoster_that_renumbers_now_and_then_accuses_nobody_but_itself() {
    let found = accused_by(&hub(4));
    assert!(
        found.iter().all(|domain| domain == "hoster.example."),
        "{found:?}"
    );
}

#[test]
fn hub_whose_name_server_keeps_moving_is_one_finding_and_its_customers_are_none() {
    let bench = bench(&hub(12).0);
    bench.run(0, &["poll"]);
    assert_eq!(accused(&bench), ["hoster.example."]);
    let explained = bench.run(0, &["explain", "hoster.example"]);
    assert!(
        explained.contains("40 other names on its own name servers"),
        "{explained}"
    );
    let customer = bench.run(0, &["explain", "d1.example"]);
    assert!(
        customer.contains("name servers of hoster.example, which is judged for them"),
        "{customer}"
    );
}

#[test]
fn hub_that_hides_behind_a_quiet_name_server_is_one_finding_and_its_customers_are_none() {
    let bench = bench(&hub_behind(12, "ns1.quiet-dns.test.").0);
    bench.run(0, &["poll"]);
    assert_eq!(accused(&bench), ["hoster.example."]);
    let explained = bench.run(0, &["explain", "hoster.example"]);
    assert!(
        explained.contains("40 other names on its own name servers"),
        "{explained}"
    );
}

#[test]
fn two_hosters_that_move_are_one_finding_each_and_no_customer_is_accused() {
    // One fails over every hour among six sites, the other moves eight times in four days.
    let mut feed = Feed::default();
    for (hoster, customers) in [("failing.example.", 150), ("moving.example.", 12)] {
        let own = [format!("ns1.{hoster}"), format!("ns2.{hoster}")];
        feed.set(0.0, "example.", hoster, "NS", &own);
        for host in &own {
            feed.set(0.0, "example.", host, "A", &["10.1.0.1".to_owned()]);
        }
        for n in 0..customers {
            let name = format!("c{n}-of-{hoster}");
            feed.set(0.0, "example.", &name, "NS", &own);
        }
    }
    for turn in 0..72 {
        let address = [format!("10.{}.0.1", 2 + turn * 5 % 6)];
        let at = 24.0 + f64::from(turn);
        feed.set(at, "example.", "ns1.failing.example.", "A", &address);
    }
    for turn in 0..8 {
        let address = [format!("10.{}.0.1", 20 + turn)];
        let at = 24.5 + f64::from(turn) * 12.0;
        feed.set(at, "example.", "ns1.moving.example.", "A", &address);
    }
    let mut lines: Vec<&str> = feed.0.lines().collect();
    let at = |line: &str| -> f64 {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["at"].as_f64().expect("a number")
    };
    lines.sort_by(|one, other| at(one).total_cmp(&at(other)));
    let bench = bench(&(lines.join("\n") + "\n"));
    bench.run(0, &["poll"]);
    let mut found = accused(&bench);
    found.sort();
    assert_eq!(found, ["failing.example.", "moving.example."]);
    assert_eq!(bench.cases().len(), 2);
    let explained = bench.run(0, &["explain", "failing.example"]);
    assert!(
        explained.contains("150 other names on its own name servers"),
        "{explained}"
    );
}

#[test]
fn customer_of_a_moving_hub_is_accused_by_what_is_its_own() {
    let mut feed = hub(12);
    for turn in 0..10 {
        let hosts = [
            format!("ns1.{}{turn}.test.", ["quail", "otter", "heron"][turn % 3]),
            "ns1.hoster.example.".to_owned(),
        ];
        feed.set(
            turn as f64 * 11.0 + 40.0,
            "example.",
            "d7.example.",
            "NS",
            &hosts,
        );
    }
    let mut found = accused_by(&feed);
    found.sort();
    assert_eq!(found, ["d7.example.", "hoster.example."]);
}

#[test]
fn numbered_throw_away_domains_under_one_suffix_count_each() {
    let mut feed = Feed::default();
    for turn in 0..7 {
        let hosts = [
            format!("ns1.dnshost{}.test.", turn * 2),
            format!("ns1.dnshost{}.test.", turn * 2 + 1),
        ];
        feed.set(
            f64::from(turn) * 12.0,
            "example.",
            "bad.example.",
            "NS",
            &hosts,
        );
    }
    assert_eq!(accused_by(&feed), ["bad.example."]);
}

#[test]
fn addresses_of_name_servers_are_not_the_address_plane() {
    let mut feed = Feed::default();
    let hosts = ["ns1.bad.test.".to_owned(), "ns2.bad.test.".to_owned()];
    feed.set(0.0, "bad.test.", "bad.test.", "NS", &hosts);
    feed.set(
        0.0,
        "bad.test.",
        "www.bad.test.",
        "A",
        &["10.9.0.1".to_owned()],
    );
    for turn in 0..30 {
        let host = &hosts[turn % 2];
        feed.set(
            turn as f64,
            "bad.test.",
            host,
            "A",
            &[format!("10.{}.0.1", 20 + turn)],
        );
    }
    let bench = bench(&feed.0);
    bench.run(0, &["poll"]);
    assert_eq!(
        bench.cases()[0]["verdict"],
        "ns-flux",
        "{:?}",
        bench.cases()
    );
}

#[test]
fn glue_of_a_delegation_that_was_taken_away_is_no_address_plane() {
    let mut feed = Feed::default();
    let hosts = ["ns1.bad.example.".to_owned(), "ns2.bad.example.".to_owned()];
    feed.set(0.0, "example.", "bad.example.", "NS", &hosts);
    for turn in 0..30 {
        let address = [format!("10.{}.0.1", 20 + turn)];
        feed.set(turn as f64, "example.", &hosts[turn % 2], "A", &address);
    }
    feed.set(31.0, "example.", "bad.example.", "NS", &[]);
    feed.set(32.0, "example.", &hosts[0], "A", &[]);
    let bench = bench(&feed.0);
    bench.run(0, &["poll"]);
    let cases = bench.cases();
    assert_eq!(cases.len(), 1, "{cases:?}");
    assert_eq!(cases[0]["verdict"], "ns-flux", "{cases:?}");
}

/// How the delegation of a domain ends, whose glue moves every hour for a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    TakenAway,
    PutOnHold,
    Stays,
}

/// Follows a parent zone and the domain's own zone, each if it is watched. Returns the case.
fn taken_down(end: End, with_parent: bool, with_child: bool) -> serde_json::Value {
    let mut feed = Feed::default();
    let hosts = ["ns1.bad.example.".to_owned(), "ns2.bad.example.".to_owned()];
    let zones = ["example.", "bad.example."];
    let watched = zones.into_iter().zip([with_parent, with_child]);
    let watched: Vec<&str> = watched.filter(|it| it.1).map(|it| it.0).collect();
    for zone in &watched {
        feed.set(0.0, zone, "bad.example.", "NS", &hosts);
    }
    for turn in 0..24 {
        let address = [format!("10.{}.0.1", 20 + turn)];
        for zone in &watched {
            let host = &hosts[turn % 2];
            feed.set(960.0 + turn as f64, zone, host, "A", &address);
        }
    }
    let hold = ["hold1.registrar.test.", "hold2.registrar.test."].map(str::to_owned);
    let left: &[String] = match end {
        End::TakenAway => &[],
        End::PutOnHold => &hold,
        End::Stays => &hosts,
    };
    if with_parent {
        feed.set(985.0, "example.", "bad.example.", "NS", left);
    }
    // A parent that is watched later and never knew the domain says nothing of it.
    feed.set(985.2, "example.", "other.example.", "NS", &hold);
    let bench = bench(&feed.0);
    let config = std::fs::read_to_string(bench.config()).expect("it is there");
    let hold =
        "[detect]\nhold_nameservers = [\"hold1.registrar.test.\", \"hold2.registrar.test.\"]\n";
    bench.write("fluxwatch.toml", format!("{config}{hold}"));
    bench.run(0, &["poll"]);
    let cases = bench.cases();
    assert_eq!(
        cases.len(),
        1,
        "{end:?} {with_parent} {with_child}: {cases:?}"
    );
    cases[0].clone()
}

#[test]
fn domain_that_its_parent_took_down_is_mitigated_though_its_own_zone_goes_on() {
    for with_child in [false, true] {
        for end in [End::TakenAway, End::PutOnHold] {
            let case = taken_down(end, true, with_child);
            assert_eq!(case["state"], "mitigated", "{end:?} {with_child}: {case}");
        }
        let case = taken_down(End::Stays, true, with_child);
        assert_eq!(case["state"], "open", "{with_child}: {case}");
    }
    let case = taken_down(End::Stays, false, true);
    assert_eq!(case["state"], "open", "no parent is watched: {case}");
}

/// Follows a zone in which a name takes three addresses of 22 networks every hour for 4 days, from day 40 on, and has one
/// name server for five minutes at some hours. Returns the cases.
fn hourly(zone: &str, name: &str, cuts: &[f64]) -> Vec<serde_json::Value> {
    let mut lines = Feed::default();
    let hosts = ["ns1.host.test.".to_owned(), "ns2.host.test.".to_owned()];
    lines.set(0.0, zone, zone, "NS", &hosts);
    let mail = format!("mail.{zone}");
    lines.set(0.0, zone, &mail, "A", &["192.0.2.1".to_owned()]);
    for hour in cuts {
        lines.set(*hour, zone, name, "NS", &hosts[..1]);
        lines.set(hour + 5.0 / 60.0, zone, name, "NS", &[]);
    }
    for turn in 0..96 {
        let network = |n: usize| 20 + (turn * 7 + n * 5) % 22;
        let set: Vec<String> = (0..3)
            .map(|n| format!("10.{}.{turn}.{n}", network(n)))
            .collect();
        lines.set(960.0 + turn as f64, zone, name, "A", &set);
    }
    let bench = bench(&sorted(&lines));
    bench.run(0, &["poll"]);
    bench.cases()
}

/// Returns the lines of a feed in the order of their times.
fn sorted(feed: &Feed) -> String {
    let mut lines: Vec<&str> = feed.0.lines().collect();
    lines.sort_by_key(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["at"].as_i64()
    });
    lines.join("\n") + "\n"
}

#[test]
fn name_server_for_five_minutes_hides_no_addresses() {
    let flat = |cases: &[serde_json::Value]| -> Vec<(String, String, String)> {
        let text = |it: &serde_json::Value| it.as_str().expect("text").to_owned();
        let line = |it: &serde_json::Value| {
            (
                text(&it["domain"]),
                text(&it["verdict"]),
                text(&it["peak_level"]),
            )
        };
        cases.iter().map(line).collect()
    };
    let single = |domain: &str| {
        vec![(
            domain.to_owned(),
            "single-flux".to_owned(),
            "report".to_owned(),
        )]
    };
    // A hosted zone, and a name that a zone of many names shows itself.
    for (zone, name, domain) in [
        ("bad.example.", "www.bad.example.", "bad.example."),
        ("example.", "bad.example.", "bad.example."),
    ] {
        assert_eq!(flat(&hourly(zone, name, &[])), single(domain), "{name}");
        // Long before, the day before, in between, and with each set of addresses.
        let with_each: Vec<f64> = (0..96).map(|turn| 960.0 + f64::from(turn)).collect();
        for cuts in [&[480.5][..], &[940.5], &[970.5, 1000.5], &with_each] {
            let cases = hourly(zone, name, cuts);
            assert_eq!(flat(&cases), single(domain), "{name} {cuts:?}");
        }
    }
}

/// A source that follows `f.ndjson`, which need not have begun with the whole zone, and an address table.
const PARTIAL: &str = "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\n[enrich]\nasn = \"asn.csv\"\nregistrations = \"registrations.csv\"\n";

#[test]
fn name_server_that_a_partial_feed_tells_first_erases_nothing_of_before() {
    let mut lines = Feed::default();
    let hosts = ["ns1.host.test.".to_owned(), "ns2.host.test.".to_owned()];
    let zone = "bad.example.";
    lines.set(0.0, zone, zone, "NS", &hosts);
    let team = "team.bad.example.";
    for turn in 0..96 {
        let network = |n: usize| 20 + (turn * 7 + n * 5) % 22;
        let set: Vec<String> = (0..3)
            .map(|n| format!("10.{}.{turn}.{n}", network(n)))
            .collect();
        lines.set(960.0 + turn as f64, zone, "a.team.bad.example.", "A", &set);
    }
    let bench = bench(&lines.0);
    bench.write("registrations.csv", "other.example,2020-01-01\n");
    bench.configure(PARTIAL);
    bench.run(0, &["poll"]);
    assert_eq!(accused(&bench), [zone]);
    lines.set(1056.0, zone, team, "NS", &hosts[..1]);
    lines.set(1056.1, zone, team, "NS", &[]);
    lines.set(
        1056.2,
        zone,
        "mail.bad.example.",
        "A",
        &["10.9.0.1".to_owned()],
    );
    bench.write("f.ndjson", &lines.0);
    bench.run(0, &["poll"]);
    let why = bench.run(0, &["explain", "bad.example"]);
    assert!(
        why.contains("a.team.bad.example in zone bad.example: level review"),
        "{why}"
    );
}

#[test]
fn domain_below_a_name_server_for_minutes_is_judged_later_as_at_once() {
    let mut lines = Feed::default();
    let hosts = ["ns1.host.test.".to_owned(), "ns2.host.test.".to_owned()];
    let (zone, name) = ("bad.example.", "www.bad.example.");
    lines.set(0.0, zone, zone, "NS", &hosts);
    let set = |turn: usize, from: usize| -> Vec<String> {
        let fresh = (from..6).map(|n| format!("10.{}.{turn}.{n}", 20 + turn * 6 + n));
        std::iter::once("10.77.1.1".to_owned())
            .chain(fresh)
            .collect()
    };
    lines.set(200.0, zone, name, "A", &set(0, 6));
    for (turn, at) in [203.0, 206.0, 209.0].into_iter().enumerate() {
        lines.set(at, zone, name, "A", &set(turn, 0));
    }
    lines.set(210.0, zone, name, "A", &set(2, 1));
    lines.set(211.0, zone, name, "A", &set(2, 2));
    lines.set(212.0, zone, name, "NS", &hosts[..1]);
    lines.set(212.0, zone, name, "A", &set(3, 0));
    lines.set(212.02, zone, name, "NS", &[]);
    let told: Vec<Vec<(String, String)>> = [false, true]
        .into_iter()
        .map(|is_late| {
            let bench = bench("");
            bench.configure(PARTIAL);
            // Nobody is judged while a table cannot be read.
            let table = if is_late {
                ""
            } else {
                "other.example,2020-01-01\n"
            };
            bench.write("registrations.csv", table);
            for count in 1..=lines.0.lines().count() {
                let known: Vec<&str> = lines.0.lines().take(count).collect();
                bench.write("f.ndjson", known.join("\n") + "\n");
                bench.run(if is_late { 3 } else { 0 }, &["poll"]);
            }
            bench.write("registrations.csv", "other.example,2020-01-01\n");
            bench.run(0, &["poll"]);
            let text = |it: &serde_json::Value| it.as_str().expect("text").to_owned();
            let cases = bench.cases().into_iter();
            let case = |it: serde_json::Value| (text(&it["domain"]), text(&it["peak_level"]));
            cases.map(case).collect()
        })
        .collect();
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], [(zone.to_owned(), "report".to_owned())]);
}

#[test]
fn glue_below_a_name_of_a_hosted_zone_is_none_of_its_addresses() {
    for end in [End::Stays, End::TakenAway] {
        let mut feed = Feed::default();
        let hosts = ["ns1.host.test.".to_owned(), "ns2.host.test.".to_owned()];
        feed.set(0.0, "shop.test.", "shop.test.", "NS", &hosts);
        let below = ["ns1.sub.shop.test.", "ns2.sub.shop.test."].map(str::to_owned);
        // The name servers may be told of shortly before the delegation.
        for (n, host) in below.iter().enumerate() {
            feed.set(0.1, "shop.test.", host, "A", &[format!("10.{n}.0.9")]);
        }
        feed.set(0.11, "shop.test.", "sub.shop.test.", "NS", &below);
        for turn in 0..30 {
            let address = [format!("10.{}.0.1", 20 + turn)];
            let at = 480.0 + turn as f64;
            feed.set(at, "shop.test.", &below[turn % 2], "A", &address);
        }
        if end == End::TakenAway {
            feed.set(511.0, "shop.test.", "sub.shop.test.", "NS", &[]);
            feed.set(512.0, "shop.test.", &below[0], "A", &[]);
        }
        feed.set(
            513.0,
            "shop.test.",
            "www.shop.test.",
            "A",
            &["10.9.0.1".to_owned()],
        );
        let bench = bench(&feed.0);
        bench.run(0, &["poll"]);
        let cases = bench.cases();
        let own = cases.iter().filter(|it| it["domain"] == "shop.test.");
        assert_eq!(own.count(), 0, "{end:?}: {cases:?}");
        let told = bench.run(0, &["explain", "shop.test"]);
        assert!(!told.contains("sub.shop.test"), "{end:?}: {told}");
    }
}

#[test]
fn zone_that_no_source_feeds_any_more_accuses_nobody() {
    let feed_section =
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n";
    let cust_section = "[[source]]\nname = \"cust\"\nkind = \"zonefile\"\nzone = \"cust.example.\"\npath = \"cust-*.zone\"\ntime_pattern = \"cust-%Y%m%d.zone\"\n";
    let both = format!("{feed_section}{cust_section}");
    let hosts = ["ns1.op.test.".to_owned(), "ns2.op.test.".to_owned()];
    let mut feed = Feed::default();
    let nic = ["a.nic.test.".to_owned()];
    feed.set(0.0, "op.test.", "op.test.", "NS", &nic);
    for (n, host) in hosts.iter().enumerate() {
        feed.set(0.0, "op.test.", host, "A", &[format!("10.{n}.0.1")]);
    }
    let before = feed.0.clone();
    for turn in 0..48 {
        let address = [format!("10.{}.0.1", 20 + turn)];
        let at = 1080.0 + turn as f64;
        feed.set(at, "op.test.", &hosts[turn % 2], "A", &address);
    }
    // It stays configured; it is taken out before the addresses move; it is taken out and put back.
    for (sections, is_suspected) in [
        (vec![&both[..], &both], true),
        (vec![&both, feed_section], false),
        (vec![&both, feed_section, &both], true),
    ] {
        let bench = Bench::new(sections[0]);
        let zone = "$TTL 60\n@ SOA ns1.op.test. host.op.test. 1 1 1 1 1\n@ NS ns1.op.test.\n@ NS ns2.op.test.\nwww A 10.9.0.1\n";
        bench.write("cust-20260922.zone", zone);
        bench.write("f.ndjson", &before);
        bench.run(0, &["poll"]);
        for section in &sections[1..] {
            bench.configure(section);
            // Passes without anything new change nothing.
            bench.run(0, &["poll"]);
        }
        bench.write("f.ndjson", &feed.0);
        bench.run(0, &["poll"]);
        let cases = bench.cases();
        let found = cases.iter().any(|it| it["domain"] == "cust.example.");
        assert_eq!(found, is_suspected, "{sections:?}: {cases:?}");
        let status = bench.status("cust.example.");
        let reason = status["refused_reason"].as_str();
        assert_eq!(reason, (!is_suspected).then_some("unwatched"), "{status}");
        bench.run(0, &["status", "--failed"]);
        assert_eq!(
            bench.json(&["history", "cust.example", "--format", "json"])["records"][0]["removed_at"],
            serde_json::Value::Null
        );
    }
}

#[test]
fn operator_whose_parent_is_not_watched_any_more_still_answers_for_its_customers() {
    let feed_section = |name: &str, rest: &str| {
        format!("[[source]]\nname = \"{name}\"\nkind = \"feed\"\ncomplete = true\n{rest}")
    };
    let rest = "path = \"f.ndjson\"\n[enrich]\nasn = \"asn.csv\"\n";
    let followed = feed_section("feed", rest);
    let above = "zone = \"example.\"\npath = \"example.ndjson\"\n";
    let with = |name: &str| format!("{}{followed}", feed_section(name, above));
    let mut parent = Feed::default();
    let nic = ["a.nic.test.".to_owned(), "b.nic.test.".to_owned()];
    parent.set(0.0, "example.", "op.example.", "NS", &nic);
    let hosts = ["ns1.op.example.".to_owned(), "ns2.op.example.".to_owned()];
    let mut feed = Feed::default();
    feed.set(0.0, "op.example.", "op.example.", "NS", &nic);
    for customer in 0..12 {
        feed.set(0.0, "test.", &format!("c{customer}.test."), "NS", &hosts);
    }
    let mut before = String::new();
    for turn in 0..31 {
        before.clone_from(&feed.0);
        for (n, host) in hosts.iter().enumerate() {
            let address = [format!("10.{}.{turn}.1", 20 + (turn * 2 + n) % 60)];
            feed.set(3.0 * turn as f64, "op.example.", host, "A", &address);
        }
    }
    // The source of the zone above goes on, is taken out, and gets another name.
    for (then, is_watched) in [
        (with("above"), true),
        (followed.clone(), false),
        (with("renamed"), true),
    ] {
        let bench = bench(&before);
        bench.configure(&with("above"));
        bench.write("example.ndjson", &parent.0);
        bench.run(0, &["poll"]);
        assert_eq!(accused(&bench), ["op.example."]);
        bench.configure(&then);
        bench.write("f.ndjson", &feed.0);
        bench.run(0, &["poll"]);
        assert_eq!(accused(&bench), ["op.example."], "{then}");
        let reason = bench.status("example.")["refused_reason"].clone();
        assert_eq!(reason.is_null(), is_watched, "{then}: {reason}");
    }
}

#[test]
fn zone_that_is_put_back_accuses_nobody_by_what_it_was_before() {
    let feed_section = "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n";
    let both = format!(
        "[[source]]\nname = \"cust\"\nkind = \"zonefile\"\nzone = \"cust.example.\"\npath = \"cust-*.zone\"\ntime_pattern = \"cust-%Y%m%d.zone\"\n{feed_section}"
    );
    let hosts = ["ns1.op.test.".to_owned(), "ns2.op.test.".to_owned()];
    let mut feed = Feed::default();
    feed.set(
        0.0,
        "op.test.",
        "op.test.",
        "NS",
        &["a.nic.test.".to_owned()],
    );
    let before = feed.0.clone();
    for turn in 0..240 {
        let address = [format!("10.{}.{}.1", 20 + turn % 60, turn / 60)];
        feed.set(
            864.0 + turn as f64,
            "op.test.",
            &hosts[turn % 2],
            "A",
            &address,
        );
    }
    let zone = |host: &str| {
        format!(
            "$TTL 60\n@ SOA ns1.op.test. host.op.test. 1 1 1 1 1\n@ NS ns1.{host}.\n@ NS ns2.{host}.\nwww A 10.9.0.1\n"
        )
    };
    let later = |hours: i64| Timestamp::from_unix(1_790_000_000) + Span::hours(hours);
    // Its file has other name servers then; there is none.
    for has_file in [true, false] {
        let bench = bench(&before);
        let clock = Arc::new(SetClock::new(later(20)));
        let pass = |section: &str, hours: i64| {
            clock.set(later(hours));
            bench.configure(section);
            let pipeline = bench.pipeline(clock.clone());
            pipeline.judge().note_watched().expect("noted");
            poll(&pipeline);
        };
        bench.write("cust-20260922.zone", zone("op.test"));
        pass(&both, 20);
        pass(feed_section, 24);
        bench.write("f.ndjson", &feed.0);
        pass(feed_section, 1105);
        std::fs::remove_file(bench.path().join("cust-20260922.zone")).expect("it was there");
        if has_file {
            bench.write("cust-20261106.zone", zone("other.test"));
        }
        let address = ["10.8.0.1".to_owned()];
        let mut more = Feed(feed.0.clone());
        more.set(1106.5, "op.test.", &hosts[0], "A", &address);
        bench.write("f.ndjson", &more.0);
        pass(&both, 1107);
        assert_eq!(accused(&bench), ["op.test."], "{has_file}");
        let status = bench.status("cust.example.");
        let reason = (!has_file).then_some("unreadable");
        assert_eq!(status["refused_reason"].as_str(), reason, "{status}");
    }
}

#[test]
fn address_that_moves_between_parent_and_child_in_one_second_never_leaves() {
    let hosts = ["ns1.bad.example.".to_owned(), "ns2.bad.example.".to_owned()];
    let zones = ["example.", "bad.example."];
    let addresses = ["10.20.0.1".to_owned(), "10.30.0.1".to_owned()];
    for order in [[0, 1], [1, 0]] {
        let mut feed = Feed::default();
        for zone in order.map(|n| zones[n]) {
            feed.set(0.0, zone, "bad.example.", "NS", &hosts);
        }
        feed.set(
            0.0,
            "bad.example.",
            "www.bad.example.",
            "A",
            &addresses[..1],
        );
        for turn in 0..30 {
            for n in order {
                for (host, address) in hosts.iter().zip(&addresses) {
                    // One more stays with the parent: without it the host would only be away for a moment.
                    let mut here = vec!["10.40.0.1".to_owned()];
                    here.retain(|_| n == 0);
                    if n == turn % 2 {
                        here.push(address.clone());
                    }
                    feed.set(1.0 + turn as f64, zones[n], host, "A", &here);
                }
            }
        }
        let bench = bench(&feed.0);
        bench.run(0, &["poll"]);
        let seen = bench.json(&["history", "bad.example", "--format", "json"]);
        assert!(seen.to_string().contains("10.30.0.1"), "{seen}");
        let cases = bench.cases();
        assert!(cases.is_empty(), "{order:?}: {cases:?}");
        let why = bench.json(&["explain", "bad.example", "--format", "json"]);
        assert_eq!(why["planes"][0]["changes_7d"], 0, "{order:?}: {why}");
    }
}

#[test]
fn versions_of_one_second_that_only_add_are_no_rotation_because_one_more_takes_back() {
    // A primary's steps that one transfer brings have one time.
    let told = |zone: &str, owner: &str, rrtype: &str, values: Vec<String>| {
        let mut feed = String::new();
        let mut tell = |at: i64, serial: usize, count: usize| {
            let set = &values[..count];
            let line = serde_json::json!({"at": at, "zone": zone, "rrname": owner, "rrtype": rrtype, "op": "set", "ttl": 300, "serial": serial, "rdata": set});
            writeln!(feed, "{line}").expect("text grows");
        };
        tell(1_790_000_000, 1, 1);
        let day = 1_790_000_000 + 40 * 86_400;
        let newest = values.len();
        for count in 2..=newest {
            tell(day, count, count);
        }
        tell(day, newest + 1, newest - 1);
        feed
    };
    let hosts: Vec<String> = (0..9).map(|n| format!("ns.host{n}.net.")).collect();
    let addresses: Vec<String> = (0..15).map(|n| format!("10.{}.0.1", 20 + n)).collect();
    for feed in [
        told("example.", "good.example.", "NS", hosts),
        told("good.example.", "www.good.example.", "A", addresses),
    ] {
        let bench = bench(&feed);
        bench.run(0, &["poll"]);
        assert!(bench.cases().is_empty(), "{:?}", bench.cases());
    }
}

#[test]
fn two_serials_of_one_second_are_read_again_without_a_change() {
    let line = |at: i64, serial: u32, host: &str| {
        format!(
            "{}\n",
            serde_json::json!({"at": at, "zone": "example.", "rrname": "d.example.", "rrtype": "NS", "op": "set", "ttl": 60, "rdata": [host], "serial": serial})
        )
    };
    let bench = bench(
        &[
            line(1_790_000_000, 1, "ns1.a.test."),
            line(1_790_001_000, 2, "ns1.b.test."),
            line(1_790_001_000, 3, "ns1.c.test."),
        ]
        .concat(),
    );
    bench.run(0, &["poll"]);
    let before = bench.json(&["history", "d.example", "--format", "json"]);
    assert_eq!(
        before["changes"].as_array().map(Vec::len),
        Some(2),
        "{before}"
    );
    for _ in 0..2 {
        bench.run(0, &["poll", "--full"]);
        assert_eq!(
            bench.json(&["history", "d.example", "--format", "json"]),
            before
        );
    }
}

#[test]
fn commands_that_look_do_not_wait_for_the_poller() {
    if has_no_file() {
        return;
    }
    let bench = bench(&{
        let mut feed = Feed::default();
        feed.set(
            0.0,
            "example.",
            "d.example.",
            "NS",
            &["ns1.a.test.".to_owned()],
        );
        feed.0
    });
    bench.run(0, &["poll"]);
    let database = bench.path().join("fluxwatch.db");
    let holder = "import sqlite3, sys, time\ndb = sqlite3.connect(sys.argv[1], isolation_level=None)\ndb.execute('begin immediate')\nprint('held', flush=True)\ntime.sleep(60)";
    let mut child = std::process::Command::new("python3")
        .args(["-c", holder])
        .arg(&database)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let mut word = [0; 4];
    std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut word).expect("it prints");
    for arguments in [
        ["status"].as_slice(),
        &["history", "d.example"],
        &["explain", "d.example"],
        &["cases"],
        &["outbox"],
    ] {
        bench.run(0, arguments);
    }
    child.kill().expect("ours to kill");
    child.wait().expect("it ends");
}

#[test]
fn one_provider_under_many_top_level_domains_is_one_operator() {
    let mut feed = Feed::default();
    for turn in 0..4 {
        let hosts: Vec<String> = ["com", "net", "org", "co.uk"]
            .iter()
            .enumerate()
            .map(|(i, tld)| format!("ns-{}.cloudname-{:02}.{tld}.", turn * 100 + i, turn * 4 + i))
            .collect();
        feed.set(
            f64::from(turn as u32) * 18.0,
            "example.",
            "shop.example.",
            "NS",
            &hosts,
        );
    }
    assert_eq!(accused_by(&feed), Vec::<String>::new());
}

#[test]
fn name_servers_under_many_unlike_domains_are_flux() {
    let mut feed = Feed::default();
    let words = [
        "apple", "brick", "crane", "dough", "elbow", "flint", "grape", "hinge", "ivory", "joker",
        "knoll", "lemon", "mango", "noble",
    ];
    for turn in 0..7 {
        let hosts = [
            format!("ns1.{}.test.", words[turn * 2]),
            format!("ns1.{}.test.", words[turn * 2 + 1]),
        ];
        feed.set(turn as f64 * 12.0, "example.", "bad.example.", "NS", &hosts);
    }
    assert_eq!(accused_by(&feed), ["bad.example."]);
}

/// Five providers that 22 quiet names use each; after 40 days some names take the name servers of two others of these
/// every 18 hours for a week.
fn parked(movers: usize) -> Feed {
    let mut feed = Feed::default();
    let providers = ["apple", "brick", "crane", "dough", "elbow"];
    let pair = |n: usize| [n, n + 1].map(|n| format!("ns1.{}.test.", providers[n % 5]));
    for n in 0..55 {
        let name = format!("quiet{n}.example.");
        feed.set(0.0, "example.", &name, "NS", &pair(n));
    }
    for turn in 0..9 {
        for mover in 0..movers {
            let at = 40.0 * 24.0 + turn as f64 * 18.0 + mover as f64 * 0.5;
            let name = format!("mover{mover}.example.");
            feed.set(at, "example.", &name, "NS", &pair(2 * turn + mover));
        }
    }
    feed
}

#[test]
fn excuse_of_a_small_provider_is_as_large_as_the_names_that_vouch_for_it() {
    // Each mover is excused by itself: at most 10 changes a week.
    assert_eq!(accused_by(&parked(5)), Vec::<String>::new());
    let bench = bench(&parked(15).0);
    bench.run(0, &["poll"]);
    let peaks = bench.cases();
    let peaks = peaks.iter().map(|case| &case["peak_level"]);
    let reviewed = peaks
        .inspect(|peak| assert_ne!(**peak, "report"))
        .filter(|peak| **peak == "review");
    assert_eq!(reviewed.count(), 15);
    let said = bench.run(
        0,
        &["explain", "mover14.example", "--at", "2026-11-06T21:14:00Z"],
    );
    assert!(
        said.contains("of this zone's users of apple.test in 7 days"),
        "{said}"
    );
    assert!(
        said.contains("22 stable names vouch for as many: more than that: reviewed"),
        "{said}"
    );
}

#[test]
fn staged_rollout_of_a_new_name_is_not_flux() {
    let mut feed = Feed::default();
    feed.set(
        0.0,
        "shop.test.",
        "shop.test.",
        "A",
        &["10.1.0.1".to_owned()],
    );
    // Two days later a new name goes live in stages, each replacing half of the last.
    for (step, range) in [(0, 0..3), (1, 1..6), (2, 4..9), (3, 6..11)] {
        let set: Vec<String> = range.map(|n| format!("10.{}.0.1", 20 + n)).collect();
        feed.set(
            48.0 + f64::from(step) * 0.5,
            "shop.test.",
            "new.shop.test.",
            "A",
            &set,
        );
    }
    assert_eq!(accused_by(&feed), Vec::<String>::new());
}

#[test]
fn secondary_that_lags_does_not_turn_history_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let zone = |serial: u32, host: &str| {
        format!(
            "$ORIGIN example.\n$TTL 60\n@ IN SOA ns1.infra.test. host.infra.test. {serial} 1 1 1 1\n@ IN NS ns1.infra.test.\nd IN NS {host}\n"
        )
    };
    let ahead = Knot::start(
        &folder.path().join("a"),
        &[("example.", &zone(10, "ns1.new.test."))],
    );
    let behind = Knot::start(
        &folder.path().join("b"),
        &[("example.", &zone(9, "ns1.old.test."))],
    );
    let bench = Bench::new("");
    bench.configure(&format!("{}[[source]]\nname = \"tld\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"{}\", \"{}\"]\nkey = \"transfer.test.\"\n", bench.key_section(), ahead.address(), behind.address()));
    bench.run(0, &["poll"]);
    ahead.stop();
    bench.run(3, &["poll"]);
    let status = bench.status("example.");
    assert_eq!(
        (status["serial"].as_u64(), &status["refused_reason"]),
        (Some(10), &"behind".into()),
        "{status}"
    );
    // Both are there, and both are older: the zone was turned back.
    ahead.restart();
    ahead.replace_zone("example.", &zone(8, "ns1.new.test."));
    assert!(bench.run(0, &["poll"]).contains("went backwards"));
}

#[test]
fn lines_that_are_read_once_more_make_no_version() {
    let line = |seconds: i64, serial: u32, owner: &str| {
        let at = 1_790_000_000 + seconds;
        let line = serde_json::json!({"at": at, "zone": "example.", "rrname": owner, "rrtype": "NS", "op": "set", "ttl": 300, "serial": serial, "rdata": ["ns1.host.test."]});
        format!("{line}\n")
    };
    let bench = bench("");
    let before = line(0, 1, "example.") + &line(100, 2, "a.example.");
    let more = line(130, 2, "b.example.") + &line(160, 3, "c.example.");
    let [before, more] = [("before.ndjson", before), ("more.ndjson", more)].map(|(name, text)| {
        let path = bench.write(name, text);
        path.to_str().expect("the path is UTF-8").to_owned()
    });
    bench.run(0, &["import", "feed", &before]);
    let first = bench.run(0, &["import", "feed", &more]);
    assert!(first.contains("version"), "{first}");
    let again = bench.run(0, &["import", "feed", &more]);
    assert!(!again.contains("version"), "{again}");
}

#[test]
fn feed_whose_serial_never_moves_keeps_every_change() {
    let mut text = String::new();
    for hour in 0..6 {
        let line = serde_json::json!({"at": 1_790_000_000 + hour * 3600, "zone": "example.", "rrname": "d.example.", "rrtype": "NS", "op": "set", "rdata": [format!("ns{hour}.infra.test.")], "serial": 1});
        writeln!(text, "{line}").expect("text grows");
    }
    let whole = bench(&text);
    whole.run(0, &["poll"]);
    let in_parts = bench("");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for end in 1..=lines.len() {
        in_parts.write("f.ndjson", lines[..end].concat());
        in_parts.run(0, &["poll"]);
    }
    for bench in [&whole, &in_parts] {
        let history = bench.json(&["history", "d.example", "--format", "json"]);
        assert_eq!(
            history["changes"].as_array().map(Vec::len),
            Some(5),
            "{history}"
        );
    }
}

#[test]
fn version_that_a_kill_left_unjudged_is_judged_by_the_next_poll() {
    let mut feed = Feed::default();
    let words = [
        "apple", "brick", "crane", "dough", "elbow", "flint", "grape",
    ];
    for (turn, word) in words.iter().enumerate() {
        feed.set(
            turn as f64 * 6.0,
            "example.",
            "bad.example.",
            "NS",
            &[format!("ns1.{word}.test."), format!("ns2.{word}.test.")],
        );
    }
    let bench = bench(&feed.0);
    bench.run(0, &["poll"]);
    let before = bench.cases();
    assert_eq!(before.len(), 1);
    // As after a kill between the last version and its judgement.
    sql(
        &bench,
        "delete from case_event; delete from case_trait; delete from abuse_case; update zone set detected_version_id = 0;",
    );
    bench.run(0, &["poll"]);
    assert_eq!(bench.cases(), before);
}

#[test]
fn feed_into_a_zone_of_files_does_not_confuse_the_next_file() {
    let zone = |serial: u32, host: &str| {
        let names: String = (0..6000)
            .map(|n| format!("d{n} NS ns1.infra.test.\n"))
            .collect();
        format!(
            "$TTL 60\n@ SOA ns1.infra.test. host.infra.test. {serial} 1 1 1 1\n{names}odd NS {host}\n"
        )
    };
    let bench = Bench::new(
        "[[source]]\nname = \"files\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z-*.zone\"\ntime_pattern = \"z-%Y%m%d.zone\"\n",
    );
    bench.write("z-20261101.zone", zone(1, "ns1.a.test."));
    bench.run(0, &["poll"]);
    // The digests of this version are cached beside the database now.
    bench.write("f.ndjson", r#"{"at":"2026-11-01T00:00:00Z","rrname":"odd.example.","rrtype":"NS","op":"set","ttl":60,"rdata":["ns1.b.test."],"serial":1}"#);
    bench.run(
        0,
        &[
            "import",
            "feed",
            "--zone",
            "example.",
            &bench.path().join("f.ndjson").to_string_lossy(),
        ],
    );
    bench.write("z-20261102.zone", zone(2, "ns1.a.test."));
    bench.run(0, &["poll"]);
    let history = bench.json(&["history", "odd.example", "--format", "json"]);
    let there = history["records"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|record| record["removed_at"].is_null());
    assert_eq!(
        there
            .map(|record| record["rdata"].clone())
            .collect::<Vec<_>>(),
        ["ns1.a.test."],
        "{history}"
    );
}

#[test]
fn times_out_of_range_and_in_the_future_are_set_aside() {
    let line = |at: &str| {
        format!(
            "{{\"at\":{at},\"zone\":\"example.\",\"rrname\":\"d.example.\",\"rrtype\":\"A\",\"op\":\"set\",\"rdata\":[\"192.0.2.1\"]}}\n"
        )
    };
    let bench = bench(
        &[
            line("1790000000000"),
            line("\"2999-01-01T00:00:00Z\""),
            line("1790000000"),
        ]
        .concat(),
    );
    assert!(bench.run(3, &["poll"]).contains("2 lines set aside"));
    let history = bench.json(&["history", "d.example", "--format", "json"]);
    assert_eq!(history["records"][0]["added_at"], "2026-09-21T14:13:20Z");
}

#[test]
fn new_registration_forgets_what_was_before() {
    let words = [
        "apple", "brick", "crane", "dough", "elbow", "flint", "grape",
    ];
    let feed = |object: &dyn Fn(usize) -> String| {
        let lines = words.iter().enumerate().map(|(turn, word)| {
            let line = serde_json::json!({"at": 1_790_000_000 + turn * 7200, "zone": "example.", "rrname": "d.example.", "rrtype": "NS", "op": "set", "rdata": [format!("ns1.{word}.test."), format!("ns2.{word}.test.")], "object": object(turn)});
            format!("{line}\n")
        });
        lines.collect::<String>()
    };
    let same = bench(&feed(&|_| "D-1".to_owned()));
    same.run(0, &["poll"]);
    assert_eq!(accused(&same), ["d.example."]);
    // The last line names a new owner and changes nothing else: what was before is not his.
    let text = feed(&|_| "D-1".to_owned());
    let last = text
        .lines()
        .last()
        .expect("lines")
        .replace("D-1", "D-2")
        .replace("1790043200", "1790050400");
    let sold = bench(&format!("{text}{last}\n"));
    sold.run(0, &["poll"]);
    assert!(
        sold.run(0, &["explain", "d.example"])
            .contains("nothing is suspected")
    );
    let registered_anew = bench(&feed(&|turn| format!("D-{}", turn / 2)));
    registered_anew.run(0, &["poll"]);
    assert_eq!(accused(&registered_anew), Vec::<String>::new());
    let again = registered_anew.json(&["history", "d.example", "--format", "json"]);
    registered_anew.run(0, &["poll", "--full"]);
    assert_eq!(
        registered_anew.json(&["history", "d.example", "--format", "json"]),
        again
    );
    assert_eq!(accused(&registered_anew), Vec::<String>::new());
}
