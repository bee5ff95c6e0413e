//! The record types that may stand in a text: those of IANA's registry, and those that providers write.
//!
//! A type that is not kept is counted and passed over, so its name is all that must be known.

/// Types that most records have; looked at first.
const COMMON: [(&[u8], u16); 6] = [
    (b"NS", 2),
    (b"A", 1),
    (b"AAAA", 28),
    (b"DS", 43),
    (b"RRSIG", 46),
    (b"NSEC3", 50),
];

/// Every type that a record may have (IANA, "Resource Record (RR) TYPEs", 2026-11).
const REGISTERED: [(&str, u16); 93] = [
    ("A", 1),
    ("NS", 2),
    ("MD", 3),
    ("MF", 4),
    ("CNAME", 5),
    ("SOA", 6),
    ("MB", 7),
    ("MG", 8),
    ("MR", 9),
    ("NULL", 10),
    ("WKS", 11),
    ("PTR", 12),
    ("HINFO", 13),
    ("MINFO", 14),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("X25", 19),
    ("ISDN", 20),
    ("RT", 21),
    ("NSAP", 22),
    ("NSAP-PTR", 23),
    ("SIG", 24),
    ("KEY", 25),
    ("PX", 26),
    ("GPOS", 27),
    ("AAAA", 28),
    ("LOC", 29),
    ("NXT", 30),
    ("EID", 31),
    ("NIMLOC", 32),
    ("SRV", 33),
    ("ATMA", 34),
    ("NAPTR", 35),
    ("KX", 36),
    ("CERT", 37),
    ("A6", 38),
    ("DNAME", 39),
    ("SINK", 40),
    ("APL", 42),
    ("DS", 43),
    ("SSHFP", 44),
    ("IPSECKEY", 45),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("DHCID", 49),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TLSA", 52),
    ("SMIMEA", 53),
    ("HIP", 55),
    ("NINFO", 56),
    ("RKEY", 57),
    ("TALINK", 58),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("OPENPGPKEY", 61),
    ("CSYNC", 62),
    ("ZONEMD", 63),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("DSYNC", 66),
    ("HHIT", 67),
    ("BRID", 68),
    ("SPF", 99),
    ("UINFO", 100),
    ("UID", 101),
    ("GID", 102),
    ("UNSPEC", 103),
    ("NID", 104),
    ("L32", 105),
    ("L64", 106),
    ("LP", 107),
    ("EUI48", 108),
    ("EUI64", 109),
    ("URI", 256),
    ("CAA", 257),
    ("AVC", 258),
    ("DOA", 259),
    ("AMTRELAY", 260),
    ("RESINFO", 261),
    ("WALLET", 262),
    ("CLA", 263),
    ("IPN", 264),
    ("TA", 32768),
    ("DLV", 32769),
    // Private numbers of servers: PowerDNS, Microsoft DNS, BIND.
    ("ALIAS", 65401),
    ("LUA", 65402),
    ("WINS", 65281),
    ("WINS-R", 65282),
    ("KEYDATA", 65533),
];

/// Types that servers and providers write and that have no number. They stand for no address and no
/// delegation of their own.
///
/// PowerDNS (`ADDR` to `MBOXFW`), gdnsd (`DYNA`, `DYNC`), Microsoft DNS (`WINSR`), cli53 (`AWS`), OVH (`DKIM`, `DMARC`), and what panels call
/// an alias, a redirect or a pool.
const UNNUMBERED: [&str; 27] = [
    "ANAME",
    "WINSR",
    "ADDR",
    "CURL",
    "FANCY",
    "MBOXFW",
    "DYNA",
    "DYNC",
    "AWS",
    "DKIM",
    "DMARC",
    "APEXALIAS",
    "APEXCNAME",
    "FLATTEN",
    "R53_ALIAS",
    "AZURE_ALIAS",
    "XNAME",
    "URL",
    "URL301",
    "URLFWD",
    "FRAME",
    "REDIRECT",
    "WEBREDIR",
    "HTTPRED",
    "WR",
    "POOL",
    "DELEG",
];

/// What stands for every type of [`UNNUMBERED`]: IANA reserves the number, so no record has it.
const NUMBERLESS: u16 = 65535;

