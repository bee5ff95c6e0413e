//! Checks what fits its key alone and not the rest of the file: zones that no source has, addresses that two
//! listen on, waits without end.

use crate::config::resolved::FeedSource;
use std::net::SocketAddr;

use crate::config::check::Checker;
use crate::config::resolved::{Config, Feeding, Source};
use crate::config::written::{Every, FullEvery, KindSection, Written};
use crate::dns::Name;
use crate::time::Span;

/// The longest wait that a key takes, a leap year: whoever writes more meant another unit.
const WAIT_MAX: Span = Span::days(366);
/// How many edits make a name of the one that was meant.
// With more, short names of different zones would pass for each other's slips.
const EDITS_MAX: usize = 2;

/// Which zones the sources bring.
struct Watched<'a> {
    /// Those that sources name.
    zones: Vec<&'a Name>,
    /// Below which names a catalog may have members.
    scopes: Vec<&'a Name>,
    /// Whether a source may bring any zone: a feed without one, or a probe.
    is_open: bool,
}

impl<'a> Watched<'a> {
    /// Collects what sources bring.
    fn new(sources: &'a [Source]) -> Self {
        let mut watched = Self {
            zones: sources.iter().filter_map(Source::zone).collect(),
            scopes: Vec::new(),
            is_open: false,
        };
        // What is asked about suspects alone brings no zone.
        for source in sources.iter().filter(|it| is_written(it)) {
            match &source.feeding {
                Feeding::Catalog(catalog) => watched.scopes.extend(&catalog.scope),
                Feeding::Feed(FeedSource { zone: None, .. }) | Feeding::Probe(_) => {
                    watched.is_open = true;
                }
                Feeding::Feed(FeedSource {
                    zone: Some(zone), ..
                }) => watched.zones.push(zone),
                Feeding::Transfer(_) | Feeding::Zonefile(_) => {}
            }
        }
        watched
    }

    /// Returns whether a source that does not name its zones may bring this one.
    fn may_bring(&self, zone: &Name) -> bool {
        self.is_open || self.scopes.iter().any(|scope| zone.is_at_or_below(scope))
    }

    /// Returns the zone that a name is a slip of, if there is one.
    fn nearest(&self, name: &Name) -> Option<&Name> {
        let edits = |zone: &Name| strsim::osa_distance(&zone.to_string(), &name.to_string());
        let near = self.zones.iter().map(|zone| (edits(zone), *zone));
        let near = near.filter(|(edits, _)| (1..=EDITS_MAX).contains(edits));
        near.min_by_key(|(edits, _)| *edits).map(|(_, zone)| zone)
    }
}

