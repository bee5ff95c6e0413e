//! Stores a version that arrived whole.

use crate::pipeline::ingest::Ingest;

use crate::dns::Serial;
use crate::pipeline::error::{PipelineError, spool_refusal};
use crate::pipeline::outcome::StoredSummary;
use crate::source::{Fetched, SpoolFile};
use crate::store::{
    Committed, Comparison, Newest, ReadFile, SERIAL_WENT_BACK, VersionDraft, VersionKind,
    VersionTx, ZoneState,
};
use crate::time::{Span, Timestamp};
use crate::zone::{
    Batch, Counts, Intake, IntakeError, Missed, Refusal, Step, is_bulk, judge_transfer,
};

/// How many versions of 7 days are excused because their serial went backwards.
// Else whoever turns a zone back and forth could rotate in it unseen.
const WENT_BACK_EXCUSED_MAX: u32 = 2;

/// What became of a whole zone that was transferred.
pub(in crate::pipeline) enum AppliedZone {
    /// It is in history, or nothing in it was new.
    Stored(StoredSummary),
    /// It changes too much: fetch it once more before believing it. Nothing was stored.
    FetchAgain,
    /// There is more of something than a limit allows. Nothing was stored.
    Refused(Refusal),
}

/// What became of the steps to a version.
pub(in crate::pipeline) enum AppliedSteps {
    /// They are in history.
    Stored(StoredSummary),
    /// The same, and a CNAME stands beside another record since: the steps left something out.
    Suspect(StoredSummary),
    /// They change too much: fetch them once more before believing them. Nothing was stored.
    FetchAgain,
    /// They were made from another state than ours. Nothing was stored.
    DoesNotFit(String),
    /// They remove too much to be taken unasked, or there is more of something than a limit allows.
    /// Nothing was stored.
    Refused(Refusal),
}

/// A whole version as it arrived.
pub(in crate::pipeline) struct Arrived<'a> {
    /// The zone before it.
    pub zone: &'a ZoneState,
    /// Its records.
    pub intake: Intake<SpoolFile>,
    /// Its serial and its counts.
    pub fetched: &'a Fetched,
    /// Its time.
    pub observed_at: Timestamp,
    /// Whether its difference to the state is no change of the zone: versions before it lost it on their way.
    pub is_drift: bool,
    /// By what it is known again, if it is a file.
    pub file: Option<ReadFile>,
}

/// How a whole zone that was transferred is read.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline) struct Reading {
    /// Whether a mass change is asked for once more before it is believed.
    pub may_fetch_again: bool,
    /// Which primary's zone it is, and since when it is here.
    pub comparison: Comparison,
}

