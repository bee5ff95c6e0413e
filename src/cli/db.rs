//! `fluxwatch db`.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::cli::arguments::{DbBackup, DbCommand, DbMove, DbPrune, DbStats, DbVerify, StatsFormat};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{stdout, table};
use crate::cli::session::{load_config, open_store, open_to_look};
use crate::count::counted;
use crate::evidence::Hash;
use crate::pipeline::{PrunePlan, Retention};
use crate::place::{ServerUrl, StoreUrl};
use crate::store::{DatabaseStats, PollerLock, Store, StoreError, StoreOptions, Verification};
use crate::time::{Clock, Timestamp, WallClock};

/// Runs the command.
pub fn run(config: Option<&Path>, command: &DbCommand) -> Result<Done, Failure> {
    match command {
        DbCommand::Backup(command) => backup(config, command),
        DbCommand::Verify(command) => verify(config, command),
        DbCommand::Recount => recount(config),
        DbCommand::Prune(command) => prune(config, command),
        DbCommand::Stats(command) => stats(config, command),
        DbCommand::Move(command) => move_to(config, command),
    }
}

/// Returns a spinner; hidden unless stderr is a terminal.
pub(super) fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{spinner} {elapsed} {msg}").expect("a sound template");
    ProgressBar::new_spinner().with_style(style)
}

/// Writes a copy.
fn backup(config: Option<&Path>, command: &DbBackup) -> Result<Done, Failure> {
    let store = open_to_look(&load_config(config)?)?;
    if command.file.exists() {
        let what = format!("{} exists already", command.file.display());
        return Err(Failure::usage(what).hint(
            "a backup is never written over another file: name a new file, or remove this one first",
        ));
    }
    store.upkeep().backup(&command.file)?;
    let mut out = stdout();
    let size = std::fs::metadata(&command.file)
        .map_err(|error| Failure::file(&command.file, &error))?
        .len();
    writeln!(out, "{}: {size} octets, sound", command.file.display())?;
    out.flush()?;
    Ok(Done::Well)
}

/// Copies everything into another database.
fn move_to(config: Option<&Path>, command: &DbMove) -> Result<Done, Failure> {
    let config = load_config(config)?;
    if config.store_url.is_absent() {
        return Err(StoreError::Missing(config.store_url.to_string().into()).into());
    }
    let to = place_of(command)?;
    if to.file().is_some_and(Path::exists) {
        return Err(Failure::usage(format!("{to} exists already"))
            .hint("a database is moved into a new file: name another"));
    }
    let held = |at: &StoreUrl| -> Result<PollerLock, Failure> {
        PollerLock::take(at, false)?.ok_or_else(|| {
            Failure::local(format!(
                "another fluxwatch polls into {at}; nothing was moved"
            ))
            .hint("stop it, or wait until it ends")
        })
    };
    let _locks = (held(&config.store_url)?, held(&to)?);
    let (store, options) = (
        open_store(&config)?,
        StoreOptions {
            reverse_index: config.reverse_index,
            create: true,
        },
    );
    let other = Store::open(&to, options)?;
    let bar = spinner();
    let rows = store.upkeep().move_to(&other, |table, rows| {
        bar.set_message(format!("{table}: {rows} rows"))
    })?;
    bar.finish_and_clear();
    let mut out = stdout();
    writeln!(
        out,
        "{rows} rows copied from {} to {to}. `fluxwatch db verify` checks them once [store] names it; the old database is as it was",
        config.store_url
    )?;
    out.flush()?;
    Ok(Done::Well)
}

/// Returns where a database is to be moved.
fn place_of(command: &DbMove) -> Result<StoreUrl, Failure> {
    if !command.to.contains("://") {
        return Ok(Path::new(&command.to).into());
    }
    let usage = |what: String| Failure::usage(format!("--to {what}"));
    let folder =
        tempfile::tempdir().map_err(|error| Failure::file(&std::env::temp_dir(), &error))?;
    let mut server = ServerUrl::parse(&command.to, folder.path().join("cache")).map_err(usage)?;
    if let Some(file) = &command.password_file {
        server = server.with_password_file(file.clone());
    }
    if let Some(file) = &command.ca_file {
        server = server.with_authorities(file.clone());
    }
    Ok(StoreUrl::Server(Arc::new(server)))
}

/// What a check found, as scripts read it.
#[derive(Serialize)]
struct VerifyJson<'a> {
    sound: bool,
    zones: u64,
    records: u64,
    versions: u64,
    versions_before_cut: u64,
    faults: &'a [String],
    /// Empty if it is not sound.
    hashes: &'a [HashJson],
}

/// A hash that was asked for, as scripts read it.
#[derive(Serialize)]
struct HashJson {
    hash: String,
    /// The zone of the version that has it, final dot included; `null` if none has it.
    zone: Option<String>,
    at: Option<Timestamp>,
    serial: Option<u32>,
}

