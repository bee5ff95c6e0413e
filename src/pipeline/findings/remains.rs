//! What a zone shows of a domain that it does not delegate any more.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::detector::Stay;
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::pipeline::findings::windows::DomainWindows;
use crate::time::Timestamp;

impl Findings<'_> {
    /// Returns whether a zone shows of a domain what is its own data at `now` and moves: then the domain is there,
    /// although the zone does not delegate it any more. What came and went while others used it as a name server is left to
    /// these; what has the domain's own name never is.
    pub(in crate::pipeline) fn has_moving_data(
        &self,
        domain: &Name,
        windows: &DomainWindows,
        apex: &Name,
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        let since = now - self.config.detect.memory;
        let (mut instants, mut is_there) = (BTreeSet::new(), false);
        for window in windows.addresses.iter().filter(|it| it.zone == *apex) {
            let mut stays = Cow::Borrowed(&window.addresses);
            if window.owner != *domain {
                let uses = self.uses_by_others(&window.owner, domain, &stays, (since, now))?;
                stays.to_mut().retain(|stay| !uses.has(stay));
            }
            let (came, shows) = moves(&stays, now);
            instants.extend(came);
            is_there |= shows;
        }
        for window in windows.aliases.iter().filter(|it| it.zone == *apex) {
            let (came, shows) = moves(&window.targets, now);
            instants.extend(came);
            is_there |= shows;
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
