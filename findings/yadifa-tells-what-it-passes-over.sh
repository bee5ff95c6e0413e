#!/usr/bin/env bash
# YADIFA passes over a record that an update adds, and tells it by IXFR all the same: NSD then serves it, and Knot stops.
#
# Guess:    an address beside a CNAME, or a CNAME beside an address, is passed over (RFC 2136, 3.4.2.2): nothing changes, the
#           serial stays, and no secondary hears of it, as with BIND and Knot.
# Seen:     YADIFA answers NOERROR and leaves both names as they are, but raises the serial, and its IXFR adds the record that
#           was passed over. Of its secondaries
#             BIND refuses the step ("CNAME and other data"), takes the whole zone, and is right;
#             Knot refuses it ("another record exists beside CNAME"), asks for the same step again, and stays at the old serial;
#             NSD takes it, and answers with an address that the primary never had.
# Versions: YADIFA 2.6.4, BIND 9.18.49, NSD 4.6.1, Knot 3.2.6 (Debian 12).
# Matters:  one mistyped line of nsupdate, to which no one sees an answer other than NOERROR, sends clients to an address that
#           stands in no zone file, or stops a secondary for good. A mirror that goes by steps shows an address that was never
#           there. Take the whole zone where a step leads to a CNAME beside another record.

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
    {a..z}' A 192.0.2.9' 'alias CNAME a' >"$WORK/yadifa/zone"
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
    allow-transfer { 127.0.0.1; };
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
    provide-xfr: 127.0.0.1 NOKEY
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
acl:
  - id: transfer
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example
    acl: transfer
    storage: "$WORK/knot"
    master: primary
END

# Asks one of the servers by its number and prints answers alone.
ask() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +nocmd +time=3 +tries=1 "${@:2}"
}

# Prints what a server transfers of a and alias: owner, type and data.
records() {
    ask "$1" AXFR example. | awk '$1 ~ /^a(lias)?[.]/ { print $1, $4, $5 }' | sort | paste -s -d ,
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

status=0
update 'update add alias.example. 300 A 192.0.2.66' || status=$?
update 'update add a.example. 300 CNAME b.example.' || status=$?
expect "exit status of nsupdate" 0 "$status"
wait_for is_at 0 3
expect "records of YADIFA" "a.example. A 192.0.2.9,alias.example. CNAME a.example." "$(records 0)"
expect "what its IXFR adds" "a.example. CNAME b.example.,alias.example. A 192.0.2.66" \
    "$(ask 0 IXFR=1 example. | awk '$4 != "SOA" { print $1, $4, $5 }' | sort | paste -s -d ,)"
for i in 1 2; do wait_for is_at "$i" 3; done
expect "records of BIND" "a.example. A 192.0.2.9,alias.example. CNAME a.example." "$(records 1)"
expect "records of NSD" \
    "a.example. A 192.0.2.9,a.example. CNAME b.example.,alias.example. A 192.0.2.66,alias.example. CNAME a.example." \
    "$(records 2)"
expect "NSD, asked for an address of alias" 192.0.2.66 "$(ask 2 +short alias.example. A)"
sleep 6
grep -h -e 'CNAME and other data' -e 'beside CNAME' "$WORK/bind/log" "$WORK/knot/out" | sort -u -k 2 | head -n 4
expect "Knot, some tries later: serial" 1 "$(ask 3 +short example. SOA | cut -d ' ' -f 3)"
expect "Knot: whole transfers since the beginning" 1 "$(grep -c 'AXFR, incoming.*finished' "$WORK/knot/out")"
