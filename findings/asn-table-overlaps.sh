#!/usr/bin/env bash
# A published table of autonomous systems has ranges that overlap.
#
# Guess:    the ranges of a table that is sorted by its first address do not overlap, least of all with
#           another origin.
# Seen:     of 411,961 ranges of IPv4 one overlaps the next, with another origin: 214.95.0.0 to
#           215.0.255.255 (749) and 215.0.0.0 to 215.1.3.255 (721). IPv6: none of 103,197.
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

last = None
ranges = 0
for row in csv.reader(open(sys.argv[1], encoding="utf-8")):
    first, end = (int(ipaddress.ip_address(text)) for text in row[:2])
    ranges += 1
    if last and first <= last[1]:
        print("overlap:", *last[2], "|", *row)
    if not last or end > last[1]:
        last = (first, end, row)
print(ranges, "ranges")
END

for table in asn-ipv4 asn-ipv6; do
    echo "$table.csv:"
    python3 overlaps.py "package/$table.csv" | tee "$table.out"
done
expect "IPv4: overlaps" 1 "$(grep -c '^overlap' asn-ipv4.out)"
expect "IPv4: size" "411961 ranges" "$(tail -n 1 asn-ipv4.out)"
expect "IPv6: overlaps" 0 "$(grep -c '^overlap' asn-ipv6.out || true)"
