//! Who is accused where name servers move that many use: whoever is judged for them at that time, and nobody for what was
//! before his time.

use crate::benign::{Feed, accused, bench};
use crate::harness::Bench;

/// Returns some names or addresses as texts.
fn texts<const N: usize>(values: [&str; N]) -> Vec<String> {
    values.map(str::to_owned).to_vec()
}

/// Returns an address of a network of its own, another at each turn.
fn fresh(turn: usize, n: usize) -> [String; 1] {
    [format!(
        "10.{}.{}.{n}",
        20 + (turn * 7 + n * 31) % 200,
        turn % 250
    )]
}

/// Three customers of a zone that use these name servers from the beginning.
fn customers(feed: &mut Feed, zone: &str, hosts: &[String]) {
    for n in 0..3 {
        feed.set(0.0, zone, &format!("c{n}.{zone}"), "NS", hosts);
    }
}

/// Moves name servers every three hours in turn.
fn moving(feed: &mut Feed, zone: &str, hosts: &[String], from: usize, to: usize) {
    for at in (from..to).step_by(3) {
        for (n, host) in hosts.iter().enumerate() {
            feed.set(at as f64, zone, host, "A", &fresh(at / 3, n));
        }
    }
}

/// The name servers that a hoster below a zone has of its own.
fn own_hosts(zone: &str) -> Vec<String> {
    vec![format!("ns1.op.{zone}"), format!("ns2.op.{zone}")]
}

/// A hoster below a zone whose two name servers move every three hours, and three customers.
fn hoster(feed: &mut Feed, zone: &str, nameservers: &[String], from: usize, to: usize) {
    let hosts = own_hosts(zone);
    feed.set(0.0, zone, &format!("op.{zone}"), "NS", nameservers);
    customers(feed, zone, &hosts);
    moving(feed, zone, &hosts, from, to);
}

/// Returns the lines of a feed in order of time.
fn sorted(feed: &Feed) -> String {
    let mut lines: Vec<&str> = feed.0.lines().collect();
    // Each begins with its time.
    lines.sort_by_key(|line| &line[..16]);
    lines.join("\n") + "\n"
}

/// Returns the names of customers of zones.
fn customers_of(zones: &[&str]) -> Vec<String> {
    let names = zones
        .iter()
        .flat_map(|zone| (0..3).map(move |n| format!("c{n}.{zone}")));
    names.collect()
}

/// Returns what the cases say of a domain.
fn case_of(bench: &Bench, domain: &str) -> serde_json::Value {
    let cases = bench.cases();
    let found = cases.iter().find(|case| case["domain"] == domain);
    found
        .unwrap_or_else(|| panic!("no case of {domain}: {cases:?}"))
        .clone()
}

#[test]
fn operator_that_nobody_judges_excuses_none_of_its_users() {
    let mut feed = Feed::default();
    let others = texts(["a.host.test.", "b.host.test."]);
    let hold = texts(["a.hold.test.", "b.hold.test."]);
    // On hold by the registrar's name servers; they are what its customers see move.
    hoster(&mut feed, "held.", &hold, 200, 248);
    // Taken out of the registry's zone, while its own zone still shows it.
    hoster(&mut feed, "kept.", &own_hosts("kept."), 200, 248);
    let hosts = own_hosts("kept.");
    feed.set(0.0, "op.kept.", "op.kept.", "NS", &hosts);
    feed.set(120.0, "kept.", "op.kept.", "NS", &[]);
    // A suffix that the zone above delegates is nobody's hoster.
    feed.set(0.0, "uk.", "co.uk.", "NS", &others);
    hoster(&mut feed, "co.uk.", &own_hosts("co.uk."), 200, 248);
    feed.set(100.0, "co.uk.", "op.co.uk.", "NS", &[]);
    // Its hosts lie in its own zone, which is hosted here, and it uses others' name servers.
    let hosts = own_hosts("own.");
    for zone in ["own.", "op.own."] {
        feed.set(0.0, zone, "op.own.", "NS", &others);
    }
    customers(&mut feed, "own.", &hosts);
    moving(&mut feed, "op.own.", &hosts, 200, 248);
    // It uses others' name servers, and its hosts lie in the registry's zone.
    hoster(&mut feed, "plain.", &others, 200, 248);
    let mut expected = customers_of(&["held.", "kept.", "co.uk."]);
    expected.extend(texts(["op.own.", "op.plain."]));
    expected.sort();
    for index in ["", "reverse_index = false\n"] {
        let bench = bench(&sorted(&feed));
        let detect = "[detect]\nhold_nameservers = [\"a.hold.test.\", \"b.hold.test.\"]\n";
        bench.configure(&format!("{index}{SOURCE}{detect}"));
        bench.run(0, &["poll"]);
        let mut found = accused(&bench);
        found.sort();
        assert_eq!(found, expected, "{index}");
        for domain in ["c0.held.", "c0.co.uk.", "op.own."] {
            assert_eq!(case_of(&bench, domain)["level"], "report", "{domain}");
        }
    }
}

