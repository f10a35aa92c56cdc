"""The steps that sample workflows call."""

from typing import Any

from perdure import step


@step
async def echo(value: Any) -> Any:
    return value


@step
def plain(value: Any) -> Any:
    return value


@step
async def other(value: Any) -> Any:
    return value


@step
async def slow(lasts: float, value: Any = None) -> Any:
    return value


@step
async def broken(text: str, lasts: float = 1) -> Any:
    raise LookupError(text)
