//! The alias plane, and what else a zone shows: stories, and the whole program.

use std::fmt::Write as _;

use fluxwatch::detector::{DetectPolicy, Level};

use crate::harness::{Bench, REPORT};
use crate::scenarios::aliases::{ALIASES, tell_alias};
use crate::scenarios::stories::{DAY, Expected, HOUR, Story};
use crate::scenarios::trial::{Ablation, Feed, Outcome, run};
use crate::support::feeds::as_feed;

/// Seeds that are used for nothing else.
const SEED: u64 = 500;
/// Stories of hundreds of changes a day, which take long at a feed of every change; looks every hour do.
const LONG: [&str; 4] = ["BC1", "BC3", "BC4", "MC6"];
/// Content networks that the suffix list does not know.
const VENDORS: [&str; 8] = [
    "north", "south", "west", "east", "inner", "outer", "upper", "lower",
];
/// When the feeds begin, in Unix seconds.
const EPOCH: i64 = 1_790_000_000;

/// Checks a run against what is expected of its story.
fn check(id: &str, expected: Expected, feed: Feed, outcome: &Outcome) {
    let what = format!("{id}, {feed:?}: {:?}", outcome.peak);
    match expected {
        Expected::Report => assert!(outcome.reported_h.is_some(), "not reported: {what}"),
        Expected::Review => assert_eq!(outcome.peak, Some(Level::Review), "{what}"),
        Expected::ReviewAtMost => assert!(outcome.peak <= Some(Level::Review), "{what}"),
        Expected::WatchAtMost => assert!(outcome.peak <= Some(Level::Watch), "{what}"),
    }
}

#[test]
fn every_story_of_aliases_ends_as_expected_at_every_change_and_every_hour() {
    let policy = DetectPolicy::default();
    for (id, _, expected) in ALIASES {
        for feed in [Feed::Every, Feed::Polls(HOUR)] {
            if feed == Feed::Every && LONG.contains(&id) {
                continue;
            }
            let outcome = run(
                &tell_alias(id, SEED),
                feed,
                Ablation::Nothing,
                &policy,
                SEED,
            );
            check(id, expected, feed, &outcome);
        }
    }
}

/// Lines of a feed.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// Adds a whole RRset, `hours` after the beginning.
    fn set(&mut self, hours: f64, zone: &str, name: &str, rrtype: &str, rdata: &[&str]) {
        let at = EPOCH + (hours * 3600.0) as i64;
        let line = serde_json::json!({"at": at, "zone": zone, "rrname": name, "rrtype": rrtype, "op": "set", "ttl": 300, "rdata": rdata});
        writeln!(self.0, "{line}").expect("text grows");
    }
}

/// A bench that has polled a feed. In its table 10.N.0.0/16 is a network of its own.
fn polled(feed: &str) -> Bench {
    let bench = Bench::new(&format!(
        "{REPORT}[smtp]\nurl = \"maildir://desk\"\n[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n",
    ));
    let table = (0..256).map(|n| format!("10.{n}.0.0,10.{n}.255.255,{}\n", 64_512 + n));
    bench.write("asn.csv", table.collect::<String>());
    bench.write("f.ndjson", feed);
    bench.run(0, &["poll"]);
    bench
}

/// Returns a case's verdict and the highest level that it had.
fn case_of(bench: &Bench, domain: &str) -> Option<(String, String)> {
    let cases = bench.cases();
    let case = cases.iter().find(|case| case["domain"] == domain)?;
    let text = |key: &str| case[key].as_str().expect("text").to_owned();
    Some((text("verdict"), text("peak_level")))
}

/// Returns the first days of a story.
fn first_days(id: &str, days: i64) -> Story {
    let mut story = tell_alias(id, SEED);
    story.ends = days * DAY;
    story.events.retain(|(at, _)| *at <= days * DAY);
    story
}

#[test]
fn the_whole_program_says_of_aliases_what_the_trial_says() {
    let policy = DetectPolicy::default();
    for id in ["MC3", "MC6", "BC5", "BC7", "BC10", "BC12"] {
        let story = first_days(id, 3);
        let trial = run(&story, Feed::Every, Ablation::Nothing, &policy, SEED);
        let bench = polled(&as_feed(&story));
        let case = case_of(&bench, "subject.example.");
        let peak = case.as_ref().map(|(_, peak)| peak.as_str());
        assert_eq!(peak, trial.peak.map(Level::word), "{id}");
        if id == "MC3" {
            assert_eq!(case.expect("a case").0, "double-flux");
        }
    }
}

