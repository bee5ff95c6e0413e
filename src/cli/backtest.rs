//! `fluxwatch backtest`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::case::CaseState;
use crate::cli::arguments::{BacktestCommand, StatsFormat};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::{stdout, table};
use crate::cli::session::{load_config, open_for_lookups, open_pipeline};
use crate::count::counted;
use crate::detector::{DetectPolicy, Level};
use crate::dns::Name;
use crate::file;
use crate::pipeline::{Pipeline, Replayed};
use crate::time::{Clock, Timestamp, WallClock};

/// The most octets of a policy.
const POLICY_OCTETS_MAX: u64 = 1 << 20;

/// A domain, as scripts read it.
#[derive(Serialize)]
struct ReplayedJson<'a> {
    domain: &'a Name,
    level: &'static str,
    verdict: &'static str,
    score: f64,
    reviewed_at: Option<Timestamp>,
    reported_at: Option<Timestamp>,
    term: &'a str,
    decided: Option<CaseState>,
}

/// A backtest, as scripts read it.
#[derive(Serialize)]
struct BacktestJson<'a> {
    since: Timestamp,
    until: Timestamp,
    policy: String,
    domains: Vec<ReplayedJson<'a>>,
    precision: Vec<Precision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compared: Option<Vec<ReplayedJson<'a>>>,
}

/// How the desk decided on what would have been reported, by verdict.
#[derive(Serialize)]
struct Precision {
    verdict: &'static str,
    reported: u64,
    /// Acknowledged or mitigated.
    confirmed: u64,
    dismissed: u64,
    /// Confirmed of all that were decided on; null if none was.
    precision: Option<f64>,
}

/// Runs the command.
pub fn run(config: Option<&Path>, command: &BacktestCommand) -> Result<Done, Failure> {
    let now = WallClock.now();
    let time = |option: &str, text: &str| {
        Timestamp::parse_argument(text, now)
            .map_err(|fault| Failure::usage(format!("{option}: {fault}")))
    };
    let since = time("--since", &command.since)?;
    let until = match &command.until {
        Some(text) => time("--until", text)?,
        None => now,
    };
    if since >= until {
        return Err(Failure::usage("--since is not before --until"));
    }
    let config = load_config(config)?;
    let first = match &command.policy {
        Some(path) => read_policy(path)?,
        None => config.detect.clone(),
    };
    let second = command.compare.as_deref().map(read_policy).transpose()?;
    let store = open_for_lookups(&config)?;
    let pipeline = open_pipeline(config, store)?;
    let replayed = replay(&pipeline, &first, since, until)?;
    let compared = second
        .as_ref()
        .map(|policy| replay(&pipeline, policy, since, until))
        .transpose()?;
    let mut out = stdout();
    match command.format {
        StatsFormat::Json => {
            let json = BacktestJson {
                since,
                until,
                policy: first.label(),
                domains: replayed.iter().map(as_json).collect(),
                precision: precisions(&replayed),
                compared: compared
                    .as_ref()
                    .map(|all| all.iter().map(as_json).collect()),
            };
            serde_json::to_writer_pretty(&mut out, &json)?;
            writeln!(out)?;
        }
        StatsFormat::Table => match &compared {
            None => print_one(&mut out, &replayed)?,
            Some(compared) => print_two(&mut out, &replayed, compared)?,
        },
    }
    out.flush()?;
    Ok(Done::Well)
}

/// Reads the keys of `[detect]` from a file of their own.
fn read_policy(path: &Path) -> Result<DetectPolicy, Failure> {
    let failed = |what: String| Failure::usage(format!("{}: {what}", path.display()));
    let text =
        file::read_text(path, POLICY_OCTETS_MAX).map_err(|error| failed(error.to_string()))?;
    let policy: DetectPolicy = toml::from_str(&text).map_err(|fault| failed(fault.to_string()))?;
    let faults = policy.faults().into_iter();
    let faults: Vec<String> = faults
        .map(|(key, what, cure)| format!("{key}: {what}: {cure}"))
        .collect();
    if faults.is_empty() {
        Ok(policy)
    } else {
        Err(failed(faults.join("; ")))
    }
}

/// Replays a policy, with a bar on a terminal.
fn replay(
    pipeline: &Pipeline,
    policy: &DetectPolicy,
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<Replayed>, Failure> {
    let bar = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{spinner} {pos}/{len} domains [{elapsed}]");
        ProgressBar::new(0).with_style(style.expect("the template is valid"))
    } else {
        ProgressBar::hidden()
    };
    bar.enable_steady_tick(Duration::from_millis(250));
    let replayed = pipeline
        .judge()
        .backtest(policy, since, until, |all, done| {
            bar.set_length(all as u64);
            bar.set_position(done as u64);
        })?;
    bar.finish_and_clear();
    Ok(replayed)
}

