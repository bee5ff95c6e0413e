#!/usr/bin/env bash
# BIND takes no zone by TLS from NSD, and answers SERVFAIL where ALPN is missing.
#
# Guess:    two servers that both speak XoT (RFC 9103) transfer zones to each other; a client without ALPN "dot" is either
#           served, or refused when the connection begins.
# Seen:     NSD negotiates no ALPN, whatever the client offers, and gives the zone. BIND as a secondary breaks the
#           connection off: "ALPN for DoT failed". BIND as a primary lets a client without ALPN in, answers its SOA
#           query, and answers AXFR on the same connection with SERVFAIL. With ALPN "dot" BIND gives the zone.
# Versions: BIND 9.18.49, NSD 4.6.1 (Debian 12); Python's ssl is the client.
# Matters:  a poll that first asks for the SOA record finds that all is well, and each transfer then fails in a way that
#           points to the zone, not to TLS. Offer ALPN "dot" always, and do not insist on it where the primary is NSD.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 openssl libevent-2.1-7 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

mkdir "$WORK/primary" "$WORK/secondary" "$WORK/nsd"
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' >"$WORK/zone"
printf '%s\n' '[req]' 'distinguished_name = name' '[name]' >"$WORK/openssl.cnf"
openssl req -config "$WORK/openssl.cnf" -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
    -subj /CN=ns.example -keyout "$WORK/key" -out "$WORK/certificate" 2>"$WORK/openssl.out"
cat >"$WORK/primary.conf" <<END
tls local { cert-file "$WORK/certificate"; key-file "$WORK/key"; };
options {
    directory "$WORK/primary";
    listen-on port $PORT { 127.0.0.1; };
    listen-on port $((PORT + 1)) tls local { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile "$WORK/primary/session.key";
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer { 127.0.0.1; };
};
controls { };
zone "example" { type primary; file "$WORK/zone"; };
END
cat >"$WORK/nsd.conf" <<END
server:
    ip-address: 127.0.0.1@$((PORT + 2))
    ip-address: 127.0.0.1@$((PORT + 3))
    tls-port: $((PORT + 3))
    tls-service-key: "$WORK/key"
    tls-service-pem: "$WORK/certificate"
    username: ""
    server-count: 1
    database: ""
    pidfile: "$WORK/nsd/pid"
    zonesdir: "$WORK"
    zonelistfile: "$WORK/nsd/zone.list"
    xfrdfile: "$WORK/nsd/xfrd.state"
    xfrdir: "$WORK/nsd"
zone:
    name: example.
    zonefile: zone
    provide-xfr: 127.0.0.1 NOKEY
END
# Two views, so that one server takes the zone from both primaries.
cat >"$WORK/secondary.conf" <<END
options {
    directory "$WORK/secondary";
    listen-on port $((PORT + 4)) { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile "$WORK/secondary/session.key";
    recursion no;
    dnssec-validation no;
    notify no;
};
controls { };
tls any { };
view "bind" {
    match-clients { none; };
    zone "example" { type secondary; file "bind"; primaries { 127.0.0.1 port $((PORT + 1)) tls any; }; };
};
view "nsd" {
    match-clients { none; };
    zone "example" { type secondary; file "nsd"; primaries { 127.0.0.1 port $((PORT + 3)) tls any; }; };
};
END
cat >"$WORK/ask.py" <<'END'
"""Asks for SOA, then for AXFR over one connection by TLS; prints the protocol that was negotiated, and each answer."""
import socket, ssl, struct, sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if len(sys.argv) > 2:
    context.set_alpn_protocols(sys.argv[2:])
with context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)) as tls:
    said = [tls.selected_alpn_protocol() or "-"]
    stream = tls.makefile("rb")
    for number in (6, 252):
        query = struct.pack("!6H", number, 0, 1, 0, 0, 0) + b"\7example\0" + struct.pack("!HH", number, 1)
        tls.sendall(struct.pack("!H", len(query)) + query)
        answer = stream.read(struct.unpack("!H", stream.read(2))[0])
        said.append(f"rcode={answer[3] & 15}/records={struct.unpack('!H', answer[6:8])[0]}")
print(*said)
END

# Tells whether a server gives the zone without TLS.
is_up() {
    [[ -n $(dig "@127.0.0.1" -p "$((PORT + $1))" +short +time=2 +tries=1 SOA example.) ]]
}

named -v
named -f -c "$WORK/primary.conf" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
wait_for is_up 0
wait_for is_up 2
named -f -c "$WORK/secondary.conf" -L "$WORK/log" >"$WORK/secondary/out" 2>&1 &
PIDS+=($!)
echo "Protocol, SOA, AXFR:"
expect "BIND, with ALPN dot" "dot rcode=0/records=1 rcode=0/records=4" "$(python3 "$WORK/ask.py" "$((PORT + 1))" dot)"
expect "BIND, without ALPN" "- rcode=0/records=1 rcode=2/records=0" "$(python3 "$WORK/ask.py" "$((PORT + 1))")"
expect "NSD, with ALPN dot" "- rcode=0/records=1 rcode=0/records=4" "$(python3 "$WORK/ask.py" "$((PORT + 3))" dot)"
expect "NSD, without ALPN" "- rcode=0/records=1 rcode=0/records=4" "$(python3 "$WORK/ask.py" "$((PORT + 3))")"
wait_for grep "#$((PORT + 1)): Transfer status" "$WORK/log"
wait_for grep "#$((PORT + 3)): Transfer status" "$WORK/log"
# Prints how the transfer from a port ended for BIND as a secondary.
status() {
    sed -n "s/.*#$1: Transfer status: //p" "$WORK/log" | sed -n 1p
}
expect "BIND as a secondary of BIND" success "$(status "$((PORT + 1))")"
expect "BIND as a secondary of NSD" "ALPN for DoT failed" "$(status "$((PORT + 3))")"
