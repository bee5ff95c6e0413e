//! Drift: changes of a zone that its incremental transfers leave out are found by whole transfers, told, and
//! no ground for suspecting a domain; so are versions that did not arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fluxwatch::pipeline::metrics_page;
use fluxwatch::time::{SetClock, Span, Timestamp};
use serde_json::Value;

use crate::harness::{Bench, Running, at, poll};
use crate::servers::Yadifa;
use crate::servers::{
    self, Bind, Extras, Knot, Nsd, PowerDns, Primary, command_of, find_program, free_port, text_of,
    tsig_option,
};
use crate::support::scripted::{IXFR, ns, primary, rr, soa, zone_of};
use crate::support::sources::source;

/// When the tests with a clock of their own begin.
const START: &str = "2026-11-01T00:00:00Z";

/// How long the service may take to see something.
const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(20);

// ---- Scripted primaries ----

/// A primary whose step from serial 1 to 2 leaves out everything: its zone is another one from the second whole
/// transfer on. Counts whole transfers.
fn drifting(first: Vec<Vec<u8>>, after: Vec<Vec<u8>>) -> (SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (seen, counted) = (Arc::clone(&count), Arc::clone(&count));
    let address = crate::support::scripted::primary_with(
        move || 1 + seen.load(Ordering::SeqCst).min(1) as u32,
        move |asked, _| match asked.rtype {
            IXFR => asked.send(&[soa(2), soa(1), soa(2), soa(2)]),
            _ => match counted.fetch_add(1, Ordering::SeqCst) {
                0 => asked.send(&first),
                _ => asked.send(&after),
            },
        },
    );
    (address, count)
}

/// [`drifting`] from the zone that most tests begin with.
fn drifting_to(after: Vec<Vec<u8>>) -> (SocketAddr, Arc<AtomicUsize>) {
    drifting(zone_of(1, "ns1.old.test"), after)
}

/// Returns the changes of a name.
fn changes(bench: &Bench, name: &str) -> Vec<Value> {
    let history = bench.json(&["history", name, "--format", "json"]);
    history["changes"].as_array().expect("a list").clone()
}

#[test]
fn difference_from_where_steps_led_is_drift_that_accuses_nobody() {
    let (address, wholes) = drifting_to(zone_of(2, "ns1.new.test"));
    let bench = Bench::new(&source("example.", &[address], false));
    let clock = Arc::new(SetClock::new(at(START)));
    // As often as a timer starts `poll`: what is due is kept in the database.
    let poll_after = |span: Span| {
        clock.set(at(START) + span);
        poll(&bench.pipeline(clock.clone()))
    };
    poll_after(Span::seconds(0));
    poll_after(Span::hours(23));
    assert_eq!(wholes.load(Ordering::SeqCst), 1, "nothing is due yet");
    poll_after(Span::hours(31));
    assert_eq!(wholes.load(Ordering::SeqCst), 2, "a day and its jitter");
    poll_after(Span::hours(32));
    assert_eq!(wholes.load(Ordering::SeqCst), 2, "it was done");

    let row = bench.status("example.");
    assert_eq!(row["drifts"], 1, "{row}");
    assert_eq!(row["drift_names"], 1, "{row}");
    assert_eq!(row["drift_primary"], address.to_string(), "{row}");
    let table = bench.run(0, &["status"]);
    assert!(table.replace('\n', " ").contains("drift"), "{table}");
    let change = &changes(&bench, "d0.example")[0];
    assert_eq!(change["drift"], true, "{change}");
    assert!(
        bench
            .run(0, &["history", "d0.example"])
            .contains("(drift: ")
    );
    // So does a lookup of what it came to, and of what it left.
    for (host, key) in [
        ("ns1.new.test", "added_by_drift"),
        ("ns1.old.test", "removed_by_drift"),
    ] {
        let table = bench.run(0, &["history", "--ns", host]);
        assert!(table.contains("(drift)"), "{table}");
        let lines = bench.run(0, &["history", "--ns", host, "--format", "ndjson"]);
        assert!(lines.contains(&format!("\"{key}\":true")), "{lines}");
    }
    assert_eq!(bench.cases(), Vec::<Value>::new());
    let pipeline = bench.pipeline(clock.clone());
    let page = metrics_page(pipeline.store(), None, clock_now(&clock), 10).expect("readable");
    assert!(
        page.contains("fluxwatch_source_drifts_total{source=\"example.\"} 1"),
        "{page}"
    );
    let last = format!(
        "fluxwatch_zone_drift_last_timestamp_seconds{{zone=\"example.\",source=\"example.\",primary=\"{address}\"}}"
    );
    assert!(page.contains(&last), "{page}");
    bench.run(0, &["db", "verify"]);
}

/// Returns what a clock shows.
fn clock_now(clock: &SetClock) -> Timestamp {
    fluxwatch::time::Clock::now(clock)
}

