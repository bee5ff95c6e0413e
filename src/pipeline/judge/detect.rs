//! Judges what changed: loads windows, computes purely, moves cases, queues reports.

use crate::case::{
    Case, CaseEvent, CaseState, GONE_AFTER, GONE_AT_LAST_AFTER, Observation, RETURNS_WITHIN,
    Standing, Traits, campaign_reference, observe,
};
use crate::count::counted;
use crate::detector::{
    BULK_7D_MAX, ChangePoint, DetectPolicy, Finding, Level, Moment, Planes, Stay, judge_planes,
};
use crate::dns::{Name, case_domain};
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::find::{INTERVALS_MAX, QUICK_INTERVALS_MAX, USERS_JUDGED_MAX};
use crate::pipeline::findings::windows::{
    ADDRESSES_SINCE, OWNERS_JUDGED_MAX, Range, as_nameserver,
};
use crate::pipeline::judge::Judge;
use crate::pipeline::notify::compose::ACTOR;
use crate::pipeline::outcome::PollOptions;
use crate::store::{
    BulkKind, BulkMove, CaseRow, EntityKey, Sight, SightRange, SourceKind, Stir, View, ZoneState,
};
use crate::time::{Span, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

/// How old a judgement must be before a case without changes is judged again.
pub(in crate::pipeline) const REEVALUATE_AFTER: Span = Span::hours(1);

/// The most domains that are judged at one version. More change at once only in a zone of tens of millions, in which
/// that is no mass change: some minutes of work. Chosen by hand.
const DOMAINS_JUDGED_MAX: usize = 100_000;

/// How many cases move in one transaction, so that none holds up what else is written for long...
const CASES_AT_A_TIME: usize = 2000;

/// ...and how many values their findings hold, at 100 octets each: bounds memory.
const VALUES_AT_A_TIME: usize = 1_000_000;

/// So many domains are read together before they are judged.
const DOMAINS_SEEN_AT_ONCE: usize = 500;

/// How old the judgement of a case that a person is asked to look at must be before a change has it judged again: the
/// windows of the detector are of hours. Chosen by hand.
const REEVALUATE_CHANGED_AFTER: Span = Span::seconds(600);

/// How many names must use a name server whose addresses move for an alert.
const GLUE_NAMES_MIN: usize = 50;

/// How many of them the note names.
const GLUE_NAMES_KEPT: usize = 10;

/// Domains that a version touched, each with those of its own names whose addresses moved.
type Touched = BTreeMap<Name, BTreeSet<Name>>;

/// One of [`Touched`].
type TouchedDomain = (Name, BTreeSet<Name>);

/// What was judged of a domain, as far as its case needs it.
pub(in crate::pipeline) struct Judgement {
    at: Timestamp,
    finding: Option<Finding>,
    /// As [`DomainFinding::last_change_at`].
    last_change_at: Option<Timestamp>,
}

impl Judgement {
    /// Returns whether the domain is suspected.
    pub(in crate::pipeline) fn is_suspected(&self) -> bool {
        self.finding.is_some()
    }

    /// Judges a domain by its planes.
    fn of(
        domain: &Name,
        planes: Planes,
        last_change_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        Self {
            at: now,
            finding: judge_planes(domain, planes, now),
            last_change_at,
        }
    }
}

/// Domains that were judged and whose cases are to be moved in one transaction.
#[derive(Default)]
pub(in crate::pipeline) struct Judged {
    domains: Vec<(Name, Judgement, Standing)>,
    /// Cases whose change is left for now, each with the time by which it is judged.
    left: Vec<(i64, Timestamp)>,
    /// Cases whose delegation is away, each with the time from which on it counts as gone.
    awaited: Vec<(i64, Timestamp)>,
    /// How many values the findings hold.
    value_count: usize,
}

impl Judged {
    /// Adds a domain, and whether it is still there to be suspected.
    pub(in crate::pipeline) fn add(
        &mut self,
        domain: Name,
        judgement: Judgement,
        standing: Standing,
    ) {
        let planes = judgement.finding.iter();
        let planes = planes.flat_map(Finding::planes);
        for plane in planes {
            let listed = plane.points.iter().map(ChangePoint::value_count);
            self.value_count += listed.sum::<usize>() + plane.names.len() + plane.addresses.len();
        }
        self.domains.push((domain, judgement, standing));
    }

    /// Notes that a change of a case is left for now. The first that is left says by when.
    fn leave(&mut self, row: &CaseRow, pause: Span) {
        if row.case.due_at.is_none() {
            self.left.push((row.id, row.case.evaluated_at + pause));
        }
    }

    /// Returns whether nothing is to be written.
    fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.left.is_empty() && self.awaited.is_empty()
    }

    /// Returns whether no more is to be added.
    pub(in crate::pipeline) fn is_full(&self) -> bool {
        self.domains.len() + self.left.len() + self.awaited.len() >= CASES_AT_A_TIME
            || self.value_count >= VALUES_AT_A_TIME
    }
}

