//! Which changes of name servers count as steps of a rotation, and how much each weighs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::count::counted;
use crate::detector::DetectPolicy;
use crate::detector::features::Window;
use crate::detector::finding::{Check, Weight};
use crate::detector::nameserver_window::NameserverWindow;
use crate::detector::operators::Operators;
use crate::detector::timeline::{ChangePoint, ChangedHost, Moment, Timeline};
use crate::dns::Name;
use crate::time::{Span, Timestamp};

/// The weight of a change instant that only restores what was seen before, or goes from names of an operator to
/// others of the same.
pub(super) const RESTORED_WEIGHT: f64 = 0.34;

/// How many renames of name servers that keep their addresses, and corrections of names, are excused within 7 days.
/// Chosen by hand: who makes more goes through names.
const RENAMES_7D_MAX: usize = 3;

/// A change instant with what counts of it.
pub(super) struct Counted<'a> {
    pub point: &'a ChangePoint,
    pub weight: f64,
    pub fresh: u32,
    pub fresh_names: u32,
    /// Whether something left that had stayed for less than a case takes to settle.
    pub is_slow_step: bool,
    /// Whether it would be a step, and part of it is not counted because name servers are a provider's.
    pub is_of_provider: bool,
    /// Why it is no step of a rotation, if it is none though nobody is excused.
    pub no_step: Option<NoStep>,
    /// Why nothing of it counts, where it is excused.
    pub excuse: Option<&'static str>,
}

impl Counted<'_> {
    /// Returns how much it counts, and why.
    pub fn weight(&self) -> Weight {
        let excuse = self.excuse.or(self.no_step.map(NoStep::words));
        match excuse {
            _ if self.point.is_excused => Weight::excused(self.point),
            Some(reason) => Weight::none(reason),
            None if self.weight < 1.0 => Weight::part(
                self.weight,
                "what was there before, or of the same operators",
            ),
            None => Weight::FULL,
        }
    }
}

/// Why a change is no step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoStep {
    /// Nothing left.
    Grew,
    /// What left had been there for long, and what came stays.
    Replaced,
    /// Name servers have other names and the addresses that were there, or corrected names.
    Renamed,
}

impl NoStep {
    /// Says it of one change.
    fn words(self) -> &'static str {
        match self {
            Self::Grew => "nothing left",
            Self::Replaced => "only what had been there for long left",
            Self::Renamed => "names corrected, or renamed with their addresses",
        }
    }
}

/// Returns how many changes of a week are not counted because name servers are a provider's.
pub(super) fn count_excused(counted: &[Counted<'_>], week: &Window) -> u32 {
    let of_week = counted.iter().filter(|it| week.holds(it.point.moment.at));
    of_week.filter(|it| it.is_of_provider).count() as u32
}

/// What is not counted against a delegation.
pub(super) struct Excuses<'a> {
    /// Changes of name: all its name servers are a provider's.
    pub all_names: bool,
    /// Changes of name that many names made at once.
    pub shared_moves: bool,
    /// Whose name servers are a provider's, and whose another domain's.
    pub window: &'a NameserverWindow,
    /// How often each name server's addresses changed within 30 days.
    pub glue_changes: HashMap<&'a Name, u32>,
    /// How often a provider's may.
    pub glue_changes_max: u32,
}

impl Excuses<'_> {
    /// Returns whether changes of this name server's addresses are excused: it is a provider's.
    ///
    /// A provider that renumbers now and then is no matter of its customers.
    fn is_host(&self, host: &Name) -> bool {
        self.window.is_popular(host)
            && !host.is_at_or_below(&self.window.owner)
            && self.glue_changes.get(host).copied().unwrap_or(0) <= self.glue_changes_max
    }

    /// Returns whether those at an instant are another domain's, which is judged for them.
    pub fn is_of_other(&self, host: &Name, at: Timestamp) -> bool {
        self.window.is_of_other(host, at)
    }
}

/// Weighs every change instant.
pub(super) fn count_points<'a>(
    timeline: &'a Timeline,
    excuses: &Excuses<'_>,
    policy: &DetectPolicy,
    operators: &mut Operators<'a>,
) -> Vec<Counted<'a>> {
    let mut weigher = Weigher {
        excuses,
        policy,
        excused_renames: excused_renames(timeline),
        carried: (0, 0),
        operators,
        of_sets: HashMap::new(),
    };
    let points = timeline.points.iter();
    points.map(|point| weigher.weigh(point)).collect()
}

