//! Forgets what is older than the configuration keeps.

use std::collections::{BTreeMap, HashMap};

use crate::config::{Config, RetentionConfig};
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::store::{PruneCount, PruneStep, Store, View, ZoneState};
use crate::time::{Span, Timestamp};

/// How often `poll` and `run` forget by themselves.
const PRUNE_EVERY: Span = Span::hours(24);
/// What two changes take on disk, the removal and the addition of a past record: 14.19 octets each, 24.98 with
/// the reverse index (docs/performance.md, "History"). For the budget, which counts in whole months.
const PAST_OCTETS: u64 = 28;
/// The same with the reverse index.
const PAST_OCTETS_REVERSE: u64 = 50;

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

/// A zone and where it may be cut.
struct Cuttable {
    zone: ZoneState,
    /// What the detector looks back to begins here; `None` before the first version.
    newest: Option<Timestamp>,
    /// Where it is to be cut.
    cut: Option<Timestamp>,
}

/// How many records of each zone, by its place in a list, were removed in each month.
type PastByMonth = BTreeMap<i64, Vec<(usize, u64)>>;

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

    /// Returns what is to be forgotten, and how much that is. Changes nothing. Reads every past record.
    pub fn plan(&self) -> Result<PrunePlan, PipelineError> {
        let mut zones = self.cuttable()?;
        let by_month = self.past_by_month(&zones)?;
        let mut plan = PrunePlan {
            over_budget_octets: self.cut_to_budget(&mut zones, &by_month)?,
            ..PrunePlan::default()
        };
        let mut past = vec![0; zones.len()];
        for (month, counts) in &by_month {
            for (i, count) in counts {
                if zones[*i].cut.is_some_and(|cut| *month < cut.month_bucket()) {
                    past[*i] += count;
                }
            }
        }
        for (it, past_records) in zones.iter().zip(past) {
            let Some(cut) = it.cut else { continue };
            let count = if it.zone.kept_since.is_some_and(|known| known >= cut) {
                PruneCount::default()
            } else {
                self.store.upkeep().count_prunable(&it.zone, cut)?
            };
            let count = PruneCount {
                past_records,
                ..count
            };
            if !count.is_zero() {
                plan.cuts.push(ZoneCut {
                    apex: it.zone.apex.clone(),
                    view: it.zone.view,
                    cut,
                    count,
                });
            }
        }
        Ok(plan)
    }

    /// Returns every zone with where its age alone would have it cut.
    fn cuttable(&self) -> Result<Vec<Cuttable>, PipelineError> {
        let mut zones = Vec::new();
        for zone in self.store.upkeep().every_view()? {
            // What is brought in by files lives by its own time: a history of last year is not old on its first
            // day.
            let now = if zone.source_kind.is_live() {
                Some(self.now)
            } else {
                zone.version_at
            };
            // What the detector looks back to stays, whatever the configuration says.
            let newest = now.map(|now| (now - self.config.detect.memory).start_of_month());
            let keep = self.config.retention.keep_of(&zone.apex);
            let by_age = now
                .zip(keep)
                .map(|(now, keep)| (now - keep).start_of_month());
            let cut = by_age.zip(newest).map(|(cut, newest)| cut.min(newest));
            zones.push(Cuttable { zone, newest, cut });
        }
        Ok(zones)
    }

    /// Counts past records by months and zones.
    fn past_by_month(&self, zones: &[Cuttable]) -> Result<PastByMonth, PipelineError> {
        let places: HashMap<_, _> = zones
            .iter()
            .enumerate()
            .map(|(i, it)| (it.zone.id, i))
            .collect();
        let mut by_month = PastByMonth::new();
        for (zone, month, count) in self.store.upkeep().past_by_month()? {
            if let Some(i) = places.get(&zone) {
                by_month.entry(month).or_default().push((*i, count));
            }
        }
        Ok(by_month)
    }

    /// Moves cuts on, month by month, until what is left is within the budget. Returns by how much it
    /// cannot be.
    fn cut_to_budget(
        &self,
        zones: &mut [Cuttable],
        by_month: &PastByMonth,
    ) -> Result<u64, PipelineError> {
        let Some(most) = self.config.retention.size_bytes_max else {
            return Ok(0);
        };
        let each = if self.store.has_reverse_index() {
            PAST_OCTETS_REVERSE
        } else {
            PAST_OCTETS
        };
        let mut over = self.store.upkeep().used_octets()?.saturating_sub(most);
        for (month, counts) in by_month {
            let month_end = Timestamp::month_start(month + 1);
            for (i, count) in counts {
                if over == 0 {
                    return Ok(0);
                }
                let it = &mut zones[*i];
                if it.newest.is_some_and(|newest| newest >= month_end) {
                    it.cut = it.cut.max(Some(month_end));
                    over = over.saturating_sub(count * each);
                }
            }
        }
        Ok(over)
    }

    /// Takes what a plan says, and what an earlier prune that was interrupted left.
    pub fn prune(
        &self,
        plan: &PrunePlan,
        goes_on: impl FnMut(u64) -> bool,
    ) -> Result<Pruned, PipelineError> {
        // All cuts first: afterwards an interruption leaves only rows that no lookup shows any more.
        for cut in &plan.cuts {
            if let Some(zone) = self.store.zones().find_view(&cut.apex, cut.view)? {
                self.store.upkeep().cut_zone(&zone, cut.cut)?;
            }
        }
        self.take_freed(goes_on)
    }

    /// Removes what cuts have freed, some at a time. `goes_on` is told how many past records are gone, and
    /// says whether to go on.
    fn take_freed(&self, mut goes_on: impl FnMut(u64) -> bool) -> Result<Pruned, PipelineError> {
        let (mut removed, mut next) = (0, Some(PruneStep::default()));
        while let Some(step) = next {
            if !goes_on(removed) {
                return Ok(Pruned::Interrupted(removed));
            }
            let (count, after) = self.store.upkeep().prune_some(step)?;
            (removed, next) = (removed + count, after);
        }
        Ok(Pruned::Whole(removed))
    }

    /// Forgets what is due if the configuration says so and that was not done for a day. Past records are
    /// only counted where there is a budget.
    pub fn prune_daily(&self, mut goes_on: impl FnMut(u64) -> bool) -> Result<(), PipelineError> {
        let is_wanted = self.config.retention != RetentionConfig::default();
        let is_due = |last: Timestamp| self.now.since(last) >= PRUNE_EVERY;
        if !is_wanted || !self.store.upkeep().pruned_at()?.is_none_or(is_due) {
            return Ok(());
        }
        let mut zones = self.cuttable()?;
        if self.config.retention.size_bytes_max.is_some() {
            let by_month = self.past_by_month(&zones)?;
            let over = self.cut_to_budget(&mut zones, &by_month)?;
            if over > 0 {
                tracing::warn!(
                    over_octets = over,
                    "the database is {over} octets above retention.size_bytes_max, and the detector needs what is left"
                );
            }
        }
        for it in &zones {
            if !goes_on(0) {
                return Ok(());
            }
            if let Some(cut) = it.cut {
                self.store.upkeep().cut_zone(&it.zone, cut)?;
            }
        }
        let pruned = self.take_freed(goes_on)?;
        if pruned.count() > 0 {
            let removed = pruned.count();
            tracing::info!(removed, "{removed} past records were older than is kept");
        }
        match pruned {
            Pruned::Whole(_) => Ok(self.store.upkeep().set_pruned_at(self.now)?),
            // What is left is not to wait for another day.
            Pruned::Interrupted(_) => Ok(()),
        }
    }
}

/// How a prune ended, with how many past records it removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pruned {
    /// Nothing that was freed is left.
    Whole(u64),
    /// It was told to end before that.
    Interrupted(u64),
}

impl Pruned {
    /// Returns how many past records were removed.
    pub fn count(self) -> u64 {
        match self {
            Self::Whole(count) | Self::Interrupted(count) => count,
        }
    }
}
