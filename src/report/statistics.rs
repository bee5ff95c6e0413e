//! What the desk did in a span of time, for compliance. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::case::{CaseState, DismissReason};
use crate::time::{Span, Timestamp};

/// What happened to a case.
#[derive(Debug, Clone)]
pub struct DeskFact {
    /// The zone and the registrar, as they are counted.
    pub group: (String, String),
    /// The case.
    pub case_id: i64,
    /// When.
    pub at: Timestamp,
    /// When fluxwatch opened the case before it, at first or again for new changes.
    pub opened_at: Timestamp,
    /// Whether nobody took a step with the case between then and this.
    pub is_first_step: bool,
    /// Whether a person did it.
    pub by_person: bool,
    /// The state before.
    pub from: Option<CaseState>,
    /// The state after.
    pub to: CaseState,
    /// Why it was dismissed.
    pub dismissed_as: Option<DismissReason>,
}

/// How many mails.
#[derive(Debug, Clone)]
pub struct MailFact {
    /// The zone and the registrar, as they are counted.
    pub group: (String, String),
    /// First reports of cases.
    pub is_report: bool,
    /// Taken by servers.
    pub sent: u32,
    /// Refused, given up or come back.
    pub failed: u32,
}

/// The numbers of a zone and registrar.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StatisticsRow {
    /// The zone; `all` in the sum.
    pub zone: String,
    /// The registrar; empty where it is not known.
    pub registrar: String,
    /// Cases that opened.
    pub opened: u32,
    /// Cases that opened again.
    pub reopened: u32,
    /// Cases whose first report was sent.
    pub reported: u32,
    /// Cases that were acknowledged.
    pub acknowledged: u32,
    /// Cases that were mitigated.
    pub mitigated: u32,
    /// Cases that were closed.
    pub closed: u32,
    /// Cases that were dismissed, by reason.
    pub dismissed: BTreeMap<&'static str, u32>,
    /// Median seconds from the detection to the desk's first step.
    pub first_review_s: Option<i64>,
    /// Median seconds from the detection to the mitigation, each detection counted once. A detection is when
    /// fluxwatch opened the case, or opened it again for new changes after it was over; that a person reopened a case
    /// starts no new count, since it was not over.
    pub mitigation_s: Option<i64>,
    /// Messages that were sent.
    pub mails_sent: u32,
    /// Messages that failed.
    pub mails_failed: u32,
}

/// The numbers of all.
#[derive(Debug, Clone, Serialize)]
pub struct Statistics {
    /// From when.
    pub from: Timestamp,
    /// Up to when, this left out.
    pub to: Timestamp,
    /// The sum.
    pub all: StatisticsRow,
    /// One a zone and registrar, in order.
    pub rows: Vec<StatisticsRow>,
}

/// A group while it is counted.
#[derive(Default)]
struct Counting {
    row: StatisticsRow,
    reviews: BTreeMap<i64, i64>,
    /// By case and detection: a mitigation that did not last is replaced by the one after it.
    mitigations: BTreeMap<(i64, Timestamp), i64>,
}

impl Statistics {
    /// Counts.
    pub fn count(from: Timestamp, to: Timestamp, facts: &[DeskFact], mails: &[MailFact]) -> Self {
        let mut all = Counting::default();
        let mut groups: BTreeMap<(String, String), Counting> = BTreeMap::new();
        for fact in facts {
            all.add(fact);
            groups.entry(fact.group.clone()).or_default().add(fact);
        }
        for mail in mails {
            all.add_mail(mail);
            groups.entry(mail.group.clone()).or_default().add_mail(mail);
        }
        let finish = |((zone, registrar), counting): ((String, String), Counting)| StatisticsRow {
            zone,
            registrar,
            ..counting.finish()
        };
        Self {
            from,
            to,
            all: StatisticsRow {
                zone: "all".to_owned(),
                ..all.finish()
            },
            rows: groups.into_iter().map(finish).collect(),
        }
    }
}

impl Counting {
    /// Counts what happened to a case.
    fn add(&mut self, fact: &DeskFact) {
        let is_move = fact.from != Some(fact.to);
        let since = fact.at.since(fact.opened_at).max(Span::seconds(0));
        if is_move && fact.by_person && fact.is_first_step && fact.to != CaseState::Open {
            self.reviews
                .entry(fact.case_id)
                .or_insert(since.as_seconds());
        }
        let row = &mut self.row;
        match fact.to {
            _ if !is_move => {}
            CaseState::Open if fact.from.is_none() => row.opened += 1,
            CaseState::Open => row.reopened += 1,
            CaseState::Acknowledged => row.acknowledged += 1,
            CaseState::Mitigated => {
                row.mitigated += 1;
                let detection = (fact.case_id, fact.opened_at);
                self.mitigations.insert(detection, since.as_seconds());
            }
            CaseState::Closed => row.closed += 1,
            CaseState::Dismissed => {
                let reason = fact.dismissed_as.unwrap_or(DismissReason::Other);
                *row.dismissed.entry(reason.word()).or_default() += 1;
            }
        }
    }

    /// Counts mails.
    fn add_mail(&mut self, mail: &MailFact) {
        self.row.reported += if mail.is_report { mail.sent.min(1) } else { 0 };
        self.row.mails_sent += mail.sent;
        self.row.mails_failed += mail.failed;
    }

    /// Returns the numbers.
    fn finish(self) -> StatisticsRow {
        StatisticsRow {
            first_review_s: median(self.reviews.into_values().collect()),
            mitigation_s: median(self.mitigations.into_values().collect()),
            ..self.row
        }
    }
}

/// Returns the middle of some numbers: the lower one of two.
fn median(mut numbers: Vec<i64>) -> Option<i64> {
    numbers.sort_unstable();
    let last = numbers.len().checked_sub(1)?;
    Some(numbers[last / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_by_what_became_of_them_and_notes_are_not() {
        let fact = |case_id, at, from, to, by_person| DeskFact {
            group: ("example.".to_owned(), String::new()),
            case_id,
            at: Timestamp::from_unix(at),
            opened_at: Timestamp::from_unix(0),
            is_first_step: at <= 100 || case_id == 2,
            by_person,
            from,
            to,
            dismissed_as: Some(DismissReason::Migration),
        };
        use CaseState::{Acknowledged, Dismissed, Mitigated, Open};
        let facts = [
            fact(1, 0, None, Open, false),
            fact(1, 100, Some(Open), Acknowledged, true),
            fact(1, 150, Some(Acknowledged), Acknowledged, true),
            // Reopened by a person: the abuse went on.
            fact(1, 200, Some(Acknowledged), Mitigated, true),
            fact(1, 899, Some(Mitigated), Open, true),
            fact(1, 900, Some(Open), Mitigated, true),
            fact(2, 0, None, Open, false),
            fact(2, 300, Some(Open), Dismissed, true),
        ];
        let counted = Statistics::count(
            Timestamp::from_unix(0),
            Timestamp::from_unix(1000),
            &facts,
            &[],
        );
        let all = &counted.all;
        assert_eq!(
            (all.opened, all.acknowledged, all.mitigated, all.closed),
            (2, 1, 2, 0)
        );
        assert_eq!(all.dismissed.get("migration"), Some(&1));
        assert_eq!(
            (all.first_review_s, all.mitigation_s),
            (Some(100), Some(900))
        );
        assert_eq!(counted.rows.len(), 1);
    }
}
