//! One pass over sources: transfers side by side, files and feeds meanwhile.

use crate::config::TransferSource;
use crate::pipeline::ingest::Ingest;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::{Feeding, ProbeConfig, Source};
use crate::dns::Name;
use crate::pipeline::error::PipelineError;
use crate::pipeline::ingest::transfer::{
    AfterTransfer, Share, TransferJob, TransferOutcome, run_transfer,
};
use crate::pipeline::judge::docket::Docket;
use crate::pipeline::outcome::{PollOptions, ZoneReport};

/// The most transfers that run at a time.
// Each may hold a table of digests of its whole zone: memory, not the network, is the bound.
const TRANSFERS_AT_ONCE: usize = 32;
/// The most transfers that run at a time from one primary: one that hangs holds up no more.
const TRANSFERS_OF_PRIMARY: usize = 4;

/// The most transfers that are stored with one commit.
const STORED_AT_ONCE: usize = 128;
/// The most octets of records of those, but for the last: they wait in memory.
const STORED_OCTETS_AT_ONCE: u64 = 4 << 20;
/// How long the first of them waits for others while transfers run.
const OTHERS_WAITED_FOR: Duration = Duration::from_millis(50);

/// Transfers that are waiting and running, each primary's in a queue of its own.
#[derive(Default)]
pub struct Transfers {
    /// Small ones that ended and are stored together.
    ended: Ended,
    waiting: BTreeMap<Option<SocketAddr>, VecDeque<TransferJob>>,
    running: JoinSet<(Option<SocketAddr>, TransferOutcome)>,
    of_primary: HashMap<Option<SocketAddr>, usize>,
    /// The queue that was served last: the next one is served next.
    served: Option<Option<SocketAddr>>,
}

/// Transfers that ended and wait for others.
#[derive(Default)]
struct Ended {
    outcomes: Vec<TransferOutcome>,
    /// The octets of their records.
    octets: u64,
    /// Until when they wait.
    until: Option<Instant>,
}

impl Ended {
    /// Takes one more. Returns those that are to be stored now, if any are.
    fn add(&mut self, outcome: TransferOutcome) -> Option<Vec<TransferOutcome>> {
        match outcome.share() {
            Share::Alone => return Some(vec![outcome]),
            Share::Octets(octets) => self.octets += octets,
        }
        let until = || Instant::now() + OTHERS_WAITED_FOR;
        self.until.get_or_insert_with(until);
        self.outcomes.push(outcome);
        let is_full = self.outcomes.len() >= STORED_AT_ONCE || self.octets >= STORED_OCTETS_AT_ONCE;
        is_full.then(|| self.take())
    }

    /// Takes all of them.
    fn take(&mut self) -> Vec<TransferOutcome> {
        std::mem::take(self).outcomes
    }
}

impl Transfers {
    /// Adds a transfer; it starts as soon as there is room.
    pub fn add(&mut self, job: TransferJob) {
        let queue = self.waiting.entry(job.first_primary()).or_default();
        queue.push_back(job);
        self.fill();
    }

    /// Adds the next part of a transfer that ran: before those that wait, since it may hold a table.
    pub fn go_on(&mut self, job: TransferJob) {
        let queue = self.waiting.entry(job.first_primary()).or_default();
        queue.push_front(job);
        self.fill();
    }

    /// Returns whether nothing is waiting or running, nor ended and not returned.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.ended.outcomes.is_empty()
    }

    /// Returns the next transfers that end: one, or several small ones that are stored together; pending for ever if none is
    /// running. Safe to drop and call again.
    pub async fn next(&mut self) -> Vec<TransferOutcome> {
        loop {
            let next = match self.ended.until {
                Some(_) if self.running.is_empty() => return self.ended.take(),
                Some(until) => match timeout_at(until, self.running.join_next()).await {
                    Ok(next) => next,
                    Err(_) => return self.ended.take(),
                },
                None => self.running.join_next().await,
            };
            let Some(joined) = next else {
                return std::future::pending().await;
            };
            let (primary, outcome) =
                joined.expect("a transfer neither panics nor is aborted while its set is alive");
            if let Some(count) = self.of_primary.get_mut(&primary) {
                *count -= 1;
            }
            self.fill();
            if let Some(outcomes) = self.ended.add(outcome) {
                return outcomes;
            }
        }
    }

    /// Starts waiting transfers, one of each primary in turn.
    fn fill(&mut self) {
        while self.running.len() < TRANSFERS_AT_ONCE {
            let has_room = |primary: &Option<SocketAddr>| {
                self.of_primary.get(primary).copied().unwrap_or(0) < TRANSFERS_OF_PRIMARY
            };
            // In turn, not first come first served: one primary with 10,000 zones would keep all others waiting.
            let after = self.waiting.keys().copied().find(|primary| {
                self.served.is_none_or(|served| *primary > served) && has_room(primary)
            });
            let Some(primary) = after.or_else(|| self.waiting.keys().copied().find(has_room))
            else {
                return;
            };
            let queue = self
                .waiting
                .get_mut(&primary)
                .expect("the key was just there");
            let job = queue
                .pop_front()
                .expect("a queue is removed when it is empty");
            if queue.is_empty() {
                self.waiting.remove(&primary);
            }
            self.served = Some(primary);
            *self.of_primary.entry(primary).or_default() += 1;
            self.running
                .spawn(async move { (primary, run_transfer(job).await) });
        }
    }
}

