//! The configuration as the program uses it.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::case::MailRules;
use crate::config::fault::{Fault, KeyLines, Weight};
use crate::config::machine::FittedLimit;
use crate::config::written::{DkimAlgorithm, FullEvery, Profile, Written};
use crate::detector::DetectPolicy;
use crate::dns::Name;
use crate::people::Users;
use crate::place::StoreUrl;
use crate::report::Reporter;
use crate::time::{CronLine, Span, TimePattern, TimeZone};
use crate::zone::{Limits, TrustPolicy, ZonemdRule};

/// The configuration, resolved: paths are absolute or relative to the working folder, names parsed.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from.
    pub path: PathBuf,
    /// What was written, for `config show`.
    pub written: Written,
    /// The database.
    pub store_url: StoreUrl,
    /// Where lookups that write nothing read it; `None` for the same place.
    pub read_url: Option<StoreUrl>,
    /// Keep the reverse index.
    pub reverse_index: bool,
    /// How far the write-ahead log may grow while somebody reads an old state; `None` for a part of the free space.
    pub wal_bytes_max: Option<u64>,
    /// The time zone of schedules and of the digest.
    pub zone: TimeZone,
    /// TSIG keys by name.
    pub keys: HashMap<Name, KeySecret>,
    /// The sources, in order.
    pub sources: Vec<Source>,
    /// The table of autonomous systems; `None` for the one that is built in.
    pub asn_path: Option<PathBuf>,
    /// No such table is to be used at all.
    pub asn_is_off: bool,
    /// The list of hosting networks.
    pub hosting_path: Option<PathBuf>,
    /// The list of addresses of content networks and clouds.
    pub shared_path: Option<PathBuf>,
    /// The registrar's records of its domains.
    pub registrations_path: Option<PathBuf>,
    /// What a version may cost.
    pub limits: Limits,
    /// The limits that are not written and that the machine set, with the reasons.
    pub fitted_limits: Vec<FittedLimit>,
    /// Where NOTIFY messages are heard.
    pub notify: Option<NotifyConfig>,
    /// Where metrics are told.
    pub metrics: Option<MetricsConfig>,
    /// What is served over HTTP.
    pub web: Option<WebConfig>,
    /// A domain whose changes must be noticed.
    pub canary: Option<CanaryConfig>,
    /// How long history is kept.
    pub retention: RetentionConfig,
    /// What versions are believed.
    pub trust: TrustPolicy,
    /// What is suspected.
    pub detect: DetectPolicy,
    /// Mail, if any is to be sent.
    pub mail: Option<MailConfig>,
    /// Where cases are told in JSON.
    pub webhooks: Vec<WebhookConfig>,
    /// The file that what happens to cases is written to.
    pub events_path: Option<PathBuf>,
    /// Where each key is written.
    pub places: KeyLines,
    /// What is sound and hardly meant, in the order of the file.
    pub warnings: Vec<Fault>,
    /// A bracket of the file is not closed: nothing of it was taken, and what it names is not looked at.
    pub is_torn: bool,
}

impl Config {
    /// Returns an error about a key, such as `enrich.asn`.
    pub fn error(&self, path: &str, what: &str, cure: &str) -> Fault {
        self.places.fault(Weight::Error, path, what, cure)
    }

    /// Returns a warning about a key.
    pub fn warning(&self, path: &str, what: &str, cure: &str) -> Fault {
        self.places.fault(Weight::Warning, path, what, cure)
    }
}

/// How long history is kept. By default for ever.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetentionConfig {
    /// How long what was removed is kept.
    pub keep: Option<Span>,
    /// The same of single zones.
    pub zone_keeps: HashMap<Name, Span>,
    /// How large the database may grow, in octets.
    pub size_bytes_max: Option<u64>,
}

impl RetentionConfig {
    /// Returns how long what was removed from a zone is kept: as the zone's own section says, or that of
    /// the nearest zone above.
    pub fn keep_of(&self, apex: &Name) -> Option<Span> {
        let mut name = Some(apex.clone());
        while let Some(candidate) = name {
            if let Some(keep) = self.zone_keeps.get(&candidate) {
                return Some(*keep);
            }
            name = candidate.parent();
        }
        self.keep
    }
}

