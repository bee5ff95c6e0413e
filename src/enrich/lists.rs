//! Lists of networks: which are hosting networks, and which addresses are those of content networks and clouds.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;

use crate::enrich::table::{
    Column, Layout, TableError, TableSummary, comments, each_row, field, parse_asn, read_text,
    unreadable, written_at,
};

/// The rows of a list of hosting networks: a number, and what is said of it.
const HOSTING: [Layout; 1] = [Layout {
    columns: &[
        Column(&[
            "asn",
            "as",
            "as_number",
            "autonomous_system_number",
            "number",
        ]),
        Column(&["name"]),
        Column(&["country"]),
        Column(&["comment"]),
    ],
    needed: 1,
}];
/// The rows of published ranges.
const RANGES: [Layout; 1] = [Layout {
    columns: &[
        Column(&["prefix", "network", "range", "cidr", "ip_prefix"]),
        Column(&["name"]),
        Column(&["country"]),
        Column(&["comment"]),
    ],
    needed: 1,
}];

/// Autonomous systems of hosting providers: one number a line, `AS` in front or not.
#[derive(Debug, Default)]
pub struct HostingNetworks {
    numbers: HashSet<u32>,
    summary: TableSummary,
}

impl HostingNetworks {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// [`TableError`]; also for a list that names nobody.
    pub fn load(path: &Path) -> Result<Self, TableError> {
        let mut numbers = HashSet::new();
        each_row(path, &read_text(path)?, &HOSTING, |row, places, _| {
            // What follows the number is its name in published lists.
            let word = first_word(field(row, places, 0).unwrap_or_default());
            let number = parse_asn(word).filter(|number| *number != 0);
            numbers.insert(number.ok_or_else(|| format!("{word:?} is not an AS number"))?);
            Ok(())
        })?;
        if numbers.is_empty() {
            return Err(unreadable(
                path,
                "is empty: no hosting network would be known",
            ));
        }
        let summary = TableSummary {
            rows: numbers.len(),
            unit: "networks",
            made_at: written_at(path),
            notes: Vec::new(),
        };
        Ok(Self { numbers, summary })
    }

    /// Returns whether an autonomous system is a hosting provider's.
    pub fn holds(&self, asn: u32) -> bool {
        self.numbers.contains(&asn)
    }

    /// Returns what the list holds.
    pub fn summary(&self) -> &TableSummary {
        &self.summary
    }
}

/// Published address ranges of content networks and clouds, with where and when they were published.
///
/// `prefix[,name]` a line, and the comments `# source: …` and `# date: …`, without which nobody could
/// check what a report says. A lookup is one binary search.
#[derive(Debug, Default)]
pub struct SharedRanges {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Where the list is from.
    pub source: String,
    /// When it was published.
    pub date: String,
    summary: TableSummary,
}

impl SharedRanges {
    /// Reads a list. Ranges may overlap.
    ///
    /// # Errors
    ///
    /// [`TableError`]; also for a list without ranges.
    pub fn load(path: &Path) -> Result<Self, TableError> {
        let text = read_text(path)?;
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let said = |key: &str| {
            let words = comments(&text).filter_map(|comment| comment.strip_prefix(key));
            words.last().unwrap_or_default().trim().to_owned()
        };
        let (source, date) = (said("source:"), said("date:"));
        each_row(path, &text, &RANGES, |row, places, _| {
            let prefix = first_word(field(row, places, 0).unwrap_or_default());
            match parse_prefix(prefix) {
                Some((IpAddr::V4(first), IpAddr::V4(last))) => v4.push((first.into(), last.into())),
                Some((IpAddr::V6(first), IpAddr::V6(last))) => v6.push((first.into(), last.into())),
                _ => return Err(format!("{prefix:?} is not a prefix, such as 192.0.2.0/24")),
            }
            Ok(())
        })?;
        if source.is_empty() || date.is_empty() {
            let fault = "the comments \"# source: …\" and \"# date: …\" are missing";
            return Err(unreadable(path, fault));
        }
        if v4.is_empty() && v6.is_empty() {
            return Err(unreadable(
                path,
                "is empty: no address would be known as shared",
            ));
        }
        let summary = TableSummary {
            rows: v4.len() + v6.len(),
            unit: "ranges",
            made_at: written_at(path),
            notes: vec![format!("published by {source}, {date}")],
        };
        Ok(Self {
            v4: join(v4),
            v6: join(v6),
            source,
            date,
            summary,
        })
    }

