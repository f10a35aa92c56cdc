"""`@workflow`: an async function whose every step, wait and result survives the process it runs in."""

import inspect
from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from perdure.authoring.current import current_host
from perdure.codec.parameters import Parameters, ReturnType
from perdure.names import name_of

P = ParamSpec("P")
R = TypeVar("R")


class Workflow(Generic[P, R]):
    """A durable function, known by `name`."""

    def __init__(self, function: Callable[P, Coroutine[Any, Any, R]], name: str) -> None:
        update_wrapper(self, function)
        self.function = function
        self.name = name
        self.parameters = Parameters(function, f"workflow {name}")
        self.returns = ReturnType(function, f"workflow {name}")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, None, R]:
        return self._call(*args, **kwargs)

    async def _call(self, *args: P.args, **kwargs: P.kwargs) -> R:
        host = current_host()
        if host is not None:
            host.refuse_child(self.name)
        return await self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<workflow {self.name}>"


class WorkflowDecorator(Protocol):
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...


@overload
def workflow(function: Callable[P, Coroutine[Any, Any, R]], /) -> Workflow[P, R]: ...
@overload
def workflow(*, name: str | None = None) -> WorkflowDecorator: ...
def workflow(function: Callable[..., Any] | None = None, *, name: str | None = None) -> Any:
    """Make an `async def` a workflow. Give it to an `Engine`, start it through the engine or a `Client`.

    Inside, asyncio's own words wait durably; whatever touches the outside world belongs in a `@step`. When it returns, tasks it left
    running are closed: what they had not recorded does not happen.
    """

    def decorate(function: Callable[..., Any]) -> Workflow[..., Any]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"a workflow is an `async def`; {getattr(function, '__name__', function)!r} is not")
        return Workflow(function, name_of(function, name, "workflow"))

    return decorate if function is None else decorate(function)
