-- name: generations
-- All generations of a run beyond the first.
select generation, reason, base_generation, base_position, key_generation, input, checksum
from perdure.generations where namespace = $1 and run_id = $2;

-- name: retry
-- One row if the run failed: its next generation is due at once.
update perdure.runs set state = 'waiting', ended_at = null, wake_at = $4, generation = $3, issued = 0, reached = $5, error = null
where namespace = $1 and id = $2 and (state = 'failed') is true;