    /// Returns whether an address lies in one of the ranges.
    pub fn holds(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => lies_in(&self.v4, u32::from(address)),
            IpAddr::V6(address) => lies_in(&self.v6, u128::from(address)),
        }
    }

    /// Returns what the list holds.
    pub fn summary(&self) -> &TableSummary {
        &self.summary
    }
}

/// Returns the word that a field begins with, without a comment behind it.
fn first_word(field: &str) -> &str {
    let field = field.split('#').next().unwrap_or_default();
    field.split_whitespace().next().unwrap_or_default()
}

/// Returns the first and the last address of a prefix; octets beyond its length are ignored.
pub(super) fn parse_prefix(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (address, length) = text.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            let first = u32::from(address) & mask;
            Some((IpAddr::V4(first.into()), IpAddr::V4((first | !mask).into())))
        }
        IpAddr::V6(address) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            let first = u128::from(address) & mask;
            Some((IpAddr::V6(first.into()), IpAddr::V6((first | !mask).into())))
        }
        _ => None,
    }
}

/// Sorts ranges and joins those that overlap.
fn join<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut joined: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if before.1 >= first => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// Returns whether a value lies in one of the sorted ranges.
fn lies_in<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= value);
    after.checked_sub(1).is_some_and(|at| ranges[at].1 >= value)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    #[test]
    fn hosting_networks_are_numbers_with_or_without_letters() {
        let list = HostingNetworks::load(file("# hosters\nAS64500 Example\n64501,x\n\n").path())
            .expect("sound");
        assert!(list.holds(64500) && list.holds(64501) && !list.holds(64502));
        for (text, what) in [
            ("64500\nfoo\n", "line 2"),
            (
                "foo\n64500\n",
                "line 1: \"foo\" is not an AS number; nor is it a heading",
            ),
            ("# nobody\n", "is empty"),
        ] {
            let fault = HostingNetworks::load(file(text).path()).expect_err(text);
            assert!(fault.to_string().contains(what), "{fault}");
        }
        let quoted = "ASN,Entity\n64500,\"Example, Inc.\"\n\"AS64501\",x # y\n64502 # z\n";
        let list = HostingNetworks::load(file(quoted).path()).expect("sound");
        assert!(list.holds(64500) && list.holds(64501) && list.holds(64502));
    }

    #[test]
    fn ranges_hold_what_they_say_and_say_where_they_are_from() {
        let text = "# source: https://cdn.test/ips\n# date: 2026-11-01\n192.0.2.0/25,cdn\n192.0.2.64/26\n2001:db8::/32\n0.0.0.0/32\n";
        let list = SharedRanges::load(file(text).path()).expect("sound");
        let holds = |text: &str| list.holds(text.parse().expect("an address"));
        assert!(holds("192.0.2.0") && holds("192.0.2.127") && !holds("192.0.2.128"));
        assert!(holds("2001:db8:ffff::1") && !holds("2001:db9::") && holds("0.0.0.0"));
        assert_eq!(
            (list.source.as_str(), list.date.as_str()),
            ("https://cdn.test/ips", "2026-11-01")
        );
        for (text, what) in [
            ("192.0.2.0/24\n", "# source"),
            ("# source: x\n# date: y\n192.0.2.0\n", "line 3"),
            ("# source: x\n# date: y\n192.0.2.0/33\n", "line 3"),
            (
                "# source: x\n# date: y\n\n192.0.2.0/24\n# more\n\n::/129\n",
                "line 7",
            ),
            ("# source: x\n# date: y\n# nothing yet\n", "is empty"),
        ] {
            let fault = SharedRanges::load(file(text).path()).expect_err(text);
            assert!(fault.to_string().contains(what), "{fault}");
        }
    }
}
