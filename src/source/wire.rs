//! Walks the records of a DNS message over its bytes, with canonical names.
//!
//! Only what a transfer needs: owner, type, class, TTL and the RDATA of the kept types with their
//! names decompressed. No record is copied; two buffers are reused. RDATA of other types is not
//! looked at, so that a type this program does not know cannot stop a transfer.

use crate::dns::{LABEL_OCTETS_MAX, NAME_OCTETS_MAX, Serial};

/// The octets of a message header (RFC 1035 §4.1.1).
const HEADER_OCTETS: usize = 12;
/// Class IN.
const CLASS_IN: u16 = 1;
/// Type SOA.
pub(super) const TYPE_SOA: u16 = 6;
/// Type PTR.
pub(super) const TYPE_PTR: u16 = 12;
/// Type TXT.
pub(super) const TYPE_TXT: u16 = 16;

/// Why a message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// The message ends inside of a field.
    #[error("message ends inside a record")]
    Short,
    /// A compression pointer that does not point back, or too many of them.
    #[error("compression loop in a name")]
    CompressionLoop,
    /// A label type that is neither a label nor a pointer, or a name of more than 255 octets.
    #[error("malformed name")]
    BadName,
    /// A record or a question of another class.
    #[error("record or question of class {0}, not IN")]
    Class(u16),
    /// RDATA whose length does not fit its type.
    #[error("RDATA length does not fit its type")]
    BadRdata,
}

/// A record as it stands in a message, canonical.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WireRecord<'a> {
    /// The owner's canonical wire name.
    pub owner: &'a [u8],
    /// The type's number.
    pub code: u16,
    /// Seconds; a value with the high bit set counts as 0 (RFC 2181 §8).
    pub ttl: u32,
    /// Canonical RDATA for NS, CNAME, PTR, A, AAAA, DS, TXT; the 20 octets of the numbers for SOA;
    /// empty for all other types.
    pub rdata: &'a [u8],
    /// The message it stands in, and where its RDATA begins and ends in it.
    message: &'a [u8],
    start: usize,
    end: usize,
}

/// The numbers of a SOA record (RFC 1035 §3.3.13) that matter to a secondary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SoaNumbers {
    /// The version.
    pub serial: Serial,
    /// Seconds between two looks.
    pub refresh_s: u32,
    /// Seconds until the next look after one that failed.
    pub retry_s: u32,
    /// Seconds after which a secondary that cannot reach the primary no longer answers for the zone.
    pub expire_s: u32,
}

#[cfg(test)]
impl<'a> WireRecord<'a> {
    /// Makes a record that stands in no message.
    pub fn of_a_test(owner: &'a [u8], code: u16, rdata: &'a [u8]) -> Self {
        Self {
            owner,
            code,
            ttl: 0,
            rdata,
            message: rdata,
            start: 0,
            end: rdata.len(),
        }
    }
}

impl WireRecord<'_> {
    /// Returns the RDATA of any type as it stands in the message.
    pub fn uncut_rdata(&self) -> &[u8] {
        &self.message[self.start..self.end]
    }

    /// Writes the RDATA of any type in canonical form (RFC 4034 §6.2, RFC 6840 §5.1): the names in it
    /// decompressed, and in lower case for the types that are listed there.
    pub fn canonical_rdata(&self, rdata: &mut Vec<u8>) -> Result<(), WireError> {
        rdata.clear();
        let mut at = self.start;
        let Some((fixed, strings, names)) = names_in(self.code) else {
            rdata.extend_from_slice(self.uncut_rdata());
            return Ok(());
        };
        let mut put = |at: usize, octets: usize| {
            let part = self.message[..self.end].get(at..at + octets);
            rdata.extend_from_slice(part.ok_or(WireError::BadRdata)?);
            Ok(at + octets)
        };
        at = put(at, fixed)?;
        for _ in 0..strings {
            let length = *self.message.get(at).ok_or(WireError::Short)?;
            at = put(at, 1 + length as usize)?;
        }
        let mut name = Vec::new();
        for _ in 0..names {
            at = read_name(self.message, at, &mut name)?;
            rdata.extend_from_slice(&name);
        }
        let rest = self.message[..self.end].get(at..);
        rdata.extend_from_slice(rest.ok_or(WireError::BadRdata)?);
        Ok(())
    }

    /// Returns the numbers of a SOA record; `None` of any other.
    pub fn soa(&self) -> Option<SoaNumbers> {
        if self.code != TYPE_SOA {
            return None;
        }
        let number = |at: usize| {
            let octets = self.rdata.get(at..at + 4)?;
            Some(u32::from_be_bytes(octets.try_into().ok()?))
        };
        Some(SoaNumbers {
            serial: Serial(number(0)?),
            refresh_s: number(4)?,
            retry_s: number(8)?,
            expire_s: number(12)?,
        })
    }
}

