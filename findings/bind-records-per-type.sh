#!/usr/bin/env bash
# named-checkzone accepts a zone file that named of the same package refuses.
#
# Guess:    what named-checkzone calls OK, named loads.
# Seen:     101 records of one type at one owner are "OK" and exit status 0 for named-checkzone and
#           named-compilezone; named does not load the zone ("too many records"): its default of
#           `max-records-per-type` is 100. The zone is answered with SERVFAIL.
# Versions: BIND 9.18.49 (Debian 12, security).
# Matters:  a publication step that trusts the checker puts out a zone that no primary serves; a
#           mirror is then told SERVFAIL or REFUSED for a zone file that is in order.

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

unpack bind9=1:9.18.49-1~deb12u3 bind9-utils=1:9.18.49-1~deb12u3 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' \
    'many A 198.51.100.'{1..101} >"$WORK/zone"
sed '$d' "$WORK/zone" >"$WORK/fewer"
cat >"$WORK/named.conf" <<END
options {
    directory "$WORK";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile "$WORK/session.key";
    recursion no;
};
controls { };
zone "example" { type primary; file "$WORK/zone"; };
zone "fewer.example" { type primary; file "$WORK/fewer"; };
END

# Prints the response code for a zone's SOA.
rcode() {
    dig @127.0.0.1 -p "$PORT" +time=2 +tries=1 "$1" SOA | sed -n 's/.*status: \([A-Z]*\),.*/\1/p'
}

# Tells whether the server has loaded the zone of 100.
is_up() {
    [[ $(rcode fewer.example.) == NOERROR ]]
}

named -v
status=0
named-checkzone example "$WORK/zone" || status=$?
expect "named-checkzone: exit status" 0 "$status"
named-checkconf -z "$WORK/named.conf" || status=$?
expect "named-checkconf -z: exit status" 0 "$status"
named -f -c "$WORK/named.conf" >"$WORK/out" 2>&1 -L "$WORK/log" &
PIDS+=($!)
wait_for is_up
grep 'many.example/A\|not loaded' "$WORK/log"
expect "100 records: named answers" NOERROR "$(rcode fewer.example.)"
expect "101 records: named answers" SERVFAIL "$(rcode example.)"
