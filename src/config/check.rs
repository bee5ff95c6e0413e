//! Resolves and checks what is written: everything that is wrong is told, not the first fault alone.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::fault::{ConfigError, Fault, KeyLines, Weight};
use crate::config::machine::{FittedLimit, Machine, fit_limits};
use crate::config::reading::{Reader, nearest};
use crate::config::resolved::{
    CanaryConfig, Config, KeySecret, MetricsConfig, NotifyConfig, RetentionConfig, WebConfig,
};
use crate::config::written::{KeySection, KindSection, StoreSection, WebSection, Written};
use crate::dns::Name;
use crate::file;
use crate::place::{ServerUrl, StoreUrl};
use crate::time::{Clock, CronLine, Span, TimeZone, Timestamp, WallClock};
use crate::zone::Limits;

/// The most octets of a configuration: room for more than 50,000 sources.
const CONFIG_OCTETS_MAX: u64 = 16 << 20;
/// Where a host keeps what it can find out again, beside a server's database; relative to the configuration.
const CACHE: &str = "fluxwatch-cache";
/// The least size up to which the write-ahead log may grow: twice the size at which it is moved.
const WAL_BYTES_LEAST: u64 = 32 << 20;
/// The most octets of a file of authorities.
const CA_OCTETS_MAX: u64 = 1 << 20;
/// The most octets of a secret file.
// The key may name a wrong file, which must not be read whole.
const SECRET_OCTETS_MAX: u64 = 4096;
/// The least length of a token, and of the secret that signs what a webhook is told: both are made by a machine.
/// Unit: characters.
pub(super) const TOKEN_LENGTH_MIN: usize = 16;
/// The algorithms of TSIG that are spoken.
const ALGORITHMS: [&str; 4] = ["hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha1"];

impl Config {
    /// Reads, resolves and checks a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], with everything that is wrong in the file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (config, faults) = Self::examine(path)?;
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Faults(faults))
        }
    }

    /// Reads a file as far as it can be read, and returns what is wrong, in the order of the file. What is
    /// left out of the configuration for a fault must not be run. Warnings are in [`Config::warnings`].
    pub fn examine(path: &Path) -> Result<(Self, Vec<Fault>), ConfigError> {
        let octets =
            file::read(path, CONFIG_OCTETS_MAX).map_err(|fault| ConfigError::Unreadable {
                path: path.to_owned(),
                fault: fault.to_string(),
            })?;
        let (config, mut faults) =
            // Read with replacement characters, so that the faults of all other lines are found too.
            examine_text(path, &String::from_utf8_lossy(&octets), WallClock.now());
        refuse_foreign_bytes(&config, &octets, &mut faults);
        Ok((config, faults))
    }
}

/// Adds a fault for the first byte that is not UTF-8. What else is wrong with a line that holds such a byte
/// follows from it, and is left out.
fn refuse_foreign_bytes(config: &Config, octets: &[u8], faults: &mut Vec<Fault>) {
    let Err(fault) = std::str::from_utf8(octets) else {
        return;
    };
    let at = fault.valid_up_to();
    let before = &octets[..at];
    let line = before.iter().filter(|octet| **octet == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|it| **it != b'\n').count() + 1;
    let lines: Vec<&[u8]> = octets.split(|octet| *octet == b'\n').collect();
    faults.retain(|fault| {
        let line = lines.get(fault.line - 1);
        line.is_none_or(|line| std::str::from_utf8(line).is_ok())
    });
    let what = format!("byte {column}, 0x{:02X}, is not UTF-8", octets[at]);
    let cure = "save the file as UTF-8; from Latin-1: iconv -f ISO-8859-1 -t UTF-8";
    let mut fault = config.error("", &what, cure);
    fault.line = line;
    let place = faults.partition_point(|other| other.line <= line);
    faults.insert(place, fault);
}

