-- Of which runs somebody is to be told: they failed, were quarantined, or are stranded. Written in the transaction that brought the trouble.

create table troubles (
    namespace text not null,
    run_id text not null,
    kind text not null check (kind in ('failed', 'quarantined', 'stranded')),
    at integer not null,                -- since when
    tries integer not null,             -- how often telling it was begun
    next_at integer,                    -- when it may be told; null: it was told (rows of stranded runs stay until they are not)
    primary key (namespace, run_id)
) strict, without rowid;

create index troubles_due on troubles (namespace, next_at) where next_at is not null;
