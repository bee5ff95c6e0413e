//! The short form of examples/evaluate: three seeds, so that the quality of detection cannot fall unnoticed.

use crate::harness::{Bench, at};
use crate::numbers::Numbers;
use crate::scenarios::others::{MORE, tell_more};
use crate::scenarios::stories::{ALL, Expected, HOUR, What, tell};
use crate::scenarios::trial::{Ablation, Feed, Outcome, run};
use crate::support::feeds::as_feed;
use fluxwatch::detector::{DetectPolicy, Level};
use fluxwatch::dns::Name;
use std::fmt::Write as _;

/// Seeds that are used for nothing else.
const SEEDS: std::ops::Range<u64> = 500..503;

/// Stories of hundreds of changes a day, or of months, which take long at a feed of every change; looks every hour do.
const LONG: [&str; 4] = ["B3", "B4", "A10", "A13"];

/// Checks a run against what is expected of its story.
fn check(id: &str, expected: Expected, feed: Feed, seed: u64, outcome: &Outcome) {
    let what = format!("{id}, seed {seed}, {feed:?}: {:?}", outcome.peak);
    match expected {
        Expected::Report => assert!(outcome.reported_h.is_some(), "not reported: {what}"),
        Expected::Review => assert_eq!(outcome.peak, Some(Level::Review), "{what}"),
        Expected::ReviewAtMost => assert!(outcome.peak <= Some(Level::Review), "{what}"),
        Expected::WatchAtMost => assert!(outcome.peak <= Some(Level::Watch), "{what}"),
    }
}

#[test]
fn every_story_ends_as_expected_at_feeds_of_every_change_and_of_an_hour() {
    let policy = DetectPolicy::default();
    for (id, _, expected) in ALL {
        for feed in [Feed::Every, Feed::Polls(HOUR)] {
            if feed == Feed::Every && LONG.contains(&id) {
                continue;
            }
            // A whole story takes long; a reported one ends with the report.
            let seeds = if id.starts_with('B') { 1 } else { 3 };
            for seed in SEEDS.take(seeds) {
                let outcome = run(&tell(id, seed), feed, Ablation::Nothing, &policy, seed);
                check(id, expected, feed, seed, &outcome);
            }
        }
    }
}

#[test]
fn nobody_is_reported_falsely_whatever_is_missing() {
    let policy = DetectPolicy::default();
    for (id, ..) in ALL.iter().filter(|(id, ..)| id.starts_with('B')) {
        for seed in SEEDS.take(1) {
            for (feed, ablation) in [
                (Feed::Polls(6 * HOUR), Ablation::Nothing),
                (Feed::Polls(24 * HOUR), Ablation::Nothing),
                (Feed::Polls(HOUR), Ablation::Networks),
                (Feed::Polls(HOUR), Ablation::OldProtocol),
                (Feed::Polls(HOUR), Ablation::OldProtocolButInTable),
            ] {
                let outcome = run(&tell(id, seed), feed, ablation, &policy, seed);
                assert_eq!(
                    outcome.reported_h, None,
                    "{id}, seed {seed}, {feed:?}, {ablation:?}"
                );
            }
        }
    }
}

#[test]
fn what_no_table_answers_for_is_reviewed_and_never_reported() {
    let policy = DetectPolicy::default();
    for id in ["M2", "M5", "M9", "M10"] {
        for ablation in [Ablation::Networks, Ablation::OldProtocolButInTable] {
            let outcome = run(&tell(id, 500), Feed::Polls(HOUR), ablation, &policy, 500);
            assert_eq!(outcome.peak, Some(Level::Review), "{id}, {ablation:?}");
        }
    }
    // Names of name servers have operators, which no table has to tell.
    let of_names = |ablation| run(&tell("M6", 500), Feed::Polls(HOUR), ablation, &policy, 500).peak;
    assert_eq!(of_names(Ablation::Networks), Some(Level::Review));
    assert_eq!(
        of_names(Ablation::OldProtocolButInTable),
        Some(Level::Report)
    );
}

