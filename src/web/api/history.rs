//! History over HTTP, read only: the passive DNS common output format as other tools read it, and JSON.
//!
//! `GET /pdns/query/{name|*.name|address|prefix}` answers with one object a line. A name that history
//! does not know is an empty answer with status 200: clients take 404 for a fault. Paging as pypdns does
//! it: `dribble-paginate-count` and `dribble-paginate-cursor` in, `x-dribble-cursor` out, a number of
//! rows in an order to which changes only append.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::dns::{Name, RecordType};
use crate::listing::{
    CaseJson, ChangeJson, CoarseJson, CofJson, GapJson, HistoryJson, RecordJson, WantedText,
};
use crate::store::{History, HistoryScope, RecordRow, Store, StoreError, Used, Wanted, ZoneId};
use crate::web::problem::problem;
use crate::web::state::WebState;

/// The most rows of an answer that is paged: it is sorted whole. An answer that is not paged has no limit.
const PAGED_ROWS_MAX: usize = 100_000;
/// How many names are looked up at a time.
const NAMES_AT_A_TIME: usize = 200;
/// The most names of an answer in JSON; the rest are on its next pages.
const NAMES_MAX: usize = 1000;
/// Octets of lines that are sent at a time.
const CHUNK_OCTETS: usize = 32 << 10;
/// How long a client may take for one of them: one that hangs keeps others from a place.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(30);
/// How many chunks wait for a client that reads slowly.
// A slow client slows its lookup down instead of filling memory.
const CHUNKS_WAITING_MAX: usize = 4;

/// What is looked up.
#[derive(Debug, Clone)]
enum Question {
    /// A name, and perhaps what is below it.
    Names(Name, HistoryScope),
    /// Who used an address.
    Users(Used),
}

impl Question {
    /// Reads what stands in the path.
    fn parse(text: &str) -> Result<Self, String> {
        if let Some(used) = crate::listing::parse_addresses(text) {
            return Ok(Self::Users(used));
        }
        if let Some(what) = crate::listing::wrong_prefix(text) {
            return Err(what);
        }
        let (is_below, name) = Name::parse_wild(text)
            .map_err(|fault| format!("{text:?} is neither a name nor an address: {fault}"))?;
        Ok(Self::Names(
            name,
            if is_below {
                HistoryScope::Below
            } else {
                HistoryScope::Name
            },
        ))
    }
}

/// Returns what identifies an answer that is not known yet: it changes whenever history does, and when a zone that
/// the answer is about was looked at, since its records were seen later then.
fn etag(store: &Store, question: &Question, text: &str) -> Result<String, StoreError> {
    let _reading = store.begin_reading()?;
    let zones = match question {
        Question::Names(name, HistoryScope::Name) => {
            store.zones().ask_ahead_of_mark_at(name)?;
            Some(store.zones().zones_enclosing(name)?)
        }
        Question::Names(..) | Question::Users(_) => None,
    };
    let zones: Option<Vec<ZoneId>> = zones.map(|zones| zones.iter().map(|zone| zone.id).collect());
    let mark = store.zones().state_mark(zones.as_deref())?;
    Ok(format!("W/\"{mark}-{:016x}\"", hash_of(text)))
}

/// Returns the hash of a text.
fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Returns whether the client has this answer.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    known.is_some_and(|known| {
        known
            .split(',')
            .any(|it| it.trim() == etag || it.trim() == "*")
    })
}

/// Answers 304.
fn not_modified(etag: String) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response()
}

/// Logs a fault of the database and says that there is one.
fn broken(error: &StoreError) -> Response {
    if let StoreError::NoReverseIndex(_) = error {
        return problem(
            StatusCode::NOT_IMPLEMENTED,
            "store.reverse_index is false: addresses are not indexed",
        );
    }
    tracing::error!(%error, "history over HTTP: {error}");
    problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        "the database cannot be read",
    )
}

