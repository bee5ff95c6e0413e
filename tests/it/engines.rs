//! PostgreSQL as the engine: the same answers as a file gives, and nothing lost when something is killed.
//!
//! `FLUXWATCH_KILLS` sets how often (6 by default here). `tests/on-postgres` runs the other tests on a server.

mod chaos;
mod checker;
mod columns;
mod first_loads;
mod lookups;
mod migrations;
mod months;
mod network;
mod outcome;
mod packed;
mod pooled;
mod pooler;
mod promotion;
mod restored;
mod roles;
mod standing;
mod troubles;
mod unwaited;
mod watched;

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::generator::generate;
use crate::harness::{Bench, Running};
use crate::numbers::Numbers;
use crate::servers::Postgres;
use crate::support::sample::COMMITTED;
use crate::support::stores::has_no_file;

/// The sample's sources, tables and mails.
fn rest_of_sample() -> String {
    let written = include_str!("../../data/sample/fluxwatch.toml");
    let (_, rest) = written.split_once("fluxwatch.db\"\n").expect("a store");
    rest.replace("../../fluxwatch-sample/", "")
        .replace("complete = true\n", "complete = true\nevery = \"1s\"\n")
}

/// Gives a bench the sample.
fn with_sample(bench: Bench) -> Bench {
    with_sources(bench, &rest_of_sample())
}

/// Gives a bench one zone of the sample, which fluxes.
fn with_flux(bench: Bench) -> Bench {
    let rest = rest_of_sample();
    let (_, hosted) = rest
        .split_once("[[source]]\nname = \"sample-hosted\"")
        .expect("a source");
    let (hosted, others) = hosted.split_once("[[source]]").expect("another source");
    let (_, others) = others.split_once("[enrich]").expect("a table");
    with_sources(
        bench,
        &format!("[[source]]\nname = \"sample-hosted\"{hosted}[enrich]{others}"),
    )
}

/// Gives a bench the sample's files and a configuration.
fn with_sources(bench: Bench, rest: &str) -> Bench {
    let sample = generate(COMMITTED);
    for (name, octets) in &sample.files {
        bench.write(name, octets);
    }
    bench.configure(rest);
    bench
}

/// Returns the cases, without the time at which each was told of, which is the machine's.
fn cases(bench: &Bench) -> Vec<Value> {
    let mut cases = bench.cases();
    for case in &mut cases {
        case.as_object_mut().expect("an object").remove("told_at");
    }
    cases
}

/// Returns the histories of the domains with cases.
fn histories(bench: &Bench) -> BTreeMap<String, Value> {
    let domains = bench.cases();
    let domains = domains
        .iter()
        .map(|case| case["domain"].as_str().expect("text").to_owned());
    domains
        .map(|domain| {
            let history = bench.json(&["history", &domain, "--format", "json"]);
            (domain, history)
        })
        .collect()
}

/// Returns the chains of the zones of all domains with cases, as their evidence has them.
fn chains(bench: &Bench) -> BTreeMap<String, Value> {
    let domains = bench.cases();
    let domains = domains
        .iter()
        .map(|case| case["domain"].as_str().expect("text").to_owned());
    domains
        .map(|domain| {
            let bundle = bench.json(&["export", "--domain", &domain]);
            (domain, bundle["zones"].clone())
        })
        .collect()
}

/// Returns what the reports say, as text and as a page.
fn reports(bench: &Bench) -> Vec<String> {
    let cases = bench.cases();
    let reported = cases.iter().filter(|case| case["level"] == "report");
    let ids = reported.map(|case| case["id"].to_string());
    ids.flat_map(|id| {
        ["text", "html"].map(|format| bench.run(0, &["report", "preview", &id, "--format", format]))
    })
    .collect()
}

