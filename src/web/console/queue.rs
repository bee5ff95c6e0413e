//! The queue: which cases wait, with filters that live in the address of the page.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::case::{CaseState, DismissReason, campaign_reference};
use crate::desk::DeskError;
use crate::desk::filter::{CaseFilter, parse_states};
use crate::desk::pace::change_counts;
use crate::pipeline::Pipeline;
use crate::report::case_reference;
use crate::store::{COUNTED_MAX, CaseRow, QueueFilter, QueueOrder};
use crate::time::Timestamp;
use crate::web::console::reply::{Page, Visit, json_answer};
use crate::web::console::words;
use crate::web::form::{Fields, query_of};

/// How many cases a page has.
const PAGE_COUNT: usize = 50;
/// The fields of the filter, in the order of the form.
const FIELDS: [&str; 10] = [
    "state", "level", "verdict", "zone", "campaign", "assignee", "older", "text", "draft", "sort",
];

/// What the address of a queue page says.
#[derive(Clone)]
pub(in crate::web::console) struct Asked {
    fields: Fields,
    me: String,
}

impl Asked {
    /// Reads a query, or the form of a step with many cases.
    pub fn new(fields: Fields, visit: &Visit) -> Self {
        Self {
            fields,
            me: visit.person.name.clone(),
        }
    }

    /// Returns the filter that is meant.
    ///
    /// # Errors
    ///
    /// [`DeskError::Invalid`] and [`DeskError::Name`].
    pub fn filter(&self, now: Timestamp) -> Result<QueueFilter, DeskError> {
        let states = match self.fields.find("state") {
            None | Some("waiting") => vec![CaseState::Open, CaseState::Acknowledged],
            Some("all") => Vec::new(),
            Some(word) => parse_states(&[word.to_owned()])?,
        };
        let assignee = match self.fields.find("assignee") {
            Some("me") => Some(self.me.as_str()),
            other => other,
        };
        let filter = CaseFilter {
            campaign: self.fields.find("campaign"),
            zone: self.fields.find("zone"),
            verdict: self.fields.find("verdict"),
            level: self.fields.find("level"),
            assignee,
            older: self.fields.find("older"),
            text: self.fields.find("text"),
            has_draft: self.fields.find("draft").is_some(),
        };
        filter.read(&states, now)
    }

    /// Returns the order.
    fn order(&self) -> QueueOrder {
        let word = self.fields.find("sort").unwrap_or_default();
        QueueOrder::parse(word).unwrap_or_default()
    }

    /// Returns the query that says the same, with another value of one field.
    pub fn query(&self, field: &str, value: &str) -> String {
        let said = FIELDS.iter().map(|name| match *name == field {
            true => (*name, value),
            false => (*name, self.fields.find(name).unwrap_or_default()),
        });
        let other = (!FIELDS.contains(&field)).then_some((field, value));
        query_of(said.chain(other))
    }

    /// Returns what the form shows.
    fn form(&self) -> Value {
        let mut form = json!({});
        for name in FIELDS {
            form[name] = json!(self.fields.find(name).unwrap_or_default());
        }
        form
    }
}

/// `GET /cases`.
pub(in crate::web::console) async fn show(
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    let asked = Asked::new(fields, &visit);
    let page = queue(&visit, asked).await;
    visit.answer(page)
}

/// Returns the page.
async fn queue(visit: &Visit, asked: Asked) -> Page {
    let form = asked.form();
    let looked = visit.console.desks.look(move |desk| {
        let now = desk.clock().now();
        // A filter that cannot be meant is said beside the form, with nothing in the list.
        match asked.filter(now) {
            Ok(filter) => list(desk, &asked, &filter, now),
            Err(fault @ (DeskError::Invalid { .. } | DeskError::Name { .. })) => {
                Ok(json!({"rows": [], "count": 0, "next": null, "first": null, "orders": orders(&asked),
                          "query": "", "fault": fault.to_string()}))
            }
            Err(other) => Err(other),
        }
    });
    let mut says = looked.await??;
    says["form"] = form;
    says["reasons"] = json!(DismissReason::ALL.map(DismissReason::word));
    visit.page("queue.html", "Cases", says)
}

