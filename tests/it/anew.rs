//! What was told and does not leave is made again, without who may not be named; and what is taken back reaches whoever
//! heard it.

use std::sync::Arc;

use fluxwatch::case::DeskStep;
use fluxwatch::desk::exempt::{WantedExemption, add};
use fluxwatch::desk::notice::send_again;
use fluxwatch::mailer::read_part;
use fluxwatch::outbox::Next;
use fluxwatch::pipeline::Pipeline;
use fluxwatch::store::{MailKind, MessageRow, MessageState};
use fluxwatch::time::{Clock, SetClock, Span, Timestamp};

use crate::harness::{Bench, REPORT, deliver, poll};
use crate::support::desk::{Feed, MAILDIR, START, bench};
use crate::support::smtp::Scripted;
use crate::withdrawals::{
    AUTO, WORDS, dead_port, dismiss, exempt, flux_until, lease, letters, live, live_until, log,
    messages, rename, reported, set_busy, standing, step,
};

/// Returns the words of a mail.
fn text(row: &MessageRow) -> String {
    let octets = read_part(&row.message.octets, "text/plain", None).expect("a text part");
    String::from_utf8_lossy(&octets).replace("[.]", ".")
}

/// Two domains of one campaign that are suspected within two hours: the first is reported while the other is not yet.
fn pair() -> Feed {
    let mut feed = Feed::default();
    for (domain, first, shift) in [("bad.example.", 0, 0), ("worse.example.", 2, 3)] {
        let host = |n: i64| format!("ns1.a{}.test.", WORDS[(n % 8) as usize]);
        feed.set(0, domain, "NS", &[host(shift), host(shift + 1)]);
        for turn in 1..12 {
            let set = [host(turn + shift), host(turn + shift + 1)];
            feed.set(first + turn * 6, domain, "NS", &set);
        }
    }
    feed.tick(5);
    feed
}

/// Has mail not be configured, or be so again. Returns the pipeline that knows.
fn configure_mail(bench: &Bench, clock: &Arc<SetClock>, is_on: bool) -> Pipeline {
    let (on, off) = (format!("{REPORT}{MAILDIR}"), "# no mail\n".to_owned());
    match is_on {
        true => rename(bench, clock, &off, &on),
        false => rename(bench, clock, &on, &off),
    }
}

/// Adds a webhook to which nobody listens. Returns its section.
fn hook(port: u16) -> String {
    format!("[[webhook]]\nurl = \"http://127.0.0.1:{port}/hook\"\nsecret_file = \"hook.secret\"\n")
}

/// Writes the secret of a webhook.
fn write_secret(bench: &Bench) {
    let secret = bench.write("hook.secret", "0123456789abcdef0123456789abcdef");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(secret, mode).expect("its mode can be set");
}

/// Returns the posts about a case.
fn posts(pipeline: &Pipeline, id: i64) -> Vec<String> {
    let messages = messages(pipeline, id).into_iter();
    let posts = messages.filter(|it| it.message.kind == MailKind::Webhook);
    posts.map(|it| it.message.subject).collect()
}

/// Returns kind and state of the mails about a case.
fn mails(pipeline: &Pipeline, id: i64) -> Vec<(MailKind, MessageState)> {
    let mut standing = standing(pipeline, id);
    standing.retain(|it| it.0 != MailKind::Webhook);
    standing
}

#[test]
fn waiting_report_leaves_without_who_was_dismissed_though_its_own_case_is_acknowledged() {
    for (is_exempt, is_lost) in [(false, false), (true, false), (false, true)] {
        let server = Scripted::start(&[]);
        set_busy(&server, true);
        let bench = bench(&format!(
            "{REPORT}digest = \"off\"\n[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n",
            server.port
        ));
        let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
        let pipeline = bench.pipeline(clock.clone());
        let feed = pair();
        let mut hours = 0..60;
        while messages(&pipeline, 1).is_empty() {
            let hour = hours.next().expect("it is reported");
            live(&bench, (&clock, &pipeline), &feed, hour..hour + 1);
        }
        let before = messages(&pipeline, 1).remove(0);
        assert!(text(&before).contains("FW-000002"), "{}", text(&before));
        assert!(mails(&pipeline, 2).is_empty());
        if is_lost {
            // As after a server that broke off: it may have this one.
            clock.set(clock.now() + Span::hours(2));
            lease(&pipeline, before.id);
            clock.set(clock.now() + Span::hours(1));
        }
        clock.set(clock.now() + Span::seconds(60));
        step(&pipeline, 1, &DeskStep::Acknowledge);
        match is_exempt {
            true => drop(exempt(&pipeline, "worse.example")),
            false => drop(dismiss(&pipeline, 2)),
        }
        set_busy(&server, false);
        clock.set(clock.now() + Span::hours(5));
        assert_eq!(deliver(&pipeline).sent, 1, "{}", log(&pipeline, 1));
        let after = messages(&pipeline, 1).remove(0);
        let (said, message) = (text(&after), &after.message);
        assert_eq!(after.state, MessageState::Sent);
        assert!(
            !said.contains("FW-000002") && said.contains("first report of this case"),
            "{said}"
        );
        let is_same = before.message.message_id == message.message_id;
        assert_eq!(is_same, !is_lost, "{}", message.message_id);
        assert_eq!((message.kind, message.revision), (MailKind::Report, 1));
        // As it was judged then.
        let judged = |said: &str| {
            let line = said.lines().find(|line| line.starts_with("Certainty"));
            line.map(str::to_owned)
        };
        assert_eq!(judged(&said), judged(&text(&before)));
        assert!(log(&pipeline, 1).contains("written anew"));
        step(&pipeline, 1, &DeskStep::Close { mitigated: true });
        assert!(mails(&pipeline, 1).contains(&(MailKind::Closure, MessageState::Queued)));
        assert!(mails(&pipeline, 2).is_empty(), "{}", log(&pipeline, 2));
    }
}

