//! Commits whose answers are lost: what became of them is found out, and nothing is done twice or left out on a guess.

use std::process::Stdio;

use crate::engines::checker::count_note;
use crate::engines::watched::wait_until;
use crate::engines::{cases, chains, with_flux};
use crate::harness::Bench;
use crate::servers::Postgres;
use crate::support::proxy::{AtCommit, Proxy};
use crate::support::stores::has_no_file;

#[test]
fn step_of_the_desk_whose_answer_is_lost_is_done_once_or_not_at_all_and_says_which() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let proxy = Proxy::to(server.port());
    let near = with_flux(Bench::on(&server.url("one"), ""));
    near.run(0, &["poll"]);
    let far = with_flux(Bench::on(&server.url_at(proxy.port(), "one"), ""));
    let step = |note| ["cases", "note", "1", "--note", note, "--by", "alice"];
    // The server committed, and its answer is lost: the program asks, and says that it is done.
    proxy.end_at_commit(AtCommit::After, 0);
    far.run(0, &step("the first"));
    assert_eq!((proxy.ended(), count_note(&near, "the first")), (1, 1));
    // The server never heard of it: the program says so, and it is not there.
    proxy.end_at_commit(AtCommit::Before, 0);
    let said = far.run_stderr(4, &step("the second"));
    assert!(said.contains("nothing of it was stored"), "{said}");
    assert_eq!((proxy.ended(), count_note(&near, "the second")), (2, 0));
    far.run(0, &step("the second"));
    assert_eq!(count_note(&near, "the second"), 1);
}

#[test]
fn step_of_the_desk_whose_server_crashes_before_it_can_be_asked_is_said_not_to_be_known() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let proxy = Proxy::to(server.port());
    let near = with_flux(Bench::on(&server.url("one"), ""));
    near.run(0, &["poll"]);
    let far = with_flux(Bench::on(&server.url_at(proxy.port(), "one"), ""));
    for (note, comes_back) in [("the first", true), ("the second", false)] {
        let ended = proxy.ended();
        proxy.end_at_commit(AtCommit::Mute, 0);
        let step = far
            .command(&["cases", "note", "1", "--note", note, "--by", "alice"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        wait_until("it commits", || proxy.ended() > ended);
        wait_until("it is there", || count_rows(&server, note) == "1");
        server.kill();
        if comes_back {
            server.go_on();
        }
        let output = step.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(
            said.contains("whether it was stored is not known")
                && said.contains("look whether it is there before you do it again"),
            "{said}"
        );
        if !comes_back {
            server.go_on();
        }
        assert_eq!(count_note(&near, note), 1);
    }
    assert!(near.run(0, &["db", "verify"]).starts_with("sound"));
}

/// Returns how many rows of the desk's log have a note.
fn count_rows(server: &Postgres, note: &str) -> String {
    server.sql(&format!(
        "select count(*) from one.case_event where note = '{note}'"
    ))
}

#[test]
fn poll_whose_commits_lose_their_answers_stores_everything_once() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let proxy = Proxy::to(server.port());
    let expected = {
        let file = with_flux(Bench::new(""));
        file.run(0, &["poll"]);
        (cases(&file), chains(&file))
    };
    for (place, commits) in [5, 21].into_iter().enumerate() {
        for when in [AtCommit::After, AtCommit::Before] {
            let is_done = when == AtCommit::After;
            let schema = format!("lost_{place}_{is_done}");
            let near = with_flux(Bench::on(&server.url(&schema), ""));
            let far = with_flux(Bench::on(&server.url_at(proxy.port(), &schema), ""));
            proxy.end_at_commit(when, commits);
            // A commit that was done is found out, and the pass goes on; one that was not ends it.
            let ended = proxy.ended();
            let output = far.command(&["poll"]).output().expect("it starts");
            let was_cut = proxy.ended() > ended;
            let wanted = if is_done || !was_cut { 0 } else { 4 };
            assert_eq!(
                output.status.code(),
                Some(wanted),
                "{commits} {is_done}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            proxy.end_at_commit(AtCommit::Pass, 0);
            // What was in somebody's hands is free again when its lease is over.
            server.sql(&format!(
                "set search_path = {schema}; do $$ begin if to_regclass('message') is not null then
                 update message set next_attempt_at = 0 where state in ('queued', 'sending'); end if; end $$"
            ));
            // The host that it is has the files: another would find them older than history.
            far.run(0, &["poll"]);
            assert_eq!(
                (cases(&near), chains(&near)),
                expected,
                "{commits} {is_done}"
            );
            assert_eq!(far.maildir().len(), 1, "{commits} {is_done}");
            assert!(near.run(0, &["db", "verify"]).starts_with("sound"));
        }
    }
}