/// What comes of a change of a domain.
enum Outcome {
    /// It was judged.
    Judged(Box<Judgement>),
    /// It is judged so long after its case was judged last, at the latest.
    Left(Span),
    /// Its delegation is away: it is judged when that is back, or counts as gone at this time.
    Awaited(Timestamp),
}

/// How a domain is judged at a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// In full.
    Full,
    /// In full if its newest intervals say anything.
    IfSuspected,
    /// Not now: it was judged lately, and is judged again later.
    Later,
}

/// Returns whether a change may wait: a person is asked to look at the case, no report of it is held, and it was judged
/// lately.
fn was_judged_lately(case: &Case, now: Timestamp) -> bool {
    case.level >= Level::Review
        && case.pending_since.is_none()
        && now.since(case.evaluated_at) < REEVALUATE_CHANGED_AFTER
}

impl Pace {
    /// Returns that of a busy domain.
    fn of_busy(case: Option<&CaseRow>, now: Timestamp) -> Self {
        let Some(CaseRow { case, .. }) = case else {
            return Self::IfSuspected;
        };
        match case.state {
            _ if now.since(case.evaluated_at) >= REEVALUATE_AFTER => Self::Full,
            CaseState::Open | CaseState::Acknowledged | CaseState::Dismissed => Self::Later,
            // What is over is opened again by the first finding.
            CaseState::Closed | CaseState::Mitigated => Self::IfSuspected,
        }
    }
}

