//! One domain that changes every minute: what a change costs, and what is said of what is left out.

use std::fmt::Write as _;
use std::io::Cursor;
use std::sync::Arc;

use fluxwatch::dns::Name;
use fluxwatch::pipeline::{FeedImport, Pipeline, PollOptions};
use fluxwatch::time::{SetClock, Timestamp};
use serde_json::Value;

use crate::harness::{Bench, REPORT, poll};
use crate::servers::Knot;
use crate::support::desk::{MAILDIR, read_mails};

const BEGINS_AT: i64 = 1_790_000_000;

/// The lines of changes `from` to `to` of a name's addresses, `size` at a time, each never seen before.
fn lines(from: i64, to: i64, size: i64) -> String {
    let mut feed = String::new();
    for i in from..to {
        let at = Timestamp::from_unix(BEGINS_AT + 60 * i);
        let address = |place: i64| {
            format!(
                "\"{}.{}.{}.1\"",
                11 + place % 100,
                place * 7 % 251,
                place / 251
            )
        };
        let rdata: Vec<String> = (i * size..(i + 1) * size).map(address).collect();
        let rdata = rdata.join(",");
        writeln!(feed, r#"{{"at":"{at}","zone":"bad.example.","rrname":"www.bad.example.","rrtype":"A","op":"set","ttl":60,"rdata":[{rdata}]}}"#).expect("written to memory");
    }
    feed
}

/// Brings a feed in.
fn import(pipeline: &Pipeline, feed: String) {
    let import = FeedImport {
        source: "registry",
        zone: None,
        input: Box::new(Cursor::new(feed)),
        complete: false,
        is_timed: false,
    };
    let options = PollOptions::default();
    let reports = pipeline
        .ingest()
        .import_feed(import, &options)
        .expect("imported");
    assert_eq!(reports.len(), 1);
}

#[test]
fn a_change_reads_no_more_after_a_thousand_changes_than_after_some_hundred() {
    let bench = Bench::new("");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT + 200_000)));
    let pipeline = bench.pipeline(clock);
    let read_by = |from: i64, to: i64| {
        let before = pipeline.store().lookup().rows_read();
        import(&pipeline, lines(from, to, 2));
        (pipeline.store().lookup().rows_read() - before) / (to - from) as u64
    };
    import(&pipeline, lines(0, 100, 2));
    let few = read_by(100, 200);
    read_by(200, 900);
    let many = read_by(900, 1000);
    // One in ten minutes reads the whole history of some 300 intervals, or one in an hour the newest 2,048.
    assert!(few >= 20, "{few} rows a change");
    // A hundred minutes have two such hours.
    assert!(many < 2 * few, "{many} rows a change, {few} before");
}

#[test]
fn a_change_asks_no_more_of_many_past_name_servers_than_of_some() {
    let bench = Bench::new("");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT + 900_000)));
    let pipeline = bench.pipeline(clock);
    // Two name servers of others, never seen before, each hour.
    let asked_by = |from: i64, to: i64| {
        let mut feed = String::new();
        for i in from..to {
            let at = Timestamp::from_unix(BEGINS_AT + 3600 * i);
            writeln!(feed, r#"{{"at":"{at}","zone":"example.","rrname":"bad.example.","rrtype":"NS","op":"set","ttl":60,"rdata":["ns.a{i}.test.","ns.b{i}.test."]}}"#).expect("written to memory");
        }
        let before = pipeline.store().call_count();
        import(&pipeline, feed);
        (pipeline.store().call_count() - before) / (to - from) as u64
    };
    asked_by(0, 30);
    let some = asked_by(30, 50);
    asked_by(50, 150);
    let many = asked_by(150, 170);
    let domain = Name::parse("bad.example.").expect("valid");
    let case = pipeline.store().desk().find_case(&domain).expect("read");
    assert!(case.is_some());
    assert!(
        many < some + some / 4,
        "{many} statements a change, {some} before"
    );
}

#[test]
fn flux_that_is_too_long_to_be_judged_whole_is_reported_and_says_what_is_left_out() {
    let bench = Bench::new("");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT + 400_000)));
    let pipeline = bench.pipeline(clock);
    import(&pipeline, lines(0, 1100, 8));
    drop(pipeline);
    let told = bench.run(0, &["explain", "bad.example"]);
    assert!(told.contains("level report"), "{told}");
    assert!(told.contains("left out"), "{told}");
    // Each version's hash, computed anew from what it did among thousands of records.
    let verified = bench.run(0, &["db", "verify"]);
    assert!(verified.contains("1100 versions"), "{verified}");
}

