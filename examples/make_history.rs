//! Makes a history of years and measures lookups in it:
//! `cargo run --release --example make_history -- load|look|write FOLDER DOMAINS POLLS CHANGED [noreverse]`.
//!
//! `load` writes DOMAINS delegations and then POLLS versions, in each of which CHANGED domains move from
//! one provider's two name servers to another's: four changes a domain. A tenth of the moves fall on a
//! thousandth of the domains. A twentieth of the domains use one provider. `look` then measures lookups in
//! the process, alone and beside versions that are written. `write` writes POLLS versions more. All of it through the store that the program
//! uses; nothing is judged.

#![allow(clippy::print_stdout, reason = "what it measures is its output")]

#[path = "../tests/it/support/numbers.rs"]
#[allow(dead_code)]
mod numbers;

use numbers::Numbers;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fluxwatch::dns::{Name, Rdata, Record, Serial};
use fluxwatch::store::{
    HistoryScope, SourceChange, SourceKind, Store, StoreError, StoreOptions, Used, VersionDraft,
    VersionKind, Wanted, ZoneState,
};
use fluxwatch::time::Timestamp;
use fluxwatch::zone::{OwnerChange, StepOwner};

/// When the history begins: 2025-01-01.
const START: i64 = 1_735_689_600;
/// Seconds between two versions: 2,500 take a year.
const EVERY_S: i64 = 12_600;

/// How many domains of the first version are told at once.
const DOMAINS_AT_ONCE: usize = 10_000;

/// What is made.
struct Plan {
    folder: PathBuf,
    domains: u64,
    polls: u64,
    changed: u64,
    reverse: bool,
}

impl Plan {
    /// Opens or makes the database.
    fn open(&self) -> Result<Store, StoreError> {
        let options = StoreOptions {
            reverse_index: self.reverse,
            create: true,
        };
        Store::open(self.folder.join("history.db"), options)
    }

    /// Draws a provider: one has a twentieth of all, a few have much, many have little.
    fn provider(&self, numbers: &mut Numbers) -> u32 {
        let providers = (self.domains / 14).max(4);
        let draw = numbers.below(providers * 20);
        match draw % 20 {
            0 => 0,
            _ => (1 + (draw / 20) * (draw / 20) / providers) as u32,
        }
    }
}

/// Returns a domain's name.
fn domain(number: u64) -> Name {
    let mut numbers = Numbers(number);
    Name::parse(&format!("{:x}-{number}.example", numbers.below(0xffff))).expect("a sound name")
}

/// Returns the two NS records of a provider.
fn records(provider: u32) -> Vec<Record> {
    let host = |n: u32| Name::parse(&format!("ns{n}.p{provider}.test")).expect("a sound name");
    let record = |n| Record {
        rdata: Rdata::Ns(host(n)),
        ttl: 86_400,
    };
    vec![record(1), record(2)]
}

/// Returns the draft of a version.
fn draft(zone: &ZoneState, kind: VersionKind, number: u64) -> VersionDraft {
    VersionDraft {
        source: zone.source,
        kind,
        serial: Some(Serial(number as u32 + 1)),
        observed_at: Timestamp::from_unix(START + number as i64 * EVERY_S),
        joins: None,
        drift: false,
    }
}

/// Writes the first version.
fn write_first(
    store: &Store,
    apex: &Name,
    plan: &Plan,
    current: &mut Vec<u32>,
) -> Result<(), Box<dyn Error>> {
    let mut numbers = Numbers(1);
    let source = store.zones().ensure_source("made", SourceKind::Transfer)?;
    let zone = store.zones().ensure_zone(apex, source)?;
    let mut tx = store
        .ledger()
        .begin(&zone, draft(&zone, VersionKind::Baseline, 0))?;
    let all: Vec<u64> = (0..plan.domains).collect();
    for numbers_of_part in all.chunks(DOMAINS_AT_ONCE) {
        let mut told = Vec::with_capacity(numbers_of_part.len());
        for number in numbers_of_part {
            let provider = plan.provider(&mut numbers);
            current.push(provider);
            told.push(SourceChange {
                owner: domain(*number),
                change: OwnerChange {
                    added: records(provider),
                    ..OwnerChange::default()
                },
                baseline: true,
            });
        }
        tx.apply_changes(told)?;
    }
    tx.commit(false)?;
    Ok(store.upkeep().checkpoint()?)
}

