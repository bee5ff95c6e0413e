//! The queue: which cases fit a filter, in an order, a page at a time.

use std::collections::BTreeMap;

use crate::case::CaseState;
use crate::detector::{Level, Verdict};
use crate::dns::Name;
use crate::store::desk::Desk;
use crate::store::desk::cases::CaseRow;
use crate::store::door::{Each, IntoValue, Numbers, Value};
use crate::store::error::StoreError;
use crate::store::sqlite::dialect::{by_index, rows_of};
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

/// Names that so many cases have are looked for before the rest of a filter: reading the names alone takes half as long as
/// reading every column that is filtered by. What more cases have fills a page soon.
const NAMED_MAX: usize = 1000;

/// Conditions with the values that are bound to them.
struct Conditions {
    sql: String,
    /// The only cases that can fit, if they are known: bound before the others.
    named: Option<Numbers>,
    values: Vec<Value>,
}

impl Conditions {
    /// Returns none.
    fn none() -> Self {
        Self {
            sql: "true".to_owned(),
            named: None,
            values: Vec::new(),
        }
    }

    /// Adds that only these cases can fit.
    fn name_cases(&mut self, ids: Vec<i64>) {
        let list = rows_of("?");
        self.sql = format!("c.id in (select value from {list}) and {}", self.sql);
        self.named = Some(Numbers(ids));
    }

    /// Returns what is bound.
    fn parameters(&self) -> Vec<&dyn IntoValue> {
        let named = self.named.iter().map(|ids| ids as &dyn IntoValue);
        let values = self.values.iter().map(|value| value as &dyn IntoValue);
        named.chain(values).collect()
    }

    /// Returns those that a filter has of the domain's name.
    fn of_name(filter: &QueueFilter) -> Self {
        let mut all = Self::none();
        if let Some(zone) = filter.zone.as_ref().filter(|zone| zone.to_string() != ".") {
            // Most cases are of other zones: one look at their endings settles them.
            all.add(
                "c.domain like ? escape '\\' and (c.domain = ? or c.domain like ? escape '\\')",
            );
            let zone = zone.to_string();
            let ending = format!("%{}", literal(&zone));
            let below = format!("%.{}", literal(&zone));
            all.values.extend([ending, zone, below].map(Value::Text));
        }
        if let Some(text) = &filter.text {
            let pattern = format!("%{}%", literal(text));
            all.add_with("c.domain like ? escape '\\'", Value::Text(pattern));
        }
        all
    }

