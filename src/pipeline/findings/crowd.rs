//! What the users of a small provider did together.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::detector::{
    DetectPolicy, Knowledge, LARGE_PROVIDER_NAMES, NameserverReplay, NameserverWindow,
    PlaneFinding, VOUCHED_WITHIN, Vouching, is_vouching_asked, judge_nameservers,
};
use crate::dns::{Name, RecordType};
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::store::{Used, View, Wanted};
use crate::time::Timestamp;

/// The most records of a provider's users that are read; who has more of them in a week is not told apart further.
const CROWD_ROWS_MAX: usize = 8192;

impl Findings<'_> {
    /// Judges name servers that are all a provider's by what its users did together.
    pub(in crate::pipeline) fn judge_crowds(
        &self,
        replayed: &NameserverReplay,
        window: &NameserverWindow,
        policy: &DetectPolicy,
        users_at: Timestamp,
        plane: &mut PlaneFinding,
    ) -> Result<(), PipelineError> {
        if !self.store.has_reverse_index() || !is_vouching_asked(plane) {
            return Ok(());
        }
        // Somebody whom nothing accuses needs no excuse.
        let unexcused = NameserverWindow {
            popular: Some(Arc::default()),
            ..window.clone()
        };
        let unexcused = judge_nameservers(replayed, &unexcused, policy, &self.parts.knowledge);
        if unexcused.level.is_none() {
            return Ok(());
        }
        let hosts = plane.names.iter().map(|name| &name.host);
        let by_operator: BTreeSet<(Name, Name)> = hosts
            .map(|host| (self.parts.knowledge.operator(host), host.clone()))
            .collect();
        let mut asked = BTreeSet::new();
        for (operator, host) in by_operator {
            // Name servers of one operator have the same users: each is asked about once.
            if !asked.insert(operator.clone()) {
                continue;
            }
            let vouching = self.vouching(operator, &host, window, policy, (plane.now, users_at))?;
            if let Some(vouching) = vouching {
                vouching.judge_on(plane);
            }
        }
        Ok(())
    }

    /// Returns what the users of an operator did in a zone by `now`; `None` if it is a large one.
    fn vouching(
        &self,
        operator: Name,
        host: &Name,
        window: &NameserverWindow,
        policy: &DetectPolicy,
        (now, users_at): (Timestamp, Timestamp),
    ) -> Result<Option<Vouching>, PipelineError> {
        let before = users_at - policy.nameservers.popular_stable;
        let stable_names =
            self.store
                .ledger()
                .stable_user_count(host, true, before, LARGE_PROVIDER_NAMES)?;
        if stable_names >= LARGE_PROVIDER_NAMES {
            return Ok(None);
        }
        let since = now - VOUCHED_WITHIN;
        let wanted = Wanted {
            types: vec![RecordType::Ns],
            since: Some(since),
            until: Some(now),
        };
        let mut instants: HashMap<Arc<Name>, HashSet<Timestamp>> = HashMap::new();
        let (mut repeated_changes, mut rows) = (0, 0);
        let used = Used::HostsBelow(operator.clone());
        self.store
            .lookup()
            .users_of(&used, &wanted, None, |record, _| {
                rows += 1;
                let is_change = record.view != View::Passive
                    && *record.zone == window.zone
                    && !record.baseline
                    && record.added_at > since;
                if is_change {
                    let known = instants.entry(record.owner).or_default();
                    let is_repeated = known.insert(record.added_at) && known.len() > 1;
                    repeated_changes += u32::from(is_repeated);
                }
                // More repeated changes than stable users decide the question; the rest need not be read.
                Ok::<_, PipelineError>(rows < CROWD_ROWS_MAX && repeated_changes <= stable_names)
            })?;
        Ok(Some(Vouching {
            operator,
            stable_names,
            repeated_changes,
        }))
    }
}
