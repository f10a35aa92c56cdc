"""Sends signals to a run at every moment at which they could come: races, in every order there is."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from perdure.authoring.workflow import Workflow
from perdure.model.records import RecordKind
from perdure.model.states import RunState
from perdure.run import Run
from perdure.testing.doubles import Call
from perdure.testing.harness import MOMENTS_MOST, VirtualEngine
from perdure.testing.scenarios import Ending, Prepare, Scenario, Signal, send

ORDERS_MOST = 1000


async def every_order(
    workflow: Workflow[..., Any],
    /,
    *args: Any,
    signals: Sequence[Signal],
    prepare: Prepare | None = None,
    start: datetime | None = None,
    real_steps: bool = True,
    patience: float = 10.0,
    orders_most: int = ORDERS_MOST,
    **kwargs: Any,
) -> list[Ending]:
    """Run the workflow once for every order in which the signals can come among its other records, and say how each run ended.

    A signal comes while a step is under way (recorded before the step's outcome), or while the run waits: before the next timer fires, or
    after it, or only when the run has ended (then it is refused). `Ending.order` tells what was recorded in which order. `Signal.after`
    plays no part here. While a plain `def` step runs in its thread, nothing comes: fake it. Raises ValueError above `orders_most`.
    """
    scenario = Scenario(workflow, args, kwargs, prepare, start, real_steps, patience)
    endings: list[Ending] = []
    path: list[int] | None = []
    while path is not None:
        if len(endings) >= orders_most:
            raise ValueError(f"there are more than {orders_most} orders; give fewer signals, or allow more with orders_most=")
        choices = Choices(path)
        arrivals = Arrivals(choices, signals)
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
    """The signals of one play, and the moments at which it is decided whether one comes now."""

    def __init__(self, choices: Choices, signals: Sequence[Signal]) -> None:
        self._choices = choices
        self._left = list(signals)
        self._sent = 0

    def watch(self, engine: VirtualEngine) -> None:
        async def before_report(call: Call) -> None:
            run = engine.run(call.run_id)
            while (signal := self._next(must=False)) is not None:
                if await send(run, signal):
                    self._sent += 1
                    await self._recorded(engine, run)

        engine.doubles.before_report = before_report

    async def drive(self, engine: VirtualEngine, run: Run) -> Any:
        for _ in range(MOMENTS_MOST):
            state = RunState((await run.status()).state)
            if state.is_final or state is RunState.QUARANTINED:
                break
            signal = self._next(must=not engine.has_plans)
            if signal is not None:
                self._sent += await send(run, signal)
            elif not await engine.advance():
                break
        return await run.result()

    def _next(self, *, must: bool) -> Signal | None:
        """The signal that comes now; None if nothing comes before whatever happens next."""
        if not self._left:
            return None
        choice = self._choices.choose(len(self._left) + (not must))
        index = choice if must else choice - 1
        return None if index < 0 else self._left.pop(index)

    async def _recorded(self, engine: VirtualEngine, run: Run) -> None:
        """From inside a step: it reports only after the signal is in the history."""
        while sum(one.kind == RecordKind.SIGNAL for one in await engine.history_of(run.id)) < self._sent:
            if (await engine.status_of(run.id)).state not in ("running", "pending"):
                return  # the run has ended, and nobody waits for this step any more
