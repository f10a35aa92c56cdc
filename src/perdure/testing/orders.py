"""Races in every order there is: signals against steps and timers, and steps against each other."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from perdure.authoring.workflow import Workflow
from perdure.model.states import RunState
from perdure.run import Run
from perdure.testing.doubles import Call
from perdure.testing.harness import VirtualEngine
from perdure.testing.scenarios import Ending, Prepare, Scenario, Signal, checked_signals, send

ORDERS_MOST = 1000
EVENTS_MOST = 100_000  # of one play


async def every_order(
    workflow: Workflow[..., Any],
    /,
    *args: Any,
    signals: Sequence[Signal] = (),
    orders_steps: bool = False,
    prepare: Prepare | None = None,
    start: datetime | None = None,
    real_steps: bool = True,
    patience: float = 10.0,
    orders_most: int = ORDERS_MOST,
    others: Sequence[Workflow[..., Any]] = (),
    **kwargs: Any,
) -> list[Ending]:
    """Run the workflow once for every order in which the signals can come among its other records, and say how each run ended.

    A signal comes while a step is under way (recorded before the step's outcome), or while the run waits: before the next timer fires, or
    after it, or only when the run has ended (then it is refused). With `orders_steps`, steps that are under way together end in every
    order, too. `Ending.order` tells what was recorded in which order. `Signal.after` plays no part here. While a plain `def` step runs in
    its thread, nothing comes: fake it. Raises ValueError above `orders_most`. `others`: workflows that the engine also runs.
    """
    scenario = Scenario(workflow, args, kwargs, prepare, start, real_steps, patience, others)
    checked_signals(signals)
    endings: list[Ending] = []
    path: list[int] | None = []
    while path is not None:
        if len(endings) >= orders_most:
            raise ValueError(f"there are more than {orders_most} orders; give fewer signals, or allow more with orders_most=")
        choices = Choices(path)
        arrivals = Arrivals(choices, signals, orders_steps=orders_steps)
        endings.append(await scenario.play(arrivals.drive, arrivals.watch))
        path = choices.next_path()
    return endings


class Choices:
    """Walks through all decisions, depth first: each play takes the path it is given, then always the first choice."""

    def __init__(self, path: Sequence[int]) -> None:
        self._path = path
        self._taken: list[tuple[int, int]] = []

    def choose(self, options: int) -> int:
        index = len(self._taken)
        choice = self._path[index] if index < len(self._path) else 0
        self._taken.append((choice, options))
        return choice

    def next_path(self) -> list[int] | None:
        """The one after the path that was taken; None after the last."""
        for index in reversed(range(len(self._taken))):
            choice, options = self._taken[index]
            if choice + 1 < options:
                return [*(taken for taken, _ in self._taken[:index]), choice + 1]
        return None


class Arrivals:
    """What can come next in one play: the report of a step whose body has ended, a signal, the next moment. One comes at a time."""

    def __init__(self, choices: Choices, signals: Sequence[Signal], *, orders_steps: bool) -> None:
        self._choices = choices
        self._signals = list(signals)
        self._orders_steps = orders_steps
        self._reports: list[asyncio.Future[None]] = []

    def watch(self, engine: VirtualEngine) -> None:
        async def before_report(_call: Call) -> None:
            may_report: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._reports.append(may_report)
            await engine.hold(may_report)

        engine.doubles.before_report = before_report

    async def drive(self, engine: VirtualEngine, run: Run) -> Any:
        for _ in range(EVENTS_MOST):
            state = RunState((await run.status()).state)
            if state.is_final or state is RunState.QUARANTINED or not await self._next(engine, run):
                break
        return await run.result()

    async def _next(self, engine: VirtualEngine, run: Run) -> bool:
        """Let one thing happen; False where nothing can."""
        self._reports = [report for report in self._reports if not report.done()]
        reports = self._reports if self._orders_steps else self._reports[:1]
        others = len(reports) if reports else int(engine.has_plans)
        if not others and not self._signals:
            return False
        choice = self._choices.choose(others + len(self._signals))
        if choice >= others:
            await send(run, self._signals.pop(choice - others))
        elif reports:
            reports[choice].set_result(None)
        else:
            await engine.advance()
        return True
