//! The machine's clock is set while the service runs: no look is missed, no message waits, and nothing is lost.

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fluxwatch::store::{MailKind, NewMessage, Store, StoreOptions};
use fluxwatch::time::{Clock, Timestamp, WallClock};

use crate::harness::{Bench, Running};
use crate::servers::{Extras, Knot, Primary};
use crate::support::clocks::faked;
use crate::support::stores::store_lines;
use crate::support::wait::until;

/// Looks are planned each second. A pause of twice that is one look missed; the rest is for a busy machine.
const PAUSE_MAX: Duration = Duration::from_secs(3);
/// How long it is watched whether looks go on.
const WATCHED: Duration = Duration::from_millis(3500);

/// A clock that a file sets.
struct SetByFile(PathBuf);

impl SetByFile {
    /// Returns one that is right.
    fn new(bench: &Bench) -> Self {
        let clock = Self(bench.path().join("offset"));
        clock.put("+0");
        clock
    }

    /// Puts the clock by so much off what is right. At once: a file that is half written would be another clock.
    fn put(&self, offset: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{offset}\n")).expect("the folder can be written");
        fs::rename(&new, &self.0).expect("the folder can be written");
    }
}

/// Returns a zone whose one delegation is of its serial.
fn zone(serial: u32) -> String {
    format!(
        "example. 60 SOA ns.example. h.example. {serial} 60 60 60 60\nexample. 60 NS ns.test.\nbad.example. 60 NS ns{serial}.test.\n"
    )
}

/// Starts a primary of the zone. No key: what is signed by a clock that is off is refused.
fn primary(bench: &Bench) -> Knot {
    let extras = Extras {
        open: true,
        ..Extras::default()
    };
    let zones = [("example.", &*zone(1))];
    Knot::start_with(&bench.path().join("knot"), &zones, &extras)
}

/// Starts the service with that clock and a source that is looked at as `schedule` says.
fn start(bench: &Bench, clock: &SetByFile, primary: &Primary, schedule: &str) -> Running {
    let source = crate::support::sources::source("example.", &[primary.address()], false);
    let text = format!(
        "timezone = \"Europe/Berlin\"\n[store]\n{2}{source}{schedule}[smtp]\nurl = \"maildir://{0}/mail\"\n[metrics]\ntextfile = \"{0}/metrics.prom\"\n{1}",
        bench.path().display(),
        crate::harness::REPORT,
        store_lines(bench.path())
    );
    fs::write(bench.config(), text).expect("the folder can be written");
    let running = Running::start_with(bench, &["-vv", "run"], faked(&clock.0));
    until("the first look", || looks(&running) > 0);
    running
}

/// Returns how often the zone was looked at.
fn looks(running: &Running) -> usize {
    running.log().matches("zone example.: ").count()
}

/// Returns how often the log says that the clock was set, and those lines.
fn said(running: &Running) -> (usize, String) {
    let log = running.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("the machine's clock was put"))
        .collect();
    (lines.len(), lines.join("\n"))
}

/// Watches for a while, and returns the longest time without a look.
fn longest_pause(running: &Running) -> Duration {
    let began = Instant::now();
    let (mut last, mut known, mut longest) = (began, looks(running), Duration::ZERO);
    while began.elapsed() < WATCHED {
        let count = looks(running);
        if count != known {
            longest = longest.max(last.elapsed());
            (last, known) = (Instant::now(), count);
        }
        sleep(Duration::from_millis(20));
    }
    longest.max(last.elapsed())
}

