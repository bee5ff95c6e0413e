//! `fluxwatch exempt`.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::case::{Exemption, Reach};
use crate::cli::arguments::{ExemptAction, ExemptAdd, ExemptCommand, ExemptList, ExemptRemove};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{Row, print_list, stdout, table};
use crate::cli::session::{
    actor, create_store, load_config, make_store_folder, open_deciding, open_store, open_to_look,
};
use crate::config::Config;
use crate::count::counted;
use crate::desk::exempt::{self, WantedExemption};
use crate::desk::step::ending_words;
use crate::pipeline::{Ending, ToldEnd};
use crate::report::case_reference;
use crate::store::{CaseRow, ExemptionRow, Store};
use crate::time::{Clock, Timestamp, WallClock};

/// An exemption, as scripts read it.
#[derive(Serialize)]
struct ExemptionJson {
    id: i64,
    kind: &'static str,
    value: String,
    reason: String,
    author: String,
    created_at: Timestamp,
    until: Option<Timestamp>,
    in_force: bool,
    removed_at: Option<Timestamp>,
    removed_by: Option<String>,
}

impl ExemptionJson {
    /// Returns an exemption as it stands at a time.
    fn new(row: ExemptionRow, now: Timestamp) -> Self {
        Self {
            id: row.exemption.id,
            kind: row.kind(),
            value: row.value(),
            in_force: row.is_in_force(now),
            reason: row.exemption.reason,
            author: row.exemption.author,
            created_at: row.created_at,
            until: row.exemption.until,
            removed_at: row.removed.as_ref().map(|it| it.0),
            removed_by: row.removed.map(|it| it.1),
        }
    }
}

impl ExemptionJson {
    /// Returns what is exempt as people read it: a name without its final dot.
    fn shown_value(&self) -> &str {
        match self.kind {
            "account" | "address" => &self.value,
            _ => self.value.strip_suffix('.').unwrap_or(&self.value),
        }
    }
}

impl Row for ExemptionJson {
    const HEADINGS: &'static [&'static str] = &[
        "id",
        "kind",
        "value",
        "reason",
        "author",
        "created at",
        "until",
        "in force",
        "removed at",
        "removed by",
    ];
    const TABLE_HEADINGS: &'static [&'static str] =
        &["id", "exempt", "until (utc)", "by", "reason"];

    fn cells(&self) -> Vec<String> {
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, |at| at.to_string());
        vec![
            self.id.to_string(),
            self.kind.to_owned(),
            self.value.clone(),
            self.reason.clone(),
            self.author.clone(),
            self.created_at.to_string(),
            time(self.until),
            self.in_force.to_string(),
            time(self.removed_at),
            self.removed_by.clone().unwrap_or_default(),
        ]
    }

    fn table_cells(&self) -> Vec<String> {
        let until = match (&self.removed_at, &self.until) {
            (Some(at), _) => format!("removed {}", at.to_minute()),
            (None, Some(until)) => until.to_minute(),
            (None, None) => "until removed".to_owned(),
        };
        vec![
            self.id.to_string(),
            format!("{} {}", self.kind, self.shown_value()),
            until,
            self.author.clone(),
            self.reason.clone(),
        ]
    }
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ExemptCommand) -> Result<Done, Failure> {
    match &command.action {
        None => run_list(config, &command.list),
        Some(ExemptAction::List(list)) => run_list(config, list),
        Some(ExemptAction::Add(add)) => run_add(config, add),
        Some(ExemptAction::Remove(remove)) => run_remove(config, remove),
    }
}

/// Lists exemptions.
fn run_list(config: Option<&Path>, command: &ExemptList) -> Result<Done, Failure> {
    let store = open_to_look(&load_config(config)?)?;
    let now = WallClock.now();
    let rows = store.desk().exemptions()?.into_iter();
    let rows = rows.map(|row| ExemptionJson::new(row, now));
    let rows: Vec<_> = rows.filter(|row| command.all || row.in_force).collect();
    print_list(
        &rows,
        command.format,
        "no exemption is in force; --all lists those that ended too",
    )?;
    Ok(Done::Well)
}

