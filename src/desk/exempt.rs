//! Exemptions, and the open cases that they touch.

use crate::case::{CaseState, Exempt, Exemption, Reach, check_reason_length, reach_of};
use crate::desk::error::DeskError;
use crate::listing::parse_addresses;
use crate::pipeline::Pipeline;
use crate::store::{CaseRow, Store, Used};
use crate::time::{Span, Timestamp};

/// An exemption, as it was typed.
#[derive(Debug, Clone, Copy)]
pub struct WantedExemption<'a> {
    /// `domain`, `nameserver` and so on.
    pub kind: &'a str,
    /// The name, the address or the account.
    pub value: &'a str,
    /// Why.
    pub reason: &'a str,
    /// When it ends: a time to come, or a span from now.
    pub until: Option<&'a str>,
    /// Who sets it up.
    pub author: &'a str,
}

impl WantedExemption<'_> {
    /// Returns the exemption that is meant, with no number yet.
    ///
    /// # Errors
    ///
    /// [`DeskError::Invalid`].
    pub fn read(&self, now: Timestamp) -> Result<Exemption, DeskError> {
        let reason = self.reason.trim();
        if reason.is_empty() {
            return Err(DeskError::invalid("an exemption has a reason"));
        }
        check_reason_length(reason)
            .map_err(|fault| DeskError::invalid_field("reason", fault.to_string()))?;
        let addresses = |text: &str| match parse_addresses(text)? {
            Used::Addresses(first, last) => Some((first, last)),
            _ => None,
        };
        let covers = Exempt::parse(self.kind, self.value, addresses).map_err(DeskError::invalid)?;
        let until = self.until.map(|text| read_until(text, now)).transpose()?;
        Ok(Exemption {
            id: 0,
            covers,
            reason: reason.to_owned(),
            author: self.author.to_owned(),
            until,
        })
    }
}

/// Reads when an exemption ends: a time to come, or a span from now.
fn read_until(text: &str, now: Timestamp) -> Result<Timestamp, DeskError> {
    let until = match Span::parse(text) {
        Ok(span) => now + span,
        Err(_) => Timestamp::parse_absolute(text)
            .map_err(|fault| DeskError::invalid_field("until", fault.to_string()))?,
    };
    if until > now {
        Ok(until)
    } else {
        Err(DeskError::invalid_field(
            "until",
            format!("{until} is over"),
        ))
    }
}

/// Returns the exemption in force that covers the same already.
///
/// # Errors
///
/// [`DeskError::Store`].
pub fn find_same(
    store: &Store,
    exemption: &Exemption,
    now: Timestamp,
) -> Result<Option<Exemption>, DeskError> {
    let mut same = store.desk().exemptions_in_force(now)?.into_iter();
    Ok(same.find(|it| it.covers == exemption.covers))
}

/// Adds an exemption. Its row says who, when and why. Returns its number.
///
/// # Errors
///
/// [`DeskError::Store`].
pub fn add(store: &Store, exemption: &Exemption, now: Timestamp) -> Result<i64, DeskError> {
    Ok(store.desk().add_exemption(exemption, now)?)
}

/// Ends an exemption. Its row says who and when.
///
/// # Errors
///
/// [`DeskError::NotFound`] if none with that number is in force.
pub fn remove(store: &Store, id: i64, who: &str, now: Timestamp) -> Result<(), DeskError> {
    if store.desk().remove_exemption(id, who, now)? {
        Ok(())
    } else {
        Err(not_in_force(id))
    }
}

/// [`remove`], without doing it.
///
/// # Errors
///
/// As that.
pub fn check_removal(store: &Store, id: i64, now: Timestamp) -> Result<(), DeskError> {
    let row = store.desk().exemption(id)?;
    if row.is_some_and(|row| row.is_in_force(now)) {
        Ok(())
    } else {
        Err(not_in_force(id))
    }
}

/// Returns the error for a number that is not, or no longer, that of an exemption.
fn not_in_force(id: i64) -> DeskError {
    DeskError::not_found(format!("no exemption {id} is in force"))
}

/// Returns the open cases that an exemption touches, and how far it reaches.
///
/// # Errors
///
/// [`DeskError::Pipeline`].
pub fn cases_touched(
    pipeline: &Pipeline,
    exemption: &Exemption,
) -> Result<Vec<(CaseRow, Reach)>, DeskError> {
    let mut touched = Vec::new();
    let open = [CaseState::Open, CaseState::Acknowledged];
    for row in pipeline.store().desk().cases(&open)? {
        let domain = &row.case.domain;
        let Some(finding) = pipeline
            .findings()
            // As of when the case was judged: what is judged now may already rest on other records.
            .find(domain, row.case.evaluated_at)?
            .finding
        else {
            continue;
        };
        let account = pipeline
            .notify()
            .registration_of(domain)
            .and_then(|it| it.account);
        if let Some(reach) = reach_of(exemption, &finding, account.as_deref()) {
            touched.push((row, reach));
        }
    }
    Ok(touched)
}