#[test]
fn rotation_under_a_serial_that_stands_opens_a_case_where_no_steps_were_taken() {
    // The same rotation, once in whole transfers under serials that move, once under one that stands.
    let count = |moves: bool| {
        let turn = Arc::new(AtomicUsize::new(0));
        let serial_of = |turn: usize| if moves { turn as u32 + 1 } else { 1 };
        let bench = Bench::new("");
        let clock = Arc::new(SetClock::new(at(START)));
        for n in 0..8 {
            turn.store(n, Ordering::SeqCst);
            let zone = zone_of(serial_of(n), &format!("ns{n}.rotating{n}.test"));
            let address = primary(serial_of(n), move |asked| asked.send(&zone));
            let every = "ixfr = false\nfull_every = \"1h\"\n";
            bench.configure(&format!("{}{every}", source("example.", &[address], false)));
            clock.set(at(START) + Span::hours(2 * n as i64));
            poll(&bench.pipeline(clock.clone()));
        }
        let all = changes(&bench, "d0.example");
        assert_eq!(all.len(), 7);
        assert!(all.iter().all(|it| it["drift"].is_null()), "{all:?}");
        assert_eq!(bench.status("example.")["drifts"], 0);
        bench.cases().len()
    };
    assert_eq!(count(true), 1, "a rotation that anybody would suspect");
    assert_eq!(count(false), 1, "the same: nothing was lost on its way");
}

#[test]
fn new_ttl_that_no_step_told_of_is_drift_of_the_state() {
    let mut after = zone_of(2, "ns1.old.test");
    let ttl = after[2].len() - 2 - crate::support::scripted::name("ns1.old.test").len() - 4;
    after[2][ttl..ttl + 4].copy_from_slice(&77_u32.to_be_bytes());
    let (address, _) = drifting_to(after);
    let bench = Bench::new(&source("example.", &[address], false));
    bench.run(0, &["poll"]);
    let told = bench.run(0, &["poll", "--full"]);
    assert!(told.contains("drift: 1 name differed"), "{told}");
    assert_eq!(bench.status("example.")["drift_names"], 1);
    assert_eq!(changes(&bench, "d0.example"), Vec::<Value>::new());
    let records = bench.json(&["history", "d0.example", "--format", "json"]);
    assert_eq!(records["records"][0]["ttl"], 77, "{records}");
}

#[test]
fn steps_that_leave_two_cnames_are_compared_at_once() {
    let with_cname = |serial: u32, target: &str| {
        let mut zone = zone_of(serial, "ns1.old.test");
        zone.insert(
            2,
            rr("c0.example", 5, &crate::support::scripted::name(target)),
        );
        zone
    };
    let first = with_cname(1, "a.test");
    let bench = Bench::new("");
    let address = primary(1, move |asked| asked.send(&first));
    bench.configure(&source("example.", &[address], false));
    bench.run(0, &["poll"]);
    // As YADIFA 2.6.4 tells of a replaced CNAME.
    let second = with_cname(2, "b.test");
    let wholes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&wholes);
    let address = primary(2, move |asked| match asked.rtype {
        IXFR => {
            let added = rr("c0.example", 5, &crate::support::scripted::name("b.test"));
            asked.send(&[soa(2), soa(1), soa(2), added, soa(2)]);
        }
        _ => {
            counted.fetch_add(1, Ordering::SeqCst);
            asked.send(&second);
        }
    });
    bench.configure(&source("example.", &[address], false));
    let told = bench.run(0, &["poll"]);
    assert!(told.contains("drift: 1 name differed"), "{told}");
    let all = changes(&bench, "c0.example");
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(
        all[0]["added"][0], "b.test.",
        "what the step told is a change"
    );
    assert_eq!(
        (&all[0]["drift"], &all[1]["drift"]),
        (&Value::Null, &Value::Bool(true))
    );
    assert_eq!(all[1]["removed"][0], "a.test.");
    bench.run(0, &["poll"]);
    assert_eq!(wholes.load(Ordering::SeqCst), 1, "once is enough");
}

