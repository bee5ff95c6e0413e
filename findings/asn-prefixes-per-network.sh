#!/usr/bin/env bash
# A network has one /16 or thousands: prefixes do not stand in for networks.
#
# Guess:    an address's /16 is near enough to its network; ten of them are many networks.
# Seen:     of 84,159 networks half have one /16 and one in a hundred has more than 34, but those that most names
#           live in have up to 3,902: one name that scales in one cloud shows dozens in a day.
# Versions: @ip-location-db/asn 2.3.2026061719 (npm), IPv4.
# Matters:  whoever counts /16 accuses customers of large clouds. Without a table suspect, and do not report.

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

cd "$WORK"
if ! npm pack --silent @ip-location-db/asn@2.3.2026061719 >/dev/null; then
    echo "not tried: the package cannot be downloaded from npm" >&2
    exit 2
fi
tar -xf ./*.tgz

cat >prefixes.py <<'END'
import collections, csv, ipaddress

# Prints counts alone: the ranges and their origins are those of real networks.
prefixes = collections.defaultdict(set)
for row in csv.reader(open("package/asn-ipv4.csv", encoding="utf-8")):
    first, last = (int(ipaddress.ip_address(text)) >> 16 for text in row[:2])
    prefixes[row[2]].update(range(first, last + 1))
counts = sorted(len(found) for found in prefixes.values())
print(len(counts), counts[len(counts) // 2], counts[len(counts) * 99 // 100], counts[-1])
END

read -r networks median percentile most < <(python3 prefixes.py)
expect "networks" 84159 "$networks"
expect "median of /16" 1 "$median"
expect "99th percentile" 34 "$percentile"
expect "most" 3902 "$most"