/// A TSIG key with its secret.
#[derive(Clone)]
pub struct KeySecret {
    /// The algorithm's mnemonic.
    pub algorithm: String,
    /// The secret in base64.
    pub secret_base64: String,
    /// Its section, for faults.
    pub place: String,
}

impl std::fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySecret({}, secret not shown)", self.algorithm)
    }
}

/// Mail: from whom, to whom, and how.
#[derive(Clone)]
pub struct MailConfig {
    /// The sender, as written.
    pub from: String,
    /// The desk.
    pub desk: Vec<String>,
    /// Desks of single zones.
    pub zone_desks: HashMap<Name, Vec<String>>,
    /// Who is told of zones that cannot be seen and of mass moves.
    pub operator: Vec<String>,
    /// Who else is told.
    pub recipients: Vec<Recipient>,
    /// The language of the desk's mails; "" for the program's own words.
    pub language: String,
    /// Every language that is used.
    pub languages: Vec<String>,
    /// The folder of your own templates.
    pub templates: Option<PathBuf>,
    /// How often the desk is told.
    pub rules: MailRules,
    /// The most cases that are mailed in an hour.
    pub cases_per_hour_max: u32,
    /// When the digest is sent; `None`: never.
    pub digest: Option<CronLine>,
    /// Names that must move together for a note of their own.
    pub bulk_names_min: u32,
    /// How many intervals a zone may be unseen.
    pub blind_intervals: u32,
    /// The address that mail comes back to.
    pub bounce: Option<String>,
    /// The Maildir in which what came back arrives.
    pub bounces: Option<PathBuf>,
    /// Who signs.
    pub reporter: Reporter,
    /// The way out.
    pub url: String,
    /// The password of the URL's user.
    pub password: Option<String>,
    /// The authorities that may sign the server's certificate, PEM.
    pub ca_pem: Option<String>,
    /// How long a message is tried, and how many at a time.
    pub sending: SendingLimits,
    /// How mail is signed.
    pub dkim: Option<DkimConfig>,
    /// Every mail address that is written, with its key.
    pub addresses: Vec<(String, String)>,
}

/// How long messages are tried, and how many are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendingLimits {
    /// How long a message is tried that passing faults keep from leaving.
    pub give_up: Span,
    /// The most messages that one pass sends.
    pub per_run_max: u32,
    /// The most messages in an hour.
    pub per_hour_max: u32,
    /// The most messages to one recipient in an hour.
    pub per_recipient_hour_max: u32,
}

/// How mail is signed.
#[derive(Clone)]
pub struct DkimConfig {
    /// The signing domain.
    pub domain: String,
    /// The selector.
    pub selector: String,
    /// The private key.
    pub key: String,
    /// The algorithm.
    pub algorithm: DkimAlgorithm,
}

impl std::fmt::Debug for DkimConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "DkimConfig({}, {}, key not shown)",
            self.domain, self.selector
        )
    }
}

/// Whom a recipient stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// Those who answer for a zone: told like the desk.
    Zone(Name),
    /// A sponsoring registrar.
    Registrar(String),
    /// A DNS operator.
    Operator(Name),
    /// An autonomous system.
    Network(u32),
}

/// Somebody who is told of cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// For whom.
    pub party: Party,
    /// The mail address, as written.
    pub address: String,
    /// How the mail is built.
    pub profile: Profile,
    /// "" for the program's own words.
    pub language: String,
    /// Whether somebody has to approve each notice.
    pub approval: bool,
}

/// Where cases are told in JSON.
#[derive(Clone)]
pub struct WebhookConfig {
    /// http:// or https://.
    pub url: String,
    /// What signs.
    pub secret: String,
}

impl std::fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebhookConfig({}, secret not shown)", self.url)
    }
}

impl std::fmt::Debug for MailConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "MailConfig({} by {}, password not shown)",
            self.from, self.url
        )
    }
}

