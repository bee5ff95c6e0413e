//! `fluxwatch cases`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::case::campaign_reference;
use crate::cli::arguments::{
    CasesAction, CasesCommand, CasesList, CasesShow, ListFormat, StatsFormat,
};
use crate::cli::desk;
use crate::cli::failure::{Done, Failure};
use crate::cli::outbox::{MessageJson, message_json};
use crate::cli::output::{Row, print_list, stdout, table, write_json_pretty};
use crate::cli::plain::plain;
use crate::cli::report::NoticeJson;
use crate::cli::session::{load_config, login, open_to_look};
use crate::count::counted;
use crate::desk::filter::{CaseFilter, find_case, parse_states};
use crate::detector::Level;
use crate::dns::Name;
use crate::listing::{CaseJson, CaseLogJson, LOG_HEADINGS, log_times};
use crate::report::case_reference;
use crate::store::{CaseEventRow, CaseRow, MessageRow, MessageState, NoticeRow};
use crate::time::{Clock, Timestamp, WallClock};

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
            case_reference(self.id),
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
    let config = load_config(config)?;
    let mine = command.mine.then(|| login(&config)).transpose()?;
    let store = open_to_look(&config)?;
    let filter = CaseFilter {
        campaign: command.campaign.as_deref(),
        zone: command.zone.as_deref(),
        verdict: command.verdict.as_deref(),
        level: command.level.as_deref(),
        assignee: mine.as_deref().or(command.assignee.as_deref()),
        older: command.older.as_deref(),
        text: command.text.as_deref(),
        has_draft: false,
    };
    let rows = filter.select(&store, &states, WallClock.now())?;
    let listed: Vec<CaseJson> = rows.iter().map(CaseJson::from).collect();
    print_list(
        &listed,
        command.format,
        "no case fits; --state all lists those that are over too",
    )?;
    if command.format == ListFormat::Table && !rows.is_empty() {
        writeln!(
            std::io::stderr(),
            "level and score are as of each case's last judgement; a mail has those of its own time (`fluxwatch cases show CASE`)"
        )?;
        print_left(rows.iter())?;
    }
    Ok(Done::Well)
}

/// How many cases whose changes wait to be judged are named below a list.
const LEFT_NAMED_MAX: usize = 5;

/// Says on stderr which of some cases changed after their last judgement, and when they are judged again.
fn print_left<'a>(rows: impl Iterator<Item = &'a CaseRow>) -> Result<(), Failure> {
    let mut err = std::io::stderr();
    let mut left = rows.filter_map(|row| Some((row, row.case.left_words()?)));
    for (row, words) in left.by_ref().take(LEFT_NAMED_MAX) {
        let (case, domain) = (
            case_reference(row.id),
            row.case.domain.to_text_without_dot(),
        );
        writeln!(err, "case {case}, {domain}: {words}")?;
    }
    let more = left.count();
    if more > 0 {
        let more = counted(more, "more case");
        writeln!(
            err,
            "{more} changed after the last judgement: `fluxwatch cases show CASE` says when each is judged again"
        )?;
    }
    Ok(())
}

/// How many names beside a campaign are shown.
const BYSTANDERS_SHOWN: usize = 50;

/// Everything about one case.
struct Shown {
    row: CaseRow,
    /// The cases of its campaign, this one too.
    members: Vec<CaseRow>,
    /// Names on the campaign's name servers that are not suspected.
    bystanders: Vec<Name>,
    log: Vec<CaseEventRow>,
    notices: Vec<NoticeRow>,
    messages: Vec<MessageRow>,
}

/// Everything about one case, as scripts read it.
#[derive(Serialize)]
struct ShownJson {
    #[serde(flatten)]
    case: CaseJson,
    reference: String,
    evaluated_at: Timestamp,
    campaign_cases: Vec<i64>,
    bystanders: Vec<String>,
    log: Vec<CaseLogJson>,
    notices: Vec<NoticeJson>,
    messages: Vec<MessageJson>,
}

/// Shows one case.
fn run_show(config: Option<&Path>, command: &CasesShow) -> Result<Done, Failure> {
    let store = open_to_look(&load_config(config)?)?;
    let row = find_case(&store, &command.case)?;
    let campaign = row.campaign;
    let shown = Shown {
        members: match campaign {
            Some(campaign) => store.desk().cases_of_campaign(campaign)?,
            None => Vec::new(),
        },
        bystanders: match campaign {
            Some(campaign) => store
                .desk()
                .bystanders_of_campaign(campaign)?
                .into_iter()
                .collect(),
            None => Vec::new(),
        },
        log: store.desk().case_events(row.id)?,
        notices: store.desk().notices_of_case(row.id)?,
        messages: store.desk().message_heads(row.id)?,
        row,
    };
    let mut out = stdout();
    match command.format {
        StatsFormat::Json => {
            write_json_pretty(&mut out, &shown.into_json())?;
            writeln!(out)?;
        }
        StatsFormat::Table => {
            shown.print_head(&mut out)?;
            shown.print_campaign(&mut out)?;
            shown.print_log(&mut out)?;
            shown.print_mail(&mut out)?;
        }
    }
    out.flush()?;
    Ok(Done::Well)
}

impl Shown {
    /// Returns it as scripts read it.
    fn into_json(self) -> ShownJson {
        ShownJson {
            case: CaseJson::from(&self.row),
            reference: case_reference(self.row.id),
            evaluated_at: self.row.case.evaluated_at,
            campaign_cases: self.members.iter().map(|row| row.id).collect(),
            bystanders: self.bystanders.iter().map(Name::to_string).collect(),
            log: self.log.into_iter().map(CaseLogJson::from).collect(),
            notices: self.notices.iter().map(NoticeJson::from).collect(),
            messages: self.messages.into_iter().map(message_json).collect(),
        }
    }

