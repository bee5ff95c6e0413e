//! The OpenAPI 3.1 document: made from the same table that the routes are made from.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde_json::{Value, json};

use crate::web::api::desk;
use crate::web::state::WebState;

/// A parameter: its name, what it says, and its JSON schema.
type Parameter = (&'static str, &'static str, fn() -> Value);

/// An endpoint.
struct Endpoint {
    /// Its path, with parameters in braces.
    path: &'static str,
    /// What it does.
    summary: &'static str,
    /// Its name in generated clients.
    operation: &'static str,
    /// Fields of the query.
    query: &'static [Parameter],
    /// The name of the schema of its answer.
    answer: &'static str,
    /// Whether it takes a step.
    is_step: bool,
    /// Who answers.
    handler: fn() -> MethodRouter<WebState>,
}

/// A text.
fn text() -> Value {
    json!({"type": "string"})
}

/// One of the words of a level.
fn level() -> Value {
    json!({"type": "string", "enum": ["report", "review", "watch"]})
}

/// How many rows.
fn limit() -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": 1000, "default": 100})
}

const LIMIT: Parameter = ("limit", "The most rows of the answer", limit);

/// Every endpoint that the document describes.
const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/api/v1/cases",
        summary: "Lists cases, a page at a time",
        operation: "listCases",
        query: &[
            (
                "state",
                "States with commas between, or all; open and acknowledged if left out",
                text,
            ),
            ("level", "Only at this level", level),
            ("verdict", "Only with this verdict", text),
            ("zone", "Only at or below this name", text),
            ("campaign", "Only of this campaign, such as FC-3", text),
            ("assignee", "Only of this assignee; - for nobody's", text),
            (
                "older",
                "Only first detected so long ago or longer, such as 7d, or by a time",
                text,
            ),
            ("text", "Only with this text in the domain", text),
            (
                "draft",
                "Only with a draft that waits, if this is not empty",
                text,
            ),
            ("sort", "severity, last-change, first-seen or domain", text),
            ("after", "Where the page before ended: its next", text),
            LIMIT,
        ],
        answer: "CasePage",
        is_step: false,
        handler: || get(desk::cases),
    },
    Endpoint {
        path: "/api/v1/cases/{case}",
        summary: "Returns a case with its log; the ETag is what If-Match of a step has",
        operation: "showCase",
        query: &[],
        answer: "WholeCase",
        is_step: false,
        handler: || get(desk::case),
    },
    Endpoint {
        path: "/api/v1/cases/{case}/steps",
        summary: "Takes a step with a case",
        operation: "takeStep",
        query: &[],
        answer: "TakenStep",
        is_step: true,
        handler: || post(desk::step),
    },
    Endpoint {
        path: "/api/v1/status",
        summary: "Counts zones, cases, messages and drafts",
        operation: "showStatus",
        query: &[],
        answer: "Status",
        is_step: false,
        handler: || get(desk::status),
    },
    Endpoint {
        path: "/api/v1/zones",
        summary: "Lists zones",
        operation: "listZones",
        query: &[
            (
                "failed",
                "Only those that want somebody, if this is not empty",
                text,
            ),
            LIMIT,
        ],
        answer: "ZoneList",
        is_step: false,
        handler: || get(desk::zones),
    },
    Endpoint {
        path: "/api/v1/outbox",
        summary: "Lists messages that wait, were given up, or came back",
        operation: "listOutbox",
        query: &[LIMIT],
        answer: "MessageList",
        is_step: false,
        handler: || get(desk::outbox),
    },
    Endpoint {
        path: "/api/v1/exemptions",
        summary: "Lists exemptions",
        operation: "listExemptions",
        query: &[("all", "Ended ones too, if this is not empty", text), LIMIT],
        answer: "ExemptionList",
        is_step: false,
        handler: || get(desk::exemptions),
    },
    Endpoint {
        path: "/api/v1/users",
        summary: "Lists the records that led to a name server or an address",
        operation: "listUsers",
        query: &[
            ("ns", "A name server; *.NAME for any below it", text),
            ("address", "An address or a prefix", text),
            ("type", "Only of this type", text),
            ("at", "What was there at this time", text),
            ("since", "From this time on, or so long ago", text),
            ("until", "Up to this time, or so long ago", text),
            LIMIT,
        ],
        answer: "RecordList",
        is_step: false,
        handler: || get(desk::users),
    },
];

