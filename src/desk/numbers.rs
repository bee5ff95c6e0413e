//! The desk's numbers of a span of time.

use crate::desk::error::DeskError;
use crate::dns::Name;
use crate::pipeline::Pipeline;
use crate::report::{DeskFact, MailFact, Statistics};
use crate::store::{MailKind, Store};
use crate::time::{TimeError, Timestamp};

/// Counts what the desk did in a span of time.
pub fn count(pipeline: &Pipeline, from: Timestamp, to: Timestamp) -> Result<Statistics, DeskError> {
    let store = pipeline.store();
    let registrar = |domain: &Name| {
        let known = pipeline.notify().registration_of(domain);
        known.and_then(|it| it.registrar).unwrap_or_default()
    };
    let facts = store.desk().desk_events(from, to)?.into_iter();
    let facts = facts.map(|it| DeskFact {
        group: (it.zone.to_string(), registrar(&it.domain)),
        case_id: it.case_id,
        at: it.line.event.at,
        opened_at: it.opened_at,
        is_first_step: it.is_first_step,
        by_person: it.line.actor != "fluxwatch",
        from: it.line.event.from,
        to: it.line.event.to,
        dismissed_as: it.dismissed_as,
    });
    let mails = store.desk().mail_counts(from, to)?.into_iter();
    let mails = mails.map(|it| MailFact {
        group: (
            it.zone.map_or_else(String::new, |zone| zone.to_string()),
            it.domain.as_ref().map_or_else(String::new, registrar),
        ),
        is_report: it.kind == MailKind::Report.word(),
        sent: it.sent,
        failed: it.failed,
    });
    let (facts, mails): (Vec<DeskFact>, Vec<MailFact>) = (facts.collect(), mails.collect());
    Ok(Statistics::count(from, to, &facts, &mails))
}

/// Cases of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonthCount {
    /// When it began.
    pub from: Timestamp,
    /// Cases that fluxwatch opened.
    pub opened: u32,
    /// Cases that the desk dismissed.
    pub dismissed: u32,
}

/// Counts the cases of the months up to the one that begins at a time, oldest first.
pub fn count_months(
    store: &Store,
    last: Timestamp,
    months: i64,
) -> Result<Vec<MonthCount>, DeskError> {
    let last = last.month_bucket();
    let starts = (last - months + 1..=last + 1).map(Timestamp::month_start);
    let starts: Vec<Timestamp> = starts.collect();
    let counts = store.desk().opened_and_dismissed(&starts)?;
    let months = starts.iter().zip(counts);
    let months = months.map(|(from, [opened, dismissed])| MonthCount {
        from: *from,
        opened,
        dismissed,
    });
    Ok(months.collect())
}

/// Reads a month, such as 2026-11: when it begins, and when the next does.
pub fn read_month(text: &str) -> Result<(Timestamp, Timestamp), TimeError> {
    Timestamp::parse_absolute(&format!("{text}-01")).map(month_of)
}

/// Returns when the month of a time begins, and when the next does.
pub fn month_of(at: Timestamp) -> (Timestamp, Timestamp) {
    let bucket = at.month_bucket();
    (
        Timestamp::month_start(bucket),
        Timestamp::month_start(bucket + 1),
    )
}
