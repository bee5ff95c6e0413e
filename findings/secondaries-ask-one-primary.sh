#!/usr/bin/env bash
# A primary that lags, and answers, keeps NSD and YADIFA at its version, although they have a second primary that is ahead.
#
# Guess:    a secondary with two primaries asks both when it refreshes, or the second where the first has nothing new; at the
#           very least it asks the one that notifies it.
# Seen:     the first primary stays at serial 101, where all are; the second goes to 102:
#                                       by refresh    after a NOTIFY from the second   once the first is gone
#             BIND, Knot, Unbound       102           102                              102
#             PowerDNS                  102, in time  102                              102
#             NSD                       101           102                              102
#             YADIFA                    101           101                              102
#           NSD with `multi-master-check: yes` comes to 102 by refresh. PowerDNS asks one of the two at a time, by chance.
#           YADIFA acknowledges the NOTIFY of the second and asks the first, as long as that one answers.
# Versions: BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, YADIFA 2.6.4, PowerDNS 4.7.3, Unbound 1.17.1 (Debian 12).
# Matters:  a second primary is configured for the case that the first fails, and does not help when the first hangs at an old
#           version: some name servers of the zone keep it, and a mirror behind one of them misses the changes. Set
#           `multi-master-check`; compare the serials of primaries, and take one that lags out of service.

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

SERVERS=(first BIND NSD Knot YADIFA PowerDNS Unbound second "NSD that checks all")
mkdir "$WORK/first" "$WORK/second" "$WORK/bind" "$WORK/nsd" "$WORK/nsd-all" \
    "$WORK/knot" "$WORK/yadifa" "$WORK/pdns" "$WORK/unbound"

# Gives the zone at one of the primaries a serial, and a refresh of five seconds.
write_zone() {
    printf '%s\n' "\$ORIGIN example." "\$TTL 300" "@ SOA ns hostmaster $2 5 5 86400 300" '@ NS ns' \
        'ns A 192.0.2.1' >"$WORK/$1/example"
}

COMMON_BIND=$(
    cat <<END
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
END
)
# Writes the configuration of a primary, which listens in this way.
configure() {
    cat >"$WORK/$1.conf" <<END
options {
    directory "$WORK/$1";
    session-keyfile "$WORK/$1/session.key";
    listen-on $2;
    listen-on-v6 $3;
$COMMON_BIND
    allow-transfer { any; };
};
controls { };
zone "example" { type primary; file "example"; };
END
}
configure first "port $PORT { 127.0.0.1; }" "{ none; }"
configure second "{ none; }" "port $((PORT + 7)) { ::1; }"
cat >"$WORK/bind.conf" <<END
options {
    directory "$WORK/bind";
    session-keyfile "$WORK/bind/session.key";
    listen-on port $((PORT + 1)) { 127.0.0.1; };
    listen-on-v6 port $((PORT + 1)) { ::1; };
$COMMON_BIND
};
controls { };
zone "example" {
    type secondary;
    file "example";
    primaries { 127.0.0.1 port $PORT; ::1 port $((PORT + 7)); };
    min-refresh-time 1;
    min-retry-time 1;
};
END
# Writes NSD's configuration: its folder, its port, and whether it checks all primaries.
configure_nsd() {
    cat >"$WORK/$1.conf" <<END
server:
    ip-address: 127.0.0.1@$2
    ip-address: ::1@$2
    username: ""
    server-count: 1
    database: ""
    pidfile: "$WORK/$1/pid"
    zonesdir: "$WORK/$1"
    zonelistfile: "$WORK/$1/zone.list"
    xfrdfile: "$WORK/$1/xfrd.state"
    xfrdir: "$WORK/$1"
    xfrd-reload-timeout: 0
remote-control:
    control-enable: no
zone:
    name: example.
    zonefile: example
    multi-master-check: $3
    request-xfr: 127.0.0.1@$PORT NOKEY
    request-xfr: ::1@$((PORT + 7)) NOKEY
    allow-notify: 127.0.0.1 NOKEY
    allow-notify: ::1 NOKEY
END
}
configure_nsd nsd "$((PORT + 2))" no
configure_nsd nsd-all "$((PORT + 8))" yes
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: [127.0.0.1@$((PORT + 3)), ::1@$((PORT + 3))]
database:
    storage: "$WORK/knot"
remote:
  - id: first
    address: 127.0.0.1@$PORT
  - id: second
    address: ::1@$((PORT + 7))