/// What is found of the domain at a time, from all that history holds.
fn found_at(pipeline: &Pipeline, at: Timestamp) -> String {
    let domain = Name::parse("bad.example.").expect("valid");
    let found = pipeline.findings().find(&domain, at).expect("judged");
    format!(
        "{:?} {:?} {:?}",
        found.finding, found.nameservers, found.addresses
    )
}

/// The case about the domain with its log, without the marks that no two databases share.
fn case_of(bench: &Bench) -> String {
    let mut shown = bench.json(&["cases", "show", "bad.example", "--format", "json"]);
    for event in shown["log"].as_array_mut().expect("a list") {
        event.as_object_mut().expect("an event").remove("uid");
    }
    shown.to_string()
}

#[test]
fn a_busy_name_is_judged_change_by_change_as_it_is_all_at_once() {
    const CHANGES: i64 = 350;
    let clock = || Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT + 200_000)));
    let (one_by_one, at_once) = (Bench::new(""), Bench::new(""));
    let pipeline = one_by_one.pipeline(clock());
    let mut found = Vec::new();
    for i in 0..CHANGES {
        import(&pipeline, lines(i, i + 1, 2));
        if i % 50 == 49 {
            let at = Timestamp::from_unix(BEGINS_AT + 60 * i);
            found.push((at, found_at(&pipeline, at)));
        }
    }
    let whole = at_once.pipeline(clock());
    import(&whole, lines(0, CHANGES, 2));
    for (at, then) in found {
        assert_eq!(found_at(&whole, at), then, "at {at}");
    }
    drop((pipeline, whole));
    assert_eq!(case_of(&one_by_one), case_of(&at_once));
}

#[test]
fn a_version_without_a_suspect_is_judged_once_though_no_transaction_was_made_for_it() {
    let bench = Bench::new("");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT + 200_000)));
    let pipeline = bench.pipeline(clock);
    import(&pipeline, lines(0, 2, 2));
    let apex = Name::parse("bad.example.").expect("valid");
    let zone = pipeline.store().zones().find_zone(&apex).expect("read");
    let zone = zone.expect("there");
    assert_eq!(Some(zone.detected_version_id), zone.version_id);
    let to_judge = pipeline.store().lookup().versions_to_judge(&zone);
    assert_eq!(to_judge.expect("read"), []);
}

#[test]
fn the_flux_of_one_among_thousands_of_names_is_found_and_a_change_looks_at_few_of_them() {
    let bench = Bench::new("");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT + 200_000)));
    let pipeline = bench.pipeline(clock);
    let mut feed = String::new();
    let at = Timestamp::from_unix(BEGINS_AT - 60);
    for i in 0..2500 {
        writeln!(feed, r#"{{"at":"{at}","zone":"bad.example.","rrname":"h{i}.bad.example.","rrtype":"A","op":"set","ttl":60,"rdata":["192.0.2.1"]}}"#).expect("written to memory");
    }
    // Each of them is judged where it changes: at once, those that changed most.
    let later = Timestamp::from_unix(BEGINS_AT - 30);
    feed.push_str(
        &feed
            .replace(&at.to_string(), &later.to_string())
            .replace("192.0.2.1", "192.0.2.2"),
    );
    import(&pipeline, feed);
    let before = pipeline.store().lookup().rows_read();
    import(&pipeline, lines(0, 40, 4));
    let read = pipeline.store().lookup().rows_read() - before;
    let domain = Name::parse("bad.example.").expect("valid");
    let case = pipeline.store().desk().find_case(&domain).expect("read");
    assert!(
        case.is_some(),
        "{:?}",
        found_at(&pipeline, Timestamp::from_unix(BEGINS_AT + 60 * 39))
    );
    assert!(read < 40 * 500, "{read} rows");
}

