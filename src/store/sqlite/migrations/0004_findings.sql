-- What findings need beyond the history: since when a report is held, and which cases are due.

alter table abuse_case add column pending_since_at integer;   -- a report is held since then until it is confirmed; null: none is
alter table abuse_case add column reported integer not null default 0 check (reported in (0, 1));   -- the desk was told since it opened (again)
update abuse_case set reported = revision > 0;
-- Finds the cases whose next judgement is due.
create index case_due on abuse_case (evaluated_at) where state in ('open', 'acknowledged');
-- Cases that share rare name servers or addresses are one campaign, named by the number of its first case.
alter table abuse_case add column campaign_id integer;
create index case_by_campaign on abuse_case (campaign_id) where campaign_id is not null;

-- What the findings of a case rest on and another case may share: rare name servers (host.id), addresses.
create table case_trait (
    kind text not null check (kind in ('host', 'address')),
    value any not null,
    case_id integer not null references abuse_case (id),
    primary key (kind, value, case_id)
) strict, without rowid;
create index case_trait_by_case on case_trait (case_id);
