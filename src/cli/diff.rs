//! `fluxwatch diff`: a name's records at two times, side by side.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use crate::cli::arguments::{DiffCommand, StatsFormat};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{stdout, table};
use crate::cli::session::{load_config, open_to_look, parse_name};
use crate::dns::{Name, RecordType};
use crate::listing::RecordJson;
use crate::store::{HistoryScope, RecordRow, Store, View, Wanted};
use crate::time::{Clock, Timestamp, WallClock};

/// A difference, as scripts read it.
#[derive(Serialize)]
struct DiffJson<'a> {
    name: &'a Name,
    from: Timestamp,
    to: Timestamp,
    removed: Vec<RecordJson<'a>>,
    added: Vec<RecordJson<'a>>,
    unchanged: Vec<RecordJson<'a>>,
}

/// What makes a record the same at both times.
type Key<'a> = (&'a Name, RecordType, String, &'a Name, View);

/// Runs the command.
pub fn run(config: Option<&Path>, command: &DiffCommand) -> Result<Done, Failure> {
    let now = WallClock.now();
    let time = |text: &str| {
        Timestamp::parse_argument(text, now).map_err(|fault| Failure::usage(fault.to_string()))
    };
    let (from, to) = (time(&command.from)?, time(&command.to)?);
    let name = parse_name(&command.name)?;
    let scope = if command.exact {
        HistoryScope::Name
    } else {
        HistoryScope::AtOrBelow
    };
    let store = open_to_look(&load_config(config)?)?;
    let (before, after) = (
        state_at(&store, &name, scope, from)?,
        state_at(&store, &name, scope, to)?,
    );
    let (before, after) = (by_key(&before), by_key(&after));
    let only = |these: &BTreeMap<Key<'_>, _>, others: &BTreeMap<Key<'_>, _>| -> Vec<_> {
        let missing = these.iter().filter(|(key, _)| !others.contains_key(*key));
        missing.map(|(_, record)| *record).collect()
    };
    let (removed, added) = (only(&before, &after), only(&after, &before));
    let unchanged: Vec<&RecordRow> = after
        .iter()
        .filter(|(key, _)| before.contains_key(*key))
        .map(|(_, record)| *record)
        .collect();
    let mut out = stdout();
    if command.format == StatsFormat::Json {
        let json = DiffJson {
            name: &name,
            from,
            to,
            removed: removed.iter().map(|it| RecordJson::from(*it)).collect(),
            added: added.iter().map(|it| RecordJson::from(*it)).collect(),
            unchanged: unchanged.iter().map(|it| RecordJson::from(*it)).collect(),
        };
        serde_json::to_writer_pretty(&mut out, &json)?;
        writeln!(out)?;
    } else if removed.is_empty() && added.is_empty() {
        let count = unchanged.len();
        writeln!(out, "no difference: {count} records at both times")?;
    } else {
        let mut rows: Vec<(&str, &RecordRow)> = Vec::new();
        rows.extend(removed.iter().map(|it| ("-", *it)));
        rows.extend(added.iter().map(|it| ("+", *it)));
        rows.extend(unchanged.iter().map(|it| (" ", *it)));
        rows.sort_by_key(|(mark, record)| {
            (
                &*record.owner,
                record.rdata.rtype(),
                *mark == "+",
                record.rdata.to_string(),
            )
        });
        let (from, to) = (from.to_minute(), to.to_minute());
        let headings = ["name", "type", from.as_str(), to.as_str()];
        let rows = rows.into_iter().map(|(mark, record)| {
            let data = format!("{mark} {}", record.rdata);
            let (left, right) = match mark {
                "-" => (data, String::new()),
                "+" => (String::new(), data),
                _ => (data.clone(), data),
            };
            let rtype = record.rdata.rtype().to_string();
            vec![record.owner.to_text_without_dot(), rtype, left, right]
        });
        writeln!(out, "{}", table(&headings, rows))?;
    }
    out.flush()?;
    Ok(Done::Well)
}

/// Returns the records of a name at a time.
fn state_at(
    store: &Store,
    name: &Name,
    scope: HistoryScope,
    at: Timestamp,
) -> Result<Vec<RecordRow>, Failure> {
    let mut records = Vec::new();
    for covered in store.covered_names(name, scope, None, usize::MAX)? {
        records.extend(store.history_of(&covered, &Wanted::at(at))?.records);
    }
    Ok(records)
}

/// Returns records by what makes them the same.
fn by_key(records: &[RecordRow]) -> BTreeMap<Key<'_>, &RecordRow> {
    records
        .iter()
        .map(|record| {
            let (rtype, rdata) = (record.rdata.rtype(), record.rdata.to_string());
            (
                (&*record.owner, rtype, rdata, &*record.zone, record.view),
                record,
            )
        })
        .collect()
}
