"""Waiting for a moment or for a signal. asyncio's own sleep, timeout, gather and the rest work, too."""

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from perdure.authoring.current import require_host
from perdure.clock import SECOND, Duration, to_instant, to_microseconds
from perdure.codec.values import decode
from perdure.names import CHARACTERS_MOST, checked_name

if TYPE_CHECKING:
    from typing import _SpecialForm

T = TypeVar("T")


async def sleep_until(when: datetime) -> None:
    """Return at `when` (an aware datetime) or at once if it has passed; never early. Survives restarts."""
    host = require_host("sleep_until()")
    left = to_instant(when) - host.instant()
    if left > 0:
        await asyncio.sleep(left / SECOND)


@overload
async def receive(topic: str, type: type[T], *, timeout: Duration | None = None) -> T: ...
@overload
async def receive(topic: str, type: "UnionType | _SpecialForm", *, timeout: Duration | None = None) -> Any: ...  # int | None, Literal[…]
@overload
async def receive(topic: str, *, timeout: Duration | None = None) -> Any: ...
@overload
async def receive(topic: Mapping[str, Any], *, timeout: Duration | None = None) -> tuple[str, Any]: ...
async def receive(topic: str | Mapping[str, Any], type: Any = Any, *, timeout: Duration | None = None) -> Any:
    """Wait for a signal and return its payload, decoded to its type. Each signal is received once, in order of arrival.

    With a mapping of topics to types: the first that comes, as `(topic, value)`. Raises TimeoutError after `timeout`; a signal that came
    before then wins. A payload that does not fit the type raises DecodeError; that signal is gone. Raises BadInput for a topic that nobody
    could send.
    """
    host = require_host("receive()")
    types: Mapping[str, Any] = topic if isinstance(topic, Mapping) else {topic: type}
    for one in types:
        checked_name(one, "topic", CHARACTERS_MOST)
    if not types:
        raise ValueError("receive() needs at least one topic")
    limit = nullcontext() if timeout is None else asyncio.timeout(to_microseconds(timeout, "timeout") / SECOND)
    async with limit:
        name, payload = await host.receive(tuple(types))
    value = decode(payload, types[name], what=f"signal {name}")
    return (name, value) if isinstance(topic, Mapping) else value
