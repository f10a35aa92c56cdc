"""What steps that are a plain `def` have in common: their connection lives in a thread of its own."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from perdure.errors import StoreUnavailable
from perdure.store.postgresql.drivers.own_thread import OwnThread
from perdure.store.postgresql.drivers.translating import Translating
from perdure.store.postgresql.statements import Statements


class Blocking(Protocol):
    """One connection. Everything is called in its thread, but `is_lost` and `cancel`."""

    given: Any

    def begin(self) -> None: ...
    def fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Any]: ...
    def commit(self) -> None: ...
    def close(self) -> None:
        """What is open is rolled back."""

    def is_lost(self) -> bool: ...
    def cancel(self) -> None:
        """Let the server end the statement that it is at."""


class InThread:
    """A step's connection, as asyncio sees it."""

    def __init__(self, thread: OwnThread, made: Blocking) -> None:
        self._thread = thread
        self._made = made
        self._is_open = True
        self._statements = Translating(self._fetch, lambda: self.is_lost)

    @property
    def statements(self) -> Statements:
        return self._statements

    async def _fetch(self, statement: str, values: Sequence[Any]) -> Sequence[Any]:
        return await self._thread.run(self._made.fetch, statement, values)

    async def begin(self) -> None:
        await self._statements.translated(lambda: self._thread.run(self._made.begin))

    async def call(self, body: Callable[[Any], Any]) -> Any:
        value = await self._thread.run(body, self._made.given)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError(f"a transactional step that is given {type(self._made.given).__qualname__}, which blocks, is a plain `def`")
        return value

    @property
    def is_lost(self) -> bool:
        return not self._is_open or self._made.is_lost()

    async def commit(self) -> None:
        await self._statements.committed(lambda: self._thread.run(self._made.commit))

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._thread.close(self._made.close)

    def cut(self) -> None:
        """Python code that never returns cannot be ended, and keeps its transaction open as long as the server lets it."""
        if self._is_open:
            self._is_open = False
            OwnThread().close(self._made.cancel)  # its own may be waiting for the server just now
            self._thread.close(self._made.close)


async def in_thread(make: Callable[[], Blocking], shown: str) -> InThread:
    """Raises StoreUnavailable where no connection can be made."""
    thread = OwnThread()
    try:
        return InThread(thread, await thread.run(make))
    except Exception as error:
        thread.close(lambda: None)
        raise StoreUnavailable(f"{shown}: no connection can be made ({type(error).__name__}: {error})") from error