/// The sections of [`bench`].
const SOURCE: &str = "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n";

#[test]
fn whoever_registers_a_name_is_not_accused_of_what_moved_before() {
    let mut feed = Feed::default();
    let (parked, good) = (
        texts(["ns1.park.test.", "ns2.park.test."]),
        texts(["ns1.good.test.", "ns2.good.test."]),
    );
    // Name servers below a name that is delegated no more; then somebody registers it.
    hoster(&mut feed, "late.", &own_hosts("late."), 200, 296);
    feed.set(100.0, "late.", "op.late.", "NS", &[]);
    feed.set(297.0, "late.", "op.late.", "NS", &good);
    // A hoster that fluxes and is deleted; somebody else catches the name. Or it comes back as it was.
    for zone in ["drop.", "back."] {
        hoster(&mut feed, zone, &own_hosts(zone), 200, 260);
        feed.set(260.0, zone, &format!("op.{zone}"), "NS", &[]);
        moving(&mut feed, zone, &own_hosts(zone), 261, 280);
    }
    feed.set(300.0, "drop.", "op.drop.", "NS", &parked);
    feed.set(302.0, "drop.", "op.drop.", "NS", &good);
    feed.set(300.0, "back.", "op.back.", "NS", &own_hosts("back."));
    let bench = bench(&sorted(&feed));
    bench.run(0, &["poll"]);
    let found = accused(&bench);
    assert!(found.contains(&"c0.late.".to_owned()), "{found:?}");
    assert!(!found.contains(&"op.late.".to_owned()), "{found:?}");
    assert_eq!(case_of(&bench, "c0.late.")["level"], "report");
    // What was found of the hoster was rightly reported; of him who came after it nothing is found.
    let caught = case_of(&bench, "op.drop.");
    assert_eq!(
        (&caught["peak_level"], &caught["state"]),
        (&"report".into(), &"mitigated".into())
    );
    // That it is back is no change; it is told once it moves again.
    let back = case_of(&bench, "op.back.");
    assert_eq!(back["state"], "mitigated", "{back}");
    let why = bench.run(0, &["explain", "c0.late"]);
    assert!(!why.contains("is judged for them"), "{why}");
}

#[test]
fn hosts_of_different_customers_are_no_flux_together() {
    let mut feed = Feed::default();
    let zone = "lines.";
    let own = texts(["ns1.svc.lines.", "ns2.svc.lines."]);
    feed.set(0.0, zone, "svc.lines.", "NS", &own);
    for (n, host) in own.iter().enumerate() {
        feed.set(0.0, zone, host, "A", &[format!("10.9.0.{n}")]);
    }
    // Each on a line of its own provider, with a new address of it every day.
    for n in 0..6 {
        let host = format!("home{n}.svc.lines.");
        let used = [host.clone(), "ns.second.test.".to_owned()];
        feed.set(0.0, zone, &format!("c{n}.lines."), "NS", &used);
        for day in 0..12 {
            let at = f64::from(24 * day + n);
            let address = [format!("10.{}.{day}.7", 20 + n)];
            feed.set(at, zone, &host, "A", &address);
        }
    }
    // One of two services whose customer has two hosts in other networks every time.
    let others = texts(["a.host.test.", "b.host.test."]);
    hoster(&mut feed, "flux.", &others, 200, 248);
    let bench = bench(&sorted(&feed));
    bench.run(0, &["poll"]);
    let service = case_of(&bench, "svc.lines.");
    assert_eq!(service["peak_level"], "review", "{service}");
    let why = bench.run(0, &["explain", "svc.lines"]);
    assert!(why.contains("what moves is of different users"), "{why}");
    assert_eq!(case_of(&bench, "op.flux.")["level"], "report");
}

