//! Which of a zone's records are glue, and which are its own data.
//!
//! A record at or below a delegation is glue, and no plane of addresses. That is told of each record by when it came:
//! one name server for five minutes makes no glue of what the zone has before and after. What stays when its delegation is
//! gone is the zone's own data from then on: else a name server for a second with each address would hide a flux.

use std::collections::BTreeMap;

use crate::detector::{Moment, Stay};
use crate::dns::{Name, Rdata};
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::store::{EntityKey, Extent, ZoneId};
use crate::time::{Span, Timestamp};

/// How long before its delegation glue may come: a feed may tell of a name server first. Chosen by hand.
const GLUE_AHEAD: Span = Span::seconds(600);

/// How long glue may outlast its delegation: the two may leave a zone one after the other. Chosen by hand.
const GLUE_BEHIND: Span = Span::seconds(60);

/// How long glue must have stood that it is no new address when its delegation goes: longer than a value stays that is part
/// of a rotation (`detect.nameservers.stay_max`). Chosen by hand.
const GLUE_SETTLED: Span = Span::hours(96);

/// A version as a place in the order of versions.
type Place = (Timestamp, i64);

/// A time in which a name had name servers without a break.
#[derive(Debug, Clone, Copy)]
struct Cut {
    from: Place,
    /// When the last of them went; `None` while there are any.
    to: Option<Moment>,
}

/// When name servers were at names of a zone, which make a cut of each.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct Cuts {
    by_name: BTreeMap<Name, Vec<Cut>>,
    /// By when that is known.
    until: Timestamp,
}

/// What a record is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Glue,
    Own,
    /// Glue until its delegation went, and the zone's own data since.
    OwnSince(Moment),
}

/// Returns where a version stands.
fn place(moment: &Moment) -> Place {
    (moment.at, moment.version_id)
}