/// Reads, resolves and checks a text.
fn examine_text(path: &Path, text: &str, now: Timestamp) -> (Config, Vec<Fault>) {
    let (reader, written) = Reader::read(path, text);
    // What else is said of a line that is no TOML follows from that.
    let broken = reader.faults.iter().filter(|fault| fault.key.is_empty());
    let broken: BTreeSet<usize> = broken.map(|fault| fault.line).collect();
    let torn = reader.is_torn.then(|| reader.faults.clone());
    let checker = Checker {
        path,
        places: reader.places,
        faults: RefCell::new(reader.faults),
        unread: reader.unread,
        now,
    };
    let mut config = checker.check(written);
    if let Some(faults) = torn {
        config.is_torn = true;
        config.fitted_limits.clear();
        return (config, faults);
    }
    checker.check_watched(&config.written, &config);
    checker.check_listeners(&config);
    checker.check_waits(&config.written);
    let mut faults = checker.faults.into_inner();
    faults.retain(|fault| fault.key.is_empty() || !broken.contains(&fault.line));
    faults.sort_by_key(|fault| fault.line);
    let (errors, warnings) = faults
        .into_iter()
        .partition(|fault| fault.severity == Weight::Error);
    config.warnings = warnings;
    (config, errors)
}

/// Checks one file.
pub(super) struct Checker<'a> {
    path: &'a Path,
    places: KeyLines,
    faults: RefCell<Vec<Fault>>,
    unread: BTreeSet<String>,
    now: Timestamp,
}

