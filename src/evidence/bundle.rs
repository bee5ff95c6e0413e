//! A bundle: what history says about one domain, with what it takes to check that elsewhere.

use serde::{Deserialize, Serialize};

use crate::dns::{Name, Rdata, RecordType, Serial};
use crate::evidence::merkle::{
    ChainHead, Entry, Hash, Op, chain_hash, hash_octets, leaf, root_of_path,
};
use crate::time::Timestamp;

/// The format's name and version.
const FORMAT: &str = "fluxwatch-evidence/1";

/// Everything about one domain.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// `fluxwatch-evidence/1`.
    pub format: String,
    /// The domain, with its final dot.
    pub domain: String,
    /// Unix seconds.
    pub made_at: i64,
    /// The version of the program that made it.
    pub program_version: String,
    /// The zones that hold the domain, or names below it.
    pub zones: Vec<BundleChain>,
    /// The reports that were made about it.
    pub reports: Vec<BundleReport>,
    /// Over the text of the bundle with zeros here.
    seal: Hash,
}

/// A zone's chain of versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleChain {
    /// The apex.
    pub zone: String,
    /// Who says what stands in it: `zone`, `parent` or `child`.
    pub view: String,
    /// The hash before the first link; zeros if that is the zone's first.
    pub before: Hash,
    /// Every version from the first that the domain is in to the newest, in the order of their hashes.
    pub links: Vec<BundleLink>,
}

/// A version, or a cut of retention.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleLink {
    /// Whether it is the state at a cut of retention.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub start: bool,
    /// Unix seconds.
    pub at: i64,
    /// The zone's serial.
    pub serial: Option<u32>,
    /// Over all changes of the version.
    pub root: Hash,
    /// Over this link and the one before.
    pub hash: Hash,
    /// How many owner names the version changed; where there are leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf_count: Option<u64>,
    /// What the version did to the domain and names below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<BundleLeaf>,
}

/// What a version did to one owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleLeaf {
    /// The owner name.
    pub owner: String,
    /// The leaf's place among the version's.
    pub index: u64,
    /// The records.
    pub changes: Vec<BundleChange>,
    /// The hashes beside the way to the root, the nearest first.
    pub path: Vec<Hash>,
}

/// What a version did with one record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleChange {
    /// `added`, `removed`, or `there` when watching began.
    pub op: Op,
    /// The type.
    pub rrtype: String,
    /// The data in presentation form.
    pub rdata: String,
}

/// A report as it was mailed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleReport {
    /// The case's number.
    pub case_id: i64,
    /// The report's revision.
    pub revision: u32,
    /// With its angle brackets.
    pub message_id: String,
    /// The one recipient.
    pub recipient: String,
    /// Unix seconds; `None` if it was not taken by a server yet.
    pub sent_at: Option<i64>,
    /// The newest hash of each zone when it was made.
    pub rests_on: Vec<Hash>,
    /// Of the octets.
    pub sha256: Hash,
    /// The mail; what is not ASCII stands escaped as its transfer encoding has it.
    pub mail: String,
}

/// Why a bundle does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct BundleFault {
    /// Where, in words.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// What was checked in a bundle that holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verified {
    /// Links of chains.
    pub links: u64,
    /// Changes of records.
    pub changes: u64,
    /// Reports.
    pub reports: u64,
    /// The newest hash of each zone: zone, view, hash. To be compared with one that was mailed or logged.
    pub newest: Vec<(String, String, Hash)>,
}

impl Bundle {
    /// Returns an empty bundle about a domain.
    pub fn new(domain: &Name, made_at: Timestamp) -> Self {
        Self {
            format: FORMAT.to_owned(),
            domain: domain.to_string(),
            made_at: made_at.unix(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            zones: Vec::new(),
            reports: Vec::new(),
            seal: Hash::default(),
        }
    }

    /// Returns the bundle's text, sealed.
    pub fn to_text(&self) -> String {
        let mut sealed = self.clone();
        sealed.seal = Hash::default();
        sealed.seal = hash_octets(sealed.text().as_bytes());
        sealed.text()
    }

    /// Returns the text as it is.
    fn text(&self) -> String {
        let text = serde_json::to_string_pretty(self).expect("every key of a bundle is text");
        text + "\n"
    }

    /// Checks the text of a bundle: first every hash in it, which says where, then all of it.
    ///
    /// # Errors
    ///
    /// [`BundleFault`], the first that is found, with where.
    pub fn verify_text(text: &str) -> Result<(Self, Verified), BundleFault> {
        let fault = |place: &str, what: String| BundleFault {
            place: place.to_owned(),
            what,
        };
        let bundle: Self = serde_json::from_str(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            fault(&place, format!("not a bundle: {error}"))
        })?;
        // The parts before the seal: their faults say where, the seal only that something differs.
        let verified = bundle.verify()?;
        let sealed = bundle.to_text();
        if sealed == text {
            return Ok((bundle, verified));
        }
        // The seal is the last line but one.
        let pairs = sealed.lines().zip(text.lines());
        let differs = pairs.enumerate().find(|(_, (ours, theirs))| ours != theirs);
        let (line, is_seal) = differs.map_or((0, false), |(at, (ours, _))| {
            (at + 1, ours.contains("\"seal\""))
        });
        Err(if is_seal {
            fault("bundle", "the seal does not fit: the domain, a time, an address or a number beside the hashes was changed".to_owned())
        } else {
            fault(
                &format!("line {line}"),
                "not in the form that `fluxwatch export` writes".to_owned(),
            )
        })
    }

