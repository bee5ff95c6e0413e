//! `fluxwatch diff`: a name's records at two times, side by side.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::cli::arguments::{DiffCommand, StatsFormat};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{stdout, table};
use crate::cli::session::{domain_of, load_config, open_for_lookups};
use crate::count::counted;
use crate::dns::{Name, RecordType};
use crate::listing::RecordJson;
use crate::store::{HistoryScope, RecordRow, Store, View, Wanted};
use crate::time::{Clock, Timestamp, WallClock};

/// How many names that differ are shown, unless it is said.
const NAMES_SHOWN: usize = 1000;
/// How many names are looked up at a time.
const NAMES_AT_A_TIME: usize = 200;

/// A difference, as scripts read it.
#[derive(Serialize)]
struct DiffJson<'a> {
    name: &'a Name,
    from: Timestamp,
    to: Timestamp,
    removed: Vec<RecordJson<'a>>,
    added: Vec<RecordJson<'a>>,
    unchanged: Vec<RecordJson<'a>>,
    /// Records at both times of names without a difference that are not listed, since there are many.
    unlisted: u64,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// When a record was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Presence {
    /// At the first time alone.
    Removed,
    /// At both times.
    Unchanged,
    /// At the second time alone.
    Added,
}

/// What makes a record the same at both times.
type Key = (Arc<Name>, RecordType, String, Arc<Name>, View);

/// The states at two times, as far as they are shown.
#[derive(Default)]
struct Difference {
    records: Vec<(Presence, RecordRow)>,
    differing_count: usize,
    unlisted: u64,
    next: Option<String>,
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &DiffCommand) -> Result<Done, Failure> {
    let now = WallClock.now();
    let time = |text: &str| {
        Timestamp::parse_argument(text, now).map_err(|fault| Failure::usage(fault.to_string()))
    };
    let from = time(&command.from)?;
    let to = command.to.as_deref().map(time).transpose()?.unwrap_or(now);
    if command.limit == 0 {
        return Err(Failure::usage("--limit 0 shows nothing").hint("give 1 or more"));
    }
    let store = open_for_lookups(&load_config(config)?)?;
    let name = domain_of(&store, &command.name)?;
    let mut found = compare(&store, &name, command, (from, to))?;
    found.records.sort_by(|(left, one), (right, other)| {
        let key = |row: &RecordRow| (Arc::clone(&row.owner), row.rdata.rtype());
        let data = |row: &RecordRow| row.rdata.to_string();
        let by_name = key(one).cmp(&key(other));
        by_name
            .then_with(|| (*left == Presence::Added).cmp(&(*right == Presence::Added)))
            .then_with(|| data(one).cmp(&data(other)))
    });
    match command.format {
        StatsFormat::Json => print_json(&found, &name, from, to)?,
        StatsFormat::Table => print_table(&found, from, to)?,
    }
    say_what_is_left_out(&found)?;
    Ok(Done::Well)
}

/// Compares the states of a name and what lies below it at two times, name by name.
fn compare(
    store: &Store,
    name: &Name,
    command: &DiffCommand,
    (from, to): (Timestamp, Timestamp),
) -> Result<Difference, Failure> {
    let scope = if command.exact {
        HistoryScope::Name
    } else {
        HistoryScope::AtOrBelow
    };
    let wanted = Wanted {
        since: Some(from.min(to)),
        until: Some(from.max(to)),
        ..Wanted::default()
    };
    let mut found = Difference::default();
    let mut same: Vec<RecordRow> = Vec::new();
    let mut cursor = command.after.clone();
    loop {
        let _reading = store.begin_reading()?;
        let names =
            store
                .lookup()
                .covered_names(name, scope, cursor.as_deref(), NAMES_AT_A_TIME)?;
        for covered in &names {
            if found.differing_count == command.limit {
                found.next = cursor;
                return Ok(found.with_same(same));
            }
            let records = store.lookup().history_of(covered, &wanted)?.records;
            let compared = compare_records(records, from, to);
            if compared.iter().any(|(it, _)| *it != Presence::Unchanged) {
                found.differing_count += 1;
                found.records.extend(compared);
            } else if same.len() < NAMES_SHOWN {
                same.extend(compared.into_iter().map(|(_, record)| record));
            } else {
                found.unlisted += compared.len() as u64;
            }
            cursor = Some(covered.cursor());
        }
        if names.len() < NAMES_AT_A_TIME {
            return Ok(found.with_same(same));
        }
    }
}

