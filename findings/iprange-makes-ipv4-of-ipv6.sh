#!/usr/bin/env bash
# iprange makes an IPv4 address of an IPv6 prefix, and exits with 0.
#
# Guess:    a tool for IPv4 sets refuses an IPv6 line of a mixed list, or leaves it out.
# Seen:     iprange takes what stands before the first colon: 2001:db8::/32 becomes 0.0.7.209, 2606:4700::/32 becomes 0.0.10.46,
#           and both stand in the merged set among the others. It says "Ignoring text after hostname '2001'" on standard error,
#           and exits with 0. Where there is a letter, as in 2a00, it asks DNS for a host of that name. 192.0.2.256 is
#           left out.
# Versions: iprange 1.0.4 (Debian 12: 1.0.4+ds-2).
# Matters:  lists of networks hold both families. The set that a firewall or a table gets covers none of the IPv6 networks,
#           holds addresses of 0.0.0.0/8 instead, and nothing fails. Sort a list by family before.

set -euo pipefail

WORK=$(mktemp -d "${TMPDIR:-/tmp}/finding.XXXXXX")
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

# Says what was seen, and fails if it is not what this page describes.
expect() {
    local what=$1 wanted=$2 seen=$3
    if [[ $seen != "$wanted" ]]; then
        printf 'CHANGED  %s: expected "%s", seen "%s"\n' "$what" "$wanted" "$seen"
        exit 1
    fi
    printf 'as described  %s: %s\n' "$what" "$seen"
}

unpack iprange=1.0.4+ds-2

# Merges lines; prints the set and the exit status. What it says on standard error is kept.
merge() {
    local status=0
    printf '%s\n' "$@" | iprange >"$WORK/set" 2>"$WORK/said" || status=$?
    echo "$(paste -s -d ' ' "$WORK/set") status $status"
}

{ iprange --version || true; } | sed -n 1p
expect "two halves" "192.0.2.0/24 status 0" "$(merge 192.0.2.0/25 192.0.2.128/25)"
expect "with IPv6 prefixes" "0.0.7.209 0.0.10.46 192.0.2.0/24 status 0" \
    "$(merge 192.0.2.0/25 192.0.2.128/25 2001:db8::/32 2606:4700::/32)"
cat "$WORK/said"
expect "IPv6 alone, a range" "0.0.7.209 status 0" "$(merge 2001:db8::1-2001:db8::9)"
expect "what is no address" "192.0.2.0/25 status 0" "$(merge 192.0.2.0/25 192.0.2.256)"
cat "$WORK/said"
