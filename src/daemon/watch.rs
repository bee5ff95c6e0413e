//! The loop of `fluxwatch run`.
//!
//! What talks to the network runs beside the loop; whatever writes the database runs in it, one
//! transaction after the other. A signal is looked at between them, so that a stop never cuts one in
//! half.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::{Config, Feeding, ProbeConfig, RetentionConfig, Source};
use crate::count::counted;
use crate::daemon::agenda::{Agenda, SecondLooks, jitter_of};
use crate::daemon::pruning::Pruning;
use crate::daemon::schedule::{Timetable, is_digest_due};
use crate::daemon::systemd;
use crate::daemon::unread::Unread;
use crate::dns::Name;
use crate::pipeline::{
    AfterTransfer, CatalogOutcome, Pipeline, PipelineError, PollOptions, SweepOutcome,
    TransferOutcome, Transfers, ZoneOutcome, ZoneReport, run_catalog, run_sweep,
};
use crate::source::{NotifyListener, NotifyTable, Probed};
use crate::time::{Span, Timestamp};
use crate::web::{Pushed, PushedLines, Readers, WebState};

/// How often the outbox is looked at when nothing else happens.
const OUTBOX_EVERY: Span = Span::seconds(30);
/// How often it is asked whether the operator is to be told of something.
const OPERATOR_EVERY: Span = Span::seconds(60);
/// How often the file of metrics is replaced at most.
const METRICS_EVERY: Span = Span::seconds(15);
/// How often the canary is looked at.
const CANARY_EVERY: Span = Span::seconds(600);
/// How many answers of probes wait for the loop.
const ANSWERS_WAITING_MAX: usize = 16;
/// How often it is asked whether anything is to be forgotten.
const PRUNE_LOOK_EVERY: Span = Span::hours(1);
/// The longest sleep: a clock that was put right is noticed within it.
const SLEEP_MAX: Span = Span::seconds(60);
/// The most bodies of pushed lines that wait for the loop.
const PUSHES_WAITING_MAX: usize = 16;

/// Why the service ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The pipeline cannot go on.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signal(#[source] std::io::Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(#[source] std::io::Error),
}

/// Why the loop ended.
pub enum Stopped {
    /// By SIGTERM or SIGINT.
    Ended,
    /// By SIGHUP: it goes on with this configuration.
    Reload(Box<Config>),
}

/// A look beside the loop that ended.
enum Looked {
    /// At a catalog.
    Catalog(usize, Box<CatalogOutcome>),
    /// At the members of a catalog.
    Sweep(SweepOutcome),
}

/// The source of a probe, and its next answer; `None` is its end.
type Answered = (usize, Option<Probed>);

/// What the loop waits for.
enum Event {
    /// A signal that ends the program.
    End,
    /// The signal to read the configuration anew.
    Hangup,
    /// A primary says that a zone changed.
    Marked(Name),
    /// Somebody pushed lines.
    Pushed(PushedLines),
    /// A transfer ended.
    Transferred(Box<TransferOutcome>),
    /// A look at a catalog or its members ended.
    Looked(Box<Looked>),
    /// A probe has an answer, or is done.
    Probed(usize, Option<Box<Probed>>),
    /// A listener ended.
    Deaf(std::io::Error),
    /// Something may be due.
    Time,
}

