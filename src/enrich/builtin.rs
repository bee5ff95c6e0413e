//! The table of autonomous systems that comes with the program: ranges that are searched where they lie in the
//! program's own file, so that it costs no memory and no time at start, and names that are unpacked when
//! one is asked for.
//!
//! `examples/make_asn_table.rs` makes both files from published ones; `data/asn/README.md` says of which, when, and
//! under which licence. All numbers are little-endian:
//!
//! ```text
//! magic "FWASN1\r\n", made_at i64, then of IPv4 and of IPv6: ranges u32, blocks u32
//! of each family: blocks times (first address u128, offset u32)
//! of each family: ranges, in order, BLOCK to a block: gap after the last end, size - 1, AS number
//! ```
//!
//! Gap and size are LEB128 of a number whose lowest bits say its unit: most ranges begin and end at a /24 or a /48.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::enrich::asn::AsnTable;
use crate::enrich::table::TableSummary;
use crate::time::Timestamp;

/// The ranges.
const RANGES: &[u8] = include_bytes!("../../data/asn/ranges.bin");
/// The names, packed by zstd: lines of number, tab, name, in the order of the numbers.
const NAMES: &[u8] = include_bytes!("../../data/asn/names.zst");
/// What the files begin with.
const MAGIC: &[u8; 8] = b"FWASN1\r\n";
/// How many ranges a block has; one block is read for an answer.
const BLOCK: usize = 128;
/// Octets of an entry of the index.
const ENTRY: usize = 20;
/// The last address of 2000::/3 (RFC 4291 §2.4): all that is announced lies below, and a number has room for its unit.
const LAST_V6: u128 = (1 << 126) - 1;
/// The most octets that the names unpack to.
const NAMES_OCTETS_MAX: usize = 16 << 20;
/// How many answers are kept, at some 40 octets each.
const ANSWERS_MAX: usize = 50_000;
/// Who made what the table is made of, and how it may be used: to be said wherever its answers are shown.
const ATTRIBUTION: &str = "built in; from RouteViews, NRO and DB-IP.com, CC BY 4.0";

/// The built-in table.
#[derive(Debug)]
pub struct BuiltInTable {
    v4: Family,
    v6: Family,
    summary: TableSummary,
    names: OnceLock<BTreeMap<u32, String>>,
    /// What was answered lately: who fluxes is judged again and again by the same addresses.
    answers: Mutex<HashMap<IpAddr, Option<u32>>>,
}

/// The ranges of a family.
#[derive(Debug)]
struct Family {
    /// The index: where each block begins.
    index: &'static [u8],
    /// The blocks.
    blocks: &'static [u8],
    /// How many ranges there are.
    count: usize,
    /// Units of gaps and sizes, as bits to shift: of the lowest two bits 00, 01 and 11.
    units: [u32; 3],
}

/// A range that was read, and what follows it.
struct Read {
    first: u128,
    last: u128,
    asn: u32,
}

impl BuiltInTable {
    /// Opens the table.
    ///
    /// # Panics
    ///
    /// Never with the files that are compiled in: a test reads them whole.
    pub fn open() -> Self {
        Self::read(RANGES).expect("the built-in table is sound")
    }

    /// Reads the head of a table; `None` if it is none.
    fn read(octets: &'static [u8]) -> Option<Self> {
        let rest = octets.strip_prefix(MAGIC)?;
        let (made_at, rest) = rest.split_first_chunk::<8>()?;
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let count = |i: usize| {
            let bytes = counts[4 * i..4 * i + 4].try_into();
            u32::from_le_bytes(bytes.unwrap_or_default()) as usize
        };
        let (index_v4, rest) = rest.split_at_checked(count(1) * ENTRY)?;
        let (index_v6, blocks) = rest.split_at_checked(count(3) * ENTRY)?;
        let family = |index, count, units| Family {
            index,
            blocks,
            count,
            units,
        };
        let made_at = Timestamp::from_unix(i64::from_le_bytes(*made_at));
        Some(Self {
            v4: family(index_v4, count(0), UNITS_V4),
            v6: family(index_v6, count(2), UNITS_V6),
            summary: TableSummary {
                rows: count(0) + count(2),
                unit: "ranges",
                made_at: Some(made_at),
                notes: Vec::new(),
            },
            names: OnceLock::new(),
            answers: Mutex::default(),
        })
    }

    /// Returns what the table holds.
    pub fn summary(&self) -> &TableSummary {
        &self.summary
    }

