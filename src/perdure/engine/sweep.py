"""The continuous search, in every worker, for what would otherwise be stranded."""

import logging
from collections.abc import Callable, Sequence

from perdure.clock import Clock
from perdure.engine.crumbs import executing
from perdure.engine.deaths import is_dead_by, lock_of
from perdure.engine.presence import forget_presence
from perdure.errors import StoreError, StoreFailed
from perdure.model.runs import WorkerRow
from perdure.settings import Settings
from perdure.store.protocol import FenceLost, Store

log = logging.getLogger("perdure.engine")


async def sweep(
    store: Store, clock: Clock, incarnation: str, workflows: Sequence[str], settings: Settings, acknowledged: Callable[[], int]
) -> bool:
    """Declare dead workers dead, wake what missed its wake-up; whether there is something to claim.

    Idempotent: what fails is met again next time. Raises FenceLost where the store has fewer checkpoints of this worker than acknowledged.
    """
    known = acknowledged()  # before the store is asked
    survey = await store.survey(workflows)
    if any(worker.checkpoint < known for worker in survey.workers if worker.incarnation == incarnation):
        raise FenceLost(f"the store has lost acknowledged checkpoints of worker {incarnation}")
    others = [worker for worker in survey.workers if worker.state == "live" and worker.incarnation != incarnation]
    died = [worker for worker in others if await _look_after(store, clock, worker)]
    missed = await store.wake_missed() if survey.has_missed else 0
    if missed:
        log.info("%d waiting runs had undelivered signals; they are due now", missed)
    for _ in range(settings.outdated_pages if survey.has_outdated else 0):
        if not await store.forget_outdated(settings.outdated_page):
            break
    if died or any(worker.state == "dead" for worker in survey.workers):
        await store.bury(lambda lock: _forget(lock_of(store, lock)))
    return bool(died or missed or survey.is_claimable)


async def _look_after(store: Store, clock: Clock, worker: WorkerRow) -> bool:
    """Whether it was found dead. What cannot be told of one worker is no trouble of the others."""
    lock = lock_of(store, worker.lock)
    try:
        if is_dead_by(worker, lock, clock):
            await _declare_dead(store, worker, lock)
            return True
    except StoreFailed:
        raise
    except (OSError, StoreError) as error:
        # The next sweep meets it again.
        log.warning("whether worker %s is dead could not be told or recorded: %s", worker.incarnation, error)
    return False


async def _declare_dead(store: Store, worker: WorkerRow, lock: str) -> None:
    suspects, was_alone = executing(lock)
    if await store.declare_dead(worker.incarnation, worker.expires_at, suspects, was_alone=was_alone):
        log.warning("worker %s (pid %d on %s) is dead; its runs go to the others", worker.incarnation, worker.pid, worker.host)


def _forget(lock: str) -> None:
    try:
        forget_presence(lock)
    except OSError as error:  # nobody reads them any more
        log.warning("the files of a dead worker stay, to be removed by hand: %s", error)
