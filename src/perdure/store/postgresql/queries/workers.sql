-- name: fence
-- Where the fence stands, if the incarnation was not forgotten. Waits for a checkpoint that is still being committed.
select state, checkpoint from perdure.workers where namespace = $1 and incarnation = $2 for update;

-- name: register
-- A live row that expires a lease from now; a repeat leaves it as it is.
insert into perdure.workers (namespace, incarnation, host, boot, pid, lock, workflows, python, state, checkpoint, expires_at, started_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, 'live', 0,
    $9::bigint + coalesce($10::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint), $11)
on conflict do nothing;

-- name: renew
-- One row if the incarnation is live. The lease never becomes shorter.
update perdure.workers
set expires_at = greatest(expires_at, $3::bigint + coalesce($4::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint))
where namespace = $1 and incarnation = $2 and state = 'live';

-- name: listed
-- All workers that are not forgotten, and whether their leases are over by the clock of the database.
select incarnation, host, boot, pid, lock, workflows, python, state, checkpoint, expires_at, started_at,
    expires_at < (extract(epoch from statement_timestamp()) * 1000000)::bigint
from perdure.workers where namespace = $1 order by started_at, incarnation;

-- name: declare_dead
-- One row if it is live and has not renewed since it was seen.
update perdure.workers set state = 'dead' where namespace = $1 and incarnation = $2 and state = 'live' and expires_at = $3;

-- name: strike
-- One more death while the code of these runs was executing, if they belong to the dead; counted up to $4.
insert into perdure.suspects as known (namespace, run_id, strikes)
select namespace, id, 1 from perdure.runs where namespace = $1 and owner = $2 and id = any($3::text[]) order by id
on conflict (namespace, run_id) do update set strikes = greatest(known.strikes, least(known.strikes + 1, $4::bigint));

-- name: trouble_of_poison
-- Somebody is to be told of each run that is about to be quarantined as poison.
insert into perdure.troubles (namespace, run_id, kind, at, tries, next_at)
select $1, run_id, 'quarantined', $4::bigint, 0, $4::bigint from perdure.suspects cross join lateral (
    select 1 from perdure.runs where runs.namespace = $1 and id = run_id and owner = $2 offset 0
) as run
where suspects.namespace = $1 and strikes >= $3
order by run_id
on conflict (namespace, run_id) do update set kind = excluded.kind, at = excluded.at, tries = 0, next_at = excluded.next_at;

-- name: quarantine_poison
-- Runs of the dead under whose code too many processes died: nobody claims them until they are resumed.
update perdure.runs set state = 'quarantined', owner = null, wake_at = null, waiting_for = null, error = $4
where namespace = $1 and owner = $2
    and id in (select run_id from perdure.suspects where suspects.namespace = $1 and strikes >= $3);

-- name: retire
-- Dead from now on.
update perdure.workers set state = 'dead' where namespace = $1 and incarnation = $2;

-- name: idle_dead
-- The dead that own nothing, and the lock files that they leave.
select incarnation, lock from perdure.workers
where namespace = $1 and state = 'dead'
    and not exists (select 1 from perdure.runs where runs.namespace = $1 and runs.owner = workers.incarnation offset 0);

-- name: bury
-- Forgets those of the dead that own nothing.
delete from perdure.workers
where namespace = $1 and incarnation = any($2::text[]) and state = 'dead'
    and not exists (select 1 from perdure.runs where runs.namespace = $1 and runs.owner = workers.incarnation offset 0);
