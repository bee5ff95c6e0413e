//! The record types whose history is kept, with canonical RDATA.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::Serialize;

use super::name::{Name, NameError};

/// The record types that are kept. All others are counted and passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u16)]
pub enum RecordType {
    /// Address, IPv4 (RFC 1035).
    A = 1,
    /// Name server (RFC 1035).
    Ns = 2,
    /// Canonical name (RFC 1035).
    Cname = 5,
    /// Address, IPv6 (RFC 3596).
    Aaaa = 28,
    /// Delegation signer (RFC 4034).
    Ds = 43,
}

impl RecordType {
    /// Every kept type, in numeric order.
    pub const ALL: [Self; 5] = [Self::A, Self::Ns, Self::Cname, Self::Aaaa, Self::Ds];

    /// Returns the type with this number if it is kept.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|rrtype| rrtype.code() == code)
    }

    /// Returns the type's number in the IANA registry.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// Returns the mnemonic in upper case.
    pub fn mnemonic(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Ns => "NS",
            Self::Cname => "CNAME",
            Self::Aaaa => "AAAA",
            Self::Ds => "DS",
        }
    }

    /// Returns the kept type with this mnemonic, any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|rrtype| rrtype.mnemonic().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mnemonic())
    }
}

impl Serialize for RecordType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.mnemonic())
    }
}

/// The data of one kept record, canonical.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rdata {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// A name server's name.
    Ns(Name),
    /// The target of an alias.
    Cname(Name),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Key tag, algorithm, digest type and digest in wire form; at least five octets.
    Ds(Box<[u8]>),
}

/// Why RDATA of a kept type is unreadable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RdataError {
    /// Wrong length or octets for the type.
    #[error("malformed {0} RDATA")]
    Malformed(RecordType),
    /// The text is no RDATA of the type.
    #[error("{1:?} is not {0} RDATA")]
    Text(RecordType, String),
    /// A name in the RDATA is malformed.
    #[error("{0} RDATA: {1}")]
    Name(RecordType, NameError),
}

impl Rdata {
    /// Returns the record type.
    pub fn rtype(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Ns(_) => RecordType::Ns,
            Self::Cname(_) => RecordType::Cname,
            Self::Aaaa(_) => RecordType::Aaaa,
            Self::Ds(_) => RecordType::Ds,
        }
    }

    /// Reads canonical wire RDATA: uncompressed and lower case where it holds a name.
    ///
    /// # Errors
    ///
    /// [`RdataError::Malformed`] or [`RdataError::Name`].
    pub fn from_wire(rtype: RecordType, octets: &[u8]) -> Result<Self, RdataError> {
        let malformed = RdataError::Malformed(rtype);
        let read_name = || Name::from_wire(octets).map_err(|fault| RdataError::Name(rtype, fault));
        match rtype {
            RecordType::A => <[u8; 4]>::try_from(octets)
                .map(|it| Self::A(it.into()))
                .map_err(|_| malformed),
            RecordType::Aaaa => <[u8; 16]>::try_from(octets)
                .map(|it| Self::Aaaa(it.into()))
                .map_err(|_| malformed),
            RecordType::Ns => Ok(Self::Ns(read_name()?)),
            RecordType::Cname => Ok(Self::Cname(read_name()?)),
            // RFC 4034 §5.1: key tag (2), algorithm (1), digest type (1), digest.
            RecordType::Ds if octets.len() >= 5 => Ok(Self::Ds(octets.into())),
            RecordType::Ds => Err(malformed),
        }
    }

    /// Returns the canonical wire RDATA.
    pub fn to_wire(&self) -> Vec<u8> {
        match self {
            Self::A(address) => address.octets().to_vec(),
            Self::Aaaa(address) => address.octets().to_vec(),
            Self::Ns(name) | Self::Cname(name) => name.as_wire().to_vec(),
            Self::Ds(octets) => octets.to_vec(),
        }
    }

    /// Parses presentation form. Names may lack the final dot: a feed has no origin.
    ///
    /// # Errors
    ///
    /// [`RdataError::Text`] or [`RdataError::Name`].
    pub fn parse(rtype: RecordType, text: &str) -> Result<Self, RdataError> {
        let fault = || RdataError::Text(rtype, text.to_owned());
        let text = text.trim();
        let read_name = || Name::parse(text).map_err(|fault| RdataError::Name(rtype, fault));
        match rtype {
            RecordType::A => text.parse().map(Self::A).map_err(|_| fault()),
            RecordType::Aaaa => text.parse().map(Self::Aaaa).map_err(|_| fault()),
            RecordType::Ns => Ok(Self::Ns(read_name()?)),
            RecordType::Cname => Ok(Self::Cname(read_name()?)),
            RecordType::Ds => parse_ds(text)
                .map(|octets| Self::Ds(octets.into()))
                .ok_or_else(fault),
        }
    }

    /// Returns the address of an A or AAAA record.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::A(address) => Some(IpAddr::V4(*address)),
            Self::Aaaa(address) => Some(IpAddr::V6(*address)),
            _ => None,
        }
    }
}