#[test]
fn comparison_that_two_cnames_call_for_is_not_forgotten_when_it_fails() {
    let with_cname = |serial: u32, target: &str| {
        let mut zone = zone_of(serial, "ns1.old.test");
        zone.insert(
            2,
            rr("c0.example", 5, &crate::support::scripted::name(target)),
        );
        zone
    };
    let (wholes, fails) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, counted, refused) = (Arc::clone(&wholes), Arc::clone(&wholes), Arc::clone(&fails));
    let address = crate::support::scripted::primary_with(
        move || 1 + seen.load(Ordering::SeqCst).min(1) as u32,
        move |asked, _| match asked.rtype {
            IXFR => {
                let added = rr("c0.example", 5, &crate::support::scripted::name("b.test"));
                asked.send(&[soa(2), soa(1), soa(2), added, soa(2)]);
            }
            _ => match counted.fetch_add(1, Ordering::SeqCst) {
                0 => asked.send(&with_cname(1, "a.test")),
                _ if refused.load(Ordering::SeqCst) == 0 => {
                    let message = asked.message(5, &[]);
                    asked.send_raw(&message);
                }
                _ => asked.send(&with_cname(2, "b.test")),
            },
        },
    );
    // Not by the schedule.
    let off = "full_every = \"off\"\n";
    let bench = Bench::new(&format!("{}{off}", source("example.", &[address], false)));
    let clock = Arc::new(SetClock::new(at(START)));
    let wholes_after = |minutes: i64| {
        clock.set(at(START) + Span::seconds(60 * minutes));
        poll(&bench.pipeline(clock.clone()));
        wholes.load(Ordering::SeqCst)
    };
    assert_eq!(wholes_after(0), 1);
    assert_eq!(wholes_after(60), 2);
    let row = bench.status("example.");
    assert_eq!(
        (&row["serial"], &row["refused_reason"]),
        (&2.into(), &"rcode".into())
    );
    fails.store(1, Ordering::SeqCst);
    assert_eq!(wholes_after(90), 2, "not with each poll");
    assert_eq!(wholes_after(120), 3);
    assert_eq!(bench.status("example.")["drifts"], 1);
    let all = changes(&bench, "c0.example");
    assert_eq!(all[1]["removed"][0], "a.test.", "{all:?}");
    assert_eq!(wholes_after(240), 3, "once is enough");
}

/// Polls a primary that goes from serial 2 to 3 while its zone is to be compared, and whose steps say nothing
/// of `d1`. Returns the bench and what the poll said.
fn overtaken(has_steps_to_3: bool) -> (Bench, String) {
    let first = primary(1, |asked| asked.send(&zone_of(1, "ns1.old.test")));
    let second = primary(2, move |asked| match (asked.rtype, asked.since) {
        (IXFR, 1) => {
            let (gone, new) = (ns("d0", "ns1.old.test"), ns("d0", "ns2.test"));
            asked.send(&[soa(2), soa(1), gone, soa(2), new, soa(2)]);
        }
        (IXFR, _) if has_steps_to_3 => {
            let (gone, new) = (ns("d0", "ns2.test"), ns("d0", "ns3.test"));
            asked.send(&[soa(3), soa(2), gone, soa(3), new, soa(3)]);
        }
        _ => {
            let mut zone = zone_of(3, "ns3.test");
            zone[3] = ns("d1", "ns1.untold.test");
            asked.send(&zone);
        }
    });
    let bench = Bench::new("");
    bench.configure(&source("example.", &[first], false));
    bench.run(0, &["poll"]);
    bench.configure(&source("example.", &[second], false));
    let told = bench.run(0, &["poll", "--full"]);
    (bench, told)
}

#[test]
fn zone_that_moves_before_it_is_compared_is_followed_by_steps_first() {
    let (bench, told) = overtaken(true);
    assert!(told.contains("drift: 1 name"), "{told}");
    let row = bench.status("example.");
    assert_eq!(
        (&row["serial"], &row["drift_names"]),
        (&3.into(), &1.into())
    );
    let marks = |name: &str| -> Vec<(Value, bool)> {
        let all = changes(&bench, name);
        let mark = |it: &Value| (it["serial"].clone(), it["drift"] == true);
        all.iter().map(mark).collect()
    };
    assert_eq!(marks("d0.example"), [(2.into(), false), (3.into(), false)]);
    assert_eq!(marks("d1.example"), [(3.into(), true)]);
}

#[test]
fn zone_that_moves_before_it_is_compared_and_has_no_steps_is_compared_later() {
    let (bench, _) = overtaken(false);
    let row = bench.status("example.");
    assert_eq!((&row["serial"], &row["drifts"]), (&2.into(), &0.into()));
    assert_eq!(row["refused_reason"], Value::Null);
    assert_eq!(changes(&bench, "d0.example").len(), 1, "the step is stored");
    assert_eq!(changes(&bench, "d1.example"), Vec::<Value>::new());
}

/// Follows a primary that rotates a name server, up to serial 10, and whose steps to the serials of
/// `that_fit` alone fit. Returns which of the changes are drift.
fn drifts_where_steps_fit(that_fit: &'static [u32]) -> Vec<bool> {
    let serial = Arc::new(AtomicUsize::new(1));
    let seen = Arc::clone(&serial);
    let address = crate::support::scripted::primary_with(
        move || seen.load(Ordering::SeqCst) as u32,
        |asked, serial| match asked.rtype {
            IXFR => {
                let host = |serial: u32| ns("d0", &format!("ns{serial}.test"));
                let gone = match that_fit.contains(&serial) {
                    true => host(serial - 1),
                    false => ns("d0", "ns1.nobody.test"),
                };
                let (new, old) = (soa(serial), soa(serial - 1));
                asked.send(&[new.clone(), old, gone, new.clone(), host(serial), new]);
            }
            _ => asked.send(&zone_of(serial, &format!("ns{serial}.test"))),
        },
    );
    let bench = Bench::new(&source("example.", &[address], false));
    let clock = Arc::new(SetClock::new(at(START)));
    for next in 1..=10 {
        serial.store(next, Ordering::SeqCst);
        clock.set(at(START) + Span::hours(next as i64));
        poll(&bench.pipeline(clock.clone()));
    }
    let all = changes(&bench, "d0.example");
    let is_drift = |change: &Value| change["drift"] == true;
    all.iter().map(is_drift).collect()
}

