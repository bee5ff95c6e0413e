//! Words of mails: load, check, render. Escaping and defanging live here and nowhere else.
//!
//! HTML is escaped by the template's suffix; every domain passes the filter `defang`, so that nothing
//! in a zone becomes a tag or a live link. An undefined variable is an error, found at start-up by
//! rendering every template with a made-up report.

use tera::{Context, Kwargs, State, Tera};

use crate::report::{
    AddressLine, DeskReport, Endpoint, NameLine, PlaneSection, Reporter, TermLine, Transition,
};

/// Every template of the program: name and text.
const TEMPLATES: [(&str, &str); 3] = [
    (
        "mail/report/subject.txt",
        include_str!("../templates/mail/report/subject.txt"),
    ),
    (
        "mail/report/body.txt",
        include_str!("../templates/mail/report/body.txt"),
    ),
    (
        "mail/report/body.html",
        include_str!("../templates/mail/report/body.html"),
    ),
];

/// Why a mail cannot be worded.
#[derive(Debug, thiserror::Error)]
#[error("template {template}: {fault}")]
pub struct TemplateError {
    /// The template's path below `templates/`.
    template: String,
    /// The engine's words, with line and column.
    fault: String,
}

/// A mail's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedMail {
    /// One line, without control characters.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// The loaded templates.
#[derive(Debug)]
pub struct Templates(Tera);

impl Templates {
    /// Loads the built-in templates and renders each with a made-up report.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] that names the template.
    pub fn load() -> Result<Self, TemplateError> {
        let mut tera = Tera::new();
        tera.register_filter("defang", |text: &str, _: Kwargs, _: &State| defang(text));
        tera.autoescape_on([".html"]);
        tera.add_raw_templates(TEMPLATES)
            .map_err(|fault| TemplateError {
                template: "mail".to_owned(),
                fault: fault.to_string(),
            })?;
        let templates = Self(tera);
        templates.render_report(&made_up_report())?;
        Ok(templates)
    }

    /// Words a desk report.
    ///
    /// # Errors
    ///
    /// [`TemplateError`].
    pub fn render_report(&self, report: &DeskReport) -> Result<RenderedMail, TemplateError> {
        let error = |template: &str, fault: tera::Error| TemplateError {
            template: template.to_owned(),
            fault: fault.to_string(),
        };
        let context =
            Context::from_serialize(report).map_err(|fault| error("mail/report", fault))?;
        let render = |template: &str| {
            self.0
                .render(template, &context)
                .map_err(|fault| error(template, fault))
        };
        Ok(RenderedMail {
            subject: one_line(&render("mail/report/subject.txt")?),
            text: render("mail/report/body.txt")?,
            html: render("mail/report/body.html")?,
        })
    }
}

/// Makes a name or an address of a mailbox unclickable: `bad[.]example`.
pub fn defang(text: &str) -> String {
    text.trim_end_matches('.')
        .replace('.', "[.]")
        .replace('@', "[@]")
        .replace("://", "[://]")
}

