"""The handle on a run that a test engine gives out: what is done through it has settled when it returns."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from perdure.run import Run

_ACTS = ("signal", "cancel", "pause", "resume", "retry", "delete")


class SettledRun(Run):
    """A `Run`. After each call that changes something, every run of its engine has settled."""

    def __init__(self, run: Run, settle: Callable[[], Coroutine[Any, Any, None]]) -> None:
        super().__init__(run._client, run.id)
        self._settle = settle


def _settled(act: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @wraps(act)
    async def act_and_settle(self: SettledRun, *args: Any, **kwargs: Any) -> Any:
        value = await act(self, *args, **kwargs)
        await self._settle()
        return value

    return act_and_settle


for name in _ACTS:
    if hasattr(Run, name):
        setattr(SettledRun, name, _settled(getattr(Run, name)))
