#!/usr/bin/env bash
# A zone file with a TTL above 2147483647 has another TTL at each server, and all checkers say OK.
#
# Guess:    such a TTL is an error, or is 0 as RFC 2181, 8 has it for a TTL that comes with its highest bit set.
# Seen:     what is served for      2147483647    2147483648     4294967295
#             BIND                  2147483647    0              0
#             NSD                   2147483647    3600           3600          without a word
#             Knot                  2147483647    2147483648     4294967295
#             YADIFA                SERVFAIL: the zone is not loaded
#             PowerDNS              2147483647    -2147483648    -1            (zone2json)
#             ldns                  2147483647    2147483648     4294967295
#           named-checkzone, nsd-checkzone and kzonecheck exit with 0; the first says that it sets 0. As secondaries of Knot
#           BIND and NSD pass 2147483648 and 4294967295 on, which neither of them does from a file.
# Versions: BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, YADIFA 2.6.4, PowerDNS' zone2json 4.7.3, ldns 1.8.3 (Debian 12).
# Matters:  a generator that writes "for ever", or counts below zero, makes a record that some servers of the zone say may not
#           be kept at all, which is a sign of fast flux, and others that it may for an hour or for decades. Keep TTLs low.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 yadifa=2.6.4-1 pdns-tools=4.7.3-2 ldnsutils=1.8.3-1+b1 \
    libldns3=1.8.3-1+b1 knot-dnssecutils=3.2.6-1 bind9-utils=1:9.18.49-1~deb12u3 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 77' '@ NS ns' 'ns A 192.0.2.1' \
    'a 2147483647 A 192.0.2.10' 'b 2147483648 A 192.0.2.11' 'c 4294967295 A 192.0.2.12' >"$WORK/zone"
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
remote-control:
    control-enable: no
zone:
    name: example.
    zonefile: zone
    provide-xfr: 127.0.0.1 NOKEY
END
mkdir "$WORK/bind-secondary" "$WORK/nsd-secondary"
sed "s|$WORK/bind|&-secondary|; s|port $PORT|port $((PORT + 4))|; s|type primary; file .*|type secondary; file \"example\"; \
    primaries { 127.0.0.1 port $((PORT + 2)); }; };|" "$WORK/named.conf" >"$WORK/bind-secondary.conf"
sed "s|$WORK/nsd|&-secondary|; s|@$((PORT + 1))|@$((PORT + 5))|; s|zonefile: zone|zonefile: nsd-secondary/zone|; \
    s|    provide-xfr.*|&\n    request-xfr: 127.0.0.1@$((PORT + 2)) NOKEY|" "$WORK/nsd.conf" >"$WORK/nsd-secondary.conf"
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

# Tells whether a server gives the zone, or answers that it has none.
is_up() {
    dig @127.0.0.1 -p "$((PORT + $1))" +norecurse +time=1 +tries=1 SOA example. | grep -q status:
}

named -f -c "$WORK/named.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
yadifad -c "$WORK/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
PIDS+=($!)
wait_for is_up 2
named -f -c "$WORK/bind-secondary.conf" -L "$WORK/bind-secondary/log" >"$WORK/bind-secondary/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd-secondary.conf" >"$WORK/nsd-secondary/out" 2>&1 &
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

# Prints the TTLs that a reader gives: of ns, a, b and c.
ttls() {
    "$@" | sort -t . -k 4n | awk '{ printf "%s ", $1 }' | sed 's/ $//'
}

# Tells whether a server transfers the zone.
is_given() {
    [[ -n $(transfer "$1") ]]
}

for i in 0 1 2 3; do wait_for is_up "$i"; done
for i in 4 5; do wait_for is_given "$i"; done
expect BIND "300 2147483647 0 0" "$(ttls transfer 0)"
expect NSD "300 2147483647 3600 3600" "$(ttls transfer 1)"
expect Knot "300 2147483647 2147483648 4294967295" "$(ttls transfer 2)"
expect YADIFA SERVFAIL \
    "$(dig @127.0.0.1 -p "$((PORT + 3))" +norecurse SOA example. | awk '/status:/ { sub(",", "", $6); print $6 }')"
expect PowerDNS "300 2147483647 -2147483648 -1" "$(ttls convert)"
expect ldns "300 2147483647 2147483648 4294967295" "$(ttls read_by_ldns)"
expect "BIND as a secondary of Knot" "300 2147483647 2147483648 4294967295" "$(ttls transfer 4)"
expect "NSD as a secondary of Knot" "300 2147483647 2147483648 4294967295" "$(ttls transfer 5)"
for checker in 'named-checkzone example' 'nsd-checkzone example' 'kzonecheck -o example'; do
    read -ra words <<<"$checker"
    expect "exit status of ${words[0]}" 0 "$("${words[@]}" "$WORK/zone" >"$WORK/out" 2>&1 && echo 0)"
    sed "s|$WORK/||g; s/^/    /" "$WORK/out"
done
