#!/usr/bin/env bash
# The reference library of XARF returns no report, and no error, for a valid report.
#
# Guess:    a report that the library's own JSON schema accepts becomes a report object; if it does
#           not, `errors` says why.
# Seen:     with `confidence: 0.85`, which the schema recommends and gives as its example, `xarf.parse`
#           returns report=None with errors=[]. The same report without `confidence` is parsed.
# Versions: xarf 1.0.0 (PyPI).
# Matters:  a desk that reads XARF with this library drops the report in silence. Leave `confidence`
#           out of the XARF part, and say it in the text of the mail.

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

install xarf==1.0.0

cat >"$WORK/parse.py" <<'END'
import sys, warnings
import xarf

warnings.simplefilter("ignore")
report = {
    "xarf_version": "4.2.0",
    "report_id": "550e8400-e29b-41d4-a716-446655440000",
    "timestamp": "2026-11-01T12:00:00Z",
    "reporter": {"org": "Example", "contact": "abuse@example.com", "domain": "example.com"},
    "sender": {"org": "Example", "contact": "abuse@example.com", "domain": "example.com"},
    "source_identifier": "192.0.2.1",
    "category": "connection",
    "type": "port_scan",
    "evidence_source": "honeypot",
    "protocol": "tcp",
    "source_port": 40000,
    "first_seen": "2026-11-01T11:00:00Z",
}
if len(sys.argv) > 1:
    report["confidence"] = float(sys.argv[1])
result = xarf.parse(report)
print(type(result.report).__name__, len(result.errors))
END

pip show xarf 2>/dev/null | sed -n 1,2p
schema=$(find "$WORK/venv" -name 'xarf-core.json' | head -n 1)
python3 -c 'import json, sys; print("schema:", json.dumps(json.load(open(sys.argv[1]))["properties"]["confidence"]))' "$schema"
expect "report and errors, without confidence" "PortScanReport 0" "$(python3 "$WORK/parse.py")"
expect "report and errors, confidence 0.85" "NoneType 0" "$(python3 "$WORK/parse.py" 0.85)"
