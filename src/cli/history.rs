//! `fluxwatch history`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::arguments::{HistoryCommand, HistoryFormat};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{stdout, table};
use crate::cli::session::{load_config, open_store, parse_name};
use crate::dns::{Name, RecordType, Serial};
use crate::store::{ChangeRow, Gap, History, HistoryScope, RecordRow};
use crate::time::Timestamp;

/// A record, as scripts read it.
#[derive(Serialize)]
struct RecordJson<'a> {
    rrname: &'a Name,
    rrtype: RecordType,
    rdata: String,
    ttl: u32,
    zone: &'a Name,
    added_at: Timestamp,
    added_serial: Option<Serial>,
    removed_at: Option<Timestamp>,
    removed_serial: Option<Serial>,
    source: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    baseline: bool,
}

/// A change, as scripts read it.
#[derive(Serialize)]
struct ChangeJson<'a> {
    at: Timestamp,
    rrname: &'a Name,
    rrtype: RecordType,
    serial: Option<Serial>,
    added: Vec<String>,
    removed: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    bulk: bool,
}

/// A time in which a zone could not be seen, as scripts read it.
#[derive(Serialize)]
struct GapJson<'a> {
    zone: &'a Name,
    from: Timestamp,
    to: Timestamp,
    reason: &'a str,
}

/// A history, as scripts read it.
#[derive(Serialize)]
struct HistoryJson<'a> {
    name: &'a Name,
    records: Vec<RecordJson<'a>>,
    changes: Vec<ChangeJson<'a>>,
    gaps: Vec<GapJson<'a>>,
}

/// A record in the passive DNS common output format (draft-dulaunoy-dnsop-passive-dns-cof).
#[derive(Serialize)]
struct CofJson<'a> {
    rrname: &'a Name,
    rrtype: RecordType,
    rdata: String,
    time_first: i64,
    time_last: i64,
    zone_time_first: i64,
    zone_time_last: i64,
    bailiwick: &'a Name,
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &HistoryCommand) -> Result<Done, Failure> {
    if command.name.parse::<std::net::IpAddr>().is_ok() {
        return Err(Failure::usage(format!(
            "{} is an address; history is looked up by name",
            command.name
        )));
    }
    let name = parse_name(&command.name)?;
    let store = open_store(&load_config(config)?)?;
    let scope = if command.exact {
        HistoryScope::Name
    } else {
        HistoryScope::AtOrBelow
    };
    let history = store.history(&name, scope)?;
    let mut out = stdout();
    match command.format {
        HistoryFormat::Table => print_tables(&mut out, &name, &history)?,
        HistoryFormat::Json => {
            let json = HistoryJson {
                name: &name,
                records: history.records.iter().map(record_json).collect(),
                changes: history.changes.iter().map(change_json).collect(),
                gaps: history.gaps.iter().map(gap_json).collect(),
            };
            serde_json::to_writer_pretty(&mut out, &json)?;
            writeln!(out)?;
        }
        HistoryFormat::Ndjson => {
            for record in &history.records {
                serde_json::to_writer(&mut out, &record_json(record))?;
                writeln!(out)?;
            }
            for change in &history.changes {
                serde_json::to_writer(&mut out, &change_json(change))?;
                writeln!(out)?;
            }
        }
        HistoryFormat::Csv => print_csv(&mut out, &history)?,
        HistoryFormat::Cof => {
            for record in &history.records {
                serde_json::to_writer(&mut out, &cof_json(record))?;
                writeln!(out)?;
            }
        }
    }
    out.flush()?;
    Ok(Done::Well)
}

/// Prints changes, newest first, and what is there now.
fn print_tables(out: &mut impl Write, name: &Name, history: &History) -> Result<(), Failure> {
    if history.records.is_empty() {
        return Ok(writeln!(out, "no history of {name}")?);
    }
    let present = history
        .records
        .iter()
        .filter(|record| record.removed_at.is_none());
    let now: Vec<Vec<String>> = present.map(present_cells).collect();
    if now.is_empty() {
        writeln!(out, "Nothing is there now.")?;
    } else {
        let headings = ["name", "type", "data", "ttl", "since (utc)"];
        writeln!(out, "There now:\n{}", table(&headings, now.into_iter()))?;
    }
    for (zone, gap) in &history.gaps {
        let (from, to, reason) = (gap.from.to_table(), gap.to.to_table(), &gap.reason);
        writeln!(
            out,
            "\nNot seen: zone {zone} from {from} to {to} ({reason}); what changed then has the later time."
        )?;
    }
    if history.changes.is_empty() {
        return Ok(writeln!(out, "\nNo change since watching began.")?);
    }
    let rows = history.changes.iter().rev().map(change_cells);
    let headings = ["time (utc)", "name", "type", "change"];
    Ok(writeln!(
        out,
        "\nChanges, newest first:\n{}",
        table(&headings, rows)
    )?)
}

