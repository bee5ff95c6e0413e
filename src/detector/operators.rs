//! Whose name servers are whose: operators, and families of operators whose names differ in their numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::detector::Knowledge;
use crate::detector::timeline::Timeline;
use crate::dns::Name;

/// Under how many suffixes at once a provider's domains must stand to count as one.
const FAMILY_SUFFIXES_MIN: usize = 3;

/// The fewest letters that tell one provider from another.
const FAMILY_LETTERS_MIN: usize = 4;

/// An operator of name servers.
struct Operator {
    name: Name,
    /// As [`operator_family`] tells it.
    family: Option<(String, String)>,
}

/// The operators of the name servers of a replay, each told once: that takes long, and a name server stands in many sets.
pub(super) struct Operators<'a> {
    knowledge: &'a dyn Knowledge,
    of_host: HashMap<&'a Name, u32>,
    by_name: HashMap<Name, u32>,
    all: Vec<Operator>,
}

impl<'a> Operators<'a> {
    /// Returns one that was asked nothing yet.
    pub fn of(knowledge: &'a dyn Knowledge) -> Self {
        Self {
            knowledge,
            of_host: HashMap::new(),
            by_name: HashMap::new(),
            all: Vec::new(),
        }
    }

    /// Returns the number of a name server's operator.
    fn number(&mut self, host: &'a Name) -> u32 {
        if let Some(known) = self.of_host.get(host) {
            return *known;
        }
        let name = self.knowledge.operator(host);
        let all = &mut self.all;
        let number = *self.by_name.entry(name).or_insert_with_key(|name| {
            let family = operator_family(name);
            let name = name.clone();
            all.push(Operator { name, family });
            all.len() as u32 - 1
        });
        self.of_host.insert(host, number);
        number
    }

    /// Returns the operator of a name server.
    pub fn operator(&mut self, host: &'a Name) -> Name {
        let number = self.number(host);
        self.all[number as usize].name.clone()
    }

    /// Returns the operators of a set of name servers, by numbers: in their order, each once.
    pub fn of_set(&mut self, hosts: impl IntoIterator<Item = &'a Name>) -> Vec<u32> {
        let hosts = hosts.into_iter();
        let mut numbers: Vec<u32> = hosts.map(|host| self.number(host)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Returns the family of an operator, and under what it stands; `None` if it is told from others by its name alone.
    fn family(&self, number: u32) -> Option<(&str, &str)> {
        let family = self.all[number as usize].family.as_ref();
        family.map(|(family, suffix)| (family.as_str(), suffix.as_str()))
    }

    /// Returns the family of all operators of a set, if it is one that stands under [`FAMILY_SUFFIXES_MIN`] suffixes at
    /// once: a provider that numbers its domains.
    pub fn one_family(&self, operators: &[u32]) -> Option<&str> {
        if operators.len() < FAMILY_SUFFIXES_MIN {
            return None;
        }
        let (first, _) = self.family(operators[0])?;
        let mut suffixes = BTreeSet::new();
        for number in operators {
            let (family, suffix) = self.family(*number)?;
            if family != first {
                return None;
            }
            suffixes.insert(suffix);
        }
        (suffixes.len() >= FAMILY_SUFFIXES_MIN).then_some(first)
    }

    /// Returns the operators of a set of name servers, one provider once.
    ///
    /// Some providers number their domains and spread each set over top-level domains
    /// (`dns-12.example`, `dns-7.test`, `dns-3.invalid`). Domains that share a first label but for a
    /// number at its end are one operator if one set held them under [`FAMILY_SUFFIXES_MIN`] different
    /// suffixes at once; otherwise each registrable domain counts for itself.
    pub fn count(
        &mut self,
        timeline: &'a Timeline,
        names: &BTreeSet<&'a Name>,
    ) -> BTreeSet<String> {
        let sets = timeline.name_sets.iter().map(|set| self.of_set(set));
        let mut sets: BTreeSet<Vec<u32>> = sets.collect();
        sets.insert(self.of_set(&timeline.names_now));
        let mut families: BTreeSet<&str> = BTreeSet::new();
        let of_week = self.of_set(names.iter().copied());
        for set in sets.iter().filter(|it| it.len() >= FAMILY_SUFFIXES_MIN) {
            let mut suffixes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for (family, suffix) in set.iter().filter_map(|number| self.family(*number)) {
                suffixes.entry(family).or_default().insert(suffix);
            }
            let spread = suffixes
                .into_iter()
                .filter(|(_, suffixes)| suffixes.len() >= FAMILY_SUFFIXES_MIN);
            families.extend(spread.map(|(family, _)| family));
        }
        let operator = |number: u32| {
            let family = self.family(number).map(|(family, _)| family);
            match family.filter(|family| families.contains(family)) {
                Some(family) => family.to_owned(),
                None => self.all[number as usize].name.to_string(),
            }
        };
        of_week.into_iter().map(operator).collect()
    }
}

/// Returns the first label of an operator's domain without a number at its end, and what follows the
/// label; `None` where too few letters are left to tell one provider from another.
fn operator_family(operator: &Name) -> Option<(String, String)> {
    let text = operator.to_text_without_dot();
    let (label, suffix) = text.split_once('.')?;
    let stem = label
        .trim_end_matches(|c: char| c.is_ascii_digit())
        .trim_end_matches('-');
    (stem.len() >= FAMILY_LETTERS_MIN).then(|| (stem.to_owned(), suffix.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_tell_providers_apart_and_words_do() {
        let family =
            |text: &str| operator_family(&Name::parse(text).expect("valid")).map(|it| it.0);
        assert_eq!(family("dnscloud-12.com"), family("dnscloud-07.co.uk"));
        assert_eq!(family("ns1.com"), None, "too few letters to tell");
        assert_ne!(family("apple.test"), family("brick.test"));
    }
}
