//! Calls that block, on threads that nobody waits for.
//!
//! A runtime that ends waits for its blocking tasks; a service that is asked to stop must not wait for a webhook that
//! says nothing, nor for a resolver. Such a thread ends with its call or with the process.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Runs a call that blocks. Dropped, it leaves the call alone, and what that returns is lost.
///
/// # Errors
///
/// If no thread can be had, or the call panics.
pub(super) async fn run_blocking<T: Send + 'static>(
    name: &str,
    call: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (sender, answer) = oneshot::channel();
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // Nobody may be there any more.
            let _ = sender.send(call());
        })?;
    answer
        .await
        .map_err(|_| io::Error::other(format!("the thread of a {name} ended early")))
}
