#!/usr/bin/env bash
# Knot takes an edit that left the serial as it was, and serves it under a serial of its own.
#
# Guess:    `zonefile-load: difference` refuses a zone file that changed under the same serial.
# Seen:     Knot loads it, serves it as the serial + 1 (an increment of the policy), and tells the
#           step by IXFR. When the author then raises the serial in the file by one, the file's 2
#           is served as 3: the served serial is not the file's from then on.
# Versions: Knot 3.2.6 (Debian 12).
# Matters:  whoever compares a zone file with what its primary serves finds two serials for one
#           state; a mirror sees the edit at once, although the file's serial says "no change".

set -euo pipefail

WORK=$(mktemp -d "${TMPDIR:-/tmp}/finding.XXXXXX")
PORT=$((20000 + RANDOM % 30000))
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

# Repeats a command for up to 20 seconds, until it succeeds.
wait_for() {
    local i
    for ((i = 0; i < 200; i++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "not tried: this never succeeded: $*" >&2
    exit 2
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

unpack knot=3.2.6-1 knot-dnsutils=3.2.6-1 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 \
    libfstrm0 libknot13=3.2.6-1 liblmdb0 libnghttp2-14 libprotobuf-c1 liburcu8 libxdp1 libzscanner4=3.2.6-1

# Writes the zone file with a serial and an address of www.
write_zone() {
    printf '%s\n' "\$TTL 300" "@ SOA ns hostmaster $1 3600 600 86400 300" '@ NS ns' 'ns A 192.0.2.1' "www A $2" \
        >"$WORK/zone"
}

# Prints the serial that the server gives.
serial() {
    kdig +short +timeout=2 "@127.0.0.1" -p "$PORT" example. SOA | cut -d ' ' -f 3
}

# Tells whether the server gives this address for www.
gives() {
    [[ $(kdig +short "@127.0.0.1" -p "$PORT" www.example. A) == "$1" ]]
}

mkdir "$WORK/db"
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK"
    listen: 127.0.0.1@$PORT
log:
  - target: "$WORK/log"
    any: info
database:
    storage: "$WORK/db"
acl:
  - id: local
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.
    file: "$WORK/zone"
    zonefile-load: difference
    zonefile-sync: -1
    journal-content: changes
    acl: local
END

# Has the server read the zone file again.
reload() {
    knotc -c "$WORK/knot.conf" zone-reload example. >/dev/null
}

knotd --version
write_zone 1 192.0.2.10
knotd -c "$WORK/knot.conf" >"$WORK/out" 2>&1 &
PIDS+=($!)
wait_for gives 192.0.2.10
expect "first serial" 1 "$(serial)"

sleep 1.1 # So that the file's time differs.
write_zone 1 192.0.2.11
reload
wait_for gives 192.0.2.11
expect "file still says 1; served" 2 "$(serial)"
grep -E 'example' "$WORK/log" | tail -n 4
kdig +noall +answer "@127.0.0.1" -p "$PORT" example. IXFR=1
expect "SOAs of the IXFR from 1" "2 1 2 2" \
    "$(kdig +noall +answer "@127.0.0.1" -p "$PORT" example. IXFR=1 | awk '$4 == "SOA" { print $7 }' | xargs)"

sleep 1.1 # So that the file's time differs.
write_zone 2 192.0.2.12
reload
wait_for gives 192.0.2.12
expect "file says 2; served" 3 "$(serial)"
