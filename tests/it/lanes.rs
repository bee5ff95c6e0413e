//! What is slow or dead delays its own messages: mail of many domains behind one relay, and webhooks.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fluxwatch::pipeline::{DeliverySummary, Pipeline, STOP_GRACE};
use fluxwatch::store::{MailKind, MessageState, NewMessage, SendingCaps, Way};
use fluxwatch::time::{Clock, SetClock, Span, WallClock};

use crate::harness::{Bench, REPORT, deliver};
use crate::servers::Postfix;

/// How long a slow domain takes to say whether it knows a recipient.
const SLOW: Duration = Duration::from_millis(1500);
/// Within this something happens that waits for nothing, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A mail that a relay took, or is told of.
#[derive(Debug, Clone)]
struct Taken {
    recipient: String,
    message_id: String,
    began: Instant,
    ended: Instant,
}

/// A relay that asks the domains of recipients, as one with callouts does, and takes as long as they do.
#[derive(Clone)]
struct Relay {
    port: u16,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Relay {
    /// Starts a relay; `wait` says how long the domain of a recipient takes to be asked, and how long the end of a
    /// mail to it.
    fn start(wait: fn(&str) -> (Duration, Duration)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let relay = Self {
            port: listener.local_addr().expect("bound").port(),
            taken: Arc::default(),
        };
        let taken = relay.taken.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = taken.clone();
                std::thread::spawn(move || {
                    let _ = Self::serve(&stream, wait, &taken);
                });
            }
        });
        relay
    }

    /// Serves one session.
    fn serve(
        mut out: &TcpStream,
        wait: fn(&str) -> (Duration, Duration),
        taken: &Mutex<Vec<Taken>>,
    ) -> std::io::Result<()> {
        let mut lines = BufReader::new(out).lines();
        let mut recipient = String::new();
        let mut began = Instant::now();
        out.write_all(b"220 relay\r\n")?;
        while let Some(Ok(line)) = lines.next() {
            match line.split([' ', ':']).next().unwrap_or_default() {
                "RCPT" => {
                    began = Instant::now();
                    let address = line.split(['<', '>']).nth(1).unwrap_or_default();
                    recipient = address.to_owned();
                    std::thread::sleep(wait(&recipient).0);
                }
                "DATA" => {
                    out.write_all(b"354 go on\r\n")?;
                    let mail: Vec<String> = lines
                        .by_ref()
                        .map_while(Result::ok)
                        .take_while(|it| it != ".")
                        .collect();
                    let id = mail.iter().find_map(|it| it.strip_prefix("Message-ID: "));
                    let mail = Taken {
                        recipient: recipient.clone(),
                        message_id: id.unwrap_or_default().to_owned(),
                        began,
                        ended: Instant::now(),
                    };
                    taken.lock().expect("alive").push(mail);
                    std::thread::sleep(wait(&recipient).1);
                }
                "QUIT" => return out.write_all(b"221 bye\r\n"),
                _ => {}
            }
            out.write_all(b"250 ok\r\n")?;
        }
        Ok(())
    }

    /// Returns the mails that it took, in order.
    fn taken(&self) -> Vec<Taken> {
        self.taken.lock().expect("alive").clone()
    }

    /// Waits until it took so many mails.
    fn wait_for(&self, count: usize) {
        crate::support::wait::until("the mails", || self.taken().len() >= count);
    }

    /// Returns the section of the configuration that names it.
    fn section(&self, more: &str) -> String {
        format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n{more}", self.port)
    }
}

/// Slow where the domain is `slow.example`.
fn slow_domain(recipient: &str) -> (Duration, Duration) {
    if recipient.ends_with("@slow.example") {
        (SLOW, Duration::ZERO)
    } else {
        (Duration::ZERO, Duration::ZERO)
    }
}

