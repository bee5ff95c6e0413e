//! Stores a version that arrived whole.

use crate::pipeline::ingest::Ingest;
use std::fs::File;

use crate::dns::Serial;
use crate::pipeline::error::{PipelineError, spool_refusal};
use crate::pipeline::outcome::StoredSummary;
use crate::source::Fetched;
use crate::store::{Committed, Comparison, VersionDraft, VersionKind, VersionTx, ZoneState};
use crate::time::{Span, Timestamp};
use crate::zone::{
    Batch, Counts, Intake, IntakeError, Missed, Refusal, Step, is_bulk, judge_transfer,
};

/// How many versions of 7 days are excused because their serial went backwards.
// Else whoever turns a zone back and forth could rotate in it unseen.
const WENT_BACK_EXCUSED_MAX: u32 = 2;

/// What became of a version, or of the steps to one.
pub(in crate::pipeline) enum Applied {
    /// It is in history, or nothing in it was new.
    Stored(StoredSummary),
    /// The same, and a CNAME stands beside another record since: the steps left something out.
    Suspect(StoredSummary),
    /// It changes too much: fetch it once more before believing it. Nothing was stored.
    FetchAgain,
    /// The steps were made from another state than ours. Nothing was stored.
    DoesNotFit(String),
    /// The steps remove too much to be taken unasked, or there is more of something than a limit allows.
    /// Nothing was stored.
    Refused(Refusal),
}

/// How a whole version is read.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::pipeline) struct Reading {
    /// Whether a mass change is asked for once more before it is believed.
    pub may_fetch_again: bool,
    /// Whether its difference to the state is no change of the zone: versions before it lost it on their way.
    pub is_drift: bool,
    /// Which primary's zone it is, and since when it is here; `None` for a file.
    pub comparison: Option<Comparison>,
}

