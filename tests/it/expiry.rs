//! A zone that was not seen for longer than its SOA's expire is shown as expired.

use fluxwatch::dns::Name;
use fluxwatch::store::{SourceKind, Store, StoreOptions};
use fluxwatch::time::{Clock, Span, WallClock};

use crate::harness::Bench;

/// Shows a zone of a source of a kind, seen an hour ago, with this expire. Returns its row and the exit status of
/// `status --failed`.
fn shown(kind: SourceKind, expire_s: u32) -> (bool, i32) {
    let bench = Bench::new("");
    let options = StoreOptions {
        reverse_index: true,
        create: true,
    };
    let store = Store::open(bench.store_url(), options).expect("made");
    let zone = Name::parse("example.").expect("a name");
    let source = store.zones().ensure_source("primary", kind).expect("made");
    store.zones().ensure_zone(&zone, source).expect("made");
    let seen = WallClock.now() - Span::hours(1);
    store
        .zones()
        .record_zone_attempt(&zone, seen, None)
        .expect("noted");
    store
        .zones()
        .save_soa_timers(&zone, 60, 60, expire_s)
        .expect("noted");
    drop(store);
    let expired = bench.status("example.")["expired"].as_bool();
    let status = bench.command(&["status", "--failed"]).output();
    let status = status.expect("started").status.code();
    (expired.expect("it is there"), status.expect("it ended"))
}

#[test]
fn zone_not_seen_for_longer_than_its_expire_is_told() {
    assert_eq!(shown(SourceKind::Transfer, 3000), (true, 1));
}

#[test]
fn zone_within_its_expire_or_from_a_file_is_not() {
    assert_eq!(shown(SourceKind::Transfer, 4000), (false, 0));
    assert_eq!(shown(SourceKind::Zonefile, 3000), (false, 0));
}
