#!/usr/bin/env bash
# whoisit returns a network that the address in question is not in.
#
# Guess:    `whoisit.ip(address)["network"]` holds the address; its source says that it "matches the query".
# Seen:     RDAP (RFC 9083, 5.4) names a network by its first and last address, and need not give prefixes (`cidr0_cidrs` is an
#           extension). Where a network from 192.0.2.64 to 192.0.3.127 is given that way, `network` is 192.0.2.64/26, the first
#           of the prefixes that it is made of, also when 192.0.3.9 was asked. With `cidr0_cidrs` it is 192.0.3.0/25, the one
#           that holds the address. `cidrs` has all three either way.
# Versions: whoisit 4.1.0 (PyPI).
# Matters:  whoever groups addresses by it, or tells a desk which network is meant, names one in which nothing was seen, and
#           counts one network as several or several as one. Use `start_address` and `end_address`, or look into `cidrs`.

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

install whoisit==4.1.0

cat >"$WORK/ask.py" <<'END'
import io, json, sys, time
import requests, whoisit

ANSWER = {
    "rdapConformance": ["rdap_level_0"],
    "objectClassName": "ip network",
    "handle": "NET-EXAMPLE",
    "startAddress": "192.0.2.64",
    "endAddress": "192.0.3.127",
    "ipVersion": "v4",
    "entities": [],
}
if "prefixes" in sys.argv:
    ANSWER["rdapConformance"].append("cidr0")
    ANSWER["cidr0_cidrs"] = [
        {"v4prefix": "192.0.2.64", "length": 26},
        {"v4prefix": "192.0.2.128", "length": 25},
        {"v4prefix": "192.0.3.0", "length": 25},
    ]


class Registry(requests.adapters.BaseAdapter):
    """Answers each question in this process, without a network."""

    def send(self, request, **_):
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response.headers["Content-Type"] = "application/rdap+json"
        response.raw = io.BytesIO(json.dumps(ANSWER).encode())
        return response

    def close(self):
        pass


services = {
    "asn": [[["64496-64511"], ["https://rdap.example/"]]],
    "dns": [[["example"], ["https://rdap.example/"]]],
    "ipv4": [[["192.0.2.0/23"], ["https://rdap.example/"]]],
    "ipv6": [[["2001:db8::/32"], ["https://rdap.example/"]]],
    "object": [[["x"], ["EX"], ["https://rdap.example/"]]],
}
data = {name: {"services": rows} for name, rows in services.items()}
whoisit.load_bootstrap_data(json.dumps({"timestamp": int(time.time()), **data}))
session = requests.Session()
session.mount("https://", Registry())
result = whoisit.ip(sys.argv[1], session=session)
print(result["network"], *result["cidrs"])
END

all="192.0.2.64/26 192.0.2.128/25 192.0.3.0/25"
expect "192.0.3.9 by prefixes: network, and prefixes" "192.0.3.0/25 $all" "$(python3 "$WORK/ask.py" 192.0.3.9 prefixes)"
expect "192.0.3.9 by the first and last address" "192.0.2.64/26 $all" "$(python3 "$WORK/ask.py" 192.0.3.9)"
