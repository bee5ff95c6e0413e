//! Steps with a case: the form of its page, and the desk's use case.

use axum::Extension;
use axum::extract::Path;
use axum::response::Response;

use crate::case::{DeskStep, DismissReason};
use crate::desk::DeskError;
use crate::desk::filter::find_case;
use crate::desk::step::{Step, check_note};
use crate::people::Role;
use crate::report::case_reference;
use crate::web::console::forms::require;
use crate::web::console::reply::{Page, PageFault, Visit, see_other};
use crate::web::form::Fields;

/// Returns the step that a form means.
///
/// # Errors
///
/// [`PageFault::Invalid`] for one that there is not.
pub(in crate::web::console) fn read_step(fields: &Fields) -> Result<DeskStep, PageFault> {
    Ok(match fields.exact("step") {
        "ack" => DeskStep::Acknowledge,
        "note" => DeskStep::Note,
        "reopen" => DeskStep::Reopen,
        "close" => DeskStep::Close {
            mitigated: fields.find("mitigated").is_some(),
        },
        "assign" => DeskStep::Assign(fields.find("to").map(str::to_owned)),
        "dismiss" => {
            let reason = DismissReason::parse(fields.exact("reason"));
            let fault = || PageFault::Invalid("Choose a reason.".to_owned());
            DeskStep::Dismiss(reason.ok_or_else(fault)?)
        }
        _ => return Err(PageFault::Invalid("There is no such step.".to_owned())),
    })
}

/// Checks that a step says what it has to say.
///
/// # Errors
///
/// [`PageFault::Invalid`] in words of the page.
pub(in crate::web::console) fn require_note(
    step: &DeskStep,
    note: Option<&str>,
) -> Result<(), PageFault> {
    let what = match step {
        DeskStep::Note => "Write the note.",
        _ => "Write a note that says which other reason it is.",
    };
    check_note(step, note).map_err(|_| PageFault::Invalid(what.to_owned()))
}

/// `POST /cases/{case}/step`.
pub(in crate::web::console) async fn take(
    Extension(visit): Extension<Visit>,
    Extension(fields): Extension<Fields>,
    Path(case): Path<String>,
) -> Response {
    let page = take_step(&visit, &fields, case).await;
    visit.answer(page)
}

/// Takes the step, and goes back to the case.
async fn take_step(visit: &Visit, fields: &Fields, case: String) -> Page {
    require(visit, Role::Reviewer)?;
    let step = read_step(fields)?;
    let word = fields.exact("step").to_owned();
    let note = fields.find("note").map(str::to_owned);
    require_note(&step, note.as_deref())?;
    let (who, seen) = (visit.person.name.clone(), fields.exact("seen").to_owned());
    let taken = visit.console.desks.act(move |desk| {
        let row = find_case(desk.store(), &case)?;
        let step = Step {
            step: &step,
            note: note.as_deref(),
            who: &who,
            seen: Some(&seen),
        };
        let taken = step.take(desk, row.id, desk.clock().now())?;
        let refused = taken.err().map(|fault| fault.to_string());
        Ok::<_, DeskError>((case_reference(row.id), refused))
    });
    match taken.await?? {
        (_, Some(refused)) => Err(PageFault::Refused(format!("{refused}."))),
        (reference, None) => Ok(see_other(&format!("/cases/{reference}?done={word}"))),
    }
}
