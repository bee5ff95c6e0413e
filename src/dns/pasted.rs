//! Names and addresses as people paste them: defanged, out of a URL, a mail address or a sentence.
//!
//! Mails, tickets and lists of indicators write them so that no click leads there: `hxxp`, `[.]`, `(dot)`, `[:]//`
//! (what CyberChef, MISP and iocextract write and read). Every form that can mean only one name is read as that name.
//! What could mean another one is an error that says how to write what is meant.

use crate::dns::{Name, NameError};

/// What stands around an indicator in pairs.
const PAIRS: [(char, char); 9] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('<', '>'),
    ('(', ')'),
    ('[', ']'),
    ('{', '}'),
    ('\u{201c}', '\u{201d}'),
    ('\u{ab}', '\u{bb}'),
];

/// What ends a sentence or a list after an indicator, and is no part of it.
const CLOSING: [char; 9] = [
    ',', ';', '!', '"', '\'', '`', '\u{201d}', '\u{2019}', '\u{bb}',
];

/// Words between brackets, and what they stand for.
const BRACKETED: [(&str, &str); 9] = [
    (".", "."),
    ("dot", "."),
    (":", ":"),
    ("::", "::"),
    ("://", "://"),
    ("/", "/"),
    ("//", "//"),
    ("@", "@"),
    ("at", "@"),
];

/// Returns the name, address or prefix that a pasted text holds, as plain text: `bad.example`, `*.bad.example`,
/// `192.0.2.0/24`, `2001:db8::1`.
///
/// # Errors
///
/// [`NameError::Ambiguous`] if it may mean more than one, or holds what no name has.
pub fn refang(text: &str) -> Result<String, NameError> {
    let plain = join_spelt(&unbracket(unwrap(text)));
    let plain = unwrap(&plain);
    if plain.is_empty() {
        return Err(NameError::Empty);
    }
    if plain == "." {
        return Ok(plain.to_owned());
    }
    let (rest, had_scheme) = without_scheme(plain);
    let authority = match without_path(rest, had_scheme)? {
        Host::Whole(text) => return Ok(text.to_owned()),
        Host::Before(text) => text,
    };
    let host = match authority.rsplit_once('@') {
        Some((user, _)) if user.contains('@') && !had_scheme => {
            return Err(ambiguous(text, "it holds @ twice"));
        }
        Some((_, host)) => host,
        None => authority,
    };
    let host = without_port(text, unwrap(host))?;
    let bare = host.strip_suffix('.').unwrap_or(&host);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(bare.to_owned());
    }
    check_host(text, &host)?;
    Ok(host)
}

/// What is left of a text without its path.
enum Host<'a> {
    /// A prefix, or a name that has a slash in a label: nothing was cut, and nothing is left to cut.
    Whole(&'a str),
    /// What stood before the path.
    Before(&'a str),
}

/// Takes away blanks, quotes and brackets around a text, and what ends a sentence after it.
fn unwrap(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let before = text;
        for (open, close) in PAIRS {
            if let Some(inner) = text
                .strip_prefix(open)
                .and_then(|it| it.strip_suffix(close))
                && !has_outer(inner, open, close)
                && inner.trim() != "."
                // An IPv6 address in a URL has its brackets, and loses them with its port.
                && !inner.is_empty()
            {
                text = inner.trim();
            }
            if open != close {
                let count = |it| text.matches(it).count();
                if count(open) < count(close) {
                    text = text.strip_suffix(close).unwrap_or(text).trim_end();
                } else if count(open) > count(close) {
                    text = text.strip_prefix(open).unwrap_or(text).trim_start();
                }
            }
        }
        text = text.trim_end_matches(CLOSING).trim();
        if let Some(quoted) = text.strip_prefix(['"', '\'', '`', '\u{201c}', '\u{ab}']) {
            text = quoted;
        }
        if text == before {
            return text;
        }
    }
}