    /// Returns those that a filter has beside the domain's name.
    fn beside_name(filter: &QueueFilter) -> Self {
        let mut all = Self::none();
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
        let Some(values) = read_place(order, place) else {
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

/// Returns the part of a pattern that stands for a text. Both domains and what is looked for are in lower case.
fn literal(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        // Domains stand in lower case.
        pattern.push(c.to_ascii_lowercase());
    }
    pattern
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

/// Returns whether a text is a place in an order, as a page gives the one after it.
pub fn is_place(order: QueueOrder, text: &str) -> bool {
    read_place(order, text).is_some()
}

/// Reads a place in an order: a value for each of its keys.
fn read_place(order: QueueOrder, place: &str) -> Option<Vec<Value>> {
    let keys = order.keys();
    let parts: Vec<&str> = place.splitn(keys.len(), '~').collect();
    let read = |(part, (column, _)): (&&str, &(&str, bool))| read_key(column, part);
    let values: Option<Vec<Value>> = parts.iter().zip(keys).map(read).collect();
    values.filter(|it| it.len() == keys.len())
}

/// Reads a part of a place.
fn read_key(column: &str, part: &str) -> Option<Value> {
    Some(match column {
        "c.level" => Value::Text(Level::parse(part)?.word().to_owned()),
        "c.domain" => Value::Text(part.to_owned()),
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

/// What is asked of the table of cases.
struct Question {
    /// The index that answers it, in the engine's words; empty where it chooses.
    index: String,
    conditions: Conditions,
}

impl Desk<'_> {
    /// Returns how a filter is asked for, in an order. Few cases with such a name are found first, and named.
    fn question(&self, filter: &QueueFilter, order: QueueOrder) -> Result<Question, StoreError> {
        let mut conditions = Conditions::beside_name(filter);
        let of_name = Conditions::of_name(filter);
        if !of_name.values.is_empty() {
            // Answered from the unique index of domains alone.
            let sql = format!(
                "select c.id from abuse_case c where {} limit {}",
                of_name.sql,
                NAMED_MAX + 1
            );
            let named: Vec<i64> = self
                .store
                .run(|db| db.values(&sql, Each(of_name.parameters())))?;
            if named.len() <= NAMED_MAX {
                conditions.name_cases(named);
                let index = String::new();
                return Ok(Question { index, conditions });
            }
            conditions.add(&of_name.sql);
            conditions.values.extend(of_name.values);
        }
        let index = index_for(filter, order);
        Ok(Question { index, conditions })
    }

    /// Returns the numbers of the cases that fit a filter, in an order, after a place; no more than so many.
    fn ids_in_order(
        &self,
        filter: &QueueFilter,
        order: QueueOrder,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let Question {
            index,
            mut conditions,
        } = self.question(filter, order)?;
        if let Some(place) = after {
            conditions.add_place(order, place);
        }
        let keys = order.keys().iter();
        let keys =
            keys.map(|(column, falls)| format!("{column}{}", if *falls { " desc" } else { "" }));
        let sql = format!(
            "select c.id from abuse_case c {index} where {} order by {} limit {count}",
            conditions.sql,
            keys.collect::<Vec<_>>().join(", "),
        );
        self.store
            .run(|db| db.values(&sql, Each(conditions.parameters())))
    }

    /// Returns a page of the cases that fit a filter, after a place that an earlier page gave.
    pub fn queue_page(
        &self,
        filter: &QueueFilter,
        order: QueueOrder,
        after: Option<&str>,
        count: usize,
    ) -> Result<QueuePage, StoreError> {
        let ids = self.ids_in_order(filter, order, after, count + 1)?;
        self.page_of(ids, order, count)
    }

    /// Returns the first page of the cases that fit a filter, and how many fit, counted no further than
    /// [`COUNTED_MAX`] and one: both with one look.
    pub fn queue_first_page(
        &self,
        filter: &QueueFilter,
        order: QueueOrder,
        count: usize,
    ) -> Result<(QueuePage, u32), StoreError> {
        let ids = self.ids_in_order(filter, order, None, COUNTED_MAX as usize + 1)?;
        let counted = ids.len() as u32;
        Ok((self.page_of(ids, order, count)?, counted))
    }

    /// Returns a page of the cases with these numbers, of which there is one more if another page follows.
    fn page_of(
        &self,
        ids: Vec<i64>,
        order: QueueOrder,
        count: usize,
    ) -> Result<QueuePage, StoreError> {
        let has_more = ids.len() > count;
        let mut rows = Vec::new();
        for id in ids.into_iter().take(count) {
            rows.extend(self.case_by_id(id)?);
        }
        let last = rows.last().filter(|_| has_more);
        Ok(QueuePage {
            next: last.map(|row| place_of(order, row)),
            rows,
        })
    }

    /// Returns how many cases fit a filter, counted no further than a bound and one.
    pub fn queue_count(&self, filter: &QueueFilter, count_max: u32) -> Result<u32, StoreError> {
        let Question { index, conditions } = self.question(filter, QueueOrder::Severity)?;
        let sql = format!(
            "select count(*) from (select 1 from abuse_case c {index} where {} limit {}) found",
            conditions.sql,
            count_max + 1
        );
        self.store
            .run(|db| db.value(&sql, Each(conditions.parameters())))
    }

    /// Returns the numbers of the cases that fit a filter, by number; no more than so many.
    pub fn queue_ids(&self, filter: &QueueFilter, count: usize) -> Result<Vec<i64>, StoreError> {
        let Question { index, conditions } = self.question(filter, QueueOrder::Severity)?;
        let sql = format!(
            "select c.id from abuse_case c {index} where {} order by c.id limit {count}",
            conditions.sql
        );
        self.store
            .run(|db| db.values(&sql, Each(conditions.parameters())))
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