#[test]
fn who_is_exempt_holds_up_no_closure_and_is_withdrawn_itself() {
    let port = dead_port();
    for is_dismissed_first in [false, true] {
        let bench = bench(&format!(
            "{REPORT}digest = \"off\"\n{MAILDIR}{}",
            hook(port)
        ));
        write_secret(&bench);
        let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
        let pipeline = bench.pipeline(clock.clone());
        live_until(&bench, (&clock, &pipeline), 0..160, |case| {
            !case["told_at"].is_null()
        });
        let closure = (MailKind::Closure, MessageState::Queued);
        if is_dismissed_first {
            // As of a webhook that answers.
            clock.set(clock.now() + Span::hours(6));
            let post = messages(&pipeline, 2).pop().expect("a post");
            lease(&pipeline, post.id);
            let attempt = post.attempt_count + 1;
            let sent = pipeline.store().desk().finish_attempt(
                post.id,
                attempt,
                &Next::Sent,
                "200 OK",
                clock.now(),
            );
            assert!(sent.expect("writable"));
            // The closure waits for the thread; a post is about one case.
            dismiss(&pipeline, 2);
            assert!(mails(&pipeline, 2).is_empty(), "{}", log(&pipeline, 2));
            assert_eq!(
                posts(&pipeline, 2),
                ["report of case 2", "closure of case 2"]
            );
            // The desk cleared it: it is among those who are not suspected, and touched by what is done.
            let lead = pipeline.store().desk().case_by_id(1);
            let lead = lead.expect("readable").expect("there");
            send_again(&pipeline, &lead, "ada", None).expect("queued");
            let asked = messages(&pipeline, 1);
            let asked = asked.iter().rfind(|it| it.message.kind == MailKind::Update);
            let said = text(asked.expect("an update"));
            assert!(
                said.contains("1 name that is not suspected uses") && !said.contains("They share"),
                "{said}"
            );
            clock.set(clock.now() + Span::seconds(60));
            exempt(&pipeline, "worse.example");
            assert_eq!(mails(&pipeline, 2), [closure], "{}", log(&pipeline, 2));
            assert_eq!(posts(&pipeline, 2).len(), 2);
            continue;
        }
        dismiss(&pipeline, 1);
        assert!(!mails(&pipeline, 1).contains(&closure));
        clock.set(clock.now() + Span::seconds(60));
        let wanted = WantedExemption {
            kind: "domain",
            value: "worse.example",
            reason: "ours",
            until: None,
            author: "ada",
        };
        let exemption = wanted.read(clock.now()).expect("sound");
        let added = add(&pipeline, &exemption, clock.now()).expect("added");
        // Whoever adds it reads which closure leaves for it.
        let to = "abuse-desk@registrar.example".to_owned();
        assert_eq!(added.ended, [(1, vec![to])]);
        assert!(
            mails(&pipeline, 1).contains(&closure),
            "{}",
            log(&pipeline, 1)
        );
        assert!(mails(&pipeline, 2).is_empty());
        // Its accusation was read too.
        dismiss(&pipeline, 2);
        assert_eq!(mails(&pipeline, 2), [closure], "{}", log(&pipeline, 2));
    }
}

