-- name: standing
-- The state of the run if there is one; whether this key was sent to it, even if the signal was delivered or the run has ended since;
-- its first and its last undelivered signal (numbers in between have no gaps), and when the last arrived; its generation.
select state,
    exists (select 1 from signal_keys where namespace = ?1 and run_id = ?2 and key = ?3),
    (select min(number) from inbox where namespace = ?1 and run_id = ?2),
    (select max(number) from inbox where namespace = ?1 and run_id = ?2),
    (select arrived_at from inbox where namespace = ?1 and run_id = ?2 order by number desc limit 1),
    generation
from runs where namespace = ?1 and id = ?2;

-- name: take_key
-- The key is taken from now on, in a later generation (?4 is given) for a limited time.
insert into signal_keys (namespace, run_id, key, sent_at) values (?1, ?2, ?3, ?4);

-- name: forget_keys
-- A few of the oldest keys, if they are too old. More than one for each that is taken: so they never pile up.
delete from signal_keys where namespace = ?1 and run_id = ?2 and key in (
    select key from signal_keys where namespace = ?1 and run_id = ?2 and sent_at < ?3 order by sent_at limit 2
);

-- name: last_arrival
-- When the last undelivered signal of a run arrived.
select arrived_at from inbox where namespace = ?1 and run_id = ?2 order by number desc limit 1;

-- name: insert
-- One undelivered signal.
insert into inbox (namespace, run_id, number, arrived_at, id, topic, payload, checksum) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8);

-- name: wake
-- A waiting run that nobody owns becomes due; one that is due already keeps its place.
update runs set wake_at = ?3
where namespace = ?1 and id = ?2 and state = 'waiting' and (wake_at is null or wake_at > ?3);

-- name: astray
-- Ids for which signals wait and that are those of no run; steps from id to id, not from signal to signal.
with recursive addressed (run_id) as (
    select min(run_id) from inbox where namespace = ?1
    union all
    select (select min(run_id) from inbox where namespace = ?1 and run_id > addressed.run_id) from addressed where addressed.run_id is not null
)
select run_id from addressed
where run_id is not null and not exists (select 1 from runs where namespace = ?1 and id = run_id) limit ?2;

-- name: addressed
-- Ids of runs with undelivered signals, only those of one owner if there is ?3; steps from run to run, not from signal to signal.
with recursive addressed (run_id) as (
    select min(run_id) from inbox where namespace = ?1
    union all
    select (select min(run_id) from inbox where namespace = ?1 and run_id > addressed.run_id) from addressed where addressed.run_id is not null
)
select run_id from addressed
where run_id is not null and exists (select 1 from runs where namespace = ?1 and id = run_id and (?3 is null or owner = ?3))
limit ?2;

-- name: has_missed
-- One row if a waiting run that is not due has undelivered signals, or something is wanted of it.
with recursive addressed (run_id) as (
    select min(run_id) from inbox where namespace = ?1
    union all
    select (select min(run_id) from inbox where namespace = ?1 and run_id > addressed.run_id) from addressed where addressed.run_id is not null
)
select 1 from runs
where namespace = ?1 and state = 'waiting' and (wake_at is null or wake_at > ?2)
    and id in (select run_id from addressed union all select run_id from requests where namespace = ?1 and told_at is null)
limit 1;

-- name: wake_missed
-- Those become due. No id leaves the database: a damaged one, which belongs to no run, does not keep the others from waking.
with recursive addressed (run_id) as (
    select min(run_id) from inbox where namespace = ?1
    union all
    select (select min(run_id) from inbox where namespace = ?1 and run_id > addressed.run_id) from addressed where addressed.run_id is not null
)
update runs set wake_at = ?2
where namespace = ?1 and state = 'waiting' and (wake_at is null or wake_at > ?2)
    and id in (select run_id from addressed union all select run_id from requests where namespace = ?1 and told_at is null);
