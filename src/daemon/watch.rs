//! The watch over the primaries: transfers, catalogs, probes, and whose turn it is.
//!
//! What talks to the network runs beside this loop; what it brings is stored in it. Files and feeds are read by the
//! crew, what is stored is judged by another worker: nothing here takes longer than one version of one zone.

use crate::config::CatalogSource;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::config::{Config, Feeding, ProbeConfig, Schedule, Source};
use crate::daemon::agenda::{Agenda, SecondRefreshes, jitter_of};
use crate::daemon::common::{Common, WATCH, options};
use crate::daemon::crew::{Crew, Passed};
use crate::daemon::schedule::{Due, Timetable};
use crate::dns::Name;
use crate::pipeline::{
    AfterTransfer, CatalogOutcome, Pipeline, PipelineError, PollOptions, SweepOutcome,
    TransferOutcome, Transfers, ZoneOutcome, ZoneReport, run_catalog, run_sweep,
    tell_of_each_other,
};
use crate::source::{NotifyTable, Probed};
use crate::time::{Reading, StepWatch};

/// How many answers of probes wait for the loop.
const ANSWERS_WAITING_MAX: usize = 16;
/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// Whoever has slept for so long did not run meanwhile: the program, or the machine, was suspended. Chosen by hand.
const PAUSE_MIN: Duration = Duration::from_secs(60);

/// A look beside the loop that ended.
enum CatalogStep {
    /// At a catalog.
    Catalog(usize, Box<CatalogOutcome>),
    /// At the members of a catalog.
    Sweep(SweepOutcome),
}

/// The source of a probe, and its next answer; `None` is its end.
type Answered = (usize, Option<Probed>);

/// What the watch hears of.
pub(super) struct Hearing {
    /// Zones whose primaries say that they changed.
    pub marks: mpsc::Receiver<Name>,
    /// Passes of the crew that ended.
    pub passed: mpsc::UnboundedReceiver<Passed>,
    /// Called when another configuration is in force.
    pub reloaded: Arc<Notify>,
}

/// What the loop waits for.
enum Event {
    /// The service stops.
    End,
    /// Another configuration is in force.
    Reload,
    /// A primary says that a zone changed.
    Marked(Name),
    /// The crew is done with a source.
    Passed(Passed),
    /// Transfers ended.
    Transferred(Vec<TransferOutcome>),
    /// A look at a catalog or its members ended.
    CatalogStep(Box<CatalogStep>),
    /// A probe has an answer, or is done.
    Probed(usize, Option<Box<Probed>>),
    /// Something may be due.
    Time,
}

/// Why a watch ended.
enum Ended {
    /// The service stops.
    Stopped,
    /// Another configuration is in force.
    Reloaded,
}

/// Watches until the service stops. A fault that can heal has it begin anew, with a look at every source: nothing
/// that was fetched and not stored is missed.
pub(super) async fn watch(
    common: Arc<Common>,
    crew: Arc<Crew>,
    senders: Arc<RwLock<NotifyTable>>,
    mut hearing: Hearing,
) {
    let Some(mut pipeline) = common.open(WATCH) else {
        return;
    };
    pipeline.judge_later(common.docket.clone());
    // Whether each source is to be read before anything is judged: not after a reload, which stops nothing.
    let mut reads_first = true;
    while !common.stop.is_set() {
        let noted = common.note_watched(&mut pipeline);
        let waited = sources_to_wait_for(pipeline.config());
        match reads_first {
            true => {
                common.first_reading.begin(waited.into_iter());
                common.docket.note_stored();
            }
            false => common.first_reading.keep(waited.into_iter()),
        }
        let watch = noted.and_then(|()| Watch::new(&pipeline, &common, &crew, &senders));
        let ended = match watch {
            Ok(mut watch) => watch.go_on(&mut hearing).await,
            Err(error) => Err(error),
        };
        reads_first = ended.is_err();
        match ended {
            Ok(Ended::Stopped) => return,
            Ok(Ended::Reloaded) => {}
            Err(error) => {
                if !common.heal(WATCH, pipeline.store(), error) {
                    return;
                }
            }
        }
    }
}