/// Returns what happens next, signals first.
async fn next_event(
    service: &mut Service<'_>,
    signals: &mut Signals,
    notified: &mut Option<NotifyListener>,
    pushes: &mut mpsc::Receiver<PushedLines>,
    web: &mut JoinSet<std::io::Result<()>>,
    wait: Duration,
) -> Event {
    let marked = async {
        match notified {
            Some(listener) => listener.due.recv().await,
            None => pending().await,
        }
    };
    tokio::select! {
        biased;
        _ = signals.terminate.recv() => Event::End,
        _ = signals.interrupt.recv() => Event::End,
        _ = signals.hangup.recv() => Event::Hangup,
        Some(zone) = marked => Event::Marked(zone),
        Some(lines) = pushes.recv() => Event::Pushed(lines),
        outcome = service.transfers.next() => Event::Transferred(Box::new(outcome)),
        Some(looked) = service.looks.join_next() => {
            Event::Looked(Box::new(looked.expect("a look neither panics nor is aborted")))
        }
        Some((i, probed)) = service.probes.1.recv() => Event::Probed(i, probed.map(Box::new)),
        Some(ended) = web.join_next() => {
            let ended = ended.expect("a listener neither panics nor is aborted");
            Event::Deaf(ended.err().unwrap_or_else(|| std::io::Error::other("a listener ended")))
        }
        () = sleep(wait) => Event::Time,
    }
}

/// The signals that `run` hears. They are made once, so that none is missed while it starts anew.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// Everything that the loop holds.
struct Service<'a> {
    pipeline: &'a Pipeline,
    config: Arc<Config>,
    timetables: Vec<Timetable>,
    options: PollOptions,
    agenda: Agenda,
    transfers: Transfers,
    looks: JoinSet<Looked>,
    /// Answers of the probes that run.
    probes: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
    /// Catalogs that are looked at or swept now, and probes that run.
    busy: HashSet<usize>,
    /// Of these, those that are to be looked at again.
    again_busy: HashSet<usize>,
    /// Zones that are transferred now, and the source of each.
    in_flight: HashMap<Name, usize>,
    /// Of these, zones that are to be looked at again.
    again: HashSet<Name>,
    /// Zones and catalogs that are looked at because of a NOTIFY, and those to be looked at once more.
    second_looks: SecondLooks,
    /// Which source feeds a zone that may be marked by a NOTIFY.
    senders: Arc<RwLock<NotifyTable>>,
    source_of: HashMap<Name, usize>,
    outbox_at: Timestamp,
    operator_at: Timestamp,
    metrics_at: Timestamp,
    metrics_are_old: bool,
    /// What could not be read, so that it is said once.
    unread: Unread,
    canary_at: Timestamp,
    /// When to look whether something is to be forgotten.
    prune_at: Timestamp,
    /// What is being forgotten, beside the loop.
    pruning: Pruning,
}

/// Runs every source on its schedule until SIGTERM or SIGINT, or until SIGHUP and `reload` gives a sound
/// configuration.
///
/// # Errors
///
/// [`ServiceError`].
pub async fn serve(
    pipeline: &Pipeline,
    signals: &mut Signals,
    reload: &dyn Fn() -> Result<Config, Vec<String>>,
) -> Result<Stopped, ServiceError> {
    let mut service = Service::new(pipeline)?;
    let config = pipeline.config().clone();
    let mut notified = match &config.notify {
        Some(notify) => {
            let listener = NotifyListener::bind(&notify.listen, service.senders.clone()).await;
            Some(listener.map_err(ServiceError::Listen)?)
        }
        None => None,
    };
    let (sender, mut pushes) = mpsc::channel(PUSHES_WAITING_MAX);
    let mut web = listen_web(pipeline, sender);
    let count = config.sources.len();
    let watching = format!("watching {}", counted(count, "source"));
    tracing::info!(sources = count, "{watching}");
    systemd::tell_ready(&watching);
    loop {
        systemd::tell_alive();
        service.look_again()?;
        service.start_due()?;
        service.tell_operator()?;
        if service.outbox_at <= pipeline.clock().now() {
            // A mail server that hangs must not keep a signal waiting.
            tokio::select! {
                biased;
                () = signals.ended() => break,
                delivered = pipeline.deliver() => { delivered?; }
            }
            service.outbox_at = pipeline.clock().now() + OUTBOX_EVERY;
        }
        service.write_metrics()?;
        service.look_at_canary()?;
        service.forget();
        let wait = service.until_next();
        match next_event(
            &mut service,
            signals,
            &mut notified,
            &mut pushes,
            &mut web,
            wait,
        )
        .await
        {
            Event::End => break,
            Event::Hangup => {
                systemd::tell_reloading();
                match reload() {
                    Ok(config) => {
                        tracing::info!("configuration read anew");
                        // The next loop listens on the same ports.
                        web.shutdown().await;
                        if let Some(listener) = notified {
                            listener.shutdown().await;
                        }
                        return Ok(Stopped::Reload(Box::new(config)));
                    }
                    Err(faults) => tell_not_taken(&faults),
                }
            }
            Event::Marked(zone) => service.mark(&zone)?,
            Event::Pushed(lines) => service.take_push(lines)?,
            Event::Transferred(outcome) => service.finish_transfer(*outcome)?,
            Event::Looked(looked) => service.finish_look(*looked)?,
            Event::Probed(i, probed) => service.take_probed(i, probed.map(|it| *it))?,
            Event::Deaf(error) => return Err(ServiceError::Listen(error)),
            Event::Time => {}
        }
    }
    systemd::tell_stopping();
    tracing::info!("stopped");
    Ok(Stopped::Ended)
}

