//! The canary: a domain of yours whose scheduled changes must be seen and suspected.
//!
//! Everything else that fails says so. A monitor that polls the wrong server, or whose detector was
//! configured to sleep, fails silently; only a change that must be noticed can tell. The canary's case
//! is a test and is never reported.

use crate::config::CanaryConfig;
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::store::{HistoryScope, Store, StoreError};
use crate::time::Timestamp;

/// How the canary is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CanaryState {
    /// Its last change was seen in time, and it is suspected.
    Well {
        /// When its last change was seen.
        changed_at: Timestamp,
    },
    /// Its changes are not seen.
    Unseen {
        /// When the last one was; `None` if none ever was.
        changed_at: Option<Timestamp>,
    },
    /// Its changes are seen and nothing is suspected.
    Unsuspected {
        /// When its last change was seen.
        changed_at: Timestamp,
    },
}

impl CanaryState {
    /// Returns the alert; `None` if all is well.
    pub fn alarm(&self, canary: &CanaryConfig) -> Option<String> {
        let (domain, every) = (&canary.domain, canary.every);
        match self {
            Self::Well { .. } => None,
            Self::Unseen { changed_at } => {
                let last = changed_at.map_or("none was ever seen".to_owned(), |at| {
                    format!("the last one seen was at {at}")
                });
                Some(format!(
                    "canary {domain}: blind: a change is due every {every}, and {last}"
                ))
            }
            Self::Unsuspected { changed_at } => Some(format!(
                "canary {domain}: blind: its changes are seen (the last at {changed_at}), but it has no open case"
            )),
        }
    }
}

/// Returns how the canary is.
pub fn check_canary(
    store: &Store,
    canary: &CanaryConfig,
    now: Timestamp,
) -> Result<CanaryState, StoreError> {
    let history = store
        .lookup()
        .history(&canary.domain, HistoryScope::AtOrBelow)?;
    // By the history and not by the case: that alone would not tell blindness from a detector that sleeps.
    let changed_at = history.changes.iter().map(|change| change.at).max();
    let Some(changed_at) = changed_at.filter(|at| now.since(*at) <= canary.every) else {
        return Ok(CanaryState::Unseen { changed_at });
    };
    let case = store.desk().find_case(&canary.domain)?;
    let is_suspected = case.is_some_and(|row| row.case.state.is_working());
    Ok(if is_suspected {
        CanaryState::Well { changed_at }
    } else {
        CanaryState::Unsuspected { changed_at }
    })
}

impl Findings<'_> {
    /// Returns the alarm of the canary, if one is configured and something is wrong with it.
    pub fn canary_alarm(&self) -> Result<Option<String>, PipelineError> {
        let Some(canary) = &self.config.canary else {
            return Ok(None);
        };
        let state = check_canary(self.store, canary, self.clock.now())?;
        Ok(state.alarm(canary))
    }

    /// Returns whether a domain is the canary, whose case is a test.
    pub(in crate::pipeline) fn is_canary(&self, domain: &Name) -> bool {
        let canary = self.config.canary.as_ref();
        canary.is_some_and(|canary| canary.domain == *domain)
    }
}
