#!/usr/bin/env bash
# A zone file that leaves TTLs out, or gives an RRset several, has other TTLs at each server.
#
# Guess:    a record without a TTL has the last TTL that was written (RFC 1035, 5.1), or the minimum of the SOA record
#           where there was none; an RRset whose records have several TTLs gets the lowest (RFC 2181, 5.2), or is refused.
# Seen:     no `$TTL`, an SOA record with a minimum of 77 and no TTL of its own; an RRset with 200, 100 and 150:
#                       before any TTL   200, 100, 150     after them
#             BIND      77               200, 200, 200     77
#             NSD       3600             200, 100, 150     3600
#             Knot      3600             150, 150, 150     3600
#             YADIFA    77               150, 150, 150     77
#             PowerDNS  3600             200, 100, 150     150
#             ldns      3600             200, 100, 150     150
#           None has the lowest, none refuses, and NSD transfers an RRset with three TTLs.
# Versions: BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, YADIFA 2.6.4, PowerDNS' zone2json 4.7.3, ldns 1.8.3 (Debian 12).
# Matters:  one file served by two servers has two sets of TTLs: a mirror sees a change each time that it turns from one to
#           the other, or a short TTL that nobody wrote. Write `$TTL` at the top, and one TTL for an RRset.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 yadifa=2.6.4-1 pdns-tools=4.7.3-2 ldnsutils=1.8.3-1+b1 libldns3=1.8.3-1+b1 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

printf '%s\n' '@ SOA ns hostmaster 5 3600 600 86400 77' '@ NS ns' 'ns A 192.0.2.1' \
    'a 200 A 192.0.2.10' 'a 100 A 192.0.2.11' 'a 150 A 192.0.2.12' 'b A 192.0.2.20' >"$WORK/zone"
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

# Takes the zone from a port above the first one: TTL and address of each A record.
transfer() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +time=2 +tries=1 AXFR example. | awk '$4 == "A" { print $2, $5 }'
}

# The same from PowerDNS' own reader of zone files.
convert() {
    echo "zone \"example\" { type master; file \"$WORK/zone\"; };" >"$WORK/zone2json.conf"
    zone2json --named-conf="$WORK/zone2json.conf" 2>/dev/null | python3 -c '
import json, sys
zones, _ = json.JSONDecoder().raw_decode(sys.stdin.read())
for record in zones[0]["records"]:
    if record["type"] == "A":
        print(record["ttl"], record["content"])'
}

# The same from ldns.
read_by_ldns() {
    (echo "\$ORIGIN example."; cat "$WORK/zone") >"$WORK/with-origin"
    ldns-read-zone "$WORK/with-origin" | awk '$4 == "A" { print $2, $5 }'
}

# Prints the TTLs that a reader gives: of ns, of the three of a, of b.
ttls() {
    "$@" | sort -t . -k 4n | awk '{ printf "%s ", $1 }' | sed 's/ $//'
}

# Tells whether a server gives the zone.
is_up() {
    [[ -n $(transfer "$1") ]]
}

for i in 0 1 2 3; do wait_for is_up "$i"; done
expect BIND "77 200 200 200 77" "$(ttls transfer 0)"
expect NSD "3600 200 100 150 3600" "$(ttls transfer 1)"
expect Knot "3600 150 150 150 3600" "$(ttls transfer 2)"
expect YADIFA "77 150 150 150 77" "$(ttls transfer 3)"
expect PowerDNS "3600 200 100 150 150" "$(ttls convert)"
expect ldns "3600 200 100 150 150" "$(ttls read_by_ldns)"
