//! A standby takes the place of its primary: nothing is lost of what a synchronous one has, and what an asynchronous one
//! had not received is told and taken in again.

use std::time::{Duration, Instant};

use crate::engines::watched::{Pair, wait_until};
use crate::engines::{cases, chains, with_flux};
use crate::harness::{Bench, Running};
use crate::servers::Postgres;
use crate::support::proxy::{Proxy, Way};
use crate::support::stores::has_no_file;
use fluxwatch::store::{Store, StoreOptions, StoreTx};

/// How soon the next version has to be there after the promoted server takes writes.
const NEXT_WITHIN: Duration = Duration::from_secs(10);

/// Returns how often a server has a standby in step.
fn has_standby(server: &Postgres, state: &str) -> bool {
    let sql = format!("select count(*) from pg_stat_replication where sync_state = '{state}'");
    server.sql(&sql) == "1"
}

#[test]
fn promotion_of_a_synchronous_standby_loses_nothing() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let primary = Postgres::start(folder.path());
    primary.url("one");
    let standby = primary.standby(folder.path(), "other");
    primary.set("synchronous_standby_names", "other");
    wait_until("the standby is synchronous", || {
        has_standby(&primary, "sync")
    });
    let url = primary.url_of_both(&standby, "one");
    let mut pair = Pair::new("one", &url, &url);
    let service = Running::start(&pair.first, &["run"]);
    pair.wait_for_newest(&primary, "the service polls");
    for _ in 0..5 {
        pair.change();
        pair.wait_for_newest(&primary, "the primary has it");
    }
    let status = pair.first.run_stderr(0, &["status"]);
    assert!(
        status.contains("standby other: in step, synchronous")
            && status.contains(&format!("polled by process {}", service.id())),
        "{status}"
    );
    pair.change();
    let committed = pair.versions(&primary);
    primary.kill();
    standby.promote();
    standby.sql("alter system set synchronous_standby_names = ''");
    let began = Instant::now();
    let there = pair.versions(&standby);
    assert!(committed.is_subset(&there), "{committed:?} {there:?}");
    pair.change();
    pair.wait_for_newest(&standby, "after the promotion");
    let took = began.elapsed();
    eprintln!(
        "the next version was there {:.1} s after the promotion",
        took.as_secs_f64()
    );
    assert!(took < NEXT_WITHIN, "{took:?}: {}", service.log());
    let log = service.log();
    assert!(log.contains("a standby was promoted"), "{log}");
    service.stop();
    pair.check(&standby);
}

#[test]
fn what_an_asynchronous_standby_had_not_received_is_told_and_taken_in_again() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let primary = Postgres::start(folder.path());
    primary.url("one");
    Bench::on(&primary.url("one"), "").run(0, &["poll"]);
    let to_primary = Proxy::to(primary.port());
    let standby = primary.standby_by(folder.path(), "other", to_primary.port());
    wait_until("the standby follows", || has_standby(&primary, "async"));
    let url = primary.url_of_both(&standby, "one");
    let expected = {
        let file = with_flux(Bench::new(""));
        file.run(0, &["poll"]);
        (cases(&file), chains(&file))
    };
    // Everything of this pass is lost: the versions, the case, and that it was mailed. The mail itself is out.
    let bench = with_flux(Bench::on(&url, ""));
    to_primary.go(Way::Silent);
    bench.run(0, &["poll"]);
    assert_eq!(bench.maildir().len(), 1);
    primary.kill();
    to_primary.go(Way::Closed);
    standby.promote();
    assert_eq!(standby.sql("select count(*) from one.version"), "0");
    let output = bench.command(&["poll"]).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("a standby was promoted"), "{said}");
    assert_eq!((cases(&bench), chains(&bench)), expected);
    // The desk hears of it again, rather than not at all: a mail of its own.
    assert_eq!(bench.maildir().len(), 2);
    assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
    // Once is enough.
    let again = bench.run_stderr(0, &["poll"]);
    assert!(!again.contains("promoted"), "{again}");
}

#[test]
fn work_of_several_transactions_is_begun_anew_at_another_server() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let primary = Postgres::start(folder.path());
    primary.url("one");
    let standby = primary.standby(folder.path(), "other");
    let bench = Bench::on(&primary.url_of_both(&standby, "one"), "");
    bench.run(0, &["poll"]);
    let options = StoreOptions {
        reverse_index: true,
        create: false,
    };
    let store = Store::open(bench.store_url(), options).expect("it opens");
    let write = || store.begin_batch().and_then(StoreTx::commit);
    write().expect("it is written");
    let (position, of) = ("select count(*) from one.version", &standby);
    wait_until("the standby has it", || of.try_sql(position).is_ok());
    primary.kill();
    standby.promote();
    // What a pass has stored so far may be gone, so that it must not go on: it hears of it once.
    let mut faults = Vec::new();
    for _ in 0..10 {
        faults.extend(write().err().map(|fault| fault.to_string()));
    }
    let moved = |fault: &&String| fault.contains("another server has taken the place");
    assert_eq!(faults.iter().filter(moved).count(), 1, "{faults:?}");
    write().expect("it is written there");
    assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
}

#[test]
fn service_goes_on_at_an_asynchronous_standby_from_what_that_has() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let primary = Postgres::start(folder.path());
    primary.url("one");
    let to_primary = Proxy::to(primary.port());
    let standby = primary.standby_by(folder.path(), "other", to_primary.port());
    wait_until("the standby follows", || has_standby(&primary, "async"));
    let url = primary.url_of_both(&standby, "one");
    // A zone file, which is compared by a cache of digests.
    let source = "[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"example.zone\"\nevery = \"1s\"\n";
    let bench = Bench::on(&url, source);
    let write = |serial: u32, hosts: &[&str]| {
        let lines = hosts.iter().enumerate();
        let lines = lines.map(|(place, host)| format!("n{place}.example. 300 IN NS {host}.\n"));
        let text: String = lines.collect();
        bench.write(
            "example.zone",
            format!("example. 3600 IN SOA a.example. b.example. {serial} 1 1 1 1\nexample. 300 IN NS a.example.\na.example. 300 IN A 192.0.2.1\n{text}"),
        );
    };
    let serial_at = |server: &Postgres| {
        server
            .try_sql("select serial from one.zone")
            .unwrap_or_default()
    };
    write(1, &["ns.one.test", "ns.one.test", "ns.one.test"]);
    let service = Running::start(&bench, &["run"]);
    wait_until("version 1", || serial_at(&standby) == "1");
    write(2, &["ns.two.test", "ns.one.test", "ns.one.test"]);
    wait_until("version 2", || serial_at(&standby) == "2");
    // Version 3 is lost, and the zone that comes instead of it differs from version 2 in other names.
    to_primary.go(Way::Silent);
    write(3, &["ns.two.test", "ns.three.test", "ns.one.test"]);
    wait_until("version 3", || serial_at(&primary) == "3");
    primary.kill();
    to_primary.go(Way::Closed);
    write(4, &["ns.one.test", "ns.one.test", "ns.three.test"]);
    standby.promote();
    wait_until("version 4", || serial_at(&standby) == "4");
    let log = service.log();
    assert!(log.contains("a standby was promoted"), "{log}");
    service.stop();
    for (name, host) in [
        ("n0", "ns.one.test"),
        ("n1", "ns.one.test"),
        ("n2", "ns.three.test"),
    ] {
        let history = bench.run(
            0,
            &["history", &format!("{name}.example"), "--at", "2099-01-01"],
        );
        assert!(history.contains(host), "{name}: {history}");
    }
    assert_eq!(standby.sql("select count(*) from one.version"), "3");
    assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
}
