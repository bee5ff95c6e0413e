//! Whether a file that dumps a transfer is whole (RFC 5936 §2.2).
//!
//! A transfer begins and ends with the SOA, and so does what dig, kdig, drill and others write of it. An
//! ordinary zone file has its SOA once, at its beginning. The two are told apart by what the file says of
//! itself, in comments; a dump without comments (`dig +noall +answer`, drill) only by the last file of the
//! same source, which is the caller's part.

use crate::zone::Refusal;

/// The most octets of a comment that are looked at.
const COMMENT_OCTETS_MAX: usize = 512;

/// The fewest octets of an option of dig that tell it from others.
const OPTION_OCTETS_MIN: usize = 3;
/// What dig and host 9.18, kdig 3.2 and drill 1.8 print where a transfer broke off, in any case.
const FAILURES: [&str; 11] = [
    "transfer failed",
    "communications error",
    "connection timed out",
    "no servers could be reached",
    "couldn't verify",
    "got bad packet",
    "warning: can't receive reply",
    "warning: response timeout",
    "error: failed to query server",
    "error: server replied with error",
    "axfr failed",
];

/// What is known of a file's ends.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// The line of the comment that says which program dumped the transfer.
    banner_line: Option<u64>,
    /// Whether that program was asked for one SOA and no statistics, so that nothing can be said.
    is_mute: bool,
    /// The opening SOA as it was written, its words in a row.
    opening: Option<Vec<u8>>,
    /// Whether the record read last is the opening SOA again.
    is_closed: bool,
    /// Records since the opening SOA, it included.
    records: u64,
    /// How many records the transfer had, as dig says after the last.
    told: Option<u64>,
    /// The line of the comment that says that the transfer broke off, and the comment.
    failure: Option<(u64, String)>,
    /// Whether a record follows it.
    goes_on: bool,
}

impl Ends {
    /// Notes a comment that has a line for itself.
    pub fn take_comment(&mut self, line: u64, comment: &[u8]) {
        // What dig and kdig write is short; a comment of a megabyte is not theirs.
        let cut = &comment[..comment.len().min(COMMENT_OCTETS_MAX)];
        let comment = String::from_utf8_lossy(cut);
        let text = comment.trim_start_matches(';').trim();
        let lower = text.to_ascii_lowercase();
        let mut words = lower.split_ascii_whitespace();
        // dig takes the beginning of an option for it.
        let asks = |option: &str| {
            let mut words = lower.split_ascii_whitespace();
            words.any(|it| it.len() > OPTION_OCTETS_MIN && option.starts_with(it))
        };
        if lower.starts_with("<<>> dig") && words.any(|it| it == "axfr" || it.starts_with("ixfr")) {
            self.banner_line.get_or_insert(line);
            self.is_mute = asks("+onesoa") && (asks("+nostats") || asks("+noall"));
        } else if is_banner_of_kdig(&comment) {
            self.banner_line.get_or_insert(line);
        } else if let Some(rest) = lower.strip_prefix("xfr size: ") {
            self.banner_line.get_or_insert(line);
            self.told = rest.split(' ').next().and_then(|count| count.parse().ok());
        } else if is_failure(&lower) {
            // kdig's stderr comes first where both streams go to one file; nobody writes such words by hand.
            if lower.starts_with("error: ") || lower.starts_with("warning: ") {
                self.banner_line.get_or_insert(line);
            }
            // The first says why, the next that there is nothing more to ask.
            if self.records > 0 && (self.failure.is_none() || self.goes_on) {
                self.failure = Some((line, text.to_owned()));
                self.goes_on = false;
            }
        }
    }

    /// Notes the signature of a signed transfer: what holds one is a dump.
    pub fn take_signature(&mut self, line: u64) {
        self.banner_line.get_or_insert(line);
    }

