//! `fluxwatch status`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::arguments::StatusCommand;
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list};
use crate::cli::plain::plain;
use crate::cli::session::{load_config, open_to_look, parse_name};
use crate::config::Config;
use crate::count::counted;
use crate::dns::{Name, Serial};
use crate::pipeline::{
    examine_parts, judging_waits, read_held, recorded_tables, recorded_warnings,
};
use crate::place::StoreUrl;
use crate::store::{Fate, LogStanding, Part, SourceKind, Standby, Store, ZoneStatus, is_ended};
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
    /// When a transfer of the whole zone last differed from what the changes that arrived had led to.
    drift_at: Option<Timestamp>,
    /// The primary that was compared with.
    drift_primary: Option<String>,
    /// How often one differed.
    drifts: u64,
    /// Names that differed, summed.
    drift_names: u64,
    /// At most so many versions did not arrive.
    missed_versions_max: u64,
    /// How often an unknown number of versions may not have arrived.
    missed_unknown: u64,
    /// Whether a secondary would have stopped to answer for the zone: it was not seen for longer than its SOA's expire.
    expired: bool,
    /// Whether the last attempt failed, a person has to decide, or the zone is too old to be served. One that is not
    /// watched any more is as its administrator wants it.
    #[serde(skip)]
    has_failed: bool,
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
        "drift at",
        "drift primary",
        "drifts",
        "drift names",
        "missed versions max",
        "missed unknown",
        "expired",
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
            text(self.drift_at.map(|at| at.to_string())),
            text(self.drift_primary.clone()),
            self.drifts.to_string(),
            self.drift_names.to_string(),
            self.missed_versions_max.to_string(),
            self.missed_unknown.to_string(),
            self.expired.to_string(),
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
        if self.expired {
            state = format!("not seen for longer than the SOA's expire; {state}");
        }
        if self.held {
            state = format!("held; {state}");
        }
        if self.rejected_lines > 0 {
            let lines = counted(self.rejected_lines, "line");
            state = format!("{state}; {lines} set aside");
        }
        if let (Some(at), Some(primary)) = (self.drift_at, &self.drift_primary) {
            let at = at.to_minute();
            state = format!("{state}; drift {at} from {primary}");
        }
        if self.missed_versions_max > 0 {
            let count = counted(self.missed_versions_max, "version");
            state = format!("{state}; up to {count} did not arrive");
        }
        if self.missed_unknown > 0 {
            let times = match self.missed_unknown {
                1 => "once".to_owned(),
                count => format!("{count} times"),
            };
            state = format!("{state}; an unknown number of versions may not have arrived, {times}");
        }
        state
    }
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &StatusCommand) -> Result<Done, Failure> {
    let wanted = command.zones.iter().map(|text| parse_name(text));
    let wanted: Vec<Name> = wanted.collect::<Result<_, _>>()?;
    let config = load_config(config)?;
    let now = WallClock.now();
    let held = read_held(config.store_url.beside());
    let store = open_to_look(&config).map_err(|fault| match &held {
        Some(line) if config.store_url.is_absent() => no_database(&config.store_url, line),
        _ => fault,
    })?;
    let dead = store.desk().dead_count()?;
    let fates = store.desk().fate_counts()?;
    let returned: u32 = fates
        .iter()
        .filter(|(fate, _)| *fate > Fate::Delayed)
        .map(|(_, count)| count)
        .sum();
    let mut rows: Vec<StatusJson> = store
        .zones()
        .status()?
        .into_iter()
        .map(|status| status_json(status, now))
        .collect();
    for source in &config.sources {
        if !rows.iter().any(|row| row.source == source.name) {
            rows.push(never_polled(source));
        }
    }
    let is_of = |row: &StatusJson, zone: &Name| row.zone.as_ref() == Some(zone);
    if let Some(zone) = wanted
        .iter()
        .find(|zone| !rows.iter().any(|row| is_of(row, zone)))
    {
        let zone = zone.to_text_without_dot();
        return Err(Failure::failed(format!("no source has the zone {zone}"))
            .hint("`fluxwatch status` lists every zone"));
    }
    rows.retain(|row| wanted.is_empty() || wanted.iter().any(|zone| is_of(row, zone)));
    rows.retain(|row| !command.failed || row.has_failed);
    let nothing = match command.failed {
        true => "no zone has failed",
        false => "nothing to list",
    };
    print_list(&rows, command.format, nothing)?;
    let waits = print_tables(&config, &store, now)?;
    print_beside(dead, returned, store.upkeep().log_standing().as_ref())?;
    if let Some(line) = &held {
        writeln!(std::io::stderr(), "the service: {}", plain(line))?;
    }
    print_clock(&store, now)?;
    print_server(&store, now)?;
    Ok(
        if command.failed && (held.is_some() || waits || !rows.is_empty()) {
            Done::Found
        } else {
            Done::Well
        },
    )
}

