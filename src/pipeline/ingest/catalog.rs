//! A catalog source: the catalog itself, and a look at the serials of all its members at once.

use crate::config::CatalogSource;
use crate::pipeline::ingest::Ingest;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use tokio::task::JoinSet;

use crate::config::{Feeding, Source, TransferSettings};
use crate::dns::{Name, Serial};
use crate::pipeline::backoff::Asked;
use crate::pipeline::error::{PipelineError, refusal_of};
use crate::pipeline::ingest::full::{DUE_OF_CATALOG_MAX, is_full_due, retry_of, shortest_every};
use crate::pipeline::ingest::transfer::TransferJob;
use crate::pipeline::ingest::transfer::{Route, is_unreached};
use crate::pipeline::outcome::CatalogSummary;
use crate::pipeline::outcome::{PollOptions, ZoneOutcome, ZoneReport};
use crate::source::{
    Catalog, SoaNumbers, SourceError, Swept, TransferTarget, fetch_catalog, query_soa,
    sweep_serials,
};
use crate::store::{CatalogChange, MemberRow, SourceId, SourceKind};
use crate::time::Timestamp;
use crate::zone::{Counts, Refusal, ZonemdRule, judge_transfer};

/// A look at a catalog: everything it needs, and nothing of the store.
pub struct CatalogJob {
    source: String,
    id: SourceId,
    apex: Name,
    route: Route,
    catalog: CatalogSource,
    last_serial: Option<Serial>,
    /// Whether it is taken although it lost most of its members.
    accept: bool,
}

/// A look that was taken.
pub struct CatalogOutcome {
    job: CatalogJob,
    result: Result<Option<(Catalog, SoaNumbers)>, SourceError>,
    answered: Vec<SocketAddr>,
    failed: Vec<SocketAddr>,
    unreached: Vec<(SocketAddr, Refusal)>,
}

/// A sweep over members: everything it needs, and nothing of the store.
pub struct SweepJob {
    /// Index of the source in the configuration, for the caller.
    pub source: usize,
    route: Route,
    zones: Vec<Name>,
    serials: Vec<Option<Serial>>,
}

/// A sweep that was done.
pub struct SweepOutcome {
    /// As in the job.
    pub source: usize,
    /// Zones whose serial stands.
    pub unchanged: Vec<Name>,
    /// Zones that are to be transferred.
    pub changed: Vec<Name>,
    /// Zones that no primary answered for.
    pub refused: Vec<(Name, Refusal)>,
    failed: Vec<SocketAddr>,
    answered: Vec<SocketAddr>,
    /// Those that failed because they could not be reached, and how.
    unreached: Vec<(SocketAddr, Refusal)>,
}

impl CatalogOutcome {
    /// Returns the catalog that was looked at.
    pub fn catalog(&self) -> &CatalogSource {
        &self.job.catalog
    }
}

