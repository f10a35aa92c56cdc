-- name: send
-- Stores it once per key, if the run has not ended and its inbox is not full, and, if $11, makes the run due if nobody owns it. Tells how the
-- run stood, whether the key was known, how many signals waited, whether this one was stored, whether the run is due by it, and whether the
-- signal of a key that was known still waits.
with run as (
    select state, generation, coalesce($9::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint) as now
    from perdure.runs where namespace = $1 and id = $2
), waiting as (
    select min(number) as first, max(number) as last, max(arrived_at) as arrived_at from perdure.inbox where namespace = $1 and run_id = $2
), known as (
    select exists (select 1 from perdure.signal_keys where namespace = $1 and run_id = $2 and key = $3) as is_known
), taken as (
    insert into perdure.signal_keys (namespace, run_id, key, sent_at)
    select $1, $2, $3, case when run.generation > 0 then run.now end from run, waiting, known
    where not is_known and run.state not in ('completed', 'failed', 'cancelled')
        and coalesce(waiting.last - waiting.first + 1, 0) < $7::bigint
    on conflict do nothing
    returning 1
), stored as (
    insert into perdure.inbox (namespace, run_id, number, arrived_at, id, topic, payload, checksum)
    select $1, $2, coalesce(waiting.last, 0) + 1, greatest(run.now, waiting.arrived_at + 1), $4, $5, $6, $10 from run, waiting, taken
    returning 1
), old as (
    select key from perdure.signal_keys, run
    where namespace = $1 and run_id = $2 and run.generation > 0 and sent_at < run.now - $8::bigint order by sent_at limit 2
), /*{*/ forgotten as (
    delete from perdure.signal_keys
    where namespace = $1 and run_id = $2 and exists (select 1 from taken) and key in (select key from old)
    returning 1
), /*| }*/ woken as (
    update perdure.runs set wake_at = run.now from run
    where $11::boolean and namespace = $1 and id = $2 and (runs.state = 'waiting') is true and (wake_at is null or wake_at > run.now) and exists (select 1 from stored)
    returning 1
)
select run.state, is_known, coalesce(waiting.last - waiting.first + 1, 0), exists (select 1 from stored), exists (select 1 from woken),
    array(select key from old),
    case when is_known then exists (select 1 from perdure.inbox where namespace = $1 and run_id = $2 and id = $4) else false end
from run, waiting, known;

-- name: forget_keys
-- Of keys that are old enough: where the statement above does not do it by itself, for it would change one table twice.
delete from perdure.signal_keys where namespace = $1 and run_id = $2 and key = any($3::text[]);

-- name: stir
-- After the signal is committed: a waiting run becomes due, and a checkpoint that has looked at an owned one before begins anew where it would
-- put the run down. None where the run has ended or is gone; waits for a checkpoint that is being committed.
update perdure.runs
set wishes = wishes + 1,
    wake_at = case when state = 'waiting'
        then least(wake_at, coalesce($3::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint)) else wake_at end
where namespace = $1 and id = $2 and ended_at is null;

-- name: wake
-- A waiting run that nobody owns becomes due, if it is not; for a signal that was stored in a transaction of its sender.
update perdure.runs set wake_at = coalesce($3::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint)
where namespace = $1 and id = $2 and coalesce(state, '') = 'waiting'
    and (wake_at is null or wake_at > coalesce($3::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint));

-- name: take_back
-- One row if the signal still waits for a run that has ended or is gone: it was sent in vain, and its key is free.
with vain as (
    delete from perdure.inbox where namespace = $1 and run_id = $2 and id = $3
        and not exists (select 1 from perdure.runs where runs.namespace = $1 and runs.id = $2 and ended_at is null)
    returning 1
)
delete from perdure.signal_keys where namespace = $1 and run_id = $2 and key = $4 and exists (select 1 from vain);

-- name: last_arrival
-- When the last undelivered signal of a run arrived.
select max(arrived_at) from perdure.inbox where namespace = $1 and run_id = $2;

-- name: astray
-- Ids for which signals wait and that are those of no run; steps from id to id, not from signal to signal.
with recursive addressed (run_id) as (
    select min(run_id) from perdure.inbox where namespace = $1
    union all
    select (select min(run_id) from perdure.inbox where namespace = $1 and run_id > addressed.run_id) from addressed
    where addressed.run_id is not null
)
select run_id from addressed
where run_id is not null and not exists (select 1 from perdure.runs where namespace = $1 and id = addressed.run_id offset 0) limit $2;

-- name: addressed
-- Ids of runs with undelivered signals, or of which something is wanted that they were not told yet, in order, only those of one owner if
-- there is $3; steps from run to run, not from signal to signal.
with recursive addressed (run_id) as (
    select min(run_id) from perdure.inbox where namespace = $1
    union all
    select (select min(run_id) from perdure.inbox where namespace = $1 and run_id > addressed.run_id) from addressed
    where addressed.run_id is not null
), called as (
    select run_id from addressed where run_id is not null
    union
    select run_id from perdure.requests where namespace = $1 and told_at is null
)
select run_id from called cross join lateral (
    select 1 from perdure.runs where runs.namespace = $1 and id = called.run_id and ($3::text is null or owner = $3) offset 0
) as run
order by run_id limit $2;

-- name: wake_missed
-- Waiting runs that are not due although they have undelivered signals, or something is wanted of them, become due.
with recursive addressed (run_id) as (
    select min(run_id) from perdure.inbox where namespace = $1
    union all
    select (select min(run_id) from perdure.inbox where namespace = $1 and run_id > addressed.run_id) from addressed
    where addressed.run_id is not null
), called as (
    select run_id from addressed where run_id is not null
    union
    select run_id from perdure.requests where namespace = $1 and told_at is null
), missed as materialized (
    select run.* from called cross join lateral (
        select /*{*/ ctid /*| 1 }*/ as place_of, namespace, id from perdure.runs
        where runs.namespace = $1 and id = called.run_id and (state = 'waiting') is true
            and (wake_at is null or wake_at > coalesce($2::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint))
        for update /*{*/ skip locked /*| }*/
    ) as run
)
update perdure.runs as run set wake_at = coalesce($2::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint)
from missed where /*{*/ run.ctid = missed.place_of /*| run.namespace = missed.namespace and run.id = missed.id }*/;
