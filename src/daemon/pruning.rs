//! Forgets what is too old while the loop goes on, with a connection of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::config::Config;
use crate::pipeline::{PipelineError, Retention};
use crate::store::{Store, StoreOptions};
use crate::time::Timestamp;

/// At most one thread that prunes. Dropping it waits for the transaction that runs, which is short.
#[derive(Default)]
pub struct Pruning {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pruning {
    /// Starts to prune, unless that is being done.
    pub fn start(&mut self, config: Arc<Config>, now: Timestamp) {
        if self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            return;
        }
        let ends = self.ends.clone();
        let work = move || {
            if let Err(error) = prune(&config, now, &ends) {
                tracing::error!("cannot prune old history: {error}");
            }
        };
        match std::thread::Builder::new()
            .name("prune".to_owned())
            .spawn(work)
        {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => tracing::error!("cannot start a thread to prune with: {error}"),
        }
    }
}

impl Drop for Pruning {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

/// Prunes with a connection of its own.
fn prune(config: &Config, now: Timestamp, ends: &AtomicBool) -> Result<(), PipelineError> {
    let options = StoreOptions {
        reverse_index: config.reverse_index,
        create: false,
    };
    let store = Store::open(&config.store_url, options)?;
    Retention::new(&store, config, now).prune_daily(|_| !ends.load(Ordering::Relaxed))
}
