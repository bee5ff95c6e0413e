//! Measures the store and the intake on a made zone: `cargo run --release --example measure [DELEGATIONS]`.
//!
//! Prints CPU seconds (user and system, of this process) as ratios to a floor in the same run: the
//! scanner alone, over the same file. Then polls versions in which 1 % of the names change their two
//! name servers, and prints what a change costs on disk, and how many statements and sets of rows each
//! version sends to the store: each would be a round trip to a database elsewhere.

#![allow(clippy::print_stdout, reason = "what it measures is its output")]

#[path = "../tests/it/support/numbers.rs"]
#[allow(dead_code)]
mod numbers;

use numbers::Numbers;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use domain::base::Name as WireName;
use domain::base::iana::Class;
use domain::zonefile::inplace::Zonefile;
use fluxwatch::config::Config;
use fluxwatch::dns::Name;
use fluxwatch::pipeline::{FileImport, Pipeline, PollOptions};
use fluxwatch::store::{Store, StoreOptions};
use fluxwatch::time::{SetClock, Timestamp};

/// Versions with changes.
const VERSIONS: u64 = 10;
/// Clock ticks a second in `/proc` (fixed by Linux for user space).
const TICKS: f64 = 100.0;

/// Returns the number that a seed leads to.
fn mix(seed: u64) -> u64 {
    Numbers(seed).draw()
}

/// Returns the CPU seconds of this process.
fn cpu_s() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / TICKS)
}

/// Returns the most memory this process had, in MiB.
fn peak_mib() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .ok_or("no VmHWM")?;
    Ok(line
        .split_whitespace()
        .nth(1)
        .ok_or("no value")?
        .parse::<f64>()?
        / 1024.0)
}

/// Writes a zone of `count` delegations: 5 % signed, 3 % with name servers of their own. A name's
/// providers are chosen anew in each version in which its turn comes.
fn write_zone(path: &Path, count: u64, version: u64) -> Result<u64, Box<dyn Error>> {
    let mut text = format!(
        "$ORIGIN example.\n$TTL 86400\n@ IN SOA ns1.infra.test. host.infra.test. {} 1800 900 604800 3600\n@ IN NS ns1.infra.test.\n",
        version + 1
    );
    let mut records = 1;
    for n in 0..count {
        // One name in a hundred moves in a version, each in its turn.
        let moves = (0..=version)
            .rev()
            .find(|v| *v == 0 || mix(n ^ (*v << 32)).is_multiple_of(100))
            .unwrap_or(0);
        let draw = mix(n.wrapping_mul(31) ^ moves) % 20_000;
        let provider = draw * draw / 20_000;
        let label = format!("{:x}-{n}", mix(n) & 0xffff);
        records += 2;
        if n % 33 == 0 {
            writeln!(
                text,
                "{label} NS ns1.{label}\n{label} NS ns2.{label}\nns1.{label} A 10.{}.{}.1\nns2.{label} A 10.{}.{}.2",
                n >> 16 & 255,
                n >> 8 & 255,
                n >> 16 & 255,
                moves
            )?;
            records += 2;
        } else {
            writeln!(
                text,
                "{label} NS ns1.provider{provider}.test.\n{label} NS ns2.provider{provider}.test."
            )?;
        }
        if n % 20 == 0 {
            writeln!(
                text,
                "{label} DS {} 13 2 {:016x}{:016x}{:016x}{:016x}",
                n & 0xffff,
                mix(n),
                mix(n + 1),
                mix(n + 2),
                mix(n + 3)
            )?;
            records += 1;
        }
    }
    fs::write(path, text)?;
    Ok(records)
}

/// Scans a file and does nothing with it: the floor.
fn scan(path: &Path) -> Result<u64, Box<dyn Error>> {
    let mut scanner = Zonefile::load(&mut fs::File::open(path)?)?;
    scanner.set_origin(WireName::from_octets(b"\x07example\x00".to_vec().into())?);
    scanner.set_default_class(Class::IN);
    let mut entries = 0;
    while scanner
        .next_entry()
        .map_err(|fault| fault.to_string())?
        .is_some()
    {
        entries += 1;
    }
    Ok(entries)
}

