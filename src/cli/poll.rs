//! `fluxwatch poll`.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::case::CaseState;
use crate::cli::arguments::PollCommand;
use crate::cli::cases::print_found;
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{stdout, table};
use crate::cli::session::{
    create_store, known_actor, load_config, open_dry_run, open_store, open_watching, parse_name,
    runtime, take_lock,
};
use crate::config::{Config, Source};
use crate::count::counted;
use crate::daemon::log_report;
use crate::desk::zones::{accept_next, note_acceptance};
use crate::dns::Name;
use crate::pipeline::{
    DeliverySummary, Pipeline, PollOptions, Retention, Troubles, ZoneOutcome, ZoneReport,
};
use crate::store::{MessageRow, MessageState, Store};
use crate::time::{Clock, WallClock};
use crate::zone::Missed;

/// Runs the command.
pub fn run(config: Option<&Path>, command: &PollCommand) -> Result<Done, Failure> {
    let config = load_config(config)?;
    let wanted = command
        .zones
        .iter()
        .map(|text| parse_name(text))
        .collect::<Result<HashSet<_>, _>>()?;
    let accept = command
        .accept
        .iter()
        .map(|text| parse_name(text))
        .collect::<Result<HashSet<_>, _>>()?;
    check_zones(&config, wanted.iter().chain(&accept))?;
    let options = PollOptions {
        full: command.full,
        accept,
        mail_wanted: true,
    };
    let manner = Manner {
        send: true,
        quiet: command.quiet,
    };
    if command.dry_run {
        let dry = open_dry_run(config)?;
        dry.pipeline.judge().note_watched()?;
        dry.pipeline.judge().judge_anew(&|| true)?;
        let done = poll(
            &dry.pipeline,
            &wanted,
            &options,
            Manner {
                send: false,
                ..manner
            },
        )?;
        let queued = dry.pipeline.store().desk().messages(true)?.len();
        writeln!(
            std::io::stderr(),
            "dry run: nothing was changed or sent; {} would wait to be sent",
            counted(queued, "message")
        )?;
        return Ok(done);
    }
    // Before the database is opened: it may have to be migrated, which only the poller does.
    let Some(_lock) = take_lock(&config, command.wait)? else {
        return request_accept(&config, &options);
    };
    let store = create_store(&config)?;
    if let Some(line) = store
        .server_standing()?
        .and_then(|standing| standing.apart(WallClock.now()))
    {
        writeln!(std::io::stderr(), "warning: {line}")?;
    }
    if store.is_moved() {
        writeln!(
            std::io::stderr(),
            "warning: the database's server is another one than before: a standby was promoted, or a backup restored; what it had not received is gone, and zones are compared anew with their sources; compare `fluxwatch cases log` with what the desk remembers"
        )?;
    }
    note_accepted(&config, &store, &options)?;
    let pipeline = open_watching(config, store)?;
    pipeline.upkeep().record_tables()?;
    pipeline.judge().note_watched()?;
    pipeline.judge().judge_anew(&|| true)?;
    poll(&pipeline, &wanted, &options, manner)
}

/// Leaves it to the poller that runs to take the zones that are to be accepted.
fn request_accept(config: &Config, options: &PollOptions) -> Result<Done, Failure> {
    if options.accept.is_empty() {
        return Ok(Done::Well);
    }
    let (who, store) = (asker(config), open_store(config)?);
    for zone in &options.accept {
        accept_next(&store, zone, &who, WallClock.now())?;
        let sentence = format!(
            "the fluxwatch that runs will take the next version of {} although it shrank",
            zone.to_text_without_dot()
        );
        writeln!(std::io::stderr(), "{sentence}")?;
    }
    Ok(Done::Well)
}

/// Returns who asks for a pass. A timer has no name.
fn asker(config: &Config) -> String {
    let known = known_actor(None, config).ok().flatten();
    known.unwrap_or_else(|| "somebody at the command line".to_owned())
}

/// Notes in the desk's log who accepts the next versions of zones.
pub fn note_accepted(config: &Config, store: &Store, options: &PollOptions) -> Result<(), Failure> {
    let who = asker(config);
    for zone in &options.accept {
        note_acceptance(store, zone, &who, WallClock.now())?;
    }
    Ok(())
}

/// What a pass does beside polling.
#[derive(Clone, Copy)]
struct Manner {
    /// Mail goes out, and what is due beside the sources is done.
    send: bool,
    /// Only what failed is printed.
    quiet: bool,
}

