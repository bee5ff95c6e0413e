#!/usr/bin/env bash
# misp-stix makes an indicator of a flux domain that matches only where all of its addresses are seen at once.
#
# Guess:    the indicator of a `domain-ip` object of MISP matches where one of its names is seen with one of its addresses; two
#           names in one object are two names for STIX; the times of the object are those of what was observed.
# Seen:     the pattern joins everything by AND. Of three addresses, an observation with one or two does not match, one with
#           all three does. Of two names, no observation matches, also none that has both: a domain name has one value.
#           Beside the pattern stands one domain-name object; the second name is in a property `x_misp_domain` of the first,
#           and `first-seen` in `x_misp_first_seen`, while `first_observed` is the time of the conversion. The converter's reader
#           for STIX of others gets the first name alone, its reader for its own gets both.
# Versions: misp-stix 2026.10.12, pymisp 2.5.34.4, stix2-matcher 3.0.0 (PyPI).
# Matters:  the more addresses a flux domain had, the surer its indicator finds nothing: no answer has them all. Give each pair
#           of a name and an address an object of its own, or the attribute `domain|ip`.

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

install misp-stix==2026.10.12 pymisp==2.5.34.4 stix2-matcher==3.0.0

cat >"$WORK/convert.py" <<'END'
"""Makes STIX of a domain-ip object of MISP; tells what its indicator matches, and what stands beside it."""
from misp_stix_converter import ExternalSTIX2toMISPParser, InternalSTIX2toMISPParser, MISPtoSTIX21Parser
from pymisp import MISPEvent, MISPObject
from stix2matcher.matcher import match

STAMP = "2026-11-01T00:00:00Z"
ADDRESSES = ["192.0.2.1", "198.51.100.2", "203.0.113.3"]


def convert(names, addresses):
    event = MISPEvent()
    event.from_dict(info="Flux", date="2026-11-01", timestamp="1793491200")
    seen = MISPObject("domain-ip")
    for name in names:
        seen.add_attribute("domain", name)
    for address in addresses:
        seen.add_attribute("ip", address)
    seen.add_attribute("first-seen", STAMP)
    event.add_object(seen)
    parser = MISPtoSTIX21Parser()
    parser.parse_misp_event(event)
    return parser


def part(parser, kind):
    return [item for item in parser.stix_objects if item.type == kind]


def observation(names, addresses):
    numbers = [f"ipv4-addr--28bb3599-77cd-4a82-a950-b5bc33507{i:03}" for i in range(len(addresses))]
    objects = [{"type": "ipv4-addr", "id": n, "value": a} for n, a in zip(numbers, addresses)]
    objects += [
        {"type": "domain-name", "id": f"domain-name--28bb3599-77cd-4a82-a950-b5bc33508{i:03}", "value": name,
         "resolves_to_refs": numbers}
        for i, name in enumerate(names)
    ]
    observed = {"type": "observed-data", "id": "observed-data--28bb3599-77cd-4a82-a950-b5bc33509000", "created": STAMP,
                "modified": STAMP, "first_observed": STAMP, "last_observed": STAMP, "number_observed": 1,
                "object_refs": [item["id"] for item in objects]}
    objects = [{**item, "spec_version": "2.1"} for item in [observed, *objects]]
    return [{"type": "bundle", "id": "bundle--28bb3599-77cd-4a82-a950-b5bc33509001", "objects": objects}]


def tell(label, parser, *observations):
    pattern = part(parser, "indicator")[0].pattern
    print(label, *("yes" if match(pattern, observation(*o), stix_version="2.1") else "no" for o in observations))


one = convert(["flux.example"], ADDRESSES)
tell("addresses", one, *((["flux.example"], ADDRESSES[:n]) for n in (1, 2, 3)))
both = ["a.example", "b.example"]
two = convert(both, ADDRESSES[:1])
tell("names", two, *((names, ADDRESSES[:1]) for names in (both[:1], both[1:], both)))
domains = part(two, "domain-name")
print("domains", *(d.value for d in domains), *domains[0]["x_misp_domain"])
print("seen", domains[0]["x_misp_first_seen"], part(two, "observed-data")[0].first_observed.strftime("%F") == STAMP[:10])
for reader in (InternalSTIX2toMISPParser, ExternalSTIX2toMISPParser):
    reading = reader()
    reading.load_stix_bundle(two.bundle)
    reading.parse_stix_bundle()
    names = [a.value for o in reading.misp_event.objects for a in o.attributes if a.object_relation == "domain"]
    print(reader.__name__, *sorted(names))
END
python3 "$WORK/convert.py" >"$WORK/told"

# Prints what was told under a label.
told() {
    sed -n "s/^$1 //p" "$WORK/told"
}

expect "a name and three addresses: matches one, two, three of them" "no no yes" "$(told addresses)"
expect "two names and an address: matches the first, the second, both" "no no no" "$(told names)"
expect "domain-name object, and its x_misp_domain" "a.example b.example" "$(told domains)"
expect "x_misp_first_seen, and whether first_observed is that day" "2026-11-01 00:00:00+00:00 False" "$(told seen)"
expect "names that the reader for its own gets" "a.example b.example" "$(told InternalSTIX2toMISPParser)"
expect "names that the reader for others' gets" "a.example" "$(told ExternalSTIX2toMISPParser)"
