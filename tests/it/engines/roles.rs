//! Roles that may do what they need and nothing more: the statements of `how-to/run-on-postgresql.md`.

use crate::engines::with_flux;
use crate::harness::Bench;
use crate::servers::Postgres;
use crate::support::stores::has_no_file;

/// The page that has the statements.
const PAGE: &str = include_str!("../../../docs/how-to/run-on-postgresql.md");

/// Returns the blocks of statements under a heading of the page.
fn statements(heading: &str) -> Vec<String> {
    let (_, section) = PAGE
        .split_once(heading)
        .unwrap_or_else(|| panic!("no {heading}"));
    let (section, _) = section.split_once("\n## ").expect("another heading");
    let blocks = section.split("```sql\n").skip(1);
    blocks
        .map(|block| block.split_once("```").expect("an end").0.to_owned())
        .collect()
}

#[test]
fn each_role_of_the_page_may_do_its_work_and_nothing_else() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    server.sql("create database registry template template0");
    let in_database = |sql: &str| server.sql_in("registry", sql);
    let blocks = statements("### Roles");
    let [before, after] = &blocks[..] else {
        panic!("statements for before the first poll and for after it: {blocks:?}");
    };
    in_database(&before.replace("database fluxwatch", "database registry"));
    let url = |role: &str| {
        format!(
            "postgres://fluxwatch_{role}@127.0.0.1:{}/registry",
            server.port()
        )
    };
    let poll = with_flux(Bench::on(&url("poll"), ""));
    poll.run(0, &["poll"]);
    in_database(after);
    assert!(poll.run(0, &["db", "verify"]).starts_with("sound"));
    let domain = poll.cases()[0]["domain"].as_str().expect("text").to_owned();
    // The desk decides, and polls nothing.
    let desk = with_flux(Bench::on(&url("desk"), ""));
    desk.run(
        0,
        &[
            "cases",
            "note",
            "1",
            "--note",
            "seen before",
            "--by",
            "alice",
        ],
    );
    desk.run(
        0,
        &["cases", "ack", "1", "--note", "at work", "--by", "alice"],
    );
    desk.run(
        0,
        &[
            "exempt",
            "add",
            "domain",
            "elsewhere.example",
            "--reason",
            "our own",
            "--by",
            "alice",
        ],
    );
    desk.run(0, &["report", "send", "1", "--by", "alice"]);
    desk.run(
        0,
        &["cases", "close", "1", "--note", "done", "--by", "alice"],
    );
    desk.run(0, &["status"]);
    let said = desk.run_stderr(2, &["poll"]);
    assert!(
        said.contains("permission denied") && said.contains("hint: "),
        "{said}"
    );
    assert!(
        desk.run_stderr(2, &["db", "recount"])
            .contains("permission denied")
    );
    // Who reads writes nothing.
    let read = with_flux(Bench::on(&url("read"), ""));
    for command in [
        &["history", &domain][..],
        &["explain", &domain],
        &["cases", "list"],
        &["export", "--domain", &domain],
        &["stats"],
        &["status"],
        &["db", "verify"],
    ] {
        read.run(0, command);
    }
    let said = read.run_stderr(2, &["cases", "note", "1", "--note", "no", "--by", "eve"]);
    assert!(
        said.contains("permission denied") && said.contains("hint: "),
        "{said}"
    );
    // What a role has no right to, no statement of its own gets either.
    for (role, sql) in [
        ("desk", "update version set serial = 1"),
        ("desk", "delete from past_record"),
        ("desk", "create table fluxwatch.mine (id integer)"),
        ("read", "delete from abuse_case"),
        ("read", "select value from fluxwatch.api_token"),
    ] {
        let refused = server.try_sql_as(&format!("fluxwatch_{role}"), "registry", sql);
        assert!(refused.is_err(), "{role}: {sql}");
    }
    poll.run(0, &["poll"]);
}