impl Checker<'_> {
    /// Resolves everything.
    fn check(&self, written: Written) -> Config {
        let policies = written.detect.faults().into_iter();
        let policies = policies
            .chain(written.trust.faults())
            .chain(written.limits.faults());
        policies.for_each(|(key, what, cure)| self.error(&key, &what, cure));
        let zone = self.check_timezone(&written);
        let keys = self.check_keys(&written.key);
        let sources = self.check_sources(&written, &keys, zone);
        let (limits, fitted_limits) = self.fit_limits(&written.limits);
        let file = |path: &Option<PathBuf>| path.as_ref().map(|path| self.resolve(path));
        Config {
            path: self.path.to_owned(),
            store_url: self.check_store(&written.store),
            read_url: self.check_read_url(&written.store),
            reverse_index: written.store.reverse_index,
            wal_bytes_max: self.check_wal_bytes(&written),
            zone,
            keys,
            asn_is_off: written.enrich.has_no_asn(),
            asn_path: file(&written.enrich.asn).filter(|_| !written.enrich.has_no_asn()),
            hosting_path: file(&written.enrich.hosting_asns),
            shared_path: file(&written.enrich.shared_ranges),
            registrations_path: file(&written.enrich.registrations),
            limits,
            fitted_limits,
            notify: self.check_notify(&written),
            metrics: self.check_metrics(&written),
            web: self.check_web(&written),
            canary: self.check_canary(&written),
            retention: self.check_retention(&written),
            trust: written.trust.clone(),
            detect: written.detect.clone(),
            mail: self.check_mail(&written, zone),
            webhooks: self.check_webhooks(&written),
            events_path: written.events.as_ref().and_then(|events| {
                let path = self.need(&events.path, "events.path")?;
                Some(self.resolve(&path))
            }),
            sources,
            places: self.places.clone(),
            warnings: Vec::new(),
            is_torn: false,
            written,
        }
    }

    /// Checks where the database is.
    fn check_store(&self, written: &StoreSection) -> StoreUrl {
        let Some(url) = &written.url else {
            for (key, is_set) in [
                ("read_url", written.read_url.is_some()),
                ("password_file", written.password_file.is_some()),
                ("ca_file", written.ca_file.is_some()),
                ("cache", written.cache.is_some()),
            ] {
                if is_set {
                    self.error(
                        &format!("store.{key}"),
                        "is for a database on a PostgreSQL server",
                        "set store.url, or leave it out",
                    );
                }
            }
            let path = self.need(&written.path, "store.path");
            return StoreUrl::File(path.map(|path| self.resolve(&path)).unwrap_or_default());
        };
        let nowhere = StoreUrl::File(PathBuf::new());
        if written.path.is_some() {
            self.error(
                "store.url",
                "is set beside store.path",
                "set one of them: a database is a file, or on a server",
            );
            return nowhere;
        }
        if written.wal_bytes_max.is_some() {
            self.error(
                "store.wal_bytes_max",
                "is for a database in a file",
                "leave it out: the server bounds its log",
            );
        }
        let mut server = match self.parse_server("store.url", url, written) {
            Some(server) => server,
            None => return nowhere,
        };
        let password = written.password_file.as_ref();
        if let Some(path) = password
            && self.read_word(path, "store.password_file", 1).is_some()
        {
            server = server.with_password_file(self.resolve(path));
        }
        StoreUrl::Server(Arc::new(server))
    }

    /// Checks where lookups read the database. Faults of the keys that both URLs have in common are told with the other.
    fn check_read_url(&self, written: &StoreSection) -> Option<StoreUrl> {
        written.url.as_ref()?;
        let url = written.read_url.as_ref()?;
        let mut server = self.parse_server("store.read_url", url, written)?;
        if let Some(path) = &written.password_file {
            server = server.with_password_file(self.resolve(path));
        }
        Some(StoreUrl::Server(Arc::new(server)))
    }

    /// Reads a server's URL under a key, and gives it its cache and authorities.
    fn parse_server(&self, key: &str, url: &str, written: &StoreSection) -> Option<ServerUrl> {
        let cache = written.cache.clone();
        let cache = self.resolve(&cache.unwrap_or_else(|| CACHE.into()));
        let mut server = match ServerUrl::parse(url, cache) {
            Ok(server) => server,
            Err(what) => {
                let cure = "write postgres://ROLE@HOST/DATABASE; `fluxwatch config template` has an example";
                self.error(key, &what, cure);
                return None;
            }
        };
        if server.has_password() {
            self.error(
                key,
                "holds a password",
                "put the password in a file that only fluxwatch reads, and name it in store.password_file",
            );
        }
        if let Some(path) = &written.ca_file {
            server = server.with_authorities(self.resolve(path));
        }
        Some(server)
    }

    /// Checks how far the write-ahead log may grow.
    fn check_wal_bytes(&self, written: &Written) -> Option<u64> {
        let octets = written.store.wal_bytes_max?;
        if octets < WAL_BYTES_LEAST {
            self.error(
                "store.wal_bytes_max",
                &format!("{octets} is less than 32 MiB; the log usually grows to 16 MiB"),
                "write 33554432 or more, or leave it out: a quarter of the free space",
            );
        }
        Some(octets)
    }

    /// Fits the limits that are not written to this machine, and warns of what it lacks.
    fn fit_limits(&self, written: &Limits) -> (Limits, Vec<FittedLimit>) {
        let mut limits = *written;
        let machine = Machine::look();
        // A limit that is written is the administrator's decision, whatever the machine has.
        let fitted = fit_limits(&mut limits, &machine, |key| self.places.has(key));
        for limit in fitted.iter().filter(|it| it.is_short) {
            let what = format!("is {}, {}", limit.value, limit.reason);
            let cure = match limit.key {
                "limits.names" => "give the program more memory, or set the limit".to_owned(),
                _ => format!(
                    "make room in {}, let TMPDIR name another folder, or set the limit",
                    machine.temporary.display()
                ),
            };
            self.warn(limit.key, &what, &cure);
        }
        (limits, fitted)
    }

    /// Finds the time zone.
    fn check_timezone(&self, written: &Written) -> TimeZone {
        let Some(name) = &written.timezone else {
            return TimeZone::default();
        };
        TimeZone::parse(name).unwrap_or_else(|| {
            let names: Vec<&str> = TimeZone::names().collect();
            let folded = names
                .iter()
                .copied()
                .find(|other| other.eq_ignore_ascii_case(name));
            // A city alone is what people write.
            let city = names.iter().copied().find(|other| {
                other
                    .rsplit('/')
                    .next()
                    .is_some_and(|city| city.eq_ignore_ascii_case(name))
            });
            let cure = match folded.or(city).or_else(|| nearest(name, &names)) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "use a name of the IANA database, such as \"Europe/Berlin\"".to_owned(),
            };
            self.error("timezone", &format!("{name:?} is no time zone"), &cure);
            TimeZone::default()
        })
    }

    /// Reads the keys' secrets.
    fn check_keys(&self, sections: &[KeySection]) -> HashMap<Name, KeySecret> {
        let mut keys = HashMap::new();
        for (i, section) in sections.iter().enumerate() {
            let at = |key: &str| format!("key[{i}].{key}");
            let algorithm = section.algorithm.to_ascii_lowercase();
            if !ALGORITHMS.contains(&algorithm.as_str()) {
                let what = format!(
                    "fluxwatch does not know the TSIG algorithm {:?}",
                    section.algorithm
                );
                let one_of = ALGORITHMS.join(", ");
                let cure = match nearest(&algorithm, &ALGORITHMS) {
                    Some(near) => format!("did you mean {near:?}? It is one of {one_of}"),
                    None => format!("use one of {one_of}"),
                };
                self.error(&at("algorithm"), &what, &cure);
            }
            let secret = self.need(&section.secret_file, &at("secret_file"));
            let secret = secret.and_then(|path| self.read_secret(&path, &at("secret_file")));
            let name = self.need(&section.name, &at("name"));
            let Some(name) = name.and_then(|name| self.name(&name, &at("name"))) else {
                continue;
            };
            let key = KeySecret {
                algorithm,
                secret_base64: secret.unwrap_or_default(),
                place: format!("key[{i}]"),
            };
            if keys.insert(name.clone(), key).is_some() {
                self.error(
                    &at("name"),
                    &format!("the key {name} is defined twice"),
                    "name each key once",
                );
            }
        }
        keys
    }

    /// Resolves where NOTIFY messages are heard.
    fn check_notify(&self, written: &Written) -> Option<NotifyConfig> {
        let notify = written.notify.as_ref()?;
        let listen = self
            .need(&notify.listen, "notify.listen")
            .unwrap_or_default();
        // A key that is missing was told of by now.
        if listen.is_empty() && self.places.has("notify.listen") {
            self.error(
                "notify.listen",
                "names no address",
                "write [\"127.0.0.1:5399\"]",
            );
        }
        let is_transferred =
            |kind: &KindSection| matches!(kind, KindSection::Transfer(_) | KindSection::Catalog(_));
        let mut sources = written.source.iter().flatten();
        if !sources.any(|source| is_transferred(&source.kind)) {
            let what = "no source of kind transfer or catalog waits for NOTIFY";
            self.warn("notify", what, "leave the section out");
        }
        Some(NotifyConfig {
            listen: self.socket_addresses(&listen, "notify.listen", Port::Any),
            signed: notify.signed,
        })
    }

    /// Resolves the canary.
    fn check_canary(&self, written: &Written) -> Option<CanaryConfig> {
        let canary = written.canary.as_ref()?;
        let domain = self.need(&canary.domain, "canary.domain");
        let every = self.need(&canary.every, "canary.every");
        Some(CanaryConfig {
            domain: self.name(&domain?, "canary.domain")?,
            every: every?,
        })
    }

    /// Resolves what is served over HTTP.
    fn check_web(&self, written: &Written) -> Option<WebConfig> {
        let push = written.source.iter().position(|source| {
            let kind = source.as_ref().map(|source| &source.kind);
            matches!(kind, Some(KindSection::Feed(feed)) if feed.push == Some(true))
        });
        let push = push.map(|i| format!("source[{i}].push"));
        let Some(web) = &written.web else {
            if let Some(push) = push.filter(|_| !self.is_unread("web")) {
                let cure = "add [web] with listen and token_file";
                self.error(
                    &push,
                    "[web] does not say where changes are pushed to",
                    cure,
                );
            }
            return None;
        };
        let token = web.token_file.as_ref();
        let token = token.and_then(|path| self.read_word(path, "web.token_file", TOKEN_LENGTH_MIN));
        self.check_web_use(web, push.as_deref());
        let listen = self.need(&web.listen, "web.listen")?;
        let listen = self.address(&listen, "web.listen", Port::Any)?;
        Some(self.check_people(web, listen, token))
    }

    /// Sees to it that what is served over HTTP serves somebody.
    fn check_web_use(&self, web: &WebSection, push: Option<&str>) {
        if self.is_unread("web.token_file") || self.is_unread("web.users_file") {
            return;
        }
        let people = web.users_file.is_some() || web.proxy.is_some();
        match (push, &web.token_file, people) {
            (Some(push), None, _) => {
                let what = "[web] token_file is missing: fluxwatch takes changes only with a token";
                self.error(push, what, "name a file with a token that others cannot read");
            }
            (None, Some(_), _) => {
                let what = "no feed has push = true: fluxwatch has no use for the token";
                self.warn("web.token_file", what, "set push = true at the feed, or leave the key out");
            }
            (None, None, false) => self.error(
                "web",
                "[web] serves nothing: no feed has push = true, and there is no users_file for who may enter",
                "add users_file, or leave the section out",
            ),
            _ => {}
        }
    }

    /// Resolves where metrics are told.
    fn check_metrics(&self, written: &Written) -> Option<MetricsConfig> {
        let metrics = written.metrics.as_ref()?;
        if metrics.listen.is_none() && metrics.textfile.is_none() {
            let cure = "add listen or textfile, or leave the section out";
            self.error("metrics", "neither listen nor textfile is there", cure);
        }
        let listen = metrics.listen.as_ref();
        Some(MetricsConfig {
            listen: listen.and_then(|text| self.address(text, "metrics.listen", Port::Any)),
            textfile: metrics.textfile.as_ref().map(|path| self.resolve(path)),
            zones_max: metrics.zones_max as usize,
        })
    }

    /// Resolves how long history is kept, and sees to it that no zone has two sections.
    fn check_retention(&self, written: &Written) -> RetentionConfig {
        let memory = written.detect.memory;
        let check = |keep: Span, path: &str| {
            if keep < memory {
                let what = format!("{keep} is less than detect.memory, {memory}");
                self.error(
                    path,
                    &what,
                    "keep at least as long as the detector remembers",
                );
            }
            keep
        };
        let mut zone_keeps = HashMap::new();
        // Beside the keeps: a section that says nothing of them has its zone as well.
        let mut names = HashSet::new();
        for (i, zone) in written.zone.iter().enumerate() {
            let at = |key: &str| format!("zone[{i}].{key}");
            let name = self.need(&zone.name, &at("name"));
            let name = name.and_then(|name| self.name(&name, &at("name")));
            if zone.desk.is_none() && zone.keep.is_none() {
                self.error(
                    &at("name"),
                    "the zone has neither desk nor keep",
                    "add one, or leave the section out",
                );
            }
            let keep = zone.keep.map(|keep| check(keep, &at("keep")));
            let Some(name) = name else { continue };
            if !names.insert(name.clone()) {
                self.error(
                    &at("name"),
                    &format!("the zone {name} has two sections"),
                    "put both in one section",
                );
            }
            zone_keeps.extend(keep.map(|keep| (name, keep)));
        }
        let section = written.retention.as_ref();
        let size_bytes_max = section.and_then(|it| it.size_bytes_max);
        if size_bytes_max == Some(0) {
            self.error(
                "retention.size_bytes_max",
                "0 keeps nothing",
                "leave it out for no limit",
            );
        }
        RetentionConfig {
            keep: section
                .and_then(|it| it.keep)
                .map(|keep| check(keep, "retention.keep")),
            zone_keeps,
            size_bytes_max,
        }
    }

    /// Reads a file that holds one token or password on one line, with at least so many characters. Nothing but the
    /// end of the line is taken off: what is sent must be what is written.
    pub(super) fn read_word(&self, path: &Path, key: &str, length_min: usize) -> Option<String> {
        let text = self.read_secret_text(path, key, SECRET_OCTETS_MAX)?;
        let word = text.strip_suffix('\n').unwrap_or(&text);
        let word = word.strip_suffix('\r').unwrap_or(word);
        if let Some((what, cure)) = word_fault(word, length_min) {
            let what = format!("{}: {what}", self.resolve(path).display());
            self.error(key, &what, &cure);
            return None;
        }
        Some(word.to_owned())
    }

    /// Reads a file that holds one secret. Refused if others can read it.
    pub(super) fn read_secret(&self, path: &Path, key: &str) -> Option<String> {
        let text = self.read_secret_text(path, key, SECRET_OCTETS_MAX)?;
        Some(text.trim().to_owned())
    }

    /// Reads a file of secrets as it is. Refused if others can read it, if nothing is in it, or if it is longer.
    pub(super) fn read_secret_text(
        &self,
        path: &Path,
        key: &str,
        octets_max: u64,
    ) -> Option<String> {
        let resolved = self.resolve(path);
        let fault = |what: &str, cure: &str| {
            self.error(key, &format!("{}: {what}", resolved.display()), cure);
            None
        };
        let meta = match fs::metadata(&resolved) {
            Ok(meta) => meta,
            Err(error) => {
                return fault(&error.to_string(), cure_of_nothing(key));
            }
        };
        if !meta.is_file() {
            return fault("is no file", "name the file that holds the secret");
        }
        if meta.permissions().mode() & 0o007 != 0 {
            return fault("others can read or write it", "chmod 600 or 640");
        }
        if meta.len() > octets_max {
            return fault(
                &format!("more than {octets_max} bytes"),
                "name the file that holds this alone",
            );
        }
        let text = match file::read_text(&resolved, octets_max) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                return fault("holds bytes that are not UTF-8", "save the file as UTF-8");
            }
            Err(error) => {
                return fault(
                    &error.to_string(),
                    "let the user that runs fluxwatch read it",
                );
            }
        };
        match text.trim() {
            "" => fault("is empty", cure_of_nothing(key)),
            _ => Some(text),
        }
    }

    /// Reads a file of authorities, PEM.
    pub(super) fn read_authorities(&self, path: &Path, key: &str) -> Option<String> {
        let path = self.resolve(path);
        match file::read_text(&path, CA_OCTETS_MAX) {
            Ok(text) => Some(text),
            Err(fault) => {
                let what = match fault.kind() {
                    std::io::ErrorKind::InvalidData => "holds bytes that are not text".to_owned(),
                    _ => fault.to_string(),
                };
                let what = format!("{}: {what}", path.display());
                self.error(key, &what, "name a file with certificates in PEM");
                None
            }
        }
    }

    /// Parses a cron line. One that never comes due is refused.
    pub(super) fn cron(&self, text: &str, key: &str, zone: TimeZone) -> Option<CronLine> {
        let line = match CronLine::parse(text) {
            Ok(line) => line,
            Err(fault) => {
                self.error(key, &fault.what, &fault.cure);
                return None;
            }
        };
        if line.next_after(self.now, zone).is_none() {
            let what = format!("{text:?} never comes due");
            self.error(
                key,
                &what,
                "write a day that the month has, and a year to come",
            );
        }
        for note in line.notes() {
            self.warn(key, note, "");
        }
        Some(line)
    }

    /// Returns whether a key, or the section that it belongs to, is written and could not be read, which was
    /// told already.
    pub(super) fn is_unread(&self, path: &str) -> bool {
        let ends = path.match_indices(['.', '[']).map(|(end, _)| end);
        let above = ends.map(|end| &path[..end]);
        above.chain([path]).any(|it| self.unread.contains(it))
    }

    /// Returns a key that must be there.
    pub(super) fn need<T: Clone>(&self, value: &Option<T>, path: &str) -> Option<T> {
        // What cannot be read was told already.
        if value.is_none() && !self.is_unread(path) {
            self.error(
                path,
                "is missing",
                "`fluxwatch config template` has every key with its meaning",
            );
        }
        value.clone()
    }

    /// Parses a name.
    pub(super) fn name(&self, text: &str, path: &str) -> Option<Name> {
        let parsed = Name::parse(text);
        if let Err(fault) = &parsed {
            self.error(
                path,
                &format!("{text:?}: {fault}"),
                "write a domain name, such as \"example.\"",
            );
        }
        parsed.ok()
    }

    /// Parses an address with its port.
    pub(super) fn address(&self, text: &str, path: &str, port: Port) -> Option<SocketAddr> {
        let parsed: Option<SocketAddr> = text.parse().ok();
        let bare = || text.parse::<IpAddr>().ok();
        let parsed = match port {
            Port::Of53 => parsed.or_else(|| bare().map(|address| SocketAddr::new(address, 53))),
            Port::Needed | Port::Any => parsed,
        };
        let cure = "write an address and a port, such as \"192.0.2.1:53\" or \"[2001:db8::1]:53\"";
        let Some(address) = parsed else {
            self.error(
                path,
                &format!("{text:?} is not an address with a port"),
                cure,
            );
            return None;
        };
        let ip = address.ip();
        let is_of_many = match ip {
            IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_multicast(),
        };
        if is_of_many {
            let what = format!("{text:?} is the address of many hosts (multicast or broadcast)");
            self.error(path, &what, cure);
            return None;
        }
        if port != Port::Any && (address.port() == 0 || ip.is_unspecified()) {
            self.error(
                path,
                &format!("{text:?} is not the address and port of one host"),
                cure,
            );
            return None;
        }
        Some(address)
    }

    /// Parses addresses with their ports.
    pub(super) fn socket_addresses(
        &self,
        list: &[String],
        path: &str,
        port: Port,
    ) -> Vec<SocketAddr> {
        let parse = |(i, text): (usize, &String)| self.address(text, &format!("{path}[{i}]"), port);
        let found: Vec<SocketAddr> = list.iter().enumerate().filter_map(parse).collect();
        let mut seen = HashSet::new();
        if let Some(i) = found.iter().position(|address| !seen.insert(*address)) {
            self.warn(
                &format!("{path}[{i}]"),
                &format!("{} is there twice", found[i]),
                "write it once",
            );
        }
        found
    }

    /// Makes a path relative to the configuration's folder.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        match self.path.parent() {
            Some(folder) if path.is_relative() => folder.join(path),
            _ => path.to_owned(),
        }
    }

    /// Notes something that cannot be run.
    pub(super) fn error(&self, path: &str, what: &str, cure: &str) {
        self.note(Weight::Error, path, what, cure);
    }

    /// Notes something that is hardly meant.
    pub(super) fn warn(&self, path: &str, what: &str, cure: &str) {
        self.note(Weight::Warning, path, what, cure);
    }

    /// Notes a fault, once for each key and sentence.
    fn note(&self, weight: Weight, path: &str, what: &str, cure: &str) {
        let fault = self.places.fault(weight, path, what, cure);
        let mut faults = self.faults.borrow_mut();
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
}

