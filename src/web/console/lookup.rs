//! Looking up any name, name server, address or prefix: records, changes, and the difference of two times.

use std::collections::BTreeSet;

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};

use crate::desk::DeskError;
use crate::desk::filter::domain_of_reference;
use crate::dns::Name;
use crate::listing::{WantedText, parse_addresses, wrong_prefix};
use crate::pipeline::Pipeline;
use crate::report::case_reference;
use crate::store::{ChangeRow, History, HistoryScope, RecordRow, Used, Wanted};
use crate::time::Timestamp;
use crate::web::console::reply::{Page, Visit};
use crate::web::form::Fields;

/// The most names that one look-up covers.
const NAMES_MAX: usize = 200;
/// The most rows of each table.
const ROWS_MAX: usize = 300;

/// `GET /lookup`.
pub(in crate::web::console) async fn show(
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    let page = lookup(&visit, fields).await;
    visit.answer(page)
}

/// Returns the page.
async fn lookup(visit: &Visit, fields: Fields) -> Page {
    let mut says = json!({});
    for name in ["q", "type", "since", "until", "one", "other", "used"] {
        says[name] = json!(fields.find(name).unwrap_or_default());
    }
    let looked = visit
        .console
        .desks
        .look_up(move |desk| match answer(desk, &fields) {
            Err(fault @ (DeskError::Invalid { .. } | DeskError::Name { .. })) => {
                Ok(json!({"fault": fault.to_string()}))
            }
            found => found,
        });
    let found = looked.await??;
    says["records"] = json!([]);
    says["changes"] = json!([]);
    says["gone"] = json!([]);
    says["new"] = json!([]);
    says["has_difference"] = json!(false);
    says["is_asked"] = json!(false);
    says["is_cut"] = json!(false);
    says["case"] = Value::Null;
    says["fault"] = Value::Null;
    for (name, value) in found.as_object().into_iter().flatten() {
        says[name] = value.clone();
    }
    visit.page("lookup.html", "Look up", says)
}

/// Returns what is found.
fn answer(desk: &Pipeline, fields: &Fields) -> Result<Value, DeskError> {
    let Some(question) = fields.find("q") else {
        return Ok(json!({}));
    };
    let invalid = |sentence: String| DeskError::Invalid {
        field: None,
        sentence,
    };
    let now = desk.clock().now();
    let text = WantedText {
        types: fields.find("type").into_iter().collect(),
        at: None,
        since: fields.find("since"),
        until: fields.find("until"),
    };
    let wanted = text.parse(now).map_err(invalid)?;
    if let Some(used) = parse_addresses(question) {
        return used_by(desk, &used, &wanted, now);
    }
    if let Some(what) = wrong_prefix(question) {
        return Err(invalid(what));
    }
    let (is_below, name) = match domain_of_reference(desk.store(), question)? {
        Some(domain) => (false, domain),
        None => Name::parse_wild(question).map_err(|fault| DeskError::Name {
            text: question.to_owned(),
            fault,
        })?,
    };
    if fields.find("used").is_some() {
        return used_by(desk, &Used::Host(name), &wanted, now);
    }
    let scope = match is_below {
        true => HistoryScope::Below,
        false => HistoryScope::AtOrBelow,
    };
    let mut says = of_name(desk, &name, scope, &wanted)?;
    if let Some((one, other)) = fields.find("one").zip(fields.find("other")) {
        let time = |text: &str| {
            Timestamp::parse_argument(text, now).map_err(|fault| invalid(fault.to_string()))
        };
        let one = state_at(desk, &name, scope, time(one)?)?;
        let other = state_at(desk, &name, scope, time(other)?)?;
        says["gone"] = json!(one.difference(&other).collect::<Vec<_>>());
        says["new"] = json!(other.difference(&one).collect::<Vec<_>>());
        says["has_difference"] = json!(true);
    }
    let case = desk.store().desk().find_case(&name)?;
    says["case"] = json!(case.map(|it| case_reference(it.id)));
    Ok(says)
}

/// Returns the history of a name and what is below it.
fn history(
    desk: &Pipeline,
    name: &Name,
    scope: HistoryScope,
    wanted: &Wanted,
) -> Result<(History, bool), DeskError> {
    let lookup = desk.store().lookup();
    let names = lookup.covered_names(name, scope, None, NAMES_MAX + 1)?;
    let mut history = History::default();
    for name in names.iter().take(NAMES_MAX) {
        history.add(lookup.history_of(name, wanted)?);
    }
    history.sort();
    Ok((history, names.len() > NAMES_MAX))
}

/// Returns the tables of a name.
fn of_name(
    desk: &Pipeline,
    name: &Name,
    scope: HistoryScope,
    wanted: &Wanted,
) -> Result<Value, DeskError> {
    let (history, has_more) = history(desk, name, scope, wanted)?;
    let now = desk.clock().now();
    let is_cut = has_more || history.records.len() > ROWS_MAX || history.changes.len() > ROWS_MAX;
    let records = history
        .records
        .iter()
        .rev()
        .take(ROWS_MAX)
        .map(|row| record(row, now));
    let changes = history.changes.iter().rev().take(ROWS_MAX).map(change);
    Ok(
        json!({"records": records.collect::<Vec<_>>(), "changes": changes.collect::<Vec<_>>(), "is_cut": is_cut, "is_asked": true}),
    )
}

/// Returns a record as the page has it.
fn record(row: &RecordRow, now: Timestamp) -> Value {
    let end = row.removed_at.unwrap_or(now);
    let hours = end.since(row.added_at).as_hours();
    json!({"name": row.owner.to_text_without_dot(), "type": row.rdata.rtype().mnemonic(), "data": row.rdata.to_string(),
           "from": row.added_at.to_minute(), "is_baseline": row.baseline, "until": row.removed_at.map(Timestamp::to_minute),
           "hours": format!("{hours:.1}"), "zone": row.zone.to_text_without_dot()})
}

/// Returns a change as the page has it.
fn change(row: &ChangeRow) -> Value {
    let texts = |data: &[crate::dns::Rdata]| -> Vec<String> {
        data.iter().map(ToString::to_string).collect()
    };
    json!({"at": row.at.to_table(), "name": row.owner.to_text_without_dot(), "type": row.rtype.mnemonic(),
           "serial": row.serial.map(|it| it.to_string()), "removed": texts(&row.removed), "added": texts(&row.added), "is_bulk": row.bulk,
           "is_drift": row.drift})
}

/// Returns what was there at a time.
fn state_at(
    desk: &Pipeline,
    name: &Name,
    scope: HistoryScope,
    at: Timestamp,
) -> Result<BTreeSet<String>, DeskError> {
    let (history, _) = history(desk, name, scope, &Wanted::at(at))?;
    let line = |row: &RecordRow| {
        let name = row.owner.to_text_without_dot();
        format!("{name} {} {}", row.rdata.rtype().mnemonic(), row.rdata)
    };
    Ok(history.records.iter().map(line).collect())
}

/// Returns who used a name server or an address.
fn used_by(
    desk: &Pipeline,
    used: &Used,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Value, DeskError> {
    let (mut rows, mut is_cut) = (Vec::new(), false);
    desk.store()
        .lookup()
        .users_of::<DeskError>(used, wanted, None, |row, _| {
            is_cut = rows.len() >= ROWS_MAX;
            if !is_cut {
                rows.push(record(&row, now));
            }
            Ok(!is_cut)
        })?;
    Ok(json!({"records": rows, "is_cut": is_cut, "is_asked": true}))
}
