#!/usr/bin/env bash
# bgpdump writes a number into the column of the AS path when the collector keeps several paths of a peer.
#
# Guess:    a column of `bgpdump -m` means the same in each dump: the sixth is the prefix, the seventh the path, whose last
#           number is the origin of the prefix.
# Seen:     routes of ADD-PATH (RFC 7911) stand in records of their own in MRT (RFC 8050). For these bgpdump puts the identifier
#           of the path in between: the seventh column is 1 or 2, the path is the eighth, and there is no word of it. The
#           identifier has no meaning but to tell paths apart; taken for a path it is the origin AS 1 or AS 2.
# Versions: bgpdump 1.6.2 (Debian 12: 1.6.2-2).
# Matters:  a table of origins that is made by such a column gives all prefixes to a few real networks that have nothing to
#           do with them, and their desks get the reports. Count the columns, or read the records themselves.

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

unpack bgpdump=1.6.2-2

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

# Prints some columns of each route, as bgpdump writes them.
columns() {
    bgpdump -m "$WORK/dump" 2>/dev/null | cut -d '|' -f "$1" | paste -s -d ';'
}

# Prints the origins that the usual column gives.
origins() {
    bgpdump -m "$WORK/dump" 2>/dev/null | cut -d '|' -f 7 | awk '{ print $NF }' | paste -s -d ' '
}

routes='198.51.100.0/24|0101 110|0101 105 110'
python3 "$WORK/make.py" "$WORK/dump" one <<<"$routes"
expect "one path of a peer: columns 6 and 7" "198.51.100.0/24|101 110;198.51.100.0/24|101 105 110" "$(columns 6,7)"
expect "origins by column 7" "110 110" "$(origins)"
python3 "$WORK/make.py" "$WORK/dump" several <<<"$routes"
expect "several paths: columns 6 to 8" "198.51.100.0/24|1|101 110;198.51.100.0/24|2|101 105 110" "$(columns 6-8)"
expect "origins by column 7" "1 2" "$(origins)"
