-- name: expired
-- Runs that ended in this state before a moment, those first that ended first.
select id from runs where namespace = ?1 and state = ?2 and ended_at < ?3 order by ended_at limit ?4;

-- name: records
-- How many records a run has.
select count(*) from history where namespace = ?1 and run_id = ?2;

-- name: history
-- None of its records is left.
delete from history where namespace = ?1 and run_id = ?2;

-- name: generations
-- None of its generations is left.
delete from generations where namespace = ?1 and run_id = ?2;

-- name: outdated
-- None of its generations is waiting to be forgotten.
delete from outdated where namespace = ?1 and run_id = ?2;

-- name: attempts
-- None of its attempts is left.
delete from attempts where namespace = ?1 and run_id = ?2;

-- name: inbox
-- None of its signals is left.
delete from inbox where namespace = ?1 and run_id = ?2;

-- name: requests
-- Nothing is wanted of it any more.
delete from requests where namespace = ?1 and run_id = ?2;

-- name: keys
-- Keys of signals sent to it are free.
delete from signal_keys where namespace = ?1 and run_id = ?2;

-- name: suspects
-- It is suspected no more.
delete from suspects where namespace = ?1 and run_id = ?2;

-- name: troubles
-- Nobody is to be told of it any more.
delete from troubles where namespace = ?1 and run_id = ?2;

-- name: run
-- One row if the run has ended: it is gone, and its id is free.
delete from runs where namespace = ?1 and id = ?2 and ended_at is not null;
