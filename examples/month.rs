//! A month of a registry's zone: how many of its flux domains are reported, who else is, and how many mails
//! the desk gets.
//!
//! `cargo run --release --example month -- [DELEGATIONS] [FLUX] [DAYS] [SEED]` (1000000 350 30 1). Hourly
//! versions of one zone; 5 ordinary moves a day for each 1000 delegations between providers, of which a
//! tenth is rolled back within hours and a tenth parks; failovers between two providers; two renames of
//! many names (a fiftieth and a thirtieth of the zone); glue that is renumbered; and flux domains in
//! campaigns of ten whose starts are spread evenly. Prints a table; docs/explanation/evaluation.md has it.

#![allow(clippy::print_stdout, reason = "what it counts is its output")]
#![allow(
    clippy::too_many_lines,
    reason = "a month is one loop over hours, told in its order"
)]

#[path = "../tests/it/support/numbers.rs"]
#[allow(dead_code)]
mod numbers;

use numbers::Numbers;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use fluxwatch::case::CaseState;
use fluxwatch::config::Config;
use fluxwatch::detector::Level;
use fluxwatch::pipeline::{Pipeline, PollOptions};
use fluxwatch::store::{Store, StoreOptions};
use fluxwatch::time::{SetClock, Timestamp};

/// When the month begins: 2026-03-01 00:00 UTC.
const START: i64 = 1_772_323_200;
/// Domains of one campaign.
const CAMPAIGN: usize = 10;
/// Providers; the first ones are the largest.
const PROVIDERS: usize = 200;
/// A cron line's worth: the digest at 07:00.
const DIGEST_HOUR: i64 = 7;

impl Numbers {
    /// Returns a provider: small numbers are much likelier.
    fn provider(&mut self) -> usize {
        let (one, two) = (self.index(PROVIDERS), self.index(PROVIDERS));
        one * two / PROVIDERS
    }

    /// Returns an address anywhere.
    fn address(&mut self) -> Ipv4Addr {
        let mut octet = |from: usize, to: usize| (from + self.index(to - from)) as u8;
        Ipv4Addr::new(octet(11, 220), octet(0, 255), octet(0, 255), octet(1, 255))
    }
}

/// The zone and its feed.
struct Zone {
    feed: BufWriter<File>,
    at: i64,
    lines: u64,
}

impl Zone {
    /// Writes an RRset as it is from now on.
    fn set(&mut self, name: &str, rrtype: &str, rdata: &[String]) -> std::io::Result<()> {
        self.lines += 1;
        let rdata = rdata
            .iter()
            .map(|it| format!("\"{it}\""))
            .collect::<Vec<_>>()
            .join(",");
        writeln!(
            self.feed,
            "{{\"at\":{},\"rrname\":\"{name}\",\"rrtype\":\"{rrtype}\",\"op\":\"set\",\"ttl\":3600,\"rdata\":[{rdata}]}}",
            self.at
        )
    }
}

/// Returns a provider's two name servers.
fn servers(provider: usize) -> Vec<String> {
    (1..=2)
        .map(|n| format!("ns{n}.host{provider}.test."))
        .collect()
}

/// Returns the name of a domain.
fn domain(n: usize) -> String {
    format!("d{n}.example.")
}

/// A flux domain.
struct Flux {
    name: String,
    start_hour: i64,
    period_h: i64,
    campaign: usize,
    has_glue: bool,
}

