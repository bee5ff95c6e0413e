//! A primary that does what a script says: Knot's list of transfer scenarios, and hostile ones.
//!
//! Each scenario is a function of one query. After each, history must be right or exactly as it was, the
//! reason must have its name in `status`, and the poll must end in time and with bounded memory.

use crate::harness::Bench;
use crate::servers::{TSIG_NAME, TSIG_SECRET};
use crate::support::scripted::{Asked, IXFR, SOA, name, ns, primary, rr, soa, zone_of};
use crate::support::sources::source;
use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, StreamTarget};
use domain::rdata::tsig::Time48;
use domain::tsig::{Algorithm, Key, ServerSequence};
use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub const AXFR: u16 = 252;

/// Named limits that a hostile primary meets soon.
const LIMITS: &str = "[limits]\nidle = \"2s\"\ntransfer = \"6s\"\noctets = 3000000\n";

/// A bench whose history holds serial 1 of the scripted zone.
fn bench_at_one() -> Bench {
    let bench = Bench::new("");
    let first = primary(1, |asked| asked.send(&zone_of(1, "ns1.old.test")));
    bench.configure(&source("example.", &[first], false));
    bench.run(0, &["poll"]);
    bench
}

/// Returns the history of `d0.example` as `serial:+added-removed` words.
fn changes(bench: &Bench) -> Vec<String> {
    let history = bench.json(&["history", "d0.example", "--format", "json"]);
    let text = |value: &serde_json::Value| {
        value
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| it.as_str().expect("text").to_owned())
            .collect::<Vec<_>>()
            .join(",")
    };
    history["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| {
            format!(
                "{}:+{}-{}",
                change["serial"],
                text(&change["added"]),
                text(&change["removed"])
            )
        })
        .collect()
}

/// Polls a primary that is at `serial` and expects these changes of `d0`.
fn expect_changes(
    what: &str,
    serial: u32,
    wanted: &[&str],
    script: impl Fn(&mut Asked) + Send + Sync + 'static,
) {
    let bench = bench_at_one();
    let address = primary(serial, script);
    bench.configure(&format!(
        "{}{LIMITS}",
        source("example.", &[address], false)
    ));
    bench.run(0, &["poll"]);
    assert_eq!(changes(&bench), wanted, "{what}");
    assert_eq!(
        bench.status("example.")["serial"].as_u64(),
        Some(u64::from(serial)),
        "{what}"
    );
    // And the state is that of the whole zone: a full transfer finds nothing to change.
    let whole = primary(serial, move |asked| {
        asked.send(&zone_of(serial, "ns1.new.test"))
    });
    bench.configure(&source("example.", &[whole], false));
    assert!(
        bench.run(0, &["poll", "--full"]).contains("no change"),
        "{what}"
    );
}

/// Answers IXFR with `answers` and AXFR with the zone at `serial`.
fn ixfr_or_zone(serial: u32, answers: Vec<Vec<u8>>) -> impl Fn(&mut Asked) + Send + Sync {
    move |asked| match asked.rtype {
        IXFR => asked.send(&answers),
        _ => asked.send(&zone_of(serial, "ns1.new.test")),
    }
}

const ONE_STEP: [&str; 1] = ["2:+ns1.new.test.-ns1.old.test."];

/// One step from 1 to 2.
fn one_step() -> Vec<Vec<u8>> {
    vec![
        soa(2),
        soa(1),
        ns("d0", "ns1.old.test"),
        soa(2),
        ns("d0", "ns1.new.test"),
        soa(2),
    ]
}

