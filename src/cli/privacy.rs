//! `fluxwatch privacy`.

use std::io::Write;
use std::path::Path;

use crate::cli::arguments::{PrivacyBefore, PrivacyCommand};
use crate::cli::failure::{Done, Failure};
use crate::cli::session::{load_config, open_store, open_to_look};
use crate::count::counted;
use crate::store::Purged;
use crate::time::{Clock, Span, Timestamp, WallClock};

/// What was touched later is not taken by mistake.
const KEPT_MIN: Span = Span::days(30);

/// Runs the command.
pub fn run(config: Option<&Path>, command: &PrivacyCommand) -> Result<Done, Failure> {
    let (PrivacyCommand::Purge(wanted) | PrivacyCommand::Anonymise(wanted)) = command;
    let before = read_before(wanted)?;
    let config = load_config(config)?;
    let mut err = std::io::stderr();
    if wanted.dry_run {
        let purgeable = open_to_look(&config)?.desk().purgeable(before)?;
        writeln!(
            err,
            "dry run: {}; nothing was changed",
            describe(&purgeable)
        )?;
        return Ok(Done::Well);
    }
    let store = open_store(&config)?;
    let (done, verb) = match command {
        PrivacyCommand::Purge(_) => (store.desk().purge_cases(before)?, "taken away"),
        PrivacyCommand::Anonymise(_) => (store.desk().anonymise_cases(before)?, "anonymised"),
    };
    writeln!(err, "{verb}: {}", describe(&done))?;
    Ok(Done::Well)
}

/// Says what is taken, or was.
fn describe(purged: &Purged) -> String {
    let mails = match purged.messages {
        1 => "1 message or notice".to_owned(),
        count => format!("{count} messages or notices"),
    };
    format!(
        "{}, {}, {mails}",
        counted(purged.cases, "case"),
        counted(purged.events, "log line")
    )
}

/// Reads the time; one that is not over yet would take what is worked on.
fn read_before(wanted: &PrivacyBefore) -> Result<Timestamp, Failure> {
    let now = WallClock.now();
    let before = Timestamp::parse_argument(&wanted.before, now)
        .map_err(|fault| Failure::usage(format!("--before: {fault}")))?;
    if before > now {
        return Err(Failure::usage(format!(
            "--before: {before} is in the future"
        )));
    }
    // `1m` is a minute, not a month.
    if !wanted.recent && now.since(before) < KEPT_MIN {
        let what = format!("--before: {before} is less than 30 days ago");
        return Err(Failure::usage(what).hint("--recent takes such cases too"));
    }
    Ok(before)
}
