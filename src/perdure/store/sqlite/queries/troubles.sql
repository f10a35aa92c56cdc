-- name: due
-- Troubles that may be told now, the longest due first.
select run_id, kind, at, tries from troubles where namespace = ?1 and next_at <= ?2 order by next_at limit ?3;

-- name: take
-- Nobody else is given it before ?3.
update troubles set tries = tries + 1, next_at = ?3 where namespace = ?1 and run_id = ?2;

-- name: mend
-- Says what the trouble of a run is about, where that could not be read.
update troubles set kind = ?3 where namespace = ?1 and run_id = ?2;

-- name: told
-- One row if it is still the same trouble: it is kept as told.
update troubles set next_at = null where namespace = ?1 and run_id = ?2 and kind = ?3 and at = ?4;

-- name: put_off
-- One row if it is still the same trouble: it is told again at ?5.
update troubles set next_at = ?5 where namespace = ?1 and run_id = ?2 and kind = ?3 and at = ?4;

-- name: forget
-- One row if it is still the same trouble: nothing is known of it any more.
delete from troubles where namespace = ?1 and run_id = ?2 and kind = ?3 and at = ?4;

-- name: stranded
-- The runs that were noted as stranded, told or not, and where they stand now.
select run_id, at, workflow, only_python, state, wake_at, owner
from troubles left join runs on runs.namespace = troubles.namespace and runs.id = run_id
where troubles.namespace = ?1 and kind = 'stranded';

-- name: note_stranded
-- One row unless something is known of this run already.
insert into troubles (namespace, run_id, kind, at, tries, next_at) values (?1, ?2, 'stranded', ?3, 0, ?4) on conflict do nothing;

-- name: next_due_group
-- The workflow and Python that follow the given ones among runs that nobody owns and that will be due.
select workflow, only_python from runs
where namespace = ?1 and wake_at is not null and (workflow, only_python) > (cast(?2 as text), cast(?3 as text)) order by workflow, only_python limit 1;

-- name: long_due
-- Runs of one workflow and Python that have been due since ?4 or longer, the longest first.
select id, wake_at from runs where namespace = ?1 and workflow = cast(?2 as text) and only_python = cast(?3 as text) and wake_at <= ?4 order by wake_at limit ?5;

-- name: next_owned_workflow
-- The workflow that follows the given one among the runs of one owner.
select workflow from runs indexed by runs_owned where namespace = ?1 and owner = cast(?2 as text) and workflow > cast(?3 as text) order by workflow limit 1;

-- name: orphans
-- Runs of one workflow that belong to one dead owner and can be replayed by none of the Pythons in a JSON list.
select id from runs indexed by runs_owned
where namespace = ?1 and owner = cast(?2 as text) and workflow = cast(?3 as text) and only_python not in (select value from json_each(?4)) limit ?5;
