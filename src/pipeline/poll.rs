//! One pass over sources: transfers side by side, files and feeds meanwhile.

use std::collections::VecDeque;

use tokio::task::JoinSet;

use crate::config::{Feeding, Source};
use crate::pipeline::{
    Pipeline, PipelineError, PollOptions, TransferJob, TransferOutcome, ZoneReport, run_transfer,
};

/// The most transfers that run at a time.
const TRANSFERS_AT_ONCE: usize = 16;

/// Transfers that are waiting and running.
#[derive(Default)]
pub struct Transfers {
    waiting: VecDeque<TransferJob>,
    running: JoinSet<TransferOutcome>,
}

impl Transfers {
    /// Adds a transfer; it starts as soon as fewer than the most are running.
    pub fn add(&mut self, job: TransferJob) {
        self.waiting.push_back(job);
        self.fill();
    }

    /// Returns whether nothing is waiting or running.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Returns the next transfer that ends; pending for ever if none is running. Safe to drop and
    /// call again.
    pub async fn next(&mut self) -> TransferOutcome {
        match self.running.join_next().await {
            Some(joined) => {
                self.fill();
                joined.expect("a transfer neither panics nor is aborted while its set is alive")
            }
            None => std::future::pending().await,
        }
    }

    /// Starts waiting transfers.
    fn fill(&mut self) {
        while self.running.len() < TRANSFERS_AT_ONCE
            && let Some(job) = self.waiting.pop_front()
        {
            self.running.spawn(run_transfer(job));
        }
    }
}

impl Pipeline {
    /// Looks once at every one of `sources`. `on_report` hears of each zone as it is done.
    ///
    /// # Errors
    ///
    /// [`PipelineError`]; what a source did wrong is in its report.
    pub async fn poll(
        &self,
        sources: &[&Source],
        options: &PollOptions,
        on_report: &mut dyn FnMut(ZoneReport),
    ) -> Result<(), PipelineError> {
        let mut transfers = Transfers::default();
        for source in sources {
            if let Feeding::Transfer { .. } = source.feeding {
                transfers.add(self.prepare_transfer(source, options)?);
            }
        }
        for source in sources {
            match source.feeding {
                Feeding::Transfer { .. } => {}
                Feeding::Zonefile { .. } => self
                    .poll_files(source, options)?
                    .into_iter()
                    .for_each(&mut *on_report),
                Feeding::Feed { .. } => self
                    .poll_feed(source, options)?
                    .into_iter()
                    .for_each(&mut *on_report),
            }
        }
        while !transfers.is_idle() {
            let outcome = transfers.next().await;
            match self.finish_transfer(outcome, options)? {
                Ok(report) => on_report(report),
                Err(second) => transfers.add(second),
            }
        }
        Ok(self.store.checkpoint()?)
    }
}
