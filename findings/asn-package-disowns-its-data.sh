#!/usr/bin/env bash
# A package of autonomous systems says of its own data that it is wrong.
#
# Guess:    the newest release of a package that is made every day is the best that there is, and its field `license`
#           names all who must be named.
# Seen:     the README in the newest release on npm begins with a notice that the data "contains bugs resulting in
#           incorrect data" and that "updates via npm are completely deprecated and will stop"; what is wrong is not
#           said. `license` names two licence files; three parties ask for attribution (RouteViews, NRO, DB-IP).
# Versions: @ip-location-db/asn 2.3.2026061719 (npm).
# Matters:  a job that fetches "the newest" goes on with old data and says nothing; say the table's own date, warn
#           when it is old, and read the README before a table is shipped.

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

expect "notice of wrong data" 1 "$(grep -c 'contains bugs resulting in incorrect data' package/README.md)"
expect "notice of the end" 1 "$(grep -c 'updates via `npm` are completely deprecated and will stop' package/README.md)"
expect "licence" "SEE LICENSE IN ROUTEVIEWS-LICENSE and DBIP-LICENSE (CC-BY-4.0)" \
    "$(sed -n 's/^ *"license": "\(.*\)",$/\1/p' package/package.json)"
expect "licence files" 3 "$(find package -name '*LICENSE' | wc -l)"
