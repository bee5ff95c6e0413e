//! The outbox against servers that fail in every way: nothing is lost, nothing is sent twice unknowingly.
//!
//! A scripted server does what Postfix cannot be made to do; the others are real. `FLUXWATCH_KILLS` sets how
//! often the sender is killed (20 by default).

use crate::harness::{Bench, both, deliver, poll, python};
use crate::servers::Postfix;
use crate::support::desk::START;
use crate::support::lookups::python_with_module;
use crate::support::rows::sql;
use crate::support::smtp::{Scripted, Session, bench_of, rows};
use fluxwatch::time::{Clock, SetClock, Span, Timestamp, WallClock};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[test]
fn a_message_outlasts_every_passing_fault_under_one_message_id() {
    use Session::{Busy, Closed, TakeAndVanish, VanishInData};
    let script = [Busy, Closed, VanishInData, Busy, TakeAndVanish, Busy];
    let server = Scripted::start(&script);
    let bench = bench_of(
        1,
        &format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port),
    );
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::days(4)));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    let mut waited = Vec::new();
    for _ in 0..script.len() {
        let summary = deliver(&pipeline);
        assert_eq!(
            (summary.sent, summary.waiting, summary.dead),
            (0, 1, 0),
            "{waited:?}"
        );
        // Not a second before its time.
        assert_eq!(deliver(&pipeline).waiting, 0);
        let next = rows(&bench)[0]["next_attempt_at"]
            .as_str()
            .map(str::to_owned);
        let next = Timestamp::parse_rfc3339(&next.expect("waits")).expect("a time");
        waited.push(next.since(clock.now()));
        clock.set(next);
    }
    assert!(
        waited[..5].is_sorted() && waited.iter().all(|wait| *wait <= Span::hours(4)),
        "{waited:?}"
    );
    assert_eq!(deliver(&pipeline).sent, 1);
    assert!(server.script.lock().expect("alive").is_empty());
    // Once before the server vanished, and once for good: the same message.
    let ids = server.ids();
    assert_eq!(ids.into_values().collect::<Vec<_>>(), [2]);
    assert_eq!(rows(&bench)[0]["state"], "sent");
}

#[test]
fn a_refused_recipient_is_dead_at_once_and_others_are_not() {
    let server = Scripted::start(&[Session::Refuse]);
    let bench = bench_of(
        3,
        &format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port),
    );
    let log = bench.run_stderr(3, &["poll"]);
    let line = log
        .lines()
        .find(|line| line.contains("message 1 to "))
        .expect(&log);
    assert!(line.contains(" is dead: "), "{line}");
    let states = |bench: &Bench| -> Vec<String> {
        rows(bench)
            .iter()
            .map(|row| row["state"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(states(&bench), ["dead", "sent", "sent"]);
    assert!(
        bench
            .run_stderr(0, &["status"])
            .contains("1 message given up")
    );
    let id = rows(&bench)[0]["id"].to_string();
    bench.run(0, &["outbox", "drop", &id, "--by", "ada", "--dry-run"]);
    assert_eq!(states(&bench)[0], "dead");
    bench.run(0, &["outbox", "retry", &id]);
    assert_eq!(states(&bench)[0], "sent");
    bench.run(3, &["outbox", "drop", &id, "--by", "ada"]);
    assert_eq!(server.ids().len(), 3);
}

#[test]
fn mail_is_kept_where_tls_is_asked_for_and_not_offered() {
    let server = Scripted::start(&[]);
    let url = format!(
        "[smtp]\nurl = \"smtp://127.0.0.1:{}?tls=required\"\n",
        server.port
    );
    let bench = bench_of(1, &url);
    bench.run(3, &["poll"]);
    assert_eq!(rows(&bench)[0]["state"], "queued", "{:?}", rows(&bench));
    assert!(server.ids().is_empty(), "nothing leaves in the clear");
    // Where TLS is only preferred, it leaves without.
    let config = std::fs::read_to_string(bench.config()).expect("written");
    let config = config.replace("tls=required", "tls=opportunistic");
    std::fs::write(bench.config(), config).expect("written");
    bench.run(0, &["outbox", "retry"]);
    assert_eq!(server.ids().len(), 1);
}

#[test]
fn fifty_messages_outlast_an_outage_of_two_days_and_arrive_once_each() {
    // A port that nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|it| it.local_addr())
        .expect("bound")
        .port();
    let bench = bench_of(50, &format!("[smtp]\nurl = \"smtp://127.0.0.1:{port}\"\n"));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::days(4)));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    for _ in 0..96 {
        let summary = deliver(&pipeline);
        assert_eq!((summary.sent, summary.dead), (0, 0));
        clock.set(clock.now() + Span::seconds(1800));
    }
    let server = Scripted::start(&[]);
    let config = std::fs::read_to_string(bench.config()).expect("written");
    let config = config.replace(&format!(":{port}\""), &format!(":{}\"", server.port));
    std::fs::write(bench.config(), config).expect("written");
    let pipeline = bench.pipeline(clock.clone());
    let mut sent = 0;
    for _ in 0..10 {
        sent += deliver(&pipeline).sent;
        clock.set(clock.now() + Span::hours(1));
    }
    let ids = server.ids();
    assert_eq!((sent, ids.len()), (50, 50));
    assert!(ids.values().all(|count| *count == 1));
}

