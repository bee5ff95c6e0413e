//! Messages of the outbox: tried again, taken out.

use crate::desk::error::DeskError;
use crate::store::{MessageState, Store};
use crate::time::Timestamp;

/// Makes messages due now: one, or all that wait or were given up. Returns how many.
///
/// # Errors
///
/// [`DeskError::NotFound`] if the one that was named does not wait.
pub fn retry(store: &Store, message: Option<i64>, now: Timestamp) -> Result<usize, DeskError> {
    let count = store.desk().retry_messages(message, now)?;
    match message {
        Some(id) if count == 0 => {
            let what = format!("no message {id} waits to be sent");
            Err(DeskError::not_found(what))
        }
        _ => Ok(count),
    }
}

/// Returns how many messages [`retry`] would try.
///
/// # Errors
///
/// [`DeskError::Store`].
pub fn retryable(store: &Store, message: Option<i64>) -> Result<usize, DeskError> {
    let undone = store.desk().undone_messages()?;
    let would = undone.iter().filter(|row| match message {
        Some(id) => row.id == id,
        None => row.state != MessageState::Sent,
    });
    Ok(would.count())
}

/// Takes a message out of the outbox, in one transaction with the log line of its case. Returns to whom it was; `None`
/// if it neither waits, nor was given up, nor came back.
///
/// # Errors
///
/// [`DeskError::Store`].
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
    let to = row.shown_recipient();
    let case = match row.message.case_id {
        Some(case) => store.desk().case_by_id(case)?,
        None => None,
    };
    if let Some(row) = case {
        let note = format!("message {id} to {to} dropped");
        let state = row.case.state;
        store
            .desk()
            .append_case_event(row.id, now, state, who, &note)?;
    }
    tx.commit()?;
    Ok(Some(to))
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
