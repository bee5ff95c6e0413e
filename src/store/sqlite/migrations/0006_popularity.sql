-- How many names use a name server, or any name server of an operator, by the week of their last NS change: a
-- function of record and nameserver_cut that every version keeps up (docs/detection.md, "Benign checks").

alter table host add column operator_id integer;     -- host.id of its operator domain, the registrable one or itself; null: no name outside its own has used it

create table popularity (
    user_of integer not null,            -- host.id of a name server; negative: of an operator domain
    week integer not null,               -- of the users' last NS change, in weeks since 1970-01-01; 0: none since watching began
    count integer not null,
    primary key (user_of, week)
) strict, without rowid;

-- What came to nothing within a version, which deletes it.
create index popularity_nothing on popularity (count) where count = 0;

-- The week in which an owner last lost a name server, where that is later than any of those that it has.
create table nameserver_cut (
    owner_id integer primary key,
    week integer not null
) strict;
