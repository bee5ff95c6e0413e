//! Mail addresses as they go out: the domain in A-labels, the local part in ASCII.

use crate::dns::Name;

/// Returns a mailbox (`desk@registrar.example`, `Name <desk@registrar.example>`) with its domain in A-labels.
/// A display name stays as it is: it is encoded when the mail is composed.
///
/// # Errors
///
/// A sentence, if the local part is not ASCII or the domain is none. Other faults are found when the address is
/// parsed.
pub(super) fn ascii_mailbox(text: &str) -> Result<String, String> {
    let (before, address, after) = match (text.rfind('<'), text.rfind('>')) {
        (Some(open), Some(close)) if open < close => {
            (&text[..=open], &text[open + 1..close], &text[close..])
        }
        _ => ("", text, ""),
    };
    if address.is_ascii() {
        return Ok(text.to_owned());
    }
    let Some((local, domain)) = address.rsplit_once('@') else {
        return Err(format!("{text:?} is not a mail address: it has no @"));
    };
    if !local.is_ascii() {
        // RFC 6531 §3.2: such an address leaves only if every server on its way has SMTPUTF8.
        return Err(format!(
            "{text:?}: what stands before the @ is not ASCII, and most mail servers refuse it; name an address in ASCII of the same mailbox"
        ));
    }
    let domain = Name::parse(domain)
        .map_err(|fault| format!("{text:?} is not a mail address: {fault}"))?
        .to_text_without_dot();
    Ok(format!("{before}{local}@{domain}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_become_a_labels_and_display_names_stay() {
        for (written, wanted) in [
            ("abuse@registrar.example", "abuse@registrar.example"),
            ("abuse@registrär.example", "abuse@xn--registrr-6za.example"),
            (
                "Bücher-Desk <abuse@BÜCHER.example>",
                "Bücher-Desk <abuse@xn--bcher-kva.example>",
            ),
            (
                "Bücher-Desk <abuse@registrar.example>",
                "Bücher-Desk <abuse@registrar.example>",
            ),
        ] {
            assert_eq!(ascii_mailbox(written).as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn local_parts_that_are_not_ascii_are_refused_with_the_cure() {
        for text in ["müller@registrar.example", "X <müller@registrär.example>"] {
            let fault = ascii_mailbox(text).expect_err(text);
            assert!(fault.contains("name an address in ASCII"), "{fault}");
        }
        assert!(ascii_mailbox("abuse@..ä").is_err() && ascii_mailbox("müller").is_err());
    }
}
