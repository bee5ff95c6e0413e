#!/usr/bin/env bash
# Knot refuses a catalog whole when one member has two groups, as RFC 9432 allows.
#
# Guess:    of a `group` property with two values Knot takes one or none for that member (RFC 9432, 4.3.2 leaves it to the
#           consumer), and all else of the catalog.
# Seen:     Knot says "failed to process catalog zone (such record already exists in zone)" and stays with the catalog of
#           before: a member that is added beside is not served, until each member has one group again. BIND and
#           PowerDNS serve all members. One value of two strings does the same ("malformed data").
# Versions: Knot 3.2.6, BIND 9.18.49, PowerDNS 4.7.3 (Debian 12).
# Matters:  one label for another operator's consumers stops each Knot from taking and dropping zones, by two log lines
#           at each refresh. Give one value a member while there is a Knot of that version among the consumers.

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

CATALOGS=(catalog.example)
unpack bind9=1:9.18.49-1~deb12u3 knot=3.2.6-1 pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
    libboost-program-options1.74.0 libbrotli1 libcurl4 libldap-2.5-0 libluajit-5.1-2 libpsl5 librtmp1 libsasl2-2 \
    libsodium23 libsqlite3-0 libssh2-1 \
    libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

# Writes a catalog: name, serial, then its members and properties. Its refresh is how often the consumers ask for it.
write_catalog() {
    printf '%s\n' "\$TTL 0" "@ SOA . . $2 1 1 86400 0" '@ NS invalid.' 'version TXT "2"' "${@:3}" >"$WORK/primary/$1"
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
    for zone in "${CATALOGS[@]}"; do echo "zone \"$zone\" { type primary; file \"$zone\"; };"; done
    for zone in a b c; do echo "zone \"$zone.example\" { type primary; file \"member\"; };"; done
} >"$WORK/primary.conf"
{
    cat <<END
options {
    directory "$WORK/bind";
    session-keyfile "$WORK/bind/session.key";
    listen-on port $((PORT + 1)) { 127.0.0.1; };
$COMMON_BIND
    min-refresh-time 1;
    min-retry-time 1;
    catalog-zones {
END
    for zone in "${CATALOGS[@]}"; do
        echo "        zone \"$zone\" default-primaries { 127.0.0.1 port $PORT; } min-update-interval 1;"
    done
    printf '%s\n' '    };' '};' 'controls { };'
    for zone in "${CATALOGS[@]}"; do
        echo "zone \"$zone\" { type secondary; primaries { 127.0.0.1 port $PORT; }; file \"$zone\"; };"
    done
} >"$WORK/bind.conf"
{
    cat <<END
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
END
    for zone in "${CATALOGS[@]}"; do
        printf '%s\n' "  - domain: $zone" '    catalog-role: interpret' '    catalog-template: member'
    done
} >"$WORK/knot.conf"
cat >"$WORK/pdns/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/pdns/db
local-address=127.0.0.1:$((PORT + 3))
socket-dir=$WORK/pdns
secondary=yes
xfr-cycle-interval=2
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
for zone in "${CATALOGS[@]}"; do
    pdnsutil --config-dir="$WORK/pdns" create-secondary-zone "$zone" "127.0.0.1:$PORT" >>"$WORK/util" 2>&1
    pdnsutil --config-dir="$WORK/pdns" set-kind "$zone" consumer >>"$WORK/util" 2>&1
done

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

# Has the primary read its zone files again.
reload() {
    sleep 1.1 # So that the files' time differs.
    kill -HUP "$primary"
}

write_catalog catalog.example 1 'm1.zones PTR a.example.' 'group.m1.zones TXT "member"' 'm2.zones PTR b.example.'

named -v
named -f -c "$WORK/primary.conf" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
primary=$!
wait_for serves 0 "a b c"
named -f -c "$WORK/bind.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
PIDS+=($!)
for i in 1 2 3; do wait_for serves "$i" "a b"; done

write_catalog catalog.example 2 'm1.zones PTR a.example.' 'group.m1.zones TXT "member"' 'group.m1.zones TXT "other"' \
    'm2.zones PTR b.example.' 'm3.zones PTR c.example.'
reload
wait_for serves 1 "a b c"
wait_for serves 3 "a b c"
sleep 4
echo "Knot's log:"
grep 'failed to process' "$WORK/knot/out" | sed -n 1p
expect "zones of BIND with two groups" "a b c " "$(served 1)"
expect "zones of PowerDNS with two groups" "a b c " "$(served 3)"
expect "zones of Knot with two groups" "a b " "$(served 2)"

write_catalog catalog.example 3 'm1.zones PTR a.example.' 'group.m1.zones TXT "member" "other"' \
    'm2.zones PTR b.example.' 'm3.zones PTR c.example.'
reload
wait_for grep 'failed to process.*malformed' "$WORK/knot/out"
grep 'failed to process' "$WORK/knot/out" | tail -n 1
expect "zones of Knot with a group of two strings" "a b " "$(served 2)"

write_catalog catalog.example 4 'm1.zones PTR a.example.' 'group.m1.zones TXT "member"' \
    'm2.zones PTR b.example.' 'm3.zones PTR c.example.'
reload
wait_for serves 2 "a b c"
expect "zones of Knot with one group again" "a b c " "$(served 2)"
