//! `fluxwatch cases ack|dismiss|close|reopen|note|assign|log`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::case::{CaseState, DeskStep, DismissReason, StepRefused, take_step};
use crate::cli::arguments::{CasesAction, CasesLog, CasesStep};
use crate::cli::cases::parse_states;
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, plain, print_list};
use crate::cli::session::{
    actor, find_case, load_config, open_pipeline, open_store, open_to_look, parse_name,
    read_number, runtime,
};
use crate::detector::{Level, Verdict};
use crate::pipeline::Pipeline;
use crate::report::case_reference;
use crate::store::{CaseEventRow, CaseRow, Store};
use crate::time::{Clock, Timestamp, WallClock};

/// Runs the command.
pub fn run(config: Option<&Path>, action: &CasesAction) -> Result<Done, Failure> {
    match action {
        CasesAction::List(_) | CasesAction::Show(_) => Ok(Done::Well),
        CasesAction::Log(command) => run_log(config, command),
        CasesAction::Ack(step) => run_step(config, step, &DeskStep::Acknowledge),
        CasesAction::Reopen(step) => run_step(config, step, &DeskStep::Reopen),
        CasesAction::Note(step) => {
            if step
                .note
                .as_deref()
                .is_none_or(|note| note.trim().is_empty())
            {
                return Err(Failure::usage("a note says something: --note TEXT"));
            }
            run_step(config, step, &DeskStep::Note)
        }
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
            if reason == DismissReason::Other && dismiss.step.note.is_none() {
                return Err(Failure::usage(
                    "--reason other needs a --note that says which",
                ));
            }
            run_step(config, &dismiss.step, &DeskStep::Dismiss(reason))
        }
    }
}

/// Takes a step with each of some cases, and tells those who were told of them.
fn run_step(config: Option<&Path>, command: &CasesStep, step: &DeskStep) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let who = actor(command.by.as_deref())?;
    let has_mail = config.mail.is_some() || !config.webhooks.is_empty();
    let store = match command.dry_run {
        true => open_to_look(&config)?,
        false => open_store(&config)?,
    };
    let rows = select(&store, command, step)?;
    let pipeline = open_pipeline(config, store)?;
    let mut err = std::io::stderr();
    let (mut taken, mut refused) = (0, 0);
    for row in &rows {
        match step_one(&pipeline, row.id, command, step, &who)? {
            Ok(sentence) => {
                taken += 1;
                writeln!(err, "{}", plain(&sentence))?;
            }
            Err(fault) => {
                refused += 1;
                writeln!(err, "case {}: {fault}", case_reference(row.id))?;
            }
        }
    }
    if command.dry_run {
        writeln!(err, "dry run: nothing was changed")?;
    } else if has_mail && taken > 0 {
        // What cannot leave now leaves with the next pass of whoever polls.
        runtime()?.block_on(pipeline.deliver())?;
    }
    Ok(if refused > 0 {
        Done::Partly
    } else {
        Done::Well
    })
}

/// Takes a step with one case, in one transaction with what is told of it. Returns what was done, or why
/// it cannot be.
fn step_one(
    pipeline: &Pipeline,
    id: i64,
    command: &CasesStep,
    step: &DeskStep,
    who: &str,
) -> Result<Result<String, StepRefused>, Failure> {
    let store = pipeline.store();
    let tx = match command.dry_run {
        true => None,
        false => Some(store.begin_batch()?),
    };
    // Read in the transaction: a poller may have moved it meanwhile.
    let row = store
        .desk()
        .case_by_id(id)?
        .ok_or_else(|| Failure::failed(format!("case {} was taken away", case_reference(id))))?;
    let taken = take_step(&row.case, step, command.note.as_deref(), WallClock.now());
    let (case, event) = match taken {
        Ok(taken) => taken,
        Err(fault) => return Ok(Err(fault)),
    };
    if let Some(tx) = tx {
        store
            .desk()
            .save_case(&case, std::slice::from_ref(&event), who)?;
        pipeline.tell_after_step(id)?;
        tx.commit()?;
    }
    let would = if command.dry_run { "would be " } else { "" };
    Ok(Ok(format!(
        "case {}, {}: {would}{}",
        case_reference(id),
        case.domain.to_text_without_dot(),
        event.note
    )))
}

