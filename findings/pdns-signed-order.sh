#!/usr/bin/env bash
# PowerDNS sends a signed zone in another order at each transfer.
#
# Guess:    AXFR from an SQL backend comes in the order of the database, or in canonical order, the
#           records of one owner side by side.
# Seen:     two AXFRs of an unchanged signed zone have the same records in another order; the
#           records of one owner are scattered, those of the apex too. Unsigned zones keep theirs.
# Versions: PowerDNS 4.7.3 (Debian 12), gsqlite3.
# Matters:  a client that compares two transfers as they come, or that reads an owner's records until
#           the next owner, finds changes where there are none. Sort first, or compare as sets.

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
END
python3 - "$WORK" <<END
import sqlite3, sys
with open(sys.argv[1] + "/root/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql") as schema:
    sqlite3.connect(sys.argv[1] + "/db").executescript(schema.read())
END

# Prints the AXFR of a zone without its signatures, which are made anew for each.
transfer() {
    dig "@127.0.0.1" -p "$PORT" +noall +answer +nocmd +time=5 +tries=1 AXFR "$1" | awk '$4 !~ /^(RRSIG|SOA)$/'
}

# Prints in how many places of a transfer the records of one owner stand apart from one another.
scattered() {
    awk '$1 != last { if (seen[$1]++) apart++; last = $1 } END { print (apart ? "yes" : "no") }' "$1"
}

# Tells whether the server gives the zones.
is_up() {
    [[ -n $(transfer plain.example.) && -n $(transfer signed.example.) ]]
}

{ pdns_server --version 2>&1 || true; } | sed -n 1p
{
    printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1'
    for ((i = 0; i < 200; i++)); do printf 'n%s A 192.0.2.%s\nn%s TXT "x"\n' "$i" "$i" "$i"; done
} >"$WORK/zone"
pdnsutil --config-dir="$WORK" load-zone plain.example "$WORK/zone" >/dev/null 2>&1
pdnsutil --config-dir="$WORK" load-zone signed.example "$WORK/zone" >/dev/null 2>&1
pdnsutil --config-dir="$WORK" secure-zone signed.example 2>&1 | tail -n 1
pdns_server --config-dir="$WORK" >"$WORK/log" 2>&1 &
PIDS+=($!)
wait_for is_up

for zone in plain signed; do
    for i in 1 2; do transfer "$zone.example." >"$WORK/$zone.$i"; done
    echo "The first transfer of $zone.example.:"
    head -n 6 "$WORK/$zone.1"
done
same_order() { if cmp -s "$WORK/$1.1" "$WORK/$1.2"; then echo yes; else echo no; fi; }
same_records() { if cmp -s <(sort "$WORK/$1.1") <(sort "$WORK/$1.2"); then echo yes; else echo no; fi; }
expect "unsigned: same order twice" yes "$(same_order plain)"
expect "signed: same order twice" no "$(same_order signed)"
expect "signed: same records twice" yes "$(same_records signed)"
expect "unsigned: an owner's records stand apart" no "$(scattered "$WORK/plain.1")"
expect "signed: an owner's records stand apart" yes "$(scattered "$WORK/signed.1")"
