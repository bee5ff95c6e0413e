//! `fluxwatch report`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::arguments::{
    ListFormat, PreviewFormat, PreviewProfile, ReportCommand, ReportDecide, ReportList,
    ReportPreview, ReportSend,
};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list, stdout};
use crate::cli::session::{
    actor, load_config, open_deciding, open_pipeline, open_store, open_to_look, runtime,
};
use crate::config::{Config, Profile};
use crate::desk::filter::find_case;
use crate::desk::notice::{NoticeDecision, exemption_of_case, send_again, waiting_notices};
use crate::desk::preview::{self, Part};
use crate::pipeline::Pipeline;
use crate::report::case_reference;
use crate::store::{CaseRow, NoticeRow, NoticeState, shown_url};
use crate::time::{Clock, Timestamp, WallClock};

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ReportCommand) -> Result<Done, Failure> {
    let config = load_config(config)?;
    // What was drafted is there whether mail is configured now or not.
    let needs_mail = !matches!(command, ReportCommand::List(_));
    if needs_mail && config.mail.is_none() {
        return Err(Failure::usage(
            "a report needs [report] and [smtp] in the configuration",
        ));
    }
    match command {
        ReportCommand::List(list) => run_list(&config, list),
        ReportCommand::Preview(preview) => run_preview(config, preview),
        ReportCommand::Send(send) => run_send(config, send),
        ReportCommand::Approve(decide) => run_approve(config, decide),
        ReportCommand::Reject(decide) => run_reject(config, decide),
    }
}

/// A notice, as scripts read it.
#[derive(Serialize)]
pub struct NoticeJson {
    case: Option<i64>,
    recipient: String,
    party: String,
    subject: String,
    state: &'static str,
    drafted_at: Timestamp,
    decided_at: Option<Timestamp>,
    decided_by: Option<String>,
    sha256: String,
}

impl From<&NoticeRow> for NoticeJson {
    fn from(row: &NoticeRow) -> Self {
        Self {
            case: row.message.case_id,
            recipient: row.message.recipient.clone(),
            party: row.party.clone(),
            subject: row.message.subject.clone(),
            state: row.state.word(),
            drafted_at: row.drafted_at,
            decided_at: row.decided.as_ref().map(|(at, _)| *at),
            decided_by: row.decided.as_ref().map(|(_, who)| who.clone()),
            sha256: row.sha256.to_string(),
        }
    }
}

impl Row for NoticeJson {
    const HEADINGS: &'static [&'static str] = &[
        "case",
        "recipient",
        "party",
        "subject",
        "state",
        "drafted at",
        "decided at",
        "decided by",
        "sha256",
    ];
    const TABLE_HEADINGS: &'static [&'static str] =
        &["recipient", "as", "case", "drafted (utc)", "sha256"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.case.map_or_else(String::new, |case| case.to_string()),
            self.recipient.clone(),
            self.party.clone(),
            self.subject.clone(),
            self.state.to_owned(),
            self.drafted_at.to_string(),
            self.decided_at
                .map_or_else(String::new, |at| at.to_string()),
            self.decided_by.clone().unwrap_or_default(),
            self.sha256.clone(),
        ]
    }

    fn table_cells(&self) -> Vec<String> {
        vec![
            self.recipient.clone(),
            self.party.clone(),
            self.case.map_or_else(String::new, case_reference),
            self.drafted_at.to_minute(),
            self.sha256[..16].to_owned(),
        ]
    }
}

/// Lists the notices that wait for approval, by recipient.
fn run_list(config: &Config, command: &ReportList) -> Result<Done, Failure> {
    let store = open_to_look(config)?;
    let rows = waiting_notices(&store)?;
    let rows: Vec<NoticeJson> = rows.iter().map(NoticeJson::from).collect();
    print_list(&rows, command.format, "no draft waits for approval")?;
    if command.format == ListFormat::Table && !rows.is_empty() {
        writeln!(
            std::io::stderr(),
            "`fluxwatch report preview CASE --to RECIPIENT` shows one, `report approve` sends it, `report reject` does not"
        )?;
    }
    Ok(Done::Well)
}

/// Prints a case's mail: what was queued, or a part of what would be.
fn run_preview(config: Config, command: &ReportPreview) -> Result<Done, Failure> {
    let store = open_to_look(&config)?;
    let row = find_case(&store, &command.case)?;
    let part = part_of(command.format);
    let profile = command.profile.map(profile_of);
    let case = case_reference(row.id);
    let (queued, unsent) = match (&command.to, profile) {
        (Some(recipient), _) => {
            let (octets, state) = preview::notice(&store, &row, recipient, part)?;
            let unsent = match state {
                NoticeState::Drafted => {
                    Some("not sent: a draft, which waits for approval".to_owned())
                }
                NoticeState::Rejected => Some("not sent: a draft, which was rejected".to_owned()),
                NoticeState::Void => {
                    Some("not sent: a draft, which the case has overtaken".to_owned())
                }
                NoticeState::Approved | NoticeState::Queued => None,
            };
            (Some(octets), unsent)
        }
        (None, Some(_)) => (
            None,
            Some(format!(
                "not sent: the mail of case {case} as it would be now"
            )),
        ),
        (None, None) => match preview::queued(&store, &row, part)? {
            Some(octets) => (Some(octets), None),
            None => {
                let (level, what) = (row.case.level.word(), "the mail as it would be now");
                let unsent = format!(
                    "not sent: no mail about case {case}, at level {level}, was ever queued; this is {what}"
                );
                (None, Some(unsent))
            }
        },
    };
    let is_queued = queued.is_some();
    let octets = if let Some(octets) = queued {
        octets
    } else {
        preview::check_part(profile, part)?;
        let pipeline = open_pipeline(config, store)?;
        preview::composed(&pipeline, &row, profile, part, WallClock.now())?
    };
    // Before the mail: what was never sent reads like what was.
    if let Some(unsent) = unsent {
        writeln!(std::io::stderr(), "{unsent}\n")?;
    }
    let mut out = stdout();
    out.write_all(&octets)?;
    if !is_queued && part == Part::Xarf {
        writeln!(out)?;
    }
    out.flush()?;
    Ok(Done::Well)
}