/// Returns whether brackets inside a text close one that was opened before it: `a) (b` in `(a) (b)`.
fn has_outer(inner: &str, open: char, close: char) -> bool {
    if open == close {
        return inner.contains(open);
    }
    let mut depth = 0;
    for character in inner.chars() {
        if character == open {
            depth += 1;
        } else if character == close {
            if depth == 0 {
                return true;
            }
            depth -= 1;
        }
    }
    false
}

/// Replaces words in brackets of any kind by what they stand for, `\.` too, and brackets of which one is missing.
fn unbracket(text: &str) -> String {
    let mut plain = text.replace("\\.", ".").replace(":\\\\", "://");
    for (open, close) in [('[', ']'), ('(', ')'), ('{', '}'), ('<', '>')] {
        let mut read = String::with_capacity(plain.len());
        let mut rest = plain.as_str();
        while let Some(at) = rest.find(open) {
            let inner = &rest[at + 1..];
            let word = inner.split_once(close).and_then(|(word, after)| {
                let word = word.trim().to_ascii_lowercase();
                let known = BRACKETED.iter().find(|(written, _)| *written == word);
                known.map(|(_, meant)| (*meant, after))
            });
            read.push_str(&rest[..at]);
            rest = match word {
                Some((meant, after)) => {
                    read.push_str(meant);
                    after
                }
                // `bad[.example`: whoever wrote it left the other one out.
                None if inner.starts_with('.') => inner,
                None => {
                    read.push(open);
                    inner
                }
            };
        }
        read.push_str(rest);
        plain = read.replace(&format!(".{close}"), ".");
    }
    plain
}

/// Replaces dots and at signs that are spelt as words between blanks.
fn join_spelt(text: &str) -> String {
    let mut joined = String::with_capacity(text.len());
    let mut words = text.split_whitespace().peekable();
    let mut glue = true;
    while let Some(word) = words.next() {
        let sign = match word.to_ascii_lowercase().as_str() {
            "dot" | "." => Some('.'),
            "at" | "@" => Some('@'),
            _ => None,
        };
        match sign {
            Some(sign) if !joined.is_empty() && words.peek().is_some() => {
                joined.push(sign);
                glue = true;
            }
            _ => {
                if !glue {
                    joined.push(' ');
                }
                joined.push_str(word);
                glue = false;
            }
        }
    }
    joined
}

/// Takes away what stands before `://`, whatever word it is, or `mailto:`. Returns whether there was something.
fn without_scheme(text: &str) -> (&str, bool) {
    if let Some((scheme, rest)) = text.split_once("://")
        && !scheme.contains(['/', '?', '#', '@', '.', ' '])
    {
        return (rest, true);
    }
    if let Some(rest) = text.strip_prefix("//") {
        return (rest, true);
    }
    match text.split_at_checked("mailto:".len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("mailto:") => (rest, false),
        _ => (text, false),
    }
}

/// Takes away path, query and fragment, but not the length of a prefix nor the slash of an RFC 2317 name.
fn without_path(text: &str, had_scheme: bool) -> Result<Host<'_>, NameError> {
    let Some(at) = text.find(['/', '?', '#']) else {
        return Ok(Host::Before(text));
    };
    let (before, after) = (&text[..at], &text[at + 1..]);
    if !had_scheme && text[at..].starts_with('/') {
        let is_length = !after.is_empty() && after.bytes().all(|it| it.is_ascii_digit());
        if is_length && before.parse::<std::net::IpAddr>().is_ok() {
            return Ok(Host::Whole(text));
        }
        if has_slash_label(text) {
            return Ok(Host::Whole(text));
        }
        if !before.contains(['.', ':', '@']) && after.contains('.') {
            return Err(ambiguous(
                text,
                "a slash is in a label or ends the host; write \\047 for one in a label, or https:// before a host",
            ));
        }
    }
    Ok(Host::Before(before))
}