#[test]
fn both_engines_give_the_same_chain_cases_and_mails_and_a_database_moves_between_them() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let file = with_sample(Bench::new(""));
    let there = with_sample(Bench::on(&server.url("one"), ""));
    assert_eq!(file.run(0, &["poll"]), there.run(0, &["poll"]));
    assert_eq!(cases(&file), cases(&there));
    assert_eq!(histories(&file), histories(&there));
    assert_eq!(chains(&file), chains(&there));
    assert_eq!(reports(&file), reports(&there));
    assert_eq!((file.maildir().len(), there.maildir().len()), (3, 3));
    let sound = there.run(0, &["db", "verify"]);
    assert!(sound.starts_with("sound"), "{sound}");
    assert_eq!(sound, file.run(0, &["db", "verify"]));

    // What is counted anew is what was counted.
    let counts = "select count(*), sum(week), sum(count) from one.popularity where count > 0";
    let counted = server.sql(counts);
    for bench in [&file, &there] {
        bench.run(0, &["db", "recount"]);
        assert_eq!(bench.run(0, &["db", "verify"]), sound);
    }
    assert_eq!(server.sql(counts), counted);

    // From the file to the server, and back into another file.
    let moved = server.url("two");
    file.run(0, &["db", "move", "--to", &moved]);
    let there = with_sample(Bench::on(&moved, ""));
    assert_eq!(there.run(0, &["db", "verify"]), sound);
    let back = there.path().join("fluxwatch.db");
    there.run(0, &["db", "move", "--to", back.to_str().expect("text")]);
    let back = with_sample(Bench::new(""));
    fs::copy(
        there.path().join("fluxwatch.db"),
        back.path().join("fluxwatch.db"),
    )
    .expect("copied");
    assert_eq!(back.run(0, &["db", "verify"]), sound);
    assert_eq!(cases(&back), cases(&file));
    assert_eq!(chains(&back), chains(&file));
    // A second time it is refused, and nothing is changed.
    let said = file.run_stderr(4, &["db", "move", "--to", &moved]);
    assert!(
        said.contains("already") && said.contains("hint: "),
        "{said}"
    );
    assert_eq!(cases(&there), cases(&file));
}

/// Writes versions of a zone of 400 delegations, a few hours apart, in each of which a dozen of them get other name servers.
fn write_flux_of_a_dozen(bench: &Bench) {
    for version in 0..6 {
        let host = |n: u32| match n {
            0..12 => format!("ns{n}.op{version}.test."),
            _ => format!("ns1.infra{}.test.", n % 7),
        };
        let names: String = (0..400)
            .map(|n| format!("d{n} NS {}\nd{n} NS b.{}\n", host(n), host(n)))
            .collect();
        let soa = format!("@ SOA ns1.infra.test. host.infra.test. {version} 1 1 1 1\n");
        let text = format!("$TTL 60\n{soa}{names}");
        bench.write(&format!("z-20261101{:02}.zone", version * 3), text);
    }
}

#[test]
fn many_domains_that_change_often_are_judged_alike_on_both_engines() {
    if has_no_file() {
        return;
    }
    let source = |name: &str, zone: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\nkind = \"zonefile\"\nzone = \"{zone}.\"\npath = \"{name}-*.zone\"\ntime_pattern = \"{name}-%Y%m%d%H.zone\"\n"
        )
    };
    // A small zone comes first.
    let sources = source("a", "small") + &source("z", "example");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let (file, there) = (
        Bench::new(&sources),
        Bench::on(&server.url("dozen"), &sources),
    );
    for bench in [&file, &there] {
        bench.write(
            "a-2026110100.zone",
            "$TTL 60\n@ SOA ns1.infra.test. host.infra.test. 1 1 1 1 1\nd NS ns1.infra.test.\n",
        );
        write_flux_of_a_dozen(bench);
    }
    assert_eq!(file.run(0, &["poll"]), there.run(0, &["poll"]));
    assert!(cases(&file).len() >= 12, "{:?}", cases(&file));
    assert_eq!(cases(&file), cases(&there));
    assert_eq!(histories(&file), histories(&there));
    assert_eq!(chains(&file), chains(&there));
    let sound = there.run(0, &["db", "verify"]);
    assert!(sound.starts_with("sound"), "{sound}");
    assert_eq!(sound, file.run(0, &["db", "verify"]));
    // The first version had its keys made at the end, although a small zone was there: they are newer than an index
    // that every database begins with.
    let of = |name: &str| format!("'dozen.{name}'::regclass::oid::bigint");
    let newer = ["owner_pkey", "owner_zone_id_name_key", "record_pkey"]
        .map(|key| format!("{} > {}", of(key), of("past_by_host")));
    assert_eq!(server.sql(&format!("select {}", newer.join(" and "))), "t");
    // So had it its indexes from data to owners, and counts of nothing are gone.
    let left = "select (select count(*) from dozen.popularity where count = 0)
                       + 6 - (select count(*) from pg_indexes
                               where schemaname = 'dozen' and indexname ~ '^(record|past)_by_(host|a|aaaa)$')";
    assert_eq!(server.sql(left), "0");
    // So were the keys: they are those of a database whose first version was small.
    let source =
        "[[source]]\nname = \"small\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncomplete = true\n";
    let small = Bench::on(&server.url("small"), source);
    small.write("f.ndjson", "");
    small.run(0, &["poll"]);
    let keys = |schema: &str| {
        server.sql(&format!(
            "select string_agg(conname || ' ' || pg_get_constraintdef(oid), ', ' order by conname)
               from pg_constraint
              where conrelid in ('{schema}.owner'::regclass, '{schema}.record'::regclass)"
        ))
    };
    assert!(keys("small").contains("record_pkey"), "{}", keys("small"));
    assert_eq!(keys("dozen"), keys("small"));
}

