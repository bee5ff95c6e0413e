//! A change feed: lines become change instants, instants become versions.
//!
//! All lines of one zone with the same serial, or without serials in the same second, are one
//! instant. Reading a line twice changes nothing: an RRset that has changed since is compared with
//! history at the line's time, and any other already is as the line says.

use crate::config::{FeedSource, Feeding};
use crate::pipeline::ingest::Ingest;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::count::counted;
use crate::dns::{Name, Rdata, Record, RecordType, Serial};
use crate::file;
use crate::pipeline::error::{PipelineError, away};
use crate::pipeline::ingest::aside::Aside;
use crate::pipeline::outcome::{PollOptions, StoredSummary, ZoneOutcome, ZoneReport};
use crate::source::{
    FeedLine, FeedOp, FeedReader, FeedSubject, OverLimit, file_identity, find_feed_parts,
    open_text, require_plain,
};
use crate::store::{
    FeedPosition, Registration, RejectKind, SourceChange, SourceId, SourceKind, StoreTx,
    VersionDraft, VersionKind, VersionTx, View, ZoneState,
};
use crate::time::{Span, Timestamp, timestamp_of};
use crate::zone::{Refusal, diff, is_bulk};

/// How many octets before the position tell whether a feed is still the same file.
// A file that another program rewrote may be as long as before, and on the same inode.
const TAIL_OCTETS: u64 = 4096;
/// The most lines of one instant. A baseline of a whole zone comes in parts of this size.
const INSTANT_LINES_MAX: usize = 200_000;

/// Lines with one serial that lie further apart are not one instant.
// A registry writes the changes of one serial over minutes; they are one version of its zone.
const PUBLICATION_SPAN: Span = Span::hours(1);
/// How long a file that was rotated away must have been quiet before it is left for the next one.
const ROTATION_GRACE: Span = Span::seconds(10);
/// How far ahead of the clock a line's time may lie.
const FUTURE_MAX: Span = Span::days(1);

/// A feed to bring in by hand.
pub struct FeedImport<'a> {
    /// The source's name in history.
    pub source: &'a str,
    /// The zone of lines that name none.
    pub zone: Option<&'a Name>,
    /// What is read.
    pub input: Box<dyn BufRead>,
    /// Whether `limits.file` counts: not for standard input, where others may take their time.
    pub is_timed: bool,
    /// Whether it began with the whole zone.
    pub complete: bool,
}

/// A line with where it stood.
struct NumberedLine {
    number: u64,
    octets: Vec<u8>,
    line: FeedLine,
}

/// The lines of one instant of one zone.
struct ChangeInstant {
    zone: Name,
    at: Timestamp,
    serial: Option<Serial>,
    lines: Vec<NumberedLine>,
}

impl ChangeInstant {
    /// Returns whether a line of the same zone belongs to this instant.
    fn takes(&self, line: &FeedLine) -> bool {
        match (self.serial, line.serial) {
            (Some(mine), Some(its)) => mine == its && is_one_publication(self.at, line.at),
            (None, None) => self.at == line.at,
            _ => false,
        }
    }
}

/// The instants that more lines may belong to: one of each zone.
#[derive(Default)]
struct Pending {
    by_zone: HashMap<Name, ChangeInstant>,
    /// The zones in the order of their instants.
    by_time: BTreeSet<(Timestamp, Name)>,
}

impl Pending {
    /// Adds the instant of a zone that has none.
    fn add(&mut self, instant: ChangeInstant) {
        self.by_time.insert((instant.at, instant.zone.clone()));
        self.by_zone.insert(instant.zone.clone(), instant);
    }

    /// Takes out the instants that a line of a zone at a time closes: that of the same zone, and those before it.
    /// `None` takes out all. In no order.
    fn close(&mut self, line: Option<(&Name, Timestamp)>) -> Vec<ChangeInstant> {
        let Some((zone, at)) = line else {
            return std::mem::take(self).by_zone.into_values().collect();
        };
        let mut closed: Vec<ChangeInstant> = self.by_zone.remove(zone).into_iter().collect();
        for instant in &closed {
            self.by_time.remove(&(instant.at, zone.clone()));
        }
        while self.by_time.first().is_some_and(|(first, _)| *first < at)
            && let Some((_, earlier)) = self.by_time.pop_first()
        {
            closed.extend(self.by_zone.remove(&earlier));
        }
        closed
    }
}

/// Returns whether two times may belong to one publication of a zone. A feed whose serial never moves
/// would otherwise fold its whole history into one instant.
fn is_one_publication(first: Timestamp, later: Timestamp) -> bool {
    later.since(first).as_seconds().abs() < PUBLICATION_SPAN.as_seconds()
}

