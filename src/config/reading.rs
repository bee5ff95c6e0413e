//! Reads the file: every key that cannot be read is a fault of its own, and the others are read all the same.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

use crate::config::fault::{Fault, KeyLines, Weight, joined, line_at};
use crate::config::torn::find_torn;
use crate::config::written::{
    CatalogSection, FeedSection, KindSection, ProbeSection, SourceKeys, SourceSection,
    TransferSection, Written, ZonefileSection,
};

/// The most keys of one section that are told as faults.
const FAULTS_MAX: usize = 1000;
/// How near a known key must be to be named.
const NEAR_MIN: f64 = 0.8;
/// The keys that stand above the first section.
const TOP_KEYS: [&str; 1] = ["timezone"];
/// The sections.
const SECTIONS: [&str; 21] = [
    "timezone",
    "store",
    "log",
    "key",
    "source",
    "zone",
    "enrich",
    "retention",
    "limits",
    "notify",
    "metrics",
    "canary",
    "web",
    "trust",
    "detect",
    "report",
    "smtp",
    "dkim",
    "recipient",
    "webhook",
    "events",
];
/// The sections of which there may be several.
const LISTS: [&str; 5] = ["key", "source", "zone", "recipient", "webhook"];
/// The keys of every source.
const SOURCE_KEYS: [&str; 5] = ["name", "kind", "every", "jitter", "cron"];
/// The kinds of sources.
const KINDS: [&str; 5] = ["transfer", "catalog", "zonefile", "feed", "probe"];

/// Words of the parser, and ours.
const PARSER_WORDS: [(&str, &str); 9] = [
    ("`", ""),
    (" as i128", ""),
    (" as u128", ""),
    ("integer number overflowed", "the number is too large"),
    ("expected f64", "expected a number"),
    ("expected u16", "expected a whole number of 0 to 65535"),
    ("expected u32", "expected a whole number of 0 to 4294967295"),
    (
        "expected u64",
        "expected a whole number of 0 to 18446744073709551615",
    ),
    ("expected a sequence", "expected a list"),
];

/// The keys that name a file or a folder.
pub(super) const PATH_KEYS: [&str; 15] = [
    "path",
    "secret_file",
    "domains",
    "ca_file",
    "asn",
    "hosting_asns",
    "shared_ranges",
    "registrations",
    "textfile",
    "token_file",
    "users_file",
    "templates",
    "bounces",
    "password_file",
    "key_file",
];

/// Reads one file.
pub(super) struct Reader<'a> {
    text: &'a str,
    /// Where each key is.
    pub places: KeyLines,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// The keys, by their paths, that could not be read: that they are missing is no fault of its own.
    pub unread: BTreeSet<String>,
    /// A bracket is not closed, so that nothing that was read means what it seems to.
    pub is_torn: bool,
}

