#!/usr/bin/env bash
# NSD signs each message of a transfer.
#
# Guess:    NSD signs the first message, then each 96th or so, and the last one, as RFC 8945 allows.
# Seen:     each message of the AXFR has a TSIG record. (121 of 121 here).
# Versions: NSD 4.6.1 (Debian 12); dnspython 2.9.2 (PyPI) signs the query.
# Matters:  a client that was tried with NSD alone has never met an unsigned message between signed
#           ones: it is not tried for servers that make use of the rule.

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

unpack nsd=4.6.1-1 libevent-2.1-7 libfstrm0 libprotobuf-c1 libssl3
install dnspython==2.9.2
readonly SECRET=bm90IGEgc2VjcmV0LCBqdXN0IGEgdGVzdCBrZXkuLi4=

{
    printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1'
    for ((i = 0; i < 40000; i++)); do echo "name-of-a-host-$i AAAA 2001:db8::$((i % 9999))"; done
} >"$WORK/zone"
cat >"$WORK/nsd.conf" <<END
server:
    ip-address: 127.0.0.1@$PORT
    username: ""
    server-count: 1
    database: ""
    pidfile: "$WORK/nsd.pid"
    logfile: "$WORK/log"
    zonesdir: "$WORK"
    zonelistfile: "$WORK/zone.list"
    xfrdfile: "$WORK/xfrd.state"
    xfrdir: "$WORK"
key:
    name: key.example.
    algorithm: hmac-sha256
    secret: "$SECRET"
zone:
    name: example.
    zonefile: zone
    provide-xfr: 127.0.0.1 key.example.
END

# Takes the zone and counts messages and those that have a TSIG record (the one record of their additional part).
cat >"$WORK/take.py" <<'END'
import socket, struct, sys
import dns.message, dns.tsigkeyring

query = dns.message.make_query("example.", "AXFR")
query.use_tsig(dns.tsigkeyring.from_text({"key.example.": sys.argv[2]}))
messages = signed = records = 0
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as client:
    wire = query.to_wire()
    client.sendall(struct.pack("!H", len(wire)) + wire)
    stream = client.makefile("rb")
    while records < int(sys.argv[3]):
        message = stream.read(struct.unpack("!H", stream.read(2))[0])
        messages += 1
        records += struct.unpack("!H", message[6:8])[0]
        signed += struct.unpack("!H", message[10:12])[0] == 1
print(messages, signed)
END

nsd -v 2>&1 | sed -n 1p
nsd -d -c "$WORK/nsd.conf" >"$WORK/out" 2>&1 &
PIDS+=($!)

# Takes the zone; 40,004 records: SOA twice, NS, A and the hosts.
take() {
    python3 "$WORK/take.py" "$PORT" "$SECRET" 40004
}
wait_for take
read -r messages signed < <(take)
echo "$messages messages, $signed of them signed"
expect "more than 10 messages" 1 "$((messages > 10))"
expect "messages without a signature" 0 "$((messages - signed))"
