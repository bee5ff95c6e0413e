#!/usr/bin/env bash
# PowerDNS with SQLite now and then keeps a member that a catalog drops, takes the serial, and does not try again.
#
# Guess:    a consumer removes the members that the new version of a catalog lacks (RFC 9432, 5.4), or says that it could not,
#           keeps the old serial and tries again.
# Seen:     a NOTIFY tells of a catalog without one of its members, while another zone is due to be checked. In one of a few
#           tries PowerDNS says "Catalog-Zone delete zone", then "database is locked" and "update failed, only import
#           records". It answers with the new serial, goes on serving the zone, and leaves it at that. BIND removes the member
#           each time. `pdns_control retrieve CATALOG`, which checks no other zone, carries the removal out.
# Versions: PowerDNS 4.7.3 with pdns-backend-sqlite3, as a consumer; BIND 9.18.49 (Debian 12).
# Matters:  a zone that was taken out of service goes on being answered, and whoever compares serials finds nothing wrong.
#           Watch the log for "update failed", and run `pdns_control retrieve` then.

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

unpack bind9=1:9.18.49-1~deb12u3 pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
    libboost-program-options1.74.0 libbrotli1 libcurl4 libldap-2.5-0 libluajit-5.1-2 libpsl5 librtmp1 libsasl2-2 \
    libsodium23 libsqlite3-0 libssh2-1 \
    libcap-ng0 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

# Writes the catalog: its serial, then its members. Its refresh is how often BIND asks for it.
write_catalog() {
    printf '%s\n' "\$TTL 0" "@ SOA . . $1 1 1 86400 0" '@ NS invalid.' 'version TXT "2"' "${@:2}" \
        >"$WORK/primary/catalog.example"
}

mkdir "$WORK/primary" "$WORK/bind" "$WORK/pdns"
printf '%s\n' "\$TTL 300" '@ SOA ns.example. hostmaster.example. 5 3600 600 86400 300' '@ NS ns.example.' \
    >"$WORK/primary/member"
# Its refresh is one second, so that it is due to be checked whenever PowerDNS looks.
sed 's/ 3600 600 / 1 1 /' "$WORK/primary/member" >"$WORK/primary/other"
COMMON_BIND=$(
    cat <<END
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    allow-transfer { 127.0.0.1; };
END
)
{
    cat <<END
options {
    directory "$WORK/primary";
    session-keyfile "$WORK/primary/session.key";
    listen-on port $PORT { 127.0.0.1; };
    notify explicit;
    also-notify { 127.0.0.1 port $((PORT + 2)); };
    notify-delay 0;
$COMMON_BIND
};
controls { };
END
    echo 'zone "catalog.example" { type primary; file "catalog.example"; };'
    for zone in a b c; do echo "zone \"$zone.example\" { type primary; file \"member\"; };"; done
    echo 'zone "other.example" { type primary; file "other"; };'
} >"$WORK/primary.conf"
cat >"$WORK/bind.conf" <<END
options {
    directory "$WORK/bind";
    session-keyfile "$WORK/bind/session.key";
    listen-on port $((PORT + 1)) { 127.0.0.1; };
    notify no;
$COMMON_BIND
    min-refresh-time 1;
    min-retry-time 1;
    catalog-zones {
        zone "catalog.example" default-primaries { 127.0.0.1 port $PORT; } min-update-interval 1;
    };
};
controls { };
zone "catalog.example" { type secondary; primaries { 127.0.0.1 port $PORT; }; file "catalog.example"; };
END
cat >"$WORK/pdns/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/pdns/db
local-address=127.0.0.1:$((PORT + 2))
socket-dir=$WORK/pdns
secondary=yes
xfr-cycle-interval=60
query-cache-ttl=0
cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
END
python3 - "$WORK" <<END
import sqlite3, sys
with open(sys.argv[1] + "/root/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql") as schema:
    sqlite3.connect(sys.argv[1] + "/pdns/db").executescript(schema.read())
END
pdnsutil --config-dir="$WORK/pdns" create-secondary-zone other.example "127.0.0.1:$PORT" >"$WORK/util" 2>&1

# Prints which of the three member zones a server answers for.
served() {
    local zone
    for zone in a b c; do
        if [[ -n $(dig "@127.0.0.1" -p "$((PORT + $1))" +short +time=2 +tries=1 SOA "$zone.example.") ]]; then
            printf '%s ' "$zone"
        fi
    done
}

# Tells whether a server answers for these zones.
serves() {
    [[ $(served "$1") == "$2 " ]]
}

# Gives a serial and members to the primary, which notifies PowerDNS, and waits until both consumers have the serial.
step() {
    write_catalog "$@"
    sleep 1.1 # So that the files' time differs.
    kill -HUP "$primary"
    wait_for grep "updating catalog zone 'catalog.example' with serial $1" "$WORK/bind/log"
    wait_for grep "AXFR-in zone: 'catalog.example', .*zone committed with serial $1" "$WORK/pdns/out"
    sleep 2
}

# Has PowerDNS transfer the catalog at once, without looking at other zones.
retrieve() {
    pdns_control --socket-dir="$WORK/pdns" retrieve catalog.example >>"$WORK/util"
}

A='m1.zones PTR a.example.'
B='m2.zones PTR b.example.'
C='m3.zones PTR c.example.'
write_catalog 1 "$A" "$B" "$C"

named -v
named -f -c "$WORK/primary.conf" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
primary=$!
wait_for serves 0 "a b c"
named -f -c "$WORK/bind.conf" -L "$WORK/bind/log" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
PIDS+=($!)
wait_for grep "AXFR-in zone: 'other.example', .*zone committed" "$WORK/pdns/out"
pdnsutil --config-dir="$WORK/pdns" create-secondary-zone catalog.example "127.0.0.1:$PORT" >>"$WORK/util" 2>&1
pdnsutil --config-dir="$WORK/pdns" set-kind catalog.example consumer >>"$WORK/util" 2>&1
retrieve
for i in 1 2; do wait_for serves "$i" "a b c"; done

serial=1
for tries in {1..20}; do
    step "$((++serial))" "$A" "$C"
    expect "BIND at serial $serial, without b.example" "a c " "$(served 1)"
    if serves 2 "a b c"; then break; fi
    step "$((++serial))" "$A" "$B" "$C"
    retrieve
    wait_for serves 2 "a b c"
done
echo "tries: $tries"
grep Catalog-Zone "$WORK/pdns/out" | tail -n 4
expect "PowerDNS, without b.example" "a b c " "$(served 2)"
expect "serial of the catalog, at PowerDNS" "$serial" "$(
    dig "@127.0.0.1" -p "$((PORT + 2))" +short +time=2 +tries=1 SOA catalog.example. | cut -d ' ' -f 3
)"
sleep 5
expect "PowerDNS, five seconds later" "a b c " "$(served 2)"
expect "its last word of the catalog's members" "update failed, only import records" \
    "$(sed -n 's/.* Catalog-Zone //p' "$WORK/pdns/out" | tail -n 1)"
retrieve
wait_for serves 2 "a c"
expect "PowerDNS, after pdns_control retrieve" "a c " "$(served 2)"
