//! Asks the system early for the pages that a lookup is about to read.
//!
//! SQLite reads a page when it comes to it, and waits. A lookup in years of history comes to some eighty that the
//! system does not hold, most of which do not depend on one another. So the same B-trees are walked here level by
//! level (sqlite.org/fileformat2.html, section 1.6), and all pages of a level are asked for at once.
//!
//! It is advice and nothing else: nothing that is read here is told to anybody. The write-ahead log is not looked
//! at, so that a page may be out of date, and any octets are put up with; then the wrong pages are asked for.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::file;

/// Tables and indexes that a lookup of a name reads.
const LOOKED_AT: [&str; 11] = [
    "gap",
    "host",
    "meta",
    "past_record",
    "record",
    "source",
    "sqlite_autoindex_owner_1",
    "sqlite_autoindex_zone_1",
    "version",
    "version_by_zone",
    "zone",
];
/// Trees of which a lookup reads much of the level below the root.
const UPPER_LEVELS: [&str; 3] = ["host", "past_record", "record"];
/// A level below a root that has more pages than this is not asked for as a whole.
const UPPER_PAGES_MAX: usize = 32;
/// Levels of a B-tree that are walked at most. One of ten million pages has four.
const LEVELS_MAX: usize = 8;
/// Keys below all pages of a level that are walked at most: of a damaged tree each page may lead to any others.
const LEVEL_KEYS_MAX: usize = 10_000;
/// Neighbouring pages that are asked for at most because rows of one key may reach over all of them.
const NEIGHBOURS_MAX: usize = 8;
/// After so many requests pages are no longer asked for: names are looked up in the order in which they lie, and
/// their neighbours have brought what they need.
const REQUESTS_MAX: u32 = 64;
/// The first octets of a file: new tables begin there, before there are rows, and the schema lies there.
const FIRST_OCTETS: u64 = 256 << 10;
/// Pages as near as this are asked for in one request, with what lies between them.
const APART_OCTETS_MAX: u64 = 32 << 10;
/// The first page begins with the header of the file.
const FILE_HEADER_OCTETS: usize = 100;

/// Pages that hold inner nodes, by their first octet: of an index, of a table.
const INDEX_INNER: u8 = 2;
const TABLE_INNER: u8 = 5;

/// Returns whether a lookup reads the table or index of this name.
pub(super) fn is_looked_at(name: &str) -> bool {
    LOOKED_AT.contains(&name)
}

/// Keys: of a table, its rows' numbers; of an index, the first columns of its entries.
pub(super) type Keys = Vec<Vec<i64>>;

/// Pages of one level of a tree, and the keys that are looked for below each.
type Level<'a> = BTreeMap<u32, Vec<&'a [i64]>>;

/// The file of a database, read beside SQLite.
///
/// A process loses all its `fcntl` locks on a file when it closes any descriptor of it (POSIX), SQLite's too. So
/// this one is never closed: it is for programs that look something up and end.
pub(super) struct Ahead {
    file: &'static File,
    page_octets: usize,
    roots: HashMap<String, u32>,
    requests: Cell<u32>,
}

