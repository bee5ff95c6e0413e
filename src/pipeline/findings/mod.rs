//! What is computed from history: windows, findings, the canary. Nothing here writes.

use std::sync::Arc;

use crate::config::Config;
use crate::pipeline::context::Pipeline;
use crate::pipeline::parts::Parts;
use crate::store::Store;
use crate::time::Clock;

pub(in crate::pipeline) mod answers;
pub(in crate::pipeline) mod beside;
pub(in crate::pipeline) mod canary;
pub(in crate::pipeline) mod crowd;
pub(in crate::pipeline) mod cuts;
pub(in crate::pipeline) mod delegated;
pub(in crate::pipeline) mod find;
pub(in crate::pipeline) mod last_use;
pub(in crate::pipeline) mod operated;
pub(in crate::pipeline) mod remains;
pub(in crate::pipeline) mod windows;
pub(in crate::pipeline) mod word;

/// What is computed from history. Nothing here writes.
#[derive(Clone, Copy)]
pub struct Findings<'a> {
    store: &'a Store,
    config: &'a Arc<Config>,
    parts: &'a Parts,
    clock: &'a Arc<dyn Clock>,
}

impl Pipeline {
    /// What is computed from history. Nothing here writes.
    pub fn findings(&self) -> Findings<'_> {
        Findings {
            store: &self.store,
            config: &self.config,
            parts: &self.parts,
            clock: &self.clock,
        }
    }
}