#[test]
fn steps_that_do_not_fit_a_zone_that_came_whole_are_wrong_and_its_changes_count() {
    assert_eq!(drifts_where_steps_fit(&[]), [false; 9]);
}

#[test]
fn change_whose_steps_do_not_fit_a_state_of_steps_is_drift_and_the_next_counts() {
    let drifts = drifts_where_steps_fit(&[2, 4, 5]);
    assert_eq!(&drifts[..6], [false, true, false, false, true, false]);
    assert_eq!(&drifts[6..], [false; 3]);
}

#[test]
fn zone_that_drifted_three_times_is_read_whole_and_its_changes_count_again() {
    // Each step that fits is followed by one that does not.
    let drifts = drifts_where_steps_fit(&[2, 4, 6, 8, 10]);
    assert_eq!(&drifts[..6], [false, true, false, true, false, true]);
    assert_eq!(&drifts[6..], [false; 3], "whole from here on");
}

#[test]
fn drift_that_cuts_the_zone_is_held() {
    let many = |serial: u32, count: u32| {
        let mut zone = vec![
            soa(serial),
            rr(
                "example",
                2,
                &crate::support::scripted::name("ns1.infra.test"),
            ),
        ];
        zone.extend((0..count).map(|n| ns(&format!("d{n}"), "ns1.infra.test")));
        zone.push(soa(serial));
        zone
    };
    let (address, _) = drifting(many(1, 400), many(2, 20));
    let bench = Bench::new(&source("example.", &[address], false));
    let clock = Arc::new(SetClock::new(at(START)));
    poll(&bench.pipeline(clock.clone()));
    for hours in [31, 32] {
        clock.set(at(START) + Span::hours(hours));
        poll(&bench.pipeline(clock.clone()));
        let row = bench.status("example.");
        assert_eq!(
            (&row["held"], &row["records"]),
            (&Value::Bool(true), &Value::from(401)),
            "{row}"
        );
    }
    bench.run(0, &["poll", "--accept", "example."]);
    let row = bench.status("example.");
    assert_eq!(
        (&row["held"], &row["records"], &row["drifts"]),
        (&Value::Bool(false), &Value::from(21), &Value::from(1)),
        "{row}"
    );
}

#[test]
fn failed_comparison_is_tried_again_within_the_hour_and_never_with_each_poll() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let address = primary(1, move |asked| {
        match counted.fetch_add(1, Ordering::SeqCst) {
            0 => asked.send(&zone_of(1, "ns1.old.test")),
            _ => {
                let refused = asked.message(5, &[]);
                asked.send_raw(&refused);
            }
        }
    });
    let bench = Bench::new(&source("example.", &[address], false));
    let clock = Arc::new(SetClock::new(at(START)));
    let tries_after = |span: Span| {
        clock.set(at(START) + span);
        poll(&bench.pipeline(clock.clone()));
        count.load(Ordering::SeqCst) - 1
    };
    tries_after(Span::seconds(0));
    let due = 31 * 3600;
    assert_eq!(tries_after(Span::seconds(due)), 1);
    assert_eq!(bench.status("example.")["refused_reason"], "rcode");
    assert_eq!(tries_after(Span::seconds(due + 1800)), 1);
    assert_eq!(bench.status("example.")["refused_reason"], Value::Null);
    assert_eq!(tries_after(Span::seconds(due + 3600)), 2);
}

#[test]
fn full_every_off_compares_nothing() {
    let (address, wholes) = drifting_to(zone_of(2, "ns1.new.test"));
    let off = format!(
        "{}full_every = \"off\"\n",
        source("example.", &[address], false)
    );
    let bench = Bench::new(&off);
    let clock = Arc::new(SetClock::new(at(START)));
    poll(&bench.pipeline(clock.clone()));
    clock.set(at(START) + Span::days(400));
    poll(&bench.pipeline(clock.clone()));
    assert_eq!(wholes.load(Ordering::SeqCst), 1);
    bench.configure(&off.replace("\"off\"", "\"sometimes\""));
    let fault = bench.run_stderr(2, &["config", "check"]);
    assert!(
        fault.contains("full_every") || fault.contains("sometimes"),
        "{fault}"
    );
}

// ---- Versions that did not arrive ----

