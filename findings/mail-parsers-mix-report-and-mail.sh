#!/usr/bin/env bash
# Two readers of mail mix a feedback report with the mail that it is about; one of them loses the report itself.
#
# Guess:    a report of abuse (RFC 5965) has three parts: a reader gives the first as its text, and message/feedback-report and
#           the mail that is reported each as a part of its own, since that mail is evidence and none of the reporter's words.
# Seen:     mail-parser of PyPI drops message/feedback-report: it is neither in the text nor an attachment, nor among the parts
#           that it says it did not handle. The reported mail's text is a second text of the report, and its attachment is the
#           report's. mailparser of npm keeps the feedback report, and adds the reported mail, its sender and subject to the
#           report's text where that part says `inline`, as the example of RFC 5965 does; without that word it is an
#           attachment. postal-mime of npm keeps three parts each time.
# Versions: mail-parser 4.8.0 (PyPI); mailparser 3.14.2, postal-mime 4.0.0 (npm).
# Matters:  a desk that takes names and addresses from the text opens cases about those that a spammer wrote into his mail, such
#           as the bank that he imitates; Source-IP and Reported-Domain, what the reporter means, are lost. Read the parts of
#           the mail yourself.

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

install mail-parser==4.8.0
mkdir "$WORK/node"
if ! (cd "$WORK/node" && npm install --silent --no-audit --no-fund --prefix "$WORK/node" mailparser@3.14.2 postal-mime@4.0.0 \
    >/dev/null); then
    echo "not tried: a package cannot be installed from npm" >&2
    exit 2
fi

# Writes a report of abuse; the third part has the header field that is given, if any.
write_report() {
    printf '%s\n' 'From: <abuse@reporter.test>' 'To: <abuse@provider.test>' 'Subject: a complaint' 'MIME-Version: 1.0' \
        'Content-Type: multipart/report; report-type=feedback-report; boundary="outer"' '' \
        --outer 'Content-Type: text/plain' '' 'This mail came from 192.0.2.1.' '' \
        --outer 'Content-Type: message/feedback-report' '' 'Feedback-Type: abuse' 'User-Agent: Example/1.0' 'Version: 1' \
        'Source-IP: 192.0.2.1' 'Reported-Domain: bad.test' '' \
        --outer 'Content-Type: message/rfc822' "$@" '' 'From: <bank@good.test>' 'Subject: your account' 'MIME-Version: 1.0' \
        'Content-Type: multipart/mixed; boundary="inner"' '' \
        --inner 'Content-Type: text/plain' '' 'Write to good.test.' '' \
        --inner 'Content-Type: application/pdf' 'Content-Disposition: attachment; filename="form.pdf"' '' x \
        --inner-- '' --outer-- >"$WORK/report"
}

cat >"$WORK/read.py" <<'END'
"""Reads a mail with mail-parser; prints its texts, its attachments, and what else it says of the parts."""
import sys
import mailparser

mail = mailparser.parse_from_file(sys.argv[1])
print("texts:", *[text.strip() for text in mail.text_plain])
print("attachments:", *[part["mail_content_type"] for part in mail.attachments])
print("not handled:", len(mail.text_not_managed))
END
cat >"$WORK/node/read.mjs" <<'END'
import {readFileSync} from "node:fs";
import {simpleParser} from "mailparser";
import PostalMime from "postal-mime";

const raw = readFileSync(process.argv[3]);
const mail = process.argv[2] === "mailparser" ? await simpleParser(raw) : await PostalMime.parse(raw);
console.log("texts:", mail.text.replace(/\s+/g, " ").trim());
console.log("attachments:", mail.attachments.map(part => part.contentType ?? part.mimeType).join(" "));
END

# Prints one line of what a package reads.
read_by() {
    if [[ $1 == mail-parser ]]; then
        python3 "$WORK/read.py" "$WORK/report"
    else
        node "$WORK/node/read.mjs" "$1" "$WORK/report"
    fi | sed -n "s/^$2: *//p"
}

write_report
cat "$WORK/report"
expect "mail-parser: texts" "This mail came from 192.0.2.1. Write to good.test." "$(read_by mail-parser texts)"
expect "mail-parser: attachments" "application/pdf" "$(read_by mail-parser attachments)"
expect "mail-parser: parts that it did not handle" 0 "$(read_by mail-parser 'not handled')"
for package in mailparser postal-mime; do
    expect "$package: texts" "This mail came from 192.0.2.1." "$(read_by "$package" texts)"
    expect "$package: attachments" "message/feedback-report message/rfc822" "$(read_by "$package" attachments)"
done
write_report 'Content-Disposition: inline'
expect "inline, mailparser: texts" \
    "This mail came from 192.0.2.1. From: bank@good.test Subject: your account Write to good.test." \
    "$(read_by mailparser texts)"
expect "inline, mailparser: attachments" "message/feedback-report application/pdf" "$(read_by mailparser attachments)"
expect "inline, postal-mime: texts" "This mail came from 192.0.2.1." "$(read_by postal-mime texts)"
expect "inline, postal-mime: attachments" "message/feedback-report message/rfc822" "$(read_by postal-mime attachments)"