/// Returns the cells of a record that is there now.
fn present_cells(record: &RecordRow) -> Vec<String> {
    let since = record.added_at.to_minute();
    vec![
        record.owner.to_text_without_dot(),
        record.rdata.rtype().to_string(),
        record.rdata.to_string(),
        record.ttl.to_string(),
        if record.baseline {
            format!("before {since}")
        } else {
            since
        },
    ]
}

/// Returns the cells of a change: what went, then what came.
fn change_cells(change: &ChangeRow) -> Vec<String> {
    let removed = change.removed.iter().map(|rdata| format!("- {rdata}"));
    let added = change.added.iter().map(|rdata| format!("+ {rdata}"));
    let bulk = change.bulk.then(|| "(mass change)".to_owned());
    let serial = change
        .serial
        .map_or_else(String::new, |serial| format!("\nserial {serial}"));
    vec![
        format!("{}{serial}", change.at.to_table()),
        change.owner.to_text_without_dot(),
        change.rtype.to_string(),
        removed
            .chain(added)
            .chain(bulk)
            .collect::<Vec<_>>()
            .join("\n"),
    ]
}

/// Prints dnsdbq's columns. Both pairs of times are those of the zone: no sensor saw answers.
fn print_csv(out: &mut impl Write, history: &History) -> Result<(), Failure> {
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Necessary)
        .from_writer(out);
    writer.write_record([
        "time_first",
        "time_last",
        "zone_first",
        "zone_last",
        "count",
        "bailiwick",
        "rrname",
        "rrtype",
        "rdata",
    ])?;
    for record in &history.records {
        let (first, last) = (record.added_at.to_table(), record.last_seen_at.to_table());
        writer.write_record([
            &first,
            &last,
            &first,
            &last,
            "",
            &record.zone.to_string(),
            &record.owner.to_string(),
            record.rdata.rtype().mnemonic(),
            &record.rdata.to_string(),
        ])?;
    }
    Ok(writer.flush()?)
}

/// Returns a record as scripts read it.
fn record_json(record: &RecordRow) -> RecordJson<'_> {
    RecordJson {
        rrname: &record.owner,
        rrtype: record.rdata.rtype(),
        rdata: record.rdata.to_string(),
        ttl: record.ttl,
        zone: &record.zone,
        added_at: record.added_at,
        added_serial: record.added_serial,
        removed_at: record.removed_at,
        removed_serial: record.removed_serial,
        source: &record.source,
        baseline: record.baseline,
    }
}

/// Returns a change as scripts read it.
fn change_json(change: &ChangeRow) -> ChangeJson<'_> {
    ChangeJson {
        at: change.at,
        rrname: &change.owner,
        rrtype: change.rtype,
        serial: change.serial,
        added: change.added.iter().map(ToString::to_string).collect(),
        removed: change.removed.iter().map(ToString::to_string).collect(),
        bulk: change.bulk,
    }
}

/// Returns a gap as scripts read it.
fn gap_json((zone, gap): &(Name, Gap)) -> GapJson<'_> {
    GapJson {
        zone,
        from: gap.from,
        to: gap.to,
        reason: &gap.reason,
    }
}

/// Returns a record in the common output format.
fn cof_json(record: &RecordRow) -> CofJson<'_> {
    let (first, last) = (record.added_at.unix(), record.last_seen_at.unix());
    CofJson {
        rrname: &record.owner,
        rrtype: record.rdata.rtype(),
        rdata: record.rdata.to_string(),
        time_first: first,
        time_last: last,
        zone_time_first: first,
        zone_time_last: last,
        bailiwick: &record.zone,
    }
}
