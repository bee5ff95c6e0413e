//! By which exemptions cases are held, kept from one question to the next.

use std::collections::HashMap;

use crate::case::{Case, Exemption};
use crate::dns::Name;
use crate::time::Timestamp;

/// The most cases of which it is kept by which exemption they are held.
const HELD_BY_MAX: usize = 10_000;

/// By which exemptions cases were found to be held, as of their last judgements. What was found is computed once for each
/// judgement, and not anew in every transaction in which a mail goes a step on.
#[derive(Default)]
pub(in crate::pipeline) struct HeldBy {
    /// The exemptions that were in force.
    exemptions: Vec<Exemption>,
    cases: HashMap<Judgement, Option<i64>>,
}

/// What tells one judgement of a case from another: the domain, what was found, and as of when.
type Judgement = (Name, Timestamp, Timestamp, &'static str, &'static str, u64);

/// Returns the last judgement of a case.
fn judgement_of(case: &Case) -> Judgement {
    (
        case.domain.clone(),
        case.evaluated_at,
        case.last_change_at,
        case.verdict.word(),
        case.level.word(),
        case.score.to_bits(),
    )
}

impl HeldBy {
    /// Returns what is known of a case under some exemptions.
    pub(in crate::pipeline) fn of(
        &mut self,
        exemptions: &[Exemption],
        case: &Case,
    ) -> Option<Option<i64>> {
        if self.exemptions != exemptions || self.cases.len() >= HELD_BY_MAX {
            self.cases.clear();
            self.exemptions = exemptions.to_vec();
        }
        self.cases.get(&judgement_of(case)).copied()
    }

    /// Keeps what was found of a case under the exemptions that were asked about last.
    pub(in crate::pipeline) fn note(&mut self, case: &Case, held_by: Option<i64>) {
        self.cases.insert(judgement_of(case), held_by);
    }
}