#[test]
fn report_of_an_alias_that_rotates_says_what_rotates_and_shows_it() {
    let bench = polled(&as_feed(&first_days("MC1", 2)));
    let explained = bench.run(0, &["explain", "subject.example"]);
    assert!(
        explained.contains("Aliases of www.subject.example in zone subject.example: level report"),
        "{explained}"
    );
    let bytes = bench.run(0, &["report", "preview", "1"]);
    let parsed = mail_parser::MessageParser::default().parse(&bytes);
    let parsed = parsed.expect("a mail");
    let [text, html] = [parsed.body_text(0), parsed.body_html(0)].map(|it| it.expect("a body"));
    let mail = format!("{text}\n{html}").replace('\n', " ");
    for words in [
        "the target of its alias changed",
        "why its aliases lead elsewhere so often",
        "Operators",
        "Targets of the last 7 days",
    ] {
        assert!(mail.contains(words), "{words} is not in:\n{mail}");
    }
    for words in ["its addresses changed", "Addresses of the last 7 days"] {
        assert!(!mail.contains(words), "{words} is in:\n{mail}");
    }
    // The evidence says the type that the zone has.
    let evidence = mail_part(&bytes, "evidence.csv");
    assert!(
        evidence.contains(",aliases,www.subject.example.,CNAME,added,"),
        "{evidence}"
    );
}

/// Returns an attachment of a mail, decoded.
fn mail_part(mail: &str, name: &str) -> String {
    let parsed = mail_parser::MessageParser::default()
        .parse(mail)
        .expect("a mail");
    let part = parsed
        .attachments()
        .find(|part| mail_parser::MimeHeaders::attachment_name(*part) == Some(name))
        .expect("the attachment");
    String::from_utf8_lossy(part.contents()).into_owned()
}

#[test]
fn exempt_operators_cover_aliases_only_if_every_target_is_theirs() {
    let bench = steered(0, false);
    let exempt = |operator: &str| {
        let add = ["exempt", "add", "operator", operator];
        bench.run(
            0,
            &[&add[..], &["--reason", "ours", "--by", "tester"]].concat(),
        );
        let explained = bench.run(0, &["explain", "subject.example"]);
        explained.contains("Exempt by number")
    };
    for vendor in VENDORS {
        assert!(!exempt(&format!("{vendor}-edge.test")), "{vendor}");
    }
    assert!(exempt("home.test"));
}

#[test]
fn busy_alias_is_judged_by_its_newest_changes_and_says_so() {
    let mut feed = Lines::default();
    let (zone, www) = ("busy.example.", "www.busy.example.");
    feed.set(-60.0 * 24.0, zone, www, "CNAME", &["start.test."]);
    for turn in 0..560 {
        let target = format!("edge.t{turn}.test.");
        feed.set(f64::from(turn) / 20.0, zone, www, "CNAME", &[&target]);
    }
    let bench = polled(&feed.0);
    let case = case_of(&bench, zone).expect("a case");
    assert_eq!(
        (case.0.as_str(), case.1.as_str()),
        ("single-flux", "report")
    );
    let explained = bench.run(0, &["explain", "busy.example"]);
    assert!(
        explained.contains("operators of targets: 56"),
        "{explained}"
    );
}

/// A domain whose alias goes through eight operators, every 3 hours, after names of the same domain or of others have
/// led to some of them for long.
fn steered(known: usize, others: bool) -> Bench {
    let (zone, www) = ("subject.example.", "www.subject.example.");
    let mut feed = Lines::default();
    let start = -60.0 * 24.0;
    for (n, vendor) in VENDORS.iter().enumerate().take(known) {
        for customer in 0..25 {
            let of = if others {
                format!("c{customer}v{n}.example.")
            } else {
                zone.to_owned()
            };
            let target = format!("x{customer}.{vendor}-edge.test.");
            feed.set(
                start,
                &of,
                &format!("a{customer}v{n}.{of}"),
                "CNAME",
                &[&target],
            );
        }
    }
    feed.set(start, zone, www, "CNAME", &["home.test."]);
    for (turn, vendor) in (0..).zip(VENDORS.iter().cycle().take(40)) {
        let target = format!("subject.{vendor}-edge.test.");
        feed.set(f64::from(turn) * 3.0, zone, www, "CNAME", &[&target]);
    }
    polled(&feed.0)
}

#[test]
fn operators_that_others_lead_to_for_long_do_not_count_up_to_six_of_them() {
    for (known, others, peak, line) in [
        (
            8,
            false,
            Some("review"),
            "no operator of a target is one to which names of many other domains lead",
        ),
        (
            6,
            true,
            None,
            "not counted: 6 operators to which names of many other domains lead; 6 of 6 used up",
        ),
        (
            8,
            true,
            Some("review"),
            "counted: 8 operators to which names of many other domains lead, more than the 6",
        ),
    ] {
        let bench = steered(known, others);
        let explained = bench.run(0, &["explain", "subject.example"]);
        // Where the level is none without it, nobody is asked.
        assert!(explained.contains(line) || peak.is_none(), "{explained}");
        let found = case_of(&bench, "subject.example.").map(|(_, peak)| peak);
        assert_eq!(found.as_deref(), peak, "{known}, {others}: {explained}");
    }
}

