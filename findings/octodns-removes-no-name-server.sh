#!/usr/bin/env bash
# octoDNS adds name servers at the apex by RFC 2136, removes none, and says that it did.
#
# Guess:    when the name servers in the configuration change, `octodns-sync --doit --force` gives the zone the new set, as its
#           plan says; the next run has nothing to do.
# Seen:     the plan is an update from ns1 and ns2 to ns1 and ns3, it is applied without an error, and the zone has all three.
#           Each further run plans and applies the same again, and exits with 0. octodns-bind (which says that it supports
#           name servers at the apex) sends the removal of the RRset and the new one; servers pass over that removal at the
#           apex (RFC 2136, 3.4.2.3), and answer NOERROR. BIND and Knot do the same. Below the apex the set is replaced.
# Versions: octodns 1.22.0, octodns-bind 1.1.0, dnspython 2.9.2 (PyPI), BIND 9.18.49, Knot 3.2.6 (Debian 12).
# Matters:  a name server that was given up, perhaps because it is no longer the operator's, goes on being one; a mirror is
#           right to tell no removal. Remove that record alone, by nsupdate, which both servers carry out.

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

# Installs PyPI packages into an environment of their own in the work folder.
install() {
    if ! { python3 -m venv "$WORK/venv" && "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }; then
        echo "not tried: a package cannot be installed from PyPI" >&2
        exit 2
    fi
    export PATH="$WORK/venv/bin:$PATH"
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

unpack bind9=1:9.18.49-1~deb12u3 knot=3.2.6-1 \
    libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2
install octodns==1.22.0 octodns-bind==1.1.0 dnspython==2.9.2

mkdir "$WORK/bind" "$WORK/knot" "$WORK/config"
printf '%s\n' "\$ORIGIN example." "\$TTL 300" '@ SOA ns1 hostmaster 1 3600 600 86400 300' '@ NS ns1' '@ NS ns2' \
    'ns1 A 192.0.2.1' 'ns2 A 192.0.2.2' 'ns3 A 192.0.2.3' 'sub NS ns1' 'sub NS ns2' >"$WORK/bind/example"
cp "$WORK/bind/example" "$WORK/knot/example"
cat >"$WORK/named.conf" <<END
options {
    directory "$WORK/bind";
    listen-on port $PORT { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    session-keyfile "$WORK/bind/session.key";
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer { 127.0.0.1; };
};
controls { };
zone "example" { type primary; file "example"; allow-update { 127.0.0.1; }; };
END
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: 127.0.0.1@$((PORT + 1))
database:
    storage: "$WORK/knot"
acl:
  - id: local
    address: 127.0.0.1
    action: [transfer, update]
zone:
  - domain: example.
    storage: "$WORK/knot"
    file: example
    zonefile-sync: -1
    acl: local
END
named -f -c "$WORK/named.conf" >"$WORK/bind/out" 2>&1 &
PIDS+=($!)
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)

# The zone as it shall be: ns3 in the place of ns2, at the apex and at a delegation.
cat >"$WORK/config/example.yaml" <<END
'':
  type: NS
  ttl: 300
  values: [ns1.example., ns3.example.]
ns1: {type: A, ttl: 300, value: 192.0.2.1}
ns2: {type: A, ttl: 300, value: 192.0.2.2}
ns3: {type: A, ttl: 300, value: 192.0.2.3}
sub:
  type: NS
  ttl: 300
  values: [ns1.example., ns3.example.]
END
for i in 0 1; do
    cat >"$WORK/octodns-$i.yaml" <<END
providers:
  config:
    class: octodns.provider.yaml.YamlProvider
    directory: $WORK/config
    enforce_order: false
  server:
    class: octodns_bind.Rfc2136Provider
    host: 127.0.0.1
    port: $((PORT + i))
zones:
  example.:
    sources: [config]
    targets: [server]
END
done

# Prints the name servers of a name at a port above the first one.
name_servers() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +time=1 +tries=1 AXFR example. |
        awk -v name="$2" '$1 == name && $4 == "NS" { print $5 }' | sort | paste -s -d ' '
}

# Tells whether a server has the zone.
is_up() {
    [[ -n $(name_servers "$1" example.) ]]
}

# Brings a server's zone to what the configuration says; prints the number of changes and the exit status.
synchronise() {
    local status=0
    octodns-sync --config-file="$WORK/octodns-$1.yaml" --doit --force >"$WORK/sync" 2>&1 || status=$?
    echo "$(sed -n 's/.*apply: making \([0-9]*\) changes.*/\1/p' "$WORK/sync"), $status"
}

SERVERS=(BIND Knot)
for i in 0 1; do
    wait_for is_up "$i"
    expect "${SERVERS[i]}, changes and exit status" "2, 0" "$(synchronise "$i")"
    sed -n '/Update$/,/Summary/p' "$WORK/sync"
    expect "name servers of sub.example." "ns1.example. ns3.example." "$(name_servers "$i" sub.example.)"
    expect "name servers of example." "ns1.example. ns2.example. ns3.example." "$(name_servers "$i" example.)"
    expect "the same once more" "1, 0" "$(synchronise "$i")"
    expect "name servers of example." "ns1.example. ns2.example. ns3.example." "$(name_servers "$i" example.)"
    printf '%s\n' "server 127.0.0.1 $((PORT + i))" 'update delete example. NS ns2.example.' send | nsupdate
    expect "name servers after the removal of one record" "ns1.example. ns3.example." "$(name_servers "$i" example.)"
done
