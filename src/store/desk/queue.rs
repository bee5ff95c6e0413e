//! The queue: which cases fit a filter, in an order, a page at a time.

use std::collections::BTreeMap;

use crate::case::CaseState;
use crate::detector::{Level, Verdict};
use crate::dns::Name;
use crate::store::desk::Desk;
use crate::store::desk::cases::CaseRow;
use crate::store::door::{Each, Value};
use crate::store::error::StoreError;
use crate::store::sqlite::dialect::by_index;
use crate::time::Timestamp;

/// Beside a page cases are counted no further than this: a filter that lets more through is not read to its end.
pub const COUNTED_MAX: u32 = 1000;
/// Before a step cases are counted no further than this.
pub const COUNTED_BEFORE_STEP_MAX: u32 = 10_000;

/// Whose cases are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Nobody's.
    Nobodys,
    /// Somebody's.
    Of(String),
}

/// Which cases are wanted; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueFilter {
    /// In any of these states; empty for every state.
    pub states: Vec<CaseState>,
    /// At this level now.
    pub level: Option<Level>,
    /// With this verdict now.
    pub verdict: Option<Verdict>,
    /// About a domain at or below this name.
    pub zone: Option<Name>,
    /// Of this campaign.
    pub campaign: Option<i64>,
    /// Of this assignee, or of none.
    pub whose: Option<Whose>,
    /// First detected at or before this.
    pub first_by: Option<Timestamp>,
    /// With this text in the domain (A-labels, lower case).
    pub text: Option<String>,
    /// With a draft that waits.
    pub has_draft: bool,
}

/// In which order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum QueueOrder {
    /// The highest level first, then the highest score.
    #[default]
    Severity,
    /// The newest change first.
    LastChange,
    /// The oldest case first.
    FirstSeen,
    /// By the domain's text.
    Domain,
}

impl QueueOrder {
    /// Every order.
    pub const ALL: [Self; 4] = [
        Self::Severity,
        Self::LastChange,
        Self::FirstSeen,
        Self::Domain,
    ];

    /// Returns the word in addresses of pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Severity => "severity",
            Self::LastChange => "last-change",
            Self::FirstSeen => "first-seen",
            Self::Domain => "domain",
        }
    }

    /// Returns the order that [`QueueOrder::word`] gave `word` for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.word() == word)
    }

    /// Returns the columns that it sorts by, each with whether it falls.
    fn keys(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Severity => &[("c.level", false), ("c.score", true), ("c.id", false)],
            Self::LastChange => &[("c.last_change_at", true), ("c.id", false)],
            Self::FirstSeen => &[("c.first_detected_at", false), ("c.id", false)],
            Self::Domain => &[("c.domain", false), ("c.id", false)],
        }
    }
}

/// A page of the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuePage {
    /// The cases, in order.
    pub rows: Vec<CaseRow>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// What stands beside a case in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseMailState {
    /// Drafts that wait for approval.
    pub draft_count: u32,
    /// Where the newest message stands: `sent` and so on; `None` without one.
    pub message: Option<String>,
}

