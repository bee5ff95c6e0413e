//! One structured line for each zone and pass.

use crate::count::counted;
use crate::dns::Name;
use crate::pipeline::{StoredSummary, Timings, ZoneOutcome, ZoneReport};

/// Logs what a pass found of one zone, in one line. What `is_known` already, such as that a primary is away
/// that feeds many zones, is worth none.
pub fn log_report(report: &ZoneReport, is_known: bool) {
    let zone = report
        .zone
        .as_ref()
        .map_or_else(|| "-".to_owned(), Name::to_string);
    let source = report.source.as_str();
    match &report.outcome {
        ZoneOutcome::Unchanged { .. } => tracing::debug!(zone, source, "zone {zone}: unchanged"),
        ZoneOutcome::Stored(summary) => log_stored(&zone, source, summary, report.timings),
        ZoneOutcome::Sightings(summary) => tracing::info!(
            zone,
            source,
            sightings = summary.sightings,
            new = summary.new,
            "zone {zone}: {}",
            counted(summary.new, "new sighting")
        ),
        ZoneOutcome::SerialsStand(count) => tracing::debug!(
            source,
            zones = count,
            "source {source}: {} unchanged",
            counted(count, "zone")
        ),
        ZoneOutcome::Catalog(summary) => tracing::info!(
            zone,
            source,
            members = summary.members,
            joined = summary.joined,
            left = summary.left,
            refused = summary.refused,
            reset = summary.reset,
            "catalog {zone}: {}, {} joined, {} left, {} refused, {} reset",
            counted(summary.members, "member"),
            summary.joined,
            summary.left,
            summary.refused,
            summary.reset
        ),
        ZoneOutcome::Refused(refusal) if is_known => {
            tracing::debug!(
                zone,
                source,
                reason = refusal.code(),
                "zone {zone}: {refusal}"
            );
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
            "source {source}: {} set aside",
            counted(count, "line")
        ),
    }
}

/// Logs what was stored of a zone, and what is remarkable in it.
fn log_stored(zone: &str, source: &str, summary: &StoredSummary, timings: Option<Timings>) {
    tracing::info!(
        zone,
        source,
        versions = summary.versions,
        changed_names = summary.changed_names,
        records = summary.records,
        serial = summary.serial.map(|serial| serial.0),
        hash = summary.hash.map(tracing::field::display),
        fetched_ms = timings.map(|it| it.fetched_ms),
        stored_ms = timings.map(|it| it.stored_ms),
        judged_ms = timings.and_then(|it| it.judged_ms),
        "zone {zone}: {}, {}, {}",
        counted(summary.versions, "version"),
        counted(summary.changed_names, "changed name"),
        counted(summary.records, "record")
    );
    if summary.bulk_versions > 0 {
        let count = summary.bulk_versions;
        tracing::warn!(
            zone,
            source,
            count,
            "zone {zone}: {}, no domain is suspected for it",
            counted(count, "mass change")
        );
    }
    if summary.missed_max > 0 {
        let count = summary.missed_max;
        tracing::info!(
            zone,
            source,
            count,
            "zone {zone}: up to {count} versions did not arrive"
        );
    }
    if summary.serial_regressed {
        tracing::warn!(zone, source, "zone {zone}: the serial went backwards");
    }
}
