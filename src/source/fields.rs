//! The fields of a record in a master file (RFC 1035 §5.1): TTL, class, and the data of SOA and DS.

use crate::dns::{Name, Serial};

/// Class IN.
pub(super) const CLASS_IN: u16 = 1;
/// Class ANY, of queries.
pub(super) const CLASS_ANY: u16 = 255;
/// Type SOA.
pub(super) const TYPE_SOA: u16 = 6;
/// Mnemonics of DNSSEC algorithms (IANA, "DNS Security Algorithm Numbers").
pub(super) const DS_ALGORITHMS: [(&str, u8); 11] = [
    ("RSAMD5", 1),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
];
/// Mnemonics of DS digest types (IANA).
pub(super) const DS_DIGESTS: [(&str, u8); 5] = [
    ("SHA-1", 1),
    ("SHA1", 1),
    ("SHA-256", 2),
    ("SHA256", 2),
    ("SHA-384", 4),
];

/// Returns the number of a mnemonic, or the word as it is.
pub(super) fn ds_number(word: &str, known: &[(&str, u8)]) -> String {
    let found = known
        .iter()
        .find(|(mnemonic, _)| mnemonic.eq_ignore_ascii_case(word));
    found.map_or_else(|| word.to_owned(), |(_, number)| number.to_string())
}

/// Parses a TTL: seconds, or BIND's units in any case and order, such as `1h30m` or `0s`. RFC 2181 §8: with
/// the high bit set it is 0.
pub(super) fn parse_ttl(word: &[u8]) -> Option<u32> {
    let (mut rest, mut sum) = (word, 0_u64);
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|it| it.is_ascii_digit()).count();
        let number: u64 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        let Some((unit, after)) = rest[digits..].split_first() else {
            // A number without a unit is the whole TTL.
            return (digits == word.len()).then(|| as_ttl(number))?;
        };
        let seconds = match unit.to_ascii_lowercase() {
            b'w' => 604_800,
            b'd' => 86_400,
            b'h' => 3600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        sum = sum.checked_add(number.checked_mul(seconds)?)?;
        rest = after;
    }
    (!word.is_empty()).then(|| as_ttl(sum))?
}

/// Returns seconds as a TTL; `None` beyond 32 bits.
fn as_ttl(seconds: u64) -> Option<u32> {
    let ttl = u32::try_from(seconds).ok()?;
    Some(if ttl > i32::MAX as u32 { 0 } else { ttl })
}

/// Classes with their mnemonics (IANA, "DNS CLASSes").
const CLASSES: [(&str, u16); 6] = [
    ("IN", CLASS_IN),
    ("CS", 2),
    ("CH", 3),
    ("HS", 4),
    ("NONE", 254),
    ("ANY", CLASS_ANY),
];

/// Parses a class: a mnemonic or `CLASSnnn`.
pub(super) fn parse_class(word: &[u8]) -> Option<u16> {
    let known = CLASSES
        .iter()
        .find(|(mnemonic, _)| word.eq_ignore_ascii_case(mnemonic.as_bytes()));
    if let Some((_, class)) = known {
        return Some(*class);
    }
    let (prefix, number) = word.split_at_checked(5)?;
    if !prefix.eq_ignore_ascii_case(b"CLASS") {
        return None;
    }
    parse_number(number)
}

/// Returns what is wrong with a record of a class that is not IN.
pub(super) fn class_fault(class: u16) -> String {
    let known = CLASSES.iter().find(|(_, code)| *code == class);
    let name = known.map_or_else(|| class.to_string(), |(name, _)| (*name).to_owned());
    // RFC 2136 §1.1, RFC 1035 §3.2.5.
    let why = if class >= 254 {
        "; it is a class of queries and updates, which no record of a zone has"
    } else {
        ""
    };
    format!("record of class {name}, not IN{why}")
}

/// Parses a number that is written in digits alone.
fn parse_number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(word).ok()?;
    let is_number = word.iter().all(u8::is_ascii_digit);
    is_number.then(|| text.parse().ok())?
}

