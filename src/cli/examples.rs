//! An example of each command, for `--help` and for the man pages.

use clap::{Command, CommandFactory};

use crate::cli::arguments::Arguments;

/// The examples: the command's words after `fluxwatch`, then command lines, each with what it does.
type Examples = (&'static str, &'static [(&'static str, &'static str)]);

/// At least one of every command that is not a mere heading of others; those have one too.
const EXAMPLES: &[Examples] = &[
    (
        "",
        &[
            (
                "fluxwatch config template > fluxwatch.toml",
                "start a configuration",
            ),
            ("fluxwatch poll", "look once at every source"),
            ("fluxwatch cases list", "see what is suspected"),
        ],
    ),
    (
        "poll",
        &[
            ("fluxwatch poll", "one pass over every source"),
            (
                "fluxwatch poll example. --full",
                "transfer this zone whole although its serial stands",
            ),
            (
                "fluxwatch poll --dry-run",
                "see what would be stored and reported",
            ),
            (
                "fluxwatch poll --quiet",
                "from cron: print only what failed",
            ),
            (
                "fluxwatch poll --accept example.",
                "take a version that was held because the zone shrank",
            ),
        ],
    ),
    (
        "run",
        &[(
            "fluxwatch --config /etc/fluxwatch/fluxwatch.toml run",
            "run as a service",
        )],
    ),
    (
        "import",
        &[(
            "fluxwatch import feed --zone example. changes.ndjson",
            "import a change feed",
        )],
    ),
    (
        "import zonefile",
        &[
            (
                "fluxwatch import zonefile --zone example. --at 2026-11-01 example.zone",
                "import one version of a zone",
            ),
            (
                "fluxwatch import zonefile --zone example. --time-pattern 'example-%Y%m%d.zone' example-*.zone",
                "import many, each with the time in its name",
            ),
        ],
    ),
    (
        "import feed",
        &[(
            "fluxwatch import feed --zone example. changes.ndjson",
            "import a change feed",
        )],
    ),
    (
        "import pdns",
        &[(
            "fluxwatch import pdns observed.ndjson",
            "show passive DNS beside the history",
        )],
    ),
    (
        "import rejected",
        &[(
            "fluxwatch import rejected epp-events",
            "see which lines of a feed were set aside, and why",
        )],
    ),
    (
        "history",
        &[
            (
                "fluxwatch history bad.example",
                "what changed for a domain and below it",
            ),
            (
                "fluxwatch history bad.example --since 7d --view timeline",
                "a plot of the last week",
            ),
            (
                "fluxwatch history --ns ns1.bad.example",
                "which domains used a name server",
            ),
            (
                "fluxwatch history --address 192.0.2.0/24 --format json",
                "which names used a network, for a script",
            ),
        ],
    ),
    (
        "diff",
        &[
            ("fluxwatch diff bad.example 7d", "a week ago and now"),
            (
                "fluxwatch diff bad.example 2026-11-01 2026-11-08",
                "two days",
            ),
        ],
    ),
    (
        "explain",
        &[(
            "fluxwatch explain bad.example",
            "why it is suspected, or why not",
        )],
    ),
    ("cases", &[("fluxwatch cases", "the same as `cases list`")]),
    (
        "cases list",
        &[
            ("fluxwatch cases list", "open and acknowledged cases"),
            (
                "fluxwatch cases list --state all --verdict double-flux --format csv",
                "every double flux ever, for a spreadsheet",
            ),
        ],
    ),
    (
        "cases show",
        &[(
            "fluxwatch cases show FW-000002",
            "a case with its log and its mail",
        )],
    ),
    (
        "cases ack",
        &[("fluxwatch cases ack FW-000002 --by ada", "take a case")],
    ),
    (
        "cases dismiss",
        &[(
            "fluxwatch cases dismiss FW-000002 --reason test --by ada",
            "say that a case is nothing",
        )],
    ),
    (
        "cases close",
        &[(
            "fluxwatch cases close FW-000002 --mitigated --by ada",
            "the domain was suspended",
        )],
    ),
    (
        "cases reopen",
        &[(
            "fluxwatch cases reopen FW-000002 --by ada",
            "take up a case again",
        )],
    ),
    (
        "cases note",
        &[(
            "fluxwatch cases note FW-000002 --note \"asked the registrar\" --by ada",
            "write into the log",
        )],
    ),
    (
        "cases assign",
        &[(
            "fluxwatch cases assign FW-000002 --to grace --by ada",
            "give a case to somebody",
        )],
    ),
    (
        "cases log",
        &[
            ("fluxwatch cases log FW-000002", "who did what, and when"),
            (
                "fluxwatch cases log --since 7d",
                "what people did in a week",
            ),
        ],
    ),
    (
        "report",
        &[(
            "fluxwatch report preview FW-000002 --format text",
            "read the report of a case",
        )],
    ),
    (
        "report list",
        &[("fluxwatch report list", "drafts that wait for approval")],
    ),
    (
        "report preview",
        &[
            (
                "fluxwatch report preview FW-000002 --format text",
                "read the report",
            ),
            (
                "fluxwatch report preview FW-000002 > report.eml",
                "the exact bytes of the mail",
            ),
        ],
    ),
    (
        "report send",
        &[(
            "fluxwatch report send FW-000002 --by ada",
            "mail the report to the desk again",
        )],
    ),
    (
        "report approve",
        &[(
            "fluxwatch report approve FW-000002 --to abuse@hoster.example --by ada",
            "send a draft as it is",
        )],
    ),
    (
        "report reject",
        &[(
            "fluxwatch report reject FW-000002 --to abuse@hoster.example --by ada --note \"not theirs\"",
            "never send a draft",
        )],
    ),
    (
        "outbox",
        &[("fluxwatch outbox", "the same as `outbox list`")],
    ),
    (
        "outbox list",
        &[("fluxwatch outbox list --all", "every mail, sent ones too")],
    ),
    (
        "outbox retry",
        &[("fluxwatch outbox retry 12", "try a message again now")],
    ),
    (
        "outbox drop",
        &[("fluxwatch outbox drop 12 --by ada", "never send a message")],
    ),
    (
        "exempt",
        &[("fluxwatch exempt", "the same as `exempt list`")],
    ),
    (
        "exempt list",
        &[(
            "fluxwatch exempt list --all",
            "every exemption, ended ones too",
        )],
    ),
    (
        "exempt add",
        &[
            (
                "fluxwatch exempt add domain ok.example --reason \"our CDN\" --until 90d --by ada",
                "never report a domain for 90 days",
            ),
            (
                "fluxwatch exempt add nameserver ns1.pool.example --reason \"volunteer pool\" --dry-run",
                "see which cases it would touch",
            ),
        ],
    ),
    (
        "exempt remove",
        &[("fluxwatch exempt remove 3 --by ada", "end an exemption")],
    ),
    ("users", &[("fluxwatch users list", "see who may enter")]),
    (
        "users add",
        &[(
            "fluxwatch users add ada --role approver --mail ada@registrar.example",
            "let somebody approve drafts",
        )],
    ),
    (
        "users passwd",
        &[("fluxwatch users passwd ada", "set a password anew")],
    ),
    (
        "users list",
        &[(
            "fluxwatch users list --format json",
            "names, roles and addresses as JSON",
        )],
    ),
    (
        "users remove",
        &[("fluxwatch users remove ada", "let nobody of this name in")],
    ),
    (
        "tokens",
        &[("fluxwatch tokens list", "see which machines may enter")],
    ),
    (
        "tokens add",
        &[(
            "fluxwatch tokens add ticket-system --role reviewer --until 365d --by ada > token",
            "let a machine take steps for a year",
        )],
    ),
    (
        "tokens list",
        &[("fluxwatch tokens list --all", "every token, ended ones too")],
    ),
    (
        "tokens remove",
        &[("fluxwatch tokens remove 3 --by ada", "take a token back")],
    ),
    (
        "stats",
        &[(
            "fluxwatch stats --month 2026-11 --format csv",
            "the desk's numbers of a month",
        )],
    ),
    (
        "privacy",
        &[(
            "fluxwatch privacy purge --before 730d --dry-run",
            "count what would be taken away",
        )],
    ),
    (
        "privacy purge",
        &[(
            "fluxwatch privacy purge --before 730d",
            "take cases away that are over since two years",
        )],
    ),
    (
        "privacy anonymise",
        &[(
            "fluxwatch privacy anonymise --before 365d",
            "take the persons out of old cases",
        )],
    ),
    (
        "status",
        &[
            ("fluxwatch status", "where each zone stands"),
            (
                "fluxwatch status --failed example.",
                "for monitoring: exit status 1 if this zone failed or is held",
            ),
        ],
    ),
    (
        "config",
        &[(
            "fluxwatch config check",
            "everything that is wrong with the configuration",
        )],
    ),
    (
        "config check",
        &[(
            "fluxwatch --config new.toml config check",
            "check a file before it is used",
        )],
    ),
    (
        "config show",
        &[("fluxwatch config show", "every key as it was understood")],
    ),
    (
        "config schema",
        &[(
            "fluxwatch config schema > fluxwatch.schema.json",
            "have an editor complete and check fluxwatch.toml",
        )],
    ),
    (
        "config template",
        &[(
            "fluxwatch config template > fluxwatch.toml",
            "start a configuration",
        )],
    ),
    (
        "db",
        &[("fluxwatch db backup copy.db", "a copy while polls run")],
    ),
    (
        "db backup",
        &[("fluxwatch db backup /backup/fluxwatch.db", "a sound copy")],
    ),
    (
        "db verify",
        &[("fluxwatch db verify", "check every hash of history")],
    ),
    (
        "db recount",
        &[(
            "fluxwatch db recount",
            "mend counts that `db verify` finds wrong",
        )],
    ),
    (
        "db move",
        &[(
            "fluxwatch db move --to postgres://fluxwatch@db.example/fluxwatch",
            "from a file to a PostgreSQL server",
        )],
    ),
    (
        "db prune",
        &[(
            "fluxwatch db prune --dry-run",
            "count what [retention] lets go",
        )],
    ),
    (
        "db stats",
        &[(
            "fluxwatch db stats --format json",
            "size and growth, for a script",
        )],
    ),
    (
        "export",
        &[
            (
                "fluxwatch export --domain bad.example -o bundle.json",
                "evidence that others can check",
            ),
            (
                "fluxwatch export --format parquet --to lake/",
                "all of history, for DuckDB",
            ),
        ],
    ),
    (
        "backtest",
        &[(
            "fluxwatch backtest --since 90d --compare stricter.toml",
            "what two policies would have reported",
        )],
    ),
    (
        "completions",
        &[(
            "fluxwatch completions bash > /etc/bash_completion.d/fluxwatch",
            "complete commands in bash",
        )],
    ),
    (
        "man",
        &[(
            "fluxwatch man --to /usr/local/share/man/man1",
            "install the man pages",
        )],
    ),
    (
        "verify-evidence",
        &[(
            "fluxwatch verify-evidence bundle.json",
            "check what `export --domain` wrote",
        )],
    ),
];