/// A source.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Its section, such as `source[2]`, for faults.
    pub place: String,
    /// How its changes arrive.
    pub feeding: Feeding,
    /// When `run` looks.
    pub schedule: Schedule,
    /// Up to how much later than that, differently for each zone.
    pub jitter: Span,
}

/// Where NOTIFY messages are heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyConfig {
    /// UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Whether only signed ones are believed.
    pub signed: bool,
}

/// Where metrics are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// GET /metrics, while `run` runs.
    pub listen: Option<SocketAddr>,
    /// A file that is replaced after each pass.
    pub textfile: Option<PathBuf>,
    /// Zones are told one by one only while there are no more than this.
    pub zones_max: usize,
}

/// A domain of the administrator's whose changes must be noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanaryConfig {
    /// The domain.
    pub domain: Name,
    /// How often it changes; older than this, its last change is too old.
    pub every: Span,
}

/// What is served over HTTP.
#[derive(Clone)]
pub struct WebConfig {
    /// Where.
    pub listen: SocketAddr,
    /// What whoever pushes changes must send.
    pub token: Option<String>,
    /// The file of users; it is read again when it changes.
    pub users_path: Option<PathBuf>,
    /// Who may enter; empty for nobody.
    pub users: Users,
    /// A proxy that says who people are.
    pub proxy: Option<ProxyConfig>,
    /// Reverse proxies that are believed when they tell from where a request came.
    pub proxies: Vec<IpAddr>,
    /// What TLS is spoken with; `None` for none.
    pub tls: Option<WebTlsFiles>,
    /// Whether a draft is approved by another person than the one who edited it.
    pub approve_by_other: bool,
    /// Where people reach the console, without a slash at its end.
    pub public_url: Option<String>,
    /// How long a session may be unused.
    pub session_idle: Span,
    /// How long a session may last.
    pub session_max: Span,
}

impl WebConfig {
    /// Returns whether people may enter.
    pub fn has_people(&self) -> bool {
        self.users_path.is_some() || self.proxy.is_some()
    }
}

/// A reverse proxy that knows who people are and says so in headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// The header with the name, in lower case.
    pub name_header: String,
    /// The header with the groups, in lower case.
    pub groups_header: String,
    /// Where it connects from: from anywhere else the headers are ignored.
    pub from: Vec<IpAddr>,
    /// Groups of viewers.
    pub viewers: Vec<String>,
    /// Groups of reviewers.
    pub reviewers: Vec<String>,
    /// Groups of approvers.
    pub approvers: Vec<String>,
}

/// What TLS is spoken with: files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebTlsFiles {
    /// The certificate, and those between it and an authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl std::fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebConfig({}, token not shown)", self.listen)
    }
}

/// How zones are transferred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferSettings {
    /// In order of preference.
    pub primaries: Vec<SocketAddr>,
    /// The name of the key that signs.
    pub key: Option<Name>,
    /// How the primaries are trusted over TLS; `None` for plain TCP.
    pub tls: Option<TlsSettings>,
    /// Whether what changed is asked for before the whole zone.
    pub ixfr: bool,
    /// How often the whole zone is transferred and compared with what the steps led to.
    pub full_every: FullEvery,
    /// What is done about the digest of a whole zone.
    pub zonemd: ZonemdRule,
    /// Whether a NOTIFY from a primary makes the zone due.
    pub notify: bool,
}

/// How primaries are trusted over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsSettings {
    /// The name in the certificate.
    pub server_name: String,
    /// The authorities, PEM; `None` for the public ones.
    pub ca_pem: Option<String>,
    /// Pinned keys.
    pub pins: Vec<String>,
    /// Refuse a primary that does not negotiate ALPN.
    pub strict_alpn: bool,
}

/// How changes arrive. Each kind is a type of its own, so that what needs a kind cannot be given another.
#[derive(Debug, Clone)]
pub enum Feeding {
    /// Zone transfers.
    Transfer(TransferSource),
    /// Transfers of the zones that a catalog lists (RFC 9432).
    Catalog(CatalogSource),
    /// Zone files.
    Zonefile(ZonefileSource),
    /// A change feed.
    Feed(FeedSource),
    /// Questions to authoritative servers about a list of domains.
    Probe(ProbeConfig),
}

