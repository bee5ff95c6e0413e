#!/usr/bin/env bash
# Servers transfer a zone whose ZONEMD digest is right in a form for which it is wrong, each in its own way.
#
# Guess:    a digest that is right for the file is right for the transfer, since canonical form (RFC 8976, 3.3) evens out what
#           a server may change, such as the case of names.
# Seen:     whether the digest of the same file, made by ldns-signzone, is right:
#                                                      plain   RRset of two TTLs   target of HTTPS in capitals
#             transferred by BIND                      yes     no                  yes
#             transferred by NSD                       yes     yes                 no
#             transferred by Knot                      yes     no                  yes
#             transferred by PowerDNS                  yes     yes                 yes
#             the file itself, by pdnsutil             yes     no                  no
#             the file itself, by dnspython            yes     no                  yes
#           BIND, Knot and dnspython give the RRset one TTL (RFC 2181, 5.2 wants that; none refuses several). NSD lowers the
#           target of HTTPS, whose case counts (it is not among the types of RFC 4034, 6.2): the signature of that record is
#           wrong too; so it is with SVCB. YADIFA knows no ZONEMD and answers for such a zone file with SERVFAIL.
# Versions: BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, YADIFA 2.6.4, PowerDNS 4.7.3, ldns 1.8.3 (Debian 12), dnspython 2.9.2 (PyPI).
# Matters:  whoever verifies the digest refuses each version from this primary, as if the copy were broken, and takes it from
#           the other. Give an RRset one TTL, and write targets of HTTPS and SVCB in small letters, before the digest is made.

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