#[test]
fn versions_that_did_not_arrive_are_counted_where_serials_count() {
    let missed = |from: u32, to: u32| {
        let bench = Bench::new("");
        for (serial, host) in [(from, "ns1.old.test"), (to, "ns1.new.test")] {
            let address = primary(serial, move |asked| asked.send(&zone_of(serial, host)));
            bench.configure(&source("example.", &[address], false));
            bench.run(0, &["poll"]);
        }
        let row = bench.status("example.");
        let change = changes(&bench, "d0.example")[0]["missed_versions_max"].clone();
        let told = bench.run(0, &["history", "d0.example"]);
        assert_eq!(
            told.contains("Not seen: of zone example."),
            !change.is_null()
        );
        (
            row["missed_versions_max"].as_u64(),
            row["missed_unknown"].as_u64(),
            change,
        )
    };
    assert_eq!(missed(1, 2), (Some(0), Some(0), Value::Null));
    assert_eq!(missed(1, 11), (Some(9), Some(0), Value::from(9)));
    // Once a day, and dates that jump by design.
    assert_eq!(
        missed(2_026_112_801, 2_026_112_901),
        (Some(0), Some(0), Value::Null)
    );
    assert_eq!(
        missed(2_026_112_803, 2_026_112_901),
        (Some(0), Some(1), Value::from(0))
    );
}

// ---- Servers that know no incremental transfers ----

#[test]
fn empty_answer_to_a_question_for_steps_means_the_whole_zone_at_once_and_is_remembered() {
    // As hickory-dns 0.26.3 (no answer) and dnsmasq 2.89 (its SOA alone) do.
    for lone_soa in [false, true] {
        let serial = Arc::new(AtomicUsize::new(1));
        let asked_for_steps = Arc::new(AtomicUsize::new(0));
        let (seen, counted) = (Arc::clone(&serial), Arc::clone(&asked_for_steps));
        // The script answers every query, signed or not, with the zone of the time.
        let address = crate::support::scripted::primary_with(
            move || seen.load(Ordering::SeqCst) as u32,
            move |asked, serial| match asked.rtype {
                IXFR => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let answers = if lone_soa {
                        vec![soa(serial)]
                    } else {
                        Vec::new()
                    };
                    asked.send(&answers);
                }
                _ => asked.send(&zone_of(serial, &format!("ns{serial}.test"))),
            },
        );
        let bench = Bench::new(&source("example.", &[address], false));
        let clock = Arc::new(SetClock::new(at(START)));
        let pipeline = bench.pipeline(clock.clone());
        let started = std::time::Instant::now();
        for next in [1, 2, 3] {
            serial.store(next, Ordering::SeqCst);
            clock.set(at(START) + Span::seconds(60 * next as i64));
            poll(&pipeline);
            assert_eq!(bench.status("example.")["serial"], next, "{lone_soa}");
        }
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
        assert_eq!(asked_for_steps.load(Ordering::SeqCst), 1, "{lone_soa}");
        // Perhaps it has learned it since.
        serial.store(4, Ordering::SeqCst);
        clock.set(at(START) + Span::days(2));
        poll(&pipeline);
        assert_eq!(asked_for_steps.load(Ordering::SeqCst), 2, "{lone_soa}");
    }
}

#[test]
fn dnsmasq_is_transferred_whole_without_a_wait() {
    let bench = Bench::new("");
    let port = free_port();
    let text = include_str!("../fixtures/faults/dnsmasq.conf").replace("15321", &port.to_string());
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    bench.configure(&source("example.", &[address], false));
    for serial in ["2026112801", "2026112802"] {
        let path = bench.write("dnsmasq.conf", text.replace("2026112801", serial));
        let mut command = std::process::Command::new(find_program("dnsmasq"));
        command
            .arg("-k")
            .arg("-C")
            .arg(&path)
            .arg("--pid-file=")
            .arg("--user=root");
        let running = servers::Running::spawn(command, &bench.path().join("dnsmasq.log"));
        let serves = || {
            if axfr(address, "example.", false).is_empty() {
                Err("no answer".to_owned())
            } else {
                Ok(())
            }
        };
        servers::poll(WAIT_MAX, &|| false, serves).expect("dnsmasq answers");
        let started = std::time::Instant::now();
        bench.run(0, &["poll"]);
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
        running.end();
    }
    assert_eq!(bench.status("example.")["serial"], 2_026_112_802_u32);
}

// ---- A primary that is away ----

