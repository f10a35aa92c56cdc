-- name: take
-- Troubles that may be told now, the longest due first, each given to one who asks: nobody else is given it before $4.
with found as materialized (
    select /*{*/ ctid /*| 1 }*/ as place_of, namespace, run_id from perdure.troubles
    where namespace = $1 and next_at <= coalesce($2::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint)
    order by next_at limit $3 for update /*{*/ skip locked /*| }*/
)
update perdure.troubles as known
set tries = tries + 1, next_at = coalesce($2::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint) + $4::bigint
from found
where /*{*/ known.ctid = found.place_of /*| known.namespace = found.namespace and known.run_id = found.run_id }*/
returning known.run_id, kind, at, tries;

-- name: told
-- One row if it is still the same trouble: it is kept as told.
update perdure.troubles set next_at = null where namespace = $1 and run_id = $2 and kind = $3 and at = $4;

-- name: put_off
-- One row if it is still the same trouble: it is told again after $5.
update perdure.troubles
set next_at = coalesce($6::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint) + $5::bigint
where namespace = $1 and run_id = $2 and kind = $3 and at = $4;

-- name: forget
-- One row if it is still the same trouble: nothing is known of it any more.
delete from perdure.troubles where namespace = $1 and run_id = $2 and kind = $3 and at = $4;

-- name: stranded
-- The runs that were noted as stranded, told or not, and where they stand now.
select run_id, at, workflow, only_python, state, wake_at, owner
from perdure.troubles left join lateral (
    select workflow, only_python, runs.state, wake_at, owner from perdure.runs where runs.namespace = $1 and runs.id = run_id offset 0
) as run on true
where troubles.namespace = $1 and kind = 'stranded';

-- name: note_stranded
-- One row unless something is known of this run already.
insert into perdure.troubles (namespace, run_id, kind, at, tries, next_at) values ($1, $2, 'stranded', $3, 0, $4) on conflict do nothing;

-- name: due_groups
-- Workflows and Pythons of runs that nobody owns and that will be due; steps from group to group, not from run to run.
with recursive groups (workflow, only_python) as (
    (select workflow, only_python from perdure.runs where namespace = $1 and wake_at is not null order by workflow, only_python limit 1)
    union all
    select next.workflow, next.only_python from groups cross join lateral (
        select runs.workflow, runs.only_python from perdure.runs
        where namespace = $1 and wake_at is not null and (runs.workflow, runs.only_python) > (groups.workflow, groups.only_python)
        order by runs.workflow, runs.only_python limit 1
    ) as next
)
select workflow, only_python from groups;

-- name: long_due
-- Runs of one workflow and Python that have been due since $4 or longer, the longest first.
select id, wake_at from perdure.runs
where namespace = $1 and workflow = $2 and only_python = $3 and wake_at <= $4 order by wake_at limit $5;

-- name: workflows_of
-- The workflows among the runs of one owner; steps from workflow to workflow, not from run to run.
with recursive owned (workflow) as (
    select min(workflow) from perdure.runs where namespace = $1 and owner = $2
    union all
    select (select min(runs.workflow) from perdure.runs where namespace = $1 and owner = $2 and runs.workflow > owned.workflow)
    from owned where owned.workflow is not null
)
select workflow from owned where workflow is not null;

-- name: orphans
-- Runs of one workflow that belong to one dead owner and can be replayed by none of the given Pythons.
select id from perdure.runs
where namespace = $1 and owner = $2 and workflow = $3 and only_python <> all($4::text[]) limit $5;
