-- name: next
-- A run with generations that may be forgotten: those below the second column. The third is its own; null: the run is gone.
select outdated.run_id, outdated.generation, runs.generation
from perdure.outdated left join lateral (
    select runs.generation from perdure.runs where runs.namespace = $1 and runs.id = outdated.run_id offset 0
) as runs on true
where outdated.namespace = $1 limit 1;

-- name: forget_records
-- Some records of the generations below $3.
delete from perdure.history where namespace = $1 and run_id = $2 and (generation, position) in (
    select generation, position from perdure.history where namespace = $1 and run_id = $2 and generation < $3
    order by generation, position limit $4
);

-- name: forget_generations
-- What is known of the generations below $3, whose records are gone.
delete from perdure.generations where namespace = $1 and run_id = $2 and generation < $3;

-- name: forgotten
-- Done, unless more has become outdated since.
delete from perdure.outdated where namespace = $1 and run_id = $2 and generation = $3;
