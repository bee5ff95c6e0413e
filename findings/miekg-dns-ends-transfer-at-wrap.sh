#!/usr/bin/env bash
# The DNS library of Go takes the beginning of a transfer for all of it once the serial has passed 4294967295.
#
# Guess:    serials are compared by RFC 1982, so that 2 is newer than 4294967294; a transfer that was not read to its closing
#           SOA record is an error.
# Seen:     where the number of the primary's serial is not above that of the client's, `dns.Transfer` ends an IXFR after the
#           first message, closes its channel and reports no error. The zone went from 4294967294 to 2:
#                                                       records of dig   of the library
#             AXFR                                      4,006            4,006
#             IXFR from 1, the steps                    2,004            2,004
#             IXFR from 4294967294, the steps           2,010            some 650, the first message
#             IXFR from 4294960000, the whole zone      4,006            some 620, the first message
# Versions: golang-github-miekg-dns-dev 1.1.50, golang-1.19 1.19.8, BIND 9.18.49 as the primary (Debian 12).
# Matters:  the way to take a serial back (RFC 2182, 7) leads over 4294967295. A mirror that is written with the library then
#           takes a part of the zone for all of it, and what did not come for deletions. Look for the closing SOA record, and
#           ask for AXFR where the primary's serial is the lower number.

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

unpack bind9=1:9.18.49-1~deb12u3 golang-1.19-go=1.19.8-2 golang-1.19-src=1.19.8-2 golang-github-miekg-dns-dev=1.1.50-2 \
    golang-golang-x-net-dev golang-golang-x-sync-dev golang-golang-x-sys-dev \
    bind9-dnsutils bind9-libs libbsd0 libcap-ng0 libedit2 libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 \
    libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 \
    libxml2

mkdir -p "$WORK/go/src/transfer" "$WORK/primary"
cat >"$WORK/go/src/transfer/main.go" <<'END'
// Transfers a zone, by IXFR from a serial where one is given, and prints what came.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/miekg/dns"
)

func main() {
	query := new(dns.Msg)
	query.SetAxfr("example.")
	if len(os.Args) > 2 {
		serial, err := strconv.ParseUint(os.Args[2], 10, 32)
		if err != nil {
			panic(err)
		}
		query.SetIxfr("example.", uint32(serial), "ns.example.", "hostmaster.example.")
	}
	envelopes, err := new(dns.Transfer).In(query, os.Args[1])
	if err != nil {
		panic(err)
	}
	messages, records, closed := 0, 0, false
	for envelope := range envelopes {
		if envelope.Error != nil {
			fmt.Println("error:", envelope.Error)
			return
		}
		messages++
		records += len(envelope.RR)
		_, closed = envelope.RR[len(envelope.RR)-1].(*dns.SOA)
	}
	fmt.Println(messages, records, closed)
}
END
if ! GOROOT="$WORK/root/usr/lib/go-1.19" GOPATH="$WORK/go:$WORK/root/usr/share/gocode" GO111MODULE=off GOCACHE="$WORK/cache" \
    GOFLAGS=-p=1 CGO_ENABLED=0 "$WORK/root/usr/lib/go-1.19/bin/go" build -o "$WORK/transfer" transfer; then
    echo "not tried: the client cannot be built" >&2
    exit 2
fi

(
    printf '%s\n' "\$ORIGIN example." "\$TTL 300" '@ SOA ns hostmaster 4294967294 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1'
    for ((i = 0; i < 2000; i++)); do echo "host-$i A 192.0.2.$((i % 250 + 1))"; done
) >"$WORK/primary/example"
cat >"$WORK/primary.conf" <<END
options {
    directory "$WORK/primary";
    session-keyfile "$WORK/primary/session.key";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer { 127.0.0.1; };
    max-ixfr-ratio unlimited;
};
controls { };
zone "example" { type primary; file "example"; allow-update { 127.0.0.1; }; };
END

# Tells whether the zone is at a serial.
is_at() {
    [[ $(dig @127.0.0.1 -p "$PORT" +short +norecurse +time=1 +tries=1 SOA example. | cut -d ' ' -f 3) == "$1" ]]
}

# Prints the number of records of an IXFR from a serial, or of AXFR, as dig gets them.
count_by_dig() {
    dig @127.0.0.1 -p "$PORT" +noall +answer "$(if (($#)); then echo "IXFR=$1"; else echo AXFR; fi)" example. | grep -c IN
}

# Adds records to the zone, which raises its serial by one.
update() {
    printf '%s\n' "server 127.0.0.1 $PORT" "$@" send | nsupdate
}

named -v
named -f -c "$WORK/primary.conf" -L "$WORK/primary/log" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
wait_for is_at 4294967294
update 'update add first.example. 300 A 192.0.2.1'
update 'update add second.example. 300 A 192.0.2.1'
wait_for is_at 1
for ((i = 0; i < 2000; i++)); do echo "update add new-$i.example. 300 A 192.0.2.1"; done >"$WORK/additions"
(echo "server 127.0.0.1 $PORT"; cat "$WORK/additions"; echo send) | nsupdate -v
wait_for is_at 2

# Prints how many records dig gets, and what the library tells: messages, all records or a part, and whether a SOA closes them.
compare() {
    local all messages records closed
    all=$(count_by_dig "$@")
    read -r messages records closed <<<"$("$WORK/transfer" "127.0.0.1:$PORT" "$@")"
    echo "    of $all records the library tells $records" >&2
    if ((records == all)); then records=all; elif ((records < all / 2)); then records=part; fi
    echo "$all: $messages $records $closed"
}

expect "AXFR" "4006: 7 all true" "$(compare)"
expect "IXFR from 1, which is below 2" "2004: 4 all true" "$(compare 1)"
expect "IXFR from 4294967294, the steps" "2010: 1 part false" "$(compare 4294967294)"
expect "IXFR from 4294960000, the whole zone" "4006: 1 part false" "$(compare 4294960000)"
