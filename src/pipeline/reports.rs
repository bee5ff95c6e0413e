//! Turns a finding into messages of the outbox, and into the bytes of a preview.

use std::collections::BTreeSet;

use crate::case::{Case, Decision, decide_report};
use crate::config::MailConfig;
use crate::detector::Finding;
use crate::dns::Name;
use crate::evidence::Hash;
use crate::mailer::{Draft, compose, envelope_address};
use crate::pipeline::{Pipeline, PipelineError, PollOptions};
use crate::report::{EvidenceLine, build_report};
use crate::store::{NewMessage, ZoneId};
use crate::time::Timestamp;

impl Pipeline {
    /// Queues the desk's report of a case if one is due. Part of the transaction that moves the case.
    pub(super) fn queue_report(
        &self,
        case_id: i64,
        case: &Case,
        finding: &Finding,
        options: &PollOptions,
    ) -> Result<(), PipelineError> {
        // The canary's case is a test of the monitor, and accuses nobody.
        let is_test = self.is_canary(&case.domain);
        let wanted = options.mail_wanted && self.mail().is_some() && !is_test;
        let Decision::Send(reason) = decide_report(case, wanted) else {
            return Ok(());
        };
        let reported = Case {
            revision: case.revision + 1,
            reported: true,
            ..case.clone()
        };
        let now = self.clock.now();
        let evidence = self.evidence_of(finding)?;
        let hashes: Vec<_> = evidence
            .iter()
            .map(|(_, zone, hash)| (*zone, *hash))
            .collect();
        self.store
            .note_evidence(case_id, reported.revision, &hashes)?;
        for message in self.compose_report(case_id, &reported, finding, now)? {
            tracing::info!(
                case = case_id,
                recipient = message.recipient,
                "case {case_id}: report queued to {}: {reason}",
                message.recipient
            );
            self.store.queue_message(&message, now)?;
        }
        self.store.save_case(&reported, &[], "fluxwatch")?;
        Ok(())
    }

    /// Composes the desk's report of a case, one message a recipient; empty if no mail is configured.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] for words or headers that cannot be made.
    pub fn compose_report(
        &self,
        case_id: i64,
        case: &Case,
        finding: &Finding,
        now: Timestamp,
    ) -> Result<Vec<NewMessage>, PipelineError> {
        let Some(mail) = self.mail() else {
            return Ok(Vec::new());
        };
        let evidence = self.evidence_of(finding)?;
        let evidence = evidence
            .iter()
            .map(|(apex, _, hash)| EvidenceLine::new(apex, *hash))
            .collect();
        let report = build_report(
            case_id,
            case,
            finding,
            &mail.reporter,
            &self.config.detect.label(),
            evidence,
        );
        let words = self.templates.render_report(&report)?;
        let (sender, sender_domain) = envelope_address(&mail.from)?;
        let mut messages = Vec::new();
        for recipient in desk_of(mail, &case.zone) {
            let message_id = self.message_id(case_id, case.revision, recipient, &sender_domain);
            let draft = Draft {
                from: &mail.from,
                to: recipient,
                message_id: &message_id,
                date: now,
                case_id,
                subject: &words.subject,
                text: &words.text,
                html: &words.html,
            };
            let octets = compose(&draft)?;
            messages.push(NewMessage {
                case_id,
                revision: case.revision,
                recipient: envelope_address(recipient)?.0,
                sender: sender.clone(),
                message_id,
                subject: words.subject.clone(),
                octets,
            });
        }
        Ok(messages)
    }

    /// Returns the newest hash of every zone that a finding looked at, each once.
    fn evidence_of(&self, finding: &Finding) -> Result<Vec<(Name, ZoneId, Hash)>, PipelineError> {
        let planes = finding.nameservers.iter().chain(&finding.addresses);
        let apexes: BTreeSet<&Name> = planes.map(|plane| &plane.zone).collect();
        let mut evidence = Vec::new();
        for apex in apexes {
            for (zone, hash) in self.store.newest_hashes(apex)? {
                evidence.push((apex.clone(), zone, hash));
            }
        }
        Ok(evidence)
    }

    /// Returns a Message-ID that is the same each time and differs between databases, cases, revisions
    /// and recipients.
    fn message_id(&self, case_id: i64, revision: u32, recipient: &str, domain: &str) -> String {
        let database: String = self.store.database_id()[..6]
            .iter()
            .map(|octet| format!("{octet:02x}"))
            .collect();
        let recipient = self.store.digest_key().checksum(recipient.as_bytes());
        format!("<fluxwatch.{database}.{case_id}.{revision}.{recipient:016x}@{domain}>")
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
