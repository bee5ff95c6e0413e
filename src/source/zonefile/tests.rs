//! Which forms of zone files are read, and which are refused.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::time::Span;
use crate::zone::{Candidate, DigestKey, DigestTable};

fn read(text: &[u8]) -> Result<(Fetched, Vec<Candidate>), String> {
    let apex = Name::parse("example.").expect("valid");
    let mut intake = Intake::new(
        DigestKey::new([1; 32]),
        DigestTable::with_capacity(0),
        Cursor::new(Vec::new()),
    );
    let fetched = read_text(text, &apex, &RULES, &mut intake).map_err(|error| error.to_string())?;
    let candidates = intake.all_candidates();
    Ok((fetched, candidates))
}

const RULES: ZonefileRules = ZonefileRules {
    require_soa: true,
    require_final_newline: true,
    include: false,
    limits: Limits::DEFAULT,
};

fn lines(text: &[u8]) -> Vec<String> {
    let (_, candidates) = read(text).expect("the test's zone is valid");
    candidates
        .iter()
        .flat_map(|it| {
            it.records
                .iter()
                .map(|rr| format!("{} {} {}", it.owner, rr.rdata.rtype(), rr.rdata))
        })
        .collect()
}

const SOA: &str = "@ SOA ns1 host ( 7 ; serial\n 3600 600 86400 300 )\n";

#[test]
fn master_file_forms_are_read() {
    let text = format!(
        "\u{feff}$TTL 1h\n{SOA}bad NS ns1\n\tNS\tNS2.Other.TEST.\n$ORIGIN bad.example.\nns1 A 192.0.2.1 ; first\nx TXT \"a;b(\" \"..\"\nns1 300 IN AAAA 2001:DB8:0::1\n"
    );
    assert_eq!(
        lines(text.as_bytes()),
        [
            "bad.example. NS ns1.example.",
            "bad.example. NS ns2.other.test.",
            "ns1.bad.example. A 192.0.2.1",
            "ns1.bad.example. AAAA 2001:db8::1"
        ]
    );
}

