#!/usr/bin/env bash
# dnsdbq reads its CIRCL variables only where there is a configuration file.
#
# Guess:    CIRCL_AUTH and CIRCL_SERVER in the environment are enough for `dnsdbq -u circl`, as
#           its manual lists them.
# Seen:     without a configuration file dnsdbq does not read them and asks its built-in server
#           (www.circl.lu); beside an empty file that DNSDBQ_CONFIG_FILE names, they work.
# Versions: dnsdbq 2.6.4 (Debian 12).
# Matters:  the queries, which say which names somebody looks into, go to a third party, and the server
#           that was meant seems not to work with this client. Write an empty configuration file.

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

# Answers each query with one record in the common output format. As a proxy it notes which host was
# wanted, and refuses: nothing leaves this machine.
cat >"$WORK/server.py" <<'END'
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_CONNECT(self):
        with open(sys.argv[2], "a") as wanted:
            wanted.write(self.path + "\n")
        self.send_error(403)

    def do_GET(self):
        body = b'{"rrname":"example","rrtype":"NS","rdata":"ns.example","time_first":10,"time_last":20,"count":1}\n'
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

# Looks example. up with the variables in the environment; prints exit status and lines of answer.
look_up() {
    local status=0
    env -i HOME="$WORK" PATH="$PATH" LD_LIBRARY_PATH="$LD_LIBRARY_PATH" CIRCL_AUTH=user:secret \
        CIRCL_SERVER="http://127.0.0.1:$PORT" https_proxy="http://127.0.0.1:$PORT" no_proxy=127.0.0.1 "$@" dnsdbq -u circl -j -r example. >"$WORK/out" 2>"$WORK/err" || status=$?
    sed 's/^/    /' "$WORK/out" "$WORK/err" >&2
    echo "$status $(wc -l <"$WORK/out")"
}

python3 "$WORK/server.py" "$PORT" "$WORK/wanted" 2>/dev/null &
PIDS+=($!)
wait_for is_up
dnsdbq -v | sed -n 1p
: >"$WORK/empty.conf"
expect "no configuration file: exit status, answers" "1 0" "$(look_up)"
expect "no configuration file: server that it asked" "www.circl.lu:443" "$(sort -u "$WORK/wanted" | xargs)"
rm "$WORK/wanted"
expect "an empty configuration file: exit status, answers" "0 1" "$(look_up DNSDBQ_CONFIG_FILE="$WORK/empty.conf")"
expect "an empty configuration file: other servers that it asked" none "$(cat "$WORK/wanted" 2>/dev/null || echo none)"