/// Everything that the loop holds.
struct Watch<'a> {
    pipeline: &'a Pipeline,
    common: &'a Common,
    crew: &'a Arc<Crew>,
    config: Arc<Config>,
    /// Which watch this is.
    generation: u64,
    timetables: Vec<Timetable>,
    options: PollOptions,
    agenda: Agenda,
    /// Notices that the wall clock was set.
    steps: StepWatch,
    transfers: Transfers,
    catalog_steps: JoinSet<CatalogStep>,
    /// Answers of the probes that run.
    probes: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
    /// Catalogs that are looked at or swept now, and probes that run.
    busy: HashSet<usize>,
    /// Of these, those that are to be looked at again.
    again_busy: HashSet<usize>,
    /// Sources that the crew is at, and since when.
    passing: HashMap<usize, Reading>,
    /// Zones that are transferred now, and the source of each.
    in_flight: HashMap<Name, usize>,
    /// Of these, zones that are to be looked at again.
    again: HashSet<Name>,
    /// Zones and catalogs that are looked at because of a NOTIFY, and those to be looked at once more.
    second_refreshes: SecondRefreshes,
    /// Which source feeds a zone that may be marked by a NOTIFY.
    senders: &'a RwLock<NotifyTable>,
    source_of: HashMap<Name, usize>,
}

impl<'a> Watch<'a> {
    /// Puts every source on the agenda.
    fn new(
        pipeline: &'a Pipeline,
        common: &'a Common,
        crew: &'a Arc<Crew>,
        senders: &'a RwLock<NotifyTable>,
    ) -> Result<Self, PipelineError> {
        let config = pipeline.config().clone();
        let reading = pipeline.clock().reading();
        let mut agenda = Agenda::default();
        let mut timetables = Vec::new();
        let mut table = NotifyTable::default();
        table.signed_only = config.notify.as_ref().is_some_and(|notify| notify.signed);
        let mut source_of = HashMap::new();
        for (i, source) in config.sources.iter().enumerate() {
            let timetable = Timetable::new(&source.schedule);
            // What is waited for is read at once, whatever its schedule.
            if common.first_reading.waits_for(&source.name) {
                agenda.put(i, Due::at(reading.moment), Duration::ZERO);
            } else {
                let first = timetable.first(reading);
                let late = jitter_of(&source.name, first.moment, source.jitter);
                agenda.put(i, first, late);
            }
            timetables.push(timetable);
            let settings = source.transfer();
            let sender = table.add_sender(
                settings.map_or(&[], |settings| &settings.primaries),
                settings.and_then(|settings| pipeline.ingest().transfer_key(settings)),
            );
            debug_assert_eq!(sender as usize, i);
            if let Some(zone) = settings.filter(|it| it.notify).and(watched_apex(source)) {
                table.add_zone(zone.clone(), sender);
                source_of.insert(zone.clone(), i);
            }
        }
        *senders.write().unwrap_or_else(PoisonError::into_inner) = table;
        let mut watch = Self {
            pipeline,
            common,
            crew,
            generation: common.watches.fetch_add(1, Ordering::SeqCst),
            timetables,
            options: options(),
            agenda,
            steps: StepWatch::new(reading),
            transfers: Transfers::default(),
            catalog_steps: JoinSet::new(),
            probes: mpsc::channel(ANSWERS_WAITING_MAX),
            busy: HashSet::new(),
            again_busy: HashSet::new(),
            passing: HashMap::new(),
            in_flight: HashMap::new(),
            again: HashSet::new(),
            second_refreshes: SecondRefreshes::default(),
            senders,
            source_of,
            config,
        };
        for i in 0..watch.config.sources.len() {
            watch.know_members(i)?;
        }
        Ok(watch)
    }

