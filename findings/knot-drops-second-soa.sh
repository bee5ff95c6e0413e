#!/usr/bin/env bash
# Knot serves a zone file with two SOA records, the first of them, and says nothing.
#
# Guess:    two SOA records with different serials are an error everywhere.
# Seen:     BIND and NSD refuse the file. Knot loads it and serves the first SOA; neither its checker
#           nor its log has a word for the second. (dnspython keeps the last.)
# Versions: Knot 3.2.6, BIND 9.18.49, NSD 4.6.1 (Debian 12).
# Matters:  a file to which the next version was appended is served under the old serial, with the records
#           of both; one primary has them, another does not.

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

unpack knot=3.2.6-1 knot-dnsutils=3.2.6-1 knot-dnssecutils=3.2.6-1 nsd=4.6.1-1 bind9-utils=1:9.18.49-1~deb12u3 \
    libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libevent-2.1-7 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 \
    bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

version() { printf '%s\n' "@ SOA ns hostmaster $1 3600 600 86400 300" '@ NS ns' 'ns A 192.0.2.1' "$2 A 192.0.2.2"; }
(echo "\$TTL 300"; version 1 old; version 2 new) >"$WORK/zone"
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK"
    listen: 127.0.0.1@$PORT
log:
  - target: "$WORK/log"
    any: debug
database:
    storage: "$WORK"
acl:
  - id: local
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.
    file: "$WORK/zone"
    zonefile-sync: -1
    semantic-checks: on
    acl: local
END

# Tells whether the server gives the zone.
is_up() {
    [[ -n $(kdig +short "@127.0.0.1" -p "$PORT" example. SOA) ]]
}

# Runs a checker; prints its exit status here and its words to standard error.
check() {
    local status=0
    "$@" "$WORK/zone" >"$WORK/out" 2>&1 || status=$?
    sed "s|$WORK/||g; s/^/    $1: /" "$WORK/out" >&2
    echo "$status"
}

cat "$WORK/zone"
expect "named-checkzone: exit status" 1 "$(check named-checkzone example)"
expect "nsd-checkzone: exit status" 1 "$(check nsd-checkzone example)"
expect "kzonecheck: exit status" 0 "$(check kzonecheck -o example)"
knotd -c "$WORK/knot.conf" >"$WORK/out" 2>&1 &
PIDS+=($!)
wait_for is_up
grep 'example' "$WORK/log"
expect "knotd: serial" 1 "$(kdig +short "@127.0.0.1" -p "$PORT" example. SOA | cut -d ' ' -f 3)"
expect "knotd: records of both versions" 2 \
    "$(kdig +noall +answer "@127.0.0.1" -p "$PORT" example. AXFR | grep -cE '^(old|new)')"
expect "knotd: warnings" 0 "$(grep -c 'warning\|error' "$WORK/log" || true)"
