#!/usr/bin/env bash
# NSD with `create-ixfr: yes` alone creates no incremental transfers, and does not say so.
#
# Guess:    `create-ixfr: yes` is the switch: NSD computes a difference at each reload.
#           (The manual asks for `store-ixfr` too, in one sentence.)
# Seen:     nothing is created until the zone has `store-ixfr: yes` too. The configuration is
#           accepted, the log says nothing of it, and an IXFR query gets the whole zone.
# Versions: NSD 4.6.1 (Debian 12).
# Matters:  a mirror of a large zone takes all of it at each change, and steps between two polls
#           are lost, although the operator has turned on what should prevent both.

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

unpack nsd=4.6.1-1 libevent-2.1-7 libfstrm0 libprotobuf-c1 libssl3 \
    bind9-dnsutils bind9-libs libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libuv1 libxml2

# Writes both zone files with a serial and an address of www.
write_zones() {
    printf '%s\n' "\$TTL 300" "@ SOA ns hostmaster $1 3600 600 86400 300" '@ NS ns' 'ns A 192.0.2.1' "www A $2" \
        {a..t}' A 192.0.2.7' | tee "$WORK/alone.zone" >"$WORK/both.zone"
}

# Asks the server and prints answers alone.
ask() {
    dig "@127.0.0.1" -p "$PORT" +noall +answer +nocmd +time=2 +tries=1 "$@"
}

# Tells whether both zones have this address for www.
both_have() {
    [[ $(ask +short www.alone.example. A www.both.example. A | xargs) == "$1 $1" ]]
}

# Prints the serials of the SOA records in the answer to an IXFR query, in order.
soas_of_ixfr() {
    ask IXFR=1 "$1" | awk '$4 == "SOA" { print $7 }' | xargs
}

cat >"$WORK/nsd.conf" <<END
server:
    ip-address: 127.0.0.1@$PORT
    username: ""
    server-count: 1
    database: ""
    verbosity: 2
    pidfile: "$WORK/nsd.pid"
    logfile: "$WORK/log"
    zonesdir: "$WORK"
    zonelistfile: "$WORK/zone.list"
    xfrdfile: "$WORK/xfrd.state"
    xfrdir: "$WORK"
remote-control:
    control-enable: yes
    control-interface: $WORK/control
zone:
    name: alone.example.
    zonefile: alone.zone
    create-ixfr: yes
    provide-xfr: 127.0.0.1 NOKEY
zone:
    name: both.example.
    zonefile: both.zone
    create-ixfr: yes
    store-ixfr: yes
    provide-xfr: 127.0.0.1 NOKEY
END

nsd -v 2>&1 | sed -n 1p
nsd-checkconf "$WORK/nsd.conf"
write_zones 1 192.0.2.10
nsd -d -c "$WORK/nsd.conf" >"$WORK/out" 2>&1 &
PIDS+=($!)
wait_for both_have 192.0.2.10

sleep 1.1 # So that the files' times differ.
write_zones 2 192.0.2.11
nsd-control -c "$WORK/nsd.conf" reload >/dev/null
wait_for both_have 192.0.2.11
sleep 0.5
expect "lines of the log about IXFR of alone.example." 0 "$(grep -i ixfr "$WORK/log" | grep -c alone || true)"
expect "store-ixfr and create-ixfr; SOAs of the IXFR" "2 1 2 2" "$(soas_of_ixfr both.example.)"
expect "create-ixfr alone; SOAs of the IXFR" "2 2" "$(soas_of_ixfr alone.example.)"