    /// Watches until something ends it.
    async fn go_on(&mut self, hearing: &mut Hearing) -> Result<Ended, PipelineError> {
        loop {
            if self.common.stop.is_set() {
                return Ok(Ended::Stopped);
            }
            self.common.beat();
            self.follow_clock();
            self.plan_again()?;
            self.start_due()?;
            self.end_first_looks();
            let slept_at = self.pipeline.clock().moment();
            let event = self.next_event(hearing).await;
            if self.pipeline.clock().moment().since(slept_at) >= PAUSE_MIN {
                self.begin_anew();
            }
            match event {
                Event::End => return Ok(Ended::Stopped),
                Event::Reload => return Ok(Ended::Reloaded),
                Event::Marked(zone) => self.mark(&zone)?,
                Event::Passed(passed) => self.end_pass(&passed)?,
                Event::Transferred(outcomes) => self.finish_transfers(outcomes)?,
                Event::CatalogStep(step) => self.finish_catalog_step(*step)?,
                Event::Probed(i, probed) => self.take_probed(i, probed.map(|it| *it))?,
                Event::Time => {}
            }
        }
    }

    /// Returns what happens next, ends first.
    async fn next_event(&mut self, hearing: &mut Hearing) -> Event {
        let wait = self.until_next();
        tokio::select! {
            biased;
            () = self.common.stop.heard() => Event::End,
            () = hearing.reloaded.notified() => Event::Reload,
            Some(zone) = hearing.marks.recv() => Event::Marked(zone),
            Some(passed) = hearing.passed.recv() => Event::Passed(passed),
            outcomes = self.transfers.next() => Event::Transferred(outcomes),
            Some(step) = self.catalog_steps.join_next() => {
                Event::CatalogStep(Box::new(step.expect("a look neither panics nor is aborted")))
            }
            Some((i, probed)) = self.probes.1.recv() => Event::Probed(i, probed.map(Box::new)),
            () = sleep(wait) => Event::Time,
        }
    }

    /// Has each source read before anything else is judged, as at a start.
    fn begin_anew(&mut self) {
        tracing::info!(
            "fluxwatch did not run for a while; each source is read before anything is judged"
        );
        let waited = sources_to_wait_for(&self.config);
        self.common.first_reading.begin(waited.into_iter());
        // What is stored then is judged in the order of its times.
        self.common.docket.note_stored();
        let now = self.pipeline.clock().moment();
        for (i, source) in self.config.sources.iter().enumerate() {
            let is_idle = !self.passing.contains_key(&i) && !self.busy.contains(&i);
            if is_idle && self.common.first_reading.waits_for(&source.name) {
                self.agenda.hurry(i, now);
            }
        }
    }

    /// Notes which catalogs were looked at for the first time: they and their members.
    fn end_first_looks(&self) {
        if !self.in_flight.is_empty() {
            return;
        }
        for (i, source) in self.config.sources.iter().enumerate() {
            if matches!(source.feeding, Feeding::Catalog(_)) && !self.busy.contains(&i) {
                self.common.first_reading.end(&source.name);
            }
        }
    }

    /// Plans anew what goes by the wall clock, if that was set.
    fn follow_clock(&mut self) {
        let reading = self.pipeline.clock().reading();
        self.agenda.follow(reading);
        if self.steps.look(reading).is_some() {
            self.agenda.replan(reading, &self.timetables);
        }
    }

    /// Lets the primaries of a catalog mark its members.
    fn know_members(&mut self, index: usize) -> Result<(), PipelineError> {
        let config = self.config.clone();
        let source = &config.sources[index];
        let Feeding::Catalog(CatalogSource {
            catalog, settings, ..
        }) = &source.feeding
        else {
            return Ok(());
        };
        let members = self.pipeline.ingest().catalog_zones(source)?;
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
        loop {
            let began = self.pipeline.clock().reading();
            let Some(i) = self.agenda.take_due(began) else {
                return Ok(());
            };
            let source = &config.sources[i];
            match &source.feeding {
                Feeding::Transfer(transfer) => self.start_transfer(&transfer.zone, i)?,
                Feeding::Catalog(catalog) => {
                    // One that is still looked at is due again at its next time.
                    if self.busy.insert(i) {
                        let job = self.pipeline.ingest().prepare_catalog(
                            &source.name,
                            catalog,
                            &self.options,
                        )?;
                        self.catalog_steps.spawn(async move {
                            CatalogStep::Catalog(i, Box::new(run_catalog(job).await))
                        });
                    }
                }
                Feeding::Zonefile(_) | Feeding::Feed(_) => {
                    // Its next time is known when the pass is over.
                    self.passing.insert(i, began);
                    let setup = self.pipeline.setup();
                    self.crew.look_at(setup, self.generation, i);
                    continue;
                }
                Feeding::Probe(probe) => self.start_probe(i, source, probe)?,
            }
            self.put_next(i, source, began)?;
        }
    }

