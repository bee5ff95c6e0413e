//! Zones: how each stands, and those that are held.

use axum::Extension;
use axum::response::Response;
use serde_json::{Value, json};

use crate::desk::DeskError;
use crate::desk::zones::accept;
use crate::dns::Name;
use crate::people::Role;
use crate::store::ZoneStatus;
use crate::time::Timestamp;
use crate::web::console::forms::require;
use crate::web::console::reply::{Page, PageFault, Visit, see_other};
use crate::web::console::words;
use crate::web::form::Fields;

/// The most zones of the page; those that want somebody come first.
const ZONES_MAX: usize = 500;

/// `GET /zones`.
pub(in crate::web::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let page = zones(&visit).await;
    visit.answer(page)
}

/// Returns the page.
async fn zones(visit: &Visit) -> Page {
    let looked = visit.console.desks.look(|desk| {
        let now = desk.clock().now();
        let mut rows = desk.store().zones().status()?;
        let count = rows.len();
        rows.sort_by_key(|row| !row.is_in_trouble());
        let lines: Vec<Value> = rows
            .iter()
            .take(ZONES_MAX)
            .map(|row| line(row, now))
            .collect();
        Ok::<_, DeskError>(json!({"rows": lines, "count": count}))
    });
    visit.page("zones.html", "Zones", looked.await??)
}

/// Returns a row of the page.
fn line(row: &ZoneStatus, now: Timestamp) -> Value {
    json!({"zone": row.zone.as_ref().map(words::name), "key": row.zone.as_ref().map(Name::to_string), "source": row.source,
           "kind": row.source_kind.word(), "serial": row.serial.map(|it| it.to_string()), "records": row.records,
           "seen": row.last_success_at.map(|at| words::time(at, now)), "held": row.held, "reason": row.refused_reason,
           "error": row.last_error, "rejected": row.rejected_lines})
}

/// `POST /zones`: asks the poller to take the next version of a held zone.
pub(in crate::web::console) async fn act(
    Extension(visit): Extension<Visit>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let page = accept_zone(&visit, &fields).await;
    visit.answer(page)
}

/// Asks for it.
async fn accept_zone(visit: &Visit, fields: &Fields) -> Page {
    require(visit, Role::Approver)?;
    let zone = Name::parse(fields.exact("accept"));
    let zone = zone.map_err(|_| PageFault::Invalid("Choose a zone.".to_owned()))?;
    let who = visit.person.name.clone();
    let acted = visit
        .console
        .desks
        .act(move |desk| accept(desk.store(), &zone, &who, desk.clock().now()));
    acted.await??;
    Ok(see_other("/zones"))
}