/// One pass over a feed.
struct FeedPass<'a> {
    source: SourceId,
    /// The source's name, if it is configured rather than brought in by hand.
    follows: Option<&'a str>,
    complete: bool,
    options: &'a PollOptions,
    pending: Pending,
    summaries: BTreeMap<Name, StoredSummary>,
    aside: Aside,
    /// Of lines that were pushed: why a zone may not be written by them; `None` where it may.
    pushed: Option<HashMap<Name, Option<String>>>,
    /// When a pass over a growing file ends: the next one goes on there.
    until: Option<Instant>,
    /// Whether the pass ended before its source did, so that the next one goes on.
    cut: Option<Cut>,
    /// Whether the source, or the rest of it, could not be read.
    is_unseen: bool,
    /// Whether several instants become durable together: not where nobody knows when the next line comes.
    gathers: bool,
    /// The transaction of instants that are stored and judged and not yet durable, and when it began.
    group: Option<(StoreTx<'a>, Instant)>,
}

/// What a pass that ended before its source did had read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The first part of a file, which is in the order of its times.
    File,
    /// Some files of a spool, of whatever times.
    Spool,
}

/// The version that the lines of one instant become.
struct FeedVersion<'a> {
    /// The zone as it was before.
    zone: &'a ZoneState,
    /// When its lines happened.
    at: Timestamp,
    /// The version that it is more of.
    joins: Option<i64>,
    /// Whether the feed began with the whole zone.
    is_complete: bool,
    is_baseline: bool,
}

/// An RRset and the lines about it.
type ToldRrset<'i> = ((Name, RecordType), Vec<&'i NumberedLine>);

/// A line that is set aside, and why.
type Unfit<'i> = (RejectKind, &'i NumberedLine, String);

/// How long instants are gathered that become durable together: others wait so long to write. Chosen by hand.
const GROUP_TIME_MAX: Duration = Duration::from_millis(200);

/// The most lines of an instant that becomes durable together with others: what takes it back is kept in memory until then.
/// Chosen by hand.
const GROUPED_LINES_MAX: usize = 5_000;

/// How many RRsets of one instant are read and written together.
const RRSETS_AT_ONCE: usize = 2_000;

impl<'a> Ingest<'a> {
    /// Reads what is new in a feed: a file that grows and is rotated, or a spool of whole files.
    pub fn poll_feed(
        &self,
        name: &'a str,
        feed: &FeedSource,
        options: &'a PollOptions,
    ) -> Result<Vec<ZoneReport>, PipelineError> {
        let id = self.store.zones().ensure_source(name, SourceKind::Feed)?;
        let mut pass = self.begin_pass(id, Some(name), feed.complete, options)?;
        let fault = match feed.path.as_deref() {
            Some(path) if path.is_dir() => self.read_spool(&mut pass, feed.zone.as_ref(), path)?,
            Some(path) => self.follow_feed(&mut pass, feed.zone.as_ref(), path)?,
            // Only pushed to: nothing to look at, and what was stored has been judged.
            None => None,
        };
        self.end_pass(pass, name, fault)
    }

    /// Takes in lines that were pushed to a feed. They are durable when this returns.
    pub fn push_feed(
        &self,
        name: &'a str,
        feed: &FeedSource,
        lines: &[u8],
        options: &'a PollOptions,
    ) -> Result<Vec<ZoneReport>, PipelineError> {
        let id = self.store.zones().ensure_source(name, SourceKind::Feed)?;
        let mut pass = self.begin_pass(id, Some(name), feed.complete, options)?;
        pass.pushed = Some(HashMap::new());
        let mut reader = FeedReader::new(lines, 0, 0);
        let broken = self.read_lines(&mut pass, &mut reader, feed.zone.as_ref(), true)?;
        self.flush_until(&mut pass, None)?;
        let fault = broken.map(|error| broken_input("what was pushed", &error));
        self.end_pass(pass, name, fault)
    }

    /// Reads a whole feed by hand, from a file or from any other input.
    pub fn import_feed(
        &self,
        import: FeedImport<'_>,
        options: &'a PollOptions,
    ) -> Result<Vec<ZoneReport>, PipelineError> {
        let id = self
            .store
            .zones()
            .ensure_source(import.source, SourceKind::Import)?;
        let mut pass = self.begin_pass(id, None, import.complete, options)?;
        pass.gathers &= import.is_timed;
        let mut reader = FeedReader::new(import.input, 0, 0);
        if import.is_timed {
            reader = reader.within(self.config.limits.file);
        }
        let broken = self.read_lines(&mut pass, &mut reader, import.zone, true)?;
        self.flush_until(&mut pass, None)?;
        let fault = broken.map(|error| {
            let line = reader.line_number();
            broken_input(&format!("after line {line}"), &error)
        });
        self.end_pass(pass, import.source, fault)
    }

