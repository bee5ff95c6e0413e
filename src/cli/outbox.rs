//! `fluxwatch outbox`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::arguments::{OutboxAction, OutboxCommand, OutboxDrop, OutboxList, OutboxRetry};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list};
use crate::cli::session::{
    actor, known_actor, load_config, open_deciding, open_store, open_to_look, runtime,
};
use crate::count::counted;
use crate::desk::outbox;
use crate::report::case_reference;
use crate::store::{Fate, MessageRow};
use crate::time::{Clock, Timestamp, WallClock};

/// A message, as scripts read it.
#[derive(Serialize)]
pub struct MessageJson {
    id: i64,
    case: Option<i64>,
    kind: &'static str,
    recipient: String,
    subject: String,
    message_id: String,
    state: &'static str,
    attempts: u32,
    queued_at: Timestamp,
    next_attempt_at: Option<Timestamp>,
    sent_at: Option<Timestamp>,
    last_reply: Option<String>,
    bounced_at: Option<Timestamp>,
    fate: Option<&'static str>,
}

impl Row for MessageJson {
    const HEADINGS: &'static [&'static str] = &[
        "id",
        "case",
        "kind",
        "recipient",
        "state",
        "attempts",
        "queued at",
        "next attempt at",
        "last reply",
    ];

    const TABLE_HEADINGS: &'static [&'static str] = &[
        "id",
        "case",
        "kind",
        "recipient",
        "state",
        "next attempt (utc)",
        "last reply",
    ];

    fn table_cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.case.map_or_else(String::new, case_reference),
            self.kind.to_owned(),
            self.recipient.clone(),
            self.state.to_owned(),
            self.next_attempt_at
                .map_or_else(String::new, Timestamp::to_minute),
            self.last_reply.clone().unwrap_or_default(),
        ]
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.case.map_or_else(String::new, |case| case.to_string()),
            self.kind.to_owned(),
            self.recipient.clone(),
            self.state.to_owned(),
            self.attempts.to_string(),
            self.queued_at.to_string(),
            self.next_attempt_at
                .map_or_else(String::new, |at| at.to_string()),
            self.last_reply.clone().unwrap_or_default(),
        ]
    }
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &OutboxCommand) -> Result<Done, Failure> {
    match &command.action {
        None => run_list(config, &command.list),
        Some(OutboxAction::List(list)) => run_list(config, list),
        Some(OutboxAction::Retry(retry)) => run_retry(config, retry),
        Some(OutboxAction::Drop(drop)) => run_drop(config, drop),
    }
}

/// Lists messages.
fn run_list(config: Option<&Path>, command: &OutboxList) -> Result<Done, Failure> {
    let store = open_to_look(&load_config(config)?)?;
    let rows = if command.all {
        store.desk().messages(false)?
    } else {
        store.desk().undone_messages()?
    };
    let rows: Vec<MessageJson> = rows.into_iter().map(message_json).collect();
    print_list(
        &rows,
        command.format,
        "no message waits; --all lists those that were sent too",
    )?;
    Ok(Done::Well)
}

/// Tries messages again.
fn run_retry(config: Option<&Path>, command: &OutboxRetry) -> Result<Done, Failure> {
    let config = load_config(config)?;
    if config.mail.is_none() && config.webhooks.is_empty() {
        return Err(Failure::usage(
            "nothing leaves without [report] and [smtp], or a [[webhook]]",
        ));
    }
    let store = if command.dry_run {
        open_to_look(&config)?
    } else {
        open_store(&config)?
    };
    // A retry decides nothing, and timers run it: where nobody is known the log names the command.
    let who = known_actor(command.by.as_deref(), &config)?;
    let who = who.unwrap_or_else(|| "outbox retry".to_owned());
    let pipeline = open_deciding(config, store)?;
    let mut err = std::io::stderr();
    if command.dry_run {
        let would = outbox::retryable(&pipeline, command.message)?;
        print_skipped(&would)?;
        let what = counted(would.count as u64, "message");
        writeln!(err, "dry run: {what} would be tried; nothing was changed")?;
        return Ok(Done::Well);
    }
    let retried = outbox::retry(&pipeline, command.message, &who, WallClock.now())?;
    print_skipped(&retried)?;
    if retried.count == 0 {
        writeln!(err, "no message waits to be sent")?;
        return Ok(Done::Well);
    }
    let delivered = runtime()?.block_on(pipeline.notify().deliver())?;
    writeln!(err, "mail: {delivered}")?;
    Ok(if delivered.waiting + delivered.dead > 0 {
        Done::Partly
    } else {
        Done::Well
    })
}

/// Says which messages are left where they are, and why.
fn print_skipped(retried: &outbox::Retried) -> Result<(), Failure> {
    let mut err = std::io::stderr();
    for (row, reason) in &retried.skipped {
        let (id, to) = (row.id, row.shown_recipient());
        writeln!(
            err,
            "message {id} to {to} is left as it is: {reason}; `fluxwatch outbox retry {id}` or `outbox drop {id}`"
        )?;
    }
    Ok(())
}

/// Takes messages out.
fn run_drop(config: Option<&Path>, command: &OutboxDrop) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let who = actor(command.by.as_deref(), &config)?;
    let mut err = std::io::stderr();
    let store = if command.dry_run {
        open_to_look(&config)?
    } else {
        open_store(&config)?
    };
    let mut missing = 0;
    for id in &command.messages {
        let (to, verb) = if command.dry_run {
            (outbox::check_drop(&store, *id)?, "would be taken")
        } else {
            let now = WallClock.now();
            (outbox::drop_message(&store, *id, &who, now)?, "taken")
        };
        if let Some(to) = to {
            writeln!(err, "message {id} to {to} {verb} out of the outbox")?;
        } else {
            missing += 1;
            writeln!(
                err,
                "message {id} is not queued, was not given up and did not come back"
            )?;
        }
    }
    if command.dry_run {
        writeln!(err, "dry run: nothing was changed")?;
    }
    Ok(if missing > 0 {
        Done::Partly
    } else {
        Done::Well
    })
}

/// Returns a message as scripts read it.
pub fn message_json(row: MessageRow) -> MessageJson {
    let waits = matches!(row.state.word(), "queued" | "sending");
    let state = row.standing();
    MessageJson {
        id: row.id,
        case: row.message.case_id,
        kind: row.message.kind.word(),
        recipient: row.shown_recipient(),
        subject: row.message.subject,
        message_id: row.message.message_id,
        state,
        fate: row.fate.map(Fate::word),
        attempts: row.attempt_count,
        queued_at: row.queued_at,
        next_attempt_at: waits.then_some(row.next_attempt_at),
        sent_at: row.sent_at,
        last_reply: row.last_reply,
        bounced_at: row.bounced_at,
    }
}
