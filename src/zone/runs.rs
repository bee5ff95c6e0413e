//! The owners of a zone's first version in the order of their rows, sorted outside of memory: as long as they are read they
//! are sorted in runs, and when they are written the runs are merged.
//!
//! Rows that are written in the order of their keys are appended, each after the last; in any other order the database
//! reads and writes a page anew for nearly each of them as soon as it is larger than its cache.

use std::io::{self, SeekFrom};

use crate::zone::spool::Spool;

/// Octets of a run: sorted in memory, then written to the spool.
pub(super) const RUN_OCTETS: usize = 64 << 20;
/// How much of a run is read or written at a time, where there are few.
const READ_OCTETS: usize = 1 << 20;
/// How much of all runs is held at a time while they are merged.
const MERGE_OCTETS: usize = 64 << 20;
/// Octets of a group before its key: the lengths of the key, of the owner and of its records.
const HEAD_OCTETS: usize = 2 + 1 + 4;

/// A group of records of one owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyedGroup<'a> {
    /// The owner's key in its zone.
    pub key: &'a [u8],
    /// The owner's canonical wire name.
    pub owner: &'a [u8],
    /// Its records, as the intake writes them.
    pub records: &'a [u8],
}

impl<'a> KeyedGroup<'a> {
    /// Returns how long the group at the beginning of `octets` is; `None` if its head is not there.
    fn length(octets: &[u8]) -> Option<usize> {
        let head = octets.get(..HEAD_OCTETS)?;
        let key = u16::from_be_bytes([head[0], head[1]]) as usize;
        let records = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        Some(HEAD_OCTETS + key + head[2] as usize + records)
    }

    /// Returns the group at the beginning of `octets`, which holds all of it.
    fn read(octets: &'a [u8]) -> Self {
        let key_end = HEAD_OCTETS + u16::from_be_bytes([octets[0], octets[1]]) as usize;
        let owner_end = key_end + octets[2] as usize;
        let length = u32::from_be_bytes([octets[3], octets[4], octets[5], octets[6]]) as usize;
        Self {
            key: &octets[HEAD_OCTETS..key_end],
            owner: &octets[key_end..owner_end],
            records: &octets[owner_end..owner_end + length],
        }
    }

    /// Appends the group.
    fn write(&self, octets: &mut Vec<u8>) {
        octets.extend_from_slice(&(self.key.len() as u16).to_be_bytes());
        octets.push(self.owner.len() as u8);
        octets.extend_from_slice(&(self.records.len() as u32).to_be_bytes());
        octets.extend_from_slice(self.key);
        octets.extend_from_slice(self.owner);
        octets.extend_from_slice(self.records);
    }
}

/// Groups that are being sorted.
pub(super) struct Runs {
    /// The groups of the run in hand, in the order in which they came.
    octets: Vec<u8>,
    /// The first octets of each group's key as a number, and where the group stands.
    places: Vec<(u64, u32)>,
    /// Where each run begins in the spool, and where the last ends.
    borders: Vec<u64>,
    /// Octets of a run.
    run_octets: usize,
}

impl Runs {
    /// Begins.
    pub fn new(run_octets: usize) -> Self {
        Self {
            octets: Vec::new(),
            places: Vec::new(),
            borders: vec![0],
            run_octets,
        }
    }

    /// Returns how many octets of groups were taken.
    pub fn octets(&self) -> u64 {
        self.borders.last().copied().unwrap_or(0) + self.octets.len() as u64
    }

    /// Takes a group; a run that it fills is written to the spool.
    pub fn push(&mut self, group: KeyedGroup<'_>, spool: &mut impl Spool) -> io::Result<()> {
        self.places
            .push((first_octets(group.key), self.octets.len() as u32));
        group.write(&mut self.octets);
        if self.octets.len() < self.run_octets {
            return Ok(());
        }
        self.spill(spool)
    }

