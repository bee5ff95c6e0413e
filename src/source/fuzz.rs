//! What fuzzers call: each function takes arbitrary octets and must end soon, without a panic and with
//! bounded memory. `tests/it/fuzz.rs` drives them with seeded mutations of `tests/corpus/`; `fuzz/` wraps
//! them for coverage-guided fuzzers.

use std::io::Cursor;
use std::net::{IpAddr, Ipv4Addr};

use crate::dns::{Name, RecordType, Serial};
use crate::source::TransferKey;
use crate::source::catalog::CatalogReader;
use crate::source::feed::FeedReader;
use crate::source::notify::{NotifyTable, answer_notify};
use crate::source::passive::SightingLine;
use crate::source::transfer::HeldSteps;
use crate::source::wire::WireRecord;
use crate::source::xfr::frame::{TransferFault, TransferReader};
use crate::source::xfr::steps::StepsReader;
use crate::source::xfr::whole::{WholeReader, WholeSink};
use crate::source::zonefile::{ZonefileRules, read_text};
use crate::source::zonemd::ZoneDigester;
use crate::zone::{DigestKey, DigestTable, Intake, Limits, ZonemdRule};

/// Limits that an input of some kilobytes can reach.
const LIMITS: Limits = Limits {
    octets: 1 << 20,
    records: 10_000,
    record_octets: 512,
    names: 5_000,
    delta_octets: 1 << 16,
    generate_records: 500,
    generate_octets: 1 << 16,
    ..Limits::DEFAULT
};

/// Takes a whole zone, digests it and forgets it.
struct Void(ZoneDigester);

impl WholeSink for Void {
    fn see(&mut self, record: &WireRecord<'_>) -> Result<(), TransferFault> {
        Ok(self.0.take(record)?)
    }

    fn take(&mut self, _: &[u8], _: RecordType, _: u32, _: &[u8]) -> Result<(), TransferFault> {
        Ok(())
    }

    fn take_other(&mut self, _: &WireRecord<'_>) {}
}

/// Returns the apex of every target.
fn apex() -> Name {
    Name::parse("example.").expect("valid")
}

/// Cuts octets into messages: each with its length in front, as on a TCP stream.
fn messages(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = octets.split_first_chunk::<2>()?;
        let (message, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length) as usize));
        octets = rest;
        Some(message)
    })
}

/// A transfer. The first octet says whether the whole zone was asked for.
pub fn interpret(octets: &[u8]) {
    let Some((first, rest)) = octets.split_first() else {
        return;
    };
    let apex = apex();
    if first % 2 == 0 {
        let mut sink = Void(ZoneDigester::new(ZonemdRule::Auto, &apex));
        run(WholeReader::new(&apex, &LIMITS, &mut sink), rest);
        let _ = sink.0.finish();
        return;
    }
    let mut held = HeldSteps::new(LIMITS.delta_octets);
    run(StepsReader::new(&apex, Serial(1), &LIMITS, &mut held), rest);
    for step in &held.steps {
        // What a step holds was checked on its way in.
        let _ = step.owners();
    }
}

/// Reads messages until the transfer ends or is refused.
fn run(mut reader: impl TransferReader, octets: &[u8]) {
    for message in messages(octets) {
        if reader.read_message(message).is_err() || reader.end().is_some() {
            break;
        }
    }
}

/// A catalog zone.
pub fn catalog(octets: &[u8]) {
    let apex = apex();
    let mut reader = CatalogReader::new(&apex, 1000);
    run(WholeReader::new(&apex, &LIMITS, &mut reader), octets);
    let _ = reader.finish();
}

/// A zone file.
pub fn zone_file(octets: &[u8]) {
    let mut intake = Intake::new(
        DigestKey::new([1; 32]),
        DigestTable::with_capacity(0),
        Cursor::new(Vec::new()),
    );
    let rules = ZonefileRules {
        require_soa: false,
        require_final_newline: false,
        include: false,
        limits: LIMITS,
    };
    let apex = apex();
    if read_text(octets, &apex, &rules, &mut intake).is_ok() {
        while let Ok(Some(batch)) = intake.next_batch() {
            assert!(batch.groups().all(|(owner, _)| !owner.is_empty()));
        }
    }
    let mut first = Intake::first(DigestKey::new([1; 32]), &apex, Cursor::new(Vec::new()));
    if read_text(octets, &apex, &rules, &mut first).is_ok() {
        let hosts = first.take_hosts();
        while let Ok(Some(batch)) = first.next_sorted() {
            let mut records = Vec::new();
            for owner in batch.owners() {
                owner.read_records(&hosts, &mut records);
                assert!(!records.is_empty());
            }
        }
    }
}

/// A change feed, and the same lines as passive DNS.
pub fn feed(octets: &[u8]) {
    let mut reader = FeedReader::new(octets, 0, 0);
    while let Ok(Some(line)) = reader.next_octets(true) {
        if let Ok(Ok(sighting)) = line.map(|line| SightingLine::parse(&line)) {
            assert!(sighting.first_at <= sighting.last_at);
        }
    }
    let mut reader = FeedReader::new(octets, 0, 0);
    while let Ok(Some(_)) = reader.next_line(true) {}
    assert!(reader.offset() <= octets.len() as u64);
}

/// A NOTIFY. The first octet says whether the zone has a key.
pub fn notify(octets: &[u8]) {
    let Some((first, rest)) = octets.split_first() else {
        return;
    };
    let mut table = NotifyTable::default();
    let key = TransferKey::new(
        &Name::parse("k.test").expect("valid"),
        "hmac-sha256",
        "c2VjcmV0",
    );
    let primary = (Ipv4Addr::LOCALHOST, 53).into();
    let sender = table.add_sender(&[primary], key.ok().filter(|_| first % 2 == 1));
    table.add_zone(apex(), sender);
    let answer = answer_notify(rest, IpAddr::V4(Ipv4Addr::LOCALHOST), &table);
    assert!(answer.zone.is_none() || answer.refused.is_none());
}
