//! The tables of docs/explanation/evaluation.md.

use std::fmt::Write as _;

use fluxwatch::detector::{Level, POLICY_VERSION};

use super::scenarios::aliases::ALIASES;
use super::scenarios::others::MORE;
use super::scenarios::stories::{ALL, Expected};
use super::scenarios::trial::Outcome;
use super::{ABLATIONS, FEEDS, OTHERS, Outcomes};

/// How thresholds were chosen; edits of the stories are to be told here.
const TUNED: &str = r"
## How it was tuned

The stories were frozen before anything was tuned on them, and have not been edited since. Seeds below 100 were
used to find what was wrong; seeds after 1000 and 2000 were reported on once, and what they showed was mended; the seeds of
this page, after 3000, were used for nothing else. What was changed after the stories were frozen:

- What a poll sees within a day after a new registration began with it (B20 was reported at looks of 1 and 6 hours).
- Without a table of autonomous systems the gates ask for 10 and 20 prefixes instead of 6 and 7 (B4, B7b, B9b and B17
  were reported).
- Rotation through one hosting network is reviewed (M11 was not), but not what brings the same addresses back (B3).
- A report is held for an hour unless the score is 70 or more.
- The networks of the made Internet have as many prefixes as real ones (`tests/scenarios/networks.rs`); they had four each,
  which hid that prefixes accuse whoever scales in a cloud. What no table answers for is reviewed at most since.
- Policy 2026-12: a change counts where something leaves that had not been there for long, a report asks for five such
  in 7 days, and the hold for another one (docs/explanation/detection.md, *What policy 2026-12 changed*).
";

/// Returns the page.
pub fn page(
    seeds: u64,
    by_feed: &Outcomes,
    by_ablation: &Outcomes,
    [more, aliases]: [&Outcomes; 2],
) -> String {
    let mut page = format!(
        "# Evaluation\n\n\
        Made by `cargo run --release --example evaluate {seeds}`: the stories of `tests/scenarios/stories.rs`, each told\n\
        with {seeds} seeds that were used for nothing else, run past the detector (policy {POLICY_VERSION}) and the case as a\n\
        feed of every change and looks every 1, 6 and 24 hours show them. What is not in the stories is not evaluated:\n\
        they are made from published numbers (docs/explanation/detection.md), not recorded.\n\n\
        ![Time to report of each malicious story at four feeds, and the score over time of a malicious and a benign one](evaluation.svg)\n\n"
    );
    malicious(&mut page, by_feed);
    benign(&mut page, by_feed);
    look_alikes_and_attackers(&mut page, more);
    of_aliases(&mut page, aliases);
    ablations(&mut page, by_ablation);
    others(&mut page, by_ablation);
    page.push_str(TUNED);
    page
}

/// Writes the table of malicious stories.
fn malicious(page: &mut String, by_feed: &Outcomes) {
    page.push_str(
        "## Malicious stories\n\nReported of all seeds, and hours from the beginning of the flux to the report (the hold\n\
        included): median, and the longest.\n\n| story | | expected |",
    );
    heading(page);
    for (id, title, expected) in ALL.iter().filter(|(id, ..)| id.starts_with('M')) {
        let _ = write!(page, "| {id} | {title} | {} |", word(*expected));
        for way in 0..FEEDS.len() {
            let _ = write!(page, " {} |", reported(&by_feed[&(*id, way)]));
        }
        page.push('\n');
    }
    let wanted = |id: &str| {
        ALL.iter()
            .any(|(it, _, expected)| *it == id && *expected == Expected::Report)
    };
    page.push_str("| all to be reported | | |");
    for way in 0..FEEDS.len() {
        let runs = by_feed
            .iter()
            .filter(|((id, at), _)| *at == way && wanted(id));
        let outcomes: Vec<&Outcome> = runs.flat_map(|(_, outcomes)| outcomes).collect();
        let hits = outcomes.iter().filter(|it| it.reported_h.is_some()).count();
        let (low, high) = wilson(hits, outcomes.len());
        let _ = write!(
            page,
            " {hits} of {}: {:.1} % to {:.1} % |",
            outcomes.len(),
            100.0 * low,
            100.0 * high
        );
    }
    page.push_str("\n\nThe last line has the 95 % bounds of Wilson's interval.\n\n");
}

