//! What a person at the desk does: steps with cases, exemptions, notices, messages of the outbox, previews.
//!
//! Whoever shows the desk to people, the command line today, reads what was typed, calls one function of this room and
//! prints what comes back. A function that changes something opens one transaction, reads what it decides on inside
//! it, writes the change and the audit row that names who did it, and commits once: after a crash both are there or
//! neither. Nothing here prints, waits for a network or knows what an exit status is; a [`DeskError`] says whether
//! what was asked for is not there, cannot be done, or was not understood.
//!
//! - [`filter`]: which case, which cases
//! - [`step`]: acknowledge, dismiss, close, reopen, assign, note
//! - [`exempt`]: an exemption and the open cases that it touches
//! - [`notice`]: approve or reject the notice to a third party
//! - [`outbox`]: try messages again, take them out
//! - [`numbers`]: what the desk did in a month
//! - [`pace`]: how often a domain changed lately
//! - [`preview`]: the mail of a case, as queued or as it would be
//! - [`zones`]: a held zone accepted
//!
//! A dry run calls what decides and skips what writes.

mod error;
pub mod exempt;
pub mod filter;
pub mod notice;
pub mod numbers;
pub mod outbox;
pub mod pace;
pub mod preview;
pub mod step;
pub mod zones;

pub use error::DeskError;
