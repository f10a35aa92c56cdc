-- name: insert
-- One row, or none where the id is taken: what stands there is not touched.
insert into runs (namespace, id, workflow, state, generation, input, input_hash, seed, checksum, python, only_python, created_at, owner,
    wake_at, issued, fencing)
values (?1, ?2, ?3, ?4, 0, ?5, ?6, ?7, ?8, ?9, '', ?10, ?11, ?12, 0, ?13)
on conflict do nothing;

-- name: last_position
-- How far the run's own records of its generation go.
select id, generation, state, coalesce((
    select max(position) from history
    where history.namespace = runs.namespace and run_id = runs.id and history.generation = runs.generation
), 0) from runs where namespace = ?1 and id = ?2;

-- name: run
-- The whole row.
select id, workflow, state, generation, input, input_hash, seed, python, only_python <> '', created_at, ended_at,
    owner, wake_at, issued, note, waiting_for, error, fencing, checksum, reached
from runs where namespace = ?1 and id = ?2;

-- name: unfinished
-- Those of a JSON list of ids that have not ended.
select id from runs where namespace = ?1 and id in (select value from json_each(?2)) and ended_at is null;

-- name: unfinished_after
-- Ids and workflows of runs that have not ended, in order of id, those after the given one: page by page the table is read once.
select id, workflow from runs
where namespace = :namespace and id > :after and ended_at is null and (:workflow is null or workflow = :workflow)
order by id limit :limit;

-- name: inboxes
-- Runs with at least so many undelivered signals, and how many.
select run_id, count(*) from inbox where namespace = ?1 group by run_id having count(*) >= ?2;

-- name: listed
-- Newest first, those before the given place, without payloads.
select id, workflow, state, created_at, ended_at, note
from runs
where namespace = :namespace and (created_at, id) < (:created_at, :id)
order by created_at desc, id desc limit :limit;

-- name: listed_of_state
-- Newest first, those of one state before the given place, without payloads.
select id, workflow, state, created_at, ended_at, note
from runs
where namespace = :namespace and state = :state and (created_at, id) < (:created_at, :id)
order by created_at desc, id desc limit :limit;

-- name: listed_of_workflow
-- Newest first, those of one workflow and state before the given place, without payloads.
select id, workflow, state, created_at, ended_at, note
from runs
where namespace = :namespace and workflow = :workflow and state = :state and (created_at, id) < (:created_at, :id)
order by created_at desc, id desc limit :limit;

-- name: groups
-- The unfinished runs by state, workflow and Python, and when the first of each is or was due. Left to itself SQLite would read all runs
-- in the order of the groups.
select state, workflow, only_python, count(*), min(wake_at) from runs indexed by runs_by_state
where namespace = ?1 and state in ('pending', 'running', 'waiting', 'paused', 'quarantined')
group by state, workflow, only_python;

-- name: newest
-- When the last run was started.
select max(created_at) from runs where namespace = ?1;

-- name: counts
-- How many runs are in each state.
select state, count(*) from runs where namespace = ?1 group by state;

-- name: records
-- Records of one generation in order, those after one position up to another.
select position, at, kind, name, command, digest, input, output, error, attempt, checksum
from history where namespace = ?1 and run_id = ?2 and generation = ?3 and position > ?4 and position <= ?5 order by position;

-- name: record
-- One record.
select position, at, kind, name, command, digest, input, output, error, attempt, checksum
from history where namespace = ?1 and run_id = ?2 and generation = ?3 and position = ?4;

-- name: places
-- Where the records of all generations stand that are not outdated.
select generation, position from history
where namespace = ?1 and run_id = ?2
    and generation >= coalesce((select generation from outdated where outdated.namespace = ?1 and outdated.run_id = ?2), 0)
order by generation, position;

-- name: last_place
-- Where the newest record stands.
select generation, position from history where namespace = ?1 and run_id = ?2 order by generation desc, position desc limit 1;

-- name: extent
-- How many bytes of payload the newest generation of a run has; null where it has more than ?3 records or shares those of another.
select iif(newest.position <= ?3, (
    select iif(count(*) = newest.position, sum(coalesce(length(input), 0) + coalesce(length(output), 0) + coalesce(length(error), 0)), null)
    from history where namespace = ?1 and run_id = ?2 and generation = newest.generation
), null)
from history as newest where newest.namespace = ?1 and newest.run_id = ?2
order by newest.generation desc, newest.position desc limit 1;

-- name: attempts
-- What is known of the commands of a run that are not over.
select command, name, digest, failures, began_at, next_at, error, intent
from attempts where namespace = ?1 and run_id = ?2 order by command;