impl Checker<'_> {
    /// Warns of sections about zones that no source brings.
    pub(super) fn check_watched(&self, written: &Written, config: &Config) {
        // A source with a fault may be the one that brings it, and without sources all is told already.
        let whole = config.sources.iter().filter(|it| is_written(it)).count();
        if written.source.is_empty() || whole != written.source.len() {
            return;
        }
        let watched = Watched::new(&config.sources);
        for (i, section) in written.zone.iter().enumerate() {
            self.check_brought(&section.name, &format!("zone[{i}].name"), &watched);
        }
        for (i, section) in written.recipient.iter().enumerate() {
            self.check_brought(&section.zone, &format!("recipient[{i}].zone"), &watched);
        }
        if let Some(canary) = &config.canary {
            let domain = &canary.domain;
            let is_below = |zone: &&Name| domain.is_at_or_below(zone);
            if !watched.zones.iter().any(is_below) && !watched.may_bring(domain) {
                let what = format!("{domain} is in no zone that a source brings");
                let cure = "write a domain of a watched zone, or add a source of its zone";
                self.warn("canary.domain", &what, cure);
            }
        }
    }

    /// Warns of a zone that no source brings. Where a catalog or an open feed may bring it, only a slip is told.
    fn check_brought(&self, name: &Option<String>, key: &str, watched: &Watched<'_>) {
        let Some(name) = name.as_ref().and_then(|name| Name::parse(name).ok()) else {
            return;
        };
        if watched.zones.contains(&&name) {
            return;
        }
        let near = watched.nearest(&name);
        if near.is_none() && watched.may_bring(&name) {
            return;
        }
        let cure = match near {
            Some(near) => format!("did you mean {:?}?", near.to_string()),
            None => "add a source of this zone, or take the section out".to_owned(),
        };
        self.warn(key, &format!("no source has the zone {name}"), &cure);
    }

    /// Refuses one address for two of `[notify]`, `[metrics]` and `[web]`: each listens on TCP.
    pub(super) fn check_listeners(&self, config: &Config) {
        let notify = config.notify.iter().flat_map(|it| &it.listen);
        let notify = notify.map(|address| ("notify.listen", *address));
        let metrics = config.metrics.iter().filter_map(|it| it.listen);
        let metrics = metrics.map(|address| ("metrics.listen", address));
        let web = config.web.iter().map(|it| ("web.listen", it.listen));
        let all: Vec<(&str, SocketAddr)> = notify.chain(metrics).chain(web).collect();
        for (i, (key, address)) in all.iter().enumerate() {
            let mut before = all[..i].iter();
            let other = before.find(|(other, it)| other != key && do_collide(*it, *address));
            if let Some((other, taken)) = other {
                let what = format!("{address} collides with {other}, {taken}");
                self.error(key, &what, "give each a port of its own");
            }
        }
    }

    /// Refuses waits that are longer than [`WAIT_MAX`].
    pub(super) fn check_waits(&self, written: &Written) {
        for (key, span) in waits(written) {
            if let Some(span) = span.filter(|span| *span > WAIT_MAX) {
                let what = format!("{span} is more than a year");
                self.error(
                    &key,
                    &what,
                    &format!("write {:?} or less", WAIT_MAX.to_string()),
                );
            }
        }
    }
}

/// Returns whether a source is a `[[source]]`, and not made for `[detect.confirm]`.
fn is_written(source: &Source) -> bool {
    source.place.starts_with("source[")
}

/// Returns whether two cannot both listen: the same port at the same address, or one of them at all addresses.
fn do_collide(left: SocketAddr, right: SocketAddr) -> bool {
    let is_everywhere = left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() == right.port() && left.port() != 0 && (left.ip() == right.ip() || is_everywhere)
}

/// Returns every wait that is written or has a default, with its key.
fn waits(written: &Written) -> Vec<(String, Option<Span>)> {
    let mut all = Vec::new();
    for (i, source) in written.source.iter().enumerate() {
        let Some(source) = source else { continue };
        let mut add = |key: &str, span| all.push((format!("source[{i}].{key}"), span));
        if let Some(Every::Span(span)) = source.common.every {
            add("every", Some(span));
        }
        add("jitter", source.common.jitter);
        let full_every = match &source.kind {
            KindSection::Transfer(transfer) => transfer.full_every,
            KindSection::Catalog(catalog) => catalog.full_every,
            KindSection::Probe(probe) => {
                add("settle", probe.settle);
                add("timeout", probe.timeout);
                None
            }
            KindSection::Zonefile(_) | KindSection::Feed(_) => None,
        };
        if let Some(FullEvery::Span(span)) = full_every {
            add("full_every", Some(span));
        }
    }
    let mut add = |key: &str, span| all.push((key.to_owned(), span));
    let limits = &written.limits;
    add("limits.connect", Some(limits.connect));
    add("limits.idle", Some(limits.idle));
    add("limits.transfer", Some(limits.transfer));
    add(
        "canary.every",
        written.canary.as_ref().and_then(|it| it.every),
    );
    if let Some(confirm) = &written.detect.confirm {
        add("detect.confirm.every", Some(confirm.every));
        add("detect.confirm.settle", Some(confirm.settle));
        add("detect.confirm.timeout", Some(confirm.timeout));
    }
    if let Some(report) = &written.report {
        add("report.repeat", report.repeat);
        add("report.update_after", Some(report.update_after));
    }
    add("smtp.give_up", written.smtp.as_ref().map(|it| it.give_up));
    all
}
