//! A small plot of when records were there.

use std::io::Write;

use crate::cli::failure::Failure;
use crate::store::RecordRow;
use crate::time::Timestamp;

/// How many characters the plotted time has.
const WIDTH: usize = 36;
/// How many characters of a record are shown beside it.
const LABEL: usize = 40;

/// Prints a line for each record: `#` where it was there for some of the time, `.` where it was not.
pub fn print_timeline(out: &mut impl Write, records: &[RecordRow]) -> Result<(), Failure> {
    let Some(first) = records.iter().map(|record| record.added_at).min() else {
        return Ok(());
    };
    let end = |record: &RecordRow| {
        record
            .removed_at
            .unwrap_or(record.last_seen_at)
            .max(record.added_at)
    };
    let last = records.iter().map(end).max().unwrap_or(first);
    let mut name = None;
    for record in records {
        if name != Some(&record.owner) {
            writeln!(out, "{}", record.owner.to_text_without_dot())?;
            name = Some(&record.owner);
        }
        let mut label = format!("{} {}", record.rdata.rtype(), record.rdata);
        if label.len() > LABEL {
            // RDATA is printed in ASCII; what is cut off says so.
            label.truncate(LABEL - 2);
            label.push_str("..");
        }
        let until = record.removed_at.is_some().then(|| end(record));
        writeln!(
            out,
            "  {label:<LABEL$} {}",
            plot(first, last, record.added_at, until)
        )?;
    }
    writeln!(
        out,
        "  {:<LABEL$} {:<18}{:>18}",
        "",
        first.to_minute(),
        last.to_minute()
    )?;
    writeln!(
        out,
        "  {:<LABEL$} one character is {}",
        "",
        last.since(first).divided_by(WIDTH as i64)
    )?;
    Ok(())
}

/// Returns the plot of one stay; one without an end lasts to the end.
fn plot(first: Timestamp, last: Timestamp, from: Timestamp, until: Option<Timestamp>) -> String {
    let whole = last.since(first).as_seconds().max(1);
    let place = |at: Timestamp| (at.since(first).as_seconds() * WIDTH as i64 / whole) as usize;
    let start = place(from).min(WIDTH - 1);
    let end = until.map_or(WIDTH, |until| place(until).clamp(start + 1, WIDTH));
    let mark = |at: usize| if (start..end).contains(&at) { '#' } else { '.' };
    (0..WIDTH).map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plot_shows_every_stay_however_short_and_those_without_end_to_the_end() {
        let at = Timestamp::from_unix;
        let all = plot(at(0), at(360), at(0), None);
        assert_eq!(all, "#".repeat(36));
        let short = plot(at(0), at(360), at(100), Some(at(101)));
        assert_eq!(short.find('#'), Some(10));
        assert_eq!(short.matches('#').count(), 1);
        let late = plot(at(0), at(360), at(360), Some(at(360)));
        assert_eq!(late.find('#'), Some(35));
        assert_eq!(plot(at(5), at(5), at(5), None), "#".repeat(36));
    }
}
