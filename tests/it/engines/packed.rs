//! What names moved alike is packed: a database of before is read as it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rusqlite::Connection;

use crate::harness::Bench;
use crate::servers::Postgres;
use crate::support::stores::has_no_file;

/// Zone files of whoever moves names.
pub const SOURCE: &str = "[[source]]\nname = \"files\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z-*.zone\"\ntime_pattern = \"z-%Y%m%d%H.zone\"\n";
/// How many names make the first of two moves in a version, more than a part holds; the rest makes the second but for
/// one that goes its own way.
const MOVED_TOGETHER: u32 = 300;
const NAMES: u32 = 500;

/// The table of schema 15.
const OLD_TABLE: &str =
    "create table shared_change (version_id bigint not null, owner_id bigint not null,
    shared_count bigint not null check (shared_count > 1), primary key (version_id, owner_id))";
/// The same in a file.
const OLD_TABLE_IN_A_FILE: &str = "create table shared_change (version_id integer not null, owner_id integer not null,
    shared_count integer not null check (shared_count > 1), primary key (version_id, owner_id)) strict, without rowid";

/// A part as it is stored: version, first owner, octets in hexadecimal digits.
pub type Part = (i64, i64, String);
/// Version, owner, how many made the same move.
pub type Row = [i64; 3];

/// Writes three versions of a zone, in the last two of which names move.
pub fn write_versions(bench: &Bench) {
    for version in 0..3 {
        let host = |n: u32| match n {
            0..MOVED_TOGETHER => format!("one{version}"),
            MOVED_TOGETHER => format!("alone{version}"),
            _ => format!("two{version}"),
        };
        let names: String = (0..NAMES)
            .map(|n| format!("d{n} NS a.{0}.test.\nd{n} NS b.{0}.test.\n", host(n)))
            .collect();
        let soa = format!("@ SOA ns1.infra.test. host.infra.test. {version} 1 1 1 1\n");
        bench.write(
            &format!("z-20261101{:02}.zone", version * 3),
            format!("$TTL 60\n{soa}{names}"),
        );
    }
}

/// Reads a number, seven bits an octet, the lowest first.
fn number(octets: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let mut number = 0;
    for (place, octet) in octets.enumerate() {
        number |= i64::from(octet & 0x7f) << (7 * place);
        if octet < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Returns the rows that parts stand for, by the words of docs/reference/schema.md.
pub fn unpack(parts: &[Part]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (version, first, octets) in parts {
        let digits: Vec<char> = octets.chars().collect();
        let octet = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).expect("hex");
        let mut octets = digits.chunks(2).map(octet);
        let (mut owner, mut count) = (*first, 0);
        while let Some(step) = number(&mut octets) {
            owner += step / 2;
            if step % 2 == 1 {
                count = number(&mut octets).expect("a count");
            }
            rows.push([*version, owner, count]);
        }
    }
    rows
}

/// A database, as SQL reaches it.
pub enum At<'a> {
    File(Connection),
    Server(&'a Postgres),
}

impl At<'_> {
    /// Runs statements.
    fn run(&self, sql: &str) {
        match self {
            Self::File(connection) => connection.execute_batch(sql).expect("run"),
            Self::Server(server) => drop(server.sql(&format!("set search_path = one; {sql}"))),
        }
    }

    /// Returns the parts that are stored.
    pub fn parts(&self) -> Vec<Part> {
        match self {
            Self::File(connection) => {
                let sql =
                    "select version_id, owner_id, hex(octets) from shared_change order by 1, 2";
                let mut statement = connection.prepare(sql).expect("sound");
                let rows =
                    statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
                rows.expect("run").map(|row| row.expect("read")).collect()
            }
            Self::Server(server) => {
                let sql = "select version_id, owner_id, upper(encode(octets, 'hex')) from one.shared_change order by 1, 2";
                let text = server.sql(sql);
                let row = |line: &str| {
                    let words: Vec<&str> = line.split('|').collect();
                    let number = |at: usize| words[at].parse().expect("a number");
                    (number(0), number(1), words[2].to_owned())
                };
                text.lines().map(row).collect()
            }
        }
    }

    /// Makes the database what a build of schema 15 left.
    pub fn make_old(&self, rows: &[Row]) {
        let (table, schema) = match self {
            Self::File(_) => (OLD_TABLE_IN_A_FILE, "pragma user_version = 15"),
            Self::Server(_) => (
                OLD_TABLE,
                "update meta set value = number_as_data(15) where key = 'schema'",
            ),
        };
        let mut sql = format!(
            "alter table zone drop column failed_at; drop index gap_to_judge;
             alter table gap drop column known_at; alter table gap drop column judged;
             alter table zone drop column ended; drop table shared_change; {table};"
        );
        for [version, owner, count] in rows {
            // Writing to a text cannot fail.
            let _ = write!(
                sql,
                "insert into shared_change values ({version}, {owner}, {count});"
            );
        }
        self.run(&format!("{sql} {schema}"));
    }
}

/// Returns what is read of some names that moved, alike or not.
pub fn readings(bench: &Bench) -> Vec<String> {
    let mut all = vec![bench.run(0, &["history", "*.example.", "--limit", "100000"])];
    for name in ["d0", "d299", "d300", "d301", "d499"] {
        all.push(bench.run(0, &["explain", &format!("{name}.example")]));
    }
    all.push(bench.run(0, &["db", "verify"]));
    all
}

/// Checks that a database of schema 15 is read as it was, and becomes what this program writes.
fn check(bench: &Bench, at: &At<'_>) -> Vec<Part> {
    let (written, before) = (at.parts(), readings(bench));
    let rows = unpack(&written);
    let mut counted: BTreeMap<(i64, i64), u32> = BTreeMap::new();
    for [version, _, count] in &rows {
        *counted.entry((*version, *count)).or_default() += 1;
    }
    let (one, two) = (MOVED_TOGETHER, NAMES - MOVED_TOGETHER - 1);
    assert_eq!(
        counted.into_iter().collect::<Vec<_>>(),
        [2, 3]
            .map(|version| [
                ((version, i64::from(two)), two),
                ((version, i64::from(one)), one)
            ])
            .concat()
    );
    at.make_old(&rows);
    assert_eq!(readings(bench), before);
    assert_eq!(at.parts(), written);
    written
}

#[test]
fn database_of_schema_15_reads_the_same_after_its_names_that_moved_alike_are_packed() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let (file, there) = (Bench::new(SOURCE), Bench::on(&server.url("one"), SOURCE));
    for bench in [&file, &there] {
        write_versions(bench);
        bench.run(0, &["poll"]);
    }
    let connection = Connection::open(file.path().join("fluxwatch.db")).expect("opened");
    let of_file = check(&file, &At::File(connection));
    assert_eq!(check(&there, &At::Server(&server)), of_file);
}