#[test]
fn dead_primary_of_many_zones_is_logged_once_and_its_return_too() {
    const ZONES: usize = 20;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let zones: Vec<(String, String)> = (0..ZONES)
        .map(|n| (format!("z{n}.example."), format!("$ORIGIN z{n}.example.\n$TTL 60\n@ IN SOA ns1.infra.test. host.infra.test. 1 3600 600 86400 300\n@ IN NS ns1.infra.test.\n")))
        .collect();
    let zones: Vec<(&str, &str)> = zones
        .iter()
        .map(|(apex, text)| (apex.as_str(), text.as_str()))
        .collect();
    let extras = Extras {
        catalog: Some("catalog.example.".to_owned()),
        ..Extras::default()
    };
    let knot = Knot::start_with(folder.path(), &zones, &extras);
    let bench = Bench::new("");
    // Two more sources of the same primary.
    let plain = |zone: &str| format!("{}every = \"1s\"\n", source(zone, &[knot.address()], true));
    bench.configure(&format!(
        "{}{}[[source]]\nname = \"cat\"\nkind = \"catalog\"\nzone = \"catalog.example.\"\nprimaries = [\"{}\"]\nkey = \"transfer.test.\"\nevery = \"1s\"\n",
        bench.key_section(),
        plain("z0.example."),
        knot.address()
    ));
    let running = Running::start(&bench, &["run"]);
    let until = |what: &str, holds: &dyn Fn(&str) -> bool| {
        let look = || {
            if holds(&running.log()) {
                Ok(())
            } else {
                Err(what.to_owned())
            }
        };
        if servers::poll(WAIT_MAX, &|| false, look).is_err() {
            panic!("{what}\n{}", running.log());
        }
    };
    until("the database is made", &|log| log.contains("watching"));
    // The zone of the plain source is not the catalog's to watch.
    until("all are there", &|_| {
        let rows = bench.json(&["status", "--format", "json"]);
        rows.as_array()
            .expect("a list")
            .iter()
            .filter(|row| row["records"] == 1)
            .count()
            == ZONES
    });
    let before = running.log().lines().count();
    knot.stop();
    until("it is said", &|log| {
        log.contains(&format!("{} zones are transferred from it", ZONES + 1))
    });
    // Several more passes over all zones.
    let attempts = || bench.json(&["status", "--format", "json"]);
    let start = attempts();
    until("looked at again", &|_| {
        let later = attempts();
        start
            .as_array()
            .expect("a list")
            .iter()
            .zip(later.as_array().expect("a list"))
            .all(|(one, other)| one["last_attempt_at"] != other["last_attempt_at"])
    });
    let away: Vec<String> = running
        .log()
        .lines()
        .skip(before)
        .map(str::to_owned)
        .collect();
    assert!(
        away.iter()
            .filter(|line| line.contains("ERROR") || line.contains("WARN"))
            .count()
            <= 2,
        "{away:#?}"
    );
    knot.restart();
    until("it is back", &|log| log.contains("answers again after"));
    running.stop();
}

// ---- Real servers under random updates ----

/// A zone that random updates change.
struct Model {
    serial: u32,
    rrsets: BTreeMap<(String, &'static str), (u32, BTreeSet<String>)>,
    random: u64,
}

impl Model {
    /// Returns a zone of some delegations, glue and aliases.
    fn new(seed: u64) -> Self {
        let mut model = Self {
            serial: 1,
            rrsets: BTreeMap::new(),
            random: seed.wrapping_mul(2) + 1,
        };
        for n in 0..12 {
            let owner = format!("d{n}");
            let set = [format!("ns1.d{n}.example."), "ns9.infra.test.".to_owned()];
            model.rrsets.insert((owner, "NS"), (3600, set.into()));
            let glue = [format!("192.0.2.{n}")];
            model
                .rrsets
                .insert((format!("ns1.d{n}"), "A"), (3600, glue.into()));
            let alias = [format!("a{n}.example.")];
            model
                .rrsets
                .insert((format!("c{n}"), "CNAME"), (3600, alias.into()));
        }
        model
    }

    /// Returns a number below `below`.
    fn pick(&mut self, below: u64) -> u64 {
        // xorshift64.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) % below
    }

    /// Makes one random update. Returns it as nsupdate(1) takes it.
    fn update(&mut self) -> String {
        self.serial += 1;
        let (n, other) = (self.pick(12), self.pick(200));
        let ttl = 60 + self.pick(5) as u32 * 60;
        let (owner, rtype, data) = match self.pick(6) {
            0 => (format!("c{n}"), "CNAME", format!("b{other}.example.")),
            1 => (format!("ns1.d{n}"), "A", format!("198.51.100.{other}")),
            2 => (format!("ns1.d{n}"), "AAAA", format!("2001:db8::{other:x}")),
            3 => (
                format!("D{n}"),
                "NS",
                format!("NS{}.Infra.test.", other % 7),
            ),
            4 => (
                format!("d{n}"),
                "NS",
                format!("ns{}.infra.test.", other % 7),
            ),
            _ => (format!("new{other}"), "NS", "ns1.infra.test.".to_owned()),
        };
        let key = (owner.to_lowercase(), rtype);
        let known = self.rrsets.get(&key).cloned().unwrap_or_default();
        let old = known.1.iter().next().cloned();
        match (self.pick(4), old) {
            // A new TTL of what is there.
            (0, Some(old)) => {
                self.rrsets.get_mut(&key).expect("it was there").0 = ttl;
                format!("add {owner}.example. {ttl} {rtype} {old}")
            }
            // One record goes.
            (1, Some(old)) if known.1.len() > 1 => {
                self.rrsets
                    .get_mut(&key)
                    .expect("it was there")
                    .1
                    .remove(&old);
                format!("delete {owner}.example. 0 {rtype} {old}")
            }
            _ => {
                let entry = self.rrsets.entry(key).or_default();
                if rtype == "CNAME" {
                    entry.1.clear();
                }
                entry.0 = ttl;
                if !entry
                    .1
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(&data))
                {
                    entry.1.insert(data.clone());
                }
                format!("add {owner}.example. {ttl} {rtype} {data}")
            }
        }
    }

