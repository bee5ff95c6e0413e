//! PgBouncer that gives each transaction another session of the server: as good as a session of one's own.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::engines::checker::count_note;
use crate::engines::network::{check_stopped, signal, start};
use crate::engines::watched::{Pair, wait_until};
use crate::engines::{cases, chains, with_flux};
use crate::harness::{Bench, Running};
use crate::servers::{PgBouncer, Postgres, url_by};
use crate::support::proxy::{AtCommit, Proxy, Way};
use crate::support::stores::has_no_file;
use fluxwatch::store::{Store, StoreOptions, StoreTx};

/// Few sessions for many clients: who comes next gets one that somebody else had.
const FEW: &str = "default_pool_size = 4";

/// Starts a server and a pooler before it.
fn behind(folder: &tempfile::TempDir, schema: &str) -> (Postgres, PgBouncer) {
    let server = Postgres::start(folder.path());
    server.url(schema);
    let pooler = PgBouncer::start(folder.path(), &server, "transaction", FEW);
    (server, pooler)
}

/// Returns what a file has of the same.
fn expected() -> (Vec<Value>, BTreeMap<String, Value>) {
    let file = with_flux(Bench::new(""));
    file.run(0, &["poll"]);
    (cases(&file), chains(&file))
}

/// Leaves in the server's sessions what a session of fluxwatch has otherwise.
fn spoil(pooler: &PgBouncer) {
    let spoilt = "set search_path = pg_catalog; set default_transaction_read_only = on;
                  set default_transaction_isolation = serializable; set synchronous_commit = off;
                  prepare s0 as select 1; prepare s1 as select 1; prepare s2 as select 1; select pg_sleep(0.5)";
    let all: Vec<_> = (0..4)
        .map(|_| {
            let url = format!("postgres://fluxwatch@127.0.0.1:{}/postgres", pooler.port());
            let psql = Command::new("psql")
                .args(["-qAt", &url, "-c", spoilt])
                .spawn();
            psql.expect("psql is there")
        })
        .collect();
    for mut psql in all {
        assert!(psql.wait().expect("it ends").success());
    }
}

#[test]
fn history_and_cases_are_the_same_whatever_a_session_was_left_with() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (server, pooler) = behind(&folder, "one");
    spoil(&pooler);
    let there = with_flux(Bench::on(&pooler.url("one"), ""));
    there.run(0, &["poll", "--dry-run"]);
    assert_eq!(
        server
            .try_sql("select count(*) from one.version")
            .unwrap_or("0".to_owned()),
        "0"
    );
    there.run(0, &["poll"]);
    assert_eq!((cases(&there), chains(&there)), expected());
    assert!(there.run(0, &["db", "verify"]).starts_with("sound"));
    there.run(
        0,
        &["cases", "note", "1", "--note", "seen", "--by", "alice"],
    );
    assert_eq!(count_note(&there, "seen"), 1);
    // The same of a file that is moved there, by many rows.
    let file = with_flux(Bench::new(""));
    file.run(0, &["poll"]);
    server.url("two");
    file.run(0, &["db", "move", "--to", &pooler.url("two")]);
    let moved = Bench::on(&pooler.url("two"), "");
    assert!(moved.run(0, &["db", "verify"]).starts_with("sound"));
    assert_eq!(chains(&moved), chains(&file));
}

#[test]
fn one_polls_and_another_takes_over_when_it_is_stopped_or_killed() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (server, pooler) = behind(&folder, "one");
    let url = pooler.url("one");
    let mut pair = Pair::new("one", &url, &url);
    let first = Running::start(&pair.first, &["run"]);
    pair.wait_for_newest(&server, "the first service polls");
    let second = Running::start(&pair.second, &["run"]);
    wait_until("the other stands by", || {
        second.log().contains("standing by")
    });
    let status = pair.second.run_stderr(0, &["status"]);
    assert!(
        status.contains(&format!("polled by process {}", first.id())),
        "{status}"
    );
    // The transaction that holds the lock holds back no vacuum.
    let held = "select count(*) from pg_stat_activity
                 where state = 'idle in transaction' and (backend_xmin is not null or backend_xid is not null)
                       and now() - state_change > '1s'";
    assert_eq!(server.sql(held), "0");
    first.signal("KILL");
    wait_until("it takes over", || {
        second.log().contains("took the poller's lock")
    });
    pair.change();
    pair.wait_for_newest(&server, "the second service polls");
    let third = Running::start(&pair.first, &["run"]);
    wait_until("the third stands by", || {
        third.log().contains("standing by")
    });
    second.stop();
    pair.change();
    pair.wait_for_newest(&server, "the third service polls");
    third.stop();
    pair.check(&server);
}