impl Ingest<'_> {
    /// Prepares a look at a catalog.
    pub fn prepare_catalog(
        &self,
        name: &str,
        catalog: &CatalogSource,
        options: &PollOptions,
    ) -> Result<CatalogJob, PipelineError> {
        let id = self
            .store
            .zones()
            .ensure_source(name, SourceKind::Catalog)?;
        let apex = &catalog.catalog;
        let zone = self.store.zones().ensure_zone(apex, id)?;
        Ok(CatalogJob {
            source: name.to_owned(),
            id,
            apex: apex.clone(),
            route: self.route(&catalog.settings),
            catalog: catalog.clone(),
            // Without a serial to compare with, the catalog is transferred whatever its own is.
            last_serial: zone.serial.filter(|_| !options.full),
            accept: options.accept.contains(apex) || zone.accept_requested,
        })
    }

    /// Stores what a look at a catalog brought.
    pub fn finish_catalog(&self, outcome: CatalogOutcome) -> Result<ZoneReport, PipelineError> {
        let CatalogOutcome {
            job,
            result,
            answered,
            failed,
            unreached,
        } = outcome;
        let now = self.clock.now();
        self.record_primaries(Asked::One(&job.apex), &answered, &failed, &unreached)?;
        let report = |outcome| ZoneReport {
            source: job.source.clone(),
            zone: Some(job.apex.clone()),
            outcome,
            timings: None,
        };
        let (catalog, soa) = match result {
            Ok(Some(read)) => read,
            Ok(None) => {
                self.store
                    .zones()
                    .record_zone_attempt(&job.apex, now, None)?;
                let serial = job.last_serial;
                return Ok(report(ZoneOutcome::Unchanged { serial }));
            }
            Err(error) => {
                let refusal = refusal_of(error);
                self.store
                    .zones()
                    .record_zone_attempt(&job.apex, now, Some(&refusal))?;
                return Ok(report(ZoneOutcome::Refused(refusal)));
            }
        };
        let known = self.store.zones().catalog_members(job.id)?;
        let counts = Counts {
            kept: catalog.members.len() as u64,
            ..Counts::default()
        };
        // A catalog that lost most of its members looks like the end of all of them.
        let shrank = judge_transfer(&self.config.trust, known.len() as u64, &counts);
        if let Some(refusal) = shrank.filter(|_| !job.accept) {
            self.store
                .zones()
                .record_zone_attempt(&job.apex, now, Some(&refusal))?;
            return Ok(report(ZoneOutcome::Refused(refusal)));
        }
        let (change, summary) = self.compare_catalog(&job, &known, catalog)?;
        // What was refused is looked at again each time: it may have become free, or the scope wider.
        let serial = Some(soa.serial).filter(|_| summary.refused == 0);
        self.store
            .zones()
            .apply_catalog(job.id, &job.apex, serial, &change, now)?;
        self.store
            .zones()
            .record_zone_attempt(&job.apex, now, None)?;
        Ok(report(ZoneOutcome::Catalog(summary)))
    }

    /// Returns what a catalog's new version changes.
    fn compare_catalog(
        &self,
        job: &CatalogJob,
        known: &BTreeMap<String, MemberRow>,
        catalog: Catalog,
    ) -> Result<(CatalogChange, CatalogSummary), PipelineError> {
        let scope = &job.catalog.scope;
        let mut change = CatalogChange::default();
        let mut summary = CatalogSummary::default();
        let known_zones: HashSet<&Name> = known.values().map(|member| &member.zone).collect();
        let mut listed: HashMap<Name, String> = HashMap::new();
        for (label, member) in catalog.members {
            let is_admissible = scope.iter().any(|scope| member.zone.is_at_or_below(scope));
            let holder = self.other_holder(job, &member.zone)?;
            let row = MemberRow {
                zone: member.zone,
                group: member.group,
                change_of_ownership: member.change_of_ownership,
            };
            match holder {
                _ if !is_admissible || row.zone == job.apex => {
                    tracing::warn!(zone = %row.zone, source = job.source, "zone {}: listed by the catalog {} outside of its scope", row.zone, job.apex);
                    summary.refused += 1;
                    continue;
                }
                Some(Holder::Stays(name)) => {
                    tracing::warn!(zone = %row.zone, source = job.source, "zone {}: listed by the catalog {}, but fed by the source {name:?}", row.zone, job.apex);
                    summary.refused += 1;
                    continue;
                }
                Some(Holder::Gives(other, label)) => change.taken_over.push((other, label)),
                None => {}
            }
            summary.members += 1;
            listed.insert(row.zone.clone(), label.clone());
            if known.get(&label) != Some(&row) {
                let is_known = known_zones.contains(&row.zone);
                let is_new_label = known.get(&label).is_none_or(|known| known.zone != row.zone);
                summary.joined += u64::from(!is_known);
                summary.reset += u64::from(is_known && is_new_label);
                // Whoever joins may have another content under the same serial as before.
                if is_new_label {
                    change.reset.push(row.zone.clone());
                }
                change.joined.insert(label, row);
            }
        }
        // RFC 9432 §5.4: a member that stays under another label was reset and did not leave.
        for (label, member) in known {
            let goes_on = listed.get(&member.zone);
            if goes_on == Some(label) && !change.joined.contains_key(label) {
                continue;
            }
            summary.left += u64::from(goes_on.is_none());
            let left = (member.zone.clone(), goes_on.is_some());
            change.left.insert(label.clone(), left);
        }
        Ok((change, summary))
    }

    /// Returns who else has a zone that a catalog lists.
    fn other_holder(&self, job: &CatalogJob, zone: &Name) -> Result<Option<Holder>, PipelineError> {
        let named = self.config.sources.iter();
        if let Some(source) = named.clone().find(|it| named_zone(it) == Some(zone)) {
            return Ok(Some(Holder::Stays(source.name.clone())));
        }
        let Some(listing) = self.store.zones().catalog_of(zone)? else {
            // A feed that names its zones line by line may have it.
            let holder = self.store.zones().source_of_zone(zone)?;
            let feeds = |name: &String| {
                let is_it = |source: &Source| {
                    source.name == *name && matches!(source.feeding, Feeding::Feed(_))
                };
                self.config.sources.iter().any(is_it)
            };
            return Ok(holder.filter(feeds).map(Holder::Stays));
        };
        let (source, name, label) = (listing.source, listing.source_name, listing.label);
        let is_configured = self.config.sources.iter().any(|source| source.name == name);
        Ok(match listing.change_of_ownership {
            _ if source == job.id => None,
            // RFC 9432 §4.3.1: the catalog that had it names the one that it may move to.
            Some(owner) if owner == job.apex => Some(Holder::Gives(source, label)),
            _ if !is_configured => Some(Holder::Gives(source, label)),
            _ => Some(Holder::Stays(name)),
        })
    }

    /// Returns the zones that a catalog lists and that are watched as its members.
    pub fn catalog_zones(&self, source: &Source) -> Result<Vec<Name>, PipelineError> {
        let id = self
            .store
            .zones()
            .ensure_source(&source.name, SourceKind::Catalog)?;
        let members = self.store.zones().catalog_members(id)?;
        let named = self.named_zones();
        let zones = members.into_values().map(|member| member.zone);
        Ok(zones.filter(|zone| !named.contains(zone)).collect())
    }

    /// Returns the zones that sources name in the configuration: no catalog has these, though it may have been read before
    /// they were named.
    fn named_zones(&self) -> HashSet<&Name> {
        self.config.sources.iter().filter_map(named_zone).collect()
    }

    /// Prepares a sweep over the members of a catalog; `None` if its members are asked one by one,
    /// because they are reached over TLS only.
    pub fn prepare_sweep(
        &self,
        index: usize,
        (name, catalog): (&str, &CatalogSource),
        wanted: Option<&HashSet<Name>>,
    ) -> Result<(Option<SweepJob>, Vec<Name>), PipelineError> {
        let settings = &catalog.settings;
        let id = self
            .store
            .zones()
            .ensure_source(name, SourceKind::Catalog)?;
        let mut members = self.store.zones().member_serials(id)?;
        let named = self.named_zones();
        members.retain(|(zone, _)| {
            !named.contains(zone) && wanted.is_none_or(|wanted| wanted.contains(zone))
        });
        let due = self.due_members(id, settings)?;
        let (known, new): (Vec<_>, Vec<_>) = members.into_iter().partition(|(zone, serial)| {
            // A sweep asks over UDP, which TLS does not protect, and only what can be compared with a serial that
            // is known.
            serial.is_some() && settings.tls.is_none() && !due.contains(zone)
        });
        let (zones, serials) = known.into_iter().unzip();
        let job = SweepJob {
            source: index,
            route: self.route(settings),
            zones,
            serials,
        };
        let one_by_one = new.into_iter().map(|(zone, _)| zone).collect();
        Ok(((!job.zones.is_empty()).then_some(job), one_by_one))
    }

    /// Returns members whose whole zone is to be compared now, at most [`DUE_OF_CATALOG_MAX`]. Those of a
    /// primary that is away wait until it is back.
    fn due_members(
        &self,
        source: SourceId,
        settings: &TransferSettings,
    ) -> Result<HashSet<Name>, PipelineError> {
        let (now, mut due) = (self.clock.now(), HashSet::new());
        // Else every pass would spend its few comparisons on transfers that cannot begin.
        if self.backoff.borrow().are_away(&settings.primaries) {
            return Ok(due);
        }
        let every = shortest_every(settings.full_every);
        // With none, those alone whose steps left what cannot be.
        let before = every.map_or(Timestamp::from_unix(0), |every| now - every);
        let tried_before = now - retry_of(every);
        // Of these some are not due yet, since each is due a little later than planned.
        let limit = 4 * DUE_OF_CATALOG_MAX;
        for zone in
            self.store
                .zones()
                .members_not_whole_since(source, before, tried_before, limit)?
        {
            let state = self.store.zones().find_zone(&zone)?;
            if state.is_some_and(|state| is_full_due(settings.full_every, &state, now)) {
                due.insert(zone);
            }
            if due.len() >= DUE_OF_CATALOG_MAX {
                break;
            }
        }
        Ok(due)
    }

    /// Notes what a sweep found. Returns a report for each zone that no primary answered for, and one
    /// for all whose serial stands; those that changed are left to the caller.
    pub fn finish_sweep(
        &self,
        source: &Source,
        outcome: &SweepOutcome,
        options: &PollOptions,
    ) -> Result<Vec<ZoneReport>, PipelineError> {
        let now = self.clock.now();
        let (answered, failed) = (&outcome.answered, &outcome.failed);
        self.record_primaries(Asked::Many, answered, failed, &outcome.unreached)?;
        self.store
            .zones()
            .record_zones_seen(&outcome.unchanged, now)?;
        self.judge
            .reevaluate_swept(&source.name, &outcome.unchanged, now, options)?;
        let report = |zone: Option<Name>, outcome| ZoneReport {
            source: source.name.clone(),
            zone,
            outcome,
            timings: None,
        };
        let mut reports = Vec::new();
        let tx = self.store.begin_batch()?;
        for (zone, refusal) in &outcome.refused {
            self.store
                .zones()
                .record_zone_attempt(zone, now, Some(refusal))?;
            let refused = ZoneOutcome::Refused(refusal.clone());
            reports.push(report(Some(zone.clone()), refused));
        }
        tx.commit()?;
        if !outcome.unchanged.is_empty() {
            let count = outcome.unchanged.len() as u64;
            reports.push(report(None, ZoneOutcome::SerialsStand(count)));
        }
        Ok(reports)
    }

    /// Looks at a catalog and transfers what changed of its members: one pass.
    pub(in crate::pipeline) async fn poll_catalog(
        &self,
        (source, catalog): (&Source, &CatalogSource),
        wanted: Option<&HashSet<Name>>,
        options: &PollOptions,
        on_report: &mut dyn FnMut(ZoneReport),
    ) -> Result<Vec<TransferJob>, PipelineError> {
        let name = source.name.as_str();
        let looked = run_catalog(self.prepare_catalog(name, catalog, options)?).await;
        on_report(self.finish_catalog(looked)?);
        let (job, mut one_by_one) = self.prepare_sweep(0, (name, catalog), wanted)?;
        if let Some(mut job) = job {
            if options.full || !options.accept.is_empty() {
                one_by_one.append(&mut job.zones);
            } else {
                let swept = run_sweep(job).await;
                self.finish_sweep(source, &swept, options)?
                    .into_iter()
                    .for_each(&mut *on_report);
                one_by_one.extend(swept.changed);
            }
        }
        one_by_one
            .iter()
            .map(|zone| self.prepare_transfer(source, zone, &catalog.settings, options))
            .collect()
    }
}

