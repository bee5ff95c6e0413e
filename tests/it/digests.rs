//! A digest that waits while its cases move on, and messages that are tried again: each says what is so when it leaves.

use std::sync::Arc;

use fluxwatch::case::DeskStep;
use fluxwatch::desk::exempt::{WantedExemption, add, remove};
use fluxwatch::desk::outbox::retry;
use fluxwatch::pipeline::Pipeline;
use fluxwatch::store::{CaseRow, MailKind, MessageRow, MessageState};
use fluxwatch::time::{Clock, SetClock, Span, Timestamp};

use crate::harness::{Bench, REPORT, deliver, poll};
use crate::support::desk::{Feed, MAILDIR, START, bench};
use crate::support::smtp::{Scripted, Session};
use crate::withdrawals::{
    dismiss, exempt, letters, live, log, messages, reported, set_busy, standing, step,
};

/// Six domains in flux, of which two are mailed and four are for the digest; and a server.
struct World {
    server: Scripted,
    clock: Arc<SetClock>,
    pipeline: Pipeline,
    due: Vec<CaseRow>,
    _bench: Bench,
}

impl World {
    /// Makes it, for a desk of these addresses.
    fn new(desk: &str) -> Self {
        let server = Scripted::start(&[]);
        let report = REPORT.replace("[\"abuse-desk@registrar.example\"]", desk);
        let bench = bench(&format!(
            "{report}cases_per_hour_max = 2\n[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n",
            server.port
        ));
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
        Self {
            server,
            clock,
            pipeline,
            due,
            _bench: bench,
        }
    }

    /// Lets time pass.
    fn wait(&self, span: Span) {
        self.clock.set(self.clock.now() + span);
    }

    /// Writes a digest after some time, and tries to send it.
    fn digest(&self, after: Span) {
        self.wait(after);
        self.pipeline.notify().queue_digest().expect("queued");
        deliver(&self.pipeline);
    }

    /// Returns the rows of the digests.
    fn digests(&self) -> Vec<MessageRow> {
        let mut rows = self.pipeline.store().desk().messages(false);
        let rows = rows.as_mut().expect("readable");
        rows.retain(|it| it.message.kind == MailKind::Digest);
        std::mem::take(rows)
    }

    /// Returns the digests that the server took.
    fn taken(&self) -> Vec<String> {
        let taken = self.server.taken.lock().expect("alive").clone();
        let digests = taken.into_iter();
        let digests = digests.filter(|mail| mail.contains("X-Fluxwatch-Kind: digest"));
        digests.map(|mail| mail.replace("[.]", ".")).collect()
    }

    /// Returns whether anybody is noted as told of a case.
    fn is_reported(&self, row: &CaseRow) -> bool {
        let row = self.pipeline.store().desk().case_by_id(row.id);
        row.expect("readable").expect("there").case.reported
    }
}

/// The one of the desk.
const ONE: &str = "[\"abuse-desk@registrar.example\"]";

/// Returns whether a digest accuses somebody as its first report.
fn accuses(digest: &str, row: &CaseRow) -> bool {
    let domain = row.case.domain.to_text_without_dot();
    let line = format!("{domain}  ns-flux, report, score 100.0, open");
    digest.contains(&line)
}

#[test]
fn digest_that_is_tried_again_names_nobody_who_was_dismissed_or_exempted_before() {
    for is_dead in [false, true] {
        let world = World::new(ONE);
        let World { pipeline, due, .. } = &world;
        match is_dead {
            true => {
                let mut script = world.server.script.lock().expect("alive");
                script.push_back(Session::Refuse);
            }
            false => set_busy(&world.server, true),
        }
        world.digest(Span::hours(8));
        world.wait(Span::seconds(60));
        exempt(pipeline, &due[0].case.domain.to_text_without_dot());
        let words = dismiss(pipeline, due[1].id).mail_words("is");
        assert!(
            is_dead
                || words
                    .as_deref()
                    .unwrap_or_default()
                    .contains("never told of"),
            "{words:?}"
        );
        world.wait(Span::seconds(60));
        let digest = world.digests().pop().expect("a digest");
        let retried = retry(pipeline, Some(digest.id), "ada", world.clock.now());
        assert_eq!(retried.expect("done").count, 1);
        set_busy(&world.server, false);
        deliver(pipeline);
        let taken = world.taken();
        assert_eq!(taken.len(), 1, "{:?}", world.digests());
        let accused: Vec<bool> = due.iter().map(|row| accuses(&taken[0], row)).collect();
        assert_eq!(accused, [false, false, true, true], "{}", taken[0]);
        assert!(due[..2].iter().all(|row| !world.is_reported(row)));
        let is_sent = |it: &(MailKind, MessageState)| it.1 == MessageState::Sent;
        assert!(!standing(pipeline, due[1].id).iter().any(is_sent));
    }
}

