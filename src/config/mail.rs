//! Checks the sections about mail and other ways out.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use crate::case::MailRules;
use crate::config::address::ascii_mailbox;
use crate::config::check::{Checker, TOKEN_LENGTH_MIN};
use crate::config::resolved::{
    DkimConfig, MailConfig, Party, Recipient, SendingLimits, WebhookConfig,
};
use crate::config::url::{check_maildir_path, check_smtp_url, check_webhook_url};
use crate::config::written::{RecipientSection, ReportSection, SmtpSection, Written};
use crate::dns::Name;
use crate::report::Reporter;
use crate::time::{CronLine, Span, TimeZone};

/// The desk of the template, and its way there: left as they are, reports go out and arrive nowhere.
const EXAMPLE_DESK: &str = "abuse-desk@registrar.example";
/// See [`EXAMPLE_DESK`].
const EXAMPLE_URL: &str = "smtp://127.0.0.1:25";

impl Checker<'_> {
    /// Resolves the sections about mail.
    pub(super) fn check_mail(&self, written: &Written, zone: TimeZone) -> Option<MailConfig> {
        let (report, smtp) = self.mail_sections(written)?;
        let desk = self.need(&report.desk, "report.desk").unwrap_or_default();
        if report.desk.is_some() {
            self.somebody(&desk, "report.desk");
        }
        let is_example = desk == [EXAMPLE_DESK] && smtp.url.as_deref() == Some(EXAMPLE_URL);
        if is_example && !written.source.is_empty() {
            let what = format!("{EXAMPLE_DESK} is the template's: nobody reads mail to it");
            self.warn("report.desk", &what, "write the address of your desk");
        }
        let desk = self.mailboxes(&desk, "report.desk");
        let operator = report.operator.as_ref();
        operator.inspect(|list| self.somebody(list, "report.operator"));
        let recipients = written.recipient.iter().enumerate();
        let recipients = recipients.filter_map(|(i, it)| self.check_recipient(it, i));
        let recipients: Vec<Recipient> = recipients.collect();
        let language = self.language(&report.language, "report.language");
        let spoken = recipients.iter().map(|it| &it.language).chain([&language]);
        let spoken: BTreeSet<String> = spoken.filter(|it| !it.is_empty()).cloned().collect();
        if let (Some(_), None, false) = (
            &report.bounces,
            &report.bounce,
            self.is_unread("report.bounce"),
        ) {
            let what = "bounces needs bounce, the address that mail comes back to";
            self.error("report.bounces", what, "add bounce, or leave bounces out");
        }
        self.check_bounce(report);
        let mailbox = |text: &Option<String>, path: &str| {
            let text = self.need(text, path).unwrap_or_default();
            self.mailbox(text, path)
        };
        Some(MailConfig {
            from: mailbox(&report.from, "report.from"),
            zone_desks: self.zone_desks(written),
            operator: match operator {
                Some(operator) => self.mailboxes(operator, "report.operator"),
                None => desk.clone(),
            },
            desk,
            recipients,
            language,
            languages: spoken.into_iter().collect(),
            templates: report.templates.as_ref().map(|it| self.resolve(it)),
            rules: self.mail_rules(report),
            cases_per_hour_max: report.cases_per_hour_max,
            digest: self.digest(report, zone),
            bulk_names_min: report.bulk_names_min,
            blind_intervals: report.blind_intervals,
            bounce: report
                .bounce
                .as_ref()
                .map(|it| self.mailbox(it.clone(), "report.bounce")),
            bounces: report.bounces.as_ref().map(|it| self.resolve(it)),
            reporter: Reporter {
                org: self.org(report),
                contact: mailbox(&report.contact, "report.contact"),
            },
            url: self.mail_url(smtp),
            password: smtp
                .password_file
                .as_ref()
                .and_then(|path| self.read_word(path, "smtp.password_file", 1)),
            ca_pem: smtp
                .ca_file
                .as_ref()
                .and_then(|path| self.read_authorities(path, "smtp.ca_file")),
            sending: self.sending_limits(smtp),
            dkim: self.check_dkim(written),
            addresses: addresses(written),
        })
    }

    /// Returns the two sections that mail needs; `None` where there is no mail, or one of them is missing.
    fn mail_sections<'a>(
        &self,
        written: &'a Written,
    ) -> Option<(&'a ReportSection, &'a SmtpSection)> {
        match (&written.report, &written.smtp) {
            (None, None) => {
                self.refuse_without_mail(written);
                None
            }
            (Some(_), None) if self.is_unread("smtp") => None,
            (None, Some(_)) if self.is_unread("report") => None,
            (Some(_), None) => {
                self.error(
                    "report",
                    "[report] needs [smtp] to say how mail leaves",
                    "add [smtp] url",
                );
                None
            }
            (None, Some(_)) => {
                let cure = "add [report] with from, desk, org and contact";
                self.error(
                    "smtp",
                    "[smtp] needs [report] to say who writes to whom",
                    cure,
                );
                None
            }
            (Some(report), Some(smtp)) => Some((report, smtp)),
        }
    }

    /// Resolves where cases are told in JSON.
    pub(super) fn check_webhooks(&self, written: &Written) -> Vec<WebhookConfig> {
        let mut webhooks = Vec::new();
        for (i, webhook) in written.webhook.iter().enumerate() {
            let at = |key: &str| format!("webhook[{i}].{key}");
            let secret = self.need(&webhook.secret_file, &at("secret_file"));
            let secret =
                secret.and_then(|path| self.read_word(&path, &at("secret_file"), TOKEN_LENGTH_MIN));
            let Some(url) = self.need(&webhook.url, &at("url")) else {
                continue;
            };
            let url = self.web_url(url, &at("url"));
            webhooks.extend(secret.map(|secret| WebhookConfig { url, secret }));
        }
        webhooks
    }

    /// Returns the URL of a webhook, its host in A-labels; as it is written where it cannot be used.
    fn web_url(&self, url: String, path: &str) -> String {
        let checked = check_webhook_url(&url);
        match &checked {
            Err(what) => {
                let cure = "write it as \"https://desk.registrar.example/hook\"";
                self.error(path, what, cure);
            }
            Ok(url) if is_in_the_clear(url) => {
                self.warn(path, "cases cross the network in the clear", "use https://");
            }
            Ok(_) => {}
        }
        checked.unwrap_or(url)
    }

    /// Refuses what is about mail where no mail is sent at all.
    fn refuse_without_mail(&self, written: &Written) {
        if self.is_unread("report") || self.is_unread("smtp") {
            return;
        }
        let cure = "add both, or leave this out";
        for i in (0..written.zone.len()).filter(|i| written.zone[*i].desk.is_some()) {
            self.error(
                &format!("zone[{i}].desk"),
                "[[zone]] desk needs [report] and [smtp]",
                cure,
            );
        }
        for i in 0..written.recipient.len() {
            self.error(
                &format!("recipient[{i}]"),
                "[[recipient]] needs [report] and [smtp]",
                cure,
            );
        }
        if written.dkim.is_some() {
            self.error("dkim", "[dkim] needs [report] and [smtp]", cure);
        }
    }

    /// Returns the name of who reports: a line of text.
    fn org(&self, report: &ReportSection) -> String {
        let org = self.need(&report.org, "report.org").unwrap_or_default();
        if let Some(it) = org.chars().find(|it| it.is_control()) {
            let what = format!("{org:?} holds the control character {it:?}");
            self.error(
                "report.org",
                &what,
                "write the name in one line, without it",
            );
        }
        org
    }

    /// Warns where mail comes back to an address and nobody reads it.
    fn check_bounce(&self, report: &ReportSection) {
        if report.bounce.is_some() && report.bounces.is_none() && !self.is_unread("report.bounces")
        {
            let what = "without bounces, fluxwatch does not read what comes back";
            let cure = "add bounces, the Maildir that mail to this address arrives in";
            self.warn("report.bounce", what, cure);
        }
    }

    /// Returns the desks of single zones.
    fn zone_desks(&self, written: &Written) -> HashMap<Name, Vec<String>> {
        let mut desks = HashMap::new();
        for (i, zone) in written.zone.iter().enumerate() {
            let (Some(desk), Some(name)) = (&zone.desk, &zone.name) else {
                continue;
            };
            let at = format!("zone[{i}].desk");
            self.somebody(desk, &at);
            let desk = self.mailboxes(desk, &at);
            let name = self.name(name, &format!("zone[{i}].name"));
            desks.extend(name.map(|name| (name, desk)));
        }
        desks
    }

    /// Sees to it that a list names somebody, and nobody twice.
    fn somebody(&self, list: &[String], path: &str) {
        if list.is_empty() {
            self.error(
                path,
                "names no address",
                "write [\"desk@registrar.example\"]",
            );
        }
        let mut seen = HashSet::new();
        for (i, address) in list.iter().enumerate() {
            // Local parts may differ in case alone (RFC 5321 §2.4); hardly any server takes them for two.
            if !seen.insert(address.to_ascii_lowercase()) {
                let what = format!("{address:?} is there twice");
                self.error(
                    &format!("{path}[{i}]"),
                    &what,
                    "each address has a mail of its own: write it once",
                );
            }
        }
    }

    /// Returns an address, its domain in A-labels; as it is written where that cannot be.
    fn mailbox(&self, text: String, path: &str) -> String {
        ascii_mailbox(&text).unwrap_or_else(|what| {
            self.error(path, &what, "");
            text
        })
    }

    /// Returns addresses, their domains in A-labels.
    fn mailboxes(&self, list: &[String], path: &str) -> Vec<String> {
        let items = list.iter().enumerate();
        items
            .map(|(i, it)| self.mailbox(it.clone(), &format!("{path}[{i}]")))
            .collect()
    }

    /// Returns a language's name: the name of a folder; "" for the program's own words.
    fn language(&self, language: &Option<String>, path: &str) -> String {
        let Some(text) = language else {
            return String::new();
        };
        let fits = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
        if text.is_empty() || !text.chars().all(fits) || text == "mail" {
            self.error(
                path,
                &format!("{text:?} is no language"),
                "write the name of a folder below templates, such as \"de\"",
            );
        }
        text.clone()
    }

    /// Resolves a recipient.
    fn check_recipient(&self, section: &RecipientSection, i: usize) -> Option<Recipient> {
        let at = |key: &str| format!("recipient[{i}].{key}");
        let zone = section
            .zone
            .as_ref()
            .map(|it| self.name(it, &at("zone")).map(Party::Zone));
        let operator = section.operator.as_ref();
        let operator = operator.map(|it| self.name(it, &at("operator")).map(Party::Operator));
        let registrar = section.registrar.as_ref();
        // Two options in one another, as above: whether the key is there, and whether its value is sound.
        let registrar = registrar.map(|it| Some(Party::Registrar(it.clone())));
        let network = section.network.map(|it| Some(Party::Network(it)));
        let address = self.need(&section.address, &at("address"));
        let language = self.language(&section.language, &at("language"));
        let mut parties = [zone, registrar, operator, network].into_iter().flatten();
        let (Some(party), None) = (parties.next(), parties.next()) else {
            let what = "a recipient has one of zone, registrar, operator and network";
            self.error(&format!("recipient[{i}]"), what, "write a section for each");
            return None;
        };
        let party = party?;
        if let (Party::Zone(_), true) = (&party, section.approval.is_some()) {
            let what = "a recipient of a zone gets reports as the desk does, and no notice that needs approval";
            self.error(&at("approval"), what, "leave the key out");
        }
        Some(Recipient {
            party,
            address: self.mailbox(address?, &at("address")),
            profile: section.profile,
            language,
            approval: section.approval.unwrap_or(true),
        })
    }

    /// Returns how often the desk is told.
    fn mail_rules(&self, report: &ReportSection) -> MailRules {
        if let Some(repeat) = report.repeat.filter(|it| *it < Span::hours(1)) {
            self.error(
                "report.repeat",
                &format!("{repeat} is less than an hour"),
                "write \"1h\" or more",
            );
        }
        for (key, count) in [
            ("blind_intervals", report.blind_intervals),
            ("bulk_names_min", report.bulk_names_min),
        ] {
            if count == 0 {
                self.error(
                    &format!("report.{key}"),
                    "must be at least 1",
                    "write 1 or more",
                );
            }
        }
        MailRules {
            repeat: report.repeat,
            update_after: report.update_after,
        }
    }

    /// Parses when the digest is sent.
    fn digest(&self, report: &ReportSection, zone: TimeZone) -> Option<CronLine> {
        if report.digest == "off" {
            if report.cases_per_hour_max == 0 {
                let what = "0 mails cases in the digest alone, and digest is \"off\": fluxwatch would report no case";
                self.error("report.cases_per_hour_max", what, "write 1 or more");
            }
            return None;
        }
        self.cron(&report.digest, "report.digest", zone)
    }

    /// Returns the way out.
    fn mail_url(&self, smtp: &SmtpSection) -> String {
        let Some(url) = self.need(&smtp.url, "smtp.url") else {
            return String::new();
        };
        if let Some(path) = url.strip_prefix("maildir://") {
            if let Err(what) = check_maildir_path(path) {
                self.error("smtp.url", &what, "");
            }
            for (key, is_there) in [
                ("password_file", smtp.password_file.is_some()),
                ("ca_file", smtp.ca_file.is_some()),
            ] {
                if is_there {
                    self.error(
                        &format!("smtp.{key}"),
                        "a Maildir has no use for it",
                        "leave the key out",
                    );
                }
            }
            return format!("maildir://{}", self.resolve(Path::new(path)).display());
        }
        match check_smtp_url(&url) {
            Ok((url, has_user)) => {
                if has_user && smtp.password_file.is_none() && !self.is_unread("smtp.password_file")
                {
                    let what =
                        "the URL names a user, and fluxwatch cannot log in without password_file";
                    self.error("smtp.url", what, "set password_file, or leave the user out");
                }
                url
            }
            Err(what) => {
                self.error("smtp.url", &what, "");
                url
            }
        }
    }

    /// Returns how long messages are tried, and how many are sent.
    fn sending_limits(&self, smtp: &SmtpSection) -> SendingLimits {
        let limits = [
            ("per_run_max", smtp.per_run_max),
            ("per_hour_max", smtp.per_hour_max),
            ("per_recipient_hour_max", smtp.per_recipient_hour_max),
        ];
        for (key, _) in limits.into_iter().filter(|(_, limit)| *limit == 0) {
            self.error(&format!("smtp.{key}"), "0 sends nothing", "write 1 or more");
        }
        if smtp.give_up < Span::hours(1) {
            let what = format!("{} is less than an hour", smtp.give_up);
            self.error("smtp.give_up", &what, "write \"1h\" or more");
        }
        SendingLimits {
            give_up: smtp.give_up,
            per_run_max: smtp.per_run_max,
            per_hour_max: smtp.per_hour_max,
            per_recipient_hour_max: smtp.per_recipient_hour_max,
        }
    }

    /// Resolves how mail is signed.
    fn check_dkim(&self, written: &Written) -> Option<DkimConfig> {
        let dkim = written.dkim.as_ref()?;
        let name = |text: &Option<String>, path: &str| {
            let text = self.need(text, path)?;
            self.name(&text, path)
                .map(|name| name.to_text_without_dot())
        };
        let domain = name(&dkim.domain, "dkim.domain");
        let selector = name(&dkim.selector, "dkim.selector");
        let file = self.need(&dkim.key_file, "dkim.key_file");
        let key = file.and_then(|file| self.read_secret(&file, "dkim.key_file"));
        Some(DkimConfig {
            domain: domain?,
            selector: selector?,
            key: key?,
            algorithm: dkim.algorithm,
        })
    }
}

