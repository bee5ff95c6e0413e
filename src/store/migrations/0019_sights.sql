-- Since when it was known that a zone cannot be seen: what moved before that was held against its domains, and stays so. And
-- whether what moved while a zone was not seen was judged once it was seen again.

alter table zone add column failed_at integer;   -- the first attempt that failed since the last success; null: none
alter table gap add column known_at integer;     -- since when it was known that the zone is not seen; null: from the beginning
alter table gap add column judged integer not null default 1 check (judged in (0, 1));
create index gap_to_judge on gap (zone_id) where judged = 0;
