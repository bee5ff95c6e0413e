//! How messages are kept and carried: what tells one from another, whose fault a failure is, what comes back, and
//! what a URL or an address may be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fluxwatch::mailer::read_part;
use fluxwatch::outbox::{LEASE, Next};
use fluxwatch::store::{SendingCaps, Way};
use fluxwatch::time::{Clock, SetClock, Span, Timestamp, WallClock};
use serde_json::Value;

use crate::generator::{Options, generate};
use crate::harness::{Bench, REPORT, both, deliver, poll, python};
use crate::support::desk::{Feed, READ_MAILS, START, every_kind};
use crate::support::lookups::python_with;
use crate::support::rows::{keep, put_back, refuse_rows, sql, take_rows_again};
use crate::support::smtp::{Scripted, Session, bench_of, rows};

/// Returns a file of `tests/fixtures/faults/`.
fn fault(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faults");
    std::fs::read_to_string(folder.join(name)).expect("the fixture is there")
}

/// Returns where each message stands, in the order of their numbers.
fn states(bench: &Bench) -> Vec<String> {
    let word = |row: &Value| row["state"].as_str().unwrap_or_default().to_owned();
    rows(bench).iter().map(word).collect()
}

#[test]
fn a_domain_that_gets_the_number_of_one_mailed_before_a_restore_is_mailed_too() {
    let source = |name: &str| {
        format!(
            "[[source]]\nname = \"{name}\"\nkind = \"feed\"\nzone = \"{name}.\"\npath = \"{name}.ndjson\"\ncomplete = true\n"
        )
    };
    let bench = Bench::new(&format!(
        "{}{}{REPORT}digest = \"off\"\n[smtp]\nurl = \"maildir://desk\"\n[events]\npath = \"events.ndjson\"\n",
        source("first"),
        source("second")
    ));
    for zone in ["first", "second"] {
        bench.write(&format!("{zone}.ndjson"), "");
    }
    bench.run(0, &["poll"]);
    let kept = keep(&bench);
    let flux = |zone: &str| {
        let mut feed = Feed::default();
        feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
        feed.flux("bad.example.", 6, 60);
        bench.write(
            &format!("{zone}.ndjson"),
            feed.text(72).replace("example.", &format!("{zone}.")),
        );
    };
    flux("first");
    bench.run(0, &["poll", "first."]);
    let before = rows(&bench);
    assert_eq!((before.len(), bench.maildir().len()), (1, 1));
    assert_eq!(bench.cases()[0]["domain"], "bad.first.");
    put_back(&bench, &kept);
    flux("second");
    bench.run(0, &["poll", "second."]);
    let after = rows(&bench);
    assert_eq!(bench.cases()[0]["domain"], "bad.second.");
    assert_eq!(
        (&after[0]["case"], &after[0]["state"]),
        (&before[0]["case"], &"sent".into()),
        "another domain has the same number"
    );
    assert_ne!(after[0]["message_id"], before[0]["message_id"]);
    assert_eq!(bench.maildir().len(), 2, "both were delivered");
    let reports: Vec<String> = xarf_parts(&bench)
        .iter()
        .map(|it| it["report_id"].to_string())
        .collect();
    assert_ne!(reports[0], reports[1]);
    // Lines of the log of events have the numbers of others, and none has the uid of another.
    let events = std::fs::read_to_string(bench.path().join("events.ndjson")).expect("written");
    let lines: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let count = |key: &str| {
        let values = lines.iter().map(|line| line[key].to_string());
        values.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert!(count("id") < lines.len(), "{events}");
    assert_eq!(count("uid"), lines.len(), "{events}");
}

#[test]
fn two_previews_of_what_is_not_mailed_are_the_same() {
    let bench = bench_of(1, "[smtp]\nurl = \"maildir://desk\"\n");
    bench.run(0, &["poll"]);
    let preview = || {
        let profile = [
            "report",
            "preview",
            "1",
            "--profile",
            "desk",
            "--format",
            "xarf",
        ];
        let mut json: Value = serde_json::from_str(&bench.run(0, &profile)).expect("JSON");
        json["timestamp"] = Value::Null;
        json
    };
    assert_eq!(preview(), preview());
}

#[test]
fn a_slow_attempt_does_not_overwrite_the_result_of_a_later_one() {
    let bench = bench_of(2, "[smtp]\nurl = \"smtp://127.0.0.1:9\"\n");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::days(4)));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    let store = pipeline.store();
    let lease = || {
        let now = clock.now();
        let caps = SendingCaps {
            since: now - Span::hours(1),
            per_recipient_max: 99,
            in_all_max: 99,
        };
        let due = store.desk().oldest_due(Way::Mail, now).expect("readable");
        let row = store.desk().lease_message(due[0].id, &caps, now);
        row.expect("readable").expect("a message is due")
    };
    let finish = |id: i64, attempt: u32, next: Next| {
        store
            .desk()
            .finish_attempt(id, attempt, &next, "so it was", clock.now())
            .expect("written")
    };
    let slow = lease();
    let other = lease();
    clock.set(clock.now() + LEASE + Span::seconds(1));
    let later = lease();
    assert_eq!((slow.id, later.attempt_count), (later.id, 2));
    assert!(finish(later.id, 2, Next::Sent));
    assert!(!finish(slow.id, 1, Next::Dead));
    assert!(!finish(slow.id, 1, Next::RetryAt(clock.now())));
    assert_eq!(states(&bench), ["sent", "sending"]);
    // A server that took the message took it, however late that is said; what the later attempt says is void.
    let again = lease();
    assert_eq!((again.id, again.attempt_count), (other.id, 2));
    assert!(finish(other.id, 1, Next::Sent));
    assert!(!finish(again.id, 2, Next::RetryAt(clock.now())));
    assert_eq!(states(&bench), ["sent", "sent"]);
}

