-- name: look
-- What a checkpoint has to know, as of one moment, which the first row tells: of the given runs how often the wishes for them have changed,
-- what is wanted of them that they were not told yet, and their oldest signals in order of arrival, with payloads of $6 bytes in all, or one in any
-- case; if $5, who is suspected, and dead owners.
select 'now' as what, null as run_id, coalesce($4::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint) as number,
    null::bigint as at, null as id, null as word, null::bytea as payload, null::bigint as checksum
union all
select 'run', asked.id, run.wishes, null, null, null, null, null from unnest($2::text[]) as asked (id) cross join lateral (
    select wishes from perdure.runs where namespace = $1 and runs.id = asked.id offset 0
) as run
union all
select 'wish', run_id, arrived_at, grace, null, kind, null, null from perdure.requests
where namespace = $1 and run_id = any($2::text[]) and told_at is null
union all
select 'signal', read.run_id, read.number, read.arrived_at, read.id, read.topic,
    case when read.bytes <= $6::bigint or read.place = 1 then read.payload end, read.checksum
from (
    select asked.run_id, page.*, sum(octet_length(page.payload)) over in_turn as bytes, row_number() over in_turn as place
    from unnest($2::text[]) with ordinality as asked (run_id, turn) cross join lateral (
        select inbox.number, inbox.arrived_at, inbox.id, inbox.topic, inbox.payload, inbox.checksum from perdure.inbox
        where inbox.namespace = $1 and inbox.run_id = asked.run_id order by inbox.number, inbox.id limit $3
    ) as page
    window in_turn as (order by asked.turn, page.number, page.id)
) as read
union all
select 'suspect', run_id, strikes, null, null, null, null, null from perdure.suspects where $5 and namespace = $1
union all
select 'dead', owners.owner, null, null, null, null, null, null from (
    with recursive owners (owner) as (
        select min(owner) from perdure.runs where $5 and namespace = $1 and owner > ''
        union all
        select (select min(owner) from perdure.runs where namespace = $1 and owner > owners.owner) from owners where owners.owner is not null
    )
    select owner from owners
    where owner is not null
        and not exists (select 1 from perdure.workers where namespace = $1 and incarnation = owners.owner and state = 'live')
) as owners;

-- name: now
-- The time by the clock of the database, for a checkpoint that has nothing else to know.
select coalesce($1::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint);

-- name: lock
-- Nobody changes these runs, or what is wanted of them, until the transaction ends; in the order in which everybody locks them.
select 1 from perdure.runs where namespace = $1 and id = any($2::text[]) order by id for update;

-- name: append
-- The fence, and records: all of it, or nothing. True if this incarnation is live and the checkpoint before is the last committed; and what the
-- clock says. Division by zero: $19, the moment that the records tell and that nobody has asked the database for, is not the present one.
with fence as (
    update perdure.workers
    set checkpoint = $3::bigint,
        expires_at = greatest(expires_at, $4::bigint + coalesce($5::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint))
    where namespace = $1 and incarnation = $2 and state = 'live' and checkpoint = $3::bigint - 1
    returning 1
), appended as (
    insert into perdure.history
        (namespace, run_id, generation, position, at, kind, name, command, digest, input, output, error, attempt, checksum)
    select $1, new.* from unnest($6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bigint[], $13::bytea[],
        $14::bytea[], $15::bytea[], $16::bytea[], $17::bigint[], $18::bigint[]) as new
    where exists (select 1 from fence)
    returning 1
)
select exists (select 1 from fence), moment.now,
    1 / (case when $19::bigint is null or moment.now - $19::bigint between 0 and 1000000 then 1 else 0 end)
from (select (extract(epoch from statement_timestamp()) * 1000000)::bigint as now) as moment;

