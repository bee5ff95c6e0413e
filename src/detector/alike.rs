//! Whether one name is another with a slip of the finger.

use crate::dns::{Name, label_text};

/// The most slips between two names: from one mistyped name to another there are two.
const SLIPS_MAX: usize = 2;

/// The fewest letters of a label in which a slip is told from another name: `a` and `b` are two names.
const LABEL_LETTERS_MIN: usize = 6;

/// Returns whether two names of as many labels are at most [`SLIPS_MAX`] slips apart, all of letters in long labels:
/// `ns1` and `ns2` are numbered, `awsdns` and `awsdsn` are mistyped. Takes time for the product of the lengths of
/// labels, at most 63 each.
pub(super) fn is_slip_of(one: &Name, other: &Name) -> bool {
    if one.label_count() != other.label_count() {
        return false;
    }
    let mut slips = 0;
    let labels = one.labels().zip(other.labels());
    for labels in labels.filter(|(one, other)| one != other) {
        let [one, other] = <[&[u8]; 2]>::from(labels).map(label_text);
        if one.len().abs_diff(other.len()) > SLIPS_MAX {
            return false;
        }
        let letters = [&one, &other].map(|label| {
            let octets = label.bytes();
            octets.filter(|octet| !octet.is_ascii_digit())
        });
        let is_long = (letters.iter()).all(|it| it.clone().count() >= LABEL_LETTERS_MIN);
        let [of_one, of_other] = letters;
        if !is_long || of_one.eq(of_other) {
            return false;
        }
        slips += distance(one.as_bytes(), other.as_bytes());
    }
    (1..=SLIPS_MAX).contains(&slips)
}

/// Returns how many octets are to be inserted, taken away, exchanged, or to change places with the next (optimal
/// string alignment).
fn distance(one: &[u8], other: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for i in 0..one.len() {
        let mut row = vec![i + 1];
        for j in 0..other.len() {
            let exchanged = above[j] + usize::from(one[i] != other[j]);
            let mut least = exchanged.min(row[j] + 1).min(above[j + 1] + 1);
            if i > 0 && j > 0 && one[i] == other[j - 1] && one[i - 1] == other[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_alike_and_numbers_and_other_names_are_not() {
        let alike = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|text| Name::parse(text).expect("valid"));
            is_slip_of(&one, &other)
        };
        assert!(alike("ns1.provider.test", "ns1.provdier.test"));
        assert!(alike("ns1.provdier.test", "ns1.provider-.test"));
        assert!(!alike("ns1.provider.test", "ns2.provider.test"));
        assert!(!alike("ns1.dnshost4.test", "ns1.dnshost15.test"));
        assert!(!alike("ns1.quail.test", "ns1.otter.test"));
        assert!(!alike("ns1.a.test", "ns1.b.test"));
    }
}
