//! What the abuse desk does with a case. Pure.

use serde::Serialize;

use crate::case::{Case, CaseEvent, CaseState};
use crate::time::Timestamp;

/// The most characters of a note and of a reason. The log keeps each for good, and every page of the case shows it.
// Chosen by hand: a page and a half of prose.
pub const NOTE_LENGTH_MAX: usize = 4000;

/// The most characters of an assignee: as many as a person's name in the file of users has.
pub const ASSIGNEE_LENGTH_MAX: usize = 64;

/// Why the desk found a case to be nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DismissReason {
    /// A content network or a load balancer.
    ContentNetwork,
    /// A move to another DNS operator.
    Migration,
    /// The registrar changed it.
    RegistrarChange,
    /// A customer of dynamic DNS.
    DynamicDns,
    /// A name for tests.
    Test,
    /// Another case is about the same.
    Duplicate,
    /// The evidence does not suffice.
    InsufficientEvidence,
    /// The domain was suspended before.
    AlreadySuspended,
    /// Not in our zones.
    NotOurs,
    /// Another reason, in a note.
    Other,
}

impl DismissReason {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::ContentNetwork,
        Self::Migration,
        Self::RegistrarChange,
        Self::DynamicDns,
        Self::Test,
        Self::Duplicate,
        Self::InsufficientEvidence,
        Self::AlreadySuspended,
        Self::NotOurs,
        Self::Other,
    ];

    /// Returns the word in listings.
    pub fn word(self) -> &'static str {
        match self {
            Self::ContentNetwork => "content-network",
            Self::Migration => "migration",
            Self::RegistrarChange => "registrar-change",
            Self::DynamicDns => "dynamic-dns",
            Self::Test => "test",
            Self::Duplicate => "duplicate",
            Self::InsufficientEvidence => "insufficient-evidence",
            Self::AlreadySuspended => "already-suspended",
            Self::NotOurs => "not-ours",
            Self::Other => "other",
        }
    }

    /// Returns the reason that a line of a log gives: the case may have been opened again since.
    pub fn of_note(note: &str) -> Option<Self> {
        let word = note.strip_prefix("dismissed as ")?;
        Self::parse(word.split(':').next().unwrap_or_default())
    }

    /// Returns the reason that [`DismissReason::word`] gave `word` for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }
}

/// A step of the desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeskStep {
    /// Somebody works on it.
    Acknowledge,
    /// It is nothing.
    Dismiss(DismissReason),
    /// It is done: by the desk's own action if `mitigated`.
    Close {
        /// Whether somebody acted on the domain.
        mitigated: bool,
    },
    /// It is not over after all.
    Reopen,
    /// Somebody's, or nobody's.
    Assign(Option<String>),
    /// Only the note.
    Note,
}

/// Why a step cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{domain} is {state}: from there it cannot be {wanted}")]
pub struct StepRefused {
    domain: String,
    state: &'static str,
    wanted: &'static str,
}

/// A text that cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextUnfit {
    /// It is too long.
    #[error("{what} has at most {length_max} characters, and this one has {length}: shorten it")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// How long it may be.
        length_max: usize,
        /// How long it is.
        length: usize,
    },
    /// It has a control character, such as the end of a line: it would split a line of the log.
    #[error("{what} is one line of text: take out the line breaks and other control characters")]
    Control {
        /// What it is.
        what: &'static str,
    },
    /// It has neither a letter nor a digit: the dots of an example that was copied.
    #[error("{what} without a letter or a digit says nothing: write your own words")]
    SaysNothing {
        /// What it is.
        what: &'static str,
    },
}

/// Checks a text: its length, and whether it says anything. The end of a line is one character, also where a browser
/// sends two.
fn check_text(what: &'static str, text: &str, length_max: usize) -> Result<(), TextUnfit> {
    let is_mark = |c: char| !c.is_alphanumeric();
    if !text.trim().is_empty() && text.chars().all(is_mark) {
        return Err(TextUnfit::SaysNothing { what });
    }
    let length = text.replace("\r\n", "\n").chars().count();
    if length > length_max {
        return Err(TextUnfit::TooLong {
            what,
            length_max,
            length,
        });
    }
    Ok(())
}

