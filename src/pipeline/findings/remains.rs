//! What a zone shows of a domain that it does not delegate any more.

use std::collections::BTreeSet;

use crate::detector::Stay;
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::pipeline::findings::windows::DomainWindows;
use crate::time::Timestamp;

impl Findings<'_> {
    /// Returns whether a zone shows of a domain what is its own data at `now` and moves: then the domain is there,
    /// although the zone does not delegate it any more. Name servers that others use are left behind for these.
    pub(in crate::pipeline) fn has_moving_data(
        &self,
        windows: &DomainWindows,
        apex: &Name,
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        let (mut instants, mut is_there) = (BTreeSet::new(), false);
        let addresses = windows.addresses.iter().filter(|it| it.zone == *apex);
        let addresses = addresses.map(|it| (&it.owner, moves(&it.addresses, now)));
        let aliases = windows.aliases.iter().filter(|it| it.zone == *apex);
        let aliases = aliases.map(|it| (&it.owner, moves(&it.targets, now)));
        for (owner, (came, shows)) in addresses.chain(aliases) {
            if !self.store.lookup().has_host_used_elsewhere(owner)? {
                instants.extend(came);
                is_there |= shows;
            }
        }
        Ok(is_there && instants.len() > 1)
    }
}

/// Returns in which versions values came by `now`, and whether any is there then.
fn moves<T>(stays: &[Stay<T>], now: Timestamp) -> (BTreeSet<i64>, bool) {
    let known = stays.iter().filter(|stay| stay.added.at <= now);
    let is_there = (known.clone()).any(|stay| stay.removed.is_none_or(|end| end.at > now));
    let came = known.filter(|stay| !stay.baseline);
    (came.map(|stay| stay.added.version_id).collect(), is_there)
}
