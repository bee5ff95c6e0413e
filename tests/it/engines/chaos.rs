//! kill -9 of whoever works with the database, and of the server; two pollers at once; and a control run in which what
//! protects history is off, so that it is known that the checker sees.
//!
//! `FLUXWATCH_KILLS` sets how often (10 by default here).

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::engines::checker::{check_mails, count_note, faults};
use crate::engines::watched::{Pair, wait_until};
use crate::engines::{cases, chains, with_flux};
use crate::harness::{Bench, Running};
use crate::numbers::Numbers;
use crate::servers::Postgres;
use crate::support::stores::has_no_file;

/// Returns how often something is to be killed.
fn kills() -> u32 {
    let wanted = std::env::var("FLUXWATCH_KILLS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(10)
}

#[test]
fn kills_of_poller_service_deliverer_desk_and_server_lose_and_double_nothing() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let expected = {
        let file = with_flux(Bench::new(""));
        file.run(0, &["poll"]);
        (cases(&file), chains(&file))
    };
    let mut numbers = Numbers(20_261_130);
    let (mut done, mut round) = (0, 0);
    while done < kills() {
        let schema = format!("chaos_{round}");
        round += 1;
        let bench = with_flux(Bench::on(&server.url(&schema), ""));
        // Notes of which the program said that they are done, and all that were begun.
        let (mut acknowledged, mut begun) = (Vec::new(), Vec::new());
        for _ in 0..10.min(kills() - done) {
            let note = format!("note {done}");
            let arguments: Vec<&str> = match done % 5 {
                0 => vec!["poll"],
                1 => vec!["run"],
                2 => vec!["cases", "note", "1", "--note", &note, "--by", "alice"],
                3 => vec!["outbox", "retry"],
                _ => vec!["poll"],
            };
            let mut child = bench
                .command(&arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the program can be started");
            let most = if done % 5 == 2 || done % 5 == 3 {
                250
            } else {
                1_600
            };
            sleep(Duration::from_millis(20 + numbers.below(most)));
            if done % 5 == 4 {
                server.kill();
                child.wait().expect("it ends");
                server.go_on();
            } else {
                // It may have ended by itself.
                let _ = child.kill();
                let status = child.wait().expect("it ends");
                if done % 5 == 2 {
                    begun.push(note.clone());
                    if status.success() {
                        acknowledged.push(note);
                    }
                }
            }
            done += 1;
        }
        server.sql(&format!(
            "set search_path = {schema}; do $$ begin if to_regclass('message') is not null then
             update message set next_attempt_at = 0 where state in ('queued', 'sending'); end if; end $$"
        ));
        bench.run(0, &["poll", "--wait"]);
        assert_eq!(faults(&server, &schema), Vec::<String>::new());
        assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
        assert_eq!(
            (cases(&bench), chains(&bench)),
            expected,
            "after {done} kills"
        );
        assert_eq!(check_mails(&bench), 1);
        for note in &begun {
            let count = count_note(&bench, note);
            let is_there = acknowledged.contains(note);
            assert!(
                count == 1 || (count == 0 && !is_there),
                "{note}: {count} {is_there}"
            );
        }
    }
    eprintln!("{done} kills, {round} databases");
}

/// Has whoever comes get the pollers' lock: functions of the schema that stand before the server's own.
fn without_pollers_lock(schema: &str) -> String {
    format!(
        "create function {schema}.pg_try_advisory_lock(integer, integer) returns boolean language sql as 'select true';
         create view {schema}.pg_locks as
             select 'advisory'::text as locktype, true as granted, 2::smallint as objsubid,
                    (select oid from pg_database where datname = current_database()) as database,
                    x'666c7502'::integer::oid as classid,
                    (hashtext(current_schema())::bigint & 4294967295)::oid as objid,
                    pg_backend_pid() as pid;"
    )
}

/// Has whoever writes not wait for others who write.
fn without_turns(schema: &str) -> String {
    format!(
        "create function {schema}.pg_advisory_xact_lock(integer, integer) returns void language sql as '';"
    )
}

/// Takes the keys out that refuse what is there already, of tables of history in which no statement goes by them.
fn without_keys(schema: &str) -> String {
    format!(
        "do $$ declare it record; begin
           for it in select c.conrelid::regclass as t, c.conname as n
                       from pg_constraint c join pg_class r on r.oid = c.conrelid
                      where c.connamespace = '{schema}'::regnamespace
                        and (c.contype = 'f' or (c.contype in ('p', 'u')
                             and r.relname in ('version', 'chain', 'owner', 'host', 'record')))
                      order by c.contype = 'f' desc
           loop execute format('alter table %s drop constraint %I cascade', it.t, it.n); end loop;
         end $$;"
    )
}

/// Has each version take a while, so that two pollers meet.
fn slowly(schema: &str) -> String {
    format!(
        "create function {schema}.pause() returns trigger language plpgsql as $$ begin
             perform pg_sleep(0.2); return null; end $$;
         create trigger pause after insert on {schema}.version for each statement
             execute function {schema}.pause();"
    )
}

/// Has two services poll the same changes at once, without some of what protects history. Returns what is wrong then, and
/// what they said.
fn two_pollers(
    server: &Postgres,
    schema: &str,
    off: &[&dyn Fn(&str) -> String],
) -> (Vec<String>, String) {
    // The schema stands before the server's own functions.
    let url = server
        .url(schema)
        .replace(schema, &format!("{schema},pg_catalog"));
    let mut pair = Pair::new(schema, &url, &url);
    Bench::on(&url, "").run(0, &["poll"]);
    for part in off {
        server.sql(&part(schema));
    }
    let both = [
        Running::start(&pair.first, &["run"]),
        Running::start(&pair.second, &["run"]),
    ];
    for _ in 0..12 {
        pair.change();
        sleep(Duration::from_millis(400));
    }
    let newest = pair.newest();
    let has_newest = || {
        let sql = format!("select count(*) > 0 from {schema}.host where name = '{newest}'");
        server.sql(&sql) == "t"
    };
    // Services that met what no key refused any more may have ended.
    wait_until("the newest change, or the ends of both", || {
        has_newest() || both.iter().all(Running::has_ended)
    });
    sleep(Duration::from_millis(500));
    let log = both.iter().map(Running::log).collect::<String>();
    drop(both);
    (faults(server, schema), log)
}

#[test]
fn two_pollers_without_the_lock_store_each_version_once_and_a_control_run_shows_that_the_checker_sees()
 {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    // One is refused where the other was faster, and compares again. Whether they meet is chance: a few rounds.
    let has_met = (0..5).any(|round| {
        let schema = format!("no_lock_{round}");
        let (wrong, log) = two_pollers(&server, &schema, &[&without_pollers_lock, &slowly]);
        assert_eq!(wrong, Vec::<String>::new(), "{log}");
        let count = server.sql(&format!("select count(*) from {schema}.version"));
        assert_eq!(count, "13");
        let bench = Bench::on(&server.url(&schema), "");
        assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
        log.contains("got another version meanwhile")
    });
    assert!(has_met);
    // Neither lock, but keys: what is there already is refused.
    let off: [&dyn Fn(&str) -> String; 3] = [&without_pollers_lock, &without_turns, &slowly];
    let (wrong, log) = two_pollers(&server, "keys_alone", &off);
    assert_eq!(wrong, Vec::<String>::new(), "{log}");
    // The control: nothing protects history, and the checker sees it.
    let off: [&dyn Fn(&str) -> String; 4] = [
        &without_pollers_lock,
        &without_turns,
        &without_keys,
        &slowly,
    ];
    // Whether two meet is chance: it is tried a few times. A poller that ends since it found damage has seen it too.
    let is_seen = (0..5).any(|round| {
        let (wrong, log) = two_pollers(&server, &format!("nothing_{round}"), &off);
        eprintln!("control run {round}: {} faults found", wrong.len());
        !wrong.is_empty() || log.contains("is damaged")
    });
    assert!(is_seen);
}
