//! Puts mails about a case together: what is known of it, worded, built and signed.
//!
//! Mails about no single case (the digest, mass moves, blind zones) are put together in `alerts`. A new kind of mail
//! about a case needs a line in `words_of`: a kind that has none there is worded as a report.

use crate::pipeline::notify::Notify;
use std::collections::BTreeSet;

use crate::case::{Case, CaseState, Exemption, SendReason, Traits, exemption_of_domain};
use crate::config::{MailConfig, Party, Profile};
use crate::detector::{Finding, Level, Plane};
use crate::dns::{Name, UnicodeForm, unicode_form};
use crate::enrich::Networks;
use crate::mailer::{Draft, Layout, compose, envelope_address, is_same_address};
use crate::pipeline::error::PipelineError;
use crate::pipeline::findings::find::INTERVALS_MAX;
use crate::report::{
    CaseFacts, DeskReport, Ending, EvidenceLine, RelatedLine, XarfFacts, build_report,
    case_reference, check_xarf, evidence_csv, xarf,
};
use crate::store::{Link, MailKind, NewMessage, View, ZoneId};
use crate::templates::Words;
use crate::time::Timestamp;

/// The name in a case's log of what the program does by itself.
pub(in crate::pipeline) const ACTOR: &str = "fluxwatch";

/// Stands for the token of a mail that is shown and not kept.
pub const PREVIEW_TOKEN: &str = "preview";

/// Somebody a mail goes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// The mail address, as written.
    pub address: String,
    /// How the mail is built.
    pub profile: Profile,
    /// "" for the program's own words.
    pub language: String,
    /// As whom a notice addresses them; empty for the desk.
    pub party: String,
    /// Whether somebody has to approve it.
    pub approval: bool,
}

/// A mail about a case.
#[derive(Clone, Copy)]
pub struct CaseMail<'a> {
    /// The case's number.
    pub case_id: i64,
    /// The case as it will be when the mail is queued.
    pub case: &'a Case,
    /// What is suspected; `None` if nothing is any more.
    pub finding: Option<&'a Finding>,
    /// What the mail is.
    pub kind: MailKind,
    /// Why it is written.
    pub reason: SendReason,
    /// For the header Date.
    pub now: Timestamp,
    /// What a person of the desk adds to a notice.
    pub paragraph: Option<&'a str>,
}

/// The parts of a report, for a preview of each.
pub struct ReportParts {
    /// The mail, headers and all.
    pub message: NewMessage,
    /// The text part.
    pub text: String,
    /// `details.txt`.
    pub details: String,
    /// The HTML part.
    pub html: String,
    /// `xarf.json`.
    pub xarf: Vec<u8>,
    /// `evidence.csv`.
    pub csv: Vec<u8>,
}

