"""The only ways by which the engine reaches the outside: real in production, virtual in tests and simulation."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from perdure.authoring.step import Step
from perdure.clock import Clock, HostClock
from perdure.engine.threads import DaemonThreads
from perdure.ids import Entropy, OsEntropy
from perdure.settings import Settings
from perdure.store.opening import open_store
from perdure.store.protocol import Store


class Threads(Protocol):
    """Where blocking functions run."""

    def submit(self, function: Callable[[], object]) -> "Future[object]": ...
    def close(self) -> None: ...


class OpenStore(Protocol):
    def __call__(self, url: str, *, namespace: str, clock: Clock, settings: Settings) -> Store: ...


def _nothing(_point: str) -> None:
    """Nobody watches."""


def _itself(step: Step[..., Any]) -> Step[..., Any]:
    """Nobody stands in for it."""
    return step


@dataclass(frozen=True, slots=True)
class Ports:
    clock: Clock = field(default_factory=HostClock)
    entropy: Entropy = field(default_factory=OsEntropy)
    chance: Random = field(default_factory=Random)
    """Jitter only: nothing that must be repeated or kept secret."""
    threads: Callable[[int], Threads] = DaemonThreads
    open_store: OpenStore = open_store
    loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.get_running_loop
    """Where the worker's callbacks, tasks and timers run: a test moves its time by hand."""
    stand_in: Callable[[Step[..., Any]], Step[..., Any]] = _itself
    """What is run for a step: itself, or a double in a test."""
    beats_in_thread: bool | None = True
    """Renew the lease from a thread, and watch the loop from another; a simulation renews from its loop.

    None: nobody renews it, for the time of leases stands still.
    """
    reached: Callable[[str], None] = _nothing
    """Told the name of each crash point as it is passed."""
