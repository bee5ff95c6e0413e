//! What one version of a zone may cost before it is refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dns::RecordType;
use crate::time::Span;

/// The limits of `[limits]`. Each has a name, since a refusal tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long a connection attempt may take.
    pub connect: Span,
    /// How long one message may take to arrive, and how long a primary may be silent.
    pub idle: Span,
    /// How long a whole transfer may take. Three hours: a full transfer of the largest zones takes
    /// less than one.
    pub transfer: Span,
    /// How long one file may be read, what it includes too: a zone file, a file of a spool, an import by
    /// hand; storing and judging are not counted, but in a feed that is followed, where the next pass goes on.
    /// An hour: a zone of 160 million records is read in minutes.
    pub file: Span,
    /// The most octets of one transfer or of one zone file after decompression. `.com` is some 25 GB
    /// as text, less on the wire.
    pub octets: u64,
    /// The most records of one version, of every type.
    pub records: u64,
    /// The most octets of the RDATA of a kept record. The longest that is legitimate, a name, has 255.
    pub record_octets: u64,
    /// The most owner names of one version.
    pub names: u64,
    /// The most octets of changed owners that wait in the temporary folder. A first version is all
    /// changed owners: some 40 octets a record.
    pub spool_octets: u64,
    /// The most octets of an incremental transfer, which is held in memory; a longer one is fetched as
    /// a whole zone instead.
    pub delta_octets: u64,
    /// The most records that one `$GENERATE` may make.
    pub generate_records: u64,
    /// The most octets of text that the `$GENERATE` lines of one file may make, what it includes too. 256 MiB:
    /// some 4 million records of a reverse zone.
    pub generate_octets: u64,
    /// The most members of a gzip file. bgzip makes one of 64 KiB of text: a million of them are 60 GB.
    pub gzip_members: u64,
    /// How many octets decompression may make of one, beyond the first 16 MiB. Zone files shrink to a fifth or
    /// a tenth; gzip itself ends at 1,032.
    pub ratio: u64,
    /// The most records of one RRset. 4,096: as many addresses as a message of 64 KiB holds are 4,095, so no
    /// server can serve more. BIND's own limit, 100, refuses RRsets that Knot, NSD and PowerDNS serve.
    pub rrset_records: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Limits {
    /// What is configured if nothing is.
    pub const DEFAULT: Self = {
        Self {
            connect: Span::seconds(10),
            idle: Span::seconds(30),
            transfer: Span::hours(3),
            file: Span::hours(1),
            octets: 256 << 30,
            records: 2_000_000_000,
            record_octets: 4096,
            names: 500_000_000,
            spool_octets: 32 << 30,
            delta_octets: 128 << 20,
            generate_records: 65_536,
            generate_octets: 256 << 20,
            gzip_members: 1_000_000,
            ratio: 200,
            rrset_records: 4096,
        }
    };

    /// Returns why an RRset of so many records is over the limit, if it is. `owner` as people read it.
    pub fn rrset_fault(&self, owner: &str, rtype: RecordType, records: u64) -> Option<String> {
        let limit = self.rrset_records;
        (records > limit).then(|| {
            format!("{owner} {rtype}: {records} records or more, more than limits.rrset_records = {limit}")
        })
    }

    /// Returns what is wrong with the limits, each with its key.
    pub fn faults(&self) -> Vec<(String, String, &'static str)> {
        let spans = [
            ("connect", self.connect),
            ("idle", self.idle),
            ("transfer", self.transfer),
            ("file", self.file),
        ];
        let spans = spans.map(|(key, span)| (key, span.as_seconds()));
        let counts = [
            ("octets", self.octets),
            ("records", self.records),
            ("record_octets", self.record_octets),
            ("names", self.names),
            ("spool_octets", self.spool_octets),
            ("delta_octets", self.delta_octets),
            ("generate_records", self.generate_records),
            ("generate_octets", self.generate_octets),
            ("gzip_members", self.gzip_members),
            ("ratio", self.ratio),
            ("rrset_records", self.rrset_records),
        ];
        let counts = counts.map(|(key, count)| (key, count.min(i64::MAX as u64) as i64));
        let bad = spans
            .into_iter()
            .chain(counts)
            .filter(|(_, value)| *value < 1);
        let mut faults: Vec<(String, String, &'static str)> = bad
            .map(|(key, _)| {
                (
                    format!("limits.{key}"),
                    "must be greater than 0".to_owned(),
                    "write 1 or more, or leave the key out",
                )
            })
            .collect();
        if self.record_octets > u64::from(u16::MAX) {
            let what = "a record has at most 65535 octets".to_owned();
            faults.push((
                "limits.record_octets".to_owned(),
                what,
                "write 65535 or less",
            ));
        }
        faults
    }
}