/// Returns whether some name servers, one after the other, were there from a time to another. Of one that was there when
/// history met the name first nobody knows since when: it counts from then.
pub(in crate::pipeline) fn were_throughout(
    names: &[Stay<Name>],
    since: Timestamp,
    until: Timestamp,
) -> bool {
    let stays = names.iter();
    let mut there: Vec<(Place, Option<Place>)> = stays
        .map(|stay| (place(&stay.added), stay.removed.as_ref().map(place)))
        .collect();
    there.sort_unstable();
    let (since, until) = ((since, i64::MAX), (until, i64::MAX));
    let mut reached = since;
    for (from, to) in there {
        if from > reached {
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

/// Returns how many seconds some times cover together: what lies in several counts once.
pub(in crate::pipeline) fn seconds_of(times: impl Iterator<Item = (Timestamp, Timestamp)>) -> i64 {
    let mut times: Vec<(Timestamp, Timestamp)> = times.filter(|(from, to)| from < to).collect();
    times.sort_unstable();
    let (mut covered, mut reached) = (0, None);
    for (from, to) in times {
        let from = reached.map_or(from, |reached| from.max(reached));
        covered += to.since(from).as_seconds().max(0);
        reached = reached.max(Some(to));
    }
    covered
}

/// Returns the times in which a name had any of some name servers. Of one that was there when history met the name first
/// nobody knows since when: it makes no glue of what came before it was told.
fn cuts_of<T>(stays: &[Stay<T>]) -> Vec<Cut> {
    let mut all: Vec<Cut> = (stays.iter())
        .map(|stay| Cut {
            from: place(&stay.added),
            to: stay.removed,
        })
        .collect();
    all.sort_unstable_by_key(|cut| cut.from);
    let mut cuts: Vec<Cut> = Vec::new();
    for next in all {
        match cuts.last_mut() {
            Some(last) if last.to.is_none_or(|to| next.from <= place(&to)) => {
                let goes_on = last.to.zip(next.to);
                last.to = goes_on.map(|(one, other)| match place(&one) >= place(&other) {
                    true => one,
                    false => other,
                });
            }
            _ => cuts.push(next),
        }
    }
    cuts
}

impl Cut {
    /// Returns from when until when a record was there below the cut, as was known by a time; an end before the beginning
    /// if it was not.
    fn time_of<T>(&self, stay: &Stay<T>, until: Timestamp) -> (Timestamp, Timestamp) {
        let end = |end: Option<Moment>| end.map_or(until, |end| end.at).min(until);
        let end = end(self.to).min(end(stay.removed));
        (self.from.0.max(stay.added.at), end)
    }

    /// Returns what a record below the cut is, as far as the cut tells and as was known by a time. One that was there for
    /// longer without a cut than with one is the zone's own: a cut for a second with each address makes no glue.
    fn kind_of<T>(&self, stay: &Stay<T>, until: Timestamp, is_mostly_below: bool) -> Kind {
        let removed = stay.removed.filter(|end| end.at <= until);
        let to = self.to.filter(|end| end.at <= until);
        let added = place(&stay.added);
        if self.from <= added {
            let outlasts = |to: &Moment| {
                let last = removed.map_or(until, |end| end.at);
                last.since(to.at) > GLUE_BEHIND || (last > to.at && !is_mostly_below)
            };
            return match to {
                Some(to) if place(&to) <= added => Kind::Own,
                Some(to) if outlasts(&to) => Kind::OwnSince(to),
                _ => Kind::Glue,
            };
        }
        let removed = removed.as_ref().map(place);
        let is_ahead = stay.baseline || self.from.0.since(added.0) <= GLUE_AHEAD;
        let met = removed.is_none_or(|end| end > self.from);
        let went_first = match (removed, to) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(end), Some(to)) => end <= place(&to),
        };
        match is_ahead && met && went_first && is_mostly_below {
            true => Kind::Glue,
            false => Kind::Own,
        }
    }
}

impl Cuts {
    /// Returns what a record of an owner is as the zone's own data; `None` if it is glue alone. Glue is what came while
    /// there was a cut at or above the owner, or was there shortly before and went with it or earlier. What came when the
    /// cut was gone is the zone's own data, as what came long before it is, and as glue is once its cut is gone.
    pub(in crate::pipeline) fn own_part<T>(
        &self,
        owner: &Name,
        apex: &Name,
        mut stay: Stay<T>,
    ) -> Option<Stay<T>> {
        if self.by_name.is_empty() {
            return Some(stay);
        }
        let above = owner.up_to(apex).filter_map(|name| self.by_name.get(&name));
        let above: Vec<&Cut> = above.flatten().collect();
        let end = stay.removed.map_or(self.until, |end| end.at);
        let life = end.min(self.until).since(stay.added.at).as_seconds();
        let below = above.iter().map(|cut| cut.time_of(&stay, self.until));
        // Of cuts at several levels above it each second counts once.
        let is_mostly_below = 2 * seconds_of(below) >= life;
        let mut since: Option<Moment> = None;
        for cut in above {
            match cut.kind_of(&stay, self.until, is_mostly_below) {
                Kind::Glue => return None,
                Kind::Own => {}
                Kind::OwnSince(end) => {
                    let is_later = since.is_none_or(|known| place(&known) < place(&end));
                    since = if is_later { Some(end) } else { since };
                }
            }
        }
        // What stood for long stood there before: that its delegation went is no change of it.
        if let Some(end) = since.filter(|end| end.at.since(stay.added.at) < GLUE_SETTLED) {
            stay.added = end;
            stay.baseline = false;
        }
        Some(stay)
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
            by_name.insert(key.owner, cuts_of(&there.collect::<Vec<_>>()));
        }
        Ok(Cuts {
            by_name,
            until: extent.until,
        })
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

    /// When an address of a.www.bad.test came as the zone's own data, by which times it and cuts at www.bad.test came and
    /// went; `None` if it is glue.
    fn own_since(cuts: &[(i64, Option<i64>)], address: (i64, Option<i64>)) -> Option<i64> {
        let servers = cuts.iter().map(|(added, removed)| Stay {
            baseline: true,
            ..stay(name("ns.host.test."), *added, *removed)
        });
        let cuts = Cuts {
            by_name: [(name("www.bad.test."), cuts_of(&servers.collect::<Vec<_>>()))].into(),
            until: moment(500_000).at,
        };
        let address = stay(Rdata::A([192, 0, 2, 1].into()), address.0, address.1);
        let own = cuts.own_part(&name("a.www.bad.test."), &name("bad.test."), address);
        own.map(|stay| stay.added.version_id)
    }

    #[test]
    fn glue_is_what_came_while_the_cut_was_there() {
        let cut = (10_000, Some(20_000));
        for (address, expected) in [
            ((10_000, Some(11_000)), None),
            ((15_000, Some(20_060)), None),
            // The cut went and the address stayed.
            ((15_000, Some(20_061)), Some(20_000)),
            ((15_000, None), Some(20_000)),
            // A feed that tells of the name server first.
            ((9_990, Some(12_000)), None),
            ((9_990, Some(20_000)), None),
            ((9_990, Some(9_995)), Some(9_990)),
            // Longer without the cut than with it.
            ((9_500, Some(10_499)), Some(9_500)),
            ((9_500, Some(10_501)), None),
            ((19_990, Some(20_011)), Some(20_000)),
            ((19_990, Some(20_009)), None),
            ((9_990, Some(20_001)), Some(9_990)),
            ((9_990, None), Some(9_990)),
            ((1_000, Some(12_000)), Some(1_000)),
            ((1_000, Some(2_000)), Some(1_000)),
            ((20_000, Some(30_000)), Some(20_000)),
            ((25_000, None), Some(25_000)),
        ] {
            assert_eq!(own_since(&[cut], address), expected, "{address:?}");
        }
        assert_eq!(own_since(&[(10_000, None)], (9_990, None)), None);
        // Name servers that follow each other are one cut; those that come again make no glue of what stayed between.
        let followed = [(10_000, Some(20_000)), (20_000, None)];
        assert_eq!(own_since(&followed, (15_000, None)), None);
        let again = [(10_000, Some(20_000)), (20_300, None)];
        assert_eq!(own_since(&again, (15_000, None)), Some(20_000));
        assert_eq!(own_since(&again, (20_300, None)), None);
        // What stood for four days stood there before its delegation went.
        let long = [(0, Some(400_000))];
        assert_eq!(own_since(&long, (1_000, None)), Some(1_000));
        assert_eq!(own_since(&long, (399_000, None)), Some(400_000));
    }

    #[test]
    fn times_that_overlap_count_once() {
        let seconds = |times: &[(i64, i64)]| {
            let times = times.iter();
            seconds_of(times.map(|(from, to)| (moment(*from).at, moment(*to).at)))
        };
        assert_eq!(seconds(&[]), 0);
        assert_eq!(seconds(&[(10, 40), (20, 30), (40, 50), (60, 50)]), 40);
        assert_eq!(seconds(&[(70, 80), (10, 20), (15, 30), (10, 20)]), 30);
    }

    #[test]
    fn cuts_at_two_levels_above_an_address_make_no_more_glue_of_it_than_one() {
        let www = name("www.shop.bad.test.");
        let cut = cuts_of(&[stay(name("ns.host.test."), 450, Some(600))]);
        let both = [name("shop.bad.test."), www.clone()].map(|it| (it, cut.clone()));
        let cuts = Cuts {
            by_name: both.into(),
            until: moment(500_000).at,
        };
        let address = stay(Rdata::A([192, 0, 2, 1].into()), 0, Some(600));
        let own = cuts.own_part(&www, &name("bad.test."), address);
        assert!(own.is_some_and(|it| it.added.version_id == 0));
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
