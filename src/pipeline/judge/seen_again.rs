//! Judges what moved while a zone could not be seen, once it is seen again.
//!
//! Meanwhile it was held against none of the zone's names: they might have left. A success that brings no version touches
//! nobody, so that those which stayed are looked for here: by the name servers elsewhere whose addresses moved.

use crate::pipeline::judge::Judge;
use crate::pipeline::judge::detect::Judged;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::outcome::PollOptions;
use crate::store::GapToJudge;
use crate::time::Timestamp;

/// The most versions that are looked through, the newest: those of some days of a feed of one change a second. Chosen by hand.
const VERSIONS_MAX: usize = 500_000;
/// The most name servers whose users are looked for. Chosen by hand.
const HOSTS_MAX: usize = 100_000;
/// The most of their users that are judged. Chosen by hand.
const USERS_MAX: usize = 100_000;

impl Judge<'_> {
    /// Judges the names of zones that are seen again and use name servers which moved meanwhile. Does nothing while judging
    /// waits, or is left to who empties a docket.
    pub(in crate::pipeline) fn judge_seen_again(
        &self,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        if self.parts.is_waiting() || self.docket.is_some() {
            return Ok(());
        }
        let gaps = self.store.zones().gaps_to_judge()?;
        if gaps.is_empty() {
            return Ok(());
        }
        let mut users = self.users_of_moved(&gaps)?.into_iter().peekable();
        while users.peek().is_some() {
            let mut judged = Judged::default();
            let reading = self.store.begin_reading()?;
            while let Some((domain, at)) = users.next_if(|_| !judged.is_full()) {
                let case = self.store.desk().find_case(&domain)?;
                let at = case
                    .as_ref()
                    .map_or(at, |row| at.max(row.case.evaluated_at));
                let judgement = self.judge_whole(&domain, at)?;
                let is_told = match &case {
                    Some(row) => !self.has_ended(&row.case, at)?,
                    None => judgement.is_suspected(),
                };
                if is_told {
                    let standing = self.standing(&domain, at)?;
                    judged.add(domain, judgement, standing);
                }
            }
            drop(reading);
            let tx = self.store.begin_batch()?;
            self.move_cases(judged, options)?;
            tx.commit()?;
        }
        Ok(self.store.zones().note_gaps_judged(&gaps)?)
    }

    /// Returns the names of zones that could not be seen for some times which use a name server elsewhere that moved since,
    /// each with when it is judged: once the zone was seen again and the name server had moved.
    fn users_of_moved(
        &self,
        gaps: &[GapToJudge],
    ) -> Result<BTreeMap<Name, Timestamp>, PipelineError> {
        let _reading = self.store.begin_reading()?;
        let Some(since) = gaps.iter().map(|gap| gap.from).min() else {
            return Ok(BTreeMap::new());
        };
        let mut moved: BTreeMap<Name, Timestamp> = BTreeMap::new();
        let (zones, lookup) = (self.store.zones(), self.store.lookup());
        let versions = lookup.versions_since(since, VERSIONS_MAX)?;
        let (mut zone, mut left_out) = (None, versions.len() >= VERSIONS_MAX);
        for found in versions {
            // What moved in a zone that nobody saw is told by its own versions.
            if gaps.iter().all(|gap| gap.apex == found.apex) {
                continue;
            }
            let key = (found.apex, found.view);
            if zone.as_ref().is_none_or(|(known, _)| *known != key) {
                let state = zones.find_view(&key.0, key.1)?;
                zone = Some((key, state));
            }
            let Some((_, Some(state))) = &zone else {
                continue;
            };
            let version = lookup.version_to_judge(found.version_id)?;
            if version.is_bulk {
                continue;
            }
            for change in lookup.counts(state, version)? {
                if !change.addresses {
                    continue;
                }
                let host = change.key.owner;
                if moved.len() >= HOSTS_MAX && !moved.contains_key(&host) {
                    left_out = true;
                    continue;
                }
                let at = moved.entry(host).or_insert(found.at);
                *at = found.at.max(*at);
            }
        }
        let hosts: BTreeSet<Name> = moved.keys().cloned().collect();
        let mut by_apex: HashMap<&Name, Vec<&GapToJudge>> = HashMap::new();
        for gap in gaps {
            by_apex.entry(&gap.apex).or_default().push(gap);
        }
        let mut due: BTreeMap<Name, Timestamp> = BTreeMap::new();
        for (host, users) in lookup.users_by_host(&hosts, USERS_MAX)? {
            left_out |= users.count > users.names.len();
            let moved_at = moved[&host];
            for user in users.names {
                let zones = std::iter::successors(Some(user.clone()), Name::parent);
                let above = zones.filter_map(|zone| by_apex.get(&zone)).flatten();
                let missed = above.filter(|gap| moved_at > gap.from);
                if let Some(seen_at) = missed.map(|gap| gap.to).max() {
                    let at = due.entry(user).or_insert(seen_at);
                    *at = seen_at.max(moved_at).max(*at);
                }
            }
        }
        if left_out {
            let zones = gaps.len();
            tracing::warn!(
                zones,
                "more moved while {zones} zones could not be seen than is judged now that they are: the newest {VERSIONS_MAX} versions, {HOSTS_MAX} name servers, {USERS_MAX} names on them; the others are judged when they change again"
            );
        }
        Ok(due)
    }
}