/// Polls, prints what was found, and empties the outbox.
fn poll(
    pipeline: &Pipeline,
    wanted: &HashSet<Name>,
    options: &PollOptions,
    manner: Manner,
) -> Result<Done, Failure> {
    let Manner { send, quiet } = manner;
    pipeline.upkeep().settle_waits()?;
    let config = pipeline.config().clone();
    let sources: Vec<&Source> = config
        .sources
        .iter()
        .filter(|source| {
            wanted.is_empty() || source.zone().is_none_or(|zone| wanted.contains(zone))
        })
        .collect();
    let some_wanted = (!wanted.is_empty()).then_some(wanted);
    let progress = progress_bar(sources.len());
    let mut reports = Vec::new();
    let delivered = runtime()?.block_on(async {
        let mut hear = |report: ZoneReport| {
            // The table says it too; who wants lines asks for them.
            if tracing::enabled!(tracing::Level::INFO) {
                log_report(&report, pipeline.ingest().is_known_outage(&report));
            }
            progress.inc(1);
            progress.set_message(
                report
                    .zone
                    .as_ref()
                    .map_or_else(|| report.source.clone(), Name::to_text_without_dot),
            );
            reports.push(report);
        };
        pipeline
            .ingest()
            .poll(&sources, some_wanted, options, &mut hear)
            .await?;
        if send {
            pipeline.notify().after_pass()?;
            Ok::<_, Failure>(pipeline.notify().deliver().await?)
        } else {
            Ok(DeliverySummary::default())
        }
    })?;
    progress.finish_and_clear();
    if send {
        let now = pipeline.clock().now();
        // Last, since it takes the longest and nobody waits for it.
        Retention::new(pipeline.store(), &config, now).prune_daily(|_| true)?;
        pipeline.upkeep().write_metrics(&Troubles::default())?;
    }
    if quiet {
        reports.retain(has_failed);
    }
    if !quiet || !reports.is_empty() {
        print_reports(&reports)?;
    }
    if !quiet {
        let states = [CaseState::Open, CaseState::Acknowledged];
        print_found(&pipeline.store().desk().cases(&states)?)?;
    }
    let is_worth_telling = if quiet {
        delivered.waiting + delivered.dead > 0
    } else {
        delivered != DeliverySummary::default()
    };
    if is_worth_telling {
        writeln!(std::io::stderr(), "mail: {delivered}")?;
    }
    print_waiting(pipeline)?;
    if let Some(alarm) = pipeline.findings().canary_alarm()? {
        writeln!(std::io::stderr(), "{alarm}")?;
        return Ok(Done::Partly);
    }
    if print_unjudged(pipeline)? {
        Ok(Done::Partly)
    } else {
        Ok(done_with(&reports, &delivered))
    }
}

/// Says on stderr which tables cannot be used, so that nothing is judged. Returns whether there are any.
fn print_unjudged(pipeline: &Pipeline) -> Result<bool, Failure> {
    for fault in pipeline.waiting_for() {
        let sentence = format!("error: zones are watched and nothing is judged: {fault}");
        writeln!(std::io::stderr(), "{sentence}")?;
    }
    Ok(!pipeline.waiting_for().is_empty())
}

/// Returns whether a zone, a file or a line failed.
fn has_failed(report: &ZoneReport) -> bool {
    matches!(
        report.outcome,
        ZoneOutcome::Refused(_) | ZoneOutcome::LinesRejected(_)
    )
}

/// Returns how a pass ended: not well if a zone, a line or a message failed.
pub fn done_with(reports: &[ZoneReport], delivered: &DeliverySummary) -> Done {
    if reports.iter().any(has_failed) || delivered.waiting + delivered.dead > 0 {
        Done::Partly
    } else {
        Done::Well
    }
}

/// Says on stderr what of the outbox is not sent, whether this pass tried it or not.
fn print_waiting(pipeline: &Pipeline) -> Result<(), Failure> {
    let unsent = pipeline.store().desk().messages(true)?;
    // Without an attempt a message waits for nothing but its turn, unless one was tried before it in vain.
    if unsent.iter().any(|row| row.attempt_count > 0) {
        let is_dead = |row: &&MessageRow| row.state == MessageState::Dead;
        let dead = unsent.iter().filter(is_dead).count();
        let mut parts = Vec::new();
        if unsent.len() > dead {
            parts.push(format!("{} not sent yet", unsent.len() - dead));
        }
        if dead > 0 {
            parts.push(format!("{dead} given up"));
        }
        writeln!(
            std::io::stderr(),
            "outbox: {}; `fluxwatch outbox list` shows why",
            parts.join(", ")
        )?;
    }
    Ok(())
}

