//! Passive DNS as others recorded it: the common output format (draft-dulaunoy-dnsop-passive-dns-cof), one
//! object a line. Read from the lines of a [`FeedReader`](super::FeedReader).

use serde::Deserialize;

use crate::dns::{Name, Rdata, RecordType};
use crate::source::feed::{OneOrMany, in_line};
use crate::source::rrtypes::parse_type;
use crate::time::Timestamp;

/// One line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SightingLine {
    /// The owner.
    pub owner: Name,
    /// Sorted, without duplicates; empty if the type is not kept.
    pub rdata: Vec<Rdata>,
    /// When the records were first seen.
    pub first_at: Timestamp,
    /// When they were last seen.
    pub last_at: Timestamp,
}

/// A line as it is written. What else stands in it (`count`, `bailiwick`, `sensor_id`, …) is not kept.
#[derive(Deserialize)]
struct Written {
    rrname: String,
    rrtype: String,
    rdata: OneOrMany,
    time_first: Option<i64>,
    time_last: Option<i64>,
    zone_time_first: Option<i64>,
    zone_time_last: Option<i64>,
}

impl SightingLine {
    /// Reads one line. The times are those that sensors saw, or, where there are none, those of the zone.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong.
    pub fn parse(octets: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(octets)
            .map_err(|fault| format!("not passive DNS: {}", in_line(&fault)))?;
        let owner = Name::parse(&written.rrname).map_err(|fault| format!("rrname: {fault}"))?;
        let seen = written.time_first.zip(written.time_last);
        let (first, last) = seen
            .or(written.zone_time_first.zip(written.zone_time_last))
            .ok_or("neither time_first and time_last nor zone_time_first and zone_time_last")?;
        if first > last || first < 0 {
            return Err(format!("first seen at {first}, last at {last}"));
        }
        let time = |field: &str, seconds: i64| {
            let time = Timestamp::from_unix(seconds);
            // Milliseconds, which some tools write, lie beyond the calendar and would be cut to its end.
            (time.unix() == seconds)
                .then_some(time)
                .ok_or_else(|| format!("{field}: {seconds} is not a time in seconds"))
        };
        let code =
            parse_type(written.rrtype.as_bytes()).map_err(|fault| format!("rrtype: {fault}"))?;
        let rdata = match RecordType::from_code(code) {
            Some(rtype) => written.rdata.parse(rtype)?,
            None => Vec::new(),
        };
        Ok(Self {
            owner,
            rdata,
            first_at: time("time_first", first)?,
            last_at: time("time_last", last)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_either_pair_of_times() {
        let line = SightingLine::parse(
            br#"{"rrname":"Bad.Example","rrtype":"A","rdata":["192.0.2.2","192.0.2.1"],"time_first":100,"time_last":200,"zone_time_first":1,"zone_time_last":2,"count":3}"#,
        )
        .expect("understood");
        assert_eq!(line.owner.to_string(), "bad.example.");
        assert_eq!(line.rdata.len(), 2);
        assert_eq!((line.first_at.unix(), line.last_at.unix()), (100, 200));
        let line = SightingLine::parse(
            br#"{"rrname":"bad.example.","rrtype":"NS","rdata":"ns1.a.test.","zone_time_first":5,"zone_time_last":5}"#,
        )
        .expect("understood");
        assert_eq!((line.first_at.unix(), line.last_at.unix()), (5, 5));
        let line = SightingLine::parse(
            br#"{"rrname":"bad.example.","rrtype":"TXT","rdata":"x","time_first":5,"time_last":5}"#,
        )
        .expect("understood");
        assert_eq!(line.rdata, []);
    }

    #[test]
    fn what_is_no_sighting_says_why() {
        let no_times: &[u8] = br#"{"rrname":"a.","rrtype":"A","rdata":"192.0.2.1"}"#;
        let backwards: &[u8] =
            br#"{"rrname":"a.","rrtype":"A","rdata":"192.0.2.1","time_first":2,"time_last":1}"#;
        let millis: &[u8] = br#"{"rrname":"a.","rrtype":"A","rdata":"192.0.2.1","time_first":1,"time_last":99999999999999}"#;
        let bad: &[u8] =
            br#"{"rrname":"a.","rrtype":"A","rdata":"192.0.2","time_first":1,"time_last":1}"#;
        let two: &[u8] = br#"{"rrname":"a.","rrtype":"NS","rdata":"ns1.a. ns2.a.","time_first":1,"time_last":1}"#;
        let meta: &[u8] =
            br#"{"rrname":"a.","rrtype":"AXFR","rdata":"x","time_first":1,"time_last":1}"#;
        for (octets, what) in [
            (no_times, "neither"),
            (backwards, "first seen at 2"),
            (millis, "time_last"),
            (bad, "rdata"),
            (two, "is not one name"),
            (meta, "AXFR is a type of queries"),
            (b"[]", "not passive DNS"),
        ] {
            let fault = SightingLine::parse(octets).expect_err("refused");
            assert!(fault.contains(what), "{fault}");
        }
    }
}
