//! Plots as SVG: numbers for the template, which writes each of them as an attribute, and the tables behind them.

use serde_json::{Value, json};

use crate::detector::{DetectPolicy, Finding, Plane, PlaneFinding};
use crate::report::{
    Cumulated, Lanes, LanesOf, PlotLane, cumulated, lanes, lanes_title, safe_cell,
};
use crate::time::Timestamp;

/// The width of every plot in its own units; the page stretches it.
const WIDTH: i64 = 1000;
/// The least gap between two bars, and between two steps of a line, that is drawn.
const GAP_MIN: i64 = 4;
/// The height of the plot of change instants.
const HEIGHT: f64 = 160.0;
/// The most lanes on a page; the CSV has all.
const LANES_MAX: usize = 32;
/// How many colours lanes have; the text beside each says the group.
const COLOURS: usize = 6;
/// The most rows of a table under a plot; the CSV has all.
const ROWS_MAX: usize = 60;

/// Returns the place of a time.
fn place(at: Timestamp, from: Timestamp, to: Timestamp) -> i64 {
    let whole = to.since(from).as_seconds().max(1);
    (at.since(from).as_seconds().clamp(0, whole)) * WIDTH / whole
}

/// Returns the plots of a plane.
pub(in crate::web::console) fn plots(plane: &PlaneFinding, policy: &DetectPolicy) -> Value {
    let kinds = match plane.plane {
        Plane::Nameservers => vec![LanesOf::Names, LanesOf::Addresses],
        Plane::Addresses => vec![LanesOf::Addresses],
        Plane::Aliases => vec![LanesOf::Names],
    };
    let lanes = kinds.into_iter().map(|of| lanes_plot(plane, of));
    let lanes: Vec<Value> = lanes.filter(|plot| plot["count"] != 0).collect();
    json!({"lanes": lanes, "cumulated": cumulated_plot(&cumulated(plane, threshold(plane.plane, policy)))})
}

/// Returns how many change instants open the gate of a plane.
fn threshold(plane: Plane, policy: &DetectPolicy) -> f64 {
    match plane {
        Plane::Nameservers => policy.nameservers.changes_7d_min,
        Plane::Addresses => policy.addresses.changes_min,
        Plane::Aliases => policy.aliases.changes_7d_min,
    }
}

/// Returns a plot of lanes. Each lane is a row of the table that the plot is.
fn lanes_plot(plane: &PlaneFinding, of: LanesOf) -> Value {
    let plot = lanes(plane, of);
    let mut groups: Vec<&str> = Vec::new();
    for lane in &plot.lanes {
        if !groups.contains(&lane.group.as_str()) {
            groups.push(&lane.group);
        }
    }
    let rows = plot.lanes.iter().take(LANES_MAX).map(|lane| {
        let colour = groups.iter().position(|it| *it == lane.group).unwrap_or(0) % COLOURS;
        // One path for all: a bar each would make the page of a name that changes all day twice as heavy.
        let bars = bars(lane, &plot).into_iter();
        let bars = bars.map(|(from, to)| format!("M{from} 0h{w}v14h-{w}z", w = (to - from).max(3)));
        let first = lane.stays.first().map(|it| it.0.to_minute()).unwrap_or_default();
        let last = lane.stays.last().map(|it| it.1.to_minute()).unwrap_or_default();
        let there: i64 = lane.stays.iter().map(|(from, to)| to.since(*from).as_seconds()).sum();
        json!({"label": lane.label, "group": lane.group, "colour": colour, "bars": bars.collect::<String>(),
               "stays": lane.stays.len(), "first": first, "last": last, "hours": format!("{:.1}", there as f64 / 3600.0)})
    });
    let word = match of {
        LanesOf::Names => "names",
        LanesOf::Addresses => "addresses",
    };
    json!({"title": lanes_title(plane.plane, of), "word": word, "from": plot.from.to_minute(), "to": plot.to.to_minute(),
           "rows": rows.collect::<Vec<_>>(), "count": plot.lanes.len(), "is_names": of == LanesOf::Names})
}

