//! What history says of a domain, loaded for the detector: the newest first, and no more than there is room for.

use crate::pipeline::findings::Findings;
use crate::pipeline::findings::cuts::{Cuts, seconds_of, were_throughout};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use crate::detector::{AddressWindow, AliasWindow, LeftOut, Moment, NameserverWindow, Stay};
use crate::dns::{Name, Rdata, case_domain};
use crate::pipeline::error::PipelineError;
use crate::store::{EntityKey, Extent, Interval, StoreError, View, ZoneId};
use crate::time::{Span, Timestamp};
/// Of how many instants of an owner the intervals are read in any case: more than any rule asks for to watch it, so
/// that a set of thousands pushes nothing out.
pub(in crate::pipeline) const INSTANTS_MIN: usize = 24;

/// The most owner names of one domain whose addresses are judged.
pub(in crate::pipeline) const OWNERS_JUDGED_MAX: usize = 2000;

/// How far back an owner must have changed its addresses to be judged.
pub(in crate::pipeline) const ADDRESSES_SINCE: Span = Span::days(8);

/// What history says of a domain: a window for each zone that delegates it, and for each of its own names.
#[derive(Debug, Clone, Default)]
pub(in crate::pipeline) struct DomainWindows {
    pub nameservers: Vec<NameserverWindow>,
    /// Those of which nothing can come: they only tell whose addresses are name servers'.
    pub quiet: Vec<NameserverWindow>,
    pub addresses: Vec<AddressWindow>,
    pub aliases: Vec<AliasWindow>,
    /// Those of the name servers that the domain itself has, the nearest zone first; the others are its operator's.
    pub delegations: Vec<Delegation>,
    /// The zone of each of [`DomainWindows::nameservers`] as they were loaded, where it says which of them are used.
    pub zones: Vec<Option<ZoneId>>,
}

/// The name servers that a domain has in a zone.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline) struct Delegation {
    /// Their place among [`DomainWindows::nameservers`].
    pub place: usize,
    /// Whether a zone above the domain says it, which alone tells that the domain is gone.
    pub is_above: bool,
}

impl DomainWindows {
    /// Puts aside the name servers of which nothing can come.
    pub(in crate::pipeline) fn put_aside(&mut self, is_quiet: impl Fn(&NameserverWindow) -> bool) {
        self.quiet
            .extend(self.nameservers.extract_if(.., |it| is_quiet(it)));
    }