#[test]
fn every_mail_leaves_in_the_first_pass_although_a_desk_has_a_u_label() {
    let server = Scripted::start(&[]);
    let bench = Bench::new("");
    let config = fault("mail-idn.toml").replace(":15351", &format!(":{}", server.port));
    bench.write("fluxwatch.toml", config);
    let feed = bench.write("mail-flux.ndjson", fault("mail-flux.ndjson"));
    let feed = feed.to_str().expect("text").to_owned();
    bench.run(0, &["config", "check"]);
    bench.run(0, &["import", "feed", "--report", &feed]);
    bench.run(0, &["poll"]);
    let sent = states(&bench);
    assert!(
        sent.len() >= 2 && sent.iter().all(|it| it == "sent"),
        "{sent:?}"
    );
    let taken = server.taken.lock().expect("alive").clone();
    let to = |address: &str| {
        let line = format!("To: {address}");
        taken.iter().filter(|mail| mail.contains(&line)).count()
    };
    assert_eq!(to("ok@registrar.example"), sent.len() / 2);
    assert_eq!(to("abuse@xn--registrr-6za.example"), sent.len() / 2);
}

#[test]
fn an_address_before_the_at_sign_that_is_not_ascii_is_refused_with_its_line() {
    let bench = Bench::new("");
    let config = fault("mail-idn.toml").replace("ok@registrar", "müller@registrar");
    bench.write("fluxwatch.toml", config);
    let text = bench.run_stderr(2, &["config", "check"]);
    assert!(
        text.contains("line 6:") && text.contains("desk: ") && text.contains("in ASCII"),
        "{text}"
    );
}

