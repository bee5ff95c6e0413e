//! What may leave: asked again whenever a mail goes a step on, and not only when it is decided.

use std::net::TcpListener;
use std::sync::Arc;

use fluxwatch::case::{CaseState, DeskStep, DismissReason};
use fluxwatch::config::Config;
use fluxwatch::desk::exempt::{WantedExemption, add};
use fluxwatch::desk::notice::{NoticeDecision, send_again};
use fluxwatch::desk::outbox::retry;
use fluxwatch::desk::step::{Step, Taken};
use fluxwatch::outbox::Next;
use fluxwatch::pipeline::Pipeline;
use fluxwatch::store::{
    CaseRow, MailKind, MessageRow, MessageState, NoticeRow, NoticeState, SendingCaps, Store,
    StoreOptions,
};
use fluxwatch::time::{Clock, SetClock, Span, Timestamp};
use serde_json::{Value, json};

use crate::console::{Browser, Desk};
use crate::harness::{Bench, REPORT, deliver, poll};
use crate::support::desk::{Feed, MAILDIR, START, bench, read_mails};
use crate::support::smtp::{Scripted, Session, rows};

/// Words for the name servers of a pool.
pub const WORDS: [&str; 8] = [
    "quail", "otter", "heron", "badger", "marten", "lynx", "stoat", "raven",
];

/// A registrar who is told without approval.
pub const AUTO: &str =
    "[[recipient]]\nregistrar = \"1234\"\naddress = \"auto@other.example\"\napproval = false\n";
/// A registrar whose notices wait for approval.
const SLOW: &str = "[[recipient]]\nregistrar = \"1234\"\naddress = \"slow@other.example\"\n";

/// A bench with one domain that is reported, and its pipeline four days after the beginning.
pub fn reported(rest: &str) -> (Bench, Arc<SetClock>, Pipeline) {
    let bench = bench(&format!("{REPORT}{rest}"));
    let mut feed = Feed::default();
    feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
    feed.flux("bad.example.", 5, 72);
    bench.write("f.ndjson", feed.text(72));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::hours(72)));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    (bench, clock, pipeline)
}

/// Returns a port that nobody listens on.
pub fn dead_port() -> u16 {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    bound.expect("bound").port()
}

/// Has the mail server of a bench answer from now on, and returns the pipeline that knows it.
fn revive(bench: &Bench, dead: u16, server: &Scripted, clock: &Arc<SetClock>) -> Pipeline {
    let config = std::fs::read_to_string(bench.config()).expect("written");
    let config = config.replace(&format!(":{dead}\""), &format!(":{}\"", server.port));
    std::fs::write(bench.config(), config).expect("written");
    clock.set(clock.now() + Span::days(1));
    bench.pipeline(clock.clone())
}

/// Takes a step with a case.
pub fn step(pipeline: &Pipeline, id: i64, step: &DeskStep) -> Taken {
    let step = Step {
        step,
        note: None,
        who: "ada",
        seen: None,
    };
    let taken = step.take(pipeline, id, pipeline.clock().now());
    taken.expect("taken").expect("it can be")
}

/// Dismisses a case.
pub fn dismiss(pipeline: &Pipeline, id: i64) -> Taken {
    step(
        pipeline,
        id,
        &DeskStep::Dismiss(DismissReason::ContentNetwork),
    )
}

/// Exempts a domain. Returns the number.
pub fn exempt(pipeline: &Pipeline, domain: &str) -> i64 {
    exempt_kind(pipeline, "domain", domain)
}

/// Exempts something. Returns the number.
fn exempt_kind(pipeline: &Pipeline, kind: &str, value: &str) -> i64 {
    let wanted = WantedExemption {
        kind,
        value,
        reason: "ours",
        until: None,
        author: "ada",
    };
    let now = pipeline.clock().now();
    let exemption = wanted.read(now).expect("sound");
    add(pipeline, &exemption, now).expect("added").id
}

/// Returns the messages of a case.
pub fn messages(pipeline: &Pipeline, id: i64) -> Vec<MessageRow> {
    let messages = pipeline.store().desk().messages_of_case(id);
    messages.expect("readable")
}

/// Returns kind and state of each message of a case.
pub fn standing(pipeline: &Pipeline, id: i64) -> Vec<(MailKind, MessageState)> {
    let messages = messages(pipeline, id).into_iter();
    messages.map(|it| (it.message.kind, it.state)).collect()
}

/// Returns the notices of a case.
fn notices(pipeline: &Pipeline, id: i64) -> Vec<NoticeRow> {
    let notices = pipeline.store().desk().notices_of_case(id);
    notices.expect("readable")
}

/// Returns the log of a case as one text.
pub fn log(pipeline: &Pipeline, id: i64) -> String {
    let log = pipeline.store().desk().case_events(id).expect("readable");
    let lines = log.into_iter().map(|it| it.event.note);
    lines.collect::<Vec<_>>().join("\n")
}

/// Two domains of one campaign: the second rotates through the same pool, some hours later.
fn campaign() -> Feed {
    let mut feed = Feed::default();
    let pool = |n: i64| format!("ns1.a{}.test.", WORDS[(n % 8) as usize]);
    feed.set(0, "bad.example.", "NS", &[pool(0), pool(1)]);
    feed.set(0, "worse.example.", "NS", &[pool(3), pool(4)]);
    for turn in 1..18 {
        let set = [pool(turn), pool(turn + 1)];
        feed.set(turn * 6, "bad.example.", "NS", &set);
    }
    for turn in 1..16 {
        let set = [pool(turn + 3), pool(turn + 4)];
        feed.set(21 + turn * 6, "worse.example.", "NS", &set);
    }
    feed.tick(30);
    feed
}

/// Ends an exemption.
fn end_exemption(pipeline: &Pipeline, number: i64) {
    let now = pipeline.clock().now();
    let removed = pipeline.store().desk().remove_exemption(number, "ada", now);
    assert!(removed.expect("writable"));
}

/// Runs a pass over a feed in each hour.
pub fn live(
    bench: &Bench,
    (clock, pipeline): (&Arc<SetClock>, &Pipeline),
    feed: &Feed,
    hours: impl Iterator<Item = i64>,
) {
    for hour in hours {
        clock.set(Timestamp::from_unix(START) + Span::hours(hour));
        bench.write("f.ndjson", feed.text(hour));
        poll(pipeline);
        deliver(pipeline);
    }
}

/// Has a server take nothing for now from here on, or everything again.
pub fn set_busy(server: &Scripted, is_busy: bool) {
    let mut script = server.script.lock().expect("alive");
    script.clear();
    if is_busy {
        script.extend(std::iter::repeat_n(Session::Busy, 1000));
    }
}

/// Makes the pipeline of a poller, which watches on where a table cannot be used.
fn watcher(bench: &Bench, clock: &Arc<SetClock>) -> Pipeline {
    let config = Config::load(&bench.config()).expect("sound");
    let options = StoreOptions {
        reverse_index: config.reverse_index,
        create: false,
    };
    let store = Store::open(&config.store_url, options).expect("opened");
    Pipeline::to_watch(store, Arc::new(config), clock.clone()).expect("it watches")
}

