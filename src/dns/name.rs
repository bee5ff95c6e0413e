//! Domain names: absolute, lower case, with A-labels.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most octets of a name on the wire, root label included (RFC 1035 §3.1).
pub const NAME_OCTETS_MAX: usize = 255;
/// The most octets of one label (RFC 1035 §3.1).
pub const LABEL_OCTETS_MAX: usize = 63;

/// An absolute domain name in canonical form (RFC 4034 §6.2): uncompressed wire octets, ASCII
/// letters lower case.
///
/// Invariant: 1 to [`NAME_OCTETS_MAX`] octets, ends with the root label, every label 1 to
/// [`LABEL_OCTETS_MAX`] octets. Its order is the canonical order of RFC 4034 §6.1: by labels from
/// the right.
///
/// The octets are shared: judging a domain copies its names thousands of times.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Arc<[u8]>);

/// Why octets or text are no domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than 255 octets on the wire.
    #[error("name is longer than 255 octets")]
    TooLong,
    /// A label longer than 63 octets.
    #[error("label {0:?} is longer than 63 octets")]
    LabelTooLong(String),
    /// Two dots in a row, or a dot at the start.
    #[error("name {0:?} has an empty label")]
    EmptyLabel(String),
    /// A backslash without the three digits or the character it announces.
    #[error("name {0:?} has an incomplete escape")]
    BadEscape(String),
    /// A label with non-ASCII characters that IDNA does not allow.
    #[error("label {0:?} is not a valid U-label")]
    BadUnicode(String),
    /// Wire octets that do not end where the name ends.
    #[error("wire form of a name is malformed")]
    BadWire,
    /// Nothing was written.
    #[error("name is empty")]
    Empty,
    /// White space, a control character, or what ends a word of a master file (RFC 1035 §5.1), unescaped.
    #[error("{0:?} is not one name: {1:?} ends a word")]
    NotOneWord(String, char),
    /// `@`, which stands for an origin (RFC 1035 §5.1).
    #[error("@ stands for an origin, and there is none here; write the whole name")]
    NoOrigin,
    /// An address where a name is wanted.
    #[error("{0} is an address")]
    Address(String),
    /// A pasted text that may mean more than one name, or none: the text, and why with the cure.
    #[error("{0:?} may mean more than one name: {1}")]
    Ambiguous(String, String),
}

impl Name {
    /// Returns the root.
    pub fn root() -> Self {
        Self(Arc::new([0]))
    }

    /// Takes uncompressed wire octets and lower-cases them.
    ///
    /// # Errors
    ///
    /// [`NameError::BadWire`] or [`NameError::TooLong`]; compression pointers are malformed here.
    pub fn from_wire(octets: &[u8]) -> Result<Self, NameError> {
        if octets.len() > NAME_OCTETS_MAX {
            return Err(NameError::TooLong);
        }
        let mut at = 0;
        loop {
            let length = *octets.get(at).ok_or(NameError::BadWire)? as usize;
            // The two high bits are those of a pointer (RFC 1035 §4.1.4), or stand for nothing.
            if length > LABEL_OCTETS_MAX {
                return Err(NameError::BadWire);
            }
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
        if at != octets.len() {
            return Err(NameError::BadWire);
        }
        let mut lower = [0; NAME_OCTETS_MAX];
        let lower = &mut lower[..octets.len()];
        lower.copy_from_slice(octets);
        // Length octets are below 64 and so never mistaken for upper-case letters' range 65..=90.
        lower.make_ascii_lowercase();
        Ok(Self(Arc::from(&*lower)))
    }

    /// Parses presentation form (RFC 1035 §5.1), with or without the final dot, with `\DDD` and
    /// `\X` escapes. Labels with non-ASCII characters are U-labels and become A-labels (UTS 46).
    ///
    /// # Errors
    ///
    /// Every variant of [`NameError`] but `BadWire`, `Address` and `Ambiguous`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self::root());
        }
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text == "@" {
            return Err(NameError::NoOrigin);
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in split_labels(text)? {
            let octets = label_octets(text, &label)?;
            if octets.len() > LABEL_OCTETS_MAX {
                return Err(NameError::LabelTooLong(label.into_owned()));
            }
            if octets.is_empty() {
                return Err(NameError::EmptyLabel(text.to_owned()));
            }
            wire.push(octets.len() as u8);
            wire.extend_from_slice(&octets);
        }
        wire.push(0);
        if wire.len() > NAME_OCTETS_MAX {
            return Err(NameError::TooLong);
        }
        wire.make_ascii_lowercase();
        Ok(Self(wire.into()))
    }

