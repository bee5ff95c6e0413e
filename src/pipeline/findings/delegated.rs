//! When a domain was delegated, and which name servers it is judged for then.

use std::collections::BTreeSet;

use crate::case::GONE_AFTER;
use crate::detector::{Moment, Stay};
use crate::dns::{Name, case_domain};
use crate::time::{Span, Timestamp};

/// Returns whether a delegation is judged for the addresses of a name server that it does not use itself: one of a zone
/// above, and no suffix below which everybody registers.
pub(in crate::pipeline) fn is_judged_for(apex: &Name, domain: &Name, host: &Name) -> bool {
    domain != apex && domain.is_at_or_below(&case_domain(apex, host))
}

/// Returns when a delegation had any name server but those of suspended domains: each time with whether it was there
/// before it was told of.
pub(in crate::pipeline) fn delegated(
    names: &[Stay<Name>],
    hold: &[Name],
) -> Vec<(Moment, bool, Option<Moment>)> {
    let place = |moment: &Moment| (moment.at, moment.version_id);
    let mut stays: Vec<&Stay<Name>> = names
        .iter()
        .filter(|it| !hold.contains(&it.value))
        .collect();
    stays.sort_by_key(|stay| place(&stay.added));
    let mut spells: Vec<(Moment, bool, Option<Moment>)> = Vec::new();
    for stay in stays {
        let goes_on =
            |to: &Option<Moment>| to.as_ref().is_none_or(|to| place(&stay.added) <= place(to));
        match spells.last_mut() {
            Some((_, _, last)) if goes_on(last) => {
                let both = last.zip(stay.removed);
                *last = both.map(|(one, other)| match place(&one) >= place(&other) {
                    true => one,
                    false => other,
                });
            }
            _ => spells.push((stay.added, stay.baseline, stay.removed)),
        }
    }
    spells
}

/// Returns when a delegation came back as another after a long absence: what others' name servers below it did before
/// is not its doing.
pub(in crate::pipeline) fn began_anew(
    names: &[Stay<Name>],
    times: &[(Moment, bool, Option<Moment>)],
    absence_max: Span,
) -> Vec<Timestamp> {
    // A set may go, and come, name by name.
    let at_end = |end: &Moment| -> BTreeSet<&Name> {
        let went = |it: &&Stay<Name>| {
            let to = it.removed.map(|to| to.at);
            to.is_some_and(|to| to <= end.at && end.at.since(to) < GONE_AFTER)
        };
        names.iter().filter(went).map(|it| &it.value).collect()
    };
    let at_start = |start: &Moment| -> BTreeSet<&Name> {
        let came =
            |it: &&Stay<Name>| it.added.at >= start.at && it.added.at.since(start.at) < GONE_AFTER;
        names.iter().filter(came).map(|it| &it.value).collect()
    };
    let pairs = times.windows(2).filter_map(|pair| {
        let (end, start) = (pair[0].2?, pair[1].0);
        let is_long = start.at.since(end.at) > absence_max;
        (is_long && at_end(&end) != at_start(&start)).then_some(start.at)
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_that_goes_and_comes_name_by_name_is_the_same_and_another_one_is_not() {
        let moment = |at: i64| Moment {
            version_id: at,
            at: Timestamp::from_unix(at),
            serial: None,
            bulk: false,
            drift: false,
            shared_count: 0,
        };
        let stay = |host: &str, added: i64, removed: Option<i64>| Stay {
            value: Name::parse(host).expect("valid"),
            added: moment(added),
            removed: removed.map(moment),
            baseline: false,
        };
        let anew =
            |names: &[Stay<Name>]| began_anew(names, &delegated(names, &[]), Span::days(1)).len();
        let day = 86_400;
        let stepwise = [
            stay("a.test.", 0, Some(1_000)),
            stay("b.test.", 0, Some(1_036)),
            stay("b.test.", 2 * day, None),
            stay("a.test.", 2 * day + 36, None),
        ];
        assert_eq!(anew(&stepwise), 0);
        let another = [
            stay("a.test.", 0, Some(1_000)),
            stay("b.test.", 0, Some(1_036)),
            stay("b.test.", 2 * day, None),
        ];
        assert_eq!(anew(&another), 1);
    }

    #[test]
    fn suffix_is_judged_for_no_registrant() {
        let name = |text: &str| Name::parse(text).expect("valid");
        let judged = |apex: &str, domain: &str, host: &str| {
            is_judged_for(&name(apex), &name(domain), &name(host))
        };
        assert!(judged("co.uk.", "op.co.uk.", "ns1.op.co.uk."));
        assert!(judged("co.uk.", "dns.op.co.uk.", "ns1.dns.op.co.uk."));
        assert!(!judged("uk.", "co.uk.", "ns1.op.co.uk."));
        assert!(!judged(".", "example.", "ns1.op.example."));
        assert!(!judged("op.example.", "op.example.", "ns1.op.example."));
    }
}
