"""I5 as one query: it finds runs that nothing will ever move. In a sound store it finds none, after any commit."""

STRANDED = """
select id, case
        when state = 'pending' then 'pending, but never due'
        when state = 'running' then 'its owner holds a lease that is longer than any'
        when state = 'quarantined' then 'quarantined without a reason'
        when wake_at is null and not exists (select 1 from inbox where inbox.namespace = runs.namespace and run_id = runs.id)
            then 'waiting for nothing'
        else 'waiting with signals in its inbox, but not due'
    end as why
from runs
where case state
        when 'pending' then wake_at is null or owner is not null
        when 'running' then
            (select expires_at from workers where workers.namespace = runs.namespace and incarnation = owner and state = 'live')
                > :now + 1e9
        when 'quarantined' then error is null
        when 'waiting' then
            exists (select 1 from inbox where inbox.namespace = runs.namespace and run_id = runs.id) and wake_at is null
            or exists (select 1 from requests where requests.namespace = runs.namespace and run_id = runs.id) and wake_at is null
            or wake_at is null and coalesce(cast(waiting_for as text), '') not like '%"kind":"signal"%'
        else owner is not null or wake_at is not null
    end
"""
