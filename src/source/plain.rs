//! Lines of a master file in the form that registries publish: an owner, perhaps a TTL and the class, a usual type, its data.
//!
//! All of a registry's lines are of this form, so that they are read with one look at each octet: names become wire form as
//! they are met. What is anything else is none, and left to who reads whatever RFC 1035 §5.1 allows.

use crate::dns::{LABEL_OCTETS_MAX, NAME_OCTETS_MAX, RecordType};

/// The most words of the data of a usual type: those of a DS.
pub(super) const PLAIN_DATA_WORDS: usize = 4;
/// The most digits of a TTL that is below 2^31 in any case.
const TTL_DIGITS_MAX: usize = 9;

/// Room for a name in wire form.
pub(super) type NameOctets = [u8; NAME_OCTETS_MAX];

/// What stands between the owner of a line and its data.
pub(super) struct PlainHead {
    pub ttl: Option<u32>,
    pub rtype: RecordType,
    /// How many octets it has, the blanks around it included.
    pub length: usize,
}

/// The data of a line whose type has no name in it.
pub(super) struct PlainData<'a> {
    words: [&'a [u8]; PLAIN_DATA_WORDS],
    count: usize,
    /// How many octets it has, the end of the line included.
    pub length: usize,
}

/// A name of a line.
pub(super) struct PlainName {
    /// How many octets it has in the line.
    pub length: usize,
    /// How many octets it has in wire form.
    pub wire_length: usize,
}

/// What an octet is for the form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Part of a word.
    Word,
    /// Between words.
    Blank,
    /// The end of a line.
    End,
    /// What is not of this form.
    Other,
}

/// The octets by what they are.
const CLASSES: [Class; 256] = {
    let mut table = [Class::Word; 256];
    table[b' ' as usize] = Class::Blank;
    table[b'\t' as usize] = Class::Blank;
    table[b'\r' as usize] = Class::Blank;
    table[b'\n' as usize] = Class::End;
    let others = b";()\"\\";
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = Class::Other;
        i += 1;
    }
    table
};

/// The octets of a name without escapes, in lower case; 0 for all others.
const LOWER: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 1;
    while i < 128 {
        if matches!(CLASSES[i], Class::Word) {
            table[i] = (i as u8).to_ascii_lowercase();
        }
        i += 1;
    }
    table
};

/// Returns whether an entry may be a line of the form: no control line, none of the owner before it, not empty.
pub(super) fn may_be_plain(text: &[u8]) -> bool {
    !matches!(
        text.first(),
        None | Some(b'$' | b' ' | b'\t' | b'\r' | b'\n' | b'@')
    )
}

/// Returns whether a word ends where `text` begins.
pub(super) fn ends_word(text: &[u8]) -> bool {
    text.first()
        .is_some_and(|octet| CLASSES[*octet as usize] == Class::Blank)
}

impl PlainHead {
    /// Reads what stands behind an owner; `None` if it is of another form.
    pub fn read(text: &[u8]) -> Option<Self> {
        let (mut at, mut ttl, mut has_class) = (blanks(text), None, false);
        loop {
            let word = cut_word(&text[at..])?;
            at += word.len();
            at += blanks(&text[at..]);
            let rtype = match word {
                b"NS" | b"ns" => RecordType::Ns,
                b"A" | b"a" => RecordType::A,
                b"AAAA" | b"aaaa" => RecordType::Aaaa,
                b"DS" | b"ds" => RecordType::Ds,
                b"IN" | b"in" if !has_class => {
                    has_class = true;
                    continue;
                }
                word if ttl.is_none() => {
                    ttl = Some(parse_digits(word)?);
                    continue;
                }
                _ => return None,
            };
            let length = at;
            return Some(Self { ttl, rtype, length });
        }
    }
}

impl<'a> PlainData<'a> {
    /// Reads the data of an address or of a DS, to the end of the line; `None` if it is of another form.
    pub fn read(text: &'a [u8], rtype: RecordType) -> Option<Self> {
        let mut words: [&[u8]; PLAIN_DATA_WORDS] = [b""; PLAIN_DATA_WORDS];
        let count = match rtype {
            RecordType::Ds => PLAIN_DATA_WORDS,
            _ => 1,
        };
        let mut at = 0;
        for place in &mut words[..count] {
            at += blanks(&text[at..]);
            *place = cut_word(&text[at..])?;
            at += place.len();
        }
        let length = at + line_end(&text[at..])?;
        Some(Self {
            words,
            count,
            length,
        })
    }

    /// Returns the words.
    pub fn words(&self) -> &[&'a [u8]] {
        &self.words[..self.count]
    }
}

/// Returns how many blanks `text` begins with.
fn blanks(text: &[u8]) -> usize {
    let is_blank = |octet: &&u8| CLASSES[**octet as usize] == Class::Blank;
    text.iter().take_while(is_blank).count()
}

