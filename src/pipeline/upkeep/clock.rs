//! What is done when the wall clock was set.

use crate::pipeline::error::PipelineError;
use crate::pipeline::upkeep::Upkeep;
use crate::time::Step;

/// Logs that the wall clock was set.
pub fn log_step(step: Step) {
    let by_s = step.by().as_seconds();
    let times = if by_s < 0 {
        "a zone whose newest version is later than the clock keeps that time for its next ones"
    } else {
        "fluxwatch observed nothing at the times in between"
    };
    tracing::warn!(
        by_s,
        "the machine's clock {step}; polls and messages keep their times; {times}; check that something keeps the clock right (timedatectl, chronyc tracking)"
    );
}

impl Upkeep<'_> {
    /// Moves what waits by as much as the wall clock was. Schedules go by another clock and stay.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`]; nothing was moved then.
    pub fn note_step(&self, step: Step) -> Result<(), PipelineError> {
        Ok(self.store.upkeep().shift_waits(step)?)
    }

    /// Makes due what waits for longer than anything may, the clock having been set while nothing ran.
    pub fn settle_waits(&self) -> Result<(), PipelineError> {
        Ok(self.store.upkeep().settle_waits(self.clock.now())?)
    }
}