/// Returns the instants whose renames are excused: the first of any 7 days.
fn excused_renames(timeline: &Timeline) -> BTreeSet<i64> {
    let mut excused: Vec<Moment> = Vec::new();
    for point in timeline.points.iter().filter(|point| point.is_rename) {
        let recent = excused.iter().rev();
        let recent = recent.take_while(|it| point.moment.at.since(it.at) < Span::days(7));
        if recent.count() < RENAMES_7D_MAX {
            excused.push(point.moment);
        }
    }
    excused.iter().map(|it| it.version_id).collect()
}

/// Weighs change instants in order of time.
struct Weigher<'a, 'p> {
    excuses: &'a Excuses<'a>,
    policy: &'a DetectPolicy,
    excused_renames: BTreeSet<i64>,
    /// Values never seen before, and names among them, that came since something left.
    carried: (u32, u32),
    operators: &'a mut Operators<'p>,
    /// The operators of sets, by where these are: what a change begins with is what the one before ended with.
    of_sets: HashMap<*const Name, Rc<[u32]>>,
}

impl<'p> Weigher<'_, 'p> {
    /// Weighs one.
    fn weigh(&mut self, point: &'p ChangePoint) -> Counted<'p> {
        let mut counted = Counted {
            point,
            weight: 0.0,
            fresh: 0,
            fresh_names: 0,
            is_slow_step: false,
            is_of_provider: self.is_of_provider(point),
            no_step: None,
            excuse: None,
        };
        let rules = &self.policy.nameservers;
        let is_shared =
            self.excuses.shared_moves && point.moment.shared_count >= rules.shared_move_names;
        let is_renamed = self.excused_renames.contains(&point.moment.version_id);
        let names_count = point.names_changed && !self.excuses.all_names && !is_shared;
        let glue = point.changed_hosts.iter();
        let glue: Vec<&ChangedHost> = glue
            .filter(|it| !self.excuses.is_of_other(&it.host, point.moment.at))
            .filter(|it| !self.excuses.is_host(&it.host))
            .collect();
        // What came here is carried on to no step: an excused instant is as if it had not been.
        if point.is_excused || (!names_count && glue.is_empty()) {
            let is_of_host = |it: &ChangedHost| self.excuses.is_host(&it.host);
            counted.excuse = Some(if point.names_changed && is_shared {
                "a move that many names made at once"
            } else if point.names_changed || point.changed_hosts.iter().any(is_of_host) {
                "name servers of a known provider"
            } else {
                "addresses of others' name servers"
            });
            return counted;
        }
        let is_within = |span: Span| {
            names_count && !is_renamed && point.names_departure.is_within(span)
                || glue.iter().any(|it| it.departure.is_within(span))
        };
        let left = names_count && point.names_departure.is_some()
            || glue.iter().any(|it| it.departure.is_some());
        let fresh_glue: u32 = glue.iter().map(|it| it.fresh).sum();
        let (fresh_names, fresh) = if names_count && !is_renamed {
            (
                point.fresh_names,
                point.fresh_names + point.fresh_host_addresses + fresh_glue,
            )
        } else {
            (0, fresh_glue)
        };
        let (carried, carried_names) = self.carried;
        // Values may come in one version and push the old ones out in the next: they count where something leaves.
        self.carried = (carried + fresh, carried_names + fresh_names);
        if left {
            (counted.fresh, counted.fresh_names) = std::mem::take(&mut self.carried);
        }
        counted.is_slow_step = is_within(self.policy.settled_after);
        if is_within(rules.stay_max) {
            let is_step_of_names =
                names_count && !is_renamed && glue.is_empty() && self.is_reassigned(point);
            counted.weight = if counted.fresh > 0 && !is_step_of_names {
                1.0
            } else {
                RESTORED_WEIGHT
            };
        } else {
            (counted.fresh, counted.fresh_names) = (0, 0);
            counted.no_step = Some(match (left, is_renamed) {
                (false, _) => NoStep::Grew,
                (true, true) => NoStep::Renamed,
                (true, false) => NoStep::Replaced,
            });
        }
        counted
    }

    /// Returns whether a change would be a step but for what is excused because name servers are a provider's.
    fn is_of_provider(&self, point: &ChangePoint) -> bool {
        let span = self.policy.nameservers.stay_max;
        let names = self.excuses.all_names && point.names_changed;
        let mut hosts = point.changed_hosts.iter();
        !point.is_excused
            && (names && point.names_departure.is_within(span)
                || hosts.any(|it| {
                    let is_others = self.excuses.is_of_other(&it.host, point.moment.at);
                    it.departure.is_some() && !is_others && self.excuses.is_host(&it.host)
                }))
    }

    /// Returns whether names gave way to others of the same operators, or of the same provider's numbered domains, of
    /// which no new address is known.
    fn is_reassigned(&mut self, point: &'p ChangePoint) -> bool {
        // An old point has lost its sets, and then nobody can say whose the names were: it weighs in full.
        if !point.has_sets || point.fresh_host_addresses > 0 {
            return false;
        }
        let [before, after] = [&point.names_before, &point.names_after].map(|names| {
            let known = self.of_sets.entry(names.as_ptr());
            let operators = known.or_insert_with(|| self.operators.of_set(names.iter()).into());
            Rc::clone(operators)
        });
        before == after || {
            let family = self.operators.one_family(&before);
            family.is_some() && family == self.operators.one_family(&after)
        }
    }
}

