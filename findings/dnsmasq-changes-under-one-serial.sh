#!/usr/bin/env bash
# dnsmasq transfers a zone whose addresses change under one serial, and gives it new serials when nothing changed.
#
# Guess:    the serial of a zone that dnsmasq makes of files of hosts rises when what it serves of them changes, and stays else.
# Seen:     in a folder of `hostsdir`, which dnsmasq reads whenever a file in it changes, an address that is replaced, one that
#           is added and a file that is removed are in the next AXFR, under the old serial. A file of `addn-hosts` is read by
#           SIGHUP alone, and each SIGHUP raises the serial by one, also where the file is the same. A new start without a
#           change gives the zone the time of day as its serial.
# Versions: dnsmasq 2.90 (Debian 12: dnsmasq-base 2.90-4~deb12u2), dig of BIND 9.18.49.
# Matters:  a secondary, and a mirror that asks for the serial first, never get an address of `hostsdir` until somebody sends
#           SIGHUP, perhaps for months; then all changes come as one. Send SIGHUP after each change there.

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

unpack dnsmasq-base=2.90-4~deb12u2 bind9-dnsutils=1:9.18.49-1~deb12u3 \
    libdbus-1-3 libnetfilter-conntrack3 libnfnetlink0 libmnl0 libnftables1 libnftnl11 libnettle8 libhogweed6 libgmp10 \
    libjansson4 bind9-libs libbsd0 libcap-ng0 libedit2 libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 \
    libkeyutils1 libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

# Starts dnsmasq for a zone that is made of a folder, or of a file, of hosts.
start() {
    cat >"$WORK/dnsmasq.conf" <<END
port=$PORT
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
$1
auth-server=ns.example,lo
auth-zone=example
auth-peer=127.0.0.1
pid-file=
user=$(id --user --name)
group=$(id --group --name)
END
    dnsmasq --keep-in-foreground --conf-file="$WORK/dnsmasq.conf" >>"$WORK/out" 2>&1 &
    PIDS+=($!)
    server=$!
    wait_for is_up
}

# Ends dnsmasq.
stop() {
    kill "$server"
    wait "$server" || true
}

# Transfers the zone.
transfer() {
    dig @127.0.0.1 -p "$PORT" +noall +answer +norecurse +time=2 +tries=1 AXFR example
}

# Tells whether the zone is served.
is_up() {
    [[ $(transfer) == *SOA* ]]
}

# Prints the serial of a transfer.
serial() {
    transfer | awk '$4 == "SOA" { print $7; exit }'
}

# Prints the addresses in a transfer.
addresses() {
    transfer | awk '$4 == "A" { print $1, $5 }' | sort | paste -s -d ,
}

# Tells whether these are the addresses.
are() {
    [[ $(addresses) == "$1" ]]
}

dnsmasq --version | head -n 1
mkdir "$WORK/hosts"
printf '%s\n' '192.0.2.1 a.example' '192.0.2.2 b.example' >"$WORK/hosts/one"
start "hostsdir=$WORK/hosts"
wait_for are "a.example. 192.0.2.1,b.example. 192.0.2.2"
first=$(serial)
sleep 2 # So that a serial that follows the time of day would differ.
printf '%s\n' '192.0.2.1 a.example' '192.0.2.3 b.example' '192.0.2.4 c.example' >"$WORK/hosts/one"
wait_for are "a.example. 192.0.2.1,b.example. 192.0.2.3,c.example. 192.0.2.4"
expect "hostsdir, after an address was replaced and one added, the serial rises by" 0 "$(($(serial) - first))"
rm "$WORK/hosts/one"
wait_for are ""
expect "hostsdir, after the file was removed" 0 "$(($(serial) - first))"
kill -HUP "$server"
sleep 1
expect "hostsdir, after SIGHUP" 1 "$(($(serial) - first))"
stop

printf '%s\n' '192.0.2.1 a.example' >"$WORK/file"
start "addn-hosts=$WORK/file"
first=$(serial)
sleep 2
printf '%s\n' '192.0.2.2 a.example' >"$WORK/file"
sleep 2
expect "addn-hosts, after an address was replaced" "a.example. 192.0.2.1" "$(addresses)"
for i in 1 2; do
    kill -HUP "$server"
    sleep 1
    expect "addn-hosts, after SIGHUP" "a.example. 192.0.2.2" "$(addresses)"
    expect "the serial rises by" "$i" "$(($(serial) - first))"
done
stop
sleep 1
start "addn-hosts=$WORK/file"
expect "addn-hosts, after a new start the serial is of now" yes "$( (($(date +%s) - $(serial) < 20)) && echo yes)"