/// Lets a flux domain turn once.
fn turn(flux: &Flux, hour: i64, zone: &mut Zone, numbers: &mut Numbers) -> std::io::Result<()> {
    let turn = (hour - flux.start_hour) / flux.period_h;
    if flux.has_glue {
        // Name servers of its own whose addresses rotate; one of two at a time.
        if turn == 0 {
            let own = (1..=2)
                .map(|n| format!("ns{n}.{}", flux.name))
                .collect::<Vec<_>>();
            zone.set(&flux.name, "NS", &own)?;
        }
        let host = format!("ns{}.{}", turn % 2 + 1, flux.name);
        return zone.set(&host, "A", &[numbers.address().to_string()]);
    }
    // Throw-away name servers of the campaign's pool, which is renewed as it is used up.
    let host = |n: i64| format!("ns.c{}throw{}.test.", flux.campaign, (hour / 12) * 2 + n);
    zone.set(
        &flux.name,
        "NS",
        &[host(turn % 2), host(turn % 2 + 1), host(2)],
    )
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|it| it.parse::<usize>().expect("a number"));
    let mut next = |default: usize| arguments.next().unwrap_or(default);
    let (delegations, flux_count, days, seed) = (next(1_000_000), next(350), next(30), next(1));
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let config = "[store]\npath = \"m.db\"\n[[source]]\nname = \"feed\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"f.ndjson\"\ncomplete = true\n[enrich]\nasn = \"asn.csv\"\n\
        [report]\nfrom = \"f@registrar.example\"\ndesk = [\"desk@registrar.example\"]\norg = \"x\"\ncontact = \"a@registrar.example\"\n[smtp]\nurl = \"maildir://desk\"\n";
    std::fs::write(path("fluxwatch.toml"), config)?;
    let table: String = (1..=255_u32)
        .flat_map(|a| (0..=255_u32).step_by(8).map(move |b| (a, b)))
        .map(|(a, b)| {
            format!(
                "{a}.{b}.0.0,{a}.{}.255.255,{}\n",
                b + 7,
                1000 + a * 32 + b / 8
            )
        })
        .collect();
    std::fs::write(path("asn.csv"), table)?;
    let mut numbers = Numbers(seed as u64);
    let feed = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path("f.ndjson"))?;
    let mut zone = Zone {
        feed: BufWriter::new(feed),
        at: START,
        lines: 0,
    };
    let mut of: Vec<u16> = (0..delegations)
        .map(|_| numbers.provider() as u16)
        .collect();
    for (n, provider) in of.iter().enumerate() {
        zone.set(&domain(n), "NS", &servers(usize::from(*provider)))?;
    }
    // In-zone name servers that are renumbered now and then.
    for n in 0..delegations / 100 {
        zone.set(
            &format!("ns1.glue{n}.example."),
            "A",
            &[numbers.address().to_string()],
        )?;
        zone.set(
            &format!("glue{n}.example."),
            "NS",
            &[format!("ns1.glue{n}.example.")],
        )?;
    }
    let hours = days as i64 * 24;
    let campaigns = flux_count.div_ceil(CAMPAIGN);
    let fluxes: Vec<Flux> = (0..flux_count)
        .map(|n| {
            let campaign = n / CAMPAIGN;
            let spread = (campaign as i64 * (hours - 24 * 10)) / campaigns as i64;
            Flux {
                // Half are old names that are taken over, half are new.
                name: if n % 2 == 0 {
                    domain(n * 17 % delegations)
                } else {
                    format!("flux{n}.example.")
                },
                start_hour: 24 + spread + (n % CAMPAIGN) as i64 * 9,
                period_h: [1, 2, 4, 6, 8, 12][n % 6],
                campaign,
                has_glue: n % 3 == 0,
            }
        })
        .collect();
    zone.feed.flush()?;

    let clock = Arc::new(SetClock::new(Timestamp::from_unix(START)));
    let pipeline = open(folder.path(), clock.clone())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let cpu_start = cpu_seconds();
    poll(&pipeline, &runtime)?;
    let baseline = cpu_seconds() - cpu_start;
    pipeline.notify().last_digest_at()?;
    eprintln!("baseline of {} lines: {baseline:.1} CPU s", zone.lines);
    let moves_per_hour = delegations * 5 / 1000 / 24;
    let mut renumbered = 0;
    let mut back: BTreeMap<i64, Vec<(usize, u16)>> = BTreeMap::new();
    for hour in 1..=hours {
        zone.at = START + hour * 3600;
        let mut moved = BTreeSet::new();
        for k in 0..moves_per_hour {
            let n = numbers.index(delegations);
            if !moved.insert(n) {
                continue;
            }
            let was = of[n];
            // A tenth parks, a tenth comes back within hours, and some fail over for a while.
            of[n] = if k % 10 == 0 {
                0
            } else {
                numbers.provider() as u16
            };
            if k % 10 == 1 {
                back.entry(hour + 1 + numbers.index(6) as i64)
                    .or_default()
                    .push((n, was));
            }
            zone.set(&domain(n), "NS", &servers(usize::from(of[n])))?;
        }
        for (n, was) in back.remove(&hour).unwrap_or_default() {
            of[n] = was;
            zone.set(&domain(n), "NS", &servers(usize::from(was)))?;
        }
        // Each is renumbered in turn: a host that moves more often than that is not ordinary.
        for _ in 0..delegations / 200_000 + 1 {
            let host = format!("ns1.glue{}.example.", renumbered % (delegations / 100));
            zone.set(&host, "A", &[numbers.address().to_string()])?;
            renumbered += 1;
        }
        // Two renames of many names: a provider's name servers get other names.
        for (at, share, to) in [(24 * 8 + 3, 50, 900), (24 * 19 + 15, 33, 901)] {
            if hour == at {
                for (n, provider) in of.iter_mut().enumerate().filter(|(n, _)| n % share == 7) {
                    *provider = to;
                    zone.set(&domain(n), "NS", &servers(usize::from(*provider)))?;
                }
            }
        }
        for flux in fluxes
            .iter()
            .filter(|it| hour >= it.start_hour && (hour - it.start_hour) % it.period_h == 0)
        {
            turn(flux, hour, &mut zone, &mut numbers)?;
        }
        zone.feed.flush()?;
        clock.set(Timestamp::from_unix(zone.at));
        poll(&pipeline, &runtime)?;
        pipeline.notify().queue_alerts()?;
        if hour % 24 == DIGEST_HOUR {
            pipeline.notify().queue_digest()?;
        }
        runtime.block_on(pipeline.notify().deliver())?;
        if hour % 24 == 0 {
            eprintln!("day {}: {:.1} CPU s", hour / 24, cpu_seconds() - cpu_start);
        }
    }
    let cpu = cpu_seconds() - cpu_start - baseline;
    report(&pipeline, &fluxes, zone.lines, delegations, days, cpu)
}

