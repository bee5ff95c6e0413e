//! Arguments that are described to clap only when their command is the one that was typed.
//!
//! Describing every command takes longer than looking a name up.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::{Resettable, StyledStr};
use clap::error::Error;
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

/// Whether every command is described at once: for what shows them all.
static IS_AT_ONCE: AtomicBool = AtomicBool::new(false);

/// Describes every command at once from now on. What completes `help` in a shell is made of the commands
/// before their turn comes.
pub fn describe_at_once() {
    IS_AT_ONCE.store(true, Ordering::Relaxed);
}

/// Has a command described now, or when it is the one that was typed.
fn later(
    command: Command,
    at_once: fn(Command) -> Command,
    later: fn(Command) -> Command,
) -> Command {
    match IS_AT_ONCE.load(Ordering::Relaxed) {
        true => at_once(command),
        false => command.defer(later),
    }
}

/// Describes a command, and keeps what it is about.
fn keep_about(command: Command, describe: fn(Command) -> Command) -> Command {
    let kept =
        |text: Option<&StyledStr>| text.cloned().map_or(Resettable::Reset, Resettable::Value);
    let (about, long) = (kept(command.get_about()), kept(command.get_long_about()));
    describe(command).about(about).long_about(long)
}

/// What a command takes.
#[derive(Debug)]
pub struct Later<T>(T);

impl<T> Deref for Later<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Later<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }

    fn update_from_arg_matches_mut(&mut self, matches: &mut ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches_mut(matches)
    }
}

impl<T: Args> Args for Later<T> {
    fn augment_args(command: Command) -> Command {
        later(command, T::augment_args, |it| {
            keep_about(it, T::augment_args)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        later(command, T::augment_args_for_update, |it| {
            keep_about(it, T::augment_args_for_update)
        })
    }
}

impl<T: Subcommand> Subcommand for Later<T> {
    fn augment_subcommands(command: Command) -> Command {
        later(command, T::augment_subcommands, |it| {
            keep_about(it, T::augment_subcommands)
        })
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        later(command, T::augment_subcommands_for_update, |it| {
            keep_about(it, T::augment_subcommands_for_update)
        })
    }

    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::describe_at_once;
    use crate::cli::arguments::Arguments;

    /// Returns what a command line gets that is not run.
    fn answer(words: &[&str]) -> String {
        let line = ["fluxwatch"].iter().chain(words);
        Arguments::try_parse_from(line).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn command_described_later_says_the_same() {
        let names: Vec<String> = Arguments::command()
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        assert!(names.len() >= 20, "{names:?}");
        let answers = || -> Vec<String> {
            names
                .iter()
                .flat_map(|name| {
                    [
                        answer(&[name, "--help"]),
                        answer(&[name, "-h"]),
                        answer(&["help", name]),
                        answer(&[name, "--nonsense"]),
                        answer(&[name, "nonsense", "nonsense"]),
                    ]
                })
                .chain([
                    answer(&["--help"]),
                    answer(&["help", "db", "verify"]),
                    answer(&["hisstory"]),
                ])
                .collect()
        };
        let later = answers();
        describe_at_once();
        Arguments::command().debug_assert();
        assert_eq!(later, answers());
    }
}