    /// Notes a record; `soa` has the words of an apex's SOA.
    pub fn take_record(&mut self, soa: Option<&[(&[u8], bool)]>) {
        // A count of dig stands after the last record: one that is followed by records was of another transfer.
        self.told = None;
        self.goes_on = true;
        let Some(words) = soa else {
            self.is_closed = false;
            self.records += 1;
            return;
        };
        let mut octets = Vec::new();
        for (word, _) in words {
            octets.extend_from_slice(word);
            octets.push(b' ');
        }
        // Case is no part of a name, and servers change it.
        octets.make_ascii_lowercase();
        // dig asks again after a fault, up to three times, and prints each answer after the other. So a
        // SOA after a fault opens the next dump, as does one after a SOA that closed.
        let opens = self.opening.is_none() || self.is_closed || self.failure.is_some();
        if let Some((line, _)) = &self.failure {
            // Only a program that asks again writes a SOA after a fault.
            self.banner_line.get_or_insert(*line);
        }
        self.records = if opens { 1 } else { self.records + 1 };
        self.is_closed = !opens && self.opening.as_ref() == Some(&octets);
        self.failure = None;
        if opens {
            self.opening = Some(octets);
        }
    }

    /// Returns whether the record read last is the opening SOA again.
    pub fn is_closed(&self) -> bool {
        self.is_closed && self.broke_off().is_none()
    }

    /// Returns what says that the transfer broke off: the last words of the file, or a comment anywhere in a dump. In
    /// the middle of another file a person may write of transfers what they like.
    fn broke_off(&self) -> Option<&(u64, String)> {
        let counts = !self.goes_on || self.banner_line.is_some();
        self.failure.as_ref().filter(|_| counts)
    }

    /// Judges the file at its end, after `line` lines.
    ///
    /// # Errors
    ///
    /// [`Refusal::EndedEarly`] for a file that says itself that it is cut.
    pub fn judge(&self, line: u64) -> Result<(), Refusal> {
        if let Some((line, comment)) = self.broke_off() {
            let what = format!(
                "line {line}: the transfer that the file dumps broke off: {comment:?}; transfer the zone again, or, if the file is whole, delete that comment"
            );
            return Err(Refusal::EndedEarly(what));
        }
        let Some(banner_line) = self.banner_line else {
            return Ok(());
        };
        if let Some(told) = self.told {
            // Of both SOAs, +onesoa prints the first.
            let expected = told.saturating_sub(u64::from(!self.is_closed));
            if self.records >= expected {
                return Ok(());
            }
            let found = self.records;
            let what = format!(
                "line {line}: the file dumps a transfer of {told} records and holds {found}; transfer the zone again"
            );
            return Err(Refusal::EndedEarly(what));
        }
        if self.is_closed || self.is_mute {
            return Ok(());
        }
        let what = format!(
            "line {line}: the file dumps a transfer (line {banner_line} says so) and does not end with the zone's SOA: the transfer broke off; transfer the zone again, or, if somebody wrote the file from a dump, delete the comment in line {banner_line}"
        );
        Err(Refusal::EndedEarly(what))
    }
}

/// Returns whether a comment is the first line of kdig: `;; AXFR for example.`.
fn is_banner_of_kdig(comment: &str) -> bool {
    let comment = comment.trim();
    let name = comment
        .strip_prefix(";; AXFR for ")
        .or_else(|| comment.strip_prefix(";; IXFR for "));
    name.is_some_and(|name| name.ends_with('.') && !name.contains(' '))
}

