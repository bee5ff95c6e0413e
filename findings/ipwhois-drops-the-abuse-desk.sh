#!/usr/bin/env bash
# ipwhois leaves out the abuse desk that stands inside the holder's entry, and all contacts behind one that has no handle.
#
# Guess:    `lookup_rdap` tells the contacts that the answer holds; its `depth` is for those that must be asked for.
# Seen:     where the answer has the abuse desk, with its mail address, as an entity of the registrant's (RFC 9083, 5.1), `objects`
#           has the registrant alone. With `depth=1` the desk is asked for by its handle, at the registry's own address, and what
#           was in the first answer is not used: when that query fails the desk is an empty entry. A desk that stands beside the
#           registrant is told, unless a contact before it has no handle, which none needs to have: all from there on are
#           missing, and there is no error.
# Versions: ipwhois 1.3.0 (PyPI).
# Matters:  a reporter finds the desks of one registry and not those of the next, and has the registrant's address, or none. Take
#           `inc_raw=True`, and look through the entities, and the entities of these.

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

install ipwhois==1.3.0

cat >"$WORK/look.py" <<'END'
"""Looks an address up in an answer that stands here; prints each contact with its mail address, and each further question."""
import copy, sys

from ipwhois.exceptions import HTTPLookupError
from ipwhois.net import Net
from ipwhois.rdap import RDAP


def contact(role, handle, **more):
    mail = f"{role}@holder.example"
    card = ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", role], ["kind", {}, "text", "group"],
                      ["email", {}, "text", mail]]]
    return {"objectClassName": "entity", "roles": [role], "vcardArray": card, **({"handle": handle} if handle else {}), **more}


class Registry(Net):
    """Asks nobody: gives the desk again by its handle, or fails."""

    def __init__(self, fails):
        self.address_str, self.fails, self.asked = "192.0.2.9", fails, []

    def get_http_json(self, url=None, **_):
        self.asked.append(url)
        if self.fails:
            raise HTTPLookupError("not reached")
        return copy.deepcopy(DESK)


DESK = contact("abuse", "DESK-1")
case, depth = sys.argv[1], int(sys.argv[2])
entities = {
    "inside": [contact("registrant", "ORG-1", entities=[DESK])],
    "beside": [contact("registrant", "ORG-1"), DESK],
    "behind": [contact("registrant", None), DESK, contact("technical", "TECH-1")],
}[case]
answer = {
    "rdapConformance": ["rdap_level_0"],
    "objectClassName": "ip network",
    "handle": "NET-1",
    "startAddress": "192.0.2.0",
    "endAddress": "192.0.2.255",
    "ipVersion": "v4",
    "links": [{"rel": "self", "href": "https://rdap.example/ip/192.0.2.0"}],
    "entities": entities,
}
net = Registry("fails" in sys.argv)
result = RDAP(net).lookup(response=answer, asn_data={"asn_registry": "arin"}, depth=depth)
for handle, entry in sorted(result["objects"].items()):
    print(handle, entry["contact"]["email"][0]["value"] if entry else "empty")
print("asked", len(net.asked))
END

# Prints on one line what is found: where the desk stands, the depth, and whether a further question fails.
look() {
    python3 "$WORK/look.py" "$@" | paste -s -d ' '
}

registrant="ORG-1 registrant@holder.example"
desk="DESK-1 abuse@holder.example"
expect "beside the registrant" "$desk $registrant asked 0" "$(look beside 0)"
expect "inside the registrant" "$registrant asked 0" "$(look inside 0)"
expect "inside, depth 1" "$desk $registrant asked 1" "$(look inside 1)"
expect "inside, depth 1, the question fails" "DESK-1 empty $registrant asked 1" "$(look inside 1 fails)"
expect "behind a registrant without a handle" "asked 0" "$(look behind 0)"
expect "behind a registrant without a handle, depth 1" "asked 0" "$(look behind 1)"
