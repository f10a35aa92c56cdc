-- name: take
-- The fence, moved from $13 to $3, and a claim of due runs with their first records: all of it, or nothing. Of the given workflows with the Pythons
-- they are replayed on, the first of them first, and in each the longest due; within $11 bytes but one in any case; never waits for one that somebody
-- else changes; due by the clock of the database if $14, else at $8. The first row answers: whether the fence passed, the clock of the database, how many were seen within the limit of rows, the runs that
-- were found in order and whether each is claimed for the first time; then a row for each claimed run. Division by zero: $8 is not the present moment,
-- a run was started later, some run is suspected, one of the dead waits, or a run was changed meanwhile.
with recursive fence as (
    update perdure.workers
    set checkpoint = $3::bigint,
        expires_at = greatest(expires_at, $4::bigint + coalesce($5::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint))
    where namespace = $1 and incarnation = $2 and state = 'live' and checkpoint = $13::bigint
    returning 1
), owners (owner) as (
    select min(owner) from perdure.runs where namespace = $1 and owner > ''
    union all
    select (select min(owner) from perdure.runs where namespace = $1 and owner > owners.owner) from owners where owners.owner is not null
), others as materialized (
    select 1 from perdure.suspects where namespace = $1
    union all
    select 1 from owners cross join lateral (
        select 1 from perdure.runs
        where namespace = $1 and runs.owner = owners.owner and workflow = any($9::text[]) and only_python in ('', $7) limit 1
    ) as run
    where not exists (
        select 1 from perdure.workers where workers.namespace = $1 and incarnation = owners.owner and workers.state = 'live'
    )
    limit 1
), locked as materialized (
    select $1::text as namespace, page.*, asked.workflow, asked.place, asked.checksum
    from unnest($9::text[], $10::text[], $12::bigint[]) with ordinality as asked (workflow, python, checksum, place) cross join lateral (
        select /*{*/ ctid /*| 1 }*/ as place_of, id, python is null as is_first, wake_at, created_at,
            octet_length(input) + octet_length(input_hash) + octet_length(seed) + coalesce(octet_length(note), 0) as size
        from perdure.runs
        where namespace = $1 and runs.workflow = asked.workflow and only_python = asked.python
            and wake_at <= case when $14::boolean then (extract(epoch from statement_timestamp()) * 1000000)::bigint else $8::bigint end
        order by wake_at limit $6 for update /*{*/ skip locked /*| }*/
    ) as page
    where exists (select 1 from fence) and not exists (select 1 from others)
    limit $6
), counted as (
    select *, sum(size) over (order by place, wake_at, id) as total, row_number() over (order by place, wake_at, id) as turn from locked
), found as materialized (select * from counted where total <= $11::bigint or turn = 1), claimed as (
    update perdure.runs as run
    set state = 'running', owner = $2, wake_at = null, python = coalesce(run.python, $7), fencing = greatest(run.fencing + 1, $8::bigint)
    from found where /*{*/ run.ctid = found.place_of /*| run.namespace = found.namespace and run.id = found.id }*/
    returning run.id, run.workflow, state, generation, input, input_hash, seed, python, only_python <> '', run.created_at, ended_at,
        run.owner, run.wake_at, issued, note, waiting_for, error, run.fencing, run.checksum
), started as (
    insert into perdure.history (namespace, run_id, generation, position, at, kind, name, attempt, checksum)
    select namespace, id, 0, 1, $8, 'started', workflow, 0, checksum from found where is_first
    returning 1
)
select exists (select 1 from fence) as passed, (extract(epoch from statement_timestamp()) * 1000000)::bigint, (select count(*) from locked),
    array(select id from found order by turn), array(select is_first from found order by turn),
    1 / (case
        when not exists (select 1 from fence) then 1
        when exists (select 1 from others) then 0
        when $14::boolean and (extract(epoch from statement_timestamp()) * 1000000)::bigint - $8::bigint not between 0 and 1000000 then 0
        when exists (select 1 from found where is_first and created_at > $8) then 0
        when (select count(*) from claimed) <> (select count(*) from found) then 0
        else 1
    end),
    null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null
