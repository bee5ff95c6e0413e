//! Why the desk cannot do what was asked.

use crate::dns::NameError;
use crate::pipeline::PipelineError;
use crate::store::StoreError;

/// Why the desk cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// What was asked for is not there.
    #[error("{sentence}")]
    NotFound {
        /// What is not there.
        sentence: String,
        /// The cure.
        hint: Option<&'static str>,
    },
    /// It is there, and cannot be done as it stands.
    #[error("{sentence}")]
    Refused {
        /// Why.
        sentence: String,
        /// The cure.
        hint: Option<&'static str>,
    },
    /// The case changed since it was looked at.
    #[error("case {0} changed since you looked at it; nothing was done")]
    Stale(String),
    /// What was asked cannot be meant.
    #[error("{sentence}")]
    Invalid {
        /// The field that it was given in, if it was one: an option of a command, a field of a form.
        field: Option<&'static str>,
        /// Why.
        sentence: String,
    },
    /// What stands where a name is wanted is none.
    #[error("{text:?} is not a domain name: {fault}")]
    Name {
        /// What was given.
        text: String,
        /// Why it is none.
        fault: NameError,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A finding or a mail that cannot be made.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

impl DeskError {
    /// What was asked for is not there.
    pub(super) fn not_found(sentence: impl Into<String>) -> Self {
        Self::NotFound {
            sentence: sentence.into(),
            hint: None,
        }
    }

    /// What was asked for is there, and cannot be done.
    pub(super) fn refused(sentence: impl Into<String>) -> Self {
        Self::Refused {
            sentence: sentence.into(),
            hint: None,
        }
    }

    /// What was asked cannot be meant.
    pub(super) fn invalid(sentence: impl Into<String>) -> Self {
        Self::Invalid {
            field: None,
            sentence: sentence.into(),
        }
    }

    /// What was given in a field cannot be meant.
    pub(super) fn invalid_field(field: &'static str, sentence: impl Into<String>) -> Self {
        Self::Invalid {
            field: Some(field),
            sentence: sentence.into(),
        }
    }

    /// Adds the cure, where one is kept.
    pub(super) fn with_hint(mut self, cure: &'static str) -> Self {
        if let Self::NotFound { hint, .. } | Self::Refused { hint, .. } = &mut self {
            *hint = Some(cure);
        }
        self
    }
}