#[test]
fn caps_hold_messages_back_and_lose_none() {
    let server = Scripted::start(&[]);
    let smtp = format!(
        "[smtp]\nurl = \"smtp://127.0.0.1:{}\"\nper_run_max = 4\nper_hour_max = 20\nper_recipient_hour_max = 6\n",
        server.port
    );
    let bench = bench_of(10, &smtp);
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::days(4)));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    let sent: Vec<u64> = (0..3).map(|_| deliver(&pipeline).sent).collect();
    assert_eq!(sent, [4, 2, 0], "by run, then by recipient");
    clock.set(clock.now() + Span::hours(2));
    let sent: Vec<u64> = (0..2).map(|_| deliver(&pipeline).sent).collect();
    assert_eq!((sent, server.ids().len()), (vec![4, 0], 10));
}

#[test]
fn a_sender_that_is_killed_at_any_moment_loses_nothing() {
    let kills: u64 = std::env::var("FLUXWATCH_KILLS")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(20);
    let mut numbers = crate::numbers::Numbers(7);
    let mut busy = 0;
    // A hundred messages keep a sender busy for some twenty kills; then begins another outbox.
    for _ in 0..kills.div_ceil(20) {
        busy += kill_senders(20, &mut numbers);
    }
    assert!(
        busy > kills / 4,
        "{busy} of {kills} hit a sender that had something to do"
    );
}

/// Kills senders of one outbox, checks that every message arrives, and returns how many of the senders had
/// something to do.
fn kill_senders(kills: u64, numbers: &mut crate::numbers::Numbers) -> u64 {
    let server = Scripted::start(&[]);
    let smtp = format!(
        "[smtp]\nurl = \"smtp://127.0.0.1:{}\"\nper_recipient_hour_max = 9999\n",
        server.port
    );
    let bench = bench_of(100, &smtp);
    // Queued by whoever is not killed, sent by whoever is.
    let clock = Arc::new(SetClock::new(WallClock.now()));
    poll(&bench.pipeline(clock));
    let all = rows(&bench).len();
    assert!(all >= 100, "{all}");
    let mut busy = 0;
    for kill in 0..kills {
        let before = server.ids().len();
        let mut child = bench
            .command(&["outbox", "retry"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // Every other one is killed once it sends: on a busy machine none would have begun.
        let end = Instant::now() + Duration::from_secs(2);
        while kill % 2 == 0 && before < all && server.ids().len() == before && Instant::now() < end
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(numbers.below(60)));
        let sent = server.ids().len();
        let _ = child.kill();
        let _ = child.wait();
        busy += u64::from(sent > 0 && sent < all);
    }
    // Leases of those that were killed run out.
    let clock = Arc::new(SetClock::new(WallClock.now() + Span::hours(1)));
    let pipeline = bench.pipeline(clock);
    while deliver(&pipeline).sent > 0 {}
    let ids = server.ids();
    assert_eq!(ids.len(), all, "every message arrived");
    let rows = rows(&bench);
    assert!(rows.iter().all(|row| row["state"] == "sent"), "{rows:#?}");
    for row in &rows {
        let id = row["message_id"].as_str().expect("text");
        assert!(ids.keys().any(|line| line.contains(id)), "{id}");
    }
    busy
}

#[test]
fn mail_leaves_over_starttls_to_a_server_that_a_private_authority_signed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postfix = Postfix::start_with_tls(folder.path());
    let smtp = format!(
        "[smtp]\nurl = \"smtp://localhost:{}?tls=required\"\nca_file = \"{}\"\n",
        postfix.port(),
        postfix.certificate().display()
    );
    let bench = bench_of(1, &smtp);
    bench.run(0, &["poll"]);
    let mails = postfix.wait_for_mails(1, 20);
    let mail = std::fs::read_to_string(&mails[0]).expect("delivered");
    assert!(mail.contains("using TLSv1."), "{mail}");
    // Without the authority, the server is not believed.
    let bench = bench_of(
        1,
        &format!(
            "[smtp]\nurl = \"smtp://localhost:{}?tls=required\"\n",
            postfix.port()
        ),
    );
    bench.run(3, &["poll"]);
    assert_eq!(rows(&bench)[0]["state"], "queued");
    assert_eq!(postfix.mails().len(), 1);
}

