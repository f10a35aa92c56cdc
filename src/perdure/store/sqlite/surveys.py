"""What workers look at again and again, in one read."""

from collections.abc import Sequence

import apsw

from perdure.clock import Clock
from perdure.store.protocol import Outlook, Survey
from perdure.store.sqlite import outdated
from perdure.store.sqlite.claims import has_claimable, next_due
from perdure.store.sqlite.signals import addressed, has_missed
from perdure.store.sqlite.workers import listed


def survey(db: apsw.Connection, namespace: str, clock: Clock, workflows: Sequence[str], python: str) -> Survey:
    return Survey(
        listed(db, namespace),
        has_missed(db, namespace, clock),
        outdated.is_there(db, namespace),
        has_claimable(db, namespace, clock.now(), workflows, python),
    )


def outlook(db: apsw.Connection, namespace: str, clock: Clock, workflows: Sequence[str], python: str, owner: str, limit: int) -> Outlook:
    now = clock.now()
    return Outlook(
        addressed(db, namespace, limit, owner),
        has_claimable(db, namespace, now, workflows, python),
        next_due(db, namespace, workflows, python, now),
    )
