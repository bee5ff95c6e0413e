#!/usr/bin/env bash
# ldns-notify and pdns_notify exit with 0 when their NOTIFY is refused, pdns_notify when nobody answers too.
#
# Guess:    a tool that sends one NOTIFY and waits for the answer says by its exit status whether the zone's server took it, as
#           nsupdate does for an update.
# Seen:     exit status for a NOTIFY that is          ldns-notify   pdns_notify   nsupdate (an update)
#             taken by the zone's secondary           0             0
#             refused with NOTAUTH: no such zone      0             0             2
#             refused with REFUSED: not allowed       0             0             2
#             not answered, as nobody listens         1             0             2
#           pdns_notify says each on standard error; ldns-notify prints the answer's rcode among other lines, as for an
#           answer that is right.
# Versions: ldns-notify of ldns 1.8.3, pdns_notify of pdns-tools 4.7.3, nsupdate and BIND 9.18.49 (Debian 12).
# Matters:  a publication step that goes by `&&` and `set -e` is green while the secondary, or the mirror, was never told, and
#           has the change only when its refresh time is over. Read what the tool says: NOERROR, or no line of an error.

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

unpack bind9=1:9.18.49-1~deb12u3 ldnsutils=1.8.3-1+b1 libldns3=1.8.3-1+b1 pdns-tools=4.7.3-2 \
    libboost-program-options1.74.0 \
    bind9-dnsutils bind9-libs libbsd0 libcap-ng0 libedit2 libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 \
    libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 liblmdb0 libluajit-5.1-2 libmaxminddb0 libnghttp2-14 libprotobuf-c1 \
    libssl3 libuv1 libxml2

mkdir "$WORK/bind"
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 7 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' >"$WORK/bind/zone"
cat >"$WORK/bind.conf" <<END
options {
    directory "$WORK/bind";
    session-keyfile "$WORK/bind/session.key";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer { 127.0.0.1; };
};
controls { };
zone "primary.example" { type primary; file "zone"; };
zone "taken.example" { type secondary; file "taken"; primaries { 127.0.0.1 port $PORT; }; allow-notify { 127.0.0.1; }; };
zone "closed.example" { type secondary; file "closed"; primaries { 127.0.0.2 port $PORT; }; };
END

# Tells whether the server answers.
answers() {
    [[ $(dig @127.0.0.1 -p "$PORT" +short +time=1 +tries=1 SOA primary.example. | cut -d ' ' -f 3) == 7 ]]
}

# Prints the rcode of a NOTIFY for a zone.
rcode() {
    dig @127.0.0.1 -p "$PORT" +opcode=NOTIFY +norecurse +aaflag +noedns +time=3 +tries=1 SOA "$1" |
        sed -n 's/.*status: \([A-Z]*\).*/\1/p'
}

# Prints the exit statuses of ldns-notify and of pdns_notify for a zone, at a port.
statuses() {
    local ldns=0 pdns=0
    ldns-notify -z "$1." -p "$2" -r 1 127.0.0.1 >"$WORK/ldns" 2>&1 || ldns=$?
    pdns_notify "127.0.0.1:$2" "$1" >"$WORK/pdns.out" 2>"$WORK/pdns.err" || pdns=$?
    echo "$ldns $pdns"
}

# Prints the exit status of nsupdate for a zone, at a port.
update() {
    local status=0
    printf '%s\n' "server 127.0.0.1 $2" "zone $1." "update add new.$1. 300 A 192.0.2.7" send |
        nsupdate -t 3 >"$WORK/nsupdate" 2>&1 || status=$?
    echo "$status"
}

named -v
named -f -c "$WORK/bind.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
wait_for answers

expect "taken" "NOERROR: 0 0" "$(rcode taken.example): $(statuses taken.example "$PORT")"
expect "no such zone" "NOTAUTH: 0 0" "$(rcode other.test): $(statuses other.test "$PORT")"
expect "ldns-notify's word" "rcode: NOTAUTH" "$(grep -o 'rcode: NOTAUTH' "$WORK/ldns")"
expect "lines of pdns_notify on standard error" 2 "$(wc -l <"$WORK/pdns.err")"
expect "an update of no such zone" 2 "$(update other.test "$PORT")"
expect "not allowed" "REFUSED: 0 0" "$(rcode closed.example): $(statuses closed.example "$PORT")"
expect "an update that is not allowed" 2 "$(update primary.example "$PORT")"
expect "nobody listens" "1 0" "$(statuses taken.example "$((PORT + 1))")"
expect "an update, nobody listens" 2 "$(update taken.example "$((PORT + 1))")"