/// Returns whether the only slash of a name is that of a label such as `0/25` below `in-addr.arpa` (RFC 2317 §4).
fn has_slash_label(text: &str) -> bool {
    let lower = text.trim_end_matches('.').to_ascii_lowercase();
    let is_number = |it: &str| !it.is_empty() && it.bytes().all(|octet| octet.is_ascii_digit());
    let is_range = |label: &str| {
        let ends = label.split_once('/');
        ends.is_some_and(|(first, length)| is_number(first) && is_number(length))
    };
    lower.ends_with(".in-addr.arpa")
        && lower.matches('/').count() == 1
        && lower.split('.').any(is_range)
}

/// Takes away a port, and the brackets of an IPv6 address.
fn without_port(text: &str, host: &str) -> Result<String, NameError> {
    if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest
            .split_once(']')
            .ok_or_else(|| ambiguous(text, "a bracket is not closed"))?;
        let is_port = port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|it| it.bytes().all(|octet| octet.is_ascii_digit()));
        return if is_port {
            Ok(address.to_owned())
        } else {
            Err(ambiguous(text, "after ] there is no port"))
        };
    }
    match host.split_once(':') {
        None => Ok(host.to_owned()),
        Some((name, port)) if port.bytes().all(|octet| octet.is_ascii_digit()) => {
            Ok(name.to_owned())
        }
        Some(_) if host.parse::<std::net::Ipv6Addr>().is_ok() => Ok(host.to_owned()),
        Some(_) => Err(ambiguous(
            text,
            "a colon is followed by no port; write \\058 for one in a label",
        )),
    }
}

/// Checks that a host holds nothing that is rather part of what was around it.
fn check_host(text: &str, host: &str) -> Result<(), NameError> {
    if host.is_empty() {
        return Err(NameError::Empty);
    }
    let mut characters = host.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let digits: String = characters.by_ref().take(3).collect();
                if digits.len() != 3 || !digits.bytes().all(|it| it.is_ascii_digit()) {
                    return Err(ambiguous(
                        text,
                        "a backslash is not followed by three digits",
                    ));
                }
            }
            '-' | '_' | '.' | '*' => {}
            it if it.is_ascii_alphanumeric() || !it.is_ascii() => {}
            it => {
                let what = match it {
                    ' ' => "it holds a blank; give one at a time".to_owned(),
                    it => format!(
                        "it holds {it:?}; write \\{:03} if that is part of the name",
                        u32::from(it)
                    ),
                };
                return Err(ambiguous(text, what));
            }
        }
    }
    let bare = host.strip_suffix('.').unwrap_or(host);
    let last = bare.rsplit('.').next().unwrap_or(bare);
    if last.bytes().all(|it| it.is_ascii_digit()) && !last.is_empty() {
        return Err(ambiguous(
            text,
            "its last label is a number, and it is no address",
        ));
    }
    Ok(())
}

/// Returns the error for a text that may mean more than one name, or none.
fn ambiguous(text: &str, why: impl Into<String>) -> NameError {
    NameError::Ambiguous(text.to_owned(), why.into())
}

impl Name {
    /// Parses what a person may paste: defanged (`bad[.]example`), a URL (`hxxps://bad.example:8080/x`), a mail
    /// address, a U-label, any case, with or without the final dot.
    ///
    /// # Errors
    ///
    /// As [`Name::parse`]; [`NameError::Ambiguous`] for what may be more than one name; [`NameError::Address`].
    pub fn parse_pasted(text: &str) -> Result<Self, NameError> {
        let host = refang(text)?;
        let bare = host.split('/').next().unwrap_or(&host);
        if bare.parse::<std::net::IpAddr>().is_ok() {
            return Err(NameError::Address(host));
        }
        Self::parse(&host)
    }
}

