//! Which engine the tests' databases are of: a SQLite file in the test's folder, or, with
//! `FLUXWATCH_TEST_STORE=postgres`, a schema of its own on the server that `tests/on-postgres` has started.

use std::path::Path;
use std::process::Command;

/// The variable that names the engine.
const ENGINE: &str = "FLUXWATCH_TEST_STORE";
/// The variable with the server's URL, up to the database.
const SERVER: &str = "FLUXWATCH_TEST_POSTGRES";
/// The variable with the URL of a pooler before it that gives each transaction another session.
const POOLER: &str = "FLUXWATCH_TEST_POOLER";

/// Returns the server's URL if the databases are a server's.
pub fn server() -> Option<String> {
    match std::env::var(ENGINE).as_deref() {
        Ok("postgres") => {
            let url = std::env::var(SERVER);
            Some(url.unwrap_or_else(|_| panic!("{ENGINE}=postgres is for tests/on-postgres")))
        }
        Ok("sqlite") | Err(_) => None,
        Ok(other) => panic!("{ENGINE}={other}: postgres or sqlite"),
    }
}

/// Returns whether the database is not a file, for a test of what only a file has. Says so then.
pub fn has_no_file() -> bool {
    let is_server = server().is_some();
    if is_server {
        eprintln!("skipped: this test is about a database in a file");
    }
    is_server
}

/// Returns the lines of `[store]` for a folder. A server's database is made where it is not there.
pub fn store_lines(folder: &Path) -> String {
    let Some(server) = server() else {
        return "path = \"fluxwatch.db\"\n".to_owned();
    };
    let schema = schema_of(folder);
    run(&server, &format!("create schema if not exists {schema}"));
    // One line, as with a file: tests tell lines by their numbers.
    match std::env::var(POOLER) {
        Ok(pooler) => {
            format!("url = \"{pooler}?pool_mode=transaction&options=-csearch_path%3D{schema}\"\n")
        }
        Err(_) => format!("url = \"{server}?options=-csearch_path%3D{schema}\"\n"),
    }
}

/// Returns the name of the schema that the databases of a folder are.
pub fn schema_of(folder: &Path) -> String {
    let name = folder.file_name().expect("a folder has a name");
    // Capitals are told apart, as in the folder's name.
    let letters = name
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .fold(String::new(), |mut text, letter| {
            if letter.is_ascii_uppercase() {
                text.push('_');
            }
            text.push(letter.to_ascii_lowercase());
            text
        });
    format!("t_{letters}")
}

/// Runs statements on the server.
fn run(server: &str, sql: &str) {
    let done = Command::new("psql")
        .args(["-q", "-d", server, "-c"])
        .arg(format!("set client_min_messages = error; {sql}"))
        .status()
        .expect("psql is there");
    assert!(done.success(), "{sql}");
}

/// Takes the database of a folder away, with all that is in it.
pub fn forget_everything(folder: &Path) {
    if let Some(server) = server() {
        let schema = schema_of(folder);
        run(
            &server,
            &format!("drop schema if exists {schema} cascade; create schema {schema}"),
        );
        return;
    }
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("fluxwatch.db{ending}")));
    }
}
