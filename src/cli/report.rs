//! `fluxwatch report`.

use std::io::Write;
use std::path::Path;

use crate::case::Case;
use crate::cli::arguments::{ReportCommand, ReportPreview};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::stdout;
use crate::cli::session::{find_case, load_config, open_pipeline, open_store};
use crate::time::{Clock, WallClock};

/// Runs the command.
pub fn run(config: Option<&Path>, command: &ReportCommand) -> Result<Done, Failure> {
    match command {
        ReportCommand::Preview(preview) => run_preview(config, preview),
    }
}

/// Prints the octets of a case's report: those that were queued, or those that would be.
fn run_preview(config: Option<&Path>, command: &ReportPreview) -> Result<Done, Failure> {
    let config = load_config(config)?;
    if config.mail.is_none() {
        return Err(Failure::usage(
            "a report needs [report] and [smtp] in the configuration",
        ));
    }
    let store = open_store(&config)?;
    let row = find_case(&store, &command.case)?;
    let mut out = stdout();
    if let Some(queued) = store.messages_of_case(row.id)?.last() {
        out.write_all(&queued.message.octets)?;
        out.flush()?;
        return Ok(Done::Well);
    }
    let pipeline = open_pipeline(config, store)?;
    let found = pipeline.find(&row.case.domain, row.case.evaluated_at)?;
    let finding = found.finding.ok_or_else(|| {
        Failure::failed(format!(
            "{} shows nothing at {} that could be reported",
            row.case.domain, row.case.evaluated_at
        ))
    })?;
    let case = Case {
        revision: row.case.revision + 1,
        ..row.case
    };
    for message in pipeline
        .compose_report(row.id, &case, &finding, WallClock.now())?
        .into_iter()
        .take(1)
    {
        out.write_all(&message.octets)?;
    }
    out.flush()?;
    Ok(Done::Well)
}