/// Reads the answer section of one message.
pub(super) struct AnswerWalker<'a> {
    message: &'a [u8],
    at: usize,
    left: u16,
    owner: Vec<u8>,
    rdata: Vec<u8>,
}

impl<'a> AnswerWalker<'a> {
    /// Skips the header and the question.
    pub fn new(message: &'a [u8]) -> Result<Self, WireError> {
        let count = |at: usize| {
            message
                .get(at..at + 2)
                .map(|two| u16::from_be_bytes([two[0], two[1]]))
                .ok_or(WireError::Short)
        };
        let (questions, answers) = (count(4)?, count(6)?);
        let mut walker = Self {
            message,
            at: HEADER_OCTETS,
            left: answers,
            owner: Vec::with_capacity(NAME_OCTETS_MAX),
            rdata: Vec::with_capacity(NAME_OCTETS_MAX),
        };
        for _ in 0..questions {
            // Type and class of the question. They are read by `read_question`, which also compares them.
            walker.at = read_name(message, walker.at, &mut walker.owner)? + 4;
        }
        Ok(walker)
    }

    /// Returns how many records the section still has, as the header says.
    pub fn left(&self) -> u16 {
        self.left
    }

    /// Returns the next record, or `None` after the last.
    pub fn next_record(&mut self) -> Result<Option<WireRecord<'_>>, WireError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let fixed = read_name(self.message, self.at, &mut self.owner)?;
        let head: [u8; 10] = self
            .message
            .get(fixed..fixed + 10)
            .and_then(|ten| ten.try_into().ok())
            .ok_or(WireError::Short)?;
        let code = u16::from_be_bytes([head[0], head[1]]);
        let class = u16::from_be_bytes([head[2], head[3]]);
        let ttl = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let start = fixed + 10;
        // At most 65,535 beyond `start`, which lies in a message of as many octets: no overflow.
        let end = start + u16::from_be_bytes([head[8], head[9]]) as usize;
        let rdata = self.message.get(start..end).ok_or(WireError::Short)?;
        self.at = end;
        // A zone has one class (RFC 1035 §4.2). A record of another one is no record of ours, whatever its type
        // says.
        if class != CLASS_IN {
            return Err(WireError::Class(class));
        }
        self.read_rdata(code, start, end, rdata)?;
        // RFC 2181 §8: a TTL with its highest bit set is zero.
        let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
        Ok(Some(WireRecord {
            owner: &self.owner,
            code,
            ttl,
            rdata: &self.rdata,
            message: self.message,
            start,
            end,
        }))
    }

    /// Fills the RDATA buffer with the canonical form of what is kept.
    fn read_rdata(
        &mut self,
        code: u16,
        start: usize,
        end: usize,
        rdata: &[u8],
    ) -> Result<(), WireError> {
        let fits = |fits: bool| {
            if fits {
                Ok(())
            } else {
                Err(WireError::BadRdata)
            }
        };
        match code {
            // RFC 1035 §3.4.1.
            1 => fits(rdata.len() == 4)?,
            // RFC 3596 §2.2.
            28 => fits(rdata.len() == 16)?,
            // RFC 4034 §5.1: key tag, algorithm and digest type, then a digest of at least one octet.
            43 => fits(rdata.len() >= 5)?,
            TYPE_TXT => {}
            // PTR and TXT are what catalog zones (RFC 9432) are made of.
            2 | 5 | TYPE_PTR => {
                return fits(read_name(self.message, start, &mut self.rdata)? == end);
            }
            TYPE_SOA => {
                // RFC 1035 §3.3.13: two names, then serial, refresh, retry, expire, minimum.
                let rname = read_name(self.message, start, &mut self.rdata)?;
                let numbers = read_name(self.message, rname, &mut self.rdata)?;
                fits(numbers + 20 == end)?;
                self.rdata.clear();
                self.rdata
                    .extend_from_slice(&self.message[numbers..numbers + 20]);
                return Ok(());
            }
            _ => {
                self.rdata.clear();
                return Ok(());
            }
        }
        self.rdata.clear();
        self.rdata.extend_from_slice(rdata);
        Ok(())
    }
}

/// Returns how the RDATA of a type with names in it is laid out: so many octets, so many character
/// strings, so many names; what follows the names holds none. `None` for a type without names, or
/// whose names are kept as they are.
fn names_in(code: u16) -> Option<(usize, usize, usize)> {
    Some(match code {
        // NS, MD, MF, CNAME, MB, MG, MR, PTR, NXT, DNAME.
        2..=5 | 7..=9 | 12 | 30 | 39 => (0, 0, 1),
        // SOA, MINFO, RP.
        6 | 14 | 17 => (0, 0, 2),
        // MX, AFSDB, RT, KX.
        15 | 18 | 21 | 36 => (2, 0, 1),
        // SIG, RRSIG: seven fields, then the signer.
        24 | 46 => (18, 0, 1),
        // PX.
        26 => (2, 0, 2),
        // SRV.
        33 => (6, 0, 1),
        // NAPTR: order and preference, flags, service and expression, then the replacement.
        35 => (4, 3, 1),
        _ => return None,
    })
}