#[test]
fn name_that_another_names_as_its_name_server_is_hidden_by_it_nowhere() {
    let mut feed = Feed::default();
    let zone = "duckdns.org.";
    feed.set(0.0, zone, zone, "NS", &texts(["ns1.duck.test."]));
    feed.set(0.0, "org.", zone, "NS", &texts(["ns1.duck.test."]));
    let bad = "bad.duckdns.org.".to_owned();
    feed.set(2.0, zone, &bad, "NS", &texts(["ns.x.test."]));
    feed.set(2.001, zone, &bad, "NS", &[]);
    feed.set(
        3.0,
        zone,
        "x.duckdns.org.",
        "NS",
        std::slice::from_ref(&bad),
    );
    for turn in 24..96 {
        let set: Vec<String> = (0..3).flat_map(|n| fresh(turn, n)).collect();
        feed.set(turn as f64, zone, &bad, "A", &set);
    }
    let bench = bench(&sorted(&feed));
    bench.run(0, &["poll"]);
    assert_eq!(case_of(&bench, &bad)["level"], "report");
    let replayed = bench.run(0, &["backtest", "--since", "2026-09-21T00:00:00Z"]);
    assert!(replayed.contains("bad.duckdns.org"), "{replayed}");
}

/// A hoster below `example.` that uses others' name servers, and whose own two its three customers use; they move.
fn plain_hoster() -> Feed {
    let mut feed = Feed::default();
    let others = texts(["a.host.test.", "b.host.test."]);
    hoster(&mut feed, "example.", &others, 200, 248);
    feed
}

#[test]
fn zone_below_a_hoster_takes_its_answer_away_for_nobody() {
    let others = texts(["a.host.test.", "b.host.test."]);
    // Strangers' zones at its hosts, of which one moves addresses too; and its own zone that it does not use.
    for zones in [
        own_hosts("example."),
        texts(["ns1.op.example.", "op.example."]),
    ] {
        let mut feed = plain_hoster();
        for (n, zone) in zones.iter().enumerate() {
            feed.set(100.0, zone, zone, "NS", &others);
            for at in (200..248).step_by(3).filter(|_| n == 0) {
                feed.set(at as f64, zone, zone, "A", &fresh(at, 9));
            }
        }
        let bench = bench(&sorted(&feed));
        bench.run(0, &["poll"]);
        let found = accused(&bench);
        let is_customer = |it: &String| it.starts_with('c');
        assert!(!found.iter().any(is_customer), "{zones:?}: {found:?}");
        assert_eq!(
            case_of(&bench, "op.example.")["level"],
            "report",
            "{zones:?}"
        );
    }
}

#[test]
fn zone_above_that_is_added_later_leaves_what_was_before_to_who_answered_then() {
    let (mut feed, mut above) = (Feed::default(), Feed::default());
    let hosts = own_hosts("test.");
    feed.set(0.0, "op.test.", "op.test.", "NS", &hosts);
    customers(&mut feed, "example.", &hosts);
    moving(&mut feed, "op.test.", &hosts, 200, 320);
    above.set(330.0, "test.", "op.test.", "NS", &hosts);
    let before = feed.0.clone();
    let with_second = [hosts, texts(["ns3.second.invalid."])].concat();
    feed.set(332.0, "example.", "c0.example.", "NS", &with_second);
    let bench = bench(&before);
    bench.run(0, &["poll"]);
    bench.write("above.ndjson", &above.0);
    let added =
        "[[source]]\nname = \"above\"\nkind = \"feed\"\npath = \"above.ndjson\"\ncomplete = true\n";
    bench.configure(&format!("{added}{SOURCE}"));
    bench.run(0, &["poll"]);
    bench.write("f.ndjson", &feed.0);
    bench.run(0, &["poll"]);
    assert_eq!(accused(&bench), ["op.test."]);
    let why = bench.run(0, &["explain", "c0.example"]);
    assert!(why.contains("name servers of op.test"), "{why}");
}