    /// Sorts the run in hand. Groups of one owner stay in the order in which they came.
    fn sort(&mut self) {
        let octets = &self.octets;
        let key = |at: u32| KeyedGroup::read(&octets[at as usize..]).key;
        self.places.sort_by(|(left, left_at), (right, right_at)| {
            let whole = || key(*left_at).cmp(key(*right_at));
            left.cmp(right).then_with(whole)
        });
    }

    /// Sorts the run in hand and writes it to the spool.
    fn spill(&mut self, spool: &mut impl Spool) -> io::Result<()> {
        self.sort();
        let mut waiting = Vec::with_capacity(READ_OCTETS + READ_OCTETS / 4);
        for (_, at) in &self.places {
            let rest = &self.octets[*at as usize..];
            let length = KeyedGroup::length(rest).expect("the group was written whole");
            waiting.extend_from_slice(&rest[..length]);
            if waiting.len() >= READ_OCTETS {
                spool.write_all(&waiting)?;
                waiting.clear();
            }
        }
        spool.write_all(&waiting)?;
        spool.flush()?;
        self.borders.push(self.octets());
        self.octets.clear();
        self.places.clear();
        Ok(())
    }

    /// Ends the last run. What is in memory stays there if it is the only one.
    pub fn merge(mut self, spool: &mut impl Spool) -> io::Result<Merged> {
        if self.borders.len() == 1 {
            self.sort();
            let (octets, places) = (self.octets, self.places);
            return Ok(Merged::InMemory {
                octets,
                places,
                next: 0,
            });
        }
        self.spill(spool)?;
        let octets = (MERGE_OCTETS / self.borders.len()).min(READ_OCTETS);
        let mut runs = Vec::with_capacity(self.borders.len() - 1);
        for border in self.borders.windows(2) {
            let mut run = RunReader::new(border[0], border[1], octets);
            run.fill(spool)?;
            runs.push(run);
        }
        let mut heads: Vec<usize> = (0..runs.len()).filter(|it| runs[*it].has_group()).collect();
        heads.sort_by(|left, right| runs[*left].head().cmp(&runs[*right].head()));
        Ok(Merged::OutOfMemory { runs, heads })
    }
}

/// Groups in the order of their owners' keys.
pub(super) enum Merged {
    /// All of them are in memory.
    InMemory {
        octets: Vec<u8>,
        places: Vec<(u64, u32)>,
        next: usize,
    },
    /// They are in runs of the spool.
    OutOfMemory {
        runs: Vec<RunReader>,
        /// The runs that are not at their ends, as a heap: no run's next group comes before that of the run in its half place.
        heads: Vec<usize>,
    },
}

impl Merged {
    /// Returns the next group; `None` at the end.
    pub fn peek(&self) -> Option<KeyedGroup<'_>> {
        match self {
            Self::InMemory {
                octets,
                places,
                next,
            } => {
                let (_, at) = places.get(*next)?;
                Some(KeyedGroup::read(&octets[*at as usize..]))
            }
            Self::OutOfMemory { runs, heads } => heads.first().map(|run| runs[*run].group()),
        }
    }

    /// Goes on to the group after the next.
    pub fn advance(&mut self, spool: &mut impl Spool) -> io::Result<()> {
        match self {
            Self::InMemory { next, .. } => *next += 1,
            Self::OutOfMemory { runs, heads } => {
                let run = heads[0];
                runs[run].advance(spool)?;
                if !runs[run].has_group() {
                    heads.swap_remove(0);
                }
                sift_down(runs, heads);
            }
        }
        Ok(())
    }
}

/// Brings the first run of a heap to its place.
fn sift_down(runs: &[RunReader], heads: &mut [usize]) {
    // Of two groups of one owner that of the earlier run came first.
    let comes_before =
        |left: usize, right: usize| (runs[left].head(), left) < (runs[right].head(), right);
    let mut at = 0;
    loop {
        let mut least = at;
        for child in [2 * at + 1, 2 * at + 2] {
            if child < heads.len() && comes_before(heads[child], heads[least]) {
                least = child;
            }
        }
        if least == at {
            return;
        }
        heads.swap(at, least);
        at = least;
    }
}

