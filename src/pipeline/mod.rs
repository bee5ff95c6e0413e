//! The flow: fetch, apply, detect, open cases, queue reports, deliver. Each step loads, computes purely
//! and commits once; each can be killed at any instruction and run again.
//!
//! - [`Pipeline::poll_files`] and [`Pipeline::poll_feed`] read what was recorded; a transfer is split
//!   into [`Pipeline::prepare_transfer`], [`run_transfer`] and [`Pipeline::finish_transfer`], so that a
//!   slow primary holds nothing up.
//! - Every version is stored in one transaction, and judged in the next; the detector's watermark in
//!   the zone's row says where to go on.
//! - A case's change and its report in the outbox share one transaction.

mod apply;
mod backoff;
mod backtest;
mod canary;
mod catalog;
mod compose;
mod deliver;
mod detect;
mod feed;
mod files;
mod metrics;
mod notices;
mod operator;
mod passive;
mod poll;
mod probe;
mod reports;
mod retention;
mod transfer;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::{Config, DkimAlgorithm, MailConfig, TlsSettings, TransferSettings};
use crate::dns::{Name, Serial};
use crate::enrich::{
    AsnTable, AsnTableError, Enrichment, HostingNetworks, ListError, Registrations, SharedRanges,
};
use crate::evidence::Hash;
use crate::mailer::{Mailer, MailerError, Signer, SmtpSettings, Webhook, check_address};
use crate::pipeline::backoff::Backoff;
use crate::source::{SourceError, TransferKey, TransferTls};
use crate::store::{Store, StoreError};
use crate::templates::{TemplateError, Templates};
use crate::time::{Clock, Span};
use crate::zone::Refusal;

pub use backtest::Replayed;
pub use canary::{CanaryState, look_at_canary};
pub use catalog::{
    CatalogJob, CatalogOutcome, CatalogSummary, SweepJob, SweepOutcome, run_catalog, run_sweep,
};
pub use compose::{Addressee, CaseMail, ReportParts};
pub use deliver::DeliverySummary;
pub use detect::DomainFinding;
pub use feed::FeedImport;
pub use files::FileImport;
pub use metrics::metrics_page;
pub use notices::Approval;
pub use passive::{PassiveImport, PassiveSummary};
pub use poll::Transfers;
pub use probe::{ProbeAnswers, ProbeJob};
pub use reports::notice_basis;
pub use retention::{PrunePlan, Pruned, Retention, ZoneCut};
pub use transfer::{AfterTransfer, TransferJob, TransferOutcome, run_transfer};

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
    /// A table that cannot be used.
    #[error(transparent)]
    Asn(#[from] AsnTableError),
    /// A list of networks or registrations cannot be used.
    #[error(transparent)]
    List(#[from] ListError),
    /// A key that cannot be used.
    #[error("{0}")]
    Key(String),
    /// Mail was asked for where none is configured.
    #[error("mail needs [report] and [smtp] in the configuration")]
    NoMail,
    /// A report for machines that is not sound.
    #[error("xarf.json: {0}")]
    Xarf(String),
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
    /// Until it was judged.
    pub judged_ms: u64,
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
        self.hash = later.hash.or(self.hash);
    }
}

/// Everything that a pass needs.
pub struct Pipeline {
    store: Store,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    knowledge: Enrichment,
    templates: Templates,
    mailer: Option<Mailer>,
    signer: Option<Signer>,
    webhooks: Vec<Webhook>,
    keys: HashMap<Name, TransferKey>,
    tls: HashMap<TlsSettings, TransferTls>,
    backoff: RefCell<Backoff>,
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
        let parts = check_parts(&config)?;
        Ok(Self {
            store,
            config,
            clock,
            knowledge: parts.knowledge,
            templates: parts.templates,
            mailer: parts.mailer,
            signer: parts.signer,
            webhooks: parts.webhooks,
            keys: parts.keys,
            tls: parts.tls,
            backoff: RefCell::default(),
        })
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
        settings.key.as_ref().map(|name| self.keys[name].clone())
    }

    /// Returns refresh and retry of a zone's newest SOA, if they are known.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`].
    pub fn soa_timers(&self, zone: &Name) -> Result<Option<(Span, Span)>, PipelineError> {
        Ok(self.store.soa_timers(zone)?)
    }

    /// Replaces the file of metrics, if one is configured. A file that cannot be written is told and
    /// does not stop the program.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`].
    pub fn write_metrics(&self) -> Result<(), PipelineError> {
        let Some(metrics) = &self.config.metrics else {
            return Ok(());
        };
        let Some(path) = &metrics.textfile else {
            return Ok(());
        };
        let canary = self.config.canary.as_ref();
        let page = metrics_page(&self.store, canary, self.clock.now(), metrics.zones_max)?;
        if let Err(error) = metrics::write_textfile(path, &page) {
            tracing::error!(path = %path.display(), "metrics were not written to {}: {error}", path.display());
        }
        Ok(())
    }

    /// Takes a new configuration over. One that cannot be used changes nothing.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for keys, tables, addresses and templates that cannot be used.
    pub fn reconfigure(&mut self, config: Config) -> Result<(), PipelineError> {
        let parts = check_parts(&config)?;
        self.config = Arc::new(config);
        self.knowledge = parts.knowledge;
        self.templates = parts.templates;
        self.mailer = parts.mailer;
        self.signer = parts.signer;
        self.webhooks = parts.webhooks;
        self.keys = parts.keys;
        self.tls = parts.tls;
        Ok(())
    }

    /// Returns the mail settings, if any mail is to be sent.
    fn mail(&self) -> Option<&MailConfig> {
        self.config.mail.as_ref()
    }
}

