-- What people want of runs that somebody else owns, and generations beyond the first.

create table requests (
    namespace text not null,
    run_id text not null,
    kind text not null check (kind in ('cancel', 'pause')),
    arrived_at integer not null,        -- after every signal that was in the inbox before it
    grace integer,                      -- of a cancel: microseconds its code has to clean up
    primary key (namespace, run_id, kind)
) strict, without rowid;

create table generations (
    namespace text not null,
    run_id text not null,
    generation integer not null,        -- from 1 on: generation 0 has no row
    reason text not null check (reason in ('continue', 'retry')),
    base_generation integer,            -- whose history it shares up to base_position; null: none
    base_position integer not null,     -- its own records come after this position
    key_generation integer not null,    -- the generation in the idempotency keys of its steps
    input blob,                         -- null: that of the run
    checksum integer not null,          -- over all that stands before
    opened_at integer not null,
    primary key (namespace, run_id, generation)
) strict, without rowid;
