//! Lines of a master file in the form that registries publish: an owner, perhaps a TTL and the class, a usual type, its data.
//!
//! All of a registry's lines are of this form, so that they are cut with one look at each octet. What is anything else is
//! none, and left to who reads whatever RFC 1035 §5.1 allows.

use crate::dns::{LABEL_OCTETS_MAX, NAME_OCTETS_MAX, RecordType};

/// The most words of the data of a usual type: those of a DS.
pub(super) const PLAIN_DATA_WORDS: usize = 4;
/// The most words of a line: owner, TTL, class, type, data.
const WORDS_MAX: usize = 4 + PLAIN_DATA_WORDS;
/// The most digits of a TTL that is below 2^31 in any case.
const TTL_DIGITS_MAX: usize = 9;

/// A line, cut.
pub(super) struct PlainLine<'a> {
    /// The owner as it is written.
    pub owner: &'a [u8],
    pub ttl: Option<u32>,
    pub rtype: RecordType,
    /// How many octets it has, its end included.
    pub length: usize,
    words: [&'a [u8]; WORDS_MAX],
    /// Which of them are the data.
    data: (usize, usize),
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

impl<'a> PlainLine<'a> {
    /// Cuts the first line of `text`; `None` if it is of another form, or its end is not there.
    pub fn cut(text: &'a [u8]) -> Option<Self> {
        // A control line, an owner that goes on, an empty line.
        if matches!(text.first()?, b'$' | b' ' | b'\t' | b'\r' | b'\n' | b'@') {
            return None;
        }
        let mut words: [&[u8]; WORDS_MAX] = [b""; WORDS_MAX];
        let (mut count, mut begin, mut is_in_word) = (0, 0, true);
        let mut length = 0;
        for (at, octet) in text.iter().enumerate() {
            let class = CLASSES[*octet as usize];
            match (class, is_in_word) {
                (Class::Word, true) | (Class::Blank, false) => continue,
                (Class::Word, false) => {
                    (begin, is_in_word) = (at, true);
                    continue;
                }
                (Class::Other, _) => return None,
                (Class::Blank | Class::End, true) => {
                    *words.get_mut(count)? = &text[begin..at];
                    count += 1;
                    is_in_word = false;
                }
                (Class::End, false) => {}
            }
            if class == Class::End {
                length = at + 1;
                break;
            }
        }
        if length == 0 {
            return None;
        }
        let (mut next, mut ttl, mut has_class) = (1, None, false);
        let rtype = loop {
            let word = *words[..count].get(next)?;
            next += 1;
            match word {
                b"NS" | b"ns" => break RecordType::Ns,
                b"A" | b"a" => break RecordType::A,
                b"AAAA" | b"aaaa" => break RecordType::Aaaa,
                b"DS" | b"ds" => break RecordType::Ds,
                b"IN" | b"in" if !has_class => has_class = true,
                word if ttl.is_none() => ttl = Some(parse_digits(word)?),
                _ => return None,
            }
        };
        let wanted = match rtype {
            RecordType::Ds => PLAIN_DATA_WORDS,
            _ => 1,
        };
        (count - next == wanted).then_some(Self {
            owner: words[0],
            ttl,
            rtype,
            length,
            words,
            data: (next, count),
        })
    }

    /// Returns the words of the data.
    pub fn data(&self) -> &[&'a [u8]] {
        &self.words[self.data.0..self.data.1]
    }
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

/// Writes a name without escapes and with ASCII letters only into canonical wire form; a relative one gets the origin.
/// Returns false, and leaves `wire` as it was, for another or what is no name.
pub(super) fn push_plain_name(word: &[u8], origin: &[u8], wire: &mut Vec<u8>) -> bool {
    if word.len() >= NAME_OCTETS_MAX || matches!(word, b"" | b"." | b"@") {
        return false;
    }
    // One octet for each of the word's, where a dot becomes the length of the label behind it.
    let mut name = [0_u8; NAME_OCTETS_MAX];
    let (mut label, mut is_plain) = (0, true);
    for (at, octet) in word.iter().enumerate() {
        if *octet == b'.' {
            let length = at - label;
            is_plain &= (1..=LABEL_OCTETS_MAX).contains(&length);
            name[label] = length as u8;
            label = at + 1;
        } else {
            is_plain &= octet.is_ascii() && *octet != b'\\';
            name[at + 1] = octet.to_ascii_lowercase();
        }
    }
    let length = word.len() - label;
    let is_absolute = length == 0;
    is_plain &= length <= LABEL_OCTETS_MAX;
    let rest = if is_absolute { &[0][..] } else { origin };
    let octets = if is_absolute { label } else { word.len() + 1 };
    if !is_plain || octets + rest.len() > NAME_OCTETS_MAX {
        return false;
    }
    if !is_absolute {
        name[label] = length as u8;
    }
    wire.clear();
    wire.extend_from_slice(&name[..octets]);
    wire.extend_from_slice(rest);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert_eq!(
                PlainLine::cut(text.as_bytes()).is_some(),
                is_plain,
                "{text:?}"
            );
        }
    }
}
