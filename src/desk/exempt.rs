//! Exemptions, and the open cases that they touch.

use std::collections::BTreeSet;

use crate::case::{CaseState, Exempt, Exemption, Reach, StopReason, check_reason, reach_of};
use crate::desk::error::DeskError;
use crate::detector::Level;
use crate::listing::parse_addresses;
use crate::pipeline::{Pipeline, ToldEnd, Unsent, Withdrawal};
use crate::store::{COUNTED_BEFORE_STEP_MAX, CaseRow, QueueFilter, QueueOrder, Store, Used};
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
    pub fn read(&self, now: Timestamp) -> Result<Exemption, DeskError> {
        let reason = self.reason.trim();
        if reason.is_empty() {
            return Err(DeskError::invalid("an exemption has a reason"));
        }
        check_reason(reason)
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
pub fn find_same(
    store: &Store,
    exemption: &Exemption,
    now: Timestamp,
) -> Result<Option<Exemption>, DeskError> {
    let mut same = store.desk().exemptions_in_force(now)?.into_iter();
    Ok(same.find(|it| it.covers == exemption.covers))
}

/// An exemption that was added, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Added {
    /// Its number; 0 if it was not added.
    pub id: i64,
    /// The cases of which something waited to leave, and what of each does not any more.
    pub unsent: Vec<(i64, Unsent)>,
    /// The cases whose closure is queued now, and to whom: it waited for one that is exempt, or for the campaign of one.
    pub ended: Vec<ToldEnd>,
}

/// Adds an exemption. Its row says who, when and why. What waits about the cases that it covers is dropped in the same
/// transaction, with a line of their logs for each.
pub fn add(pipeline: &Pipeline, exemption: &Exemption, now: Timestamp) -> Result<Added, DeskError> {
    let store = pipeline.store();
    // What was found is computed before the transaction: nobody else can write during one.
    let covered = cases_covered(pipeline, exemption)?;
    let tx = store.begin_batch()?;
    let id = store.desk().add_exemption(exemption, now)?;
    let mut unsent = Vec::new();
    for case in covered {
        let Some(row) = store.desk().case_by_id(case)? else {
            continue;
        };
        let notify = pipeline.notify();
        let dropped = notify.withdraw(&row, Withdrawal::Everything, StopReason::Exempt(id))?;
        notify.leave_out_of_digest(case, StopReason::Exempt(id))?;
        if dropped != Unsent::default() {
            unsent.push((case, dropped));
        }
    }
    // The end of a campaign may have waited for one that is exempt now, and that of an exempt one for its campaign.
    let ended = pipeline.notify().tell_held_ends()?;
    tx.commit()?;
    Ok(Added { id, unsent, ended })
}

/// [`add`], without doing it.
pub fn preview(pipeline: &Pipeline, exemption: &Exemption) -> Result<Added, DeskError> {
    let mut unsent = Vec::new();
    for case in cases_covered(pipeline, exemption)? {
        let waits = pipeline.notify().unsent_of(case, Withdrawal::Everything)?;
        if waits != Unsent::default() {
            unsent.push((case, waits));
        }
    }
    Ok(Added {
        unsent,
        ..Added::default()
    })
}

/// Returns the cases of which something waits to leave and of which an exemption, with those in force, holds every mail.
///
/// Where what was found has to be looked at, that is done for the first [`JUDGED_MAX`]; the others are asked about when
/// their messages are to leave.
fn cases_covered(pipeline: &Pipeline, exemption: &Exemption) -> Result<Vec<i64>, DeskError> {
    let desk = pipeline.store().desk();
    let mut waiting = desk.cases_with_unsent()?;
    if !exemption.covers.is_of_domain() {
        waiting.truncate(JUDGED_MAX);
    }
    let mut covered = Vec::new();
    for id in waiting {
        if let Some(row) = desk.case_by_id(id)?
            && pipeline.notify().would_exempt(&row, exemption)?
        {
            covered.push(id);
        }
    }
    Ok(covered)
}