/// Reads a run.
pub(super) struct RunReader {
    buffer: Vec<u8>,
    /// Where the next group stands in the buffer.
    at: usize,
    /// The first octets of its key.
    first: u64,
    /// What is still to be read of the spool.
    from: u64,
    until: u64,
    octets: usize,
}

impl RunReader {
    /// Begins to read a part of the spool, so much at a time.
    fn new(from: u64, until: u64, octets: usize) -> Self {
        Self {
            buffer: Vec::new(),
            at: 0,
            first: 0,
            from,
            until,
            octets,
        }
    }

    /// Returns whether there is a next group.
    fn has_group(&self) -> bool {
        self.at < self.buffer.len()
    }

    /// Returns the next group, which is there.
    fn group(&self) -> KeyedGroup<'_> {
        KeyedGroup::read(&self.buffer[self.at..])
    }

    /// Returns what the next group is sorted by.
    fn head(&self) -> (u64, &[u8]) {
        (self.first, self.group().key)
    }

    /// Goes on to the group after the next.
    fn advance(&mut self, spool: &mut impl Spool) -> io::Result<()> {
        let length = KeyedGroup::length(&self.buffer[self.at..]).ok_or_else(cut_off)?;
        self.at += length;
        self.fill(spool)
    }

    /// Reads on until the next group is there to its end.
    fn fill(&mut self, spool: &mut impl Spool) -> io::Result<()> {
        loop {
            let rest = &self.buffer[self.at..];
            let need = KeyedGroup::length(rest).unwrap_or(HEAD_OCTETS);
            if rest.len() >= need {
                self.first = first_octets(self.group().key);
                return Ok(());
            }
            if self.from == self.until {
                return if rest.is_empty() {
                    Ok(())
                } else {
                    Err(cut_off())
                };
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            let more = need.max(self.octets) - self.buffer.len();
            let more = (more as u64).min(self.until - self.from) as usize;
            let have = self.buffer.len();
            self.buffer.resize(have + more, 0);
            spool.seek(SeekFrom::Start(self.from))?;
            spool.read_exact(&mut self.buffer[have..])?;
            self.from += more as u64;
        }
    }
}

/// Returns the first eight octets of a key as a number of the same order; zeros behind a shorter one.
fn first_octets(key: &[u8]) -> u64 {
    let mut first = [0; 8];
    let length = key.len().min(first.len());
    first[..length].copy_from_slice(&key[..length]);
    u64::from_be_bytes(first)
}

/// Returns the fault of a spool that ends inside of a group.
fn cut_off() -> io::Error {
    io::Error::from(io::ErrorKind::UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        // However long the runs, groups come in the order of their keys, and those of one key in the order in which
        // they were taken.
        #[test]
        fn runs_of_any_length_are_merged_in_order(keys in prop::collection::vec("[a-b.]{0,12}", 0..60), run_octets in 1_usize..400) {
            let mut spool = Cursor::new(Vec::new());
            let mut runs = Runs::new(run_octets);
            let mut wanted: Vec<(String, Vec<u8>)> = Vec::new();
            for (number, key) in keys.into_iter().enumerate() {
                let records = vec![number as u8; number % 40];
                let group = KeyedGroup { key: key.as_bytes(), owner: b"o", records: &records };
                runs.push(group, &mut spool).expect("a cursor does not fail");
                wanted.push((key, records));
            }
            wanted.sort_by(|left, right| left.0.cmp(&right.0));
            let mut merged = runs.merge(&mut spool).expect("a cursor does not fail");
            let mut found = Vec::new();
            while let Some(group) = merged.peek() {
                let key = String::from_utf8(group.key.to_vec()).expect("ASCII");
                found.push((key, group.records.to_vec()));
                merged.advance(&mut spool).expect("a cursor does not fail");
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