#[test]
fn address_that_is_put_back_hears_what_it_missed_and_one_in_the_place_of_another_the_end() {
    let (desk, second) = ("abuse-desk@registrar.example", "second@registrar.example");
    let both = format!("\"{desk}\", \"{second}\"");
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{MAILDIR}"));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::hours(72)));
    let pipeline = rename(&bench, &clock, &format!("\"{desk}\""), &both);
    bench.write("f.ndjson", flux_until(72).text(72));
    poll(&pipeline);
    let pipeline = rename(&bench, &clock, &both, &format!("\"{desk}\""));
    let summary = deliver(&pipeline);
    assert_eq!((summary.sent, summary.dead), (1, 1));
    live(&bench, (&clock, &pipeline), &flux_until(90), 78..80);
    let pipeline = rename(&bench, &clock, &format!("\"{desk}\""), &both);
    live(&bench, (&clock, &pipeline), &flux_until(90), 80..90);
    let mut expected = vec![
        (MailKind::Report, desk.to_owned(), MessageState::Sent),
        (MailKind::Report, second.to_owned(), MessageState::Dead),
        (MailKind::Report, second.to_owned(), MessageState::Sent),
    ];
    assert_eq!(letters(&pipeline, 1), expected, "{}", log(&pipeline, 1));
    // The log calls it what it is.
    let said = log(&pipeline, 1);
    assert!(said.contains("report 2 queued to 1 recipient: "), "{said}");
    assert!(!said.contains("update 2 queued"), "{said}");
    // The closures wait when another takes the place of the second.
    dismiss(&pipeline, 1);
    let third = "third@registrar.example";
    let pipeline = rename(&bench, &clock, second, third);
    deliver(&pipeline);
    deliver(&pipeline);
    expected[1].2 = MessageState::Dropped;
    expected.extend([
        (MailKind::Closure, desk.to_owned(), MessageState::Sent),
        (MailKind::Closure, second.to_owned(), MessageState::Dead),
        (MailKind::Closure, third.to_owned(), MessageState::Sent),
    ]);
    assert_eq!(letters(&pipeline, 1), expected, "{}", log(&pipeline, 1));
}

#[test]
fn what_is_told_or_ends_while_no_mail_is_configured_is_mailed_once_it_is() {
    // The end.
    let (bench, clock, pipeline) = reported(MAILDIR);
    assert_eq!(deliver(&pipeline).sent, 1);
    let pipeline = configure_mail(&bench, &clock, false);
    let words = dismiss(&pipeline, 1).mail_words("is").unwrap_or_default();
    assert!(words.contains("mail is not configured"), "{words}");
    let pipeline = configure_mail(&bench, &clock, true);
    pipeline.notify().after_pass().expect("done");
    assert_eq!(
        standing(&pipeline, 1),
        [
            (MailKind::Report, MessageState::Sent),
            (MailKind::Closure, MessageState::Queued)
        ],
        "{}",
        log(&pipeline, 1)
    );
    // The report, of which a webhook heard.
    let port = dead_port();
    let bench = crate::support::desk::bench(&format!("{REPORT}{MAILDIR}{}", hook(port)));
    write_secret(&bench);
    bench.write("f.ndjson", flux_until(72).text(72));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::hours(72)));
    let pipeline = configure_mail(&bench, &clock, false);
    poll(&pipeline);
    assert!(mails(&pipeline, 1).is_empty() && posts(&pipeline, 1).len() == 1);
    let pipeline = configure_mail(&bench, &clock, true);
    live(&bench, (&clock, &pipeline), &flux_until(110), 80..110);
    assert_eq!(
        mails(&pipeline, 1),
        [(MailKind::Report, MessageState::Sent)],
        "{}",
        log(&pipeline, 1)
    );
    assert_eq!(posts(&pipeline, 1).len(), 1);
}

#[test]
fn stranger_who_was_noticed_is_not_noticed_again_for_what_the_desk_missed() {
    let dead = dead_port();
    let (bench, clock, pipeline) = reported(&format!(
        "digest = \"off\"\n[smtp]\nurl = \"smtp://127.0.0.1:{dead}\"\n{AUTO}"
    ));
    deliver(&pipeline);
    clock.set(clock.now() + Span::hours(1));
    let notice = messages(&pipeline, 1).pop().expect("a notice");
    assert_eq!(notice.message.kind, MailKind::Notice);
    lease(&pipeline, notice.id);
    let desk = pipeline.store().desk();
    let sent = desk.finish_attempt(
        notice.id,
        notice.attempt_count + 1,
        &Next::Sent,
        "250 ok",
        clock.now(),
    );
    assert!(sent.expect("writable"));
    let pipeline = rename(&bench, &clock, "abuse-desk@", "new-desk@");
    live(&bench, (&clock, &pipeline), &flux_until(90), 80..90);
    let kinds: Vec<MailKind> = standing(&pipeline, 1).iter().map(|it| it.0).collect();
    assert_eq!(
        kinds,
        [MailKind::Report, MailKind::Notice, MailKind::Report],
        "{}",
        log(&pipeline, 1)
    );
}
