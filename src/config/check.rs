//! Resolves and checks what is written.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use toml::Spanned;

use crate::config::resolved::{
    CanaryConfig, Config, Feeding, KeySecret, MetricsConfig, NotifyConfig, ProbeConfig,
    ProbeDomains, RetentionConfig, Schedule, Source, TlsSettings, TransferSettings, WebConfig,
};
use crate::config::written::{Every, KeySection, SourceSection, Written};
use crate::dns::Name;
use crate::time::{Span, TimePattern};
use crate::zone::ZonemdRule;

/// How often a source is looked at if it does not say.
const EVERY_DEFAULT: Span = Span::seconds(300);
/// The most members of a catalog if it does not say.
const MEMBERS_MAX_DEFAULT: u64 = 1_000_000;
/// The most octets of a file of authorities.
const CA_OCTETS_MAX: u64 = 1 << 20;
/// The most octets of a secret file.
const SECRET_OCTETS_MAX: u64 = 4096;
/// The name of the source that suspects are asked under.
const CONFIRM_SOURCE: &str = "detect.confirm";

/// What is wrong with the configuration: exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {fault}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        fault: String,
    },
    /// The file is no TOML, or has a key that is not known, or lacks one.
    #[error("{path}, line {line}: {what}")]
    Written {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, with the key.
        what: String,
    },
}

impl Config {
    /// Reads, resolves and checks a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], the first that is found.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|fault| ConfigError::Unreadable {
            path: path.to_owned(),
            fault: fault.to_string(),
        })?;
        Checker { path, text: &text }.check()
    }
}

