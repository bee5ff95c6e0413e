//! The page of a case: what is alleged, how sure, the evidence, what else is known, the log and the mails.

use axum::Extension;
use axum::extract::{Path, Request};
use axum::response::Response;
use serde_json::{Value, json};

use crate::case::{Case, CaseState, DismissReason, Reach, reach_of, reopening_words};
use crate::desk::DeskError;
use crate::desk::filter::find_case;
use crate::desk::step::{Taken, mark_of};
use crate::detector::{Finding, Level, Verdict};
use crate::listing::log_times;
use crate::pipeline::{Pipeline, Withdrawal};
use crate::report::{case_reference, section};
use crate::store::{CaseRow, NoticeState};
use crate::time::Timestamp;
use crate::web::console::plots;
use crate::web::console::related::related;
use crate::web::console::reply::{Page, PageFault, Visit, download};
use crate::web::console::words;
use crate::web::form::Fields;

/// The most lines of the log that are listed; older ones are on the command line.
const LOG_MAX: usize = 200;

/// `GET /cases/{case}`.
pub(in crate::web::console) async fn show(
    Extension(visit): Extension<Visit>,
    Path(case): Path<String>,
    request: Request,
) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    let page = case_page(&visit, case, done(fields.exact("done"))).await;
    visit.answer(page)
}

/// Returns what a page says of the step before it.
fn done(word: &str) -> Option<&'static str> {
    Some(match word {
        "ack" => "The case is acknowledged.",
        "assign" => "The case is assigned.",
        "close" => "The case is closed.",
        "dismiss" => "The case is dismissed.",
        "note" => "The note is in the log.",
        "reopen" => "The case is open again.",
        "send" => "A new revision of the mail is in the outbox.",
        _ => return None,
    })
}

/// Returns the page.
async fn case_page(visit: &Visit, case: String, done: Option<&'static str>) -> Page {
    let looked = visit.console.desks.look(move |desk| {
        let row = find_case(desk.store(), &case)?;
        let now = desk.clock().now();
        let finding = desk
            .findings()
            .find(&row.case.domain, row.case.evaluated_at)?
            .finding;
        let mut says = head(desk, &row, finding.as_ref(), now)?;
        says["planes"] = finding.as_ref().map_or(json!([]), |it| planes(desk, it));
        says["related"] = related(desk, &row)?;
        says["exemptions"] = exemptions(desk, &row, finding.as_ref(), now)?;
        says["log"] = log(desk, &row)?;
        says["mails"] = mails(desk, &row)?;
        says["reasons"] = json!(DismissReason::ALL.map(DismissReason::word));
        let ended = CaseRow {
            case: Case {
                state: CaseState::Dismissed,
                ..row.case.clone()
            },
            ..row.clone()
        };
        let taken = Taken {
            ending: desk.notify().ending_of_case(&ended)?,
            unsent: desk.notify().unsent_of(row.id, Withdrawal::Everything)?,
            case: ended.case,
            note: String::new(),
        };
        says["ending"] = json!(taken.mail_words("will be"));
        says["done"] = json!(done);
        says["mark"] = json!(mark_of(desk.store(), &row)?);
        Ok(says)
    });
    let says = looked.await??;
    let title = format!(
        "{} {}",
        text(&says["reference"]),
        text(&says["domain"]["text"])
    );
    visit.page("case.html", &title, says)
}

/// Returns a text of a value.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns what a verdict alleges, in words.
pub(in crate::web::console) fn allegation(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::DoubleFlux => "its name servers and their addresses rotate (double flux)",
        Verdict::NsFlux => "its name servers rotate (name-server flux)",
        Verdict::SingleFlux => "its addresses rotate (single flux)",
    }
}

/// Returns the one sentence that a case comes to.
fn sentence(row: &CaseRow, finding: Option<&Finding>) -> String {
    let case = &row.case;
    let domain = case.domain.to_text_without_dot();
    let alleged = allegation(case.verdict);
    let sure = match (finding, case.level) {
        (None, _) => "The records of the last 7 days do not show it any more.".to_owned(),
        (_, Level::Report) => "Every condition of a report is met.".to_owned(),
        (_, Level::Review) => {
            "It takes a person's look: not every condition of a report is met.".to_owned()
        }
        (_, Level::Watch) => "It changes often, and nothing else is said of it.".to_owned(),
    };
    let verb = match case.peak_level {
        Level::Watch => "watched",
        _ => "suspected of fast flux",
    };
    format!("{domain} is {verb}: {alleged}. {sure}")
}

/// Returns what stands at the top.
fn head(
    desk: &Pipeline,
    row: &CaseRow,
    finding: Option<&Finding>,
    now: Timestamp,
) -> Result<Value, DeskError> {
    let case = &row.case;
    let registration = desk.notify().registration_of(&case.domain);
    Ok(json!({
        "id": row.id,
        "reference": case_reference(row.id),
        "domain": words::name(&case.domain),
        "zone": case.zone.to_text_without_dot(),
        "sentence": sentence(row, finding),
        "verdict": case.verdict.word(),
        "level": case.level.word(),
        "peak_level": case.peak_level.word(),
        "score": format!("{:.1}", case.score),
        "state": case.state.word(),
        "is_working": case.state.is_working(),
        "assignee": case.assignee,
        "dismissed_as": case.dismissed_as.map(DismissReason::word),
        "held": case.told.held,
        "first": words::time(case.first_detected_at, now),
        "last": words::time(case.last_change_at, now),
        "judged": words::time(case.evaluated_at, now),
        "left": case.left_words(),
        "reopening": reopening_words(&desk.config().detect, Some(case.verdict)),
        "told": case.told.at.map(|at| words::time(at, now)),
        "registered": registration.as_ref().map(|it| it.created_at).map(|at| words::time(at, now)),
        "registrar": registration.as_ref().and_then(|it| it.registrar.clone()),
        "has_account": registration.is_some_and(|it| it.account.is_some()),
        "sends_mail": desk.config().mail.is_some(),
    }))
}

