#!/usr/bin/env bash
# Knot gives the members of a catalog other labels when its database is new.
#
# Guess:    the label of a member in a generated catalog follows from its name, so that two servers
#           with the same configuration make the same catalog.
# Seen:     the label depends on when the server first saw the member, to the second; the database keeps
#           that time. A restart keeps the labels; a restart after the database was lost, and so a second
#           server with the same configuration, has another label for each member.
# Versions: Knot 3.2.6 (Debian 12).
# Matters:  RFC 9432, 5.4: a member whose label changed is reset, so a consumer drops all that it knew of
#           each zone and takes all of them again. Keep the database in the backup; give
#           consumers one primary for the catalog, not two that generate it.

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

unpack knot=3.2.6-1 knot-dnsutils=3.2.6-1 libbpf1 libbsd0 libcap-ng0 libdnssec9=3.2.6-1 libedit2 libelf1 \
    libfstrm0 libknot13=3.2.6-1 liblmdb0 libnghttp2-14 libprotobuf-c1 liburcu8 libxdp1 libzscanner4=3.2.6-1

printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' >"$WORK/zone"

# Starts a server with a database, writes the catalog that it generates, and ends it.
catalog() {
    mkdir -p "$WORK/$1"
    cat >"$WORK/knot.conf" <<END
server:
    rundir: "$WORK/$1"
    listen: 127.0.0.1@$PORT
database:
    storage: "$WORK/$1"
acl:
  - id: local
    address: 127.0.0.1
    action: transfer
template:
  - id: member
    file: "$WORK/zone"
    zonefile-sync: -1
    catalog-role: member
    catalog-zone: catalog.example.
zone:
  - domain: catalog.example.
    catalog-role: generate
    zonefile-sync: -1
    acl: local
  - domain: a.example.
    template: member
  - domain: b.example.
    template: member
END
    knotd -c "$WORK/knot.conf" >"$WORK/$1.log" 2>&1 &
    local pid=$!
    PIDS+=("$pid")
    wait_for has_members
    members >"$WORK/$2"
    sed 's/^/    /' "$WORK/$2"
    kill "$pid"
    wait "$pid" || true
}

# Prints label and name of each member.
members() {
    kdig +noall +answer "@127.0.0.1" -p "$PORT" catalog.example. AXFR | awk '$4 == "PTR" { print $1, $5 }' | sort
}

# Tells whether the catalog has both members.
has_members() {
    [[ $(members | wc -l) == 2 ]]
}

# Tells in a word whether two catalogs have the same labels.
same() {
    if cmp -s "$WORK/$1" "$WORK/$2"; then echo "the same"; else echo "other"; fi
}

knotd --version
echo "First start, restart, restart with a new database:"
catalog kept first
catalog kept again
sleep 1.1
catalog new fresh
expect "labels after a restart" "the same" "$(same first again)"
expect "labels after a restart with a new database" "other" "$(same first fresh)"
expect "labels that both have" 0 "$(comm -12 "$WORK/first" "$WORK/fresh" | wc -l)"
