//! A zone file source: every file that is new, in the order of their times.

use crate::config::ZonefileSource;
use crate::pipeline::ingest::Ingest;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::dns::Name;
use crate::file;
use crate::pipeline::error::{PipelineError, away, refusal_of};
use crate::pipeline::ingest::apply::Arrived;
use crate::pipeline::ingest::marks::FileMarks;
use crate::pipeline::outcome::{PollOptions, StoredSummary, ZoneOutcome, ZoneReport};
use crate::source::{FileRead, SpoolFile, ZonefileRules, expand_glob, read_zonefile};
use crate::store::{FileMark, SourceId, SourceKind, View, ZoneState};
use crate::time::{Span, TimePattern, Timestamp, timestamp_of};
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
    /// Whether a file's last line must end with a newline.
    pub require_final_newline: bool,
}

/// How far ahead of the clock a file's time may lie.
// History refuses files older than its newest: one of a wrong date would keep out all that follow.
const FUTURE_MAX: Span = Span::days(1);

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
    require_final_newline: bool,
    include: bool,
    options: &'a PollOptions,
}

impl Ingest<'_> {
    /// Takes in the new files of a source.
    pub fn poll_files(
        &self,
        name: &str,
        files: &ZonefileSource,
        options: &PollOptions,
    ) -> Result<Vec<ZoneReport>, PipelineError> {
        let ZonefileSource {
            zone,
            path,
            time_pattern,
            require_soa,
            require_final_newline,
            include,
        } = files;
        let id = self
            .store
            .zones()
            .ensure_source(name, SourceKind::Zonefile)?;
        self.store.zones().ensure_zone(zone, id)?;
        let pass = Pass {
            source: id,
            zone,
            require_soa: *require_soa,
            require_final_newline: *require_final_newline,
            include: *include,
            options,
        };
        let outcomes = match expand_glob(path) {
            Ok(paths) if paths.is_empty() => {
                // What a pass that was killed stored and did not judge.
                self.judge.detect_zone(zone, options)?;
                let error = format!("no file matches the pattern {path:?}");
                vec![self.refuse(zone, away(&plain_part(path), &error))?]
            }
            Ok(paths) => self.take_files(&pass, paths, time_pattern.as_ref(), None, &mut |_| {})?,
            Err(refusal) => vec![self.refuse(zone, refusal)?],
        };
        Ok(reports(name, zone, outcomes))
    }

    /// Takes in files by hand. `progress` is told each before it is read.
    pub fn import_files(
        &self,
        import: &FileImport<'_>,
        options: &PollOptions,
        mut progress: impl FnMut(&Path),
    ) -> Result<Vec<ZoneReport>, PipelineError> {
        let id = match self.store.zones().find_zone(import.zone)? {
            // A zone keeps its source; what is brought in by hand says so in its version.
            Some(_) => self
                .store
                .zones()
                .ensure_source(import.source, SourceKind::Import)?,
            None => {
                let id = self
                    .store
                    .zones()
                    .ensure_source(import.source, SourceKind::Import)?;
                self.store.zones().ensure_zone(import.zone, id)?;
                id
            }
        };
        let pass = Pass {
            source: id,
            zone: import.zone,
            require_soa: import.require_soa,
            require_final_newline: import.require_final_newline,
            include: false,
            options,
        };
        let (paths, pattern) = (import.paths.to_vec(), import.time_pattern.as_ref());
        let outcomes = self.take_files(&pass, paths, pattern, import.at, &mut progress)?;
        self.judge.judge_seen_again(options)?;
        Ok(reports(import.source, import.zone, outcomes))
    }

    /// Takes in files in the order of their times. A file that cannot be taken does not keep the others
    /// from being; each that was refused is an outcome of its own.
    fn take_files(
        &self,
        pass: &Pass<'_>,
        paths: Vec<PathBuf>,
        pattern: Option<&TimePattern>,
        at: Option<Timestamp>,
        progress: &mut dyn FnMut(&Path),
    ) -> Result<Vec<ZoneOutcome>, PipelineError> {
        // What a pass that was killed stored and did not judge.
        self.judge.detect_zone(pass.zone, pass.options)?;
        let (files, mut refused) = date_files(paths, pattern, at);
        let mut newest_taken = false;
        let mut summary = StoredSummary::default();
        let mut marks = FileMarks::new(self.store, pass.source);
        marks.read(files.iter().map(|file| file.path.as_path()))?;
        for file in files {
            let known = marks.find(&file.path, &file.mark)?;
            // Read anew for each file: the one before may have moved the newest version.
            let zone = self
                .store
                .zones()
                .find_zone(pass.zone)?
                .expect("the zone's row was made before");
            let is_older = zone
                .version_at
                .is_some_and(|newest| file.mark.version_at < newest);
            // What a file includes may have changed though it did not.
            let is_known = (!pass.include || is_older)
                && known.as_ref().is_some_and(|known| {
                    !is_worth_reading(known, &file.mark, is_older, pass.options)
                });
            if is_known {
                continue;
            }
            progress(&file.path);
            match self.take_file(pass, &zone, &file, &mut marks)? {
                Ok(stored) => {
                    summary.add(&stored);
                    self.judge
                        .judge_versions(pass.zone, View::Zone, pass.options)?;
                    newest_taken = true;
                }
                Err(refusal) => {
                    if matches!(refusal, Refusal::Local(_)) {
                        // Nothing is wrong with the file, and the next one would fare no better: the next pass
                        // begins with this one.
                        refused.push(refusal);
                        newest_taken = false;
                        break;
                    }
                    // Many files are refused for one reason: the table counts them.
                    if refused.iter().any(|it| it.code() == refusal.code()) {
                        tracing::info!(zone = %pass.zone, file = %file.path.display(), reason = refusal.code(), "zone {}: {}: {refusal}", pass.zone, file.path.display());
                    } else {
                        tracing::warn!(zone = %pass.zone, file = %file.path.display(), reason = refusal.code(), "zone {}: {}: {refusal}", pass.zone, file.path.display());
                    }
                    let refused_reason = Some(refusal.code().to_owned());
                    let mark = FileMark {
                        refused_reason,
                        ..file.mark
                    };
                    marks.note(&file.path, &mark)?;
                    refused.push(refusal);
                    newest_taken = false;
                    if !has_folder(&file.path) {
                        // The folder went away while it was read: the other files are not asked one by one.
                        break;
                    }
                }
            }
        }
        self.finish_files(pass, summary, refused, newest_taken)
    }

    /// Notes how a pass over files ended, and judges the cases at the newest file's time. The zone's row keeps
    /// the last refusal also where the newest file was taken.
    fn finish_files(
        &self,
        pass: &Pass<'_>,
        summary: StoredSummary,
        refused: Vec<Refusal>,
        newest_taken: bool,
    ) -> Result<Vec<ZoneOutcome>, PipelineError> {
        let now = self.clock.now();
        let zones = self.store.zones();
        let zone = zones.find_zone(pass.zone)?;
        // What is brought in by hand is no look at a zone that another source feeds.
        let is_fed = zone.is_some_and(|zone| zone.source == pass.source);
        match refused.last() {
            _ if !is_fed => {}
            Some(refusal) if newest_taken => {
                zones.record_partial_attempt(pass.zone, now, refusal)?;
            }
            refusal => zones.record_zone_attempt(pass.zone, now, refusal)?,
        }
        self.store.lookup().write_judged()?;
        let event_now = match zones.find_zone(pass.zone)? {
            Some(zone) => {
                if summary.versions == 0 && is_fed {
                    self.tell_of_late(&zone, now)?;
                }
                zones.newest_sight(zone.id)?
            }
            None => None,
        };
        // Each file that is there was read: nothing else of the time of the newest one is to be waited for.
        let says_no_more = refused.is_empty();
        let look = (self.judge).look_at_recorded(event_now.unwrap_or(now), says_no_more);
        self.judge.reevaluate(pass.zone, look, pass.options)?;
        let mut outcomes = Vec::new();
        if summary.versions > 0 {
            outcomes.push(ZoneOutcome::Stored(summary));
        } else if refused.is_empty() {
            let serial = self
                .store
                .zones()
                .find_zone(pass.zone)?
                .and_then(|zone| zone.serial);
            outcomes.push(ZoneOutcome::Unchanged { serial });
        }
        outcomes.extend(refused.into_iter().map(ZoneOutcome::Refused));
        Ok(outcomes)
    }

    /// Says in the log that the next file of a zone is late.
    fn tell_of_late(&self, zone: &ZoneState, now: Timestamp) -> Result<(), PipelineError> {
        if let Some(late) = self.store.zones().late_at(zone.id, now)? {
            let (apex, since) = (&zone.apex, late.since);
            tracing::info!(zone = %apex, "zone {apex}: its newest file is of {since}, and the next one is late: until it comes, what name servers of other zones do is held against none of its domains; look at who writes the files");
        }
        Ok(())
    }

    /// Takes in one file.
    fn take_file(
        &self,
        pass: &Pass<'_>,
        zone: &ZoneState,
        file: &DatedFile,
        marks: &mut FileMarks<'_>,
    ) -> Result<Result<StoredSummary, Refusal>, PipelineError> {
        if let Some(newest) = zone.version_at.filter(|it| file.mark.version_at < *it) {
            return Ok(Err(Refusal::TooOld(format!(
                "{} is of {}, history holds {newest}",
                file.path.display(),
                file.mark.version_at
            ))));
        }
        if file.mark.version_at > self.clock.now() + FUTURE_MAX {
            let (path, at) = (file.path.display(), file.mark.version_at);
            return Ok(Err(Refusal::Malformed(format!(
                "{path} is of {at}, which lies in the future"
            ))));
        }
        let (key, spool) = (self.store.digest_key(), SpoolFile::default());
        let mut intake = match zone.version_id {
            None => Intake::first(key, &zone.apex, spool),
            Some(_) => Intake::new(key, self.store.ledger().load_digests(zone)?, spool),
        };
        let opened = match open_as_dated(file) {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let read = match opened.try_clone() {
            Ok(handle) => {
                let rules = ZonefileRules {
                    require_soa: pass.require_soa,
                    require_final_newline: pass.require_final_newline,
                    include: pass.include,
                    limits: self.config.limits,
                };
                read_zonefile(&file.path, handle, pass.zone, &rules, &mut intake)
            }
            Err(error) => {
                let path = file.path.display();
                return Ok(Err(Refusal::Local(format!("{path}: {error}"))));
            }
        };
        let read = match read.map_err(refusal_of) {
            Ok(read) => read,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // The file was open all the time: somebody wrote into it, and what was read may be half of each.
        if !is_still(&opened, file) {
            let what = format!("{} changed while it was read", file.path.display());
            return Ok(Err(Refusal::EndedEarly(what)));
        }
        if let Err(refusal) = self.judge(pass, zone, &read, marks)? {
            return Ok(Err(refusal));
        }
        let read_file = marks.read_file(zone.id, &file.path, &file.mark, read.ends_with_soa)?;
        let zone = &ZoneState {
            source: pass.source,
            ..zone.clone()
        };
        let arrived = Arrived {
            zone,
            intake,
            fetched: &read.fetched,
            // Event time: the time that the file has, however late it is read.
            observed_at: file.mark.version_at,
            is_drift: false,
            file: Some(read_file),
        };
        let late = self.store.zones().late_at(zone.id, file.mark.version_at)?;
        let stored = self.apply_file(arrived)?;
        if stored.is_ok() {
            if let Some(late) = late {
                let zones = self.store.zones();
                zones.note_late_file(zone.id, late, file.mark.version_at)?;
            }
            marks.was_taken(&file.path, &file.mark, read.ends_with_soa);
        }
        Ok(stored)
    }

    /// Refuses a file that broke off where the last one of its source ended with the SOA, and holds one that
    /// lost too many records, unless it was accepted.
    fn judge(
        &self,
        pass: &Pass<'_>,
        zone: &ZoneState,
        read: &FileRead,
        marks: &mut FileMarks<'_>,
    ) -> Result<Result<(), Refusal>, PipelineError> {
        let accepts = pass.options.accept.contains(pass.zone) || zone.accept_requested;
        // A first version takes nothing away, so that there is nothing to compare its size with.
        if accepts || zone.version_id.is_none() {
            return Ok(Ok(()));
        }
        if !read.ends_with_soa && marks.ended_with_soa(zone.id)? {
            return Ok(Err(broken_off(pass.zone)));
        }
        Ok(judge_size(
            &self.config.trust,
            zone.kept_count,
            &read.fetched.counts,
        ))
    }

    /// Notes a refusal in the zone's row.
    fn refuse(&self, zone: &Name, refusal: Refusal) -> Result<ZoneOutcome, PipelineError> {
        self.store
            .zones()
            .record_zone_attempt(zone, self.clock.now(), Some(&refusal))?;
        Ok(ZoneOutcome::Refused(refusal))
    }
}

/// Returns the refusal of a file that does not end with its SOA as the last one of its source did.
///
/// A dump without comments (`dig +noall +answer`, drill) that broke off between two lines looks like any
/// zone file. What tells it is the file before it.
fn broken_off(zone: &Name) -> Refusal {
    Refusal::EndedEarly(format!(
        "the file does not end with the zone's SOA, as the last one of this source did: a transfer that broke off; if another program writes the files now, take this one with `fluxwatch poll --accept {zone}` (import: --accept)"
    ))
}

/// Opens a file, which must be the one that was dated.
fn open_as_dated(file: &DatedFile) -> Result<File, Refusal> {
    let path = file.path.display();
    let opened =
        file::open(&file.path).map_err(|error| Refusal::Unreadable(format!("{path}: {error}")))?;
    if is_still(&opened, file) {
        Ok(opened)
    } else {
        Err(Refusal::EndedEarly(format!(
            "{path} changed while fluxwatch opened it; write a new file under another name, then rename it"
        )))
    }
}

/// Returns whether an open file is as it was when it was dated: one that is still being written is not.
/// One that was replaced meanwhile is whole all the same.
fn is_still(opened: &File, file: &DatedFile) -> bool {
    let now = opened
        .metadata()
        .map(|meta| (modified_at_ns(&meta), meta.size() as i64));
    now.is_ok_and(|now| now == (file.mark.modified_at_ns, file.mark.size_bytes))
}

/// Returns when a file was modified, in nanoseconds since the epoch.
fn modified_at_ns(meta: &fs::Metadata) -> i64 {
    meta.mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(meta.mtime_nsec())
}

/// Returns whether a file that was looked at before is looked at again.
fn is_worth_reading(
    known: &FileMark,
    found: &FileMark,
    is_older: bool,
    options: &PollOptions,
) -> bool {
    let same = (known.modified_at_ns, known.size_bytes, known.version_at)
        == (found.modified_at_ns, found.size_bytes, found.version_at);
    let was_refused = known.refused_reason.is_some();
    // A refused file that is still the newest is the zone's state of affairs: say so each time.
    !same || (was_refused && (!is_older || options.full)) || (options.full && !is_older)
}

/// Returns a report for each outcome.
fn reports(source: &str, zone: &Name, outcomes: Vec<ZoneOutcome>) -> Vec<ZoneReport> {
    let report = |outcome| ZoneReport {
        source: source.to_owned(),
        zone: Some(zone.clone()),
        outcome,
        timings: None,
    };
    outcomes.into_iter().map(report).collect()
}

/// Gives every file its time: the one that was asked for, the one in its name, its modification time.
/// Returns the files in the order of their times, and why others have none.
fn date_files(
    paths: Vec<PathBuf>,
    pattern: Option<&TimePattern>,
    at: Option<Timestamp>,
) -> (Vec<DatedFile>, Vec<Refusal>) {
    let (mut files, mut refused) = (Vec::new(), Vec::new());
    let mut unseen: BTreeMap<String, (usize, PathBuf)> = BTreeMap::new();
    for path in paths {
        match fs::metadata(&path) {
            Ok(meta) => match date_file(path, &meta, pattern, at) {
                Ok(file) => files.push(file),
                Err(refusal) => refused.push(refusal),
            },
            Err(error) => unseen.entry(error.to_string()).or_insert((0, path)).0 += 1,
        }
    }
    refused.extend(unseen.into_iter().map(|(error, (count, first))| {
        let error = match count {
            1 => error,
            _ => format!("{error}; {} more files the same", count - 1),
        };
        away(&first, &error)
    }));
    files.sort_by(|left, right| {
        // Paths decide between equal times, so that every run reads them in the same order.
        (left.mark.version_at, &left.path).cmp(&(right.mark.version_at, &right.path))
    });
    (files, refused)
}

/// Returns whether the folder of a file is there.
fn has_folder(path: &Path) -> bool {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    folder.is_none_or(Path::is_dir)
}

/// Returns a pattern up to its first part with a wildcard, that part included.
fn plain_part(pattern: &str) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in Path::new(pattern) {
        plain.push(part);
        if part.to_string_lossy().contains(['*', '?', '[']) {
            break;
        }
    }
    plain
}

/// Gives one file its time.
fn date_file(
    path: PathBuf,
    meta: &fs::Metadata,
    pattern: Option<&TimePattern>,
    at: Option<Timestamp>,
) -> Result<DatedFile, Refusal> {
    let unreadable =
        |fault: &dyn std::fmt::Display| Refusal::Unreadable(format!("{}: {fault}", path.display()));
    let modified = meta.modified().map_err(|fault| unreadable(&fault))?;
    let version_at = match (at, pattern) {
        (Some(at), _) => at,
        (None, Some(pattern)) => pattern
            .read(Path::new(&path))
            .map_err(|fault| unreadable(&fault))?,
        (None, None) => timestamp_of(modified),
    };
    let modified_at_ns = modified_at_ns(meta);
    let mark = FileMark {
        modified_at_ns,
        size_bytes: meta.size() as i64,
        version_at,
        refused_reason: None,
    };
    Ok(DatedFile { path, mark })
}
