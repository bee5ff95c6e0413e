#!/usr/bin/env bash
# pdnsutil changes a zone and leaves its serial as it was.
#
# Guess:    `pdnsutil add-record`, `replace-rrset` and `delete-rrset` raise the serial, as PowerDNS'
#           HTTP API does by default.
# Seen:     queries and AXFR give the new records at once, under the old serial. No NOTIFY follows:
#           secondaries are told when somebody runs `pdnsutil increase-serial`.
# Versions: PowerDNS 4.7.3 (Debian 12), gsqlite3.
# Matters:  a mirror that goes by the serial never asks, and its copy differs for as long. Run
#           `pdnsutil increase-serial ZONE` after each edit; compare with a whole transfer now and then.

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

unpack pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 libboost-program-options1.74.0 libbrotli1 libcurl4 \
    libldap-2.5-0 libluajit-5.1-2 libpsl5 librtmp1 libsasl2-2 libsodium23 libsqlite3-0 libssh2-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

cat >"$WORK/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/db
gsqlite3-dnssec=yes
local-address=127.0.0.1:$PORT
socket-dir=$WORK
allow-axfr-ips=127.0.0.0/8
primary=yes
query-cache-ttl=0
cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
END
python3 - "$WORK" <<END
import sqlite3, sys
with open(sys.argv[1] + "/root/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql") as schema:
    sqlite3.connect(sys.argv[1] + "/db").executescript(schema.read())
END

# Runs pdnsutil on this configuration.
util() {
    pdnsutil --config-dir="$WORK" "$@" 2>&1
}

# Asks the server and prints answers alone.
ask() {
    dig "@127.0.0.1" -p "$PORT" +noall +answer +nocmd +time=2 +tries=1 "$@"
}

# Tells whether the server gives this address for www.
gives() {
    [[ $(ask +short www.example. A) == "$1" ]]
}

# Prints the serial of the zone.
serial() {
    ask +short example. SOA | cut -d ' ' -f 3
}

{ pdns_server --version 2>&1 || true; } | sed -n 1p
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' 'www A 192.0.2.10' \
    'old A 192.0.2.66' >"$WORK/zone"
util load-zone example "$WORK/zone"
pdns_server --config-dir="$WORK" >"$WORK/log" 2>&1 &
PIDS+=($!)
wait_for gives 192.0.2.10

util replace-rrset example www A 300 192.0.2.11 >/dev/null
wait_for gives 192.0.2.11
expect "serial after replace-rrset" 5 "$(serial)"
util add-record example new A 300 192.0.2.12 >/dev/null
util delete-rrset example old A >/dev/null
expect "serial after add-record and delete-rrset" 5 "$(serial)"
ask AXFR example. | tee "$WORK/axfr"
expect "the three changes in AXFR" "new.example. 192.0.2.12 www.example. 192.0.2.11" \
    "$(awk '$1 ~ /^(new|www|old)/ { print $1, $5 }' "$WORK/axfr" | sort | xargs)"
util increase-serial example >/dev/null
expect "serial after increase-serial" 6 "$(serial)"
