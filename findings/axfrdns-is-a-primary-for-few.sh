#!/usr/bin/env bash
# axfrdns sends a zone that BIND and YADIFA refuse, and whose records come and go under one serial.
#
# Guess:    what axfrdns transfers every secondary takes; one serial is one set of records; a record that has a time to end is
#           transferred with the TTL that a query gets, or not at all.
# Seen:     axfrdns leaves the question out of all messages of an AXFR (RFC 5936, 2.2 wants it in the first): BIND says
#           "missing question section", YADIFA UNPROCESSABLE_MESSAGE. NSD, Knot, PowerDNS and Unbound take the zone.
#           A record with a time to begin is not in an AXFR until then, one with a time to end is until then, with a TTL of
#           2 however far that is; the serial stays. IXFR from an older serial is answered with the SOA record alone.
# Versions: axfrdns and tinydns of djbdns 1.05 (Debian 12: 1:1.05-15), ucspi-tcp 0.88; BIND 9.18.49, NSD 4.6.1, Knot 3.2.6,
#           YADIFA 2.6.4, PowerDNS 4.7.3, Unbound 1.17.1 (Debian 12).
# Matters:  some secondaries never have the zone; the others keep the address that ended and never get the one that began. In
#           what they have, an address with a TTL of 2 looks like fast flux. Raise the serial with each such time.
#
# axfrdns changes its root and its user. So this needs root.

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

if ((EUID != 0)); then
    echo "not tried: this needs root" >&2
    exit 2
fi

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 yadifa=2.6.4-1 unbound=1.17.1-2+deb12u4 pdns-server=4.7.3-2 \
    pdns-backend-sqlite3=4.7.3-2 axfrdns=1:1.05-15+b2 tinydns=1:1.05-15+b2 ucspi-tcp=1:0.88-7 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 libpython3.11 \
    libboost-program-options1.74.0 libbrotli1 libcurl4 libldap-2.5-0 libluajit-5.1-2 libpsl5 librtmp1 libsasl2-2 \
    libsodium23 libsqlite3-0 libssh2-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

SERVERS=(axfrdns BIND NSD Knot YADIFA PowerDNS Unbound)
mkdir -p "$WORK/djbdns/root" "$WORK/bind" "$WORK/nsd" "$WORK/knot" "$WORK/yadifa" "$WORK/pdns" "$WORK/unbound"

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
    min-refresh-time 1;
    min-retry-time 1;
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
    min-refresh-time: 1
    min-retry-time: 1
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
cat >"$WORK/pdns/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/pdns/db
local-address=127.0.0.1:$((PORT + 5))
socket-dir=$WORK/pdns
secondary=yes
xfr-cycle-interval=1
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
    for-downstream: yes
    for-upstream: no
END
cat >"$WORK/relay.py" <<'END'
"""Stands for tinydns, whose port is fixed: takes questions by UDP and asks axfrdns for the answers by TCP."""
import socket, struct, sys

address = ("127.0.0.1", int(sys.argv[1]))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.bind(address)
    while True:
        question, client = udp.recvfrom(65535)
        try:
            with socket.create_connection(address, timeout=5) as tcp, tcp.makefile("rwb") as stream:
                stream.write(struct.pack("!H", len(question)) + question)
                stream.flush()
                udp.sendto(stream.read(struct.unpack("!H", stream.read(2))[0]), client)
        except (OSError, struct.error):
            pass  # The client asks again.
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

# Prints which secondaries have the zone at a serial.
at_serial() {
    local i
    for i in {1..6}; do if are_at "$1" "$i"; then echo "${SERVERS[i]}"; fi; done | paste -s -d ' '
}

# Prints a point of time, so many seconds from now, as tinydns-data reads it: TAI64.
tai_after() {
    printf '4%015x' "$(($(date +%s) + 10 + $1))"
}

# Prints the serials, and the TTLs and addresses of www, in a transfer from axfrdns.
transferred() {
    dig "@127.0.0.1" -p "$PORT" +noall +answer +time=2 +tries=1 AXFR example. |
        awk '$4 == "SOA" { print $7 } $1 == "www.example." { print $2, $5 }' | paste -s -d ,
}

# Prints the TTL that axfrdns answers for the address of www.
answered_ttl() {
    dig "@127.0.0.1" -p "$PORT" +tcp +noall +answer +time=2 +tries=1 A www.example. | awk '{ print $2 }'
}

# Prints the address of www at each secondary that has the zone.
addresses() {
    local i
    for i in 2 3 5 6; do dig "@127.0.0.1" -p "$((PORT + i))" +short +norecurse +time=1 +tries=1 A www.example.; done |
        paste -s -d ' '
}

# Tells whether BIND and YADIFA have said why they do not take the zone. YADIFA tries after a NOTIFY.
have_refused() {
    dig "@127.0.0.1" -p "$((PORT + 4))" +opcode=NOTIFY +norecurse +aaflag +noedns +time=1 +tries=1 SOA example.
    grep "missing question section" "$WORK/bind/log" && grep UNPROCESSABLE_MESSAGE "$WORK/yadifa/out"
}

# Tells whether the address that begins is in a transfer.
has_begun() {
    [[ $(transferred) == *192.0.2.3* ]]
}

env ROOT="$WORK/djbdns/root" IP=127.0.0.1 UID=65534 GID=65534 AXFR=example \
    tcpserver -HRD 127.0.0.1 "$PORT" "$WORK/root/usr/sbin/axfrdns" >"$WORK/djbdns/out" 2>&1 &
PIDS+=($!)
python3 "$WORK/relay.py" "$PORT" &
PIDS+=($!)
printf '%s\n' 'Zexample:ns.example:hostmaster.example:101:2:2:86400:300:300' '&example:192.0.2.1:ns.example:300' \
    "+www.example:192.0.2.2:0:$(tai_after 30)" "+www.example:192.0.2.3:300:$(tai_after 30)" >"$WORK/djbdns/data"
(cd "$WORK/djbdns" && tinydns-data && cp data.cdb root/)
wait_for are_at 101 0
named -v
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

expect "a transfer before the time" "101,2 192.0.2.2,101" "$(transferred)"
expect "a query gets a longer TTL" yes "$(if (($(answered_ttl) > 2)); then echo yes; fi)"
wait_for are_at 101 2 3 5 6
wait_for have_refused
expect "who takes the zone" "NSD Knot PowerDNS Unbound" "$(at_serial 101)"
expect "by IXFR from 100" "SOA 101" \
    "$(dig "@127.0.0.1" -p "$PORT" +time=2 +tries=1 IXFR=100 example. | awk '/^example/ { print $4, $7 }')"
sleep 10
wait_for has_begun
expect "a transfer after the time" "101,300 192.0.2.3,101" "$(transferred)"
sleep 8 # All ask each few seconds.
expect "the address at the secondaries" "192.0.2.2 192.0.2.2 192.0.2.2 192.0.2.2" "$(addresses)"
