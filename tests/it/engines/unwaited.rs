//! Statements that write and that nobody waits for: one that fails is told as the cause, nothing of its version is stored,
//! and the same service stores all of it when the cause is gone.

use std::fmt::Write as _;

use crate::engines::watched::wait_until;
use crate::harness::{Bench, Running};
use crate::servers::Postgres;
use crate::support::stores::has_no_file;

/// Names of the zone: more than are written row by row.
const NAMES: u32 = 600;
const SOURCE: &str = "[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z-*.zone\"\ntime_pattern = \"z-%Y%m%d%H.zone\"\nevery = \"1s\"\n";

/// Writes a version of the zone, in which every name has two name servers of its own that no other version has.
fn write(bench: &Bench, version: u32) {
    let mut text = format!("$TTL 60\n@ SOA ns1.infra.test. host.infra.test. {version} 1 1 1 1\n");
    for n in 0..NAMES {
        writeln!(
            text,
            "d{n} NS ns1.p{n}.v{version}.test.\nd{n} NS ns2.p{n}.v{version}.test."
        )
        .expect("text grows");
    }
    bench.write(&format!("z-20261101{version:02}.zone"), text);
}

/// Returns the hashes of the zone's chain.
fn chain(server: &Postgres, schema: &str) -> String {
    server.sql(&format!(
        "select string_agg(encode(hash, 'hex'), ' ' order by id) from {schema}.chain"
    ))
}

#[test]
fn set_that_fails_while_nobody_waits_for_it_is_the_cause_that_is_told_and_its_version_leaves_no_trace()
 {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let expected = {
        let bench = Bench::on(&server.url("whole"), SOURCE);
        (1..=2).for_each(|version| write(&bench, version));
        bench.run(0, &["poll"]);
        chain(&server, "whole")
    };
    // The first set of a version, after which copies cannot begin; a copy; the last set, of which the commit tells; the last
    // statement of all.
    for (table, event) in [
        ("record", "delete"),
        ("past_record", "insert"),
        ("host", "insert"),
        ("popularity", "insert"),
        ("source_file", "insert"),
    ] {
        let schema = format!("fails_{table}");
        let bench = Bench::on(&server.url(&schema), SOURCE);
        write(&bench, 1);
        bench.run(0, &["poll"]);
        let before = chain(&server, &schema);
        server.sql(&format!(
            "create function {schema}.refuse() returns trigger language plpgsql as $$
             begin raise exception 'no room for this one' using errcode = '53100'; end $$;
             create trigger refuse before {event} on {schema}.{table} for each row execute function {schema}.refuse()"
        ));
        write(&bench, 2);
        let service = Running::start(&bench, &["run"]);
        wait_until(&format!("{table}: it is told"), || {
            service.log().contains("no room for this one")
        });
        assert!(
            !service.log().contains("current transaction"),
            "{}",
            service.log()
        );
        assert_eq!(chain(&server, &schema), before, "{table}");
        assert_eq!(
            server.sql(&format!("select count(*) from {schema}.version")),
            "1",
            "{table}"
        );
        server.sql(&format!("drop function {schema}.refuse() cascade"));
        wait_until(&format!("{table}: it is stored"), || {
            chain(&server, &schema) == expected
        });
        service.stop();
        assert!(
            bench.run(0, &["db", "verify"]).starts_with("sound"),
            "{table}"
        );
    }
}
