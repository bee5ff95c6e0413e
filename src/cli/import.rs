//! `fluxwatch import`.

use std::collections::HashSet;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::case::CaseState;
use crate::cli::arguments::{ImportCommand, ImportFeed, ImportPassive, ImportZonefile};
use crate::cli::cases::print_found;
use crate::cli::failure::{Done, Failure};
use crate::cli::poll::{done_with, note_accepted, print_reports};
use crate::cli::rejected;
use crate::cli::session::{
    create_store, load_config, make_store_folder, open_dry_run, open_pipeline, parse_name, runtime,
};
use crate::config::ConfigError;
use crate::file;
use crate::pipeline::{FeedImport, FileImport, PassiveImport, Pipeline, PollOptions, ZoneReport};
use crate::source::open_text;
use crate::store::{PollerLock, SourceKind};
use crate::time::{Clock, TimePattern, Timestamp, WallClock};

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ImportCommand) -> Result<Done, Failure> {
    if let ImportCommand::Rejected(rejected) = command {
        return rejected::run(config, rejected);
    }
    let config = load_config(config)?;
    let dry_run = match command {
        ImportCommand::Zonefile(zonefile) => zonefile.options.dry_run,
        ImportCommand::Feed(feed) => feed.options.dry_run,
        ImportCommand::Pdns(passive) => passive.dry_run,
        ImportCommand::Rejected(_) => false,
    };
    if dry_run {
        let dry = open_dry_run(config)?;
        if !dry.pipeline.waiting_for().is_empty() {
            return Err(ConfigError::Faults(dry.pipeline.waiting_for().to_vec()).into());
        }
        let done = import(&dry.pipeline, command, false)?;
        writeln!(std::io::stderr(), "dry run: nothing was changed or sent")?;
        return Ok(done);
    }
    make_store_folder(&config)?;
    // An import is asked for by a person: it waits for its turn rather than be left out.
    let _lock = PollerLock::take(&config.store_url, true)?;
    let store = create_store(&config)?;
    import(&open_pipeline(config, store)?, command, true)
}

/// Imports, and prints what was found.
fn import(pipeline: &Pipeline, command: &ImportCommand, send: bool) -> Result<Done, Failure> {
    let report = match command {
        ImportCommand::Zonefile(zonefile) => zonefile.options.report,
        ImportCommand::Feed(feed) => feed.options.report,
        ImportCommand::Pdns(_) | ImportCommand::Rejected(_) => false,
    };
    if report && pipeline.config().mail.is_none() {
        return Err(Failure::usage(
            "--report needs [report] and [smtp] in the configuration",
        ));
    }
    pipeline.judge().judge_anew(&|| true)?;
    let reports = match command {
        ImportCommand::Zonefile(zonefile) => import_zonefile(pipeline, zonefile)?,
        ImportCommand::Feed(feed) => import_feed(pipeline, feed)?,
        ImportCommand::Pdns(passive) => import_passive(pipeline, passive)?,
        ImportCommand::Rejected(_) => Vec::new(),
    };
    // An import may leave a long log, and no poll may follow that would take it into the database.
    pipeline.store().upkeep().checkpoint()?;
    let delivered = if send && report {
        runtime()?.block_on(pipeline.notify().deliver())?
    } else {
        Default::default()
    };
    print_reports(&reports)?;
    if matches!(command, ImportCommand::Pdns(_)) {
        return Ok(done_with(&reports, &delivered));
    }
    print_found(
        &pipeline
            .store()
            .desk()
            .cases(&[CaseState::Open, CaseState::Acknowledged])?,
    )?;
    Ok(done_with(&reports, &delivered))
}