/// Ends an exemption, and tells the ends of cases that it held; returns these. Its row says who and when.
///
/// # Errors
///
/// [`DeskError::NotFound`] if none with that number is in force.
pub fn remove(
    pipeline: &Pipeline,
    id: i64,
    who: &str,
    now: Timestamp,
) -> Result<Vec<ToldEnd>, DeskError> {
    let store = pipeline.store();
    let tx = store.begin_batch()?;
    if !store.desk().remove_exemption(id, who, now)? {
        return Err(not_in_force(id));
    }
    let ended = pipeline.notify().tell_released_ends()?;
    tx.commit()?;
    Ok(ended)
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

/// The open cases that an exemption touches.
#[derive(Debug, Clone, PartialEq)]
pub struct Touched {
    /// The cases, and how far it reaches into each.
    pub cases: Vec<(CaseRow, Reach)>,
    /// How many more cases may be touched and were not looked at: each takes a look at its history.
    pub unseen: u32,
}

/// The most cases whose histories are looked at for what an exemption touches.
const JUDGED_MAX: usize = 300;
/// The most cases that are listed where no history has to be looked at.
const LISTED_MAX: usize = 10_000;

/// Returns the open cases that an exemption touches, and how far it reaches.
///
/// A domain, a subtree and an account hold the mail whatever is found, so the cases are found by their names. Of the other
/// kinds those come first that are known to rest on what is exempt, then the most certain ones: each is judged, up to
/// [`JUDGED_MAX`].
pub fn cases_touched(pipeline: &Pipeline, exemption: &Exemption) -> Result<Touched, DeskError> {
    let rows = match &exemption.covers {
        Exempt::Domain(domain) => {
            let row = pipeline.store().desk().find_case(domain)?;
            row.filter(is_open).into_iter().collect()
        }
        Exempt::Subtree(name) => {
            let below = QueueFilter {
                zone: Some(name.clone()),
                ..open_cases()
            };
            let page = pipeline.store().desk().queue_page(
                &below,
                QueueOrder::Severity,
                None,
                LISTED_MAX,
            )?;
            page.rows
        }
        Exempt::Account(account) => cases_of_account(pipeline, account)?,
        _ => return judge_touched(pipeline, exemption),
    };
    let cases = rows.into_iter().map(|row| (row, Reach::Whole)).collect();
    Ok(Touched { cases, unseen: 0 })
}

/// Returns the open cases about domains of an account.
fn cases_of_account(pipeline: &Pipeline, account: &str) -> Result<Vec<CaseRow>, DeskError> {
    let mut rows = Vec::new();
    for domain in pipeline.notify().domains_of_account(account, LISTED_MAX) {
        let row = pipeline.store().desk().find_case(&domain)?;
        rows.extend(row.filter(is_open));
    }
    Ok(rows)
}

/// Returns the filter for what is open or acknowledged.
fn open_cases() -> QueueFilter {
    QueueFilter {
        states: vec![CaseState::Open, CaseState::Acknowledged],
        ..QueueFilter::default()
    }
}

/// Returns whether a case is open or acknowledged.
fn is_open(row: &CaseRow) -> bool {
    row.case.state.is_working()
}

/// Judges the cases that an exemption of name servers or addresses may touch. Below level review nobody is mailed.
fn judge_touched(pipeline: &Pipeline, exemption: &Exemption) -> Result<Touched, DeskError> {
    let desk = pipeline.store().desk();
    let (mut ids, mut count) = (desk.cases_resting_on(&exemption.covers, JUDGED_MAX)?, 0);
    for level in [Level::Report, Level::Review] {
        let filter = QueueFilter {
            level: Some(level),
            ..open_cases()
        };
        count += desk.queue_count(&filter, COUNTED_BEFORE_STEP_MAX)?;
        let page = desk.queue_page(&filter, QueueOrder::Severity, None, JUDGED_MAX)?;
        ids.extend(page.rows.iter().map(|row| row.id));
    }
    let mut seen = BTreeSet::new();
    ids.retain(|id| seen.insert(*id));
    ids.truncate(JUDGED_MAX);
    let unseen = count.saturating_sub(ids.len() as u32);
    let mut cases = Vec::new();
    for id in ids {
        if let Some(row) = desk.case_by_id(id)? {
            let reach = reach_into(pipeline, exemption, &row)?;
            cases.extend(reach.map(|reach| (row, reach)));
        }
    }
    Ok(Touched { cases, unseen })
}

/// Returns how far an exemption reaches into a case; `None`: not at all.
fn reach_into(
    pipeline: &Pipeline,
    exemption: &Exemption,
    row: &CaseRow,
) -> Result<Option<Reach>, DeskError> {
    let domain = &row.case.domain;
    // As of when the case was judged: what is judged now may already rest on other records.
    let found = pipeline.findings().find(domain, row.case.evaluated_at)?;
    let registration = pipeline.notify().registration_of(domain);
    let account = registration.and_then(|it| it.account);
    let finding = found.finding.as_ref();
    Ok(finding.and_then(|finding| reach_of(exemption, finding, account.as_deref())))
}
