#!/usr/bin/env bash
# Knot answers NOERROR to an update that adds a record again with another TTL, and keeps the old TTL.
#
# Guess:    a record that an update adds where it is already is replaced by the new one, TTL and all (RFC 2136, 3.4.2.2), as BIND
#           does it; a server that does not do so leaves the TTL of an RRset alone whatever is added.
# Seen:     "update add www 60 A 192.0.2.10", where it stands with 300: NOERROR, TTL and serial stay. "update add www 60 A
#           192.0.2.11", another address: both addresses have 60, and the serial rises. BIND changes TTL and serial each time.
#           To delete the RRset and add it again with the new TTL in one update works with both.
# Versions: Knot 3.2.6, BIND 9.18.49 (Debian 12).
# Matters:  who lowers a TTL before a move, or raises one that shows as fast flux, believes that it is done; a primary that was
#           changed from BIND to Knot stops doing what its scripts say. Delete and add, and ask for the TTL afterwards.

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

unpack knot=3.2.6-1 bind9=1:9.18.49-1~deb12u3 \
    libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

mkdir "$WORK/bind" "$WORK/knot"
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' {one,two}' A 192.0.2.10' \
    {c..z}' A 192.0.2.9' | tee "$WORK/bind/zone" >"$WORK/knot/zone"
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

# Asks BIND (0) or Knot (1) and prints answers alone.
ask() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +nocmd +time=3 +tries=1 "${@:2}"
}

# Tells whether a server has the zone.
has_zone() {
    [[ -n $(ask "$1" example. SOA) ]]
}

# Sends an update to a server; prints the exit status of nsupdate, the zone's serial, and TTLs and addresses of a name.
update() {
    local server=$1 name=$2 status=0
    printf '%s\n' "server 127.0.0.1 $((PORT + server))" 'zone example.' "${@:3}" send | nsupdate || status=$?
    sleep 0.5
    echo "status $status, serial $(ask "$server" +short example. SOA | cut -d ' ' -f 3)," \
        "$(ask "$server" "$name.example." A | sort | awk '{ print $2, $5 }' | paste -s -d ' ')"
}

knotd --version
named -v
named -f -c "$WORK/bind/named.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
wait_for has_zone 0
wait_for has_zone 1

again='update add one.example. 60 A 192.0.2.10'
other='update add one.example. 60 A 192.0.2.11'
anew=('update delete two.example. A' 'update add two.example. 60 A 192.0.2.10')
expect "BIND, the record again" "status 0, serial 2, 60 192.0.2.10" "$(update 0 one "$again")"
expect "Knot, the record again" "status 0, serial 1, 300 192.0.2.10" "$(update 1 one "$again")"
expect "Knot, another record" "status 0, serial 2, 60 192.0.2.10 60 192.0.2.11" "$(update 1 one "$other")"
expect "BIND, the RRset anew" "status 0, serial 3, 60 192.0.2.10" "$(update 0 two "${anew[@]}")"
expect "Knot, the RRset anew" "status 0, serial 3, 60 192.0.2.10" "$(update 1 two "${anew[@]}")"
