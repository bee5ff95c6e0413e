//! A second service on a server's database: it stands by, and takes over.

use std::time::Duration;

use crate::daemon::systemd::{notify_alive, notify_ready};
use crate::place::StoreUrl;
use crate::store::{PollerLock, StoreError};

/// How often who stands by asks whether it is its turn.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// Takes the lock of a server's database. A second service stands by until the first one ends or its host is gone.
pub fn stand_by(at: &StoreUrl) -> Result<PollerLock, StoreError> {
    let mut is_told = false;
    loop {
        if let Some(lock) = PollerLock::take(at, false)? {
            if is_told {
                tracing::info!("took the poller's lock of {at}: this process polls now");
            }
            return Ok(lock);
        }
        if !is_told {
            let who = PollerLock::holder(at).map_or(String::new(), |it| format!(" ({it})"));
            let line = format!(
                "another fluxwatch{who} polls into {at}: standing by, to take over when it ends"
            );
            tracing::info!("{line}");
            notify_ready(&line);
            is_told = true;
        }
        notify_alive();
        std::thread::sleep(ASK_EVERY);
    }
}
