-- How far the code of a run is known to have come, and which histories nobody will ask for any more.

alter table runs add column reached integer not null default 0; -- the last record whose activation was over when the run was put down

create table outdated (
    namespace text not null,
    run_id text not null,
    generation integer not null,        -- histories of generations below this one are forgotten, a page at a time
    primary key (namespace, run_id)
) strict, without rowid;

alter table signal_keys add column sent_at integer; -- null: in the first generation of its run; such a key is kept as long as the run

create index signal_keys_ageing on signal_keys (namespace, run_id, sent_at) where sent_at is not null;
