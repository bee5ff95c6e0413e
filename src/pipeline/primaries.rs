//! What is said of primaries that are away, and that are back: once each, however many zones they feed.

use std::net::SocketAddr;

use crate::config::{Feeding, Source};
use crate::pipeline::transfer::is_unreached;
use crate::pipeline::{Pipeline, PipelineError, ZoneOutcome, ZoneReport};
use crate::time::Timestamp;
use crate::zone::Refusal;

impl Pipeline {
    /// Notes how primaries did, and says which of them are away or back.
    pub(super) fn note_primaries(
        &self,
        answered: &[SocketAddr],
        failed: &[SocketAddr],
        unreached: &[(SocketAddr, Refusal)],
        now: Timestamp,
    ) -> Result<(), PipelineError> {
        self.backoff.borrow_mut().note(answered, failed, now);
        for primary in answered {
            let since = self.backoff.borrow_mut().note_back(*primary);
            if let Some(since) = since {
                let (zones, text) = self.zones_of(*primary)?;
                let away = now.since(since);
                tracing::info!(%primary, zones, away_s = away.as_seconds(), "primary {primary}: answers again after {away}; {text} transferred from it");
            }
        }
        for (primary, refusal) in unreached {
            let is_new = self.backoff.borrow_mut().note_away(*primary, now);
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

    /// Returns how many zones are transferred from a primary, and that in words.
    fn zones_of(&self, primary: SocketAddr) -> Result<(u64, String), PipelineError> {
        let mut count = 0_u64;
        for source in &self.config.sources {
            let is_of_it = source
                .transfer()
                .is_some_and(|it| it.primaries.contains(&primary));
            count += match &source.feeding {
                Feeding::Catalog { .. } if is_of_it => self.catalog_zones(source)?.len() as u64 + 1,
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
