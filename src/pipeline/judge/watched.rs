//! Which zones are watched, as the configuration says it.

use crate::config::Feeding;
use crate::pipeline::error::PipelineError;
use crate::pipeline::judge::Judge;
use crate::store::{SourceKind, Watched};

impl Judge<'_> {
    /// Notes which zones no source of the configuration feeds any more: nothing that stands in them is held against
    /// anybody. For the poller alone, before it judges.
    pub fn note_watched(&self) -> Result<(), PipelineError> {
        let mut watched = Watched::default();
        for source in &self.config.sources {
            match &source.feeding {
                Feeding::Transfer(transfer) => watched.name(&transfer.zone, SourceKind::Transfer),
                Feeding::Zonefile(files) => watched.name(&files.zone, SourceKind::Zonefile),
                Feeding::Feed(feed) => {
                    watched.sources.insert(source.name.clone());
                    if let Some(zone) = &feed.zone {
                        watched.name(zone, SourceKind::Feed);
                    }
                }
                Feeding::Catalog(_) | Feeding::Probe(_) => {
                    watched.sources.insert(source.name.clone());
                }
            }
        }
        for zone in self
            .store
            .zones()
            .note_watched(&watched, self.clock.now())?
        {
            tracing::warn!(%zone, "zone {zone}: no source of the configuration feeds it any more; its history stays, and nobody is suspected by it");
        }
        Ok(())
    }
}