    /// Returns how the table is called beside its date: what it is made of, and its licence.
    pub fn title() -> &'static str {
        ATTRIBUTION
    }

    /// Returns the autonomous system of an address, if a range holds it.
    pub fn lookup(&self, address: IpAddr) -> Option<u32> {
        // Nothing panics while it is locked.
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers.get(&address) {
            return *known;
        }
        let found = match address {
            IpAddr::V4(address) => self.v4.find(u32::from(address).into()),
            IpAddr::V6(address) => self.v6.find(address.into()),
        };
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(address, found);
        found
    }

    /// Returns the organisation of an autonomous system, if the table names it. Unpacks the names at first.
    pub fn name(&self, asn: u32) -> Option<&str> {
        let names = self
            .names
            .get_or_init(|| unpack_names().unwrap_or_default());
        names.get(&asn).map(String::as_str)
    }
}

/// The units of IPv4: a /24, an address.
const UNITS_V4: [u32; 3] = [8, 8, 0];
/// The units of IPv6: a /48, a /64, an address.
const UNITS_V6: [u32; 3] = [80, 64, 0];

impl Family {
    /// Returns the number of the range that holds an address.
    fn find(&self, address: u128) -> Option<u32> {
        let (mut low, mut high) = (0, self.index.len() / ENTRY);
        while low < high {
            let middle = low.midpoint(high);
            if self.entry(middle)?.0 <= address {
                low = middle + 1
            } else {
                high = middle
            }
        }
        let block = low.checked_sub(1)?;
        let ranges = self.block(block)?;
        let found = ranges
            .take_while(|range| range.first <= address)
            .find(|range| address <= range.last)?;
        // AS 0 stands for ranges that nobody announces.
        Some(found.asn).filter(|asn| *asn != 0)
    }

    /// Returns where a block begins: its first address and its offset.
    fn entry(&self, block: usize) -> Option<(u128, usize)> {
        let entry = self.index.get(block * ENTRY..(block + 1) * ENTRY)?;
        let (first, offset) = entry.split_first_chunk::<16>()?;
        let offset = u32::from_le_bytes(offset.try_into().ok()?);
        Some((u128::from_le_bytes(*first), offset as usize))
    }

    /// Returns the ranges of a block, in order.
    fn block(&self, block: usize) -> Option<impl Iterator<Item = Read> + '_> {
        let (mut next, offset) = self.entry(block)?;
        let mut rest = self.blocks.get(offset..)?;
        let count = BLOCK.min(self.count.checked_sub(block * BLOCK)?);
        Some((0..count).map_while(move |_| {
            let first = next.checked_add(self.number(&mut rest)?)?;
            let last = first.checked_add(self.number(&mut rest)?)?;
            let asn = u32::try_from(take_varint(&mut rest)?).ok()?;
            next = last.checked_add(1).unwrap_or(last);
            Some(Read { first, last, asn })
        }))
    }

    /// Takes a gap, or a size less 1, off.
    fn number(&self, rest: &mut &[u8]) -> Option<u128> {
        let value = take_varint(rest)?;
        Some(match value & 3 {
            0b00 => (value >> 2) << self.units[0],
            0b01 => (value >> 2) << self.units[1],
            0b10 => ((value >> 2) << self.units[0]) | ((1 << self.units[0]) - 1),
            _ => value >> 2,
        })
    }
}