#[test]
fn dry_run_on_a_server_leaves_nothing() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let file = with_flux(Bench::new(""));
    let there = with_flux(Bench::on(&server.url("one"), ""));
    assert_eq!(
        file.run(0, &["poll", "--dry-run"]),
        there.run(0, &["poll", "--dry-run"])
    );
    let left = "select (select count(*) from one.zone) + (select count(*) from one.version)
                       + (select count(*) from one.abuse_case) + (select count(*) from one.message)";
    assert_eq!(server.sql(left), "0");
    assert!(there.maildir().is_empty());
    // What was tried is then done.
    there.run(0, &["poll"]);
    assert_eq!(there.maildir().len(), 1);
    assert!(there.run(0, &["db", "verify"]).starts_with("sound"));
}

#[test]
fn old_cases_are_looked_for_on_a_server_and_the_newest_stays() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let bench = with_flux(Bench::on(&server.url("one"), ""));
    bench.run(0, &["poll"]);
    bench.run(0, &["cases", "close", "1", "--by", "ada"]);
    // What was written a second ago is not old.
    sleep(Duration::from_secs(2));
    for command in ["anonymise", "purge"] {
        bench.run(0, &["privacy", command, "--before", "1s", "--recent"]);
    }
    // Its number would be given again.
    assert!(bench.run(0, &["cases", "log", "1"]).contains("ada"));
    assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
}

