//! Address ranges and their autonomous systems, from CSV (`start,end,asn[,organisation]`) or from MaxMind's
//! format (GeoLite2-ASN, DB-IP, ip-location-db). Either becomes the same compact arrays.

use std::collections::HashMap;
use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::time::{Timestamp, timestamp_of};

/// The most ranges of a table. The whole Internet has about 1.5 million.
const RANGES_MAX: usize = 20_000_000;

/// Why a table cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AsnTableError {
    /// The file cannot be read.
    #[error("{path}: {fault}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's or the CSV reader's words.
        fault: String,
    },
    /// A row is not `start,end,asn[,organisation]`.
    #[error("{path}, line {line}: {what}; rows are start,end,asn[,organisation]")]
    Row {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// A table of ranges. 12 octets a range of IPv4, 36 of IPv6; a lookup is one binary search.
#[derive(Debug, Default)]
pub struct AsnTable {
    v4: Vec<(u32, u32, u32)>,
    v6: Vec<(u128, u128, u32)>,
    names: HashMap<u32, String>,
    /// When it was made.
    made_at: Option<Timestamp>,
}

impl AsnTable {
    /// Returns when the table was made: as a database says, or when the file of CSV was last written.
    pub fn made_at(&self) -> Option<Timestamp> {
        self.made_at
    }

    /// Reads a table: MaxMind's format if the file's name ends in `.mmdb`, else CSV, of which a first row
    /// whose first field is no address is taken as the heading.
    ///
    /// # Errors
    ///
    /// [`AsnTableError`]; ranges that overlap are an error too.
    pub fn load(path: &Path) -> Result<Self, AsnTableError> {
        let is_mmdb = path
            .extension()
            .is_some_and(|it| it.eq_ignore_ascii_case("mmdb"));
        let mut table = if is_mmdb {
            Self::load_mmdb(path)?
        } else {
            Self::load_csv(path)?
        };
        table.v4.sort_unstable();
        table.v6.sort_unstable();
        let overlap = table.v4.windows(2).any(|two| two[0].1 >= two[1].0)
            || table.v6.windows(2).any(|two| two[0].1 >= two[1].0);
        if overlap {
            return Err(AsnTableError::Unreadable {
                path: path.to_owned(),
                fault: "two ranges overlap".to_owned(),
            });
        }
        table.v4.shrink_to_fit();
        table.v6.shrink_to_fit();
        if table.made_at.is_none() {
            let written = std::fs::metadata(path).and_then(|meta| meta.modified());
            table.made_at = written.ok().map(timestamp_of);
        }
        Ok(table)
    }

    /// Reads MaxMind's format.
    fn load_mmdb(path: &Path) -> Result<Self, AsnTableError> {
        let unreadable = |fault: String| AsnTableError::Unreadable {
            path: path.to_owned(),
            fault,
        };
        let words = |fault: maxminddb::MaxMindDbError| unreadable(fault.to_string());
        let reader = maxminddb::Reader::open_readfile(path).map_err(words)?;
        let mut table = Self {
            made_at: Some(Timestamp::from_unix(reader.metadata().build_epoch as i64)),
            ..Self::default()
        };
        for whole in ["0.0.0.0/0", "::/0"] {
            let whole = whole.parse().expect("a prefix");
            // A database of IPv4 alone has no tree for the other.
            let Ok(networks) = reader.within(whole, Default::default()) else {
                continue;
            };
            for network in networks {
                let network = network.map_err(words)?;
                let range = network.network().map_err(words)?;
                let data = network
                    .decode::<maxminddb::geoip2::Asn<'_>>()
                    .map_err(words)?;
                let Some(asn) = data.as_ref().and_then(|data| data.autonomous_system_number) else {
                    continue;
                };
                let (first, last) = (range.network(), range.broadcast());
                match (first, last) {
                    (IpAddr::V4(first), IpAddr::V4(last)) if whole.is_ipv4() => {
                        table.v4.push((first.into(), last.into(), asn));
                    }
                    // Below ::/96 stand the addresses of IPv4.
                    (IpAddr::V6(first), IpAddr::V6(last))
                        if whole.is_ipv6() && u128::from(last) > u128::from(u32::MAX) =>
                    {
                        table.v6.push((first.into(), last.into(), asn));
                    }
                    _ => continue,
                }
                if let Some(name) = data.and_then(|data| data.autonomous_system_organization) {
                    table.names.entry(asn).or_insert_with(|| name.to_owned());
                }
                if table.v4.len() + table.v6.len() > RANGES_MAX {
                    return Err(unreadable(format!("more than {RANGES_MAX} ranges")));
                }
            }
        }
        if table.v4.is_empty() && table.v6.is_empty() {
            let kind = &reader.metadata().database_type;
            return Err(unreadable(format!(
                "a database of type {kind:?} without autonomous systems"
            )));
        }
        join_neighbours(&mut table.v4, |last: u32| last.checked_add(1));
        join_neighbours(&mut table.v6, |last: u128| last.checked_add(1));
        Ok(table)
    }

    /// Reads CSV.
    fn load_csv(path: &Path) -> Result<Self, AsnTableError> {
        let unreadable = |fault: String| AsnTableError::Unreadable {
            path: path.to_owned(),
            fault,
        };
        let file = File::open(path).map_err(|fault| unreadable(fault.to_string()))?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(file);
        let mut table = Self::default();
        for (i, row) in reader.records().enumerate() {
            let row = row.map_err(|fault| unreadable(fault.to_string()))?;
            let line = row.position().map_or(0, csv::Position::line);
            let is_heading = i == 0
                && row
                    .get(0)
                    .is_some_and(|field| field.parse::<IpAddr>().is_err());
            if !is_heading {
                table.add(&row).map_err(|what| AsnTableError::Row {
                    path: path.to_owned(),
                    line,
                    what,
                })?;
            }
            if table.v4.len() + table.v6.len() > RANGES_MAX {
                return Err(unreadable(format!("more than {RANGES_MAX} ranges")));
            }
        }
        Ok(table)
    }

    /// Returns the autonomous system of an address, if a range holds it. AS 0 marks unrouted ranges
    /// in the published tables and counts as none.
    pub fn lookup(&self, address: IpAddr) -> Option<u32> {
        let asn = match address {
            IpAddr::V4(address) => find(&self.v4, u32::from(address)),
            IpAddr::V6(address) => find(&self.v6, u128::from(address)),
        };
        asn.filter(|asn| *asn != 0)
    }

    /// Returns whether the table has ranges of IPv4 and of IPv6.
    pub fn families(&self) -> (bool, bool) {
        (!self.v4.is_empty(), !self.v6.is_empty())
    }

    /// Returns the organisation of an autonomous system, if the table names it.
    pub fn name(&self, asn: u32) -> Option<&str> {
        self.names.get(&asn).map(String::as_str)
    }

    /// Adds one row.
    fn add(&mut self, row: &csv::StringRecord) -> Result<(), String> {
        let field = |at: usize| {
            row.get(at)
                .filter(|field| !field.is_empty())
                .ok_or_else(|| format!("field {} is missing", at + 1))
        };
        let address = |at: usize| {
            field(at).and_then(|text| {
                text.parse::<IpAddr>()
                    .map_err(|_| format!("{text:?} is not an address"))
            })
        };
        let number = field(2)?;
        let asn: u32 = number
            .trim_start_matches("AS")
            .parse()
            .map_err(|_| format!("{number:?} is not an AS number"))?;
        match (address(0)?, address(1)?) {
            (IpAddr::V4(start), IpAddr::V4(end)) if start <= end => {
                self.v4.push((start.into(), end.into(), asn))
            }
            (IpAddr::V6(start), IpAddr::V6(end)) if start <= end => {
                self.v6.push((start.into(), end.into(), asn))
            }
            _ => {
                return Err(
                    "the range does not run from a lower to a higher address of one family"
                        .to_owned(),
                );
            }
        }
        if let Ok(name) = field(3) {
            self.names.entry(asn).or_insert_with(|| name.to_owned());
        }
        Ok(())
    }
}

/// Joins neighbouring ranges of one autonomous system: a tree cuts them at powers of two.
fn join_neighbours<T: Ord + Copy>(ranges: &mut Vec<(T, T, u32)>, next: impl Fn(T) -> Option<T>) {
    ranges.sort_unstable();
    ranges.dedup_by(|later, first| {
        let joins = later.2 == first.2 && next(first.1) == Some(later.0);
        if joins {
            first.1 = later.1;
        }
        joins
    });
}

/// Returns the number of the range that holds `address`.
fn find<T: Ord + Copy>(ranges: &[(T, T, u32)], address: T) -> Option<u32> {
    let after = ranges.partition_point(|(start, _, _)| *start <= address);
    let (_, end, asn) = ranges.get(after.checked_sub(1)?)?;
    (*end >= address).then_some(*asn)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(text: &str) -> Result<AsnTable, AsnTableError> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        AsnTable::load(file.path())
    }

    #[test]
    fn addresses_are_found_in_their_range_only() {
        let table = load("start,end,asn,org\n192.0.2.0,192.0.2.127,64500,\"Net, One\"\n2001:db8::,2001:db8:ffff:ffff:ffff:ffff:ffff:ffff,AS64501\n198.51.100.0,198.51.100.255,0,none\n").expect("valid");
        let asn = |text: &str| table.lookup(text.parse().expect("valid"));
        assert_eq!(
            [
                asn("192.0.2.0"),
                asn("192.0.2.127"),
                asn("192.0.2.128"),
                asn("192.0.1.255")
            ],
            [Some(64500), Some(64500), None, None]
        );
        assert_eq!(asn("2001:db8:1::1"), Some(64501));
        assert_eq!(asn("198.51.100.7"), None);
        assert_eq!(table.name(64500), Some("Net, One"));
    }

    #[test]
    fn faulty_rows_name_their_line() {
        for (text, reason) in [
            ("192.0.2.0,192.0.2.9,x\n", "line 1"),
            ("192.0.2.9,192.0.2.0,1\n", "line 1"),
            ("192.0.2.0,192.0.2.9,1\n192.0.2.5,192.0.2.20,2\n", "overlap"),
            ("192.0.2.0,192.0.2.9,1\nfoo,bar,1\n", "line 2"),
        ] {
            let error = load(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
