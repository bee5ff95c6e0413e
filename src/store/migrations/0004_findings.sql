-- What findings need beyond the history: since when a report is held, and which cases are due.

alter table abuse_case add column pending_since_at integer;   -- a report is held since then until it is confirmed; null: none is
-- Finds the cases whose next judgement is due.
create index case_due on abuse_case (evaluated_at) where state in ('open', 'acknowledged');