/// Returns the zone that a source's configuration names: its own, or its catalog.
fn named_zone(source: &Source) -> Option<&Name> {
    match &source.feeding {
        Feeding::Catalog(catalog) => Some(&catalog.catalog),
        _ => source.zone(),
    }
}

/// Who else has a zone that a catalog lists.
enum Holder {
    /// A source that keeps it.
    Stays(String),
    /// A catalog that gives it away: its source, and the zone's label there.
    Gives(SourceId, String),
}

/// Looks at a catalog: transfers it if its serial is new.
pub async fn run_catalog(job: CatalogJob) -> CatalogOutcome {
    let mut result = Err(SourceError::Refused(Refusal::Unreachable(
        "no primary is configured".to_owned(),
    )));
    let (mut answered, mut failed, mut unreached) = (Vec::new(), Vec::new(), Vec::new());
    for primary in job.route.primaries.iter().copied() {
        result = refresh_catalog(&job, primary).await;
        match &result {
            Err(SourceError::Refused(refusal)) => {
                failed.push(primary);
                if is_unreached(refusal) {
                    unreached.push((primary, refusal.clone()));
                    continue;
                }
                let zone = &job.apex;
                tracing::warn!(%zone, %primary, "catalog {zone}: primary {primary}: {refusal}");
            }
            _ => {
                answered.push(primary);
                break;
            }
        }
    }
    CatalogOutcome {
        job,
        result,
        answered,
        failed,
        unreached,
    }
}

