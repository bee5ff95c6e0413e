//! The mail of a case: what was queued, or a part of what would be.

use crate::case::{Case, SendReason};
use crate::config::Profile;
use crate::desk::error::DeskError;
use crate::evidence::{Hash, hash_octets};
use crate::mailer::{is_same_address, read_part};
use crate::pipeline::{Addressee, CaseMail, PREVIEW_TOKEN, Pipeline, ReportParts};
use crate::report::case_reference;
use crate::store::{CaseRow, MailKind, NoticeEdit, NoticeState, Store};
use crate::time::Timestamp;

/// Which part of a mail is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole message.
    Whole,
    /// Its text.
    Text,
    /// The details that come with it.
    Details,
    /// Its HTML.
    Html,
    /// The XARF report.
    Xarf,
    /// The evidence.
    Csv,
}

impl Part {
    /// Returns the part of a message.
    pub fn of(self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Whole => Some(message.to_vec()),
            Self::Text => read_part(message, "text/plain", None),
            Self::Details => read_part(message, "text/plain", Some("details.txt")),
            Self::Html => read_part(message, "text/html", None),
            Self::Xarf => read_part(message, "application/json", Some("xarf.json")),
            Self::Csv => read_part(message, "text/csv", Some("evidence.csv")),
        }
    }

    /// Returns the part of what would be sent.
    fn of_parts(self, parts: ReportParts) -> Vec<u8> {
        match self {
            Self::Whole => parts.message.octets,
            Self::Text => parts.text.into_bytes(),
            Self::Details => parts.details.into_bytes(),
            Self::Html => parts.html.into_bytes(),
            Self::Xarf => parts.xarf,
            Self::Csv => parts.csv,
        }
    }
}

/// A mail that is kept: its octets, and what is known of them.
#[derive(Debug, Clone)]
pub struct KeptMail {
    /// For listings.
    pub subject: String,
    /// To whom, as it may be shown.
    pub to: String,
    /// As whom the recipient of a notice is addressed.
    pub party: Option<String>,
    /// Where it stands.
    pub state: &'static str,
    /// Whether it waits for somebody's approval.
    pub is_draft: bool,
    /// What people wrote into it.
    pub edited: Option<NoticeEdit>,
    /// SHA-256 of the octets.
    pub sha256: Hash,
    /// The octets.
    pub octets: Vec<u8>,
}

/// Returns a message of a case.
pub fn kept_message(store: &Store, row: &CaseRow, id: i64) -> Result<KeptMail, DeskError> {
    let mut messages = store.desk().messages_of_case(row.id)?.into_iter();
    let found = messages.find(|it| it.id == id);
    let found =
        found.ok_or_else(|| DeskError::not_found(format!("the case has no message {id}")))?;
    Ok(KeptMail {
        to: found.shown_recipient(),
        party: None,
        state: found.standing(),
        is_draft: false,
        edited: None,
        sha256: hash_octets(&found.message.octets),
        subject: found.message.subject,
        octets: found.message.octets,
    })
}

/// Returns a notice of a case.
pub fn kept_notice(store: &Store, row: &CaseRow, id: i64) -> Result<KeptMail, DeskError> {
    let mut notices = store.desk().notices_of_case(row.id)?.into_iter();
    let found = notices.find(|it| it.id == id);
    let found =
        found.ok_or_else(|| DeskError::not_found(format!("the case has no notice {id}")))?;
    Ok(KeptMail {
        to: found.message.recipient,
        party: Some(found.party),
        state: found.state.word(),
        is_draft: found.state == NoticeState::Drafted,
        edited: found.edited,
        sha256: found.sha256,
        subject: found.message.subject,
        octets: found.message.octets,
    })
}

/// Returns the notice of a case to a recipient, as it was drafted last, and where it stands.
///
/// # Errors
///
/// [`DeskError::NotFound`]; [`DeskError::Invalid`] for a part of it.
pub fn notice(
    store: &Store,
    row: &CaseRow,
    recipient: &str,
    part: Part,
) -> Result<(Vec<u8>, NoticeState), DeskError> {
    let notices = store.desk().notices_of_case(row.id)?.into_iter();
    let mut notices = notices.rev();
    let notice = notices.find(|it| is_same_address(&it.message.recipient, recipient));
    let notice = notice.ok_or_else(|| {
        let case = case_reference(row.id);
        DeskError::not_found(format!("case {case} has no notice to {recipient}"))
    })?;
    if part != Part::Whole {
        return Err(DeskError::invalid(
            "a notice is shown as it was drafted: only --format eml",
        ));
    }
    Ok((notice.message.octets, notice.state))
}

/// Returns a part of the mail to the desk that was queued last; `None` if none was.
///
/// # Errors
///
/// [`DeskError::NotFound`] if that mail has no such part.
pub fn queued(store: &Store, row: &CaseRow, part: Part) -> Result<Option<Vec<u8>>, DeskError> {
    let is_of_desk = |kind: MailKind| {
        matches!(
            kind,
            MailKind::Report | MailKind::Update | MailKind::Closure
        )
    };
    let messages = store.desk().messages_of_case(row.id)?;
    let Some(queued) = messages.iter().rfind(|it| is_of_desk(it.message.kind)) else {
        return Ok(None);
    };
    let part = part.of(&queued.message.octets);
    part.map(Some).ok_or_else(|| {
        DeskError::not_found("the mail that was queued last has no such part")
            .with_hint("--profile desk shows what would be built now")
    })
}

/// Returns a part of the mail that the desk would be sent, in the profile that was asked for.
///
/// # Errors
///
/// [`DeskError::NotFound`] if the case shows nothing that could be reported.
pub fn composed(
    pipeline: &Pipeline,
    row: &CaseRow,
    profile: Option<Profile>,
    part: Part,
    now: Timestamp,
) -> Result<Vec<u8>, DeskError> {
    let found = pipeline
        .findings()
        .find(&row.case.domain, row.case.evaluated_at)?;
    let finding = found.finding.ok_or_else(|| {
        let domain = row.case.domain.to_text_without_dot();
        let at = row.case.evaluated_at;
        DeskError::not_found(format!(
            "{domain} shows nothing at {at} that could be reported"
        ))
    })?;
    let case = Case {
        revision: row.case.revision + 1,
        ..row.case.clone()
    };
    let (kind, reason) = match row.case.revision {
        0 => (MailKind::Report, SendReason::FirstReport),
        _ => (MailKind::Update, SendReason::Asked),
    };
    let mail = CaseMail {
        case_id: row.id,
        case: &case,
        finding: Some(&finding),
        kind,
        reason,
        now,
        paragraph: None,
    };
    let to = addressee(pipeline, &case, profile)?;
    Ok(part.of_parts(
        pipeline
            .notify()
            .compose_case_mail(&mail, &to, PREVIEW_TOKEN)?,
    ))
}

/// Returns to whom a preview is written: the first of the desk.
fn addressee(
    pipeline: &Pipeline,
    case: &Case,
    profile: Option<Profile>,
) -> Result<Addressee, DeskError> {
    let first = pipeline.notify().desk_addressees(case).into_iter().next();
    let mut first = first.ok_or_else(|| DeskError::invalid("the desk has no address"))?;
    first.profile = profile.unwrap_or(first.profile);
    Ok(first)
}

/// Checks that a profile has a part.
pub fn check_part(profile: Option<Profile>, part: Part) -> Result<(), DeskError> {
    if profile == Some(Profile::Xarf) && part == Part::Html {
        return Err(DeskError::invalid("the profile xarf has no HTML"));
    }
    Ok(())
}
