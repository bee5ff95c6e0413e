//! A transfer source: look at the primaries, transfer what changed or the whole zone, store it.
//!
//! ```text
//! prepare ─▶ Look ──┬─ serial stands ──────────────────────────▶ finish
//!   (store)  (net)  ├─ steps (IXFR) ─────────▶ finish (store) ──┬─▶ done
//!                   └─ wants the whole zone ─▶ finish (store) ──┴─▶ Whole (net) ─▶ finish
//! ```
//!
//! Now and then the whole zone is transferred although the serial stands or the steps fit: what they led to is
//! compared with it, and the difference, if there is one, is stored as *drift*.
//!
//! What talks to the network holds nothing of the store, so that a slow primary holds nothing up; the
//! table of digests is loaded only for a transfer that needs it.

use crate::pipeline::ingest::Ingest;
use crate::pipeline::judge::look::Look;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::config::{Source, TransferSettings};
use crate::dns::{Name, Serial};
use crate::pipeline::backoff::Asked;
use crate::pipeline::error::{PipelineError, refusal_of};
use crate::pipeline::ingest::apply::{AppliedSteps, AppliedZone, Arrived, Reading};
use crate::pipeline::ingest::full::is_full_due;
use crate::pipeline::judge::docket::Docket;
use crate::pipeline::outcome::{PollOptions, StoredSummary, Timings, ZoneOutcome, ZoneReport};
use crate::source::{
    Fetched, SoaNumbers, SourceError, SpoolFile, Steps, TransferFault, TransferKey, TransferTarget,
    TransferTls, Zonemd, fetch_steps, fetch_zone, query_soa,
};
use crate::store::{Comparison, Ledger, SourceKind, ZoneState};
use crate::time::Timestamp;
use crate::zone::{
    DigestKey, DigestTable, Intake, Limits, Refusal, Step, ZonemdRule, judge_transfer,
};

/// How long a poll waits for slower primaries once one has answered.
// A primary that is down must not cost every poll its whole time limit.
const GRACE: Duration = Duration::from_secs(2);
/// The most octets of records of a version that is stored with others. A larger one may have a cache of digests, which is not
/// written before its commit.
const SHARED_OCTETS_MAX: u64 = 256 << 10;
/// How often in one transfer the steps are asked for to a serial that the zone reached while it was to be compared.
/// A whole zone is of the serial at which its transfer began, moments after the last step. Chosen by hand.
const CATCH_UPS_MAX: u32 = 2;

/// How the primaries of a source are reached.
#[derive(Clone)]
pub(in crate::pipeline) struct Route {
    /// In order of preference.
    pub(in crate::pipeline) primaries: Vec<SocketAddr>,
    /// How many are left out for now because they failed lately.
    resting: usize,
    /// Those that know no incremental transfers, as they said lately.
    stepless: Vec<SocketAddr>,
    pub(in crate::pipeline) key: Option<TransferKey>,
    pub(in crate::pipeline) tls: Option<TransferTls>,
    pub(in crate::pipeline) zonemd: ZonemdRule,
    pub(in crate::pipeline) limits: Limits,
}

/// A transfer to be run: everything it needs, and nothing of the store.
pub struct TransferJob {
    source: String,
    zone: ZoneState,
    route: Route,
    ixfr: bool,
    /// Whether the zone has not drifted so often that its steps are not relied upon.
    is_sound: bool,
    /// Whether the whole zone is asked for instead of steps.
    full: bool,
    /// Whether the whole zone is compared with the state, after the steps if there are any.
    compares: bool,
    /// Whether that was asked for by the schedule.
    is_due: bool,
    /// Whether steps were made from another state than ours.
    misfits: bool,
    /// Whether the whole zone that is asked for is to be of the state's own serial.
    is_comparing: bool,
    /// How often it was of a newer one, so that the steps up to it were asked for.
    catch_ups: u32,
    /// What the steps brought, while the whole zone is compared.
    stepped: StoredSummary,
    /// Whether what is held, or an older serial though a primary is missing, is taken.
    accept: bool,
    is_second: bool,
    /// Whether the primaries' serial is older than history's, and believed.
    goes_back: bool,
    /// The newest serial that a primary told at the look.
    told: Option<Serial>,
    /// Primaries that did what they were asked in this part, for their backoff.
    answered: Vec<SocketAddr>,
    /// Primaries that did not.
    failed: Vec<SocketAddr>,
    /// Those of them that could not be reached, and how.
    unreached: Vec<(SocketAddr, Refusal)>,
    /// Primaries that know no incremental transfers.
    stepless: Vec<SocketAddr>,
    task: Task,
    timings: Timings,
    digest_key: DigestKey,
}