    /// Returns the wire octets, root label included.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.len() == 1
    }

    /// Returns the labels from left to right, without the root label. Empty for the root.
    pub fn labels(&self) -> Labels<'_> {
        Labels { rest: &self.0 }
    }

    /// Returns how many labels the name has, without the root label.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// Returns the name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let length = self.0[0] as usize;
        (length > 0).then(|| Self(self.0[1 + length..].into()))
    }

    /// Returns the name and those above it, up to the apex of its zone; none for a name outside of the zone.
    pub fn up_to(&self, apex: &Self) -> impl Iterator<Item = Self> + use<> {
        let apex = apex.clone();
        std::iter::successors(Some(self.clone()), Self::parent)
            .take_while(move |name| name.is_at_or_below(&apex))
    }

    /// Returns the name of the last `count` labels, the root label not counted; `None` if there are fewer.
    pub fn last_labels(&self, count: usize) -> Option<Self> {
        let mut at = 0;
        for _ in 0..self.label_count().checked_sub(count)? {
            at += 1 + self.0[at] as usize;
        }
        Some(Self(self.0[at..].into()))
    }

    /// Returns whether the name is `ancestor` or below it.
    pub fn is_at_or_below(&self, ancestor: &Self) -> bool {
        wire_is_at_or_below(&self.0, &ancestor.0)
    }

    /// Returns whether the name is below `ancestor` and not `ancestor` itself.
    pub fn is_below(&self, ancestor: &Self) -> bool {
        self.0.len() > ancestor.0.len() && self.is_at_or_below(ancestor)
    }

    /// Returns the name relative to `apex` with its labels in reverse, `bad.ns1` for
    /// `ns1.bad.example.` in `example.`; empty for the apex itself.
    ///
    /// Below-name ranges are prefix ranges of this key. `None` if the name is not in the zone.
    pub fn relative_key(&self, apex: &Self) -> Option<String> {
        let mut key = String::with_capacity(self.0.len());
        push_relative_key(&self.0, &apex.0, &mut key).then_some(key)
    }

    /// Returns the name that [`Name::relative_key`] gave `key` for.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the key was not made by [`Name::relative_key`] with this apex.
    pub fn from_relative_key(key: &str, apex: &Self) -> Result<Self, NameError> {
        if key.is_empty() {
            return Ok(apex.clone());
        }
        let mut wire = Vec::with_capacity(key.len() + 1 + apex.0.len());
        for label in key.rsplit('.') {
            let octets = label_octets(key, label)?;
            wire.push(octets.len() as u8);
            wire.extend_from_slice(&octets);
        }
        wire.extend_from_slice(&apex.0);
        Self::from_wire(&wire)
    }

    /// Returns the label with this number, counted from the front.
    fn label(&self, number: usize) -> &[u8] {
        let mut at = 0;
        for _ in 0..number {
            at += 1 + self.0[at] as usize;
        }
        &self.0[at + 1..at + 1 + self.0[at] as usize]
    }

    /// Returns the presentation form without the final dot; `.` for the root.
    pub fn to_text_without_dot(&self) -> String {
        let mut text = self.to_string();
        if text.len() > 1 {
            text.pop();
        }
        text
    }
}

/// Returns whether the canonical wire name `name` is `ancestor` or below it.
pub(crate) fn wire_is_at_or_below(name: &[u8], ancestor: &[u8]) -> bool {
    if name.len() < ancestor.len() {
        return false;
    }
    let boundary = name.len() - ancestor.len();
    let mut at = 0;
    while at < boundary {
        at += 1 + name[at] as usize;
    }
    // Only at the border of a label: `badexample.` is not below `example.`.
    at == boundary && &name[boundary..] == ancestor
}

/// Appends the key of the canonical wire name `name` relative to `apex`, as [`Name::relative_key`] has it. Returns false, and
/// appends nothing, for a name that is not in the zone.
pub(crate) fn push_relative_key(name: &[u8], apex: &[u8], key: &mut String) -> bool {
    if !wire_is_at_or_below(name, apex) {
        return false;
    }
    // A label has at least two octets, so that there are no more.
    let mut begins = [0_u8; NAME_OCTETS_MAX / 2];
    let (mut count, mut at) = (0, 0);
    while at < name.len() - apex.len() {
        begins[count] = at as u8;
        count += 1;
        at += 1 + name[at] as usize;
    }
    for (i, begin) in begins[..count].iter().rev().enumerate() {
        if i > 0 {
            key.push('.');
        }
        let begin = *begin as usize;
        push_label(key, &name[begin + 1..=begin + name[begin] as usize]);
    }
    true
}

/// The labels of a name from left to right.
pub struct Labels<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&length, rest) = self.rest.split_first()?;
        if length == 0 {
            return None;
        }
        let (label, rest) = rest.split_at(length as usize);
        self.rest = rest;
        Some(label)
    }
}

