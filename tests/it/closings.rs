//! What is said of cases that are over, and that are open again: to addresses, to webhooks and to who ended them.

use std::sync::Arc;

use fluxwatch::case::{DeskStep, DismissReason};
use fluxwatch::desk::step::ending_words;
use fluxwatch::mailer::read_part;
use fluxwatch::pipeline::Pipeline;
use fluxwatch::store::{MailKind, MessageRow};
use fluxwatch::time::{Clock, SetClock, Span, Timestamp};

use crate::harness::{Bench, REPORT, deliver, poll};
use crate::support::desk::{Feed, MAILDIR, START, bench};
use crate::withdrawals::{WORDS, dead_port, live_until, log, messages, standing, step};

/// Returns a part of a mail, not defanged.
fn part(row: &MessageRow, kind: &str, name: Option<&str>) -> String {
    let octets = read_part(&row.message.octets, kind, name).unwrap_or_default();
    String::from_utf8_lossy(&octets).replace("[.]", ".")
}

/// Returns the last mail of a kind about a case.
fn last(pipeline: &Pipeline, id: i64, kind: MailKind) -> MessageRow {
    let mut messages = messages(pipeline, id);
    messages.retain(|it| it.message.kind == kind);
    messages.pop().expect("there is one")
}

/// Returns a bench whose webhook nobody listens to, with two cases of one campaign that were told of.
fn pair_with_webhook() -> (Bench, Arc<SetClock>, Pipeline) {
    let hook = format!(
        "[[webhook]]\nurl = \"http://127.0.0.1:{}/hook\"\nsecret_file = \"hook.secret\"\n",
        dead_port()
    );
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{MAILDIR}{hook}"));
    let secret = bench.write("hook.secret", "0123456789abcdef0123456789abcdef");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(secret, mode).expect("its mode can be set");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    live_until(&bench, (&clock, &pipeline), 0..160, |case| {
        !case["told_at"].is_null()
    });
    clock.set(clock.now() + Span::seconds(60));
    (bench, clock, pipeline)
}

#[test]
fn closure_of_a_campaign_names_every_domain_that_its_reports_named() {
    const DOMAINS: i64 = 40;
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{MAILDIR}"));
    let mut feed = Feed::default();
    for n in 0..DOMAINS {
        let host = |turn: i64| format!("ns1.a{}.test.", WORDS[((turn + n) % 8) as usize]);
        for turn in 0..14 {
            let set = [host(turn), host(turn + 1)];
            feed.set(turn * 6, &format!("d{n}.example."), "NS", &set);
        }
    }
    feed.tick(5);
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    for hour in [1, 60, 70, 84] {
        clock.set(Timestamp::from_unix(START) + Span::hours(hour));
        bench.write("f.ndjson", feed.text(hour));
        poll(&pipeline);
        deliver(&pipeline);
    }
    let cases = bench.cases();
    let of_campaign = |it: &&serde_json::Value| {
        let domain = it["domain"].as_str().unwrap_or_default();
        domain.starts_with('d')
    };
    let ids = cases.iter().filter(of_campaign);
    let ids: Vec<i64> = ids.filter_map(|it| it["id"].as_i64()).collect();
    assert_eq!(ids.len(), DOMAINS as usize);
    let is_told = |id: &&i64| {
        standing(&pipeline, **id)
            .iter()
            .any(|it| it.0 == MailKind::Report)
    };
    let lead = *ids.iter().find(is_told).expect("one of them leads");
    let others: Vec<String> = ids
        .iter()
        .filter(|id| **id != lead)
        .map(|id| format!("FW-{id:06}"))
        .collect();
    let report = last(&pipeline, lead, MailKind::Report);
    let details = part(&report, "text/plain", Some("details.txt"));
    for reference in &others {
        assert!(details.contains(reference), "{reference}: {details}");
    }
    clock.set(clock.now() + Span::seconds(60));
    for id in ids {
        step(&pipeline, id, &DeskStep::Dismiss(DismissReason::Migration));
    }
    let closure = last(&pipeline, lead, MailKind::Closure);
    let text = part(&closure, "text/plain", None);
    let html = part(&closure, "text/html", None);
    for reference in &others {
        assert!(text.contains(reference), "{reference}: {text}");
        assert!(html.contains(reference), "{reference}");
    }
}

#[test]
fn closure_says_of_each_case_whether_it_is_withdrawn_and_asks_to_tell_of_it() {
    let (_bench, clock, pipeline) = pair_with_webhook();
    let dismissed = step(&pipeline, 2, &DeskStep::Dismiss(DismissReason::Migration));
    let words = ending_words(&dismissed.ending.expect("it was told of"), "is");
    assert_eq!(
        words,
        "its end is told in the closure of FW-000001, once all that were told in its mails are over"
    );
    clock.set(clock.now() + Span::seconds(60));
    step(&pipeline, 1, &DeskStep::Close { mitigated: true });
    let closure = last(&pipeline, 1, MailKind::Closure);
    let text = part(&closure, "text/plain", None);
    let (first, others) = text.split_once("== Over too: 1 other case").expect(&text);
    assert!(
        first.contains("bad.example: the case is mitigated"),
        "{text}"
    );
    assert!(
        others.contains("No longer suspected; please tell whoever was told")
            && others.contains("FW-000002  worse.example  dismissed")
            && others.contains("dismissed as migration, by ada"),
        "{text}"
    );
    for part in [text, part(&closure, "text/html", None)] {
        for word in ["updates come", "Not suspected", "Looks like", "Technique"] {
            assert!(!part.contains(word), "{word}: {part}");
        }
    }
}

#[test]
fn webhook_that_was_told_an_end_is_told_that_the_case_is_open_again() {
    let (_bench, clock, pipeline) = pair_with_webhook();
    let posts = || -> Vec<String> {
        let messages = messages(&pipeline, 2).into_iter();
        let posts = messages.filter(|it| it.message.kind == MailKind::Webhook);
        posts.map(|it| it.message.subject).collect()
    };
    step(&pipeline, 2, &DeskStep::Close { mitigated: true });
    assert_eq!(posts(), ["report of case 2", "closure of case 2"]);
    clock.set(clock.now() + Span::seconds(60));
    step(&pipeline, 2, &DeskStep::Reopen);
    let told = ["report of case 2", "closure of case 2", "report of case 2"];
    assert_eq!(posts(), told, "{}", log(&pipeline, 2));
    let post = last(&pipeline, 2, MailKind::Webhook).message;
    let body: serde_json::Value = serde_json::from_slice(&post.octets).expect("JSON");
    assert_eq!(
        (&body["event"], &body["case"]["state"]),
        (&"report".into(), &"open".into())
    );
    // A step after it repeats nothing, and its end is told again.
    step(&pipeline, 2, &DeskStep::Acknowledge);
    assert_eq!(posts(), told);
    clock.set(clock.now() + Span::seconds(60));
    step(&pipeline, 2, &DeskStep::Close { mitigated: true });
    assert_eq!(posts().len(), 4, "{}", log(&pipeline, 2));
}