impl Ahead {
    /// Opens a file and asks for its first pages. `None` if that cannot be done.
    pub(super) fn begin(path: &Path) -> Option<&'static File> {
        let file: &'static File = Box::leak(Box::new(file::open(path).ok()?));
        will_need(file, 0..FIRST_OCTETS);
        Some(file)
    }

    /// Asks for the pages that hold the schema of a file. `None` if it is no database.
    pub(super) fn over(file: &'static File) -> Option<Self> {
        let mut header = [0; FILE_HEADER_OCTETS];
        file.read_exact_at(&mut header, 0).ok()?;
        let page_octets = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            octets => usize::from(octets),
        };
        let ahead = Self {
            file,
            page_octets: (page_octets >= 512).then_some(page_octets)?,
            roots: HashMap::new(),
            requests: Cell::new(0),
        };
        ahead.ask_for(ahead.read(1, &mut Vec::new())?.all_children().collect());
        Some(ahead)
    }

    /// Learns where the trees begin that a lookup reads, and asks for their first pages.
    pub(super) fn learn_roots(&mut self, roots: HashMap<String, u32>) {
        self.ask_for(roots.values().copied().collect());
        self.roots = roots;
        self.ask_below_roots(&UPPER_LEVELS.map(|name| (name, Vec::new())));
    }

    /// Asks for the pages right below the roots of trees on which keys lie, or for all of them if no keys are given
    /// and they are few. Does not wait for them.
    pub(super) fn ask_below_roots(&self, wanted: &[(&str, Keys)]) {
        let (mut pages, mut octets) = (BTreeSet::new(), Vec::new());
        for (name, keys) in wanted {
            let root = self.roots.get(*name);
            let root = root.and_then(|root| self.read(*root, &mut octets));
            let Some(node) = root.filter(Node::is_inner) else {
                continue;
            };
            pages.extend(keys.iter().flat_map(|key| node.children(key)));
            if keys.is_empty() && node.cells().len() < UPPER_PAGES_MAX {
                pages.extend(node.all_children());
            }
        }
        self.ask_for(pages);
    }

    /// Asks for the pages on which keys lie in trees. Returns when the innermost pages are asked for.
    pub(super) fn ask(&self, wanted: &[(&str, Keys)]) {
        self.walk(wanted, |pages| self.ask_for(pages));
    }

    /// Returns whether more is to be asked for, and counts that it is.
    pub(super) fn takes_more(&self) -> bool {
        let count = self.requests.get();
        self.requests.set(count.saturating_add(1));
        count < REQUESTS_MAX
    }

    /// Passes the pages on which keys lie, level by level, and goes on with the next when one is read.
    fn walk(&self, wanted: &[(&str, Keys)], mut pass: impl FnMut(BTreeSet<u32>)) {
        // Of each tree, the pages of the level that is reached, and which keys lie below them.
        let mut levels: Vec<Level<'_>> = wanted
            .iter()
            .filter(|(_, keys)| !keys.is_empty())
            .filter_map(|(name, keys)| {
                let keys = keys.iter().map(Vec::as_slice).collect();
                Some(Level::from([(*self.roots.get(*name)?, keys)]))
            })
            .collect();
        for _ in 0..LEVELS_MAX {
            pass(levels.iter().flat_map(Level::keys).copied().collect());
            levels = levels.iter().map(|level| self.next_level(level)).collect();
            levels.retain(|level| !level.is_empty());
        }
    }

    /// Returns the level below one; an empty one if the pages are leaves.
    fn next_level<'a>(&self, level: &Level<'a>) -> Level<'a> {
        let (mut below, mut count, mut octets) = (Level::new(), 0, Vec::new());
        for (page, keys) in level {
            match self.read(*page, &mut octets) {
                Some(node) if node.is_inner() => {
                    for key in keys.iter().take(LEVEL_KEYS_MAX.saturating_sub(count)) {
                        for child in node.children(key) {
                            below.entry(child).or_default().push(*key);
                            count += 1;
                        }
                    }
                }
                // All leaves of a tree are on one level, and the others need not be read here.
                Some(_) => break,
                None => {}
            }
        }
        below
    }

    /// Asks the system for pages.
    fn ask_for(&self, pages: BTreeSet<u32>) {
        let octets = self.page_octets as u64;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for page in pages {
            let begin = u64::from(page.saturating_sub(1)) * octets;
            match ranges.last_mut() {
                Some(last) if begin <= last.end + APART_OCTETS_MAX => last.end = begin + octets,
                _ => ranges.push(begin..begin + octets),
            }
        }
        for range in ranges {
            will_need(self.file, range);
        }
    }

    /// Reads a page into a buffer. `None` if it is not there.
    fn read<'a>(&self, page: u32, octets: &'a mut Vec<u8>) -> Option<Node<'a>> {
        octets.resize(self.page_octets, 0);
        let begin = u64::from(page.checked_sub(1)?) * self.page_octets as u64;
        self.file.read_exact_at(octets, begin).ok()?;
        let header_at = if page == 1 { FILE_HEADER_OCTETS } else { 0 };
        Some(Node { octets, header_at })
    }
}

