//! Cuts master files (RFC 1035 §5.1) into entries and words: parentheses, quotes, comments, escapes.

use std::ops::Range;

/// A word of an entry: where it stands, and whether it stood in quotes.
pub(super) type Word = (Range<usize>, bool);

/// Why an entry cannot be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CutFault {
    /// How many lines of the entry lie before the fault.
    pub lines: u64,
    /// What is wrong.
    pub what: &'static str,
}

/// What is wrong with a quote that goes on beyond its line: BIND, Knot and dnspython say so too. Joined with
/// the lines that follow, it would hide their records.
const OPEN_QUOTE: &str = "a quotation mark is opened and not closed on its line";
/// What is wrong with a backslash at the end of a line: it would join the line that follows.
const ESCAPED_NEWLINE: &str =
    "a backslash stands before the end of the line; a word cannot go on in the next line";

/// Cuts the first entry of `text` into words. Returns where the next entry begins and how many lines
/// this one has, or `None` if its end is not there yet.
pub(super) fn cut_entry(
    text: &[u8],
    words: &mut Vec<Word>,
) -> Result<Option<(usize, u64)>, CutFault> {
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
            // A carriage return is a blank, so that files of Windows read like others.
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
                let what = "unmatched )";
                depth = depth.checked_sub(1).ok_or(CutFault { lines, what })?;
                at += 1;
            }
            b'"' => {
                let ends = |octet| octet == b'"' || octet == b'\n';
                let Some(end) = find_end(text, at + 1, ends, lines)? else {
                    return Ok(None);
                };
                // RFC 1035 §5.1 lets a string go on in the next line; a quote that was forgotten would swallow the
                // records up to the next one.
                if text[end] == b'\n' {
                    let what = OPEN_QUOTE;
                    return Err(CutFault { lines, what });
                }
                words.push((at + 1..end, true));
                at = end + 1;
            }
            _ => {
                let ends = |octet| ENDS_WORD[octet as usize];
                let Some(end) = find_end(text, at, ends, lines)? else {
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

/// Returns where the first octet stands that ends a word; an octet after a backslash never does. `lines`
/// of the entry lie before it.
fn find_end(
    text: &[u8],
    from: usize,
    ends: impl Fn(u8) -> bool,
    lines: u64,
) -> Result<Option<usize>, CutFault> {
    let mut at = from;
    while let Some(&octet) = text.get(at) {
        if octet == b'\\' {
            if matches!(text[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]) {
                let what = ESCAPED_NEWLINE;
                return Err(CutFault { lines, what });
            }
            // Of an escape of three digits too: the other two end no word.
            at += 2;
        } else if ends(octet) {
            return Ok(Some(at));
        } else {
            at += 1;
        }
    }
    Ok(None)
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
        assert_eq!(words("a \"b"), None);
        assert_eq!(words("a ; comment"), None);
        assert_eq!(words("a b\\"), None);
    }

    #[test]
    fn what_would_hide_the_lines_that_follow_is_refused() {
        for (text, lines, what) in [
            ("a )\n", 0, "unmatched )"),
            ("a TXT \"b\nc TXT \"d\"\n", 0, OPEN_QUOTE),
            ("a TXT ( b\n \"c\n", 1, OPEN_QUOTE),
            ("a TXT b\\\nc A 192.0.2.1\n", 0, ESCAPED_NEWLINE),
            ("a TXT b\\\r\nc A 192.0.2.1\r\n", 0, ESCAPED_NEWLINE),
            ("a TXT \"b\\\nc\"\n", 0, ESCAPED_NEWLINE),
        ] {
            let fault = cut_entry(text.as_bytes(), &mut Vec::new());
            assert_eq!(fault, Err(CutFault { lines, what }), "{text:?}");
        }
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
