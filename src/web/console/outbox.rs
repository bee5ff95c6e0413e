//! The outbox: messages that wait, were given up, or came back.

use axum::Extension;
use axum::response::Response;
use serde_json::{Value, json};

use crate::desk::outbox::{drop_message, retry};
use crate::people::Role;
use crate::report::case_reference;
use crate::store::MessageRow;
use crate::web::console::forms::require;
use crate::web::console::reply::{Page, PageFault, Visit, see_other};
use crate::web::form::Fields;

/// The most messages of the page.
const MESSAGES_MAX: usize = 200;

/// `GET /outbox`.
pub(in crate::web::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let page = outbox(&visit).await;
    visit.answer(page)
}

/// Returns the page.
async fn outbox(visit: &Visit) -> Page {
    let looked = visit.console.desks.look(|desk| {
        let rows = desk.store().desk().undone_messages()?;
        let count = rows.len();
        let lines: Vec<Value> = rows.iter().take(MESSAGES_MAX).map(line).collect();
        Ok(json!({"rows": lines, "count": count}))
    });
    visit.page("outbox.html", "Outbox", looked.await??)
}

/// Returns a row of the page.
fn line(row: &MessageRow) -> Value {
    let waits = matches!(row.state.word(), "queued" | "sending");
    json!({"id": row.id, "case": row.message.case_id.map(case_reference), "kind": row.message.kind.word(),
           "to": row.shown_recipient(), "state": row.standing(), "attempts": row.attempt_count, "queued": row.queued_at.to_minute(),
           "next": waits.then(|| row.next_attempt_at.to_minute()), "reply": row.last_reply, "can_act": row.state.word() != "sending"})
}

/// `POST /outbox`: tries a message again, or takes it out.
pub(in crate::web::console) async fn act(
    Extension(visit): Extension<Visit>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let page = act_on(&visit, &fields).await;
    visit.answer(page)
}

/// Does what the form says.
async fn act_on(visit: &Visit, fields: &Fields) -> Page {
    require(visit, Role::Approver)?;
    let id = fields.exact("message").parse::<i64>();
    let id = id.map_err(|_| PageFault::Invalid("Choose a message.".to_owned()))?;
    let is_drop = match fields.exact("step") {
        "drop" => true,
        "retry" => false,
        _ => return Err(PageFault::Invalid("There is no such step.".to_owned())),
    };
    let who = visit.person.name.clone();
    let acted = visit.console.desks.act(move |desk| {
        let now = desk.clock().now();
        if is_drop {
            return Ok(drop_message(desk.store(), id, &who, now)?.is_some());
        }
        retry(desk, Some(id), &who, now).map(|retried| retried.count > 0)
    });
    match acted.await?? {
        true => Ok(see_other("/outbox")),
        false => Err(PageFault::Refused(format!(
            "Message {id} neither waits, nor was given up, nor came back."
        ))),
    }
}