/// Checks everything, and finds the hashes that were asked for.
fn verify(config: Option<&Path>, command: &DbVerify) -> Result<Done, Failure> {
    let parse = |text: &String| {
        Hash::parse(text).ok_or_else(|| {
            Failure::usage(format!("--hash: {text:?} is no SHA-256"))
                .hint("a report prints 64 hexadecimal digits for each zone")
        })
    };
    let hashes: Vec<Hash> = command.hashes.iter().map(parse).collect::<Result<_, _>>()?;
    let store = open_to_look(&load_config(config)?)?;
    let progress = spinner();
    let found = store.upkeep().verify(|what| {
        progress.set_message(what.to_owned());
        progress.tick();
    })?;
    progress.finish_and_clear();
    let hashes = if found.faults.is_empty() {
        find_hashes(&store, &hashes)?
    } else {
        Vec::new()
    };
    match command.format {
        StatsFormat::Json => print_verified_json(&found, &hashes)?,
        StatsFormat::Table => print_verified(&found, &hashes)?,
    }
    if found.faults.is_empty() {
        require_found(&hashes)?;
        return Ok(Done::Well);
    }
    let count = match found.faults.len() as u64 {
        // The check gathers no more than that.
        100 => "100 faults or more".to_owned(),
        count => counted(count, "fault"),
    };
    let failure = Failure::local(format!("the database is not sound: {count}"));
    Err(failure.hint(if found.is_damaged {
        "restore the last backup that `fluxwatch db verify` finds sound; docs/how-to/back-up-upgrade-and-restore.md says how"
    } else {
        "the records are sound, what is counted from them is not: run `fluxwatch db recount`, which computes it again"
    }))
}

/// Prints what a check found, for scripts.
fn print_verified_json(found: &Verification, hashes: &[HashJson]) -> Result<(), Failure> {
    let mut out = stdout();
    let json = VerifyJson {
        sound: found.faults.is_empty(),
        zones: found.zones,
        records: found.records,
        versions: found.versions,
        versions_before_cut: found.versions_before_cut,
        faults: &found.faults,
        hashes,
    };
    serde_json::to_writer_pretty(&mut out, &json)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Prints what a check found, for people.
fn print_verified(found: &Verification, hashes: &[HashJson]) -> Result<(), Failure> {
    let mut out = stdout();
    for fault in &found.faults {
        writeln!(out, "{fault}")?;
    }
    if found.faults.is_empty() {
        writeln!(
            out,
            "sound: {}, {}, {} by their hashes{}",
            counted(found.zones, "zone"),
            counted(found.records, "record"),
            counted(found.versions, "version"),
            match found.versions_before_cut {
                0 => String::new(),
                count => format!(", {count} before the cut of retention by the chain alone"),
            }
        )?;
    }
    for HashJson {
        hash,
        zone,
        at,
        serial,
    } in hashes
    {
        let (Some(zone), Some(at)) = (zone, at) else {
            continue;
        };
        let serial = serial.map_or_else(String::new, |serial| format!(", serial {serial}"));
        writeln!(
            out,
            "{hash}: zone {zone} at {at}{serial}; nothing up to then was edited since"
        )?;
    }
    Ok(out.flush()?)
}

/// Returns which version has each hash. The chain is sound: so what was recorded up to that version is what
/// it was when the hash was printed.
fn find_hashes(store: &Store, hashes: &[Hash]) -> Result<Vec<HashJson>, Failure> {
    let find = |hash: &Hash| {
        let found = store.ledger().link_of_hash(*hash)?;
        let link = found.as_ref().map(|(_, link)| &link.head);
        Ok(HashJson {
            hash: hash.to_string(),
            zone: found.as_ref().map(|(apex, _)| apex.to_string()),
            at: link.map(|link| link.at),
            serial: link.and_then(|link| link.serial).map(|serial| serial.0),
        })
    };
    hashes.iter().map(find).collect()
}

/// Fails if a hash is that of no version.
fn require_found(hashes: &[HashJson]) -> Result<(), Failure> {
    let missing = hashes.iter().filter(|it| it.zone.is_none());
    let missing: Vec<&str> = missing.map(|it| it.hash.as_str()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(", ");
    Err(
        Failure::failed(format!("no version of any zone has the hash {missing}")).hint(
            "the report is of another database, or what it rests on was edited and hashed anew",
        ),
    )
}

/// Makes anew what is counted from the records.
fn recount(config: Option<&Path>) -> Result<Done, Failure> {
    let config = load_config(config)?;
    if config.store_url.is_absent() {
        return Err(StoreError::Missing(config.store_url.to_string().into()).into());
    }
    let Some(_lock) = PollerLock::take(&config.store_url, false)? else {
        return Err(Failure::local(
            "another fluxwatch polls into the database; nothing was counted",
        )
        .hint("stop it, or wait until it ends"));
    };
    let store = open_store(&config)?;
    let progress = spinner();
    store.upkeep().recount(|what| {
        progress.set_message(what.to_owned());
        progress.tick();
    })?;
    progress.finish_and_clear();
    let mut out = stdout();
    writeln!(out, "counted anew")?;
    out.flush()?;
    Ok(Done::Well)
}

/// Forgets what is older than the configuration keeps.
fn prune(config: Option<&Path>, command: &DbPrune) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let store = if command.dry_run {
        open_to_look(&config)?
    } else {
        open_store(&config)?
    };
    let retention = Retention::new(&store, &config, WallClock.now());
    let plan = retention.plan()?;
    print_plan(&plan)?;
    if command.dry_run {
        return Ok(Done::Well);
    }
    let progress = spinner();
    let removed = retention.prune(&plan, |removed| {
        progress.set_message(format!("{} removed", counted(removed, "past record")));
        progress.tick();
        true
    })?;
    let removed = removed.count();
    if command.shrink {
        while store.upkeep().give_back_some()? {
            progress.set_message("giving free pages back");
            progress.tick();
        }
    }
    progress.finish_and_clear();
    let mut out = stdout();
    writeln!(out, "{} removed", counted(removed, "past record"))?;
    out.flush()?;
    Ok(Done::Well)
}

/// Prints what a prune takes.
fn print_plan(plan: &PrunePlan) -> Result<(), Failure> {
    let mut out = stdout();
    if plan.cuts.is_empty() {
        writeln!(out, "nothing is older than what is kept")?;
    } else {
        let rows = plan.cuts.iter().map(|cut| {
            vec![
                cut.apex.to_text_without_dot(),
                cut.view.word().to_owned(),
                cut.cut.to_table(),
                cut.count.past_records.to_string(),
                cut.count.change_lists.to_string(),
                cut.count.gaps.to_string(),
            ]
        });
        let headings = [
            "zone",
            "view",
            "removed before (utc)",
            "records",
            "change lists",
            "gaps",
        ];
        writeln!(out, "{}", table(&headings, rows))?;
    }
    if plan.over_budget_octets > 0 {
        writeln!(
            out,
            "about {} octets above retention.size_bytes_max stay: the detector looks back to what holds them",
            plan.over_budget_octets
        )?;
    }
    Ok(out.flush()?)
}

/// What the database holds, as scripts read it.
#[derive(Serialize)]
struct StatsJson<'a> {
    file_bytes: u64,
    free_bytes: u64,
    wal_bytes: u64,
    zones: u64,
    records: u64,
    past_records: u64,
    changes: u64,
    bytes_per_change: Option<f64>,
    changes_30d: u64,
    growth_bytes_per_day: Option<f64>,
    growth_bytes_per_year: Option<f64>,
    tables: Vec<TableJson<'a>>,
}