/// Verifies signatures with another implementation; the keys come from arguments.
const VERIFY_DKIM: &str = r#"
import sys, dkim
key = open(sys.argv[1]).read().strip().encode()
for path in sys.argv[2:]:
    mail = open(path, "rb").read()
    good = dkim.verify(mail, dnsfunc=lambda name, timeout=5: key if name == b"fluxwatch._domainkey.registrar.example." else b"")
    bad = dkim.verify(mail.replace(b"Subject: ", b"Subject: x", 1), dnsfunc=lambda name, timeout=5: key)
    print(good, bad)
"#;

/// Runs openssl and returns what it prints.
fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(arguments)
        .output()
        .expect("openssl is installed");
    assert!(output.status.success(), "{}", both(&output));
    output.stdout
}

#[test]
fn signatures_of_both_kinds_hold_for_an_independent_verifier() {
    let python_path = python_with_module("dkimpy==1.1.8", "dkim");
    let nacl = Command::new(&python_path)
        .args(["-m", "pip", "install", "--quiet", "pynacl==1.6.2"])
        .output()
        .expect("pip runs");
    assert!(nacl.status.success(), "{}", both(&nacl));
    for algorithm in ["rsa", "ed25519"] {
        let dkim = format!(
            "[dkim]\ndomain = \"registrar.example\"\nselector = \"fluxwatch\"\nkey_file = \"dkim.key\"\nalgorithm = \"{algorithm}\"\n"
        );
        let bench = bench_of(1, &format!("[smtp]\nurl = \"maildir://desk\"\n{dkim}"));
        let path = bench.path().join("private.pem");
        let pem = path.to_str().expect("text").to_owned();
        let text = match algorithm {
            "rsa" => {
                openssl(&["genrsa", "-traditional", "-out", &pem, "2048"]);
                let public = openssl(&["rsa", "-in", &pem, "-pubout", "-outform", "DER"]);
                bench.write("public.der", public);
                std::fs::copy(&path, bench.path().join("dkim.key")).expect("copied");
                "v=DKIM1; k=rsa; p="
            }
            _ => {
                openssl(&["genpkey", "-algorithm", "ed25519", "-out", &pem]);
                // The last 32 octets of either form are the key itself.
                let private = openssl(&["pkey", "-in", &pem, "-outform", "DER"]);
                let public = openssl(&["pkey", "-in", &pem, "-pubout", "-outform", "DER"]);
                bench.write("raw", &private[private.len() - 32..]);
                let raw = bench.path().join("raw");
                let key = openssl(&["base64", "-A", "-in", raw.to_str().expect("text")]);
                bench.write("dkim.key", key);
                bench.write("public.der", &public[public.len() - 32..]);
                "v=DKIM1; k=ed25519; p="
            }
        };
        let public = bench.path().join("public.der");
        let base64 = openssl(&["base64", "-A", "-in", public.to_str().expect("text")]);
        let record = bench.write(
            "record",
            format!("{text}{}", String::from_utf8_lossy(&base64)),
        );
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(bench.path().join("dkim.key"), mode).expect("set");
        bench.run(0, &["poll"]);
        let mails = bench.maildir();
        assert!(!mails.is_empty());
        let script = bench.write("verify.py", VERIFY_DKIM);
        let output = Command::new(&python_path)
            .arg(script)
            .arg(&record)
            .args(&mails)
            .output()
            .expect("python runs");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            "True False",
            "{algorithm}: {}",
            both(&output)
        );
    }
}

