//! Lists of networks: which are hosting networks, and which addresses are those of content networks and clouds.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The most lines of a list.
const LINES_MAX: usize = 5_000_000;

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The file cannot be read.
    #[error("{path}: {fault}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        fault: String,
    },
    /// A line is not what the list holds.
    #[error("{path}, line {line}: {what}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

/// Calls `each` with every line that is not empty and no comment, and `comment` with the comments.
fn each_line(
    path: &Path,
    mut comment: impl FnMut(&str),
    mut each: impl FnMut(&str) -> Result<(), String>,
) -> Result<(), ListError> {
    let unreadable = |fault: String| ListError::Unreadable {
        path: path.to_owned(),
        fault,
    };
    let file = fs::File::open(path).map_err(|fault| unreadable(fault.to_string()))?;
    for (i, line) in BufReader::new(file).lines().enumerate() {
        if i >= LINES_MAX {
            return Err(unreadable(format!("more than {LINES_MAX} lines")));
        }
        let line = line.map_err(|fault| unreadable(fault.to_string()))?;
        let (text, rest) = line.split_once('#').unwrap_or((&line, ""));
        if !rest.is_empty() {
            comment(rest.trim());
        }
        if !text.trim().is_empty() {
            each(text.trim()).map_err(|what| ListError::Line {
                path: path.to_owned(),
                line: i + 1,
                what,
            })?;
        }
    }
    Ok(())
}

/// Autonomous systems of hosting providers: one number a line, `AS` in front or not.
#[derive(Debug, Default)]
pub struct HostingNetworks(HashSet<u32>);

impl HostingNetworks {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub fn load(path: &Path) -> Result<Self, ListError> {
        let mut numbers = HashSet::new();
        each_line(
            path,
            |_| {},
            |text| {
                // What follows the number is its name in published lists.
                let word = text.split([',', ' ', '\t']).next().unwrap_or(text);
                let number = word.trim_start_matches(['A', 'S', 'a', 's']);
                let number = number
                    .parse()
                    .map_err(|_| format!("{word:?} is not an AS number"))?;
                numbers.insert(number);
                Ok(())
            },
        )?;
        Ok(Self(numbers))
    }

    /// Returns whether an autonomous system is a hosting provider's.
    pub fn holds(&self, asn: u32) -> bool {
        self.0.contains(&asn)
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
}

impl SharedRanges {
    /// Reads a list. Ranges may overlap.
    ///
    /// # Errors
    ///
    /// [`ListError`].
    pub fn load(path: &Path) -> Result<Self, ListError> {
        let mut list = Self::default();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let (mut source, mut date) = (String::new(), String::new());
        each_line(
            path,
            |comment| {
                if let Some(word) = comment.strip_prefix("source:") {
                    source = word.trim().to_owned();
                } else if let Some(word) = comment.strip_prefix("date:") {
                    date = word.trim().to_owned();
                }
            },
            |text| {
                let prefix = text.split(',').next().unwrap_or(text).trim();
                let bad = || format!("{prefix:?} is not a prefix, such as 192.0.2.0/24");
                let (address, length) = prefix.split_once('/').ok_or_else(bad)?;
                let length: u32 = length.parse().map_err(|_| bad())?;
                match address.parse::<IpAddr>().map_err(|_| bad())? {
                    IpAddr::V4(address) if length <= 32 => {
                        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                        let first = u32::from(address) & mask;
                        v4.push((first, first | !mask));
                    }
                    IpAddr::V6(address) if length <= 128 => {
                        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                        let first = u128::from(address) & mask;
                        v6.push((first, first | !mask));
                    }
                    _ => return Err(bad()),
                }
                Ok(())
            },
        )?;
        if source.is_empty() || date.is_empty() {
            return Err(ListError::Unreadable {
                path: path.to_owned(),
                fault: "the comments \"# source: …\" and \"# date: …\" are missing".to_owned(),
            });
        }
        list.v4 = join(v4);
        list.v6 = join(v6);
        list.source = source;
        list.date = date;
        Ok(list)
    }

    /// Returns whether an address lies in one of the ranges.
    pub fn holds(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => lies_in(&self.v4, u32::from(address)),
            IpAddr::V6(address) => lies_in(&self.v6, u128::from(address)),
        }
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
        let fault = HostingNetworks::load(file("64500\nfoo\n").path()).expect_err("no number");
        assert!(fault.to_string().contains("line 2"), "{fault}");
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
        ] {
            let fault = SharedRanges::load(file(text).path()).expect_err(text);
            assert!(fault.to_string().contains(what), "{fault}");
        }
    }
}
