//! Checks the sources, each by its kind.

use crate::config::resolved::{CatalogSource, FeedSource, TransferSource, ZonefileSource};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::config::check::{Checker, Port};
use crate::config::resolved::{
    Feeding, KeySecret, ProbeConfig, ProbeDomains, Schedule, Source, TlsSettings, TransferSettings,
};
use crate::config::written::{
    CatalogSection, Every, FeedSection, FullEvery, KindSection, ProbeSection, SourceKeys,
    SourceSection, TlsSection, TransferSection, Written, ZonefileSection,
};
use crate::dns::Name;
use crate::time::{Span, TimePattern, TimeZone, Timestamp};
use crate::zone::ZonemdRule;

/// How often a source is looked at if it does not say.
const EVERY_DEFAULT: Span = Span::seconds(300);
/// The most members of a catalog if it does not say.
const MEMBERS_MAX_DEFAULT: u64 = 1_000_000;
/// The name of the source that suspects are asked under.
const CONFIRM_SOURCE: &str = "detect.confirm";
/// A time that patterns of file names are tried with: 2026-11-22T10:00:00Z.
const PATTERN_SAMPLE_S: i64 = 1_795_341_600;

/// The path of a source's section, such as `source[2]`, for faults about its keys.
struct Place(String);

impl Place {
    /// Returns the path of a key.
    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.0)
    }
}

