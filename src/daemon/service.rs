//! The service as a whole: its workers, signals, and what systemd is told.
//!
//! | worker | does | waits for, beside the database |
//! |---|---|---|
//! | `service` | signals, reload, systemd | nothing but these |
//! | `watch` | transfers, NOTIFY, catalogs, probes | the network, beside its loop |
//! | `crew` | zone files and feeds, followed and pushed | files, a source a worker |
//! | `judging` | findings and cases | nothing |
//! | `post` | mail and webhooks | their servers |
//! | `housekeeping` | alerts, metrics, what is forgotten | nothing |
//! | `ears` | NOTIFY and HTTP | clients |
//!
//! Each worker has a connection of its own to the database. Who writes waits for the transaction before it, and no
//! transaction waits for a network.

use crate::daemon::error::ServiceError;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;
use crate::count::counted;
use crate::daemon::common::Common;
use crate::daemon::crew::{CREW, Crew};
use crate::daemon::listeners::{Listeners, Marks, PUSHES_WAITING_MAX, hand_on};
use crate::daemon::watch::{Hearing, watch};
use crate::daemon::{housekeeping, judging, post, systemd};
use crate::pipeline::{Pipeline, Setup, log_step, record_start, write_held};
use crate::store::PollerLock;
use crate::store::{StoreError, end_waits};
use crate::time::{Clock, StepWatch};
use crate::web::PushedLines;

/// How long workers may take to end. What is at work then is cut off as a kill would cut it: nothing that was stored
/// is lost, and what was not is done again by the next start.
const END_WITHIN: Duration = Duration::from_secs(4);
/// The longest pause before a start is tried again.
const START_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often the service looks after its workers.
const TICK: Duration = Duration::from_secs(1);
/// The most zones that are marked by NOTIFY and wait.
// A listener waits while it is full; what a listener cannot hold is left to the schedule.
const MARKS_WAITING_MAX: usize = 4096;

/// The signals that the service hears. They are made first, so that none is missed.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Receives from now on. Needs a runtime.
    pub fn new() -> Result<Self, ServiceError> {
        let receive = |kind| signal(kind).map_err(ServiceError::Signal);
        Ok(Self {
            terminate: receive(SignalKind::terminate())?,
            interrupt: receive(SignalKind::interrupt())?,
            hangup: receive(SignalKind::hangup())?,
        })
    }

    /// Waits for one that ends the program, at most `time`. Returns whether one has come.
    pub fn wait(&mut self, runtime: &Runtime, time: Duration) -> bool {
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => true,
                _ = self.interrupt.recv() => true,
                () = tokio::time::sleep(time) => false,
            }
        })
    }
}

/// Reads the configuration anew, with what it names; everything that is wrong if it cannot be taken over.
pub type Reload = fn(&Config) -> Result<Setup, Vec<String>>;

/// A configuration that is being read.
type JoinedReading = tokio::task::JoinHandle<Result<Setup, Vec<String>>>;

/// Does something at the start that a fault may hold up: tries again with growing pauses as long as the fault can
/// heal. `sleep` returns whether to give up; then there is `None`.
///
/// # Errors
///
/// The first fault that cannot heal.
pub fn start_with<T>(
    mut start: impl FnMut() -> Result<T, StoreError>,
    mut sleep: impl FnMut(Duration) -> bool,
) -> Result<Option<T>, StoreError> {
    let mut pause = Duration::from_secs(1);
    loop {
        let error = match start() {
            Ok(started) => return Ok(Some(started)),
            // Who starts it is there to put the configuration right.
            Err(error) if error.can_heal() && !error.is_of_configuration() => error,
            Err(error) => return Err(error),
        };
        let cure = error
            .cure()
            .map_or(String::new(), |cure| format!("; {cure}"));
        let seconds = pause.as_secs();
        tracing::error!("start: held up: {error}{cure}; tried again in {seconds} s");
        systemd::notify_ready(&format!("cannot start yet: {error}{cure}"));
        // In short sleeps, since systemd wants to hear that it is alive.
        for _ in 0..seconds {
            systemd::notify_alive();
            if sleep(TICK) {
                return Ok(None);
            }
        }
        pause = (pause * 2).min(START_PAUSE_MAX);
    }
}

