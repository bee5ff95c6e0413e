//! What the store knows, as Prometheus metrics (text format 0.0.4).
//!
//! Everything is read from the database, so that `poll` from a timer and `run` tell the same, and
//! counters survive a restart.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::config::CanaryConfig;
use crate::file;
use crate::pipeline::findings::canary::check_canary;
use crate::pipeline::parts::{WAITS_KEY, made_key};
use crate::store::{Part, Standby, Store, StoreError, ZoneStatus, is_ended};
use crate::time::Timestamp;

/// Sums over the zones of a source.
#[derive(Default)]
struct SourceSums {
    zones: u64,
    ended: u64,
    held: u64,
    records: u64,
    polls: u64,
    refusals: u64,
    versions: u64,
    changes: u64,
    rejected_lines: u64,
    drifts: u64,
    drift_names: u64,
    missed_max: u64,
    missed_unknown: u64,
    refused: BTreeMap<String, u64>,
    lag_max_s: Option<i64>,
    last_success_at: Option<Timestamp>,
}

/// Writes metrics one family at a time, in the text format 0.0.4 that node_exporter's textfile collector reads.
///
/// By hand: `prometheus-client` (0.26) writes this format as well, but has no summaries, which the times of the service
/// are. Its OpenMetrics would lose the types of counters: findings/prometheus-client-loses-type.sh.
#[derive(Default)]
pub(in crate::pipeline) struct Page(String);