#[test]
fn a_delegation_that_is_taken_away_ends_its_case_though_it_was_judged_a_minute_ago() {
    const CHANGES: i64 = 200;
    let bench = Bench::new("");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(
        BEGINS_AT + 60 * CHANGES,
    )));
    let pipeline = bench.pipeline(clock.clone());
    let delegated = |i: i64, hosts: &str| {
        let at = Timestamp::from_unix(BEGINS_AT + 60 * i);
        format!(
            r#"{{"at":"{at}","zone":"example.","rrname":"bad.example.","rrtype":"NS","op":"set","ttl":60,"rdata":[{hosts}]}}"#
        )
    };
    let host = |n: i64| format!(r#""ns.x{n}.test.""#);
    for i in 0..CHANGES {
        let hosts = format!("{},{}", host(i), host(i + 1));
        import(&pipeline, delegated(i, &hosts) + "\n");
    }
    let case = || bench.json(&["cases", "show", "bad.example", "--format", "json"]);
    let before = case();
    assert_eq!(before["state"], "open", "{before}");
    let judged_at = Timestamp::from_unix(BEGINS_AT + 60 * (CHANGES - 1)).to_string();
    assert!(
        before["evaluated_at"].as_str() < Some(&judged_at),
        "{before}"
    );
    import(&pipeline, delegated(CHANGES, "") + "\n");
    assert_eq!(case()["state"], "open", "it may come back");
    clock.set(Timestamp::from_unix(BEGINS_AT + 60 * (CHANGES + 10)));
    let other = delegated(CHANGES + 10, &host(0)).replace("bad.example", "other.example");
    import(&pipeline, other + "\n");
    assert_eq!(case()["state"], "mitigated");
}

/// The words of name servers of which no two are alike.
const WORDS: [&str; 9] = [
    "apple", "brick", "crane", "dough", "elbow", "flint", "grape", "hotel", "joker",
];

/// Lines in which a delegation gets other name servers each minute. It comes to review at the fourth, and to report soon
/// after.
fn delegation_that_turns() -> String {
    let line = |(n, word): (i64, &&str)| {
        let at = Timestamp::from_unix(BEGINS_AT + 60 * n);
        format!(
            "{{\"at\":\"{at}\",\"zone\":\"example.\",\"rrname\":\"bad.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"ttl\":60,\"rdata\":[\"ns1.{word}.test.\",\"ns2.{word}.test.\"]}}\n"
        )
    };
    (0..).zip(&WORDS).map(line).collect()
}

/// Level, score and time of the last judgement of a case.
fn standing_of(pipeline: &Pipeline) -> (String, f64, i64) {
    let domain = Name::parse("bad.example.").expect("valid");
    let row = pipeline.store().desk().find_case(&domain).expect("read");
    let case = row.expect("there is a case").case;
    let after = case.evaluated_at.unix() - BEGINS_AT;
    (case.level.word().to_owned(), case.score, after)
}

#[test]
fn change_that_was_left_is_judged_once_it_is_due_though_no_other_comes() {
    let bench = Bench::new(FOLLOWED);
    bench.write("f.ndjson", delegation_that_turns());
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT + 500)));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    let left = standing_of(&pipeline);
    assert_eq!((left.0.as_str(), left.2), ("review", 180));
    // Nothing new, and not due: ten minutes after the last judgement.
    clock.set(Timestamp::from_unix(BEGINS_AT + 779));
    poll(&pipeline);
    assert_eq!(standing_of(&pipeline), left);
    clock.set(Timestamp::from_unix(BEGINS_AT + 780));
    poll(&pipeline);
    // As of the last change: what a feed says is judged by its own time.
    let judged = ("report".to_owned(), 100.0, 480);
    assert_eq!(standing_of(&pipeline), judged);
    poll(&pipeline);
    assert_eq!(standing_of(&pipeline), judged);
}

/// The feed that a bench follows.
const FOLLOWED: &str =
    "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n";

#[test]
fn case_that_changed_after_its_judgement_says_everywhere_when_it_is_judged_again() {
    let bench = Bench::new(FOLLOWED);
    bench.write("f.ndjson", delegation_that_turns());
    let due = Timestamp::from_unix(BEGINS_AT + 780);
    let words = format!(
        "changed after its last judgement; the first poll at or after {} UTC judges it again",
        due.to_table()
    );
    let named = format!("case FW-000001, bad.example: {words}");
    let polled = bench.run_stderr(0, &["poll"]);
    assert!(polled.contains(&named), "{polled}");
    let listed = bench.run_stderr(0, &["cases", "list"]);
    assert!(listed.contains(&named), "{listed}");
    let shown = bench.run(0, &["cases", "show", "1"]);
    assert!(shown.contains(&format!("The domain {words}")), "{shown}");
    assert_eq!(bench.cases()[0]["due_at"], due.to_string());
    let explained = bench.run(0, &["explain", "bad.example"]);
    assert!(explained.contains("level report"), "{explained}");
    let line = explained
        .lines()
        .find(|it| it.starts_with("Case FW-000001"));
    let line = line.expect("it says that the case stands elsewhere");
    assert!(
        line.contains("stands at suspected ns-flux, level review") && line.contains(&words),
        "{line}"
    );
    // What nothing is left of says nothing.
    let polled = bench.run_stderr(0, &["poll"]);
    assert!(!polled.contains("changed after"), "{polled}");
    assert!(bench.cases()[0]["due_at"].is_null());
    let explained = bench.run(0, &["explain", "bad.example"]);
    assert!(!explained.contains("Case FW-"), "{explained}");
}