/// Returns a domain as scripts read it.
fn as_json(replayed: &Replayed) -> ReplayedJson<'_> {
    ReplayedJson {
        domain: &replayed.domain,
        level: replayed.peak.word(),
        verdict: replayed.verdict,
        score: (replayed.score * 10.0).round() / 10.0,
        reviewed_at: replayed.reviewed_at,
        reported_at: replayed.reported_at,
        term: &replayed.term,
        decided: replayed.decided,
    }
}

/// Prints what one policy finds.
fn print_one(out: &mut impl Write, replayed: &[Replayed]) -> Result<(), Failure> {
    let shown = replayed.iter().filter(|it| it.peak >= Level::Review);
    let rows = shown.map(|it| {
        let at = it.reported_at.or(it.reviewed_at);
        vec![
            it.domain.to_text_without_dot(),
            it.peak.word().to_owned(),
            it.verdict.to_owned(),
            at.map_or_else(String::new, Timestamp::to_minute),
            format!("{:.0}", it.score),
            it.term.clone(),
        ]
    });
    let headings = [
        "domain",
        "level",
        "suspected",
        "when (utc)",
        "score",
        "most points",
    ];
    let rows: Vec<Vec<String>> = rows.collect();
    if !rows.is_empty() {
        writeln!(out, "{}", table(&headings, rows.into_iter()))?;
    }
    writeln!(out, "{}", summary(replayed))?;
    let decided: Vec<Precision> = precisions(replayed);
    for line in decided.iter().filter(|it| it.confirmed + it.dismissed > 0) {
        writeln!(
            out,
            "{}: of {} reported the desk confirmed {} and dismissed {}",
            line.verdict, line.reported, line.confirmed, line.dismissed
        )?;
    }
    Ok(())
}

/// Prints two policies side by side: the domains on which they differ.
fn print_two(out: &mut impl Write, first: &[Replayed], second: &[Replayed]) -> Result<(), Failure> {
    let by_domain = |all: &'_ [Replayed]| -> BTreeMap<Name, Replayed> {
        all.iter()
            .map(|it| (it.domain.clone(), it.clone()))
            .collect()
    };
    let (first_by, second_by) = (by_domain(first), by_domain(second));
    let domains: BTreeSet<&Name> = first_by.keys().chain(second_by.keys()).collect();
    let word = |it: Option<&Replayed>| match it {
        Some(it) => match it.reported_at.or(it.reviewed_at) {
            Some(at) => format!("{} {}", it.peak.word(), at.to_minute()),
            None => it.peak.word().to_owned(),
        },
        None => "none".to_owned(),
    };
    let mut rows = Vec::new();
    for domain in domains {
        let (one, other) = (first_by.get(domain), second_by.get(domain));
        let outcome = |it: Option<&Replayed>| it.map(|it| (it.peak, it.reported_at));
        let is_worth = one
            .into_iter()
            .chain(other)
            .any(|it| it.peak >= Level::Review);
        if is_worth && outcome(one) != outcome(other) {
            rows.push(vec![domain.to_text_without_dot(), word(one), word(other)]);
        }
    }
    if rows.is_empty() {
        writeln!(out, "Both find the same.")?;
    } else {
        writeln!(
            out,
            "{}",
            table(&["domain", "first", "second"], rows.into_iter())
        )?;
    }
    writeln!(
        out,
        "first: {}\nsecond: {}",
        summary(first),
        summary(second)
    )?;
    Ok(())
}

/// Counts domains by the level they reached.
fn summary(replayed: &[Replayed]) -> String {
    let count = |level: Level| replayed.iter().filter(|it| it.peak == level).count();
    format!(
        "{} reported, {} reviewed, {} watched",
        counted(count(Level::Report), "domain"),
        count(Level::Review),
        count(Level::Watch)
    )
}

/// Returns how the desk decided, by verdict.
fn precisions(replayed: &[Replayed]) -> Vec<Precision> {
    let mut by_verdict: BTreeMap<&'static str, Precision> = BTreeMap::new();
    for it in replayed.iter().filter(|it| it.reported_at.is_some()) {
        let line = by_verdict.entry(it.verdict).or_insert(Precision {
            verdict: it.verdict,
            reported: 0,
            confirmed: 0,
            dismissed: 0,
            precision: None,
        });
        line.reported += 1;
        match it.decided {
            Some(CaseState::Acknowledged | CaseState::Mitigated) => line.confirmed += 1,
            Some(CaseState::Dismissed) => line.dismissed += 1,
            _ => {}
        }
    }
    let mut lines: Vec<Precision> = by_verdict.into_values().collect();
    for line in &mut lines {
        let decided = line.confirmed + line.dismissed;
        line.precision = (decided > 0).then(|| line.confirmed as f64 / decided as f64);
    }
    lines
}