/// Types of questions and of messages (RFC 6895 §3.1): no record of a zone has one.
const META: [(&str, u16); 10] = [
    ("OPT", 41),
    ("NXNAME", 128),
    ("TKEY", 249),
    ("TSIG", 250),
    ("IXFR", 251),
    ("AXFR", 252),
    ("MAILB", 253),
    ("MAILA", 254),
    ("ANY", 255),
    ("*", 255),
];

/// Parses the mnemonic of a type that a record may have, or `TYPEnnn` (RFC 3597 §5), in any case.
///
/// # Errors
///
/// A sentence: a word that is no type, or a type that no record has.
pub(super) fn parse_type(word: &[u8]) -> Result<u16, String> {
    for (mnemonic, code) in COMMON {
        if word.eq_ignore_ascii_case(mnemonic) {
            return Ok(code);
        }
    }
    let named = |(mnemonic, _): &&(&str, u16)| word.eq_ignore_ascii_case(mnemonic.as_bytes());
    if let Some((_, code)) = REGISTERED.iter().find(named) {
        return Ok(*code);
    }
    let text = String::from_utf8_lossy(word);
    if META.iter().any(|known| named(&known)) {
        return Err(meta_fault(&text.to_ascii_uppercase()));
    }
    if let Some(code) = parse_number(word) {
        let is_meta = META.iter().any(|(_, meta)| *meta == code);
        // RFC 6895 §3.1: 128 to 255 are types of questions, 0 is reserved.
        return if is_meta || code == 0 || (128..=255).contains(&code) {
            Err(meta_fault(&format!("TYPE{code}")))
        } else {
            Ok(code)
        };
    }
    let is_unnumbered = UNNUMBERED
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known.as_bytes()));
    if is_unnumbered {
        return Ok(NUMBERLESS);
    }
    Err(format!("{text:?} is no record type"))
}

/// Returns the sentence about a type that no record has.
fn meta_fault(name: &str) -> String {
    format!("{name} is a type of queries and messages, which no record of a zone has")
}

/// Parses `TYPEnnn`.
fn parse_number(word: &[u8]) -> Option<u16> {
    let (prefix, number) = word.split_at_checked(4)?;
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    if !is_number || !prefix.eq_ignore_ascii_case(b"TYPE") {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_name_and_by_number() {
        for (word, code) in [
            ("nsap-ptr", 23),
            ("NSAP-PTR", 23),
            ("Alias", 65401),
            ("ANAME", NUMBERLESS),
            ("LUA", 65402),
            ("WINS-R", 65282),
            ("DLV", 32769),
            ("IPN", 264),
            ("type1", 1),
            ("TYPE65280", 65280),
        ] {
            assert_eq!(parse_type(word.as_bytes()), Ok(code), "{word}");
        }
    }

    #[test]
    fn types_that_no_record_has_are_refused_by_name() {
        for word in [
            "ANY", "*", "axfr", "IXFR", "MAILA", "MAILB", "TSIG", "TKEY", "OPT", "NXNAME", "TYPE0",
            "TYPE41", "TYPE200", "TYPE255",
        ] {
            let fault = parse_type(word.as_bytes()).expect_err(word);
            let name = word.to_ascii_uppercase();
            assert!(
                fault.starts_with(&format!("{name} is a type of queries")),
                "{fault}"
            );
        }
        for word in ["NSS", "TYPE", "TYPE+1", "TYPE65536", "TYPE1x", ""] {
            let fault = parse_type(word.as_bytes()).expect_err(word);
            assert!(fault.ends_with("is no record type"), "{fault}");
        }
    }

    #[test]
    fn no_two_types_share_a_name_or_a_number() {
        let mut codes: Vec<u16> = REGISTERED.iter().map(|(_, code)| *code).collect();
        let mut names: Vec<&str> = REGISTERED
            .iter()
            .map(|(name, _)| *name)
            .chain(UNNUMBERED)
            .collect();
        let counts = (codes.len(), names.len());
        codes.sort_unstable();
        codes.dedup();
        names.sort_unstable();
        names.dedup();
        assert_eq!((codes.len(), names.len()), counts);
    }
}
