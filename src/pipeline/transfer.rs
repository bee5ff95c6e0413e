//! A transfer source: prepared and finished with the store, run without it.

use std::fs::File;
use std::net::SocketAddr;

use crate::config::{Feeding, Source};
use crate::dns::{Name, Serial};
use crate::pipeline::apply::Applied;
use crate::pipeline::{
    Pipeline, PipelineError, PollOptions, StoredSummary, ZoneOutcome, ZoneReport, refusal_of,
};
use crate::source::{Fetched, SourceError, TransferKey, TransferTarget, fetch_zone, open_spool};
use crate::store::{SourceKind, ZoneState};
use crate::zone::{DigestKey, DigestTable, Intake, Refusal};

/// A transfer to be run: everything it needs, and nothing of the store.
pub struct TransferJob {
    source: String,
    zone: ZoneState,
    primaries: Vec<SocketAddr>,
    key: Option<TransferKey>,
    digest_key: DigestKey,
    table: DigestTable,
    last_serial: Option<Serial>,
    full: bool,
    /// Whether an older serial is taken although a primary is missing.
    accept_older: bool,
    is_second: bool,
}

/// A transfer that was run.
pub struct TransferOutcome {
    job: TransferJob,
    result: Result<Option<(Fetched, Intake<File>)>, SourceError>,
}

impl Pipeline {
    /// Prepares the transfer of a source.
    ///
    /// # Errors
    ///
    /// [`PipelineError::Store`].
    ///
    /// # Panics
    ///
    /// If the source is of another kind.
    pub fn prepare_transfer(
        &self,
        source: &Source,
        options: &PollOptions,
    ) -> Result<TransferJob, PipelineError> {
        let Feeding::Transfer {
            zone,
            primaries,
            key,
        } = &source.feeding
        else {
            panic!("source {} is no transfer", source.name)
        };
        let id = self
            .store
            .ensure_source(&source.name, SourceKind::Transfer)?;
        let zone = self.store.ensure_zone(zone, id)?;
        self.detect_zone(&zone.apex, options)?;
        let key = key.as_ref().map(|name| self.keys[name].clone());
        let full = options.full || options.accept.contains(&zone.apex);
        let table = self.store.load_digests(&zone)?;
        Ok(TransferJob {
            source: source.name.clone(),
            primaries: primaries.clone(),
            key,
            digest_key: self.store.digest_key(),
            table,
            last_serial: zone.serial,
            full,
            accept_older: options.accept.contains(&zone.apex),
            is_second: false,
            zone,
        })
    }

    /// Stores and judges what a transfer brought, or notes why it brought nothing.
    ///
    /// Returns the report, or a second job when the version changes so much that it is to be fetched
    /// once more before it is believed.
    ///
    /// # Errors
    ///
    /// [`PipelineError`].
    pub fn finish_transfer(
        &self,
        outcome: TransferOutcome,
        options: &PollOptions,
    ) -> Result<Result<ZoneReport, TransferJob>, PipelineError> {
        let TransferOutcome { job, result } = outcome;
        let apex = job.zone.apex.clone();
        let report = |outcome| ZoneReport {
            source: job.source.clone(),
            zone: Some(apex.clone()),
            outcome,
        };
        let now = self.clock.now();
        let (fetched, intake) = match result {
            Ok(Some(whole)) => whole,
            Ok(None) => {
                self.store.note_zone_attempt(&apex, now, None)?;
                self.reevaluate(&apex, now, options)?;
                return Ok(Ok(report(ZoneOutcome::Unchanged {
                    serial: job.last_serial,
                })));
            }
            Err(error) => {
                let refusal = refusal_of(error)?;
                self.store.note_zone_attempt(&apex, now, Some(&refusal))?;
                return Ok(Ok(report(ZoneOutcome::Refused(refusal))));
            }
        };
        // The machine's clock may have been set back; history does not run backwards.
        let observed_at = job.zone.version_at.map_or(now, |newest| newest.max(now));
        let (committed, bulk) =
            match self.apply_version(&job.zone, intake, &fetched, observed_at, !job.is_second)? {
                Applied::Stored(committed, bulk) => (committed, bulk),
                Applied::FetchAgain => {
                    tracing::warn!(zone = %apex, "zone {apex}: mass change, fetching once more");
                    let second = TransferJob {
                        full: true,
                        is_second: true,
                        ..job
                    };
                    return Ok(Err(second));
                }
            };
        self.store.note_zone_attempt(&apex, now, None)?;
        let mut summary = StoredSummary::default();
        self.summarise(&mut summary, &job.zone, &committed, fetched.serial, bulk)?;
        self.detect_zone(&apex, options)?;
        self.reevaluate(&apex, observed_at, options)?;
        let is_news = committed.version_id.is_some();
        Ok(Ok(report(if is_news {
            ZoneOutcome::Stored(summary)
        } else {
            ZoneOutcome::Unchanged {
                serial: fetched.serial,
            }
        })))
    }
}

/// Runs a transfer: the first primary that gives the zone whole is used.
///
/// A serial that went backwards is believed only when every primary was reached and none is ahead: a
/// secondary that lags while the first primary is away must not turn history back.
pub async fn run_transfer(job: TransferJob) -> TransferOutcome {
    let unreached = Refusal::Unreachable("no primary is configured".to_owned());
    let mut result = Err(SourceError::Refused(unreached));
    let (mut behind, mut failure) = (None, None);
    for (i, primary) in job.primaries.clone().into_iter().enumerate() {
        let is_only = job.primaries.len() == 1 || job.accept_older;
        result = run_from(&job, primary, is_only).await;
        let Err(SourceError::Refused(refusal)) = &result else {
            break;
        };
        if i + 1 < job.primaries.len() {
            tracing::warn!(zone = %job.zone.apex, %primary, "zone {}: primary {primary}: {refusal}; trying the next", job.zone.apex);
        }
        match refusal {
            Refusal::Behind(_) => behind = Some(primary),
            other => failure = Some(other.clone()),
        }
    }
    if let (Some(primary), Err(SourceError::Refused(_))) = (behind, &result) {
        result = match failure {
            Some(refusal) => Err(SourceError::Refused(refusal)),
            None => run_from(&job, primary, true).await,
        };
    }
    TransferOutcome { job, result }
}

/// Runs a transfer from one primary. A failed attempt leaves its marks in the table, so each works on
/// a copy.
async fn run_from(
    job: &TransferJob,
    primary: SocketAddr,
    accept_older: bool,
) -> Result<Option<(Fetched, Intake<File>)>, SourceError> {
    let spool = open_spool().map_err(SourceError::Local)?;
    let mut intake = Intake::new(job.digest_key, job.table.clone(), spool);
    let target = TransferTarget {
        apex: &job.zone.apex,
        primary,
        key: job.key.as_ref(),
        last_serial: job.last_serial,
        full: job.full,
        accept_older,
    };
    Ok(fetch_zone(&target, &mut intake)
        .await?
        .map(|fetched| (fetched, intake)))
}

impl TransferJob {
    /// Returns the zone that is transferred.
    pub fn apex(&self) -> &Name {
        &self.zone.apex
    }
}
