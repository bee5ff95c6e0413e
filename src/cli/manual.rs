//! `fluxwatch completions` and `fluxwatch man`.

use std::io::{self, Write};
use std::path::Path;

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use crate::cli::arguments::{CompletionsCommand, ManCommand};
use crate::cli::examples;
use crate::cli::failure::{Done, Failure};
use crate::cli::output::stdout;
use crate::config::{TemplateLine, read_template};

/// The date that the pages bear: it moves with the version, so that one version always gives the same bytes.
const DATE: &str = "2026-11-29";
/// What the pages belong to, in their foot.
const MANUAL: &str = "fluxwatch manual";

/// The longest line of text in the source of a page. mandoc complains from 81 bytes on, and counts some signs as ten.
const LINE_MAX: usize = 70;

/// A status that the program ends with.
#[derive(Debug, Clone, Copy)]
pub struct ExitStatus {
    /// The number.
    pub code: u8,
    /// What it means: a sentence without its full stop.
    pub meaning: &'static str,
    /// Where to look then; empty where there is nothing to do.
    pub cure: &'static str,
}

/// The exit statuses of every command.
pub const STATUSES: [ExitStatus; 5] = [
    ExitStatus {
        code: 0,
        meaning: "done",
        cure: "",
    },
    ExitStatus {
        code: 1,
        meaning: "failed: what was asked for is not there; or `status --failed` found a zone",
        cure: "read the sentence",
    },
    ExitStatus {
        code: 2,
        meaning: "the command line or the configuration is wrong",
        cure: "the sentence names the file, the line and the key",
    },
    ExitStatus {
        code: 3,
        meaning: "finished, but some zone, file, line or message failed, or the canary is silent",
        cure: "`status`, `outbox list`",
    },
    ExitStatus {
        code: 4,
        meaning: "the machine or the database is at fault",
        cure: "disk, permissions, memory: the sentence names the file, the hint the cure; nothing committed is lost",
    },
];
/// The files that every command knows.
const FILES: [(&str, &str); 6] = [
    (
        "./fluxwatch.toml",
        "The configuration, if neither --config nor FLUXWATCH_CONFIG names one.",
    ),
    (
        "/etc/fluxwatch/fluxwatch.toml",
        "The configuration, if that is not there either.",
    ),
    (
        "/var/lib/fluxwatch/fluxwatch.db",
        "The database of the template; [store] path names it.",
    ),
    (
        "/usr/share/fluxwatch/sample/",
        "Of a package: a sample with two zones and a feed, to be copied and polled.",
    ),
    (
        "/usr/share/fluxwatch/monitoring/",
        "Of a package: rules for Prometheus and a dashboard for Grafana.",
    ),
    (
        "/usr/share/doc/fluxwatch/docs/",
        "Of a package: the manual; tutorial.md comes first.",
    ),
];
/// The variables that every command reads.
const VARIABLES: [(&str, &str); 4] = [
    ("FLUXWATCH_CONFIG", "The configuration."),
    (
        "FLUXWATCH_LOG",
        "What is logged on stderr: error, warn, info or debug, or target=level with commas between.",
    ),
    ("NO_COLOR", "If set and not empty, no colours."),
    ("TMPDIR", "The folder of the spools of large versions."),
];

/// Prints what completes the commands in a shell.
pub fn complete(command: &CompletionsCommand) -> Result<Done, Failure> {
    let mut bytes = Vec::new();
    let mut commands = examples::command();
    clap_complete::generate(command.shell, &mut commands, "fluxwatch", &mut bytes);
    print(&bytes)
}

/// Writes the manual.
pub fn write(command: &ManCommand) -> Result<Done, Failure> {
    let Some(folder) = &command.to else {
        return print(&page(&root(), "")?);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| write_pages(&root(), "", folder))
        .and_then(|()| std::fs::write(folder.join("fluxwatch.toml.5"), template_page()?))
        .map_err(|error| Failure::file(folder, &error))?;
    Ok(Done::Well)
}

/// Prints to stdout.
fn print(bytes: &[u8]) -> Result<Done, Failure> {
    let mut out = stdout();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(Done::Well)
}

/// Returns all commands, with their whole names.
fn root() -> Command {
    let mut command = examples::command().disable_help_subcommand(true);
    command.build();
    command
}

