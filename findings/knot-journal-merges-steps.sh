#!/usr/bin/env bash
# Knot joins the oldest steps of its journal into one, and a client by IXFR is not told.
#
# Guess:    a journal that is full drops its oldest steps; who asks from before gets a whole zone.
# Seen:     with `zonefile-sync: -1` the journal keeps the 20 newest steps (`journal-max-depth`) and
#           merges what is older into one. After 60 updates of one address, an IXFR from the first
#           serial is a valid delta of 21 steps, the first of which goes from 1 to 41 at once.
# Versions: Knot 3.2.6 (Debian 12).
# Matters:  a mirror that keeps the history of a zone loses 39 addresses although each answer was
#           an IXFR. Set `journal-max-depth` above the updates between two polls.

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

mkdir "$WORK/db"
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' 'www A 192.0.2.100' \
    >"$WORK/zone"
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK"
    listen: 127.0.0.1@$PORT
log:
  - target: "$WORK/log"
    any: info
database:
    storage: "$WORK/db"
acl:
  - id: local
    address: 127.0.0.1
    action: [transfer, update]
zone:
  - domain: example.
    file: "$WORK/zone"
    zonefile-load: difference
    zonefile-sync: -1
    acl: local
END

# Tells whether the server gives this address for www.
gives() {
    [[ $(kdig +short "@127.0.0.1" -p "$PORT" www.example. A) == "$1" ]]
}

knotd --version
knotd -c "$WORK/knot.conf" >"$WORK/out" 2>&1 &
PIDS+=($!)
wait_for gives 192.0.2.100

for ((i = 101; i <= 160; i++)); do
    printf 'server 127.0.0.1 %s\nzone example.\ndel www.example. A\nadd www.example. 300 A 192.0.2.%s\nsend\n' "$PORT" "$i"
done | knsupdate >/dev/null
wait_for gives 192.0.2.160

kdig +noall +answer "@127.0.0.1" -p "$PORT" example. IXFR=1 >"$WORK/ixfr"
awk '$4 == "SOA" { print $7 }' "$WORK/ixfr" | sed '1d;$d' | paste -d ' ' - - | sed -n '1,3p'
expect "first step of the IXFR" "1 41" "$(awk '$4 == "SOA" { print $7 }' "$WORK/ixfr" | sed -n '2,3p' | xargs)"
expect "steps" 21 "$(($(awk '$4 == "SOA"' "$WORK/ixfr" | wc -l) / 2 - 1))"
expect "addresses of www that are never told" 39 \
    "$((59 - $(awk '$4 == "A" { print $5 }' "$WORK/ixfr" | sort -u | grep -vcE '\.(100|160)$')))"
