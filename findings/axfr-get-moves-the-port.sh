#!/usr/bin/env bash
# axfr-get writes a service record so that tinydns takes its priority for its port.
#
# Guess:    what axfr-get fetches and tinydns-data of the same source package compiles is the primary's zone.
# Seen:     "SRV 10 60 5060" of the primary is "S…:10:60:5060:300" in the file of axfr-get, and is served as "SRV 60 5060 10":
#           tinydns-data reads port, priority and weight from such a line. The fields move on by one place with each copy, and
#           the third copy is right. Neither program says a word, the serial is the primary's, and all other records of a zone
#           with NS, MX, A, AAAA, TXT, CNAME and CAA are as they were.
# Versions: axfrdns and tinydns of djbdns 1.05 (Debian 12: 1:1.05-15+b2, whose patch adds the S line), ucspi-tcp 0.88; BIND
#           9.18.49 as the primary.
# Matters:  a secondary of this kind sends the clients of a service to port 10, or to another service of the same machine, and a
#           mirror that transfers from it holds what the owner never wrote. Compare such a copy with its primary record by record.
#
# It needs root, since axfrdns changes its root.

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

if ((EUID != 0)); then
    echo "not tried: this needs root" >&2
    exit 2
fi

unpack bind9=1:9.18.49-1~deb12u3 axfrdns=1:1.05-15+b2 tinydns=1:1.05-15+b2 ucspi-tcp=1:0.88-7 \
    bind9-dnsutils bind9-libs libbsd0 libcap-ng0 libedit2 libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 \
    libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 \
    libxml2

chmod 755 "$WORK"
mkdir "$WORK/primary"
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 7 3600 600 86400 300' '@ NS ns' '@ MX 10 ns' 'ns A 192.0.2.1' \
    'ns AAAA 2001:db8::1' '_sip._udp SRV 10 60 5060 ns' 'text TXT "one" "two"' 'alias CNAME ns' '@ CAA 0 issue "ca.example"' \
    >"$WORK/primary/example"
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
};
controls { };
zone "example" { type primary; file "example"; };
END

# Tells whether a server has the zone.
serves() {
    [[ $(dig "@127.0.0.1" -p "$((PORT + $1))" +tcp +short +time=1 +tries=1 SOA example. | cut -d ' ' -f 3) == 7 ]]
}

# Makes copy N of what copy N-1 serves, the primary being 0, and serves it.
copy() {
    local folder=$WORK/copy$1
    mkdir "$folder"
    tcpclient -H -R -l 0 127.0.0.1 "$((PORT + $1 - 1))" axfr-get example "$folder/data" "$folder/data.tmp"
    (cd "$folder" && tinydns-data)
    env ROOT="$folder" IP=127.0.0.1 UID=65534 GID=65534 AXFR=example \
        tcpserver -HRD 127.0.0.1 "$((PORT + $1))" "$WORK/root/usr/sbin/axfrdns" >"$folder/out" 2>&1 &
    PIDS+=($!)
    wait_for serves "$1"
}

# Prints the zone as a server transfers it, in order, without the service record.
others() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +onesoa AXFR example. | grep -v SRV | tr -s '\t ' ' ' | sort
}

# Prints the service record as a server transfers it.
service() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer AXFR example. | awk '$4 == "SRV" { print $5, $6, $7, $8 }'
}

named -v
named -f -c "$WORK/primary.conf" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
wait_for serves 0
expect "primary" "10 60 5060 ns.example." "$(service 0)"
copy 1
expect "line of axfr-get" "S_sip._udp.example::ns.example.:10:60:5060:300" "$(grep ^S "$WORK/copy1/data")"
expect "first copy" "60 5060 10 ns.example." "$(service 1)"
copy 2
expect "copy of the copy" "5060 10 60 ns.example." "$(service 2)"
copy 3
expect "third copy" "10 60 5060 ns.example." "$(service 3)"
others 0 >"$WORK/wanted"
others 1 >"$WORK/copied"
expect "records of the first copy that differ, without the service record" 0 "$(comm -3 "$WORK/wanted" "$WORK/copied" | wc -l)"
expect "records compared" 8 "$(wc -l <"$WORK/wanted")"