/// Returns the failure for a database that is not where a service that runs had it open.
fn no_database(at: &StoreUrl, line: &str) -> Failure {
    let line = plain(line);
    let sentence = format!("no database at {at}, and the service that had it open runs: {line}");
    Failure::local(sentence)
        .hint("put the file back, or start the service anew to begin with a new one")
}

/// Says on stderr which tables are in use, what is to be known of them, and whether judging waits for one. Returns
/// whether it waits.
fn print_tables(config: &Config, store: &Store, now: Timestamp) -> Result<bool, Failure> {
    let mut err = std::io::stderr();
    for line in recorded_tables(config, store)? {
        writeln!(err, "{line}")?;
    }
    for fault in recorded_warnings(config, store, now)? {
        writeln!(err, "warning: {fault}")?;
    }
    if !judging_waits(store)? {
        return Ok(false);
    }
    let mut faults = Vec::new();
    if let Some(parts) = examine_parts(config, &mut faults) {
        faults.extend(parts.check_answers(config, store));
    }
    writeln!(
        err,
        "zones are watched and nothing is judged: the poller cannot use a table of [enrich]"
    )?;
    for fault in faults {
        writeln!(err, "error: {fault}")?;
    }
    Ok(true)
}

/// Says on stderr what is wrong beside the zones: messages that were given up or came back, a log that cannot be moved.
fn print_beside(dead: u32, returned: u32, log: Option<&LogStanding>) -> Result<(), Failure> {
    let mut err = std::io::stderr();
    if dead > 0 {
        let what = counted(dead, "message");
        writeln!(
            err,
            "{what} given up or refused; `fluxwatch outbox` lists them"
        )?;
    }
    if returned > 0 {
        let what = counted(returned, "message");
        writeln!(
            err,
            "{what} sent and returned; `fluxwatch outbox` lists what became of each"
        )?;
    }
    if let Some(log) = log.filter(|log| log.is_notable()) {
        writeln!(
            err,
            "the database's write-ahead log has {} MiB; at {} MiB nothing more is written. {}",
            log.octets >> 20,
            log.octets_max >> 20,
            log.in_words()
        )?;
    }
    Ok(())
}

/// How long it is told that the clock was set.
const STEP_TOLD_FOR: Span = Span::days(7);

/// Says on stderr that the clock was set lately, while the service ran.
fn print_clock(store: &Store, now: Timestamp) -> Result<(), Failure> {
    let (count, Some((at, by))) = store.upkeep().clock_steps()? else {
        return Ok(());
    };
    if now.since(at) > STEP_TOLD_FOR {
        return Ok(());
    }
    let way = if by.as_seconds() < 0 {
        "back"
    } else {
        "forward"
    };
    let far = Span::seconds(by.as_seconds().abs());
    let times = match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    };
    writeln!(
        std::io::stderr(),
        "the machine's clock was put {way} by {far} at {at}, {times} in all; check that it is kept right (timedatectl, chronyc tracking)"
    )?;
    Ok(())
}

