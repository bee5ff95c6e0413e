//! The form of an internationalised name that people read, and whether it may be shown.

use unicode_security::{GeneralSecurityProfile, MixedScript, skeleton};

use crate::dns::Name;

/// A name in its own script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnicodeForm {
    /// It has none beside its letters.
    None,
    /// It may be shown.
    Shown(String),
    /// It could be taken for another name: only the A-labels are shown.
    Withheld,
}

/// Returns a name's form with U-labels (RFC 5890 §2.3.2.1).
///
/// It is withheld if a label mixes scripts, has a character that identifiers do not have, or looks like one
/// of letters, digits and hyphens that it is not (UTS 39 §4, §5).
pub fn unicode_form(name: &Name) -> UnicodeForm {
    let text = name.to_text_without_dot();
    if !text.split('.').any(|label| label.starts_with("xn--")) {
        return UnicodeForm::None;
    }
    let (unicode, outcome) = idna::domain_to_unicode(&text);
    if outcome.is_err() || unicode == text {
        return UnicodeForm::Withheld;
    }
    let may_be_shown = |label: &str| {
        label.is_ascii()
            || (label.is_single_script()
                && label
                    .chars()
                    .all(GeneralSecurityProfile::identifier_allowed)
                && !looks_like_ascii(label))
    };
    if unicode.split('.').all(may_be_shown) {
        UnicodeForm::Shown(unicode)
    } else {
        UnicodeForm::Withheld
    }
}

/// Returns whether what a label looks like (its skeleton, UTS 39 §4) is ASCII.
fn looks_like_ascii(label: &str) -> bool {
    skeleton(label).all(|it| it.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_taken_for_others_are_withheld() {
        for (text, wanted) in [
            ("plain.example", UnicodeForm::None),
            (
                "xn--bcher-kva.example",
                UnicodeForm::Shown("bücher.example".to_owned()),
            ),
            // Latin with one Cyrillic letter.
            ("xn--pypal-4ve.example", UnicodeForm::Withheld),
            // All Cyrillic, and looks like Latin.
            ("xn--80ak6aa92e.example", UnicodeForm::Withheld),
            (
                "xn--e1afmkfd.xn--p1ai",
                UnicodeForm::Shown("пример.рф".to_owned()),
            ),
        ] {
            let name = Name::parse(text).expect("valid");
            assert_eq!(unicode_form(&name), wanted, "{text}");
        }
    }
}