/// What a job does.
enum Task {
    /// Ask the primaries for their serials, and one that is ahead for what changed.
    Refresh,
    /// Ask for what changed since a serial once more.
    Steps {
        since: Serial,
        candidates: Vec<SocketAddr>,
    },
    /// Ask for the whole zone.
    Whole {
        candidates: Vec<SocketAddr>,
        table: DigestTable,
    },
}

/// What a job brought.
enum TransferResult {
    /// The serial stands.
    Nothing(SoaNumbers),
    /// What changed.
    Steps(TakenSteps),
    /// Nothing yet: the whole zone is to be asked for, from these.
    WantsWhole(Vec<SocketAddr>),
    /// The whole zone.
    Whole(Box<WholeZone>),
}

/// Steps that arrived.
struct TakenSteps {
    /// The serial from which they lead on.
    since: Serial,
    steps: Vec<Step>,
    soa: SoaNumbers,
    /// Who has the serial that they lead to.
    candidates: Vec<SocketAddr>,
}

/// A whole zone that arrived.
struct WholeZone {
    intake: Intake<SpoolFile>,
    fetched: Fetched,
    soa: SoaNumbers,
    /// Who gave it.
    primary: SocketAddr,
    /// Who has this serial.
    candidates: Vec<SocketAddr>,
}

/// A transfer that was run.
pub struct TransferOutcome {
    job: TransferJob,
    result: Result<TransferResult, SourceError>,
}

/// What part an outcome has in those that are stored together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pipeline) enum Share {
    /// It is stored by itself.
    Alone,
    /// So many octets of records, in memory.
    Octets(u64),
}

impl Share {
    /// Returns the part of so many octets.
    fn of(octets: u64) -> Self {
        if octets > SHARED_OCTETS_MAX {
            Self::Alone
        } else {
            Self::Octets(octets)
        }
    }
}

/// What comes after a transfer.
pub enum AfterTransfer {
    /// It is done.
    Done(ZoneReport),
    /// It goes on with another job.
    GoesOn(Box<TransferJob>),
}

