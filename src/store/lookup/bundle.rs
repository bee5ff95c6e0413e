//! Gathers what history says about a domain, for a bundle that is checked elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::dns::{Name, Rdata, RecordType};
use crate::evidence::{
    Bundle, BundleChain, BundleChange, BundleLeaf, BundleLink, BundleReport, Entry, Hash, Merkle,
    audit_path, hash_octets,
};
use crate::store::door::params;
use crate::store::error::StoreError;
use crate::store::keys::{View, ZoneId};
use crate::store::ledger::chain::Link;
use crate::store::lookup::Lookup;
use crate::store::lookup::question::{CoveredName, HistoryScope};
use crate::store::zones::enclosing::EnclosingZone;
use crate::time::Timestamp;

/// How many links are read at a time.
const LINKS_AT_A_TIME: usize = 1000;
/// The most names that a bundle is about: it is made in memory.
const BUNDLE_NAMES_MAX: usize = 10_000;

impl Lookup<'_> {
    /// Gathers the bundle about a domain and the names below it, from one state of the database.
    ///
    /// A version's leaves are computed anew to find the paths; a zone's first version takes a moment for
    /// each of its names. What was pruned is not in it: the chain is, from the first version that is
    /// known of the domain on.
    pub fn bundle(&self, domain: &Name, made_at: Timestamp) -> Result<Bundle, StoreError> {
        let _reading = self.store.begin_reading()?;
        let mut bundle = Bundle::new(domain, made_at);
        let names =
            self.covered_names(domain, HistoryScope::AtOrBelow, None, BUNDLE_NAMES_MAX + 1)?;
        if names.len() > BUNDLE_NAMES_MAX {
            return Err(StoreError::TooManyNames(domain.clone(), BUNDLE_NAMES_MAX));
        }
        let mut names = names.as_slice();
        while let Some(first) = names.first() {
            let count = names.iter().take_while(|it| it.zone.id == first.zone.id);
            let (of_zone, rest) = names.split_at(count.count());
            bundle.zones.extend(self.bundle_chain(of_zone)?);
            names = rest;
        }
        bundle.reports = self.bundle_reports(domain)?;
        Ok(bundle)
    }

    /// Gathers the chain of the zone that some names lie in, which are one or more; `None` for one that has none.
    fn bundle_chain(&self, names: &[CoveredName]) -> Result<Option<BundleChain>, StoreError> {
        let Some(zone) = names.first().map(|name| &name.zone) else {
            return Ok(None);
        };
        if zone.view == View::Passive {
            // What others recorded has no chain.
            return Ok(None);
        }
        let owners: Vec<(i64, Name)> = names
            .iter()
            .map(|name| (name.owner_id(), name.owner.clone()))
            .collect();
        let touching = self.versions_touching(zone.id, &owners)?;
        let mut chain = BundleChain {
            zone: zone.apex.to_string(),
            view: zone.view.word().to_owned(),
            before: Hash::default(),
            links: Vec::new(),
        };
        let mut after = 0;
        loop {
            let links = self
                .store
                .ledger()
                .chain_after(zone.id, after, LINKS_AT_A_TIME)?;
            let Some(last) = links.last() else { break };
            after = last.id;
            for link in links {
                let mut told = BundleLink {
                    start: link.head.is_start,
                    at: link.head.at.unix(),
                    serial: link.head.serial.map(|serial| serial.0),
                    root: link.root,
                    hash: link.hash,
                    leaf_count: None,
                    leaves: Vec::new(),
                };
                let touched = touching.get(&link.version_id);
                if let Some(touched) = touched.filter(|_| !link.head.is_start) {
                    let owners: Vec<_> = touched.iter().map(|at| &owners[*at]).collect();
                    self.add_leaves(zone, &owners, &link, &mut told)?;
                }
                if chain.links.is_empty() && told.leaves.is_empty() {
                    // Before anything is known of the domain.
                    chain.before = link.hash;
                    continue;
                }
                chain.links.push(told);
            }
        }
        Ok(Some(chain))
    }

    /// Returns the versions that added or removed a record of some owners, each with the places of those owners.
    fn versions_touching(
        &self,
        zone: ZoneId,
        owners: &[(i64, Name)],
    ) -> Result<BTreeMap<i64, BTreeSet<usize>>, StoreError> {
        let open = "select added_id, null as removed_id from record where owner_id = ?1";
        let past =
            "select added_id, removed_id from past_record where bucket = ?2 and owner_id = ?1";
        let mut versions: BTreeMap<i64, BTreeSet<usize>> = BTreeMap::new();
        for bucket in self.store.zones().buckets_since(zone, None)? {
            for (place, (owner_id, _)) in owners.iter().enumerate() {
                self.store.run(|db| {
                    let mut statement = db.prepare(if bucket == 0 { open } else { past })?;
                    let mut rows = match bucket {
                        0 => statement.rows([owner_id])?,
                        _ => statement.rows([*owner_id, bucket])?,
                    };
                    while let Some(row) = rows.next()? {
                        let ends = [Some(row.get("added_id")?), row.get("removed_id")?];
                        for version_id in ends.into_iter().flatten() {
                            versions.entry(version_id).or_default().insert(place);
                        }
                    }
                    Ok(())
                })?;
            }
        }
        Ok(versions)
    }

    /// Adds what a version did to the domain's names, with their paths.
    fn add_leaves(
        &self,
        zone: &EnclosingZone,
        owners: &[&(i64, Name)],
        link: &Link,
        told: &mut BundleLink,
    ) -> Result<(), StoreError> {
        let version = self.store.ledger().version_key(link.version_id)?;
        let months = self
            .store
            .zones()
            .buckets_since(zone.id, Some(version.at))?;
        let mut touched = Vec::new();
        for (owner_id, owner) in owners {
            let entries = self
                .store
                .ledger()
                .entries_of(&months, *owner_id, version)?;
            if !entries.is_empty() {
                touched.push((*owner_id, owner, entries));
            }
        }
        let (mut ids, mut leaves) = (Vec::new(), Vec::new());
        self.store
            .ledger()
            .each_leaf(zone.id, &zone.apex, version, |owner_id, hash| {
                ids.push(owner_id);
                leaves.push(hash);
            })?;
        let mut tree = Merkle::default();
        leaves.iter().for_each(|leaf| tree.push(*leaf));
        if tree.root() != link.root {
            // An earlier hash of a version that more was added to, or one from before a cut: its leaves are
            // not to be had any more.
            return Ok(());
        }
        told.leaf_count = Some(leaves.len() as u64);
        for (owner_id, owner, mut entries) in touched {
            let Ok(index) = ids.binary_search(&owner_id) else {
                continue;
            };
            entries.sort_unstable();
            told.leaves.push(BundleLeaf {
                owner: owner.to_string(),
                index: index as u64,
                changes: entries
                    .iter()
                    .map(|entry| self.bundle_change(entry))
                    .collect::<Result<_, _>>()?,
                path: audit_path(&leaves, index),
            });
        }
        Ok(())
    }

    /// Returns what was done with a record, in presentation form.
    fn bundle_change(&self, entry: &Entry<'_>) -> Result<BundleChange, StoreError> {
        let rtype = RecordType::from_code(entry.code)
            .ok_or_else(|| self.store.damaged(format!("record type {}", entry.code)))?;
        let rdata = Rdata::from_wire(rtype, &entry.rdata)
            .map_err(|fault| self.store.damaged(fault.to_string()))?;
        Ok(BundleChange {
            op: entry.op,
            rrtype: rtype.mnemonic().to_owned(),
            rdata: rdata.to_string(),
        })
    }

    /// Gathers the reports about a domain.
    fn bundle_reports(&self, domain: &Name) -> Result<Vec<BundleReport>, StoreError> {
        let Some(case) = self.store.desk().find_case(domain)? else {
            return Ok(Vec::new());
        };
        type Row = (u32, String, String, Option<i64>, Vec<u8>);
        let rows: Vec<Row> = self.store.run(|db| {
            let sql = "select revision, message_id, recipient, sent_at, octets
                         from message where case_id = ? order by id";
            db.query(sql, [case.id], |row| {
                Ok((
                    row.get("revision")?,
                    row.get("message_id")?,
                    row.get("recipient")?,
                    row.get("sent_at")?,
                    row.get("octets")?,
                ))
            })
        })?;
        let mut reports = Vec::new();
        for (revision, message_id, recipient, sent_at, octets) in rows {
            let rests_on = self.store.run(|db| {
                let sql = "select hash
                             from report_evidence where case_id = ? and revision = ?
                            order by zone_id";
                db.query(sql, params![case.id, revision], |row| {
                    row.get("hash").map(Hash)
                })
            })?;
            reports.push(BundleReport {
                case_id: case.id,
                revision,
                message_id,
                recipient,
                sent_at,
                rests_on,
                sha256: hash_octets(&octets),
                mail: String::from_utf8(octets)
                    .map_err(|_| self.store.damaged("a mail that is not text"))?,
            });
        }
        Ok(reports)
    }
}