#[test]
fn forms_that_operators_write_are_read() {
    let text = format!(
        "{}www 60 CNAME @\n@ NS ns.example.net.\nlit\\064 IN 1h30m A 192.0.2.1\nx SPF \"v=spf1 -all\"\nx TXT a..b\nx TYPE65400 \\# 1 00\ny TYPE1 \\# 4 C0000202\nz DS 7 ECDSAP256SHA256 SHA-256 (\n 00ff ; half\n aa11 )\nbücher TXT \"v=DKIM1; k=rsa\"\n\tNS ns1\r\nUPPER IN AAAA 2001:DB8::1\n$ORIGIN sub\nw NS @\n",
        SOA.replace("3600 600 86400 300", "1h 10m 1d 5m")
    );
    let mut found = lines(text.as_bytes());
    found.sort();
    let mut expected = [
        "example. NS ns.example.net.",
        "lit\\064.example. A 192.0.2.1",
        "upper.example. AAAA 2001:db8::1",
        "w.sub.example. NS sub.example.",
        "www.example. CNAME example.",
        "xn--bcher-kva.example. NS ns1.example.",
        "y.example. A 192.0.2.2",
        "z.example. DS 7 13 2 00ffaa11",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn generated_records_are_those_of_bind() {
    let text = format!(
        "{SOA}$GENERATE 1-3/2 h$ 60 IN A 192.0.2.${{10}}\n$GENERATE 9-11 x${{0,3,x}} NS n\\$.test.\n"
    );
    assert_eq!(
        lines(text.as_bytes()),
        [
            "h1.example. A 192.0.2.11",
            "h3.example. A 192.0.2.13",
            "x009.example. NS n\\036.test.",
            "x00a.example. NS n\\036.test.",
            "x00b.example. NS n\\036.test."
        ]
    );
}

#[test]
fn included_files_are_read_where_that_is_allowed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    write("part", "ns1 A 192.0.2.1\n  A 192.0.2.2\n");
    write("loop", "$INCLUDE loop\n");
    let read = |text: &str, include: bool| {
        let path = write("zone", text);
        let apex = Name::parse("example.").expect("valid");
        let mut intake = Intake::new(
            DigestKey::new([1; 32]),
            DigestTable::with_capacity(0),
            Cursor::new(Vec::new()),
        );
        let rules = ZonefileRules { include, ..RULES };
        let file = File::open(&path).expect("just written");
        read_zonefile(&path, file, &apex, &rules, &mut intake)
            .map(|read| (read.fetched.counts.kept, intake.all_candidates()))
            .map_err(|error| error.to_string())
    };
    let text = format!("{SOA}bad NS ns1.bad\n$INCLUDE part bad\n  NS ns2.other.test.\n");
    assert!(
        read(&text, false)
            .expect_err("off")
            .contains("include = true")
    );
    let (kept, candidates) = read(&text, true).expect("allowed");
    let owners: Vec<String> = candidates.iter().map(|it| it.owner.to_string()).collect();
    assert_eq!(
        (kept, owners),
        (
            4,
            vec!["bad.example.".to_owned(), "ns1.bad.example.".to_owned()]
        )
    );
    let endless = format!("{SOA}$INCLUDE loop\n");
    assert!(read(&endless, true).expect_err("a loop").contains("deep"));
}

#[test]
fn u_labels_become_a_labels() {
    let text = format!("{SOA}bücher.example. 60 IN NS ns1.bücher.example. ; größer\n");
    assert_eq!(
        lines(text.as_bytes()),
        ["xn--bcher-kva.example. NS ns1.xn--bcher-kva.example."]
    );
}

#[test]
fn what_is_cut_off_or_odd_is_refused() {
    let whole = format!("{SOA}bad NS ns1.other.test.\n");
    assert!(read(whole.as_bytes()).is_ok());
    for (text, reason) in [
        (whole[..whole.len() - 1].to_owned(), "not complete"),
        (format!("{whole}half 60"), "not complete"),
        (format!("{whole}half 60\n"), "without a type"),
        (format!("{whole}x ( A 192.0.2.1\n"), "line 4: a parenthesis"),
        (format!("{whole}x ( A 192.0.2.1"), "line 4: a parenthesis"),
        (format!("{whole}x TXT \"a\n"), "line 4: a quotation mark"),
        (format!("{whole}x TXT \"a"), "line 4: a quotation mark"),
        (
            format!("{whole}x ( TXT a\n\"b\nc\" )\n"),
            "line 5: a quotation mark",
        ),
        (
            format!("{whole}x TXT a\\\ny A 192.0.2.1\n"),
            "line 4: a backslash",
        ),
        (format!("{whole}x TXT a\\"), "line 4: a backslash"),
        (format!("{whole}x AXFR a\n"), "AXFR is a type of queries"),
        (format!("{whole}x TYPE255 \\# 0\n"), "TYPE255 is a type"),
        (format!("{whole}x 60 ANY A 192.0.2.1\n"), "class ANY"),
        (format!("{whole}x CLASS254 A 192.0.2.1\n"), "class NONE"),
        (format!("{whole}x NSS ns1\n"), "no record type"),
        (format!("{whole}x A 192.0.2\n"), "192.0.2"),
        (
            format!("{whole}x A 192.0.2.1 192.0.2.2\n"),
            "cannot be read",
        ),
        (format!("{whole}x ) A 192.0.2.1\n"), "unmatched"),
        (format!("{whole}x NS a..b\n"), "not a name"),
        (format!("{whole}a..b A 192.0.2.1\n"), "not a name"),
        (
            format!("{whole}other.test. A 192.0.2.1\n"),
            "not in the zone",
        ),
        (format!("{whole}$INCLUDE /etc/passwd\n"), "$INCLUDE"),
        (format!("{whole}$DATE 20261101000000\n"), "dumps of a cache"),
        (format!("{whole}$GENERATE 9-1 a$ A 192.0.2.$\n"), "no range"),
        (
            format!("{whole}$GENERATE 1-9 a${{1,2 A 192.0.2.1\n"),
            "cannot be read",
        ),
        (
            format!("{whole}$GENERATE 0-70000 a$ A 192.0.2.1\n"),
            "generate_records",
        ),
        (format!("{whole}$GENERATE 1-2 $$INCLUDE x\n"), "none"),
        (
            format!("{whole}x DS 7 13 2 {}\n", "00".repeat(70_000)),
            "record_octets",
        ),
        (
            format!("{whole}x TYPE43 \\# 70000 {}\n", "00".repeat(70_000)),
            "record_octets",
        ),
        (whole.replace("@ SOA", "@ CH SOA"), "class CH, not IN"),
        ("bad NS ns1.other.test.\n".to_owned(), "no SOA"),
        (format!("{whole}@ SOA ns1 host 8 1 1 1 1\n"), "SOA mismatch"),
        (SOA.to_owned(), "no delegation"),
    ] {
        let error = read(text.as_bytes()).expect_err(&text);
        assert!(error.contains(reason), "{text:?}: {error}");
    }
}

#[test]
fn the_signature_that_dig_prints_is_no_record() {
    let signature = "k.\t0\tANY\tTSIG\thmac-sha256. 1795898274 300 32 mkG= 19229 NOERROR 0 \n";
    let soa = SOA.replace("( 7 ; serial\n", "7").replace(" )", "");
    let whole = format!("{soa}bad NS ns1.other.test.\n{soa}{signature}");
    assert_eq!(lines(whole.as_bytes()), ["bad.example. NS ns1.other.test."]);
    let cut = format!("{soa}bad NS ns1.other.test.\n{signature}");
    let fault = read(cut.as_bytes()).expect_err("a dump without its closing SOA");
    assert!(
        fault.contains("does not end with the zone's SOA"),
        "{fault}"
    );
    let unknown = whole.replace("ANY\tTSIG\t", "CLASS255 TYPE250 \\# 61 ");
    assert_eq!(
        lines(unknown.as_bytes()),
        ["bad.example. NS ns1.other.test."]
    );
    let refused = whole.replace("NOERROR", "BADSIG");
    let fault = read(refused.as_bytes()).expect_err("a signature that is wrong");
    assert!(fault.contains("class ANY"), "{fault}");
}

#[test]
fn chunks_of_any_size_read_alike() {
    let text = format!("{SOA}bad NS ns1\n  NS bücher\nq TXT ( \"a\"\n \"b\" )\nns1 A 192.0.2.1\n");
    for size in [1, 2, 3, 7, 1000] {
        /// Gives at most `self.1` octets a read.
        struct Slow<'a>(&'a [u8], usize);
        impl Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = self.1.min(self.0.len()).min(buffer.len());
                buffer[..length].copy_from_slice(&self.0[..length]);
                self.0 = &self.0[length..];
                Ok(length)
            }
        }
        let apex = Name::parse("example.").expect("valid");
        let mut intake = Intake::new(
            DigestKey::new([1; 32]),
            DigestTable::with_capacity(0),
            Cursor::new(Vec::new()),
        );
        let mut reader = ZoneReader::new(&apex, &RULES, &mut intake);
        reader.chunk_octets = size;
        reader
            .read_stream(Slow(text.as_bytes(), 2))
            .expect("a valid zone");
        let read = reader.finish().expect("a valid zone");
        assert_eq!(read.fetched.counts.kept, 3, "{size}");
    }
}