/// Writes the heading of a table by feeds.
fn heading(page: &mut String) {
    for (title, _) in FEEDS {
        let _ = write!(page, " {title} |");
    }
    page.push_str("\n|---|---|---|---|---|---|---|\n");
}

/// Writes the table of benign stories.
fn benign(page: &mut String, by_feed: &Outcomes) {
    page.push_str("## Benign stories\n\nThe highest level that any seed reached, and the highest score.\n\n| story | | allowed |");
    heading(page);
    for (id, title, expected) in ALL.iter().filter(|(id, ..)| id.starts_with('B')) {
        let _ = write!(page, "| {id} | {title} | {} |", word(*expected));
        for way in 0..FEEDS.len() {
            let outcomes = &by_feed[&(*id, way)];
            let peak = outcomes.iter().filter_map(|it| it.peak).max();
            let score = outcomes.iter().map(|it| it.score).fold(0.0, f64::max);
            let _ = write!(page, " {}, {score:.0} |", peak.map_or("none", Level::word));
        }
        page.push('\n');
    }
    let runs: Vec<&Outcome> = by_feed
        .iter()
        .filter(|((id, _), _)| id.starts_with('B'))
        .flat_map(|(_, outcomes)| outcomes)
        .collect();
    let false_reports = runs.iter().filter(|it| it.reported_h.is_some()).count();
    let reviews = runs
        .iter()
        .filter(|it| it.peak >= Some(Level::Review))
        .count();
    let (_, high) = wilson(false_reports, runs.len());
    let _ = write!(
        page,
        "\nFalse reports: {false_reports} of {} runs (95 %: at most {:.2} %). At level review or above: {reviews}.\n\
        Truncated and re-represented snapshots (B19) are replayed from real files by `cargo test --test it rootzone`.\n\n",
        runs.len(),
        100.0 * high
    );
}

/// Writes the table of look-alikes that were once accused and of attackers who have read docs/explanation/detection.md.
fn look_alikes_and_attackers(page: &mut String, outcomes: &Outcomes) {
    page.push_str("## Look-alikes and attackers\n\nThe stories of `tests/scenarios/others.rs`: what was once reported or reviewed and harms nobody (L), and what\nsomebody does who has read [detection.md](detection.md) (A). Reports of all seeds with the median hours and the\nlongest; else the highest level that any seed reached, how many seeds reached level review, and with attackers the\nmedian hours to it and the longest. Hours below zero were before the rotation that the story is about.\n\n| story | | expected |");
    more_stories(page, &MORE, outcomes);
}

/// Writes the table of what aliases lead to.
fn of_aliases(page: &mut String, outcomes: &Outcomes) {
    page.push_str("## Aliases\n\nThe stories of `tests/scenarios/aliases.rs`, malicious (MC) and benign (BC), in the same way.\n\n| story | | expected |");
    more_stories(page, &ALIASES, outcomes);
}

