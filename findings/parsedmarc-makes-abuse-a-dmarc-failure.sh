#!/usr/bin/env bash
# parsedmarc reads a report of abuse as a failure of DMARC, and keeps the last of the domains that it names.
#
# Guess:    a mailbox that gets both kinds of reports is sorted by `Feedback-Type`: `auth-failure` (RFC 6591) is a failure
#           report of DMARC, `abuse` (RFC 5965) is something else and is refused or told as what it is; each field of a report
#           that may stand several times (RFC 5965, 3.3) is kept each time.
# Seen:     a report with "Feedback-Type: abuse" is returned as report_type "failure", with auth_failure ["dmarc"], which stands
#           nowhere in it. Of two `Reported-Domain` and three `Reported-URI` the last is returned, without a word of the others.
#           A report of type `xarf` and one of type `not-spam` (RFC 6430), which says that a mail was wanted, are failures of
#           DMARC too.
# Versions: parsedmarc 11.1.0 (PyPI).
# Matters:  a desk that lets it read its abuse mailbox counts complaints, and praise, as failures of its own DMARC, and sees one
#           of the domains that are reported. Sort by `Feedback-Type` before, and give each domain a report of its own.

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

# Installs PyPI packages into an environment of their own in the work folder.
install() {
    if ! { python3 -m venv "$WORK/venv" && "$WORK/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }; then
        echo "not tried: a package cannot be installed from PyPI" >&2
        exit 2
    fi
    export PATH="$WORK/venv/bin:$PATH"
}

install parsedmarc==11.1.0

# Writes a report of a type, with these fields more, and prints what the library makes of it.
read_report() {
    cat >"$WORK/report" <<END
From: reporter@example.net
To: abuse@example.com
Date: Mon, 02 Nov 2026 10:00:00 +0000
Subject: a report
Message-ID: <1@example.net>
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="part"

--part
Content-Type: text/plain; charset="US-ASCII"

A report for machines follows.

--part
Content-Type: message/feedback-report

Feedback-Type: $1
User-Agent: Example/1.0
Version: 1
Arrival-Date: Mon, 02 Nov 2026 09:00:00 +0000
Source-IP: 192.0.2.1
Reported-Domain: first.example
Reported-Domain: second.example
Reported-URI: http://first.example/
Reported-URI: http://second.example/
Reported-URI: http://third.example/

--part
Content-Type: message/rfc822

From: sender@example.org
To: user@example.net
Date: Mon, 02 Nov 2026 08:59:00 +0000
Subject: a mail
Message-ID: <2@example.org>

A mail.

--part--
END
    python3 - "$WORK/report" <<'END'
import sys
import parsedmarc

with open(sys.argv[1], "rb") as file:
    result = parsedmarc.parse_report_email(file.read(), offline=True)
report = result["report"]
print(result["report_type"], report["feedback_type"], report["auth_failure"], report["reported_domain"], report["reported_uri"])
END
}

for kind in abuse xarf not-spam; do
    expect "a report of type $kind" "failure $kind ['dmarc'] second.example http://third.example/" "$(read_report "$kind")"
done