#[test]
fn every_step_of_an_incremental_transfer_is_a_version() {
    expect_changes("one step", 2, &ONE_STEP, |asked| {
        assert_eq!((asked.rtype, asked.since), (IXFR, 1));
        asked.send(&one_step());
    });
    // There and back again between two polls: A, B, A, then C.
    let steps = vec![
        soa(4),
        soa(1),
        ns("d0", "ns1.old.test"),
        soa(2),
        ns("d0", "ns1.mid.test"),
        soa(2),
        ns("d0", "ns1.mid.test"),
        soa(3),
        ns("d0", "ns1.old.test"),
        soa(3),
        ns("d0", "ns1.old.test"),
        soa(4),
        ns("d0", "ns1.new.test"),
        soa(4),
    ];
    let wanted = [
        "2:+ns1.mid.test.-ns1.old.test.",
        "3:+ns1.old.test.-ns1.mid.test.",
        "4:+ns1.new.test.-ns1.old.test.",
    ];
    expect_changes("steps", 4, &wanted, ixfr_or_zone(4, steps.clone()));
    // One record a message, an empty message between, and the opening SOA alone in the first.
    expect_changes("one record a message", 4, &wanted, move |asked| {
        for record in &steps {
            asked.send(std::slice::from_ref(record));
            asked.send(&[]);
        }
    });
    // A condensed answer (RFC 1995 §5): one step over several versions.
    expect_changes(
        "condensed",
        9,
        &["9:+ns1.new.test.-ns1.old.test."],
        ixfr_or_zone(
            9,
            vec![
                soa(9),
                soa(1),
                ns("d0", "ns1.old.test"),
                soa(9),
                ns("d0", "ns1.new.test"),
                soa(9),
            ],
        ),
    );
}

#[test]
fn what_is_no_fitting_step_falls_back_to_the_whole_zone() {
    for rcode in [1, 2, 4, 5] {
        // FORMERR, SERVFAIL, NOTIMP, REFUSED.
        expect_changes("rcode", 2, &ONE_STEP, move |asked| match asked.rtype {
            IXFR => {
                let message = asked.message(rcode, &[]);
                asked.send_raw(&message);
            }
            _ => asked.send(&zone_of(2, "ns1.new.test")),
        });
    }
    let whole = zone_of(2, "ns1.new.test");
    expect_changes(
        "expired journal: the whole zone",
        2,
        &ONE_STEP,
        ixfr_or_zone(2, whole),
    );
    let inconsistent = vec![
        soa(2),
        soa(1),
        ns("d0", "ns1.never.test"),
        soa(2),
        ns("d0", "ns1.new.test"),
        soa(2),
    ];
    expect_changes(
        "removes what is not there",
        2,
        &ONE_STEP,
        ixfr_or_zone(2, inconsistent),
    );
    let twice = vec![soa(2), soa(1), soa(2), ns("d1", "ns1.infra.test"), soa(2)];
    expect_changes("adds what is there", 2, &ONE_STEP, ixfr_or_zone(2, twice));
    let elsewhere = vec![
        soa(2),
        soa(7),
        ns("d0", "ns1.old.test"),
        soa(2),
        ns("d0", "ns1.new.test"),
        soa(2),
    ];
    expect_changes("begins elsewhere", 2, &ONE_STEP, ixfr_or_zone(2, elsewhere));
    let gap = vec![
        soa(4),
        soa(1),
        ns("d0", "ns1.old.test"),
        soa(2),
        ns("d0", "ns1.mid.test"),
        soa(3),
        ns("d0", "ns1.mid.test"),
        soa(4),
        ns("d0", "ns1.new.test"),
        soa(4),
    ];
    expect_changes(
        "a step is missing",
        4,
        &["4:+ns1.new.test.-ns1.old.test."],
        ixfr_or_zone(4, gap),
    );
    let back = vec![
        soa(2),
        soa(1),
        ns("d0", "ns1.old.test"),
        soa(0),
        ns("d0", "ns1.new.test"),
        soa(2),
    ];
    expect_changes("a step goes back", 2, &ONE_STEP, ixfr_or_zone(2, back));
    expect_changes(
        "says up to date",
        2,
        &ONE_STEP,
        ixfr_or_zone(2, vec![soa(1)]),
    );
    // Cut off in the middle, then the connection closes.
    expect_changes("cut", 2, &ONE_STEP, |asked| match asked.rtype {
        IXFR => {
            asked.send(&one_step()[..4]);
            let _ = asked.stream.shutdown(std::net::Shutdown::Both);
        }
        _ => asked.send(&zone_of(2, "ns1.new.test")),
    });
    // The opening SOA, and then nothing.
    expect_changes("silence", 2, &ONE_STEP, ixfr_or_zone(2, vec![soa(2)]));
}

