//! What a host keeps of versions must hide nothing: a backup is restored on the same server, so that numbers of versions
//! come again for other versions; or another host writes what makes no version.

use std::fs;

use crate::harness::Bench;
use crate::servers::Postgres;
use crate::support::stores::has_no_file;

/// The names of the zone: so many that a host keeps their digests.
const NAMES: u32 = 6_000;
const SOURCE: &str = "[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z-*.zone\"\ntime_pattern = \"z-%Y%m%d%H.zone\"\n";

/// Writes a version of an hour, in which some names have moved; it is the only one in the folder.
fn write(bench: &Bench, hour: u32, moved: &[u32]) {
    write_lines(bench, (hour, hour), |n| {
        let host = if moved.contains(&n) { "moved" } else { "first" };
        format!("d{n} NS ns1.{host}.test.\nd{n} NS ns2.{host}.test.\n")
    });
}

/// Writes a version of an hour, with a serial and the records of each name.
fn write_lines(bench: &Bench, (hour, serial): (u32, u32), line: impl Fn(u32) -> String) {
    for entry in fs::read_dir(bench.path()).expect("there") {
        let path = entry.expect("there").path();
        if path.extension().is_some_and(|it| it == "zone") {
            fs::remove_file(path).expect("removed");
        }
    }
    let soa = format!("$TTL 60\n@ SOA ns1.infra.test. host.infra.test. {serial} 1 1 1 1\n");
    let names: String = (0..NAMES).map(line).collect();
    bench.write(&format!("z-20261101{hour:02}.zone"), soa + &names);
}

#[test]
fn what_a_host_kept_from_before_a_restore_hides_no_change() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let [first, second] = [(); 2].map(|()| Bench::on(&server.url("one"), SOURCE));
    let newest = || server.sql("select max(id) from one.version");
    write(&first, 0, &[]);
    first.run(0, &["poll"]);
    first.run(0, &["db", "move", "--to", &server.url("kept")]);
    write(&first, 1, &[5]);
    first.run(0, &["poll"]);
    let before = newest();
    assert!(
        first.path().join("cache.digests").exists(),
        "nothing was kept"
    );
    server.sql("alter schema one rename to lost; alter schema kept rename to one");
    // The other host is the first that polls again.
    write(&second, 2, &[7]);
    second.run(0, &["poll"]);
    assert_eq!(newest(), before, "another version has its number");
    write(&first, 3, &[5, 7]);
    first.run(0, &["poll"]);
    let history = first.json(&["history", "d5.example", "--format", "json"]);
    let changes = history["changes"].as_array().expect("a list");
    assert_eq!(changes.len(), 1, "{history}");
    assert!(first.run(0, &["db", "verify"]).starts_with("sound"));
}

#[test]
fn what_a_host_kept_from_before_another_polled_hides_no_ttl() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let [first, second] = [(); 2].map(|()| Bench::on(&server.url("one"), SOURCE));
    let lines = |ttl: u32| {
        move |n: u32| match n {
            5 => format!("d5 {ttl} NS ns1.first.test.\n"),
            n => format!("d{n} NS ns1.first.test.\n"),
        }
    };
    let ttl = || {
        let sql = "select string_agg(distinct ttl::text, ' ')
                     from one.record r join one.owner o on o.id = r.owner_id where o.name ~ '^d5[^0-9]*$'";
        server.sql(sql)
    };
    // New TTLs alone under the same serial make no version. The first keeps what it read; the second takes its place.
    for (host, hour, wanted) in [
        (&first, 0, 60),
        (&second, 1, 120),
        (&first, 2, 60),
        (&first, 3, 90),
        (&second, 4, 120),
        (&second, 5, 90),
        (&first, 6, 120),
    ] {
        write_lines(host, (hour, 1), lines(wanted));
        host.run(0, &["poll"]);
        assert_eq!(ttl(), wanted.to_string(), "hour {hour}");
    }
    assert_eq!(server.sql("select count(*) from one.version"), "1");
    assert!(first.path().join("cache.digests").exists());
    assert!(first.run(0, &["db", "verify"]).starts_with("sound"));
}
