//! What can be seen of a zone, and whose a change is: what nobody could see is held against nobody, and what was seen is
//! judged however late it is read.

use std::fs;
use std::sync::Arc;

use fluxwatch::pipeline::{PollOptions, ZoneReport};
use fluxwatch::time::{SetClock, Span, Timestamp};

use crate::benign::{Feed, accused, bench};
use crate::harness::{Bench, REPORT, Running, poll};
use crate::support::wait::until;

/// The sections of a feed and of the table of networks.
const FEED: &str = "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n";

/// Returns some names or addresses as texts.
fn texts<const N: usize>(values: [&str; N]) -> Vec<String> {
    values.map(str::to_owned).to_vec()
}

/// Returns an address of a network of its own, another at each turn.
fn fresh(turn: usize, n: usize) -> String {
    format!("10.{}.{}.{n}", 20 + (turn * 7 + n * 31) % 200, turn % 250)
}

/// A hoster below `example.` with twelve customers, whose two name servers move every three hours for four days; then its
/// delegation goes.
fn hoster_on_hold() -> Feed {
    let mut feed = Feed::default();
    let hosts = texts(["ns1.op.example.", "ns2.op.example."]);
    feed.set(0.0, "example.", "op.example.", "NS", &hosts);
    for customer in 0..12 {
        let name = format!("c{customer}.example.");
        feed.set(0.0, "example.", &name, "NS", &hosts);
    }
    move_glue(&mut feed, 200, 296);
    feed.set(299.0, "example.", "op.example.", "NS", &[]);
    feed
}

/// Moves both name servers of the hoster every three hours.
fn move_glue(feed: &mut Feed, from: usize, to: usize) {
    for at in (from..to).step_by(3) {
        for n in [1, 2] {
            let host = format!("ns{n}.op.example.");
            feed.set(at as f64, "example.", &host, "A", &[fresh(at / 3, n)]);
        }
    }
}

#[test]
fn what_a_hoster_did_before_its_domain_was_put_on_hold_is_not_its_customers_doing() {
    // One more move of the glue that is left; three customers that leave.
    let mut moved = hoster_on_hold();
    move_glue(&mut moved, 300, 302);
    let mut left = hoster_on_hold();
    let others = texts(["ns1.new.test.", "ns2.new.test."]);
    for customer in 0..3 {
        let at = 305.0 + f64::from(customer);
        left.set(
            at,
            "example.",
            &format!("c{customer}.example."),
            "NS",
            &others,
        );
    }
    for feed in [moved, left] {
        let bench = bench(&feed.0);
        bench.run(0, &["poll"]);
        assert_eq!(accused(&bench), ["op.example."]);
        let why = bench.run(0, &["explain", "c0.example"]);
        assert!(!why.contains("level report"), "{why}");
    }
    // What its name servers go on doing is nobody else's; it is reviewed for as long as the hoster's report is news.
    let mut goes_on = hoster_on_hold();
    move_glue(&mut goes_on, 300, 300 + 4 * 24);
    let bench = bench(&goes_on.0);
    bench.run(0, &["poll"]);
    let cases = bench.cases();
    let case = cases.iter().find(|case| case["domain"] == "c0.example.");
    let case = case.expect("it is reviewed");
    assert_eq!(case["peak_level"], "review", "{case}");
    let why = bench.run(0, &["explain", "c0.example"]);
    assert!(
        why.contains("of op.example, reported before it went"),
        "{why}"
    );
    assert!(
        why.contains("not counted until 2026-10-05T01:13:20Z"),
        "{why}"
    );
    assert!(!why.contains("not counted: addresses"), "{why}");
    let replayed = bench.run(0, &["backtest", "--since", "2026-09-21T00:00:00Z"]);
    assert!(replayed.contains("1 domain reported"), "{replayed}");
}