/// Runs passes over a campaign from hour to hour, until `is_over` says so of the case that joined. Returns the hour.
pub fn live_until(
    bench: &Bench,
    (clock, pipeline): (&Arc<SetClock>, &Pipeline),
    hours: impl Iterator<Item = i64>,
    is_over: impl Fn(&Value) -> bool,
) -> i64 {
    let feed = campaign();
    for hour in hours {
        clock.set(Timestamp::from_unix(START) + Span::hours(hour));
        bench.write("f.ndjson", feed.text(hour));
        poll(pipeline);
        deliver(pipeline);
        let cases = bench.cases();
        let joined = cases.iter().find(|it| it["domain"] == "worse.example.");
        if joined.is_some_and(&is_over) {
            return hour;
        }
    }
    panic!("it never came: {:#?}", bench.cases());
}

/// Returns whether a case is to be told in another's mails and was not yet.
fn waits_for_its_lead(case: &Value) -> bool {
    case["level"] == "report" && case["told_at"].is_null() && case["campaign"].is_string()
}

#[test]
fn lead_that_is_dismissed_speaks_for_nobody_and_who_joined_is_reported_itself() {
    let rest = format!(
        "digest = \"off\"\n{MAILDIR}{AUTO}[[recipient]]\nregistrar = \"99\"\naddress = \"abuse@worse.example\"\n"
    );
    let bench = bench(&format!("{REPORT}{rest}"));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    let hour = live_until(&bench, (&clock, &pipeline), 0..120, waits_for_its_lead);
    assert_eq!(bench.cases().len(), 2);
    dismiss(&pipeline, 1);
    let count = messages(&pipeline, 1).len();
    live_until(&bench, (&clock, &pipeline), hour + 1..hour + 40, |case| {
        !case["told_at"].is_null()
    });
    let after = messages(&pipeline, 1).split_off(count);
    let kinds: Vec<MailKind> = after.iter().map(|it| it.message.kind).collect();
    let log_of_lead = log(&pipeline, 1);
    assert!(
        kinds.iter().all(|kind| *kind == MailKind::Closure),
        "a dismissed domain is accused: {kinds:?}\n{log_of_lead}"
    );
    assert!(!log_of_lead.contains("update"), "{log_of_lead}");
    let joined = standing(&pipeline, 2);
    assert!(
        joined.contains(&(MailKind::Report, MessageState::Sent)),
        "{joined:?}\n{}",
        log(&pipeline, 2)
    );
    assert_eq!(notices(&pipeline, 2).len(), 1, "{}", log(&pipeline, 2));
    // Nobody of the thread goes on but who left it: the end of the lead is told.
    assert_eq!(kinds, [MailKind::Closure], "{log_of_lead}");
}

#[test]
fn members_of_a_campaign_are_noticed_and_posted_like_its_lead() {
    let hook = dead_port();
    let rest = format!(
        "digest = \"off\"\n{MAILDIR}[[recipient]]\nregistrar = \"1234\"\naddress = \"abuse@bad.example\"\n[[recipient]]\nregistrar = \"99\"\naddress = \"abuse@worse.example\"\n[[webhook]]\nurl = \"http://127.0.0.1:{hook}/hook\"\nsecret_file = \"hook.secret\"\n"
    );
    let bench = bench(&format!("{REPORT}{rest}"));
    let secret = bench.write("hook.secret", "0123456789abcdef0123456789abcdef");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(secret, mode).expect("its mode can be set");
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    let is_told = |case: &Value| !case["told_at"].is_null();
    let hour = live_until(&bench, (&clock, &pipeline), 0..160, is_told);
    let log_of_member = log(&pipeline, 2);
    assert!(
        log_of_member.contains("told: told in the mails of case 1"),
        "{log_of_member}"
    );
    assert_eq!(notices(&pipeline, 2).len(), 1, "{log_of_member}");
    let posts = |id: i64| -> Vec<String> {
        let messages = messages(&pipeline, id).into_iter();
        let posts = messages.filter(|it| it.message.kind == MailKind::Webhook);
        posts.map(|it| it.message.subject).collect()
    };
    assert_eq!(posts(2), ["report of case 2"]);
    // The end of the whole thread.
    let _ = live_until(
        &bench,
        (&clock, &pipeline),
        (hour + 1..24 * 29).step_by(12),
        |case| case["state"] == "closed" || case["state"] == "mitigated",
    );
    let feed = campaign();
    for day in 20..30 {
        clock.set(Timestamp::from_unix(START) + Span::days(day));
        bench.write("f.ndjson", feed.text(day * 24));
        poll(&pipeline);
    }
    assert_eq!(
        posts(2).last().map(String::as_str),
        Some("closure of case 2")
    );
    assert_eq!(
        posts(1)
            .iter()
            .filter(|it| it.starts_with("closure"))
            .count(),
        1
    );
}

#[test]
fn dismissal_takes_back_what_was_never_sent_and_its_closure() {
    let dead = dead_port();
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{dead}\"\n{AUTO}");
    let (bench, clock, pipeline) = reported(&smtp);
    assert_eq!(deliver(&pipeline).sent, 0);
    assert_eq!(
        standing(&pipeline, 1),
        [
            (MailKind::Report, MessageState::Queued),
            (MailKind::Notice, MessageState::Queued)
        ]
    );
    let would = bench.run_stderr(
        0,
        &[
            "cases",
            "dismiss",
            "1",
            "--reason",
            "test",
            "--by",
            "ada",
            "--dry-run",
        ],
    );
    assert!(
        would.contains("2 messages not sent yet would be dropped")
            && would.contains("no closure would be mailed"),
        "{would}"
    );
    let taken = dismiss(&pipeline, 1);
    let words = taken.mail_words("is").unwrap_or_default();
    assert!(
        words.contains("2 messages not sent yet are dropped"),
        "{words}"
    );
    let server = Scripted::start(&[]);
    let pipeline = revive(&bench, dead, &server, &clock);
    assert_eq!(deliver(&pipeline).sent, 0, "{:?}", standing(&pipeline, 1));
    assert!(server.ids().is_empty());
    let states: Vec<MessageState> = standing(&pipeline, 1).iter().map(|it| it.1).collect();
    assert_eq!(states, [MessageState::Dropped, MessageState::Dropped]);
    assert!(log(&pipeline, 1).contains("dropped: the case is dismissed"));
}

#[test]
fn exemption_takes_back_what_was_never_sent_and_the_desk_may_still_ask_for_it() {
    let dead = dead_port();
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{dead}\"\n{AUTO}");
    let (bench, clock, pipeline) = reported(&smtp);
    deliver(&pipeline);
    let number = exempt(&pipeline, "bad.example");
    let server = Scripted::start(&[]);
    let pipeline = revive(&bench, dead, &server, &clock);
    assert_eq!(deliver(&pipeline).sent, 0, "{:?}", standing(&pipeline, 1));
    assert!(log(&pipeline, 1).contains(&format!("dropped: the case is exempt by number {number}")));
    // Somebody asks for it all the same: the desk gets its own mail, and nobody else any.
    bench.run(0, &["report", "send", "1", "--by", "ada"]);
    let taken = server.taken.lock().expect("alive").clone();
    assert_eq!(taken.len(), 1, "{taken:?}");
    assert!(
        taken[0].contains("abuse-desk@registrar.example"),
        "{}",
        taken[0]
    );
}

