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
    /// `[dkim]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dkim: Option<DkimSection>,
    /// `[[recipient]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipient: Vec<RecipientSection>,
    /// `[[webhook]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhook: Vec<WebhookSection>,
    /// `[events]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<EventsSection>,
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
    /// Who is told of zones that cannot be seen and of mass moves; left out: the desk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Spanned<Vec<String>>>,
    /// Reminds of a case that nobody has taken up after this time; left out: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Spanned<Span>>,
    /// The least time between two mails about one case, its end excepted.
    #[serde(default = "default_update_after")]
    pub update_after: Span,
    /// The most cases that are mailed in an hour; the others are told in the digest.
    #[serde(default = "default_cases_per_hour")]
    pub cases_per_hour_max: u32,
    /// When the digest is sent, a cron line; "off" for never.
    #[serde(default = "default_digest")]
    pub digest: String,
    /// Names that must move together for a note of their own; fewer are told in the digest.
    #[serde(default = "default_bulk_names")]
    pub bulk_names_min: u32,
    /// How many intervals a zone may be unseen before the operator is told.
    #[serde(default = "default_blind_intervals")]
    pub blind_intervals: u32,
    /// The folder of the operator's own templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templates: Option<Spanned<PathBuf>>,
    /// The language of the desk's mails; left out: the program's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Spanned<String>>,
    /// The address that mail comes back to; each message has its own extension of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounce: Option<Spanned<String>>,
    /// The Maildir in which what came back arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounces: Option<Spanned<PathBuf>>,
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
    /// The file with the authorities that may sign the server's certificate, PEM; left out: the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<Spanned<PathBuf>>,
    /// How long a message is tried that passing faults keep from leaving.
    #[serde(default = "default_give_up")]
    pub give_up: Spanned<Span>,
    /// The most messages that one pass sends.
    #[serde(default = "default_per_run")]
    pub per_run_max: u32,
    /// The most messages in an hour.
    #[serde(default = "default_per_hour")]
    pub per_hour_max: u32,
    /// The most messages to one recipient in an hour.
    #[serde(default = "default_per_recipient")]
    pub per_recipient_hour_max: u32,
}

/// How mail is signed (RFC 6376).
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DkimSection {
    /// The signing domain.
    pub domain: Spanned<String>,
    /// The selector.
    pub selector: Spanned<String>,
    /// The file with the private key: RSA in PEM (PKCS#1), or 32 octets of Ed25519 in base64.
    pub key_file: Spanned<PathBuf>,
    /// `rsa` or `ed25519`.
    #[serde(default)]
    pub algorithm: DkimAlgorithm,
}

/// The algorithms of DKIM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DkimAlgorithm {
    /// rsa-sha256.
    #[default]
    Rsa,
    /// ed25519-sha256 (RFC 8463).
    Ed25519,
}

/// How a mail is built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Text and HTML, with `xarf.json` and `evidence.csv`: multipart/mixed.
    #[default]
    Desk,
    /// Text, a feedback report and `xarf.json`: multipart/report (RFC 5965).
    Xarf,
}

impl Profile {
    /// Returns the word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Desk => "desk",
            Self::Xarf => "xarf",
        }
    }
}

/// Somebody who is told of cases: beside the desk for a zone, or onward.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientSection {
    /// Told like the desk of cases in this zone and below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Spanned<String>>,
    /// Noticed of cases of this sponsoring registrar, as the registrations name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registrar: Option<Spanned<String>>,
    /// Noticed of cases whose name servers lie in this operator domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Spanned<String>>,
    /// Noticed of cases with addresses in this autonomous system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Spanned<u32>>,
    /// The mail address.
    pub address: Spanned<String>,
    /// How the mail is built.
    #[serde(default)]
    pub profile: Profile,
    /// The language of the mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Spanned<String>>,
    /// Whether somebody has to approve each notice; zones have no notices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<Spanned<bool>>,
}

/// Where cases are told in JSON.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSection {
    /// http:// or https://.
    pub url: Spanned<String>,
    /// The file with the secret that signs.
    pub secret_file: Spanned<PathBuf>,
}

/// Where what happens to cases is written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EventsSection {
    /// A file that grows by a JSON object a line.
    pub path: Spanned<PathBuf>,
}

/// The default of [`ReportSection::update_after`].
fn default_update_after() -> Span {
    Span::days(1)
}

/// The default of [`ReportSection::cases_per_hour_max`].
fn default_cases_per_hour() -> u32 {
    10
}

/// The default of [`ReportSection::digest`].
fn default_digest() -> String {
    "0 0 7 * * *".to_owned()
}

/// The default of [`ReportSection::bulk_names_min`].
fn default_bulk_names() -> u32 {
    1000
}

/// The default of [`ReportSection::blind_intervals`].
fn default_blind_intervals() -> u32 {
    12
}

/// The default of [`SmtpSection::give_up`].
fn default_give_up() -> Spanned<Span> {
    Spanned::new(0..0, Span::days(14))
}

/// The default of [`SmtpSection::per_run_max`].
fn default_per_run() -> u32 {
    500
}

/// The default of [`SmtpSection::per_hour_max`].
fn default_per_hour() -> u32 {
    1000
}

/// The default of [`SmtpSection::per_recipient_hour_max`].
fn default_per_recipient() -> u32 {
    200
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