    /// Returns the zone file.
    fn text(&self) -> String {
        let mut text = format!(
            "$ORIGIN example.\n$TTL 3600\n@ IN SOA ns1.infra.test. host.infra.test. {} 3600 600 86400 300\n@ IN NS ns1.infra.test.\n",
            self.serial
        );
        for ((owner, rtype), (ttl, set)) in &self.rrsets {
            for data in set {
                // The same name in another case, now and then.
                let owner = match self.serial % 3 {
                    0 => owner.to_uppercase(),
                    _ => owner.clone(),
                };
                text.push_str(&format!("{owner} {ttl} IN {rtype} {data}\n"));
            }
        }
        text
    }
}

/// Returns the records of the kept types that a primary transfers: owner, TTL, type, data.
fn axfr(address: SocketAddr, apex: &str, keyed: bool) -> BTreeSet<String> {
    let mut command = command_of("dig");
    let options = format!(
        "-r @{} -p {} +tcp +noall +answer +onesoa +time=5 +tries=1",
        address.ip(),
        address.port()
    );
    command.args(options.split(' '));
    if keyed {
        command.args(["-y", &tsig_option()]);
    }
    let output = command.args(["-q", apex, "-t", "AXFR"]).output();
    let text = text_of(&output.expect("dig can be started")).to_lowercase();
    let records = text.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [
            owner,
            ttl,
            "in",
            rtype @ ("a" | "aaaa" | "ns" | "cname" | "ds"),
            data @ ..,
        ] = words.as_slice()
        else {
            return None;
        };
        Some(format!("{owner} {ttl} {rtype} {}", data.join(" ")))
    });
    records.collect()
}

/// Returns the records that history holds of `example.` now, in the same form.
fn held(bench: &Bench) -> BTreeSet<String> {
    let mut records = BTreeSet::new();
    for name in ["example", "*.example"] {
        let text = bench.run(0, &["history", name, "--format", "ndjson"]);
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).expect("JSON");
            if row.get("rdata").is_some() && row["removed_at"].is_null() {
                let word = |key: &str| row[key].as_str().expect("text").to_lowercase();
                records.insert(format!(
                    "{} {} {} {}",
                    word("rrname"),
                    row["ttl"],
                    word("rrtype"),
                    word("rdata")
                ));
            }
        }
    }
    records
}

/// Changes a zone by random updates, polls after each few, and expects that history ends at the primary's own
/// zone. Returns the zone's row of `status`.
fn follow(address: SocketAddr, model: &mut Model, change: &mut dyn FnMut(&Model, &str)) -> Value {
    let updates = std::env::var("FLUXWATCH_UPDATES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(12);
    let bench = Bench::new("");
    let with = |every: &str| {
        format!(
            "{}{}full_every = \"{every}\"\n",
            bench.key_section(),
            source("example.", &[address], true)
        )
    };
    bench.configure(&with("off"));
    bench.run(0, &["poll"]);
    for n in 1..=updates {
        let update = model.update();
        change(model, &update);
        if n % 3 == 0 || n == updates {
            bench.run(0, &["poll"]);
        }
    }
    let is_own = held(&bench) == axfr(address, "example.", true);
    let drifts = bench.status("example.")["drifts"].clone();
    // What is due by the schedule puts the rest right.
    bench.configure(&with("1s"));
    let due = || {
        bench.run(0, &["poll"]);
        if held(&bench) == axfr(address, "example.", true) {
            Ok(())
        } else {
            Err("not yet".to_owned())
        }
    };
    servers::poll(WAIT_MAX, &|| false, due).expect("history ends at the primary's own zone");
    let row = bench.status("example.");
    assert!(
        is_own || row["drifts"].as_u64() > drifts.as_u64(),
        "drift is told: {row}"
    );
    bench.run(0, &["db", "verify"]);
    assert_eq!(
        bench
            .cases()
            .iter()
            .filter(|case| case["level"] == "report")
            .count(),
        0
    );
    row
}

/// [`follow`] of a primary that reads zone files.
fn follow_files(primary: &Primary, seed: u64) -> Value {
    let mut model = Model::new(seed);
    primary.replace_zone("example.", &model.text());
    follow(primary.address(), &mut model, &mut |model, _| {
        primary.replace_zone("example.", &model.text());
    })
}

/// A zone to start a server with.
fn first_zone() -> String {
    crate::support::sources::zone(1, 3)
}

#[test]
fn state_is_that_of_knot_after_random_updates() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let knot = Knot::start(folder.path(), &[("example.", &first_zone())]);
    let row = follow_files(&knot, 11);
    assert_eq!(
        (&row["drifts"], &row["missed_versions_max"]),
        (&Value::from(0), &Value::from(0)),
        "{row}"
    );
}