#[test]
fn name_servers_that_a_hosted_zone_gave_up_are_not_its_customers_doing() {
    let mut feed = Feed::default();
    let (old, new) = (
        texts(["ns1.op.example.", "ns2.op.example."]),
        texts(["a.op.example.", "b.op.example."]),
    );
    feed.set(0.0, "op.example.", "op.example.", "NS", &old);
    for customer in 0..12 {
        let name = format!("c{customer}.test.");
        feed.set(0.0, "test.", &name, "NS", &old);
    }
    for at in (200..296).step_by(3) {
        for (n, host) in old.iter().enumerate() {
            feed.set(at as f64, "op.example.", host, "A", &[fresh(at / 3, n)]);
        }
    }
    for (n, host) in new.iter().enumerate() {
        let address = [format!("10.9.0.{n}")];
        feed.set(297.0, "op.example.", host, "A", &address);
    }
    feed.set(297.0, "op.example.", "op.example.", "NS", &new);
    feed.set(300.0, "op.example.", &old[0], "A", &[fresh(100, 0)]);
    let bench = bench(&feed.0);
    bench.run(0, &["poll"]);
    assert_eq!(accused(&bench), ["op.example."]);
}

/// Returns the beginning of what the made feeds tell, and so many hours later.
fn later(hours: i64) -> Timestamp {
    Timestamp::from_unix(1_790_000_000) + Span::hours(hours)
}

#[test]
fn daily_files_that_are_read_after_an_outage_are_judged_as_if_they_had_been_read_each_day() {
    let zone = |day: usize| {
        // Two days without a change: what was there before watching began.
        let set = if day > 2 { day } else { 0 };
        let mut text = "$TTL 60\n@ SOA ns.x.test. host.x.test. 1 1 1 1 1\n@ NS ns.x.test.\nflux NS ns.x.test.\n".replacen(" 1 1", &format!(" {} 1", day + 1), 1);
        for n in 0..2 {
            let host = format!("ns{}.flux", 2 * set + n);
            text += &format!("bad NS {host}\n{host} A {}\n", fresh(set, n));
        }
        text
    };
    let name = |day: usize| format!("z-{}.zone", (later(24 * day as i64)).to_date());
    let files = "[[source]]\nname = \"zf\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z-*.zone\"\ntime_pattern = \"z-%Y-%m-%d.zone\"\n[enrich]\nasn = \"asn.csv\"\n";
    let told: Vec<_> = [false, true]
        .into_iter()
        .map(|has_outage| {
            let bench = bench("");
            bench.configure(files);
            let clock = Arc::new(SetClock::new(later(0)));
            for day in 0..15 {
                clock.set(later(24 * day as i64 + 12));
                let is_away = has_outage && (3..14).contains(&day);
                for written in 0..=day {
                    let path = bench.path().join(name(written));
                    if is_away {
                        let _ = fs::remove_file(path);
                    } else if !path.exists() {
                        bench.write(&name(written), zone(written));
                    }
                }
                poll(&bench.pipeline(clock.clone()));
            }
            let why = bench.json(&["explain", "bad.example", "--format", "json"]);
            (accused(&bench), why["planes"][0]["score"].clone())
        })
        .collect();
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].0, ["bad.example."]);
}

/// A zone file whose domain uses the name servers of an operator that nobody delegates.
fn customer(host: &str) -> String {
    format!(
        "$TTL 60\n@ SOA ns1.op.test. host.op.test. 1 1 1 1 1\n@ NS ns1.{host}.\n@ NS ns2.{host}.\nwww A 10.9.0.1\n"
    )
}

/// The name servers of that operator move every hour.
fn moving(from: usize, to: usize) -> Feed {
    let mut feed = Feed::default();
    let nic = texts(["a.nic.test."]);
    feed.set(0.0, "op.test.", "op.test.", "NS", &nic);
    for at in from..to {
        let host = format!("ns{}.op.test.", 1 + at % 2);
        feed.set(at as f64, "op.test.", &host, "A", &[fresh(at, 0)]);
    }
    feed
}