/// Opens the pipeline.
fn open(folder: &Path, clock: Arc<SetClock>) -> Result<Pipeline, Box<dyn std::error::Error>> {
    let config = Config::load(&folder.join("fluxwatch.toml"))?;
    let options = StoreOptions {
        reverse_index: true,
        create: true,
    };
    let store = Store::open(&config.store_url, options)?;
    Ok(Pipeline::new(store, Arc::new(config), clock)?)
}

/// Runs one pass.
fn poll(
    pipeline: &Pipeline,
    runtime: &tokio::runtime::Runtime,
) -> Result<(), Box<dyn std::error::Error>> {
    let config = pipeline.config().clone();
    let sources: Vec<_> = config.sources.iter().collect();
    let options = PollOptions {
        mail_wanted: true,
        ..PollOptions::default()
    };
    runtime.block_on(
        pipeline
            .ingest()
            .poll(&sources, None, &options, &mut |_| {}),
    )?;
    Ok(())
}

/// Prints what came of it.
fn report(
    pipeline: &Pipeline,
    fluxes: &[Flux],
    lines: u64,
    delegations: usize,
    days: usize,
    cpu: f64,
) -> Result<(), Box<dyn std::error::Error>> {
    let store = pipeline.store();
    let cases = store.desk().cases(&CaseState::ALL)?;
    let reported: BTreeMap<String, Timestamp> = cases
        .iter()
        .filter(|row| row.case.peak_level == Level::Report)
        .filter_map(|row| Some((row.case.domain.to_string(), row.case.told.at?)))
        .collect();
    let names: BTreeSet<&str> = fluxes.iter().map(|it| it.name.as_str()).collect();
    let missed: Vec<&str> = names
        .iter()
        .filter(|it| !reported.contains_key(**it))
        .copied()
        .collect();
    let wrong: Vec<&String> = reported
        .keys()
        .filter(|it| !names.contains(it.as_str()))
        .collect();
    let mut by_day: BTreeMap<i64, BTreeMap<&str, u32>> = BTreeMap::new();
    for row in store.desk().messages(false)? {
        let day = (row.queued_at.unix() - START) / 86_400;
        *by_day
            .entry(day)
            .or_default()
            .entry(row.message.kind.word())
            .or_default() += 1;
    }
    let counts: Vec<u32> = by_day.values().map(|kinds| kinds.values().sum()).collect();
    let total: u32 = counts.iter().sum();
    let mut kinds: BTreeMap<&str, u32> = BTreeMap::new();
    for (kind, count) in by_day.values().flatten() {
        *kinds.entry(kind).or_default() += count;
    }
    let review = cases
        .iter()
        .filter(|row| row.case.peak_level == Level::Review)
        .count();
    println!("delegations {delegations}, days {days}, lines {lines}");
    println!(
        "flux domains {}, reported {}, missed {missed:?}",
        names.len(),
        names.len() - missed.len()
    );
    println!(
        "others reported {wrong:?}, others at review {review}, cases in all {}",
        cases.len()
    );
    println!(
        "mails {total}: {kinds:?}; {:.1} a day, at most {}",
        f64::from(total) / days as f64,
        counts.iter().max().unwrap_or(&0)
    );
    println!("CPU s for the month, after the baseline: {cpu:.0}");
    Ok(())
}

/// Returns the CPU seconds of this process so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(") ")
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let ticks = |i: usize| {
        fields
            .get(i)
            .and_then(|it| it.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}
