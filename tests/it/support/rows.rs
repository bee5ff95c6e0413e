//! A test's database as an independent reader or writer has it, whichever engine it is of.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Bench, both, python};
use crate::support::stores::{forget_everything, schema_of, server};

/// Runs statements in a bench's database, as somebody with the database would. Returns the values of the last one's rows,
/// a line a row, with `|` between them. The statements are ones that both engines take.
pub fn sql(bench: &Bench, statements: &str) -> String {
    let script = bench.write("statements.sql", format!("{statements};\n"));
    match server() {
        Some(server) => {
            let search = format!("-csearch_path={}", schema_of(bench.path()));
            let mut command = Command::new("psql");
            command.env("PGOPTIONS", search);
            command.args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &server,
            ]);
            let output = command.arg("-f").arg(script).output();
            let output = output.expect("psql is there");
            assert!(output.status.success(), "{}", both(&output));
            String::from_utf8(output.stdout).expect("psql prints UTF-8")
        }
        None => python(SQL, &[&bench.path().join("fluxwatch.db"), &script]),
    }
}

/// Runs the statements of a file one after the other and prints the rows of each.
const SQL: &str = "
import sqlite3, sys
db, statement = sqlite3.connect(sys.argv[1]), ''
with db:
    for part in open(sys.argv[2], encoding='utf-8').read().split(';'):
        statement += part + ';'
        if sqlite3.complete_statement(statement):
            if statement.strip(' \\n;'):
                for row in db.execute(statement):
                    print('|'.join('' if it is None else str(it) for it in row))
            statement = ''
";

/// Returns a file with all that a bench's database holds: it itself, or a copy of what stands on a server, for readers
/// that know SQLite alone.
pub fn as_file(bench: &Bench) -> PathBuf {
    if server().is_none() {
        return bench.path().join("fluxwatch.db");
    }
    let folder = bench.path().join("as-file");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir(&folder).expect("the folder can be written");
    let copy = folder.join("fluxwatch.db");
    bench.run(0, &["db", "move", "--to", copy.to_str().expect("text")]);
    copy
}

/// Makes so many copies of the first case, without what belongs to it; `with` has what is another in the copy `n`, column
/// and expression.
pub fn copy_cases(bench: &Bench, count: usize, with: &[(&str, &str)]) {
    let names = match server() {
        Some(_) => sql(
            bench,
            "select column_name from information_schema.columns
              where table_schema = current_schema() and table_name = 'abuse_case'",
        ),
        None => sql(bench, "select name from pragma_table_info('abuse_case')"),
    };
    let names: Vec<&str> = names.lines().filter(|name| *name != "id").collect();
    let values = names.iter().map(|name| {
        let other = with.iter().find(|(column, _)| column == name);
        other.map_or(*name, |(_, value)| *value)
    });
    let values: Vec<&str> = values.collect();
    // Numbers are given out one a statement on a server.
    let statement = |n: usize| {
        let values = values.join(", ").replace("{n}", &n.to_string());
        format!(
            "insert into abuse_case ({}) select {values} from abuse_case where id = 1;\n",
            names.join(", ")
        )
    };
    sql(bench, &(0..count).map(statement).collect::<String>());
}

/// Has a table refuse new rows, as a full disk would.
pub fn refuse_rows(bench: &Bench, table: &str) {
    let statements = match server() {
        Some(_) => format!(
            "create function full_disk() returns trigger language plpgsql as 'begin raise exception ''full''; end';
             create trigger full_disk before insert on {table} for each row execute function full_disk();"
        ),
        None => format!(
            "create trigger full_disk before insert on {table} begin select raise(abort, 'full'); end;"
        ),
    };
    sql(bench, &statements);
}

/// Ends what [`refuse_rows`] began.
pub fn take_rows_again(bench: &Bench, table: &str) {
    let statements = match server() {
        Some(_) => format!("drop trigger full_disk on {table}; drop function full_disk();"),
        None => "drop trigger full_disk;".to_owned(),
    };
    sql(bench, &statements);
}

/// Keeps all that a bench's database holds.
pub fn keep(bench: &Bench) -> PathBuf {
    let kept = bench.path().join("kept");
    match server() {
        Some(server) => {
            let mut command = Command::new("pg_dump");
            command.args(["-Fc", "-n", &schema_of(bench.path()), "-d", &server, "-f"]);
            done(command.arg(&kept));
        }
        None => {
            std::fs::copy(bench.path().join("fluxwatch.db"), &kept).expect("copied");
        }
    }
    kept
}

/// Makes a bench's database what was kept of it.
pub fn put_back(bench: &Bench, kept: &Path) {
    forget_everything(bench.path());
    let _ = std::fs::remove_dir_all(bench.path().join("fluxwatch.db.digests"));
    match server() {
        Some(server) => {
            sql(bench, &format!("drop schema {};", schema_of(bench.path())));
            done(Command::new("pg_restore").args(["-d", &server]).arg(kept));
        }
        None => {
            std::fs::copy(kept, bench.path().join("fluxwatch.db")).expect("copied");
        }
    }
}

/// Runs a command that must succeed.
fn done(command: &mut Command) {
    let output = command.output().expect("tests/install-servers has it");
    assert!(output.status.success(), "{}", both(&output));
}

/// Returns what tells one state of a bench's database from every other: a hash of all rows, and of the file.
pub fn digest(bench: &Bench) -> String {
    let mut told = python(DIGEST, &[&as_file(bench)]);
    if server().is_none() {
        told += &python(DIGEST_OF_FILE, &[&bench.path().join("fluxwatch.db")]);
    }
    told
}

/// Prints a hash of all rows: a server has no order of its own.
const DIGEST: &str = "
import hashlib, sqlite3, sys
db = sqlite3.connect('file:%s?mode=ro' % sys.argv[1], uri=True)
print(hashlib.sha256('\\n'.join(sorted(db.iterdump())).encode()).hexdigest())
";
/// Prints a hash of a file.
const DIGEST_OF_FILE: &str = "
import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())
";
