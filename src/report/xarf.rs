//! `xarf.json`: a report in XARF v4 (specification level 4.2.0). Pure.
//!
//! `content/suspicious_registration` with the indicator `fast_flux` where the registration date is known,
//! else `reputation/threat_intelligence`, which asks for none. Names are never defanged here: machines
//! read them. The schema's pattern of `domain` refuses A-labels, so an internationalised name stands in
//! `source_identifier` and `url` only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::count::counted;
use crate::detector::{Finding, Level, Plane, PlaneFinding, Verdict};
use crate::dns::Name;
use crate::evidence::hash_octets;
use crate::report::desk::began_at;
use crate::report::{RelatedLine, Reporter};
use crate::time::Timestamp;

/// The most related domains (the schema's limit).
const RELATED_MAX: usize = 20;
/// The most octets of a description (the schema's limit is 1000 characters).
const DESCRIPTION_MAX: usize = 900;
/// The most that a score counts for.
const CONFIDENCE_MAX: f64 = 95.0;
/// The most addresses of each family.
const ADDRESSES_MAX: usize = 100;

/// What a XARF report says beside the finding.
#[derive(Debug, Clone, Copy)]
pub struct XarfFacts<'a> {
    /// The mail's Message-ID: the report's id is made of it.
    pub message_id: &'a str,
    /// `FW-000012`.
    pub reference: &'a str,
    /// Who reports.
    pub reporter: &'a Reporter,
    /// The domain of the reporter's own address.
    pub reporter_domain: &'a str,
    /// When it is reported.
    pub at: Timestamp,
    /// Event time of the first finding.
    pub first_detected_at: Timestamp,
    /// When the domain was registered, if that is known.
    pub registered_at: Option<Timestamp>,
    /// The sponsoring registrar, if it is known.
    pub registrar: Option<&'a str>,
    /// Others of its campaign.
    pub related: &'a [RelatedLine],
    /// `evidence.csv`.
    pub evidence_csv: &'a [u8],
}

/// Returns the report's id: a UUID (RFC 9562 version 8) of a Message-ID.
pub fn report_id(message_id: &str) -> String {
    let hash = hash_octets(message_id.as_bytes()).0;
    let first = std::array::from_fn(|i| hash[i]);
    Uuid::new_v8(first).to_string()
}

