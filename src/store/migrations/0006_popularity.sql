-- How many names use a name server, or any name server of an operator, by the day of their last NS change: a
-- function of record and nameserver_cut that every version keeps up (docs/detection.md, "Popularity").

alter table host add column operator_id integer;     -- host.id of its operator domain, the registrable one or itself; null: no name outside its own has used it

create table popularity (
    user_of integer not null,            -- host.id of a name server; negative: of an operator domain
    day integer not null,                -- of the users' last NS change, in days since 1970; 0: none since watching began
    count integer not null check (count > 0),
    primary key (user_of, day)
) strict, without rowid;

-- The day on which an owner last lost a name server, where that is later than any of those that it has.
create table nameserver_cut (
    owner_id integer primary key,
    day integer not null
) strict;
