//! `fluxwatch cases ack|dismiss|close|reopen|note|assign|log`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::case::{CaseState, DeskStep, DismissReason, reopening_words};
use crate::cli::arguments::{CasesAction, CasesLog, CasesStep};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list};
use crate::cli::plain::plain;
use crate::cli::session::{actor, load_config, open_deciding, open_store, open_to_look, runtime};
use crate::desk::filter::{CaseFilter, Selection, find_case};
use crate::desk::step::{Step, check_note};
use crate::listing::{CaseLogJson, LOG_HEADINGS, log_times};
use crate::report::case_reference;
use crate::store::{CaseEventRow, DeskLine};
use crate::time::{Clock, Timestamp, WallClock};

/// Runs the command.
pub fn run(config: Option<&Path>, action: &CasesAction) -> Result<Done, Failure> {
    match action {
        CasesAction::List(_) | CasesAction::Show(_) => Ok(Done::Well),
        CasesAction::Log(command) => run_log(config, command),
        CasesAction::Ack(step) => run_step(config, step, &DeskStep::Acknowledge),
        CasesAction::Reopen(step) => run_step(config, step, &DeskStep::Reopen),
        CasesAction::Note(step) => run_step(config, step, &DeskStep::Note),
        CasesAction::Close(close) => {
            let mitigated = close.mitigated;
            run_step(config, &close.step, &DeskStep::Close { mitigated })
        }
        CasesAction::Assign(assign) => {
            let to = assign.to.as_ref().map(|to| to.trim().to_owned());
            let to = to.filter(|to| !to.is_empty());
            run_step(config, &assign.step, &DeskStep::Assign(to))
        }
        CasesAction::Dismiss(dismiss) => {
            let reason = DismissReason::parse(&dismiss.reason).ok_or_else(|| {
                let all = DismissReason::ALL.map(DismissReason::word).join(", ");
                Failure::usage(format!("--reason: {:?} is none of {all}", dismiss.reason))
            })?;
            run_step(config, &dismiss.step, &DeskStep::Dismiss(reason))
        }
    }
}

/// Takes a step with each of some cases, and tells those who were told of them.
fn run_step(config: Option<&Path>, command: &CasesStep, step: &DeskStep) -> Result<Done, Failure> {
    check_note(step, command.note.as_deref())?;
    let config = load_config(config)?;
    let who = actor(command.by.as_deref(), &config)?;
    let has_mail = config.mail.is_some() || !config.webhooks.is_empty();
    let store = if command.dry_run {
        open_to_look(&config)?
    } else {
        open_store(&config)?
    };
    let rows = selection(command).select(&store, step, WallClock.now())?;
    let pipeline = open_deciding(config, store)?;
    let step = Step {
        step,
        note: command.note.as_deref(),
        who: &who,
        seen: None,
    };
    let mut err = std::io::stderr();
    let (mut taken, mut refused) = (0, 0);
    for row in &rows {
        let (done, would, verb) = if command.dry_run {
            let done = step.preview(&pipeline, row.id, WallClock.now())?;
            (done, "would be ", "would be")
        } else {
            (step.take(&pipeline, row.id, WallClock.now())?, "", "is")
        };
        let case = case_reference(row.id);
        match done {
            Ok(done) => {
                taken += 1;
                let domain = done.case.domain.to_text_without_dot();
                let mail = done.mail_words(verb);
                let ending = mail.map_or_else(String::new, |words| format!("; {words}"));
                let sentence = format!("case {case}, {domain}: {would}{}{ending}", done.note);
                writeln!(err, "{}", plain(&sentence))?;
            }
            Err(fault) => {
                refused += 1;
                writeln!(err, "case {case}: {fault}")?;
            }
        }
    }
    if taken > 0 && matches!(step.step, DeskStep::Dismiss(_)) {
        let reopening = reopening_words(&pipeline.config().detect, None);
        writeln!(
            err,
            "a dismissed case {reopening}; `fluxwatch cases reopen` opens it by hand"
        )?;
    }
    if command.dry_run {
        writeln!(err, "dry run: nothing was changed")?;
    } else if has_mail && taken > 0 {
        // What cannot leave now leaves with the next pass of whoever polls.
        runtime()?.block_on(pipeline.notify().deliver())?;
    }
    Ok(if refused > 0 {
        Done::Partly
    } else {
        Done::Well
    })
}

