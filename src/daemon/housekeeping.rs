//! The worker that looks after everything which no source asks for: alerts, the digest, metrics, the
//! canary, what is to be forgotten.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::config::RetentionConfig;
use crate::daemon::common::Common;
use crate::daemon::pruning::Pruning;
use crate::pipeline::{Pipeline, PipelineError};
use crate::store::Part;
use crate::time::{Clock, Moment, Span};

/// The worker's name.
const HOUSEKEEPING: &str = "housekeeping";
/// How often it is checked whether an alert is due.
const OPERATOR_EVERY: Span = Span::seconds(60);
/// How often the file of metrics is replaced at most.
const METRICS_EVERY: Span = Span::seconds(15);
/// How often the canary is looked at.
const CANARY_EVERY: Span = Span::seconds(600);
/// How often it is asked whether anything is to be forgotten.
const PRUNE_LOOK_EVERY: Span = Span::hours(1);
/// How long nothing is forgotten after the wall clock was set: one that is years ahead would have everything forgotten.
const PRUNE_AFTER_STEP: Span = Span::days(1);
/// How often it is asked what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// When each thing is due.
struct Rounds {
    generation: Option<u64>,
    operator_at: Moment,
    metrics_at: Moment,
    canary_at: Moment,
    prune_at: Moment,
    pruning: Pruning,
}

/// Keeps house until the service stops.
pub(super) fn keep_house(common: &Arc<Common>) {
    let Some(mut pipeline) = common.open(HOUSEKEEPING) else {
        return;
    };
    let now = common.clock.moment();
    let mut rounds = Rounds {
        generation: None,
        // The first looks at the sources come first: what was blind while nothing ran is not.
        operator_at: now + OPERATOR_EVERY,
        metrics_at: now,
        canary_at: now + CANARY_EVERY,
        prune_at: now,
        pruning: Pruning::default(),
    };
    while !common.stop.is_set() {
        // First: a configuration that comes into force between the two is noted in the next round.
        let generation = common.generation.load(Ordering::SeqCst);
        pipeline.take_over(&common.setup());
        match rounds.go(common, &pipeline, generation) {
            Ok(()) => common.clear(HOUSEKEEPING),
            Err(error) => {
                if !common.heal(HOUSEKEEPING, pipeline.store(), error) {
                    return;
                }
            }
        }
        common.stop.sleep(LOOK_EVERY);
    }
}

/// Logs how the server of the database stands, if it is a server's.
fn tell_of_server(pipeline: &Pipeline) -> Result<(), PipelineError> {
    let Some(standing) = pipeline.store().server_standing()? else {
        return Ok(());
    };
    if let Some(line) = standing.apart(pipeline.clock().now()) {
        tracing::warn!("{line}");
    }
    if let Some(poller) = &standing.poller {
        tracing::info!(
            "the database is at {}; polled by {poller}",
            standing.address
        );
    }
    let Part::Primary {
        standbys: Some(standbys),
        ..
    } = &standing.part
    else {
        return Ok(());
    };
    for standby in standbys {
        let (name, lag_s) = (&standby.name, standby.lag_s);
        let how = match standby.is_synchronous {
            true => "synchronous",
            false => "asynchronous",
        };
        tracing::info!(
            standby = name,
            lag_s,
            "the standby {name} follows, {how}, {lag_s} s behind"
        );
    }
    Ok(())
}

impl Rounds {
    /// Moves what waits by the wall clock, if that was set.
    fn move_waits(&mut self, common: &Common, pipeline: &Pipeline) -> Result<(), PipelineError> {
        let steps = || common.steps.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let step = steps().front().copied();
            let Some(step) = step else { return Ok(()) };
            self.prune_at = common.clock.moment() + PRUNE_AFTER_STEP;
            // A message that waits is never seen with the one moved and not the other, and so too early.
            let is_back = step.by() < Span::seconds(0);
            if is_back {
                common.clock.settle();
            }
            pipeline.upkeep().note_step(step)?;
            if !is_back {
                common.clock.settle();
            }
            // After the move was committed: a fault leaves the step where it is, and the next round tries it again.
            steps().pop_front();
            common.metrics_are_old.store(true, Ordering::Relaxed);
            common.post.ring();
        }
    }

    /// Does what is due, with the configuration of a generation or a later one.
    fn go(
        &mut self,
        common: &Common,
        pipeline: &Pipeline,
        generation: u64,
    ) -> Result<(), PipelineError> {
        pipeline.store().is_still_there()?;
        if self.generation != Some(generation) {
            if self.generation.is_none() {
                pipeline.upkeep().settle_waits()?;
            }
            pipeline.upkeep().record_tables()?;
            tell_of_server(pipeline)?;
            self.generation = Some(generation);
            common.metrics_are_old.store(true, Ordering::Relaxed);
        }
        let now = common.clock.moment();
        self.move_waits(common, pipeline)?;
        if self.operator_at <= now {
            self.operator_at = now + OPERATOR_EVERY;
            pipeline.notify().after_pass()?;
            common.post.ring();
        }
        if self.metrics_at <= now && common.metrics_are_old.swap(false, Ordering::Relaxed) {
            self.metrics_at = now + METRICS_EVERY;
            pipeline.upkeep().write_metrics(&common.troubles)?;
        }
        if self.canary_at <= now {
            self.canary_at = now + CANARY_EVERY;
            if let Some(alarm) = pipeline.findings().canary_alarm()? {
                tracing::error!("{alarm}");
            }
        }
        if self.prune_at <= now && pipeline.config().retention != RetentionConfig::default() {
            self.prune_at = now + PRUNE_LOOK_EVERY;
            let today = common.clock.now();
            self.pruning.start(pipeline.config().clone(), today);
        }
        Ok(())
    }
}
