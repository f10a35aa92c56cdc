-- Runs, their histories, what waits for them, and the workers that own them.
-- Times are microseconds since 1970 in UTC; expires_at counts microseconds since the boot of the worker's host.

pragma application_id = 1885631858; -- 'pdur': the file says that it is a store of perdure

create table runs (
    namespace text not null,
    id text not null,
    workflow text not null,
    state text not null check (state in ('pending', 'running', 'waiting', 'paused', 'quarantined', 'completed', 'failed', 'cancelled')),
    generation integer not null,
    input blob not null,
    input_hash blob not null,
    seed blob not null,
    checksum integer not null,          -- over workflow, input, input_hash and seed, which never change
    python text,                        -- the minor that claimed it first
    only_python text not null,          -- the minor it replays on; '' for any
    created_at integer not null,
    ended_at integer,
    owner text,                         -- the incarnation of the worker that holds it
    wake_at integer,                    -- when it may be claimed; null: not before something happens
    issued integer not null,
    note blob,
    waiting_for blob,
    error blob,
    primary key (namespace, id),
    check ((owner is not null) = (state = 'running')),
    check (wake_at is null or state in ('pending', 'waiting')),
    check ((ended_at is not null) = (state in ('completed', 'failed', 'cancelled')))
) strict, without rowid;

create index runs_due on runs (namespace, workflow, only_python, wake_at) where wake_at is not null;
create index runs_owned on runs (namespace, owner, workflow) where owner is not null;
create index runs_listed on runs (namespace, created_at, id);

create table history (
    namespace text not null,
    run_id text not null,
    generation integer not null,
    position integer not null,
    at integer not null,
    kind text not null,
    name text not null,
    command integer,
    digest blob,
    input blob,
    output blob,
    error blob,
    attempt integer not null,
    checksum integer not null,          -- over everything from position on
    primary key (namespace, run_id, generation, position)
) strict; -- by order of writing, with an index by key: neighbours in time share pages, so a commit of many runs writes few of them

create table attempts (
    namespace text not null,
    run_id text not null,
    command integer not null,
    name text not null,
    digest blob not null,
    failures integer not null,
    began_at integer not null,
    next_at integer,
    error blob,
    intent text,                        -- the incarnation that was about to run it
    primary key (namespace, run_id, command)
) strict, without rowid;

create table inbox (
    namespace text not null,
    run_id text not null,
    number integer not null,            -- in order of arrival; signals are taken from the lowest on, so the numbers have no gaps
    arrived_at integer not null,        -- grows with the number
    id text not null,
    topic text not null,
    payload blob not null,
    primary key (namespace, run_id, number)
) strict, without rowid;

create table signal_keys (
    namespace text not null,
    run_id text not null,
    key text not null,                  -- 'key:…' as the sender chose it, or 'id:…' of a signal without one
    primary key (namespace, run_id, key)
) strict, without rowid;

create table workers (
    namespace text not null,
    incarnation text not null,
    host text not null,
    boot text not null,
    pid integer not null,
    lock text not null,
    workflows text not null,            -- a JSON list
    python text not null,
    state text not null check (state in ('live', 'dead')),
    checkpoint integer not null,
    expires_at integer not null,
    started_at integer not null,
    primary key (namespace, incarnation)
) strict, without rowid;

create table suspects (
    namespace text not null,
    run_id text not null,
    strikes integer not null,           -- deaths of a process while this run's code was executing, since its last progress
    primary key (namespace, run_id)
) strict, without rowid;
