#!/usr/bin/env bash
# Knot sends NOTIFY over TCP alone.
#
# Guess:    NOTIFY goes over UDP (RFC 1996, 3.5), and TCP is for when that fails.
# Seen:     with a listener on UDP and TCP, the NOTIFY comes over TCP. With a listener on UDP alone none comes:
#           the log says "failed (connection reset)", and UDP is not tried.
# Versions: Knot 3.2.6 (Debian 12).
# Matters:  a mirror or a firewall that has the port open for UDP alone never hears of a change, and waits for its
#           next poll. Listen on both.

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

unpack knot=3.2.6-1 knot-dnsutils=3.2.6-1 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 \
    libfstrm0 libknot13=3.2.6-1 liblmdb0 libnghttp2-14 libprotobuf-c1 liburcu8 libxdp1 libzscanner4=3.2.6-1

# Listens over UDP, and over TCP too if the second argument says so; prints over what a NOTIFY comes.
cat >"$WORK/listen.py" <<'END'
import selectors, socket, struct, sys

def answer(query):
    return query[:2] + struct.pack("!H", 0xa400) + query[4:]

chosen = selectors.DefaultSelector()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", int(sys.argv[1])))
chosen.register(udp, selectors.EVENT_READ, "UDP")
if sys.argv[2] == "both":
    chosen.register(socket.create_server(("127.0.0.1", int(sys.argv[1]))), selectors.EVENT_READ, "TCP")
print("listening", flush=True)
while True:
    for key, _ in chosen.select():
        if key.data == "UDP":
            query, sender = udp.recvfrom(512)
            udp.sendto(answer(query), sender)
        else:
            client, _ = key.fileobj.accept()
            with client:
                query = client.recv(512)[2:]
                client.sendall(struct.pack("!H", len(query)) + answer(query))
        print(key.data, flush=True)
END

cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK"
    listen: 127.0.0.1@$PORT
log:
  - target: "$WORK/log"
    any: debug
database:
    storage: "$WORK"
remote:
  - id: mirror
    address: 127.0.0.1@$((PORT + 1))
zone:
  - domain: example.
    file: "$WORK/zone"
    zonefile-sync: -1
    notify: mirror
END

# Tells whether the log has a line about NOTIFY after the line that is given.
has_notified() {
    tail -n +"$(($1 + 1))" "$WORK/log" | grep -q 'notify, outgoing'
}

# Sends NOTIFY while somebody listens; prints over what it came.
notify() {
    python3 "$WORK/listen.py" "$((PORT + 1))" "$1" >"$WORK/heard" &
    local pid=$! lines
    PIDS+=("$pid")
    wait_for grep -q listening "$WORK/heard"
    lines=$(wc -l <"$WORK/log")
    knotc -c "$WORK/knot.conf" zone-notify example. >/dev/null
    wait_for has_notified "$lines"
    sleep 5
    kill "$pid"
    wait "$pid" 2>/dev/null || true
    tail -n +"$((lines + 1))" "$WORK/log" | grep 'notify, outgoing' >&2
    sed 1d "$WORK/heard" | sort -u | xargs
}

knotd --version
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' >"$WORK/zone"
knotd -c "$WORK/knot.conf" >"$WORK/out" 2>&1 &
PIDS+=($!)
wait_for knotc -c "$WORK/knot.conf" zone-status example.
sleep 2
expect "listener on UDP and TCP" "TCP" "$(notify both)"
expect "listener on UDP alone" "" "$(notify udp)"