/// Writes one version in which domains move. Returns how long that took, checkpoint excluded.
fn write_moves(
    store: &Store,
    apex: &Name,
    plan: &Plan,
    number: u64,
    current: &mut [u32],
    numbers: &mut Numbers,
) -> Result<Duration, Box<dyn Error>> {
    let zone = store.zones().find_zone(apex)?.ok_or("the zone is there")?;
    let hot = (plan.domains / 1000).max(1);
    let mut moves = std::collections::BTreeMap::new();
    while (moves.len() as u64) < plan.changed.min(plan.domains / 2) {
        // Of a thousandth of the names no more can move at once than there are.
        let is_hot = numbers.below(10) == 0 && (moves.len() as u64) < plan.changed / 10 + hot;
        let place = if is_hot {
            numbers.below(hot) * 997 % plan.domains
        } else {
            numbers.below(plan.domains)
        };
        let old = current[place as usize];
        let new = plan.provider(numbers);
        if new != old && !moves.contains_key(&place) {
            moves.insert(place, (old, new));
        }
    }
    let steps: Vec<(Name, StepOwner)> = moves
        .iter()
        .map(|(place, (old, new))| {
            (
                domain(*place),
                StepOwner {
                    removed: records(*old),
                    added: records(*new),
                },
            )
        })
        .collect();
    for (place, (_, new)) in moves {
        current[place as usize] = new;
    }
    let started = Instant::now();
    let mut tx = store
        .ledger()
        .begin(&zone, draft(&zone, VersionKind::Snapshot, number))?;
    tx.apply_step(steps)??;
    tx.commit(false)?;
    let took = started.elapsed();
    store.upkeep().checkpoint()?;
    Ok(took)
}

/// Returns octets of the database.
fn octets(folder: &Path) -> u64 {
    let size = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |meta| meta.len());
    // After a checkpoint the log holds nothing that the database does not.
    size("history.db")
}

/// Writes it all.
fn load(plan: &Plan) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&plan.folder)?;
    let (store, apex) = (plan.open()?, Name::parse("example")?);
    let (mut current, mut numbers) = (Vec::new(), Numbers(2));
    let started = Instant::now();
    write_first(&store, &apex, plan, &mut current)?;
    let base = octets(&plan.folder);
    println!(
        "first version: {} delegations, {base} octets, {:.1} each, {:.1} s",
        plan.domains,
        base as f64 / plan.domains as f64,
        started.elapsed().as_secs_f64()
    );
    let mut times = Vec::new();
    for number in 1..=plan.polls {
        times.push(write_moves(
            &store,
            &apex,
            plan,
            number,
            &mut current,
            &mut numbers,
        )?);
        if number % 250 == 0 || number == plan.polls {
            let changes = number * plan.changed * 4;
            let grown = octets(&plan.folder).saturating_sub(base);
            let lately = &mut times.split_off(times.len().saturating_sub(250));
            lately.sort();
            println!(
                "{number} versions, {changes} changes: {:.2} octets a change; a version of {} domains committed in {:.3} s (median), {:.3} s (most); {:.0} s in all",
                grown as f64 / changes as f64,
                plan.changed,
                lately[lately.len() / 2].as_secs_f64(),
                lately[lately.len() - 1].as_secs_f64(),
                started.elapsed().as_secs_f64()
            );
        }
    }
    Ok(write_state(plan, &current)?)
}

/// Prints the median and the 99th percentile of times.
fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "{what}: p50 {:.0} us, p99 {:.0} us, most {:.0} us ({} lookups)",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
}

/// Looks up random names and returns how long each took.
fn look_up(
    store: &Store,
    plan: &Plan,
    count: usize,
    numbers: &mut Numbers,
) -> Result<Vec<Duration>, StoreError> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let name = domain(numbers.below(plan.domains));
        let started = Instant::now();
        let history = store.lookup().history(&name, HistoryScope::AtOrBelow)?;
        times.push(started.elapsed());
        assert!(!history.records.is_empty(), "{name} has a history");
    }
    Ok(times)
}

