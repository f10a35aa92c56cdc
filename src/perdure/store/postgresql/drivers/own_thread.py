"""A thread that belongs to one connection: drivers that block are used in it, and in no other."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
log = logging.getLogger("perdure.store")
Work = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class OwnThread:
    """Ends when what it was asked to do is done and it is closed. A body that never returns keeps no process from ending."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._last: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._serve, name="perdure-transaction", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """In the context of whoever asks."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()
        self._work.put((lambda: context.run(function, *args), answer, loop))
        return await answer

    def close(self, last: Callable[[], None]) -> None:
        """Do this behind all that was asked before, then end."""
        self._last = last
        self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            function, answer, loop = work
            value, error = None, None
            try:
                value = function()
            except BaseException as raised:  # handed to whoever asked
                error = raised
            try:
                loop.call_soon_threadsafe(tell, answer, value, error)
            except RuntimeError:  # the loop is closed: nobody asks any more
                return
            del work, function, answer, value, error
        try:
            self._last()
        except Exception as error:  # whatever could not be closed, the server undoes what it finds open
            log.debug("the connection of a transactional step could not be closed: %s", error)


def tell(answer: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
    if answer.done():
        return  # whoever asked was cancelled
    if isinstance(error, StopIteration):  # no future can hold one
        answer.set_exception(RuntimeError(f"it raised {error!r}"))
    elif error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(value)
