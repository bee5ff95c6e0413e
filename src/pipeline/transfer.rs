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
    table: Option<DigestTable>,
    last_serial: Option<Serial>,
    full: bool,
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
        let key = key.as_ref().map(|name| self.keys[name].clone());
        let full = options.full || options.accept.contains(&zone.apex);
        self.job(
            source.name.clone(),
            zone,
            primaries.clone(),
            key,
            full,
            false,
        )
    }

    /// Makes a job with the digests as they stand.
    fn job(
        &self,
        source: String,
        zone: ZoneState,
        primaries: Vec<SocketAddr>,
        key: Option<TransferKey>,
        full: bool,
        is_second: bool,
    ) -> Result<TransferJob, PipelineError> {
        let table = self.store.load_digests(&zone)?;
        Ok(TransferJob {
            source,
            primaries,
            key,
            digest_key: self.store.digest_key(),
            table: Some(table),
            last_serial: zone.serial,
            full,
            is_second,
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
                    return Ok(Err(self.job(
                        job.source,
                        job.zone,
                        job.primaries,
                        job.key,
                        true,
                        true,
                    )?));
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
pub async fn run_transfer(mut job: TransferJob) -> TransferOutcome {
    let mut result = Err(SourceError::Refused(Refusal::Unreachable(
        "no primary is configured".to_owned(),
    )));
    for primary in job.primaries.clone() {
        // A failed attempt leaves its marks in the table: the next primary starts from a clean copy.
        let is_last = Some(&primary) == job.primaries.last();
        result = run_from(&mut job, primary, is_last).await;
        match &result {
            Err(SourceError::Refused(refusal)) if !is_last => {
                tracing::warn!(zone = %job.zone.apex, %primary, "zone {}: primary {primary}: {refusal}; trying the next", job.zone.apex)
            }
            _ => break,
        }
    }
    TransferOutcome { job, result }
}

/// Runs a transfer from one primary.
async fn run_from(
    job: &mut TransferJob,
    primary: SocketAddr,
    is_last: bool,
) -> Result<Option<(Fetched, Intake<File>)>, SourceError> {
    let table = if is_last {
        job.table.take()
    } else {
        job.table.as_ref().map(copy_table)
    };
    let table = table.expect("the last primary takes the table, and nothing runs after it");
    let spool = open_spool().map_err(SourceError::Local)?;
    let mut intake = Intake::new(job.digest_key, table, spool);
    let target = TransferTarget {
        apex: &job.zone.apex,
        primary,
        key: job.key.as_ref(),
        last_serial: job.last_serial,
        full: job.full,
    };
    Ok(fetch_zone(&target, &mut intake)
        .await?
        .map(|fetched| (fetched, intake)))
}

/// Copies a table.
fn copy_table(table: &DigestTable) -> DigestTable {
    let mut copy = DigestTable::with_capacity(table.len());
    table.iter().for_each(|slot| copy.insert(*slot));
    copy
}

impl TransferJob {
    /// Returns the zone that is transferred.
    pub fn apex(&self) -> &Name {
        &self.zone.apex
    }
}