/// Returns the octets of `xarf.json`.
pub fn xarf(finding: &Finding, facts: &XarfFacts<'_>) -> Vec<u8> {
    let domain = finding.domain.to_text_without_dot();
    let who = json!({
        "org": facts.reporter.org,
        "contact": facts.reporter.contact,
        "domain": facts.reporter_domain,
    });
    // Indicators are never certain.
    let confidence = finding.score.clamp(0.0, CONFIDENCE_MAX).round() / 100.0;
    let mut report = Map::new();
    let mut put = |key: &str, value: Value| report.insert(key.to_owned(), value);
    put("xarf_version", json!("4.2.0"));
    put("report_id", json!(report_id(facts.message_id)));
    put("timestamp", json!(facts.at.to_string()));
    put("reporter", who.clone());
    put("sender", who);
    put("source_identifier", json!(domain));
    put("evidence_source", json!("authoritative_zone_history"));
    // No `confidence`: it is a number from 0 to 1 in the schema and a whole one in the reference library
    // (xarf 1.0.0, models.py), which then returns neither the report nor an error. Every reader finds it in
    // the description and the tags.
    put("description", json!(description(finding, confidence)));
    match facts.registered_at {
        Some(registered_at) => {
            let days = facts.at.since(registered_at).as_seconds().max(0) / 86_400;
            put("category", json!("content"));
            put("type", json!("suspicious_registration"));
            put("url", json!(format!("http://{domain}/")));
            put("registration_date", json!(registered_at.to_string()));
            put("days_since_registration", json!(days));
            put("suspicious_indicators", json!(["fast_flux"]));
            put("risk_score", json!(confidence));
            put("predicted_usage", json!(["unknown"]));
            if fits_domain(&finding.domain) {
                put("domain", json!(domain));
            }
            if let Some(registrar) = facts.registrar {
                put("registrar", json!(registrar));
            }
            // It says no state of each: only those are named that are suspected now.
            let related = facts.related.iter();
            let mut related = related.filter(|it| it.is_suspected).peekable();
            if related.peek().is_some() {
                let related = related.take(RELATED_MAX);
                let related: Vec<Value> = related
                    .map(|it| json!({"domain": it.domain, "relationship": "same_campaign"}))
                    .collect();
                put("related_domains", Value::Array(related));
            }
        }
        None => {
            put("category", json!("reputation"));
            put("type", json!("threat_intelligence"));
            put("threat_type", json!(threat_type(finding.verdict)));
        }
    }
    put("nameservers", nameservers(finding));
    put("dns_records", addresses(finding));
    put("verified_at", json!(finding.now.to_string()));
    // As the text has it: the first change that counts is before the detection.
    let first_seen = began_at(finding).map_or(facts.first_detected_at, |at| {
        at.min(facts.first_detected_at)
    });
    put("first_seen", json!(first_seen.to_string()));
    put("last_seen", json!(finding.last_change_at.to_string()));
    put("case_ref", json!(facts.reference));
    put("tags", tags(finding, confidence));
    put(
        "evidence",
        json!([{
            "content_type": "text/csv",
            "description": "every change of the last 7 days: one row a record that came or went, UTC",
            "payload": STANDARD.encode(facts.evidence_csv),
            "hash": format!("sha256:{}", hash_octets(facts.evidence_csv)),
            "size": facts.evidence_csv.len(),
        }]),
    );
    serde_json::to_vec_pretty(&Value::Object(report)).unwrap_or_default()
}

/// Returns what is alleged, in one sentence of less than 1000 characters.
fn description(finding: &Finding, confidence: f64) -> String {
    // Of a plane that has not changed there is nothing to say.
    let has_changed = |it: &&PlaneFinding| it.change_counts[2] > 0;
    let is_any = finding.planes().any(|it| has_changed(&it));
    let planes = finding.planes().filter(|it| !is_any || has_changed(it));
    let counts = planes.map(|plane| {
        let values = match plane.plane {
            Plane::Aliases => counted(plane.names.len(), "target"),
            Plane::Nameservers | Plane::Addresses => counted(plane.addresses.len(), "address"),
        };
        let what = match plane.plane {
            Plane::Aliases => "alias",
            Plane::Nameservers => "name servers",
            Plane::Addresses => "addresses",
        };
        format!(
            "{what} of {}: {} in 7 days, {values}",
            plane.owner.to_text_without_dot().replace('.', "[.]"),
            counted(plane.change_counts[2], "change"),
        )
    });
    let text = format!(
        "Suspected fast flux ({}), MITRE ATT&CK T1568.001, confidence {confidence:.2}. {}. DNS abuse class not established. Addresses may belong to compromised or uninvolved third parties.",
        finding.verdict.word(),
        counts.collect::<Vec<_>>().join("; ")
    );
    // The schema refuses a longer one, and with it the report.
    text.chars().take(DESCRIPTION_MAX).collect()
}

/// Returns the type of threat where no registration date is known.
fn threat_type(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::DoubleFlux => "double_flux",
        Verdict::NsFlux => "nameserver_flux",
        Verdict::SingleFlux => "fast_flux",
    }
}

/// Returns whether a name fits the schema's pattern of `domain`: letters, digits and single hyphens, and a
/// last label of letters.
fn fits_domain(name: &Name) -> bool {
    let text = name.to_text_without_dot();
    let fits = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && !label.contains("--")
            && label
                .bytes()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.contains('.')
        && text.split('.').all(fits)
        && last.len() >= 2
        && last.bytes().all(|it| it.is_ascii_lowercase())
}

