//! Made-up mails that have something in every field: what templates are checked with, and golden files.

use crate::detector::{Check, Gate};
use crate::report::{
    AddressLine, Advice, Assessment, BlindLine, BlindnessReport, BulkLine, BulkReport, CaseLine,
    DeskReport, DigestReport, Ending, Endpoint, EvidenceLine, ExemptionLine, Lane, MailLine,
    MoreLines, NameLine, PlaneSection, RelatedLine, Reporter, Run, TermLine, Timeline, Transition,
};
use crate::templates::Words;

/// A made-up mail.
pub enum MadeUp {
    /// About a case.
    Report(Box<DeskReport>),
    /// See [`MadeUp::Report`].
    Update(Box<DeskReport>),
    /// See [`MadeUp::Report`].
    Closure(Box<DeskReport>),
    /// See [`MadeUp::Report`].
    Notice(Box<DeskReport>),
    /// A day.
    Digest(Box<DigestReport>),
    /// Mass moves.
    Bulk(BulkReport),
    /// Zones that cannot be seen.
    Blindness(BlindnessReport),
}

impl MadeUp {
    /// Returns what the mail says.
    pub fn words(&self) -> Words<'_> {
        match self {
            Self::Report(it) => Words::Report(it),
            Self::Update(it) => Words::Update(it),
            Self::Closure(it) => Words::Closure(it),
            Self::Notice(it) => Words::Notice(it),
            Self::Digest(it) => Words::Digest(it),
            Self::Bulk(it) => Words::Bulk(it),
            Self::Blindness(it) => Words::Blindness(it),
        }
    }
}

/// Returns one mail of each kind, and a quiet day.
pub fn all() -> Vec<MadeUp> {
    let mut update = report();
    update.revision = 2;
    update.reason = "1 more domain belongs to its campaign".to_owned();
    let closure = DeskReport {
        revision: 3,
        reason: "the case is mitigated".to_owned(),
        state: "mitigated",
        ending: Some(Ending {
            by: "ada".to_owned(),
            is_by_itself: false,
            at: "2026-11-22 12:00:00".to_owned(),
            note: "mitigated by the desk: moved to ns1.new.example.".to_owned(),
        }),
        related: vec![
            ended(
                "FW-000002",
                "worse.example",
                "dismissed",
                "dismissed as migration",
            ),
            ended(
                "FW-000003",
                "worst.example",
                "mitigated",
                "mitigated by the desk",
            ),
        ],
        withdrawn_count: 1,
        neighbours: Vec::new(),
        neighbours_count: 0,
        planes: Vec::new(),
        ..report()
    };
    let notice = DeskReport {
        party: "the sponsoring registrar (Example Registrar 1234)".to_owned(),
        page: Some("https://fluxwatch.registrar.example/cases/FW-000012".to_owned()),
        paragraph: Some("We have seen this twice.\nPlease answer to our desk.".to_owned()),
        has_details: false,
        ..report()
    };
    let quiet = DigestReport {
        console: None,
        is_quiet: true,
        overflow: Vec::new(),
        more: MoreLines::default(),
        opened: Vec::new(),
        lowered: Vec::new(),
        ended: Vec::new(),
        bulk: Vec::new(),
        blind: Vec::new(),
        dead: Vec::new(),
        bounced: Vec::new(),
        ending: Vec::new(),
        ..digest()
    };
    vec![
        MadeUp::Report(Box::new(report())),
        MadeUp::Update(Box::new(update)),
        MadeUp::Closure(Box::new(closure)),
        MadeUp::Notice(Box::new(notice)),
        MadeUp::Digest(Box::new(digest())),
        MadeUp::Digest(Box::new(quiet)),
        MadeUp::Bulk(bulk()),
        MadeUp::Blindness(blindness()),
    ]
}

/// Returns a day on which everything happened.
pub fn digest() -> DigestReport {
    let case = |reference: &str, note: &str| CaseLine {
        reference: reference.to_owned(),
        domain: "bad.example".to_owned(),
        verdict: "double-flux",
        level: "report",
        state: "open",
        score: "81.0".to_owned(),
        note: note.to_owned(),
    };
    DigestReport {
        console: Some("https://fluxwatch.registrar.example".to_owned()),
        day: "2026-11-22".to_owned(),
        from: "2026-11-21 07:00".to_owned(),
        to: "2026-11-22 07:00".to_owned(),
        is_quiet: false,
        overflow: vec![case("FW-000003", "")],
        more: MoreLines {
            bulk: 12,
            ..MoreLines::default()
        },
        opened: vec![case(
            "FW-000004",
            "opened: suspected double-flux, level report",
        )],
        lowered: Vec::new(),
        ended: vec![case(
            "FW-000005",
            "dismissed as migration: moved to ns1.new.example.",
        )],
        open_count: 2,
        acknowledged_count: 1,
        drafted_count: 1,
        bulk: bulk().moves,
        blind: blindness().zones,
        dead: vec![MailLine {
            id: 7,
            recipient: "desk@registrar.example".to_owned(),
            reply: "550 no such user desk@registrar.example".to_owned(),
        }],
        bounced: vec![MailLine {
            id: 0,
            recipient: "abuse@hoster.example".to_owned(),
            reply: "5.1.1 user unknown".to_owned(),
        }],
        ending: vec![ExemptionLine {
            id: 1,
            kind: "domain",
            value: "good.example.".to_owned(),
            reason: "load balancer of shop.example".to_owned(),
            until: "2026-11-25 00:00".to_owned(),
        }],
        zone_count: 3,
        record_count: 1200,
        reporter: reporter(),
        program_version: "0.0.0",
    }
}