impl Signals {
    /// Receives from now on. Needs a runtime.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Signal`].
    pub fn new() -> Result<Self, ServiceError> {
        let receive = |kind| signal(kind).map_err(ServiceError::Signal);
        Ok(Self {
            terminate: receive(SignalKind::terminate())?,
            interrupt: receive(SignalKind::interrupt())?,
            hangup: receive(SignalKind::hangup())?,
        })
    }

    /// Returns when one has come that ends the program. Safe to drop and call again.
    async fn ended(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Tells why a new configuration was not taken, a line for each fault.
fn tell_not_taken(faults: &[String]) {
    for fault in faults {
        tracing::error!("configuration not taken, going on with the old one: {fault}");
    }
    let first = faults.first().map_or("", String::as_str);
    let more = match faults.len() {
        0 | 1 => String::new(),
        count => format!(" (and {} more faults)", count - 1),
    };
    systemd::tell_ready(&format!(
        "the new configuration was not taken: {first}{more}"
    ));
}

/// Starts what is served over HTTP; the tasks end when the set is dropped.
fn listen_web(
    pipeline: &Pipeline,
    pushes: mpsc::Sender<PushedLines>,
) -> JoinSet<std::io::Result<()>> {
    let config = pipeline.config();
    let mut tasks = JoinSet::new();
    let state = |metrics_zones_max, token, users| WebState {
        store_path: config.store_path.clone(),
        clock: pipeline.clock().clone(),
        canary: config.canary.clone(),
        metrics_zones_max,
        token,
        users,
        readers: Readers::new(config.store_path.clone()),
        pushes: pushes.clone(),
    };
    if let Some(web) = &config.web {
        tasks.spawn(crate::web::serve(
            web.listen,
            state(None, web.token.clone(), web.users.clone()),
        ));
    }
    let metrics = config.metrics.as_ref();
    if let Some((listen, metrics)) = metrics.and_then(|it| it.listen.map(|listen| (listen, it))) {
        tasks.spawn(crate::web::serve(
            listen,
            state(Some(metrics.zones_max), None, Vec::new()),
        ));
    }
    tasks
}

impl<'a> Service<'a> {
    /// Puts every source on the agenda.
    fn new(pipeline: &'a Pipeline) -> Result<Self, ServiceError> {
        let config = pipeline.config().clone();
        let now = pipeline.clock().now();
        let mut agenda = Agenda::default();
        let mut timetables = Vec::new();
        let mut senders = NotifyTable::default();
        senders.signed_only = config.notify.as_ref().is_some_and(|notify| notify.signed);
        let mut source_of = HashMap::new();
        for (i, source) in config.sources.iter().enumerate() {
            let timetable = Timetable::new(&source.schedule);
            let first = timetable.first(now);
            agenda.put(i, first + jitter_of(&source.name, first, source.jitter));
            timetables.push(timetable);
            let settings = source.transfer();
            let sender = senders.add_sender(
                settings.map_or(&[], |settings| &settings.primaries),
                settings.and_then(|settings| pipeline.transfer_key(settings)),
            );
            debug_assert_eq!(sender as usize, i);
            if let Some(zone) = settings.filter(|it| it.notify).and(watched_apex(source)) {
                senders.add_zone(zone.clone(), sender);
                source_of.insert(zone.clone(), i);
            }
        }
        let mut service = Self {
            pipeline,
            timetables,
            options: PollOptions {
                mail_wanted: true,
                ..PollOptions::default()
            },
            agenda,
            transfers: Transfers::default(),
            looks: JoinSet::new(),
            probes: mpsc::channel(ANSWERS_WAITING_MAX),
            busy: HashSet::new(),
            again_busy: HashSet::new(),
            in_flight: HashMap::new(),
            again: HashSet::new(),
            second_looks: SecondLooks::default(),
            senders: Arc::new(RwLock::new(senders)),
            source_of,
            outbox_at: now,
            // The first looks at the sources come first: what was blind while nothing ran is not.
            operator_at: now + OPERATOR_EVERY,
            metrics_at: now,
            metrics_are_old: true,
            unread: Unread::default(),
            canary_at: now + CANARY_EVERY,
            prune_at: now,
            pruning: Pruning::default(),
            config,
        };
        for i in 0..service.config.sources.len() {
            service.know_members(i)?;
        }
        Ok(service)
    }

    /// Tells the operator what cannot be seen and what moved in masses, and the desk its digest, when
    /// that is due.
    fn tell_operator(&mut self) -> Result<(), ServiceError> {
        let now = self.pipeline.clock().now();
        if self.operator_at > now {
            return Ok(());
        }
        self.operator_at = now + OPERATOR_EVERY;
        self.pipeline.tell_operator()?;
        if is_digest_due(&self.config, self.pipeline.last_digest_at()?, now) {
            self.pipeline.queue_digest()?;
        }
        Ok(())
    }

    /// Lets the primaries of a catalog mark its members.
    fn know_members(&mut self, index: usize) -> Result<(), PipelineError> {
        let config = self.config.clone();
        let source = &config.sources[index];
        let Feeding::Catalog {
            catalog, settings, ..
        } = &source.feeding
        else {
            return Ok(());
        };
        let members = self.pipeline.catalog_zones(source)?;
        let mut senders = self.senders.write().unwrap_or_else(PoisonError::into_inner);
        // Those that left are not watched any more.
        senders.forget_zones(index as u32);
        self.source_of.retain(|_, known| *known != index);
        let members = members.into_iter().chain([catalog.clone()]);
        for zone in members {
            if settings.notify {
                senders.add_zone(zone.clone(), index as u32);
            }
            self.source_of.insert(zone, index);
        }
        Ok(())
    }

    /// Starts or runs every source that is due. What is still running is left alone.
    fn start_due(&mut self) -> Result<(), PipelineError> {
        let config = self.config.clone();
        while let Some(i) = self.agenda.take_due(self.pipeline.clock().now()) {
            let source = &config.sources[i];
            self.put_next(i, source)?;
            match &source.feeding {
                Feeding::Transfer { zone, .. } => self.start_transfer(zone, i)?,
                Feeding::Catalog { .. } => {
                    if !self.busy.insert(i) {
                        self.again_busy.insert(i);
                    } else {
                        let job = self.pipeline.prepare_catalog(source, &self.options)?;
                        self.looks.spawn(async move {
                            Looked::Catalog(i, Box::new(run_catalog(job).await))
                        });
                    }
                }
                Feeding::Zonefile { .. } => {
                    let reports = self.pipeline.poll_files(source, &self.options)?;
                    self.end_reports(&reports)?;
                }
                Feeding::Feed { .. } => {
                    let reports = self.pipeline.poll_feed(source, &self.options)?;
                    self.end_reports(&reports)?;
                }
                Feeding::Probe(probe) => self.start_probe(i, source, probe)?,
            }
        }
        Ok(())
    }

    /// Starts a probe, unless the last one still runs.
    fn start_probe(
        &mut self,
        i: usize,
        source: &Source,
        probe: &ProbeConfig,
    ) -> Result<(), PipelineError> {
        if !self.busy.insert(i) {
            tracing::warn!(source = %source.name, "source {}: the last probe is not done yet", source.name);
            return Ok(());
        }
        match self.pipeline.prepare_probe(source, probe)? {
            Ok(job) => {
                let (mut answers, sender) = (job.start(), self.probes.0.clone());
                tokio::spawn(async move {
                    while let Some(probed) = answers.next().await {
                        if sender.send((i, Some(probed))).await.is_err() {
                            return;
                        }
                    }
                    // Nobody hears it only when the program ends.
                    let _ = sender.send((i, None)).await;
                });
            }
            Err(report) => {
                self.busy.remove(&i);
                self.end_reports(&[report])?;
            }
        }
        Ok(())
    }

    /// Stores an answer of a probe; `None` is its end.
    fn take_probed(&mut self, i: usize, probed: Option<Probed>) -> Result<(), PipelineError> {
        let config = self.config.clone();
        let source = &config.sources[i];
        match (probed, &source.feeding) {
            (Some(probed), Feeding::Probe(probe)) => {
                let report = self
                    .pipeline
                    .take_probed(source, probe, probed, &self.options)?;
                self.metrics_are_old = true;
                // A portfolio that stands is not worth a line for each domain.
                if !matches!(report.outcome, ZoneOutcome::Unchanged { .. }) {
                    self.end_reports(&[report])?;
                }
            }
            _ => {
                self.busy.remove(&i);
                tracing::info!(source = %source.name, "source {}: every domain was asked about", source.name);
                self.pipeline.store().checkpoint()?;
            }
        }
        Ok(())
    }

    /// Puts a source on the agenda for its next time.
    fn put_next(&mut self, i: usize, source: &Source) -> Result<(), PipelineError> {
        let now = self.pipeline.clock().now();
        let refresh = match (&self.timetables[i], source.zone()) {
            (Timetable::Soa, Some(zone)) => self.pipeline.soa_timers(zone)?.map(|timers| timers.0),
            _ => None,
        };
        let next = self.timetables[i].after(now, refresh);
        let late = jitter_of(&source.name, next, source.jitter);
        self.agenda.put(i, next + late);
        Ok(())
    }

    /// Starts the transfer of a zone, unless it runs: then it runs once more after that.
    fn start_transfer(&mut self, zone: &Name, i: usize) -> Result<(), PipelineError> {
        let is_left = matches!(self.config.sources[i].feeding, Feeding::Catalog { .. })
            && self.source_of.get(zone) != Some(&i);
        if is_left || self.in_flight.contains_key(zone) {
            return Ok(());
        }
        let config = self.config.clone();
        let source = &config.sources[i];
        let settings = source
            .transfer()
            .expect("only transfers and catalogs are started");
        let job = self
            .pipeline
            .prepare_transfer(source, zone, settings, &self.options)?;
        self.in_flight.insert(zone.clone(), i);
        self.transfers.add(job);
        Ok(())
    }

    /// Looks at a zone now, since its primary says that it changed.
    fn mark(&mut self, zone: &Name) -> Result<(), PipelineError> {
        let Some(i) = self.source_of.get(zone).copied() else {
            return Ok(());
        };
        let now = self.pipeline.clock().now();
        self.second_looks.note_notify(zone);
        match &self.config.sources[i].feeding {
            Feeding::Catalog { catalog, .. } if catalog == zone => {
                self.agenda.hurry(i, now);
                Ok(())
            }
            _ if self.in_flight.contains_key(zone) => {
                self.again.insert(zone.clone());
                Ok(())
            }
            _ => self.start_transfer(zone, i),
        }
    }

    /// Plans a second look at a zone if a NOTIFY had it looked at and nothing new was there.
    fn plan_look_again(&mut self, report: &ZoneReport) {
        if let Some(zone) = &report.zone {
            let is_old = match report.outcome {
                ZoneOutcome::Unchanged { .. } => true,
                // What was planned stays: a look that failed has seen nothing.
                ZoneOutcome::Refused(_) => return,
                _ => false,
            };
            let now = self.pipeline.clock().now();
            self.second_looks.note_look(zone, is_old, now);
            if self.again.contains(zone) {
                // A NOTIFY came while this look went on; the one that follows is its first.
                self.second_looks.note_notify(zone);
            }
        }
    }

    /// Looks again at zones whose NOTIFY had brought nothing.
    fn look_again(&mut self) -> Result<(), PipelineError> {
        let now = self.pipeline.clock().now();
        for zone in self.second_looks.take_due(now) {
            let Some(i) = self.source_of.get(&zone).copied() else {
                continue;
            };
            match &self.config.sources[i].feeding {
                Feeding::Catalog { catalog, .. } if *catalog == zone => self.agenda.hurry(i, now),
                _ => self.start_transfer(&zone, i)?,
            }
        }
        Ok(())
    }

    /// Stores what a transfer brought, or starts its next part.
    fn finish_transfer(&mut self, outcome: TransferOutcome) -> Result<(), PipelineError> {
        let report = match self.pipeline.finish_transfer(outcome, &self.options)? {
            AfterTransfer::GoesOn(job) => {
                self.transfers.go_on(*job);
                return Ok(());
            }
            AfterTransfer::Done(report) => report,
        };
        let zone = report.zone.clone().expect("a transfer is of a zone");
        let i = self.in_flight.remove(&zone);
        self.end_reports(std::slice::from_ref(&report))?;
        self.plan_look_again(&report);
        let Some(i) = i else { return Ok(()) };
        if self.again.remove(&zone) {
            return self.start_transfer(&zone, i);
        }
        // RFC 1035 §3.3.13: retry instead of refresh after a failure; and a refresh that is shorter now.
        if let (Timetable::Soa, Some((refresh, retry))) =
            (&self.timetables[i], self.pipeline.soa_timers(&zone)?)
        {
            let failed = matches!(report.outcome, ZoneOutcome::Refused(_));
            let wait = if failed { retry } else { refresh };
            let next = self.timetables[i].after(self.pipeline.clock().now(), Some(wait));
            self.agenda.hurry(i, next);
        }
        Ok(())
    }

    /// Goes on after a look at a catalog or its members.
    fn finish_look(&mut self, looked: Looked) -> Result<(), PipelineError> {
        let config = self.config.clone();
        match looked {
            Looked::Catalog(i, outcome) => {
                let source = &config.sources[i];
                let report = self.pipeline.finish_catalog(source, *outcome)?;
                self.end_reports(std::slice::from_ref(&report))?;
                self.plan_look_again(&report);
                self.know_members(i)?;
                let (sweep, one_by_one) = self.pipeline.prepare_sweep(i, source, None)?;
                match sweep {
                    Some(job) => {
                        self.looks
                            .spawn(async move { Looked::Sweep(run_sweep(job).await) });
                    }
                    None => self.end_look(i),
                }
                one_by_one
                    .iter()
                    .try_for_each(|zone| self.start_transfer(zone, i))
            }
            Looked::Sweep(outcome) => {
                let i = outcome.source;
                self.end_look(i);
                let source = &config.sources[i];
                let reports = self
                    .pipeline
                    .finish_sweep(source, &outcome, &self.options)?;
                self.end_reports(&reports)?;
                outcome
                    .changed
                    .iter()
                    .try_for_each(|zone| self.start_transfer(zone, i))
            }
        }
    }

    /// Notes that a catalog and its members were looked at. One that was marked meanwhile is due again.
    fn end_look(&mut self, i: usize) {
        self.busy.remove(&i);
        if self.again_busy.remove(&i) {
            self.agenda.hurry(i, self.pipeline.clock().now());
        }
    }

    /// Takes in pushed lines and answers.
    fn take_push(&mut self, push: PushedLines) -> Result<(), PipelineError> {
        let config = self.config.clone();
        let takes = |source: &&Source| matches!(source.feeding, Feeding::Feed { push: true, .. });
        let mut feeds = config.sources.iter().filter(takes);
        let feed = match &push.source {
            Some(name) => feeds.find(|source| source.name == *name),
            None => feeds.next().filter(|_| feeds.next().is_none()),
        };
        let Some(source) = feed else {
            let _ = push.answer.send(Pushed::NoSuchFeed);
            return Ok(());
        };
        let reports = self
            .pipeline
            .push_feed(source, &push.lines, &self.options)?;
        let (mut versions, mut changed_names, mut rejected_lines) = (0, 0, 0);
        for report in &reports {
            match &report.outcome {
                ZoneOutcome::Stored(summary) => {
                    versions += summary.versions;
                    changed_names += summary.changed_names;
                }
                ZoneOutcome::LinesRejected(count) => rejected_lines += count,
                _ => {}
            }
        }
        // Whoever pushed may have gone; the lines are durable all the same.
        let _ = push.answer.send(Pushed::Taken {
            versions,
            changed_names,
            rejected_lines,
        });
        self.end_reports(&reports)
    }

    /// Logs what was found, and what follows from it being stored.
    fn end_reports(&mut self, reports: &[ZoneReport]) -> Result<(), PipelineError> {
        let is_known = |report: &ZoneReport| self.pipeline.is_known_outage(report);
        self.unread.log_reports(reports, is_known);
        self.outbox_at = self.outbox_at.min(self.pipeline.clock().now());
        self.metrics_are_old = true;
        Ok(self.pipeline.store().checkpoint()?)
    }

    /// Says now and then that the monitor is blind, if it is.
    fn look_at_canary(&mut self) -> Result<(), PipelineError> {
        let now = self.pipeline.clock().now();
        if self.canary_at <= now {
            self.canary_at = now + CANARY_EVERY;
            if let Some(alarm) = self.pipeline.canary_alarm()? {
                tracing::error!("{alarm}");
            }
        }
        Ok(())
    }

    /// Replaces the file of metrics, now and then.
    fn write_metrics(&mut self) -> Result<(), PipelineError> {
        let now = self.pipeline.clock().now();
        if self.metrics_are_old && self.metrics_at <= now {
            self.pipeline.write_metrics()?;
            self.metrics_are_old = false;
            self.metrics_at = now + METRICS_EVERY;
        }
        Ok(())
    }

    /// Forgets what is too old, once a day, beside the loop.
    fn forget(&mut self) {
        let now = self.pipeline.clock().now();
        if self.prune_at <= now && self.config.retention != RetentionConfig::default() {
            self.prune_at = now + PRUNE_LOOK_EVERY;
            self.pruning.start(self.config.clone(), now);
        }
    }

    /// Returns how long nothing is due.
    fn until_next(&self) -> Duration {
        let now = self.pipeline.clock().now();
        let sleep_max = systemd::alive_every().map_or(SLEEP_MAX, |every| every.min(SLEEP_MAX));
        let next = self
            .agenda
            .next_at()
            .into_iter()
            .chain(self.second_looks.next_at())
            .chain([self.outbox_at, now + sleep_max])
            .min()
            .unwrap_or(now);
        // At least a moment, so that a clock at the very end of a second does not spin.
        Duration::from_millis((next.since(now).as_seconds().max(0) as u64 * 1000).max(100))
    }
}

/// Returns the zone or the catalog that a source transfers.
fn watched_apex(source: &Source) -> Option<&Name> {
    match &source.feeding {
        Feeding::Transfer { zone, .. } => Some(zone),
        Feeding::Catalog { catalog, .. } => Some(catalog),
        Feeding::Zonefile { .. } | Feeding::Feed { .. } | Feeding::Probe(_) => None,
    }
}
