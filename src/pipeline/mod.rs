//! The flow: fetch, apply, detect, open cases, queue reports, deliver. Each step loads, computes purely
//! and commits once; each can be killed at any instruction and run again.
//!
//! - [`Pipeline::poll_files`] and [`Pipeline::poll_feed`] read what was recorded; a transfer is split
//!   into [`Pipeline::prepare_transfer`], [`run_transfer`] and [`Pipeline::finish_transfer`], so that a
//!   slow primary holds nothing up.
//! - Every version is stored in one transaction, and judged in the next; the detector's watermark in
//!   the zone's row says where to go on.
//! - A case's change and its report in the outbox share one transaction.

mod backoff;
mod faults;
mod ingest;
mod judge;
mod notify;
mod parts;
mod surroundings;
mod troubles;
mod upkeep;

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::config::{Config, ConfigError, MailConfig, TransferSettings};
use crate::dns::{Name, Serial};
use crate::enrich::Networks;
use crate::evidence::Hash;
use crate::mailer::MailerError;
use crate::pipeline::backoff::Backoff;
use crate::source::{SourceError, TransferKey};
use crate::store::{Store, StoreError};
use crate::templates::TemplateError;
use crate::time::{Clock, Span};
use crate::zone::Refusal;

pub use ingest::catalog::{
    CatalogJob, CatalogOutcome, CatalogSummary, SweepJob, SweepOutcome, run_catalog, run_sweep,
};
pub use ingest::feed::FeedImport;
pub use ingest::files::FileImport;
pub use ingest::passive::{PassiveImport, PassiveSummary};
pub use ingest::poll::Transfers;
pub use ingest::probe::{ProbeAnswers, ProbeJob};
pub use ingest::transfer::{AfterTransfer, TransferJob, TransferOutcome, run_transfer};
pub use judge::backtest::Replayed;
pub use judge::canary::{CanaryState, look_at_canary};
pub use judge::detect::DomainFinding;
pub use judge::docket::{Docket, Matter};
pub use judge::waiting::judging_waits;
pub use notify::compose::{Addressee, CaseMail, PREVIEW_TOKEN, ReportParts};
pub use notify::deliver::{DeliverySummary, STOP_GRACE};
pub use notify::notices::Approval;
pub use notify::operator::is_digest_due;
pub use notify::reports::notice_basis;
pub use parts::Stamp;
pub use parts::{
    Parts, TableInUse, check_parts, examine_parts, noted_tables, noted_warnings, table_warnings,
};
use parts::{WAITS_KEY, made_key, parts_to_watch, rows_key};
pub use surroundings::check_surroundings;
pub use troubles::{Troubles, read_held, write_held};
pub use upkeep::clock::tell_step;
pub use upkeep::figures::{Stage, note_request, note_stage, note_start, process_metrics};
pub use upkeep::metrics::metrics_page;
pub use upkeep::retention::{PrunePlan, Pruned, Retention, ZoneCut};

/// What stops the pipeline.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The database, or the machine under it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the machine's own, such as the spool.
    #[error("{0}")]
    Local(#[source] std::io::Error),
    /// A mail that cannot be worded.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A mail that cannot be composed or a mailer that cannot be made.
    #[error(transparent)]
    Mailer(#[from] MailerError),
    /// What the configuration names cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Mail was asked for where none is configured.
    #[error("mail needs [report] and [smtp] in the configuration")]
    NoMail,
    /// A report for machines that is not sound.
    #[error("xarf.json: {0}")]
    Xarf(String),
}

impl PipelineError {
    /// Returns whether one mail cannot be made, and nothing else is wrong.
    fn is_of_one_mail(&self) -> bool {
        matches!(self, Self::Template(_) | Self::Mailer(_) | Self::Xarf(_))
    }
}

/// What a pass over a source does.
#[derive(Debug, Clone, Default)]
pub struct PollOptions {
    /// Transfer in full although the serial stands; read files again although they stand.
    pub full: bool,
    /// Zones whose next version is taken although it shrank.
    pub accept: HashSet<Name>,
    /// Whether cases that reach `report` are mailed.
    pub mail_wanted: bool,
}

/// What a pass found of one zone (or of a feed without a zone).
#[derive(Debug, Clone)]
pub struct ZoneReport {
    /// The source.
    pub source: String,
    /// The zone; `None` for a feed that could not be read.
    pub zone: Option<Name>,
    /// What happened.
    pub outcome: ZoneOutcome,
    /// How long its parts took; of transfers.
    pub timings: Option<Timings>,
}

/// How long the parts of a transfer took, in milliseconds of wall time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// On the network, and comparing with what is known.
    pub fetched_ms: u64,
    /// Until it was durable.
    pub stored_ms: u64,
    /// Until it was judged; `None` if that was left to another worker.
    pub judged_ms: Option<u64>,
}

