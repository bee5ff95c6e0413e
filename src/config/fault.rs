//! What is wrong with a configuration, and where.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::de::{DeTable, DeValue};

/// Whether the program can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// It cannot.
    Error,
    /// It can, but hardly as it is meant; or a file is not there yet that may come.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The key with its sections, such as `detect.nameservers.score_min`; empty for faults of the TOML itself.
    pub key: String,
    /// Whether the program can go on.
    pub severity: Weight,
    /// What is wrong, with the value.
    pub what: String,
    /// What to do; empty where `what` says it.
    pub cure: String,
}

impl Fault {
    /// Returns the fault as one line of a log.
    pub fn in_one_line(&self) -> String {
        self.to_string().replace("\nhint: ", "; ")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: ", self.file.display(), self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.cure.is_empty() {
            write!(f, "\nhint: {}", self.cure)?;
        }
        Ok(())
    }
}

/// Why a configuration cannot be used: exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {fault}{cure}", cure = cure_of_unreadable(.fault))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        fault: String,
    },
    /// What is wrong in it, in the order of the file; not empty.
    #[error("{}", join(.0))]
    Faults(Vec<Fault>),
}

/// Returns what helps where the system does not let a file be read; empty where nothing is known.
fn cure_of_unreadable(fault: &str) -> &'static str {
    match fault.contains("Permission denied") {
        true => {
            "\nhint: this user may not read it: use sudo, or become a member of the group that owns it (`ls -ld` shows which)"
        }
        false => "",
    }
}

/// Returns faults with `error:` between them, as they are shown.
fn join(faults: &[Fault]) -> String {
    let texts: Vec<String> = faults.iter().map(Fault::to_string).collect();
    texts.join("\nerror: ")
}

/// Where each key is written: its path, such as `source[2].tls.pins[0]`, and its line.
#[derive(Debug, Clone, Default)]
pub struct KeyLines {
    file: PathBuf,
    lines: BTreeMap<String, usize>,
}

impl KeyLines {
    /// Notes where every key of a document is.
    pub(super) fn new(file: &Path, text: &str, document: &DeTable<'_>) -> Self {
        let mut places = Self {
            file: file.to_owned(),
            lines: BTreeMap::new(),
        };
        places.add_table(text, "", document);
        places
    }

    /// Returns a fault of a key. A key that is not written has the line of its section.
    pub fn fault(&self, severity: Weight, path: &str, what: &str, cure: &str) -> Fault {
        Fault {
            file: self.file.clone(),
            line: self.line_of(path),
            key: without_numbers(path),
            severity,
            what: what.replace('\n', " "),
            cure: cure.to_owned(),
        }
    }

    /// Returns whether a key is written.
    pub fn has(&self, path: &str) -> bool {
        self.lines.contains_key(path)
    }

    /// Returns the line of a key, or of the nearest section that it belongs to; 1 if there is none.
    fn line_of(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return 1,
            }
        }
    }

    /// Notes the keys of a table.
    fn add_table(&mut self, text: &str, before: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = joined(before, key.get_ref());
            self.lines.insert(path.clone(), line_at(text, &key.span()));
            match value.get_ref() {
                DeValue::Table(table) => self.add_table(text, &path, table),
                DeValue::Array(list) => {
                    for (i, item) in list.iter().enumerate() {
                        let path = format!("{path}[{i}]");
                        self.lines.insert(path.clone(), line_at(text, &item.span()));
                        if let DeValue::Table(table) = item.get_ref() {
                            self.add_table(text, &path, table);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// Returns the path of a key below another.
pub(super) fn joined(before: &str, key: &str) -> String {
    match before {
        "" => key.to_owned(),
        _ => format!("{before}.{key}"),
    }
}

/// Returns a path as people read it: without the numbers of sections and items, which the line says.
fn without_numbers(path: &str) -> String {
    let mut text = String::new();
    let mut is_number = false;
    for character in path.chars() {
        match character {
            '[' => is_number = true,
            ']' => is_number = false,
            _ if !is_number => text.push(character),
            _ => {}
        }
    }
    text
}

/// Returns the line, from 1, of a place in a text.
pub(super) fn line_at(text: &str, span: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..span.start).unwrap_or_default();
    before.iter().filter(|octet| **octet == b'\n').count() + 1
}
