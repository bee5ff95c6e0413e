//! `fluxwatch config`.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::arguments::{CheckFormat, ConfigCheck, ConfigCommand};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{stdout, write_json_pretty};
use crate::cli::plain::plain;
use crate::cli::session::{find_config, load_config};
use crate::config::{Config, Fault, FittedLimit, Schedule, TEMPLATE, Weight, schema};
use crate::count::counted;
use crate::pipeline::{TableInUse, check_surroundings, examine_parts, table_warnings};
use crate::store::{Store, shown_url};
use crate::time::{Clock, CronLine, TimeZone, Timestamp, WallClock};

/// How many of a schedule's next times are shown.
const TIMES_SHOWN: usize = 3;

/// What a check found, as scripts read it.
#[derive(Serialize)]
struct CheckJson {
    file: PathBuf,
    sound: bool,
    faults: Vec<Fault>,
    limits: Vec<FittedLimit>,
    schedules: Vec<ScheduleJson>,
    tables: Vec<TableJson>,
}

/// A cron line and its next times.
#[derive(Serialize)]
struct ScheduleJson {
    key: String,
    source: Option<String>,
    cron: String,
    timezone: &'static str,
    next: Vec<Timestamp>,
}

/// A table that is in use.
#[derive(Serialize)]
struct TableJson {
    key: &'static str,
    path: PathBuf,
    rows: usize,
    unit: &'static str,
    made_at: Option<Timestamp>,
    notes: Vec<String>,
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ConfigCommand) -> Result<Done, Failure> {
    match command {
        ConfigCommand::Template => {
            let mut out = stdout();
            out.write_all(TEMPLATE.as_bytes())?;
            out.flush()?;
            Ok(Done::Well)
        }
        ConfigCommand::Schema => {
            let mut out = stdout();
            write_json_pretty(&mut out, &schema())?;
            writeln!(out)?;
            out.flush()?;
            Ok(Done::Well)
        }
        ConfigCommand::Show => run_show(config),
        ConfigCommand::Check(check) => run_check(config, check),
    }
}

/// Prints the configuration as it was understood, without what the URLs of webhooks may hold of secrets.
fn run_show(config: Option<&Path>) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let mut shown = config.written.clone();
    shown.limits = config.limits;
    for webhook in &mut shown.webhook {
        webhook.url = webhook.url.as_deref().map(shown_url);
    }
    let text =
        toml::to_string_pretty(&shown).map_err(|fault| Failure::failed(fault.to_string()))?;
    let mut out = stdout();
    writeln!(out, "# {}", config.path.display())?;
    for limit in &config.fitted_limits {
        let FittedLimit {
            key, value, reason, ..
        } = limit;
        writeln!(out, "# {key} is not set: {value}, {reason}")?;
    }
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(Done::Well)
}

/// Checks the file and everything that it names, and says all that is wrong.
fn run_check(config: Option<&Path>, command: &ConfigCheck) -> Result<Done, Failure> {
    let (config, mut faults) = Config::examine(&find_config(config)?)?;
    let parts = examine_parts(&config, &mut faults);
    if let (Some(parts), Ok(store)) = (&parts, Store::open_read_only(&config.store_url)) {
        faults.extend(parts.check_answers(&config, &store));
    }
    let tables = parts.map_or(Vec::new(), |parts| parts.tables(&config));
    faults.extend(check_surroundings(&config));
    if faults.iter().all(|it| it.key != "enrich.asn") {
        faults.extend(table_warnings(&config, &tables, WallClock.now()));
    }
    faults.extend(config.warnings.iter().cloned());
    faults.sort_by_key(|fault| fault.line);
    let errors = faults
        .iter()
        .filter(|fault| fault.severity == Weight::Error)
        .count();
    let found = CheckJson {
        file: config.path.clone(),
        sound: errors == 0,
        limits: config.fitted_limits.clone(),
        schedules: schedules(&config, WallClock.now()),
        tables: tables.into_iter().map(table_json).collect(),
        faults,
    };
    let mut out = stdout();
    match command.format {
        CheckFormat::Json => {
            write_json_pretty(&mut out, &found)?;
            writeln!(out)?;
        }
        CheckFormat::Text => write_check(&mut out, &config, &found)?,
    }
    out.flush()?;
    if errors == 0 {
        return Ok(Done::Well);
    }
    let sentence = format!("{}: {}", config.path.display(), counted(errors, "fault"));
    Err(Failure::usage(sentence))
}