impl Ingest<'_> {
    /// Stores the version of a file in one transaction. A file does not change by being read again: a mass change
    /// is stored at once, marked *bulk*.
    pub(in crate::pipeline) fn apply_file(
        &self,
        file: Arrived<'_>,
    ) -> Result<Result<StoredSummary, Refusal>, PipelineError> {
        refuse_unspooled(self.write_file(file), Err)
    }

    /// [`Ingest::apply_file`] that fails if what was spooled cannot be read.
    fn write_file(
        &self,
        mut file: Arrived<'_>,
    ) -> Result<Result<StoredSummary, Refusal>, PipelineError> {
        let version = match self.begin_version(&mut file)? {
            Ok(version) => version,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let bulk = self.is_bulk(&version, file.zone);
        self.commit_version(version, file, bulk).map(Ok)
    }

    /// Stores a transferred zone in one transaction. If it may be fetched again, a mass change is not stored but
    /// asked for once more; else it is stored and marked *bulk*. Drift is marked as such, whatever its size.
    pub(in crate::pipeline) fn apply_zone(
        &self,
        zone: Arrived<'_>,
        reading: Reading,
    ) -> Result<AppliedZone, PipelineError> {
        refuse_unspooled(self.write_zone(zone, reading), AppliedZone::Refused)
    }

    /// [`Ingest::apply_zone`] that fails if what was spooled cannot be read.
    fn write_zone(
        &self,
        mut zone: Arrived<'_>,
        reading: Reading,
    ) -> Result<AppliedZone, PipelineError> {
        let mut version = match self.begin_version(&mut zone)? {
            Ok(version) => version,
            Err(refusal) => return Ok(AppliedZone::Refused(refusal)),
        };
        let bulk = self.is_bulk(&version, zone.zone);
        if bulk && reading.may_fetch_again {
            return Ok(AppliedZone::FetchAgain);
        }
        version.came_whole(reading.comparison);
        let stored = self.commit_version(version, zone, bulk)?;
        Ok(AppliedZone::Stored(stored))
    }

    /// Opens the transaction of a whole version and writes what it changes.
    fn begin_version(
        &self,
        arrived: &mut Arrived<'_>,
    ) -> Result<Result<VersionTx<'_>, Refusal>, PipelineError> {
        let (zone, intake) = (arrived.zone, &mut arrived.intake);
        let kind = kind_of(zone);
        let draft = VersionDraft {
            source: zone.source,
            kind,
            serial: arrived.fetched.serial,
            observed_at: arrived.observed_at,
            joins: None,
            drift: arrived.is_drift,
        };
        let mut tx = self.store.ledger().begin(zone, draft)?;
        if kind == VersionKind::Baseline {
            return Ok(match self.write_first(&mut tx, intake)? {
                Some(refusal) => Err(refusal),
                None => Ok(tx),
            });
        }
        // Of a zone that is known the intake gives only owners whose digests differ.
        while let Some(batch) = intake.next_batch().map_err(spool_error)? {
            let candidates = batch.groups();
            let candidates = candidates.map(|(owner, records)| Batch::candidate(owner, records));
            let candidates = candidates.collect::<Result<_, _>>().map_err(spool_error)?;
            tx.apply_candidates(candidates)?;
        }
        for partition in 0..intake.partition_count() {
            tx.apply_candidates(intake.scattered(partition).map_err(spool_error)?)?;
        }
        tx.apply_vanished(&intake.vanished())?;
        Ok(match self.over_rrset_limit(&tx) {
            Some(refusal) => Err(refusal),
            None => Ok(tx),
        })
    }

    /// Writes the owners of a zone's first version. Returns why it is refused, if it is.
    fn write_first(
        &self,
        tx: &mut VersionTx<'_>,
        intake: &mut Intake<SpoolFile>,
    ) -> Result<Option<Refusal>, PipelineError> {
        let mut owners = tx.begin_first(intake.take_hosts())?;
        while let Some(batch) = intake.next_sorted().map_err(spool_error)? {
            owners.apply(&batch)?;
        }
        owners.finish()?;
        let limit = self.config.limits.names;
        if tx.new_name_count().unsigned_abs() > limit {
            let what = format!("first version of more than limits.names = {limit}");
            return Ok(Some(Refusal::Limit(what)));
        }
        Ok(self.over_rrset_limit(tx))
    }

    /// Returns whether a whole version is a mass change; the first one of a zone is none.
    fn is_bulk(&self, version: &VersionTx<'_>, zone: &ZoneState) -> bool {
        kind_of(zone) == VersionKind::Snapshot && is_bulk(&self.config.trust, &version.measure())
    }

    /// Commits a whole version and returns what it changed.
    fn commit_version(
        &self,
        mut version: VersionTx<'_>,
        arrived: Arrived<'_>,
        mut bulk: bool,
    ) -> Result<StoredSummary, PipelineError> {
        let Arrived {
            zone,
            intake,
            fetched,
            observed_at,
            is_drift,
            file,
        } = arrived;
        if let Some(file) = file {
            version.came_as_file(file);
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
        // What a feed told is parts; a whole version after it is noted even if it says nothing new.
        if zone.version_id.is_some() && !zone.newest_is_whole {
            version.keep();
        }
        let committed = version.commit(bulk)?;
        // After the commit: digests of a version that is not in history would hide its changes from the next
        // comparison.
        self.keep_digests(zone, intake, &committed);
        let mut summary = StoredSummary::default();
        self.summarise(&mut summary, zone, &committed, fetched.serial, bulk)?;
        if is_drift {
            summary.drift_names = committed.changed_name_count + committed.retimed_name_count;
        }
        self.record_regression(zone, &summary)?;
        Ok(summary)
    }

    /// Stores the steps of an incremental transfer in one transaction, each as a version of its own:
    /// what was between two polls is history too.
    pub(in crate::pipeline) fn apply_steps(
        &self,
        zone: &ZoneState,
        steps: &[Step],
        observed_at: Timestamp,
        may_fetch_again: bool,
    ) -> Result<AppliedSteps, PipelineError> {
        let applied = self.write_steps(zone, steps, observed_at, may_fetch_again);
        refuse_unspooled(applied, AppliedSteps::Refused)
    }

    /// [`Ingest::apply_steps`] that fails if what was spooled cannot be read.
    fn write_steps(
        &self,
        zone: &ZoneState,
        steps: &[Step],
        observed_at: Timestamp,
        may_fetch_again: bool,
    ) -> Result<AppliedSteps, PipelineError> {
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
            // One transaction for all: a step that does not fit takes back those before it.
            let mut version = self.store.ledger().begin_part(&state, draft)?;
            version.came_as_step();
            let owners = step.owners().map_err(spool_error)?;
            if let Err(what) = version.apply_step(owners.into_iter().collect())? {
                let (from, to) = (step.from, step.to);
                return Ok(AppliedSteps::DoesNotFit(format!(
                    "serial {from} to {to}: {what}"
                )));
            }
            if let Some(refusal) = self.over_rrset_limit(&version) {
                return Ok(AppliedSteps::Refused(refusal));
            }
            let bulk = is_bulk(&self.config.trust, &version.measure());
            if bulk && may_fetch_again {
                return Ok(AppliedSteps::FetchAgain);
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
        // A zone has name servers (RFC 1035 §5.2), so that steps which leave none have lost some on the way.
        if state.kept_count == 0 && zone.kept_count > 0 {
            return Ok(AppliedSteps::DoesNotFit(
                "the steps leave nothing".to_owned(),
            ));
        }
        let counts = Counts {
            kept: state.kept_count,
            ..Counts::default()
        };
        if let Some(refusal) = judge_transfer(&self.config.trust, zone.kept_count, &counts) {
            return Ok(if may_fetch_again {
                AppliedSteps::FetchAgain
            } else {
                AppliedSteps::Refused(refusal)
            });
        }
        tx.commit()?;
        if let Some(newest) = Newest::of(&state) {
            self.store.ledger().extend_digests(zone, newest, &digests);
        }
        self.record_regression(zone, &summary)?;
        Ok(if breaks_cname {
            AppliedSteps::Suspect(summary)
        } else {
            AppliedSteps::Stored(summary)
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
    fn keep_digests(&self, zone: &ZoneState, intake: Intake<SpoolFile>, committed: &Committed) {
        // Those of a first version are kept already.
        let Some(before) = zone.version_id else {
            return;
        };
        let (version_id, hash) = match committed.version_id {
            Some(version_id) => (version_id, committed.hash),
            None => (before, zone.newest_hash),
        };
        let newest = Newest {
            version_id,
            hash,
            ttls: committed.ttls,
        };
        if committed.digests.is_empty() && committed.version_id.is_none() {
            return;
        }
        if self
            .store
            .ledger()
            .extend_digests(zone, newest, &committed.digests)
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
        self.store.ledger().save_digests(zone, newest, &table);
    }

    /// Records for the administrator that a whole zone went back to an older serial.
    fn record_regression(
        &self,
        before: &ZoneState,
        after: &StoredSummary,
    ) -> Result<(), PipelineError> {
        if let (true, Some(was), Some(is)) = (after.serial_regressed, before.serial, after.serial) {
            let reason = format!(
                "{SERIAL_WENT_BACK}{was} to {is}; it is watched on, and that version was stored in full"
            );
            let zone = before.apex.to_string();
            self.store
                .desk()
                .record_blindness(&zone, &reason, self.clock.now())?;
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
        summary.records = committed.record_count;
        summary.serial = committed.serial;
        summary.hash = match committed.hash {
            Some(hash) => Some(hash),
            None => self.store.ledger().newest_hash(before.id)?,
        };
        Ok(())
    }
}

/// Turns a fault of the spool into the refusal of its version: nothing of it was stored.
fn refuse_unspooled<T>(
    applied: Result<T, PipelineError>,
    refused: impl FnOnce(Refusal) -> T,
) -> Result<T, PipelineError> {
    match applied {
        Err(PipelineError::Local(error)) => Ok(refused(spool_refusal(&error))),
        applied => applied,
    }
}

/// Returns what a whole version of a zone is: its first, or one more.
fn kind_of(zone: &ZoneState) -> VersionKind {
    if zone.version_id.is_none() {
        VersionKind::Baseline
    } else {
        VersionKind::Snapshot
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
