//! Lookups of names on a server: what they wait for, and that nothing of another state is among the answers.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;

use fluxwatch::dns::Name;
use fluxwatch::place::{ServerUrl, StoreUrl};
use fluxwatch::store::{History, HistoryScope, Store, StoreError, Wanted};

use crate::harness::Bench;
use crate::servers::Postgres;
use crate::support::lookups::{FEED, line};
use crate::support::stores::has_no_file;

/// How often a lookup by a session that has looked up before waits for the server.
const WAITS_MAX: u64 = 3;

/// Adds lines to the feed of benches, and has each read them.
fn tell(benches: [&Bench; 2], lines: &str) {
    for bench in benches {
        let mut feed = OpenOptions::new()
            .create(true)
            .append(true)
            .open(bench.path().join("f.ndjson"))
            .expect("opened");
        feed.write_all(lines.as_bytes()).expect("written");
        bench.run(0, &["poll"]);
    }
}

/// Returns the histories of a name, and how often the database was asked.
fn look_up(store: &Store, name: &str, scope: HistoryScope) -> (Vec<History>, u64) {
    let before = store.call_count();
    let name = Name::parse(name).expect("sound");
    let mut pages = store
        .lookup()
        .history_pages(&name, scope, &Wanted::default(), None);
    let mut all = Vec::new();
    while !pages.is_done() {
        all.extend(pages.next_page(100).expect("read"));
    }
    (all, store.call_count() - before)
}

#[test]
fn lookup_waits_for_a_server_a_few_times_and_tells_what_a_file_tells() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let url = server.url("one");
    let (file, there) = (Bench::new(FEED), Bench::on(&url, FEED));
    let of = |day: u32, zone: &str, name: &str, rtype: &str, rdata: &[&str]| {
        line(
            &format!("2026-03-{day:02}T12:00:00Z"),
            zone,
            name,
            rtype,
            rdata,
        )
    };
    let first = of(
        1,
        "example.",
        "bad.example.",
        "NS",
        &["ns1.bad.example.", "ns.host.test."],
    ) + &of(1, "example.", "ns1.bad.example.", "A", &["192.0.2.1"])
        + &of(2, "example.", "good.example.", "NS", &["ns.host.test."])
        + &of(9, "example.", "bad.example.", "NS", &["ns2.other.test."]);
    tell([&file, &there], &first);
    let url = ServerUrl::parse(&url, there.path().join("cache")).expect("sound");
    let reader = Store::open_read_only(StoreUrl::Server(Arc::new(url))).expect("opened");
    let of_file = Store::open_read_only(file.path().join("fluxwatch.db")).expect("opened");
    let compare = || {
        for name in [
            "bad.example.",
            "good.example.",
            "example.",
            "www.bad.example.",
            "a.test.",
        ] {
            for scope in [
                HistoryScope::Name,
                HistoryScope::AtOrBelow,
                HistoryScope::Below,
            ] {
                // The second time what is asked is guessed from the first.
                for _ in 0..2 {
                    let (found, _) = look_up(&reader, name, scope);
                    assert_eq!(found, look_up(&of_file, name, scope).0, "{name} {scope:?}");
                }
            }
        }
    };
    compare();
    let (found, waits) = look_up(&reader, "bad.example.", HistoryScope::Name);
    assert_eq!(found[0].records.len(), 3, "{found:?}");
    assert!(waits <= WAITS_MAX, "{waits}");
    assert!(reader.is_current().expect("asked"));
    assert_eq!(look_up(&reader, "good.example.", HistoryScope::Name).1, 3);

    // A zone that lies between: what is guessed of the one above is not all any more.
    tell(
        [&file, &there],
        &(of(12, "bad.example.", "bad.example.", "A", &["192.0.2.9"])
            + &of(12, "bad.example.", "www.bad.example.", "A", &["192.0.2.9"])
            + &of(13, "example.", "good.example.", "NS", &[])),
    );
    compare();
    let zones: Vec<usize> = look_up(&reader, "bad.example.", HistoryScope::Name)
        .0
        .iter()
        .map(|it| it.records.len())
        .collect();
    assert_eq!(zones, [1, 3]);

    // A newer program has changed the tables: no answer, and another session is opened next time.
    server.sql("update one.meta set value = one.number_as_data(999) where key = 'schema'");
    let name = Name::parse("bad.example.").expect("sound");
    let refused = reader.lookup().history(&name, HistoryScope::Name);
    assert!(
        matches!(refused, Err(StoreError::Newer { found: 999, .. })),
        "{refused:?}"
    );
    assert!(!reader.is_current().expect("asked"));
}
