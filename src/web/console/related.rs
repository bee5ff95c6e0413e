//! What else is known of names that have something in common with a case: its campaign, its name servers, its account.

use serde_json::{Value, json};

use crate::case::campaign_reference;
use crate::desk::DeskError;
use crate::dns::Name;
use crate::pipeline::Pipeline;
use crate::report::case_reference;
use crate::store::{CaseRow, QueueFilter, QueueOrder};
use crate::web::console::words;

/// The most related cases and names of a kind that are listed.
const LISTED_MAX: usize = 50;
/// The most names on the name servers of a case, and of an account, that are looked at.
const NAMES_MAX: usize = 500;

/// Returns what else is known.
pub(in crate::web::console) fn related(desk: &Pipeline, row: &CaseRow) -> Result<Value, DeskError> {
    Ok(json!({
        "campaign": campaign(desk, row)?,
        "sharing": sharing(desk, row)?,
        "neighbours": neighbours(desk, row)?,
        "account": account(desk, row)?,
    }))
}

/// Returns how a list names a case.
fn case_line(row: &CaseRow) -> Value {
    json!({"reference": case_reference(row.id), "domain": words::name(&row.case.domain),
           "level": row.case.level.word(), "state": row.case.state.word()})
}

/// Returns the other cases of the campaign.
fn campaign(desk: &Pipeline, row: &CaseRow) -> Result<Value, DeskError> {
    let Some(campaign) = row.campaign else {
        return Ok(Value::Null);
    };
    let store = desk.store();
    let filter = QueueFilter {
        campaign: Some(campaign),
        ..QueueFilter::default()
    };
    let order = QueueOrder::Severity;
    let page = store.desk().queue_page(&filter, order, None, LISTED_MAX)?;
    let others = page.rows.iter().filter(|it| it.id != row.id);
    Ok(json!({
        "reference": campaign_reference(campaign),
        "size": store.desk().campaign_size(campaign)?,
        "cases": others.map(case_line).collect::<Vec<_>>(),
    }))
}

/// Returns the cases beside the campaign's that rest on the same name servers.
fn sharing(desk: &Pipeline, row: &CaseRow) -> Result<Value, DeskError> {
    let store = desk.store();
    let mut lines = Vec::new();
    for (id, shared) in store.desk().cases_sharing_hosts(row.id)? {
        if lines.len() == LISTED_MAX {
            break;
        }
        let Some(other) = store.desk().case_by_id(id)? else {
            continue;
        };
        if row.campaign.is_none() || other.campaign != row.campaign {
            let mut line = case_line(&other);
            line["shared"] = json!(shared);
            lines.push(line);
        }
    }
    Ok(json!(lines))
}

/// Returns the names on the same name servers now that nobody suspects. Without the reverse index none: finding them
/// would take a pass over all records.
fn neighbours(desk: &Pipeline, row: &CaseRow) -> Result<Value, DeskError> {
    let store = desk.store();
    if !store.has_reverse_index() {
        return Ok(names_listed(&[]));
    }
    let hosts = store.desk().hosts_of_case(row.id)?;
    let users = store.lookup().users_by_host(&hosts, NAMES_MAX)?;
    let mut names = users.into_values().flat_map(|it| it.names).collect();
    store.desk().leave_out_suspects(&mut names)?;
    names.remove(&row.case.domain);
    let names: Vec<Name> = names.into_iter().collect();
    Ok(names_listed(&names))
}

/// Returns the other domains of the account, each with its case if there is one. The account itself is not told.
fn account(desk: &Pipeline, row: &CaseRow) -> Result<Value, DeskError> {
    let registration = desk.notify().registration_of(&row.case.domain);
    let Some(account) = registration.and_then(|it| it.account) else {
        return Ok(Value::Null);
    };
    let mut domains = desk.notify().domains_of_account(&account, NAMES_MAX);
    domains.retain(|domain| *domain != row.case.domain);
    let mut cases = Vec::new();
    for domain in &domains {
        cases.extend(desk.store().desk().find_case(domain)?);
    }
    domains.retain(|domain| cases.iter().all(|case| case.case.domain != *domain));
    cases.truncate(LISTED_MAX);
    let mut says = names_listed(&domains);
    says["cases"] = json!(cases.iter().map(case_line).collect::<Vec<_>>());
    Ok(says)
}

/// Returns how many names there are, and the first ones.
fn names_listed(names: &[Name]) -> Value {
    let listed = names.iter().take(LISTED_MAX).map(words::name);
    json!({"count": names.len(), "names": listed.collect::<Vec<_>>()})
}