/// Runs every source on its schedule until SIGTERM or SIGINT. SIGHUP has the configuration read anew by `reload`.
///
/// `pipeline` is what the workers are made of; its own connection is closed.
pub fn serve(
    pipeline: Pipeline,
    lock: &PollerLock,
    runtime: &Runtime,
    signals: &mut Signals,
    reload: Reload,
) -> Result<(), ServiceError> {
    let (common, mut faults) = Common::new(&pipeline);
    // Each worker opens the database for itself: a connection belongs to one thread.
    drop(pipeline);
    let mut service = Service::start(common, runtime);
    let ended = runtime.block_on(service.supervise(lock, signals, &mut faults, reload));
    service.end();
    ended
}

/// The service while it runs.
struct Service {
    common: Arc<Common>,
    crew: Arc<Crew>,
    marks: Marks,
    /// To the crew, from whatever configuration's listeners.
    pushes: mpsc::Sender<PushedLines>,
    listeners: Option<Listeners>,
    reloaded: Arc<Notify>,
    workers: Vec<JoinHandle<()>>,
    /// Notices that the wall clock was set.
    steps: StepWatch,
    /// What `status` and systemd were told last.
    told: Option<String>,
    /// Whether systemd was told nothing else since.
    is_told: bool,
}

impl Service {
    /// Starts the workers.
    fn start(common: Arc<Common>, runtime: &Runtime) -> Self {
        let steps = StepWatch::new(common.clock.wall().reading());
        let (due, marked) = mpsc::channel(MARKS_WAITING_MAX);
        let (ended, passed) = mpsc::unbounded_channel();
        let crew = Crew::new(common.clone(), ended);
        let senders = Arc::new(RwLock::default());
        let reloaded = Arc::new(Notify::new());
        let hearing = Hearing {
            marks: marked,
            passed,
            reloaded: reloaded.clone(),
        };
        let marks = Marks {
            senders: senders.clone(),
            due,
        };
        let handle = runtime.handle();
        let watching = {
            let (common, crew, handle) = (common.clone(), crew.clone(), handle.clone());
            move || handle.block_on(watch(common, crew, senders, hearing))
        };
        let delivering = {
            let (common, handle) = (common.clone(), handle.clone());
            move || post::deliver(&common, &handle)
        };
        let (for_judging, for_house) = (common.clone(), common.clone());
        let workers = [
            common.hire("watch", watching),
            common.hire("judging", move || judging::judge(&for_judging)),
            common.hire("post", delivering),
            common.hire("housekeeping", move || housekeeping::keep_house(&for_house)),
        ];
        let (pushes, pushed) = mpsc::channel(PUSHES_WAITING_MAX);
        runtime.spawn(hand_on(crew.clone(), pushed));
        let listeners = {
            let _runtime = runtime.enter();
            Listeners::open(&common, &marks, &pushes)
        };
        Self {
            workers: workers.into_iter().flatten().collect(),
            listeners: Some(listeners),
            common,
            crew,
            marks,
            pushes,
            reloaded,
            steps,
            told: None,
            is_told: true,
        }
    }

