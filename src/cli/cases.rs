//! `fluxwatch cases`.

use std::io::Write;
use std::path::Path;

use crate::case::{CaseState, campaign_reference};
use crate::cli::arguments::{CasesAction, CasesCommand, CasesList, CasesShow};
use crate::cli::desk::{self, CaseFilter};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list, stdout, table};
use crate::cli::session::{find_case, load_config, open_store};
use crate::detector::Level;
use crate::listing::CaseJson;
use crate::report::case_reference;
use crate::store::{CaseRow, MessageState, NoticeRow};

impl Row for CaseJson {
    const HEADINGS: &'static [&'static str] = &[
        "id",
        "domain",
        "verdict",
        "level",
        "peak level",
        "score",
        "state",
        "first detected at",
        "last change at",
    ];

    const TABLE_HEADINGS: &'static [&'static str] = &[
        "id",
        "domain",
        "verdict",
        "level",
        "score",
        "state",
        "last change (utc)",
    ];

    fn cells(&self) -> Vec<String> {
        let words = [self.verdict, self.level, self.peak_level];
        let mut cells = vec![self.id.to_string(), self.domain.clone()];
        cells.extend(words.map(str::to_owned));
        cells.extend([
            format!("{:.1}", self.score),
            self.state.to_owned(),
            self.first_detected_at.to_string(),
            self.last_change_at.to_string(),
        ]);
        cells
    }

    fn table_cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.domain.trim_end_matches('.').to_owned(),
            self.verdict.to_owned(),
            self.level.to_owned(),
            format!("{:.1}", self.score),
            self.state.to_owned(),
            self.last_change_at.to_minute(),
        ]
    }
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &CasesCommand) -> Result<Done, Failure> {
    match &command.action {
        None => run_list(config, &command.list),
        Some(CasesAction::List(list)) => run_list(config, list),
        Some(CasesAction::Show(show)) => run_show(config, show),
        Some(action) => desk::run(config, action),
    }
}

/// Lists cases.
fn run_list(config: Option<&Path>, command: &CasesList) -> Result<Done, Failure> {
    let states = parse_states(&command.state)?;
    let store = open_store(&load_config(config)?)?;
    let filter = CaseFilter {
        campaign: command.campaign.as_deref(),
        zone: command.zone.as_deref(),
        verdict: command.verdict.as_deref(),
        level: command.level.as_deref(),
    };
    let rows = filter.select(&store, &states)?;
    let rows: Vec<CaseJson> = rows.iter().map(CaseJson::from).collect();
    print_list(&rows, command.format)?;
    Ok(Done::Well)
}

/// Parses `--state`.
pub fn parse_states(words: &[String]) -> Result<Vec<CaseState>, Failure> {
    if words.iter().any(|word| word == "all") {
        return Ok(CaseState::ALL.to_vec());
    }
    let parse = |word: &String| {
        CaseState::parse(word).ok_or_else(|| {
            Failure::usage(format!(
                "--state: {word:?} is none of open, acknowledged, dismissed, mitigated, closed, all"
            ))
        })
    };
    words.iter().map(parse).collect()
}

/// How many names beside a campaign are shown.
const BYSTANDERS_SHOWN: usize = 50;

