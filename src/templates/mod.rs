//! Words of mails: load, check, render. Escaping and defanging live here and nowhere else.
//!
//! HTML is escaped by the template's suffix; every domain passes the filter `defang`, and free text
//! `defang_text`, so that nothing in a zone becomes a tag or a live link. An undefined variable is an
//! error, found at start-up by rendering every template with made-up mails.
//!
//! A folder of yours may hold any of the files under its name here: `mail/report/body.txt`. One
//! for a language lies below that language's name: `de/mail/report/body.txt`; what a language lacks is
//! taken from the folder, and then from the program.

pub(crate) mod made_up;
mod pages;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tera::{Context, Kwargs, State, Tera, Value};

use crate::count::counted;
use crate::file;
use crate::report::{BREVITY_MAX, BlindnessReport, BulkReport, DeskReport, DigestReport};

pub use pages::{ICON, Pages, SCRIPT, STYLESHEET};
pub use text::{shell_word, wrapped};

/// The most octets of a template.
const OCTETS_MAX: u64 = 1 << 20;

/// Every template of the program: name and text.
const TEMPLATES: [(&str, &str); 34] = [
    (
        "mail/parts/facts.txt",
        include_str!("../../templates/mail/parts/facts.txt"),
    ),
    (
        "mail/parts/facts.html",
        include_str!("../../templates/mail/parts/facts.html"),
    ),
    (
        "mail/parts/advice.txt",
        include_str!("../../templates/mail/parts/advice.txt"),
    ),
    (
        "mail/parts/advice.html",
        include_str!("../../templates/mail/parts/advice.html"),
    ),
    (
        "mail/parts/related.txt",
        include_str!("../../templates/mail/parts/related.txt"),
    ),
    (
        "mail/parts/related.html",
        include_str!("../../templates/mail/parts/related.html"),
    ),
    (
        "mail/parts/first.txt",
        include_str!("../../templates/mail/parts/first.txt"),
    ),
    (
        "mail/parts/first.html",
        include_str!("../../templates/mail/parts/first.html"),
    ),
    (
        "mail/parts/details.txt",
        include_str!("../../templates/mail/parts/details.txt"),
    ),
    (
        "mail/parts/planes.txt",
        include_str!("../../templates/mail/parts/planes.txt"),
    ),
    (
        "mail/parts/planes.html",
        include_str!("../../templates/mail/parts/planes.html"),
    ),
    (
        "mail/parts/foot.txt",
        include_str!("../../templates/mail/parts/foot.txt"),
    ),
    (
        "mail/parts/foot.html",
        include_str!("../../templates/mail/parts/foot.html"),
    ),
    (
        "mail/report/subject.txt",
        include_str!("../../templates/mail/report/subject.txt"),
    ),
    (
        "mail/report/body.txt",
        include_str!("../../templates/mail/report/body.txt"),
    ),
    (
        "mail/report/body.html",
        include_str!("../../templates/mail/report/body.html"),
    ),
    (
        "mail/update/subject.txt",
        include_str!("../../templates/mail/update/subject.txt"),
    ),
    (
        "mail/update/body.txt",
        include_str!("../../templates/mail/update/body.txt"),
    ),
    (
        "mail/update/body.html",
        include_str!("../../templates/mail/update/body.html"),
    ),
    (
        "mail/closure/subject.txt",
        include_str!("../../templates/mail/closure/subject.txt"),
    ),
    (
        "mail/closure/body.txt",
        include_str!("../../templates/mail/closure/body.txt"),
    ),
    (
        "mail/closure/body.html",
        include_str!("../../templates/mail/closure/body.html"),
    ),
    (
        "mail/digest/subject.txt",
        include_str!("../../templates/mail/digest/subject.txt"),
    ),
    (
        "mail/digest/body.txt",
        include_str!("../../templates/mail/digest/body.txt"),
    ),
    (
        "mail/digest/body.html",
        include_str!("../../templates/mail/digest/body.html"),
    ),
    (
        "mail/bulk/subject.txt",
        include_str!("../../templates/mail/bulk/subject.txt"),
    ),
    (
        "mail/bulk/body.txt",
        include_str!("../../templates/mail/bulk/body.txt"),
    ),
    (
        "mail/bulk/body.html",
        include_str!("../../templates/mail/bulk/body.html"),
    ),
    (
        "mail/blindness/subject.txt",
        include_str!("../../templates/mail/blindness/subject.txt"),
    ),
    (
        "mail/blindness/body.txt",
        include_str!("../../templates/mail/blindness/body.txt"),
    ),
    (
        "mail/blindness/body.html",
        include_str!("../../templates/mail/blindness/body.html"),
    ),
    (
        "mail/notice/subject.txt",
        include_str!("../../templates/mail/notice/subject.txt"),
    ),
    (
        "mail/notice/body.txt",
        include_str!("../../templates/mail/notice/body.txt"),
    ),
    (
        "mail/notice/body.html",
        include_str!("../../templates/mail/notice/body.html"),
    ),
];

