//! The words of shared statements that only SQLite has, and what PostgreSQL says instead.
//!
//! The wings write them by the names of `sqlite/dialect.rs`, so that SQLite takes a statement as it stands. PostgreSQL
//! gets it through [`translate`] once a connection and text.

use std::fmt::Write;

/// Words of a statement, and what stands for them.
const WORDS: [(&str, &str); 5] = [
    ("cross join", "join"),
    ("lower(hex(randomblob(8)))", "random_digits(16)"),
    ("lower(hex(randomblob(12)))", "random_digits(24)"),
    (" or fail ", " "),
    // Its index has no room for the texts themselves.
    (
        "on conflict (version_id, kind, before, after)",
        "on conflict (version_id, kind, md5(before), md5(after))",
    ),
];

/// The rows of a list: what SQLite calls them, and the mark after a list of texts.
const LIST: &str = "rarray(";
const OF_TEXTS: &str = " /* of texts */";
/// Follows a number that is compared with the data of records.
const AS_DATA: &str = " /* as data */";
/// Names the index that SQLite reads a table by.
const BY_INDEX: &str = "indexed by ";

/// Returns a statement as PostgreSQL takes it.
pub(super) fn translate(sql: &str) -> String {
    let mut text = numbered(sql);
    for (word, instead) in WORDS {
        text = text.replace(word, instead);
    }
    while let Some(at) = text.find(BY_INDEX) {
        let name = text[at + BY_INDEX.len()..].find(|it: char| !is_of_name(it));
        let end = name.map_or(text.len(), |length| at + BY_INDEX.len() + length);
        text.replace_range(at..end, "");
    }
    while let Some(at) = text.find(AS_DATA) {
        let from = text[..at].rfind(|it: char| !is_of_name(it) && !matches!(it, '.' | '$'));
        let from = from.map_or(0, |before| before + 1);
        let data = format!("number_as_data({})", &text[from..at]);
        text.replace_range(from..at + AS_DATA.len(), &data);
    }
    while let Some(at) = text.find(LIST) {
        let end = text[at..]
            .find(')')
            .map_or(text.len(), |length| at + length + 1);
        let parameter = text[at + LIST.len()..end].to_owned();
        let rest = &text[end..];
        let (list, length) = match rest.strip_prefix(OF_TEXTS) {
            Some(_) => (format!("texts({parameter}"), OF_TEXTS.len()),
            None => (format!("numbers({parameter}"), 0),
        };
        text.replace_range(at..end + length, &list);
    }
    text
}

/// Returns whether a character belongs to a name.
fn is_of_name(it: char) -> bool {
    it.is_ascii_alphanumeric() || it == '_'
}

/// Returns a statement with `$1` for `?` and `?1`.
fn numbered(sql: &str) -> String {
    let (mut text, mut largest, mut is_quoted) = (String::with_capacity(sql.len() + 16), 0, false);
    let mut rest = sql.chars().peekable();
    while let Some(it) = rest.next() {
        is_quoted ^= it == '\'';
        if it != '?' || is_quoted {
            text.push(it);
            continue;
        }
        let mut number = 0_usize;
        while let Some(digit) = rest.peek().and_then(|it| it.to_digit(10)) {
            number = number * 10 + digit as usize;
            rest.next();
        }
        if number == 0 {
            number = largest + 1;
        }
        largest = largest.max(number);
        // Writing to a text cannot fail.
        let _ = write!(text, "${number}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_sqlite_become_those_of_postgresql() {
        for (sqlite, postgres) in [
            (
                "select a from b where c = ? and d = ?",
                "select a from b where c = $1 and d = $2",
            ),
            ("select ?2, ?1, '?'", "select $2, $1, '?'"),
            (
                "from rarray(?1) w cross join t on t.id = w.value",
                "from numbers($1) w join t on t.id = w.value",
            ),
            ("from rarray(?) /* of texts */ w", "from texts($1) w"),
            ("from t indexed by t_by_a where a", "from t  where a"),
            (
                "on h.id /* as data */ = r.rdata",
                "on number_as_data(h.id) = r.rdata",
            ),
        ] {
            assert_eq!(translate(sqlite), postgres);
        }
    }
}
