#!/usr/bin/env bash
# An update that adds a DNAME above names of a zone stops Knot as a secondary, and others go on giving the hidden addresses.
#
# Guess:    a DNAME that an update adds hides the names below it (RFC 6672, 5.2), as an NS record does: whoever serves the zone
#           answers them by the DNAME, and a secondary that knows the type takes the version.
# Seen:     BIND lets the update in (NOERROR). Of its secondaries, asked for an address below the DNAME that was there before,
#             BIND, NSD and Unbound answer with the DNAME and the CNAME that is made of it;
#             YADIFA and PowerDNS answer with the address, as if there were no DNAME, PowerDNS with `dname-processing=yes` too;
#             Knot says "child record exists under DNAME", refuses the step and the whole zone, and stays at the old serial: it
#             answers with the address, and takes no later change of the zone. A Knot that holds nothing gets no zone at all.
#           An NS record that an update adds above a name hides it at all of them.
# Versions: BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, YADIFA 2.6.4, PowerDNS 4.7.3 with gsqlite3, Unbound 1.17.1 (Debian 12).
# Matters:  one line sends clients to the old address or to the new name, by the server that they happen to ask, and Knot drops
#           the zone when it expires. A mirror that counts addresses counts those that the primary no longer gives. Delete the
#           names below first.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 yadifa=2.6.4-1 unbound=1.17.1-2+deb12u4 pdns-server=4.7.3-2 \
    pdns-backend-sqlite3=4.7.3-2 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 libpython3.11 \
    libboost-program-options1.74.0 libbrotli1 libcurl4 libldap-2.5-0 libluajit-5.1-2 libpsl5 librtmp1 libsasl2-2 \
    libsodium23 libsqlite3-0 libssh2-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

SERVERS=(primary BIND NSD Knot YADIFA PowerDNS Unbound)
mkdir "$WORK/primary" "$WORK/bind" "$WORK/nsd" "$WORK/knot" "$WORK/yadifa" "$WORK/pdns" "$WORK/unbound"

printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' 'host.moved A 192.0.2.9' \
    'host.cut A 192.0.2.9' >"$WORK/primary/example"
cat >"$WORK/primary.conf" <<END
options {
    directory "$WORK/primary";
    session-keyfile "$WORK/primary/session.key";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer { 127.0.0.1; };
};
controls { };
zone "example" { type primary; file "example"; allow-update { 127.0.0.1; }; };
END
cat >"$WORK/bind.conf" <<END
options {
    directory "$WORK/bind";
    session-keyfile "$WORK/bind/session.key";
    listen-on port $((PORT + 1)) { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
    allow-notify { 127.0.0.1; };
};
controls { };
zone "example" { type secondary; file "example"; primaries { 127.0.0.1 port $PORT; }; };
END
cat >"$WORK/nsd.conf" <<END
server:
    ip-address: 127.0.0.1@$((PORT + 2))
    username: ""
    server-count: 1
    database: ""
    pidfile: "$WORK/nsd/pid"
    zonesdir: "$WORK/nsd"
    zonelistfile: "$WORK/nsd/zone.list"
    xfrdfile: "$WORK/nsd/xfrd.state"
    xfrdir: "$WORK/nsd"
    xfrd-reload-timeout: 0
remote-control:
    control-enable: no
zone:
    name: example.
    zonefile: example
    request-xfr: 127.0.0.1@$PORT NOKEY
    allow-notify: 127.0.0.1 NOKEY
END
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: 127.0.0.1@$((PORT + 3))
database:
    storage: "$WORK/knot"
remote:
  - id: primary
    address: 127.0.0.1@$PORT
acl:
  - id: notify
    address: 127.0.0.1
    action: notify
zone:
  - domain: example.
    storage: "$WORK/knot"
    zonefile-sync: -1
    master: primary
    acl: notify
END
cat >"$WORK/yadifad.conf" <<END
<main>
    daemon off
    datapath "$WORK/yadifa"
    logpath "$WORK/yadifa"
    pidfile "$WORK/yadifa/pid"
    xfrpath "$WORK/yadifa"
    keyspath "$WORK/yadifa"
    listen 127.0.0.1 port $((PORT + 4))
    allow-query any
    allow-notify any
    queries-log-type 0
</main>
<zone>
    domain example.
    type secondary
    file example
    primary 127.0.0.1 port $PORT
    allow-notify any
</zone>
END
cat >"$WORK/pdns/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/pdns/db
local-address=127.0.0.1:$((PORT + 5))
socket-dir=$WORK/pdns
secondary=yes
allow-notify-from=127.0.0.0/8
dname-processing=yes
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
xfr-cycle-interval=2
END
python3 - "$WORK" <<END
import sqlite3, sys
with open(sys.argv[1] + "/root/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql") as schema:
    sqlite3.connect(sys.argv[1] + "/pdns/db").executescript(schema.read())
END
pdnsutil --config-dir="$WORK/pdns" create-secondary-zone example "127.0.0.1:$PORT" >"$WORK/util" 2>&1
cat >"$WORK/unbound.conf" <<END
server:
    interface: 127.0.0.1@$((PORT + 6))
    username: ""
    chroot: ""
    directory: "$WORK/unbound"
    pidfile: "$WORK/unbound/pid"
    do-daemonize: no
    use-syslog: no
    do-not-query-localhost: no
    module-config: "iterator"
auth-zone:
    name: example.
    zonefile: "$WORK/unbound/example"
    primary: 127.0.0.1@$PORT
    allow-notify: 127.0.0.1
    for-downstream: yes
    for-upstream: no
END

# Prints the serial of the zone at a server.
serial() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +short +norecurse +time=1 +tries=1 SOA example. | cut -d ' ' -f 3
}

