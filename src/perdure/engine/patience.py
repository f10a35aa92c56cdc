"""Waiting for a store that does not answer now. The event loop is the port: in a simulation its time is virtual."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from perdure.errors import StoreError, StoreFailed
from perdure.settings import Settings

T = TypeVar("T")
log = logging.getLogger("perdure.engine")


async def pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


def pauses(settings: Settings) -> Iterator[float]:
    """How long to wait after the first failure, the second, …"""
    seconds = settings.store_retry_seconds_first
    while True:
        yield seconds
        seconds = min(2 * seconds, settings.store_retry_seconds_most)


async def insist(call: Callable[[], Awaitable[T]], settings: Settings, what: str) -> T:
    """Repeat until the store answers. Raises StoreFailed: then only a new process helps."""
    for seconds in pauses(settings):
        try:
            return await call()
        except StoreFailed:
            raise
        except StoreError as error:
            # Put back: the same call is made again below.
            log.warning("%s: the store does not answer, trying again: %s", what, error)
        await pause(seconds)
    raise AssertionError("pauses do not end")