/// Reads a text under its own limits and returns why it is refused.
fn refusal_under(limits: Limits, text: &[u8]) -> Refusal {
    let apex = Name::parse("example.").expect("valid");
    let mut intake = Intake::new(
        DigestKey::new([1; 32]),
        DigestTable::with_capacity(0),
        Cursor::new(Vec::new()),
    );
    let rules = ZonefileRules { limits, ..RULES };
    match read_text(text, &apex, &rules, &mut intake) {
        Err(SourceError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_limit_of_a_file_is_named_by_its_key() {
    let generate = format!("{SOA}$GENERATE 1-100 h$ A 192.0.2.$\n");
    let set = |change: fn(&mut Limits)| {
        let mut limits = Limits::DEFAULT;
        change(&mut limits);
        limits
    };
    for (key, limits) in [
        ("limits.file", set(|it| it.file = Span::seconds(0))),
        (
            "limits.generate_octets = 1000",
            set(|it| it.generate_octets = 1000),
        ),
    ] {
        let refusal = refusal_under(limits, generate.as_bytes());
        assert!(refusal.to_string().contains(key), "{refusal}");
        assert_eq!(refusal.code(), "limit");
    }
}

/// Reads a text, cut into entries so many octets at a time, with the short way for plain lines or without.
fn read_either_way(
    text: &str,
    chunk_octets: usize,
    reads_plain_lines: bool,
) -> Result<(Fetched, Vec<Candidate>), String> {
    let apex = Name::parse("example.").expect("valid");
    let mut intake = Intake::new(
        DigestKey::new([1; 32]),
        DigestTable::with_capacity(0),
        Cursor::new(Vec::new()),
    );
    let mut reader = ZoneReader::new(&apex, &RULES, &mut intake);
    reader.reads_plain_lines = reads_plain_lines;
    reader.chunk_octets = chunk_octets;
    reader
        .read_stream(text.as_bytes())
        .map_err(|error| error.to_string())?;
    let read = reader.finish().map_err(|error| error.to_string())?;
    Ok((read.fetched, intake.all_candidates()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    // Whatever the lines are, and in whatever order: the short way finds the same records or the same fault.
    #[test]
    fn plain_lines_are_read_as_the_careful_way_reads_them(
        lines in prop::collection::vec((0_usize..LINE_PARTS[0].len(), 0_usize..LINE_PARTS[1].len(), 0_usize..LINE_PARTS[2].len(), 0_usize..LINE_PARTS[3].len()), 0..8),
        whole in prop::collection::vec(0_usize..WHOLE_LINES.len(), 0..4),
        chunk_octets in prop_oneof![1_usize..60, Just(CHUNK_OCTETS)],
    ) {
        let mut text = SOA.to_owned();
        let mut whole = whole.into_iter();
        for (owner, before, rtype, end) in lines {
            let parts = [LINE_PARTS[0][owner], LINE_PARTS[1][before], LINE_PARTS[2][rtype], LINE_PARTS[3][end]];
            text += &parts.concat();
            text += whole.next().map_or("", |line| WHOLE_LINES[line]);
        }
        let short = read_either_way(&text, chunk_octets, true);
        let careful = read_either_way(&text, CHUNK_OCTETS, false);
        prop_assert_eq!(format!("{short:?}"), format!("{careful:?}"), "{}", text);
    }
}

/// Parts of lines: owner, TTL and class, type and data, end.
const LINE_PARTS: [&[&str]; 4] = [
    &[
        "bad",
        "BAD",
        "bad.example.",
        "a.b",
        "",
        "@",
        "ns1.bad",
        // Labels of 63 and 64 octets, names of 255 and 256, odd octets.
        "a12345678901234567890123456789012345678901234567890123456789012",
        "a123456789012345678901234567890123456789012345678901234567890123",
        "a.a12345678901234567890123456789012345678901234567890123456789.a12345678901234567890123456789012345678901234567890123456789.a12345678901234567890123456789012345678901234567890123456789.a12345678901234567890123456789012345678901234567890123456789",
        "aa.a12345678901234567890123456789012345678901234567890123456789.a12345678901234567890123456789012345678901234567890123456789.a12345678901234567890123456789012345678901234567890123456789.a12345678901234567890123456789012345678901234567890123456789",
        "a\u{1}\0",
        "a\\.b",
        "b\u{fc}cher",
        "x..y",
        "other.test.",
        "example.",
        "\"q\"",
        "9",
        "in",
    ],
    &[
        " ",
        " IN ",
        "\t60\tIN ",
        " in 60 ",
        " 1h ",
        " CH ",
        " 4294967295 ",
        " 60 60 ",
    ],
    &[
        "NS ns1.bad",
        "ns NS1.Other.test.",
        "NS .",
        "NS @",
        "A 192.0.2.1",
        "A 192.0.2.256",
        "AAAA 2001:db8::1",
        "DS 1 13 2 abcd",
        "DS 1 13 2 ab cd",
        "DS 1 ECDSAP256SHA256 2 abcd",
        "TXT x",
        "CNAME y",
        "NS a b",
        "NS ( ns1.bad )",
        "NS \\# 2 0100",
        "NS",
        "A A",
    ],
    &["\n", "\r\n", " \n", " ; no\n", "\t;\n"],
];
/// Lines that change what follows.
const WHOLE_LINES: &[&str] = &[
    "$ORIGIN sub.example.\n",
    "$TTL 5\n",
    "; no\n",
    "\n",
    "  A 192.0.2.9\n",
    "$GENERATE 1-3 h$ A 192.0.2.$\n",
];
