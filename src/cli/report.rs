//! `fluxwatch report`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::case::{Case, SendReason, exemption_of};
use crate::cli::arguments::{
    ListFormat, PreviewFormat, PreviewProfile, ReportCommand, ReportDecide, ReportList,
    ReportPreview, ReportSend,
};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list, stdout};
use crate::cli::session::{
    actor, find_case, load_config, open_pipeline, open_store, open_to_look, runtime,
};
use crate::config::{Config, Profile};
use crate::mailer::{is_same_address, read_part};
use crate::pipeline::{Addressee, Approval, CaseMail, PREVIEW_TOKEN, Pipeline};
use crate::report::case_reference;
use crate::store::{CaseRow, MailKind, NoticeRow};
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
    let mut rows: Vec<NoticeJson> = store
        .desk()
        .drafted_notices()?
        .iter()
        .map(NoticeJson::from)
        .collect();
    rows.sort_by(|left, right| {
        let key = |row: &NoticeJson| (row.recipient.to_lowercase(), row.drafted_at, row.case);
        key(left).cmp(&key(right))
    });
    print_list(&rows, command.format)?;
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
    let mut out = stdout();
    if let Some(recipient) = &command.to {
        let notices = store.desk().notices_of_case(row.id)?;
        let mut notices = notices.iter().rev();
        let notice = notices.find(|it| is_same_address(&it.message.recipient, recipient));
        let notice = notice.ok_or_else(|| {
            let case = case_reference(row.id);
            Failure::failed(format!("case {case} has no notice to {recipient}"))
        })?;
        if command.format != PreviewFormat::Eml {
            return Err(Failure::usage(
                "a notice is shown as it was drafted: only --format eml",
            ));
        }
        out.write_all(&notice.message.octets)?;
        out.flush()?;
        return Ok(Done::Well);
    }
    let is_of_desk = |kind: MailKind| {
        matches!(
            kind,
            MailKind::Report | MailKind::Update | MailKind::Closure
        )
    };
    let messages = store.desk().messages_of_case(row.id)?;
    let queued = messages.iter().rfind(|it| is_of_desk(it.message.kind));
    if let (Some(queued), None) = (queued, command.profile) {
        let octets = &queued.message.octets;
        let part = match command.format {
            PreviewFormat::Eml => Some(octets.clone()),
            PreviewFormat::Text => read_part(octets, "text/plain", None),
            PreviewFormat::Details => read_part(octets, "text/plain", Some("details.txt")),
            PreviewFormat::Html => read_part(octets, "text/html", None),
            PreviewFormat::Xarf => read_part(octets, "application/json", Some("xarf.json")),
            PreviewFormat::Csv => read_part(octets, "text/csv", Some("evidence.csv")),
        };
        let part = part.ok_or_else(|| {
            Failure::failed("the mail that was queued last has no such part")
                .hint("--profile desk shows what would be built now")
        })?;
        out.write_all(&part)?;
        out.flush()?;
        return Ok(Done::Well);
    }
    if command.profile == Some(PreviewProfile::Xarf) && command.format == PreviewFormat::Html {
        return Err(Failure::usage("the profile xarf has no HTML"));
    }
    let pipeline = open_pipeline(config, store)?;
    let found = pipeline.find(&row.case.domain, row.case.evaluated_at)?;
    let finding = found.finding.ok_or_else(|| {
        Failure::failed(format!(
            "{} shows nothing at {} that could be reported",
            row.case.domain.to_text_without_dot(),
            row.case.evaluated_at
        ))
    })?;
    let case = Case {
        revision: row.case.revision + 1,
        ..row.case.clone()
    };
    let is_first = row.case.revision == 0;
    let mail = CaseMail {
        case_id: row.id,
        case: &case,
        finding: Some(&finding),
        kind: if is_first {
            MailKind::Report
        } else {
            MailKind::Update
        },
        reason: if is_first {
            SendReason::FirstReport
        } else {
            SendReason::Asked
        },
        now: WallClock.now(),
    };
    let parts =
        pipeline.compose_case_mail(&mail, &addressee(&pipeline, &case, command)?, PREVIEW_TOKEN)?;
    match command.format {
        PreviewFormat::Eml => out.write_all(&parts.message.octets)?,
        PreviewFormat::Text => out.write_all(parts.text.as_bytes())?,
        PreviewFormat::Details => out.write_all(parts.details.as_bytes())?,
        PreviewFormat::Html => out.write_all(parts.html.as_bytes())?,
        PreviewFormat::Xarf => {
            out.write_all(&parts.xarf)?;
            writeln!(out)?;
        }
        PreviewFormat::Csv => out.write_all(&parts.csv)?,
    }
    out.flush()?;
    Ok(Done::Well)
}

/// Returns to whom a preview is written: the first of the desk, in the profile that was asked for.
fn addressee(
    pipeline: &Pipeline,
    case: &Case,
    command: &ReportPreview,
) -> Result<Addressee, Failure> {
    let first = pipeline.desk_addressees(case).into_iter().next();
    let mut first = first.ok_or_else(|| Failure::usage("the desk has no address"))?;
    match command.profile {
        Some(PreviewProfile::Desk) => first.profile = Profile::Desk,
        Some(PreviewProfile::Xarf) => first.profile = Profile::Xarf,
        None => {}
    }
    Ok(first)
}