impl Notify<'_> {
    /// Returns who is told of a case like the desk.
    pub fn desk_addressees(&self, case: &Case) -> Vec<Addressee> {
        self.addressees_for(&case.zone, &case.domain)
    }

    /// Returns who is told of a domain in a zone.
    fn addressees_for(&self, zone: &Name, domain: &Name) -> Vec<Addressee> {
        let Some(mail) = self.mail() else {
            return Vec::new();
        };
        let desk = desk_of(mail, zone).iter().map(|address| Addressee {
            address: address.clone(),
            profile: Profile::Desk,
            language: mail.language.clone(),
            party: String::new(),
            approval: false,
        });
        let others = mail.recipients.iter().filter_map(|it| match &it.party {
            Party::Zone(zone) if domain.is_at_or_below(zone) => Some(Addressee {
                address: it.address.clone(),
                profile: it.profile,
                language: it.language.clone(),
                party: String::new(),
                approval: false,
            }),
            _ => None,
        });
        desk.chain(others).collect()
    }

    /// Returns who is noticed of a finding: its registrar, operators and networks, as they are configured.
    pub fn notice_addressees(&self, finding: &Finding) -> Vec<Addressee> {
        let Some(mail) = self.mail() else {
            return Vec::new();
        };
        let registrar = self
            .registration_of(&finding.domain)
            .and_then(|it| it.registrar);
        let planes = || finding.planes();
        let concerned = |party: &Party| match party {
            Party::Zone(_) => None,
            Party::Registrar(name) => (registrar.as_ref() == Some(name))
                .then(|| format!("the sponsoring registrar ({name})")),
            Party::Operator(operator) => planes()
                .find(|plane| {
                    let mut names = plane.names.iter();
                    names.any(|it| it.host.is_at_or_below(operator))
                })
                .map(|plane| {
                    let name = operator.to_text_without_dot().replace('.', "[.]");
                    match plane.plane {
                        Plane::Aliases => format!("the operator of targets of aliases in {name}"),
                        _ => format!("the operator of name servers in {name}"),
                    }
                }),
            Party::Network(asn) => planes()
                .any(|plane| plane.addresses.iter().any(|it| it.asn == Some(*asn)))
                .then(|| {
                    format!("the network AS{asn}, which had some of its addresses within 7 days")
                }),
        };
        let addressee = |it: &crate::config::Recipient| {
            Some(Addressee {
                address: it.address.clone(),
                profile: it.profile,
                language: it.language.clone(),
                party: concerned(&it.party)?,
                approval: it.approval,
            })
        };
        // Who stands for several gets one notice.
        let mut merged: Vec<Addressee> = Vec::new();
        for it in mail.recipients.iter().filter_map(addressee) {
            match merged
                .iter_mut()
                .find(|known| known.address.eq_ignore_ascii_case(&it.address))
            {
                Some(known) => {
                    known.party = format!("{}, and as {}", known.party, it.party);
                    known.approval |= it.approval;
                }
                None => merged.push(it),
            }
        }
        merged
    }

    /// Returns the address of a case's page in the console, if people reach one.
    pub(in crate::pipeline) fn case_page(&self, case_id: i64) -> Option<String> {
        let url = self.config.web.as_ref()?.public_url.as_ref()?;
        Some(format!("{url}/cases/{}", case_reference(case_id)))
    }

    /// Puts a mail about a case together for one addressee. `token` tells the mail from every other, also
    /// from those that a database sent before it was restored: [`Store::draw_token`](crate::store::Store::draw_token)
    /// draws it for a mail that is kept, and [`PREVIEW_TOKEN`] stands in one that is not.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for words or headers that cannot be made.
    pub fn compose_case_mail(
        &self,
        mail: &CaseMail<'_>,
        to: &Addressee,
        token: &str,
    ) -> Result<ReportParts, PipelineError> {
        let config = self.mail().ok_or(PipelineError::NoMail)?;
        let (_, domain) = envelope_address(&config.from)?;
        let recipient = envelope_address(&to.address)?.0;
        let thread = self.thread_of(mail.case_id, mail.case);
        let (id, revision, kind) = (mail.case_id, mail.case.revision, mail.kind.word());
        let message_id = self.message_id(&format!("{id}.{revision}.{kind}"), token, &domain);
        let stands_for = self.stand_in(mail)?;
        let finding = mail.finding.unwrap_or(&stands_for);
        // A mail for machines has three parts (RFC 6522): its details are in its text.
        let has_details = mail.kind != MailKind::Notice && to.profile == Profile::Desk;
        let facts = CaseFacts {
            has_details,
            ..self.facts(mail, finding, &to.party)?
        };
        let related = facts.related.clone();
        let report = build_report(finding, facts);
        let words = words_of(mail.kind, &report);
        let words = self.parts.templates.render(&to.language, words)?;
        let csv = evidence_csv(finding);
        let json = self.xarf_of(&XarfParts {
            mail,
            finding,
            report: &report,
            related: &related,
            csv: &csv,
            message_id: &message_id,
            domain: &domain,
        })?;
        // A mail that is written anew follows on what came before it.
        let before = self.row_of(mail, &recipient)?;
        let ids = self.store.desk().thread_ids(thread, &recipient, before)?;
        // A notice has a thread of its own with each recipient: that of the notices.
        let ids = ids.filter(|_| mail.kind != MailKind::Notice);
        let draft = Draft {
            from: &config.from,
            to: &to.address,
            message_id: &message_id,
            thread: ids
                .as_ref()
                .map(|(first, last)| (first.as_str(), last.as_str())),
            date: mail.now,
            case_id: Some(mail.case_id),
            kind: mail.kind.word(),
            is_bulk: false,
            subject: &words.subject,
            text: &words.text,
            html: &words.html,
            layout: match (mail.kind, to.profile) {
                (MailKind::Closure, _) => Layout::Plain,
                (_, Profile::Desk) => Layout::Desk {
                    xarf: &json,
                    csv: &csv,
                    details: &words.details,
                },
                (_, Profile::Xarf) => Layout::Xarf { xarf: &json },
            },
        };
        let octets = compose(&draft, self.parts.signer.as_ref())?;
        let message = NewMessage {
            case_id: Some(mail.case_id),
            kind: mail.kind,
            revision: mail.case.revision,
            recipient,
            sender: self.sender_of(&message_id)?,
            message_id,
            subject: words.subject.clone(),
            octets,
        };
        Ok(ReportParts {
            message,
            text: words.text,
            details: words.details,
            html: words.html,
            xarf: json,
            csv,
        })
    }

    /// Returns the number of the message that a mail is in the outbox, if it is there.
    fn row_of(&self, mail: &CaseMail<'_>, recipient: &str) -> Result<Option<i64>, PipelineError> {
        if !self.is_anew(mail)? {
            return Ok(None);
        }
        let messages = self.store.desk().message_heads(mail.case_id)?.into_iter();
        let mut own = messages.filter(|it| {
            it.message.kind == mail.kind
                && it.message.revision == mail.case.revision
                && is_same_address(&it.message.recipient, recipient)
        });
        Ok(own.next().map(|it| it.id))
    }

    /// Returns whether a mail of this number was written before.
    fn is_anew(&self, mail: &CaseMail<'_>) -> Result<bool, PipelineError> {
        let row = self.store.desk().case_by_id(mail.case_id)?;
        Ok(row.is_some_and(|row| row.case.revision >= mail.case.revision))
    }

    /// Returns the octets of `xarf.json`, checked.
    fn xarf_of(&self, of: &XarfParts<'_>) -> Result<Vec<u8>, PipelineError> {
        let XarfParts { mail, finding, .. } = *of;
        let registration = self.registration_of(&finding.domain);
        let json = xarf(
            finding,
            &XarfFacts {
                message_id: of.message_id,
                reference: &of.report.reference,
                reporter: &of.report.reporter,
                reporter_domain: of.domain,
                at: mail.now,
                first_detected_at: mail.case.first_detected_at,
                registered_at: registration.as_ref().map(|it| it.created_at),
                registrar: registration.as_ref().and_then(|it| it.registrar.as_deref()),
                related: of.related,
                evidence_csv: of.csv,
            },
        );
        // Checked before it leaves: the other side throws away what its schema refuses, and says nothing.
        check_xarf(&json).map_err(PipelineError::Xarf)?;
        Ok(json)
    }

    /// Gathers what is known of a case beside its finding.
    fn facts<'a>(
        &'a self,
        mail: &CaseMail<'a>,
        finding: &Finding,
        party: &str,
    ) -> Result<CaseFacts<'a>, PipelineError> {
        let config = self.mail().ok_or(PipelineError::NoMail)?;
        let registration = self.registration_of(&finding.domain);
        let row = self.store.desk().case_by_id(mail.case_id)?;
        let campaign = row.as_ref().and_then(|row| row.campaign);
        let is_notice = mail.kind == MailKind::Notice;
        let account = registration.as_ref().and_then(|it| it.account.as_ref());
        // A keyed sum: the same account has the same token here, and nobody else can tell whose.
        let account = account.map(|account| {
            let sum = self.store.digest_key().checksum(account.as_bytes());
            format!("{sum:016x}")
        });
        let zone = self.store.zones().find_any_view(&finding.zone)?;
        let source = zone.map_or_else(
            || "history".to_owned(),
            |it| it.source_kind.word().to_owned(),
        );
        // A closure asks nobody to look at names that nobody suspects.
        let neighbours = match is_notice || mail.kind == MailKind::Closure {
            true => None,
            false => self.neighbours(campaign, finding)?,
        };
        let (neighbours, exempt_neighbours) = neighbours.unzip();
        Ok(CaseFacts {
            paragraph: mail.paragraph.map(str::to_owned),
            // A notice goes to outsiders. The console, the account and related cases are the desk's alone.
            page: self.case_page(mail.case_id).filter(|_| !is_notice),
            case_id: mail.case_id,
            case: mail.case,
            reason: mail.reason,
            reporter: &config.reporter,
            policy: &self.config.detect,
            evidence: self
                .evidence_of(finding)?
                .iter()
                .map(|(apex, _, link)| {
                    EvidenceLine::new(apex, link.head.serial, link.head.at, link.hash)
                })
                .collect(),
            history_until: self.history_until(finding)?,
            source,
            unicode: match unicode_form(&finding.domain) {
                UnicodeForm::None => None,
                UnicodeForm::Shown(text) => Some(text),
                UnicodeForm::Withheld => Some(String::new()),
            },
            asn_table: self.parts.knowledge.asn.as_ref().and_then(Networks::label),
            registered_at: registration.as_ref().map(|it| it.created_at),
            registrar: registration.as_ref().and_then(|it| it.registrar.clone()),
            account: account.filter(|_| !is_notice),
            party: party.to_owned(),
            campaign,
            related: match campaign {
                Some(campaign) if !is_notice => {
                    let to = self.desk_addressees(mail.case);
                    self.related(campaign, mail, &to)?
                }
                _ => Vec::new(),
            },
            neighbours,
            exempt_neighbours: exempt_neighbours.unwrap_or_default(),
            ending: match mail.kind {
                MailKind::Closure => self.ending_of(mail.case_id, mail.case.state)?,
                _ => None,
            },
            has_details: false,
        })
    }

    /// Returns a finding that says what a case says, for mails about what is no longer found. The last change of a case
    /// that a person ended is that of history: an earlier mail may have told of one that the case was not judged by yet.
    fn stand_in(&self, mail: &CaseMail<'_>) -> Result<Finding, PipelineError> {
        let case = mail.case;
        let is_by_person = mail.kind == MailKind::Closure
            && (self.ending_of(mail.case_id, case.state)?)
                .is_some_and(|ending| !ending.is_by_itself);
        let newest = if is_by_person {
            let range = self.findings.range(mail.now, INTERVALS_MAX);
            let windows = self.findings.load_windows(&case.domain, &range)?;
            windows.last_change_at(mail.now)
        } else {
            None
        };
        let last_change_at = newest.map_or(case.last_change_at, |at| at.max(case.last_change_at));
        Ok(Finding {
            domain: case.domain.clone(),
            zone: case.zone.clone(),
            verdict: case.verdict,
            level: case.level,
            score: case.score,
            last_change_at,
            last_step_at: last_change_at,
            now: case.evaluated_at,
            nameservers: None,
            addresses: None,
            aliases: None,
        })
    }

    /// Returns who ended a case and why: the newest line of its log that moved it to where it is.
    fn ending_of(&self, case: i64, state: CaseState) -> Result<Option<Ending>, PipelineError> {
        let last = (self.store.desk()).end_of(case, state)?;
        Ok(last.map(|line| Ending {
            is_by_itself: line.actor == ACTOR,
            by: line.actor,
            at: line.event.at.to_table(),
            note: line.event.note,
        }))
    }

    /// Returns the other cases of a campaign, those that nobody was told of first. Who is exempt is not among them. The
    /// closure of a thread names those whose end it tells, and no other. A mail that is written anew names nobody who came
    /// after it.
    fn related(
        &self,
        campaign: i64,
        mail: &CaseMail<'_>,
        to: &[Addressee],
    ) -> Result<Vec<RelatedLine>, PipelineError> {
        let exemptions = self.store.desk().exemptions_in_force(mail.now)?;
        let mut lines = Vec::new();
        let is_closure = mail.kind == MailKind::Closure;
        let (lead, revision, is_anew) = (mail.case_id, mail.case.revision, self.is_anew(mail)?);
        for row in self.store.desk().cases_of_campaign(campaign)? {
            let is_told_in = is_anew && self.is_told_in(&row, lead, revision)?;
            let is_named = match is_closure {
                true => {
                    !row.case.state.is_working()
                        && row.case.told.thread == Some(lead)
                        && (row.case.reported || is_told_in)
                }
                false => {
                    let is_later = row.case.told.at.is_none()
                        || row.case.first_detected_at > mail.case.evaluated_at;
                    row.case.state != CaseState::Dismissed && (!is_anew || is_told_in || !is_later)
                }
            };
            // Those of another desk are that one's to know.
            if row.id == mail.case_id || !is_named || self.desk_addressees(&row.case) != *to {
                continue;
            }
            let held_by = self.exemption_among(&exemptions, &row.case, None, mail.now)?;
            if held_by.is_some() {
                continue;
            }
            lines.push(RelatedLine {
                reference: case_reference(row.id),
                domain: row.case.domain.to_text_without_dot(),
                verdict: row.case.verdict.word(),
                level: row.case.level.word(),
                state: row.case.state.word(),
                is_new: !is_closure && (row.case.told.at.is_none() || is_told_in),
                is_suspected: row.case.level == Level::Report && row.case.state.is_working(),
                is_withdrawn: row.case.state == CaseState::Dismissed,
                ending: match is_closure {
                    true => self.ending_of(row.id, row.case.state)?,
                    false => None,
                },
            });
        }
        lines.sort_by_key(|line| (!line.is_withdrawn, !line.is_new));
        Ok(lines)
    }

    /// Returns other names on the rare name servers of a finding that are not suspected, and how many more there are that
    /// are exempt, for no mail names these; `None` where no index answers, and nobody is asked.
    fn neighbours(
        &self,
        campaign: Option<i64>,
        finding: &Finding,
    ) -> Result<Option<(BTreeSet<Name>, usize)>, PipelineError> {
        if !self.store.has_reverse_index() {
            return Ok(None);
        }
        let desk = self.store.desk();
        let mut hosts = match campaign {
            Some(campaign) => desk.hosts_of_campaign(campaign)?,
            None => Traits::of(finding, &self.parts.knowledge).hosts,
        };
        // Its own name servers are rare too, unless a provider's.
        let own = finding.nameservers.iter().flat_map(|plane| &plane.names);
        let own = own.filter(|it| !it.popular && it.host.is_at_or_below(&finding.domain));
        hosts.extend(own.map(|it| it.host.clone()));
        let mut names = self.store.lookup().delegations_using(&hosts)?;
        names.remove(&finding.domain);
        // Those of another desk are that one's to know.
        let to = self.addressees_for(&finding.zone, &finding.domain);
        names.retain(|name| self.addressees_for(name, name) == to);
        // An exempt one is no suspect, whatever its case says.
        let mut exempt = BTreeSet::new();
        let exemptions = desk.exemptions_in_force(self.clock.now())?;
        if !exemptions.is_empty() {
            for name in &names {
                if self.is_exempt(&exemptions, name)? {
                    exempt.insert(name.clone());
                }
            }
            names.retain(|name| !exempt.contains(name));
        }
        desk.leave_out_suspects(&mut names)?;
        Ok(Some((names, exempt.len())))
    }

    /// Returns whether an exemption covers a domain: by its name or account, or what was found of it.
    fn is_exempt(&self, exemptions: &[Exemption], name: &Name) -> Result<bool, PipelineError> {
        let now = self.clock.now();
        if let Some(row) = self.store.desk().find_case(name)? {
            let held_by = self.exemption_among(exemptions, &row.case, None, now)?;
            return Ok(held_by.is_some());
        }
        let account = self.registration_of(name).and_then(|it| it.account);
        let exemption = exemption_of_domain(exemptions, name, account.as_deref(), now);
        Ok(exemption.is_some())
    }

    /// Returns the newest link, as of the judgement, of every zone that a finding looked at, each once.
    pub(in crate::pipeline) fn evidence_of(
        &self,
        finding: &Finding,
    ) -> Result<Vec<(Name, ZoneId, Link)>, PipelineError> {
        let planes = finding.planes();
        let apexes: BTreeSet<&Name> = planes.map(|plane| &plane.zone).collect();
        let mut evidence = Vec::new();
        for apex in apexes {
            for (zone, link) in self.store.ledger().links_at(apex, finding.now)? {
                evidence.push((apex.clone(), zone, link));
            }
        }
        Ok(evidence)
    }

    /// Returns the time of the newest version of the zones that enclose a domain, as far as it is judged by them.
    pub(in crate::pipeline) fn newest_version_at(
        &self,
        domain: &Name,
    ) -> Result<Option<Timestamp>, PipelineError> {
        let zones = self.store.zones().zones_enclosing(domain)?.into_iter();
        let judged = zones.filter(|zone| zone.view != View::Passive);
        let mut newest = None;
        for zone in judged.map(|zone| zone.apex).collect::<BTreeSet<Name>>() {
            let links = self
                .store
                .ledger()
                .links_at(&zone, Timestamp::from_unix(i64::MAX))?;
            newest = newest.max(links.iter().map(|(_, link)| link.head.at).max());
        }
        Ok(newest)
    }

    /// Returns the time of the newest version that is stored of the zones that a finding looked at.
    fn history_until(&self, finding: &Finding) -> Result<Option<Timestamp>, PipelineError> {
        let planes = finding.planes();
        let apexes: BTreeSet<&Name> = planes.map(|plane| &plane.zone).collect();
        let mut newest = None;
        for apex in apexes {
            let links = self
                .store
                .ledger()
                .links_at(apex, Timestamp::from_unix(i64::MAX))?;
            newest = newest.max(links.iter().map(|(_, link)| link.head.at).max());
        }
        Ok(newest)
    }

    /// Returns the case in whose mails a case is told.
    fn thread_of(&self, case_id: i64, case: &Case) -> i64 {
        case.told.thread.unwrap_or(case_id)
    }

    /// Returns the Message-ID of a mail about `what`. Cases and revisions are numbered anew where a database
    /// was restored, so `token` alone tells one mail from another; the rest is for people.
    pub(in crate::pipeline) fn message_id(&self, what: &str, token: &str, domain: &str) -> String {
        let database: String = self.store.database_id()[..6]
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        format!("<fluxwatch.{database}.{what}.{token}@{domain}>")
    }

    /// Returns the envelope's sender: the bounce address with an extension that stands for the message
    /// (VERP), or the From address. The extension is keyed: nobody can make one up.
    pub(in crate::pipeline) fn sender_of(&self, message_id: &str) -> Result<String, PipelineError> {
        let config = self.mail().ok_or(PipelineError::NoMail)?;
        let Some(bounce) = &config.bounce else {
            return Ok(envelope_address(&config.from)?.0);
        };
        let (address, domain) = envelope_address(bounce)?;
        let local = address
            .strip_suffix(&format!("@{domain}"))
            .unwrap_or(&address);
        let token = self.store.digest_key().checksum(message_id.as_bytes());
        Ok(format!("{local}+{token:016x}@{domain}"))
    }
}

/// Returns who is told of a case in a zone: the zone's own desk, or that of the nearest zone above.
fn desk_of<'a>(mail: &'a MailConfig, zone: &Name) -> &'a [String] {
    let mut name = Some(zone.clone());
    while let Some(candidate) = name {
        if let Some(desk) = mail.zone_desks.get(&candidate) {
            return desk;
        }
        name = candidate.parent();
    }
    &mail.desk
}

/// What `xarf.json` is made of.
struct XarfParts<'a> {
    mail: &'a CaseMail<'a>,
    finding: &'a Finding,
    report: &'a DeskReport,
    related: &'a [RelatedLine],
    csv: &'a [u8],
    message_id: &'a str,
    /// The domain that the mail comes from.
    domain: &'a str,
}

/// Returns the words of a mail of one kind.
fn words_of(kind: MailKind, report: &DeskReport) -> Words<'_> {
    match kind {
        MailKind::Update => Words::Update(report),
        MailKind::Closure => Words::Closure(report),
        MailKind::Notice => Words::Notice(report),
        _ => Words::Report(report),
    }
}