/// `GET /pdns/query/{question}`.
pub async fn query(
    State(state): State<WebState>,
    Path(text): Path<String>,
    headers: HeaderMap,
) -> Response {
    let question = match Question::parse(&text) {
        Ok(question) => question,
        Err(detail) => return problem(StatusCode::BAD_REQUEST, detail),
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut wanted = Wanted::default();
    if let Some(word) = header("dribble-filter-rrtype") {
        match RecordType::parse(&word.to_uppercase()) {
            Some(rtype) => wanted.types.push(rtype),
            // A type that is not kept has no records.
            None => {
                return (
                    [(header::CONTENT_TYPE, "application/x-ndjson")],
                    Body::empty(),
                )
                    .into_response();
            }
        }
    }
    let number = |name: &str| header(name).and_then(|value| value.trim().parse::<usize>().ok());
    let count = number("dribble-paginate-count").filter(|count| *count > 0);
    let page = count.map(|count| (count, number("dribble-paginate-cursor").unwrap_or(0)));
    let Some(place) = state.lookups.enter() else {
        return problem(StatusCode::TOO_MANY_REQUESTS, "too many lookups at a time");
    };
    let headers = headers.clone();
    let look = tokio::task::spawn_blocking(move || -> Result<Response, StoreError> {
        let store = place.open()?;
        let etag = etag(&store, &question, &format!("{text} {wanted:?} {page:?}"))?;
        if is_known(&headers, &etag) {
            return Ok(not_modified(etag));
        }
        let kind = [
            (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
            (header::ETAG, etag),
        ];
        if let Some((count, from)) = page {
            return paged(&store, &question, &wanted, count, from)
                .map(|it| (kind, it).into_response());
        }
        if let Question::Users(_) = &question
            && !store.has_reverse_index()
        {
            return Err(StoreError::NoReverseIndex(
                state.store_url.to_string().into(),
            ));
        }
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        let is_whole = Arc::new(AtomicBool::new(false));
        let body = body_of(receiver, Arc::clone(&is_whole));
        // The rest is read while it is sent, by a thread that ends when the client does.
        tokio::task::spawn_blocking(move || match stream(&store, &question, &wanted, &sender) {
            Ok(told_all) => is_whole.store(told_all, Ordering::Release),
            Err(error) => tracing::error!(%error, "history over HTTP: {error}"),
        });
        Ok((kind, body).into_response())
    });
    match look.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => broken(&error),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the lookup failed"),
    }
}

/// Calls `each` with the records of an answer until it says no.
fn each_record(
    store: &Store,
    question: &Question,
    wanted: &Wanted,
    mut each: impl FnMut(RecordRow) -> bool,
) -> Result<(), StoreError> {
    let (name, scope) = match question {
        Question::Users(used) => {
            return store
                .lookup()
                .users_of(used, wanted, None, |record, _| Ok(each(record)));
        }
        Question::Names(name, scope) => (name, *scope),
    };
    // A client that reads slowly must not keep the log from being moved into the database.
    let mut pages = store.lookup().history_pages(name, scope, wanted, None);
    while !pages.is_done() {
        let found = pages.next_page(NAMES_AT_A_TIME)?.into_iter();
        if !found.flat_map(|it| it.records).all(&mut each) {
            break;
        }
    }
    Ok(())
}

/// Returns a body of chunks that ends as a broken one unless it is whole when there are no more of them: an answer
/// that breaks off, since the database cannot be read on or the client was silent for too long, must not look
/// like one that ends.
fn body_of(chunks: mpsc::Receiver<Bytes>, is_whole: Arc<AtomicBool>) -> Body {
    let end = std::iter::once_with(move || is_whole.load(Ordering::Acquire));
    let end = end.filter(|is_whole| !is_whole);
    let end = end.map(|_| Err(std::io::Error::other("the answer is not whole")));
    let chunks = ReceiverStream::new(chunks).map(Ok);
    Body::from_stream(chunks.chain(tokio_stream::iter(end)))
}

/// Sends the records of an answer, some lines at a time, until there are no more or nobody listens. Returns whether
/// all were sent.
fn stream(
    store: &Store,
    question: &Question,
    wanted: &Wanted,
    sender: &mpsc::Sender<Bytes>,
) -> Result<bool, StoreError> {
    let mut lines = Vec::with_capacity(CHUNK_OCTETS);
    let mut is_heard = true;
    each_record(store, question, wanted, |record| {
        push_line(&mut lines, &record);
        if lines.len() >= CHUNK_OCTETS {
            let chunk = Bytes::from(std::mem::take(&mut lines));
            let sent = timeout(CHUNK_TIMEOUT, sender.send(chunk));
            is_heard = matches!(Handle::current().block_on(sent), Ok(Ok(())));
        }
        is_heard
    })?;
    if is_heard && !lines.is_empty() {
        let sent = timeout(CHUNK_TIMEOUT, sender.send(Bytes::from(lines)));
        is_heard = matches!(Handle::current().block_on(sent), Ok(Ok(())));
    }
    Ok(is_heard)
}

/// Appends a record as a line.
fn push_line(lines: &mut Vec<u8>, record: &RecordRow) {
    serde_json::to_writer(&mut *lines, &CofJson::from(record)).expect("a record has a JSON form");
    lines.push(b'\n');
}

/// Returns one page of an answer.
fn paged(
    store: &Store,
    question: &Question,
    wanted: &Wanted,
    count: usize,
    from: usize,
) -> Result<Response, StoreError> {
    let mut records = Vec::new();
    each_record(store, question, wanted, |record| {
        records.push(record);
        records.len() <= PAGED_ROWS_MAX
    })?;
    if records.len() > PAGED_ROWS_MAX {
        let detail = format!(
            "more than {PAGED_ROWS_MAX} records; ask without dribble-paginate-count, or for less"
        );
        return Ok(problem(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    // What is added later comes later, and what ends stays where it is: pages neither lose nor repeat.
    records.sort_by(|left, right| {
        let key = |row: &RecordRow| (row.added_at, row.rdata.rtype());
        key(left)
            .cmp(&key(right))
            .then_with(|| left.owner.cmp(&right.owner))
            .then_with(|| left.rdata.cmp(&right.rdata))
            .then_with(|| left.zone.cmp(&right.zone))
    });
    let mut lines = Vec::new();
    let end = from.saturating_add(count).min(records.len());
    for record in records.get(from..end).unwrap_or_default() {
        push_line(&mut lines, record);
    }
    let mut response = Body::from(lines).into_response();
    if end < records.len() {
        let value = header::HeaderValue::from(end as u64);
        response.headers_mut().insert("x-dribble-cursor", value);
    }
    Ok(response)
}

/// Which part of a domain's history is wanted.
#[derive(Deserialize)]
pub struct DomainQuery {
    since: Option<String>,
    until: Option<String>,
    at: Option<String>,
    #[serde(rename = "type")]
    types: Option<String>,
    limit: Option<usize>,
    after: Option<String>,
}

/// `GET /api/v1/domains/{name}`: as `fluxwatch history NAME --format json --with-cases`.
pub async fn domain(
    State(state): State<WebState>,
    Path(text): Path<String>,
    Query(query): Query<DomainQuery>,
    headers: HeaderMap,
) -> Response {
    let name = match Name::parse_pasted(&text) {
        Ok(name) => name,
        Err(fault) => {
            return problem(
                StatusCode::BAD_REQUEST,
                format!("{text:?} is not a name: {fault}"),
            );
        }
    };
    let text = WantedText {
        types: query
            .types
            .iter()
            .flat_map(|words| words.split(','))
            .collect(),
        at: query.at.as_deref(),
        since: query.since.as_deref(),
        until: query.until.as_deref(),
    };
    let wanted = match text.parse(state.clock.now()) {
        Ok(wanted) => wanted,
        Err(detail) => return problem(StatusCode::BAD_REQUEST, detail),
    };
    let Some(place) = state.lookups.enter() else {
        return problem(StatusCode::TOO_MANY_REQUESTS, "too many lookups at a time");
    };
    let limit = query.limit.unwrap_or(NAMES_MAX).clamp(1, NAMES_MAX);
    let look = tokio::task::spawn_blocking(move || -> Result<Response, StoreError> {
        let store = place.open()?;
        let body = domain_json(&store, &name, &wanted, limit, query.after.as_deref())?;
        Ok(domain_answer(body, &headers))
    });
    match look.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => broken(&error),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the lookup failed"),
    }
}

/// Answers with a domain's history, or that the client has it.
fn domain_answer(body: String, headers: &HeaderMap) -> Response {
    // Of the answer itself: gaps and cases are in it too, which come and go without a version.
    let etag = format!("\"{:016x}\"", hash_of(&body));
    if is_known(headers, &etag) {
        return not_modified(etag);
    }
    let kind = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::ETAG, etag),
    ];
    (kind, body).into_response()
}

/// Returns a domain's history in JSON.
fn domain_json(
    store: &Store,
    name: &Name,
    wanted: &Wanted,
    limit: usize,
    after: Option<&str>,
) -> Result<String, StoreError> {
    let _reading = store.begin_reading()?;
    store.desk().ask_ahead_of_case(name)?;
    let names = store
        .lookup()
        .covered_names(name, HistoryScope::AtOrBelow, after, limit + 1)?;
    let mut history = History::default();
    store
        .lookup()
        .ask_ahead_of(names.iter().take(NAMES_AT_A_TIME), wanted)?;
    for covered in names.iter().take(limit) {
        history.add(store.lookup().history_of(covered, wanted)?);
    }
    history.sort();
    let next = (names.len() > limit).then(|| names[limit - 1].cursor());
    let json = HistoryJson {
        name: name.to_string(),
        records: history.records.iter().map(RecordJson::from).collect(),
        changes: history.changes.iter().map(ChangeJson::from).collect(),
        gaps: history.gaps.iter().map(GapJson::from).collect(),
        coarse: history.coarse.iter().map(CoarseJson::from).collect(),
        cases: Some(
            store
                .desk()
                .find_case(name)?
                .iter()
                .map(CaseJson::from)
                .collect(),
        ),
        next,
    };
    Ok(serde_json::to_string(&json).expect("a history has a JSON form") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::{Rdata, Record, Serial};
    use crate::store::{SourceKind, StoreOptions, VersionDraft, VersionKind};
    use crate::time::Timestamp;
    use crate::zone::{OwnerChange, Refusal};

    /// Returns a body whose only chunk was sent.
    async fn read(is_whole: bool) -> Result<Bytes, axum::Error> {
        let (sender, receiver) = mpsc::channel(1);
        let whole = Arc::new(AtomicBool::new(false));
        let body = body_of(receiver, Arc::clone(&whole));
        sender
            .send(Bytes::from("a line\n"))
            .await
            .expect("there is room");
        whole.store(is_whole, Ordering::Release);
        drop(sender);
        axum::body::to_bytes(body, usize::MAX).await
    }

    #[tokio::test]
    async fn answer_that_is_not_whole_does_not_end_like_one_that_is() {
        assert_eq!(read(true).await.expect("whole"), "a line\n");
        assert!(read(false).await.is_err());
    }

    #[test]
    fn answer_that_is_taken_slowly_keeps_no_state_of_the_database() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store_of_one_name(folder.path());
        let reader = Store::open_read_only(folder.path().join("f.db")).expect("opened");
        let apex = Name::parse("example").expect("sound");
        for (hours, asked) in ["a.example", "*.example", "192.0.2.1"].iter().enumerate() {
            let question = Question::parse(asked).expect("sound");
            let mut count = 0;
            let answered = each_record(&reader, &question, &Wanted::default(), |_| {
                // The client takes its time; meanwhile something is written and moved.
                count += 1;
                let now = at(hours as i64 + 1);
                store
                    .zones()
                    .record_zone_attempt(&apex, now, None)
                    .expect("noted");
                store.upkeep().checkpoint().expect("moved");
                let held = store.upkeep().log_standing().expect("a file").held_for;
                assert!(held.is_zero(), "{asked} keeps the log: {held:?}");
                true
            });
            answered.expect("read");
            assert_eq!(count, 1, "{asked}");
        }
    }

    /// Makes a database of the zone `example.`, in which `a.example.` was there from the first version on.
    fn store_of_one_name(folder: &std::path::Path) -> Store {
        let options = StoreOptions {
            reverse_index: true,
            create: true,
        };
        let store = Store::open(folder.join("f.db"), options).expect("made");
        let source = store
            .zones()
            .ensure_source("made", SourceKind::Transfer)
            .expect("made");
        let apex = Name::parse("example").expect("sound");
        let zone = store.zones().ensure_zone(&apex, source).expect("made");
        let draft = VersionDraft {
            source,
            kind: VersionKind::Baseline,
            serial: Some(Serial(1)),
            observed_at: at(0),
            joins: None,
            drift: false,
        };
        let mut tx = store.ledger().begin(&zone, draft).expect("begun");
        let record = Record {
            rdata: Rdata::A([192, 0, 2, 1].into()),
            ttl: 60,
        };
        let change = OwnerChange {
            added: vec![record],
            ..OwnerChange::default()
        };
        let name = Name::parse("a.example").expect("sound");
        tx.apply_changes(vec![crate::store::SourceChange {
            owner: name.clone(),
            change,
            baseline: true,
        }])
        .expect("applied");
        tx.commit(false).expect("committed");
        store
    }

    /// Returns a time so many hours after the first version.
    fn at(hours: i64) -> Timestamp {
        Timestamp::from_unix(1_790_000_000 + 3600 * hours)
    }

    #[test]
    fn domain_is_the_name_and_everything_below_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store_of_one_name(folder.path());
        let apex = Name::parse("example").expect("sound");
        let body = domain_json(&store, &apex, &Wanted::default(), 10, None).expect("read");
        assert!(body.contains("\"rrname\":\"a.example.\""), "{body}");
    }

    #[test]
    fn what_is_asked_for_is_read_as_it_is_pasted() {
        let read = |text: &str| match Question::parse(text) {
            Ok(Question::Names(name, scope)) => format!("{name} {scope:?}"),
            Ok(Question::Users(used)) => format!("{used:?}"),
            Err(fault) => fault,
        };
        assert_eq!(read("hxxp://bad[.]example:80/x"), "bad.example. Name");
        assert_eq!(read("*[.]bad[.]example"), "bad.example. Below");
        assert!(read("192[.]0[.]2[.]0/24").contains("192.0.2.255"));
        assert!(read("a b.example").contains("may mean more than one name"));
        assert!(read("192.0.2.0/999").contains("from 0 to 32"));
        assert!(read("2001:db8::/129").contains("from 0 to 128"));
        assert!(read("hxxp://192.0.2.1/33").contains("192.0.2.1"));
    }

    #[test]
    fn gap_makes_an_answer_that_is_known_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store_of_one_name(folder.path());
        let apex = Name::parse("example").expect("sound");
        let name = Name::parse("a.example").expect("sound");
        let answer = |headers: &HeaderMap| {
            let body = domain_json(&store, &name, &Wanted::default(), 10, None).expect("read");
            domain_answer(body, headers)
        };
        store
            .zones()
            .record_zone_attempt(&apex, at(1), None)
            .expect("noted");
        let mut headers = HeaderMap::new();
        let etag = answer(&headers).headers()[header::ETAG].clone();
        headers.insert(header::IF_NONE_MATCH, etag);
        assert_eq!(answer(&headers).status(), StatusCode::NOT_MODIFIED);
        let refusal = Refusal::Timeout("no answer".to_owned());
        store
            .zones()
            .record_zone_attempt(&apex, at(2), Some(&refusal))
            .expect("noted");
        store
            .zones()
            .record_zone_attempt(&apex, at(3), None)
            .expect("noted");
        assert_eq!(answer(&headers).status(), StatusCode::OK);
    }
}
