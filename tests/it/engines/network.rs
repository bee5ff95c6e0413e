//! A network between poller and server that is cut, and a poller that is stopped.
//!
//! `FLUXWATCH_CUT_S` sets how long the network is cut (1 s by default).

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::engines::watched::{Pair, wait_until};
use crate::engines::{cases, chains, with_flux};
use crate::harness::{Bench, Running, both};
use crate::servers::Postgres;
use crate::support::proxy::{AtCommit, Proxy, Way};
use crate::support::stores::has_no_file;

/// Returns how long the network is cut.
fn cut() -> Duration {
    let wanted = std::env::var("FLUXWATCH_CUT_S").ok();
    let seconds = wanted.and_then(|text| text.parse().ok()).unwrap_or(1);
    Duration::from_secs(seconds)
}

/// Cuts the network of a service that polls, and lets it go on.
fn check_cut(way: Way, schema: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let proxy = Proxy::to(server.port());
    let url = server.url(schema);
    let mut pair = Pair::new(schema, &server.url_at(proxy.port(), schema), &url);
    let active = Running::start(&pair.first, &["run"]);
    pair.wait_for_newest(&server, "the first service polls");
    let other = Running::start(&pair.second, &["run"]);
    wait_until("the second one stands by", || {
        other.log().contains("standing by")
    });
    proxy.go(way);
    let began = Instant::now();
    while began.elapsed() < cut() {
        pair.change();
        sleep(Duration::from_millis(500).min(cut()));
    }
    proxy.go(Way::Open);
    pair.change();
    pair.wait_for_newest(&server, "after the network was cut");
    let takeovers = other.log().matches("took the poller's lock").count();
    assert!(takeovers <= 1, "{}", other.log());
    if way == Way::Silent && cut() < Duration::from_secs(15) {
        // The server has not given up the session.
        assert_eq!(takeovers, 0, "{}\n{}", other.log(), active.log());
    }
    // Its own copy of the feed says the same: nothing is missing that anybody would have to be told of.
    assert!(!other.log().contains("rotated"), "{}", other.log());
    match takeovers {
        0 => active.stop(),
        // With a status at which systemd starts it again, to stand by.
        _ => assert_eq!(active.wait(), Some(1)),
    }
    pair.check(&server);
    // Nobody took a zone for one that is not seen, nor wrote to anybody.
    let told = format!(
        "select (select count(*) from {schema}.blindness) + (select count(*) from {schema}.message)"
    );
    assert_eq!(server.sql(&told), "0");
}

#[test]
fn network_that_loses_everything_for_a_while_loses_no_version() {
    if !has_no_file() {
        check_cut(Way::Silent, "silent");
    }
}

#[test]
fn connections_that_are_ended_lose_no_version() {
    if !has_no_file() {
        check_cut(Way::Closed, "closed");
    }
}

/// Starts a poll.
pub(super) fn start(bench: &Bench) -> Child {
    bench
        .command(&["poll"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started")
}

/// Sends a signal to a child.
pub(super) fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args([&format!("-{name}"), &id])
        .status();
    assert!(sent.expect("kill is there").success());
}

/// Has a second poller take over from one that is stopped, and the first one go on then. Both have the same files: those
/// of another host would be older than history.
pub(super) fn check_stopped(server: &Postgres, stopped: Child, second: &Bench, schema: &str) {
    let expected = {
        let file = with_flux(Bench::new(""));
        file.run(0, &["poll"]);
        (cases(&file), chains(&file))
    };
    let visible = format!("select count(*) from {schema}.version");
    let before = server.sql(&visible);
    let began = Instant::now();
    second.run(0, &["poll", "--wait"]);
    eprintln!(
        "{schema}: taken over after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    // The server gives up who says nothing after half a minute.
    assert!(began.elapsed() < Duration::from_secs(90));
    assert_eq!((cases(second), chains(second)), expected);
    let after = server.sql(&visible);
    assert_ne!(before, after);
    signal(&stopped, "CONT");
    let output = stopped.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(4), "{}", both(&output));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("hint: "),
        "{}",
        both(&output)
    );
    // Nothing of what it had begun is there, nor of what it would have gone on with.
    assert_eq!(server.sql(&visible), after);
    assert_eq!((cases(second), chains(second)), expected);
    assert_eq!(second.maildir().len(), 1);
    assert!(second.run(0, &["db", "verify"]).starts_with("sound"));
}

#[test]
fn poller_that_is_stopped_in_the_middle_of_a_version_is_fenced() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let url = server.url("middle");
    let first = with_flux(Bench::on(&url, ""));
    Bench::on(&url, "").run(0, &["poll"]);
    // Its third change of records takes long, and it is stopped meanwhile.
    server.sql(
        "create sequence middle.turns;
         create function middle.pause() returns trigger language plpgsql as $$ begin
             if nextval('middle.turns') = 3 then perform pg_sleep(3); end if; return null; end $$;
         create trigger pause after insert on middle.past_record for each statement
             execute function middle.pause()",
    );
    let child = start(&first);
    wait_until("it is in the middle", || {
        server.sql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'") == "1"
    });
    signal(&child, "STOP");
    check_stopped(&server, child, &first, "middle");
}

#[test]
fn poller_that_is_stopped_just_before_its_commit_is_fenced() {
    if has_no_file() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Postgres::start(folder.path());
    let proxy = Proxy::to(server.port());
    let url = server.url("just_before");
    Bench::on(&url, "").run(0, &["poll"]);
    let first = with_flux(Bench::on(&server.url_at(proxy.port(), "just_before"), ""));
    proxy.end_at_commit(AtCommit::Hold, 6);
    let child = start(&first);
    wait_until("it commits", || proxy.ended() == 1);
    signal(&child, "STOP");
    check_stopped(&server, child, &first, "just_before");
}