/// A server that answers every request, at its own pace; returns its port, and when each came.
fn hook(answer: Option<&'static str>) -> (u16, Arc<Mutex<Vec<Instant>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("bound").port();
    let came = Arc::new(Mutex::new(Vec::new()));
    let times = came.clone();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            times.lock().expect("alive").push(Instant::now());
            match answer {
                Some(answer) => {
                    let mut octets = [0; 4096];
                    let _ = stream.read(&mut octets);
                    let _ = stream.write_all(answer.as_bytes());
                }
                None => kept.push(stream),
            }
        }
    });
    (port, came)
}

/// A port that nobody listens on.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("bound").port()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// Returns the section of a webhook, and writes its secret.
fn webhook(bench: &Bench, port: u16) -> String {
    use std::os::unix::fs::PermissionsExt;
    let secret = bench.write("hook.secret", "a-secret-of-the-webhook\n");
    std::fs::set_permissions(secret, std::fs::Permissions::from_mode(0o600)).expect("set");
    format!(
        "[[webhook]]\nurl = \"{}\"\nsecret_file = \"hook.secret\"\n",
        url(port)
    )
}

/// Returns the URL of a webhook.
fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/hook")
}

/// Makes a pipeline of a configuration.
fn pipeline(bench: &Bench, rest: &str) -> (Pipeline, Arc<SetClock>) {
    bench.configure(&format!("{REPORT}digest = \"off\"\n{rest}"));
    let clock = Arc::new(SetClock::new(WallClock.now()));
    (bench.pipeline(clock.clone()), clock)
}

/// Queues a message to each recipient, in this order; one with a scheme is a URL.
fn queue<'a>(pipeline: &Pipeline, recipients: impl IntoIterator<Item = &'a str>) {
    let store = pipeline.store();
    let count = store.desk().messages(false).expect("readable").len();
    let tx = store.begin_batch().expect("begun");
    for (n, recipient) in recipients.into_iter().enumerate() {
        let message_id = format!("<m{}@registrar.example>", count + n);
        let message = NewMessage {
            case_id: None,
            kind: if recipient.contains("://") {
                MailKind::Webhook
            } else {
                MailKind::Notice
            },
            revision: 0,
            recipient: recipient.to_owned(),
            sender: "fluxwatch@registrar.example".to_owned(),
            octets: format!("Message-ID: {message_id}\r\nSubject: x\r\n\r\nx\r\n").into_bytes(),
            message_id,
            subject: "x".to_owned(),
        };
        store
            .desk()
            .queue_message(&message, pipeline.clock().now())
            .expect("queued");
    }
    tx.commit().expect("durable");
}

/// Returns how many messages to recipients with these words stand so.
fn count(pipeline: &Pipeline, words: &str, state: MessageState) -> usize {
    let rows = pipeline.store().desk().messages(false).expect("readable");
    let is_so = |it: &&_| {
        let row: &fluxwatch::store::MessageRow = it;
        row.state == state && row.message.recipient.contains(words)
    };
    rows.iter().filter(is_so).count()
}