/// Splits presentation form at its unescaped dots; a final dot ends the name.
fn split_labels(text: &str) -> Result<Vec<Cow<'_, str>>, NameError> {
    let is_plain_text = |octet: u8| octet == b'.' || is_plain(octet);
    if text.bytes().all(is_plain_text) {
        let labels = text.strip_suffix('.').unwrap_or(text).split('.');
        let labels: Vec<Cow<'_, str>> = labels.map(Cow::Borrowed).collect();
        return without_empty_labels(text, labels);
    }
    let mut labels = Vec::new();
    let mut label = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                // The escape stays for now: an escaped dot ends no label.
                label.push('\\');
                label.push(
                    characters
                        .next()
                        .ok_or_else(|| NameError::BadEscape(text.to_owned()))?,
                );
            }
            ' ' | '"' | '(' | ')' | ';' => {
                return Err(NameError::NotOneWord(text.to_owned(), character));
            }
            _ if character.is_ascii_control() => {
                return Err(NameError::NotOneWord(text.to_owned(), character));
            }
            // UTS 46 counts these as dots in a U-label.
            '.' | '\u{3002}' | '\u{ff0e}' | '\u{ff61}' => {
                labels.push(Cow::Owned(std::mem::take(&mut label)));
            }
            _ => label.push(character),
        }
    }
    if !label.is_empty() {
        labels.push(Cow::Owned(label));
    }
    without_empty_labels(text, labels)
}

/// Returns the labels of a text, unless one of them is empty.
fn without_empty_labels<'a>(
    text: &str,
    labels: Vec<Cow<'a, str>>,
) -> Result<Vec<Cow<'a, str>>, NameError> {
    match labels.iter().any(|label| label.is_empty()) {
        true => Err(NameError::EmptyLabel(text.to_owned())),
        false => Ok(labels),
    }
}

/// Turns one label of presentation form into its octets.
fn label_octets<'a>(text: &str, label: &'a str) -> Result<Cow<'a, [u8]>, NameError> {
    if label.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(label.as_bytes()));
    }
    if !label.is_ascii() {
        let bad = || NameError::BadUnicode(label.to_owned());
        let ascii = idna::domain_to_ascii(label).map_err(|_| bad())?;
        // UTS 46 maps some characters to a blank, a dot or a parenthesis: more than one label, or one word.
        let is_label = ascii
            .bytes()
            .all(|it| it.is_ascii_graphic() && !b"\"();.".contains(&it));
        return if is_label {
            Ok(Cow::Owned(ascii.into_bytes()))
        } else {
            Err(bad())
        };
    }
    let bytes = label.as_bytes();
    let mut octets = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            octets.push(bytes[at]);
            at += 1;
            continue;
        }
        let next = *bytes
            .get(at + 1)
            .ok_or_else(|| NameError::BadEscape(text.to_owned()))?;
        if !next.is_ascii_digit() {
            octets.push(next);
            at += 2;
            continue;
        }
        let value = label
            .get(at + 1..at + 4)
            .and_then(|digits| digits.parse::<u16>().ok())
            // `\256` to `\999` are three digits, and no octet.
            .and_then(|value| u8::try_from(value).ok())
            .ok_or_else(|| NameError::BadEscape(text.to_owned()))?;
        octets.push(value);
        at += 4;
    }
    Ok(Cow::Owned(octets))
}

/// Appends a label in presentation form: plain host name characters as they are, all else `\DDD`.
fn push_label(text: &mut String, label: &[u8]) {
    let mut rest = label;
    while let Some(at) = rest.iter().position(|octet| !is_plain(*octet)) {
        push_plain(text, &rest[..at]);
        text.push_str(&format!("\\{:03}", rest[at]));
        rest = &rest[at + 1..];
    }
    push_plain(text, rest);
}

/// Returns a label in presentation form.
pub(crate) fn label_text(label: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(label) {
        Ok(text) if label.iter().all(|octet| is_plain(*octet)) => Cow::Borrowed(text),
        _ => {
            let mut text = String::new();
            push_label(&mut text, label);
            Cow::Owned(text)
        }
    }
}

/// Returns whether an octet stands for itself in presentation form.
fn is_plain(octet: u8) -> bool {
    PLAIN[octet as usize]
}

/// The octets that stand for themselves: a table, since every octet of every name passes here.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let plain = b"abcdefghijklmnopqrstuvwxyz0123456789-_*/+=!#%&~^?:";
    let mut i = 0;
    while i < plain.len() {
        table[plain[i] as usize] = true;
        i += 1;
    }
    table
};