/// Returns whether a comment, in lower case, says that a transfer broke off.
fn is_failure(comment: &str) -> bool {
    let is_refused = comment.starts_with("connection to ") && comment.contains(" failed:");
    is_refused || FAILURES.iter().any(|failure| comment.starts_with(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOA: [(&[u8], bool); 3] = [(b"ns1", false), (b"host", false), (b"7", false)];

    /// Judges a file: `S` is its SOA, `r` a record, and the rest are comments.
    fn judge(lines: &[&str]) -> Result<bool, String> {
        let mut ends = Ends::default();
        for (number, line) in (1..).zip(lines) {
            match *line {
                "S" => ends.take_record(Some(&SOA)),
                "r" => ends.take_record(None),
                comment => ends.take_comment(number, comment.as_bytes()),
            }
        }
        ends.judge(lines.len() as u64)
            .map(|()| ends.is_closed())
            .map_err(|refusal| refusal.to_string())
    }

    const DIG: &str = "; <<>> DiG 9.18.49-1~deb12u3-Debian <<>> @192.0.2.53 example. AXFR";
    const ONE_SOA: &str = "; <<>> DiG 9.18.49 <<>> +onesoa @192.0.2.53 example. AXFR";
    const KDIG: &str = ";; AXFR for example.";
    const SIZE: &str = ";; XFR size: 3 records (messages 3, bytes 2352)";
    const FAULT: &str = ";; communications error to 192.0.2.53#53: end of file";

    #[test]
    fn what_real_writers_write_is_whole() {
        for (lines, closes) in [
            (&["S", "r", "r"][..], false),
            (
                &["; by hand: the transfer failed yesterday", "S", "r"],
                false,
            ),
            (
                &["S", "r", "; Transfer failed over to ns2 last week", "r"],
                false,
            ),
            (
                &["; Transfer failed over to ns2 last week", "S", "r"],
                false,
            ),
            (
                &["S", "; connection to 192.0.2.1 failed: moved", "r", "r"],
                false,
            ),
            (
                &[
                    "; <<>> DiG 9.18.49 <<>> +ones +nostat example. AXFR",
                    "S",
                    "r",
                ],
                false,
            ),
            (&["S", "r", "S"], true),
            (&[DIG, "S", "r", "S", SIZE], true),
            (&[DIG, "S", "r", "S"], true),
            (&[ONE_SOA, "S", "r", SIZE], false),
            (
                &[
                    "; <<>> DiG 9.18 <<>> +onesoa +nostats example. axfr",
                    "S",
                    "r",
                ],
                false,
            ),
            (&["; <<>> DiG 9.18 <<>> example. NS", "S", "r"], false),
            (
                &[
                    KDIG,
                    "S",
                    "r",
                    "S",
                    ";; Received 2319 B (3 messages, 3 records)",
                ],
                true,
            ),
            (&[FAULT, DIG, "S", "r", "S", SIZE], true),
            (&[DIG, "S", "r", FAULT, "S", "r", "S", SIZE], true),
            (&["S", "r", "S", "S", "r", "S"], true),
        ] {
            assert_eq!(judge(lines), Ok(closes), "{lines:?}");
        }
    }

    #[test]
    fn what_broke_off_says_where() {
        for (lines, words) in [
            (
                &[DIG, "S", "r"][..],
                "line 3: the file dumps a transfer (line 1 says so)",
            ),
            (
                &[KDIG, "S", "r", ";; Received 9 B (2 messages, 2 records)"],
                "does not end with the zone's SOA",
            ),
            (&[ONE_SOA, "S", "r"], "does not end"),
            (&[ONE_SOA, "S", SIZE], "a transfer of 3 records and holds 1"),
            (
                &["S", "r", FAULT, ";; no servers could be reached"],
                "line 3: the transfer that the file dumps broke off",
            ),
            (&["S", "r", "; Transfer failed."], "Transfer failed."),
            (
                &[
                    ";; ERROR: failed to query server 192.0.2.53@53(TCP)",
                    "S",
                    "r",
                ],
                "does not end",
            ),
            (&["S", "r", FAULT, "S"], "does not end"),
            (&["S", "r", "S", FAULT], "broke off"),
            (
                &[
                    "S",
                    "r",
                    "S",
                    "r",
                    "; connection timed out; no servers could be reached",
                ],
                "broke off",
            ),
            (&[DIG, "S", "r", "S", "r"], "does not end"),
            (&[DIG, "S", "r", FAULT, "r", "r"], "line 4"),
        ] {
            let fault = judge(lines).expect_err(words);
            assert!(fault.contains(words), "{lines:?}: {fault}");
        }
    }
}
