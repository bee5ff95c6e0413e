#!/usr/bin/env bash
# Postfix gives a mail up as "failed" with a status that begins with 4.
#
# Guess:    a notice with `Action: failed` has a status of class 5, and class 4 goes with `delayed`.
# Seen:     after `maximal_queue_lifetime` the mail that comes back says "Action: failed" with the last
#           temporary status that the receiver gave, here 4.7.1, and the receiver's 451. The queue is
#           empty by then.
# Versions: Postfix 3.7.11 (Debian 12).
# Matters:  a program that goes by the class takes the end of a message for a delay and believes a report on its
#           way. Take `Action` for the message's fate, the class for the address.
#
# The server has its users compiled in. So this needs root, and a mount namespace of its own, in which
# /etc/passwd and /etc/group are the script's: the machine's stay as they are.

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

unpack postfix=3.7.11-0+deb12u1 libdb5.3 libicu72 libnsl2 libsasl2-2 libssl3 libtirpc3 libgssapi-krb5-2 libk5crypto3 \
    libkeyutils1 libkrb5-3 libkrb5support0
export LD_LIBRARY_PATH="$LD_LIBRARY_PATH:$WORK/root/usr/lib/postfix"
{ grep -v '^postfix:' /etc/passwd; echo 'postfix:x:64911:64911::/nonexistent:/usr/sbin/nologin'; } >"$WORK/passwd"
{ grep -vE '^(postfix|postdrop):' /etc/group; echo 'postfix:x:64911:'; echo 'postdrop:x:64912:'; } >"$WORK/group"
mount --bind "$WORK/passwd" /etc/passwd
mount --bind "$WORK/group" /etc/group
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
mkdir -p "$WORK/etc" "$WORK/queue" "$WORK/data"
chown 64911 "$WORK/data"
cat >"$WORK/etc/main.cf" <<END
compatibility_level = 3.6
command_directory = $WORK/root/usr/sbin
daemon_directory = $WORK/root/usr/lib/postfix/sbin
shlib_directory = $WORK/root/usr/lib/postfix
meta_directory = $WORK/root/etc/postfix
queue_directory = $WORK/queue
data_directory = $WORK/data
import_environment = MAIL_CONFIG TZ LD_LIBRARY_PATH PATH
export_environment = TZ LD_LIBRARY_PATH PATH
maillog_file = /dev/stdout
maillog_file_prefixes = /dev
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:$PORT
disable_dns_lookups = yes
minimal_backoff_time = 2s
maximal_backoff_time = 2s
queue_run_delay = 2s
maximal_queue_lifetime = 6s
END
cat >"$WORK/etc/master.cf" <<END
127.0.0.1:$((PORT + 1)) inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
END

# Tells whether the server accepts connections.
is_up() {
    (exec 3<>"/dev/tcp/127.0.0.1/$((PORT + 1))")
}

# Tells whether a mail came back.
came_back() {
    grep -q '=== end' "$WORK/kept"
}

postconf -c "$WORK/etc" mail_version
python3 "$WORK/sink.py" "$PORT" "$WORK/kept" &
PIDS+=($!)
postfix -c "$WORK/etc" start-fg >"$WORK/log" 2>&1 &
wait_for test -s "$WORK/queue/pid/master.pid"
PIDS+=("$(tr -d ' ' <"$WORK/queue/pid/master.pid")")
wait_for is_up
python3 - "$((PORT + 1))" <<'END'
import smtplib, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as server:
    server.sendmail("sender@back.example", ["desk@later.example"], "Subject: report\r\n\r\ntext\r\n")
END
wait_for came_back
sleep 2
grep -E '^(Content-Type: multipart|Action|Status|Diagnostic)' "$WORK/kept"
grep 'status=' "$WORK/log"
expect "mails that came back" 1 "$(grep -c '=== end' "$WORK/kept")"
expect "Action" "failed" "$(sed -n 's/^Action: //p' "$WORK/kept")"
expect "Status" "4.7.1" "$(sed -n 's/^Status: //p' "$WORK/kept")"
expect "messages left in the queue" 0 "$(find "$WORK"/queue/{active,deferred,incoming} -type f | wc -l)"