#[test]
fn state_is_that_of_bind_after_random_updates() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bind = Bind::start(folder.path(), &[("example.", &first_zone())]);
    let row = follow_files(&bind, 12);
    assert_eq!(
        (&row["drifts"], &row["missed_versions_max"]),
        (&Value::from(0), &Value::from(0)),
        "{row}"
    );
}

#[test]
fn state_is_that_of_nsd_after_random_updates() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nsd = Nsd::start(folder.path(), &[("example.", &first_zone())]);
    let row = follow_files(&nsd, 13);
    assert_eq!(row["drifts"], 0, "{row}");
}

#[test]
fn edit_of_nsd_under_the_same_serial_is_found_by_the_next_comparison() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let nsd = Nsd::start(folder.path(), &[("example.", &first_zone())]);
    let mut model = Model::new(14);
    nsd.replace_zone("example.", &model.text());
    let (mut count, mut edits) = (0, String::new());
    let row = follow(nsd.address(), &mut model, &mut |model, _| {
        count += 1;
        // Right after a poll, what it took is edited under its serial, and nobody is given the edit.
        if count % 3 == 1 {
            edits += &format!("edited{count} IN NS ns1.infra.test.\n");
            let (serial, text) = (model.serial, model.text());
            let before = format!(" {} 3600 ", serial - 1);
            let text = text.replacen(&format!(" {serial} 3600 "), &before, 1);
            nsd.edit_zone("example.", &format!("{text}{edits}"));
            let owner = format!("edited{count}.");
            let served = || {
                let records = axfr(nsd.address(), "example.", true);
                if records.iter().any(|rr| rr.starts_with(&owner)) {
                    Ok(())
                } else {
                    Err("not yet".to_owned())
                }
            };
            servers::poll(WAIT_MAX, &|| false, served).expect("NSD takes the edit");
        }
        nsd.replace_zone("example.", &format!("{}{edits}", model.text()));
    });
    assert!(row["drifts"].as_u64() > Some(0), "{row}");
    assert_eq!(row["drift_primary"], nsd.address().to_string());
}

#[test]
fn state_is_that_of_powerdns_after_random_updates_and_what_it_left_out_is_counted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut model = Model::new(15);
    let server = PowerDns::start(folder.path(), "example.", &model.text());
    let row = follow(server.address(), &mut model, &mut |model, _| {
        server.replace_zone("example.", &model.text());
    });
    assert_eq!(row["drifts"], 0, "{row}");
    assert!(row["missed_versions_max"].as_u64() >= Some(8), "{row}");
}

#[test]
fn drift_of_yadifa_after_random_updates_is_told_and_put_right() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut model = Model::new(16);
    let server = Yadifa::start(folder.path(), "example.", &model.text());
    let row = follow(server.address(), &mut model, &mut |_, update| {
        server.update(update)
    });
    assert!(row["drifts"].as_u64() > Some(0), "{row}");
    assert_eq!(row["drift_primary"], server.address().to_string());
}

/// Members of a catalog are compared too, though their serials are asked for all at once.
#[test]
fn drift_of_a_catalogs_member_is_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let catalog = "$ORIGIN cat.test.\n@ 0 IN SOA invalid. invalid. 1 3600 600 86400 0\n@ 0 IN NS invalid.\nversion 0 IN TXT \"2\"\nm1.zones 0 IN PTR example.\n";
    let zone = first_zone();
    let zones = [("cat.test.", catalog), ("example.", zone.as_str())];
    let knot = Knot::start(folder.path(), &zones);
    let bench = Bench::new("");
    bench.configure(&format!(
        "{}[[source]]\nname = \"cat\"\nkind = \"catalog\"\nzone = \"cat.test.\"\nprimaries = [\"{}\"]\nkey = \"transfer.test.\"\n",
        bench.key_section(),
        knot.address()
    ));
    let clock = Arc::new(SetClock::new(at(START)));
    poll(&bench.pipeline(clock.clone()));
    // A step, and other contents under its serial.
    let zone = crate::support::sources::zone(2, 3);
    knot.replace_zone("example.", &zone);
    clock.set(at(START) + Span::seconds(1800));
    poll(&bench.pipeline(clock.clone()));
    assert_eq!(bench.status("example.")["serial"], 2);
    let other = zone.replace("d1 IN NS ns2.infra.test.", "d1 IN NS ns8.infra.test.");
    assert_ne!(zone, other);
    knot.replace_zone("example.", &other);
    for (hours, drifts) in [(1, 0), (31, 1), (32, 1)] {
        clock.set(at(START) + Span::hours(hours));
        poll(&bench.pipeline(clock.clone()));
        let row = bench.status("example.");
        assert_eq!(row["drifts"], drifts, "{row}");
    }
}