/// Returns the part that a format is.
fn part_of(format: PreviewFormat) -> Part {
    match format {
        PreviewFormat::Eml => Part::Whole,
        PreviewFormat::Text => Part::Text,
        PreviewFormat::Details => Part::Details,
        PreviewFormat::Html => Part::Html,
        PreviewFormat::Xarf => Part::Xarf,
        PreviewFormat::Csv => Part::Csv,
    }
}

/// Returns the profile that was asked for.
fn profile_of(profile: PreviewProfile) -> Profile {
    match profile {
        PreviewProfile::Desk => Profile::Desk,
        PreviewProfile::Xarf => Profile::Xarf,
    }
}

/// Tells the desk of a case once more.
fn run_send(config: Config, command: &ReportSend) -> Result<Done, Failure> {
    let who = actor(command.by.as_deref(), &config)?;
    let mut err = std::io::stderr();
    if command.dry_run {
        let store = open_to_look(&config)?;
        let row = find_case(&store, &command.case)?;
        let pipeline = open_pipeline(config, store)?;
        warn_of_exemption(&pipeline, &row)?;
        for to in pipeline.notify().desk_addressees(&row.case) {
            writeln!(err, "would be told: {}", to.address)?;
        }
        for hook in &pipeline.config().webhooks {
            writeln!(err, "would be told: the webhook {}", shown_url(&hook.url))?;
        }
        writeln!(err, "dry run: nothing was sent or changed")?;
        return Ok(Done::Well);
    }
    let store = open_store(&config)?;
    let row = find_case(&store, &command.case)?;
    let pipeline = open_pipeline(config, store)?;
    warn_of_exemption(&pipeline, &row)?;
    let count = send_again(&pipeline, &row, &who, None)?;
    writeln!(err, "case {}: queued to {count}", case_reference(row.id))?;
    deliver(&pipeline)
}

/// Says that a case is exempt: who asks for its mail gets it all the same.
fn warn_of_exemption(pipeline: &Pipeline, row: &CaseRow) -> Result<(), Failure> {
    let covering = exemption_of_case(pipeline, row, WallClock.now())?;
    if let Some(exemption) = covering {
        writeln!(
            std::io::stderr(),
            "note: exempt by number {} ({}); told because you ask",
            exemption.id,
            exemption.reason
        )?;
    }
    Ok(())
}

/// Approves a notice and sends what is approved.
fn run_approve(config: Config, command: &ReportDecide) -> Result<Done, Failure> {
    let (who, mut err) = (actor(command.by.as_deref(), &config)?, std::io::stderr());
    let (pipeline, row) = open_for(config, command)?;
    let decision = decision(command, &who);
    if command.dry_run {
        let done = print_draft(&pipeline, &row, &decision)?;
        if let Some(reason) = decision.stop_of(&pipeline, &row)? {
            writeln!(err, "note: approved, it would not be sent: {reason}")?;
        }
        return Ok(done);
    }
    let notice = decision.approve(&pipeline, &row)?;
    let (to, hash) = (&notice.message.recipient, notice.sha256);
    writeln!(err, "approved: the notice to {to}, sha256 {hash}")?;
    deliver(&pipeline)
}

/// Returns the decision that a command is.
fn decision<'a>(command: &'a ReportDecide, who: &'a str) -> NoticeDecision<'a> {
    NoticeDecision {
        recipient: &command.to,
        who,
        note: command.note.as_deref(),
        seen: None,
    }
}

/// Rejects a notice.
fn run_reject(config: Config, command: &ReportDecide) -> Result<Done, Failure> {
    let who = actor(command.by.as_deref(), &config)?;
    let (pipeline, row) = open_for(config, command)?;
    if command.dry_run {
        return print_draft(&pipeline, &row, &decision(command, &who));
    }
    decision(command, &who).reject(&pipeline, &row)?;
    writeln!(std::io::stderr(), "rejected: the notice to {}", command.to)?;
    Ok(Done::Well)
}

/// Opens what a decision on a notice needs.
fn open_for(config: Config, command: &ReportDecide) -> Result<(Pipeline, CaseRow), Failure> {
    let store = if command.dry_run {
        open_to_look(&config)?
    } else {
        open_store(&config)?
    };
    let row = find_case(&store, &command.case)?;
    Ok((open_deciding(config, store)?, row))
}

/// Says which draft would be decided on.
fn print_draft(
    pipeline: &Pipeline,
    row: &CaseRow,
    decision: &NoticeDecision<'_>,
) -> Result<Done, Failure> {
    let draft = decision.find_draft(pipeline, row)?;
    let mut err = std::io::stderr();
    writeln!(
        err,
        "the notice to {} as {}, sha256 {}\ndry run: nothing was changed",
        draft.message.recipient, draft.party, draft.sha256
    )?;
    Ok(Done::Well)
}

/// Sends what is queued.
fn deliver(pipeline: &Pipeline) -> Result<Done, Failure> {
    let delivered = runtime()?.block_on(pipeline.notify().deliver())?;
    writeln!(std::io::stderr(), "mail: {delivered}")?;
    Ok(if delivered.waiting + delivered.dead > 0 {
        Done::Partly
    } else {
        Done::Well
    })
}