    /// Begins a pass; judges what one that was killed stored and did not judge.
    fn begin_pass(
        &self,
        source: SourceId,
        follows: Option<&'a str>,
        complete: bool,
        options: &'a PollOptions,
    ) -> Result<FeedPass<'a>, PipelineError> {
        for apex in self.store.zones().zones_of_source(source)? {
            self.judge.detect_zone(&apex, options)?;
        }
        Ok(FeedPass {
            source,
            follows,
            complete,
            options,
            pending: Pending::default(),
            summaries: BTreeMap::new(),
            aside: Aside::new(source),
            pushed: None,
            until: None,
            cut: None,
            is_unseen: false,
            gathers: self.docket.is_none_or(|docket| docket.is_of_pass),
            group: None,
        })
    }

    /// Ends a pass: notes how it went and reports.
    fn end_pass(
        &self,
        pass: FeedPass<'a>,
        name: &str,
        fault: Option<Refusal>,
    ) -> Result<Vec<ZoneReport>, PipelineError> {
        let now = self.clock.now();
        let (zones, source) = (self.store.zones(), pass.source);
        let is_look = pass.follows.is_some() && pass.pushed.is_none();
        let is_unseen = pass.is_unseen;
        if is_look && !is_unseen && pass.cut.is_none() {
            zones.note_feed_seen(source, now)?;
        }
        zones.record_source_attempt(source, now, fault.as_ref())?;
        if let (Some(docket), Some(follows), None) = (self.docket, pass.follows, &pass.pushed) {
            let told = self.store.zones().source_status(pass.source)?.last_event_at;
            match pass.cut {
                None => docket.note_read(follows),
                Some(cut) => docket.note_cut(follows, told.filter(|_| cut == Cut::File)),
            }
        }
        let reports = self.finish_feed(pass, name, fault)?;
        if is_look && is_unseen {
            zones.note_feed_unseen(source, now)?;
        }
        Ok(reports)
    }

    /// Reads what is new in a feed that is one growing file, through rotations. Returns what went wrong.
    fn follow_feed(
        &self,
        pass: &mut FeedPass<'a>,
        zone: Option<&Name>,
        path: &Path,
    ) -> Result<Option<Refusal>, PipelineError> {
        let unreadable = |path: &Path, error: io::Error| {
            Refusal::Unreadable(format!("{}: {error}", path.display()))
        };
        let mut position = if pass.options.full {
            FeedPosition::default()
        } else {
            self.store.zones().feed_position(pass.source)?
        };
        let is_copy = |path: &Path| {
            let file = file::open(path);
            file.is_ok_and(|file| self.says_the_same(&file, &position))
        };
        let (parts, is_lost) = match find_feed_parts(path, position.file, &is_copy) {
            Ok(parts) => parts,
            Err(error) => {
                pass.is_unseen = true;
                return Ok(Some(away(path, &error)));
            }
        };
        let mut fault = is_lost.then(|| {
            Refusal::Rotated(format!(
                "{}: the file that fluxwatch read up to line {} is gone; if it had lines after that, import them with `fluxwatch import feed`",
                path.display(),
                position.line_number
            ))
        });
        pass.until = Some(Instant::now() + self.file_time());
        for part in parts {
            if !part.goes_on {
                position = FeedPosition::default();
            }
            // Whoever writes goes on in a renamed file until it is told: it is left only when it is quiet.
            let is_quiet = part.is_whole && self.is_quiet(&part.path);
            let (file, mut reader) = match self.open_feed(&part.path, position) {
                Ok(opened) => opened,
                Err(error) => {
                    pass.is_unseen = true;
                    return Ok(Some(unreadable(&part.path, error)));
                }
            };
            if part.goes_on && position.offset > 0 && reader.offset() == 0 {
                fault = Some(Refusal::Rotated(format!(
                    "{}: another program cut the file back or rewrote it after line {}; if lines after that are missing, import them with `fluxwatch import feed`",
                    part.path.display(),
                    position.line_number
                )));
            }
            let broken = self.read_lines(pass, &mut reader, zone, is_quiet)?;
            self.flush_until(pass, None)?;
            // Of the file that was read, whatever has been put under its name meanwhile.
            position = FeedPosition {
                offset: reader.offset(),
                line_number: reader.line_number(),
                tail_checksum: self.tail_checksum(&file, reader.offset()).unwrap_or(0),
                file: file_identity(&file).ok(),
                in_long_line: reader.is_in_long_line(),
            };
            self.store
                .zones()
                .set_feed_position(pass.source, &position)?;
            if let Some(error) = broken {
                let line = reader.line_number();
                let place = format!("{}: after line {line}", part.path.display());
                fault = Some(broken_input(&place, &error));
                if OverLimit::is_in(&error) {
                    pass.cut = Some(Cut::File);
                    break;
                }
                pass.is_unseen = true;
            }
            if part.is_whole && !is_quiet {
                break;
            }
        }
        Ok(fault)
    }

    /// Returns whether nobody has written to a file lately. One that was written in the future was written before the
    /// clock was put back.
    fn is_quiet(&self, path: &Path) -> bool {
        let modified = fs::metadata(path).and_then(|meta| meta.modified());
        modified.is_ok_and(|at| {
            let age = self.clock.now().since(timestamp_of(at));
            age >= ROTATION_GRACE || age < Span::seconds(-ROTATION_GRACE.as_seconds())
        })
    }

    /// Reads every file of a spool in the order of their names, and moves each to `done` or, if it could
    /// not be read to its end, to `failed`. Whoever writes there writes a file elsewhere or under a name
    /// that begins with a dot, and moves it in whole.
    fn read_spool(
        &self,
        pass: &mut FeedPass<'a>,
        zone: Option<&Name>,
        folder: &Path,
    ) -> Result<Option<Refusal>, PipelineError> {
        let unreadable = |path: &Path, error: &dyn std::fmt::Display| {
            Refusal::Unreadable(format!("{}: {error}", path.display()))
        };
        let files = match list_spool(folder) {
            Ok(files) => files,
            Err(error) => {
                pass.is_unseen = true;
                return Ok(Some(unreadable(folder, &error)));
            }
        };
        let mut fault = None;
        let until = Instant::now() + self.file_time();
        for path in files {
            if Instant::now() >= until {
                pass.cut = Some(Cut::Spool);
                let place = format!("{} and what follows it", path.display());
                return Ok(Some(broken_input(&place, &self.pass_over())));
            }
            let broken = match file::open(&path)
                .and_then(|file| open_text(file, &self.config.limits))
            {
                Ok(text) => {
                    let mut reader = FeedReader::new(text, 0, 0).within(self.config.limits.file);
                    let broken = self.read_lines(pass, &mut reader, zone, true)?;
                    self.flush_until(pass, None)?;
                    broken
                }
                // The folder was taken away while it was read.
                Err(error) if !folder.is_dir() => {
                    pass.is_unseen = true;
                    return Ok(Some(unreadable(folder, &error)));
                }
                Err(error) => Some(error),
            };
            let end = if broken.is_some() { "failed" } else { "done" };
            // A file that was read and not moved is read again: that changes nothing.
            let moved = move_into(&path, &folder.join(end)).err();
            if let Some(error) = broken.or(moved) {
                fault = Some(broken_input(&path.display().to_string(), &error));
            }
        }
        Ok(fault)
    }

    /// Opens a feed where it goes on, or at the start if it was cut back or written anew.
    fn open_feed(
        &self,
        path: &Path,
        position: FeedPosition,
    ) -> io::Result<(File, FeedReader<BufReader<File>>)> {
        let mut file = file::open(path)?;
        let from = if self.says_the_same(&file, &position) {
            position
        } else {
            require_plain(&file)?;
            FeedPosition::default()
        };
        file.seek(SeekFrom::Start(from.offset))?;
        let reader = BufReader::with_capacity(1 << 18, file.try_clone()?);
        let reader = FeedReader::new(reader, from.line_number, from.offset)
            .within(self.config.limits.file)
            .inside_long_line(from.in_long_line);
        Ok((file, reader))
    }

    /// Returns whether a file says the same as the one that was read, just before where that was left.
    fn says_the_same(&self, file: &File, position: &FeedPosition) -> bool {
        let checksum = |offset| self.tail_checksum(file, offset);
        position.offset > 0
            && checksum(position.offset).is_ok_and(|checksum| checksum == position.tail_checksum)
    }

    /// Returns a checksum of the octets just before a position.
    fn tail_checksum(&self, file: &File, offset: u64) -> io::Result<u64> {
        let start = offset.saturating_sub(TAIL_OCTETS);
        let mut tail = vec![0; (offset - start) as usize];
        file.read_exact_at(&mut tail, start)?;
        Ok(self.store.digest_key().checksum(&tail))
    }

    /// Returns how long a pass may take over what can be left for the next one.
    fn file_time(&self) -> Duration {
        Duration::from_secs(self.config.limits.file.as_seconds().unsigned_abs())
    }

    /// Returns the fault of a pass that has taken too long.
    fn pass_over(&self) -> io::Error {
        let limit = self.config.limits.file;
        let what =
            format!("a pass of more than limits.file = {limit} ends here; the next one goes on");
        OverLimit::new(what).into()
    }

    /// Reads every line and stores instants as they are complete. Returns the fault that ended it, if
    /// it did not end by itself.
    fn read_lines(
        &self,
        pass: &mut FeedPass<'a>,
        reader: &mut FeedReader<impl BufRead>,
        zone: Option<&Name>,
        is_whole: bool,
    ) -> Result<Option<io::Error>, PipelineError> {
        loop {
            if pass.until.is_some_and(|until| Instant::now() >= until) {
                return Ok(Some(self.pass_over()));
            }
            self.end_old_group(pass)?;
            if let Some(docket) = self.docket {
                docket.note_progress();
            }
            let line = match reader.next_line(is_whole) {
                Ok(Some(line)) => line,
                Ok(None) => return Ok(None),
                Err(error) => return Ok(Some(error)),
            };
            let number = reader.line_number();
            match line {
                Ok((line, octets)) => self.take_line(
                    pass,
                    zone,
                    NumberedLine {
                        number,
                        octets,
                        line,
                    },
                )?,
                Err(rejected) => self.reject(
                    pass,
                    RejectKind::Unreadable,
                    number,
                    &rejected.octets,
                    &rejected.reason,
                )?,
            }
        }
    }

    /// Adds a line to its instant, after storing the instants that it closes.
    fn take_line(
        &self,
        pass: &mut FeedPass<'a>,
        zone: Option<&Name>,
        numbered: NumberedLine,
    ) -> Result<(), PipelineError> {
        let NumberedLine {
            number,
            octets,
            line,
        } = &numbered;
        let Some(zone) = line.zone.clone().or_else(|| zone.cloned()) else {
            return self.reject(
                pass,
                RejectKind::Unreadable,
                *number,
                octets,
                "zone: neither the line nor the source names it",
            );
        };
        if !line.owner.is_at_or_below(&zone) {
            return self.reject(
                pass,
                RejectKind::Unreadable,
                *number,
                octets,
                &format!("rrname {} is not in zone {zone}", line.owner),
            );
        }
        if line.subject == FeedSubject::Soa && line.owner != zone {
            let reason = format!("SOA of {}, which is not the apex {zone}", line.owner);
            return self.reject(pass, RejectKind::Unreadable, *number, octets, &reason);
        }
        if line.at > self.clock.now() + FUTURE_MAX {
            let reason = format!("at: {} lies in the future", line.at);
            return self.reject(pass, RejectKind::Unreadable, *number, octets, &reason);
        }
        if let Some(owner) = self.foreign_source(pass, &zone)? {
            let reason =
                format!("zone {zone} is fed by the source {owner:?}: a zone has one source");
            return self.reject(pass, RejectKind::Unreadable, *number, octets, &reason);
        }
        if let Some(reason) = self.not_to_push(pass, &zone)? {
            return self.reject(pass, RejectKind::Unreadable, *number, octets, &reason);
        }
        let open = pass
            .pending
            .by_zone
            .get_mut(&zone)
            .filter(|instant| instant.takes(line) && instant.lines.len() < INSTANT_LINES_MAX);
        if let Some(open) = open {
            open.lines.push(numbered);
            return Ok(());
        }
        self.flush_until(pass, Some((&zone, line.at)))?;
        pass.pending.add(ChangeInstant {
            zone,
            at: line.at,
            serial: line.serial,
            lines: vec![numbered],
        });
        Ok(())
    }

    /// Returns why lines that are pushed may not write a zone: the root, and what lies above a zone of another
    /// source, are written only by a feed that names them. Whoever has the token could else speak for the parent of
    /// what is watched.
    fn not_to_push(
        &self,
        pass: &mut FeedPass<'a>,
        zone: &Name,
    ) -> Result<Option<String>, PipelineError> {
        let (Some(pushed), Some(follows)) = (&mut pass.pushed, pass.follows) else {
            return Ok(None);
        };
        if let Some(known) = pushed.get(zone) {
            return Ok(known.clone());
        }
        let sources = &self.config.sources;
        let is_named = sources
            .iter()
            .any(|it| it.name == follows && it.zone() == Some(zone));
        let is_known = self.store.zones().source_of_zone(zone)?.as_deref() == Some(follows);
        let mut others = sources.iter().filter(|it| it.name != follows);
        let below = others.find_map(|it| it.zone().filter(|its| its.is_at_or_below(zone)));
        let what = match below {
            _ if zone.is_root() => Some("is the root".to_owned()),
            Some(below) => Some(format!("lies above {below}, which another source feeds")),
            None => None,
        };
        let reason = what.filter(|_| !is_named && !is_known).map(|what| {
            format!("zone {zone} {what}: only a feed with zone = \"{zone}\" may be pushed it")
        });
        pushed.insert(zone.clone(), reason.clone());
        Ok(reason)
    }

    /// Returns the configured source that a zone belongs to, if a followed feed is not it.
    fn foreign_source(
        &self,
        pass: &FeedPass<'a>,
        zone: &Name,
    ) -> Result<Option<String>, PipelineError> {
        let Some(follows) = pass.follows else {
            return Ok(None);
        };
        let named = self
            .config
            .sources
            .iter()
            .find(|source| source.zone() == Some(zone));
        let holder = match named {
            Some(source) => Some(source.name.clone()),
            None => self.holder_of(zone)?,
        };
        Ok(holder.filter(|name| name != follows))
    }

    /// Returns the configured source that keeps a zone which no source names. A catalog keeps one for as long as it
    /// lists it.
    fn holder_of(&self, zone: &Name) -> Result<Option<String>, PipelineError> {
        let holder = self.store.zones().source_of_zone(zone)?;
        let source = holder.and_then(|name| self.config.sources.iter().find(|it| it.name == name));
        let Some(source) = source else {
            return Ok(None);
        };
        let keeps = match &source.feeding {
            Feeding::Catalog(it) if it.catalog != *zone => {
                let listing = self.store.zones().catalog_of(zone)?;
                listing.is_some_and(|it| it.source_name == source.name)
            }
            _ => true,
        };
        Ok(keeps.then(|| source.name.clone()))
    }

    /// Stores the instants that a line of `zone` at `at` closes: those of the same zone, and those
    /// before it. `None` stores all, and the lines that were set aside.
    fn flush_until(
        &self,
        pass: &mut FeedPass<'a>,
        line: Option<(&Name, Timestamp)>,
    ) -> Result<(), PipelineError> {
        let mut closed = pass.pending.close(line);
        closed.sort_by_key(|instant| (instant.at, instant.lines[0].number));
        closed
            .into_iter()
            .try_for_each(|instant| self.store_instant(pass, instant))?;
        match line {
            Some(_) => Ok(()),
            None => {
                self.store_aside(&mut pass.aside)?;
                self.end_group(pass)
            }
        }
    }

    /// Begins a transaction over the instants that follow, unless one is open.
    ///
    /// A feed of every change has an instant a line, and each would wait for the disk twice. What a kill takes back is read
    /// again, since the place in the feed is noted after it. Where another worker judges, it is told of each instant when
    /// that is durable.
    fn begin_group(&self, pass: &mut FeedPass<'a>) -> Result<(), PipelineError> {
        if pass.group.is_none() && pass.gathers {
            pass.group = Some((self.store.begin_group()?, Instant::now()));
        }
        Ok(())
    }

    /// Makes durable what was stored and judged.
    fn end_group(&self, pass: &mut FeedPass<'a>) -> Result<(), PipelineError> {
        match pass.group.take() {
            Some((group, _)) => Ok(group.commit()?),
            None => Ok(()),
        }
    }

    /// Stores and judges one instant. It is durable when [`Ingest::end_group`] was called.
    fn store_instant(
        &self,
        pass: &mut FeedPass<'a>,
        instant: ChangeInstant,
    ) -> Result<(), PipelineError> {
        match instant.lines.len() > GROUPED_LINES_MAX {
            true => self.end_group(pass)?,
            false => self.begin_group(pass)?,
        }
        self.store_in_group(pass, instant)?;
        self.end_old_group(pass)
    }

    /// Makes durable what was stored and judged, if others have waited for long enough.
    fn end_old_group(&self, pass: &mut FeedPass<'a>) -> Result<(), PipelineError> {
        match &pass.group {
            Some((_, begun)) if begun.elapsed() >= GROUP_TIME_MAX => self.end_group(pass),
            _ => Ok(()),
        }
    }

    /// Stores and judges one instant, as part of a transaction over several.
    fn store_in_group(
        &self,
        pass: &mut FeedPass<'a>,
        instant: ChangeInstant,
    ) -> Result<(), PipelineError> {
        let zone = match self.store.zones().find_zone(&instant.zone)? {
            // A zone that was brought in by hand goes over to the feed that follows it.
            Some(zone) if zone.source == pass.source || pass.follows.is_none() => zone,
            _ => self.store.zones().ensure_zone(&instant.zone, pass.source)?,
        };
        if let Some(kept_since) = zone.kept_since.filter(|cut| instant.at < *cut) {
            // What was there then has been forgotten: there is nothing to hold the lines against.
            for line in &instant.lines {
                let reason = format!("history before {kept_since} has been pruned");
                self.reject(pass, RejectKind::Late, line.number, &line.octets, &reason)?;
            }
            return Ok(());
        }
        let joins = self
            .store
            .ledger()
            .find_version(&zone, instant.serial, instant.at)?;
        let joins = joins.filter(|(_, at)| is_one_publication(*at, instant.at));
        let observed_at = joins.map_or(instant.at, |(_, at)| at);
        let kind = if zone.version_id.is_none() && pass.complete {
            VersionKind::Baseline
        } else {
            VersionKind::Feed
        };
        // A baseline that comes in parts stays a baseline: nothing in it is a change.
        let is_baseline = kind == VersionKind::Baseline
            || (joins.is_some()
                && pass.complete
                && self.store.lookup().has_one_version(zone.id)?);
        let draft = VersionDraft {
            source: pass.source,
            kind,
            serial: instant.serial,
            observed_at,
            joins: joins.map(|(id, _)| id),
            drift: false,
        };
        let joining = self.docket.as_ref().filter(|_| draft.joins.is_some());
        let joining = joining.map(|docket| docket.join_version(&zone.apex));
        let mut tx = self.store.ledger().begin(&zone, draft)?;
        let version = FeedVersion {
            zone: &zone,
            at: observed_at,
            joins: joins.map(|(id, _)| id),
            is_complete: pass.complete,
            is_baseline,
        };
        let rrsets: Vec<ToldRrset<'_>> = group_rrsets(&instant).into_iter().collect();
        let mut unfit = Vec::new();
        for rrsets in rrsets.chunks(RRSETS_AT_ONCE) {
            unfit.append(&mut self.apply_rrsets(&mut tx, &version, rrsets)?);
        }
        let registrations = instant.lines.iter().map(|it| Registration {
            owner: &it.line.owner,
            object: it.line.object.as_deref(),
            created: it.line.created,
        });
        tx.record_registrations(&registrations.collect::<Vec<_>>())?;
        let bulk = !is_baseline && is_bulk(&self.config.trust, &tx.measure());
        let committed = tx.commit(bulk)?;
        drop(joining);
        for (kind, line, reason) in unfit {
            self.reject(pass, kind, line.number, &line.octets, &reason)?;
        }
        let mut summary = pass.summaries.remove(&instant.zone).unwrap_or_default();
        self.summarise(&mut summary, &zone, &committed, instant.serial, bulk)?;
        // Lines that are read again, or late, tell of old serials: the zone did not go back.
        summary.serial_regressed = false;
        pass.summaries.insert(instant.zone.clone(), summary);
        self.judge
            .judge_versions(&instant.zone, View::Zone, pass.options)
    }

    /// Applies the lines about RRsets. Returns the lines that are set aside instead and why: they are late and history says
    /// otherwise, or the RRset would have more records than allowed.
    fn apply_rrsets<'i>(
        &self,
        tx: &mut VersionTx<'_>,
        version: &FeedVersion<'_>,
        rrsets: &[ToldRrset<'i>],
    ) -> Result<Vec<Unfit<'i>>, PipelineError> {
        let keys: Vec<(&Name, RecordType)> = rrsets
            .iter()
            .map(|((owner, rtype), _)| (owner, *rtype))
            .collect();
        let FeedVersion { zone, at, .. } = *version;
        let lookup = self.store.lookup();
        let then = lookup.rrsets_at(zone, &keys, at, version.joins)?;
        let now = tx.rrsets(&keys)?;
        let (mut told, mut unfit) = (Vec::new(), Vec::new());
        for ((rrset, then), now) in rrsets.iter().zip(then).zip(now) {
            match self.change_of(version, rrset, then, &now) {
                Ok(change) => told.push(change),
                Err((kind, reason)) => {
                    let lines = rrset.1.iter();
                    unfit.extend(lines.map(|line| (kind, *line, reason.clone())));
                }
            }
        }
        tx.apply_changes(told)?;
        Ok(unfit)
    }

    /// Returns what lines about an RRset change, or why they are set aside. `then` is the RRset at their time and whether
    /// it has changed since, `now` the RRset as it stands.
    fn change_of(
        &self,
        version: &FeedVersion<'_>,
        ((owner, rtype), lines): &ToldRrset<'_>,
        then: Option<(Vec<Rdata>, bool)>,
        now: &[Record],
    ) -> Result<SourceChange, (RejectKind, String)> {
        if let Some((then, true)) = &then {
            let said = follow(lines, &as_records(then));
            return if said.iter().map(|rr| &rr.rdata).eq(then) {
                Ok(SourceChange::none(owner))
            } else {
                let at = version.at;
                let reason =
                    format!("{owner} {rtype} changed after {at}, and history says otherwise");
                Err((RejectKind::Late, reason))
            };
        }
        let after = follow(lines, now);
        if after.len() > now.len()
            && let Some(what) =
                (self.config.limits).rrset_fault(&owner.to_string(), *rtype, after.len() as u64)
        {
            return Err((RejectKind::Unreadable, format!("over the limit: {what}")));
        }
        let begins_with_set = lines
            .first()
            .is_some_and(|line| line.line.op == FeedOp::Set);
        Ok(SourceChange {
            owner: owner.clone(),
            change: diff(now, &after),
            baseline: version.is_baseline
                || (then.is_none() && begins_with_set && !version.is_complete),
        })
    }

    /// Sets a line aside.
    fn reject(
        &self,
        pass: &mut FeedPass<'a>,
        kind: RejectKind,
        number: u64,
        octets: &[u8],
        reason: &str,
    ) -> Result<(), PipelineError> {
        self.set_aside(&mut pass.aside, kind, number, octets, reason.to_owned())
    }

    /// Notes what a pass found and judges its cases at the source's newest event time.
    fn finish_feed(
        &self,
        pass: FeedPass<'a>,
        name: &str,
        refusal: Option<Refusal>,
    ) -> Result<Vec<ZoneReport>, PipelineError> {
        self.store.lookup().write_judged()?;
        let now = self.clock.now();
        let event_now = self
            .store
            .zones()
            .source_status(pass.source)?
            .last_event_at
            .unwrap_or(now);
        let report = |zone: Option<Name>, outcome| ZoneReport {
            source: name.to_owned(),
            zone,
            outcome,
            timings: None,
        };
        let stood_still = pass.summaries.is_empty() && refusal.is_none();
        let mut reports = Vec::new();
        for (zone, summary) in pass.summaries {
            let zones = self.store.zones();
            // One line that is brought in by hand shows nothing of a zone that another source feeds.
            if (zones.find_zone(&zone)?).is_some_and(|it| it.source == pass.source) {
                zones.record_zone_attempt(&zone, now, None)?;
            }
            reports.push(report(
                Some(zone),
                if summary.versions > 0 {
                    ZoneOutcome::Stored(summary)
                } else {
                    ZoneOutcome::Unchanged {
                        serial: summary.serial,
                    }
                },
            ));
        }
        for zone in self.store.zones().zones_of_source(pass.source)? {
            // What was brought in by hand has no clock of its own but the zone's.
            let of_zone = self
                .store
                .zones()
                .find_zone(&zone)?
                .and_then(|zone| zone.version_at);
            let now = if pass.follows.is_some() {
                event_now
            } else {
                of_zone.unwrap_or(event_now)
            };
            let look = self.judge.look_at_feed(now, stood_still);
            self.judge.reevaluate(&zone, look, pass.options)?;
        }
        if reports.is_empty() && refusal.is_none() && pass.aside.count() == 0 {
            reports.push(report(None, ZoneOutcome::Unchanged { serial: None }));
        }
        if pass.aside.count() > 0 {
            let count = pass.aside.count();
            reports.push(report(None, ZoneOutcome::LinesRejected(count)));
        }
        reports.extend(refusal.map(|refusal| report(None, ZoneOutcome::Refused(refusal))));
        Ok(reports)
    }
}

