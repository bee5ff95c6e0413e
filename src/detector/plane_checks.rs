//! What the planes say and count in the same way.

use std::collections::BTreeSet;

use crate::count::counted;
use crate::detector::finding::{Check, Level};
use crate::detector::timeline::{ABSENCES_30D_MAX, BULK_7D_MAX, ChangePoint, LeftOut, Timeline};
use crate::time::{Span, Timestamp};

/// How many new registrations are believed within 30 days.
const RESETS_30D_MAX: usize = 2;

/// Returns the last new registration by a time that is believed.
pub(super) fn last_reset(resets: &[Timestamp], now: Timestamp) -> Option<Timestamp> {
    believed_resets(resets, now).last().copied()
}

/// Returns the new registrations by a time that are believed, in order: the first [`RESETS_30D_MAX`] of any 30 days.
/// What two sources tell within a day is one.
pub(super) fn believed_resets(resets: &[Timestamp], now: Timestamp) -> Vec<Timestamp> {
    let mut told: Vec<Timestamp> = resets.iter().filter(|at| **at <= now).copied().collect();
    told.sort_unstable();
    // When each began to be told, and when it was told last.
    let mut believed: Vec<[Timestamp; 2]> = Vec::new();
    for at in told {
        let recent = believed.iter().rev();
        let recent = recent
            .take_while(|[first, _]| at.since(*first) < Span::days(30))
            .count();
        match believed.last_mut() {
            // Counted from the first: sources that tell one after another must not stretch the day.
            Some([first, last]) if at.since(*first) < Span::days(1) => *last = at,
            _ if recent < RESETS_30D_MAX => believed.push([at, at]),
            _ => {}
        }
    }
    believed.into_iter().map(|[_, last]| last).collect()
}

/// Says whether bulk instants were left out.
pub(super) fn bulk_check(points: &[&ChangePoint]) -> Check {
    let excused = points.iter().filter(|point| point.is_excused);
    let count = excused.clone().count();
    let drifts = excused.filter(|point| point.moment.drift).count();
    let beyond = points
        .iter()
        .filter(|point| point.moment.is_excused() && !point.is_excused);
    let beyond = beyond.count();
    let result = if beyond > 0 {
        format!(
            "counted: {} with a mass change beyond the {BULK_7D_MAX} in 7 days that are excused",
            counted(beyond, "change")
        )
    } else if count == 0 {
        "none of the changes came with a mass change of the zone".to_owned()
    } else if drifts > 0 {
        format!(
            "not counted: {} that came with a mass change of the zone, or with drift ({drifts}); {count} of {BULK_7D_MAX} in 7 days used up",
            counted(count, "change")
        )
    } else {
        format!(
            "not counted: {} that came with a mass change of the zone; {count} of {BULK_7D_MAX} in 7 days used up",
            counted(count, "change")
        )
    };
    Check {
        name: "mass change of the zone",
        result,
        explains: count > 0,
    }
}

/// The name of the check of new registrations.
pub(super) const RESET_CHECK: &str = "new registration";

/// Says what is known of a new registration.
pub(super) fn reset_check(resets: &[Timestamp], now: Timestamp) -> Check {
    let believed = believed_resets(resets, now);
    let recent = believed.iter().rev();
    let recent = recent
        .take_while(|it| now.since(**it) < Span::days(30))
        .count();
    let result = match believed.last() {
        Some(at) if recent > 0 => format!(
            "registered anew at {at}; nothing before it counts; {recent} of {RESETS_30D_MAX} in 30 days used up"
        ),
        Some(at) => format!("registered anew at {at}; nothing before it counts"),
        None => "no new registration is known; sources that do not tell of one leave it unknown"
            .to_owned(),
    };
    Check {
        name: RESET_CHECK,
        result,
        explains: false,
    }
}