    /// Returns what moved of an owner while it was no name server of the domain, as far as is known at `now`; `None` if
    /// it was one throughout. An address belongs to the name servers if its owner was one for half of its time.
    pub(in crate::pipeline) fn own_addresses<'a>(
        &self,
        window: &'a AddressWindow,
        now: Timestamp,
    ) -> Option<Cow<'a, AddressWindow>> {
        let windows = self.nameservers.iter().chain(&self.quiet);
        // What counts where others use it counts once, but for what has the domain's own name.
        let operated = windows
            .clone()
            .filter(|it| it.is_operated && it.owner != window.owner);
        let operated = operated.flat_map(|it| &it.addresses);
        let operated = operated.filter(|(host, _)| *host == window.owner);
        let operated: Vec<&Stay<IpAddr>> = operated.map(|(_, stay)| stay).collect();
        // One that was told when watching began was there before; of one that was told later nobody knows since when.
        let uses = windows.filter(|it| !it.is_operated).flat_map(|it| {
            let uses = it.names.iter().filter(|stay| stay.value == window.owner);
            uses.map(|stay| (stay, stay.baseline && stay.added.at <= it.watched_since))
        });
        let uses: Vec<(&Stay<Name>, bool)> = uses.collect();
        if uses.is_empty() && operated.is_empty() {
            return Some(Cow::Borrowed(window));
        }
        let span = |stay: &Stay<IpAddr>, from: Timestamp, end: Option<Moment>| {
            let left = stay.removed.map_or(now, |end| end.at).min(now);
            let end = end.map_or(left, |end| end.at.min(left));
            (from.max(stay.added.at), end)
        };
        let is_own = |stay: &&Stay<IpAddr>| {
            if operated.iter().any(|it| is_part_of(stay, it)) {
                return false;
            }
            let used = uses.iter().map(|(used, was_before)| match was_before {
                true => span(stay, stay.added.at, used.removed),
                false => span(stay, used.added.at, used.removed),
            });
            let life = [span(stay, stay.added.at, None)].into_iter();
            2 * seconds_of(used) < seconds_of(life)
        };
        let own: Vec<Stay<IpAddr>> = window.addresses.iter().filter(is_own).cloned().collect();
        let is_any = !own.is_empty();
        is_any.then(|| {
            Cow::Owned(AddressWindow {
                addresses: own,
                ..window.clone()
            })
        })
    }

    /// Returns when anything of it changed, in no order.
    pub(in crate::pipeline) fn change_times(&self) -> impl Iterator<Item = Timestamp> {
        let names = self.nameservers.iter().flat_map(|it| &it.names).map(ends);
        let hosts = self.nameservers.iter().flat_map(|it| &it.addresses);
        let hosts = hosts.map(|(_, stay)| ends(stay));
        let addresses = self.addresses.iter().flat_map(|it| &it.addresses).map(ends);
        let aliases = self.aliases.iter().flat_map(|it| &it.targets).map(ends);
        let own = addresses.chain(aliases);
        names.chain(hosts).chain(own).flatten().flatten()
    }

    /// Returns when what is a domain's own changed last, by `now`.
    pub(in crate::pipeline) fn last_change_at(&self, now: Timestamp) -> Option<Timestamp> {
        let names = self.nameservers.iter().flat_map(|it| &it.names).map(ends);
        let hosts = self.nameservers.iter().flat_map(|it| {
            let own = it.addresses.iter();
            own.filter(|(host, _)| host.is_at_or_below(&it.owner))
        });
        let hosts = hosts.map(|(_, stay)| ends(stay));
        let addresses = self.addresses.iter().flat_map(|it| &it.addresses).map(ends);
        let aliases = self.aliases.iter().flat_map(|it| &it.targets).map(ends);
        let own = addresses.chain(aliases);
        let all = names.chain(hosts).chain(own).flatten().flatten();
        all.filter(|at| *at <= now).max()
    }

    /// Returns the end of the latest part that is left out, if any is.
    pub(in crate::pipeline) fn left_out_until(&self) -> Option<Timestamp> {
        let nameservers = self.nameservers.iter().map(|it| &it.left_out);
        let addresses = self.addresses.iter().map(|it| &it.left_out);
        let aliases = self.aliases.iter().map(|it| &it.left_out);
        let parts = nameservers.chain(addresses).chain(aliases);
        parts.flatten().map(|part| part.until).max()
    }
}

/// What is loaded of a domain.
pub(in crate::pipeline) struct Range<'a> {
    /// From when on...
    pub since: Timestamp,
    /// ...and until when.
    pub until: Timestamp,
    /// Of its own names those whose addresses changed after this.
    pub moved_since: Timestamp,
    /// The most closed intervals, in all.
    pub limit: usize,
    /// Where it has many names, those of them that are looked at; `None`: all that changed.
    pub among: Option<&'a BTreeSet<Name>>,
    /// Whether it is only asked when anything changed: what a part had that is left out is not read.
    pub only_times: bool,
    /// Whether it is judged at one time after another: what moved while a zone was not seen is left out of each.
    pub is_replayed: bool,
}

/// How many more intervals of a domain may be loaded, and of which time.
pub(in crate::pipeline) struct Budget {
    pub(in crate::pipeline) extent: Extent,
    registered_at: Option<Timestamp>,
    only_times: bool,
    is_replayed: bool,
}

