//! A step with many cases: what it would touch, then the step, for what was shown.

use axum::Extension;
use axum::response::Response;
use serde_json::{Value, json};

use crate::case::{DeskStep, reopening_words};
use crate::desk::DeskError;
use crate::desk::step::{Step, mark_of};
use crate::people::Role;
use crate::pipeline::Pipeline;
use crate::report::case_reference;
use crate::store::COUNTED_BEFORE_STEP_MAX;
use crate::web::console::forms::require;
use crate::web::console::queue::Asked;
use crate::web::console::reply::{Page, PageFault, Visit};
use crate::web::console::steps::{read_step, require_note};
use crate::web::console::words;
use crate::web::form::Fields;

/// The most cases of one step.
const CASES_MAX: usize = 200;

/// `POST /cases/bulk`: shows what a step would touch; with `confirmed`, takes it with the cases that were shown.
pub(in crate::web::console) async fn take(
    Extension(visit): Extension<Visit>,
    Extension(fields): Extension<Fields>,
) -> Response {
    let page = match fields.find("confirmed") {
        Some(_) => take_all(&visit, &fields).await,
        None => preview(&visit, fields).await,
    };
    visit.answer(page)
}

/// What a form with a step for many cases says.
struct Wanted {
    step: DeskStep,
    note: Option<String>,
    who: String,
}

impl Wanted {
    /// Reads the form.
    fn read(visit: &Visit, fields: &Fields) -> Result<Self, PageFault> {
        require(visit, Role::Reviewer)?;
        let step = read_step(fields)?;
        let note = fields.find("note").map(str::to_owned);
        require_note(&step, note.as_deref())?;
        let who = visit.person.name.clone();
        Ok(Self { step, note, who })
    }

    /// Returns the step, for a case as it was seen.
    fn step<'a>(&'a self, seen: Option<&'a str>) -> Step<'a> {
        Step {
            step: &self.step,
            note: self.note.as_deref(),
            who: &self.who,
            seen,
        }
    }
}

/// Shows what a step would touch.
async fn preview(visit: &Visit, fields: Fields) -> Page {
    let wanted = Wanted::read(visit, &fields)?;
    let mut says = json!({
        "step": fields.exact("step"), "reason": fields.exact("reason"), "to": fields.exact("to"),
        "note": wanted.note, "mitigated": fields.find("mitigated").is_some(), "is_done": false,
    });
    let asked = Asked::new(fields, visit);
    says["query"] = json!(asked.query("", ""));
    let looked = visit.console.desks.look(move |desk| {
        let filter = asked.filter(desk.clock().now())?;
        let count = desk
            .store()
            .desk()
            .queue_count(&filter, COUNTED_BEFORE_STEP_MAX)?;
        let ids = desk.store().desk().queue_ids(&filter, CASES_MAX)?;
        let rows: Result<Vec<Value>, DeskError> =
            ids.into_iter().map(|id| would(desk, &wanted, id)).collect();
        let is_dismissal = matches!(wanted.step, DeskStep::Dismiss(_));
        let reopening = is_dismissal.then(|| reopening_words(&desk.config().detect, None));
        Ok((count, rows?, reopening))
    });
    let (count, rows, reopening) = looked.await??;
    says["reopening"] = json!(reopening);
    says["touched"] = json!(rows.iter().filter(|row| row["mark"] != Value::Null).count());
    says["left"] = json!(count.saturating_sub(rows.len() as u32));
    says["rows"] = json!(rows);
    visit.page("bulk.html", "Step with many cases", says)
}

/// Returns what would become of a case, with its mark if something would.
fn would(desk: &Pipeline, wanted: &Wanted, id: i64) -> Result<Value, DeskError> {
    let row = desk.store().desk().case_by_id(id)?;
    let row = row.ok_or_else(|| DeskError::Stale(case_reference(id)))?;
    let done = wanted.step(None).preview(desk, id, desk.clock().now())?;
    let (what, mark) = match done {
        Ok(taken) => (taken.note, Some(mark_of(desk.store(), &row)?)),
        Err(refused) => (refused.to_string(), None),
    };
    Ok(
        json!({"reference": case_reference(id), "domain": words::name(&row.case.domain), "id": id,
              "state": row.case.state.word(), "what": what, "mark": mark}),
    )
}

/// Takes a step with the cases that were shown, each as it was seen then.
async fn take_all(visit: &Visit, fields: &Fields) -> Page {
    let wanted = Wanted::read(visit, fields)?;
    let mut says = json!({"is_done": true, "step": fields.exact("step"), "query": "", "left": 0, "note": null,
                          "reason": "", "to": "", "mitigated": false});
    let shown = fields.all("case");
    let acted = visit.console.desks.act(move |desk| {
        let rows = shown.iter().take(CASES_MAX).filter_map(|text| {
            let (id, mark) = text.split_once('~')?;
            Some((id.parse::<i64>().ok()?, mark))
        });
        rows.map(|(id, mark)| take_one(desk, &wanted, id, mark))
            .collect::<Result<Vec<Value>, DeskError>>()
    });
    let rows = acted.await??;
    says["touched"] = json!(rows.iter().filter(|row| row["is_taken"] == true).count());
    says["rows"] = json!(rows);
    visit.page("bulk.html", "Step with many cases", says)
}

/// Takes the step with one case.
fn take_one(desk: &Pipeline, wanted: &Wanted, id: i64, mark: &str) -> Result<Value, DeskError> {
    let taken = wanted.step(Some(mark)).take(desk, id, desk.clock().now());
    let (what, is_taken) = match taken {
        Ok(Ok(taken)) => (taken.note, true),
        Ok(Err(refused)) => (refused.to_string(), false),
        // The others are as they were shown.
        Err(fault @ (DeskError::Stale(_) | DeskError::NotFound { .. })) => {
            (fault.to_string(), false)
        }
        Err(fault) => return Err(fault),
    };
    Ok(json!({"reference": case_reference(id), "what": what, "is_taken": is_taken}))
}