impl Name {
    /// Parses what [`Name::parse_pasted`] does, perhaps with `*.` before it for what lies below. Returns whether that
    /// was there, and the name.
    ///
    /// # Errors
    ///
    /// As [`Name::parse_pasted`].
    pub fn parse_wild(text: &str) -> Result<(bool, Self), NameError> {
        let host = refang(text)?;
        match host.strip_prefix("*.") {
            Some(below) => Ok((true, Self::parse_pasted(below)?)),
            None => Ok((false, Self::parse_pasted(&host)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts what a pasted text is read as.
    fn check(pasted: &str, expected: &str) {
        assert_eq!(refang(pasted).as_deref(), Ok(expected), "{pasted}");
    }

    #[test]
    fn every_usual_form_of_one_name_is_that_name() {
        let forms = include_str!("../../tests/fixtures/faults/defanged.txt").lines();
        let more = [
            "bad.example",
            " BAD.example. ",
            "hxxps://bad[.]example/path?x",
            "hXXp://bad.example",
            "hxxp[s]://bad.example",
            "h**p://bad.example/",
            "meow://bad.example",
            "ftp://user:secret@bad.example:21/x@y",
            "https://good.example@bad.example/",
            "bad{.}example",
            "bad[ . ]example",
            "bad [.] example",
            "bad(DOT)example",
            "bad{dot}example",
            "bad dot example",
            "bad[.example",
            "bad.]example",
            "hxxp[://]bad[.]example",
            "hxxp:[//]bad.example",
            "hxxp:\\\\bad.example",
            "//bad.example/x",
            "bad.example?x=http://good.example/",
            "bad.example/to/http://good.example/",
            "bad.example#top",
            "\"bad.example\"",
            "'bad[.]example',",
            "<https://bad.example/>",
            "(bad.example)",
            "[bad.example]",
            "\u{201c}bad.example\u{201d}",
            "bad.example;",
            "bad.example)",
            "bad.example/in-addr",
            "abuse@bad.example",
            "abuse[at]bad[.]example",
            "abuse at bad dot example",
            "<abuse@bad.example>",
            "mailto:abuse@bad.example?subject=x",
            "bad.example:",
        ];
        let wanted = Name::parse("bad.example").expect("valid");
        for pasted in forms.chain(more) {
            assert_eq!(Name::parse_pasted(pasted), Ok(wanted.clone()), "{pasted}");
        }
    }

    #[test]
    fn addresses_are_read_in_their_usual_forms() {
        check("192[.]0[.]2[.]1", "192.0.2.1");
        check("192.0.2.1:8080", "192.0.2.1");
        check("hxxp://192.0.2.1/24", "192.0.2.1");
        check("192[.]0.2.0/24", "192.0.2.0/24");
        check("[2001:db8::1]:53", "2001:db8::1");
        check("http://[2001:db8::1]/x", "2001:db8::1");
        check("2001[:]db8[::]1", "2001:db8::1");
        check("2001:db8::/32", "2001:db8::/32");
        let address = Name::parse_pasted("192.0.2.1.");
        assert!(matches!(address, Err(NameError::Address(_))), "{address:?}");
    }

    #[test]
    fn what_may_mean_another_name_is_an_error() {
        for pasted in [
            "",
            "  ",
            "bad.example good.example",
            "bad.example,good.example",
            "bad=example.test",
            "url=bad.example",
            "bad.example\\path",
            "a/b.example",
            "bad.example:http",
            "a@good.example@bad.example",
            "[bad.example](https://good.example)",
            "192.0.2.999",
            "bad..example",
            "bad dot",
        ] {
            let read = Name::parse_pasted(pasted);
            assert!(read.is_err(), "{pasted:?} is read as {read:?}");
        }
    }

    #[test]
    fn names_that_only_look_pasted_stay_what_they_are() {
        check("*.bad.example", "*.bad.example");
        check("*[.]bad[.]example", "*.bad.example");
        check("0/25.2.0.192.in-addr.arpa", "0/25.2.0.192.in-addr.arpa");
        check("bad-dot-example.test", "bad-dot-example.test");
        check("dot.example", "dot.example");
        check("_dmarc.bad.example", "_dmarc.bad.example");
        check("a\\046b.example", "a\\046b.example");
        check(".", ".");
    }
}