impl Judge<'_> {
    /// Judges every version of a zone that the detector has not judged yet, or notes that it is to be.
    pub fn detect_zone(&self, apex: &Name, options: &PollOptions) -> Result<(), PipelineError> {
        self.detect_view(apex, View::Zone, options)
    }

    /// [`Judge::detect_zone`] of any view.
    pub(in crate::pipeline) fn detect_view(
        &self,
        apex: &Name,
        view: View,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        self.judge_versions(apex, view, options)?;
        Ok(self.store.lookup().write_judged()?)
    }

    /// [`Judge::detect_view`] in the midst of a pass that writes more: what it ends with,
    /// [`Lookup::write_judged`](crate::store::Lookup::write_judged), is left to the caller.
    pub(in crate::pipeline) fn judge_versions(
        &self,
        apex: &Name,
        view: View,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        match &self.docket {
            Some(docket) => docket.note_versions(apex, view),
            None => {
                self.detect_some(apex, view, options, &|| true)?;
            }
        }
        Ok(())
    }

    /// Judges versions of a zone as long as `goes_on` says so. Returns whether none is left. What it ends with,
    /// [`Lookup::write_judged`](crate::store::Lookup::write_judged), is left to the caller.
    pub(in crate::pipeline) fn detect_some(
        &self,
        apex: &Name,
        view: View,
        options: &PollOptions,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<bool, PipelineError> {
        if self.parts.is_waiting() {
            // The watermark stays, and what is stored is judged when the table is right.
            return Ok(true);
        }
        let Some(zone) = self.store.zones().find_view(apex, view)? else {
            return Ok(true);
        };
        for (version_id, at) in self.store.lookup().versions_to_judge(&zone)? {
            if !goes_on() {
                return Ok(false);
            }
            self.detect_version(&zone, version_id, at, options)?;
        }
        Ok(true)
    }

    /// Judges the domains that one version touched. Their cases move, with their reports, [`CASES_AT_A_TIME`] in one
    /// transaction, the last with the watermark: what was killed in between is judged once more, to the same end.
    pub(in crate::pipeline) fn detect_version(
        &self,
        zone: &ZoneState,
        version_id: i64,
        at: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        self.reevaluate_before(&zone.apex, at, options)?;
        // One state of the database for all of a version, and one lock of it instead of one for each question.
        let mut reading = self.store.begin_reading()?;
        let (mut domains, glue) = self.touched_domains(zone, version_id, at)?;
        self.leave_calm(&mut domains, at)?;
        let domains: Vec<TouchedDomain> = domains.into_iter().collect();
        let mut judged = Judged::default();
        let mut waiting = &domains[..];
        while !waiting.is_empty() {
            let done = self.judge_some(waiting, at, zone.source_kind, &mut judged)?;
            waiting = &waiting[done..];
            if judged.is_full() {
                drop(reading);
                let tx = self.store.begin_batch()?;
                self.move_cases(std::mem::take(&mut judged), options)?;
                tx.commit()?;
                reading = self.store.begin_reading()?;
            }
        }
        drop(reading);
        if judged.is_empty() && glue.is_empty() {
            self.store.lookup().note_judged(zone.id, version_id);
            return Ok(());
        }
        let tx = self.store.begin_batch()?;
        self.move_cases(judged, options)?;
        self.store.ledger().note_bulk_moves(zone.id, glue)?;
        self.store.lookup().set_detected(zone.id, version_id)?;
        Ok(tx.commit()?)
    }

    /// Judges the first of some domains that a version touched, until no more are to be added. Returns how many.
    fn judge_some(
        &self,
        domains: &[TouchedDomain],
        at: Timestamp,
        kind: SourceKind,
        judged: &mut Judged,
    ) -> Result<usize, PipelineError> {
        let domains = &domains[..domains.len().min(DOMAINS_SEEN_AT_ONCE)];
        let names: Vec<&Name> = domains.iter().map(|(domain, _)| domain).collect();
        let cases = self.store.desk().cases_about(&names)?;
        let _sight = self.sight(&names, at)?;
        let mut ended = HashSet::new();
        for row in cases.values() {
            if self.has_ended(&row.case, at)? {
                ended.insert(row.id);
            }
        }
        for (done, (domain, touched)) in (1..).zip(domains) {
            let case = cases.get(domain);
            // It was judged by what other sources told of later times, or by the wall clock: what is told now was so then. A
            // file tells all of it at once; what else comes late is judged once, after its pass. What ended a case may be undone
            // by it.
            if let Some(row) = case.filter(|row| row.case.evaluated_at > at) {
                let is_file = kind == SourceKind::Zonefile;
                let is_judged = is_file || row.case.state == CaseState::Mitigated;
                if is_judged && !ended.contains(&row.id) {
                    let at = row.case.evaluated_at;
                    let judgement = self.judge_whole(domain, at)?;
                    judged.add(domain.clone(), judgement, self.standing(domain, at)?);
                } else if !is_file && row.case.state.is_working() {
                    judged.leave(row, Span::seconds(0));
                }
                continue;
            }
            match (self.judge_change(domain, touched, case, at)?, case) {
                (Outcome::Judged(judgement), case)
                    if judgement.finding.is_some()
                        || case.is_some_and(|row| !ended.contains(&row.id)) =>
                {
                    judged.add(domain.clone(), *judgement, self.standing(domain, at)?);
                }
                (Outcome::Left(pause), Some(row)) => judged.leave(row, pause),
                (Outcome::Awaited(gone_at), Some(row)) if !ended.contains(&row.id) => {
                    judged.awaited.push((row.id, gone_at));
                }
                _ => {}
            }
            if judged.is_full() {
                return Ok(done);
            }
        }
        Ok(domains.len())
    }

    /// Returns whether the zone of a case is not watched any more at a time: then that nothing is found of it says nothing.
    pub(in crate::pipeline) fn has_ended(
        &self,
        case: &Case,
        at: Timestamp,
    ) -> Result<bool, PipelineError> {
        let zones = self.store.zones().zones_enclosing(&case.domain)?;
        let mut of_case = zones.iter().filter(|zone| zone.apex == case.zone);
        let is_watched = of_case.clone().any(|zone| zone.is_judged_at(at));
        Ok(of_case.next().is_some() && !is_watched)
    }

    /// Leaves those of some domains that have a case, or of which something can be found at `at`. The others are
    /// delegations that changed at fewer instants in 7 days than any rule asks for; a domain of the zone's own names is
    /// also judged by how many came at once, so that it is never left out.
    fn leave_calm(&self, domains: &mut Touched, at: Timestamp) -> Result<(), PipelineError> {
        let names: Vec<&Name> = domains.keys().collect();
        let mut left = self.stirred(&names, at)?;
        if left.len() < names.len() {
            left.extend(self.store.desk().domains_with_case(&names)?);
            domains.retain(|domain, _| left.contains(domain));
        }
        Ok(())
    }

    /// Reads what is asked of some domains when they are judged at a change, until what is returned is dropped.
    fn sight(&self, domains: &[&Name], at: Timestamp) -> Result<Sight<'_>, PipelineError> {
        let range = SightRange {
            since: at - self.config.detect.memory,
            names_max: OWNERS_JUDGED_MAX,
        };
        Ok(self.store.lookup().sight(domains, &range)?)
    }

    /// Returns those of some domains of which something can be found at `at`.
    fn stirred(&self, domains: &[&Name], at: Timestamp) -> Result<HashSet<Name>, PipelineError> {
        let detect = &self.config.detect;
        let stir = Stir {
            since: at - Span::days(7),
            hosts_since: at - detect.memory,
            instants_min: detect.changes_min(),
        };
        Ok(self.store.lookup().stirred(domains, &stir)?)
    }

    /// Moves the cases about some domains, and tells of them.
    pub(in crate::pipeline) fn move_cases(
        &self,
        judged: Judged,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        for (id, due_at) in judged.left {
            self.store.desk().set_due(id, due_at)?;
        }
        for (id, gone_at) in judged.awaited {
            self.store.desk().set_due_by(id, gone_at)?;
        }
        let mut moved = BTreeMap::new();
        for (domain, judgement, standing) in judged.domains {
            if let Some(id) = self.move_case(&domain, &judgement, standing)? {
                moved.insert(id, judgement.finding);
            }
        }
        self.notify_of_moved(moved, options)
    }

    /// Tells of the cases that were moved.
    fn notify_of_moved(
        &self,
        moved: BTreeMap<i64, Option<Finding>>,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        let ids = moved.keys().copied().collect();
        let found = moved.into_iter();
        let findings = found
            .filter_map(|(id, finding)| Some((id, finding?)))
            .collect();
        self.notify.notify_of(&ids, &findings, options)
    }

    /// Moves the case about a domain. Returns its number, if there is one and it was judged.
    fn move_case(
        &self,
        domain: &Name,
        judgement: &Judgement,
        standing: Standing,
    ) -> Result<Option<i64>, PipelineError> {
        let (finding, now) = (judgement.finding.as_ref(), judgement.at);
        let known = self.store.desk().find_case(domain)?;
        // A line that arrived late was judged at its time; what is known is of a later time.
        if known
            .as_ref()
            .is_some_and(|row| row.case.evaluated_at > now)
        {
            return Ok(None);
        }
        let known = known.as_ref().map(|row| &row.case);
        if known.is_none() && finding.is_none() {
            return Ok(None);
        }
        let is_seen = match (known, finding) {
            (Some(case), None) => !self.store.zones().is_failing(&case.zone, now)?,
            _ => true,
        };
        let observation = Observation {
            finding,
            last_change_at: judgement.last_change_at,
            standing,
            is_seen,
            now,
        };
        let Some((case, events)) = observe(known, &observation, &self.config.detect) else {
            return Ok(None);
        };
        let id = self.store.desk().save_case(&case)?;
        if matches!(standing, Standing::Away(_)) {
            // Whether there is anything to tell is known when it is back, or gone.
            return Ok(None);
        }
        let desk = self.store.desk();
        desk.append_case_events(id, &events, ACTOR, self.clock.now())?;
        for event in &events {
            tracing::info!(domain = %case.domain, case = id, level = case.level.word(), "case {id}, {}: {}", case.domain, event.note);
        }
        if let Some(finding) = finding {
            self.join_campaigns(id, &case, finding, now)?;
        }
        Ok(Some(id))
    }

    /// Joins a case with those that share what few others use.
    fn join_campaigns(
        &self,
        id: i64,
        case: &Case,
        finding: &Finding,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        let traits = Traits::of(finding, &self.parts.knowledge);
        if case.state == CaseState::Dismissed
            || traits.is_empty()
            || self.findings.is_canary(&case.domain)
        {
            return Ok(());
        }
        let others = self.store.desk().save_traits(id, case, &traits)?;
        for (other, shared) in others {
            let (campaign, moved) = self.store.desk().join_campaign(id, other)?;
            let name = campaign_reference(campaign);
            for moved in moved {
                let partner = if moved == id { other } else { id };
                let rows = (
                    self.store.desk().case_by_id(moved)?,
                    self.store.desk().case_by_id(partner)?,
                );
                let (Some(row), Some(partner)) = rows else {
                    continue;
                };
                let note = if moved == id || moved == other {
                    format!(
                        "joined campaign {name}: shares {} with {}",
                        shared.words(),
                        partner.case.domain
                    )
                } else {
                    format!("its campaign is part of {name} now")
                };
                tracing::info!(case = moved, campaign = name, "case {moved}: {note}");
                let event = CaseEvent {
                    at: now,
                    from: Some(row.case.state),
                    to: row.case.state,
                    note,
                };
                let desk = self.store.desk();
                desk.append_case_events(moved, &[event], ACTOR, self.clock.now())?;
            }
        }
        Ok(())
    }

    /// Returns whether a domain is still there to be suspected, at `now`.
    ///
    /// The nearest zone above that delegates it, or did, says so alone: what the domain's own zone or a probe still
    /// shows was taken down where the delegation was. Where no zone above is watched, they say it. A delegation that went
    /// less than [`GONE_AFTER`] ago is away, and one that went in a mass change, or that came back before, for longer.
    pub fn standing(&self, domain: &Name, now: Timestamp) -> Result<Standing, PipelineError> {
        let hold = &self.config.detect.hold_nameservers;
        let mut hosts = BTreeSet::new();
        for zone in self.store.zones().zones_enclosing(domain)? {
            if !zone.is_judged_at(now) {
                continue;
            }
            // A probe tells what it saw; only the zone itself tells that a delegation is gone.
            let is_above = zone.view == View::Zone && zone.apex != *domain;
            let key = EntityKey {
                zone: zone.id,
                apex: zone.apex,
                owner: domain.clone(),
            };
            let delegation_since = |since: Timestamp| -> Result<_, PipelineError> {
                let stays = self.findings.window_until(&key, since, now)?;
                let stays: Vec<Stay<Name>> = stays.into_iter().filter_map(as_nameserver).collect();
                Ok(delegation_at(&stays, now))
            };
            let (mut there, mut gone_at) = delegation_since(now - GONE_AT_LAST_AFTER)?;
            // It went lately: what it did before says for how long it may be away.
            if gone_at.is_some() {
                (there, gone_at) = delegation_since(now - RETURNS_WITHIN)?;
            }
            let lookup = self.store.lookup();
            if is_above && (!there.is_empty() || lookup.had_nameservers(&key, now)?) {
                let is_gone = there.is_empty() && !self.shows_itself(domain, &key.apex, now)?;
                return Ok(Standing::of(&there, is_gone, hold).until(gone_at, now));
            }
            hosts.extend(there);
        }
        Ok(Standing::of(&hosts, false, hold))
    }

    /// Returns whether a zone that does not delegate a domain any more has data of it itself that moves.
    fn shows_itself(
        &self,
        domain: &Name,
        apex: &Name,
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        let range = self.findings.range(now, QUICK_INTERVALS_MAX);
        let windows = self.findings.load_windows(domain, &range)?;
        self.findings.has_moving_data(domain, &windows, apex, now)
    }

    /// Returns the domains that a version touched, each once, with those of their own names whose addresses moved, and
    /// the name servers of many names whose addresses moved. A mass change accuses nobody and is not looked at.
    fn touched_domains(
        &self,
        zone: &ZoneState,
        version_id: i64,
        at: Timestamp,
    ) -> Result<(Touched, Vec<BulkMove>), PipelineError> {
        let (mut domains, mut glue) = (Touched::new(), Vec::new());
        // Those that came later do not count, whenever this one is judged.
        let since = at - Span::days(7);
        let version = self.store.lookup().version_to_judge(version_id)?;
        if version.is_bulk
            && self.store.lookup().bulk_count(zone.id, since, at)? <= BULK_7D_MAX as u32
        {
            return Ok((domains, glue));
        }
        let mut hosts = BTreeSet::new();
        let lookup = self.store.lookup();
        let changes = lookup.counts(zone, version)?;
        let is_inner = |owner: &Name| case_domain(&zone.apex, owner) != *owner;
        let cut = changes.iter().filter(|it| it.nameservers);
        let cut: HashSet<&Name> = cut
            .map(|it| &it.key.owner)
            .filter(|it| is_inner(it))
            .collect();
        let others = changes.iter().filter(|it| it.addresses || it.others);
        let others: HashSet<&Name> = others.map(|change| &change.key.owner).collect();
        let asked: Vec<&Name> = others.union(&cut).copied().collect();
        let below_cut = lookup.below_cut_at(zone.id, &zone.apex, &asked, at)?;
        let bare = cut.into_iter().filter(|owner| !below_cut.contains(*owner));
        self.add_uncovered(zone, &bare.cloned().collect(), at, &mut domains)?;
        for change in changes {
            let owner = &change.key.owner;
            if change.nameservers {
                domains.entry(owner.clone()).or_default();
            }
            if change.addresses {
                hosts.insert(owner.clone());
            }
            // What signs a delegation lies at a cut; of other records only aliases lie elsewhere.
            if (change.addresses || change.others) && !below_cut.contains(owner) {
                let domain = case_domain(&zone.apex, owner);
                domains.entry(domain).or_default().insert(owner.clone());
            }
        }
        let mut left_out = 0;
        let users = self
            .store
            .lookup()
            .users_by_host(&hosts, USERS_JUDGED_MAX)?;
        // However many use a name server, its operator is judged.
        let used = users.keys().cloned().collect();
        let mut operators = self.findings.operators_of(&used, at)?;
        for (host, users) in users {
            left_out += users.count - users.names.len();
            // What moves once its operator is gone is its users' doing alone.
            let of_host = operators.remove(&host).into_iter().flatten();
            let operator = of_host.into_iter().find(|it| it.answers_at(at));
            let operator = operator.map(|it| it.name);
            let has_operator = operator.is_some();
            if let Some(operator) = operator {
                domains.entry(operator).or_default();
            }
            if users.count >= GLUE_NAMES_MIN {
                let names = users.names.iter().take(GLUE_NAMES_KEPT);
                glue.push(BulkMove {
                    id: 0,
                    version_id,
                    zone: zone.apex.clone(),
                    at,
                    kind: BulkKind::Glue,
                    name_count: users.count as u32,
                    before: host.to_string(),
                    after: String::new(),
                    names: names.map(Name::to_string).collect::<Vec<_>>().join(","),
                });
            }
            // For others its addresses are no change.
            let own = |name: &Name| !has_operator || host.is_at_or_below(name);
            for name in users.names.into_iter().filter(own) {
                domains.entry(name).or_default();
            }
        }
        if left_out > 0 {
            tracing::warn!(zone = %zone.apex, version_id, left_out, "zone {}: name servers that {} use changed address at {at}; {USERS_JUDGED_MAX} of these names are judged, {left_out} are left out", zone.apex, counted(left_out + USERS_JUDGED_MAX, "name"));
        }
        let left_out = self.bound_domains(&mut domains, version_id);
        if left_out > 0 {
            tracing::warn!(zone = %zone.apex, version_id, left_out, "zone {}: {} changed at {at}; {DOMAINS_JUDGED_MAX} of them are judged, {left_out} are left out until they change again", zone.apex, counted(left_out + DOMAINS_JUDGED_MAX, "domain"));
        }
        Ok((domains, glue))
    }

    /// Adds what is at and below some names that lost their delegation and has moved lately: what was glue there is the
    /// zone's own data now.
    fn add_uncovered(
        &self,
        zone: &ZoneState,
        bare: &HashSet<Name>,
        at: Timestamp,
        domains: &mut Touched,
    ) -> Result<(), PipelineError> {
        let (lookup, apex, since) = (self.store.lookup(), &zone.apex, at - ADDRESSES_SINCE);
        for owner in lookup.with_data(zone.id, apex, bare)? {
            let most = OWNERS_JUDGED_MAX;
            let moved = lookup.owners_with_new_addresses(zone.id, apex, &owner, since, most)?;
            let moved = moved.into_iter().map(|key| key.owner);
            domains
                .entry(case_domain(apex, &owner))
                .or_default()
                .extend(moved);
        }
        Ok(())
    }

    /// Leaves out what is more than [`DOMAINS_JUDGED_MAX`] domains: nobody can choose which, and it is others at each
    /// version. Returns how many are left out.
    fn bound_domains(&self, domains: &mut Touched, version_id: i64) -> usize {
        let all = domains.len();
        if all <= DOMAINS_JUDGED_MAX {
            return 0;
        }
        let place = |domain: &Name| {
            let octets = [domain.as_wire(), &version_id.to_be_bytes()].concat();
            self.store.digest_key().hash_owner(&octets)
        };
        let mut places: Vec<u64> = domains.keys().map(place).collect();
        let first_left_out = *places.select_nth_unstable(DOMAINS_JUDGED_MAX).1;
        domains.retain(|domain, _| place(domain) < first_left_out);
        all - domains.len()
    }

    /// Judges a domain in full at a time, as far as its case needs it.
    pub(in crate::pipeline) fn judge_whole(
        &self,
        domain: &Name,
        now: Timestamp,
    ) -> Result<Judgement, PipelineError> {
        let mut windows = self
            .findings
            .load_windows(domain, &self.findings.range(now, INTERVALS_MAX))?;
        let last_change_at = windows.last_change_at(now);
        let planes =
            self.findings
                .judge_planes(domain, &mut windows, &self.config.detect, now, now)?;
        Ok(Judgement::of(domain, planes, last_change_at, now))
    }

    /// Judges a domain at a change, or leaves it; planes that changed too seldom to be watched are left out.
    ///
    /// However often it has changed, a change costs no more than [`QUICK_INTERVALS_MAX`] intervals and once an hour
    /// of event time [`INTERVALS_MAX`]. A busy one without a case is judged in full once these say anything. One of
    /// many names is busy too, and what is quickly looked at are its names that were `touched`. One at level `review` or
    /// above is judged once in [`REEVALUATE_CHANGED_AFTER`], while no report of it is held. That its delegation is gone
    /// ends a case at once; that it is away is not judged, so that it puts off no judgement of what it comes back with.
    fn judge_change(
        &self,
        domain: &Name,
        touched: &BTreeSet<Name>,
        case: Option<&CaseRow>,
        now: Timestamp,
    ) -> Result<Outcome, PipelineError> {
        let mut busy = Pace::of_busy(case, now);
        let quick = self.findings.range(now, QUICK_INTERVALS_MAX);
        let working =
            case.filter(|row| row.case.state.is_working() && row.case.evaluated_at <= now);
        if working.is_some() || busy == Pace::Later {
            match self.standing(domain, now)? {
                Standing::Away(gone_at) if working.is_some() => {
                    return Ok(Outcome::Awaited(gone_at));
                }
                Standing::Active => {}
                _ if busy == Pace::Later => busy = Pace::Full,
                _ => {}
            }
        }
        let was_judged = |row: &CaseRow| was_judged_lately(&row.case, now);
        if busy == Pace::Later && case.is_some_and(was_judged) {
            return Ok(Outcome::Left(REEVALUATE_CHANGED_AFTER));
        }
        let has_many_names = self.findings.has_many_names(domain)?;
        if busy == Pace::Later && (has_many_names || self.findings.is_busy(domain, &quick)?) {
            return Ok(Outcome::Left(REEVALUATE_AFTER));
        }
        let touched = if has_many_names {
            Some(self.findings.most_changed(domain, touched, &quick)?)
        } else {
            None
        };
        // What is judged in full anyway need not be looked at quickly: where all of it fits in, that is the same.
        let mut limit = match busy {
            Pace::Full => INTERVALS_MAX,
            Pace::IfSuspected | Pace::Later => QUICK_INTERVALS_MAX,
        };
        loop {
            let policy = &self.config.detect;
            let is_first = limit == QUICK_INTERVALS_MAX;
            let range = Range {
                among: touched.as_ref().filter(|_| is_first),
                ..self.findings.range(now, limit)
            };
            let mut windows = self.findings.load_windows(domain, &range)?;
            let left_out_until = windows.left_out_until();
            // Before planes that changed too seldom to be watched are left out.
            let last_change_at = windows.last_change_at(now);
            let is_quick = is_first && (left_out_until.is_some() || has_many_names);
            let pace = if is_quick { busy } else { Pace::Full };
            if pace == Pace::Later {
                return Ok(Outcome::Left(REEVALUATE_AFTER));
            }
            if !is_quick || pace == Pace::IfSuspected {
                windows.put_aside(|it| !may_be_watched(policy, &it.names, &it.addresses, now));
                let planes = self
                    .findings
                    .judge_planes(domain, &mut windows, policy, now, now)?;
                let judgement = Judgement::of(domain, planes, last_change_at, now);
                if !is_quick || judgement.finding.is_none() {
                    if let Some(until) = left_out_until {
                        tracing::info!(%domain, "domain {domain}: has changed too often to be judged whole at {now}: what ended by {until} is left out");
                    }
                    return Ok(Outcome::Judged(Box::new(judgement)));
                }
            }
            limit = INTERVALS_MAX;
        }
    }
}

