//! Exemptions: who is never reported, why, by whom, until when; with a preview of what one touches.

use axum::Extension;
use axum::response::Response;
use serde_json::{Value, json};

use crate::case::Reach;
use crate::desk::exempt::{
    WantedExemption, add, cases_touched, find_same, preview as unsent_of, remove,
};
use crate::people::Role;
use crate::report::case_reference;
use crate::store::ExemptionRow;
use crate::time::Timestamp;
use crate::web::console::forms::require;
use crate::web::console::reply::{Page, PageFault, Visit, see_other};
use crate::web::console::words;
use crate::web::form::Fields;

/// The most cases that a preview lists.
const LISTED_MAX: usize = 100;

/// `GET /exemptions`.
pub(in crate::web::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let page = list(&visit).await;
    visit.answer(page)
}

/// Returns the page.
async fn list(visit: &Visit) -> Page {
    let looked = visit.console.desks.look(|desk| {
        let now = desk.clock().now();
        let held = desk.store().desk().held_counts()?;
        let rows = desk.store().desk().exemptions()?.into_iter().rev();
        let rows =
            rows.map(|row| line(&row, held.get(&row.exemption.id).copied().unwrap_or(0), now));
        Ok(json!({"rows": rows.collect::<Vec<_>>()}))
    });
    visit.page("exemptions.html", "Exemptions", looked.await??)
}

/// Returns a row of the page.
fn line(row: &ExemptionRow, held: u32, now: Timestamp) -> Value {
    let exemption = &row.exemption;
    let end = match (&row.removed, exemption.until) {
        (Some((at, who)), _) => format!("removed {} by {who}", at.to_minute()),
        (None, Some(until)) if until <= now => format!("ended {}", until.to_minute()),
        (None, Some(until)) => format!("until {}", until.to_minute()),
        (None, None) => "until it is removed".to_owned(),
    };
    json!({"id": exemption.id, "kind": row.kind(), "value": row.value(), "reason": exemption.reason, "author": exemption.author,
           "created": row.created_at.to_minute(), "end": end, "is_in_force": row.is_in_force(now), "held": held})
}

/// `POST /exemptions`: shows what an exemption would touch; with `confirmed`, adds it. With `remove`, ends one.
pub(in crate::web::console) async fn act(
    Extension(visit): Extension<Visit>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let page = match (fields.find("remove"), fields.find("confirmed")) {
        (Some(_), _) => end(&visit, &fields).await,
        (None, Some(_)) => add_one(&visit, fields).await,
        (None, None) => preview(&visit, fields).await,
    };
    visit.answer(page)
}

/// Returns the exemption that a form means.
fn wanted<'a>(fields: &'a Fields, author: &'a str) -> WantedExemption<'a> {
    WantedExemption {
        kind: fields.exact("kind"),
        value: fields.exact("value").trim(),
        reason: fields.exact("reason"),
        until: fields.find("until"),
        author,
    }
}

/// Shows the open cases that an exemption would touch.
async fn preview(visit: &Visit, fields: Fields) -> Page {
    require(visit, Role::Approver)?;
    let who = visit.person.name.clone();
    let mut says = json!({});
    for name in ["kind", "value", "reason", "until"] {
        says[name] = json!(fields.exact(name));
    }
    let looked = visit.console.desks.look(move |desk| {
        let now = desk.clock().now();
        let exemption = wanted(&fields, &who).read(now)?;
        let same = find_same(desk.store(), &exemption, now)?.map(|it| it.id);
        let touched = cases_touched(desk, &exemption)?;
        let rows = touched.cases.iter().take(LISTED_MAX).map(|(row, reach)| {
            let reach = match reach {
                Reach::Whole => "held: nobody is mailed about it",
                Reach::Part => "a part of what rotates: it is told as ever",
            };
            json!({"reference": case_reference(row.id), "domain": words::name(&row.case.domain), "reach": reach})
        });
        let rows = rows.collect::<Vec<Value>>();
        let unsent = unsent_of(desk, &exemption)?.unsent.into_iter();
        let unsent = unsent.filter_map(|(case, it)| {
            let words = it.dropped_words("will be")?;
            Some(format!("{}: {words}", case_reference(case)))
        });
        let unsent = unsent.take(LISTED_MAX).collect::<Vec<String>>();
        let counts = [touched.cases.len(), touched.unseen as usize];
        Ok((same, counts, rows, unsent))
    });
    let (same, [count, unseen], rows, unsent) = looked.await??;
    says["unsent"] = json!(unsent);
    says["same"] = json!(same);
    says["count"] = json!(count);
    says["unseen"] = json!(unseen);
    says["rows"] = json!(rows);
    visit.page("exempt.html", "New exemption", says)
}

/// Adds an exemption.
async fn add_one(visit: &Visit, fields: Fields) -> Page {
    require(visit, Role::Approver)?;
    let who = visit.person.name.clone();
    let acted = visit.console.desks.act(move |desk| {
        let now = desk.clock().now();
        let exemption = wanted(&fields, &who).read(now)?;
        // Sent twice, it is there once.
        match find_same(desk.store(), &exemption, now)? {
            Some(same) => Ok(same.id),
            None => add(desk, &exemption, now).map(|added| added.id),
        }
    });
    let id = acted.await??;
    Ok(see_other(&format!("/exemptions#e{id}")))
}

/// Ends an exemption.
async fn end(visit: &Visit, fields: &Fields) -> Page {
    require(visit, Role::Approver)?;
    let id = fields.exact("remove").parse::<i64>();
    let id = id.map_err(|_| PageFault::Invalid("Choose an exemption.".to_owned()))?;
    let who = visit.person.name.clone();
    let acted = visit
        .console
        .desks
        .act(move |desk| remove(desk, id, &who, desk.clock().now()));
    acted.await??;
    Ok(see_other("/exemptions"))
}
