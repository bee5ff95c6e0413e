#!/usr/bin/env bash
# Five servers answer an IXFR question by UDP in four ways; NSD sends the beginning of a whole zone as if it were all.
#
# Guess:    by UDP a server sends the steps where they fit into the answer, else its SOA record alone, so that the client
#           asks again by TCP (RFC 1995, 2 and 4), or an answer with TC. What is not marked with TC is complete.
# Seen:     (without EDNS; rcode, TC, records, SOA records among them)
#                       steps that fit   steps that do not fit   steps that are not held
#             NSD       0 - 5 4          0 TC 1 1                0 - 24 1
#             BIND      0 - 1 1          0 - 1 1                 0 - 1 1
#             Knot      0 - 1 1          0 - 1 1                 0 - 1 1
#             YADIFA    0 TC 0 0         0 TC 0 0                0 TC 0 0
#             PowerDNS  5 - 0 0          5 - 0 0                 5 - 0 0
#           NSD alone sends steps; where it holds none, it fills the datagram with the first records of the whole zone,
#           without TC and without the closing SOA record. BIND and Knot send steps by TCP only, YADIFA wants TCP even
#           for one step, PowerDNS says REFUSED.
# Versions: NSD 4.6.1, BIND 9.18.49, Knot 3.2.6, YADIFA 2.6.4, PowerDNS 4.7.3 (Debian 12).
# Matters:  a client that asks by UDP first and trusts TC takes a part of a zone for the zone, and all other records for
#           removed; one that gives up at REFUSED never asks PowerDNS by TCP. Ask for IXFR by TCP, and believe no transfer
#           that does not end with the SOA record that it began with.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 yadifa=2.6.4-1 pdns-server=4.7.3-2 pdns-backend-bind=4.7.3-2 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    libboost-program-options1.74.0 libbrotli1 libcurl4 libldap-2.5-0 libluajit-5.1-2 libpsl5 librtmp1 libsasl2-2 \
    libsodium23 libsqlite3-0 libssh2-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

mkdir "$WORK/bind" "$WORK/nsd" "$WORK/knot" "$WORK/yadifa" "$WORK/pdns"
for server in bind nsd knot yadifa pdns; do
    printf '%s\n' "\$ORIGIN example." "\$TTL 300" '@ SOA ns hostmaster 100 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' \
        {a..z}' A 192.0.2.7' {a..z}'x A 192.0.2.7' >"$WORK/$server.zone"
done
cat >"$WORK/named.conf" <<END
options {
    directory "$WORK/bind";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile "$WORK/bind/session.key";
    recursion no;
    dnssec-validation no;
    notify no;
    max-ixfr-ratio unlimited;
    allow-transfer { 127.0.0.1; };
};
controls { };
zone "example" { type primary; file "$WORK/bind.zone"; allow-update { 127.0.0.1; }; };
END
cat >"$WORK/nsd.conf" <<END
server:
    ip-address: 127.0.0.1@$((PORT + 1))
    username: ""
    server-count: 1
    database: ""
    pidfile: "$WORK/nsd/pid"
    zonesdir: "$WORK"
    zonelistfile: "$WORK/nsd/zone.list"
    xfrdfile: "$WORK/nsd/xfrd.state"
    xfrdir: "$WORK/nsd"
remote-control:
    control-enable: yes
    control-interface: $WORK/nsd/control
zone:
    name: example.
    zonefile: nsd.zone
    store-ixfr: yes
    create-ixfr: yes
    provide-xfr: 127.0.0.1 NOKEY
END
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: 127.0.0.1@$((PORT + 2))
database:
    storage: "$WORK/knot"
acl:
  - id: local
    address: 127.0.0.1
    action: [transfer, update]
zone:
  - domain: example.
    file: "$WORK/knot.zone"
    zonefile-sync: -1
    acl: local
END
cat >"$WORK/yadifad.conf" <<END
<main>
    daemon off
    datapath "$WORK"
    logpath "$WORK/yadifa"
    pidfile "$WORK/yadifa/pid"
    xfrpath "$WORK/yadifa"
    keyspath "$WORK/yadifa"
    listen 127.0.0.1 port $((PORT + 3))
    allow-query any
    allow-update any
    allow-transfer any
    queries-log-type 0
</main>
<zone>
    domain example.
    type primary
    file yadifa.zone
    allow-update any
    allow-transfer any
</zone>
END
echo "zone \"example\" { type master; file \"$WORK/pdns.zone\"; };" >"$WORK/pdns/named.conf"
cat >"$WORK/pdns/pdns.conf" <<END
launch=bind
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
bind-config=$WORK/pdns/named.conf
bind-check-interval=1
local-address=127.0.0.1:$((PORT + 4))
socket-dir=$WORK/pdns
allow-axfr-ips=127.0.0.0/8
primary=yes
cache-ttl=0
query-cache-ttl=0
END
cat >"$WORK/ask.py" <<'END'
"""Asks for IXFR from a serial by UDP; prints rcode, TC, the number of records, and that of SOA records among them."""
import socket, struct, sys

