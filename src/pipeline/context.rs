//! Everything that a pass needs: the store, the configuration and what it names, the clock.

use crate::config::Fault;
use crate::config::{Config, MailConfig, TransferSettings};
use crate::dns::Name;
use crate::enrich::Networks;
use crate::pipeline::backoff::Backoff;
use crate::pipeline::error::PipelineError;
use crate::pipeline::parts::{
    Parts, Stamp, TableInUse, WAITS_KEY, check_parts, made_key, parts_to_watch, rows_key, stamps,
    table_warnings,
};
use crate::pipeline::{
    judge::docket::Docket,
    judge::waiting::judging_waits,
    troubles::Troubles,
    upkeep::metrics::{metrics_page, write_textfile},
};
use crate::source::TransferKey;
use crate::store::Store;
use crate::time::{Clock, Span};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A configuration with everything that it names, as the workers of a service share it.
#[derive(Clone)]
pub struct Setup {
    /// The configuration.
    pub config: Arc<Config>,
    /// What it names beside the sources.
    pub(in crate::pipeline) parts: Arc<Parts>,
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

impl Setup {
    /// Returns the tables that cannot be used; nothing is judged before they can. Empty if judging goes on.
    pub fn waiting_for(&self) -> &[Fault] {
        &self.parts.waiting_for
    }

    /// Returns how the files of the tables stood before they were read.
    pub fn stamps_read(&self) -> &[Stamp] {
        &self.parts.stamps
    }

    /// Returns how the files of the tables stand now.
    pub fn stamps(&self) -> Vec<Stamp> {
        stamps(&self.config)
    }
}

/// Everything that a pass needs.
pub struct Pipeline {
    pub(in crate::pipeline) store: Store,
    pub(in crate::pipeline) config: Arc<Config>,
    pub(in crate::pipeline) parts: Arc<Parts>,
    pub(in crate::pipeline) clock: Arc<dyn Clock>,
    pub(in crate::pipeline) backoff: RefCell<Backoff>,
    /// How many mails could not be composed since the last pass over the outbox.
    pub(in crate::pipeline) unmade_count: AtomicU64,
    /// Where what is to be judged is noted; `None` if it is judged at once.
    pub(in crate::pipeline) docket: Option<Arc<Docket>>,
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
        if let Err(error) = write_textfile(path, &page) {
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
    pub(in crate::pipeline) fn note_once(
        &self,
        name: &str,
        value: i64,
    ) -> Result<(), PipelineError> {
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
    pub(in crate::pipeline) fn mail(&self) -> Option<&MailConfig> {
        self.config.mail.as_ref()
    }

    /// Returns the tables that cannot be used; nothing is judged before they can. Empty if judging goes on.
    pub fn waiting_for(&self) -> &[Fault] {
        &self.parts.waiting_for
    }

    /// Returns whether nothing is judged.
    pub(in crate::pipeline) fn is_waiting(&self) -> bool {
        !self.waiting_for().is_empty()
    }
}
