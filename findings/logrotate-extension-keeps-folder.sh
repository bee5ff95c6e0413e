#!/usr/bin/env bash
# logrotate with `extension` names the rotated file so that it still matches the pattern.
#
# Guess:    rotated files get a suffix after the whole name (changes.ndjson.1), so that a reader of
#           `*.ndjson` sees the new file alone.
# Seen:     with `extension .ndjson` the rotated file is changes.1.ndjson: the same inode, in the same
#           folder, and it matches `*.ndjson` again.
# Versions: logrotate 3.21.0 (Debian 12).
# Matters:  a reader of a folder takes each line twice, or loses those that were appended since it last
#           read the old name. Follow the inode.

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

unpack logrotate=3.21.0-1 libpopt0

# Rotates one file with more directives; prints the names that match *.ndjson, the rotated one marked if it is the same inode.
rotate() {
    mkdir "$WORK/$1"
    echo '{"line":1}' >"$WORK/$1/changes.ndjson"
    local inode
    inode=$(stat -c %i "$WORK/$1/changes.ndjson")
    printf '%s\n' "$WORK/$1/changes.ndjson {" 'rotate 3' 'create 0600' "${@:2}" '}' >"$WORK/$1.conf"
    chmod 0644 "$WORK/$1.conf"
    logrotate --force --state "$WORK/$1.state" "$WORK/$1.conf"
    find "$WORK/$1" -name '*.ndjson' -printf '%f %i\n' | sort | sed "s/ $inode\$/=old/; s/ [0-9]*\$/=new/" | xargs
}

logrotate --version 2>&1 | sed -n 1p
expect "plain; names that match *.ndjson" "changes.ndjson=new" "$(rotate plain)"
expect "extension; names that match *.ndjson" "changes.1.ndjson=old changes.ndjson=new" \
    "$(rotate extension 'extension .ndjson')"