/// Returns the bars of a lane, from and to. Stays with less between them than the eye sees are one bar: a name that
/// changes all week weighs no more than the page may.
fn bars(lane: &PlotLane, plot: &Lanes) -> Vec<(i64, i64)> {
    let mut bars: Vec<(i64, i64)> = Vec::new();
    for (from, to) in &lane.stays {
        let from = place(*from, plot.from, plot.to);
        let to = place(*to, plot.from, plot.to);
        match bars.last_mut() {
            Some(last) if from - last.1 <= GAP_MIN => last.1 = to,
            _ => bars.push((from, to)),
        }
    }
    bars
}

/// Returns the plot of change instants.
fn cumulated_plot(plot: &Cumulated) -> Value {
    let count = plot.instants.last().map_or(0.0, |it| it.1);
    let top = count.max(plot.threshold).max(1.0) * 1.1;
    let height = |count: f64| HEIGHT - count / top * HEIGHT;
    let mut line = format!("0,{HEIGHT}");
    let (mut before, mut before_x) = (0.0, -GAP_MIN);
    for (i, (at, count, _)) in plot.instants.iter().enumerate() {
        let x = place(*at, plot.from, plot.to);
        if x - before_x < GAP_MIN && i + 1 < plot.instants.len() {
            continue;
        }
        before_x = x;
        line.push_str(&format!(
            " {x},{:.1} {x},{:.1}",
            height(before),
            height(*count)
        ));
        before = *count;
    }
    line.push_str(&format!(" {WIDTH},{:.1}", height(before)));
    let rows = plot.instants.iter().rev().take(ROWS_MAX);
    let rows = rows.map(|(at, count, weight)| {
        json!({"at": at.to_minute(), "count": format!("{count:.2}"), "words": weight.words()})
    });
    json!({"line": line, "threshold": format!("{:.1}", height(plot.threshold)), "needed": plot.threshold, "count": format!("{count:.2}"),
           "from": plot.from.to_minute(), "to": plot.to.to_minute(), "rows": rows.collect::<Vec<_>>(), "instants": plot.instants.len()})
}

/// Returns the CSV of a plot: `nameservers-names` and so on. `None` for one that is not.
pub(in crate::web::console) fn csv(
    finding: &Finding,
    policy: &DetectPolicy,
    word: &str,
) -> Option<String> {
    let (plane, kind) = word.split_once('-')?;
    let plane = finding.planes().find(|it| plane_word(it.plane) == plane)?;
    let of = match kind {
        "names" => LanesOf::Names,
        "addresses" => LanesOf::Addresses,
        "changes" => {
            return Some(changes_csv(&cumulated(
                plane,
                threshold(plane.plane, policy),
            )));
        }
        _ => return None,
    };
    let plot: Lanes = lanes(plane, of);
    let mut text = "value,group,from,to\r\n".to_owned();
    for row in plot.to_rows() {
        let cells: Vec<String> = row.iter().map(|cell| csv_cell(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    Some(text)
}

/// Returns the CSV of change instants.
fn changes_csv(plot: &Cumulated) -> String {
    let mut text = "at,count,counts,weight,reason\r\n".to_owned();
    for (at, count, it) in &plot.instants {
        let (counts, reason) = (it.weight > 0.0, csv_cell(it.reason));
        let line = format!("{at},{count:.2},{counts},{:.2},{reason}\r\n", it.weight);
        text.push_str(&line);
    }
    text
}

/// Returns a cell as RFC 4180 has it, which no spreadsheet takes for a formula.
fn csv_cell(text: &str) -> String {
    format!("\"{}\"", safe_cell(text).replace('"', "\"\""))
}

/// Returns the word of a plane in addresses of pages.
pub(in crate::web::console) fn plane_word(plane: Plane) -> &'static str {
    match plane {
        Plane::Nameservers => "nameservers",
        Plane::Addresses => "addresses",
        Plane::Aliases => "aliases",
    }
}