#[test]
fn case_whose_report_never_left_is_reported_when_its_exemption_ends() {
    let dead = dead_port();
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{dead}\"\n");
    let (bench, clock, pipeline) = reported(&smtp);
    let number = exempt(&pipeline, "bad.example");
    let server = Scripted::start(&[]);
    clock.set(clock.now() - Span::days(1));
    let pipeline = revive(&bench, dead, &server, &clock);
    let removed = (pipeline.store().desk()).remove_exemption(number, "ada", clock.now());
    assert!(removed.expect("writable"));
    let mut feed = Feed::default();
    feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
    feed.flux("bad.example.", 5, 80);
    bench.write("f.ndjson", feed.text(80));
    clock.set(Timestamp::from_unix(START) + Span::hours(80));
    poll(&pipeline);
    assert_eq!(deliver(&pipeline).sent, 1, "{}", log(&pipeline, 1));
    let states = standing(&pipeline, 1);
    assert_eq!(
        states,
        [
            (MailKind::Report, MessageState::Dropped),
            (MailKind::Report, MessageState::Sent)
        ]
    );
}

#[test]
fn report_that_was_in_hand_when_its_case_was_exempted_is_told_when_that_ends() {
    let dead = dead_port();
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{dead}\"\n");
    let (bench, clock, pipeline) = reported(&smtp);
    let caps = SendingCaps {
        since: clock.now() - Span::hours(1),
        per_recipient_max: 100,
        in_all_max: 100,
    };
    let id = messages(&pipeline, 1)[0].id;
    // As while a server takes its time, or after a kill.
    let leased = pipeline
        .store()
        .desk()
        .lease_message(id, &caps, clock.now());
    assert!(leased.expect("writable").is_some());
    clock.set(clock.now() + Span::seconds(5));
    let number = exempt(&pipeline, "bad.example");
    assert_eq!(
        standing(&pipeline, 1),
        [(MailKind::Report, MessageState::Sending)]
    );
    let server = Scripted::start(&[]);
    clock.set(clock.now() - Span::days(1) + Span::hours(1));
    let pipeline = revive(&bench, dead, &server, &clock);
    assert_eq!(deliver(&pipeline).sent, 0);
    assert_eq!(
        standing(&pipeline, 1),
        [(MailKind::Report, MessageState::Dropped)]
    );
    end_exemption(&pipeline, number);
    let mut feed = Feed::default();
    feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
    feed.flux("bad.example.", 5, 90);
    live(&bench, (&clock, &pipeline), &feed, 80..90);
    let states = standing(&pipeline, 1);
    assert_eq!(
        states,
        [
            (MailKind::Report, MessageState::Dropped),
            (MailKind::Update, MessageState::Sent)
        ],
        "{}",
        log(&pipeline, 1)
    );
    // A server may have the first: it was never over, and is no first report.
    let mail = server.taken.lock().expect("alive")[0].clone();
    assert!(
        mail.contains("mail 2: the mail before this one was not"),
        "{mail}"
    );
}

/// The same domain until an hour.
pub fn flux_until(hour: i64) -> Feed {
    let mut feed = Feed::default();
    feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
    feed.flux("bad.example.", 5, hour);
    feed
}

/// Has somebody of another configuration read the mail of a bench from now on.
pub fn rename(bench: &Bench, clock: &Arc<SetClock>, from: &str, to: &str) -> Pipeline {
    let config = std::fs::read_to_string(bench.config()).expect("written");
    assert!(config.contains(from), "{config}");
    std::fs::write(bench.config(), config.replace(from, to)).expect("written");
    bench.pipeline(clock.clone())
}

/// Returns kind, recipient and state of each message of a case.
pub fn letters(pipeline: &Pipeline, id: i64) -> Vec<(MailKind, String, MessageState)> {
    let messages = messages(pipeline, id).into_iter();
    messages
        .map(|it| (it.message.kind, it.shown_recipient(), it.state))
        .collect()
}

#[test]
fn desk_whose_report_was_dropped_is_told_later_though_a_webhook_heard_at_once() {
    let (dead, hook) = (dead_port(), dead_port());
    let smtp = format!(
        "[smtp]\nurl = \"smtp://127.0.0.1:{dead}\"\n[[webhook]]\nurl = \"http://127.0.0.1:{hook}/hook\"\nsecret_file = \"hook.secret\"\n"
    );
    let bench = bench(&format!("{REPORT}{smtp}"));
    let secret = bench.write("hook.secret", "0123456789abcdef0123456789abcdef");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(secret, mode).expect("its mode can be set");
    bench.write("f.ndjson", flux_until(72).text(72));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::hours(72)));
    let pipeline = bench.pipeline(clock.clone());
    poll(&pipeline);
    let desk = pipeline.store().desk();
    let post = messages(&pipeline, 1).pop().expect("a post");
    assert_eq!(post.message.kind, MailKind::Webhook);
    lease(&pipeline, post.id);
    let sent = desk.finish_attempt(post.id, 1, &Next::Sent, "200 OK", clock.now());
    assert!(sent.expect("writable"));
    let number = exempt(&pipeline, "bad.example");
    let server = Scripted::start(&[]);
    clock.set(clock.now() - Span::days(1));
    let pipeline = revive(&bench, dead, &server, &clock);
    end_exemption(&pipeline, number);
    live(&bench, (&clock, &pipeline), &flux_until(90), 80..90);
    let mails = server.taken.lock().expect("alive").clone();
    assert_eq!(mails.len(), 1, "{}", log(&pipeline, 1));
    assert!(mails[0].contains("mail 2: first report of this case"));
    // Nobody is told twice.
    let kinds: Vec<MailKind> = standing(&pipeline, 1).iter().map(|it| it.0).collect();
    let post = MailKind::Webhook;
    assert_eq!(kinds, [MailKind::Report, post, MailKind::Report]);
    // What ends is told to both.
    let taken = dismiss(&pipeline, 1);
    let words = taken.mail_words("is").unwrap_or_default();
    assert!(words.contains("a closure is mailed to"), "{words}");
}

#[test]
fn each_of_the_desk_is_told_what_he_did_not_hear_and_nothing_twice() {
    let (desk, second) = ("abuse-desk@registrar.example", "second@registrar.example");
    for ends_first in [false, true] {
        // The mail to the one waits, the other's is taken.
        let server = Scripted::start(&[Session::Busy]);
        let bench = bench(&format!(
            "{REPORT}digest = \"off\"\n[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n",
            server.port
        ));
        let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::hours(72)));
        let both = format!("\"{desk}\", \"{second}\"");
        let pipeline = rename(&bench, &clock, &format!("\"{desk}\""), &both);
        bench.write("f.ndjson", flux_until(72).text(72));
        poll(&pipeline);
        assert_eq!(deliver(&pipeline).sent, 1);
        let number = exempt(&pipeline, "bad.example");
        let mut expected = vec![
            (MailKind::Report, desk.to_owned(), MessageState::Dropped),
            (MailKind::Report, second.to_owned(), MessageState::Sent),
        ];
        assert_eq!(letters(&pipeline, 1), expected);
        if ends_first {
            let words = dismiss(&pipeline, 1).mail_words("is").unwrap_or_default();
            assert!(
                words.contains("a closure is mailed to second@") && !words.contains("abuse-desk@"),
                "{words}"
            );
            deliver(&pipeline);
            expected.push((MailKind::Closure, second.to_owned(), MessageState::Sent));
        } else {
            end_exemption(&pipeline, number);
            live(&bench, (&clock, &pipeline), &flux_until(120), 80..120);
            expected.push((MailKind::Report, desk.to_owned(), MessageState::Sent));
            let mail = server.taken.lock().expect("alive").pop();
            let mail = mail.unwrap_or_default();
            assert!(mail.contains("mail 2: first report of this case"), "{mail}");
        }
        assert_eq!(letters(&pipeline, 1), expected, "{}", log(&pipeline, 1));
    }
}

