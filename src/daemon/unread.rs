//! What failed at a source's last pass: files and folders that cannot be read are said once, not at every pass, and
//! that a zone is seen again has a line.

use std::collections::{BTreeSet, HashMap};

use crate::daemon::log::log_report;
use crate::dns::Name;
use crate::pipeline::{ZoneOutcome, ZoneReport};
use crate::zone::Refusal;

/// What each source could not read at its last pass.
///
/// A source that is looked at every minute would say of a folder that was moved the same sentence 1,440
/// times a day.
#[derive(Debug, Default)]
pub struct Unread {
    /// The sentences about paths, by source.
    paths: HashMap<String, BTreeSet<String>>,
    /// Why each zone was refused at its last look; at most all zones that are watched.
    refused: HashMap<Name, &'static str>,
}

impl Unread {
    /// Logs what a pass of one source found, but what it could not read last time either. Says when
    /// everything can be read again. What `is_known` already is worth no line.
    pub fn log_reports(&mut self, reports: &[ZoneReport], is_known: impl Fn(&ZoneReport) -> bool) {
        let Some(source) = reports.first().map(|report| report.source.as_str()) else {
            return;
        };
        let before = self.paths.remove(source).unwrap_or_default();
        let unread: BTreeSet<String> = reports.iter().filter_map(unread_of).collect();
        for report in reports {
            match unread_of(report).filter(|sentence| before.contains(sentence)) {
                Some(sentence) => tracing::debug!(source, "source {source}: still {sentence}"),
                None => log_report(report, is_known(report)),
            }
            self.note_zone(report);
        }
        if unread.is_empty() && !before.is_empty() {
            tracing::info!(
                source,
                "source {source}: what could not be read is read again"
            );
        }
        if !unread.is_empty() {
            self.paths.insert(source.to_owned(), unread);
        }
    }
}

impl Unread {
    /// Notes whether a zone was refused, and logs that one which was is seen again.
    fn note_zone(&mut self, report: &ZoneReport) {
        let Some(zone) = &report.zone else { return };
        if let ZoneOutcome::Refused(refusal) = &report.outcome {
            self.refused.insert(zone.clone(), refusal.code());
        } else if let Some(reason) = self.refused.remove(zone) {
            let source = report.source.as_str();
            tracing::info!(%zone, source, reason, "zone {zone}: seen again; it was refused before ({reason})");
        }
    }
}

/// Returns what a report says of a path that cannot be read.
fn unread_of(report: &ZoneReport) -> Option<String> {
    match &report.outcome {
        ZoneOutcome::Refused(refusal @ (Refusal::Unreadable(_) | Refusal::Local(_))) => {
            Some(refusal.to_string())
        }
        _ => None,
    }
}
