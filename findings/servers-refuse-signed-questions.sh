#!/usr/bin/env bash
# Servers refuse a signed question for a zone that they do not serve each in its own way: the key is right, and half of
# the answers look as if it were wrong.
#
# Guess:    whoever knows the key signs its refusal too (RFC 8945, 5.3), a zone that is not there is NOTAUTH (RFC 5936,
#           2.2.1), a wrong secret is BADSIG (RFC 8945, 5.2), and who may not transfer is REFUSED.
# Seen:     rcode of the answer, + where it has a TSIG record with a signature, ! with an error code in it:
#                                                   BIND        NSD         Knot        PowerDNS
#             SOA of a zone that is not served      REFUSED+    REFUSED+    REFUSED     REFUSED+
#             the same with a wrong secret          NOTAUTH!    NOTAUTH!    REFUSED     NOTAUTH
#             AXFR of a zone that is not served     NOTAUTH+    NOTAUTH+    NOTAUTH     NOTAUTH
#             AXFR that is served, a wrong secret   NOTAUTH!    NOTAUTH!    NOTAUTH!    NOTAUTH
#             AXFR that is served, without a key    REFUSED     REFUSED     NOTAUTH     NOTAUTH
# Versions: BIND 9.18.49, NSD 4.6.1, Knot 3.2.6, PowerDNS 4.7.3 (Debian 12).
# Matters:  a secondary that reads "not signed" as "the key is wrong" sends its operator to the secret where the name of
#           the zone is misspelt (Knot), and PowerDNS never says that a secret is wrong. NOTAUTH is a wrong key, a zone
#           that is not there or an access list, by the server.

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

unpack bind9=1:9.18.49-1~deb12u3 nsd=4.6.1-1 knot=3.2.6-1 pdns-server=4.7.3-2 pdns-backend-sqlite3=4.7.3-2 \
    libevent-2.1-7 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 \
    libzscanner4=3.2.6-1 libboost-program-options1.74.0 libbrotli1 libcurl4 libldap-2.5-0 libluajit-5.1-2 libpsl5 \
    librtmp1 libsasl2-2 libsodium23 libsqlite3-0 libssh2-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

SECRET=$(printf '%032d' 1 | base64)
WRONG=$(printf '%032d' 2 | base64)
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 5 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' >"$WORK/zone"
mkdir "$WORK/bind" "$WORK/nsd" "$WORK/knot" "$WORK/pdns"
cat >"$WORK/named.conf" <<END
options {
    directory "$WORK/bind";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile "$WORK/bind/session.key";
    recursion no;
};
controls { };
key "k.test" { algorithm hmac-sha256; secret "$SECRET"; };
zone "example" { type primary; file "$WORK/zone"; allow-transfer { key "k.test"; }; };
END
cat >"$WORK/nsd.conf" <<END
server:
    ip-address: 127.0.0.1@$((PORT + 1))
    username: ""
    server-count: 1
    database: ""
    pidfile: "$WORK/nsd/pid"
    zonesdir: "$WORK"
    zonelistfile: "$WORK/nsd/zone.list"
    xfrdfile: "$WORK/nsd/xfrd.state"
    xfrdir: "$WORK/nsd"
key:
    name: k.test
    algorithm: hmac-sha256
    secret: "$SECRET"
zone:
    name: example.
    zonefile: zone
    provide-xfr: 127.0.0.1 k.test
END
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: 127.0.0.1@$((PORT + 2))
database:
    storage: "$WORK/knot"
key:
  - id: k.test
    algorithm: hmac-sha256
    secret: "$SECRET"
acl:
  - id: keyed
    key: k.test
    action: transfer
zone:
  - domain: example.
    file: "$WORK/zone"
    zonefile-sync: -1
    acl: keyed
END
cat >"$WORK/pdns/pdns.conf" <<END
launch=gsqlite3
module-dir=$WORK/root/usr/lib/x86_64-linux-gnu/pdns
gsqlite3-database=$WORK/pdns/db
gsqlite3-dnssec=yes
local-address=127.0.0.1:$((PORT + 3))
socket-dir=$WORK/pdns
allow-axfr-ips=192.0.2.1
primary=yes
END
python3 - "$WORK" <<END
import sqlite3, sys
with open(sys.argv[1] + "/root/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql") as schema:
    sqlite3.connect(sys.argv[1] + "/pdns/db").executescript(schema.read())
