-- name: of_run
-- What is wanted of one run and it was not told yet.
select kind from perdure.requests where namespace = $1 and run_id = $2 and told_at is null order by kind;

-- name: cancel_of
-- One row if the run is to be cancelled, and when it was told so.
select told_at from perdure.requests where namespace = $1 and run_id = $2 and kind = 'cancel';

-- name: last
-- The last record of one generation.
select max(position), max(at) from perdure.history where namespace = $1 and run_id = $2 and generation = $3;

-- name: insert
-- One request of a kind waits for a run at most: the first.
insert into perdure.requests (namespace, run_id, kind, arrived_at, grace) values ($1, $2, $3, $4, $5) on conflict do nothing;

-- name: delete
-- It was met, or is wanted no more.
delete from perdure.requests where namespace = $1 and run_id = $2 and kind = $3;

-- name: change
-- What is wanted of the run has changed: a checkpoint that has looked at it before begins anew.
update perdure.runs set wishes = wishes + 1 where namespace = $1 and id = $2;

-- name: end_unclaimed
-- One row if nobody owns the run and its code is not to be run: it is cancelled.
update perdure.runs set state = 'cancelled', ended_at = $3, wake_at = null, waiting_for = null
where namespace = $1 and id = $2 and owner is null and ended_at is null;

-- name: wake
-- A waiting or paused run becomes due; one that is due already keeps its place.
update perdure.runs set state = 'waiting', wake_at = least(coalesce(wake_at, $3), $3)
where namespace = $1 and id = $2 and (state in ('waiting', 'paused')) is true;

-- name: pause
-- One row if nobody owns the run: it is claimed by nobody until it is resumed.
update perdure.runs set state = 'paused', wake_at = null where namespace = $1 and id = $2 and (state in ('pending', 'waiting')) is true;

-- name: resume
-- One row if the run was paused or quarantined: it becomes due.
update perdure.runs set state = 'waiting', wake_at = $3, error = null
where namespace = $1 and id = $2 and (state in ('paused', 'quarantined')) is true;

-- name: now
-- The time by the clock of the database, unless one is given.
select coalesce($1::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint);

-- name: take_signals
-- All undelivered signals of a run, out of its inbox.
delete from perdure.inbox where namespace = $1 and run_id = $2 returning number, arrived_at, id, topic, payload, checksum;

-- name: grace
-- One row if the run is to be cancelled and was not told yet: the time it has to clean up.
select grace from perdure.requests where namespace = $1 and run_id = $2 and kind = 'cancel' and told_at is null;
