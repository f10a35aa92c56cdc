"""What people do to a run from outside: cancel, pause, resume, retry and delete it."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from perdure.clock import Duration, to_microseconds
from perdure.errors import RunNotFound

if TYPE_CHECKING:
    from perdure.client import Client


class Lifecycle:
    """Each call is on disk when it returns, and may be repeated. A worker in this process is told at once."""

    def __init__(self, client: "Client") -> None:
        self._client = client

    async def cancel(self, run_id: str, grace: Duration | None) -> None:
        settings = self._client._settings
        length = to_microseconds(settings.cancel_grace_seconds if grace is None else grace, "grace")
        await self._ask(run_id, lambda: self._client._store.cancel(run_id, length))

    async def pause(self, run_id: str) -> None:
        await self._ask(run_id, lambda: self._client._store.pause(run_id))

    async def resume(self, run_id: str) -> None:
        await self._ask(run_id, lambda: self._client._store.resume(run_id))

    async def retry(self, run_id: str) -> None:
        await self._ask(run_id, lambda: self._client._store.retry(run_id))

    async def delete(self, run_id: str) -> None:
        is_repeat = False

        async def call() -> None:
            nonlocal is_repeat
            try:
                await self._client._store.delete(run_id)
            except RunNotFound:
                if not is_repeat:
                    raise
                return  # the call before, whose outcome was unknown, has deleted it
            finally:
                is_repeat = True

        await self._client._repeated(call)

    async def _ask(self, run_id: str, call: Callable[[], Awaitable[None]]) -> None:
        await self._client._repeated(call)
        self._client._signalled(run_id)
