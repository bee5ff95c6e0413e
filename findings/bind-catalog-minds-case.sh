#!/usr/bin/env bash
# BIND drops all zones of a catalog when one label is written in capitals.
#
# Guess:    names are compared without case (RFC 4343), the labels `zones`, `version` and `group` of a catalog (RFC 9432) too.
# Seen:     the first member's name comes as m1.ZONES, the others as m2.zones and m3.zones. BIND as a consumer
#           keeps one spelling of a name that others share, says "invalid record in catalog zone" of m1.ZONES, m2.ZONES and
#           m3.ZONES, and deletes all three zones.
#           A member whose label changes from m1 to M1 is deleted and added anew. Knot and PowerDNS go on serving all.
# Versions: BIND 9.18.49, Knot 3.2.6, PowerDNS 4.7.3 (Debian 12).
# Matters:  one key held too long in one line of a catalog takes every zone of it from all secondaries that are BIND, while a
#           check on another server finds nothing wrong. Write a catalog in small letters, and no label of a member in two ways.

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

unpack bind9=1:9.18.49-1~deb12u3 knot=3.2.6-1 pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
    libboost-program-options1.74.0 libbrotli1 libcurl4 libldap-2.5-0 libluajit-5.1-2 libpsl5 librtmp1 libsasl2-2 \
    libsodium23 libsqlite3-0 libssh2-1 \
    libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

# Writes the catalog: its serial, then its members. Its refresh is how often BIND and Knot ask for it.
write_catalog() {
    printf '%s\n' "\$TTL 0" "@ SOA . . $1 1 1 86400 0" '@ NS invalid.' 'version TXT "2"' "${@:2}" \
        >"$WORK/primary/catalog.example"
}

mkdir "$WORK/primary" "$WORK/bind" "$WORK/knot" "$WORK/pdns"
printf '%s\n' "\$TTL 300" '@ SOA ns.example. hostmaster.example. 5 3600 600 86400 300' '@ NS ns.example.' \
    >"$WORK/primary/member"
COMMON_BIND=$(
    cat <<END
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer { 127.0.0.1; };
END
)
{
    cat <<END
options {
    directory "$WORK/primary";
    session-keyfile "$WORK/primary/session.key";
    listen-on port $PORT { 127.0.0.1; };
$COMMON_BIND
};
controls { };
END
    echo 'zone "catalog.example" { type primary; file "catalog.example"; };'
    for zone in a b c; do echo "zone \"$zone.example\" { type primary; file \"member\"; };"; done
} >"$WORK/primary.conf"
cat >"$WORK/bind.conf" <<END
options {
    directory "$WORK/bind";
    session-keyfile "$WORK/bind/session.key";
    listen-on port $((PORT + 1)) { 127.0.0.1; };
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
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: 127.0.0.1@$((PORT + 2))
database:
    storage: "$WORK/knot"
log:
  - target: stderr
    any: info
remote:
  - id: primary
    address: 127.0.0.1@$PORT
template:
  - id: default
    storage: "$WORK/knot"
    zonefile-sync: -1
    master: primary
  - id: member
    storage: "$WORK/knot"
    zonefile-sync: -1
    master: primary
zone:
  - domain: catalog.example
    catalog-role: interpret
    catalog-template: member
END
cat >"$WORK/pdns/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/pdns/db
local-address=127.0.0.1:$((PORT + 3))
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
pdnsutil --config-dir="$WORK/pdns" create-secondary-zone catalog.example "127.0.0.1:$PORT" >"$WORK/util" 2>&1
pdnsutil --config-dir="$WORK/pdns" set-kind catalog.example consumer >>"$WORK/util" 2>&1

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

# Gives a serial and members to the primary, waits until BIND has them, and gives the others time. PowerDNS is told.
step() {
    write_catalog "$@"
    sleep 1.1 # So that the files' time differs.
    kill -HUP "$primary"
    wait_for grep "updating catalog zone 'catalog.example' with serial $1" "$WORK/bind/log"
    pdns_control --socket-dir="$WORK/pdns" retrieve catalog.example >>"$WORK/util"
    sleep 4
}

# Prints which zones BIND, Knot and PowerDNS answer for.
by_all() {
    echo "$(served 1)- $(served 2)- $(served 3)"
}

write_catalog 1 'm1.zones PTR a.example.' 'm2.zones PTR b.example.' 'm3.zones PTR c.example.'

named -v
named -f -c "$WORK/primary.conf" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
primary=$!
wait_for serves 0 "a b c"
named -f -c "$WORK/bind.conf" -L "$WORK/bind/log" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
PIDS+=($!)
for i in 1 2 3; do wait_for serves "$i" "a b c"; done

step 2 'm1.ZONES PTR a.example.' 'm2.zones PTR b.example.' 'm3.zones PTR c.example.'
expect "names of the members, as the primary sends them" "m1.ZONES m2.zones m3.zones" "$(
    dig "@127.0.0.1" -p "$PORT" +noall +answer AXFR catalog.example. | awk '$4 == "PTR" { print $1 }' | sort |
        sed 's/[.]catalog[.]example[.]//' | paste -s -d ' '
)"
expect "records that BIND calls invalid" "m1.ZONES m2.ZONES m3.ZONES" "$(
    sed -n 's/.*invalid record in catalog zone - \(.*\)[.]catalog[.]example IN PTR.*/\1/p' "$WORK/bind/log" | sort |
        paste -s -d ' '
)"
expect "zones of BIND, Knot and PowerDNS, one label is ZONES" "- a b c - a b c " "$(by_all)"
step 3 'm1.zones PTR a.example.' 'm2.zones PTR b.example.' 'm3.zones PTR c.example.'
expect "all small again" "a b c - a b c - a b c " "$(by_all)"
step 4 'M1.zones PTR a.example.' 'm2.zones PTR b.example.' 'm3.zones PTR c.example.'
expect "M1 for m1" "a b c - a b c - a b c " "$(by_all)"
expect "zones that BIND resets for it" "a.example" \
    "$(sed -n "s/.*zone '\\(.*\\)' unique label has changed, reset state/\\1/p" "$WORK/bind/log" | paste -s -d ,)"
