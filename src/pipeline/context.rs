//! Everything that a pass needs: the store, the configuration and what it names, the clock.

use crate::config::Config;
use crate::config::Fault;
use crate::enrich::Networks;
use crate::pipeline::backoff::Backoff;
use crate::pipeline::error::PipelineError;
use crate::pipeline::held_by::HeldBy;
use crate::pipeline::judge::docket::Docket;
use crate::pipeline::parts::{Parts, Stamp, check_parts, parts_to_watch, stamps};
use crate::store::Store;
use crate::time::Clock;
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
    /// By which exemptions cases are held, as far as it was asked.
    pub(in crate::pipeline) held_by: RefCell<HeldBy>,
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
            held_by: RefCell::default(),
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

    /// Takes a new configuration over.
    pub fn take_over(&mut self, setup: &Setup) {
        self.store.upkeep().limit_log(setup.config.wal_bytes_max);
        self.config = setup.config.clone();
        self.parts = setup.parts.clone();
        // Other tables may find something else.
        self.held_by.take();
    }

    /// Returns the date of the table of autonomous systems that is in use, and which it is, for people.
    pub fn table_label(&self) -> String {
        let label = self.parts.knowledge.asn.as_ref().and_then(Networks::label);
        label.unwrap_or_else(|| "no date: none is in use, and prefixes stand in".to_owned())
    }

    /// Returns the tables that cannot be used; nothing is judged before they can. Empty if judging goes on.
    pub fn waiting_for(&self) -> &[Fault] {
        &self.parts.waiting_for
    }
}