/// Returns a page of the cases.
fn list(
    desk: &Pipeline,
    asked: &Asked,
    filter: &QueueFilter,
    now: Timestamp,
) -> Result<Value, DeskError> {
    let store = desk.store();
    let after = asked.fields.find("after");
    let (order, desk_of) = (asked.order(), store.desk());
    let (page, count) = match after {
        None => desk_of.queue_first_page(filter, order, PAGE_COUNT)?,
        Some(_) => (
            desk_of.queue_page(filter, order, after, PAGE_COUNT)?,
            desk_of.queue_count(filter, COUNTED_MAX)?,
        ),
    };
    let mut sizes = BTreeMap::new();
    let rows = page.rows.iter();
    let rows: Result<Vec<Value>, DeskError> =
        rows.map(|row| line(desk, row, now, &mut sizes)).collect();
    Ok(json!({
        "rows": rows?,
        "count": count.min(COUNTED_MAX),
        "has_more": count > COUNTED_MAX,
        "next": page.next.map(|next| asked.query("after", &next)),
        "first": after.map(|_| asked.query("", "")),
        "orders": orders(asked),
        "query": asked.query("", ""),
        "fault": null,
    }))
}

/// Returns the orders to choose from, each with its address.
fn orders(asked: &Asked) -> Vec<Value> {
    let order = |order: QueueOrder| {
        let title = match order {
            QueueOrder::Severity => "Severity",
            QueueOrder::LastChange => "Last change",
            QueueOrder::FirstSeen => "Oldest case",
            QueueOrder::Domain => "Domain",
        };
        json!({"title": title, "word": order.word(), "query": asked.query("sort", order.word()),
               "is_chosen": order == asked.order()})
    };
    QueueOrder::ALL.map(order).to_vec()
}

/// Returns a row of the queue. `sizes` has those of campaigns that earlier rows named.
fn line(
    desk: &Pipeline,
    row: &CaseRow,
    now: Timestamp,
    sizes: &mut BTreeMap<i64, u32>,
) -> Result<Value, DeskError> {
    let (case, store) = (&row.case, desk.store());
    let mail = store.desk().case_mail_state(row.id)?;
    let campaign = match row.campaign {
        Some(campaign) => {
            let size = match sizes.get(&campaign) {
                Some(size) => *size,
                None => store.desk().campaign_size(campaign)?,
            };
            sizes.insert(campaign, size);
            json!({"reference": campaign_reference(campaign), "size": size})
        }
        None => Value::Null,
    };
    let [day, week] = change_counts(store, row)?;
    Ok(json!({
        "id": row.id,
        "reference": case_reference(row.id),
        "domain": words::name(&case.domain),
        "zone": case.zone.to_text_without_dot(),
        "verdict": case.verdict.word(),
        "level": case.level.word(),
        "score": format!("{:.1}", case.score),
        "changes_24h": day,
        "changes_7d": week,
        "first": words::time(case.first_detected_at, now),
        "last": words::time(case.last_change_at, now),
        "campaign": campaign,
        "state": case.state.word(),
        "assignee": case.assignee,
        "drafts": mail.draft_count,
        "mail": mail.message,
    }))
}

/// `GET /cases/count`: how many cases fit, for the line that a script keeps current. No row moves.
pub(in crate::web::console) async fn count(
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    let asked = Asked::new(fields, &visit);
    let counted = visit.console.desks.look(move |desk| {
        let filter = asked.filter(desk.clock().now())?;
        Ok(desk.store().desk().queue_count(&filter, COUNTED_MAX)?)
    });
    match counted.await {
        Ok(Ok(count)) => json_answer(&json!({"count": count})),
        _ => axum::http::StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