impl<'a> Reader<'a> {
    /// Reads a file.
    pub fn read(path: &std::path::Path, text: &'a str) -> (Self, Written) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut reader = Self {
            text,
            places: KeyLines::new(path, text, document.get_ref()),
            faults: Vec::new(),
            unread: BTreeSet::new(),
            is_torn: false,
        };
        if let Some(torn) = find_torn(text).filter(|_| !errors.is_empty()) {
            let missing = torn.missing;
            let what = format!("a bracket is opened here and not closed: {missing} is missing");
            let cure = format!(
                "write {missing} where it ends; whatever else is wrong in the file is told then"
            );
            let mut fault = reader.places.fault(Weight::Error, "", &what, &cure);
            fault.line = torn.line;
            reader.faults.push(fault);
            reader.is_torn = true;
            return (reader, Written::default());
        }
        let mut repeated = 0..0;
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            let is_duplicate = error.message().starts_with("duplicate key");
            // The keys of a section that is there twice are not faults of their own.
            if is_duplicate && repeated.contains(&span.start) {
                continue;
            }
            if is_duplicate && let Some(section) = section_at(text, span.start) {
                repeated = section;
            }
            let (what, cure) = reader.worded_syntax(error.message(), &span);
            let mut fault = reader.places.fault(Weight::Error, "", &what, &cure);
            fault.line = line_at(text, &span);
            reader.faults.push(fault);
        }
        // What follows from a broken line is no fault of the other keys.
        reader.faults.dedup_by_key(|fault| fault.line);
        let written = reader.written(document.into_inner());
        (reader, written)
    }

    /// Reads the sections.
    fn written(&mut self, mut root: DeTable<'_>) -> Written {
        let timezone = self.top_text(&mut root, "timezone");
        let written = Written {
            timezone,
            store: self.section(&mut root, "store").unwrap_or_default(),
            log: self.section(&mut root, "log").unwrap_or_default(),
            key: self.sections(&mut root, "key"),
            source: self.sources(&mut root),
            zone: self.sections(&mut root, "zone"),
            enrich: self.section(&mut root, "enrich").unwrap_or_default(),
            retention: self.section(&mut root, "retention"),
            limits: self.section(&mut root, "limits").unwrap_or_default(),
            notify: self.section(&mut root, "notify"),
            metrics: self.section(&mut root, "metrics"),
            canary: self.section(&mut root, "canary"),
            web: self.section(&mut root, "web"),
            trust: self.section(&mut root, "trust").unwrap_or_default(),
            detect: self.section(&mut root, "detect").unwrap_or_default(),
            report: self.section(&mut root, "report"),
            smtp: self.section(&mut root, "smtp"),
            dkim: self.section(&mut root, "dkim"),
            recipient: self.sections(&mut root, "recipient"),
            webhook: self.sections(&mut root, "webhook"),
            events: self.section(&mut root, "events"),
        };
        // Keys below a broken heading have no section for that reason alone.
        if self.faults.iter().any(|fault| fault.key.is_empty()) {
            return written;
        }
        for (key, value) in &root {
            self.refuse_top(key.get_ref(), value.get_ref());
        }
        written
    }

    /// Tells of a section, or of a key above the first one, that is not known.
    fn refuse_top(&mut self, key: &str, value: &DeValue<'_>) {
        let is_section = match value {
            DeValue::Table(_) => true,
            DeValue::Array(list) => list.iter().any(|item| item.get_ref().is_table()),
            _ => false,
        };
        let near = nearest(key, if is_section { &SECTIONS } else { &TOP_KEYS });
        match (is_section, near) {
            (true, Some(near)) => {
                let near = match LISTS.contains(&near) {
                    true => format!("[[{near}]]"),
                    false => format!("[{near}]"),
                };
                let cure = format!("did you mean {near}?");
                self.fault(key, "is no section that is known", &cure);
            }
            (true, None) => {
                let cure = "`fluxwatch config template` has every section";
                self.fault(key, "is no section that is known", cure);
            }
            (false, near) => {
                let cure = match near {
                    Some(near) => format!("did you mean {near}?"),
                    None => "write it below the [section] that it belongs to".to_owned(),
                };
                self.fault(key, "is no key that stands above the first section", &cure);
            }
        }
    }

    /// Returns what the parser says of a line that is no TOML, and the cure.
    fn worded_syntax(&self, message: &str, span: &Range<usize>) -> (String, String) {
        if message.starts_with("duplicate key") {
            let key = self.text.get(span.clone()).unwrap_or_default().trim();
            return (
                format!("duplicate key {key}"),
                "write it once: a section stands once, with all its keys".to_owned(),
            );
        }
        let line = self.text.lines().nth(line_at(self.text, span) - 1);
        if let Some((key, word)) = line.and_then(bare_text) {
            return (
                format!("{word} is no value"),
                format!("write a text in quotes: {key} = \"{word}\""),
            );
        }
        let cure =
            "a line is [section], [[section]], key = \"text\", key = 5 or key = [\"a\", \"b\"]";
        (message.replace('`', ""), cure.to_owned())
    }

    /// Reads a text above the first section.
    fn top_text(&mut self, root: &mut DeTable<'_>, key: &str) -> Option<String> {
        let value = root.remove(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            other => {
                let what = format!("is {}, not a text", other.type_str());
                self.fault(key, &what, "write it in quotes");
                None
            }
        }
    }

    /// Reads one section, if it is there.
    fn section<T: DeserializeOwned + Default>(
        &mut self,
        root: &mut DeTable<'_>,
        name: &str,
    ) -> Option<T> {
        let value = root.remove(name)?;
        let span = value.span();
        match value.into_inner() {
            DeValue::Table(table) => Some(self.table(table, span, name)),
            _ => {
                self.fault(name, "is not a section", &format!("write [{name}] once"));
                None
            }
        }
    }

    /// Returns the tables of an array of sections, with their paths.
    fn items<'t>(
        &mut self,
        root: &mut DeTable<'t>,
        name: &str,
    ) -> Vec<(DeTable<'t>, Range<usize>, String)> {
        let Some(value) = root.remove(name) else {
            return Vec::new();
        };
        let DeValue::Array(list) = value.into_inner() else {
            self.fault(
                name,
                "is not a list of sections",
                &format!("write [[{name}]]"),
            );
            return Vec::new();
        };
        let list: DeArray<'t> = list;
        let mut items = Vec::new();
        for (i, item) in list.into_iter().enumerate() {
            let (path, span) = (format!("{name}[{i}]"), item.span());
            match item.into_inner() {
                DeValue::Table(table) => items.push((table, span, path)),
                _ => self.fault(&path, "is not a section", &format!("write [[{name}]]")),
            }
        }
        items
    }

    /// Reads sections of which there may be several.
    fn sections<T: DeserializeOwned + Default>(
        &mut self,
        root: &mut DeTable<'_>,
        name: &str,
    ) -> Vec<T> {
        let items = self.items(root, name).into_iter();
        items
            .map(|(table, span, path)| self.table(table, span, &path))
            .collect()
    }

    /// Reads the sources, each by its kind. One whose kind is not known is left out.
    fn sources(&mut self, root: &mut DeTable<'_>) -> Vec<Option<SourceSection>> {
        let items = self.items(root, "source").into_iter();
        items
            .map(|(table, span, path)| self.source(table, span, &path))
            .collect()
    }

    /// Reads one source.
    fn source(
        &mut self,
        table: DeTable<'_>,
        span: Range<usize>,
        path: &str,
    ) -> Option<SourceSection> {
        let (mut common, mut own) = (DeTable::new(), DeTable::new());
        for (key, value) in table {
            // Two halves, since the keys of the one are known to every kind and those of the other only to its own.
            let is_common = SOURCE_KEYS.contains(&key.get_ref().as_ref());
            let half = if is_common { &mut common } else { &mut own };
            half.insert(key, value);
        }
        let common: SourceKeys = self.table(common, span.clone(), path);
        let kind = match common.kind.as_deref() {
            Some("transfer") => KindSection::Transfer(self.kind(own, span, path, "transfer")),
            Some("catalog") => KindSection::Catalog(self.kind(own, span, path, "catalog")),
            Some("zonefile") => KindSection::Zonefile(self.kind(own, span, path, "zonefile")),
            Some("feed") => KindSection::Feed(self.kind(own, span, path, "feed")),
            Some("probe") => KindSection::Probe(self.kind(own, span, path, "probe")),
            Some(other) => {
                let cure = match nearest(other, &KINDS) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("use one of {}", KINDS.join(", ")),
                };
                self.fault(
                    &format!("{path}.kind"),
                    &format!("{other:?} is no kind of source"),
                    &cure,
                );
                return None;
            }
            None => {
                let kind = format!("{path}.kind");
                // One that is there and could not be read was told of.
                if !self.unread.contains(&kind) {
                    self.fault(
                        &kind,
                        "is missing",
                        &format!("use one of {}", KINDS.join(", ")),
                    );
                }
                return None;
            }
        };
        Some(SourceSection { common, kind })
    }

    /// Reads the keys of a source that its kind has. A key of another kind is told as such.
    fn kind<T: DeserializeOwned + Default>(
        &mut self,
        mut table: DeTable<'_>,
        span: Range<usize>,
        path: &str,
        kind: &str,
    ) -> T {
        let keys: Vec<String> = table
            .iter()
            .map(|(key, _)| key.get_ref().to_string())
            .collect();
        for key in keys {
            let others = kinds_with(&key);
            if !others.is_empty() && !others.contains(&kind) {
                table.remove(key.as_str());
                self.fault(
                    &joined(path, &key),
                    &format!("a source of kind {kind:?} has no such key"),
                    &format!("it is a key of {}", others.join(" and ")),
                );
            }
        }
        self.table(table, span, path)
    }

    /// Reads a table. A key that cannot be read is told and left out, then the rest is read again.
    fn table<T: DeserializeOwned + Default>(
        &mut self,
        mut table: DeTable<'_>,
        span: Range<usize>,
        path: &str,
    ) -> T {
        self.refuse_empty_paths(&mut table, path);
        // The parser stops at the first fault; people want all of them at once.
        for _ in 0..FAULTS_MAX {
            let document = Deserializer::from(Spanned::new(span.clone(), table.clone()));
            let error = match T::deserialize(document) {
                Ok(read) => return read,
                Err(error) => error,
            };
            let at = error.span().unwrap_or(span.clone());
            let Some(removed) = remove_at(&mut table, &at, path) else {
                // No key can be taken out for it, so that reading again would only find it again.
                self.fault(path, error.message(), "");
                return T::default();
            };
            self.tell(&removed, &at, error.message());
        }
        T::default()
    }

    /// Tells of the paths of a table that are empty, and leaves them out: joined to the folder of the file, each
    /// would name that folder.
    fn refuse_empty_paths(&mut self, table: &mut DeTable<'_>, path: &str) {
        let mut empty = Vec::new();
        for (key, value) in table.iter_mut() {
            let key = key.get_ref().to_string();
            match value.get_mut() {
                DeValue::Table(inner) => self.refuse_empty_paths(inner, &joined(path, &key)),
                DeValue::String(text) if text.is_empty() && PATH_KEYS.contains(&key.as_str()) => {
                    empty.push(key);
                }
                _ => {}
            }
        }
        for key in empty {
            table.remove(key.as_str());
            let cure = "name a file or folder, or leave the key out";
            self.fault(&joined(path, &key), "is empty", cure);
        }
    }

    /// Tells of a key that the parser does not take.
    fn tell(&mut self, path: &str, at: &Range<usize>, message: &str) {
        let key = path.rsplit('.').next().unwrap_or(path);
        let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let is_unknown = message.starts_with("unknown field");
        let known = words.get(1..).unwrap_or_default();
        let (what, cure) = match is_unknown {
            true if TOP_KEYS.contains(&key) => (
                "is no key of this section".to_owned(),
                format!("{key} stands above the first [section]"),
            ),
            true => {
                let known: Vec<&str> =
                    if path.starts_with("source[") && path.matches('.').count() == 1 {
                        known.iter().copied().chain(SOURCE_KEYS).collect()
                    } else {
                        known.to_vec()
                    };
                let near = nearest(key, &known);
                if let Some(near) = near {
                    // That the key is missing under its own name is the same fault.
                    self.unread
                        .insert(joined(path.rsplit_once('.').map_or("", |it| it.0), near));
                }
                let cure = match near {
                    Some(near) => format!("did you mean {near}?"),
                    None if known.is_empty() => String::new(),
                    None => format!("the keys here are {}", known.join(", ")),
                };
                ("is no key that is known".to_owned(), cure)
            }
            false if message.contains("expected struct") => {
                let (what, _) = worded(message);
                let what = what.split("struct").next().unwrap_or_default();
                let cure = match key {
                    "tls" => "write tls = { server_name = \"primary.example\" }".to_owned(),
                    _ => format!("write [{path}] above its keys"),
                };
                (format!("{what}a table"), cure)
            }
            false => {
                let (what, cure) = worded(message);
                let near = words.first().and_then(|word| nearest(word, known));
                match near {
                    Some(near) => (what, format!("did you mean {near:?}?")),
                    None => (what, cure.to_owned()),
                }
            }
        };
        self.fault(path, &what, &cure);
        if let Some(fault) = self.faults.last_mut() {
            fault.line = line_at(self.text, at);
        }
    }

    /// Notes a fault.
    fn fault(&mut self, path: &str, what: &str, cure: &str) {
        self.unread.insert(path.to_owned());
        self.faults
            .push(self.places.fault(Weight::Error, path, what, cure));
    }
}