/// Returns how often something is to be killed.
fn kills() -> u32 {
    let wanted = std::env::var("FLUXWATCH_KILLS").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[test]
fn nothing_is_lost_or_doubled_when_poller_or_server_is_killed() {
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
    let mut numbers = Numbers(20_261_129);
    let mut done = 0;
    while done < kills() {
        let schema = format!("kills_{done}");
        let bench = with_flux(Bench::on(&server.url(&schema), ""));
        for _ in 0..3.min(kills() - done) {
            let mut child = bench
                .command(&["poll"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the program can be started");
            sleep(Duration::from_millis(100 + numbers.below(1_500)));
            if done % 2 == 0 {
                child.kill().expect("it is ours to kill");
                child.wait().expect("it ends");
            } else {
                server.kill();
                child.wait().expect("it ends");
                server.go_on();
            }
            done += 1;
        }
        // A message that was in somebody's hands is free again when its lease is over: as if an hour had passed.
        server.sql(&format!(
            "set search_path = {schema}; do $$ begin if to_regclass('message') is not null then
             update message set next_attempt_at = 0 where state in ('queued', 'sending'); end if; end $$"
        ));
        bench.run(0, &["poll"]);
        assert!(bench.run(0, &["db", "verify"]).starts_with("sound"));
        assert_eq!(
            (cases(&bench), chains(&bench)),
            expected,
            "after {done} kills"
        );
        let ids: Vec<String> = bench
            .maildir()
            .iter()
            .map(|path| {
                let text = fs::read_to_string(path).expect("readable");
                let id = text.lines().find(|line| line.starts_with("Message-ID:"));
                id.expect("an identifier").to_owned()
            })
            .collect();
        let mut once = ids.clone();
        once.sort();
        once.dedup();
        assert_eq!((ids.len(), once.len()), (1, 1), "{ids:?}");
    }
}

#[test]
fn second_service_stands_by_and_takes_over_and_a_server_that_was_away_is_waited_for() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let url = server.url("one");
    let feed = "[[source]]\nname = \"f\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"f.ndjson\"\ncomplete = true\nevery = \"1s\"\n";
    let line = |second: u32, host: &str| {
        format!(
            "{{\"at\":\"2026-11-01T00:00:{second:02}Z\",\"zone\":\"example.\",\"rrname\":\"a.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"ttl\":300,\"rdata\":[\"{host}.\"]}}\n"
        )
    };
    let first = Bench::on(&url, feed);
    let second = Bench::on(&url, feed);
    let mut text = line(0, "ns0.one.test");
    for bench in [&first, &second] {
        bench.write("f.ndjson", &text);
    }
    let mut change = |second_of_day: u32| {
        text.push_str(&line(second_of_day, &format!("ns{second_of_day}.one.test")));
        for bench in [&first, &second] {
            bench.write("f.ndjson", &text);
        }
        format!("ns{second_of_day}.one.test")
    };
    let sees = |host: &str| {
        let rows = server
            .try_sql("select name from one.host")
            .unwrap_or_default();
        let reversed: Vec<&str> = host.rsplit('.').collect();
        rows.lines().any(|row| row == reversed.join("."))
    };
    let wait_for = |host: &str, what: &str| {
        for _ in 0..300 {
            if sees(host) {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("{what}: {host} is not there");
    };
    let active = Running::start(&first, &["run"]);
    wait_for("ns0.one.test", "the first service polls");
    let standing_by = Running::start(&second, &["run"]);
    for _ in 0..100 {
        if standing_by.log().contains("standing by") {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    assert!(
        standing_by.log().contains("standing by"),
        "{}",
        standing_by.log()
    );
    // The server is killed and comes back: the service waits for it.
    server.kill();
    let host = change(1);
    sleep(Duration::from_secs(2));
    server.go_on();
    wait_for(&host, "after the server was away");
    assert!(active.log().contains("held up"), "{}", active.log());
    // The first service is killed: the second one goes on.
    active.signal("KILL");
    let host = change(2);
    wait_for(&host, "after the first service was killed");
    standing_by.stop();
    assert_eq!(
        server.sql("select count(*) - count(distinct (zone_id, observed_at)) from one.version"),
        "0"
    );
    assert!(second.run(0, &["db", "verify"]).starts_with("sound"));
}

#[test]
fn faults_of_a_server_are_told_with_a_cure_and_without_its_password() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let url = server.url("one");
    let (_, rest) = url.split_once('@').expect("a role");
    for (wrong, status, words) in [
        (
            format!("postgres://nobody@{rest}"),
            2,
            "role \"nobody\" does not exist",
        ),
        (
            url.replace("/postgres?", "/elsewhere?"),
            2,
            "database \"elsewhere\" does not exist",
        ),
        (
            url.replace("path%3Done", "path%3Dtwo"),
            2,
            "no schema of the search path",
        ),
        (
            "postgres://fluxwatch@127.0.0.1:1/x".to_owned(),
            4,
            "error connecting",
        ),
    ] {
        let bench = Bench::on(&wrong, "");
        let said = bench.run_stderr(status, &["poll"]);
        assert!(
            said.contains(words) && said.contains("hint: "),
            "{wrong}: {said}"
        );
    }
    let bench = Bench::on(&url.replace("fluxwatch@", "fluxwatch:secret-word@"), "");
    let said = bench.run_stderr(2, &["config", "check"]);
    assert!(
        said.contains("store.password_file") && !said.contains("secret-word"),
        "{said}"
    );
    // A database of something else is left alone.
    server.sql("create schema other; create table other.things (id int)");
    let bench = Bench::on(&server.url("other"), "");
    let said = bench.run_stderr(4, &["poll"]);
    assert!(said.contains("not fluxwatch's"), "{said}");
    assert_eq!(
        server.sql("select count(*) from information_schema.tables where table_schema = 'other'"),
        "1"
    );
}
