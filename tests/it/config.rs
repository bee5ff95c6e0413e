//! What `config check` finds: broken configurations, each with the line and the key of its fault.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use fluxwatch::config::{Config, Fault, Weight};
use fluxwatch::pipeline::{check_surroundings, examine_parts, is_digest_due};

use crate::harness::{Bench, Running, at, both};
use crate::support::stores::has_no_file;
use crate::support::wait::until;

/// A transfer.
const TRANSFER: &str = "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"192.0.2.1:53\"]\n";
/// A catalog.
const CATALOG: &str = "[[source]]\nname = \"c\"\nkind = \"catalog\"\nzone = \"catalog.example.\"\nprimaries = [\"192.0.2.1:53\"]\n";
/// A zone file.
const ZONEFILE: &str = "[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\n";
/// A feed.
const FEED: &str = "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"f.ndjson\"\n";
/// A probe.
const PROBE: &str = "[[source]]\nname = \"p\"\nkind = \"probe\"\ndomains = \"domains.txt\"\n";
/// Mail without its last section.
const REPORT: &str = "[report]\nfrom = \"fluxwatch@registrar.example\"\ndesk = [\"abuse-desk@registrar.example\"]\norg = \"Example Registrar\"\ncontact = \"abuse@registrar.example\"\n";
/// The way out.
const SMTP: &str = "[smtp]\nurl = \"maildir://desk\"\n";
/// The files that configurations name, with their modes.
const FILES: [(&str, &str, u32); 27] = [
    ("everybody.csv", "192.0.2.0,192.0.2.255,64500\n", 0o666),
    ("everybody.ndjson", "", 0o646),
    ("sound.key", "c2VjcmV0c2VjcmV0c2VjcmV0\n", 0o600),
    ("open.key", "c2VjcmV0c2VjcmV0c2VjcmV0\n", 0o644),
    ("empty.key", "\n", 0o600),
    ("text.key", "not base64!\n", 0o600),
    ("f.ndjson", "", 0o644),
    ("z.zone", "", 0o644),
    ("domains.txt", "a.example\n", 0o644),
    ("nobody.txt", "# nobody\n", 0o644),
    ("bad-domains.txt", "a.example\nb..example\n", 0o644),
    ("asn.csv", "192.0.2.0,192.0.2.255,64500\n", 0o644),
    ("empty.csv", "start,end,asn\n", 0o644),
    (
        "header.csv",
        "foo,bar,64500\n192.0.2.0,192.0.2.255,64500\n",
        0o644,
    ),
    (
        "comma.csv",
        "a.example,2026-01-01,Example Registrar, Inc.,a7\n",
        0o644,
    ),
    (
        "sound-users",
        concat!("desk:viewer::", include_str!("../fixtures/argon2id.txt")),
        0o600,
    ),
    (
        "users",
        concat!(
            "desk:viewer::",
            include_str!("../fixtures/argon2id.txt"),
            "nobody\n"
        ),
        0o600,
    ),
    ("no.mmdb", "no database", 0o644),
    ("short.token", "open-sesame\n", 0o600),
    (
        "two.token",
        "open-sesame-treasury\nold-sesame-treasury\n",
        0o600,
    ),
    ("mark.token", "\u{feff}open-sesame-treasury\n", 0o600),
    ("blank.token", "open-sesame-treasury \n", 0o600),
    ("sound.token", "open-sesame-treasury\r\n", 0o600),
    ("plain-users", "# desk\n\nada:open-sesame-treasury\n", 0o600),
    (
        "role-users",
        "ada:boss::$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA\n",
        0o600,
    ),
    ("hash-users", "ada:viewer::secret\n", 0o600),
    (
        "web.pem",
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        0o644,
    ),
];

/// A broken configuration below `[store]`: its name, its text, the key of its fault, and words of its sentence or
/// its cure. The faulty line ends in `#!`.
type Broken<'a> = (&'a str, String, &'a str, &'a str);

/// Writes the files that configurations name.
fn bench() -> Bench {
    let bench = Bench::new("");
    for (name, text, mode) in FILES {
        let path = bench.write(name, text);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("the mode can be set");
    }
    fs::create_dir(bench.path().join("folder")).expect("a folder can be made");
    let open = bench.path().join("open");
    fs::create_dir(&open).expect("a folder can be made");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("the mode can be set");
    bench.write("open/f.ndjson", "");
    bench
}

/// Returns everything that is found in a file, in its order.
fn find(bench: &Bench) -> Vec<Fault> {
    let (config, mut faults) = Config::examine(&bench.config()).expect("the file can be read");
    examine_parts(&config, &mut faults);
    faults.extend(check_surroundings(&config));
    faults.extend(config.warnings.clone());
    faults.sort_by_key(|fault| fault.line);
    faults
}

/// Joins sections.
fn of(parts: &[&str]) -> String {
    parts.concat()
}

