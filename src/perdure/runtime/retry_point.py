"""From where a run that fails can be retried: before the steps that failed since its code last asked for anything."""

from collections.abc import Iterator
from dataclasses import dataclass

from perdure.model.generations import RetryPoint

Asked = tuple[int, int, int]
"""How many steps, timers and signals the code had asked for."""

_CHAIN_MOST = 100


@dataclass(slots=True)
class Failures:
    """Failures of steps, as far back as nothing has been asked for after them."""

    first: int | None = None
    """The position of the first of them."""
    name: str = ""
    asked: Asked = (0, 0, 0)
    latest: BaseException | None = None
    handled: BaseException | None = None
    """The last exception that was being handled when a step was asked for."""

    def add(self, position: int, name: str, error: BaseException, asked: Asked) -> None:
        self.latest = error
        if self.first is None or self.asked != asked:
            self.first, self.name, self.asked = position, name, asked

    def retry_point(self, position: int, error: BaseException, asked: Asked) -> RetryPoint:
        """`position` is that of the last record that was applied before the code raised `error`."""
        if self.first is not None and self.asked == asked:
            return RetryPoint(self.first)
        for one in chain_of(error):
            if one is self.handled:
                return RetryPoint(None, "while its code handled the error it asked for more steps (clean-up or compensations)")
            if one is self.latest:
                return RetryPoint(None, f"after step {self.name!r} had failed its code asked for more steps, timers or signals")
        return RetryPoint(position + 1)


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from or while handling, and the members of groups; bounded."""
    waiting, seen = [error], 0
    while waiting and seen < _CHAIN_MOST:
        one = waiting.pop()
        seen += 1
        yield one
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
