//! The workers that read zone files and feeds, followed and pushed: a few threads, and a queue for each source.
//!
//! What is slow or hostile in one source keeps one thread busy, never the others, and never the watch over the
//! primaries. The sources that wait have their turns in the order in which they came; one source is read by one
//! worker at a time, so its changes keep their order.

use crate::config::FeedSource;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::config::{Feeding, Source};
use crate::daemon::common::{Common, options};
use crate::pipeline::{
    Pipeline, PipelineError, Setup, Stage, ZoneOutcome, ZoneReport, record_stage,
};
use crate::web::{Pushed, PushedLines};

/// The crew's name.
pub(super) const CREW: &str = "files and feeds";
/// The most workers: so many sources that take their whole time limit hold up the others. Each has a connection to
/// the database with its cache (64 MiB at most).
const WORKERS_MAX: usize = 6;
/// How long a worker waits for work before it asks whether the service stops.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The most bodies of pushed lines that wait for one feed.
const PUSHES_WAITING_MAX: usize = 16;

/// A pass over a source that ended.
pub(super) struct Passed {
    /// Which watch had the source looked at.
    pub generation: u64,
    /// The source's number in that watch.
    pub source: usize,
    /// The source's name.
    pub name: String,
    /// Whether the next pass goes on where this one ended, before the source's end.
    pub is_cut: bool,
}

/// What is to be done with a source.
enum Work {
    /// Look whether there is anything new.
    Pass { generation: u64, source: usize },
    /// Take pushed lines in.
    Push(PushedLines),
}

/// The workers and what waits for them.
pub(super) struct Crew {
    common: Arc<Common>,
    passed: mpsc::UnboundedSender<Passed>,
    waiting: Mutex<Waiting>,
    bell: Condvar,
}

/// What waits.
#[derive(Default)]
struct Waiting {
    /// Sources that have work and no worker, each once.
    turns: VecDeque<String>,
    /// The work of each source, in order.
    work: HashMap<String, VecDeque<(Setup, Work)>>,
    /// Sources that a worker is at.
    busy: HashSet<String>,
    /// Workers that wait for work.
    idle_count: usize,
    workers: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Makes a crew without workers: each is hired when there is work for it. `passed` hears of each pass that ended.
    pub fn new(common: Arc<Common>, passed: mpsc::UnboundedSender<Passed>) -> Arc<Self> {
        Arc::new(Self {
            common,
            passed,
            waiting: Mutex::default(),
            bell: Condvar::new(),
        })
    }

    /// Has a source looked at, after what else waits for it.
    pub fn look_at(self: &Arc<Self>, setup: Setup, generation: u64, source: usize) {
        let name = setup.config.sources[source].name.clone();
        // One that waits since before a reload, or a fault of the watch, has nobody who waits for it.
        if let Some(queue) = self.waiting().work.get_mut(&name) {
            queue.retain(|(_, work)| matches!(work, Work::Push(_)));
        }
        self.add(name, setup, Work::Pass { generation, source });
    }

    /// Has pushed lines taken in. What becomes of them is answered.
    pub fn push(self: &Arc<Self>, push: PushedLines) {
        let setup = self.common.setup();
        let Some((name, _)) = feed_of(&setup.config.sources, push.source.as_deref()) else {
            let _ = push.answer.send(Pushed::NoSuchFeed);
            return;
        };
        let name = name.to_owned();
        let is_push = |(_, work): &&(Setup, Work)| matches!(work, Work::Push(_));
        let waiting = self.waiting();
        let queue = waiting.work.get(&name).into_iter().flatten();
        let count = queue.filter(is_push).count();
        drop(waiting);
        if count >= PUSHES_WAITING_MAX {
            // A client that is answered now can slow down; one that waits without end cannot.
            let _ = push.answer.send(Pushed::Busy);
            return;
        }
        self.add(name, setup, Work::Push(push));
    }