/// Checks one file.
pub(super) struct Checker<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Checker<'_> {
    /// Parses and resolves.
    fn check(&self) -> Result<Config, ConfigError> {
        let written: Written = toml::from_str(self.text).map_err(|fault| {
            self.error(fault.span().unwrap_or(0..0), fault.message().to_owned())
        })?;
        let fault = written.detect.fault();
        let fault = fault.or_else(|| written.trust.fault());
        if let Some(fault) = fault.or_else(|| written.limits.fault()) {
            return Err(self.error(self.find_key(&fault), fault));
        }
        let keys = self.check_keys(&written.key)?;
        let mut sources: Vec<Source> = Vec::new();
        let (mut names, mut zones) = (HashSet::new(), HashMap::new());
        for section in &written.source {
            let source = self.check_source(section, &keys)?;
            if !names.insert(source.name.clone()) {
                return Err(self.error(
                    section.name.span(),
                    format!("source name {:?} is used twice", source.name),
                ));
            }
            if let (Some(zone), Some(span)) =
                (source.zone(), section.zone.as_ref().map(Spanned::span))
                && let Some(other) = zones.insert(zone.clone(), source.name.clone())
            {
                return Err(self.error(span, format!("zone {zone} already has the source {other:?}: a zone has one authoritative source")));
            }
            sources.push(source);
        }
        sources.extend(self.check_confirm(&written)?);
        let mail = self.check_mail(&written)?;
        let file = |path: &Option<Spanned<PathBuf>>| {
            path.as_ref().map(|path| self.resolve(path.get_ref()))
        };
        Ok(Config {
            path: self.path.to_owned(),
            store_path: self.resolve(&written.store.path),
            reverse_index: written.store.reverse_index,
            keys,
            sources,
            asn_path: file(&written.enrich.asn),
            hosting_path: file(&written.enrich.hosting_asns),
            shared_path: file(&written.enrich.shared_ranges),
            registrations_path: file(&written.enrich.registrations),
            limits: written.limits,
            notify: self.check_notify(&written)?,
            metrics: self.check_metrics(&written)?,
            web: self.check_web(&written)?,
            canary: self.check_canary(&written)?,
            retention: self.check_retention(&written)?,
            trust: written.trust.clone(),
            detect: written.detect.clone(),
            mail,
            webhooks: self.check_webhooks(&written)?,
            events_path: written
                .events
                .as_ref()
                .map(|events| self.resolve(events.path.get_ref())),
            written,
        })
    }

    /// Reads the keys' secrets.
    fn check_keys(&self, sections: &[KeySection]) -> Result<HashMap<Name, KeySecret>, ConfigError> {
        let mut keys = HashMap::new();
        for section in sections {
            let name = self.name(&section.name, "name")?;
            let secret_base64 = self.read_secret(&section.secret_file, "secret_file")?;
            if keys
                .insert(
                    name,
                    KeySecret {
                        algorithm: section.algorithm.clone(),
                        secret_base64,
                    },
                )
                .is_some()
            {
                return Err(self.error(
                    section.name.span(),
                    format!("key {:?} is there twice", section.name.get_ref()),
                ));
            }
        }
        Ok(keys)
    }

    /// Resolves one source.
    fn check_source(
        &self,
        section: &SourceSection,
        keys: &HashMap<Name, KeySecret>,
    ) -> Result<Source, ConfigError> {
        let allowed: &[&str] =
            match section.kind.get_ref().as_str() {
                "transfer" => &["zone", "primaries", "key", "ixfr", "zonemd", "tls", "notify"],
                "catalog" => &[
                    "zone",
                    "primaries",
                    "key",
                    "ixfr",
                    "zonemd",
                    "tls",
                    "notify",
                    "scope",
                    "members_max",
                ],
                "zonefile" => &["zone", "path", "time_pattern", "require_soa", "include"],
                "feed" => &["zone", "path", "complete", "push"],
                "probe" => &[
                    "domains",
                    "resolvers",
                    "roots",
                    "port",
                    "settle",
                    "timeout",
                    "server_rate",
                    "domains_at_once",
                ],
                other => return Err(self.error(
                    section.kind.span(),
                    format!(
                        "kind {other:?} is not known; use \"transfer\", \"catalog\", \"zonefile\", \"feed\" or \"probe\""
                    ),
                )),
            };
        self.refuse_keys(section, allowed)?;
        let zone = section
            .zone
            .as_ref()
            .map(|zone| self.name(zone, "zone"))
            .transpose()?;
        let need = |key: &str| {
            self.error(
                section.name.span(),
                format!(
                    "source {:?} of kind {:?} needs the key {key:?}",
                    section.name.get_ref(),
                    section.kind.get_ref()
                ),
            )
        };
        let path = || {
            section
                .path
                .as_ref()
                .map(|path| self.resolve(Path::new(path.get_ref())))
                .ok_or_else(|| need("path"))
        };
        let feeding = match section.kind.get_ref().as_str() {
            "transfer" => Feeding::Transfer {
                zone: zone.ok_or_else(|| need("zone"))?,
                settings: self.check_transfer(section, keys)?,
            },
            "catalog" => Feeding::Catalog {
                catalog: zone.ok_or_else(|| need("zone"))?,
                settings: self.check_transfer(section, keys)?,
                scope: self.check_scope(section)?,
                members_max: section
                    .members_max
                    .as_ref()
                    .map_or(MEMBERS_MAX_DEFAULT, |it| *it.get_ref()),
            },
            "zonefile" => Feeding::Zonefile {
                zone: zone.ok_or_else(|| need("zone"))?,
                path: path()?.to_string_lossy().into_owned(),
                time_pattern: section
                    .time_pattern
                    .as_ref()
                    .map(|pattern| TimePattern::new(pattern.get_ref())),
                require_soa: section.require_soa.as_ref().is_none_or(|it| *it.get_ref()),
                include: section.include.as_ref().is_some_and(|it| *it.get_ref()),
            },
            "probe" => Feeding::Probe(self.check_probe(section, &need)?),
            _ => Feeding::Feed {
                zone,
                path: match section.push.as_ref().is_some_and(|it| *it.get_ref()) {
                    true => path().ok(),
                    false => Some(path()?),
                },
                complete: section.complete.as_ref().is_some_and(|it| *it.get_ref()),
                push: section.push.as_ref().is_some_and(|it| *it.get_ref()),
            },
        };
        let schedule = match (&section.every, &section.cron) {
            (Some(_), Some(cron)) => {
                return Err(self.error(cron.span(), "every and cron exclude each other".to_owned()));
            }
            (Some(every), None) => match every.get_ref() {
                Every::Span(span) => Schedule::Every(*span),
                Every::Soa if matches!(feeding, Feeding::Transfer { .. }) => Schedule::Soa,
                Every::Soa => {
                    let what = "every = \"soa\" is for sources of kind \"transfer\"".to_owned();
                    return Err(self.error(every.span(), what));
                }
            },
            (None, Some(cron)) => Schedule::Cron(cron.get_ref().clone()),
            (None, None) => Schedule::Every(EVERY_DEFAULT),
        };
        Ok(Source {
            name: section.name.get_ref().clone(),
            feeding,
            schedule,
            jitter: section
                .jitter
                .as_ref()
                .map_or(Span::seconds(0), |it| *it.get_ref()),
        })
    }

    /// Refuses keys that the source's kind does not know.
    fn refuse_keys(&self, section: &SourceSection, allowed: &[&str]) -> Result<(), ConfigError> {
        let present: [(&str, Option<Range<usize>>); 23] = [
            ("zone", section.zone.as_ref().map(Spanned::span)),
            ("primaries", section.primaries.as_ref().map(Spanned::span)),
            ("key", section.key.as_ref().map(Spanned::span)),
            ("ixfr", section.ixfr.as_ref().map(Spanned::span)),
            ("zonemd", section.zonemd.as_ref().map(Spanned::span)),
            ("tls", section.tls.as_ref().map(Spanned::span)),
            ("notify", section.notify.as_ref().map(Spanned::span)),
            ("scope", section.scope.as_ref().map(Spanned::span)),
            (
                "members_max",
                section.members_max.as_ref().map(Spanned::span),
            ),
            ("path", section.path.as_ref().map(Spanned::span)),
            (
                "time_pattern",
                section.time_pattern.as_ref().map(Spanned::span),
            ),
            (
                "require_soa",
                section.require_soa.as_ref().map(Spanned::span),
            ),
            ("complete", section.complete.as_ref().map(Spanned::span)),
            ("push", section.push.as_ref().map(Spanned::span)),
            ("include", section.include.as_ref().map(Spanned::span)),
            ("domains", section.domains.as_ref().map(Spanned::span)),
            ("resolvers", section.resolvers.as_ref().map(Spanned::span)),
            ("roots", section.roots.as_ref().map(Spanned::span)),
            ("port", section.port.as_ref().map(Spanned::span)),
            ("settle", section.settle.as_ref().map(Spanned::span)),
            ("timeout", section.timeout.as_ref().map(Spanned::span)),
            (
                "server_rate",
                section.server_rate.as_ref().map(Spanned::span),
            ),
            (
                "domains_at_once",
                section.domains_at_once.as_ref().map(Spanned::span),
            ),
        ];
        for (key, span) in present {
            if let (Some(span), false) = (span, allowed.contains(&key)) {
                return Err(self.error(
                    span,
                    format!(
                        "a source of kind {:?} has no key {key:?}",
                        section.kind.get_ref()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Resolves how a list of domains is asked about.
    fn check_probe(
        &self,
        section: &SourceSection,
        need: &dyn Fn(&str) -> ConfigError,
    ) -> Result<ProbeConfig, ConfigError> {
        let addresses = |key: &Option<Spanned<Vec<String>>>, what: &str| match key {
            Some(list) => self.socket_addresses(list, what),
            None => Ok(Vec::new()),
        };
        let (resolvers, roots) = (
            addresses(&section.resolvers, "resolvers")?,
            addresses(&section.roots, "roots")?,
        );
        match (resolvers.is_empty(), roots.is_empty(), &section.roots) {
            (true, true, _) => return Err(need("resolvers")),
            (false, false, Some(roots)) => {
                let what = "roots and resolvers exclude each other".to_owned();
                return Err(self.error(roots.span(), what));
            }
            _ => {}
        }
        let positive = |key: &Option<Spanned<u32>>, default: u32| match key {
            Some(value) if *value.get_ref() == 0 => {
                Err(self.error(value.span(), "0 asks nobody".to_owned()))
            }
            Some(value) => Ok(*value.get_ref()),
            None => Ok(default),
        };
        let at_once = section
            .domains_at_once
            .as_ref()
            .map(|it| Spanned::new(it.span(), u32::from(*it.get_ref())));
        let span = |key: &Option<Spanned<Span>>, default: Span| {
            key.as_ref().map_or(default, |it| *it.get_ref())
        };
        Ok(ProbeConfig {
            domains: ProbeDomains::List(
                self.resolve(
                    section
                        .domains
                        .as_ref()
                        .ok_or_else(|| need("domains"))?
                        .get_ref(),
                ),
            ),
            resolvers,
            roots,
            port: section.port.as_ref().map_or(53, |it| *it.get_ref()),
            settle: span(&section.settle, Span::hours(6)),
            timeout: span(&section.timeout, Span::seconds(3)),
            server_rate: positive(&section.server_rate, 10)?,
            domains_at_once: positive(&at_once, 32)? as usize,
        })
    }

    /// Resolves how suspects are asked: a probe of its own, whose domains are the suspects.
    fn check_confirm(&self, written: &Written) -> Result<Option<Source>, ConfigError> {
        let Some(confirm) = &written.detect.confirm else {
            return Ok(None);
        };
        let at = |key: &str| self.find_key(&format!("detect.confirm.{key}"));
        let addresses = |list: &Vec<String>, key: &str| {
            self.socket_addresses(&Spanned::new(at(key), list.clone()), key)
        };
        let (resolvers, roots) = (
            addresses(&confirm.resolvers, "resolvers")?,
            addresses(&confirm.roots, "roots")?,
        );
        if resolvers.is_empty() == roots.is_empty() {
            let what = "detect.confirm needs resolvers of your own, or roots, and not both";
            return Err(self.error(at("resolvers"), what.to_owned()));
        }
        let counts = [
            ("times", confirm.times),
            ("domains_max", confirm.domains_max),
            ("server_rate", confirm.server_rate),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            let what = format!("detect.confirm.{key}: 0 asks nobody");
            return Err(self.error(at(key), what));
        }
        let domains_max = confirm.domains_max as usize;
        Ok(Some(Source {
            name: CONFIRM_SOURCE.to_owned(),
            feeding: Feeding::Probe(ProbeConfig {
                domains: ProbeDomains::Suspects {
                    every: confirm.every,
                    times: confirm.times,
                    domains_max,
                },
                resolvers,
                roots,
                port: confirm.port,
                settle: confirm.settle,
                timeout: confirm.timeout,
                server_rate: confirm.server_rate,
                domains_at_once: domains_max,
            }),
            schedule: Schedule::Every(confirm.every.min(Span::seconds(60))),
            jitter: Span::seconds(0),
        }))
    }

    /// Parses addresses with their ports.
    fn socket_addresses(
        &self,
        list: &Spanned<Vec<String>>,
        key: &str,
    ) -> Result<Vec<SocketAddr>, ConfigError> {
        let parse = |text: &String| {
            text.parse().map_err(|_| {
                self.error(
                    list.span(),
                    format!("{key}: {text:?} is not an address with a port"),
                )
            })
        };
        list.get_ref().iter().map(parse).collect()
    }

    /// Resolves how a source's zones are transferred.
    fn check_transfer(
        &self,
        section: &SourceSection,
        keys: &HashMap<Name, KeySecret>,
    ) -> Result<TransferSettings, ConfigError> {
        let switch = |key: &Option<Spanned<bool>>| key.as_ref().is_none_or(|it| *it.get_ref());
        let zonemd = section.zonemd.as_ref().map(|it| *it.get_ref());
        let zonemd = zonemd.unwrap_or_default();
        Ok(TransferSettings {
            primaries: self.check_primaries(section)?,
            key: self.check_key(section, keys)?,
            tls: self.check_tls(section)?,
            // The digest is of the whole zone; history does not hold all of it.
            ixfr: switch(&section.ixfr) && zonemd != ZonemdRule::Require,
            zonemd,
            notify: switch(&section.notify),
        })
    }

    /// Resolves how primaries are trusted.
    fn check_tls(&self, section: &SourceSection) -> Result<Option<TlsSettings>, ConfigError> {
        let Some(spanned) = &section.tls else {
            return Ok(None);
        };
        let tls = spanned.get_ref();
        if tls.ca_file.is_some() && !tls.pins.is_empty() {
            let what = "tls: ca_file and pins exclude each other".to_owned();
            return Err(self.error(spanned.span(), what));
        }
        let read = |path: &PathBuf| {
            let path = self.resolve(path);
            let fault = |what: String| {
                let what = format!("tls.ca_file: {}: {what}", path.display());
                self.error(spanned.span(), what)
            };
            let meta = fs::metadata(&path).map_err(|error| fault(error.to_string()))?;
            if meta.len() > CA_OCTETS_MAX {
                return Err(fault(format!("more than {CA_OCTETS_MAX} octets")));
            }
            fs::read_to_string(&path).map_err(|error| fault(error.to_string()))
        };
        Ok(Some(TlsSettings {
            server_name: tls.server_name.clone(),
            ca_pem: tls.ca_file.as_ref().map(read).transpose()?,
            pins: tls.pins.clone(),
            strict_alpn: tls.strict_alpn,
        }))
    }

    /// Parses where the members of a catalog may lie; anywhere if it does not say.
    fn check_scope(&self, section: &SourceSection) -> Result<Vec<Name>, ConfigError> {
        let Some(scope) = &section.scope else {
            return Ok(vec![Name::root()]);
        };
        let parse = |text: &String| {
            Name::parse(text).map_err(|fault| self.error(scope.span(), format!("scope: {fault}")))
        };
        scope.get_ref().iter().map(parse).collect()
    }

    /// Resolves where NOTIFY messages are heard.
    fn check_notify(&self, written: &Written) -> Result<Option<NotifyConfig>, ConfigError> {
        let Some(notify) = &written.notify else {
            return Ok(None);
        };
        let parse = |text: &String| {
            text.parse().map_err(|_| {
                let what = format!("listen: {text:?} is not an address with a port");
                self.error(notify.listen.span(), what)
            })
        };
        let listen = notify.listen.get_ref().iter().map(parse);
        Ok(Some(NotifyConfig {
            listen: listen.collect::<Result<_, _>>()?,
            signed: notify.signed,
        }))
    }

    /// Resolves the canary.
    fn check_canary(&self, written: &Written) -> Result<Option<CanaryConfig>, ConfigError> {
        let Some(canary) = &written.canary else {
            return Ok(None);
        };
        if canary.every.as_seconds() < 1 {
            let what = "every: must be more than nothing".to_owned();
            return Err(self.error(canary.domain.span(), what));
        }
        Ok(Some(CanaryConfig {
            domain: self.name(&canary.domain, "domain")?,
            every: canary.every,
        }))
    }

    /// Resolves what is served over HTTP.
    fn check_web(&self, written: &Written) -> Result<Option<WebConfig>, ConfigError> {
        let pushed = written
            .source
            .iter()
            .find_map(|section| section.push.as_ref().filter(|push| *push.get_ref()));
        let Some(web) = &written.web else {
            return match pushed {
                Some(push) => {
                    let what = "push needs [web] to say where changes are pushed to".to_owned();
                    Err(self.error(push.span(), what))
                }
                None => Ok(None),
            };
        };
        let listen = web.listen.get_ref().parse().map_err(|_| {
            let what = format!(
                "listen: {:?} is not an address with a port",
                web.listen.get_ref()
            );
            self.error(web.listen.span(), what)
        })?;
        let token = web
            .token_file
            .as_ref()
            .map(|path| self.read_secret(path, "token_file"))
            .transpose()?;
        let users = match &web.users_file {
            Some(path) => self.read_users(path)?,
            None => Vec::new(),
        };
        match (pushed, &token) {
            (Some(push), None) => {
                let what = "push needs [web] token_file: nobody else may write history".to_owned();
                Err(self.error(push.span(), what))
            }
            (None, _) if users.is_empty() => {
                let what = "[web] serves nothing: no feed has push = true, and there is no users_file for who reads history".to_owned();
                Err(self.error(web.listen.span(), what))
            }
            _ => Ok(Some(WebConfig {
                listen,
                token,
                users,
            })),
        }
    }

    /// Resolves where metrics are told.
    fn check_metrics(&self, written: &Written) -> Result<Option<MetricsConfig>, ConfigError> {
        let Some(metrics) = &written.metrics else {
            return Ok(None);
        };
        let parse = |text: &Spanned<String>| {
            text.get_ref().parse().map_err(|_| {
                let what = format!("listen: {:?} is not an address with a port", text.get_ref());
                self.error(text.span(), what)
            })
        };
        Ok(Some(MetricsConfig {
            listen: metrics.listen.as_ref().map(parse).transpose()?,
            textfile: metrics
                .textfile
                .as_ref()
                .map(|path| self.resolve(path.get_ref())),
            zones_max: metrics.zones_max as usize,
        }))
    }

    /// Parses a transfer's primaries.
    fn check_primaries(&self, section: &SourceSection) -> Result<Vec<SocketAddr>, ConfigError> {
        let need = || {
            self.error(
                section.name.span(),
                format!(
                    "source {:?} of kind {:?} needs the key \"primaries\"",
                    section.name.get_ref(),
                    section.kind.get_ref()
                ),
            )
        };
        let primaries = section
            .primaries
            .as_ref()
            .filter(|list| !list.get_ref().is_empty())
            .ok_or_else(need)?;
        let fault = |text: &str| {
            self.error(primaries.span(), format!("primaries: {text:?} is not an address with a port, such as \"192.0.2.1:53\" or \"[2001:db8::1]:53\""))
        };
        primaries
            .get_ref()
            .iter()
            .map(|text| parse_address(text).ok_or_else(|| fault(text)))
            .collect()
    }

    /// Finds a transfer's key.
    fn check_key(
        &self,
        section: &SourceSection,
        keys: &HashMap<Name, KeySecret>,
    ) -> Result<Option<Name>, ConfigError> {
        let Some(key) = &section.key else {
            return Ok(None);
        };
        let name = self.name(key, "key")?;
        if !keys.contains_key(&name) {
            return Err(self.error(
                key.span(),
                format!("key {:?} has no [[key]] section", key.get_ref()),
            ));
        }
        Ok(Some(name))
    }

    /// Resolves how long history is kept, and sees to it that no zone has two sections.
    fn check_retention(&self, written: &Written) -> Result<RetentionConfig, ConfigError> {
        let memory = written.detect.memory;
        let check = |keep: &Spanned<Span>| match *keep.get_ref() >= memory {
            true => Ok(*keep.get_ref()),
            false => Err(self.error(
                keep.span(),
                format!(
                    "keep: {} is less than detect.memory, {memory}",
                    keep.get_ref()
                ),
            )),
        };
        let mut zone_keeps = HashMap::new();
        let mut names = HashSet::new();
        for zone in &written.zone {
            let name = self.name(&zone.name, "name")?;
            if !names.insert(name.clone()) {
                return Err(self.error(
                    zone.name.span(),
                    format!("zone {:?} is there twice", zone.name.get_ref()),
                ));
            }
            if zone.desk.is_none() && zone.keep.is_none() {
                return Err(self.error(
                    zone.name.span(),
                    format!("zone {:?} has neither desk nor keep", zone.name.get_ref()),
                ));
            }
            if let Some(keep) = &zone.keep {
                zone_keeps.insert(name, check(keep)?);
            }
        }
        let section = written.retention.as_ref();
        let keep = section
            .and_then(|it| it.keep.as_ref())
            .map(check)
            .transpose()?;
        let size = section.and_then(|it| it.size_bytes_max.as_ref());
        if let Some(size) = size.filter(|size| *size.get_ref() == 0) {
            return Err(self.error(size.span(), "size_bytes_max: 0 keeps nothing".to_owned()));
        }
        Ok(RetentionConfig {
            keep,
            zone_keeps,
            size_bytes_max: size.map(|size| *size.get_ref()),
        })
    }

    /// Reads who may read history. Refused if others can read it.
    fn read_users(&self, path: &Spanned<PathBuf>) -> Result<Vec<String>, ConfigError> {
        let text = self.read_secret(path, "users_file")?;
        let lines = text.lines().map(str::trim);
        let users: Vec<String> = lines
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        let is_user = |line: &String| {
            line.split_once(':')
                .is_some_and(|(user, password)| !user.is_empty() && !password.is_empty())
        };
        match users.iter().position(|line| !is_user(line)) {
            Some(at) => Err(self.error(
                path.span(),
                format!("users_file: line {} is not user:password", at + 1),
            )),
            None => Ok(users),
        }
    }

    /// Reads a file that holds one secret. Refused if others can read it.
    pub(super) fn read_secret(
        &self,
        path: &Spanned<PathBuf>,
        key: &str,
    ) -> Result<String, ConfigError> {
        let resolved = self.resolve(path.get_ref());
        let fault = |what: String| {
            self.error(
                path.span(),
                format!("{key}: {}: {what}", resolved.display()),
            )
        };
        let meta = fs::metadata(&resolved).map_err(|error| fault(error.to_string()))?;
        if meta.permissions().mode() & 0o007 != 0 {
            return Err(fault(
                "others can read or write it; chmod 600 or 640".to_owned(),
            ));
        }
        if meta.len() > SECRET_OCTETS_MAX {
            return Err(fault(format!("more than {SECRET_OCTETS_MAX} octets")));
        }
        let text = fs::read_to_string(&resolved).map_err(|error| fault(error.to_string()))?;
        let secret = text.trim();
        if secret.is_empty() {
            Err(fault("is empty".to_owned()))
        } else {
            Ok(secret.to_owned())
        }
    }

    /// Parses a name.
    pub(super) fn name(&self, text: &Spanned<String>, key: &str) -> Result<Name, ConfigError> {
        Name::parse(text.get_ref())
            .map_err(|fault| self.error(text.span(), format!("{key}: {fault}")))
    }

    /// Makes a path relative to the configuration's folder.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        match self.path.parent() {
            Some(folder) if path.is_relative() => folder.join(path),
            _ => path.to_owned(),
        }
    }

    /// Returns where the key that a fault begins with is written.
    fn find_key(&self, fault: &str) -> Range<usize> {
        let key = fault
            .split(':')
            .next()
            .and_then(|path| path.rsplit('.').next())
            .unwrap_or_default();
        let at = self
            .text
            .find(&format!("\n{key}"))
            .map_or(0, |newline| newline + 1);
        at..at
    }

    /// Returns an error at a place in the file.
    pub(super) fn error(&self, span: Range<usize>, what: String) -> ConfigError {
        let line = self
            .text
            .get(..span.start)
            .unwrap_or_default()
            .matches('\n')
            .count()
            + 1;
        ConfigError::Written {
            path: self.path.to_owned(),
            line,
            what: what.replace('\n', " "),
        }
    }
}

/// Parses an address with a port, or without one, which means 53.
fn parse_address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| {
        text.parse::<IpAddr>()
            .ok()
            .map(|address| SocketAddr::new(address, 53))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        Checker {
            path: Path::new("/etc/fluxwatch/fluxwatch.toml"),
            text,
        }
        .check()
        .map_err(|error| error.to_string())
    }

    const MINIMAL: &str = "[store]\npath = \"x.db\"\n";

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = load(MINIMAL).expect("valid");
        assert_eq!(config.store_path, Path::new("/etc/fluxwatch/x.db"));
        assert!(config.reverse_index && config.mail.is_none());
    }

    #[test]
    fn errors_name_the_line_and_the_key() {
        let source = |rest: &str| format!("{MINIMAL}[[source]]\nname = \"a\"\n{rest}");
        for (text, line, words) in [
            (format!("{MINIMAL}colour = 1\n"), 3, "colour"),
            ("[store]\n".to_owned(), 1, "path"),
            (source("kind = \"ftp\"\n"), 5, "\"ftp\""),
            (
                source("kind = \"transfer\"\nzone = \"example.\"\n"),
                4,
                "primaries",
            ),
            (
                source(
                    "kind = \"transfer\"\nzone = \"exa..mple.\"\nprimaries = [\"192.0.2.1:53\"]\n",
                ),
                6,
                "empty label",
            ),
            (
                source(
                    "kind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"primary.example\"]\n",
                ),
                7,
                "primary.example",
            ),
            (
                source(
                    "kind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"192.0.2.1\"]\nkey = \"k.\"\n",
                ),
                8,
                "[[key]]",
            ),
            (
                source("kind = \"feed\"\npath = \"f\"\nrequire_soa = true\n"),
                7,
                "require_soa",
            ),
            (
                source("kind = \"feed\"\npath = \"f\"\nevery = \"soon\"\n"),
                7,
                "soon",
            ),
            (
                source("kind = \"feed\"\npath = \"f\"\nevery = \"1m\"\ncron = \"0 * * * * *\"\n"),
                8,
                "exclude",
            ),
            (
                format!("{MINIMAL}[smtp]\nurl = \"maildir:///x\"\n"),
                4,
                "[report]",
            ),
            (
                format!("{MINIMAL}[detect.nameservers]\nchanges_min = 3\n"),
                4,
                "changes_min",
            ),
        ] {
            let error = load(&text).expect_err(&text);
            assert!(
                error.contains(&format!("line {line}:")) && error.contains(words),
                "{text}\n{error}"
            );
        }
    }

    #[test]
    fn a_zone_has_one_source() {
        let one = |name: &str| {
            format!(
                "[[source]]\nname = \"{name}\"\nkind = \"zonefile\"\nzone = \"example.\"\npath = \"z\"\n"
            )
        };
        let error = load(&format!("{MINIMAL}{}{}", one("a"), one("b"))).expect_err("two sources");
        assert!(error.contains("one authoritative source"), "{error}");
    }

    #[test]
    fn secrets_must_not_be_readable_by_others() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("k");
        fs::write(&path, "c2VjcmV0\n").expect("written");
        let text = format!(
            "{MINIMAL}[[key]]\nname = \"k.\"\nsecret_file = \"{}\"\n",
            path.display()
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        let error = load(&text).expect_err("readable");
        assert!(
            error.contains("others can read") && !error.contains("c2VjcmV0"),
            "{error}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("set");
        let config = load(&text).expect("valid");
        assert!(!format!("{config:?}").contains("c2VjcmV0"));
    }
}
