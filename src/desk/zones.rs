//! Zones whose newest version waits for a person.

use crate::desk::error::DeskError;
use crate::dns::Name;
use crate::store::Store;
use crate::time::Timestamp;

/// Asks the poller to take the next version of a held zone although it shrank, in one transaction with a line of the
/// desk's log.
///
/// # Errors
///
/// [`DeskError::NotFound`] if history does not know the zone; [`DeskError::Refused`] if it is not held: who asks saw an
/// older page, and an acceptance that waits would let the next fault through.
pub fn accept(store: &Store, zone: &Name, who: &str, now: Timestamp) -> Result<(), DeskError> {
    let tx = store.begin_batch()?;
    if !store.zones().request_accept_of_held(zone)? {
        return Err(match store.zones().find_zone(zone)? {
            None => DeskError::not_found(format!("no zone {zone}")),
            Some(_) => DeskError::refused(format!(
                "zone {zone} is not held, so there is nothing to accept; load the page again"
            )),
        });
    }
    note_acceptance(store, zone, who, now)?;
    tx.commit()?;
    Ok(())
}

/// [`accept`], also of a zone that is not held: its next version is taken whatever it is.
///
/// # Errors
///
/// [`DeskError::NotFound`] if history does not know the zone.
pub fn accept_next(store: &Store, zone: &Name, who: &str, now: Timestamp) -> Result<(), DeskError> {
    let tx = store.begin_batch()?;
    if !store.zones().request_accept(zone)? {
        let zone = zone.to_text_without_dot();
        let what = format!("history does not know the zone {zone}");
        return Err(DeskError::not_found(what));
    }
    note_acceptance(store, zone, who, now)?;
    tx.commit()?;
    Ok(())
}

/// Notes in the desk's log who accepts the next version of a zone.
pub fn note_acceptance(
    store: &Store,
    zone: &Name,
    who: &str,
    now: Timestamp,
) -> Result<(), DeskError> {
    let zone = zone.to_text_without_dot();
    tracing::info!(zone, who, "zone {zone}: {who} accepts its next version");
    let note = format!("zone {zone}: its next version accepted although it shrank");
    Ok(store.desk().append_desk_event(now, who, &note)?)
}
