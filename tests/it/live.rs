//! What is followed as it grows is suspected at the same times as what is imported at once.

use std::sync::Arc;

use fluxwatch::time::{SetClock, Timestamp};

use crate::harness::{Bench, poll};
use crate::scenarios::internet::table;
use crate::scenarios::others::{MORE, tell_more};
use crate::scenarios::stories::{ALL, tell};
use crate::support::feeds::as_feed;

/// When every story begins, in Unix seconds.
const EPOCH: i64 = 1_790_000_000;
/// Stories that are told each time; `FLUXWATCH_LIVE` names others, with commas, or is `all`.
const STORIES: [&str; 5] = ["M6", "M16", "B14", "L1", "A4"];

/// A bench that follows a feed.
fn bench() -> Bench {
    let bench = Bench::new(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\n[enrich]\nasn = \"asn.csv\"\nhosting_asns = \"hosting.txt\"\n",
    );
    bench.write("asn.csv", table());
    let hosting: String = (0..60).map(|n| format!("{}\n", 200_000 + n)).collect();
    bench.write("hosting.txt", hosting);
    bench
}

/// Returns what the log says of when a story's domain was suspected, and how sure.
fn rises(bench: &Bench) -> Vec<String> {
    let cases = bench.cases();
    let case = cases
        .iter()
        .find(|case| case["domain"] == "subject.example.");
    if case.is_none() {
        return Vec::new();
    }
    let log = bench.json(&["cases", "log", "subject.example", "--format", "json"]);
    let log = log.as_array().expect("a list");
    let lines = log
        .iter()
        .map(|line| format!("{} {}: {}", line["at"], line["to"], line["note"]));
    let is_rise = |line: &String| {
        let words = ["opened:", "level rose", "held:"];
        words.iter().any(|word| line.contains(word))
    };
    lines.filter(is_rise).collect()
}

/// Follows a feed that grows, looked at every hour.
fn followed(feed: &str) -> Vec<String> {
    let bench = bench();
    bench.write("f.ndjson", "");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(EPOCH - 1)));
    let pipeline = bench.pipeline(Arc::clone(&clock));
    let at = |line: &str| -> i64 {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["at"].as_i64().expect("a time")
    };
    let mut lines: Vec<(i64, &str)> = feed.lines().map(|line| (at(line), line)).collect();
    lines.sort_by_key(|(at, _)| *at);
    let last = lines.last().expect("a line").0;
    let mut lines = lines.into_iter().peekable();
    let mut text = String::new();
    let mut now = EPOCH;
    while now < last + 3600 {
        while let Some((_, line)) = lines.next_if(|(at, _)| *at <= now) {
            text += line;
            text.push('\n');
        }
        bench.write("f.ndjson", &text);
        clock.set(Timestamp::from_unix(now));
        poll(&pipeline);
        now += 3600;
    }
    rises(&bench)
}

/// Brings a feed in at once.
fn imported(feed: &str) -> Vec<String> {
    let bench = bench();
    bench.write("f.ndjson", feed);
    bench.run(0, &["poll"]);
    rises(&bench)
}

#[test]
fn a_story_is_suspected_at_the_same_times_whether_it_is_followed_or_imported() {
    let asked = std::env::var("FLUXWATCH_LIVE").unwrap_or_else(|_| STORIES.join(","));
    let asked: Vec<&str> = asked.split(',').collect();
    let ids = ALL.iter().map(|it| it.0).chain(MORE.iter().map(|it| it.0));
    for id in ids.filter(|id| asked == ["all"] || asked.contains(id)) {
        let story = if id.starts_with(['L', 'A']) {
            tell_more(id, 502)
        } else {
            tell(id, 502)
        };
        let feed = as_feed(&story);
        assert_eq!(followed(&feed), imported(&feed), "{id}");
    }
}
