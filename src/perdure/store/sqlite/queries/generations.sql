-- name: generation
-- One generation beyond the first.
select reason, base_generation, base_position, key_generation, input, checksum
from generations where namespace = ?1 and run_id = ?2 and generation = ?3;

-- name: retry
-- One row if the run failed: its next generation is due at once.
update runs set state = 'waiting', ended_at = null, wake_at = ?4, generation = ?3, issued = 0, reached = ?5, error = null
where namespace = ?1 and id = ?2 and state = 'failed';
