#!/usr/bin/env bash
# OpenMetrics of prometheus-client is taken by node_exporter's textfile collector, and loses the type of counters.
#
# Guess:    the collector, which reads the Prometheus text format 0.0.4, refuses OpenMetrics for its `# EOF`.
# Seen:     `# EOF` is a comment to it, and `node_textfile_scrape_error` is 0. But OpenMetrics names a counter's family
#           without `_total`, so that the values have no family: their type becomes `untyped` and their help is lost.
#           Since 0.26.0 the crate also writes 0.0.4 (`encoding::prometheus_text`), and nothing is lost; neither encoder
#           has summaries.
# Versions: prometheus-client 0.26.0 (crates.io), prometheus-node-exporter 1.5.0 (Debian 12).
# Matters:  nothing fails and no log line says so; only rules and dashboards that go by type or help notice.

set -euo pipefail

WORK=$(mktemp -d "${TMPDIR:-/tmp}/finding.XXXXXX")
PORT=$((20000 + RANDOM % 30000))
PIDS=()

# Ends what was started and removes what was written.
clean_up() {
    local pid
    for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait || true
    rm -rf "$WORK"
}
trap clean_up EXIT

# Downloads Debian packages and unpacks them into the work folder; installs nothing.
unpack() {
    mkdir -p "$WORK/debs" "$WORK/root"
    if ! (cd "$WORK/debs" && apt-get --quiet=2 -o APT::Sandbox::User=root download "$@"); then
        echo "not tried: a package cannot be downloaded (this is for Debian 12; run apt-get update first)" >&2
        exit 2
    fi
    local deb
    for deb in "$WORK"/debs/*.deb; do dpkg -x "$deb" "$WORK/root"; done
    export PATH="$WORK/root/usr/sbin:$WORK/root/usr/bin:$PATH"
}

# Repeats a command for up to 20 seconds, until it succeeds.
wait_for() {
    local i
    for ((i = 0; i < 200; i++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "not tried: this never succeeded: $*" >&2
    exit 2
}

# Says what was seen, and fails if it is not what this page describes.
expect() {
    local what=$1 wanted=$2 seen=$3
    if [[ $seen != "$wanted" ]]; then
        printf 'CHANGED  %s: expected "%s", seen "%s"\n' "$what" "$wanted" "$seen"
        exit 1
    fi
    printf 'as described  %s: %s\n' "$what" "$seen"
}

unpack prometheus-node-exporter
mkdir -p "$WORK/crate/src" "$WORK/textfiles"
cat >"$WORK/crate/Cargo.toml" <<'END'
[package]
name = "page"
version = "0.0.0"
edition = "2021"

[dependencies]
prometheus-client = "=0.26.0"
END
cat >"$WORK/crate/src/main.rs" <<'END'
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Prints one counter, as OpenMetrics or in the text format 0.0.4.
fn main() {
    let (mut registry, polls) = (Registry::default(), Counter::<u64>::default());
    registry.register("polls", "Attempts to see a zone", polls);
    let mut page = String::new();
    match std::env::args().nth(1).as_deref() {
        Some("openmetrics") => text::encode(&mut page, &registry),
        _ => prometheus_text::encode(&mut page, &registry),
    }
    .expect("a string takes it");
    print!("{page}");
}
END
export CARGO_TARGET_DIR="$WORK/target"
if ! (cd "$WORK/crate" && cargo build --quiet); then
    echo "not tried: the crate cannot be built" >&2
    exit 2
fi
prometheus-node-exporter --web.listen-address="127.0.0.1:$PORT" --collector.disable-defaults --collector.textfile \
    --collector.textfile.directory="$WORK/textfiles" 2>"$WORK/log" &
PIDS+=($!)

# Asks the exporter for its page.
scrape() {
    curl --silent --fail "http://127.0.0.1:$PORT/metrics"
}
wait_for scrape

# Gives the exporter a page of the crate and prints what becomes of the counter: error, type, help, value.
through_exporter() {
    "$WORK/target/debug/page" "$1" >"$WORK/textfiles/page.prom"
    scrape | awk '/^node_textfile_scrape_error/ { error = $2 }
        /^# TYPE polls_total/ { type = $4 }
        /^# HELP polls_total/ { help = $4 == "Metric" ? "none" : "kept" }
        /^polls_total/ { value = $2 }
        END { print "error " error ", " type ", help " help ", value " value }'
}

expect "its last line as OpenMetrics" "# EOF" "$("$WORK/target/debug/page" openmetrics | tail -n 1)"
expect "through the exporter, OpenMetrics" "error 0, untyped, help none, value 0" "$(through_exporter openmetrics)"
expect "through the exporter, text format 0.0.4" "error 0, counter, help kept, value 0" "$(through_exporter 0.0.4)"