/// Reads the name at `at` into `name`, decompressed and lower case. Returns where the record goes on.
fn read_name(message: &[u8], at: usize, name: &mut Vec<u8>) -> Result<usize, WireError> {
    name.clear();
    let (mut at, mut after, mut lowest) = (at, None, at);
    loop {
        let length = *message.get(at).ok_or(WireError::Short)? as usize;
        if length <= LABEL_OCTETS_MAX {
            let label = message.get(at..at + 1 + length).ok_or(WireError::Short)?;
            name.extend_from_slice(label);
            at += 1 + length;
            if name.len() > NAME_OCTETS_MAX {
                return Err(WireError::BadName);
            }
            if length == 0 {
                // Length octets are at most 63 and so below the upper-case letters.
                name.make_ascii_lowercase();
                return Ok(after.unwrap_or(at));
            }
        } else if length >= 0xc0 {
            let low = *message.get(at + 1).ok_or(WireError::Short)? as usize;
            let target = (length & 0x3f) << 8 | low;
            // RFC 1035 §4.1.4: a pointer is to a *prior* occurrence. Each must point further back
            // than the last, so a chain ends.
            if target >= lowest {
                return Err(WireError::CompressionLoop);
            }
            // Behind the first pointer the record goes on; what the pointer leads to lies before it.
            after.get_or_insert(at + 2);
            lowest = target;
            at = target;
        } else {
            return Err(WireError::BadName);
        }
    }
}

/// Returns the canonical wire name of the first question, its type, and how many questions there are.
pub(super) fn read_question(message: &[u8]) -> Result<(u16, Vec<u8>, u16), WireError> {
    let count = message
        .get(4..6)
        .map(|two| u16::from_be_bytes([two[0], two[1]]))
        .ok_or(WireError::Short)?;
    let mut name = Vec::new();
    if count == 0 {
        return Ok((0, name, 0));
    }
    let at = read_name(message, HEADER_OCTETS, &mut name)?;
    let code = message
        .get(at..at + 2)
        .map(|two| u16::from_be_bytes([two[0], two[1]]))
        .ok_or(WireError::Short)?;
    let class = message
        .get(at + 2..at + 4)
        .map(|two| u16::from_be_bytes([two[0], two[1]]))
        .ok_or(WireError::Short)?;
    match class {
        CLASS_IN => Ok((count, name, code)),
        _ => Err(WireError::Class(class)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message with the question `example. AXFR` and the given answer octets.
    fn message(answers: u16, octets: &[u8]) -> Vec<u8> {
        let mut message = vec![0, 7, 0x84, 0, 0, 1];
        message.extend(answers.to_be_bytes());
        message.extend([0, 0, 0, 0]);
        message.extend(b"\x07EXAMPLE\x00\x00\xfc\x00\x01");
        message.extend(octets);
        message
    }

    #[test]
    fn names_are_decompressed_and_lower_cased() {
        let octets = message(
            1,
            b"\x03Bad\xc0\x0c\x00\x02\x00\x01\xff\x00\x00\x00\x00\x06\x03NS1\xc0\x0c",
        );
        let mut walker = AnswerWalker::new(&octets).expect("whole header");
        let record = walker
            .next_record()
            .expect("well-formed")
            .expect("one record");
        assert_eq!(record.owner, b"\x03bad\x07example\x00");
        assert_eq!((record.code, record.ttl), (2, 0));
        assert_eq!(record.rdata, b"\x03ns1\x07example\x00");
        assert_eq!(walker.next_record(), Ok(None));
    }

    #[test]
    fn a_compression_loop_ends() {
        let octets = message(1, b"\xc0\x19\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00");
        assert_eq!(
            AnswerWalker::new(&octets)
                .expect("whole header")
                .next_record(),
            Err(WireError::CompressionLoop)
        );
    }

    #[test]
    fn address_of_three_octets_is_malformed() {
        let octets = message(
            1,
            b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x03\x01\x02\x03",
        );
        assert_eq!(
            AnswerWalker::new(&octets)
                .expect("whole header")
                .next_record(),
            Err(WireError::BadRdata)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(mut walker) = AnswerWalker::new(&octets) {
                while let Ok(Some(_)) = walker.next_record() {}
            }
            let _ = read_question(&octets);
        }
    }
}
