"""Tells other stores on the database that something was written, and hears of it from them.

A notification inside a transaction that writes makes commits wait for each other, so it is sent afterwards, for all that was committed
meanwhile, and it is only ever a hint: a server or a pooler that delivers none costs time and nothing else.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import asyncpg

from perdure.errors import StoreError
from perdure.ids import OsEntropy
from perdure.store.postgresql.connections import Connection, Connections, connect
from perdure.store.postgresql.scope import Scope
from perdure.store.postgresql.signals import wake

log = logging.getLogger("perdure.store")

PAUSE_SECONDS = 0.005  # between two notifications: what is committed in between shares the next
AGAIN_SECONDS = 2.0  # after the connection that listens was lost
WAKES_MOST = 1000  # runs whose signals came within one round; sweeps find the others
SENT = "sent "  # what a notification begins with that goes on with the id of a run
NOTIFY = "select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"
"""A hint that a crash takes away is no loss: its commit waits for no disk."""


def channel_of(scope: Scope) -> str:
    return "perdure_" + hashlib.sha256(f"{scope.schema}/{scope.namespace}".encode()).hexdigest()[:32]


class Hints:
    """Listens as long as somebody watches."""

    def __init__(self, connections: Connections, scope: Scope) -> None:
        self._connections = connections
        self._scope = scope
        self._channel = channel_of(scope)
        self._to_wake: dict[str, None] = {}
        self._is_waking = False
        self._me = OsEntropy().bytes(8).hex()
        self._loop = asyncio.get_running_loop()
        self._callbacks: dict[object, Callable[[], None]] = {}
        self._listening: Connection | None = None
        self._is_connecting = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_news = False
        self._timer: asyncio.TimerHandle | None = None
        self._again: asyncio.TimerHandle | None = None
        self._is_closed = False

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def tell(self) -> None:
        """Something that others may wait for is committed."""
        self._has_news = True
        if self._timer is None and not self._is_closed and not self._connections.address.is_portable:
            self._timer = self._loop.call_later(PAUSE_SECONDS, self._notify_soon)

    def _notify_soon(self) -> None:
        self._timer = None
        if self._has_news and not self._is_closed:
            self._has_news = False
            self._spawn(self._notify())

    async def _notify(self) -> None:
        try:
            await self._connections.read(lambda db: db.execute(NOTIFY, self._channel, self._me))
        except StoreError as error:  # they find it by looking
            log.debug("nobody could be told that something was written: %s", error)

    # ── hearing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        place = object()
        self._callbacks[place] = callback
        if len(self._callbacks) == 1 and self._connections.address.carries_hints:
            self._spawn(self._listen())

        def stop() -> None:
            self._callbacks.pop(place, None)

        return stop

    async def _listen(self) -> None:
        if self._listening is not None or self._is_connecting or self._is_closed:
            return
        self._is_connecting = True  # who watches may come and go meanwhile: one connection is enough
        try:
            self._listening = await self._connected()
        except (StoreError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:  # looking finds what is not told
            log.debug("what others write is not told now: %s", error)
            self._listen_again()
        else:
            self._tell_all()  # something may have been written before
        finally:
            self._is_connecting = False

    async def _connected(self) -> Connection:
        db = await connect(self._connections.address)
        try:
            await db.add_listener(self._channel, self._heard)
        except BaseException:
            db.terminate()
            raise
        db.add_termination_listener(self._lost)
        return db

    def _lost(self, _db: object) -> None:
        self._listen_again()

    def _listen_again(self) -> None:
        self._listening = None
        if self._callbacks and not self._is_closed and self._again is None:
            self._again = self._loop.call_later(AGAIN_SECONDS, self._begin_again)

    def _begin_again(self) -> None:
        self._again = None
        self._spawn(self._listen())

    def _heard(self, _db: object, _pid: int, _channel: str, who: object) -> None:
        if isinstance(who, str) and who.startswith(SENT):
            self._wake_soon(who.removeprefix(SENT))
        elif who != self._me:
            self._tell_all()

    def _wake_soon(self, run_id: str) -> None:
        """A signal was stored in a transaction of its sender, who must not touch the row of its run."""
        if len(self._to_wake) < WAKES_MOST:
            self._to_wake[run_id] = None
            if not self._is_waking:
                self._is_waking = True
                self._spawn(self._wake_all())

    async def _wake_all(self) -> None:
        try:
            while self._to_wake:
                run_id, _ = self._to_wake.popitem()  # before it is woken: what comes meanwhile is met again
                await self._connections.write(partial(wake, scope=self._scope, run_id=run_id))
        except StoreError as error:  # the sweep wakes them
            log.debug("what was sent to waiting runs is found by the next sweep: %s", error)
        finally:
            self._to_wake.clear()
            self._is_waking = False
        self._tell_all()

    def _tell_all(self) -> None:
        for callback in list(self._callbacks.values()):
            callback()

    # ── its end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Idempotent. Comes before the connections are closed."""
        self._is_closed = True
        self._callbacks.clear()
        for timer in (self._timer, self._again):
            if timer is not None:
                timer.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks)
        if self._has_news and self._timer is not None:
            await self._notify()
        self._timer = None
        if self._listening is not None:
            self._listening.terminate()
            self._listening = None
