//! The worker that empties the outbox.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::daemon::common::Common;

/// The worker's name.
const POST: &str = "mail and webhooks";
/// How often the outbox is looked at when nothing else happens.
const OUTBOX_EVERY: Duration = Duration::from_secs(30);
/// How often a pass asks whether another configuration is in force.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Delivers until the service stops.
pub(super) fn deliver(common: &Arc<Common>, runtime: &Handle) {
    let Some(mut pipeline) = common.open(POST) else {
        return;
    };
    while !common.stop.is_set() {
        // Read before the setup: a reload between the two ends the pass at once instead of being missed.
        let generation = common.generation.load(Ordering::SeqCst);
        pipeline.take_over(&common.setup());
        // What a server has just taken is noted before the service ends, or goes on with another configuration.
        match runtime.block_on(
            pipeline
                .notify()
                .deliver_until(interrupted(common, generation)),
        ) {
            Ok(_) if common.stop.is_set() => return,
            Ok(_) => {
                common.clear(POST);
                common.post.wait(OUTBOX_EVERY);
            }
            Err(error) => {
                if !common.heal(POST, pipeline.store(), error) {
                    return;
                }
            }
        }
    }
}

/// Returns when the service stops or another configuration than that of a generation is in force.
async fn interrupted(common: &Common, generation: u64) {
    tokio::select! {
        () = common.stop.heard() => {}
        () = async {
            while common.generation.load(Ordering::SeqCst) == generation {
                sleep(LOOK_EVERY).await;
            }
        } => {}
    }
}
