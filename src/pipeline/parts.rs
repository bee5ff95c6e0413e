//! What a configuration names beside the sources: tables, templates, keys, ways out.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::{Config, ConfigError, DkimAlgorithm, Fault, MailConfig, TlsSettings};
use crate::dns::Name;
use crate::enrich::{
    AsnTable, BuiltInTable, Enrichment, HostingNetworks, Networks, Registrations, SharedRanges,
    TableError, TableSummary,
};
use crate::mailer::{Mailer, Signer, SmtpSettings, Webhook, check_address};
use crate::source::{TransferKey, TransferTls};
use crate::store::{Store, StoreError};
use crate::templates::Templates;
use crate::time::{Span, Timestamp};

/// The age from which on people are told that a table of autonomous systems is old: by then several in a hundred
/// ranges have moved or are new. By hand.
const ASN_OLD: Span = Span::days(180);
/// How many rows of the state are looked at for addresses that a table must know some of...
const ROWS_ASKED_MAX: usize = 200_000;
/// ...and how many public ones there must be for a table that knows none of them to answer nothing. By hand.
const ADDRESSES_ASKED_MIN: usize = 50;
/// The name under which it is kept that judging waits for a table.
pub(super) const WAITS_KEY: &str = "judging.waits";

/// What a configuration names beside the sources.
pub struct Parts {
    /// What is known beyond the zones.
    pub(super) knowledge: Enrichment,
    /// The words of mails.
    pub(super) templates: Templates,
    /// The way out.
    pub(super) mailer: Option<Mailer>,
    /// What signs mails.
    pub(super) signer: Option<Signer>,
    /// Where cases are told in JSON.
    pub(super) webhooks: Vec<Webhook>,
    /// What signs transfers.
    pub(super) keys: HashMap<Name, TransferKey>,
    /// How primaries are trusted.
    pub(super) tls: HashMap<TlsSettings, TransferTls>,
    /// Why tables cannot be used: what is stored is not judged before they can. Empty where everything must be right.
    pub(super) waiting_for: Vec<Fault>,
    /// How the files of the tables stood before they were read.
    pub(super) stamps: Vec<Stamp>,
}

/// A table that is in use.
#[derive(Debug, Clone)]
pub struct TableInUse {
    /// Its key, such as `enrich.asn`.
    pub key: &'static str,
    /// Its file; `(built in)` for the one that comes with the program.
    pub path: PathBuf,
    /// What it holds.
    pub summary: TableSummary,
}

impl Parts {
    /// Returns whether nothing is judged, since a table cannot be used.
    pub(in crate::pipeline) fn is_waiting(&self) -> bool {
        !self.waiting_for.is_empty()
    }

    /// Returns the fault of a table of autonomous systems that answers nothing: it knows none of the public addresses
    /// that history holds now. `None` where history holds too few to tell, or cannot be read: whoever reads it next
    /// says that.
    pub fn check_answers(&self, config: &Config, store: &Store) -> Option<Fault> {
        let Some(Networks::Read(table)) = &self.knowledge.asn else {
            return None;
        };
        let sample = store.lookup().sample_addresses(ROWS_ASKED_MAX).ok()?;
        // A table of the Internet knows no private addresses, and many a zone holds such.
        let asked: Vec<IpAddr> = sample.into_iter().filter(|it| is_public(*it)).collect();
        if asked.len() < ADDRESSES_ASKED_MIN || asked.iter().any(|it| table.lookup(*it).is_some()) {
            return None;
        }
        let count = asked.len();
        let what = format!(
            "the table answers nothing: it knows none of {count} public addresses that the zones hold"
        );
        let cure =
            "name a table of the whole Internet, or leave the key out to use the built-in one";
        Some(config.error("enrich.asn", &what, cure))
    }

    /// Returns the tables that are in use.
    pub fn tables(&self, config: &Config) -> Vec<TableInUse> {
        let known = &self.knowledge;
        let asn = known.asn.as_ref().map(Networks::summary);
        let asn_path = match known.asn {
            Some(Networks::BuiltIn(_)) => Some(PathBuf::from("(built in)")),
            _ => config.asn_path.clone(),
        };
        let hosting = known.hosting.as_ref().map(HostingNetworks::summary);
        let shared = known.shared.as_ref().map(SharedRanges::summary);
        let registrations = known.registrations.as_ref().map(Registrations::summary);
        let all = [
            ("enrich.asn", &asn_path, asn),
            ("enrich.hosting_asns", &config.hosting_path, hosting),
            ("enrich.shared_ranges", &config.shared_path, shared),
            (
                "enrich.registrations",
                &config.registrations_path,
                registrations,
            ),
        ];
        let in_use = |(key, path, summary): (_, &Option<PathBuf>, Option<&TableSummary>)| {
            Some(TableInUse {
                key,
                path: path.clone()?,
                summary: summary?.clone(),
            })
        };
        all.into_iter().filter_map(in_use).collect()
    }
}

