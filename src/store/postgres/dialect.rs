//! The words of shared statements that only SQLite has, and what PostgreSQL says instead.
//!
//! The wings write them by the names of `sqlite/dialect.rs`, so that SQLite takes a statement as it stands. PostgreSQL
//! gets it through [`translate`] once a connection and text. The migrations of both engines go through [`translate_tables`].

use std::fmt::Write;

/// Words of a statement, and what stands for them.
const WORDS: [(&str, &str); 6] = [
    (AS_HOST, HOST_OF_DATA),
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

/// Follows the data of a name server's record, and makes it the name server's number: PostgreSQL sorts and compares that
/// many times faster than a `varbit`, and its index is smaller.
pub(super) const HOST_OF_DATA: &str = "::bit(31)::integer";

/// The rows of a list: what SQLite calls them, and the mark after a list of texts.
const LIST: &str = "rarray(";
const OF_TEXTS: &str = " /* of texts */";
/// Follows the data of a name server's record that is compared as the number of the name server.
const AS_HOST: &str = " /* as host */";
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

/// What SQLite calls the type of a column, and what PostgreSQL does. Texts are ordered by their octets.
const TYPES: [(&str, &str); 5] = [
    ("integer", "bigint"),
    ("real", "double precision"),
    ("text", "text collate \"C\""),
    ("blob", "bytea"),
    ("any", "varbit"),
];
/// What only tables of SQLite's are.
const OPTIONS: [&str; 2] = [") strict, without rowid", ") strict"];

/// Returns a migration of both engines as PostgreSQL takes it.
pub(super) fn translate_tables(sql: &str) -> String {
    let lines = sql.lines().map(|line| match line.split_once("--") {
        Some((statement, _comment)) => statement.trim_end(),
        None => line,
    });
    let mut text = lines.collect::<Vec<_>>().join("\n");
    for options in OPTIONS {
        text = text.replace(options, ")");
    }
    // What is quoted stays as it is.
    let parts = text.split('\'').enumerate().map(|(place, part)| {
        let is_quoted = place % 2 == 1;
        if is_quoted {
            return part.to_owned();
        }
        let words = part.split_inclusive(|it: char| !is_of_name(it));
        words.map(with_type).collect()
    });
    parts.collect::<Vec<String>>().join("'")
}

/// Returns a word and what ends it, with PostgreSQL's name of the type if the word is one.
fn with_type(word: &str) -> String {
    let name = word.trim_end_matches(|it: char| !is_of_name(it));
    match TYPES.iter().find(|(sqlite, _)| *sqlite == name) {
        Some((_, postgres)) => format!("{postgres}{}", &word[name.len()..]),
        None => word.to_owned(),
    }
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
    fn types_of_sqlite_become_those_of_postgresql_and_what_is_quoted_stays() {
        let sqlite = "-- A table of text.\n\ncreate table a (   -- any\n    b integer not null,\n    integer_c text check (c in ('text', 'any')),\n    d blob,\n    primary key (b)\n) strict, without rowid;\nalter table a add column e any;\n";
        let postgres = "\n\ncreate table a (\n    b bigint not null,\n    integer_c text collate \"C\" check (c in ('text', 'any')),\n    d bytea,\n    primary key (b)\n);\nalter table a add column e varbit;";
        assert_eq!(translate_tables(sqlite), postgres);
    }

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
            (
                "where r.rdata /* as host */ = ?",
                "where r.rdata::bit(31)::integer = $1",
            ),
        ] {
            assert_eq!(translate(sqlite), postgres);
        }
    }
}