#[test]
fn a_clock_that_is_set_by_days_loses_no_look_no_change_and_not_the_order_of_versions() {
    let bench = Bench::new("");
    let knot = primary(&bench);
    let clock = SetByFile::new(&bench);
    let running = start(&bench, &clock, &knot, "every = \"1s\"\n");
    let steps = [
        ("-1d", "was put back by 1d"),
        ("+3d", "was put forward by 4d"),
        ("+0", "was put back by 3d"),
    ];
    for (i, (offset, told)) in steps.into_iter().enumerate() {
        clock.put(offset);
        let pause = longest_pause(&running);
        assert!(pause < PAUSE_MAX, "{offset}: {pause:?}\n{}", running.log());
        let (count, lines) = said(&running);
        assert_eq!(count, i + 1, "{lines}");
        assert!(lines.contains(told), "{lines}");
        let serial = i as u32 + 2;
        knot.replace_zone("example.", &zone(serial));
        until("the change", || {
            bench.status("example.")["serial"] == serial
        });
    }
    running.stop();
    let history = bench.json(&["history", "bad.example", "--format", "json"]);
    let changes = history["changes"].as_array().expect("an array");
    let serials: Vec<u64> = changes
        .iter()
        .filter_map(|change| change["serial"].as_u64())
        .collect();
    assert_eq!(serials, [2, 3, 4], "{history}");
    let times: Vec<&str> = changes
        .iter()
        .filter_map(|change| change["at"].as_str())
        .collect();
    assert!(times.is_sorted(), "{times:?}");
    // What was seen three days ahead keeps that time, and so does what followed when the clock was right again.
    assert_eq!(times[1], times[2]);
    bench.run(0, &["db", "verify"]);
    let output = bench.command(&["status"]).output().expect("started");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("clock was put back by 3d"), "{told}");
    let metrics = fs::read_to_string(bench.path().join("metrics.prom")).expect("written");
    assert!(
        metrics.contains("\nfluxwatch_clock_steps_total "),
        "{metrics}"
    );
}

#[test]
fn the_end_of_summer_time_and_a_leap_second_pause_no_cron_line_and_are_no_step() {
    let bench = Bench::new("");
    let knot = primary(&bench);
    let clock = SetByFile::new(&bench);
    // Two seconds before 3 o'clock becomes 2 o'clock in Berlin.
    let change = Timestamp::parse_rfc3339("2027-10-31T00:59:58Z").expect("a time");
    let ahead = change.since(WallClock.now()).as_seconds();
    clock.put(&format!("{ahead:+}"));
    let running = start(&bench, &clock, &knot, "cron = \"* * * * * *\"\n");
    let pause = longest_pause(&running);
    assert!(pause < PAUSE_MAX, "{pause:?}\n{}", running.log());
    // The same second twice.
    clock.put(&format!("{:+}", ahead - 1));
    let pause = longest_pause(&running);
    assert!(pause < PAUSE_MAX, "{pause:?}\n{}", running.log());
    assert_eq!(said(&running), (0, String::new()));
    running.stop();
}

/// Returns a message to the desk.
fn message() -> NewMessage {
    NewMessage {
        case_id: None,
        kind: MailKind::Digest,
        revision: 0,
        recipient: "abuse-desk@registrar.example".to_owned(),
        sender: "fluxwatch@registrar.example".to_owned(),
        message_id: "<one@registrar.example>".to_owned(),
        subject: "one".to_owned(),
        octets: b"Subject: one\r\n\r\none\r\n".to_vec(),
    }
}

#[test]
fn a_message_that_waits_is_tried_when_it_would_have_been_without_the_step() {
    for offset in ["-1d", "+3d"] {
        let bench = Bench::new("");
        let knot = primary(&bench);
        let clock = SetByFile::new(&bench);
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        let store = Store::open(bench.store_url(), options).expect("made");
        let due = Instant::now() + Duration::from_secs(5);
        let at = Timestamp::from_unix(WallClock.now().unix() + 5);
        store.desk().queue_message(&message(), at).expect("queued");
        drop(store);
        let running = start(&bench, &clock, &knot, "every = \"1s\"\n");
        clock.put(offset);
        until("the step", || said(&running).0 == 1);
        let is_sent = || running.log().contains("sent:");
        assert!(
            !is_sent() || Instant::now() + Duration::from_secs(1) >= due,
            "{offset}: too early\n{}",
            running.log()
        );
        until("the message", is_sent);
        let late = due.elapsed();
        assert!(late < PAUSE_MAX, "{offset}: {late:?}\n{}", running.log());
        running.stop();
    }
}