/// Returns the refusal of input that broke off at a place: by a limit, or because it cannot be read.
pub(in crate::pipeline) fn broken_input(place: &str, error: &io::Error) -> Refusal {
    let what = format!("{place}: {error}");
    if OverLimit::is_in(error) {
        Refusal::Limit(what)
    } else {
        Refusal::Unreadable(what)
    }
}

/// Returns the files of a spool in the order of their names; those whose names begin with a dot are
/// still being written. Links, pipes, sockets and devices are passed over with a word, folders without.
fn list_spool(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut passed_over) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        match file::odd_kind(&fs::symlink_metadata(entry.path())?) {
            None => files.push(entry.path()),
            Some(_) if entry.file_type()?.is_dir() => {}
            Some(kind) => passed_over.push((entry.path(), kind)),
        }
    }
    files.sort();
    passed_over.sort();
    if let Some((first, kind)) = passed_over.first() {
        let (first, count) = (first.display(), passed_over.len());
        let entries = counted(count as u64, "entry");
        tracing::warn!(
            count,
            "spool {}: passed over {entries}, of which {first} is {kind}; put regular files there",
            folder.display()
        );
    }
    Ok(files)
}

/// Moves a file into a folder, which is made; one of the same name there is kept under another.
fn move_into(path: &Path, folder: &Path) -> io::Result<()> {
    // Not the folders above it: a spool that was moved away is not made anew.
    if file::folder_of(folder).is_dir() {
        file::make_folders(folder, 0o777)?;
    }
    let name = path.file_name().unwrap_or_default().to_owned();
    let mut target = folder.join(&name);
    let mut count = 1;
    while target.exists() {
        let mut other = name.clone();
        other.push(format!(".{count}"));
        target = folder.join(other);
        count += 1;
    }
    fs::rename(path, target)
}

