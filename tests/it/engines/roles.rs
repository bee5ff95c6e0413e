//! Roles that may do what they need and nothing more: the statements of `how-to/run-on-postgresql.md`.

use crate::engines::with_flux;
use crate::harness::Bench;
use crate::servers::Postgres;
use crate::support::stores::has_no_file;

/// The page that has the statements.
const PAGE: &str = include_str!("../../../docs/how-to/run-on-postgresql.md");

/// Returns the statements under a heading of the page.
fn statements(heading: &str) -> String {
    let (_, section) = PAGE
        .split_once(heading)
        .unwrap_or_else(|| panic!("no {heading}"));
    let mut fences = section.split("```sql\n").skip(1);
    let block = fences.next().expect("statements");
    block.split_once("```").expect("an end").0.to_owned()
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
    for statement in statements("### Roles")
        .split(";\n")
        .filter(|it| !it.trim().is_empty())
    {
        in_database(&statement.replace("database fluxwatch", "database registry"));
    }
    let url = |role: &str| {
        format!(
            "postgres://fluxwatch_{role}@127.0.0.1:{}/registry",
            server.port()
        )
    };
    let poll = with_flux(Bench::on(&url("poll"), ""));
    poll.run(0, &["poll"]);
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
    assert_eq!(
        poll.run(0, &["poll"]).lines().count(),
        poll.run(0, &["poll"]).lines().count()
    );
}