END
for step in "load-zone example $WORK/zone" "import-tsig-key k.test hmac-sha256 $SECRET" "activate-tsig-key example k.test primary"; do
    # shellcheck disable=SC2086
    pdnsutil --config-dir="$WORK/pdns" $step >/dev/null 2>&1
done

named -f -c "$WORK/named.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
nsd -d -c "$WORK/nsd.conf" >"$WORK/nsd/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
pdns_server --config-dir="$WORK/pdns" >"$WORK/pdns/out" 2>&1 &
PIDS+=($!)

# Asks a port above the first one by TCP: port, zone, type, secret or nothing. Prints the rcode of what came back, with a +
# if that is signed, and a ! if a TSIG record without a signature says why.
ask() {
    python3 - "$((PORT + $1))" "$2" "$3" "${4:-}" <<'END'
import base64, hashlib, hmac, socket, struct, sys, time

def wire(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"

port, zone, kind, secret = sys.argv[1:]
kind = {"SOA": 6, "AXFR": 252}[kind]
header, question = struct.pack("!6H", 7, 0, 1, 0, 0, 0), wire(zone) + struct.pack("!2H", kind, 1)
message = header + question
if secret:
    # RFC 8945, 4.2 and 4.3.3.
    key, algorithm, now = wire("k.test"), wire("hmac-sha256"), struct.pack("!Q", int(time.time()))[2:]
    signed = message + key + struct.pack("!HI", 255, 0) + algorithm + now + struct.pack("!3H", 300, 0, 0)
    mac = hmac.new(base64.b64decode(secret), signed, hashlib.sha256).digest()
    data = algorithm + now + struct.pack("!2H", 300, len(mac)) + mac + struct.pack("!3H", 7, 0, 0)
    message = message[:10] + b"\0\1" + question + key + struct.pack("!2HIH", 250, 255, 0, len(data)) + data
with socket.create_connection(("127.0.0.1", int(port)), 5) as asked:
    asked.sendall(struct.pack("!H", len(message)) + message)
    stream = asked.makefile("rb")
    answer = stream.read(struct.unpack("!H", stream.read(2))[0])
rcode = {0: "NOERROR", 5: "REFUSED", 9: "NOTAUTH"}.get(answer[3] & 15, str(answer[3] & 15))
mark, at = "", answer.rfind(struct.pack("!2HI", 250, 255, 0))
if at >= 0:
    # Behind the name of the algorithm: time, fudge, and the length of the signature.
    at = answer.index(algorithm, at) + len(algorithm) + 8
    mark = "+" if struct.unpack("!H", answer[at:at + 2])[0] else "!"
print(rcode + mark)
END
}

# Tells whether a server gives the zone to who has the key.
is_up() { [[ $(ask "$1" example AXFR "$SECRET") == NOERROR+ ]]; }

# Prints what each of the four answers.
of_all() {
    local i answers=()
    for i in 0 1 2 3; do answers+=("$(ask "$i" "$@")"); done
    echo "${answers[*]}"
}

for i in 0 1 2 3; do wait_for is_up "$i"; done
expect "SOA, not served, right key" "REFUSED+ REFUSED+ REFUSED REFUSED+" "$(of_all other.test SOA "$SECRET")"
expect "SOA, not served, wrong secret" "NOTAUTH! NOTAUTH! REFUSED NOTAUTH" "$(of_all other.test SOA "$WRONG")"
expect "AXFR, not served, right key" "NOTAUTH+ NOTAUTH+ NOTAUTH NOTAUTH" "$(of_all other.test AXFR "$SECRET")"
expect "AXFR, served, wrong secret" "NOTAUTH! NOTAUTH! NOTAUTH! NOTAUTH" "$(of_all example AXFR "$WRONG")"
expect "AXFR, served, without a key" "REFUSED REFUSED NOTAUTH NOTAUTH" "$(of_all example AXFR)"