impl Page {
    /// Returns what was written.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Begins a family.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Writes one value.
    pub fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let open = if i == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

/// Returns the metrics of a store. Zones are told one by one only while there are no more than
/// `zones_max`; their sums by source always.
pub fn metrics_page(
    store: &Store,
    canary: Option<&CanaryConfig>,
    now: Timestamp,
    zones_max: usize,
) -> Result<String, StoreError> {
    let rows = store.zones().status()?;
    let mut page = Page::default();
    page.family(
        "fluxwatch_build_info",
        "gauge",
        "The running version; always 1.",
    );
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    page.value("fluxwatch_build_info", &version, 1);
    write_sources(&mut page, &rows, now);
    let zones: Vec<&ZoneStatus> = rows.iter().filter(|row| row.zone.is_some()).collect();
    if zones.len() <= zones_max {
        write_zones(&mut page, &zones, now);
    }
    write_desk(&mut page, store)?;
    write_clock(&mut page, store)?;
    let name = "fluxwatch_database_bytes";
    page.family(
        name,
        "gauge",
        "Size of the database, without its free pages.",
    );
    page.value(name, &[], store.upkeep().used_octets()?);
    write_log(&mut page, store);
    write_server(&mut page, store, now)?;
    write_tables(&mut page, store)?;
    if let Some(canary) = canary {
        let name = "fluxwatch_canary_blind";
        page.family(
            name,
            "gauge",
            "1 if a change of the canary that was due is not seen or not suspected.",
        );
        let alarm = check_canary(store, canary, now)?.alarm(canary);
        let domain = canary.domain.to_string();
        page.value(name, &[("domain", &domain)], u8::from(alarm.is_some()));
    }
    Ok(page.0)
}

/// Writes how the server of a database stands: who polls, and which standbys follow.
fn write_server(page: &mut Page, store: &Store, now: Timestamp) -> Result<(), StoreError> {
    let Some(standing) = store.server_standing()? else {
        return Ok(());
    };
    let name = "fluxwatch_database_clock_ahead_seconds";
    page.family(
        name,
        "gauge",
        "By how much this machine's clock is ahead of the database server's.",
    );
    page.value(name, &[], now.since(standing.now).as_seconds());
    if let Some(poller) = &standing.poller
        && let Some(since) = poller.since
    {
        let name = "fluxwatch_poller_since_timestamp_seconds";
        page.family(
            name,
            "gauge",
            "Since when the process that polls has the lock, by host.",
        );
        page.value(name, &[("host", &poller.host)], since.unix());
    }
    let Part::Primary {
        standbys: Some(standbys),
        waits_for_standby,
    } = &standing.part
    else {
        return Ok(());
    };
    let name = "fluxwatch_database_commits_wait";
    page.family(
        name,
        "gauge",
        "1 if a commit waits for a synchronous standby.",
    );
    page.value(name, &[], u8::from(*waits_for_standby));
    let name = "fluxwatch_database_synchronous_standbys";
    page.family(name, "gauge", "Synchronous standbys that are connected.");
    let count = standbys.iter().filter(|it| it.is_synchronous).count();
    page.value(name, &[], count);
    let name = "fluxwatch_database_standbys";
    page.family(name, "gauge", "Standbys that are connected.");
    page.value(name, &[], standbys.len());
    let families = [
        (
            "fluxwatch_database_standby_lag_bytes",
            "How far what a standby shows is behind, in octets of the server's log.",
            (|it| it.lag_octets) as fn(&Standby) -> i64,
        ),
        (
            "fluxwatch_database_standby_lag_seconds",
            "How far what a standby shows is behind.",
            |it| it.lag_s,
        ),
    ];
    for (name, help, read) in families {
        page.family(name, "gauge", help);
        for standby in standbys {
            page.value(name, &[("standby", &standby.name)], read(standby));
        }
    }
    Ok(())
}

/// Writes how the tables stand that domains are judged by.
fn write_tables(page: &mut Page, store: &Store) -> Result<(), StoreError> {
    let name = "fluxwatch_judging_waits";
    page.family(
        name,
        "gauge",
        "Tables that cannot be used; above 0 zones are watched and nothing is judged.",
    );
    page.value(
        name,
        &[],
        store.desk().saved_number(WAITS_KEY)?.unwrap_or(0),
    );
    if let Some(at) = store.desk().saved_number(&made_key("enrich.asn"))? {
        let name = "fluxwatch_asn_table_made_timestamp_seconds";
        page.family(
            name,
            "gauge",
            "When the table of autonomous systems was made.",
        );
        page.value(name, &[], at);
    }
    Ok(())
}

/// Replaces the file at `path` by the metrics, whole or not at all.
///
/// # Errors
///
/// If it cannot be written.
pub fn write_textfile(path: &Path, page: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    // The collector runs as another user.
    file::make_anew(Path::new(&temporary), 0o644)?.write_all(page.as_bytes())?;
    fs::rename(&temporary, path)
}

/// Writes how often the wall clock was set, and when it last was.
fn write_clock(page: &mut Page, store: &Store) -> Result<(), StoreError> {
    let (count, last) = store.upkeep().clock_steps()?;
    let name = "fluxwatch_clock_steps_total";
    page.family(
        name,
        "counter",
        "How often the machine's clock was set by 2 seconds or more while the service ran.",
    );
    page.value(name, &[], count);
    if let Some((at, by)) = last {
        let name = "fluxwatch_clock_last_step_seconds";
        page.family(
            name,
            "gauge",
            "How far the clock was moved last; negative if it was put back.",
        );
        page.value(name, &[], by.as_seconds());
        let name = "fluxwatch_clock_last_step_timestamp_seconds";
        page.family(name, "gauge", "When that was, by the clock as it was then.");
        page.value(name, &[], at.unix());
    }
    Ok(())
}

/// Name, type and help of a number of a source, and how it is read.
type SourceFamily = (
    &'static str,
    &'static str,
    &'static str,
    fn(&SourceSums) -> u64,
);

/// The numbers of a source.
const SOURCE_FAMILIES: [SourceFamily; 13] = [
    (
        "fluxwatch_source_zones",
        "gauge",
        "Zones that the source feeds.",
        |it| it.zones,
    ),
    (
        "fluxwatch_source_ended_zones",
        "gauge",
        "Zones that the source fed and that are not watched any more: no source of the configuration feeds them, or no catalog lists them.",
        |it| it.ended,
    ),
    (
        "fluxwatch_source_held_zones",
        "gauge",
        "Zones whose newest version waits for poll --accept.",
        |it| it.held,
    ),
    (
        "fluxwatch_source_records",
        "gauge",
        "Records in the state.",
        |it| it.records,
    ),
    (
        "fluxwatch_source_polls_total",
        "counter",
        "Attempts to see a zone.",
        |it| it.polls,
    ),
    (
        "fluxwatch_source_refusals_total",
        "counter",
        "Attempts that failed.",
        |it| it.refusals,
    ),
    (
        "fluxwatch_source_versions_total",
        "counter",
        "Versions stored.",
        |it| it.versions,
    ),
    (
        "fluxwatch_source_changes_total",
        "counter",
        "Changed names, summed over the versions.",
        |it| it.changes,
    ),
    (
        "fluxwatch_source_rejected_lines_total",
        "counter",
        "Feed lines that were set aside.",
        |it| it.rejected_lines,
    ),
    (
        "fluxwatch_source_drifts_total",
        "counter",
        "Whole transfers that differed from what the changes that arrived had led to.",
        |it| it.drifts,
    ),
    (
        "fluxwatch_source_drift_names_total",
        "counter",
        "Names that differed in them.",
        |it| it.drift_names,
    ),
    (
        "fluxwatch_source_missed_versions_max_total",
        "counter",
        "Versions that did not arrive, at most, by the serials.",
        |it| it.missed_max,
    ),
    (
        "fluxwatch_source_missed_unknown_total",
        "counter",
        "Versions before which an unknown number may not have arrived.",
        |it| it.missed_unknown,
    ),
];

/// Writes the sums of each source.
fn write_sources(page: &mut Page, rows: &[ZoneStatus], now: Timestamp) {
    let sources = sum_sources(rows, now);
    for (name, kind, help, read) in SOURCE_FAMILIES {
        page.family(name, kind, help);
        for (source, sums) in &sources {
            page.value(name, &[("source", source)], read(sums));
        }
    }
    let name = "fluxwatch_source_refused_zones";
    page.family(name, "gauge", "Zones whose last attempt failed, by reason.");
    for (source, sums) in &sources {
        for (reason, count) in &sums.refused {
            page.value(name, &[("source", source), ("reason", reason)], count);
        }
    }
    let name = "fluxwatch_source_last_success_timestamp_seconds";
    page.family(
        name,
        "gauge",
        "When a zone of the source was last seen whole.",
    );
    for (source, sums) in &sources {
        if let Some(at) = sums.last_success_at {
            page.value(name, &[("source", source)], at.unix());
        }
    }
    let name = "fluxwatch_source_lag_seconds_max";
    page.family(
        name,
        "gauge",
        "Age of the oldest last success among the source's zones.",
    );
    for (source, sums) in &sources {
        if let Some(lag) = sums.lag_max_s {
            page.value(name, &[("source", source)], lag);
        }
    }
}

/// Sums what stands in the rows of each source.
fn sum_sources(rows: &[ZoneStatus], now: Timestamp) -> BTreeMap<&str, SourceSums> {
    let mut sources: BTreeMap<&str, SourceSums> = BTreeMap::new();
    for row in rows {
        let sums = sources.entry(&row.source).or_default();
        let is_ended = is_ended(row.refused_reason.as_deref());
        sums.zones += u64::from(row.zone.is_some() && !is_ended);
        sums.ended += u64::from(is_ended);
        sums.held += u64::from(row.held && !is_ended);
        sums.records += row.records;
        sums.polls += row.attempts;
        sums.refusals += row.failures;
        sums.versions += row.versions;
        sums.changes += row.changes;
        sums.rejected_lines = row.rejected_lines;
        sums.drifts += row.fidelity.drifts;
        sums.drift_names += row.fidelity.drift_names;
        sums.missed_max += row.fidelity.missed_max;
        sums.missed_unknown += row.fidelity.missed_unknown;
        // Nobody looks at those that are not watched any more: that is no failure, and they grow no older.
        if is_ended {
            continue;
        }
        if let Some(reason) = &row.refused_reason {
            *sums.refused.entry(reason.clone()).or_default() += 1;
        }
        let lag = row.last_success_at.map(|at| now.since(at).as_seconds());
        sums.lag_max_s = sums.lag_max_s.max(lag);
        sums.last_success_at = sums.last_success_at.max(row.last_success_at);
    }
    sources
}

/// Writes when each zone last drifted, and from which primary's zone.
fn write_drifts(page: &mut Page, zones: &[&ZoneStatus]) {
    let name = "fluxwatch_zone_drift_last_timestamp_seconds";
    page.family(
        name,
        "gauge",
        "When a whole transfer from the primary last differed from what its changes had led to.",
    );
    for row in zones {
        let fidelity = &row.fidelity;
        let (Some(zone), Some(at), Some(primary)) =
            (&row.zone, fidelity.drift_at, &fidelity.drift_primary)
        else {
            continue;
        };
        let zone = zone.to_string();
        let labels = [
            ("zone", zone.as_str()),
            ("source", &row.source),
            ("primary", primary),
        ];
        page.value(name, &labels, at.unix());
    }
}

/// Name, type and help of a number of a zone, and how it is read.
type ZoneFamily = (
    &'static str,
    &'static str,
    &'static str,
    fn(&ZoneStatus, Timestamp) -> Option<i64>,
);

/// The numbers of a zone.
const ZONE_FAMILIES: [ZoneFamily; 11] = [
    (
        "fluxwatch_zone_serial",
        "gauge",
        "The newest serial in history.",
        |it, _| it.serial.map(|serial| i64::from(serial.0)),
    ),
    (
        "fluxwatch_zone_records",
        "gauge",
        "Records in the state.",
        |it, _| Some(it.records as i64),
    ),
    (
        "fluxwatch_zone_last_success_timestamp_seconds",
        "gauge",
        "When the zone was last seen whole.",
        |it, _| it.last_success_at.map(Timestamp::unix),
    ),
    (
        "fluxwatch_zone_lag_seconds",
        "gauge",
        "Time since the zone was last seen whole.",
        |it, now| it.last_success_at.map(|at| now.since(at).as_seconds()),
    ),
    (
        "fluxwatch_zone_held",
        "gauge",
        "1 if the newest version waits for poll --accept.",
        |it, _| Some(i64::from(it.held)),
    ),
    (
        "fluxwatch_zone_polls_total",
        "counter",
        "Attempts to see the zone.",
        |it, _| Some(it.attempts as i64),
    ),
    (
        "fluxwatch_zone_refusals_total",
        "counter",
        "Attempts that failed.",
        |it, _| Some(it.failures as i64),
    ),
    (
        "fluxwatch_zone_changes_total",
        "counter",
        "Changed names, summed over the versions.",
        |it, _| Some(it.changes as i64),
    ),
    (
        "fluxwatch_zone_drifts_total",
        "counter",
        "Whole transfers that differed from what the changes that arrived had led to.",
        |it, _| Some(it.fidelity.drifts as i64),
    ),
    (
        "fluxwatch_zone_missed_versions_max_total",
        "counter",
        "Versions that did not arrive, at most, by the serials.",
        |it, _| Some(it.fidelity.missed_max as i64),
    ),
    (
        "fluxwatch_zone_missed_unknown_total",
        "counter",
        "Versions before which an unknown number may not have arrived.",
        |it, _| Some(it.fidelity.missed_unknown as i64),
    ),
];

/// Writes each zone.
fn write_zones(page: &mut Page, zones: &[&ZoneStatus], now: Timestamp) {
    for (name, kind, help, read) in ZONE_FAMILIES {
        page.family(name, kind, help);
        for row in zones {
            let zone = row
                .zone
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            if let Some(value) = read(row, now) {
                page.value(name, &[("zone", &zone), ("source", &row.source)], value);
            }
        }
    }
    write_drifts(page, zones);
    write_zone_refusals(page, zones);
}

/// Writes why the last attempt at a zone failed.
fn write_zone_refusals(page: &mut Page, zones: &[&ZoneStatus]) {
    let name = "fluxwatch_zone_refused";
    page.family(
        name,
        "gauge",
        "1 for a zone whose last attempt failed, with the reason.",
    );
    for row in zones {
        let zone = row
            .zone
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        if let Some(reason) = &row.refused_reason {
            let labels = [
                ("zone", zone.as_str()),
                ("source", &row.source),
                ("reason", reason),
            ];
            page.value(name, &labels, 1);
        }
    }
}

/// Writes how the database's log stands.
fn write_log(page: &mut Page, store: &Store) {
    let Some(standing) = store.upkeep().log_standing() else {
        return;
    };
    let values = [
        (
            "fluxwatch_wal_bytes",
            "Size of the database's write-ahead log.",
            standing.octets,
        ),
        (
            "fluxwatch_wal_bytes_max",
            "Size from which on nothing is written while a reader keeps the log from being moved.",
            standing.octets_max,
        ),
        (
            "fluxwatch_oldest_reader_seconds",
            "How long at least a reader has kept the log from being moved; 0 if none does.",
            standing.held_for.as_secs(),
        ),
    ];
    for (name, help, value) in values {
        page.family(name, "gauge", help);
        page.value(name, &[], value);
    }
}

/// Writes cases and mail.
fn write_desk(page: &mut Page, store: &Store) -> Result<(), StoreError> {
    page.family("fluxwatch_cases", "gauge", "Cases by state.");
    for (state, count) in store.desk().case_counts()? {
        page.value("fluxwatch_cases", &[("state", state.word())], count);
    }
    let name = "fluxwatch_sent_messages_total";
    page.family(name, "counter", "Mail and webhooks that a server took.");
    page.value(name, &[], store.desk().sent_count()?);
    page.family(
        "fluxwatch_unsent_messages",
        "gauge",
        "Mail that is not sent, by state.",
    );
    for (state, count) in store.desk().unsent_counts()? {
        page.value(
            "fluxwatch_unsent_messages",
            &[("state", state.word())],
            count,
        );
    }
    page.family(
        "fluxwatch_returned_messages",
        "gauge",
        "Mail that a server took and that is late or came back, by what became of it.",
    );
    for (fate, count) in store.desk().fate_counts()? {
        page.value(
            "fluxwatch_returned_messages",
            &[("fate", fate.word())],
            count,
        );
    }
    Ok(())
}
