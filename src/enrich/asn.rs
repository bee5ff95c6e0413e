//! Address ranges and their autonomous systems, from CSV (`start,end,asn[,organisation]`) or from MaxMind's
//! format (GeoLite2-ASN, DB-IP, ip-location-db, IPinfo). Either becomes the same compact arrays.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::enrich::lists::parse_prefix;
use crate::enrich::table::{
    Column, ColumnNumbers, Layout, OCTETS_MAX, TableError, TableSummary, each_row, field,
    parse_asn, read_text, unreadable, written_at,
};
use crate::file;
use crate::time::Timestamp;

/// The most ranges of a table. The whole Internet has about 1.5 million.
const RANGES_MAX: usize = 20_000_000;
/// What the number of an autonomous system is called.
const NUMBER_NAMES: [&str; 4] = ["autonomous_system_number", "asn", "as_number", "as"];
/// What its organisation is called.
const ORGANISATION_NAMES: [&str; 8] = [
    "autonomous_system_organization",
    "as_name",
    "as_organization",
    "organisation",
    "organization",
    "org",
    "name",
    "description",
];
/// The rows of CSV: two addresses, or, with a heading, a prefix.
const ROWS: [Layout; 2] = [
    Layout {
        columns: &[
            Column(&[
                "start",
                "start_ip",
                "range_start",
                "first",
                "from",
                "ip_from",
            ]),
            Column(&["end", "end_ip", "range_end", "last", "to", "ip_to"]),
            Column(&NUMBER_NAMES),
            Column(&ORGANISATION_NAMES),
        ],
        needed: 3,
    },
    Layout {
        columns: &[
            Column(&["network", "prefix", "cidr", "range", "route"]),
            Column(&[]),
            Column(&NUMBER_NAMES),
            Column(&ORGANISATION_NAMES),
        ],
        needed: 1,
    },
];

/// A table of ranges. 12 octets a range of IPv4, 36 of IPv6; a lookup is one binary search.
#[derive(Debug, Default)]
pub struct AsnTable {
    v4: Vec<(u32, u32, u32)>,
    v6: Vec<(u128, u128, u32)>,
    names: HashMap<u32, String>,
    summary: TableSummary,
}

/// What a database in MaxMind's format says of a network.
#[derive(Debug, Default)]
struct Said {
    number: Option<u32>,
    organisation: Option<String>,
}

impl AsnTable {
    /// Returns when the table was made: as a database says, or when the file of CSV was last written.
    pub fn made_at(&self) -> Option<Timestamp> {
        self.summary.made_at
    }

    /// Returns what the table holds.
    pub fn summary(&self) -> &TableSummary {
        &self.summary
    }

    /// Reads a table: MaxMind's format if the file's name ends in `.mmdb`, else CSV. Of ranges that overlap the
    /// narrowest counts, and of two that are equal the later.
    ///
    /// # Errors
    ///
    /// [`TableError`]; also for a table that knows no autonomous system of any address.
    pub fn load(path: &Path) -> Result<Self, TableError> {
        let is_mmdb = path
            .extension()
            .is_some_and(|it| it.eq_ignore_ascii_case("mmdb"));
        let mut table = if is_mmdb {
            Self::load_mmdb(path)?
        } else {
            Self::load_csv(path)?
        };
        // A table that answers nothing would turn the checks by network off, silently.
        let has_number =
            table.v4.iter().any(|range| range.2 != 0) || table.v6.iter().any(|range| range.2 != 0);
        if !has_number {
            let fault = "is empty: no address would have an autonomous system";
            return Err(unreadable(path, fault));
        }
        // The lookup is one binary search, which needs ranges that are apart.
        let v4 = settle_overlaps(&mut table.v4, u128::from, |value| value as u32);
        let v6 = settle_overlaps(&mut table.v6, |value| value, |value| value);
        if v4 + v6 > 0 {
            let what = format!("{} ranges overlap others; the narrowest counts", v4 + v6);
            table.summary.notes.push(what);
        }
        // Published tables cut a network into many ranges: joined, they take a fraction of the memory.
        join_neighbours(&mut table.v4, |last: u32| last.checked_add(1));
        join_neighbours(&mut table.v6, |last: u128| last.checked_add(1));
        table.v4.shrink_to_fit();
        table.v6.shrink_to_fit();
        let missing = match table.families() {
            (true, false) => Some("IPv6"),
            (false, true) => Some("IPv4"),
            _ => None,
        };
        table.summary.notes.extend(missing.map(|family| {
            format!("the table of autonomous systems has no range of {family} addresses: prefixes stand in for their networks, and flux of {family} alone is reviewed at most")
        }));
        table.summary.rows = table.v4.len() + table.v6.len();
        table.summary.unit = "ranges";
        table.summary.made_at = table.summary.made_at.or_else(|| written_at(path));
        Ok(table)
    }