#[test]
fn what_moves_while_a_zone_cannot_be_read_accuses_nobody_of_it_until_it_is_read_again() {
    let sections = format!(
        "[[source]]\nname = \"cust\"\nkind = \"zonefile\"\nzone = \"cust.example.\"\npath = \"cust.zone\"\n{FEED}"
    );
    // The file comes back: the domain left in the meantime, or stayed.
    for (host, is_accused) in [("other.test", false), ("op.test", true)] {
        let bench = bench(&moving(0, 1).0);
        bench.configure(&sections);
        let clock = Arc::new(SetClock::new(later(990)));
        bench.write("cust.zone", customer("op.test"));
        let write_at = |hours: i64| {
            let time = std::time::SystemTime::UNIX_EPOCH
                + std::time::Duration::from_secs(later(hours).unix() as u64);
            let path = bench.path().join("cust.zone");
            let file = fs::File::options().write(true).open(path);
            let file = file.expect("it is there");
            file.set_modified(time).expect("set");
        };
        write_at(989);
        poll(&bench.pipeline(clock.clone()));
        fs::remove_file(bench.path().join("cust.zone")).expect("it was there");
        clock.set(later(991));
        poll(&bench.pipeline(clock.clone()));
        for until in [1020, 1060] {
            bench.write("f.ndjson", moving(1000, until).0);
            clock.set(later(until as i64));
            poll(&bench.pipeline(clock.clone()));
        }
        assert_eq!(accused(&bench), ["op.test."], "{host}: it cannot be seen");
        bench.write("cust.zone", customer(host));
        write_at(1061);
        clock.set(later(1062));
        poll(&bench.pipeline(clock.clone()));
        bench.write("f.ndjson", moving(1000, 1064).0);
        clock.set(later(1064));
        poll(&bench.pipeline(clock.clone()));
        let accused = accused(&bench);
        let found = accused.contains(&"cust.example.".to_owned());
        assert_eq!(found, is_accused, "{host}: {accused:?}");
    }
}

#[test]
fn an_old_line_that_is_imported_shows_nothing_of_a_zone_whose_source_is_awaited() {
    let sections = format!(
        "[[source]]\nname = \"cust\"\nkind = \"zonefile\"\nzone = \"cust.example.\"\npath = \"cust-*.zone\"\ntime_pattern = \"cust-%Y%m%d.zone\"\n{FEED}"
    );
    let bench = bench(&moving(0, 1).0);
    bench.configure(&sections);
    bench.write("cust-20260922.zone", customer("op.test"));
    bench.run(0, &["poll"]);
    bench.configure(FEED);
    bench.run(0, &["poll"]);
    fs::remove_file(bench.path().join("cust-20260922.zone")).expect("it was there");
    bench.configure(&sections);
    bench.run(3, &["poll"]);
    let mut old = Feed::default();
    let hosts = texts(["ns1.op.test.", "ns2.op.test."]);
    old.set(30.0, "cust.example.", "cust.example.", "NS", &hosts);
    bench.write("old.ndjson", &old.0);
    let path = |name: &str| bench.path().join(name).display().to_string();
    bench.run(0, &["import", "feed", &path("old.ndjson")]);
    let zone = customer("op.test");
    bench.write("old-20260923.zone", zone);
    bench.run(
        0,
        &[
            "import",
            "zonefile",
            &path("old-20260923.zone"),
            "--zone",
            "cust.example.",
            "--time-pattern",
            "old-%Y%m%d.zone",
        ],
    );
    bench.write("f.ndjson", moving(1000, 1048).0);
    bench.run(3, &["poll"]);
    assert_eq!(accused(&bench), ["op.test."]);
    let status = bench.status("cust.example.");
    assert_eq!(status["refused_reason"], "unreadable", "{status}");
}

#[test]
fn name_server_for_a_second_hides_no_addresses_of_its_own() {
    for names_itself in [false, true] {
        let mut feed = Feed::default();
        let zone = "bad.example.";
        let hosts = texts(["ns1.host.test.", "ns2.host.test."]);
        let with = texts(["ns1.host.test.", "ns2.host.test.", "www.bad.example."]);
        feed.set(0.0, zone, zone, "NS", &hosts);
        feed.set(150.0, zone, "www.bad.example.", "A", &[fresh(0, 3)]);
        for turn in 0..96 {
            let at = 200.0 + turn as f64;
            if names_itself && turn % 48 == 0 {
                feed.set(at - 0.5, zone, zone, "NS", &with);
                feed.set(at - 0.4997, zone, zone, "NS", &hosts);
            }
            let set: Vec<String> = (0..3).map(|n| fresh(turn, n)).collect();
            feed.set(at, zone, "www.bad.example.", "A", &set);
        }
        let bench = bench(&feed.0);
        bench.run(0, &["poll"]);
        assert_eq!(accused(&bench), [zone], "{names_itself}");
        let cases = bench.cases();
        assert_eq!(cases[0]["peak_level"], "report", "{cases:?}");
    }
}

