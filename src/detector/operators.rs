//! Whose name servers are whose: operators, and families of operators whose names differ in their numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::detector::Knowledge;
use crate::detector::timeline::Timeline;
use crate::dns::Name;

/// Under how many suffixes at once a provider's domains must stand to count as one.
const FAMILY_SUFFIXES_MIN: usize = 3;

/// The fewest letters that tell one provider from another.
const FAMILY_LETTERS_MIN: usize = 4;

/// Returns the family of all operators of a set of name servers, if it is one that stands under
/// [`FAMILY_SUFFIXES_MIN`] suffixes at once: a provider that numbers its domains.
pub(super) fn one_family(operators: &BTreeSet<Name>) -> Option<String> {
    if operators.len() < FAMILY_SUFFIXES_MIN {
        return None;
    }
    let parts = operators.iter().map(operator_family);
    let parts: Vec<(String, String)> = parts.collect::<Option<_>>()?;
    let families: BTreeSet<&String> = parts.iter().map(|(family, _)| family).collect();
    let suffixes: BTreeSet<&String> = parts.iter().map(|(_, suffix)| suffix).collect();
    let is_one = families.len() == 1 && suffixes.len() >= FAMILY_SUFFIXES_MIN;
    is_one.then(|| parts[0].0.clone())
}

/// Returns the operators of a set of name servers, one provider once.
///
/// Some providers number their domains and spread each set over top-level domains
/// (`dns-12.example`, `dns-7.test`, `dns-3.invalid`). Domains that share a first label but for a
/// number at its end are one operator if one set held them under [`FAMILY_SUFFIXES_MIN`] different
/// suffixes at once; otherwise each registrable domain counts for itself.
pub(super) fn count_operators(
    timeline: &Timeline,
    names: &BTreeSet<&Name>,
    knowledge: &dyn Knowledge,
) -> BTreeSet<String> {
    let mut families: BTreeSet<String> = BTreeSet::new();
    // A name server stands in many sets, and its operator takes long to tell.
    let mut known: HashMap<&Name, Option<(String, String)>> = HashMap::new();
    let now: Vec<Name> = timeline.names_now.iter().cloned().collect();
    for set in timeline.name_sets.iter().chain([&now]) {
        for host in set {
            if !known.contains_key(host) {
                known.insert(host, operator_family(&knowledge.operator(host)));
            }
        }
        let mut suffixes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (family, suffix) in set.iter().filter_map(|host| known[host].as_ref()) {
            suffixes.entry(family).or_default().insert(suffix);
        }
        let spread = suffixes
            .into_iter()
            .filter(|(_, suffixes)| suffixes.len() >= FAMILY_SUFFIXES_MIN);
        families.extend(spread.map(|(family, _)| family.to_owned()));
    }
    let operator = |name: &&Name| {
        let operator = knowledge.operator(name);
        let family = operator_family(&operator).map(|(family, _)| family);
        family
            .filter(|family| families.contains(family))
            .unwrap_or_else(|| operator.to_string())
    };
    names.iter().map(operator).collect()
}

/// Returns the first label of an operator's domain without a number at its end, and what follows the
/// label; `None` where too few letters are left to tell one provider from another.
pub(super) fn operator_family(operator: &Name) -> Option<(String, String)> {
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
