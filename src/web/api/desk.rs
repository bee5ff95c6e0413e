//! The desk for programs: cases and steps with them, status, zones, outbox, exemptions, look-ups.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::case::{CaseState, DeskStep, DismissReason};
use crate::desk::DeskError;
use crate::desk::filter::{CaseFilter, find_case, parse_states};
use crate::desk::step::{Step, Taken, check_note, mark_of};
use crate::dns::Name;
use crate::listing::{CaseJson, CaseLogJson, RecordJson, WantedText, parse_addresses};
use crate::people::Role;
use crate::pipeline::Pipeline;
use crate::report::case_reference;
use crate::store::{
    CaseRow, ExemptionRow, KeptAnswer, MessageRow, QueueOrder, StoreError, Used, ZoneStatus,
    is_place,
};
use crate::time::{Span, Timestamp};
use crate::web::api::enter::Asker;
use crate::web::body::{BodyFault, read_small};
use crate::web::desks::Busy;
use crate::web::form::Fields;
use crate::web::problem::problem;
use crate::web::secret::hash_of;
use crate::web::state::{Console, WebState};

/// The most octets of the body of a step.
const OCTETS_MAX: usize = 64 << 10;
/// How many rows an answer has where nothing is asked for.
const LIMIT_USUAL: usize = 100;
/// The most rows of an answer.
const LIMIT_MAX: usize = 1000;
/// How long a step that is sent again is known.
const KEY_KEPT: Span = Span::days(1);
/// The most characters of an Idempotency-Key.
const KEY_LENGTH_MAX: usize = 200;

/// Answers with JSON.
fn answer(says: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, says.to_string() + "\n").into_response()
}

/// Answers with what was found, or with the problem.
fn answer_found(found: Result<Result<Value, DeskError>, Busy>) -> Response {
    match found {
        Ok(Ok(says)) => answer(&says),
        Ok(Err(fault)) => refusal(fault),
        Err(Busy) => busy(),
    }
}

/// Answers that too much is asked at a time.
fn busy() -> Response {
    let mut refused = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        "too much is asked at a time",
    );
    refused
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    refused
}

/// Answers with the problem that a fault is.
fn refusal(fault: DeskError) -> Response {
    let status = match &fault {
        DeskError::NotFound { .. } => StatusCode::NOT_FOUND,
        DeskError::Refused { .. } => StatusCode::CONFLICT,
        DeskError::Stale(_) => StatusCode::PRECONDITION_FAILED,
        DeskError::Invalid { .. } | DeskError::Name { .. } => StatusCode::BAD_REQUEST,
        DeskError::Store(StoreError::NoReverseIndex(_)) => StatusCode::NOT_IMPLEMENTED,
        DeskError::Store(_) | DeskError::Pipeline(_) => {
            tracing::error!("api: {fault}");
            let what = "the database cannot be used now";
            return problem(StatusCode::SERVICE_UNAVAILABLE, what);
        }
    };
    problem(status, fault.to_string())
}

/// Returns what the desk finds.
async fn look(
    state: &WebState,
    work: impl FnOnce(&Pipeline) -> Result<Value, DeskError> + Send + 'static,
) -> Response {
    answer_found(console_of(state).desks.look(work).await)
}

/// Returns what the API shares with the pages.
fn console_of(state: &WebState) -> &Console {
    state
        .console
        .as_ref()
        .expect("the API is served with a console alone")
}

/// What cannot be meant.
fn invalid(sentence: impl Into<String>) -> DeskError {
    DeskError::Invalid {
        field: None,
        sentence: sentence.into(),
    }
}

/// Reads how many rows are asked for.
fn limit_of(fields: &Fields) -> Result<usize, DeskError> {
    match fields.find("limit") {
        None => Ok(LIMIT_USUAL),
        Some(text) => match text.parse() {
            Ok(count) if (1..=LIMIT_MAX).contains(&count) => Ok(count),
            _ => Err(invalid(format!(
                "limit: {text:?} is none from 1 to {LIMIT_MAX}"
            ))),
        },
    }
}