/// Checks that each text has one fault of a weight, at its marked line, with its key.
fn check(broken: &[Broken<'_>], severity: Weight) {
    let bench = bench();
    let mut wrong = Vec::new();
    for (name, text, key, words) in broken {
        let text = format!("[store]\npath = \"x.db\"\n{text}");
        fs::write(bench.config(), &text).expect("the folder can be written");
        let marked = text.lines().position(|line| line.ends_with("#!"));
        let line = marked.expect("a marked line") + 1;
        let all = find(&bench);
        let found: Vec<&Fault> = all
            .iter()
            .filter(|fault| fault.severity == severity)
            .collect();
        let is_right = |fault: &&Fault| {
            (fault.line, fault.key.as_str()) == (line, *key)
                && (fault.what.contains(words) || fault.cure.contains(words))
        };
        if !(found.len() == 1 && found.iter().all(is_right)) {
            wrong.push(format!(
                "{name}: expected line {line}, {key}, {words:?}\n{text}\n{all:#?}"
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}\n{}",
        wrong.len(),
        broken.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_broken_source_is_told_with_its_line_and_key() {
    let transfer = |rest: &str| of(&[TRANSFER, rest]);
    let zonefile = |rest: &str| of(&[ZONEFILE, rest]);
    let probe = |rest: &str| of(&[PROBE, rest]);
    let resolved = |rest: &str| of(&[PROBE, "resolvers = [\"192.0.2.53:53\"]\n", rest]);
    check(
        &[
            ("kind-unknown", "[[source]]\nname = \"a\"\nkind = \"transfr\" #!\n".into(), "source.kind", "\"transfer\"?"),
            ("kind-missing", "[[source]] #!\nname = \"a\"\n".into(), "source.kind", "is missing"),
            ("kind-without-quotes", "[[source]]\nname = \"a\"\nkind = transfer #!\n".into(), "", "kind = \"transfer\""),
            ("every-without-unit", zonefile("path = \"x.zone\"\nevery = 5 #!\n"), "source.every", "\"5m\""),
            ("sources", "[[sources]] #!\nname = \"a\"\n".into(), "sources", "[[source]]?"),
            // Nothing else is told: the lines below are read as the list's content.
            ("list-not-closed", "[[source]]\nname = \"a\"\nprimaries = [\"192.0.2.1:53\" #!\nevery = \"5 parsecs\"\n[smtp]\nurl = 5\n".into(), "", "] is missing"),
            ("kind-a-number", "[[source]]\nname = \"a\"\nkind = 5 #!\n".into(), "source.kind", "quotes"),
            ("name-missing", "[[source]] #!\nkind = \"feed\"\npath = \"f.ndjson\"\n".into(), "source.name", "is missing"),
            ("name-empty", "[[source]]\nname = \"\" #!\nkind = \"feed\"\npath = \"f.ndjson\"\n".into(), "source.name", "no name"),
            ("name-of-confirm", "[[source]]\nname = \"detect.confirm\" #!\nkind = \"feed\"\npath = \"f.ndjson\"\n".into(), "source.name", "another name"),
            ("name-twice", of(&[FEED, "[[source]]\nname = \"f\" #!\nkind = \"feed\"\npath = \"z.zone\"\n"]), "source.name", "twice"),
            ("feed-twice", of(&[FEED, "[[source]]\nname = \"g\"\nkind = \"feed\"\npath = \"f.ndjson\" #!\n"]), "source.path", "already the feed"),
            ("zone-twice", of(&[TRANSFER, "[[source]]\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\" #!\npath = \"z.zone\"\n"]), "source.zone", "one authoritative source"),
            ("zone-missing", "[[source]] #!\nname = \"a\"\nkind = \"transfer\"\nprimaries = [\"192.0.2.1\"]\n".into(), "source.zone", "is missing"),
            ("zone-no-name", "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"exa..mple.\" #!\nprimaries = [\"192.0.2.1\"]\n".into(), "source.zone", "empty label"),
            ("primaries-missing", "[[source]] #!\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\n".into(), "source.primaries", "is missing"),
            ("primaries-empty", "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [] #!\n".into(), "source.primaries", "the list is empty"),
            ("primaries-a-text", "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = \"192.0.2.1\" #!\n".into(), "source.primaries", "as a list"),
            ("primary-a-name", "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\n  \"192.0.2.1:53\",\n  \"primary.example\", #!\n]\n".into(), "source.primaries", "primary.example"),
            ("primary-port-0", "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"192.0.2.1:0\"] #!\n".into(), "source.primaries", "is not the address and port of one host"),
            ("primary-unspecified", "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"0.0.0.0:53\"] #!\n".into(), "source.primaries", "is not the address and port of one host"),
            ("key-without-section", transfer("key = \"k.\" #!\n"), "source.key", "[[key]]"),
            ("ixfr-a-text", transfer("ixfr = \"yes\" #!\n"), "source.ixfr", "true or false"),
            ("zonemd-unknown", transfer("zonemd = \"always\" #!\n"), "source.zonemd", "require"),
            ("zonemd-misspelt", transfer("zonemd = \"requre\" #!\n"), "source.zonemd", "did you mean \"require\"?"),
            ("key-of-another-kind", transfer("push = true #!\n"), "source.push", "it is a key of feed"),
            ("key-misspelt", transfer("evry = \"5m\" #!\n"), "source.evry", "did you mean every?"),
            ("key-unknown", transfer("colour = 1 #!\n"), "source.colour", "the keys here are"),
            ("tls-key-misspelt", transfer("tls = { sever_name = \"x\" } #!\n"), "source.tls.sever_name", "server_name?"),
            ("tls-name-missing", transfer("tls = { strict_alpn = true } #!\n"), "source.tls.server_name", "is missing"),
            ("tls-ca-and-pins", transfer("tls = { server_name = \"p.example\", ca_file = \"f.ndjson\", pins = [\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"] } #!\n"), "source.tls", "exclude each other"),
            ("tls-ca-missing", transfer("tls = { server_name = \"p.example\", ca_file = \"absent.pem\" } #!\n"), "source.tls.ca_file", "absent.pem"),
            ("tls-pin-no-hash", transfer("tls = { server_name = \"p.example\", pins = [\"x\"] } #!\n"), "source.tls.pins", "44 characters"),
            ("every-bare", transfer("every = \"5\" #!\n"), "source.every", "\"5\" is not a span"),
            ("every-soon", transfer("every = \"soon\" #!\n"), "source.every", "soon"),
            ("every-nothing", transfer("every = \"0s\" #!\n"), "source.every", "0s"),
            ("every-a-number", transfer("every = 300 #!\n"), "source.every", "quotes"),
            ("every-soa-of-a-feed", of(&[FEED, "every = \"soa\" #!\n"]), "source.every", "transfer"),
            ("every-and-cron", transfer("every = \"5m\"\ncron = \"0 0 * * * *\" #!\n"), "source.cron", "exclude each other"),
            ("cron-3-fields", transfer("cron = \"* * *\" #!\n"), "source.cron", "six fields"),
            ("cron-minute-60", transfer("cron = \"0 60 * * * *\" #!\n"), "source.cron", "0 to 59"),
            ("cron-weekday-8", transfer("cron = \"0 0 7 * * 8\" #!\n"), "source.cron", "0 and 7 are Sunday"),
            ("cron-weekday-as-day", transfer("cron = \"0 0 7 Mon * *\" #!\n"), "source.cron", "1 to 31"),
            ("cron-quartz-last", transfer("cron = \"0 0 7 L * *\" #!\n"), "source.cron", "no day of the month"),
            ("cron-30-february", transfer("cron = \"0 0 7 30 2 *\" #!\n"), "source.cron", "never comes due"),
            ("cron-1999", transfer("cron = \"0 0 7 1 1 * 1999\" #!\n"), "source.cron", "never comes due"),
            ("scope-empty", of(&[CATALOG, "scope = [] #!\n"]), "source.scope", "takes no member"),
            ("scope-no-name", of(&[CATALOG, "scope = [\"com.\", \"a..b\"] #!\n"]), "source.scope", "a..b"),
            ("members-max-0", of(&[CATALOG, "members_max = 0 #!\n"]), "source.members_max", "takes no member"),
            ("members-max-negative", of(&[CATALOG, "members_max = -1 #!\n"]), "source.members_max", "whole number"),
            ("path-missing", "[[source]] #!\nname = \"z\"\nkind = \"zonefile\"\nzone = \"example.\"\n".into(), "source.path", "is missing"),
            ("path-in-no-folder", zonefile("path = \"absent/z.zone\" #!\n"), "source.path", "absent is no folder"),
            ("path-a-folder", zonefile("path = \"folder\" #!\n"), "source.path", "is a folder"),
            ("pattern-in-no-folder", zonefile("path = \"absent/*.zone\" #!\n"), "source.path", "absent is no folder"),
            ("pattern-broken", zonefile("path = \"z[.zone\" #!\n"), "source.path", "attern"),
            ("time-pattern-without-day", zonefile("path = \"z.zone\"\ntime_pattern = \"z-%Y%m.zone\" #!\n"), "source.time_pattern", "gives no day"),
            ("time-pattern-unknown", zonefile("path = \"z.zone\"\ntime_pattern = \"z-%Q%m%d.zone\" #!\n"), "source.time_pattern", "%Y%m%d"),
            ("time-pattern-with-folder", zonefile("path = \"z.zone\"\ntime_pattern = \"a/z-%Y%m%d.zone\" #!\n"), "source.time_pattern", "name of a file"),
            ("feed-in-no-folder", "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"absent/f.ndjson\" #!\n".into(), "source.path", "absent is no folder"),
            ("push-without-web", of(&[FEED, "push = true #!\n"]), "source.push", "[web]"),
            ("push-without-token", of(&[FEED, "push = true #!\n[web]\nlisten = \"127.0.0.1:5380\"\n"]), "source.push", "token_file"),
            ("resolvers-missing", "[[source]] #!\nname = \"p\"\nkind = \"probe\"\ndomains = \"domains.txt\"\n".into(), "source.resolvers", "is missing"),
            ("resolvers-and-roots", probe("resolvers = [\"192.0.2.53:53\"]\nroots = [\"192.0.2.4:53\"] #!\n"), "source.roots", "exclude each other"),
            ("resolver-without-port", probe("resolvers = [\"192.0.2.53\"] #!\n"), "source.resolvers", "with a port"),
            ("domains-missing", "[[source]] #!\nname = \"p\"\nkind = \"probe\"\nresolvers = [\"192.0.2.53:53\"]\n".into(), "source.domains", "is missing"),
            ("domains-absent", "[[source]]\nname = \"p\"\nkind = \"probe\"\nresolvers = [\"192.0.2.53:53\"]\ndomains = \"absent.txt\" #!\n".into(), "source.domains", "absent.txt"),
            ("domains-nobody", "[[source]]\nname = \"p\"\nkind = \"probe\"\nresolvers = [\"192.0.2.53:53\"]\ndomains = \"nobody.txt\" #!\n".into(), "source.domains", "names no domain"),
            ("domains-no-name", "[[source]]\nname = \"p\"\nkind = \"probe\"\nresolvers = [\"192.0.2.53:53\"]\ndomains = \"bad-domains.txt\" #!\n".into(), "source.domains", "line 2"),
            ("server-rate-0", resolved("server_rate = 0 #!\n"), "source.server_rate", "must be at least 1"),
            ("at-once-0", resolved("domains_at_once = 0 #!\n"), "source.domains_at_once", "must be at least 1"),
            ("port-0", resolved("port = 0 #!\n"), "source.port", "must be at least 1"),
            ("port-70000", resolved("port = 70000 #!\n"), "source.port", "70000"),
            ("primary-multicast", "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"224.0.0.1:53\"] #!\n".into(), "source.primaries", "many hosts"),
            ("primary-broadcast", "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"255.255.255.255\"] #!\n".into(), "source.primaries", "many hosts"),
            ("resolver-multicast", probe("resolvers = [\"[ff02::1]:53\"] #!\n"), "source.resolvers", "many hosts"),
            ("every-two-million-years", transfer("every = \"99999999w\" #!\n"), "source.every", "more than a year"),
            ("full-every-two-years", transfer("full_every = \"731d\" #!\n"), "source.full_every", "\"366d\" or less"),
            ("feed-in-no-folder-of-its-name", "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"nodir/\" #!\n".into(), "source.path", "nodir/ is no folder"),
            ("zone-file-with-slash", zonefile("path = \"nodir/\" #!\n"), "source.path", "nodir/ is no folder"),
            ("path-empty", zonefile("path = \"\" #!\n"), "source.path", "is empty"),
            ("tls-a-boolean", transfer("tls = true #!\n"), "source.tls", "expected a table"),
            ("tls-a-boolean-cure", transfer("tls = true #!\n"), "source.tls", "tls = { server_name = "),
            ("tls-name-of-two-words", transfer("tls = { server_name = \"a b\" } #!\n"), "source.tls.server_name", "such as \"primary.example\""),
            ("cron-in-its-own-case", transfer("cron = \"0 0 L * *\" #!\n"), "source.cron", "\"L\" is no day of the month"),
            ("cron-of-one-field", transfer("cron = \"x\" #!\n"), "source.cron", "has 1 field"),
            ("source-a-table", "[source] #!\nname = \"a\"\n".into(), "source", "[[source]]"),
        ],
        Weight::Error,
    );
}

#[test]
fn every_broken_section_is_told_with_its_line_and_key() {
    let report = |rest: &str| of(&[REPORT, rest, SMTP]);
    let smtp = |rest: &str| of(&[REPORT, "[smtp]\n", rest]);
    let pushed = |file: &str| {
        let web = "push = true\n[web]\nlisten = \"127.0.0.1:5380\"\ntoken_file = \"";
        of(&[FEED, web, file, "\" #!\n"])
    };
    let mailed = |rest: &str| of(&[REPORT, SMTP, rest]);
    check(
        &[
            ("section-unknown", "[detekt] #!\nmemory = \"90d\"\n".into(), "detekt", "did you mean [detect]?"),
            ("store-key-misspelt", "revers_index = true #!\n".into(), "store.revers_index", "reverse_index?"),
            ("store-key-a-text", "reverse_index = \"no\" #!\n".into(), "store.reverse_index", "true or false"),
            ("timezone-in-a-section", "timezone = \"Europe/Berlin\" #!\n".into(), "store.timezone", "above the first"),
            ("key-file-open", "[[key]]\nname = \"k.\"\nsecret_file = \"open.key\" #!\n".into(), "key.secret_file", "chmod"),
            ("key-file-empty", "[[key]]\nname = \"k.\"\nsecret_file = \"empty.key\" #!\n".into(), "key.secret_file", "is empty"),
            ("key-file-absent", "[[key]]\nname = \"k.\"\nsecret_file = \"absent.key\" #!\n".into(), "key.secret_file", "absent.key"),
            ("key-file-a-folder", "[[key]]\nname = \"k.\"\nsecret_file = \"folder\" #!\n".into(), "key.secret_file", "is no file"),
            ("key-file-no-base64", "[[key]]\nname = \"k.\"\nsecret_file = \"text.key\" #!\n".into(), "key.secret_file", "base64"),
            ("key-file-missing", "[[key]] #!\nname = \"k.\"\n".into(), "key.secret_file", "is missing"),
            ("key-algorithm-misspelt", "[[key]]\nname = \"k.\"\nalgorithm = \"hmac-sha-256\" #!\nsecret_file = \"sound.key\"\n".into(), "key.algorithm", "did you mean \"hmac-sha256\"?"),
            ("key-algorithm", "[[key]]\nname = \"k.\"\nalgorithm = \"hmac-md5\" #!\nsecret_file = \"sound.key\"\n".into(), "key.algorithm", "hmac-sha256"),
            ("key-twice", "[[key]]\nname = \"k.\"\nsecret_file = \"sound.key\"\n[[key]]\nname = \"K\" #!\nsecret_file = \"sound.key\"\n".into(), "key.name", "twice"),
            ("limit-0", "[limits]\n  octets = 0 #!\n".into(), "limits.octets", "greater than 0"),
            ("limit-too-long-record", "[limits]\nrecord_octets = 70000 #!\n".into(), "limits.record_octets", "65535"),
            ("share-of-2", "[trust]\nbulk_share = 2.0 #!\n".into(), "trust.bulk_share", "share"),
            ("memory-a-day", "[detect]\nmemory = \"1d\" #!\n".into(), "detect.memory", "7 days"),
            ("the-second-score", "[detect.nameservers]\nscore_min = 55.0\n[detect.addresses]\nscore_min = -1.0 #!\n".into(), "detect.addresses.score_min", "0 to 100"),
            ("score-never-reached", "[detect.nameservers]\nscore_min = 550.0 #!\n".into(), "detect.nameservers.score_min", "0 to 100"),
            ("threshold-unknown", "[detect.nameservers]\nchanges_min = 3.0 #!\n".into(), "detect.nameservers.changes_min", "did you mean changes_"),
            ("hold-no-name", "[detect]\nhold_nameservers = [\"a..b\"] #!\n".into(), "detect.hold_nameservers", "label"),
            ("confirm-without-resolver", "[detect.confirm] #!\ntimes = 3\n".into(), "detect.confirm.resolvers", "resolvers"),
            ("confirm-times-0", "[detect.confirm]\nresolvers = [\"127.0.0.1:53\"]\ntimes = 0 #!\n".into(), "detect.confirm.times", "must be at least 1"),
            ("keep-less-than-memory", "[retention]\nkeep = \"30d\" #!\n".into(), "retention.keep", "detect.memory"),
            ("size-0", "[retention]\nsize_bytes_max = 0 #!\n".into(), "retention.size_bytes_max", "keeps nothing"),
            ("zone-section-empty", "[[zone]]\nname = \"example.\" #!\n".into(), "zone.name", "neither desk nor keep"),
            ("zone-section-twice", "[[zone]]\nname = \"example.\"\nkeep = \"900d\"\n[[zone]]\nname = \"example\" #!\nkeep = \"800d\"\n".into(), "zone.name", "has two sections"),
            ("notify-no-address", of(&[TRANSFER, "[notify]\nlisten = [\"localhost:5399\"] #!\n"]), "notify.listen", "localhost"),
            ("notify-empty", of(&[TRANSFER, "[notify]\nlisten = [] #!\n"]), "notify.listen", "names no address"),
            ("canary-without-every", "[canary] #!\ndomain = \"canary.example.\"\n".into(), "canary.every", "is missing"),
            ("metrics-of-nothing", "[metrics] #!\nzones_max = 5\n".into(), "metrics", "neither listen nor textfile"),
            ("metrics-in-no-folder", "[metrics]\ntextfile = \"absent/m.prom\" #!\n".into(), "metrics.textfile", "absent is no folder"),
            ("web-serves-nothing", "[web] #!\nlisten = \"127.0.0.1:5380\"\n".into(), "web", "serves nothing"),
            ("web-listen-a-name", "[web]\nlisten = \"localhost\" #!\nusers_file = \"sound-users\"\n".into(), "web.listen", "localhost"),
            ("web-users-line", "[web]\nlisten = \"127.0.0.1:5380\"\nusers_file = \"users\" #!\n".into(), "web.users_file", "line 2"),
            ("token-short", pushed("short.token"), "web.token_file", "shorter than 16"),
            ("token-of-two-lines", pushed("two.token"), "web.token_file", "more than one line"),
            ("token-behind-a-mark", pushed("mark.token"), "web.token_file", "byte order mark"),
            ("token-before-a-blank", pushed("blank.token"), "web.token_file", "blanks at"),
            ("web-users-plain", "[web]\nlisten = \"127.0.0.1:5380\"\nusers_file = \"plain-users\" #!\n".into(), "web.users_file", "fluxwatch users add ada --role viewer"),
            ("web-users-role", "[web]\nlisten = \"127.0.0.1:5380\"\nusers_file = \"role-users\" #!\n".into(), "web.users_file", "line 1"),
            ("web-users-hash", "[web]\nlisten = \"127.0.0.1:5380\"\nusers_file = \"hash-users\" #!\n".into(), "web.users_file", "fluxwatch users passwd ada"),
            ("web-for-everybody", "[web]\nlisten = \"0.0.0.0:5380\" #!\nusers_file = \"sound-users\"\n".into(), "web.listen", "loopback"),
            ("web-certificate-alone", "[web]\nlisten = \"127.0.0.1:5380\"\nusers_file = \"sound-users\"\ncertificate = \"web.pem\" #!\n".into(), "web.certificate", "web.key"),
            ("web-key-alone", "[web]\nlisten = \"127.0.0.1:5380\"\nusers_file = \"sound-users\"\nkey = \"sound.key\" #!\n".into(), "web.key", "web.certificate"),
            ("web-public-url", "[web]\nlisten = \"127.0.0.1:5380\"\nusers_file = \"sound-users\"\npublic_url = \"desk.example\" #!\n".into(), "web.public_url", "https://"),
            ("web-session-forever", "[web]\nlisten = \"127.0.0.1:5380\"\nusers_file = \"sound-users\"\nsession_max = \"400d\" #!\n".into(), "web.session_max", "31d"),
            ("web-proxy-from-anywhere", "[web]\nlisten = \"127.0.0.1:5380\"\n[web.proxy]\nname_header = \"X-User\"\ngroups_header = \"X-Groups\"\nfrom = [] #!\nviewers = [\"staff\"]\n".into(), "web.proxy.from", "anybody"),
            ("web-proxy-without-groups", "[web]\nlisten = \"127.0.0.1:5380\"\n[web.proxy] #!\nname_header = \"X-User\"\ngroups_header = \"X-Groups\"\nfrom = [\"127.0.0.1\"]\n".into(), "web.proxy", "no group has a role"),
            ("smtp-password-blank", smtp("url = \"smtps://user@mail.registrar.example\"\npassword_file = \"blank.token\" #!\n"), "smtp.password_file", "blanks at"),
            ("webhook-secret-short", "[[webhook]]\nurl = \"https://desk.registrar.example/hook\"\nsecret_file = \"short.token\" #!\n".into(), "webhook.secret_file", "openssl rand"),
            ("webhook-scheme-hides-the-rest", "[[webhook]]\nurl = \"ftp://desk.registrar.example/hook?token=x\" #!\nsecret_file = \"sound.key\"\n".into(), "webhook.url", "\"ftp\" is no scheme"),
            ("asn-empty", "[enrich]\nasn = \"empty.csv\" #!\n".into(), "enrich.asn", "is empty"),
            ("asn-absent", "[enrich]\nasn = \"absent.csv\" #!\n".into(), "enrich.asn", "absent.csv"),
            ("asn-no-heading", "[enrich]\nasn = \"header.csv\" #!\n".into(), "enrich.asn", "nor is it a heading"),
            ("asn-no-database", "[enrich]\nasn = \"no.mmdb\" #!\n".into(), "enrich.asn", "no.mmdb"),
            ("hosting-empty", "[enrich]\nhosting_asns = \"nobody.txt\" #!\n".into(), "enrich.hosting_asns", "is empty"),
            ("ranges-without-source", "[enrich]\nshared_ranges = \"nobody.txt\" #!\n".into(), "enrich.shared_ranges", "# source"),
            ("registrations-empty", "[enrich]\nregistrations = \"nobody.txt\" #!\n".into(), "enrich.registrations", "is empty"),
            ("registrations-unquoted-comma", "[enrich]\nregistrations = \"comma.csv\" #!\n".into(), "enrich.registrations", "5 fields"),
            ("report-without-smtp", "[report] #!\nfrom = \"a@b.example\"\n".into(), "report", "[smtp]"),
            ("smtp-without-report", "[smtp] #!\nurl = \"maildir://desk\"\n".into(), "smtp", "[report]"),
            ("dkim-without-mail", "[dkim] #!\ndomain = \"registrar.example\"\n".into(), "dkim", "[report] and [smtp]"),
            ("desk-nobody", of(&["[report]\nfrom = \"a@b.example\"\ndesk = [] #!\norg = \"O\"\ncontact = \"a@b.example\"\n", SMTP]), "report.desk", "names no address"),
            ("desk-twice", of(&["[report]\nfrom = \"a@b.example\"\ndesk = [\n  \"a@b.example\",\n  \"A@b.example\", #!\n]\norg = \"O\"\ncontact = \"a@b.example\"\n", SMTP]), "report.desk", "twice"),
            ("desk-no-address", of(&["[report]\nfrom = \"a@b.example\"\ndesk = [\"a@b.example\", \"desk\"] #!\norg = \"O\"\ncontact = \"a@b.example\"\n", SMTP]), "report.desk", "\"desk\""),
            ("org-missing", of(&["[report] #!\nfrom = \"a@b.example\"\ndesk = [\"a@b.example\"]\ncontact = \"a@b.example\"\n", SMTP]), "report.org", "is missing"),
            ("digest-4-fields", report("digest = \"0 7 * *\" #!\n"), "report.digest", "six fields"),
            ("digest-backwards", report("digest = \"0 0 7 * * Fri-Mon\" #!\n"), "report.digest", "upwards"),
            ("nobody-is-told", report("digest = \"off\"\ncases_per_hour_max = 0 #!\n"), "report.cases_per_hour_max", "would report no case"),
            ("repeat-a-minute", report("repeat = \"1m\" #!\n"), "report.repeat", "less than an hour"),
            ("blind-0", report("blind_intervals = 0 #!\n"), "report.blind_intervals", "1 or more"),
            ("language-without-templates", report("language = \"de\" #!\n"), "report.language", "templates"),
            ("templates-absent", report("templates = \"absent\" #!\n"), "report.templates", "absent"),
            ("bounces-without-bounce", report("bounces = \"later\" #!\n"), "report.bounces", "needs bounce"),
            ("bounces-no-maildir", report("bounce = \"bounce@registrar.example\"\nbounces = \"folder\" #!\n"), "report.bounces", "no Maildir"),
            ("url-missing", of(&[REPORT, "[smtp] #!\n"]), "smtp.url", "is missing"),
            ("url-scheme", smtp("url = \"mail.registrar.example:25\" #!\n"), "smtp.url", "scheme"),
            ("url-password", smtp("url = \"smtps://user:secret@mail.registrar.example\" #!\n"), "smtp.url", "password_file"),
            ("password-in-the-clear", smtp("url = \"smtp://user@mail.registrar.example\"\npassword_file = \"sound.key\" #!\n"), "smtp.password_file", "TLS"),
            ("password-of-nobody", smtp("url = \"smtps://mail.registrar.example\"\npassword_file = \"sound.key\" #!\n"), "smtp.password_file", "no user"),
            ("password-of-a-maildir", smtp("url = \"maildir://desk\"\npassword_file = \"sound.key\" #!\n"), "smtp.password_file", "no use"),
            ("maildir-a-file", smtp("url = \"maildir://f.ndjson\" #!\n"), "smtp.url", "is no folder"),
            ("give-up-at-once", smtp("url = \"maildir://desk\"\ngive_up = \"5m\" #!\n"), "smtp.give_up", "less than an hour"),
            ("per-run-0", smtp("url = \"maildir://desk\"\nper_run_max = 0 #!\n"), "smtp.per_run_max", "sends nothing"),
            ("dkim-key-no-key", mailed("[dkim]\ndomain = \"registrar.example\"\nselector = \"s\"\nkey_file = \"sound.key\" #!\n"), "dkim.key_file", "PEM"),
            ("recipient-of-nobody", mailed("[[recipient]] #!\naddress = \"a@b.example\"\n"), "recipient", "one of zone"),
            ("recipient-of-two", mailed("[[recipient]] #!\nregistrar = \"1\"\nnetwork = 64500\naddress = \"a@b.example\"\n"), "recipient", "one of zone"),
            ("recipient-approval", mailed("[[recipient]]\nzone = \"example.\"\naddress = \"a@b.example\"\napproval = true #!\n"), "recipient.approval", "no notice that needs approval"),
            ("webhook-scheme", "[[webhook]]\nurl = \"desk.registrar.example\" #!\nsecret_file = \"sound.key\"\n".into(), "webhook.url", "https://"),
            ("webhook-host", "[[webhook]]\nurl = \"https:///hook\" #!\nsecret_file = \"sound.key\"\n".into(), "webhook.url", "no host"),
            ("events-in-no-folder", "[events]\npath = \"absent/e.ndjson\" #!\n".into(), "events.path", "absent is no folder"),
            ("events-a-folder", "[events]\npath = \"folder\" #!\n".into(), "events.path", "is a folder"),
            ("asn-without-name", "[enrich]\nasn = \"\" #!\n".into(), "enrich.asn", "is empty"),
            ("secret-without-name", smtp("url = \"smtps://user@mail.registrar.example\"\npassword_file = \"\" #!\n"), "smtp.password_file", "is empty"),
            ("events-without-name", "[events]\npath = \"\" #!\n".into(), "events.path", "is empty"),
            ("report-twice-bracketed", of(&["[[report]] #!\nfrom = \"a@b.example\"\n", SMTP]), "report", "write [report] once"),
            ("count-out-of-range", "[limits]\nnames = 99999999999999999999 #!\n".into(), "limits.names", "99999999999999999999, expected a whole number of 0 to 18446744073709551615"),
            ("share-of-7", "[trust]\nbulk_share = 7 #!\n".into(), "trust.bulk_share", "write a number of 0.0 to 1.0"),
            ("score-of-900", "[detect]\ncertain_score_min = 900.0 #!\n".into(), "detect.certain_score_min", "write a number of 0.0 to 100.0"),
            ("templates-absent-cure", report("templates = \"absent\" #!\n"), "report.templates", "name the folder, or leave the key out"),
            ("webhook-by-ftp", "[[webhook]]\nurl = \"ftp://desk.registrar.example/hook\" #!\nsecret_file = \"sound.key\"\n".into(), "webhook.url", "write it as \"https://"),
            ("greeting-of-one-word", smtp("url = \"smtp://mail.registrar.example:25/foo\" #!\n"), "smtp.url", "\"/foo\" is not the name of a host"),
            ("org-of-two-lines", of(&["[report]\nfrom = \"a@b.example\"\ndesk = [\"a@b.example\"]\norg = \"O\\u000a\" #!\ncontact = \"a@b.example\"\n", SMTP]), "report.org", "control character"),
            ("web-beside-metrics", "[metrics]\nlisten = \"127.0.0.1:5380\"\n[web]\nlisten = \"127.0.0.1:5380\" #!\nusers_file = \"sound-users\"\n".into(), "web.listen", "collides with metrics.listen"),
            ("metrics-beside-notify", of(&[TRANSFER, "[notify]\nlisten = [\"0.0.0.0:5380\"]\n[metrics]\nlisten = \"127.0.0.1:5380\" #!\n"]), "metrics.listen", "collides with notify.listen"),
            ("canary-every-two-years", "[canary]\ndomain = \"canary.example.\"\nevery = \"731d\" #!\n".into(), "canary.every", "more than a year"),
            ("section-written-twice", "[limits]\nnames = 5\n[limits] #!\nnames = 6\n".into(), "", "duplicate key limits"),
            ("key-written-twice", "[limits]\nnames = 5\nnames = 6 #!\n".into(), "", "duplicate"),
            ("heading-not-closed", "[[zone] #!\nname = \"example.\"\n[reports]\n".into(), "", "]] is missing"),
            ("text-not-closed", "[events]\npath = \"e.ndjson #!\n".into(), "", ""),
        ],
        Weight::Error,
    );
}

#[test]
fn what_is_sound_and_hardly_meant_is_a_warning() {
    check(
        &[
            ("feed-not-there-yet", "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"later.ndjson\" #!\n".into(), "source.path", "not there yet"),
            ("pattern-without-file", of(&[ZONEFILE, "path = \"later-*.zone\" #!\n"]), "source.path", "no file yet"),
            ("notify-unheard", of(&[TRANSFER, "notify = true #!\n"]), "source.notify", "[notify]"),
            ("notify-of-nobody", of(&[FEED, "[notify] #!\nlisten = [\"127.0.0.1:5399\"]\n"]), "notify", "no source"),
            ("ixfr-of-whole-zones", of(&[TRANSFER, "zonemd = \"require\"\nixfr = true #!\n"]), "source.ixfr", "whole zones"),
            ("jitter-as-long", of(&[TRANSFER, "every = \"5m\"\njitter = \"5m\" #!\n"]), "source.jitter", "not less than every"),
            ("key-of-nobody", of(&[TRANSFER, "[[key]]\nname = \"k.\" #!\nsecret_file = \"sound.key\"\n"]), "key.name", "no source uses"),
            ("primary-twice", "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\n\"192.0.2.1\",\n\"192.0.2.1:53\", #!\n]\n".into(), "source.primaries", "twice"),
            ("tls-on-53", "[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"example.\"\nprimaries = [\"192.0.2.1\"] #!\ntls = { server_name = \"p.example\" }\n".into(), "source.primaries", "853"),
            ("uneven-step", of(&[TRANSFER, "cron = \"0 */7 * * * *\" #!\n"]), "source.cron", "the last wait is 4"),
            ("push-for-everybody", of(&["[[source]]\nname = \"p\"\nkind = \"feed\"\nzone = \"p.test.\"\npush = true\n", "[web]\nlisten = \"0.0.0.0:5380\" #!\ntoken_file = \"sound.token\"\n"]), "web.listen", "loopback"),
            ("maildir-in-no-folder", of(&[FEED, REPORT, "[smtp]\nurl = \"maildir://absent/desk\" #!\n"]), "smtp.url", "first delivery"),
            ("zone-misspelt", of(&[TRANSFER, "[[zone]]\nname = \"exmaple.\" #!\nkeep = \"900d\"\n"]), "zone.name", "did you mean \"example.\"?"),
            ("zone-of-no-source", of(&[TRANSFER, "[[zone]]\nname = \"other.test.\" #!\nkeep = \"900d\"\n"]), "zone.name", "no source has the zone other.test"),
            ("zone-misspelt-beside-a-feed", of(&[TRANSFER, FEED, "[[zone]]\nname = \"exmaple.\" #!\nkeep = \"900d\"\n[[zone]]\nname = \"other.test.\"\nkeep = \"900d\"\n"]), "zone.name", "did you mean"),
            ("recipient-of-a-misspelt-zone", of(&[TRANSFER, REPORT, SMTP, "[[recipient]]\nzone = \"exmaple.\" #!\naddress = \"a@b.example\"\n"]), "recipient.zone", "did you mean"),
            ("canary-in-no-zone", of(&[TRANSFER, "[canary]\ndomain = \"canary.other.test.\" #!\nevery = \"1h\"\n"]), "canary.domain", "in no zone that a source brings"),
            ("bounce-that-nobody-reads", of(&[FEED, REPORT, "bounce = \"bounce@registrar.example\" #!\n", SMTP]), "report.bounce", "does not read what comes back"),
            ("table-of-everybody", of(&[FEED, "[enrich]\nasn = \"everybody.csv\" #!\n"]), "enrich.asn", "chmod o-w"),
            ("feed-of-everybody", "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"everybody.ndjson\" #!\n".into(), "source.path", "everybody can write"),
            ("zone-file-of-everybody", of(&[ZONEFILE, "path = \"every*.csv\" #!\n"]), "source.path", "everybody can write"),
            ("file-that-everybody-replaces", "[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"open/f.ndjson\" #!\n".into(), "source.path", "everybody can replace"),
            ("webhook-in-the-clear", of(&[FEED, "[[webhook]]\nurl = \"http://desk.registrar.example/hook\" #!\nsecret_file = \"sound.key\"\n"]), "webhook.url", "https://"),
        ],
        Weight::Warning,
    );
}

#[test]
fn a_file_that_is_wrong_as_a_whole_has_one_fault_with_its_line_and_cure() {
    let bench = bench();
    bench.write("a.zone", "example. 300 IN NS ns.example.\n");
    let latin: &[u8] =
        b"[store]\npath = \"x.db\"\n# M\xfcller\n[[zone]]\nname = \"b\xfccher.example.\"\n";
    for (name, text, line, key, words) in [
        (
            "store-missing",
            &b"[limits]\nnames = 5\n"[..],
            1,
            "store.path",
            "is missing",
        ),
        (
            "store-empty",
            b"[store]\npath = \"\"\n",
            2,
            "store.path",
            "is empty",
        ),
        (
            "store-bracketed",
            b"[[store]]\npath = \"x.db\"\n",
            1,
            "store",
            "write [store] once",
        ),
        (
            "store-twice",
            b"[store]\npath = \"x.db\"\n[store]\npath = \"y.db\"\n",
            3,
            "",
            "duplicate key store",
        ),
        (
            "store-a-zone-file",
            b"[store]\npath = \"a.zone\"\n",
            2,
            "store.path",
            "is no SQLite database",
        ),
        (
            "store-a-key",
            b"[store]\npath = \"sound.key\"\n",
            2,
            "store.path",
            "is no SQLite database",
        ),
        (
            "store-in-no-file",
            b"[store]\npath = \"db/\"\n",
            2,
            "store.path",
            "names a folder",
        ),
        ("latin-1", latin, 3, "", "byte 4, 0xFC, is not UTF-8"),
        ("latin-1-cure", latin, 3, "", "iconv"),
    ] {
        fs::write(bench.config(), text).expect("the folder can be written");
        let all = find(&bench);
        let errors = all.iter().filter(|it| it.severity == Weight::Error);
        let found: Vec<&Fault> = errors.collect();
        let [fault] = found[..] else {
            panic!("{name}: {all:#?}");
        };
        assert_eq!((fault.line, fault.key.as_str()), (line, key), "{name}");
        let sentence = fault.to_string();
        assert!(sentence.contains(words), "{name}: {sentence}");
    }
}

#[test]
fn a_database_of_fluxwatch_is_sound_and_one_of_another_program_is_not() {
    let bench = bench();
    bench.configure(FEED);
    bench.run(0, &["poll"]);
    assert!(find(&bench).iter().all(|it| it.key != "store.path"));
    let other = bench.path().join("other.db");
    let connection = rusqlite::Connection::open(&other).expect("a database can be made");
    let table = connection.execute_batch("create table song (title text)");
    table.expect("a table can be made");
    fs::write(
        bench.config(),
        format!("[store]\npath = \"other.db\"\n{FEED}"),
    )
    .expect("the folder can be written");
    let all = find(&bench);
    assert!(
        all.iter()
            .any(|it| it.key == "store.path" && it.what.contains("not fluxwatch's")),
        "{all:#?}"
    );
}

#[test]
fn a_password_in_the_clear_is_told_to_use_tls_alone() {
    let bench = bench();
    for url in [
        "smtp://user@mail.registrar.example",
        "smtp://mail.registrar.example",
    ] {
        let key = if url.contains('@') {
            "password_file = \"sound.key\""
        } else {
            "ca_file = \"sound.key\""
        };
        bench.configure(&format!("{FEED}{REPORT}[smtp]\nurl = \"{url}\"\n{key}\n"));
        let all = find(&bench);
        let fault = all.iter().find(|it| it.key.starts_with("smtp."));
        let sentence = fault.expect("a fault").to_string();
        assert!(
            sentence.contains("TLS; use smtps://host or")
                || sentence.contains("only; use smtps://host or"),
            "{sentence}"
        );
        assert!(!sentence.contains(":25"), "{sentence}");
    }
}

#[test]
fn everything_is_told_at_once_in_the_order_of_the_file() {
    let bench = bench();
    let text = "timezone = \"Europe/Berlim\"\n[enrich]\nasn = \"empty.csv\"\n[store]\npath = \"x.db\"\nrevers_index = 1\n[[source]]\nname = \"a\"\nkind = \"transfer\"\nzone = \"a..b\"\nprimaries = [\"x\", \"y\"]\ncron = \"0 0 7 30 2 *\"\n[limits]\nnames = 0\noctets = 0\n";
    fs::write(bench.config(), text).expect("the folder can be written");
    let lines = |text: &str| -> Vec<usize> {
        let named = text
            .lines()
            .filter_map(|line| line.split("line ").nth(1)?.split(':').next());
        named.filter_map(|number| number.parse().ok()).collect()
    };
    for arguments in [&["config", "check"][..], &["poll"], &["run"]] {
        let text = bench.run_stderr(2, arguments);
        assert_eq!(
            lines(&text),
            [1, 3, 6, 10, 11, 11, 12, 14, 15],
            "{arguments:?}\n{text}"
        );
        assert!(text.contains("did you mean \"Europe/Berlin\"?"), "{text}");
    }
    let found = bench
        .command(&["config", "check", "--format", "json"])
        .output()
        .expect("runs");
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).expect("JSON");
    assert_eq!(found["sound"], false);
    assert_eq!(found["faults"][2]["key"], "store.revers_index");
    assert_eq!(found["faults"][2]["cure"], "did you mean reverse_index?");
}

#[test]
fn a_check_shows_the_next_times_of_each_schedule_and_the_tables_in_use() {
    let bench = bench();
    // tests/fixtures/faults/digest-1-5.toml: crontab's 1-5 is Monday to Friday.
    let digest = include_str!("../fixtures/faults/digest-1-5.toml");
    let text = format!(
        "timezone = \"Asia/Tokyo\"\n{digest}[enrich]\nasn = \"asn.csv\"\n[[source]]\nname = \"f\"\nkind = \"feed\"\npath = \"f.ndjson\"\ncron = \"0 30 6 * * Sun\"\n"
    );
    fs::write(bench.config(), text).expect("the folder can be written");
    let checked = bench.run(0, &["config", "check"]);
    let line = |start: &str| {
        let found = checked.lines().find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("no {start}\n{checked}"))
            .to_owned()
    };
    let digest = line("schedule report.digest, \"0 0 7 * * 1-5\", Asia/Tokyo: ");
    assert_eq!(digest.matches(" 07:00:00 JST").count(), 3, "{digest}");
    assert!(
        !digest.contains("Sat ") && !digest.contains("Sun "),
        "{digest}"
    );
    let source = line("schedule source.cron of f, ");
    assert_eq!(source.matches("Sun 20").count(), 3, "{source}");
    assert!(
        line("table enrich.asn: ").contains("asn.csv: 1 range, of 20"),
        "{checked}"
    );
    let shown = bench.run(0, &["config", "show"]);
    assert!(
        shown.contains("timezone = \"Asia/Tokyo\"") && shown.contains("kind = \"feed\""),
        "{shown}"
    );
}

#[test]
fn an_empty_table_stops_a_poll_and_a_quoted_comma_does_not() {
    let bench = bench();
    let feed = format!("{FEED}[enrich]\n");
    for table in [
        "asn = \"empty.csv\"",
        "registrations = \"nobody.txt\"",
        "hosting_asns = \"nobody.txt\"",
    ] {
        bench.configure(&format!("{feed}{table}\n"));
        let output = bench
            .command(&["poll"])
            .output()
            .expect("the program can be started");
        // The zones are watched all the same.
        assert_eq!(output.status.code(), Some(3), "{table}\n{}", both(&output));
        assert!(both(&output).contains("is empty"), "{}", both(&output));
    }
    bench.write(
        "r.csv",
        "a.example,2026-01-01,\"Example Registrar, Inc.\",a7\n",
    );
    bench.configure(&format!("{feed}registrations = \"r.csv\"\n"));
    bench.run(0, &["poll"]);
}

#[test]
fn hangup_with_an_empty_table_keeps_the_old_one_and_names_every_fault() {
    let bench = bench();
    let sound = format!("{FEED}[enrich]\nasn = \"asn.csv\"\n");
    bench.configure(&sound);
    let running = Running::start(&bench, &["run"]);
    until("the table", || {
        running.log().contains("asn.csv: 1 ranges, of 20")
    });
    bench.write("asn.csv", "# nothing today\n");
    bench.configure(&format!("{sound}[limits]\nnames = 0\n"));
    running.signal("HUP");
    until("both faults", || {
        let log = running.log();
        log.contains("enrich.asn: ") && log.contains("is empty") && log.contains("limits.names: ")
    });
    assert!(!running.log().contains("configuration reloaded"));
    bench.configure(&sound);
    let status = bench.run_stderr(0, &["status"]);
    assert!(status.contains("asn.csv: 1 rows of 20"), "{status}");
    running.stop();
}

#[test]
fn paths_are_relative_to_the_file_and_secrets_are_never_shown() {
    if has_no_file() {
        return;
    }
    let bench = bench();
    bench.configure("[[key]]\nname = \"k.\"\nsecret_file = \"sound.key\"\n");
    let config = Config::load(&bench.config()).expect("sound");
    assert_eq!(config.store_url, bench.path().join("fluxwatch.db").into());
    assert!(!format!("{config:?}").contains("c2VjcmV0"));
    let open = "[[key]]\nname = \"k.\"\nsecret_file = \"open.key\"\n";
    bench.configure(open);
    let fault = Config::load(&bench.config()).expect_err("readable by others");
    assert!(!fault.to_string().contains("c2VjcmV0"), "{fault}");
}

#[test]
fn a_digest_is_due_once_by_the_clock_of_its_zone() {
    let bench = Bench::new("");
    let text = format!(
        "timezone = \"Europe/Berlin\"\n[store]\npath = \"x.db\"\n{REPORT}digest = \"0 30 2 * * *\"\n{SMTP}"
    );
    fs::write(bench.config(), text).expect("the folder can be written");
    let config = Config::load(&bench.config()).expect("sound");
    let is_due = |last: &str, now: &str| is_digest_due(&config, at(last), at(now));
    // 2026-10-25: the clock shows 02:30 at 00:30 and at 01:30 UTC.
    assert!(!is_due("2026-10-24T12:00:00Z", "2026-10-25T00:29:59Z"));
    assert!(is_due("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"));
    assert!(!is_due("2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z"));
    assert!(is_due("2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"));
    // 2027-03-28: the clock goes from 02:00 to 03:00 at 01:00 UTC.
    assert!(!is_due("2027-03-27T12:00:00Z", "2027-03-28T00:59:59Z"));
    assert!(is_due("2027-03-27T12:00:00Z", "2027-03-28T01:00:00Z"));
    assert!(!is_due("2027-03-28T01:00:00Z", "2027-03-29T00:29:59Z"));
}

#[test]
fn a_desk_that_was_left_as_the_template_has_it_is_told() {
    let bench = bench();
    let smtp = |port: u16| format!("[smtp]\nurl = \"smtp://127.0.0.1:{port}\"\n");
    bench.configure_bare(&of(&[FEED, REPORT, &smtp(25)]));
    let told = bench.run_stderr(0, &["config", "check"]);
    assert!(told.contains("nobody reads mail to it"), "{told}");
    bench.configure_bare(&of(&[FEED, REPORT, &smtp(2525)]));
    let told = bench.run_stderr(0, &["config", "check"]);
    assert!(!told.contains("nobody reads mail to it"), "{told}");
}

#[test]
fn a_cure_is_that_of_the_key_and_a_day_that_never_comes_has_no_next_times() {
    let bench = bench();
    let broken = of(&[
        FEED,
        "cron = \"0 0 0 30 2 *\"\n[web]\nlisten = \"127.0.0.1:8053\"\nusers_file = \"absent-users\"\n[limits]\nidle = \"0s\"\n",
    ]);
    bench.configure_bare(&broken);
    let told = bench.run_stderr(2, &["config", "check"]);
    for words in [
        "fluxwatch users add NAME --role approver",
        "never comes due",
        "use a number above 0",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let listed = bench.run(2, &["config", "check"]);
    assert!(!listed.contains("source.cron"), "{listed}");
}
