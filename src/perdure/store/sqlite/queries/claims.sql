-- name: due
-- Runs of one workflow and Python that nobody owns and whose time has come, the longest due first; as they are once claimed.
select id, workflow, 'running', generation, input, input_hash, seed, coalesce(python, :python), only_python <> '', created_at, ended_at,
    :incarnation, null, issued, note, waiting_for, error, max(fencing + 1, :now), python is null, owner, checksum,
    python is null and exists (select 1 from history where history.namespace = :namespace and run_id = runs.id)
from runs
where namespace = :namespace and workflow = :workflow and only_python = :only_python and wake_at <= :now
    and not exists (select 1 from suspects where suspects.namespace = :namespace and run_id = runs.id and strikes >= :strikes_alone)
order by wake_at limit :room;

-- name: orphaned
-- Runs of one workflow that belong to one dead or unknown owner; as they are once claimed.
select id, workflow, 'running', generation, input, input_hash, seed, coalesce(python, :python), only_python <> '', created_at, ended_at,
    :incarnation, null, issued, note, waiting_for, error, max(fencing + 1, :now), python is null, owner, checksum,
    python is null and exists (select 1 from history where history.namespace = :namespace and run_id = runs.id)
from runs indexed by runs_owned
where namespace = :namespace and owner = cast(:owner as text) and workflow = :workflow and only_python in ('', :python)
    and not exists (select 1 from suspects where suspects.namespace = :namespace and run_id = runs.id and strikes >= :strikes_alone)
limit :room;

-- name: suspect
-- A run that is due or belongs to a dead or unknown owner, and under whose code processes died: as it is once claimed.
select id, workflow, 'running', generation, input, input_hash, seed, coalesce(python, :python), only_python <> '', created_at, ended_at,
    :incarnation, null, issued, note, waiting_for, error, max(fencing + 1, :now), python is null, owner, checksum,
    python is null and exists (select 1 from history where history.namespace = :namespace and run_id = runs.id)
from suspects join runs on runs.namespace = suspects.namespace and runs.id = suspects.run_id
where suspects.namespace = :namespace and strikes >= :strikes_alone and only_python in ('', :python)
    and workflow in (select value from json_each(:workflows))
    and (wake_at <= :now or (owner is not null and not exists (
        select 1 from workers where workers.namespace = :namespace and incarnation = runs.owner and state = 'live')))
limit 1;

-- name: strikes
-- Of every run that has any.
select run_id, strikes from suspects where namespace = ?1;

-- name: dead_owners
-- Every owner of a run that is not a live worker; steps from owner to owner, not from run to run.
with recursive owners (owner) as (
    select min(owner) from runs where namespace = ?1 and owner > ''
    union all
    select (select min(owner) from runs where namespace = ?1 and owner > owners.owner) from owners where owners.owner is not null
)
select owner from owners
where owner is not null
    and not exists (select 1 from workers where namespace = ?1 and incarnation = owners.owner and state = 'live');

-- name: claim
-- One row if nobody took the run since it was seen.
update runs set state = 'running', owner = ?4, wake_at = null, python = coalesce(python, ?5), fencing = ?6
where namespace = ?1 and id = ?2 and owner is cast(?3 as text);

-- name: set_aside
-- A run whose row is damaged belongs to nobody and is claimed by nobody until it is resumed. ?4: its id has become bytes.
update runs set state = 'quarantined', owner = null, wake_at = null, waiting_for = null, ended_at = null, error = ?3,
    id = cast(id as text), python = cast(python as text)
where namespace = ?1 and id = iif(?4, ?2, cast(?2 as text));

-- name: owned
-- All runs of one owner.
select id from runs where namespace = ?1 and owner = ?2;

-- name: next_due
-- The earliest moment after a given one at which an unowned run of one workflow and Python may be claimed.
select min(wake_at) from runs where namespace = ?1 and workflow = ?2 and only_python = ?3 and wake_at > ?4;

-- name: has_orphan
-- One row if this owner has a run of this workflow that this Python can replay.
select 1 from runs indexed by runs_owned where namespace = ?1 and owner = cast(?2 as text) and workflow = ?3 and only_python in ('', ?4) limit 1;
