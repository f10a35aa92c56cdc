-- What lists and the removal of old runs need to stay fast with a million runs.

create index runs_by_state on runs (namespace, state, created_at, id);
create index runs_by_workflow on runs (namespace, workflow, state, created_at, id); -- of all states: one search for each, merged
create index runs_ended on runs (namespace, state, ended_at) where ended_at is not null;
