"""What makes no sense is refused by the tools for tests, with a sentence, before anything runs."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from perdure import receive, testing, workflow
from perdure.testing import Signal, VirtualEngine


@workflow
async def hear() -> int:
    return await receive("word", int)


OF_AN_ENGINE: dict[str, tuple[Callable[[VirtualEngine], Any], type[Exception], str]] = {
    "a fake of what is no step": (lambda engine: engine.fake(print, 1), TypeError, r"takes a step.*print"),  # type: ignore[arg-type]
    "the end of what is no run": (lambda engine: engine.finish("r"), TypeError, r"takes the run that start\(\) gave.*'r'"),  # type: ignore[arg-type]
    "the export of what is no run": (lambda engine: engine.export("r"), TypeError, r"takes the run that start\(\) gave.*'r'"),  # type: ignore[arg-type]
    "hours without end": (lambda engine: engine.skip(hours=math.inf), ValueError, "cannot go as far as"),
    "days beyond all calendars": (lambda engine: engine.skip(days=10**30), ValueError, "cannot go as far as"),
}


async def done(call: Callable[[VirtualEngine], Any], engine: VirtualEngine) -> None:
    answer = call(engine)
    if answer is not None:
        await answer


@pytest.mark.parametrize("what", OF_AN_ENGINE)
async def test_a_call_of_an_engine(what: str) -> None:
    call, kind, says = OF_AN_ENGINE[what]
    async with testing.engine([hear]) as engine:
        before = engine.now
        with pytest.raises(kind, match=says):
            await done(call, engine)
        assert engine.now == before


@pytest.mark.parametrize("play", [testing.crash_everywhere, testing.every_order], ids=["crash_everywhere", "every_order"])
@pytest.mark.parametrize(
    ("signal", "kind", "says"),
    [
        ("word", TypeError, r"holds 'word', which is no perdure.testing.Signal"),
        (Signal("word", 1, after=-1), ValueError, r"Signal\('word'\)"),
    ],
    ids=["a topic alone", "a moment that has passed"],
)
async def test_a_signal_that_is_none(play: Callable[..., Any], signal: Any, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        await play(hear, signals=[signal])
