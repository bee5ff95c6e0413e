//! Drafts: notices that wait for approval. Read, edit, approve and send, reject, test.

use axum::Extension;
use axum::extract::Path;
use axum::response::Response;
use serde_json::{Value, json};

use crate::desk::DeskError;
use crate::desk::filter::find_case;
use crate::desk::notice::{NoticeDecision, send_again, waiting_notices};
use crate::people::Role;
use crate::pipeline::Pipeline;
use crate::report::case_reference;
use crate::store::{CaseRow, NoticeEdit, NoticeRow};
use crate::web::console::forms::require;
use crate::web::console::reply::{Page, PageFault, Visit, see_other};
use crate::web::console::words;
use crate::web::form::Fields;

/// The most drafts of the page.
const DRAFTS_MAX: usize = 200;

/// `GET /drafts`.
pub(in crate::web::console) async fn list(Extension(visit): Extension<Visit>) -> Response {
    let page = list_page(&visit).await;
    visit.answer(page)
}

/// Returns the page.
async fn list_page(visit: &Visit) -> Page {
    let looked = visit.console.desks.look(|desk| {
        let now = desk.clock().now();
        let rows = waiting_notices(desk.store())?;
        let count = rows.len();
        let line = |notice: &NoticeRow| -> Result<Value, DeskError> {
            let id = notice.message.case_id.unwrap_or_default();
            let case = desk.store().desk().case_by_id(id)?;
            let domain = case.as_ref().map(|it| words::name(&it.case.domain));
            Ok(json!({"id": notice.id, "reference": case_reference(id), "domain": domain, "to": notice.message.recipient,
                      "party": notice.party, "drafted": words::time(notice.drafted_at, now),
                      "edited_by": notice.edited.as_ref().map(NoticeEdit::editors_line)}))
        };
        let rows: Result<Vec<Value>, DeskError> = rows.iter().take(DRAFTS_MAX).map(line).collect();
        Ok(json!({"rows": rows?, "count": count}))
    });
    visit.page("drafts.html", "Drafts", looked.await??)
}

/// Finds a case and a draft of it.
fn find_notice(desk: &Pipeline, case: &str, id: i64) -> Result<(CaseRow, NoticeRow), DeskError> {
    let row = find_case(desk.store(), case)?;
    let mut notices = desk.store().desk().notices_of_case(row.id)?.into_iter();
    let notice = notices.find(|it| it.id == id);
    let fault = || DeskError::Stale(case_reference(row.id));
    notice.ok_or_else(fault).map(|notice| (row, notice))
}

/// `POST /cases/{case}/notices/{id}`: edits, approves, rejects or tests the draft that was shown.
pub(in crate::web::console) async fn decide(
    Extension(visit): Extension<Visit>,
    Extension(fields): Extension<Fields>,
    Path((case, id)): Path<(String, i64)>,
) -> Response {
    let page = decide_on(&visit, fields, case, id).await;
    visit.answer(page)
}

/// Does what the form says.
async fn decide_on(visit: &Visit, fields: Fields, case: String, id: i64) -> Page {
    let what = fields.exact("step").to_owned();
    require(
        visit,
        match what.as_str() {
            "approve" => Role::Approver,
            _ => Role::Reviewer,
        },
    )?;
    let mail = visit.person.mail.clone();
    if what == "test" && mail.is_none() {
        let what = "Your line in the file of users has no mail address: fluxwatch users add NAME --mail ADDRESS.";
        return Err(PageFault::Invalid(what.to_owned()));
    }
    let who = visit.person.name.clone();
    let step = what.clone();
    let acted = visit.console.desks.act(move |desk| {
        let (row, notice) = find_notice(desk, &case, id)?;
        let decision = NoticeDecision {
            recipient: &notice.message.recipient,
            who: &who,
            note: fields.find("note"),
            seen: Some(fields.exact("seen")),
        };
        match step.as_str() {
            "edit" => decision.edit(desk, &row, fields.exact("paragraph"))?,
            "approve" => drop(decision.approve(desk, &row)?),
            "reject" => decision.reject(desk, &row)?,
            "test" => decision.test(desk, &row, mail.as_deref().unwrap_or_default())?,
            _ => return Ok(None),
        }
        // An edited draft is another one, with a page of its own.
        let newest = desk
            .store()
            .desk()
            .notices_of_case(row.id)?
            .into_iter()
            .rev();
        let mut same = newest.filter(|it| it.message.recipient == notice.message.recipient);
        let shown = same.next().map_or(id, |it| it.id);
        Ok(Some((case_reference(row.id), shown)))
    });
    let (reference, shown) = acted
        .await??
        .ok_or_else(|| PageFault::Invalid("There is no such step.".to_owned()))?;
    Ok(see_other(&format!(
        "/cases/{reference}/notices/{shown}?done={what}"
    )))
}

/// Returns what the page of a draft says of the step before it.
pub(in crate::web::console) fn done(word: &str) -> Option<&'static str> {
    Some(match word {
        "edit" => "The draft has your paragraph. Read it again: exactly this would be sent.",
        "approve" => "Approved. It leaves with the next pass over the outbox.",
        "reject" => "Rejected. It is not sent.",
        "test" => "A test is on its way to you. The recipient gets nothing of it.",
        _ => return None,
    })
}

/// `POST /cases/{case}/send`: tells the desk of a case once more.
pub(in crate::web::console) async fn resend(
    Extension(visit): Extension<Visit>,
    Extension(fields): Extension<Fields>,
    Path(case): Path<String>,
) -> Response {
    let page = resend_case(&visit, &fields, case).await;
    visit.answer(page)
}

/// Queues the mail of a case once more.
async fn resend_case(visit: &Visit, fields: &Fields, case: String) -> Page {
    require(visit, Role::Approver)?;
    let (who, seen) = (visit.person.name.clone(), fields.exact("seen").to_owned());
    let acted = visit.console.desks.act(move |desk| {
        let row = find_case(desk.store(), &case)?;
        send_again(desk, &row, &who, Some(&seen))?;
        Ok(case_reference(row.id))
    });
    let reference = acted.await??;
    Ok(see_other(&format!("/cases/{reference}?done=send")))
}
