//! One domain that changes every minute: what a change costs, and what is said of what is left out.

use std::fmt::Write as _;
use std::io::Cursor;
use std::sync::Arc;

use fluxwatch::pipeline::{FeedImport, Pipeline, PollOptions};
use fluxwatch::time::{SetClock, Timestamp};

use crate::harness::Bench;

const BEGINS_AT: i64 = 1_790_000_000;

/// The lines of changes `from` to `to` of a name's two addresses, each never seen before.
fn lines(from: i64, to: i64) -> String {
    let mut feed = String::new();
    for i in from..to {
        let at = Timestamp::from_unix(BEGINS_AT + 60 * i);
        let address = |n: i64| {
            let place = i + n;
            format!(
                "{}.{}.{}.{n}",
                11 + place % 100,
                place * 7 % 251,
                place / 251
            )
        };
        let (one, other) = (address(1), address(2));
        writeln!(feed, r#"{{"at":"{at}","zone":"bad.example.","rrname":"www.bad.example.","rrtype":"A","op":"set","ttl":60,"rdata":["{one}","{other}"]}}"#).expect("written to memory");
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
    let reports = pipeline.import_feed(import, &options).expect("imported");
    assert_eq!(reports.len(), 1);
}

#[test]
fn a_change_reads_no_more_after_a_thousand_changes_than_after_some_hundred() {
    let bench = Bench::new("");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT + 200_000)));
    let pipeline = bench.pipeline(clock);
    let read_by = |from: i64, to: i64| {
        let before = pipeline.store().rows_read();
        import(&pipeline, lines(from, to));
        (pipeline.store().rows_read() - before) / (to - from) as u64
    };
    import(&pipeline, lines(0, 100));
    let few = read_by(100, 200);
    read_by(200, 900);
    let many = read_by(900, 1000);
    // Each reads its whole history of some 300 intervals, or 2,000 would be read.
    assert!(few >= 200, "{few} rows a change");
    assert!(many < 3 * few / 2, "{many} rows a change, {few} before");
}

#[test]
fn flux_that_is_too_long_to_be_judged_whole_is_reported_and_says_what_is_left_out() {
    let bench = Bench::new("");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(BEGINS_AT + 400_000)));
    let pipeline = bench.pipeline(clock);
    import(&pipeline, lines(0, 4200));
    drop(pipeline);
    let told = bench.run(0, &["explain", "bad.example"]);
    assert!(told.contains("level report"), "{told}");
    assert!(told.contains("left out"), "{told}");
}