/// Tells the desk of a case once more.
fn run_send(config: Config, command: &ReportSend) -> Result<Done, Failure> {
    let who = actor(command.by.as_deref())?;
    let mut err = std::io::stderr();
    if command.dry_run {
        let store = open_to_look(&config)?;
        let row = find_case(&store, &command.case)?;
        let pipeline = open_pipeline(config, store)?;
        warn_of_exemption(&pipeline, &row)?;
        for to in pipeline.desk_addressees(&row.case) {
            writeln!(err, "would be told: {}", to.address)?;
        }
        writeln!(err, "dry run: nothing was sent or changed")?;
        return Ok(Done::Well);
    }
    let store = open_store(&config)?;
    let row = find_case(&store, &command.case)?;
    let pipeline = open_pipeline(config, store)?;
    warn_of_exemption(&pipeline, &row)?;
    let count = pipeline.send_again(row.id, &who)?;
    writeln!(err, "case {}: queued to {count}", case_reference(row.id))?;
    deliver(&pipeline)
}

/// Says that a case is exempt: who asks for its mail gets it all the same.
fn warn_of_exemption(pipeline: &Pipeline, row: &CaseRow) -> Result<(), Failure> {
    let now = WallClock.now();
    let found = pipeline.find(&row.case.domain, row.case.evaluated_at)?;
    let live = pipeline.store().desk().exemptions_in_force(now)?;
    let registration = pipeline.registration_of(&row.case.domain);
    let account = registration.and_then(|it| it.account);
    let covering = found
        .finding
        .and_then(|finding| exemption_of(&live, &finding, account.as_deref(), now).cloned());
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
    let (who, mut err) = (actor(command.by.as_deref())?, std::io::stderr());
    let (pipeline, row) = open_for(config, command)?;
    if command.dry_run {
        return tell_draft(&pipeline, &row, command);
    }
    let approval = pipeline.approve_notice(&row, &command.to, &who, command.note.as_deref())?;
    match approval {
        Approval::Approved(notice) => {
            let (to, hash) = (&notice.message.recipient, notice.sha256);
            writeln!(err, "approved: the notice to {to}, sha256 {hash}")?;
            deliver(&pipeline)
        }
        Approval::Redrafted => Err(Failure::failed(
            "the case changed since that was drafted; there is a new draft",
        )
        .hint("look at it: fluxwatch report preview CASE --to ADDRESS")),
        Approval::Void => Err(Failure::failed(
            "the case changed since that was drafted, and there is nothing to tell any more",
        )),
        Approval::NoDraft => Err(no_draft(&row, command)),
    }
}

/// Rejects a notice.
fn run_reject(config: Config, command: &ReportDecide) -> Result<Done, Failure> {
    let who = actor(command.by.as_deref())?;
    let (pipeline, row) = open_for(config, command)?;
    if command.dry_run {
        return tell_draft(&pipeline, &row, command);
    }
    if !pipeline.reject_notice(&row, &command.to, &who, command.note.as_deref())? {
        return Err(no_draft(&row, command));
    }
    writeln!(std::io::stderr(), "rejected: the notice to {}", command.to)?;
    Ok(Done::Well)
}

/// Opens what a decision on a notice needs.
fn open_for(config: Config, command: &ReportDecide) -> Result<(Pipeline, CaseRow), Failure> {
    let store = match command.dry_run {
        true => open_to_look(&config)?,
        false => open_store(&config)?,
    };
    let row = find_case(&store, &command.case)?;
    Ok((open_pipeline(config, store)?, row))
}

/// Says which draft would be decided on.
fn tell_draft(pipeline: &Pipeline, row: &CaseRow, command: &ReportDecide) -> Result<Done, Failure> {
    let notices = pipeline.store().desk().notices_of_case(row.id)?;
    let draft = notices.iter().rev().find(|it| {
        it.state.word() == "drafted" && is_same_address(&it.message.recipient, &command.to)
    });
    let draft = draft.ok_or_else(|| no_draft(row, command))?;
    let mut err = std::io::stderr();
    writeln!(
        err,
        "the notice to {} as {}, sha256 {}\ndry run: nothing was changed",
        draft.message.recipient, draft.party, draft.sha256
    )?;
    Ok(Done::Well)
}

/// Returns the failure where nothing waits for a recipient.
fn no_draft(row: &CaseRow, command: &ReportDecide) -> Failure {
    let what = format!(
        "no notice of case {} to {} waits for approval",
        case_reference(row.id),
        command.to
    );
    Failure::failed(what).hint("fluxwatch cases show CASE lists its notices")
}

/// Sends what is queued.
fn deliver(pipeline: &Pipeline) -> Result<Done, Failure> {
    let delivered = runtime()?.block_on(pipeline.deliver())?;
    writeln!(std::io::stderr(), "mail: {delivered}")?;
    Ok(match delivered.waiting + delivered.dead > 0 {
        true => Done::Partly,
        false => Done::Well,
    })
}