#[test]
fn one_name_server_for_a_second_with_each_rotation_makes_no_glue() {
    let zone = "bad.example.";
    let hosts = texts(["ns1.host.test.", "ns2.host.test."]);
    // A name server shortly before each rotation, and one shortly after it.
    for (every, second) in [(600, Some(599)), (60, Some(0)), (600, None)] {
        let mut feed = Feed::default();
        feed.set(0.0, zone, zone, "NS", &hosts);
        let hours = |seconds: i32| 200.0 + f64::from(seconds) / 3600.0;
        for turn in 0..144 {
            let (began, www) = (turn * every, "www.bad.example.");
            let set: Vec<String> = (0..3).map(|n| fresh(turn as usize, n)).collect();
            feed.set(hours(began), zone, www, "A", &set);
            if let Some(second) = second {
                feed.set(hours(began + second), zone, www, "NS", &hosts[..1]);
                feed.set(hours(began + second + 1), zone, www, "NS", &[]);
            }
        }
        let bench = bench(&feed.0);
        bench.run(0, &["poll"]);
        assert_eq!(accused(&bench), [zone], "{every}, {second:?}");
    }
}

#[test]
fn hosts_that_stood_below_a_delegation_for_long_are_no_new_addresses_when_it_goes() {
    let (zone, lab) = ("uni.example.", "lab.uni.example.");
    let mut feed = Feed::default();
    feed.set(0.0, zone, zone, "NS", &texts(["ns1.host.test."]));
    feed.set(1.0, zone, lab, "NS", &texts(["ns1.lab.test."]));
    let host = |n: usize| format!("h{n}.lab.uni.example.");
    let address = |n: usize, net: usize| [format!("10.{}.{net}.{}", 20 + n % 6, n + 1)];
    for n in 0..24 {
        feed.set(10.0 + n as f64, zone, &host(n), "A", &address(n, 1));
    }
    feed.set(1000.0, zone, lab, "NS", &[]);
    for n in 0..24 {
        let moved = address(n + 100, 7);
        feed.set(1010.0 + n as f64, zone, &host(n), "A", &moved);
    }
    let bench = bench(&feed.0);
    bench.run(0, &["poll"]);
    assert!(accused(&bench).is_empty(), "{:?}", bench.cases());
}

#[test]
fn first_name_server_that_a_partial_feed_tells_of_a_domain_erases_nothing_of_before() {
    let mut feed = Feed::default();
    let hosts = texts(["ns1.host.test.", "ns2.host.test."]);
    feed.set(0.0, "example.", "other.example.", "NS", &hosts);
    for turn in 0..96 {
        let set: Vec<String> = (0..3).map(|n| fresh(turn, n)).collect();
        let at = 200.0 + turn as f64;
        feed.set(at, "example.", "www.bad.example.", "A", &set);
    }
    feed.set(296.0, "example.", "bad.example.", "NS", &hosts);
    let bench = bench(&feed.0);
    bench.configure(&FEED.replace("complete = true\n", ""));
    bench.run(0, &["poll"]);
    let why = bench.run(0, &["explain", "bad.example"]);
    assert!(why.contains("www.bad.example"), "{why}");
    let cases = bench.cases();
    assert_eq!(cases[0]["level"], "report", "{cases:?}");
}

/// A domain that takes other name servers at some hours; each time its delegation is gone for so many seconds.
fn redelegated(
    hours: impl Iterator<Item = usize>,
    gone_for: i32,
    hosts: fn(usize) -> [String; 2],
) -> Feed {
    let (mut feed, zone, bad) = (Feed::default(), "example.", "bad.example.");
    feed.set(0.0, zone, bad, "NS", &hosts(0));
    for (turn, hour) in (1..).zip(hours) {
        let at = hour as f64;
        if gone_for > 0 {
            feed.set(at, zone, bad, "NS", &[]);
        }
        feed.set(
            at + f64::from(gone_for) / 3600.0,
            zone,
            bad,
            "NS",
            &hosts(turn),
        );
    }
    feed
}

/// Name servers of operators of their own at each turn.
fn throwaway(turn: usize) -> [String; 2] {
    [2 * turn, 2 * turn + 1].map(|n| format!("ns.{}{n:03}.test.", ["pine", "quay"][n % 2]))
}

/// Returns a bench with mail into a folder and a feed.
fn bench_with_mail(feed: &Feed) -> Bench {
    let bench = bench(&feed.0);
    bench.configure(&format!("{FEED}{REPORT}[smtp]\nurl = \"maildir://mail\"\n"));
    bench
}

