#!/usr/bin/env bash
# whodap says REDACTED of a registrant's address and telephone number that the RDAP server gives.
#
# Guess:    what an RDAP answer lists as redacted (RFC 9537) is what is missing from it; what it gives is told.
# Seen:     the server redacts "Registrant Street", and gives city, region and country; it redacts "Registrant Phone Ext", and
#           gives the number. `to_whois_dict` has "REDACTED FOR PRIVACY" as address and as number. Without the list of
#           redactions the same answer is told as "Wellington, WGN, New Zealand" and "tel:+64.45550100". Redactions by
#           replacement leave the value that replaces.
# Versions: whodap 0.2.1 (PyPI).
# Matters:  registries redact street and extension and publish the country, as ICANN wants it; whoever sorts registrations by
#           it, to find the desk or the law that answers for a name, reads that nothing is known. Read the fields of the answer.

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

install whodap==0.2.1

cat >"$WORK/read.py" <<'END'
import json, sys
from whodap.response import DomainResponse

REGISTRANT = "$.entities[?(@.roles[0]=='registrant')].vcardArray[1]"
answer = {
    "rdapConformance": ["rdap_level_0", "redacted"],
    "objectClassName": "domain",
    "ldhName": "name.example",
    "entities": [
        {
            "objectClassName": "entity",
            "roles": ["registrant"],
            "vcardArray": [
                "vcard",
                [
                    ["version", {}, "text", "4.0"],
                    ["fn", {}, "text", ""],
                    ["adr", {"cc": "NZ"}, "text", ["", "", "", "Wellington", "WGN", "", "New Zealand"]],
                    ["tel", {"type": "voice"}, "uri", "tel:+64.45550100"],
                    ["contact-uri", {}, "uri", "https://registrar.example/contact"],
                ],
            ],
        }
    ],
}
redactions = {
    "street": ("Registrant Street", "emptyValue", "postPath", "[?(@[0]=='adr')][3][:3]"),
    "extension": ("Registrant Phone Ext", "removal", "prePath", "[?(@[1].ext)]"),
    "email": ("Registrant Email", "replacementValue", "postPath", "[?(@[0]=='contact-uri')]"),
}
answer["redacted"] = [
    {"name": {"description": name}, "method": method, path: REGISTRANT + rest, "pathLang": "jsonpath"}
    for name, method, path, rest in map(redactions.get, sys.argv[1:])
]
whois = DomainResponse.from_json(json.dumps(answer)).to_whois_dict()
print(*(whois["registrant_" + key] for key in ("address", "phone", "email")), sep=" | ")
END

given="Wellington, WGN, New Zealand | tel:+64.45550100"
replaced=https://registrar.example/contact
expect "nothing is redacted" "$given | $replaced" "$(python3 "$WORK/read.py")"
expect "the street is redacted" "REDACTED FOR PRIVACY | tel:+64.45550100 | $replaced" "$(python3 "$WORK/read.py" street)"
expect "the extension is redacted" "Wellington, WGN, New Zealand | REDACTED FOR PRIVACY | $replaced" \
    "$(python3 "$WORK/read.py" extension)"
expect "the mail address is replaced" "$given | $replaced" "$(python3 "$WORK/read.py" email)"
