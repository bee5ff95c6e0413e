//! The template, read as what it documents: its sections and keys, each with what is said of it.

use crate::config::TEMPLATE;

/// A line of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateLine {
    /// What is said of what follows: a paragraph.
    Prose(String),
    /// The start of a section, with its brackets.
    Section(String),
    /// A key.
    Key {
        /// Its name.
        name: String,
        /// Its default, or an example, as TOML.
        value: String,
        /// What is said of it; may be empty.
        note: String,
    },
}

/// Returns what the template documents, in its order. What is commented out counts as if it were not.
pub fn read_template() -> Vec<TemplateLine> {
    let mut found = Vec::new();
    let mut paragraph = String::new();
    for line in TEMPLATE.lines() {
        let text = line.strip_prefix("# ").unwrap_or(line);
        let read = read_section(text).or_else(|| read_key(text));
        match read {
            // A comment above the first blank line, or above a section.
            None if !text.is_empty() => {
                let gap = if paragraph.is_empty() { "" } else { " " };
                paragraph = paragraph + gap + text;
            }
            _ => {
                if !paragraph.is_empty() {
                    found.push(TemplateLine::Prose(std::mem::take(&mut paragraph)));
                }
                found.extend(read);
            }
        }
    }
    found
}

/// Reads the start of a section; what is said behind it is a paragraph of its own in the template.
fn read_section(text: &str) -> Option<TemplateLine> {
    let end = text.rfind(']')?;
    let name = &text[..=end];
    let is_section = name.starts_with('[')
        && name
            .chars()
            .all(|it| it.is_ascii_lowercase() || "[]._".contains(it));
    is_section.then(|| TemplateLine::Section(name.to_owned()))
}

/// Reads a key with its value and what is said of it.
fn read_key(text: &str) -> Option<TemplateLine> {
    let (name, rest) = text.split_once(" = ")?;
    let is_key = name
        .chars()
        .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_');
    if !is_key {
        return None;
    }
    let mut is_quoted = false;
    let end = rest.find(|it: char| {
        is_quoted ^= it == '"';
        it == '#' && !is_quoted
    });
    let (value, note) = rest.split_at(end.unwrap_or(rest.len()));
    Some(TemplateLine::Key {
        name: name.to_owned(),
        value: value.trim().to_owned(),
        note: note.trim_start_matches('#').trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_of_the_template_has_its_value_apart_from_its_note() {
        let lines = read_template();
        let key = |name: &str, value: &str, note: &str| TemplateLine::Key {
            name: name.to_owned(),
            value: value.to_owned(),
            note: note.to_owned(),
        };
        assert!(lines.contains(&key(
            "repeat",
            "\"7d\"",
            "reminds of a case that nobody has taken up; left out: never"
        )));
        assert!(lines.contains(&key("timezone", "\"UTC\"", "")));
        assert!(lines.contains(&TemplateLine::Section("[detect.nameservers]".to_owned())));
        let keys = lines
            .iter()
            .filter(|it| matches!(it, TemplateLine::Key { .. }));
        assert!(keys.count() > 150, "keys are lost");
        let is_lost =
            |it: &TemplateLine| matches!(it, TemplateLine::Prose(text) if text.contains(" = \""));
        assert!(!lines.iter().any(is_lost), "a key is taken for prose");
    }
}
