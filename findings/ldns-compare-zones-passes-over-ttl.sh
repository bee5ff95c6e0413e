#!/usr/bin/env bash
# ldns-compare-zones does not see a change of TTL.
#
# Guess:    a record whose TTL changed is counted as changed ("~"), or as removed and added.
# Seen:     two zones that differ in each TTL give "+0 -0 ~0" and, with `-e`, exit status 0.
# Versions: ldns 1.8.3 (Debian 12).
# Matters:  a mirror that is checked with it against its primary seems right with old TTLs, and a TTL that
#           falls from a day to a minute is a sign of fast flux. Compare sorted lines.

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

unpack ldnsutils=1.8.3-1+b1 libldns3=1.8.3-1+b1 libssl3

# Writes a zone with one TTL and one address of www.
write_zone() {
    printf '%s\n' "\$TTL $2" '@ 300 SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' "www A $3" |
        sed "1i \$ORIGIN example." >"$WORK/$1"
}

# Compares two zones; prints the counts and the exit status.
compare() {
    local status=0
    ldns-compare-zones -a -e "$WORK/$1" "$WORK/$2" >"$WORK/out" 2>&1 || status=$?
    echo "$(tail -n 1 "$WORK/out" | xargs) status $status"
}

ldns-version
write_zone before 86400 192.0.2.10
write_zone ttl 60 192.0.2.10
write_zone address 86400 192.0.2.11
diff "$WORK/before" "$WORK/ttl" || true
expect "each TTL from a day to a minute" "+0 -0 ~0 status 0" "$(compare before ttl)"
expect "one address (to show that it compares)" "+0 -0 ~1 status 2" "$(compare before address)"