/// Checks that a note can be kept.
///
/// # Errors
///
/// [`TextUnfit`] above [`NOTE_LENGTH_MAX`].
pub fn check_note(note: Option<&str>) -> Result<(), TextUnfit> {
    check_text("a note", note.unwrap_or_default(), NOTE_LENGTH_MAX)
}

/// Checks that a reason can be kept.
///
/// # Errors
///
/// [`TextUnfit`] above [`NOTE_LENGTH_MAX`].
pub fn check_reason(reason: &str) -> Result<(), TextUnfit> {
    check_text("a reason", reason, NOTE_LENGTH_MAX)
}

/// Checks that what a step says can be kept.
///
/// # Errors
///
/// [`TextUnfit`] for a note above [`NOTE_LENGTH_MAX`] and an assignee above [`ASSIGNEE_LENGTH_MAX`].
pub fn check_texts(step: &DeskStep, note: Option<&str>) -> Result<(), TextUnfit> {
    if let DeskStep::Assign(Some(to)) = step {
        let what = "an assignee";
        if to.chars().any(char::is_control) {
            return Err(TextUnfit::Control { what });
        }
        check_text(what, to, ASSIGNEE_LENGTH_MAX)?;
    }
    check_note(note)
}

/// Returns the case after a step, and the line of its log.
///
/// # Errors
///
/// [`StepRefused`] for a step that the case's state does not have.
pub fn take_step(
    case: &Case,
    step: &DeskStep,
    note: Option<&str>,
    now: Timestamp,
) -> Result<(Case, CaseEvent), StepRefused> {
    let is_working = case.state.is_working();
    let refuse = |wanted| StepRefused {
        domain: case.domain.to_text_without_dot(),
        state: case.state.word(),
        wanted,
    };
    let mut after = case.clone();
    let what = match step {
        DeskStep::Acknowledge if case.state == CaseState::Open => {
            after.state = CaseState::Acknowledged;
            "acknowledged".to_owned()
        }
        DeskStep::Acknowledge => return Err(refuse("acknowledged")),
        DeskStep::Dismiss(reason) if is_working => {
            after.state = CaseState::Dismissed;
            after.dismissed_as = Some(*reason);
            format!("dismissed as {}", reason.word())
        }
        DeskStep::Dismiss(_) => return Err(refuse("dismissed")),
        DeskStep::Close { mitigated: true } if is_working => {
            after.state = CaseState::Mitigated;
            "mitigated by the desk".to_owned()
        }
        DeskStep::Close { mitigated: false } if is_working => {
            after.state = CaseState::Closed;
            "closed by the desk".to_owned()
        }
        DeskStep::Close { .. } => return Err(refuse("closed")),
        DeskStep::Reopen if !is_working => {
            after.state = CaseState::Open;
            after.dismissed_as = None;
            "reopened by the desk".to_owned()
        }
        DeskStep::Reopen => return Err(refuse("reopened")),
        DeskStep::Assign(to) => {
            after.assignee.clone_from(to);
            to.as_ref().map_or_else(
                || "assigned to nobody".to_owned(),
                |to| format!("assigned to {to}"),
            )
        }
        DeskStep::Note => String::new(),
    };
    if !matches!(step, DeskStep::Note | DeskStep::Assign(_)) {
        after.reviewed_at = match after.state {
            CaseState::Open => None,
            _ => case.reviewed_at.or(Some(now)),
        };
        after.pending_since = None;
    }
    let note = match (what.as_str(), note) {
        ("", note) => note.unwrap_or_default().to_owned(),
        (what, Some(note)) => format!("{what}: {note}"),
        (what, None) => what.to_owned(),
    };
    let event = CaseEvent {
        at: now,
        from: Some(case.state),
        to: after.state,
        note,
    };
    Ok((after, event))
}
