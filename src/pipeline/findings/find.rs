//! Computes what is suspected of a domain, from stored rows. Writes nothing.

use crate::pipeline::findings::Findings;
use crate::pipeline::findings::windows::{ADDRESSES_SINCE, DomainWindows, Range};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::detector::{
    AddressWindow, DetectPolicy, Finding, NameserverReplay, NameserverWindow, Operated,
    PlaneFinding, Planes, evaluate_addresses, evaluate_owners, judge_nameservers, judge_planes,
    mark_sitting_hosts, without_excuses,
};
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::time::{Span, Timestamp};
/// The most closed intervals of a domain that are read at each change. One with more is busy, and is judged in full
/// only as often as a case without changes. Chosen by hand; see docs/explanation/detection.md, "Busy domains".
pub(in crate::pipeline) const QUICK_INTERVALS_MAX: usize = 512;

/// The most closed intervals of a domain that are judged, the newest; the rest is said to be left out.
pub(in crate::pipeline) const INTERVALS_MAX: usize = 2048;

/// The most users of moved name servers that are judged at one version.
pub(in crate::pipeline) const USERS_JUDGED_MAX: usize = 2000;

/// How many users of a domain's own name servers are named.
pub(in crate::pipeline) const OPERATED_USERS_KEPT: usize = 10;

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

/// For how long an operator whose delegation went answers for its name servers: it is back the next day where a publication
/// lacked it. Chosen by hand.
pub(in crate::pipeline) const ANSWERS_FOR: Span = Span::days(1);

impl Findings<'_> {
    /// Computes what is suspected of a domain at `now`, from stored rows.
    pub fn find(&self, domain: &Name, now: Timestamp) -> Result<DomainFinding, PipelineError> {
        let mut windows = self.load_windows(domain, &self.range(now, INTERVALS_MAX))?;
        self.judge_windows(domain, &mut windows, &self.config.detect, now, now)
    }

    /// Returns what is loaded to judge at `now`.
    pub(in crate::pipeline) fn range(&self, now: Timestamp, limit: usize) -> Range<'static> {
        Range {
            since: now - self.config.detect.memory,
            until: now,
            moved_since: now - ADDRESSES_SINCE,
            limit,
            among: None,
            only_times: false,
            is_replayed: false,
        }
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

    /// [`Findings::judge_windows`] without the verdict: the strongest plane of the name servers, of the addresses and
    /// of the aliases.
    pub(in crate::pipeline) fn judge_planes(
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
            mark_sitting_hosts(&mut plane, self.sitting_hosts(window, now)?);
            keep_stronger(&mut nameservers, plane);
        }
        // The addresses of its name servers belong to the other plane.
        let owners = windows.addresses.iter();
        let owners: Vec<Cow<'_, AddressWindow>> = owners
            .filter_map(|it| windows.own_addresses(it, now))
            .collect();
        let owners: Vec<&AddressWindow> = owners.iter().map(|it| &**it).collect();
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
            shadows.mention_on(plane);
        }
        let aliases = self.judge_aliases(domain, &mut windows.aliases, policy, now, users_at)?;
        Ok(Planes {
            nameservers,
            addresses,
            aliases,
        })
    }

    /// Judges the name servers of a delegation.
    pub(in crate::pipeline) fn judge_nameservers(
        &self,
        window: &mut NameserverWindow,
        policy: &DetectPolicy,
        now: Timestamp,
        users_at: Timestamp,
    ) -> Result<PlaneFinding, PipelineError> {
        let replayed = NameserverReplay::of(window, policy, now);
        let mut plane = self.judge_excused(&replayed, window, policy, now, users_at)?;
        self.judge_crowds(&replayed, window, policy, users_at, &mut plane)?;
        self.judge_left_behind(&replayed, window, policy, &mut plane)?;
        self.judge_scattered(window, policy, &mut plane)?;
        self.judge_unproven(window, policy, &mut plane)?;
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
        // Nothing would come out otherwise: the plane is put right instead of being judged again.
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
    pub(in crate::pipeline) fn operated(
        &self,
        domain: &Name,
        hosts: &BTreeSet<&Name>,
        now: Timestamp,
    ) -> Result<Operated, PipelineError> {
        let mut operated = Operated::default();
        let hosts = hosts.iter().map(|host| (*host).clone());
        let (own, others): (BTreeSet<Name>, BTreeSet<Name>) =
            hosts.partition(|host| host.is_at_or_below(domain));
        operated.by_others = self.operators_of(&others, now)?;
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

    /// Returns those name servers that many stable names use, or whose operator does.
    pub(in crate::pipeline) fn popular_among<'a>(
        &self,
        hosts: impl Iterator<Item = &'a Name>,
        policy: &DetectPolicy,
        now: Timestamp,
    ) -> Result<BTreeSet<Name>, PipelineError> {
        let policy = &policy.nameservers;
        let before = now - policy.popular_stable;
        let hosts: Vec<&Name> = hosts.collect();
        let counts = self.store.ledger().stable_user_counts(&hosts, before)?;
        let is_used = |[of_operator, own]: [u32; 2]| {
            of_operator >= policy.popular_operator_names || own >= policy.popular_host_names
        };
        let popular = hosts.into_iter().zip(counts);
        let popular = popular.filter(|(_, counts)| is_used(*counts));
        Ok(popular.map(|(host, _)| host.clone()).collect())
    }
}

/// Keeps the plane that says more.
pub(in crate::pipeline) fn keep_stronger(best: &mut Option<PlaneFinding>, other: PlaneFinding) {
    if best.as_ref().is_none_or(|best| other.outranks(best)) {
        *best = Some(other);
    }
}