/// Asks the system for octets of a file. What it does not read now is read when SQLite comes to it.
#[cfg(target_os = "linux")]
fn will_need(file: &File, octets: Range<u64>) {
    let count = std::num::NonZeroU64::new(octets.end - octets.start);
    let _ = rustix::fs::fadvise(file, octets.start, count, rustix::fs::Advice::WillNeed);
}

/// Other systems are asked for nothing: not all of them know the call.
#[cfg(not(target_os = "linux"))]
fn will_need(_: &File, _: Range<u64>) {}

/// A page of a B-tree.
struct Node<'a> {
    octets: &'a [u8],
    header_at: usize,
}

impl Node<'_> {
    /// Returns whether there are pages below this one.
    fn is_inner(&self) -> bool {
        matches!(
            self.octets.get(self.header_at),
            Some(&(INDEX_INNER | TABLE_INNER))
        )
    }

    /// Returns where the cells of an inner page are: each leads to the page with what is not after its key.
    fn cells(&self) -> &[[u8; 2]] {
        let count = self.octets.get(self.header_at + 3..self.header_at + 5);
        let count = count.map_or(0, |octets| {
            usize::from(octets[0]) << 8 | usize::from(octets[1])
        });
        let begin = self.header_at + 12;
        let pointers = self.octets.get(begin..begin + 2 * count);
        pointers
            .filter(|_| self.is_inner())
            .map_or(&[], |octets| octets.as_chunks().0)
    }

    /// Returns the octets of a cell, and of what is behind it.
    fn cell(&self, pointer: [u8; 2]) -> &[u8] {
        self.octets
            .get(usize::from(u16::from_be_bytes(pointer))..)
            .unwrap_or_default()
    }

    /// Returns the page that a cell leads to, or that what is after all of them leads to.
    fn child(&self, number: usize) -> Option<u32> {
        let octets = match self.cells().get(number) {
            Some(pointer) => self.cell(*pointer),
            None => self.octets.get(self.header_at + 8..)?,
        };
        octets
            .first_chunk()
            .map(|octets| u32::from_be_bytes(*octets))
    }

    /// Returns all pages below.
    fn all_children(&self) -> impl Iterator<Item = u32> {
        let count = if self.is_inner() {
            self.cells().len() + 1
        } else {
            0
        };
        (0..count).filter_map(|number| self.child(number))
    }

    /// Returns the pages below on which a key lies, in an index also what begins with it.
    fn children(&self, key: &[i64]) -> impl Iterator<Item = u32> {
        let cells = self.cells();
        let order = |pointer: &[u8; 2]| self.order(*pointer, key).unwrap_or(Ordering::Greater);
        let first = cells.partition_point(|pointer| order(pointer) == Ordering::Less);
        let last =
            first + cells[first..].partition_point(|pointer| order(pointer) == Ordering::Equal);
        (first..=last)
            .take(NEIGHBOURS_MAX)
            .filter_map(|number| self.child(number))
    }

    /// Compares a cell's key with the beginning of one.
    fn order(&self, pointer: [u8; 2], key: &[i64]) -> Option<Ordering> {
        let cell = self.cell(pointer).get(4..)?;
        let (first, rest) = number(cell)?;
        if self.octets.get(self.header_at) == Some(&TABLE_INNER) {
            return Some(first.cmp(key.first()?));
        }
        // An entry: its length, then the types of its columns, then the columns (section 2.1).
        let (header_octets, after) = number(rest)?;
        let header_octets = usize::try_from(header_octets).ok()?;
        let (mut types, mut values) = (after, rest.get(header_octets..)?);
        for wanted in key {
            let (kind, more) = number(types)?;
            types = more;
            let octets = match kind {
                1..=4 => kind as usize,
                5 => 6,
                6 => 8,
                8 | 9 => 0,
                _ => return None,
            };
            let value = match kind {
                8 | 9 => kind - 8,
                _ => integer(values.get(..octets)?),
            };
            values = values.get(octets..)?;
            match value.cmp(wanted) {
                Ordering::Equal => {}
                unequal => return Some(unequal),
            }
        }
        Some(Ordering::Equal)
    }
}

