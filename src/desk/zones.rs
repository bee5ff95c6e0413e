//! Zones whose newest version waits for a person.

use crate::desk::error::DeskError;
use crate::dns::Name;
use crate::store::Store;

/// Asks the poller to take the next version of a zone although it shrank. The log of the program says who asked.
///
/// # Errors
///
/// [`DeskError::NotFound`] if history does not know the zone.
pub fn accept(store: &Store, zone: &Name, who: &str) -> Result<(), DeskError> {
    if !store.zones().request_accept(zone)? {
        return Err(DeskError::not_found(format!("no zone {zone}")));
    }
    tracing::info!(zone = %zone, who, "zone {zone}: {who} accepts the version that is held");
    Ok(())
}
