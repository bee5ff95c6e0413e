//! `fluxwatch status`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::arguments::ListCommand;
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list};
use crate::cli::session::{load_config, open_store};
use crate::dns::{Name, Serial};
use crate::pipeline::noted_tables;
use crate::store::{SourceKind, ZoneStatus};
use crate::time::{Clock, Span, Timestamp, WallClock};

/// A zone, as scripts read it.
#[derive(Serialize)]
struct StatusJson {
    zone: Option<Name>,
    source: String,
    source_kind: SourceKind,
    serial: Option<Serial>,
    last_success_at: Option<Timestamp>,
    last_attempt_at: Option<Timestamp>,
    lag_s: Option<i64>,
    last_error: Option<String>,
    refused_reason: Option<String>,
    records: u64,
    held: bool,
    rejected_lines: u64,
}

impl Row for StatusJson {
    const HEADINGS: &'static [&'static str] = &[
        "zone",
        "source",
        "source kind",
        "serial",
        "records",
        "last success at",
        "last attempt at",
        "lag s",
        "refused reason",
        "last error",
        "held",
        "rejected lines",
    ];
    const TABLE_HEADINGS: &'static [&'static str] =
        &["zone", "source", "serial", "records", "seen", "state"];

    fn cells(&self) -> Vec<String> {
        let text = |value: Option<String>| value.unwrap_or_default();
        vec![
            text(self.zone.as_ref().map(Name::to_string)),
            self.source.clone(),
            self.source_kind.word().to_owned(),
            text(self.serial.map(|serial| serial.to_string())),
            self.records.to_string(),
            text(self.last_success_at.map(|at| at.to_string())),
            text(self.last_attempt_at.map(|at| at.to_string())),
            text(self.lag_s.map(|lag| lag.to_string())),
            text(self.refused_reason.clone()),
            text(self.last_error.clone()),
            self.held.to_string(),
            self.rejected_lines.to_string(),
        ]
    }

    fn table_cells(&self) -> Vec<String> {
        let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let seen = self.lag_s.map(|lag| format!("{} ago", Span::seconds(lag)));
        vec![
            text(self.zone.as_ref().map(|zone| zone.to_text_without_dot())),
            self.source.clone(),
            text(self.serial.map(|serial| serial.to_string())),
            self.records.to_string(),
            seen.unwrap_or_else(|| "never".to_owned()),
            self.state_text(),
        ]
    }
}

impl StatusJson {
    /// Says how the zone stands.
    fn state_text(&self) -> String {
        let mut state = match (&self.refused_reason, &self.last_error) {
            (Some(reason), Some(error)) => format!("{reason}: {error}"),
            _ if self.last_success_at.is_none() => "never polled".to_owned(),
            _ => "ok".to_owned(),
        };
        if self.held {
            state = format!("held; {state}");
        }
        if self.rejected_lines > 0 {
            state = format!("{state}; {} lines set aside", self.rejected_lines);
        }
        state
    }
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ListCommand) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let now = WallClock.now();
    let store = open_store(&config)?;
    let dead = store.dead_count()?;
    let mut rows: Vec<StatusJson> = store
        .status()?
        .into_iter()
        .map(|status| status_json(status, now))
        .collect();
    for source in &config.sources {
        if !rows.iter().any(|row| row.source == source.name) {
            rows.push(never_polled(source));
        }
    }
    print_list(&rows, command.format)?;
    for line in noted_tables(&config, &store)? {
        writeln!(std::io::stderr(), "{line}")?;
    }
    if dead > 0 {
        writeln!(
            std::io::stderr(),
            "{dead} messages were given up or refused; `fluxwatch outbox` lists them"
        )?;
    }
    Ok(Done::Well)
}

/// Returns a zone as scripts read it.
fn status_json(status: ZoneStatus, now: Timestamp) -> StatusJson {
    StatusJson {
        lag_s: status.last_success_at.map(|at| now.since(at).as_seconds()),
        zone: status.zone,
        source: status.source,
        source_kind: status.source_kind,
        serial: status.serial,
        last_success_at: status.last_success_at,
        last_attempt_at: status.last_attempt_at,
        last_error: status.last_error,
        refused_reason: status.refused_reason,
        records: status.records,
        held: status.held,
        rejected_lines: status.rejected_lines,
    }
}

/// Returns a source that is configured and was never polled.
fn never_polled(source: &crate::config::Source) -> StatusJson {
    let source_kind = match source.feeding {
        crate::config::Feeding::Transfer { .. } => SourceKind::Transfer,
        crate::config::Feeding::Catalog { .. } => SourceKind::Catalog,
        crate::config::Feeding::Zonefile { .. } => SourceKind::Zonefile,
        crate::config::Feeding::Feed { .. } => SourceKind::Feed,
        crate::config::Feeding::Probe(_) => SourceKind::Probe,
    };
    StatusJson {
        zone: source.zone().cloned(),
        source: source.name.clone(),
        source_kind,
        serial: None,
        last_success_at: None,
        last_attempt_at: None,
        lag_s: None,
        last_error: None,
        refused_reason: None,
        records: 0,
        held: false,
        rejected_lines: 0,
    }
}
