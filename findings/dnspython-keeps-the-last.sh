#!/usr/bin/env bash
# dnspython reads a zone file with contradictions and silently keeps the last word.
#
# Guess:    two CNAMEs at one owner, two SOAs, or a record of another zone are errors, as a CNAME beside
#           an A is; each record keeps the TTL that the file gives it.
# Seen:     of two CNAMEs and of two SOAs the last is kept, without a word; a record of another zone is
#           left out, without a word; the records of an RRset all get the lowest TTL. Only the
#           CNAME beside an A raises an exception.
# Versions: dnspython 2.9.2 (PyPI).
# Matters:  a file of two zones that were joined, or a mirror whose steps went wrong, passes a check that is
#           written with it, and a copy written by it is another zone. Count the records.

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

install dnspython==2.9.2

cat >"$WORK/read.py" <<'END'
import sys
import dns.zone

text = "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.1\n" + "\n".join(sys.argv[1:]) + "\n"
try:
    zone = dns.zone.from_text(text, origin="example.")
except Exception as error:
    print(type(error).__name__)
else:
    for line in zone.to_text().splitlines():
        fields = line.split()
        if fields[0] == "w" or fields[3] == "SOA":
            print(fields[0], fields[1], fields[3], fields[6] if fields[3] == "SOA" else fields[4], end="; ")
END

# Reads a zone with more records; prints its SOA (TTL, serial) and what stands at w.
zone_with() {
    python3 "$WORK/read.py" "$@" | xargs
}

pip show dnspython 2>/dev/null | sed -n 1,2p
expect "w CNAME a, w CNAME b" "@ 300 SOA 1; w 300 CNAME b;" "$(zone_with 'w CNAME a' 'w CNAME b')"
expect "a second SOA, of serial 2" "@ 300 SOA 2;" "$(zone_with '@ SOA ns hostmaster 2 3600 600 86400 300')"
expect "a record of other.test." "@ 300 SOA 1;" "$(zone_with 'w.other.test. A 192.0.2.9')"
expect "TTLs 60 and 600" "@ 300 SOA 1; w 60 A 192.0.2.2; w 60 A 192.0.2.3;" \
    "$(zone_with 'w 600 A 192.0.2.2' 'w 60 A 192.0.2.3')"
expect "w CNAME a, w A" "CNAMEAndOtherData" "$(zone_with 'w CNAME a' 'w A 192.0.2.2')"