/// Returns what each plane shows.
fn planes(desk: &Pipeline, finding: &Finding) -> Value {
    let plane = |plane: &crate::detector::PlaneFinding| {
        let section = section(plane);
        let terms: Vec<Value> = plane.terms.iter().map(|term| {
            let share = if term.points_max > 0.0 { term.points / term.points_max } else { 0.0 };
            json!({"name": term.name, "value": term.value, "points": format!("{:.1}", term.points),
                   "points_max": format!("{:.0}", term.points_max), "width": (share.clamp(0.0, 1.0) * 1000.0) as i64})
        }).collect();
        let checks: Vec<Value> = plane.checks.iter().map(|check| {
            json!({"name": check.name, "result": check.result, "explains": check.explains, "is_part": plane.explains_a_part(check)})
        }).collect();
        json!({
            "word": plots::plane_word(plane.plane),
            "title": section.title,
            "owner": section.owner,
            "score": section.score,
            "gate_open": section.gate_open,
            "changes_24h": section.changes_24h,
            "changes_7d": section.changes_7d,
            "mean_stay": section.mean_stay,
            "networks": section.networks,
            "terms": terms,
            "gates": section.gates,
            "gates_met": section.gates_met,
            "checks": checks,
            "transitions": section.transitions,
            "transitions_count": section.transitions_count,
            "plots": plots::plots(plane, &desk.config().detect),
        })
    };
    json!(finding.planes().map(plane).collect::<Vec<_>>())
}

/// Returns the exemptions that would hold the case's mail.
fn exemptions(
    desk: &Pipeline,
    row: &CaseRow,
    finding: Option<&Finding>,
    now: Timestamp,
) -> Result<Value, DeskError> {
    let Some(finding) = finding else {
        return Ok(json!([]));
    };
    let account = desk
        .notify()
        .registration_of(&row.case.domain)
        .and_then(|it| it.account);
    let live = desk.store().desk().exemptions_in_force(now)?;
    let matching = live.iter().filter_map(|exemption| {
        let reach = reach_of(exemption, finding, account.as_deref())?;
        let reach = match reach {
            Reach::Whole => "all of it",
            Reach::Part => "a part of it",
        };
        Some(json!({"id": exemption.id, "reach": reach, "reason": exemption.reason, "author": exemption.author,
                    "until": exemption.until.map(Timestamp::to_minute)}))
    });
    Ok(json!(matching.collect::<Vec<_>>()))
}

/// Returns the log, newest first.
fn log(desk: &Pipeline, row: &CaseRow) -> Result<Value, DeskError> {
    let events = desk.store().desk().case_events(row.id)?;
    let count = events.len();
    let lines = events.into_iter().rev().take(LOG_MAX).map(|line| {
        let from = line.event.from.map(|it| it.word()).filter(|it| *it != line.event.to.word());
        let [written, as_of] = log_times(line.written_at, line.event.at);
        json!({"written": written, "as_of": as_of, "who": line.actor, "from": from, "to": line.event.to.word(), "note": line.event.note})
    });
    Ok(json!({"lines": lines.collect::<Vec<_>>(), "count": count}))
}

/// Returns notices and messages, newest first.
fn mails(desk: &Pipeline, row: &CaseRow) -> Result<Value, DeskError> {
    let store = desk.store();
    let notices = store.desk().notices_of_case(row.id)?.into_iter().rev().map(|it| {
        json!({"id": it.id, "to": it.message.recipient, "party": it.party, "subject": it.message.subject, "state": it.state.word(),
               "waits": it.state == NoticeState::Drafted, "drafted": it.drafted_at.to_minute(),
               "decided": it.decided.map(|(at, who)| format!("{who}, {}", at.to_minute()))})
    });
    let messages = store.desk().message_heads(row.id)?.into_iter().rev().map(|it| {
        json!({"id": it.id, "kind": it.message.kind.word(), "to": it.shown_recipient(), "subject": it.message.subject,
               "state": it.standing(), "queued": it.queued_at.to_minute(), "reply": it.last_reply})
    });
    Ok(json!({"notices": notices.collect::<Vec<_>>(), "messages": messages.collect::<Vec<_>>()}))
}

/// `GET /cases/{case}/plots/{plot}`: the table of a plot as CSV.
pub(in crate::web::console) async fn plot_csv(
    Extension(visit): Extension<Visit>,
    Path((case, plot)): Path<(String, String)>,
) -> Response {
    let page = find_csv(&visit, case, plot).await;
    visit.answer(page)
}

/// Returns the CSV.
async fn find_csv(visit: &Visit, case: String, plot: String) -> Page {
    let looked = visit.console.desks.look(move |desk| {
        let row = find_case(desk.store(), &case)?;
        let finding = desk
            .findings()
            .find(&row.case.domain, row.case.evaluated_at)?
            .finding;
        let word = plot.strip_suffix(".csv").unwrap_or(&plot);
        let text = finding.and_then(|it| plots::csv(&it, &desk.config().detect, word));
        Ok(text.map(|text| (format!("{}-{word}.csv", case_reference(row.id)), text)))
    });
    let (name, text) = looked
        .await??
        .ok_or_else(|| PageFault::NotFound("There is no such plot.".to_owned()))?;
    Ok(download(
        &name,
        "text/csv; charset=utf-8",
        text.into_bytes(),
    ))
}
