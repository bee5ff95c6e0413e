//! How much a provider's excuse excuses in all.
//!
//! A name server that many stable names use is a provider's, and its customers' changes of name are not counted. Whoever
//! parks twenty names makes a provider of his own servers. So the excuse is as large as what earned it: within 7 days the
//! names of a zone that use a small provider may together change again as often as stable names vouch for it.

use crate::count::counted;
use crate::detector::finding::{Check, Level, PlaneFinding};
use crate::dns::Name;
use crate::time::Span;

/// In what time repeated changes are counted.
pub const VOUCHED_WITHIN: Span = Span::days(7);
/// From how many stable names on a provider is large, and its users' changes are not counted. Chosen by hand: so many
/// names, left alone for a month, are dearer than name servers under other domains.
pub const LARGE_PROVIDER_NAMES: u32 = 200;
/// Change instants of 7 days from which somebody asks: below that nothing is hidden.
const CHANGES_ASKED_MIN: u32 = 3;

/// What the users of a provider did, and who vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouching {
    /// The provider: an operator domain.
    pub operator: Name,
    /// Names that use it and have not changed their name servers for long.
    pub stable_names: u32,
    /// Changes of 7 days of names that use or used it, the first of each name left out: one move is no rotation.
    pub repeated_changes: u32,
}

impl Vouching {
    /// Returns whether users changed more often than the provider excuses.
    pub fn is_used_up(&self) -> bool {
        self.repeated_changes > self.stable_names
    }

    /// Says it on the plane of name servers that are all a provider's, which is at least reviewed where the excuse is
    /// used up.
    pub fn judge_on(&self, plane: &mut PlaneFinding) {
        let is_used_up = self.is_used_up();
        let operator = self.operator.to_text_without_dot();
        let stable = counted(self.stable_names as usize, "stable name");
        let end = if is_used_up {
            "more than that: reviewed".to_owned()
        } else {
            format!("{} of {} used up", self.repeated_changes, self.stable_names)
        };
        plane.checks.push(Check {
            name: "what a small provider excuses in all",
            result: format!(
                "{} of this zone's users of {operator} in 7 days, the first of each name left out; {stable} vouch for as many: {end}",
                counted(self.repeated_changes as usize, "change"),
            ),
            explains: !is_used_up && self.repeated_changes > 0,
        });
        if is_used_up {
            plane.level = plane.level.max(Some(Level::Review));
        }
    }
}

/// Returns whether it matters how often others changed: a plane that is not reviewed, with some changes, of name servers
/// that are all a provider's.
pub fn is_vouching_asked(plane: &PlaneFinding) -> bool {
    plane.level < Some(Level::Review)
        && plane.change_counts[2] >= CHANGES_ASKED_MIN
        && !plane.names.is_empty()
        && plane.names.iter().all(|name| name.popular)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excuse_is_as_large_as_the_number_of_names_that_earned_it() {
        let vouching = |repeated_changes| Vouching {
            operator: Name::parse("park.example").expect("valid"),
            stable_names: 25,
            repeated_changes,
        };
        assert!(!vouching(25).is_used_up());
        assert!(vouching(26).is_used_up());
    }
}
