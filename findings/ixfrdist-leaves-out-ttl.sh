#!/usr/bin/env bash
# ixfrdist's incremental transfers leave out each change of a TTL.
#
# Guess:    a TTL that changes comes as a removal of the record and its addition with the new TTL, as BIND, NSD and Knot
#           tell it.
# Seen:     a new TTL of two addresses is a step of SOA records alone; AXFR of the same serial has the new TTL. When one
#           of the two addresses changes together with the TTL, the step tells that one: who follows by IXFR holds an
#           RRset with two TTLs.
# Versions: pdns-ixfrdist 4.7.3, BIND 9.18.49 as the primary (Debian 12).
# Matters:  a TTL that falls from a day to a minute is a sign of fast flux, and a mirror behind ixfrdist never sees it.
#           Its copy differs for good. Compare with a whole transfer from time to time.

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

unpack pdns-ixfrdist=4.7.3-2 bind9=1:9.18.49-1~deb12u3 libboost-program-options1.74.0 libsodium23 libyaml-cpp0.7 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

# Writes the zone file: serial, TTL and first address of www. The refresh of a second is how often ixfrdist asks.
write_zone() {
    printf '%s\n' "\$TTL 300" "@ SOA ns hostmaster $1 1 1 86400 300" '@ NS ns' 'ns A 192.0.2.1' \
        "www $2 A 192.0.2.$3" "www $2 A 192.0.2.99" >"$WORK/bind/zone"
}

# Asks the server at a port above the first one and prints answers alone.
ask() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +nocmd +time=2 +tries=1 "${@:2}"
}

# Tells whether a server has a serial.
has_serial() {
    [[ $(ask "$1" +short SOA example. | cut -d ' ' -f 3) == "$2" ]]
}

# Prints an answer in short: serials, and TTL and last number of each address of www.
short() {
    ask "$@" example. | awk '
        $4 == "SOA" { printf "SOA%s ", $7 }
        $1 == "www.example." { sub(/.*\./, "", $5); printf "%s/%s ", $2, $5 }' | sed 's/ $//'
}

mkdir "$WORK/bind" "$WORK/ixfrdist"
write_zone 1 86400 10
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
    allow-transfer { 127.0.0.1; };
};
controls { };
zone "example" { type primary; file "zone"; ixfr-from-differences yes; max-ixfr-ratio unlimited; };
END
cat >"$WORK/ixfrdist.yml" <<END
listen: ['127.0.0.1:$((PORT + 1))']
acl: ['127.0.0.0/8']
work-dir: '$WORK/ixfrdist'
domains:
  - domain: example
    master: 127.0.0.1:$PORT
END

ixfrdist --version 2>&1 | sed -n 1p
named -f -c "$WORK/named.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
named=$!
wait_for has_serial 0 1
ixfrdist --config "$WORK/ixfrdist.yml" >"$WORK/out" 2>&1 &
PIDS+=($!)
wait_for has_serial 1 1

# Publishes a version and waits until both serve it.
publish() {
    sleep 1.1 # So that the file's time differs.
    write_zone "$@"
    kill -HUP "$named"
    wait_for has_serial 0 "$1"
    wait_for has_serial 1 "$1"
}

publish 2 60 10
echo "ixfrdist's step from 1 to 2:"
ask 1 IXFR=1 example.
expect "BIND, TTL alone" "SOA2 SOA1 86400/10 86400/99 SOA2 60/10 60/99 SOA2" "$(short 0 IXFR=1)"
expect "ixfrdist, TTL alone" "SOA2 SOA1 SOA2 SOA2" "$(short 1 IXFR=1)"
expect "ixfrdist, whole zone" "SOA2 60/10 60/99 SOA2" "$(short 1 AXFR)"
publish 3 30 11
expect "BIND, TTL and an address" "SOA3 SOA2 60/10 60/99 SOA3 30/11 30/99 SOA3" "$(short 0 IXFR=2)"
expect "ixfrdist, TTL and an address" "SOA3 SOA2 60/10 SOA3 30/11 SOA3" "$(short 1 IXFR=2)"
expect "ixfrdist, whole zone" "SOA3 30/11 30/99 SOA3" "$(short 1 AXFR)"