/// Looks at a catalog at one primary.
async fn refresh_catalog(
    job: &CatalogJob,
    primary: SocketAddr,
) -> Result<Option<(Catalog, SoaNumbers)>, SourceError> {
    let target = TransferTarget {
        apex: &job.apex,
        primary,
        key: job.route.key.as_ref(),
        tls: job.route.tls.as_ref(),
        zonemd: job.route.zonemd,
        limits: &job.route.limits,
    };
    let soa = query_soa(&target).await?;
    if Some(soa.serial) == job.last_serial {
        return Ok(None);
    }
    Ok(Some(fetch_catalog(&target, job.catalog.members_max).await?))
}

/// Sweeps over members: every primary is asked for every zone, side by side.
pub async fn run_sweep(job: SweepJob) -> SweepOutcome {
    let mut sweeps = JoinSet::new();
    let zones = std::sync::Arc::new(job.zones);
    for primary in job.route.primaries.iter().copied() {
        let (key, zones, limits) = (job.route.key.clone(), zones.clone(), job.route.limits);
        sweeps.spawn(async move {
            let mut answers = sweep_serials(primary, key.as_ref(), &zones).await;
            // Perhaps only UDP does not get through: then each zone is asked about over TCP.
            let is_silent = answers
                .iter()
                .all(|answer| matches!(answer, Swept::Refused(Refusal::Unreachable(_))));
            if let (true, Some(zone)) = (is_silent, zones.first()) {
                let target = TransferTarget {
                    apex: zone,
                    primary,
                    key: key.as_ref(),
                    tls: None,
                    zonemd: ZonemdRule::Ignore,
                    limits: &limits,
                };
                if query_soa(&target).await.is_ok() {
                    answers.fill(Swept::OverTcp);
                }
            }
            (primary, answers)
        });
    }
    let mut outcome = SweepOutcome {
        source: job.source,
        unchanged: Vec::new(),
        changed: Vec::new(),
        refused: Vec::new(),
        failed: Vec::new(),
        answered: Vec::new(),
        unreached: Vec::new(),
    };
    // What is known before any primary answered; the first answer, even a refusal, takes its place.
    let unasked = Refusal::Unreachable("no primary is configured".to_owned());
    let mut best = vec![Swept::Refused(unasked); zones.len()];
    while let Some(joined) = sweeps.join_next().await {
        let (primary, answers) = joined.expect("a sweep neither panics nor is aborted");
        let is_refused = |answer: &Swept| matches!(answer, Swept::Refused(_));
        if answers.iter().all(is_refused) {
            outcome.failed.push(primary);
            let unreached = answers.iter().find_map(|answer| match answer {
                Swept::Refused(refusal) if is_unreached(refusal) => Some(refusal.clone()),
                _ => None,
            });
            outcome.unreached.extend(unreached.map(|it| (primary, it)));
        } else {
            outcome.answered.push(primary);
        }
        for (best, answer) in best.iter_mut().zip(answers) {
            let is_better = match (&best, &answer) {
                (Swept::Refused(_), _) | (Swept::OverTcp, Swept::Soa(_)) => true,
                (Swept::Soa(known), Swept::Soa(soa)) => soa.serial.is_newer_than(known.serial),
                _ => false,
            };
            // Of two primaries the newer serial counts, since a transfer would take it.
            if is_better {
                *best = answer;
            }
        }
    }
    for ((zone, ours), answer) in zones.iter().cloned().zip(job.serials).zip(best) {
        match answer {
            Swept::Soa(soa) if Some(soa.serial) == ours => outcome.unchanged.push(zone),
            // What a datagram does not tell, the transfer asks for over TCP.
            Swept::Soa(_) | Swept::OverTcp => outcome.changed.push(zone),
            Swept::Refused(refusal) => outcome.refused.push((zone, refusal)),
        }
    }
    outcome
}