    /// Reads MaxMind's format.
    fn load_mmdb(path: &Path) -> Result<Self, TableError> {
        let words = |fault: maxminddb::MaxMindDbError| unreadable(path, fault);
        let octets = file::read(path, OCTETS_MAX).map_err(|fault| unreadable(path, fault))?;
        let reader = maxminddb::Reader::from_source(octets).map_err(words)?;
        let mut table = Self::default();
        table.summary.made_at = Some(Timestamp::from_unix(reader.metadata().build_epoch as i64));
        for whole in ["0.0.0.0/0", "::/0"] {
            let whole = whole.parse().expect("a prefix");
            // A database of IPv4 alone has no tree for the other.
            let Ok(networks) = reader.within(whole, Default::default()) else {
                continue;
            };
            for network in networks {
                let network = network.map_err(words)?;
                let range = network.network().map_err(words)?;
                let said = network.decode::<Said>().map_err(words)?.unwrap_or_default();
                let Some(asn) = said.number else { continue };
                match (range.network(), range.broadcast()) {
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
                if let Some(name) = said.organisation {
                    table.names.entry(asn).or_insert(name);
                }
                table.check_count(path)?;
            }
        }
        if table.v4.is_empty() && table.v6.is_empty() {
            let kind = &reader.metadata().database_type;
            let fault = format!("a database of type {kind:?} without autonomous systems");
            return Err(unreadable(path, fault));
        }
        Ok(table)
    }

    /// Reads CSV.
    fn load_csv(path: &Path) -> Result<Self, TableError> {
        let mut table = Self::default();
        each_row(path, &read_text(path)?, &ROWS, |row, places, _| {
            table.add(row, places)
        })?;
        table.check_count(path)?;
        Ok(table)
    }

    /// Refuses a table with too many ranges.
    fn check_count(&self, path: &Path) -> Result<(), TableError> {
        if self.v4.len() + self.v6.len() > RANGES_MAX {
            Err(unreadable(path, format!("more than {RANGES_MAX} ranges")))
        } else {
            Ok(())
        }
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

    /// Returns the ranges of IPv4, in order: first and last address, autonomous system.
    pub(super) fn ranges_v4(&self) -> &[(u32, u32, u32)] {
        &self.v4
    }

    /// Returns those of IPv6.
    pub(super) fn ranges_v6(&self) -> &[(u128, u128, u32)] {
        &self.v6
    }

    /// Returns the organisations of all autonomous systems, in the order of their numbers.
    pub(super) fn names(&self) -> BTreeMap<u32, &str> {
        let names = self.names.iter();
        names.map(|(asn, name)| (*asn, name.as_str())).collect()
    }

    /// Returns the organisation of an autonomous system, if the table names it.
    pub fn name(&self, asn: u32) -> Option<&str> {
        self.names.get(&asn).map(String::as_str)
    }

    /// Adds one row.
    fn add(&mut self, row: &csv::StringRecord, places: &ColumnNumbers) -> Result<(), String> {
        let (first, last) = range_of(row, places)?;
        // Published tables leave the number of an unrouted range out.
        let number = field(row, places, 2).unwrap_or("0");
        let asn = parse_asn(number).ok_or_else(|| format!("{number:?} is not an AS number"))?;
        match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                self.v4.push((first.into(), last.into(), asn));
            }
            (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                self.v6.push((first.into(), last.into(), asn));
            }
            _ => {
                let what = "the range does not run from a lower to a higher address of one family";
                return Err(what.to_owned());
            }
        }
        if let Some(name) = field(row, places, 3) {
            self.names.entry(asn).or_insert_with(|| name.to_owned());
        }
        Ok(())
    }
}

