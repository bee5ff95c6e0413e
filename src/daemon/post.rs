//! The worker that empties the outbox.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::daemon::common::Common;

/// The worker's name.
const POST: &str = "mail and webhooks";
/// How often the outbox is looked at when nothing else happens.
const OUTBOX_EVERY: Duration = Duration::from_secs(30);

/// Delivers until the service stops.
pub(super) fn deliver(common: &Arc<Common>, runtime: &Handle) {
    let Some(mut pipeline) = common.open(POST) else {
        return;
    };
    while !common.stop.is_set() {
        pipeline.take_over(&common.setup());
        let delivered = runtime.block_on(async {
            tokio::select! {
                biased;
                () = common.stop.heard() => None,
                delivered = pipeline.deliver() => Some(delivered),
            }
        });
        match delivered {
            None => return,
            Some(Ok(_)) => common.post.wait(OUTBOX_EVERY),
            Some(Err(error)) => {
                if !common.heal(POST, pipeline.store(), error) {
                    return;
                }
            }
        }
    }
}
