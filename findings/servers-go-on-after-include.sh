#!/usr/bin/env bash
# What holds in a zone file after `$INCLUDE`, each server answers in its own way.
#
# Guess:    the included file ends, and origin, owner and TTL are again those of before (RFC 1035, 5.1 says so of the
#           origin), or all of them are those of the included file, as if its text stood there.
# Seen:     the included file has `$TTL 50`, a record of its own, and `$ORIGIN deep.example.`. What the lines after it get:
#                       TTL   a line without owner   the name "after"
#             BIND      50    the one before         after.example.
#             NSD       50    the included one       after.example.
#             Knot      300   the one before         after.example.
#             YADIFA    50    the included one       after.deep.example.
#             PowerDNS  50    the included one       after.deep.example.
#           `$INCLUDE file sub.example.` reads the file below sub.example. everywhere but in PowerDNS, which passes over
#           that origin: the records stand below the origin of before.
# Versions: BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, YADIFA 2.6.4, PowerDNS' zone2json 4.7.3 (Debian 12).
# Matters:  one file served by two servers is two zones: an address belongs to another name, or a name moves below
#           another. After each `$INCLUDE` write `$ORIGIN`, `$TTL` and an owner.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 yadifa=2.6.4-1 pdns-tools=4.7.3-2 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

printf '%s\n' "\$TTL 50" "\$ORIGIN deep.example." 'inner A 192.0.2.20' >"$WORK/first"
printf '%s\n' 'second A 192.0.2.30' >"$WORK/second"
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' 'before A 192.0.2.2' \
    "\$INCLUDE $WORK/first" ' A 192.0.2.3' 'after A 192.0.2.4' \
    "\$ORIGIN example." "\$INCLUDE $WORK/second sub.example." >"$WORK/zone"
mkdir "$WORK/bind" "$WORK/nsd" "$WORK/knot" "$WORK/yadifa"
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
    allow-transfer { 127.0.0.1; };
};
controls { };
zone "example" { type primary; file "$WORK/zone"; };
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
zone:
    name: example.
    zonefile: zone
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
    action: transfer
zone:
  - domain: example.
    file: "$WORK/zone"
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
    allow-transfer any
</main>
<zone>
    domain example.
    type primary
    file zone
    allow-transfer any
</zone>
END

named -f -c "$WORK/named.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
yadifad -c "$WORK/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
PIDS+=($!)

# Takes the zone from a port above the first one: TTL, last number of the address and owner of each A record.
transfer() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +time=2 +tries=1 AXFR example. |
        awk '$4 == "A" { sub(/.*\./, "", $5); print $5, $2, $1 }' | sort -n
}

# The same from PowerDNS' own reader of zone files.
convert() {
    echo "zone \"example\" { type master; file \"$WORK/zone\"; };" >"$WORK/zone2json.conf"
    zone2json --named-conf="$WORK/zone2json.conf" 2>/dev/null | python3 -c '
import json, sys
zones, _ = json.JSONDecoder().raw_decode(sys.stdin.read())
for record in zones[0]["records"]:
    if record["type"] == "A":
        print(record["content"].split(".")[-1], record["ttl"], record["name"])' | sort -n
}

# Prints TTL and owner of the address with a last number.
of() {
    awk -v last="$1" '$1 == last { print $2, $3 }'
}

# Tells whether a server gives the zone.
is_up() {
    [[ -n $(transfer "$1") ]]
}

for i in 0 1 2 3; do wait_for is_up "$i"; done
# Compares what a reader made of the three lines.
compare() {
    local records
    records=$("${@:5}")
    expect "$1: the line without owner" "$2" "$(of 3 <<<"$records")"
    expect "$1: the name after" "$3" "$(of 4 <<<"$records")"
    expect "$1: the name in the second file" "$4" "$(of 30 <<<"$records" | cut -d ' ' -f 2)"
}
compare BIND "50 before.example." "50 after.example." second.sub.example. transfer 0
compare NSD "50 inner.deep.example." "50 after.example." second.sub.example. transfer 1
compare Knot "300 before.example." "300 after.example." second.sub.example. transfer 2
compare YADIFA "50 inner.deep.example." "50 after.deep.example." second.sub.example. transfer 3
compare PowerDNS "50 inner.deep.example." "50 after.deep.example." second.example. convert
