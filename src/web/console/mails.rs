//! A mail of a case: the octets that were or would be sent, and their parts.

use axum::Extension;
use axum::extract::{Path, Request};
use axum::response::Response;
use serde_json::{Value, json};

use crate::desk::DeskError;
use crate::desk::filter::find_case;
use crate::desk::preview::{KeptMail, Part, kept_message, kept_notice};
use crate::pipeline::Pipeline;
use crate::report::case_reference;
use crate::store::{CaseRow, NoticeEdit};
use crate::web::console::drafts::done;
use crate::web::console::reply::{Page, PageFault, Visit, download};
use crate::web::form::Fields;

/// The parts that a mail may have beside its text, each with its word, its title and its file.
const PARTS: [(&str, &str, Part, &str); 5] = [
    ("text", "Text", Part::Text, "text.txt"),
    ("html", "HTML", Part::Html, "mail.html"),
    ("details", "Details", Part::Details, "details.txt"),
    ("xarf", "XARF", Part::Xarf, "xarf.json"),
    ("csv", "Evidence (CSV)", Part::Csv, "evidence.csv"),
];

/// Which mail of a case.
#[derive(Debug, Clone, Copy)]
enum Which {
    /// A message of the outbox.
    Message(i64),
    /// A notice.
    Notice(i64),
}

impl Which {
    /// Returns the mail.
    fn find(self, desk: &Pipeline, row: &CaseRow) -> Result<KeptMail, DeskError> {
        match self {
            Self::Message(id) => kept_message(desk.store(), row, id),
            Self::Notice(id) => kept_notice(desk.store(), row, id),
        }
    }

    /// Returns the address of its page below that of the case.
    fn path(self) -> String {
        match self {
            Self::Message(id) => format!("messages/{id}"),
            Self::Notice(id) => format!("notices/{id}"),
        }
    }
}

/// `GET /cases/{case}/messages/{id}`.
pub(in crate::web::console) async fn message(
    Extension(visit): Extension<Visit>,
    Path((case, id)): Path<(String, i64)>,
) -> Response {
    let page = mail_page(&visit, case, Which::Message(id), None).await;
    visit.answer(page)
}

/// `GET /cases/{case}/notices/{id}`.
pub(in crate::web::console) async fn notice(
    Extension(visit): Extension<Visit>,
    Path((case, id)): Path<(String, i64)>,
    request: Request,
) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    let done = done(fields.exact("done"));
    let page = mail_page(&visit, case, Which::Notice(id), done).await;
    visit.answer(page)
}

/// Returns the page of a mail.
async fn mail_page(visit: &Visit, case: String, which: Which, done: Option<&'static str>) -> Page {
    let looked = visit.console.desks.look(move |desk| {
        let row = find_case(desk.store(), &case)?;
        let mail = which.find(desk, &row)?;
        Ok(mail_says(&row, &mail, &which.path()))
    });
    let mut says = looked.await??;
    says["done"] = json!(done);
    let title = format!("Mail of {}", says["reference"].as_str().unwrap_or_default());
    visit.page("mail.html", &title, says)
}

/// Returns what the page of a mail says.
fn mail_says(row: &CaseRow, mail: &KeptMail, path: &str) -> Value {
    let part = |part: Part| {
        let octets = part.of(&mail.octets)?;
        Some(String::from_utf8_lossy(&octets).into_owned())
    };
    let parts = PARTS.iter().filter(|it| it.2.of(&mail.octets).is_some());
    let parts = parts.map(|(word, title, ..)| json!({"word": word, "title": title}));
    let reference = case_reference(row.id);
    json!({
        "base": format!("/cases/{reference}/{path}"),
        "reference": reference,
        "domain": row.case.domain.to_text_without_dot(),
        "subject": mail.subject,
        "to": mail.to,
        "party": mail.party,
        "state": mail.state,
        "is_draft": mail.is_draft,
        "paragraph": mail.edited.as_ref().map(|it| &it.paragraph),
        "edited_by": mail.edited.as_ref().map(NoticeEdit::editors_line),
        "sha256": mail.sha256.to_string(),
        "parts": parts.collect::<Vec<_>>(),
        "text": part(Part::Text),
        "html": part(Part::Html),
    })
}

/// `GET /cases/{case}/messages/{id}/{part}`.
pub(in crate::web::console) async fn message_part(
    Extension(visit): Extension<Visit>,
    Path((case, id, part)): Path<(String, i64, String)>,
) -> Response {
    let page = part_file(&visit, case, Which::Message(id), part).await;
    visit.answer(page)
}

/// `GET /cases/{case}/notices/{id}/{part}`.
pub(in crate::web::console) async fn notice_part(
    Extension(visit): Extension<Visit>,
    Path((case, id, part)): Path<(String, i64, String)>,
) -> Response {
    let page = part_file(&visit, case, Which::Notice(id), part).await;
    visit.answer(page)
}

/// Returns a part as a file. HTML of a mail too is saved, never shown: it is not a page of the console.
async fn part_file(visit: &Visit, case: String, which: Which, word: String) -> Page {
    let none = || PageFault::NotFound("This mail has no such part.".to_owned());
    let (part, file) = match word.as_str() {
        "eml" => (Part::Whole, "message.eml"),
        word => {
            let found = PARTS.iter().find(|it| it.0 == word).ok_or_else(none)?;
            (found.2, found.3)
        }
    };
    let looked = visit.console.desks.look(move |desk| {
        let row = find_case(desk.store(), &case)?;
        Ok((
            case_reference(row.id),
            part.of(&which.find(desk, &row)?.octets),
        ))
    });
    let (reference, octets) = looked.await??;
    let name = format!("{reference}-{file}");
    Ok(download(
        &name,
        "application/octet-stream",
        octets.ok_or_else(none)?,
    ))
}