#[test]
fn whoever_names_a_host_of_somebody_as_his_name_server_raises_nothing() {
    let others = texts(["a.host.test.", "b.host.test."]);
    let mut feed = Feed::default();
    for zone in ["example.", "shop.example."] {
        feed.set(0.0, zone, "shop.example.", "NS", &others);
    }
    feed.set(0.0, "example.", "quiet.example.", "NS", &others);
    // Balanced over four clouds: what the plane of addresses reviews.
    for turn in 1..40 {
        let address = [format!("10.{}.0.{turn}", 30 + turn % 4)];
        let (at, www) = (200.0 + 4.0 * f64::from(turn), "www.shop.example.");
        feed.set(at, "shop.example.", www, "A", &address);
    }
    // Glue that nobody uses, and that stands still once somebody does.
    let glue = "ns1.quiet.example.".to_owned();
    for at in (230..290).step_by(3) {
        feed.set(at as f64, "example.", &glue, "A", &fresh(at / 3, 1));
    }
    let bad = [
        "www.shop.example.".to_owned(),
        glue.clone(),
        others[0].clone(),
    ];
    feed.set(300.0, "invalid.", "evil.invalid.", "NS", &bad);
    feed.set(301.0, "example.", &glue, "A", &fresh(901, 1));
    let bench = bench(&sorted(&feed));
    bench.run(0, &["poll"]);
    assert_eq!(accused(&bench), ["shop.example."]);
    let shop = case_of(&bench, "shop.example.");
    assert_eq!(
        (&shop["peak_level"], &shop["verdict"]),
        (&"review".into(), &"single-flux".into())
    );
}

#[test]
fn deleted_domain_is_judged_for_nothing_that_comes_later() {
    let others = texts(["a.host.test.", "b.host.test."]);
    let hosts = texts(["n3.op.example.", "n4.op.example."]);
    // Its hosts were used when it went, or came later.
    for used in [&hosts[..], &others[..]] {
        let mut feed = Feed::default();
        feed.set(0.0, "example.", "op.example.", "NS", &others);
        feed.set(0.0, "example.", "old.example.", "NS", used);
        feed.set(248.0, "example.", "op.example.", "NS", &[]);
        feed.set(321.0, "example.", "bad.example.", "NS", &hosts);
        moving(&mut feed, "example.", &hosts, 321, 420);
        let bench = bench(&sorted(&feed));
        bench.run(0, &["poll"]);
        let found = accused(&bench);
        assert!(found.contains(&"bad.example.".to_owned()), "{found:?}");
        assert!(!found.contains(&"op.example.".to_owned()), "{found:?}");
        let why = bench.run(0, &["explain", "op.example"]);
        assert!(why.contains("nothing is suspected"), "{why}");
    }
}

#[test]
fn hosted_zone_of_a_stranger_has_nobody_reported_by_what_it_says_of_name_servers() {
    let others = texts(["a.host.test.", "b.host.test."]);
    let hosts = own_hosts("invalid.");
    let mut feed = Feed::default();
    customers(&mut feed, "example.", &hosts);
    feed.set(0.0, "op.invalid.", "op.invalid.", "NS", &others);
    moving(&mut feed, "op.invalid.", &hosts, 200, 248);
    let bench = bench(&sorted(&feed));
    bench.run(0, &["poll"]);
    for n in 0..3 {
        let case = case_of(&bench, &format!("c{n}.example."));
        assert_eq!(case["peak_level"], "review", "{case}");
    }
    let why = bench.run(0, &["explain", "c0.example"]);
    assert!(
        why.contains("only the hosted zone op.invalid tells"),
        "{why}"
    );
}

#[test]
fn delegation_of_a_second_answers_for_no_day_and_hides_no_flux() {
    let park = texts(["a.host.test.", "b.host.test."]);
    let hosts = own_hosts("example.");
    let (second, mut feed) = (1.0 / 3600.0, Feed::default());
    feed.set(0.0, "example.", "op.example.", "NS", &park);
    feed.set(0.0, "example.", "bad.example.", "NS", &hosts);
    feed.set(99.0, "example.", "op.example.", "NS", &[]);
    for day in 0..6 {
        let began = 125.0 + 25.0 * f64::from(day);
        feed.set(began, "example.", "op.example.", "NS", &park);
        feed.set(began + second, "example.", "op.example.", "NS", &[]);
        for hour in 1..24 {
            for (n, host) in hosts.iter().enumerate() {
                let address = fresh((day * 24 + hour) as usize, n);
                feed.set(began + f64::from(hour), "example.", host, "A", &address);
            }
        }
    }
    // Somebody else used its flux as a name server, for two hours of days before.
    let zone = "duckdns.org.";
    feed.set(0.0, zone, zone, "NS", &texts(["ns1.duck.test."]));
    let www = texts(["www.bad.duckdns.org."]);
    feed.set(1.0, zone, "x.duckdns.org.", "NS", &www);
    let bad = "bad.duckdns.org.";
    feed.set(2.0, zone, bad, "NS", &park);
    feed.set(2.0 + second, zone, bad, "NS", &[]);
    feed.set(3.0, zone, "x.duckdns.org.", "NS", &park);
    for turn in 24..120 {
        let set: Vec<String> = (0..3).flat_map(|n| fresh(turn, n)).collect();
        feed.set(turn as f64, zone, &www[0], "A", &set);
    }
    let bench = bench(&sorted(&feed));
    bench.run(0, &["poll"]);
    assert_eq!(case_of(&bench, "bad.example.")["peak_level"], "report");
    assert_eq!(case_of(&bench, bad)["peak_level"], "report");
}

