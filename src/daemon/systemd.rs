//! What systemd is told (sd_notify): ready, alive, reloading, stopping. Nothing elsewhere.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::time::Span;

/// Tells that the service is ready, with a line for `systemctl status`.
pub(super) fn tell_ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells that the loop goes round.
pub(super) fn tell_alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Tells that the configuration is read anew.
pub(super) fn tell_reloading() {
    if let Ok(monotonic) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, monotonic]);
    }
}

/// Tells that the service stops.
pub(super) fn tell_stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Returns how often the loop must go round at least, if systemd watches it.
pub(super) fn alive_every() -> Option<Span> {
    let limit: Duration = sd_notify::watchdog_enabled()?;
    Some(Span::seconds((limit.as_secs() / 2).max(1) as i64))
}

/// Sends a message to systemd, if there is one.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told: {error}");
    }
}
