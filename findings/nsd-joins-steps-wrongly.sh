#!/usr/bin/env bash
# NSD as a secondary joins the steps that it received into one that does not lead to its own zone.
#
# Guess:    a secondary passes on the steps of an IXFR as it got them, or joins them into one that leads from the
#           first zone to the last.
# Seen:     an address changes three times while the secondaries do not hear of it; then each takes the three steps in
#           one IXFR. Asked for the same steps,
#             BIND tells three, as the primary does;
#             Knot tells one: the last address comes. The two between are not told;
#             NSD tells one that removes the first two addresses, which who holds the first zone does not have, and then
#             adds all three. NSD's own zone has the last alone.
# Versions: BIND 9.18.49, NSD 4.6.1 with `store-ixfr: yes`, Knot 3.2.6 (Debian 12).
# Matters:  a client that passes over the removal of a record that it does not have holds three addresses where there is
#           one, which looks like fast flux. Refuse such a step and take the whole zone. Poll the primary itself, or a
#           secondary that hears of each change by NOTIFY.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

mkdir "$WORK/primary" "$WORK/bind" "$WORK/nsd" "$WORK/knot"
# The refresh of an hour keeps the secondaries from asking before they are notified.
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' >"$WORK/primary/zone"

# Writes a configuration of BIND: folder, port, zone statement.
configure_bind() {
    cat >"$WORK/$1.conf" <<END
options {
    directory "$WORK/$1";
    listen-on port $2 { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile "$WORK/$1/session.key";
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer { 127.0.0.1; };
    max-ixfr-ratio unlimited;
};
controls { };
zone "example" { file "zone"; $3 };
END
}

configure_bind primary "$PORT" "type primary; allow-update { 127.0.0.1; };"
configure_bind bind "$((PORT + 1))" "type secondary; primaries { 127.0.0.1 port $PORT; };"
cat >"$WORK/nsd.conf" <<END
server:
    ip-address: 127.0.0.1@$((PORT + 2))
    username: ""
    server-count: 1
    database: ""
    pidfile: "$WORK/nsd/pid"
    zonesdir: "$WORK/nsd"
    zonelistfile: "$WORK/nsd/zone.list"
    xfrdfile: "$WORK/nsd/xfrd.state"
    xfrdir: "$WORK/nsd"
    xfrd-reload-timeout: 0
zone:
    name: example.
    zonefile: zone
    request-xfr: 127.0.0.1@$PORT NOKEY
    allow-notify: 127.0.0.1 NOKEY
    provide-xfr: 127.0.0.1 NOKEY
    store-ixfr: yes
END
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: 127.0.0.1@$((PORT + 3))
database:
    storage: "$WORK/knot"
remote:
  - id: primary
    address: 127.0.0.1@$PORT
acl:
  - id: local
    address: 127.0.0.1
    action: [transfer, notify]
zone:
  - domain: example.
    storage: "$WORK/knot"
    zonefile-sync: -1
    master: primary
    acl: local
END

# Asks the server at a port above the first one and prints answers alone.
ask() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +nocmd +time=2 +tries=1 "${@:2}"
}

# Tells whether a server has a serial.
has_serial() {
    [[ $(ask "$1" +short SOA example. | cut -d ' ' -f 3) == "$2" ]]
}

# Changes the zone at the primary.
change() {
    printf '%s\n' "server 127.0.0.1 $PORT" "zone example." "$@" send | nsupdate
}

# Sends NOTIFY for the zone to a port above the first one.
notify() {
    python3 - "$((PORT + $1))" <<'END'
import socket, struct, sys
query = struct.pack("!6H", 7, 4 << 11 | 1 << 10, 1, 0, 0, 0) + b"\7example\0" + struct.pack("!HH", 6, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.settimeout(5)
    udp.sendto(query, ("127.0.0.1", int(sys.argv[1])))
    udp.recv(512)
END
}

# Prints an IXFR in short: serials, and the last number of each address of flux.example.
steps() {
    ask "$1" IXFR=1 example. | awk '
        $4 == "SOA" { printf "SOA%s ", $7 }
        $1 == "flux.example." { sub(/.*\./, "", $5); printf "%s ", $5 }' | sed 's/ $//'
}

named -v
named -f -c "$WORK/primary.conf" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
wait_for has_serial 0 1
named -f -c "$WORK/bind.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
for i in 1 2 3; do wait_for has_serial "$i" 1; done

change 'update add flux.example. 60 A 192.0.2.101'
for i in 102 103; do change 'update delete flux.example. A' "update add flux.example. 60 A 192.0.2.$i"; done
wait_for has_serial 0 4
for i in 1 2 3; do
    notify "$i"
    wait_for has_serial "$i" 4
done

echo "NSD's answer to who holds serial 1:"
ask 2 IXFR=1 example.
expect "primary" "SOA4 SOA1 SOA2 101 SOA2 101 SOA3 102 SOA3 102 SOA4 103 SOA4" "$(steps 0)"
expect "BIND as a secondary" "SOA4 SOA1 SOA2 101 SOA2 101 SOA3 102 SOA3 102 SOA4 103 SOA4" "$(steps 1)"
expect "NSD as a secondary" "SOA4 SOA1 101 102 SOA4 101 102 103 SOA4" "$(steps 2)"
expect "NSD's own zone" "192.0.2.103" "$(ask 2 +short A flux.example.)"
expect "Knot as a secondary" "SOA4 SOA1 SOA4 103 SOA4" "$(steps 3)"
