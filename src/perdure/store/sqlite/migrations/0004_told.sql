-- A cancel is told once: until the run has ended its request stays, so that a repeat finds it.

alter table requests add column told_at integer;
