#!/usr/bin/env bash
# YADIFA answers NOERROR to an update that changes a TTL, and changes nothing.
#
# Guess:    an update that deletes an RRset and adds the same records with another TTL gives the RRset that
#           TTL (RFC 2136, 3.4.2).
# Seen:     the answer is NOERROR, the zone keeps TTL and serial. The same in two updates, delete and then
#           add, is done.
# Versions: YADIFA 2.6.4 (Debian 12).
# Matters:  who lowers a TTL before a move believes that it is done; the old TTL goes on for a day, and no
#           mirror can see that anything was asked for. Delete and add in two updates.

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

unpack yadifa=2.6.4-1 libssl3 \
    bind9-dnsutils bind9-libs libbsd0 libedit2 libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libuv1 libxml2

# Asks the server and prints answers alone.
ask() {
    dig "@127.0.0.1" -p "$PORT" +noall +answer +nocmd +time=3 +tries=1 "$@"
}

# Tells whether the server has the zone at a serial.
is_at() {
    [[ $(ask +short example. SOA | cut -d ' ' -f 3) == "$1" ]]
}

mkdir -p "$WORK/zones" "$WORK/log" "$WORK/xfr" "$WORK/keys"
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' 'www CNAME a' \
    'two A 192.0.2.10' 'two A 192.0.2.11' 'a A 192.0.2.5' 'b A 192.0.2.6' {c..z}x' A 192.0.2.7' >"$WORK/zones/zone"
cat >"$WORK/yadifad.conf" <<END
<main>
    daemon off
    datapath "$WORK/zones"
    logpath "$WORK/log"
    pidfile "$WORK/yadifad.pid"
    xfrpath "$WORK/xfr"
    keyspath "$WORK/keys"
    listen 127.0.0.1 port $PORT
    allow-query any
    allow-update any
    allow-transfer any
    queries-log-type 0
</main>
<zone>
    domain example.
    type primary
    file zone
    allow-update any
    allow-transfer any
</zone>
END

yadifad --version 2>&1 | sed -n 1p
yadifad -c "$WORK/yadifad.conf" >"$WORK/out" 2>&1 &
PIDS+=($!)
wait_for is_at 1

# Sends one update.
update() {
    printf '%s\n' "server 127.0.0.1 $PORT" 'zone example.' "$@" send | nsupdate
}

# Prints serial and TTLs of two.example.
state() {
    echo "serial $(ask +short example. SOA | cut -d ' ' -f 3), TTLs $(ask two.example. A | awk '{ print $2 }' | xargs)"
}

status=0
update 'del two.example. A' 'add two.example. 60 A 192.0.2.10' 'add two.example. 60 A 192.0.2.11' || status=$?
sleep 2
expect "one update: exit status of nsupdate" 0 "$status"
expect "one update" "serial 1, TTLs 300 300" "$(state)"
update 'del two.example. A'
update 'add two.example. 60 A 192.0.2.10' 'add two.example. 60 A 192.0.2.11'
wait_for is_at 3
expect "two updates" "serial 3, TTLs 60 60" "$(state)"
