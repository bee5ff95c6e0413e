#!/usr/bin/env bash
# octoDNS takes a zone file over with a lower serial, and leaves out records that it was given.
#
# Guess:    `octodns-dump` of a zone file and `octodns-sync` to the same file, which reads and writes it with one class, give the
#           same zone with a higher serial; what the class does not know is an error; a run without a change changes nothing.
# Seen:     the serial is the time in seconds, whatever stood there: 2026113001, made by date as many are, becomes 1796075090 or
#           so, which is older to each secondary. DNAME, URI, HINFO and RP records are not in the dump, nor in the file after
#           it, and no warning says so; octoDNS has DNAME and URI, octodns-bind does not. The plan of the first run says
#           "Creates" alone. Each further run, without a change, writes the same records under a new serial.
# Versions: octodns 1.22.0, octodns-bind 1.1.0, dnspython 2.9.2 (PyPI).
# Matters:  the primary serves the new file, and its secondaries keep the old zone until it expires; who starts the primary
#           anew finds nothing wrong. Count the records after the first run, and let each secondary transfer the zone anew then.

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

install octodns==1.22.0 octodns-bind==1.1.0 dnspython==2.9.2

mkdir "$WORK/zones" "$WORK/config"
cat >"$WORK/octodns.yaml" <<END
providers:
  config:
    class: octodns.provider.yaml.YamlProvider
    directory: $WORK/config
  files:
    class: octodns_bind.ZoneFileProvider
    directory: $WORK/zones
zones:
  example.com.:
    sources: [config]
    targets: [files]
END
printf '%s\n' "\$ORIGIN example.com." "\$TTL 3600" '@ IN SOA ns1 hostmaster 2026113001 7200 900 1209600 300' '@ IN NS ns1' \
    '@ IN NS ns2' 'ns1 IN A 192.0.2.1' 'ns2 IN A 192.0.2.2' 'www IN A 192.0.2.10' 'old IN DNAME example.net.' \
    '_http._tcp IN URI 10 1 "http://www.example.com/"' 'host IN HINFO "x" "y"' 'desk IN RP hostmaster .' \
    >"$WORK/zones/example.com."

# Prints the types and the serial of the zone file, as dnspython reads them.
contents() {
    python3 - "$WORK/zones/example.com." "$1" <<'END'
import sys
import dns.rdatatype
import dns.zone
zone = dns.zone.from_file(sys.argv[1], "example.com.", relativize=False)
if sys.argv[2] == "serial":
    print(zone.get_soa().serial)
else:
    print(*sorted(dns.rdatatype.to_text(rdata.rdtype) for _, _, rdata in zone.iterate_rdatas()))
END
}

# Writes the configuration into the zone file.
sync_zone() {
    octodns-sync --config-file="$WORK/octodns.yaml" --doit --force >"$WORK/plan" 2>"$WORK/log"
    cat "$WORK/log" >>"$WORK/logs"
}

pip list 2>/dev/null | grep -e octodns -e dnspython
expect "types before" "A A A DNAME HINFO NS NS RP SOA URI" "$(contents types)"
octodns-dump --config-file="$WORK/octodns.yaml" --output-dir="$WORK/config" example.com. files >"$WORK/out" 2>"$WORK/logs"
sync_zone
cat "$WORK/plan" "$WORK/zones/example.com."
first=$(contents serial)
expect "types after the first run" "A A A NS NS SOA" "$(contents types)"
expect "warnings and errors" 0 "$(grep -c -e WARN -e ERROR "$WORK/logs" || true)"
expect "the serial is the time, and older than 2026113001" yes \
    "$( ((first > 1700000000 && first < 2026113001)) && echo yes || echo "no: $first")"
sleep 1.1
sync_zone
expect "a further run raises the serial" yes "$( (($(contents serial) > first)) && echo yes || echo no)"
expect "a further run plans" "Summary: Creates=4, Updates=0, Deletes=0, Existing=0, Meta=False" \
    "$(sed -n 's/.*\(Summary: .*\)/\1/p' "$WORK/plan" "$WORK/log" | sed -n 1p)"