/// Parses `KEYTAG ALGORITHM DIGESTTYPE HEX...` (RFC 4034 §5.3); the digest may hold white space.
fn parse_ds(text: &str) -> Option<Vec<u8>> {
    let mut words = text.split_ascii_whitespace();
    let mut number = || {
        // `parse` takes a sign, which a master file does not.
        let word = words.next()?;
        word.bytes().all(|it| it.is_ascii_digit()).then_some(word)
    };
    let key_tag: u16 = number()?.parse().ok()?;
    let algorithm: u8 = number()?.parse().ok()?;
    let digest_type: u8 = number()?.parse().ok()?;
    let hex: String = words.collect();
    let is_hex = hex.bytes().all(|it| it.is_ascii_hexdigit());
    if hex.is_empty() || !hex.len().is_multiple_of(2) || !is_hex {
        return None;
    }
    let mut octets = key_tag.to_be_bytes().to_vec();
    octets.extend([algorithm, digest_type]);
    for at in (0..hex.len()).step_by(2) {
        octets.push(u8::from_str_radix(&hex[at..at + 2], 16).ok()?);
    }
    Some(octets)
}

impl fmt::Display for Rdata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => write!(f, "{address}"),
            Self::Aaaa(address) => write!(f, "{address}"),
            Self::Ns(name) | Self::Cname(name) => write!(f, "{name}"),
            Self::Ds(octets) => {
                write!(
                    f,
                    "{} {} {} ",
                    u16::from_be_bytes([octets[0], octets[1]]),
                    octets[2],
                    octets[3]
                )?;
                octets[4..]
                    .iter()
                    .try_for_each(|octet| write!(f, "{octet:02x}"))
            }
        }
    }
}

/// One kept record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    /// The type's data. First in the order, so that sorted records group by type.
    pub rdata: Rdata,
    /// Time to live in seconds, as last seen. A new TTL alone is no change.
    pub ttl: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textual_forms_of_one_address_are_equal() {
        let one = Rdata::parse(RecordType::Aaaa, "2001:500:92:0:0:0:0:1").expect("valid");
        let other = Rdata::parse(RecordType::Aaaa, "2001:0500:0092::0001").expect("valid");
        assert_eq!(one, other);
        assert_eq!(one.to_string(), "2001:500:92::1");
    }

    #[test]
    fn wire_and_text_round_trip_for_every_type() {
        for (rtype, text) in [
            (RecordType::A, "192.0.2.1"),
            (RecordType::Aaaa, "2001:db8::1"),
            (RecordType::Ns, "ns1.example."),
            (RecordType::Cname, "www.example."),
            (RecordType::Ds, "58441 8 1 507ad4ad70ae3add"),
        ] {
            let rdata = Rdata::parse(rtype, text).expect("valid");
            assert_eq!(rdata.to_string(), text);
            assert_eq!(Rdata::from_wire(rtype, &rdata.to_wire()), Ok(rdata));
        }
    }

    #[test]
    fn malformed_rdata_is_refused() {
        assert!(Rdata::from_wire(RecordType::A, &[1, 2, 3]).is_err());
        assert!(Rdata::from_wire(RecordType::Ds, &[1, 2, 3, 4]).is_err());
        assert!(Rdata::parse(RecordType::A, "192.0.2.256").is_err());
        assert!(Rdata::parse(RecordType::Ds, "1 2 3 abc").is_err());
        assert!(Rdata::parse(RecordType::Ds, "1 2 3 +a").is_err());
        assert!(Rdata::parse(RecordType::Ds, "+1 2 3 aa").is_err());
        assert!(Rdata::parse(RecordType::Ns, "a..b").is_err());
        assert!(Rdata::parse(RecordType::Ns, "ns1.a.test. 192.0.2.1").is_err());
        assert!(Rdata::parse(RecordType::Cname, "a.test. b.test.").is_err());
        assert!(Rdata::parse(RecordType::Ns, "@").is_err());
    }
}