/// Returns the first and the last address of a row.
fn range_of(row: &csv::StringRecord, places: &ColumnNumbers) -> Result<(IpAddr, IpAddr), String> {
    let address = |column: usize| {
        let text = field(row, places, column).unwrap_or_default();
        text.parse::<IpAddr>()
            .map_err(|_| format!("{text:?} is not an address"))
    };
    match places.get(1) {
        Some(Some(_)) => Ok((address(0)?, address(1)?)),
        // The rows are by prefix; a lone address is a prefix of its whole length.
        _ => {
            let text = field(row, places, 0).unwrap_or_default();
            match parse_prefix(text) {
                Some(range) => Ok(range),
                None => address(0).map(|one| (one, one)),
            }
        }
    }
}

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(SaidVisitor)
    }
}

/// Reads what is said of a network, whatever its fields are called. Of several names the first of
/// [`NUMBER_NAMES`] and [`ORGANISATION_NAMES`] that is there counts.
struct SaidVisitor;

impl<'de> Visitor<'de> for SaidVisitor {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map about an autonomous system")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said, A::Error> {
        let mut said = Said::default();
        let (mut number_rank, mut organisation_rank) = (usize::MAX, usize::MAX);
        let rank = |names: &[&str], key: &str| names.iter().position(|name| *name == key);
        while let Some(key) = map.next_key::<String>()? {
            if let Some(place) = rank(&NUMBER_NAMES, &key).filter(|it| *it < number_rank) {
                (said.number, number_rank) = (map.next_value::<AsNumber>()?.0, place);
            } else if let Some(place) =
                rank(&ORGANISATION_NAMES, &key).filter(|it| *it < organisation_rank)
            {
                let Words(text) = map.next_value()?;
                let place = text.as_ref().map_or(organisation_rank, |_| place);
                (said.organisation, organisation_rank) = (text.or(said.organisation), place);
            } else {
                // The next key can be read only behind the value of this one.
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(said)
    }
}

/// A text, or something else under a name that others use for one, such as names by language.
struct Words(Option<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WordsVisitor)
    }
}

/// Reads [`Words`].
struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Words;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Words, E> {
        let text = text.trim();
        Ok(Words((!text.is_empty()).then(|| text.to_owned())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Words, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Words(None))
    }
}

/// The number of an autonomous system, as writers of databases have it: an integer of any width, or `AS64500`.
/// `None` where the text is empty.
struct AsNumber(Option<u32>);

impl<'de> Deserialize<'de> for AsNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AsNumberVisitor)
    }
}

/// Reads [`AsNumber`].
struct AsNumberVisitor;

