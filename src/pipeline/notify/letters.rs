//! What a row of the outbox is to a case.

use crate::case::Letter;
use crate::store::{MailKind, MessageRow};

/// Returns what a message about a case is; `None` for what is about no single case.
pub(in crate::pipeline) fn letter_of(row: &MessageRow) -> Option<Letter> {
    match row.message.kind {
        MailKind::Report | MailKind::Update => Some(Letter::Report),
        MailKind::Closure => Some(Letter::Closure),
        MailKind::Notice => Some(Letter::Notice),
        // The row of a post says in its subject what it is about.
        MailKind::Webhook if is_post_of(row, MailKind::Closure) => Some(Letter::Closure),
        MailKind::Webhook => Some(Letter::Report),
        MailKind::Digest | MailKind::Bulk | MailKind::Blindness => None,
    }
}

/// Returns whether a post to a webhook is about a mail of a kind.
fn is_post_of(row: &MessageRow, kind: MailKind) -> bool {
    row.message.kind == MailKind::Webhook && row.message.subject.starts_with(kind.word())
}

/// Returns whether a message tells somebody of a case for the first time.
pub(in crate::pipeline) fn is_first(row: &MessageRow) -> bool {
    row.message.kind == MailKind::Report || is_post_of(row, MailKind::Report)
}

/// Returns whether a message is a report or an update, or what a webhook hears of either.
pub(in crate::pipeline) fn is_report(row: &MessageRow) -> bool {
    letter_of(row) == Some(Letter::Report)
}