    /// Plans the next pass of a source that the crew is done with.
    fn end_pass(&mut self, passed: &Passed) -> Result<(), PipelineError> {
        let i = passed.source;
        let first = &self.common.first_reading;
        // One that is cut off goes on at once while it is waited for.
        let goes_on = passed.is_cut && first.waits_for(&passed.name);
        if !passed.is_cut {
            first.end(&passed.name);
        }
        // Passes of the watch before say nothing here.
        if passed.generation != self.generation {
            return Ok(());
        }
        match self.passing.remove(&i) {
            Some(_) if goes_on => {
                let now = self.pipeline.clock().moment();
                self.agenda.put(i, Due::at(now), Duration::ZERO);
                Ok(())
            }
            Some(began) => {
                let config = self.config.clone();
                self.put_next(i, &config.sources[i], began)
            }
            None => Ok(()),
        }
    }

    /// Starts a probe, unless the last one still runs.
    fn start_probe(
        &mut self,
        i: usize,
        source: &Source,
        probe: &ProbeConfig,
    ) -> Result<(), PipelineError> {
        if !self.busy.insert(i) {
            tracing::warn!(source = %source.name, "source {}: the last probe is still running; a longer every gives it time", source.name);
            return Ok(());
        }
        match self.pipeline.ingest().prepare_probe(source, probe)? {
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
                self.common.first_reading.end(&source.name);
                self.end_reports(&[report])?;
            }
        }
        Ok(())
    }

    /// Stores an answer of a probe; `None` is its end.
    fn take_probed(&mut self, i: usize, probed: Option<Probed>) -> Result<(), PipelineError> {
        let config = self.config.clone();
        let source = &config.sources[i];
        self.common.docket.note_progress();
        match (probed, &source.feeding) {
            (Some(probed), Feeding::Probe(probe)) => {
                let report =
                    self.pipeline
                        .ingest()
                        .take_probed(source, probe, probed, &self.options)?;
                self.common.metrics_are_old.store(true, Ordering::Relaxed);
                // A portfolio that stands is not worth a line for each domain.
                if !matches!(report.outcome, ZoneOutcome::Unchanged { .. }) {
                    self.end_reports(&[report])?;
                }
            }
            _ => {
                self.busy.remove(&i);
                self.common.first_reading.end(&source.name);
                tracing::info!(source = %source.name, "source {}: the probe has asked about every domain", source.name);
                self.pipeline.store().upkeep().checkpoint()?;
            }
        }
        Ok(())
    }

    /// Puts a source on the agenda for its next time, its pass having begun at `began`.
    fn put_next(&mut self, i: usize, source: &Source, began: Reading) -> Result<(), PipelineError> {
        let ended = self.pipeline.clock().reading();
        let refresh = match (&self.timetables[i], source.zone()) {
            (Timetable::Soa, Some(zone)) => self
                .pipeline
                .ingest()
                .soa_timers(zone)?
                .map(|timers| timers.0),
            _ => None,
        };
        let next = self.timetables[i].after(began, ended, refresh);
        let late = jitter_of(&source.name, next.moment, source.jitter);
        self.agenda.put(i, next, late);
        Ok(())
    }

    /// Starts the transfer of a zone, unless it runs: then it runs once more after that.
    fn start_transfer(&mut self, zone: &Name, i: usize) -> Result<(), PipelineError> {
        // A member that left its catalog while its transfer waited: nobody lists it any more.
        let is_left = matches!(self.config.sources[i].feeding, Feeding::Catalog(_))
            && self.source_of.get(zone) != Some(&i);
        if is_left || self.in_flight.contains_key(zone) {
            return Ok(());
        }
        let config = self.config.clone();
        let source = &config.sources[i];
        // A zone file, a feed or a probe has no primary to transfer from.
        let Some(settings) = source.transfer() else {
            return Ok(());
        };
        let job = self
            .pipeline
            .ingest()
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
        let now = self.pipeline.clock().moment();
        self.second_refreshes.record_notify(zone);
        match &self.config.sources[i].feeding {
            Feeding::Catalog(CatalogSource { catalog, .. }) if catalog == zone => {
                // The look that goes on may have begun before the change of which this NOTIFY tells.
                if self.busy.contains(&i) {
                    self.again_busy.insert(i);
                } else {
                    self.agenda.hurry(i, now);
                }
                Ok(())
            }
            // The same of a transfer: once more after it, never two of one zone beside each other.
            _ if self.in_flight.contains_key(zone) => {
                self.again.insert(zone.clone());
                Ok(())
            }
            _ => self.start_transfer(zone, i),
        }
    }

    /// Plans a second look at a zone if a NOTIFY had it looked at and nothing new was there.
    fn plan_second_refresh(&mut self, report: &ZoneReport) {
        if let Some(zone) = &report.zone {
            let is_old = match report.outcome {
                ZoneOutcome::Unchanged { .. } => true,
                // What was planned stays: a look that failed has seen nothing.
                ZoneOutcome::Refused(_) => return,
                _ => false,
            };
            let now = self.pipeline.clock().moment();
            self.second_refreshes.record_refresh(zone, is_old, now);
            if self.again.contains(zone) {
                // A NOTIFY came while this look went on; the one that follows is its first.
                self.second_refreshes.record_notify(zone);
            }
        }
    }

    /// Looks again at zones whose NOTIFY had brought nothing.
    fn plan_again(&mut self) -> Result<(), PipelineError> {
        let now = self.pipeline.clock().moment();
        for zone in self.second_refreshes.take_due(now) {
            let Some(i) = self.source_of.get(&zone).copied() else {
                continue;
            };
            match &self.config.sources[i].feeding {
                Feeding::Catalog(CatalogSource { catalog, .. }) if *catalog == zone => {
                    self.agenda.hurry(i, now);
                }
                _ => self.start_transfer(&zone, i)?,
            }
        }
        Ok(())
    }

    /// Stores what transfers brought, or starts their next parts.
    fn finish_transfers(&mut self, outcomes: Vec<TransferOutcome>) -> Result<(), PipelineError> {
        self.common.docket.note_progress();
        let zones: Vec<Name> = outcomes.iter().map(|it| it.apex().clone()).collect();
        let ingest = self.pipeline.ingest();
        let after = ingest.finish_transfers(outcomes, &self.options)?;
        for (zone, after) in zones.into_iter().zip(after) {
            match after {
                AfterTransfer::GoesOn(job) => self.transfers.go_on(*job),
                AfterTransfer::Done(report) => self.end_transfer(zone, report)?,
            }
        }
        Ok(())
    }

    /// Tells how a transfer ended and plans the next.
    fn end_transfer(&mut self, zone: Name, report: ZoneReport) -> Result<(), PipelineError> {
        let i = self.in_flight.remove(&zone);
        self.end_reports(std::slice::from_ref(&report))?;
        self.plan_second_refresh(&report);
        let Some(i) = i else { return Ok(()) };
        let source = &self.config.sources[i];
        if matches!(source.feeding, Feeding::Transfer(_)) {
            self.common.first_reading.end(&source.name);
        }
        if self.again.remove(&zone) {
            return self.start_transfer(&zone, i);
        }
        // RFC 1035 §3.3.13: retry instead of refresh after a failure; and a refresh that is shorter now.
        if let (Timetable::Soa, Some((refresh, retry))) = (
            &self.timetables[i],
            self.pipeline.ingest().soa_timers(&zone)?,
        ) {
            let failed = matches!(report.outcome, ZoneOutcome::Refused(_));
            let wait = if failed { retry } else { refresh };
            let now = self.pipeline.clock().reading();
            let next = self.timetables[i].after(now, now, Some(wait));
            self.agenda.hurry(i, next.moment);
        }
        Ok(())
    }

    /// Goes on after a look at a catalog or its members.
    fn finish_catalog_step(&mut self, step: CatalogStep) -> Result<(), PipelineError> {
        let config = self.config.clone();
        match step {
            CatalogStep::Catalog(i, outcome) => {
                let catalog = outcome.catalog().clone();
                let report = self.pipeline.ingest().finish_catalog(*outcome)?;
                self.end_reports(std::slice::from_ref(&report))?;
                self.plan_second_refresh(&report);
                self.know_members(i)?;
                let name = &config.sources[i].name;
                let (sweep, one_by_one) =
                    self.pipeline
                        .ingest()
                        .prepare_sweep(i, (name, &catalog), None)?;
                match sweep {
                    Some(job) => {
                        self.catalog_steps
                            .spawn(async move { CatalogStep::Sweep(run_sweep(job).await) });
                    }
                    None => self.end_catalog_pass(i),
                }
                one_by_one
                    .iter()
                    .try_for_each(|zone| self.start_transfer(zone, i))
            }
            CatalogStep::Sweep(outcome) => {
                let i = outcome.source;
                self.end_catalog_pass(i);
                let source = &config.sources[i];
                let reports =
                    self.pipeline
                        .ingest()
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
    fn end_catalog_pass(&mut self, i: usize) {
        self.busy.remove(&i);
        if self.again_busy.remove(&i) {
            self.agenda.hurry(i, self.pipeline.clock().moment());
        }
    }

    /// Logs what was found, and what follows from it being stored.
    fn end_reports(&self, reports: &[ZoneReport]) -> Result<(), PipelineError> {
        self.common.end_reports(self.pipeline, reports)?;
        self.common.clear(WATCH);
        Ok(())
    }

    /// Returns how long nothing is due.
    fn until_next(&self) -> Duration {
        let now = self.pipeline.clock().moment();
        let next = self.agenda.next_at().into_iter();
        let next = next.chain(self.second_refreshes.next_at()).min();
        let wait = next.map_or(SLEEP_MAX, |next| next.since(now));
        // At least a millisecond, so that what is due within the present one does not spin.
        wait.clamp(Duration::from_millis(1), SLEEP_MAX)
    }
}

/// Returns the zone or the catalog that a source transfers.
fn watched_apex(source: &Source) -> Option<&Name> {
    match &source.feeding {
        Feeding::Transfer(transfer) => Some(&transfer.zone),
        Feeding::Catalog(catalog) => Some(&catalog.catalog),
        Feeding::Zonefile(_) | Feeding::Feed(_) | Feeding::Probe(_) => None,
    }
}

/// Returns the names of the sources that are read before anything is judged. Of those that ask others for a zone by a cron
/// line, the next time is the one that the line means.
fn sources_to_wait_for(config: &Config) -> Vec<String> {
    let sources: Vec<&Source> = (config.sources.iter())
        .filter(|it| !it.asks_suspects())
        .collect();
    if !tell_of_each_other(&sources) {
        return Vec::new();
    }
    let is_waited_for = |source: &&Source| match source.feeding {
        Feeding::Zonefile(_) | Feeding::Feed(_) => true,
        Feeding::Transfer(_) | Feeding::Catalog(_) | Feeding::Probe(_) => {
            !matches!(source.schedule, Schedule::Cron(..))
        }
    };
    let waited = sources.into_iter().filter(is_waited_for);
    waited.map(|source| source.name.clone()).collect()
}
