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
        if step.is_transactional and takes is not None:
            raise ValueError(f"step {step.name} runs inside a transaction: no time passes in it")
        self._fakes[step.name] = Fake(outcomes, repeats, takes)

    def stand_in(self, step: Step[..., Any]) -> Step[..., Any]:
        """The engine's port."""
        if not isinstance(step, Double):
            self._originals[step.name] = step
        original = self._originals[step.name]
        is_plain = original.is_transactional or (not original.is_async and original.name not in self._fakes and self.runs_real_steps)
        double = self._doubles.get((step.name, is_plain))
        if double is None:
            function = self._plain(original) if is_plain else self._awaited(original)
            double = self._doubles[step.name, is_plain] = Double(original, function, is_async=not is_plain)
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
                raise not_faked(step)
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
        value = produced(fake.next_outcome(step.name), step, args, kwargs)
        return await value if inspect.isawaitable(value) else value

    def _plain(self, step: Step[..., Any]) -> Callable[..., Any]:
        """For a thread, or for the transaction that records the step: there the connection is given first."""

        def run(*given: Any, **kwargs: Any) -> Any:
            args = given[1:] if step.is_transactional else given
            call = self._begun(step, args, kwargs)
            fake = self._fakes.get(step.name)
            try:
                if fake is not None:
                    call.result = produced(fake.next_outcome(step.name), step, args, kwargs)
                elif self.runs_real_steps:
                    call.result = step.function(*given, **kwargs)
                else:
                    raise not_faked(step)
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
            dict(signature_of(step).bind(*args, **kwargs).arguments),
            asking.run_id,
            asking.attempt or 0,
            asking.idempotency_key or "",
            self.clock.to_datetime(),
        )
        self.calls.append(call)
        return call


def produced(outcome: Any, step: Step[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an outcome comes to: the value, what the function returns, or the exception, raised."""
    if isinstance(outcome, BaseException) or (isinstance(outcome, type) and issubclass(outcome, BaseException)):
        raise outcome
    if not callable(outcome):
        return outcome
    # By position where it can be: the parameters of a fake need not be named like those of the step.
    bound = signature_of(step).bind(*args, **kwargs)
    return outcome(*bound.args, **bound.kwargs)


def signature_of(step: Step[..., Any]) -> inspect.Signature:
    """As a workflow calls it: without the connection that a transactional step is given."""
    signature = inspect.signature(step.function)
    return signature.replace(parameters=list(signature.parameters.values())[1:]) if step.is_transactional else signature


def not_faked(step: Step[..., Any]) -> AssertionError:
    return AssertionError(f"step {step.name} is not faked, and this test runs no real steps: engine.fake({step.name}, …)")