/// Writes the page of a command and those of the commands below it.
fn write_pages(command: &Command, words: &str, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands() {
        let words = format!("{words} {}", below.get_name());
        write_pages(below, words.trim(), folder)?;
    }
    let name = format!("{}.1", file_name(words));
    std::fs::write(folder.join(name), page(command, words)?)
}

/// Returns the name of a command's page.
fn file_name(words: &str) -> String {
    let words = ["fluxwatch"].into_iter().chain(words.split_whitespace());
    words.collect::<Vec<_>>().join("-")
}

/// Returns the page of one command.
fn page(command: &Command, words: &str) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .title(file_name(words).to_uppercase())
        .date(DATE)
        .source(concat!("fluxwatch ", env!("CARGO_PKG_VERSION")))
        .manual(MANUAL);
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    let mut synopsis = Roff::new();
    add_synopsis(&mut synopsis, command);
    synopsis.to_writer(&mut bytes)?;
    man.render_description_section(&mut bytes)?;
    man.render_options_section(&mut bytes)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut bytes)?;
    }
    let mut rest = Roff::new();
    add_statuses(&mut rest);
    add_terms(&mut rest, "FILES", &FILES);
    add_terms(&mut rest, "ENVIRONMENT", &VARIABLES);
    add_examples(&mut rest, words);
    add_related(&mut rest, command, words);
    rest.to_writer(&mut bytes)?;
    Ok(tidy(&String::from_utf8_lossy(&bytes)))
}

/// Returns a page as `mandoc -T lint` wants it: no line of text over 80 bytes but a term, no blanks at ends, and no break
/// beside a blank line, which breaks by itself. It looks the same when it is read.
fn tidy(page: &str) -> Vec<u8> {
    let lines: Vec<&str> = page.lines().map(str::trim_end).collect();
    let mut out = String::with_capacity(page.len() + page.len() / 16);
    for (n, line) in lines.iter().enumerate() {
        let before = n.checked_sub(1).map_or("", |n| lines[n]);
        let after = lines.get(n + 1).copied().unwrap_or_default();
        if *line == ".br" && [before, after].contains(&"") {
            continue;
        }
        match line.starts_with(['.', '\'']) || before == ".TP" {
            true => out += line,
            false => add_wrapped(&mut out, line),
        }
        out.push('\n');
    }
    out.into_bytes()
}

/// Adds a line of text, broken at blanks. A line never begins with what roff would take for a request.
fn add_wrapped(out: &mut String, line: &str) {
    let mut width = 0;
    for (n, word) in line.split(' ').enumerate() {
        let is_request = word.starts_with(['.', '\'']) || word.is_empty();
        let is_long = width + 1 + word.len() > LINE_MAX && !is_request && !out.ends_with('\\');
        match n {
            0 => width = 0,
            _ if is_long => {
                out.push('\n');
                width = 0;
            }
            _ => {
                out.push(' ');
                width += 1;
            }
        }
        out.push_str(word);
        width += word.len();
    }
}

/// Adds how a command is called: its options with their values, its arguments, and whether a command follows.
fn add_synopsis(page: &mut Roff, command: &Command) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let mut line = vec![bold(name)];
    let is_shown = |arg: &&Arg| {
        let is_common = matches!(arg.get_id().as_str(), "help" | "version");
        !arg.is_hide_set() && !is_common
    };
    let arguments = || command.get_arguments().filter(is_shown);
    let options = arguments().filter(|arg| !arg.is_positional());
    for argument in options.chain(arguments().filter(|arg| arg.is_positional())) {
        let (before, after) = match argument.is_required_set() {
            true => (" ", ""),
            false => (" [", "]"),
        };
        line.push(roman(before));
        if let Some(long) = argument.get_long() {
            line.push(bold(format!("--{long}")));
        } else if let Some(short) = argument.get_short() {
            line.push(bold(format!("-{short}")));
        }
        if argument.get_action().takes_values() {
            let value = match argument.get_value_names() {
                Some(names) => names.join(" "),
                None => argument.get_id().as_str().to_uppercase(),
            };
            let gap = if argument.is_positional() { "" } else { " " };
            line.extend([roman(gap), italic(value)]);
        }
        let is_list = matches!(argument.get_action(), ArgAction::Append);
        line.push(roman(format!(
            "{after}{}",
            if is_list { "..." } else { "" }
        )));
    }
    if command.has_subcommands() {
        let word = match command.is_subcommand_required_set() {
            true => " COMMAND",
            false => " [COMMAND]",
        };
        line.push(italic(word));
    }
    page.control("SH", ["SYNOPSIS"]);
    page.text(line);
}

