//! The fields of a record in a master file (RFC 1035 §5.1): TTL, class, type, and the data of DS.

use crate::time::Span;

/// Types that most records have, with their numbers; the others are looked up.
pub(super) const COMMON_TYPES: [(&[u8], u16); 6] = [
    (b"NS", 2),
    (b"A", 1),
    (b"AAAA", 28),
    (b"DS", 43),
    (b"RRSIG", 46),
    (b"NSEC3", 50),
];
/// Class IN.
pub(super) const CLASS_IN: u16 = 1;
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

/// Parses a TTL: seconds, or BIND's units such as `1h30m`. RFC 2181 §8: with the high bit set it is 0.
pub(super) fn parse_ttl(word: &[u8]) -> Option<u32> {
    if !word.first()?.is_ascii_digit() {
        return None;
    }
    let text = std::str::from_utf8(word).ok()?;
    let seconds = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => Span::parse(&text.to_ascii_lowercase()).ok()?.as_seconds() as u64,
    };
    let ttl = u32::try_from(seconds).ok()?;
    Some(if ttl > i32::MAX as u32 { 0 } else { ttl })
}

/// Parses a class: `IN`, `CH`, `HS`, `CS` or `CLASSnnn`.
pub(super) fn parse_class(word: &[u8]) -> Option<u16> {
    const CLASSES: [(&[u8], u16); 4] = [(b"IN", CLASS_IN), (b"CS", 2), (b"CH", 3), (b"HS", 4)];
    let known = CLASSES
        .iter()
        .find(|(mnemonic, _)| word.eq_ignore_ascii_case(mnemonic));
    if let Some((_, class)) = known {
        return Some(*class);
    }
    let (prefix, number) = word.split_at_checked(5)?;
    if !prefix.eq_ignore_ascii_case(b"CLASS") {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Returns the data of a DS record that is written in numbers; `None` leaves it to the slower way.
pub(super) fn parse_ds(
    tag: &[u8],
    algorithm: &[u8],
    digest_type: &[u8],
    digest: &[(&[u8], bool)],
) -> Option<Vec<u8>> {
    fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
        std::str::from_utf8(word).ok()?.parse().ok()
    }
    let [(hex, _)] = digest else { return None };
    if hex.is_empty() || hex.len() % 2 != 0 {
        return None;
    }
    let mut octets = Vec::with_capacity(4 + hex.len() / 2);
    octets.extend_from_slice(&number::<u16>(tag)?.to_be_bytes());
    octets.push(number(algorithm)?);
    octets.push(number(digest_type)?);
    let digit = |octet: u8| (octet as char).to_digit(16);
    for two in hex.chunks_exact(2) {
        octets.push((digit(two[0])? << 4 | digit(two[1])?) as u8);
    }
    Some(octets)
}

/// Parses the length and the hexadecimal words of RFC 3597's unknown form.
pub(super) fn parse_unknown_form(data: &[(&[u8], bool)]) -> Option<Vec<u8>> {
    let length: usize = std::str::from_utf8(data.first()?.0).ok()?.parse().ok()?;
    let hex: Vec<u8> = data[1..]
        .iter()
        .flat_map(|(word, _)| word.iter().copied())
        .collect();
    let digit = |octet: u8| (octet as char).to_digit(16);
    let octets: Option<Vec<u8>> = hex
        .chunks(2)
        .map(|two| Some((digit(two[0])? << 4 | digit(*two.get(1)?)?) as u8))
        .collect();
    octets.filter(|octets| octets.len() == length)
}
