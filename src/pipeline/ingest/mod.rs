//! From a source to history.

use std::cell::RefCell;
use std::sync::Arc;

use crate::config::Config;
use crate::pipeline::backoff::Backoff;
use crate::pipeline::context::Pipeline;
use crate::pipeline::findings::Findings;
use crate::pipeline::judge::Judge;
use crate::pipeline::judge::docket::Docket;
use crate::pipeline::parts::Parts;
use crate::store::Store;
use crate::time::Clock;

pub(in crate::pipeline) mod apply;
pub(in crate::pipeline) mod aside;
pub(in crate::pipeline) mod catalog;
pub(in crate::pipeline) mod feed;
pub(in crate::pipeline) mod files;
pub(in crate::pipeline) mod full;
pub(in crate::pipeline) mod marks;
pub(in crate::pipeline) mod passive;
pub(in crate::pipeline) mod poll;
pub(in crate::pipeline) mod primaries;
pub(in crate::pipeline) mod probe;
pub(in crate::pipeline) mod transfer;

/// From a source to history.
#[derive(Clone, Copy)]
pub struct Ingest<'a> {
    store: &'a Store,
    config: &'a Arc<Config>,
    parts: &'a Parts,
    clock: &'a Arc<dyn Clock>,
    docket: Option<&'a Docket>,
    backoff: &'a RefCell<Backoff>,
    findings: Findings<'a>,
    judge: Judge<'a>,
}

impl Pipeline {
    /// From a source to history.
    pub fn ingest(&self) -> Ingest<'_> {
        Ingest {
            store: &self.store,
            config: &self.config,
            parts: &self.parts,
            clock: &self.clock,
            docket: self.docket.as_deref(),
            backoff: &self.backoff,
            findings: self.findings(),
            judge: self.judge(),
        }
    }
}
