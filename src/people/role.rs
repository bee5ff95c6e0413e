//! What a person or a token may do.

use serde::Serialize;

/// What a person or a token may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads every page.
    Viewer,
    /// Takes steps with cases, edits and rejects drafts.
    Reviewer,
    /// Sends: approves drafts, resends, exempts, decides on the outbox and on held zones.
    Approver,
}

impl Role {
    /// Every role, from the least.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Reviewer, Self::Approver];

    /// Returns the word in files and listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Reviewer => "reviewer",
            Self::Approver => "approver",
        }
    }

    /// Returns the role that [`Role::word`] gave `word` for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}
