//! The configuration as it is written in TOML.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::detector::DetectPolicy;
use crate::time::Span;
use crate::zone::TrustPolicy;

/// The whole file.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    /// `[store]`.
    pub store: StoreSection,
    /// `[[key]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<KeySection>,
    /// `[[source]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<SourceSection>,
    /// `[[zone]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub zone: Vec<ZoneSection>,
    /// `[enrich]`.
    #[serde(default)]
    pub enrich: EnrichSection,
    /// `[trust]`.
    #[serde(default)]
    pub trust: TrustPolicy,
    /// `[detect]`.
    #[serde(default)]
    pub detect: DetectPolicy,
    /// `[report]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportSection>,
    /// `[smtp]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<SmtpSection>,
}

/// Where history is kept.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSection {
    /// The database file.
    pub path: PathBuf,
    /// Keep the index from name servers to the names that use them.
    #[serde(default = "yes")]
    pub reverse_index: bool,
}

/// A TSIG key.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeySection {
    /// Its name.
    pub name: Spanned<String>,
    /// `hmac-sha256` and so on.
    #[serde(default = "default_algorithm")]
    pub algorithm: String,
    /// The file with the secret in base64.
    pub secret_file: Spanned<PathBuf>,
}

/// A source of changes; which keys it may have depends on its kind.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSection {
    /// Its name.
    pub name: Spanned<String>,
    /// `transfer`, `zonefile` or `feed`.
    pub kind: Spanned<String>,
    /// The zone's apex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Spanned<String>>,
    /// Addresses of primaries, with their ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primaries: Option<Spanned<Vec<String>>>,
    /// Name of the key that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Spanned<String>>,
    /// The zone files, or the feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<String>>,
    /// The time in the names of zone files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_pattern: Option<Spanned<String>>,
    /// Whether a zone file must have its SOA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_soa: Option<Spanned<bool>>,
    /// Whether the feed began with the whole zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<Spanned<bool>>,
    /// How often `run` looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Spanned<Span>>,
    /// When `run` looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<Spanned<String>>,
}

/// What one zone has of its own.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneSection {
    /// The apex.
    pub name: Spanned<String>,
    /// Its desk.
    pub desk: Spanned<Vec<String>>,
}

/// What is known beyond the zones.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnrichSection {
    /// `start,end,asn[,organisation]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<Spanned<PathBuf>>,
}

/// Who reports to whom.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ReportSection {
    /// The sender.
    pub from: Spanned<String>,
    /// The desk.
    pub desk: Spanned<Vec<String>>,
    /// The organisation, as it signs.
    pub org: String,
    /// Where to write when a report is wrong.
    pub contact: Spanned<String>,
}

/// How mail leaves.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSection {
    /// `smtp://`, `smtps://` or `maildir://`.
    pub url: Spanned<String>,
    /// The file with the password of the URL's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<Spanned<PathBuf>>,
}

/// The default of switches that are on.
fn yes() -> bool {
    true
}

/// The default algorithm of a key.
fn default_algorithm() -> String {
    "hmac-sha256".to_owned()
}
