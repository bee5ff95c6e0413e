//! Probes: what authoritative servers said about single domains, each side a view of its own.
//!
//! An answer shows a part of a pool as often as the whole of it. So what was seen stays until it has not
//! been seen for the source's `settle` and at least three answers in a row, and what is seen within
//! `settle` of the first answer was there before: a pool that rotates changes nothing. What comes after
//! that is a change. A probe never ends another source's records, and its failures are gaps.

use crate::pipeline::ingest::Ingest;
use crate::pipeline::judge::look::Look;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tokio::sync::mpsc;

use crate::case::CaseState;
use crate::config::{ProbeConfig, ProbeDomains, Source};
use crate::detector::{Level, Verdict};
use crate::dns::{Name, Rdata, Record};
use crate::file;
use crate::pipeline::error::PipelineError;
use crate::pipeline::outcome::{PollOptions, StoredSummary, ZoneOutcome, ZoneReport};
use crate::source::{ProbeSettings, ProbeTarget, Probed, Sightings, probe};
use crate::store::{
    SourceChange, SourceId, SourceKind, VersionDraft, VersionKind, View, ZoneState,
};
use crate::time::{Span, Timestamp};
use crate::zone::{OwnerChange, Refusal, widest_grown};

/// How many answers wait to be stored.
// Where the database is slow, asking waits for it instead of filling memory.
const ANSWERS_WAITING_MAX: usize = 64;
/// The most octets of a list of domains.
const LIST_OCTETS_MAX: u64 = 256 << 20;
/// How often in a row a record must be missing before it can be gone.
// A server may answer with some of a name's addresses only, and others the next time.
const MISSES_MIN: u32 = 3;

/// A probe to be run.
pub struct ProbeJob {
    settings: ProbeSettings,
    targets: Vec<ProbeTarget>,
}

/// Answers of a probe that runs.
pub struct ProbeAnswers(mpsc::Receiver<Probed>);

impl ProbeJob {
    /// Starts it. Needs a runtime.
    pub fn start(self) -> ProbeAnswers {
        let (sender, receiver) = mpsc::channel(ANSWERS_WAITING_MAX);
        tokio::spawn(probe(self.settings, self.targets, sender));
        ProbeAnswers(receiver)
    }
}

impl ProbeAnswers {
    /// Returns the next answer; `None` when all are there.
    pub async fn next(&mut self) -> Option<Probed> {
        self.0.recv().await
    }
}

