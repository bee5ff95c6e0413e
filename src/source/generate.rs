//! `$GENERATE start-stop[/step]` of BIND: many records of one line.

use crate::dns::LABEL_OCTETS_MAX;

/// The values of a `$GENERATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GenerateRange {
    start: u32,
    stop: u32,
    step: u32,
}

impl GenerateRange {
    /// Parses `1-9` or `0-254/2`. `None` for what is no range, or an empty one.
    pub fn parse(text: &str) -> Option<Self> {
        let (ends, step) = text.split_once('/').unwrap_or((text, "1"));
        let (start, stop) = ends.split_once('-')?;
        let range = Self {
            start: start.parse().ok()?,
            stop: stop.parse().ok()?,
            step: step.parse().ok()?,
        };
        (range.step > 0 && range.start <= range.stop).then_some(range)
    }

    /// Returns how many values there are; at least one.
    pub fn count(self) -> u64 {
        u64::from((self.stop - self.start) / self.step) + 1
    }

    /// Returns the values.
    pub fn values(self) -> impl Iterator<Item = u32> {
        (self.start..=self.stop).step_by(self.step as usize)
    }
}

/// Returns a word of a `$GENERATE` with its value: `$`, or `${offset[,width[,base]]}` with the bases d,
/// o, x, X, n and N. `\$` and `$$` stand for the sign itself.
pub(super) fn expand(word: &[u8], value: u32) -> Option<Vec<u8>> {
    let mut expanded = Vec::with_capacity(word.len() + 8);
    let mut rest = word;
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        match (octet, after.first()) {
            (b'\\', Some(b'$')) | (b'$', Some(b'$')) => {
                expanded.push(b'$');
                rest = &after[1..];
            }
            // An escape goes into the name as it stands and is read there, so that `\.` does not become a dot.
            (b'\\', Some(next)) => {
                expanded.extend_from_slice(&[b'\\', *next]);
                rest = &after[1..];
            }
            (b'$', Some(b'{')) => {
                let end = after.iter().position(|octet| *octet == b'}')?;
                let form = std::str::from_utf8(&after[1..end]).ok()?;
                let text = modified(form, value)?;
                rest = &after[end + 1..];
                // The dot that an even width of nibbles ends with separates; at the end of the word there
                // is nothing to separate, and the name is relative to the origin as any other.
                let text = if rest.is_empty() && form.ends_with(['n', 'N']) {
                    text.trim_end_matches('.')
                } else {
                    &text
                };
                expanded.extend_from_slice(text.as_bytes());
            }
            (b'$', _) => expanded.extend_from_slice(value.to_string().as_bytes()),
            _ => expanded.push(*octet),
        }
    }
    Some(expanded)
}

/// Returns a value as `offset[,width[,base]]` says.
fn modified(form: &str, value: u32) -> Option<String> {
    let mut parts = form.split(',').map(str::trim);
    let offset: i64 = parts.next()?.parse().ok()?;
    let width: usize = parts.next().map_or(Some(0), |width| width.parse().ok())?;
    // As in BIND, a value below 0 has a sign in base d and is of 32 bits in the others.
    let signed = i32::try_from(i64::from(value).checked_add(offset)?).ok()?;
    let value = signed.cast_unsigned();
    // A width of millions would fill memory with zeros before the name is refused.
    if width > LABEL_OCTETS_MAX {
        return None;
    }
    let text = match (parts.next().unwrap_or("d"), parts.next()) {
        ("d", None) => format!("{signed:0width$}"),
        ("o", None) => format!("{value:0width$o}"),
        ("x", None) => format!("{value:0width$x}"),
        ("X", None) => format!("{value:0width$X}"),
        ("n", None) => nibbles(value, width),
        ("N", None) => nibbles(value, width).to_ascii_uppercase(),
        _ => return None,
    };
    Some(text)
}

/// Returns the hexadecimal digits of a value from the last to the first, with dots between, as in
/// ip6.arpa. The width counts digits and dots, as BIND's does: an even one ends with a dot.
fn nibbles(value: u32, width: usize) -> String {
    let mut text = String::with_capacity(width);
    let mut rest = value;
    loop {
        text.push_str(&format!("{:x}", rest & 15));
        rest >>= 4;
        if rest == 0 && text.len() >= width {
            return text;
        }
        text.push('.');
        if rest == 0 && text.len() >= width {
            return text;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nibbles_are_those_of_bind() {
        for (value, width, text) in [
            (1, 0, "1"),
            (1, 1, "1"),
            (1, 2, "1."),
            (1, 3, "1.0"),
            (1, 4, "1.0."),
            (0x12b, 0, "b.2.1"),
            (0x12b, 2, "b.2.1"),
            (0x12b, 6, "b.2.1."),
            (0x12b, 7, "b.2.1.0"),
        ] {
            assert_eq!(nibbles(value, width), text, "{value:x} {width}");
        }
        let expanded = |word: &str| expand(word.as_bytes(), 299);
        assert_eq!(expanded("${0,0,N}.x"), Some(b"B.2.1.x".to_vec()));
        assert_eq!(expanded("${0,8,n}x"), Some(b"b.2.1.0.x".to_vec()));
        assert_eq!(expanded("${0,8,n}"), Some(b"b.2.1.0".to_vec()), "relative");
        let below = |word: &str| expand(word.as_bytes(), 1024);
        assert_eq!(below("${-2000,0,n}"), Some(b"0.3.c.f.f.f.f.f".to_vec()));
        assert_eq!(below("${-2000,0,x}"), Some(b"fffffc30".to_vec()));
        assert_eq!(below("${-2000}"), Some(b"-976".to_vec()));
    }
}