-- name: write
-- The fence, records, and what becomes of runs: all of it, or nothing. Answers as above. Division by zero: the moment is not the present one,
-- a run is not mine, what is wanted of it has changed since it was looked at, or one of $39, at which nobody has looked, has signals in its inbox,
-- or something is wanted of it.
with fence as (
    update perdure.workers
    set checkpoint = $3::bigint,
        expires_at = greatest(expires_at, $4::bigint + coalesce($5::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint))
    where namespace = $1 and incarnation = $2 and state = 'live' and checkpoint = $3::bigint - 1
    returning 1
), appended as (
    insert into perdure.history
        (namespace, run_id, generation, position, at, kind, name, command, digest, input, output, error, attempt, checksum)
    select $1, new.* from unnest($6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bigint[], $13::bytea[],
        $14::bytea[], $15::bytea[], $16::bytea[], $17::bigint[], $18::bigint[]) as new
    where exists (select 1 from fence)
    returning 1
), quiet as materialized (
    select 1 from unnest($39::text[]) as asked (id)
    where not exists (select 1 from perdure.inbox where inbox.namespace = $1 and inbox.run_id = asked.id offset 0)
        and not exists (
            select 1 from perdure.requests where requests.namespace = $1 and requests.run_id = asked.id and requests.told_at is null offset 0
        )
), new as materialized (
    select $1::text as namespace, run.place_of, run.wishes as seen, new.*
    from unnest($20::text[], $21::text[], $22::bigint[], $23::bigint[], $24::bytea[], $25::bytea[], $26::boolean[], $27::bigint[], $28::bigint[],
            $29::bytea[], $30::bigint[], $31::text[], $32::bigint[])
        as new (id, state, ended_at, wake_at, waiting_for, error, needs_python, generation, issued, note, reached, python, wishes)
        cross join lateral (
            select /*{*/ ctid /*| 1 }*/ as place_of, runs.wishes from perdure.runs
            where runs.namespace = $1 and runs.id = new.id offset 0
        ) as run
), changed as (
    update perdure.runs as run
    set state = coalesce(new.state, run.state),
        owner = case when new.state is null then run.owner end,
        ended_at = new.ended_at,
        wake_at = new.wake_at,
        waiting_for = case when new.state is null then run.waiting_for else new.waiting_for end,
        error = coalesce(new.error, run.error),
        only_python = case when new.generation is not null then '' when new.needs_python then run.python else run.only_python end,
        generation = coalesce(new.generation, run.generation),
        issued = case when new.generation is not null then 0 else greatest(run.issued, coalesce(new.issued, 0)) end,
        reached = case when new.generation is not null then 0 else greatest(run.reached, coalesce(new.reached, 0)) end,
        note = coalesce(new.note, run.note),
        python = coalesce(nullif(new.python, ''), run.python)
    from new
    where /*{*/ run.ctid = new.place_of /*| run.namespace = new.namespace and run.id = new.id }*/ and coalesce(run.owner, '') = $2
        and run.wishes = coalesce(new.wishes, new.seen)
        and exists (select 1 from fence)
    returning 1
), gone as materialized (
    select $1::text as namespace, gone.run_id, attempt.*
    from unnest($33::text[], $34::bigint[], $35::boolean[]) as gone (run_id, command, spares_intents) cross join lateral (
        select /*{*/ ctid /*| 1 }*/ as place_of, attempts.command from perdure.attempts
        where attempts.namespace = $1 and attempts.run_id = gone.run_id and attempts.command = coalesce(gone.command, attempts.command)
            and not (gone.spares_intents and attempts.intent is not null)
        offset 0
    ) as attempt
), over as (
    delete from perdure.attempts as known using gone
    where /*{*/ known.ctid = gone.place_of /*| known.namespace = gone.namespace and known.run_id = gone.run_id and known.command = gone.command }*/
        and exists (select 1 from fence)
    returning 1
), read as materialized (
    select $1::text as namespace, signal.place_of, read.*
    from unnest($36::text[], $37::bigint[], $38::text[]) as read (run_id, number, id) cross join lateral (
        select /*{*/ ctid /*| 1 }*/ as place_of from perdure.inbox
        where inbox.namespace = $1 and inbox.run_id = read.run_id and inbox.number = read.number and inbox.id = read.id offset 0
    ) as signal
), taken as (
    delete from perdure.inbox as known using read
    where /*{*/ known.ctid = read.place_of /*| known.namespace = read.namespace and known.run_id = read.run_id and known.number = read.number and known.id = read.id }*/
        and exists (select 1 from fence)
    returning 1
)
select exists (select 1 from fence), moment.now,
    1 / (case
        when not exists (select 1 from fence) then 1
        when $19::bigint is not null and moment.now - $19::bigint not between 0 and 1000000 then 0
        when (select count(*) from quiet) <> cardinality($39::text[]) then 0
        when (select count(*) from changed) <> cardinality($20::text[]) then 0
        else 1
    end)