/// Empties the outbox until `stop` holds.
fn deliver_until(pipeline: &Pipeline, stop: impl Fn() -> bool) -> DeliverySummary {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let stopped = async {
        while !stop() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    runtime
        .block_on(pipeline.notify().deliver_until(stopped))
        .expect("the outbox can be read")
}

#[test]
fn slow_domain_behind_a_relay_delays_its_own_mail_alone() {
    let relay = Relay::start(slow_domain);
    let bench = Bench::new("");
    let (pipeline, _) = pipeline(&bench, &relay.section(""));
    // The slow ones are the oldest.
    queue(
        &pipeline,
        ["a@slow.example", "b@Slow.example", "D <a@slow.example>"],
    );
    let others: Vec<String> = (0..24)
        .map(|n| format!("desk@d{}.example", n % 12))
        .collect();
    queue(&pipeline, others.iter().map(String::as_str));
    let summary = deliver(&pipeline);
    assert_eq!((summary.sent, summary.waiting, summary.untried), (27, 0, 0));
    let taken = relay.taken();
    let is_slow = |it: &&Taken| it.recipient.to_lowercase().ends_with("@slow.example");
    let slow: Vec<&Taken> = taken.iter().filter(is_slow).collect();
    let last = taken
        .iter()
        .filter(|it| !is_slow(it))
        .map(|it| it.ended)
        .max();
    assert!(
        last.expect("some") < slow[2].ended,
        "mail to others waited for the slow domain"
    );
    let order: Vec<&str> = slow.iter().map(|it| it.message_id.as_str()).collect();
    assert_eq!(
        order,
        [0, 1, 2].map(|n| format!("<m{n}@registrar.example>")),
        "the oldest first"
    );
    // One at a time to each domain.
    let mut last = BTreeMap::new();
    for mail in &taken {
        let domain = mail
            .recipient
            .rsplit('@')
            .next()
            .unwrap_or_default()
            .to_lowercase();
        if let Some(ended) = last.insert(domain, mail.ended) {
            assert!(mail.began >= ended, "two at a time: {mail:?}");
        }
    }
}

#[test]
fn silent_webhook_delays_nobody_and_is_broken_off_at_a_stop() {
    let relay = Relay::start(|_| (Duration::ZERO, Duration::ZERO));
    let (silent, asked) = hook(None);
    let (healthy, came) = hook(Some(OK));
    let bench = Bench::new("");
    let sections = webhook(&bench, silent) + &webhook(&bench, healthy);
    let (pipeline, _) = pipeline(&bench, &(relay.section("") + &sections));
    let silent = url(silent);
    queue(
        &pipeline,
        [silent.as_str(), silent.as_str(), silent.as_str()],
    );
    queue(&pipeline, [url(healthy).as_str(), url(healthy).as_str()]);
    queue(&pipeline, ["desk@registrar.example", "desk@other.example"]);
    let began = Instant::now();
    let healthy_done = || came.lock().expect("alive").len() >= 2 && relay.taken().len() >= 2;
    let summary = deliver_until(&pipeline, healthy_done);
    assert_eq!((summary.sent, summary.waiting), (4, 0));
    // A silent one is given up after 20 s; its attempt was in hand all the while.
    assert!(
        began.elapsed() < STOP_GRACE + AT_ONCE,
        "{:?}",
        began.elapsed()
    );
    assert_eq!(asked.lock().expect("alive").len(), 1, "one at a time");
    assert_eq!(count(&pipeline, &silent, MessageState::Sending), 1);
    assert_eq!(count(&pipeline, &silent, MessageState::Queued), 2);
}

#[test]
fn mail_that_is_taken_after_the_stop_is_noted_as_sent() {
    // The server says that it took the mail a second after it did.
    let relay = Relay::start(|_| (Duration::ZERO, Duration::from_secs(1)));
    let bench = Bench::new("");
    let (pipeline, _) = pipeline(&bench, &relay.section(""));
    queue(
        &pipeline,
        ["a@one.example", "b@one.example", "c@two.example"],
    );
    let summary = deliver_until(&pipeline, || !relay.taken().is_empty());
    // And what waited behind it was not begun.
    assert_eq!(
        count(&pipeline, "", MessageState::Sent) as u64,
        summary.sent
    );
    assert_eq!(count(&pipeline, "a@one", MessageState::Sent), 1);
    assert_eq!(count(&pipeline, "b@one", MessageState::Queued), 1);
    assert_eq!(relay.taken().len() as u64, summary.sent);
}

#[test]
fn dead_destinations_leave_the_others_alone() {
    let (healthy, _) = hook(Some(OK));
    let bench = Bench::new("");
    let dead = closed_port();
    let sections = webhook(&bench, dead) + &webhook(&bench, healthy);
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", closed_port());
    let (pipeline, _) = pipeline(&bench, &(smtp + &sections));
    let (dead, healthy) = (url(dead), url(healthy));
    // So many that one place after the other would never come to the end.
    queue(&pipeline, (0..1000).map(|_| dead.as_str()));
    queue(&pipeline, (0..40).map(|_| "desk@registrar.example"));
    queue(&pipeline, [healthy.as_str(), healthy.as_str()]);
    let began = Instant::now();
    let summary = deliver(&pipeline);
    assert_eq!(
        (summary.sent, summary.waiting, summary.untried, summary.dead),
        (2, 2, 999 + 39, 0),
        "one attempt at each dead server"
    );
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
}

#[test]
fn thousand_messages_to_a_slow_domain_leave_a_new_one_to_another_alone() {
    let relay = Relay::start(slow_domain);
    let bench = Bench::new("");
    let (pipeline, clock) = pipeline(&bench, &relay.section(""));
    queue(&pipeline, (0..1000).map(|_| "a@slow.example"));
    clock.set(clock.now() + Span::seconds(60));
    queue(&pipeline, ["desk@registrar.example"]);
    let began = Instant::now();
    let is_there = || {
        relay
            .taken()
            .iter()
            .any(|it| it.recipient == "desk@registrar.example")
    };
    let summary = deliver_until(&pipeline, is_there);
    assert!(summary.sent >= 1, "{summary:?}");
    assert!(
        began.elapsed() < STOP_GRACE + AT_ONCE,
        "{:?}",
        began.elapsed()
    );
    assert_eq!(count(&pipeline, "desk@registrar", MessageState::Sent), 1);
}

#[test]
fn caps_hold_while_attempts_are_in_hand() {
    let wait = |_: &str| (Duration::from_millis(50), Duration::ZERO);
    let recipients: Vec<String> = (0..60)
        .map(|n| format!("r{}@d{}.example", n % 3, n % 20))
        .collect();
    for (caps, sent, again) in [
        ("per_hour_max = 7\n", 7, 0),
        ("per_run_max = 5\n", 5, 5),
        ("per_recipient_hour_max = 1\n", 60, 0),
        ("per_recipient_hour_max = 1\nper_hour_max = 3\n", 3, 0),
    ] {
        let relay = Relay::start(wait);
        let bench = Bench::new("");
        let (pipeline, clock) = pipeline(&bench, &relay.section(caps));
        queue(&pipeline, recipients.iter().map(String::as_str));
        assert_eq!(deliver(&pipeline).sent, sent, "{caps}");
        assert_eq!(deliver(&pipeline).sent, again, "{caps}");
        assert_eq!(relay.taken().len() as u64, sent + again, "{caps}");
        clock.set(clock.now() + Span::hours(2));
    }
}

#[test]
fn lane_is_a_url_or_the_domain_of_a_recipient_and_its_oldest_message_is_first() {
    let bench = Bench::new("");
    let (pipeline, clock) = pipeline(&bench, "[smtp]\nurl = \"maildir://desk\"\n");
    queue(
        &pipeline,
        [
            "a@one.example",
            "a@one.example",
            "Desk \"@\" <b@Two.example>",
        ],
    );
    queue(
        &pipeline,
        [
            "http://h.example/a",
            "http://h.example/ab",
            "http://h.example/a",
        ],
    );
    let due = |way| {
        let due = pipeline
            .store()
            .desk()
            .oldest_due(way, clock.now())
            .expect("readable");
        let words: Vec<_> = due
            .into_iter()
            .map(|it| format!("{} {}", it.id, it.lane))
            .collect();
        words
    };
    // The address with a name that holds an @ has a lane of its own, which is no worse than another.
    assert_eq!(
        due(Way::Mail),
        ["1 mail one.example", "3 mail \" <b@two.example"]
    );
    let hooks = [
        "4 webhook http://h.example/a",
        "5 webhook http://h.example/ab",
    ];
    assert_eq!(due(Way::Webhook), hooks);
    let lane = Some("webhook http://h.example/a");
    let count = pipeline
        .store()
        .desk()
        .due_count(Way::Webhook, lane, clock.now());
    assert_eq!(count.expect("readable"), 2);
}

#[test]
fn what_is_in_hand_counts_for_the_caps_of_every_process() {
    let bench = Bench::new("");
    let (pipeline, clock) = pipeline(&bench, "[smtp]\nurl = \"maildir://desk\"\n");
    queue(
        &pipeline,
        [
            "a@one.example",
            "a@one.example",
            "b@two.example",
            "c@two.example",
        ],
    );
    let store = pipeline.store();
    let lease = |per_recipient_max, in_all_max| {
        let now = clock.now();
        let caps = SendingCaps {
            since: now - Span::hours(1),
            per_recipient_max,
            in_all_max,
        };
        let due = store.desk().oldest_due(Way::Mail, now).expect("readable");
        let rows: Vec<_> = due
            .iter()
            .map(|it| {
                store
                    .desk()
                    .lease_message(it.id, &caps, now)
                    .expect("readable")
            })
            .collect();
        rows.into_iter()
            .flatten()
            .map(|row| row.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(lease(1, 2), [1, 3], "two in all");
    assert_eq!(lease(1, 9), [4], "one to each recipient");
    assert_eq!(lease(2, 3), [0; 0], "three are in hand");
    clock.set(clock.now() + fluxwatch::outbox::LEASE + Span::seconds(1));
    // Whose lease is over is in nobody's hands.
    assert_eq!(lease(1, 9), [2, 3, 4]);
}

#[test]
fn killed_sender_leaves_at_most_what_was_in_its_hands_to_be_sent_twice() {
    let relay = Relay::start(|_| (Duration::from_millis(5), Duration::from_millis(60)));
    let bench = Bench::new("");
    let (pipeline, clock) = pipeline(&bench, &relay.section("per_recipient_hour_max = 999\n"));
    let recipients: Vec<String> = (0..90).map(|n| format!("r@d{}.example", n % 15)).collect();
    queue(&pipeline, recipients.iter().map(String::as_str));
    let mut in_hand = BTreeSet::new();
    for _ in 0..3 {
        let mut child = bench
            .command(&["outbox", "retry"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        relay.wait_for(relay.taken().len() + 6);
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        let rows = pipeline.store().desk().messages(true).expect("readable");
        let sending = rows.iter().filter(|it| it.state == MessageState::Sending);
        in_hand.extend(sending.map(|it| it.message.message_id.clone()));
    }
    // Nobody touches what is leased, so that which was taken comes no second time before the lease is over.
    clock.set(WallClock.now());
    deliver(&pipeline);
    let once = |mails: &[Taken]| {
        let mut counts = BTreeMap::new();
        mails
            .iter()
            .for_each(|it| *counts.entry(it.message_id.clone()).or_insert(0) += 1);
        counts
    };
    assert!(once(&relay.taken()).values().all(|count| *count == 1));
    clock.set(clock.now() + Span::hours(1));
    deliver(&pipeline);
    let counts = once(&relay.taken());
    assert_eq!(counts.len(), recipients.len(), "every message arrived");
    for (id, count) in counts {
        assert!(
            count == 1 || (count == 2 && in_hand.contains(&id)),
            "{id}: {count}"
        );
    }
    assert!(!in_hand.is_empty(), "the kills hit nothing in hand");
    assert_eq!(count(&pipeline, "", MessageState::Sent), recipients.len());
}

#[test]
fn postfix_takes_the_mail_of_many_lanes_once_each() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let postfix = Postfix::start(folder.path());
    let bench = Bench::new("");
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", postfix.port());
    let (pipeline, _) = pipeline(&bench, &smtp);
    // Postfix refuses the last of these domains.
    let domains = ["registrar.example", "desk.test", "elsewhere.example"];
    let recipients: Vec<String> = (0..30)
        .map(|n| format!("r{n}@{}", domains[n % 3]))
        .collect();
    queue(&pipeline, recipients.iter().map(String::as_str));
    let summary = deliver(&pipeline);
    assert_eq!(
        (summary.sent, summary.waiting, summary.dead),
        (20, 0, 10),
        "{}",
        postfix.log_tail()
    );
    assert_eq!(postfix.wait_for_mails(20, 20).len(), 20);
}
