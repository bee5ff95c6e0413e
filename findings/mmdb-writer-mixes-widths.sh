#!/usr/bin/env bash
# mmdb-writer stores one integer field in several widths, by each value.
#
# Guess:    an integer field such as `autonomous_system_number` has one type in the whole file, as
#           in MaxMind's own (uint32).
# Seen:     with the default `int_type="auto"`, 64500 is stored as a uint16 and 4200000000 as a
#           uint32 in one file.
# Versions: mmdb-writer 0.2.7, netaddr 1.3.0 (PyPI).
# Matters:  a reader that decodes the field as one type refuses the table, or half of its networks.
#           Write with `int_type="u32"`; read any width.

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

install mmdb-writer==0.2.7 netaddr==1.3.0

cat >"$WORK/write.py" <<'END'
import sys
from netaddr import IPSet
from mmdb_writer import MMDBWriter

writer = MMDBWriter(ip_version=4, **({"int_type": sys.argv[2]} if len(sys.argv) > 2 else {}))
for network, number in (("192.0.2.0/25", 64500), ("192.0.2.128/25", 4200000000)):
    writer.insert_network(IPSet([network]), {"autonomous_system_number": number})
writer.to_db_file(sys.argv[1])

# The type is in the control octet before each value: 5 is uint16, 6 is uint32 (the format's table of types).
data = open(sys.argv[1], "rb").read()
for number, width in ((64500, 2), (4200000000, 4)):
    octets = number.to_bytes(width, "big")
    at = data.index(octets)
    control = data[at - 1] if width == 4 or data[at - 1] >> 5 else data[at - 3]
    print({5: "uint16", 6: "uint32"}[control >> 5], end=" ")
END

pip show mmdb-writer 2>/dev/null | sed -n 1,2p
expect "types of 64500 and 4200000000, default" "uint16 uint32" "$(python3 "$WORK/write.py" "$WORK/auto.mmdb" | xargs)"
expect "types of 64500 and 4200000000, int_type u32" "uint32 uint32" "$(python3 "$WORK/write.py" "$WORK/u32.mmdb" u32 | xargs)"