/// Returns the key and the value of a line whose value is a text without quotes.
fn bare_text(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.split('#').next()?.trim());
    let begins = value.chars().next()?;
    let is_text = begins.is_alphabetic() || begins == '/' || begins == '.';
    let has_mark = value.contains(['"', '\'', '[', ']', '{', '}', '=']);
    (is_text && !has_mark && !["true", "false", "inf", "nan"].contains(&value))
        .then_some((key, value))
}

/// Returns the place of the section whose heading is on the line of `at`; `None` if that line is no heading.
fn section_at(text: &str, at: usize) -> Option<Range<usize>> {
    let start = text[..at].rfind('\n').map_or(0, |it| it + 1);
    let is_heading = |line: &str| line.trim_start().starts_with('[');
    let mut lines = text[start..].split_inclusive('\n');
    let mut end = start + lines.next().filter(|line| is_heading(line))?.len();
    end += lines
        .take_while(|line| !is_heading(line))
        .map(str::len)
        .sum::<usize>();
    Some(start..end)
}

/// Returns the parser's words in ours, and the cure of a wrong type.
fn worded(message: &str) -> (String, &'static str) {
    let cure = match message.split("expected ").nth(1).unwrap_or_default() {
        rest if rest.starts_with("a string") && message.contains("type: integer") => {
            "write it in quotes, a span with its unit: \"5m\""
        }
        rest if rest.starts_with("a string") => "write it in quotes",
        rest if rest.starts_with("a sequence") => "write it as a list: [\"...\"]",
        rest if rest.starts_with("a boolean") => "write true or false, without quotes",
        rest if rest.starts_with('u') || rest.starts_with('i') => {
            "write a whole number, without quotes"
        }
        rest if rest.starts_with('f') => "write a number, without quotes",
        _ if message.contains("overflowed") => "write a smaller number",
        _ => "",
    };
    let plain = PARSER_WORDS
        .iter()
        .fold(message.to_owned(), |text, (theirs, ours)| {
            text.replace(theirs, ours)
        });
    (plain, cure)
}

