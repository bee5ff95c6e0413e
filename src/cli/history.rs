//! `fluxwatch history`: what happened to names, and which names used a name server or an address.

use std::collections::BTreeSet;
use std::io::{BufWriter, Stdout, Write, stdout};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::cli::arguments::{HistoryCommand, HistoryFormat, HistoryView};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::table;
use crate::cli::session::{load_config, open_for_lookups, parse_names};
use crate::cli::timeline::print_timeline;
use crate::desk::filter::domain_of_reference;
use crate::dns::Name;
use crate::listing::{
    CaseJson, ChangeJson, CoarseJson, CofJson, GapJson, HistoryJson, RecordJson, WantedText,
    parse_addresses, wrong_prefix,
};
use crate::report::case_reference;
use crate::store::{
    CaseRow, ChangeRow, History, HistoryScope, RecordRow, ReverseCursor, Store, Used, View, Wanted,
};
use crate::time::{Clock, Timestamp, WallClock};

/// How many names, or records of a reverse lookup, a page of a table or of JSON has.
const PAGE_ROWS: usize = 1000;
/// How many names are looked up at a time where everything is streamed.
const NAMES_AT_A_TIME: usize = 200;

/// How many records of a reverse lookup are handed to the thread that writes at a time...
const RECORDS_AT_A_TIME: usize = 100;
/// ...and how often while it has not begun to write them.
const HANDED_MAX: usize = 20;
/// How many octets are written at a time.
const OCTETS_AT_A_TIME: usize = 64 << 10;

/// What is looked up.
enum Subject {
    /// Names.
    Names(Name, HistoryScope),
    /// Who used something.
    Users(Used, String),
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &HistoryCommand) -> Result<Done, Failure> {
    let subject = parse_subject(command)?;
    let wanted = parse_wanted(command)?;
    let store = open_for_lookups(&load_config(config)?)?;
    let referred = command.name.as_deref();
    let referred = referred.map(|text| domain_of_reference(&store, text));
    let subject = match (subject, referred.transpose()?.flatten()) {
        (Subject::Names(_, scope), Some(domain)) => Subject::Names(domain, scope),
        (subject, _) => subject,
    };
    let is_streamed = matches!(
        command.format,
        HistoryFormat::Ndjson | HistoryFormat::Csv | HistoryFormat::Cof | HistoryFormat::Text
    );
    let limit = match command.limit {
        Some(0) => return Err(Failure::usage("--limit 0 shows nothing")),
        Some(limit) => limit,
        None if is_streamed => usize::MAX,
        None => PAGE_ROWS,
    };
    let mut printer = Printer::new(command, title_of(&subject));
    let next = match &subject {
        Subject::Names(name, scope) => {
            print_names(&store, (name, *scope), &wanted, limit, &mut printer)?
        }
        Subject::Users(used, _) => print_users(&store, used, &wanted, limit, &mut printer)?,
    };
    printer.finish(&store, next)?;
    Ok(Done::Well)
}

/// Returns what was asked for, in words.
fn title_of(subject: &Subject) -> String {
    match subject {
        Subject::Names(name, HistoryScope::Below) => format!("*.{name}"),
        Subject::Names(name, _) => name.to_string(),
        Subject::Users(_, text) => text.clone(),
    }
}

/// Parses what is looked up.
fn parse_subject(command: &HistoryCommand) -> Result<Subject, Failure> {
    match (&command.name, &command.ns, &command.address) {
        (None, None, None) => Err(Failure::usage("nothing to look up")
            .hint("name a domain or an address, or give --ns or --address")),
        (Some(text), None, None) => {
            if let Some(used) = parse_addresses(text) {
                return Ok(Subject::Users(used, text.clone()));
            }
            if let Some(what) = wrong_prefix(text) {
                return Err(Failure::usage(what));
            }
            let (below, name) = parse_names(text)?;
            match (below, command.exact) {
                (true, true) => Err(Failure::usage(format!(
                    "--exact and *.{name} exclude each other"
                ))),
                (true, false) => Ok(Subject::Names(name, HistoryScope::Below)),
                (false, true) => Ok(Subject::Names(name, HistoryScope::Name)),
                (false, false) => Ok(Subject::Names(name, HistoryScope::AtOrBelow)),
            }
        }
        (None, Some(text), None) => {
            let used = match parse_names(text)? {
                (true, below) => Used::HostsBelow(below),
                (false, host) => Used::Host(host),
            };
            Ok(Subject::Users(used, text.clone()))
        }
        (None, None, Some(text)) => match parse_addresses(text) {
            Some(used) => Ok(Subject::Users(used, text.clone())),
            None => Err(Failure::usage(format!(
                "--address: {text:?} is neither an address nor a prefix"
            ))),
        },
        _ => Err(Failure::usage(
            "one of NAME, --ns and --address is looked up, not several",
        )),
    }
}

