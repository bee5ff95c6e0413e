#!/usr/bin/env bash
# NSD's incremental transfer begins at a zone that nobody was given.
#
# Guess:    after an edit that left the serial as it was, NSD either refuses the file or the next
#           step (1 to 2) is computed from what clients hold under serial 1.
# Seen:     NSD serves the edit under the old serial and logs "ixfr could not be created". The next step
#           is the difference between the edited zone and serial 2: it leaves out the edit. Who holds
#           the first zone of serial 1 and follows by IXFR never gets the edited record, and no serial
#           says so.
# Versions: NSD 4.6.1 (Debian 12) with `store-ixfr: yes` and `create-ixfr: yes`.
# Matters:  a mirror that follows by IXFR alone differs from AXFR for good. Raise the serial with
#           each edit; compare with a whole transfer from time to time.

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

unpack nsd=4.6.1-1 libevent-2.1-7 libfstrm0 libprotobuf-c1 libssl3 \
    bind9-dnsutils bind9-libs libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libuv1 libxml2

# Writes the zone file with a serial and more records.
write_zone() {
    printf '%s\n' "\$TTL 300" "@ SOA ns hostmaster $1 3600 600 86400 300" '@ NS ns' 'ns A 192.0.2.1' \
        {a..t}' A 192.0.2.7' "${@:2}" \
        >"$WORK/zone"
}

# Asks the server and prints answers alone, sorted.
ask() {
    dig "@127.0.0.1" -p "$PORT" +noall +answer +nocmd +time=2 +tries=1 "$@"
}

# Tells whether the server gives an answer of this length.
has() {
    [[ $(ask +short "$1" A) == "$2" ]]
}

cat >"$WORK/nsd.conf" <<END
server:
    ip-address: 127.0.0.1@$PORT
    username: ""
    server-count: 1
    verbosity: 2
    database: ""
    pidfile: "$WORK/nsd.pid"
    logfile: "$WORK/log"
    zonesdir: "$WORK"
    zonelistfile: "$WORK/zone.list"
    xfrdfile: "$WORK/xfrd.state"
    xfrdir: "$WORK"
remote-control:
    control-enable: yes
    control-interface: $WORK/control
zone:
    name: example.
    zonefile: zone
    store-ixfr: yes
    create-ixfr: yes
    provide-xfr: 127.0.0.1 NOKEY
END

# Has the server read the zone file again.
reload() {
    nsd-control -c "$WORK/nsd.conf" reload example. >/dev/null
}

nsd -v 2>&1 | sed -n 1p
write_zone 1 'www A 192.0.2.10'
nsd -d -c "$WORK/nsd.conf" >"$WORK/out" 2>&1 &
PIDS+=($!)
wait_for has www.example. 192.0.2.10
echo "A mirror takes the whole zone of serial 1:"
ask AXFR example.

sleep 1.1 # So that the file's time differs.
write_zone 1 'www A 192.0.2.10' 'edited A 192.0.2.20'
reload
wait_for has edited.example. 192.0.2.20
expect "serial after the edit" 1 "$(ask +short example. SOA | cut -d ' ' -f 3)"

sleep 1.1
write_zone 2 'www A 192.0.2.11' 'edited A 192.0.2.20'
reload
wait_for has www.example. 192.0.2.11
echo "The step from 1 to 2:"
ask IXFR=1 example.
grep 'could not be created' "$WORK/log"
expect "SOAs of the step" "2 1 2 2" "$(ask IXFR=1 example. | awk '$4 == "SOA" { print $7 }' | xargs)"
expect "edited.example. in the step" 0 "$(ask IXFR=1 example. | grep -c '^edited' || true)"
expect "edited.example. in the whole zone" 1 "$(ask AXFR example. | grep -c '^edited')"
