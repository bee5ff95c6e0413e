#!/usr/bin/env bash
# Secondaries pass over a NOTIFY that names an older serial, each in its own way, although the primary has a newer one.
#
# Guess:    the SOA record in a NOTIFY is a hint: where it is not the secondary's own, the secondary asks its primary
#           (RFC 1996, 3.7). So an older serial makes all ask.
# Seen:     the primary has a newer version than the secondaries (which of them come to it after one NOTIFY)
#             the NOTIFY names the secondaries' serial   PowerDNS
#             it names an older serial                   Knot, PowerDNS
#             it names a newer serial, or none           BIND, NSD, Knot, YADIFA, PowerDNS, Unbound
#           All answer NOERROR to each.
# Versions: BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, YADIFA 2.6.4, PowerDNS 4.7.3, Unbound 1.17.1 (Debian 12).
# Matters:  a NOTIFY that is late, sent by a tool with a serial of its own or by a primary that lags behind another, is
#           acknowledged and has no effect; the change waits for the refresh time. A tool leaves the SOA record out.

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

# Gives the primary's zone a serial. Its refresh is too long for the secondaries to ask without a NOTIFY.
write_zone() {
    printf '%s\n' "\$ORIGIN example." "\$TTL 300" "@ SOA ns hostmaster $1 3600 3600 86400 300" '@ NS ns' 'ns A 192.0.2.1' \
        >"$WORK/primary/example"
}

COMMON_BIND=$(
    cat <<END
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
END
)
cat >"$WORK/primary.conf" <<END
options {
    directory "$WORK/primary";
    session-keyfile "$WORK/primary/session.key";
    listen-on port $PORT { 127.0.0.1; };
$COMMON_BIND
    allow-transfer { 127.0.0.1; };
};
controls { };
zone "example" { type primary; file "example"; };
END
cat >"$WORK/bind.conf" <<END
options {
    directory "$WORK/bind";
    session-keyfile "$WORK/bind/session.key";
    listen-on port $((PORT + 1)) { 127.0.0.1; };
$COMMON_BIND
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
  - id: local
    address: 127.0.0.1
    action: notify
zone:
  - domain: example.
    storage: "$WORK/knot"
    zonefile-sync: -1
    master: primary
    acl: local
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
xfr-cycle-interval=3600
cache-ttl=0
query-cache-ttl=0
zone-cache-refresh-interval=0
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
    module-config: "iterator"
auth-zone:
    name: example.
    zonefile: "$WORK/unbound/example"
    primary: 127.0.0.1@$PORT
    allow-notify: 127.0.0.1
    for-downstream: yes
    for-upstream: no
END
cat >"$WORK/notify.py" <<'END'
"""Sends a NOTIFY for the zone, with a SOA record of a serial or without one; prints the answer's rcode."""
import socket, struct, sys

NAME = b"\7example\0"
soa = b""
if len(sys.argv) > 2:
    soa = NAME + struct.pack("!HHIH", 6, 1, 300, 22) + b"\0\0" + struct.pack("!5I", int(sys.argv[2]), 3600, 3600, 86400, 300)
notify = struct.pack("!6H", 7, 0x2400, 1, bool(soa), 0, 0) + NAME + struct.pack("!HH", 6, 1) + soa
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.settimeout(5)
    udp.sendto(notify, ("127.0.0.1", int(sys.argv[1])))
    print(udp.recv(65535)[3] & 15)
END

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

# Moves the primary to a serial.
move() {
    write_zone "$1"
    sleep 1.1 # So that the file's time differs.
    kill -HUP "$primary"
    wait_for are_at "$1" 0
}

# Notifies all secondaries, and prints the rcodes of their answers.
notify() {
    local i
    for i in {1..6}; do python3 "$WORK/notify.py" "$((PORT + i))" "$@"; done | paste -s -d ' '
}

# Tells whether all secondaries have their first zone. YADIFA now and then gets it only after a NOTIFY.
have_started() {
    notify
    are_at 101 {1..6}
}

# Prints which secondaries have the zone at a serial.
at_serial() {
    local i
    for i in {1..6}; do if are_at "$1" "$i"; then echo "${SERVERS[i]}"; fi; done | paste -s -d ' '
}

write_zone 101
named -v
named -f -c "$WORK/primary.conf" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
primary=$!
wait_for are_at 101 0
named -f -c "$WORK/bind.conf" -L "$WORK/bind/log" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
yadifad -c "$WORK/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
PIDS+=($!)
pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
PIDS+=($!)
unbound -c "$WORK/unbound.conf" >"$WORK/unbound/out" 2>&1 &
PIDS+=($!)
wait_for have_started

move 102
expect "answers to a NOTIFY with the secondaries' serial" "0 0 0 0 0 0" "$(notify 101)"
sleep 6
expect "at 102 after it" PowerDNS "$(at_serial 102)"
expect "answers to a NOTIFY with the primary's serial" "0 0 0 0 0 0" "$(notify 102)"
wait_for are_at 102 {1..6}
expect "at 102 after it" "BIND NSD Knot YADIFA PowerDNS Unbound" "$(at_serial 102)"
move 103
expect "answers to a NOTIFY with an older serial" "0 0 0 0 0 0" "$(notify 100)"
sleep 6
expect "at 103 after it" "Knot PowerDNS" "$(at_serial 103)"
expect "answers to a NOTIFY without a serial" "0 0 0 0 0 0" "$(notify)"
wait_for are_at 103 {1..6}
expect "at 103 after it" "BIND NSD Knot YADIFA PowerDNS Unbound" "$(at_serial 103)"