#[test]
fn look_alikes_and_attackers_end_as_expected_at_every_change_and_every_hour() {
    let policy = DetectPolicy::default();
    for (id, _, expected) in MORE {
        for feed in [Feed::Every, Feed::Polls(HOUR)] {
            if feed == Feed::Every && LONG.contains(&id) {
                continue;
            }
            let outcome = run(&tell_more(id, 500), feed, Ablation::Nothing, &policy, 500);
            check(id, expected, feed, 500, &outcome);
            if id.starts_with('A') && feed == Feed::Polls(HOUR) {
                check_review_time(id, &outcome);
            }
        }
    }
}

/// Checks that an attacker is reviewed within two days at looks every hour, unless addresses stay for three: thirteen
/// hosts of which each moved once are a hoster that renumbers, until one moves again.
fn check_review_time(id: &str, outcome: &Outcome) {
    let hours_max = match id {
        "A2" => 84.5,
        "A3" => 167.5,
        _ => 48.0,
    };
    let hours = outcome.reviewed_h.expect("reviewed");
    assert!(hours <= hours_max, "{id}: {hours}");
}

#[test]
fn slow_fluxes_are_reported_no_later_than_five_steps_take() {
    // Hours at a feed of every change, from the beginning of the flux, the hold included.
    let policy = DetectPolicy::default();
    for (id, hours_max) in [
        ("M4", 1.0),
        ("M5", 8.5),
        ("M6", 61.0),
        ("M7", 121.0),
        ("M16", 36.0),
    ] {
        for seed in SEEDS {
            let outcome = run(
                &tell(id, seed),
                Feed::Every,
                Ablation::Nothing,
                &policy,
                seed,
            );
            let hours = outcome.reported_h.expect("reported");
            assert!(hours <= hours_max, "{id}, seed {seed}: {hours}");
        }
    }
}

#[test]
fn flux_of_addresses_is_reported_at_looks_every_day() {
    // All that such looks see stays for a day, as on a dynamic line; but the next is of another network.
    let policy = DetectPolicy::default();
    for id in ["M2", "M3", "M13", "M15"] {
        let feed = Feed::Polls(24 * HOUR);
        let outcome = run(&tell(id, 500), feed, Ablation::Nothing, &policy, 500);
        check(id, Expected::Report, feed, 500, &outcome);
    }
}

#[test]
fn crowd_of_new_addresses_is_reported_and_one_that_comes_back_is_reviewed() {
    let policy = DetectPolicy::default();
    let crowd = |fresh: bool| {
        let mut story = tell_more("L14", 500);
        let mut numbers = Numbers(7);
        for (_, what) in story.events.iter_mut().filter(|_| fresh) {
            if let What::Address(_, set) = what {
                set.iter_mut().for_each(|it| *it = numbers.access_address());
            }
        }
        run(&story, Feed::Polls(HOUR), Ablation::Nothing, &policy, 500).peak
    };
    assert_eq!(crowd(false), Some(Level::Review));
    assert_eq!(crowd(true), Some(Level::Report));
}

#[test]
fn pairs_that_a_provider_assigns_anew_open_a_watch_for_a_tenth_at_most() {
    let policy = DetectPolicy::default();
    let words = ["ada", "bob", "cleo", "dan", "eve", "finn", "gus", "hal"];
    let mut watched = Vec::new();
    for seed in 0..100 {
        let mut numbers = Numbers(seed);
        let mut story = tell_more("L6", seed);
        story.events.clear();
        let mut at = numbers.between(0, 24) * HOUR;
        // Two names of one domain, or four of four domains that are called alike, three or four times in a row.
        for _ in 0..numbers.between(3, 4) {
            let pair = words.map(|it| format!("{it}.ns.bravo-host.test."));
            let quartet = ["test", "invalid", "example", "localhost"].map(|suffix| {
                let [host, domain] = [2000, 64].map(|limit| numbers.below(limit));
                format!("ns-{host}.bravodns-{domain:02}.{suffix}.")
            });
            let set = match seed % 2 {
                0 => numbers.sample(&pair, 2),
                _ => quartet.to_vec(),
            };
            let set = set.iter().map(|it| Name::parse(it).expect("a name"));
            story.events.push((at, What::Ns(set.collect(), 0)));
            at += numbers.between(1, 36) * HOUR;
        }
        story.ends = at + 24 * HOUR;
        let feed = Feed::Polls(HOUR);
        let outcome = run(&story, feed, Ablation::Nothing, &policy, seed);
        assert!(outcome.peak <= Some(Level::Watch), "{seed}: {outcome:?}");
        watched.extend(outcome.peak.map(|_| seed));
    }
    assert!(watched.len() <= 10, "{watched:?}");
}

