"""Steps as a test sees them: each call is noted, and what the test has put in a step's place is run instead of it."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from perdure.authoring.step import Step
from perdure.authoring.values import info
from perdure.clock import Duration
from perdure.testing.clock import VirtualClock
from perdure.testing.life import Life


@dataclass(slots=True, eq=False)
class Call:
    """One attempt of a step. `arguments` by parameter name; `result` and `error` are what the body returned or raised."""

    step: str
    arguments: dict[str, Any]
    run_id: str
    attempt: int
    idempotency_key: str
    at: datetime
    result: Any = None
    error: BaseException | None = None
    has_ended: bool = False


@dataclass(slots=True)
class Fake:
    """What is run in the place of a step."""

    outcomes: Sequence[Any]
    repeats: bool
    takes: Duration | None
    used: int = 0

    def next_outcome(self, step: str) -> Any:
        if self.repeats:
            return self.outcomes[0]
        if self.used >= len(self.outcomes):
            raise AssertionError(f"step {step} was called {self.used + 1} times, but only {len(self.outcomes)} outcomes were given for it")
        self.used += 1
        return self.outcomes[self.used - 1]


class Double(Step[..., Any]):
    """Stands in for a step: the same to the engine and to the history, but for what is run."""

    def __init__(self, original: Step[..., Any], function: Callable[..., Any], *, is_async: bool) -> None:
        self.__dict__.update(original.__dict__)
        self.function = function
        self.is_async = is_async


async def _at_once(_call: Call) -> None:
    """Nothing is done between the end of a body and its report."""


@dataclass(slots=True)
class Doubles:
    """The steps of one test engine."""

    clock: VirtualClock
    life: Callable[[], Life]
    runs_real_steps: bool
    calls: list[Call] = field(default_factory=list)
    before_report: Callable[[Call], Awaitable[None]] = _at_once
    """Awaited when the body of a step has ended, before the engine hears of it. Not for plain `def` steps that are not faked."""
    _fakes: dict[str, Fake] = field(default_factory=dict)
    _originals: dict[str, Step[..., Any]] = field(default_factory=dict)
    _doubles: dict[tuple[str, bool], Double] = field(default_factory=dict)

    def fake(self, step: Step[..., Any], outcomes: Sequence[Any], *, repeats: bool, takes: Duration | None) -> None:
        self._fakes[step.name] = Fake(outcomes, repeats, takes)

    def stand_in(self, step: Step[..., Any]) -> Step[..., Any]:
        """The engine's port."""
        if not isinstance(step, Double):
            self._originals[step.name] = step
        original = self._originals[step.name]
        in_thread = not original.is_async and original.name not in self._fakes and self.runs_real_steps
        double = self._doubles.get((step.name, in_thread))
        if double is None:
            function = self._threaded(original) if in_thread else self._awaited(original)
            double = self._doubles[step.name, in_thread] = Double(original, function, is_async=not in_thread)
        return double

    # ── what is run ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _awaited(self, step: Step[..., Any]) -> Callable[..., Any]:
        async def run(*args: Any, **kwargs: Any) -> Any:
            life = self.life()
            return await life.drive(self._perform(life, step, args, kwargs))

        return run

    async def _perform(self, life: Life, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._begun(step, args, kwargs)
        try:
            fake = self._fakes.get(step.name)
            if fake is not None:
                call.result = await self._faked(life, fake, step, args, kwargs)
            elif self.runs_real_steps:
                call.result = await step.function(*args, **kwargs)
            else:
                raise AssertionError(f"step {step.name} is not faked, and this test runs no real steps: engine.fake({step.name}, …)")
        except BaseException as error:
            call.error = error
            raise
        finally:
            call.has_ended = True
            await self.before_report(call)
        return call.result

    async def _faked(self, life: Life, fake: Fake, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if fake.takes is not None:
            await life.elapse(fake.takes)
        outcome = fake.next_outcome(step.name)
        if isinstance(outcome, BaseException) or (isinstance(outcome, type) and issubclass(outcome, BaseException)):
            raise outcome
        if not callable(outcome):
            return outcome
        # By position where it can be: the parameters of a fake need not be named like those of the step.
        bound = inspect.signature(step.function).bind(*args, **kwargs)
        value = outcome(*bound.args, **bound.kwargs)
        return await value if inspect.isawaitable(value) else value

    def _threaded(self, step: Step[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            call = self._begun(step, args, kwargs)
            try:
                call.result = step.function(*args, **kwargs)
            except BaseException as error:
                call.error = error
                raise
            finally:
                call.has_ended = True
            return call.result

        return run

    def _begun(self, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        asking = info()
        call = Call(
            step.name,
            dict(inspect.signature(step.function).bind(*args, **kwargs).arguments),
            asking.run_id,
            asking.attempt or 0,
            asking.idempotency_key or "",
            self.clock.to_datetime(),
        )
        self.calls.append(call)
        return call
