//! Cuts master files (RFC 1035 §5.1) into entries and words: parentheses, quotes, comments, escapes.

use std::ops::Range;

/// A word of an entry: where it stands, and whether it stood in quotes.
pub(super) type Word = (Range<usize>, bool);

/// Cuts the first entry of `text` into words. Returns where the next entry begins and how many lines
/// this one has, or `None` if its end is not there yet.
pub(super) fn cut_entry(
    text: &[u8],
    words: &mut Vec<Word>,
) -> Result<Option<(usize, u64)>, String> {
    words.clear();
    let (mut at, mut depth, mut lines) = (0, 0_u32, 0_u64);
    while let Some(&octet) = text.get(at) {
        match octet {
            b'\n' => {
                lines += 1;
                at += 1;
                if depth == 0 {
                    return Ok(Some((at, lines)));
                }
            }
            b' ' | b'\t' | b'\r' => at += 1,
            b';' => match text[at..].iter().position(|octet| *octet == b'\n') {
                Some(newline) => at += newline,
                None => return Ok(None),
            },
            b'(' => {
                depth += 1;
                at += 1;
            }
            b')' => {
                depth = depth.checked_sub(1).ok_or("unmatched )")?;
                at += 1;
            }
            b'"' => {
                let Some(end) = find_end(text, at + 1, |octet| octet == b'"') else {
                    return Ok(None);
                };
                lines += text[at..end]
                    .iter()
                    .filter(|octet| **octet == b'\n')
                    .count() as u64;
                words.push((at + 1..end, true));
                at = end + 1;
            }
            _ => {
                let Some(end) = find_end(text, at, |octet| ENDS_WORD[octet as usize]) else {
                    return Ok(None);
                };
                words.push((at..end, false));
                at = end;
            }
        }
    }
    Ok(None)
}

/// The octets that end a word outside quotes.
const ENDS_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let ends = b" \t\r\n;()\"";
    let mut i = 0;
    while i < ends.len() {
        table[ends[i] as usize] = true;
        i += 1;
    }
    table
};

/// Returns where the first octet stands that ends a word; an octet after a backslash never does.
fn find_end(text: &[u8], from: usize, ends: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = from;
    while let Some(&octet) = text.get(at) {
        if octet == b'\\' {
            at += 2;
        } else if ends(octet) {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Cuts a text that holds one entry.
    fn words(text: &str) -> Option<Vec<String>> {
        let mut words = Vec::new();
        cut_entry(text.as_bytes(), &mut words).expect("balanced")?;
        Some(
            words
                .into_iter()
                .map(|(range, _)| text[range].to_owned())
                .collect(),
        )
    }

    #[test]
    fn parentheses_join_lines_and_quotes_keep_what_they_hold() {
        let text = "a ( b ; no\n \"c ; (d\" ) e\\ f\nnext\n";
        assert_eq!(
            words(text),
            Some(["a", "b", "c ; (d", "e\\ f"].map(str::to_owned).into())
        );
        assert_eq!(words("a ( b\n"), None);
        assert_eq!(words("a \"b\n"), None);
        assert_eq!(words("a ; comment"), None);
        assert!(cut_entry(b"a )\n", &mut Vec::new()).is_err());
    }

    proptest! {
        // Whatever stands in the text, an entry ends where it ends however much follows it.
        #[test]
        fn what_follows_an_entry_does_not_change_it(text in "[ a-c.\\\\\"();\n]{0,40}", rest in "[ a-c\n()]{0,20}") {
            let (mut alone, mut followed) = (Vec::new(), Vec::new());
            if let Ok(Some((end, lines))) = cut_entry(text.as_bytes(), &mut alone) {
                let both = [text.as_bytes(), rest.as_bytes()].concat();
                prop_assert_eq!(cut_entry(&both, &mut followed), Ok(Some((end, lines))));
                prop_assert_eq!(alone, followed);
            }
        }
    }
}