/// Feeds a registry in which `victim.example.` keeps a name server and changes its other one. `gone.example.` is delegated
/// at an hour, or never.
fn ducks(kept: &str, gone: Option<f64>) -> Lines {
    let mut feed = Lines::default();
    let zone = "example.";
    feed.set(
        -60.0 * 24.0,
        zone,
        "victim.example.",
        "NS",
        &["ns9.quail.test.", kept],
    );
    for turn in 0..3 {
        let host = format!("ns{turn}.{}.test.", ["otter", "quail"][turn % 2]);
        let hours = turn as f64 * 40.0;
        feed.set(hours, zone, "victim.example.", "NS", &[&host, kept]);
        if gone.is_some_and(|at| (hours..hours + 40.0).contains(&at)) {
            feed.set(
                gone.unwrap_or(0.0),
                zone,
                "gone.example.",
                "NS",
                &["ns1.taker.test."],
            );
        }
    }
    feed
}

#[test]
fn name_server_below_a_domain_that_nobody_has_is_told_of_and_reviewed_at_most() {
    let bench = polled(&ducks("ns1.gone.example.", None).0);
    let explained = bench.run(0, &["explain", "victim.example"]);
    assert!(
        explained.contains(
            "ns1.gone.example lies below gone.example, which this zone does not delegate"
        ),
        "{explained}"
    );
    let peak = |bench: &Bench| case_of(bench, "victim.example.").expect("a case").1;
    assert_eq!(peak(&bench), "review");
    let elsewhere = polled(&ducks("ns1.elsewhere.test.", None).0);
    assert_eq!(peak(&elsewhere), "watch");
    let bench = polled(&ducks("ns1.gone.example.", Some(10.0)).0);
    let explained = bench.run(0, &["explain", "victim.example"]);
    assert!(
        explained.contains("ns1.gone.example was named before gone.example was delegated at "),
        "{explained}"
    );
}

#[test]
fn name_servers_with_glue_or_of_an_old_domain_are_no_sitting_ducks() {
    let mut feed = Lines::default();
    let zone = "example.";
    let start = -60.0 * 24.0;
    feed.set(start, zone, "old.example.", "NS", &["ns1.quiet.test."]);
    feed.set(start, zone, "ns1.glued.example.", "A", &["10.0.0.1"]);
    feed.set(
        start,
        zone,
        "user.example.",
        "NS",
        &[
            "ns1.old.example.",
            "ns1.glued.example.",
            "ns1.user.example.",
        ],
    );
    feed.set(
        1.0,
        zone,
        "user.example.",
        "NS",
        &[
            "ns2.old.example.",
            "ns1.glued.example.",
            "ns1.user.example.",
        ],
    );
    let bench = polled(&feed.0);
    let explained = bench.run(0, &["explain", "user.example"]);
    assert!(
        !explained.contains("not delegated, or newly"),
        "{explained}"
    );
}

/// Feeds a domain that has had two hosts for long and gets `count` new names, an hour apart, each in one of so many
/// networks and for so many hours.
fn shadows(count: u32, networks: u32, stay_hours: Option<f64>) -> Lines {
    let mut feed = Lines::default();
    let zone = "firm.example.";
    for host in ["www", "mail"] {
        feed.set(
            -60.0 * 24.0,
            zone,
            &format!("{host}.{zone}"),
            "A",
            &["10.0.0.7"],
        );
    }
    for n in 0..count {
        let owner = format!("x{n}q.{zone}");
        let address = format!("10.{}.1.{n}", 1 + n % networks);
        feed.set(f64::from(n), zone, &owner, "A", &[&address]);
        if let Some(hours) = stay_hours {
            feed.set(f64::from(n) + hours, zone, &owner, "A", &[]);
        }
    }
    feed
}

#[test]
fn many_short_lived_names_on_foreign_networks_are_reviewed_and_a_move_to_a_cloud_is_not() {
    let line = "in which no name of the domain has an address of 30 days or more";
    let bench = polled(&shadows(30, 6, Some(5.0)).0);
    let explained = bench.run(0, &["explain", "firm.example"]);
    assert!(explained.contains(line), "{explained}");
    assert_eq!(
        case_of(&bench, "firm.example.").expect("a case").1,
        "review"
    );
    for (count, networks, stay) in [(30, 6, None), (30, 1, Some(5.0)), (30, 2, None)] {
        let bench = polled(&shadows(count, networks, stay).0);
        assert_eq!(
            case_of(&bench, "firm.example."),
            None,
            "{networks}, {stay:?}"
        );
        let explained = bench.run(0, &["explain", "firm.example"]);
        assert!(explained.contains(line), "{explained}");
    }
}