# Installs PyPI packages into an environment of their own in the work folder.
install() {
    if ! { python3 -m venv "$WORK/venv" && "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }; then
        echo "not tried: a package cannot be installed from PyPI" >&2
        exit 2
    fi
    export PATH="$WORK/venv/bin:$PATH"
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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 yadifa=2.6.4-1 pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
    ldnsutils=1.8.3-1+b1 libldns3=1.8.3-1+b1 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    libboost-program-options1.74.0 libbrotli1 libcurl4 libldap-2.5-0 libluajit-5.1-2 libpsl5 librtmp1 libsasl2-2 \
    libsodium23 libsqlite3-0 libssh2-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2
install dnspython==2.9.2

mkdir "$WORK/zones" "$WORK/bind" "$WORK/nsd" "$WORK/knot" "$WORK/yadifa" "$WORK/pdns"

# Writes a zone of these records, with its digest; signed too, where a key is in KEYS.
KEYS=()
write_zone() {
    local zone=$1
    shift
    printf '%s\n' "\$ORIGIN $zone." '@ 300 IN SOA ns hostmaster 1 3600 600 86400 300' '@ 300 IN NS ns' 'ns 300 IN A 192.0.2.1' \
        "$@" >"$WORK/plain"
    ldns-signzone -ZZ -z sha384 -o "$zone" -f "$WORK/zones/$zone" "$WORK/plain" "${KEYS[@]}"
}

write_zone plain 'a 300 IN A 192.0.2.2' 'a 300 IN A 192.0.2.3' 'web 300 IN HTTPS 1 target.test. alpn=h2'
write_zone ttls 'a 100 IN A 192.0.2.2' 'a 200 IN A 192.0.2.3' 'web 300 IN HTTPS 1 target.test. alpn=h2'
write_zone capitals 'a 300 IN A 192.0.2.2' 'a 300 IN A 192.0.2.3' 'web 300 IN HTTPS 1 Target.TEST. alpn=h2'
KEYS=("$WORK/$(cd "$WORK" && ldns-keygen -k -a ECDSAP256SHA256 signed)")
write_zone signed 'a 300 IN A 192.0.2.2' 'a 300 IN A 192.0.2.3' 'web 300 IN HTTPS 1 Target.TEST. alpn=h2'
ZONES=(plain ttls capitals signed)

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
$(for zone in "${ZONES[@]}"; do echo "zone \"$zone\" { type primary; file \"$WORK/zones/$zone\"; };"; done)
END
cat >"$WORK/nsd.conf" <<END
server:
    ip-address: 127.0.0.1@$((PORT + 1))
    username: ""
    server-count: 1
    database: ""
    pidfile: "$WORK/nsd/pid"
    zonesdir: "$WORK/zones"
    zonelistfile: "$WORK/nsd/zone.list"
    xfrdfile: "$WORK/nsd/xfrd.state"
    xfrdir: "$WORK/nsd"
pattern:
    name: all
    zonefile: "%s"
    provide-xfr: 127.0.0.1 NOKEY
$(for zone in "${ZONES[@]}"; do printf 'zone:\n    name: %s\n    include-pattern: all\n' "$zone"; done)
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
template:
  - id: default
    storage: "$WORK/zones"
    file: "%s"
    zonefile-sync: -1
    acl: local
zone:
$(for zone in "${ZONES[@]}"; do echo "  - domain: $zone."; done)
END
cat >"$WORK/pdns/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/pdns/db
local-address=127.0.0.1:$((PORT + 3))
socket-dir=$WORK/pdns
END
python3 - "$WORK" <<END
import sqlite3, sys
with open(sys.argv[1] + "/root/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql") as schema:
    sqlite3.connect(sys.argv[1] + "/pdns/db").executescript(schema.read())
END
for zone in plain ttls capitals; do
    pdnsutil --config-dir="$WORK/pdns" load-zone "$zone" "$WORK/zones/$zone" >"$WORK/util" 2>&1
done
cat >"$WORK/yadifad.conf" <<END
<main>
    daemon off
    datapath "$WORK/zones"
    logpath "$WORK/yadifa"
    pidfile "$WORK/yadifa/pid"
    xfrpath "$WORK/yadifa"
    keyspath "$WORK/yadifa"
    listen 127.0.0.1 port $((PORT + 4))
    allow-query any
    allow-transfer any
</main>
<zone>
    domain plain.
    type primary
    file plain
</zone>
END

named -f -c "$WORK/named.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
PIDS+=($!)
yadifad -c "$WORK/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
PIDS+=($!)

# Takes a zone from a port above the first one, without the SOA record at its end.
transfer() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +time=2 +tries=1 AXFR "$2." | grep -v '^;' | sed '$d' >"$WORK/got"
    [[ -s $WORK/got ]]
}

# Tells what ldns finds wrong with a zone that came: signatures, then the digest.
verify() {
    transfer "$1" "$2"
    ldns-verify-zone -Z "$WORK/got" 2>&1 | grep -o -e 'Bogus DNSSEC signature.*' -e 'No ZONEMD matching.*' | tr '\t' ' ' || true
}

# Prints for each zone whether a command succeeds with it.
each() {
    local zone
    for zone in plain ttls capitals; do if "$@" "$zone" >/dev/null 2>&1; then echo yes; else echo no; fi; done | paste -s -d ' '
}

# Tells whether the digest of a zone is right as a server transfers it.
is_right() {
    [[ -z $(verify "$1" "$2") ]]
}

# The same of the file, by two checkers.
check_by_pdnsutil() {
    pdnsutil --config-dir="$WORK/pdns" zonemd-verify-file "$1" "$WORK/zones/$1"
}
check_by_dnspython() {
    python3 -c '
import sys, dns.zone
dns.zone.from_file(sys.argv[2], origin=sys.argv[1], relativize=False).verify_digest()' "$1" "$WORK/zones/$1"
}

for i in 0 1 2 3; do wait_for transfer "$i" plain; done
expect "the digest of the file, by ldns" "Zone is verified and complete" "$(ldns-verify-zone -Z "$WORK/zones/ttls")"
expect "plain, two TTLs, capitals: by BIND" "yes no yes" "$(each is_right 0)"
expect "by NSD" "yes yes no" "$(each is_right 1)"
expect "by Knot" "yes no yes" "$(each is_right 2)"
expect "by PowerDNS" "yes yes yes" "$(each is_right 3)"
expect "the file by pdnsutil" "yes no no" "$(each check_by_pdnsutil)"
expect "the file by dnspython" "yes no yes" "$(each check_by_dnspython)"
expect "the TTLs by BIND" "100 100" "$(transfer 0 ttls && awk '$1 == "a.ttls." { print $2 }' "$WORK/got" | paste -s -d ' ')"
expect "the TTLs by Knot" "200 200" "$(transfer 2 ttls && awk '$1 == "a.ttls." { print $2 }' "$WORK/got" | paste -s -d ' ')"
expect "the target by NSD" target.test. "$(transfer 1 capitals && awk '$4 == "HTTPS" { print $6 }' "$WORK/got")"
expect "what is wrong with the signed zone by BIND" "" "$(verify 0 signed)"
expect "with the one by NSD" "Bogus DNSSEC signature for web.signed. HTTPS,No ZONEMD matching the zone data was found" \
    "$(verify 1 signed | paste -s -d ,)"

# Tells whether YADIFA answers that it does not have the zone.
fails() {
    [[ $(dig "@127.0.0.1" -p "$((PORT + 4))" +time=1 +tries=1 SOA plain. | grep -o 'status: [A-Z]*') == "status: SERVFAIL" ]]
}
wait_for fails
expect "YADIFA" UNKNOWN_DNS_TYPE "$(grep -m 1 -o 'UNKNOWN_DNS_TYPE' "$WORK/yadifa/out")"