/// How many lines the text of a report has at most in a usual case.
const LINES_WANTED: usize = 80;

/// The template of what the text of a report leaves out.
const DETAILS: &str = "mail/parts/details.txt";

/// Why a mail cannot be worded.
#[derive(Debug, Clone, thiserror::Error)]
#[error("template {template}: {fault}")]
pub struct TemplateError {
    /// The template's path below `templates/`, or the file.
    template: String,
    /// The engine's words, with line and column.
    fault: String,
}

impl TemplateError {
    /// Returns the fault of a template.
    fn new(template: impl Into<String>, fault: impl std::fmt::Display) -> Self {
        Self {
            template: template.into(),
            fault: fault.to_string(),
        }
    }
}

/// A mail's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedMail {
    /// One line, without control characters.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// What the text of a report or update leaves out; empty for others.
    pub details: String,
    /// The HTML part.
    pub html: String,
}

/// What a mail says.
#[derive(Debug, Clone, Copy)]
pub enum Words<'a> {
    /// The first report of a case.
    Report(&'a DeskReport),
    /// Something material changed.
    Update(&'a DeskReport),
    /// The end of a case.
    Closure(&'a DeskReport),
    /// The onward report.
    Notice(&'a DeskReport),
    /// A day.
    Digest(&'a DigestReport),
    /// Mass moves.
    Bulk(&'a BulkReport),
    /// Zones that cannot be seen.
    Blindness(&'a BlindnessReport),
}

impl Words<'_> {
    /// Returns the folder of the templates.
    pub fn folder(&self) -> &'static str {
        match self {
            Self::Report(_) => "report",
            Self::Update(_) => "update",
            Self::Closure(_) => "closure",
            Self::Notice(_) => "notice",
            Self::Digest(_) => "digest",
            Self::Bulk(_) => "bulk",
            Self::Blindness(_) => "blindness",
        }
    }

    /// Returns the variables.
    fn context(&self) -> tera::TeraResult<Context> {
        fn of(value: &impl Serialize) -> tera::TeraResult<Context> {
            Context::from_serialize(value)
        }
        match self {
            Self::Report(it) | Self::Update(it) | Self::Closure(it) | Self::Notice(it) => of(it),
            Self::Digest(it) => of(it),
            Self::Bulk(it) => of(it),
            Self::Blindness(it) => of(it),
        }
    }
}

/// The loaded templates, by language; the program's own under "".
#[derive(Debug)]
pub struct Templates(BTreeMap<String, Language>);

/// The templates of one language.
#[derive(Debug)]
struct Language {
    engine: Tera,
    /// Where the administrator's own stand, by name.
    files: BTreeMap<&'static str, PathBuf>,
}

impl Language {
    /// Words a template.
    fn render(&self, name: &str, context: &Context) -> Result<String, TemplateError> {
        let text = self.engine.render(name, context);
        text.map_err(|fault| self.fault(name, fault))
    }

    /// Words the text of a mail. One whose details are attached leaves out as much as it takes to be read at a glance, and
    /// no more.
    fn text(&self, context: &mut Context, words: Words<'_>) -> Result<String, TemplateError> {
        let name = format!("mail/{}/body.txt", words.folder());
        let is_short = match words {
            Words::Report(it) | Words::Update(it) => it.has_details,
            _ => false,
        };
        let mut text = wrapped(&plain_text(&self.render(&name, context)?));
        for brevity in 1..=BREVITY_MAX {
            if !is_short || text.lines().count() <= LINES_WANTED {
                break;
            }
            context.insert("brevity", &brevity);
            text = wrapped(&plain_text(&self.render(&name, context)?));
        }
        Ok(text)
    }

    /// Returns the fault of a template, named by its file where the administrator has one.
    fn fault(&self, name: &str, fault: impl std::fmt::Display) -> TemplateError {
        let place = self.files.get(name).map(|path| path.display().to_string());
        TemplateError::new(place.unwrap_or_else(|| name.to_owned()), fault)
    }
}

impl Templates {
    /// Loads the templates of each language, and "", and renders each with made-up mails.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] that names the template: one that cannot be read or rendered, one in the folder
    /// that the program does not know, a language without a folder.
    pub fn load(folder: Option<&Path>, languages: &[String]) -> Result<Self, TemplateError> {
        if let Some(folder) = folder {
            check_folder(folder, folder, languages)?;
        }
        let mut loaded = BTreeMap::new();
        for language in languages.iter().map(String::as_str).chain([""]) {
            let own = match (folder, language) {
                (Some(folder), "") => vec![folder.to_owned()],
                (Some(folder), language) => vec![folder.join(language), folder.to_owned()],
                (None, "") => Vec::new(),
                (None, language) => {
                    let fault =
                        "a language needs [report] templates, the folder that its words are in";
                    return Err(TemplateError::new(language, fault));
                }
            };
            if !language.is_empty() && !own[0].is_dir() {
                return Err(TemplateError::new(
                    own[0].display().to_string(),
                    "there is no folder for this language",
                ));
            }
            loaded.insert(language.to_owned(), load_language(&own)?);
        }
        let templates = Self(loaded);
        // With made-up mails of every kind: a template that fails must be found now and not when a report is due.
        for language in templates.0.keys() {
            for words in made_up::all().iter().map(made_up::MadeUp::words) {
                templates.render(language, words)?;
            }
        }
        Ok(templates)
    }

    /// Words a mail.
    pub fn render(&self, language: &str, words: Words<'_>) -> Result<RenderedMail, TemplateError> {
        let folder = words.folder();
        let spoken = self
            .0
            .get(language)
            .ok_or_else(|| TemplateError::new(language, "no such language was loaded"))?;
        let mut context = words
            .context()
            .map_err(|fault| TemplateError::new(format!("mail/{folder}"), fault))?;
        let text = spoken.text(&mut context, words)?;
        let render = |name: &str| spoken.render(name, &context);
        let of_kind = |file: &str| render(&format!("mail/{folder}/{file}"));
        let details = match words {
            Words::Report(_) | Words::Update(_) => wrapped(&plain_text(&render(DETAILS)?)),
            _ => String::new(),
        };
        Ok(RenderedMail {
            subject: one_line(&of_kind("subject.txt")?),
            text,
            details,
            html: of_kind("body.html")?,
        })
    }
}

/// Returns every variable of each kind of mail, for the manual: its path (`planes[].lanes[].cells`) and what it holds.
/// Kinds are in the order of [`made_up::all`], each once.
pub fn variables() -> Vec<(&'static str, BTreeMap<String, &'static str>)> {
    let mut kinds: Vec<(&'static str, BTreeMap<String, &'static str>)> = Vec::new();
    for mail in made_up::all() {
        let words = mail.words();
        let value = match words {
            Words::Report(it) | Words::Update(it) | Words::Closure(it) | Words::Notice(it) => {
                Value::from_serializable(it)
            }
            Words::Digest(it) => Value::from_serializable(it),
            Words::Bulk(it) => Value::from_serializable(it),
            Words::Blindness(it) => Value::from_serializable(it),
        };
        let place = kinds.iter().position(|(kind, _)| *kind == words.folder());
        let place = place.unwrap_or_else(|| {
            kinds.push((words.folder(), BTreeMap::new()));
            kinds.len() - 1
        });
        collect_variables(&value, "", &mut kinds[place].1);
    }
    kinds
}

/// Adds the variables of a value, below its path. What is none in one mail may have a kind in another.
fn collect_variables(value: &Value, path: &str, found: &mut BTreeMap<String, &'static str>) {
    if let Some(fields) = value.as_map() {
        let dot = if path.is_empty() { "" } else { "." };
        for (name, value) in fields {
            let name = name.as_str().unwrap_or_default();
            collect_variables(value, &format!("{path}{dot}{name}"), found);
        }
        return;
    }
    if let Some(items @ [_, ..]) = value.as_array() {
        let path = format!("{path}[]");
        items
            .iter()
            .for_each(|item| collect_variables(item, &path, found));
        return;
    }
    let kind = match value {
        it if it.as_array().is_some() => "list",
        it if it.as_str().is_some() => "text",
        it if it.as_bool().is_some() => "true or false",
        it if it.as_number().is_some() => "number",
        _ => "may be none",
    };
    let path = match kind {
        "list" => format!("{path}[]"),
        _ => path.to_owned(),
    };
    let known = found.entry(path).or_insert(kind);
    if matches!(*known, "may be none" | "list") {
        *known = kind;
    }
}

/// Loads the templates, each from the first folder that has it, else the program's own.
fn load_language(folders: &[PathBuf]) -> Result<Language, TemplateError> {
    let mut engine = Tera::new();
    engine.register_filter("defang", |text: &str, _: Kwargs, _: &State| defang(text));
    engine.register_filter("defang_text", |text: &str, _: Kwargs, _: &State| {
        defang_text(text)
    });
    engine.register_filter("shell", |text: &str, _: Kwargs, _: &State| shell_word(text));
    engine.register_filter(
        "counted",
        |count: u64, named: Kwargs, _: &State| -> tera::TeraResult<String> {
            Ok(counted(count, named.must_get::<&str>("of")?))
        },
    );
    // Names of zones are written by attackers; text needs no escapes, and gets its own treatment by `defang`.
    engine.autoescape_on([".html"]);
    let mut files = BTreeMap::new();
    let mut texts = Vec::new();
    for (name, built_in) in TEMPLATES {
        let file = folders.iter().map(|folder| folder.join(name));
        let text = match file.into_iter().find(|path| path.is_file()) {
            Some(path) => {
                let text = read(&path)?;
                check_syntax(&engine, &path, &text)?;
                files.insert(name, path);
                text
            }
            None => built_in.to_owned(),
        };
        texts.push((name, text));
    }
    engine
        .add_raw_templates(texts)
        .map_err(|fault| TemplateError::new("mail", fault))?;
    Ok(Language { engine, files })
}

/// Parses a template alone: among all, the engine would not say which one is wrong.
fn check_syntax(engine: &Tera, path: &Path, text: &str) -> Result<(), TemplateError> {
    let mut alone = engine.clone();
    let parts = TEMPLATES
        .iter()
        .filter(|(name, _)| name.starts_with("mail/parts/"))
        .map(|(name, text)| (*name, *text));
    alone
        .add_raw_templates(parts.chain([("template", text)]))
        .map_err(|fault| TemplateError::new(path.display().to_string(), fault))
}

/// Reads a template of the administrator's.
fn read(path: &Path) -> Result<String, TemplateError> {
    let fault = |fault: std::io::Error| TemplateError::new(path.display().to_string(), fault);
    file::read_text(path, OCTETS_MAX).map_err(fault)
}

/// Refuses files that the program would never read: a template under a wrong name does nothing.
fn check_folder(root: &Path, folder: &Path, languages: &[String]) -> Result<(), TemplateError> {
    let fault = |fault: std::io::Error| TemplateError::new(folder.display().to_string(), fault);
    for entry in fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        if path.is_dir() {
            check_folder(root, &path, languages)?;
            continue;
        }
        let relative = path.strip_prefix(root).unwrap_or(&path);
        let relative = relative.to_string_lossy();
        let is_known = |name: &str| TEMPLATES.iter().any(|(known, _)| *known == name);
        let is_unspoken = relative
            .split_once('/')
            .is_some_and(|(first, rest)| first != "mail" && is_known(rest));
        let of_language = relative.split_once('/').is_some_and(|(language, rest)| {
            languages.iter().any(|known| known == language) && is_known(rest)
        });
        if !is_known(&relative) && !of_language {
            let fault = if is_unspoken {
                "is for a language that no mail uses: see language in [report] and [[recipient]]"
            } else {
                "is no template that the program uses; the names are mail/KIND/subject.txt, body.txt and body.html"
            };
            return Err(TemplateError::new(path.display().to_string(), fault));
        }
    }
    Ok(())
}

/// Makes a name or an address of a mailbox unclickable: `bad[.]example`.
pub fn defang(text: &str) -> String {
    text.trim_end_matches('.')
        .replace('.', "[.]")
        .replace('@', "[@]")
        .replace("://", "[://]")
}

/// Makes names in free text unclickable, and leaves numbers and the ends of sentences alone.
pub fn defang_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut rest = text.chars().peekable();
    while let Some(it) = rest.next() {
        let joins = |side: char| side.is_alphanumeric() || side == '-' || side == '_';
        let after = rest.peek().copied().unwrap_or(' ');
        match it {
            '.' if joins(before) && (after.is_alphabetic() || after == '_') => out.push_str("[.]"),
            '@' if joins(before) => out.push_str("[@]"),
            ':' if after == '/' => out.push_str("[:]"),
            _ => out.push(it),
        }
        before = it;
    }
    out
}

/// Returns the text as one line without control characters or marks that turn the writing direction.
fn one_line(text: &str) -> String {
    let text = text.trim().replace(['\r', '\n', '\t'], " ");
    text.chars().filter(|it| is_plain(*it)).collect()
}

/// Returns a text without control characters but line feeds, and without marks that turn the writing
/// direction.
fn plain_text(text: &str) -> String {
    text.chars()
        .filter(|it| *it == '\n' || is_plain(*it))
        .collect()
}

/// Returns whether a character is neither a control nor a mark that turns the writing direction.
fn is_plain(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_defanged_in_every_part() {
        let mail = Templates::load(None, &[])
            .expect("the built-in templates are sound")
            .render("", Words::Report(&made_up::report()))
            .expect("rendered");
        assert_eq!(
            mail.subject,
            "[FW-000001] Suspected fast flux: bad[.]example"
        );
        for part in [&mail.text, &mail.html] {
            assert!(
                part.contains("ns1[.]bad[.]example") && !part.contains("bad.example"),
                "{part}"
            );
            assert!(part.contains("abuse[@]registrar[.]example"), "{part}");
        }
        assert!(!mail.html.contains("<a "), "no link of any kind");
    }

    #[test]
    fn text_of_a_large_report_keeps_to_its_lines_and_says_what_it_leaves_out() {
        let templates = Templates::load(None, &[]).expect("the built-in templates are sound");
        let mut report = made_up::report();
        report.page = Some("https://fluxwatch.registrar.example/cases/FW-000012".to_owned());
        let related = report.related[0].clone();
        report.related = (0..40)
            .map(|n| crate::report::RelatedLine {
                reference: format!("FW-{n:06}"),
                domain: format!("d{n}.example"),
                ..related.clone()
            })
            .collect();
        report.related_count = report.related.len();
        let plane = report.planes[0].clone();
        let term = plane.terms[0].clone();
        report.planes = vec![plane; 3];
        for plane in &mut report.planes {
            plane.terms = vec![term.clone(); 6];
            let lane = plane.timeline.lanes[0].clone();
            plane.timeline.lanes = vec![lane; 3];
        }
        report.evidence = vec![report.evidence[0].clone(); 3];
        let mail = templates
            .render("", Words::Report(&report))
            .expect("rendered");
        let count = mail.text.lines().count();
        assert!(count <= LINES_WANTED, "{count}: {}", mail.text);
        assert!(
            mail.text.contains("Left out here, and in details.txt: "),
            "{}",
            mail.text
        );
        for n in 0..40 {
            assert!(
                mail.details.contains(&format!("FW-{n:06}  d{n}[.]example")),
                "{n}"
            );
        }
        // What has room leaves nothing out.
        let short = templates.render("", Words::Report(&made_up::report()));
        assert!(!short.expect("rendered").text.contains("Left out here"));
    }

    #[test]
    fn names_in_free_text_are_defanged_and_sentences_are_not() {
        for (text, wanted) in [
            (
                "moved to ns1.new.example. Done.",
                "moved to ns1[.]new[.]example. Done.",
            ),
            (
                "score 81.5, see https://x.example/a",
                "score 81.5, see https[:]//x[.]example/a",
            ),
            (
                "550 <desk@registrar.example>",
                "550 <desk[@]registrar[.]example>",
            ),
        ] {
            assert_eq!(defang_text(text), wanted);
        }
    }

    #[test]
    fn a_folder_overrides_single_files_and_a_language_overrides_the_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
            fs::write(path, text).expect("written");
        };
        write("mail/report/subject.txt", "Own: {{ domain | defang }}");
        write(
            "de/mail/report/subject.txt",
            "Verdacht: {{ domain | defang }}",
        );
        let german = ["de".to_owned()];
        let templates = Templates::load(Some(folder.path()), &german).expect("sound");
        let subject = |language: &str| {
            let report = made_up::report();
            let mail = templates.render(language, Words::Report(&report));
            mail.expect("rendered").subject
        };
        assert_eq!(subject(""), "Own: bad[.]example");
        assert_eq!(subject("de"), "Verdacht: bad[.]example");
        for (name, text, word) in [
            (
                "mail/report/body.txt",
                "{{ nothing }}",
                "mail/report/body.txt",
            ),
            (
                "de/mail/update/body.txt",
                "{{ nothing }}",
                "de/mail/update/body.txt",
            ),
            (
                "de/mail/update/body.html",
                "{% if %}",
                "de/mail/update/body.html",
            ),
            ("fr/mail/report/body.txt", "x", "no mail uses"),
            ("mail/reprot/body.txt", "x", "is no template"),
        ] {
            write(name, text);
            let fault = Templates::load(Some(folder.path()), &german).expect_err("unsound");
            assert!(fault.to_string().contains(word), "{fault}");
            fs::remove_file(folder.path().join(name)).expect("there");
        }
        let fault =
            Templates::load(Some(folder.path()), &["fr".to_owned()]).expect_err("no folder");
        assert!(
            fault.to_string().contains("de/mail") || fault.to_string().contains("fr"),
            "{fault}"
        );
    }

    #[test]
    fn markup_in_names_stays_text() {
        let mut report = made_up::report();
        report.domain = "<script>alert(1)</script>{{ reference }}\r\nBcc: x@y.example".to_owned();
        report.planes[0].names[0].host = "\"><img src=x>".to_owned();
        let mail = Templates::load(None, &[])
            .expect("sound")
            .render("", Words::Report(&report))
            .expect("rendered");
        assert!(!mail.html.contains("<script>") && !mail.html.contains("<img"));
        assert!(
            mail.html.contains("{{ reference }}"),
            "a template in a name is not run"
        );
        assert!(!mail.subject.contains(['\r', '\n']));
    }
}
