"""Ends what is suspended in a run that leaves memory: each `finally` runs here and now, where no command is answered any more."""

import asyncio
import ctypes
import logging
from collections.abc import AsyncGenerator
from contextvars import Context
from typing import Any

from perdure.runtime.tasks import NumberedTask

log = logging.getLogger("perdure.workflow")
THROWS_MOST = 100  # how often code that swallows RunClosing is asked to end

_stubborn: list[object] = []
"""What would not end. Held for ever, for the garbage collector would run its code outside its run."""


class RunClosing(BaseException):
    """What workflow code gets wherever it waits while its run is dropped from memory: not an Exception, so that nobody swallows it."""


def close_task(loop: asyncio.AbstractEventLoop, task: NumberedTask) -> bool:
    """In its own context, and as the current task so that `asyncio.timeout` works. Whether it ended; if not, it is held for ever."""
    if task.done():  # it ended the run: its error is the run's, and asyncio need not complain that nobody awaited it
        _ = task.cancelled() or task.exception()
        return True
    task._log_destroy_pending = False
    return _end_as(loop, task, task.context, task.get_coro()) or _hold(task)


def unlink(task: NumberedTask) -> None:
    """A task and what it waits for refer to each other: without the circle nothing of a run is left to the garbage collector."""
    waited_for = task._fut_waiter
    for future in (waited_for, task):
        if isinstance(future, asyncio.Future):
            asyncio.Future.cancel(future)  # of a task too: only its callbacks are to go


def close_generator(loop: asyncio.AbstractEventLoop, task: NumberedTask, generator: AsyncGenerator[Any, Any]) -> bool:
    """Whose task it was is not known: any will do. Whether it ended; if not, it is held for ever."""
    _end_as(loop, task, Context(), generator.aclose())
    return getattr(generator, "ag_frame", None) is None or _hold(generator)


def _end_as(loop: asyncio.AbstractEventLoop, task: NumberedTask, context: Context, suspended: Any) -> bool:
    asyncio.tasks._enter_task(loop, task)
    try:
        return context.run(_end, suspended)
    finally:
        asyncio.tasks._leave_task(loop, task)


def _end(suspended: Any) -> bool:
    """`close()` would not do: where inner code goes on waiting it ends the outer code only, and the inner is left to the collector."""
    try:
        for _ in range(THROWS_MOST):
            suspended.throw(RunClosing())
    except BaseException as error:
        # It ended, whatever its clean-up raised: there is no run any more that could record it.
        log.debug("a task of a closing run: %r", error)
        return True
    return False


def _hold(stubborn: object) -> bool:
    _stubborn.append(stubborn)
    # The list goes when the process ends, and code that swallows everything would then go round for ever: so nobody gives this one back.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(stubborn))
    return False
