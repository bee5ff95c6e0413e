//! The configuration as it is written in TOML.

use std::path::PathBuf;

use crate::detector::DetectPolicy;
use crate::time::Span;
use crate::zone::{Limits, TrustPolicy, ZonemdRule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Written {
    /// The time zone of schedules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// `[store]`.
    pub store: StoreSection,
    /// `[log]`.
    pub log: LogSection,
    /// `[[key]]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<KeySection>,
    /// `[[source]]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<SourceSection>")]
    pub source: Vec<Option<SourceSection>>,
    /// `[[zone]]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub zone: Vec<ZoneSection>,
    /// `[enrich]`.
    pub enrich: EnrichSection,
    /// `[retention]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionSection>,
    /// `[limits]`.
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
    pub trust: TrustPolicy,
    /// `[detect]`.
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipient: Vec<RecipientSection>,
    /// `[[webhook]]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub webhook: Vec<WebhookSection>,
    /// `[events]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<EventsSection>,
}

/// Where history is kept.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// The database, as a SQLite file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The database, on a PostgreSQL server: `postgres://ROLE@HOST[:PORT][,HOST…]/DATABASE[?OPTION=VALUE&…]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The same database on a standby, for lookups that write nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_url: Option<String>,
    /// Holds the role's password, and must not be readable by others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The certificate authorities of the server, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Where this host keeps what it can find out again, beside a server's database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Keep the index from name servers to the names that use them.
    pub reverse_index: bool,
    /// Octets from which on nothing is written while a reader keeps the write-ahead log from being moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wal_bytes_max: Option<u64>,
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            path: None,
            url: None,
            read_url: None,
            password_file: None,
            ca_file: None,
            cache: None,
            reverse_index: true,
            wal_bytes_max: None,
        }
    }
}

/// What log lines look like.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// `text` or `json`.
    pub format: LogFormat,
}

/// The formats of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A sentence, with the fields that it does not say.
    #[default]
    Text,
    /// An object with every field.
    Json,
}

/// A TSIG key.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeySection {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `hmac-sha256` and so on.
    pub algorithm: String,
    /// The file with the secret in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
}

impl Default for KeySection {
    fn default() -> Self {
        Self {
            name: None,
            algorithm: "hmac-sha256".to_owned(),
            secret_file: None,
        }
    }
}

/// A source of changes. Which keys it has beside the common ones depends on its kind.
#[derive(Debug, Clone, Serialize)]
pub struct SourceSection {
    /// The keys of every kind.
    #[serde(flatten)]
    pub common: SourceKeys,
    /// The keys of its kind.
    #[serde(flatten)]
    pub kind: KindSection,
}

/// The keys of every source.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SourceKeys {
    /// Its name.
    pub name: Option<String>,
    /// `transfer`, `catalog`, `zonefile`, `feed` or `probe`.
    pub kind: Option<String>,
    /// How often `run` looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Every>,
    /// Up to how much later than that, differently for each zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Span>,
    /// When `run` looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
}

/// What a source has by its kind.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum KindSection {
    /// `transfer`.
    Transfer(TransferSection),
    /// `catalog`.
    Catalog(CatalogSection),
    /// `zonefile`.
    Zonefile(ZonefileSection),
    /// `feed`.
    Feed(FeedSection),
    /// `probe`.
    Probe(ProbeSection),
}

/// A zone that is transferred.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransferSection {
    /// The zone's apex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Addresses of primaries, with their ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primaries: Option<Vec<String>>,
    /// Name of the key that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Ask for what changed (IXFR) before the whole zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ixfr: Option<bool>,
    /// How often the whole zone is transferred and compared: a span, `"auto"` or `"off"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_every: Option<FullEvery>,
    /// Verify the zone's digest (RFC 8976): auto, require or ignore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zonemd: Option<ZonemdRule>,
    /// Transfers over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSection>,
    /// Poll at once when a primary sends a NOTIFY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<bool>,
}

/// The zones of a catalog.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogSection {
    /// The catalog's apex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Addresses of primaries of the catalog and of its members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primaries: Option<Vec<String>>,
    /// Name of the key that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Ask for what changed (IXFR) before the whole zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ixfr: Option<bool>,
    /// How often the whole zone is transferred and compared: a span, `"auto"` or `"off"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_every: Option<FullEvery>,
    /// Verify the zone's digest (RFC 8976): auto, require or ignore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zonemd: Option<ZonemdRule>,
    /// Transfers over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSection>,
    /// Poll at once when a primary sends a NOTIFY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<bool>,
    /// Where the members of a catalog may lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// The most members of a catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members_max: Option<u64>,
}