/// Returns the kinds of the mails about cases, in the order in which they were queued.
fn mailed(bench: &Bench) -> Vec<String> {
    let rows = bench.json(&["outbox", "list", "--all", "--format", "json"]);
    let rows = rows.as_array().expect("a list").iter();
    let kinds = rows.map(|row| row["kind"].as_str().expect("a word").to_owned());
    kinds.filter(|kind| kind != "digest").collect()
}

#[test]
fn delegation_that_is_removed_and_added_is_told_once_and_held_no_longer_than_one_that_is_set() {
    for gone_for in [0, 1, 540] {
        let week = redelegated((200..368).step_by(6), gone_for, throwaway);
        let bench = bench_with_mail(&week);
        bench.run(0, &["poll"]);
        assert_eq!(mailed(&bench), ["report"], "gone for {gone_for} s");
        let found = bench.json(&["backtest", "--since", "2026-09-21", "--format", "json"]);
        assert!(found.to_string().contains("bad.example"), "{found}");
    }
    // Who takes the domain away for longer each time is known to bring it back.
    for gone_for in [900, 7200] {
        let bench = bench_with_mail(&redelegated((200..368).step_by(6), gone_for, throwaway));
        bench.run(0, &["poll"]);
        assert_eq!(mailed(&bench), ["report"], "gone for {gone_for} s");
    }
    // One that waits for another step: it comes after thirty hours, also where the domain was away for long in between.
    let slow = |turn: usize| {
        let domain = ["alphaone", "bravotwo", "charliex"][turn % 3];
        [
            "ns.fixedone.test.".to_owned(),
            format!("ns{turn}.{domain}.test."),
        ]
    };
    for gone_for in [0, 1, 540, 900] {
        let bench = bench_with_mail(&redelegated((230..770).step_by(30), gone_for, slow));
        bench.run(0, &["poll"]);
        let mailed = mailed(&bench);
        assert_eq!(
            mailed.first().map(String::as_str),
            Some("report"),
            "{gone_for}: {mailed:?}"
        );
    }
}

#[test]
fn delegation_that_stays_away_ends_its_case_at_the_same_time_however_its_feed_is_read() {
    let rotated = || redelegated((200..248).step_by(6), 0, throwaway);
    let mut gone = rotated();
    gone.set(250.0, "example.", "bad.example.", "NS", &[]);
    let mut more = Feed(gone.0.clone());
    more.set(252.0, "example.", "other.example.", "NS", &throwaway(90));
    let ended_at = (later(250) + Span::seconds(600)).to_string();
    let end = |bench: &Bench| {
        let case = bench.json(&["cases", "show", "bad.example", "--format", "json"]);
        (case["state"].clone(), case["evaluated_at"].clone())
    };
    // What comes later in the feed says that nothing else of that time comes; so does a feed that stands still.
    let at_once = bench_with_mail(&more);
    at_once.run(0, &["poll"]);
    let followed = bench_with_mail(&gone);
    followed.run(0, &["poll"]);
    assert_eq!(end(&followed).0, "open");
    assert_eq!(mailed(&followed), ["report"]);
    followed.run(0, &["poll"]);
    for bench in [at_once, followed] {
        assert_eq!(end(&bench), ("mitigated".into(), ended_at.clone().into()));
        assert_eq!(mailed(&bench), ["report", "closure"]);
    }
}

