//! What the workers of the service share, and how one that meets a fault goes on.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::daemon::error::ServiceError;
use crate::daemon::first_reading::FirstReading;
use crate::daemon::settled::SettledClock;
use crate::daemon::stop::Stop;
use crate::daemon::unread::Unread;
use crate::pipeline::{
    Docket, Pipeline, PipelineError, PollOptions, Setup, Stage, Troubles, ZoneReport, record_stage,
};
use crate::store::{Store, StoreOptions};
use crate::time::{Clock, Moment, Span, Step};

/// The name of the watch over the primaries.
pub(super) const WATCH: &str = "transfers";
/// How long the watch may be at one thing: the first version of a very large zone is one transaction of some minutes.
const AT_ONE_THING_MAX: Span = Span::seconds(900);

/// What the workers of the service share.
pub(super) struct Common {
    /// Whether the service stops.
    pub stop: Stop,
    /// Who is held up.
    pub troubles: Arc<Troubles>,
    /// What waits to be judged.
    pub docket: Arc<Docket>,
    /// What is read before anything is judged.
    pub first_reading: FirstReading,
    /// Rung when messages may be due.
    pub post: Bell,
    /// Called when the configuration is to be read anew although nobody asked for it.
    pub reread: Notify,
    /// Now.
    pub clock: Arc<SettledClock>,
    /// How often the configuration was taken over.
    pub generation: AtomicU64,
    /// The generation for which it was noted what is watched.
    noted: Mutex<Option<u64>>,
    /// How many watches there were.
    pub watches: AtomicU64,
    /// Whether the file of metrics is older than what is known.
    pub metrics_are_old: AtomicBool,
    /// When the watch last went round, in milliseconds of the steady clock.
    beat_at: AtomicI64,
    /// How the wall clock was set, and what waits by it was not moved yet.
    pub steps: Mutex<VecDeque<Step>>,
    /// The configuration that is in force.
    setup: RwLock<Setup>,
    /// What could not be read, so that it is said once.
    unread: Mutex<Unread>,
    /// Where a fault goes that ends the service.
    fatal: mpsc::UnboundedSender<ServiceError>,
}

/// What a pass of the service does.
pub(super) fn options() -> PollOptions {
    PollOptions {
        mail_wanted: true,
        ..PollOptions::default()
    }
}

impl Common {
    /// Makes what is shared. The second value hears of faults that end the service.
    pub fn new(pipeline: &Pipeline) -> (Arc<Self>, mpsc::UnboundedReceiver<ServiceError>) {
        let (fatal, heard) = mpsc::unbounded_channel();
        let common = Self {
            stop: Stop::default(),
            troubles: Arc::default(),
            docket: Arc::default(),
            first_reading: FirstReading::new(),
            post: Bell::default(),
            reread: Notify::new(),
            clock: Arc::new(SettledClock::new(pipeline.clock().clone())),
            generation: AtomicU64::new(0),
            noted: Mutex::default(),
            watches: AtomicU64::new(0),
            metrics_are_old: AtomicBool::new(true),
            beat_at: AtomicI64::new(pipeline.clock().moment().as_ms()),
            steps: Mutex::default(),
            setup: RwLock::new(pipeline.setup()),
            unread: Mutex::default(),
            fatal,
        };
        (Arc::new(common), heard)
    }

    /// Returns the configuration that is in force.
    pub fn setup(&self) -> Setup {
        let setup = self.setup.read().unwrap_or_else(PoisonError::into_inner);
        setup.clone()
    }

    /// Puts a configuration in force. Each worker takes it over before its next piece of work.
    pub fn take_over(&self, setup: Setup) {
        *self.setup.write().unwrap_or_else(PoisonError::into_inner) = setup;
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Has a worker take over what is in force, and notes what that watches, once: before a source is read and before
    /// anything is judged, since what is read before would not count as seen.
    pub fn note_watched(&self, pipeline: &mut Pipeline) -> Result<(), PipelineError> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        // Before what is in force is read: that is of this generation or a later one.
        let generation = self.generation.load(Ordering::SeqCst);
        pipeline.take_over(&self.setup());
        if *noted != Some(generation) {
            pipeline.judge().note_watched()?;
            *noted = Some(generation);
        }
        Ok(())
    }

    /// Ends the service with a fault.
    pub fn fail(&self, error: impl Into<ServiceError>) {
        // Nobody hears it only when the service ends already.
        let _ = self.fatal.send(error.into());
    }