/// Parses which part of a history is wanted.
fn parse_wanted(command: &HistoryCommand) -> Result<Wanted, Failure> {
    let text = WantedText {
        types: command.types.iter().map(String::as_str).collect(),
        at: command.at.as_deref(),
        since: command.since.as_deref(),
        until: command.until.as_deref(),
    };
    text.parse(WallClock.now()).map_err(Failure::usage)
}

/// Looks names up, page by page. Returns where the next page begins, if there is one.
fn print_names(
    store: &Store,
    (name, scope): (&Name, HistoryScope),
    wanted: &Wanted,
    limit: usize,
    printer: &mut Printer,
) -> Result<Option<String>, Failure> {
    let command = printer.command;
    let mut pages = store
        .lookup()
        .history_pages(name, scope, wanted, command.after.as_deref());
    let mut left = limit;
    while left > 0 && !pages.is_done() {
        let found = pages.next_page(left.min(NAMES_AT_A_TIME))?;
        left -= found.len();
        for history in found {
            printer.take(history)?;
        }
    }
    if pages.is_done() {
        return Ok(None);
    }
    // A page that is full may be the last one; only a look at the next name tells.
    let more = store
        .lookup()
        .covered_names(name, scope, pages.cursor(), 1)?;
    Ok(pages
        .cursor()
        .filter(|_| !more.is_empty())
        .map(str::to_owned))
}

/// Looks up who used something. Returns where the next page begins, if there is one.
///
/// This thread reads, and another writes what was read: a name server may have millions of records.
fn print_users(
    store: &Store,
    used: &Used,
    wanted: &Wanted,
    limit: usize,
    printer: &mut Printer,
) -> Result<Option<String>, Failure> {
    let cursor = match &printer.command.after {
        Some(text) => Some(ReverseCursor::parse(text).ok_or_else(|| {
            Failure::usage(format!(
                "--after: {text:?} is not what an earlier page ended with"
            ))
        })?),
        None => None,
    };
    let (to, from) = sync_channel(HANDED_MAX);
    thread::scope(|scope| {
        let writing = scope.spawn(move || printer.take_records(&from));
        let next = read_users(store, used, wanted, (limit, cursor.as_ref()), to);
        writing
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))?;
        next
    })
}

/// Reads who used something, at most so many records after a place, and hands them on. Returns where the next page
/// begins, if there is one.
fn read_users(
    store: &Store,
    used: &Used,
    wanted: &Wanted,
    (limit, after): (usize, Option<&ReverseCursor>),
    to: SyncSender<Vec<RecordRow>>,
) -> Result<Option<String>, Failure> {
    let (mut left, mut records) = (limit, Vec::new());
    let (mut last, mut next) = (None, None);
    store
        .lookup()
        .users_of(used, wanted, after, |record, here| {
            if left == 0 {
                next = last.take().map(|last: ReverseCursor| last.to_string());
                return Ok::<_, Failure>(false);
            }
            left -= 1;
            records.push(record);
            // Who looks sees at once that there are users; the rest is written as it comes together.
            let is_first = last.replace(here).is_none();
            if !is_first && records.len() < RECORDS_AT_A_TIME {
                return Ok(true);
            }
            let records = std::mem::replace(&mut records, Vec::with_capacity(RECORDS_AT_A_TIME));
            // If nobody takes them, writing has failed, and says why.
            Ok(to.send(records).is_ok())
        })?;
    if !records.is_empty() {
        _ = to.send(records);
    }
    Ok(next)
}

/// Prints what is found: at once where the format can be streamed, else when everything is there.
struct Printer<'a> {
    command: &'a HistoryCommand,
    title: String,
    out: BufWriter<Stdout>,
    held: History,
    csv_has_heading: bool,
}

impl<'a> Printer<'a> {
    /// Begins to print.
    fn new(command: &'a HistoryCommand, title: String) -> Self {
        Self {
            command,
            title,
            out: BufWriter::with_capacity(OCTETS_AT_A_TIME, stdout()),
            held: History::default(),
            csv_has_heading: false,
        }
    }

