#!/usr/bin/env bash
# The `cron` crate reads days of the week in another way than crontab(5).
#
# Guess:    `0 9 * * 1-5` (with the seconds that the crate wants in front) is Monday to Friday, 0 and
#           7 are Sunday, and a day of the month beside a day of the week means either of them.
# Seen:     1 is Sunday, so `1-5` runs from Sunday to Thursday; 0 is refused; day of the month and
#           day of the week must both match. None of this is an error for the expression `1-5`.
# Versions: cron 0.17.0, chrono 0.4.42 (crates.io).
# Matters:  a digest that is meant for working days leaves on Sunday and not on Friday.

set -euo pipefail

WORK=$(mktemp -d "${TMPDIR:-/tmp}/finding.XXXXXX")
PIDS=()

# Ends what was started and removes what was written.
clean_up() {
    local pid
    for pid in "${PIDS[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait || true
    rm -rf "$WORK"
}
trap clean_up EXIT

# Says what was seen, and fails if it is not what this page describes.
expect() {
    local what=$1 wanted=$2 seen=$3
    if [[ $seen != "$wanted" ]]; then
        printf 'CHANGED  %s: expected "%s", seen "%s"\n' "$what" "$wanted" "$seen"
        exit 1
    fi
    printf 'as described  %s: %s\n' "$what" "$seen"
}

mkdir -p "$WORK/crate/src"
cat >"$WORK/crate/Cargo.toml" <<'END'
[package]
name = "days"
version = "0.0.0"
edition = "2021"

[dependencies]
cron = "=0.17.0"
chrono = "=0.4.42"
END
cat >"$WORK/crate/src/main.rs" <<'END'
use std::str::FromStr;

/// Prints the next five times of a schedule from 1 November 2026 (a Sunday), as day and weekday.
fn main() {
    let expression = std::env::args().nth(1).expect("an expression is given");
    let start = chrono::DateTime::parse_from_rfc3339("2026-11-01T00:00:00Z").expect("it is a time").to_utc();
    match cron::Schedule::from_str(&expression) {
        Ok(schedule) => {
            for time in schedule.after(&start).take(5) {
                print!("{} ", time.format("%a-%d"));
            }
        }
        Err(_) => print!("refused"),
    }
}
END
export CARGO_TARGET_DIR="$WORK/target"
if ! (cd "$WORK/crate" && cargo build --quiet); then
    echo "not tried: the crate cannot be built" >&2
    exit 2
fi

# Prints when a schedule runs next.
next() {
    "$WORK/target/debug/days" "$1" | xargs
}

expect "0 0 9 * * 1-5 (crontab: Mon to Fri)" "Sun-01 Mon-02 Tue-03 Wed-04 Thu-05" "$(next '0 0 9 * * 1-5')"
expect "0 0 9 * * 0 (crontab: Sun)" "refused" "$(next '0 0 9 * * 0')"
expect "0 0 9 13 * Fri (crontab: each 13th, each Friday)" "Fri-13 Fri-13 Fri-13 Fri-13 Fri-13" "$(next '0 0 9 13 * Fri')"
