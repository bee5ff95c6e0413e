//! Catalog zones (RFC 9432): the list of an operator's zones, itself a zone.
//!
//! A catalog that breaks a rule of the RFC is refused whole: half a list would look as if the rest had
//! been taken out of service.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::dns::{Name, RecordType};
use crate::source::wire::{TYPE_PTR, TYPE_TXT, WireRecord};
use crate::source::xfr::frame::TransferFault;
use crate::source::xfr::whole::WholeSink;
use crate::zone::Refusal;

/// The versions of the format that are understood.
const VERSION: &[u8] = b"2";
/// The most octets of a property's text that are kept.
const TEXT_OCTETS_MAX: usize = 255;

/// A zone that a catalog lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogMember {
    /// Its apex.
    pub zone: Name,
    /// The group that its operator put it into.
    pub group: Option<String>,
    /// The catalog that it may move to.
    pub change_of_ownership: Option<Name>,
}

/// What a catalog lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalog {
    /// Members by their unique label: hexadecimal or whatever the operator chose, in presentation form.
    pub members: BTreeMap<String, CatalogMember>,
}

/// What is known of a member while the catalog is read.
#[derive(Debug, Default)]
struct Draft {
    zones: BTreeSet<Name>,
    groups: BTreeSet<String>,
    owners: BTreeSet<Name>,
}

/// Reads a catalog from the records of its transfer.
pub(super) struct CatalogReader<'a> {
    apex: &'a Name,
    versions: BTreeSet<Vec<u8>>,
    drafts: HashMap<String, Draft>,
    members_max: u64,
    fault: Option<Refusal>,
}

impl<'a> CatalogReader<'a> {
    /// Starts the catalog at `apex`.
    pub fn new(apex: &'a Name, members_max: u64) -> Self {
        Self {
            apex,
            versions: BTreeSet::new(),
            drafts: HashMap::new(),
            members_max,
            fault: None,
        }
    }

    /// Checks the catalog and returns it.
    pub fn finish(self) -> Result<Catalog, Refusal> {
        let broken = |what: String| Refusal::Malformed(format!("catalog {}: {what}", self.apex));
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        // RFC 9432 §4.2.1: one version property, of a version that is understood.
        if self.versions.len() != 1 || self.versions.first().map(Vec::as_slice) != Some(VERSION) {
            let found: Vec<_> = self
                .versions
                .iter()
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .collect();
            return Err(broken(format!("version is {found:?}, not \"2\"")));
        }
        let mut catalog = Catalog::default();
        let mut seen: HashMap<Name, String> = HashMap::new();
        for (label, draft) in self.drafts {
            // RFC 9432 §4.1: properties of a label that lists no zone mean nothing.
            let mut zones = draft.zones.into_iter();
            let Some(zone) = zones.next() else { continue };
            if let Some(second) = zones.next() {
                // RFC 9432 §4.1: one PTR record a label.
                return Err(broken(format!(
                    "label {label} lists both {zone} and {second}"
                )));
            }
            if let Some(other) = seen.insert(zone.clone(), label.clone()) {
                // RFC 9432 §4.1: a zone is listed once.
                return Err(broken(format!(
                    "{zone} is listed as {other} and as {label}"
                )));
            }
            // RFC 9432 §4.3.1: two owners are none. §4.3.2 lets a consumer choose what two groups are: here none too.
            let one_group = (draft.groups.len() == 1).then(|| draft.groups.into_iter().next());
            let one_owner = (draft.owners.len() == 1).then(|| draft.owners.into_iter().next());
            let member = CatalogMember {
                zone,
                group: one_group.flatten(),
                change_of_ownership: one_owner.flatten(),
            };
            catalog.members.insert(label, member);
        }
        Ok(catalog)
    }

    /// Reads a record of the catalog.
    fn read(&mut self, record: &WireRecord<'_>) -> Result<(), Refusal> {
        let malformed = |fault: crate::dns::NameError| Refusal::Malformed(fault.to_string());
        let owner = Name::from_wire(record.owner).map_err(malformed)?;
        let labels: Vec<&[u8]> = owner.labels().collect();
        let depth = labels.len() - self.apex.label_count();
        match (&labels[..depth], record.code) {
            ([version], TYPE_TXT) if *version == b"version" => {
                insert_few(&mut self.versions, text_of(record.rdata));
            }
            ([label, zones], TYPE_PTR) if *zones == b"zones" => {
                let zone = Name::from_wire(record.rdata).map_err(malformed)?;
                insert_few(&mut self.draft(label)?.zones, zone);
            }
            // RFC 9432 §4.3.2.
            ([property, label, zones], TYPE_TXT) if *zones == b"zones" && *property == b"group" => {
                let text = String::from_utf8_lossy(&text_of(record.rdata)).into_owned();
                insert_few(&mut self.draft(label)?.groups, text);
            }
            // RFC 9432 §4.3.1: change of ownership.
            ([property, label, zones], TYPE_PTR) if *zones == b"zones" && *property == b"coo" => {
                let owner = Name::from_wire(record.rdata).map_err(malformed)?;
                insert_few(&mut self.draft(label)?.owners, owner);
            }
            // RFC 9432 §4: what is not known is passed over.
            _ => {}
        }
        Ok(())
    }