/// Returns how much each change of a week counts, by its version.
pub(super) fn weights_of(counted: &[Counted<'_>], week: &Window) -> BTreeMap<i64, Weight> {
    let of_week = counted.iter().filter(|it| week.holds(it.point.moment.at));
    of_week
        .map(|it| (it.point.moment.version_id, it.weight()))
        .collect()
}

/// Says which changes of the week are no steps of a rotation.
pub(super) fn step_check(counted: &[Counted<'_>], week: &Window) -> Check {
    let of_week = counted.iter().filter(|it| week.holds(it.point.moment.at));
    let no_steps: Vec<NoStep> = of_week.filter_map(|it| it.no_step).collect();
    let part = |kind: NoStep, words: &str| {
        let count = no_steps.iter().filter(|it| **it == kind).count();
        (count > 0).then(|| format!("{count} {words}"))
    };
    let parts = [
        part(NoStep::Grew, "where nothing left"),
        part(
            NoStep::Replaced,
            "where only what had been there for long left",
        ),
        part(
            NoStep::Renamed,
            "where name servers were renamed and kept their addresses, or names were corrected",
        ),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let result = if parts.is_empty() {
        "every change of 7 days that is not excused is a step of a rotation".to_owned()
    } else {
        format!("not counted: {}", parts.join(", "))
    };
    Check {
        name: "changes that are no rotation",
        result,
        explains: !no_steps.is_empty(),
    }
}

/// Returns in how many of the last 30 days' instants the addresses of each name server changed; of none where no name
/// server is a provider's, of which alone that is asked.
pub(super) fn glue_changes_30d<'a>(
    timeline: &'a Timeline,
    window: &NameserverWindow,
    now: Timestamp,
) -> HashMap<&'a Name, u32> {
    let mut counts = HashMap::new();
    if window.popular.as_ref().is_none_or(|it| it.is_empty()) {
        return counts;
    }
    let recent = timeline
        .points
        .iter()
        .filter(|point| now.since(point.moment.at) < Span::days(30));
    for changed in recent.flat_map(|point| &point.changed_hosts) {
        *counts.entry(&changed.host).or_default() += 1;
    }
    counts
}

/// Whether moves that many names made together are excused, and what to say of it.
pub(super) struct SharedMoves {
    pub excuses: bool,
    pub check: Check,
}

/// Looks for moves that many names made at the same instant.
pub(super) fn shared_moves(
    timeline: &Timeline,
    policy: &DetectPolicy,
    now: Timestamp,
) -> SharedMoves {
    let month: Vec<&ChangePoint> = timeline
        .points
        .iter()
        .filter(|point| now.since(point.moment.at) < Span::days(30))
        .collect();
    let shared = month
        .iter()
        .filter(|point| point.moment.shared_count >= policy.nameservers.shared_move_names)
        .count();
    let rules = &policy.nameservers;
    let excuses = month.len() as u32 <= rules.shared_move_changes_30d_max
        && shared as u32 <= rules.shared_moves_30d_max;
    let result = match (shared, excuses) {
        (0, _) => "no move was shared with other names".to_owned(),
        (count, true) => format!(
            "not counted: {} that at least {} made at once; {count} of {} in 30 days used up",
            counted(count, "move"),
            counted(rules.shared_move_names, "name"),
            rules.shared_moves_30d_max
        ),
        (count, false) => format!(
            "counted: {} with other names and {} in 30 days are too many for a migration ({} and {} are excused)",
            counted(count, "move"),
            counted(month.len(), "change"),
            rules.shared_moves_30d_max,
            rules.shared_move_changes_30d_max
        ),
    };
    SharedMoves {
        excuses,
        check: Check {
            name: "migration of many names at once",
            result,
            explains: shared > 0 && excuses,
        },
    }
}
