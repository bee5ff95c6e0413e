#!/usr/bin/env bash
# dns-lexicon edits a zone file and leaves its serial as it was; a listing rewrites the file.
#
# Guess:    the provider localzone of dns-lexicon raises the serial when it adds or deletes a record, as its code means to; to
#           list records changes nothing.
# Seen:     after `create_record` and `delete_record` the records are as asked for, and the serial is the old one: dns-lexicon
#           replaces the serial in a record that localzone makes anew at each access, and the other is written. After
#           `list_records` the file has lost its comments, `$ORIGIN` and `$TTL`, and its records stand in another order.
#           `update_record` returns False, without an exception, where a name has two records.
# Versions: dns-lexicon 3.25.2, localzone 0.9.8, dnspython 2.9.2 (PyPI).
# Matters:  the primary serves the edit after its reload, and no secondary or mirror that goes by the serial ever asks for it. A
#           file that is read with another origin than the one that it named is another zone after somebody listed it. Raise
#           the serial after each edit.

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

install 'dns-lexicon[localzone]==3.25.2' localzone==0.9.8 dnspython==2.9.2

cat >"$WORK/edit.py" <<'END'
"""Does one operation of dns-lexicon on a zone file and prints what it returns: the records' contents for a listing."""
import sys
from lexicon.client import Client
from lexicon.config import ConfigResolver

path, operation, *arguments = sys.argv[1:]
options = {"provider_name": "localzone", "domain": "example.com", "localzone": {"filename": path}}
with Client(ConfigResolver().with_dict(options)) as operations:
    returned = getattr(operations, operation)(*arguments)
print(" ".join(record["content"] for record in returned) if isinstance(returned, list) else returned)
END

# Does an operation on the zone file. dns-lexicon asks the network for the list of public suffixes, and has one of its own where
# that fails: so it does here.
edit() {
    HOME=$WORK HTTPS_PROXY=http://127.0.0.1:9 python3 "$WORK/edit.py" "$WORK/zone" "$@" 2>"$WORK/log"
}

# Prints the serial of the zone file.
serial() {
    awk '{ for (i = 1; i < NF; i++) if ($i == "SOA") print $(i + 3) }' "$WORK/zone"
}

# Prints the addresses of www.
addresses() {
    awk '$1 == "www" { print $NF }' "$WORK/zone" | paste -s -d ' '
}

printf '%s\n' "\$ORIGIN example.com." "\$TTL 3600" '; maintained by hand' '@ IN SOA ns hostmaster 41 3600 600 86400 300' \
    '@ IN NS ns' 'www IN A 192.0.2.2' 'www IN A 192.0.2.3' 'ns IN A 192.0.2.1' >"$WORK/zone"
pip list 2>/dev/null | grep -e lexicon -e localzone -e dnspython
expect "listing the addresses of www" "192.0.2.2 192.0.2.3" "$(edit list_records A www)"
cat "$WORK/zone"
expect "comments and directives after it" 0 "$(grep -c '^[;$]' "$WORK/zone" || true)"
expect "owners after it" "@ @ ns www www" "$(awk '{ print $1 }' "$WORK/zone" | paste -s -d ' ')"
expect "adding an address" True "$(edit create_record A www 192.0.2.4)"
expect "the addresses" "192.0.2.2 192.0.2.3 192.0.2.4" "$(addresses)"
expect "the serial" 41 "$(serial)"
expect "deleting an address" True "$(edit delete_record '' A www 192.0.2.2)"
expect "the addresses" "192.0.2.3 192.0.2.4" "$(addresses)"
expect "the serial" 41 "$(serial)"
expect "changing an address" False "$(edit update_record '' A www 192.0.2.5)"
expect "the addresses" "192.0.2.3 192.0.2.4" "$(addresses)"