/// Returns the serial of a SOA's data (RFC 1035 §3.3.13): two names, a serial, four times; or the unknown
/// form (RFC 3597 §5). `None` for what is none.
pub(super) fn parse_soa(data: &[(&[u8], bool)]) -> Option<Serial> {
    if let [(b"\\#", false), rest @ ..] = data {
        return parse_wire_soa(&parse_unknown_form(rest)?);
    }
    // The times may have units; the serial is a number and never one.
    let is_sound = data.len() == 7 && data[3..].iter().all(|(word, _)| parse_ttl(word).is_some());
    if !is_sound {
        return None;
    }
    parse_number(data[2].0).map(Serial)
}

/// Returns the serial of a SOA's data in wire form.
fn parse_wire_soa(octets: &[u8]) -> Option<Serial> {
    /// Octets of the serial and the four times.
    const NUMBERS_OCTETS: usize = 20;
    let (names, numbers) = octets.split_at_checked(octets.len().checked_sub(NUMBERS_OCTETS)?)?;
    // The first name ends with the first empty label.
    let mut at = 0;
    while *names.get(at)? != 0 {
        at += 1 + names[at] as usize;
    }
    let (mname, rname) = names.split_at_checked(at + 1)?;
    Name::from_wire(mname).ok()?;
    Name::from_wire(rname).ok()?;
    let (serial, _) = numbers.split_first_chunk::<4>()?;
    Some(Serial(u32::from_be_bytes(*serial)))
}

/// Returns the data of a DS record that is written in numbers; `None` leaves it to the slower way.
pub(super) fn parse_ds(
    tag: &[u8],
    algorithm: &[u8],
    digest_type: &[u8],
    digest: &[(&[u8], bool)],
) -> Option<Vec<u8>> {
    let [(hex, _)] = digest else { return None };
    if hex.is_empty() || hex.len() % 2 != 0 {
        return None;
    }
    let mut octets = Vec::with_capacity(4 + hex.len() / 2);
    octets.extend_from_slice(&parse_number::<u16>(tag)?.to_be_bytes());
    octets.push(parse_number(algorithm)?);
    octets.push(parse_number(digest_type)?);
    let digit = |octet: u8| (octet as char).to_digit(16);
    for two in hex.chunks_exact(2) {
        octets.push((digit(two[0])? << 4 | digit(two[1])?) as u8);
    }
    Some(octets)
}

/// Parses the length and the hexadecimal words of RFC 3597's unknown form.
pub(super) fn parse_unknown_form(data: &[(&[u8], bool)]) -> Option<Vec<u8>> {
    let length: usize = parse_number(data.first()?.0)?;
    let hex: Vec<u8> = data[1..]
        .iter()
        .flat_map(|(word, _)| word.iter().copied())
        .collect();
    let digit = |octet: u8| (octet as char).to_digit(16);
    let octets: Option<Vec<u8>> = hex
        .chunks(2)
        .map(|two| Some((digit(two[0])? << 4 | digit(*two.get(1)?)?) as u8))
        .collect();
    // RFC 3597 §5: the length is written, and must be that of the digits.
    octets.filter(|octets| octets.len() == length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_have_the_units_of_bind() {
        for (word, ttl) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1W2d3H4m5S", Some(788_645)),
            ("30m1h", Some(5400)),
            ("1h1h", Some(7200)),
            ("4294967295", Some(0)),
            ("1h30", None),
            ("4294967296", None),
            ("99999999999999999999", None),
            ("h", None),
            ("1y", None),
            ("+1", None),
            ("", None),
        ] {
            assert_eq!(parse_ttl(word.as_bytes()), ttl, "{word}");
        }
    }

    #[test]
    fn a_soa_is_read_in_both_forms() {
        let soa = |text: &str| {
            let words: Vec<(&[u8], bool)> = text
                .split(' ')
                .map(|word| (word.as_bytes(), false))
                .collect();
            parse_soa(&words)
        };
        assert_eq!(soa("ns1 host 7 1h 10m 1d 5m"), Some(Serial(7)));
        assert_eq!(soa("ns1 host +7 1h 10m 1d 5m"), None);
        assert_eq!(soa("ns1 host 7 1h 10m 1d"), None);
        let numbers = "00000007 00000e10 00000258 00015180 0000012c";
        assert_eq!(
            soa(&format!("\\# 26 01610000 0000 {numbers}")),
            None,
            "rname is two names"
        );
        assert_eq!(
            soa(&format!("\\# 26 016100 016200 {numbers}")),
            Some(Serial(7))
        );
        assert_eq!(
            soa(&format!("\\# 23 016100 {numbers}")),
            None,
            "a name is missing"
        );
    }
}
