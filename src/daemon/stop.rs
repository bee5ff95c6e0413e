//! How the workers of the service hear that it stops.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// Says, once and for good, that the service stops. Clones say the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<Said>);

/// What the clones share.
#[derive(Debug, Default)]
struct Said {
    is_set: AtomicBool,
    /// Held while it is said, so that nobody falls asleep meanwhile.
    asleep: Mutex<()>,
    /// Wakes threads.
    bell: Condvar,
    /// Wakes tasks.
    notify: Notify,
}

impl Stop {
    /// Says it.
    pub fn set(&self) {
        let asleep = self.0.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.is_set.store(true, Ordering::SeqCst);
        drop(asleep);
        self.0.bell.notify_all();
        self.0.notify.notify_waiters();
    }

    /// Returns whether it was said.
    pub fn is_set(&self) -> bool {
        self.0.is_set.load(Ordering::SeqCst)
    }

    /// Sleeps in a thread. Returns whether the service stops.
    pub fn sleep(&self, time: Duration) -> bool {
        let asleep = self.0.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        let goes_on = |(): &mut ()| !self.is_set();
        let woken = self.0.bell.wait_timeout_while(asleep, time, goes_on);
        drop(woken);
        self.is_set()
    }

    /// Returns when the service stops. Safe to drop and call again.
    pub async fn heard(&self) {
        loop {
            let notified = self.0.notify.notified();
            tokio::pin!(notified);
            // From here on no call is missed.
            notified.as_mut().enable();
            if self.is_set() {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test(flavor = "multi_thread")]
    async fn threads_and_tasks_hear_it_at_once_and_ever_after() {
        let stop = Stop::default();
        assert!(!stop.sleep(Duration::from_millis(1)));
        let (thread, task) = (stop.clone(), stop.clone());
        let began = Instant::now();
        let thread = std::thread::spawn(move || thread.sleep(Duration::from_secs(60)));
        let task = tokio::spawn(async move { task.heard().await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        stop.set();
        task.await.expect("heard");
        assert!(thread.join().expect("heard"));
        stop.heard().await;
        assert!(stop.sleep(Duration::from_secs(60)));
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
