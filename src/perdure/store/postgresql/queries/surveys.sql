-- name: survey
-- For a sweep: a row of each worker that is not forgotten, with whether its lease is over; and in each of them the same three answers, whether a
-- waiting run missed its wake-up, whether histories are outdated, whether something can be claimed. Without a worker one row of nulls and answers.
with recursive addressed (run_id) as (
    select min(run_id) from perdure.inbox where namespace = $1
    union all
    select (select min(run_id) from perdure.inbox where namespace = $1 and run_id > addressed.run_id) from addressed
    where addressed.run_id is not null
), owners (owner) as (
    select min(owner) from perdure.runs where namespace = $1 and owner > ''
    union all
    select (select min(owner) from perdure.runs where namespace = $1 and owner > owners.owner) from owners where owners.owner is not null
), called as (
    select run_id from addressed where run_id is not null
    union
    select run_id from perdure.requests where namespace = $1 and told_at is null
), answers as (
    select moment.now,
        exists (
            select 1 from called cross join lateral (
                select 1 from perdure.runs
                where namespace = $1 and id = called.run_id and (state = 'waiting') is true and (wake_at is null or wake_at > moment.now) offset 0
            ) as missed
        ) as has_missed,
        exists (select 1 from perdure.outdated where namespace = $1) as has_outdated,
        exists (
            select 1 from unnest($2::text[]) as workflows (workflow) cross join unnest(array['', $3::text]) as pythons (python)
            cross join lateral (
                select 1 from perdure.runs
                where namespace = $1 and runs.workflow = workflows.workflow and only_python = pythons.python and wake_at <= moment.now
                order by wake_at limit 1
            ) as due
        ) or exists (
            select 1 from owners cross join lateral (
                select 1 from perdure.runs
                where namespace = $1 and runs.owner = owners.owner and workflow = any($2::text[]) and only_python in ('', $3) limit 1
            ) as orphan
            where not exists (
                select 1 from perdure.workers where workers.namespace = $1 and incarnation = owners.owner and workers.state = 'live'
            )
        ) as is_claimable
    from (select coalesce($4::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint) as now) as moment
)
select has_missed, has_outdated, is_claimable,
    incarnation, host, boot, pid, lock, workflows, python, state, checkpoint, expires_at, started_at, expires_at < answers.now
from answers left join perdure.workers on namespace = $1 order by started_at, incarnation;

-- name: outlook
-- For a worker: its runs that have signals in their inbox or of which something is wanted, in order, up to a limit, whether something can be
-- claimed, the earliest moment yet to come at which a run that nobody owns is due, and what the clock says.
with recursive addressed (run_id) as (
    select min(run_id) from perdure.inbox where namespace = $1
    union all
    select (select min(run_id) from perdure.inbox where namespace = $1 and run_id > addressed.run_id) from addressed
    where addressed.run_id is not null
), owners (owner) as (
    select min(owner) from perdure.runs where namespace = $1 and owner > ''
    union all
    select (select min(owner) from perdure.runs where namespace = $1 and owner > owners.owner) from owners where owners.owner is not null
), called as (
    select run_id from addressed where run_id is not null
    union
    select run_id from perdure.requests where namespace = $1 and told_at is null
), moment as (
    select coalesce($4::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint) as now
)
select array(
        select run_id from called cross join lateral (
            select 1 from perdure.runs where namespace = $1 and id = called.run_id and owner = $5 offset 0
        ) as mine
        order by run_id limit $6
    ),
    exists (
        select 1 from unnest($2::text[]) as workflows (workflow) cross join unnest(array['', $3::text]) as pythons (python)
        cross join lateral (
            select 1 from perdure.runs
            where namespace = $1 and runs.workflow = workflows.workflow and only_python = pythons.python and wake_at <= moment.now
            order by wake_at limit 1
        ) as due
    ) or exists (
        select 1 from owners cross join lateral (
            select 1 from perdure.runs
            where namespace = $1 and runs.owner = owners.owner and workflow = any($2::text[]) and only_python in ('', $3) limit 1
        ) as orphan
        where not exists (
            select 1 from perdure.workers where workers.namespace = $1 and incarnation = owners.owner and workers.state = 'live'
        )
    ),
    (
        select min(next.wake_at)
        from unnest($2::text[]) as workflows (workflow) cross join unnest(array['', $3::text]) as pythons (python) cross join lateral (
            select min(wake_at) as wake_at from perdure.runs
            where namespace = $1 and runs.workflow = workflows.workflow and only_python = pythons.python and wake_at > moment.now
        ) as next
    ),
    moment.now
from moment;
