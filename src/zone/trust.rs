//! Whether a version may be believed: complete, of a plausible size, no mass change.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::count::counted;
use crate::zone::Counts;

/// How far a version may differ from the last one before it is held or marked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrustPolicy {
    /// A zone file with less than this share of the last version's kept records is held.
    /// 0.9: a real cut root-zone download had 0.86 of its records, the next complete one 1.00.
    pub shrink_share_min: f64,
    /// A transfer with less than this share of the last version's kept records is fetched once more
    /// and then held. A transfer is complete by its closing SOA, but a primary that lost its data
    /// closes its zones too. Chosen by hand.
    pub transfer_shrink_share_min: f64,
    /// A version in which more than this share of the names or delegations change is *bulk*, if
    /// more than `bulk_names` change too. 0.05: the largest real provider migration in 2,576
    /// root-zone serials moved 33 of 1,458 delegations (0.023) at once.
    pub bulk_share: f64,
    /// See `bulk_share`; also the records a version must have lost before it is held.
    pub bulk_names: u64,
}

impl TrustPolicy {
    /// Returns what is wrong with the policy, each with its key.
    pub fn faults(&self) -> Vec<(String, String, &'static str)> {
        let shares = [
            ("shrink_share_min", self.shrink_share_min),
            ("transfer_shrink_share_min", self.transfer_shrink_share_min),
            ("bulk_share", self.bulk_share),
        ];
        let bad = shares
            .into_iter()
            .filter(|(_, value)| !(0.0..=1.0).contains(value));
        bad.map(|(key, value)| {
            (
                format!("trust.{key}"),
                format!("{value} is not a share of 0 to 1"),
                "write a number of 0.0 to 1.0, such as 0.05 for 5 %",
            )
        })
        .collect()
    }
}

impl Default for TrustPolicy {
    fn default() -> Self {
        Self {
            shrink_share_min: 0.9,
            transfer_shrink_share_min: 0.5,
            bulk_share: 0.05,
            bulk_names: 50,
        }
    }
}

/// What is done about the digest (ZONEMD, RFC 8976) of a zone that is transferred whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ZonemdRule {
    /// Verify it where the zone carries one.
    #[default]
    Auto,
    /// Refuse a zone without one that verifies. Only whole zones are asked for.
    Require,
    /// Do not look.
    Ignore,
}

/// Why a version was not taken. Each is a word in `status` and a sentence in the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No primary could be reached.
    #[error("no connection to {0}{cure}", cure = cure_of_connection(.0))]
    Unreachable(String),
    /// The primary did not go on in time.
    #[error("timed out: {0}")]
    Timeout(String),
    /// The stream or file ends before the zone does.
    #[error("ended early: {0}")]
    EndedEarly(String),
    /// The closing SOA is not the opening one, or stands where none may be.
    #[error("SOA mismatch: {0}")]
    SoaMismatch(String),
    /// The primary's serial is older than the one history holds, and another primary may be ahead.
    #[error("behind: {0}")]
    Behind(String),
    /// The primary answered with an error.
    #[error("primary answered {0}{cure}", cure = cure_of_rcode(.0))]
    Rcode(String),
    /// A name server that was probed answered with an error.
    #[error("name server answered {0}{cure}", cure = cure_of_probe(.0))]
    ProbeRcode(String),
    /// The transaction signature is missing or wrong.
    #[error("TSIG: {0}")]
    Tsig(String),
    /// The encrypted connection cannot be trusted or made.
    #[error("TLS: {0}")]
    Tls(String),
    /// The digest that the zone carries (RFC 8976) is not that of its records.
    #[error("ZONEMD: {0}")]
    Zonemd(String),
    /// A name of another zone.
    #[error("carries {0}, which is not in the zone")]
    ForeignName(String),
    /// What arrived breaks the protocol or the file format.
    #[error("malformed: {0}")]
    Malformed(String),
    /// A version with far fewer records than before.
    #[error(
        "shrank from {before} to {}; if that is right, release it with `fluxwatch poll --accept ZONE`",
        counted(*now, "record")
    )]
    Shrank {
        /// Kept records of the last version.
        before: u64,
        /// Kept records of this one.
        now: u64,
    },
    /// More than a named limit allows.
    #[error("over the limit: {0}")]
    Limit(String),
    /// A file that cannot be read.
    #[error("cannot read {0}")]
    Unreadable(String),
    /// A feed's file was taken away before it was read to its end.
    #[error("rotated away: {0}")]
    Rotated(String),
    /// A file whose time lies before what history already holds.
    #[error("older than history: {0}")]
    TooOld(String),
    /// This machine could not take the version in.
    #[error("this machine: {0}")]
    Local(String),
}

/// Returns what helps where no connection could be made, as words that follow why; empty where nothing is known.
fn cure_of_connection(what: &str) -> &'static str {
    let has = |word: &str| what.contains(word);
    match () {
        () if has("refused") => {
            ": nothing listens there; check address and port in `primaries`, and that the primary listens on it over TCP"
        }
        () if has("timed out") || has("no answer") => {
            ": check the address in `primaries`, the route, and firewalls on the way"
        }
        () if has("unreachable") || has("No route") => {
            ": check the address in `primaries` and this machine's route to it"
        }
        () => "",
    }
}