#[test]
fn poller_that_is_stopped_is_fenced() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (server, pooler) = behind(&folder, "one");
    let proxy = Proxy::to(pooler.port());
    Bench::on(&server.url("one"), "").run(0, &["poll"]);
    let first = with_flux(Bench::on(&url_by(proxy.port(), "one"), ""));
    proxy.end_at_commit(AtCommit::Hold, 6);
    let child = start(&first);
    wait_until("it commits", || proxy.ended() == 1);
    signal(&child, "STOP");
    check_stopped(&server, child, &first, "one");
}

#[test]
fn commit_whose_answer_is_lost_on_either_side_of_the_pooler_is_found_out() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let near = with_flux(Bench::on(&server.url("one"), ""));
    near.run(0, &["poll"]);
    let behind = Proxy::to(server.port());
    let pooler = PgBouncer::start(folder.path(), &server, "transaction", FEW);
    pooler.send_to(behind.port());
    let before = Proxy::to(pooler.port());
    let far = with_flux(Bench::on(&url_by(before.port(), "one"), ""));
    for (proxy, side) in [(&before, "before"), (&behind, "behind")] {
        let notes = ["done", "undone"].map(|it| format!("{side} {it}"));
        let step = |note| ["cases", "note", "1", "--note", note, "--by", "alice"];
        let ended = proxy.ended();
        proxy.end_at_commit(AtCommit::After, 0);
        far.run(0, &step(&notes[0]));
        assert_eq!(
            (proxy.ended(), count_note(&near, &notes[0])),
            (ended + 1, 1)
        );
        proxy.end_at_commit(AtCommit::Before, 0);
        let said = far.run_stderr(4, &step(&notes[1]));
        assert!(said.contains("nothing of it was stored"), "{said}");
        assert_eq!(
            (proxy.ended(), count_note(&near, &notes[1])),
            (ended + 2, 0)
        );
    }
    assert!(near.run(0, &["db", "verify"]).starts_with("sound"));
}

#[test]
fn work_is_begun_anew_when_the_pooler_is_sent_to_a_standby_that_was_promoted() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (primary, pooler) = behind(&folder, "one");
    let to_primary = Proxy::to(primary.port());
    Bench::on(&primary.url("one"), "").run(0, &["poll"]);
    let standby = primary.standby_by(folder.path(), "other", to_primary.port());
    wait_until("the standby follows", || {
        primary.sql("select count(*) from pg_stat_replication") == "1"
    });
    let bench = with_flux(Bench::on(&pooler.url("one"), ""));
    let options = StoreOptions {
        reverse_index: true,
        create: false,
    };
    let store = Store::open(bench.store_url(), options).expect("it opens");
    let write = || store.begin_batch().and_then(StoreTx::commit);
    write().expect("it is written");
    // Of this pass the standby hears nothing.
    to_primary.go(Way::Silent);
    bench.run(0, &["poll"]);
    assert_eq!(bench.maildir().len(), 1);
    // The old primary still runs: the pooler alone says where its clients are, and none of them loses its connection.
    to_primary.go(Way::Closed);
    standby.promote();
    pooler.send_to(standby.port());
    wait_until("the pooler goes there", || {
        let bench = Bench::on(&pooler.url("one"), "");
        bench
            .run_stderr(0, &["status"])
            .contains(&standby.port().to_string())
    });
    let said = bench.run_stderr(0, &["poll"]);
    assert!(said.contains("a standby was promoted"), "{said}");
    let mut faults = Vec::new();
    for _ in 0..10 {
        faults.extend(write().err().map(|fault| fault.to_string()));
    }
    let moved = |fault: &&String| fault.contains("another server has taken the place");
    assert_eq!(
        (faults.len(), faults.iter().filter(moved).count()),
        (1, 1),
        "{faults:?}"
    );
    assert_eq!((cases(&bench), chains(&bench)), expected());
    assert_eq!(bench.maildir().len(), 2);
    assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
}
