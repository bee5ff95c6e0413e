#!/usr/bin/env bash
# YADIFA takes no zone whose serial is 0, which is what pdnsutil begins a zone with.
#
# Guess:    0 is a serial as any other (RFC 1982); a secondary that holds nothing takes whatever serial its primary has.
# Seen:     `pdnsutil create-zone` makes a zone of serial 0, and `pdnsutil add-record` leaves it at that. BIND, NSD, Knot and
#           Unbound transfer it. YADIFA fetches it, says ZONE_ALREADY_UP_TO_DATE, answers with SERVFAIL and tries again
#           minutes later, with the same end. After `pdnsutil increase-serial`, at serial 1, it takes the zone.
# Versions: YADIFA 2.6.4, PowerDNS 4.7.3, BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, Unbound 1.17.1 (Debian 12).
# Matters:  a new zone is answered by some of its name servers and not by the others, for as long as nobody raises the serial;
#           the log of the one that fails says that all is up to date. Begin with 1.

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

SERVERS=(PowerDNS BIND NSD Knot YADIFA Unbound)
mkdir "$WORK/pdns" "$WORK/bind" "$WORK/nsd" "$WORK/knot" "$WORK/yadifa" "$WORK/unbound"

cat >"$WORK/pdns/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/pdns/db
local-address=127.0.0.1:$PORT
socket-dir=$WORK/pdns
cache-ttl=0
query-cache-ttl=0
zone-cache-refresh-interval=0
END
python3 - "$WORK" <<END
import sqlite3, sys
with open(sys.argv[1] + "/root/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql") as schema:
    sqlite3.connect(sys.argv[1] + "/pdns/db").executescript(schema.read())
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
zone:
  - domain: example.
    storage: "$WORK/knot"
    zonefile-sync: -1
    master: primary
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
cat >"$WORK/unbound.conf" <<END
server:
    interface: 127.0.0.1@$((PORT + 5))
    username: ""
    chroot: ""
    directory: "$WORK/unbound"
    pidfile: "$WORK/unbound/pid"
    do-daemonize: no
    use-syslog: no
    module-config: "iterator"
auth-zone:
    name: example.
    zonefile: "$WORK/unbound/example"
    primary: 127.0.0.1@$PORT
    for-downstream: yes
    for-upstream: no
END

# Changes the primary's zone by pdnsutil.
edit() {
    pdnsutil --config-dir="$WORK/pdns" "$@" >"$WORK/util" 2>&1
}

# Prints the serial of the zone at a server.
serial() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +short +norecurse +time=1 +tries=1 SOA example. | cut -d ' ' -f 3
}

# Tells whether these servers have the zone at a serial.
are_at() {
    local wanted=$1 i
    shift
    for i in "$@"; do [[ $(serial "$i") == "$wanted" ]] || return 1; done
}

# Prints which secondaries have the zone at a serial.
at_serial() {
    local i
    for i in {1..5}; do if are_at "$1" "$i"; then echo "${SERVERS[i]}"; fi; done | paste -s -d ' '
}

# Tells YADIFA that the zone changed.
notify() {
    dig "@127.0.0.1" -p "$((PORT + 4))" +opcode=NOTIFY +norecurse +aaflag +noedns +time=1 +tries=1 SOA example. >"$WORK/notify"
}

# Tells whether YADIFA tried several times, each after a NOTIFY.
has_tried() {
    notify
    (($(grep -c 'axfr query error.*ZONE_ALREADY_UP_TO_DATE' "$WORK/yadifa/out") >= 3))
}

# Tells whether YADIFA has the zone at serial 1, after a NOTIFY.
has_taken() {
    notify
    are_at 1 4
}

edit create-zone example ns.example
edit add-record example ns A 192.0.2.1
pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
PIDS+=($!)
wait_for are_at 0 0
named -v
named -f -c "$WORK/bind.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
yadifad -c "$WORK/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
PIDS+=($!)
unbound -c "$WORK/unbound.conf" >"$WORK/unbound/out" 2>&1 &
PIDS+=($!)
wait_for are_at 0 1 2 3 5
wait_for has_tried
expect "at serial 0" "BIND NSD Knot Unbound" "$(at_serial 0)"
expect "YADIFA's answer" "status: SERVFAIL" \
    "$(dig "@127.0.0.1" -p "$((PORT + 4))" +norecurse +time=1 +tries=1 SOA example. | grep -o 'status: [A-Z]*')"
edit increase-serial example
wait_for has_taken
expect "YADIFA, when the primary is at serial 1" 1 "$(serial 4)"