/// Adds an exemption, and shows the open cases that it touches.
fn run_add(config: Option<&Path>, command: &ExemptAdd) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let now = WallClock.now();
    let author = actor(command.by.as_deref(), &config)?;
    let wanted = WantedExemption {
        kind: &command.kind,
        value: &command.value,
        reason: &command.reason,
        until: command.until.as_deref(),
        author: &author,
    };
    let mut exemption = wanted.read(now)?;
    let Some(store) = open_to_add(&config, command.dry_run)? else {
        print_added(&exemption, true)?;
        return Ok(Done::Well);
    };
    if let Some(same) = exempt::find_same(&store, &exemption, now)? {
        let what = format!("note: exemption {} covers the same already", same.id);
        writeln!(std::io::stderr(), "{what}")?;
    }
    let pipeline = open_deciding(config, store)?;
    let added = if command.dry_run {
        exempt::preview(&pipeline, &exemption)?
    } else {
        exempt::add(&pipeline, &exemption, now)?
    };
    exemption.id = added.id;
    let touched = exempt::cases_touched(&pipeline, &exemption)?;
    let mut out = stdout();
    if touched.cases.is_empty() {
        writeln!(out, "It touches no open case.")?
    } else {
        writeln!(
            out,
            "{}",
            table(
                &["case", "domain", "level", "effect"],
                touched.cases.iter().map(touched_cells)
            )
        )?
    }
    if touched.unseen > 0 {
        let what = counted(touched.unseen, "more case");
        writeln!(
            out,
            "{what} of level report and review may be touched: only the most certain were looked at."
        )?
    }
    for (case, unsent) in &added.unsent {
        let verb = if command.dry_run { "would be" } else { "is" };
        let words = unsent.dropped_words(verb).unwrap_or_default();
        writeln!(out, "{}: {words}.", case_reference(*case))?;
    }
    print_ended(&mut out, &added.ended)?;
    out.flush()?;
    print_added(&exemption, command.dry_run)?;
    Ok(Done::Well)
}

/// Says which ends of cases are told now.
fn print_ended(out: &mut impl Write, ended: &[ToldEnd]) -> Result<(), Failure> {
    for (case, to) in ended {
        let words = ending_words(&Ending::Mailed(to.clone()), "is");
        writeln!(out, "{}: {words}.", case_reference(*case))?;
    }
    Ok(())
}

/// Opens the database for an exemption. Whoever sets exemptions up before the first poll makes it; `None` for a dry
/// run where there is none.
fn open_to_add(config: &Config, dry_run: bool) -> Result<Option<Store>, Failure> {
    match (!config.store_url.is_absent(), dry_run) {
        (true, true) => open_to_look(config).map(Some),
        (true, false) => open_store(config).map(Some),
        (false, true) => Ok(None),
        (false, false) => {
            make_store_folder(config)?;
            create_store(config).map(Some)
        }
    }
}

/// Says on stderr what became of an exemption.
fn print_added(exemption: &Exemption, dry_run: bool) -> Result<(), Failure> {
    let mut err = std::io::stderr();
    if dry_run {
        writeln!(err, "dry run: nothing was changed")?
    } else {
        writeln!(err, "exemption {} added", exemption.id)?
    }
    Ok(())
}

/// Returns the cells of a case that an exemption touches.
fn touched_cells((row, reach): &(CaseRow, Reach)) -> Vec<String> {
    let effect = match reach {
        Reach::Whole => "no mail any more",
        Reach::Part => "still reported: only a part of what rotates is exempt",
    };
    vec![
        case_reference(row.id),
        row.case.domain.to_text_without_dot(),
        row.case.level.word().to_owned(),
        effect.to_owned(),
    ]
}

/// Ends an exemption.
fn run_remove(config: Option<&Path>, command: &ExemptRemove) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let who = actor(command.by.as_deref(), &config)?;
    let now = WallClock.now();
    if command.dry_run {
        exempt::check_removal(&open_to_look(&config)?, command.id, now)?;
    } else {
        let store = open_store(&config)?;
        let pipeline = open_deciding(config, store)?;
        let ended = exempt::remove(&pipeline, command.id, &who, now)?;
        let mut out = stdout();
        print_ended(&mut out, &ended)?;
        out.flush()?;
    }
    let sentence = if command.dry_run {
        format!("dry run: exemption {} would end", command.id)
    } else {
        format!(
            "exemption {} ended; its open cases are decided on anew when they are judged, the ends that it held are told now",
            command.id
        )
    };
    writeln!(std::io::stderr(), "{sentence}")?;
    Ok(Done::Well)
}