impl Visitor<'_> for AsNumberVisitor {
    type Value = AsNumber;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the number of an autonomous system")
    }

    // Integers of 16 and of 32 bits arrive as these of 64.
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<AsNumber, E> {
        of_integer(value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<AsNumber, E> {
        of_integer(value)
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<AsNumber, E> {
        of_integer(value)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AsNumber, E> {
        match text.trim() {
            "" => Ok(AsNumber(None)),
            text => match parse_asn(text) {
                Some(number) => Ok(AsNumber(Some(number))),
                None => Err(E::custom(format!("{text:?} is no AS number"))),
            },
        }
    }
}

/// Returns the number of an autonomous system that an integer of any width is.
fn of_integer<E, T>(value: T) -> Result<AsNumber, E>
where
    E: serde::de::Error,
    T: TryInto<u32> + fmt::Display + Copy,
{
    let number = value.try_into().map(|number| AsNumber(Some(number)));
    number.map_err(|_| E::custom(format!("{value} is no AS number")))
}

/// Cuts ranges that overlap so that each address has the narrowest of them, of two that are equal the later,
/// and returns how many overlap one before. The ranges are sorted then.
fn settle_overlaps<T: Ord + Copy>(
    ranges: &mut Vec<(T, T, u32)>,
    wide: impl Fn(T) -> u128,
    narrow: impl Fn(u128) -> T,
) -> usize {
    ranges.sort_by_key(|range| range.0);
    let mut last: Option<T> = None;
    let mut overlaps = 0;
    for range in ranges.iter() {
        overlaps += usize::from(last.is_some_and(|last| range.0 <= last));
        last = last.max(Some(range.1));
    }
    if overlaps == 0 {
        return 0;
    }
    let bounds = |range: &(T, T, u32)| (wide(range.0), wide(range.1));
    let mut points: Vec<u128> = ranges.iter().map(|range| bounds(range).0).collect();
    points.extend(
        ranges
            .iter()
            .filter_map(|range| bounds(range).1.checked_add(1)),
    );
    points.sort_unstable();
    points.dedup();
    let mut begin = 0;
    let mut ends: BTreeMap<u128, Vec<usize>> = BTreeMap::new();
    let mut open: BTreeSet<(u128, Reverse<usize>)> = BTreeSet::new();
    let mut cut = Vec::new();
    for (i, point) in points.iter().enumerate() {
        let over = point.checked_sub(1).and_then(|before| ends.remove(&before));
        for at in over.into_iter().flatten() {
            let (first, last) = bounds(&ranges[at]);
            open.remove(&(last - first, Reverse(at)));
        }
        while let Some((first, last)) = ranges.get(begin).map(bounds).filter(|it| it.0 == *point) {
            open.insert((last - first, Reverse(begin)));
            ends.entry(last).or_default().push(begin);
            begin += 1;
        }
        if let Some((_, Reverse(at))) = open.first() {
            let last = points.get(i + 1).map_or(u128::MAX, |next| next - 1);
            let last = last.min(bounds(&ranges[*at]).1);
            cut.push((narrow(*point), narrow(last), ranges[*at].2));
        }
    }
    *ranges = cut;
    overlaps
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

    fn load(text: &str) -> Result<AsnTable, TableError> {
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
            ("192.0.2.0,192.0.2.9,1\nfoo,bar,1\n", "line 2"),
            (
                "foo,bar,1\n192.0.2.0,192.0.2.9,1\n",
                "nor is it a heading, which names start, end",
            ),
            ("192.0.2.0,192.0.2.9,1,Net, One\n", "line 1: 5 fields"),
            (
                "192.0.2.0,192.0.2.9,1,\"Net\n192.0.2.10,192.0.2.19,1\n",
                "quote not closed",
            ),
        ] {
            let error = load(text).expect_err(text).to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_table_that_knows_nobody_is_refused() {
        for text in [
            "",
            "# comment\n",
            "start,end,asn\n",
            "192.0.2.0,192.0.2.255,0\n",
        ] {
            let error = load(text).expect_err(text).to_string();
            assert!(error.contains("is empty"), "{error}");
        }
    }

    #[test]
    fn of_ranges_that_overlap_the_narrowest_counts() {
        let table = load("192.0.2.0,192.0.2.255,1\n192.0.2.64,192.0.2.127,2\n192.0.2.100,192.0.2.200,3\n192.0.2.64,192.0.2.127,4\n::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,5\n2001:db8::,2001:db8::ffff,6\n").expect("valid");
        let asn = |text: &str| table.lookup(text.parse().expect("valid"));
        let found = [
            "192.0.2.63",
            "192.0.2.64",
            "192.0.2.127",
            "192.0.2.128",
            "192.0.2.201",
        ]
        .map(asn);
        assert_eq!(found, [Some(1), Some(4), Some(4), Some(3), Some(1)]);
        let found = [
            "::",
            "2001:db8::1",
            "2001:db8::1:0",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ]
        .map(asn);
        assert_eq!(found, [Some(5), Some(6), Some(5), Some(5)]);
        assert!(
            table.summary().notes[0].starts_with("4 ranges overlap"),
            "{:?}",
            table.summary()
        );
    }

    #[test]
    fn headings_of_published_tables_are_understood() {
        let maxmind = "network,autonomous_system_number,autonomous_system_organization\n192.0.2.0/24,64500,\"Net, One\"\n";
        let ipinfo =
            "start_ip,end_ip,country,asn,as_name\n192.0.2.0,192.0.2.255,XX,AS64500,\"Net, One\"\n";
        for text in [maxmind, ipinfo] {
            let table = load(text).expect("valid");
            assert_eq!(
                table.lookup("192.0.2.9".parse().expect("valid")),
                Some(64500),
                "{text}"
            );
            assert_eq!(table.name(64500), Some("Net, One"), "{text}");
        }
    }
}
