//! The desk's numbers of a month.

use axum::Extension;
use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};

use crate::desk::numbers::{MonthCount, count, count_months, month_of, read_month};
use crate::report::StatisticsRow;
use crate::time::{Span, Timestamp};
use crate::web::console::reply::{Page, PageFault, Visit};
use crate::web::form::Fields;

/// How many months the plot has.
const MONTHS: i64 = 12;
/// The height of the plot in its own units.
const HEIGHT: u32 = 120;

/// `GET /numbers`.
pub(in crate::web::console) async fn show(
    Extension(visit): Extension<Visit>,
    request: Request,
) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    let page = numbers(&visit, fields.find("month").map(str::to_owned)).await;
    visit.answer(page)
}

/// Returns the page.
async fn numbers(visit: &Visit, month: Option<String>) -> Page {
    let wanted = month.as_deref().map(read_month).transpose();
    let wanted =
        wanted.map_err(|_| PageFault::Invalid("Write a month such as 2026-11.".to_owned()))?;
    let looked = visit.console.desks.look(move |desk| {
        let (from, to) = wanted.unwrap_or_else(|| month_of(desk.clock().now()));
        let statistics = count(desk, from, to)?;
        Ok((statistics, count_months(desk.store(), from, MONTHS)?))
    });
    let (statistics, months) = looked.await??;
    let rows = std::iter::once(&statistics.all)
        .chain(&statistics.rows)
        .map(row);
    let word = |at: Timestamp| at.to_date()[..7].to_owned();
    let says = json!({
        "month": word(statistics.from),
        "rows": rows.collect::<Vec<Value>>(),
        "review": span(statistics.all.first_review_s),
        "mitigation": span(statistics.all.mitigation_s),
        "sent": statistics.all.mails_sent,
        "failed": statistics.all.mails_failed,
        "dismissed": statistics.all.dismissed,
        "months": plot(&months),
    });
    visit.page("numbers.html", "Numbers", says)
}

/// Returns a span in words.
fn span(seconds: Option<i64>) -> Option<String> {
    seconds.map(|it| Span::seconds(it).to_string())
}

/// Returns a row of the table.
fn row(row: &StatisticsRow) -> Value {
    json!({"zone": row.zone.trim_end_matches('.'), "registrar": row.registrar, "opened": row.opened, "reopened": row.reopened,
           "reported": row.reported, "acknowledged": row.acknowledged, "mitigated": row.mitigated,
           "dismissed": row.dismissed.values().sum::<u32>(), "closed": row.closed})
}

/// Returns the plot of months: cases that opened, and those that the desk dismissed.
fn plot(months: &[MonthCount]) -> Value {
    let top = months.iter().map(|it| it.opened).max().unwrap_or(0).max(1);
    let height = |count: u32| count.min(top) * HEIGHT / top;
    let bars = months.iter().enumerate().map(|(i, month)| {
        let (opened, dismissed) = (height(month.opened), height(month.dismissed));
        json!({"month": month.from.to_date()[..7].to_owned(), "opened": month.opened, "dismissed": month.dismissed, "x": i * 80 + 10,
               "opened_height": opened, "opened_y": HEIGHT - opened,
               "dismissed_height": dismissed, "dismissed_y": HEIGHT - dismissed, "dismissed_x": i * 80 + 44})
    });
    json!(bars.collect::<Vec<Value>>())
}