/// Returns a line for each table that is configured, with what the poller last found in it; the tables themselves
/// are not read.
pub fn recorded_tables(config: &Config, store: &Store) -> Result<Vec<String>, StoreError> {
    let all = [
        ("enrich.asn", &config.asn_path),
        ("enrich.hosting_asns", &config.hosting_path),
        ("enrich.shared_ranges", &config.shared_path),
        ("enrich.registrations", &config.registrations_path),
    ];
    let mut lines = Vec::new();
    if config.asn_path.is_none() && !config.asn_is_off {
        let table = Networks::BuiltIn(BuiltInTable::open());
        let label = table.label().unwrap_or_default();
        let rows = table.summary().rows;
        lines.push(format!("table enrich.asn: {rows} rows of {label}"));
    }
    for (key, path) in all {
        let Some(path) = path else { continue };
        let rows = store.desk().saved_number(&rows_key(key))?;
        let made_at = store
            .desk()
            .saved_number(&made_key(key))?
            .map(Timestamp::from_unix);
        let date = made_at.map_or(String::new(), |at| format!(" of {}", at.to_date()));
        let held = match rows {
            Some(rows) => format!("{rows} rows{date}"),
            None => "no poll has read it yet".to_owned(),
        };
        lines.push(format!("table {key}: {}: {held}", path.display()));
    }
    Ok(lines)
}

/// Returns what people are to be told of the table of autonomous systems that a configuration names, from what the
/// poller last found in it: that it is old, lacks a family or is turned off.
pub fn recorded_warnings(
    config: &Config,
    store: &Store,
    now: Timestamp,
) -> Result<Vec<Fault>, StoreError> {
    let made_at = match (&config.asn_path, config.asn_is_off) {
        (None, false) => BuiltInTable::open().summary().made_at,
        (_, true) => None,
        _ => store
            .desk()
            .saved_number(&made_key("enrich.asn"))?
            .map(Timestamp::from_unix),
    };
    Ok(asn_warnings(config, made_at, now))
}

/// Returns what people are to be told of the table of autonomous systems that is in use.
pub fn table_warnings(config: &Config, tables: &[TableInUse], now: Timestamp) -> Vec<Fault> {
    let table = tables.iter().find(|table| table.key == "enrich.asn");
    asn_warnings(config, table.and_then(|it| it.summary.made_at), now)
}

/// Returns what is sound and costs findings: no table of autonomous systems, or an old one.
fn asn_warnings(config: &Config, made_at: Option<Timestamp>, now: Timestamp) -> Vec<Fault> {
    let warn = |what: String, cure: &str| config.warning("enrich.asn", &what, cure);
    if config.asn_is_off {
        let what = "no table of autonomous systems is in use: prefixes stand in for networks, and nothing is suspected beyond level review: no report is mailed";
        return vec![warn(
            what.to_owned(),
            "leave the key out to use the built-in table, or name a table",
        )];
    }
    let old = made_at.filter(|at| now.since(*at) > ASN_OLD);
    let old = old.map(|at| {
        let days = now.since(at).as_seconds() / Span::days(1).as_seconds();
        let what = format!(
            "the table of autonomous systems is of {}, {days} days old: what moved since is in the wrong network, and from 730 days on nothing is suspected beyond level review",
            at.to_date()
        );
        warn(what, "take a newer table: docs/reference/tables.md")
    });
    old.into_iter().collect()
}

/// Returns the name under which the count of a table's rows is kept.
pub(super) fn rows_key(key: &str) -> String {
    format!("{key}.rows")
}

/// Returns the name under which the date of a table is kept.
pub(super) fn made_key(key: &str) -> String {
    format!("{key}.made_at")
}

/// Loads and checks everything that a configuration names, without touching a database or network.
///
/// # Errors
///
/// [`ConfigError`] with everything that is wrong.
pub fn check_parts(config: &Config) -> Result<Parts, ConfigError> {
    let mut faults = Vec::new();
    match examine_parts(config, &mut faults) {
        Some(parts) => Ok(parts),
        None => {
            faults.sort_by_key(|fault| fault.line);
            Err(ConfigError::Faults(faults))
        }
    }
}

