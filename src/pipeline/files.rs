//! A zone file source: every file that is new, in the order of their times.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::{Feeding, Source};
use crate::dns::Name;
use crate::pipeline::apply::Applied;
use crate::pipeline::{
    Pipeline, PipelineError, PollOptions, StoredSummary, ZoneOutcome, ZoneReport, refusal_of,
};
use crate::source::{Fetched, expand_glob, open_spool, read_zonefile};
use crate::store::{FileMark, SourceId, SourceKind, ZoneState};
use crate::time::{TimePattern, Timestamp, timestamp_of};
use crate::zone::{Intake, Refusal, judge_size};

/// A zone file to bring in by hand.
pub struct FileImport<'a> {
    /// The source's name in history.
    pub source: &'a str,
    /// The apex.
    pub zone: &'a Name,
    /// The files.
    pub paths: &'a [PathBuf],
    /// The version's time, for a single file.
    pub at: Option<Timestamp>,
    /// The time in the files' names.
    pub time_pattern: Option<TimePattern>,
    /// Whether a file must have its SOA.
    pub require_soa: bool,
}

/// A file with what the system says of it.
struct DatedFile {
    path: PathBuf,
    mark: FileMark,
}

/// What is the same for every file of a pass.
struct Pass<'a> {
    source: SourceId,
    zone: &'a Name,
    require_soa: bool,
    options: &'a PollOptions,
}

impl Pipeline {
    /// Takes in the new files of a source.
    ///
    /// # Errors
    ///
    /// [`PipelineError`].
    ///
    /// # Panics
    ///
    /// If the source is of another kind.
    pub fn poll_files(
        &self,
        source: &Source,
        options: &PollOptions,
    ) -> Result<ZoneReport, PipelineError> {
        let Feeding::Zonefile {
            zone,
            path,
            time_pattern,
            require_soa,
        } = &source.feeding
        else {
            panic!("source {} is no zone file", source.name)
        };
        let id = self
            .store
            .ensure_source(&source.name, SourceKind::Zonefile)?;
        self.store.ensure_zone(zone, id)?;
        let pass = Pass {
            source: id,
            zone,
            require_soa: *require_soa,
            options,
        };
        let outcome = match expand_glob(path)
            .and_then(|paths| date_files(paths, time_pattern.as_ref(), None))
        {
            Ok(files) => self.take_files(&pass, files)?,
            Err(refusal) => self.refuse(zone, refusal)?,
        };
        Ok(ZoneReport {
            source: source.name.clone(),
            zone: Some(zone.clone()),
            outcome,
        })
    }

    /// Takes in files by hand.
    ///
    /// # Errors
    ///
    /// [`PipelineError`].
    pub fn import_files(
        &self,
        import: &FileImport<'_>,
        options: &PollOptions,
    ) -> Result<ZoneReport, PipelineError> {
        let id = match self.store.find_zone(import.zone)? {
            // A zone keeps its source; what is brought in by hand says so in its version.
            Some(_) => self
                .store
                .ensure_source(import.source, SourceKind::Import)?,
            None => {
                let id = self
                    .store
                    .ensure_source(import.source, SourceKind::Import)?;
                self.store.ensure_zone(import.zone, id)?;
                id
            }
        };
        let pass = Pass {
            source: id,
            zone: import.zone,
            require_soa: import.require_soa,
            options,
        };
        let outcome = match date_files(
            import.paths.to_vec(),
            import.time_pattern.as_ref(),
            import.at,
        ) {
            Ok(files) => self.take_files(&pass, files)?,
            Err(refusal) => self.refuse(import.zone, refusal)?,
        };
        Ok(ZoneReport {
            source: import.source.to_owned(),
            zone: Some(import.zone.clone()),
            outcome,
        })
    }

    /// Takes in files in the order of their times.
    fn take_files(
        &self,
        pass: &Pass<'_>,
        mut files: Vec<DatedFile>,
    ) -> Result<ZoneOutcome, PipelineError> {
        files.sort_by(|left, right| {
            (left.mark.version_at, &left.path).cmp(&(right.mark.version_at, &right.path))
        });
        let mut summary = StoredSummary::default();
        let mut refusal = None;
        if files.is_empty() {
            return self.refuse(
                pass.zone,
                Refusal::Unreadable("no file matches the pattern".to_owned()),
            );
        }
        for file in files {
            let known = self.store.file_mark(pass.source, &file.path)?;
            let zone = self
                .store
                .find_zone(pass.zone)?
                .expect("the zone's row was made before");
            let is_older = zone
                .version_at
                .is_some_and(|newest| file.mark.version_at < newest);
            if known.as_ref().is_some_and(|known| {
                !self.is_worth_reading(known, &file.mark, is_older, pass.options)
            }) {
                continue;
            }
            match self.take_file(pass, &zone, &file, is_older, &mut summary)? {
                Ok(()) => refusal = None,
                Err(refused) => {
                    tracing::warn!(zone = %pass.zone, file = %file.path.display(), reason = refused.code(), "zone {}: {}: {refused}", pass.zone, file.path.display());
                    let mark = FileMark {
                        refused_reason: Some(refused.code().to_owned()),
                        ..file.mark
                    };
                    self.store.set_file_mark(pass.source, &file.path, &mark)?;
                    refusal = Some(refused);
                }
            }
        }
        let now = self.clock.now();
        if let Some(refusal) = refusal {
            return self.refuse(pass.zone, refusal);
        }
        self.store.note_zone_attempt(pass.zone, now, None)?;
        let event_now = self
            .store
            .source_status(pass.source)?
            .last_event_at
            .unwrap_or(now);
        self.reevaluate(pass.zone, event_now, pass.options)?;
        if summary.versions > 0 {
            return Ok(ZoneOutcome::Stored(summary));
        }
        let serial = self
            .store
            .find_zone(pass.zone)?
            .and_then(|zone| zone.serial);
        Ok(ZoneOutcome::Unchanged { serial })
    }

