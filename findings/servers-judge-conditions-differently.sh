#!/usr/bin/env bash
# PowerDNS and YADIFA judge conditions of an update in ways of their own: one value for another, one name for a free one.
#
# Guess:    a condition holds or not by what is written in RFC 2136: a name without records of its own is not in use, even with
#           names below it (2.4.4); values are compared as an RRset (2.4.2), strings with their case (1.1.1) and names without
#           it (1.1.2). What a server finds by a condition it finds by a deletion too.
# Seen:     whether an update is done, where the zone has deep.inner, a TXT record "Token" and the MX target "Mail":
#                                                              BIND   Knot   YADIFA   PowerDNS
#             if "inner" is not in use                         yes    yes    no       yes
#             if "inner" is in use                             no     no     yes      no
#             if the TXT record is "token"                     no     no     no       yes
#             if the MX record is "10 mail"                    yes    yes    yes      yes
#             if an address is 192.0.2.7, written twice        no     yes    yes      no
#             deletion of the MX record "10 mail"              yes    yes    yes      no
#             deletion of the TXT record "token"               no     no     no       no
#           A deletion that is not done is answered by NOERROR.
# Versions: BIND 9.18.49, Knot 3.2.6, YADIFA 2.6.4, PowerDNS 4.7.3 with gsqlite3 (Debian 12).
# Matters:  a tool that registers a name only if it is free fails on YADIFA for each name that has names below it; two tools that
#           take turns by a token in a TXT record may both find theirs on PowerDNS, and a mail server that was taken out by another
#           spelling of its name stays in its zone. Write names as the zone has them, and tokens that differ in more than case.

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

unpack bind9=1:9.18.49-1~deb12u3 knot=3.2.6-1 yadifa=2.6.4-1 pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
    libboost-program-options1.74.0 libbrotli1 libcurl4 libldap-2.5-0 libluajit-5.1-2 libpsl5 librtmp1 libsasl2-2 \
    libsodium23 libsqlite3-0 libssh2-1 \
    libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

mkdir -p "$WORK/bind" "$WORK/knot" "$WORK/pdns" "$WORK/yadifa/log" "$WORK/yadifa/xfr" "$WORK/yadifa/keys"
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' 'one A 192.0.2.7' \
    'deep.inner A 192.0.2.9' 'text TXT "Token"' 'mx MX 10 Mail' 'Mail A 192.0.2.2' >"$WORK/zone"
cp "$WORK/zone" "$WORK/bind/zone"
cp "$WORK/zone" "$WORK/knot/zone"
cp "$WORK/zone" "$WORK/yadifa/zone"
cat >"$WORK/bind/named.conf" <<END
options {
    directory "$WORK/bind";
    session-keyfile "$WORK/bind/session.key";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
};
controls { };
zone "example" { type primary; file "zone"; allow-update { 127.0.0.1; }; };
END
cat >"$WORK/knot/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: 127.0.0.1@$((PORT + 1))
database:
    storage: "$WORK/knot"
acl:
  - id: update
    address: 127.0.0.1
    action: update
zone:
  - domain: example
    file: "$WORK/knot/zone"
    acl: update
END
cat >"$WORK/yadifa/yadifad.conf" <<END
<main>
    daemon off
    datapath "$WORK/yadifa"
    logpath "$WORK/yadifa/log"
    pidfile "$WORK/yadifa/yadifad.pid"
    xfrpath "$WORK/yadifa/xfr"
    keyspath "$WORK/yadifa/keys"
    listen 127.0.0.1 port $((PORT + 2))
    allow-query any
    allow-update any
    queries-log-type 0
</main>
<zone>
    domain example.
    type primary
    file zone
    allow-update any
</zone>
END
cat >"$WORK/pdns/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/pdns/db
local-address=127.0.0.1:$((PORT + 3))
socket-dir=$WORK/pdns
dnsupdate=yes
allow-dnsupdate-from=127.0.0.0/8
query-cache-ttl=0
cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
END
python3 - "$WORK" <<END
import sqlite3, sys
with open(sys.argv[1] + "/root/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql") as schema:
    sqlite3.connect(sys.argv[1] + "/pdns/db").executescript(schema.read())
END
pdnsutil --config-dir="$WORK/pdns" load-zone example "$WORK/zone" >"$WORK/util" 2>&1

# Asks one of the servers, by its number, for a name and a type; prints the answers' data.
ask() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +short +time=3 +tries=1 "$2.example." "$3"
}

# Tells whether a server gives the zone.
gives() {
    [[ $(ask "$1" one A) == 192.0.2.7 ]]
}

# Sends one update to a server, its lines in their order.
update() {
    local server=$1
    printf '%s\n' "server 127.0.0.1 $((PORT + server))" 'zone example.' "${@:2}" send | nsupdate -v >"$WORK/said" 2>&1
}

# Prints for each server whether an update with these conditions is done.
holds() {
    local server done
    TRIED=$((TRIED + 1))
    for server in 0 1 2 3; do
        update "$server" "$@" "update add try$TRIED.example. 300 A 192.0.2.8" || true
        done=no
        if [[ -n $(ask "$server" "try$TRIED" A) ]]; then done=yes; fi
        echo "$done"
    done | paste -s -d ' '
}

# Prints for each server whether it deletes a record, which is that of a name and a type in other words; NOERROR or not.
deletes() {
    local server done
    for server in 0 1 2 3; do
        done=refused
        if update "$server" "update delete $1.example. $2 $3"; then
            done=yes
            if [[ -n $(ask "$server" "$1" "$2") ]]; then done=no; fi
        fi
        echo "$done"
    done | paste -s -d ' '
}

named -v
knotd --version
yadifad --version 2>&1 | sed -n 1p
named -f -c "$WORK/bind/named.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
yadifad -c "$WORK/yadifa/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
PIDS+=($!)
pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
PIDS+=($!)
for server in 0 1 2 3; do wait_for gives "$server"; done

TRIED=0
expect "if inner is not in use" "yes yes no yes" "$(holds 'prereq nxdomain inner.example.')"
TRIED=1
expect "if inner is in use" "no no yes no" "$(holds 'prereq yxdomain inner.example.')"
TRIED=2
expect "if the TXT record is token" "no no no yes" "$(holds 'prereq yxrrset text.example. TXT "token"')"
TRIED=3
expect "if the TXT record is other" "no no no no" "$(holds 'prereq yxrrset text.example. TXT "other"')"
TRIED=4
expect "if the MX record is 10 mail" "yes yes yes yes" "$(holds 'prereq yxrrset mx.example. MX 10 mail.example.')"
TRIED=5
expect "if an address, written twice" "no yes yes no" \
    "$(holds 'prereq yxrrset one.example. A 192.0.2.7' 'prereq yxrrset one.example. A 192.0.2.7')"
expect "deletion of the MX record 10 mail" "yes yes yes no" "$(deletes mx MX '10 mail.example.')"
expect "deletion of the TXT record token" "no no no no" "$(deletes text TXT '"token"')"
expect "deletion of the TXT record Token" "yes yes yes yes" "$(deletes text TXT '"Token"')"