/// Groups an instant's lines by RRset, in order of owner and type; lines keep their order.
fn group_rrsets(instant: &ChangeInstant) -> BTreeMap<(Name, RecordType), Vec<&NumberedLine>> {
    let mut rrsets: BTreeMap<(Name, RecordType), Vec<&NumberedLine>> = BTreeMap::new();
    for line in &instant.lines {
        if let FeedSubject::Records { rtype, .. } = &line.line.subject {
            rrsets
                .entry((line.line.owner.clone(), *rtype))
                .or_default()
                .push(line);
        }
    }
    rrsets
}

/// Returns the RRset after `lines`, sorted. A line without a TTL leaves known TTLs as they are.
fn follow(lines: &[&NumberedLine], before: &[Record]) -> Vec<Record> {
    let mut state: BTreeMap<Rdata, u32> =
        before.iter().map(|rr| (rr.rdata.clone(), rr.ttl)).collect();
    for NumberedLine { line, .. } in lines {
        let FeedSubject::Records { rdata, .. } = &line.subject else {
            continue;
        };
        if line.op == FeedOp::Set {
            let said: HashSet<&Rdata> = rdata.iter().collect();
            state.retain(|known, _| said.contains(known));
        }
        for rdata in rdata {
            if line.op == FeedOp::Remove {
                state.remove(rdata);
            } else {
                let ttl = state.entry(rdata.clone()).or_insert(line.ttl);
                if line.ttl > 0 {
                    *ttl = line.ttl;
                }
            }
        }
    }
    state
        .into_iter()
        .map(|(rdata, ttl)| Record { rdata, ttl })
        .collect()
}

/// Returns data as records without a TTL.
fn as_records(rdata: &[Rdata]) -> Vec<Record> {
    rdata
        .iter()
        .map(|rdata| Record {
            rdata: rdata.clone(),
            ttl: 0,
        })
        .collect()
}