/// A table or an index, as scripts read it.
#[derive(Serialize)]
struct TableJson<'a> {
    name: &'a str,
    bytes: u64,
    rows: Option<u64>,
}

/// Prints what the database holds.
fn stats(config: Option<&Path>, command: &DbStats) -> Result<Done, Failure> {
    let stats = open_to_look(&load_config(config)?)?.upkeep().stats()?;
    let mut out = stdout();
    match command.format {
        StatsFormat::Table => print_stats(&mut out, &stats)?,
        StatsFormat::Json => {
            let tables = stats.tables.iter().map(|table| TableJson {
                name: &table.name,
                bytes: table.octets,
                rows: table.rows,
            });
            let json = StatsJson {
                file_bytes: stats.file_octets,
                free_bytes: stats.free_octets,
                wal_bytes: stats.wal_octets,
                zones: stats.zones,
                records: stats.records,
                past_records: stats.past_records,
                changes: stats.changes,
                bytes_per_change: stats.octets_per_change,
                changes_30d: stats.changes_lately,
                growth_bytes_per_day: stats.growth_octets_per_day,
                growth_bytes_per_year: stats.growth_octets_per_day.map(|day| day * 365.0),
                tables: tables.collect(),
            };
            serde_json::to_writer_pretty(&mut out, &json)?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(Done::Well)
}

/// Prints what the database holds, for people.
fn print_stats(out: &mut impl Write, stats: &DatabaseStats) -> Result<(), Failure> {
    let number = |value: Option<f64>| {
        value.map_or("not known yet".to_owned(), |value| format!("{value:.1}"))
    };
    writeln!(
        out,
        "file               {} octets, {} of them free; log {}",
        stats.file_octets, stats.free_octets, stats.wal_octets
    )?;
    writeln!(out, "zones              {}", stats.zones)?;
    writeln!(
        out,
        "records            {} there, {} past",
        stats.records, stats.past_records
    )?;
    writeln!(
        out,
        "changes            {} ({} octets each)",
        stats.changes,
        number(stats.octets_per_change)
    )?;
    writeln!(out, "changes, 30 days   {}", stats.changes_lately)?;
    match stats.growth_octets_per_day {
        Some(day) => writeln!(
            out,
            "growth             {day:.0} octets a day, {:.0} a year at this rate",
            day * 365.0
        )?,
        None => writeln!(
            out,
            "growth             not known before a day of changes is there"
        )?,
    }
    let rows = stats.tables.iter().map(|table| {
        let rows = table.rows.map_or_else(String::new, |rows| rows.to_string());
        vec![table.name.clone(), table.octets.to_string(), rows]
    });
    Ok(writeln!(
        out,
        "\n{}",
        table(&["table or index", "octets", "rows"], rows)
    )?)
}