#[test]
fn who_is_configured_in_place_of_another_hears_what_that_one_did_not() {
    let dead = dead_port();
    let smtp = format!("digest = \"off\"\n[smtp]\nurl = \"smtp://127.0.0.1:{dead}\"\n");
    let (bench, clock, pipeline) = reported(&smtp);
    pipeline.notify().queue_digest().expect("queued");
    let server = Scripted::start(&[]);
    clock.set(clock.now() - Span::days(1) + Span::seconds(5));
    revive(&bench, dead, &server, &clock);
    let pipeline = rename(&bench, &clock, "abuse-desk@", "new-desk@");
    let summary = deliver(&pipeline);
    // The digest names who is suspected, too; it is written again at once.
    assert_eq!(summary.dead, 2);
    live(&bench, (&clock, &pipeline), &flux_until(90), 80..90);
    let mut mails = server.taken.lock().expect("alive").clone();
    let count = mails.len();
    mails.retain(|mail| !mail.contains("X-Fluxwatch-Kind: digest"));
    assert_eq!(count, mails.len() + 1, "{mails:#?}");
    assert_eq!(mails.len(), 1, "{}", log(&pipeline, 1));
    assert!(
        mails[0].contains("new-desk@registrar.example")
            && mails[0].contains("mail 2: first report of this case"),
        "{}",
        mails[0]
    );
    // Once he has read of it he is told no more than others.
    live(&bench, (&clock, &pipeline), &flux_until(120), 90..120);
    assert_eq!(server.taken.lock().expect("alive").len(), 2);
}

/// Takes a message for delivery, as a sender does that is killed then.
pub fn lease(pipeline: &Pipeline, id: i64) {
    let now = pipeline.clock().now();
    let caps = SendingCaps {
        since: now - Span::hours(1),
        per_recipient_max: 100,
        in_all_max: 100,
    };
    let leased = pipeline.store().desk().lease_message(id, &caps, now);
    assert!(leased.expect("writable").is_some());
}

#[test]
fn report_that_a_server_may_have_is_withdrawn() {
    use Session::{Busy, TakeAndVanish};
    for (script, is_killed) in [
        (vec![TakeAndVanish], false),
        (vec![TakeAndVanish, Busy], false),
        (vec![], true),
    ] {
        let attempts = script.len();
        let server = Scripted::start(&script);
        let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port);
        let (_bench, clock, pipeline) = reported(&smtp);
        if is_killed {
            lease(&pipeline, messages(&pipeline, 1)[0].id);
            clock.set(clock.now() + Span::seconds(5));
        }
        for _ in 0..attempts {
            assert_eq!(deliver(&pipeline).sent, 0);
            clock.set(clock.now() + Span::seconds(301));
        }
        let words = dismiss(&pipeline, 1).mail_words("is").unwrap_or_default();
        assert!(words.contains("a closure is mailed to"), "{words}");
        for _ in 0..2 {
            clock.set(clock.now() + Span::hours(1));
            deliver(&pipeline);
        }
        assert_eq!(
            standing(&pipeline, 1),
            [
                (MailKind::Report, MessageState::Dropped),
                (MailKind::Closure, MessageState::Sent)
            ],
            "{}",
            log(&pipeline, 1)
        );
        let note = messages(&pipeline, 1)[0].last_reply.clone();
        let note = note.unwrap_or_default();
        assert_eq!(note, "perhaps sent; dropped: the case is dismissed");
    }
}

/// A campaign whose members are both told; the first is the lead.
fn told_campaign(rest: &str) -> (Bench, Arc<SetClock>, Pipeline, i64) {
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{rest}"));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    let hour = live_until(&bench, (&clock, &pipeline), 0..160, |case| {
        !case["told_at"].is_null()
    });
    assert!(log(&pipeline, 2).contains("told: told in the mails of case 1"));
    (bench, clock, pipeline, hour)
}

#[test]
fn lead_that_a_person_dismissed_is_withdrawn_with_its_thread_though_it_is_exempt() {
    for is_exempt in [false, true] {
        let (_bench, _clock, pipeline, _hour) = told_campaign(MAILDIR);
        if is_exempt {
            exempt(&pipeline, "bad.example");
        }
        dismiss(&pipeline, 1);
        let count = messages(&pipeline, 1).len();
        step(&pipeline, 2, &DeskStep::Close { mitigated: true });
        deliver(&pipeline);
        let after = standing(&pipeline, 1).split_off(count);
        assert_eq!(
            after,
            [(MailKind::Closure, MessageState::Sent)],
            "{is_exempt}: {}",
            log(&pipeline, 1)
        );
        assert!(standing(&pipeline, 2).is_empty(), "{}", log(&pipeline, 2));
    }
}

#[test]
fn member_that_a_person_dismissed_is_withdrawn_by_its_lead_or_by_itself_where_it_is_exempt() {
    for is_exempt in [false, true] {
        let (bench, _clock, pipeline, _hour) = told_campaign(MAILDIR);
        if is_exempt {
            exempt(&pipeline, "worse.example");
        }
        dismiss(&pipeline, 2);
        deliver(&pipeline);
        let own: &[_] = match is_exempt {
            true => &[(MailKind::Closure, MessageState::Sent)],
            false => &[],
        };
        assert_eq!(standing(&pipeline, 2), own, "{}", log(&pipeline, 2));
        step(&pipeline, 1, &DeskStep::Close { mitigated: true });
        deliver(&pipeline);
        let last = standing(&pipeline, 1).pop();
        assert_eq!(last, Some((MailKind::Closure, MessageState::Sent)));
        let mails = read_mails(&bench);
        let mut closures = mails.iter().filter(|mail| {
            mail["headers"]["X-Fluxwatch-Kind"] == "closure"
                && mail["headers"]["Subject"]
                    .to_string()
                    .contains("bad[.]example")
                && !mail["headers"]["Subject"].to_string().contains("worse")
        });
        let text = closures.next().expect("a closure")["parts"].to_string();
        assert_eq!(text.contains("worse[.]example"), !is_exempt, "{text}");
    }
}

#[test]
fn closure_names_no_other_case_but_those_whose_end_it_tells() {
    let (_bench, _clock, pipeline, _hour) = told_campaign(MAILDIR);
    let desk = pipeline.store().desk();
    // As of one that was reported in a mail of its own.
    let mut member = desk.case_by_id(2).expect("readable").expect("there").case;
    member.told.thread = Some(2);
    desk.save_case(&member).expect("writable");
    dismiss(&pipeline, 1);
    let closure = messages(&pipeline, 1).pop().expect("a closure");
    assert_eq!(closure.message.kind, MailKind::Closure);
    let words = String::from_utf8_lossy(&closure.message.octets).replace("=\r\n", "");
    assert!(!words.contains("FW-000002"), "{words}");
}

