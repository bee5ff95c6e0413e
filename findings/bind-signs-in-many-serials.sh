#!/usr/bin/env bash
# BIND signs a zone for the first time in dozens of versions, each with a serial of its own.
#
# Guess:    a zone that gets a `dnssec-policy` is signed as a whole: one new serial, or two.
# Seen:     BIND writes some ten signatures a time (`sig-signing-signatures`), and gives each lot a serial: a zone of 203 names
#           goes from serial 1 to 53. An IXFR tells 52 steps, most of which add signatures of a few names. The author's next
#           serial, 2, is served as 54. With `sig-signing-signatures` and `sig-signing-nodes` at 10000 the zone goes to 3,
#           and Knot signs the same zone in one version.
# Versions: BIND 9.18.49, Knot 3.2.6 (Debian 12).
# Matters:  whoever counts versions sees 52 within seconds, in none of which a name or an address changed, and a mirror that polls
#           lacks 51; the larger the zone the more, as a version signs some four names. Journals that hold so many steps
#           lose all older ones. Raise both settings before a zone is signed.

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

unpack bind9=1:9.18.49-1~deb12u3 knot=3.2.6-1 \
    libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 libknot13=3.2.6-1 liburcu8 libxdp1 libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

# Writes the zone of 203 names with a serial, and an address of one of them, into a folder.
write_zone() {
    {
        printf '%s\n' "\$ORIGIN example." "\$TTL 300" "@ SOA ns hostmaster $2 3600 600 86400 300" '@ NS ns' 'ns A 192.0.2.1' \
            "moved A $3"
        for i in {1..200}; do echo "n$i A 198.51.100.$i"; done
    } >"$1/zone"
}

# Starts BIND in a folder, at a port above the first one, with settings for the zone.
start_bind() {
    local folder=$1 port=$((PORT + $2)) settings=${3:-}
    mkdir -p "$folder/keys"
    write_zone "$folder" 1 192.0.2.2
    cat >"$folder/named.conf" <<END
options {
    directory "$folder";
    key-directory "$folder/keys";
    session-keyfile "$folder/session.key";
    listen-on port $port { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
    allow-transfer { 127.0.0.1; };
};
controls { };
zone "example" {
    type primary;
    file "zone";
    dnssec-policy default;
    inline-signing yes;
    max-ixfr-ratio unlimited;
    $settings
};
END
    named -f -c "$folder/named.conf" >"$folder/out" 2>&1 &
    PIDS+=($!)
}

# Prints the serial at a port above the first one.
serial() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +short +time=1 +tries=1 SOA example. | cut -d ' ' -f 3
}

# Tells whether a server has signed the zone: its serial rests, and the last name has its signature.
is_signed() {
    local before after
    before=$(serial "$1")
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +time=1 +tries=1 AXFR example. >"$WORK/transfer"
    [[ $(awk '$4 == "RRSIG" && $5 == "A"' "$WORK/transfer" | wc -l) == 202 ]] || return 1
    sleep 2
    after=$(serial "$1")
    [[ $before == "$after" ]]
}

# Tells whether a server has the zone at a serial.
is_at() {
    [[ $(serial "$1") == "$2" ]]
}

# Prints the steps of an IXFR from a serial: each has two SOA records, and the whole begins and ends with one.
steps() {
    dig "@127.0.0.1" -p "$((PORT + $1))" +noall +answer +time=2 +tries=1 "IXFR=$2" example. >"$WORK/ixfr"
    echo $((($(awk '$4 == "SOA"' "$WORK/ixfr" | wc -l) - 2) / 2))
}

named -v
mkdir "$WORK/slow" "$WORK/fast" "$WORK/knot"
start_bind "$WORK/slow" 0
first=$!
wait_for is_signed 0
expect "BIND, the serial after signing from 1" 53 "$(serial 0)"
expect "steps of IXFR from 1" 52 "$(steps 0 1)"
expect "addresses in them" 0 "$(awk '$4 == "A"' "$WORK/ixfr" | wc -l)"
write_zone "$WORK/slow" 2 192.0.2.3
sleep 1.1 # So that the file's time differs.
kill -HUP "$first"
wait_for is_at 0 54
expect "the author's serial 2 is served as" 54 "$(serial 0)"

start_bind "$WORK/fast" 1 "sig-signing-signatures 10000; sig-signing-nodes 10000;"
wait_for is_signed 1
expect "BIND with lots of 10000, the serial after signing from 1" 3 "$(serial 1)"

write_zone "$WORK/knot" 1 192.0.2.2
cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK/knot"
    listen: 127.0.0.1@$((PORT + 2))
database:
    storage: "$WORK/knot"
acl:
  - id: local
    address: 127.0.0.1
    action: transfer
zone:
  - domain: example.
    file: "$WORK/knot/zone"
    zonefile-sync: -1
    dnssec-signing: on
    acl: local
END
knotd -c "$WORK/knot.conf" >"$WORK/knot/out" 2>&1 &
PIDS+=($!)
wait_for is_signed 2
expect "Knot, the serial after signing from 1" 2 "$(serial 2)"
