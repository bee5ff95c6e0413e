#!/usr/bin/env bash
# pyasn takes the origin of a prefix from the first peer of a dump, and leaves a prefix out when that peer has no path.
#
# Guess:    the table that pyasn makes of a collector's dump has the origin that most peers see, or all of them; a prefix that
#           some peer has a path for is in it.
# Seen:     `parse_mrt_file` reads the first route of each prefix:
#             routes of three peers         bgpdump               pyasn
#             101 110, 102 120, 103 120     all three             110
#             none, 102 150, 103 150        all three             no such prefix; an error without skip_record_on_error
#             101 110 65010, 102 65010      both                  110: a private number at the end is cut off
#             101 110 {401,130}             the set               one of the set, as it comes
# Versions: pyasn 1.6.2 (PyPI), bgpdump 1.6.2 (Debian 12: 1.6.2-2).
# Matters:  one peer with a wrong or a private view decides to whom an address belongs: whoever counts networks by the table, or
#           writes to their desks, follows it. A prefix with several origins is none to report on. Read all routes.

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
    export LD_LIBRARY_PATH="$WORK/root/usr/lib/x86_64-linux-gnu:$WORK/root/lib/x86_64-linux-gnu"
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

# Installs PyPI packages into an environment of their own in the work folder.
install() {
    if ! { python3 -m venv "$WORK/venv" && "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }; then
        echo "not tried: a package cannot be installed from PyPI" >&2
        exit 2
    fi
    export PATH="$WORK/venv/bin:$PATH"
}

unpack bgpdump=1.6.2-2
install pyasn==1.6.2

cat >"$WORK/make.py" <<'END'
"""Writes a table of routes as a collector dumps it: MRT, TABLE_DUMP_V2 (RFC 6396, 4.3; RFC 8050 for several paths)."""
import bz2, ipaddress, struct, sys

PEERS = [("192.0.2.101", 101), ("192.0.2.102", 102), ("192.0.2.103", 103)]


def record(subtype, body):
    return struct.pack("!IHHI", 1793000000, 13, subtype, len(body)) + body


def attribute(flags, kind, value):
    return struct.pack("!BBB", flags, kind, len(value)) + value


def path(text):
    """A path as bgpdump prints it: numbers, and a set of them in braces at its end."""
    sequence, _, members = text.partition("{")
    segments = b""
    for kind, words in ((2, sequence.split()), (1, members.rstrip("}").replace(",", " ").split())):
        if words:
            segments += struct.pack(f"!BB{len(words)}I", kind, len(words), *map(int, words))
    return segments


def rib(number, prefix, routes, several):
    network = ipaddress.ip_network(prefix)
    body = struct.pack("!IB", number, network.prefixlen)
    body += network.network_address.packed[: (network.prefixlen + 7) // 8] + struct.pack("!H", len(routes))
    for identifier, (peer, text) in enumerate(routes, 1):
        attributes = attribute(0x40, 1, b"\0") + attribute(0x40, 2, path(text))
        attributes += attribute(0x40, 3, ipaddress.ip_address("192.0.2.254").packed)
        body += struct.pack("!HI", peer, 1793000000)
        body += struct.pack("!I", identifier) if several else b""
        body += struct.pack("!H", len(attributes)) + attributes
    return record(8 if several else 2, body)


table = struct.pack("!4sHH", ipaddress.ip_address("192.0.2.100").packed, 0, len(PEERS))
for address, number in PEERS:
    packed = ipaddress.ip_address(address).packed
    table += b"\2" + packed + packed + struct.pack("!I", number)
dump = record(1, table)
several = sys.argv[2] == "several"
for number, line in enumerate(sys.stdin):
    prefix, *routes = line.strip().split("|")
    dump += rib(number, prefix, [(int(route[0]), route[1:]) for route in routes], several)
with open(sys.argv[1], "wb") as file:
    file.write(dump)
with bz2.open(sys.argv[1] + ".bz2", "wb") as file:
    file.write(dump)
END

# Makes a dump of the routes of a prefix.
dump() {
    python3 "$WORK/make.py" "$WORK/dump" one <<<"198.51.100.0/24|$1"
}

# Prints the paths that bgpdump sees.
paths() {
    bgpdump -m "$WORK/dump" 2>/dev/null | cut -d '|' -f 7 | paste -s -d ';'
}

# Prints what pyasn makes of a dump: its own table, as a file.
table() {
    python3 -c '
import sys
from pyasn import mrtx
try:
    prefixes = mrtx.parse_mrt_file(sys.argv[1] + ".bz2", skip_record_on_error=sys.argv[2] == "skip")
except Exception as error:
    print(type(error).__name__)
else:
    mrtx.dump_prefixes_to_file(prefixes, sys.argv[1] + ".table")
    with open(sys.argv[1] + ".table") as file:
        print(*(line.split()[1] for line in file if not line.startswith(";")))' "$WORK/dump" "${1:-skip}" 2>/dev/null
}

dump '0101 110|1102 120|2103 120'
expect "two of three peers see another origin" "101 110;102 120;103 120: 110" "$(paths): $(table)"
dump '0|1102 150|2103 150'
expect "the first peer has the prefix itself" ";102 150;103 150: " "$(paths): $(table)"
expect "the same, without skip_record_on_error" "IndexError" "$(table stop)"
dump '0101 110 65010|1102 65010'
expect "a private origin" "101 110 65010;102 65010: 110" "$(paths): $(table)"
dump '0101 110 {401,130}'
expect "a set: what bgpdump sees" "101 110 {401,130}" "$(paths)"
origin=$(table)
expect "what pyasn makes of it is in the set" yes "$([[ $origin == 401 || $origin == 130 ]] && echo yes)"
