#!/usr/bin/env bash
# pyepp of PyPI says of a domain whose name servers and keys stand inline that it has neither.
#
# Guess:    a client that says it supports RFC 5731 and 5732 returns the name servers of a domain in both forms (RFC 5731,
#           1.1), takes an address without its kind for one of version 4 (RFC 5732, 4), and calls what it cannot read an error.
# Seen:     `Domain.info` returns host=[] where the registry names the servers as `hostAttr`, with status 1000 and no error;
#           where it gives keys as `keyData` (RFC 5910, 4), dns_sec is None. The same domain with `hostObj` and `dsData` is
#           returned with both. `Host.info` returns "None" as the kind of an address without `ip`, and `Host.update` sends
#           what was returned: ip="None", which the schema of RFC 5732 forbids.
# Versions: pyepp 0.3.2, beautifulsoup4 4.15.0 (PyPI); the registry is a server of this script.
# Matters:  a tool that compares registry and zone by it sees delegations without name servers, and signed names as unsigned;
#           one that makes a feed of changes from it leaves out each change of a name server. Read `raw_response`.

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

# Installs PyPI packages into an environment of their own in the work folder.
install() {
    if ! { python3 -m venv "$WORK/venv" && "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }; then
        echo "not tried: a package cannot be installed from PyPI" >&2
        exit 2
    fi
    export PATH="$WORK/venv/bin:$PATH"
}

install pyepp==0.3.2 beautifulsoup4==4.15.0
cd "$WORK"
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>openssl.out
cat >registry.py <<'END'
"""An EPP server for one client: it answers each command by what its file of answers says, and writes down what it got."""
import pathlib, socket, ssl, struct, sys

EPP = '<?xml version="1.0" encoding="UTF-8"?><epp xmlns="urn:ietf:params:xml:ns:epp-1.0">%s</epp>'
RESPONSE = (
    '<response><result code="1000"><msg>Command completed successfully</msg></result>%s'
    "<trID><svTRID>1</svTRID></trID></response>"
)
DOMAIN = (
    '<resData><domain:infData xmlns:domain="urn:ietf:params:xml:ns:domain-1.0"><domain:name>%s</domain:name>'
    '<domain:roid>D1-EXAMPLE</domain:roid><domain:status s="ok"/><domain:registrant>holder</domain:registrant>'
    "<domain:ns>%s</domain:ns><domain:clID>registrar</domain:clID></domain:infData></resData>"
    '<extension><secDNS:infData xmlns:secDNS="urn:ietf:params:xml:ns:secDNS-1.1">%s</secDNS:infData></extension>'
)
OBJECTS = "<domain:hostObj>ns1.inline.example</domain:hostObj><domain:hostObj>ns.other.example</domain:hostObj>"
ATTRIBUTES = (
    '<domain:hostAttr><domain:hostName>ns1.inline.example</domain:hostName><domain:hostAddr ip="v4">192.0.2.1'
    "</domain:hostAddr></domain:hostAttr><domain:hostAttr><domain:hostName>ns.other.example</domain:hostName></domain:hostAttr>"
)
DS = (
    "<secDNS:dsData><secDNS:keyTag>12345</secDNS:keyTag><secDNS:alg>13</secDNS:alg><secDNS:digestType>2</secDNS:digestType>"
    "<secDNS:digest>" + 64 * "A" + "</secDNS:digest></secDNS:dsData>"
)
KEY = (
    "<secDNS:keyData><secDNS:flags>257</secDNS:flags><secDNS:protocol>3</secDNS:protocol><secDNS:alg>13</secDNS:alg>"
    "<secDNS:pubKey>" + 86 * "A" + "==</secDNS:pubKey></secDNS:keyData>"
)
HOST = (
    '<resData><host:infData xmlns:host="urn:ietf:params:xml:ns:host-1.0"><host:name>ns1.inline.example</host:name>'
    '<host:roid>H1-EXAMPLE</host:roid><host:status s="linked"/><host:addr>192.0.2.1</host:addr>'
    '<host:addr ip="v6">2001:db8::1</host:addr><host:clID>registrar</host:clID></host:infData></resData>'
)


def answer(command):
    if "<info>" not in command:
        return RESPONSE % ""
    if "host:info" in command:
        return RESPONSE % HOST
    if "inline.example" in command:
        return RESPONSE % (DOMAIN % ("inline.example", ATTRIBUTES, KEY))
    return RESPONSE % (DOMAIN % ("objects.example", OBJECTS, DS))


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("certificate.pem", "key.pem")
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    pathlib.Path("ready").touch()
    connection = context.wrap_socket(listener.accept()[0], server_side=True)
    stream = connection.makefile("rwb")
    reply = "<greeting><svID>example</svID></greeting>"
    while True:
        frame = (EPP % reply).encode()
        stream.write(struct.pack("!I", len(frame) + 4) + frame)
        stream.flush()
        length = stream.read(4)
        if not length:
            break
        command = stream.read(struct.unpack("!I", length)[0] - 4).decode()
        pathlib.Path("command.xml").write_text(command)
        reply = answer(command)
END
cat >client.py <<'END'
import re, sys
from pathlib import Path
from pyepp import EppCommunicator
from pyepp.domain import Domain
from pyepp.host import Host

epp = EppCommunicator(server="localhost", port=sys.argv[1])
epp.connect()
epp.login("user", "password")
for name in ["objects.example", "inline.example"]:
    result = Domain(epp).info(name)
    keys = result.result_data.dns_sec
    print(name, result.code, result.result_data.host, len(keys) if keys else keys)
host = Host(epp).info("ns1.inline.example").result_data
print("addresses", [(address.address, address.ip) for address in host.address])
Host(epp).update("ns1.inline.example", remove_ip_address=host.address)
print("update", re.findall('<host:addr ip="([^"]*)"', Path("command.xml").read_text()))
END
python3 registry.py "$PORT" >registry.out 2>&1 &
PIDS+=($!)
wait_for test -e ready
SSL_CERT_FILE="$WORK/certificate.pem" python3 client.py "$PORT" | tee client.out

# Prints what the client said of something.
said() {
    sed -n "s/^$1 //p" client.out
}

expect "hostObj and dsData" "1000 ['ns1.inline.example', 'ns.other.example'] 1" "$(said objects.example)"
expect "hostAttr and keyData" "1000 [] None" "$(said inline.example)"
expect "addresses of a host" "[('192.0.2.1', None), ('2001:db8::1', 'v6')]" "$(said addresses)"
expect "kinds of addresses in an update" "['None', 'v6']" "$(said update)"