impl Budget {
    /// Takes what was loaded off.
    pub(in crate::pipeline) fn spend<T>(&mut self, stays: &[Stay<T>]) {
        let closed = stays.iter().filter(|stay| stay.removed.is_some()).count();
        self.extent.limit = self.extent.limit.saturating_sub(closed);
    }
}

impl Findings<'_> {
    /// Returns whether a domain has more names than are judged.
    pub(in crate::pipeline) fn has_many_names(&self, domain: &Name) -> Result<bool, PipelineError> {
        for zone in self.store.zones().zones_enclosing(domain)? {
            if !matches!(zone.view, View::Passive | View::Parent)
                && (self.store)
                    .lookup()
                    .has_more_names(&zone, domain, OWNERS_JUDGED_MAX)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns those of a domain's names that are judged, where a version touched more: those that changed most.
    pub(in crate::pipeline) fn most_changed(
        &self,
        domain: &Name,
        touched: &BTreeSet<Name>,
        range: &Range<'_>,
    ) -> Result<BTreeSet<Name>, PipelineError> {
        if touched.len() <= OWNERS_JUDGED_MAX {
            return Ok(touched.clone());
        }
        let zones = self.store.zones().zones_enclosing(domain)?;
        let mut counted = Vec::new();
        for name in touched {
            let mut count = 0;
            for zone in zones.iter().filter(|zone| zone.is_judged_at(range.until)) {
                let key = EntityKey {
                    zone: zone.id,
                    apex: zone.apex.clone(),
                    owner: name.clone(),
                };
                count += (self.store)
                    .lookup()
                    .closed_count(&key, range.since, range.limit)?;
            }
            counted.push((Reverse(count), name));
        }
        // Reversed counts, then names: the same names are judged each time.
        counted.sort_unstable();
        let most = counted.into_iter().take(OWNERS_JUDGED_MAX);
        Ok(most.map(|(_, name)| name.clone()).collect())
    }

    /// Returns whether a domain, the name servers that it has and its own names that moved lately have more closed
    /// intervals than the range has room for: only counts them. Where it says no, loading them may.
    pub(in crate::pipeline) fn is_busy(
        &self,
        domain: &Name,
        range: &Range<'_>,
    ) -> Result<bool, PipelineError> {
        let mut keys = BTreeSet::new();
        for zone in self.store.zones().zones_enclosing(domain)? {
            if !zone.is_judged_at(range.until) {
                continue;
            }
            let key = EntityKey {
                zone: zone.id,
                apex: zone.apex.clone(),
                owner: domain.clone(),
            };
            let mut is_delegated = false;
            for stay in self.window_until(&key, range.until, range.until)? {
                if let Rdata::Ns(host) = stay.value {
                    keys.extend(self.store.lookup().places_of_host(&host, range.until)?);
                    is_delegated |= zone.apex != *domain;
                }
            }
            if zone.view != View::Parent && !is_delegated {
                let (apex, since) = (&zone.apex, range.moved_since);
                let store = self.store;
                keys.extend(store.lookup().owners_with_new_addresses(
                    zone.id,
                    apex,
                    domain,
                    since,
                    OWNERS_JUDGED_MAX,
                )?);
            }
            keys.insert(key);
        }
        let mut room = range.limit;
        for key in keys {
            let count = self
                .store
                .lookup()
                // One more than there is room for answers the question; counting on would not.
                .closed_count(&key, range.since, room.saturating_add(1))?;
            if count > room {
                return Ok(true);
            }
            room -= count;
        }
        Ok(false)
    }

    /// Loads what history says of a domain, the newest first; what there is no room for is left out.
    pub(in crate::pipeline) fn load_windows(
        &self,
        domain: &Name,
        range: &Range<'_>,
    ) -> Result<DomainWindows, PipelineError> {
        let mut windows = DomainWindows::default();
        let mut budget = Budget {
            extent: Extent {
                since: range.since,
                until: range.until,
                limit: range.limit,
                instants_min: INSTANTS_MIN,
                // A replay asks at one time after another what it has read once.
                is_once: range.is_replayed,
            },
            registered_at: self.registered_at(domain, range.until),
            only_times: range.only_times,
            is_replayed: range.is_replayed,
        };
        for zone in self.store.zones().zones_enclosing(domain)? {
            if !zone.is_judged_at(range.until) {
                continue;
            }
            let (is_parent, apex) = (zone.view == View::Parent, zone.apex);
            let is_above = zone.view == View::Zone && apex != *domain;
            let key = EntityKey {
                zone: zone.id,
                apex: apex.clone(),
                owner: domain.clone(),
            };
            let own = self.load_nameservers(&key, &mut budget)?;
            let operated = match &own {
                Some(own) if !is_parent => self.load_operated(&key, own, range, &mut budget)?,
                _ => None,
            };
            if own.is_some() {
                let place = windows.nameservers.len();
                (windows.delegations).push(Delegation { place, is_above });
            }
            let is_glue_alone = is_parent
                || (own.as_ref()).is_some_and(|own| {
                    let since = range.moved_since.max(own.watched_since);
                    apex != *domain && were_throughout(&own.names, since, range.until)
                });
            windows.zones.extend(own.iter().map(|_| Some(zone.id)));
            windows.zones.extend(operated.iter().map(|_| None));
            windows.nameservers.extend(own.into_iter().chain(operated));
            // What the parent's servers say below the domain is glue, as what the zone has below a delegation is.
            if is_glue_alone {
                continue;
            }
            let owners: Vec<EntityKey> = match range.among {
                Some(among) => {
                    let own = among.iter().filter(|name| name.is_at_or_below(&apex));
                    let key = |name: &Name| EntityKey {
                        zone: zone.id,
                        apex: apex.clone(),
                        owner: name.clone(),
                    };
                    own.map(key).collect()
                }
                None => self.store.lookup().owners_with_new_addresses(
                    zone.id,
                    &apex,
                    domain,
                    range.moved_since,
                    OWNERS_JUDGED_MAX,
                )?,
            };
            let own = |key: &EntityKey| case_domain(&apex, &key.owner) == *domain;
            let owners: Vec<EntityKey> = owners.into_iter().filter(own).collect();
            let names: Vec<&Name> = owners.iter().map(|key| &key.owner).collect();
            let extent = Extent {
                limit: range.limit,
                ..budget.extent
            };
            let cuts = self.cuts_above(zone.id, &apex, &names, &extent)?;
            for key in &owners {
                let (addresses, aliases) = self.load_owner(key, &cuts, &mut budget)?;
                windows.addresses.extend(addresses.map(|it| AddressWindow {
                    lingers: zone.view != View::Zone,
                    ..it
                }));
                windows.aliases.extend(aliases);
            }
        }
        Ok(windows)
    }

    /// Returns when a domain was registered, as the registrar's file says, if that was by `now`.
    pub(in crate::pipeline) fn registered_at(
        &self,
        domain: &Name,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let registration = self.parts.knowledge.registrations.as_ref()?.find(domain)?;
        // A backtest judges at times of the past, at which a later registration was not known.
        Some(registration.created_at).filter(|at| *at <= now)
    }

    /// Returns every new registration of a domain by `until`.
    pub(in crate::pipeline) fn resets(
        &self,
        key: &EntityKey,
        registered_at: Option<Timestamp>,
        until: Timestamp,
    ) -> Result<Vec<Timestamp>, PipelineError> {
        let mut resets = self.store.lookup().registered_anew(key, until)?;
        resets.extend(registered_at);
        Ok(resets)
    }

    /// Loads the name servers of a delegation; `None` if history knows of none.
    pub(in crate::pipeline) fn load_nameservers(
        &self,
        key: &EntityKey,
        budget: &mut Budget,
    ) -> Result<Option<NameserverWindow>, PipelineError> {
        let Extent { since, until, .. } = budget.extent;
        let read = self.store.lookup().newest_intervals(key, &budget.extent)?;
        budget.spend(&read.stays);
        let names: Vec<Stay<Name>> = read.stays.into_iter().filter_map(as_nameserver).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let mut left_out = self.left_out(key, read.cut, since, budget)?;
        // Those that are there now first: of them most is left in where there is no room for all.
        let there = names.iter().filter(|it| it.removed.is_none());
        let there: BTreeSet<&Name> = there.map(|it| &it.value).collect();
        // Each once before they are put in order: in a long history few names come again and again.
        let hosts: HashSet<&Name> = names.iter().map(|it| &it.value).collect();
        let hosts: BTreeSet<(bool, &Name)> = (hosts.into_iter())
            .map(|it| (!there.contains(it), it))
            .collect();
        let mut addresses = Vec::new();
        for (_, host) in hosts {
            let read = self.store.lookup().host_addresses(host, &budget.extent)?;
            budget.spend(&read.stays);
            if let Some(cut) = read.cut {
                let part = left_out.get_or_insert_with(|| LeftOut::until(cut.at));
                part.until = part.until.max(cut.at);
                let places = match budget.only_times {
                    true => Vec::new(),
                    false => self.store.lookup().places_of_host(host, until)?,
                };
                for place in places {
                    let values = self.store.lookup().values_before(&place, &cut, since)?;
                    part.addresses
                        .extend(values.iter().filter_map(Rdata::address));
                }
            }
            let last = match budget.is_replayed || read.stays.is_empty() {
                true => None,
                false => self.last_use(key.zone, &names, host, until)?,
            };
            let stays = read.stays.into_iter();
            let stays = stays.filter(|stay| last.is_none_or(|last| stay.added.at <= last));
            addresses.extend(stays.map(|stay| (host.clone(), stay)));
        }
        Ok(Some(NameserverWindow {
            zone: key.apex.clone(),
            owner: key.owner.clone(),
            watched_since: self
                .store
                .lookup()
                .watched_since(key.zone)?
                .unwrap_or(until),
            names,
            addresses,
            resets: self.resets(key, budget.registered_at, until)?,
            popular: None,
            operated: None,
            left_out,
            is_operated: false,
        }))
    }

    /// Returns the name servers that a domain has at a time, as any zone says.
    pub(in crate::pipeline) fn nameservers_at(
        &self,
        domain: &Name,
        at: Timestamp,
    ) -> Result<BTreeSet<Name>, PipelineError> {
        let mut hosts = BTreeSet::new();
        for zone in self.store.zones().zones_enclosing(domain)? {
            if !zone.is_judged_at(at) {
                continue;
            }
            let key = EntityKey {
                zone: zone.id,
                apex: zone.apex,
                owner: domain.clone(),
            };
            let there = self.window_until(&key, at, at)?.into_iter();
            hosts.extend(there.filter_map(as_nameserver).map(|it| it.value));
        }
        Ok(hosts)
    }

    /// Returns what the part of an owner's history had that is left out.
    pub(in crate::pipeline) fn left_out(
        &self,
        key: &EntityKey,
        cut: Option<Moment>,
        since: Timestamp,
        budget: &Budget,
    ) -> Result<Option<LeftOut>, PipelineError> {
        let Some(cut) = cut else { return Ok(None) };
        let mut part = LeftOut::until(cut.at);
        if budget.only_times {
            return Ok(Some(part));
        }
        for value in self.store.lookup().values_before(key, &cut, since)? {
            part.addresses.extend(value.address());
            if let Rdata::Ns(name) | Rdata::Cname(name) = value {
                part.names.insert(name);
            }
        }
        Ok(Some(part))
    }

    /// Loads an owner's own addresses and its aliases; `None` for what history knows none of.
    pub(in crate::pipeline) fn load_owner(
        &self,
        key: &EntityKey,
        cuts: &Cuts,
        budget: &mut Budget,
    ) -> Result<(Option<AddressWindow>, Option<AliasWindow>), PipelineError> {
        let Extent { since, until, .. } = budget.extent;
        let read = self.store.lookup().newest_intervals(key, &budget.extent)?;
        budget.spend(&read.stays);
        let (mut addresses, mut targets) = (Vec::new(), Vec::new());
        let (zone, owner) = (&key.apex, &key.owner);
        let own = (read.stays.into_iter()).filter_map(|stay| cuts.own_part(owner, zone, stay));
        for interval in own {
            match &interval.value {
                Rdata::Cname(_) => targets.extend(as_alias(interval)),
                _ => addresses.extend(as_address(interval)),
            }
        }
        if addresses.is_empty() && targets.is_empty() {
            return Ok((None, None));
        }
        let watched_since = self
            .store
            .lookup()
            .watched_since(key.zone)?
            .unwrap_or(until);
        let resets = self.resets(key, budget.registered_at, until)?;
        let left_out = self.left_out(key, read.cut, since, budget)?;
        let aliases = (!targets.is_empty()).then(|| AliasWindow {
            zone: zone.clone(),
            owner: owner.clone(),
            watched_since,
            targets,
            resets: resets.clone(),
            popular: None,
            left_out: left_out.clone(),
        });
        let addresses = (!addresses.is_empty()).then(|| AddressWindow {
            zone: zone.clone(),
            owner: owner.clone(),
            watched_since,
            addresses,
            resets,
            left_out,
            lingers: false,
        });
        Ok((addresses, aliases))
    }

    /// Returns an owner's intervals that had begun by `now`.
    pub(in crate::pipeline) fn window_until(
        &self,
        key: &EntityKey,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Interval>, StoreError> {
        Ok(self
            .store
            .lookup()
            .window(key, since)?
            .into_iter()
            .filter(|stay| stay.added.at <= now)
            .collect())
    }
}

/// Returns whether a stay is that of the same address at the same time as another, which may be of more zones.
pub(in crate::pipeline) fn is_part_of(stay: &Stay<IpAddr>, other: &Stay<IpAddr>) -> bool {
    let comes_before_end = |one: &Stay<IpAddr>, other: &Stay<IpAddr>| {
        (other.removed).is_none_or(|end| one.added.at < end.at)
    };
    stay.value == other.value && comes_before_end(stay, other) && comes_before_end(other, stay)
}

/// Returns when a value came, unless it was there when watching began, and when it left.
pub(in crate::pipeline) fn ends<T>(stay: &Stay<T>) -> [Option<Timestamp>; 2] {
    let added = (!stay.baseline).then_some(stay.added.at);
    [added, stay.removed.map(|end| end.at)]
}

/// Returns the interval of an NS record as that of its name server.
pub(in crate::pipeline) fn as_nameserver(interval: Interval) -> Option<Stay<Name>> {
    match interval.value {
        Rdata::Ns(host) => Some(Stay {
            value: host,
            added: interval.added,
            removed: interval.removed,
            baseline: interval.baseline,
        }),
        _ => None,
    }
}

/// Returns the interval of a CNAME record as that of its target.
pub(in crate::pipeline) fn as_alias(interval: Interval) -> Option<Stay<Name>> {
    match interval.value {
        Rdata::Cname(target) => Some(Stay {
            value: target,
            added: interval.added,
            removed: interval.removed,
            baseline: interval.baseline,
        }),
        _ => None,
    }
}

/// Returns the interval of an address record as that of its address.
pub(in crate::pipeline) fn as_address(interval: Interval) -> Option<Stay<IpAddr>> {
    let address = interval.value.address()?;
    Some(Stay {
        value: address,
        added: interval.added,
        removed: interval.removed,
        baseline: interval.baseline,
    })
}