/// Writes what a check found, for people.
fn write_check(out: &mut impl Write, config: &Config, found: &CheckJson) -> Result<(), Failure> {
    let mut talk = std::io::stderr();
    for fault in &found.faults {
        let word = match fault.severity {
            Weight::Error => "error",
            Weight::Warning => "warning",
        };
        writeln!(talk, "{word}: {}", plain(&fault.to_string()))?;
    }
    for note in found.tables.iter().flat_map(|table| &table.notes) {
        writeln!(talk, "note: {}", plain(note))?;
    }
    if !found.sound {
        // Nothing stands between the faults and their count: what is used otherwise is asked for when they are mended.
        return Ok(());
    }
    let mail = match &config.mail {
        Some(mail) => format!("reports are mailed to {}", mail.desk.join(", ")),
        None => "no mail is sent: [report] and [smtp] are not both set".to_owned(),
    };
    let sources = counted(config.written.source.len(), "source");
    let keys = counted(config.keys.len(), "key");
    writeln!(
        out,
        "{}: no errors; {sources}, {keys}; {mail}",
        config.path.display()
    )?;
    for limit in &found.limits {
        writeln!(
            out,
            "limit {}: {}, {}; set it to choose",
            limit.key,
            shown(limit),
            limit.reason
        )?;
    }
    for table in &found.tables {
        let TableJson {
            key,
            path,
            rows,
            unit,
            ..
        } = table;
        let date = table
            .made_at
            .map_or(String::new(), |at| format!(", of {}", at.to_date()));
        let rows = counted(*rows, unit.trim_end_matches('s'));
        writeln!(out, "table {key}: {}: {rows}{date}", path.display())?;
    }
    for schedule in &found.schedules {
        let zone = config.zone;
        let times: Vec<String> = schedule.next.iter().map(|at| zone.to_text(*at)).collect();
        let ScheduleJson {
            key,
            cron,
            timezone,
            ..
        } = schedule;
        let of = schedule
            .source
            .as_ref()
            .map_or(String::new(), |name| format!(" of {name}"));
        writeln!(
            out,
            "schedule {key}{of}, \"{cron}\", {timezone}: {}",
            times.join(", ")
        )?;
    }
    Ok(())
}

/// Returns a limit as people read it: octets in units of 1,024.
fn shown(limit: &FittedLimit) -> String {
    if !limit.key.ends_with("octets") {
        return limit.value.to_string();
    }
    match limit.value {
        value if value >= 1 << 30 => format!("{:.1} GiB", value as f64 / f64::from(1 << 30)),
        value => format!("{:.1} MiB", value as f64 / f64::from(1 << 20)),
    }
}

/// Returns every cron line with its next times.
fn schedules(config: &Config, now: Timestamp) -> Vec<ScheduleJson> {
    let mut all = Vec::new();
    for source in &config.sources {
        if let Schedule::Cron(line, zone) = &source.schedule {
            all.push(schedule_json(
                "source.cron",
                Some(&source.name),
                line,
                *zone,
                now,
            ));
        }
    }
    let digest = config.mail.as_ref().and_then(|mail| mail.digest.as_ref());
    all.extend(digest.map(|line| schedule_json("report.digest", None, line, config.zone, now)));
    // One that never comes due is a fault, and told as that.
    all.retain(|schedule| !schedule.next.is_empty());
    all
}

/// Returns a cron line with its next times.
fn schedule_json(
    key: &str,
    source: Option<&String>,
    line: &CronLine,
    zone: TimeZone,
    now: Timestamp,
) -> ScheduleJson {
    let next = std::iter::successors(line.next_after(now, zone), |at| line.next_after(*at, zone));
    ScheduleJson {
        key: key.to_owned(),
        source: source.cloned(),
        cron: line.to_string(),
        timezone: zone.name(),
        next: next.take(TIMES_SHOWN).collect(),
    }
}

/// Returns a table as scripts read it.
fn table_json(table: TableInUse) -> TableJson {
    TableJson {
        key: table.key,
        path: table.path,
        rows: table.summary.rows,
        unit: table.summary.unit,
        made_at: table.summary.made_at,
        notes: table.summary.notes,
    }
}
