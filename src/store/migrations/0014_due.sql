-- A change that comes soon after its case was judged is left for some minutes. The case says by when it is judged, whether
-- another change comes or not.

alter table abuse_case add column due_at integer;   -- event time; null: no change was left
create index case_left on abuse_case (due_at) where due_at is not null;
