//! The configuration as it is written in TOML.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::detector::DetectPolicy;
use crate::time::Span;
use crate::zone::{Limits, TrustPolicy, ZonemdRule};

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
    /// `[retention]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSection>,
    /// `[limits]`.
    #[serde(default)]
    pub limits: Limits,
    /// `[notify]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<NotifySection>,
    /// `[metrics]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsSection>,
    /// `[canary]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanarySection>,
    /// `[web]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub web: Option<WebSection>,
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
    /// `transfer`, `catalog`, `zonefile`, `feed` or `probe`.
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
    /// Ask for what changed (IXFR) before the whole zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ixfr: Option<Spanned<bool>>,
    /// Verify the zone's digest (RFC 8976): auto, require or ignore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zonemd: Option<Spanned<ZonemdRule>>,
    /// Transfers over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Spanned<TlsSection>>,
    /// Poll at once when a primary sends a NOTIFY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Spanned<bool>>,
    /// Where the members of a catalog may lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Spanned<Vec<String>>>,
    /// The most members of a catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members_max: Option<Spanned<u64>>,
    /// The zone files, or the feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<String>>,
    /// The time in the names of zone files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_pattern: Option<Spanned<String>>,
    /// Whether a zone file must have its SOA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_soa: Option<Spanned<bool>>,
    /// Whether `$INCLUDE` in a zone file is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Spanned<bool>>,
    /// Whether the feed began with the whole zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<Spanned<bool>>,
    /// Whether lines may be pushed to the feed over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<Spanned<bool>>,
    /// The list of domains that are asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains: Option<Spanned<PathBuf>>,
    /// Recursive resolvers through which name servers are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolvers: Option<Spanned<Vec<String>>>,
    /// Root servers from which they are found instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roots: Option<Spanned<Vec<String>>>,
    /// The port of authoritative servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Spanned<u16>>,
    /// How long a record stays that is not seen any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<Spanned<Span>>,
    /// How long one answer may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Spanned<Span>>,
    /// Queries a second to one server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rate: Option<Spanned<u32>>,
    /// Domains that are asked about at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains_at_once: Option<Spanned<u16>>,
    /// How often `run` looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Spanned<Every>>,
    /// Up to how much later than that, differently for each zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Spanned<Span>>,
    /// When `run` looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<Spanned<String>>,
}

/// How often `run` looks at a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// This often.
    Span(Span),
    /// As the zone's SOA says: refresh, and retry after a failure.
    Soa,
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "soa" => Ok(Self::Soa),
            span => Span::parse(span)
                .map(Self::Span)
                .map_err(serde::de::Error::custom),
        }
    }
}

impl Serialize for Every {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Soa => serializer.serialize_str("soa"),
            Self::Span(span) => span.serialize(serializer),
        }
    }
}

/// How a primary is trusted over TLS.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// The name in its certificate.
    pub server_name: String,
    /// The authorities that may sign it, PEM; left out: the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Base64 of the SHA-256 of its key instead of a signature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<String>,
    /// Refuse a primary that does not negotiate the protocol's name.
    #[serde(default)]
    pub strict_alpn: bool,
}

/// Where NOTIFY messages are heard.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NotifySection {
    /// Addresses with ports; UDP and TCP.
    pub listen: Spanned<Vec<String>>,
    /// Believe only those that are signed with the source's key.
    #[serde(default)]
    pub signed: bool,
}

/// A domain whose changes must be noticed.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CanarySection {
    /// The domain.
    pub domain: Spanned<String>,
    /// How often its operator changes it.
    pub every: Span,
}

/// What is served over HTTP.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebSection {
    /// An address with a port.
    pub listen: Spanned<String>,
    /// The file with the token that whoever pushes changes must send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<Spanned<PathBuf>>,
    /// The file with a line `user:password` for each who may read history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users_file: Option<Spanned<PathBuf>>,
}

/// Where metrics are told.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSection {
    /// An address with a port, for `run`: GET /metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Spanned<String>>,
    /// A file that is replaced after each pass, for a node exporter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub textfile: Option<Spanned<PathBuf>>,
    /// Zones are told one by one only while there are no more than this.
    #[serde(default = "default_zones_max")]
    pub zones_max: u64,
}

/// What one zone has of its own.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneSection {
    /// The apex.
    pub name: Spanned<String>,
    /// Its desk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desk: Option<Spanned<Vec<String>>>,
    /// How long what was removed from it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Spanned<Span>>,
}

/// How long history is kept.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSection {
    /// How long what was removed is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Spanned<Span>>,
    /// How large the database may grow, in octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes_max: Option<Spanned<u64>>,
}

/// What is known beyond the zones.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnrichSection {
    /// `start,end,asn[,organisation]`, or a database in MaxMind's format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<Spanned<PathBuf>>,
    /// Autonomous systems of hosting providers, a number a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosting_asns: Option<Spanned<PathBuf>>,
    /// `prefix[,name]` of content networks and clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_ranges: Option<Spanned<PathBuf>>,
    /// `domain,created[,registrar[,account]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registrations: Option<Spanned<PathBuf>>,
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

/// The default of the zones that are told one by one.
fn default_zones_max() -> u64 {
    1000
}
