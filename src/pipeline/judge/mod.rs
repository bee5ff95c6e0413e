//! From history to cases.

use std::sync::Arc;

use crate::config::Config;
use crate::pipeline::context::Pipeline;
use crate::pipeline::findings::Findings;
use crate::pipeline::judge::docket::Docket;
use crate::pipeline::notify::Notify;
use crate::pipeline::parts::Parts;
use crate::store::Store;
use crate::time::Clock;

pub(in crate::pipeline) mod again;
pub(in crate::pipeline) mod anew;
pub(in crate::pipeline) mod backtest;
pub(in crate::pipeline) mod detect;
pub(in crate::pipeline) mod docket;
pub(in crate::pipeline) mod look;
pub(in crate::pipeline) mod seen_again;
pub(in crate::pipeline) mod turns;
pub(in crate::pipeline) mod waiting;
pub(in crate::pipeline) mod watched;

/// From history to cases.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    store: &'a Store,
    config: &'a Arc<Config>,
    parts: &'a Parts,
    clock: &'a Arc<dyn Clock>,
    docket: Option<&'a Docket>,
    findings: Findings<'a>,
    notify: Notify<'a>,
}

impl Pipeline {
    /// From history to cases.
    pub fn judge(&self) -> Judge<'_> {
        Judge {
            store: &self.store,
            config: &self.config,
            parts: &self.parts,
            clock: &self.clock,
            docket: self.docket.as_deref(),
            findings: self.findings(),
            notify: self.notify(),
        }
    }
}