#[test]
fn no_message_holds_up_the_others() {
    use Session::{Busy, Closed, Intermediate, Refuse, Take, VanishInData};
    let script = [Busy, Refuse, VanishInData, Take, Intermediate, Take, Take];
    let server = Scripted::start(&script);
    let bench = bench_of(
        9,
        &format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port),
    );
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::days(4)));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    // Queued by an earlier version: what is not ASCII before the @ does not leave to a server without SMTPUTF8
    // (RFC 6531). It is of no case here: mail of a case leaves only to addresses that the configuration has.
    sql(
        &bench,
        "update message set recipient = 'müller@registrar.example', case_id = null where id = 7",
    );
    let summary = deliver(&pipeline);
    assert_eq!(
        states(&bench),
        [
            "queued", "dead", "queued", "sent", "queued", "sent", "dead", "sent", "sent"
        ]
    );
    assert_eq!((summary.sent, summary.waiting, summary.dead), (4, 3, 2));
    let reply = |n: usize| rows(&bench)[n]["last_reply"].to_string();
    assert!(reply(4).contains("354"), "{}", reply(4));
    assert!(reply(6).contains("SMTPUTF8"), "{}", reply(6));
    // 421 to one message is that message's, as long as the server takes sessions.
    server.script.lock().expect("alive").push_back(Closed);
    clock.set(clock.now() + Span::hours(1));
    let summary = deliver(&pipeline);
    assert_eq!((summary.sent, summary.waiting, summary.dead), (2, 1, 0));
    // A domain in its U-label leaves: a lane of its own, so it comes alone.
    sql(
        &bench,
        "update message set recipient = 'desk@bücher.example', case_id = null, state = 'queued', sent_at = null where id = 6",
    );
    assert_eq!(deliver(&pipeline).sent, 1);
}

#[test]
fn a_mail_that_cannot_be_composed_is_dead_and_the_others_leave() {
    let bench = bench_of(
        3,
        "templates = \"words\"\n[smtp]\nurl = \"maildir://desk\"\n",
    );
    bench.write(
        "words/mail/report/subject.txt",
        "Suspected{% if reference == \"FW-000002\" %}{{ no_such_word }}{% endif %}",
    );
    bench.run(3, &["poll"]);
    assert_eq!(states(&bench), ["sent", "dead", "sent"]);
    let reply = rows(&bench)[1]["last_reply"].to_string();
    assert!(
        reply.contains("cannot be made") && reply.contains("no_such_word"),
        "{reply}"
    );
    assert!(
        bench
            .run_stderr(0, &["status"])
            .contains("1 message given up")
    );
    // Nobody gets an empty mail, and what is sent anew begins the thread.
    bench.run(3, &["outbox", "retry", "2"]);
    assert_eq!(bench.maildir().len(), 2);
    std::fs::remove_dir_all(bench.path().join("words")).expect("removed");
    let config = std::fs::read_to_string(bench.config()).expect("written");
    bench.write(
        "fluxwatch.toml",
        config.replace("templates = \"words\"\n", ""),
    );
    bench.run(0, &["report", "send", "2", "--by", "ada"]);
    assert_eq!(states(&bench), ["sent", "dead", "sent", "sent"]);
    let octets = std::fs::read_to_string(&bench.maildir()[1]).expect("delivered");
    assert!(!octets.contains("\r\nReferences:"), "{octets}");
}

#[test]
fn replies_show_no_control_characters() {
    let server = Scripted::start(&[Session::Escape]);
    let bench = bench_of(
        1,
        &format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port),
    );
    bench.run(3, &["poll"]);
    let is_plain = |text: &str| !text.chars().any(|it| it.is_control() && it != '\n');
    for look in [
        &["outbox", "list"][..],
        &["outbox", "list", "--format", "csv"],
        &["cases", "show", "1"],
    ] {
        let text = bench.run(0, look).replace("\r\n", "\n");
        assert!(text.contains("nobody") && is_plain(&text), "{text:?}");
    }
    // Kept by an earlier version.
    sql(&bench, "update message set last_reply = '\x1b[2J nobody'");
    let text = bench.run(0, &["outbox", "list"]);
    assert!(text.contains("?[2J nobody") && is_plain(&text), "{text:?}");
}