/// Returns the text as one line without control characters or marks that turn the writing direction.
fn one_line(text: &str) -> String {
    let is_plain = |character: &char| {
        !character.is_control()
            && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.trim().chars().filter(is_plain).collect()
}

/// Returns a report that has something in every field, for checking templates.
fn made_up_report() -> DeskReport {
    let endpoint = Endpoint {
        host: Some("ns1.bad.example".to_owned()),
        addresses: vec!["192.0.2.1".to_owned()],
    };
    let bare_endpoint = Endpoint {
        host: None,
        addresses: vec!["192.0.2.2".to_owned()],
    };
    let plane = PlaneSection {
        title: "Name servers",
        is_nameservers: true,
        owner: "bad.example".to_owned(),
        zone: "example".to_owned(),
        watched_since: "2026-11-01 00:00:00".to_owned(),
        score: "61.0".to_owned(),
        gate_open: true,
        changes_24h: 1,
        changes_72h: 2,
        changes_7d: 3,
        mean_stay: "4.0 hours".to_owned(),
        terms: vec![TermLine {
            name: "term",
            value: "1".to_owned(),
            points: "1.0".to_owned(),
            points_max: "40".to_owned(),
        }],
        gates: vec![crate::detector::Gate {
            name: "gate",
            value: "1".to_owned(),
            needed: "1".to_owned(),
            passed: true,
        }],
        checks: vec![crate::detector::Check {
            name: "check",
            result: "none".to_owned(),
            explains: false,
        }],
        transitions: vec![Transition {
            at: "2026-11-22 10:00:00".to_owned(),
            serial: Some(7),
            bulk: true,
            before: vec![endpoint.clone(), bare_endpoint.clone()],
            after: vec![endpoint, bare_endpoint],
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
        networks: "1 prefixes".to_owned(),
        holz: Some("100.0".to_owned()),
    };
    DeskReport {
        case_id: 1,
        reference: "FW-000001".to_owned(),
        domain: "bad.example".to_owned(),
        zone: "example".to_owned(),
        verdict: "ns-flux",
        allegation: "its name servers or their addresses keep changing",
        level: "report",
        score: "61.0".to_owned(),
        policy_version: "made-up".to_owned(),
        first_detected_at: "2026-11-22 10:00:00".to_owned(),
        last_change_at: "2026-11-22 10:00:00".to_owned(),
        judged_at: "2026-11-22 10:00:00".to_owned(),
        attack: "T1568.001",
        planes: vec![plane],
        evidence: vec![crate::report::EvidenceLine {
            zone: "example".to_owned(),
            hash: "0f".repeat(32),
        }],
        reporter: Reporter {
            org: "Example Registrar".to_owned(),
            contact: "abuse@registrar.example".to_owned(),
        },
        program_version: "0.0.0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_defanged_in_every_part() {
        let mail = Templates::load()
            .expect("the built-in templates are sound")
            .render_report(&made_up_report())
            .expect("rendered");
        assert_eq!(mail.subject, "[FW-000001] Suspected ns-flux: bad[.]example");
        for part in [&mail.text, &mail.html] {
            assert!(
                part.contains("ns1[.]bad[.]example") && !part.contains("bad.example"),
                "{part}"
            );
            assert!(part.contains("abuse[@]registrar[.]example"), "{part}");
        }
        assert!(!mail.html.contains("<a "), "no link of any kind");
    }

    /// Compares with a file of `tests/golden/`; `FLUXWATCH_GOLDEN=write` writes it, to be read before it
    /// is committed.
    fn check_golden(name: &str, text: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden")
            .join(name);
        if std::env::var_os("FLUXWATCH_GOLDEN").is_some() {
            std::fs::write(&path, text).expect("the folder can be written");
        }
        let golden = std::fs::read_to_string(&path).expect("the golden file is there");
        assert_eq!(text, golden, "{}", path.display());
    }

    #[test]
    fn report_says_what_the_golden_files_say() {
        let templates = Templates::load().expect("the built-in templates are sound");
        let mail = templates
            .render_report(&made_up_report())
            .expect("rendered");
        check_golden("report.txt", &mail.text);
        check_golden("report.html", &mail.html);
    }

    #[test]
    fn markup_in_names_stays_text() {
        let mut report = made_up_report();
        report.domain = "<script>alert(1)</script>{{ reference }}\r\nBcc: x@y.example".to_owned();
        report.planes[0].names[0].host = "\"><img src=x>".to_owned();
        let mail = Templates::load()
            .expect("sound")
            .render_report(&report)
            .expect("rendered");
        assert!(!mail.html.contains("<script>") && !mail.html.contains("<img"));
        assert!(
            mail.html.contains("{{ reference }}"),
            "a template in a name is not run"
        );
        assert!(!mail.subject.contains(['\r', '\n']));
    }
}
