#!/usr/bin/env bash
# ioc-finder loses each name in .net that stands beside a parenthesis.
#
# Guess:    it finds the same names in a text whatever stands beside them; to "fang" a text changes what was made harmless in
#           it, and nothing else.
# Seen:     "ns1.bad.net (192.0.2.1)", the way in which one writes a name server and its address, gives the address and no name:
#           ioc-fanger, which ioc-finder runs first, takes "et (" for a sign that stands for "@", and makes
#           "ns1.bad.n@192.0.2.1)" of it. With ns1.bad.com both are found. `[.]` instead of the dots and words in the
#           parentheses change nothing; "(bad.net)" is lost too, and "at (" becomes "@".
# Versions: ioc-finder 9.4.1, ioc-fanger 5.1.1 (PyPI).
# Matters:  a desk that lets it read a report of name servers loses those in .net and keeps the others, and nobody is told:
#           blocks and cases leave them out. Read the CSV or JSON beside the text, and write no parenthesis next to a name.

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

install ioc-finder==9.4.1 ioc-fanger==5.1.1

# Prints the names and addresses that ioc-finder finds in a text, as ioc-finder is called.
find_in() {
    python3 -c '
import sys
from ioc_finder import find_iocs
found = find_iocs(sys.argv[1])
print(*found["domains"], *found["ipv4s"])
' "$1"
}

# Prints what ioc-fanger makes of a text.
fang() {
    python3 -c 'import sys, ioc_fanger; print(ioc_fanger.fang(sys.argv[1]))' "$1"
}

pip list 2>/dev/null | grep ioc
expect "a name in .com before a parenthesis" "ns1.bad.com 192.0.2.1" "$(find_in 'ns1.bad.com (192.0.2.1)')"
expect "a name in .net before a parenthesis" "192.0.2.1" "$(find_in 'ns1.bad.net (192.0.2.1)')"
expect "with [.]" "192.0.2.1" "$(find_in 'ns1[.]bad[.]net (192[.]0[.]2[.]1)')"
expect "before words" "ns1.bad.com" "$(find_in 'ns1.bad.net (new), ns1.bad.com (new)')"
expect "in parentheses" "bad.com" "$(find_in '(bad.com) (bad.net)')"
expect "without parentheses" "ns1.bad.net 192.0.2.1" "$(find_in 'ns1.bad.net 192.0.2.1')"
expect "what ioc-fanger makes of it" "ns1.bad.n@192.0.2.1)" "$(fang 'ns1.bad.net (192.0.2.1)')"
expect "and of other words" "seen@10:00)" "$(fang 'seen at (10:00)')"
