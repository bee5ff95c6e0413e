//! One recipient whom a server does not like, among others: the others get their mail.

use crate::harness::Bench;
use crate::support::smtp::{Scripted, Session, bench_of, rows};

/// Returns a bench with three messages for a server that follows a script, and what `poll` said.
fn poll_against(script: &[Session]) -> (Bench, Scripted, String) {
    let server = Scripted::start(script);
    let url = format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port);
    let bench = bench_of(3, &url);
    let log = bench.run_stderr(3, &["poll"]);
    (bench, server, log)
}

/// Returns the state and the reply of each message.
fn states(bench: &Bench) -> Vec<(String, String)> {
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    rows(bench)
        .iter()
        .map(|row| (word(&row["state"]), word(&row["last_reply"])))
        .collect()
}

#[test]
fn a_421_to_one_recipient_leaves_the_others_alone() {
    let (bench, server, log) = poll_against(&[Session::CloseAtRecipient]);
    let found = states(&bench);
    assert_eq!(
        found[0],
        ("queued".to_owned(), "421 4.7.0 try again later".to_owned()),
        "{log}"
    );
    assert!(found[1..].iter().all(|(state, _)| state == "sent"), "{log}");
    assert_eq!(server.ids().len(), 2);
}

#[test]
fn a_server_without_noop_refuses_one_recipient_and_takes_the_others() {
    let (bench, server, log) = poll_against(&[Session::Refuse]);
    let found = states(&bench);
    assert_eq!(
        found[0],
        ("dead".to_owned(), "550 5.1.1 nobody".to_owned()),
        "{log}"
    );
    assert!(found[1..].iter().all(|(state, _)| state == "sent"), "{log}");
    assert_eq!(server.ids().len(), 2);
}

#[test]
fn what_is_no_reply_is_kept_once() {
    let (bench, _server, log) = poll_against(&[Session::Babble]);
    let found = states(&bench);
    assert_eq!(found[0].0, "queued", "{log}");
    assert_eq!(found[0].1.matches("hello").count(), 1, "{found:?}");
    assert!(found[1..].iter().all(|(state, _)| state == "sent"), "{log}");
}

#[test]
fn poll_counts_what_it_did_not_try() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|it| it.local_addr())
        .expect("bound")
        .port();
    let bench = bench_of(3, &format!("[smtp]\nurl = \"smtp://127.0.0.1:{port}\"\n"));
    let log = bench.run_stderr(3, &["poll"]);
    let wanted = "mail: 0 sent, 1 tried again later, 2 not tried because the server does not answer\noutbox: 3 not sent yet;";
    assert!(log.contains(wanted), "{log}");
}