/// Returns the name servers that are there now.
fn nameservers(finding: &Finding) -> Value {
    let planes = finding.nameservers.iter();
    let names = planes.flat_map(|plane| plane.names.iter().filter(|it| it.present));
    json!(
        names
            .map(|it| it.host.to_text_without_dot())
            .collect::<Vec<_>>()
    )
}

/// Returns the addresses that are there now: the domain's own, else those of its name servers.
fn addresses(finding: &Finding) -> Value {
    let plane = finding.addresses.as_ref().or(finding.nameservers.as_ref());
    let present = || {
        plane
            .iter()
            .flat_map(|plane| plane.addresses.iter().filter(|it| it.present))
    };
    let of = |v4: bool| -> Vec<String> {
        let family = present().filter(|it| it.address.is_ipv4() == v4);
        family
            .take(ADDRESSES_MAX)
            .map(|it| it.address.to_string())
            .collect()
    };
    json!({"a": of(true), "aaaa": of(false)})
}

/// Returns tags in the schema's pattern: no dots. The confidence is in per cent.
fn tags(finding: &Finding, confidence: f64) -> Value {
    let kind = match finding.verdict {
        Verdict::DoubleFlux => "dns:double_flux",
        Verdict::NsFlux => "dns:ns_flux",
        Verdict::SingleFlux => "dns:single_flux",
    };
    let severity = match finding.level {
        Level::Report => "severity:high",
        Level::Review => "severity:medium",
        Level::Watch => "severity:low",
    };
    let confidence = format!("confidence:{:.0}", confidence * 100.0);
    json!([kind, "mitre:t1568-001", severity, confidence, "tlp:amber"])
}

/// Checks what no schema checks: that every payload is base64 without line breaks, and that its hash and
/// size are those of the octets.
///
/// # Errors
///
/// A sentence that names the item.
pub fn check_xarf(octets: &[u8]) -> Result<(), String> {
    let report: Value = serde_json::from_slice(octets).map_err(|fault| fault.to_string())?;
    let items = report["evidence"].as_array().cloned().unwrap_or_default();
    for (i, item) in items.iter().enumerate() {
        let payload = item["payload"].as_str().unwrap_or_default();
        let decoded = STANDARD
            .decode(payload)
            .map_err(|fault| format!("evidence {i}: payload is not base64: {fault}"))?;
        let hash = format!("sha256:{}", hash_octets(&decoded));
        if item["hash"] != json!(hash) {
            return Err(format!("evidence {i}: the hash is not {hash}"));
        }
        if item["size"] != json!(decoded.len()) {
            return Err(format!("evidence {i}: the size is not {}", decoded.len()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_schema_refuses_are_left_out() {
        for (name, wanted) in [
            ("flux-test.example", true),
            ("xn--bcher-kva.example", false),
            ("example.xn--p1ai", false),
            ("a_b.example", false),
            ("a--b.example", false),
            ("example", false),
        ] {
            assert_eq!(
                fits_domain(&Name::parse(name).expect("valid")),
                wanted,
                "{name}"
            );
        }
    }

    #[test]
    fn ids_are_uuids_and_the_same_each_time() {
        let id = report_id("<a@b.example>");
        assert_eq!((id.len(), &id[14..15]), (36, "8"));
        assert_eq!(id, report_id("<a@b.example>"));
        assert_ne!(id, report_id("<b@b.example>"));
    }

    #[test]
    fn wrong_hashes_sizes_and_payloads_are_found() {
        let item = |payload: &str, hash: &str, size: u32| {
            json!({"evidence": [{"payload": payload, "hash": hash, "size": size}]})
                .to_string()
                .into_bytes()
        };
        let hash = format!("sha256:{}", hash_octets(b"abc"));
        assert_eq!(check_xarf(&item("YWJj", &hash, 3)), Ok(()));
        assert!(check_xarf(&item("YWJj", &hash, 4)).is_err());
        assert!(check_xarf(&item("YWJk", &hash, 3)).is_err());
        assert!(check_xarf(&item("YW\nJj", &hash, 3)).is_err());
    }
}
