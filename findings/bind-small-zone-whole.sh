#!/usr/bin/env bash
# BIND answers IXFR with the whole zone when the steps are larger than the zone.
#
# Guess:    a primary that has each step in its journal sends the steps.
# Seen:     after ten updates of one address in a zone of five records, an IXFR from the first serial
#           gets the whole zone: the steps would be larger than `max-ixfr-ratio`, 100 % by default. With
#           `max-ixfr-ratio unlimited` the same query gets all ten steps.
# Versions: BIND 9.18.49 (Debian 12, security).
# Matters:  fast flux in a small zone is what goes missing: nine of ten addresses are never told.
#           Set `max-ixfr-ratio unlimited`, also where `ixfr-from-differences` makes the steps.

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

unpack bind9=1:9.18.49-1~deb12u3 \
    bind9-dnsutils bind9-libs libbsd0 libedit2 libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

mkdir "$WORK/default" "$WORK/unlimited"
for zone in default unlimited; do
    printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' \
        'www A 192.0.2.100' 'mail A 192.0.2.3' >"$WORK/$zone/zone"
done
cat >"$WORK/named.conf" <<END
options {
    directory "$WORK";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile "$WORK/session.key";
    recursion no;
    allow-transfer { 127.0.0.1; };
};
controls { };
zone "default.example" { type primary; file "default/zone"; allow-update { 127.0.0.1; }; };
zone "unlimited.example" {
    type primary; file "unlimited/zone"; allow-update { 127.0.0.1; }; max-ixfr-ratio unlimited;
};
END

# Asks the server and prints answers alone.
ask() {
    dig "@127.0.0.1" -p "$PORT" +noall +answer +nocmd +time=2 +tries=1 "$@"
}

# Tells whether the server gives both zones.
is_up() {
    [[ -n $(ask default.example. SOA) && -n $(ask unlimited.example. SOA) ]]
}

named -v
named -f -c "$WORK/named.conf" -L "$WORK/log" >"$WORK/out" 2>&1 &
PIDS+=($!)
wait_for is_up
for zone in default unlimited; do
    for ((i = 101; i <= 110; i++)); do
        printf 'server 127.0.0.1 %s\nzone %s.example.\nupdate delete www.%s.example. A\nupdate add www.%s.example. 300 A 192.0.2.%s\nsend\n' \
            "$PORT" "$zone" "$zone" "$zone" "$i"
    done | nsupdate
    expect "$zone: serial" 11 "$(ask +short "$zone.example." SOA | cut -d ' ' -f 3)"
    ask IXFR=1 "$zone.example." >"$WORK/$zone.ixfr"
done
cat "$WORK/default.ixfr"
# Prints the addresses of www that an answer has.
addresses() { awk '/^www/ { print $5 }' "$WORK/$1.ixfr" | sort -u | wc -l; }
expect "default: SOAs" "11 11" "$(awk '$4 == "SOA" { print $7 }' "$WORK/default.ixfr" | xargs)"
expect "default: addresses of www" 1 "$(addresses default)"
expect "unlimited: addresses of www" 11 "$(addresses unlimited)"