impl Ingest<'_> {
    /// Prepares the transfer of a source's zone.
    pub fn prepare_transfer(
        &self,
        source: &Source,
        apex: &Name,
        settings: &TransferSettings,
        options: &PollOptions,
    ) -> Result<TransferJob, PipelineError> {
        let kind = if source.zone().is_some() {
            SourceKind::Transfer
        } else {
            SourceKind::Catalog
        };
        let id = self.store.zones().ensure_source(&source.name, kind)?;
        let zone = self.store.zones().ensure_zone(apex, id)?;
        if zone.version_id.is_some() {
            self.judge.detect_zone(apex, options)?;
        }
        let accept = options.accept.contains(apex) || zone.accept_requested;
        let is_due = is_full_due(settings.full_every, &zone, self.clock.now());
        let is_sound = self.are_steps_sound(&zone, self.clock.now())?;
        Ok(TransferJob {
            source: source.name.clone(),
            route: self.route(settings),
            ixfr: settings.ixfr && is_sound,
            is_sound,
            full: accept,
            compares: options.full || is_due,
            is_due,
            misfits: false,
            is_comparing: false,
            catch_ups: 0,
            stepped: StoredSummary::default(),
            accept,
            is_second: false,
            goes_back: false,
            told: None,
            answered: Vec::new(),
            failed: Vec::new(),
            unreached: Vec::new(),
            stepless: Vec::new(),
            task: Task::Refresh,
            timings: Timings::default(),
            digest_key: self.store.digest_key(),
            zone,
        })
    }

    /// Returns how a source's primaries are reached now.
    pub(in crate::pipeline) fn route(&self, settings: &TransferSettings) -> Route {
        let (backoff, now) = (self.backoff.borrow(), self.clock.moment());
        let (primaries, resting) = backoff.choose(&settings.primaries, now);
        Route {
            stepless: backoff.stepless(&primaries, now),
            primaries,
            resting,
            key: settings
                .key
                .as_ref()
                .map(|name| self.parts.keys[name].clone()),
            tls: settings.tls.as_ref().map(|tls| self.parts.tls[tls].clone()),
            zonemd: settings.zonemd,
            limits: self.config.limits,
        }
    }

    /// Stores and judges what transfers brought, as [`Ingest::finish_transfer`] does; with one commit if there are several,
    /// after which they are judged.
    pub fn finish_transfers(
        &self,
        outcomes: Vec<TransferOutcome>,
        options: &PollOptions,
    ) -> Result<Vec<AfterTransfer>, PipelineError> {
        if outcomes.len() < 2 {
            let each = outcomes.into_iter();
            return each.map(|it| self.finish_transfer(it, options)).collect();
        }
        // Who judges reads what is committed.
        let held = Docket::default();
        let group = self.judging_later(&held);
        let tx = self.store.begin_group()?;
        let each = outcomes.into_iter();
        let after = each.map(|it| group.finish_transfer(it, options));
        let after = after.collect::<Result<_, _>>()?;
        tx.commit()?;
        self.judge.take_over(&held, options)?;
        Ok(after)
    }

    /// Returns the same, that leaves the judging to whoever empties a docket.
    pub(in crate::pipeline) fn judging_later<'d>(&'d self, docket: &'d Docket) -> Ingest<'d> {
        Ingest {
            docket: Some(docket),
            judge: self.judge.later(docket),
            ..*self
        }
    }

    /// Stores and judges what a transfer brought, or notes why it brought nothing.
    pub fn finish_transfer(
        &self,
        outcome: TransferOutcome,
        options: &PollOptions,
    ) -> Result<AfterTransfer, PipelineError> {
        let TransferOutcome { mut job, result } = outcome;
        let now = self.clock.now();
        let asked = Asked::One(&job.zone.apex);
        self.record_primaries(asked, &job.answered, &job.failed, &job.unreached)?;
        let moment = self.clock.moment();
        self.backoff
            .borrow_mut()
            .record_stepless(&job.stepless, moment);
        job.route.stepless.append(&mut job.stepless);
        job.answered.clear();
        job.failed.clear();
        job.unreached.clear();
        let apex = job.zone.apex.clone();
        match result {
            Ok(TransferResult::Nothing(soa)) => {
                self.record_timers(&apex, soa)?;
                self.store.zones().record_zone_attempt(&apex, now, None)?;
                self.judge.reevaluate(&apex, Look::live(now), options)?;
                let serial = job.zone.serial;
                Ok(job.done(ZoneOutcome::Unchanged { serial }))
            }
            // The primary does not tell what led to the serial of its zone.
            Ok(TransferResult::WantsWhole(_)) if job.catch_ups > 0 => {
                self.postpone_comparison(job, now, options)
            }
            Ok(TransferResult::WantsWhole(candidates)) => self.go_on_whole(job, candidates),
            Ok(TransferResult::Steps(taken)) => {
                self.record_timers(&apex, taken.soa)?;
                self.finish_steps(job, taken, now, options)
            }
            Ok(TransferResult::Whole(whole)) => {
                self.record_timers(&apex, whole.soa)?;
                self.finish_whole(job, *whole, now, options)
            }
            Err(error) => {
                let refusal = refusal_of(error);
                self.refuse_transfer(&job, refusal, now)
            }
        }
    }

    /// Notes why a transfer was not taken.
    fn refuse_transfer(
        &self,
        job: &TransferJob,
        refusal: Refusal,
        now: Timestamp,
    ) -> Result<AfterTransfer, PipelineError> {
        self.store
            .zones()
            .record_zone_attempt(&job.zone.apex, now, Some(&refusal))?;
        if job.is_due {
            self.store
                .zones()
                .record_failed_comparison(job.zone.id, now)?;
        }
        let versions = job.stepped.versions;
        if versions > 0 {
            let zone = &job.zone.apex;
            tracing::warn!(%zone, versions, "zone {zone}: {versions} versions were stored from steps; the whole zone to compare them with did not come");
        }
        Ok(job.done(ZoneOutcome::Refused(refusal)))
    }

    /// Loads what a transfer of the whole zone is compared with.
    fn go_on_whole(
        &self,
        mut job: TransferJob,
        candidates: Vec<SocketAddr>,
    ) -> Result<AfterTransfer, PipelineError> {
        job.task = Task::Whole {
            candidates,
            table: self.store.ledger().load_digests(&job.zone)?,
        };
        Ok(AfterTransfer::GoesOn(Box::new(job)))
    }

    /// Stores the steps of an incremental transfer, each as a version of its own, in one transaction.
    fn finish_steps(
        &self,
        mut job: TransferJob,
        taken: TakenSteps,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<AfterTransfer, PipelineError> {
        let TakenSteps {
            since,
            steps,
            candidates,
            ..
        } = taken;
        let apex = job.zone.apex.clone();
        let observed_at = job.observed_at(now);
        let started = Instant::now();
        let applied = self.apply_steps(&job.zone, &steps, observed_at, !job.is_second)?;
        job.timings.stored_ms += millis_since(started);
        let is_suspect = matches!(applied, AppliedSteps::Suspect(_));
        match applied {
            AppliedSteps::Stored(summary) | AppliedSteps::Suspect(summary) => {
                self.store.zones().record_zone_attempt(&apex, now, None)?;
                self.judge_transferred(&mut job, observed_at, options)?;
                if !job.compares && !is_suspect && !job.is_comparing {
                    return Ok(job.done(ZoneOutcome::Stored(summary)));
                }
                if is_suspect {
                    // It is noted with the steps; so is the failure of the comparison, if it fails.
                    job.is_due = true;
                    tracing::warn!(zone = %apex, "zone {apex}: after the steps a CNAME stands beside another record; comparing with the whole zone");
                }
                job.stepped.add(&summary);
                job.is_comparing = true;
                job.is_second = false;
                job.zone = self
                    .store
                    .zones()
                    .find_zone(&apex)?
                    .expect("the zone's row is there since the transfer was prepared");
                self.go_on_whole(job, candidates)
            }
            AppliedSteps::FetchAgain => {
                tracing::warn!(zone = %apex, "zone {apex}: mass change, fetching once more");
                job.is_second = true;
                job.task = Task::Steps { since, candidates };
                Ok(AfterTransfer::GoesOn(Box::new(job)))
            }
            AppliedSteps::Refused(refusal) => self.refuse_transfer(&job, refusal, now),
            AppliedSteps::DoesNotFit(what) => {
                tracing::warn!(zone = %apex, "zone {apex}: the steps do not fit: {what}; transferring the whole zone");
                job.misfits = true;
                self.go_on_whole(job, candidates)
            }
        }
    }

    /// Stores a whole zone.
    fn finish_whole(
        &self,
        mut job: TransferJob,
        whole: WholeZone,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<AfterTransfer, PipelineError> {
        if job.is_ahead(whole.fetched.serial) {
            return self.catch_up(job, &whole, now, options);
        }
        let apex = job.zone.apex.clone();
        let observed_at = job.observed_at(now);
        let WholeZone {
            intake,
            fetched,
            primary,
            candidates,
            ..
        } = whole;
        let reading = Reading {
            may_fetch_again: !job.is_second,
            comparison: Comparison { at: now, primary },
        };
        let shrank = judge_transfer(&self.config.trust, job.zone.kept_count, &fetched.counts);
        let shrank = shrank.filter(|_| !job.accept && job.zone.version_id.is_some());
        if let Some(refusal) = &shrank
            && job.is_second
        {
            return self.refuse_transfer(&job, refusal.clone(), now);
        }
        let started = Instant::now();
        let applied = match shrank {
            // Twice the same answer before anybody is asked to look.
            Some(_) => AppliedZone::FetchAgain,
            None => {
                let arrived = Arrived {
                    zone: &job.zone,
                    intake,
                    fetched: &fetched,
                    observed_at,
                    is_drift: job.is_drift(fetched.serial),
                    file: None,
                };
                self.apply_zone(arrived, reading)?
            }
        };
        job.timings.stored_ms += millis_since(started);
        match applied {
            AppliedZone::Stored(mut summary) => {
                self.store.zones().record_zone_attempt(&apex, now, None)?;
                job.log_difference(&summary, fetched.serial, primary);
                self.judge_transferred(&mut job, observed_at, options)?;
                let serial = fetched.serial;
                if job.stepped.versions > 0 {
                    let mut all = job.stepped;
                    all.add(&summary);
                    summary = all;
                }
                if fetched.zonemd != Zonemd::None {
                    let zonemd = fetched.zonemd.code();
                    tracing::info!(zone = %apex, zonemd, "zone {apex}: digest {zonemd}");
                }
                Ok(job.done(match summary.versions + summary.drift_names {
                    0 => ZoneOutcome::Unchanged { serial },
                    _ => ZoneOutcome::Stored(summary),
                }))
            }
            AppliedZone::Refused(refusal) => self.refuse_transfer(&job, refusal, now),
            AppliedZone::FetchAgain => {
                tracing::warn!(zone = %apex, "zone {apex}: mass change, fetching once more");
                job.is_second = true;
                self.go_on_whole(job, candidates)
            }
        }
    }

    /// Asks for the steps to the serial that the zone has reached meanwhile, before it is compared: else what is
    /// drift would be stored as a change of the newer version.
    fn catch_up(
        &self,
        mut job: TransferJob,
        whole: &WholeZone,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<AfterTransfer, PipelineError> {
        let Some(since) = job.zone.serial.filter(|_| job.catch_ups < CATCH_UPS_MAX) else {
            return self.postpone_comparison(job, now, options);
        };
        job.catch_ups += 1;
        job.is_second = false;
        job.task = Task::Steps {
            since,
            candidates: vec![whole.primary],
        };
        Ok(AfterTransfer::GoesOn(Box::new(job)))
    }

    /// Ends a transfer without the comparison, which stays due. What the steps brought is stored.
    fn postpone_comparison(
        &self,
        mut job: TransferJob,
        now: Timestamp,
        options: &PollOptions,
    ) -> Result<AfterTransfer, PipelineError> {
        let zone = job.zone.apex.clone();
        tracing::warn!(%zone, "zone {zone}: not compared: the whole zone is newer than the steps that its primary gives; fluxwatch tries the comparison again");
        self.store.zones().record_zone_attempt(&zone, now, None)?;
        self.store
            .zones()
            .record_failed_comparison(job.zone.id, now)?;
        let observed_at = job.observed_at(now);
        self.judge_transferred(&mut job, observed_at, options)?;
        let (stepped, serial) = (job.stepped, job.zone.serial);
        Ok(job.done(match stepped.versions {
            0 => ZoneOutcome::Unchanged { serial },
            _ => ZoneOutcome::Stored(stepped),
        }))
    }

    /// Judges what a transfer changed, and the cases that are due.
    fn judge_transferred(
        &self,
        job: &mut TransferJob,
        observed_at: Timestamp,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        let started = Instant::now();
        // What was there before watching began is no change, and there can be no case of it.
        if job.zone.version_id.is_some() {
            self.judge.detect_zone(&job.zone.apex, options)?;
            self.judge
                .reevaluate(&job.zone.apex, Look::live(observed_at), options)?;
        }
        if self.docket.is_none() {
            *job.timings.judged_ms.get_or_insert(0) += millis_since(started);
        }
        Ok(())
    }

    /// Keeps the timers of the SOA, for sources that go by them.
    fn record_timers(&self, apex: &Name, soa: SoaNumbers) -> Result<(), PipelineError> {
        Ok(self
            .store
            .zones()
            .save_soa_timers(apex, soa.refresh_s, soa.retry_s, soa.expire_s)?)
    }
}

impl TransferOutcome {
    /// Returns how it is stored: by itself, or with others if it is small.
    pub(in crate::pipeline) fn share(&self) -> Share {
        match &self.result {
            // Nothing is stored before it has gone on.
            Ok(TransferResult::WantsWhole(_)) => Share::Alone,
            _ if !Ledger::is_small(&self.job.zone) => Share::Alone,
            Ok(TransferResult::Nothing(_)) | Err(_) => Share::Octets(0),
            Ok(TransferResult::Steps(taken)) => {
                Share::of(taken.steps.iter().map(Step::octets).sum::<usize>() as u64)
            }
            Ok(TransferResult::Whole(whole)) => Share::of(whole.intake.spooled_octets()),
        }
    }

    /// Returns the zone that was transferred.
    pub fn apex(&self) -> &Name {
        &self.job.zone.apex
    }
}

impl TransferJob {
    /// Returns the zone that is transferred.
    pub fn apex(&self) -> &Name {
        &self.zone.apex
    }

    /// Returns the primary that is asked first, by which transfers share the room fairly.
    pub(in crate::pipeline) fn first_primary(&self) -> Option<SocketAddr> {
        self.route.primaries.first().copied()
    }

    /// Returns the time that what it brings is given. The machine's clock may have been set back;
    /// history does not run backwards.
    fn observed_at(&self, now: Timestamp) -> Timestamp {
        self.zone.version_at.map_or(now, |newest| newest.max(now))
    }

    /// Returns its end.
    fn done(&self, outcome: ZoneOutcome) -> AfterTransfer {
        AfterTransfer::Done(ZoneReport {
            source: self.source.clone(),
            zone: Some(self.zone.apex.clone()),
            outcome,
            timings: Some(self.timings),
        })
    }

    /// Returns whether the difference between the state and a whole zone of this serial is drift: steps led to the
    /// state, and it is said to be of the same version, or the next steps do not fit it. A state that came whole did
    /// not drift: the primary changed its zone. If steps do not fit that, they are wrong, and not the state; NSD as a
    /// secondary sends such steps (findings/nsd-joins-steps-wrongly.sh).
    ///
    /// Of steps that do not fit a state to which steps led it is not known which differences are new; none of them
    /// accuses.
    fn is_drift(&self, serial: Option<Serial>) -> bool {
        let zone = &self.zone;
        let led_here = self.is_sound && serial == zone.serial;
        zone.newest_is_whole
            && zone.serial.is_some()
            && zone.is_stepped
            && (self.misfits || led_here)
    }

    /// Logs how the state differed from the whole zone of a primary, if that is drift or came under the same serial.
    fn log_difference(&self, summary: &StoredSummary, serial: Option<Serial>, primary: SocketAddr) {
        let (zone, names) = (&self.zone.apex, summary.drift_names);
        let changed = summary.changed_names;
        if names == 0 && changed > 0 && self.zone.newest_is_whole && serial == self.zone.serial {
            tracing::warn!(%zone, %primary, names = changed, "zone {zone}: names changed under the same serial: {changed} in the zone of primary {primary}; no steps led there, or fluxwatch does not rely on them, so it stores these as changes like any other");
        }
        if names == 0 {
            return;
        }
        let what = match names {
            1 => "1 name differed".to_owned(),
            count => format!("{count} names differed"),
        };
        let why = if self.misfits {
            "whose steps did not fit, so that fluxwatch cannot know which of these are new"
        } else {
            "to which its steps had not led"
        };
        tracing::warn!(%zone, %primary, names, "zone {zone}: drift: {what} from the zone of primary {primary}, {why}; stored from a whole transfer, no domain is suspected for it");
    }

    /// Returns whether a whole zone that is to be compared is of a version after the state, to which steps led.
    fn is_ahead(&self, serial: Option<Serial>) -> bool {
        let is_newer =
            matches!((serial, self.zone.serial), (Some(it), Some(ours)) if it.is_newer_than(ours));
        self.is_comparing && self.ixfr && self.zone.is_stepped && !self.misfits && is_newer
    }

    /// Returns whether a transfer is of an older version although no primary said that the zone went back, or of an
    /// older one than a primary told a moment before.
    fn went_back(&self, serial: Serial) -> bool {
        let is_older = self
            .zone
            .serial
            .is_some_and(|ours| ours.is_newer_than(serial));
        let is_behind = self.told.is_some_and(|told| told.is_newer_than(serial));
        (is_older && !self.goes_back || is_behind) && !self.accept
    }

    /// Returns how a primary is asked.
    fn target(&self, primary: SocketAddr) -> TransferTarget<'_> {
        TransferTarget {
            apex: &self.zone.apex,
            primary,
            key: self.route.key.as_ref(),
            tls: self.route.tls.as_ref(),
            zonemd: self.route.zonemd,
            limits: &self.route.limits,
        }
    }

    /// Says why a primary is not the one that is used.
    fn warn(&self, primary: SocketAddr, what: &dyn std::fmt::Display) {
        let zone = &self.zone.apex;
        tracing::warn!(%zone, %primary, "zone {zone}: primary {primary}: {what}");
    }
}

/// Runs a transfer.
pub async fn run_transfer(mut job: TransferJob) -> TransferOutcome {
    let task = std::mem::replace(&mut job.task, Task::Refresh);
    let started = Instant::now();
    let result = match task {
        Task::Refresh => refresh(&mut job).await,
        Task::Steps { since, candidates } => take_steps(&mut job, since, candidates).await,
        Task::Whole { candidates, table } => take_whole(&mut job, candidates, table).await,
    };
    let result = match result {
        // Of a zone without a version there are no digests to be loaded before it is taken whole.
        Ok(TransferResult::WantsWhole(candidates)) if job.zone.version_id.is_none() => {
            take_whole(&mut job, candidates, DigestTable::with_capacity(0)).await
        }
        result => result,
    };
    job.timings.fetched_ms += millis_since(started);
    TransferOutcome { job, result }
}

/// Returns the milliseconds since an instant.
fn millis_since(started: Instant) -> u64 {
    started.elapsed().as_millis() as u64
}

/// Asks the primaries for their serials and takes the steps from one that is ahead.
async fn refresh(job: &mut TransferJob) -> Result<TransferResult, SourceError> {
    let answers = ask_primaries(job).await?;
    // The newest serial of all: a primary that lags would else turn the zone back.
    let newest = answers
        .iter()
        .map(|(_, soa)| *soa)
        .reduce(|best, soa| {
            if soa.serial.is_newer_than(best.serial) {
                soa
            } else {
                best
            }
        })
        .expect("at least one answered");
    let candidates: Vec<SocketAddr> = answers
        .iter()
        // Another primary with the same serial can go on where the first one fails.
        .filter(|(_, soa)| soa.serial == newest.serial)
        .map(|(primary, _)| *primary)
        .collect();
    job.told = Some(newest.serial);
    // A serial that a feed or another source told says nothing of what this one has.
    let known = job.zone.serial.filter(|_| job.zone.newest_is_whole);
    let Some(ours) = known else {
        job.goes_back = true;
        return Ok(TransferResult::WantsWhole(candidates));
    };
    if newest.serial == ours && !job.full && !job.compares {
        return Ok(TransferResult::Nothing(newest));
    }
    job.is_comparing = newest.serial == ours && !job.full;
    if ours.is_newer_than(newest.serial) {
        // One primary of several may lag: an older serial is believed only when every primary was
        // reached and none is ahead.
        let all_answered = answers.len() == job.route.primaries.len() + job.route.resting;
        if !all_answered && !job.accept {
            let what = format!(
                "{} has serial {}, history holds {ours}, and not every primary was reached",
                candidates[0], newest.serial
            );
            return Err(Refusal::Behind(what).into());
        }
        job.goes_back = true;
        return Ok(TransferResult::WantsWhole(candidates));
    }
    if job.ixfr && !job.full && newest.serial != ours {
        take_steps(job, ours, candidates).await
    } else {
        Ok(TransferResult::WantsWhole(candidates))
    }
}

/// Asks all primaries side by side. Returns those that answered, in order of preference; not empty.
async fn ask_primaries(
    job: &mut TransferJob,
) -> Result<Vec<(SocketAddr, SoaNumbers)>, SourceError> {
    let mut asked = JoinSet::new();
    for (i, primary) in job.route.primaries.iter().copied().enumerate() {
        let (apex, route) = (job.zone.apex.clone(), job.route.clone());
        asked.spawn(async move {
            let target = TransferTarget {
                apex: &apex,
                primary,
                key: route.key.as_ref(),
                tls: route.tls.as_ref(),
                zonemd: ZonemdRule::Ignore,
                limits: &route.limits,
            };
            (i, primary, query_soa(&target).await)
        });
    }
    let mut answers: Vec<Option<SoaNumbers>> = vec![None; job.route.primaries.len()];
    let mut refusals: Vec<Option<Refusal>> = vec![None; job.route.primaries.len()];
    let mut deadline: Option<Instant> = None;
    loop {
        let next = match deadline {
            Some(deadline) => timeout_at(deadline, asked.join_next())
                .await
                .unwrap_or(None),
            None => asked.join_next().await,
        };
        let Some(joined) = next else { break };
        let (i, primary, result) = joined.expect("a query neither panics nor is aborted");
        match result {
            Ok(soa) => {
                job.answered.push(primary);
                answers[i] = Some(soa);
                deadline.get_or_insert(Instant::now() + GRACE);
            }
            Err(refusal) => {
                job.failed.push(primary);
                if is_unreached(&refusal) {
                    job.unreached.push((primary, refusal.clone()));
                } else if job.route.primaries.len() > 1 {
                    job.warn(primary, &refusal);
                }
                refusals[i] = Some(refusal);
            }
        }
    }
    // Who had not answered when the others' time was up rests too, or it would cost that time again.
    for (i, primary) in job.route.primaries.iter().enumerate() {
        if answers[i].is_none() && refusals[i].is_none() {
            job.failed.push(*primary);
            let what = format!("{primary}: slower than the others by more than {GRACE:?}");
            job.unreached.push((*primary, Refusal::Timeout(what)));
        }
    }
    let answered: Vec<_> = job
        .route
        .primaries
        .iter()
        .copied()
        .zip(answers)
        .filter_map(|(primary, soa)| soa.map(|soa| (primary, soa)))
        .collect();
    if answered.is_empty() {
        let first = refusals.into_iter().flatten().next();
        let none = || Refusal::Unreachable("no primary is configured".to_owned());
        return Err(first.unwrap_or_else(none).into());
    }
    Ok(answered)
}

/// Returns whether a query for one zone failed as it would for any: the primary itself is away.
pub(in crate::pipeline) fn is_unreached(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Unreachable(_) | Refusal::Timeout(_) | Refusal::EndedEarly(_)
    )
}