/// Returns which cases a command names.
fn selection(command: &CasesStep) -> Selection<'_> {
    Selection {
        named: &command.cases,
        states: &command.state,
        filter: CaseFilter {
            campaign: command.campaign.as_deref(),
            zone: command.zone.as_deref(),
            verdict: command.verdict.as_deref(),
            level: command.level.as_deref(),
            ..CaseFilter::default()
        },
    }
}

impl Row for CaseLogJson {
    const HEADINGS: &'static [&'static str] = &["at", "written_at", "who", "from", "to", "note"];
    const TABLE_HEADINGS: &'static [&'static str] = &LOG_HEADINGS;

    fn cells(&self) -> Vec<String> {
        vec![
            self.at.to_string(),
            self.written_at
                .map_or_else(String::new, |at| at.to_string()),
            self.who.clone(),
            self.from.unwrap_or_default().to_owned(),
            self.to.to_owned(),
            self.note.clone(),
        ]
    }

    fn table_cells(&self) -> Vec<String> {
        let [written, as_of] = log_times(self.written_at, self.at);
        vec![
            written,
            as_of,
            self.who.clone(),
            state_cell(self.from, self.to),
            self.note.clone(),
        ]
    }
}

/// Returns how a table shows the states before and after a step.
fn state_cell(from: Option<&str>, to: &str) -> String {
    match from {
        Some(from) if from != to => format!("{from} -> {to}"),
        _ => to.to_owned(),
    }
}

/// A line of the log of all that people did, as scripts read it.
#[derive(Serialize)]
struct DeskLineJson {
    at: Timestamp,
    who: String,
    case: Option<String>,
    from: Option<&'static str>,
    to: Option<&'static str>,
    note: String,
}

impl From<DeskLine> for DeskLineJson {
    fn from(line: DeskLine) -> Self {
        Self {
            at: line.at,
            who: line.actor,
            case: line.case_id.map(case_reference),
            from: line.states.and_then(|it| it.0).map(CaseState::word),
            to: line.states.map(|it| it.1.word()),
            note: line.note,
        }
    }
}

impl Row for DeskLineJson {
    const HEADINGS: &'static [&'static str] = &["at", "who", "case", "from", "to", "note"];
    const TABLE_HEADINGS: &'static [&'static str] = &["time (utc)", "who", "case", "state", "what"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.at.to_string(),
            self.who.clone(),
            self.case.clone().unwrap_or_default(),
            self.from.unwrap_or_default().to_owned(),
            self.to.unwrap_or_default().to_owned(),
            self.note.clone(),
        ]
    }

    fn table_cells(&self) -> Vec<String> {
        vec![
            self.at.to_table(),
            self.who.clone(),
            self.case.clone().unwrap_or_default(),
            state_cell(self.from, self.to.unwrap_or_default()),
            self.note.clone(),
        ]
    }
}

/// The most lines of a log of all that people did; older ones stand in the logs of the cases.
const LINES_MAX: usize = 10_000;

/// Prints the log of a case, or of all that people did.
fn run_log(config: Option<&Path>, command: &CasesLog) -> Result<Done, Failure> {
    let since = command
        .since
        .as_deref()
        .map(|text| Timestamp::parse_argument(text, WallClock.now()))
        .transpose()
        .map_err(|fault| Failure::usage(format!("--since: {fault}")))?;
    let store = open_to_look(&load_config(config)?)?;
    let Some(case) = &command.case else {
        let since = since.unwrap_or(Timestamp::from_unix(0));
        let lines = store.desk().people_did(since, LINES_MAX)?.into_iter();
        print_list(
            &lines.map(DeskLineJson::from).collect::<Vec<_>>(),
            command.format,
            "nobody did anything with cases, messages or zones",
        )?;
        return Ok(Done::Well);
    };
    let row = find_case(&store, case)?;
    let lines = store.desk().case_events(row.id)?.into_iter();
    let written = |line: &CaseEventRow| line.written_at.unwrap_or(line.event.at);
    let lines = lines.filter(|line| since.is_none_or(|since| written(line) >= since));
    let lines: Vec<CaseLogJson> = lines.map(CaseLogJson::from).collect();
    print_list(&lines, command.format, "the log has no line since then")?;
    Ok(Done::Well)
}
