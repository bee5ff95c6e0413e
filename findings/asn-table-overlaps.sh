#!/usr/bin/env bash
# A published table of autonomous systems has ranges that overlap.
#
# Guess:    the ranges of a table that is sorted by its first address do not overlap, least of all with
#           another origin.
# Seen:     of 411,961 ranges of IPv4 one overlaps the next, with another origin. IPv6: none of 103,197.
# Versions: @ip-location-db/asn 2.3.2026061719 (npm).
# Matters:  a reader that searches by the first address answers by chance; one that insists on order
#           refuses 411,961 ranges for one. Say which ranges, take the narrower one.

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

cat >overlaps.py <<'END'
import csv, ipaddress, sys

# Prints counts alone: the ranges and their origins are those of real networks.
last = None
ranges = overlaps = other_origins = 0
for row in csv.reader(open(sys.argv[1], encoding="utf-8")):
    first, end = (int(ipaddress.ip_address(text)) for text in row[:2])
    ranges += 1
    if last and first <= last[1]:
        overlaps += 1
        other_origins += row[2] != last[2][2]
    if not last or end > last[1]:
        last = (first, end, row)
print("ranges", ranges)
print("overlaps", overlaps)
print("other-origins", other_origins)
END

for table in asn-ipv4 asn-ipv6; do
    echo "$table.csv:"
    python3 overlaps.py "package/$table.csv" | tee "$table.out"
done
# Returns a count of a table.
count() {
    sed -n "s/^$2 //p" "$1.out"
}

expect "IPv4: ranges" 411961 "$(count asn-ipv4 ranges)"
expect "IPv4: overlaps" 1 "$(count asn-ipv4 overlaps)"
expect "IPv4: overlaps with another origin" 1 "$(count asn-ipv4 other-origins)"
expect "IPv6: ranges" 103197 "$(count asn-ipv6 ranges)"
expect "IPv6: overlaps" 0 "$(count asn-ipv6 overlaps)"
