//! What systemd is told (sd_notify): ready, alive, reloading, stopping. Nothing elsewhere.

use sd_notify::NotifyState;

/// Tells that the service is ready, with a line for `systemctl status`.
pub(super) fn notify_ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells that the service is alive.
pub(super) fn notify_alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Tells that the configuration is read anew.
pub(super) fn notify_reloading() {
    if let Ok(monotonic) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, monotonic]);
    }
}

/// Tells that the service stops.
pub(super) fn notify_stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells what the service does now, or what holds it up, for `systemctl status`.
pub(super) fn notify_status(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

/// Sends a message to systemd, if there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot notify systemd: {error}");
    }
}
