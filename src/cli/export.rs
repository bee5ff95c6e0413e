//! `fluxwatch export`: evidence about a domain, or history for other engines.

use std::io::Write;
use std::path::Path;

use indicatif::HumanCount;

use crate::cli::arguments::{self, ExportCommand};
use crate::cli::db::spinner;
use crate::cli::evidence;
use crate::cli::failure::{Done, Failure};
use crate::cli::session::{load_config, open_for_lookups, parse_name};
use crate::count::counted;
use crate::export::{DayWriter, ExportError, ExportFormat, whole_days};
use crate::store::{ExportRange, View};
use crate::time::{Clock, Timestamp, WallClock};

/// How many rows are written between two looks at the bar.
const ROWS_A_TICK: u64 = 10_000;

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ExportCommand) -> Result<Done, Failure> {
    if let Some(domain) = &command.domain {
        return evidence::export(config, domain, command.output.as_deref());
    }
    let (Some(format), Some(folder)) = (command.format, &command.to) else {
        return Err(Failure::usage(
            "export needs --domain, or --format and --to",
        ));
    };
    let time = |option: &str, text: &Option<String>| {
        let parse = |text: &String| {
            Timestamp::parse_argument(text, WallClock.now())
                .map_err(|fault| Failure::usage(format!("{option}: {fault}")))
        };
        text.as_ref().map(parse).transpose()
    };
    let (since, before) = whole_days(
        time("--since", &command.since)?,
        time("--until", &command.until)?,
    );
    let zones = command.zone.iter().map(|zone| parse_name(zone));
    let range = ExportRange {
        zones: zones.collect::<Result<_, _>>()?,
        since,
        before,
    };
    let store = open_for_lookups(&load_config(config)?)?;
    for zone in &range.zones {
        if store
            .zones()
            .zones_enclosing(zone)?
            .first()
            .is_none_or(|it| it.apex != *zone)
        {
            return Err(Failure::failed(format!(
                "no history of zone {}",
                zone.to_text_without_dot()
            )));
        }
    }
    let format = match format {
        arguments::ExportFormat::Parquet => ExportFormat::Parquet,
        arguments::ExportFormat::Ndjson => ExportFormat::Ndjson,
        arguments::ExportFormat::Csv => ExportFormat::Csv,
    };
    let mut writer = DayWriter::new(folder, format).map_err(failure)?;
    let bar = spinner();
    let mut rows = 0;
    let result = store.lookup().export_moves(&range, |row| {
        rows += 1;
        if rows % ROWS_A_TICK == 0 {
            let day = row.at.to_date();
            bar.set_message(format!("{} rows, {day}", HumanCount(rows)));
        }
        writer.take(row)
    });
    result.map_err(failure)?;
    let exported = writer.finish().map_err(failure)?;
    bar.finish_and_clear();
    let mut stderr = std::io::stderr();
    writeln!(
        stderr,
        "{} in {}, below {}",
        counted(exported.rows, "row"),
        counted(exported.days, "day"),
        folder.display()
    )?;
    // What retention has taken is not in the files; whoever reads them must know.
    for zone in store.upkeep().every_view()? {
        let is_wanted = range.zones.is_empty() || range.zones.contains(&zone.apex);
        if let Some(kept_since) = zone.kept_since.filter(|_| is_wanted)
            && zone.view != View::Passive
            && range.since.is_none_or(|since| since < kept_since)
        {
            writeln!(
                stderr,
                "zone {}: what happened before {kept_since} was pruned",
                zone.apex
            )?;
        }
    }
    Ok(Done::Well)
}

/// Returns why an export ended early.
fn failure(error: ExportError) -> Failure {
    match error {
        ExportError::Store(error) => error.into(),
        ExportError::Io { path, fault } => Failure::file(&path, &fault),
    }
}