#[test]
fn each_change_says_what_it_counts_and_what_they_count_together_is_the_score_s_term() {
    let sets = [
        "appletree",
        "bricklane",
        "bricklanes",
        "cranefield",
        "bricklanes",
        "doughnuts",
    ];
    let line = |(n, word): (i64, &&str)| {
        let at = Timestamp::from_unix(BEGINS_AT + 3600 * n);
        format!(
            "{{\"at\":\"{at}\",\"zone\":\"example.\",\"rrname\":\"bad.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"ttl\":60,\"rdata\":[\"ns1.{word}.test.\",\"ns2.{word}.test.\"]}}\n"
        )
    };
    let bench = Bench::new(FOLLOWED);
    bench.write("f.ndjson", (0..).zip(&sets).map(line).collect::<String>());
    bench.run(0, &["poll"]);
    let explained = bench.run(0, &["explain", "bad.example"]);
    let said: Vec<&str> = explained
        .lines()
        .filter(|it| it.starts_with("  2026-"))
        .filter_map(|it| it.split_once('(').map(|(_, words)| words))
        .collect();
    // Newest first: a new set, one that was there, a new one, a corrected name, a new set.
    assert_eq!(
        said,
        [
            "counts 1)",
            "counts 0.34: what was there before, or of the same operators)",
            "counts 1)",
            "names corrected, or renamed with their addresses, not counted)",
            "counts 1)",
        ],
        "{explained}"
    );
    assert!(
        explained.contains("change instants in 7 days, weighted: 3.34"),
        "{explained}"
    );
}

#[test]
fn dismissal_says_what_opens_the_case_again_and_its_closure_tells_of_the_last_change() {
    let bench = Bench::new(&format!("{REPORT}{MAILDIR}{FOLLOWED}"));
    bench.write("f.ndjson", delegation_that_turns());
    bench.run(0, &["poll"]);
    bench.run(0, &["poll"]);
    assert_eq!(bench.cases()[0]["level"], "report");
    // Soon after its judgement, so that it waits.
    let last = Timestamp::from_unix(BEGINS_AT + 540);
    let line = format!(
        "{{\"at\":\"{last}\",\"zone\":\"example.\",\"rrname\":\"bad.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"ttl\":60,\"rdata\":[\"ns1.kayak.test.\",\"ns2.kayak.test.\"]}}\n"
    );
    bench.write("f.ndjson", delegation_that_turns() + &line);
    bench.run(0, &["poll"]);
    let last_judged = Timestamp::from_unix(BEGINS_AT + 480).to_string();
    assert_eq!(bench.cases()[0]["last_change_at"], last_judged);
    let dismiss = ["cases", "dismiss", "1", "--reason", "test", "--by", "ada"];
    let rule = "a dismissed case opens again only for flux that begins after 14d without a change, or for another verdict";
    let would = bench.run_stderr(0, &[&dismiss[..], &["--dry-run"]].concat());
    assert!(would.contains(rule), "{would}");
    let said = bench.run_stderr(0, &dismiss);
    assert!(said.contains(rule), "{said}");
    let help = bench.run(0, &["cases", "dismiss", "--help"]);
    assert!(help.contains("opens again only for flux"), "{help}");
    let explained = bench.run(0, &["explain", "bad.example"]);
    assert!(
        explained.contains("Case FW-000001 is dismissed as test by ada at ")
            && explained.contains("or for another verdict than ns-flux"),
        "{explained}"
    );
    // A judgement is of an event time and was written at another; what a person did has the time of writing alone.
    let log = bench.run(0, &["cases", "log", "1", "--format", "json"]);
    let lines: Vec<Value> = serde_json::from_str(&log).expect("a list");
    let line = |words: &str| {
        let has_words = |it: &&Value| it["note"].as_str().expect("a text").contains(words);
        let found = lines.iter().find(has_words);
        found.unwrap_or_else(|| panic!("{words}: {log}"))
    };
    let rise = Timestamp::from_unix(BEGINS_AT + 480);
    assert_eq!(line("level rose")["at"], rise.to_string());
    assert_ne!(line("level rose")["written_at"], rise.to_string());
    let mut written: Vec<&str> = lines
        .iter()
        .map(|it| it["written_at"].as_str().expect("a time"))
        .collect();
    assert!(written.is_sorted(), "{log}");
    for words in ["dismissed as test", "queued to"] {
        assert_eq!(line(words)["at"], line(words)["written_at"], "{log}");
    }
    // `--since` goes by the time of writing: the changes are older than an hour, the lines are not.
    let recent = bench.run(
        0,
        &["cases", "log", "1", "--since", "1h", "--format", "json"],
    );
    assert_eq!(recent, log);
    written.dedup();
    let table = bench.run(0, &["cases", "log", "1"]);
    let row = table.lines().find(|it| it.contains("level rose"));
    assert!(row.expect("a line").contains(&rise.to_table()), "{table}");
    let mails = read_mails(&bench);
    let closure = mails
        .iter()
        .find(|it| it["headers"]["X-Fluxwatch-Kind"] == "closure");
    let text = closure.expect("a closure")["parts"].to_string();
    let told = format!("Last change     {} UTC", last.to_table());
    assert!(text.contains(&told), "{text}");
}

