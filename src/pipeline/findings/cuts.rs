//! Which of a zone's records are glue, and which are its own data.
//!
//! A record at or below a delegation is glue, and no plane of addresses. That is told of each record by when it came:
//! one name server for five minutes makes no glue of what the zone has before and after.

use std::collections::BTreeMap;

use crate::detector::{Moment, Stay};
use crate::dns::{Name, Rdata};
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::store::{EntityKey, Extent, Interval, ZoneId};
use crate::time::{Span, Timestamp};

/// How long before its delegation glue may come: a feed may tell of a name server first. Chosen by hand.
const GLUE_AHEAD: Span = Span::seconds(600);

/// A version as a place in the order of versions.
type Place = (Timestamp, i64);

/// From when until when a name server was there; `None` for always and for still.
type Presence = (Option<Place>, Option<Place>);

/// When name servers were at names of a zone, which make a cut of each.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline) struct Cuts {
    by_name: BTreeMap<Name, Vec<Presence>>,
}

/// Returns where a version stands.
fn place(moment: &Moment) -> Place {
    (moment.at, moment.version_id)
}

/// Returns when a record was there. One of the baseline was there before.
fn presence<T>(stay: &Stay<T>) -> Presence {
    let added = (!stay.baseline).then(|| place(&stay.added));
    (added, stay.removed.as_ref().map(place))
}

/// Returns whether some name servers, one after the other, were there from a time to another.
pub(in crate::pipeline) fn were_throughout(
    names: &[Stay<Name>],
    since: Timestamp,
    until: Timestamp,
) -> bool {
    let mut there: Vec<Presence> = names.iter().map(presence).collect();
    there.sort_unstable();
    let (since, until) = ((since, i64::MIN), (until, i64::MAX));
    let mut reached = since;
    for (from, to) in there {
        if from.is_some_and(|from| from > reached) {
            return false;
        }
        match to {
            Some(to) => reached = reached.max(to),
            None => return true,
        }
        if reached > until {
            return true;
        }
    }
    false
}

impl Cuts {
    /// Returns whether a record of an owner is glue: it came while there was a cut at or above the owner, or was there
    /// shortly before and went with it or earlier. What came when the cut was gone is the zone's own data, as what came
    /// long before it is.
    pub(in crate::pipeline) fn is_glue(&self, owner: &Name, apex: &Name, stay: &Interval) -> bool {
        if self.by_name.is_empty() {
            return false;
        }
        let (added, removed) = (place(&stay.added), stay.removed.as_ref().map(place));
        let mut above = owner.up_to(apex).filter_map(|name| self.by_name.get(&name));
        above.any(|there| {
            there.iter().any(|(from, to)| {
                let came_before = from.is_some_and(|from| from > added);
                let came_after = to.is_some_and(|to| to <= added);
                if !came_before {
                    return !came_after;
                }
                let is_ahead =
                    stay.baseline || from.is_some_and(|from| from.0.since(added.0) <= GLUE_AHEAD);
                let met = removed.is_none_or(|end| from.is_none_or(|from| end > from));
                let went_first = match (removed, to) {
                    (_, None) => true,
                    (None, Some(_)) => false,
                    (Some(end), Some(to)) => end <= *to,
                };
                is_ahead && met && went_first
            })
        })
    }
}

impl Findings<'_> {
    /// Returns when there were cuts at or above some owners of a zone.
    pub(in crate::pipeline) fn cuts_above(
        &self,
        zone: ZoneId,
        apex: &Name,
        owners: &[&Name],
        extent: &Extent,
    ) -> Result<Cuts, PipelineError> {
        let lookup = self.store.lookup();
        let mut by_name = BTreeMap::new();
        for owner in lookup.cuts_since(zone, apex, owners, extent.since)? {
            let key = EntityKey {
                zone,
                apex: apex.clone(),
                owner,
            };
            let read = lookup.newest_intervals(&key, extent)?.stays.into_iter();
            let there = read.filter(|stay| matches!(stay.value, Rdata::Ns(_)));
            by_name.insert(key.owner, there.map(|stay| presence(&stay)).collect());
        }
        Ok(Cuts { by_name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: i64) -> Moment {
        Moment {
            version_id: at,
            at: Timestamp::from_unix(1_790_000_000 + at),
            serial: None,
            bulk: false,
            drift: false,
            shared_count: 0,
        }
    }

    fn stay<T>(value: T, added: i64, removed: Option<i64>) -> Stay<T> {
        Stay {
            value,
            added: moment(added),
            removed: removed.map(moment),
            baseline: false,
        }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).expect("valid")
    }

    /// Whether an address of a.www.bad.test that came and went is glue of a cut at www.bad.test.
    fn is_glue(cut: (i64, Option<i64>), address: (i64, Option<i64>)) -> bool {
        let ns = stay(name("ns.host.test."), cut.0, cut.1);
        let cuts = Cuts {
            by_name: [(name("www.bad.test."), vec![presence(&ns)])].into(),
        };
        let address = stay(Rdata::A([192, 0, 2, 1].into()), address.0, address.1);
        cuts.is_glue(&name("a.www.bad.test."), &name("bad.test."), &address)
    }

    #[test]
    fn glue_is_what_came_while_the_cut_was_there() {
        let cut = (10_000, Some(20_000));
        for (address, expected) in [
            ((10_000, Some(11_000)), true),
            ((15_000, Some(30_000)), true),
            ((15_000, None), true),
            // A feed that tells of the name server first.
            ((9_990, Some(12_000)), true),
            ((9_990, Some(20_000)), true),
            ((9_990, Some(9_995)), false),
            ((9_990, Some(20_001)), false),
            ((9_990, None), false),
            ((1_000, Some(12_000)), false),
            ((1_000, Some(2_000)), false),
            ((20_000, Some(30_000)), false),
            ((25_000, None), false),
        ] {
            assert_eq!(is_glue(cut, address), expected, "{address:?}");
        }
        assert!(is_glue((10_000, None), (9_990, None)));
    }

    #[test]
    fn name_servers_that_follow_each_other_leave_no_time_between() {
        let names = |stays: &[(i64, Option<i64>)]| -> Vec<Stay<Name>> {
            let stay = |(added, removed): &(i64, Option<i64>)| {
                stay(name("ns.host.test."), *added, *removed)
            };
            stays.iter().map(stay).collect()
        };
        let at = |at: i64| moment(at).at;
        let throughout =
            |stays: &[(i64, Option<i64>)]| were_throughout(&names(stays), at(100), at(200));
        assert!(throughout(&[(50, None)]));
        assert!(throughout(&[(50, Some(150)), (150, None)]));
        assert!(throughout(&[(140, Some(300)), (50, Some(150))]));
        assert!(!throughout(&[(50, Some(150)), (151, None)]));
        assert!(!throughout(&[(120, None)]));
        assert!(!throughout(&[(50, Some(150))]));
        assert!(!throughout(&[]));
    }
}