/// Says on stderr how the server of the database stands: who polls, and which standbys follow.
fn print_server(store: &Store, now: Timestamp) -> Result<(), Failure> {
    let Some(standing) = store.server_standing()? else {
        return Ok(());
    };
    let mut err = std::io::stderr();
    if let Some(line) = standing.apart(now) {
        writeln!(err, "warning: {line}")?;
    }
    let address = &standing.address;
    match &standing.part {
        Part::Standby {
            is_connected,
            newest_at,
            ..
        } => {
            let newest = newest_at.map_or("no commit".to_owned(), |at| at.to_string());
            let way = match is_connected {
                true => "follows its primary",
                false => "is not connected to its primary",
            };
            writeln!(
                err,
                "the database is a standby at {address}: it {way}, and shows what was committed until {newest}"
            )?;
        }
        Part::Primary {
            standbys,
            waits_for_standby,
        } => {
            match &standing.poller {
                Some(poller) => {
                    let poller = plain(&poller.to_string()).into_owned();
                    writeln!(err, "the database is at {address}; polled by {poller}")?;
                }
                None => writeln!(err, "the database is at {address}; nobody polls")?,
            }
            print_standbys(&mut err, standbys.as_deref(), *waits_for_standby)?;
        }
    }
    Ok(())
}

/// Says which standbys follow, and what a commit waits for.
fn print_standbys(
    err: &mut impl Write,
    standbys: Option<&[Standby]>,
    waits_for_standby: bool,
) -> Result<(), Failure> {
    let Some(standbys) = standbys else {
        writeln!(
            err,
            "whether standbys follow is not shown to this role: `grant pg_read_all_stats to ROLE`"
        )?;
        return Ok(());
    };
    for standby in standbys {
        let name = plain(&standby.name);
        let how = match standby.is_synchronous {
            true => "synchronous",
            false => "asynchronous: a promotion may lose what it has not received",
        };
        match standby.lag_octets {
            0 => writeln!(err, "standby {name}: in step, {how}")?,
            octets => {
                let lag = Span::seconds(standby.lag_s);
                writeln!(err, "standby {name}: {lag} ({octets} octets) behind, {how}")?;
            }
        }
    }
    if waits_for_standby && !standbys.iter().any(|it| it.is_synchronous) {
        writeln!(
            err,
            "warning: synchronous_standby_names is set and no such standby is connected: every commit waits; start the standby, or take its name out"
        )?;
    }
    Ok(())
}

/// Returns a zone as scripts read it.
fn status_json(status: ZoneStatus, now: Timestamp) -> StatusJson {
    let lag_s = status.last_success_at.map(|at| now.since(at).as_seconds());
    let is_transferred = matches!(
        status.source_kind,
        SourceKind::Transfer | SourceKind::Catalog
    );
    let over = |(lag, expire): (i64, i64)| lag > expire;
    let expired = is_transferred && lag_s.zip(status.expire_s).is_some_and(over);
    let is_watched = !is_ended(status.refused_reason.as_deref());
    StatusJson {
        lag_s,
        expired,
        has_failed: status.is_in_trouble() || (expired && is_watched),
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
        drift_at: status.fidelity.drift_at,
        drift_primary: status.fidelity.drift_primary,
        drifts: status.fidelity.drifts,
        drift_names: status.fidelity.drift_names,
        missed_versions_max: status.fidelity.missed_max,
        missed_unknown: status.fidelity.missed_unknown,
    }
}

/// Returns a source that is configured and was never polled.
fn never_polled(source: &crate::config::Source) -> StatusJson {
    let source_kind = match source.feeding {
        crate::config::Feeding::Transfer(_) => SourceKind::Transfer,
        crate::config::Feeding::Catalog(_) => SourceKind::Catalog,
        crate::config::Feeding::Zonefile(_) => SourceKind::Zonefile,
        crate::config::Feeding::Feed(_) => SourceKind::Feed,
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
        drift_at: None,
        drift_primary: None,
        drifts: 0,
        drift_names: 0,
        missed_versions_max: 0,
        missed_unknown: 0,
        expired: false,
        has_failed: false,
    }
}