acl:
  - id: local
    address: [127.0.0.1, ::1]
    action: notify
zone:
  - domain: example.
    storage: "$WORK/knot"
    zonefile-sync: -1
    master: [first, second]
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
    listen 127.0.0.1 port $((PORT + 4)), ::1 port $((PORT + 4))
    allow-query any
    allow-notify any
    queries-log-type 0
</main>
<zone>
    domain example.
    type secondary
    file example
    primary 127.0.0.1 port $PORT, ::1 port $((PORT + 7))
    allow-notify any
</zone>
END
cat >"$WORK/pdns/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/pdns/db
local-address=127.0.0.1:$((PORT + 5)),[::1]:$((PORT + 5))
socket-dir=$WORK/pdns
secondary=yes
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
pdnsutil --config-dir="$WORK/pdns" create-secondary-zone example "127.0.0.1:$PORT" "[::1]:$((PORT + 7))" >"$WORK/util" 2>&1
cat >"$WORK/unbound.conf" <<END
server:
    interface: 127.0.0.1@$((PORT + 6))
    interface: ::1@$((PORT + 6))
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
    primary: ::1@$((PORT + 7))
    allow-notify: 127.0.0.1
    allow-notify: ::1
    for-downstream: yes
    for-upstream: no
END
cat >"$WORK/notify.py" <<'END'
"""Sends a NOTIFY for the zone, from an address to the same; prints the answer's rcode."""
import socket, struct, sys

notify = struct.pack("!6H", 7, 0x2400, 1, 0, 0, 0) + b"\7example\0" + struct.pack("!HH", 6, 1)
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
    udp.settimeout(5)
    udp.sendto(notify, (sys.argv[1], int(sys.argv[2])))
    print(udp.recv(65535)[3] & 15)
END

# Prints the serial of the zone at a server.
serial() {
    local address=127.0.0.1
    if [[ $1 == 7 ]]; then address=::1; fi
    dig "@$address" -p "$((PORT + $1))" +short +norecurse +time=1 +tries=1 SOA example. | cut -d ' ' -f 3
}

# Tells whether these servers have the zone at a serial.
are_at() {
    local wanted=$1 i
    shift
    for i in "$@"; do [[ $(serial "$i") == "$wanted" ]] || return 1; done
}

# Notifies secondaries from the second primary's address, and prints the rcodes of their answers.
notify() {
    local i
    for i in "$@"; do python3 "$WORK/notify.py" ::1 "$((PORT + i))"; done | paste -s -d ' '
}

# Tells whether all secondaries have their first zone. YADIFA now and then gets it only after a NOTIFY.
have_started() {
    notify 4
    are_at 101 {1..6} 8
}

# Moves the second primary to a serial.
move_second() {
    write_zone second "$1"
    sleep 1.1 # So that the file's time differs.
    kill -HUP "$second"
    wait_for are_at "$1" 7
}

# Prints which secondaries have the zone at a serial.
at_serial() {
    local i
    for i in {1..6} 8; do if are_at "$1" "$i"; then echo "${SERVERS[i]}"; fi; done | paste -s -d , | sed 's/,/, /g'
}

write_zone first 101
write_zone second 101
named -v
named -f -c "$WORK/first.conf" >"$WORK/first/out" 2>&1 &
PIDS+=($!)
first=$!
named -f -c "$WORK/second.conf" >"$WORK/second/out" 2>&1 &
PIDS+=($!)
second=$!
wait_for are_at 101 0 7
named -f -c "$WORK/bind.conf" -L "$WORK/bind/log" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd-all.conf" >"$WORK/nsd-all/out" 2>&1 &
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

move_second 102
sleep 25 # Five times the refresh.
wait_for are_at 102 5
expect "at 102 by refresh" "BIND, Knot, PowerDNS, Unbound, NSD that checks all" "$(at_serial 102)"
expect "at 101 still" "NSD, YADIFA" "$(at_serial 101)"
expect "answers to a NOTIFY from the second" "0 0 0 0 0 0 0" "$(notify {1..6} 8)"
wait_for are_at 102 2
sleep 15
expect "at 101 still" "YADIFA" "$(at_serial 101)"
kill "$first"
wait_for are_at 102 4
expect "at 102 once the first is gone" "BIND, NSD, Knot, YADIFA, PowerDNS, Unbound, NSD that checks all" "$(at_serial 102)"