#[test]
fn case_that_ends_while_the_digest_that_tells_it_waits_is_told_by_no_later_accusation() {
    let world = World::new(ONE);
    let World { pipeline, due, .. } = &world;
    set_busy(&world.server, true);
    world.digest(Span::hours(8));
    world.wait(Span::seconds(60));
    let closed = step(pipeline, due[0].id, &DeskStep::Close { mitigated: true });
    let words = closed.mail_words("is").unwrap_or_default();
    assert!(words.contains("never told of"), "{words}");
    set_busy(&world.server, false);
    world.wait(Span::hours(5));
    deliver(pipeline);
    let taken = world.taken();
    let accused: Vec<bool> = due.iter().map(|row| accuses(&taken[0], row)).collect();
    assert_eq!(accused, [false, true, true, true], "{}", taken[0]);
    assert!(standing(pipeline, due[0].id).is_empty());
}

#[test]
fn dismissal_while_a_later_digest_waits_takes_back_nothing_of_one_that_was_sent() {
    let world = World::new(ONE);
    let World { pipeline, due, .. } = &world;
    world.digest(Span::hours(8));
    set_busy(&world.server, true);
    world.digest(Span::hours(24));
    world.wait(Span::seconds(60));
    dismiss(pipeline, due[0].id);
    set_busy(&world.server, false);
    world.wait(Span::hours(5));
    deliver(pipeline);
    let closure = (MailKind::Closure, MessageState::Sent);
    let log = log(pipeline, due[0].id);
    assert_eq!(standing(pipeline, due[0].id), [closure], "{log}");
    assert!(!log.contains("not told"), "{log}");
    let taken = world.taken();
    assert_eq!(taken.len(), 2);
    assert!(due.iter().all(|row| accuses(&taken[0], row)));
    let again = |row: &CaseRow| accuses(&taken[1], row);
    assert!(!due.iter().any(again), "{}", taken[1]);
}

#[test]
fn each_of_the_desk_is_told_by_his_own_digest_and_hears_its_end_if_that_was_sent() {
    for is_exempt_first in [false, true] {
        let world = World::new("[\"first@registrar.example\", \"second@registrar.example\"]");
        let World { pipeline, due, .. } = &world;
        {
            let mut script = world.server.script.lock().expect("alive");
            script.extend([Session::Take, Session::Busy]);
        }
        world.digest(Span::hours(8));
        assert_eq!(world.taken().len(), 1);
        world.wait(Span::seconds(60));
        if is_exempt_first {
            exempt(pipeline, &due[0].case.domain.to_text_without_dot());
        } else {
            dismiss(pipeline, due[0].id);
        }
        world.wait(Span::hours(5));
        deliver(pipeline);
        if is_exempt_first {
            world.wait(Span::seconds(60));
            dismiss(pipeline, due[0].id);
            deliver(pipeline);
        }
        let log = log(pipeline, due[0].id);
        let mut sent = letters(pipeline, due[0].id);
        sent.retain(|it| it.2 == MessageState::Sent);
        let first = "first@registrar.example".to_owned();
        let closure = (MailKind::Closure, first, MessageState::Sent);
        assert_eq!(sent, [closure], "{log}");
        let taken = world.taken();
        assert_eq!(taken.len(), 2, "{:?}", world.digests());
        assert!(taken[1].contains("To: second@registrar.example"));
        let accused: Vec<bool> = due.iter().map(|row| accuses(&taken[1], row)).collect();
        assert_eq!(accused, [false, true, true, true], "{}", taken[1]);
    }
}