impl CatalogSection {
    /// Returns the keys that a transfer has too.
    pub fn as_transfer(&self) -> TransferSection {
        TransferSection {
            zone: self.zone.clone(),
            primaries: self.primaries.clone(),
            key: self.key.clone(),
            ixfr: self.ixfr,
            full_every: self.full_every,
            zonemd: self.zonemd,
            tls: self.tls.clone(),
            notify: self.notify,
        }
    }
}

/// Zone files.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ZonefileSection {
    /// The zone's apex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// A file, or a pattern of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The time in the names of zone files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_pattern: Option<String>,
    /// Whether a zone file must have its SOA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_soa: Option<bool>,
    /// Whether the last line of a zone file must end with a newline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_final_newline: Option<bool>,
    /// Whether `$INCLUDE` in a zone file is followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<bool>,
}

/// A change feed.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FeedSection {
    /// The zone of lines that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The file that grows, or the folder that whole files are moved into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether the feed began with the whole zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<bool>,
    /// Whether lines may be pushed to the feed over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
}

/// Domains that are asked about.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProbeSection {
    /// The list of domains that are asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains: Option<PathBuf>,
    /// Recursive resolvers through which name servers are found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolvers: Option<Vec<String>>,
    /// Root servers from which they are found instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roots: Option<Vec<String>>,
    /// The port of authoritative servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How long a record stays that is not seen any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<Span>,
    /// How long one answer may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Queries a second to one server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rate: Option<u32>,
    /// Domains that are asked about at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domains_at_once: Option<u16>,
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

/// How often the whole zone is transferred and compared with what the steps led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullEvery {
    /// By the zone's size.
    Auto,
    /// This often.
    Span(Span),
    /// Never by itself.
    Off,
}

impl<'de> Deserialize<'de> for FullEvery {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            span => Span::parse(span).map(Self::Span).map_err(|fault| {
                serde::de::Error::custom(format!("{fault}, and neither \"auto\" nor \"off\""))
            }),
        }
    }
}

impl Serialize for FullEvery {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Off => serializer.serialize_str("off"),
            Self::Span(span) => span.serialize(serializer),
        }
    }
}

/// How a primary is trusted over TLS.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSection {
    /// The name in its certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// The authorities that may sign it, PEM; left out: the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Base64 of the SHA-256 of its key instead of a signature.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<String>,
    /// Refuse a primary that does not negotiate the protocol's name.
    pub strict_alpn: bool,
}

/// Where NOTIFY messages are heard.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NotifySection {
    /// Addresses with ports; UDP and TCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Vec<String>>,
    /// Believe only those that are signed with the source's key.
    pub signed: bool,
}

/// A domain whose changes must be noticed.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CanarySection {
    /// The domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// How often its operator changes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<Span>,
}

/// What is served over HTTP.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebSection {
    /// An address with a port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// The file with the token that whoever pushes changes must send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The file with a line for each who may enter, made by `fluxwatch users`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users_file: Option<PathBuf>,
    /// The certificate that TLS is spoken with, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Where people reach the console.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Addresses of reverse proxies whose X-Forwarded-For is believed.
    pub proxies: Vec<String>,
    /// Whether another person than the one who edited a draft approves it.
    pub approve_by_other: bool,
    /// How long a session may be unused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_idle: Option<Span>,
    /// How long a session may last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_max: Option<Span>,
    /// A reverse proxy that says who people are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxySection>,
}

/// A reverse proxy that says who people are.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProxySection {
    /// The header with the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_header: Option<String>,
    /// The header with the groups, with commas between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups_header: Option<String>,
    /// Addresses that it connects from.
    pub from: Vec<String>,
    /// Groups of viewers.
    pub viewers: Vec<String>,
    /// Groups of reviewers.
    pub reviewers: Vec<String>,
    /// Groups of approvers.
    pub approvers: Vec<String>,
}

/// Where metrics are told.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// An address with a port, for `run`: GET /metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    /// A file that is replaced after each pass, for a node exporter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub textfile: Option<PathBuf>,
    /// Zones are told one by one only while there are no more than this.
    pub zones_max: u64,
}

impl Default for MetricsSection {
    fn default() -> Self {
        Self {
            listen: None,
            textfile: None,
            zones_max: 1000,
        }
    }
}

