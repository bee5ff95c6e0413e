#!/usr/bin/env bash
# dig exits with 0 after a refused transfer, and prints half a transfer three times.
#
# Guess:    a transfer that the server refuses or breaks off gives an exit status above 0, and what
#           had come is printed once.
# Seen:     refused: dig prints "; Transfer failed." on standard output and exits with 0.
#           Broken off: dig tries three times and prints the records of each try, one after the
#           other, then exits with 9. drill exits with 0 after both. kdig exits with 1 after both.
# Versions: BIND's dig 9.18.49, ldns' drill 1.8.3, Knot's kdig 3.2.6 (Debian 12).
# Matters:  "dig AXFR example. >zone && import zone" takes an empty or half zone for a whole one:
#           deletions that never were. Look for the closing SOA; do not go by the status alone.

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

unpack ldnsutils=1.8.3-1+b1 libldns3=1.8.3-1+b1 knot-dnsutils=3.2.6-1 libbpf1 libdnssec9=3.2.6-1 libelf1 \
    libknot13=3.2.6-1 libxdp1 libzscanner4=3.2.6-1 \
    bind9-dnsutils bind9-libs libfstrm0 libgssapi-krb5-2 libicu72 libjemalloc2 libjson-c5 libk5crypto3 libkeyutils1 \
    libkrb5-3 libkrb5support0 liblmdb0 libmaxminddb0 libnghttp2-14 libprotobuf-c1 libssl3 libuv1 libxml2

# Answers each AXFR of cut.example. with four records and no closing SOA, refuses all others.
cat >"$WORK/server.py" <<'END'
import socket, struct, sys

def name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".") if label) + b"\0"

def record(owner, rtype, rdata):
    return name(owner) + struct.pack("!HHIH", rtype, 1, 300, len(rdata)) + rdata

apex = "cut.example."
records = [record(apex, 6, name("ns." + apex) + name("h." + apex) + struct.pack("!5I", 7, 3600, 600, 86400, 300)),
           record(apex, 2, name("ns." + apex)), record("a." + apex, 1, bytes([192, 0, 2, 1])),
           record("b." + apex, 1, bytes([192, 0, 2, 2]))]
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    client, _ = listener.accept()
    with client, client.makefile("rb") as stream:
        length = stream.read(2)
        if len(length) < 2:
            continue
        query = stream.read(struct.unpack("!H", length)[0])
        end = query.index(b"\0", 12) + 5
        whole = query[12:end - 4] == name(apex)
        answer = query[:2] + struct.pack("!5H", 0x8400 if whole else 0x8005, 1, len(records) if whole else 0, 0, 0)
        answer += query[12:end] + (b"".join(records) if whole else b"")
        client.sendall(struct.pack("!H", len(answer)) + answer)
END

# Tells whether the server accepts connections.
is_up() {
    (exec 3<>"/dev/tcp/127.0.0.1/$PORT")
}

# Runs a client, prints what it wrote, and leaves its exit status in `status`.
run() {
    status=0
    "$@" >"$WORK/out" 2>"$WORK/err" || status=$?
    echo "$ ${*//"$PORT"/PORT}"
    sed 's/^/    /' "$WORK/out"
    sed 's/^/    (stderr) /' "$WORK/err"
}

python3 "$WORK/server.py" "$PORT" &
PIDS+=($!)
wait_for is_up

run dig @127.0.0.1 -p "$PORT" +nocmd AXFR cut.example.
expect "dig, cut: exit status" 9 "$status"
expect "dig, cut: records on standard output" 12 "$(grep -c '^[^;]' "$WORK/out")"
run dig @127.0.0.1 -p "$PORT" +nocmd AXFR refused.example.
expect "dig, refused: exit status" 0 "$status"
expect "dig, refused: last line" "; Transfer failed." "$(tail -n 1 "$WORK/out")"
run drill -p "$PORT" @127.0.0.1 cut.example. AXFR
expect "drill, cut: exit status" 0 "$status"
run drill -p "$PORT" @127.0.0.1 refused.example. AXFR
expect "drill, refused: exit status" 0 "$status"
run kdig @127.0.0.1 -p "$PORT" cut.example. AXFR
expect "kdig, cut: exit status" 1 "$status"
run kdig @127.0.0.1 -p "$PORT" refused.example. AXFR
expect "kdig, refused: exit status" 1 "$status"
