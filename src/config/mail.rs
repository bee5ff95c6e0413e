//! Checks the sections about mail and other ways out.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use toml::Spanned;

use crate::case::MailRules;
use crate::config::check::{Checker, ConfigError};
use crate::config::resolved::{
    DkimConfig, MailConfig, Party, Recipient, SendingLimits, WebhookConfig,
};
use crate::config::written::{RecipientSection, ReportSection, SmtpSection, Written};
use crate::dns::Name;
use crate::report::Reporter;
use crate::time::Span;

/// The most octets of a file of authorities.
const CA_OCTETS_MAX: u64 = 1 << 20;

impl Checker<'_> {
    /// Resolves the sections about mail.
    pub(super) fn check_mail(&self, written: &Written) -> Result<Option<MailConfig>, ConfigError> {
        let (report, smtp) = match (&written.report, &written.smtp) {
            (None, None) => return self.refuse_without_mail(written),
            (Some(report), None) => {
                return Err(self.error(
                    report.from.span(),
                    "[report] needs [smtp] to say how mail leaves".to_owned(),
                ));
            }
            (None, Some(smtp)) => {
                return Err(self.error(
                    smtp.url.span(),
                    "[smtp] needs [report] to say who writes to whom".to_owned(),
                ));
            }
            (Some(report), Some(smtp)) => (report, smtp),
        };
        let mut zone_desks = HashMap::new();
        for zone in &written.zone {
            let Some(desk) = &zone.desk else { continue };
            let desk = self.somebody(desk, "desk")?;
            zone_desks.insert(self.name(&zone.name, "name")?, desk);
        }
        let recipients = written.recipient.iter().map(|it| self.check_recipient(it));
        let recipients: Vec<Recipient> = recipients.collect::<Result<_, _>>()?;
        let language = report.language.as_ref().map(|it| self.language(it));
        let language = language.transpose()?.unwrap_or_default();
        let spoken = recipients.iter().map(|it| &it.language).chain([&language]);
        let spoken: BTreeSet<String> = spoken.filter(|it| !it.is_empty()).cloned().collect();
        let desk = self.somebody(&report.desk, "desk")?;
        let operator = match &report.operator {
            Some(operator) => self.somebody(operator, "operator")?,
            None => desk.clone(),
        };
        let (bounce, bounces) = (&report.bounce, &report.bounces);
        if let (Some(bounces), None) = (bounces, bounce) {
            return Err(self.error(
                bounces.span(),
                "bounces needs bounce, the address that mail comes back to".to_owned(),
            ));
        }
        Ok(Some(MailConfig {
            from: report.from.get_ref().clone(),
            desk,
            zone_desks,
            operator,
            recipients,
            language,
            languages: spoken.into_iter().collect(),
            templates: report
                .templates
                .as_ref()
                .map(|it| self.resolve(it.get_ref())),
            rules: self.mail_rules(report)?,
            cases_per_hour_max: report.cases_per_hour_max,
            digest: (report.digest != "off").then(|| report.digest.clone()),
            bulk_names_min: report.bulk_names_min,
            blind_intervals: report.blind_intervals.max(1),
            bounce: bounce.as_ref().map(|it| it.get_ref().clone()),
            bounces: bounces.as_ref().map(|it| self.resolve(it.get_ref())),
            reporter: Reporter {
                org: report.org.clone(),
                contact: report.contact.get_ref().clone(),
            },
            url: self.mail_url(smtp)?,
            password: smtp
                .password_file
                .as_ref()
                .map(|path| self.read_secret(path, "password_file"))
                .transpose()?,
            ca_pem: self.read_authorities(smtp)?,
            sending: self.sending_limits(smtp)?,
            dkim: self.check_dkim(written)?,
        }))
    }

    /// Resolves where cases are told in JSON.
    pub(super) fn check_webhooks(
        &self,
        written: &Written,
    ) -> Result<Vec<WebhookConfig>, ConfigError> {
        let mut webhooks = Vec::new();
        for webhook in &written.webhook {
            let url = webhook.url.get_ref();
            if !url.starts_with("https://") && !url.starts_with("http://") {
                let what = format!("url: {url:?} begins with neither https:// nor http://");
                return Err(self.error(webhook.url.span(), what));
            }
            webhooks.push(WebhookConfig {
                url: url.clone(),
                secret: self.read_secret(&webhook.secret_file, "secret_file")?,
            });
        }
        Ok(webhooks)
    }

    /// Refuses what is about mail where no mail is sent at all.
    fn refuse_without_mail(&self, written: &Written) -> Result<Option<MailConfig>, ConfigError> {
        let desk = written.zone.iter().find_map(|zone| zone.desk.as_ref());
        let desk = desk.map(|desk| (desk.span(), "[[zone]] desk"));
        let recipient = written.recipient.first();
        let recipient = recipient.map(|it| (it.address.span(), "[[recipient]]"));
        let dkim = written.dkim.as_ref();
        let dkim = dkim.map(|it| (it.domain.span(), "[dkim]"));
        match desk.or(recipient).or(dkim) {
            Some((span, what)) => {
                Err(self.error(span, format!("{what} needs [report] and [smtp]")))
            }
            None => Ok(None),
        }
    }

    /// Returns a list of addresses that is not empty.
    fn somebody(&self, list: &Spanned<Vec<String>>, key: &str) -> Result<Vec<String>, ConfigError> {
        match list.get_ref().is_empty() {
            true => Err(self.error(list.span(), format!("{key} names nobody"))),
            false => Ok(list.get_ref().clone()),
        }
    }

    /// Returns a language's name: the name of a folder.
    fn language(&self, language: &Spanned<String>) -> Result<String, ConfigError> {
        let text = language.get_ref();
        let fits = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
        if text.is_empty() || !text.chars().all(fits) || text == "mail" {
            let what = format!("language: {text:?} is none, such as \"de\"");
            return Err(self.error(language.span(), what));
        }
        Ok(text.clone())
    }

    /// Resolves a recipient.
    fn check_recipient(&self, section: &RecipientSection) -> Result<Recipient, ConfigError> {
        let zone = section.zone.as_ref();
        let zone = zone.map(|it| self.name(it, "zone").map(Party::Zone));
        let operator = section.operator.as_ref();
        let operator = operator.map(|it| self.name(it, "operator").map(Party::Operator));
        let registrar = section.registrar.as_ref();
        let registrar = registrar.map(|it| Ok(Party::Registrar(it.get_ref().clone())));
        let network = section.network.as_ref();
        let network = network.map(|it| Ok(Party::Network(*it.get_ref())));
        let mut parties = [zone, registrar, operator, network].into_iter().flatten();
        let (Some(party), None) = (parties.next(), parties.next()) else {
            return Err(self.error(
                section.address.span(),
                "a recipient has one of zone, registrar, operator and network".to_owned(),
            ));
        };
        let party = party?;
        if let (Party::Zone(_), Some(approval)) = (&party, &section.approval) {
            let what = "approval: who answers for a zone is told like the desk, without notices";
            return Err(self.error(approval.span(), what.to_owned()));
        }
        let language = section.language.as_ref().map(|it| self.language(it));
        Ok(Recipient {
            party,
            address: section.address.get_ref().clone(),
            profile: section.profile,
            language: language.transpose()?.unwrap_or_default(),
            approval: section.approval.as_ref().is_none_or(|it| *it.get_ref()),
        })
    }

    /// Returns how often the desk is told.
    fn mail_rules(&self, report: &ReportSection) -> Result<MailRules, ConfigError> {
        let repeat = report.repeat.as_ref();
        if let Some(repeat) = repeat.filter(|it| *it.get_ref() < Span::hours(1)) {
            let what = format!("repeat: {} is less than an hour", repeat.get_ref());
            return Err(self.error(repeat.span(), what));
        }
        Ok(MailRules {
            repeat: repeat.map(|it| *it.get_ref()),
            update_after: report.update_after,
        })
    }

    /// Returns the way out.
    fn mail_url(&self, smtp: &SmtpSection) -> Result<String, ConfigError> {
        let url = match smtp.url.get_ref().strip_prefix("maildir://") {
            Some(path) => format!("maildir://{}", self.resolve(Path::new(path)).display()),
            None => smtp.url.get_ref().clone(),
        };
        let has_password = url.split_once("://").is_some_and(|(_, rest)| {
            rest.split_once('@')
                .is_some_and(|(user, _)| user.contains(':'))
        });
        match has_password {
            true => Err(self.error(
                smtp.url.span(),
                "url: the password belongs in password_file".to_owned(),
            )),
            false => Ok(url),
        }
    }

    /// Returns the authorities that may sign the server's certificate.
    fn read_authorities(&self, smtp: &SmtpSection) -> Result<Option<String>, ConfigError> {
        let Some(file) = &smtp.ca_file else {
            return Ok(None);
        };
        let path = self.resolve(file.get_ref());
        let fault =
            |what: String| self.error(file.span(), format!("ca_file: {}: {what}", path.display()));
        let meta = std::fs::metadata(&path).map_err(|error| fault(error.to_string()))?;
        if meta.len() > CA_OCTETS_MAX {
            return Err(fault(format!("more than {CA_OCTETS_MAX} octets")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| fault(error.to_string()))?;
        Ok(Some(text))
    }

    /// Returns how long messages are tried, and how many are sent.
    fn sending_limits(&self, smtp: &SmtpSection) -> Result<SendingLimits, ConfigError> {
        let limits = [
            ("per_run_max", smtp.per_run_max),
            ("per_hour_max", smtp.per_hour_max),
            ("per_recipient_hour_max", smtp.per_recipient_hour_max),
        ];
        if let Some((key, _)) = limits.into_iter().find(|(_, limit)| *limit == 0) {
            return Err(self.error(smtp.url.span(), format!("smtp.{key}: 0 sends nothing")));
        }
        if *smtp.give_up.get_ref() < Span::hours(1) {
            let what = format!("give_up: {} is less than an hour", smtp.give_up.get_ref());
            return Err(self.error(smtp.give_up.span(), what));
        }
        Ok(SendingLimits {
            give_up: *smtp.give_up.get_ref(),
            per_run_max: smtp.per_run_max,
            per_hour_max: smtp.per_hour_max,
            per_recipient_hour_max: smtp.per_recipient_hour_max,
        })
    }

    /// Resolves how mail is signed.
    fn check_dkim(&self, written: &Written) -> Result<Option<DkimConfig>, ConfigError> {
        let Some(dkim) = &written.dkim else {
            return Ok(None);
        };
        let name = |text: &Spanned<String>, key: &str| {
            let name: Name = self.name(text, key)?;
            Ok::<_, ConfigError>(name.to_text_without_dot())
        };
        Ok(Some(DkimConfig {
            domain: name(&dkim.domain, "domain")?,
            selector: name(&dkim.selector, "selector")?,
            key: self.read_secret(&dkim.key_file, "key_file")?,
            algorithm: dkim.algorithm,
        }))
    }
}
