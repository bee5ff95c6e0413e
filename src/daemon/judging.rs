//! The worker that judges what the others stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::daemon::common::{Common, options};

/// The worker's name.
const JUDGING: &str = "judging";
/// How long one zone is judged before the next one has its turn.
const TURN: Duration = Duration::from_secs(2);
/// How long it is waited for something to judge before it is asked whether the service stops.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Judges until the service stops.
pub(super) fn judge(common: &Arc<Common>) {
    let Some(mut pipeline) = common.open(JUDGING) else {
        return;
    };
    while !common.stop.is_set() {
        let Some(matter) = common.docket.take(LOOK_EVERY) else {
            continue;
        };
        pipeline.take_over(&common.setup());
        let goes_on = || !common.stop.is_set();
        let judged = pipeline.judge_matter(
            &common.docket,
            &matter,
            Instant::now() + TURN,
            &options(),
            &goes_on,
        );
        common.post.ring();
        match judged {
            Ok(left) => {
                common.clear(JUDGING);
                left.into_iter().for_each(|it| common.docket.put_back(it));
            }
            Err(error) => {
                common.docket.put_back(matter);
                if !common.heal(JUDGING, pipeline.store(), error) {
                    return;
                }
            }
        }
        if common.docket.is_empty()
            && let Err(error) = pipeline.store().checkpoint()
            && !common.heal(JUDGING, pipeline.store(), error.into())
        {
            return;
        }
    }
}