#[test]
fn change_that_was_left_is_judged_when_the_time_of_its_source_has_come_there() {
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT + 200_000)));
    let other = |after: i64| {
        let at = Timestamp::from_unix(BEGINS_AT + after);
        format!(
            "{{\"at\":\"{at}\",\"zone\":\"example.\",\"rrname\":\"good.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"ttl\":60,\"rdata\":[\"ns{after}.good.test.\"]}}\n"
        )
    };
    let bench = Bench::new("");
    let pipeline = bench.pipeline(clock.clone());
    import(&pipeline, delegation_that_turns());
    assert_eq!(standing_of(&pipeline).2, 180);
    import(&pipeline, other(779));
    assert_eq!(standing_of(&pipeline).2, 180);
    import(&pipeline, other(780));
    let judged = ("report".to_owned(), 100.0, 480);
    assert_eq!(standing_of(&pipeline), judged);
    // All at once it comes to the same.
    let whole = Bench::new("");
    let pipeline = whole.pipeline(clock);
    import(
        &pipeline,
        delegation_that_turns() + &other(779) + &other(780),
    );
    assert_eq!(standing_of(&pipeline), judged);
    drop(pipeline);
    assert_eq!(case_of(&whole), case_of(&bench));
}

#[test]
fn change_of_a_live_primary_that_was_left_is_judged_once_it_is_due() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let zone = "$ORIGIN example.\n$TTL 3600\n@ IN SOA ns1.infra.test. host.infra.test. 1 3600 600 86400 300\n@ IN NS ns1.infra.test.\n";
    let knot = Knot::start(folder.path(), &[("example.", zone)]);
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}[[source]]\nname = \"tld\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"{}\"]\nkey = \"transfer.test.\"\n",
        bench.key_section(),
        knot.address()
    ));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT - 60)));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    for (minute, word) in (0..).zip(&WORDS) {
        knot.update(
            "example.",
            &format!(
                "update delete bad.example. NS\nupdate add bad.example. 60 NS ns1.{word}.test.\nupdate add bad.example. 60 NS ns2.{word}.test.\n"
            ),
        );
        clock.set(Timestamp::from_unix(BEGINS_AT + 60 * minute));
        poll(&pipeline);
    }
    let left = standing_of(&pipeline);
    assert_eq!((left.0.as_str(), left.2), ("review", 180));
    // The primary says no more.
    clock.set(Timestamp::from_unix(BEGINS_AT + 779));
    poll(&pipeline);
    assert_eq!(standing_of(&pipeline), left);
    clock.set(Timestamp::from_unix(BEGINS_AT + 780));
    poll(&pipeline);
    assert_eq!(standing_of(&pipeline), ("report".to_owned(), 100.0, 480));
}