/// [`check_parts`] for a poller: a table that cannot be used stops judging and nothing else, so that no change of
/// a zone is missed for it.
///
/// # Errors
///
/// [`ConfigError`] with everything else that is wrong.
pub(super) fn parts_to_watch(config: &Config, store: &Store) -> Result<Parts, ConfigError> {
    let (mut faults, mut waiting_for) = (Vec::new(), Vec::new());
    // Before the tables are read: one that is replaced meanwhile is seen to be newer, and read again.
    let stamps = stamps(config);
    let knowledge = load_knowledge(config, &mut waiting_for);
    match rest_of_parts(config, knowledge, &mut faults) {
        Some(mut parts) => {
            waiting_for.extend(parts.check_answers(config, store));
            waiting_for.sort_by_key(|fault| fault.line);
            parts.waiting_for = waiting_for;
            parts.stamps = stamps;
            Ok(parts)
        }
        None => {
            faults.extend(waiting_for);
            faults.sort_by_key(|fault| fault.line);
            Err(ConfigError::Faults(faults))
        }
    }
}

/// Returns whether an address is one that a table of the Internet may be asked about.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_special = a == 0
                || a >= 224
                || (a, b & 0xc0) == (100, 64)
                || (a, b & 0xfe) == (198, 18)
                || v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation();
            !is_special
        }
        // 2000::/3 less 2001:db8::/32.
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            first & 0xe000 == 0x2000 && (first, second) != (0x2001, 0xdb8)
        }
    }
}

/// [`check_parts`] that adds what is wrong to what is wrong already; `None` if it added anything.
pub fn examine_parts(config: &Config, faults: &mut Vec<Fault>) -> Option<Parts> {
    if config.is_torn {
        return None;
    }
    let before = faults.len();
    let knowledge = load_knowledge(config, faults);
    let parts = rest_of_parts(config, knowledge, faults);
    parts.filter(|_| faults.len() == before)
}

/// Loads and checks everything but the tables; `None` if it added anything to what is wrong.
fn rest_of_parts(config: &Config, knowledge: Enrichment, faults: &mut Vec<Fault>) -> Option<Parts> {
    let before = faults.len();
    let templates = load_templates(config, faults);
    let keys = load_keys(config, faults);
    let tls = load_tls(config, faults);
    check_addresses(config, faults);
    let mail = config.mail.as_ref();
    let mailer = mail.and_then(|mail| load_mailer(config, mail, faults));
    let signer = mail.and_then(|mail| load_signer(config, mail, faults));
    let hooks = config.webhooks.iter();
    let webhooks = hooks
        .map(|hook| Webhook::new(&hook.url, &hook.secret))
        .collect();
    if faults.len() > before {
        return None;
    }
    Some(Parts {
        knowledge,
        templates: templates?,
        mailer,
        signer,
        webhooks,
        keys,
        tls,
        waiting_for: Vec::new(),
        stamps: Vec::new(),
    })
}

/// Loads the tables. One that cannot be used, or is empty, is a fault: nobody would notice that less is found.
fn load_knowledge(config: &Config, faults: &mut Vec<Fault>) -> Enrichment {
    Enrichment {
        asn: match (config.asn_is_off, &config.asn_path) {
            (true, _) => None,
            (false, None) => Some(Networks::BuiltIn(BuiltInTable::open())),
            (false, path) => {
                load_table(config, "enrich.asn", path, AsnTable::load, faults).map(Networks::Read)
            }
        },
        hosting: load_table(
            config,
            "enrich.hosting_asns",
            &config.hosting_path,
            HostingNetworks::load,
            faults,
        ),
        shared: load_table(
            config,
            "enrich.shared_ranges",
            &config.shared_path,
            SharedRanges::load,
            faults,
        ),
        registrations: load_table(
            config,
            "enrich.registrations",
            &config.registrations_path,
            Registrations::load,
            faults,
        ),
    }
}

/// Loads one table, if it is configured.
fn load_table<T>(
    config: &Config,
    key: &str,
    path: &Option<PathBuf>,
    load: impl Fn(&Path) -> Result<T, TableError>,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    match load(path.as_deref()?) {
        Ok(table) => Some(table),
        Err(fault) => {
            let cure = match key {
                "enrich.asn" => "put the table right, or leave the key out to use the built-in one",
                _ => "put the table right, or leave the key out to go without it",
            };
            faults.push(config.error(key, &fault.to_string(), cure));
            None
        }
    }
}

/// Loads the words of mails.
fn load_templates(config: &Config, faults: &mut Vec<Fault>) -> Option<Templates> {
    let mail = config.mail.as_ref();
    let languages = mail.map_or(&[][..], |mail| &mail.languages);
    let folder = mail.and_then(|mail| mail.templates.as_deref());
    match Templates::load(folder, languages) {
        Ok(templates) => Some(templates),
        Err(fault) => {
            let key = match folder {
                Some(_) => "report.templates",
                None => "report.language",
            };
            let cure = match folder {
                Some(folder) if folder.is_dir() => {
                    "put the file right, or take it away to use the built-in words"
                }
                Some(_) => "name the folder, or leave the key out to use the built-in words",
                None => "add templates, or leave language out",
            };
            faults.push(config.error(key, &fault.to_string(), cure));
            None
        }
    }
}

