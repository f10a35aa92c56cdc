"""Waits for what another process does, of which no signal comes: looks until a deadline, and says what was waited for in vain."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.004
PATIENCE_SECONDS = 30.0


def wait_until(condition: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS, told: Callable[[], str] = str) -> T:
    """What the condition gives once it gives something true. `told` adds to the failure what is known then."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain: {what}\n{told()}")
        time.sleep(POLL_SECONDS)
    return found
