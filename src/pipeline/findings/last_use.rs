//! When a delegation was last known to use a name server: what moved after that is not held against it.

use std::cmp::Reverse;

use crate::detector::Stay;
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::store::{Unseen, ZoneId};
use crate::time::{Span, Timestamp};

impl Findings<'_> {
    /// Returns when a delegation was last known to use a name server by a time; `None` for one that it is seen to use then.
    /// What moved while nobody could see the zone is not held against it: it may have left before. What moved before that was
    /// known is, as long as nothing shows that it had left.
    pub(in crate::pipeline) fn last_use(
        &self,
        zone: ZoneId,
        names: &[Stay<Name>],
        host: &Name,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, PipelineError> {
        let of_host = names.iter().filter(|stay| stay.value == *host);
        let ends = of_host.map(|stay| stay.removed.map(|end| end.at));
        let unseen_at = |at| self.store.zones().unseen_at(zone, at);
        Ok(last_known(ends, until, unseen_at)?)
    }
}

/// Returns when what has these ends was last known to be there by a time; `None` for what is seen then. `unseen_at` tells
/// since when, before a time, nobody could see it.
fn last_known<E>(
    ends: impl Iterator<Item = Option<Timestamp>>,
    until: Timestamp,
    mut unseen_at: impl FnMut(Timestamp) -> Result<Option<Unseen>, E>,
) -> Result<Option<Timestamp>, E> {
    let mut ends: Vec<_> = ends.map(|end| end.filter(|at| *at <= until)).collect();
    // What is still there first, then the last end: what ended was known until then at most, so that those before it mostly
    // need no question.
    ends.sort_unstable_by_key(|end| (end.is_some(), Reverse(*end)));
    let mut last = None;
    for end in ends {
        if end.is_some() && last >= end {
            break;
        }
        // A version of that second is seen.
        let asked = end.unwrap_or(until + Span::seconds(1));
        let unseen = unseen_at(asked)?;
        let known = match end {
            Some(end) => Some(unseen.map_or(end, |unseen| unseen.since)),
            None => unseen.map(|it| it.known_at).filter(|at| *at < asked),
        };
        if known.is_none() {
            return Ok(None);
        }
        last = last.max(known);
    }
    Ok(last)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// What [`last_known`] returns if each end is asked about, and in what order does not matter.
    fn last_of_all(
        ends: &[Option<Timestamp>],
        until: Timestamp,
        unseen_at: impl Fn(Timestamp) -> Option<Unseen>,
    ) -> Option<Timestamp> {
        let mut last = None;
        for end in ends {
            let known = match end.filter(|end| *end <= until) {
                Some(end) => unseen_at(end).map_or(end, |unseen| unseen.since),
                None => {
                    let asked = until + Span::seconds(1);
                    let known_at = unseen_at(asked)?.known_at;
                    Some(known_at).filter(|at| *at < asked)?
                }
            };
            last = last.max(Some(known));
        }
        last
    }

    proptest! {
        #[test]
        fn last_use_is_the_same_however_few_ends_are_asked_about(
            ends in prop::collection::vec(prop::option::of(0..60_i64), 0..8),
            gaps in prop::collection::vec((0..60_i64, 0..20_i64, 0..20_i64), 0..3),
            until in 0..60_i64,
        ) {
            let at = Timestamp::from_unix;
            let ends: Vec<Option<Timestamp>> = ends.into_iter().map(|end| end.map(at)).collect();
            // A gap is of the times after it began, up to its end.
            let unseen_at = |asked: Timestamp| {
                let holding = gaps.iter().filter(|(from, length, _)| at(*from) < asked && asked <= at(from + length));
                let since = holding.clone().map(|(from, ..)| at(*from)).min()?;
                let known_at = holding.map(|(from, _, later)| at(from + later)).min()?;
                Some(Unseen { since, known_at })
            };
            let mut count = 0;
            let known = last_known(ends.iter().copied(), at(until), |asked| {
                count += 1;
                Ok::<_, Infallible>(unseen_at(asked))
            });
            prop_assert_eq!(known, Ok(last_of_all(&ends, at(until), unseen_at)));
            if gaps.is_empty() {
                prop_assert!(count <= 1, "{} questions", count);
            }
        }
    }
}
