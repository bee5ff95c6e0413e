#!/usr/bin/env bash
# PowerDNS serves a zone whose time to expire is over, and YADIFA and Unbound serve it anew when they are started again.
#
# Guess:    a secondary that has not heard of its primary for the time `expire` of the SOA record gives up the zone (RFC 1035,
#           3.3.13), and stays with that until it hears of the primary.
# Seen:     the primary is gone; the zone's `expire` is 8 seconds:
#                         half a minute later   started again then
#             BIND        SERVFAIL              SERVFAIL
#             NSD         SERVFAIL              SERVFAIL
#             Knot        SERVFAIL              SERVFAIL
#             YADIFA      SERVFAIL              the zone, for 8 seconds more
#             Unbound     SERVFAIL              the zone, for 8 seconds more
#             PowerDNS    the zone              the zone
#           PowerDNS transfers it too, with its old serial.
# Versions: BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, YADIFA 2.6.4, Unbound 1.17.1, PowerDNS 4.7.3 with gsqlite3 (Debian 12).
# Matters:  what was taken out of a zone goes on being answered by a secondary that lost its primary, a suspended domain for
#           years; with `expire` at weeks each start of YADIFA or Unbound adds weeks. A mirror of such a secondary sees a zone in
#           which nothing changes, and no error. Watch the log for transfers that fail, and compare serials with the primary.

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
# Refresh 2, retry 1, expire 8: what is served eight seconds after the primary's last word is served too long.
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 101 2 1 8 300' '@ NS ns' 'ns A 192.0.2.1' >"$WORK/primary/example"
COMMON_BIND=$(
    cat <<END
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer { any; };
END
)
cat >"$WORK/primary.conf" <<END
options {
    directory "$WORK/primary";
    session-keyfile "$WORK/primary/session.key";
    listen-on port $PORT { 127.0.0.1; };
$COMMON_BIND
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
zone "example" {
    type secondary;
    file "example";
    primaries { 127.0.0.1 port $PORT; };
    min-refresh-time 1;
    min-retry-time 1;
};
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
    zonefiles-write: 1
remote-control:
    control-enable: no
zone:
    name: example.
    zonefile: example
    request-xfr: 127.0.0.1@$PORT NOKEY
    provide-xfr: 127.0.0.1 NOKEY
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
  - id: transfer
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.
    storage: "$WORK/knot"
    master: primary
    acl: transfer
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
    allow-transfer any
    allow-notify any
    queries-log-type 0
</main>
<zone>
    domain example.
    type secondary
    file example
    primary 127.0.0.1 port $PORT
    allow-transfer any
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
allow-axfr-ips=127.0.0.0/8
xfr-cycle-interval=2
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
remote-control:
    control-enable: no
auth-zone:
    name: example.
    zonefile: "$WORK/unbound/example"
    primary: 127.0.0.1@$PORT
    for-downstream: yes
    for-upstream: no
END

# Asks a server for the address of ns; prints the rcode, and the address if there is one.
ask() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +norecurse +time=2 +tries=1 ns.example. A |
        awk '/status:/ { sub(",", "", $6); seen = $6 } /^[^;]/ && $4 == "A" { seen = seen " " $5 } END { print seen }'
}

# Tells whether these servers give the address.
give() {
    local i
    for i in "$@"; do [[ $(ask "$i") == "NOERROR 192.0.2.1" ]] || return 1; done
}

# Tells YADIFA of the zone, since it now and then gets it only after a NOTIFY, and whether all secondaries have it.
have_started() {
    python3 - "$((PORT + 4))" <<'END' || true
import socket, struct, sys
notify = struct.pack("!6H", 7, 0x2400, 1, 0, 0, 0) + b"\7example\0" + struct.pack("!HH", 6, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.settimeout(2)
    udp.sendto(notify, ("127.0.0.1", int(sys.argv[1])))
    udp.recv(65535)
END
    give {1..6}
}

# Starts the secondaries.
start() {
    named -f -c "$WORK/bind.conf" -L "$WORK/bind/log" >"$WORK/bind/out" 2>&1 &
    STARTED=($!)
    nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
    STARTED+=($!)
    knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
    STARTED+=($!)
    yadifad -c "$WORK/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
    STARTED+=($!)
    pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
    STARTED+=($!)
    unbound -c "$WORK/unbound.conf" >"$WORK/unbound/out" 2>&1 &
    STARTED+=($!)
    PIDS+=("${STARTED[@]}")
}

# Tells whether these servers answer SERVFAIL.
fail() {
    local i
    for i in "$@"; do [[ $(ask "$i") == SERVFAIL ]] || return 1; done
}

# Prints the names of servers that give the address, and of those that answer SERVFAIL.
answers() {
    local i giving=() failing=()
    for i in {1..6}; do
        if give "$i"; then giving+=("${SERVERS[i]}"); elif fail "$i"; then failing+=("${SERVERS[i]}"); fi
    done
    echo "serve: ${giving[*]}, fail: ${failing[*]}"
}

named -v
named -f -c "$WORK/primary.conf" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
primary=$!
wait_for give 0
start
wait_for have_started
sleep 4
kill "$primary"
wait_for fail 1 2 3 4 6
sleep 25
expect "half a minute later" "serve: PowerDNS, fail: BIND NSD Knot YADIFA Unbound" "$(answers)"
expect "records in the AXFR of PowerDNS" 4 \
    "$(dig @127.0.0.1 -p $((PORT + 5)) +noall +answer +time=3 +tries=1 AXFR example. | grep -c ^)"
kill "${STARTED[@]}"
wait "${STARTED[@]}" || true
start
wait_for give 4 6
wait_for fail 1 2 3
expect "started again" "serve: YADIFA PowerDNS Unbound, fail: BIND NSD Knot" "$(answers)"
wait_for fail 4 6
expect "some seconds later" "serve: PowerDNS, fail: BIND NSD Knot YADIFA Unbound" "$(answers)"
