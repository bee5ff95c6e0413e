#!/usr/bin/env bash
# dns-zonefile of npm gives addresses to other names than the zone file does.
#
# Guess:    a record that begins with a space belongs to the owner of the record before it; each $ORIGIN holds for the records
#           below it; what the reader does not understand is an error. (Its README says that it is RFC1035 compliant.)
# Seen:     the owner is that of the last record of the same type, or the apex where there is none. The last $ORIGIN and
#           the last $TTL of the file are told once, for all records. A record with a TTL like 3h, or with the class before
#           the TTL, is left out without an error; the times of an SOA record lose their units: 3h is 3.
#           In a file that BIND's named-compilezone wrote, the address of mail comes to the apex in this way, the TTL of 60
#           is lost, and the names of example. stand in sub.example., whose $ORIGIN is the last.
# Versions: dns-zonefile 0.3.2 (npm), named-compilezone of BIND 9.18.49 (Debian 12).
# Matters:  a tool that edits zones with it publishes wrong addresses and says nothing, and a mirror has them as a change of
#           the zone. Give each record its owner, its TTL in seconds and IN, in this order, and write one $ORIGIN.

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

unpack bind9-utils=1:9.18.49-1~deb12u3 \
    bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2
mkdir "$WORK/node"
if ! (cd "$WORK/node" && npm install --silent --no-audit --no-fund --prefix "$WORK/node" dns-zonefile@0.3.2 >/dev/null); then
    echo "not tried: the package cannot be installed from npm" >&2
    exit 2
fi

cat >"$WORK/node/read.mjs" <<'END'
import {readFileSync} from "node:fs";
import zonefile from "dns-zonefile";

const zone = zonefile.parse(readFileSync(process.argv[2], "utf8"));
const {refresh, retry, expire, minimum} = zone.soa;
console.log("origin and TTL:", zone.$origin, zone.$ttl);
console.log("times:", refresh, retry, expire, minimum);
for (const {name, ip, ttl} of [...zone.a, ...zone.aaaa ?? []]) console.log("address:", name, ttl ?? "-", ip);
END

# Prints what the package reads from a file: one line of those that begin with a word.
read_by_package() {
    node "$WORK/node/read.mjs" "$1" | sed -n "s/^$2: //p" | paste -s -d ,
}

# Prints what BIND reads from a file.
read_by_bind() {
    named-compilezone -q -o "$WORK/compiled" example "$1"
    awk '$4 ~ /^A/ { print $1, $2, $5 }' "$WORK/compiled" | sort | paste -s -d ,
}

printf '%s\n' "\$ORIGIN example." "\$TTL 3600" '@ IN SOA ns hostmaster 5 3h 15m 1w 1d' '@ IN NS ns' 'ns IN A 192.0.2.1' \
    'mail IN AAAA 2001:db8::1' '     IN A 192.0.2.2' 'units 3h IN A 192.0.2.3' 'class IN 600 A 192.0.2.4' \
    'seconds 600 IN A 192.0.2.5' >"$WORK/by-hand"
expect "a file written by hand, by BIND" "class.example. 600 192.0.2.4,mail.example. 3600 192.0.2.2,mail.example. 3600 2001:db8::1,\
ns.example. 3600 192.0.2.1,seconds.example. 600 192.0.2.5,units.example. 10800 192.0.2.3" "$(read_by_bind "$WORK/by-hand")"
expect "by dns-zonefile" "ns - 192.0.2.1,ns - 192.0.2.2,seconds 600 192.0.2.5,mail - 2001:db8::1" \
    "$(read_by_package "$WORK/by-hand" address)"
expect "the times of its SOA record" "3 15 1 1" "$(read_by_package "$WORK/by-hand" times)"

printf '%s\n' "\$ORIGIN example." "\$TTL 3600" '@ SOA ns hostmaster 5 10800 900 604800 86400' '@ NS ns' 'ns A 192.0.2.1' \
    'mail A 192.0.2.2' 'mail AAAA 2001:db8::1' 'short 60 A 192.0.2.3' 'a.sub A 192.0.2.4' 'b.sub A 192.0.2.5' >"$WORK/source"
named-compilezone -q -s relative -o "$WORK/by-bind" example "$WORK/source"
cat "$WORK/by-bind"
expect "a file written by BIND, by BIND" "a.sub.example. 3600 192.0.2.4,b.sub.example. 3600 192.0.2.5,mail.example. 3600 192.0.2.2,\
mail.example. 3600 2001:db8::1,ns.example. 3600 192.0.2.1,short.example. 60 192.0.2.3" "$(read_by_bind "$WORK/by-bind")"
expect "by dns-zonefile" "mail - 192.0.2.2,ns - 192.0.2.1,short - 192.0.2.3,a - 192.0.2.4,b - 192.0.2.5,@ - 2001:db8::1" \
    "$(read_by_package "$WORK/by-bind" address)"
expect "origin and TTL that it tells" "sub.example. 3600" "$(read_by_package "$WORK/by-bind" 'origin and TTL')"
