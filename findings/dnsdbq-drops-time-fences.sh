#!/usr/bin/env bash
# dnsdbq takes the times of -A and -B for a CIRCL server, and does nothing with them.
#
# Guess:    -A and -B limit the answer by time, at the server or in dnsdbq itself, for each system that it asks; what cannot be
#           done for a system is an error, as a type or a bailiwick for CIRCL is.
# Seen:     `dnsdbq -u circl -A ... -B ...` sends the same query as without them and prints each record that comes, also those
#           last seen before, with exit status 0 and no word. A limit of records (-l) is kept, and a type (-t) is refused:
#           "qualifiers not supported by CIRCL pDNS".
# Versions: dnsdbq 2.6.4 (Debian 12: 2.6.4-1).
# Matters:  CIRCL's protocol is what other servers of passive DNS speak too. Who asks for the addresses of the last week gets
#           those of all years, and names owners of long ago. Filter by `time_last` and `time_first` of what comes.

set -euo pipefail

WORK=$(mktemp -d "${TMPDIR:-/tmp}/finding.XXXXXX")
PORT=$((20000 + RANDOM % 30000))
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

# Repeats a command for up to 20 seconds, until it succeeds.
wait_for() {
    local i
    for ((i = 0; i < 200; i++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "not tried: this never succeeded: $*" >&2
    exit 2
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

unpack dnsdbq=2.6.4-1 libbrotli1 libcurl4 libjansson4 libldap-2.5-0 libnghttp2-14 libpsl5 librtmp1 libsasl2-2 \
    libssh2-1 libssl3 libgssapi-krb5-2 libk5crypto3 libkeyutils1 libkrb5-3 libkrb5support0

# Answers each query with two records in the common output format, years apart, and writes down what was asked.
cat >"$WORK/server.py" <<'END'
import http.server, json, sys

RECORDS = [
    {"rrname": "example", "rrtype": "A", "rdata": "192.0.2.1", "time_first": 1000000000, "time_last": 1100000000, "count": 1},
    {"rrname": "example", "rrtype": "A", "rdata": "192.0.2.2", "time_first": 1700000000, "time_last": 1790000000, "count": 1},
]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open(sys.argv[2], "a") as queries:
            queries.write(self.path + "\n")
        body = "".join(json.dumps(record) + "\n" for record in RECORDS).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
END

# Tells whether the server accepts connections.
is_up() {
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT")
}

# Looks example. up with these options more; prints the exit status, the addresses that come, and words of an error.
look_up() {
    local status=0
    env -i HOME="$WORK" PATH="$PATH" LD_LIBRARY_PATH="$LD_LIBRARY_PATH" DNSDBQ_CONFIG_FILE="$WORK/empty" \
        CIRCL_AUTH=user:secret CIRCL_SERVER="http://127.0.0.1:$PORT" dnsdbq -u circl -j -r example. "$@" \
        >"$WORK/answer" 2>"$WORK/words" || status=$?
    (echo "$status"; grep -o '192\.0\.2\.[0-9]' "$WORK/answer"; cat "$WORK/words") | paste -s -d ' '
}

touch "$WORK/empty"
python3 "$WORK/server.py" "$PORT" "$WORK/queries" >"$WORK/out" 2>&1 &
PIDS+=($!)
wait_for is_up
expect "without times" "0 192.0.2.1 192.0.2.2" "$(look_up)"
expect "after 2024-01-01" "0 192.0.2.1 192.0.2.2" "$(look_up -A 2024-01-01)"
expect "before 2010-01-01" "0 192.0.2.1 192.0.2.2" "$(look_up -B 2010-01-01)"
expect "wholly within 2024 (-c)" "0 192.0.2.1 192.0.2.2" "$(look_up -c -A 2024-01-01 -B 2025-01-01)"
expect "queries" "/example." "$(sort -u "$WORK/queries")"
expect "one record at most" "0 192.0.2.1" "$(look_up -l 1)"
expect "a type" "1 dnsdbq: qualifiers not supported by CIRCL pDNS: example./NS" "$(look_up -t NS)"