/// Takes what changed from the first of the candidates that gives it.
async fn take_steps(
    job: &mut TransferJob,
    since: Serial,
    candidates: Vec<SocketAddr>,
) -> Result<TransferResult, SourceError> {
    let mut failure = None;
    for primary in &candidates {
        if job.route.stepless.contains(primary) {
            return Ok(TransferResult::WantsWhole(candidates));
        }
        match fetch_steps(&job.target(*primary), since).await {
            Ok(Steps::Taken(steps, soa)) => {
                return Ok(TransferResult::Steps(TakenSteps {
                    since,
                    steps,
                    soa,
                    candidates,
                }));
            }
            // Its SOA said otherwise a moment ago.
            Ok(Steps::UpToDate) => return Ok(TransferResult::WantsWhole(candidates)),
            Err(fault @ (TransferFault::WantsWhole(_) | TransferFault::Stepless(_))) => {
                if matches!(fault, TransferFault::Stepless(_)) {
                    job.stepless.push(*primary);
                }
                let what = &fault;
                tracing::debug!(zone = %job.zone.apex, %primary, "zone {}: no incremental transfer from {primary}: {what}", job.zone.apex);
                return Ok(TransferResult::WantsWhole(candidates));
            }
            Err(TransferFault::Source(SourceError::Refused(refusal))) => {
                job.warn(*primary, &refusal);
                job.failed.push(*primary);
                failure = Some(refusal);
            }
            Err(TransferFault::Source(local)) => return Err(local),
        }
    }
    Err(failure.expect("there is at least one candidate").into())
}

