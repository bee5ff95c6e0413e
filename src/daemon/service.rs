//! The loop of `fluxwatch run`.
//!
//! Transfers run beside the loop; whatever writes the database runs in it, one transaction after the
//! other. A signal is looked at between them, so that a stop never cuts one in half.

use std::collections::HashSet;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::config::{Feeding, Source};
use crate::daemon::schedule::{ScheduleError, Timetable};
use crate::dns::Name;
use crate::pipeline::{Pipeline, PipelineError, PollOptions, Transfers, ZoneOutcome, ZoneReport};
use crate::time::{Clock, Span, Timestamp};

/// How often the outbox is looked at when nothing else happens.
const OUTBOX_EVERY: Span = Span::seconds(30);
/// The longest sleep: a clock that was put right is noticed within it.
const SLEEP_MAX: Span = Span::seconds(60);

/// Why the service ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The pipeline cannot go on.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A schedule cannot be read.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signal(#[from] std::io::Error),
}

/// A source with its next time.
struct Entry<'a> {
    source: &'a Source,
    timetable: Timetable,
    due_at: Timestamp,
}

/// Runs every source on its schedule until SIGTERM or SIGINT.
///
/// # Errors
///
/// [`ServiceError`].
pub async fn serve(pipeline: &Pipeline) -> Result<(), ServiceError> {
    let config = pipeline.config().clone();
    let clock = pipeline.clock().clone();
    let options = PollOptions {
        mail_wanted: true,
        ..PollOptions::default()
    };
    let mut entries = Vec::new();
    for source in &config.sources {
        let timetable = Timetable::new(&source.name, &source.schedule)?;
        entries.push(Entry {
            source,
            due_at: timetable.first(clock.now()),
            timetable,
        });
    }
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let mut transfers = Transfers::default();
    let mut in_flight: HashSet<Name> = HashSet::new();
    let mut outbox_at = clock.now();
    tracing::info!(
        sources = entries.len(),
        "watching {} sources",
        entries.len()
    );
    loop {
        start_due(
            pipeline,
            &mut entries,
            &options,
            &mut transfers,
            &mut in_flight,
        )?;
        if clock.now() >= outbox_at {
            // A mail server that hangs must not keep a signal waiting.
            tokio::select! {
                biased;
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                delivered = pipeline.deliver() => { delivered?; }
            }
            outbox_at = clock.now() + OUTBOX_EVERY;
        }
        tokio::select! {
            biased;
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            outcome = transfers.next() => {
                match pipeline.finish_transfer(outcome, &options)? {
                    Ok(report) => {
                        report.zone.as_ref().map(|zone| in_flight.remove(zone));
                        log_report(&report);
                    }
                    Err(second) => transfers.add(second),
                }
                outbox_at = clock.now();
                pipeline.store().checkpoint().map_err(PipelineError::from)?;
            }
            () = sleep(until_next(&entries, outbox_at, clock.as_ref())) => {}
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// Starts or runs every source that is due. A transfer that is still running is left alone.
fn start_due(
    pipeline: &Pipeline,
    entries: &mut [Entry<'_>],
    options: &PollOptions,
    transfers: &mut Transfers,
    in_flight: &mut HashSet<Name>,
) -> Result<(), PipelineError> {
    for entry in entries {
        let now = pipeline.clock().now();
        if entry.due_at > now {
            continue;
        }
        entry.due_at = entry.timetable.after(now);
        match &entry.source.feeding {
            Feeding::Transfer { zone, .. } => {
                if in_flight.insert(zone.clone()) {
                    transfers.add(pipeline.prepare_transfer(entry.source, options)?);
                }
            }
            Feeding::Zonefile { .. } => {
                pipeline
                    .poll_files(entry.source, options)?
                    .iter()
                    .for_each(log_report);
            }
            Feeding::Feed { .. } => pipeline
                .poll_feed(entry.source, options)?
                .iter()
                .for_each(log_report),
        }
        pipeline.store().checkpoint()?;
    }
    Ok(())
}

/// Returns how long nothing is due.
fn until_next(entries: &[Entry<'_>], outbox_at: Timestamp, clock: &dyn Clock) -> Duration {
    let now = clock.now();
    let next = entries
        .iter()
        .map(|entry| entry.due_at)
        .chain([outbox_at, now + SLEEP_MAX])
        .min()
        .unwrap_or(now);
    // At least a moment, so that a clock at the very end of a second does not spin.
    Duration::from_millis((next.since(now).as_seconds().max(0) as u64 * 1000).max(100))
}

/// Logs what a pass found of one zone, in one line.
fn log_report(report: &ZoneReport) {
    let zone = report
        .zone
        .as_ref()
        .map_or_else(|| "-".to_owned(), Name::to_string);
    let source = report.source.as_str();
    match &report.outcome {
        ZoneOutcome::Unchanged { .. } => tracing::debug!(zone, source, "zone {zone}: unchanged"),
        ZoneOutcome::Stored(summary) => {
            tracing::info!(
                zone,
                source,
                versions = summary.versions,
                changed_names = summary.changed_names,
                records = summary.records,
                "zone {zone}: {} versions, {} changed names, {} records",
                summary.versions,
                summary.changed_names,
                summary.records
            );
            if summary.bulk_versions > 0 {
                let count = summary.bulk_versions;
                tracing::warn!(
                    zone,
                    source,
                    count,
                    "zone {zone}: {count} mass changes, nobody accused"
                );
            }
            if summary.serial_regressed {
                tracing::warn!(zone, source, "zone {zone}: the serial went backwards");
            }
        }
        ZoneOutcome::Refused(refusal) => tracing::error!(
            zone,
            source,
            reason = refusal.code(),
            "zone {zone}: {refusal}"
        ),
        ZoneOutcome::LinesRejected(count) => tracing::error!(
            source,
            lines = count,
            "source {source}: {count} lines set aside"
        ),
    }
}
