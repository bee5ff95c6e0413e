//! Zones whose newest version waits for a person.

use crate::desk::error::DeskError;
use crate::dns::Name;
use crate::store::Store;

/// Asks the poller to take the next version of a held zone although it shrank. The log of the program says who asked.
///
/// # Errors
///
/// [`DeskError::NotFound`] if history does not know the zone; [`DeskError::Refused`] if it is not held: who asks saw an
/// older page, and an acceptance that waits would let the next fault through.
pub fn accept(store: &Store, zone: &Name, who: &str) -> Result<(), DeskError> {
    if !store.zones().request_accept_of_held(zone)? {
        return Err(match store.zones().find_zone(zone)? {
            None => DeskError::not_found(format!("no zone {zone}")),
            Some(_) => DeskError::refused(format!(
                "zone {zone} is not held, so there is nothing to accept; load the page again"
            )),
        });
    }
    tracing::info!(zone = %zone, who, "zone {zone}: {who} accepts the version that is held");
    Ok(())
}
