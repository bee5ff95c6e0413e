//! Forgets what is older than the configuration keeps.

use std::collections::BTreeMap;

use crate::config::{Config, RetentionConfig};
use crate::dns::Name;
use crate::pipeline::PipelineError;
use crate::store::{PruneCount, PruneStep, Store, View, ZoneState};
use crate::time::{Span, Timestamp};

/// How often `poll` and `run` forget by themselves.
const PRUNE_EVERY: Span = Span::hours(24);
/// About what a past record takes on disk, for the budget: measured, docs/performance.md.
const PAST_OCTETS: u64 = 30;
/// The same with the reverse index.
const PAST_OCTETS_REVERSE: u64 = 60;

/// What is to be forgotten of one zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneCut {
    /// The zone.
    pub apex: Name,
    /// Who says what stands in it.
    pub view: View,
    /// What was removed before this goes; the beginning of a month.
    pub cut: Timestamp,
    /// How much that is.
    pub count: PruneCount,
}

/// What a prune takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrunePlan {
    /// The zones of which something goes, in the order of their rows.
    pub cuts: Vec<ZoneCut>,
    /// Octets above the budget that stay, because the detector needs what holds them.
    pub over_budget_octets: u64,
}

/// Forgets in a database, beside whatever else is done with it.
pub struct Retention<'a> {
    store: &'a Store,
    config: &'a Config,
    now: Timestamp,
}

impl<'a> Retention<'a> {
    /// Forgets what is too old at `now`, which is the wall clock's.
    pub fn new(store: &'a Store, config: &'a Config, now: Timestamp) -> Self {
        Self { store, config, now }
    }

    /// Returns what is to be forgotten, and how much that is. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`PipelineError`].
    pub fn plan(&self) -> Result<PrunePlan, PipelineError> {
        let retention = &self.config.retention;
        let mut zones = Vec::new();
        for zone in self.store.every_view()? {
            let now = match zone.source_kind.is_live() {
                true => Some(self.now),
                false => zone.version_at,
            };
            // What the detector looks back to stays, whatever the configuration says.
            let newest_cut = now.map(|now| Store::cut_before(now - self.config.detect.memory));
            let keep = retention.keep_of(&zone.apex);
            let by_age = now
                .zip(keep)
                .map(|(now, keep)| Store::cut_before(now - keep));
            let cut = by_age.zip(newest_cut).map(|(cut, newest)| cut.min(newest));
            zones.push((zone, newest_cut, cut));
        }
        let mut by_month: BTreeMap<i64, Vec<(usize, u64)>> = BTreeMap::new();
        let months = self.store.past_by_month()?;
        let places: BTreeMap<_, _> = zones
            .iter()
            .enumerate()
            .map(|(i, it)| (it.0.id, i))
            .collect();
        for (zone, bucket, count) in months {
            if let Some(i) = places.get(&zone) {
                by_month.entry(bucket).or_default().push((*i, count));
            }
        }
        let over_budget_octets = match retention.size_bytes_max {
            Some(most) => self.cut_to_budget(most, &mut zones, &by_month)?,
            None => 0,
        };
        let mut plan = PrunePlan {
            over_budget_octets,
            ..PrunePlan::default()
        };
        for (i, (zone, _, cut)) in zones.iter().enumerate() {
            let Some(cut) = *cut else { continue };
            let mut count = match zone.kept_since.is_some_and(|known| known >= cut) {
                true => PruneCount::default(),
                false => self.store.count_prunable(zone, cut)?,
            };
            let gone = by_month.range(..cut.month_bucket());
            let of_zone = gone
                .flat_map(|(_, counts)| counts)
                .filter(|(at, _)| *at == i);
            count.past_records = of_zone.map(|(_, count)| count).sum();
            if !count.is_zero() {
                plan.cuts.push(ZoneCut {
                    apex: zone.apex.clone(),
                    view: zone.view,
                    cut,
                    count,
                });
            }
        }
        Ok(plan)
    }

    /// Moves cuts on, month by month, until what is left is within the budget. Returns by how much it
    /// cannot be.
    fn cut_to_budget(
        &self,
        most: u64,
        zones: &mut [(ZoneState, Option<Timestamp>, Option<Timestamp>)],
        by_month: &BTreeMap<i64, Vec<(usize, u64)>>,
    ) -> Result<u64, PipelineError> {
        let each = match self.store.has_reverse_index() {
            true => PAST_OCTETS_REVERSE,
            false => PAST_OCTETS,
        };
        let mut over = self.store.used_octets()?.saturating_sub(most);
        for (bucket, counts) in by_month {
            for (i, count) in counts {
                if over == 0 {
                    return Ok(0);
                }
                let (_, newest_cut, cut) = &mut zones[*i];
                let month_end = Timestamp::month_start(bucket + 1);
                let is_gone = cut.is_some_and(|cut| cut >= month_end);
                if !is_gone && newest_cut.is_some_and(|newest| newest >= month_end) {
                    *cut = Some(month_end);
                } else if !is_gone {
                    continue;
                }
                over = over.saturating_sub(count * each);
            }
        }
        Ok(over)
    }

    /// Takes what a plan says, and what an earlier prune that was interrupted left. `goes_on` is told how
    /// many past records have been removed, and says whether to go on.
    ///
    /// # Errors
    ///
    /// [`PipelineError`].
    pub fn prune(
        &self,
        plan: &PrunePlan,
        mut goes_on: impl FnMut(u64) -> bool,
    ) -> Result<u64, PipelineError> {
        let mut removed = 0;
        for cut in &plan.cuts {
            if !goes_on(removed) {
                return Ok(removed);
            }
            if let Some(zone) = self.store.find_view(&cut.apex, cut.view)? {
                self.store.cut_zone(&zone, cut.cut)?;
            }
        }
        let mut next = Some(PruneStep::default());
        while let Some(step) = next.filter(|_| goes_on(removed)) {
            let (count, after) = self.store.prune_some(step)?;
            (removed, next) = (removed + count, after);
        }
        Ok(removed)
    }

    /// Forgets what is due if the configuration says so and that was not done for a day.
    ///
    /// # Errors
    ///
    /// [`PipelineError`].
    pub fn prune_daily(&self, goes_on: impl FnMut(u64) -> bool) -> Result<(), PipelineError> {
        let is_wanted = self.config.retention != RetentionConfig::default();
        let is_due = |last: Timestamp| self.now.since(last) >= PRUNE_EVERY;
        if !is_wanted || !self.store.pruned_at()?.is_none_or(is_due) {
            return Ok(());
        }
        let plan = self.plan()?;
        if plan.over_budget_octets > 0 {
            let over = plan.over_budget_octets;
            tracing::warn!(
                over_octets = over,
                "the database is {over} octets above retention.size_bytes_max, and the detector needs what is left"
            );
        }
        let removed = self.prune(&plan, goes_on)?;
        if removed > 0 {
            tracing::info!(removed, "{removed} past records were older than is kept");
        }
        Ok(self.store.set_pruned_at(self.now)?)
    }
}