#[test]
fn feed_that_is_delivered_in_parts_ends_no_case_between_the_removal_and_the_return_of_a_delegation()
{
    let (rotated, cut_at) = (redelegated((200..248).step_by(6), 0, throwaway), 250.0);
    let mut gone = Feed(rotated.0.clone());
    gone.set(cut_at, "example.", "bad.example.", "NS", &[]);
    let mut back = Feed(gone.0.clone());
    let returned_at = cut_at + 1.0 / 3600.0;
    back.set(
        returned_at,
        "example.",
        "bad.example.",
        "NS",
        &throwaway(90),
    );
    let bench = bench_with_mail(&rotated);
    let clock = Arc::new(SetClock::new(later(250)));
    let poll_after = |minutes: i64, feed: &Feed| {
        bench.write("f.ndjson", &feed.0);
        clock.set(later(250) + Span::seconds(60 * minutes));
        poll(&bench.pipeline(clock.clone()));
        mailed(&bench)
    };
    // Its next part comes an hour later; what stays away for two hours is gone.
    for (minutes, feed) in [
        (-1, &rotated),
        (1, &gone),
        (2, &gone),
        (61, &back),
        (62, &back),
    ] {
        assert_eq!(poll_after(minutes, feed), ["report"], "{minutes}");
    }
    let mut gone_again = Feed(back.0.clone());
    gone_again.set(252.0, "example.", "bad.example.", "NS", &[]);
    for (minutes, is_told) in [(121, false), (160, false), (251, true)] {
        let mails = poll_after(minutes, &gone_again);
        assert_eq!(mails.contains(&"closure".to_owned()), is_told, "{minutes}");
    }
    // What is delivered still later opens it again.
    gone_again.set(
        252.0 + 1.0 / 3600.0,
        "example.",
        "bad.example.",
        "NS",
        &throwaway(91),
    );
    poll_after(300, &gone_again);
    assert_eq!(bench.cases()[0]["state"], "open");
}

#[test]
fn rotation_that_is_told_as_remove_and_add_every_few_minutes_is_reported_while_it_goes_on() {
    for minutes in [5, 9] {
        let (mut feed, zone, bad) = (Feed::default(), "example.", "bad.example.");
        feed.set(0.0, zone, bad, "NS", &throwaway(0));
        for turn in 1..90 {
            let at = 200.0 + (turn * minutes) as f64 / 60.0;
            feed.set(at, zone, bad, "NS", &[]);
            feed.set(at + 1.0 / 3600.0, zone, bad, "NS", &throwaway(turn));
        }
        let bench = bench_with_mail(&feed);
        bench.run(0, &["poll"]);
        assert_eq!(mailed(&bench), ["report"], "every {minutes} minutes");
    }
}

#[test]
fn absence_in_the_zone_above_ends_the_case_of_a_hosted_zone_also_in_one_pass() {
    let (mut feed, bad) = (Feed::default(), "bad.example.");
    let own = texts(["ns1.bad.example.", "ns2.bad.example."]);
    for zone in ["example.", bad] {
        feed.set(0.0, zone, bad, "NS", &own);
    }
    for turn in 0..12 {
        for (n, host) in own.iter().enumerate() {
            feed.set(200.0 + 3.0 * turn as f64, bad, host, "A", &[fresh(turn, n)]);
        }
    }
    feed.set(240.0, "example.", bad, "NS", &[]);
    feed.set(245.0, "example.", bad, "NS", &own);
    let bench = bench_with_mail(&feed);
    bench.run(0, &["poll"]);
    assert_eq!(mailed(&bench), ["report", "closure"]);
    let case = bench.json(&["cases", "show", bad, "--format", "json"]);
    let ended_at = (later(240) + Span::seconds(600)).to_string();
    let log = case["log"].as_array().expect("a log");
    let end = log.iter().find(|it| it["to"] == "mitigated");
    assert_eq!(end.expect("it ended")["at"], ended_at, "{case}");
}

#[test]
fn delegation_that_a_zone_file_shows_no_more_ends_its_case_in_the_same_pass() {
    let bench = bench_with_mail(&Feed::default());
    let files = "[[source]]\nname = \"zf\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z-*.zone\"\ntime_pattern = \"z-%Y-%m-%d-%H.zone\"\n[enrich]\nasn = \"asn.csv\"\n";
    bench.configure(&format!(
        "{files}{REPORT}[smtp]\nurl = \"maildir://mail\"\n"
    ));
    for turn in 0..9 {
        let soa = format!(
            "$TTL 60\n@ SOA ns.x.test. host.x.test. {} 1 1 1 1\n@ NS ns.x.test.\nother NS ns.x.test.\n",
            turn + 1
        );
        let hosts = throwaway(turn)
            .map(|host| format!("bad NS {host}\n"))
            .concat();
        let zone = if turn < 8 { soa + &hosts } else { soa };
        let at = 1_790_000_000 + 12 * 3600 * turn as i64;
        let at = Timestamp::from_unix(at).to_string();
        bench.write(&format!("z-{}-{}.zone", &at[..10], &at[11..13]), zone);
        bench.run(0, &["poll"]);
    }
    let cases = bench.json(&["cases", "list", "--state", "all", "--format", "json"]);
    assert_eq!(cases[0]["state"], "mitigated", "{cases}");
    assert_eq!(mailed(&bench), ["report", "closure"]);
}

