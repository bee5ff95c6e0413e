#!/usr/bin/env bash
# PowerDNS serves the new contents of a catalog under the old serial.
#
# Guess:    when a member joins a catalog, the catalog's serial moves with its contents.
# Seen:     AXFR of the producer zone has the new member at once, the serial is the old one; it moves at the
#           next pass of the thread that checks zones (`xfr-cycle-interval`, 60 s by default, 20 here).
# Versions: PowerDNS 4.7.3 (Debian 12), gsqlite3.
# Matters:  two transfers with one serial differ: who takes the catalog twice under it, or compares it with another
#           copy of that serial, finds a mismatch; new members wait for the serial.

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

unpack pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 libboost-program-options1.74.0 libbrotli1 libcurl4 \
    libldap-2.5-0 libluajit-5.1-2 libpsl5 librtmp1 libsasl2-2 libsodium23 libsqlite3-0 libssh2-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

cat >"$WORK/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/db
gsqlite3-dnssec=yes
local-address=127.0.0.1:$PORT
socket-dir=$WORK
allow-axfr-ips=127.0.0.0/8
primary=yes
xfr-cycle-interval=20
query-cache-ttl=0
cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
END
python3 - "$WORK" <<END
import sqlite3, sys
with open(sys.argv[1] + "/root/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql") as schema:
    sqlite3.connect(sys.argv[1] + "/db").executescript(schema.read())
END

# Runs pdnsutil on this configuration.
util() {
    pdnsutil --config-dir="$WORK" "$@" >>"$WORK/util" 2>&1
}

# Prints the members of the catalog.
members() {
    dig "@127.0.0.1" -p "$PORT" +noall +answer +time=2 +tries=1 AXFR catalog.example. | awk '$4 == "PTR" { print $5 }' | sort | xargs
}

# Prints the serial of the catalog.
serial() {
    dig "@127.0.0.1" -p "$PORT" +short +time=2 +tries=1 catalog.example. SOA | cut -d ' ' -f 3
}

# Tells whether the catalog has these members.
has() {
    [[ $(members) == "$1" ]]
}

# Tells whether the catalog's serial is another one.
moved_from() {
    [[ $(serial) != "$1" ]]
}

{ pdns_server --version 2>&1 || true; } | sed -n 1p
printf '%s\n' "\$TTL 300" '@ SOA ns.example. hostmaster.example. 5 3600 600 86400 300' '@ NS ns.example.' >"$WORK/zone"
for zone in catalog a b; do
    util load-zone "$zone.example" "$WORK/zone"
    util set-kind "$zone.example" primary
done
util set-kind catalog.example producer
util set-catalog a.example catalog.example
pdns_server --config-dir="$WORK" >"$WORK/log" 2>&1 &
PIDS+=($!)
wait_for has a.example.
wait_for moved_from 5 # The first pass after the start.
old=$(serial)

util set-catalog b.example catalog.example
wait_for has "a.example. b.example."
expect "serial when the new member is in AXFR" "$old" "$(serial)"
sleep 3
expect "serial three seconds later" "$old" "$(serial)"
start=$SECONDS
wait_for moved_from "$old"
echo "The serial moved from $old to $(serial) after $((SECONDS - start + 3)) s."
