-- Differences between a state that was followed by steps and the primary's own zone, and versions between two that
-- arrived. Nothing is known of either for versions from before this.
alter table version add column drift integer not null default 0 check (drift in (0, 1));  -- 1: an earlier version lost it on its way; nobody is accused
alter table version add column missed_max integer check (missed_max >= 0);  -- at most so many versions between it and the one before did not arrive; 0: an unknown number; null: none
alter table zone add column whole_at integer;            -- when the whole zone was last transferred and compared
alter table zone add column whole_tried_at integer;      -- when that was last due and failed
alter table zone add column stepped integer not null default 0 check (stepped in (0, 1, 2));  -- 0: the state came whole; 1: steps led on from there; 2: they left a CNAME beside another record, and the whole zone is due
alter table zone add column drift_at integer;            -- when a difference was last found
alter table zone add column drift_primary text;          -- the primary whose zone it was compared with
alter table zone add column drift_count integer not null default 0;       -- how often one was found
alter table zone add column drift_name_count integer not null default 0;  -- names that differed, TTLs included, summed
alter table zone add column missed_count integer not null default 0;      -- the sum of missed_max
alter table zone add column missed_unknown_count integer not null default 0;  -- versions before which an unknown number is missed
-- The drifts of a zone within some days.
create index version_drift on version (zone_id, observed_at) where drift = 1;
-- The last success of a transfer is the best guess: whole transfers of many zones must not all be due at once. Whether steps led to the
-- state is not known; perhaps they did.
update zone set whole_at = last_success_at, stepped = 1 where source_id in (select id from source where kind in ('transfer', 'catalog'));
