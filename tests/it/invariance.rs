//! What must not matter does not: the same verdicts at the same times whatever the order and case of records,
//! whatever TTLs are, whatever else is in the database, and however the feed is cut.

use serde_json::Value;

use crate::harness::Bench;
use crate::numbers::Numbers;
use crate::scenarios::internet::table;
use crate::scenarios::stories::tell;
use crate::support::feeds::as_feed;

/// Stories that end at every level.
const STORIES: [&str; 4] = ["M5", "M6", "B11", "B17"];

/// A bench without lines.
fn bench() -> Bench {
    let bench = Bench::new(
        "[[source]]\nname = \"feed\"\nkind = \"feed\"\npath = \"f.ndjson\"\n[enrich]\nasn = \"asn.csv\"\n",
    );
    bench.write("asn.csv", table());
    bench
}

/// Returns what is found of the story's domain: everything but the case's number and, with it, its campaign's.
fn found(bench: &Bench) -> Value {
    let cases = bench.json(&["cases", "list", "--state", "all", "--format", "json"]);
    let cases = cases.as_array().expect("a list").iter();
    let mut case = cases
        .filter(|case| case["domain"] == "subject.example.")
        .map(Value::clone)
        .next()
        .unwrap_or(Value::Null);
    if let Some(case) = case.as_object_mut() {
        case.remove("id");
        case.remove("campaign");
    }
    case
}

/// Polls a feed and returns what is found.
fn found_in(feed: &str) -> Value {
    let bench = bench();
    bench.write("f.ndjson", feed);
    bench.run(0, &["poll"]);
    found(&bench)
}

/// Changes each line.
fn each_line(feed: &str, mut change: impl FnMut(&mut Value) -> Vec<Value>) -> String {
    let mut text = String::new();
    for line in feed.lines() {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        let more = change(&mut line);
        for line in [line].into_iter().chain(more) {
            text += &format!("{line}\n");
        }
    }
    text
}

#[test]
fn neither_order_nor_case_nor_ttl_nor_strangers_matter() {
    for id in STORIES {
        let feed = as_feed(&tell(id, 501));
        let plain = found_in(&feed);
        assert_eq!(plain.is_null(), id == "B11", "{id}: {plain}");
        let mut numbers = Numbers(7);
        let turned = each_line(&feed, |line| {
            let rdata = line["rdata"].as_array_mut().expect("a list");
            rdata.reverse();
            let name = line["rrname"].as_str().expect("text").to_uppercase();
            line["rrname"] = name.into();
            Vec::new()
        });
        assert_eq!(found_in(&turned), plain, "{id}: order and case");
        let ttls = each_line(&feed, |line| {
            // The same set again a second later, with another TTL.
            let mut again = line.clone();
            again["at"] = (line["at"].as_i64().expect("a time") + 1).into();
            again["ttl"] = numbers.between(1, 9000).into();
            vec![again]
        });
        assert_eq!(found_in(&ttls), plain, "{id}: TTLs");
        let mut turn = 0;
        let strangers = each_line(&feed, |line| {
            turn += 1;
            let mut other = line.clone();
            other["zone"] = "stranger.".into();
            other["rrname"] = format!("d{}.stranger.", turn % 7).into();
            other["rrtype"] = "NS".into();
            other["rdata"] = serde_json::json!([format!("ns{turn}.elsewhere{turn}.test.")]);
            vec![other]
        });
        assert_eq!(found_in(&strangers), plain, "{id}: other zones");
    }
}

#[test]
fn a_feed_that_is_cut_anywhere_is_judged_as_one() {
    let mut numbers = Numbers(11);
    for id in STORIES {
        let feed = as_feed(&tell(id, 501));
        let plain = found_in(&feed);
        let lines: Vec<&str> = feed.split_inclusive('\n').collect();
        let bench = bench();
        let mut cuts: Vec<usize> = (0..3)
            .map(|_| numbers.below(lines.len() as u64) as usize)
            .collect();
        cuts.extend([1, lines.len()]);
        cuts.sort_unstable();
        for cut in cuts {
            bench.write("f.ndjson", lines[..cut].concat());
            bench.run(0, &["poll"]);
        }
        let cut = found(&bench);
        // The last judgement of a run is of its own time; who is accused, of what and since when is the same.
        for key in [
            "verdict",
            "peak_level",
            "state",
            "first_detected_at",
            "last_change_at",
        ] {
            assert_eq!(cut.get(key), plain.get(key), "{id}: {key}");
        }
    }
}
