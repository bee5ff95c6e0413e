//! The manual says what is so: its generated pages are those of this program, its links lead somewhere, its commands
//! exist.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fluxwatch::config::{TemplateLine, read_template};
use fluxwatch::pipeline::process_metrics;

use crate::harness::Bench;
use crate::support::stores::has_no_file;

/// Set, the generated pages are written instead of compared.
pub const WRITE: &str = "FLUXWATCH_WRITE_REFERENCE";

/// Returns the repository's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every page of the manual, by its path from `docs/`, and its text.
pub fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "md") {
                let text = fs::read_to_string(&path).expect("text");
                pages.push((path, text));
            }
        }
    }
    assert!(pages.len() > 30, "{}", pages.len());
    pages
}

/// Returns what `fluxwatch` prints of a command's help, 100 columns wide.
fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_fluxwatch"))
        .args(words)
        .arg("--help")
        .env("COLUMNS", "100")
        .output()
        .expect("the program can be started");
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Returns the commands that a help lists.
fn below(help: &str) -> Vec<&str> {
    let list = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let list = list.split("\n\n").next().unwrap_or_default();
    let names = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").collect()
}

/// Adds a command and those below it.
fn add_commands(page: &mut String, words: &[&str]) {
    let text = help(words);
    let name = ["fluxwatch"]
        .iter()
        .chain(words)
        .copied()
        .collect::<Vec<_>>()
        .join(" ");
    let text: Vec<&str> = text.lines().map(str::trim_end).collect();
    let _ = write!(
        page,
        "\n## {name}\n\n```text\n{}\n```\n",
        text.join("\n").trim()
    );
    for command in below(&help(words)) {
        let words: Vec<&str> = words.iter().copied().chain([command]).collect();
        add_commands(page, &words);
    }
}

/// Returns the page of the commands.
fn commands_page() -> String {
    let mut page = "# Commands\n\nWhat `--help` prints, from the program itself.\n".to_owned();
    add_commands(&mut page, &[]);
    page
}

/// Returns the page of the configuration.
fn configuration_page() -> String {
    let mut page = "# Configuration\n\nEvery key, from `fluxwatch config template`. `fluxwatch config schema` prints the same for editors. A value \
        is the default, or an example.\n"
        .to_owned();
    let mut is_table = false;
    for line in read_template() {
        match line {
            TemplateLine::Section(section) => {
                let _ = write!(page, "\n## {section}\n");
                is_table = false;
            }
            TemplateLine::Prose(text) => {
                let _ = write!(page, "\n{text}\n");
                is_table = false;
            }
            TemplateLine::Key { name, value, note } => {
                if !is_table {
                    page += "\n| key | value | what it is |\n|---|---|---|\n";
                    is_table = true;
                }
                let cell = |text: &str| text.replace('|', "\\|");
                let _ = writeln!(page, "| `{name}` | `{}` | {} |", cell(&value), cell(&note));
            }
        }
    }
    page
}

/// Returns the rows of a page of metrics: name, type and what it is.
pub fn metric_rows(page: &str) -> String {
    let mut rows = String::new();
    let mut help = "";
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = text.split_once(' ').map_or("", |(_, text)| text);
        } else if let Some((name, kind)) = line
            .strip_prefix("# TYPE ")
            .and_then(|it| it.split_once(' '))
        {
            let _ = writeln!(rows, "| `{name}` | {kind} | {} |", help.replace('|', "\\|"));
        }
    }
    rows
}

/// Returns the page of the metrics.
fn metrics_page() -> String {
    let bench = Bench::new(
        "[metrics]\ntextfile = \"fluxwatch.prom\"\n[canary]\ndomain = \"canary.example.\"\nevery = \"1d\"\n\
         [[source]]\nname = \"epp\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"changes.ndjson\"\n",
    );
    bench.write("changes.ndjson", "");
    bench.run(3, &["poll"]);
    let page = fs::read_to_string(bench.path().join("fluxwatch.prom")).expect("metrics");
    let head = "\n| series | type | what it is |\n|---|---|---|\n";
    // `engines::standing` has them from the program, with a server and a standby.
    let how_to = fs::read_to_string(root().join("docs/how-to/run-on-postgresql.md"));
    let how_to = how_to.expect("a page");
    let of_a_server = how_to
        .lines()
        .filter(|line| line.starts_with("| `fluxwatch_") && line.contains(" gauge "));
    let of_a_server: String = of_a_server.map(|line| format!("{line}\n")).collect();
    format!(
        "# Metrics\n\nEvery series, from the program itself. A summary has `_sum` (seconds) and `_count`.\n\n\
         ## From the database\n\nAt `[metrics] listen` and in `[metrics] textfile`.\n{head}{}\n\
         ## From a database on a PostgreSQL server\n\nBeside those of every database, at the same places. The first is there while somebody polls; those of commits and standbys \
         on a primary, to a role with `pg_read_all_stats`.\n{head}{of_a_server}\n\
         ## Of the running service\n\nAt `[metrics] listen` alone. `fluxwatch_held_up_seconds{{worker}}` is there while a worker is held up.\n{head}{}",
        metric_rows(&page),
        metric_rows(&process_metrics()),
    )
}

