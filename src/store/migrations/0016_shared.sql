-- Owners that moved together in a version, packed: a row for each of them took more than anything else of what changed.
-- docs/reference/schema.md, "shared_change". The program packs the rows of old_shared_change and drops it in the same
-- transaction.

alter table shared_change rename to old_shared_change;
create table shared_change (
    version_id integer not null,
    owner_id integer not null,           -- the first of a part of at most 256
    octets blob not null,
    primary key (version_id, owner_id)
) strict, without rowid;
