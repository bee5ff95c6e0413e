//! A bracket that is opened and never closed: what stands below it is read as its content, so that the parser finds faults
//! in lines that are right, and none in the one that is wrong.

/// Where a bracket stands that is not closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Torn {
    /// Its line, from 1.
    pub line: usize,
    /// What closes it.
    pub missing: &'static str,
}

/// Returns the first bracket that is still open where the next section or key begins, or where the file ends.
pub(super) fn find_torn(text: &str) -> Option<Torn> {
    let mut open: Vec<Torn> = Vec::new();
    // The mark that ends a text of several lines.
    let mut quote: Option<&'static str> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if quote.is_none() {
            if let Some(heading) = unclosed_heading(line) {
                return Some(open.into_iter().next().unwrap_or(Torn {
                    line: number,
                    missing: heading,
                }));
            }
            if !open.is_empty() && (is_key(line) || is_heading(line)) {
                break;
            }
        }
        let value = match quote.is_none() && open.is_empty() {
            // Brackets of a heading are not those of a value.
            true if line.trim_start().starts_with('[') => "",
            _ => line,
        };
        scan(value, number, &mut open, &mut quote);
    }
    open.into_iter().next()
}

/// Notes the brackets that a line opens, and forgets those that it closes.
fn scan(line: &str, number: usize, open: &mut Vec<Torn>, quote: &mut Option<&'static str>) {
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        if let Some(mark) = *quote {
            if mark.starts_with('"') && first == '\\' {
                rest = rest.get(2..).unwrap_or_default();
            } else if let Some(after) = rest.strip_prefix(mark) {
                *quote = None;
                rest = after;
            } else {
                rest = &rest[first.len_utf8()..];
            }
            continue;
        }
        if let Some(mark) = ["\"\"\"", "'''", "\"", "'"]
            .into_iter()
            .find(|mark| rest.starts_with(mark))
        {
            *quote = Some(mark);
            rest = &rest[mark.len()..];
            continue;
        }
        match first {
            '#' => break,
            '[' => open.push(Torn {
                line: number,
                missing: "]",
            }),
            '{' => open.push(Torn {
                line: number,
                missing: "}",
            }),
            ']' | '}' => drop(open.pop()),
            _ => {}
        }
        rest = &rest[first.len_utf8()..];
    }
    // A text of one line ends with it.
    if quote.is_some_and(|mark| mark.len() == 1) {
        *quote = None;
    }
}

/// Returns what a line lacks that begins as a heading and does not end as one.
fn unclosed_heading(line: &str) -> Option<&'static str> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let (name, whole) = match line.strip_prefix("[[") {
        Some(name) => (name, "]]"),
        None => (line.strip_prefix('[')?, "]"),
    };
    let word = name.trim_end_matches(']');
    let is_name = !word.is_empty() && word.chars().all(is_of_key);
    (is_name && name.len() - word.len() < whole.len()).then_some(whole)
}

/// Returns whether a line is the heading of a section, and no item of a list.
fn is_heading(line: &str) -> bool {
    let line = line.trim_start();
    line.strip_prefix('[')
        .map(|rest| rest.strip_prefix('[').unwrap_or(rest))
        .and_then(|rest| rest.chars().next())
        .is_some_and(char::is_alphabetic)
}

/// Returns whether a line gives a key a value.
fn is_key(line: &str) -> bool {
    let Some((key, _)) = line.split_once('=') else {
        return false;
    };
    let key = key.trim();
    !key.is_empty() && key.chars().all(is_of_key)
}

/// Returns whether a key may have a character without quotes.
fn is_of_key(character: char) -> bool {
    character.is_ascii_alphanumeric() || "_-.".contains(character)
}

#[cfg(test)]
mod tests {
    use super::{Torn, find_torn};

    fn torn(text: &str) -> Option<(usize, &'static str)> {
        find_torn(text).map(|Torn { line, missing }| (line, missing))
    }

    #[test]
    fn bracket_is_found_where_it_was_opened() {
        let list =
            "[[source]]\nname = \"a\"\nprimaries = [\"127.0.0.1:1\"\nevery = \"5m\"\n[smtp]\n";
        assert_eq!(torn(list), Some((3, "]")));
        let lines = "[report]\ndesk = [\n  \"a@b.test\",\n  \"c@d.test\"\n[smtp]\nurl = \"x\"\n";
        assert_eq!(torn(lines), Some((2, "]")));
        assert_eq!(torn("[a]\ntls = { server_name = \"x\"\n"), Some((2, "}")));
        assert_eq!(torn("[[source]\nname = 1\n"), Some((1, "]]")));
        assert_eq!(torn("[report # of the desk\nname = 1\n"), Some((1, "]")));
    }

    #[test]
    fn brackets_that_are_closed_or_stand_in_texts_are_not_torn() {
        let whole = "[a]\nb = [\"[\", '{', \"\\\"[\"] # [\nc = [\n  [1, 2], # {\n  [3],\n]\nd = { e = 1 }\n[[f]]\ng = \"\"\"\nh = [\n\"\"\"\n";
        assert_eq!(torn(whole), None);
    }
}
