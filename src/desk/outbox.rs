//! Messages of the outbox: tried again, taken out. Each step stands in the log of the message's case, or in the desk's
//! own log if it is of no single case.

use crate::desk::error::DeskError;
use crate::store::{MessageRow, MessageState, Store};
use crate::time::Timestamp;

/// Makes messages due now: one, or all that wait or were given up. In one transaction with a log line for each. Returns
/// how many.
///
/// # Errors
///
/// [`DeskError::NotFound`] if the one that was named does not wait.
pub fn retry(
    store: &Store,
    message: Option<i64>,
    who: &str,
    now: Timestamp,
) -> Result<usize, DeskError> {
    let tx = store.begin_batch()?;
    // Read in the transaction: whoever delivers may have taken one meanwhile.
    let undone = store.desk().undone_messages()?;
    let retried = store.desk().retry_messages(message, now)?;
    for row in undone.iter().filter(|row| retried.contains(&row.id)) {
        let was = row.standing();
        let what = format!("to be tried again; it was {was}");
        note_step(store, row, &what, (who, now))?;
    }
    tx.commit()?;
    match message {
        Some(id) if retried.is_empty() => {
            let what = format!("no message {id} waits to be sent");
            Err(DeskError::not_found(what))
        }
        _ => Ok(retried.len()),
    }
}

/// Returns how many messages [`retry`] would try.
pub fn retryable(store: &Store, message: Option<i64>) -> Result<usize, DeskError> {
    let undone = store.desk().undone_messages()?;
    let would = undone.iter().filter(|row| match message {
        Some(id) => row.id == id,
        None => row.state != MessageState::Sent,
    });
    Ok(would.count())
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
