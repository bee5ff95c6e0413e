//! Which case, and which cases.

use crate::case::{CaseState, DeskStep};
use crate::desk::error::DeskError;
use crate::detector::{Level, Verdict};
use crate::dns::Name;
use crate::store::{CaseRow, QueueFilter, QueueOrder, Store, Whose};
use crate::time::{TimeError, Timestamp};

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
    /// A name; `-` for nobody's.
    pub assignee: Option<&'a str>,
    /// First detected so long ago or longer: `7d`; or by a time.
    pub older: Option<&'a str>,
    /// Text of the domain, in any script.
    pub text: Option<&'a str>,
    /// Only those with a draft that waits.
    pub has_draft: bool,
}

impl CaseFilter<'_> {
    /// Returns whether it lets every case through.
    pub fn is_empty(&self) -> bool {
        let words = [
            self.campaign,
            self.zone,
            self.verdict,
            self.level,
            self.assignee,
            self.older,
            self.text,
        ];
        words.iter().all(Option::is_none) && !self.has_draft
    }

    /// Returns what is meant, for cases in some states.
    ///
    /// # Errors
    ///
    /// [`DeskError::Invalid`] and [`DeskError::Name`] for a filter that cannot be meant.
    pub fn read(&self, states: &[CaseState], now: Timestamp) -> Result<QueueFilter, DeskError> {
        let campaign = self.campaign.map(|text| {
            let fault =
                || DeskError::invalid_field("campaign", format!("{text:?} is none, such as FC-3"));
            read_number(text, "FC-").ok_or_else(fault)
        });
        let verdict = self.verdict.map(|word| {
            let words = "double-flux, ns-flux, single-flux";
            let fault =
                || DeskError::invalid_field("verdict", format!("{word:?} is none of {words}"));
            Verdict::parse(word).ok_or_else(fault)
        });
        let level = self.level.map(|word| {
            let words = "report, review, watch";
            let fault =
                || DeskError::invalid_field("level", format!("{word:?} is none of {words}"));
            Level::parse(word).ok_or_else(fault)
        });
        let first_by = self.older.map(|text| {
            let fault = |fault: TimeError| DeskError::invalid_field("older", fault.to_string());
            Timestamp::parse_argument(text, now).map_err(fault)
        });
        Ok(QueueFilter {
            states: states.to_vec(),
            campaign: campaign.transpose()?,
            zone: self.zone.map(parse_name).transpose()?,
            verdict: verdict.transpose()?,
            level: level.transpose()?,
            whose: self.assignee.map(|name| match name {
                "-" => Whose::Nobodys,
                name => Whose::Of(name.to_owned()),
            }),
            first_by: first_by.transpose()?,
            text: self.text.map(domain_text),
            has_draft: self.has_draft,
        })
    }

    /// Returns the cases in some states that it lets through, the most certain first.
    ///
    /// # Errors
    ///
    /// As [`CaseFilter::read`].
    pub fn select(
        &self,
        store: &Store,
        states: &[CaseState],
        now: Timestamp,
    ) -> Result<Vec<CaseRow>, DeskError> {
        let filter = self.read(states, now)?;
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let page = store.desk().queue_page(
                &filter,
                QueueOrder::Severity,
                after.as_deref(),
                PAGE_COUNT,
            )?;
            rows.extend(page.rows);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        // Of one level and score, by name: what the eye looks for.
        rows.sort_by(|left, right| {
            let (left, right) = (&left.case, &right.case);
            let by_level = right.level.cmp(&left.level);
            let by_score = right.score.total_cmp(&left.score);
            by_level.then(by_score).then(left.domain.cmp(&right.domain))
        });
        Ok(rows)
    }
}

/// How many cases are read at a time.
const PAGE_COUNT: usize = 1000;

/// Returns a text as it stands in domains of the database: lower case, without brackets around dots, U-labels as
/// A-labels where it is a name.
fn domain_text(text: &str) -> String {
    match Name::parse_pasted(text) {
        Ok(name) => name.to_text_without_dot(),
        Err(_) => text.to_lowercase().replace("[.]", "."),
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
    pub fn select(
        &self,
        store: &Store,
        step: &DeskStep,
        now: Timestamp,
    ) -> Result<Vec<CaseRow>, DeskError> {
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
        let mut rows = self.filter.select(store, &states, now)?;
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
    let row = match read_number(text, CASE_WORD) {
        Some(id) => store.desk().case_by_id(id)?,
        None => store.desk().find_case(&parse_name(text)?)?,
    };
    row.ok_or_else(|| {
        DeskError::not_found(format!("no case {text}"))
            .with_hint("`fluxwatch cases list --state all` lists every case")
    })
}

/// Returns the domain of the case that a text refers to, as listings do: `FW-000002`. `None` for any other text.
///
/// # Errors
///
/// [`DeskError::NotFound`] if there is no such case.
pub fn domain_of_reference(store: &Store, text: &str) -> Result<Option<Name>, DeskError> {
    let start = text.trim().get(..CASE_WORD.len());
    let is_reference = start.is_some_and(|start| start.eq_ignore_ascii_case(CASE_WORD))
        && read_number(text, CASE_WORD).is_some();
    match is_reference {
        true => Ok(Some(find_case(store, text)?.case.domain)),
        false => Ok(None),
    }
}

/// What the reference of a case begins with.
const CASE_WORD: &str = "FW-";

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
