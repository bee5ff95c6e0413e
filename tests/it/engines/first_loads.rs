//! The first load of a server's database makes its keys at the end: the rows are those that are written the careful way,
//! whoever looks meanwhile sees the state before or waits, and a kill in the middle leaves nothing of it.

use std::fmt::Write as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::harness::{Bench, both};
use crate::numbers::Numbers;
use crate::servers::Postgres;
use crate::support::stores::has_no_file;

/// Names of the zone that is loaded: some seconds of a program that is not optimised.
const NAMES: u32 = 20_000;

/// Returns the sources: a small zone, which comes first, and the one that is loaded.
fn sources() -> String {
    ["small", "large"].map(|zone| format!("[[source]]\nname = \"{zone}\"\nkind = \"zonefile\"\nzone = \"{zone}.\"\npath = \"{zone}-*.zone\"\ntime_pattern = \"{zone}-%Y%m%d%H.zone\"\n")).concat()
}

/// Writes a zone's file.
fn write(bench: &Bench, zone: &str, names: u32) {
    let mut text = "$TTL 60\n@ SOA ns1.infra.test. host.infra.test. 1 1 1 1 1\n".to_owned();
    for n in 0..names {
        writeln!(
            text,
            "d{n} NS ns1.p{}.test.\nd{n} NS ns2.p{}.test.",
            n % 700,
            n % 90
        )
        .expect("text grows");
        if n % 10 == 0 {
            writeln!(
                text,
                "d{n} NS ns.d{n}\nns.d{n} A 192.0.2.{}\nns.d{n} AAAA 2001:db8::{n:x}",
                n % 250
            )
            .expect("text grows");
        }
    }
    bench.write(&format!("{zone}-2026110100.zone"), text);
}

/// Makes a bench on a schema in which the small zone is there already, and writes the file of the large one.
fn with_small(server: &Postgres, schema: &str) -> Bench {
    let bench = Bench::on(&server.url(schema), &sources());
    write(&bench, "small", 3);
    // A source without a file is an error of its own.
    let _ = bench.command(&["poll"]).output().expect("it runs");
    write(&bench, "large", NAMES);
    bench
}

/// Returns what tells the rows of a schema, with names in place of name servers' numbers.
fn rows(server: &Postgres, schema: &str) -> String {
    let each = [
        "select count(*), md5(string_agg(id || ' ' || zone_id || ' ' || name, ',' order by id)) from owner",
        "select count(*), md5(string_agg(owner_id || ' ' || rrtype || ' ' || coalesce(h.name, rdata::text) || ' ' || ttl || ' ' || added_id || ' ' || baseline, ','
                                         order by owner_id, rrtype, coalesce(h.name, rdata::text)))
           from record r left join host h on r.rrtype = 2 and number_as_data(h.id) = r.rdata",
        "select count(*), sum(count), sum(week) from popularity",
        "select string_agg(indexdef, ',' order by indexname) from pg_indexes where schemaname = current_schema() and tablename in ('owner', 'record')",
        "select string_agg(contype::text || conname, ',' order by conname) from pg_constraint where conrelid in ('owner'::regclass, 'record'::regclass)",
    ];
    let each = each.map(|sql| server.sql(&format!("set search_path = {schema}; {sql}")));
    each.join("\n").replace(schema, "SCHEMA")
}

/// Returns the newest hash of the large zone's chain.
fn hash(server: &Postgres, schema: &str) -> String {
    server.sql(&format!("select string_agg(encode(hash, 'hex'), ' ' order by id) from {schema}.chain where zone_id = (select id from {schema}.zone where name = 'large.')"))
}

/// Returns whether the keys of owners and records are newer than an index that every database begins with.
fn are_keys_new(server: &Postgres, schema: &str) -> bool {
    let of = |name: &str| format!("'{schema}.{name}'::regclass::oid::bigint");
    let newer = ["owner_pkey", "owner_zone_id_name_key", "record_pkey"]
        .map(|key| format!("{} > {}", of(key), of("past_by_host")));
    server.sql(&format!("select {}", newer.join(" and "))) == "t"
}

