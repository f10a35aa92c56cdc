-- name: insert_record
-- Appends; a position that is taken is an error, never overwritten.
insert into history
    (namespace, run_id, generation, position, at, kind, name, command, digest, input, output, error, attempt, checksum)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14);

-- name: finish
-- One row if the run is mine: it ends and belongs to nobody.
update runs set state = ?4, ended_at = ?5, owner = null, wake_at = null, waiting_for = null,
    issued = max(issued, coalesce(?6, 0)), note = coalesce(?7, note), reached = max(reached, coalesce(?8, 0))
where namespace = ?1 and id = ?2 and owner = ?3;

-- name: give_up
-- One row if the run is mine: it waits, belongs to nobody, and may be claimed from ?4 on (null: when something happens), if ?6 by its own Python only.
update runs set state = 'waiting', owner = null, wake_at = ?4, waiting_for = ?5, only_python = iif(?6, python, only_python),
    issued = max(issued, coalesce(?7, 0)), note = coalesce(?8, note), reached = max(reached, coalesce(?9, 0))
where namespace = ?1 and id = ?2 and owner = ?3;

-- name: quarantine
-- One row if the run is mine: it belongs to nobody and is claimed by nobody until it is resumed.
update runs set state = 'quarantined', owner = null, wake_at = null, waiting_for = null, error = ?4,
    issued = max(issued, coalesce(?5, 0)), note = coalesce(?6, note), reached = max(reached, coalesce(?7, 0))
where namespace = ?1 and id = ?2 and owner = ?3;

-- name: trouble
-- Somebody is to be told of this run; whatever was to be told of it before is out of date.
insert or replace into troubles (namespace, run_id, kind, at, tries, next_at) values (?1, ?2, ?3, ?4, 0, ?4);

-- name: forget_untold
-- A page of the troubles that nobody has asked for since ?2: nobody wants to be told.
delete from troubles where namespace = ?1 and run_id in
    (select run_id from troubles where namespace = ?1 and next_at < ?2 order by next_at limit ?3);

-- name: note
-- One row if the run is mine: what is given is kept with it.
update runs set issued = max(issued, coalesce(?4, 0)), note = coalesce(?5, note), reached = max(reached, coalesce(?6, 0))
where namespace = ?1 and id = ?2 and owner = ?3;

-- name: clear_strikes
-- It got past what it was suspected for.
delete from suspects where namespace = ?1 and run_id = ?2;

-- name: fail_attempt
-- Says how often this command has failed and when it is tried again, whatever stood there.
insert or replace into attempts (namespace, run_id, command, name, digest, failures, began_at, next_at, error, intent)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, null);

-- name: intend
-- Says who is about to run this command; failures counted before stay.
insert into attempts (namespace, run_id, command, name, digest, failures, began_at, next_at, error, intent)
values (?1, ?2, ?3, ?4, ?5, 0, ?6, null, null, ?7)
on conflict do update set intent = excluded.intent, next_at = null;

-- name: settle
-- The command is over: nothing is known of its attempts any more.
delete from attempts where namespace = ?1 and run_id = ?2 and command = ?3;

-- name: forget_attempts
-- None of an ended run's attempts is left.
delete from attempts where namespace = ?1 and run_id = ?2;

-- name: forget_tries
-- What is left of a failed run's attempts are intents: retried, it must know that these steps may have run.
delete from attempts where namespace = ?1 and run_id = ?2 and intent is null;

-- name: signals
-- The oldest undelivered signals of a run, in order of arrival.
select number, arrived_at, id, topic, payload, checksum from inbox where namespace = ?1 and run_id = ?2 order by number limit ?3;

-- name: any_signals
-- One row if an undelivered signal waits for any run.
select 1 from inbox where namespace = ?1 limit 1;

-- name: take_signals
-- Those that were read into the history are delivered.
delete from inbox where namespace = ?1 and run_id = ?2 and number <= ?3;

-- name: has_signals
-- One row if an undelivered signal waits for the run.
select 1 from inbox where namespace = ?1 and run_id = ?2 limit 1;

-- name: put_aside
-- One row if the run is mine: it belongs to nobody and is claimed by nobody until it is resumed.
update runs set state = 'paused', owner = null, wake_at = null, waiting_for = ?4,
    issued = max(issued, coalesce(?5, 0)), note = coalesce(?6, note), reached = max(reached, coalesce(?7, 0))
where namespace = ?1 and id = ?2 and owner = ?3;

-- name: succeed
-- One row if the run is mine: its next generation is due at once, for anybody.
update runs set state = 'waiting', owner = null, wake_at = ?5, waiting_for = null, generation = ?4, issued = 0, reached = 0,
    note = coalesce(?6, note), python = coalesce(nullif(?7, ''), python), only_python = ''
where namespace = ?1 and id = ?2 and owner = ?3;

-- name: open_generation
-- Opens a generation; one that exists is an error.
insert into generations
    (namespace, run_id, generation, reason, base_generation, base_position, key_generation, input, checksum, opened_at)
values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- name: tell_cancel
-- The run is told; a repeat finds that it was.
update requests set told_at = ?3 where namespace = ?1 and run_id = ?2 and kind = 'cancel';

-- name: outdate
-- Generations below this one may be forgotten.
insert or replace into outdated (namespace, run_id, generation) values (?1, ?2, ?3);

-- name: meet
-- What was wanted of the run is done, or can be done no more.
delete from requests where namespace = ?1 and run_id = ?2 and kind = ?3;

-- name: forget_requests
-- Nothing is wanted any more of a run that has ended.
delete from requests where namespace = ?1 and run_id = ?2;
