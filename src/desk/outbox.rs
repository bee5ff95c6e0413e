//! Messages of the outbox: tried again, taken out. Each step stands in the log of the message's case, or in the desk's
//! own log if it is of no single case.

use crate::case::StopReason;
use crate::desk::error::DeskError;
use crate::outbox::{ASKED_BY_NUMBER, TRIED_AGAIN};
use crate::pipeline::Pipeline;
use crate::store::{MailKind, MessageRow, MessageState, Store};
use crate::time::Timestamp;

/// What is tried again, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retried {
    /// How many messages.
    pub count: usize,
    /// Those that are left where they are, and why.
    pub skipped: Vec<(MessageRow, String)>,
}

/// Makes messages due now: one, or all that wait or were given up. In one transaction with a log line for each. One that
/// was named, or was given up, is tried for as long as a new one; it is no newer for that. Of all, those are skipped whose
/// case has ended or is exempt; who names one sends it all the same, if it is the desk's. No mail names another case that is
/// dismissed or exempt: it is written anew without that.
///
/// # Errors
///
/// [`DeskError::NotFound`] if the one that was named does not wait; [`DeskError::Refused`] if it may not leave.
pub fn retry(
    pipeline: &Pipeline,
    message: Option<i64>,
    who: &str,
    now: Timestamp,
) -> Result<Retried, DeskError> {
    let store = pipeline.store();
    let tx = store.begin_batch()?;
    // Read in the transaction: whoever delivers may have taken one meanwhile.
    let (rows, skipped) = choose(pipeline, message)?;
    let mut count = 0;
    let how = match message {
        Some(_) => ASKED_BY_NUMBER,
        None => TRIED_AGAIN,
    };
    for row in &rows {
        if store.desk().retry_message(row.id, now)? {
            let what = format!("{how}; it was {}", row.standing());
            note_step(store, row, &what, (who, now))?;
            count += 1;
        }
    }
    tx.commit()?;
    match message {
        Some(id) if count == 0 => Err(not_waiting(id)),
        _ => Ok(Retried { count, skipped }),
    }
}

/// [`retry`], without doing it.
///
/// # Errors
///
/// As those, but for one that does not wait.
pub fn retryable(pipeline: &Pipeline, message: Option<i64>) -> Result<Retried, DeskError> {
    let (rows, skipped) = choose(pipeline, message)?;
    let rows = rows.iter();
    let count = rows.filter(|row| row.state != MessageState::Sending);
    Ok(Retried {
        count: count.count(),
        skipped,
    })
}

/// Returns the error for a message that cannot be tried.
fn not_waiting(id: i64) -> DeskError {
    DeskError::not_found(format!("no message {id} waits to be sent"))
}

/// A message that is left where it is, and why.
type Skipped = (MessageRow, String);

/// Returns the messages that are tried again, and those that are not and why.
fn choose(
    pipeline: &Pipeline,
    message: Option<i64>,
) -> Result<(Vec<MessageRow>, Vec<Skipped>), DeskError> {
    let undone = pipeline.store().desk().undone_messages()?;
    let (mut chosen, mut skipped) = (Vec::new(), Vec::new());
    for row in undone {
        match message {
            Some(id) if row.id != id => {}
            Some(_) => match stop_of_named(pipeline, &row)? {
                Some(reason) => {
                    return Err(DeskError::refused(format!(
                        "message {} is not sent: {reason}",
                        row.id
                    )));
                }
                None => chosen.push(row),
            },
            None if row.state == MessageState::Sent => {}
            None => match stop_of_unnamed(pipeline, &row)? {
                Some(reason) => skipped.push((row, reason)),
                None => chosen.push(row),
            },
        }
    }
    Ok((chosen, skipped))
}

/// Returns why a message is not sent though somebody names it: a notice goes to a stranger, and a closure says of a case
/// that is open again that it is over.
fn stop_of_named(pipeline: &Pipeline, row: &MessageRow) -> Result<Option<StopReason>, DeskError> {
    match row.message.kind {
        MailKind::Notice => Ok(pipeline.notify().stop_of_message(row)?),
        _ if is_closure(row) => {
            let stop = pipeline.notify().stop_of_message(row)?;
            Ok(stop.filter(|it| *it == StopReason::OpenAgain))
        }
        _ => Ok(None),
    }
}

/// Returns whether a message tells the end of a case, by mail or to a webhook.
fn is_closure(row: &MessageRow) -> bool {
    let word = MailKind::Closure.word();
    match row.message.kind {
        MailKind::Webhook => row.message.subject.starts_with(word),
        kind => kind == MailKind::Closure,
    }
}

/// Returns why a message is not tried again unless somebody names it.
fn stop_of_unnamed(pipeline: &Pipeline, row: &MessageRow) -> Result<Option<String>, DeskError> {
    if let Some(reason) = pipeline.notify().stop_of_message(row)? {
        return Ok(Some(reason.to_string()));
    }
    let case = match row.message.case_id {
        // The end of a case is told once it is over.
        Some(id) if row.state == MessageState::Dead && !is_closure(row) => {
            pipeline.store().desk().case_by_id(id)?
        }
        _ => None,
    };
    let state = case.map(|row| row.case.state);
    let is_over = state.filter(|it| !it.is_working());
    Ok(is_over.map(|state| StopReason::Over(state).to_string()))
}

/// Takes a message out of the outbox, in one transaction with its log line. Returns to whom it was; `None` if it neither
/// waits, nor was given up, nor came back.
pub fn drop_message(
    store: &Store,
    id: i64,
    who: &str,
    now: Timestamp,
) -> Result<Option<String>, DeskError> {
    let tx = store.begin_batch()?;
    // Read in the transaction: whoever delivers may have taken it meanwhile.
    let undone = store.desk().undone_messages()?;
    let Some(row) = undone.into_iter().find(|row| row.id == id) else {
        return Ok(None);
    };
    let note = format!("dropped by {who}");
    if store.desk().drop_message(id, &note)? == 0 {
        return Ok(None);
    }
    note_step(store, &row, "dropped", (who, now))?;
    tx.commit()?;
    Ok(Some(row.shown_recipient()))
}

/// Notes a step with a message: in the log of its case, or in the desk's own.
fn note_step(
    store: &Store,
    row: &MessageRow,
    what: &str,
    (who, now): (&str, Timestamp),
) -> Result<(), DeskError> {
    let (id, to) = (row.id, row.shown_recipient());
    let note = format!("message {id} to {to} {what}");
    let case = match row.message.case_id {
        Some(case) => store.desk().case_by_id(case)?,
        None => None,
    };
    match case {
        Some(row) => {
            let state = row.case.state;
            store
                .desk()
                .append_case_event(row.id, now, state, who, &note)?;
        }
        None => store.desk().append_desk_event(now, who, &note)?,
    }
    Ok(())
}

/// [`drop_message`], without doing it.
///
/// # Errors
///
/// As that.
pub fn check_drop(store: &Store, id: i64) -> Result<Option<String>, DeskError> {
    let undone = store.desk().undone_messages()?;
    let row = undone.into_iter().find(|row| row.id == id);
    let row = row.filter(|row| row.state != MessageState::Sending);
    Ok(row.map(|row| row.shown_recipient()))
}
