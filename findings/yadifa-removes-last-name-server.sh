#!/usr/bin/env bash
# YADIFA lets an update remove the last name server of a zone, and BIND as its secondary then drops the zone.
#
# Guess:    the last NS record at the apex stays, whatever an update says (RFC 2136, 3.4.2.4), as with BIND, Knot and PowerDNS;
#           a secondary that does not like a new version goes on with the one that it has.
# Seen:     one update deletes ns1, another ns2: both are answered by NOERROR, the serial rises twice, and the zone has no NS
#           record. BIND as a secondary takes the IXFR ("Transfer status: success"), says "transferred zone has no NS records",
#           and answers the zone with SERVFAIL; a whole transfer fails then ("bad zone"). NSD and Knot serve the zone without
#           name servers.
# Versions: YADIFA 2.6.4, BIND 9.18.49, NSD 4.6.1, Knot 3.2.6 (Debian 12).
# Matters:  a tool that replaces name servers one by one, and deletes before it adds, takes a zone from some of its servers, and
#           no answer says so; tried with another primary it worked, since the last one was kept there. Add first, then delete.

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

unpack yadifa=2.6.4-1 bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 libevent-2.1-7 \
    libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

mkdir -p "$WORK/bind" "$WORK/knot" "$WORK/nsd" "$WORK/yadifa/log" "$WORK/yadifa/xfr" "$WORK/yadifa/keys"
printf '%s\n' "\$TTL 300" '@ SOA ns1 hostmaster 1 1 1 86400 300' '@ NS ns1' '@ NS ns2' {ns1,ns2}' A 192.0.2.1' \
    {a..z}' A 192.0.2.9' >"$WORK/yadifa/zone"
cat >"$WORK/yadifa/yadifad.conf" <<END
<main>
    daemon off
    datapath "$WORK/yadifa"
    logpath "$WORK/yadifa/log"
    pidfile "$WORK/yadifa/yadifad.pid"
    xfrpath "$WORK/yadifa/xfr"
    keyspath "$WORK/yadifa/keys"
    listen 127.0.0.1 port $PORT
    allow-query any
    allow-update any
    allow-transfer any
    queries-log-type 0
</main>
<zone>
    domain example.
    type primary
    file zone
    allow-update any
    allow-transfer any
</zone>
END
cat >"$WORK/bind/named.conf" <<END
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
zone "example" { type secondary; primaries { 127.0.0.1 port $PORT; }; file "zone"; };
END
cat >"$WORK/nsd/nsd.conf" <<END
server:
    ip-address: 127.0.0.1
    port: $((PORT + 2))
    zonesdir: "$WORK/nsd"
    database: ""
    pidfile: "$WORK/nsd/pid"
    xfrdfile: "$WORK/nsd/xfrd.state"
    xfrdir: "$WORK/nsd"
    zonelistfile: "$WORK/nsd/zone.list"
    username: ""
    verbosity: 1
    xfrd-reload-timeout: 0
remote-control:
    control-enable: no
zone:
    name: "example."
    request-xfr: 127.0.0.1@$PORT NOKEY
    zonefile: "example"
    min-refresh-time: 1
    min-retry-time: 1
END
cat >"$WORK/knot/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: 127.0.0.1@$((PORT + 3))
database:
    storage: "$WORK/knot"
log:
  - target: stderr
    any: info
remote:
  - id: primary
    address: 127.0.0.1@$PORT
zone:
  - domain: example
    storage: "$WORK/knot"
    master: primary
END

# Asks one of the servers by its number and prints answers alone.
ask() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +nocmd +time=3 +tries=1 "${@:2}"
}

# Prints serial and name servers of the zone at a server.
state() {
    echo "serial $(ask "$1" +short example. SOA | cut -d ' ' -f 3):" \
        "$(ask "$1" +short example. NS | sort | paste -s -d ' ')"
}

# Tells whether a server has the zone at a serial.
is_at() {
    [[ $(ask "$1" +short example. SOA | cut -d ' ' -f 3) == "$2" ]]
}

# Sends one update.
update() {
    printf '%s\n' "server 127.0.0.1 $PORT" 'zone example.' "$@" send | nsupdate
}

yadifad --version 2>&1 | sed -n 1p
yadifad -c "$WORK/yadifa/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
PIDS+=($!)
wait_for is_at 0 1
named -f -c "$WORK/bind/named.conf" -L "$WORK/bind/log" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
for i in 1 2 3; do wait_for is_at "$i" 1; done

update 'update delete example. NS ns1.example.'
for i in 0 1 2 3; do wait_for is_at "$i" 2; done
expect "YADIFA, the first one deleted" "serial 2: ns2.example." "$(state 0)"
update 'update delete example. NS ns2.example.'
for i in 0 2 3; do wait_for is_at "$i" 3; done
expect "YADIFA, the last one deleted" "serial 3: " "$(state 0)"
expect "NSD as a secondary" "serial 3: " "$(state 2)"
expect "Knot as a secondary" "serial 3: " "$(state 3)"
wait_for grep -e 'transferred zone has no NS records' "$WORK/bind/log"
wait_for grep -e 'Transfer status: bad zone' "$WORK/bind/log"
grep -e 'no NS records' -e 'Transfer status' "$WORK/bind/log"
expect "BIND as a secondary: of an address" SERVFAIL \
    "$(dig @127.0.0.1 -p $((PORT + 1)) +time=3 +tries=1 a.example. A | sed -n 's/.*status: \([A-Z]*\).*/\1/p')"
expect "BIND as a secondary: the IXFR of this" "success" \
    "$(sed -n "/transferred zone has no NS/,\$ s/.*Transfer status: //p" "$WORK/bind/log" | sed -n 1p)"