/// Returns what helps where the file of a key is not there, or has nothing in it.
fn cure_of_nothing(key: &str) -> &'static str {
    match key {
        "web.users_file" => "add somebody: fluxwatch users add NAME --role approver",
        "web.key" => "name the file with the certificate's private key, PEM, mode 600 or 640",
        _ => "write the secret into this file, mode 600 or 640",
    }
}

/// Returns what is wrong with a token or password, and the cure.
fn word_fault(word: &str, length_min: usize) -> Option<(String, String)> {
    let fault = |what: &str, cure: &str| Some((what.to_owned(), cure.to_owned()));
    if word.starts_with('\u{feff}') {
        return fault(
            "begins with a byte order mark",
            "save it as UTF-8 without one",
        );
    }
    if word.contains(['\n', '\r']) {
        return fault("holds more than one line", "write one secret on one line");
    }
    if word.trim() != word {
        return fault(
            "has blanks at its beginning or end",
            "take them out: they would be part of the secret",
        );
    }
    if word.chars().any(char::is_control) {
        return fault("holds a control character", "take it out");
    }
    if word.chars().count() < length_min {
        let what = format!("is shorter than {length_min} characters");
        let cure = format!("make one: openssl rand -hex {length_min}");
        return Some((what, cure));
    }
    None
}

/// What the port of an address may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    /// It is 53 where none is written.
    Of53,
    /// It must be written.
    Needed,
    /// It must be written; 0 lets the system choose.
    Any,
}
