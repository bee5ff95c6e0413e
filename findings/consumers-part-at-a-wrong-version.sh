#!/usr/bin/env bash
# A catalog whose version is wrong is read by each consumer in its own way, and BIND that is started again has no member of it.
#
# Guess:    such a catalog is broken and is not processed (RFC 9432, 4.2.1): each consumer keeps the zones that it has
#           until the catalog is right again, over a restart too, as it keeps its zones otherwise.
# Seen:     whether a version of the catalog that drops c.example is carried out, by its `version` records:
#                                          BIND   Knot   PowerDNS
#             "3"                          no     no     no
#             none                         no     no     no
#             "1", which is no version     yes    no     yes
#             "2" and "3"                  no     yes    no
#           While `version` is "3", Knot and PowerDNS serve all members when they are started again. BIND reads the catalog from
#           its file, says that it "is broken and will not be processed", and answers for none, until the catalog is right.
# Versions: BIND 9.18.49, Knot 3.2.6, PowerDNS 4.7.3 with gsqlite3 (Debian 12).
# Matters:  a catalog that was spoilt weeks ago, and did no harm, takes all zones from each secondary that is BIND when it is
#           upgraded; and one that is not processed at one server moves on at the next. Look for "broken" in the logs after each
#           change of a catalog, and before a restart.

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

# Writes the catalog: its serial, its versions, then its members. Its refresh is how often BIND and Knot ask for it.
write_catalog() {
    local version zone
    {
        printf '%s\n' "\$TTL 0" "@ SOA . . $1 1 1 86400 0" '@ NS invalid.'
        for version in $2; do echo "version TXT \"$version\""; done
        for zone in $3; do echo "$zone.zones PTR $zone.example."; done
    } >"$WORK/primary/catalog.example"
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

# Tells whether BIND looked at the catalog of a serial.
has_read() {
    grep "updating catalog zone 'catalog.example' with serial $1" "$WORK/bind/log"
}

# Gives versions and members to the primary, waits until BIND has looked at them, and gives the others time. PowerDNS is told.
step() {
    SERIAL=$((SERIAL + 1))
    write_catalog "$SERIAL" "$@"
    sleep 1.1 # So that the files' time differs.
    kill -HUP "$PRIMARY"
    wait_for has_read "$SERIAL"
    pdns_control --socket-dir="$WORK/pdns" retrieve catalog.example >>"$WORK/util"
    sleep 4
}

# Prints which zones BIND, Knot and PowerDNS answer for.
by_all() {
    echo "$(served 1)- $(served 2)- $(served 3)"
}

# Starts the three consumers.
start() {
    named -f -c "$WORK/bind.conf" -L "$WORK/bind/log" >"$WORK/bind/out" 2>&1 &
    CONSUMERS=($!)
    knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
    CONSUMERS+=($!)
    pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
    CONSUMERS+=($!)
    PIDS=("$PRIMARY" "${CONSUMERS[@]}")
}

SERIAL=1
write_catalog "$SERIAL" 2 "a b c"
all="a b c - a b c - a b c "

named -v
knotd --version
named -f -c "$WORK/primary.conf" >"$WORK/primary/out" 2>&1 &
PRIMARY=$!
PIDS=("$PRIMARY")
wait_for serves 0 "a b c"
start
for i in 1 2 3; do wait_for serves "$i" "a b c"; done

step 3 "a b"
expect "zones of BIND, Knot and PowerDNS, version 3 without c.example" "$all" "$(by_all)"
step "" "a b"
expect "no version" "$all" "$(by_all)"
step 1 "a b"
expect "version 1" "a b - a b c - a b " "$(by_all)"
step 2 "a b c"
expect "version 2, with c.example" "$all" "$(by_all)"
step "2 3" "a b"
expect "versions 2 and 3" "a b c - a b - a b c " "$(by_all)"
step 2 "a b c"
expect "version 2, with c.example" "$all" "$(by_all)"

step 3 "a b c"
expect "version 3 with all members" "$all" "$(by_all)"
kill "${CONSUMERS[@]}"
wait "${CONSUMERS[@]}" || true
start
for i in 2 3; do wait_for serves "$i" "a b c"; done
wait_for grep 'is broken and will not be processed' "$WORK/bind/log"
sleep 4
expect "the same, all three started again" "- a b c - a b c " "$(by_all)"
step 2 "a b c"
expect "version 2" "$all" "$(by_all)"