    /// Returns the draft of a label.
    fn draft(&mut self, label: &[u8]) -> Result<&mut Draft, Refusal> {
        let label = label.escape_ascii().to_string();
        if self.drafts.len() as u64 >= self.members_max && !self.drafts.contains_key(&label) {
            return Err(Refusal::Limit(format!(
                "catalog {} has more than members_max = {} members",
                self.apex, self.members_max
            )));
        }
        Ok(self.drafts.entry(label).or_default())
    }
}

impl WholeSink for CatalogReader<'_> {
    fn take(&mut self, _: &[u8], _: RecordType, _: u32, _: &[u8]) -> Result<(), TransferFault> {
        // Its NS record, and whatever else stands in it.
        Ok(())
    }

    fn take_other(&mut self, record: &WireRecord<'_>) {
        if self.fault.is_none() {
            self.fault = self.read(record).err();
        }
    }
}

/// Notes a value of a property. Two are enough to know that there is more than one.
fn insert_few<T: Ord>(set: &mut BTreeSet<T>, value: T) {
    if set.len() < 2 {
        set.insert(value);
    }
}

/// Returns the strings of a TXT record (RFC 1035 §3.3.14), joined.
fn text_of(mut rdata: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some((length, rest)) = rdata.split_first() {
        let (string, rest) = rest.split_at(rest.len().min(*length as usize));
        text.extend_from_slice(string);
        rdata = rest;
    }
    text.truncate(TEXT_OCTETS_MAX);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a catalog `cat.test.` of PTR and TXT records.
    fn read(records: &[(&str, &str, &str)]) -> Result<Catalog, String> {
        let apex = Name::parse("cat.test").expect("valid");
        let mut reader = CatalogReader::new(&apex, 3);
        for (owner, rtype, data) in records {
            let owner = Name::parse(&format!("{owner}.cat.test")).expect("valid");
            let (code, rdata) = match *rtype {
                "PTR" => (
                    TYPE_PTR,
                    Name::parse(data).expect("valid").as_wire().to_vec(),
                ),
                _ => (TYPE_TXT, [&[data.len() as u8], data.as_bytes()].concat()),
            };
            reader.take_other(&WireRecord::of_a_test(owner.as_wire(), code, &rdata));
        }
        reader.finish().map_err(|refusal| refusal.to_string())
    }

    const VERSION: (&str, &str, &str) = ("version", "TXT", "2");

    #[test]
    fn members_come_with_their_properties() {
        let catalog = read(&[
            VERSION,
            ("a1.zones", "PTR", "one.example."),
            ("group.a1.zones", "TXT", "gold"),
            ("b2.zones", "PTR", "two.example."),
            ("coo.b2.zones", "PTR", "other.test."),
            ("unknown.b2.zones", "TXT", "passed over"),
            ("group.c3.zones", "TXT", "of nobody"),
        ])
        .expect("sound");
        assert_eq!(catalog.members.len(), 2);
        assert_eq!(catalog.members["a1"].group.as_deref(), Some("gold"));
        let owner = catalog.members["b2"].change_of_ownership.as_ref();
        assert_eq!(owner.map(Name::to_string).as_deref(), Some("other.test."));
    }

    #[test]
    fn broken_catalogs_are_refused_whole() {
        let one = ("a1.zones", "PTR", "one.example.");
        for (records, words) in [
            (vec![one], "version"),
            (vec![("version", "TXT", "3"), one], "version"),
            (vec![VERSION, ("version", "TXT", "1"), one], "version"),
            (
                vec![VERSION, one, ("a1.zones", "PTR", "two.example.")],
                "both",
            ),
            (
                vec![VERSION, one, ("b2.zones", "PTR", "one.example.")],
                "listed as",
            ),
            (
                vec![
                    VERSION,
                    one,
                    ("b.zones", "PTR", "b.test."),
                    ("c.zones", "PTR", "c.test."),
                    ("d.zones", "PTR", "d.test."),
                ],
                "members_max",
            ),
        ] {
            let fault = read(&records).expect_err(words);
            assert!(fault.contains(words), "{fault}");
        }
    }
}
