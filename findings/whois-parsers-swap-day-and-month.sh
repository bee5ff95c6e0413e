#!/usr/bin/env bash
# Two parsers of WHOIS swap day and month of a registration up to the twelfth of a month, and not after it.
#
# Guess:    a parser with a class for a registry of its own reads that registry's dates the way the registry writes them; what
#           it cannot tell is an error or is left out.
# Seen:     registries write day.month.year. Read as month and day (m) where that is possible, or as they are meant (d):
#                               .rs   .cr   .cz
#             python-whois      m     m     d
#             asyncwhois        m     d     d
#           So "02.11.2026" of .rs is 11 February, and "13.11.2026" is 13 November; of one answer one date is swapped and
#           another is not. Each of these has a class of its own there; .cr and .cz write the same form. Nothing tells it.
# Versions: python-whois 0.9.6, asyncwhois 1.1.15, python-dateutil 2.9.0.post0 (PyPI).
# Matters:  how old a domain was tells one that was registered for abuse from one that was taken over: a domain of four days is
#           nine months old, or will be registered next month. Ask RDAP where there is any. In a table of registrations days
#           above the twelfth that are rarer than they should be are a sign.

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

install python-whois==0.9.6 asyncwhois==1.1.15 python-dateutil==2.9.0.post0

# An answer of the registry of .rs, .cr or .cz, without persons, with a date of registration; the expiry is on the 25th.
answer() {
    if [[ $1 == rs ]]; then
        printf '%s\n' 'Domain name: example.rs' "Registration date: $2 10:00:00" 'Expiration date: 25.12.2027 10:00:00' \
            'Registrar: Example Registrar'
    else
        printf '%s\n' "domain:       example.$1" 'registrar:    REG-EXAMPLE' "registered:   $2 10:00:00" \
            'expire:       25.12.2027'
    fi
}

cat >"$WORK/read.py" <<'END'
"""Reads an answer of a registry with one parser; prints the days of registration and of expiry as year-month-day."""
import sys

parser, tld, answer = sys.argv[1:]
if parser == "python-whois":
    from whois.parser import WhoisEntry
    read = WhoisEntry.load(f"example.{tld}", answer)
    times = [read.get("creation_date"), read.get("expiration_date")]
else:
    from asyncwhois.parse_tld import DomainParser
    read = {str(key): value for key, value in DomainParser().parse(answer, tld).items()}
    times = [read.get("created"), read.get("expires")]
print(*[time.date() for time in times])
END

pip list 2>/dev/null | grep -e whois -e dateutil
answer rs 02.11.2026
while read -r parser tld day month; do
    expect "$parser, .$tld, registered on $day.11.2026" "2026-$month 2027-12-25" \
        "$(python3 "$WORK/read.py" "$parser" "$tld" "$(answer "$tld" "$day.11.2026")")"
done <<END
python-whois rs 02 02-11
python-whois rs 12 12-11
python-whois rs 13 11-13
python-whois cr 02 02-11
python-whois cr 13 11-13
python-whois cz 02 11-02
asyncwhois rs 02 02-11
asyncwhois rs 12 12-11
asyncwhois rs 13 11-13
asyncwhois cr 02 11-02
asyncwhois cz 02 11-02
END