/// Returns two mass moves.
pub fn bulk() -> BulkReport {
    BulkReport {
        moves: vec![
            BulkLine {
                zone: "example".to_owned(),
                at: "2026-11-22 03:00".to_owned(),
                what: "the same move of the name servers",
                name_count: 20_000,
                before: vec!["ns1.old.example".to_owned(), "ns2.old.example".to_owned()],
                after: vec!["ns1.new.example".to_owned()],
                names: vec!["a.example".to_owned(), "b.example".to_owned()],
            },
            BulkLine {
                zone: "example".to_owned(),
                at: "2026-11-22 04:00".to_owned(),
                what: "a mass change",
                name_count: 300,
                before: Vec::new(),
                after: Vec::new(),
                names: Vec::new(),
            },
        ],
        name_count: 20_300,
        reporter: reporter(),
        program_version: "0.0.0",
    }
}

/// Returns zones that cannot be seen.
pub fn blindness() -> BlindnessReport {
    BlindnessReport {
        zones: vec![
            BlindLine {
                zone: "example".to_owned(),
                reason: "refused (tsig): the primary 192.0.2.1:53 does not know the key".to_owned(),
                is_watched: false,
                since: "2026-11-22 01:00".to_owned(),
                over: None,
            },
            BlindLine {
                zone: "test".to_owned(),
                reason: "not seen for 12 of its intervals".to_owned(),
                is_watched: false,
                since: "2026-11-22 02:00".to_owned(),
                over: Some("2026-11-22 03:00".to_owned()),
            },
            BlindLine {
                zone: "other.example".to_owned(),
                reason: "its serial went back from 9 to 7; it is watched on".to_owned(),
                is_watched: true,
                since: "2026-11-22 03:10".to_owned(),
                over: Some("2026-11-22 03:10".to_owned()),
            },
        ],
        zones_count: 4,
        at: "2026-11-22 03:30".to_owned(),
        reporter: reporter(),
        program_version: "0.0.0",
    }
}

/// Returns who reports.
fn reporter() -> Reporter {
    Reporter {
        org: "Example Registrar".to_owned(),
        contact: "abuse@registrar.example".to_owned(),
    }
}

/// Returns a report that has something in every field.
pub fn report() -> DeskReport {
    let plane = plane_section();
    DeskReport {
        case_id: 1,
        reference: "FW-000001".to_owned(),
        domain: "bad.example".to_owned(),
        zone: "example".to_owned(),
        verdict: "ns-flux",
        allegation: "its name servers or their addresses changed 9 times in 7 days".to_owned(),
        revision: 1,
        reason: "first report of this case".to_owned(),
        is_withdrawn: false,
        state: "open",
        unicode: Some("bäd.example".to_owned()),
        grade: "medium",
        source: "transfer".to_owned(),
        asn_table_of: Some("2026-11-20".to_owned()),
        registered_at: Some("2026-11-01 00:00:00".to_owned()),
        age_days: Some(21),
        registrar: Some("Example Registrar 1234".to_owned()),
        account: Some("0f0f0f0f".to_owned()),
        party: String::new(),
        page: None,
        paragraph: None,
        assessment: Assessment {
            word: "registered for this",
            reason: "it was 21 days old when this began; weigh other signs too".to_owned(),
        },
        advice: advice(),
        campaign: Some("FC-1".to_owned()),
        related: vec![RelatedLine {
            reference: "FW-000002".to_owned(),
            domain: "worse.example".to_owned(),
            verdict: "double-flux",
            level: "report",
            state: "open",
            is_new: true,
            is_suspected: true,
            is_withdrawn: false,
            ending: None,
        }],
        related_count: 2,
        withdrawn_count: 0,
        neighbours: vec!["quiet.example".to_owned()],
        neighbours_count: 2,
        level: "report",
        score: "61.0".to_owned(),
        policy_version: "made-up".to_owned(),
        began_at: Some("2026-11-22 08:00:00".to_owned()),
        first_detected_at: "2026-11-22 10:00:00".to_owned(),
        last_change_at: "2026-11-22 10:00:00".to_owned(),
        judged_at: "2026-11-22 10:00:00".to_owned(),
        judged_at_argument: "2026-11-22T10:00:00Z".to_owned(),
        judged_from_argument: "2026-11-15T10:00:00Z".to_owned(),
        last_change: plane.transitions.first().cloned(),
        history_until: Some("2026-11-22 12:00:00".to_owned()),
        ending: None,
        has_details: true,
        brevity: 0,
        attack: "T1568.001",
        planes: vec![plane],
        evidence: vec![EvidenceLine {
            zone: "example".to_owned(),
            serial: Some(7),
            at: "2026-11-22 10:00:00".to_owned(),
            hash: "0f".repeat(32),
        }],
        reporter: reporter(),
        program_version: "0.0.0",
    }
}