/// Returns the commands as they are typed, with their examples below each `--help`.
pub fn command() -> Command {
    with_examples(Arguments::command(), "")
}

/// Parses a command line, `fluxwatch` first, as the program does, and runs nothing.
///
/// # Errors
///
/// What the program would say of it. `--help` and `--version` are errors to the parser, and not here.
pub fn check_words(words: &[String]) -> Result<(), String> {
    match command().try_get_matches_from(words) {
        Err(fault) if fault.exit_code() != 0 => Err(fault.to_string()),
        _ => Ok(()),
    }
}

/// Returns the examples of a command, by its words after `fluxwatch`.
pub fn of(words: &str) -> &'static [(&'static str, &'static str)] {
    EXAMPLES
        .iter()
        .find(|(of, _)| *of == words)
        .map_or(&[], |(_, lines)| lines)
}

/// Adds the examples to a command and to those below it.
fn with_examples(command: Command, words: &str) -> Command {
    let mut text = String::from("Examples:");
    for (line, meaning) in of(words) {
        text.push_str(&format!("\n  {line}\n      {meaning}"));
    }
    let names: Vec<String> = command
        .get_subcommands()
        .map(|below| below.get_name().to_owned())
        .collect();
    let mut command = command.after_help(text);
    for name in names {
        let below = format!("{words} {name}");
        command = command.mut_subcommand(&name, |it| with_examples(it, below.trim()));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits a command line as a shell does, up to a redirection.
    fn split(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut word = String::new();
        let mut quote = None;
        for character in line.chars() {
            match (quote, character) {
                (None, '>') => break,
                (None, '"' | '\'') => quote = Some(character),
                (Some(open), _) if open == character => quote = None,
                (None, ' ') => {
                    words.extend(Some(std::mem::take(&mut word)).filter(|it| !it.is_empty()))
                }
                _ => word.push(character),
            }
        }
        words.extend(Some(word).filter(|it| !it.is_empty()));
        words
    }

    /// Collects the words of every command.
    fn all(command: &Command, words: &str, found: &mut Vec<String>) {
        found.push(words.to_owned());
        for below in command.get_subcommands() {
            all(below, format!("{words} {}", below.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_command_has_an_example_that_it_understands() {
        let mut commands = Vec::new();
        all(&Arguments::command(), "", &mut commands);
        for words in &commands {
            assert!(!of(words).is_empty(), "{words} has no example");
            for (line, _) in of(words) {
                let parsed = command().try_get_matches_from(split(line));
                assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err("an error"));
                let start = format!("fluxwatch {words}");
                let is_own = line.contains("--config") || line.starts_with(start.trim());
                assert!(is_own, "{line} is no example of {words}");
            }
        }
        assert_eq!(EXAMPLES.len(), commands.len(), "an example of no command");
    }
}