/// Returns the cases that are named, or that every filter holds for.
fn select(store: &Store, command: &CasesStep, step: &DeskStep) -> Result<Vec<CaseRow>, Failure> {
    let has_filter = command.campaign.is_some()
        || command.zone.is_some()
        || command.verdict.is_some()
        || command.level.is_some()
        || !command.state.is_empty();
    if !command.cases.is_empty() {
        if has_filter {
            return Err(Failure::usage("name cases, or give filters, not both"));
        }
        return command
            .cases
            .iter()
            .map(|text| find_case(store, text))
            .collect();
    }
    let states = match (command.state.is_empty(), step) {
        (false, _) => parse_states(&command.state)?,
        (true, DeskStep::Reopen) => {
            vec![
                CaseState::Dismissed,
                CaseState::Closed,
                CaseState::Mitigated,
            ]
        }
        (true, DeskStep::Acknowledge) => vec![CaseState::Open],
        (true, _) => vec![CaseState::Open, CaseState::Acknowledged],
    };
    let filter = CaseFilter {
        campaign: command.campaign.as_deref(),
        zone: command.zone.as_deref(),
        verdict: command.verdict.as_deref(),
        level: command.level.as_deref(),
    };
    let mut rows = filter.select(store, &states)?;
    if rows.is_empty() {
        return Err(Failure::failed(
            "no case is in these states and fits the filters",
        ));
    }
    rows.sort_by_key(|row| row.id);
    Ok(rows)
}

/// Which cases are wanted, as it was typed.
#[derive(Debug, Clone, Copy)]
pub struct CaseFilter<'a> {
    /// `FC-3`.
    pub campaign: Option<&'a str>,
    /// At or below it.
    pub zone: Option<&'a str>,
    /// `double-flux` and so on.
    pub verdict: Option<&'a str>,
    /// `report` and so on.
    pub level: Option<&'a str>,
}

impl CaseFilter<'_> {
    /// Returns the cases in some states that it lets through, the most certain first.
    pub fn select(&self, store: &Store, states: &[CaseState]) -> Result<Vec<CaseRow>, Failure> {
        let campaign = self.campaign.map(|text| {
            let fault = || Failure::usage(format!("--campaign: {text:?} is none, such as FC-3"));
            read_number(text, "FC-").ok_or_else(fault)
        });
        let campaign = campaign.transpose()?;
        let zone = self.zone.map(parse_name).transpose()?;
        let verdict = self.verdict.map(|word| {
            let words = "double-flux, ns-flux, single-flux";
            let fault = || Failure::usage(format!("--verdict: {word:?} is none of {words}"));
            Verdict::parse(word).ok_or_else(fault)
        });
        let verdict = verdict.transpose()?;
        let level = self.level.map(|word| {
            let words = "report, review, watch";
            let fault = || Failure::usage(format!("--level: {word:?} is none of {words}"));
            Level::parse(word).ok_or_else(fault)
        });
        let level = level.transpose()?;
        let mut rows = store.desk().cases(states)?;
        rows.retain(|row| {
            let domain = &row.case.domain;
            campaign.is_none_or(|campaign| row.campaign == Some(campaign))
                && zone.as_ref().is_none_or(|zone| domain.is_at_or_below(zone))
                && verdict.is_none_or(|verdict| row.case.verdict == verdict)
                && level.is_none_or(|level| row.case.level == level)
        });
        Ok(rows)
    }
}

/// A line of a log, as scripts read it.
#[derive(Serialize)]
pub struct LogJson {
    at: Timestamp,
    who: String,
    from: Option<&'static str>,
    to: &'static str,
    note: String,
}

impl From<CaseEventRow> for LogJson {
    fn from(line: CaseEventRow) -> Self {
        Self {
            at: line.event.at,
            who: line.actor,
            from: line.event.from.map(CaseState::word),
            to: line.event.to.word(),
            note: line.event.note,
        }
    }
}

impl Row for LogJson {
    const HEADINGS: &'static [&'static str] = &["at", "who", "from", "to", "note"];
    const TABLE_HEADINGS: &'static [&'static str] = &["time (utc)", "who", "state", "what"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.at.to_string(),
            self.who.clone(),
            self.from.unwrap_or_default().to_owned(),
            self.to.to_owned(),
            self.note.clone(),
        ]
    }

    fn table_cells(&self) -> Vec<String> {
        let state = match self.from {
            Some(from) if from != self.to => format!("{from} -> {}", self.to),
            _ => self.to.to_owned(),
        };
        vec![
            self.at.to_table(),
            self.who.clone(),
            state,
            self.note.clone(),
        ]
    }
}

/// Prints the log of a case.
fn run_log(config: Option<&Path>, command: &CasesLog) -> Result<Done, Failure> {
    let store = open_to_look(&load_config(config)?)?;
    let row = find_case(&store, &command.case)?;
    let lines = store
        .desk()
        .case_events(row.id)?
        .into_iter()
        .map(LogJson::from);
    print_list(&lines.collect::<Vec<_>>(), command.format)?;
    Ok(Done::Well)
}
