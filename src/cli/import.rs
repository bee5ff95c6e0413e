//! `fluxwatch import`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use crate::case::CaseState;
use crate::cli::arguments::{ImportCommand, ImportFeed, ImportOptions, ImportZonefile};
use crate::cli::cases::print_found;
use crate::cli::failure::{Done, Failure};
use crate::cli::poll::{done_with, print_reports};
use crate::cli::session::{
    create_store, load_config, make_store_folder, open_dry_run, open_pipeline, parse_name, runtime,
};
use crate::pipeline::{FeedImport, FileImport, Pipeline, PollOptions, ZoneReport};
use crate::store::PollerLock;
use crate::time::{Clock, TimePattern, Timestamp, WallClock};

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ImportCommand) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let options = match command {
        ImportCommand::Zonefile(zonefile) => &zonefile.options,
        ImportCommand::Feed(feed) => &feed.options,
    };
    if options.dry_run {
        let dry = open_dry_run(config)?;
        let done = import(&dry.pipeline, command, options, false)?;
        writeln!(std::io::stderr(), "dry run: nothing was changed or sent")?;
        return Ok(done);
    }
    make_store_folder(&config)?;
    // An import is asked for by a person: it waits for its turn rather than be left out.
    let _lock = PollerLock::take(&config.store_path, true)?;
    let store = create_store(&config)?;
    import(&open_pipeline(config, store)?, command, options, true)
}

/// Imports, and prints what was found.
fn import(
    pipeline: &Pipeline,
    command: &ImportCommand,
    options: &ImportOptions,
    send: bool,
) -> Result<Done, Failure> {
    if options.report && pipeline.config().mail.is_none() {
        return Err(Failure::usage(
            "--report needs [report] and [smtp] in the configuration",
        ));
    }
    let reports = match command {
        ImportCommand::Zonefile(zonefile) => import_zonefile(pipeline, zonefile)?,
        ImportCommand::Feed(feed) => import_feed(pipeline, feed)?,
    };
    pipeline.store().checkpoint()?;
    let delivered = if send && options.report {
        runtime()?.block_on(pipeline.deliver())?
    } else {
        Default::default()
    };
    print_reports(&reports)?;
    print_found(
        &pipeline
            .store()
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
    let import = FileImport {
        source: &command.options.source,
        zone: &zone,
        paths: &command.files,
        at,
        time_pattern: command.time_pattern.as_deref().map(TimePattern::new),
        require_soa: !command.no_soa,
    };
    Ok(pipeline.import_files(&import, &options)?)
}

/// Imports a feed.
fn import_feed(pipeline: &Pipeline, command: &ImportFeed) -> Result<Vec<ZoneReport>, Failure> {
    let zone = command.zone.as_deref().map(parse_name).transpose()?;
    let options = PollOptions {
        mail_wanted: command.options.report,
        ..PollOptions::default()
    };
    let input: Box<dyn BufRead> = if command.file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let file = File::open(&command.file)
            .map_err(|error| Failure::failed(format!("{}: {error}", command.file.display())))?;
        Box::new(BufReader::with_capacity(1 << 18, file))
    };
    let import = FeedImport {
        source: &command.options.source,
        zone: zone.as_ref(),
        input,
        complete: command.complete,
    };
    Ok(pipeline.import_feed(import, &options)?)
}
