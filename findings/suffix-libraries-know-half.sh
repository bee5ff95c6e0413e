#!/usr/bin/env bash
# Two libraries of the public suffix list know its internationalised suffixes in one spelling alone, each in another one.
#
# Guess:    a library that holds the list knows a suffix in both of its spellings (RFC 5890, 2.3.2): "公司.cn" of the list, and
#           "xn--55qx5d.cn" of a zone file. The registered domain of www.shop.xn--55qx5d.cn is shop.xn--55qx5d.cn.
# Seen:     for how many of the 459 suffixes of the list that are not ASCII "shop." before it is found as the registered domain:
#                                 spelt as in the list   as in a zone
#             tld                 457                    163
#             publicsuffix2         0                    436
#             tldextract          456                    456
#             publicsuffixlist    459                    459
#           Where it is not, `tld.get_fld` and `get_sld` of publicsuffix2 return the suffix itself or what is above it, and no
#           error. tld knows the 160 that are top-level domains in either spelling. Up to 23 are younger than a library's list.
# Versions: tld 0.13.2, publicsuffix2 2.20191221, tldextract 5.4.0, publicsuffixlist 1.1.2.20261023, whose list it is (PyPI).
# Matters:  all domains below such a suffix are counted as one, that of the registry: a hundred names of a hundred customers
#           are a flux domain with a hundred addresses. In tests by names that a person writes, tld passes; in those by names of a
#           zone publicsuffix2 does. Ask either with a name of each spelling before you use it.

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

install tld==0.13.2 publicsuffix2==2.20191221 tldextract==5.4.0 publicsuffixlist==1.1.2.20261023

cat >"$WORK/count.py" <<'END'
"""Prints for how many suffixes each library finds the registered domain, by the list's spelling and by a zone's."""
from importlib.resources import files

import publicsuffix2, publicsuffixlist, tld, tldextract

text = files("publicsuffixlist").joinpath("public_suffix_list.dat").read_text("utf-8")
rules = [line.split()[0] for line in text.splitlines() if line.strip() and not line.startswith("//")]
suffixes = [rule for rule in rules if not rule.isascii() and rule[0] not in "*!"]
in_zones = [suffix.encode("idna").decode() for suffix in suffixes]
extract = tldextract.TLDExtract(suffix_list_urls=(), include_psl_private_domains=True, cache_dir=None)
libraries = {
    "tld": lambda name: tld.get_fld(name, fix_protocol=True, fail_silently=True),
    "publicsuffix2": publicsuffix2.PublicSuffixList().get_sld,
    "tldextract": lambda name: extract(name).top_domain_under_public_suffix,
    "publicsuffixlist": publicsuffixlist.PublicSuffixList().privatesuffix,
}
print("suffixes", len(suffixes), sum("." not in suffix for suffix in suffixes))
for name, registered in libraries.items():
    print(name, *(sum(registered(f"www.shop.{s}") == f"shop.{s}" for s in spelt) for spelt in (suffixes, in_zones)))
top = [suffix for suffix in in_zones if "." not in suffix]
print("tld-top", sum(libraries["tld"](f"www.shop.{s}") == f"shop.{s}" for s in top))
print("tld-example", libraries["tld"]("www.shop.xn--55qx5d.cn"), libraries["tld"]("www.shop.公司.cn"))
print("publicsuffix2-example", libraries["publicsuffix2"]("www.shop.xn--55qx5d.cn"), libraries["publicsuffix2"]("www.shop.公司.cn"))
END
python3 "$WORK/count.py" >"$WORK/counted"

# Prints what was counted for a library.
counted() {
    sed -n "s/^$1 //p" "$WORK/counted"
}

expect "suffixes that are not ASCII, and top-level domains of them" "459 160" "$(counted suffixes)"
expect "tld, spelt as in the list and as in a zone" "457 163" "$(counted tld)"
expect "publicsuffix2" "0 436" "$(counted publicsuffix2)"
expect "tldextract" "456 456" "$(counted tldextract)"
expect "publicsuffixlist" "459 459" "$(counted publicsuffixlist)"
expect "tld, top-level domains as in a zone" 160 "$(counted tld-top)"
expect "tld, one name in both spellings" "xn--55qx5d.cn shop.公司.cn" "$(counted tld-example)"
expect "publicsuffix2, the same name" "shop.xn--55qx5d.cn 公司.cn" "$(counted publicsuffix2-example)"
