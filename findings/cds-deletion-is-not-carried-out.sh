#!/usr/bin/env bash
# Two tools that make DS records of a child's CDS records do not carry out the child's wish to be unsigned.
#
# Guess:    "CDS 0 0 0 00" deletes all DS records of the child (RFC 8078, 4), and what serves the parent's side knows it; the
#           same tool that takes new keys from a child takes its leave.
# Seen:     dnssec-cds exits with 1: "CDS records at example do not match any -a digest types", and prints nothing, with -u too,
#           although the record is there and its signature is right. A CDS record of a new key is carried out.
#           `cds_rdataset_to_ds_rdataset` of dnspython makes a DS record of it: "DS 0 0 0 00", of no key, which named-checkzone
#           takes in the parent's zone.
# Versions: BIND's dnssec-cds 9.18.49 (Debian 12), dnspython 2.9.2 (PyPI).
# Matters:  the child then takes its keys away, as it may, and is bogus at each validating resolver as long as the old DS record
#           stands; or a DS record that no one made is published and stays. Look for "0 0 0 00" before such a tool is asked.

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

# Installs PyPI packages into an environment of their own in the work folder.
install() {
    if ! { python3 -m venv "$WORK/venv" && "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }; then
        echo "not tried: a package cannot be installed from PyPI" >&2
        exit 2
    fi
    export PATH="$WORK/venv/bin:$PATH"
}

unpack bind9-utils=1:9.18.49-1~deb12u3 \
    bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2
install dnspython==2.9.2
cd "$WORK"
current=$(dnssec-keygen -q -a ECDSAP256SHA256 -f KSK example)
next=$(dnssec-keygen -q -a ECDSAP256SHA256 -f KSK example)
dnssec-dsfromkey -a SHA-256 "$current.key" >dsset

# Signs the child's zone with a CDS record more, and keeps what the parent would ask the child for.
publish() {
    printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' "example. CDS $1" >zone
    cat "$current.key" "$next.key" >>zone
    dnssec-signzone -q -z -o example -f signed zone "$current" "$next" >signing 2>&1
    named-compilezone -q -o flat example signed
    awk '$4 == "DNSKEY" || $4 == "CDS" || $4 == "RRSIG" && ($5 == "DNSKEY" || $5 == "CDS")' flat >child
}

# Runs dnssec-cds, and prints its exit status and its output. A signature may be as old as those of dnssec-signzone.
carry_out() {
    local status=0
    dnssec-cds -s -7200 "$@" -f child -d dsset example >out 2>words || status=$?
    sed 's/^/    /' words >&2
    echo "$status $(cut -d ' ' -f 1-7 out | paste -s -d ,)" | sed 's/ $//'
}

# Prints the DS record of a key.
ds_of() {
    dnssec-dsfromkey -a SHA-256 "$1.key" | cut -d ' ' -f 4-
}

# Prints the DS record that dnspython makes of the child's CDS record.
make_ds() {
    python3 -c '
import dns.dnssec, dns.rdataset, sys
print(*dns.dnssec.cds_rdataset_to_ds_rdataset(dns.rdataset.from_text("IN", "CDS", 300, sys.argv[1])))' "$1"
}

dnssec-cds -V 2>&1 | head -n 1
publish "$(ds_of "$next")"
expect "a new key" "0 example. IN DS $(ds_of "$next")" "$(carry_out)"
publish "0 0 0 00"
grep -w 'CDS.*0 0 0 00' child
expect "deletion" "1" "$(carry_out)"
expect "words" "CDS records at example do not match any -a digest types" "$(sed -n 's/.*fatal: //p' words)"
expect "deletion, as an update" "1" "$(carry_out -u)"
expect "deletion by dnspython" "0 0 0 00" "$(make_ds "0 0 0 00")"
printf '%s\n' "\$TTL 300" '@ SOA ns hostmaster 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' 'example NS ns' \
    "example DS $(make_ds "0 0 0 00")" >parent
expect "the parent's zone with it" "OK" "$(named-checkzone test parent | tail -n 1)"