#[test]
fn generated_pages_are_those_of_this_program() {
    // The page of metrics is that of a file.
    if has_no_file() {
        return;
    }
    let mut stale = Vec::new();
    for (name, page) in [
        ("commands", commands_page()),
        ("configuration", configuration_page()),
        ("metrics", metrics_page()),
    ] {
        let path = root().join(format!("docs/reference/{name}.md"));
        if std::env::var_os(WRITE).is_some() {
            fs::write(&path, &page).expect("written");
        }
        if fs::read_to_string(&path).unwrap_or_default() != page {
            stale.push(name);
        }
    }
    assert!(
        stale.is_empty(),
        "stale: {stale:?}; `{WRITE}=1 cargo test --test it book::generated` writes them"
    );
}

/// Returns the anchor of a heading, as mdBook and GitHub make it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.map(|it| if it == ' ' { '-' } else { it }).collect()
}

/// Returns the text without its blocks and spans of code.
fn prose(text: &str) -> String {
    let outside = text.split("```").step_by(2).collect::<Vec<_>>().join("\n");
    outside.split('`').step_by(2).collect()
}

/// Returns the targets of a page's links.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets.map(str::to_owned).collect()
}

#[test]
fn every_link_of_the_manual_leads_to_a_page_and_a_heading() {
    let mut all = pages();
    for name in ["README.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let path = root().join(name);
        let text = fs::read_to_string(&path).expect("text");
        all.push((path, text));
    }
    let mut broken = Vec::new();
    let mut count = 0;
    for (path, text) in &all {
        for link in links(text).iter().filter(|it| !it.contains("://")) {
            count += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                _ => path.parent().expect("a folder").join(file),
            };
            let has_heading = || {
                let text = fs::read_to_string(&target).unwrap_or_default();
                text.lines()
                    .any(|line| line.starts_with('#') && anchor(line) == heading)
            };
            if !target.exists() || !(heading.is_empty() || has_heading()) {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(count > 80, "{count}");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_page_stands_in_the_summary_once() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).expect("text");
    let listed = links(&summary);
    let mut named: BTreeSet<PathBuf> = BTreeSet::new();
    for link in &listed {
        assert!(
            named.insert(root().join("docs").join(link)),
            "{link} is there twice"
        );
    }
    let there = pages().into_iter().map(|(path, _)| path);
    let there: BTreeSet<PathBuf> = there
        .filter(|it| !it.ends_with("docs/SUMMARY.md"))
        .collect();
    assert_eq!(named, there);
}

#[test]
fn every_command_of_the_manual_exists_with_its_options() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let readme = fs::read_to_string(root().join("README.md")).expect("text");
    for (path, text) in pages().into_iter().chain([("README.md".into(), readme)]) {
        let blocks = text.split("```").skip(1).step_by(2);
        let lines = blocks.filter(|it| it.starts_with("sh\n") || it.starts_with("console\n"));
        for line in lines.flat_map(str::lines) {
            let line = line.trim().trim_start_matches("$ ");
            let Some(rest) = line.strip_prefix("fluxwatch ") else {
                continue;
            };
            count += 1;
            let rest = rest.split(" #").next().unwrap_or_default();
            let rest = rest.split(" && ").next().unwrap_or_default();
            if let Some(fault) = fault_of(rest) {
                wrong.push(format!("{}: {line}: {fault}", path.display()));
            }
        }
    }
    assert!(count > 50, "{count}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns what is wrong with a command line: an option that its help does not have.
fn fault_of(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut names: Vec<&str> = Vec::new();
    let mut text = help(&[]);
    let mut rest = words.iter().peekable();
    // Options before the command, with their value.
    while rest.peek().is_some_and(|word| word.starts_with('-')) {
        if matches!(rest.next(), Some(&"--config" | &"-c")) {
            rest.next();
        }
    }
    while let Some(word) = rest.peek()
        && below(&text).contains(word)
    {
        names.push(word);
        text = help(&names);
        rest.next();
    }
    if names.is_empty() {
        return Some("no such command".to_owned());
    }
    let options = words.iter().filter(|word| word.starts_with("--"));
    let mut options = options.map(|word| word.split('=').next().unwrap_or(word));
    options
        .find(|word| !text.contains(word))
        .map(|word| format!("no option {word}"))
}