/// `GET /api/v1/cases`.
pub(in crate::web) async fn cases(State(state): State<WebState>, request: Request) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    look(&state, move |desk| list_cases(desk, &fields)).await
}

/// Returns a page of cases.
fn list_cases(desk: &Pipeline, fields: &Fields) -> Result<Value, DeskError> {
    let states = match fields.find("state") {
        None => vec![CaseState::Open, CaseState::Acknowledged],
        Some(words) => {
            let words: Vec<String> = words.split(',').map(str::to_owned).collect();
            parse_states(&words)?
        }
    };
    let filter = CaseFilter {
        campaign: fields.find("campaign"),
        zone: fields.find("zone"),
        verdict: fields.find("verdict"),
        level: fields.find("level"),
        assignee: fields.find("assignee"),
        older: fields.find("older"),
        text: fields.find("text"),
        has_draft: fields.find("draft").is_some(),
    };
    let filter = filter.read(&states, desk.clock().now())?;
    let order = match fields.find("sort") {
        None => QueueOrder::default(),
        Some(word) => QueueOrder::parse(word).ok_or_else(|| {
            let words = QueueOrder::ALL.map(QueueOrder::word).join(", ");
            invalid(format!("sort: {word:?} is none of {words}"))
        })?,
    };
    let after = fields.find("after");
    if let Some(place) = after.filter(|place| !is_place(order, place)) {
        let word = order.word();
        return Err(invalid(format!(
            "after: {place:?} is no place in the order {word}: send `next` of the page before, with the same sort"
        )));
    }
    let page = desk
        .store()
        .desk()
        .queue_page(&filter, order, after, limit_of(fields)?)?;
    let rows: Vec<CaseJson> = page.rows.iter().map(CaseJson::from).collect();
    Ok(json!({"cases": rows, "next": page.next}))
}

/// `GET /api/v1/cases/{case}`.
pub(in crate::web) async fn case(
    State(state): State<WebState>,
    Path(case): Path<String>,
) -> Response {
    let found = console_of(&state).desks.look(move |desk| {
        let row = find_case(desk.store(), &case)?;
        Ok((mark_of(desk.store(), &row)?, whole_case(desk, &row)?))
    });
    match found.await {
        Ok(Ok((mark, says))) => with_etag(answer(&says), &mark),
        Ok(Err(fault)) => refusal(fault),
        Err(Busy) => busy(),
    }
}

/// Returns a case with its log.
fn whole_case(desk: &Pipeline, row: &CaseRow) -> Result<Value, DeskError> {
    let log = desk.store().desk().case_events(row.id)?.into_iter();
    let log: Vec<CaseLogJson> = log.map(CaseLogJson::from).collect();
    let mut says = json!(CaseJson::from(row));
    says["reference"] = json!(case_reference(row.id));
    says["evaluated_at"] = json!(row.case.evaluated_at);
    says["log"] = json!(log);
    Ok(says)
}

/// Adds the mark of a case as its ETag.
fn with_etag(mut answer: Response, mark: &str) -> Response {
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{mark}\"")) {
        answer.headers_mut().insert(header::ETAG, etag);
    }
    answer
}

/// A step, as a program sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepBody {
    step: String,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    mitigated: bool,
}

impl StepBody {
    /// Returns the step that is meant.
    fn read(&self) -> Result<DeskStep, DeskError> {
        let step = match self.step.as_str() {
            "ack" => DeskStep::Acknowledge,
            "note" => DeskStep::Note,
            "reopen" => DeskStep::Reopen,
            "close" => DeskStep::Close {
                mitigated: self.mitigated,
            },
            "assign" => DeskStep::Assign(self.to.clone().filter(|to| !to.trim().is_empty())),
            "dismiss" => {
                let word = self.reason.as_deref().unwrap_or_default();
                let reason = DismissReason::parse(word).ok_or_else(|| {
                    let all = DismissReason::ALL.map(DismissReason::word).join(", ");
                    invalid(format!("reason: {word:?} is none of {all}"))
                })?;
                DeskStep::Dismiss(reason)
            }
            other => {
                return Err(invalid(format!(
                    "step: {other:?} is none of ack, note, reopen, close, assign, dismiss"
                )));
            }
        };
        check_note(&step, self.note.as_deref())
            .map_err(|_| invalid("note: this step needs one"))?;
        Ok(step)
    }
}