/// What happened to a zone in one pass.
#[derive(Debug, Clone)]
pub enum ZoneOutcome {
    /// Nothing new.
    Unchanged {
        /// The serial that stands.
        serial: Option<Serial>,
    },
    /// Versions were stored.
    Stored(StoredSummary),
    /// The newest version was not taken.
    Refused(Refusal),
    /// A catalog's new version was taken.
    Catalog(CatalogSummary),
    /// So many zones of a catalog have the serial that history holds.
    SerialsStand(u64),
    /// Passive DNS was brought in.
    Sightings(PassiveSummary),
    /// Feed lines were set aside; the rest went on.
    LinesRejected(u64),
}

/// What was stored of a zone in one pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredSummary {
    /// Whether it was the zone's first version.
    pub baseline: bool,
    /// New versions.
    pub versions: u64,
    /// Names whose records changed, summed over the versions.
    pub changed_names: u64,
    /// Versions that changed too much to accuse anybody.
    pub bulk_versions: u64,
    /// Records in the state.
    pub records: u64,
    /// The newest serial.
    pub serial: Option<Serial>,
    /// Whether a serial went backwards.
    pub serial_regressed: bool,
    /// Names whose records in history were not those of the primary's own zone under the same serial, new
    /// TTLs included.
    pub drift_names: u64,
    /// Versions that did not arrive, at most.
    pub missed_max: u64,
    /// Versions before which an unknown number may not have arrived.
    pub missed_unknown: u64,
    /// The newest hash of the zone's chain: what a later edit has to agree with.
    pub hash: Option<Hash>,
}

impl StoredSummary {
    /// Adds what was stored after it.
    fn add(&mut self, later: &Self) {
        self.baseline |= later.baseline;
        self.versions += later.versions;
        self.changed_names += later.changed_names;
        self.bulk_versions += later.bulk_versions;
        self.records = later.records;
        self.serial = later.serial;
        self.serial_regressed |= later.serial_regressed;
        self.drift_names += later.drift_names;
        self.missed_max += later.missed_max;
        self.missed_unknown += later.missed_unknown;
        self.hash = later.hash.or(self.hash);
    }
}

/// A configuration with everything that it names, as the workers of a service share it.
#[derive(Clone)]
pub struct Setup {
    /// The configuration.
    pub config: Arc<Config>,
    /// What it names beside the sources.
    parts: Arc<Parts>,
}

impl Setup {
    /// Loads everything that a configuration names.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Config`] for keys, tables, addresses and templates that cannot be used.
    pub fn of(config: Arc<Config>) -> Result<Self, PipelineError> {
        let parts = check_parts(&config)?;
        Ok(Self::with(config, parts))
    }

    /// [`Setup::of`] for a poller: with a table that cannot be used, zones are watched, and nothing is judged.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Config`] for keys, addresses and templates that cannot be used.
    pub fn to_watch(config: Arc<Config>, store: &Store) -> Result<Self, PipelineError> {
        let parts = parts_to_watch(&config, store)?;
        Ok(Self::with(config, parts))
    }

    /// Returns a configuration with what it names, which is loaded.
    pub fn with(config: Arc<Config>, parts: Parts) -> Self {
        Self {
            config,
            parts: Arc::new(parts),
        }
    }
}

/// Everything that a pass needs.
pub struct Pipeline {
    store: Store,
    config: Arc<Config>,
    parts: Arc<Parts>,
    clock: Arc<dyn Clock>,
    backoff: RefCell<Backoff>,
    /// How many mails could not be composed since the last pass over the outbox.
    unmade_count: AtomicU64,
    /// Where what is to be judged is noted; `None` if it is judged at once.
    docket: Option<Arc<Docket>>,
}