/// A zone that is transferred.
#[derive(Debug, Clone)]
pub struct TransferSource {
    /// The apex.
    pub zone: Name,
    /// How.
    pub settings: TransferSettings,
}

/// A catalog whose members are transferred.
#[derive(Debug, Clone)]
pub struct CatalogSource {
    /// The catalog's apex.
    pub catalog: Name,
    /// How the catalog and its members are transferred.
    pub settings: TransferSettings,
    /// Members must lie at or below one of these.
    pub scope: Vec<Name>,
    /// The most members.
    pub members_max: u64,
}

/// Zone files.
#[derive(Debug, Clone)]
pub struct ZonefileSource {
    /// The apex.
    pub zone: Name,
    /// A path or a pattern.
    pub path: String,
    /// The time in the files' names.
    pub time_pattern: Option<TimePattern>,
    /// Whether a file must have its SOA.
    pub require_soa: bool,
    /// Whether a file's last line must end with a newline.
    pub require_final_newline: bool,
    /// Whether `$INCLUDE` is followed.
    pub include: bool,
}

/// A change feed.
#[derive(Debug, Clone)]
pub struct FeedSource {
    /// The zone of lines that name none.
    pub zone: Option<Name>,
    /// The file that grows, or the folder that whole files are moved into; `None` for one that is
    /// only pushed to.
    pub path: Option<PathBuf>,
    /// Whether it began with the whole zone.
    pub complete: bool,
    /// Whether lines may be pushed to it over HTTP.
    pub push: bool,
}

/// Which domains are asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeDomains {
    /// Those of a list: a domain a line, after it further names of it.
    List(PathBuf),
    /// Those whose name-server plane is suspected and whose addresses no zone shows.
    Suspects {
        /// How long between two questions about one domain.
        every: Span,
        /// How often a domain is asked about, in all.
        times: u32,
        /// The most domains at a time.
        domains_max: usize,
    },
}

/// How a list of domains is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeConfig {
    /// Which domains.
    pub domains: ProbeDomains,
    /// Recursive resolvers through which name servers are found.
    pub resolvers: Vec<SocketAddr>,
    /// Root servers from which they are found where there are no resolvers.
    pub roots: Vec<SocketAddr>,
    /// The port of authoritative servers.
    pub port: u16,
    /// How long a record stays that is not seen any more, and how long what is seen counts as there before.
    pub settle: Span,
    /// How long one answer may take.
    pub timeout: Span,
    /// Queries a second to one server.
    pub server_rate: u32,
    /// Domains that are asked about at a time.
    pub domains_at_once: usize,
}

/// When a source is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// This often.
    Every(Span),
    /// As often as the zone's SOA says.
    Soa,
    /// As a cron line says, in a time zone.
    Cron(CronLine, TimeZone),
}

impl Source {
    /// Returns whether it is the one that suspects are asked under.
    pub fn asks_suspects(&self) -> bool {
        match &self.feeding {
            Feeding::Probe(probe) => matches!(probe.domains, ProbeDomains::Suspects { .. }),
            _ => false,
        }
    }

    /// Returns the zone that the source is authoritative for, if it names one.
    pub fn zone(&self) -> Option<&Name> {
        match &self.feeding {
            Feeding::Transfer(TransferSource { zone, .. })
            | Feeding::Zonefile(ZonefileSource { zone, .. }) => Some(zone),
            Feeding::Feed(feed) => feed.zone.as_ref(),
            Feeding::Catalog(_) | Feeding::Probe(_) => None,
        }
    }

    /// Returns how the source's zones are transferred, if they are.
    pub fn transfer(&self) -> Option<&TransferSettings> {
        match &self.feeding {
            Feeding::Transfer(TransferSource { settings, .. })
            | Feeding::Catalog(CatalogSource { settings, .. }) => Some(settings),
            Feeding::Zonefile(_) | Feeding::Feed(_) | Feeding::Probe(_) => None,
        }
    }

    /// Returns how its primaries are trusted over TLS, if they are.
    pub fn tls(&self) -> Option<&TlsSettings> {
        self.transfer()?.tls.as_ref()
    }
}