/// The sections of a feed for each of some names, in this order.
fn feeds(names: [&str; 2]) -> String {
    let section = |name| {
        format!(
            "[[source]]\nname = \"{name}\"\nkind = \"feed\"\npath = \"{name}.ndjson\"\ncomplete = true\n"
        )
    };
    format!(
        "{}[enrich]\nasn = \"asn.csv\"\n",
        names.map(section).concat()
    )
}

/// What the two name servers of a hoster tell at some hours.
fn hoster(hours: std::ops::Range<usize>) -> String {
    let mut feed = Feed::default();
    for hour in hours {
        for n in [1, 2] {
            let host = format!("ns{n}.op.example.");
            feed.set(hour as f64, "op.example.", &host, "A", &[fresh(hour, n)]);
        }
    }
    feed.0
}

/// A domain that uses them from the beginning on, and that it left in the second hour.
fn customer_that_leaves() -> [String; 2] {
    let set = |at, hosts: [&str; 2]| {
        let mut feed = Feed::default();
        feed.set(at, "one.test.", "one.test.", "NS", &texts(hosts));
        feed.0
    };
    [
        set(0.0, ["ns1.op.example.", "ns2.op.example."]),
        set(1.1, ["ns1.new.test.", "ns2.new.test."]),
    ]
}

#[test]
fn what_two_feeds_tell_of_a_standstill_is_judged_once_both_are_read() {
    let [before, left] = customer_that_leaves();
    let late = ["jitter = \"4m\"\n", "cron = \"0 0 0 1 1 *\"\n"];
    for (order, is_service, late) in [
        (["op", "cust"], false, ""),
        (["cust", "op"], false, ""),
        (["op", "cust"], true, ""),
        (["cust", "op"], true, ""),
        (["op", "cust"], true, late[0]),
        (["op", "cust"], true, late[1]),
    ] {
        {
            let bench = bench("");
            let path = "path = \"cust.ndjson\"\n";
            bench.configure(&feeds(order).replace(path, &format!("{path}{late}")));
            bench.write("op.ndjson", hoster(0..1));
            bench.write("cust.ndjson", &before);
            bench.run(0, &["poll"]);
            bench.write("op.ndjson", hoster(0..61));
            bench.write("cust.ndjson", format!("{before}{left}"));
            let found = || !accused(&bench).is_empty();
            if is_service {
                let running = Running::start(&bench, &["run"]);
                until("the case of the hoster", found);
                running.stop();
            }
            bench.run(0, &["poll"]);
            let what = format!("{order:?} {is_service} {late}");
            assert_eq!(accused(&bench), ["op.example."], "{what}");
        }
    }
}

#[test]
fn what_a_pass_that_was_killed_stored_is_judged_once_the_next_has_read_the_others() {
    let [before, left] = customer_that_leaves();
    let bench = bench("");
    bench.configure(&feeds(["op", "cust"]));
    bench.write("op.ndjson", hoster(0..1));
    bench.write("cust.ndjson", &before);
    bench.run(0, &["poll"]);
    bench.write("op.ndjson", hoster(0..61));
    // Killed when the first feed was stored.
    let mut killed = bench.pipeline(Arc::new(SetClock::new(later(62))));
    killed.judge_later(Arc::default());
    let config = killed.config().clone();
    let sources: Vec<_> = config.sources.iter().take(1).collect();
    let options = PollOptions::default();
    let runtime = tokio::runtime::Runtime::new().expect("made");
    let (ingest, mut hear) = (killed.ingest(), |_: ZoneReport| {});
    let pass = ingest.poll(&sources, None, &options, &mut hear);
    runtime.block_on(pass).expect("read");
    drop(killed);
    bench.write("cust.ndjson", format!("{before}{left}"));
    bench.run(0, &["poll"]);
    assert_eq!(accused(&bench), ["op.example."]);
}

