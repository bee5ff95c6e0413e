//! Which page is where.

use axum::http::header;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Router, middleware};

use crate::templates::{ICON, SCRIPT, STYLESHEET};
use crate::web::console::reply::see_other;
use crate::web::console::{
    about, bulk, case, drafts, enter, exemptions, forms, login, lookup, mails, numbers, outbox,
    queue, steps, zones,
};
use crate::web::state::WebState;

/// Returns the pages.
pub(in crate::web) fn routes(state: &WebState) -> Router<WebState> {
    let entered = Router::new()
        .route("/cases", get(queue::show))
        .route("/cases/count", get(queue::count))
        .route("/cases/bulk", post(bulk::take))
        .route("/cases/{case}", get(case::show))
        .route("/cases/{case}/step", post(steps::take))
        .route("/cases/{case}/messages/{id}", get(mails::message))
        .route(
            "/cases/{case}/messages/{id}/{part}",
            get(mails::message_part),
        )
        .route("/cases/{case}/send", post(drafts::resend))
        .route(
            "/cases/{case}/notices/{id}",
            get(mails::notice).post(drafts::decide),
        )
        .route("/cases/{case}/notices/{id}/{part}", get(mails::notice_part))
        .route("/cases/{case}/plots/{plot}", get(case::plot_csv))
        .route("/drafts", get(drafts::list))
        .route("/outbox", get(outbox::show).post(outbox::act))
        .route("/exemptions", get(exemptions::show).post(exemptions::act))
        .route("/zones", get(zones::show).post(zones::act))
        .route("/numbers", get(numbers::show))
        .route("/lookup", get(lookup::show))
        .route("/about", get(about::show))
        .route("/logout", post(login::log_out))
        .layer(middleware::from_fn(forms::read_form))
        .layer(middleware::from_fn_with_state(state.clone(), enter::enter));
    Router::new()
        .route("/", get(async || see_other("/cases")))
        .route("/login", get(login::show).post(login::log_in))
        .route(
            "/static/style.css",
            get(async || file("text/css", STYLESHEET)),
        )
        .route(
            "/static/icon.svg",
            get(async || file("image/svg+xml", ICON)),
        )
        .route(
            "/static/console.js",
            get(async || file("text/javascript", SCRIPT)),
        )
        .merge(entered)
        .layer(middleware::from_fn_with_state(state.clone(), enter::guard))
}

/// Answers with one of the two files; a new version of the program has them under the same names.
fn file(kind: &'static str, text: &'static str) -> Response {
    use axum::response::IntoResponse;
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "max-age=300"),
    ];
    (headers, text).into_response()
}
