#!/usr/bin/env bash
# Four checkers of zone files disagree on each of five files that DNS allows or does not clearly forbid.
#
# Guess:    what one server's checker accepts, the others accept too; at most they warn.
# Seen:     (exit status)                     BIND  NSD  Knot  ldns
#           a record of another zone             0    1     0     0   BIND warns, Knot with -v
#           a delegation without its glue        0    0     1     0   BIND says REQUIRED and OK
#           a name server at a wildcard          1    0     0     0
#           a record below a DNAME               0    1     1     0
#           a DS record at the apex              1    0     0     0
# Versions: BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, ldns 1.8.3 (Debian 12).
# Matters:  a zone that one primary serves is refused by another of the same set: the mirror gets an older zone
#           from that one, or SERVFAIL. Records that a checker ignores are not in the transfer.

set -euo pipefail

WORK=$(mktemp -d "${TMPDIR:-/tmp}/finding.XXXXXX")
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

# Says what was seen, and fails if it is not what this page describes.
expect() {
    local what=$1 wanted=$2 seen=$3
    if [[ $seen != "$wanted" ]]; then
        printf 'CHANGED  %s: expected "%s", seen "%s"\n' "$what" "$wanted" "$seen"
        exit 1
    fi
    printf 'as described  %s: %s\n' "$what" "$seen"
}

unpack nsd=4.6.1-1 bind9-utils=1:9.18.49-1~deb12u3 knot-dnssecutils=3.2.6-1 ldnsutils=1.8.3-1+b1 libldns3=1.8.3-1+b1 \
    libevent-2.1-7 libbpf1 libdnssec9=3.2.6-1 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 libzscanner4=3.2.6-1 \
    bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

# Writes a zone with one more record, has all four look at it, and prints their exit statuses.
look() {
    printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' "$@" >"$WORK/zone"
    (echo "\$ORIGIN example."; cat "$WORK/zone") >"$WORK/with-origin"
    local statuses=() checker
    for checker in 'named-checkzone example' 'nsd-checkzone example' 'kzonecheck -o example' ldns-read-zone; do
        local file="$WORK/zone" status=0 words
        [[ $checker == ldns* ]] && file=$WORK/with-origin
        read -ra words <<<"$checker"
        "${words[@]}" "$file" >"$WORK/out" 2>&1 || status=$?
        [[ $checker == ldns* ]] || sed "s|$WORK/||g; s/^/    ${words[0]}: /" "$WORK/out" >&2
        statuses+=("$((status > 0))")
    done
    echo "${statuses[*]}"
}

expect "a record of another zone" "0 1 0 0" "$(look 'www.other.test. A 192.0.2.9')"
expect "a delegation without its glue" "0 0 1 0" "$(look 'sub NS ns.sub')"
expect "a name server at a wildcard" "1 0 0 0" "$(look '*.x NS ns')"
expect "a record below a DNAME" "0 1 1 0" "$(look 'd DNAME e.test.' 'x.d A 192.0.2.4')"
expect "a DS record at the apex" "1 0 0 0" \
    "$(look "@ DS 1 8 2 $(printf '0%.0s' {1..64})")"