/// Measures lookups.
fn look(plan: &Plan) -> Result<(), Box<dyn Error>> {
    let store = Store::open_read_only(plan.folder.join("history.db"))?;
    let mut numbers = Numbers(3);
    look_up(&store, plan, 3000, &mut numbers)?;
    // Few are in SQLite's own pages, many only in the system's.
    for count in [500, 2000] {
        look_up(&store, plan, count, &mut Numbers(4))?;
        tell(
            "history of a name, in the process, those looked up before",
            look_up(&store, plan, count, &mut Numbers(4))?,
        );
    }
    tell(
        "history of a name, in the process, any",
        look_up(&store, plan, 5000, &mut numbers)?,
    );
    if store.has_reverse_index() {
        let host = Used::Host(Name::parse("ns1.p0.test")?);
        let (started, mut first, mut count) = (Instant::now(), None, 0_u64);
        store
            .lookup()
            .users_of(&host, &Wanted::default(), None, |_, _| {
                first.get_or_insert_with(|| started.elapsed());
                count += 1;
                Ok::<_, StoreError>(true)
            })?;
        let first = first.ok_or("a provider has users")?;
        println!(
            "users of one name server: first of {count} records after {:.1} ms, all after {:.2} s",
            first.as_secs_f64() * 1e3,
            started.elapsed().as_secs_f64()
        );
    }
    drop(store);
    for known in [false, true] {
        let what = if known { "500 looked up before" } else { "any" };
        let times = look_beside(plan, known)?;
        tell(
            &format!("history of a name while versions are written, {what}"),
            times,
        );
    }
    // A log that is left behind is read anew by every command: what comes next measures lookups. Who closes last
    // takes it away, unless it only reads.
    Ok(plan.open()?.upkeep().checkpoint()?)
}

/// Measures lookups while ten versions are written.
fn look_beside(plan: &Plan, known: bool) -> Result<Vec<Duration>, Box<dyn Error>> {
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| -> Result<Vec<Duration>, String> {
            let look = || -> Result<Vec<Duration>, StoreError> {
                let store = Store::open_read_only(plan.folder.join("history.db"))?;
                let (mut times, mut numbers) = (Vec::new(), Numbers(5));
                if known {
                    look_up(&store, plan, 500, &mut Numbers(4))?;
                }
                while !ends.load(Ordering::Relaxed) {
                    if known {
                        numbers = Numbers(4);
                    }
                    for _ in 0..5 {
                        times.extend(look_up(&store, plan, 100, &mut numbers)?);
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                Ok(times)
            };
            look().map_err(|error| error.to_string())
        });
        let written = write_more(plan, 10).map_err(|error| error.to_string());
        ends.store(true, Ordering::Relaxed);
        println!("ten versions meanwhile, seconds each: {:.3?}", written?);
        let times = reader
            .join()
            .map_err(|_| "the reader panicked".to_owned())??;
        Ok(times)
    })
}

/// Writes some more versions. Returns how long each took, in seconds.
fn write_more(plan: &Plan, count: u64) -> Result<Vec<f64>, Box<dyn Error>> {
    let (store, apex) = (plan.open()?, Name::parse("example")?);
    let mut current: Vec<u32> = std::fs::read_to_string(plan.folder.join("state"))?
        .lines()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let newest = store
        .zones()
        .find_zone(&apex)?
        .and_then(|zone| zone.serial)
        .ok_or("there are versions")?;
    let mut numbers = Numbers(6 + u64::from(newest.0));
    let mut took = Vec::new();
    for number in 0..count {
        let number = u64::from(newest.0) + number;
        let time = write_moves(&store, &apex, plan, number, &mut current, &mut numbers)?;
        took.push(time.as_secs_f64());
    }
    write_state(plan, &current)?;
    Ok(took)
}

/// Writes the state that more versions go on from.
fn write_state(plan: &Plan, current: &[u32]) -> std::io::Result<()> {
    let text: Vec<String> = current.iter().map(u32::to_string).collect();
    std::fs::write(plan.folder.join("state"), text.join("\n"))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize| -> Result<u64, Box<dyn Error>> {
        Ok(arguments.get(at).ok_or("a number is missing")?.parse()?)
    };
    let plan = Plan {
        folder: arguments
            .get(2)
            .ok_or("usage: make_history load|look|write FOLDER DOMAINS POLLS CHANGED [noreverse]")?
            .into(),
        domains: number(3)?,
        polls: number(4)?,
        changed: number(5)?,
        reverse: arguments.get(6).is_none_or(|word| word != "noreverse"),
    };
    match arguments[1].as_str() {
        "load" => load(&plan),
        "look" => look(&plan),
        "write" => write_more(&plan, plan.polls).map(|took| {
            println!("{} versions written, seconds each: {took:.3?}", plan.polls);
        }),
        other => Err(format!("{other:?} is none of load, look and write").into()),
    }
}
