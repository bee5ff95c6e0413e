#!/usr/bin/env bash
# YADIFA writes a zone file with a serial from 2147483648 up, and does not load it again.
#
# Guess:    a serial is any number of 32 bits without a sign (RFC 1035, 3.3.13): each server loads them all, and surely its
#           own file.
# Seen:     updates take the serial over 2147483647, and `yadifa ctrl sync` writes 2147483648 into the zone file. After
#           a restart the log says PARSEINT_ERROR, and the zone is answered by SERVFAIL. A file that was written by hand
#           is refused in the same way, 4294967295 too; 2147483647 is loaded. The checkers of BIND, NSD and
#           Knot take all three.
# Versions: YADIFA 2.6.4, BIND 9.18.49, NSD 4.6.1, Knot 3.2.6 (Debian 12).
# Matters:  the way to take a serial back (RFC 2182, 7) leads over 2147483648, and a mistyped serial may. Nothing is wrong
#           until the journal was written out and YADIFA started again, perhaps months later; then the zone is gone, and the
#           cause is long forgotten. Keep the serials of a primary that is YADIFA below 2147483648.

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

unpack yadifa=2.6.4-1 bind9-utils=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot-dnssecutils=3.2.6-1 \
    libevent-2.1-7 libbpf1 libbsd0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

mkdir "$WORK/yadifa"
{
    cat <<END
<main>
    daemon off
    datapath "$WORK"
    logpath "$WORK/yadifa"
    pidfile "$WORK/yadifa/pid"
    xfrpath "$WORK/yadifa"
    keyspath "$WORK/yadifa"
    listen 127.0.0.1 port $PORT
    allow-query any
    allow-update any
    allow-control key control
    queries-log-type 0
</main>
<key>
    name control
    algorithm hmac-sha256
    secret c2VjcmV0c2VjcmV0c2VjcmV0
</key>
END
    for zone in updated last over end; do
        printf '%s\n' '<zone>' "domain $zone.example." 'type primary' "file $zone.zone" 'allow-update any' '</zone>'
    done
} >"$WORK/yadifad.conf"

# Writes the zone file of a zone with a serial.
write_zone() {
    printf '%s\n' "\$ORIGIN $1.example." "\$TTL 300" "@ SOA ns hostmaster $2 3600 600 86400 300" '@ NS ns' 'ns A 192.0.2.1' \
        >"$WORK/$1.zone"
}

# Prints rcode and serial of a zone.
soa() {
    dig "@127.0.0.1" -p "$PORT" +time=3 +tries=1 SOA "$1.example." |
        awk '/status:/ { sub(",", "", $6); printf "%s", $6 } $4 == "SOA" { printf " %s", $7 }'
}

# Tells whether a zone's answer is this.
is() {
    [[ $(soa "$1") == "$2" ]]
}

# Starts YADIFA, and stops it.
start() {
    yadifad -c "$WORK/yadifad.conf" >"$WORK/yadifa/out" 2>&1 &
    server=$!
    PIDS=("$server")
}
stop() {
    kill "$server"
    wait "$server" || true
    PIDS=()
}

yadifad --version 2>&1 | sed -n 1p
write_zone updated 2147483646
write_zone last 2147483647
write_zone over 2147483648
write_zone end 4294967295
start
wait_for is updated "NOERROR 2147483646"
wait_for is last "NOERROR 2147483647"
sleep 1
expect "a file of 2147483647" "NOERROR 2147483647" "$(soa last)"
expect "a file of 2147483648" SERVFAIL "$(soa over)"
expect "a file of 4294967295" SERVFAIL "$(soa end)"
expect "zones that are not loaded" 2 "$(grep -c 'not loaded: PARSEINT_ERROR' "$WORK/yadifa/out" || true)"
for zone in last over end; do
    expect "BIND's checker, $zone" 0 "$(named-checkzone -q "$zone.example" "$WORK/$zone.zone" >"$WORK/out" 2>&1 && echo 0 || echo 1)"
    expect "NSD's checker, $zone" 0 "$(nsd-checkzone "$zone.example" "$WORK/$zone.zone" >"$WORK/out" 2>&1 && echo 0 || echo 1)"
    expect "Knot's checker, $zone" 0 "$(kzonecheck -o "$zone.example" "$WORK/$zone.zone" >"$WORK/out" 2>&1 && echo 0 || echo 1)"
done

for address in 192.0.2.2 192.0.2.3; do
    printf '%s\n' "server 127.0.0.1 $PORT" 'zone updated.example.' "add a.updated.example. 300 A $address" send | nsupdate
done
wait_for is updated "NOERROR 2147483648"
expect "after two updates" "NOERROR 2147483648" "$(soa updated)"
stop
start
wait_for is last "NOERROR 2147483647"
wait_for is updated "NOERROR 2147483648"
expect "after a restart, with the journal" "NOERROR 2147483648" "$(soa updated)"
yadifa ctrl -s "127.0.0.1 port $PORT" -y hmac-sha256:control:c2VjcmV0c2VjcmV0c2VjcmV0 -t sync -q updated.example. --clean \
    >"$WORK/out" 2>&1
wait_for grep 2147483648 "$WORK/updated.zone"
sleep 1
expect "serial in the file that YADIFA wrote" 2147483648 "$(grep -o '21474836[0-9]*' "$WORK/updated.zone")"
stop
start
wait_for is last "NOERROR 2147483647"
sleep 1
expect "after a restart, from the file" SERVFAIL "$(soa updated)"
