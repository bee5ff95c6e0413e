//! Pages of the console: load, render. Everything is escaped by the suffix of its template.

use serde::Serialize;
use tera::{Context, Tera};

use crate::templates::{TemplateError, plain_text};

/// Every template of a page: name and text.
const TEMPLATES: &[(&str, &str)] = &[
    ("base.html", include_str!("../../templates/web/base.html")),
    ("login.html", include_str!("../../templates/web/login.html")),
    ("fault.html", include_str!("../../templates/web/fault.html")),
    ("queue.html", include_str!("../../templates/web/queue.html")),
    ("case.html", include_str!("../../templates/web/case.html")),
    ("mail.html", include_str!("../../templates/web/mail.html")),
    ("bulk.html", include_str!("../../templates/web/bulk.html")),
    (
        "drafts.html",
        include_str!("../../templates/web/drafts.html"),
    ),
    (
        "outbox.html",
        include_str!("../../templates/web/outbox.html"),
    ),
    (
        "exemptions.html",
        include_str!("../../templates/web/exemptions.html"),
    ),
    (
        "exempt.html",
        include_str!("../../templates/web/exempt.html"),
    ),
    ("zones.html", include_str!("../../templates/web/zones.html")),
    (
        "numbers.html",
        include_str!("../../templates/web/numbers.html"),
    ),
    (
        "lookup.html",
        include_str!("../../templates/web/lookup.html"),
    ),
    ("about.html", include_str!("../../templates/web/about.html")),
];

/// The stylesheet of every page.
pub const STYLESHEET: &str = include_str!("../../templates/web/style.css");
/// The icon of every page.
pub const ICON: &str = include_str!("../../templates/web/icon.svg");
/// The script of every page: comfort alone, each page does without.
pub const SCRIPT: &str = include_str!("../../templates/web/console.js");

/// The loaded pages.
#[derive(Debug)]
pub struct Pages(Tera);

impl Pages {
    /// Loads the pages.
    pub fn load() -> Result<Self, TemplateError> {
        let mut engine = Tera::new();
        engine.autoescape_on([".html"]);
        engine
            .add_raw_templates(TEMPLATES.iter().copied())
            .map_err(|fault| TemplateError::new("web", fault))?;
        Ok(Self(engine))
    }

    /// Words a page. Control characters and marks that turn the writing direction are left out, wherever they came from.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] for a variable that is not there.
    pub fn render(&self, name: &str, says: &impl Serialize) -> Result<String, TemplateError> {
        let context = Context::from_serialize(says)
            .map_err(|fault| TemplateError::new(format!("web/{name}"), fault))?;
        let page = self.0.render(name, &context);
        let page = page.map_err(|fault| TemplateError::new(format!("web/{name}"), fault))?;
        Ok(plain_text(&page))
    }
}