/// `POST /api/v1/cases/{case}/steps`.
pub(in crate::web) async fn step(
    State(state): State<WebState>,
    Extension(asker): Extension<Asker>,
    Path(case): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if asker.role < Role::Reviewer {
        let what = format!(
            "this takes the role reviewer; yours is {}",
            asker.role.word()
        );
        return problem(StatusCode::FORBIDDEN, what);
    }
    let text = |name: header::HeaderName| {
        headers
            .get(name)
            .and_then(|it| it.to_str().ok())
            .map(str::to_owned)
    };
    // A form of a page of elsewhere cannot send this type.
    let kind = text(header::CONTENT_TYPE).unwrap_or_default();
    if kind.split(';').next().map(str::trim) != Some("application/json") {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json");
    }
    let Some(seen) = text(header::IF_MATCH) else {
        let what = "If-Match is missing: send the ETag of the case that you decided on, or *";
        return problem(StatusCode::PRECONDITION_REQUIRED, what);
    };
    let key = text(header::HeaderName::from_static("idempotency-key"));
    if key
        .as_ref()
        .is_some_and(|key| key.is_empty() || key.len() > KEY_LENGTH_MAX)
    {
        let what = format!("Idempotency-Key has 1 to {KEY_LENGTH_MAX} characters");
        return problem(StatusCode::BAD_REQUEST, what);
    }
    let octets = match read_small(body, OCTETS_MAX).await {
        Ok(octets) => octets,
        Err(fault) => return refuse_body(fault),
    };
    let wanted: StepBody = match serde_json::from_slice(&octets) {
        Ok(wanted) => wanted,
        Err(fault) => {
            return problem(
                StatusCode::BAD_REQUEST,
                format!("the body is no step: {fault}"),
            );
        }
    };
    let sent = Sent {
        request_hash: hash_of(&[&case, &seen, &String::from_utf8_lossy(&octets)]),
        case,
        seen: (seen.trim() != "*").then(|| seen.trim().trim_matches('"').to_owned()),
        key,
        who: asker.name,
        wanted,
    };
    match console_of(&state)
        .desks
        .act(move |desk| sent.take(desk))
        .await
    {
        Ok(Ok(answered)) => {
            let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::OK);
            let kind = [(header::CONTENT_TYPE, "application/json")];
            with_etag(
                (status, kind, answered.body).into_response(),
                &answered.mark,
            )
        }
        Ok(Err(fault)) => refusal(fault),
        Err(Busy) => busy(),
    }
}

/// Answers with why the body of a step was not taken.
fn refuse_body(fault: BodyFault) -> Response {
    match fault {
        BodyFault::TooLarge => problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("more than {OCTETS_MAX} bytes, or cut off"),
        ),
        BodyFault::TooSlow => problem(
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long to arrive; send it again",
        ),
    }
}

/// A step that was sent.
struct Sent {
    case: String,
    /// The mark that was seen; `None` for whatever the case is.
    seen: Option<String>,
    key: Option<String>,
    request_hash: [u8; 32],
    who: String,
    wanted: StepBody,
}

/// What a step is answered with.
struct Answered {
    status: u16,
    body: String,
    /// The mark of the case after it.
    mark: String,
}

impl Sent {
    /// Takes the step, or gives the answer of before to one that is sent again.
    fn take(&self, desk: &Pipeline) -> Result<Answered, DeskError> {
        let row = find_case(desk.store(), &self.case)?;
        if let Some(kept) = self.answer_of_before(desk, &row)? {
            return Ok(kept);
        }
        let now = desk.clock().now();
        let wanted = self.wanted.read()?;
        let step = Step {
            step: &wanted,
            note: self.wanted.note.as_deref(),
            who: &self.who,
            seen: self.seen.as_deref(),
        };
        let mut answered = None;
        let taken = step.take_with(desk, row.id, now, |taken| {
            answered = Some(self.answer(desk, row.id, taken, now)?);
            Ok(())
        });
        taken?.map_err(|fault| refused(fault.to_string()))?;
        Ok(answered.expect("a step that is taken is answered"))
    }