impl Difference {
    /// Adds the records of names without a difference, unless they are too many to be shown whole.
    fn with_same(mut self, same: Vec<RecordRow>) -> Self {
        match self.unlisted {
            0 => {
                let same = same.into_iter().map(|record| (Presence::Unchanged, record));
                self.records.extend(same);
            }
            _ => self.unlisted += same.len() as u64,
        }
        self
    }

    /// Returns the records that were there at some of the times.
    fn of(&self, presence: Presence) -> impl Iterator<Item = &RecordRow> {
        let records = self.records.iter();
        records
            .filter(move |(it, _)| *it == presence)
            .map(|(_, record)| record)
    }
}

/// Returns the records of a name that were there at either time, each once.
fn compare_records(
    records: Vec<RecordRow>,
    from: Timestamp,
    to: Timestamp,
) -> Vec<(Presence, RecordRow)> {
    let mut there: BTreeMap<Key, (bool, bool, RecordRow)> = BTreeMap::new();
    for record in records {
        let at = |time| {
            record.added_at <= time && record.removed_at.is_none_or(|removed| removed > time)
        };
        let (before, after) = (at(from), at(to));
        if !before && !after {
            continue;
        }
        let key = (
            Arc::clone(&record.owner),
            record.rdata.rtype(),
            record.rdata.to_string(),
            Arc::clone(&record.zone),
            record.view,
        );
        let entry = there.entry(key).or_insert((false, false, record));
        *entry = (entry.0 || before, entry.1 || after, entry.2.clone());
    }
    let presence = |(before, after, record)| match (before, after) {
        (true, true) => (Presence::Unchanged, record),
        (true, false) => (Presence::Removed, record),
        _ => (Presence::Added, record),
    };
    there.into_values().map(presence).collect()
}

/// Prints a difference for scripts.
fn print_json(
    found: &Difference,
    name: &Name,
    from: Timestamp,
    to: Timestamp,
) -> Result<(), Failure> {
    let mut out = stdout();
    let list = |presence| found.of(presence).map(RecordJson::from).collect();
    let json = DiffJson {
        name,
        from,
        to,
        removed: list(Presence::Removed),
        added: list(Presence::Added),
        unchanged: list(Presence::Unchanged),
        unlisted: found.unlisted,
        next: found.next.clone(),
    };
    serde_json::to_writer_pretty(&mut out, &json)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Prints a difference for people.
fn print_table(found: &Difference, from: Timestamp, to: Timestamp) -> Result<(), Failure> {
    let mut out = stdout();
    if found.differing_count == 0 {
        let count = found.records.len() as u64 + found.unlisted;
        let records = counted(count, "record");
        writeln!(out, "no difference: {records} at both times")?;
        return Ok(out.flush()?);
    }
    // Two times of one minute are told apart by their seconds.
    let heading = |at: Timestamp| {
        if from.to_minute() == to.to_minute() {
            at.to_table()
        } else {
            at.to_minute()
        }
    };
    let (left, right) = (heading(from), heading(to));
    let headings = ["name", "type", left.as_str(), right.as_str()];
    let rows = found.records.iter().map(|(presence, record)| {
        let rdata = &record.rdata;
        let (left, right) = match presence {
            Presence::Removed => (format!("- {rdata}"), String::new()),
            Presence::Added => (String::new(), format!("+ {rdata}")),
            Presence::Unchanged => (format!("  {rdata}"), format!("  {rdata}")),
        };
        let rtype = rdata.rtype().to_string();
        vec![record.owner.to_text_without_dot(), rtype, left, right]
    });
    writeln!(out, "{}", table(&headings, rows))?;
    Ok(out.flush()?)
}

/// Says on stderr what is not shown.
fn say_what_is_left_out(found: &Difference) -> Result<(), Failure> {
    let mut err = std::io::stderr();
    if found.unlisted > 0 && found.differing_count > 0 {
        let count = found.unlisted;
        writeln!(
            err,
            "{count} records of names without a difference are not listed"
        )?;
    }
    if let Some(next) = &found.next {
        let count = found.differing_count;
        writeln!(
            err,
            "only the first {count} names that differ are shown; --limit shows more, --after {next} the next ones"
        )?;
    }
    Ok(())
}
