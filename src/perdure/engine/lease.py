"""One life of a worker: its row, its locked file, and the thread that renews its lease while there is nothing to commit."""

import asyncio
import logging
import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass

from perdure.clock import SECOND
from perdure.engine.crumbs import Crumbs, crumbs_beside
from perdure.engine.deaths import boot_id
from perdure.engine.ports import Ports
from perdure.engine.presence import Presence
from perdure.engine.tenure import Tenure
from perdure.errors import StoreError, StoreUnavailable
from perdure.ids import new_id
from perdure.model.runs import WorkerRow
from perdure.settings import Settings
from perdure.store.protocol import Store

log = logging.getLogger("perdure.engine")


@dataclass(slots=True)
class Lease:
    """A registered incarnation. `end` stops renewing and lets go of the file."""

    incarnation: str
    presence: Presence | None
    heartbeat: "Heartbeat"
    has_fallen: bool = False

    def falls(self) -> bool:
        """Nothing is renewed any more, but the file is still held. Whether it is said for the first time."""
        is_first, self.has_fallen = not self.has_fallen, True
        self.heartbeat.stop()
        return is_first

    def end(self) -> None:
        self.heartbeat.stop()
        if self.presence is not None:
            self.presence.leave()


async def begin_lease(
    store: Store,
    ports: Ports,
    settings: Settings,
    workflows: tuple[str, ...],
    crumbs: Crumbs,
    tenure: Tenure,
    on_lost: Callable[[str], None],
) -> Lease:
    """Register a fresh random incarnation. The file is locked before the row can be seen."""
    now = ports.clock.now()
    incarnation = new_id(now, ports.entropy)
    presence = _show_presence(store.locks_folder, incarnation, crumbs)
    length = round(settings.lease_seconds * SECOND)
    row = WorkerRow(
        incarnation,
        platform.node(),
        boot_id(),
        os.getpid(),
        presence.path if presence else "",
        workflows,
        python_minor(),
        "live",
        0,
        0,
        now,
    )
    try:
        asked_at = tenure.asks()
        await store.register(row, length)
        tenure.is_renewed(asked_at)
        ports.reached("lease.registered")
    except BaseException:
        if presence is not None:
            presence.leave()
        raise
    return Lease(incarnation, presence, Heartbeat(store, incarnation, length, presence, ports, settings, tenure, on_lost))


def _show_presence(folder: str | None, incarnation: str, crumbs: Crumbs) -> Presence | None:
    if folder is None:
        return None
    try:
        presence = Presence(folder, f"{incarnation}.lock")
    except OSError as error:
        raise StoreUnavailable(f"no lock file can be made in {folder}: {error.strerror}; free space or permissions") from error
    try:
        crumbs.open(crumbs_beside(presence.path))
    except OSError as error:
        presence.leave()
        raise StoreUnavailable(f"no file can be made in {folder}: {error.strerror}; free space or permissions") from error
    return presence


class Heartbeat:
    """Renews the lease from a thread of its own, so that a blocked event loop or a slow batch does not lose it."""

    def __init__(
        self,
        store: Store,
        incarnation: str,
        lease: int,
        presence: Presence | None,
        ports: Ports,
        settings: Settings,
        tenure: Tenure,
        on_lost: Callable[[str], None],
    ) -> None:
        self._store = store
        self._incarnation = incarnation
        self._lease = lease
        self._presence = presence
        self._clock = ports.clock
        self._interval = settings.renew_seconds
        self._tenure = tenure
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._is_stopped = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._promise()
        if ports.beats_in_thread:
            threading.Thread(target=self._beat, name="perdure-lease", daemon=True).start()
        elif ports.beats_in_thread is not None:
            self._timer = self._loop.call_later(self._interval, self._beat_on_loop)

    def stop(self) -> None:
        self._is_stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        while not self._is_stopped.wait(self._interval):
            if not self._renew():
                return

    def _beat_on_loop(self) -> None:
        if not self._is_stopped.is_set() and self._renew():
            self._timer = self._loop.call_later(self._interval, self._beat_on_loop)

    def _promise(self) -> None:
        if self._presence is None:
            return
        try:
            self._presence.promise(self._clock.since_boot() + self._lease)
        except OSError as error:
            # The row in the store is renewed all the same, and decides then.
            log.warning("the lock file cannot be written: %s", error)

    def _renew(self) -> bool:
        """Whether to go on. Nothing is promised for a worker whose event loop does not run: it could do nothing with its runs."""
        if self._is_stopped.is_set() or self._loop.is_closed():
            return False
        if not self._loop.is_running():
            return True
        self._promise()
        try:
            asked_at = self._tenure.asks()
            is_live = self._store.renew(self._incarnation, self._lease)
        except Exception as error:  # whatever it is: a thread that ends would renew nothing any more, and nobody would know
            expected = isinstance(error, StoreError)
            log.warning("the lease could not be renewed, trying again: %s", error, exc_info=None if expected else error)
            return True
        if is_live and not self._is_stopped.is_set():
            self._tenure.is_renewed(asked_at)
        elif not self._is_stopped.is_set():
            self._report_loss()
        return is_live

    def _report_loss(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._on_lost, self._incarnation)
        except RuntimeError as error:  # the loop is closed: there is no worker any more that could own anything
            log.debug("lease lost after the end: %s", error)


def python_minor() -> str:
    return ".".join(platform.python_version_tuple()[:2])