#[test]
fn what_comes_back_is_the_fate_of_a_message_and_only_class_5_that_of_an_address() {
    let bench = bench_of(
        4,
        "bounce = \"bounce@registrar.example\"\nbounces = \"bounces\"\n[smtp]\nurl = \"maildir://desk\"\n[metrics]\ntextfile = \"metrics.prom\"\n",
    );
    bench.run(0, &["poll"]);
    let senders = sql(&bench, "select sender from message order by id");
    let senders: Vec<&str> = senders.lines().collect();
    // Postfix 3.7 after its queue's life; OpenSMTPD 6.8, whose queue is empty then; a warning of either; dma 0.13,
    // whose words are no notification at all.
    for (n, name) in ["postfix-4.7.1", "opensmtpd-4.4.7", "delayed-4.4.1", "dma"]
        .iter()
        .enumerate()
    {
        let mail = fault(&format!("dsn-{name}.eml")).replace("BOUNCE", senders[n]);
        bench.write(&format!("bounces/new/{n}"), mail);
    }
    bench.run(0, &["poll"]);
    assert_eq!(
        states(&bench),
        ["undelivered", "undelivered", "delayed", "sent"]
    );
    let row = &rows(&bench)[0];
    assert_eq!(
        (&row["fate"], row["bounced_at"].is_null()),
        (&"undelivered".into(), false)
    );
    let unsent = bench.json(&["outbox", "list", "--format", "json"]);
    assert_eq!(unsent.as_array().map(Vec::len), Some(2), "{unsent}");
    let shown = bench.run(0, &["cases", "show", "1"]);
    assert!(
        shown.contains("undelivered") && shown.contains("4.7.1"),
        "{shown}"
    );
    assert!(
        bench
            .run_stderr(0, &["status"])
            .contains("2 messages sent and returned")
    );
    let metrics = std::fs::read_to_string(bench.path().join("metrics.prom")).expect("written");
    assert!(
        metrics.contains("fluxwatch_returned_messages{fate=\"undelivered\"} 2\n"),
        "{metrics}"
    );
    let bounced = || sql(&bench, "select count(*) from bounced_recipient");
    assert_eq!(
        bounced().trim(),
        "0",
        "the address may be reached another time"
    );
    let unread = bench.path().join("bounces/cur/3:2,");
    assert!(
        unread.exists(),
        "what is no notification stays for a person"
    );
    // A later word that is worse counts, one that is better does not.
    let worse = fault("dsn-postfix-4.7.1.eml").replace("4.7.1", "5.1.1");
    bench.write("bounces/new/4", worse.replace("BOUNCE", senders[0]));
    let better = fault("dsn-delayed-4.4.1.eml");
    bench.write("bounces/new/5", better.replace("BOUNCE", senders[1]));
    bench.run(0, &["poll"]);
    assert_eq!(states(&bench)[..2], ["bounced", "undelivered"]);
    assert_eq!(bounced().trim(), "1");
    // The digest tells of both.
    let clock = Arc::new(SetClock::new(WallClock.now() - Span::hours(1)));
    let pipeline = bench.pipeline(clock.clone());
    pipeline.notify().last_digest_at().expect("noted");
    clock.set(WallClock.now() + Span::hours(1));
    pipeline.notify().queue_digest().expect("queued");
    let digest = pipeline.store().desk().messages(true).expect("readable");
    let digest = digest
        .iter()
        .find(|row| row.message.kind.word() == "digest");
    let octets = &digest.expect("queued").message.octets;
    let text = read_part(octets, "text/plain", None).expect("a text part");
    let text = String::from_utf8_lossy(&text).replace("[.]", ".");
    assert!(text.contains("4.4.7") && text.contains("5.1.1"), "{text}");
    // Somebody may try again what came back, or be done with it.
    // A message is not taken out without the line that says who did it.
    refuse_rows(&bench, "case_event");
    bench.run(4, &["outbox", "drop", "1", "--by", "ada"]);
    assert_eq!(states(&bench)[..2], ["bounced", "undelivered"]);
    take_rows_again(&bench, "case_event");
    bench.run(0, &["outbox", "drop", "1", "--by", "ada"]);
    let id = rows(&bench)[1]["id"].to_string();
    bench.run(0, &["outbox", "retry", &id]);
    assert_eq!(states(&bench)[..2], ["dropped", "sent"]);
}

