-- Runs, their histories, what waits for them, what people want of them, and the workers that own them.
-- Times are microseconds since 1970 in UTC, by the clock of the database.
-- Keys are compared byte by byte, as Python and SQLite compare them, whatever the locale of the database.

create table if not exists perdure.runs (
    namespace text collate "C" not null,
    id text collate "C" not null,
    workflow text collate "C" not null,
    state text collate "C" not null check (state in ('pending', 'running', 'waiting', 'paused', 'quarantined', 'completed', 'failed', 'cancelled')),
    generation bigint not null,
    input bytea not null,
    input_hash bytea not null,
    seed bytea not null,
    checksum bigint not null,           -- over workflow, input, input_hash and seed, which never change
    python text collate "C",            -- the minor that claimed it first
    only_python text collate "C" not null, -- the minor it replays on; '' for any
    created_at bigint not null,
    ended_at bigint,
    owner text collate "C",             -- the incarnation of the worker that holds it
    wake_at bigint,                     -- when it may be claimed; null: not before something happens
    issued bigint not null,
    reached bigint not null,            -- the last record whose activation was over when the run was put down
    wishes bigint not null,             -- how often what people want of it has changed: a checkpoint that did not see it begins anew
    fencing bigint not null,            -- grows with each claim, whatever the clock says; 0: not claimed since
    note bytea,
    waiting_for bytea,
    error bytea,
    primary key (namespace, id),
    check ((owner is not null) = (state = 'running')),
    check (wake_at is null or state in ('pending', 'waiting')),
    check ((ended_at is not null) = (state in ('completed', 'failed', 'cancelled')))
);

create table if not exists perdure.history (
    namespace text collate "C" not null,
    run_id text collate "C" not null,
    generation bigint not null,
    position bigint not null,
    at bigint not null,
    kind text not null,
    name text not null,
    command bigint,
    digest bytea,
    input bytea,
    output bytea,
    error bytea,
    attempt bigint not null,
    checksum bigint not null,           -- over everything from position on
    primary key (namespace, run_id, generation, position)
);

create table if not exists perdure.generations (
    namespace text collate "C" not null,
    run_id text collate "C" not null,
    generation bigint not null,         -- from 1 on: generation 0 has no row
    reason text not null check (reason in ('continue', 'retry')),
    base_generation bigint,             -- whose history it shares up to base_position; null: none
    base_position bigint not null,      -- its own records come after this position
    key_generation bigint not null,     -- the generation in the idempotency keys of its steps
    input bytea,                        -- null: that of the run
    checksum bigint not null,           -- over all that stands before
    opened_at bigint not null,
    primary key (namespace, run_id, generation)
);

create table if not exists perdure.outdated (
    namespace text collate "C" not null,
    run_id text collate "C" not null,
    generation bigint not null,         -- histories of generations below this one are forgotten, a page at a time
    primary key (namespace, run_id)
);

create table if not exists perdure.attempts (
    namespace text collate "C" not null,
    run_id text collate "C" not null,
    command bigint not null,
    name text not null,
    digest bytea not null,
    failures bigint not null,
    began_at bigint not null,
    next_at bigint,
    error bytea,
    intent text collate "C",            -- the incarnation that was about to run it
    primary key (namespace, run_id, command)
);

create table if not exists perdure.inbox (
    namespace text collate "C" not null,
    run_id text collate "C" not null,
    number bigint not null,             -- in order of arrival; sends that overlap may have the same
    arrived_at bigint not null,         -- grows with the number
    id text collate "C" not null,
    topic text not null,
    payload bytea not null,
    checksum bigint,                    -- over run, id, topic and payload (the others are given by the database); null: unknown
    primary key (namespace, run_id, number, id)
);

create table if not exists perdure.signal_keys (
    namespace text collate "C" not null,
    run_id text collate "C" not null,
    key text collate "C" not null,      -- 'key:…' as the sender chose it, or 'id:…' of a signal without one
    sent_at bigint,                     -- null: in the first generation of its run; such a key is kept as long as the run
    primary key (namespace, run_id, key)
);

create table if not exists perdure.requests (
    namespace text collate "C" not null,
    run_id text collate "C" not null,
    kind text collate "C" not null check (kind in ('cancel', 'pause')),
    arrived_at bigint not null,         -- after every signal that was in the inbox before it
    grace bigint,                       -- of a cancel: microseconds its code has to clean up
    told_at bigint,                     -- a cancel is told once; its row stays until the run has ended, so that a repeat finds it
    primary key (namespace, run_id, kind)
);

create table if not exists perdure.workers (
    namespace text collate "C" not null,
    incarnation text collate "C" not null,
    host text not null,
    boot text not null,
    pid bigint not null,
    lock text not null,
    workflows text not null,            -- a JSON list
    python text not null,
    state text collate "C" not null check (state in ('live', 'dead')),
    checkpoint bigint not null,
    expires_at bigint not null,
    started_at bigint not null,
    primary key (namespace, incarnation)
);

create table if not exists perdure.suspects (
    namespace text collate "C" not null,
    run_id text collate "C" not null,
    strikes bigint not null,            -- deaths of a process while this run's code was executing, since its last progress
    primary key (namespace, run_id)
);

create table if not exists perdure.troubles (
    namespace text collate "C" not null,
    run_id text collate "C" not null,
    kind text collate "C" not null check (kind in ('failed', 'quarantined', 'stranded')),
    at bigint not null,                 -- since when
    tries bigint not null,              -- how often telling it was begun
    next_at bigint,                     -- when it may be told; null: it was told (rows of stranded runs stay until they are not)
    primary key (namespace, run_id)
);
