"""The continuous search, in every worker, for what would otherwise be stranded."""

import logging
from collections.abc import Sequence

from perdure.clock import Clock
from perdure.engine.crumbs import executing
from perdure.engine.lease import boot_id
from perdure.engine.presence import forget_presence, is_gone, promised_until
from perdure.errors import StoreError
from perdure.model.runs import WorkerRow
from perdure.settings import Settings
from perdure.store.protocol import Store

log = logging.getLogger("perdure.engine")


async def sweep(store: Store, clock: Clock, incarnation: str, workflows: Sequence[str], settings: Settings) -> bool:
    """Declare dead workers dead, wake what missed its wake-up; whether there is something to claim.

    Idempotent: what fails is met again next time.
    """
    for worker in await store.workers():
        if worker.state == "live" and worker.incarnation != incarnation and _is_dead(worker, clock):
            await _declare_dead(store, worker)
    missed = await store.wake_missed()
    if missed:
        log.info("%d waiting runs had undelivered signals; they are due now", missed)
    for _ in range(settings.outdated_pages):
        if not await store.forget_outdated(settings.outdated_page):
            break
    for lock in await store.bury():
        forget_presence(lock)
    return await store.has_claimable(workflows)


def _is_dead(worker: WorkerRow, clock: Clock) -> bool:
    """Its lock is free, its machine has booted since, or its lease is over, in the store and in its file."""
    if is_gone(worker.lock):
        return True
    here = boot_id()
    if here and worker.boot and worker.boot != here:
        return True
    now = clock.since_boot()
    return now > worker.expires_at and now > promised_until(worker.lock)


async def _declare_dead(store: Store, worker: WorkerRow) -> None:
    suspects, was_alone = executing(worker.lock)
    try:
        if await store.declare_dead(worker.incarnation, worker.expires_at, suspects, was_alone=was_alone):
            log.warning("worker %s (pid %d on %s) is dead; its runs go to the others", worker.incarnation, worker.pid, worker.host)
    except StoreError as error:
        # The next sweep meets it again.
        log.warning("worker %s is dead but could not be declared so: %s", worker.incarnation, error)