/// Shows one case.
fn run_show(config: Option<&Path>, command: &CasesShow) -> Result<Done, Failure> {
    let store = open_store(&load_config(config)?)?;
    let row = find_case(&store, &command.case)?;
    let case = &row.case;
    let mut out = stdout();
    let word = match case.peak_level {
        Level::Watch => "watched for",
        _ => "suspected of",
    };
    writeln!(
        out,
        "Case {} (number {}): {} is {word} {}",
        case_reference(row.id),
        row.id,
        case.domain,
        case.verdict.word()
    )?;
    writeln!(
        out,
        "Level {} (peak {}), score {:.1}, {}",
        case.level.word(),
        case.peak_level.word(),
        case.score,
        case.state.word()
    )?;
    writeln!(
        out,
        "Zone {}, first detected {} UTC,\nlast change {} UTC, judged {} UTC",
        case.zone,
        case.first_detected_at.to_table(),
        case.last_change_at.to_table(),
        case.evaluated_at.to_table()
    )?;
    writeln!(
        out,
        "ATT&CK T1568.001; `fluxwatch explain {}` shows the arithmetic",
        case.domain
    )?;
    let mut desk_words = Vec::new();
    desk_words.extend(
        case.assignee
            .as_ref()
            .map(|who| format!("assigned to {who}")),
    );
    desk_words.extend(
        case.dismissed_as
            .map(|why| format!("dismissed as {}", why.word())),
    );
    desk_words.extend(case.told.at.map(|at| format!("last told {at}")));
    desk_words.extend(case.told.held.as_ref().map(|why| format!("no mail: {why}")));
    if !desk_words.is_empty() {
        writeln!(out, "Desk: {}", desk_words.join("; "))?;
    }
    if let Some(campaign) = row.campaign {
        let members = store.cases_of_campaign(campaign)?;
        writeln!(
            out,
            "\nCampaign {}, {} cases:",
            campaign_reference(campaign),
            members.len()
        )?;
        let cells = |row: &CaseRow| {
            vec![
                row.id.to_string(),
                row.case.domain.to_string(),
                row.case.level.word().to_owned(),
                row.case.state.word().to_owned(),
            ]
        };
        writeln!(
            out,
            "{}",
            table(
                &["case", "domain", "level", "state"],
                members.iter().map(cells)
            )
        )?;
        let others = store.bystanders_of_campaign(campaign)?;
        if !others.is_empty() {
            writeln!(
                out,
                "Not suspected, and on its name servers: {}",
                others.len()
            )?;
            for name in others.iter().take(BYSTANDERS_SHOWN) {
                writeln!(out, "  {name}")?;
            }
            if others.len() > BYSTANDERS_SHOWN {
                writeln!(out, "  and {} more", others.len() - BYSTANDERS_SHOWN)?;
            }
        }
    }
    let log = store.case_events(row.id)?;
    writeln!(
        out,
        "\n{}",
        table(
            &["time (utc)", "who", "state", "what"],
            log.iter().map(|line| vec![
                line.event.at.to_table(),
                line.actor.clone(),
                line.event.to.word().to_owned(),
                line.event.note.clone()
            ])
        )
    )?;
    let notices = store.notices_of_case(row.id)?;
    if !notices.is_empty() {
        let cells = |row: &NoticeRow| {
            vec![
                row.message.recipient.clone(),
                row.party.clone(),
                row.state.word().to_owned(),
                row.decided
                    .as_ref()
                    .map_or_else(String::new, |(at, who)| format!("{who}, {at}")),
                row.sha256.to_string()[..16].to_owned(),
            ]
        };
        writeln!(
            out,
            "\n{}",
            table(
                &["notice to", "as", "state", "decided", "sha256"],
                notices.iter().map(cells)
            )
        )?;
    }
    let messages = store.messages_of_case(row.id)?;
    if messages.is_empty() {
        writeln!(out, "\nNo mail has been queued.")?;
    } else {
        let cells = |row: &crate::store::MessageRow| {
            vec![
                row.id.to_string(),
                row.message.kind.word().to_owned(),
                row.shown_recipient(),
                row.state.word().to_owned(),
                row.queued_at.to_minute(),
                // Where a sent one lies is in `outbox list --all`.
                match row.state {
                    MessageState::Sent => String::new(),
                    _ => row.last_reply.clone().unwrap_or_default(),
                },
            ]
        };
        writeln!(
            out,
            "\n{}",
            table(
                &["mail", "kind", "recipient", "state", "queued", "last reply"],
                messages.iter().map(cells)
            )
        )?;
    }
    out.flush()?;
    Ok(Done::Well)
}

/// Prints the cases that are worth a look, after a pass.
pub fn print_found(rows: &[CaseRow]) -> Result<(), Failure> {
    let mut out = stdout();
    let found: Vec<&CaseRow> = rows
        .iter()
        .filter(|row| row.case.level >= Level::Review)
        .collect();
    let watched = rows.len() - found.len();
    if found.is_empty() {
        writeln!(
            out,
            "\nNo domain is suspected of fast flux; {watched} watched."
        )?;
    } else {
        let cells = |row: &&CaseRow| {
            vec![
                row.id.to_string(),
                row.case.domain.to_string(),
                row.case.verdict.word().to_owned(),
                row.case.level.word().to_owned(),
                format!("{:.1}", row.case.score),
                row.case.first_detected_at.to_string(),
            ]
        };
        writeln!(
            out,
            "\nSuspected of fast flux ({watched} more watched):\n{}",
            table(
                &[
                    "case",
                    "domain",
                    "verdict",
                    "level",
                    "score",
                    "first detected"
                ],
                found.iter().map(cells)
            )
        )?;
    }
    Ok(out.flush()?)
}