/// Returns a case of a campaign whose end a closure tells.
fn ended(reference: &str, domain: &str, state: &'static str, note: &str) -> RelatedLine {
    RelatedLine {
        reference: reference.to_owned(),
        domain: domain.to_owned(),
        verdict: "double-flux",
        level: "report",
        state,
        is_new: false,
        is_suspected: false,
        is_withdrawn: state == "dismissed",
        ending: Some(Ending {
            by: "ada".to_owned(),
            is_by_itself: false,
            at: "2026-11-22 11:00:00".to_owned(),
            note: note.to_owned(),
        }),
    }
}

/// Returns a plane that has something in every field.
fn plane_section() -> PlaneSection {
    let endpoint = Endpoint {
        host: Some("ns1.bad.example".to_owned()),
        addresses: vec!["192.0.2.1".to_owned()],
    };
    let bare_endpoint = Endpoint {
        host: None,
        addresses: vec!["192.0.2.2".to_owned()],
    };
    PlaneSection {
        title: "Name servers",
        is_nameservers: true,
        is_aliases: false,
        owner: "bad.example".to_owned(),
        zone: "example".to_owned(),
        watched_since: "2026-11-01 00:00:00".to_owned(),
        score: "61.0".to_owned(),
        gate_open: true,
        changes_24h: 1,
        changes_72h: 2,
        changes_7d: 3,
        lesser_changes: vec!["not counted: 1 of 3, nothing left".to_owned()],
        mean_stay: "4.0 hours".to_owned(),
        stillness: "Not changed in 7 days; watched since 2026-11-01 00:00:00 UTC".to_owned(),
        terms: vec![TermLine {
            name: "term",
            value: "1".to_owned(),
            points: "1.0".to_owned(),
            points_max: "40".to_owned(),
        }],
        gates_met: 1,
        gates: vec![Gate {
            name: "gate",
            value: "1".to_owned(),
            needed: "1".to_owned(),
            passed: true,
        }],
        checks: vec![Check {
            name: "check",
            result: "none".to_owned(),
            explains: false,
        }],
        transitions: vec![Transition {
            at: "2026-11-22 10:00:00".to_owned(),
            serial: Some(7),
            bulk: true,
            drift: false,
            counts: "mass change, not counted".to_owned(),
            before: vec![endpoint.clone(), bare_endpoint.clone()],
            after: vec![endpoint.clone(), bare_endpoint.clone()],
            removed: vec![endpoint.clone(), bare_endpoint.clone()],
            added: vec![endpoint.clone(), bare_endpoint.clone(), bare_endpoint],
        }],
        transitions_count: 2,
        names: vec![NameLine {
            host: "ns1.bad.example".to_owned(),
            operator: "bad.example".to_owned(),
            popular: true,
            present: true,
        }],
        names_count: 2,
        addresses: vec![AddressLine {
            host: "ns1.bad.example".to_owned(),
            address: "192.0.2.1".to_owned(),
            prefix: "192.0.0.0/16".to_owned(),
            asn: Some("AS64500".to_owned()),
            asn_name: Some("Example".to_owned()),
            present: true,
        }],
        addresses_count: 2,
        networks: "1 prefix".to_owned(),
        holz: Some("100.0".to_owned()),
        timeline: timeline(),
    }
}

/// Returns a picture of a week.
fn timeline() -> Timeline {
    Timeline {
        from: "2026-11-15 10:00:00".to_owned(),
        to: "2026-11-22 10:00:00".to_owned(),
        cell: "12h".to_owned(),
        lanes: vec![Lane {
            label: "ns1.bad.example".to_owned(),
            is_name: true,
            host: None,
            is_host_shown: false,
            is_in_brief: true,
            runs: vec![
                Run {
                    present: false,
                    text: "..........".to_owned(),
                },
                Run {
                    present: true,
                    text: "####".to_owned(),
                },
            ],
            text: "..........####".to_owned(),
        }],
        lanes_count: 2,
        brief_count: 1,
    }
}

/// Returns what the desk is advised to do.
fn advice() -> Advice {
    Advice {
        step: "freeze the delegation".to_owned(),
        reason: "it keeps the NS records as they are".to_owned(),
        collateral: "1 other watched name".to_owned(),
        then: "clientHold".to_owned(),
        clears: vec!["the domain stands still for 14d".to_owned()],
    }
}
