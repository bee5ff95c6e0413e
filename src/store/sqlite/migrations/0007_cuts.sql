-- Schema 6 began without the weeks in which owners had lost a name server before it: such owners counted as
-- unchanged for up to five weeks. The program notes them and counts anew.
select 1;
