#!/usr/bin/env bash
# BIND does not load a zone file with a TTL of two days once the zone has a `dnssec-policy`, and its checkers say OK.
#
# Guess:    `dnssec-policy default` signs whatever zone is served without it; a limit for TTLs, where there is one, is off
#           until somebody sets it, is checked by named-checkconf -z, and means the same for each way into the zone.
# Seen:     the policy `default`, and each other one that leaves `max-zone-ttl` out, has a limit of a day. A zone file with
#           "$TTL 172800", the TTL of delegations in many registries' zones, is served; after `rndc reconfig` with the policy
#           it is not loaded ("exceeds configured max-zone-ttl 86400"), and the zone that was served is answered with
#           SERVFAIL. rndc exits with 0, as named-checkconf -z with that configuration and named-checkzone do.
#           A dynamic update with that TTL is answered with NOERROR, and the record is served with 86400. A secondary that
#           signs what it transfers keeps 172800.
# Versions: BIND 9.18.49 (Debian 12).
# Matters:  the day on which a zone is to be signed is the day on which it is gone, and no check before says so. A mirror gets
#           SERVFAIL, or sees TTLs that nobody wrote. Set `max-zone-ttl` in a policy of your own before.

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

unpack bind9=1:9.18.49-1~deb12u3 bind9-utils=1:9.18.49-1~deb12u3 \
    bind9-dnsutils bind9-libs libbsd0 libcap-ng0 libedit2 libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 \
    libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 \
    libxml2
mkdir "$WORK/primary" "$WORK/secondary"
for zone in file plain updated; do
    ttl=172800
    [[ $zone == updated ]] && ttl=300
    printf '%s\n' "\$TTL $ttl" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' 'a A 192.0.2.2' \
        >"$WORK/primary/$zone"
done

# Writes the primary's configuration, in which the zone from a file has this statement more.
configure() {
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
key "control" { algorithm hmac-sha256; secret "c2VjcmV0IG9mIG5vYm9keSwgZm9yIGEgdHJpYWw="; };
controls { inet 127.0.0.1 port $((PORT + 2)) allow { 127.0.0.1; } keys { "control"; }; };
dnssec-policy "silent" { keys { csk lifetime unlimited algorithm ecdsap256sha256; }; };
dnssec-policy "long" { keys { csk lifetime unlimited algorithm ecdsap256sha256; }; max-zone-ttl P2D; };
zone "file" { type primary; file "file"; $1 };
zone "plain" { type primary; file "plain"; };
zone "updated" { type primary; file "updated"; inline-signing no; dnssec-policy default; allow-update { 127.0.0.1; }; };
END
}

cat >"$WORK/secondary.conf" <<END
options {
    directory "$WORK/secondary";
    session-keyfile "$WORK/secondary/session.key";
    listen-on port $((PORT + 1)) { 127.0.0.1; };
    listen-on-v6 { none; };
    pid-file none;
    recursion no;
    dnssec-validation no;
    notify no;
};
controls { };
zone "plain" {
    type secondary;
    file "plain";
    primaries { 127.0.0.1 port $PORT; };
    inline-signing yes;
    dnssec-policy default;
};
END
cat >"$WORK/rndc.conf" <<'END'
key "control" { algorithm hmac-sha256; secret "c2VjcmV0IG9mIG5vYm9keSwgZm9yIGEgdHJpYWw="; };
options { default-key "control"; default-server 127.0.0.1; };
END

# Prints the rcode of an answer, and the TTL and type of each record in it.
ask() {
    dig @127.0.0.1 -p "$((PORT + $1))" +dnssec +noauthority +noadditional +norecurse +time=2 +tries=1 "$2" A |
        awk '/status:/ { sub(",", "", $6); printf "%s", $6 } /^[^;]/ && $3 == "IN" { printf " %s %s", $2, $4 }'
}

# Tells whether a name is answered in this way.
is_answered() {
    [[ $(ask "$1" "$2") == "$3" ]]
}

# Runs a command, and prints its exit status.
status_of() {
    local status=0
    "$@" >"$WORK/words" 2>&1 || status=$?
    sed "s|$WORK/||g; s/^/    $1: /" "$WORK/words" >&2
    echo "$status"
}

named -v
configure ""
named -f -c "$WORK/primary.conf" -L "$WORK/primary/log" >"$WORK/primary/out" 2>&1 &
PIDS+=($!)
wait_for is_answered 0 a.file "NOERROR 172800 A"
wait_for is_answered 0 a.updated "NOERROR 300 A 300 RRSIG"
expect "without a policy" "NOERROR 172800 A" "$(ask 0 a.file)"

# Gives the zone from a file a policy, and prints the exit status of the command.
sign() {
    configure "inline-signing yes; dnssec-policy $1;"
    status_of rndc -c "$WORK/rndc.conf" -p "$((PORT + 2))" reconfig
}

expect "exit status of named-checkzone" 0 "$(status_of named-checkzone file "$WORK/primary/file")"
for policy in default silent; do
    configure "inline-signing yes; dnssec-policy $policy;"
    expect "exit status of named-checkconf -z with policy $policy" 0 "$(status_of named-checkconf -z "$WORK/primary.conf")"
    expect "exit status of rndc reconfig" 0 "$(sign "$policy")"
    wait_for is_answered 0 a.file SERVFAIL
    expect "with policy $policy" SERVFAIL "$(ask 0 a.file)"
    expect "words in the log" "TTL 172800 exceeds configured max-zone-ttl 86400" \
        "$(grep -o 'TTL 172800 exceeds .*' "$WORK/primary/log" | tail -n 1)"
done
expect "exit status of rndc reconfig" 0 "$(sign long)"
wait_for is_answered 0 a.file "NOERROR 172800 A 172800 RRSIG"
expect "with a policy of max-zone-ttl P2D" "NOERROR 172800 A 172800 RRSIG" "$(ask 0 a.file)"

printf '%s\n' "server 127.0.0.1 $PORT" "update add b.updated 172800 A 192.0.2.3" send >"$WORK/update"
expect "exit status of an update with that TTL" 0 "$(status_of nsupdate "$WORK/update")"
wait_for is_answered 0 b.updated "NOERROR 86400 A 86400 RRSIG"
expect "what is served then" "NOERROR 86400 A 86400 RRSIG" "$(ask 0 b.updated)"

named -f -c "$WORK/secondary.conf" -L "$WORK/secondary/log" >"$WORK/secondary/out" 2>&1 &
PIDS+=($!)
wait_for is_answered 1 a.plain "NOERROR 172800 A 172800 RRSIG"
expect "a secondary that signs the same zone" "NOERROR 172800 A 172800 RRSIG" "$(ask 1 a.plain)"
