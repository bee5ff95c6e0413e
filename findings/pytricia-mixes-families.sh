#!/usr/bin/env bash
# pytricia finds an IPv4 address in an IPv6 prefix whose first bits it has.
#
# Guess:    one table holds prefixes of both families, as it takes both: an address is found in prefixes of its own family, or
#           not at all.
# Seen:     the table compares bits and does not ask of which family they are. 32.1.13.184 (0x20010db8) is found in
#           2001:db8::/32, `get_key` says so, and c000:0200:: is found in 192.0.2.0/24. In a table of 32.0.0.0/8 and
#           2001:d00::/24 the address 32.1.13.184 belongs to the IPv6 prefix, which is the longer one. The width (32 or 128)
#           and AF_INET6 change nothing, and there is no error. py-radix and pyasn tell the families apart.
# Versions: pytricia 1.3.0, py-radix 1.1.0, pyasn 1.6.2 (PyPI).
# Matters:  one table of origins for both families, which is what dumps of routes are, names wrong networks for IPv4
#           addresses whose bits begin as those of 2001::/16, 2400::/12, 2600::/12 or 2a00::/12 do: 32.1.0.0/16, 36.0.0.0/12,
#           38.0.0.0/12 and 42.0.0.0/12. The report goes to a desk that has nothing to do with it. Keep a table for each family.

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

# Installs PyPI packages into an environment of their own in the work folder.
install() {
    if ! { python3 -m venv "$WORK/venv" && "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }; then
        echo "not tried: a package cannot be installed from PyPI" >&2
        exit 2
    fi
    export PATH="$WORK/venv/bin:$PATH"
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

install pytricia==1.3.0 py-radix==1.1.0 pyasn==1.6.2

cat >"$WORK/find.py" <<'END'
"""Looks addresses up in a table of one package; prints the prefix in which each is found, or None."""
import socket
import sys

import pyasn
import pytricia
import radix

kind, prefixes, addresses = sys.argv[1], sys.argv[2].split(), sys.argv[3:]
if kind == "py-radix":
    table = radix.Radix()
    for prefix in prefixes:
        table.add(prefix)
    found = [table.search_best(address) for address in addresses]
    found = [node and node.prefix for node in found]
elif kind == "pyasn":
    rows = "".join(f"{prefix}\t64500\n" for prefix in prefixes)
    table = pyasn.pyasn(None, ipasn_string=rows)
    found = [table.lookup(address)[1] for address in addresses]
else:
    table = {"32": lambda: pytricia.PyTricia(32), "128": lambda: pytricia.PyTricia(128),
             "AF_INET6": lambda: pytricia.PyTricia(128, socket.AF_INET6)}[kind]()
    for prefix in prefixes:
        table[prefix] = prefix
    found = [table.get_key(address) for address in addresses]
print(*found)
END

pip list 2>/dev/null | grep -e pytricia -e py-radix -e pyasn
for kind in 32 128 AF_INET6; do
    expect "pytricia, $kind: an IPv4 address among IPv6 prefixes" "2001:db8::/32 None" \
        "$(python3 "$WORK/find.py" "$kind" 2001:db8::/32 32.1.13.184 32.1.13.185)"
done
expect "pytricia: an IPv6 address among IPv4 prefixes" "192.0.2.0/24" \
    "$(python3 "$WORK/find.py" 128 192.0.2.0/24 c000:0200::)"
expect "pytricia: an IPv4 address, with a prefix of its own family" "2001:d00::/24 32.0.0.0/8" \
    "$(python3 "$WORK/find.py" 128 '32.0.0.0/8 2001:d00::/24' 32.1.13.184 32.2.0.1)"
for kind in py-radix pyasn; do
    expect "$kind: the same" "32.0.0.0/8 2001:d00::/24" \
        "$(python3 "$WORK/find.py" "$kind" '32.0.0.0/8 2001:d00::/24' 32.1.13.184 2001:db8::1)"
done
