//! Brings in passive DNS that others recorded: beside a zone's own history, judged by nobody.

use crate::pipeline::ingest::Ingest;
use std::collections::BTreeMap;
use std::io::BufRead;

use crate::count::counted;
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::ingest::aside::Aside;
use crate::pipeline::ingest::feed::broken_input;
use crate::pipeline::outcome::PassiveSummary;
use crate::pipeline::outcome::{ZoneOutcome, ZoneReport};
use crate::source::{FeedReader, SightingLine};
use crate::store::{RejectKind, Sighting, SourceId, SourceKind, View};

/// How many sightings are stored in one transaction.
// One transaction each would be a write to disk each; one for all would keep the poller from writing.
const SIGHTINGS_AT_A_TIME: usize = 10_000;

/// Passive DNS that is brought in by hand.
pub struct PassiveImport<'a> {
    /// The source's name in history.
    pub source: &'a str,
    /// The zone of all names; `None`: the nearest zone above each that history knows.
    pub zone: Option<&'a Name>,
    /// The lines.
    pub input: Box<dyn BufRead + 'a>,
    /// Whether `limits.file` counts: not for standard input, where others may take their time.
    pub is_timed: bool,
}

/// One import at work.
struct Import<'a> {
    source: SourceId,
    zone: Option<&'a Name>,
    pending: BTreeMap<Name, Vec<Sighting>>,
    pending_count: usize,
    summaries: BTreeMap<Name, PassiveSummary>,
    aside: Aside,
    other_types: u64,
}

impl Ingest<'_> {
    /// Brings in passive DNS, one object of the common output format a line. Lines that cannot be read, or
    /// lie in no zone, are set aside.
    pub fn import_passive(
        &self,
        import: PassiveImport<'_>,
    ) -> Result<Vec<ZoneReport>, PipelineError> {
        let source = self
            .store
            .zones()
            .ensure_source(import.source, SourceKind::Passive)?;
        let mut reader = FeedReader::new(import.input, 0, 0);
        if import.is_timed {
            reader = reader.within(self.config.limits.file);
        }
        let mut work = Import {
            source,
            zone: import.zone,
            pending: BTreeMap::new(),
            pending_count: 0,
            summaries: BTreeMap::new(),
            aside: Aside::new(source),
            other_types: 0,
        };
        let fault = loop {
            let (octets, fault) = match reader.next_octets(true) {
                Ok(None) => break None,
                Ok(Some(Ok(octets))) => {
                    let fault = self.take_sighting(&mut work, &octets)?;
                    (octets, fault)
                }
                Ok(Some(Err(rejected))) => (rejected.octets, Some(rejected.reason)),
                Err(error) => {
                    let line = reader.line_number();
                    break Some(broken_input(&format!("after line {line}"), &error));
                }
            };
            if let Some(reason) = fault {
                let number = reader.line_number();
                let kind = RejectKind::Unreadable;
                self.set_aside(&mut work.aside, kind, number, &octets, reason)?;
            }
            // A file of years must not wait in memory, nor hold the database for one long transaction.
            if work.pending_count >= SIGHTINGS_AT_A_TIME {
                self.store_sightings(&mut work)?;
            }
        };
        self.store_sightings(&mut work)?;
        self.store_aside(&mut work.aside)?;
        self.store
            .zones()
            .record_source_attempt(source, self.clock.now(), fault.as_ref())?;
        if work.other_types > 0 {
            let count = work.other_types;
            tracing::info!(
                count,
                "{} of types that are not kept",
                counted(count, "line")
            );
        }
        let report = |zone, outcome| ZoneReport {
            source: import.source.to_owned(),
            zone,
            outcome,
            timings: None,
        };
        let mut reports: Vec<ZoneReport> = work
            .summaries
            .into_iter()
            .map(|(zone, summary)| report(Some(zone), ZoneOutcome::Sightings(summary)))
            .collect();
        if work.aside.count() > 0 {
            let count = work.aside.count();
            reports.push(report(None, ZoneOutcome::LinesRejected(count)));
        }
        reports.extend(fault.map(|fault| report(None, ZoneOutcome::Refused(fault))));
        if reports.is_empty() {
            reports.push(report(None, ZoneOutcome::Unchanged { serial: None }));
        }
        Ok(reports)
    }

    /// Takes one line. Returns why it cannot be taken.
    fn take_sighting(
        &self,
        work: &mut Import<'_>,
        octets: &[u8],
    ) -> Result<Option<String>, PipelineError> {
        let line = match SightingLine::parse(octets) {
            Ok(line) => line,
            Err(reason) => return Ok(Some(reason)),
        };
        let zone = match work.zone {
            Some(zone) if line.owner.is_at_or_below(zone) => zone.clone(),
            Some(zone) => return Ok(Some(format!("{} is not in zone {zone}", line.owner))),
            None => match self.nearest_zone(&line.owner)? {
                Some(zone) => zone,
                None => {
                    let what = "is in no zone that history knows; --zone says which it is in";
                    return Ok(Some(format!("{} {what}", line.owner)));
                }
            },
        };
        if line.rdata.is_empty() {
            work.other_types += 1;
        }
        work.pending_count += line.rdata.len();
        let sightings = line.rdata.into_iter().map(|rdata| Sighting {
            owner: line.owner.clone(),
            rdata,
            first_at: line.first_at,
            last_at: line.last_at,
        });
        work.pending.entry(zone).or_default().extend(sightings);
        Ok(None)
    }

    /// Returns the nearest zone above a name, or at it, that has a source of its own.
    fn nearest_zone(&self, name: &Name) -> Result<Option<Name>, PipelineError> {
        let zones = self.store.zones().zones_enclosing(name)?;
        // What others recorded belongs to a zone that is watched itself, not to what a probe shows of it.
        let zone = zones.into_iter().find(|zone| zone.view == View::Zone);
        Ok(zone.map(|zone| zone.apex))
    }

    /// Stores what is pending.
    fn store_sightings(&self, work: &mut Import<'_>) -> Result<(), PipelineError> {
        for (apex, sightings) in std::mem::take(&mut work.pending) {
            let zone = self
                .store
                .zones()
                .ensure_view(&apex, View::Passive, work.source)?;
            let new = self
                .store
                .ledger()
                .add_sightings(&zone, work.source, &sightings)?;
            let summary = work.summaries.entry(apex).or_default();
            summary.sightings += sightings.len() as u64;
            summary.new += new;
        }
        work.pending_count = 0;
        Ok(())
    }
}
