//! Judges what changed: loads windows, computes purely, moves cases, queues reports.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::case::{Case, CaseState, Observation, Standing, Traits, campaign_reference, observe};
use crate::count::counted;
use crate::detector::{
    AddressWindow, AliasWindow, BULK_7D_MAX, ChangePoint, DetectPolicy, Finding, LeftOut, Level,
    Moment, NameserverReplay, NameserverWindow, Operated, PlaneFinding, Planes, Stay,
    evaluate_addresses, evaluate_owners, judge_nameservers, judge_planes, note_sitting_hosts,
    without_excuses,
};
use crate::dns::{Name, Rdata, case_domain};
use crate::pipeline::notify::compose::ACTOR;
use crate::pipeline::{Pipeline, PipelineError, PollOptions};
use crate::store::{
    BulkKind, BulkMove, CaseRow, EntityKey, Extent, Interval, StoreError, View, ZoneState,
};
use crate::time::{Span, Timestamp};

/// How old a judgement must be before a case without changes is judged again.
pub(in crate::pipeline) const REEVALUATE_AFTER: Span = Span::hours(1);

/// The most owner names of one domain whose addresses are judged.
const OWNERS_JUDGED_MAX: usize = 2000;
/// The most domains that are judged at one version. More change at once only in a zone of tens of millions, in which
/// that is no mass change: some minutes of work. Chosen by hand.
const DOMAINS_JUDGED_MAX: usize = 100_000;
/// How many cases move in one transaction, so that none holds up what else is written for long...
const CASES_AT_A_TIME: usize = 2000;
/// ...and how many values their findings hold, at 100 octets each: bounds memory.
const VALUES_AT_A_TIME: usize = 1_000_000;
/// How far back an owner must have changed its addresses to be judged.
pub(in crate::pipeline) const ADDRESSES_SINCE: Span = Span::days(8);
/// How old the judgement of a case that a person is asked to look at must be before a change has it judged again: the
/// windows of the detector are of hours. Chosen by hand.
const REEVALUATE_CHANGED_AFTER: Span = Span::seconds(600);
/// The most closed intervals of a domain that are read at each change. One with more is busy, and is judged in full
/// only as often as a case without changes. Chosen by hand; see docs/explanation/detection.md, "Busy domains".
const QUICK_INTERVALS_MAX: usize = 512;
/// The most closed intervals of a domain that are judged, the newest; the rest is said to be left out.
const INTERVALS_MAX: usize = 2048;
/// Of how many instants of an owner the intervals are read in any case: more than any rule asks for to watch it, so
/// that a set of thousands pushes nothing out.
const INSTANTS_MIN: usize = 24;
/// The most users of moved name servers that are judged at one version.
const USERS_JUDGED_MAX: usize = 2000;
/// How many users of a domain's own name servers are named.
const OPERATED_USERS_KEPT: usize = 10;
/// The most name servers of an operator that are judged as one set; those that changed most come first.
const OPERATED_HOSTS_MAX: usize = 256;
/// How many names must use a name server whose addresses move for a note to the operator.
const GLUE_NAMES_MIN: usize = 50;
/// How many of them the note names.
const GLUE_NAMES_KEPT: usize = 10;

/// A domain with everything that was computed about it.
pub struct DomainFinding {
    /// What is suspected; `None` if it is not even watched.
    pub finding: Option<Finding>,
    /// The planes, suspected or not, for `explain`.
    pub nameservers: Option<PlaneFinding>,
    /// The address plane of the owner that says most.
    pub addresses: Option<PlaneFinding>,
    /// The alias plane of the owner that says most.
    pub aliases: Option<PlaneFinding>,
    /// The last change of its NS records, of addresses of name servers at or below it, or of its own addresses and
    /// aliases; `None` if none is known.
    pub last_change_at: Option<Timestamp>,
}

/// What history says of a domain: a window for each zone that delegates it, and for each of its own names.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline) struct DomainWindows {
    pub nameservers: Vec<NameserverWindow>,
    pub addresses: Vec<AddressWindow>,
    pub aliases: Vec<AliasWindow>,
}

impl DomainWindows {
    /// Returns when anything of it changed.
    pub(in crate::pipeline) fn change_times(&self) -> BTreeSet<Timestamp> {
        let names = self.nameservers.iter().flat_map(|it| &it.names).map(ends);
        let hosts = self.nameservers.iter().flat_map(|it| &it.addresses);
        let hosts = hosts.map(|(_, stay)| ends(stay));
        let addresses = self.addresses.iter().flat_map(|it| &it.addresses).map(ends);
        let aliases = self.aliases.iter().flat_map(|it| &it.targets).map(ends);
        let own = addresses.chain(aliases);
        let all = names.chain(hosts).chain(own).flatten();
        all.flatten().collect()
    }

    /// Returns when what is a domain's own changed last, by `now`.
    pub(in crate::pipeline) fn last_change_at(&self, now: Timestamp) -> Option<Timestamp> {
        let names = self.nameservers.iter().flat_map(|it| &it.names).map(ends);
        let hosts = self.nameservers.iter().flat_map(|it| {
            let own = it.addresses.iter();
            own.filter(|(host, _)| host.is_at_or_below(&it.owner))
        });
        let hosts = hosts.map(|(_, stay)| ends(stay));
        let addresses = self.addresses.iter().flat_map(|it| &it.addresses).map(ends);
        let aliases = self.aliases.iter().flat_map(|it| &it.targets).map(ends);
        let own = addresses.chain(aliases);
        let all = names.chain(hosts).chain(own).flatten().flatten();
        all.filter(|at| *at <= now).max()
    }

