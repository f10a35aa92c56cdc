"""Tasks and futures that hash by (run, number), so that CPython iterates sets of them alike on every replay."""

import asyncio
import sys
from collections.abc import Coroutine, Generator
from contextvars import Context, copy_context
from types import FrameType
from typing import Any, TypeAlias

from perdure.errors import NotAllowedInWorkflow
from perdure.runtime.places import line_of

AnyCoroutine: TypeAlias = "Coroutine[Any, Any, Any] | Generator[Any, Any, Any]"


class NumberedTask(asyncio.Task[Any]):
    _fut_waiter: asyncio.Future[Any] | None  # of asyncio: what it waits for
    _log_destroy_pending: bool  # of asyncio: whether it complains about a task that is dropped unfinished

    def __init__(
        self, coroutine: AnyCoroutine, loop: asyncio.AbstractEventLoop, number: int, name: str | None, context: Context | None
    ) -> None:
        self.number = number
        self.context = copy_context() if context is None else context
        super().__init__(coroutine, loop=loop, name=name or f"task-{number & 0xFFFFFF}", context=self.context)

    def __hash__(self) -> int:
        return self.number


class NumberedFuture(asyncio.Future[Any]):
    def __init__(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


_internals = vars(asyncio.tasks)
_iterator = _internals.get("_AsCompletedIterator")  # since Python 3.13
_AS_COMPLETED = frozenset({asyncio.as_completed.__code__} | ({_iterator.__init__.__code__} if _iterator else set()))
_ENSURE = frozenset(function.__code__ for function in (asyncio.ensure_future, _internals.get("_ensure_future")) if function is not None)
_WAIT = _internals["_wait"].__code__


def unordered_batch(frame: FrameType | None) -> list[AnyCoroutine] | None:
    """The coroutines given to `as_completed`, in the caller's order, when it is asking for tasks.

    CPython puts them into a set first and so would start them in the order of their addresses. None when somebody else is asking.
    """
    while frame is not None and frame.f_code in _ENSURE:
        frame = frame.f_back
    if frame is not None and frame.f_code.co_name == "<setcomp>":
        frame = frame.f_back
    if frame is None or frame.f_code not in _AS_COMPLETED:
        return None
    given = frame.f_locals["fs" if "fs" in frame.f_locals else "aws"]
    if not isinstance(given, (list, tuple)):
        raise NotAllowedInWorkflow(
            f"{line_of(frame)}: as_completed over a {type(given).__name__} of coroutines has no order that replays; "
            "give it a list, or tasks"
        )
    coroutines: list[AnyCoroutine] = [one for one in given if asyncio.iscoroutine(one)]
    if len(coroutines) < len(given):
        raise NotAllowedInWorkflow(
            f"{line_of(frame)}: as_completed over coroutines and tasks mixed has no order that replays; "
            "wrap the coroutines: asyncio.create_task(…)"
        )
    return coroutines


def refuse_unordered_wait(frame: FrameType) -> None:
    """`asyncio.wait` returns sets; over futures that hash by address their order would differ on replay."""
    if frame.f_code is not _WAIT:
        return
    for one in frame.f_locals["fs"]:
        if not isinstance(one, (NumberedTask, NumberedFuture)):
            raise NotAllowedInWorkflow(
                f"{line_of(frame)}: asyncio.wait over {type(one).__name__} has no order that replays; wrap it: asyncio.create_task(…)"
            )


def caller() -> FrameType:
    return sys._getframe(2)
