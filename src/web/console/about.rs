//! What the program and its database are.

use axum::Extension;
use axum::response::Response;
use serde_json::json;

use crate::pipeline::recorded_tables;
use crate::web::console::reply::{Page, Visit};

/// `GET /about`.
pub(in crate::web::console) async fn show(Extension(visit): Extension<Visit>) -> Response {
    let page = about(&visit).await;
    visit.answer(page)
}

/// Returns the page.
async fn about(visit: &Visit) -> Page {
    let says = visit.console.desks.look(|desk| {
        let config = desk.config();
        let octets = desk.store().upkeep().used_octets()?;
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "policy": config.detect.label(),
            "tables": recorded_tables(config, desk.store())?,
            "mebibytes": octets.div_ceil(1 << 20),
        }))
    });
    visit.page("about.html", "About", says.await??)
}
