//! What a zone shows of a domain that it does not delegate any more.

use std::collections::BTreeSet;

use crate::detector::Stay;
use crate::dns::{Name, RecordType};
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::pipeline::findings::windows::DomainWindows;
use crate::store::{Used, View, Wanted};
use crate::time::Timestamp;

impl Findings<'_> {
    /// Returns whether a zone shows of a domain what is its own data at `now` and moves: then the domain is there,
    /// although the zone does not delegate it any more. Name servers that others used when the delegation went are left
    /// behind for these; what has the domain's own name never is.
    pub(in crate::pipeline) fn has_moving_data(
        &self,
        domain: &Name,
        windows: &DomainWindows,
        apex: &Name,
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        let gone_at = gone_at(windows, apex, now);
        let (mut instants, mut is_there) = (BTreeSet::new(), false);
        let addresses = windows.addresses.iter().filter(|it| it.zone == *apex);
        let addresses = addresses.map(|it| (&it.owner, moves(&it.addresses, now)));
        let aliases = windows.aliases.iter().filter(|it| it.zone == *apex);
        let aliases = aliases.map(|it| (&it.owner, moves(&it.targets, now)));
        for (owner, (came, shows)) in addresses.chain(aliases) {
            if owner == domain || !self.is_left_behind(owner, domain, gone_at)? {
                instants.extend(came);
                is_there |= shows;
            }
        }
        Ok(is_there && instants.len() > 1)
    }

    /// Returns whether names other than a domain's own used a host of it when its delegation went. Where that is not
    /// known, whether any does now.
    fn is_left_behind(
        &self,
        host: &Name,
        domain: &Name,
        gone_at: Option<Timestamp>,
    ) -> Result<bool, PipelineError> {
        let lookup = self.store.lookup();
        let Some(at) = gone_at.filter(|_| self.store.has_reverse_index()) else {
            return Ok(lookup.has_host_used_elsewhere(host)?);
        };
        let wanted = Wanted {
            types: vec![RecordType::Ns],
            ..Wanted::at(at)
        };
        let mut is_used = false;
        lookup.users_of(&Used::Host(host.clone()), &wanted, None, |record, _| {
            is_used |= record.view != View::Passive && !record.owner.is_at_or_below(domain);
            Ok::<_, PipelineError>(!is_used)
        })?;
        Ok(is_used)
    }
}

/// Returns when a zone had the last name server of a domain, by `now`.
fn gone_at(windows: &DomainWindows, apex: &Name, now: Timestamp) -> Option<Timestamp> {
    let delegations = windows.delegations.iter();
    let of_zone = delegations.filter_map(|it| windows.nameservers.get(it.place));
    let names = of_zone
        .filter(|it| it.zone == *apex)
        .flat_map(|it| &it.names);
    let ends = names.filter_map(|stay| stay.removed).map(|end| end.at);
    ends.filter(|at| *at <= now).max()
}

/// Returns in which versions values came by `now`, and whether any is there then.
fn moves<T>(stays: &[Stay<T>], now: Timestamp) -> (BTreeSet<i64>, bool) {
    let known = stays.iter().filter(|stay| stay.added.at <= now);
    let is_there = (known.clone()).any(|stay| stay.removed.is_none_or(|end| end.at > now));
    let came = known.filter(|stay| !stay.baseline);
    (came.map(|stay| stay.added.version_id).collect(), is_there)
}
