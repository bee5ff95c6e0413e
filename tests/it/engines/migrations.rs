//! Tables that are made, and a migration, that end at any message to the server and at any statement that changes a table.

use crate::engines::packed::{At, SOURCE, readings, unpack, write_versions};
use crate::harness::Bench;
use crate::servers::Postgres;
use crate::support::proxy::{Proxy, Way};
use crate::support::stores::has_no_file;

/// Ends the session that changes tables at one of its statements: the one whose turn it is.
const ENDS_AT_A_TURN: &str = "
    create schema turns; create sequence turns.taken; create table turns.last (turn bigint);
    insert into turns.last values (0);
    create function turns.take() returns event_trigger language plpgsql as $$ begin
        if nextval('turns.taken') = (select turn from turns.last) then
            perform pg_terminate_backend(pg_backend_pid());
        end if; end $$;
    create event trigger take_turns on ddl_command_end execute function turns.take()";

/// The indexes from data to owners, which are made after the tables, by themselves.
const MADE_LATER: &str = "_by_(host|a|aaaa)$";

/// Returns what tells one state of a schema's tables from every other: columns, indexes, which schema it is, and the rows
/// of what a migration packs.
fn state(server: &Postgres) -> String {
    let columns = server.sql(
        "select string_agg(concat_ws(' ', table_name, column_name, data_type, column_default), ', '
                           order by table_name, ordinal_position)
           from information_schema.columns where table_schema = 'one'",
    );
    let indexes = server.sql(&format!(
        "select string_agg(indexdef, ', ' order by indexdef)
           from pg_indexes where schemaname = 'one' and indexname !~ '{MADE_LATER}'"
    ));
    // Tables that are not there have no rows.
    let rows = |sql: &str| server.try_sql(sql).unwrap_or_default();
    let schema = rows("select value from one.meta where key = 'schema'");
    let packed =
        rows("select md5(string_agg(t::text, ',' order by t::text)) from one.shared_change t");
    [columns, indexes, schema, packed].join("\n")
}

/// Runs a command whose sessions end at one message, and then at one statement that changes a table, until it is not
/// reached any more. The tables are each time as they were, or as the command leaves them. Returns how often it was ended.
fn check_every_end(server: &Postgres, command: &[&str], make_old: &dyn Fn(), step: usize) -> u32 {
    let proxy = Proxy::to(server.port());
    let near = Bench::on(&server.url("one"), "");
    let far = Bench::on(&server.url_at(proxy.port(), "one"), "");
    make_old();
    let old = state(server);
    let mut ends = 0;
    let mut check_one = |bench: &Bench, place: usize, was_ended: &dyn Fn() -> bool| {
        let output = bench.command(command).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !was_ended() {
            assert!(output.status.success(), "{place}: {said}");
            return false;
        }
        ends += 1;
        // It may have done by then what it was to do.
        let is_told = output.status.success() || said.contains("hint: ");
        assert!(is_told, "{place}: {said}");
        // A session that was cut may not have noticed yet.
        crate::engines::watched::wait_until("the session's end", || {
            server.sql("select count(*) from pg_stat_activity where query <> '' and datname = 'postgres' and pid <> pg_backend_pid() and backend_type = 'client backend'") == "0"
        });
        if state(server) != old {
            // All of it is there: the same command finds nothing to do.
            let done = state(server);
            near.run(0, command);
            assert_eq!(state(server), done, "{place}: {said}");
            make_old();
            assert_eq!(state(server), old, "{place}");
        }
        true
    };
    for place in (0..).step_by(step) {
        proxy.cut_after(u32::try_from(place).expect("few"));
        let goes_on = check_one(&far, place, &|| proxy.was_cut());
        proxy.go(Way::Open);
        if !goes_on {
            break;
        }
    }
    make_old();
    server.sql(ENDS_AT_A_TURN);
    for turn in (1..).step_by(step) {
        server.sql(&format!(
            "update turns.last set turn = {turn}; select setval('turns.taken', 1, false)"
        ));
        let was_ended = || {
            let taken = server.sql("select last_value from turns.taken");
            taken.parse::<usize>().expect("a number") >= turn
        };
        if !check_one(&near, turn, &was_ended) {
            break;
        }
    }
    server.sql("drop event trigger take_turns; drop schema turns cascade");
    ends
}

#[test]
fn migration_that_ends_at_any_message_or_statement_is_done_whole_or_not_at_all() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let bench = Bench::on(&server.url("one"), SOURCE);
    write_versions(&bench);
    bench.run(0, &["poll"]);
    let before = readings(&bench);
    let at = At::Server(&server);
    let rows = unpack(&at.parts());
    let make_old = || at.make_old(&rows);
    let ends = check_every_end(&server, &["status"], &make_old, 1);
    eprintln!("the migration from schema 15 was ended {ends} times");
    assert!(ends >= 20, "{ends}");
    assert_eq!(readings(&bench), before);
}

#[test]
fn tables_whose_making_ends_at_any_message_or_statement_are_all_there_or_none() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    server.url("one");
    let make_old = || drop(server.sql("drop schema one cascade; create schema one"));
    let ends = check_every_end(&server, &["poll"], &make_old, 7);
    eprintln!("the making of the tables was ended {ends} times");
    assert!(ends >= 10, "{ends}");
    let bench = Bench::on(&server.url("one"), SOURCE);
    write_versions(&bench);
    bench.run(0, &["poll"]);
    assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
    let made_later = format!(
        "select count(*) from pg_indexes where schemaname = 'one' and indexname ~ '{MADE_LATER}'"
    );
    assert_eq!(server.sql(&made_later), "6");
}
