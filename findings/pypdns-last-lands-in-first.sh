#!/usr/bin/env bash
# pypdns gives the last time of a zone as the first one.
#
# Guess:    `zone_time_first` and `zone_time_last` of a passive DNS record (COF) come back under the
#           names that they have.
# Seen:     `record["zone_time_first"]` has the value of `zone_time_last`, and there is no
#           `zone_time_last`.
# Versions: pypdns 2.3.2 (PyPI).
# Matters:  whoever reads zone times with it takes the day that a delegation was last seen for the day
#           that it appeared. Read `record.raw`, or give the times as `time_first` and `time_last`.

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

# Installs PyPI packages into an environment of their own in the work folder.
install() {
    if ! { python3 -m venv "$WORK/venv" && "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }; then
        echo "not tried: a package cannot be installed from PyPI" >&2
        exit 2
    fi
    export PATH="$WORK/venv/bin:$PATH"
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

install pypdns==2.3.2

cat >"$WORK/read.py" <<'END'
import sys
import pypdns

record = pypdns.PDNSRecord({
    "rrname": "example.", "rrtype": "NS", "rdata": ["ns.example."], "time_first": 10, "time_last": 20,
    "zone_time_first": 1000, "zone_time_last": 2000,
})
print(record.record.get(sys.argv[1]), record.raw.get(sys.argv[1]))
END

# Prints what the library gives for a field that was set, and what its raw record has.
field() {
    python3 "$WORK/read.py" "$1"
}

pip show pypdns 2>/dev/null | sed -n 1,2p
expect "time_first (set to 10); read and raw" "10 10" "$(field time_first)"
expect "time_last (set to 20); read and raw" "20 20" "$(field time_last)"
expect "zone_time_first (set to 1000); read and raw" "2000 1000" "$(field zone_time_first)"
expect "zone_time_last (set to 2000); read and raw" "None 2000" "$(field zone_time_last)"