/// Appends plain octets.
fn push_plain(text: &mut String, octets: &[u8]) {
    text.push_str(str::from_utf8(octets).expect("plain octets are ASCII"));
}

impl fmt::Display for Name {
    /// Writes presentation form with the final dot, every unusual octet as `\DDD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        let mut text = String::with_capacity(self.0.len());
        for label in self.labels() {
            push_label(&mut text, label);
            text.push('.');
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl Ord for Name {
    /// Compares in canonical order (RFC 4034 §6.1).
    fn cmp(&self, other: &Self) -> Ordering {
        if self == other {
            return Ordering::Equal;
        }
        let (left, right) = (self.label_count(), other.label_count());
        // From the label next to the root. Names have few labels, so that walking to each from the front
        // costs less than noting where they begin.
        for i in 1..=left.min(right) {
            match self.label(left - i).cmp(other.label(right - i)) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        left.cmp(&right)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("the test's name is valid")
    }

    #[test]
    fn two_words_are_not_one_name() {
        for text in [
            "ns1.a.test. 192.0.2.1",
            "ns1.a.test. ns2.a.test.",
            " a.test",
            "a.test ",
            "a\tb.test",
            "a\nb.test",
            "\"a.test\"",
            "(a.test)",
            "a.test;x",
            "a\u{7f}.test",
            "a\u{a0}b.test",
            "a\u{2024}b.test",
        ] {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(Name::parse("@"), Err(NameError::NoOrigin));
        assert_eq!(name("a\\ b\\;c.test").to_string(), "a\\032b\\059c.test.");
    }

    #[test]
    fn last_labels_are_a_name_at_or_above() {
        let name = Name::parse("a.b.example").expect("valid");
        let last = |count| name.last_labels(count).map(|it| it.to_string());
        assert_eq!(last(0).as_deref(), Some("."));
        assert_eq!(last(2).as_deref(), Some("b.example."));
        assert_eq!(last(3).as_deref(), Some("a.b.example."));
        assert_eq!(last(4), None);
    }

    #[test]
    fn textual_forms_of_one_name_are_equal() {
        assert_eq!(name("BAD.Example"), name("bad.example."));
        assert_eq!(name("bücher.example"), name("xn--bcher-kva.example."));
        assert_eq!(name(r"a\.b.example").to_string(), r"a\046b.example.");
        assert_eq!(name(r"a\046b.example"), name(r"a\.b.example"));
    }

    #[test]
    fn malformed_names_are_refused() {
        for text in [
            "",
            "a..b",
            ".a",
            "a\\",
            "a\\25",
            "a\\256.",
            "xn--\u{fffd}.example",
            &"a".repeat(64),
            &"abc.".repeat(64),
        ] {
            assert!(Name::parse(text).is_err(), "{text}");
        }
        assert_eq!(Name::from_wire(&[1, b'a']), Err(NameError::BadWire));
        assert_eq!(Name::from_wire(&[0xc0, 0]), Err(NameError::BadWire));
    }

    #[test]
    fn canonical_order_is_by_labels_from_the_right() {
        let mut names: Vec<Name> = [
            "zabc.a.example",
            "example",
            r"\200.z.example",
            "a.example",
            "yljkjljk.a.example",
            "*.z.example",
            "z.a.example",
        ]
        .map(name)
        .into();
        names.sort();
        let sorted: Vec<String> = names.iter().map(Name::to_string).collect();
        assert_eq!(
            sorted,
            [
                "example.",
                "a.example.",
                "yljkjljk.a.example.",
                "z.a.example.",
                "zabc.a.example.",
                "*.z.example.",
                r"\200.z.example."
            ]
        );
    }

    #[test]
    fn suffix_of_octets_is_not_an_ancestor() {
        assert!(name("ns1.bad.example").is_at_or_below(&name("bad.example")));
        assert!(!name("notbad.example").is_at_or_below(&name("bad.example")));
        assert!(name("bad.example").is_below(&Name::root()));
        assert!(!name("bad.example").is_below(&name("bad.example")));
    }

    proptest! {
        #[test]
        fn text_wire_and_key_round_trip(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..6)) {
            let mut wire = Vec::new();
            for label in &labels {
                wire.push(label.len() as u8);
                wire.extend_from_slice(label);
            }
            wire.extend_from_slice(b"\x07example\x00");
            let it = Name::from_wire(&wire).expect("generated within the limits");
            prop_assert_eq!(&Name::parse(&it.to_string()).expect("own text parses"), &it);
            let apex = name("example.");
            let key = it.relative_key(&apex).expect("below the apex");
            prop_assert_eq!(Name::from_relative_key(&key, &apex).expect("own key parses"), it);
        }
    }
}
