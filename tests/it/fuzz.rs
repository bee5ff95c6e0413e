//! Drives the fuzz bodies with seeded mutations of the corpus: no panic, no hang, bounded memory.
//!
//! Two seconds a target, or `FLUXWATCH_FUZZ_SECONDS`; the seed is `FLUXWATCH_FUZZ_SEED` or 1. An input that
//! fails is printed, so that it can go into the corpus.

use crate::numbers::Numbers;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use fluxwatch::source::fuzz;

/// The most octets of an input.
const INPUT_OCTETS_MAX: usize = 16 << 10;
/// How long one input may take, on a machine that is busy.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);

/// Octets that are more likely than others to matter.
const ODD: [u8; 16] = [
    0, 1, 2, 6, 12, 16, 63, 64, 127, 128, 192, 255, b'.', b'\\', b'"', b'\n',
];

/// Changes an input in one to eight places.
fn mutate(random: &mut Numbers, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=random.index(8) {
        let at = random.index(input.len() + 1);
        match random.index(8) {
            0 if at < input.len() => input[at] ^= 1 << random.index(8),
            1 if at < input.len() => input[at] = ODD[random.index(ODD.len())],
            2 if at < input.len() => input[at] = random.index(256) as u8,
            3 => input.insert(at, ODD[random.index(ODD.len())]),
            4 if at < input.len() => {
                let end = at + 1 + random.index((input.len() - at).min(32));
                input.drain(at..end.min(input.len()));
            }
            5 if at < input.len() => {
                let end = (at + 1 + random.index(64)).min(input.len());
                let part = input[at..end].to_vec();
                let to = random.index(input.len());
                input.splice(to..to, part);
            }
            6 if !other.is_empty() => {
                let from = random.index(other.len());
                let end = (from + 1 + random.index(128)).min(other.len());
                input.splice(at..at, other[from..end].iter().copied());
            }
            7 if at + 1 < input.len() => {
                let number = (random.index(1 << 16) as u16).to_be_bytes();
                input[at..at + 2].copy_from_slice(&number);
            }
            _ => input.truncate(at),
        }
    }
    input.truncate(INPUT_OCTETS_MAX);
}

/// Drives one body.
fn drive(target: &str, body: fn(&[u8])) {
    let seconds = std::env::var("FLUXWATCH_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = std::env::var("FLUXWATCH_FUZZ_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut random = Numbers(seed.unwrap_or(1));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the corpus is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files
        .iter()
        .map(|path| fs::read(path).expect("readable"))
        .collect();
    corpus.iter().for_each(|input| body(input));
    let (started, limit) = (Instant::now(), Duration::from_secs(seconds.unwrap_or(2)));
    let mut count = 0_u64;
    let mut input = corpus[0].clone();
    while started.elapsed() < limit {
        // Now and then from a seed anew, else on from where the last one led.
        if random.index(12) == 0 || input.is_empty() {
            input.clone_from(&corpus[random.index(corpus.len())]);
        }
        let other = random.index(corpus.len());
        mutate(&mut random, &mut input, &corpus[other]);
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| body(&input)));
        assert!(
            result.is_ok(),
            "{target}: panicked at {}",
            input.escape_ascii()
        );
        assert!(
            began.elapsed() < INPUT_TIME_MAX,
            "{target}: took too long with {}",
            input.escape_ascii()
        );
        count += 1;
    }
    eprintln!("{target}: {count} inputs");
    assert!(count > 100, "{target}: hardly any input in {limit:?}");
}

#[test]
fn transfers_of_any_octets_are_interpreted() {
    drive("interpret", fuzz::interpret);
}

#[test]
fn catalogs_of_any_octets_are_read() {
    drive("catalog", fuzz::catalog);
}

#[test]
fn zone_files_of_any_octets_are_read() {
    drive("zone_file", fuzz::zone_file);
}

#[test]
fn feeds_of_any_octets_are_read() {
    drive("feed", fuzz::feed);
}

#[test]
fn notify_messages_of_any_octets_are_answered() {
    drive("notify", fuzz::notify);
}