#[test]
fn what_a_reported_domain_left_behind_is_reviewed_once_and_not_at_each_second_for_which_it_is_back()
{
    let (own, later) = (
        own_hosts("example."),
        texts(["n3.op.example.", "n4.op.example."]),
    );
    let mut feed = Feed::default();
    feed.set(0.0, "example.", "op.example.", "NS", &own);
    moving(&mut feed, "example.", &own, 200, 248);
    feed.set(248.0, "example.", "op.example.", "NS", &[]);
    let park = texts(["a.host.test."]);
    feed.set(1000.0, "example.", "op.example.", "NS", &park);
    feed.set(1000.001, "example.", "op.example.", "NS", &[]);
    feed.set(1001.0, "example.", "bad.example.", "NS", &later);
    moving(&mut feed, "example.", &later, 1001, 1080);
    let bench = bench(&sorted(&feed));
    bench.run(0, &["poll"]);
    assert_eq!(case_of(&bench, "op.example.")["peak_level"], "report");
    assert_eq!(case_of(&bench, "bad.example.")["peak_level"], "report");
}

#[test]
fn hosts_that_nobody_uses_push_no_used_one_out() {
    let mut feed = plain_hoster();
    for n in 0..260 {
        let host = format!("j{n}.op.example.");
        for turn in 0..20 {
            let address = [format!("10.9.{turn}.{}", n % 250)];
            feed.set(
                190.0 + 2.0 * f64::from(turn),
                "example.",
                &host,
                "A",
                &address,
            );
        }
    }
    let bench = bench(&sorted(&feed));
    bench.run(0, &["poll"]);
    assert_eq!(accused(&bench), ["op.example."]);
}

#[test]
fn decoys_that_move_within_one_network_hide_no_flux_of_the_same_operator() {
    let (mut feed, zone) = (plain_hoster(), "his.test.");
    feed.set(0.0, zone, zone, "NS", &texts(["a.host.test."]));
    let hosts: Vec<String> = (0..7).map(|n| format!("d{n}.op.example.")).collect();
    // Each of 127 names uses other ones of them.
    for chosen in 1..128 {
        let used = hosts.iter().enumerate();
        let used = used.filter(|(n, _)| chosen >> n & 1 == 1);
        let used: Vec<String> = used.map(|(_, host)| host.clone()).collect();
        feed.set(0.0, zone, &format!("x{chosen}.his.test."), "NS", &used);
    }
    for turn in 0..60 {
        for (n, host) in hosts.iter().enumerate() {
            let address = [format!("10.9.{turn}.{n}")];
            feed.set(190.0 + f64::from(turn), "example.", host, "A", &address);
        }
    }
    let bench = bench(&sorted(&feed));
    bench.run(0, &["poll"]);
    assert_eq!(case_of(&bench, "op.example.")["level"], "report");
}

#[test]
fn two_hosts_that_many_use_together_are_one_set_however_many_these_are() {
    let (mut feed, zone) = (Feed::default(), "example.");
    feed.set(0.0, zone, "op.example.", "NS", &texts(["a.host.test."]));
    let own = own_hosts(zone);
    for n in 0..2_100 {
        feed.set(0.0, zone, &format!("c{n}.example."), "NS", &own);
    }
    // Each moves between two networks; both together are in four.
    for turn in 0..24 {
        for (n, host) in own.iter().enumerate() {
            let address = [format!("10.{}.{turn}.{n}", 40 + 2 * n + turn % 2)];
            feed.set(200.0 + 3.0 * turn as f64, zone, host, "A", &address);
        }
    }
    let bench = bench(&sorted(&feed));
    bench.run(0, &["poll"]);
    assert_eq!(case_of(&bench, "op.example.")["level"], "report");
}