impl Checker<'_> {
    /// Resolves the sources. Those that have a fault are left out.
    pub(super) fn check_sources(
        &self,
        written: &Written,
        keys: &HashMap<Name, KeySecret>,
        zone: TimeZone,
    ) -> Vec<Source> {
        let mut sources = Vec::new();
        for (i, section) in written.source.iter().enumerate() {
            let Some(section) = section else { continue };
            let place = Place(format!("source[{i}]"));
            sources.extend(self.check_source(section, keys, zone, &place));
            self.check_notified(section, written, &place);
        }
        self.check_twice(&sources);
        self.check_unused_keys(written, &sources, keys);
        if written.source.is_empty() && !self.is_unread("source") {
            self.warn(
                "source",
                "no [[source]] is there: nothing is watched",
                "add one",
            );
        }
        sources.extend(self.check_confirm(written));
        sources
    }

    /// Sees to it that a name, a zone and a file have one source each.
    fn check_twice(&self, sources: &[Source]) {
        let (mut names, mut zones, mut paths) = (HashSet::new(), HashMap::new(), HashMap::new());
        for source in sources {
            let place = Place(source.place.clone());
            if !names.insert(source.name.as_str()) {
                let what = format!("source name {:?} is used twice", source.name);
                self.error(
                    &place.key("name"),
                    &what,
                    "give each source a name of its own",
                );
            }
            if let Some(zone) = source.zone()
                && let Some(other) = zones.insert(zone, &source.name)
            {
                let what = format!(
                    "zone {zone} already has the source {other:?}: a zone has one authoritative source"
                );
                self.error(&place.key("zone"), &what, "remove one of the two");
            }
            if let Feeding::Feed(FeedSource {
                path: Some(path), ..
            }) = &source.feeding
                && let Some(other) = paths.insert(path, &source.name)
            {
                let what = format!("{} is already the feed of source {other:?}", path.display());
                self.error(&place.key("path"), &what, "remove one of the two");
            }
        }
    }

    /// Tells of keys that sign nothing.
    fn check_unused_keys(
        &self,
        written: &Written,
        sources: &[Source],
        keys: &HashMap<Name, KeySecret>,
    ) {
        let used: HashSet<&Name> = sources
            .iter()
            .filter_map(|source| source.transfer()?.key.as_ref())
            .collect();
        // A source with a fault may be the one that uses it.
        let is_whole = written.source.len() == sources.len();
        for (name, key) in keys
            .iter()
            .filter(|(name, _)| is_whole && !used.contains(name))
        {
            let what = format!("no source uses the key {name}");
            self.warn(
                &format!("{}.name", key.place),
                &what,
                "name it in a source: key = \"...\"",
            );
        }
    }

    /// Tells of a source that waits for NOTIFY where none is heard.
    fn check_notified(&self, section: &SourceSection, written: &Written, place: &Place) {
        let notify = match &section.kind {
            KindSection::Transfer(transfer) => transfer.notify,
            KindSection::Catalog(catalog) => catalog.notify,
            _ => None,
        };
        if notify == Some(true) && written.notify.is_none() && !self.is_unread("notify") {
            let what = "no NOTIFY is heard without [notify] listen";
            self.warn(
                &place.key("notify"),
                what,
                "add [notify] with listen, or leave the key out",
            );
        }
    }

    /// Resolves one source.
    fn check_source(
        &self,
        section: &SourceSection,
        keys: &HashMap<Name, KeySecret>,
        zone: TimeZone,
        place: &Place,
    ) -> Option<Source> {
        let name = self.source_name(&section.common, place);
        let feeding = match &section.kind {
            KindSection::Transfer(transfer) => self.check_transfer_source(transfer, keys, place),
            KindSection::Catalog(catalog) => self.check_catalog(catalog, keys, place),
            KindSection::Zonefile(files) => self.check_zonefile(files, place),
            KindSection::Feed(feed) => self.check_feed(feed, place),
            KindSection::Probe(probe) => self.check_probe(probe, place).map(Feeding::Probe),
        };
        let is_transfer = matches!(section.kind, KindSection::Transfer(_));
        let schedule = self.check_schedule(&section.common, is_transfer, zone, place);
        let (jitter, every) = (section.common.jitter, section.common.every);
        if let (Some(jitter), Some(Every::Span(every))) = (jitter, every)
            && jitter >= every
        {
            let what =
                format!("{jitter} is not less than every, {every}: two polls may fall together");
            self.warn(&place.key("jitter"), &what, "write a part of every");
        }
        Some(Source {
            name: name?,
            place: place.0.clone(),
            feeding: feeding?,
            schedule: schedule?,
            jitter: jitter.unwrap_or(Span::seconds(0)),
        })
    }

    /// Returns a source's name: a word that fits into a line of a table.
    fn source_name(&self, common: &SourceKeys, place: &Place) -> Option<String> {
        let name = self.need(&common.name, &place.key("name"))?;
        if name.trim().is_empty() || name.chars().any(char::is_control) {
            self.error(
                &place.key("name"),
                &format!("{name:?} is no name"),
                "write a word",
            );
            return None;
        }
        if name == CONFIRM_SOURCE {
            let what = format!("{name:?} is the name of what [detect.confirm] asks");
            self.error(&place.key("name"), &what, "give the source another name");
            return None;
        }
        Some(name)
    }

    /// Resolves when a source is looked at.
    fn check_schedule(
        &self,
        common: &SourceKeys,
        is_transfer: bool,
        zone: TimeZone,
        place: &Place,
    ) -> Option<Schedule> {
        match (common.every, &common.cron) {
            (Some(_), Some(_)) => {
                let what = "every and cron exclude each other";
                self.error(&place.key("cron"), what, "remove one of the two");
                None
            }
            (Some(Every::Span(span)), None) => Some(Schedule::Every(span)),
            (Some(Every::Soa), None) if is_transfer => Some(Schedule::Soa),
            (Some(Every::Soa), None) => {
                let what = "\"soa\" is for sources of kind \"transfer\"";
                self.error(&place.key("every"), what, "write a span, such as \"5m\"");
                None
            }
            (None, Some(cron)) => {
                let line = self.cron(cron, &place.key("cron"), zone)?;
                Some(Schedule::Cron(line, zone))
            }
            (None, None) => Some(Schedule::Every(EVERY_DEFAULT)),
        }
    }

    /// Resolves a zone that is transferred.
    fn check_transfer_source(
        &self,
        section: &TransferSection,
        keys: &HashMap<Name, KeySecret>,
        place: &Place,
    ) -> Option<Feeding> {
        let zone = self.apex(&section.zone, place);
        let settings = self.check_transfer(section, keys, place);
        Some(Feeding::Transfer(TransferSource {
            zone: zone?,
            settings: settings?,
        }))
    }

    /// Resolves a catalog.
    fn check_catalog(
        &self,
        section: &CatalogSection,
        keys: &HashMap<Name, KeySecret>,
        place: &Place,
    ) -> Option<Feeding> {
        let catalog = self.apex(&section.zone, place);
        let settings = self.check_transfer(&section.as_transfer(), keys, place);
        let members_max = section.members_max.unwrap_or(MEMBERS_MAX_DEFAULT);
        if members_max == 0 {
            self.error(
                &place.key("members_max"),
                "0 takes no member",
                "write a number of 1 or more",
            );
        }
        let scope = match &section.scope {
            None => vec![Name::root()],
            Some(scope) => {
                if scope.is_empty() {
                    let cure = "name what members lie in, or leave the key out for anywhere";
                    self.error(&place.key("scope"), "an empty list takes no member", cure);
                }
                let items = scope.iter().enumerate();
                let parse = |(i, text): (usize, &String)| {
                    self.name(text, &place.key(&format!("scope[{i}]")))
                };
                items.filter_map(parse).collect()
            }
        };
        Some(Feeding::Catalog(CatalogSource {
            catalog: catalog?,
            settings: settings?,
            scope,
            members_max,
        }))
    }

    /// Resolves zone files.
    fn check_zonefile(&self, section: &ZonefileSection, place: &Place) -> Option<Feeding> {
        let zone = self.apex(&section.zone, place);
        let path = self.need(&section.path, &place.key("path"));
        let pattern = section.time_pattern.as_deref();
        let time_pattern = pattern.map(|text| self.time_pattern(text, &place.key("time_pattern")));
        Some(Feeding::Zonefile(ZonefileSource {
            zone: zone?,
            path: self
                .resolve(Path::new(&path?))
                .to_string_lossy()
                .into_owned(),
            time_pattern,
            require_soa: section.require_soa.unwrap_or(true),
            require_final_newline: section.require_final_newline.unwrap_or(true),
            include: section.include.unwrap_or(false),
        }))
    }

    /// Parses a pattern of times, which must give back the day that it wrote.
    fn time_pattern(&self, text: &str, path: &str) -> TimePattern {
        let pattern = TimePattern::new(text);
        if pattern
            .name_of(Timestamp::from_unix(PATTERN_SAMPLE_S))
            .is_err()
        {
            let what = format!("{text:?} gives no day, or is not the name of a file");
            self.error(
                path,
                &what,
                "write year, month and day, such as \"example-%Y%m%d.zone\"",
            );
        }
        pattern
    }

    /// Resolves a feed.
    fn check_feed(&self, section: &FeedSection, place: &Place) -> Option<Feeding> {
        let zone = match &section.zone {
            Some(zone) => Some(self.name(zone, &place.key("zone"))?),
            None => None,
        };
        let push = section.push.unwrap_or(false);
        let path = if push {
            section.path.clone()
        } else {
            Some(self.need(&section.path, &place.key("path"))?)
        };
        Some(Feeding::Feed(FeedSource {
            zone,
            path: path.map(|path| self.resolve(Path::new(&path))),
            complete: section.complete.unwrap_or(false),
            push,
        }))
    }

    /// Resolves how a list of domains is asked about.
    fn check_probe(&self, section: &ProbeSection, place: &Place) -> Option<ProbeConfig> {
        let addresses = |list: &Option<Vec<String>>, key: &str| {
            let list = list.as_deref().unwrap_or_default();
            self.socket_addresses(list, &place.key(key), Port::Needed)
        };
        let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        match (has(&section.resolvers), has(&section.roots)) {
            (false, false) => {
                let cure = "add resolvers of your own, or roots";
                self.error(&place.key("resolvers"), "is missing", cure);
            }
            (true, true) => {
                let what = "roots and resolvers exclude each other";
                self.error(&place.key("roots"), what, "remove one of the two");
            }
            _ => {}
        }
        let domains: Option<PathBuf> = self.need(&section.domains, &place.key("domains"));
        let positive = |value: u32, key: &str| {
            if value == 0 {
                self.error(
                    &place.key(key),
                    "must be at least 1",
                    "write a number of 1 or more",
                );
            }
            value
        };
        Some(ProbeConfig {
            resolvers: addresses(&section.resolvers, "resolvers"),
            roots: addresses(&section.roots, "roots"),
            port: positive(section.port.unwrap_or(53).into(), "port") as u16,
            settle: section.settle.unwrap_or(Span::hours(6)),
            timeout: section.timeout.unwrap_or(Span::seconds(3)),
            server_rate: positive(section.server_rate.unwrap_or(10), "server_rate"),
            domains_at_once: positive(
                section.domains_at_once.unwrap_or(32).into(),
                "domains_at_once",
            ) as usize,
            domains: ProbeDomains::List(self.resolve(&domains?)),
        })
    }

    /// Resolves how suspects are asked: a probe of its own, whose domains are the suspects.
    fn check_confirm(&self, written: &Written) -> Option<Source> {
        let confirm = written.detect.confirm.as_ref()?;
        let place = Place(CONFIRM_SOURCE.to_owned());
        let addresses =
            |list: &[String], key: &str| self.socket_addresses(list, &place.key(key), Port::Needed);
        if confirm.resolvers.is_empty() == confirm.roots.is_empty() {
            let what = "detect.confirm needs resolvers of your own, or roots, and not both";
            self.error(&place.key("resolvers"), what, "");
        }
        let counts = [
            ("times", confirm.times),
            ("domains_max", confirm.domains_max),
            ("server_rate", confirm.server_rate),
            ("port", confirm.port.into()),
        ];
        for (key, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
            self.error(
                &place.key(key),
                "must be at least 1",
                "write a number of 1 or more",
            );
        }
        let domains_max = confirm.domains_max as usize;
        Some(Source {
            name: CONFIRM_SOURCE.to_owned(),
            place: place.0.clone(),
            feeding: Feeding::Probe(ProbeConfig {
                domains: ProbeDomains::Suspects {
                    every: confirm.every,
                    times: confirm.times,
                    domains_max,
                },
                resolvers: addresses(&confirm.resolvers, "resolvers"),
                roots: addresses(&confirm.roots, "roots"),
                port: confirm.port,
                settle: confirm.settle,
                timeout: confirm.timeout,
                server_rate: confirm.server_rate,
                domains_at_once: domains_max,
            }),
            schedule: Schedule::Every(confirm.every.min(Span::seconds(60))),
            jitter: Span::seconds(0),
        })
    }

    /// Resolves how a source's zones are transferred.
    fn check_transfer(
        &self,
        section: &TransferSection,
        keys: &HashMap<Name, KeySecret>,
        place: &Place,
    ) -> Option<TransferSettings> {
        let zonemd = section.zonemd.unwrap_or_default();
        if section.ixfr == Some(true) && zonemd == ZonemdRule::Require {
            let what = "zonemd = \"require\" asks for whole zones only";
            self.warn(
                &place.key("ixfr"),
                what,
                "leave ixfr out, or write zonemd = \"auto\"",
            );
        }
        let primaries = self.need(&section.primaries, &place.key("primaries"));
        if primaries.as_ref().is_some_and(Vec::is_empty) {
            let cure = "write [\"192.0.2.1:53\"]";
            self.error(
                &place.key("primaries"),
                "the list is empty: fluxwatch would have no primary to ask",
                cure,
            );
        }
        let tls = section.tls.as_ref().map(|tls| self.check_tls(tls, place));
        let key = section
            .key
            .as_ref()
            .map(|key| self.check_key(key, keys, place));
        let list = primaries.as_deref().unwrap_or_default();
        let addresses = self.socket_addresses(list, &place.key("primaries"), Port::Of53);
        let plain = addresses.iter().position(|address| address.port() == 53);
        if let (Some(i), true) = (plain, tls.is_some()) {
            let what = format!("{} is the port without TLS", addresses[i]);
            self.warn(
                &place.key(&format!("primaries[{i}]")),
                &what,
                "RFC 9103 has port 853",
            );
        }
        // With those alone that are sound the source would ask others than it says.
        let is_whole = addresses.len() == list.len() && !list.is_empty();
        is_whole.then_some(())?;
        Some(TransferSettings {
            primaries: addresses,
            key: key.map_or(Some(None), |key| key.map(Some))?,
            tls,
            // The digest is of the whole zone; history does not hold all of it.
            ixfr: section.ixfr.unwrap_or(true) && zonemd != ZonemdRule::Require,
            full_every: section.full_every.unwrap_or(FullEvery::Auto),
            zonemd,
            notify: section.notify.unwrap_or(true),
        })
    }

    /// Finds a transfer's key.
    fn check_key(&self, key: &str, keys: &HashMap<Name, KeySecret>, place: &Place) -> Option<Name> {
        let name = self.name(key, &place.key("key"))?;
        if keys.contains_key(&name) {
            return Some(name);
        }
        let what = format!("{key:?} has no [[key]] section");
        self.error(&place.key("key"), &what, "add [[key]] with this name");
        None
    }

    /// Resolves how primaries are trusted.
    fn check_tls(&self, tls: &TlsSection, place: &Place) -> TlsSettings {
        if tls.ca_file.is_some() && !tls.pins.is_empty() {
            let what = "ca_file and pins exclude each other";
            self.error(&place.key("tls"), what, "remove one of the two");
        }
        let ca_file = tls.ca_file.as_ref();
        TlsSettings {
            server_name: self
                .need(&tls.server_name, &place.key("tls.server_name"))
                .unwrap_or_default(),
            ca_pem: ca_file.and_then(|path| self.read_authorities(path, &place.key("tls.ca_file"))),
            pins: tls.pins.clone(),
            strict_alpn: tls.strict_alpn,
        }
    }

    /// Parses a source's zone.
    fn apex(&self, zone: &Option<String>, place: &Place) -> Option<Name> {
        let zone = self.need(zone, &place.key("zone"))?;
        self.name(&zone, &place.key("zone"))
    }
}
