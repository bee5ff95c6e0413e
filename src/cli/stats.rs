//! `fluxwatch stats`.

use std::io::Write;
use std::path::Path;

use crate::cli::arguments::{MonthFormat, StatsCommand};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{stdout, table};
use crate::cli::session::{load_config, open_pipeline, open_to_look};
use crate::desk::numbers;
use crate::report::{Statistics, StatisticsRow};
use crate::time::{Clock, Span, WallClock};

/// Runs the command.
pub fn run(config: Option<&Path>, command: &StatsCommand) -> Result<Done, Failure> {
    let (from, to) = match &command.month {
        Some(month) => numbers::read_month(month).map_err(|_| {
            Failure::usage(format!(
                "--month: {month:?} is not a month; write YYYY-MM, such as 2026-11"
            ))
        })?,
        None => numbers::month_of(WallClock.now()),
    };
    let config = load_config(config)?;
    let store = open_to_look(&config)?;
    let pipeline = open_pipeline(config, store)?;
    print(&numbers::count(&pipeline, from, to)?, command.format)
}

/// Prints the numbers.
fn print(statistics: &Statistics, format: MonthFormat) -> Result<Done, Failure> {
    let mut out = stdout();
    let rows = || std::iter::once(&statistics.all).chain(&statistics.rows);
    match format {
        MonthFormat::Json => {
            serde_json::to_writer_pretty(&mut out, statistics)?;
            writeln!(out)?;
        }
        MonthFormat::Table => print_table(&mut out, statistics)?,
        MonthFormat::Csv => {
            let mut writer = csv::Writer::from_writer(&mut out);
            let reasons = crate::case::DismissReason::ALL.map(|it| it.word());
            let mut headings: Vec<String> = [
                "zone",
                "registrar",
                "opened",
                "reopened",
                "reported",
                "acknowledged",
                "mitigated",
                "closed",
                "dismissed",
                "first_review_s",
                "mitigation_s",
                "mails_sent",
                "mails_failed",
            ]
            .map(str::to_owned)
            .to_vec();
            headings.extend(
                reasons
                    .iter()
                    .map(|it| format!("dismissed_{}", it.replace('-', "_"))),
            );
            writer.write_record(&headings)?;
            for row in rows() {
                let number = |it: Option<i64>| it.map_or_else(String::new, |it| it.to_string());
                let mut cells = vec![
                    row.zone.clone(),
                    row.registrar.clone(),
                    row.opened.to_string(),
                    row.reopened.to_string(),
                    row.reported.to_string(),
                    row.acknowledged.to_string(),
                    row.mitigated.to_string(),
                    row.closed.to_string(),
                    dismissed(row).to_string(),
                    number(row.first_review_s),
                    number(row.mitigation_s),
                    row.mails_sent.to_string(),
                    row.mails_failed.to_string(),
                ];
                let of = |reason: &&str| row.dismissed.get(reason).copied().unwrap_or(0);
                cells.extend(reasons.iter().map(|it| of(it).to_string()));
                // A registrar's name comes from a file of others.
                let safe = cells.iter().map(|it| crate::report::safe_cell(it));
                writer.write_record(safe)?;
            }
            writer.flush()?;
        }
    }
    out.flush()?;
    Ok(Done::Well)
}

/// Prints the numbers for people.
fn print_table(out: &mut impl Write, statistics: &Statistics) -> Result<(), Failure> {
    let last = statistics.to - Span::seconds(1);
    let (from, to) = (statistics.from.to_date(), last.to_date());
    writeln!(out, "From {from} to {to} (UTC)\n")?;
    let rows = || std::iter::once(&statistics.all).chain(&statistics.rows);
    let has_registrars = rows().any(|row| !row.registrar.is_empty());
    let mut headings = vec!["zone"];
    headings.extend(has_registrars.then_some("registrar"));
    headings.extend([
        "opened",
        "again",
        "told",
        "acked",
        "mitigated",
        "dismissed",
        "closed",
    ]);
    let cells = |row: &StatisticsRow| table_cells(row, has_registrars);
    writeln!(out, "{}\n", table(&headings, rows().map(cells)))?;
    let all = &statistics.all;
    let span =
        |it: Option<i64>| it.map_or_else(|| "none".to_owned(), |it| Span::seconds(it).to_string());
    writeln!(
        out,
        "Median from the detection to the first review: {}, to the mitigation: {}",
        span(all.first_review_s),
        span(all.mitigation_s)
    )?;
    let (sent, failed) = (all.mails_sent, all.mails_failed);
    writeln!(out, "Messages sent: {sent}, failed: {failed}")?;
    for (reason, count) in &all.dismissed {
        writeln!(out, "Dismissed as {reason}: {count}")?;
    }
    Ok(())
}

/// Returns a row of the table.
fn table_cells(row: &StatisticsRow, with_registrar: bool) -> Vec<String> {
    let mut cells = vec![row.zone.trim_end_matches('.').to_owned()];
    if with_registrar {
        cells.push(row.registrar.clone());
    }
    let counts = [
        row.opened,
        row.reopened,
        row.reported,
        row.acknowledged,
        row.mitigated,
        dismissed(row),
        row.closed,
    ];
    cells.extend(counts.map(|count| count.to_string()));
    cells
}

/// Returns how many cases were dismissed, for whatever reason.
fn dismissed(row: &StatisticsRow) -> u32 {
    row.dismissed.values().sum()
}