impl Ingest<'_> {
    /// Reads a probe's list of domains. A refusal if there is none to be had.
    pub fn prepare_probe(
        &self,
        source: &Source,
        config: &ProbeConfig,
    ) -> Result<Result<ProbeJob, ZoneReport>, PipelineError> {
        let id = self
            .store
            .zones()
            .ensure_source(&source.name, SourceKind::Probe)?;
        let now = self.clock.now();
        let targets = match &config.domains {
            ProbeDomains::List(path) => read_targets(path),
            ProbeDomains::Suspects {
                every,
                times,
                domains_max,
            } => Ok(self.suspects_to_ask(id, *every, *times, *domains_max)?),
        };
        match targets {
            Ok(targets) => {
                self.store.zones().record_source_attempt(id, now, None)?;
                let settings = ProbeSettings {
                    resolvers: config.resolvers.clone(),
                    roots: config.roots.clone(),
                    port: config.port,
                    timeout: std::time::Duration::from_secs(
                        config.timeout.as_seconds().max(1) as u64
                    ),
                    server_rate: config.server_rate,
                    domains_at_once: config.domains_at_once,
                };
                Ok(Ok(ProbeJob { settings, targets }))
            }
            Err(refusal) => {
                self.store
                    .zones()
                    .record_source_attempt(id, now, Some(&refusal))?;
                Ok(Err(ZoneReport {
                    source: source.name.clone(),
                    zone: None,
                    outcome: ZoneOutcome::Refused(refusal),
                    timings: None,
                }))
            }
        }
    }

    /// Returns the domains whose name-server plane is suspected and whose addresses nobody is asked about
    /// otherwise, and notes that they are asked about now.
    fn suspects_to_ask(
        &self,
        source: SourceId,
        every: Span,
        times: u32,
        domains_max: usize,
    ) -> Result<Vec<ProbeTarget>, PipelineError> {
        let now = self.clock.now();
        let mut targets = Vec::new();
        let tx = self.store.begin_batch()?;
        for row in self
            .store
            .desk()
            .cases(&[CaseState::Open, CaseState::Acknowledged])?
        {
            let case = &row.case;
            if targets.len() >= domains_max {
                break;
            }
            // A hosted zone, or another probe, shows the addresses; and what is confirmed is known.
            let child = self.store.zones().find_view(&case.domain, View::Child)?;
            let is_others = child.is_some_and(|zone| zone.source != source);
            let is_hosted = self.store.zones().find_zone(&case.domain)?.is_some();
            let is_asked_about = case.level >= Level::Review && case.verdict != Verdict::SingleFlux;
            if is_others || is_hosted || !is_asked_about || self.findings.is_canary(&case.domain) {
                continue;
            }
            if !self
                .store
                .desk()
                .take_question(row.id, now, now + every, times)?
            {
                continue;
            }
            let www = Name::parse(&format!("www.{}", case.domain));
            targets.push(ProbeTarget {
                domain: case.domain.clone(),
                names: www.into_iter().collect(),
            });
        }
        tx.commit()?;
        Ok(targets)
    }

    /// Stores and judges what was said about one domain.
    pub fn take_probed(
        &self,
        source: &Source,
        config: &ProbeConfig,
        probed: Probed,
        options: &PollOptions,
    ) -> Result<ZoneReport, PipelineError> {
        let id = self
            .store
            .zones()
            .ensure_source(&source.name, SourceKind::Probe)?;
        let domain = &probed.target.domain;
        let now = self.clock.now();
        let mut summary = StoredSummary::default();
        let mut refused = None;
        let batch = self.store.begin_batch()?;
        // Two views of a domain are two histories: parent and child may disagree without that being a change.
        for (view, side) in [(View::Parent, &probed.parent), (View::Child, &probed.child)] {
            let zone = self.store.zones().ensure_view(domain, view, id)?;
            let stored = match side {
                Ok(seen) => self.store_side(&zone, id, config, seen, now)?,
                Err(refusal) => Err(refusal.clone()),
            };
            let refusal = match stored {
                Ok(stored) => {
                    summary.add(&stored);
                    None
                }
                Err(refusal) => Some(refusal),
            };
            self.store
                .ledger()
                .note_view_attempt(zone.id, now, refusal.as_ref())?;
            refused = refusal.or(refused);
        }
        batch.commit()?;
        // A side that failed now may have a version that was never judged.
        for view in [View::Parent, View::Child] {
            self.judge.detect_view(domain, view, options)?;
        }
        self.judge.reevaluate(domain, Look::live(now), options)?;
        let outcome = match refused {
            Some(refusal) => ZoneOutcome::Refused(refusal),
            None if summary.versions == 0 => ZoneOutcome::Unchanged { serial: None },
            None => ZoneOutcome::Stored(summary),
        };
        Ok(ZoneReport {
            source: source.name.clone(),
            zone: Some(domain.clone()),
            outcome,
            timings: None,
        })
    }

    /// Stores what one side said, if anything in it is new or has been missing for long. Part of the
    /// caller's transaction. Refused if an RRset would have more records than allowed: what servers answer in
    /// turns adds up.
    fn store_side(
        &self,
        zone: &ZoneState,
        source: SourceId,
        config: &ProbeConfig,
        seen: &Sightings,
        now: Timestamp,
    ) -> Result<Result<StoredSummary, Refusal>, PipelineError> {
        let first_at = self.store.lookup().watched_since(zone.id)?;
        // Servers give their addresses in turns. What appears while they are still being learned was there before.
        let is_learning = first_at.is_none_or(|first| now.since(first) < config.settle);
        let mut changes = BTreeMap::new();
        let known = self.store.ledger().present_records(zone)?;
        let missing = self.store.ledger().missing_records(zone)?;
        let owners: BTreeSet<&Name> = known.keys().chain(seen.keys()).collect();
        for owner in owners {
            let side = OwnerSide {
                owner,
                before: known.get(owner).map_or(&[], Vec::as_slice),
                answered: longest_ttls(seen.get(owner)),
            };
            let change = self.settle(zone, &side, &missing, config, now)?;
            let fault = widest_grown(side.before.iter(), &change).and_then(|(rtype, records)| {
                (self.config.limits).rrset_fault(&owner.to_string(), rtype, records)
            });
            if let Some(what) = fault {
                return Ok(Err(Refusal::Limit(what)));
            }
            if change.is_change() || !change.retimed.is_empty() {
                changes.insert(owner.clone(), change);
            }
        }
        let mut summary = StoredSummary::default();
        if changes.is_empty() && zone.version_id.is_some() {
            return Ok(Ok(summary));
        }
        let draft = VersionDraft {
            source,
            kind: VersionKind::Probe,
            serial: None,
            // The machine's clock may have been set back; history does not run backwards.
            observed_at: zone.version_at.map_or(now, |newest| newest.max(now)),
            joins: None,
            drift: false,
        };
        // A part of the batch above: both sides of an answer are stored, or none.
        let mut tx = self.store.ledger().begin_part(zone, draft)?;
        let told = changes.into_iter().map(|(owner, change)| SourceChange {
            owner,
            change,
            baseline: is_learning,
        });
        tx.apply_changes(told.collect())?;
        let committed = tx.commit(false)?;
        summary.baseline = zone.version_id.is_none();
        summary.versions = u64::from(committed.version_id.is_some());
        summary.changed_names = committed.changed_name_count;
        summary.records = committed.record_count;
        Ok(Ok(summary))
    }

    /// Returns what an answer changes of an owner's records, and notes what was missing in it.
    fn settle(
        &self,
        zone: &ZoneState,
        side: &OwnerSide<'_>,
        missing: &BTreeSet<(Name, Rdata)>,
        config: &ProbeConfig,
        now: Timestamp,
    ) -> Result<OwnerChange, PipelineError> {
        let owner = side.owner;
        let mut change = OwnerChange::default();
        for record in side.before {
            if let Some(ttl) = side.answered.get(&record.rdata) {
                if missing.contains(&(owner.clone(), record.rdata.clone())) {
                    self.store
                        .ledger()
                        .forget_missing(zone, owner, &record.rdata)?;
                }
                if *ttl != record.ttl {
                    change.retimed.push(Record {
                        rdata: record.rdata.clone(),
                        ttl: *ttl,
                    });
                }
                continue;
            }
            let (since, misses) =
                self.store
                    .ledger()
                    .note_missing(zone, owner, &record.rdata, now)?;
            // Both, since a pass may run every minute or every day: three misses within three minutes show nothing.
            if misses >= MISSES_MIN && now.since(since) >= config.settle {
                change.removed.push(record.clone());
                self.store
                    .ledger()
                    .forget_missing(zone, owner, &record.rdata)?;
            }
        }
        let is_new = |rdata: &Rdata| !side.before.iter().any(|record| record.rdata == *rdata);
        for (rdata, ttl) in side.answered.iter().filter(|(rdata, _)| is_new(rdata)) {
            change.added.push(Record {
                rdata: rdata.clone(),
                ttl: *ttl,
            });
        }
        Ok(change)
    }
}