impl Pipeline {
    /// Makes the pipeline of a configuration over an open store.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for keys, tables, addresses and templates that cannot be used.
    pub fn new(
        store: Store,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PipelineError> {
        Ok(Self::over(store, Setup::of(config)?, clock))
    }

    /// [`Pipeline::new`] for a poller: with a table that cannot be used, zones are watched, and nothing is judged.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for keys, addresses and templates that cannot be used.
    pub fn to_watch(
        store: Store,
        config: Arc<Config>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PipelineError> {
        let setup = Setup::to_watch(config, &store)?;
        Ok(Self::over(store, setup, clock))
    }

    /// Makes the pipeline of a configuration that is loaded.
    pub fn over(store: Store, setup: Setup, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            config: setup.config,
            parts: setup.parts,
            clock,
            backoff: RefCell::default(),
            unmade_count: AtomicU64::new(0),
            docket: None,
        }
    }

    /// Returns the configuration with what it names.
    pub fn setup(&self) -> Setup {
        Setup {
            config: self.config.clone(),
            parts: self.parts.clone(),
        }
    }

    /// Leaves the judging to whoever empties the docket.
    pub fn judge_later(&mut self, docket: Arc<Docket>) {
        self.docket = Some(docket);
    }

    /// Returns the store, for commands that only look.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Returns the clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Returns the key that signs a source's transfers.
    pub fn transfer_key(&self, settings: &TransferSettings) -> Option<TransferKey> {
        settings
            .key
            .as_ref()
            .map(|name| self.parts.keys[name].clone())
    }

    /// Returns refresh and retry of a zone's newest SOA, if they are known.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`].
    pub fn soa_timers(&self, zone: &Name) -> Result<Option<(Span, Span)>, PipelineError> {
        Ok(self.store.zones().soa_timers(zone)?)
    }

    /// Replaces the file of metrics, if one is configured. A file that cannot be written is told and
    /// does not stop the program. `troubles` are those of the service, if this is one.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`].
    pub fn write_metrics(&self, troubles: &Troubles) -> Result<(), PipelineError> {
        let Some(metrics) = &self.config.metrics else {
            return Ok(());
        };
        let Some(path) = &metrics.textfile else {
            return Ok(());
        };
        let canary = self.config.canary.as_ref();
        let mut page = metrics_page(&self.store, canary, self.clock.now(), metrics.zones_max)?;
        page.push_str(&troubles.metrics(self.clock.now()));
        if let Err(error) = upkeep::metrics::write_textfile(path, &page) {
            tracing::error!(path = %path.display(), "metrics were not written to {}: {error}", path.display());
        }
        Ok(())
    }

    /// Takes a new configuration over.
    pub fn take_over(&mut self, setup: &Setup) {
        self.store.upkeep().limit_log(setup.config.wal_bytes_max);
        self.config = setup.config.clone();
        self.parts = setup.parts.clone();
    }

    /// Logs the tables that are in use, and keeps what `status` says of them. For the poller alone.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`].
    pub fn note_tables(&self) -> Result<(), PipelineError> {
        let tables = self.parts.tables(&self.config);
        for table in &tables {
            let TableInUse { key, path, summary } = table;
            let (path, rows, unit) = (path.display(), summary.rows, summary.unit);
            let date = summary
                .made_at
                .map_or(String::new(), |at| format!(", of {}", at.to_date()));
            tracing::info!(key, rows, "table {key}: {path}: {rows} {unit}{date}");
            for note in &summary.notes {
                tracing::warn!(key, "table {key}: {note}");
            }
            self.note_once(&rows_key(key), summary.rows as i64)?;
            if let Some(at) = summary.made_at {
                self.note_once(&made_key(key), at.unix())?;
            }
        }
        for fault in table_warnings(&self.config, &tables, self.clock.now()) {
            tracing::warn!(key = "enrich.asn", "{}", fault.in_one_line());
        }
        let count = self.waiting_for().len() as i64;
        match count > 0 || judging_waits(&self.store)? {
            true => self.note_once(WAITS_KEY, count),
            false => Ok(()),
        }
    }

    /// Keeps a number under a name, unless it is kept already: a pass that finds nothing new writes nothing.
    fn note_once(&self, name: &str, value: i64) -> Result<(), PipelineError> {
        if self.store.desk().noted_number(name)? != Some(value) {
            self.store.desk().note_number(name, value)?;
        }
        Ok(())
    }

    /// Returns the date of the table of autonomous systems that is in use, and which it is, for people.
    pub fn table_label(&self) -> String {
        let label = self.parts.knowledge.asn.as_ref().and_then(Networks::label);
        label.unwrap_or_else(|| "no date: none is in use, and prefixes stand in".to_owned())
    }

    /// Returns the mail settings, if any mail is to be sent.
    fn mail(&self) -> Option<&MailConfig> {
        self.config.mail.as_ref()
    }
}

/// Returns what is recorded of a source's fault: the other side's, or this machine's while it took the version in.
fn refusal_of(error: SourceError) -> Refusal {
    match error {
        SourceError::Refused(refusal) => refusal,
        SourceError::Local(error) => spool_refusal(&error),
    }
}

/// Returns the refusal of a version that cannot be kept in the temporary folder until it is whole. The other
/// sources go on.
fn spool_refusal(error: &dyn std::fmt::Display) -> Refusal {
    let folder = std::env::temp_dir();
    Refusal::Local(format!(
        "the temporary folder {}: {error}; make room there, or name another folder in $TMPDIR",
        folder.display()
    ))
}

/// Returns the refusal of a path that cannot be opened or listed. Says which folder is away, since it is what
/// was moved or not mounted, rather than every file in it.
fn away(path: &Path, error: &dyn std::fmt::Display) -> Refusal {
    let folders = path.ancestors().skip(1);
    let named = folders.filter(|folder| !folder.as_os_str().is_empty());
    // The highest folder that is not there: what lies in it cannot be there either.
    let missing = named.take_while(|folder| !folder.is_dir()).last();
    let path = path.display();
    Refusal::Unreadable(match missing {
        Some(folder) => format!(
            "{path}: the folder {} is not there; was it moved, or is it not mounted?",
            folder.display()
        ),
        None => format!("{path}: {error}"),
    })
}
