-- name: insert
-- One row for each, but where the id is taken: what stands there is not touched. Tells which are new, and when.
insert into perdure.runs
    (namespace, id, workflow, state, generation, input, input_hash, seed, checksum, only_python, created_at, wake_at, issued, reached, wishes, fencing)
select $1, new.id, new.workflow, 'pending', 0, new.input, new.input_hash, new.seed, new.checksum, '', moment.now, moment.now, 0, 0, 0, 0
from unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[])
        as new (id, workflow, input, input_hash, seed, checksum),
    (select coalesce($8::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint) as now) as moment
order by new.id
on conflict do nothing
returning id, created_at;

-- name: insert_claimed
-- The same, but that of a worker that is live they are from the beginning, with the records given. Tells which are new, and whose they are. Division
-- by zero: $8, which nobody has asked the database for, is not the present moment; $9 tells that it was given by a test.
with alive as (
    select incarnation from perdure.workers where namespace = $1 and incarnation = $10 and state = 'live'
), inserted as (
    insert into perdure.runs
        (namespace, id, workflow, state, generation, input, input_hash, seed, checksum, only_python, created_at, issued, reached, wishes,
            owner, python, wake_at, fencing)
    select $1, new.id, new.workflow, case when alive.incarnation is null then 'pending' else 'running' end, 0,
        new.input, new.input_hash, new.seed, new.checksum, '', $8::bigint, 0, 0, 0,
        alive.incarnation, case when alive.incarnation is not null then $11::text end, case when alive.incarnation is null then $8::bigint end,
        case when alive.incarnation is null then 0 else $8::bigint end
    from unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[])
            as new (id, workflow, input, input_hash, seed, checksum) left join alive on true
    order by new.id
    on conflict do nothing
    returning id, owner
), recorded as (
    insert into perdure.history
        (namespace, run_id, generation, position, at, kind, name, command, digest, input, output, error, attempt, checksum)
    select $1, new.* from unnest($12::text[], $13::bigint[], $14::bigint[], $15::bigint[], $16::text[], $17::text[], $18::bigint[], $19::bytea[],
            $20::bytea[], $21::bytea[], $22::bytea[], $23::bigint[], $24::bigint[])
        as new (run_id, generation, position, at, kind, name, command, digest, input, output, error, attempt, checksum)
    where exists (select 1 from inserted where inserted.id = new.run_id and inserted.owner is not null)
    returning 1
)
select id, owner,
    1 / (case when $9 or (extract(epoch from statement_timestamp()) * 1000000)::bigint - $8::bigint between 0 and 1000000 then 1 else 0 end)
from inserted;

-- name: last_positions
-- How far each run's own records of its generation go.
select id, generation, state, coalesce((
    select max(position) from perdure.history
    where history.namespace = runs.namespace and run_id = runs.id and history.generation = runs.generation
), 0) from perdure.runs where namespace = $1 and id = any($2::text[]);

-- name: run
-- The whole row of each that there is.
select run.* from unnest($2::text[]) as asked (id) cross join lateral (
    select runs.id, workflow, state, generation, input, input_hash, seed, python, only_python <> '', created_at, ended_at,
        owner, wake_at, issued, note, waiting_for, error, fencing, checksum, reached
    from perdure.runs where namespace = $1 and runs.id = asked.id offset 0
) as run;

-- name: locked
-- The same of one run; nobody else changes it, or what people want of it, until the transaction ends.
select id, workflow, state, generation, input, input_hash, seed, python, only_python <> '', created_at, ended_at,
    owner, wake_at, issued, note, waiting_for, error, fencing, checksum, reached
from perdure.runs where namespace = $1 and id = $2 for update;

-- name: unfinished
-- Those of the given ids that have not ended.
select asked.id from unnest($2::text[]) as asked (id) cross join lateral (
    select 1 from perdure.runs where namespace = $1 and runs.id = asked.id and ended_at is null offset 0
) as run;

-- name: unfinished_after
-- Ids and workflows of runs that have not ended, in order of id, those after the given one: page by page the table is read once.
select id, workflow from perdure.runs
where namespace = $1 and id > $2 and ended_at is null and ($3::text is null or workflow = $3)
order by id limit $4;

-- name: inboxes
-- Runs with at least so many undelivered signals, and how many.
select run_id, count(*) from perdure.inbox where namespace = $1 group by run_id having count(*) >= $2;

-- name: listed
-- Newest first, those before the given place, without payloads.
select id, workflow, state, created_at, ended_at, note from perdure.runs
where namespace = $1 and (created_at, id) < ($2, $3) order by created_at desc, id desc limit $4;

-- name: listed_of_state
-- Newest first, those of one state before the given place, without payloads.
select id, workflow, state, created_at, ended_at, note from perdure.runs
where namespace = $1 and (created_at, id) < ($2, $3) and state = $5 order by created_at desc, id desc limit $4;

-- name: listed_of_workflow
-- Newest first, those of one workflow and one or all states before the given place, without payloads; each state reads its own part of an index.
select page.* from unnest($5::text[]) as states (state) cross join lateral (
    select id, workflow, runs.state, created_at, ended_at, note from perdure.runs
    where namespace = $1 and (created_at, id) < ($2, $3) and runs.state = states.state and workflow = $6
    order by created_at desc, id desc limit $4
) as page
order by created_at desc, id desc limit $4;

-- name: groups
-- The unfinished runs by state, workflow and Python, and when the first of each is or was due.
select state, workflow, only_python, count(*), min(wake_at) from perdure.runs
where namespace = $1 and state in ('pending', 'running', 'waiting', 'paused', 'quarantined')
group by state, workflow, only_python;

-- name: newest
-- When the last run was started.
select max(created_at) from perdure.runs where namespace = $1;

-- name: counts
-- How many runs are in each state.
select state, count(*) from perdure.runs where namespace = $1 group by state;

-- name: records
-- Records of one run in order, those of one generation after one position up to another, or of all generations.
select position, at, kind, name, command, digest, input, output, error, attempt, checksum
from perdure.history where namespace = $1 and run_id = $2 and generation = $3 and position > $4 and position <= $5 order by position;

-- name: first_records
-- The first generation of several runs, in order, for those that have no other.
select asked.run_id, record.* from unnest($2::text[]) as asked (run_id) cross join lateral (
    select position, at, kind, name, command, digest, input, output, error, attempt, checksum
    from perdure.history where namespace = $1 and history.run_id = asked.run_id and generation = 0 order by position
) as record;

-- name: places
-- Which generations have records and are not outdated.
select distinct generation from perdure.history
where namespace = $1 and run_id = $2
    and generation >= coalesce((select generation from perdure.outdated where outdated.namespace = $1 and outdated.run_id = $2), 0)
order by generation;

-- name: last
-- The newest record.
select position, at, kind, name, command, digest, input, output, error, attempt, checksum
from perdure.history where namespace = $1 and run_id = $2 order by generation desc, position desc limit 1;

-- name: attempts
-- What is known of the commands of some runs that are not over.
select asked.run_id, attempt.* from unnest($2::text[]) as asked (run_id) cross join lateral (
    select command, name, digest, failures, began_at, next_at, error, intent
    from perdure.attempts where namespace = $1 and attempts.run_id = asked.run_id order by command
) as attempt;

-- name: short
-- Those of the given runs that have but one generation, of no more than so many records and bytes.
select run_id from perdure.history
where namespace = $1 and run_id = any($2::text[])
group by run_id
having max(generation) = 0 and count(*) <= $3
    and sum(coalesce(octet_length(input), 0) + coalesce(octet_length(output), 0) + coalesce(octet_length(error), 0)) <= $4;
