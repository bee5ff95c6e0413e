//! What this process has done since it started, and what it takes of the machine, as metrics of the service.
//!
//! They are of the process and not of the database, so that the file of metrics of `poll` does not have them; there
//! `process_` would be taken for the node exporter's own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procfs::process::{LimitValue, Process};

use crate::pipeline::upkeep::metrics::Page;
use crate::source::notify_counts;
use crate::time::Timestamp;

/// A part of the work that is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// A transfer, on the network.
    Fetch,
    /// The version of a transfer, until it is durable.
    Store,
    /// A pass over zone files or a feed: reading and storing.
    Read,
    /// One zone, judged.
    Judge,
    /// One attempt at a message.
    Send,
}

/// The stages, with their words.
const STAGES: [(Stage, &str); 5] = [
    (Stage::Fetch, "fetch"),
    (Stage::Store, "store"),
    (Stage::Read, "read"),
    (Stage::Judge, "judge"),
    (Stage::Send, "send"),
];
/// The first digits of HTTP's statuses, with their words.
const STATUSES: [(u16, &str); 5] = [(1, "1xx"), (2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")];

/// How often something was done, and how long it took in all.
#[derive(Debug)]
struct Sum {
    count: AtomicU64,
    micros: AtomicU64,
}

impl Sum {
    /// Nothing yet.
    const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            micros: AtomicU64::new(0),
        }
    }

    /// Adds one.
    fn add(&self, took: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros
            .fetch_add(took.as_micros() as u64, Ordering::Relaxed);
    }
}

/// The time of each stage, in the order of [`STAGES`].
static STAGE_TIMES: [Sum; 5] = [const { Sum::new() }; 5];
/// The requests over HTTP, in the order of [`STATUSES`].
static REQUESTS: [Sum; 5] = [const { Sum::new() }; 5];
/// When the service started.
static STARTED_AT: OnceLock<Timestamp> = OnceLock::new();

/// Notes that the service starts.
pub fn record_start(now: Timestamp) {
    let _ = STARTED_AT.set(now);
}

/// Notes how long a part of the work took.
pub fn record_stage(stage: Stage, took: Duration) {
    STAGE_TIMES[stage as usize].add(took);
}

/// Notes a request over HTTP that was answered.
pub fn record_request(status: u16, took: Duration) {
    let class = usize::from(status / 100).clamp(1, REQUESTS.len());
    REQUESTS[class - 1].add(took);
}

/// Returns the metrics of this process.
pub fn process_metrics() -> String {
    let mut page = Page::default();
    let stages = STAGES.iter().map(|(_, word)| *word).zip(&STAGE_TIMES);
    write_summary(
        &mut page,
        ("fluxwatch_stage_seconds", "stage"),
        "How long each part of the work took.",
        stages,
    );
    let requests = STATUSES.iter().map(|(_, word)| *word).zip(&REQUESTS);
    write_summary(
        &mut page,
        ("fluxwatch_http_request_seconds", "status"),
        "How long answers over HTTP took until their first byte.",
        requests,
    );
    let name = "fluxwatch_notify_messages_total";
    page.family(
        name,
        "counter",
        "NOTIFY messages, by what was done with them.",
    );
    for (result, count) in notify_counts() {
        page.value(name, &[("result", result)], count);
    }
    write_process(&mut page);
    page.into_text()
}

/// Writes sums as a summary without quantiles; a family is its name and its label.
fn write_summary<'a>(
    page: &mut Page,
    (name, label): (&str, &str),
    help: &str,
    sums: impl Iterator<Item = (&'a str, &'a Sum)>,
) {
    page.family(name, "summary", help);
    for (word, sum) in sums {
        let seconds = sum.micros.load(Ordering::Relaxed) as f64 / 1e6;
        page.value(&format!("{name}_sum"), &[(label, word)], seconds);
        let count = sum.count.load(Ordering::Relaxed);
        page.value(&format!("{name}_count"), &[(label, word)], count);
    }
}

/// Name, type, help and value of a metric of the process.
type ProcessMetric = (&'static str, &'static str, &'static str, f64);

/// Writes what clients of Prometheus tell of every process; what the system does not tell is left out.
fn write_process(page: &mut Page) {
    for (name, kind, help, value) in read_process().unwrap_or_default() {
        page.family(name, kind, help);
        page.value(name, &[], value);
    }
    if let Some(at) = STARTED_AT.get() {
        let name = "process_start_time_seconds";
        page.family(name, "gauge", "When the service started, in Unix time.");
        page.value(name, &[], at.unix());
    }
}

/// Asks the system about this process.
fn read_process() -> procfs::ProcResult<Vec<ProcessMetric>> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = (stat.utime + stat.stime) as f64;
    let cpu_s = ticks / procfs::ticks_per_second() as f64;
    let resident = stat.rss as f64 * procfs::page_size() as f64;
    let descriptors_max = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Unlimited => f64::INFINITY,
        LimitValue::Value(count) => count as f64,
    };
    Ok(vec![
        (
            "process_cpu_seconds_total",
            "counter",
            "CPU time, of the program and of the system for it.",
            cpu_s,
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Memory in use.",
            resident,
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Addresses in use.",
            stat.vsize as f64,
        ),
        (
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            process.fd_count()? as f64,
        ),
        (
            "process_max_fds",
            "gauge",
            "The most file descriptors that may be open.",
            descriptors_max,
        ),
        (
            "process_threads",
            "gauge",
            "Threads.",
            stat.num_threads as f64,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_stands_at_the_place_of_its_word() {
        for (at, (stage, _)) in STAGES.iter().enumerate() {
            assert_eq!(*stage as usize, at);
        }
    }

    #[test]
    fn page_has_what_was_noted() {
        record_stage(Stage::Send, Duration::from_millis(1500));
        record_request(404, Duration::from_millis(2));
        let page = process_metrics();
        for line in [
            "fluxwatch_stage_seconds_sum{stage=\"send\"} 1.5",
            "fluxwatch_stage_seconds_count{stage=\"send\"} 1",
            "fluxwatch_http_request_seconds_count{status=\"4xx\"} 1",
            "fluxwatch_notify_messages_total{result=\"taken\"} ",
            "process_resident_memory_bytes ",
            "process_open_fds ",
        ] {
            assert!(page.contains(line), "{line}\n{page}");
        }
    }
}
