-- name: expired
-- Runs that ended in this state before a moment, those first that ended first, and how many records each has; one that is being changed is left.
select id, (select count(*) from perdure.history where history.namespace = $1 and run_id = runs.id)
from perdure.runs where namespace = $1 and state = $2 and ended_at < $3 order by ended_at limit $4 for update of runs /*{*/ skip locked /*| }*/;

-- name: has_expired
-- Whether there is a run that ended in one of these states longer ago than it is kept.
select exists (
    select 1 from unnest($2::text[], $3::bigint[]) as kept (state, length) cross join lateral (
        select 1 from perdure.runs where namespace = $1 and runs.state = kept.state
            and ended_at < coalesce($4::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint) - kept.length
        order by ended_at limit 1
    ) as old
);

-- name: history
-- None of its records is left.
delete from perdure.history where namespace = $1 and run_id = any($2::text[]);

-- name: generations
-- None of its generations is left.
delete from perdure.generations where namespace = $1 and run_id = any($2::text[]);

-- name: outdated
-- None of its generations is waiting to be forgotten.
delete from perdure.outdated where namespace = $1 and run_id = any($2::text[]);

-- name: attempts
-- None of its attempts is left.
delete from perdure.attempts where namespace = $1 and run_id = any($2::text[]);

-- name: inbox
-- None of its signals is left.
delete from perdure.inbox where namespace = $1 and run_id = any($2::text[]);

-- name: requests
-- Nothing is wanted of it any more.
delete from perdure.requests where namespace = $1 and run_id = any($2::text[]);

-- name: keys
-- Keys of signals sent to it are free.
delete from perdure.signal_keys where namespace = $1 and run_id = any($2::text[]);

-- name: suspects
-- It is suspected no more.
delete from perdure.suspects where namespace = $1 and run_id = any($2::text[]);

-- name: troubles
-- Nobody is to be told of it any more.
delete from perdure.troubles where namespace = $1 and run_id = any($2::text[]);

-- name: run
-- Of each that has ended: it is gone, and its id is free.
delete from perdure.runs as run using (
    select found.* from unnest($2::text[]) as asked (id) cross join lateral (
        select /*{*/ ctid /*| 1 }*/ as place_of, namespace, id from perdure.runs
        where namespace = $1 and runs.id = asked.id offset 0
    ) as found
) as gone
where /*{*/ run.ctid = gone.place_of /*| run.namespace = gone.namespace and run.id = gone.id }*/ and run.ended_at is not null;