    /// Takes the history of one more name.
    fn take(&mut self, history: History) -> Result<(), Failure> {
        if matches!(
            self.command.format,
            HistoryFormat::Table | HistoryFormat::Json
        ) {
            self.held.add(history);
            return Ok(());
        }
        self.stream(&history.records)?;
        if self.command.format == HistoryFormat::Ndjson {
            for change in &history.changes {
                serde_json::to_writer(&mut self.out, &ChangeJson::from(change))?;
                writeln!(self.out)?;
            }
        }
        Ok(())
    }

    /// Takes records as they come, until there are no more. The first is written at once.
    fn take_records(&mut self, from: &Receiver<Vec<RecordRow>>) -> Result<(), Failure> {
        let mut is_first = true;
        for records in from {
            match self.command.format {
                HistoryFormat::Table | HistoryFormat::Json => self.held.records.extend(records),
                _ => self.stream(&records)?,
            }
            if std::mem::take(&mut is_first) {
                self.out.flush()?;
            }
        }
        Ok(())
    }

    /// Writes records in a format that needs no more than one at a time.
    fn stream(&mut self, records: &[RecordRow]) -> Result<(), Failure> {
        let out = &mut self.out;
        match self.command.format {
            HistoryFormat::Table | HistoryFormat::Json => {}
            HistoryFormat::Ndjson => {
                for record in records {
                    serde_json::to_writer(&mut *out, &RecordJson::from(record))?;
                    writeln!(out)?;
                }
            }
            HistoryFormat::Csv => {
                let has_heading = std::mem::replace(&mut self.csv_has_heading, true);
                print_csv(out, records, !has_heading)?;
            }
            HistoryFormat::Cof => {
                for record in records {
                    serde_json::to_writer(&mut *out, &CofJson::from(record))?;
                    writeln!(out)?;
                }
            }
            HistoryFormat::Text => print_text(out, records)?,
        }
        Ok(())
    }

    /// Prints what was held, and where the next page begins.
    fn finish(mut self, store: &Store, next: Option<String>) -> Result<(), Failure> {
        self.held.sort();
        let cases = if self.command.with_cases {
            Some(cases_about(store, &self.held)?)
        } else {
            None
        };
        match self.command.format {
            HistoryFormat::Json => {
                let json = HistoryJson {
                    name: self.title.clone(),
                    records: self.held.records.iter().map(RecordJson::from).collect(),
                    changes: self.held.changes.iter().map(ChangeJson::from).collect(),
                    gaps: self.held.gaps.iter().map(GapJson::from).collect(),
                    coarse: self.held.coarse.iter().map(CoarseJson::from).collect(),
                    cases: cases.map(|cases| cases.iter().map(CaseJson::from).collect()),
                    next: next.clone(),
                };
                serde_json::to_writer_pretty(&mut self.out, &json)?;
                writeln!(self.out)?;
            }
            HistoryFormat::Table => {
                self.print_tables(cases.as_deref())?;
                if self.held.records.is_empty() && !self.is_reverse() {
                    self.hint_at_others(store)?;
                }
            }
            HistoryFormat::Csv if !self.csv_has_heading => print_csv(&mut self.out, &[], true)?,
            _ => {}
        }
        self.out.flush()?;
        // Data goes to stdout; that there is more of it does not.
        if let Some(next) = next {
            let sentence = "this is not all of it: --limit shows more, the next page begins with";
            writeln!(std::io::stderr(), "{sentence} --after {next}")?;
        }
        Ok(())
    }

    /// Returns whether it is asked who used something.
    fn is_reverse(&self) -> bool {
        let name = self.command.name.as_deref();
        name.is_none_or(|text| parse_addresses(text).is_some())
    }

    /// Says where else a name that has no history may be found.
    fn hint_at_others(&mut self, store: &Store) -> Result<(), Failure> {
        self.out.flush()?;
        let name = self.title.trim_start_matches("*.");
        let Ok(name) = Name::parse(name) else {
            return Ok(());
        };
        let hint = match store.zones().zones_enclosing(&name)?.is_empty() {
            true => {
                "it lies in no zone that is watched; `fluxwatch status` lists the zones".to_owned()
            }
            false => format!(
                "a zone that is watched may have it as a name server: `fluxwatch history --ns {name}`"
            ),
        };
        Ok(writeln!(std::io::stderr(), "hint: {hint}")?)
    }

