-- name: any
-- One row if anybody wants anything of any run that it was not told yet.
select 1 from requests where namespace = ?1 and told_at is null limit 1;

-- name: of_run
-- What is wanted of one run and it was not told yet.
select kind, arrived_at, grace from requests where namespace = ?1 and run_id = ?2 and told_at is null;

-- name: cancel_of
-- One row if the run is to be cancelled, and when it was told so.
select told_at from requests where namespace = ?1 and run_id = ?2 and kind = 'cancel';

-- name: grace
-- One row if the run is to be cancelled and was not told yet: the time it has to clean up.
select grace from requests where namespace = ?1 and run_id = ?2 and kind = 'cancel' and told_at is null;

-- name: last
-- The last record of one generation.
select max(position), max(at) from history where namespace = ?1 and run_id = ?2 and generation = ?3;

-- name: insert
-- One request of a kind waits for a run at most: the first.
insert into requests (namespace, run_id, kind, arrived_at, grace) values (?1, ?2, ?3, ?4, ?5) on conflict do nothing;

-- name: delete
-- It was met, or is wanted no more.
delete from requests where namespace = ?1 and run_id = ?2 and kind = ?3;

-- name: addressed
-- Ids of runs of which something is wanted that they were not told yet, only those of one owner if there is ?3.
select distinct run_id from requests
where namespace = ?1 and told_at is null and exists (select 1 from runs where namespace = ?1 and id = run_id and (?3 is null or owner = ?3))
order by run_id limit ?2;

-- name: end_unclaimed
-- One row if nobody owns the run and its code is not to be run: it is cancelled.
update runs set state = 'cancelled', ended_at = ?3, wake_at = null, waiting_for = null
where namespace = ?1 and id = ?2 and owner is null and ended_at is null;

-- name: wake
-- A waiting or paused run becomes due; one that is due already keeps its place.
update runs set state = 'waiting', wake_at = min(coalesce(wake_at, ?3), ?3)
where namespace = ?1 and id = ?2 and state in ('waiting', 'paused');

-- name: pause
-- One row if nobody owns the run: it is claimed by nobody until it is resumed.
update runs set state = 'paused', wake_at = null where namespace = ?1 and id = ?2 and state in ('pending', 'waiting');

-- name: resume
-- One row if the run was paused or quarantined: it becomes due.
update runs set state = 'waiting', wake_at = ?3, error = null
where namespace = ?1 and id = ?2 and state in ('paused', 'quarantined');
