//! Both engines have the same tables: a migration that one of them did not get, or got with another type, is found here.

use std::collections::BTreeSet;

use crate::harness::{Bench, python};
use crate::servers::Postgres;
use crate::support::stores::has_no_file;

/// Prints each column of a file: table, name, type in PostgreSQL's words, whether it may be null.
const OF_FILE: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
types = {'integer': 'bigint', 'text': 'text', 'blob': 'bytea', 'any': 'bit varying', 'real': 'double precision'}
for (table,) in db.execute(\"select name from sqlite_schema where type = 'table' and name not like 'sqlite%'\").fetchall():
    for _, name, kind, is_set, _, key, _ in db.execute(f'pragma table_xinfo({table})'):
        print(table, name, types[kind.lower()], 'NO' if is_set or key else 'YES', sep='|')
";
/// Asks for the same of a server, which keeps small numbers in fewer octets.
const OF_SERVER: &str = "
select table_name || '|' || column_name || '|' || replace(data_type, 'smallint', 'bigint') || '|' || is_nullable
  from information_schema.columns where table_schema = 'columns'";

#[test]
fn both_engines_have_the_same_columns_in_every_table() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let source = "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"f.ndjson\"\n";
    let (file, there) = (
        Bench::new(source),
        Bench::on(&server.url("columns"), source),
    );
    for bench in [&file, &there] {
        bench.write("f.ndjson", "");
        bench.run(0, &["poll"]);
    }
    let of_file = python(OF_FILE, &[&file.path().join("fluxwatch.db")]);
    let of_server = server.sql(OF_SERVER);
    let [of_file, of_server] = [&of_file, &of_server]
        .map(|told| -> BTreeSet<String> { told.lines().map(str::to_owned).collect() });
    assert!(of_file.len() > 200, "{of_file:?}");
    let of_one: Vec<&String> = of_file.symmetric_difference(&of_server).collect();
    assert_eq!(of_one, [""; 0]);
}