/// What is known and what was said of one owner.
struct OwnerSide<'a> {
    owner: &'a Name,
    before: &'a [Record],
    answered: BTreeMap<Rdata, u32>,
}

/// Returns each record's data once, with the longest TTL that any server gave it.
fn longest_ttls(seen: Option<&BTreeSet<Record>>) -> BTreeMap<Rdata, u32> {
    let mut answered = BTreeMap::new();
    for record in seen.into_iter().flatten() {
        let ttl: &mut u32 = answered.entry(record.rdata.clone()).or_default();
        *ttl = record.ttl.max(*ttl);
    }
    answered
}

/// Reads a list of domains: one a line, after it names at or below it whose addresses are asked for too.
pub(in crate::pipeline) fn read_targets(path: &Path) -> Result<Vec<ProbeTarget>, Refusal> {
    let unreadable = |what: String| Refusal::Unreadable(format!("{}: {what}", path.display()));
    let text =
        file::read_text(path, LIST_OCTETS_MAX).map_err(|error| unreadable(error.to_string()))?;
    let mut targets: BTreeMap<Name, BTreeSet<Name>> = BTreeMap::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let parse = |word: &str| {
            Name::parse_pasted(word)
                .map_err(|fault| unreadable(format!("line {}: {word:?}: {fault}", i + 1)))
        };
        let mut words = line.split_whitespace();
        let Some(domain) = words.next() else { continue };
        let domain = parse(domain)?;
        let names = targets.entry(domain.clone()).or_default();
        for word in words {
            let name = parse(word)?;
            if !name.is_at_or_below(&domain) {
                return Err(unreadable(format!(
                    "line {}: {name} is not a name of {domain}",
                    i + 1
                )));
            }
            names.insert(name);
        }
    }
    let target = |(domain, names): (Name, BTreeSet<Name>)| ProbeTarget {
        domain,
        names: names.into_iter().collect(),
    };
    Ok(targets.into_iter().map(target).collect())
}
