"""One life of a worker: its row, its locked file, and the thread that renews its lease while there is nothing to commit."""

import asyncio
import logging
import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from perdure.clock import SECOND
from perdure.engine.crumbs import Crumbs, crumbs_beside
from perdure.engine.ports import Ports
from perdure.engine.presence import Presence
from perdure.engine.tenure import Tenure
from perdure.errors import StoreError
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
    folder = store.locks_folder
    presence = Presence(folder, f"{incarnation}.lock") if folder is not None else None
    if presence is not None:
        crumbs.open(crumbs_beside(presence.path))
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
    return Lease(incarnation, presence, Heartbeat(store, incarnation, length, ports, settings, tenure, on_lost))


class Heartbeat:
    """Renews the lease from a thread of its own, so that a blocked event loop or a slow batch does not lose it."""

    def __init__(
        self,
        store: Store,
        incarnation: str,
        lease: int,
        ports: Ports,
        settings: Settings,
        tenure: Tenure,
        on_lost: Callable[[str], None],
    ) -> None:
        self._store = store
        self._incarnation = incarnation
        self._lease = lease
        self._interval = settings.renew_seconds
        self._tenure = tenure
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._is_stopped = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        if ports.beats_in_thread:
            threading.Thread(target=self._beat, name="perdure-lease", daemon=True).start()
        else:
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

    def _renew(self) -> bool:
        try:
            asked_at = self._tenure.asks()
            is_live = self._store.renew(self._incarnation, self._lease)
        except StoreError as error:
            log.warning("the lease could not be renewed, trying again: %s", error)
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


def boot_id() -> str:
    """Names this boot of this machine; leases are counted from it. Empty where the system does not tell."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""