/// Says how often an entity began anew after a long absence; `None` if it did not within 30 days.
pub(super) fn absence_check(timeline: &Timeline, now: Timestamp) -> Option<Check> {
    let recent = timeline.absences.iter();
    let recent = recent.filter(|(at, _)| now.since(*at) < Span::days(30));
    let count = |excused: bool| {
        let those = recent.clone().filter(|(_, it)| *it == excused);
        let instants: BTreeSet<Timestamp> = those.map(|(at, _)| *at).collect();
        instants.len()
    };
    let (excused, beyond) = (count(true), count(false));
    let result = match (excused, beyond) {
        (0, 0) => return None,
        (_, 0) => format!(
            "began anew after a long absence: not counted as a change; {excused} of {ABSENCES_30D_MAX} in 30 days used up"
        ),
        _ => format!(
            "counted: {} from a long absence as another, beyond the {ABSENCES_30D_MAX} in 30 days that are excused",
            counted(beyond, "return")
        ),
    };
    Some(Check {
        name: "absence",
        result,
        explains: beyond == 0,
    })
}

/// Says what of a history that is too long was left out; `None` if it was judged whole.
pub(super) fn left_out_check(left_out: Option<&LeftOut>, points: &[&ChangePoint]) -> Option<Check> {
    let listed = points.iter().filter(|point| point.has_sets).count();
    let unlisted = (listed < points.len()).then(|| {
        format!(
            "of {} in 7 days the newest {listed} are listed",
            counted(points.len(), "change")
        )
    });
    let unread = left_out.map(|part| {
        format!(
            "more changes than are judged: those before {} are left out, the counts are at least what is said, and their values count as seen before",
            part.until
        )
    });
    let result: Vec<String> = unread.into_iter().chain(unlisted).collect();
    (!result.is_empty()).then(|| Check {
        name: "length of the history",
        result: result.join("; "),
        explains: false,
    })
}

/// Returns the instants that can be listed with their sets.
pub(super) fn listed(points: &[&ChangePoint]) -> Vec<ChangePoint> {
    let listed = points.iter().filter(|point| point.has_sets);
    listed.map(|point| (*point).clone()).collect()
}

/// Raises a level to review where an excuse is used up, or where a part of the last 7 days is left out: who changes
/// so often is worth a look, and nobody gets calm by changes that push others out.
pub(super) fn at_least_reviewed(
    level: Option<Level>,
    is_cut: bool,
    is_used_up: bool,
) -> Option<Level> {
    match (is_cut, is_used_up) {
        (_, true) => level.max(Some(Level::Review)),
        (true, false) => level.map(|level| level.max(Level::Review)),
        (false, false) => level,
    }
}

/// Returns how many instants, bulk ones left out, lie in the last 24 hours, 72 hours and 7 days.
pub(super) fn change_counts(points: &[&ChangePoint], now: Timestamp) -> [u32; 3] {
    [Span::hours(24), Span::hours(72), Span::days(7)].map(|span| {
        points
            .iter()
            .filter(|point| !point.is_excused && now.since(point.moment.at) < span)
            .count() as u32
    })
}

/// Returns the points of a mean stay: those of the first step that it does not exceed.
pub(super) fn tenure_points(tenure: Option<f64>, steps: [(f64, f64); 3]) -> f64 {
    tenure
        .and_then(|hours| steps.into_iter().find(|(hours_max, _)| hours <= *hours_max))
        .map_or(0.0, |(_, points)| points)
}

/// Returns a mean stay in words.
pub(super) fn tenure_text(tenure: Option<f64>) -> String {
    tenure.map_or_else(
        || "none left in the window".to_owned(),
        |hours| format!("{hours:.1} h"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn third_registration_of_a_month_is_not_believed_and_two_sources_are_one() {
        let day = |day: i64| Timestamp::from_unix(day * 86_400);
        let told = [day(1), day(1) + Span::hours(2), day(9), day(20)];
        assert_eq!(
            believed_resets(&told, day(25)),
            [day(1) + Span::hours(2), day(9)]
        );
        assert_eq!(
            last_reset(&[day(1), day(9), day(40)], day(41)),
            Some(day(40))
        );
        assert_eq!(last_reset(&told, day(5)), Some(day(1) + Span::hours(2)));
    }

    #[test]
    fn points_of_a_stay_are_those_of_the_first_step_it_does_not_exceed() {
        let steps = [(24.0, 15.0), (48.0, 10.0), (96.0, 5.0)];
        let points = [Some(24.0), Some(24.1), Some(96.0), Some(96.1), None]
            .map(|hours| tenure_points(hours, steps));
        assert_eq!(points, [15.0, 10.0, 5.0, 0.0, 0.0]);
    }
}
