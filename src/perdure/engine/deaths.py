"""Whether another worker is dead: by its locked file, by the boot of its machine, and by its lease."""

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from perdure.clock import Clock
from perdure.engine.presence import is_gone, promised_until

if TYPE_CHECKING:
    from perdure.model.runs import WorkerRow
    from perdure.store.protocol import Store


def is_dead(store: "Store", clock: Clock, worker: "WorkerRow") -> bool:
    """Whether a sweep would declare it dead. Raises OSError where nobody can tell."""
    return is_dead_by(worker, lock_of(store, worker.lock), clock)


def lock_of(store: "Store", lock: str) -> str:
    """Its file in this process's own folder: another container may have the same folder mounted elsewhere."""
    folder = store.locks_folder
    is_a_path = bool(lock) and "\0" not in lock  # else the row is damaged, and the lease decides
    return os.path.join(os.path.abspath(folder), os.path.basename(lock)) if folder and is_a_path else ""


def is_dead_by(worker: "WorkerRow", lock: str, clock: Clock) -> bool:
    """Its lock is free, its machine has booted since, or its lease is over, in the store and in its file. Raises OSError."""
    if worker.is_expired is not None:
        return is_dead_anywhere(worker, lock, clock, worker.is_expired)
    if is_gone(lock) and (lock == worker.lock or os.path.exists(lock)):  # a file that was never here says nothing
        return True
    here = _boot()
    if here and worker.boot and worker.boot != here:
        return True
    now = clock.since_boot()
    return now > worker.expires_at and now > promised_until(lock)


@cache
def _boot() -> str:
    """Read once: a moment without file descriptors comes when it likes. Raises OSError."""
    return boot_id()


def boot_id() -> str:
    """Names this boot of this machine; leases are counted from it. Empty where the system does not tell."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""


def is_dead_anywhere(worker: "WorkerRow", lock: str, clock: Clock, is_expired: bool) -> bool:
    """Of a store that several machines share: only a file that is here and that this very machine knows says anything."""
    is_here = worker.boot == _boot() and os.path.exists(lock)
    if is_here and is_gone(lock):
        return True
    return is_expired and not (is_here and clock.since_boot() <= promised_until(lock))