from (select (extract(epoch from statement_timestamp()) * 1000000)::bigint as now) as moment;

-- name: insert_records
-- Appends; a position that is taken is an error, never overwritten.
insert into perdure.history
    (namespace, run_id, generation, position, at, kind, name, command, digest, input, output, error, attempt, checksum)
select $1, new.* from unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::bigint[], $9::bytea[],
    $10::bytea[], $11::bytea[], $12::bytea[], $13::bigint[], $14::bigint[]) as new;

-- name: trouble
-- Somebody is to be told of this run; whatever was to be told of it before is out of date.
insert into perdure.troubles (namespace, run_id, kind, at, tries, next_at) values ($1, $2, $3, $4, 0, $4)
on conflict (namespace, run_id) do update set kind = excluded.kind, at = excluded.at, tries = 0, next_at = excluded.next_at;

-- name: forget_untold
-- A page of the troubles that nobody has asked for since $2: nobody wants to be told.
delete from perdure.troubles where namespace = $1 and run_id in
    (select run_id from perdure.troubles where namespace = $1 and next_at < $2 order by next_at limit $3);

-- name: clear_strikes
-- It got past what it was suspected for.
delete from perdure.suspects where namespace = $1 and run_id = $2;

-- name: fail_attempt
-- Says how often this command has failed and when it is tried again, whatever stood there.
insert into perdure.attempts (namespace, run_id, command, name, digest, failures, began_at, next_at, error, intent)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, null)
on conflict (namespace, run_id, command) do update set name = excluded.name, digest = excluded.digest, failures = excluded.failures,
    began_at = excluded.began_at, next_at = excluded.next_at, error = excluded.error, intent = null;

-- name: intend
-- Says who is about to run this command; failures counted before stay.
insert into perdure.attempts (namespace, run_id, command, name, digest, failures, began_at, next_at, error, intent)
values ($1, $2, $3, $4, $5, 0, $6, null, null, $7)
on conflict (namespace, run_id, command) do update set intent = excluded.intent, next_at = null;

-- name: forget_attempts
-- None of an ended run's attempts is left.
delete from perdure.attempts where namespace = $1 and run_id = $2;

-- name: open_generation
-- Opens a generation; one that exists is an error.
insert into perdure.generations
    (namespace, run_id, generation, reason, base_generation, base_position, key_generation, input, checksum, opened_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: tell_cancel
-- The run is told; a repeat finds that it was.
update perdure.requests set told_at = $3 where namespace = $1 and run_id = $2 and kind = 'cancel';

-- name: outdate
-- Generations below this one may be forgotten.
insert into perdure.outdated (namespace, run_id, generation) values ($1, $2, $3)
on conflict (namespace, run_id) do update set generation = excluded.generation;

-- name: meet
-- What was wanted of the run is done, or can be done no more.
delete from perdure.requests where namespace = $1 and run_id = $2 and kind = $3;

-- name: forget_requests
-- Nothing is wanted any more of a run that has ended.
delete from perdure.requests where namespace = $1 and run_id = $2;