/// What a configuration names beside the sources.
pub struct Parts {
    knowledge: Enrichment,
    templates: Templates,
    mailer: Option<Mailer>,
    signer: Option<Signer>,
    webhooks: Vec<Webhook>,
    keys: HashMap<Name, TransferKey>,
    tls: HashMap<TlsSettings, TransferTls>,
}

impl Parts {
    /// Returns what is sound but probably not meant, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let Some(table) = &self.knowledge.asn else {
            return Vec::new();
        };
        let missing = match table.families() {
            (true, true) => return Vec::new(),
            (true, false) => "IPv6",
            (false, true) => "IPv4",
            (false, false) => "any",
        };
        vec![format!(
            "the table of autonomous systems has no range of {missing} addresses: they count as no network"
        )]
    }
}

/// Loads and checks everything that a configuration names, without touching a database or network.
///
/// # Errors
///
/// [`PipelineError`], the first that is found.
pub fn check_parts(config: &Config) -> Result<Parts, PipelineError> {
    let knowledge = Enrichment {
        asn: config.asn_path.as_deref().map(AsnTable::load).transpose()?,
        hosting: config
            .hosting_path
            .as_deref()
            .map(HostingNetworks::load)
            .transpose()?,
        shared: config
            .shared_path
            .as_deref()
            .map(SharedRanges::load)
            .transpose()?,
        registrations: config
            .registrations_path
            .as_deref()
            .map(Registrations::load)
            .transpose()?,
    };
    let mail = config.mail.as_ref();
    let languages = mail.map_or(&[][..], |mail| &mail.languages);
    let templates = Templates::load(mail.and_then(|mail| mail.templates.as_deref()), languages)?;
    let mut keys = HashMap::new();
    for (name, secret) in &config.keys {
        keys.insert(
            name.clone(),
            TransferKey::new(name, &secret.algorithm, &secret.secret_base64)
                .map_err(PipelineError::Key)?,
        );
    }
    let mut tls = HashMap::new();
    for source in &config.sources {
        let Some(settings) = source.tls() else {
            continue;
        };
        let ca_pem = settings.ca_pem.as_deref().map(str::as_bytes);
        let trust = TransferTls::new(
            &settings.server_name,
            ca_pem,
            &settings.pins,
            settings.strict_alpn,
        );
        let trust = trust
            .map_err(|what| PipelineError::Key(format!("source {:?}, tls: {what}", source.name)))?;
        tls.insert(settings.clone(), trust);
    }
    let mailer = match &config.mail {
        Some(mail) => {
            check_addresses(config, mail)?;
            Some(Mailer::new(&SmtpSettings {
                url: mail.url.clone(),
                password: mail.password.clone(),
                ca_pem: mail.ca_pem.clone(),
            })?)
        }
        None => None,
    };
    let signer = mail.and_then(|mail| mail.dkim.as_ref()).map(|dkim| {
        let is_ed25519 = dkim.algorithm == DkimAlgorithm::Ed25519;
        Signer::new(&dkim.domain, &dkim.selector, &dkim.key, is_ed25519)
    });
    let hooks = config.webhooks.iter();
    Ok(Parts {
        knowledge,
        templates,
        mailer,
        signer: signer
            .transpose()
            .map_err(|fault| PipelineError::Key(format!("{}: {fault}", config.path.display())))?,
        webhooks: hooks
            .map(|hook| Webhook::new(&hook.url, &hook.secret))
            .collect(),
        keys,
        tls,
    })
}

/// Checks every mail address, and says where a wrong one stands.
fn check_addresses(config: &Config, mail: &MailConfig) -> Result<(), PipelineError> {
    let of = |key: &'static str, list: &'_ [String]| -> Vec<(&'static str, String)> {
        list.iter().map(|it| (key, it.clone())).collect()
    };
    let one = |key: &'static str, text: &String| (key, text.clone());
    let mut addresses = vec![
        one("[report] from", &mail.from),
        one("[report] contact", &mail.reporter.contact),
    ];
    addresses.extend(of("[report] desk", &mail.desk));
    addresses.extend(of("[report] operator", &mail.operator));
    addresses.extend(mail.bounce.iter().map(|it| one("[report] bounce", it)));
    for desk in mail.zone_desks.values() {
        addresses.extend(of("[[zone]] desk", desk));
    }
    let recipients = mail.recipients.iter();
    addresses.extend(recipients.map(|it| one("[[recipient]] address", &it.address)));
    for (key, address) in &addresses {
        check_address(address).map_err(|fault| {
            PipelineError::Key(format!("{}: {key}: {fault}", config.path.display()))
        })?;
    }
    Ok(())
}

/// Sorts a source's fault into the other side's, which is recorded, and this machine's, which stops.
fn refusal_of(error: SourceError) -> Result<Refusal, PipelineError> {
    match error {
        SourceError::Refused(refusal) => Ok(refusal),
        SourceError::Local(error) => Err(PipelineError::Local(error)),
    }
}
