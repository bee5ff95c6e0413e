//! Whose the moves of name servers are, in words, and what of them holds a level.

use std::collections::{BTreeMap, BTreeSet};

use crate::count::counted;
use crate::detector::finding::{
    Check, LEFT_BEHIND_CHECK, Level, PlaneFinding, SCATTERED_CHECK, UNPROVEN_CHECK,
};
use crate::detector::nameserver_window::{Operated, Operator};
use crate::detector::timeline::ChangePoint;
use crate::dns::Name;

/// How many users and operators a line names.
const USERS_NAMED_MAX: usize = 5;

/// Says whose changes of address are counted where; `None` where no name server of others moved and nobody else uses
/// the domain's own.
pub(super) fn operated_check<'p>(
    operated: &Operated,
    points: impl Iterator<Item = &'p ChangePoint>,
) -> Option<Check> {
    // Of each operator the last time for which it is judged instead, and whether others moved before that.
    let mut others: BTreeMap<&Name, (&Operator, bool)> = BTreeMap::new();
    let mut unanswered = Vec::new();
    let mut is_any = false;
    for point in points {
        let at = point.moment.at;
        for changed in &point.changed_hosts {
            is_any = true;
            match operated.operator_at(&changed.host, at) {
                Some(operator) => {
                    let (last, _) = others.entry(&operator.name).or_insert((operator, false));
                    if operator.after > last.after {
                        *last = operator;
                    }
                }
                None => unanswered.push((&changed.host, at)),
            }
        }
    }
    for (host, at) in unanswered {
        for operator in operated.by_others.get(host).into_iter().flatten() {
            if let Some((last, moved_before)) = others.get_mut(&operator.name) {
                *moved_before |= at <= last.after;
            }
        }
    }
    let (gone, there): (Vec<_>, Vec<_>) = others
        .values()
        .partition(|(operator, _)| operator.until.is_some());
    let of_there = (!there.is_empty()).then(|| {
        let since = there.iter().filter(|(_, moved_before)| *moved_before);
        let since = since.map(|(operator, _)| operator.after).max();
        let since = since.map_or_else(String::new, |at| format!(" after {at}"));
        let names = listed(there.iter().map(|(operator, _)| &operator.name));
        format!(
            "not counted{since}: addresses of name servers of {names}, which is judged for them"
        )
    });
    let of_gone = gone.iter().take(USERS_NAMED_MAX).filter_map(|(operator, _)| {
        let (name, until) = (operator.name.to_text_without_dot(), operator.until?);
        Some(format!(
            "not counted until {until}: addresses of name servers of {name}, which answers for them until a day after it went, or as long as it was there; what moves later is counted"
        ))
    });
    let of_users = (operated.user_count > 0 && is_any).then(|| {
        format!(
            "{} on its own name servers, not accused for these: {}{}",
            counted(operated.user_count, "other name"),
            listed(operated.users.iter()),
            if operated.user_count > USERS_NAMED_MAX {
                " and more"
            } else {
                ""
            }
        )
    });
    let parts: Vec<String> = (of_there.into_iter())
        .chain(of_gone)
        .chain(of_users)
        .collect();
    (!parts.is_empty()).then(|| Check {
        name: "whose name servers move",
        result: parts.join("; "),
        explains: !others.is_empty(),
    })
}

/// Lists the first of some names.
fn listed<'n>(names: impl Iterator<Item = &'n Name>) -> String {
    let names = names.take(USERS_NAMED_MAX);
    let names: Vec<String> = names.map(Name::to_text_without_dot).collect();
    names.join(", ")
}

/// Holds a plane at review: without what these operators left behind it is none to be reported. They were, and what
/// goes on moving is their doing.
pub fn review_left_behind(plane: &mut PlaneFinding, operators: &BTreeSet<Name>) {
    plane.level = plane.level.min(Some(Level::Review));
    plane.checks.push(Check {
        name: LEFT_BEHIND_CHECK,
        result: format!(
            "reviewed, not reported: what opens the gate are addresses of name servers of {}, reported before it went",
            listed(operators.iter())
        ),
        explains: true,
    });
}

/// Holds the name servers that others use at review: no user has so many of them that these alone would be reported.
pub fn review_scattered(plane: &mut PlaneFinding) {
    plane.level = plane.level.min(Some(Level::Review));
    plane.checks.push(Check {
        name: SCATTERED_CHECK,
        result:
            "reviewed, not reported: what moves is of different users, and of what those use whose name servers moved through most networks nothing would be reported alone"
                .to_owned(),
        explains: true,
    });
}

/// Holds a plane at review: what opens the gate is said by hosted zones alone, which anybody may have opened.
pub fn review_unproven(plane: &mut PlaneFinding, zones: &BTreeSet<Name>) {
    plane.level = plane.level.min(Some(Level::Review));
    plane.checks.push(Check {
        name: UNPROVEN_CHECK,
        result: format!(
            "reviewed, not reported: what opens the gate are addresses that only the hosted zone {} tells, and no zone that is watched is known to delegate that to where it is hosted",
            listed(zones.iter())
        ),
        explains: true,
    });
}