union all
select null, null, null, null, null, null, claimed.* from claimed;

-- name: due
-- Claims runs of one workflow that nobody owns and whose time has come, the longest due first, within $9 bytes but, if $10, one in any case;
-- never waits for one that somebody else changes. Tells in each row how many there were within the limit of rows.
with locked as materialized (
    select $1::text as namespace, page.place_of, page.id, page.is_first, page.wake_at, page.size
    from unnest(array['', $4::text]) as pythons (python) cross join lateral (
        select /*{*/ ctid /*| 1 }*/ as place_of, id, python is null as is_first, wake_at,
            octet_length(input) + octet_length(input_hash) + octet_length(seed) + coalesce(octet_length(note), 0) as size
        from perdure.runs
        where namespace = $1 and workflow = $2 and only_python = pythons.python and wake_at <= $5
            and not exists (select 1 from perdure.suspects where suspects.namespace = $1 and run_id = runs.id and strikes >= $6)
        order by wake_at limit $7 for update /*{*/ skip locked /*| }*/
    ) as page
    limit $7
), counted as (
    select *, sum(size) over (order by wake_at, id) as total, row_number() over (order by wake_at, id) as place, count(*) over () as seen
    from locked
), found as materialized (select * from counted where total <= $9::bigint or (place = 1 and $10::boolean))
update perdure.runs as run set state = 'running', owner = $3, wake_at = null, python = coalesce(run.python, $4), fencing = greatest(run.fencing + 1, $8::bigint)
from found where /*{*/ run.ctid = found.place_of /*| run.namespace = found.namespace and run.id = found.id }*/
returning run.id, workflow, state, generation, input, input_hash, seed, python, only_python <> '', created_at, ended_at,
    run.owner, run.wake_at, issued, note, waiting_for, error, run.fencing, found.is_first, run.checksum, found.wake_at, found.size, found.seen;

-- name: orphaned
-- Claims runs of one workflow that belong to the given owners, unless those are live; bounded in the same way.
with locked as materialized (
    select $1::text as namespace, /*{*/ ctid /*| 1 }*/ as place_of, id, python is null as is_first, wake_at,
        octet_length(input) + octet_length(input_hash) + octet_length(seed) + coalesce(octet_length(note), 0) as size
    from perdure.runs
    where namespace = $1 and owner = any($5::text[]) and workflow = $2 and only_python in ('', $4)
        and not exists (select 1 from perdure.suspects where suspects.namespace = $1 and run_id = runs.id and strikes >= $6)
        and not exists (select 1 from perdure.workers where workers.namespace = $1 and incarnation = runs.owner and workers.state = 'live')
    limit $7 for update of runs /*{*/ skip locked /*| }*/
), counted as (
    select *, sum(size) over (order by id) as total, row_number() over (order by id) as place, count(*) over () as seen from locked
), found as materialized (select * from counted where total <= $9::bigint or (place = 1 and $10::boolean))
update perdure.runs as run set state = 'running', owner = $3, wake_at = null, python = coalesce(run.python, $4), fencing = greatest(run.fencing + 1, $8::bigint)
from found where /*{*/ run.ctid = found.place_of /*| run.namespace = found.namespace and run.id = found.id }*/
returning run.id, workflow, state, generation, input, input_hash, seed, python, only_python <> '', created_at, ended_at,
    run.owner, run.wake_at, issued, note, waiting_for, error, run.fencing, found.is_first, run.checksum, found.wake_at, found.size, found.seen;