/// Writes the rest of a table of stories: the reports, else the highest level.
fn more_stories(
    page: &mut String,
    stories: &[(&'static str, &str, Expected)],
    outcomes: &Outcomes,
) {
    heading(page);
    for (id, title, expected) in stories.iter().copied() {
        let _ = write!(page, "| {id} | {title} | {} |", word(expected));
        for way in 0..FEEDS.len() {
            let runs = &outcomes[&(id, way)];
            let peak = runs.iter().filter_map(|it| it.peak).max();
            let _ = match peak {
                Some(Level::Report) => write!(page, " {} |", reported(runs)),
                Some(Level::Review) => write!(page, " review {} |", reviewed(runs)),
                _ => write!(page, " {} |", peak.map_or("none", Level::word)),
            };
        }
        page.push('\n');
    }
    let harmless: Vec<&Outcome> = outcomes
        .iter()
        .filter(|((id, _), _)| id.starts_with(['L', 'B']))
        .flat_map(|(_, runs)| runs)
        .collect();
    let false_reports = harmless.iter().filter(|it| it.reported_h.is_some());
    let false_reports = false_reports.count();
    let _ = write!(
        page,
        "\nFalse reports of look-alikes: {false_reports} of {} runs (95 %: at most {:.2} %).\n\n",
        harmless.len(),
        100.0 * wilson(false_reports, harmless.len()).1
    );
}

/// Writes the table of what is left out.
fn ablations(page: &mut String, outcomes: &Outcomes) {
    page.push_str(
        "## What each part is worth\n\nAt looks every hour: malicious stories with a report in every seed, runs that are missed, false reports.\n\n\
        | left out | stories always reported | runs missed | false reports | stories with misses or false reports |\n|---|---|---|---|---|\n",
    );
    for (way, (title, _)) in ABLATIONS.iter().enumerate() {
        let (mut always, mut missed, mut false_reports, mut named) = (0, 0, 0, Vec::new());
        let harmless = MORE.into_iter().filter(|(id, ..)| id.starts_with('L'));
        for (id, _, expected) in ALL.into_iter().chain(harmless) {
            let runs = &outcomes[&(id, way)];
            let reports = runs.iter().filter(|it| it.reported_h.is_some()).count();
            match expected {
                Expected::Report => {
                    always += usize::from(reports == runs.len());
                    missed += runs.len() - reports;
                    if reports < runs.len() {
                        named.push(format!("{id} ({})", runs.len() - reports));
                    }
                }
                _ => {
                    false_reports += reports;
                    if reports > 0 {
                        named.push(format!("{id} ({reports})"));
                    }
                }
            }
        }
        let _ = writeln!(
            page,
            "| {title} | {always} | {missed} | {false_reports} | {} |",
            named.join(", ")
        );
    }
    page.push('\n');
}

/// Writes the table of others' rules.
fn others(page: &mut String, outcomes: &Outcomes) {
    page.push_str(
        "## Rules of others on the same data\n\nAt looks every hour. A rule's alarm counts like a report.\n\n\
        | rule | malicious runs found | benign runs accused | benign stories accused |\n|---|---|---|---|\n",
    );
    let count = |is_hit: &dyn Fn(&Outcome) -> bool| {
        let (mut found, mut all, mut accused, mut benign, mut named) = (0, 0, 0, 0, Vec::new());
        for (id, _, expected) in ALL {
            let runs = &outcomes[&(id, 0)];
            let hits = runs.iter().filter(|it| is_hit(it)).count();
            if expected == Expected::Report {
                found += hits;
                all += runs.len();
            } else if id.starts_with('B') {
                accused += hits;
                benign += runs.len();
                if hits > 0 {
                    named.push(id);
                }
            }
        }
        format!(
            "{found} of {all} | {accused} of {benign} | {} |",
            named.join(", ")
        )
    };
    let _ = writeln!(
        page,
        "| fluxwatch | {}",
        count(&|it: &Outcome| it.reported_h.is_some())
    );
    for (at, title) in OTHERS.iter().enumerate() {
        let _ = writeln!(
            page,
            "| {title} | {}",
            count(&|it: &Outcome| it.others_h[at].is_some())
        );
    }
}

/// Returns what is expected in a word.
fn word(expected: Expected) -> &'static str {
    match expected {
        Expected::Report => "report",
        Expected::Review => "review",
        Expected::ReviewAtMost => "up to review",
        Expected::WatchAtMost => "up to watch",
    }
}

/// Returns how many runs were reported, and when.
fn reported(outcomes: &[Outcome]) -> String {
    let mut hours: Vec<f64> = outcomes.iter().filter_map(|it| it.reported_h).collect();
    hours.sort_by(f64::total_cmp);
    let reviewed = outcomes
        .iter()
        .filter(|it| it.peak == Some(Level::Review))
        .count();
    match (hours.get(hours.len() / 2), hours.last()) {
        (Some(median), Some(longest)) => format!("{}: {median:.1}, {longest:.1}", hours.len()),
        _ if reviewed > 0 => format!("0; {reviewed} reviewed"),
        _ => "0".to_owned(),
    }
}

/// Returns how many runs were reviewed, and when.
fn reviewed(outcomes: &[Outcome]) -> String {
    let mut hours: Vec<f64> = outcomes.iter().filter_map(|it| it.reviewed_h).collect();
    hours.sort_by(f64::total_cmp);
    match (hours.get(hours.len() / 2), hours.last()) {
        (Some(median), Some(longest)) => format!("{}: {median:.1}, {longest:.1}", hours.len()),
        _ => "0".to_owned(),
    }
}

/// Returns the 95 % interval of a share (Wilson).
fn wilson(hits: usize, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (z, n, p) = (1.96_f64, all as f64, hits as f64 / all as f64);
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (
        ((middle - half) / scale).max(0.0),
        ((middle + half) / scale).min(1.0),
    )
}
