"""A thread with an event loop and a connection of its own: leases must not wait for the engine's loop."""

import asyncio
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong

from perdure.clock import Microseconds
from perdure.errors import StoreUnavailable
from perdure.store.postgresql import workers
from perdure.store.postgresql.address import Address
from perdure.store.postgresql.connections import Connections
from perdure.store.postgresql.scope import Scope

RENEWAL_SECONDS = 2.5  # below the interval of renewals: a late answer is of no use


class Renewer:
    """Begins with the first renewal."""

    def __init__(self, address: Address, scope: Scope) -> None:
        self._address = address
        self._scope = scope
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connections: Connections | None = None
        self._is_closed = False

    def renew(self, incarnation: str, lease: Microseconds) -> bool:
        """Blocking, from any thread. Raises StoreUnavailable."""
        asked = self._asked(incarnation, lease)
        try:
            return asked.result(RENEWAL_SECONDS)
        except TookTooLong as error:
            asked.cancel()
            raise StoreUnavailable(f"{self._address.shown} did not answer in {RENEWAL_SECONDS:g} s; the lease was not renewed") from error

    def _asked(self, incarnation: str, lease: Microseconds) -> "Future[bool]":
        with self._lock:
            if self._is_closed:
                raise StoreUnavailable("the store is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="perdure-renewer", daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(self._renew(incarnation, lease), self._loop)

    async def _renew(self, incarnation: str, lease: Microseconds) -> bool:
        if self._connections is None:
            self._connections = Connections(self._address, most=1)
        return await self._connections.write(lambda db: workers.renew(db, self._scope, incarnation, lease))

    def close(self) -> None:
        """Blocking, and short. Idempotent."""
        with self._lock:
            self._is_closed = True
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._leave(), loop)
        thread.join()
        loop.close()

    async def _leave(self) -> None:
        if self._connections is not None:
            await self._connections.close()
        asyncio.get_running_loop().stop()