/// Reads a number of one to nine octets, the most significant first (section 1.6, "varint").
fn number(octets: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0_i64;
    for (at, octet) in octets.iter().enumerate().take(9) {
        if at == 8 {
            return Some((value << 8 | i64::from(*octet), &octets[9..]));
        }
        value = value << 7 | i64::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            return Some((value, &octets[at + 1..]));
        }
    }
    None
}

/// Reads an integer of up to eight octets in two's complement.
fn integer(octets: &[u8]) -> i64 {
    let negative = octets.first().is_some_and(|octet| octet & 0x80 != 0);
    octets
        .iter()
        .fold(if negative { -1 } else { 0 }, |value, octet| {
            value << 8 | i64::from(*octet)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::{Connection, params};

    use super::*;
    use crate::store::schema::trees;

    /// Columns of a key, of every length that SQLite stores.
    fn column(number: i64) -> i64 {
        [
            number % 2,
            number % 100 - 50,
            number * 7,
            number << 20,
            -(number << 30),
            number << 44,
        ][number as usize % 6]
    }

    /// Makes a database with a table and an index of some thousand pages.
    fn database(path: &Path) -> Ahead {
        let mut connection = Connection::open(path).expect("made");
        connection
            .execute_batch(
                "pragma page_size = 512;
                 create table host (id integer primary key, name text);
                 create table record (a integer, b integer, name text, primary key (a, b)) without rowid;",
            )
            .expect("made");
        let tx = connection.transaction().expect("begun");
        for number in 0..20_000 {
            let name = format!("<{number}>");
            let id = number << (number % 20);
            tx.execute(
                "insert or ignore into host values (?, ?)",
                params![id, name],
            )
            .expect("written");
            let key = (column(number), number);
            tx.execute(
                "insert into record values (?, ?, ?)",
                params![key.0, key.1, name],
            )
            .expect("written");
        }
        tx.commit().expect("committed");
        let mut ahead = Ahead::begin(path)
            .and_then(Ahead::over)
            .expect("a database");
        ahead.learn_roots(trees(&connection, is_looked_at).expect("read"));
        ahead
    }

    /// Returns whether one of the pages that are asked for holds a text.
    fn holds(ahead: &Ahead, tree: &str, key: &[i64], text: &str) -> bool {
        let mut pages = Vec::new();
        ahead.walk(&[(tree, vec![key.to_vec()])], |level| pages.extend(level));
        assert!((2..=64).contains(&pages.len()), "{key:?}: {pages:?}");
        let has = |node: Node<'_>| {
            node.octets
                .windows(text.len())
                .any(|octets| octets == text.as_bytes())
        };
        let mut octets = Vec::new();
        let mut read = |page: &u32| ahead.read(*page, &mut octets).is_some_and(has);
        pages.iter().any(&mut read)
    }

    #[test]
    fn pages_asked_for_are_those_that_hold_the_keys() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let ahead = database(&path);
        let connection = Connection::open(&path).expect("opened");
        let mut rows = connection
            .prepare("select id, name from host where id % 37 = 0")
            .expect("sound");
        let rows = rows
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("read");
        let rows: Vec<(i64, String)> = rows.collect::<Result<_, _>>().expect("read");
        assert!(rows.len() > 300);
        for (id, name) in rows {
            assert!(holds(&ahead, "host", &[id], &name), "row {id}");
        }
        for number in (0..20_000).step_by(37) {
            let key = [column(number), number];
            assert!(
                holds(&ahead, "record", &key, &format!("<{number}>")),
                "entry {key:?}"
            );
        }
        // A beginning of a key leads to where its entries begin.
        let first: (i64, String) = connection
            .query_row(
                "select b, name from record where a = 0 order by b limit 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .expect("read");
        assert!(holds(&ahead, "record", &[0], &first.1), "{first:?}");
    }

    #[test]
    fn many_names_are_not_all_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let ahead = database(&folder.path().join("a.db"));
        assert!((0..REQUESTS_MAX).all(|_| ahead.takes_more()));
        assert!(!ahead.takes_more());
    }

    #[test]
    fn what_is_no_database_is_not_walked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        assert!(Ahead::begin(&path).and_then(Ahead::over).is_none());
        std::fs::write(&path, "short").expect("written");
        assert!(Ahead::begin(&path).and_then(Ahead::over).is_none());
        std::fs::remove_file(&path).expect("removed");
        // One that was cut ends the walk where it ends.
        let ahead = database(&path);
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(512 * 100))
            .expect("cut");
        ahead.ask(&[
            ("host", vec![vec![7]]),
            ("record", vec![vec![1, 1]]),
            ("unknown", vec![vec![1]]),
        ]);
    }

    #[test]
    fn pages_that_lead_to_one_another_are_not_walked_for_ever() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let ahead = database(&path);
        // Every page is an inner one of an index, with 64 cells of the key 0 that lead to any page but the first.
        let pages = 2000_u32;
        let mut octets = Vec::new();
        for page in 0..pages {
            let begin = octets.len();
            octets.extend([INDEX_INNER, 0, 0, 0, 64, 0, 0, 0]);
            octets.extend((page + 2).min(pages).to_be_bytes());
            octets.extend((0..64_u16).flat_map(|cell| (140 + cell % 32 * 8).to_be_bytes()));
            for cell in 0..32_u32 {
                octets.extend(((page * 31 + cell * 61) % (pages - 1) + 2).to_be_bytes());
                octets.extend([3, 2, 8, 0]);
            }
            octets.resize(begin + 512, 0);
        }
        std::fs::write(&path, octets).expect("written");
        let key = [0];
        let mut level = Level::from([(2, vec![key.as_slice(); 50])]);
        let mut counts = Vec::new();
        for _ in 0..LEVELS_MAX {
            level = ahead.next_level(&level);
            counts.push(level.values().map(Vec::len).sum::<usize>());
        }
        // It grows eightfold until it is as wide as it may be.
        assert_eq!(
            counts[..2],
            [50 * NEIGHBOURS_MAX, 50 * NEIGHBOURS_MAX.pow(2)]
        );
        let most = LEVEL_KEYS_MAX..=LEVEL_KEYS_MAX * NEIGHBOURS_MAX;
        assert!(
            counts[2..].iter().all(|count| most.contains(count)),
            "{counts:?}"
        );
    }

    proptest! {
        #[test]
        fn any_octets_are_put_up_with(
            kind in prop::sample::select(vec![INDEX_INNER, TABLE_INNER]),
            mut octets in prop::collection::vec(any::<u8>(), 0..600),
            key in prop::collection::vec(any::<i64>(), 0..3),
            header_at in prop::sample::select(vec![0, FILE_HEADER_OCTETS]),
        ) {
            if let Some(first) = octets.get_mut(header_at) {
                *first = kind;
            }
            let node = Node { octets: &octets, header_at };
            prop_assert!(node.children(&key).count() <= NEIGHBOURS_MAX);
            prop_assert!(node.all_children().count() <= 65_536);
        }
    }
}