#[test]
fn member_that_an_older_program_noted_as_told_is_not_told_again_for_a_later_mail() {
    let server = Scripted::start(&[]);
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port);
    let (bench, clock, pipeline, hour) = told_campaign(&smtp);
    let desk = pipeline.store().desk();
    let line = "told: told in the mails of case 1";
    desk.append_case_event(2, clock.now(), CaseState::Open, "fluxwatch", line)
        .expect("writable");
    clock.set(clock.now() + Span::seconds(600));
    set_busy(&server, true);
    let lead = desk.case_by_id(1).expect("readable").expect("there");
    send_again(&pipeline, &lead, "ada", None).expect("queued");
    deliver(&pipeline);
    exempt(&pipeline, "bad.example");
    let last = standing(&pipeline, 1).pop();
    assert_eq!(last, Some((MailKind::Update, MessageState::Dropped)));
    set_busy(&server, false);
    live(
        &bench,
        (&clock, &pipeline),
        &campaign(),
        hour + 1..hour + 12,
    );
    assert!(standing(&pipeline, 2).is_empty(), "{}", log(&pipeline, 2));
}

#[test]
fn waiting_mail_of_a_lead_does_not_leave_with_a_member_that_is_dismissed_or_exempt_by_now() {
    for is_exempt in [false, true] {
        let server = Scripted::start(&[]);
        let bench = bench(&format!(
            "{REPORT}digest = \"off\"\n[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n",
            server.port
        ));
        let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
        let pipeline = bench.pipeline(clock.clone());
        let both = (&clock, &pipeline);
        let hour = live_until(&bench, both, 0..120, waits_for_its_lead);
        set_busy(&server, true);
        let hour = live_until(&bench, both, hour + 1..hour + 40, |case| {
            !case["told_at"].is_null()
        });
        if is_exempt {
            exempt(&pipeline, "worse.example");
        }
        let words = dismiss(&pipeline, 2).mail_words("is").unwrap_or_default();
        assert!(words.contains("over, and never told of"), "{words}");
        set_busy(&server, false);
        let before = server.taken.lock().expect("alive").len();
        live(&bench, both, &campaign(), hour + 1..hour + 12);
        let kinds = standing(&pipeline, 1);
        assert!(
            kinds.contains(&(MailKind::Update, MessageState::Dropped)),
            "{kinds:?}\n{}",
            log(&pipeline, 1)
        );
        let taken = server.taken.lock().expect("alive").split_off(before);
        for mail in &taken {
            // It is among those who are not suspected, and use the same name servers.
            let accuses = mail.contains("FW-000002") && mail.contains("X-Fluxwatch-Kind: update");
            assert!(!accuses, "{mail}");
        }
        // Nobody was told of it, so that there is nothing to take back.
        let of_member = standing(&pipeline, 2);
        assert!(of_member.is_empty(), "{of_member:?}");
    }
}

#[test]
fn member_that_another_lead_took_over_is_told_where_the_mail_of_the_first_is_dropped() {
    let server = Scripted::start(&[]);
    let bench = bench(&format!(
        "{REPORT}digest = \"off\"\n[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n",
        server.port
    ));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    let both = (&clock, &pipeline);
    let hour = live_until(&bench, both, 0..120, waits_for_its_lead);
    set_busy(&server, true);
    let hour = live_until(&bench, both, hour + 1..hour + 40, |case| {
        !case["told_at"].is_null()
    });
    // As once the lead is over and a third one has news.
    let desk = pipeline.store().desk();
    let mut member = desk.case_by_id(2).expect("readable").expect("there").case;
    member.told.thread = Some(2);
    desk.save_case(&member).expect("writable");
    // The end of the first, which waits too, is not that of who moved on.
    step(&pipeline, 1, &DeskStep::Close { mitigated: true });
    let closure = (MailKind::Closure, MessageState::Queued);
    assert!(standing(&pipeline, 1).contains(&closure));
    exempt(&pipeline, "bad.example");
    set_busy(&server, false);
    live(&bench, both, &campaign(), hour + 1..hour + 12);
    assert_eq!(
        standing(&pipeline, 2),
        [(MailKind::Report, MessageState::Sent)],
        "{}",
        log(&pipeline, 2)
    );
}

#[test]
fn case_that_was_told_in_a_mail_that_was_retried_and_dropped_is_reported_itself() {
    let server = Scripted::start(&[]);
    let smtp = format!(
        "digest = \"off\"\n[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n",
        server.port
    );
    let bench = bench(&format!("{REPORT}{smtp}"));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    let both = (&clock, &pipeline);
    let hour = live_until(&bench, both, 0..120, waits_for_its_lead);
    set_busy(&server, true);
    let hour = live_until(&bench, both, hour + 1..hour + 40, |case| {
        !case["told_at"].is_null()
    });
    let update = messages(&pipeline, 1).pop().expect("an update");
    assert_eq!(
        (update.message.kind, update.state),
        (MailKind::Update, MessageState::Queued)
    );
    clock.set(clock.now() + Span::seconds(600));
    let retried = retry(&pipeline, Some(update.id), "ada", clock.now());
    assert_eq!(retried.expect("done").count, 1);
    exempt(&pipeline, "bad.example");
    set_busy(&server, false);
    live(&bench, both, &campaign(), hour + 1..hour + 12);
    let told = standing(&pipeline, 2);
    assert_eq!(
        told,
        [(MailKind::Report, MessageState::Sent)],
        "{}",
        log(&pipeline, 2)
    );
}

#[test]
fn what_a_dropped_update_would_have_told_is_told_when_the_exemption_ends() {
    let server = Scripted::start(&[]);
    let smtp = format!(
        "digest = \"off\"\n[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n",
        server.port
    );
    let bench = bench(&format!("{REPORT}{smtp}"));
    let config = std::fs::read_to_string(bench.config()).expect("written");
    let config = config.replace("zone = \"example.\"\n", "");
    std::fs::write(bench.config(), config).expect("written");
    let mut feed = Feed::default();
    feed.flux("bad.example.", 5, 150);
    // From here on the addresses move too: another kind of flux.
    for hour in 50..150 {
        let at = START + hour * 3600;
        let address = |n: i64| format!("10.{}.{}.{}", (hour * 2 + n) * 7 % 256, hour % 256, n + 1);
        let rdata = [address(0), address(1)];
        let line = json!({"at": at, "zone": "bad.example.", "rrname": "www.bad.example.", "rrtype": "A", "op": "set", "ttl": 300, "rdata": rdata});
        feed.0.push((at, line.to_string()));
    }
    let name_servers = json!({"at": START + 3600, "zone": "bad.example.", "rrname": "bad.example.", "rrtype": "NS", "op": "set", "ttl": 300, "rdata": ["ns1.fix.test.", "ns2.fix.test."]});
    feed.0.push((START + 3600, name_servers.to_string()));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    let both = (&clock, &pipeline);
    live(&bench, both, &feed, 0..50);
    assert_eq!(
        standing(&pipeline, 1),
        [(MailKind::Report, MessageState::Sent)]
    );
    set_busy(&server, true);
    live(&bench, both, &feed, 50..70);
    assert_eq!(
        standing(&pipeline, 1),
        [
            (MailKind::Report, MessageState::Sent),
            (MailKind::Update, MessageState::Queued)
        ],
        "{}",
        log(&pipeline, 1)
    );
    let number = exempt(&pipeline, "bad.example");
    set_busy(&server, false);
    live(&bench, both, &feed, 70..72);
    end_exemption(&pipeline, number);
    live(&bench, both, &feed, 72..110);
    assert_eq!(
        standing(&pipeline, 1),
        [
            (MailKind::Report, MessageState::Sent),
            (MailKind::Update, MessageState::Dropped),
            (MailKind::Update, MessageState::Sent)
        ],
        "{}",
        log(&pipeline, 1)
    );
    let mail = server.taken.lock().expect("alive").last().cloned();
    let mail = mail.unwrap_or_default();
    assert!(
        mail.contains("the mail before this one was not sent") && mail.contains("double-flux"),
        "{mail}"
    );
}