/// Returns whether what is sent to a URL leaves this machine and is not encrypted.
fn is_in_the_clear(url: &str) -> bool {
    let near = ["127.", "localhost", "[::1]"];
    url.strip_prefix("http://")
        .is_some_and(|host| !near.iter().any(|it| host.starts_with(it)))
}

/// Returns every mail address that is written, with its key.
fn addresses(written: &Written) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |path: String, list: &[String]| {
        let items = list.iter().enumerate();
        all.extend(items.map(|(i, address)| (format!("{path}[{i}]"), address.clone())));
    };
    if let Some(report) = &written.report {
        add(
            "report.desk".to_owned(),
            report.desk.as_deref().unwrap_or_default(),
        );
        add(
            "report.operator".to_owned(),
            report.operator.as_deref().unwrap_or_default(),
        );
    }
    for (i, zone) in written.zone.iter().enumerate() {
        add(
            format!("zone[{i}].desk"),
            zone.desk.as_deref().unwrap_or_default(),
        );
    }
    let mut one = |path: String, address: &Option<String>| {
        all.extend(address.clone().map(|address| (path, address)));
    };
    if let Some(report) = &written.report {
        one("report.from".to_owned(), &report.from);
        one("report.contact".to_owned(), &report.contact);
        one("report.bounce".to_owned(), &report.bounce);
    }
    for (i, recipient) in written.recipient.iter().enumerate() {
        one(format!("recipient[{i}].address"), &recipient.address);
    }
    all
}