/// Imports zone files.
fn import_zonefile(
    pipeline: &Pipeline,
    command: &ImportZonefile,
) -> Result<Vec<ZoneReport>, Failure> {
    let zone = parse_name(&command.zone)?;
    let at = command
        .at
        .as_deref()
        .map(|text| Timestamp::parse_argument(text, WallClock.now()))
        .transpose()
        .map_err(|fault| Failure::usage(format!("--at: {fault}")))?;
    if at.is_some() && command.files.len() > 1 {
        return Err(Failure::usage(
            "--at gives the time of one file; for several use --time-pattern",
        ));
    }
    let accept = if command.accept {
        HashSet::from([zone.clone()])
    } else {
        HashSet::new()
    };
    let options = PollOptions {
        full: true,
        accept,
        mail_wanted: command.options.report,
    };
    note_accepted(pipeline.config(), pipeline.store(), &options)?;
    let import = FileImport {
        source: &command.options.source,
        zone: &zone,
        paths: &command.files,
        at,
        time_pattern: command.time_pattern.as_deref().map(TimePattern::new),
        require_soa: !command.no_soa,
        require_final_newline: !command.no_final_newline,
    };
    let bar = progress_bar(None);
    let reports = pipeline.ingest().import_files(&import, &options, |path| {
        bar.set_message(path.display().to_string());
    })?;
    bar.finish_and_clear();
    Ok(reports)
}

/// Imports a feed.
fn import_feed(pipeline: &Pipeline, command: &ImportFeed) -> Result<Vec<ZoneReport>, Failure> {
    let zone = command.zone.as_deref().map(parse_name).transpose()?;
    let options = PollOptions {
        mail_wanted: command.options.report,
        ..PollOptions::default()
    };
    let (input, bar) = open_input(pipeline, &command.file)?;
    let import = FeedImport {
        source: &command.options.source,
        zone: zone.as_ref(),
        input,
        is_timed: is_file(&command.file),
        complete: command.complete,
    };
    let reports = pipeline.ingest().import_feed(import, &options)?;
    bar.finish_and_clear();
    Ok(reports)
}

/// Imports passive DNS.
fn import_passive(
    pipeline: &Pipeline,
    command: &ImportPassive,
) -> Result<Vec<ZoneReport>, Failure> {
    let zone = command.zone.as_deref().map(parse_name).transpose()?;
    let known = pipeline.store().zones().source_kind(&command.source)?;
    if let Some(kind) = known.filter(|kind| *kind != SourceKind::Passive) {
        let (name, kind) = (&command.source, kind.word());
        return Err(Failure::usage(format!(
            "--source {name}: there is a source of that name, of kind {kind}"
        )));
    }
    let (input, bar) = open_input(pipeline, &command.file)?;
    let import = PassiveImport {
        source: &command.source,
        zone: zone.as_ref(),
        input,
        is_timed: is_file(&command.file),
    };
    let reports = pipeline.ingest().import_passive(import)?;
    bar.finish_and_clear();
    Ok(reports)
}

/// Returns whether a path is that of a file, and not standard input.
fn is_file(path: &Path) -> bool {
    path != Path::new("-")
}

/// Opens lines, plain or compressed, and a bar that moves as they are read.
fn open_input(
    pipeline: &Pipeline,
    path: &Path,
) -> Result<(Box<dyn BufRead>, ProgressBar), Failure> {
    let limits = &pipeline.config().limits;
    if !is_file(path) {
        let bar = progress_bar(None);
        let input = open_text(bar.wrap_read(std::io::stdin()), limits)
            .map_err(|error| Failure::failed(format!("standard input: {error}")))?;
        return Ok((input, bar));
    }
    let unreadable = |error| Failure::failed(format!("{}: {error}", path.display()));
    let file = file::open(path).map_err(unreadable)?;
    let meta = file.metadata().map_err(unreadable)?;
    let bar = progress_bar(meta.is_file().then_some(meta.len()));
    bar.set_message(path.display().to_string());
    let input = open_text(bar.wrap_read(file), limits).map_err(unreadable)?;
    Ok((input, bar))
}

/// Returns a bar on a terminal over so many octets, and nothing elsewhere.
fn progress_bar(octets: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match octets {
        Some(octets) => (
            ProgressBar::new(octets),
            "{spinner} {bytes}/{total_bytes} [{elapsed}, {eta} to go] {msg}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} [{elapsed}] {msg}"),
    };
    bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
