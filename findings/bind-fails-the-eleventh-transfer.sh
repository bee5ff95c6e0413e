#!/usr/bin/env bash
# BIND answers the eleventh transfer at a time with SERVFAIL, as if the zone were broken.
#
# Guess:    a transfer that comes while others run waits for its turn, as it does at other servers, or is refused (REFUSED).
# Seen:     ten clients take a large zone over a slow line. BIND gives an eleventh SERVFAIL at once, for a small zone too, by
#           AXFR and by IXFR from a serial that it has steps from, and goes on answering SOA queries: `transfers-out` is 10
#           where it is not set. The log says "quota reached". When one of the ten is gone, the same query gets the zone.
#           NSD gives thirty clients the large zone side by side, and the next one the small zone.
# Versions: BIND 9.18.49, NSD 4.6.1 (Debian 12).
# Matters:  a mirror of many zones, or a dozen secondaries after one NOTIFY, is told that zones are broken that are not; who
#           then waits for the retry time is behind for as long. Set `transfers-out` above what all clients take side by
#           side, and ask again soon after a SERVFAIL to a transfer whose SOA query was answered.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 \
    libevent-2.1-7 libbsd0 libcap-ng0 libedit2 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

mkdir "$WORK/bind" "$WORK/nsd"
for zone in large small; do
    printf '%s\n' "\$ORIGIN $zone." "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' \
        >"$WORK/$zone"
done
# More than the buffers between a server and a client that does not read yet.
for ((i = 0; i < 300000; i++)); do echo "host-$i A 192.0.2.$((i % 250 + 1))"; done >>"$WORK/large"
for folder in bind nsd; do cp "$WORK/large" "$WORK/small" "$WORK/$folder"; done

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
zone "large" { type primary; file "large"; };
zone "small" { type primary; file "small"; allow-update { 127.0.0.1; }; };
END
{
    cat <<END
server:
    ip-address: 127.0.0.1@$((PORT + 1))
    username: ""
    server-count: 1
    database: ""
    pidfile: "$WORK/nsd/pid"
    zonesdir: "$WORK/nsd"
    zonelistfile: "$WORK/nsd/zone.list"
    xfrdfile: "$WORK/nsd/xfrd.state"
    xfrdir: "$WORK/nsd"
remote-control:
    control-enable: no
END
    for zone in large small; do
        printf '%s\n' "zone:" "    name: $zone." "    zonefile: $zone" "    provide-xfr: 127.0.0.1 NOKEY"
    done
} >"$WORK/nsd.conf"
cat >"$WORK/clients.py" <<'END'
"""Starts transfers of the large zone side by side, tries others meanwhile, lets one end, and tries again."""
import socket, struct, sys, time

RCODES = {0: "served", 2: "SERVFAIL", 5: "REFUSED"}
port, count = map(int, sys.argv[1:])


def ask(zone, kind, slow=False):
    """Sends a query, and returns the connection and the answer's rcode in words."""
    client = socket.socket()
    client.settimeout(20)
    if slow:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    name = bytes([len(zone)]) + zone.encode() + b"\0"
    ixfr = kind == 251
    query = struct.pack("!6H", 7, 0, 1, 0, int(ixfr), 0) + name + struct.pack("!HH", kind, 1)
    if ixfr:
        query += name + struct.pack("!HHIH", 6, 1, 0, 22) + b"\0\0" + struct.pack("!5I", 5, 0, 0, 0, 0)
    client.sendall(struct.pack("!H", len(query)) + query)
    return client, RCODES[client.recv(6, socket.MSG_WAITALL)[5] & 15]


slow = [ask("large", 252, slow=True) for _ in range(count)]
print("large", *dict.fromkeys(words for _, words in slow), sum(words == "served" for _, words in slow))
for name, kind in (("AXFR", 252), ("IXFR", 251), ("SOA", 6)):
    print(name, ask("small", kind)[1])
slow[0][0].close()
for _ in range(100):
    words = ask("small", 252)[1]
    if words == "served":
        break
    time.sleep(0.1)
print("after", words)
END

# Tells whether a server gives the small zone, and answers for the large one.
is_up() {
    local zone
    for zone in large small; do
        [[ $(dig @127.0.0.1 -p "$((PORT + $1))" +short +norecurse +time=1 +tries=1 SOA "$zone.") == *" 5 "* ]] || return 1
    done
}

# Prints what the clients say of a server, in one line.
clients() {
    python3 "$WORK/clients.py" "$((PORT + $1))" "$2" | paste -s -d ,
}

named -v
named -f -c "$WORK/bind.conf" -L "$WORK/bind/log" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
for i in 0 1; do wait_for is_up "$i"; done
printf '%s\n' "server 127.0.0.1 $PORT" 'update add www.small. 300 A 192.0.2.2' send | nsupdate
expect "BIND, ten transfers" "large served 10,AXFR SERVFAIL,IXFR SERVFAIL,SOA served,after served" "$(clients 0 10)"
expect "words in BIND's log" "AXFR request denied: quota reached" \
    "$(grep -o 'AXFR request denied: .*' "$WORK/bind/log" | sort -u)"
expect "NSD, thirty transfers" "large served 30,AXFR served,IXFR served,SOA served,after served" "$(clients 1 30)"
