//! The parts of the reference that the program knows itself: tables between two marks of a page, made anew by each run of
//! the tests and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use fluxwatch::cli::STATUSES;
use fluxwatch::store::MailKind;
use fluxwatch::templates::variables;
use fluxwatch::zone::REASONS;
use rusqlite::Connection;
use serde_json::Value;

use crate::book::WRITE;
use crate::console::{Browser, Desk};
use crate::harness::Bench;

/// Returns a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Returns the page of a name.
fn path(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/reference/{page}.md"))
}

/// Asserts that a page has a text between its marks for `part`; writes it there if it is asked to.
fn check(page: &str, part: &str, made: &str) {
    let path = path(page);
    let text = fs::read_to_string(&path).expect("a page");
    let [begin, end] = ["begin", "end"].map(|mark| format!("<!-- {mark} of {part}, generated -->"));
    let (before, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{page}: no {begin}"));
    let (found, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("{page}: no {end}"));
    let made = format!("\n\n{}\n\n", made.trim());
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, format!("{before}{begin}{made}{end}{after}")).expect("written");
    } else {
        assert!(
            found == made,
            "{page}, {part} is stale; `{WRITE}=1 cargo test --test it reference::` writes it"
        );
    }
}

#[test]
fn refusals_of_the_manual_are_those_of_the_program() {
    let mut table = "| reason | what happened | what helps |\n|---|---|---|\n".to_owned();
    for reason in &REASONS {
        let _ = writeln!(
            table,
            "| `{}` | {} | {} |",
            reason.word,
            cell(reason.what),
            cell(reason.cure)
        );
    }
    check("refusals", "the reasons", &table);
    let code = include_str!("../../src/zone/trust.rs");
    let code = code.split("pub fn code(").nth(1).expect("the words");
    let code = code.split("pub fn").next().expect("the words");
    let words = code.split('"').skip(1).step_by(2);
    let words: BTreeSet<&str> = words
        .chain(["awaited", "left-catalog", "unwatched"])
        .collect();
    let told: BTreeSet<&str> = REASONS.iter().map(|it| it.word).collect();
    assert_eq!(told, words);
}

#[test]
fn exit_statuses_of_the_manual_are_those_of_the_program() {
    let mut table = "| status | meaning | what to look at |\n|---|---|---|\n".to_owned();
    for status in &STATUSES {
        let _ = writeln!(
            table,
            "| {} | {} | {} |",
            status.code,
            cell(status.meaning),
            cell(status.cure)
        );
    }
    check("exit-status", "the statuses", &table);
}

/// Returns the definitions of a database: its version, and tables and indexes by the name of the table.
fn definitions() -> (i64, BTreeMap<String, Vec<String>>) {
    let bench = Bench::new(
        "[[source]]\nname = \"epp\"\nkind = \"feed\"\nzone = \"example.\"\npath = \"f.ndjson\"\n",
    );
    bench.write("f.ndjson", "");
    bench.run(0, &["poll"]);
    let db = Connection::open(bench.path().join("fluxwatch.db")).expect("opened");
    let version = db.query_row("pragma user_version", [], |row| row.get(0));
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut rows = db
        .prepare("select tbl_name, sql from sqlite_schema where sql is not null order by tbl_name, type desc, name")
        .expect("prepared");
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    for row in rows.expect("read") {
        let (table, sql): (String, String) = row.expect("read");
        tables.entry(table).or_default().push(sql);
    }
    (version.expect("a number"), tables)
}

#[test]
fn schema_of_the_manual_is_that_of_a_new_database() {
    let (version, tables) = definitions();
    let mut text = format!("Schema {version}.\n");
    for (table, sql) in &tables {
        let _ = write!(text, "\n### {table}\n\n```sql\n{};\n```\n", sql.join(";\n"));
    }
    check("schema", "the definitions", &text);
    let page = fs::read_to_string(path("schema")).expect("a page");
    let told = page.split("## Definitions").next().expect("a page");
    let untold: Vec<&String> = tables
        .keys()
        .filter(|it| !told.contains(&format!("`{it}`")))
        .collect();
    assert!(
        untold.is_empty(),
        "tables that the page says nothing of: {untold:?}"
    );
    assert!(
        told.contains(&format!("schema {version}")),
        "the page names another schema than {version}"
    );
}

#[test]
fn variables_of_mails_in_the_manual_are_those_of_the_program() {
    let mut text = String::new();
    let kinds = variables();
    let mut told: Vec<&BTreeMap<String, &str>> = Vec::new();
    for (_, variables) in &kinds {
        if told.contains(&variables) {
            continue;
        }
        told.push(variables);
        let same: Vec<String> = kinds
            .iter()
            .filter(|(_, it)| it == variables)
            .map(|(kind, _)| format!("`{kind}`"))
            .collect();
        let _ = write!(
            text,
            "\n### Of {}\n\n| variable | holds |\n|---|---|\n",
            same.join(", ")
        );
        for (name, kind) in variables {
            let _ = writeln!(text, "| `{name}` | {kind} |");
        }
    }
    check("mails", "the variables", &text);
}

