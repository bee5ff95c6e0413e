//! Which zones are watched, as the configuration says it.

use crate::config::Feeding;
use crate::pipeline::error::PipelineError;
use crate::pipeline::judge::Judge;
use crate::store::Watched;

impl Judge<'_> {
    /// Notes which zones no source of the configuration feeds any more: nothing that stands in them is held against
    /// anybody. For the poller alone, before it judges.
    pub fn note_watched(&self) -> Result<(), PipelineError> {
        let mut watched = Watched::default();
        for source in &self.config.sources {
            match &source.feeding {
                Feeding::Transfer(transfer) => _ = watched.zones.insert(transfer.zone.clone()),
                Feeding::Zonefile(files) => _ = watched.zones.insert(files.zone.clone()),
                Feeding::Catalog(_) | Feeding::Feed(_) | Feeding::Probe(_) => {
                    watched.sources.insert(source.name.clone());
                }
            }
        }
        let ended = self
            .store
            .zones()
            .note_watched(&watched, self.clock.now())?;
        for zone in ended {
            tracing::warn!(%zone, "zone {zone}: no source of the configuration feeds it any more; its history stays, and nobody is suspected by it");
        }
        Ok(())
    }
}