impl Ingest<'_> {
    /// Looks once at every one of `sources`; of catalogs, only at the members in `wanted`, if any are
    /// named. `on_report` hears of each zone as it is done.
    ///
    /// Where one source may tell what another one has to know, all that is stored and not judged is judged once all are read,
    /// in the order of its times: after a standstill one tells of days of which the next says who had left by then. That
    /// is so as well of what a pass that was killed left.
    ///
    /// # Errors
    ///
    /// [`PipelineError`]; what a source did wrong is in its report.
    pub async fn poll(
        &self,
        sources: &[&Source],
        wanted: Option<&HashSet<Name>>,
        options: &PollOptions,
        on_report: &mut dyn FnMut(ZoneReport),
    ) -> Result<(), PipelineError> {
        let held = Docket::of_pass();
        let together = self.judging_later(&held);
        let (suspects, others): (Vec<&Source>, Vec<&Source>) =
            sources.iter().partition(|it| it.asks_suspects());
        let reading = match self.docket {
            None if tell_of_each_other(&others) => {
                held.note_stored();
                &together
            }
            None => {
                self.judge.judge_stored(options)?;
                self
            }
            Some(_) => self,
        };
        reading
            .read_sources(&others, wanted, options, on_report)
            .await?;
        self.judge.take_over_in_order(&held, options)?;
        // Whom this pass suspects is asked in it.
        self.read_sources(&suspects, wanted, options, on_report)
            .await?;
        // A command leaves no log behind that the next reader would have to go through.
        Ok(self.store.upkeep().checkpoint()?)
    }

    /// Looks once at every one of some sources.
    async fn read_sources(
        &self,
        sources: &[&Source],
        wanted: Option<&HashSet<Name>>,
        options: &PollOptions,
        on_report: &mut dyn FnMut(ZoneReport),
    ) -> Result<(), PipelineError> {
        let mut transfers = Transfers::default();
        for source in sources {
            match &source.feeding {
                Feeding::Transfer(TransferSource { zone, settings }) => {
                    transfers.add(self.prepare_transfer(source, zone, settings, options)?);
                }
                Feeding::Catalog(catalog) => {
                    self.poll_catalog((source, catalog), wanted, options, on_report)
                        .await?
                        .into_iter()
                        .for_each(|job| transfers.add(job));
                }
                Feeding::Zonefile(_) | Feeding::Feed(_) | Feeding::Probe(_) => {}
            }
        }
        for source in sources {
            match &source.feeding {
                Feeding::Zonefile(files) => self
                    .poll_files(&source.name, files, options)?
                    .into_iter()
                    .for_each(&mut *on_report),
                Feeding::Feed(feed) => self
                    .poll_feed(&source.name, feed, options)?
                    .into_iter()
                    .for_each(&mut *on_report),
                Feeding::Transfer(_) | Feeding::Catalog(_) | Feeding::Probe(_) => {}
            }
        }
        for source in sources {
            if let Feeding::Probe(config) = &source.feeding {
                self.poll_probe(source, config, options, on_report).await?;
            }
        }
        // Transfers were added first and run while files and feeds were read: waiting for networks costs nothing
        // then.
        while !transfers.is_idle() {
            let outcomes = transfers.next().await;
            for after in self.finish_transfers(outcomes, options)? {
                match after {
                    AfterTransfer::Done(report) => on_report(report),
                    AfterTransfer::GoesOn(job) => transfers.go_on(*job),
                }
            }
        }
        Ok(())
    }

    /// Asks once about every domain of a probe.
    async fn poll_probe(
        &self,
        source: &Source,
        config: &ProbeConfig,
        options: &PollOptions,
        on_report: &mut dyn FnMut(ZoneReport),
    ) -> Result<(), PipelineError> {
        let mut answers = match self.prepare_probe(source, config)? {
            Ok(job) => job.start(),
            Err(report) => {
                on_report(report);
                return Ok(());
            }
        };
        while let Some(probed) = answers.next().await {
            on_report(self.take_probed(source, config, probed, options)?);
        }
        Ok(())
    }
}

/// Returns whether what one of these sources tells of a time may stand in another one, or in another file or zone of the
/// same: all but a single zone that is transferred, and a single zone or feed that is in the order of its times.
pub fn tell_of_each_other(sources: &[&Source]) -> bool {
    match sources {
        [] => false,
        [source] => match &source.feeding {
            Feeding::Transfer(_) | Feeding::Zonefile(_) => false,
            Feeding::Feed(feed) => feed.path.as_ref().is_some_and(|path| path.is_dir()),
            Feeding::Catalog(_) | Feeding::Probe(_) => true,
        },
        _ => true,
    }
}