#[test]
fn kinds_of_mail_in_the_manual_are_those_of_the_program() {
    let page = fs::read_to_string(path("mails")).expect("a page");
    let table = page.split("## Kinds of mail").nth(1).expect("the kinds");
    let table = table.split("\n\n").nth(1).expect("a table");
    let told: BTreeSet<&str> = table
        .lines()
        .skip(2)
        .filter_map(|line| line.split('`').nth(1))
        .collect();
    let mails = MailKind::ALL
        .into_iter()
        .filter(|it| *it != MailKind::Webhook);
    let words: BTreeSet<&str> = mails.map(MailKind::word).collect();
    assert_eq!(told, words);
    let made_up: BTreeSet<&str> = variables().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(made_up, words, "kinds without templates");
}

/// Returns the rows of the OpenAPI document.
fn endpoints(document: &Value) -> String {
    let mut table =
        "| method and path | what it does | fields of the query |\n|---|---|---|\n".to_owned();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let fields = operation["parameters"]
                .as_array()
                .expect("parameters")
                .iter();
            let fields = fields.filter(|it| it["in"] == "query").map(|it| {
                let what = it["description"].as_str().unwrap_or_default();
                format!("`{}`: {what}", it["name"].as_str().unwrap_or_default())
            });
            let _ = writeln!(
                table,
                "| `{} {path}` | {} | {} |",
                method.to_uppercase(),
                operation["summary"].as_str().unwrap_or_default(),
                cell(&fields.collect::<Vec<_>>().join("; "))
            );
        }
    }
    table
}

#[test]
fn api_of_the_manual_is_that_of_the_running_service() {
    let desk = Desk::start(1, "");
    let answer = Browser::new(desk.port).get("/api/v1/openapi.json");
    let document: Value = serde_json::from_str(&answer.body).expect("JSON");
    check("http", "the endpoints", &endpoints(&document));
    desk.running.stop();
    // The paths beside that document are those of the server's source.
    let page = fs::read_to_string(path("http")).expect("a page");
    let source = include_str!("../../src/web/server.rs");
    let source = source.split("#[cfg(test)]").next().expect("a source");
    let routes = source
        .split(".route(\"")
        .skip(1)
        .filter_map(|it| it.split('"').next());
    let routes: Vec<&str> = routes
        .map(|it| it.split('{').next().unwrap_or(it))
        .collect();
    assert!(routes.len() >= 7, "{routes:?}");
    let untold: Vec<&&str> = routes.iter().filter(|it| !page.contains(**it)).collect();
    assert!(
        untold.is_empty(),
        "paths that the page says nothing of: {untold:?}"
    );
}

/// A log line as the source has it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LogLine {
    sentence: String,
    level: &'static str,
    fields: Vec<String>,
}

/// Returns every Rust source of the program, without its tests.
fn sources() -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).expect("text");
                let program = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
                texts.push(program.to_owned());
            }
        }
    }
    texts
}

/// Splits the arguments of a macro at its commas, up to the parenthesis that closes it.
fn arguments(text: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let (mut depth, mut is_text, mut is_escaped) = (0, false, false);
    for it in text.chars() {
        let last = arguments.last_mut().expect("one");
        match it {
            _ if is_text => {
                last.push(it);
                is_text = it != '"' || is_escaped;
                is_escaped = it == '\\' && !is_escaped;
                continue;
            }
            '"' => is_text = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        last.push(it);
    }
    arguments.iter().map(|it| it.trim().to_owned()).collect()
}

/// Returns a message with its values in capitals, those without a name as three dots.
fn sentence(literal: &str) -> String {
    let text = literal.trim_matches('"').replace("\\\"", "\"");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or_default();
        let name = name.split(':').next().unwrap_or_default();
        out += before;
        out += &match name {
            "" => "…".to_owned(),
            name => name.to_uppercase().replace('_', " "),
        };
        rest = after;
    }
    out + rest
}

/// Returns the log lines of a source.
fn log_lines(source: &str) -> Vec<LogLine> {
    let mut lines = Vec::new();
    for level in ["info", "warn", "error"] {
        for rest in source.split(&format!("tracing::{level}!(")).skip(1) {
            let arguments = arguments(rest);
            let Some(place) = arguments.iter().position(|it| it.starts_with('"')) else {
                panic!("a log line without a sentence: {arguments:?}");
            };
            let name = |it: &String| {
                let name = it.split('=').next().unwrap_or_default();
                name.trim().trim_start_matches(['%', '?']).to_owned()
            };
            lines.push(LogLine {
                sentence: sentence(&arguments[place]),
                level,
                fields: arguments[..place].iter().map(name).collect(),
            });
        }
    }
    lines
}

#[test]
fn log_lines_of_the_manual_are_those_of_the_sources() {
    let lines: BTreeSet<LogLine> = sources().iter().flat_map(|it| log_lines(it)).collect();
    assert!(lines.len() > 60, "{}", lines.len());
    let mut table = "| line | level | fields |\n|---|---|---|\n".to_owned();
    for line in &lines {
        let fields = line.fields.join(" ");
        let fields = if fields.is_empty() {
            String::new()
        } else {
            format!("`{fields}`")
        };
        let _ = writeln!(
            table,
            "| `{}` | {} | {fields} |",
            cell(&line.sentence),
            line.level
        );
    }
    check("log", "the lines", &table);
}
