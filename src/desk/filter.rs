//! Which case, and which cases.

use crate::case::{CaseState, DeskStep};
use crate::desk::error::DeskError;
use crate::detector::{Level, Verdict};
use crate::dns::Name;
use crate::store::{CaseRow, Store};

/// Which cases are wanted, as it was typed.
#[derive(Debug, Clone, Copy, Default)]
pub struct CaseFilter<'a> {
    /// `FC-3`.
    pub campaign: Option<&'a str>,
    /// At or below it.
    pub zone: Option<&'a str>,
    /// `double-flux` and so on.
    pub verdict: Option<&'a str>,
    /// `report` and so on.
    pub level: Option<&'a str>,
}

impl CaseFilter<'_> {
    /// Returns whether it lets every case through.
    pub fn is_empty(&self) -> bool {
        self.campaign.is_none()
            && self.zone.is_none()
            && self.verdict.is_none()
            && self.level.is_none()
    }

    /// Returns the cases in some states that it lets through, the most certain first.
    ///
    /// # Errors
    ///
    /// [`DeskError::Invalid`] and [`DeskError::Name`] for a filter that cannot be meant.
    pub fn select(&self, store: &Store, states: &[CaseState]) -> Result<Vec<CaseRow>, DeskError> {
        let campaign = self.campaign.map(|text| {
            let fault =
                || DeskError::invalid_field("campaign", format!("{text:?} is none, such as FC-3"));
            read_number(text, "FC-").ok_or_else(fault)
        });
        let campaign = campaign.transpose()?;
        let zone = self.zone.map(parse_name).transpose()?;
        let verdict = self.verdict.map(|word| {
            let words = "double-flux, ns-flux, single-flux";
            let fault =
                || DeskError::invalid_field("verdict", format!("{word:?} is none of {words}"));
            Verdict::parse(word).ok_or_else(fault)
        });
        let verdict = verdict.transpose()?;
        let level = self.level.map(|word| {
            let words = "report, review, watch";
            let fault =
                || DeskError::invalid_field("level", format!("{word:?} is none of {words}"));
            Level::parse(word).ok_or_else(fault)
        });
        let level = level.transpose()?;
        let mut rows = store.desk().cases(states)?;
        rows.retain(|row| {
            let domain = &row.case.domain;
            campaign.is_none_or(|campaign| row.campaign == Some(campaign))
                && zone.as_ref().is_none_or(|zone| domain.is_at_or_below(zone))
                && verdict.is_none_or(|verdict| row.case.verdict == verdict)
                && level.is_none_or(|level| row.case.level == level)
        });
        Ok(rows)
    }
}

/// Which cases a step is for: those that are named, or those that a filter lets through.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Cases by number, reference or domain.
    pub named: &'a [String],
    /// States that the filter looks in; empty for those that the step is usual in.
    pub states: &'a [String],
    /// The filter.
    pub filter: CaseFilter<'a>,
}

impl Selection<'_> {
    /// Returns the cases that are named, in that order; or those in the states that the filter lets through, by number.
    ///
    /// # Errors
    ///
    /// [`DeskError::Invalid`] if both are given; [`DeskError::NotFound`] if there is no such case.
    pub fn select(&self, store: &Store, step: &DeskStep) -> Result<Vec<CaseRow>, DeskError> {
        if !self.named.is_empty() {
            if !self.filter.is_empty() || !self.states.is_empty() {
                let what = "name cases, or give filters, not both";
                return Err(DeskError::invalid(what));
            }
            let named = self.named.iter();
            return named.map(|text| find_case(store, text)).collect();
        }
        let states = if self.states.is_empty() {
            usual_states(step)
        } else {
            parse_states(self.states)?
        };
        let mut rows = self.filter.select(store, &states)?;
        if rows.is_empty() {
            let what = "no case is in these states and fits the filters";
            return Err(DeskError::not_found(what));
        }
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }
}

/// Returns the states in which cases are that a step is usually taken with.
fn usual_states(step: &DeskStep) -> Vec<CaseState> {
    match step {
        DeskStep::Reopen => vec![
            CaseState::Dismissed,
            CaseState::Closed,
            CaseState::Mitigated,
        ],
        DeskStep::Acknowledge => vec![CaseState::Open],
        _ => vec![CaseState::Open, CaseState::Acknowledged],
    }
}

/// Parses states of cases; `all` is each of them.
///
/// # Errors
///
/// [`DeskError::Invalid`].
pub fn parse_states(words: &[String]) -> Result<Vec<CaseState>, DeskError> {
    if words.iter().any(|word| word == "all") {
        return Ok(CaseState::ALL.to_vec());
    }
    let parse = |word: &String| {
        CaseState::parse(word).ok_or_else(|| {
            let words = "open, acknowledged, dismissed, mitigated, closed, all";
            DeskError::invalid_field("state", format!("{word:?} is none of {words}"))
        })
    };
    words.iter().map(parse).collect()
}

/// Finds a case by its number, its reference or its domain.
///
/// # Errors
///
/// [`DeskError::NotFound`]; [`DeskError::Name`].
pub fn find_case(store: &Store, text: &str) -> Result<CaseRow, DeskError> {
    let row = match read_number(text, "FW-") {
        Some(id) => store.desk().case_by_id(id)?,
        None => store.desk().find_case(&parse_name(text)?)?,
    };
    row.ok_or_else(|| {
        DeskError::not_found(format!("no case {text}"))
            .with_hint("`fluxwatch cases list --state all` lists every case")
    })
}

/// Parses a name that was typed or pasted.
fn parse_name(text: &str) -> Result<Name, DeskError> {
    Name::parse_pasted(text).map_err(|fault| DeskError::Name {
        text: text.to_owned(),
        fault,
    })
}

/// Reads a number that may have a word before it, in any case: `2`, `FW-2`, `fw-000002`.
fn read_number(text: &str, word: &str) -> Option<i64> {
    let text = text.trim();
    let digits = match text.split_at_checked(word.len()) {
        Some((start, digits)) if start.eq_ignore_ascii_case(word) => digits,
        _ => text,
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}