/// Takes a number off, seven bits an octet, the lowest first.
fn take_varint(rest: &mut &[u8]) -> Option<u128> {
    let mut value = 0;
    for shift in (0..128).step_by(7) {
        let (octet, after) = rest.split_first()?;
        *rest = after;
        value |= u128::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Unpacks the names.
fn unpack_names() -> Option<BTreeMap<u32, String>> {
    let text = zstd::bulk::decompress(NAMES, NAMES_OCTETS_MAX).ok()?;
    let lines = std::str::from_utf8(&text).ok()?.lines();
    let pairs = lines.filter_map(|line| line.split_once('\t'));
    let pairs = pairs.filter_map(|(number, name)| Some((number.parse().ok()?, name.to_owned())));
    Some(pairs.collect())
}

/// Packs a table that was read from a file in the form that is built in: its ranges, and its names. For
/// `examples/make_asn_table.rs`.
///
/// # Errors
///
/// If zstd fails, or a range lies beyond [`LAST_V6`].
pub fn pack_table(table: &AsnTable, made_at: Timestamp) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let (v4, v6) = (table.ranges_v4(), table.ranges_v6());
    if v6.iter().any(|(_, last, _)| *last > LAST_V6) {
        let what = "a range of IPv6 ends beyond 3fff:ffff::, where nothing is announced";
        return Err(std::io::Error::other(what));
    }
    let v4: Vec<(u128, u128, u32)> = v4
        .iter()
        .map(|(first, last, asn)| (u128::from(*first), u128::from(*last), *asn))
        .collect();
    let mut blocks = Vec::new();
    let index_v4 = pack_family(&v4, UNITS_V4, &mut blocks);
    let index_v6 = pack_family(v6, UNITS_V6, &mut blocks);
    let mut octets = MAGIC.to_vec();
    octets.extend(made_at.unix().to_le_bytes());
    for (ranges, index) in [(v4.len(), &index_v4), (v6.len(), &index_v6)] {
        octets.extend((ranges as u32).to_le_bytes());
        octets.extend(((index.len() / ENTRY) as u32).to_le_bytes());
    }
    octets.extend(index_v4);
    octets.extend(index_v6);
    octets.extend(blocks);
    let mut names = String::new();
    for (asn, name) in table.names() {
        let name = name.replace(['\t', '\n', '\r'], " ");
        names.push_str(&format!("{asn}\t{name}\n"));
    }
    Ok((octets, zstd::bulk::compress(names.as_bytes(), 19)?))
}

/// Packs the ranges of a family; returns its index.
fn pack_family(ranges: &[(u128, u128, u32)], units: [u32; 3], blocks: &mut Vec<u8>) -> Vec<u8> {
    let mut index = Vec::new();
    for block in ranges.chunks(BLOCK) {
        let mut next = block[0].0;
        index.extend(next.to_le_bytes());
        index.extend((blocks.len() as u32).to_le_bytes());
        for (first, last, asn) in block {
            put_number(blocks, first - next, units);
            put_number(blocks, last - first, units);
            put_varint(blocks, u128::from(*asn));
            next = last.saturating_add(1);
        }
    }
    index
}

/// Puts a gap, or a size less 1, in the largest unit that has it whole.
fn put_number(blocks: &mut Vec<u8>, value: u128, units: [u32; 3]) {
    let [large, middle, _] = units;
    let rest = |bits: u32| value & ((1 << bits) - 1);
    let packed = match value {
        _ if rest(large) == 0 => (value >> large) << 2,
        _ if rest(large) == (1 << large) - 1 => ((value >> large) << 2) | 0b10,
        _ if rest(middle) == 0 => ((value >> middle) << 2) | 0b01,
        // [`LAST_V6`] leaves room for the two bits.
        _ => (value << 2) | 0b11,
    };
    put_varint(blocks, packed);
}

/// Puts a number, seven bits an octet, the lowest first.
fn put_varint(blocks: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        blocks.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    blocks.push(value as u8);
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Packs a table of CSV and opens it.
    fn packed(text: &str) -> (AsnTable, BuiltInTable) {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        let table = AsnTable::load(file.path()).expect("sound");
        let (ranges, _) = pack_table(&table, Timestamp::from_unix(86_400)).expect("packed");
        let opened = BuiltInTable::read(Box::leak(ranges.into_boxed_slice())).expect("opened");
        (table, opened)
    }

    #[test]
    fn a_packed_table_answers_as_the_one_it_was_made_of() {
        // Two blocks, gaps, single addresses, and ranges that begin and end at no /24 and no /48.
        let mut text = String::new();
        for n in 0..200_u32 {
            let first = std::net::Ipv4Addr::from(0x0a00_0000 + n * 1000);
            let last = std::net::Ipv4Addr::from(0x0a00_0000 + n * 1000 + n * 4);
            text += &format!("{first},{last},{}\n", 64_500 + n * 100_000);
        }
        text += "2001:db8::,2001:db8:0:ffff:ffff:ffff:ffff:ffff,1\n2001:db8:1:2::,2001:db8:1:2:ffff:ffff:ffff:ffff,2\n2001:db8:2::5,2001:db8:2::6,3\n3f00::,3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,4\n";
        let (table, opened) = packed(&text);
        for address in (0x0a00_0000..0x0a00_0000 + 201_000).step_by(97) {
            let address = IpAddr::V4(std::net::Ipv4Addr::from(address));
            assert_eq!(opened.lookup(address), table.lookup(address), "{address}");
        }
        for text in [
            "::",
            "2001:db8::",
            "2001:db8:0:ffff::1",
            "2001:db8:1::",
            "2001:db8:1:2::9",
            "2001:db8:1:3::",
            "2001:db8:2::4",
            "2001:db8:2::5",
            "2001:db8:2::6",
            "2001:db8:2::7",
            "3eff::",
            "3f00::1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "9.255.255.255",
            "255.255.255.255",
        ] {
            let address = text.parse().expect("an address");
            assert_eq!(opened.lookup(address), table.lookup(address), "{text}");
        }
        assert_eq!(opened.summary().made_at, Some(Timestamp::from_unix(86_400)));
    }

    #[test]
    fn every_range_of_the_built_in_table_can_be_read_and_is_in_order() {
        let table = BuiltInTable::open();
        let mut read = 0;
        for family in [&table.v4, &table.v6] {
            let mut after = None;
            for block in 0..family.index.len() / ENTRY {
                for range in family.block(block).expect("a block") {
                    assert!(after < Some(range.first) && range.first <= range.last);
                    after = Some(range.last);
                    read += 1;
                }
            }
        }
        assert_eq!(read, table.summary().rows);
        assert!(
            table
                .name(3320)
                .is_some_and(|name| name.contains("Telekom"))
        );
    }
}
