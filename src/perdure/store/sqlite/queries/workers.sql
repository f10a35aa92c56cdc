-- name: pass_fence
-- One row exactly if this incarnation is live and the checkpoint before this one is the last committed; renews its lease.
update workers set checkpoint = ?1, expires_at = ?2
where namespace = ?3 and incarnation = ?4 and state = 'live' and checkpoint = ?1 - 1;

-- name: fence
-- Where the fence stands, if the incarnation was not forgotten.
select state, checkpoint from workers where namespace = ?1 and incarnation = ?2;

-- name: register
-- A live row; a repeat leaves it as it is.
insert into workers (namespace, incarnation, host, boot, pid, lock, workflows, python, state, checkpoint, expires_at, started_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'live', 0, ?9, ?10)
on conflict do nothing;

-- name: renew
-- One row if the incarnation is live. The lease never becomes shorter.
update workers set expires_at = max(expires_at, ?3) where namespace = ?1 and incarnation = ?2 and state = 'live';

-- name: listed
-- All workers that are not forgotten.
select incarnation, host, boot, pid, lock, workflows, python, state, checkpoint, expires_at, started_at
from workers where namespace = ?1 order by started_at, incarnation;

-- name: declare_dead
-- One row if it is live and has not renewed since it was seen.
update workers set state = 'dead' where namespace = ?1 and incarnation = ?2 and state = 'live' and expires_at = ?3;

-- name: strike
-- One more death while this run's code was executing, if it belongs to the dead; counted up to ?4.
insert into suspects (namespace, run_id, strikes)
select namespace, id, 1 from runs where namespace = ?1 and owner = ?2 and id = ?3
on conflict do update set strikes = max(strikes, min(strikes + 1, ?4));

-- name: trouble_of_poison
-- Somebody is to be told of each run that is about to be quarantined as poison.
insert or replace into troubles (namespace, run_id, kind, at, tries, next_at)
select namespace, id, 'quarantined', ?4, 0, ?4 from runs
where namespace = ?1 and owner = ?2
    and id in (select run_id from suspects where suspects.namespace = ?1 and strikes >= ?3);

-- name: quarantine_poison
-- Runs of the dead under whose code too many processes died: nobody claims them until they are resumed.
update runs set state = 'quarantined', owner = null, wake_at = null, waiting_for = null, error = ?4
where namespace = ?1 and owner = ?2
    and id in (select run_id from suspects where suspects.namespace = ?1 and strikes >= ?3);

-- name: retire
-- Dead from now on.
update workers set state = 'dead' where namespace = ?1 and incarnation = ?2;

-- name: idle_dead
-- The dead that own nothing, and the lock files that they leave.
select incarnation, lock from workers
where namespace = ?1 and state = 'dead'
    and not exists (select 1 from runs where runs.namespace = ?1 and runs.owner = workers.incarnation);

-- name: bury
-- Forgets one of the dead if it owns nothing.
delete from workers
where namespace = ?1 and incarnation = ?2 and state = 'dead'
    and not exists (select 1 from runs where runs.namespace = ?1 and runs.owner = workers.incarnation);
