-- What claims, lists and the removal of old runs need to stay fast with a million runs. Only rows that are looked for are in an index.

create index if not exists runs_due on perdure.runs (namespace, workflow, only_python, wake_at) where wake_at is not null;
create index if not exists runs_owned on perdure.runs (namespace, owner, workflow) where owner is not null;
create index if not exists runs_listed on perdure.runs (namespace, created_at, id);
create index if not exists runs_by_state on perdure.runs (namespace, state, created_at, id);
create index if not exists runs_by_workflow on perdure.runs (namespace, workflow, state, created_at, id);
create index if not exists runs_ended on perdure.runs (namespace, state, ended_at) where ended_at is not null;
create index if not exists signal_keys_ageing on perdure.signal_keys (namespace, run_id, sent_at) where sent_at is not null;
create index if not exists troubles_due on perdure.troubles (namespace, next_at) where next_at is not null;
