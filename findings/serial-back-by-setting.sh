#!/usr/bin/env bash
# Whether a server takes a zone file whose serial went back depends on the setting for incremental transfers.
#
# Guess:    a server refuses a zone file with an older serial, or takes it and warns; the setting that makes IXFR of zone
#           files says how changes are sent, not which file is served.
# Seen:     the served serial after a file of serial 100 is replaced by one of serial 50:
#                                            without the setting   with it
#             BIND ixfr-from-differences     50                    100
#             Knot zonefile-load             50 (whole)            100 (difference)
#             NSD  create-ixfr, store-ixfr   50                    50
#           Where 100 stays, the new records are not served either, nor those of the next file, of serial 51; a file of
#           serial 101 is served.
# Versions: BIND 9.18.49, Knot 3.2.6, NSD 4.6.1 (Debian 12).
# Matters:  who turns incremental transfers on for a mirror's sake changes what a mistyped serial does: before, the zone
#           went on and mirrors stayed behind; now the primary itself stays with the old zone, and only its log says so.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

# Writes both zone files, which differ in their name alone: serial, last number of an address.
write_zones() {
    local zone
    for zone in with without; do
        printf '%s\n' "\$TTL 300" "@ SOA ns hostmaster $1 3600 600 86400 300" '@ NS ns' 'ns A 192.0.2.1' \
            "www A 192.0.2.$2" >"$WORK/$zone"
    done
}

mkdir "$WORK/bind" "$WORK/nsd" "$WORK/knot"
write_zones 100 10
cat >"$WORK/named.conf" <<END
options {
    directory "$WORK/bind";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile "$WORK/bind/session.key";
    recursion no;
    dnssec-validation no;
    notify no;
};
controls { };
zone "with.example" { type primary; file "$WORK/with"; ixfr-from-differences yes; };
zone "without.example" { type primary; file "$WORK/without"; };
END
cat >"$WORK/nsd.conf" <<END
server:
    ip-address: 127.0.0.1@$((PORT + 1))
    username: ""
    server-count: 1
    database: ""
    pidfile: "$WORK/nsd/pid"
    zonesdir: "$WORK/nsd"
    zonelistfile: "$WORK/nsd/zone.list"
    xfrdfile: "$WORK/nsd/xfrd.state"
    xfrdir: "$WORK/nsd"
zone:
    name: with.example.
    zonefile: "$WORK/with"
    store-ixfr: yes
    create-ixfr: yes
zone:
    name: without.example.
    zonefile: "$WORK/without"
END
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: 127.0.0.1@$((PORT + 2))
database:
    storage: "$WORK/knot"
log:
  - target: stderr
    any: info
zone:
  - domain: with.example.
    file: "$WORK/with"
    zonefile-sync: -1
    zonefile-load: difference
    journal-content: changes
  - domain: without.example.
    file: "$WORK/without"
    zonefile-sync: -1
    zonefile-load: whole
END

# Prints the serial and the last number of www's address, at a port above the first one.
served() {
    local port=$((PORT + $1))
    dig "@127.0.0.1" -p "$port" +short +time=2 +tries=1 SOA "$2.example." | cut -d ' ' -f 3
    dig "@127.0.0.1" -p "$port" +short +time=2 +tries=1 A "www.$2.example." | sed 's/.*\.//'
}

# Tells whether a server serves a zone with this serial and address.
serves() {
    [[ $(served "$1" "$2" | xargs) == "$3" ]]
}

named -v
named -f -c "$WORK/named.conf" -L "$WORK/bind/log" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
servers=("${PIDS[@]}")
for i in 0 1 2; do
    wait_for serves "$i" with "100 10"
    wait_for serves "$i" without "100 10"
done

sleep 1.1 # So that the files' time differs.
write_zones 50 20
kill -HUP "${servers[@]}"
for i in 0 1 2; do wait_for serves "$i" without "50 20"; done
sleep 2
echo "Serial and address:"
expect "BIND with ixfr-from-differences" "100 10" "$(served 0 with | xargs)"
expect "BIND without" "50 20" "$(served 0 without | xargs)"
expect "NSD with create-ixfr" "50 20" "$(served 1 with | xargs)"
expect "NSD without" "50 20" "$(served 1 without | xargs)"
expect "Knot with zonefile-load: difference" "100 10" "$(served 2 with | xargs)"
expect "Knot without" "50 20" "$(served 2 without | xargs)"
sleep 1.1
write_zones 51 30
kill -HUP "${servers[@]}"
for i in 0 1 2; do wait_for serves "$i" without "51 30"; done
sleep 2
expect "BIND with the setting, next serial" "100 10" "$(served 0 with | xargs)"
expect "Knot with the setting, next serial" "100 10" "$(served 2 with | xargs)"
grep -h 'with.example' "$WORK/bind/log" "$WORK/knot/out" "$WORK/nsd/out" | grep -ie error -e fail -e back -e serial
sleep 1.1
write_zones 101 40
kill -HUP "${servers[@]}"
for i in 0 1 2; do wait_for serves "$i" with "101 40"; done
