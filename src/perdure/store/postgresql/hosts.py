"""Several hosts of which one takes writes: the first that accepts a connection, however many are dead or only follow."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
HEAD_START_SECONDS = 0.3  # of each host before the next is tried beside it: a host that is dead says nothing


async def first_to_accept(attempts: Sequence[Callable[[], Coroutine[Any, Any, T]]], discard: Callable[[T], None]) -> T:
    """In the order given, the next one as soon as one has refused, or has said nothing for a while. Raises what the first said."""
    waiting = list(attempts)
    under_way: set[asyncio.Task[T]] = set()
    refused: asyncio.Task[T] | None = None
    try:
        while waiting or under_way:
            if waiting:
                under_way.add(asyncio.ensure_future(waiting.pop(0)()))
            done, under_way = await asyncio.wait(
                under_way, timeout=HEAD_START_SECONDS if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            accepted = [task.result() for task in done if not task.cancelled() and task.exception() is None]
            for spare in accepted[1:]:
                discard(spare)
            if accepted:
                return accepted[0]
            refused = refused or next(iter(done), None)
        assert refused is not None
        return refused.result()
    finally:
        for task in under_way:
            task.cancel()
            task.add_done_callback(lambda task: None if task.cancelled() or task.exception() is not None else discard(task.result()))