#[test]
fn what_comes_back_marks_the_recipient_once_and_is_never_answered() {
    let bench = bench_of(
        1,
        "bounce = \"bounce@registrar.example\"\nbounces = \"bounces\"\n[smtp]\nurl = \"maildir://desk\"\n",
    );
    bench.run(0, &["poll"]);
    let sender = sql(&bench, "select sender from message");
    let sender = sender.trim();
    assert!(
        sender.starts_with("bounce+") && sender.ends_with("@registrar.example"),
        "{sender}"
    );
    let notification = |to: &str, status: &str| {
        format!(
            "From: MAILER-DAEMON@mx.example\nTo: <{to}>\nSubject: Undelivered\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\n\n--b\nContent-Type: text/plain\n\nSorry.\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.example\n\nFinal-Recipient: rfc822; abuse-desk@registrar.example\nAction: failed\nStatus: {status}\nDiagnostic-Code: smtp; 550 mailbox is gone\n--b--\n"
        )
    };
    // A passing fault, one with an extension that nobody gave, a letter, and the real one.
    bench.write("bounces/new/1", notification(sender, "4.2.2"));
    bench.write(
        "bounces/new/2",
        notification("bounce+0123456789abcdef@registrar.example", "5.1.1"),
    );
    bench.write("bounces/new/3", "From: a@b.example\n\nhello\n");
    bench.run(0, &["poll"]);
    assert_eq!(rows(&bench)[0]["state"], "undelivered");
    bench.write("bounces/new/4", notification(sender, "5.1.1"));
    bench.run(0, &["poll"]);
    let row = &rows(&bench)[0];
    assert_eq!(row["state"], "bounced", "{row}");
    assert!(
        row["last_reply"]
            .as_str()
            .expect("text")
            .contains("5.1.1 smtp; 550 mailbox is gone"),
        "{row}"
    );
    let cur: Vec<_> = std::fs::read_dir(bench.path().join("bounces/cur"))
        .expect("made")
        .flatten()
        .collect();
    assert_eq!(cur.len(), 4);
    let letter = cur
        .iter()
        .any(|it| it.file_name().to_string_lossy() == "3:2,");
    assert!(letter, "a person's letter is left unread");
    assert_eq!(bench.maildir().len(), 1, "nothing is answered");
}

#[test]
fn webhooks_are_told_what_the_desk_is_signed_and_at_least_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let bodies = seen.clone();
    std::thread::spawn(move || {
        for (i, stream) in listener.incoming().flatten().enumerate() {
            let mut out = stream.try_clone().expect("a stream");
            let mut lines = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if lines.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                head += &line;
            }
            let mut body = vec![0; length];
            let _ = lines.read_exact(&mut body);
            bodies
                .lock()
                .expect("alive")
                .push((head, String::from_utf8_lossy(&body).into_owned()));
            // Its first answer is that of a server in trouble.
            let status = if i == 0 { "503 Busy" } else { "204 No Content" };
            let _ = write!(out, "HTTP/1.1 {status}\r\nConnection: close\r\n\r\n");
        }
    });
    let bench = bench_of(
        1,
        &format!(
            "[smtp]\nurl = \"maildir://desk\"\n[[webhook]]\nurl = \"http://127.0.0.1:{port}/hook\"\nsecret_file = \"hook.secret\"\n[events]\npath = \"events.ndjson\"\n"
        ),
    );
    let path = bench.write("hook.secret", "s3cret-of-the-webhook\n");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("set");
    bench.run(3, &["poll"]);
    bench.run(0, &["outbox", "retry"]);
    let seen = seen.lock().expect("alive").clone();
    assert_eq!(seen.len(), 2);
    let header = |head: &str, name: &str| -> String {
        let line = head
            .lines()
            .find(|line| line.to_lowercase().starts_with(name));
        line.and_then(|line| line.split_once(": "))
            .map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    assert_eq!(
        header(&seen[0].0, "x-fluxwatch-id"),
        header(&seen[1].0, "x-fluxwatch-id")
    );
    let mac = python(
        "import hmac, sys\nprint('sha256=' + hmac.new(b's3cret-of-the-webhook', sys.argv[1].encode(), 'sha256').hexdigest())",
        &[Path::new(&seen[1].1)],
    );
    assert_eq!(header(&seen[1].0, "x-fluxwatch-signature"), mac.trim());
    let body: Value = serde_json::from_str(&seen[1].1).expect("JSON");
    assert_eq!(
        (&body["event"], &body["case"]["domain"]),
        (&"report".into(), &"d0.example.".into())
    );
    // The log of events has every line of the case's log, each once.
    let events = std::fs::read_to_string(bench.path().join("events.ndjson")).expect("written");
    let ids: Vec<i64> = events
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("JSON")["id"]
                .as_i64()
                .expect("a number")
        })
        .collect();
    assert!(
        ids.len() >= 2 && ids.is_sorted() && ids.windows(2).all(|pair| pair[0] < pair[1]),
        "{ids:?}"
    );
    // A pass writes what came since: that the message was tried again.
    for _ in 0..2 {
        bench.run(0, &["poll"]);
        let now = std::fs::read_to_string(bench.path().join("events.ndjson")).expect("written");
        let new = now.strip_prefix(&events).expect("goes on");
        assert!(new.contains("to be tried again"), "{new}");
        assert_eq!(new.lines().count(), 1, "{new}");
    }
}
