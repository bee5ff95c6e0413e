//! Which zones a feed that is pushed to may write.

use fluxwatch::config::Feeding;
use std::fs;

use fluxwatch::pipeline::{Pipeline, PollOptions};
use fluxwatch::time::{SetClock, Timestamp};
use std::sync::Arc;

use crate::harness::Bench;

/// A transferred zone, and two feeds that take pushed lines: one of any zone, one of `example.`.
const SOURCES: &str = "
[[source]]
name = \"primary\"
kind = \"transfer\"
zone = \"sub.example.\"
primaries = [\"127.0.0.1:9\"]
[[source]]
name = \"any\"
kind = \"feed\"
push = true
[[source]]
name = \"named\"
kind = \"feed\"
push = true
zone = \"test.\"
[web]
listen = \"127.0.0.1:9754\"
token_file = \"token\"
";

/// Pushes a line about a zone to a feed. Returns whether the zone was written.
fn is_written(pipeline: &Pipeline, feed: &str, zone: &str) -> bool {
    let owner = if zone == "." { "new." } else { "new.example." };
    let line = format!(
        "{{\"at\":1793000000,\"zone\":\"{zone}\",\"rrname\":\"{owner}\",\"rrtype\":\"NS\",\"op\":\"set\",\"rdata\":[\"ns.a.test.\"]}}\n"
    );
    let sources = &pipeline.config().sources;
    let source = sources
        .iter()
        .find(|it| it.name == feed)
        .expect("configured");
    let Feeding::Feed(settings) = &source.feeding else {
        panic!("{feed} is a feed");
    };
    pipeline
        .ingest()
        .push_feed(feed, settings, line.as_bytes(), &PollOptions::default())
        .expect("pushed");
    let zone = fluxwatch::dns::Name::parse(zone).expect("a name");
    pipeline
        .store()
        .zones()
        .find_zone(&zone)
        .expect("read")
        .is_some()
}

/// Makes a pipeline over these sources.
fn pipeline(bench: &Bench) -> Pipeline {
    let token = bench.write("token", "a-token-of-some-length\n");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(token, private).expect("the mode can be set");
    let clock = SetClock::new(Timestamp::from_unix(1_793_000_100));
    bench.pipeline(Arc::new(clock))
}

#[test]
fn token_writes_neither_the_root_nor_what_lies_above_a_watched_zone() {
    let bench = Bench::new(SOURCES);
    let pipeline = pipeline(&bench);
    assert!(!is_written(&pipeline, "any", "."));
    assert!(!is_written(&pipeline, "any", "example."));
    assert!(is_written(&pipeline, "any", "new.example."));
    let rejected = bench.run(0, &["import", "rejected"]);
    assert!(rejected.contains("only a feed with zone"), "{rejected}");
}

#[test]
fn feed_that_names_the_zone_above_may_be_pushed_it() {
    let bench = Bench::new(&SOURCES.replace("zone = \"test.\"", "zone = \"example.\""));
    let pipeline = pipeline(&bench);
    assert!(is_written(&pipeline, "named", "example."));
}