    /// Returns what the step was answered with, if it was sent before.
    fn answer_of_before(
        &self,
        desk: &Pipeline,
        row: &CaseRow,
    ) -> Result<Option<Answered>, DeskError> {
        let store = desk.store();
        let Some(key) = &self.key else {
            return Ok(None);
        };
        let Some(kept) = store.desk().kept_answer(&self.who, key)? else {
            return Ok(None);
        };
        if kept.request_hash != self.request_hash {
            let what = "this Idempotency-Key was sent with another request";
            return Err(refused(what));
        }
        let mark = match kept.etag {
            Some(etag) => etag,
            None => mark_of(store, row)?,
        };
        Ok(Some(Answered {
            status: kept.status,
            body: kept.body,
            mark,
        }))
    }

    /// Returns the answer to a step that is taken, and keeps it under its key in the step's transaction: a step of
    /// which no answer is kept was not taken.
    fn answer(
        &self,
        desk: &Pipeline,
        id: i64,
        taken: &Taken,
        now: Timestamp,
    ) -> Result<Answered, DeskError> {
        let store = desk.store();
        let ending = taken.mail_words("is");
        let says = json!({
            "reference": case_reference(id),
            "state": taken.case.state.word(),
            "note": taken.note,
            "ending": ending,
        });
        let row = find_case(store, &self.case)?;
        let answered = Answered {
            status: 200,
            body: says.to_string() + "\n",
            mark: mark_of(store, &row)?,
        };
        if let Some(key) = &self.key {
            let answer = KeptAnswer {
                request_hash: self.request_hash,
                status: answered.status,
                body: answered.body.clone(),
                etag: Some(answered.mark.clone()),
            };
            let times = [now, now - KEY_KEPT];
            if !store.desk().keep_answer((&self.who, key), &answer, times)? {
                return Err(refused("this Idempotency-Key was sent at the same time"));
            }
        }
        Ok(answered)
    }
}

/// What cannot be done as things stand.
fn refused(sentence: impl Into<String>) -> DeskError {
    DeskError::Refused {
        sentence: sentence.into(),
        hint: None,
    }
}

/// `GET /api/v1/status`.
pub(in crate::web) async fn status(State(state): State<WebState>) -> Response {
    look(&state, |desk| {
        let store = desk.store();
        let zones = store.zones().status()?;
        let failed = zones.iter().filter(|it| it.is_in_trouble());
        let cases = store.desk().case_counts()?.into_iter();
        let cases: serde_json::Map<String, Value> = cases
            .map(|(state, count)| (state.word().to_owned(), json!(count)))
            .collect();
        let unsent = store.desk().unsent_counts()?.into_iter();
        let unsent: serde_json::Map<String, Value> = unsent
            .map(|(state, count)| (state.word().to_owned(), json!(count)))
            .collect();
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "zones": zones.len(),
            "zones_failed": failed.count(),
            "zones_held": zones.iter().filter(|it| it.held).count(),
            "cases": cases,
            "messages": unsent,
            "drafts": store.desk().drafted_notice_count()?,
        }))
    })
    .await
}

/// `GET /api/v1/zones`.
pub(in crate::web) async fn zones(State(state): State<WebState>, request: Request) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    look(&state, move |desk| {
        let now = desk.clock().now();
        let mut rows = desk.store().zones().status()?;
        if fields.find("failed").is_some() {
            rows.retain(ZoneStatus::is_in_trouble);
        }
        let rows = rows
            .iter()
            .take(limit_of(&fields)?)
            .map(|row| zone_json(row, now));
        Ok(json!({"zones": rows.collect::<Vec<_>>()}))
    })
    .await
}