    /// Prints what the case says.
    fn print_head(&self, out: &mut impl Write) -> Result<(), Failure> {
        let (row, case) = (&self.row, &self.row.case);
        let domain = case.domain.to_text_without_dot();
        let word = match case.peak_level {
            Level::Watch => "watched for",
            _ => "suspected of",
        };
        writeln!(
            out,
            "Case {}: {domain} is {word} {}",
            case_reference(row.id),
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
            case.zone.to_text_without_dot(),
            case.first_detected_at.to_table(),
            case.last_change_at.to_table(),
            case.evaluated_at.to_table()
        )?;
        if let Some(words) = case.left_words() {
            writeln!(out, "The domain {words}")?;
        }
        writeln!(
            out,
            "ATT&CK T1568.001; `fluxwatch explain {domain}` shows the arithmetic"
        )?;
        let mut words = Vec::new();
        let assignee = case.assignee.as_ref();
        words.extend(assignee.map(|who| format!("assigned to {who}")));
        words.extend(
            case.dismissed_as
                .map(|why| format!("dismissed as {}", why.word())),
        );
        words.extend(
            case.told
                .at
                .map(|at| format!("last told {} UTC", at.to_table())),
        );
        words.extend(case.told.held.as_ref().map(|why| format!("no mail: {why}")));
        if !words.is_empty() {
            writeln!(out, "Desk: {}", plain(&words.join("; ")))?;
        }
        Ok(())
    }

    /// Prints the campaign that the case belongs to, if it does to one.
    fn print_campaign(&self, out: &mut impl Write) -> Result<(), Failure> {
        let Some(campaign) = self.row.campaign else {
            return Ok(());
        };
        let cases = counted(self.members.len() as u64, "case");
        let cells = |row: &CaseRow| {
            vec![
                case_reference(row.id),
                row.case.domain.to_text_without_dot(),
                row.case.level.word().to_owned(),
                row.case.state.word().to_owned(),
            ]
        };
        let headings = ["case", "domain", "level", "state"];
        writeln!(
            out,
            "\nCampaign {}, {cases}:\n{}",
            campaign_reference(campaign),
            table(&headings, self.members.iter().map(cells))
        )?;
        let count = self.bystanders.len();
        if count > 0 {
            writeln!(out, "Not suspected, and on its name servers: {count}")?;
            for name in self.bystanders.iter().take(BYSTANDERS_SHOWN) {
                writeln!(out, "  {}", name.to_text_without_dot())?;
            }
            if count > BYSTANDERS_SHOWN {
                writeln!(out, "  and {} more", count - BYSTANDERS_SHOWN)?;
            }
        }
        Ok(())
    }

    /// Prints the case's log.
    fn print_log(&self, out: &mut impl Write) -> Result<(), Failure> {
        let cells = |line: &CaseEventRow| {
            let [written, as_of] = log_times(line.written_at, line.event.at);
            vec![
                written,
                as_of,
                line.actor.clone(),
                line.event.to.word().to_owned(),
                line.event.note.clone(),
            ]
        };
        let log = table(&LOG_HEADINGS, self.log.iter().map(cells));
        Ok(writeln!(out, "\n{log}")?)
    }

    /// Prints the case's notices and mails.
    fn print_mail(&self, out: &mut impl Write) -> Result<(), Failure> {
        if !self.notices.is_empty() {
            let cells = |row: &NoticeRow| {
                vec![
                    row.message.recipient.clone(),
                    row.party.clone(),
                    row.state.word().to_owned(),
                    row.decided.as_ref().map_or_else(String::new, |(at, who)| {
                        format!("{who}, {}", at.to_minute())
                    }),
                    row.sha256.to_string()[..16].to_owned(),
                ]
            };
            let headings = ["notice to", "as", "state", "decided", "sha256"];
            let notices = table(&headings, self.notices.iter().map(cells));
            writeln!(out, "\n{notices}")?;
        }
        if self.messages.is_empty() {
            return Ok(writeln!(out, "\nNo mail has been queued.")?);
        }
        let cells = |row: &MessageRow| {
            vec![
                row.id.to_string(),
                row.message.kind.word().to_owned(),
                row.shown_recipient(),
                row.standing().to_owned(),
                row.queued_at.to_minute(),
                // Where a sent one lies is in `outbox list --all`.
                match row.state {
                    MessageState::Sent if row.fate.is_none() => String::new(),
                    _ => row.last_reply.clone().unwrap_or_default(),
                },
            ]
        };
        let headings = ["mail", "kind", "recipient", "state", "queued", "last reply"];
        let messages = table(&headings, self.messages.iter().map(cells));
        Ok(writeln!(out, "\n{messages}")?)
    }
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
        let more = match watched {
            0 => String::new(),
            _ => format!("; {watched} watched"),
        };
        writeln!(out, "\nNo domain is suspected of fast flux{more}.")?;
    } else {
        let more = match watched {
            0 => String::new(),
            _ => format!(" ({watched} more watched)"),
        };
        let cells = |row: &&CaseRow| {
            vec![
                case_reference(row.id),
                row.case.domain.to_text_without_dot(),
                row.case.verdict.word().to_owned(),
                row.case.level.word().to_owned(),
                format!("{:.1}", row.case.score),
                row.case.first_detected_at.to_minute(),
            ]
        };
        writeln!(
            out,
            "\nSuspected of fast flux{more}:\n{}",
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
    out.flush()?;
    print_left(found.into_iter())
}