    /// Hears signals and faults until one of them ends the service.
    async fn supervise(
        &mut self,
        lock: &PollerLock,
        signals: &mut Signals,
        faults: &mut mpsc::UnboundedReceiver<ServiceError>,
        reload: Reload,
    ) -> Result<(), ServiceError> {
        record_start(self.common.clock.now());
        let watching = self.watching();
        tracing::info!("{watching}");
        // None of the sources has been asked yet: a primary that is away must not keep the service from being
        // started.
        systemd::notify_ready(&watching);
        write_held(self.common.setup().config.store_url.beside(), None);
        let mut ticks = interval(TICK);
        // After a suspend of an hour one tick is enough.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut reading = None;
        let common = self.common.clone();
        loop {
            let read = async {
                match &mut reading {
                    Some(task) => task.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.interrupt.recv() => return Ok(()),
                Some(fault) = faults.recv() => return Err(fault),
                _ = signals.hangup.recv() => reading = Some(self.reload(reload)),
                () = common.reread.notified() => reading = Some(self.reload(reload)),
                read = read => {
                    reading = None;
                    let read = read.map_err(|_| ServiceError::Died("reload"))?;
                    self.take_over(read).await;
                }
                _ = ticks.tick() => {
                    if lock.is_lost() {
                        return Err(ServiceError::Superseded);
                    }
                    if lock.is_shared() {
                        return Err(ServiceError::Pooled);
                    }
                    self.tick();
                }
            }
        }
    }

    /// Has the configuration read anew. Tables may be large: signals are heard meanwhile, and a second SIGHUP reads once
    /// more.
    fn reload(&self, reload: Reload) -> JoinedReading {
        systemd::notify_reloading();
        tracing::info!("reloading the configuration");
        let before = self.common.setup().config;
        spawn_blocking(move || reload(&before))
    }

    /// Takes a configuration over that was read, or says why not.
    async fn take_over(&mut self, read: Result<Setup, Vec<String>>) {
        match read {
            Ok(setup) => {
                self.common.take_over(setup);
                // Its workers are named after sources, which may be others now.
                self.common.troubles.forget(CREW);
                self.reloaded.notify_one();
                self.common.post.ring();
                // The next ones listen on the same ports.
                if let Some(listeners) = self.listeners.take() {
                    listeners.close().await;
                }
                self.listeners = Some(Listeners::open(&self.common, &self.marks, &self.pushes));
                let watching = self.watching();
                tracing::info!("configuration reloaded; {watching}");
                systemd::notify_ready(&watching);
                self.is_told = false;
            }
            Err(faults) => {
                log_not_taken(&faults);
                if !self.common.setup().waiting_for().is_empty() {
                    // That judging waits is said before anything else.
                    self.is_told = false;
                }
            }
        }
    }

    /// Returns what the service does, in a line.
    fn watching(&self) -> String {
        let count = self.common.setup().config.sources.len();
        format!("watching {}", counted(count, "source"))
    }

    /// Tells that the service is alive, and what holds it up.
    fn tick(&mut self) {
        if self.common.is_alive() {
            systemd::notify_alive();
        }
        self.watch_clock();
        let held = self.common.troubles.line();
        if held != self.told || !self.is_told {
            systemd::notify_status(held.as_deref().unwrap_or(&self.watching()));
            write_held(
                self.common.setup().config.store_url.beside(),
                held.as_deref(),
            );
            self.told = held;
            self.is_told = true;
        }
    }

    /// Notices that the wall clock was set, and has what waits by it moved. Until that is done the workers go by the
    /// clock as it was.
    fn watch_clock(&mut self) {
        let clock = &self.common.clock;
        let steps = &self.common.steps;
        let mut steps = steps.lock().unwrap_or_else(PoisonError::into_inner);
        match self.steps.look(clock.wall().reading()) {
            Some(step) => {
                log_step(step);
                systemd::notify_status(&format!("the clock {step}"));
                steps.push_back(step);
            }
            // It may go a little faster or slower than the steady clock.
            None if steps.is_empty() => clock.settle(),
            None => {}
        }
    }

    /// Ends the workers.
    fn end(mut self) {
        systemd::notify_stopping();
        self.common.stop.set();
        end_waits();
        self.common.post.ring();
        self.listeners = None;
        self.workers.append(&mut self.crew.take_workers());
        let until = Instant::now() + END_WITHIN;
        while Instant::now() < until && !self.workers.iter().all(JoinHandle::is_finished) {
            std::thread::sleep(Duration::from_millis(20));
        }
        for worker in self.workers.iter().filter(|it| !it.is_finished()) {
            let name = worker.thread().name().unwrap_or_default();
            let limit = END_WITHIN.as_secs();
            tracing::warn!(
                worker = name,
                "the worker {name:?} is still at work after {limit} s and is cut off; what it stored is safe, the rest is done again after the next start"
            );
        }
        write_held(self.common.setup().config.store_url.beside(), None);
        tracing::info!("stopped");
    }
}

/// Tells why a new configuration was not taken, a line for each fault.
fn log_not_taken(faults: &[String]) {
    for fault in faults {
        tracing::error!("configuration not taken, going on with the old one: {fault}");
    }
    let first = faults.first().map_or("", String::as_str);
    let more = match faults.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more faults)", count - 1),
    };
    systemd::notify_ready(&format!(
        "the new configuration was not taken: {first}{more}"
    ));
}
