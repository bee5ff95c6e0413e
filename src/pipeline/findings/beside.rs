//! What stands beside the rotation of name servers and addresses: aliases, and what else a zone shows of a domain.

use crate::pipeline::findings::Findings;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::detector::{
    AddressWindow, AliasWindow, DetectPolicy, NEWLY_DELEGATED, NameserverWindow, PlaneFinding,
    Shadows, SittingHost, evaluate_alias_owners, evaluate_aliases, new_owners, old_before,
    operator_of, shadows, standing_of, without_known_operators,
};
use crate::dns::{Name, case_domain};
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::find::keep_stronger;
use crate::store::{EntityKey, View};
use crate::time::Timestamp;

/// The most name servers of a delegation whose domains are looked up.
const HOSTS_LOOKED_UP_MAX: usize = 13;
/// The most addresses that tell on which networks a domain has been for long.
const OLD_ADDRESSES_MAX: usize = 512;

impl Findings<'_> {
    /// Judges the aliases of a domain: the strongest plane of its owners and of all of them together.
    pub(in crate::pipeline) fn judge_aliases(
        &self,
        domain: &Name,
        windows: &mut [AliasWindow],
        policy: &DetectPolicy,
        now: Timestamp,
        users_at: Timestamp,
    ) -> Result<Option<PlaneFinding>, PipelineError> {
        let knowledge = &self.parts.knowledge;
        let strongest = |windows: &[AliasWindow]| {
            let planes = windows.iter();
            let planes = planes.map(|it| evaluate_aliases(it, policy, knowledge, now));
            let all = planes.chain(evaluate_alias_owners(domain, windows, policy, now));
            let mut best = None;
            all.for_each(|plane| keep_stronger(&mut best, plane));
            best
        };
        let first = strongest(windows);
        // Who else leads to an operator is asked only where the answer can excuse somebody.
        let is_asked = windows.iter().all(|it| it.popular.is_some());
        if is_asked || first.as_ref().is_none_or(|plane| plane.level.is_none()) {
            return Ok(first);
        }
        self.find_operators(domain, windows, policy, users_at)?;
        let is_nobody = |it: &AliasWindow| it.popular.as_ref().is_some_and(|set| set.is_empty());
        if windows.iter().all(is_nobody) {
            Ok(first.map(without_known_operators))
        } else {
            Ok(strongest(windows))
        }
    }

    /// Notes on the aliases of a domain to which of their operators stable names of many other domains lead.
    pub(in crate::pipeline) fn find_operators(
        &self,
        domain: &Name,
        windows: &mut [AliasWindow],
        policy: &DetectPolicy,
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        if windows.is_empty() {
            return Ok(());
        }
        let before = now - policy.nameservers.popular_stable;
        let targets = windows.iter().flat_map(|it| &it.targets);
        let operators = targets.map(|stay| operator_of(&stay.value)).collect();
        let counts =
            self.store
                .lookup()
                .domains_leading_to(&operators, domain, before, operator_of)?;
        let enough = policy.aliases.popular_operator_domains as usize;
        let known = counts.into_iter().filter(|(_, count)| *count >= enough);
        let popular: BTreeSet<Name> = known.map(|(operator, _)| operator).collect();
        let popular = Arc::new(popular);
        for window in windows {
            window.popular = Some(Arc::clone(&popular));
        }
        Ok(())
    }

    /// Returns the name servers of a delegation, of those that it has at `now`, that lie below a domain of its own zone
    /// which is not delegated, or newly.
    pub(in crate::pipeline) fn sitting_hosts(
        &self,
        window: &NameserverWindow,
        now: Timestamp,
    ) -> Result<Vec<SittingHost>, PipelineError> {
        let is_there = |end: Option<Timestamp>| end.is_none_or(|end| end > now);
        let named = window.names.iter().filter(|stay| {
            stay.added.at <= now
                && is_there(stay.removed.map(|end| end.at))
                && stay.value.is_below(&window.zone)
                && !stay.value.is_at_or_below(&window.owner)
        });
        let mut hosts = Vec::new();
        for stay in named.take(HOSTS_LOOKED_UP_MAX) {
            let host = &stay.value;
            let domain = case_domain(&window.zone, host);
            // Where the zone is one domain, nobody else can register a part of it.
            if domain == window.zone {
                continue;
            }
            let zones = self.store.zones().zones_enclosing(host)?.into_iter();
            let mut zones = zones.filter(|it| it.view == View::Zone && it.apex == window.zone);
            let Some(zone) = zones.next() else { continue };
            let key = |owner: &Name| EntityKey {
                zone: zone.id,
                apex: zone.apex.clone(),
                owner: owner.clone(),
            };
            let delegated =
                self.store
                    .lookup()
                    .delegated_since(&key(&domain), now - NEWLY_DELEGATED, now)?;
            // Glue without a delegation, or a record in between: the zone itself answers for the name, and nobody
            // can take it.
            if delegated.is_none() && self.has_records_above(&key(host), &domain)? {
                continue;
            }
            hosts.extend(
                standing_of(stay, delegated, now).map(|standing| SittingHost {
                    standing,
                    host: host.clone(),
                    domain,
                }),
            );
        }
        Ok(hosts)
    }

    /// Returns whether a zone has a record of a name, or of one between it and a domain above it: then it answers for
    /// the name itself.
    fn has_records_above(&self, key: &EntityKey, domain: &Name) -> Result<bool, PipelineError> {
        let mut name = Some(key.owner.clone());
        while let Some(owner) = name.filter(|name| name.is_at_or_below(domain)) {
            let key = EntityKey {
                owner: owner.clone(),
                ..key.clone()
            };
            if self.store.lookup().has_records(&key)? {
                return Ok(true);
            }
            name = owner.parent();
        }
        Ok(false)
    }

    /// Returns what of the owners of a domain that moved lately is new and foreign to it.
    pub(in crate::pipeline) fn shadows(
        &self,
        domain: &Name,
        owners: &[&AddressWindow],
        now: Timestamp,
    ) -> Result<Option<Shadows>, PipelineError> {
        let new = new_owners(owners, now);
        let Some(first) = new.first() else {
            return Ok(None);
        };
        let mut old = Vec::new();
        for zone in self.store.zones().zones_enclosing(domain)? {
            if zone.apex == first.zone && zone.view != View::Passive {
                old.extend(self.store.lookup().old_addresses(
                    zone.id,
                    &zone.apex,
                    domain,
                    old_before(now),
                    OLD_ADDRESSES_MAX,
                )?);
            }
        }
        Ok(shadows(&new, &old, &self.parts.knowledge, now))
    }
}