#[test]
fn serial_wraps_around() {
    let bench = Bench::new("");
    let before = primary(u32::MAX, |asked| {
        asked.send(&zone_of(u32::MAX, "ns1.old.test"))
    });
    bench.configure(&source("example.", &[before], false));
    bench.run(0, &["poll"]);
    let steps = vec![
        soa(1),
        soa(u32::MAX),
        ns("d0", "ns1.old.test"),
        soa(0),
        ns("d0", "ns1.mid.test"),
        soa(0),
        ns("d0", "ns1.mid.test"),
        soa(1),
        ns("d0", "ns1.new.test"),
        soa(1),
    ];
    let after = primary(1, ixfr_or_zone(1, steps));
    bench.configure(&source("example.", &[after], false));
    assert!(!bench.run(0, &["poll"]).contains("backwards"));
    assert_eq!(
        changes(&bench),
        [
            "0:+ns1.mid.test.-ns1.old.test.",
            "1:+ns1.new.test.-ns1.mid.test."
        ]
    );
}

#[test]
fn slow_primary_that_goes_on_is_waited_for() {
    let bench = bench_at_one();
    let address = primary(2, |asked| {
        for record in zone_of(2, "ns1.new.test") {
            asked.send(&[record]);
            thread::sleep(Duration::from_millis(120));
        }
    });
    // Longer in all than one message may take, never longer between two.
    let slow = "[limits]\nidle = \"1s\"\n";
    bench.configure(&format!(
        "{}ixfr = false\n{slow}",
        source("example.", &[address], false)
    ));
    bench.run(0, &["poll"]);
    assert_eq!(changes(&bench), ONE_STEP);
}

/// Expects a poll to be refused with a reason, to leave history as it was, and to end soon.
fn expect_refused(reason: &str, what: &str, script: impl Fn(&mut Asked) + Send + Sync + 'static) {
    expect_refused_with(reason, what, "", script);
}