/// Takes in the zone as of a day and returns the CPU seconds.
fn take_in(pipeline: &Pipeline, zone: &Path, day: i64) -> Result<f64, Box<dyn Error>> {
    let before = cpu_s()?;
    let import = FileImport {
        source: "measure",
        zone: &Name::parse("example.")?,
        paths: &[zone.to_owned()],
        at: Some(Timestamp::from_unix(1_800_000_000 + day * 86_400)),
        time_pattern: None,
        require_soa: true,
        require_final_newline: true,
    };
    let options = PollOptions {
        full: true,
        ..PollOptions::default()
    };
    pipeline.ingest().import_files(&import, &options, |_| {})?;
    pipeline.store().upkeep().checkpoint()?;
    Ok(cpu_s()? - before)
}

fn main() -> Result<(), Box<dyn Error>> {
    let count: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let zone = folder.path().join("example.zone");
    let config = folder.path().join("fluxwatch.toml");
    for reverse_index in [false, true] {
        fs::write(
            &config,
            format!("[store]\npath = \"{reverse_index}.db\"\nreverse_index = {reverse_index}\n"),
        )?;
        let config = Arc::new(Config::load(&config)?);
        let database = config.store_url.beside().to_owned();
        let store = Store::open(
            &database,
            StoreOptions {
                reverse_index,
                create: true,
            },
        )?;
        let pipeline = Pipeline::new(
            store,
            config,
            Arc::new(SetClock::new(Timestamp::from_unix(1_900_000_000))),
        )?;
        measure(&pipeline, &database, &zone, count, reverse_index)?;
    }
    println!(
        "peak memory, with the scanner's whole file: {:.0} MiB",
        peak_mib()?
    );
    Ok(())
}

/// Measures one store.
fn measure(
    pipeline: &Pipeline,
    database: &Path,
    zone: &Path,
    count: u64,
    reverse_index: bool,
) -> Result<(), Box<dyn Error>> {
    let records = write_zone(zone, count, 0)?;
    println!("{count} delegations, {records} records, reverse_index = {reverse_index}");
    let baseline = take_in(pipeline, zone, 0)?;
    let size = fs::metadata(database)?.len();
    println!(
        "  baseline: {baseline:.2} CPU s, {:.1} octets a delegation",
        size as f64 / count as f64
    );
    let before = cpu_s()?;
    scan(zone)?;
    let floor = cpu_s()? - before;
    let unchanged = take_in(pipeline, zone, 1)?;
    println!(
        "  scanner alone: {floor:.2} CPU s; unchanged file: {unchanged:.2} CPU s, {:.2} times",
        unchanged / floor
    );
    let (mut changes, mut cpu, mut calls) = (0_u64, 0.0, 0);
    for version in 1..=VERSIONS {
        write_zone(zone, count, version)?;
        let changed_before = change_count(pipeline)?;
        let calls_before = pipeline.store().call_count();
        cpu += take_in(pipeline, zone, 1 + version as i64)?;
        calls += pipeline.store().call_count() - calls_before;
        changes += change_count(pipeline)? - changed_before;
    }
    let growth = fs::metadata(database)?.len() - size;
    println!(
        "  {VERSIONS} versions: {changes} names changed, {:.1} octets a changed name, {:.1} an added or removed record (4 a name)",
        growth as f64 / changes as f64,
        growth as f64 / changes as f64 / 4.0
    );
    println!(
        "  a version: {:.2} CPU s, {:.2} times the scanner alone; {} store calls for {} names, written and judged",
        cpu / VERSIONS as f64,
        cpu / VERSIONS as f64 / floor,
        calls / VERSIONS,
        changes / VERSIONS
    );
    Ok(())
}

/// Returns how many changed names history has, summed over its versions.
fn change_count(pipeline: &Pipeline) -> Result<u64, Box<dyn Error>> {
    let apex = Name::parse("example.")?;
    let zone = pipeline
        .store()
        .zones()
        .find_zone(&apex)?
        .ok_or("no zone")?;
    let mut sum = 0;
    for (version, _) in pipeline.store().lookup().versions_after(zone.id, 0)? {
        let judged = pipeline.store().lookup().version_to_judge(version)?;
        sum += pipeline.store().lookup().counts(&zone, judged)?.len() as u64;
    }
    Ok(sum)
}