    /// Prints the view that was asked for.
    fn print_tables(&mut self, cases: Option<&[CaseRow]>) -> Result<(), Failure> {
        let is_reverse = self.is_reverse();
        let (out, history) = (&mut self.out, &self.held);
        if history.records.is_empty() {
            let when = if self.command.at.is_some() {
                " at that time"
            } else {
                ""
            };
            let title = self.title.strip_suffix('.').filter(|it| !it.is_empty());
            let title = title.unwrap_or(&self.title);
            writeln!(out, "no history of {title}{when}")?;
        } else if self.command.at.is_some() {
            writeln!(out, "{}", records_table(&history.records))?;
        } else {
            let view = match self.command.view {
                Some(view) => view,
                None if is_reverse => HistoryView::Records,
                None => HistoryView::Changes,
            };
            match view {
                HistoryView::Changes => print_changes(out, history)?,
                HistoryView::Records => writeln!(out, "{}", records_table(&history.records))?,
                HistoryView::Timeline => print_timeline(out, &history.records)?,
            }
        }
        let Some(cases) = cases else { return Ok(()) };
        if cases.is_empty() {
            return Ok(writeln!(out, "\nNo case about these names.")?);
        }
        let rows = cases.iter().map(|row| {
            let case = CaseJson::from(row);
            let domain = case.domain.trim_end_matches('.').to_owned();
            let words = [case.verdict, case.level, case.state].map(str::to_owned);
            let mut cells = vec![case_reference(row.id), domain];
            cells.extend(words);
            cells.push(row.case.last_change_at.to_minute());
            cells
        });
        let headings = [
            "case",
            "domain",
            "verdict",
            "level",
            "state",
            "last change (utc)",
        ];
        Ok(writeln!(out, "\n{}", table(&headings, rows))?)
    }
}

/// Returns the cases about the names of a history and the names above them, in order of their numbers.
fn cases_about(store: &Store, history: &History) -> Result<Vec<CaseRow>, Failure> {
    let mut names = BTreeSet::new();
    for record in &history.records {
        let mut name = Some(Name::clone(&record.owner));
        while let Some(candidate) = name.filter(|name| name.is_at_or_below(&record.zone)) {
            name = candidate.parent();
            if !names.insert(candidate) {
                break;
            }
        }
    }
    let mut cases = Vec::new();
    for name in names {
        cases.extend(store.desk().find_case(&name)?);
    }
    cases.sort_by_key(|row| row.id);
    Ok(cases)
}

/// Prints changes, newest first, and what is there now.
fn print_changes(out: &mut impl Write, history: &History) -> Result<(), Failure> {
    let present = history
        .records
        .iter()
        .filter(|record| record.removed_at.is_none());
    let time = time_format(&history.records);
    let now: Vec<Vec<String>> = present.map(|record| present_cells(record, time)).collect();
    if now.is_empty() {
        writeln!(out, "Nothing is there now.")?;
    } else {
        let headings = ["name", "type", "data", "ttl", "since (utc)"];
        writeln!(out, "There now:\n{}", table(&headings, now.into_iter()))?;
    }
    let passive = history.records.iter();
    let passive = passive.filter(|it| it.view == View::Passive).count();
    if passive > 0 {
        writeln!(
            out,
            "\nPassive DNS has {passive} more, first and last seen by others: --view records."
        )?;
    }
    for (zone, gap) in &history.gaps {
        let (from, to, reason) = (gap.from.to_table(), gap.to.to_table(), &gap.reason);
        writeln!(
            out,
            "\nNot seen: zone {} from {from} to {to} ({reason}); what changed then has the later time.",
            zone.to_text_without_dot()
        )?;
    }
    for (zone, coarse) in &history.coarse {
        writeln!(
            out,
            "\nNot seen: of zone {zone} {} since watching began; what came and went between two is not here.",
            coarse.in_words()
        )?;
    }
    if history.changes.is_empty() {
        return Ok(writeln!(out, "\nNo change since watching began.")?);
    }
    let rows = history.changes.iter().rev().map(change_cells);
    let headings = ["time (utc)", "name", "type", "change"];
    Ok(writeln!(
        out,
        "\nChanges, newest first:\n{}",
        table(&headings, rows)
    )?)
}

