//! Whose word the addresses of a name server are.
//!
//! Anybody can open a zone of any name at a host of zones, and move in it what looks like somebody else's name servers. So
//! what a hosted zone says of them is held against others only where the zone is known to be delegated to where it is
//! hosted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::detector::{
    DetectPolicy, Level, NameserverWindow, PlaneFinding, Stay, evaluate_nameservers,
    review_unproven,
};
use crate::dns::{Name, Rdata, case_domain};
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::Findings;
use crate::pipeline::findings::find::INTERVALS_MAX;
use crate::pipeline::findings::windows::{ADDRESSES_SINCE, INSTANTS_MIN, as_address, is_part_of};
use crate::store::{EnclosingZone, EntityKey, Extent, View};
use crate::time::Timestamp;

impl Findings<'_> {
    /// Holds a plane at review that is at report only by what hosted zones of others say of its name servers, of which nobody
    /// knows that they are delegated to where they are hosted.
    pub(in crate::pipeline) fn judge_unproven(
        &self,
        window: &NameserverWindow,
        policy: &DetectPolicy,
        plane: &mut PlaneFinding,
    ) -> Result<(), PipelineError> {
        if plane.level != Some(Level::Report) {
            return Ok(());
        }
        let now = plane.now;
        let hosts: BTreeSet<&Name> = window.addresses.iter().map(|(host, _)| host).collect();
        let (mut told, mut unproven) = (BTreeMap::new(), BTreeSet::new());
        for host in hosts {
            let mut zones = self.store.zones().zones_enclosing(host)?;
            zones.retain(|zone| zone.is_judged_at(now));
            let mut others = Vec::new();
            for (at, zone) in zones.iter().enumerate() {
                if !self.is_proven(zone, host, window, now)? {
                    others.push(at);
                }
            }
            if !others.is_empty() {
                unproven.extend(others.iter().map(|at| zones[*at].apex.clone()));
                let proven = zones.iter().enumerate();
                let proven = proven.filter(|(at, _)| !others.contains(at));
                told.insert(host, self.told_by(proven.map(|(_, zone)| zone), host, now)?);
            }
        }
        if unproven.is_empty() {
            return Ok(());
        }
        let is_told = |(host, stay): &&(Name, Stay<IpAddr>)| {
            (told.get(host)).is_none_or(|told| told.iter().any(|it| is_part_of(stay, it)))
        };
        let without = NameserverWindow {
            addresses: window.addresses.iter().filter(is_told).cloned().collect(),
            ..window.clone()
        };
        let without = evaluate_nameservers(&without, policy, &self.parts.knowledge, now);
        if without.level < Some(Level::Report) {
            review_unproven(plane, &unproven);
        }
        Ok(())
    }

    /// Returns the addresses that some zones say a name server has.
    fn told_by<'z>(
        &self,
        zones: impl Iterator<Item = &'z EnclosingZone>,
        host: &Name,
        now: Timestamp,
    ) -> Result<Vec<Stay<IpAddr>>, PipelineError> {
        let extent = Extent {
            since: now - self.config.detect.memory,
            until: now,
            limit: INTERVALS_MAX,
            instants_min: INSTANTS_MIN,
            is_once: true,
        };
        let mut told = Vec::new();
        for zone in zones {
            let key = key_in(zone, host);
            let read = self.store.lookup().newest_intervals(&key, &extent)?;
            told.extend(read.stays.into_iter().filter_map(as_address));
        }
        Ok(told)
    }

    /// Returns whether what a zone says of a name server counts against whoever is judged: it is the zone that the judged
    /// name is of, a registry's, what a probe has seen, or known to be delegated to where it is hosted.
    fn is_proven(
        &self,
        zone: &EnclosingZone,
        host: &Name,
        window: &NameserverWindow,
        now: Timestamp,
    ) -> Result<bool, PipelineError> {
        let is_of_judged = zone.apex == window.zone || zone.apex == window.owner;
        let is_registry = case_domain(&zone.apex, host) != zone.apex;
        if zone.view != View::Zone || is_of_judged || is_registry {
            return Ok(true);
        }
        let own = self.nameservers_lately(zone, &zone.apex, now)?;
        for above in self.store.zones().zones_enclosing(&zone.apex)? {
            let is_above = match above.view {
                View::Zone => above.apex != zone.apex,
                View::Parent => true,
                View::Child | View::Passive => false,
            };
            if !is_above || !above.is_judged_at(now) {
                continue;
            }
            let told = self.nameservers_lately(&above, &zone.apex, now)?;
            if above.view == View::Zone || !told.is_empty() {
                return Ok(!told.is_disjoint(&own));
            }
        }
        Ok(false)
    }

    /// Returns the name servers that a name had in a zone in the last days.
    fn nameservers_lately(
        &self,
        zone: &EnclosingZone,
        owner: &Name,
        now: Timestamp,
    ) -> Result<BTreeSet<Name>, PipelineError> {
        let there = self.window_until(&key_in(zone, owner), now - ADDRESSES_SINCE, now)?;
        let there = there.into_iter();
        let hosts = there.filter_map(|it| match it.value {
            Rdata::Ns(host) => Some(host),
            _ => None,
        });
        Ok(hosts.collect())
    }
}

/// Returns where a name stands in a zone.
fn key_in(zone: &EnclosingZone, owner: &Name) -> EntityKey {
    EntityKey {
        zone: zone.id,
        apex: zone.apex.clone(),
        owner: owner.clone(),
    }
}
