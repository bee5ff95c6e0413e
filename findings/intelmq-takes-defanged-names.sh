#!/usr/bin/env bash
# IntelMQ takes a defanged name for a name, and a time of CET for one of UTC.
#
# Guess:    a field for a host's name refuses what no host is called, as its field for an address does; a time with a zone that
#           is not understood is refused.
# Seen:     "bad[.]example.com" and "see bad.example.com" become the event's `source.fqdn` as they are, with the result True;
#           "192[.]0[.]2[.]1" is refused (False). "BAD.Example.com." becomes bad.example.com, so names are put in order.
#           "2026-11-02 10:00:00 CET" and "... EST" become 10:00 UTC with a Python warning, "+01:00" becomes 09:00; "02.11.2026"
#           becomes 11 February.
# Versions: intelmq 3.5.0, python-dateutil 2.9.0.post0 (PyPI).
# Matters:  a feed or a mail whose names were made harmless passes, and no rule, exemption or comparison by name finds them;
#           nothing is counted as failed. Times that are hours off make what happened after a takedown of what happened before.
#           Fang names and write times with an offset before they get there.

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

install intelmq==3.5.0 python-dateutil==2.9.0.post0

cat >"$WORK/add.py" <<'END'
"""Adds one field to an event, as a parser of IntelMQ does; prints the result and the field."""
import json
import sys
from importlib.resources import files

import intelmq
from intelmq.lib.message import Event

event = Event(harmonization=json.loads((files(intelmq) / "etc/harmonization.conf").read_text()))
added = event.add(sys.argv[1], sys.argv[2], raise_failure=False)
print(added, event.get(sys.argv[1]))
END

# Adds one field. IntelMQ makes its folders below the root folder that it is given.
add() {
    INTELMQ_ROOT_DIR=$WORK/intelmq python3 "$WORK/add.py" "$@" 2>>"$WORK/log"
}

pip list 2>/dev/null | grep -e intelmq -e dateutil
expect "a name" "True bad.example.com" "$(add source.fqdn BAD.Example.com.)"
expect "a defanged name" "True bad[.]example.com" "$(add source.fqdn 'bad[.]example.com')"
expect "words" "True see bad.example.com" "$(add source.fqdn 'see bad.example.com')"
expect "a defanged address" "False None" "$(add source.ip '192[.]0[.]2[.]1')"
expect "a time with its offset" "True 2026-11-02T09:00:00+00:00" "$(add time.source '2026-11-02 10:00:00 +01:00')"
for zone in CET EST; do
    expect "a time of $zone" "True 2026-11-02T10:00:00+00:00" "$(add time.source "2026-11-02 10:00:00 $zone")"
done
grep Warning "$WORK/log" | sed 's/.*: //' | sort -u
expect "a day, day first" "True 2026-02-11T00:00:00+00:00" "$(add time.source 02.11.2026)"