#[test]
fn first_load_writes_the_rows_that_the_careful_way_writes_and_a_reader_beside_it_sees_no_part() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let (fast, careful) = (with_small(&server, "fast"), with_small(&server, "careful"));

    // Who looks meanwhile sees the small zone as it is, whole, and nothing of the large one until all of it is there.
    let before = fast.run(0, &["history", "d1.small", "--format", "json"]);
    let mut load = fast.command(&["poll"]);
    let load = load.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut load = load.spawn().expect("it starts");
    let mut looks = 0;
    while load.try_wait().expect("it is a child").is_none() {
        assert_eq!(
            fast.run(0, &["history", "d1.small", "--format", "json"]),
            before
        );
        looks += 1;
        let count = server.sql("select count(*) || ' ' || (select count(*) from fast.version) from fast.owner o join fast.zone z on z.id = o.zone_id where z.name = 'large.'");
        let [owners, versions] = [0, 1].map(|at| {
            let number = count.split(' ').nth(at).expect("two");
            number.parse::<u32>().expect("a number")
        });
        assert_eq!(
            owners > 0,
            versions == 2,
            "{owners} owners, {versions} versions"
        );
    }
    let ended = load.wait_with_output().expect("it ended");
    assert!(ended.status.success(), "{}", both(&ended));
    eprintln!("{looks} looks beside the load");
    assert!(looks > 0, "nobody looked");

    // Somebody's transaction has read the tables and goes on: the load does not wait for him long.
    let url = server.url("careful");
    let mut reader = Command::new("psql")
        .args(["-X", "-q", "-d", &url, "-c"])
        .arg(
            "begin; select count(*) from owner; select count(*) from record; select pg_sleep(3600)",
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("psql can be started");
    crate::engines::watched::wait_until("a reader", || {
        server.sql("select count(*) from pg_stat_activity where query like 'begin; select count(*) from owner%' and wait_event = 'PgSleep'") == "1"
    });
    careful.run(0, &["poll"]);
    server
        .sql("select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'");
    let _ = reader.wait();

    assert!(are_keys_new(&server, "fast"));
    assert!(!are_keys_new(&server, "careful"));
    assert_eq!(rows(&server, "fast"), rows(&server, "careful"));
    assert_eq!(hash(&server, "fast"), hash(&server, "careful"));
    // The file's chain is the same.
    let file = Bench::new(&sources());
    write(&file, "small", 3);
    write(&file, "large", NAMES);
    let output = file.command(&["-v", "poll"]).output().expect("it runs");
    let said = both(&output);
    assert!(said.contains(&hash(&server, "fast")), "{said}");
    let sound = file.run(0, &["db", "verify"]);
    for bench in [&fast, &careful] {
        assert_eq!(bench.run(0, &["db", "verify"]), sound);
    }
}

#[test]
fn first_load_that_is_killed_leaves_the_database_as_it_was() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let bench = with_small(&server, "one");
    let before = rows(&server, "one");
    let mut numbers = Numbers(20_261_130);
    let mut inside = 0;
    for round in 0..6 {
        let mut load = bench.command(&["poll"]);
        let mut load = load
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // The tables are locked from the first rows on.
        let is_loading = || {
            server.try_sql("select count(*) from pg_locks where locktype = 'relation' and mode = 'AccessExclusiveLock' and granted and relation = 'one.record'::regclass").as_deref() == Ok("1")
        };
        while !is_loading() && load.try_wait().expect("a child").is_none() {
            sleep(Duration::from_millis(5));
        }
        // The first is killed as soon as it is seen: on a fast machine all is there within a second.
        sleep(Duration::from_millis(numbers.below(400) * round / 5));
        if round % 3 == 2 {
            server.kill();
            let _ = load.kill();
            load.wait().expect("it ends");
            server.go_on();
        } else {
            let _ = load.kill();
            load.wait().expect("it ends");
        }
        // The server hears of it when it next sends or reads.
        crate::engines::watched::wait_until("the end of the load", || {
            server.sql("select count(*) from pg_locks where mode = 'AccessExclusiveLock' and relation = 'one.record'::regclass") == "0"
        });
        if server.sql("select count(*) from one.version") == "2" {
            break;
        }
        inside += 1;
        assert_eq!(rows(&server, "one"), before, "round {round}");
    }
    // How many is the machine's luck.
    eprintln!("{inside} kills before the load was there");
    bench.run(0, &["poll"]);
    assert!(
        bench
            .run(0, &["db", "verify"])
            .starts_with("sound: 2 zones")
    );
    let file = Bench::new(&sources());
    write(&file, "small", 3);
    write(&file, "large", NAMES);
    let output = file.command(&["-v", "poll"]).output().expect("it runs");
    let said = both(&output);
    assert!(said.contains(&hash(&server, "one")), "{said}");
}