/// Returns the name servers of a delegation at a time, and from when on it counts as gone if there are none.
pub(in crate::pipeline) fn delegation_at(
    stays: &[Stay<Name>],
    now: Timestamp,
) -> (BTreeSet<Name>, Option<Timestamp>) {
    let known = stays.iter().filter(|stay| stay.added.at <= now);
    let end = |stay: &Stay<Name>| stay.removed.filter(|end| end.at <= now);
    let there = known.clone().filter(|stay| end(stay).is_none());
    let there: BTreeSet<Name> = there.map(|stay| stay.value.clone()).collect();
    let last = known.filter_map(end).max_by_key(|end| end.at);
    let last = last.filter(|_| there.is_empty());
    let gone_at = last.map(|end| match end.bulk || came_back(stays, now) {
        true => end.at + GONE_AT_LAST_AFTER,
        false => end.at + GONE_AFTER,
    });
    (there, gone_at)
}

/// Returns whether a delegation was gone for as long as counts within [`RETURNS_WITHIN`] before `now`, and came back.
fn came_back(stays: &[Stay<Name>], now: Timestamp) -> bool {
    let since = now - RETURNS_WITHIN;
    let known = stays.iter().filter(|stay| stay.added.at <= now);
    let ends = known.map(|stay| (stay.added.at, stay.removed.map_or(now, |end| end.at)));
    let mut spans: Vec<(Timestamp, Timestamp)> = ends.filter(|(_, end)| *end > since).collect();
    spans.sort_unstable();
    let mut there_until = None;
    for (added, end) in spans {
        if there_until.is_some_and(|until| added >= until + GONE_AFTER) {
            return true;
        }
        there_until = there_until.max(Some(end));
    }
    false
}

/// Returns whether a delegation can be watched at all: every rule asks for some change instants in 7 days,
/// and no instant weighs more than 1.
pub(in crate::pipeline) fn may_be_watched(
    policy: &DetectPolicy,
    names: &[Stay<Name>],
    addresses: &[(Name, Stay<IpAddr>)],
    now: Timestamp,
) -> bool {
    let names = names.iter().flat_map(|it| [Some(it.added), it.removed]);
    let addresses = addresses
        .iter()
        .flat_map(|(_, it)| [Some(it.added), it.removed]);
    changed_enough(policy, names.chain(addresses).flatten(), now)
}

/// Returns whether as many instants lie within 7 days before `now` as any rule asks for.
pub(in crate::pipeline) fn changed_enough(
    policy: &DetectPolicy,
    ends: impl Iterator<Item = Moment>,
    now: Timestamp,
) -> bool {
    let (since, needed) = (now - Span::days(7), policy.changes_min());
    let mut instants = BTreeSet::new();
    let is_enough = |count: usize| count as f64 >= needed;
    let mut ends = ends.filter(|end| end.at >= since && end.at <= now);
    is_enough(0) || ends.any(|end| instants.insert(end.version_id) && is_enough(instants.len()))
}