NAME = b"\7example\0"
query = struct.pack("!6H", 7, 0, 1, 0, 1, 0) + NAME + struct.pack("!HH", 251, 1)
query += NAME + struct.pack("!HHIH", 6, 1, 0, 22) + b"\0\0" + struct.pack("!5I", int(sys.argv[2]), 0, 0, 0, 0)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.settimeout(5)
    udp.sendto(query, ("127.0.0.1", int(sys.argv[1])))
    answer = udp.recv(65535)


def after_name(at):
    """The place after the name at a place."""
    while answer[at]:
        if answer[at] >= 192:
            return at + 2
        at += 1 + answer[at]
    return at + 1


flags, questions, records = struct.unpack("!3H", answer[2:8])
at = 12
for _ in range(questions):
    at = after_name(at) + 4
soas = 0
for _ in range(records):
    at = after_name(at)
    kind, _, _, length = struct.unpack("!HHIH", answer[at:at + 10])
    soas += kind == 6
    at += 10 + length
print(flags & 15, "TC" if flags & 0x200 else "-", records, soas)
END

# Asks a server without EDNS by UDP: its number, and the serial from which the steps are wanted.
by_udp() {
    python3 "$WORK/ask.py" "$((PORT + $1))" "$2"
}

# Prints the number of records, and that of SOA records among them, of an IXFR by TCP.
by_tcp() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +time=2 +tries=1 "IXFR=$2" example. |
        awk '{ records++ } $4 == "SOA" { soas++ } END { print records + 0, soas + 0 }'
}

# Tells whether all servers have the zone at a serial.
all_at() {
    local i
    for i in 0 1 2 3 4; do
        [[ $(dig "@127.0.0.1" -p "$((PORT + i))" +short +time=2 +tries=1 SOA example. | cut -d ' ' -f 3) == "$1" ]] || return 1
    done
}

# Adds addresses at all servers, so that they come to a serial: by an update, and by a new zone file.
add() {
    local serial=$1 name i
    shift
    for i in 0 2 3; do
        {
            printf '%s\n' "server 127.0.0.1 $((PORT + i))" 'zone example.'
            for name in "$@"; do echo "add $name.example. 300 A 192.0.2.9"; done
            echo send
        } | nsupdate
    done
    sleep 1.1 # So that the files' times differ.
    for name in nsd pdns; do
        sed "s/ hostmaster [0-9]* / hostmaster $serial /" "$WORK/$name.zone" >"$WORK/new"
        printf '%s A 192.0.2.9\n' "$@" >>"$WORK/new"
        mv "$WORK/new" "$WORK/$name.zone"
    done
    nsd-control -c "$WORK/nsd.conf" reload >/dev/null
    wait_for all_at "$serial"
}

named -f -c "$WORK/named.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
yadifad -c "$WORK/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
PIDS+=($!)
pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
PIDS+=($!)
wait_for all_at 100
add 101 many{1..60}
add 102 one
sleep 0.5 # NSD writes its steps after the reload.

echo "By TCP, records and SOA records, from 101, 100, 50:"
for i in 0 1 2 3; do
    expect "server $i" "5 4, 67 6, 117 2" "$(by_tcp "$i" 101), $(by_tcp "$i" 100), $(by_tcp "$i" 50)"
done
expect "PowerDNS" "117 2, 117 2, 117 2" "$(by_tcp 4 101), $(by_tcp 4 100), $(by_tcp 4 50)"
echo "By UDP, rcode, TC, records and SOA records, from 101, 100, 50:"
expect NSD "0 - 5 4, 0 TC 1 1, 0 - 24 1" "$(by_udp 1 101), $(by_udp 1 100), $(by_udp 1 50)"
expect BIND "0 - 1 1, 0 - 1 1, 0 - 1 1" "$(by_udp 0 101), $(by_udp 0 100), $(by_udp 0 50)"
expect Knot "0 - 1 1, 0 - 1 1, 0 - 1 1" "$(by_udp 2 101), $(by_udp 2 100), $(by_udp 2 50)"
expect YADIFA "0 TC 0 0, 0 TC 0 0, 0 TC 0 0" "$(by_udp 3 101), $(by_udp 3 100), $(by_udp 3 50)"
expect PowerDNS "5 - 0 0, 5 - 0 0, 5 - 0 0" "$(by_udp 4 101), $(by_udp 4 100), $(by_udp 4 50)"