/// Takes the whole zone from the first of the candidates that gives it.
async fn take_whole(
    job: &mut TransferJob,
    candidates: Vec<SocketAddr>,
    mut table: DigestTable,
) -> Result<TransferResult, SourceError> {
    let mut failure = None;
    for primary in &candidates {
        let spool = SpoolFile::default();
        let mut intake = match job.zone.version_id {
            None => Intake::first(job.digest_key, &job.zone.apex, spool),
            Some(_) => Intake::new(job.digest_key, table, spool),
        };
        match fetch_zone(&job.target(*primary), &mut intake).await {
            Ok((fetched, soa)) if !job.went_back(soa.serial) => {
                job.answered.push(*primary);
                let primary = *primary;
                return Ok(TransferResult::Whole(Box::new(WholeZone {
                    intake,
                    fetched,
                    soa,
                    primary,
                    candidates,
                })));
            }
            // Another machine behind the same address, which lags.
            Ok((_, soa)) => {
                let what = format!("{primary} transferred serial {}", soa.serial);
                failure.get_or_insert(Refusal::Behind(what));
                table = intake.abandon();
            }
            Err(SourceError::Refused(refusal)) => {
                if candidates.len() > 1 {
                    job.warn(*primary, &refusal);
                }
                job.failed.push(*primary);
                failure.get_or_insert(refusal);
                table = intake.abandon();
            }
            Err(local) => return Err(local),
        }
    }
    Err(failure.expect("there is at least one candidate").into())
}
