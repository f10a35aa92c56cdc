"""The continuous search, in every worker, for what would otherwise be stranded."""

import logging
import os
from collections.abc import Sequence
from functools import cache

from perdure.clock import Clock
from perdure.engine.crumbs import executing
from perdure.engine.lease import boot_id
from perdure.engine.presence import forget_presence, is_gone, promised_until
from perdure.errors import StoreError, StoreFailed
from perdure.model.runs import WorkerRow
from perdure.settings import Settings
from perdure.store.protocol import Store

log = logging.getLogger("perdure.engine")


async def sweep(store: Store, clock: Clock, incarnation: str, workflows: Sequence[str], settings: Settings) -> bool:
    """Declare dead workers dead, wake what missed its wake-up; whether there is something to claim.

    Idempotent: what fails is met again next time.
    """
    survey = await store.survey(workflows)
    others = [worker for worker in survey.workers if worker.state == "live" and worker.incarnation != incarnation]
    died = [worker for worker in others if await _look_after(store, clock, worker)]
    missed = await store.wake_missed() if survey.has_missed else 0
    if missed:
        log.info("%d waiting runs had undelivered signals; they are due now", missed)
    for _ in range(settings.outdated_pages if survey.has_outdated else 0):
        if not await store.forget_outdated(settings.outdated_page):
            break
    if died or any(worker.state == "dead" for worker in survey.workers):
        for lock in await store.bury():
            _forget(_here(store, lock))
    return bool(died or missed or survey.is_claimable)


async def _look_after(store: Store, clock: Clock, worker: WorkerRow) -> bool:
    """Whether it was found dead. What cannot be told of one worker is no trouble of the others."""
    lock = _here(store, worker.lock)
    try:
        if _is_dead(worker, lock, clock):
            await _declare_dead(store, worker, lock)
            return True
    except StoreFailed:
        raise
    except (OSError, StoreError) as error:
        # The next sweep meets it again.
        log.warning("whether worker %s is dead could not be told or recorded: %s", worker.incarnation, error)
    return False


def is_dead(store: Store, clock: Clock, worker: WorkerRow) -> bool:
    """Whether a sweep would declare it dead. Raises OSError where nobody can tell."""
    return _is_dead(worker, _here(store, worker.lock), clock)


def _here(store: Store, lock: str) -> str:
    """Its file in this process's own folder: another container may have the same folder mounted elsewhere."""
    folder = store.locks_folder
    return os.path.join(os.path.abspath(folder), os.path.basename(lock)) if folder and lock else ""


def _is_dead(worker: WorkerRow, lock: str, clock: Clock) -> bool:
    """Its lock is free, its machine has booted since, or its lease is over, in the store and in its file. Raises OSError."""
    if worker.is_expired is not None:
        return _is_dead_anywhere(worker, lock, clock, worker.is_expired)
    if is_gone(lock) and (lock == worker.lock or os.path.exists(lock)):  # a file that was never here says nothing
        return True
    here = _boot_id()
    if here and worker.boot and worker.boot != here:
        return True
    now = clock.since_boot()
    return now > worker.expires_at and now > promised_until(lock)


def _is_dead_anywhere(worker: WorkerRow, lock: str, clock: Clock, is_expired: bool) -> bool:
    """Of a store that several machines share: only a file that is here and that this very machine knows says anything."""
    is_here = worker.boot == _boot_id() and os.path.exists(lock)
    if is_here and is_gone(lock):
        return True
    return is_expired and not (is_here and clock.since_boot() <= promised_until(lock))


@cache
def _boot_id() -> str:
    """Read once: a moment without file descriptors comes when it likes. Raises OSError."""
    return boot_id()


async def _declare_dead(store: Store, worker: WorkerRow, lock: str) -> None:
    suspects, was_alone = executing(lock)
    if await store.declare_dead(worker.incarnation, worker.expires_at, suspects, was_alone=was_alone):
        log.warning("worker %s (pid %d on %s) is dead; its runs go to the others", worker.incarnation, worker.pid, worker.host)


def _forget(lock: str) -> None:
    try:
        forget_presence(lock)
    except OSError as error:  # nobody reads them any more
        log.warning("the files of a dead worker stay, to be removed by hand: %s", error)
