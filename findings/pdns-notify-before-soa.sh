#!/usr/bin/env bash
# PowerDNS notifies before its own SOA answer is the new one.
#
# Guess:    when a NOTIFY arrives, the primary that sent it answers an SOA query with the new serial.
# Seen:     after `pdns_control notify` the NOTIFY leaves while PowerDNS still answers with the SOA of
#           its packet cache and query cache (`cache-ttl`, `query-cache-ttl`), here for 20 s. A client
#           that looks once sees the old serial.
# Versions: PowerDNS 4.7.3 (Debian 12), gsqlite3.
# Matters:  the change waits until the next poll by schedule. Look again after some 30 seconds, or set
#           `query-cache-ttl=0` and `cache-ttl=0` at the primary.

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
also-notify=127.0.0.1:$((PORT + 1))
only-notify=
zone-cache-refresh-interval=0
END
python3 - "$WORK" <<END
import sqlite3, sys
with open(sys.argv[1] + "/root/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql") as schema:
    sqlite3.connect(sys.argv[1] + "/db").executescript(schema.read())
END

# Takes the first NOTIFY, asks its sender for the SOA at once and then each second; prints what was said.
cat >"$WORK/listen.py" <<'END'
import socket, struct, sys, time

def ask_serial(port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.sendto(struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\x07example\0" + struct.pack("!2H", 6, 1), ("127.0.0.1", port))
        return struct.unpack("!5I", client.recv(512)[-20:])[0]

port = int(sys.argv[1])
listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind(("127.0.0.1", port + 1))
listener.settimeout(60)
print("asks", ask_serial(port), flush=True)
message, sender = listener.recvfrom(512)
arrived = time.monotonic()
listener.sendto(message[:2] + struct.pack("!H", 0xa400) + message[4:], sender)
serial = ask_serial(port)
print("notify", serial, flush=True)
while ask_serial(port) == serial and time.monotonic() - arrived < 60:
    time.sleep(1)
print("new", ask_serial(port), round(time.monotonic() - arrived), flush=True)
END

# Runs pdnsutil on this configuration.
util() {
    pdnsutil --config-dir="$WORK" "$@" >/dev/null 2>&1
}

# Asks the server for the serial.
serial() {
    dig "@127.0.0.1" -p "$PORT" +short +norec +time=2 +tries=1 example. SOA | cut -d ' ' -f 3
}

# Tells whether the server gives the zone.
is_up() {
    [[ $(serial) == 5 ]]
}

{ pdns_server --version 2>&1 || true; } | sed -n 1p
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' 'www A 192.0.2.10' \
    >"$WORK/zone"
util load-zone example "$WORK/zone"
util set-kind example primary
pdns_server --config-dir="$WORK" >"$WORK/log" 2>&1 &
PIDS+=($!)
wait_for is_up
python3 "$WORK/listen.py" "$PORT" >"$WORK/heard" &
listener=$!
PIDS+=("$listener")
sleep 1
util increase-serial example
pdns_control --socket-dir="$WORK" notify example
wait "$listener"
cat "$WORK/heard"
expect "serial in the database" 6 "$(pdnsutil --config-dir="$WORK" list-zone example 2>&1 | awk '$4 == "SOA" { print $7 }')"
expect "SOA before the change" "asks 5" "$(sed -n 1p "$WORK/heard")"
expect "SOA when the NOTIFY arrives" "notify 5" "$(sed -n 2p "$WORK/heard")"
expect "SOA in the end" "new 6" "$(sed -n 3p "$WORK/heard" | cut -d ' ' -f 1,2)"
expect "more than five seconds later" 1 "$(sed -n 3p "$WORK/heard" | awk '{ print ($3 > 5) }')"