#[test]
fn mass_move_of_a_digest_that_was_tried_again_and_then_written_anew_is_told() {
    let server = Scripted::start(&[]);
    let bench = bench(&format!(
        "{REPORT}bulk_names_min = 1000\n[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n",
        server.port
    ));
    let mut feed = Feed::default();
    for n in 0..40 {
        let name = format!("c{n}.example.");
        let set = |word: &str| [1, 2].map(|n| format!("ns{n}.{word}.test."));
        feed.set(0, &name, "NS", &set("old"));
        if n < 14 {
            feed.set(50, &name, "NS", &set("new"));
        }
    }
    feed.flux("bad.example.", 5, 70);
    bench.write("f.ndjson", feed.text(72));
    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START) + Span::hours(72)));
    let pipeline = bench.pipeline(clock.clone());
    pipeline.notify().last_digest_at().expect("noted");
    poll(&pipeline);
    deliver(&pipeline);
    clock.set(clock.now() + Span::hours(1));
    set_busy(&server, true);
    pipeline.notify().queue_digest().expect("queued");
    deliver(&pipeline);
    let of_digest = |it: &MessageRow| it.message.kind == MailKind::Digest;
    let rows = pipeline.store().desk().messages(true).expect("readable");
    let digest = rows.into_iter().find(of_digest).expect("a digest");
    clock.set(clock.now() + Span::seconds(60));
    retry(&pipeline, Some(digest.id), "ada", clock.now()).expect("done");
    clock.set(clock.now() + Span::seconds(60));
    dismiss(&pipeline, 1);
    set_busy(&server, false);
    clock.set(clock.now() + Span::hours(5));
    deliver(&pipeline);
    let taken = server.taken.lock().expect("alive").clone();
    let is_digest = |mail: &&String| mail.contains("X-Fluxwatch-Kind: digest");
    let digests: Vec<&String> = taken.iter().filter(is_digest).collect();
    assert_eq!(digests.len(), 1);
    assert!(digests[0].contains("ns1[.]new[.]test"), "{}", digests[0]);
}

#[test]
fn closure_that_was_given_up_is_tried_again_while_it_is_true_and_not_once_the_case_is_open_again() {
    let server = Scripted::start(&[]);
    let smtp = format!("[smtp]\nurl = \"smtp://127.0.0.1:{}\"\n", server.port);
    let (_bench, clock, pipeline) = reported(&smtp);
    assert_eq!(deliver(&pipeline).sent, 1);
    clock.set(clock.now() + Span::seconds(60));
    let refuse = || {
        let mut script = server.script.lock().expect("alive");
        script.push_back(Session::Refuse);
    };
    step(&pipeline, 1, &DeskStep::Close { mitigated: true });
    refuse();
    assert_eq!(deliver(&pipeline).dead, 1);
    let retried = retry(&pipeline, None, "ada", clock.now()).expect("done");
    assert_eq!((retried.count, retried.skipped.len()), (1, 0));
    refuse();
    assert_eq!(deliver(&pipeline).dead, 1);
    step(&pipeline, 1, &DeskStep::Reopen);
    let closure = messages(&pipeline, 1).pop().expect("a closure");
    let retried = retry(&pipeline, None, "ada", clock.now()).expect("done");
    assert_eq!(retried.count, 0);
    assert!(retried.skipped[0].1.contains("open again"), "{retried:?}");
    let named = retry(&pipeline, Some(closure.id), "ada", clock.now());
    let refused = named.expect_err("refused").to_string();
    assert!(refused.contains("open again"), "{refused}");
}

#[test]
fn end_that_an_exemption_held_is_told_once_that_is_over() {
    for until in [None, Some("30d")] {
        let (bench, clock, pipeline) = reported(&format!("digest = \"off\"\n{MAILDIR}"));
        assert_eq!(deliver(&pipeline).sent, 1);
        clock.set(clock.now() + Span::seconds(60));
        let wanted = WantedExemption {
            kind: "domain",
            value: "bad.example",
            reason: "ours",
            until,
            author: "ada",
        };
        let exemption = wanted.read(clock.now()).expect("sound");
        let id = add(&pipeline, &exemption, clock.now()).expect("added").id;
        let mut feed = Feed::default();
        feed.set(0, "bad.example.", "NS", &["ns1.plain.test.".to_owned()]);
        feed.flux("bad.example.", 5, 72);
        feed.tick(40);
        let days = [5, 12, 19, 20].map(|day| day * 24);
        live(&bench, (&clock, &pipeline), &feed, days.into_iter());
        let report = (MailKind::Report, MessageState::Sent);
        assert_eq!(standing(&pipeline, 1), [report], "{}", log(&pipeline, 1));
        assert!(log(&pipeline, 1).contains("no mail: exempt by number 1"));
        if until.is_none() {
            remove(&pipeline, id, "ada", clock.now()).expect("removed");
        }
        live(&bench, (&clock, &pipeline), &feed, [35 * 24].into_iter());
        pipeline.notify().after_pass().expect("done");
        deliver(&pipeline);
        assert_eq!(
            standing(&pipeline, 1),
            [report, (MailKind::Closure, MessageState::Sent)],
            "{until:?}: {}",
            log(&pipeline, 1)
        );
    }
}
