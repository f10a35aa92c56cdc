"""`@step`: a function whose result is recorded before the workflow goes on."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import update_wrapper
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, get_origin, overload

from perdure.authoring.current import current_host
from perdure.clock import Duration, Microseconds, to_microseconds
from perdure.codec.hints import hints_of, local_classes
from perdure.codec.parameters import Parameters, ReturnType
from perdure.errors import NotInWorkflow
from perdure.model.retry import Retry
from perdure.names import name_of

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class StepOptions:
    retry: Retry
    timeout: Microseconds | None
    at_most_once: bool
    is_compensation: bool = False  # it undoes what a saga has done


class Step(Generic[P, R]):
    """A step. Calling it returns a coroutine; `options` gives the same step with other settings for one call."""

    def __init__(self, function: Callable[P, Awaitable[R] | R], name: str, options: StepOptions, is_transactional: bool) -> None:
        update_wrapper(self, function)
        self.function = function
        self.name = name
        self.settings = options
        self.is_async = inspect.iscoroutinefunction(function)
        self.is_transactional = is_transactional
        self.connection = connection_asked_for(function) if is_transactional else None
        self.parameters = Parameters(function, f"step {name}", skipped=1 if is_transactional else 0)
        self.returns = ReturnType(function, f"step {name}")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, None, R]:
        return self._call(self.settings, args, kwargs)

    def options(self, *, retry: Retry | None = None, timeout: Duration | None = None) -> "StepCall[P, R]":
        """This step with another retry or timeout for one call: `charge.options(timeout=5)(order)`."""
        changed = replace(
            self.settings,
            retry=self.settings.retry if retry is None else _policy(retry),
            timeout=self.settings.timeout if timeout is None else _timeout(timeout),
        )
        return StepCall(self, changed)

    async def _call(self, options: StepOptions, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        host = current_host()
        if host is None and self.is_transactional:
            raise NotInWorkflow(
                f"step {self.name} runs inside the transaction of its run; outside a workflow give it a connection: {self.name}.function(…)"
            )
        if host is None:
            function: Callable[..., Any] = self.function  # checked where it is called
            result = function(*args, **kwargs)
            return cast(R, await result) if inspect.isawaitable(result) else cast(R, result)
        return cast(R, await host.call_step(cast("Step[..., object]", self), options, args, kwargs))

    def __repr__(self) -> str:
        return f"<step {self.name}>"


class StepCall(Generic[P, R]):
    """A step with settings of its own for the calls made through it."""

    def __init__(self, step: Step[P, R], options: StepOptions) -> None:
        self.step = step
        self.settings = options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, None, R]:
        return self.step._call(self.settings, args, kwargs)


class TransactionalStepDecorator(Protocol):
    """Callers do not give the connection, which is the function's first parameter."""

    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Step[P, R]: ...


class StepDecorator(Protocol):
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(function: Callable[P, Coroutine[Any, Any, R]], /) -> Step[P, R]: ...
@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(
    *, transaction: Literal[True], name: str | None = None, retry: Retry | None = None, timeout: Duration | None = None
) -> TransactionalStepDecorator: ...
@overload
def step(
    *, name: str | None = None, retry: Retry | None = None, timeout: Duration | None = None, at_most_once: bool = False
) -> StepDecorator: ...
def step(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    retry: Retry | None = None,
    timeout: Duration | None = None,
    at_most_once: bool = False,
    transaction: bool = False,
) -> Any:
    """Make a function a step: inside a run its result is on disk before the next line runs, and it is never run again once recorded.

    `timeout` bounds one attempt; `retry` says what follows a failure. A plain `def` runs in a thread. A crash between effect and record
    runs the body again with the same `info().idempotency_key`; with `at_most_once=True` the workflow gets `StepOutcomeUnknown` instead
    (and a failure is final unless you give a `retry`).

    With `transaction=True` the function is given, as its first parameter, the connection of the transaction that records it: what it
    writes to the run's own database is committed together with its result, exactly once, or not at all. On SQLite it is a plain `def`, gets
    an `apsw.Connection`, runs on the thread that writes, and nobody else writes meanwhile: a time limit (2 s unless `timeout` is less) ends
    it. On PostgreSQL the type of that parameter says which connection it gets: of asyncpg, psycopg, SQLAlchemy or Django.
    It may not commit or roll back. What it does elsewhere may happen more than once.

        @step(retry=Retry(attempts=5), timeout=30)
        async def charge(order: Order) -> Receipt: ...
    """
    policy = (Retry(attempts=1) if at_most_once else Retry()) if retry is None else _policy(retry)
    options = StepOptions(policy, None if timeout is None else _timeout(timeout), at_most_once)

    def decorate(function: Callable[..., Any]) -> Step[..., Any]:
        if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"{function.__name__} is a generator; a step returns one value")
        if not callable(function):
            raise TypeError(f"@step decorates a function, not {function!r}")
        if transaction:
            _check_transactional(function, at_most_once)
        return Step(function, name_of(function, name, "step"), options, transaction)

    return decorate if function is None else decorate(function)


def _check_transactional(function: Callable[..., Any], at_most_once: bool) -> None:
    if at_most_once:
        raise TypeError(
            f"{function.__name__}: what a transactional step writes is there exactly once; at_most_once adds nothing, leave it out"
        )
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None or first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        raise TypeError(
            f"{function.__name__}: the first parameter of a transactional step is the connection: def {function.__name__}(db, …)"
        )


def connection_asked_for(function: Callable[..., Any]) -> type | None:
    """The type of its first parameter, where it has one: by it a store chooses the kind of connection to give."""
    first = next(iter(inspect.signature(function).parameters))
    hint = hints_of(function, local_classes(function))[0].get(first)
    hint = get_origin(hint) or hint
    return hint if isinstance(hint, type) and hint is not object else None


def _policy(retry: object) -> Retry:
    if not isinstance(retry, Retry):
        raise TypeError(f"retry must be a Retry(…), not {retry!r}")
    return retry


def _timeout(timeout: Duration) -> Microseconds:
    length = to_microseconds(timeout, "timeout")
    if length == 0:
        raise ValueError("timeout must be more than 0")
    return length