    /// Returns whether a file that was looked at before is looked at again.
    fn is_worth_reading(
        &self,
        known: &FileMark,
        found: &FileMark,
        is_older: bool,
        options: &PollOptions,
    ) -> bool {
        let same = (known.modified_at_ns, known.size_bytes, known.version_at)
            == (found.modified_at_ns, found.size_bytes, found.version_at);
        let was_refused = known.refused_reason.is_some();
        // A refused file that is still the newest is the zone's state of affairs: say so each time.
        !same || (was_refused && !is_older) || (options.full && !is_older)
    }

    /// Takes in one file.
    fn take_file(
        &self,
        pass: &Pass<'_>,
        zone: &ZoneState,
        file: &DatedFile,
        is_older: bool,
        summary: &mut StoredSummary,
    ) -> Result<Result<(), Refusal>, PipelineError> {
        if is_older {
            let newest = zone.version_at.expect("older than something");
            return Ok(Err(Refusal::TooOld(format!(
                "{} is of {}, history holds {newest}",
                file.path.display(),
                file.mark.version_at
            ))));
        }
        let spool = open_spool().map_err(PipelineError::Local)?;
        let mut intake = Intake::new(
            self.store.digest_key(),
            self.store.load_digests(zone)?,
            spool,
        );
        let read = read_zonefile(&file.path, pass.zone, pass.require_soa, &mut intake);
        let fetched = match read.map_err(refusal_of) {
            Ok(fetched) => fetched,
            Err(refusal) => return Ok(Err(refusal?)),
        };
        if let Err(refusal) = self.judge(pass, zone, &fetched) {
            return Ok(Err(refusal));
        }
        let zone = &ZoneState {
            source: pass.source,
            ..zone.clone()
        };
        // A file does not change by being read again: a mass change is stored at once, as bulk.
        let Applied::Stored(committed, bulk) =
            self.apply_version(zone, intake, &fetched, file.mark.version_at, false)?
        else {
            unreachable!("apply_version asks for a second fetch only where it may");
        };
        self.store
            .note_event_time(pass.source, file.mark.version_at)?;
        self.store
            .set_file_mark(pass.source, &file.path, &file.mark)?;
        self.summarise(summary, zone, &committed, fetched.serial, bulk)?;
        self.detect_zone(pass.zone, pass.options)?;
        Ok(Ok(()))
    }

    /// Holds a file that lost too many records, unless it was accepted.
    fn judge(&self, pass: &Pass<'_>, zone: &ZoneState, fetched: &Fetched) -> Result<(), Refusal> {
        if pass.options.accept.contains(pass.zone) || zone.version_id.is_none() {
            return Ok(());
        }
        judge_size(&self.config.trust, zone.kept_count, &fetched.counts)
    }

    /// Notes a refusal in the zone's row.
    fn refuse(&self, zone: &Name, refusal: Refusal) -> Result<ZoneOutcome, PipelineError> {
        self.store
            .note_zone_attempt(zone, self.clock.now(), Some(&refusal))?;
        Ok(ZoneOutcome::Refused(refusal))
    }
}

/// Gives every file its time: the one that was asked for, the one in its name, its modification time.
fn date_files(
    paths: Vec<PathBuf>,
    pattern: Option<&TimePattern>,
    at: Option<Timestamp>,
) -> Result<Vec<DatedFile>, Refusal> {
    paths
        .into_iter()
        .map(|path| date_file(path, pattern, at))
        .collect()
}

/// Gives one file its time.
fn date_file(
    path: PathBuf,
    pattern: Option<&TimePattern>,
    at: Option<Timestamp>,
) -> Result<DatedFile, Refusal> {
    let unreadable =
        |fault: &dyn std::fmt::Display| Refusal::Unreadable(format!("{}: {fault}", path.display()));
    let meta = fs::metadata(&path).map_err(|fault| unreadable(&fault))?;
    let modified = meta.modified().map_err(|fault| unreadable(&fault))?;
    let version_at = match (at, pattern) {
        (Some(at), _) => at,
        (None, Some(pattern)) => pattern
            .read(Path::new(&path))
            .map_err(|fault| unreadable(&fault))?,
        (None, None) => timestamp_of(modified),
    };
    let modified_at_ns = meta
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(meta.mtime_nsec());
    let mark = FileMark {
        modified_at_ns,
        size_bytes: meta.size() as i64,
        version_at,
        refused_reason: None,
    };
    Ok(DatedFile { path, mark })
}