/// Returns a zone.
fn zone_json(row: &ZoneStatus, now: Timestamp) -> Value {
    json!({"zone": row.zone.as_ref().map(Name::to_string), "source": row.source, "source_kind": row.source_kind.word(),
           "serial": row.serial, "records": row.records, "last_success_at": row.last_success_at, "last_attempt_at": row.last_attempt_at,
           "lag_s": row.last_success_at.map(|at| now.since(at).as_seconds()), "refused_reason": row.refused_reason,
           "last_error": row.last_error, "held": row.held})
}

/// `GET /api/v1/outbox`.
pub(in crate::web) async fn outbox(State(state): State<WebState>, request: Request) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    look(&state, move |desk| {
        let rows = desk.store().desk().undone_messages()?;
        let rows = rows.iter().take(limit_of(&fields)?).map(message_json);
        Ok(json!({"messages": rows.collect::<Vec<_>>()}))
    })
    .await
}

/// Returns a message.
fn message_json(row: &MessageRow) -> Value {
    json!({"id": row.id, "case": row.message.case_id.map(case_reference), "kind": row.message.kind.word(),
           "recipient": row.shown_recipient(), "subject": row.message.subject, "state": row.standing(), "attempts": row.attempt_count,
           "queued_at": row.queued_at, "next_attempt_at": row.next_attempt_at, "last_reply": row.last_reply})
}

/// `GET /api/v1/exemptions`.
pub(in crate::web) async fn exemptions(
    State(state): State<WebState>,
    request: Request,
) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    look(&state, move |desk| {
        let now = desk.clock().now();
        let mut rows = desk.store().desk().exemptions()?;
        rows.retain(|row| fields.find("all").is_some() || row.is_in_force(now));
        let rows = rows
            .iter()
            .take(limit_of(&fields)?)
            .map(|row| exemption_json(row, now));
        Ok(json!({"exemptions": rows.collect::<Vec<_>>()}))
    })
    .await
}

/// Returns an exemption.
fn exemption_json(row: &ExemptionRow, now: Timestamp) -> Value {
    let it = &row.exemption;
    json!({"id": it.id, "kind": row.kind(), "value": row.value(), "reason": it.reason, "author": it.author,
           "created_at": row.created_at, "until": it.until, "in_force": row.is_in_force(now)})
}

/// `GET /api/v1/users`: which records led to a name server (`ns`) or an address (`address`).
pub(in crate::web) async fn users(State(state): State<WebState>, request: Request) -> Response {
    let fields = Fields::parse(request.uri().query().unwrap_or_default());
    look(&state, move |desk| find_users(desk, &fields)).await
}

/// Returns those records.
fn find_users(desk: &Pipeline, fields: &Fields) -> Result<Value, DeskError> {
    let used = match (fields.find("ns"), fields.find("address")) {
        (Some(text), None) => {
            let (is_below, name) = Name::parse_wild(text).map_err(|fault| DeskError::Name {
                text: text.to_owned(),
                fault,
            })?;
            match is_below {
                true => Used::HostsBelow(name),
                false => Used::Host(name),
            }
        }
        (None, Some(text)) => parse_addresses(text).ok_or_else(|| {
            invalid(format!(
                "address: {text:?} is neither an address nor a prefix"
            ))
        })?,
        _ => return Err(invalid("say ns=NAME or address=ADDRESS, one of them")),
    };
    let text = WantedText {
        types: fields.find("type").into_iter().collect(),
        at: fields.find("at"),
        since: fields.find("since"),
        until: fields.find("until"),
    };
    let wanted = text.parse(desk.clock().now()).map_err(invalid)?;
    let limit = limit_of(fields)?;
    let (mut rows, mut has_more) = (Vec::new(), false);
    desk.store()
        .lookup()
        .users_of::<DeskError>(&used, &wanted, None, |row, _| {
            has_more = rows.len() >= limit;
            if !has_more {
                rows.push(json!(RecordJson::from(&row)));
            }
            Ok(!has_more)
        })?;
    Ok(json!({"records": rows, "has_more": has_more}))
}