/// Conditions with the values that are bound to them.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// Returns those of a filter.
    fn of(filter: &QueueFilter) -> Self {
        let mut all = Self {
            sql: "true".to_owned(),
            values: Vec::new(),
        };
        if !filter.states.is_empty() {
            let marks = vec!["?"; filter.states.len()].join(", ");
            all.add(&format!("c.state in ({marks})"));
            let states = filter.states.iter();
            all.values
                .extend(states.map(|state| Value::Text(state.word().to_owned())));
        }
        if let Some(level) = filter.level {
            all.add_with("c.level = ?", Value::Text(level.word().to_owned()));
        }
        if let Some(verdict) = filter.verdict {
            all.add_with("c.verdict = ?", Value::Text(verdict.word().to_owned()));
        }
        if let Some(campaign) = filter.campaign {
            all.add_with("c.campaign_id = ?", Value::Integer(campaign));
        }
        match &filter.whose {
            Some(Whose::Nobodys) => all.add("c.assignee is null"),
            Some(Whose::Of(name)) => all.add_with("c.assignee = ?", Value::Text(name.clone())),
            None => {}
        }
        if let Some(at) = filter.first_by {
            all.add_with("c.first_detected_at <= ?", Value::Integer(at.unix()));
        }
        if let Some(zone) = filter.zone.as_ref().filter(|zone| zone.to_string() != ".") {
            all.add("(c.domain = ? or substr(c.domain, length(c.domain) - ? + 1) = ?)");
            let below = format!(".{zone}");
            let length = below.chars().count() as i64;
            all.values.extend([
                Value::Text(zone.to_string()),
                Value::Integer(length),
                Value::Text(below),
            ]);
        }
        if let Some(text) = &filter.text {
            all.add_with("c.domain like ? escape '\\'", Value::Text(containing(text)));
        }
        if filter.has_draft {
            all.add("c.id in (select case_id from notice where state = 'drafted')");
        }
        all
    }

    /// Adds a condition.
    fn add(&mut self, condition: &str) {
        self.sql.push_str(" and ");
        self.sql.push_str(condition);
    }

    /// Adds a condition with the value that is bound to it.
    fn add_with(&mut self, condition: &str, value: Value) {
        self.add(condition);
        self.values.push(value);
    }

    /// Adds that a row comes after a place in an order. A place that cannot be read is the beginning.
    fn add_place(&mut self, order: QueueOrder, place: &str) {
        let parts: Vec<&str> = place.splitn(order.keys().len(), '~').collect();
        let values: Option<Vec<Value>> = parts
            .iter()
            .zip(order.keys())
            .map(|(part, (column, _))| read_key(column, part))
            .collect();
        let Some(values) = values.filter(|it| it.len() == order.keys().len()) else {
            return;
        };
        // (a > ?) or (a = ? and ((b < ?) or (b = ? and …)))
        let mut sql = String::new();
        let last = order.keys().len() - 1;
        for (i, (column, falls)) in order.keys().iter().enumerate() {
            let after = if *falls { '<' } else { '>' };
            sql.push_str(&format!("({column} {after} ?"));
            self.values.push(values[i].clone());
            if i < last {
                sql.push_str(&format!(" or ({column} = ? and "));
                self.values.push(values[i].clone());
            }
        }
        sql.push_str(&")".repeat(2 * last + 1));
        self.add(&sql);
    }
}

/// Returns the pattern of every text that contains one. Both domains and what is looked for are in lower case.
fn containing(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        // Domains stand in lower case.
        pattern.push(c.to_ascii_lowercase());
    }
    pattern + "%"
}

/// Returns the index that answers a filter in an order: the one of what few cases have, else the one of the order. Those
/// of orders hold every column that is asked for, so that no row of the table is read but those of the page. Drafts are
/// fewest: their cases are looked up by number.
fn index_for(filter: &QueueFilter, order: QueueOrder) -> String {
    if filter.has_draft {
        return String::new();
    }
    by_index(match (filter.campaign, &filter.whose, order) {
        (Some(_), _, _) => "case_by_campaign",
        (None, Some(Whose::Of(_)), _) => "case_by_assignee",
        (None, _, QueueOrder::Severity) => "case_queue",
        (None, _, QueueOrder::LastChange) => "case_queue_by_change",
        (None, _, QueueOrder::FirstSeen) => "case_queue_by_age",
        (None, _, QueueOrder::Domain) => "case_queue_by_domain",
    })
}

/// Reads a part of a place.
fn read_key(column: &str, part: &str) -> Option<Value> {
    Some(match column {
        "c.level" | "c.domain" => Value::Text(part.to_owned()),
        "c.score" => Value::Real(part.parse().ok()?),
        _ => Value::Integer(part.parse().ok()?),
    })
}

/// Returns the place of a row in an order.
fn place_of(order: QueueOrder, row: &CaseRow) -> String {
    let (id, case) = (row.id, &row.case);
    match order {
        QueueOrder::Severity => format!("{}~{}~{id}", case.level.word(), case.score),
        QueueOrder::LastChange => format!("{}~{id}", case.last_change_at.unix()),
        QueueOrder::FirstSeen => format!("{}~{id}", case.first_detected_at.unix()),
        QueueOrder::Domain => format!("{}~{id}", case.domain),
    }
}