/// Adds the section of the exit statuses.
fn add_statuses(page: &mut Roff) {
    let sentences = STATUSES.map(|it| {
        let cure = match it.cure {
            "" => String::new(),
            cure => format!(" Look at: {cure}."),
        };
        let text = format!("{}.{cure}", capitalised(it.meaning));
        (it.code.to_string(), text.replace('`', ""))
    });
    let terms: Vec<(&str, &str)> = sentences
        .iter()
        .map(|(code, text)| (code.as_str(), text.as_str()))
        .collect();
    add_terms(page, "EXIT STATUS", &terms);
}

/// Adds a section of terms, each with its meaning.
fn add_terms(page: &mut Roff, title: &str, terms: &[(&str, &str)]) {
    page.control("SH", [title]);
    for (term, meaning) in terms {
        page.control("TP", []);
        page.text([bold(*term)]);
        page.text([roman(*meaning)]);
    }
}

/// Adds the examples of a command.
fn add_examples(page: &mut Roff, words: &str) {
    page.control("SH", ["EXAMPLES"]);
    for (line, meaning) in examples::of(words) {
        page.control("TP", []);
        page.text([bold(*line)]);
        page.text([roman(format!("{}.", capitalised(meaning)))]);
    }
}

/// Adds the pages above, below and of the configuration.
fn add_related(page: &mut Roff, command: &Command, words: &str) {
    let mut names: Vec<String> = command
        .get_subcommands()
        .map(|below| file_name(&format!("{words} {}", below.get_name())))
        .collect();
    if let Some((above, _)) = words.rsplit_once(' ') {
        names.push(file_name(above));
    }
    if !words.is_empty() {
        names.push(file_name(""));
    }
    names.sort();
    let mut line: Vec<Inline> = Vec::new();
    for name in names {
        line.extend([bold(name), roman("(1), ")]);
    }
    line.extend([bold("fluxwatch.toml"), roman("(5)")]);
    page.control("SH", ["SEE ALSO"]);
    page.text(line);
}

/// Returns the page of the configuration, made of the template.
fn template_page() -> io::Result<Vec<u8>> {
    let mut page = Roff::new();
    let source = concat!("fluxwatch ", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["FLUXWATCH.TOML", "5", DATE, source, MANUAL]);
    page.control("SH", ["NAME"]);
    page.text([roman("fluxwatch.toml - the configuration of fluxwatch")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "The configuration is TOML. A key that is not known is an error. Each key stands here with its default, or with \
         an example where it is optional; a path is relative to the folder of the file.",
    )]);
    for line in read_template() {
        match line {
            TemplateLine::Prose(text) => {
                page.control("PP", []);
                page.text([roman(text)]);
            }
            TemplateLine::Section(name) => {
                page.control("SH", [name.as_str()]);
            }
            TemplateLine::Key { name, value, note } => {
                page.control("TP", []);
                page.text([bold(name), roman(" = "), italic(value)]);
                page.text([roman(note)]);
            }
        }
    }
    page.control("SH", ["EXAMPLES"]);
    page.text([roman("A zone that is transferred every five minutes:")]);
    page.control("PP", []);
    page.control("nf", []);
    page.text([roman(EXAMPLE)]);
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("fluxwatch"),
        roman("(1), "),
        bold("fluxwatch-config-check"),
        roman("(1)"),
    ]);
    let mut bytes = Vec::new();
    page.to_writer(&mut bytes)?;
    Ok(tidy(&String::from_utf8_lossy(&bytes)))
}

/// The example of the configuration's page.
const EXAMPLE: &str = "[store]
path = \"/var/lib/fluxwatch/fluxwatch.db\"

[[source]]
name = \"example-tld\"
kind = \"transfer\"
zone = \"example.\"
primaries = [\"192.0.2.1:53\"]";

/// Returns a sentence's start in upper case.
fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(characters).collect()
    })
}