    /// Returns the end of the latest part that is left out, if any is.
    fn left_out_until(&self) -> Option<Timestamp> {
        let nameservers = self.nameservers.iter().map(|it| &it.left_out);
        let addresses = self.addresses.iter().map(|it| &it.left_out);
        let aliases = self.aliases.iter().map(|it| &it.left_out);
        let parts = nameservers.chain(addresses).chain(aliases);
        parts.flatten().map(|part| part.until).max()
    }
}

/// What is loaded of a domain.
pub(in crate::pipeline) struct Range<'a> {
    /// From when on...
    pub since: Timestamp,
    /// ...and until when.
    pub until: Timestamp,
    /// Of its own names those whose addresses changed after this.
    pub moved_since: Timestamp,
    /// The most closed intervals, in all.
    pub limit: usize,
    /// Where it has many names, those of them that are looked at; `None`: all that changed.
    pub among: Option<&'a BTreeSet<Name>>,
}

/// Domains that a version touched, each with those of its own names whose addresses moved.
type Touched = BTreeMap<Name, BTreeSet<Name>>;

/// What was judged of a domain, as far as its case needs it.
pub(in crate::pipeline) struct Judgement {
    at: Timestamp,
    finding: Option<Finding>,
    /// As [`DomainFinding::last_change_at`].
    last_change_at: Option<Timestamp>,
}

impl Judgement {
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
    domains: Vec<(Name, Judgement)>,
    /// How many values the findings hold.
    value_count: usize,
}

impl Judged {
    /// Adds a domain.
    pub(in crate::pipeline) fn add(&mut self, domain: Name, judgement: Judgement) {
        let planes = judgement.finding.iter();
        let planes = planes.flat_map(Finding::planes);
        for plane in planes {
            let listed = plane.points.iter().map(ChangePoint::value_count);
            self.value_count += listed.sum::<usize>() + plane.names.len() + plane.addresses.len();
        }
        self.domains.push((domain, judgement));
    }

    /// Returns whether no more is to be added.
    pub(in crate::pipeline) fn is_full(&self) -> bool {
        self.domains.len() >= CASES_AT_A_TIME || self.value_count >= VALUES_AT_A_TIME
    }
}

/// How many more intervals of a domain may be loaded, and of which time.
struct Budget {
    extent: Extent,
    registered_at: Option<Timestamp>,
}

impl Budget {
    /// Takes what was loaded off.
    fn spend<T>(&mut self, stays: &[Stay<T>]) {
        let closed = stays.iter().filter(|stay| stay.removed.is_some()).count();
        self.extent.limit = self.extent.limit.saturating_sub(closed);
    }
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

impl Pipeline {
    /// Judges every version of a zone that the detector has not judged yet, or notes that it is to be.
    ///
    /// # Errors
    ///
    /// [`PipelineError`].
    pub fn detect_zone(&self, apex: &Name, options: &PollOptions) -> Result<(), PipelineError> {
        self.detect_view(apex, View::Zone, options)
    }

    /// [`Pipeline::detect_zone`] of any view.
    pub(in crate::pipeline) fn detect_view(
        &self,
        apex: &Name,
        view: View,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        self.judge_versions(apex, view, options)?;
        Ok(self.store.lookup().write_judged()?)
    }

    /// [`Pipeline::detect_view`] in the midst of a pass that writes more: what it ends with,
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
        if self.is_waiting() {
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
        self.look_again_before(&zone.apex, at, options)?;
        // One state of the database for all of a version, and one lock of it instead of one for each question.
        let mut reading = self.store.begin_reading()?;
        let (domains, glue) = self.touched_domains(zone, version_id, at)?;
        let mut judged = Judged::default();
        for (domain, touched) in domains {
            let Some(judgement) = self.look_at_change(&domain, &touched, at)? else {
                continue;
            };
            if judgement.finding.is_some() || self.store.desk().find_case(&domain)?.is_some() {
                judged.add(domain, judgement);
            }
            if judged.is_full() {
                drop(reading);
                let tx = self.store.begin_batch()?;
                self.move_cases(std::mem::take(&mut judged), options)?;
                tx.commit()?;
                reading = self.store.begin_reading()?;
            }
        }
        drop(reading);
        if judged.domains.is_empty() && glue.is_empty() {
            self.store.lookup().note_judged(zone.id, version_id);
            return Ok(());
        }
        let tx = self.store.begin_batch()?;
        self.move_cases(judged, options)?;
        for moved in &glue {
            self.store.ledger().note_bulk_move(zone.id, moved)?;
        }
        self.store.lookup().set_detected(zone.id, version_id)?;
        Ok(tx.commit()?)
    }

