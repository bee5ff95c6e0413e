//! What systemd is told (sd_notify): ready, alive, reloading, stopping. Nothing elsewhere.

use sd_notify::NotifyState;

/// Tells that the service is ready, with a line for `systemctl status`.
pub(super) fn tell_ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells that the service is alive.
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

/// Tells what the service does now, or what holds it up, for `systemctl status`.
pub(super) fn tell_status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Sends a message to systemd, if there is one.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told: {error}");
    }
}