    /// Takes the workers out, to wait for their end.
    pub fn take_workers(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.waiting().workers)
    }

    /// Adds work for a source, and a worker if all are at work.
    fn add(self: &Arc<Self>, name: String, setup: Setup, work: Work) {
        let mut waiting = self.waiting();
        let queue = waiting.work.entry(name.clone()).or_default();
        queue.push_back((setup, work));
        if !waiting.busy.contains(&name) && !waiting.turns.contains(&name) {
            waiting.turns.push_back(name);
        }
        // A worker that waits takes one turn; more turns than such workers want another.
        let is_short = waiting.idle_count < waiting.turns.len();
        if is_short && waiting.workers.len() < WORKERS_MAX && !self.common.stop.is_set() {
            let crew = self.clone();
            let hired = self.common.hire(CREW, move || crew.work());
            waiting.workers.extend(hired);
        }
        self.bell.notify_one();
    }

    /// Works until the service stops.
    fn work(&self) {
        let Some(mut pipeline) = self.common.open(CREW) else {
            return;
        };
        pipeline.judge_later(self.common.docket.clone());
        while !self.common.stop.is_set() {
            let Some((name, setup, work)) = self.take() else {
                continue;
            };
            // The setup that was in force when the work was added: a reload must not change what a pass does half-
            // way.
            pipeline.take_over(&setup);
            let done = self.do_work(&pipeline, &name, work);
            let worker = format!("{CREW}: {name}");
            let is_healthy = match done {
                Ok(()) => {
                    self.common.clear(&worker);
                    true
                }
                Err(error) => self.common.heal(&worker, pipeline.store(), error),
            };
            // Before the end of this worker, or the source would stay busy and have no turn any more.
            self.leave(&name);
            if !is_healthy {
                return;
            }
        }
    }

    /// Takes the work of the source whose turn it is; waits a moment for some.
    fn take(&self) -> Option<(String, Setup, Work)> {
        let mut waiting = self.waiting();
        waiting.idle_count += 1;
        let is_empty = |waiting: &mut Waiting| waiting.turns.is_empty();
        let (mut waiting, _) = self
            .bell
            // Woken now and then without work, to see that the service stops.
            .wait_timeout_while(waiting, LOOK_EVERY, is_empty)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.idle_count -= 1;
        let name = waiting.turns.pop_front()?;
        let queue = waiting.work.get_mut(&name)?;
        let (setup, work) = queue.pop_front()?;
        // One worker at a source at a time: its lines and files are taken in order.
        waiting.busy.insert(name.clone());
        Some((name, setup, work))
    }

    /// Gives a source its next turn, if more is to be done with it.
    fn leave(&self, name: &str) {
        let mut waiting = self.waiting();
        waiting.busy.remove(name);
        if waiting.work.get(name).is_none_or(VecDeque::is_empty) {
            waiting.work.remove(name);
        } else {
            waiting.turns.push_back(name.to_owned());
            self.bell.notify_one();
        }
    }

    /// Does one piece of work.
    fn do_work(&self, pipeline: &Pipeline, name: &str, work: Work) -> Result<(), PipelineError> {
        match work {
            Work::Pass { generation, source } => {
                let done = self.pass(pipeline, name);
                // Nobody waits for it only when the service ends.
                let _ = self.passed.send(Passed {
                    generation,
                    source,
                    name: name.to_owned(),
                    is_cut: self.common.docket.is_cut(name),
                });
                done
            }
            Work::Push(push) => self.take_push(pipeline, name, push),
        }
    }

    /// Looks whether a source has anything new.
    fn pass(&self, pipeline: &Pipeline, name: &str) -> Result<(), PipelineError> {
        let config = pipeline.config().clone();
        let Some(source) = config.sources.iter().find(|source| source.name == name) else {
            return Ok(());
        };
        let began = Instant::now();
        let (name, ingest) = (&source.name, pipeline.ingest());
        let reports = match &source.feeding {
            Feeding::Zonefile(files) => ingest.poll_files(name, files, &options())?,
            Feeding::Feed(feed) => ingest.poll_feed(name, feed, &options())?,
            // What waits for a network is the work of `watch`.
            Feeding::Transfer(_) | Feeding::Catalog(_) | Feeding::Probe(_) => Vec::new(),
        };
        record_stage(Stage::Read, began.elapsed());
        self.common.end_reports(pipeline, &reports)
    }

    /// Takes pushed lines in and answers.
    fn take_push(
        &self,
        pipeline: &Pipeline,
        name: &str,
        push: PushedLines,
    ) -> Result<(), PipelineError> {
        let config = pipeline.config().clone();
        let Some((name, feed)) = feed_of(&config.sources, Some(name)) else {
            let _ = push.answer.send(Pushed::NoSuchFeed);
            return Ok(());
        };
        let reports = pipeline
            .ingest()
            .push_feed(name, feed, &push.lines, &options())?;
        // Whoever pushed may have gone; the lines are durable all the same.
        let _ = push.answer.send(taken(&reports));
        self.common.end_reports(pipeline, &reports)
    }

    /// Locks what waits. Nothing panics while it is locked.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the feed of a name that takes pushed lines; without a name, the only one that does.
fn feed_of<'a>(sources: &'a [Source], name: Option<&str>) -> Option<(&'a str, &'a FeedSource)> {
    let mut feeds = sources.iter().filter_map(|source| match &source.feeding {
        Feeding::Feed(feed) if feed.push => Some((source.name.as_str(), feed)),
        _ => None,
    });
    match name {
        Some(name) => feeds.find(|(known, _)| *known == name),
        None => feeds.next().filter(|_| feeds.next().is_none()),
    }
}

/// Returns the answer to lines that were taken in.
fn taken(reports: &[ZoneReport]) -> Pushed {
    let (mut versions, mut changed_names, mut rejected_lines) = (0, 0, 0);
    for report in reports {
        match &report.outcome {
            ZoneOutcome::Stored(summary) => {
                versions += summary.versions;
                changed_names += summary.changed_names;
            }
            ZoneOutcome::LinesRejected(count) => rejected_lines += count,
            _ => {}
        }
    }
    Pushed::Taken {
        versions,
        changed_names,
        rejected_lines,
    }
}
