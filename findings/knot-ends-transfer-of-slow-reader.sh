#!/usr/bin/env bash
# Knot ends a transfer whose reader pauses for a second, and its log does not say so.
#
# Guess:    a primary waits for a slow reader of a transfer as long as for an idle client, a minute or more, and logs one that
#           it breaks off.
# Seen:     a client takes a zone of 300,000 records, and reads nothing for two seconds after the first message. BIND, NSD and
#           YADIFA send the rest; Knot ends the connection after what was on the way, some 1 % of the zone. Its
#           `tcp-io-timeout`, the time for one message, is 500 ms where it is not set. The log has "started" for this
#           transfer, no "finished", and no word of its end. With `tcp-io-timeout: 30000` Knot sends the rest too.
# Versions: Knot 3.2.6, BIND 9.18.49, NSD 4.6.1, YADIFA 2.6.4 (Debian 12).
# Matters:  a mirror that writes to a busy disk or database while it reads never has a large zone from Knot, each try starts
#           from the beginning, and the log of the primary shows transfers that started. So does a line that needs longer
#           than half a second for a message. Read ahead into memory; set `tcp-io-timeout`.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 yadifa=2.6.4-1 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

mkdir "$WORK/bind" "$WORK/nsd" "$WORK/knot" "$WORK/patient" "$WORK/yadifa"
# More than the buffers between a server and a client that does not read.
(
    printf '%s\n' "\$ORIGIN example." "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1'
    for ((i = 0; i < 300000; i++)); do echo "host-$i A 192.0.2.$((i % 250 + 1))"; done
) >"$WORK/zone"
cp "$WORK/zone" "$WORK/yadifa/zone"

cat >"$WORK/bind.conf" <<END
options {
    directory "$WORK/bind";
    session-keyfile "$WORK/bind/session.key";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
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
cat >"$WORK/yadifad.conf" <<END
<main>
    daemon off
    datapath "$WORK/yadifa"
    logpath "$WORK/yadifa"
    pidfile "$WORK/yadifa/pid"
    xfrpath "$WORK/yadifa"
    keyspath "$WORK/yadifa"
    listen 127.0.0.1 port $((PORT + 2))
    allow-query any
    allow-transfer any
    queries-log-type 0
</main>
<zone>
    domain example.
    type primary
    file zone
    allow-transfer any
</zone>
END

# Writes Knot's configuration: its folder, its port, and a line more of its server.
configure_knot() {
    cat >"$WORK/$1.conf" <<END
server:
    rundir: "$WORK/$1"
    listen: 127.0.0.1@$2
    $3
log:
  - target: stderr
    any: info
database:
    storage: "$WORK/$1"
acl:
  - id: local
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.
    file: "$WORK/zone"
    zonefile-sync: -1
    journal-content: none
    acl: local
END
}
configure_knot knot "$((PORT + 3))" ""
configure_knot patient "$((PORT + 4))" "tcp-io-timeout: 30000"

cat >"$WORK/read.py" <<'END'
"""Transfers the zone, with a pause after the first message; prints whether all of it came, or a part."""
import socket, struct, sys, time

ALL = 300004
with socket.socket() as client:
    client.settimeout(60)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", int(sys.argv[1])))
    query = struct.pack("!6H", 7, 0, 1, 0, 0, 0) + b"\7example\0" + struct.pack("!HH", 252, 1)
    client.sendall(struct.pack("!H", len(query)) + query)
    stream = client.makefile("rb")
    records = 0
    while records < ALL:
        try:
            length = stream.read(2)
            message = stream.read(struct.unpack("!H", length)[0]) if len(length) == 2 else b""
        except ConnectionResetError:
            message = b""
        if len(message) < 12:
            break
        if not records:
            time.sleep(float(sys.argv[2]))
        records += struct.unpack("!H", message[6:8])[0]
print("all" if records == ALL else "part" if 0 < records < ALL / 2 else records)
print(f"    {records} of {ALL} records", file=sys.stderr)
END

# Tells whether a server gives the zone.
is_up() {
    [[ $(dig @127.0.0.1 -p "$((PORT + $1))" +short +norecurse +time=1 +tries=1 SOA example.) == *" 5 "* ]]
}

# Transfers from a server, with a pause of some seconds.
transfer() {
    python3 "$WORK/read.py" "$((PORT + $1))" "$2"
}

named -f -c "$WORK/bind.conf" -L "$WORK/bind/log" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
yadifad -c "$WORK/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/patient.conf" >"$WORK/patient/out" 2>&1 &
PIDS+=($!)
for i in {0..4}; do wait_for is_up "$i"; done

# Prints the words of Knot's log about transfers.
said() {
    grep -o 'AXFR, outgoing.*' "$WORK/knot/out" | grep -oE '(started|finished|failed|.*timeout)' | paste -s -d ' '
}

expect "BIND, a pause of 2 s" all "$(transfer 0 2)"
expect "NSD, a pause of 2 s" all "$(transfer 1 2)"
expect "YADIFA, a pause of 2 s" all "$(transfer 2 2)"
expect "Knot with a tcp-io-timeout of 30 s, a pause of 2 s" all "$(transfer 4 2)"
expect "Knot, a pause of 2 s" part "$(transfer 3 2)"
sleep 1
expect "words in its log" "started" "$(said)"
expect "other words in its log" "" "$(sed '0,/AXFR, outgoing/d' "$WORK/knot/out")"
expect "Knot, no pause" all "$(transfer 3 0)"
expect "words in its log" "started started finished" "$(said)"
