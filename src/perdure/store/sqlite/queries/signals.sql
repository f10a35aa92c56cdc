-- name: has_key
-- One row if this key has been sent to this run, even if the signal was delivered or the run has ended since.
select 1 from signal_keys where namespace = ?1 and run_id = ?2 and key = ?3;

-- name: take_key
-- The key is taken from now on.
insert into signal_keys (namespace, run_id, key) values (?1, ?2, ?3);

-- name: state
-- The state of the run, if there is one.
select state from runs where namespace = ?1 and id = ?2;

-- name: bounds
-- The first and the last undelivered signal; numbers in between have no gaps.
select (select min(number) from inbox where namespace = ?1 and run_id = ?2), (select max(number) from inbox where namespace = ?1 and run_id = ?2);

-- name: arrived_at
-- When this signal arrived.
select arrived_at from inbox where namespace = ?1 and run_id = ?2 and number = ?3;

-- name: insert
-- One undelivered signal.
insert into inbox (namespace, run_id, number, arrived_at, id, topic, payload) values (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: wake
-- A waiting run that nobody owns becomes due; one that is due already keeps its place.
update runs set wake_at = ?3
where namespace = ?1 and id = ?2 and state = 'waiting' and (wake_at is null or wake_at > ?3);

-- name: addressed
-- Ids of runs with undelivered signals; steps from run to run, not from signal to signal.
with recursive addressed (run_id) as (
    select min(run_id) from inbox where namespace = ?1
    union all
    select (select min(run_id) from inbox where namespace = ?1 and run_id > addressed.run_id) from addressed where addressed.run_id is not null
)
select run_id from addressed where run_id is not null limit ?2;
