"""One run of one workflow, played from its start to its end on an engine of its own, and how it ended."""

import copy
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from perdure.authoring.workflow import Workflow
from perdure.clock import Duration, to_microseconds
from perdure.errors import RunCancelled, RunEnded, RunFailed
from perdure.run import Run, RunRecord
from perdure.testing.doubles import Call
from perdure.testing.harness import NotEnded, VirtualEngine

RUN_ID = "under-test"
SHOWN_CHARACTERS = 500

Prepare = Callable[[VirtualEngine], object]
"""Sets up one engine: its fakes, and the world behind them. May be async. What it returns, if callable, tells the effects after the run."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One that the run gets. `after`: how long after the start of the run."""

    topic: str
    payload: Any = None
    after: Duration = 0
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. `error` is what it failed with, or NotEnded; `effects` what the function that `prepare` returned said then."""

    state: str
    result: Any
    error: BaseException | None
    effects: Any
    history: Sequence[RunRecord]
    calls: Sequence[Call]

    @property
    def order(self) -> tuple[str, ...]:
        """What happened, in the order recorded: ('started', 'step charge', 'signal paid', 'timer', 'completed')."""
        return tuple(one.kind if one.kind in _OF_THE_WHOLE_RUN or not one.name else f"{one.kind} {one.name}" for one in self.history)

    @property
    def outcome(self) -> str:
        """In words."""
        if self.error is None:
            return f"it returned {shortened(repr(self.result))}"
        if isinstance(self.error, NotEnded):
            return str(self.error)
        return f"it {self.state} with {type(self.error).__name__}: {shortened(str(self.error))}"


_OF_THE_WHOLE_RUN = frozenset({"started", "continued", "completed", "failed", "cancelled"})  # their name is the workflow's


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is played."""

    workflow: Workflow[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    prepare: Prepare | None
    start: datetime | None
    real_steps: bool
    patience: float
    others: Sequence[Workflow[..., Any]] = ()
    folder: Path | None = None

    async def play(self, drive: Callable[[VirtualEngine, Run], Awaitable[Any]], setup: Callable[[VirtualEngine], None]) -> Ending:
        """Start the run and let `drive` bring it to its end; `setup` is called before."""
        path = None if self.folder is None else Path(mkdtemp(dir=self.folder), "store.db")
        async with VirtualEngine(
            [self.workflow, *self.others],
            start=self.start,
            real_steps=self.real_steps,
            patience=self.patience,
            path=path,
            replays_at_end=False,
        ) as engine:
            effects: Any = None if self.prepare is None else self.prepare(engine)
            if inspect.isawaitable(effects):
                effects = await effects
            setup(engine)
            run = await engine.start(self.workflow, *self.args, id=RUN_ID, **self.kwargs)
            result, error = await _ended(drive(engine, run))
            status = await run.status()
            history, calls = await run.history(), engine.calls()
            seen = copy.deepcopy(effects()) if callable(effects) else None
            return Ending(status.state, result, error, seen, history, calls)


async def _ended(drive: Awaitable[Any]) -> tuple[Any, BaseException | None]:
    try:
        return await drive, None
    except RunFailed as error:
        return None, error.__cause__ or error
    except (RunCancelled, NotEnded) as error:
        return None, error


def checked_signals(given: Sequence[Signal]) -> Sequence[Signal]:
    """Raises TypeError for what is none, ValueError for a moment that is none: before anything runs."""
    for one in given:
        if not isinstance(one, Signal):
            raise TypeError(f"signals=[Signal(topic, payload, after=…)] holds {one!r}, which is no perdure.testing.Signal")
        to_microseconds(one.after, f"Signal({one.topic!r}).after")
    return given


def plan(engine: VirtualEngine, signals: Sequence[Signal]) -> None:
    for signal in signals:
        engine.at(signal.after, send, engine.run(RUN_ID), signal)


async def send(run: Run, signal: Signal) -> bool:
    """False where it came after the end."""
    try:
        await run.signal(signal.topic, signal.payload, key=signal.key)
    except RunEnded:
        return False
    return True


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