#[test]
fn accusation_that_somebody_heard_is_withdrawn_whatever_was_exempted_before() {
    let partner = "[[recipient]]\nzone = \"example.\"\naddress = \"partner@other.example\"\n";
    let (bench, _clock, pipeline) = reported(&format!("{MAILDIR}{partner}"));
    assert_eq!(deliver(&pipeline).sent, 2);
    exempt(&pipeline, "bad.example");
    let dismissal = [
        "cases",
        "dismiss",
        "1",
        "--reason",
        "content-network",
        "--by",
        "ada",
        "--dry-run",
    ];
    let would = bench.run_stderr(0, &dismissal);
    assert!(would.contains("a closure would be mailed to"), "{would}");
    let words = dismiss(&pipeline, 1).mail_words("is").unwrap_or_default();
    assert!(words.contains("a closure is mailed to"), "{words}");
    assert_eq!(deliver(&pipeline).sent, 2, "{}", log(&pipeline, 1));
    let mut sent = messages(&pipeline, 1).split_off(2).into_iter();
    assert!(sent.all(|it| it.message.kind == MailKind::Closure));
}

#[test]
fn exempt_domain_is_named_in_no_mail_of_another_case_and_in_no_digest() {
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{MAILDIR}"));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    pipeline.notify().last_digest_at().expect("noted");
    // Both are suspected by the time that the first is reported.
    let mut feed = Feed::default();
    for (domain, first, shift) in [("bad.example.", 0, 0), ("worse.example.", 2, 3)] {
        let host = |n: i64| format!("ns1.a{}.test.", WORDS[(n % 8) as usize]);
        feed.set(0, domain, "NS", &[host(shift), host(shift + 1)]);
        for turn in 1..16 {
            let set = [host(turn + shift), host(turn + shift + 1)];
            feed.set(first + turn * 6, domain, "NS", &set);
        }
    }
    feed.tick(5);
    let both = (&clock, &pipeline);
    live(&bench, both, &feed, 0..3);
    exempt(&pipeline, "worse.example");
    live(&bench, both, &feed, 3..100);
    let cases = bench.cases();
    let is_suspect = |it: &&Value| it["domain"] == "worse.example." && it["level"] != "watch";
    assert!(cases.iter().any(|it| is_suspect(&it)), "{cases:#?}");
    let in_campaign = cases.iter().filter(|it| it["campaign"].is_string());
    assert_eq!(in_campaign.count(), 2, "{cases:#?}");
    pipeline.notify().queue_digest().expect("queued");
    deliver(&pipeline);
    let mails = read_mails(&bench);
    let kinds: Vec<&Value> = mails
        .iter()
        .map(|mail| &mail["headers"]["X-Fluxwatch-Kind"])
        .collect();
    assert!(kinds.contains(&&json!("report")) && kinds.contains(&&json!("digest")));
    for mail in &mails {
        let text = mail["parts"].to_string();
        let at = text.find("worse[.]example");
        let around = at.map(|at| &text[at.saturating_sub(200)..at]);
        assert_eq!(around, None, "{}", mail["headers"]["Subject"]);
    }
    assert_eq!(mails.len(), 2, "{}", log(&pipeline, 1));
}

#[test]
fn domain_that_is_exempted_while_it_waits_for_its_lead_is_no_news() {
    let bench = bench(&format!("{REPORT}digest = \"off\"\n{MAILDIR}"));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = bench.pipeline(clock.clone());
    let both = (&clock, &pipeline);
    let hour = live_until(&bench, both, 0..120, waits_for_its_lead);
    exempt(&pipeline, "worse.example");
    live(&bench, both, &campaign(), hour + 1..hour + 40);
    let log = log(&pipeline, 1);
    assert!(!log.contains("more domain"), "{log}");
}

#[test]
fn approved_notice_and_mail_that_may_be_exempt_wait_for_a_table_that_cannot_be_used() {
    let (bench, clock, pipeline) = reported(&format!("{MAILDIR}{SLOW}"));
    let row = pipeline.store().desk().case_by_id(1);
    let row = row.expect("readable").expect("there");
    let decision = NoticeDecision {
        recipient: "slow@other.example",
        who: "ada",
        note: None,
        seen: None,
    };
    let table = std::fs::read_to_string(bench.path().join("registrations.csv")).expect("written");
    // It is written anew just now.
    bench.write("registrations.csv", "");
    let waiting = watcher(&bench, &clock);
    assert_eq!(waiting.waiting_for().len(), 1);
    let refused = decision.approve(&waiting, &row).expect_err("refused");
    assert!(
        refused.to_string().contains("a table cannot be used"),
        "{refused}"
    );
    assert_eq!(notices(&pipeline, 1)[0].state, NoticeState::Drafted);
    decision.approve(&pipeline, &row).expect("approved");
    clock.set(clock.now() + Span::seconds(5));
    let number = exempt_kind(&pipeline, "account", "account-of-others");
    let summary = deliver(&waiting);
    assert_eq!((summary.sent, summary.waiting), (0, 1));
    assert_eq!(notices(&waiting, 1)[0].state, NoticeState::Approved);
    let report = messages(&waiting, 1).pop().expect("the report");
    let reply = report.last_reply.unwrap_or_default();
    assert!(
        report.state == MessageState::Queued && reply.contains("waits: "),
        "{reply}"
    );
    // Closures, and what no exemption can hold, leave; and all of it once the table is right.
    // The desk takes back what waits then too.
    let told = bench.run_stderr(
        0,
        &[
            "cases",
            "dismiss",
            "1",
            "--reason",
            "not-ours",
            "--by",
            "ada",
            "--dry-run",
        ],
    );
    assert!(told.contains("1 message not sent yet"), "{told}");
    end_exemption(&waiting, number);
    clock.set(clock.now() + Span::seconds(120));
    assert_eq!(deliver(&waiting).sent, 1);
    bench.write("registrations.csv", table);
    let pipeline = watcher(&bench, &clock);
    assert_eq!(deliver(&pipeline).sent, 1, "{}", log(&pipeline, 1));
    assert_eq!(notices(&pipeline, 1)[0].state, NoticeState::Queued);
}

#[test]
fn report_that_failed_leaves_before_the_closure_and_what_was_sent_is_closed() {
    let server = Scripted::start(&[Session::Busy]);
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port);
    let (_bench, clock, pipeline) = reported(&smtp);
    assert_eq!(deliver(&pipeline).waiting, 1);
    clock.set(clock.now() + Span::seconds(5));
    let taken = step(&pipeline, 1, &DeskStep::Close { mitigated: true });
    let words = taken.mail_words("is").unwrap_or_default();
    assert!(words.contains("a closure is mailed to"), "{words}");
    assert_eq!(
        deliver(&pipeline).sent,
        0,
        "the closure waits behind the report"
    );
    clock.set(clock.now() + Span::hours(1));
    assert_eq!(deliver(&pipeline).sent, 2);
    let taken = server.taken.lock().expect("alive").clone();
    let kinds: Vec<bool> = taken
        .iter()
        .map(|mail| mail.contains("X-Fluxwatch-Kind: closure"))
        .collect();
    assert_eq!(kinds, [false, true]);
}