    /// Opens a pipeline of a worker's own, with the configuration that is in force. Tries again as long as it fails
    /// with what can heal; `None` if the service ends meanwhile.
    pub fn open(&self, worker: &'static str) -> Option<Pipeline> {
        loop {
            let setup = self.setup();
            let options = StoreOptions {
                reverse_index: setup.config.reverse_index,
                create: false,
            };
            match Store::open(&setup.config.store_url, options) {
                Ok(store) => {
                    self.clear(worker);
                    return Some(Pipeline::over(store, setup, self.clock.clone()));
                }
                Err(error) => {
                    if !self.pause_after(worker, error.into()) {
                        return None;
                    }
                }
            }
        }
    }

    /// Notes that a worker's work is done, so that nothing holds it up.
    pub fn clear(&self, worker: &str) {
        self.troubles.clear(worker, self.clock.now());
    }

    /// Waits until a worker that met a fault may try again: until its database can be written. Returns whether it
    /// may; otherwise the service ends.
    pub fn heal(&self, worker: &str, store: &Store, error: PipelineError) -> bool {
        let mut error = error;
        loop {
            if !self.pause_after(worker, error) {
                return false;
            }
            match store.upkeep().try_write(self.clock.now()) {
                // What is more than a number may still fail: the worker says when it is over.
                Ok(()) => return true,
                Err(fault) => error = fault.into(),
            }
        }
    }

    /// Notes a fault and waits a while. Returns whether there is anything to wait for; otherwise the service ends.
    fn pause_after(&self, worker: &str, error: PipelineError) -> bool {
        if worker == WATCH {
            // Who waits is not stuck.
            self.beat();
        }
        if self.stop.is_set() {
            return false;
        }
        if !error.can_heal() {
            self.fail(error);
            return false;
        }
        let cure = match &error {
            PipelineError::Store(fault) => fault.cure(),
            _ => None,
        };
        let fault = error.to_string();
        let pause = self
            .troubles
            .note(worker, fault, cure.as_deref(), self.clock.now());
        !self.stop.sleep(pause)
    }

    /// Notes that the watch goes round.
    pub fn beat(&self) {
        let now = self.clock.moment().as_ms();
        self.beat_at.store(now, Ordering::Relaxed);
    }

    /// Returns whether the watch has gone round lately: systemd ends a service of which this is not so.
    pub fn is_alive(&self) -> bool {
        let beat_at = Moment::from_ms(self.beat_at.load(Ordering::Relaxed));
        self.clock.moment() < beat_at + AT_ONE_THING_MAX
    }

    /// Logs what a pass found and has follow what follows from it.
    pub fn end_reports(
        &self,
        pipeline: &Pipeline,
        reports: &[ZoneReport],
    ) -> Result<(), PipelineError> {
        for timings in reports.iter().filter_map(|it| it.timings) {
            record_stage(Stage::Fetch, Duration::from_millis(timings.fetched_ms));
            record_stage(Stage::Store, Duration::from_millis(timings.stored_ms));
        }
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.log_reports(reports, |report| pipeline.ingest().is_known_outage(report));
        // Other workers log, too: the lock is not held while the database is worked on.
        drop(unread);
        self.metrics_are_old.store(true, Ordering::Relaxed);
        Ok(pipeline.store().upkeep().checkpoint()?)
    }

    /// Starts a worker in a thread. One that panics ends the service, so that whoever watches it starts it anew.
    pub fn hire(
        self: &Arc<Self>,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> Option<JoinHandle<()>> {
        let common = self.clone();
        // A thread that ends by a panic tells nobody; the service would go on without its work.
        let guarded = move || {
            if catch_unwind(AssertUnwindSafe(work)).is_err() {
                common.fail(ServiceError::Died(name));
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        match thread.spawn(guarded) {
            Ok(handle) => Some(handle),
            Err(error) => {
                self.fail(ServiceError::Thread(name, error));
                None
            }
        }
    }
}

/// Wakes a worker; a call while it works is kept until it looks again.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    /// Calls.
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_all();
    }

    /// Waits for a call, at most `time`.
    pub fn wait(&self, time: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = self.heard.wait_timeout_while(rung, time, |rung| !*rung);
        let (mut rung, _) = woken.unwrap_or_else(PoisonError::into_inner);
        // Cleared by who wakes: a call that comes while he works is heard at his next wait.
        *rung = false;
    }
}
