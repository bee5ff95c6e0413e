//! PgBouncer between fluxwatch and the server.

use crate::engines::watched::{Pair, wait_until};
use crate::engines::{cases, chains, with_flux};
use crate::harness::{Bench, Running};
use crate::servers::{PgBouncer, Postgres};
use crate::support::stores::has_no_file;

/// What takes the schema in the URL. It is then the server's role that has it.
const OPTIONS: &str = "ignore_startup_parameters = options,extra_float_digits";

#[test]
fn pooler_that_keeps_sessions_is_as_good_as_none() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    server.url("one");
    server.sql("alter role fluxwatch set search_path = one");
    let pooler = PgBouncer::start(folder.path(), &server, "session", OPTIONS);
    let url = format!("postgres://fluxwatch@127.0.0.1:{}/postgres", pooler.port());
    let file = with_flux(Bench::new(""));
    file.run(0, &["poll"]);
    let there = with_flux(Bench::on(&url, ""));
    there.run(0, &["poll"]);
    assert_eq!(
        (cases(&there), chains(&there)),
        (cases(&file), chains(&file))
    );
    let first = Running::start(&there, &["run"]);
    let second = with_flux(Bench::on(&url, ""));
    wait_until("it polls", || first.log().contains("watching"));
    let second = Running::start(&second, &["run"]);
    wait_until("the other stands by", || {
        second.log().contains("standing by")
    });
    first.stop();
    wait_until("it takes over", || {
        second.log().contains("took the poller's lock")
    });
    second.stop();
}

#[test]
fn pooler_that_takes_no_options_is_told() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let pooler = PgBouncer::start(folder.path(), &server, "session", "");
    let bench = Bench::on(
        &server
            .url("one")
            .replace(&server.port().to_string(), &pooler.port().to_string()),
        "",
    );
    let said = bench.run_stderr(2, &["poll"]);
    assert!(said.contains("ignore_startup_parameters"), "{said}");
}

#[test]
fn pooler_that_gives_each_transaction_another_session_is_refused_and_stores_nothing_wrong() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    server.url("one");
    server.sql("alter role fluxwatch set search_path = one");
    let pooler = PgBouncer::start(folder.path(), &server, "transaction", OPTIONS);
    let url = format!("postgres://fluxwatch@127.0.0.1:{}/postgres", pooler.port());
    let pair = Pair::new("one", &url, &url);
    for command in ["poll", "run"] {
        let said = pair.first.run_stderr(2, &[command]);
        assert!(said.contains("add pool_mode=transaction to"), "{said}");
    }
    assert_eq!(
        server.sql("select count(*) from pg_tables where schemaname = 'one'"),
        "0"
    );
}