#[test]
fn dismissed_case_whose_report_was_sent_is_closed_and_its_draft_is_void() {
    let (_bench, _clock, pipeline) = reported(&format!("{MAILDIR}{SLOW}"));
    deliver(&pipeline);
    assert_eq!(notices(&pipeline, 1)[0].state, NoticeState::Drafted);
    let taken = dismiss(&pipeline, 1);
    let words = taken.mail_words("is").unwrap_or_default();
    assert!(
        words.contains("1 draft is dropped") && words.contains("a closure is mailed to"),
        "{words}"
    );
    deliver(&pipeline);
    assert_eq!(notices(&pipeline, 1)[0].state, NoticeState::Void);
    assert_eq!(
        standing(&pipeline, 1),
        [
            (MailKind::Report, MessageState::Sent),
            (MailKind::Closure, MessageState::Sent)
        ]
    );
}

#[test]
fn mail_that_is_asked_for_goes_to_the_desk_alone() {
    let (bench, _clock, pipeline) = reported(&format!("{MAILDIR}{AUTO}"));
    deliver(&pipeline);
    let of_kind = |kind: MailKind| {
        let messages = messages(&pipeline, 1).into_iter();
        messages.filter(|it| it.message.kind == kind).count()
    };
    assert_eq!(of_kind(MailKind::Notice), 1);
    let would = bench.run_stderr(0, &["report", "send", "1", "--by", "ada", "--dry-run"]);
    assert!(
        would.contains("would be told: abuse-desk@registrar.example") && !would.contains("auto@"),
        "{would}"
    );
    bench.run(0, &["report", "send", "1", "--by", "ada"]);
    assert_eq!(
        (of_kind(MailKind::Update), of_kind(MailKind::Notice)),
        (1, 1)
    );
    assert_eq!(notices(&pipeline, 1).len(), 1);
}

#[test]
fn draft_does_not_leave_once_its_domain_is_exempt_or_its_address_is_not_configured() {
    let (bench, clock, pipeline) = reported(&format!("{MAILDIR}{SLOW}"));
    deliver(&pipeline);
    let approve = [
        "report",
        "approve",
        "1",
        "--to",
        "slow@other.example",
        "--by",
        "ada",
    ];
    let config = std::fs::read_to_string(bench.config()).expect("written");
    std::fs::write(bench.config(), config.replace("slow@", "new@")).expect("written");
    let dry = bench.run_stderr(0, &[&approve[..], &["--dry-run"]].concat());
    assert!(dry.contains("it would not be sent"), "{dry}");
    let refused = bench.run_stderr(1, &approve);
    assert!(
        refused.contains("does not name this recipient"),
        "{refused}"
    );
    assert_eq!(notices(&pipeline, 1)[0].state, NoticeState::Void);
    // Another domain, whose draft is exempt.
    std::fs::write(bench.config(), config).expect("written");
    let (other, _clock, pipeline) = reported(&format!("{MAILDIR}{SLOW}"));
    exempt(&pipeline, "bad.example");
    assert_eq!(notices(&pipeline, 1)[0].state, NoticeState::Void);
    other.run_stderr(1, &approve);
    deliver(&pipeline);
    let mut kinds = messages(&pipeline, 1).into_iter().map(|it| it.message.kind);
    assert!(kinds.all(|kind| kind != MailKind::Notice));
    drop(clock);
}

#[test]
fn report_to_a_desk_that_is_not_configured_any_more_is_dead_and_counted() {
    let (bench, clock, _pipeline) = reported(MAILDIR);
    let config = std::fs::read_to_string(bench.config()).expect("written");
    std::fs::write(bench.config(), config.replace("abuse-desk@", "new-desk@")).expect("written");
    let pipeline = bench.pipeline(clock);
    let summary = deliver(&pipeline);
    assert_eq!((summary.sent, summary.dead), (0, 1));
    let reply = messages(&pipeline, 1)[0].last_reply.clone();
    assert!(reply.is_some_and(|it| it.contains("add the address again")));
}

#[test]
fn notice_is_moved_from_where_it_stands_and_from_nowhere_else() {
    let (_bench, clock, pipeline) = reported(&format!("{MAILDIR}{SLOW}"));
    let id = notices(&pipeline, 1)[0].id;
    let desk = pipeline.store().desk();
    let by = Some(("ada", clock.now(), None));
    let steps = [
        ((NoticeState::Drafted, NoticeState::Rejected), true),
        ((NoticeState::Approved, NoticeState::Queued), false),
        ((NoticeState::Drafted, NoticeState::Approved), false),
    ];
    for (step, is_done) in steps {
        let moved = desk.move_notice(id, step, by).expect("writable");
        assert_eq!(moved, is_done, "{step:?}");
    }
    assert_eq!(notices(&pipeline, 1)[0].state, NoticeState::Rejected);
}

#[test]
fn digest_tells_of_no_exempt_and_of_no_dismissed_case() {
    let bench = bench(&format!("{REPORT}cases_per_hour_max = 2\n{MAILDIR}"));
    let mut feed = Feed::default();
    for n in 0..6 {
        let domain = format!("d{n}.example.");
        feed.set(0, &domain, "NS", &["ns1.plain.test.".to_owned()]);
        feed.flux(&domain, 6 + n, 70);
    }
    bench.write("f.ndjson", feed.text(72));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::hours(72)));
    let pipeline = bench.pipeline(clock.clone());
    pipeline.notify().last_digest_at().expect("noted");
    poll(&pipeline);
    deliver(&pipeline);
    let waiting = pipeline
        .store()
        .desk()
        .cases_for_digest()
        .expect("readable");
    assert_eq!(waiting.len(), 4);
    let spared = waiting[0].case.domain.to_text_without_dot();
    exempt(&pipeline, &spared);
    dismiss(&pipeline, waiting[1].id);
    clock.set(Timestamp::from_unix(START) + Span::hours(80));
    pipeline.notify().queue_digest().expect("queued");
    deliver(&pipeline);
    let mails = read_mails(&bench);
    let digest = mails
        .iter()
        .find(|mail| mail["headers"]["X-Fluxwatch-Kind"] == "digest");
    let digest = digest.expect("a digest").to_string();
    assert!(digest.contains("too many for a mail each (2)"), "{digest}");
    let told = |id: i64| log(&pipeline, id).contains("told in the digest");
    assert!(
        !told(waiting[0].id) || log(&pipeline, waiting[0].id).contains("not told in the digest")
    );
    let row = pipeline.store().desk().case_by_id(waiting[0].id);
    let case = row.expect("readable").expect("there").case;
    assert!(!case.reported && !case.told.digest_due);
}