impl Ingest<'_> {
    /// Stores a version in one transaction. If it may be fetched again, a mass change is not stored but
    /// asked for once more; else it is stored and marked *bulk*. Drift is marked as such, whatever its size.
    pub(in crate::pipeline) fn apply_version(
        &self,
        zone: &ZoneState,
        intake: Intake<File>,
        fetched: &Fetched,
        observed_at: Timestamp,
        reading: Reading,
    ) -> Result<Applied, PipelineError> {
        let applied = self.apply_whole(zone, intake, fetched, observed_at, reading);
        refuse_unspooled(applied)
    }

    /// [`Ingest::apply_version`] that fails if what was spooled cannot be read.
    fn apply_whole(
        &self,
        zone: &ZoneState,
        mut intake: Intake<File>,
        fetched: &Fetched,
        observed_at: Timestamp,
        reading: Reading,
    ) -> Result<Applied, PipelineError> {
        // What a feed told is parts; a whole version after it is noted even if it says nothing new.
        let confirms = zone.version_id.is_some() && !zone.newest_is_whole;
        let kind = if zone.version_id.is_none() {
            VersionKind::Baseline
        } else {
            VersionKind::Snapshot
        };
        let draft = VersionDraft {
            source: zone.source,
            kind,
            serial: fetched.serial,
            observed_at,
            joins: None,
            drift: reading.is_drift,
        };
        let mut tx = self.store.ledger().begin(zone, draft)?;
        while let Some(batch) = intake.next_batch().map_err(spool_error)? {
            if kind == VersionKind::Baseline {
                let rows = tx.apply_first(&batch).map_err(PipelineError::from)?;
                rows.into_iter().for_each(|slot| intake.note_row(slot));
                continue;
            }
            let candidates = batch.groups();
            let candidates = candidates.map(|(owner, records)| Batch::candidate(owner, records));
            let candidates = candidates.collect::<Result<_, _>>().map_err(spool_error)?;
            tx.apply_candidates(candidates)?;
        }
        for partition in 0..intake.partition_count() {
            tx.apply_candidates(intake.scattered(partition).map_err(spool_error)?)?;
        }
        tx.apply_vanished(&intake.vanished())?;
        if let Some(refusal) = self.over_rrset_limit(&tx) {
            return Ok(Applied::Refused(refusal));
        }
        let mut bulk = kind == VersionKind::Snapshot && is_bulk(&self.config.trust, &tx.measure());
        if bulk && reading.may_fetch_again {
            return Ok(Applied::FetchAgain);
        }
        // A zone that was turned back brings old values back, which is nobody's rotation; unless it is
        // turned back again and again.
        let went_back = matches!((zone.serial, fetched.serial), (Some(before), Some(now)) if before.is_newer_than(now));
        if went_back {
            let since = observed_at - Span::days(7);
            let lately = self
                .store
                .lookup()
                .bulk_count(zone.id, since, observed_at)?;
            bulk |= lately < WENT_BACK_EXCUSED_MAX;
        }
        if confirms {
            tx.keep();
        }
        if let Some(comparison) = reading.comparison {
            tx.came_whole(comparison);
        }
        let committed = tx.commit(bulk)?;
        self.keep_digests(zone, intake, &committed);
        let mut summary = StoredSummary::default();
        self.summarise(&mut summary, zone, &committed, fetched.serial, bulk)?;
        if reading.is_drift {
            summary.drift_names = committed.changed_name_count + committed.retimed_name_count;
        }
        self.record_regression(zone, &summary)?;
        Ok(Applied::Stored(summary))
    }

    /// Stores the steps of an incremental transfer in one transaction, each as a version of its own:
    /// what was between two polls is history too.
    pub(in crate::pipeline) fn apply_steps(
        &self,
        zone: &ZoneState,
        steps: &[Step],
        observed_at: Timestamp,
        may_fetch_again: bool,
    ) -> Result<Applied, PipelineError> {
        refuse_unspooled(self.apply_each(zone, steps, observed_at, may_fetch_again))
    }

    /// [`Ingest::apply_steps`] that fails if what was spooled cannot be read.
    fn apply_each(
        &self,
        zone: &ZoneState,
        steps: &[Step],
        observed_at: Timestamp,
        may_fetch_again: bool,
    ) -> Result<Applied, PipelineError> {
        let tx = self.store.begin_batch()?;
        self.store.ledger().check_newest(zone)?;
        let mut summary = StoredSummary::default();
        let (mut state, mut digests, mut breaks_cname) = (zone.clone(), Vec::new(), false);
        for step in steps {
            let draft = VersionDraft {
                source: zone.source,
                kind: VersionKind::Snapshot,
                serial: Some(step.to),
                observed_at,
                joins: None,
                drift: false,
            };
            let mut version = self.store.ledger().begin_part(&state, draft)?;
            version.came_as_step();
            let owners = step.owners().map_err(spool_error)?;
            if let Err(what) = version.apply_step(owners.into_iter().collect())? {
                let (from, to) = (step.from, step.to);
                return Ok(Applied::DoesNotFit(format!(
                    "serial {from} to {to}: {what}"
                )));
            }
            if let Some(refusal) = self.over_rrset_limit(&version) {
                return Ok(Applied::Refused(refusal));
            }
            let bulk = is_bulk(&self.config.trust, &version.measure());
            if bulk && may_fetch_again {
                return Ok(Applied::FetchAgain);
            }
            let mut committed = version.commit(bulk)?;
            digests.append(&mut committed.digests);
            breaks_cname |= committed.breaks_cname;
            self.summarise(&mut summary, &state, &committed, Some(step.to), bulk)?;
            state = self
                .store
                .zones()
                .find_zone(&zone.apex)?
                .expect("the zone's row is there since the transfer was prepared");
        }
        if state.kept_count == 0 && zone.kept_count > 0 {
            return Ok(Applied::DoesNotFit("the steps leave nothing".to_owned()));
        }
        let counts = Counts {
            kept: state.kept_count,
            ..Counts::default()
        };
        if let Some(refusal) = judge_transfer(&self.config.trust, zone.kept_count, &counts) {
            return Ok(if may_fetch_again {
                Applied::FetchAgain
            } else {
                Applied::Refused(refusal)
            });
        }
        tx.commit()?;
        if let Some(newest) = state.version_id {
            self.store.ledger().extend_digests(zone, newest, &digests);
        }
        self.record_regression(zone, &summary)?;
        Ok(if breaks_cname {
            Applied::Suspect(summary)
        } else {
            Applied::Stored(summary)
        })
    }

    /// Returns why a version is refused that has an RRset of more records than allowed.
    fn over_rrset_limit(&self, version: &VersionTx<'_>) -> Option<Refusal> {
        let (owner, rtype, records) = version.widest_rrset()?;
        let limits = &self.config.limits;
        let fault = limits.rrset_fault(&owner.to_string(), *rtype, *records);
        fault.map(Refusal::Limit)
    }

    /// Brings the digest table up to the version and saves it beside the database.
    fn keep_digests(&self, zone: &ZoneState, intake: Intake<File>, committed: &Committed) {
        let Some(version_id) = committed.version_id.or(zone.version_id) else {
            return;
        };
        if committed.digests.is_empty() && committed.version_id.is_none() {
            return;
        }
        if self
            .store
            .ledger()
            .extend_digests(zone, version_id, &committed.digests)
        {
            return;
        }
        let mut table = intake.into_table();
        for (hash, slot) in &committed.digests {
            match slot {
                Some(slot) => table.insert(*slot),
                None => table.remove(*hash),
            }
        }
        self.store.ledger().save_digests(zone, version_id, &table);
    }

    /// Records for the administrator that a whole zone went back to an older serial.
    fn record_regression(
        &self,
        before: &ZoneState,
        after: &StoredSummary,
    ) -> Result<(), PipelineError> {
        if let (true, Some(was), Some(is)) = (after.serial_regressed, before.serial, after.serial) {
            let reason = format!("its serial went back from {was} to {is}; it was stored in full");
            let zone = before.apex.to_string();
            self.store
                .desk()
                .note_blind(&zone, &reason, self.clock.now())?;
        }
        Ok(())
    }

    /// Adds a stored version to a pass's summary.
    pub(in crate::pipeline) fn summarise(
        &self,
        summary: &mut StoredSummary,
        before: &ZoneState,
        committed: &Committed,
        serial: Option<Serial>,
        bulk: bool,
    ) -> Result<(), PipelineError> {
        summary.baseline |= before.version_id.is_none();
        summary.versions += u64::from(committed.version_id.is_some());
        summary.changed_names += committed.changed_name_count;
        summary.bulk_versions += u64::from(bulk);
        match committed.missed {
            Some(Missed::AtMost(count)) => summary.missed_max += u64::from(count),
            Some(Missed::Unknown) => summary.missed_unknown += 1,
            None => {}
        }
        summary.serial_regressed |= matches!((before.serial, serial), (Some(before), Some(now)) if before.is_newer_than(now));
        if let Some(state) = self.store.zones().find_zone(&before.apex)? {
            summary.records = state.kept_count;
            summary.serial = state.serial;
            summary.hash = self.store.ledger().newest_hash(state.id)?;
        }
        Ok(())
    }
}

/// Turns a fault of the spool into the refusal of its version: nothing of it was stored.
fn refuse_unspooled(applied: Result<Applied, PipelineError>) -> Result<Applied, PipelineError> {
    match applied {
        Err(PipelineError::Local(error)) => Ok(Applied::Refused(spool_refusal(&error))),
        applied => applied,
    }
}

/// Turns a fault of the spool into one of this machine.
fn spool_error(error: IntakeError) -> PipelineError {
    match error {
        IntakeError::Spool(error) => PipelineError::Local(error),
        // What was spooled had been read already; that it cannot be read again is the disk's doing.
        other => PipelineError::Local(std::io::Error::other(other.to_string())),
    }
}
