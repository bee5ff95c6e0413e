//! The worker that judges what the others stored.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::config::Fault;
use crate::daemon::common::{Common, options};
use crate::pipeline::{Setup, Stage, record_stage};
use crate::time::Clock as _;

/// The worker's name.
const JUDGING: &str = "judging";
/// How long one zone is judged before the next one has its turn.
const TURN: Duration = Duration::from_secs(2);
/// How long it is waited for something to judge before it is asked whether the service stops.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often the files of tables are looked at while one cannot be used.
const TABLES_LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often tables are read anew while one cannot be used, although no file changed: what it does not know may be in
/// the zones by now.
const TABLES_READ_EVERY: Duration = Duration::from_secs(600);

/// Judges until the service stops.
pub(super) fn judge(common: &Arc<Common>) {
    let Some(mut pipeline) = common.open(JUDGING) else {
        return;
    };
    let mut may_have_stored = true;
    // The configuration that was taken over.
    let mut noted = None;
    while !common.stop.is_set() {
        let generation = common.generation.load(Ordering::SeqCst);
        let setup = common.setup();
        if !setup.waiting_for().is_empty() {
            wait_for_tables(common, &setup);
            may_have_stored = true;
            continue;
        }
        if may_have_stored || noted != Some(generation) {
            let noted_now = common.note_watched(&mut pipeline);
            let judge = pipeline.judge();
            let judged = noted_now.and_then(|()| judge.judge_anew(&|| !common.stop.is_set()));
            if let Err(error) = judged {
                if common.heal(JUDGING, pipeline.store(), error) {
                    continue;
                } else {
                    return;
                }
            }
            common.clear(JUDGING);
            if std::mem::take(&mut may_have_stored) {
                common.docket.note_stored();
            }
            noted = Some(generation);
        }
        if !common.first_reading.is_over(common.docket.progress()) {
            common.stop.sleep(LOOK_EVERY);
            continue;
        }
        let Some(matter) = common.docket.take(LOOK_EVERY) else {
            continue;
        };
        pipeline.take_over(&common.setup());
        let goes_on = || !common.stop.is_set();
        let began = Instant::now();
        let judged = pipeline.judge().judge_matter(
            &common.docket,
            &matter,
            Instant::now() + TURN,
            &options(),
            &goes_on,
        );
        record_stage(Stage::Judge, began.elapsed());
        // Also after a fault: mail of what was judged before it is committed.
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
            && let Err(error) = pipeline.store().upkeep().checkpoint()
            && !common.heal(JUDGING, pipeline.store(), error.into())
        {
            return;
        }
    }
}

/// Waits until every table can be used, or the service stops; says why meanwhile. What is to be judged stays on the
/// docket, and in the zones' rows.
///
/// A file that was written, and is not being written any more, has the configuration read anew.
fn wait_for_tables(common: &Common, setup: &Setup) {
    let faults: Vec<String> = setup.waiting_for().iter().map(Fault::in_one_line).collect();
    let sentence = format!(
        "zones are watched and nothing is judged: {}",
        faults.join("; ")
    );
    let mut told_until = Instant::now();
    let mut read_at = Instant::now() + TABLES_READ_EVERY;
    let mut read = setup.stamps_read().to_vec();
    let mut seen = read.clone();
    while !common.stop.is_set() && !common.setup().waiting_for().is_empty() {
        if Instant::now() >= told_until {
            let now = common.clock.now();
            let pause = common.troubles.note(JUDGING, sentence.clone(), None, now);
            told_until = Instant::now() + pause;
        }
        let stamps = setup.stamps();
        // Twice the same, or the file is still being written.
        if (stamps != read && stamps == seen) || Instant::now() >= read_at {
            read.clone_from(&stamps);
            read_at = Instant::now() + TABLES_READ_EVERY;
            common.reread.notify_one();
        }
        seen = stamps;
        common.stop.sleep(TABLES_LOOK_EVERY);
    }
    if !common.stop.is_set() {
        common.clear(JUDGING);
    }
}