#[test]
fn the_whole_program_says_of_a_story_what_the_trial_says() {
    let policy = DetectPolicy::default();
    for id in [
        "M5", "M6", "M7", "M9", "M10", "M16", "B7", "B8", "B11", "B12", "B14", "B17", "L2", "L4",
        "A4", "A9",
    ] {
        let story = if id.starts_with(['L', 'A']) {
            tell_more(id, 500)
        } else {
            tell(id, 500)
        };
        let trial = run(&story, Feed::Every, Ablation::Nothing, &policy, 500);
        let bench = Bench::new(
            "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\n[enrich]\nasn = \"asn.csv\"\nhosting_asns = \"hosting.txt\"\n",
        );
        bench.write("asn.csv", crate::scenarios::internet::table());
        let hosting: String = (0..60).map(|n| format!("{}\n", 200_000 + n)).collect();
        bench.write("hosting.txt", hosting);
        bench.write("f.ndjson", as_feed(&story));
        bench.run(0, &["poll"]);
        let domain = story.domain.to_string();
        let cases = bench.json(&["cases", "list", "--state", "all", "--format", "json"]);
        let cases = cases.as_array().expect("a list");
        let case = cases.iter().find(|case| case["domain"] == domain.as_str());
        let peak = case.map(|case| case["peak_level"].as_str().expect("text").to_owned());
        // A story that is reported ends there in the trial; the program goes on to its end.
        assert_eq!(peak.as_deref(), trial.peak.map(Level::word), "{id}");
        if let (Some(hours), Some(case)) = (trial.reported_h, case) {
            let log = bench.run(0, &["cases", "show", &domain]);
            assert!(log.contains("report"), "{id}: {log}");
            let first = at(case["first_detected_at"].as_str().expect("a time"));
            let first_h = (first.unix() - 1_790_000_000) as f64 / 3600.0;
            assert!(
                first_h <= hours,
                "{id}: first detected after {first_h} h, reported after {hours}"
            );
        }
    }
}

#[test]
fn three_providers_in_three_days_are_reviewed_however_often_a_growing_feed_is_polled() {
    const EPOCH: i64 = 1_790_000_000;
    let bench = Bench::new(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\n[enrich]\nasn = \"asn.csv\"\n",
    );
    bench.write("asn.csv", crate::scenarios::internet::table());
    let story = as_feed(&tell_more("L1", 500));
    let at = |line: &str| -> i64 {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["at"].as_i64().expect("a time")
    };
    let mut lines = story.lines().peekable();
    let mut text = String::new();
    for hour in (0..96).step_by(3) {
        let now = EPOCH + hour * 3600;
        while let Some(line) = lines.next_if(|line| at(line) <= now) {
            text += line;
            text.push('\n');
        }
        // Others move too, so that time goes on.
        let other = serde_json::json!({"at": now, "zone": "example.", "rrname": format!("d{hour}.example."), "rrtype": "NS", "op": "set", "ttl": 300, "rdata": ["ns1.quiet-dns.test."]});
        writeln!(text, "{other}").expect("text grows");
        bench.write("f.ndjson", &text);
        bench.run(0, &["poll"]);
    }
    let cases = bench.json(&["cases", "list", "--state", "all", "--format", "json"]);
    let peaks: Vec<&serde_json::Value> = cases
        .as_array()
        .expect("a list")
        .iter()
        .map(|case| &case["peak_level"])
        .collect();
    assert_eq!(peaks, ["review"], "{cases}");
}