#[test]
fn files_of_one_spool_are_judged_in_the_order_of_their_times() {
    let [before, left] = customer_that_leaves();
    for names in [["1", "2"], ["2", "1"]] {
        let bench = bench("");
        let spool = "[[source]]\nname = \"spool\"\nkind = \"feed\"\npath = \"spool\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n";
        bench.configure(spool);
        let put = |name: &str, text: &str| bench.write(&format!("spool/{name}.ndjson"), text);
        put("1", &hoster(0..1));
        put("2", &before);
        bench.run(0, &["poll"]);
        put(names[0], &hoster(1..61));
        put(names[1], &left);
        bench.run(0, &["poll"]);
        assert_eq!(accused(&bench), ["op.example."], "{names:?}");
    }
}

#[test]
fn what_is_of_later_times_than_a_pass_that_was_cut_off_told_of_waits_for_the_next() {
    let [before, left] = customer_that_leaves();
    let bench = bench("");
    bench.configure(&format!(
        "{}[limits]\nfile = \"1s\"\n",
        feeds(["op", "cust"])
    ));
    bench.write("op.ndjson", hoster(0..1));
    bench.write("cust.ndjson", &before);
    bench.run(0, &["poll"]);
    bench.write("op.ndjson", hoster(0..61));
    let mut others = Feed::default();
    for n in 0..40_000 {
        let at = 1.0 + f64::from(n) / 1_000_000.0;
        let host = format!("h{n}.one.test.");
        others.set(at, "one.test.", &host, "A", &["10.1.2.3".to_owned()]);
    }
    bench.write("cust.ndjson", format!("{before}{}{left}", others.0));
    let mut passes = 0;
    loop {
        passes += 1;
        let told = bench.command(&["poll"]).output().expect("it runs");
        let accused = accused(&bench);
        assert!(!accused.contains(&"one.test.".to_owned()), "pass {passes}");
        if told.status.success() {
            break assert_eq!(accused, ["op.example."], "pass {passes}");
        }
    }
}

/// The sixth hours of a zone of a thousand delegations, of which a hoster's name servers move each time: dated files. Of the
/// files of one day so many delegations lack, the hoster's and some of its customers' among them.
fn publications(bench: &Bench, lacking: usize, keeps_glue: bool) {
    for turn in 0..60 {
        let is_short = lacking > 0 && (40..44).contains(&turn);
        let mut zone = format!(
            "$TTL 60\n@ SOA ns.x.test. host.x.test. {} 1 1 1 1\n@ NS ns.x.test.\n",
            turn + 1
        );
        let mut delegate = |n: usize, name: &str, hosts: [&str; 2]| {
            if !is_short || n >= lacking {
                zone += &format!("{name} NS {}\n{name} NS {}\n", hosts[0], hosts[1]);
            }
        };
        delegate(0, "op", ["ns1.op", "ns2.op"]);
        for n in 1..1000 {
            let of_hoster = n % 80 == 1 || n < 6;
            let host = [1, 2].map(|it| format!("ns{it}.host{}.test.", n % 40));
            let hosts = if of_hoster {
                ["ns1.op", "ns2.op"]
            } else {
                [host[0].as_str(), host[1].as_str()]
            };
            delegate(n, &format!("d{n}"), hosts);
        }
        if !is_short || keeps_glue {
            for n in [1, 2] {
                zone += &format!("ns{n}.op A {}\n", fresh(turn, n));
            }
        }
        let at = Timestamp::from_unix(1_790_000_000 + 6 * 3600 * turn as i64).to_string();
        bench.write(&format!("z-{}-{}.zone", &at[..10], &at[11..13]), zone);
    }
}

#[test]
fn publication_that_lacks_delegations_for_a_day_accuses_nobody() {
    let files = "[[source]]\nname = \"zf\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z-*.zone\"\ntime_pattern = \"z-%Y-%m-%d-%H.zone\"\n[enrich]\nasn = \"asn.csv\"\n";
    // Some, and so many that it is a mass change.
    for (lacking, keeps_glue) in [(0, true), (40, true), (40, false), (90, true), (90, false)] {
        let bench = bench("");
        bench.configure(files);
        publications(&bench, lacking, keeps_glue);
        bench.run(0, &["poll"]);
        assert_eq!(accused(&bench), ["op.example."], "{lacking} {keeps_glue}");
        // What lacked in a mass change ended no case.
        if lacking > 50 {
            let log = bench.run(0, &["cases", "log", "op.example"]);
            assert!(!log.contains("mitigated"), "{log}");
        }
    }
}