    /// Moves the cases about some domains, and tells of them.
    pub(in crate::pipeline) fn move_cases(
        &self,
        judged: Judged,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        let mut moved = BTreeMap::new();
        for (domain, judgement) in judged.domains {
            if let Some(id) = self.move_case(&domain, &judgement)? {
                moved.insert(id, judgement.finding);
            }
        }
        self.tell_of_moved(moved, options)
    }

    /// Tells of the cases that were moved.
    fn tell_of_moved(
        &self,
        moved: BTreeMap<i64, Option<Finding>>,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        let ids = moved.keys().copied().collect();
        let found = moved.into_iter();
        let findings = found
            .filter_map(|(id, finding)| Some((id, finding?)))
            .collect();
        self.tell_of(&ids, &findings, options)
    }

    /// Moves the case about a domain. Returns its number, if there is one and it was judged.
    fn move_case(
        &self,
        domain: &Name,
        judgement: &Judgement,
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
        let observation = Observation {
            finding,
            last_change_at: judgement.last_change_at,
            standing: self.standing(domain, now)?,
            now,
        };
        let Some((case, events)) = observe(known, &observation, &self.config.detect) else {
            return Ok(None);
        };
        let id = self.store.desk().save_case(&case, &events, ACTOR)?;
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
        if case.state == CaseState::Dismissed || traits.is_empty() || self.is_canary(&case.domain) {
            return Ok(());
        }
        let others = self.store.desk().note_traits(id, &traits)?;
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
                let note = match moved == id || moved == other {
                    true => format!(
                        "joined campaign {name}: shares {} with {}",
                        shared.words(),
                        partner.case.domain
                    ),
                    false => format!("its campaign is part of {name} now"),
                };
                tracing::info!(case = moved, campaign = name, "case {moved}: {note}");
                self.store
                    .desk()
                    .append_case_event(moved, now, row.case.state, ACTOR, &note)?;
            }
        }
        Ok(())
    }

    /// Returns whether a domain is still there to be suspected, at `now`.
    fn standing(&self, domain: &Name, now: Timestamp) -> Result<Standing, PipelineError> {
        let (mut was_delegated, mut hosts) = (false, BTreeSet::new());
        for zone in self.store.zones().zones_enclosing(domain)? {
            if zone.view == View::Passive {
                continue;
            }
            let key = EntityKey {
                zone: zone.id,
                apex: zone.apex.clone(),
                owner: domain.clone(),
            };
            let there = self.window_until(&key, now, now)?.into_iter();
            let there = there.filter(|stay| stay.removed.is_none_or(|end| end.at > now));
            let there: BTreeSet<Name> =
                there.filter_map(as_nameserver).map(|it| it.value).collect();
            // A probe tells what it saw; only the zone itself tells that a delegation is gone.
            was_delegated |= zone.view == View::Zone
                && zone.apex != *domain
                && (there.is_empty() && self.store.lookup().had_nameservers(&key)?);
            hosts.extend(there);
        }
        let hold = &self.config.detect.hold_nameservers;
        Ok(Standing::of(&hosts, was_delegated, hold))
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
        if self.store.lookup().is_bulk_version(version_id)?
            && self.store.lookup().bulk_count(zone.id, since, at)? <= BULK_7D_MAX as u32
        {
            return Ok((domains, glue));
        }
        let mut hosts = BTreeSet::new();
        for change in self.store.lookup().counts(zone, version_id)? {
            let owner = &change.key.owner;
            if change.nameservers {
                domains.entry(owner.clone()).or_default();
            }
            if change.addresses {
                hosts.insert(owner.clone());
            }
            // What signs a delegation lies at a cut; of other records only aliases lie elsewhere.
            if (change.addresses || change.others)
                && !self.store.lookup().is_at_or_below_cut(&change.key)?
            {
                let domain = case_domain(&zone.apex, owner);
                domains.entry(domain).or_default().insert(owner.clone());
            }
        }
        let mut left_out = 0;
        for (host, users) in self
            .store
            .lookup()
            .users_by_host(&hosts, USERS_JUDGED_MAX)?
        {
            left_out += users.count - users.names.len();
            // However many use a name server, its operator is judged.
            let operator = self.operator_of(&host, at)?;
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
    pub(in crate::pipeline) fn look_whole(
        &self,
        domain: &Name,
        now: Timestamp,
    ) -> Result<Judgement, PipelineError> {
        let mut windows = self.load_windows(domain, &self.range(now, INTERVALS_MAX))?;
        let last_change_at = windows.last_change_at(now);
        let planes = self.judge_planes(domain, &mut windows, &self.config.detect, now, now)?;
        Ok(Judgement::of(domain, planes, last_change_at, now))
    }

    /// Computes what is suspected of a domain at `now`, from stored rows.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`].
    pub fn find(&self, domain: &Name, now: Timestamp) -> Result<DomainFinding, PipelineError> {
        let mut windows = self.load_windows(domain, &self.range(now, INTERVALS_MAX))?;
        self.judge_windows(domain, &mut windows, &self.config.detect, now, now)
    }

    /// Returns what is loaded to judge at `now`.
    fn range(&self, now: Timestamp, limit: usize) -> Range<'static> {
        Range {
            since: now - self.config.detect.memory,
            until: now,
            moved_since: now - ADDRESSES_SINCE,
            limit,
            among: None,
        }
    }

    /// Judges a domain at a change; planes that changed too seldom to be watched are left out. `None` for a busy
    /// domain that is to be judged later.
    ///
    /// However often it has changed, a change costs no more than [`QUICK_INTERVALS_MAX`] intervals and once an hour
    /// of event time [`INTERVALS_MAX`]. A busy one without a case is judged in full once these say anything. One of
    /// many names is busy too, and what is quickly looked at are its names that were `touched`. One at level `review` or
    /// above is judged once in [`REEVALUATE_CHANGED_AFTER`], while no report of it is held. That its delegation is gone
    /// ends a case at once.
    fn look_at_change(
        &self,
        domain: &Name,
        touched: &BTreeSet<Name>,
        now: Timestamp,
    ) -> Result<Option<Judgement>, PipelineError> {
        let case = self.store.desk().find_case(domain)?;
        let mut busy = Pace::of_busy(case.as_ref(), now);
        let quick = self.range(now, QUICK_INTERVALS_MAX);
        if busy == Pace::Later && self.standing(domain, now)? != Standing::Active {
            busy = Pace::Full;
        }
        let was_judged = |row: &CaseRow| was_judged_lately(&row.case, now);
        if busy == Pace::Later && case.as_ref().is_some_and(was_judged) {
            return Ok(None);
        }
        let has_many_names = self.has_many_names(domain)?;
        if busy == Pace::Later && (has_many_names || self.is_busy(domain, &quick)?) {
            return Ok(None);
        }
        let touched = match has_many_names {
            true => Some(self.most_changed(domain, touched, &quick)?),
            false => None,
        };
        let mut limit = QUICK_INTERVALS_MAX;
        loop {
            let policy = &self.config.detect;
            let is_first = limit == QUICK_INTERVALS_MAX;
            let range = Range {
                among: touched.as_ref().filter(|_| is_first),
                ..self.range(now, limit)
            };
            let mut windows = self.load_windows(domain, &range)?;
            let left_out_until = windows.left_out_until();
            // Before planes that changed too seldom to be watched are left out.
            let last_change_at = windows.last_change_at(now);
            let is_quick = is_first && (left_out_until.is_some() || has_many_names);
            let pace = match is_quick {
                true => busy,
                false => Pace::Full,
            };
            if pace == Pace::Later {
                return Ok(None);
            }
            if !is_quick || pace == Pace::IfSuspected {
                windows
                    .nameservers
                    .retain(|it| may_be_watched(policy, &it.names, &it.addresses, now));
                let planes = self.judge_planes(domain, &mut windows, policy, now, now)?;
                let judgement = Judgement::of(domain, planes, last_change_at, now);
                if !is_quick || judgement.finding.is_none() {
                    if let Some(until) = left_out_until {
                        tracing::info!(%domain, "domain {domain}: has changed too often to be judged whole at {now}: what ended by {until} is left out");
                    }
                    return Ok(Some(judgement));
                }
            }
            limit = INTERVALS_MAX;
        }
    }

    /// Returns whether a domain has more names than are judged.
    fn has_many_names(&self, domain: &Name) -> Result<bool, PipelineError> {
        for zone in self.store.zones().zones_enclosing(domain)? {
            if !matches!(zone.view, View::Passive | View::Parent)
                && (self.store)
                    .lookup()
                    .has_more_names(&zone, domain, OWNERS_JUDGED_MAX)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns those of a domain's names that are judged, where a version touched more: those that changed most.
    fn most_changed(
        &self,
        domain: &Name,
        touched: &BTreeSet<Name>,
        range: &Range<'_>,
    ) -> Result<BTreeSet<Name>, PipelineError> {
        if touched.len() <= OWNERS_JUDGED_MAX {
            return Ok(touched.clone());
        }
        let zones = self.store.zones().zones_enclosing(domain)?;
        let mut counted = Vec::new();
        for name in touched {
            let mut count = 0;
            for zone in zones.iter().filter(|zone| zone.view != View::Passive) {
                let key = EntityKey {
                    zone: zone.id,
                    apex: zone.apex.clone(),
                    owner: name.clone(),
                };
                count += (self.store)
                    .lookup()
                    .closed_count(&key, range.since, range.limit)?;
            }
            counted.push((Reverse(count), name));
        }
        counted.sort_unstable();
        let most = counted.into_iter().take(OWNERS_JUDGED_MAX);
        Ok(most.map(|(_, name)| name.clone()).collect())
    }

    /// Returns whether a domain, the name servers that it has and its own names that moved lately have more closed
    /// intervals than the range has room for: only counts them. Where it says no, loading them may.
    fn is_busy(&self, domain: &Name, range: &Range<'_>) -> Result<bool, PipelineError> {
        let mut keys = BTreeSet::new();
        for zone in self.store.zones().zones_enclosing(domain)? {
            if zone.view == View::Passive {
                continue;
            }
            let key = EntityKey {
                zone: zone.id,
                apex: zone.apex.clone(),
                owner: domain.clone(),
            };
            for stay in self.window_until(&key, range.until, range.until)? {
                if let Rdata::Ns(host) = stay.value {
                    keys.extend(self.store.lookup().places_of_host(&host)?);
                }
            }
            if zone.view != View::Parent && !self.store.lookup().is_at_or_below_cut(&key)? {
                let (apex, since) = (&zone.apex, range.moved_since);
                let store = &self.store;
                keys.extend(store.lookup().owners_with_new_addresses(
                    zone.id,
                    apex,
                    domain,
                    since,
                    OWNERS_JUDGED_MAX,
                )?);
            }
            keys.insert(key);
        }
        let mut room = range.limit;
        for key in keys {
            let count =
                self.store
                    .lookup()
                    .closed_count(&key, range.since, room.saturating_add(1))?;
            if count > room {
                return Ok(true);
            }
            room -= count;
        }
        Ok(false)
    }

    /// Loads what history says of a domain, the newest first; what there is no room for is left out.
    pub(in crate::pipeline) fn load_windows(
        &self,
        domain: &Name,
        range: &Range<'_>,
    ) -> Result<DomainWindows, PipelineError> {
        let mut windows = DomainWindows::default();
        let mut budget = Budget {
            extent: Extent {
                since: range.since,
                until: range.until,
                limit: range.limit,
                instants_min: INSTANTS_MIN,
            },
            registered_at: self.registered_at(domain, range.until),
        };
        for zone in self.store.zones().zones_enclosing(domain)? {
            if zone.view == View::Passive {
                // Nobody is judged by what others recorded.
                continue;
            }
            let (is_parent, apex) = (zone.view == View::Parent, zone.apex);
            let key = EntityKey {
                zone: zone.id,
                apex: apex.clone(),
                owner: domain.clone(),
            };
            let own = self.load_nameservers(&key, &mut budget)?;
            let operated = match &own {
                Some(own) if !is_parent => self.load_operated(&key, own, range, &mut budget)?,
                _ => None,
            };
            windows.nameservers.extend(own.into_iter().chain(operated));
            // What the parent's servers say below the domain is glue.
            if is_parent || self.store.lookup().is_at_or_below_cut(&key)? {
                continue;
            }
            let owners = match range.among {
                Some(among) => {
                    let own = among.iter().filter(|name| name.is_at_or_below(&apex));
                    let key = |name: &Name| EntityKey {
                        zone: zone.id,
                        apex: apex.clone(),
                        owner: name.clone(),
                    };
                    own.map(key).collect()
                }
                None => self.store.lookup().owners_with_new_addresses(
                    zone.id,
                    &apex,
                    domain,
                    range.moved_since,
                    OWNERS_JUDGED_MAX,
                )?,
            };
            for key in owners {
                let is_own = case_domain(&apex, &key.owner) == *domain
                    && !self.store.lookup().is_at_or_below_cut(&key)?;
                if is_own {
                    let (addresses, aliases) = self.load_owner(&key, &mut budget)?;
                    windows.addresses.extend(addresses.map(|it| AddressWindow {
                        lingers: zone.view != View::Zone,
                        ..it
                    }));
                    windows.aliases.extend(aliases);
                }
            }
        }
        Ok(windows)
    }

    /// Judges a domain at `now` by what was loaded of it; who counts as a provider is told by the users at
    /// `users_at`.
    pub(in crate::pipeline) fn judge_windows(
        &self,
        domain: &Name,
        windows: &mut DomainWindows,
        policy: &DetectPolicy,
        now: Timestamp,
        users_at: Timestamp,
    ) -> Result<DomainFinding, PipelineError> {
        let last_change_at = windows.last_change_at(now);
        let planes = self.judge_planes(domain, windows, policy, now, users_at)?;
        let finding = judge_planes(domain, planes.clone(), now);
        Ok(DomainFinding {
            finding,
            nameservers: planes.nameservers,
            addresses: planes.addresses,
            aliases: planes.aliases,
            last_change_at,
        })
    }

    /// [`Pipeline::judge_windows`] without the verdict: the strongest plane of the name servers, of the addresses and
    /// of the aliases.
    fn judge_planes(
        &self,
        domain: &Name,
        windows: &mut DomainWindows,
        policy: &DetectPolicy,
        now: Timestamp,
        users_at: Timestamp,
    ) -> Result<Planes, PipelineError> {
        let mut nameservers: Option<PlaneFinding> = None;
        for window in &mut windows.nameservers {
            let mut plane = self.judge_nameservers(window, policy, now, users_at)?;
            note_sitting_hosts(&mut plane, self.sitting_hosts(window, now)?);
            keep_stronger(&mut nameservers, plane);
        }
        let hosts = nameservers.iter().flat_map(|plane| &plane.names);
        let hosts: HashSet<&Name> = hosts.map(|name| &name.host).collect();
        // The addresses of its name servers belong to the other plane.
        let owners = windows.addresses.iter();
        let owners: Vec<&AddressWindow> = owners.filter(|it| !hosts.contains(&it.owner)).collect();
        let mut addresses: Option<PlaneFinding> = None;
        let knowledge = &self.parts.knowledge;
        for window in &owners {
            let plane = evaluate_addresses(window, policy, knowledge, now);
            keep_stronger(&mut addresses, plane);
        }
        let shadows = self.shadows(domain, &owners, now)?;
        if let Some(mut plane) = evaluate_owners(domain, &owners, policy, knowledge, now) {
            shadows.iter().for_each(|it| it.judge_on(&mut plane));
            keep_stronger(&mut addresses, plane);
        }
        if let (Some(shadows), Some(plane)) = (&shadows, &mut addresses) {
            shadows.tell_on(plane);
        }
        let aliases = self.judge_aliases(domain, &mut windows.aliases, policy, now, users_at)?;
        Ok(Planes {
            nameservers,
            addresses,
            aliases,
        })
    }

    /// Returns when a domain was registered, as the registrar's file says, if that was by `now`.
    fn registered_at(&self, domain: &Name, now: Timestamp) -> Option<Timestamp> {
        let registration = self.parts.knowledge.registrations.as_ref()?.find(domain)?;
        Some(registration.created_at).filter(|at| *at <= now)
    }

    /// Returns every new registration of a domain by `until`.
    fn resets(
        &self,
        key: &EntityKey,
        registered_at: Option<Timestamp>,
        until: Timestamp,
    ) -> Result<Vec<Timestamp>, PipelineError> {
        let mut resets = self.store.lookup().registered_anew(key, until)?;
        resets.extend(registered_at);
        Ok(resets)
    }

    /// Loads the name servers of a delegation; `None` if history knows of none.
    fn load_nameservers(
        &self,
        key: &EntityKey,
        budget: &mut Budget,
    ) -> Result<Option<NameserverWindow>, PipelineError> {
        let Extent { since, until, .. } = budget.extent;
        let read = self.store.lookup().newest_intervals(key, &budget.extent)?;
        budget.spend(&read.stays);
        let names: Vec<Stay<Name>> = read.stays.into_iter().filter_map(as_nameserver).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let mut left_out = self.left_out(key, read.cut, since)?;
        // Those that are there now first: of them most is left in where there is no room for all.
        let there = names.iter().filter(|it| it.removed.is_none());
        let there: BTreeSet<&Name> = there.map(|it| &it.value).collect();
        let hosts = names.iter().map(|it| &it.value);
        let hosts: BTreeSet<(bool, &Name)> = hosts.map(|it| (!there.contains(it), it)).collect();
        let mut addresses = Vec::new();
        for (_, host) in hosts {
            let read = self.store.lookup().host_addresses(host, &budget.extent)?;
            budget.spend(&read.stays);
            if let Some(cut) = read.cut {
                let part = left_out.get_or_insert_with(|| LeftOut::until(cut.at));
                part.until = part.until.max(cut.at);
                for place in self.store.lookup().places_of_host(host)? {
                    let values = self.store.lookup().values_before(&place, &cut, since)?;
                    part.addresses
                        .extend(values.iter().filter_map(Rdata::address));
                }
            }
            addresses.extend(read.stays.into_iter().map(|stay| (host.clone(), stay)));
        }
        Ok(Some(NameserverWindow {
            zone: key.apex.clone(),
            owner: key.owner.clone(),
            watched_since: self
                .store
                .lookup()
                .watched_since(key.zone)?
                .unwrap_or(until),
            names,
            addresses,
            resets: self.resets(key, budget.registered_at, until)?,
            popular: None,
            operated: None,
            left_out,
        }))
    }

    /// Loads the name servers at or below a domain that others use and whose addresses moved, where the domain does
    /// not use all of these itself: as one set, that of their operator. `None` where there are none.
    fn load_operated(
        &self,
        key: &EntityKey,
        own: &NameserverWindow,
        range: &Range<'_>,
        budget: &mut Budget,
    ) -> Result<Option<NameserverWindow>, PipelineError> {
        if !self.store.has_reverse_index() || key.owner == key.apex {
            return Ok(None);
        }
        if !self.may_operate(key, range.until)? {
            return Ok(None);
        }
        let moved = self.store.lookup().owners_with_new_addresses(
            key.zone,
            &key.apex,
            &key.owner,
            range.moved_since,
            OPERATED_HOSTS_MAX,
        )?;
        let known: HashSet<&Name> = own.names.iter().map(|stay| &stay.value).collect();
        let moved = moved.into_iter().map(|moved| moved.owner);
        let (mut hosts, others): (BTreeSet<Name>, BTreeSet<Name>) =
            moved.partition(|host| known.contains(host));
        let users = self.store.lookup().users_by_host(&others, others.len())?;
        let used = users.into_iter().filter(|(_, users)| users.count > 0);
        let used: Vec<Name> = used.map(|(host, _)| host).collect();
        if used.is_empty() {
            return Ok(None);
        }
        hosts.extend(used);
        let there_since = Moment {
            version_id: 0,
            at: range.since,
            serial: None,
            bulk: false,
            drift: false,
            shared_count: 0,
        };
        let mut window = NameserverWindow {
            names: Vec::new(),
            addresses: Vec::new(),
            ..own.clone()
        };
        for host in hosts {
            let read = self.store.lookup().host_addresses(&host, &budget.extent)?;
            budget.spend(&read.stays);
            if let Some(cut) = read.cut {
                let part = (window.left_out).get_or_insert_with(|| LeftOut::until(cut.at));
                part.until = part.until.max(cut.at);
            }
            let stays = read.stays.into_iter().map(|stay| (host.clone(), stay));
            window.addresses.extend(stays);
            window.names.push(Stay {
                value: host,
                added: there_since,
                removed: None,
                baseline: true,
            });
        }
        Ok(Some(window))
    }

    /// Returns whether a name other than a domain and those below it may use a name server at or below the domain: few
    /// are used so, and to read which of a domain's own moved takes long.
    fn may_operate(&self, domain: &EntityKey, now: Timestamp) -> Result<bool, PipelineError> {
        if self.store.lookup().has_host_used_elsewhere(&domain.owner)? {
            return Ok(true);
        }
        // What a name above uses is not told there.
        let mut above = domain.owner.parent();
        while let Some(owner) = above.filter(|name| name.is_at_or_below(&domain.apex)) {
            let key = EntityKey {
                owner: owner.clone(),
                ..domain.clone()
            };
            let used = self.window_until(&key, now, now)?.into_iter();
            if (used.filter_map(as_nameserver)).any(|it| it.value.is_at_or_below(&domain.owner)) {
                return Ok(true);
            }
            above = owner.parent();
        }
        Ok(false)
    }

    /// Returns what the part of an owner's history had that is left out.
    fn left_out(
        &self,
        key: &EntityKey,
        cut: Option<Moment>,
        since: Timestamp,
    ) -> Result<Option<LeftOut>, PipelineError> {
        let Some(cut) = cut else { return Ok(None) };
        let mut part = LeftOut::until(cut.at);
        for value in self.store.lookup().values_before(key, &cut, since)? {
            part.addresses.extend(value.address());
            if let Rdata::Ns(name) | Rdata::Cname(name) = value {
                part.names.insert(name);
            }
        }
        Ok(Some(part))
    }

    /// Judges the name servers of a delegation.
    fn judge_nameservers(
        &self,
        window: &mut NameserverWindow,
        policy: &DetectPolicy,
        now: Timestamp,
        users_at: Timestamp,
    ) -> Result<PlaneFinding, PipelineError> {
        let replayed = NameserverReplay::of(window, policy, now);
        let mut plane = self.judge_excused(&replayed, window, policy, now, users_at)?;
        self.judge_crowds(&replayed, window, policy, users_at, &mut plane)?;
        Ok(plane)
    }

    /// Judges the name servers of a delegation with what each by itself may be excused.
    fn judge_excused(
        &self,
        replayed: &NameserverReplay,
        window: &mut NameserverWindow,
        policy: &DetectPolicy,
        now: Timestamp,
        users_at: Timestamp,
    ) -> Result<PlaneFinding, PipelineError> {
        let plane = judge_nameservers(replayed, window, policy, &self.parts.knowledge);
        // Who else uses these name servers is asked only where the answer can excuse somebody.
        if plane.level.is_none() || (window.popular.is_some() && window.operated.is_some()) {
            return Ok(plane);
        }
        let was_asked = window.popular.is_some();
        if !was_asked {
            let hosts = plane.names.iter().map(|name| &name.host);
            window.popular = Some(Arc::new(self.popular_among(hosts, policy, users_at)?));
        }
        let moved = plane.points.iter().flat_map(|point| &point.changed_hosts);
        let moved: BTreeSet<&Name> = moved.map(|it| &it.host).collect();
        let operated = self.operated(&window.owner, &moved, now)?;
        let is_nobody = window.popular.as_ref().is_some_and(|it| it.is_empty());
        let is_excused = !is_nobody || !operated.by_others.is_empty();
        let operated = window.operated.insert(operated);
        if !was_asked && !is_excused {
            return Ok(without_excuses(plane, operated, policy));
        }
        Ok(judge_nameservers(
            replayed,
            window,
            policy,
            &self.parts.knowledge,
        ))
    }

    /// Returns whose name servers are whose addresses moved: those of others, and who uses a domain's own.
    fn operated(
        &self,
        domain: &Name,
        hosts: &BTreeSet<&Name>,
        now: Timestamp,
    ) -> Result<Operated, PipelineError> {
        let mut operated = Operated::default();
        let mut own = BTreeSet::new();
        for host in hosts {
            if host.is_at_or_below(domain) {
                own.insert((*host).clone());
            } else if let Some(operator) = self.operator_of(host, now)? {
                operated.by_others.insert((*host).clone(), operator);
            }
        }
        if !own.is_empty() && self.store.has_reverse_index() {
            let by_host = self.store.lookup().users_by_host(&own, USERS_JUDGED_MAX)?;
            let (mut users, mut most) = (BTreeSet::new(), 0);
            for (_, used) in by_host {
                let is_own = used.names.contains(domain);
                most = most.max(used.count - usize::from(is_own));
                users.extend(used.names);
            }
            users.remove(domain);
            // Of more than are read the most that one name server has is said.
            operated.user_count = users.len().max(most);
            operated.users = users.into_iter().take(OPERATED_USERS_KEPT).collect();
        }
        Ok(operated)
    }

    /// Returns the delegation that a name server lies at or below at `now`, or the hosted zone of its own that uses it:
    /// who is judged for its addresses. `None` if there is none that is watched.
    fn operator_of(&self, host: &Name, now: Timestamp) -> Result<Option<Name>, PipelineError> {
        for zone in self.store.zones().zones_enclosing(host)? {
            if zone.view == View::Passive {
                continue;
            }
            let mut name = Some(host.clone());
            while let Some(owner) = name.filter(|name| name.is_at_or_below(&zone.apex)) {
                let key = EntityKey {
                    zone: zone.id,
                    apex: zone.apex.clone(),
                    owner: owner.clone(),
                };
                let names = self.window_until(&key, now, now)?.into_iter();
                let names = names.filter_map(as_nameserver);
                let mut there = names.filter(|it| it.removed.is_none_or(|end| end.at > now));
                let is_operator = match owner == zone.apex {
                    true => there.any(|it| it.value == *host),
                    false => there.next().is_some(),
                };
                if is_operator {
                    return Ok(Some(owner));
                }
                name = owner.parent();
            }
        }
        Ok(None)
    }

    /// Loads an owner's own addresses and its aliases; `None` for what history knows none of.
    fn load_owner(
        &self,
        key: &EntityKey,
        budget: &mut Budget,
    ) -> Result<(Option<AddressWindow>, Option<AliasWindow>), PipelineError> {
        let Extent { since, until, .. } = budget.extent;
        let read = self.store.lookup().newest_intervals(key, &budget.extent)?;
        budget.spend(&read.stays);
        let (mut addresses, mut targets) = (Vec::new(), Vec::new());
        for interval in read.stays {
            match &interval.value {
                Rdata::Cname(_) => targets.extend(as_alias(interval)),
                _ => addresses.extend(as_address(interval)),
            }
        }
        if addresses.is_empty() && targets.is_empty() {
            return Ok((None, None));
        }
        let watched_since = self
            .store
            .lookup()
            .watched_since(key.zone)?
            .unwrap_or(until);
        let resets = self.resets(key, budget.registered_at, until)?;
        let left_out = self.left_out(key, read.cut, since)?;
        let (zone, owner) = (&key.apex, &key.owner);
        let aliases = (!targets.is_empty()).then(|| AliasWindow {
            zone: zone.clone(),
            owner: owner.clone(),
            watched_since,
            targets,
            resets: resets.clone(),
            popular: None,
            left_out: left_out.clone(),
        });
        let addresses = (!addresses.is_empty()).then(|| AddressWindow {
            zone: zone.clone(),
            owner: owner.clone(),
            watched_since,
            addresses,
            resets,
            left_out,
            lingers: false,
        });
        Ok((addresses, aliases))
    }

    /// Returns an owner's intervals that had begun by `now`.
    fn window_until(
        &self,
        key: &EntityKey,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Interval>, StoreError> {
        Ok(self
            .store
            .lookup()
            .window(key, since)?
            .into_iter()
            .filter(|stay| stay.added.at <= now)
            .collect())
    }

    /// Returns those name servers that many stable names use, or whose operator does.
    pub(in crate::pipeline) fn popular_among<'a>(
        &self,
        hosts: impl Iterator<Item = &'a Name>,
        policy: &DetectPolicy,
        now: Timestamp,
    ) -> Result<BTreeSet<Name>, PipelineError> {
        let policy = &policy.nameservers;
        let before = now - policy.popular_stable;
        let is_used = |host: &Name, whole_operator: bool, enough: u32| {
            let count =
                self.store
                    .ledger()
                    .stable_user_count(host, whole_operator, before, enough)?;
            Ok::<_, PipelineError>(count >= enough)
        };
        let mut popular = BTreeSet::new();
        for host in hosts {
            if is_used(host, true, policy.popular_operator_names)?
                || is_used(host, false, policy.popular_host_names)?
            {
                popular.insert(host.clone());
            }
        }
        Ok(popular)
    }
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
    let since = now - Span::days(7);
    let instants: BTreeSet<i64> = ends
        .filter(|end| end.at >= since && end.at <= now)
        .map(|end| end.version_id)
        .collect();
    instants.len() as f64 >= policy.changes_min()
}

/// Returns when a value came, unless it was there when watching began, and when it left.
fn ends<T>(stay: &Stay<T>) -> [Option<Timestamp>; 2] {
    let added = (!stay.baseline).then_some(stay.added.at);
    [added, stay.removed.map(|end| end.at)]
}

/// Keeps the plane that says more.
pub(super) fn keep_stronger(best: &mut Option<PlaneFinding>, other: PlaneFinding) {
    if best.as_ref().is_none_or(|best| other.outranks(best)) {
        *best = Some(other);
    }
}

/// Returns the interval of an NS record as that of its name server.
fn as_nameserver(interval: Interval) -> Option<Stay<Name>> {
    match interval.value {
        Rdata::Ns(host) => Some(Stay {
            value: host,
            added: interval.added,
            removed: interval.removed,
            baseline: interval.baseline,
        }),
        _ => None,
    }
}

/// Returns the interval of a CNAME record as that of its target.
fn as_alias(interval: Interval) -> Option<Stay<Name>> {
    match interval.value {
        Rdata::Cname(target) => Some(Stay {
            value: target,
            added: interval.added,
            removed: interval.removed,
            baseline: interval.baseline,
        }),
        _ => None,
    }
}

/// Returns the interval of an address record as that of its address.
fn as_address(interval: Interval) -> Option<Stay<IpAddr>> {
    let address = interval.value.address()?;
    Some(Stay {
        value: address,
        added: interval.added,
        removed: interval.removed,
        baseline: interval.baseline,
    })
}