/// Refuses zones that no source has.
fn check_zones<'a>(
    config: &Config,
    mut zones: impl Iterator<Item = &'a Name>,
) -> Result<(), Failure> {
    // A feed, or a catalog, may bring zones that the configuration does not name.
    let has_open_feed = config.sources.iter().any(|source| source.zone().is_none());
    let is_known = |zone: &&Name| {
        has_open_feed
            || config
                .sources
                .iter()
                .any(|source| source.zone() == Some(*zone))
    };
    match zones.find(|zone| !is_known(zone)) {
        Some(zone) => Err(Failure::usage(format!(
            "zone {} has no source in {}",
            zone.to_text_without_dot(),
            config.path.display()
        ))),
        None => Ok(()),
    }
}

/// Returns a bar on a terminal that appears once the pass takes a while, and nothing elsewhere.
fn progress_bar(length: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64);
    let style = ProgressStyle::with_template("{spinner} {pos}/{len} sources [{elapsed}] {msg}")
        .expect("the template is valid");
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

/// Prints one line a zone, and one for all files that are refused for one reason.
pub fn print_reports(reports: &[ZoneReport]) -> Result<(), Failure> {
    let mut out = stdout();
    let row = |&(report, count): &(&ZoneReport, u64)| {
        let mut result = describe(&report.outcome);
        if count > 1 {
            let others = counted(count - 1, "more file");
            result = format!("{result}; {others} refused as well");
        }
        vec![
            report
                .zone
                .as_ref()
                .map_or_else(|| "-".to_owned(), Name::to_text_without_dot),
            report.source.clone(),
            result,
        ]
    };
    let mut shown: Vec<(&ZoneReport, u64)> = Vec::new();
    for report in reports {
        match shown.last_mut() {
            Some((first, count)) if is_refused_alike(first, report) => *count += 1,
            _ => shown.push((report, 1)),
        }
    }
    if reports.is_empty() {
        writeln!(
            out,
            "no source is configured; add a [[source]] to the configuration (man fluxwatch.toml)"
        )?;
    } else {
        writeln!(
            out,
            "{}",
            table(&["zone", "source", "result"], shown.iter().map(row))
        )?;
    }
    Ok(out.flush()?)
}

/// Returns whether two refusals of one source and zone have one reason.
fn is_refused_alike(one: &ZoneReport, other: &ZoneReport) -> bool {
    match (&one.outcome, &other.outcome) {
        (ZoneOutcome::Refused(left), ZoneOutcome::Refused(right)) => {
            left.code() == right.code()
                && one.zone.is_some()
                && (&one.source, &one.zone) == (&other.source, &other.zone)
        }
        _ => false,
    }
}

/// Says what happened to a zone.
fn describe(outcome: &ZoneOutcome) -> String {
    match outcome {
        ZoneOutcome::Unchanged {
            serial: Some(serial),
        } => format!("no change (serial {serial})"),
        ZoneOutcome::Unchanged { serial: None } => "no change".to_owned(),
        ZoneOutcome::Refused(refusal) => format!("refused ({}): {refusal}", refusal.code()),
        ZoneOutcome::LinesRejected(count) => {
            format!("{} set aside", counted(*count, "line"))
        }
        ZoneOutcome::Sightings(summary) => format!(
            "passive DNS: {}, {} of them new",
            counted(summary.sightings, "record"),
            summary.new
        ),
        ZoneOutcome::SerialsStand(count) => {
            format!("no change in {}", counted(*count, "zone"))
        }
        ZoneOutcome::Catalog(summary) => {
            let mut text = format!(
                "{}, {} joined, {} left",
                counted(summary.members, "member"),
                summary.joined,
                summary.left
            );
            if summary.refused > 0 {
                text = format!("{text}, {} refused", summary.refused);
            }
            if summary.reset > 0 {
                text = format!("{text}, {} reset", summary.reset);
            }
            text
        }
        ZoneOutcome::Stored(summary) => {
            let mut text = format!(
                "{}, {} changed, {} now",
                counted(summary.versions, "version"),
                counted(summary.changed_names, "name"),
                counted(summary.records, "record")
            );
            if summary.baseline {
                text = format!("baseline; {text}");
            }
            if let Some(serial) = summary.serial {
                text = format!("{text}, serial {serial}");
            }
            if summary.bulk_versions > 0 {
                text = format!(
                    "{text}; {}, no domain is suspected for it",
                    counted(summary.bulk_versions, "mass change")
                );
            }
            if summary.drift_names > 0 {
                let names = match summary.drift_names {
                    1 => "1 name differed".to_owned(),
                    count => format!("{count} names differed"),
                };
                text = format!(
                    "{text}; drift: {names} from the primary's own zone, no domain is suspected for it"
                );
            }
            if summary.missed_max > 0 {
                let count = summary.missed_max;
                text = format!(
                    "{text}; {} did not arrive",
                    Missed::AtMost(count.min(u64::from(u32::MAX)) as u32).in_words()
                );
            }
            if summary.serial_regressed {
                text = format!("{text}; the serial went backwards");
            }
            text
        }
    }
}