    /// Checks every hash in the bundle.
    ///
    /// # Errors
    ///
    /// [`BundleFault`], the first that is found, with where.
    pub fn verify(&self) -> Result<Verified, BundleFault> {
        let fault = |what: String| BundleFault {
            place: "bundle".to_owned(),
            what,
        };
        if self.format != FORMAT {
            return Err(fault(format!("format {:?} is not {FORMAT:?}", self.format)));
        }
        let domain = Name::parse(&self.domain)
            .map_err(|error| fault(format!("domain {:?}: {error}", self.domain)))?;
        let mut verified = Verified::default();
        let mut hashes = Vec::new();
        for chain in &self.zones {
            let newest = chain.verify(&domain, &mut verified)?;
            verified
                .newest
                .push((chain.zone.clone(), chain.view.clone(), newest));
            hashes.extend(chain.links.iter().map(|link| link.hash));
            hashes.push(chain.before);
        }
        for report in &self.reports {
            report.verify(&hashes)?;
            verified.reports += 1;
        }
        Ok(verified)
    }
}

impl BundleChain {
    /// Checks the links one after the other. Returns the newest hash.
    fn verify(&self, domain: &Name, verified: &mut Verified) -> Result<Hash, BundleFault> {
        let apex = Name::parse(&self.zone).map_err(|error| BundleFault {
            place: format!("zone {:?}", self.zone),
            what: error.to_string(),
        })?;
        let mut before = self.before;
        for (i, link) in self.links.iter().enumerate() {
            let place = || {
                format!(
                    "zone {apex}, view {}, link {i} of {}",
                    self.view,
                    Timestamp::from_unix(link.at)
                )
            };
            let fault = |what: &str| BundleFault {
                place: place(),
                what: what.to_owned(),
            };
            let head = ChainHead {
                is_start: link.start,
                at: Timestamp::from_unix(link.at),
                serial: link.serial.map(Serial),
            };
            // Whoever changes one link has to change every later one, up to a hash that was mailed or logged.
            if chain_hash(before, &apex, head, link.root) != link.hash {
                return Err(fault(
                    "its hash does not follow from the link before, its time, its serial and its root",
                ));
            }
            before = link.hash;
            for leaf in &link.leaves {
                let root = leaf
                    .root(domain, link.leaf_count.unwrap_or(0))
                    .map_err(|what| fault(&what))?;
                if root != link.root {
                    return Err(fault(&format!(
                        "the changes of {} do not lead to its root",
                        leaf.owner
                    )));
                }
                verified.changes += leaf.changes.len() as u64;
            }
            verified.links += 1;
        }
        Ok(before)
    }
}

impl BundleLeaf {
    /// Returns the root that the leaf leads to; a sentence for one that cannot be read.
    fn root(&self, domain: &Name, count: u64) -> Result<Hash, String> {
        let owner =
            Name::parse(&self.owner).map_err(|error| format!("owner {:?}: {error}", self.owner))?;
        // A bundle about one domain must not carry leaves of others that nobody looks for in it.
        if !owner.is_at_or_below(domain) {
            return Err(format!("{owner} is not a name of {domain}"));
        }
        let mut entries = Vec::new();
        for change in &self.changes {
            let rtype = RecordType::parse(&change.rrtype)
                .ok_or_else(|| format!("{owner}: type {:?} is not kept", change.rrtype))?;
            let rdata = Rdata::parse(rtype, &change.rdata)
                .map_err(|error| format!("{owner} {rtype} {:?}: {error}", change.rdata))?;
            entries.push(Entry::new(change.op, &rdata));
        }
        let leaf = leaf(owner.as_wire(), &mut entries);
        root_of_path(leaf, self.index, count, &self.path)
            .ok_or_else(|| format!("the path of {owner} cannot be one of {count} leaves"))
    }
}

impl BundleReport {
    /// Checks the mail's hash, and that what it rests on is in a chain and printed in it.
    fn verify(&self, hashes: &[Hash]) -> Result<(), BundleFault> {
        let fault = |what: String| BundleFault {
            place: format!(
                "report {} of case {} to {}",
                self.revision, self.case_id, self.recipient
            ),
            what,
        };
        if hash_octets(self.mail.as_bytes()) != self.sha256 {
            return Err(fault("the mail is not the one that was hashed".to_owned()));
        }
        // A line of a mail may be folded by its transfer encoding.
        let unfolded = self.mail.replace("=\r\n", "");
        for hash in &self.rests_on {
            if !hashes.contains(hash) {
                return Err(fault(format!(
                    "it rests on {hash}, which is in no chain here"
                )));
            }
            // Else a report could be said to rest on a hash that it never named.
            if !unfolded.contains(&hash.to_string()) {
                return Err(fault(format!(
                    "it does not print {hash}, on which it is said to rest"
                )));
            }
        }
        Ok(())
    }
}