/// What one zone has of its own.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ZoneSection {
    /// The apex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its desk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desk: Option<Vec<String>>,
    /// How long what was removed from it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Span>,
}

/// How long history is kept.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSection {
    /// How long what was removed is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep: Option<Span>,
    /// How large the database may grow, in octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes_max: Option<u64>,
}

/// What is known beyond the zones.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EnrichSection {
    /// `start,end,asn[,organisation]`, a database in MaxMind's format, or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<PathBuf>,
    /// Autonomous systems of hosting providers, a number a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosting_asns: Option<PathBuf>,
    /// `prefix[,name]` of content networks and clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_ranges: Option<PathBuf>,
    /// `domain,created[,registrar[,account]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registrations: Option<PathBuf>,
}

impl EnrichSection {
    /// Returns whether the table of autonomous systems is turned off; a file of that name is `./none`.
    pub(super) fn has_no_asn(&self) -> bool {
        self.asn
            .as_deref()
            .is_some_and(|it| it.as_os_str() == "none")
    }
}

/// Who reports to whom.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportSection {
    /// The sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The desk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desk: Option<Vec<String>>,
    /// The organisation, as it signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// Where to write when a report is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Who is told of zones that cannot be seen and of mass moves; left out: the desk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<Vec<String>>,
    /// Reminds of a case that nobody has taken up after this time; left out: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Span>,
    /// The least time between two mails about one case, its end excepted.
    pub update_after: Span,
    /// The most cases that are mailed in an hour; the others are told in the digest.
    pub cases_per_hour_max: u32,
    /// When the digest is sent, a cron line; "off" for never.
    pub digest: String,
    /// Names that must move together for a note of their own; fewer are told in the digest.
    pub bulk_names_min: u32,
    /// How many intervals a zone may be unseen before the administrator is alerted.
    pub blind_intervals: u32,
    /// The folder of your own templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub templates: Option<PathBuf>,
    /// The language of the desk's mails; left out: the program's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The address that mail comes back to; each message has its own extension of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounce: Option<String>,
    /// The Maildir in which what came back arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bounces: Option<PathBuf>,
}

impl Default for ReportSection {
    fn default() -> Self {
        Self {
            from: None,
            desk: None,
            org: None,
            contact: None,
            operator: None,
            repeat: None,
            update_after: Span::days(1),
            cases_per_hour_max: 10,
            digest: "0 0 7 * * *".to_owned(),
            bulk_names_min: 1000,
            blind_intervals: 12,
            templates: None,
            language: None,
            bounce: None,
            bounces: None,
        }
    }
}

/// How mail leaves.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SmtpSection {
    /// `smtp://`, `smtps://` or `maildir://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The file with the password of the URL's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The file with the authorities that may sign the server's certificate, PEM; left out: the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// How long a message is tried that passing faults keep from leaving.
    pub give_up: Span,
    /// The most messages that one pass sends.
    pub per_run_max: u32,
    /// The most messages in an hour.
    pub per_hour_max: u32,
    /// The most messages to one recipient in an hour.
    pub per_recipient_hour_max: u32,
}

impl Default for SmtpSection {
    fn default() -> Self {
        Self {
            url: None,
            password_file: None,
            ca_file: None,
            give_up: Span::days(14),
            per_run_max: 500,
            per_hour_max: 1000,
            per_recipient_hour_max: 200,
        }
    }
}

/// How mail is signed (RFC 6376).
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DkimSection {
    /// The signing domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The file with the private key: RSA in PEM (PKCS#1), or 32 octets of Ed25519 in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// `rsa` or `ed25519`.
    pub algorithm: DkimAlgorithm,
}

/// The algorithms of DKIM.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DkimAlgorithm {
    /// rsa-sha256.
    #[default]
    Rsa,
    /// ed25519-sha256 (RFC 8463).
    Ed25519,
}

/// How a mail is built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RecipientSection {
    /// Told like the desk of cases in this zone and below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Noticed of cases of this sponsoring registrar, as the registrations name it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registrar: Option<String>,
    /// Noticed of cases whose name servers lie in this operator domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Noticed of cases with addresses in this autonomous system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<u32>,
    /// The mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How the mail is built.
    pub profile: Profile,
    /// The language of the mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Whether somebody has to approve each notice; zones have no notices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<bool>,
}

/// Where cases are told in JSON.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WebhookSection {
    /// http:// or https://.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The file with the secret that signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
}

/// Where what happens to cases is written.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EventsSection {
    /// A file that grows by a JSON object a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}