/// Returns the word that `text` begins with, behind which a blank or the end of the line stands.
fn cut_word(text: &[u8]) -> Option<&[u8]> {
    let is_other = |octet: &u8| CLASSES[*octet as usize] != Class::Word;
    let end = text.iter().position(is_other)?;
    (end > 0 && CLASSES[text[end] as usize] != Class::Other).then_some(&text[..end])
}

/// Returns how many octets are left of a line of which everything was read; `None` if more stands there.
pub(super) fn line_end(text: &[u8]) -> Option<usize> {
    let at = blanks(text);
    (text.get(at) == Some(&b'\n')).then_some(at + 1)
}

/// Returns the seconds of a TTL that is written in a few digits.
fn parse_digits(word: &[u8]) -> Option<u32> {
    if word.is_empty() || word.len() > TTL_DIGITS_MAX {
        return None;
    }
    word.iter().try_fold(0_u32, |sum, octet| {
        let digit = octet.wrapping_sub(b'0');
        (digit < 10).then(|| sum * 10 + u32::from(digit))
    })
}

/// Reads the name without escapes and with ASCII letters only that `text` begins with into canonical wire form; a relative one
/// gets the origin. `None` for another or what is no name.
pub(super) fn read_plain_name(
    text: &[u8],
    origin: &[u8],
    name: &mut NameOctets,
) -> Option<PlainName> {
    // One octet for each of the word's, where a dot becomes the length of the label behind it.
    let (mut label, mut length) = (0, 0);
    for octet in text {
        let lower = LOWER[*octet as usize];
        if lower == 0 {
            break;
        }
        let at = length;
        length += 1;
        if lower == b'.' {
            let octets = at - label;
            if octets == 0 || octets > LABEL_OCTETS_MAX {
                return None;
            }
            name[label] = octets as u8;
            label = at + 1;
        }
        // Where a label begins this is written once more, by its length.
        *name.get_mut(at + 1)? = lower;
    }
    let octets = length - label;
    if length == 0 || octets > LABEL_OCTETS_MAX || text[..length] == *b"@" {
        return None;
    }
    let is_absolute = octets == 0;
    let (end, rest) = if is_absolute {
        (label, &[0][..])
    } else {
        name[label] = octets as u8;
        (length + 1, origin)
    };
    let wire_length = end + rest.len();
    name.get_mut(end..wire_length)?.copy_from_slice(rest);
    Some(PlainName {
        length,
        wire_length,
    })
}

/// Writes a word that is a name, as [`read_plain_name`] reads it. Returns false, and leaves `wire` as it was, for another.
pub(super) fn push_plain_name(word: &[u8], origin: &[u8], wire: &mut Vec<u8>) -> bool {
    let mut name = [0; NAME_OCTETS_MAX];
    let read = read_plain_name(word, origin, &mut name);
    let Some(read) = read.filter(|read| read.length == word.len()) else {
        return false;
    };
    wire.clear();
    wire.extend_from_slice(&name[..read.wire_length]);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a line as whoever reads a file does. Returns its length.
    fn reads(text: &[u8]) -> Option<usize> {
        let mut name = [0; NAME_OCTETS_MAX];
        if !may_be_plain(text) {
            return None;
        }
        let mut at = read_plain_name(text, b"\0", &mut name)?.length;
        if !ends_word(&text[at..]) {
            return None;
        }
        let head = PlainHead::read(&text[at..])?;
        at += head.length;
        at += match head.rtype {
            RecordType::Ns => {
                let host = read_plain_name(&text[at..], b"\0", &mut name)?.length;
                host + line_end(&text[at + host..])?
            }
            rtype => PlainData::read(&text[at..], rtype)?.length,
        };
        Some(at)
    }

    #[test]
    fn only_lines_of_the_form_are_cut() {
        for (text, is_plain) in [
            ("a NS ns1.b\n", true),
            ("a 60 IN NS ns1.b\r\nb", true),
            ("a in 60 DS 1 13 2 ab\n", true),
            ("a NS ns1.b", false),
            ("a NS ns1.b c\n", false),
            ("a DS 1 13 2 ab cd\n", false),
            ("a 1h NS ns1.b\n", false),
            ("a 60 60 NS ns1.b\n", false),
            ("a IN IN NS ns1.b\n", false),
            ("a CH NS ns1.b\n", false),
            ("a NS ns1.b ; c\n", false),
            ("a NS ( ns1.b )\n", false),
            ("a NS n\\s1.b\n", false),
            ("a NS \"ns1.b\"\n", false),
            ("$TTL 60\n", false),
            (" NS ns1.b\n", false),
            ("\n", false),
            ("a TXT b\n", false),
            ("a\n", false),
            ("a NS\n", false),
            ("a NS @\n", false),
            ("a NS .\n", false),
            ("a NS b..c\n", false),
            ("a..b NS c\n", false),
            ("a\u{fc} NS c\n", false),
            ("a NS b;c\n", false),
            ("a A 192.0.2.1;c\n", false),
            ("a\tA  192.0.2.1 \t\r\n", true),
        ] {
            assert_eq!(reads(text.as_bytes()).is_some(), is_plain, "{text:?}");
        }
    }
}