/// Returns a table of records with the times that they were there: with seconds if a minute would hide that one was
/// there only for part of it, or which of two came first.
pub fn records_table(records: &[RecordRow]) -> String {
    let time = time_format(records);
    let rows = records.iter().map(|record| {
        let drift = if record.drift[1] { " (drift)" } else { "" };
        let removed = record.removed_at.map_or_else(
            || "still there".to_owned(),
            |at| format!("{}{drift}", time(at)),
        );
        let mut cells = present_cells(record, time);
        cells.remove(3);
        cells.push(removed);
        cells
    });
    table(&["name", "type", "data", "from (utc)", "to (utc)"], rows)
}

/// Returns how the times of some records are shown: by the minute where all are whole minutes or lie apart.
fn time_format(records: &[RecordRow]) -> fn(Timestamp) -> String {
    let mut times: BTreeSet<Timestamp> = BTreeSet::new();
    for record in records {
        times.insert(record.added_at);
        times.extend(record.removed_at);
    }
    let minutes: BTreeSet<i64> = times.iter().map(|at| at.unix().div_euclid(60)).collect();
    if minutes.len() == times.len() {
        Timestamp::to_minute
    } else {
        Timestamp::to_table
    }
}

/// Returns the cells of a record that is there now.
fn present_cells(record: &RecordRow, time: fn(Timestamp) -> String) -> Vec<String> {
    let since = time(record.added_at);
    vec![
        record.owner.to_text_without_dot(),
        record.rdata.rtype().to_string(),
        record.rdata.to_string(),
        record.ttl.to_string(),
        match (record.baseline, record.drift[0]) {
            (true, _) => format!("{since} or before"),
            (false, true) => format!("{since} (drift)"),
            (false, false) => since,
        },
    ]
}

/// Returns the cells of a change: what went, then what came.
fn change_cells(change: &ChangeRow) -> Vec<String> {
    let removed = change.removed.iter().map(|rdata| format!("- {rdata}"));
    let added = change.added.iter().map(|rdata| format!("+ {rdata}"));
    let bulk = match (change.drift, change.bulk) {
        (true, _) => Some("(drift: found when the zone was compared whole)".to_owned()),
        (false, true) => Some("(mass change)".to_owned()),
        (false, false) => None,
    };
    let missed = change
        .missed
        .map(|missed| format!("({} before it did not arrive)", missed.in_words()));
    let serial = change
        .serial
        .map_or_else(String::new, |serial| format!("\nserial {serial}"));
    vec![
        format!("{}{serial}", change.at.to_table()),
        change.owner.to_text_without_dot(),
        change.rtype.to_string(),
        removed
            .chain(added)
            .chain(bulk)
            .chain(missed)
            .collect::<Vec<_>>()
            .join("\n"),
    ]
}

/// Prints dnsdbq's columns. Both pairs of times are those of the zone: no sensor saw answers.
fn print_csv(
    out: &mut impl Write,
    records: &[RecordRow],
    with_heading: bool,
) -> Result<(), Failure> {
    let mut writer = csv::WriterBuilder::new()
        .quote_style(csv::QuoteStyle::Necessary)
        .from_writer(out);
    if with_heading {
        writer.write_record([
            "time_first",
            "time_last",
            "zone_first",
            "zone_last",
            "count",
            "bailiwick",
            "rrname",
            "rrtype",
            "rdata",
        ])?;
    }
    for record in records {
        let (first, last) = (record.added_at.to_table(), record.last_seen_at.to_table());
        writer.write_record([
            &first,
            &last,
            &first,
            &last,
            "",
            &record.zone.to_string(),
            &record.owner.to_string(),
            record.rdata.rtype().mnemonic(),
            &record.rdata.to_string(),
        ])?;
    }
    Ok(writer.flush()?)
}

/// Prints dnsdbq's text: the times of a record, its bailiwick, the record.
fn print_text(out: &mut impl Write, records: &[RecordRow]) -> Result<(), Failure> {
    for record in records {
        let (first, last) = (record.added_at.to_table(), record.last_seen_at.to_table());
        let stay = record.last_seen_at.since(record.added_at);
        writeln!(out, ";;   zone times: {first} .. {last} ({stay})")?;
        writeln!(out, ";; bailiwick: {}", record.zone)?;
        writeln!(
            out,
            "{}  {}  {}\n",
            record.owner,
            record.rdata.rtype(),
            record.rdata
        )?;
    }
    Ok(())
}