/// [`expect_refused`], with more of a configuration.
fn expect_refused_with(
    reason: &str,
    what: &str,
    keys: &str,
    script: impl Fn(&mut Asked) + Send + Sync + 'static,
) {
    let bench = bench_at_one();
    let before = bench.run(0, &["history", "d0.example", "--format", "json"]);
    let address = primary(2, script);
    let keyed = !keys.is_empty();
    bench.configure(&format!(
        "{keys}{}{LIMITS}",
        source("example.", &[address], keyed)
    ));
    if keyed {
        bench.key_section();
    }
    let started = Instant::now();
    let mut child = bench
        .command(&["poll"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("started");
    let mut peak_kib = 0;
    let status = loop {
        let text =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        // Before it is the program, for a moment, it has the memory of the tests.
        let is_program = text.starts_with("Name:\tfluxwatch\n");
        let peak = text.lines().filter(|_| is_program).find_map(|line| {
            line.strip_prefix("VmHWM:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        });
        peak_kib = peak_kib.max(peak.unwrap_or(0));
        match child.try_wait().expect("its end can be asked for") {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(status.code(), Some(3), "{what}");
    // The limits allow two attempts of 6 seconds each (IXFR, AXFR); the rest is a machine that is busy.
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{what}: it hung"
    );
    assert!(peak_kib < 200 << 10, "{what}: {peak_kib} KiB");
    let row = bench.status("example.");
    assert_eq!(row["refused_reason"], reason, "{what}: {row}");
    assert_eq!(
        (row["serial"].as_u64(), row["records"].as_u64()),
        (Some(1), Some(21)),
        "{what}"
    );
    assert_eq!(
        bench.run(0, &["history", "d0.example", "--format", "json"]),
        before,
        "{what}"
    );
}

/// The zone at 2, changed by `change`.
fn spoiled(change: impl Fn(&mut Vec<Vec<u8>>)) -> Vec<Vec<u8>> {
    let mut records = zone_of(2, "ns1.new.test");
    change(&mut records);
    records
}

#[test]
fn faulty_transfers_are_refused_with_their_reason() {
    let answers: Vec<(&str, &str, Vec<Vec<u8>>)> = vec![
        (
            "foreign-name",
            "a name of another zone",
            spoiled(|it| it.insert(3, rr("bad.test", 2, &name("ns1.bad.test")))),
        ),
        (
            "soa-mismatch",
            "two SOAs",
            spoiled(|it| *it.last_mut().expect("a SOA") = soa(3)),
        ),
        (
            "soa-mismatch",
            "records after the end",
            spoiled(|it| it.push(ns("d99", "ns1.infra.test"))),
        ),
        (
            "soa-mismatch",
            "does not begin with the SOA",
            spoiled(|it| {
                it.remove(0);
            }),
        ),
        (
            "malformed",
            "an address of three octets",
            spoiled(|it| it.insert(3, rr("d1.example", 1, &[1, 2, 3]))),
        ),
        (
            "malformed",
            "a SOA in the middle of the zone's names",
            spoiled(|it| it.insert(3, rr("d1.example", SOA, &soa(2)[18..]))),
        ),
        (
            "timeout",
            "silence before the end",
            spoiled(|it| {
                it.pop();
            }),
        ),
    ];
    for (reason, what, records) in answers {
        expect_refused(reason, what, move |asked| asked.send(&records));
    }
    type Spoil = fn(&mut Vec<u8>);
    let headers: [(&str, &str, Spoil); 5] = [
        ("malformed", "a foreign id", |it| it[0] ^= 0xff),
        ("malformed", "a query", |it| it[2] &= 0x7f),
        ("malformed", "truncated", |it| it[2] |= 2),
        ("malformed", "another question", |it| it[13] = b'f'),
        ("rcode", "not authoritative", |it| it[3] |= 9),
    ];
    for (reason, what, spoil) in headers {
        expect_refused(reason, what, move |asked| {
            let mut message = asked.message(0, &zone_of(2, "ns1.new.test"));
            spoil(&mut message);
            asked.send_raw(&message);
        });
    }
}

#[test]
fn transfer_without_a_question_is_taken() {
    let bench = bench_at_one();
    // As axfrdns sends it.
    let first = primary(2, |asked| {
        let mut message = asked.message(0, &zone_of(2, "ns1.new.test"));
        if asked.rtype != SOA {
            message[5] = 0;
            message.drain(12..12 + asked.question.len());
        }
        asked.send_raw(&message);
    });
    bench.configure(&source("example.", &[first], false));
    bench.run(0, &["poll"]);
    assert_eq!(changes(&bench), ONE_STEP);
}

#[test]
fn hostile_primaries_stop_at_a_named_limit() {
    expect_refused("limit", "an endless stream", |asked| {
        asked.send(&[soa(2)]);
        for n in 0..20_000 {
            let records: Vec<_> = (0..400)
                .map(|k| ns(&format!("e{n}-{k}"), "ns1.infra.test"))
                .collect();
            asked.send(&records);
        }
    });
    expect_refused("timeout", "one octet a second", |asked| {
        let message = asked.message(0, &zone_of(2, "ns1.new.test"));
        let _ = asked
            .stream
            .write_all(&(message.len() as u16).to_be_bytes());
        for octet in message {
            if asked.stream.write_all(&[octet]).is_err() {
                return;
            }
            thread::sleep(Duration::from_secs(1));
        }
    });
    expect_refused(
        "timeout",
        "an empty message now and then, for ever",
        |asked| {
            for _ in 0..600 {
                asked.send(&[]);
                thread::sleep(Duration::from_millis(200));
            }
        },
    );
    expect_refused("limit", "a kept record of 60,000 octets", |asked| {
        asked.send(&[soa(2)]);
        asked.send(&[rr("d1.example", 43, &vec![7; 60_000])]);
    });
    expect_refused(
        "limit",
        "other records of 65,000 octets, for ever",
        |asked| {
            asked.send(&[soa(2)]);
            for _ in 0..200 {
                asked.send(&[rr("d1.example", 16, &vec![7; 65_000])]);
            }
        },
    );
    expect_refused("malformed", "a compression loop", |asked| {
        let at = 12 + asked.question.len() as u16;
        let mut message = asked.message(0, &[soa(2)]);
        message.truncate(at as usize);
        message.extend((0xc000 | at).to_be_bytes());
        message.extend([0, 6, 0, 1, 0, 0, 0, 0, 0, 0]);
        asked.send_raw(&message);
    });
    expect_refused("malformed", "a forward pointer", |asked| {
        let mut message = asked.message(0, &[soa(2)]);
        message.extend([0xc0, 0xff, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
        message[7] = 2;
        asked.send_raw(&message);
    });
}

#[test]
fn signatures_that_stop_after_the_first_message_are_refused() {
    let secret: Vec<u8> = domain::utils::base64::decode(TSIG_SECRET).expect("base64");
    let key = Key::new(
        Algorithm::Sha256,
        &secret,
        TSIG_NAME.parse().expect("a name"),
        None,
        None,
    )
    .expect("a key");
    let key = Arc::new(key);
    let keys = format!("[[key]]\nname = \"{TSIG_NAME}\"\nsecret_file = \"transfer.key\"\n");
    expect_signed(
        "tsig",
        "dropped after the first message",
        &keys,
        key.clone(),
        1,
    );
    expect_signed("tsig", "the last message is not signed", &keys, key, 21);
}

/// Answers with one record a message, of which the first `signed_count` are signed.
fn expect_signed(reason: &str, what: &str, keys: &str, key: Arc<Key>, signed_count: usize) {
    expect_refused_with(reason, what, keys, move |asked| {
        let mut query = Message::from_octets(asked.octets.clone()).expect("a message");
        let mut signer = ServerSequence::request(&key, &mut query, Time48::now())
            .unwrap_or_else(|_| panic!("the query is signed"))
            .expect("the query is signed");
        let records = match asked.rtype {
            SOA => vec![soa(2)],
            _ => zone_of(2, "ns1.new.test"),
        };
        let signed_count = if asked.rtype == SOA { 1 } else { signed_count };
        for (i, record) in records.iter().enumerate() {
            let whole = asked.message(0, std::slice::from_ref(record));
            if i >= signed_count {
                asked.send_raw(&whole);
                continue;
            }
            let builder = MessageBuilder::from_target(StreamTarget::new_vec()).expect("a header");
            let mut answer = builder.start_answer(&query, Rcode::NOERROR).expect("room");
            answer.header_mut().set_aa(true);
            let parsed = Message::from_octets(whole).expect("a message");
            for rr in parsed.answer().expect("answers") {
                let rr = rr.expect("a record");
                let rr = rr
                    .to_any_record::<domain::rdata::AllRecordData<_, _>>()
                    .expect("known data");
                answer.push(rr).expect("room");
            }
            let mut additional = answer.additional();
            signer.answer(&mut additional, Time48::now()).expect("room");
            let octets = additional.finish().as_dgram_slice().to_vec();
            asked.send_raw(&octets);
        }
    });
}

#[test]
fn primary_that_is_ahead_is_preferred_and_a_dead_one_delays_nobody() {
    let bench = bench_at_one();
    let behind = primary(1, |asked| {
        panic!("the one behind was asked for {}", asked.rtype)
    });
    let ahead = primary(2, |asked| asked.send(&one_step()));
    // Nobody answers there: connections hang until the kernel gives up.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let dead = silent.local_addr().expect("bound");
    bench.configure(&source("example.", &[dead, behind, ahead], false));
    let started = Instant::now();
    bench.run(0, &["poll"]);
    assert_eq!(changes(&bench), ONE_STEP);
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "the silent primary held the poll up"
    );
}

#[test]
fn transfer_that_lost_most_of_the_zone_is_fetched_again_and_held() {
    let bench = Bench::new("");
    let many = |serial: u32, count: u32| {
        let mut records = vec![soa(serial), rr("example", 2, &name("ns1.infra.test"))];
        records.extend((0..count).map(|n| ns(&format!("d{n}"), "ns1.infra.test")));
        records.push(soa(serial));
        records
    };
    let full = primary(1, move |asked| asked.send(&many(1, 200)));
    bench.configure(&source("example.", &[full], false));
    bench.run(0, &["poll"]);
    let asked_for = Arc::new(AtomicUsize::new(0));
    let counter = asked_for.clone();
    let empty = primary(2, move |asked| {
        counter.fetch_add(usize::from(asked.rtype == AXFR), Ordering::SeqCst);
        asked.send(&many(2, 20));
    });
    bench.configure(&source("example.", &[empty], false));
    bench.run(3, &["poll"]);
    assert_eq!(
        asked_for.load(Ordering::SeqCst),
        2,
        "it is fetched once more before anybody is asked to look"
    );
    let row = bench.status("example.");
    assert_eq!(
        (
            &row["refused_reason"],
            &row["held"],
            row["records"].as_u64()
        ),
        (&"shrank".into(), &true.into(), Some(201))
    );
    bench.run(0, &["poll", "--accept", "example."]);
    let row = bench.status("example.");
    assert_eq!(
        (&row["held"], row["records"].as_u64()),
        (&false.into(), Some(21))
    );
    // The time in which the zone could not be seen stays in history.
    let history = bench.json(&["history", "d3.example", "--format", "json"]);
    assert_eq!(history["gaps"][0]["reason"], "shrank", "{history}");
}

/// The zone at a serial with `count` delegations.
fn zone_with(serial: u32, count: u32) -> Vec<Vec<u8>> {
    let mut records = vec![soa(serial), rr("example", 2, &name("ns1.infra.test"))];
    records.extend((0..count).map(|n| ns(&format!("d{n}"), "ns1.infra.test")));
    records.push(soa(serial));
    records
}

#[test]
fn incremental_transfer_that_removes_most_of_the_zone_is_held_too() {
    let bench = Bench::new("");
    let full = primary(1, |asked| asked.send(&zone_with(1, 200)));
    bench.configure(&source("example.", &[full], false));
    bench.run(0, &["poll"]);
    let shrunk = primary(2, |asked| match asked.rtype {
        IXFR => {
            let mut answers = vec![soa(2), soa(1)];
            answers.extend((20..200).map(|n| ns(&format!("d{n}"), "ns1.infra.test")));
            answers.extend([soa(2), soa(2)]);
            asked.send(&answers);
        }
        _ => asked.send(&zone_with(2, 20)),
    });
    bench.configure(&source("example.", &[shrunk], false));
    bench.run(3, &["poll"]);
    let row = bench.status("example.");
    assert_eq!(
        (&row["refused_reason"], row["records"].as_u64()),
        (&"shrank".into(), Some(201))
    );
    bench.run(0, &["poll", "--accept", "example."]);
    assert_eq!(bench.status("example.")["records"].as_u64(), Some(21));
}

#[test]
fn transfer_that_holds_nothing_or_is_older_than_the_look_is_refused() {
    expect_refused("malformed", "an empty zone", |asked| {
        asked.send(&[soa(2), soa(2)])
    });
    let steps: Vec<Vec<u8>> = {
        let mut steps = vec![
            soa(2),
            soa(1),
            rr("example", 2, &name("ns1.infra.test")),
            ns("d0", "ns1.old.test"),
        ];
        steps.extend((1..20).map(|n| ns(&format!("d{n}"), "ns1.infra.test")));
        steps.extend([soa(2), soa(2)]);
        steps
    };
    expect_refused(
        "malformed",
        "steps that leave nothing",
        move |asked| match asked.rtype {
            IXFR => asked.send(&steps),
            _ => asked.send(&[soa(2), soa(2)]),
        },
    );
    // The look was answered by one machine behind the address, the transfer by another that lags.
    expect_refused("behind", "an older version than the look's", |asked| {
        asked.send(&zone_of(0, "ns1.stale.test"))
    });
    // Given up as steps; and asked for the whole zone, it is none either.
    expect_refused("soa-mismatch", "steps that do nothing, for ever", |asked| {
        asked.send(&[soa(4_000_000)]);
        let mut serial = 1;
        for _ in 0..4000 {
            let answers: Vec<_> = (serial..serial + 300)
                .flat_map(|n| [soa(n), soa(n + 1)])
                .collect();
            serial += 300;
            asked.send(&answers);
        }
    });
}

#[test]
fn zone_that_a_feed_told_parts_of_is_transferred_whole() {
    let bench = Bench::new("");
    let line = "{\"at\":1790000000,\"zone\":\"example.\",\"rrname\":\"d0.example.\",\"rrtype\":\"NS\",\"op\":\"set\",\"rdata\":[\"ns1.new.test.\"],\"serial\":2}\n";
    let feed = bench.write("part.ndjson", line);
    bench.run(0, &["import", "feed", feed.to_str().expect("UTF-8")]);
    assert_eq!(bench.status("example.")["serial"].as_u64(), Some(2));
    // The same serial, and steps that would fit: the rest of the zone is fetched all the same.
    let address = primary(2, |asked| asked.send(&zone_of(2, "ns1.new.test")));
    bench.configure(&source("example.", &[address], false));
    bench.run(0, &["poll"]);
    assert_eq!(bench.status("example.")["records"].as_u64(), Some(21));
    assert!(
        bench.run(0, &["poll"]).contains("no change (serial 2)"),
        "and only once"
    );
}
