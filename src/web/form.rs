//! What a form or a query says: names and values, in order.

use std::fmt::Write;

/// The most fields that are read.
const FIELDS_MAX: usize = 2000;

/// Names and values (application/x-www-form-urlencoded), in order; a name may be there several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::web) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads a query or the body of a form. What is no UTF-8 is replaced; blanks at the ends of values stay.
    pub fn parse(text: &str) -> Self {
        let parts = text.split('&').filter(|part| !part.is_empty());
        let fields = parts.take(FIELDS_MAX).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        });
        Self(fields.collect())
    }

    /// Returns the first value of a name, without blanks at its ends; `None` if there is nothing in it.
    pub fn find(&self, name: &str) -> Option<&str> {
        let value = self.0.iter().find(|(it, _)| it == name)?.1.trim();
        (!value.is_empty()).then_some(value)
    }

    /// Returns the first value of a name as it is; empty if it is not there.
    pub fn exact(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(it, _)| it == name);
        found.map_or("", |(_, value)| value)
    }

    /// Returns every value of a name.
    pub fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(it, _)| it == name);
        values.map(|(_, value)| value.clone()).collect()
    }
}

/// Writes a query of those fields that say something: `?a=b&c=d`; empty if none does.
pub(in crate::web) fn query_of<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = String::new();
    for (name, value) in fields.filter(|(_, value)| !value.is_empty()) {
        query.push(if query.is_empty() { '?' } else { '&' });
        encode(name, &mut query);
        query.push('=');
        encode(value, &mut query);
    }
    query
}

/// Decodes `%41` and `+`.
fn decode(text: &str) -> String {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = |at: usize| char::from(*after.get(at)?).to_digit(16);
        rest = after;
        match first {
            b'+' => octets.push(b' '),
            b'%' => match (hex(0), hex(1)) {
                (Some(high), Some(low)) => {
                    octets.push((high * 16 + low) as u8);
                    rest = &after[2..];
                }
                _ => octets.push(b'%'),
            },
            other => octets.push(*other),
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}

/// Encodes a text for a query.
fn encode(text: &str, query: &mut String) {
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                query.push(char::from(octet));
            }
            _ => {
                // A string takes whatever is written into it.
                let _ = write!(query, "%{octet:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_is_read_as_it_was_written() {
        let said = [("a", "ö&=+ %"), ("b", ""), ("c", "<script>")];
        let query = query_of(said.into_iter());
        assert_eq!(query, "?a=%C3%B6%26%3D%2B%20%25&c=%3Cscript%3E");
        let fields = Fields::parse(&query[1..]);
        assert_eq!(fields.exact("a"), "ö&=+ %");
        assert_eq!(fields.find("b"), None);
        assert_eq!(fields.find("c"), Some("<script>"));
    }

    #[test]
    fn odd_bodies_are_read_without_fault() {
        let fields = Fields::parse("=&&a&a=1&a=%4&b=%zz&%ff=x&c=a+b");
        assert_eq!(fields.all("a"), ["", "1", "%4"]);
        assert_eq!(fields.exact("b"), "%zz");
        assert_eq!(fields.find("c"), Some("a b"));
        assert_eq!(fields.exact("\u{fffd}"), "x");
    }
}