/// Makes the keys that sign transfers.
fn load_keys(config: &Config, faults: &mut Vec<Fault>) -> HashMap<Name, TransferKey> {
    let mut keys = HashMap::new();
    // Those without a secret were told of already.
    for (name, secret) in config
        .keys
        .iter()
        .filter(|it| !it.1.secret_base64.is_empty())
    {
        match TransferKey::new(name, &secret.algorithm, &secret.secret_base64) {
            Ok(key) => {
                keys.insert(name.clone(), key);
            }
            Err(fault) if fault.contains("algorithm") => {}
            Err(fault) => {
                let key = format!("{}.secret_file", secret.place);
                faults.push(config.error(
                    &key,
                    &fault,
                    "write the secret in base64, as the primary has it",
                ));
            }
        }
    }
    keys
}

/// Makes the trust in primaries over TLS.
fn load_tls(config: &Config, faults: &mut Vec<Fault>) -> HashMap<TlsSettings, TransferTls> {
    let mut tls = HashMap::new();
    for source in &config.sources {
        let Some(settings) = source.tls() else {
            continue;
        };
        let ca_pem = settings.ca_pem.as_deref().map(str::as_bytes);
        let (name, pins) = (&settings.server_name, &settings.pins);
        match TransferTls::new(name, ca_pem, pins, settings.strict_alpn) {
            Ok(trust) => {
                tls.insert(settings.clone(), trust);
            }
            // One that is missing was told of already.
            Err(_) if name.is_empty() => {}
            Err(fault) => {
                let (key, cure) = match fault.split(':').next() {
                    Some("server_name") => (
                        "server_name",
                        "write the name in the primary's certificate, such as \"primary.example\"",
                    ),
                    Some("ca_file") => ("ca_file", "name a file with certificates in PEM"),
                    _ => (
                        "pins",
                        "write the SHA-256 of the primary's key in base64, 44 characters",
                    ),
                };
                let key = format!("{}.tls.{key}", source.place);
                faults.push(config.error(&key, &fault, cure));
            }
        }
    }
    tls
}

/// Makes the way out.
fn load_mailer(config: &Config, mail: &MailConfig, faults: &mut Vec<Fault>) -> Option<Mailer> {
    let settings = SmtpSettings {
        url: mail.url.clone(),
        password: mail.password.clone(),
        ca_pem: mail.ca_pem.clone(),
    };
    match Mailer::new(&settings) {
        Ok(mailer) => Some(mailer),
        // The file's own faults were told of already.
        Err(_) if faults.iter().any(|fault| fault.key == "smtp.url") => None,
        Err(fault) => {
            let fault = fault.to_string();
            let key = match (fault.contains("ca_file"), fault.contains("password")) {
                (true, _) => "smtp.ca_file",
                (_, true) => "smtp.password_file",
                _ => "smtp.url",
            };
            faults.push(config.error(key, &fault, ""));
            None
        }
    }
}

/// Makes what signs mails.
fn load_signer(config: &Config, mail: &MailConfig, faults: &mut Vec<Fault>) -> Option<Signer> {
    let dkim = mail.dkim.as_ref()?;
    let is_ed25519 = dkim.algorithm == DkimAlgorithm::Ed25519;
    match Signer::new(&dkim.domain, &dkim.selector, &dkim.key, is_ed25519) {
        Ok(signer) => Some(signer),
        Err(fault) => {
            let cure = "RSA is PEM (PKCS#1), Ed25519 is 32 octets in base64; algorithm says which";
            faults.push(config.error("dkim.key_file", &fault.to_string(), cure));
            None
        }
    }
}

/// Checks every mail address, and says where a wrong one stands.
fn check_addresses(config: &Config, faults: &mut Vec<Fault>) {
    let addresses = config.mail.iter().flat_map(|mail| &mail.addresses);
    for (key, address) in addresses {
        if let Err(fault) = check_address(address) {
            let cure = "write desk@registrar.example or Name <desk@registrar.example>";
            faults.push(config.error(key, &fault.to_string(), cure));
        }
    }
}

/// A file as it stood: which one it was, how long, and when it was last changed; `None` if it was not there.
pub type Stamp = Option<(u64, u64, i64, i64)>;

/// Returns how the files of the tables stand.
pub(super) fn stamps(config: &Config) -> Vec<Stamp> {
    let paths: [&Option<PathBuf>; 4] = [
        &config.asn_path,
        &config.hosting_path,
        &config.shared_path,
        &config.registrations_path,
    ];
    let stamp = |path: &PathBuf| {
        let meta = fs::metadata(path).ok()?;
        // The time of the last change of the file or of who may read it.
        Some((meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec()))
    };
    let named = paths.into_iter().flatten();
    named.map(stamp).collect()
}