/// Returns the routes.
pub(in crate::web) fn routes() -> axum::Router<WebState> {
    ENDPOINTS
        .iter()
        .fold(axum::Router::new(), |router, endpoint| {
            router.route(endpoint.path, (endpoint.handler)())
        })
}

/// `GET /api/v1/openapi.json`.
pub(in crate::web) async fn show() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, document().to_string()).into_response()
}

/// Returns the document.
fn document() -> Value {
    let mut paths = json!({});
    for endpoint in ENDPOINTS {
        let method = if endpoint.is_step { "post" } else { "get" };
        paths[endpoint.path] = json!({method: operation(endpoint)});
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "fluxwatch",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Cases of suspected fast flux, and the steps of the desk. Times are RFC 3339 in UTC.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"user": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Made by fluxwatch tokens"},
                "user": {"type": "http", "scheme": "basic", "description": "A user of the console"},
            },
            "schemas": schemas(),
        },
    })
}

/// Returns what the document says of an endpoint.
fn operation(endpoint: &Endpoint) -> Value {
    let query = endpoint.query.iter().map(|(name, what, schema)| {
        json!({"name": name, "in": "query", "required": false, "description": what, "schema": schema()})
    });
    let mut parameters: Vec<Value> = query.collect();
    if endpoint.path.contains("{case}") {
        parameters.push(
            json!({"name": "case", "in": "path", "required": true, "schema": text(),
                               "description": "FW-000012, its number, or the domain"}),
        );
    }
    let problem = |what: &str| json!({"description": what, "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}});
    let schema = format!("#/components/schemas/{}", endpoint.answer);
    let mut responses = json!({
        "200": {"description": "Done", "content": {"application/json": {"schema": {"$ref": schema}}}},
        "400": problem("What was sent cannot be meant"),
        "401": problem("Nobody enters with this"),
        "404": problem("It is not there"),
        "429": problem("Too many wrong tokens or passwords"),
        "501": problem("The database keeps no index for this"),
        "503": problem("The database cannot be used now"),
    });
    let mut operation = json!({"operationId": endpoint.operation, "summary": endpoint.summary});
    if endpoint.is_step {
        for (name, is_needed, what) in [
            (
                "If-Match",
                true,
                "The ETag of the case that was decided on, or *",
            ),
            (
                "Idempotency-Key",
                false,
                "Sent again with the same key, a step is taken once",
            ),
        ] {
            parameters.push(
                json!({"name": name, "in": "header", "required": is_needed, "description": what,
                                   "schema": {"type": "string", "minLength": 1, "maxLength": 200}}),
            );
        }
        for (status, what) in [
            ("403", "The role does not do this"),
            ("408", "The body took too long to arrive"),
            ("409", "The case's state does not have this step"),
            ("412", "The case changed since"),
            ("413", "The body is too large"),
            ("415", "The body is not JSON"),
            ("428", "If-Match is missing"),
        ] {
            responses[status] = problem(what);
        }
        operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Step"}}}});
    }
    operation["parameters"] = json!(parameters);
    operation["responses"] = responses;
    operation
}

/// Returns the schemas.
fn schemas() -> Value {
    let list = |name: &str, of: &str| {
        let schema = format!("#/components/schemas/{of}");
        json!({"type": "object", "required": [name], "properties": {name: {"type": "array", "items": {"$ref": schema}}}})
    };
    let time = || json!({"type": "string", "format": "date-time"});
    let or_null = |mut schema: Value| {
        schema["type"] = json!([schema["type"].clone(), "null"]);
        schema
    };
    let maybe = || or_null(text());
    let case = json!({
        "id": {"type": "integer"}, "domain": text(), "zone": text(), "verdict": text(), "level": level(), "peak_level": level(),
        "state": {"type": "string", "enum": ["open", "acknowledged", "dismissed", "mitigated", "closed"]},
        "score": {"type": "number", "minimum": 0, "maximum": 100}, "first_detected_at": time(), "last_change_at": time(),
        "due_at": or_null(time()),
        "campaign": maybe(), "attack": {"type": "array", "items": text()}, "assignee": maybe(), "dismissed_as": maybe(),
        "told_at": or_null(time()), "held": maybe(),
    });
    let mut whole = case.clone();
    whole["reference"] = text();
    whole["evaluated_at"] = time();
    whole["log"] = json!({"type": "array", "items": {"$ref": "#/components/schemas/LogLine"}});
    let count = || json!({"type": "integer", "minimum": 0});
    let object = |properties: Value| {
        let names: Vec<&String> = properties
            .as_object()
            .into_iter()
            .flat_map(|it| it.keys())
            .collect();
        json!({"type": "object", "required": names, "properties": properties})
    };
    let counts = || json!({"type": "object", "additionalProperties": {"type": "integer"}});
    let page = json!({"cases": {"type": "array", "items": {"$ref": "#/components/schemas/Case"}}, "next": maybe()});
    json!({
        "Case": object(case),
        "WholeCase": object(whole),
        "CasePage": object(page),
        "LogLine": object(json!({"at": time(), "written_at": or_null(time()), "who": text(), "from": maybe(), "to": text(), "note": text()})),
        "Step": {"type": "object", "required": ["step"], "additionalProperties": false, "properties": {
            "step": {"type": "string", "enum": ["ack", "note", "reopen", "close", "assign", "dismiss"]}, "note": maybe(),
            "reason": maybe(), "to": maybe(), "mitigated": {"type": "boolean"}}},
        "TakenStep": object(json!({"reference": text(), "state": text(), "note": text(), "ending": maybe()})),
        "Status": object(json!({"version": text(), "zones": count(), "zones_failed": count(), "zones_held": count(),
                                "cases": counts(), "messages": counts(), "drafts": count()})),
        "ZoneList": list("zones", "Zone"),
        "Zone": object(json!({"zone": maybe(), "source": text(), "source_kind": text(), "serial": or_null(count()), "records": count(),
                              "last_success_at": or_null(time()), "last_attempt_at": or_null(time()), "lag_s": or_null(json!({"type": "integer"})),
                              "refused_reason": maybe(), "last_error": maybe(), "held": {"type": "boolean"}})),
        "MessageList": list("messages", "Message"),
        "Message": object(json!({"id": count(), "case": maybe(), "kind": text(), "recipient": text(), "subject": text(), "state": text(),
                                 "attempts": count(), "queued_at": time(), "next_attempt_at": time(), "last_reply": maybe()})),
        "ExemptionList": list("exemptions", "Exemption"),
        "Exemption": object(json!({"id": count(), "kind": text(), "value": text(), "reason": text(), "author": text(),
                                   "created_at": time(), "until": or_null(time()), "in_force": {"type": "boolean"}})),
        "RecordList": object(json!({"records": {"type": "array", "items": {"$ref": "#/components/schemas/Record"}}, "has_more": {"type": "boolean"}})),
        "Record": {"type": "object", "required": ["rrname", "rrtype", "rdata", "zone", "added_at"], "properties": {
            "rrname": text(), "rrtype": text(), "rdata": text(), "zone": text(), "added_at": time(), "removed_at": or_null(time())}},
        "Problem": {"type": "object", "required": ["title", "status", "detail"], "properties": {
            "title": text(), "status": {"type": "integer"}, "detail": text()}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_document_leads_to_a_schema() {
        let document = document();
        let text = document.to_string();
        let schemas = document["components"]["schemas"]
            .as_object()
            .expect("schemas");
        let references = text.split("#/components/schemas/").skip(1);
        for reference in references {
            let name = reference.split('"').next().unwrap_or_default();
            assert!(schemas.contains_key(name), "{name}");
        }
        assert_eq!(
            document["paths"].as_object().map(serde_json::Map::len),
            Some(ENDPOINTS.len())
        );
    }
}
