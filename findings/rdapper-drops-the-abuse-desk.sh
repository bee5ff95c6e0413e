#!/usr/bin/env bash
# rdapper leaves out the abuse desk of the registrar, which each RDAP answer of a registry of ICANN's names must have.
#
# Guess:    a client whose contacts have a type `abuse` returns the abuse contact where registries give it: as an entity of the
#           registrar's entity, as ICANN's profile for RDAP has it. A contact of two roles stands in both.
# Seen:     the name, number and telephone of the registrar are returned; its abuse desk, with mail address and telephone, is
#           nowhere in the record, and there is no warning. The same entity beside the registrar's is returned as `abuse`. Of a
#           contact whose roles are technical and administrative, the first role is kept.
# Versions: rdapper 0.16.4 (npm), node 20 or newer; the registry is a server of this script.
# Matters:  a report has no address to go to, or goes to a contact that is no abuse desk: the registrar's telephone is what is
#           left. Read the answer itself: entities of the entity with the role `registrar`.

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

# Says what was seen, and fails if it is not what this page describes.
expect() {
    local what=$1 wanted=$2 seen=$3
    if [[ $seen != "$wanted" ]]; then
        printf 'CHANGED  %s: expected "%s", seen "%s"\n' "$what" "$wanted" "$seen"
        exit 1
    fi
    printf 'as described  %s: %s\n' "$what" "$seen"
}

mkdir "$WORK/node"
if ! (cd "$WORK/node" && npm install --silent --no-audit --no-fund --prefix "$WORK/node" rdapper@0.16.4 >/dev/null); then
    echo "not tried: the package cannot be installed from npm" >&2
    exit 2
fi

cat >"$WORK/node/ask.mjs" <<'END'
// Serves one RDAP answer on 127.0.0.1 and asks for it with rdapper; prints what the record says of whom to write to.
import http from "node:http";
import {lookup} from "rdapper";

const contact = (roles, name, mail, entities = []) => ({
    objectClassName: "entity", roles, entities,
    vcardArray: ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", name],
        ...mail ? [["email", {}, "text", mail]] : []]],
});
const desk = contact(["abuse"], "Abuse Desk", "abuse@registrar.test");
const nested = process.argv[2] === "nested";
const answer = {
    objectClassName: "domain", ldhName: "example.test", status: ["active"],
    rdapConformance: ["rdap_level_0", "icann_rdap_response_profile_1"],
    events: [{eventAction: "registration", eventDate: "2026-11-02T10:00:00Z"}],
    entities: [contact(["registrar"], "Example Registrar", undefined, nested ? [desk] : []),
        contact(["technical", "administrative"], "Example Hostmaster", "hostmaster@example.test"),
        ...nested ? [] : [desk]],
};
const server = http.createServer((request, response) => {
    response.setHeader("content-type", "application/rdap+json");
    response.end(JSON.stringify(answer));
});
server.listen(0, "127.0.0.1", async () => {
    const services = [[["test"], [`http://127.0.0.1:${server.address().port}/`]]];
    const {ok, record} = await lookup("example.test",
        {rdapOnly: true, customBootstrapData: {version: "1.0", publication: "2026-11-01T00:00:00Z", services}});
    console.log("ok:", ok, (record.warnings ?? []).length);
    console.log("registrar:", record.registrar.name, record.registrar.email ?? "-");
    console.log("contacts:", record.contacts.map(({type, email}) => `${type} ${email}`).join(", "));
    console.log("desk:", JSON.stringify(record).includes("abuse@registrar.test"));
    server.close();
});
END

# Prints one line of what rdapper returns of an answer.
record() {
    node "$WORK/node/ask.mjs" "$1" | sed -n "s/^$2: //p"
}

expect "an abuse desk of the registrar's entity: ok, warnings" "true 0" "$(record nested ok)"
expect "the registrar and its mail address" "Example Registrar -" "$(record nested registrar)"
expect "the contacts" "tech hostmaster@example.test" "$(record nested contacts)"
expect "the desk's address anywhere in the record" false "$(record nested desk)"
expect "an abuse desk beside the registrar's entity: the contacts" \
    "tech hostmaster@example.test, abuse abuse@registrar.test" "$(record beside contacts)"