# Tells whether these servers have the zone at a serial; sends a NOTIFY to each that has not.
are_at() {
    local wanted=$1 i all=0
    shift
    for i in "$@"; do
        [[ $(serial "$i") == "$wanted" ]] && continue
        all=1
        dig "@127.0.0.1" -p "$((PORT + i))" +opcode=NOTIFY +norecurse +aaflag +noedns +time=1 +tries=1 SOA example. >"$WORK/notify"
    done
    return "$all"
}

# Adds a record to the primary's zone by an update.
add() {
    printf '%s\n' "server 127.0.0.1 $PORT" 'zone example.' "update add $1" send | nsupdate -v
}

# Prints by what each server answers for the address of a name: the types in the answer and of the cut above.
answers() {
    local i
    for i in {0..6}; do
        echo "${SERVERS[i]}:$(dig "@127.0.0.1" -p "$((PORT + i))" +norecurse +time=3 +tries=1 +noall +answer +authority "$1" A |
            awk '$3 == "IN" && $4 != "SOA" { printf "%s%s", n++ ? "+" : "", $4 }')"
    done | paste -s -d ' '
}

named -v
named -f -c "$WORK/primary.conf" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
wait_for are_at 1 0
named -f -c "$WORK/bind.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
KNOT=$!
PIDS+=("$KNOT")
yadifad -c "$WORK/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
PIDS+=($!)
pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
PIDS+=($!)
unbound -c "$WORK/unbound.conf" >"$WORK/unbound/out" 2>&1 &
PIDS+=($!)
wait_for are_at 1 1 2 3 4 5 6

add 'cut.example. 300 NS ns.example.'
wait_for are_at 2 1 2 3 4 5 6
expect "below an NS record" "primary:NS BIND:NS NSD:NS Knot:NS YADIFA:NS PowerDNS:NS Unbound:NS" "$(answers host.cut.example.)"

add 'moved.example. 300 DNAME new.example.'
wait_for are_at 3 1 2 4 5 6
are_at 3 3 || wait_for grep -q 'child record exists under DNAME' "$WORK/knot/out"
add 'later.example. 300 A 192.0.2.7'
wait_for are_at 4 1 2 4 5 6
are_at 4 3 || sleep 3
expect "serial at Knot, while the others have 4" 2 "$(serial 3)"
expect "below a DNAME" \
    "primary:DNAME+CNAME BIND:DNAME+CNAME NSD:DNAME+CNAME Knot:A YADIFA:A PowerDNS:A Unbound:DNAME+CNAME" \
    "$(answers host.moved.example.)"

kill "$KNOT"
wait "$KNOT" || true
rm -rf "${WORK:?}/knot"
mkdir "$WORK/knot"
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
wait_for grep -q 'child record exists under DNAME' "$WORK/knot/out"
expect "a Knot that holds nothing" "status: SERVFAIL" \
    "$(dig "@127.0.0.1" -p "$((PORT + 3))" +norecurse +time=3 +tries=1 SOA example. | grep -o 'status: [A-Z]*')"
