//! What is done beside the flow: metrics, retention, clocks that were set.

use std::sync::Arc;

use crate::config::Config;
use crate::pipeline::context::Pipeline;
use crate::pipeline::parts::Parts;
use crate::store::Store;
use crate::time::Clock;

pub(in crate::pipeline) mod clock;
pub(in crate::pipeline) mod metrics;
pub(in crate::pipeline) mod retention;
pub(in crate::pipeline) mod tables;

/// What is done beside the flow.
#[derive(Clone, Copy)]
pub struct Upkeep<'a> {
    store: &'a Store,
    config: &'a Arc<Config>,
    parts: &'a Parts,
    clock: &'a Arc<dyn Clock>,
}

impl Pipeline {
    /// What is done beside the flow.
    pub fn upkeep(&self) -> Upkeep<'_> {
        Upkeep {
            store: &self.store,
            config: &self.config,
            parts: &self.parts,
            clock: &self.clock,
        }
    }
}