/// Returns the kinds of source that have a key of their own.
fn kinds_with(key: &str) -> Vec<&'static str> {
    let has = [
        ("transfer", knows::<TransferSection>(key)),
        ("catalog", knows::<CatalogSection>(key)),
        ("zonefile", knows::<ZonefileSection>(key)),
        ("feed", knows::<FeedSection>(key)),
        ("probe", knows::<ProbeSection>(key)),
    ];
    has.into_iter()
        .filter(|(_, has)| *has)
        .map(|(kind, _)| kind)
        .collect()
}

/// Returns whether a section has a key.
fn knows<T: DeserializeOwned>(key: &str) -> bool {
    let mut table = DeTable::new();
    table.insert(
        Spanned::new(0..0, key.to_owned().into()),
        Spanned::new(0..0, DeValue::Boolean(true)),
    );
    let read = T::deserialize(Deserializer::from(Spanned::new(0..0, table)));
    read.err()
        .is_none_or(|error| !error.message().starts_with("unknown field"))
}

/// Removes the innermost key that a place belongs to, and returns its path.
fn remove_at(table: &mut DeTable<'_>, at: &Range<usize>, path: &str) -> Option<String> {
    let holds = |span: Range<usize>| span.start <= at.start && at.end <= span.end;
    for (key, value) in table.iter_mut() {
        if let DeValue::Table(inner) = value.get_mut() {
            let found = remove_at(inner, at, &joined(path, key.get_ref()));
            if found.is_some() {
                return found;
            }
        }
    }
    let found = table
        .iter()
        .find(|(key, value)| holds(key.span()) || holds(value.span()))
        .map(|(key, _)| key.get_ref().to_string())?;
    table.remove(found.as_str());
    Some(joined(path, &found))
}

/// Returns the known word that a word is nearest to, if one is near.
pub(super) fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    let likeness = |other: &str| strsim::jaro_winkler(word, other);
    let best = known
        .iter()
        .copied()
        .max_by(|left, right| likeness(left).total_cmp(&likeness(right)))?;
    (likeness(best) >= NEAR_MIN).then_some(best)
}
