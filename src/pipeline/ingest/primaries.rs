//! What is said of primaries that are away, and that are back: once each, however many zones they feed.

use crate::config::TransferSettings;
use crate::dns::Name;
use crate::pipeline::ingest::Ingest;
use crate::source::TransferKey;
use crate::time::Span;
use std::net::SocketAddr;

use crate::config::{Feeding, Source};
use crate::pipeline::backoff::{Asked, Silence};
use crate::pipeline::error::PipelineError;
use crate::pipeline::ingest::transfer::is_unreached;
use crate::pipeline::outcome::{ZoneOutcome, ZoneReport};
use crate::zone::Refusal;

/// Of how many zones in a row a primary says nothing before it is taken to be away. One or two may be those that it
/// cannot answer. Chosen by hand.
// One zone may be gone from its primary; some in a row mean that the primary is.
const SILENCES_WANTED: usize = 3;

impl Ingest<'_> {
    /// Returns the key that signs a source's transfers.
    pub fn transfer_key(&self, settings: &TransferSettings) -> Option<TransferKey> {
        settings
            .key
            .as_ref()
            .map(|name| self.parts.keys[name].clone())
    }

    /// Returns refresh and retry of a zone's newest SOA, if they are known.
    pub fn soa_timers(&self, zone: &Name) -> Result<Option<(Span, Span)>, PipelineError> {
        Ok(self.store.zones().soa_timers(zone)?)
    }

    /// Notes how primaries did when they were asked about `asked`, and says which of them are away or back.
    ///
    /// That one zone is not answered does not tell that its primary is away: others may be. Then the zone has its own
    /// line in the log, with its name.
    pub(in crate::pipeline) fn record_primaries(
        &self,
        asked: Asked<'_>,
        answered: &[SocketAddr],
        failed: &[SocketAddr],
        unreached: &[(SocketAddr, Refusal)],
    ) -> Result<(), PipelineError> {
        let now = self.clock.moment();
        self.backoff.borrow_mut().note(answered, failed, now);
        for primary in answered {
            let since = self.backoff.borrow_mut().record_reached(*primary);
            if let Some(since) = since {
                let (zones, text) = self.zones_of(*primary)?;
                let away = now.span_since(since);
                tracing::info!(%primary, zones, away_s = away.as_seconds(), "primary {primary}: answers again after {away}; {text} transferred from it");
            }
        }
        for (primary, refusal) in unreached {
            let is_proof = match asked {
                Asked::Many => true,
                // Nobody listens there, whatever is asked for.
                Asked::One(_) => matches!(refusal, Refusal::Unreachable(_)),
            };
            let enough = if is_proof {
                1
            } else {
                self.silences_wanted(*primary)
            };
            let silence = Silence {
                primary: *primary,
                asked,
                enough,
            };
            let is_new = self.backoff.borrow_mut().record_unreached(&silence, now);
            if is_new {
                let (zones, text) = self.zones_of(*primary)?;
                tracing::error!(%primary, zones, reason = refusal.code(), "primary {primary}: {refusal}; {text} transferred from it");
            }
        }
        Ok(())
    }

    /// Returns whether a report says nothing but that primaries are away of which that was said before.
    pub fn is_known_outage(&self, report: &ZoneReport) -> bool {
        let ZoneOutcome::Refused(refusal) = &report.outcome else {
            return false;
        };
        let mut sources = self.config.sources.iter();
        let source = sources.find(|source| source.name == report.source);
        is_unreached(refusal)
            && source
                .and_then(Source::transfer)
                .is_some_and(|it| self.backoff.borrow().are_away(&it.primaries))
    }

    /// Returns of how many zones a primary must say nothing before it is away: of all that it feeds, or of
    /// [`SILENCES_WANTED`].
    fn silences_wanted(&self, primary: SocketAddr) -> usize {
        let sources = self.config.sources.iter();
        let mut count = 0;
        for source in sources.filter(|it| {
            it.transfer()
                .is_some_and(|it| it.primaries.contains(&primary))
        }) {
            count += match source.feeding {
                Feeding::Catalog(_) => SILENCES_WANTED,
                _ => 1,
            };
        }
        // A primary that feeds one zone could never be silent about three.
        count.min(SILENCES_WANTED)
    }

    /// Returns how many zones are transferred from a primary, and that in words.
    fn zones_of(&self, primary: SocketAddr) -> Result<(u64, String), PipelineError> {
        let mut count = 0_u64;
        for source in &self.config.sources {
            let is_of_it = source
                .transfer()
                .is_some_and(|it| it.primaries.contains(&primary));
            count += match &source.feeding {
                Feeding::Catalog(_) if is_of_it => self.catalog_zones(source)?.len() as u64 + 1,
                _ => u64::from(is_of_it),
            };
        }
        let text = match count {
            1 => "1 zone is".to_owned(),
            count => format!("{count} zones are"),
        };
        Ok((count, text))
    }
}