/// Returns whose side has to do what where a primary answers with an error: words that follow the response code.
fn cure_of_rcode(what: &str) -> &'static str {
    match what.split(' ').next().unwrap_or_default() {
        "REFUSED" => {
            ": the primary does not let this machine transfer the zone, or does not serve it; check the zone's name at both sides, and allow its address or its key there (BIND allow-transfer, Knot acl, NSD provide-xfr, PowerDNS ALLOW-AXFR-FROM or TSIG-ALLOW-AXFR)"
        }
        "NOTAUTH" => {
            ": the primary does not serve this zone, or does not let this machine transfer it; check the zone's name at both sides, and the key and access list there"
        }
        "SERVFAIL" => {
            ": the primary has the zone but cannot serve it; its log says why (a zone file that does not load, a zone that has expired, as many transfers at a time as it may send, which BIND's transfers-out limits to 10)"
        }
        "NXDOMAIN" => ": the primary does not know this name; check the zone's name at both sides",
        _ => "",
    }
}

/// Returns what a name server's error means where single names are asked for: words that follow the response code.
fn cure_of_probe(what: &str) -> &'static str {
    match what.split(' ').next().unwrap_or_default() {
        "REFUSED" | "NOTAUTH" => {
            ": the delegation leads to a server that does not serve the name, or not to this machine; nothing is to be done here unless `dig` from this machine gets an answer"
        }
        "SERVFAIL" => ": the server has no answer now; the next pass asks again",
        _ => "",
    }
}

impl Refusal {
    /// Returns the one-word reason for `status`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Timeout(_) => "timeout",
            Self::EndedEarly(_) => "ended-early",
            Self::SoaMismatch(_) => "soa-mismatch",
            Self::Behind(_) => "behind",
            Self::Rcode(_) | Self::ProbeRcode(_) => "rcode",
            Self::Tsig(_) => "tsig",
            Self::Tls(_) => "tls",
            Self::Zonemd(_) => "zonemd",
            Self::ForeignName(_) => "foreign-name",
            Self::Malformed(_) => "malformed",
            Self::Shrank { .. } => "shrank",
            Self::Limit(_) => "limit",
            Self::Unreadable(_) => "unreadable",
            Self::Rotated(_) => "rotated",
            Self::TooOld(_) => "too-old",
            Self::Local(_) => "local",
        }
    }

    /// Returns whether the version waits for a person (`held`) rather than for the next poll.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Shrank { .. })
    }
}

/// Refuses a file that lost more records than the policy allows.
pub fn judge_size(policy: &TrustPolicy, before: u64, now: &Counts) -> Result<(), Refusal> {
    shrank(policy, policy.shrink_share_min, before, now).map_or(Ok(()), Err)
}

/// Returns why a whole transfer that lost more records than the policy allows is not taken at once.
pub fn judge_transfer(policy: &TrustPolicy, before: u64, now: &Counts) -> Option<Refusal> {
    shrank(policy, policy.transfer_shrink_share_min, before, now)
}

/// Returns the refusal of a version with less than `share_min` of the records before it.
fn shrank(policy: &TrustPolicy, share_min: f64, before: u64, now: &Counts) -> Option<Refusal> {
    let lost = before.saturating_sub(now.kept);
    let is_too_small = (now.kept as f64) < before as f64 * share_min;
    // Both a number and a share: a small zone may lose half its names in a day without anything being wrong.
    (lost > policy.bulk_names && is_too_small).then_some(Refusal::Shrank {
        before,
        now: now.kept,
    })
}

/// What changed in a version, for the mass-change guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BulkMeasure {
    /// Owner names of the last version.
    pub names_before: u64,
    /// Owner names of the last version with NS records.
    pub delegations_before: u64,
    /// Owner names whose records changed.
    pub names_changed: u64,
    /// Owner names whose NS records changed.
    pub delegations_changed: u64,
}

/// Returns whether more changed at one instant than the policy lets anybody be accused for.
pub fn is_bulk(policy: &TrustPolicy, measure: &BulkMeasure) -> bool {
    let over = |changed: u64, before: u64| {
        changed > policy.bulk_names && changed as f64 > before as f64 * policy.bulk_share
    };
    over(measure.names_changed, measure.names_before)
        || over(measure.delegations_changed, measure.delegations_before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_zones_may_lose_half_their_records() {
        let policy = TrustPolicy::default();
        let now = |kept| Counts {
            kept,
            ..Counts::default()
        };
        assert!(judge_size(&policy, 10, &now(5)).is_ok());
        assert!(judge_size(&policy, 15_038, &now(12_900)).is_err());
        assert!(judge_size(&policy, 1000, &now(900)).is_ok());
    }

    #[test]
    fn bulk_needs_both_a_share_and_a_number() {
        let policy = TrustPolicy::default();
        let measure = |changed, before| BulkMeasure {
            delegations_before: before,
            delegations_changed: changed,
            names_before: before * 5,
            ..BulkMeasure::default()
        };
        assert!(is_bulk(&policy, &measure(97, 1514)));
        assert!(!is_bulk(&policy, &measure(46, 1514)));
        assert!(!is_bulk(&policy, &measure(60, 1_000_000)));
        assert!(!is_bulk(&policy, &measure(5, 10)));
    }
}
