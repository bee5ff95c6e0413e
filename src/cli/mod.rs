//! The command line: arguments, one file per noun, exit statuses.
//!
//! Data goes to stdout, talk to stderr. Exit status: 0 done, 1 failed, 2 usage or configuration, 3
//! finished but some zone, line or message failed, 4 the machine or the database is at fault.

mod arguments;
mod backtest;
mod cases;
mod config;
mod db;
mod desk;
mod diff;
mod evidence;
mod examples;
mod exempt;
mod explain;
mod export;
mod failure;
mod history;
mod import;
mod log;
mod manual;
mod outbox;
mod output;
mod plain;
mod poll;
mod privacy;
mod rejected;
mod report;
mod run;
mod session;
mod stats;
mod status;
mod timeline;
mod tokens;
mod users;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::FromArgMatches;
use tracing_subscriber::filter::{LevelFilter, Targets};

use arguments::{Arguments, Command};
use failure::{Done, Failure};

pub use examples::check_words;
pub use manual::{ExitStatus, STATUSES};

/// Runs the program and returns its exit status.
pub fn main() -> ExitCode {
    let parsed = examples::command()
        .try_get_matches()
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap's own statuses: 0 for --help and --version, 2 for usage.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    start_log(&arguments);
    match dispatch(&arguments) {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::Partly) => ExitCode::from(3),
        Ok(Done::Found) => ExitCode::from(1),
        Err(failure) => {
            if !failure.is_broken_pipe() {
                let words = log::last_words(&failure.to_string());
                let _ = writeln!(std::io::stderr(), "{words}");
            }
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Sends log lines to stderr: what `FLUXWATCH_LOG` says (a level, or `target=level` with commas between),
/// else info for `run` or with `-v`, else errors.
fn start_log(arguments: &Arguments) {
    let level = match (&arguments.command, arguments.verbose) {
        (_, 2..) => LevelFilter::DEBUG,
        (_, 1) | (Command::Run(_), _) => LevelFilter::INFO,
        _ => LevelFilter::ERROR,
    };
    let usual = || Targets::new().with_default(level);
    let targets = match std::env::var("FLUXWATCH_LOG") {
        Ok(text) => text.parse().unwrap_or_else(|fault| {
            let sentence = format!("warning: FLUXWATCH_LOG={text}: {fault}; logging as without it");
            let _ = writeln!(std::io::stderr(), "{sentence}");
            usual()
        }),
        Err(_) => usual(),
    };
    let colour = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    log::start(targets, colour);
}

/// Runs one command.
fn dispatch(arguments: &Arguments) -> Result<Done, Failure> {
    let config = arguments.config.as_deref();
    match &arguments.command {
        Command::Poll(command) => poll::run(config, command),
        Command::Run(command) => run::run(config, command),
        Command::Import(command) => import::run(config, command),
        Command::History(command) => history::run(config, command),
        Command::Diff(command) => diff::run(config, command),
        Command::Explain(command) => explain::run(config, command),
        Command::Cases(command) => cases::run(config, command),
        Command::Report(command) => report::run(config, command),
        Command::Outbox(command) => outbox::run(config, command),
        Command::Exempt(command) => exempt::run(config, command),
        Command::Users(command) => users::run(config, command),
        Command::Tokens(command) => tokens::run(config, command),
        Command::Stats(command) => stats::run(config, command),
        Command::Privacy(command) => privacy::run(config, command),
        Command::Status(command) => status::run(config, command),
        Command::Config(command) => config::run(config, command),
        Command::Db(command) => db::run(config, command),
        Command::Export(command) => export::run(config, command),
        Command::Backtest(command) => backtest::run(config, command),
        Command::VerifyEvidence(command) => evidence::verify(command),
        Command::Completions(command) => manual::complete(command),
        Command::Man(command) => manual::write(command),
    }
}