impl Desk<'_> {
    /// Returns a page of the cases that fit a filter, after a place that an earlier page gave.
    pub fn queue_page(
        &self,
        filter: &QueueFilter,
        order: QueueOrder,
        after: Option<&str>,
        count: usize,
    ) -> Result<QueuePage, StoreError> {
        let mut all = Conditions::of(filter);
        if let Some(place) = after {
            all.add_place(order, place);
        }
        let keys = order.keys().iter();
        let keys =
            keys.map(|(column, falls)| format!("{column}{}", if *falls { " desc" } else { "" }));
        let index = index_for(filter, order);
        let sql = format!(
            "select c.id from abuse_case c {index} where {} order by {} limit {}",
            all.sql,
            keys.collect::<Vec<_>>().join(", "),
            count + 1
        );
        let ids: Vec<i64> = self.store.run(|db| db.values(&sql, Each(&all.values)))?;
        let has_more = ids.len() > count;
        let mut rows = Vec::new();
        for id in ids.into_iter().take(count) {
            rows.extend(self.case_by_id(id)?);
        }
        // One more row than was asked for tells whether another page follows, without a second count.
        let last = rows.last().filter(|_| has_more);
        Ok(QueuePage {
            next: last.map(|row| place_of(order, row)),
            rows,
        })
    }

    /// Returns how many cases fit a filter, counted no further than a bound and one.
    pub fn queue_count(&self, filter: &QueueFilter, count_max: u32) -> Result<u32, StoreError> {
        let all = Conditions::of(filter);
        let index = index_for(filter, QueueOrder::Severity);
        let sql = format!(
            "select count(*) from (select 1 from abuse_case c {index} where {} limit {}) found",
            all.sql,
            count_max + 1
        );
        self.store.run(|db| db.value(&sql, Each(&all.values)))
    }

    /// Returns the numbers of the cases that fit a filter, by number; no more than so many.
    pub fn queue_ids(&self, filter: &QueueFilter, count: usize) -> Result<Vec<i64>, StoreError> {
        let all = Conditions::of(filter);
        let index = index_for(filter, QueueOrder::Severity);
        let sql = format!(
            "select c.id from abuse_case c {index} where {} order by c.id limit {count}",
            all.sql
        );
        self.store.run(|db| db.values(&sql, Each(&all.values)))
    }

    /// Returns where the mail of a case stands.
    pub fn case_mail_state(&self, id: i64) -> Result<CaseMailState, StoreError> {
        self.store.run(|db| {
            let sql = "select count(*) from notice where case_id = ? and state = 'drafted'";
            let draft_count = db.value(sql, [id])?;
            let sql = "select coalesce(fate, state)
                         from message
                        where case_id = ? and kind <> 'webhook'
                        order by id desc limit 1";
            let message = db.first_value(sql, [id])?;
            Ok(CaseMailState {
                draft_count,
                message,
            })
        })
    }

    /// Returns how many cases a campaign has.
    pub fn campaign_size(&self, campaign: i64) -> Result<u32, StoreError> {
        let sql = "select count(*) from abuse_case where campaign_id = ?";
        self.store.run(|db| db.value(sql, [campaign]))
    }

    /// Returns how many cases each exemption holds the mail of now, by its number.
    pub fn held_counts(&self) -> Result<BTreeMap<i64, u32>, StoreError> {
        let rows: Vec<(String, u32)> = self.store.run(|db| {
            let sql = "select held, count(*)
                         from abuse_case
                        where held like 'exempt by number %' and state in ('open', 'acknowledged')
                        group by held";
            db.query(sql, (), |row| Ok((row.at(0)?, row.at(1)?)))
        })?;
        let number = |held: &str| held.strip_prefix("exempt by number ")?.parse().ok();
        let counts = rows
            .iter()
            .filter_map(|(held, count)| Some((number(held)?, *count)));
        Ok(counts.collect())
    }

    /// Returns the number of the last line of a case's log; 0 without one.
    pub fn last_event_of(&self, id: i64) -> Result<i64, StoreError> {
        let sql = "select coalesce(max(id), 0) from case_event where case_id = ?";
        self.store.run(|db| db.value(sql, [id]))
    }
}