#[test]
fn a_url_with_an_unknown_parameter_is_refused_with_its_line_and_the_cure() {
    let bench = Bench::new(&format!(
        "{REPORT}[smtp]\nurl = \"smtp://mx.example:587?tsl=required\"\n"
    ));
    for command in [&["config", "check"][..], &["poll"]] {
        let text = bench.run_stderr(2, command);
        assert!(
            text.contains("line 9:") && text.contains("did you mean tls?"),
            "{text}"
        );
    }
    for (section, cure) in [
        (
            "[smtp]\nurl = \"smtps://user@mx.example\"\n",
            "password_file",
        ),
        (
            "[smtp]\nurl = \"maildir://desk?tls=required\"\n",
            "no parameters",
        ),
        (
            "[smtp]\nurl = \"maildir://desk\"\nca_file = \"ca.pem\"\n",
            "no use for it",
        ),
        (
            "[smtp]\nurl = \"maildir://desk\"\n[[webhook]]\nurl = \"https://desk.example/hook#x\"\nsecret_file = \"s\"\n",
            "leave it out",
        ),
    ] {
        bench.configure(&format!("{REPORT}{section}"));
        let text = bench.run_stderr(2, &["config", "check"]);
        assert!(
            text.contains("line ") && text.contains(cure),
            "{section}\n{text}"
        );
    }
}

/// Returns every `xarf.json` of the mails of a bench.
fn xarf_parts(bench: &Bench) -> Vec<Value> {
    let files = bench.maildir();
    let paths: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let mut found = Vec::new();
    for line in python(READ_MAILS, &paths).lines() {
        let mail: Value = serde_json::from_str(line).expect("JSON");
        for part in mail["parts"].as_array().expect("parts") {
            if part["name"] == "xarf.json" {
                let text = part["content"].as_str().expect("text");
                found.push(serde_json::from_str(text).expect("JSON"));
            }
        }
    }
    found
}

/// Reads reports with the reference library of the format: the class of each, its errors and warnings.
const READ_XARF: &str = r#"
import json, sys, xarf
for report in json.load(open(sys.argv[1])):
    result = xarf.parse(json.dumps(report))
    what = report.get("threat_type") or report["tags"][0]
    print(type(result.report).__name__, what, [str(it) for it in result.errors])
"#;

#[test]
fn the_reference_library_reads_every_xarf_report() {
    let sample = generate(Options {
        seed: 20_261_101,
        names_seed: 7,
        shift_s: 0,
    });
    let bench = Bench::new(&format!(
        "[[source]]\nname = \"customers\"\nkind = \"feed\"\npath = \"customers.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n{REPORT}[smtp]\nurl = \"maildir://desk\"\n"
    ));
    for (name, octets) in sample.files.iter().filter(|(name, _)| !name.contains('/')) {
        bench.write(name, octets);
    }
    bench.run(0, &["poll"]);
    // The sample's, and those of each kind of mail: reports and news to a desk and to machines, notices.
    let mut reports = xarf_parts(&bench);
    reports.extend(xarf_parts(&every_kind()));
    assert!(reports.len() >= 6, "{}", reports.len());
    let confidence = |report: &Value| {
        let said = report["description"]
            .to_string()
            .contains(", confidence 0.");
        let tags = report["tags"].to_string();
        said && tags.contains("\"confidence:") && report.get("confidence").is_none()
    };
    assert!(reports.iter().all(confidence), "{reports:#?}");
    let file = bench.write("reports.json", Value::Array(reports.clone()).to_string());
    let script = bench.write("read.py", READ_XARF);
    let output = Command::new(python_with("xarf==1.0.0"))
        .arg(script)
        .arg(file)
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", both(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), reports.len());
    for line in &lines {
        let class = line.split(' ').next().unwrap_or_default();
        let is_read = ["SuspiciousRegistrationReport", "ThreatIntelligenceReport"].contains(&class);
        assert!(is_read && line.ends_with(" []"), "{printed}");
    }
    for class in ["SuspiciousRegistrationReport ", "ThreatIntelligenceReport "] {
        assert!(printed.contains(class), "{printed}");
    }
}