#[test]
fn digest_that_waits_is_written_anew_without_who_was_dismissed_or_exempted_since() {
    let dead = dead_port();
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{dead}\"\n");
    let bench = bench(&format!("{REPORT}cases_per_hour_max = 2\n{smtp}"));
    let mut feed = Feed::default();
    for n in 0..6 {
        let domain = format!("d{n}.example.");
        feed.set(0, &domain, "NS", &["ns1.plain.test.".to_owned()]);
        feed.flux(&domain, 6 + n, 70);
    }
    bench.write("f.ndjson", feed.text(72));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::hours(72)));
    let pipeline = bench.pipeline(clock.clone());
    pipeline.notify().last_digest_at().expect("noted");
    poll(&pipeline);
    deliver(&pipeline);
    let due = pipeline.store().desk().cases_for_digest();
    let due = due.expect("readable");
    assert_eq!(due.len(), 4);
    // Two of them wait: each is dropped, and one tells what both did.
    for hours in [80, 104] {
        clock.set(Timestamp::from_unix(START) + Span::hours(hours));
        pipeline.notify().queue_digest().expect("queued");
    }
    let case = |id: i64| {
        let row = pipeline.store().desk().case_by_id(id);
        row.expect("readable").expect("there").case
    };
    assert!(due.iter().all(|row| case(row.id).reported));
    clock.set(clock.now() + Span::seconds(60));
    exempt(&pipeline, &due[0].case.domain.to_text_without_dot());
    dismiss(&pipeline, due[1].id);
    let server = Scripted::start(&[]);
    clock.set(clock.now() + Span::hours(5));
    let revived = revive(&bench, dead, &server, &clock);
    deliver(&revived);
    let taken = server.taken.lock().expect("alive").clone();
    let is_digest = |mail: &&String| mail.contains("X-Fluxwatch-Kind: digest");
    let digests: Vec<&String> = taken.iter().filter(is_digest).collect();
    assert_eq!(digests.len(), 1, "{taken:#?}");
    let defanged = |row: &CaseRow| row.case.domain.to_text_without_dot().replace('.', "[.]");
    assert!(
        digests[0].contains("too many for a mail each (2)"),
        "{}",
        digests[0]
    );
    assert!(digests[0].contains(&defanged(&due[2])) && digests[0].contains(&defanged(&due[3])));
    assert!(!digests[0].contains(&defanged(&due[0])), "{}", digests[0]);
    // Nobody heard of these two.
    for row in &due[..2] {
        assert!(!case(row.id).reported, "{}", log(&pipeline, row.id));
    }
    assert!(case(due[2].id).reported);
    // Of one that nobody heard of no end is told.
    assert!(standing(&pipeline, due[1].id).is_empty());
}

#[test]
fn mass_moves_that_have_no_place_in_a_digest_are_in_the_next() {
    let bench = bench(&format!("{REPORT}bulk_names_min = 1000\n{MAILDIR}"));
    let mut feed = Feed::default();
    for group in 0..54 {
        for n in 0..10 {
            let name = format!("n{n}g{group}.example.");
            let set = |word: &str| {
                [
                    format!("ns1.{word}{group}.test."),
                    format!("ns2.{word}{group}.test."),
                ]
            };
            feed.set(0, &name, "NS", &set("old"));
            feed.set(20 + group, &name, "NS", &set("new"));
        }
    }
    bench.write("f.ndjson", feed.text(80));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::hours(80)));
    let pipeline = bench.pipeline(clock.clone());
    pipeline.notify().last_digest_at().expect("noted");
    poll(&pipeline);
    let untold = || {
        pipeline
            .store()
            .desk()
            .untold_bulk_count()
            .expect("readable")
    };
    let count = untold();
    assert!(count > 50, "{count}");
    for left in [count - 50, 0] {
        clock.set(clock.now() + Span::days(1));
        pipeline.notify().queue_digest().expect("queued");
        assert_eq!(untold(), left);
    }
    deliver(&pipeline);
    let digests = read_mails(&bench);
    let text = digests[0].to_string();
    let more = format!("and {} more in the next digest", count - 50);
    assert!(text.contains(&more), "{text}");
    assert!(!digests[1].to_string().contains("more in the next digest"));
}

#[test]
fn message_that_was_given_up_is_tried_as_long_as_a_new_one_when_somebody_asks() {
    let dead = dead_port();
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{dead}\"\n");
    let (bench, clock, pipeline) = reported(&smtp);
    clock.set(clock.now() + Span::days(15));
    assert_eq!(deliver(&pipeline).dead, 1);
    let retried = retry(&pipeline, None, "ada", clock.now()).expect("done");
    assert_eq!((retried.count, retried.skipped.len()), (1, 0));
    assert_eq!(deliver(&pipeline).waiting, 1, "{:?}", rows(&bench));
    clock.set(clock.now() + Span::days(13));
    assert_eq!(deliver(&pipeline).waiting, 1);
    // One that waits is made due by a retry of all, which a timer may run, and not begun anew: it would never end.
    retry(&pipeline, None, "timer", clock.now()).expect("done");
    clock.set(clock.now() + Span::days(2));
    assert_eq!(deliver(&pipeline).dead, 1);
}

#[test]
fn retry_of_all_leaves_the_mail_of_ended_cases_alone_and_names_it() {
    let server = Scripted::start(&[Session::Refuse]);
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port);
    let (bench, _clock, pipeline) = reported(&smtp);
    let summary = deliver(&pipeline);
    assert_eq!((summary.sent, summary.dead), (0, 1));
    step(&pipeline, 1, &DeskStep::Close { mitigated: true });
    let before = server.ids().len();
    let said = bench.run_stderr(0, &["outbox", "retry", "--dry-run"]);
    assert!(
        said.contains("is left as it is: the case is mitigated"),
        "{said}"
    );
    let told = bench.run_stderr(0, &["outbox", "retry"]);
    assert!(
        told.contains("is left as it is: the case is mitigated"),
        "{told}"
    );
    let sent = server.taken.lock().expect("alive").clone();
    let new: String = sent[before..].concat();
    assert!(!new.contains("X-Fluxwatch-Kind: report"), "{new}");
}

#[test]
fn api_refuses_a_place_that_is_none_a_note_of_blanks_and_an_assignee_of_two_lines() {
    let desk = Desk::start(1, "");
    let token = desk.bench.run(
        0,
        &[
            "tokens", "add", "machine", "--role", "reviewer", "--by", "anna",
        ],
    );
    let head = format!("Authorization: Bearer {}\r\n", token.trim());
    let mut machine = Browser::new(desk.port);
    for (path, status) in [
        ("/api/v1/cases?after=zzz", 400),
        ("/api/v1/cases?after=zzz~1~1", 400),
        ("/api/v1/cases?sort=domain&after=report~81~1", 400),
        ("/api/v1/cases?after=report~81~1", 200),
    ] {
        let answer = machine.send("GET", path, &head, "");
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    let head = format!("{head}Content-Type: application/json\r\nIf-Match: *\r\n");
    for body in [
        json!({"step": "dismiss", "reason": "other", "note": " "}),
        json!({"step": "assign", "to": "ada\r\ncase 1: mitigated"}),
    ] {
        let answer = machine.send("POST", "/api/v1/cases/1/steps", &head, &body.to_string());
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
    }
    let log = desk
        .bench
        .run(0, &["cases", "log", "1", "--format", "json"]);
    assert!(
        !log.contains("mitigated") && !log.contains("dismissed"),
        "{log}"
    );
    desk.running.stop();
}
