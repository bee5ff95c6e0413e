//! The picture: time to report of each malicious story, and the score of two stories over time.

use std::fmt::Write as _;

use super::scenarios::stories::ALL;
use super::{FEEDS, Outcomes};

/// Colours of the feeds: distinguishable by who sees no red or green (Okabe and Ito).
const COLOURS: [&str; 4] = ["#0072b2", "#009e73", "#e69f00", "#cc79a7"];
/// Where the first plot lies.
const LEFT: f64 = 170.0;
/// Its width.
const WIDTH: f64 = 560.0;
/// The height of a story's row.
const ROW: f64 = 24.0;
/// Hours at the ends of the first plot's axis.
const HOURS: (f64, f64) = (0.1, 400.0);

/// Returns the picture.
pub fn picture(outcomes: &Outcomes) -> String {
    let stories: Vec<_> = ALL.iter().filter(|(id, ..)| id.starts_with('M')).collect();
    let top = 70.0;
    let bottom = top + ROW * stories.len() as f64;
    let mut svg = String::new();
    text(
        &mut svg,
        20.0,
        24.0,
        "start",
        "16",
        "Hours from the beginning of the flux to the report",
    );
    for (at, (title, _)) in FEEDS.iter().enumerate() {
        let x = LEFT + at as f64 * 130.0;
        let _ = writeln!(
            svg,
            "<circle cx='{x}' cy='44' r='5' fill='{}'/>",
            COLOURS[at]
        );
        text(&mut svg, x + 10.0, 48.0, "start", "12", title);
    }
    for hours in [0.1, 1.0, 10.0, 24.0, 72.0, 168.0] {
        let x = x_of(hours);
        let _ = writeln!(
            svg,
            "<line x1='{x:.1}' y1='{top}' x2='{x:.1}' y2='{bottom}' stroke='#ddd'/>"
        );
        text(
            &mut svg,
            x,
            bottom + 16.0,
            "middle",
            "11",
            &format!("{hours} h"),
        );
    }
    for (row, (id, title, _)) in stories.iter().enumerate() {
        let y = top + ROW * (row as f64 + 0.5);
        text(
            &mut svg,
            LEFT - 10.0,
            y + 4.0,
            "end",
            "11",
            &format!("{title} {id}"),
        );
        for (way, colour) in COLOURS.iter().enumerate() {
            let dy = (way as f64 - 1.5) * 4.5;
            for outcome in &outcomes[&(*id, way)] {
                if let Some(hours) = outcome.reported_h {
                    let _ = writeln!(
                        svg,
                        "<circle cx='{:.1}' cy='{:.1}' r='2.2' fill='{colour}' fill-opacity='0.5'/>",
                        x_of(hours),
                        y + dy
                    );
                }
            }
        }
    }
    let lower = bottom + 70.0;
    text(
        &mut svg,
        20.0,
        lower - 16.0,
        "start",
        "16",
        "Score over the first four days, looks every hour (a gate must be open too)",
    );
    scores(&mut svg, outcomes, lower);
    let height = lower + 220.0;
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='-20 0 780 {height}' font-family='sans-serif'>\n<rect x='-20' width='780' height='{height}' fill='white'/>\n{svg}</svg>\n"
    )
}

/// Draws the scores of a malicious and a benign story.
fn scores(svg: &mut String, outcomes: &Outcomes, top: f64) {
    let (height, days) = (170.0, 4.0);
    let y_of = |score: f64| top + height * (1.0 - score / 100.0);
    for score in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let y = y_of(score);
        let _ = writeln!(
            svg,
            "<line x1='{LEFT}' y1='{y:.1}' x2='{}' y2='{y:.1}' stroke='#ddd'/>",
            LEFT + WIDTH
        );
        text(svg, LEFT - 10.0, y + 4.0, "end", "11", &format!("{score}"));
    }
    for day in 0..=4 {
        let x = LEFT + WIDTH * f64::from(day) / days;
        text(
            svg,
            x,
            top + height + 18.0,
            "middle",
            "11",
            &format!("{day} d"),
        );
    }
    // What the plots show: the story, its look every hour, its colour, where its name stands.
    for (id, colour, label) in [
        (
            "M6",
            COLOURS[0],
            "M6: throw-away name servers every 12 hours, reported when the line ends",
        ),
        (
            "B17",
            COLOURS[2],
            "B17: a name server on a home line, gate never open",
        ),
    ] {
        let Some(outcome) = outcomes.get(&(id, 1)).and_then(|runs| runs.first()) else {
            continue;
        };
        let mut points = String::new();
        let mut last = None;
        for (hours, score) in outcome
            .series
            .iter()
            .filter(|(hours, _)| *hours <= days * 24.0)
        {
            let x = LEFT + WIDTH * hours.max(0.0) / (days * 24.0);
            let _ = write!(points, "{x:.1},{:.1} ", y_of(*score));
            last = Some((x, *score));
        }
        let _ = writeln!(
            svg,
            "<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/>"
        );
        if let Some((x, score)) = last {
            let _ = writeln!(
                svg,
                "<circle cx='{x:.1}' cy='{:.1}' r='4' fill='{colour}'/>",
                y_of(score)
            );
        }
        let y = top + if id == "M6" { 12.0 } else { height - 26.0 };
        text(svg, LEFT + 8.0, y, "start", "11", label);
        let _ = writeln!(
            svg,
            "<rect x='{}' y='{:.1}' width='10' height='3' fill='{colour}'/>",
            LEFT - 6.0,
            y - 5.0
        );
    }
}

/// Returns where a number of hours stands, on a logarithmic axis.
fn x_of(hours: f64) -> f64 {
    let share = (hours.max(HOURS.0) / HOURS.0).ln() / (HOURS.1 / HOURS.0).ln();
    LEFT + WIDTH * share.min(1.0)
}

/// Writes words.
fn text(svg: &mut String, x: f64, y: f64, anchor: &str, size: &str, words: &str) {
    let _ = writeln!(
        svg,
        "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}' font-size='{size}' fill='#222'>{words}</text>"
    );
}
