#!/usr/bin/env bash
# OpenSMTPD gives a mail up, and the last thing that it says is "delayed".
#
# Guess:    a mail whose life in the queue is over is returned with `Action: failed`; `delayed` means
#           that the server goes on trying (RFC 3464, 2.3.3).
# Seen:     after `queue ttl` the one mail that comes back says "Action: delayed", "Status: 4.4.7", "only a
#           temporary failure", "kept in the queue for up to 7 days". The queue is empty by then, and
#           nothing follows. The mail is multipart/mixed, not multipart/report.
# Versions: OpenSMTPD 6.8.0p2 (Debian 12).
# Matters:  a program that takes `delayed` for a notice believes a report on its way that nobody will ever
#           get. Note the end of a message for `delayed` with 4.4.7 too.
#
# The server has its users and paths compiled in. So this needs root, and a mount namespace of its own, in
# which /etc/passwd, /var/spool, /var/lib and /run are the script's: the machine's stay as they are.

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

if [[ ${1:-} != --inside ]]; then
    if ((EUID != 0)) || ! unshare --mount true 2>/dev/null; then
        echo "not tried: this needs root and unshare --mount" >&2
        exit 2
    fi
    rm -r "$WORK"
    exec unshare --mount --propagation private -- "$0" --inside
fi

unpack opensmtpd=6.8.0p2-4+b4 libevent-2.1-7 libssl3 libdb5.3
{ cat /etc/passwd; echo 'opensmtpd:x:64901:64901::/nonexistent:/usr/sbin/nologin'; echo 'opensmtpq:x:64902:64902::/nonexistent:/usr/sbin/nologin'; } \
    >"$WORK/passwd"
{ cat /etc/group; echo 'opensmtpd:x:64901:'; echo 'opensmtpq:x:64902:'; } >"$WORK/group"
mount --bind "$WORK/passwd" /etc/passwd
mount --bind "$WORK/group" /etc/group
for folder in /var/spool /var/lib /run; do mount -t tmpfs tmpfs "$folder"; done
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 0711 /var/spool/smtpd
chmod 0755 "$WORK"

# Answers each recipient below later.example with 451, keeps what comes for all others.
cat >"$WORK/sink.py" <<'END'
import socketserver, sys

class Handler(socketserver.StreamRequestHandler):
    def say(self, line):
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self):
        self.say("220 sink.example ESMTP")
        for line in self.rfile:
            word = line[:4].upper()
            if word == b"RCPT" and b"@later.example" in line:
                self.say("451 4.7.1 later")
            elif word == b"DATA":
                self.say("354 go on")
                with open(sys.argv[2], "ab") as kept:
                    for text in self.rfile:
                        if text == b".\r\n":
                            break
                        kept.write(text.replace(b"\r\n", b"\n"))
                    kept.write(b"=== end\n")
                self.say("250 2.0.0 kept")
            else:
                self.say("221 bye" if word == b"QUIT" else "250 ok")
                if word == b"QUIT":
                    return

socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
END
cat >"$WORK/smtpd.conf" <<END
queue ttl 15s
listen on 127.0.0.1 port $((PORT + 1))
action "out" relay host smtp://127.0.0.1:$PORT
match from any for any action "out"
END
chmod 0644 "$WORK/smtpd.conf"

# Tells whether the server accepts connections.
is_up() {
    (exec 3<>"/dev/tcp/127.0.0.1/$((PORT + 1))")
}

# Tells whether a mail came back.
came_back() {
    grep -q '=== end' "$WORK/kept"
}

{ smtpd -h 2>&1 || true; } | sed -n 1p
python3 "$WORK/sink.py" "$PORT" "$WORK/kept" &
PIDS+=($!)
smtpd -d -f "$WORK/smtpd.conf" >"$WORK/log" 2>&1 &
PIDS+=($!)
wait_for is_up
python3 - "$((PORT + 1))" <<'END'
import smtplib, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as server:
    server.sendmail("sender@back.example", ["desk@later.example"], "Subject: report\r\n\r\ntext\r\n")
END
wait_for came_back
sleep 2
grep -E '^(Content-Type: multipart|Action|Status|    (Please|The message))' "$WORK/kept"
grep 'Expire for' "$WORK/log"
expect "mails that came back" 1 "$(grep -c '=== end' "$WORK/kept")"
expect "Action" "delayed" "$(sed -n 's/^Action: //p' "$WORK/kept")"
expect "Status" "4.4.7" "$(sed -n 's/^Status: //p' "$WORK/kept")"
expect "Content-Type of the mail" "multipart/mixed" "$(sed -n 's/^Content-Type: \(multipart[^;]*\);.*/\1/p' "$WORK/kept")"
expect "messages left in the queue" 0 "$(find /var/spool/smtpd/queue -type f | wc -l)"