-- name: suspect
-- A run that is due or belongs to a dead or unknown owner, and under whose code processes died.
select run.id from perdure.suspects cross join lateral (
    select id, workflow, only_python, wake_at, owner from perdure.runs where runs.namespace = $1 and runs.id = suspects.run_id offset 0
) as run
where suspects.namespace = $1 and strikes >= $2 and only_python in ('', $3) and workflow = any($4::text[])
    and (wake_at <= $5 or (owner is not null and not exists (
        select 1 from perdure.workers where workers.namespace = $1 and incarnation = run.owner and workers.state = 'live')))
limit 1;

-- name: claim
-- Claims one run, if it is still due or belongs to a dead or unknown owner.
with found as materialized (
    select $1::text as namespace, /*{*/ ctid /*| 1 }*/ as place_of, id, python is null as is_first, wake_at from perdure.runs
    where namespace = $1 and id = $2
        and (wake_at <= $5 or (owner is not null and not exists (
            select 1 from perdure.workers where workers.namespace = $1 and incarnation = runs.owner and workers.state = 'live')))
    for update of runs /*{*/ skip locked /*| }*/
)
update perdure.runs as run set state = 'running', owner = $3, wake_at = null, python = coalesce(run.python, $4), fencing = greatest(run.fencing + 1, $5::bigint)
from found where /*{*/ run.ctid = found.place_of /*| run.namespace = found.namespace and run.id = found.id }*/
returning run.id, workflow, state, generation, input, input_hash, seed, python, only_python <> '', created_at, ended_at,
    run.owner, run.wake_at, issued, note, waiting_for, error, run.fencing, found.is_first, run.checksum, found.wake_at, 0, 1;

-- name: set_aside
-- Runs whose row is damaged belong to nobody and are claimed by nobody until they are resumed.
update perdure.runs set state = 'quarantined', owner = null, wake_at = null, waiting_for = null, ended_at = null, error = $3
where namespace = $1 and id = $2;

-- name: dead_owners
-- Every owner of a run that is not a live worker; steps from owner to owner, not from run to run.
with recursive owners (owner) as (
    select min(owner) from perdure.runs where namespace = $1 and owner > ''
    union all
    select (select min(owner) from perdure.runs where namespace = $1 and owner > owners.owner) from owners where owners.owner is not null
)
select owner from owners
where owner is not null
    and not exists (select 1 from perdure.workers where namespace = $1 and incarnation = owners.owner and state = 'live');

-- name: owned
-- All runs of one owner.
select id from perdure.runs where namespace = $1 and owner = $2;

-- name: next_due
-- The earliest moment yet to come at which an unowned run of these workflows may be claimed.
select min(next.wake_at)
from unnest($2::text[]) as workflows (workflow) cross join unnest(array['', $3::text]) as pythons (python) cross join lateral (
    select min(wake_at) as wake_at from perdure.runs
    where namespace = $1 and runs.workflow = workflows.workflow and only_python = pythons.python
        and wake_at > coalesce($4::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint)
) as next;

-- name: has_claimable
-- Whether a run of these workflows is due, or belongs to a dead or unknown owner.
with recursive owners (owner) as (
    select min(owner) from perdure.runs where namespace = $1 and owner > ''
    union all
    select (select min(owner) from perdure.runs where namespace = $1 and owner > owners.owner) from owners where owners.owner is not null
)
select exists (
    select 1 from unnest($2::text[]) as workflows (workflow) cross join unnest(array['', $3::text]) as pythons (python) cross join lateral (
        select 1 from perdure.runs
        where namespace = $1 and runs.workflow = workflows.workflow and only_python = pythons.python
            and wake_at <= coalesce($4::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint)
        order by wake_at limit 1
    ) as due
) or exists (
    select 1 from owners cross join lateral (
        select 1 from perdure.runs
        where namespace = $1 and runs.owner = owners.owner and workflow = any($2::text[]) and only_python in ('', $3) limit 1
    ) as orphan
    where not exists (select 1 from perdure.workers where workers.namespace = $1 and incarnation = owners.owner and workers.state = 'live')
);
